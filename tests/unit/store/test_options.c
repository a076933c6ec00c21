/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stgt/store.h"
#include "store/options.h"

static const char *const known[] = { "size", "limit", "read_us", NULL };

static void options_are_split_at_both_separators(void **state)
{
	struct options o;
	struct err e;

	assert_int_equal(options_parse(&o, ";size=1M,,limit=a=b;", known, "store x", &e), 0);
	assert_int_equal(o.n, 2);
	assert_string_equal(options_get(&o, "size"), "1M");
	assert_string_equal(options_get(&o, "limit"), "a=b");
	assert_null(options_get(&o, "read_us"));
	options_free(&o);
}

static void no_options_are_fine(void **state)
{
	struct options o;

	assert_int_equal(options_parse(&o, NULL, NULL, "store x", NULL), 0);
	assert_int_equal(options_parse(&o, "", known, "store x", NULL), 0);
	assert_null(options_get(&o, "size"));
}

static void refused(const char *text, const char *const *list, const char *why)
{
	struct options o;
	struct err e = { 0 };

	assert_int_equal(options_parse(&o, text, list, "store x", &e), -EINVAL);
	if (!strstr(e.text, why))
		fail_msg("'%s', but '%s' was expected", e.text, why);
	assert_null(o.text);
}

static void a_typo_gets_a_suggestion(void **state)
{
	refused("siez=1", known, "store x has no option 'siez': did you mean 'size'?");
	refused("size=1;red_us=4", known, "did you mean 'read_us'?");
}

static void an_unknown_option_gets_the_list(void **state)
{
	refused("colour=red", known, "it knows size, limit, read_us");
	refused("colour=red", NULL, "it takes none");
}

static void an_option_needs_a_value_once(void **state)
{
	refused("size", known, "write size=VALUE");
	refused("size=", known, "needs a value");
	refused("size=1;size=2", known, "given twice");
}

static void a_very_long_key_is_survived(void **state)
{
	char text[4000];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 3] = '=';
	text[sizeof(text) - 1] = 0;
	refused(text, known, "has no option 'aaaa");
}

static void too_many_options_are_refused(void **state)
{
	static char names[OPTIONS_MAX + 1][8];
	const char *list[OPTIONS_MAX + 2] = { 0 };
	char text[512] = "";
	struct options o;
	struct err e;

	for (unsigned i = 0; i <= OPTIONS_MAX; i++) {
		size_t at = strlen(text);

		snprintf(names[i], sizeof(names[i]), "k%u", i);
		snprintf(text + at, sizeof(text) - at, "k%u=1;", i);
		list[i] = names[i];
	}
	assert_int_equal(options_parse(&o, text, list, "store x", &e), -E2BIG);
}

static void sizes_have_suffixes(void **state)
{
	uint64_t v;

	assert_int_equal(size_parse("512", &v), 0);
	assert_int_equal(v, 512);
	assert_int_equal(size_parse("4K", &v), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(size_parse("3m", &v), 0);
	assert_int_equal(v, 3 << 20);
	assert_int_equal(size_parse("8G", &v), 0);
	assert_int_equal(v, 8ull << 30);
	assert_int_equal(size_parse("2T", &v), 0);
	assert_int_equal(v, 2ull << 40);
	assert_int_equal(size_parse("1P", &v), 0);
	assert_int_equal(v, 1ull << 50);
	assert_int_equal(size_parse("0", &v), 0);
	assert_int_equal(v, 0);
}

static void what_is_no_size_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"K",
		"1.5G",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1KB",
		"0x10",
		"9999999P",
		"1\v",
		"1+",
		"99999999999999999999",
		"18446744073709551616",
		"9223372036854775808",
		"000000000000000000000000000000001",
	};
	uint64_t v = 7;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (size_parse(bad[i], &v) != -EINVAL)
			fail_msg("'%s' was taken for a size", bad[i]);
}

static void numbers_are_digits_only(void **state)
{
	uint64_t v;

	assert_int_equal(number_parse("18446744073709551615", &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(number_parse("18446744073709551616", &v), -EINVAL);
	assert_int_equal(number_parse("1K", &v), -EINVAL);
	assert_int_equal(number_parse("", &v), -EINVAL);
}

static void a_far_word_gets_no_suggestion(void **state)
{
	assert_null(store_suggest("zzzz", known));
	assert_null(store_suggest("size", NULL));
	assert_string_equal(store_suggest("lmit", known), "limit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_split_at_both_separators),
		cmocka_unit_test(no_options_are_fine),
		cmocka_unit_test(a_typo_gets_a_suggestion),
		cmocka_unit_test(an_unknown_option_gets_the_list),
		cmocka_unit_test(an_option_needs_a_value_once),
		cmocka_unit_test(a_very_long_key_is_survived),
		cmocka_unit_test(too_many_options_are_refused),
		cmocka_unit_test(sizes_have_suffixes),
		cmocka_unit_test(what_is_no_size_is_refused),
		cmocka_unit_test(numbers_are_digits_only),
		cmocka_unit_test(a_far_word_gets_no_suggestion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
