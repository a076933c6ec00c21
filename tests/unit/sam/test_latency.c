/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sam/latency.h"
#include "sam/lu.h"

#define PARTS 2
#define ROWS (LATENCY_ROWS + 6)

static struct lu *lu;
static struct op rows[ROWS];
static const struct op *list[LATENCY_LIST];

static int begin(void **state)
{
	lu = calloc(1, sizeof(*lu));
	lu->nreactors = PARTS;
	lu->latency = latency_create(PARTS);
	for (unsigned i = 0; i < PARTS; i++)
		lu->part[i].latency = &lu->latency[i];
	for (unsigned i = 0; i < ROWS; i++)
		rows[i] = (struct op){ .name = "ROW", .index = i + 1 };
	return lu->latency ? 0 : -1;
}

static int end(void **state)
{
	latency_destroy(lu->latency, PARTS);
	free(lu);
	return 0;
}

static void add(unsigned part, const struct op *op, uint64_t ns)
{
	latency_add(lu->part[part].latency, op, ns);
}

static uint64_t count(const struct op *op)
{
	struct hist h;

	lu_latency(lu, op, &h);
	return hist_count(&h);
}

static void what_was_not_used_is_not_listed(void **state)
{
	assert_int_equal(lu_latency_rows(lu, list), 0);
	assert_int_equal(count(&rows[0]), 0);
	assert_int_equal(count(NULL), 0);
}

static void a_row_is_the_sum_of_its_reactors_whatever_their_order(void **state)
{
	struct hist h;

	add(0, &rows[4], 100);
	add(0, &rows[2], 7);
	add(1, &rows[2], 200);
	add(1, &rows[4], 300);
	add(1, &rows[9], 1);
	assert_int_equal(lu_latency_rows(lu, list), 3);
	assert_ptr_equal(list[0], &rows[2]);
	assert_ptr_equal(list[1], &rows[4]);
	assert_ptr_equal(list[2], &rows[9]);
	lu_latency(lu, &rows[4], &h);
	assert_int_equal(hist_count(&h), 2);
	assert_int_equal(hist_mean(&h), 200);
	assert_int_equal(h.max, 300);
	assert_int_equal(count(&rows[9]), 1);
}

static void commands_without_a_row_are_others(void **state)
{
	const struct op fallback = { .name = "ABSENT" };

	add(0, NULL, 5);
	add(1, &fallback, 6);
	assert_int_equal(lu_latency_rows(lu, list), 1);
	assert_null(list[0]);
	assert_int_equal(count(NULL), 2);
}

static void rows_beyond_the_room_are_others(void **state)
{
	for (unsigned times = 0; times < 2; times++)
		for (unsigned i = 0; i < ROWS; i++)
			add(0, &rows[i], 1000 + i);
	add(1, &rows[ROWS - 1], 1); /* there is room on the other reactor */
	assert_int_equal(lu_latency_rows(lu, list), LATENCY_ROWS + 2);
	assert_null(list[LATENCY_ROWS + 1]);
	for (unsigned i = 0; i < LATENCY_ROWS; i++)
		assert_int_equal(count(&rows[i]), 2);
	assert_int_equal(count(&rows[ROWS - 2]), 0);
	assert_int_equal(count(&rows[ROWS - 1]), 1);
	assert_int_equal(count(NULL), 2 * (ROWS - LATENCY_ROWS));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		T(what_was_not_used_is_not_listed),
		T(a_row_is_the_sum_of_its_reactors_whatever_their_order),
		T(commands_without_a_row_are_others),
		T(rows_beyond_the_room_are_others),
	};

	return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
