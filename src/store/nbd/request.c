/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a request to NBD commands and back. NBD takes one flat buffer a command, so a
 * request is one command for each of its segments, in the caller's memory; long ranges
 * without data are cut. The request ends when all its commands have.
 */
#include <errno.h>
#include <string.h>

#include "store/nbd/nbd.h"

/* Lengths are 32 bits wide in NBD; whole blocks of any size below that. */
#define RANGE_MAX (1ull << 31)
#define ALL_PIECES ((1u << PIECES) - 1)
/* Connections that a request may lose before it ends: it may be what kills the server. */
#define RESENDS_MAX 3

static bool has_data(const struct store_io *io)
{
	return io->verb == STORE_READ || io->verb == STORE_WRITE;
}

static bool changes(const struct store_io *io)
{
	return io->verb != STORE_READ && io->verb != STORE_EXTENTS && io->verb != STORE_FLUSH;
}

/* Is there a part that has not been sent? */
static bool more(const struct request *r, const struct store_io *io)
{
	if (r->err || r->held)
		return false;
	if (has_data(io))
		return r->number < io->iovcnt;
	if (io->verb == STORE_FLUSH || io->verb == STORE_EXTENTS)
		return !r->number;
	return r->offset < io->offset + io->length;
}

/* Where part @number of @io begins. */
static uint64_t part_offset(const struct store_io *io, uint32_t number)
{
	uint64_t offset = io->offset;

	if (!has_data(io))
		return offset + number * RANGE_MAX;
	for (uint32_t i = 0; i < number; i++)
		offset += io->iov[i].iov_len;
	return offset;
}

static void request_reset(struct request *r)
{
	struct store_io *io = request_io(r);

	r->conn = NULL;
	r->offset = io->offset;
	r->number = 0;
	r->busy = 0;
	r->err = 0;
	r->where = UINT64_MAX;
	r->held = r->queued = r->sending = r->was_dirty = false;
}

static void request_fail(struct request *r, uint32_t number, int err)
{
	uint64_t where = part_offset(request_io(r), number);

	if (where < r->where) {
		r->where = where;
		r->err = err;
	}
}

/* What a server may say, and what libnbd says of a command that it refused itself. */
static int error_of(int nbd_errno)
{
	switch (nbd_errno) {
	case EPERM:
		return -EROFS;
	case ENOSPC:
	case ENOMEM:
	case EIO:
		return -nbd_errno;
	case ENOTSUP:
		return -EOPNOTSUPP;
	case ESHUTDOWN:
		return -EAGAIN; /* it refused the command: nothing was done */
	default:
		return -EIO;
	}
}

/* What was answered with an error stays so; the rest may have happened or not. */
static void end_held(struct channel *c, struct request *r)
{
	if (!r->err) {
		r->err = -ENOTCONN;
		r->where = request_io(r)->offset;
	}
	r->held = false;
	queue_add(&c->ended, r);
}

/* All that was sent has been answered, or never will be. */
static void request_end(struct channel *c, struct request *r)
{
	/* a lost flush has made nothing stable */
	if ((r->held || r->err) && r->was_dirty)
		atomic_store_explicit(&c->st->dirty, true, memory_order_relaxed);
	if (r->held && r->cancelled && !changes(request_io(r)))
		end_held(c, r);
	else
		queue_add(r->held ? &c->held : &c->ended, r);
}

static void wait_for_turn(struct channel *c, struct request *r)
{
	r->queued = true;
	queue_push(&c->waiting, r);
}

/* A command of @r has ended, or @r's turn to send is over. */
static void request_look(struct channel *c, struct request *r)
{
	if (r->sending || r->queued)
		return;
	if (more(r, request_io(r)))
		wait_for_turn(c, r);
	else if (!r->busy)
		request_end(c, r);
}

static struct request *piece_request(struct piece *p)
{
	return (struct request *)(void *)((char *)(p - p->self) - offsetof(struct request, piece));
}

/*
 * A server may answer with pieces in any order, and libnbd does not look whether they are all there: what they
 * leave out is what was in that memory before, somebody else's data.
 */
static int data_came(void *arg, const void *at, size_t n, uint64_t offset, unsigned status,
		     int *error)
{
	struct piece *p = arg;
	const char *base = request_io(piece_request(p))->iov[p->number].iov_base;

	if (status == LIBNBD_READ_ERROR)
		return 0;
	p->disorder |= (const char *)at != base + p->seen;
	p->seen = n < UINT32_MAX - p->seen ? p->seen + (uint32_t)n : UINT32_MAX;
	return 0;
}

/* 0 or -errno of a READ that ended well, as the server says. */
static int data_complete(struct nbd_store *st, const struct piece *p, const struct iovec *v)
{
	if (p->seen != v->iov_len)
		return -EIO;
	if (!p->disorder || p->cleared)
		return 0;
	/* they may lie over each other: from now on memory is cleared before */
	atomic_store_explicit(&st->disorder, true, memory_order_relaxed);
	return -EAGAIN;
}

/* libnbd holds the handle's lock: nothing may be sent or finished here. */
static int command_done(void *arg, int *error)
{
	struct piece *p = arg;
	struct request *r = piece_request(p);
	struct connection *n = r->conn;
	const struct store_io *io = request_io(r);
	int err = *error ? error_of(*error) : 0;

	if (!err && io->verb == STORE_READ)
		err = data_complete(n->ch->st, p, &io->iov[p->number]);
	r->busy &= (uint16_t) ~(1u << p->self);
	n->inflight--;
	n->ch->inflight--;
	if (*error == ENOTCONN)
		r->held = true; /* no server says so: the connection ended before the answer */
	else if (err)
		request_fail(r, p->number, err);
	request_look(n->ch, r);
	return 1; /* libnbd forgets the command */
}

/* Lengths and flags come in pairs; the run that begins at the request's offset is wanted. */
static int extents_came(void *arg, const char *context, uint64_t offset, uint32_t *entries,
			size_t n, int *error)
{
	const uint32_t hole = LIBNBD_STATE_HOLE | LIBNBD_STATE_ZERO;
	struct store_io *io = request_io(piece_request(arg));
	uint64_t length = 0;
	bool mapped = true;

	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset != io->offset)
		return 0;
	for (size_t i = 0; i + 1 < n; i += 2) {
		bool m = (entries[i + 1] & hole) != hole;

		if (i && m != mapped)
			break;
		mapped = m;
		length += entries[i];
	}
	io->extent = (struct store_extent){ length, mapped };
	return 0;
}

/* ---- sending ---- */

/* Bytes of the next part. */
static uint64_t part_length(struct nbd_store *st, const struct request *r, const struct store_io *io)
{
	uint64_t left;

	if (has_data(io))
		return io->iov[r->number].iov_len;
	if (io->verb == STORE_FLUSH)
		return 0;
	if (io->verb == STORE_EXTENTS)
		left = store_size(st->s) - io->offset;
	else
		left = io->offset + io->length - r->offset;
	return left < RANGE_MAX ? left : RANGE_MAX;
}

static uint32_t flags_of(const struct nbd_store *st, const struct store_io *io)
{
	uint32_t flags = io->flags & STORE_FUA && st->features.fua ? LIBNBD_CMD_FLAG_FUA : 0;

	/*
	 * What NBD's TRIM leaves may read as anything, what DISCARD leaves may not. Zeroes that
	 * may be holes are the same without that; if they would have to be written, the server
	 * says so, and the hint is not taken.
	 */
	if (io->verb == STORE_DISCARD && st->features.fast_zero)
		flags |= LIBNBD_CMD_FLAG_FAST_ZERO;
	if (io->verb == STORE_ZERO && !(io->flags & STORE_MAY_UNMAP))
		flags |= LIBNBD_CMD_FLAG_NO_HOLE;
	return flags;
}

static int64_t command(struct nbd_store *st, struct nbd_handle *h, const struct store_io *io,
		       const struct iovec *v, uint64_t offset, uint64_t length, struct piece *p)
{
	nbd_completion_callback done = { .callback = command_done, .user_data = p };
	nbd_extent_callback came = { .callback = extents_came, .user_data = p };
	nbd_chunk_callback data = { .callback = data_came, .user_data = p };

	switch (io->verb) {
	case STORE_READ:
		p->cleared = atomic_load_explicit(&st->disorder, memory_order_relaxed);
		if (p->cleared)
			memset(v->iov_base, 0, length);
		return nbd_aio_pread_structured(h, v->iov_base, length, offset, data, done, 0);
	case STORE_WRITE:
		return nbd_aio_pwrite(h, v->iov_base, length, offset, done, flags_of(st, io));
	case STORE_FLUSH:
		return nbd_aio_flush(h, done, 0);
	case STORE_EXTENTS:
		return nbd_aio_block_status(h, length, offset, came, done, 0);
	default:
		return nbd_aio_zero(h, length, offset, done, flags_of(st, io));
	}
}

/* Send the next part of @r. False: libnbd did not take it. */
static bool send_part(struct connection *n, struct request *r)
{
	struct channel *c = n->ch;
	struct store_io *io = request_io(r);
	unsigned slot = (unsigned)__builtin_ctz(~(unsigned)r->busy);
	uint64_t offset = r->offset, length = part_length(c->st, r, io);
	const struct iovec *v = has_data(io) ? &io->iov[r->number] : NULL;

	r->piece[slot] = (struct piece){ .self = (uint8_t)slot, .number = r->number };
	/* before the call, which may call back already */
	r->busy |= (uint16_t)(1u << slot);
	r->number++;
	r->offset += length;
	n->inflight++;
	c->inflight++;
	if (command(c->st, n->h, io, v, offset, length, &r->piece[slot]) >= 0)
		return true;
	r->busy &= (uint16_t) ~(1u << slot);
	r->number--;
	r->offset -= length;
	n->inflight--;
	c->inflight--;
	return false;
}

/* While the socket is full nothing more is given to libnbd: so what it has was sent, but for one command. */
static bool has_room(const struct connection *n)
{
	return n->h && !n->dead && n->inflight < WINDOW &&
	       !(nbd_aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_WRITE);
}

/* Send what can be sent of @r. False: its connection takes no more for now. */
static bool send_parts(struct channel *c, struct request *r)
{
	struct connection *n = r->conn ? r->conn : connection_choose(c);
	struct store_io *io = request_io(r);
	bool room = true;

	r->conn = n;
	r->sending = true;
	while (more(r, io) && r->busy != ALL_PIECES) {
		room = has_room(n);
		if (!room)
			break;
		if (send_part(n, r))
			continue;
		room = !nbd_aio_is_dead(n->h) && !nbd_aio_is_closed(n->h);
		if (!room)
			break;
		request_fail(r, r->number, error_of(nbd_get_errno()));
	}
	r->sending = false;
	if (!r->number && !room)
		r->conn = NULL; /* another may have room before */
	return room;
}

void channel_pump(struct channel *c)
{
	struct request *r;
	bool room = true;

	while (room && !c->stopped && !c->connecting && (r = queue_pop(&c->waiting))) {
		r->queued = false;
		room = !more(r, request_io(r)) || send_parts(c, r);
		/* with all pieces busy it waits for one of them, not for its turn */
		if (room && r->busy == ALL_PIECES)
			continue;
		request_look(c, r);
	}
	for (unsigned i = 0; i < c->st->per_channel; i++)
		connection_turn(&c->conn[i]);
}

/* ---- the beginning and the end ---- */

void request_submit(struct store_channel *ch, struct store_io *io)
{
	struct channel *c = channel_priv(ch);
	struct request *r = io_request(io);

	request_reset(r);
	r->resent = 0;
	r->cancelled = false;
	if (io->verb == STORE_EXTENTS) /* the server may say nothing of them */
		io->extent = (struct store_extent){ 0 };
	if (c->stopped && !c->waits) {
		store_done(io, -EAGAIN, io->offset); /* nothing was sent */
		return;
	}
	if (io->verb == STORE_FLUSH)
		r->was_dirty = atomic_exchange_explicit(&c->st->dirty, false, memory_order_relaxed);
	r->queued = true;
	queue_add(&c->waiting, r);
	channel_pump(c);
	channel_finish(c);
}

/* Nobody waits any more: what waits for a server, and may end, ends. */
void request_cancel(struct store_channel *ch, struct store_io *io)
{
	struct channel *c = channel_priv(ch);
	struct request *r = io_request(io);

	r->cancelled = true;
	if (r->busy || r->sending)
		return;
	if (r->held && !changes(io)) {
		queue_remove(&c->held, r);
		end_held(c, r);
	} else if (r->queued && !r->number) {
		queue_remove(&c->waiting, r);
		r->queued = false;
		r->err = -ECANCELED;
		r->where = io->offset;
		request_end(c, r);
	}
	channel_finish(c);
}

/* An answer came, and it was good. */
static int believe(struct nbd_store *st, struct store_io *io)
{
	if (io->verb == STORE_EXTENTS) {
		uint64_t left = store_size(st->s) - io->offset;

		if (!io->extent.length)
			return -EIO;
		if (io->extent.length > left)
			io->extent.length = left;
	}
	if (io->verb == STORE_FLUSH && atomic_load_explicit(&st->lost, memory_order_relaxed) &&
	    atomic_exchange(&st->lost, false))
		return -EIO;
	if (changes(io) && !(io->flags & STORE_FUA && st->features.fua) &&
	    !atomic_load_explicit(&st->dirty, memory_order_relaxed))
		atomic_store_explicit(&st->dirty, true, memory_order_relaxed);
	return 0;
}

void channel_finish(struct channel *c)
{
	struct request *r;

	if (c->finishing)
		return;
	c->finishing = true;
	while ((r = queue_pop(&c->ended))) {
		struct store_io *io = request_io(r);
		int err = r->err;
		uint64_t where = r->where;

		if (!err && (err = believe(c->st, io)))
			where = io->offset;
		store_done(io, err, err ? where : 0);
	}
	c->finishing = false;
}

/* ---- while the server is away ---- */

bool request_changes(const struct request *r)
{
	return changes((const struct store_io *)(const void *)((const char *)r -
							       offsetof(struct store_io, room)));
}

void requests_fail_waiting(struct channel *c)
{
	struct queue q = c->waiting;
	struct request *r;

	c->waiting = (struct queue){ 0 };
	while ((r = queue_pop(&q))) {
		r->queued = false;
		/* of one that is partly sent the rest is not */
		if (more(r, request_io(r)))
			request_fail(r, r->number, r->number ? -ENOTCONN : -EAGAIN);
		request_look(c, r);
	}
}

void requests_end_held(struct channel *c, bool all)
{
	struct queue q = c->held;
	struct request *r;

	c->held = (struct queue){ 0 };
	while ((r = queue_pop(&q))) {
		struct store_io *io = request_io(r);

		if (!all && !changes(io)) {
			queue_add(&c->held, r);
			continue;
		}
		end_held(c, r);
	}
}

void requests_resume_held(struct channel *c)
{
	struct queue q = c->held;
	struct request *r;

	c->held = (struct queue){ 0 };
	while ((r = queue_pop(&q))) {
		if (r->resent++ == RESENDS_MAX) {
			end_held(c, r);
			continue;
		}
		request_reset(r);
		if (request_io(r)->verb == STORE_FLUSH)
			r->was_dirty = atomic_exchange_explicit(&c->st->dirty, false,
								memory_order_relaxed);
		r->queued = true;
		queue_add(&c->waiting, r);
	}
}
