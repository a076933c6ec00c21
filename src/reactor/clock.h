/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time to measure with; reactor_now() is the same through a whole batch, and says how long nothing
 * took. Both read the engine's clock, ns, on the scale of reactor_now(); on the reactor's own thread.
 */
#ifndef STGT_REACTOR_CLOCK_H
#define STGT_REACTOR_CLOCK_H

#include "reactor/reactor.h"

/* The time now. */
uint64_t reactor_clock(struct reactor *r);

/*
 * The time of one of the last RECENT_USES calls in this batch: the clock is read at the first one
 * and then every so often, so that a command in a batch pays a part of a reading.
 */
#define RECENT_USES 8
uint64_t reactor_recent(struct reactor *r);

#endif
