/* SPDX-License-Identifier: BSD-2-Clause */
/* COPY between files without the data passing here. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "media.h"

#define SIZE MIB(4)

static const struct engine *engine;
static struct rig other; /* the source, where there are two stores */
static unsigned char *want, *got;

static int set_up(void **state)
{
	uint64_t seed = 5;

	*state = malloc(sizeof(struct rig));
	rig_init(*state, engine, false);
	other = (struct rig){ 0 };
	want = rig_memory(SIZE);
	got = rig_memory(SIZE);
	for (size_t i = 0; i < SIZE; i += 8)
		*(uint64_t *)(void *)(want + i) = rig_random(&seed);
	return 0;
}

static int tear_down(void **state)
{
	struct rig *g = *state;

	if (other.s) {
		/* opened by g's reactor */
		struct store *s = g->s;

		g->s = other.s;
		rig_close(g);
		g->s = s;
	}
	rig_fini(g);
	free(g);
	free(want);
	free(got);
	return 0;
}

/* Open @path, full of what is in @want; the store. */
static struct store *open_full(struct rig *g, const char *type, const char *path)
{
	struct store_spec p = { .type = type, .path = path, .block_size = 512 };
	struct req q;

	if (!path)
		p.opts = "size=4M";
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, SIZE, want), 0);
	return g->s;
}

static int copy(struct rig *g, struct req *q, struct store *from, uint64_t src, uint64_t dst,
		uint64_t len, uint32_t flags)
{
	rig_fill(q, STORE_COPY, flags, dst, len, NULL);
	q->io.from = from;
	q->io.from_offset = src;
	rig_submit(g, q);
	rig_wait(g, q);
	return q->io.err;
}

static void check(struct rig *g)
{
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, SIZE, got), 0);
	assert_memory_equal(got, want, SIZE);
}

/* A source with the bytes of @want in another order in other.s, the destination in g->s. */
static void two(struct rig *g, const char *a, const char *b)
{
	memmove(want, want + 512, SIZE - 512);
	other.s = open_full(g, "file", a);
	g->s = NULL;
	for (size_t i = 0; i < SIZE; i += 512)
		want[i] ^= 0x55;
	open_full(g, "file", b);
}

static void want_copied(uint64_t src, uint64_t dst, uint64_t len)
{
	memmove(want + dst, want + src, len);
	for (uint64_t i = dst; i < dst + len; i++)
		if ((src + (i - dst)) % 512 == 0)
			want[i] ^= 0x55; /* what the source has there */
}

/* ---- tests ---- */

static void data_goes_from_file_to_file(void **state)
{
	struct rig *g = *state;
	char a[256], b[256];
	struct req q;

	snprintf(a, sizeof(a), "%s", rig_file(g, "a", SIZE));
	snprintf(b, sizeof(b), "%s", rig_file(g, "b", SIZE));
	two(g, a, b);
	assert_int_equal(store_limits(g->s)->cap[STORE_COPY], STORE_CAP_NATIVE);
	assert_int_equal(copy(g, &q, other.s, 512, KIB(100), KIB(700), STORE_FUA), 0);
	want_copied(512, KIB(100), KIB(700));
	check(g);
}

static void data_goes_within_a_file(void **state)
{
	struct rig *g = *state;
	struct req q;

	open_full(g, "file", rig_file(g, "disk", SIZE));
	assert_int_equal(copy(g, &q, g->s, 0, MIB(2), MIB(1), 0), 0);
	memcpy(want + MIB(2), want, MIB(1));
	check(g);
	assert_int_equal(copy(g, &q, g->s, KIB(4), KIB(4), MIB(1), 0), 0);
	check(g);
}

static void ranges_that_overlap_are_moved(void **state)
{
	static const uint64_t at[][2] = { { 0, KIB(64) },
					  { KIB(64), 0 },
					  { KIB(100), KIB(900) },
					  { KIB(900), KIB(100) },
					  { 512, KIB(65) } };
	struct rig *g = *state;
	struct req q;

	open_full(g, "file", rig_file(g, "disk", SIZE));
	for (size_t i = 0; i < array_size(at); i++) {
		assert_int_equal(copy(g, &q, g->s, at[i][0], at[i][1], MIB(2), 0), 0);
		memmove(want + at[i][1], want + at[i][0], MIB(2));
		check(g);
	}
	/* by less than a piece: the caller moves it, and finds it as it was */
	assert_int_equal(copy(g, &q, g->s, 0, 512, MIB(1), 0), -EOPNOTSUPP);
	check(g);
}

static void what_is_no_file_is_left_to_the_caller(void **state)
{
	struct rig *g = *state;
	struct req q;

	other.s = open_full(g, "mem", NULL);
	g->s = NULL;
	open_full(g, "file", rig_file(g, "disk", SIZE));
	assert_int_equal(copy(g, &q, other.s, 0, 0, 4096, 0), -EOPNOTSUPP);
	check(g);
}

static void another_file_system_is_left_to_the_caller_or_copied(void **state)
{
	struct rig *g = *state;
	int fd = memfd_create("disk", MFD_CLOEXEC), err;
	char a[64], b[256];
	struct req q;

	assert_int_equal(ftruncate(fd, SIZE), 0);
	snprintf(a, sizeof(a), "/proc/self/fd/%d", fd);
	snprintf(b, sizeof(b), "%s", rig_file(g, "b", SIZE));
	two(g, a, b);
	err = copy(g, &q, other.s, 0, KIB(64), KIB(64), 0);
	if (!err)
		want_copied(0, KIB(64), KIB(64));
	else
		assert_int_equal(err, -EOPNOTSUPP);
	check(g);
	close(fd);
}

static void a_source_that_was_cut_is_a_medium_error(void **state)
{
	struct rig *g = *state;
	char a[256], b[256];
	struct req q;

	snprintf(a, sizeof(a), "%s", rig_file(g, "a", SIZE));
	snprintf(b, sizeof(b), "%s", rig_file(g, "b", SIZE));
	two(g, a, b);
	assert_int_equal(truncate(a, 0), 0);
	assert_int_equal(copy(g, &q, other.s, MIB(1), MIB(1), KIB(64), 0), -EIO);
	assert_true(q.io.where == MIB(1));
	check(g);
}

static void blocks_are_shared_where_the_file_system_can(void **state)
{
	struct rig *g = *state;
	char image[256], dir[256], a[300], b[300];
	struct statvfs before, after;
	struct req q;

	snprintf(image, sizeof(image), "%s", rig_file(g, "image", MIB(512)));
	snprintf(dir, sizeof(dir), "%s/mnt", g->dir);
	if (!media_mount("xfs", image, dir))
		skip();
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	close(open(a, O_RDWR | O_CREAT, 0600));
	close(open(b, O_RDWR | O_CREAT, 0600));
	assert_int_equal(truncate(a, SIZE), 0);
	assert_int_equal(truncate(b, SIZE), 0);
	two(g, a, b);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, STORE_FUA, 0, MIB(2), NULL), 0);
	sync();
	assert_int_equal(statvfs(dir, &before), 0);
	assert_int_equal(copy(g, &q, other.s, 0, 0, MIB(2), STORE_FUA), 0);
	sync();
	assert_int_equal(statvfs(dir, &after), 0);
	assert_in_range((before.f_bfree - after.f_bfree) * before.f_bsize, 0, KIB(256));
	want_copied(0, 0, MIB(2));
	check(g);
	umount2(dir, MNT_DETACH);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(data_goes_from_file_to_file),
		T(data_goes_within_a_file),
		T(ranges_that_overlap_are_moved),
		T(what_is_no_file_is_left_to_the_caller),
		T(another_file_system_is_left_to_the_caller_or_copied),
		T(a_source_that_was_cut_is_a_medium_error),
		T(blocks_are_shared_where_the_file_system_can),
	};
	int rc;

	engine = rig_engine(argc, argv);
	log_set_level(LOG_LEVEL_ERR);
	media_private();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	offload_shutdown();
	return rc;
}
