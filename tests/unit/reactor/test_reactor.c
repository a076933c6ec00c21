/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns, later lists, timers, messages, sleep; argv[1] names the engine. */
#include "help.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "reactor/internal.h"

static struct reactor *r;
static char trail[256]; /* what happened, in order */

static int set_up(void **state)
{
	r = make_reactor();
	trail[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	reactor_destroy(r);
	return 0;
}

static void mark(char c)
{
	size_t n = strlen(trail);

	assert_true(n + 1 < sizeof(trail));
	trail[n] = c;
	trail[n + 1] = '\0';
}

/* --- later --- */

struct marker {
	struct later later;
	struct msg msg;
	struct timer timer;
	char c;
	int again; /* how often to put itself on the list again */
	enum later_when when;
	struct later *drop;
};

static void run_marker(struct later *l)
{
	struct marker *m = container_of(l, struct marker, later);

	mark(m->c);
	if (m->again-- > 0)
		reactor_later(r, &m->later, m->when);
	if (m->drop)
		later_cancel(m->drop);
}

static struct marker *later_marker(struct marker *m, char c, enum later_when when)
{
	*m = (struct marker){ .c = c, .when = when };
	later_init(&m->later, run_marker);
	return m;
}

static void stores_come_before_connections(void **state)
{
	struct marker s, c;

	later_marker(&c, 'c', LATER_SEND);
	later_marker(&s, 's', LATER_STORE);
	reactor_later(r, &c.later, LATER_SEND);
	reactor_later(r, &s.later, LATER_STORE);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "sc");
}

static void later_is_idempotent_until_it_runs(void **state)
{
	struct marker a, b;

	later_marker(&a, 'a', LATER_STORE);
	later_marker(&b, 'b', LATER_STORE);
	reactor_later(r, &a.later, LATER_STORE);
	reactor_later(r, &b.later, LATER_STORE);
	reactor_later(r, &a.later, LATER_STORE);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "ab");
	reactor_turn(r, 0);
	assert_string_equal(trail, "ab");
	reactor_later(r, &a.later, LATER_STORE);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "aba");
}

static void what_comes_back_to_the_send_list_runs_next_turn(void **state)
{
	struct marker a;

	later_marker(&a, 'a', LATER_SEND);
	a.again = 2;
	reactor_later(r, &a.later, LATER_SEND);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "a");
	/* It must not sleep meanwhile. */
	reactor_turn(r, TOO_LONG);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "aaa");
}

static void what_is_taken_off_the_list_does_not_run(void **state)
{
	struct marker a, b, c;

	later_marker(&a, 'a', LATER_STORE);
	later_marker(&b, 'b', LATER_STORE);
	later_marker(&c, 'c', LATER_STORE);
	a.drop = &b.later;
	reactor_later(r, &a.later, LATER_STORE);
	reactor_later(r, &b.later, LATER_STORE);
	reactor_later(r, &c.later, LATER_STORE);
	later_cancel(&c.later);
	later_cancel(&c.later);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "a");
}

/* --- timers --- */

static void mark_timer(struct timer *t)
{
	mark(container_of(t, struct marker, timer)->c);
}

static void turn_until_trail(size_t n)
{
	uint64_t end = reactor_now(r) + TOO_LONG;

	while (strlen(trail) < n && reactor_now(r) < end)
		reactor_turn(r, TOO_LONG);
}

static void timers_fire_in_order_and_not_early(void **state)
{
	struct marker m[3] = { { .c = 'a' }, { .c = 'b' }, { .c = 'c' } };
	uint64_t start = reactor_now(r);

	timer_arm(r, &m[2].timer, 30 * NSEC_PER_MSEC, mark_timer);
	timer_arm(r, &m[0].timer, 10 * NSEC_PER_MSEC, mark_timer);
	timer_arm(r, &m[1].timer, 20 * NSEC_PER_MSEC, mark_timer);
	turn_until_trail(3);
	assert_string_equal(trail, "abc");
	assert_true(reactor_now(r) - start >= 30 * NSEC_PER_MSEC);
	assert_false(timer_armed(&m[0].timer));
}

static void a_timer_can_be_moved_both_ways(void **state)
{
	struct marker m[3] = { { .c = 'a' }, { .c = 'b' }, { .c = 'c' } };

	timer_arm(r, &m[0].timer, 2 * NSEC_PER_MSEC, mark_timer);
	timer_arm(r, &m[1].timer, 4 * NSEC_PER_MSEC, mark_timer);
	timer_arm(r, &m[2].timer, 3600 * NSEC_PER_SEC, mark_timer);
	timer_arm(r, &m[0].timer, 3600 * NSEC_PER_SEC, mark_timer);
	timer_arm(r, &m[2].timer, 1 * NSEC_PER_MSEC, mark_timer);
	turn_until_trail(2);
	assert_string_equal(trail, "cb");
	assert_true(timer_armed(&m[0].timer));
	timer_cancel(r, &m[0].timer);
	assert_false(timer_armed(&m[0].timer));
}

static void a_cancelled_timer_does_not_fire(void **state)
{
	struct marker m[2] = { { .c = 'a' }, { .c = 'b' } };

	timer_arm(r, &m[0].timer, 1 * NSEC_PER_MSEC, mark_timer);
	timer_arm(r, &m[1].timer, 2 * NSEC_PER_MSEC, mark_timer);
	timer_cancel(r, &m[0].timer);
	timer_cancel(r, &m[0].timer);
	turn_until_trail(1);
	assert_string_equal(trail, "b");
}

struct tick {
	struct timer timer;
	uint64_t want;
};

static int ticks;
static uint64_t last_tick;

static void count_tick(struct timer *t)
{
	struct tick *k = container_of(t, struct tick, timer);

	assert_true(k->want >= last_tick);
	assert_true(reactor_now(r) >= k->want);
	last_tick = k->want;
	ticks++;
}

static void thousands_of_timers_keep_their_order(void **state)
{
	enum { N = 3000 };
	struct tick *k = calloc(N, sizeof(*k));
	unsigned cancelled = 0;

	srand(7);
	ticks = 0;
	last_tick = 0;
	for (int i = 0; i < N; i++) {
		timer_arm(r, &k[i].timer, (uint64_t)(rand() % 5000) * 1000, count_tick);
		k[i].want = k[i].timer.at;
	}
	for (int i = 0; i < N; i += 3) {
		if (i % 2) {
			timer_arm(r, &k[i].timer, (uint64_t)(rand() % 5000) * 1000, count_tick);
			k[i].want = k[i].timer.at;
		} else {
			timer_cancel(r, &k[i].timer);
			cancelled++;
		}
	}
	turn_until(r, &ticks, (int)(N - cancelled));
	reactor_turn(r, 0);
	assert_int_equal(ticks, N - cancelled);
	free(k);
}

static void rearm_at_once(struct timer *t)
{
	mark('t');
	timer_arm(r, t, 0, rearm_at_once);
}

static void a_timer_that_arms_itself_at_once_does_not_stop_the_turn(void **state)
{
	struct timer t = { 0 };

	timer_arm(r, &t, 0, rearm_at_once);
	for (int i = 0; i < 3; i++)
		reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "ttt");
	timer_cancel(r, &t);
}

static void the_longest_time_does_not_overflow(void **state)
{
	struct marker m = { .c = 'x' };

	timer_arm(r, &m.timer, UINT64_MAX, mark_timer);
	reactor_turn(r, NSEC_PER_MSEC);
	assert_string_equal(trail, "");
	timer_cancel(r, &m.timer);
}

/* --- messages --- */

static void mark_msg(struct msg *m)
{
	mark(container_of(m, struct marker, msg)->c);
}

static void messages_arrive_in_order(void **state)
{
	struct marker m[3] = { { .c = 'a' }, { .c = 'b' }, { .c = 'c' } };

	for (int i = 0; i < 3; i++)
		reactor_post(r, &m[i].msg, mark_msg);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "abc");
	reactor_post(r, &m[1].msg, mark_msg);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "abcb");
	/* Nobody slept, so nobody had to be woken. */
	assert_int_equal(stats_of(r).rings, 0);
	assert_int_equal(stats_of(r).messages, 4);
}

static void one_who_woke_by_itself_needs_no_doorbell(void **state)
{
	struct marker m = { .c = 'm' };

	reactor_turn(r, NSEC_PER_MSEC);
	assert_int_equal(stats_of(r).wakeups, 1);
	reactor_post(r, &m.msg, mark_msg);
	assert_int_equal(stats_of(r).rings, 0);
	reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "m");
}

static void post_again(struct msg *m)
{
	mark('m');
	reactor_post(r, m, post_again);
}

static void a_message_that_posts_itself_does_not_stop_the_turn(void **state)
{
	struct msg m;

	reactor_post(r, &m, post_again);
	for (int i = 0; i < 3; i++)
		reactor_turn(r, TOO_LONG);
	assert_string_equal(trail, "mmm");
}

/* --- a thread of its own --- */

struct call {
	struct msg msg;
	_Atomic bool done;
	void (*fn)(void);
};

static void run_call(struct msg *m)
{
	struct call *c = container_of(m, struct call, msg);

	if (c->fn)
		c->fn();
	atomic_store(&c->done, true);
}

/* Call @fn on @to's thread and wait until it is done. */
static void call_on(struct reactor *to, void (*fn)(void))
{
	struct call c = { .fn = fn };

	reactor_post(to, &c.msg, run_call);
	while (!atomic_load(&c.done))
		sched_yield();
}

static struct reactor *seen_self;
static char seen_name[16];

static void look_around(void)
{
	seen_self = reactor_self();
	pthread_getname_np(pthread_self(), seen_name, sizeof(seen_name));
}

static void a_started_reactor_runs_on_a_named_thread_of_its_own(void **state)
{
	struct err e;

	assert_null(reactor_self());
	assert_int_equal(reactor_start(r, &e), 0);
	call_on(r, look_around);
	assert_ptr_equal(seen_self, r);
	assert_string_equal(seen_name, "test");
	assert_null(reactor_self());
}

static void messages_posted_before_the_stop_are_handled(void **state)
{
	struct marker m[2] = { { .c = 'a' }, { .c = 'b' } };
	struct err e;

	reactor_post(r, &m[0].msg, mark_msg);
	assert_int_equal(reactor_start(r, &e), 0);
	reactor_post(r, &m[1].msg, mark_msg);
	reactor_destroy(r);
	assert_string_equal(trail, "ab");
	r = make_reactor();
}

static void a_reactor_ends_while_it_sleeps(void **state)
{
	for (int i = 0; i < 50; i++) {
		struct reactor *other = make_reactor();
		struct err e;

		assert_int_equal(reactor_start(other, &e), 0);
		if (i % 2)
			call_on(other, NULL);
		reactor_stop(other);
		reactor_destroy(other);
	}
}

static void nothing(struct timer *t)
{
	mark('x');
}

/* Let time pass for other threads. */
static void let_pass(uint64_t ns)
{
	struct timer t = { 0 };

	trail[0] = '\0';
	timer_arm(r, &t, ns, nothing);
	turn_until_trail(1);
}

static void an_idle_reactor_does_not_wake_up(void **state)
{
	struct reactor_stats before, after;
	struct reactor *idle = make_reactor();
	struct err e;

	assert_int_equal(reactor_start(idle, &e), 0);
	call_on(idle, NULL);
	call_on(idle, NULL);
	/* A doorbell may still be under way whose message is already done. */
	let_pass(20 * NSEC_PER_MSEC);
	reactor_get_stats(idle, &before);
	let_pass(100 * NSEC_PER_MSEC);
	reactor_get_stats(idle, &after);
	assert_int_equal(after.wakeups, before.wakeups);
	assert_int_equal(after.turns, before.turns);
	assert_int_equal(after.submits, before.submits);
	reactor_destroy(idle);
}

/* Four threads post; the reactor sleeps and wakes as it comes. */
#define SENDERS 4
#define PER_SENDER 100000

struct numbered {
	struct msg msg;
	unsigned sender, n;
};

static struct numbered *mail[SENDERS];
static unsigned next_of[SENDERS];
static _Atomic unsigned received, out_of_order;
static struct reactor *addressee;

static void take(struct msg *m)
{
	struct numbered *k = container_of(m, struct numbered, msg);

	if (next_of[k->sender]++ != k->n)
		atomic_fetch_add(&out_of_order, 1);
	atomic_fetch_add(&received, 1);
}

static void *send_all(void *arg)
{
	unsigned s = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < PER_SENDER; i++) {
		mail[s][i].sender = s;
		mail[s][i].n = i;
		reactor_post(addressee, &mail[s][i].msg, take);
		if (i % 1024 == 0)
			sched_yield();
	}
	return NULL;
}

static void messages_of_many_threads_are_all_there_and_in_order(void **state)
{
	pthread_t t[SENDERS];
	struct err e;

	received = out_of_order = 0;
	addressee = r;
	for (unsigned s = 0; s < SENDERS; s++) {
		next_of[s] = 0;
		mail[s] = calloc(PER_SENDER, sizeof(struct numbered));
	}
	assert_int_equal(reactor_start(r, &e), 0);
	for (uintptr_t s = 0; s < SENDERS; s++)
		assert_int_equal(pthread_create(&t[s], NULL, send_all, (void *)s), 0);
	for (unsigned s = 0; s < SENDERS; s++)
		pthread_join(t[s], NULL);
	while (atomic_load(&received) < SENDERS * PER_SENDER)
		sched_yield();
	assert_int_equal(out_of_order, 0);
	/* One that sleeps is woken for each of these: none is lost. */
	for (int i = 0; i < 2000; i++)
		call_on(r, NULL);
	for (unsigned s = 0; s < SENDERS; s++)
		free(mail[s]);
}

/* Two reactors throw one message to and fro. */
static struct reactor *side[2];
static struct msg ball;
static _Atomic int throws;

static void catch (struct msg *m)
{
	int n = atomic_fetch_add(&throws, 1);

	if (n < 20000)
		reactor_post(side[n % 2], m, catch);
}

static void two_reactors_wake_each_other(void **state)
{
	struct err e;

	throws = 0;
	for (int i = 0; i < 2; i++) {
		side[i] = make_reactor();
		assert_int_equal(reactor_start(side[i], &e), 0);
	}
	reactor_post(side[1], &ball, catch);
	while (atomic_load(&throws) <= 20000)
		sched_yield();
	reactor_destroy(side[0]);
	reactor_destroy(side[1]);
}

/* --- spinning --- */

static struct reactor *make_spinner(unsigned cpus)
{
	struct reactor_opts o = {
		.name = "spin", .engine = test_engine, .poll_us = 5000000, .buf_cap = MIB(2)
	};
	struct reactor *s = reactor_create(&o, NULL);

	assert_non_null(s);
	s->cpus = cpus;
	return s;
}

static void after_traffic_a_reactor_spins_and_needs_no_doorbell(void **state)
{
	struct reactor *s = make_spinner(64);
	uint64_t rings;
	struct err e;

	assert_int_equal(reactor_start(s, &e), 0);
	call_on(s, NULL);
	rings = stats_of(s).rings;
	for (int i = 0; i < 1000; i++)
		call_on(s, NULL);
	assert_int_equal(stats_of(s).rings, rings);
	reactor_destroy(s);
}

static void without_a_spare_cpu_a_reactor_does_not_spin(void **state)
{
	struct reactor *s = make_spinner(1);
	struct marker m = { .c = 'm' };
	struct reactor_stats before;

	reactor_post(s, &m.msg, mark_msg);
	reactor_turn(s, TOO_LONG);
	assert_string_equal(trail, "m");
	before = stats_of(s);
	reactor_turn(s, NSEC_PER_MSEC);
	assert_int_equal(stats_of(s).submits - before.submits, 1);
	assert_int_equal(stats_of(s).wakeups - before.wakeups, 1);
	reactor_destroy(s);
}

static void without_traffic_a_reactor_does_not_spin(void **state)
{
	struct reactor *s = make_spinner(64);
	struct reactor_stats before;

	s->poll_ns = 1000; /* since the last event, which was never */
	reactor_turn(s, 0);
	before = stats_of(s);
	reactor_turn(s, NSEC_PER_MSEC);
	assert_int_equal(stats_of(s).submits - before.submits, 1);
	reactor_destroy(s);
}

static void the_default_number_of_reactors_is_sane(void **state)
{
	cpu_set_t set;
	unsigned n = reactor_default_count();

	assert_in_range(n, 1, REACTORS_MAX);
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	assert_true(n <= (unsigned)CPU_COUNT(&set));
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		T(stores_come_before_connections),
		T(later_is_idempotent_until_it_runs),
		T(what_comes_back_to_the_send_list_runs_next_turn),
		T(what_is_taken_off_the_list_does_not_run),
		T(timers_fire_in_order_and_not_early),
		T(a_timer_can_be_moved_both_ways),
		T(a_cancelled_timer_does_not_fire),
		T(thousands_of_timers_keep_their_order),
		T(a_timer_that_arms_itself_at_once_does_not_stop_the_turn),
		T(the_longest_time_does_not_overflow),
		T(messages_arrive_in_order),
		T(one_who_woke_by_itself_needs_no_doorbell),
		T(a_message_that_posts_itself_does_not_stop_the_turn),
		T(a_started_reactor_runs_on_a_named_thread_of_its_own),
		T(messages_posted_before_the_stop_are_handled),
		T(a_reactor_ends_while_it_sleeps),
		T(an_idle_reactor_does_not_wake_up),
		T(messages_of_many_threads_are_all_there_and_in_order),
		T(two_reactors_wake_each_other),
		T(after_traffic_a_reactor_spins_and_needs_no_doorbell),
		T(without_a_spare_cpu_a_reactor_does_not_spin),
		T(without_traffic_a_reactor_does_not_spin),
		T(the_default_number_of_reactors_is_sane),
	};

	choose_engine(argc, argv);
	return cmocka_run_group_tests_name("reactor", tests, NULL, NULL);
}
