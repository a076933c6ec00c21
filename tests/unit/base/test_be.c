/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/be.h"
#include "base/bits.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

_Static_assert(sizeof(be16) == 2 && _Alignof(be16) == 1, "no padding");
_Static_assert(sizeof(be24) == 3 && _Alignof(be24) == 1, "no padding");
_Static_assert(sizeof(be32) == 4 && _Alignof(be32) == 1, "no padding");
_Static_assert(sizeof(be48) == 6 && _Alignof(be48) == 1, "no padding");
_Static_assert(sizeof(be64) == 8 && _Alignof(be64) == 1, "no padding");

static void fields_are_made_most_significant_byte_first(void **state)
{
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	be16 a = be16_make(0x0102);
	be24 b = be24_make(0x010203);
	be32 c = be32_make(0x01020304);
	be48 d = be48_make(0x010203040506);
	be64 e = be64_make(0x0102030405060708);

	assert_memory_equal(a.b, want, 2);
	assert_memory_equal(b.b, want, 3);
	assert_memory_equal(c.b, want, 4);
	assert_memory_equal(d.b, want, 6);
	assert_memory_equal(e.b, want, 8);
}

static void fields_are_read_back_as_they_were_made(void **state)
{
	assert_int_equal(be16_get(be16_make(0xfedc)), 0xfedc);
	assert_int_equal(be24_get(be24_make(0xfedcba)), 0xfedcba);
	assert_int_equal(be32_get(be32_make(0xfedcba98)), 0xfedcba98);
	assert_int_equal(be48_get(be48_make(0xfedcba987654)), 0xfedcba987654);
	assert_true(be64_get(be64_make(0xfedcba9876543210)) == 0xfedcba9876543210);
}

static void too_wide_a_value_is_cut_to_the_field(void **state)
{
	assert_int_equal(be24_get(be24_make(0x12345678)), 0x345678);
	assert_int_equal(be48_get(be48_make(0x1234567890abcdef)), 0x567890abcdef);
}

static void load_and_store_work_for_each_width_and_touch_nothing_else(void **state)
{
	for (unsigned n = 1; n <= 8; n++) {
		uint8_t b[10];
		uint64_t v = 0x8182838485868788 >> (64 - 8 * n);

		memset(b, 0xee, sizeof(b));
		be_store(b + 1, n, v);
		assert_int_equal(b[0], 0xee);
		assert_int_equal(b[n + 1], 0xee);
		assert_int_equal(b[1], 0x81);
		assert_true(be_load(b + 1, n) == v);
	}
}

static void ranges_that_overflow_do_not_fit(void **state)
{
	assert_true(range_fits(0, 10, 10));
	assert_true(range_fits(10, 0, 10));
	assert_false(range_fits(10, 1, 10));
	assert_false(range_fits(11, 0, 10));
	assert_false(range_fits(5, UINT64_MAX, 10));
	assert_false(range_fits(UINT64_MAX, UINT64_MAX, UINT64_MAX - 1));
	assert_true(range_fits(0, UINT64_MAX, UINT64_MAX));
}

static void rounding_goes_to_multiples(void **state)
{
	assert_int_equal(round_up(0, 512), 0);
	assert_int_equal(round_up(1, 512), 512);
	assert_int_equal(round_up(512, 512), 512);
	assert_int_equal(round_down(1023, 512), 512);
	assert_true(round_down(UINT64_MAX, 4096) == UINT64_MAX - 4095);
}

static void powers_of_two_are_told_from_other_numbers(void **state)
{
	assert_false(is_pow2(0));
	assert_true(is_pow2(1));
	assert_false(is_pow2(3));
	assert_true(is_pow2(1ull << 63));
	assert_false(is_pow2(UINT64_MAX));
	assert_int_equal(log2_exact(1), 0);
	assert_int_equal(log2_exact(4096), 12);
	assert_int_equal(log2_exact(1ull << 63), 63);
}

static void serial_numbers_are_compared_across_the_wrap(void **state)
{
	assert_true(serial_lt(1, 2));
	assert_false(serial_lt(2, 2));
	assert_true(serial_le(2, 2));
	assert_true(serial_lt(0xffffffff, 0));
	assert_false(serial_lt(0, 0xffffffff));
	assert_true(serial_le(0xfffffff0, 5));
}

static void min_and_max_evaluate_their_arguments_once(void **state)
{
	int i = 1, j = 5;

	assert_int_equal(min(i++, j++), 1);
	assert_int_equal(max(i++, j++), 6);
	assert_int_equal(i, 3);
	assert_int_equal(j, 7);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_made_most_significant_byte_first),
		cmocka_unit_test(fields_are_read_back_as_they_were_made),
		cmocka_unit_test(too_wide_a_value_is_cut_to_the_field),
		cmocka_unit_test(load_and_store_work_for_each_width_and_touch_nothing_else),
		cmocka_unit_test(ranges_that_overflow_do_not_fit),
		cmocka_unit_test(rounding_goes_to_multiples),
		cmocka_unit_test(powers_of_two_are_told_from_other_numbers),
		cmocka_unit_test(serial_numbers_are_compared_across_the_wrap),
		cmocka_unit_test(min_and_max_evaluate_their_arguments_once),
	};

	return cmocka_run_group_tests_name("be", tests, NULL, NULL);
}
