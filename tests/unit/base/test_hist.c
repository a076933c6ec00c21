/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/hist.h"
#include "base/probe.h"

static struct hist h, g;

static int empty(void **state)
{
	memset(&h, 0, sizeof(h));
	memset(&g, 0, sizeof(g));
	return 0;
}

static void every_value_is_in_the_bucket_that_ends_with_it_or_above(void **state)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t end = hist_bucket_max(i);

		assert_int_equal(hist_bucket(end), i);
		if (end < HIST_MAX)
			assert_int_equal(hist_bucket(end + 1), i + 1);
	}
	assert_int_equal(hist_bucket(0), 0);
	assert_int_equal(hist_bucket_max(HIST_BUCKETS - 1), HIST_MAX);
}

static void a_bucket_is_no_wider_than_an_eighth_of_its_values(void **state)
{
	for (unsigned i = 1; i < HIST_BUCKETS; i++) {
		uint64_t first = hist_bucket_max(i - 1) + 1;

		assert_true(hist_bucket_max(i) - first + 1 <= max(first / 8, (uint64_t)1));
	}
}

static void nothing_counted_is_all_zero(void **state)
{
	assert_int_equal(hist_count(&h), 0);
	assert_int_equal(hist_mean(&h), 0);
	assert_int_equal(hist_quantile(&h, 500), 0);
	assert_int_equal(hist_quantile(&h, 999), 0);
}

static void one_value_is_every_quantile(void **state)
{
	hist_add(&h, 1234567);
	for (unsigned q = 0; q <= 1000; q += 100)
		assert_int_equal(hist_quantile(&h, q), 1234567);
	assert_int_equal(hist_mean(&h), 1234567);
	assert_int_equal(h.max, 1234567);
}

static void quantiles_are_the_ends_of_the_buckets_of_their_ranks(void **state)
{
	for (uint64_t v = 1; v <= 1000; v++)
		hist_add(&h, v * 1000);
	assert_int_equal(hist_count(&h), 1000);
	assert_int_equal(hist_mean(&h), 500500);
	assert_int_equal(hist_quantile(&h, 500), hist_bucket_max(hist_bucket(500000)));
	assert_int_equal(hist_quantile(&h, 900), hist_bucket_max(hist_bucket(900000)));
	assert_int_equal(hist_quantile(&h, 990), 1000000); /* its bucket ends beyond the greatest */
	assert_int_equal(hist_quantile(&h, 1000), 1000000);
	assert_int_equal(hist_quantile(&h, 0), hist_bucket_max(hist_bucket(1000)));
}

static void a_rank_that_is_not_whole_is_rounded_up(void **state)
{
	for (int i = 0; i < 998; i++)
		hist_add(&h, 5);
	hist_add(&h, 100000);
	hist_add(&h, 200000);
	assert_int_equal(hist_quantile(&h, 998), 5);
	assert_int_equal(hist_quantile(&h, 999), hist_bucket_max(hist_bucket(100000)));
	hist_add(&h, 300000); /* 1001 values: 99.8% of them are 998.998 */
	assert_int_equal(hist_quantile(&h, 998), hist_bucket_max(hist_bucket(100000)));
}

static void random_quantiles_are_at_most_an_eighth_too_high(void **state)
{
	uint64_t v[499], seed = 7;

	for (unsigned i = 0; i < array_size(v); i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		v[i] = (seed >> 20) & ((1ull << (1 + i % 37)) - 1);
		hist_add(&h, v[i]);
	}
	for (unsigned q = 1; q <= 1000; q++) {
		uint64_t got = hist_quantile(&h, q);
		unsigned rank = (unsigned)(array_size(v) * q + 999) / 1000, below = 0, near = 0;

		for (unsigned i = 0; i < array_size(v); i++) {
			below += v[i] <= got;
			near += v[i] <= got && v[i] + v[i] / 8 + 1 >= got;
		}
		assert_true(below >= rank && near > 0);
	}
}

static void what_is_too_long_counts_as_the_longest(void **state)
{
	hist_add(&h, UINT64_MAX);
	hist_add(&h, HIST_MAX + 1);
	assert_int_equal(h.n[HIST_BUCKETS - 1], 2);
	assert_int_equal(h.max, HIST_MAX);
	assert_int_equal(hist_quantile(&h, 500), HIST_MAX);
}

static void merged_ones_are_as_if_one_had_counted_all(void **state)
{
	struct hist both = { 0 }, merged = { 0 };

	for (uint64_t v = 3; v < 1u << 30; v = v * 7 / 5 + 1) {
		hist_add(v % 2 ? &h : &g, v);
		hist_add(&both, v);
	}
	hist_merge(&merged, &h);
	hist_merge(&merged, &g);
	assert_memory_equal(&merged, &both, sizeof(both));
}

static void every_probe_names_as_many_arguments_as_it_has(void **state)
{
	for (unsigned i = 0; i < PROBE_COUNT; i++) {
		const struct probe_row *r = &probe_rows[i];
		unsigned n = 1;

		for (const char *p = r->args; *p; p++)
			n += *p == ',';
		assert_int_equal(n, r->nargs);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(r->word, probe_rows[j].word);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, empty)
	const struct CMUnitTest tests[] = {
		T(every_value_is_in_the_bucket_that_ends_with_it_or_above),
		T(a_bucket_is_no_wider_than_an_eighth_of_its_values),
		T(nothing_counted_is_all_zero),
		T(one_value_is_every_quantile),
		T(quantiles_are_the_ends_of_the_buckets_of_their_ranks),
		T(a_rank_that_is_not_whole_is_rounded_up),
		T(random_quantiles_are_at_most_an_eighth_too_high),
		T(what_is_too_long_counts_as_the_longest),
		T(merged_ones_are_as_if_one_had_counted_all),
		T(every_probe_names_as_many_arguments_as_it_has),
	};

	return cmocka_run_group_tests_name("hist", tests, NULL, NULL);
}
