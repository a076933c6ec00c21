/* SPDX-License-Identifier: BSD-2-Clause */
/* iSCSI's part on one reactor: its connections, sessions and pools. */
#ifndef STGT_ISCSI_PART_H
#define STGT_ISCSI_PART_H

#include "base/list.h"
#include "base/pool.h"
#include "reactor/bufpool.h"
#include "reactor/reactor.h"
#include "transport/iscsi/iscsi.h"

#define SWEEP_NS NSEC_PER_SEC
#define SWEEP_PRESSED_NS (10 * NSEC_PER_MSEC)
#define LOGINS_MAX 1024 /* connections in the login phase */
#define LOGIN_TIMEOUT 30 /* seconds */
#define SCRATCH_SIZE (64u << 10)

/* Single writer (the reactor), read relaxed. */
struct part_counters {
	uint64_t connections, sessions, tasks, logins;
	uint64_t accepted, protocol_errors, digest_errors, memory_refusals;
};

struct iscsi_part {
	struct iscsi_server *server;
	struct reactor *reactor;
	struct bufpool *bufs;
	size_t cap; /* of bufs, bytes */
	size_t window_bytes; /* reserved for command windows of all sessions */
	struct pool tasks, chunks; /* struct iscsi_task, struct tx_chunk */
	struct list conns, sessions;
	struct timer sweep; /* armed while a connection needs looking after */
	bool scarce; /* a session got no memory for its window since the last sweep */
	bool pressed; /* memory is wanted: idle connections give theirs back at once */
	uint8_t *scratch; /* what is thrown away is received here; never read */
	struct part_counters n;

	/* the end */
	bool stopping;
	bool left; /* control has been told */
	bool give_up; /* on sessions whose store does not return */
	struct timer deadline;
	struct msg msg;
};

struct iscsi_server {
	struct targets *ts;
	struct iscsi_opts opts;
	unsigned nop_interval, nop_count; /* atomic */
	struct list portals; /* control's */
	unsigned listeners; /* that are not closed yet */
	unsigned nparts, parts_left;
	bool stopping;
	uint64_t grace_ns;
	void (*done)(void *arg);
	void *arg;
	struct iscsi_part part[REACTORS_MAX];
};

#define part_count(p, field, by) \
	__atomic_store_n(&(p)->n.field, (p)->n.field + (uint64_t)(by), __ATOMIC_RELAXED)

/* See to it that the connections are looked after in a second at the latest. */
static inline void part_watch(struct iscsi_part *p);
void part_sweep(struct timer *t);

static inline void part_watch(struct iscsi_part *p)
{
	if (!timer_armed(&p->sweep))
		timer_arm(p->reactor, &p->sweep, SWEEP_NS, part_sweep);
}

/* Somebody waits for memory. */
void part_pressed(struct iscsi_part *p);
/* During the end: a connection or session is gone. */
void part_left(struct iscsi_part *p);

/* A portal accepted @fd, on the accepting reactor. */
void conn_accepted(struct iscsi_part *p, int fd);

#endif
