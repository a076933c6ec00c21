/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and devices that have their limits: flags, sizes, bad blocks, full file systems. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "media.h"
#include "reactor/internal.h"

static const struct engine *engine;

static int set_up(void **state)
{
	*state = malloc(sizeof(struct rig));
	rig_init(*state, engine, false);
	return 0;
}

static int tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static struct store_spec spec_of(const char *path)
{
	return (struct store_spec){ .type = "file", .path = path, .block_size = 512 };
}

static void must_open(struct rig *g, const struct store_spec *p)
{
	if (rig_open(g, p, NULL))
		fail_msg("%s", g->err.text);
}

struct resizing {
	struct store_resize r;
	unsigned done;
};

static void resized(struct store_resize *r)
{
	container_of(r, struct resizing, r)->done = 1;
}

/* The error's text, "" if it went well; valid until the next call. */
static const char *resize(struct rig *g, uint64_t size)
{
	static struct resizing z;

	z = (struct resizing){ .r = { .size = size, .done = resized } };
	store_resize(g->r, g->s, &z.r);
	rig_until(g, &z.done);
	return z.r.err.code ? z.r.err.text : "";
}

/* ---- flags ---- */

static void every_combination_of_flags_keeps_data(void **state)
{
	static const char *const flags[] = { "sync",	    "dsync",	    "direct",
					     "sync:dsync",  "sync:direct",  "dsync:direct",
					     "direct:sync", "direct:dsync", "sync:dsync:direct" };
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(4)));
	unsigned char *data = rig_memory(MIB(2)), *back = rig_memory(MIB(2));
	struct req q;

	p.block_size = 4096;
	for (size_t i = 0; i < array_size(flags); i++) {
		uint32_t fua = i % 2 ? STORE_FUA : 0;

		p.oflags = flags[i];
		must_open(g, &p);
		memset(data, (int)i + 1, MIB(2));
		assert_int_equal(rig_do(g, &q, STORE_WRITE, fua, MIB(1), MIB(2), data), 0);
		assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), 0);
		assert_int_equal(rig_do(g, &q, STORE_ZERO, fua, MIB(1), 4096, NULL), 0);
		memset(data, 0, 4096);
		assert_int_equal(rig_do(g, &q, STORE_READ, 0, MIB(1), MIB(2), back), 0);
		assert_memory_equal(back, data, MIB(2));
		rig_close(g);
	}
	free(data);
	free(back);
}

/* ---- devices ---- */

static void a_device_keeps_its_size_and_tells_its_limits(void **state)
{
	struct rig *g = *state;
	char name[32];
	struct store_spec p = spec_of(name);
	int fd = media_loop(rig_file(g, "disk", MIB(8)), name);

	if (fd < 0)
		skip();
	must_open(g, &p);
	assert_int_equal(store_limits(g->s)->block, 512);
	assert_in_range(store_limits(g->s)->physical, 512, 4096);
	assert_non_null(strstr(resize(g, MIB(4)), "is a device, whose size cannot be set here"));
	assert_string_equal(resize(g, 0), "");
	assert_true(store_size(g->s) == MIB(8));
	rig_close(g);
	close(fd);
}

static void a_device_that_grew_is_noticed(void **state)
{
	struct rig *g = *state;
	const char *path = rig_file(g, "disk", MIB(8));
	char name[32];
	struct store_spec p = spec_of(name);
	int fd = media_loop(path, name);

	if (fd < 0)
		skip();
	must_open(g, &p);
	assert_int_equal(truncate(path, MIB(16)), 0);
	assert_int_equal(ioctl(fd, LOOP_SET_CAPACITY, 0), 0);
	assert_string_equal(resize(g, 0), "");
	assert_true(store_size(g->s) == MIB(16));
	rig_close(g);
	close(fd);
}

static void a_device_in_use_is_told_by_whom(void **state)
{
	struct rig *g = *state, other;
	char name[32];
	struct store_spec p = spec_of(name);
	int fd = media_loop(rig_file(g, "disk", MIB(8)), name);

	if (fd < 0)
		skip();
	must_open(g, &p);
	rig_init(&other, engine, false);
	rig_refused(&other, &p, -EBUSY, "is in use by another unit of this daemon, as /dev/loop");
	rig_fini(&other);
	rig_close(g);
	close(fd);
}

static void a_mounted_device_is_told_with_its_place(void **state)
{
	struct rig *g = *state;
	char image[256], dir[256], name[64] = "", want[400];
	struct store_spec p = spec_of(name);
	struct stat st;

	snprintf(image, sizeof(image), "%s", rig_file(g, "image", MIB(16)));
	snprintf(dir, sizeof(dir), "%s/mnt", g->dir);
	if (!media_mount("ext4", image, dir))
		skip();
	assert_int_equal(stat(dir, &st), 0);
	snprintf(name, sizeof(name), "/dev/loop%u", minor(st.st_dev));
	snprintf(want, sizeof(want), "is in use: it is mounted on %s; unmount it first", dir);
	rig_refused(g, &p, -EBUSY, want);
	umount2(dir, MNT_DETACH);
}

/* Blocks that were never written have no place in a full file system; those that were stay writable. */
static void a_full_disk_loses_nothing_that_is_there(void **state)
{
	struct rig *g = *state;
	char image[256], dir[256], path[300];
	struct store_spec p = spec_of(path);
	unsigned char *data = rig_memory(MIB(1)), *back = rig_memory(MIB(1));
	uint64_t good = 0;
	struct req q;
	int fd;

	snprintf(image, sizeof(image), "%s", rig_file(g, "image", MIB(16)));
	snprintf(dir, sizeof(dir), "%s/mnt", g->dir);
	if (!media_mount("ext4", image, dir)) {
		free(data);
		free(back);
		skip();
	}
	snprintf(path, sizeof(path), "%s/disk", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, MIB(64)), 0);
	close(fd);
	must_open(g, &p);
	memset(data, 0x77, MIB(1));
	while (!rig_do(g, &q, STORE_WRITE, STORE_FUA, good, MIB(1), data))
		good += MIB(1);
	assert_int_equal(q.io.err, -ENOSPC);
	assert_in_range(q.io.where, good, good + MIB(1) - 1);
	assert_false(store_has_error(g->s));
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 0, MIB(1), data), 0);
	for (uint64_t off = 0; off < good; off += MIB(1)) {
		assert_int_equal(rig_do(g, &q, STORE_READ, 0, off, MIB(1), back), 0);
		assert_memory_equal(back, data, MIB(1));
	}
	rig_close(g);
	umount2(dir, MNT_DETACH);
	free(data);
	free(back);
}

/* ---- a device with a bad block ---- */

static struct engine bad;
static uint64_t bad_at;
static int bad_says;
static unsigned bad_reads;

/* It says that it cannot, not where. */
static void bad_submit(struct reactor *r, struct io_op *op)
{
	uint64_t len = 0;

	for (unsigned i = 0; op->verb == IO_PREADV && i < op->iovcnt; i++)
		len += op->iov[i].iov_len;
	bad_reads += op->verb == IO_PREADV;
	if (len && op->offset <= bad_at && bad_at < op->offset + len)
		io_complete(r, op, bad_says);
	else if (engine->submit)
		engine->submit(r, op);
}

static int set_up_bad(void **state)
{
	bad = *engine;
	bad.submit = bad_submit;
	bad_reads = 0;
	bad_says = -EIO;
	*state = malloc(sizeof(struct rig));
	rig_init(*state, &bad, false);
	return 0;
}

static void a_direct_read_finds_the_block_that_fails(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(1)));
	unsigned char *data = rig_memory(KIB(256));
	struct iovec v[8];
	struct req q;

	p.oflags = "direct";
	p.block_size = 4096;
	must_open(g, &p);
	for (bad_at = KIB(128); bad_at < KIB(384); bad_at += KIB(12)) {
		bad_reads = 0;
		rig_fill(&q, STORE_READ, 0, KIB(128), KIB(256), data);
		for (int i = 0; i < 8; i++)
			v[i] = (struct iovec){ data + KIB(32) * i, KIB(32) };
		q.io.iov = v;
		q.io.iovcnt = 8;
		rig_submit(g, &q);
		rig_wait(g, &q);
		assert_int_equal(q.io.err, -EIO);
		assert_true(q.io.where == bad_at);
		assert_in_range(bad_reads, 1, 24);
	}
	bad_at = MIB(1);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, KIB(128), KIB(256), data), 0);
	free(data);
}

static void what_a_device_says_becomes_a_medium_error_or_a_lost_device(void **state)
{
	static const int medium[] = { -ENODATA, -EREMOTEIO, -EILSEQ, -EBADMSG, -ENOLINK };
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(1)));
	unsigned char *data = rig_memory(4096);
	struct req q;

	p.oflags = "direct";
	p.block_size = 4096;
	bad_at = 0;
	must_open(g, &p);
	for (size_t i = 0; i < array_size(medium); i++) {
		bad_says = medium[i];
		assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 4096, data), -EIO);
	}
	bad_says = -ENXIO;
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 4096, data), -ENODEV);
	free(data);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define B(name) cmocka_unit_test_setup_teardown(name, set_up_bad, tear_down)
	const struct CMUnitTest tests[] = {
		T(every_combination_of_flags_keeps_data),
		T(a_device_keeps_its_size_and_tells_its_limits),
		T(a_device_that_grew_is_noticed),
		T(a_device_in_use_is_told_by_whom),
		T(a_mounted_device_is_told_with_its_place),
		T(a_full_disk_loses_nothing_that_is_there),
		B(a_direct_read_finds_the_block_that_fails),
		B(what_a_device_says_becomes_a_medium_error_or_a_lost_device),
	};
	int rc;

	engine = rig_engine(argc, argv);
	log_set_level(LOG_LEVEL_ERR);
	media_private();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	offload_shutdown();
	return rc;
}
