/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A write cache that a power cut empties, for tests of who believes what is
 * stable. Writes stay here until a FLUSH, or until the memory is full: then
 * the oldest go below, without a flush, so that they may survive or not, as on
 * a real disk. After the cut everything ends with -ENODEV and nothing goes
 * below any more, until the store is opened anew. Closing is a cut too.
 *
 * All of it is on the home reactor. Requests start in the order of their
 * arrival. Those that move data down, or must not see it move, are alone:
 * they begin when nothing reads below, and what comes meanwhile waits.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "stgt/store.h"
#include "store/builtin.h"
#include "store/layer/cache.h"
#include "store/layer/trigger.h"

#define MEMORY_DEFAULT MIB(16)
#define MEMORY_MIN KIB(64)
#define MEMORY_MAX MIB(1024)
#define RUN 64 /* blocks that go down in one write */

struct volatile_store {
	struct cache cache;
	struct trigger trigger;
	struct trigger_watch watch;
	struct store_channel *ch;
	struct list queue; /* struct waiting */
	unsigned reading; /* requests below that must not see data move */
	bool alone; /* one request has everything for itself */
	bool cut, flush_below, running;
	uint64_t requests, cut_after; /* 0: never */
	uint32_t want; /* free slots, until which blocks go down */
	struct store_io *for_whom; /* who is alone */
	struct store_io own; /* a request to the store below */
	struct iovec iov[RUN];
};

struct waiting {
	struct list link;
};

static struct volatile_store *vol_of(struct store_channel *ch)
{
	return store_priv(channel_store(ch));
}

static void run(struct volatile_store *v);
static void end_alone(struct volatile_store *v, int err, uint64_t where);

/* ---- the power --------------------------------------------------------------------- */

static bool is_cut(struct volatile_store *v)
{
	if (v->trigger.path && trigger_on(&v->watch))
		v->cut = true;
	if (v->cut_after && v->requests > v->cut_after)
		v->cut = true;
	return v->cut;
}

/* ---- blocks go down ------------------------------------------------------------------ */

static void go_down(struct volatile_store *v);

static void went_down(struct store_io *io)
{
	struct volatile_store *v = container_of(io, struct volatile_store, own);

	if (io->err) {
		end_alone(v, io->err, v->for_whom->offset);
		return;
	}
	cache_drop(&v->cache, io->offset, io->length);
	go_down(v);
}

static void below_done(struct store_channel *ch, struct store_io *io, int err, uint64_t where,
		       uint64_t mark)
{
	end_alone(vol_of(ch), err, where);
}

/* There is room, or nothing is kept any more: do what it was for. */
static void is_down(struct volatile_store *v)
{
	struct store_io *io = v->for_whom;

	if (io->verb == STORE_WRITE) {
		cache_write(&v->cache, io->offset, io->length, io->iov);
		end_alone(v, 0, 0);
	} else if (io->verb == STORE_FLUSH && !v->flush_below) {
		end_alone(v, 0, 0);
	} else {
		store_below(v->ch, io, below_done, 0);
	}
}

/* What goes down next, into v->iov. Blocks that the store has no room for any more, having been cut, are lost. */
static unsigned oldest(struct volatile_store *v, uint64_t *offset)
{
	uint64_t size = store_size(channel_store(v->ch));
	unsigned n;

	while ((n = cache_oldest(&v->cache, offset, v->iov, RUN)) && *offset >= size)
		cache_drop(&v->cache, *offset, (uint64_t)n * v->cache.unit);
	return n ? (unsigned)min((uint64_t)n, (size - *offset) / v->cache.unit) : 0;
}

static void go_down(struct volatile_store *v)
{
	uint64_t offset;
	unsigned n;

	if (v->cut) {
		end_alone(v, -ENODEV, v->for_whom->offset);
		return;
	}
	n = v->cache.free < v->want ? oldest(v, &offset) : 0;
	if (!n) {
		is_down(v);
		return;
	}
	v->own.verb = STORE_WRITE;
	v->own.flags = 0;
	v->own.offset = offset;
	v->own.length = (uint64_t)n * v->cache.unit;
	v->own.iov = v->iov;
	v->own.iovcnt = n;
	v->own.done = went_down;
	store_submit(store_under(channel_store(v->ch)), &v->own);
}

/* ---- requests -------------------------------------------------------------------------- */

static void end_alone(struct volatile_store *v, int err, uint64_t where)
{
	struct store_io *io = v->for_whom;

	v->alone = false;
	if (v->cut && !err)
		store_done(io, -ENODEV, io->offset);
	else
		store_done(io, err, where);
	run(v);
}

/* Blocks go down until @want slots are free, then @io is done. False: not yet. */
static bool alone(struct volatile_store *v, struct store_io *io, uint32_t want)
{
	if (v->reading)
		return false;
	v->alone = true;
	v->for_whom = io;
	v->want = want;
	go_down(v);
	return true;
}

static void end_reading(struct volatile_store *v, struct store_io *io, int err, uint64_t where)
{
	v->reading--;
	store_done(io, err, where);
	run(v);
}

static void read_done(struct store_channel *ch, struct store_io *io, int err, uint64_t where,
		      uint64_t mark)
{
	end_reading(vol_of(ch), io, err, where);
}

/* The whole range was read below: what is kept here goes over it. */
static void mixed_done(struct store_io *own)
{
	struct volatile_store *v = container_of(own, struct volatile_store, own);
	struct store_io *io = v->for_whom;

	cache_read(&v->cache, io->offset, io->length, io->iov);
	end_alone(v, own->err, own->where);
}

/* With a request of our own: the caller may accept memory in which nothing can be changed. */
static void read_mixed(struct volatile_store *v, struct store_io *io)
{
	v->alone = true;
	v->for_whom = io;
	v->own.verb = STORE_READ;
	v->own.flags = 0;
	v->own.offset = io->offset;
	v->own.length = io->length;
	v->own.iov = io->iov;
	v->own.iovcnt = io->iovcnt;
	v->own.done = mixed_done;
	store_submit(store_under(channel_store(v->ch)), &v->own);
}

static void start_read(struct volatile_store *v, struct store_io *io)
{
	uint64_t kept = cache_has(&v->cache, io->offset, io->length);

	if (kept == io->length) {
		cache_read(&v->cache, io->offset, io->length, io->iov);
		store_done(io, 0, 0);
	} else if (kept) {
		read_mixed(v, io);
	} else {
		v->reading++;
		store_below(v->ch, io, read_done, 0);
	}
}

static bool start_write(struct volatile_store *v, struct store_io *io)
{
	uint32_t n = (uint32_t)(io->length / v->cache.unit);

	if (v->cache.free < n)
		return alone(v, io, max(n, v->cache.slots / 4));
	cache_write(&v->cache, io->offset, io->length, io->iov);
	store_done(io, 0, 0);
	return true;
}

static void extents_done(struct store_channel *ch, struct store_io *io, int err, uint64_t where,
			 uint64_t mark)
{
	struct volatile_store *v = vol_of(ch);

	if (!err && !io->extent.mapped) {
		uint64_t len = cache_run(&v->cache, io->offset, io->extent.length, false);

		io->extent.length = len ? len : v->cache.unit;
		io->extent.mapped = !len; /* written while we looked */
	}
	end_reading(v, io, err, where);
}

static void start_extents(struct volatile_store *v, struct store_io *io)
{
	/* what is asked about may begin within a block */
	uint64_t size = store_size(channel_store(v->ch)),
		 block = io->offset - io->offset % v->cache.unit;
	uint64_t len = cache_run(&v->cache, block, size - block, true);

	if (len) {
		io->extent = (struct store_extent){ len - (io->offset - block), true };
		store_done(io, 0, 0);
		return;
	}
	v->reading++;
	store_below(v->ch, io, extents_done, 0);
}

/* False: it must wait for what reads below. */
static bool start(struct volatile_store *v, struct store_io *io)
{
	if (v->cut) {
		store_done(io, -ENODEV, io->offset);
		return true;
	}
	switch (io->verb) {
	case STORE_READ:
		start_read(v, io);
		return true;
	case STORE_WRITE:
		return start_write(v, io);
	case STORE_EXTENTS:
		start_extents(v, io);
		return true;
	default: /* FLUSH, DISCARD */
		return alone(v, io, v->cache.slots);
	}
}

/* Once at a time: what ends within it comes back here. */
static void run(struct volatile_store *v)
{
	if (v->running)
		return;
	v->running = true;
	while (!v->alone && !list_empty(&v->queue)) {
		struct list *n = list_pop(&v->queue);
		struct store_io *io = container_of((unsigned char *)n, struct store_io, room);

		if (start(v, io))
			continue;
		list_push(&v->queue, n);
		break;
	}
	v->running = false;
}

static void volatile_submit(struct store_channel *ch, struct store_io *io)
{
	struct volatile_store *v = vol_of(ch);
	struct waiting *w = (struct waiting *)(void *)io->room;

	v->requests++;
	if (is_cut(v)) {
		store_done(io, -ENODEV, io->offset);
		return;
	}
	list_add(&v->queue, &w->link);
	run(v);
}

/* ---- life -------------------------------------------------------------------------------- */

static void narrow(struct store_limits *l, uint64_t memory, uint32_t unit)
{
	uint64_t most = memory / 2 / unit * unit;

	l->affinity = STORE_AFFINITY_HOME;
	l->block = unit;
	l->max_io = (uint32_t)(l->max_io ? min(l->max_io, most) : most);
	l->fua = false; /* the core flushes after */
	l->write_through = false;
	l->cap[STORE_FLUSH] = STORE_CAP_NATIVE;
	if (l->cap[STORE_ZERO] != STORE_CAP_NO)
		l->cap[STORE_ZERO] = STORE_CAP_EMULATE;
	for (unsigned i = STORE_WRITE_SAME; i < STORE_VERBS; i++)
		l->cap[i] = STORE_CAP_NO;
	l->max_compare = 0;
}

static int volatile_options(struct store *s, struct volatile_store *v, uint32_t block,
			    uint64_t *memory, struct err *e)
{
	int err = store_option_size(s, "memory", memory, e);

	if (!err)
		err = store_option_number(s, "cut_after", &v->cut_after, e);
	if (err)
		return err;
	if (*memory < MEMORY_MIN || *memory > MEMORY_MAX)
		return store_err(e, -EINVAL,
				 "memory=%llu of store %s is not possible: from 64K to 1G are",
				 (unsigned long long)*memory, store_type(s));
	if (*memory < 2ull * block)
		return store_err(e, -EINVAL,
				 "memory=%llu of store %s has no room for two blocks of %u bytes: "
				 "use a larger one",
				 (unsigned long long)*memory, store_type(s), block);
	err = store_option(s, "trigger") ? trigger_open(&v->trigger, s, e) : 0;
	if (err || !v->trigger.path || !v->trigger.on)
		return err;
	err = store_err(e, -ENOTCONN,
			"store %s has no power as long as %.200s is there: remove it and try again",
			store_type(s), v->trigger.path);
	trigger_close(&v->trigger);
	return err;
}

static int volatile_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct volatile_store *v = store_priv(s);
	struct store_limits *l = store_limits_of(s);
	uint64_t memory = MEMORY_DEFAULT;
	int err = volatile_options(s, v, spec->block_size, &memory, e);

	if (err)
		return err;
	if (!cache_open(&v->cache, memory, spec->block_size)) {
		trigger_close(&v->trigger);
		return store_err(e, -ENOMEM,
				 "no memory for the %llu bytes of store %s: use a smaller memory=",
				 (unsigned long long)memory, store_type(s));
	}
	v->flush_below = l->cap[STORE_FLUSH] == STORE_CAP_NATIVE;
	narrow(l, memory, spec->block_size);
	return 0;
}

static void volatile_close(struct store *s)
{
	struct volatile_store *v = store_priv(s);

	trigger_close(&v->trigger);
	cache_close(&v->cache);
}

static int volatile_channel_open(struct store_channel *ch)
{
	struct volatile_store *v = vol_of(ch);

	v->ch = ch;
	list_init(&v->queue);
	trigger_watch_init(&v->watch, &v->trigger, ch);
	return 0;
}

static const char *const volatile_options_list[] = { "memory", "cut_after", "trigger", NULL };

const struct store_ops volatile_layer = {
	.api = STORE_API,
	.name = "volatile",
	.summary = "loses what was not flushed in a power cut, for tests",
	.options = volatile_options_list,
	.layer = true,
	.store_size = sizeof(struct volatile_store),
	.open = volatile_open,
	.close = volatile_close,
	.channel_open = volatile_channel_open,
	.submit = volatile_submit,
};
