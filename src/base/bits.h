/* SPDX-License-Identifier: BSD-2-Clause */
/* Small arithmetic that every layer uses. */
#ifndef STGT_BASE_BITS_H
#define STGT_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define array_size(a) (sizeof(a) / sizeof((a)[0]))

#define sizeof_field(type, member) sizeof(((type *)0)->member)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define min(a, b) \
	({ \
		__typeof__(a) min_a = (a); \
		__typeof__(b) min_b = (b); \
		min_a < min_b ? min_a : min_b; \
	})
#define max(a, b) \
	({ \
		__typeof__(a) max_a = (a); \
		__typeof__(b) max_b = (b); \
		max_a > max_b ? max_a : max_b; \
	})

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static inline bool is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* @v rounded up to a multiple of @to, a power of two. */
static inline uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

static inline uint64_t round_down(uint64_t v, uint64_t to)
{
	return v & ~(to - 1);
}

/* Base-2 logarithm of a power of two. */
static inline unsigned log2_exact(uint64_t v)
{
	return (unsigned)__builtin_ctzll(v);
}

/* True if [off, off + len) lies within [0, size), without overflow. */
static inline bool range_fits(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* Serial number arithmetic of RFC 1982: @a comes before @b. */
static inline bool serial_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool serial_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

#endif
