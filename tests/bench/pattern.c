/* SPDX-License-Identifier: BSD-2-Clause */
#include "pattern.h"

#include <string.h>

#define STEP 0x9e3779b97f4a7c15ull

static uint64_t first_word(uint64_t sector, uint32_t generation)
{
	uint64_t g = (uint64_t)generation << 32 | generation;
	uint64_t x = sector * STEP ^ g * 0xd6e8feb86659fd93ull;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 32;
}

void pattern_fill(uint8_t *to, uint64_t off, uint32_t len, uint32_t generation)
{
	for (uint32_t s = 0; s < len; s += PATTERN_SECTOR) {
		uint64_t x = first_word((off + s) / PATTERN_SECTOR, generation);

		for (uint32_t i = 0; i < PATTERN_SECTOR; i += 8, x += STEP)
			memcpy(to + s + i, &x, 8);
	}
}

bool pattern_equal(const uint8_t *p, uint64_t off, uint32_t len, uint32_t generation)
{
	while (len) {
		uint64_t word = off % PATTERN_SECTOR / 8;
		uint64_t x = first_word(off / PATTERN_SECTOR, generation) + word * STEP;
		uint32_t at = off & 7, n = 8 - at < len ? 8 - at : len;
		uint8_t bytes[8];

		memcpy(bytes, &x, 8);
		if (memcmp(p, bytes + at, n))
			return false;
		p += n;
		off += n;
		len -= n;
	}
	return true;
}
