/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stores cannot do, in one place: FUA by a flush after, ZERO by writes of
 * zeroes, EXTENTS as all mapped, FLUSH of what has no cache, requests longer
 * than the store takes. A request goes step by step; each step shows the store
 * a piece in the fields of the request itself, so nothing is allocated.
 */
#include <errno.h>

#include "store/core.h"

#define ZERO_PAGE KIB(64)
#define ZERO_IOV 16

/*
 * ZERO and DISCARD go in pieces that end at multiples of this, so that a
 * cancel is heeded in between and a reactor that does them inline goes on.
 */
#define RANGE_PIECE MIB(128)

static alignas(4096) unsigned char zero_page[ZERO_PAGE]; /* never written */

static const struct iovec zero_iov[ZERO_IOV] = {
	[0 ... ZERO_IOV - 1] = { zero_page, ZERO_PAGE },
};

static const struct store_limits *limits_of(const struct store_io *io)
{
	return &io->ch->store->limits;
}

static void restore(struct store_io *io)
{
	const struct request *r = &core_of(io)->req;

	io->verb = r->verb;
	io->flags = r->flags;
	io->offset = r->offset;
	io->length = r->length;
	io->iov = r->iov;
	io->iovcnt = r->iovcnt;
}

static void finish(struct store_io *io, int err, uint64_t where)
{
	restore(io);
	store_finish(io, err, where);
}

/* ---- pieces of data ---- */

/* Whole segments of the caller's from where we are: no copy of the list. 0 if none fits. */
static uint64_t piece_in_place(struct store_io *io, uint64_t most, uint32_t block)
{
	const struct core *c = core_of(io);
	uint64_t len = 0, good = 0;
	unsigned n = 0, i = c->seg;

	if (c->seg_off)
		return 0;
	for (; i < c->req.iovcnt && c->req.iov[i].iov_len <= most - len; i++) {
		len += c->req.iov[i].iov_len;
		if (len % block)
			continue;
		good = len;
		n = i + 1 - c->seg;
	}
	io->iov = c->req.iov + c->seg;
	io->iovcnt = n;
	return good;
}

/* Cut @v, of @len bytes, to @to bytes. */
static unsigned trim(struct iovec *v, unsigned n, uint64_t len, uint64_t to)
{
	while (len - to >= v[n - 1].iov_len && len > to)
		len -= v[--n].iov_len;
	v[n - 1].iov_len -= len - to;
	return n;
}

/* Parts of segments, listed in the core's room. 0: a block lies in too many segments. */
static uint64_t piece_in_room(struct store_io *io, uint64_t most, uint32_t block)
{
	struct core *c = core_of(io);
	size_t skip = c->seg_off;
	uint64_t len = 0;
	unsigned n = 0;

	for (unsigned i = c->seg; i < c->req.iovcnt && n < CORE_IOV && len < most; i++) {
		const struct iovec *v = &c->req.iov[i];
		size_t part = min(v->iov_len - skip, most - len);

		if (part)
			c->iov[n++] = (struct iovec){ (char *)v->iov_base + skip, part };
		skip = 0;
		len += part;
	}
	if (len < block)
		return 0;
	io->iov = c->iov;
	io->iovcnt = trim(c->iov, n, len, len - len % block);
	return len - len % block;
}

static void advance(struct core *c, uint64_t len)
{
	c->pos += len;
	if (c->req.verb != STORE_READ && c->req.verb != STORE_WRITE)
		return;
	while (len) {
		size_t left = c->req.iov[c->seg].iov_len - c->seg_off;

		if (len < left) {
			c->seg_off += len;
			return;
		}
		len -= left;
		c->seg++;
		c->seg_off = 0;
	}
}

/* What a piece of at most @most bytes is a multiple of. */
static uint32_t unit_of(const struct store_limits *l, uint64_t most)
{
	uint32_t block = max(l->block, 1u);

	return most >= SECTOR ? max(block, SECTOR) : block;
}

static bool data_piece(struct store_io *io)
{
	const struct store_limits *l = limits_of(io);
	struct core *c = core_of(io);
	uint64_t left = c->req.length - c->pos;
	uint64_t most = l->max_io ? min(left, (uint64_t)l->max_io) : left;
	uint32_t unit = unit_of(l, most);

	io->length = piece_in_place(io, most, unit);
	if (!io->length)
		io->length = piece_in_room(io, most, unit);
	io->verb = c->req.verb;
	io->flags = l->fua ? c->req.flags : 0;
	return io->length != 0;
}

/* ---- pieces without data ---- */

static void zero_piece(struct store_io *io)
{
	const struct store_limits *l = limits_of(io);
	struct core *c = core_of(io);
	uint64_t left = c->req.length - c->pos;
	uint64_t most = min(left, (uint64_t)ZERO_PAGE * ZERO_IOV);

	if (l->max_io)
		most = min(most, (uint64_t)l->max_io);
	io->verb = STORE_WRITE;
	io->flags = 0;
	if (most >= ZERO_PAGE) {
		io->iov = zero_iov;
		io->iovcnt = (unsigned)(most / ZERO_PAGE);
		io->length = (uint64_t)io->iovcnt * ZERO_PAGE;
		return;
	}
	most -= most % unit_of(l, most);
	c->iov[0] = (struct iovec){ zero_page, most };
	io->iov = c->iov;
	io->iovcnt = 1;
	io->length = most;
}

static void range_piece(struct store_io *io)
{
	const struct store_limits *l = limits_of(io);
	struct core *c = core_of(io);
	uint64_t most = RANGE_PIECE - io->offset % RANGE_PIECE;

	if (c->req.verb == STORE_DISCARD && l->max_discard)
		most = min(most, l->max_discard);
	if (l->block > 1 && most > l->block)
		most -= most % l->block;
	io->verb = c->req.verb;
	io->flags = l->fua ? c->req.flags : c->req.flags & ~(uint32_t)STORE_FUA;
	io->length = min(most, c->req.length - c->pos);
	io->iov = NULL;
	io->iovcnt = 0;
}

/* All of it, for verbs that are not cut: only FUA is emulated. */
static void whole_piece(struct store_io *io)
{
	restore(io);
	io->flags &= ~(uint32_t)STORE_FUA;
}

/* ---- steps ---- */

static void step_flush(struct store_io *io)
{
	core_of(io)->flush = false;
	restore(io);
	io->verb = STORE_FLUSH;
	io->flags = 0;
	io->length = 0; /* it has no range: who counts bytes sees none */
	io->iov = NULL;
	io->iovcnt = 0;
	store_pass(io);
}

void emulate_next(struct store_io *io)
{
	struct core *c = core_of(io);
	bool data = c->req.verb == STORE_READ || c->req.verb == STORE_WRITE;

	io->offset = c->req.offset + c->pos;
	if (c->pos == c->req.length) {
		if (c->flush)
			step_flush(io);
		else
			finish(io, 0, 0);
		return;
	}
	if (atomic_load_explicit(&c->cancelled, memory_order_relaxed)) {
		finish(io, -ECANCELED, io->offset);
		return;
	}
	if (c->by_writes)
		zero_piece(io);
	else if (c->req.verb == STORE_ZERO || c->req.verb == STORE_DISCARD)
		range_piece(io);
	else if (!data)
		whole_piece(io);
	else if (!data_piece(io)) {
		finish(io, -EINVAL, io->offset);
		return;
	}
	store_pass(io);
}

static void need_flush(struct store_io *io)
{
	const struct store_limits *l = limits_of(io);

	core_of(io)->flush = l->cap[STORE_FLUSH] == STORE_CAP_NATIVE;
}

static _Atomic bool *no_zero(struct store_io *io)
{
	return &io->ch->store->no_zero[!!(core_of(io)->req.flags & STORE_MAY_UNMAP)];
}

/* The store took a piece and says no such thing is possible here. True if we go on. */
static bool unsupported(struct store_io *io)
{
	struct core *c = core_of(io);

	if (io->verb == STORE_ZERO && limits_of(io)->cap[STORE_WRITE] == STORE_CAP_NATIVE) {
		atomic_store_explicit(no_zero(io), true, memory_order_relaxed);
		c->by_writes = true;
		if (c->req.flags & STORE_FUA)
			need_flush(io);
		return true;
	}
	if (io->verb == STORE_DISCARD) {
		c->pos = c->req.length;
		return true;
	}
	return false;
}

static void step_done(struct store_io *io)
{
	struct core *c = core_of(io);

	if (io->err == -EOPNOTSUPP && unsupported(io)) {
		store_requeue(io);
	} else if (io->err) {
		finish(io, io->err, io->verb == STORE_FLUSH ? c->req.offset : io->where);
	} else if (io->verb == STORE_FLUSH) {
		finish(io, 0, 0);
	} else {
		advance(c, io->length);
		store_requeue(io);
	}
}

static void steps(struct store_io *io)
{
	struct core *c = core_of(io);

	c->req =
		(struct request){ io->verb, io->flags, io->offset, io->length, io->iov, io->iovcnt };
	c->pos = 0;
	c->seg = 0;
	c->seg_off = 0;
	c->flush = false;
	c->by_writes =
		io->verb == STORE_ZERO && (limits_of(io)->cap[STORE_ZERO] == STORE_CAP_EMULATE ||
					   atomic_load_explicit(no_zero(io), memory_order_relaxed));
	if (io->flags & STORE_FUA && store_writes(io->verb) && (!limits_of(io)->fua || c->by_writes))
		need_flush(io);
	io->core_done = step_done;
	emulate_next(io);
}

void emulate_start(struct store_io *io)
{
	io->flags &= ~(uint32_t)(STORE_MAY_LEND | STORE_MAY_LEND_MAPPING); /* pieces are not lent */
	if (io->verb == STORE_FLUSH) {
		store_finish(io, 0, 0);
	} else if (io->verb == STORE_EXTENTS) {
		io->extent = (struct store_extent){ store_size(io->ch->store) - io->offset, true };
		store_finish(io, 0, 0);
	} else {
		steps(io);
	}
}
