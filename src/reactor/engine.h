/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: a proactor. An operation is embedded in its owner and has one
 * done(). The rules, which every engine keeps and the tests check:
 *
 * (a) done is called exactly once for each submit;
 * (b) never inside io_submit() or io_cancel();
 * (c) io_cancel() only hastens done (with -ECANCELED, or with the real result);
 * (d) done runs on the reactor's own thread;
 * (e) until done, the operation and all it points to belong to the engine.
 */
#ifndef STGT_REACTOR_ENGINE_H
#define STGT_REACTOR_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/list.h"

struct reactor;
struct offload;

enum io_verb {
	IO_ACCEPT, /* fd listens; result: the new socket, nonblocking and close-on-exec */
	IO_RECVMSG, /* msg; result: bytes, 0 at the stream's end */
	IO_SENDMSG, /* msg; result: bytes, may be short; never raises SIGPIPE */
	IO_PREADV, /* iov at offset; result: bytes, may be short */
	IO_PWRITEV,
	IO_FDATASYNC,
	IO_FALLOCATE, /* mode, offset, length */
	IO_POLL, /* one shot; events; result: revents */
};

struct io_op {
	/* @res: what the verb's system call returns, -errno for errors. */
	void (*done)(struct io_op *op, int res);
	enum io_verb verb;
	int fd;
	union {
		struct msghdr *msg; /* RECVMSG, SENDMSG: with its iovecs, stays valid until done */
		struct {
			const struct iovec *iov; /* stays valid until done */
			unsigned iovcnt;
			int rw_flags; /* RWF_DSYNC */
			uint64_t offset;
		};
		struct {
			int mode;
			uint64_t start, length;
		};
		uint32_t events; /* POLLIN, POLLOUT */
	};
	/* the engine's own, from submit to done */
	struct reactor *reactor;
	struct list link;
	int res;
	uint8_t state; /* 0: not with the engine */
	/* the owner's: PREADV, PWRITEV and FDATASYNC of a file that was opened with O_DIRECT */
	bool direct;
};

/*
 * Hand @op over. It goes to the kernel when the turn reaches its submit step,
 * so what a turn submits goes in one batch. Cannot fail: errors come by done.
 */
void io_submit(struct reactor *r, struct io_op *op);

/* Hasten the end of @op. No effect if it is not with the engine. */
void io_cancel(struct io_op *op);

/* True from submit until done is called. */
static inline bool io_pending(const struct io_op *op)
{
	return op->state != 0;
}

/*
 * Do @op (PREADV or PWRITEV) here and now. Reads answer only from what is in
 * memory (RWF_NOWAIT) if @nowait, else may block. Returns bytes or -errno;
 * -EAGAIN: would block; -EOPNOTSUPP: this file cannot say. done is not called.
 */
int io_now(struct reactor *r, struct io_op *op, bool nowait);

/*
 * @r has no more business with @fd, on which nothing is pending: call this
 * before @fd moves to another reactor. Without it the old reactor may be woken
 * once for nothing.
 */
void io_forget(struct reactor *r, int fd);

/* Close @fd, on which nothing is pending. */
void io_close(struct reactor *r, int fd);

struct engine {
	const char *name;
	int (*init)(struct reactor *r); /* -errno if this engine cannot run here */
	void (*fini)(struct reactor *r);
	/* @op has been put on reactor.queued; may be NULL if flush and wait are early enough to look */
	void (*submit)(struct reactor *r, struct io_op *op);
	/* @op has left reactor.queued */
	void (*cancel)(struct reactor *r, struct io_op *op);
	/* Push what is queued to the kernel and call done for all that is complete. No waiting. */
	void (*flush)(struct reactor *r);
	/*
	 * Push, then wait until something completes, the doorbell rings or @ns
	 * passed (UINT64_MAX: no limit). Calls done for what completed.
	 */
	void (*wait)(struct reactor *r, uint64_t ns);
	void (*ring)(struct reactor *r); /* the doorbell; any thread */
	uint64_t (*now)(struct reactor *r); /* CLOCK_MONOTONIC, ns */
	int (*io_now)(struct reactor *r, struct io_op *op, bool nowait);
	/* Do the SENDMSG @op now, as far as it does not wait; -EAGAIN: it would. NULL: never tried */
	int (*send_now)(struct reactor *r, const struct io_op *op);
	void (*forget)(struct reactor *r, int fd); /* may be NULL */
	void (*close)(struct reactor *r, int fd); /* NULL: the system call */
	/* NULL: the offload threads run the job. Else the engine does, and cancels. */
	void (*offload)(struct reactor *r, struct offload *o);
	bool (*offload_cancel)(struct reactor *r, struct offload *o);
	bool batches; /* what is queued goes in one call */
};

extern const struct engine engine_uring, engine_epoll;

#endif
