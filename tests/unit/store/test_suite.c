/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every store must do, written once against the interface. Arguments: the
 * engine and the kind of store, a row of kinds.c. Here: the frame, and requests one at a time.
 */
#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "reactor/bufpool.h"
#include "reactor/sim.h"

const struct engine *suite_engine;
const struct kind *kind;

static struct store_spec spec;

static int set_up(void **state, bool two)
{
	struct rig *g = malloc(sizeof(*g));

	rig_init(g, suite_engine, two);
	*state = g;
	if (g->sim) {
		sim_faults()->short_io = 20000;
		sim_faults()->again = 20000;
		sim_faults()->late_cancel = 50000;
	}
	spec = kind_spec(kind, g);
	if (rig_open(g, &spec, NULL))
		fail_msg("%s", g->err.text);
	return 0;
}

int suite_one(void **state)
{
	return set_up(state, is(AWAY));
}

int suite_two(void **state)
{
	return set_up(state, true);
}

int suite_end(void **state)
{
	struct rig *g = *state;

	if (g->s)
		rig_close(g);
	kind_remove(kind);
	rig_fini(g);
	free(g);
	return 0;
}

void suite_reopen(struct rig *g, const char *prefix)
{
	struct store_spec p = spec;
	char type[256];

	snprintf(type, sizeof(type), "%s%s", prefix ? prefix : "", kind->type);
	p.type = type;
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
}

void suite_fill(unsigned char *p, size_t n, uint64_t *seed)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = rig_random(seed) | 1;

		memcpy(p + i, &v, 8);
	}
}

void suite_ok(struct rig *g, enum store_verb verb, uint32_t flags, uint64_t off, uint64_t len,
	      void *data)
{
	struct req q;
	int err = rig_do(g, &q, verb, flags, off, len, data);

	if (err)
		fail_msg("verb %d at %llu: %s at %llu", (int)verb, (unsigned long long)off,
			 strerror(-err), (unsigned long long)q.io.where);
}

/* ---- tests ---- */

static void what_is_promised_as_native_is_native(void **state)
{
	struct rig *g = *state;

	for (unsigned i = 0; i < STORE_VERBS; i++)
		if (kind->native >> i & 1 && store_limits(g->s)->cap[i] != STORE_CAP_NATIVE)
			fail_msg("verb %u is not native", i);
}

static void a_flush_ends_well(void **state)
{
	suite_ok(*state, STORE_FLUSH, 0, 0, 0, NULL);
}

static void a_request_of_no_bytes_ends_well(void **state)
{
	suite_ok(*state, STORE_READ, 0, SIZE, 0, NULL);
	if (is(READS))
		return;
	suite_ok(*state, STORE_WRITE, STORE_FUA, 0, 0, NULL);
	suite_ok(*state, STORE_ZERO, 0, 0, 0, NULL);
}

static void what_is_out_of_bounds_is_refused(void **state)
{
	unsigned char *p = rig_memory(4096);
	struct req q;

	assert_int_equal(rig_do(*state, &q, STORE_READ, 0, SIZE, 512, p), -EINVAL);
	assert_true(q.io.where == SIZE);
	assert_int_equal(rig_do(*state, &q, STORE_READ, 0, UINT64_MAX - 511, 512, p), -EINVAL);
	assert_int_equal(rig_do(*state, &q, STORE_EXTENTS, 0, SIZE, 0, NULL), -EINVAL);
	if (!is(READS)) {
		assert_int_equal(rig_do(*state, &q, STORE_WRITE, 0, SIZE - 512, 1024, p), -EINVAL);
		assert_int_equal(rig_do(*state, &q, STORE_ZERO, 0, 512, UINT64_MAX - 511, NULL),
				 -EINVAL);
	}
	free(p);
}

static void what_is_misaligned_is_refused(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(4096);
	const struct store_limits *l = store_limits(g->s);
	int bad_offset = l->block > 1 ? -EINVAL : 0, bad_memory = l->mem_align > 1 ? -EINVAL : 0;
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 1, 512, p), bad_offset);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 511, p), bad_offset | bad_memory);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 512, p + 1), bad_memory);
	free(p);
}

static void its_size_is_what_was_made(void **state)
{
	struct rig *g = *state;

	assert_true(store_size(g->s) == SIZE);
	assert_true(store_limits(g->s)->size == SIZE);
	if (rig_size(g, 0)) /* a store whose size never changes */
		assert_int_equal(g->err.code, -EOPNOTSUPP);
	assert_true(store_size(g->s) == SIZE);
}

static void a_read_only_store_reads_and_refuses_to_change(void **state)
{
	struct rig *g = *state;
	unsigned char *data = rig_memory(4096);
	struct req q;

	rig_close(g);
	spec.readonly = true;
	suite_reopen(g, NULL);
	assert_true(store_limits(g->s)->readonly);
	suite_ok(g, STORE_READ, 0, 0, 4096, data);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, 0, 4096, NULL), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 0, 4096, NULL), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_WRITE_SAME, 0, 0, 4096, data), -EROFS);
	suite_ok(g, STORE_FLUSH, 0, 0, 0, NULL);
	free(data);
}

static void what_reads_only_refuses_to_change(void **state)
{
	struct rig *g = *state;
	unsigned char *data = rig_memory(4096), *again = rig_memory(4096);
	struct req q;

	assert_true(store_limits(g->s)->readonly);
	suite_ok(g, STORE_READ, 0, KIB(64), 4096, data);
	memset(again, 0xa5, 4096);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, KIB(64), 4096, again), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, KIB(64), 4096, NULL), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, KIB(64), 4096, NULL), -EROFS);
	suite_ok(g, STORE_READ, 0, KIB(64), 4096, again);
	assert_memory_equal(data, again, 4096);
	free(data);
	free(again);
}

/* ---- verbs that a store may lack ---- */

static bool lacks(struct rig *g, enum store_verb verb, void *data)
{
	struct req q;

	if (store_limits(g->s)->cap[verb] == STORE_CAP_NATIVE)
		return false;
	rig_fill(&q, verb, 0, 0, BLOCK, data);
	q.io.from = g->s;
	q.io.from_offset = MIB(1);
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, -EOPNOTSUPP);
	return true;
}

static void a_pattern_is_written_all_over(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(KIB(64)), *back = rig_memory(KIB(64));
	uint64_t seed = 3;
	struct req q;

	suite_fill(p, BLOCK, &seed);
	if (!lacks(g, STORE_WRITE_SAME, p)) {
		rig_fill(&q, STORE_WRITE_SAME, 0, KIB(512), KIB(64), p);
		q.v[0].iov_len = BLOCK;
		rig_submit(g, &q);
		rig_wait(g, &q);
		assert_int_equal(q.io.err, 0);
		for (unsigned i = BLOCK; i < KIB(64); i++)
			p[i] = p[i - BLOCK];
		suite_ok(g, STORE_READ, 0, KIB(512), KIB(64), back);
		if (is(KEEPS))
			assert_memory_equal(p, back, KIB(64));
	}
	free(p);
	free(back);
}

static void what_differs_is_not_overwritten(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(2 * BLOCK), *back = rig_memory(BLOCK);
	uint64_t seed = 4;
	struct req q;

	suite_fill(p, 2 * BLOCK, &seed);
	if (!lacks(g, STORE_COMPARE_WRITE, p) && is(KEEPS) &&
	    store_limits(g->s)->max_compare >= BLOCK) {
		suite_ok(g, STORE_WRITE, 0, KIB(8), BLOCK, p);
		rig_fill(&q, STORE_COMPARE_WRITE, 0, KIB(8), BLOCK, p);
		q.v[0].iov_len = 2 * BLOCK;
		rig_submit(g, &q);
		rig_wait(g, &q);
		assert_int_equal(q.io.err, 0);
		suite_ok(g, STORE_READ, 0, KIB(8), BLOCK, back);
		assert_memory_equal(back, p + BLOCK, BLOCK);
		rig_fill(&q, STORE_COMPARE_WRITE, 0, KIB(8), BLOCK, p);
		q.v[0].iov_len = 2 * BLOCK;
		rig_submit(g, &q);
		rig_wait(g, &q);
		assert_int_equal(q.io.err, -EILSEQ);
		suite_ok(g, STORE_READ, 0, KIB(8), BLOCK, back);
		assert_memory_equal(back, p + BLOCK, BLOCK);
	}
	free(p);
	free(back);
}

static void a_copy_is_as_its_source(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(KIB(64)), *back = rig_memory(KIB(64));
	uint64_t seed = 5;
	struct req q;

	suite_fill(p, KIB(64), &seed);
	suite_ok(g, STORE_WRITE, 0, 0, KIB(64), p);
	if (!lacks(g, STORE_COPY, NULL)) {
		rig_fill(&q, STORE_COPY, 0, MIB(2), KIB(64), NULL);
		q.io.from = g->s;
		q.io.from_offset = 0;
		rig_submit(g, &q);
		rig_wait(g, &q);
		if (q.io.err != -EOPNOTSUPP) { /* this medium's system may have no way */
			assert_int_equal(q.io.err, 0);
			suite_ok(g, STORE_READ, 0, MIB(2), KIB(64), back);
			if (is(KEEPS))
				assert_memory_equal(p, back, KIB(64));
		}
	}
	free(p);
	free(back);
}

static void what_is_lent_is_what_was_written(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(KIB(16)), *back = rig_memory(KIB(16));
	uint64_t seed = 6;
	struct req q;

	suite_fill(p, KIB(16), &seed);
	if (!is(READS))
		suite_ok(g, STORE_WRITE, 0, KIB(32), KIB(16), p);
	suite_ok(g, STORE_READ, 0, KIB(32), KIB(16), p); /* a store of zeroes keeps nothing */
	for (int i = 0; i < 3; i++) {
		memset(back, 0xee, KIB(16));
		rig_fill(&q, STORE_READ, STORE_MAY_LEND | STORE_MAY_LEND_MAPPING, KIB(32), KIB(16),
			 back);
		rig_submit(g, &q);
		rig_wait(g, &q);
		assert_int_equal(q.io.err, 0);
		assert_memory_equal(q.io.lent ? q.io.lent_data : back, p, KIB(16));
		buf_put(q.io.lent);
	}
	free(p);
	free(back);
}

const struct suite_test suite_basics[] = {
	{ SUITE_TEST(what_is_promised_as_native_is_native, suite_one), 0, 0 },
	{ SUITE_TEST(a_flush_ends_well, suite_one), 0, 0 },
	{ SUITE_TEST(a_request_of_no_bytes_ends_well, suite_one), 0, 0 },
	{ SUITE_TEST(what_is_out_of_bounds_is_refused, suite_one), 0, 0 },
	{ SUITE_TEST(what_is_misaligned_is_refused, suite_one), 0, 0 },
	{ SUITE_TEST(its_size_is_what_was_made, suite_one), 0, 0 },
	{ SUITE_TEST(a_read_only_store_reads_and_refuses_to_change, suite_one), 0, READS },
	{ SUITE_TEST(what_reads_only_refuses_to_change, suite_one), READS, 0 },
	{ SUITE_TEST(a_pattern_is_written_all_over, suite_one), 0, READS },
	{ SUITE_TEST(what_differs_is_not_overwritten, suite_one), 0, READS },
	{ SUITE_TEST(a_copy_is_as_its_source, suite_one), 0, READS },
	{ SUITE_TEST(what_is_lent_is_what_was_written, suite_one), 0, 0 },
	{ { NULL }, 0, 0, false },
};

/* ---- which of them ---- */

static unsigned choose(struct CMUnitTest *chosen, unsigned n, const struct suite_test *t)
{
	for (; t->test.name; t++)
		if ((kind->flags & t->must) == t->must && !(kind->flags & t->must_not) &&
		    (!t->cut || (kind->medium && kind->medium->cut)))
			chosen[n++] = t->test;
	return n;
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[64];
	const char *why;
	unsigned n = 0;
	int rc;

	suite_engine = rig_engine(argc, argv);
	kind = kind_find(argc > 2 ? argv[2] : "mem");
	if (!kind) {
		printf("Bail out! no kind of store is called %s\n", argv[2]);
		return 1;
	}
	if (!kind_works(kind, suite_engine, &why)) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	log_set_level(LOG_LEVEL_ERR);
	n = choose(tests, n, suite_basics);
	n = choose(tests, n, suite_data);
	n = choose(tests, n, suite_life);
	rc = _cmocka_run_group_tests(kind->name, tests, n, NULL, NULL);
	offload_shutdown();
	return rc;
}
