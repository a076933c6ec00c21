/* SPDX-License-Identifier: BSD-2-Clause */
#include "reactor/clock.h"

#include "base/bits.h"
#include "reactor/internal.h"

uint64_t reactor_clock(struct reactor *r)
{
	return r->engine->now(r);
}

uint64_t reactor_recent(struct reactor *r)
{
	uint64_t batch = likely(r->in_turn) ? r->now : reactor_now(r);

	if (r->recent.batch != batch || !r->recent.uses) {
		r->recent.batch = batch;
		r->recent.at = reactor_clock(r);
		r->recent.uses = RECENT_USES;
	}
	r->recent.uses--;
	return r->recent.at;
}
