/* SPDX-License-Identifier: BSD-2-Clause */
/* What every engine must do, one verb after the other; argv[1] names the engine. */
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"

/* --- sockets --- */

static void an_accept_waits_for_a_connection(void **state)
{
	struct probe p;
	uint16_t port;
	int lfd = tcp_listen(&port), peer;

	probe_socket(&p, IO_ACCEPT, lfd, NULL, 0);
	probe_submit(r, &p);
	turn_some(r);
	assert_int_equal(p.calls, 0);
	peer = tcp_connect(port);
	assert_true(probe_wait(r, &p) >= 0);
	close(p.res);
	close(peer);
	close(lfd);
}

static void an_accepted_socket_does_not_block_and_closes_on_exec(void **state)
{
	struct probe p;
	uint16_t port;
	int lfd = tcp_listen(&port), peer = tcp_connect(port), fd;

	probe_socket(&p, IO_ACCEPT, lfd, NULL, 0);
	fd = probe_run(r, &p);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	close(peer);
	close(lfd);
}

static void an_accept_waits_on_a_nonblocking_listener_too(void **state)
{
	struct probe p;
	uint16_t port;
	int lfd = tcp_listen(&port), peer;

	fcntl(lfd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		probe_socket(&p, IO_ACCEPT, lfd, NULL, 0);
		probe_submit(r, &p);
		turn_some(r);
		assert_int_equal(p.calls, 0);
		peer = tcp_connect(port);
		assert_true(probe_wait(r, &p) >= 0);
		close(p.res);
		close(peer);
	}
	close(lfd);
}

static void a_receive_waits_for_data(void **state)
{
	struct probe p;

	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	probe_submit(r, &p);
	turn_some(r);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(pair[1], "hello", 5), 5);
	assert_int_equal(probe_wait(r, &p), 5);
	assert_string_equal(buf, "hello");
}

static void a_receive_ends_with_zero_at_the_streams_end(void **state)
{
	struct probe p;

	shutdown(pair[1], SHUT_WR);
	probe_socket(&p, IO_RECVMSG, pair[0], buf, sizeof(buf));
	assert_int_equal(probe_run(r, &p), 0);
	assert_int_equal(probe_run(r, &p), 0);
}

static void a_receive_fills_all_segments(void **state)
{
	char a[3], b[4];
	struct iovec v[] = { { a, 3 }, { b, 4 } };
	struct probe p;

	assert_int_equal(write(pair[1], "abcdefghij", 10), 10);
	probe_socket(&p, IO_RECVMSG, pair[0], NULL, 0);
	p.msg.msg_iov = v;
	p.msg.msg_iovlen = 2;
	assert_int_equal(probe_run(r, &p), 7);
	assert_memory_equal(a, "abc", 3);
	assert_memory_equal(b, "defg", 4);
}

static void a_send_to_a_closed_peer_fails_without_a_signal(void **state)
{
	struct probe p;

	close(pair[1]);
	probe_socket(&p, IO_SENDMSG, pair[0], buf, 10);
	assert_int_equal(probe_run(r, &p), -EPIPE);
	pair[1] = -1;
}

/* Read @want bytes of the pattern from @fd, which has them. */
static uint64_t drain(int fd, uint64_t off, uint64_t want)
{
	static uint8_t got[65536];

	while (want) {
		ssize_t n = read(fd, got, min(want, sizeof(got)));

		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (got[i] != pattern(off + (uint64_t)i))
				fail_msg("byte %llu is wrong", (unsigned long long)off);
		off += (uint64_t)n;
		want -= (uint64_t)n;
	}
	return off;
}

static void a_short_send_is_continued(int tx, int rx)
{
	size_t total = MIB(4), sent = 0, shorts = 0;
	uint8_t *mem = malloc(total);
	uint64_t seen = 0;
	struct probe p;

	for (size_t i = 0; i < total; i++)
		mem[i] = pattern(i);
	while (sent < total) {
		probe_socket(&p, IO_SENDMSG, tx, mem + sent, total - sent);
		probe_submit(r, &p);
		turn_some(r);
		/* What is on its way must leave before more can be taken. */
		if (!p.calls)
			seen = drain(rx, seen, sent - seen);
		assert_true(probe_wait(r, &p) > 0);
		shorts += (size_t)p.res < total - sent;
		sent += (size_t)p.res;
	}
	drain(rx, seen, sent - seen);
	assert_true(shorts > 0);
	free(mem);
}

static void a_short_send_is_continued_on_a_local_socket(void **state)
{
	a_short_send_is_continued(pair[0], pair[1]);
}

static void a_short_send_is_continued_on_tcp(void **state)
{
	int fd[2];

	tcp_pair(fd);
	a_short_send_is_continued(fd[0], fd[1]);
	close(fd[0]);
	close(fd[1]);
}

static void a_receive_and_a_send_wait_on_one_descriptor(void **state)
{
	static char block[65536], sink[65536];
	struct probe rx, tx, pr;
	size_t sent = 0;

	probe_socket(&rx, IO_RECVMSG, pair[0], buf, sizeof(buf));
	probe_submit(r, &rx);
	do { /* until the socket takes no more */
		probe_socket(&tx, IO_SENDMSG, pair[0], block, sizeof(block));
		probe_submit(r, &tx);
		turn_some(r);
		sent += tx.calls ? (size_t)tx.res : 0;
	} while (tx.calls);
	probe_poll(&pr, pair[0], POLLIN);
	probe_submit(r, &pr);
	turn_some(r);
	assert_int_equal(rx.calls, 0);
	assert_int_equal(pr.calls, 0);
	while (sent) {
		ssize_t n = read(pair[1], sink, min(sent, sizeof(sink)));

		assert_true(n > 0);
		sent -= (size_t)n;
	}
	assert_true(probe_wait(r, &tx) > 0);
	assert_int_equal(rx.calls, 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(probe_wait(r, &rx), 1);
}

static void data_that_nobody_asked_for_is_there_later(void **state)
{
	int fd[2];
	struct probe p;

	tcp_pair(fd);
	probe_socket(&p, IO_RECVMSG, fd[0], buf, sizeof(buf));
	for (int i = 0; i < 5; i++) {
		assert_int_equal(write(fd[1], "abc", 3), 3);
		assert_int_equal(probe_run(r, &p), 3);
		/* Nobody receives while this comes. */
		assert_int_equal(write(fd[1], "late", 4), 4);
		turn_some(r);
		assert_int_equal(probe_run(r, &p), 4);
		turn_some(r);
	}
	close(fd[0]);
	close(fd[1]);
}

static void again(struct probe *p)
{
	if (p->res > 0)
		probe_submit(r, p);
}

static void a_receive_that_comes_back_in_done_sees_data_and_end(void **state)
{
	struct probe p;
	int fd[2];

	for (int i = 0; i < 50; i++) {
		tcp_pair(fd);
		probe_socket(&p, IO_RECVMSG, fd[0], buf, sizeof(buf));
		p.then = again;
		probe_submit(r, &p);
		if (i % 2)
			turn_some(r);
		assert_int_equal(write(fd[1], "abc", 3), 3);
		if (i % 3)
			turn_some(r);
		/* The end may come with the data or after it. */
		close(fd[1]);
		while (io_pending(&p.op))
			reactor_turn(r, TOO_LONG);
		assert_int_equal(p.res, 0);
		assert_true(p.calls >= 2);
		io_forget(r, fd[0]);
		close(fd[0]);
	}
}

static void high_descriptor_numbers_work(void **state)
{
	struct probe p;
	int fd = fcntl(pair[0], F_DUPFD_CLOEXEC, 1000);

	assert_true(fd >= 1000);
	probe_socket(&p, IO_RECVMSG, fd, buf, sizeof(buf));
	probe_submit(r, &p);
	turn_some(r);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(probe_wait(r, &p), 1);
	close(fd);
}

/* --- poll --- */

static void a_poll_waits_and_tells_what_is_ready(void **state)
{
	struct probe p;

	probe_poll(&p, pair[0], POLLIN);
	probe_submit(r, &p);
	turn_some(r);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(probe_wait(r, &p), POLLIN);
}

static void a_poll_answers_again_while_the_state_lasts(void **state)
{
	struct probe p;

	assert_int_equal(write(pair[1], "x", 1), 1);
	probe_poll(&p, pair[0], POLLIN);
	for (int i = 0; i < 3; i++)
		assert_int_equal(probe_run(r, &p), POLLIN);
	probe_poll(&p, pair[0], POLLOUT);
	assert_int_equal(probe_run(r, &p), POLLOUT);
}

static void a_poll_is_told_of_a_hangup_unasked(void **state)
{
	struct probe p;

	probe_poll(&p, pair[0], POLLIN);
	probe_submit(r, &p);
	turn_some(r);
	close(pair[1]);
	pair[1] = -1;
	assert_true(probe_wait(r, &p) & POLLHUP);
}

static void a_poll_works_on_an_eventfd(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct probe p;

	probe_poll(&p, fd, POLLIN);
	for (int i = 0; i < 3; i++) {
		eventfd_t v;

		p.calls = 0;
		probe_submit(r, &p);
		turn_some(r);
		assert_int_equal(p.calls, 0);
		eventfd_write(fd, 1);
		assert_int_equal(probe_wait(r, &p), POLLIN);
		eventfd_read(fd, &v);
	}
	close(fd);
}

static void a_regular_file_is_always_ready(void **state)
{
	int fd = temp_file(10);
	struct probe p;

	probe_poll(&p, fd, POLLIN | POLLOUT);
	assert_int_equal(probe_run(r, &p), POLLIN | POLLOUT);
	close(fd);
}

/* --- files --- */

static void a_file_is_read_at_its_offset(void **state)
{
	int fd = temp_file(10000);
	struct probe p;

	probe_file(&p, IO_PREADV, fd, buf, 1000, 5000);
	assert_int_equal(probe_run(r, &p), 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal((uint8_t)buf[i], pattern(5000 + i));
	close(fd);
}

static void a_read_at_the_files_end_is_short(void **state)
{
	int fd = temp_file(100);
	struct probe p;

	probe_file(&p, IO_PREADV, fd, buf, 1000, 40);
	assert_int_equal(probe_run(r, &p), 60);
	probe_file(&p, IO_PREADV, fd, buf, 1000, 100);
	assert_int_equal(probe_run(r, &p), 0);
	close(fd);
}

static void a_write_goes_to_its_offset_beyond_four_gigabytes(void **state)
{
	uint64_t off = (5ull << 30) + 1;
	int fd = temp_file(0);
	char got[6] = "";
	struct probe p;

	memcpy(buf, "hello", 5);
	probe_file(&p, IO_PWRITEV, fd, buf, 5, off);
	assert_int_equal(probe_run(r, &p), 5);
	assert_int_equal(pread(fd, got, 5, (off_t)off), 5);
	assert_string_equal(got, "hello");
	p.op.rw_flags = RWF_DSYNC;
	assert_int_equal(probe_run(r, &p), 5);
	close(fd);
}

static void a_file_is_synced(void **state)
{
	int fd = temp_file(10);
	struct probe p;

	probe_file(&p, IO_FDATASYNC, fd, NULL, 0, 0);
	assert_int_equal(probe_run(r, &p), 0);
	close(fd);
}

static void space_is_allocated(void **state)
{
	int fd = temp_file(10);
	struct probe p;
	struct stat st;

	probe_file(&p, IO_FALLOCATE, fd, NULL, 0, 0);
	p.op.mode = 0;
	p.op.start = 0;
	p.op.length = 1 << 20;
	assert_int_equal(probe_run(r, &p), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	close(fd);
}

static void reading_now_answers_from_memory(void **state)
{
	int fd = temp_file(10000), n;
	struct reactor_stats before = stats_of(r);
	struct probe p;

	probe_file(&p, IO_PREADV, fd, buf, 100, 50);
	n = io_now(r, &p.op, true);
	if (n != -EOPNOTSUPP) { /* tmpfs of older kernels */
		assert_int_equal(n, 100);
		assert_int_equal((uint8_t)buf[0], pattern(50));
		assert_int_equal(stats_of(r).file_reads, before.file_reads + 1);
	}
	memset(buf, 0, sizeof(buf));
	assert_int_equal(io_now(r, &p.op, false), 100);
	assert_int_equal((uint8_t)buf[99], pattern(149));
	assert_int_equal(p.calls, 0);
	assert_false(io_pending(&p.op));
	close(fd);
}

static void writing_now_writes(void **state)
{
	int fd = temp_file(10);
	struct probe p;
	char got[4] = "";

	memcpy(buf, "abc", 3);
	probe_file(&p, IO_PWRITEV, fd, buf, 3, 4);
	assert_int_equal(io_now(r, &p.op, false), 3);
	assert_int_equal(pread(fd, got, 3, 4), 3);
	assert_string_equal(got, "abc");
	assert_int_equal(stats_of(r).file_writes, 1);
	p.op.fd = -1;
	assert_int_equal(io_now(r, &p.op, false), -EBADF);
	probe_file(&p, IO_FDATASYNC, fd, NULL, 0, 0);
	assert_int_equal(io_now(r, &p.op, false), -EINVAL);
	close(fd);
}

static void errors_come_by_done_too(void **state)
{
	int closed = dup(pair[0]);
	struct probe p[16];
	int n = 0;

	close(closed);
	for (int k = 0; k < 2; k++) {
		int fd = k ? closed : -1;

		probe_socket(&p[n++], IO_ACCEPT, fd, NULL, 0);
		probe_socket(&p[n++], IO_RECVMSG, fd, buf, 1);
		probe_socket(&p[n++], IO_SENDMSG, fd, buf, 1);
		probe_file(&p[n++], IO_PREADV, fd, buf, 1, 0);
		probe_file(&p[n++], IO_PWRITEV, fd, buf, 1, 0);
		probe_file(&p[n++], IO_FDATASYNC, fd, NULL, 0, 0);
		probe_file(&p[n], IO_FALLOCATE, fd, NULL, 0, 0);
		p[n].op.mode = 0;
		p[n].op.start = 0;
		p[n++].op.length = 1;
		probe_poll(&p[n++], fd, POLLIN);
	}
	for (int i = 0; i < n; i++)
		probe_submit(r, &p[i]);
	for (int i = 0; i < n; i++)
		assert_int_equal(probe_wait(r, &p[i]), -EBADF);
	turn_some(r);
	for (int i = 0; i < n; i++)
		assert_int_equal(p[i].calls, 1);
}

static void receiving_from_a_file_is_an_error(void **state)
{
	int fd = temp_file(10);
	struct probe p;

	probe_socket(&p, IO_RECVMSG, fd, buf, 1);
	assert_int_equal(probe_run(r, &p), -ENOTSOCK);
	close(fd);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		T(an_accept_waits_for_a_connection),
		T(an_accepted_socket_does_not_block_and_closes_on_exec),
		T(an_accept_waits_on_a_nonblocking_listener_too),
		T(a_receive_waits_for_data),
		T(a_receive_ends_with_zero_at_the_streams_end),
		T(a_receive_fills_all_segments),
		T(a_send_to_a_closed_peer_fails_without_a_signal),
		T(a_short_send_is_continued_on_a_local_socket),
		T(a_short_send_is_continued_on_tcp),
		T(a_receive_and_a_send_wait_on_one_descriptor),
		T(data_that_nobody_asked_for_is_there_later),
		T(a_receive_that_comes_back_in_done_sees_data_and_end),
		T(high_descriptor_numbers_work),
		T(a_poll_waits_and_tells_what_is_ready),
		T(a_poll_answers_again_while_the_state_lasts),
		T(a_poll_is_told_of_a_hangup_unasked),
		T(a_poll_works_on_an_eventfd),
		T(a_regular_file_is_always_ready),
		T(a_file_is_read_at_its_offset),
		T(a_read_at_the_files_end_is_short),
		T(a_write_goes_to_its_offset_beyond_four_gigabytes),
		T(a_file_is_synced),
		T(space_is_allocated),
		T(reading_now_answers_from_memory),
		T(writing_now_writes),
		T(errors_come_by_done_too),
		T(receiving_from_a_file_is_an_error),
	};

	choose_engine(argc, argv);
	return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
