/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/err.h"
#include "base/log.h"
#include "../temp.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static int saved_stderr, captured;

/* From here on stderr is a file of its own. */
static int capture(void **state)
{
	char path[TEMP_PATH_MAX];

	captured = mkstemp(temp_path(path, "log"));
	unlink(path);
	saved_stderr = dup(STDERR_FILENO);
	return captured < 0 || dup2(captured, STDERR_FILENO) < 0;
}

static int release(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(captured);
	log_open(LOG_SINK_STDERR);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

static const char *captured_text(void)
{
	static char text[65536];
	ssize_t n = pread(captured, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void an_error_keeps_code_and_text(void **state)
{
	struct err e;

	assert_int_equal(err_set(&e, -ENOENT, "no file %s", "x"), -ENOENT);
	assert_int_equal(e.code, -ENOENT);
	assert_string_equal(e.text, "no file x");
}

static void an_error_may_have_nowhere_to_go(void **state)
{
	assert_int_equal(err_set(NULL, -EIO, "%d", 1), -EIO);
}

static void too_long_an_error_is_cut(void **state)
{
	struct err e;

	err_set(&e, -EINVAL, "%0*d", 2000, 7);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void a_line_has_time_level_and_text(void **state)
{
	log_warn("disk %d is slow", 7);
	assert_non_null(strstr(captured_text(), " warning: disk 7 is slow\n"));
}

static void the_journal_gets_its_priorities(void **state)
{
	log_open(LOG_SINK_JOURNAL);
	log_err("broken");
	assert_string_equal(captured_text(), "<3>broken\n");
}

static void lines_above_the_level_are_not_made(void **state)
{
	log_debug("hidden");
	log_set_level(LOG_LEVEL_DEBUG);
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	log_debug("shown");
	log_set_level(LOG_LEVEL_ERR);
	log_warn("hidden");
	assert_int_equal(count(captured_text(), "hidden"), 0);
	assert_int_equal(count(captured_text(), "shown"), 1);
}

static void a_place_that_repeats_itself_is_limited(void **state)
{
	for (int i = 0; i < 100; i++)
		log_info("again");
	log_info("another place");
	assert_int_equal(count(captured_text(), "again"), LOG_BURST);
	assert_int_equal(count(captured_text(), "another place"), 1);
}

static void what_was_left_out_is_counted_and_said(void **state)
{
	static struct log_site site;

	for (int i = 0; i < LOG_BURST + 7; i++)
		log_at(&site, LOG_LEVEL_INFO, "again");
	site.window = 0; /* as if no window had begun */
	log_at(&site, LOG_LEVEL_INFO, "again");
	assert_non_null(strstr(captured_text(), "(7 lines like the next one were left out)\n"));
	assert_int_equal(count(captured_text(), "again"), LOG_BURST + 1);
}

static void a_huge_line_is_cut_and_still_ends(void **state)
{
	static char huge[5000];
	const char *text;

	memset(huge, 'x', sizeof(huge) - 1);
	log_info("%s", huge);
	text = captured_text();
	assert_true(strlen(text) < 1300);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_keeps_code_and_text),
		cmocka_unit_test(an_error_may_have_nowhere_to_go),
		cmocka_unit_test(too_long_an_error_is_cut),
		cmocka_unit_test_setup_teardown(a_line_has_time_level_and_text, capture, release),
		cmocka_unit_test_setup_teardown(the_journal_gets_its_priorities, capture, release),
		cmocka_unit_test_setup_teardown(lines_above_the_level_are_not_made, capture,
						release),
		cmocka_unit_test_setup_teardown(a_place_that_repeats_itself_is_limited, capture,
						release),
		cmocka_unit_test_setup_teardown(what_was_left_out_is_counted_and_said, capture,
						release),
		cmocka_unit_test_setup_teardown(a_huge_line_is_cut_and_still_ends, capture, release),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
