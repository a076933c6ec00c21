/* SPDX-License-Identifier: BSD-2-Clause */
/* What hostile scenarios have in common: how a server may take it, and that it goes on. */
#ifndef TESTS_VHOST_PLAY_HOSTILE_H
#define TESTS_VHOST_PLAY_HOSTILE_H

#include "play.h"

enum outcome { OUT_ENDED, OUT_RING_ERROR, OUT_USED, OUT_NOTHING };

/* A connection as a driver has it before it starts: negotiated, with one region that nobody was told of yet. */
void hostile_begin(struct play *p);
/*
 * Send; the server may refuse it by an acknowledgement that is not zero, or by ending the connection. True if it
 * did; false if it took it.
 */
bool refused(struct front *f, uint32_t request, const void *payload, uint32_t len, const int *fds,
	     unsigned nfds);
bool refused_u64(struct front *f, uint32_t request, uint64_t value);
bool refused_ring(struct front *f, uint32_t request, unsigned index, uint32_t num);
/* Wait until the server did something about what ring @r was given. */
enum outcome outcome_of(struct front *f, struct front_ring *r);
/* What was sent before has been seen, or the connection has ended: true. */
bool front_barrier_or_end(struct front *f);
/* The connection is given up; another one works as if nothing had been. */
void still_serves(struct play *p);

#endif
