/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Big-endian fields as types. A wire structure made of these has no padding
 * and alignment 1, and a field cannot be read but by its accessor.
 */
#ifndef STGT_BASE_BE_H
#define STGT_BASE_BE_H

#include <stdint.h>
#include <string.h>

/* clang-format off */
typedef struct { uint8_t b[2]; } be16;
typedef struct { uint8_t b[3]; } be24;
typedef struct { uint8_t b[4]; } be32;
typedef struct { uint8_t b[6]; } be48;
typedef struct { uint8_t b[8]; } be64;
/* clang-format on */

/* The value of the @n bytes (1 to 8) at @p, most significant first. */
static inline uint64_t be_load(const void *p, unsigned n)
{
	const uint8_t *b = p;
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *b++;
	return v;
}

/* Store the low @n bytes (1 to 8) of @v at @p, most significant first. */
static inline void be_store(void *p, unsigned n, uint64_t v)
{
	uint8_t *b = p;

	while (n--) {
		b[n] = (uint8_t)v;
		v >>= 8;
	}
}

static inline uint16_t be16_get(be16 v)
{
	return (uint16_t)(v.b[0] << 8 | v.b[1]);
}

static inline uint32_t be24_get(be24 v)
{
	return (uint32_t)be_load(v.b, 3);
}

static inline uint32_t be32_get(be32 v)
{
	uint32_t x;

	memcpy(&x, v.b, 4);
	return __builtin_bswap32(x);
}

static inline uint64_t be48_get(be48 v)
{
	return be_load(v.b, 6);
}

static inline uint64_t be64_get(be64 v)
{
	uint64_t x;

	memcpy(&x, v.b, 8);
	return __builtin_bswap64(x);
}

static inline be16 be16_make(uint16_t v)
{
	return (be16){ { (uint8_t)(v >> 8), (uint8_t)v } };
}

static inline be24 be24_make(uint32_t v)
{
	return (be24){ { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v } };
}

static inline be32 be32_make(uint32_t v)
{
	be32 x;

	v = __builtin_bswap32(v);
	memcpy(x.b, &v, 4);
	return x;
}

static inline be48 be48_make(uint64_t v)
{
	be48 x;

	be_store(x.b, 6, v);
	return x;
}

static inline be64 be64_make(uint64_t v)
{
	be64 x;

	v = __builtin_bswap64(v);
	memcpy(x.b, &v, 8);
	return x;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "be32_get() and its kin swap: give big-endian hosts their own"
#endif

#endif
