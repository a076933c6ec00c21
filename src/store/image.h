/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes in memory, sparse and bounded: what mem and delay keep. Any number of
 * threads; who writes what another reads at the same time gets either.
 */
#ifndef STGT_STORE_IMAGE_H
#define STGT_STORE_IMAGE_H

#include "stgt/store.h"

#define IMAGE_CHUNK 65536u /* bytes that are allocated or dropped at once */

struct image {
	unsigned char *data; /* a mapping of size bytes that the kernel fills with zeroes */
	_Atomic uint64_t *used; /* a bit per chunk: it counts as allocated */
	_Atomic uint64_t chunks; /* allocated */
	uint64_t size, limit; /* bytes; chunks */
};

/* By the options size and limit of @s, which is being opened; fills its limits. 0 or -errno. */
int image_open(struct image *m, struct store *s, struct err *e);
void image_close(struct image *m);
/* Do @io here and now. 0, or -errno with *@where. */
int image_do(struct image *m, struct store_io *io, uint64_t *where);

#endif
