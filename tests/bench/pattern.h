/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is written where: 8-byte words that depend on the sector (512 bytes),
 * its generation (how often it was written) and their place in the sector. A
 * block that is old, torn, misplaced or another's does not compare equal.
 */
#ifndef STGT_BENCH_PATTERN_H
#define STGT_BENCH_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#define PATTERN_SECTOR 512u

/* Fill @len bytes (whole sectors) that lie at byte @off of the disk. */
void pattern_fill(uint8_t *to, uint64_t off, uint32_t len, uint32_t generation);
/* True if the @len bytes at @p, which lie at byte @off of the disk, are of @generation. */
bool pattern_equal(const uint8_t *p, uint64_t off, uint32_t len, uint32_t generation);

#endif
