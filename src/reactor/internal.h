/* SPDX-License-Identifier: BSD-2-Clause */
/* What a reactor is made of; for src/reactor only. */
#ifndef STGT_REACTOR_INTERNAL_H
#define STGT_REACTOR_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "reactor/bufpool.h"
#include "reactor/engine.h"
#include "reactor/mailbox.h"
#include "reactor/reactor.h"
#include "reactor/timer.h"

/* io_op.state; an engine may use values from IO_ENGINE up while it has the operation. */
enum io_state {
	IO_IDLE, /* not with the engine */
	IO_QUEUED, /* on reactor.queued: the engine has not looked at it yet */
	IO_READY, /* on reactor.ready: res is known, done is not called yet */
	IO_ENGINE,
};

struct reactor {
	/* other threads write these */
	struct mailbox mail;
	_Atomic bool stop;
	_Atomic uint64_t rings;

	/* from here on only the reactor's own thread writes */
	_Alignas(64) const struct engine *engine;
	void *eng; /* the engine's own part */
	struct list queued, ready; /* io_op.link */
	const struct io_op *doing; /* whose done runs; only to compare with, it may be freed */
	unsigned queued_files; /* file operations among the queued: worth a flush of their own */
	unsigned queued_sends; /* since they were looked at last */
	struct list later[2]; /* by enum later_when */
	uint64_t now;
	bool in_turn; /* else `now` may be old */
	bool slept; /* the mailbox has been told that this thread sleeps */
	uint64_t events; /* messages, timers and completions so far */
	uint64_t poll_ns; /* spin this long after traffic; 0: never */
	unsigned cpus; /* allowed to this process when the reactor was made */
	uint64_t quiet_since; /* time of the last event */
	struct timer_heap timers;
	struct bufpool *pool;
	struct timer trim;
	struct reactor_stats stats;
	struct {
		uint64_t batch, at; /* reactor_now(), and what the clock said since */
		unsigned uses; /* left */
	} recent;
	struct trace_ring *trace; /* NULL: nothing is traced, or to be read */

	unsigned id;
	char name[16];
	bool started;
	pthread_t thread;
};

/*
 * What our threads block: all, but for what the fault of a thread raises. Blocked it would end the process,
 * whatever handler there is (memory that is shared with others can be cut off under us).
 */
static inline void signals_of_others(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGILL);
}

/* Count, so that another thread may read it. */
#define stat_add(r, field, n) \
	__atomic_store_n(&(r)->stats.field, (r)->stats.field + (n), __ATOMIC_RELAXED)

static inline bool io_is_file(const struct io_op *op)
{
	return op->verb >= IO_PREADV && op->verb <= IO_FALLOCATE;
}

/* For engines: @op ended with @res; io_dispatch() will call done. */
void io_complete(struct reactor *r, struct io_op *op, int res);
/* For engines: call done for what is ready now (not for what becomes ready meanwhile). */
void io_dispatch(struct reactor *r);
/* For engines: count @op among the operations that reached the kernel. */
void io_count(struct reactor *r, const struct io_op *op);
/* For engines: do the file operation @op by a system call that may block. */
int io_blocking(const struct io_op *op);
/* For engines without a better idea. */
int io_send_now(struct reactor *r, const struct io_op *op);
int io_now_syscall(struct reactor *r, struct io_op *op, bool nowait);
uint64_t clock_monotonic(struct reactor *r);

/* For engines: to be called when a wait returned, before any done. Refreshes the time. */
void reactor_woke(struct reactor *r);

/* For an engine that steps reactors: this thread acts as @r's from now on. */
void reactor_enter(struct reactor *r);

/* For an engine that runs offload jobs itself: @o ran; call its done. On r's thread. */
void offload_finish(struct offload *o);
/* @r ends: its waiting jobs are dropped, its running ones will tell nobody. */
void offload_forget(struct reactor *r);

/* True if somebody waits for memory and some came back; then bufpool_wake() tells the first ones. */
bool bufpool_can_wake(const struct bufpool *p);
void bufpool_wake(struct bufpool *p);

/* A job that runs for longer is taken for stuck; tests cannot wait for so long. */
extern _Atomic uint64_t offload_stuck_ns;

/* True while slabs without a live buffer are held. */
bool bufpool_has_unused(const struct bufpool *p);
/* Give back the slabs that were unused all the time since the last call. */
void bufpool_trim_unused(struct bufpool *p);

/* CPUs this process may use: affinity and cgroup quota; at least 1. */
unsigned cpus_allowed(void);

#endif
