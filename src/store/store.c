/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store as an object, and its end: every channel drains, then every channel
 * closes (the home's after the last request that another brought), then the store
 * closes on an offload thread, then what is below. Whoever asked owns the move
 * and counts the answers, which all come to its own reactor.
 */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/life.h"

const char *store_state(const struct store *s)
{
	static const char *const name[] = {
		[STORE_CLOSED] = "closed",   [STORE_OPENING] = "opening",
		[STORE_OPEN] = "open",	     [STORE_DRAINING] = "draining",
		[STORE_CLOSING] = "closing", [STORE_FAILED] = "failed",
	};

	return name[atomic_load_explicit(&s->state, memory_order_relaxed)];
}

void store_set_state(struct store *s, enum store_state state)
{
	atomic_store_explicit(&s->state, (int)state, memory_order_release);
}

/* ---- memory ---- */

static void *zalloc(size_t size)
{
	void *p = aligned_alloc(64, round_up(size ? size : 1, 64));

	if (p)
		memset(p, 0, round_up(size ? size : 1, 64));
	return p;
}

static void channel_free(struct store_channel *ch)
{
	if (!ch)
		return;
	free(ch->priv);
	free(ch);
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < array_size(s->ch); i++)
		channel_free(s->ch[i]);
	options_free(&s->options);
	free(s->type);
	free(s->path);
	free(s->opts);
	free(s->oflags);
	free(s->priv);
	free(s);
}

static struct store_channel *channel_new(struct store *s, struct reactor *r)
{
	struct store_channel *ch = zalloc(sizeof(*ch));

	if (!ch)
		return NULL;
	ch->store = s;
	ch->reactor = r;
	ch->below = s->below ? s->below->ch[reactor_id(r)] : NULL;
	later_init(&ch->later, channel_run);
	list_init(&ch->queue);
	ch->priv = zalloc(s->ops->channel_size);
	if (!ch->priv) {
		free(ch);
		return NULL;
	}
	return ch;
}

static bool channels_new(struct store *s, const struct store_open *o)
{
	for (unsigned i = 0; i < o->nreactors; i++) {
		struct reactor *r = o->reactors[i];
		struct store_channel *ch = channel_new(s, r);

		if (!ch)
			return false;
		s->ch[reactor_id(r)] = ch;
	}
	return true;
}

bool store_copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static void stand_on(struct store *s, struct store *below)
{
	s->below = below;
	s->base = below ? below->base : s;
	if (!below)
		return;
	s->limits = below->limits;
	atomic_store(&below->above, s);
}

struct store *store_new(const struct store_ops *ops, const struct store_open *o)
{
	struct store *s = zalloc(sizeof(*s));
	const struct store_spec *spec = &o->part;

	if (!s)
		return NULL;
	s->ops = ops;
	s->block_size = spec->block_size ? spec->block_size : BLOCK_MIN;
	s->news.tell = o->news;
	s->news.arg = o->news_arg;
	stand_on(s, o->below);
	s->priv = zalloc(ops->store_size);
	if (!s->priv || !channels_new(s, o) || !store_copy_string(&s->type, ops->name) ||
	    !store_copy_string(&s->path, spec->path) || !store_copy_string(&s->opts, spec->opts) ||
	    !store_copy_string(&s->oflags, spec->oflags)) {
		store_free(s);
		return NULL;
	}
	return s;
}

/* ---- every channel ---- */

void store_for_channels(struct store *s, void (*fn)(struct msg *m))
{
	/* counted first: a channel of this very reactor cannot answer in between, others can */
	s->move.waiting = 0;
	for (unsigned i = 0; i < array_size(s->ch); i++)
		s->move.waiting += s->ch[i] != NULL;
	for (unsigned i = 0; i < array_size(s->ch); i++)
		if (s->ch[i])
			reactor_post(s->ch[i]->reactor, &s->ch[i]->msg, fn);
}

void channel_answer(struct store_channel *ch, void (*fn)(struct msg *m))
{
	reactor_post(ch->store->move.self, &ch->msg, fn);
}

struct store *channel_answered(struct msg *m, bool *last)
{
	struct store *s = container_of(m, struct store_channel, msg)->store;

	*last = --s->move.waiting == 0;
	return s;
}

/* ---- closing; also the end of an opening that failed ---- */

static void close_run(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);

	s->ops->close(s);
}

static void below_closed(void *arg)
{
	struct store *s = arg;
	void (*closed)(void *arg) = s->move.closed;
	void *closed_arg = s->move.arg;

	store_free(s);
	closed(closed_arg);
}

static void close_done(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);

	if (s->move.open) {
		store_open_failed(s);
		return;
	}
	store_set_state(s, STORE_CLOSED);
	if (s->below)
		store_close(s->move.self, s->below, below_closed, s);
	else
		below_closed(s);
}

static void channel_closed(struct msg *m)
{
	bool last;
	struct store *s = channel_answered(m, &last);

	if (!last)
		return;
	s->move.job = (struct offload){ .run = close_run, .done = close_done };
	offload_submit(s->move.self, &s->move.job, OFFLOAD_SLOW);
}

void channel_check_closed(struct store_channel *ch)
{
	if (!ch->closing || ch->users)
		return;
	ch->closing = false;
	channel_answer(ch, channel_closed);
}

static void channel_close(struct msg *m)
{
	struct store_channel *ch = container_of(m, struct store_channel, msg);

	later_cancel(&ch->later);
	if (ch->opened && ch->store->ops->channel_close)
		ch->store->ops->channel_close(ch);
	ch->opened = false;
	ch->closing = true;
	channel_check_closed(ch);
}

void store_close_channels(struct store *s)
{
	store_for_channels(s, channel_close);
}

static void channel_drained(struct msg *m)
{
	bool last;
	struct store *s = channel_answered(m, &last);

	if (!last)
		return;
	store_set_state(s, STORE_CLOSING);
	store_close_channels(s);
}

void channel_check_drained(struct store_channel *ch)
{
	if (likely(!ch->draining))
		return;
	if (atomic_load_explicit(&ch->inflight, memory_order_relaxed))
		return;
	ch->draining = false;
	channel_answer(ch, channel_drained);
}

static void channel_drain(struct msg *m)
{
	struct store_channel *ch = container_of(m, struct store_channel, msg);

	ch->draining = true;
	channel_check_drained(ch);
}

void store_close(struct reactor *self, struct store *s, void (*done)(void *arg), void *arg)
{
	s->move = (struct store_move){ .self = self, .closed = done, .arg = arg };
	store_set_state(s, STORE_DRAINING);
	store_for_channels(s, channel_drain);
}
