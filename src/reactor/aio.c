/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls of io_setup(2), without libaio: its io_submit() and io_cancel() would be
 * taken for ours by every library that a plugin brings and that uses it.
 */
#include "reactor/aio.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"

/* Of the host's fs.aio-max-nr, 65536 by default; a fast device is busy with less. */
#define DEPTH 256

/* What the context's id points to: a ring of completions that the kernel fills. */
struct ring {
	uint32_t id, nr;
	uint32_t head, tail; /* the kernel moves tail, io_getevents() head */
	uint32_t magic, compat, incompat, header_length;
};

struct aio {
	struct reactor *r;
	void (*refused)(struct reactor *r, struct io_op *op);
	union {
		aio_context_t ctx;
		struct ring *ring; /* what it points to */
	};
	int bell;
	unsigned inflight; /* in the kernel */
	unsigned nbatch, nfree;
	struct iocb *batch[DEPTH];
	struct iocb cb[DEPTH]; /* aio_data: the index */
	struct io_op *op[DEPTH]; /* by the same index */
	uint16_t free[DEPTH];
};

#define RING_MAGIC 0xa10a10a1u

static bool empty(const struct aio *a)
{
	return a->ring->magic == RING_MAGIC &&
	       a->ring->head == __atomic_load_n(&a->ring->tail, __ATOMIC_ACQUIRE);
}

struct aio *aio_new(struct reactor *r, void (*refused)(struct reactor *r, struct io_op *op),
		    int *err)
{
	struct aio *a = calloc(1, sizeof(*a));

	*err = -ENOMEM;
	if (!a)
		return NULL;
	a->r = r;
	a->refused = refused;
	a->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->bell < 0 || syscall(SYS_io_setup, DEPTH, &a->ctx)) {
		*err = -errno;
		if (a->bell >= 0)
			close(a->bell);
		free(a);
		return NULL;
	}
	for (uint16_t i = 0; i < DEPTH; i++)
		a->free[i] = i;
	a->nfree = DEPTH;
	return a;
}

void aio_free(struct aio *a)
{
	if (!a)
		return;
	syscall(SYS_io_destroy, a->ctx);
	close(a->bell);
	free(a);
}

int aio_eventfd(const struct aio *a)
{
	return a->bell;
}

/*
 * Submitting may wait inside the kernel where a file system has to look for blocks or for
 * a lock. RWF_NOWAIT makes it refuse instead, and a thread waits.
 */
static void prepare(struct aio *a, unsigned i, const struct io_op *op)
{
	struct iocb *cb = &a->cb[i];

	*cb = (struct iocb){
		.aio_data = i,
		.aio_fildes = (uint32_t)op->fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)a->bell,
	};
	if (op->verb == IO_FDATASYNC) {
		cb->aio_lio_opcode = IOCB_CMD_FDSYNC;
		return;
	}
	cb->aio_lio_opcode = op->verb == IO_PREADV ? IOCB_CMD_PREADV : IOCB_CMD_PWRITEV;
	cb->aio_rw_flags = op->rw_flags | RWF_NOWAIT;
	cb->aio_buf = (uintptr_t)op->iov;
	cb->aio_nbytes = op->iovcnt;
	cb->aio_offset = (int64_t)op->offset;
}

bool aio_take(struct aio *a, struct io_op *op)
{
	unsigned i;

	if (!a->nfree || op->verb == IO_FALLOCATE)
		return false;
	i = a->free[--a->nfree];
	prepare(a, i, op);
	op->state = IO_IN_AIO;
	a->op[i] = op;
	a->batch[a->nbatch++] = &a->cb[i];
	io_count(a->r, op);
	return true;
}

static struct io_op *let_go(struct aio *a, uint64_t i)
{
	a->free[a->nfree++] = (uint16_t)i;
	return a->op[i];
}

/* The one that the kernel refused takes the other road, which tells what is wrong. */
static void push(struct aio *a)
{
	unsigned at = 0;

	while (at < a->nbatch) {
		long n = syscall(SYS_io_submit, a->ctx, (long)(a->nbatch - at), a->batch + at);

		stat_add(a->r, submits, 1);
		if (n > 0) {
			a->inflight += (unsigned)n;
			at += (unsigned)n;
		} else {
			a->refused(a->r, let_go(a, a->batch[at++]->aio_data));
		}
	}
	a->nbatch = 0;
}

static void ended(struct aio *a, const struct io_event *ev)
{
	struct io_op *op = let_go(a, ev->data);
	int res = (int)ev->res;

	a->inflight--;
	if (res == -EAGAIN || res == -EOPNOTSUPP || res == -EINVAL)
		a->refused(a->r, op);
	else
		io_complete(a->r, op, res);
}

void aio_turn(struct aio *a)
{
	struct io_event ev[64];
	struct timespec now = { 0 };
	long n;

	push(a);
	while (a->inflight && !empty(a)) {
		n = syscall(SYS_io_getevents, a->ctx, 0l, (long)array_size(ev), ev, &now);
		for (long i = 0; i < n; i++)
			ended(a, &ev[i]);
		if (n < (long)array_size(ev))
			break;
	}
}
