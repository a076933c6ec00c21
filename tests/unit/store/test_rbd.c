/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rbd store through the store interface, over a cluster that tests/e2e/rbd.py started. Arguments:
 * the engine. Environment: STGT_RBD_CONF, the cluster's configuration; STGT_STORES, where the plugin
 * is. The pool rbd has the images api (fast-diff), plain (no exclusive lock) and child-ENGINE, an unused clone.
 */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define OBJECT MIB(4)
#define BLOCK 512u

static const struct engine *engine;
static char options[512], child[32];

struct fixture {
	struct rig g;
	uint8_t *data, *back;
};

#define ROOM MIB(1)

static struct store_spec spec_of(const char *path)
{
	return (struct store_spec){
		.type = "rbd", .path = path, .opts = options, .block_size = BLOCK
	};
}

static void must_open(struct fixture *f, const char *path)
{
	struct store_spec p = spec_of(path);

	if (rig_open(&f->g, &p, NULL))
		fail_msg("%s", f->g.err.text);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	rig_init(&f->g, engine, false);
	f->data = rig_memory(ROOM);
	f->back = rig_memory(ROOM);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rig_fini(&f->g);
	free(f->data);
	free(f->back);
	free(f);
	return 0;
}

static void fill(struct fixture *f, uint64_t seed)
{
	for (unsigned i = 0; i < ROOM; i += 8) {
		uint64_t r = rig_random(&seed);

		memcpy(f->data + i, &r, 8);
	}
}

static int go(struct fixture *f, enum store_verb v, uint32_t flags, uint64_t off, uint64_t len,
	      void *data)
{
	static struct req q;

	return rig_do(&f->g, &q, v, flags, off, len, data);
}

static void write_random(struct fixture *f, uint64_t off, uint64_t len, uint64_t seed)
{
	fill(f, seed);
	assert_int_equal(go(f, STORE_WRITE, 0, off, len, f->data), 0);
}

static void check_read(struct fixture *f, uint64_t off, uint64_t len, const uint8_t *want)
{
	memset(f->back, 0x5a, len);
	assert_int_equal(go(f, STORE_READ, 0, off, len, f->back), 0);
	assert_memory_equal(f->back, want, len);
}

/* ---- data ---- */

static void data_across_objects_is_read_back(void **state)
{
	struct fixture *f = *state;

	must_open(f, "api");
	write_random(f, OBJECT - KIB(300), KIB(600), 1);
	check_read(f, OBJECT - KIB(300), KIB(600), f->data);
	assert_int_equal(go(f, STORE_FLUSH, 0, 0, 0, NULL), 0);
}

static void it_has_no_volatile_cache(void **state)
{
	struct fixture *f = *state;

	must_open(f, "api");
	assert_true(store_limits(f->g.s)->write_through);
	assert_true(store_limits(f->g.s)->fua);
}

static void many_requests_in_flight_all_end(void **state)
{
	enum { N = 64 };
	struct fixture *f = *state;
	struct req *q = calloc(N, sizeof(*q));

	must_open(f, "api");
	fill(f, 2);
	for (unsigned i = 0; i < N; i++) {
		rig_fill(&q[i], STORE_WRITE, 0, MIB(16) + i * KIB(8), KIB(8), f->data + i * KIB(8));
		rig_submit(&f->g, &q[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		rig_wait(&f->g, &q[i]);
		assert_int_equal(q[i].io.err, 0);
	}
	check_read(f, MIB(16), N * KIB(8), f->data);
	free(q);
}

/* ---- zeroes ---- */

static void check_zeroed(struct fixture *f, enum store_verb v, uint32_t flags)
{
	uint64_t at = MIB(8) + KIB(4), len = KIB(12);

	must_open(f, "api");
	write_random(f, MIB(8), KIB(64), 3);
	assert_int_equal(go(f, v, flags, at, len, NULL), 0);
	memset(f->data + KIB(4), 0, len);
	check_read(f, MIB(8), KIB(64), f->data);
}

static void a_small_discard_leaves_zeroes_and_nothing_else(void **state)
{
	check_zeroed(*state, STORE_DISCARD, 0);
}

static void zeroing_with_unmap_leaves_zeroes(void **state)
{
	check_zeroed(*state, STORE_ZERO, STORE_MAY_UNMAP);
}

static void zeroing_without_unmap_leaves_zeroes(void **state)
{
	check_zeroed(*state, STORE_ZERO, 0);
}

static void what_is_zeroed_without_unmap_stays_allocated(void **state)
{
	struct fixture *f = *state;
	struct req q;

	must_open(f, "api");
	assert_int_equal(go(f, STORE_ZERO, STORE_MAY_UNMAP, MIB(24), OBJECT, NULL), 0);
	assert_int_equal(go(f, STORE_ZERO, 0, MIB(24), KIB(64), NULL), 0);
	assert_int_equal(rig_do(&f->g, &q, STORE_EXTENTS, 0, MIB(24), 0, NULL), 0);
	assert_true(q.io.extent.mapped);
}

static void a_clone_is_zeroed_over_its_parent(void **state)
{
	struct fixture *f = *state;

	must_open(f, child);
	memset(f->data, 'p', KIB(64)); /* the parent's */
	check_read(f, 0, KIB(64), f->data);
	assert_int_equal(go(f, STORE_ZERO, STORE_MAY_UNMAP, KIB(8), KIB(4), NULL), 0);
	memset(f->data + KIB(8), 0, KIB(4));
	check_read(f, 0, KIB(64), f->data);
}

/* ---- WRITE SAME ---- */

static void a_pattern_is_repeated(void **state)
{
	struct fixture *f = *state;
	struct req q;

	must_open(f, "api");
	fill(f, 4);
	rig_fill(&q, STORE_WRITE_SAME, 0, OBJECT - KIB(32), KIB(64), f->data);
	q.v[0].iov_len = BLOCK;
	rig_submit(&f->g, &q);
	rig_wait(&f->g, &q);
	assert_int_equal(q.io.err, 0);
	for (unsigned i = 1; i < KIB(64) / BLOCK; i++)
		memcpy(f->data + i * BLOCK, f->data, BLOCK);
	check_read(f, OBJECT - KIB(32), KIB(64), f->data);
}

static void a_pattern_of_zeroes_leaves_no_old_data(void **state)
{
	struct fixture *f = *state;
	struct req q;

	must_open(f, "api");
	write_random(f, MIB(12), KIB(32), 5);
	rig_fill(&q, STORE_WRITE_SAME, 0, MIB(12) + KIB(4), KIB(8), f->back);
	memset(f->back, 0, BLOCK);
	q.v[0].iov_len = BLOCK;
	rig_submit(&f->g, &q);
	rig_wait(&f->g, &q);
	assert_int_equal(q.io.err, 0);
	memset(f->data + KIB(4), 0, KIB(8));
	check_read(f, MIB(12), KIB(32), f->data);
}

/* ---- COMPARE AND WRITE ---- */

static int compare(struct fixture *f, struct req *q, uint64_t at, const uint8_t *old,
		   const uint8_t *new)
{
	static uint8_t both[2 * BLOCK];

	memcpy(both, old, BLOCK);
	memcpy(both + BLOCK, new, BLOCK);
	rig_fill(q, STORE_COMPARE_WRITE, 0, at, BLOCK, both);
	q->v[0].iov_len = 2 * BLOCK;
	rig_submit(&f->g, q);
	rig_wait(&f->g, q);
	return q->io.err;
}

static void equal_data_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct req q;

	must_open(f, "plain");
	write_random(f, MIB(8), KIB(4), 6);
	assert_int_equal(compare(f, &q, MIB(8) + BLOCK, f->data + BLOCK, f->data + KIB(8)), 0);
	memcpy(f->data + BLOCK, f->data + KIB(8), BLOCK);
	check_read(f, MIB(8), KIB(4), f->data);
}

static void a_difference_is_told_where_it_is(void **state)
{
	static const uint64_t at[] = { 0, BLOCK, KIB(4), MIB(8), MIB(8) + BLOCK, MIB(8) + KIB(4) };
	struct fixture *f = *state;
	uint8_t other[BLOCK];
	struct req q;

	must_open(f, "plain");
	for (unsigned i = 0; i < array_size(at); i++) {
		write_random(f, at[i], BLOCK, 7);
		memcpy(other, f->data, BLOCK);
		other[77] ^= 1;
		assert_int_equal(compare(f, &q, at[i], other, f->data + KIB(8)), -EILSEQ);
		assert_true(q.io.where == at[i] + 77);
		check_read(f, at[i], BLOCK, f->data);
	}
}

static void halves_in_pieces_are_compared_and_written(void **state)
{
	struct fixture *f = *state;
	struct iovec v[5];
	uint8_t *both;
	struct req q;

	must_open(f, "plain");
	write_random(f, KIB(64), BLOCK, 8);
	both = f->data; /* the first sector is the old one, what follows the new */
	v[0] = (struct iovec){ both, 100 };
	v[1] = (struct iovec){ both + 100, 300 };
	v[2] = (struct iovec){ both + 400, 200 }; /* of both */
	v[3] = (struct iovec){ both + 600, 1 };
	v[4] = (struct iovec){ both + 601, 2 * BLOCK - 601 };
	rig_fill(&q, STORE_COMPARE_WRITE, 0, KIB(64), BLOCK, both);
	q.io.iov = v;
	q.io.iovcnt = 5;
	rig_submit(&f->g, &q);
	rig_wait(&f->g, &q);
	assert_int_equal(q.io.err, 0);
	check_read(f, KIB(64), BLOCK, f->data + BLOCK);
}

static void blocks_of_4096_bytes_are_not_compared_natively(void **state)
{
	struct fixture *f = *state;
	struct store_spec p = spec_of("plain");

	p.block_size = 4096;
	assert_int_equal(rig_open(&f->g, &p, NULL), 0);
	assert_int_equal(store_limits(f->g.s)->max_compare, 0);
}

/* ---- extents ---- */

static void check_extent(struct fixture *f, uint64_t at, uint64_t len, bool is_mapped)
{
	struct req q;

	assert_int_equal(rig_do(&f->g, &q, STORE_EXTENTS, 0, at, 0, NULL), 0);
	assert_int_equal(q.io.extent.mapped, is_mapped);
	assert_true(q.io.extent.length == len);
}

static void holes_and_data_are_told_apart(void **state)
{
	struct fixture *f = *state;

	must_open(f, "api");
	assert_int_equal(go(f, STORE_ZERO, STORE_MAY_UNMAP, 0, store_size(f->g.s), NULL), 0);
	check_extent(f, 0, store_size(f->g.s), false);
	write_random(f, 2 * OBJECT + KIB(8), KIB(8), 9);
	check_extent(f, 0, 2 * OBJECT, false);
	check_extent(f, OBJECT + BLOCK, OBJECT - BLOCK, false);
	check_extent(f, 2 * OBJECT, OBJECT, true);
	check_extent(f, 3 * OBJECT, store_size(f->g.s) - 3 * OBJECT, false);
}

static void without_a_map_data_is_never_called_a_hole(void **state)
{
	struct fixture *f = *state;
	struct req q;

	must_open(f, "plain");
	write_random(f, OBJECT + KIB(8), KIB(8), 10);
	assert_int_equal(rig_do(&f->g, &q, STORE_EXTENTS, 0, OBJECT + KIB(8), 0, NULL), 0);
	assert_true(q.io.extent.mapped);
	assert_true(q.io.extent.length >= KIB(8));
}

/* ---- size ---- */

struct resizing {
	struct store_resize r;
	unsigned done;
};

static void resized(struct store_resize *r)
{
	container_of(r, struct resizing, r)->done = 1;
}

static int resize(struct fixture *f, uint64_t size)
{
	struct resizing z = { .r = { .size = size, .done = resized } };

	store_resize(f->g.r, f->g.s, &z.r);
	rig_until(&f->g, &z.done);
	return z.r.err.code;
}

static void it_grows_and_shrinks(void **state)
{
	struct fixture *f = *state;
	uint64_t size;

	must_open(f, "api");
	size = store_size(f->g.s);
	assert_int_equal(resize(f, size + OBJECT), 0);
	assert_true(store_size(f->g.s) == size + OBJECT);
	write_random(f, size, KIB(8), 11);
	check_read(f, size, KIB(8), f->data);
	assert_int_equal(resize(f, size), 0);
	assert_true(store_size(f->g.s) == size);
}

/* ---- refused ---- */

static void refused(struct fixture *f, const char *path, const char *opts, bool readonly, int code,
		    const char *text)
{
	struct store_spec p = spec_of(path);
	char all[1024];

	snprintf(all, sizeof(all), "%s%s%s", options, opts ? ";" : "", opts ? opts : "");
	p.opts = all;
	p.readonly = readonly;
	rig_refused(&f->g, &p, code, text);
}

static void names_that_cannot_be_are_refused(void **state)
{
	refused(*state, "a/b/c/d", NULL, false, -EINVAL, "too many parts");
	refused(*state, "/image", NULL, false, -EINVAL, "the pool in the path");
	refused(*state, "rbd//image", NULL, false, -EINVAL, "the namespace in the path");
	refused(*state, "rbd/", NULL, false, -EINVAL, "the image in the path");
	refused(*state, "api@", NULL, true, -EINVAL, "the snapshot in the path");
	refused(*state, "rbd/api", "pool=other", false, -EINVAL, "leave one of them out");
}

static void what_is_not_there_is_named_with_what_may_have_been_meant(void **state)
{
	refused(*state, "apu", NULL, false, -ENOENT, "no image 'apu': did you mean 'api'?");
	refused(*state, "rbx/api", NULL, false, -ENOENT, "no pool 'rbx': did you mean 'rbd'?");
	refused(*state, "rbd/apart/api", NULL, false, -ENOENT, "no namespace 'apart'");
	refused(*state, "api@snup", NULL, true, -ENOENT, "no snapshot 'snup': did you mean 'snap'?");
}

static void a_snapshot_is_served_read_only_only(void **state)
{
	refused(*state, "api@snap", NULL, false, -EROFS, "make the unit read-only");
}

static void options_are_checked(void **state)
{
	refused(*state, "api", "timeout=0", false, -EINVAL, "from 1 to");
	refused(*state, "api", "timeout=soon", false, -EINVAL, "is no number");
	refused(*state, "api", "tiemout=5", false, -EINVAL, "did you mean 'timeout'?");
}

int main(int argc, char **argv)
{
#define RBD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RBD_TEST(data_across_objects_is_read_back),
		RBD_TEST(it_has_no_volatile_cache),
		RBD_TEST(many_requests_in_flight_all_end),
		RBD_TEST(a_small_discard_leaves_zeroes_and_nothing_else),
		RBD_TEST(zeroing_with_unmap_leaves_zeroes),
		RBD_TEST(zeroing_without_unmap_leaves_zeroes),
		RBD_TEST(what_is_zeroed_without_unmap_stays_allocated),
		RBD_TEST(a_clone_is_zeroed_over_its_parent),
		RBD_TEST(a_pattern_is_repeated),
		RBD_TEST(a_pattern_of_zeroes_leaves_no_old_data),
		RBD_TEST(equal_data_is_replaced),
		RBD_TEST(a_difference_is_told_where_it_is),
		RBD_TEST(halves_in_pieces_are_compared_and_written),
		RBD_TEST(blocks_of_4096_bytes_are_not_compared_natively),
		RBD_TEST(holes_and_data_are_told_apart),
		RBD_TEST(without_a_map_data_is_never_called_a_hole),
		RBD_TEST(it_grows_and_shrinks),
		RBD_TEST(names_that_cannot_be_are_refused),
		RBD_TEST(what_is_not_there_is_named_with_what_may_have_been_meant),
		RBD_TEST(a_snapshot_is_served_read_only_only),
		RBD_TEST(options_are_checked),
	};
	const char *conf = getenv("STGT_RBD_CONF");

	engine = rig_engine(argc, argv);
	if (!conf) {
		printf("1..0 # SKIP STGT_RBD_CONF names no Ceph cluster\n");
		return 0;
	}
	snprintf(options, sizeof(options), "conf=%s", conf);
	snprintf(child, sizeof(child), "child-%s", argc > 1 ? argv[1] : "epoll");
	return cmocka_run_group_tests_name("rbd", tests, NULL, NULL);
}
