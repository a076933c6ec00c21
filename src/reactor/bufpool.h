/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data memory of one reactor: reference-counted buffers in size classes, cut
 * from slabs of 2 MiB that the reactor touches first, up to a stated cap; the
 * most recently used buffer goes out first; slabs without a live buffer go
 * back to the system when the pool is idle.
 *
 * Credit: a promise of memory (an R2T, an open command window) is a
 * reservation, made before the promise. bufpool_get() of what was reserved
 * cannot fail for want of the cap.
 *
 * One thread only, except bufpool_stats().
 */
#ifndef STGT_REACTOR_BUFPOOL_H
#define STGT_REACTOR_BUFPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct bufpool;

/* Size classes, bytes. Every buffer is aligned to 4096. */
#define BUF_CLASSES 4
extern const uint32_t buf_class_size[BUF_CLASSES]; /* 4, 16, 64 and 256 KiB */
#define BUF_MAX (256u << 10)
#define SLAB_SIZE (2u << 20)

struct buf {
	struct bufpool *pool;
	uint8_t *data;
	uint32_t size; /* bytes at data */
	uint32_t users; /* store operation, send, receive destination, pin */
	struct buf *next; /* free list; for the owner's use while alive */
	/* of memory that is no pool's; else NULL */
	void (*release)(struct buf *b); /* what the last user's put calls */
	bool faulted; /* the kernel found some of it gone: set by who sent it */
};

struct bufpool *bufpool_create(size_t cap);
/* Every buffer must be back. */
void bufpool_destroy(struct bufpool *p);

/*
 * A buffer of at least @size bytes (at most BUF_MAX) with one user and
 * undefined contents. NULL if the cap, less what others reserved, is reached.
 */
struct buf *bufpool_get(struct bufpool *p, size_t size);
/* The same out of the caller's own reservation, which shrinks by buf->size; never NULL
 * while the caller's reservation covers the class size, save when the system has no memory. */
struct buf *bufpool_get_reserved(struct bufpool *p, size_t size);

/* Set aside @bytes. False if the cap does not allow it: nothing is reserved. */
bool bufpool_reserve(struct bufpool *p, size_t bytes);
void bufpool_unreserve(struct bufpool *p, size_t bytes);

/*
 * Somebody who waits for memory: @fn is called once, from the pool's owner's turn,
 * when a bufpool_get() or bufpool_reserve() that failed may succeed; first come,
 * first served. It may call bufpool_wait() again. bufpool_unwait() forgets it.
 */
struct buf_waiter {
	struct list link; /* initialise with list_init() */
	void (*fn)(struct buf_waiter *w);
};
void bufpool_wait(struct bufpool *p, struct buf_waiter *w);
void bufpool_unwait(struct buf_waiter *w);

static inline struct buf *buf_ref(struct buf *b)
{
	b->users++;
	return b;
}

/* The last user's put returns the memory. NULL is allowed. */
void buf_put(struct buf *b);

/* Less than half of the cap is in use or reserved. */
bool bufpool_ample(const struct bufpool *p);

/* Size of the class that serves @size bytes. */
uint32_t buf_class_of(size_t size);

/* Give unused slabs back to the system. */
void bufpool_trim(struct bufpool *p);

struct bufpool_stats {
	size_t cap, used, reserved, slabs; /* bytes; slabs: bytes held from the system */
	uint64_t gets, fails;
};
void bufpool_stats(const struct bufpool *p, struct bufpool_stats *st);

#endif
