/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs on the offload threads; argv[1] names the engine. */
#include "help.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "base/bits.h"
#include "reactor/internal.h"

#define JOBS 100

static struct reactor *r;

struct job {
	struct offload off;
	_Atomic int ran;
	int done;
	pthread_t on; /* the thread that ran it */
};

static struct job jobs[JOBS];
static int all_done;
static pthread_t me;

/* A gate that jobs wait at. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static int at_gate, most_at_gate;
static bool open_gate;

static int set_up(void **state)
{
	r = make_reactor();
	me = pthread_self();
	memset(jobs, 0, sizeof(jobs));
	all_done = at_gate = most_at_gate = 0;
	open_gate = false;
	return 0;
}

static int tear_down(void **state)
{
	reactor_destroy(r);
	offload_shutdown();
	return 0;
}

static void run(struct offload *o)
{
	struct job *j = container_of(o, struct job, off);

	j->on = pthread_self();
	atomic_fetch_add(&j->ran, 1);
}

static void run_gate(struct offload *o)
{
	run(o);
	pthread_mutex_lock(&lock);
	at_gate++;
	most_at_gate = max(most_at_gate, at_gate);
	pthread_cond_broadcast(&moved);
	while (!open_gate)
		pthread_cond_wait(&moved, &lock);
	at_gate--;
	pthread_mutex_unlock(&lock);
}

static void wait_at_gate(int n)
{
	pthread_mutex_lock(&lock);
	while (at_gate < n)
		pthread_cond_wait(&moved, &lock);
	pthread_mutex_unlock(&lock);
}

static void let_go(void)
{
	pthread_mutex_lock(&lock);
	open_gate = true;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
}

static void done(struct offload *o)
{
	struct job *j = container_of(o, struct job, off);

	if (!pthread_equal(pthread_self(), me))
		fail_msg("done on a strange thread");
	j->done++;
	all_done++;
}

static void submit(int i, void (*fn)(struct offload *o), const void *owner)
{
	jobs[i].off = (struct offload){ .run = fn, .done = done, .owner = owner };
	offload_submit(r, &jobs[i].off, OFFLOAD_IO);
}

static struct offload_stats io_stats(void)
{
	struct offload_stats st;

	offload_get_stats(OFFLOAD_IO, &st);
	return st;
}

static void a_job_runs_elsewhere_and_is_done_here(void **state)
{
	submit(0, run, NULL);
	turn_until(r, &all_done, 1);
	assert_int_equal(jobs[0].ran, 1);
	assert_int_equal(jobs[0].done, 1);
	assert_false(pthread_equal(jobs[0].on, me));
	assert_int_equal(stats_of(r).offloads, 1);
}

static sigset_t blocked_in_job;

static void look_at_mask(struct offload *o)
{
	pthread_sigmask(SIG_SETMASK, NULL, &blocked_in_job);
	run(o);
}

static void signals_are_not_a_jobs_but_its_faults_are(void **state)
{
	submit(0, look_at_mask, NULL);
	turn_until(r, &all_done, 1);
	assert_true(sigismember(&blocked_in_job, SIGTERM));
	assert_true(sigismember(&blocked_in_job, SIGPIPE));
	assert_false(sigismember(&blocked_in_job, SIGBUS));
	assert_false(sigismember(&blocked_in_job, SIGSEGV));
}

static void many_jobs_are_each_done_once(void **state)
{
	for (int i = 0; i < JOBS; i++)
		submit(i, run, &jobs[i % 3]);
	turn_until(r, &all_done, JOBS);
	turn_some(r);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].ran, 1);
		assert_int_equal(jobs[i].done, 1);
	}
	assert_int_equal(io_stats().queued, 0);
}

static void jobs_run_side_by_side(void **state)
{
	for (int i = 0; i < 16; i++)
		submit(i, run_gate, NULL);
	wait_at_gate(16);
	assert_int_equal(io_stats().busy, 16);
	let_go();
	turn_until(r, &all_done, 16);
}

static void one_owner_gets_half_of_the_threads(void **state)
{
	for (int i = 0; i < 40; i++)
		submit(i, run_gate, &jobs[0]);
	wait_at_gate(8);
	/* Another owner's job passes those that wait. */
	submit(40, run, &jobs[1]);
	turn_until(r, &all_done, 1);
	assert_int_equal(jobs[40].done, 1);
	assert_int_equal(io_stats().busy, 8);
	assert_int_equal(io_stats().queued, 32);
	let_go();
	turn_until(r, &all_done, 41);
	assert_int_equal(most_at_gate, 8);
}

static void a_class_that_is_full_does_not_hold_up_the_other(void **state)
{
	struct job slow = { .off = { .run = run, .done = done } };

	for (int i = 0; i < 30; i++)
		submit(i, run_gate, NULL);
	wait_at_gate(16);
	offload_submit(r, &slow.off, OFFLOAD_SLOW);
	turn_until(r, &all_done, 1);
	assert_int_equal(slow.done, 1);
	assert_int_equal(io_stats().busy, 16);
	let_go();
	turn_until(r, &all_done, 31);
}

static void a_job_that_waits_can_be_cancelled(void **state)
{
	for (int i = 0; i < 9; i++)
		submit(i, run_gate, &jobs[0]);
	wait_at_gate(8);
	assert_true(offload_cancel(&jobs[8].off));
	assert_false(offload_cancel(&jobs[8].off));
	let_go();
	turn_until(r, &all_done, 8);
	turn_some(r);
	assert_int_equal(jobs[8].ran, 0);
	assert_int_equal(jobs[8].done, 0);
}

static void a_job_that_runs_cannot_be_cancelled_and_is_done(void **state)
{
	submit(0, run_gate, NULL);
	wait_at_gate(1);
	assert_false(offload_cancel(&jobs[0].off));
	let_go();
	turn_until(r, &all_done, 1);
	assert_false(offload_cancel(&jobs[0].off));
}

static void done_again(struct offload *o)
{
	done(o);
	if (all_done < 5)
		offload_submit(r, o, OFFLOAD_IO);
}

static void a_job_may_be_submitted_again_in_its_done(void **state)
{
	jobs[0].off = (struct offload){ .run = run, .done = done_again };
	offload_submit(r, &jobs[0].off, OFFLOAD_IO);
	turn_until(r, &all_done, 5);
	assert_int_equal(jobs[0].ran, 5);
}

static void shutdown_ends_all_idle_threads(void **state)
{
	for (int i = 0; i < 10; i++)
		submit(i, run, NULL);
	turn_until(r, &all_done, 10);
	offload_shutdown();
	assert_int_equal(io_stats().threads, 0);
	/* And it can begin anew. */
	submit(10, run, NULL);
	turn_until(r, &all_done, 11);
}

static void a_reactor_may_end_before_its_jobs(void **state)
{
	submit(0, run_gate, NULL);
	for (int i = 1; i < 20; i++)
		submit(i, run_gate, &jobs[0]);
	wait_at_gate(1);
	reactor_destroy(r);
	assert_int_equal(io_stats().queued, 0);
	let_go();
	offload_shutdown();
	assert_int_equal(io_stats().threads, 0);
	assert_int_equal(all_done, 0);
	r = make_reactor();
}

static void those_that_are_stuck_make_room_for_others(void **state)
{
	for (int i = 0; i < 16; i++)
		submit(i, run_gate, &jobs[i / 8]);
	wait_at_gate(16);
	atomic_store(&offload_stuck_ns, 0);
	assert_int_equal(io_stats().stuck, 16);
	/* Their owners get no more threads, others do. */
	submit(16, run, &jobs[0]);
	submit(17, run, &jobs[2]);
	turn_until(r, &all_done, 1);
	assert_int_equal(jobs[17].done, 1);
	assert_int_equal(jobs[16].ran, 0);
	/* Nobody waits for them. */
	offload_shutdown();
	assert_int_equal(io_stats().threads, 16);
	atomic_store(&offload_stuck_ns, 30 * NSEC_PER_SEC);
	let_go();
	turn_until(r, &all_done, 18);
	assert_int_equal(jobs[16].done, 1);
	assert_int_equal(io_stats().stuck, 0);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		T(a_job_runs_elsewhere_and_is_done_here),
		T(signals_are_not_a_jobs_but_its_faults_are),
		T(many_jobs_are_each_done_once),
		T(jobs_run_side_by_side),
		T(one_owner_gets_half_of_the_threads),
		T(a_class_that_is_full_does_not_hold_up_the_other),
		T(a_job_that_waits_can_be_cancelled),
		T(a_job_that_runs_cannot_be_cancelled_and_is_done),
		T(a_job_may_be_submitted_again_in_its_done),
		T(shutdown_ends_all_idle_threads),
		T(a_reactor_may_end_before_its_jobs),
		T(those_that_are_stuck_make_room_for_others),
	};

	choose_engine(argc, argv);
	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
