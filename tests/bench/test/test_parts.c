/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the load generator that say what was fast and what was right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../histogram.h"
#include "../pattern.h"

static struct histogram h;

static int empty(void **state)
{
	memset(&h, 0, sizeof(h));
	return 0;
}

static void small_values_are_exact(void **state)
{
	for (uint64_t v = 0; v < HIST_SUB; v++)
		assert_int_equal(hist_index(v), v);
	hist_add(&h, 7);
	assert_int_equal(hist_quantile(&h, 0.5), 7);
}

static void indices_never_fall_as_values_grow(void **state)
{
	unsigned last = 0;

	for (uint64_t v = 1; v < 1ull << 45; v += v / 50 + 1) {
		unsigned i = hist_index(v);

		assert_true(i >= last && i < HIST_BUCKETS);
		last = i;
	}
}

static void quantiles_are_within_two_percent(void **state)
{
	static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999 };

	for (uint64_t v = 1; v <= 100000; v++)
		hist_add(&h, v);
	for (unsigned i = 0; i < 4; i++) {
		double got = (double)hist_quantile(&h, quantiles[i]), want = 1e5 * quantiles[i];

		assert_true(got > 0.98 * want && got < 1.02 * want);
	}
	assert_int_equal(h.max, 100000);
}

static void no_quantile_is_above_the_maximum(void **state)
{
	hist_add(&h, 1000001);
	assert_int_equal(hist_quantile(&h, 0.9999), 1000001);
	assert_int_equal(hist_quantile(&h, 1.0), 1000001);
}

static void an_empty_histogram_says_nought(void **state)
{
	assert_int_equal(hist_quantile(&h, 0.5), 0);
}

static void merged_histograms_count_both(void **state)
{
	static struct histogram other;

	hist_add(&h, 10);
	hist_add(&other, 20);
	hist_add(&other, 30);
	hist_merge(&h, &other);
	assert_int_equal(h.count, 3);
	assert_int_equal(h.sum, 60);
	assert_int_equal(h.max, 30);
	assert_int_equal(hist_quantile(&h, 0.5), 20);
}

static uint8_t block[4096];

static int stamped(void **state)
{
	pattern_fill(block, 8192, sizeof(block), 3);
	return 0;
}

static void what_was_written_compares_equal_in_any_pieces(void **state)
{
	assert_true(pattern_equal(block, 8192, sizeof(block), 3));
	for (uint32_t n = 1; n < sizeof(block); n += 97) {
		assert_true(pattern_equal(block, 8192, n, 3));
		assert_true(pattern_equal(block + n, 8192 + n, sizeof(block) - n, 3));
	}
}

static void another_generation_or_place_is_found(void **state)
{
	assert_false(pattern_equal(block, 8192, sizeof(block), 2));
	assert_false(pattern_equal(block, 4096, sizeof(block), 3));
	assert_false(pattern_equal(block + 512, 8192, 512, 3));
}

static void one_wrong_bit_is_found_wherever_it_is(void **state)
{
	for (uint32_t i = 0; i < sizeof(block); i += 61) {
		block[i] ^= 0x10;
		assert_false(pattern_equal(block, 8192, sizeof(block), 3));
		block[i] ^= 0x10;
	}
}

static void a_sector_of_an_older_write_is_found(void **state)
{
	pattern_fill(block + 1536, 8192 + 1536, PATTERN_SECTOR, 2);
	assert_false(pattern_equal(block, 8192, sizeof(block), 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(small_values_are_exact, empty),
		cmocka_unit_test_setup(indices_never_fall_as_values_grow, empty),
		cmocka_unit_test_setup(quantiles_are_within_two_percent, empty),
		cmocka_unit_test_setup(no_quantile_is_above_the_maximum, empty),
		cmocka_unit_test_setup(an_empty_histogram_says_nought, empty),
		cmocka_unit_test_setup(merged_histograms_count_both, empty),
		cmocka_unit_test_setup(what_was_written_compares_equal_in_any_pieces, stamped),
		cmocka_unit_test_setup(another_generation_or_place_is_found, stamped),
		cmocka_unit_test_setup(one_wrong_bit_is_found_wherever_it_is, stamped),
		cmocka_unit_test_setup(a_sector_of_an_older_write_is_found, stamped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
