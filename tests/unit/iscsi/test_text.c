/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "transport/iscsi/text.h"

#define CHECK(literal) text_check(literal, sizeof(literal) - 1, &why)

static void pairs_are_found_in_order(void **state)
{
	static const char data[] = "A=1\0\0B-x.y+@_9=a=b\0C=\0";
	char key[TEXT_KEY_MAX + 1];
	const char *value, *why;
	uint32_t pos = 0;

	assert_int_equal(text_check(data, sizeof(data), &why), 0);
	assert_true(text_next(data, sizeof(data), &pos, key, &value));
	assert_string_equal(key, "A");
	assert_string_equal(value, "1");
	assert_true(text_next(data, sizeof(data), &pos, key, &value));
	assert_string_equal(key, "B-x.y+@_9");
	assert_string_equal(value, "a=b");
	assert_true(text_next(data, sizeof(data), &pos, key, &value));
	assert_string_equal(value, "");
	assert_false(text_next(data, sizeof(data), &pos, key, &value));
}

static void malformed_text_is_refused(void **state)
{
	const char *why;

	assert_int_equal(CHECK("A=1"), -EPROTO); /* no zero byte */
	assert_int_equal(CHECK("A\0"), -EPROTO);
	assert_int_equal(CHECK("=1\0"), -EPROTO);
	assert_int_equal(CHECK("1A=1\0"), -EPROTO);
	assert_int_equal(CHECK("A B=1\0"), -EPROTO);
	assert_int_equal(CHECK("A\xff=1\0"), -EPROTO);
	assert_int_equal(CHECK("A=1\0B\0"), -EPROTO);
	assert_int_equal(CHECK(""), 0);
	assert_int_equal(CHECK("\0\0\0"), 0);
}

static void a_key_has_at_most_63_characters(void **state)
{
	char data[80];
	const char *why;

	memset(data, 'k', sizeof(data));
	data[63] = '=';
	data[64] = 0;
	assert_int_equal(text_check(data, 65, &why), 0);
	data[63] = 'k';
	data[64] = '=';
	data[65] = 0;
	assert_int_equal(text_check(data, 66, &why), -EPROTO);
}

static void too_many_pairs_are_refused(void **state)
{
	char data[4 * (TEXT_PAIRS_MAX + 1)];
	const char *why;

	for (unsigned i = 0; i <= TEXT_PAIRS_MAX; i++)
		memcpy(data + 4 * i, "a=1", 4);
	assert_int_equal(text_check(data, sizeof(data) - 4, &why), 0);
	assert_int_equal(text_check(data, sizeof(data), &why), -EPROTO);
}

static void text_grows_to_its_limit_and_no_further(void **state)
{
	struct text t;
	char piece[100] = { 0 };

	text_init(&t, 1050);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(text_append(&t, piece, 100), 0);
	assert_int_equal(text_append(&t, piece, 51), -EMSGSIZE);
	assert_int_equal(t.len, 1000);
	assert_int_equal(text_append(&t, piece, 50), 0);
	assert_int_equal(text_add(&t, "A", "b"), -EMSGSIZE);
	text_reset(&t);
	assert_int_equal(text_add_num(&t, "A", 4294967295u), 0);
	assert_memory_equal(t.data, "A=4294967295", 13);
	assert_int_equal(t.len, 13);
	text_free(&t);
}

static void numbers_are_decimal_or_hexadecimal(void **state)
{
	static const struct {
		const char *text;
		uint32_t value;
	} good[] = {
		{ "0", 0 },
		{ "7", 7 },
		{ "4294967295", UINT32_MAX },
		{ "0x0", 0 },
		{ "0X1f", 31 },
		{ "0xFFFFFFFF", UINT32_MAX },
		{ "0x00000000000000001", 1 },
	};
	static const char *const bad[] = {
		"",
		"-1",
		"+1",
		" 1",
		"1 ",
		"01",
		"1a",
		"0x",
		"0xg",
		"0b1",
		"4294967296",
		"0x100000000",
		"99999999999999999999999",
		"Yes",
		"1.0",
	};
	uint32_t v;

	for (unsigned i = 0; i < array_size(good); i++) {
		assert_int_equal(text_number(good[i].text, &v), 0);
		assert_int_equal(v, good[i].value);
	}
	for (unsigned i = 0; i < array_size(bad); i++)
		if (!text_number(bad[i], &v))
			fail_msg("'%s' was taken for a number", bad[i]);
}

static void check_binary(const char *text, const void *bytes, int n)
{
	uint8_t out[8];

	if (text_binary(text, out, sizeof(out)) != n)
		fail_msg("'%s' was not taken for %d bytes", text, n);
	if (n > 0)
		assert_memory_equal(out, bytes, (size_t)n);
}

static void binary_values_have_three_encodings(void **state)
{
	check_binary("0x0102fF", "\1\2\xff", 3);
	check_binary("0X102", "\1\2", 2); /* odd: the first digit stands alone */
	check_binary("0x0000000000000001", "\0\0\0\0\0\0\0\1", 8);
	check_binary("0bAQL/", "\1\2\xff", 3);
	check_binary("0BAQI=", "\1\2", 2);
	check_binary("0bAQ==", "\1", 1);
	check_binary("258", "\1\2", 2);
	check_binary("0", "\0", 1);
}

static void bad_binary_values_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"0x",
		"0b",
		"0x0g",
		"0x010203040506070809",
		"0bA",
		"0bAQI",
		"0bA===",
		"0bAQ=A",
		"0b====",
		"0bAQL*",
		"0bAQIDBAUGBwgJ",
		"xyz",
		"18446744073709551616",
		"0bAQ==AQ==",
	};

	for (unsigned i = 0; i < array_size(bad); i++)
		check_binary(bad[i], "", -EINVAL);
}

static void lists_are_taken_apart(void **state)
{
	char item[4];
	size_t pos = 0;

	assert_true(text_list_next("a,bcd,", &pos, item, sizeof(item)));
	assert_string_equal(item, "a");
	assert_true(text_list_next("a,bcd,", &pos, item, sizeof(item)));
	assert_string_equal(item, "bcd");
	assert_false(text_list_next("a,bcd,", &pos, item, sizeof(item)));
	pos = 0;
	assert_false(text_list_next("abcd", &pos, item, sizeof(item)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_found_in_order),
		cmocka_unit_test(malformed_text_is_refused),
		cmocka_unit_test(a_key_has_at_most_63_characters),
		cmocka_unit_test(too_many_pairs_are_refused),
		cmocka_unit_test(text_grows_to_its_limit_and_no_further),
		cmocka_unit_test(numbers_are_decimal_or_hexadecimal),
		cmocka_unit_test(binary_values_have_three_encodings),
		cmocka_unit_test(bad_binary_values_are_refused),
		cmocka_unit_test(lists_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
