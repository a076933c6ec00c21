/* SPDX-License-Identifier: BSD-2-Clause */
#include "histogram.h"

void hist_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->count += from->count;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
}

static uint64_t middle(unsigned i)
{
	unsigned shift;

	if (i < HIST_SUB)
		return i;
	shift = i / HIST_SUB - 1;
	return ((uint64_t)(HIST_SUB + i % HIST_SUB) << shift) + ((1ull << shift) >> 1);
}

uint64_t hist_quantile(const struct histogram *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->count), seen = 0;
	uint64_t v;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > want) {
			v = middle(i);
			return v < h->max ? v : h->max;
		}
	}
	return h->max;
}
