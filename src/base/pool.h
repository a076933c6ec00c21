/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pool of objects of one size, for one thread. The most recently freed object
 * is given out first (its cache lines are warm). Memory comes in chunks and
 * goes back to the system when the pool ends, or by pool_trim().
 */
#ifndef STGT_BASE_POOL_H
#define STGT_BASE_POOL_H

#include <stddef.h>

struct pool_chunk;

struct pool {
	size_t size; /* of one object, bytes, a multiple of 64 */
	unsigned per_chunk, limit; /* limit: most objects alive, 0 = no limit */
	unsigned live, total;
	void *free; /* singly linked through the first word */
	struct pool_chunk *chunks;
};

/* Objects of @size bytes, @limit of them alive at most (0: any number). */
void pool_init(struct pool *p, size_t size, unsigned limit);
/* All memory goes back; objects still alive are gone with it. */
void pool_fini(struct pool *p);
/* An object with undefined contents, aligned to 64; NULL at the limit or without memory. */
void *pool_get(struct pool *p);
void pool_put(struct pool *p, void *obj);
/* Give memory back if no object is alive. */
void pool_trim(struct pool *p);

#endif
