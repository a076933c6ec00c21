/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latencies in log-linear buckets, as HDR histograms have them: 64 to each
 * power of two, so a value is known to 1.6%. Counting is two additions.
 */
#ifndef STGT_BENCH_HISTOGRAM_H
#define STGT_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HIST_SUB_BITS 6
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_BUCKETS (HIST_SUB * 36) /* up to 2^41 ns, 36 minutes */

struct histogram {
	uint64_t count, sum, max;
	uint64_t bucket[HIST_BUCKETS];
};

static inline unsigned hist_index(uint64_t v)
{
	unsigned shift, i;

	if (v < HIST_SUB)
		return (unsigned)v;
	shift = 63u - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;
	i = (shift + 1) * HIST_SUB + (unsigned)((v >> shift) & (HIST_SUB - 1));
	return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

static inline void hist_add(struct histogram *h, uint64_t v)
{
	h->bucket[hist_index(v)]++;
	h->count++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

void hist_merge(struct histogram *to, const struct histogram *from);
/* The value that @q (0 to 1) of all values do not exceed; the middle of its bucket. 0 if empty. */
uint64_t hist_quantile(const struct histogram *h, double q);

#endif
