/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mapped memory that is lent by reference. It lives as long as somebody has some of it,
 * longer than the store if need be: users are counted per channel by a buf without memory of
 * its own, the lender, on that reactor's thread; lenders are counted by the mapping.
 */
#ifndef STGT_STORE_MAPPING_H
#define STGT_STORE_MAPPING_H

#include <stdatomic.h>

#include "reactor/bufpool.h"
#include "reactor/reactor.h"
#include "stgt/store.h"

struct mapping {
	uint8_t *base;
	uint64_t size;
	_Atomic unsigned users; /* lenders, and the store */
	struct offload unmap;
};

/* As mmap(), with one user. NULL and errno. */
struct mapping *mapping_new(uint64_t size, int prot, int flags, int fd);
struct mapping *mapping_ref(struct mapping *m);
/* The last one unmaps it, off the reactor. Any thread. */
void mapping_put(struct mapping *m);
/* The same where waiting is allowed: on a thread for it, or what stands for one in the simulator. */
void mapping_put_waiting(struct mapping *m);

/*
 * Longer reads are copied: what our copy, or the kernel's from the page cache, leaves in the
 * processor's cache is sent faster than what the send has to fetch itself (64 KiB of memory: 12 us
 * against 14; of a file: 16 against 19, measured).
 */
#define LEND_MAX 16384u

/* What a channel lends. It is freed with its last user. */
struct lender {
	struct buf buf;
	struct mapping *map;
};

/* Takes over a user of @m. NULL, which lends nothing, without memory. */
struct lender *lender_open(struct mapping *m);
/* Lends no more; NULL is allowed. What is lent stays. */
void lender_close(struct lender *l);
/* io->lent and io->lent_data for all that @io reads. */
void lender_lend(struct lender *l, struct store_io *io);

#endif
