/* SPDX-License-Identifier: BSD-2-Clause */
/* Services that the core gives to stores. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
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

uint64_t store_size(const struct store *s)
{
	return atomic_load_explicit(&s->size, memory_order_relaxed);
}

struct store *store_under(struct store *s)
{
	return s->below;
}

void store_away(struct store *s, const char *why)
{
	const char *was = atomic_exchange(&s->base->away, why);

	if (why && !was)
		store_log_warn(s, "not there for now: %s", why);
	else if (!why && was)
		store_log_info(s, "is back");
}

const char *store_why_away(const struct store *s)
{
	return atomic_load_explicit(&s->base->away, memory_order_relaxed);
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

/* ---- words for people ---- */

int store_err(struct err *e, int code, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, code, "%s", text);
}

static void say(enum log_level level, const struct store *s, const char *fmt, va_list ap)
{
	char text[400];

	vsnprintf(text, sizeof(text), fmt, ap);
	log_line(level, "store %s%s%s: %s", store_type(s), *store_path(s) ? " " : "", store_path(s),
		 text);
}

void store_log_warn(struct store *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(LOG_LEVEL_WARN, s, fmt, ap);
	va_end(ap);
}

void store_log_info(struct store *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(LOG_LEVEL_INFO, s, fmt, ap);
	va_end(ap);
}

void store_describe(struct store *s, void (*put)(void *arg, const char *key, uint64_t value),
		    void *arg)
{
	if (atomic_load_explicit(&s->state, memory_order_relaxed) != STORE_OPEN)
		return; /* it is being closed */
	for (; s; s = s->below)
		if (s->ops->describe)
			s->ops->describe(s, put, arg);
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

/* ---- of a channel ---- */

struct poll_room {
	struct io_op op;
};
static_assert(sizeof(struct poll_room) <= sizeof_field(struct store_poll, room), "a poll's room");

static struct io_op *poll_op(const struct store_poll *p)
{
	return &((struct poll_room *)(void *)p->room)->op;
}

static void poll_fired(struct io_op *op, int res)
{
	struct store_poll *p = container_of((unsigned char *)container_of(op, struct poll_room, op),
					    struct store_poll, room);

	/* who cancels closes next, perhaps on another thread: no event of it may come after */
	if (res == -ECANCELED)
		io_forget(reactor_self(), op->fd);
	p->ready(p, res);
}

void store_poll_arm(struct store_channel *ch, struct store_poll *p, int fd, unsigned events)
{
	struct io_op *op = poll_op(p);

	*op = (struct io_op){ .verb = IO_POLL, .fd = fd, .events = events, .done = poll_fired };
	io_submit(ch->reactor, op);
}

void store_poll_cancel(struct store_poll *p)
{
	io_cancel(poll_op(p));
}

bool store_poll_armed(const struct store_poll *p)
{
	return io_pending(poll_op(p));
}

static_assert(sizeof(struct timer) <= sizeof_field(struct store_timer, room), "a timer's room");

static void channel_timer_fired(struct timer *t)
{
	struct store_timer *st = container_of((unsigned char *)t, struct store_timer, room);

	st->fn(st);
}

void store_timer_arm(struct store_channel *ch, struct store_timer *t, uint64_t ns)
{
	timer_arm(ch->reactor, (struct timer *)(void *)t->room, ns, channel_timer_fired);
}

void store_timer_cancel(struct store_channel *ch, struct store_timer *t)
{
	timer_cancel(ch->reactor, (struct timer *)(void *)t->room);
}

uint64_t store_now(struct store_channel *ch)
{
	return reactor_now(ch->reactor);
}

static_assert(sizeof(struct offload) <= sizeof_field(struct store_job, room), "a job's room");

static struct store_job *job_of(struct offload *o)
{
	return container_of((unsigned char *)o, struct store_job, room);
}

static void channel_job_run(struct offload *o)
{
	job_of(o)->run(job_of(o));
}

static void channel_job_done(struct offload *o)
{
	job_of(o)->done(job_of(o));
}

void store_job_run(struct store_channel *ch, struct store_job *j)
{
	struct offload *o = (struct offload *)(void *)j->room;

	*o = (struct offload){ .run = channel_job_run, .done = channel_job_done, .owner = ch->store };
	offload_submit(ch->reactor, o, OFFLOAD_SLOW);
}

static_assert(sizeof(struct msg) <= sizeof_field(struct store_call, room), "a call's room");

static void call_arrived(struct msg *m)
{
	struct store_call *c = container_of((unsigned char *)m, struct store_call, room);

	c->fn(c);
}

void store_call_post(struct store_channel *ch, struct store_call *c)
{
	reactor_post(ch->reactor, (struct msg *)(void *)c->room, call_arrived);
}

void store_channel_get(struct store_channel *ch)
{
	ch->users++;
}

void store_channel_put(struct store_channel *ch)
{
	ch->users--;
	channel_check_closed(ch);
}

/* ---- zeroes --------------------------------------------------------------- */

struct buf *store_zeroes(struct store_channel *ch, struct store_io *io)
{
	static alignas(4096) uint8_t zeroes[BUF_MAX]; /* never written */
	/* By reactor, whose thread counts the users; the first user never goes. */
	static struct buf lent[REACTORS_MAX + 1];
	struct buf *b = &lent[reactor_id(ch->reactor)];

	if (io->length > sizeof(zeroes))
		return NULL;
	if (unlikely(!b->users))
		*b = (struct buf){ .data = zeroes, .size = sizeof(zeroes), .users = 1 };
	io->lent_data = zeroes;
	return buf_ref(b);
}
