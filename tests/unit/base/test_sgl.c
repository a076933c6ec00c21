/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/sgl.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* "abc", "", "defgh", "ij": ten bytes in four segments, one of them empty. */
static char text[10];
static struct iovec list[4];

static int fresh_list(void **state)
{
	memcpy(text, "abcdefghij", 10);
	list[0] = (struct iovec){ text, 3 };
	list[1] = (struct iovec){ text, 0 };
	list[2] = (struct iovec){ text + 3, 5 };
	list[3] = (struct iovec){ text + 8, 2 };
	return 0;
}

static void the_length_is_that_of_all_segments(void **state)
{
	assert_int_equal(sgl_length(list, 4), 10);
	assert_int_equal(sgl_length(list, 0), 0);
}

static void each_part_is_copied_out_right(void **state)
{
	for (size_t off = 0; off <= 10; off++) {
		for (size_t len = 0; len <= 12; len++) {
			size_t left = 10 - off, want = len < left ? len : left;
			char got[13];

			memset(got, '#', sizeof(got));
			assert_int_equal(sgl_copy_out(list, 4, off, got, len), want);
			assert_memory_equal(got, &"abcdefghij"[off], want);
			assert_int_equal(got[want], '#');
		}
	}
}

static void each_part_is_copied_in_right(void **state)
{
	for (size_t off = 0; off <= 10; off++) {
		for (size_t len = 0; len <= 12; len++) {
			size_t left = 10 - off, want = len < left ? len : left;
			char expect[10];

			fresh_list(NULL);
			memcpy(expect, "abcdefghij", 10);
			memcpy(expect + off, "0123456789AB", want);
			assert_int_equal(sgl_copy_in(list, 4, off, "0123456789AB", len), want);
			assert_memory_equal(text, expect, 10);
		}
	}
}

static void an_offset_beyond_the_end_copies_nothing(void **state)
{
	char got[4] = "xyz";

	assert_int_equal(sgl_copy_out(list, 4, 11, got, 3), 0);
	assert_string_equal(got, "xyz");
}

static void a_slice_shares_the_memory(void **state)
{
	struct iovec part[4];
	int n = sgl_slice(list, 4, 2, 7, part, 4);
	char got[8] = "";

	assert_int_equal(n, 3);
	assert_ptr_equal(part[0].iov_base, text + 2);
	assert_int_equal(sgl_length(part, (unsigned)n), 7);
	sgl_copy_out(part, (unsigned)n, 0, got, 7);
	assert_string_equal(got, "cdefghi");
}

static void a_slice_without_room_or_bytes_is_refused(void **state)
{
	struct iovec part[4];

	assert_int_equal(sgl_slice(list, 4, 2, 7, part, 2), -1);
	assert_int_equal(sgl_slice(list, 4, 5, 6, part, 4), -1);
	assert_int_equal(sgl_slice(list, 4, 0, SIZE_MAX, part, 4), -1);
	assert_int_equal(sgl_slice(list, 4, 10, 0, part, 4), 0);
}

static void alignment_covers_bases_and_lengths(void **state)
{
	_Alignas(64) static char mem[128];
	struct iovec v[] = { { mem, 64 }, { mem + 64, 32 } };

	assert_true(sgl_aligned(v, 2, 32));
	assert_false(sgl_aligned(v, 2, 64));
	v[1].iov_base = mem + 65;
	assert_false(sgl_aligned(v, 2, 2));
}

static void compare_names_the_first_byte_that_differs(void **state)
{
	assert_int_equal(sgl_compare(list, 4, "abcdefghij", 10), 10);
	assert_int_equal(sgl_compare(list, 4, "abcdefgXij", 10), 7);
	assert_int_equal(sgl_compare(list, 4, "abXdefghij", 10), 2);
	assert_int_equal(sgl_compare(list, 4, "abcdX", 4), 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_length_is_that_of_all_segments, fresh_list),
		cmocka_unit_test_setup(each_part_is_copied_out_right, fresh_list),
		cmocka_unit_test_setup(each_part_is_copied_in_right, fresh_list),
		cmocka_unit_test_setup(an_offset_beyond_the_end_copies_nothing, fresh_list),
		cmocka_unit_test_setup(a_slice_shares_the_memory, fresh_list),
		cmocka_unit_test_setup(a_slice_without_room_or_bytes_is_refused, fresh_list),
		cmocka_unit_test_setup(alignment_covers_bases_and_lengths, fresh_list),
		cmocka_unit_test_setup(compare_names_the_first_byte_that_differs, fresh_list),
	};

	return cmocka_run_group_tests_name("sgl", tests, NULL, NULL);
}
