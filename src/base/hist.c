/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hist.h"

#include "base/bits.h"

#define SUBS (1u << HIST_SUB_BITS)

uint64_t hist_bucket_max(unsigned i)
{
	unsigned shift;

	if (i < 2 * SUBS)
		return i;
	shift = i / SUBS - 1;
	return ((uint64_t)(SUBS + i % SUBS + 1) << shift) - 1;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	to->sum += __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
	to->max = max(to->max, __atomic_load_n(&from->max, __ATOMIC_RELAXED));
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		to->n[i] += __atomic_load_n(&from->n[i], __ATOMIC_RELAXED);
}

uint64_t hist_count(const struct hist *h)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		count += h->n[i];
	return count;
}

uint64_t hist_mean(const struct hist *h)
{
	uint64_t count = hist_count(h);

	return count ? h->sum / count : 0;
}

uint64_t hist_quantile(const struct hist *h, unsigned per_mille)
{
	uint64_t count = hist_count(h), seen = 0;
	/* the rank of the value asked for, from 1; without overflow: counts stay below 2^54 */
	uint64_t rank = (count * per_mille + 999) / 1000;

	if (!count)
		return 0;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		seen += h->n[i];
		if (seen >= max(rank, (uint64_t)1))
			return min(hist_bucket_max(i), h->max);
	}
	return h->max;
}
