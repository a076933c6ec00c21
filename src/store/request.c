/* SPDX-License-Identifier: BSD-2-Clause */
/* The road of a request through the core; core.h has the map. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/sgl.h"
#include "reactor/bufpool.h"
#include "store/core.h"

/* Requests and steps taken from a channel's queue in one run, and bytes that they move. */
#define RUN_MAX 256
#define RUN_BYTES KIB(256) /* what was read here is sent while it is in the cache */

static bool has_data(enum store_verb verb)
{
	return verb == STORE_READ || verb == STORE_WRITE;
}

/* Bytes that the segments of @io must have. */
static uint64_t data_length(const struct store_io *io)
{
	return io->verb == STORE_COMPARE_WRITE ? 2 * io->length : io->length;
}

static int check_memory(const struct store_limits *l, const struct store_io *io)
{
	uint64_t len = sgl_length(io->iov, io->iovcnt);

	if (io->verb == STORE_WRITE_SAME) {
		if (!len || len % max(l->block, 1u) || io->length % len)
			return -EINVAL;
	} else if (len != data_length(io)) {
		return -EINVAL;
	}
	if (l->mem_align > 1 && !sgl_aligned(io->iov, io->iovcnt, l->mem_align))
		return -EINVAL;
	return 0;
}

static bool in_blocks(const struct store_limits *l, uint64_t offset, uint64_t length)
{
	return l->block <= 1 || (offset % l->block == 0 && length % l->block == 0);
}

static int check_copy(const struct store_io *io)
{
	const struct store *from = io->from;

	if (!from || !range_fits(io->from_offset, io->length, store_size(from)) ||
	    !in_blocks(&from->limits, io->from_offset, io->length))
		return -EINVAL;
	return 0;
}

static int check_range(const struct store *s, const struct store_io *io)
{
	const struct store_limits *l = &s->limits;
	uint64_t size = store_size(s);

	if (io->verb == STORE_FLUSH || io->verb == STORE_RESET)
		return 0;
	if (io->verb == STORE_RAW)
		return io->raw ? 0 : -EINVAL;
	if (io->verb == STORE_EXTENTS)
		return io->offset < size ? 0 : -EINVAL;
	if (!range_fits(io->offset, io->length, size) || !in_blocks(l, io->offset, io->length))
		return -EINVAL;
	if (io->verb == STORE_COMPARE_WRITE && io->length > l->max_compare)
		return -EINVAL;
	if (io->verb == STORE_COPY)
		return check_copy(io);
	return io->verb == STORE_DISCARD || io->verb == STORE_ZERO ? 0 : check_memory(l, io);
}

static int check(struct store *s, const struct store_io *io)
{
	if (atomic_load_explicit(&s->state, memory_order_relaxed) != STORE_OPEN)
		return -ENODEV;
	if ((unsigned)io->verb >= STORE_VERBS ||
	    io->flags & ~(STORE_FUA | STORE_MAY_UNMAP | STORE_MAY_LEND | STORE_MAY_LEND_MAPPING))
		return -EINVAL;
	if (unlikely(store_why_away(s)))
		return -ENOTCONN;
	if (store_writes(io->verb) && s->limits.readonly)
		return -EROFS;
	if (s->limits.cap[io->verb] == STORE_CAP_NO)
		return -EOPNOTSUPP;
	if ((store_writes(io->verb) || io->verb == STORE_FLUSH) && store_has_error(s))
		return -EIO;
	return check_range(s, io);
}

/* The store can take @io as it is. */
static bool plain(const struct store_limits *l, const struct store_io *io)
{
	if (io->verb == STORE_ZERO || io->verb == STORE_DISCARD ||
	    l->cap[io->verb] != STORE_CAP_NATIVE)
		return false;
	if (has_data(io->verb) && l->max_io && io->length > l->max_io)
		return false;
	return !store_writes(io->verb) || !(io->flags & STORE_FUA) || l->fua;
}

static void start(struct store_io *io)
{
	struct store *s = io->ch->store;
	int err = check(s, io);

	if (!err && atomic_load_explicit(&core_of(io)->cancelled, memory_order_relaxed))
		err = -ECANCELED;
	if (err || (!io->length && (has_data(io->verb) || store_writes(io->verb))))
		store_finish(io, err, io->offset);
	else if (plain(&s->limits, io))
		store_pass(io);
	else
		emulate_start(io);
}

void store_pass(struct store_io *io)
{
	struct core *c = core_of(io);

	c->with_store = true;
	c->top = io->ch;
	io->ch->store->ops->submit(io->ch, io);
}

/* Step 3 of a turn. What comes while it runs waits for its next run. */
void channel_run(struct later *l)
{
	struct store_channel *ch = container_of(l, struct store_channel, later);
	struct list now;
	struct list *n;
	unsigned budget = RUN_MAX;
	uint64_t bytes = 0;

	list_init(&now);
	list_splice(&now, &ch->queue);
	while (budget-- && bytes < RUN_BYTES && (n = list_pop(&now))) {
		struct store_io *io = core_io(list_entry(n, struct core, link));

		bytes += has_data(io->verb) ? io->length : 0;
		if (io->core_done)
			emulate_next(io);
		else
			start(io);
	}
	/* the rest goes before what came meanwhile */
	list_splice(&now, &ch->queue);
	list_splice(&ch->queue, &now);
	if (!list_empty(&ch->queue))
		reactor_later(ch->reactor, &ch->later, LATER_STORE);
}

static void enqueue(struct store_io *io)
{
	struct store_channel *ch = io->ch;

	list_add(&ch->queue, &core_of(io)->link);
	reactor_later(ch->reactor, &ch->later, LATER_STORE);
}

void store_requeue(struct store_io *io)
{
	enqueue(io);
}

/* ---- to the home and back ---- */

static void arrived(struct msg *m)
{
	enqueue(core_io(container_of(m, struct core, msg)));
}

static void deliver(struct store_io *io)
{
	struct store_channel *ch = core_of(io)->from;
	unsigned n = atomic_load_explicit(&ch->inflight, memory_order_relaxed) - 1;

	atomic_store_explicit(&ch->inflight, n, memory_order_relaxed);
	io->ch = ch;
	io->done(io);
	channel_check_drained(ch);
}

static void returned(struct msg *m)
{
	deliver(core_io(container_of(m, struct core, msg)));
}

void store_finish(struct store_io *io, int err, uint64_t where)
{
	struct core *c = core_of(io);

	io->err = err;
	io->where = err ? where : 0;
	if (unlikely(err && io->lent)) { /* a layer made an error of what was read well */
		buf_put(io->lent);
		io->lent = NULL;
	}
	if (c->from == io->ch)
		deliver(io);
	else
		reactor_post(c->from->reactor, &c->msg, returned);
}

/* ---- the two ends ---- */

static void refused(struct msg *m)
{
	struct store_io *io = core_io(container_of(m, struct core, msg));

	io->done(io);
}

/* No channel here: there is nothing to count on, so the mailbox alone brings it back. */
static void refuse(struct store_io *io)
{
	struct reactor *self = reactor_self();

	assert(self);
	io->err = -ENODEV;
	io->where = io->offset;
	reactor_post(self, &core_of(io)->msg, refused);
}

void store_submit(struct store *s, struct store_io *io)
{
	struct store_channel *ch = store_channel_here(s);
	struct core *c = core_of(io);
	unsigned n;

	io->ch = ch;
	io->core_done = NULL;
	io->lent = NULL;
	c->from = ch;
	c->with_store = false;
	c->depth = 0;
	atomic_init(&c->cancelled, false);
	if (unlikely(!ch)) {
		refuse(io);
		return;
	}
	n = atomic_load_explicit(&ch->inflight, memory_order_relaxed) + 1;
	atomic_store_explicit(&ch->inflight, n, memory_order_relaxed);
	if (ch->serves) {
		enqueue(io);
		return;
	}
	io->ch = s->home;
	io->flags &= ~(uint32_t)(STORE_MAY_LEND |
				 STORE_MAY_LEND_MAPPING); /* its users are counted there */
	reactor_post(s->home->reactor, &c->msg, arrived);
}

void store_cancel(struct store_io *io)
{
	struct core *c = core_of(io);
	struct store_channel *ch = c->from;

	atomic_store_explicit(&c->cancelled, true, memory_order_relaxed);
	/* what is with the home is cancelled between its steps only */
	if (ch && ch->serves && c->with_store && io->ch->store->ops->cancel)
		io->ch->store->ops->cancel(io->ch, io);
}

/*
 * Another's failed flush may have taken the one report of what this request wrote: while
 * the error stands, no success of making data stable is believed.
 */
static bool disbelieved(const struct store_io *io)
{
	return (io->verb == STORE_FLUSH || (store_writes(io->verb) && io->flags & STORE_FUA)) &&
	       store_has_error(io->ch->store);
}

void store_below(struct store_channel *ch, struct store_io *io,
		 void (*done)(struct store_channel *ch, struct store_io *io, int err,
			      uint64_t where, uint64_t mark),
		 uint64_t mark)
{
	struct core *c = core_of(io);

	if (done)
		c->frame[c->depth++] = (struct frame){ done, ch, mark };
	io->ch = ch->below;
	io->ch->store->ops->submit(io->ch, io);
}

void store_done(struct store_io *io, int err, uint64_t where)
{
	struct core *c = core_of(io);

	if (unlikely(!err && disbelieved(io))) {
		err = -EIO;
		where = io->offset;
	}
	if (unlikely(err && io->verb == STORE_FLUSH && err != -ECANCELED && err != -EAGAIN &&
		     err != -ENOTCONN))
		store_stick(io->ch->store, "flush", err);
	if (c->depth) {
		const struct frame *f = &c->frame[--c->depth];

		io->ch = f->ch;
		f->done(f->ch, io, err, where, f->mark);
		return;
	}
	io->ch = c->top;
	c->with_store = false;
	if (!io->core_done) {
		store_finish(io, err, where);
		return;
	}
	io->err = err;
	io->where = where;
	io->core_done(io);
}

void store_stick(struct store *s, const char *what, int err)
{
	if (!atomic_exchange(&s->base->sticky, true))
		log_err("store %s%s%s: %s failed: %s; what was written may be lost, so writes are "
			"refused until an operator clears the error",
			store_type(s), *store_path(s) ? " " : "", store_path(s), what,
			strerror(-err));
}

void store_clear_error(struct store *s)
{
	atomic_store(&s->base->sticky, false);
}

void store_inherit_error(struct store *s)
{
	atomic_store(&s->base->sticky, true);
}

bool store_has_error(const struct store *s)
{
	return atomic_load_explicit(&s->base->sticky, memory_order_relaxed);
}

unsigned store_inflight(const struct store *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < array_size(s->ch); i++)
		if (s->ch[i])
			n += atomic_load_explicit(&s->ch[i]->inflight, memory_order_relaxed);
	return n;
}
