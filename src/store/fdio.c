/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File I/O by the best road for this host, file and direction.
 *
 * Cached reads are tried here with RWF_NOWAIT; what would block goes to the kernel's
 * workers (io_uring) or to a thread (epoll). Cached writes: a plain pwrite here costs a
 * third of a hand-over, so they are done here while they stay under a budget; over it, for
 * a while, and for all that waits for the medium (O_DIRECT, O_SYNC, FUA), asynchronously.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/core.h"

/* Longer writes go to a worker: others wait meanwhile. */
#define INLINE_MAX MIB(1)
/* Mean time of an inline write, or of each BUDGET_BYTES of it, over which the file is slow; and for how long. */
#define BUDGET_NS (200 * NSEC_PER_USEC)
#define BUDGET_BYTES KIB(256)
#define ASYNC_NS (100 * NSEC_PER_MSEC)
/* -EINTR and -EAGAIN of one request that are taken for bad luck. */
#define RETRIES 16

#define PARTS 3

/* In io->room. */
struct fdio {
	struct io_op op;
	struct store_fd *f;
	uint64_t pos; /* bytes done */
	unsigned seg, retries; /* the caller's segment that pos is in */
	size_t seg_off; /* bytes of it that are done */
	struct iovec part[PARTS]; /* what comes next, after a short transfer */
};

static_assert(sizeof(struct fdio) <= STORE_OWN_ROOM, "a file request's room");

static struct fdio *fdio_of(struct store_io *io)
{
	return (struct fdio *)(void *)io->room;
}

static struct store_io *fdio_io(struct fdio *q)
{
	return container_of((unsigned char *)q, struct store_io, room);
}

static void fail(struct store_io *io, int err)
{
	store_done(io, err, io->offset + fdio_of(io)->pos);
}

/* ---- reads and writes ---- */

/*
 * A short transfer ended within a segment. Others may write the same place: what follows
 * is cut where a sector ends, so that no sector is ever half of one write.
 */
static void aim_within(struct store_io *io)
{
	struct fdio *q = fdio_of(io);
	size_t skip = q->seg_off, bytes = 0, tail;
	unsigned n = 0;

	for (unsigned i = q->seg; i < io->iovcnt && n < PARTS; i++) {
		const struct iovec *v = &io->iov[i];

		q->part[n++] = (struct iovec){ (char *)v->iov_base + skip, v->iov_len - skip };
		bytes += v->iov_len - skip;
		skip = 0;
	}
	tail = (q->op.offset + bytes) % SECTOR;
	if (q->pos + bytes < io->length && tail < q->part[n - 1].iov_len)
		q->part[n - 1].iov_len -= tail;
	q->op.iov = q->part;
	q->op.iovcnt = n;
}

/* Aim the operation at what is left. */
static void aim(struct store_io *io)
{
	struct fdio *q = fdio_of(io);

	q->op.offset = io->offset + q->pos;
	if (q->seg_off) {
		aim_within(io);
		return;
	}
	q->op.iov = io->iov + q->seg;
	q->op.iovcnt = min(io->iovcnt - q->seg, (unsigned)IOV_MAX);
}

/* @n more bytes are done. True if that was all. */
static bool advance(struct store_io *io, size_t n)
{
	struct fdio *q = fdio_of(io);

	q->pos += n;
	if (q->pos >= io->length)
		return true;
	while (n) {
		size_t left = io->iov[q->seg].iov_len - q->seg_off;

		if (n < left) {
			q->seg_off += n;
			break;
		}
		n -= left;
		q->seg++;
		q->seg_off = 0;
	}
	return false;
}

/* The kernel tells of a failed write-back once, perhaps in answer to this write. */
static void write_failed(struct store_io *io, int err)
{
	struct store_fd *f = fdio_of(io)->f;
	bool stable = f->sync || io->flags & STORE_FUA;

	if (io->verb == STORE_WRITE && stable && !f->direct && err == -EIO)
		store_stick(io->ch->store, "synchronous write", err);
	fail(io, err);
}

static void transferred(struct io_op *op, int res)
{
	struct fdio *q = container_of(op, struct fdio, op);
	struct store_io *io = fdio_io(q);

	if (res > 0) {
		if (advance(io, (size_t)res)) {
			store_done(io, 0, 0);
			return;
		}
	} else if (res != -EINTR && res != -EAGAIN) {
		/* 0: the file ends before the store does, someone has cut it */
		write_failed(io, res ? res : -EIO);
		return;
	} else if (++q->retries > RETRIES) {
		fail(io, -EIO);
		return;
	}
	aim(io);
	io_submit(io->ch->reactor, op);
}

/* Take what is in memory. True if @io is done. */
static bool read_now(struct store_io *io)
{
	struct fdio *q = fdio_of(io);
	int res;

	while (q->pos < io->length) {
		aim(io);
		res = io_now(io->ch->reactor, &q->op, true);
		if (res == -EOPNOTSUPP)
			io->ch->budget.no_nowait = true;
		if (res <= 0)
			return false; /* the asynchronous road tells what is wrong */
		advance(io, (size_t)res);
	}
	store_done(io, 0, 0);
	return true;
}

static void read_submit(struct store_channel *ch, struct store_io *io, struct store_fd *f)
{
	struct fdio *q = fdio_of(io);

	q->op.verb = IO_PREADV;
	q->op.rw_flags = 0;
	if (!f->direct && f->nowait_read && !ch->budget.no_nowait && read_now(io))
		return;
	aim(io);
	io_submit(ch->reactor, &q->op);
}

static void measure(struct store_channel *ch, uint64_t length, uint64_t began, uint64_t ended)
{
	struct fd_budget *b = &ch->budget;
	uint64_t took = (ended - began) * BUDGET_BYTES / max(length, (uint64_t)BUDGET_BYTES);

	b->cost += took / 8;
	b->cost -= b->cost / 8;
	if (b->cost < BUDGET_NS)
		return;
	b->cost = 0;
	b->async_until = ended + ASYNC_NS;
}

static void write_now(struct store_channel *ch, struct store_io *io)
{
	const struct engine *engine = reactor_engine(ch->reactor);
	struct fdio *q = fdio_of(io);
	uint64_t began = engine->now(ch->reactor);
	int res;

	do {
		aim(io);
		res = io_now(ch->reactor, &q->op, false);
	} while (res > 0 && !advance(io, (size_t)res));
	measure(ch, io->length, began, engine->now(ch->reactor));
	if (res > 0)
		store_done(io, 0, 0);
	else
		transferred(&q->op, res);
}

static void write_submit(struct store_channel *ch, struct store_io *io, struct store_fd *f)
{
	struct fdio *q = fdio_of(io);
	bool fua = io->flags & STORE_FUA && !f->sync;

	q->op.verb = IO_PWRITEV;
	q->op.rw_flags = fua ? RWF_DSYNC : 0;
	if (!f->direct && !f->sync && !fua && io->length <= INLINE_MAX &&
	    reactor_now(ch->reactor) >= ch->budget.async_until) {
		write_now(ch, io);
		return;
	}
	aim(io);
	io_submit(ch->reactor, &q->op);
}

/* ---- flush, zero, discard ---- */

static void sync_submit(struct store_io *io, void (*done)(struct io_op *op, int res))
{
	struct fdio *q = fdio_of(io);

	q->op.verb = IO_FDATASYNC;
	q->op.done = done;
	io_submit(io->ch->reactor, &q->op);
}

static void flushed(struct io_op *op, int res)
{
	struct store_io *io = fdio_io(container_of(op, struct fdio, op));

	store_done(io, res < 0 ? res : 0, io->offset);
}

static void range_stable(struct io_op *op, int res)
{
	struct store_io *io = fdio_io(container_of(op, struct fdio, op));

	if (res < 0)
		store_stick(io->ch->store, "flush", res);
	flushed(op, res);
}

static void range_submit(struct store_io *io, int mode);

static void range_done(struct io_op *op, int res)
{
	struct fdio *q = container_of(op, struct fdio, op);
	struct store_io *io = fdio_io(q);
	int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (res == -EINTR && ++q->retries <= RETRIES)
		range_submit(io, op->mode);
	else if (res == -EOPNOTSUPP && op->mode == punch && io->verb == STORE_ZERO)
		range_submit(io, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	else if (res < 0)
		store_done(io, res == -ENOSYS ? -EOPNOTSUPP : res, io->offset);
	else if (io->flags & STORE_FUA)
		sync_submit(io, range_stable);
	else
		store_done(io, 0, 0);
}

/*
 * The kernel takes both modes for block devices too: zeroing with and without
 * unmapping, never a plain discard, after which old data could be read.
 */
static void range_submit(struct store_io *io, int mode)
{
	struct fdio *q = fdio_of(io);

	q->op.verb = IO_FALLOCATE;
	q->op.done = range_done;
	q->op.mode = mode;
	q->op.start = io->offset;
	q->op.length = io->length;
	io_submit(io->ch->reactor, &q->op);
}

/* ---- extents ---- */

/* The kind that begins at @off and where it ends, at most @size. */
static int seek_extent(int fd, uint64_t off, uint64_t size, struct store_extent *x)
{
	off_t to = lseek(fd, (off_t)off, SEEK_DATA);

	if (to < 0 && errno != ENXIO)
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	x->mapped = to == (off_t)off;
	if (x->mapped)
		to = lseek(fd, (off_t)off, SEEK_HOLE);
	if (to < 0 || (uint64_t)to > size)
		to = (off_t)size; /* ENXIO: to the end */
	x->length = (uint64_t)to - off;
	return 0;
}

static int extents_run(struct store_io *io)
{
	const struct store_limits *l = &io->ch->store->limits;
	uint64_t block = max(l->block, 1u);
	struct store_extent *x = &io->extent;
	int err = seek_extent(fdio_of(io)->f->fd, io->offset, l->size, x);

	if (err == -EOPNOTSUPP)
		*x = (struct store_extent){ l->size - io->offset, true };
	else if (err)
		return err;
	/* a block that is partly data is data */
	if (x->mapped || x->length < block)
		*x = (struct store_extent){ round_up(max(x->length, (uint64_t)1), block), true };
	else
		x->length = round_down(x->length, block);
	x->length = min(x->length, l->size - io->offset);
	return 0;
}

/* ---- the ways in ---- */

void store_fd_submit(struct store_channel *ch, struct store_io *io, struct store_fd *f)
{
	struct fdio *q = fdio_of(io);

	q->op.fd = f->fd;
	q->op.done = transferred;
	q->op.state = 0;
	q->f = f;
	q->pos = 0;
	q->seg = q->retries = 0;
	q->seg_off = 0;
	switch (io->verb) {
	case STORE_READ:
		read_submit(ch, io, f);
		break;
	case STORE_WRITE:
		write_submit(ch, io, f);
		break;
	case STORE_FLUSH:
		sync_submit(io, flushed);
		break;
	case STORE_DISCARD:
		range_submit(io, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
		break;
	case STORE_ZERO:
		range_submit(io, io->flags & STORE_MAY_UNMAP
					 ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
					 : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
		break;
	case STORE_EXTENTS:
		store_offload(ch, io, extents_run);
		break;
	default:
		store_done(io, -EOPNOTSUPP, io->offset);
	}
}

/* A hole beyond the end changes nothing in the file, and tells. */
static bool can_punch(const struct store_fd *f, off_t size)
{
	if (f->blockdev || size < 0)
		return false;
	return !fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)round_up((uint64_t)size, MIB(1)) + (off_t)MIB(1), 4096);
}

void store_fd_probe(struct store_fd *f)
{
	char byte;
	struct iovec v = { &byte, 1 };
	off_t size = lseek(f->fd, 0, SEEK_END);

	f->nowait_read = false;
	if (!f->direct)
		f->nowait_read = preadv2(f->fd, &v, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN;
	f->punch = can_punch(f, size);
	f->seek = !f->blockdev && (lseek(f->fd, 0, SEEK_DATA) >= 0 || errno == ENXIO);
}
