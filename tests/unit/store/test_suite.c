/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every store must do, written once against the interface. Arguments: the
 * engine, the kind of store (file, direct, sync, loop, mem, null, nullhome, delay) and
 * "holes" for what only those do that keep account of them.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "../temp.h"

#define SIZE MIB(4)
#define BLOCK 512u
#define WRITE_MAX KIB(300)

static const struct engine *engine;
static const char *kind;
static int loop_fd = -1;
static char loop_path[32];

static bool is(const char *name)
{
	return !strcmp(kind, name);
}

static bool keeps_data(void)
{
	return !is("null") && !is("nullhome");
}

/* The others say mapped, or not, of everything. */
static bool has_holes(void)
{
	return keeps_data() && !is("loop");
}

/* ---- set-up ---- */

/* A loop device over @path that goes away with its last user. False if this host gives none. */
static bool loop_attach(const char *path, const char **why)
{
	struct loop_config c = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	*why = "no /dev/loop-control for this user";
	if (ctl < 0)
		return false;
	*why = "no free loop device";
	c.fd = (unsigned)open(path, O_RDWR | O_CLOEXEC);
	for (int tries = 0; tries < 100 && loop_fd < 0; tries++) {
		int n = ioctl(ctl, LOOP_CTL_GET_FREE);

		if (n < 0)
			break;
		snprintf(loop_path, sizeof(loop_path), "/dev/loop%d", n);
		loop_fd = open(loop_path, O_RDWR | O_CLOEXEC);
		if (loop_fd >= 0 && ioctl(loop_fd, LOOP_CONFIGURE, &c)) {
			close(loop_fd);
			loop_fd = -1;
		}
	}
	close((int)c.fd);
	close(ctl);
	return loop_fd >= 0;
}

static bool loop_works(const char **why)
{
	char path[TEMP_PATH_MAX];
	int fd = mkstemp(temp_path(path, "loop"));
	bool ok = fd >= 0 && !ftruncate(fd, 1 << 20) && loop_attach(path, why);

	unlink(path);
	close(fd);
	close(loop_fd);
	loop_fd = -1;
	return ok;
}

static struct store_spec spec_of(struct rig *g)
{
	struct store_spec p = { .type = kind, .block_size = BLOCK };

	if (is("file") || is("direct") || is("sync")) {
		p.type = "file";
		p.path = rig_file(g, "disk", SIZE);
		p.oflags = is("file") ? NULL : kind;
	} else if (is("loop")) {
		p.type = "file";
		p.path = loop_path;
	} else {
		p.opts = is("delay") ? "size=4M;delay_us=50" : "size=4M";
	}
	return p;
}

static int set_up(void **state)
{
	struct rig *g = malloc(sizeof(*g));
	struct store_spec p;
	const char *why;

	rig_init(g, engine, is("nullhome"));
	*state = g;
	if (is("loop") && !loop_attach(rig_file(g, "disk", SIZE), &why)) {
		fprintf(stderr, "# %s\n", why);
		return -1;
	}
	p = spec_of(g);
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
	return 0;
}

static int tear_down(void **state)
{
	struct rig *g = *state;

	rig_fini(g);
	free(g);
	if (loop_fd >= 0)
		close(loop_fd);
	loop_fd = -1;
	return 0;
}

/* ---- helpers ---- */

static void fill(unsigned char *p, size_t n, uint64_t *seed)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = rig_random(seed) | 1;

		memcpy(p + i, &v, 8);
	}
}

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
	struct req q;

	memset(m->got, 0xee, SIZE);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, SIZE, m->got), 0);
	assert_memory_equal(m->got, m->want, SIZE);
}

static void model_write(struct rig *g, struct model *m, uint32_t flags)
{
	struct iovec v[40];
	struct req q;
	uint64_t off, len;

	random_range(m, &off, &len);
	fill(m->got, len, &m->seed);
	rig_fill(&q, STORE_WRITE, flags, off, len, m->got);
	q.io.iovcnt = segments(v, array_size(v), m->got, len, m->unit, &m->seed);
	q.io.iov = v;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, 0);
	if (keeps_data())
		memcpy(m->want + off, m->got, len);
}

static void model_zero(struct rig *g, struct model *m, uint32_t flags)
{
	struct req q;
	uint64_t off, len;

	random_range(m, &off, &len);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, flags, off, len, NULL), 0);
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
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, flags, off, len, NULL), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, off, len, m->got), 0);
	for (uint64_t i = 0; i < len; i += BLOCK)
		if (memcmp(m->got + i, m->want + off + i, BLOCK))
			assert_memory_equal(m->got + i, zero, BLOCK);
	memcpy(m->want + off, m->got, len);
}

static void model_read(struct rig *g, struct model *m)
{
	struct iovec v[40];
	struct req q;
	uint64_t off, len;

	random_range(m, &off, &len);
	memset(m->got, 0xee, len);
	rig_fill(&q, STORE_READ, 0, off, len, m->got);
	q.io.iovcnt = segments(v, array_size(v), m->got, len, m->unit, &m->seed);
	q.io.iov = v;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, 0);
	assert_memory_equal(m->got, m->want + off, len);
}

/* ---- tests ---- */

static void random_requests_agree_with_a_model(void **state)
{
	struct rig *g = *state;
	struct model m = { rig_memory(SIZE), rig_memory(SIZE), 42,
			   max(store_limits(g->s)->mem_align, BLOCK) };

	for (int i = 0; i < 300; i++) {
		uint64_t dice = rig_random(&m.seed) % 16;
		uint32_t fua = rig_random(&m.seed) % 8 ? 0 : STORE_FUA;

		if (dice < 6)
			model_write(g, &m, fua);
		else if (dice < 8)
			model_zero(g, &m, fua);
		else if (dice < 9)
			model_zero(g, &m, fua | STORE_MAY_UNMAP);
		else if (dice < 10)
			model_discard(g, &m, fua);
		else
			model_read(g, &m);
	}
	check_all(g, &m);
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

	fill(data, N * LEN, &seed);
	for (int i = 0; i < N; i++) {
		rig_fill(&q[i], STORE_WRITE, 0, (uint64_t)i * LEN, LEN, data + i * LEN);
		rig_submit(g, &q[i]);
	}
	assert_int_equal(store_inflight(g->s), N);
	for (int i = 0; i < N; i++)
		rig_wait(g, &q[i]);
	assert_int_equal(store_inflight(g->s), 0);
	for (int i = 0; i < N; i++) {
		rig_fill(&q[i], STORE_READ, 0, (uint64_t)i * LEN, LEN, back + i * LEN);
		rig_submit(g, &q[i]);
	}
	for (int i = 0; i < N; i++) {
		rig_wait(g, &q[i]);
		assert_int_equal(q[i].io.err, 0);
	}
	if (keeps_data())
		assert_memory_equal(data, back, N * LEN);
	free(q);
	free(data);
	free(back);
}

static void a_flush_ends_well(void **state)
{
	struct req q;

	assert_int_equal(rig_do(*state, &q, STORE_FLUSH, 0, 0, 0, NULL), 0);
}

static void a_request_of_no_bytes_ends_well(void **state)
{
	struct req q;

	assert_int_equal(rig_do(*state, &q, STORE_READ, 0, SIZE, 0, NULL), 0);
	assert_int_equal(rig_do(*state, &q, STORE_WRITE, STORE_FUA, 0, 0, NULL), 0);
	assert_int_equal(rig_do(*state, &q, STORE_ZERO, 0, 0, 0, NULL), 0);
}

static void what_is_out_of_bounds_is_refused(void **state)
{
	unsigned char *p = rig_memory(4096);
	struct req q;

	assert_int_equal(rig_do(*state, &q, STORE_READ, 0, SIZE, 512, p), -EINVAL);
	assert_true(q.io.where == SIZE);
	assert_int_equal(rig_do(*state, &q, STORE_WRITE, 0, SIZE - 512, 1024, p), -EINVAL);
	assert_int_equal(rig_do(*state, &q, STORE_READ, 0, UINT64_MAX - 511, 512, p), -EINVAL);
	assert_int_equal(rig_do(*state, &q, STORE_ZERO, 0, 512, UINT64_MAX - 511, NULL), -EINVAL);
	assert_int_equal(rig_do(*state, &q, STORE_EXTENTS, 0, SIZE, 0, NULL), -EINVAL);
	free(p);
}

static void extents_cover_the_store_and_holes_read_as_zeroes(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(KIB(128)), *all = rig_memory(SIZE);
	uint64_t off = 0, seed = 9;
	unsigned kinds[2] = { 0, 0 };
	struct req q;

	fill(p, KIB(128), &seed);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, MIB(1), KIB(128), p), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, SIZE, all), 0);
	while (off < SIZE) {
		struct store_extent *x = &q.io.extent;

		assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, off, 0, NULL), 0);
		assert_in_range(x->length, 1, SIZE - off);
		assert_int_equal(x->length % BLOCK, 0);
		kinds[x->mapped]++;
		for (uint64_t i = 0; !x->mapped && i < x->length; i++)
			assert_int_equal(all[off + i], 0);
		if (keeps_data() && off <= MIB(1) && off + x->length > MIB(1))
			assert_true(x->mapped);
		off += x->length;
	}
	assert_int_equal(off, SIZE);
	if (has_holes())
		assert_true(kinds[0] && kinds[1]);
	free(p);
	free(all);
}

static void what_is_unmapped_becomes_a_hole(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(MIB(1));
	struct req q;

	memset(p, 1, MIB(1));
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, MIB(1), p), 0);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, KIB(64), KIB(128), NULL), 0);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, KIB(64), 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, KIB(128));
	assert_int_equal(rig_do(g, &q, STORE_ZERO, STORE_MAY_UNMAP, KIB(256), KIB(128), NULL), 0);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, KIB(256), 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, KIB(128));
	free(p);
}

static void a_read_only_store_reads_and_refuses_to_change(void **state)
{
	struct rig *g = *state;
	struct store_spec p;
	unsigned char *data = rig_memory(4096);
	struct req q;

	rig_close(g);
	p = spec_of(g);
	p.readonly = true;
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
	assert_true(store_limits(g->s)->readonly);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 4096, data), 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, 0, 4096, NULL), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 0, 4096, NULL), -EROFS);
	assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), 0);
	free(data);
}

static void closing_waits_for_what_is_in_flight(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(4096);
	struct req q;

	rig_fill(&q, STORE_WRITE, 0, 0, 4096, p);
	rig_submit(g, &q);
	rig_close(g);
	assert_int_equal(q.done, 1);
	assert_false(q.done_in_submit);
	free(p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(random_requests_agree_with_a_model),
		T(many_requests_in_flight_all_end_well),
		T(a_flush_ends_well),
		T(a_request_of_no_bytes_ends_well),
		T(what_is_out_of_bounds_is_refused),
		T(extents_cover_the_store_and_holes_read_as_zeroes),
		T(a_read_only_store_reads_and_refuses_to_change),
		T(closing_waits_for_what_is_in_flight),
	};
	const struct CMUnitTest hole_tests[] = {
		T(what_is_unmapped_becomes_a_hole),
	};
	const char *why;
	int rc;

	engine = rig_engine(argc, argv);
	kind = argc > 2 ? argv[2] : "mem";
	if (is("loop") && !loop_works(&why)) {
		printf("1..0 # SKIP %s\n", why);
		return 0;
	}
	if (argc > 3)
		rc = cmocka_run_group_tests_name(kind, hole_tests, NULL, NULL);
	else
		rc = cmocka_run_group_tests_name(kind, tests, NULL, NULL);
	offload_shutdown();
	return rc;
}
