/* SPDX-License-Identifier: BSD-2-Clause */
/* The one suite: what is read is what was written, in every shape, and holes are holes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define WRITE_MAX KIB(300)

/* The list of [p, p + len) in segments of random lengths. */
static unsigned segments(struct iovec *v, unsigned room, unsigned char *p, size_t len,
			 uint64_t unit, uint64_t *seed)
{
	unsigned n = 0;

	while (len) {
		size_t part = min((rig_random(seed) % 32 + 1) * unit, len);

		if (n + 1 == room)
			part = len;
		v[n++] = (struct iovec){ p, part };
		p += part;
		len -= part;
	}
	return n;
}

struct model {
	unsigned char *want, *got;
	uint64_t seed, unit;
};

static void random_range(struct model *m, uint64_t *off, uint64_t *len)
{
	*off = rig_random(&m->seed) % (SIZE / BLOCK) * BLOCK;
	*len = (rig_random(&m->seed) % (WRITE_MAX / BLOCK) + 1) * BLOCK;
	if (rig_random(&m->seed) % 2)
		*len = BLOCK * (1 + rig_random(&m->seed) % 16);
	*len = min(*len, SIZE - *off);
}

static void check_all(struct rig *g, struct model *m)
{
	memset(m->got, 0xee, SIZE);
	suite_ok(g, STORE_READ, 0, 0, SIZE, m->got);
	assert_memory_equal(m->got, m->want, SIZE);
}

static void transfer(struct rig *g, struct model *m, enum store_verb verb, uint32_t flags,
		     uint64_t off, uint64_t len)
{
	struct iovec v[40];
	struct req q;

	rig_fill(&q, verb, flags, off, len, m->got);
	q.io.iovcnt = segments(v, array_size(v), m->got, len, m->unit, &m->seed);
	q.io.iov = v;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, 0);
}

static void model_write(struct rig *g, struct model *m, uint32_t flags)
{
	uint64_t off, len;

	random_range(m, &off, &len);
	suite_fill(m->got, len, &m->seed);
	transfer(g, m, STORE_WRITE, flags, off, len);
	if (is(KEEPS))
		memcpy(m->want + off, m->got, len);
}

static void model_zero(struct rig *g, struct model *m, uint32_t flags)
{
	uint64_t off, len;

	random_range(m, &off, &len);
	suite_ok(g, STORE_ZERO, flags, off, len, NULL);
	memset(m->want + off, 0, len);
}

/* Each block is as it was or zeroes: discard is a hint. */
static void model_discard(struct rig *g, struct model *m, uint32_t flags)
{
	static const unsigned char zero[BLOCK];
	struct req q;
	uint64_t off, len;

	random_range(m, &off, &len);
	if (store_limits(g->s)->cap[STORE_DISCARD] == STORE_CAP_NO) {
		assert_int_equal(rig_do(g, &q, STORE_DISCARD, flags, off, len, NULL), -EOPNOTSUPP);
		return;
	}
	suite_ok(g, STORE_DISCARD, flags, off, len, NULL);
	suite_ok(g, STORE_READ, 0, off, len, m->got);
	for (uint64_t i = 0; i < len; i += BLOCK)
		if (memcmp(m->got + i, m->want + off + i, BLOCK))
			assert_memory_equal(m->got + i, zero, BLOCK);
	memcpy(m->want + off, m->got, len);
}

static void model_read(struct rig *g, struct model *m)
{
	uint64_t off, len;

	random_range(m, &off, &len);
	memset(m->got, 0xee, len);
	transfer(g, m, STORE_READ, 0, off, len);
	assert_memory_equal(m->got, m->want + off, len);
}

static void random_requests_agree_with_a_model(void **state)
{
	struct rig *g = *state;
	struct model m = { rig_memory(SIZE), rig_memory(SIZE), 42,
			   max(store_limits(g->s)->mem_align, BLOCK) };

	suite_ok(g, STORE_READ, 0, 0, SIZE, m.want);
	for (int i = 0; i < 300; i++) {
		uint64_t dice = rig_random(&m.seed) % 17;
		uint32_t fua = rig_random(&m.seed) % 8 ? 0 : STORE_FUA;

		if (dice < 6)
			model_write(g, &m, fua);
		else if (dice < 8)
			model_zero(g, &m, fua);
		else if (dice < 9)
			model_zero(g, &m, fua | STORE_MAY_UNMAP);
		else if (dice < 10)
			model_discard(g, &m, fua);
		else if (dice < 11 && i % 4 == 0)
			suite_ok(g, STORE_FLUSH, 0, 0, 0, NULL);
		else
			model_read(g, &m);
	}
	check_all(g, &m);
	free(m.want);
	free(m.got);
}

static void reads_of_every_shape_agree(void **state)
{
	struct rig *g = *state;
	struct model m = { rig_memory(SIZE), rig_memory(SIZE), 43,
			   max(store_limits(g->s)->mem_align, BLOCK) };

	suite_ok(g, STORE_READ, 0, 0, SIZE, m.want);
	for (int i = 0; i < 60; i++)
		model_read(g, &m);
	free(m.want);
	free(m.got);
}

static void many_requests_in_flight_all_end_well(void **state)
{
	enum { N = 128, LEN = 4096 };
	struct rig *g = *state;
	struct req *q = rig_memory(N * sizeof(*q));
	unsigned char *data = rig_memory(N * LEN), *back = rig_memory(N * LEN);
	uint64_t seed = 7;

	suite_fill(data, N * LEN, &seed);
	for (int i = 0; i < N; i++) {
		rig_fill(&q[i], STORE_WRITE, i % 8 ? 0 : STORE_FUA, (uint64_t)i * LEN, LEN,
			 data + i * LEN);
		rig_submit(g, &q[i]);
	}
	assert_int_equal(store_inflight(g->s), N);
	for (int i = 0; i < N; i++)
		rig_wait(g, &q[i]);
	assert_int_equal(store_inflight(g->s), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(q[i].io.err, 0);
		rig_fill(&q[i], STORE_READ, 0, (uint64_t)i * LEN, LEN, back + i * LEN);
		rig_submit(g, &q[i]);
	}
	for (int i = 0; i < N; i++) {
		rig_wait(g, &q[i]);
		assert_int_equal(q[i].io.err, 0);
	}
	if (is(KEEPS))
		assert_memory_equal(data, back, N * LEN);
	free(q);
	free(data);
	free(back);
}

static void extents_cover_the_store_and_holes_read_as_zeroes(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(KIB(128)), *all = rig_memory(SIZE);
	uint64_t off = 0, seed = 9;
	unsigned kinds[2] = { 0, 0 };
	struct req q;

	suite_fill(p, KIB(128), &seed);
	if (!is(READS))
		suite_ok(g, STORE_WRITE, 0, MIB(1), KIB(128), p);
	suite_ok(g, STORE_READ, 0, 0, SIZE, all);
	while (off < SIZE) {
		struct store_extent *x = &q.io.extent;

		assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, off, 0, NULL), 0);
		assert_in_range(x->length, 1, SIZE - off);
		assert_int_equal(x->length % BLOCK, 0);
		kinds[x->mapped]++;
		for (uint64_t i = 0; !x->mapped && i < x->length; i++)
			assert_int_equal(all[off + i], 0);
		if (is(KEEPS) && off <= MIB(1) && off + x->length > MIB(1))
			assert_true(x->mapped);
		off += x->length;
	}
	assert_int_equal(off, SIZE);
	if (is(HOLES))
		assert_true(kinds[0] && kinds[1]);
	free(p);
	free(all);
}

/* Tell how much from @off on is a hole. */
static uint64_t hole_at(struct rig *g, uint64_t off)
{
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, off, 0, NULL), 0);
	return q.io.extent.mapped ? 0 : q.io.extent.length;
}

static void what_is_unmapped_becomes_a_hole(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(MIB(1));

	memset(p, 1, MIB(1));
	suite_ok(g, STORE_WRITE, 0, 0, MIB(1), p);
	suite_ok(g, STORE_FLUSH, 0, 0, 0, NULL);
	if (store_limits(g->s)->cap[STORE_DISCARD] != STORE_CAP_NO) {
		suite_ok(g, STORE_DISCARD, 0, KIB(64), KIB(128), NULL);
		assert_int_equal(hole_at(g, KIB(64)), KIB(128));
	}
	if (store_limits(g->s)->cap[STORE_ZERO] == STORE_CAP_NATIVE) {
		suite_ok(g, STORE_ZERO, STORE_MAY_UNMAP, KIB(256), KIB(128), NULL);
		assert_int_equal(hole_at(g, KIB(256)), KIB(128));
	}
	free(p);
}

const struct suite_test suite_data[] = {
	{ SUITE_TEST(random_requests_agree_with_a_model, suite_one), 0, READS },
	{ SUITE_TEST(reads_of_every_shape_agree, suite_one), 0, 0 },
	{ SUITE_TEST(many_requests_in_flight_all_end_well, suite_one), 0, READS },
	{ SUITE_TEST(extents_cover_the_store_and_holes_read_as_zeroes, suite_one), 0, 0 },
	{ SUITE_TEST(what_is_unmapped_becomes_a_hole, suite_one), HOLES, 0 },
	{ { NULL }, 0, 0, false },
};
