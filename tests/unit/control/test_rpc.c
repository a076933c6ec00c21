/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket with real clients; the reactor is turned by the test. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/rpc.h"
#include "control/socket.h"
#include "reactor/reactor.h"
#include "../temp.h"

#define TURNS 20000 /* bound of every wait */

static struct rig {
	struct reactor *reactor;
	struct rpc_server *server;
	char folder[TEMP_PATH_MAX], path[CONTROL_PATH_MAX];
	struct call *held; /* a call that a test has not answered yet */
	unsigned runs;
} rig;

static void run_echo(struct call *c)
{
	rig.runs++;
	call_reply(c, json_string(call_str(c, "text", "")));
}

static void run_hold(struct call *c)
{
	rig.held = c;
}

static const struct param echo_params[] = {
	{ "text", P_STRING, .help = "what to say" },
	{ .type = P_END },
};
static const struct verb verbs[] = {
	{ "echo", "say it again", echo_params, run_echo },
	{ "hold", "answer later", NULL, run_hold },
	{ NULL },
};

static void start_with(const struct rpc_limits *limits)
{
	struct err e;

	rig.server = rpc_start(rig.reactor, rig.path, verbs, NULL, limits, &e);
	if (!rig.server)
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	struct reactor_opts o = {
		.name = "test", .id = REACTORS_MAX, .engine = &engine_epoll, .buf_cap = 2 << 20
	};
	struct err e;

	memset(&rig, 0, sizeof(rig));
	if (!mkdtemp(temp_path(rig.folder, "rpc")))
		return -1;
	snprintf(rig.path, sizeof(rig.path), "%s/socket.0", rig.folder);
	rig.reactor = reactor_create(&o, &e);
	if (!rig.reactor)
		return -1;
	reactor_turn(rig.reactor, 0);
	return 0;
}

static void stop(void)
{
	rpc_close(rig.server);
	rpc_cut(rig.server);
	for (int i = 0; i < TURNS && rpc_busy(rig.server); i++)
		reactor_turn(rig.reactor, 1000000);
	assert_int_equal(rpc_busy(rig.server), 0);
	rpc_free(rig.server);
	rig.server = NULL;
}

static int teardown(void **state)
{
	char lock[CONTROL_PATH_MAX + 8];

	if (rig.server)
		stop();
	reactor_destroy(rig.reactor);
	snprintf(lock, sizeof(lock), "%s.lock", rig.path);
	unlink(lock);
	unlink(rig.path);
	rmdir(rig.folder);
	return 0;
}

/* ---- a client --------------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, rig.path, strlen(rig.path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Turn until @fd has something to read (or its end). */
static void await(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < TURNS && poll(&p, 1, 0) == 0; i++)
		reactor_turn(rig.reactor, 1000000);
	assert_int_equal(poll(&p, 1, 0), 1);
}

/* The next @lines lines from @fd, at @out. */
static void hear(int fd, unsigned lines, char *out, size_t room)
{
	size_t n = 0;
	ssize_t got;

	while (lines) {
		await(fd);
		assert_true(n + 1 < room);
		got = recv(fd, out + n, 1, 0);
		assert_int_equal(got, 1);
		lines -= out[n++] == '\n';
	}
	out[n] = 0;
}

static bool ended(int fd)
{
	char c;

	await(fd);
	return recv(fd, &c, 1, 0) <= 0;
}

static void settle(void)
{
	for (int i = 0; i < 50; i++)
		reactor_turn(rig.reactor, 0);
}

#define ECHO(text) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"" text "\"}}\n"
#define HOLD "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hold\"}\n"

static const char echo_head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\","
				"\"params\":{\"text\":\"";

/* ---- tests ---------------------------------------------------------------------------- */

static void a_request_is_answered_with_one_line(void **state)
{
	char line[256];
	int fd;

	start_with(NULL);
	fd = dial();
	say(fd, ECHO("hello"));
	hear(fd, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"result\":\"hello\""));
	close(fd);
}

static void a_client_can_be_handed_to_a_server_without_a_path(void **state)
{
	char line[256];
	struct err e;
	int sv[2];

	rig.server = rpc_start(rig.reactor, NULL, verbs, NULL, NULL, &e);
	assert_non_null(rig.server);
	assert_int_equal(rpc_busy(rig.server), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
	rpc_serve(rig.server, sv[1]);
	say(sv[0], ECHO("hello"));
	hear(sv[0], 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"result\":\"hello\""));
	stop();
	assert_true(ended(sv[0]));
	close(sv[0]);
}

static void a_request_in_single_bytes_is_put_together(void **state)
{
	static const char text[] = ECHO("slow");
	char line[256];
	int fd;

	start_with(NULL);
	fd = dial();
	for (size_t i = 0; i < strlen(text); i++) {
		assert_int_equal(send(fd, text + i, 1, 0), 1);
		reactor_turn(rig.reactor, 0);
	}
	hear(fd, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"slow\""));
	close(fd);
}

static void requests_in_one_segment_are_answered_in_order(void **state)
{
	char lines[1024], *one, *two, *three;
	int fd;

	start_with(NULL);
	fd = dial();
	say(fd, ECHO("one") ECHO("two") "\n" ECHO("three"));
	hear(fd, 3, lines, sizeof(lines));
	one = strstr(lines, "one");
	two = strstr(lines, "two");
	three = strstr(lines, "three");
	assert_true(one && two && three && one < two && two < three);
	close(fd);
}

static void many_notifications_cost_no_stack_and_no_answer(void **state)
{
	static const char note[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}\n";
	char line[256];
	int fd;

	start_with(NULL);
	fd = dial();
	for (int i = 0; i < 3000; i++) {
		say(fd, note);
		reactor_turn(rig.reactor, 0);
	}
	say(fd, ECHO("end"));
	hear(fd, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"end\""));
	assert_int_equal(rig.runs, 3001);
	close(fd);
}

static void a_bad_line_is_answered_and_the_next_one_served(void **state)
{
	char lines[1024];
	int fd;

	start_with(NULL);
	fd = dial();
	say(fd, "nonsense\n" ECHO("good"));
	hear(fd, 2, lines, sizeof(lines));
	assert_non_null(strstr(lines, "-32700"));
	assert_non_null(strstr(lines, "\"good\""));
	close(fd);
}

static void a_line_of_the_largest_size_is_served(void **state)
{
	static char big[RPC_LINE_MAX + 2], lines[RPC_LINE_MAX + 256];
	size_t len = RPC_LINE_MAX, tail = strlen("\"}}");
	int fd, size = 1 << 20;

	start_with(NULL);
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memset(big, 'x', len);
	memcpy(big, echo_head, strlen(echo_head));
	memcpy(big + len - tail, "\"}}\n", 5);
	say(fd, big);
	hear(fd, 1, lines, sizeof(lines));
	assert_non_null(strstr(lines, "result"));
	close(fd);
}

static void a_longer_line_is_refused_and_the_client_cut_off(void **state)
{
	static char big[RPC_LINE_MAX + 64], line[512];
	int fd, size = 1 << 20;

	start_with(NULL);
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memset(big, 'x', sizeof(big) - 1);
	say(fd, big);
	hear(fd, 1, line, sizeof(line));
	assert_non_null(strstr(line, "at most 65536 bytes"));
	assert_true(ended(fd));
	close(fd);
}

static void a_call_that_takes_time_holds_nobody_else_up(void **state)
{
	char line[256];
	int slow, quick;

	start_with(NULL);
	slow = dial();
	say(slow, HOLD);
	quick = dial();
	say(quick, ECHO("quick"));
	hear(quick, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"quick\""));
	assert_non_null(rig.held);
	call_reply(rig.held, NULL);
	hear(slow, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"result\":true"));
	close(slow);
	close(quick);
}

static void a_client_that_leaves_does_not_end_its_call(void **state)
{
	int fd;

	start_with(NULL);
	fd = dial();
	say(fd, HOLD);
	for (int i = 0; i < TURNS && !rig.held; i++)
		reactor_turn(rig.reactor, 1000000);
	close(fd);
	settle();
	call_reply(rig.held, NULL);
	for (int i = 0; i < TURNS && rpc_busy(rig.server) > 1; i++)
		reactor_turn(rig.reactor, 1000000);
	assert_int_equal(rpc_busy(rig.server), 1); /* the accept */
}

static void a_request_that_does_not_end_is_cut_off_in_time(void **state)
{
	struct rpc_limits limits = { .line_ns = NSEC_PER_MSEC,
				     .idle_ns = 3600 * NSEC_PER_SEC,
				     .send_ns = 3600 * NSEC_PER_SEC };
	int fd;

	start_with(&limits);
	fd = dial();
	say(fd, "{\"jsonrpc\"");
	assert_true(ended(fd));
	close(fd);
}

static void an_idle_client_is_cut_off_in_time(void **state)
{
	struct rpc_limits limits = { .line_ns = 3600 * NSEC_PER_SEC,
				     .idle_ns = NSEC_PER_MSEC,
				     .send_ns = 3600 * NSEC_PER_SEC };
	int fd;

	start_with(&limits);
	fd = dial();
	assert_true(ended(fd));
	close(fd);
}

static void a_client_that_does_not_read_is_cut_off_in_time(void **state)
{
	static char big[RPC_LINE_MAX];
	struct rpc_limits limits = { .line_ns = 3600 * NSEC_PER_SEC,
				     .idle_ns = 3600 * NSEC_PER_SEC,
				     .send_ns = NSEC_PER_MSEC };
	unsigned sent = 0;
	int fd;

	start_with(&limits);
	fd = dial();
	/* requests whose answers nobody takes, until the daemon gives up */
	memset(big, 'y', sizeof(big));
	memcpy(big, echo_head, strlen(echo_head));
	memcpy(big + 60000, "\"}}\n", 4);
	for (int i = 0; i < TURNS && !(sent && rpc_busy(rig.server) == 1); i++) {
		if (send(fd, big, 60004, MSG_DONTWAIT | MSG_NOSIGNAL) == 60004)
			sent++;
		reactor_turn(rig.reactor, 1000000);
	}
	assert_true(sent > 0);
	assert_int_equal(rpc_busy(rig.server), 1);
	close(fd);
}

static void when_all_places_are_taken_the_longest_idle_client_goes(void **state)
{
	int fd[RPC_CLIENTS_MAX], last;
	char line[256];

	start_with(NULL);
	for (int i = 0; i < RPC_CLIENTS_MAX; i++) {
		fd[i] = dial();
		say(fd[i], ECHO("here"));
		hear(fd[i], 1, line, sizeof(line));
	}
	last = dial();
	say(last, ECHO("late"));
	hear(last, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"late\""));
	assert_true(ended(fd[0]));
	say(fd[1], ECHO("still here"));
	hear(fd[1], 1, line, sizeof(line));
	for (int i = 0; i < RPC_CLIENTS_MAX; i++)
		close(fd[i]);
	close(last);
}

static void the_socket_is_for_its_owner_only(void **state)
{
	struct stat st;

	start_with(NULL);
	assert_int_equal(stat(rig.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_second_server_learns_who_has_the_socket(void **state)
{
	struct err e = { 0 };

	start_with(NULL);
	assert_null(rpc_start(rig.reactor, rig.path, verbs, NULL, NULL, &e));
	assert_int_equal(e.code, -EADDRINUSE);
	assert_non_null(strstr(e.text, "another tgtd (process "));
	assert_non_null(strstr(e.text, rig.path));
}

static void a_socket_left_by_a_dead_daemon_is_taken_over(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int dead = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	char line[256];

	memcpy(sa.sun_path, rig.path, strlen(rig.path) + 1);
	assert_int_equal(bind(dead, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(dead);
	start_with(NULL);
	assert_true(rpc_took_over(rig.server));
	fd = dial();
	say(fd, ECHO("alive"));
	hear(fd, 1, line, sizeof(line));
	assert_non_null(strstr(line, "\"alive\""));
	close(fd);
}

static void closing_takes_the_name_away_and_lets_answers_out(void **state)
{
	char line[256];
	struct stat st;
	int fd;

	start_with(NULL);
	fd = dial();
	say(fd, HOLD);
	for (int i = 0; i < TURNS && !rig.held; i++)
		reactor_turn(rig.reactor, 1000000);
	rpc_close(rig.server);
	rpc_drain(rig.server);
	assert_int_not_equal(stat(rig.path, &st), 0);
	call_reply(rig.held, NULL);
	hear(fd, 1, line, sizeof(line));
	assert_non_null(strstr(line, "true"));
	assert_true(ended(fd));
	close(fd);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
	char path[CONTROL_PATH_MAX], longest[200];
	struct err e;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	setenv("TGT_IPC_SOCKET", longest, 1);
	assert_int_equal(control_socket_path(path, sizeof(path), 0, &e), -ENAMETOOLONG);
	setenv("TGT_IPC_SOCKET", "/tmp/s", 1);
	assert_int_equal(control_socket_path(path, sizeof(path), 7, &e), 0);
	assert_string_equal(path, "/tmp/s.7");
	unsetenv("TGT_IPC_SOCKET");
	assert_int_equal(control_socket_path(path, sizeof(path), 0, &e), 0);
	assert_string_equal(path, "/var/run/tgtd/socket.0");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_request_is_answered_with_one_line),
		T(a_client_can_be_handed_to_a_server_without_a_path),
		T(a_request_in_single_bytes_is_put_together),
		T(requests_in_one_segment_are_answered_in_order),
		T(many_notifications_cost_no_stack_and_no_answer),
		T(a_bad_line_is_answered_and_the_next_one_served),
		T(a_line_of_the_largest_size_is_served),
		T(a_longer_line_is_refused_and_the_client_cut_off),
		T(a_call_that_takes_time_holds_nobody_else_up),
		T(a_client_that_leaves_does_not_end_its_call),
		T(a_request_that_does_not_end_is_cut_off_in_time),
		T(an_idle_client_is_cut_off_in_time),
		T(a_client_that_does_not_read_is_cut_off_in_time),
		T(when_all_places_are_taken_the_longest_idle_client_goes),
		T(the_socket_is_for_its_owner_only),
		T(a_second_server_learns_who_has_the_socket),
		T(a_socket_left_by_a_dead_daemon_is_taken_over),
		T(closing_takes_the_name_away_and_lets_answers_out),
		T(a_path_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
