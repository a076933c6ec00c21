/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens to a store while it is open: what it tells those who opened it, and its size. */
#include <errno.h>
#include <inttypes.h>

#include "store/life.h"

/* ---- what it tells ---- */

#define ON_ITS_WAY (1u << 31) /* in events: the message is */

static void news_arrived(struct msg *m)
{
	struct store *s = container_of(m, struct store, news.msg);
	unsigned events = atomic_exchange(&s->news.events, 0) & ~ON_ITS_WAY;

	if (events && atomic_load_explicit(&s->state, memory_order_relaxed) == STORE_OPEN)
		s->news.tell(s->news.arg, s, events);
}

/* Who sees the beginning and an event: the notifier, the beginner or both; one of them posts. */
static void news_post(struct store *s)
{
	if (!(atomic_fetch_or(&s->news.events, ON_ITS_WAY) & ON_ITS_WAY))
		reactor_post(s->news.self, &s->news.msg, news_arrived);
}

void store_notify(struct store *s, enum store_event event)
{
	struct store *above;

	while ((above = atomic_load(&s->above)))
		s = above;
	atomic_fetch_or(&s->news.events, (unsigned)event);
	if (atomic_load(&s->news.begun))
		news_post(s);
}

void store_news_begin(struct store *s)
{
	if (!s->news.tell) {
		/* a layer may stand on it soon, and asks then */
		return;
	}
	s->news.self = s->move.self;
	for (struct store *b = s->below; b; b = b->below)
		atomic_fetch_or(&s->news.events, atomic_exchange(&b->news.events, 0));
	atomic_store(&s->news.begun, true);
	if (atomic_load(&s->news.events))
		news_post(s);
}

/* ---- size ---- */

static int ask_size(struct store *s, uint64_t *size, struct err *e)
{
	if (*size && *size % s->block_size)
		return err_set(e, -EINVAL,
			       "%" PRIu64 " bytes are not a multiple of the block size %u", *size,
			       s->block_size);
	for (; s; s = s->below)
		if (s->ops->size)
			return s->ops->size(s, size, e);
	return err_set(e, -EOPNOTSUPP, "the size of this store is what it was opened with");
}

static void resize_run(struct offload *j)
{
	struct store_resize *r = container_of(j, struct store_resize, job);
	struct store *s = r->store;
	uint64_t size = r->size;

	r->err.code = 0;
	if (ask_size(s, &size, &r->err))
		return;
	size = round_down(size, (uint64_t)s->block_size);
	if (!size)
		err_set(&r->err, -EINVAL, "store %s %s has not a single block", store_type(s),
			store_path(s));
	else
		r->size = size;
}

static void resize_done(struct offload *j)
{
	struct store_resize *r = container_of(j, struct store_resize, job);

	for (struct store *s = r->store; s && !r->err.code; s = s->below)
		atomic_store(&s->size, r->size);
	r->done(r);
}

void store_resize(struct reactor *self, struct store *s, struct store_resize *r)
{
	r->store = s;
	r->job = (struct offload){ .run = resize_run, .done = resize_done };
	offload_submit(self, &r->job, OFFLOAD_SLOW);
}
