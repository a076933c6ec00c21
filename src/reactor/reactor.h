/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reactor: one thread, one engine, one mailbox. Everything an object of a
 * reactor does happens on its thread, in turns; there are no locks.
 *
 * A turn: (1) mailbox and timers; (2) completions; (3) the first `later` list
 * (store channels submit); (4) inline completions are drained, bounded; (5) the
 * second `later` list (connections send); (6) one wait.
 *
 * Functions without another word are for the reactor's own thread.
 */
#ifndef STGT_REACTOR_REACTOR_H
#define STGT_REACTOR_REACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "reactor/engine.h"

struct reactor;

#define REACTORS_MAX 8

/* --- life --- */

struct reactor_opts {
	const char *name; /* thread name, at most 15 characters */
	unsigned id; /* 0..REACTORS_MAX-1; the control reactor has REACTORS_MAX */
	const struct engine *engine;
	unsigned poll_us; /* spin this long before sleeping; 0: never */
	size_t buf_cap; /* most data memory of this reactor's bufpool, bytes */
};

/*
 * The best engine this host can run, or the one called @want ("uring",
 * "epoll"; NULL or "auto": choose). Logs one line saying why if it is epoll
 * by default. NULL and @e if @want is unknown or cannot run here.
 */
const struct engine *engine_choose(const char *want, struct err *e);

/* How many reactors suit this host: CPUs by affinity and cgroup quota, 1 to REACTORS_MAX. */
unsigned reactor_default_count(void);

/* Make a reactor; it runs nowhere yet. Any thread. NULL and @e on error. */
struct reactor *reactor_create(const struct reactor_opts *o, struct err *e);
/* Start its thread, which runs until reactor_stop(). Messages posted before are its first work. */
int reactor_start(struct reactor *r, struct err *e);
/* Run on the calling thread until reactor_stop(). */
void reactor_run(struct reactor *r);
/*
 * One turn on the calling thread, which must always be the same; waits at most
 * @ns, and returns when what the wait brought is worked off. For tests and tools.
 */
void reactor_turn(struct reactor *r, uint64_t ns);
/* Ask it to end; messages posted before are still handled. Any thread. */
void reactor_stop(struct reactor *r);
/*
 * Stop it and wait for its thread, if it was started. Reactors that post to each other are all
 * joined before any of them is destroyed. Not from its own thread.
 */
void reactor_join(struct reactor *r);
/*
 * Join its thread (if it was started) and free it. Not from its own thread.
 * Owners end their operations before; messages and jobs that are left are dropped.
 */
void reactor_destroy(struct reactor *r);

/* The reactor whose thread this is, NULL if none. */
struct reactor *reactor_self(void);
unsigned reactor_id(const struct reactor *r);
const char *reactor_name(const struct reactor *r);
const struct engine *reactor_engine(const struct reactor *r);
/* Time at the start of the current completion batch, ns, monotonic. Cheap. */
uint64_t reactor_now(struct reactor *r);

/* --- mailbox --- */

/*
 * A message belongs to the mailbox from post until @fn is called on the
 * receiving reactor's thread; then it is free for use again.
 */
struct msg {
	struct msg *next;
	void (*fn)(struct msg *m);
};

/*
 * Any thread. Posting cannot fail. Messages of one sender arrive in order.
 * The reactor must outlive the call, not only the message.
 */
void reactor_post(struct reactor *to, struct msg *m, void (*fn)(struct msg *m));

/* --- later --- */

enum later_when {
	LATER_STORE, /* step 3: store channels */
	LATER_SEND, /* step 5: connections */
};

struct later {
	struct list link;
	void (*fn)(struct later *l);
};

static inline void later_init(struct later *l, void (*fn)(struct later *l))
{
	list_init(&l->link);
	l->fn = fn;
}

/* Run @l once in this turn's step @when. Idempotent until it runs. */
void reactor_later(struct reactor *r, struct later *l, enum later_when when);
void later_cancel(struct later *l);

/* --- timers --- */

struct timer {
	uint64_t at; /* reactor_now() scale, ns */
	unsigned index; /* place in the heap + 1; 0: not armed */
	void (*fn)(struct timer *t);
};

/* Arm @t, or move it, to call @fn in @ns from now. Without memory it is not armed: see log. */
void timer_arm(struct reactor *r, struct timer *t, uint64_t ns, void (*fn)(struct timer *t));
void timer_cancel(struct reactor *r, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
	return t->index != 0;
}

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

/* --- offload: threads for calls that block --- */

enum offload_class {
	OFFLOAD_IO, /* reads and writes of stores */
	OFFLOAD_SLOW, /* open, close, names */
	OFFLOAD_CLASSES
};

/*
 * @run is called on an offload thread, then @done on the reactor's thread.
 * @owner groups jobs (one store): one owner gets at most half of a class's
 * threads, so that a store that hangs does not stop the others. NULL: none.
 */
struct offload {
	void (*run)(struct offload *o);
	void (*done)(struct offload *o);
	const void *owner;
	/* private until done */
	struct reactor *reactor;
	struct list link;
	struct msg msg;
	uint8_t class, state;
};

void offload_submit(struct reactor *r, struct offload *o, enum offload_class class);
/* True: it will not run and done will not be called. False: too late, done comes. */
bool offload_cancel(struct offload *o);
/* Threads start on demand. End those that are idle, leave (and count) the stuck ones. Any thread. */
void offload_shutdown(void);
/* For statistics. Any thread. */
struct offload_stats {
	unsigned threads, busy, queued, stuck; /* stuck: running for more than 30 s */
};
void offload_get_stats(enum offload_class class, struct offload_stats *st);

/* --- counters: single writer, read relaxed from any thread --- */

struct reactor_stats {
	uint64_t turns, waits, wakeups; /* wakeups: waits that slept and returned */
	uint64_t messages, rings;
	uint64_t recvs, sends, accepts, polls; /* operations that reached the kernel */
	uint64_t file_reads, file_writes, file_syncs;
	uint64_t submits; /* system calls that pushed or waited */
	uint64_t offloads;
};

/* A copy of the counters. Any thread. */
void reactor_get_stats(struct reactor *r, struct reactor_stats *st);

/* --- data memory --- */

struct bufpool;
struct bufpool *reactor_bufpool(struct reactor *r);

#endif
