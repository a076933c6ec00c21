/* SPDX-License-Identifier: BSD-2-Clause */
/* tgtd's command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "control/options.h"

#define ARGS_MAX 12

/* Parse "a b c" as tgtd's arguments. The options point into @buf. */
static int parse(struct daemon_options *o, const char *line, char *buf, size_t room, struct err *e)
{
	char *argv[ARGS_MAX + 2] = { "tgtd" }, *save;
	int argc = 1;

	snprintf(buf, room, "%s", line);
	for (char *w = strtok_r(buf, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(argc <= ARGS_MAX);
		argv[argc++] = w;
	}
	return daemon_options_parse(o, argc, argv, e);
}

static void good(struct daemon_options *o, const char *line, char *buf, size_t room)
{
	struct err e = { 0 };

	if (parse(o, line, buf, room, &e))
		fail_msg("%s: %s", line, e.text);
}

static void without_options_everything_is_default(void **state)
{
	struct daemon_options o;
	char buf[512];

	good(&o, "", buf, sizeof(buf));
	assert_int_equal(o.action, OPTIONS_RUN);
	assert_false(o.foreground || o.no_daemon || o.debug);
	assert_int_equal(o.control_port, 0);
	assert_int_equal(o.nportals, 0);
	assert_int_equal(o.memory, MEMORY_DEFAULT);
	assert_null(o.pid_file);
	daemon_options_free(&o);
}

static void every_option_of_tgt_is_taken(void **state)
{
	struct daemon_options o;
	char buf[512];

	good(&o, "-f -C 7 -t 16 -p /run/x.pid -d 1 --iscsi portal=127.0.0.1:3261", buf, sizeof(buf));
	assert_true(o.foreground && o.debug);
	assert_int_equal(o.control_port, 7);
	assert_int_equal(o.io_threads, 16);
	assert_string_equal(o.pid_file, "/run/x.pid");
	assert_string_equal(o.portals[0], "127.0.0.1:3261");
	daemon_options_free(&o);
	good(&o, "--nodaemonize --control-port=65535 --nr_iothreads 1 --debug 0", buf, sizeof(buf));
	assert_true(o.no_daemon && !o.debug);
	assert_int_equal(o.control_port, 65535);
	daemon_options_free(&o);
}

static void portals_add_up_over_commas_and_options(void **state)
{
	struct daemon_options o;
	char buf[512];

	good(&o,
	     "--iscsi portal=1.2.3.4:1,nop_interval=5,portal=[::1]:2 --iscsi portal=:3,nop_count=2,"
	     "login_timeout=9",
	     buf, sizeof(buf));
	assert_int_equal(o.nportals, 3);
	assert_string_equal(o.portals[1], "[::1]:2");
	assert_string_equal(o.portals[2], ":3");
	assert_int_equal(o.nop_interval, 5);
	assert_int_equal(o.nop_count, 2);
	assert_int_equal(o.login_timeout, 9);
	daemon_options_free(&o);
}

static void the_engine_room_is_taken(void **state)
{
	struct daemon_options o;
	char buf[512];

	good(&o, "--reactors 3 --engine epoll --poll 50 --memory 64M", buf, sizeof(buf));
	assert_int_equal(o.reactors, 3);
	assert_string_equal(o.engine, "epoll");
	assert_int_equal(o.poll_us, 50);
	assert_int_equal(o.memory, 64 << 20);
	daemon_options_free(&o);
}

static void help_and_version_win(void **state)
{
	struct daemon_options o;
	char buf[512];

	good(&o, "-f --help", buf, sizeof(buf));
	assert_int_equal(o.action, OPTIONS_HELP);
	daemon_options_free(&o);
	good(&o, "-V", buf, sizeof(buf));
	assert_int_equal(o.action, OPTIONS_VERSION);
	daemon_options_free(&o);
}

static void a_bad_option_is_refused_by_name(void **state)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
		{ "--no-such", "unknown option --no-such" },
		{ "-x", "unknown option -x" },
		{ "stray", "'stray' is not an option" },
		{ "-C", "option -C needs a value" },
		{ "-C 65536", "--control-port 65536" },
		{ "-C -1", "--control-port -1" },
		{ "-C 1x", "--control-port 1x" },
		{ "-t 0", "--nr_iothreads 0" },
		{ "-d 2", "--debug 2" },
		{ "--reactors 0", "--reactors 0: a number from 1 to 8" },
		{ "--reactors 9", "--reactors 9" },
		{ "--poll many", "--poll many" },
		{ "--memory 4095K", "at least 4M" },
		{ "--memory 99999999999T", "--memory" },
		{ "--memory -1", "--memory -1" },
		{ "--iscsi portal", "--iscsi portal needs a value" },
		{ "--iscsi portal=", "needs an address" },
		{ "--iscsi portl=1", "did you mean 'portal'?" },
		{ "--iscsi nop_interval=x", "nop_interval x" },
		{ "--iscsi login_timeout=0", "login_timeout 0" },
	};
	struct daemon_options o;
	char buf[512];
	struct err e;

	for (unsigned i = 0; i < array_size(cases); i++) {
		memset(&e, 0, sizeof(e));
		assert_int_not_equal(parse(&o, cases[i].line, buf, sizeof(buf), &e), 0);
		if (!strstr(e.text, cases[i].text))
			fail_msg("%s: '%s' does not hold '%s'", cases[i].line, e.text,
				 cases[i].text);
		daemon_options_free(&o);
	}
}

static void more_portals_than_there_is_room_for_are_refused(void **state)
{
	struct daemon_options o;
	char line[2048] = "", buf[2048];
	struct err e;
	size_t n = (size_t)snprintf(line, sizeof(line), "--iscsi portal=:1");

	for (unsigned i = 0; i < PORTALS_MAX; i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, ",portal=:%u", i + 2);
	assert_int_not_equal(parse(&o, line, buf, sizeof(buf), &e), 0);
	daemon_options_free(&o);
}

static void help_names_every_long_option(void **state)
{
	static const char *const names[] = { "--foreground",   "--nodaemonize", "--control-port",
					     "--nr_iothreads", "--pid-file",	"--debug",
					     "--version",      "--help",	"--iscsi",
					     "--reactors",     "--engine",	"--poll",
					     "--memory" };

	for (unsigned i = 0; i < array_size(names); i++)
		assert_non_null(strstr(daemon_help, names[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_options_everything_is_default),
		cmocka_unit_test(every_option_of_tgt_is_taken),
		cmocka_unit_test(portals_add_up_over_commas_and_options),
		cmocka_unit_test(the_engine_room_is_taken),
		cmocka_unit_test(help_and_version_win),
		cmocka_unit_test(a_bad_option_is_refused_by_name),
		cmocka_unit_test(more_portals_than_there_is_room_for_are_refused),
		cmocka_unit_test(help_names_every_long_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
