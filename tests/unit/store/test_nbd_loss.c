/* SPDX-License-Identifier: BSD-2-Clause */
/* The store nbd when its server dies, comes back, comes back as another, or does not. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "servers.h"

#define ROOM MIB(2)
#define MANY 100
/* What the store gives a server at a time; the rest waits. */
#define WINDOW 64

static const struct engine *engine;

struct fixture {
	struct rig g;
	uint8_t *data, *back;
	pid_t server;
	unsigned port; /* 0: the socket */
	char socket[128], file[128];
	struct req q[MANY];
};

static int set_up_with(void **state, bool home)
{
	struct fixture *f = calloc(1, sizeof(*f));

	rig_init(&f->g, engine, home);
	f->data = rig_memory(ROOM);
	f->back = rig_memory(ROOM);
	memset(f->data, 0x5a, ROOM);
	snprintf(f->socket, sizeof(f->socket), "%s/s", f->g.dir);
	snprintf(f->file, sizeof(f->file), "file=%s", rig_file(&f->g, "disk", MIB(1)));
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, false);
}

static int set_up_two(void **state)
{
	return set_up_with(state, true);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rig_fini(&f->g);
	program_kill(&f->server);
	free(f->data);
	free(f->back);
	free(f);
	return 0;
}

/* A server of @size in memory; reads and writes take so many seconds. */
static void serve(struct fixture *f, const char *size, const char *read_s, const char *write_s)
{
	char r[32], w[32], port[16],
		*argv[] = { "nbdkit", "-f",	    "-U", f->socket, "--filter=delay",
			    "memory", (char *)size, r,	  w,	     NULL,
			    NULL };

	snprintf(r, sizeof(r), "delay-read=%s", read_s);
	snprintf(w, sizeof(w), "delay-write=%s", write_s);
	if (f->port) {
		snprintf(port, sizeof(port), "-p%u", f->port);
		argv[2] = "-i127.0.0.1";
		argv[3] = port;
	} else {
		unlink(f->socket);
	}
	f->server = program_start(argv);
	if (!server_wait(f->server, f->socket, f->port))
		fail_msg("nbdkit does not start");
}

/* A server of the file f->g.dir/disk, whose data survives it. */
static void serve_file(struct fixture *f)
{
	char *argv[] = { "nbdkit", "-f", "-U", f->socket, "file", f->file, NULL };

	unlink(f->socket);
	f->server = program_start(argv);
	if (!server_wait(f->server, f->socket, 0))
		fail_msg("nbdkit does not start");
}

/* The same by TCP, so that it cannot be seen whether it lives. */
static void serve_sized_by_file(struct fixture *f, const char *delay)
{
	char port[16], *argv[] = { "nbdkit", "-f",    "-i127.0.0.1", port, "--filter=delay",
				   "file",   f->file, (char *)delay, NULL };

	snprintf(port, sizeof(port), "-p%u", f->port);
	f->server = program_start(argv);
	if (!server_wait(f->server, NULL, f->port))
		fail_msg("nbdkit does not start");
}

static void must_open(struct fixture *f, const char *opts)
{
	char uri[64];
	struct store_spec p = { .type = "nbd", .path = f->socket, .opts = opts, .block_size = 512 };

	snprintf(uri, sizeof(uri), "nbd://127.0.0.1:%u", f->port);
	if (f->port)
		p.path = uri;
	if (rig_open(&f->g, &p, NULL))
		fail_msg("%s", f->g.err.text);
}

static void until_away(struct fixture *f, bool away)
{
	while (!store_why_away(f->g.s) == away)
		reactor_turn(f->g.r, NSEC_PER_MSEC);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void submit(struct fixture *f, unsigned i, enum store_verb verb)
{
	rig_fill(&f->q[i], verb, 0, i * 4096, 4096,
		 (verb == STORE_READ ? f->back : f->data) + i * 4096);
	rig_submit(&f->g, &f->q[i]);
}

static int ended(struct fixture *f, unsigned i)
{
	rig_wait(&f->g, &f->q[i]);
	return f->q[i].io.err;
}

static int act(struct fixture *f, enum store_verb verb, uint64_t off)
{
	struct req q;
	uint8_t *p = verb == STORE_READ ? f->back + off : f->data + off;
	bool data = verb == STORE_READ || verb == STORE_WRITE;

	return rig_do(&f->g, &q, verb, 0, data ? off : 0, data ? 4096 : 0, data ? p : NULL);
}

/* What was submitted is with the server when this returns. */
static void send_all(struct fixture *f)
{
	for (unsigned i = 0; i < 20; i++)
		reactor_turn(f->g.r, 0);
}

/* ---- what was sent, and what was not ---- */

static void a_write_ends_when_the_server_is_dead_and_is_not_sent_again(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "100");
	must_open(f, "settle=3600");
	for (unsigned i = 0; i < 8; i++)
		submit(f, i, STORE_WRITE);
	send_all(f);
	program_kill(&f->server);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(ended(f, i), -ENOTCONN);
	assert_int_equal(act(f, STORE_READ, 0), -ENOTCONN);
	serve(f, "1M", "0", "0");
	until_away(f, false);
	assert_int_equal(act(f, STORE_READ, 0), 0);
	assert_int_equal(f->back[0], 0);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
	assert_int_equal(act(f, STORE_READ, 0), 0);
	assert_int_equal(f->back[0], 0x5a);
}

static void a_read_is_answered_by_the_next_server(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "100", "0");
	must_open(f, NULL);
	for (unsigned i = 0; i < 8; i++)
		submit(f, i, STORE_READ);
	memset(f->back, 0xff, 8 * 4096);
	send_all(f);
	program_kill(&f->server);
	until_away(f, true);
	serve(f, "1M", "0", "0");
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(ended(f, i), 0);
	assert_int_equal(f->back[0] | f->back[8 * 4096 - 1], 0);
}

static void what_was_not_sent_is_busy(void **state)
{
	struct fixture *f = *state;
	unsigned busy = 0, good = 0;

	serve(f, "1M", "100", "0");
	must_open(f, NULL);
	for (unsigned i = 0; i < MANY; i++)
		submit(f, i, STORE_READ);
	send_all(f);
	program_kill(&f->server);
	until_away(f, true);
	serve(f, "1M", "0", "0");
	for (unsigned i = 0; i < MANY; i++) {
		int err = ended(f, i);

		busy += err == -EAGAIN;
		good += !err;
	}
	assert_int_equal(good, WINDOW);
	assert_int_equal(busy, MANY - WINDOW);
}

static void reads_end_when_the_server_stays_away(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "100", "0");
	must_open(f, "timeout=1");
	submit(f, 0, STORE_READ);
	send_all(f);
	program_kill(&f->server);
	assert_int_equal(ended(f, 0), -ENOTCONN);
	serve(f, "1M", "0", "0");
	until_away(f, false);
	assert_int_equal(act(f, STORE_READ, 0), 0);
}

static void a_read_that_nobody_waits_for_does_not_wait_for_a_server(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "100", "100");
	must_open(f, "timeout=3600;settle=3600");
	for (unsigned i = 0; i < 4; i++)
		submit(f, i, STORE_READ);
	send_all(f);
	store_cancel(&f->q[0].io); /* while the server has it */
	program_kill(&f->server);
	assert_int_equal(ended(f, 0), -ENOTCONN);
	until_away(f, true);
	store_cancel(&f->q[3].io);
	store_cancel(&f->q[1].io);
	assert_int_equal(ended(f, 1), -ENOTCONN);
	assert_int_equal(ended(f, 3), -ENOTCONN);
	assert_int_equal(f->q[2].done, 0);
	serve(f, "1M", "0", "0");
	assert_int_equal(ended(f, 2), 0);
}

static void what_was_not_sent_can_be_cancelled(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "1", "1");
	must_open(f, NULL);
	for (unsigned i = 0; i < MANY; i++)
		submit(f, i, STORE_READ);
	send_all(f);
	for (unsigned i = MANY; i--;)
		store_cancel(&f->q[i].io);
	for (unsigned i = WINDOW; i < MANY; i++) {
		assert_int_equal(f->q[i].done, 1);
		assert_int_equal(f->q[i].io.err, -ECANCELED);
	}
	for (unsigned i = 0; i < WINDOW; i++)
		assert_int_equal(ended(f, i), 0);
}

static void a_server_that_cannot_be_seen_is_given_time_for_what_it_had(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	f->port = server_free_port();
	serve(f, "1M", "0", "100");
	must_open(f, "settle=1");
	submit(f, 0, STORE_WRITE);
	send_all(f);
	start = now();
	program_kill(&f->server);
	serve(f, "1M", "0", "0");
	assert_int_equal(ended(f, 0), -ENOTCONN);
	assert_true(now() - start >= NSEC_PER_SEC);
	until_away(f, false);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
}

static void several_connections_come_back(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "100");
	must_open(f, "connections=3");
	for (unsigned i = 0; i < 30; i++)
		submit(f, i, i % 2 ? STORE_WRITE : STORE_READ);
	send_all(f);
	program_kill(&f->server);
	until_away(f, true);
	serve(f, "1M", "0", "0");
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(ended(f, i), i % 2 ? -ENOTCONN : 0);
	until_away(f, false);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(act(f, STORE_WRITE, i * 4096), 0);
}

/* Inodes of our sockets that lead to the server; the first one is cut if @cut. */
static unsigned connections(struct fixture *f, ino_t ino[8], bool cut)
{
	unsigned n = 0;

	for (int fd = 3; fd < 256 && n < 8; fd++) {
		struct sockaddr_un a = { 0 };
		socklen_t len = sizeof(a);
		struct stat st;

		if (getpeername(fd, (struct sockaddr *)&a, &len) ||
		    strcmp(a.sun_path, f->socket) != 0 || fstat(fd, &st))
			continue;
		if (cut && !n)
			shutdown(fd, SHUT_RDWR);
		ino[n++] = st.st_ino;
	}
	return n;
}

static void one_lost_connection_is_made_anew_when_the_others_are_answered(void **state)
{
	struct fixture *f = *state;
	unsigned lost = 0, good = 0, same = 0;
	ino_t before[8], after[8];

	serve(f, "1M", "0", "1");
	must_open(f, "connections=3;settle=1");
	for (unsigned i = 0; i < 12; i++)
		submit(f, i, STORE_WRITE);
	send_all(f);
	assert_int_equal(connections(f, before, true), 3);
	for (unsigned i = 0; i < 12; i++) {
		int err = ended(f, i);

		lost += err == -ENOTCONN;
		good += !err;
	}
	assert_int_equal(lost, 4);
	assert_int_equal(good, 8);
	until_away(f, false);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
	assert_int_equal(connections(f, after, false), 3);
	for (unsigned i = 0; i < 9; i++)
		same += before[i / 3] == after[i % 3];
	assert_int_equal(same, 2);
	/* the server is the same one: nothing that it had answered is lost */
	assert_int_equal(act(f, STORE_FLUSH, 0), 0);
}

static void every_reactor_comes_back(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "0");
	must_open(f, NULL);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(act(f, STORE_READ, 0), 0);
		program_kill(&f->server);
		until_away(f, true);
		serve(f, "1M", "0", "0");
		until_away(f, false);
	}
	/* a channel may not have taken its new connection yet when the store is back */
	while (act(f, STORE_WRITE, 0) == -EAGAIN)
		;
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
}

static void a_store_whose_server_is_away_can_be_closed(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "0");
	must_open(f, NULL);
	program_kill(&f->server);
	until_away(f, true);
	rig_close(&f->g);
}

/* ---- what the server had answered ---- */

static void what_the_server_may_have_lost_fails_the_next_flush(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "0");
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
	program_kill(&f->server);
	until_away(f, true);
	serve(f, "1M", "0", "0");
	until_away(f, false);
	assert_int_equal(act(f, STORE_FLUSH, 0), -EIO);
	assert_true(store_has_error(f->g.s));
	store_clear_error(f->g.s);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
	assert_int_equal(act(f, STORE_FLUSH, 0), 0);
}

static void what_was_flushed_is_not_lost(void **state)
{
	struct fixture *f = *state;

	serve_file(f);
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
	assert_int_equal(act(f, STORE_FLUSH, 0), 0);
	program_kill(&f->server);
	until_away(f, true);
	serve_file(f);
	until_away(f, false);
	assert_int_equal(act(f, STORE_FLUSH, 0), 0);
	assert_int_equal(act(f, STORE_READ, 0), 0);
	assert_memory_equal(f->back, f->data, 4096);
}

static void a_server_that_loses_nothing_can_be_trusted(void **state)
{
	struct fixture *f = *state;

	serve_file(f);
	must_open(f, "survives=yes");
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
	program_kill(&f->server);
	until_away(f, true);
	serve_file(f);
	until_away(f, false);
	assert_int_equal(act(f, STORE_FLUSH, 0), 0);
	assert_int_equal(act(f, STORE_READ, 0), 0);
	assert_memory_equal(f->back, f->data, 4096);
}

/* ---- another size ---- */

static void a_server_that_comes_back_smaller_is_not_used(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "0");
	must_open(f, NULL);
	program_kill(&f->server);
	until_away(f, true);
	serve(f, "512K", "0", "0");
	for (unsigned i = 0; i < 400; i++) {
		reactor_turn(f->g.r, NSEC_PER_MSEC);
		assert_non_null(store_why_away(f->g.s));
	}
	program_kill(&f->server);
	serve(f, "1M", "0", "0");
	until_away(f, false);
	assert_int_equal(act(f, STORE_READ, MIB(1) - 4096), 0);
}

static void a_server_that_comes_back_larger_is_used_whole(void **state)
{
	struct fixture *f = *state;

	serve(f, "1M", "0", "0");
	must_open(f, NULL);
	program_kill(&f->server);
	until_away(f, true);
	serve(f, "2M", "0", "0");
	until_away(f, false);
	assert_int_equal(rig_size(&f->g, 0), 0);
	assert_int_equal(store_size(f->g.s), MIB(2));
	assert_int_equal(act(f, STORE_WRITE, MIB(2) - 4096), 0);
}

static void growth_is_found_when_asked_for(void **state)
{
	struct fixture *f = *state;

	serve_file(f);
	must_open(f, NULL);
	assert_int_equal(truncate(f->file + 5, (off_t)MIB(2)), 0);
	assert_int_equal(rig_size(&f->g, 0), 0);
	assert_int_equal(store_size(f->g.s), MIB(2));
	assert_int_equal(act(f, STORE_WRITE, MIB(2) - 4096), 0);
	assert_int_equal(act(f, STORE_READ, MIB(2) - 4096), 0);
	assert_null(store_why_away(f->g.s));
	assert_int_equal(rig_size(&f->g, MIB(4)), -EOPNOTSUPP);
}

/* What a new size is taken over with is not another way around the wait for what a server had. */
static void a_connection_lost_while_a_new_size_is_taken_over_is_lost_like_others(void **state)
{
	struct fixture *f = *state;
	uint64_t start;

	f->port = server_free_port();
	serve_sized_by_file(f, "delay-write=100");
	must_open(f, "settle=1");
	submit(f, 0, STORE_WRITE);
	send_all(f);
	assert_int_equal(truncate(f->file + 5, (off_t)MIB(2)), 0);
	assert_int_equal(rig_size(&f->g, 0), 0);
	send_all(f);
	start = now();
	program_kill(&f->server);
	serve_sized_by_file(f, "delay-write=0");
	assert_int_equal(ended(f, 0), -ENOTCONN);
	assert_true(now() - start >= NSEC_PER_SEC);
	until_away(f, false);
	assert_int_equal(act(f, STORE_WRITE, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_ends_when_the_server_is_dead_and_is_not_sent_again),
		TEST(a_read_is_answered_by_the_next_server),
		TEST(what_was_not_sent_is_busy),
		TEST(reads_end_when_the_server_stays_away),
		TEST(a_read_that_nobody_waits_for_does_not_wait_for_a_server),
		TEST(what_was_not_sent_can_be_cancelled),
		TEST(a_server_that_cannot_be_seen_is_given_time_for_what_it_had),
		TEST(several_connections_come_back),
		TEST(one_lost_connection_is_made_anew_when_the_others_are_answered),
		TEST_TWO(every_reactor_comes_back),
		TEST(a_store_whose_server_is_away_can_be_closed),
		TEST_TWO(a_store_whose_server_is_away_can_be_closed),
		TEST(what_the_server_may_have_lost_fails_the_next_flush),
		TEST(what_was_flushed_is_not_lost),
		TEST(a_server_that_loses_nothing_can_be_trusted),
		TEST(a_server_that_comes_back_smaller_is_not_used),
		TEST(a_server_that_comes_back_larger_is_used_whole),
		TEST(growth_is_found_when_asked_for),
		TEST(a_connection_lost_while_a_new_size_is_taken_over_is_lost_like_others),
	};

	engine = rig_engine(argc, argv);
	if (!program_exists("nbdkit")) {
		printf("1..0 # SKIP nbdkit is not installed\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
