/* SPDX-License-Identifier: BSD-2-Clause */
#include "reactor/timer.h"

#include <stdlib.h>

#include "base/log.h"
#include "reactor/internal.h"

#define FIRST_ROOM 64

static void put(struct timer_heap *h, unsigned i, struct timer *t)
{
	h->slot[i] = t;
	t->index = i + 1;
}

static void sift_up(struct timer_heap *h, unsigned i, struct timer *t)
{
	while (i) {
		unsigned parent = (i - 1) / 2;

		if (h->slot[parent]->at <= t->at)
			break;
		put(h, i, h->slot[parent]);
		i = parent;
	}
	put(h, i, t);
}

static void sift_down(struct timer_heap *h, unsigned i, struct timer *t)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= h->used)
			break;
		if (child + 1 < h->used && h->slot[child + 1]->at < h->slot[child]->at)
			child++;
		if (t->at <= h->slot[child]->at)
			break;
		put(h, i, h->slot[child]);
		i = child;
	}
	put(h, i, t);
}

/* Find the place of @t, which is in slot @i and may be too high or too low. */
static void settle(struct timer_heap *h, unsigned i, struct timer *t)
{
	if (i && t->at < h->slot[(i - 1) / 2]->at)
		sift_up(h, i, t);
	else
		sift_down(h, i, t);
}

static void take_out(struct timer_heap *h, struct timer *t)
{
	unsigned i = t->index - 1;
	struct timer *last = h->slot[--h->used];

	t->index = 0;
	if (last != t)
		settle(h, i, last);
}

static bool grow(struct timer_heap *h)
{
	unsigned room = h->room ? h->room * 2 : FIRST_ROOM;
	struct timer **slot = realloc(h->slot, room * sizeof(*slot));

	if (!slot)
		return false;
	h->slot = slot;
	h->room = room;
	return true;
}

void timer_heap_fini(struct timer_heap *h)
{
	while (h->used)
		h->slot[--h->used]->index = 0;
	free(h->slot);
	h->slot = NULL;
	h->room = 0;
}

uint64_t timer_heap_due(const struct timer_heap *h)
{
	return h->used ? h->slot[0]->at : UINT64_MAX;
}

struct timer *timer_heap_pop(struct timer_heap *h, uint64_t now)
{
	struct timer *t;

	if (timer_heap_due(h) > now || !h->used)
		return NULL;
	t = h->slot[0];
	take_out(h, t);
	return t;
}

bool timer_heap_set(struct timer_heap *h, struct timer *t, uint64_t at)
{
	t->at = at;
	if (t->index) {
		settle(h, t->index - 1, t);
		return true;
	}
	if (h->used == h->room && !grow(h))
		return false;
	h->used++;
	sift_up(h, h->used - 1, t);
	return true;
}

void timer_heap_remove(struct timer_heap *h, struct timer *t)
{
	if (t->index)
		take_out(h, t);
}

void timer_arm(struct reactor *r, struct timer *t, uint64_t ns, void (*fn)(struct timer *t))
{
	uint64_t now = reactor_now(r);

	t->fn = fn;
	if (!timer_heap_set(&r->timers, t, ns > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + ns))
		log_err("reactor %s: no memory for a timer; it will not fire", r->name);
}

void timer_cancel(struct reactor *r, struct timer *t)
{
	timer_heap_remove(&r->timers, t);
}
