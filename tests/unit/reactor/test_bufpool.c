/* SPDX-License-Identifier: BSD-2-Clause */
#include "help.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "reactor/bufpool.h"
#include "reactor/internal.h"

static struct bufpool *p;

static struct bufpool_stats stats(void)
{
	struct bufpool_stats st;

	bufpool_stats(p, &st);
	return st;
}

/* A pool with a cap of @mib. */
static void make(size_t mib)
{
	p = bufpool_create(MIB(mib));
	assert_non_null(p);
}

static int tear_down(void **state)
{
	bufpool_destroy(p);
	p = NULL;
	return 0;
}

static void the_smallest_class_that_holds_the_size_serves_it(void **state)
{
	static const struct {
		size_t size;
		uint32_t class;
	} t[] = {
		{ 0, 4096 },	  { 1, 4096 },	    { 4096, 4096 },    { 4097, 16384 },
		{ 16384, 16384 }, { 16385, 65536 }, { 65537, 262144 }, { 262144, 262144 },
	};

	make(4);
	for (size_t i = 0; i < array_size(t); i++) {
		struct buf *b = bufpool_get(p, t[i].size);

		assert_int_equal(buf_class_of(t[i].size), t[i].class);
		assert_non_null(b);
		assert_int_equal(b->size, t[i].class);
		assert_int_equal(b->users, 1);
		assert_int_equal((uintptr_t)b->data % 4096, 0);
		memset(b->data, 0xaa, b->size);
		assert_int_equal(stats().used, t[i].class);
		buf_put(b);
	}
	assert_null(bufpool_get(p, BUF_MAX + 1));
	assert_int_equal(stats().used, 0);
}

static void buffers_do_not_overlap(void **state)
{
	enum { N = 300 };
	struct buf *b[N];

	make(64);
	for (int i = 0; i < N; i++) {
		b[i] = bufpool_get(p, 1u << (10 + i % 9));
		assert_non_null(b[i]);
		memset(b[i]->data, i, b[i]->size);
	}
	for (int i = 0; i < N; i++)
		for (uint32_t k = 0; k < b[i]->size; k += 512)
			assert_int_equal(b[i]->data[k], (uint8_t)i);
	for (int i = 0; i < N; i++)
		buf_put(b[i]);
}

static void the_cap_is_never_exceeded(void **state)
{
	struct buf *b[1025];
	int n = 0;

	make(4);
	while ((b[n] = bufpool_get(p, 4096)))
		n++;
	assert_int_equal(n, 1024);
	assert_int_equal(stats().used, MIB(4));
	assert_int_equal(stats().fails, 1);
	assert_int_equal(stats().slabs, MIB(4));
	assert_null(bufpool_get(p, 1));
	buf_put(b[--n]);
	assert_null(bufpool_get(p, 4097));
	b[n++] = bufpool_get(p, 1);
	assert_non_null(b[n - 1]);
	while (n)
		buf_put(b[--n]);
}

static void the_last_user_returns_the_buffer(void **state)
{
	struct buf *b;

	make(2);
	b = bufpool_get(p, 100);
	assert_ptr_equal(buf_ref(b), b);
	buf_ref(b);
	buf_put(b);
	buf_put(b);
	assert_int_equal(stats().used, 4096);
	b->data[0] = 1;
	buf_put(b);
	assert_int_equal(stats().used, 0);
	buf_put(NULL);
}

static void the_buffer_used_last_goes_out_first(void **state)
{
	struct buf *a, *b;

	make(2);
	a = bufpool_get(p, 4096);
	b = bufpool_get(p, 4096);
	buf_put(b);
	buf_put(a);
	assert_ptr_equal(bufpool_get(p, 4096), a);
	assert_ptr_equal(bufpool_get(p, 4096), b);
	buf_put(a);
	buf_put(b);
}

static void a_reservation_takes_from_what_others_may_have(void **state)
{
	struct buf *b;

	make(2);
	assert_true(bufpool_reserve(p, MIB(2) - 4096));
	assert_false(bufpool_reserve(p, 4097));
	assert_int_equal(stats().reserved, MIB(2) - 4096);
	b = bufpool_get(p, 4096);
	assert_non_null(b);
	assert_null(bufpool_get(p, 4096));
	bufpool_unreserve(p, MIB(2) - 4096);
	assert_int_equal(stats().reserved, 0);
	buf_put(b);
	assert_true(bufpool_reserve(p, MIB(2)));
	assert_false(bufpool_reserve(p, SIZE_MAX));
	bufpool_unreserve(p, MIB(2));
}

static void what_is_reserved_can_be_had(void **state)
{
	struct buf *b[8];

	make(2);
	assert_true(bufpool_reserve(p, MIB(2)));
	assert_null(bufpool_get(p, 1));
	for (int i = 0; i < 8; i++) {
		b[i] = bufpool_get_reserved(p, BUF_MAX);
		assert_non_null(b[i]);
		assert_int_equal(stats().used + stats().reserved, MIB(2));
	}
	assert_int_equal(stats().reserved, 0);
	assert_null(bufpool_get_reserved(p, 1));
	for (int i = 0; i < 8; i++)
		buf_put(b[i]);
}

static void what_is_reserved_can_be_had_from_a_fragmented_pool(void **state)
{
	struct buf *all[1024], *big[16];
	int kept = 0;

	make(4);
	for (int i = 0; i < 1024; i++)
		all[i] = bufpool_get(p, 4096);
	/* One small buffer stays in each block. */
	for (int i = 0; i < 1024; i++) {
		if (((uintptr_t)all[i]->data & (BUF_MAX - 1)) == 0)
			all[kept++] = all[i];
		else
			buf_put(all[i]);
	}
	assert_int_equal(kept, 16);
	assert_true(bufpool_reserve(p, 15 * BUF_MAX));
	for (int i = 0; i < 15; i++) {
		big[i] = bufpool_get_reserved(p, BUF_MAX);
		assert_non_null(big[i]);
	}
	for (int i = 0; i < 15; i++)
		buf_put(big[i]);
	for (int i = 0; i < kept; i++)
		buf_put(all[i]);
}

static void without_a_reservation_fragments_cost_one_slab_at_most(void **state)
{
	struct buf *all[1024], *big[16];
	int kept = 0, n = 0;

	make(4);
	for (int i = 0; i < 1024; i++)
		all[i] = bufpool_get(p, 4096);
	for (int i = 0; i < 1024; i++) {
		if (((uintptr_t)all[i]->data & (BUF_MAX - 1)) == 0)
			all[kept++] = all[i];
		else
			buf_put(all[i]);
	}
	while ((big[n] = bufpool_get(p, BUF_MAX)))
		n++;
	assert_int_equal(n, 8);
	assert_int_equal(stats().slabs, MIB(6));
	while (n)
		buf_put(big[--n]);
	while (kept)
		buf_put(all[--kept]);
}

static void an_empty_block_serves_another_class(void **state)
{
	struct buf *b[512];

	make(2);
	for (int round = 0; round < 3; round++) {
		for (unsigned c = 0; c < BUF_CLASSES; c++) {
			unsigned n = MIB(2) / buf_class_size[c];

			for (unsigned i = 0; i < n; i++) {
				b[i] = bufpool_get(p, buf_class_size[c]);
				assert_non_null(b[i]);
			}
			for (unsigned i = 0; i < n; i++)
				buf_put(b[i]);
		}
	}
	/* All of it came from one slab, again and again. */
	assert_int_equal(stats().slabs, MIB(2));
}

static void trim_gives_back_what_is_free_and_no_more(void **state)
{
	struct buf *b[16];

	make(16);
	for (int i = 0; i < 16; i++)
		b[i] = bufpool_get(p, BUF_MAX);
	assert_int_equal(stats().slabs, MIB(4));
	memset(b[15]->data, 0x5a, BUF_MAX);
	bufpool_trim(p);
	assert_int_equal(stats().slabs, MIB(4));
	for (int i = 0; i < 15; i++)
		buf_put(b[i]);
	bufpool_trim(p);
	assert_int_equal(stats().slabs, MIB(2));
	assert_int_equal(b[15]->data[BUF_MAX - 1], 0x5a);
	buf_put(b[15]);
	assert_true(bufpool_has_unused(p));
	bufpool_trim(p);
	assert_int_equal(stats().slabs, 0);
	assert_false(bufpool_has_unused(p));
	b[0] = bufpool_get(p, 1);
	assert_non_null(b[0]);
	buf_put(b[0]);
}

static void the_regular_trim_spares_what_was_used_meanwhile(void **state)
{
	struct buf *a, *b[8];

	make(16);
	for (int i = 0; i < 8; i++)
		b[i] = bufpool_get(p, BUF_MAX);
	a = bufpool_get(p, BUF_MAX);
	for (int i = 0; i < 8; i++)
		buf_put(b[i]);
	buf_put(a);
	/* Both slabs were in use since the last time. */
	bufpool_trim_unused(p);
	assert_int_equal(stats().slabs, MIB(4));
	/* One is in use in between, the other never is. */
	buf_put(bufpool_get(p, BUF_MAX));
	bufpool_trim_unused(p);
	assert_int_equal(stats().slabs, MIB(2));
	bufpool_trim_unused(p);
	assert_int_equal(stats().slabs, 0);
}

static void a_reactor_trims_its_pool_when_idle(void **state)
{
	struct reactor *r = make_reactor();
	struct bufpool_stats st;
	uint64_t end;

	buf_put(bufpool_get(reactor_bufpool(r), 1));
	end = reactor_now(r) + TOO_LONG;
	do {
		reactor_turn(r, TOO_LONG);
		bufpool_stats(reactor_bufpool(r), &st);
	} while (st.slabs && reactor_now(r) < end);
	assert_int_equal(st.slabs, 0);
	assert_true(timer_heap_due(&r->timers) == UINT64_MAX);
	reactor_destroy(r);
}

struct hungry {
	struct buf_waiter waiter;
	struct bufpool *pool;
	struct buf *got;
	int told;
};

static void try_again(struct buf_waiter *w)
{
	struct hungry *h = container_of(w, struct hungry, waiter);

	h->told++;
	h->got = bufpool_get(h->pool, BUF_MAX);
	if (!h->got)
		bufpool_wait(h->pool, w);
}

static void who_waits_for_memory_is_served_in_order(void **state)
{
	struct reactor *r = make_reactor();
	struct bufpool *pool = reactor_bufpool(r);
	struct hungry h[3];
	struct buf *all[32];

	for (int i = 0; i < 32; i++)
		all[i] = bufpool_get(pool, BUF_MAX);
	assert_null(bufpool_get(pool, 1));
	for (int i = 0; i < 3; i++) {
		h[i] = (struct hungry){ .waiter.fn = try_again, .pool = pool };
		list_init(&h[i].waiter.link);
		bufpool_wait(pool, &h[i].waiter);
	}
	reactor_turn(r, 0);
	assert_int_equal(h[0].told, 0);
	bufpool_unwait(&h[1].waiter);
	buf_put(all[0]);
	reactor_turn(r, TOO_LONG);
	assert_non_null(h[0].got);
	assert_null(h[2].got);
	buf_put(all[1]);
	reactor_turn(r, TOO_LONG);
	assert_non_null(h[2].got);
	assert_int_equal(h[0].told, 1);
	assert_int_equal(h[1].told, 0);
	buf_put(h[0].got);
	buf_put(h[2].got);
	for (int i = 2; i < 32; i++)
		buf_put(all[i]);
	reactor_destroy(r);
}

static void random_use_keeps_the_books(void **state)
{
	enum { N = 600 };
	static struct buf *b[N];
	size_t used = 0;

	make(8);
	srand(11);
	for (int step = 0; step < 60000; step++) {
		int i = rand() % N;

		if (b[i]) {
			used -= b[i]->size;
			buf_put(b[i]);
			b[i] = NULL;
		} else {
			b[i] = bufpool_get(p, (size_t)1 << (rand() % 19));
			used += b[i] ? b[i]->size : 0;
		}
		assert_int_equal(stats().used, used);
		assert_true(used <= MIB(8));
		assert_true(stats().slabs <= MIB(10));
		if (step % 5000 == 0)
			bufpool_trim(p);
	}
	for (int i = 0; i < N; i++)
		buf_put(b[i]);
	bufpool_trim(p);
	assert_int_equal(stats().slabs, 0);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_teardown(name, tear_down)
	static const struct CMUnitTest tests[] = {
		T(the_smallest_class_that_holds_the_size_serves_it),
		T(buffers_do_not_overlap),
		T(the_cap_is_never_exceeded),
		T(the_last_user_returns_the_buffer),
		T(the_buffer_used_last_goes_out_first),
		T(a_reservation_takes_from_what_others_may_have),
		T(what_is_reserved_can_be_had),
		T(what_is_reserved_can_be_had_from_a_fragmented_pool),
		T(without_a_reservation_fragments_cost_one_slab_at_most),
		T(an_empty_block_serves_another_class),
		T(trim_gives_back_what_is_free_and_no_more),
		T(the_regular_trim_spares_what_was_used_meanwhile),
		T(a_reactor_trims_its_pool_when_idle),
		T(who_waits_for_memory_is_served_in_order),
		T(random_use_keeps_the_books),
	};

	choose_engine(argc, argv);
	return cmocka_run_group_tests_name("bufpool", tests, NULL, NULL);
}
