/* SPDX-License-Identifier: BSD-2-Clause */
/* The two kinds of rings, as front.h's functions use them. */
#ifndef TESTS_VHOST_RING_H
#define TESTS_VHOST_RING_H

#include "front.h"

uint16_t ring_get(struct front_ring *r);
void ring_give(struct front_ring *r, uint16_t i);
void ring_make_table(struct front_ring *r, uint64_t table, const struct front_seg *seg,
		     unsigned nread, unsigned n);

/* @n segments in the ring, of which @nread are read; @table: the only one is an indirect table. There is room. */
void split_add(struct front_ring *r, const struct front_seg *seg, unsigned nread, unsigned n,
	       bool table, void *token);
bool split_wants_kick(const struct front_ring *r);
void *split_take(struct front_ring *r, uint32_t *len);
void split_arm(struct front_ring *r, unsigned later);

void packed_add(struct front_ring *r, const struct front_seg *seg, unsigned nread, unsigned n,
		bool table, void *token);
bool packed_wants_kick(const struct front_ring *r);
bool packed_has_used(const struct front_ring *r);
void *packed_take(struct front_ring *r, uint32_t *len);
void packed_arm(struct front_ring *r, unsigned later);

#endif
