/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's rules: done once, never from within, cancel only hastens; many
 * operations at once; numbers of descriptors that come back; and what it costs.
 */
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"

#define MANY 5000

/* --- cancel --- */

static void what_is_still_queued_is_cancelled_without_being_done(void **state)
{
	struct probe p;

	probe_socket(&p, IO_SENDMSG, pair[0], buf, 1);
	probe_submit(r, &p);
	assert_true(io_pending(&p.op));
	probe_cancel(&p);
	assert_true(io_pending(&p.op));
	assert_int_equal(p.calls, 0);
	assert_int_equal(probe_wait(r, &p), -ECANCELED);
	assert_int_equal(recv(pair[1], buf, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void what_waits_is_cancelled_promptly(void **state)
{
	struct probe rx, pr, ac;
	uint16_t port;
	int lfd = tcp_listen(&port);

	probe_socket(&rx, IO_RECVMSG, pair[0], buf, sizeof(buf));
	probe_poll(&pr, pair[1], POLLIN);
	probe_socket(&ac, IO_ACCEPT, lfd, NULL, 0);
	probe_submit(r, &rx);
	probe_submit(r, &pr);
	probe_submit(r, &ac);
	turn_some(r);
	probe_cancel(&rx);
	probe_cancel(&pr);
	probe_cancel(&ac);
	assert_int_equal(probe_wait(r, &rx), -ECANCELED);
	assert_int_equal(probe_wait(r, &pr), -ECANCELED);
	assert_int_equal(probe_wait(r, &ac), -ECANCELED);
	turn_some(r);
	assert_int_equal(rx.calls + pr.calls + ac.calls, 3);
	close(lfd);
}

static void a_send_that_waits_for_room_is_cancelled(void **state)
{
	static char block[65536];
	struct probe p;

	do {
		probe_socket(&p, IO_SENDMSG, pair[0], block, sizeof(block));
		probe_submit(r, &p);
		turn_some(r);
	} while (p.calls);
	probe_cancel(&p);
	assert_int_equal(probe_wait(r, &p), -ECANCELED);
}

static void cancelling_twice_is_as_good_as_once(void **state)
{
	struct probe p;

	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	probe_submit(r, &p);
	turn_some(r);
	probe_cancel(&p);
	probe_cancel(&p);
	assert_int_equal(probe_wait(r, &p), -ECANCELED);
	probe_cancel(&p);
	turn_some(r);
	assert_int_equal(p.calls, 1);
}

static void an_operation_that_was_never_submitted_can_be_cancelled(void **state)
{
	struct probe p;

	probe_socket(&p, IO_RECVMSG, pair[0], buf, 1);
	probe_cancel(&p);
	turn_some(r);
	assert_int_equal(p.calls, 0);
}

static void a_cancelled_receive_leaves_the_data_to_the_next(void **state)
{
	struct probe p;

	for (int i = 0; i < 20; i++) {
		probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
		probe_submit(r, &p);
		if (i % 2)
			turn_some(r);
		probe_cancel(&p);
		assert_int_equal(probe_wait(r, &p), -ECANCELED);
		assert_int_equal(write(pair[1], "abc", 3), 3);
		assert_int_equal(probe_run(r, &p), 3);
	}
}

static void what_completed_keeps_its_result_when_cancelled(void **state)
{
	struct probe p;

	for (int i = 0; i < 20; i++) {
		probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
		probe_submit(r, &p);
		turn_some(r);
		assert_int_equal(write(pair[1], "abc", 3), 3);
		probe_cancel(&p);
		/* Either the data or the cancel: bytes are never lost. */
		if (probe_wait(r, &p) == -ECANCELED)
			assert_int_equal(probe_run(r, &p), 3);
		else
			assert_int_equal(p.res, 3);
	}
}

static void a_cancelled_file_operation_ends_one_way_or_the_other(void **state)
{
	static struct probe p[64];
	int fd = temp_file(sizeof(buf));

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 64; i++) {
			probe_file(&p[i], i % 2 ? IO_FDATASYNC : IO_PREADV, fd, buf, 100, 0);
			probe_submit(r, &p[i]);
		}
		if (round)
			reactor_turn(r, 0);
		for (int i = 0; i < 64; i++)
			probe_cancel(&p[i]);
		for (int i = 0; i < 64; i++) {
			int res = probe_wait(r, &p[i]);

			assert_true(res == -ECANCELED || res == (i % 2 ? 0 : 100));
			if (!round)
				assert_int_equal(res, -ECANCELED);
		}
	}
	close(fd);
}

static struct probe *victim;

static void cancel_victim(struct probe *p)
{
	probe_cancel(victim);
}

static void a_done_may_cancel_what_is_complete_already(void **state)
{
	struct probe a, b;

	assert_int_equal(write(pair[0], "x", 1), 1);
	assert_int_equal(write(pair[1], "x", 1), 1);
	probe_socket(&a, IO_RECVMSG, pair[0], buf, 1);
	probe_socket(&b, IO_RECVMSG, pair[1], buf + 1, 1);
	a.then = b.then = cancel_victim;
	victim = &b;
	probe_submit(r, &a);
	probe_submit(r, &b);
	assert_int_equal(probe_wait(r, &a), 1);
	probe_wait(r, &b);
	turn_some(r);
	assert_int_equal(b.calls, 1);
}

/* --- many --- */

static void thousands_of_reads_in_one_turn_are_each_done_once(void **state)
{
	struct probe *p = calloc(MANY, sizeof(*p));
	char *mem = malloc(MANY);
	int fd = temp_file(MANY);

	for (int i = 0; i < MANY; i++) {
		probe_file(&p[i], IO_PREADV, fd, mem + i, 1, (uint64_t)i);
		probe_submit(r, &p[i]);
	}
	for (int i = 0; i < MANY; i++)
		assert_int_equal(probe_wait(r, &p[i]), 1);
	turn_some(r);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(p[i].calls, 1);
		assert_int_equal((uint8_t)mem[i], pattern((uint64_t)i));
	}
	free(mem);
	free(p);
	close(fd);
}

static void thousands_of_polls_fire_at_once(void **state)
{
	struct probe *p = calloc(MANY, sizeof(*p));

	for (int i = 0; i < MANY; i++) {
		probe_poll(&p[i], pair[0], POLLIN);
		probe_submit(r, &p[i]);
	}
	turn_some(r);
	assert_int_equal(write(pair[1], "x", 1), 1);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(probe_wait(r, &p[i]), POLLIN);
	turn_some(r);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(p[i].calls, 1);
	free(p);
}

static void thousands_of_polls_are_cancelled_at_once(void **state)
{
	struct probe *p = calloc(MANY, sizeof(*p));

	for (int i = 0; i < MANY; i++) {
		probe_poll(&p[i], pair[0], POLLIN);
		probe_submit(r, &p[i]);
	}
	turn_some(r);
	for (int i = 0; i < MANY; i++)
		probe_cancel(&p[i]);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(probe_wait(r, &p[i]), -ECANCELED);
	turn_some(r);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(p[i].calls, 1);
	free(p);
}

/* --- numbers that come back --- */

/* A new pair in place of the old one, with the same numbers. */
static void renew_pair(void)
{
	int fresh[2];

	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fresh), 0);
	assert_int_equal(fresh[0], pair[0]);
	assert_int_equal(fresh[1], pair[1]);
}

static void a_number_that_comes_back_is_a_new_file(void **state)
{
	struct probe a[2];

	for (int i = 0; i < 20; i++) {
		struct probe *p = &a[i % 2];

		probe_socket(p, IO_RECVMSG, pair[0], buf, sizeof(buf));
		probe_submit(r, p);
		if (i % 3)
			turn_some(r);
		assert_int_equal(p->calls, 0);
		assert_int_equal(write(pair[1], "abc", 3), 3);
		assert_int_equal(probe_wait(r, p), 3);
		renew_pair();
	}
}

static void the_same_operation_may_use_a_number_again(void **state)
{
	struct probe p;

	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	for (int i = 0; i < 20; i++) {
		p.calls = 0;
		probe_submit(r, &p);
		if (i % 3)
			turn_some(r);
		assert_int_equal(write(pair[1], "abc", 3), 3);
		assert_int_equal(probe_wait(r, &p), 3);
		if (i % 5 == 4)
			io_forget(r, pair[0]);
		renew_pair();
	}
}

static void a_number_comes_back_after_a_cancel(void **state)
{
	struct probe p;

	for (int i = 0; i < 20; i++) {
		probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
		probe_submit(r, &p);
		turn_some(r);
		probe_cancel(&p);
		assert_int_equal(probe_wait(r, &p), -ECANCELED);
		renew_pair();
		assert_int_equal(write(pair[1], "abc", 3), 3);
		assert_int_equal(probe_run(r, &p), 3);
	}
}

static void accepted_sockets_with_old_numbers_work(void **state)
{
	uint16_t port;
	int lfd = tcp_listen(&port), first = -1;

	for (int i = 0; i < 20; i++) {
		int peer = tcp_connect(port), fd;
		struct probe ac, p;

		probe_socket(&ac, IO_ACCEPT, lfd, NULL, 0);
		fd = probe_run(r, &ac);
		if (first < 0)
			first = fd;
		assert_int_equal(fd, first);
		probe_socket(&p, IO_RECVMSG, fd, buf, sizeof(buf));
		probe_submit(r, &p);
		turn_some(r);
		assert_int_equal(write(peer, "abc", 3), 3);
		assert_int_equal(probe_wait(r, &p), 3);
		close(fd);
		close(peer);
	}
	close(lfd);
}

static void a_duplicate_left_behind_does_not_disturb(void **state)
{
	int left = dup(pair[0]), old_peer = dup(pair[1]);
	struct probe p;

	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	probe_submit(r, &p);
	turn_some(r);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	assert_int_equal(probe_wait(r, &p), 3);
	renew_pair();
	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	probe_submit(r, &p);
	turn_some(r);
	assert_int_equal(write(old_peer, "old", 3), 3);
	turn_some(r);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(pair[1], "new!", 4), 4);
	assert_int_equal(probe_wait(r, &p), 4);
	assert_memory_equal(buf, "new!", 4);
	close(left);
	close(old_peer);
}

static void a_descriptor_moves_to_another_reactor(void **state)
{
	struct reactor *other = make_reactor();
	struct reactor_stats before;
	struct probe p;

	assert_int_equal(write(pair[1], "abc", 3), 3);
	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	assert_int_equal(probe_run(r, &p), 3);
	io_forget(r, pair[0]);
	turn_some(r);
	before = stats_of(r);
	for (int i = 0; i < 3; i++) {
		probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
		probe_submit(other, &p);
		turn_some(other);
		assert_int_equal(write(pair[1], "abcd", 4), 4);
		assert_int_equal(probe_wait(other, &p), 4);
		reactor_turn(r, NSEC_PER_MSEC);
	}
	assert_int_equal(stats_of(r).recvs, before.recvs);
	reactor_destroy(other);
}

/* --- costs --- */

static struct probe burst[32];
static int burst_fd;

static void submit_burst(struct later *l)
{
	for (size_t i = 0; i < array_size(burst); i++) {
		probe_file(&burst[i], IO_PREADV, burst_fd, buf, 64, 64 * i);
		probe_submit(r, &burst[i]);
	}
}

static void a_burst_of_file_reads_costs_one_call(void **state)
{
	struct reactor_stats before, after;
	struct later l;

	burst_fd = temp_file(4096);
	turn_some(r);
	later_init(&l, submit_burst);
	reactor_later(r, &l, LATER_STORE);
	before = stats_of(r);
	reactor_turn(r, 0);
	after = stats_of(r);
	/* uring: one that pushed them and brought them back, and the turn's wait. */
	assert_int_equal(after.submits - before.submits, test_engine->batches ? 2 : 1);
	assert_int_equal(after.offloads, test_engine->batches ? 0 : 32);
	assert_int_equal(after.waits - before.waits, 1);
	assert_int_equal(after.file_reads - before.file_reads, 32);
	for (size_t i = 0; i < array_size(burst); i++) {
		assert_true(burst[i].calls == 1 || !test_engine->batches);
		assert_int_equal(probe_wait(r, &burst[i]), 64);
	}
	close(burst_fd);
}

static void a_turn_without_work_makes_one_call(void **state)
{
	struct reactor_stats before;

	turn_some(r);
	before = stats_of(r);
	for (int i = 0; i < 10; i++)
		reactor_turn(r, 0);
	assert_int_equal(stats_of(r).submits - before.submits, 10);
	assert_int_equal(stats_of(r).wakeups, before.wakeups);
}

static void answer(struct probe *p)
{
	assert_int_equal(write(pair[1], "y", 1), 1);
	probe_submit(r, p);
}

static void a_receive_after_a_short_one_makes_no_call_until_data_comes(void **state)
{
	struct reactor_stats before, after;
	struct probe p;
	int fd[2];

	tcp_pair(fd);
	probe_socket(&p, IO_RECVMSG, fd[0], buf, sizeof(buf));
	p.then = answer;
	probe_submit(r, &p);
	turn_some(r);
	before = stats_of(r);
	for (int i = 1; i <= 50; i++) {
		assert_int_equal(write(fd[1], "abc", 3), 3);
		turn_until(r, &p.calls, i);
	}
	after = stats_of(r);
	assert_true(after.recvs - before.recvs <= 51);
	probe_cancel(&p);
	p.then = NULL;
	turn_until(r, &p.calls, 51);
	close(fd[0]);
	close(fd[1]);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		T(what_is_still_queued_is_cancelled_without_being_done),
		T(what_waits_is_cancelled_promptly),
		T(a_send_that_waits_for_room_is_cancelled),
		T(cancelling_twice_is_as_good_as_once),
		T(an_operation_that_was_never_submitted_can_be_cancelled),
		T(a_cancelled_receive_leaves_the_data_to_the_next),
		T(what_completed_keeps_its_result_when_cancelled),
		T(a_cancelled_file_operation_ends_one_way_or_the_other),
		T(a_done_may_cancel_what_is_complete_already),
		T(thousands_of_reads_in_one_turn_are_each_done_once),
		T(thousands_of_polls_fire_at_once),
		T(thousands_of_polls_are_cancelled_at_once),
		T(a_number_that_comes_back_is_a_new_file),
		T(the_same_operation_may_use_a_number_again),
		T(a_number_comes_back_after_a_cancel),
		T(accepted_sockets_with_old_numbers_work),
		T(a_duplicate_left_behind_does_not_disturb),
		T(a_descriptor_moves_to_another_reactor),
		T(a_burst_of_file_reads_costs_one_call),
		T(a_turn_without_work_makes_one_call),
		T(a_receive_after_a_short_one_makes_no_call_until_data_comes),
	};

	choose_engine(argc, argv);
	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
