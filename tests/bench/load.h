/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load generator: an iSCSI initiator that only makes load, lean enough
 * that the target, on another core, is what gets slow first. Commands leave in
 * batches by one sendmsg(), replies are parsed where they were received, read
 * data is dropped in the kernel unless somebody has to look at it, nothing is
 * allocated per command, the clock is read once a batch.
 *
 * A session has one connection and belongs to one worker (thread).
 */
#ifndef STGT_BENCH_LOAD_H
#define STGT_BENCH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "account.h"
#include "common.h"
#include "histogram.h"
#include "transport/iscsi/digest.h"
#include "transport/iscsi/pdu.h"

#define RX_SIZE (256u << 10)
#define QD_MAX 32768u

enum { STATUS_GOOD = 0x00, STATUS_CHECK = 0x02, STATUS_BUSY = 0x08, STATUS_FULL = 0x28 };

struct load_options {
	struct address address;
	const char *address_text, *target, *initiator, *label;
	unsigned lun, block, qd, sessions, threads, seconds, warmup_ms, timeout;
	unsigned read_pct; /* 100: reads, 0: writes */
	bool random, verify, header_digest, data_digest, spin, keep_data, no_immediate, initial_r2t;
	bool idle; /* log in and be quiet */
	bool json;
	uint64_t span, seed;
	unsigned max_recv, max_burst, first_burst;
	pid_t pid;
	unsigned max_wait_pct, max_target_wait_pct, max_others_pct, max_stolen_pct;
};
extern struct load_options options;

enum phase { PHASE_WARM_UP, PHASE_MEASURE, PHASE_STOP };
extern atomic_int phase;
extern atomic_uint workers_busy;

struct task {
	uint64_t begun; /* ns */
	uint64_t block;
	uint32_t itt, got, generation, serial;
	bool write, busy;
	bool again; /* was refused, goes again as it is */
	uint8_t *buf; /* verify: its data, options.block bytes */
};

/*
 * What is to be sent: a ring of segments, and a ring of headers that they point
 * to. sent_mark[i]: the header ring is free up to there once segment i is sent.
 */
struct tx {
	struct iovec *seg;
	uint32_t *sent_mark;
	uint32_t seg_mask, head, tail;
	uint8_t *headers;
	uint32_t header_mask, header_next, header_free, stride;
	bool blocked; /* the socket takes no more */
};

enum rx_state { RX_HEADER, RX_DATA, RX_TRAILER };
struct rx {
	enum rx_state state;
	uint32_t header_have, data_left, data_len, data_pos, trailer_len, trailer_have;
	struct iscsi_digest digest;
	struct task *task; /* of a Data-In */
	union {
		uint8_t header[BHS_LEN + AHS_MAX + DIGEST_LEN];
		union pdu pdu;
	};
	uint8_t trailer[3 + DIGEST_LEN];
	uint8_t small[64]; /* data of other PDUs, as far as anybody looks: sense */
};

struct worker;
struct session {
	int fd;
	unsigned id;
	bool lost, header_digest, data_digest, immediate, initial_r2t;
	uint32_t cmd_sn, exp_stat_sn, max_cmd_sn;
	unsigned target_max_recv, max_burst, first_burst;
	struct task *task;
	unsigned *free_task;
	unsigned nfree, outstanding;
	struct tx tx;
	struct rx rx;
	/* what it works on: blocks [base, base + blocks) */
	uint64_t base, blocks, next, random;
	uint32_t *generation; /* verify: by block, 0 if never written */
	uint8_t *in_use; /* verify: by block */
	bool reading_back;
	uint64_t read_back_next;
	struct worker *worker;
};

struct counts {
	uint64_t done, reads, full, busy, check, other_status, wrong, verified, nops, lost;
	uint64_t receives, sends;
};

struct worker {
	pthread_t thread;
	struct session **session;
	unsigned nsessions;
	/* written by the worker, read by main while it runs */
	_Atomic uint64_t done, reads, receives, sends, full, busy;
	uint64_t check, other_status, wrong, verified, nops, lost;
	struct histogram latency;
	uint8_t *rx_buf;
} __attribute__((aligned(128)));

static inline void bump(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* session.c: coming and going, before and after the load; failures end the program */
void session_open(struct session *s);
/* Once the size of the disk is known; @blocks: of options.block bytes, the whole span. */
void session_prepare(struct session *s, uint64_t blocks);
/* True if the session still answers. */
bool session_alive(struct session *s);
void session_close(struct session *s);
/* What session_open() found out about the disk. */
extern unsigned disk_block;
extern uint64_t disk_bytes;

/* login.c */
void session_login(struct session *s);
void send_all(int fd, const void *p, size_t len);
void recv_all(int fd, void *p, size_t len);

/* tx.c */
void tx_command(struct session *s, struct task *t, uint64_t now);
void tx_data_out(struct session *s, struct task *t, uint32_t ttt, uint32_t off, uint32_t len);
void tx_nop_answer(struct session *s, const struct pdu_nop *ping);
bool tx_has_room(const struct session *s);
/* Send as much as the socket takes. -1: the session is lost. */
int tx_flush(struct session *s);
static inline bool tx_empty(const struct session *s)
{
	return s->tx.head == s->tx.tail;
}

/* rx.c: receive once and work through it. 1: something came, 0: nothing, -1: the session is lost. */
int rx_once(struct session *s, int flags);

/* work.c */
void *worker_run(void *worker);
/* Give free tasks something to do, as far as the window goes. */
void issue(struct session *s, uint64_t now);
void complete(struct session *s, struct task *t, uint8_t status, uint64_t now);
/* The session is of no use any more: say why, once, and take it out of the work. Returns -1. */
int session_lose(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* report.c */
struct result {
	double seconds;
	struct counts counts; /* of the measured time; errors of the whole run */
	struct histogram latency;
	struct account used;
	unsigned alive;
	bool dirty;
	char why_dirty[160];
};
void result_judge(struct result *r);
void result_print(const struct result *r, const struct session *first);

/* load_options.c */
void options_parse(int argc, char **argv);

#endif
