/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads out of a mapping: what is lent, when, for how long, and what becomes of a file that is cut.
 * Argument: the engine.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "media.h"
#include "reactor/bufpool.h"

#define SIZE MIB(4)
#define LEND STORE_MAY_LEND_MAPPING

static const struct engine *engine;
static char disk[256];
static unsigned char *data;

static int set_up(void **state)
{
	struct rig *g = malloc(sizeof(*g));
	struct store_spec p = { .type = "mmap", .path = disk, .block_size = 512 };
	uint64_t seed = 3;
	int fd;

	*state = g;
	rig_init(g, engine, false);
	snprintf(disk, sizeof(disk), "%s", rig_file(g, "disk", SIZE));
	data = rig_memory(SIZE);
	for (size_t i = 0; i < SIZE; i += 8)
		*(uint64_t *)(void *)(data + i) = rig_random(&seed);
	fd = open(disk, O_WRONLY);
	assert_int_equal(write(fd, data, SIZE), SIZE);
	close(fd);
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
	return 0;
}

static int tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	free(data);
	return 0;
}

/* Mappings of the file that this process has. */
static unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, disk) != NULL;
	fclose(f);
	return n;
}

/* Until there are @n only, and whoever took the others away has said so. */
static void wait_for_mappings(struct rig *g, unsigned n)
{
	struct offload_stats st;

	do {
		reactor_turn(g->r, NSEC_PER_MSEC);
		offload_get_stats(OFFLOAD_SLOW, &st);
	} while (mappings() != n || st.busy || st.queued);
	reactor_turn(g->r, 0);
}

/* What the kernel says who is told to send @len bytes of @p. */
static ssize_t send_it(const void *p, size_t len)
{
	int fd[2];
	ssize_t n;

	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	n = write(fd[1], p, len) < 0 ? -errno : (ssize_t)len;
	close(fd[0]);
	close(fd[1]);
	return n;
}

/* A read that may be lent; @back gets the bytes, however they came. True if they were lent. */
static bool read_any(struct rig *g, struct req *q, uint64_t off, size_t len, void *back)
{
	assert_int_equal(rig_do(g, q, STORE_READ, LEND, off, len, back), 0);
	if (!q->io.lent)
		return false;
	memcpy(back, q->io.lent_data, len);
	buf_put(q->io.lent);
	return true;
}

/* ---- lending ---- */

static void cached_data_is_lent(void **state)
{
	unsigned char *back = rig_memory(KIB(16));
	struct req q;

	for (uint64_t off = 0; off + KIB(16) <= SIZE; off += KIB(25)) {
		assert_true(read_any(*state, &q, off, KIB(16), back));
		assert_memory_equal(back, data + off, KIB(16));
	}
	assert_true(read_any(*state, &q, SIZE - 512, 512, back));
	assert_memory_equal(back, data + SIZE - 512, 512);
	free(back);
}

static void who_looks_at_the_data_gets_a_copy(void **state)
{
	unsigned char *back = rig_memory(4096);
	struct req q;

	assert_int_equal(rig_do(*state, &q, STORE_READ, 0, 4096, 4096, back), 0);
	assert_null(q.io.lent);
	assert_memory_equal(back, data + 4096, 4096);
	memset(back, 0, 4096);
	/* memory that never changes is what a mapping is not */
	assert_int_equal(rig_do(*state, &q, STORE_READ, STORE_MAY_LEND, 4096, 4096, back), 0);
	assert_null(q.io.lent);
	assert_memory_equal(back, data + 4096, 4096);
	free(back);
}

static void long_reads_are_copied(void **state)
{
	unsigned char *back = rig_memory(KIB(64));
	struct req q;

	assert_false(read_any(*state, &q, 0, KIB(64), back));
	assert_memory_equal(back, data, KIB(64));
	free(back);
}

static void what_is_written_is_lent_as_it_is_now(void **state)
{
	unsigned char *back = rig_memory(4096), *more = rig_memory(4096);
	struct req q;

	assert_true(read_any(*state, &q, 8192, 4096, back));
	memset(more, 0x5a, 4096);
	assert_int_equal(rig_do(*state, &q, STORE_WRITE, 0, 8192, 4096, more), 0);
	assert_true(read_any(*state, &q, 8192, 4096, back));
	assert_memory_equal(back, more, 4096);
	assert_int_equal(rig_do(*state, &q, STORE_ZERO, STORE_FUA, 8192, 4096, NULL), 0);
	memset(more, 0, 4096);
	read_any(*state, &q, 8192, 4096, back);
	assert_memory_equal(back, more, 4096);
	free(back);
	free(more);
}

static bool is_resident(uint64_t off)
{
	void *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, open(disk, O_RDONLY), 0);
	unsigned char in = 1;

	mincore((char *)p + off, 1, &in);
	munmap(p, SIZE);
	return in & 1;
}

static void what_is_not_in_memory_is_read_first(void **state)
{
	unsigned char *back = rig_memory(KIB(16));
	int fd = open(disk, O_RDWR);
	struct req q;

	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	close(fd);
	if (is_resident(MIB(2))) {
		print_message("this file system keeps what is no longer needed\n");
		free(back);
		skip();
	}
	assert_false(read_any(*state, &q, MIB(2), KIB(16), back));
	assert_memory_equal(back, data + MIB(2), KIB(16));
	/* once in memory it is lent: it is looked for again after a while */
	memset(back, 0, KIB(16));
	while (!read_any(*state, &q, MIB(2), KIB(16), back))
		;
	assert_memory_equal(back, data + MIB(2), KIB(16));
	free(back);
}

/* ---- how long ---- */

static void what_is_lent_outlives_the_store(void **state)
{
	struct rig *g = *state;
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, 4096, 4096, data), 0);
	assert_non_null(q.io.lent);
	buf_ref(q.io.lent);
	rig_close(g);
	assert_int_equal(mappings(), 1);
	assert_int_equal(send_it(q.io.lent_data, 4096), 4096);
	buf_put(q.io.lent);
	assert_int_equal(send_it(q.io.lent_data, 4096), 4096);
	buf_put(q.io.lent);
	wait_for_mappings(g, 0);
}

static void nothing_is_left_of_a_store_that_is_closed(void **state)
{
	struct rig *g = *state;
	struct req q;

	assert_true(read_any(g, &q, 0, 4096, data));
	assert_int_equal(mappings(), 1);
	rig_close(g);
	assert_int_equal(mappings(), 0);
}

/* ---- sizes ---- */

struct resizing {
	struct store_resize r;
	unsigned done;
};

static void resized(struct store_resize *r)
{
	container_of(r, struct resizing, r)->done = 1;
}

static void resize(struct rig *g, uint64_t size)
{
	struct resizing z = { .r = { .size = size, .done = resized } };

	store_resize(g->r, g->s, &z.r);
	rig_until(g, &z.done);
	if (z.r.err.code)
		fail_msg("%s", z.r.err.text);
}

static void what_a_file_grew_by_is_lent_too(void **state)
{
	struct rig *g = *state;
	unsigned char *back = rig_memory(KIB(16)), *more = rig_memory(KIB(16));
	struct buf *old;
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, 0, 4096, back), 0);
	old = q.io.lent;
	assert_non_null(old);
	resize(g, SIZE + MIB(1));
	memset(more, 0x33, KIB(16));
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, SIZE + KIB(16), KIB(16), more), 0);
	assert_true(read_any(g, &q, SIZE + KIB(16), KIB(16), back));
	assert_memory_equal(back, more, KIB(16));
	assert_int_equal(mappings(), 2);
	buf_put(old);
	wait_for_mappings(g, 1);
	free(back);
	free(more);
}

static void a_file_that_shrank_and_grew_is_lent_as_it_is(void **state)
{
	struct rig *g = *state;
	unsigned char *back = rig_memory(4096), *zero = rig_memory(4096);
	struct req q;

	resize(g, MIB(1));
	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, MIB(1), 4096, back), -EINVAL);
	resize(g, SIZE);
	memset(back, 1, 4096);
	read_any(g, &q, MIB(2), 4096, back);
	assert_memory_equal(back, zero, 4096);
	free(back);
	free(zero);
}

/* ---- faults ---- */

static void a_file_cut_under_us_is_a_medium_error(void **state)
{
	struct rig *g = *state;
	unsigned char *back = rig_memory(KIB(64));
	struct req q;

	assert_int_equal(truncate(disk, KIB(100)), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, KIB(64), KIB(64), back), -EIO);
	assert_true(q.io.where == KIB(100));
	assert_null(q.io.lent);
	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, MIB(1), 512, back), -EIO);
	assert_true(q.io.where == MIB(1));
	free(back);
}

static void a_cut_after_the_look_is_an_error_of_the_send(void **state)
{
	struct rig *g = *state;
	unsigned char *back = rig_memory(4096);
	struct req q;

	/* looked at, and believed for a while */
	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, MIB(1), 4096, back), 0);
	assert_non_null(q.io.lent);
	assert_int_equal(truncate(disk, KIB(100)), 0);
	assert_int_equal(send_it(q.io.lent_data, 4096), -EFAULT);
	q.io.lent->faulted = true; /* as who sends says */
	buf_put(q.io.lent);
	/* the next one is told */
	assert_int_equal(rig_do(g, &q, STORE_READ, LEND, MIB(1), 4096, back), -EIO);
	assert_true(q.io.where == MIB(1));
	free(back);
}

/* ---- opening ---- */

static void direct_is_refused(void **state)
{
	struct rig *g = *state;
	struct store_spec p = { .type = "mmap", .path = disk, .block_size = 4096 };

	rig_close(g);
	p.oflags = "sync:direct";
	rig_refused(g, &p, -EINVAL, "store mmap cannot have the flag direct");
	p.oflags = "sync";
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
}

static void a_device_is_lent_from(void **state)
{
	struct rig *g = *state;
	char name[32];
	struct store_spec p = { .type = "mmap", .path = name, .block_size = 512 };
	unsigned char *back = rig_memory(KIB(16));
	int fd = media_loop(disk, name);
	struct req q;

	if (fd < 0) {
		free(back);
		skip();
	}
	rig_close(g);
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
	read_any(g, &q, KIB(512), KIB(16), back);
	assert_memory_equal(back, data + KIB(512), KIB(16));
	while (!read_any(g, &q, KIB(512), KIB(16), back))
		;
	assert_memory_equal(back, data + KIB(512), KIB(16));
	rig_close(g);
	close(fd);
	free(back);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(cached_data_is_lent),
		T(long_reads_are_copied),
		T(who_looks_at_the_data_gets_a_copy),
		T(what_is_written_is_lent_as_it_is_now),
		T(what_is_not_in_memory_is_read_first),
		T(what_is_lent_outlives_the_store),
		T(nothing_is_left_of_a_store_that_is_closed),
		T(what_a_file_grew_by_is_lent_too),
		T(a_file_that_shrank_and_grew_is_lent_as_it_is),
		T(a_file_cut_under_us_is_a_medium_error),
		T(a_cut_after_the_look_is_an_error_of_the_send),
		T(direct_is_refused),
		T(a_device_is_lent_from),
	};
	int rc;

	engine = rig_engine(argc, argv);
	log_set_level(LOG_LEVEL_ERR);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	offload_shutdown();
	return rc;
}
