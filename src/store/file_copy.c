/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COPY between files: shared blocks where the file system can (FICLONERANGE), else the
 * kernel's copy_file_range(), piece by piece on a thread. What neither does ends with
 * -EOPNOTSUPP before anything is changed, or changed for the worse.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "store/core.h"
#include "store/file.h"

/* A piece cannot be interrupted; the data of one of this size takes some 10 ms. */
#define COPY_PIECE MIB(16)
#define CLONE_PIECE MIB(1024)
/* Pieces that overlap must not be longer than the way they go: below this it is not worth it. */
#define SHIFT_MIN KIB(64)

/* In io->room. */
struct copy {
	struct store_fd *to;
	int from; /* descriptor */
	_Atomic bool cancelled;
};

static_assert(sizeof(struct copy) <= STORE_OWN_ROOM, "a copy's room");

static struct copy *copy_of(struct store_io *io)
{
	return (struct copy *)(void *)io->room;
}

static int clone_piece(const struct copy *c, uint64_t from, uint64_t to, uint64_t len)
{
	struct file_clone_range r = {
		.src_fd = c->from, .src_offset = from, .src_length = len, .dest_offset = to
	};

	return ioctl(c->to->fd, FICLONERANGE, &r) ? -errno : 0;
}

/* Bytes, 0 at the end of what there is, or -errno. */
static ssize_t copy_piece(const struct copy *c, uint64_t from, uint64_t to, uint64_t len)
{
	off_t in = (off_t)from, out = (off_t)to;
	ssize_t n;

	do
		n = copy_file_range(c->from, &in, c->to->fd, &out, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Other files, other file systems, files of kinds that know no copying. */
static bool is_impossible(int err)
{
	return err == -EXDEV || err == -EOPNOTSUPP || err == -EINVAL || err == -ENOSYS ||
	       err == -ENOTTY || err == -EPERM || err == -ETXTBSY || err == -EBADF;
}

/* All of [to, to + len) by copying. *@done: bytes from the start that are there. */
static int copy_range(struct copy *c, uint64_t from, uint64_t to, uint64_t len, uint64_t *done)
{
	*done = 0;
	while (*done < len) {
		ssize_t n;

		if (atomic_load_explicit(&c->cancelled, memory_order_relaxed))
			return -ECANCELED;
		n = copy_piece(c, from + *done, to + *done, min(len - *done, (uint64_t)COPY_PIECE));
		if (n < 0)
			return (int)n;
		if (!n)
			return -EIO; /* the source ends before its store does */
		*done += (uint64_t)n;
	}
	return 0;
}

/* All of it by sharing. -EOPNOTSUPP: copy what is left from *@done on. */
static int clone_range(struct copy *c, uint64_t from, uint64_t to, uint64_t len, uint64_t *done)
{
	*done = 0;
	while (*done < len) {
		uint64_t n = min(len - *done, (uint64_t)CLONE_PIECE);
		int err;

		if (atomic_load_explicit(&c->cancelled, memory_order_relaxed))
			return -ECANCELED;
		err = clone_piece(c, from + *done, to + *done, n);
		if (err)
			return is_impossible(err) ? -EOPNOTSUPP : err;
		*done += n;
	}
	return 0;
}

static int apart(struct copy *c, const struct store_io *io)
{
	uint64_t shared, copied;
	int err = clone_range(c, io->from_offset, io->offset, io->length, &shared);

	if (err != -EOPNOTSUPP)
		return err;
	err = copy_range(c, io->from_offset + shared, io->offset + shared, io->length - shared,
			 &copied);
	return is_impossible(err) ? -EOPNOTSUPP : err;
}

/*
 * Source and destination overlap: piece by piece, from the end that the data moves to, so that
 * nothing is overwritten that is still to be read, as memmove() has it.
 */
static int overlapping(struct copy *c, const struct store_io *io)
{
	bool up = io->offset > io->from_offset;
	uint64_t shift = up ? io->offset - io->from_offset : io->from_offset - io->offset;
	uint64_t left = io->length, n, at, moved = 0;
	int err = 0;

	if (shift < SHIFT_MIN)
		return -EOPNOTSUPP;
	for (; left && !err; left -= n) {
		n = min(left, shift);
		at = up ? left - n : io->length - left;
		err = copy_range(c, io->from_offset + at, io->offset + at, n, &moved);
		if (is_impossible(err) && left == io->length && !moved)
			return -EOPNOTSUPP;
	}
	/* reading and writing it all again would read what has been written */
	return is_impossible(err) ? -EIO : err;
}

static int copy_run(struct store_io *io)
{
	struct copy *c = copy_of(io);
	bool same = io->from == io->ch->store;
	int err = 0;

	c->from = file_of_store(io->from);
	if (c->from < 0)
		return -EOPNOTSUPP;
	if (!same || io->offset >= io->from_offset + io->length ||
	    io->from_offset >= io->offset + io->length)
		err = apart(c, io);
	else if (io->offset != io->from_offset)
		err = overlapping(c, io);
	if (!err && io->flags & STORE_FUA && !c->to->sync && fdatasync(c->to->fd)) {
		err = -errno;
		store_stick(io->ch->store, "flush", err);
	}
	return err;
}

void file_copy(struct store_channel *ch, struct store_io *io, struct store_fd *to)
{
	struct copy *c = copy_of(io);

	c->to = to;
	atomic_init(&c->cancelled, false);
	store_offload(ch, io, copy_run);
}

void file_copy_cancel(struct store_io *io)
{
	atomic_store_explicit(&copy_of(io)->cancelled, true, memory_order_relaxed);
}
