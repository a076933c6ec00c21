/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated network: what a connection's two ends see of each other. */
#include "simhost.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define STREAM KIB(200)
#define SEEDS 30

static struct sim_peer *peer;
static int fd, changes;
static char buf[KIB(64)];
static uint8_t stream[STREAM], arrived[STREAM];

static void changed(void *arg)
{
	assert_ptr_equal(arg, &changes);
	assert_false(in_turn_of(r));
	changes++;
}

static void up(uint64_t seed)
{
	host_begin(seed);
	changes = 0;
	peer = sim_connect(&fd, changed, &changes);
	for (size_t i = 0; i < STREAM; i++)
		stream[i] = pattern(i);
	memset(arrived, 0, sizeof(arrived));
}

/* NULL: the peer has gone by itself. */
static void down(struct sim_peer *p)
{
	sim_enter(r);
	io_close(r, fd);
	if (p)
		sim_peer_reset(p);
	host_end();
}

static struct probe p;

static int receive(void *data, size_t len)
{
	probe_socket(&p, IO_RECVMSG, fd, data, len);
	return finish(&p);
}

static int send_(const void *data, size_t len)
{
	probe_socket(&p, IO_SENDMSG, fd, (void *)(uintptr_t)data, len);
	return finish(&p);
}

/* ---- bytes ------------------------------------------------------------------------------- */

static size_t sent, shorts;

static void send_more(void *arg)
{
	(void)arg;
	changes++;
	sent += sim_peer_send(peer, stream + sent, STREAM - sent);
}

static void bytes_reach_the_daemon_in_order_whatever_is_short(void **state)
{
	(void)state;
	shorts = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		size_t have = 0;
		int n;

		host_begin(seed);
		for (size_t i = 0; i < STREAM; i++)
			stream[i] = pattern(i);
		peer = sim_connect(&fd, send_more, NULL);
		sim_faults()->short_io = SOMETIMES;
		sent = 0;
		send_more(NULL);
		while (have < STREAM) {
			size_t want = 1 + sim_below(min(STREAM - have, sizeof(buf)));

			n = receive(arrived + have, want);
			assert_in_range(n, 1, want);
			shorts += (size_t)n < want;
			have += (size_t)n;
		}
		assert_memory_equal(arrived, stream, STREAM);
		assert_int_equal(sim_peer_unread(peer), 0);
		down(peer);
	}
	assert_true(shorts > SEEDS);
}

static size_t have;

static void take(void *arg)
{
	(void)arg;
	have += sim_peer_receive(peer, arrived + have, STREAM - have);
}

static void bytes_reach_the_peer_in_order_whatever_is_short(void **state)
{
	(void)state;
	shorts = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		sim_peer_reset(peer);
		sim_enter(r);
		io_close(r, fd);
		peer = sim_connect(&fd, take, NULL);
		sim_faults()->short_io = SOMETIMES;
		have = 0;
		for (size_t at = 0; at < STREAM;) {
			size_t want = 1 + sim_below(min(STREAM - at, sizeof(buf)));
			int n = send_(stream + at, want);

			assert_in_range(n, 1, want);
			shorts += (size_t)n < want;
			at += (size_t)n;
		}
		run();
		assert_int_equal(have, STREAM);
		assert_memory_equal(arrived, stream, STREAM);
		assert_false(sim_peer_ended(peer));
		down(peer);
	}
	assert_true(shorts > SEEDS);
}

static void a_transfer_fills_and_takes_all_segments(void **state)
{
	char a[3], b[4];
	struct iovec v[] = { { a, 3 }, { a, 0 }, { b, 4 } };

	(void)state;
	up(1);
	assert_int_equal(sim_peer_send(peer, "abcdefghij", 10), 10);
	run();
	probe_socket(&p, IO_RECVMSG, fd, NULL, 0);
	p.msg.msg_iov = v;
	p.msg.msg_iovlen = 3;
	assert_int_equal(finish(&p), 7);
	assert_memory_equal(a, "abc", 3);
	assert_memory_equal(b, "defg", 4);
	probe_socket(&p, IO_SENDMSG, fd, NULL, 0);
	p.msg.msg_iov = v;
	p.msg.msg_iovlen = 3;
	assert_int_equal(finish(&p), 7);
	run();
	assert_int_equal(sim_peer_receive(peer, buf, sizeof(buf)), 7);
	assert_memory_equal(buf, "abcdefg", 7);
	down(peer);
}

static void short_transfers_move_less_and_something(void **state)
{
	(void)state;
	up(1);
	sim_faults()->short_io = ALWAYS;
	sim_peer_send(peer, stream, 1000);
	run();
	assert_in_range(receive(buf, 1000), 1, 999);
	assert_in_range(send_(stream, 1000), 1, 999);
	assert_int_equal(send_(stream, 1), 1);
	down(peer);
}

static void a_receive_waits_for_bytes(void **state)
{
	(void)state;
	up(1);
	probe_socket(&p, IO_RECVMSG, fd, buf, 10);
	begin(&p);
	run();
	assert_int_equal(p.calls, 0);
	assert_int_equal(sim_peer_send(peer, "hello", 5), 5);
	assert_int_equal(sim_peer_unread(peer), 5);
	assert_int_equal(p.calls, 0); /* it takes a while */
	run();
	assert_int_equal(p.calls, 1);
	assert_in_range(p.res, 1, 5);
	down(peer);
}

static void without_buffers_sockets_say_so(void **state)
{
	(void)state;
	up(1);
	sim_faults()->no_buffers = ALWAYS;
	sim_peer_send(peer, "hello", 5);
	assert_int_equal(receive(buf, 5), -ENOMEM);
	assert_int_equal(send_("x", 1), -ENOMEM);
	sim_faults()->no_buffers = 0; /* and nothing is lost */
	run();
	assert_int_equal(receive(buf, 5), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(sim_peer_receive(peer, buf, 5), 0);
	down(peer);
}

/* ---- full pipes ------------------------------------------------------------------------- */

static void a_full_pipe_makes_the_peer_wait_and_tells_of_room(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		size_t room = 0, n;

		up(seed);
		while ((n = sim_peer_send(peer, buf, sizeof(buf))))
			room += n;
		run();
		assert_in_range(room, KIB(1), KIB(512));
		assert_int_equal(sim_peer_unread(peer), room);
		assert_int_equal(sim_peer_send(peer, buf, 1), 0);
		run();
		assert_int_equal(changes, 0);
		assert_int_equal(receive(buf, 100), 100);
		assert_int_equal(changes, 0); /* it takes a while */
		run();
		assert_int_equal(changes, 1);
		assert_int_equal(sim_peer_send(peer, buf, 200), 100);
		down(peer);
	}
}

static void who_was_refused_nothing_is_told_nothing(void **state)
{
	(void)state;
	up(1);
	assert_int_equal(sim_peer_send(peer, buf, 100), 100);
	run();
	assert_int_equal(receive(buf, 100), 100);
	run();
	assert_int_equal(changes, 0);
	down(peer);
}

static void a_full_pipe_makes_the_daemon_wait(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		size_t before;

		up(seed);
		do {
			probe_socket(&p, IO_SENDMSG, fd, buf, sizeof(buf));
			begin(&p);
			run();
		} while (p.calls);
		assert_true(io_pending(&p.op));
		before = sim_peer_receive(peer, buf, 100);
		assert_int_equal(before, 100);
		run();
		assert_int_equal(p.calls, 1);
		assert_int_equal(p.res, 100);
		down(peer);
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

static void a_peers_reset_is_seen(void **state)
{
	unsigned pipe = 0, reset = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		probe_socket(&p, IO_RECVMSG, fd, buf, sizeof(buf));
		begin(&p);
		run();
		sim_peer_reset(peer);
		run();
		assert_int_equal(p.calls, 1);
		assert_int_equal(p.res, -ECONNRESET);
		assert_int_equal(receive(buf, 1), -ECONNRESET);
		pipe += send_(buf, 1) == -EPIPE;
		reset += p.res == -ECONNRESET;
		probe_poll(&p, fd, POLLIN);
		assert_true((unsigned)finish(&p) & POLLHUP);
		down(NULL);
	}
	assert_int_equal(pipe + reset, SEEDS);
	assert_true(pipe && reset);
}

static void a_reset_wakes_a_send_that_waits(void **state)
{
	(void)state;
	up(2);
	do {
		probe_socket(&p, IO_SENDMSG, fd, buf, sizeof(buf));
		begin(&p);
		run();
	} while (p.calls);
	sim_peer_reset(peer);
	run();
	assert_int_equal(p.calls, 1);
	assert_true(p.res == -EPIPE || p.res == -ECONNRESET);
	down(NULL);
}

static void a_peers_end_is_zero_after_its_last_byte(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		size_t n = 0;
		int got;

		up(seed);
		assert_int_equal(sim_peer_send(peer, stream, 1000), 1000);
		sim_peer_shut(peer);
		while ((got = receive(arrived + n, 300)) > 0)
			n += (size_t)got;
		assert_int_equal(got, 0);
		assert_int_equal(n, 1000);
		assert_memory_equal(arrived, stream, 1000);
		assert_int_equal(receive(buf, 1), 0); /* and again */
		/* only one direction has ended */
		assert_int_equal(send_("answer", 6), 6);
		run();
		assert_int_equal(sim_peer_receive(peer, buf, 10), 6);
		down(peer);
	}
}

static void what_a_peer_sent_before_it_closed_arrives(void **state)
{
	size_t n = 0;
	int got;

	(void)state;
	up(1);
	assert_int_equal(sim_peer_send(peer, stream, 1000), 1000);
	sim_peer_close(peer);
	while ((got = receive(arrived + n, 300)) > 0)
		n += (size_t)got;
	assert_int_equal(got, 0);
	assert_int_equal(n, 1000);
	assert_memory_equal(arrived, stream, 1000);
	/* the far host answers that nobody is there */
	got = send_(buf, 1);
	assert_true(got == -EPIPE || got == -ECONNRESET);
	down(NULL);
}

static void a_peer_that_closes_with_bytes_unread_resets(void **state)
{
	(void)state;
	up(1);
	assert_int_equal(send_("unread", 6), 6);
	run();
	sim_peer_close(peer);
	assert_int_equal(receive(buf, 1), -ECONNRESET);
	down(NULL);
}

static void a_close_is_told_to_the_peer_after_the_last_byte(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		size_t n = 0, got = 0;

		up(seed);
		n = (size_t)send_(stream, 1000);
		assert_int_equal(n, 1000);
		sim_enter(r);
		io_close(r, fd);
		while (got < n) {
			assert_false(sim_peer_ended(peer));
			got += sim_peer_receive(peer, arrived + got, 1 + sim_below(400));
			if (got < n)
				assert_true(sim_step() || changes);
		}
		assert_memory_equal(arrived, stream, n);
		run();
		assert_true(changes > 0);
		assert_true(sim_peer_ended(peer));
		assert_int_equal(sim_peer_receive(peer, buf, 1), 0);
		/* what is sent to nobody is taken and lost */
		assert_int_equal(sim_peer_send(peer, stream, 1000), 1000);
		sim_peer_reset(peer);
		host_end();
	}
}

static void a_close_alone_is_told_too(void **state)
{
	(void)state;
	up(1);
	io_close(r, fd);
	assert_false(sim_peer_ended(peer)); /* it takes a while */
	run();
	assert_true(sim_peer_ended(peer));
	assert_int_equal(changes, 1);
	sim_peer_close(peer);
	host_end();
}

/* ---- poll ------------------------------------------------------------------------------------- */

static void a_poll_waits_and_tells_what_is_ready(void **state)
{
	(void)state;
	up(1);
	probe_poll(&p, fd, POLLIN);
	begin(&p);
	run();
	assert_int_equal(p.calls, 0);
	sim_peer_send(peer, "x", 1);
	run();
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.res, POLLIN);
	probe_poll(&p, fd, POLLIN | POLLOUT);
	assert_int_equal(finish(&p), POLLIN | POLLOUT);
	assert_int_equal(receive(buf, 10), 1);
	probe_poll(&p, fd, POLLIN | POLLOUT);
	assert_int_equal(finish(&p), POLLOUT);
	probe_poll(&p, fd, POLLIN);
	begin(&p);
	run();
	assert_int_equal(p.calls, 0);
	sim_peer_shut(peer);
	run();
	assert_int_equal(p.res, POLLIN);
	down(peer);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_reach_the_daemon_in_order_whatever_is_short),
		cmocka_unit_test(bytes_reach_the_peer_in_order_whatever_is_short),
		cmocka_unit_test(a_transfer_fills_and_takes_all_segments),
		cmocka_unit_test(short_transfers_move_less_and_something),
		cmocka_unit_test(a_receive_waits_for_bytes),
		cmocka_unit_test(without_buffers_sockets_say_so),
		cmocka_unit_test(a_full_pipe_makes_the_peer_wait_and_tells_of_room),
		cmocka_unit_test(who_was_refused_nothing_is_told_nothing),
		cmocka_unit_test(a_full_pipe_makes_the_daemon_wait),
		cmocka_unit_test(a_peers_reset_is_seen),
		cmocka_unit_test(a_reset_wakes_a_send_that_waits),
		cmocka_unit_test(a_peers_end_is_zero_after_its_last_byte),
		cmocka_unit_test(what_a_peer_sent_before_it_closed_arrives),
		cmocka_unit_test(a_peer_that_closes_with_bytes_unread_resets),
		cmocka_unit_test(a_close_is_told_to_the_peer_after_the_last_byte),
		cmocka_unit_test(a_close_alone_is_told_too),
		cmocka_unit_test(a_poll_waits_and_tells_what_is_ready),
	};

	return cmocka_run_group_tests_name("sim-net", tests, NULL, NULL);
}
