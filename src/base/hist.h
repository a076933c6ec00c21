/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of times: eight buckets per power of two, so a value is known to
 * an eighth. Nanoseconds up to 274 s; what is longer counts as that long.
 * One writer; any thread may read meanwhile, and misses what is newest.
 */
#ifndef STGT_BASE_HIST_H
#define STGT_BASE_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 3
#define HIST_TOP_BITS 38 /* values are below 2^38 */
#define HIST_BUCKETS ((unsigned)(HIST_TOP_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)
#define HIST_MAX ((1ull << HIST_TOP_BITS) - 1)

/* All zero is an empty one. */
struct hist {
	uint64_t sum, max;
	uint64_t n[HIST_BUCKETS];
};

/*
 * The bucket of @v, at most HIST_MAX. Values below 2^(SUB_BITS + 1) have one each; then a power of
 * two has 2^SUB_BITS, which the bits after the first one choose.
 */
static inline unsigned hist_bucket(uint64_t v)
{
	unsigned shift;

	if (v < 1u << HIST_SUB_BITS)
		return (unsigned)v;
	shift = 63u - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
	return (shift << HIST_SUB_BITS) + (unsigned)(v >> shift);
}

/* The writer's: count @v. */
static inline void hist_add(struct hist *h, uint64_t v)
{
	uint64_t *n;

	if (__builtin_expect(v > HIST_MAX, 0))
		v = HIST_MAX;
	n = &h->n[hist_bucket(v)];
	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&h->sum, h->sum + v, __ATOMIC_RELAXED);
	if (v > h->max)
		__atomic_store_n(&h->max, v, __ATOMIC_RELAXED);
}

/* The greatest value that bucket @i counts. */
uint64_t hist_bucket_max(unsigned i);
/* Add @from, which may be written meanwhile, to @to, which is the caller's. */
void hist_merge(struct hist *to, const struct hist *from);
/* The rest is for one that nobody writes. */
uint64_t hist_count(const struct hist *h);
uint64_t hist_mean(const struct hist *h);
/*
 * The value that @per_mille of 1000 values do not exceed: the end of its bucket, but at most
 * the greatest value. 0 if nothing was counted.
 */
uint64_t hist_quantile(const struct hist *h, unsigned per_mille);

#endif
