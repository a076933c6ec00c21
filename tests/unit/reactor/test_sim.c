/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated host: chance, time, jobs, cancels, memory. */
#include "simhost.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/bits.h"
#include "reactor/internal.h"

#define FILE_BYTES KIB(16)

static struct sim_file *file;
static int file_fd, sock_fd;
static struct sim_peer *peer;

static void open_both(void)
{
	file = sim_file_create(FILE_BYTES);
	file_fd = sim_file_open(file);
	peer = sim_connect(&sock_fd, NULL, NULL);
}

static void close_both(void)
{
	sim_enter(r);
	io_close(r, sock_fd);
	sim_peer_reset(peer);
	sim_file_close(file_fd);
	sim_file_free(file);
}

/* ---- a way that a seed decides ------------------------------------------------------- */

#define OPS 12

static char room[OPS][2048];
static struct probe ops[OPS];
static uint64_t way; /* what ended when, in which order */

static void note(struct probe *p)
{
	way = way * 31 + (uint64_t)(p - ops);
	way = way * 31 + (uint64_t)p->res;
	way = way * 31 + sim_now();
}

static void make_op(unsigned i)
{
	struct probe *p = &ops[i];

	/* one of each kind at a time on the socket, as for every engine of the daemon's parts */
	if (i == 0)
		probe_socket(p, IO_RECVMSG, sock_fd, room[i], sizeof(room[i]));
	else if (i == 1)
		probe_socket(p, IO_SENDMSG, sock_fd, room[i], sizeof(room[i]));
	else if (i == 2)
		probe_poll(p, sock_fd, POLLIN);
	else
		probe_file(p,
			   i % 4 == 0	? IO_PREADV
			   : i % 4 == 1 ? IO_PWRITEV
			   : i % 4 == 2 ? IO_FDATASYNC
					: IO_FALLOCATE,
			   file_fd, room[i], sizeof(room[i]), 1024 * i);
	if (p->op.verb == IO_FALLOCATE) {
		p->op.mode = FALLOC_FL_KEEP_SIZE;
		p->op.start = 1024 * i;
		p->op.length = 1024;
	}
}

static void all_faults(void)
{
	*sim_faults() = (struct sim_faults){ .short_io = SOMETIMES,
					     .late_cancel = SOMETIMES,
					     .stall = 5000,
					     .sleepy = 5000,
					     .read_error = 5000,
					     .write_error = 5000,
					     .full = 5000,
					     .sync_error = 5000,
					     .no_buffers = 5000 };
}

static uint64_t go_a_way(uint64_t seed, uint64_t *fingerprint)
{
	host_begin(seed);
	open_both();
	all_faults();
	way = 0;
	for (unsigned i = 0; i < OPS; i++) {
		make_op(i);
		ops[i].then = note;
		begin(&ops[i]);
	}
	sim_peer_send(peer, "hello", 5);
	run();
	*fingerprint = sim_fingerprint();
	close_both();
	host_end();
	return way;
}

static void the_same_seed_goes_the_same_way(void **state)
{
	uint64_t print[2], ways[2];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		ways[0] = go_a_way(seed, &print[0]);
		ways[1] = go_a_way(seed, &print[1]);
		assert_true(ways[0] == ways[1]);
		assert_true(print[0] == print[1]);
	}
}

static void another_seed_goes_another_way(void **state)
{
	uint64_t print[2], ways[2];

	(void)state;
	ways[0] = go_a_way(1, &print[0]);
	for (uint64_t seed = 2; seed <= 20; seed++) {
		ways[1] = go_a_way(seed, &print[1]);
		assert_true(ways[0] != ways[1]);
		assert_true(print[0] != print[1]);
	}
}

static void a_fingerprint_tells_runs_of_one_seed_apart(void **state)
{
	uint64_t before;

	(void)state;
	sim_begin(1);
	before = sim_fingerprint();
	sim_random();
	assert_true(sim_fingerprint() != before);
	sim_end();
	sim_begin(1);
	assert_true(sim_fingerprint() == before);
	sim_end();
}

static void chance_keeps_to_its_odds(void **state)
{
	unsigned hits = 0;

	(void)state;
	sim_begin(3);
	for (int i = 0; i < 10000; i++) {
		hits += sim_chance(25000);
		assert_true(sim_chance(ALWAYS));
		assert_false(sim_chance(0));
		assert_true(sim_below(7) < 7);
	}
	assert_in_range(hits, 2300, 2700);
	sim_end();
}

/* ---- each done comes once ---------------------------------------------------------------- */

static unsigned ended, hastened;

static void count_ends(struct probe *p)
{
	if (!in_turn_of(p->op.reactor))
		fail_msg("done was called outside of its reactor's turn");
	ended++;
	hastened += p->res == -ECANCELED;
	/* what is done may cancel others, and itself for nothing */
	for (unsigned i = 0; i < OPS; i++)
		if (!sim_below(8))
			probe_cancel(&ops[i]);
}

static void done_comes_once_for_each_submit_with_and_without_cancel(void **state)
{
	unsigned submits = 0;

	(void)state;
	ended = hastened = 0;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		host_begin(seed);
		open_both();
		all_faults();
		for (unsigned i = 0; i < OPS; i++) {
			make_op(i);
			ops[i].then = count_ends;
			begin(&ops[i]);
			submits++;
			if (!sim_below(6))
				probe_cancel(&ops[i]); /* the engine has not seen it */
		}
		if (sim_below(2))
			sim_peer_send(peer, room, 700);
		for (uint64_t n = sim_below(30); n && sim_step(); n--)
			if (!sim_below(5)) {
				sim_enter(r);
				probe_cancel(&ops[sim_below(OPS)]);
			}
		sim_enter(r);
		for (unsigned i = 0; i < OPS; i++) {
			probe_cancel(&ops[i]);
			if (sim_below(2))
				probe_cancel(&ops[i]);
		}
		run();
		for (unsigned i = 0; i < OPS; i++) {
			assert_int_equal(ops[i].calls, 1);
			assert_false(io_pending(&ops[i].op));
		}
		close_both();
		host_end();
	}
	assert_int_equal(ended, submits);
	assert_in_range(hastened, submits / 20, submits * 19 / 20);
}

static void a_cancel_too_late_gives_the_real_result(void **state)
{
	struct probe p;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		host_begin(seed);
		open_both();
		sim_faults()->late_cancel = ALWAYS;
		probe_file(&p, IO_PREADV, file_fd, room[0], 512, 0);
		begin(&p);
		while (!p.calls) {
			sim_enter(r);
			/* before the engine has seen it, it is taken back at once */
			if (p.op.state == IO_ENGINE)
				probe_cancel(&p);
			sim_step();
		}
		assert_int_equal(p.res, 512);
		close_both();
		host_end();
	}
}

static void no_descriptor_is_an_error_by_done(void **state)
{
	static const enum io_verb verbs[] = { IO_RECVMSG,   IO_SENDMSG,	  IO_PREADV, IO_PWRITEV,
					      IO_FDATASYNC, IO_FALLOCATE, IO_POLL };
	struct probe p;

	(void)state;
	host_begin(1);
	open_both();
	for (unsigned i = 0; i < array_size(verbs); i++) {
		bool socket =
			verbs[i] == IO_RECVMSG || verbs[i] == IO_SENDMSG || verbs[i] == IO_POLL;
		/* none at all, and one of the other kind */
		int fds[] = { -1, 3, socket ? file_fd : sock_fd };

		for (unsigned k = 0; k < array_size(fds); k++) {
			probe_socket(&p, verbs[i], fds[k], room[0], 1);
			assert_int_equal(finish(&p), -EBADF);
		}
	}
	close_both();
	host_end();
}

/* ---- time ------------------------------------------------------------------------------ */

static struct timer timer;
static uint64_t fired_at;
static int fired;

static void timer_fired(struct timer *t)
{
	(void)t;
	fired_at = reactor_now(r);
	fired++;
}

static void a_timer_fires_at_its_virtual_time(void **state)
{
	(void)state;
	for (uint64_t ns = 1; ns < 100 * 3600 * NSEC_PER_SEC; ns *= 7) {
		uint64_t start;

		fired = 0;
		host_begin(ns);
		start = sim_now();
		timer_arm(r, &timer, ns, timer_fired);
		run();
		assert_int_equal(fired, 1);
		assert_true(fired_at >= start + ns);
		assert_true(fired_at < start + ns + 50 * NSEC_PER_USEC);
		assert_true(sim_now() >= fired_at);
		host_end();
	}
}

static void a_timer_that_is_cancelled_does_not_fire(void **state)
{
	uint64_t start;

	(void)state;
	host_begin(1);
	fired = 0;
	start = sim_now();
	timer_arm(r, &timer, NSEC_PER_SEC, timer_fired);
	timer_cancel(r, &timer);
	run();
	assert_int_equal(fired, 0);
	assert_true(sim_now() < start + NSEC_PER_SEC);
	host_end();
}

static void *called_with;
static uint64_t called_at;

static void called(void *arg)
{
	assert_false(in_turn_of(r));
	assert_false(in_turn_of(control));
	called_with = arg;
	called_at = sim_now();
}

static void what_is_to_be_called_later_is_called_then_between_turns(void **state)
{
	uint64_t start;

	(void)state;
	host_begin(1);
	start = sim_now();
	called_with = NULL;
	sim_after(3 * NSEC_PER_SEC, called, &start);
	run();
	assert_ptr_equal(called_with, &start);
	assert_true(called_at == start + 3 * NSEC_PER_SEC);
	host_end();
}

static void time_that_nobody_waits_for_does_not_pass(void **state)
{
	uint64_t start;

	(void)state;
	host_begin(1);
	run();
	start = sim_now();
	assert_false(sim_step());
	assert_true(sim_now() == start);
	host_end();
}

static void a_stalled_operation_takes_seconds(void **state)
{
	uint64_t most[2] = { 0, 0 };
	struct probe p;

	(void)state;
	for (unsigned stall = 0; stall < 2; stall++) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			uint64_t start;

			host_begin(seed);
			open_both();
			sim_faults()->stall = stall * ALWAYS;
			start = sim_now();
			probe_file(&p, IO_PREADV, file_fd, room[0], 512, 0);
			assert_int_equal(finish(&p), 512);
			most[stall] = max(most[stall], sim_now() - start);
			close_both();
			host_end();
		}
	}
	assert_true(most[0] < NSEC_PER_SEC / 2);
	assert_in_range(most[1], NSEC_PER_SEC, 30 * NSEC_PER_SEC);
}

static struct msg mail;
static int got;

static void got_mail(struct msg *m)
{
	(void)m;
	got++;
}

static void a_sleepy_reactor_gets_no_turn_for_a_while(void **state)
{
	uint64_t took[2] = { 0, 0 };

	(void)state;
	for (unsigned sleepy = 0; sleepy < 2; sleepy++) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			uint64_t start;

			host_begin(seed);
			sim_faults()->sleepy = sleepy * ALWAYS;
			start = sim_now();
			got = 0;
			for (int i = 1; i <= 5; i++) {
				reactor_post(r, &mail, got_mail);
				run_until(&got, i);
			}
			took[sleepy] += sim_now() - start;
			host_end();
		}
	}
	assert_true(took[1] > took[0] * 10);
}

/* ---- jobs ------------------------------------------------------------------------------- */

static struct offload job;
static int ran, told;

static void job_run(struct offload *o)
{
	assert_ptr_equal(o, &job);
	assert_int_equal(told, 0);
	assert_false(in_turn_of(r));
	ran++;
}

static void job_done(struct offload *o)
{
	assert_ptr_equal(o, &job);
	assert_int_equal(ran, 1);
	assert_true(in_turn_of(r));
	told++;
}

static void submit_job(void)
{
	ran = told = 0;
	job = (struct offload){ .run = job_run, .done = job_done };
	offload_submit(r, &job, OFFLOAD_SLOW);
	assert_int_equal(ran, 0);
}

static void an_offloaded_job_runs_and_its_reactor_is_told(void **state)
{
	(void)state;
	host_begin(1);
	submit_job();
	run();
	assert_int_equal(ran, 1);
	assert_int_equal(told, 1);
	host_end();
}

static void a_job_can_be_cancelled_before_it_runs_and_not_after(void **state)
{
	unsigned early = 0, late = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		host_begin(seed);
		submit_job();
		for (uint64_t n = sim_below(3); n; n--)
			sim_step();
		if (!told) {
			int before = ran;

			sim_enter(r);
			if (offload_cancel(&job)) {
				early++;
				assert_int_equal(before, 0);
				run();
				assert_int_equal(ran, 0);
				assert_int_equal(told, 0);
			} else {
				late++;
				assert_int_equal(before, 1);
			}
		}
		run();
		assert_int_equal(told, ran);
		host_end();
	}
	assert_true(early && late);
}

/* ---- memory ----------------------------------------------------------------------------- */

static bool refused;

static void look_at_memory(struct msg *m)
{
	(void)m;
	refused = sim_memory_refused();
	got++;
}

static void look_outside(void *arg)
{
	(void)arg;
	refused = sim_memory_refused();
	got++;
}

static void memory_is_refused_in_turns_of_data_reactors_only(void **state)
{
	(void)state;
	host_begin(1);
	got = 0;
	sim_faults()->no_memory = ALWAYS;
	reactor_post(r, &mail, look_at_memory);
	run_until(&got, 1);
	assert_true(refused);
	assert_false(sim_memory_refused()); /* between turns */
	reactor_post(control, &mail, look_at_memory);
	run_until(&got, 2);
	assert_false(refused);
	refused = true;
	sim_after(1, look_outside, NULL);
	run_until(&got, 3);
	assert_false(refused);
	host_end();
}

static void memory_is_refused_as_often_as_asked_for(void **state)
{
	int n = 0;

	(void)state;
	host_begin(1);
	got = 0;
	sim_faults()->no_memory = SOMETIMES;
	for (int i = 1; i <= 100; i++) {
		reactor_post(r, &mail, look_at_memory);
		run_until(&got, i);
		n += refused;
	}
	assert_in_range(n, 20, 80);
	host_end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_goes_the_same_way),
		cmocka_unit_test(another_seed_goes_another_way),
		cmocka_unit_test(a_fingerprint_tells_runs_of_one_seed_apart),
		cmocka_unit_test(chance_keeps_to_its_odds),
		cmocka_unit_test(done_comes_once_for_each_submit_with_and_without_cancel),
		cmocka_unit_test(a_cancel_too_late_gives_the_real_result),
		cmocka_unit_test(no_descriptor_is_an_error_by_done),
		cmocka_unit_test(a_timer_fires_at_its_virtual_time),
		cmocka_unit_test(a_timer_that_is_cancelled_does_not_fire),
		cmocka_unit_test(what_is_to_be_called_later_is_called_then_between_turns),
		cmocka_unit_test(time_that_nobody_waits_for_does_not_pass),
		cmocka_unit_test(a_stalled_operation_takes_seconds),
		cmocka_unit_test(a_sleepy_reactor_gets_no_turn_for_a_while),
		cmocka_unit_test(an_offloaded_job_runs_and_its_reactor_is_told),
		cmocka_unit_test(a_job_can_be_cancelled_before_it_runs_and_not_after),
		cmocka_unit_test(memory_is_refused_in_turns_of_data_reactors_only),
		cmocka_unit_test(memory_is_refused_as_often_as_asked_for),
	};

	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
