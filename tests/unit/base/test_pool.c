/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/pool.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void objects_are_aligned_and_do_not_overlap(void **state)
{
	struct pool p;
	uint8_t *o[100];

	pool_init(&p, 100, 0);
	for (int i = 0; i < 100; i++) {
		o[i] = pool_get(&p);
		assert_non_null(o[i]);
		assert_int_equal((uintptr_t)o[i] % 64, 0);
		memset(o[i], i, 100);
	}
	for (int i = 0; i < 100; i++)
		for (int k = 0; k < 100; k++)
			assert_int_equal(o[i][k], i);
	pool_fini(&p);
}

static void the_last_one_back_is_the_first_one_out(void **state)
{
	struct pool p;
	void *a, *b;

	pool_init(&p, 64, 0);
	a = pool_get(&p);
	b = pool_get(&p);
	pool_put(&p, a);
	pool_put(&p, b);
	assert_ptr_equal(pool_get(&p), b);
	assert_ptr_equal(pool_get(&p), a);
	pool_fini(&p);
}

static void the_limit_holds_and_lets_go_after_a_put(void **state)
{
	struct pool p;
	void *o[3];

	pool_init(&p, 8, 3);
	for (int i = 0; i < 3; i++)
		o[i] = pool_get(&p);
	assert_non_null(o[2]);
	assert_null(pool_get(&p));
	pool_put(&p, o[1]);
	assert_ptr_equal(pool_get(&p), o[1]);
	assert_int_equal(p.live, 3);
	pool_fini(&p);
}

static void objects_larger_than_a_chunk_work(void **state)
{
	struct pool p;
	void *a, *b;

	pool_init(&p, 200000, 0);
	a = pool_get(&p);
	b = pool_get(&p);
	assert_non_null(a);
	assert_non_null(b);
	memset(a, 1, 200000);
	memset(b, 2, 200000);
	assert_int_equal(((uint8_t *)a)[199999], 1);
	pool_fini(&p);
}

static void trim_waits_for_the_last_object(void **state)
{
	struct pool p;
	void *a;

	pool_init(&p, 64, 0);
	a = pool_get(&p);
	pool_trim(&p);
	memset(a, 1, 64);
	assert_true(p.total > 0);
	pool_put(&p, a);
	pool_trim(&p);
	assert_int_equal(p.total, 0);
	assert_non_null(pool_get(&p));
	pool_fini(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_aligned_and_do_not_overlap),
		cmocka_unit_test(the_last_one_back_is_the_first_one_out),
		cmocka_unit_test(the_limit_holds_and_lets_go_after_a_put),
		cmocka_unit_test(objects_larger_than_a_chunk_work),
		cmocka_unit_test(trim_waits_for_the_last_object),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
