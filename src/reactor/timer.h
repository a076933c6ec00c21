/* SPDX-License-Identifier: BSD-2-Clause */
/* The timers of a reactor: one binary heap, ordered by time. */
#ifndef STGT_REACTOR_TIMER_H
#define STGT_REACTOR_TIMER_H

#include <stdint.h>

#include "reactor/reactor.h"

struct timer_heap {
	struct timer **slot; /* slot[0] is due first; a timer's index is its slot + 1 */
	unsigned used, room;
};

void timer_heap_fini(struct timer_heap *h);
/* When the first timer is due, UINT64_MAX if there is none. */
uint64_t timer_heap_due(const struct timer_heap *h);
/* Take the first timer that is due at @now, NULL if none is. */
struct timer *timer_heap_pop(struct timer_heap *h, uint64_t now);
/* Put @t in, or move it, to be due at @at. False without memory: then it is not in. */
bool timer_heap_set(struct timer_heap *h, struct timer *t, uint64_t at);
/* No effect if @t is in no heap. */
void timer_heap_remove(struct timer_heap *h, struct timer *t);

#endif
