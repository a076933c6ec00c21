/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks that were written and are not below yet: a bounded table, oldest first. One thread. */
#ifndef STGT_STORE_LAYER_CACHE_H
#define STGT_STORE_LAYER_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct cache_slot;

struct cache {
	uint32_t unit; /* bytes of a block */
	uint32_t slots, free; /* how many there are, how many are unused */
	uint32_t mask; /* buckets - 1 */
	uint32_t unused, oldest, newest; /* slots */
	uint32_t *bucket;
	struct cache_slot *slot;
	unsigned char *data;
};

/* Room for @memory bytes of blocks of @unit bytes. False: no memory. */
bool cache_open(struct cache *c, uint64_t memory, uint32_t unit);
void cache_close(struct cache *c);

/* Offsets and lengths are multiples of the unit. */

/* Keep what @iov holds; there must be room for all of its blocks. */
void cache_write(struct cache *c, uint64_t offset, uint64_t length, const struct iovec *iov);
/* Put what is kept of the range over what @iov holds. */
void cache_read(struct cache *c, uint64_t offset, uint64_t length, const struct iovec *iov);
/* Bytes of the range that are kept. */
uint64_t cache_has(struct cache *c, uint64_t offset, uint64_t length);
/* Bytes from @offset on, at most @most, of which all are kept, or none is. */
uint64_t cache_run(struct cache *c, uint64_t offset, uint64_t most, bool kept);
/* The oldest block and those that follow it on the medium, at most @room; 0 if nothing is kept. */
unsigned cache_oldest(struct cache *c, uint64_t *offset, struct iovec *iov, unsigned room);
void cache_drop(struct cache *c, uint64_t offset, uint64_t length);

#endif
