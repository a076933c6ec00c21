/* SPDX-License-Identifier: BSD-2-Clause */
/* The one suite: several reactors, cancelling, closing, opening again, power cuts. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/sim.h"
#include "suite.h"

/* ---- several reactors ---- */

/* Writes and reads back, one after the other, on a reactor of its own. */
struct walker {
	struct msg msg;
	struct store *s;
	struct req q;
	unsigned char *data, *back;
	uint64_t at, end, seed;
	unsigned done, bad;
};

enum { STEP = 8192 };

static void walk(struct walker *w);

static void walk_read(struct store_io *io)
{
	struct walker *w = container_of(io, struct walker, q.io);

	w->bad += io->err || (is(KEEPS) && memcmp(w->data, w->back, STEP));
	w->at += STEP;
	walk(w);
}

static void walk_written(struct store_io *io)
{
	struct walker *w = container_of(io, struct walker, q.io);

	w->bad += io->err != 0;
	rig_fill(&w->q, STORE_READ, 0, w->at, STEP, w->back);
	w->q.io.done = walk_read;
	store_submit(w->s, &w->q.io);
}

static void walk(struct walker *w)
{
	if (w->at == w->end) {
		__atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
		return;
	}
	suite_fill(w->data, STEP, &w->seed);
	rig_fill(&w->q, STORE_WRITE, 0, w->at, STEP, w->data);
	w->q.io.done = walk_written;
	store_submit(w->s, &w->q.io);
}

static void walk_start(struct msg *m)
{
	walk(container_of(m, struct walker, msg));
}

static void several_reactors_use_it_at_the_same_time(void **state)
{
	enum { N = 8 };
	struct rig *g = *state;
	struct walker *w = rig_memory(N * sizeof(*w));

	for (unsigned i = 0; i < N; i++) {
		w[i].s = g->s;
		w[i].data = rig_memory(STEP);
		w[i].back = rig_memory(STEP);
		w[i].at = i * (SIZE / N);
		w[i].end = w[i].at + 20 * STEP;
		w[i].seed = i;
		rig_enter(g);
		reactor_post(i % 2 ? g->home : g->r, &w[i].msg, walk_start);
	}
	for (unsigned i = 0; i < N; i++) {
		rig_until(g, &w[i].done);
		assert_int_equal(w[i].bad, 0);
		free(w[i].data);
		free(w[i].back);
	}
	free(w);
}

/* ---- cancelling and closing ---- */

enum { CROWD = 96 };

static void crowd(struct rig *g, struct req *q, unsigned char *p)
{
	for (unsigned i = 0; i < CROWD; i++) {
		bool writes = i % 2 && !is(READS);

		rig_fill(&q[i], writes ? STORE_WRITE : STORE_READ, 0, (uint64_t)i * 4096, 4096,
			 p + i * 4096);
		rig_submit(g, &q[i]);
	}
}

static void what_is_cancelled_ends_once(void **state)
{
	struct rig *g = *state;
	struct req *q = rig_memory(CROWD * sizeof(*q));
	unsigned char *p = rig_memory(CROWD * 4096);

	crowd(g, q, p);
	for (unsigned i = 0; i < CROWD / 2; i++)
		store_cancel(&q[i].io);
	rig_wait(g, &q[0]); /* others are with the store by now */
	rig_enter(g);
	for (unsigned i = CROWD / 2; i < CROWD; i++)
		if (!q[i].done)
			store_cancel(&q[i].io);
	for (unsigned i = 0; i < CROWD; i++) {
		if (i)
			rig_wait(g, &q[i]);
		if (q[i].io.err && q[i].io.err != -ECANCELED)
			fail_msg("request %u: %s", i, strerror(-q[i].io.err));
	}
	assert_int_equal(store_inflight(g->s), 0);
	suite_ok(g, STORE_READ, 0, 0, 4096, p);
	free(q);
	free(p);
}

static void closing_waits_for_what_is_in_flight(void **state)
{
	struct rig *g = *state;
	struct req *q = rig_memory(CROWD * sizeof(*q));
	unsigned char *p = rig_memory(CROWD * 4096);

	crowd(g, q, p);
	rig_close(g);
	for (unsigned i = 0; i < CROWD; i++) {
		assert_int_equal(q[i].done, 1);
		assert_false(q[i].done_in_submit);
	}
	free(q);
	free(p);
}

/* ---- opening ---- */

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void a_failed_opening_leaves_nothing_behind(void **state)
{
	struct rig *g = *state;
	unsigned n = 0;

	rig_close(g);
	for (int i = 0; i < 5; i++) {
		struct store_spec p = { .type = kind->type, .block_size = BLOCK };

		p.path = kind->medium ? "/nonexistent/medium" : NULL;
		p.opts = kind->medium ? kind->opts : "size=some";
		assert_true(rig_open(g, &p, NULL) < 0);
		assert_string_not_equal(g->err.text, "");
		if (!i)
			n = descriptors(); /* the first one may start threads and load a plugin */
	}
	assert_int_equal(descriptors(), n);
	suite_reopen(g, NULL);
}

static void data_is_there_after_opening_again(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(SIZE), *back = rig_memory(SIZE);
	uint64_t seed = 11;

	suite_ok(g, STORE_READ, 0, 0, SIZE, p);
	if (!is(READS)) {
		suite_fill(p + KIB(100), KIB(300), &seed);
		suite_ok(g, STORE_WRITE, 0, KIB(100), KIB(300), p + KIB(100));
		suite_ok(g, STORE_FLUSH, 0, 0, 0, NULL);
	}
	rig_close(g);
	suite_reopen(g, NULL);
	suite_ok(g, STORE_READ, 0, 0, SIZE, back);
	assert_memory_equal(p, back, SIZE);
	free(p);
	free(back);
}

/* ---- power cuts ---- */

#define SECTORS (SIZE / BLOCK)
#define VERSIONS 24

/* Which versions each sector may have after the power failed: number 0 is zeroes. */
struct versions {
	uint32_t stable, n; /* at least this one */
	uint32_t written[VERSIONS]; /* ascending */
};

struct stamps {
	struct versions *sector;
	uint64_t *data;
	uint64_t seed;
	uint32_t last;
	unsigned lost; /* sectors that are not the newest */
};

static void stamp_write(struct rig *g, struct stamps *m, uint32_t flags)
{
	uint64_t first = rig_random(&m->seed) % SECTORS, n = 1 + rig_random(&m->seed) % 100;
	struct req q;
	int err;

	n = min(n, SECTORS - first);
	m->last++;
	for (uint64_t i = 0; i < n; i++) {
		struct versions *v = &m->sector[first + i];

		assert_in_range(v->n, 0, VERSIONS - 1);
		v->written[v->n++] = m->last;
		for (unsigned k = 0; k < BLOCK / 8; k++)
			m->data[i * (BLOCK / 8) + k] = (first + i) << 32 | m->last;
	}
	err = rig_do(g, &q, STORE_WRITE, flags, first * BLOCK, n * BLOCK, m->data);
	for (uint64_t i = 0; i < n && !err && flags & STORE_FUA; i++)
		m->sector[first + i].stable = m->last;
}

static void stamp_flush(struct rig *g, struct stamps *m)
{
	struct req q;

	if (rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL))
		return;
	for (uint64_t i = 0; i < SECTORS; i++)
		if (m->sector[i].n)
			m->sector[i].stable = m->sector[i].written[m->sector[i].n - 1];
}

static void stamp_all(struct rig *g, struct stamps *m, unsigned requests)
{
	for (unsigned i = 0; i < requests; i++) {
		uint64_t dice = rig_random(&m->seed) % 24;

		if (!dice)
			stamp_flush(g, m);
		else
			stamp_write(g, m, dice < 3 ? STORE_FUA : 0);
	}
}

static void check_sector(struct stamps *m, uint64_t i, const uint64_t *data)
{
	const struct versions *v = &m->sector[i];
	uint32_t number = (uint32_t)data[0];
	bool known = !number;

	for (unsigned k = 1; k < BLOCK / 8; k++)
		if (data[k] != data[0])
			fail_msg("sector %llu is torn", (unsigned long long)i);
	if (number && data[0] >> 32 != i)
		fail_msg("sector %llu has another's data", (unsigned long long)i);
	for (unsigned k = 0; k < v->n; k++)
		known |= v->written[k] == number;
	if (!known || number < v->stable)
		fail_msg("seed %llu: sector %llu has version %u, but %u was stable",
			 (unsigned long long)m->seed, (unsigned long long)i, number, v->stable);
	m->lost += v->n && v->written[v->n - 1] != number;
}

static void stamps_check(struct rig *g, struct stamps *m)
{
	uint64_t *all = rig_memory(SIZE);

	suite_ok(g, STORE_READ, 0, 0, SIZE, all);
	for (uint64_t i = 0; i < SECTORS; i++)
		check_sector(m, i, all + i * (BLOCK / 8));
	free(all);
}

static struct stamps stamps_new(struct rig *g, uint64_t seed)
{
	suite_ok(g, STORE_ZERO, STORE_FUA, 0, SIZE, NULL);
	return (struct stamps){ .sector = rig_memory(SECTORS * sizeof(struct versions)),
				.data = rig_memory(KIB(64)),
				.seed = seed };
}

static void stamps_free(struct stamps *m)
{
	free(m->sector);
	free(m->data);
}

static void what_is_stable_survives_a_power_cut_of_a_layer_over_it(void **state)
{
	struct rig *g = *state;
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < 6; seed++) {
		char prefix[64];
		struct stamps m = stamps_new(g, seed);

		rig_close(g);
		snprintf(prefix, sizeof(prefix), "volatile:memory=%s,cut_after=%u+",
			 seed % 2 ? "4M" : "64K", 20 + (unsigned)seed * 17);
		suite_reopen(g, prefix);
		stamp_all(g, &m, 120);
		rig_close(g);
		suite_reopen(g, NULL);
		stamps_check(g, &m);
		lost += m.lost;
		stamps_free(&m);
	}
	assert_true(lost);
}

static void what_is_stable_survives_a_power_cut_of_the_medium(void **state)
{
	for (uint64_t seed = 0; seed < 12; seed++) {
		struct rig *g = *state;
		struct stamps m;

		sim_reseed(seed);
		m = stamps_new(g, seed);
		stamp_all(g, &m, 30 + (unsigned)seed * 5);
		kind->medium->cut(kind_path);
		rig_close(g);
		suite_reopen(g, NULL);
		stamps_check(g, &m);
		stamps_free(&m);
		suite_end(state);
		suite_one(state);
	}
}

const struct suite_test suite_life[] = {
	{ SUITE_TEST(several_reactors_use_it_at_the_same_time, suite_two), 0, READS },
	{ SUITE_TEST(what_is_cancelled_ends_once, suite_one), 0, 0 },
	{ SUITE_TEST(closing_waits_for_what_is_in_flight, suite_one), 0, 0 },
	{ SUITE_TEST(a_failed_opening_leaves_nothing_behind, suite_one), 0, 0 },
	{ SUITE_TEST(data_is_there_after_opening_again, suite_one), STAYS, 0 },
	{ SUITE_TEST(what_is_stable_survives_a_power_cut_of_a_layer_over_it, suite_one),
	  KEEPS | STAYS, READS | TALL | FORGETS },
	{ SUITE_TEST(what_is_stable_survives_a_power_cut_of_the_medium, suite_one), KEEPS, READS,
	  true },
	{ { NULL }, 0, 0, false },
};
