/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reactor/clock.h"
#include "reactor/trace.h"

#define ANY \
	{ \
		.lun = -1, .opcode = -1 \
	}

static struct reactor *r;
static struct trace_rec out[256];

static int begin(void **state)
{
	struct err e = { 0 };
	struct reactor_opts o = { .name = "t", .id = 3, .buf_cap = MIB(8) };

	o.engine = engine_choose("epoll", &e);
	r = reactor_create(&o, &e);
	return r ? 0 : -1;
}

static int end(void **state)
{
	reactor_destroy(r);
	return trace_users ? -1 : 0;
}

static void start(unsigned records, struct trace_filter f)
{
	struct trace_ring *ring = trace_ring_create(records, &f);

	assert_non_null(ring);
	trace_ring_destroy(trace_set(r, ring));
}

static void add(uint64_t tag)
{
	struct trace_rec rec = { .tag = tag, .tid = 1, .lun = 2, .opcode = 0x28, .op = 9 };

	trace_add(r, &rec);
}

static struct trace_counts counts(void)
{
	struct trace_counts c;

	trace_get_counts(r, &c);
	return c;
}

/* The newest @most are those with tags from @first on, @n of them, in order of time. */
static void expect_tags(unsigned most, uint64_t first, unsigned n)
{
	assert_int_equal(trace_copy(r, out, most), n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(out[i].tag, first + i);
		assert_int_equal(out[i].reactor, 3);
		assert_true(out[i].at > 0 && (!i || out[i].at >= out[i - 1].at));
	}
}

static void while_off_nothing_is_recorded(void **state)
{
	assert_false(trace_on());
	add(1);
	expect_tags(10, 0, 0);
	assert_int_equal(counts().size, 0);
}

static void what_is_added_is_read_oldest_first(void **state)
{
	start(64, (struct trace_filter)ANY);
	assert_true(trace_on());
	for (unsigned i = 0; i < 10; i++)
		add(100 + i);
	expect_tags(256, 100, 10);
	expect_tags(3, 107, 3);
	assert_int_equal(counts().held, 10);
	assert_true(counts().on);
}

static void a_full_ring_overwrites_the_oldest(void **state)
{
	start(70, (struct trace_filter)ANY);
	for (unsigned n = 1; n <= 300; n++) {
		add(n);
		expect_tags(256, n > 70 ? n - 69 : 1, n > 70 ? 70 : n);
		expect_tags(7, n > 7 ? n - 6 : 1, n > 7 ? 7 : n);
	}
	assert_int_equal(counts().recorded, 300);
	assert_int_equal(counts().held, 70);
}

static void stopping_keeps_what_is_recorded(void **state)
{
	start(64, (struct trace_filter)ANY);
	add(1);
	add(2);
	trace_stop(r);
	trace_stop(r);
	assert_false(trace_on());
	add(3);
	expect_tags(256, 1, 2);
	assert_false(counts().on);
}

static void a_new_start_forgets_the_old_ring(void **state)
{
	start(64, (struct trace_filter)ANY);
	add(1);
	trace_stop(r);
	start(128, (struct trace_filter)ANY);
	add(2);
	expect_tags(256, 2, 1);
	assert_int_equal(counts().size, 128);
	trace_ring_destroy(trace_set(r, NULL));
	assert_false(trace_on());
	expect_tags(256, 0, 0);
}

static void only_reactors_with_a_ring_record(void **state)
{
	struct err e = { 0 };
	struct reactor_opts o = { .name = "u", .id = 4, .buf_cap = MIB(8) };
	struct reactor *other;
	struct trace_rec rec = { .tag = 5 };

	o.engine = engine_choose("epoll", &e);
	other = reactor_create(&o, &e);
	assert_non_null(other);
	start(64, (struct trace_filter)ANY);
	trace_add(other, &rec);
	assert_int_equal(trace_copy(other, out, 10), 0);
	reactor_destroy(other);
	assert_true(trace_on());
}

static void a_filter_lets_through_what_has_all_it_asks_for(void **state)
{
	static const struct {
		struct trace_filter f;
		unsigned passed; /* of: one that fits, another target, LUN, opcode, row, and none of them */
	} cases[] = {
		{ ANY, 6 },
		{ { .tid = 1, .lun = -1, .opcode = -1 }, 4 },
		{ { .lun = 2, .opcode = -1 }, 4 },
		{ { .lun = -1, .opcode = 0x28 }, 4 },
		{ { .lun = -1, .opcode = -1, .op = 9 }, 4 },
		{ { .tid = 1, .lun = 2, .opcode = 0x28, .op = 9 }, 1 },
	};

	for (unsigned i = 0; i < array_size(cases); i++) {
		struct trace_rec recs[] = {
			{ .tid = 1, .lun = 2, .opcode = 0x28, .op = 9 },
			{ .tid = 7, .lun = 2, .opcode = 0x28, .op = 9 },
			{ .tid = 1, .lun = 7, .opcode = 0x28, .op = 9 },
			{ .tid = 1, .lun = 2, .opcode = 7, .op = 9 },
			{ .tid = 1, .lun = 2, .opcode = 0x28, .op = 7 },
			{ .lun = TRACE_NO_LUN, .opcode = TRACE_NO_OPCODE },
		};

		start(64, cases[i].f);
		for (unsigned j = 0; j < array_size(recs); j++)
			trace_add(r, &recs[j]);
		assert_int_equal(counts().recorded, cases[i].passed);
		assert_int_equal(trace_copy(r, out, 1), 1);
	}
}

static void what_a_command_took_is_told_by_the_time_of_the_record(void **state)
{
	struct trace_rec rec = { .took = reactor_clock(r) }, none = { 0 };
	uint64_t since = rec.took;

	start(64, (struct trace_filter)ANY);
	trace_add(r, &rec);
	trace_add(r, &none);
	assert_int_equal(trace_copy(r, out, 2), 2);
	assert_int_equal(out[0].took, out[0].at - since);
	assert_int_equal(out[1].took, 0);
}

static void the_recent_time_never_goes_back_and_is_renewed(void **state)
{
	uint64_t first = reactor_recent(r), last = first, t = first;

	for (unsigned i = 0; i < 100000 && t == first; i++) {
		t = reactor_recent(r);
		assert_true(t >= last);
		last = t;
	}
	assert_true(t > first && t <= reactor_clock(r));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		T(while_off_nothing_is_recorded),
		T(what_is_added_is_read_oldest_first),
		T(a_full_ring_overwrites_the_oldest),
		T(stopping_keeps_what_is_recorded),
		T(a_new_start_forgets_the_old_ring),
		T(only_reactors_with_a_ring_record),
		T(a_filter_lets_through_what_has_all_it_asks_for),
		T(what_a_command_took_is_told_by_the_time_of_the_record),
		T(the_recent_time_never_goes_back_and_is_renewed),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
