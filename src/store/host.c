/* SPDX-License-Identifier: BSD-2-Clause */
/* Services that the core gives to stores. */
#include <errno.h>
#include <string.h>

#include "reactor/bufpool.h"
#include "store/core.h"

/* At the end of io->room; a store that comes here uses only STORE_OWN_ROOM. */
struct host_room {
	union {
		struct {
			struct offload job;
			int (*run)(struct store_io *io);
			int err;
		};
		struct {
			struct timer timer;
			void (*fn)(struct store_io *io);
			uint64_t where;
			int delayed_err;
		};
	};
};

static_assert(STORE_OWN_ROOM + sizeof(struct host_room) <= STORE_IO_ROOM, "the services' room");
static_assert(STORE_OWN_ROOM % 16 == 0, "alignment");

static struct host_room *room_of(struct store_io *io)
{
	return (struct host_room *)(void *)(io->room + STORE_OWN_ROOM);
}

static struct store_io *room_io(struct host_room *h)
{
	return container_of((unsigned char *)h - STORE_OWN_ROOM, struct store_io, room);
}

/* ---- access ---- */

void *store_priv(struct store *s)
{
	return s->priv;
}

struct store_limits *store_limits_of(struct store *s)
{
	return &s->limits;
}

const struct store_limits *store_limits(const struct store *s)
{
	return &s->limits;
}

const char *store_type(const struct store *s)
{
	return s->type;
}

const char *store_path(const struct store *s)
{
	return s->path ? s->path : "";
}

void *channel_priv(struct store_channel *ch)
{
	return ch->priv;
}

struct store *channel_store(struct store_channel *ch)
{
	return ch->store;
}

struct reactor *channel_reactor(struct store_channel *ch)
{
	return ch->reactor;
}

struct store_channel *store_channel_here(struct store *s)
{
	struct reactor *r = reactor_self();

	return r ? s->ch[reactor_id(r)] : NULL;
}

/* ---- options ---- */

const char *store_option(struct store *s, const char *key)
{
	return options_get(&s->options, key);
}

int store_option_size(struct store *s, const char *key, uint64_t *v, struct err *e)
{
	const char *text = store_option(s, key);

	if (text && size_parse(text, v))
		return err_set(e, -EINVAL,
			       "option %s=%.64s of store %s is no size: write a whole "
			       "number, with K, M, G, T or P after it for powers of 1024",
			       key, text, store_type(s));
	return 0;
}

int store_option_number(struct store *s, const char *key, uint64_t *v, struct err *e)
{
	const char *text = store_option(s, key);

	if (text && number_parse(text, v))
		return err_set(e, -EINVAL,
			       "option %s=%.64s of store %s is no number: write "
			       "decimal digits only",
			       key, text, store_type(s));
	return 0;
}

/* ---- threads and time ---- */

static void offload_run(struct offload *o)
{
	struct host_room *h = container_of(o, struct host_room, job);

	h->err = h->run(room_io(h));
}

static void offload_done(struct offload *o)
{
	struct host_room *h = container_of(o, struct host_room, job);
	struct store_io *io = room_io(h);

	store_done(io, h->err, io->offset);
}

void store_offload(struct store_channel *ch, struct store_io *io, int (*fn)(struct store_io *io))
{
	struct host_room *h = room_of(io);

	memset(&h->job, 0, sizeof(h->job));
	h->job.run = offload_run;
	h->job.done = offload_done;
	h->job.owner = ch->store;
	h->run = fn;
	offload_submit(ch->reactor, &h->job, OFFLOAD_IO);
}

static void timer_fired(struct timer *t)
{
	struct host_room *h = container_of(t, struct host_room, timer);

	h->fn(room_io(h));
}

void store_after(struct store_channel *ch, struct store_io *io, uint64_t ns,
		 void (*fn)(struct store_io *io))
{
	struct host_room *h = room_of(io);

	h->timer.index = 0;
	h->fn = fn;
	timer_arm(ch->reactor, &h->timer, ns, timer_fired);
}

static void delayed_done(struct store_io *io)
{
	struct host_room *h = room_of(io);

	store_done(io, h->delayed_err, h->where);
}

void store_delay(struct store_channel *ch, struct store_io *io, uint64_t ns, int err, uint64_t where)
{
	struct host_room *h = room_of(io);

	h->delayed_err = err;
	h->where = where;
	store_after(ch, io, ns, delayed_done);
}

/* ---- zeroes --------------------------------------------------------------- */

struct buf *store_zeroes(struct store_channel *ch, const struct store_io *io)
{
	static alignas(4096) uint8_t zeroes[BUF_MAX]; /* never written */
	/* By reactor, whose thread counts the users; the first user never goes. */
	static struct buf lent[REACTORS_MAX + 1];
	struct buf *b = &lent[reactor_id(ch->reactor)];

	if (io->length > sizeof(zeroes))
		return NULL;
	if (unlikely(!b->users))
		*b = (struct buf){ .data = zeroes, .size = sizeof(zeroes), .users = 1 };
	return buf_ref(b);
}
