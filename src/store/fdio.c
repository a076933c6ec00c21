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
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sgl.h"
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
	uint32_t limit; /* bytes at once, while a bad block is looked for; 0: none */
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

/* What the block layer and file systems say of a bad medium or link, and of a device that is gone. */
static int told(struct store_io *io, int err)
{
	switch (err) {
	case -ENODATA:
	case -EREMOTEIO:
	case -EILSEQ:
	case -EBADMSG:
	case -EUCLEAN:
	case -ENOLINK:
		return -EIO;
	case -ENODEV:
	case -ENXIO:
	case -ENOMEDIUM:
	case -ESTALE:
		store_notify(io->ch->store, STORE_LOST);
		return -ENODEV;
	default:
		return err;
	}
}

/* What is done at once ends at a multiple of this, so that no sector is ever half of one write. */
static uint32_t unit_of(const struct store_io *io)
{
	return max(io->ch->store->limits.block, SECTOR);
}

/* Cut the list of @n parts, of @bytes, to @to bytes, which is not 0. */
static unsigned cut(struct iovec *v, unsigned n, size_t bytes, size_t to)
{
	while (bytes - to >= v[n - 1].iov_len)
		bytes -= v[--n].iov_len;
	v[n - 1].iov_len -= bytes - to;
	return n;
}

/*
 * A short transfer ended within a segment, or less than all that is left is wanted.
 * Others may write the same place: what does not end with the request ends with a block.
 */
static void aim_within(struct store_io *io)
{
	struct fdio *q = fdio_of(io);
	size_t skip = q->seg_off, bytes = 0, to, tail;
	unsigned n = 0;

	for (unsigned i = q->seg; i < io->iovcnt && n < PARTS; i++) {
		const struct iovec *v = &io->iov[i];

		q->part[n++] = (struct iovec){ (char *)v->iov_base + skip, v->iov_len - skip };
		bytes += v->iov_len - skip;
		skip = 0;
	}
	to = q->limit ? min(bytes, (size_t)q->limit) : bytes;
	tail = (q->op.offset + to) % unit_of(io);
	if (q->pos + to < io->length && tail < to)
		to -= tail;
	q->op.iov = q->part;
	q->op.iovcnt = cut(q->part, n, bytes, to);
}

/* Aim the operation at what is left. */
static void aim(struct store_io *io)
{
	struct fdio *q = fdio_of(io);

	q->op.offset = io->offset + q->pos;
	if (q->seg_off || q->limit) {
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

/* A device says that it cannot read, but not where: read less. True if that is possible. */
static bool narrow(struct store_io *io)
{
	struct fdio *q = fdio_of(io);
	size_t tried = sgl_length(q->op.iov, q->op.iovcnt), unit = unit_of(io);

	if (io->verb != STORE_READ || !q->f->direct || tried <= unit)
		return false;
	q->limit = (uint32_t)max(unit, round_down(tried / 2, unit));
	return true;
}

static void transferred(struct io_op *op, int res)
{
	struct fdio *q = container_of(op, struct fdio, op);
	struct store_io *io = fdio_io(q);

	if (res < 0)
		res = told(io, res);
	if (res > 0) {
		if (advance(io, (size_t)res)) {
			store_done(io, 0, 0);
			return;
		}
	} else if (res == -EIO && narrow(io)) {
		q->retries = 0;
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

	store_done(io, res < 0 ? told(io, res) : 0, io->offset);
}

static void range_stable(struct io_op *op, int res)
{
	struct store_io *io = fdio_io(container_of(op, struct fdio, op));

	if (res < 0)
		store_stick(io->ch->store, "flush", res);
	flushed(op, res);
}

/* On a thread. For kernels whose fallocate() knows no devices (before Linux 4.9). */
static int device_zero(struct store_io *io)
{
	const struct store_fd *f = fdio_of(io)->f;
	uint64_t range[2] = { io->offset, io->length };

	if (ioctl(f->fd, BLKZEROOUT, range))
		return errno == ENOTTY || errno == EINVAL ? -EOPNOTSUPP : -errno;
	if (io->flags & STORE_FUA && fdatasync(f->fd)) {
		store_stick(io->ch->store, "flush", -errno);
		return -EIO;
	}
	return 0;
}

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_RANGE (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

static void range_submit(struct store_io *io, int mode);

static bool unknown(const struct store_fd *f, int res)
{
	return res == -EOPNOTSUPP || res == -ENOSYS || (f->blockdev && res == -ENODEV);
}

static void range_refused(struct store_io *io, int mode, int res)
{
	const struct store_fd *f = fdio_of(io)->f;

	if (io->verb == STORE_ZERO && unknown(f, res) && mode == PUNCH)
		range_submit(io, ZERO_RANGE);
	else if (io->verb == STORE_ZERO && unknown(f, res) && f->blockdev)
		store_offload(io->ch, io, device_zero);
	else
		store_done(io, unknown(f, res) ? -EOPNOTSUPP : told(io, res), io->offset);
}

static void range_done(struct io_op *op, int res)
{
	struct fdio *q = container_of(op, struct fdio, op);
	struct store_io *io = fdio_io(q);

	if (res == -EINTR && ++q->retries <= RETRIES)
		range_submit(io, op->mode);
	else if (res < 0)
		range_refused(io, op->mode, res);
	else if (io->flags & STORE_FUA)
		sync_submit(io, range_stable);
	else
		store_done(io, 0, 0);
}

/*
 * The kernel takes both modes for block devices too: zeroing with and without
 * unmapping, never a plain discard (BLKDISCARD), after which old data could be read.
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
	uint64_t block = max(io->ch->store->limits.block, 1u), size = store_size(io->ch->store);
	struct store_extent *x = &io->extent;
	int err;

	if (io->offset >= size) /* it has shrunk meanwhile */
		return -EINVAL;
	err = seek_extent(fdio_of(io)->f->fd, io->offset, size, x);
	if (err == -EOPNOTSUPP)
		*x = (struct store_extent){ size - io->offset, true };
	else if (err)
		return err;
	/* a block that is partly data is data */
	if (x->mapped || x->length < block)
		*x = (struct store_extent){ round_up(max(x->length, (uint64_t)1), block), true };
	else
		x->length = round_down(x->length, block);
	x->length = min(x->length, size - io->offset);
	return 0;
}

/* ---- the ways in ---- */

void store_fd_submit(struct store_channel *ch, struct store_io *io, struct store_fd *f)
{
	struct fdio *q = fdio_of(io);

	q->op.fd = f->fd;
	q->op.direct = f->direct;
	q->op.done = transferred;
	q->op.state = 0;
	q->f = f;
	q->pos = 0;
	q->seg = q->retries = 0;
	q->seg_off = 0;
	q->limit = 0;
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
		range_submit(io, PUNCH);
		break;
	case STORE_ZERO:
		range_submit(io, io->flags & STORE_MAY_UNMAP ? PUNCH : ZERO_RANGE);
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
	return !fallocate(f->fd, PUNCH, (off_t)round_up((uint64_t)size, MIB(1)) + (off_t)MIB(1),
			  4096);
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
