/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct I/O: what the page cache has no part in. Argument: the engine. */
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "../temp.h"

#define BLOCK 4096u
#define MANY 1000 /* more than a context takes */

static int fd; /* opened with O_DIRECT */
static uint8_t *mem;

/* -1: the file system below cannot. */
static int direct_file(size_t size)
{
	char path[TEMP_PATH_MAX];
	int f = mkostemp(temp_path(path, "aio"), O_DIRECT | O_CLOEXEC);

	if (f < 0)
		return -1;
	unlink(path);
	assert_int_equal(ftruncate(f, (off_t)size), 0);
	return f;
}

static int set_up_file(void **state)
{
	if (set_up(state))
		return -1;
	fd = direct_file(MANY * BLOCK);
	mem = aligned_alloc(BLOCK, MANY * BLOCK);
	memset(mem, 0, MANY * BLOCK);
	return fd < 0;
}

static int tear_down_file(void **state)
{
	close(fd);
	free(mem);
	return tear_down(state);
}

static void probe_direct(struct probe *p, enum io_verb verb, void *data, size_t len, uint64_t off)
{
	probe_file(p, verb, fd, data, len, off);
	p->op.direct = true;
}

static bool is_epoll(void)
{
	return !strcmp(test_engine->name, "epoll");
}

/* ---- tests ---- */

static void what_is_written_is_read_back(void **state)
{
	struct probe p;

	for (unsigned i = 0; i < BLOCK; i++)
		mem[i] = pattern(i);
	probe_direct(&p, IO_PWRITEV, mem, BLOCK, 8 * BLOCK);
	assert_int_equal(probe_run(r, &p), BLOCK);
	probe_direct(&p, IO_PREADV, mem + BLOCK, BLOCK, 8 * BLOCK);
	assert_int_equal(probe_run(r, &p), BLOCK);
	assert_memory_equal(mem, mem + BLOCK, BLOCK);
}

static void flags_of_a_write_are_kept(void **state)
{
	struct probe p;

	probe_direct(&p, IO_PWRITEV, mem, BLOCK, 0);
	p.op.rw_flags = RWF_DSYNC;
	assert_int_equal(probe_run(r, &p), BLOCK);
}

static void a_flush_ends_well(void **state)
{
	struct probe p;

	probe_direct(&p, IO_FDATASYNC, NULL, 0, 0);
	assert_int_equal(probe_run(r, &p), 0);
}

static void holes_are_punched(void **state)
{
	struct probe p;

	probe_direct(&p, IO_FALLOCATE, NULL, 0, 0);
	p.op.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	p.op.start = 0;
	p.op.length = BLOCK;
	assert_int_equal(probe_run(r, &p), 0);
}

static void thousands_in_one_turn_are_each_done_once(void **state)
{
	struct probe *p = calloc(MANY, sizeof(*p));

	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < MANY; i++) {
			if (!round)
				memset(mem + i * BLOCK, (int)(i * 7 + 1), BLOCK);
			probe_direct(&p[i], round ? IO_PREADV : IO_PWRITEV, mem + i * BLOCK, BLOCK,
				     i * BLOCK);
			probe_submit(r, &p[i]);
		}
		for (unsigned i = 0; i < MANY; i++)
			assert_int_equal(probe_wait(r, &p[i]), BLOCK);
		turn_some(r);
		for (unsigned i = 0; i < MANY; i++) {
			assert_int_equal(p[i].calls, 1);
			assert_int_equal(mem[i * BLOCK], (uint8_t)(i * 7 + 1));
			assert_int_equal(mem[i * BLOCK + BLOCK - 1], (uint8_t)(i * 7 + 1));
		}
		if (!round)
			memset(mem, 0, MANY * BLOCK);
	}
	free(p);
}

static void a_turn_submits_its_operations_in_one_call(void **state)
{
	struct probe p[64];
	uint64_t before;

	for (int i = 0; i < 64; i++) /* the file gets blocks: no thread is needed after */
		probe_direct(&p[i], IO_PWRITEV, mem, BLOCK, (uint64_t)i * BLOCK);
	for (int i = 0; i < 64; i++)
		assert_int_equal(probe_run(r, &p[i]), BLOCK);
	turn_some(r);
	before = stats_of(r).submits;
	for (int i = 0; i < 64; i++) {
		probe_direct(&p[i], IO_PREADV, mem + i * BLOCK, BLOCK, (uint64_t)i * BLOCK);
		probe_submit(r, &p[i]);
	}
	for (int i = 0; i < 64; i++)
		assert_int_equal(probe_wait(r, &p[i]), BLOCK);
	/* one or two calls push, and each wait is one: far fewer than operations */
	assert_in_range(stats_of(r).submits - before, 1, 64);
	assert_int_equal(stats_of(r).file_reads, 64);
}

static void reads_need_no_thread(void **state)
{
	struct offload_stats st;
	struct probe p;

	probe_direct(&p, IO_PREADV, mem, BLOCK, 0);
	for (int i = 0; i < 10; i++) {
		p.calls = 0;
		assert_int_equal(probe_run(r, &p), BLOCK);
	}
	offload_get_stats(OFFLOAD_IO, &st);
	if (is_epoll())
		assert_int_equal(st.threads, 0);
}

static void a_cancelled_operation_ends_one_way_or_the_other(void **state)
{
	struct probe p[64];

	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 64; i++) {
			probe_direct(&p[i], i % 2 ? IO_PWRITEV : IO_PREADV, mem + i * BLOCK, BLOCK,
				     i * BLOCK);
			probe_submit(r, &p[i]);
		}
		if (round)
			reactor_turn(r, 0);
		for (int i = 0; i < 64; i++)
			probe_cancel(&p[i]);
		for (int i = 0; i < 64; i++) {
			int res = probe_wait(r, &p[i]);

			assert_true(res == -ECANCELED || res == BLOCK);
			if (!round)
				assert_int_equal(res, -ECANCELED);
		}
	}
	turn_some(r);
	for (int i = 0; i < 64; i++)
		assert_int_equal(p[i].calls, 1);
}

static void errors_are_the_system_calls_own(void **state)
{
	struct probe p;

	probe_direct(&p, IO_PREADV, NULL, BLOCK, 0);
	assert_int_equal(probe_run(r, &p), -EFAULT);
	probe_direct(&p, IO_PREADV, mem, BLOCK, 0);
	p.op.fd = -1;
	assert_int_equal(probe_run(r, &p), -EBADF);
	probe_direct(&p, IO_PREADV, mem, BLOCK, (uint64_t)MANY * BLOCK);
	assert_int_equal(probe_run(r, &p), 0); /* the file's end */
}

static void a_file_that_is_not_direct_at_all_is_served_too(void **state)
{
	int cached = temp_file(BLOCK);
	struct probe p;

	probe_file(&p, IO_PREADV, cached, mem, 100, 10);
	p.op.direct = true;
	assert_int_equal(probe_run(r, &p), 100);
	assert_int_equal(mem[0], pattern(10));
	close(cached);
}

static int more;

static void again(struct probe *p)
{
	if (!more--)
		return;
	p->calls = 0;
	probe_submit(r, p);
}

static void a_done_may_submit_again(void **state)
{
	struct probe p;

	more = 20;
	probe_direct(&p, IO_PREADV, mem, BLOCK, 0);
	p.then = again;
	probe_submit(r, &p);
	turn_until(r, &p.calls, 1);
	while (more >= 0)
		reactor_turn(r, NSEC_PER_MSEC);
	assert_int_equal(p.res, BLOCK);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up_file, tear_down_file)
	const struct CMUnitTest tests[] = {
		T(reads_need_no_thread), /* first: others start some */
		T(what_is_written_is_read_back),
		T(flags_of_a_write_are_kept),
		T(a_flush_ends_well),
		T(holes_are_punched),
		T(thousands_in_one_turn_are_each_done_once),
		T(a_turn_submits_its_operations_in_one_call),
		T(a_cancelled_operation_ends_one_way_or_the_other),
		T(errors_are_the_system_calls_own),
		T(a_file_that_is_not_direct_at_all_is_served_too),
		T(a_done_may_submit_again),
	};
	int f, rc;

	choose_engine(argc, argv);
	f = direct_file(0);
	if (f < 0) {
		printf("1..0 # SKIP the file system of the temporary folder cannot do direct "
		       "I/O\n");
		return 0;
	}
	close(f);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	offload_shutdown();
	return rc;
}
