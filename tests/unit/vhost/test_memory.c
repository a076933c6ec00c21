/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps of the guest's memory: addresses, versions, and files that are cut short. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "rig.h"

static struct vmem *map;
static int fd;
static atomic_bool broken;
static const char *why;

#define PAGE 4096u

static int begin(void **state)
{
	map = vmem_create();
	fd = rig_memfd(16 * PAGE);
	atomic_store(&broken, false);
	return !map;
}

static int end(void **state)
{
	vmem_put(map);
	close(fd);
	return 0;
}

static int add(uint64_t guest, uint64_t size, uint64_t user, uint64_t offset)
{
	struct vu_region d = { guest, size, user, offset };

	return vmem_add(map, &d, fd, &broken, &why);
}

static void addresses_are_found_at_the_edges_and_not_beyond(void **state)
{
	uint64_t run;
	uint8_t *first;

	assert_int_equal(add(0x10000, 4 * PAGE, 0x7000000, 2 * PAGE), 0);
	first = vmem_at(map, 0x10000, &run);
	assert_non_null(first);
	assert_int_equal(run, 4 * PAGE);
	assert_ptr_equal(vmem_at(map, 0x10000 + 4 * PAGE - 1, &run), first + 4 * PAGE - 1);
	assert_int_equal(run, 1);
	assert_null(vmem_at(map, 0x10000 + 4 * PAGE, &run));
	assert_null(vmem_at(map, 0xffff, &run));
	assert_null(vmem_at(map, UINT64_MAX, &run));
	assert_ptr_equal(vmem_user(map, 0x7000000, 4 * PAGE), first);
	assert_null(vmem_user(map, 0x7000000, 4 * PAGE + 1));
	assert_null(vmem_user(map, 0x6ffffff, 1));
	assert_null(vmem_user(map, 0x7000001, UINT64_MAX));
}

static void an_offset_into_the_file_is_heeded(void **state)
{
	uint64_t run;
	uint8_t byte = 0x5a;

	/* and need not be that of a page */
	assert_int_equal(pwrite(fd, &byte, 1, 3 * PAGE + 17), 1);
	assert_int_equal(add(0, PAGE, 0, 3 * PAGE + 16), 0);
	assert_int_equal(*(uint8_t *)vmem_at(map, 1, &run), 0x5a);
}

static void a_read_goes_across_regions(void **state)
{
	uint8_t data[2 * PAGE];

	assert_int_equal(add(0, PAGE, 0x100000, 8 * PAGE), 0);
	assert_int_equal(add(PAGE, PAGE, 0x200000, 0), 0);
	assert_int_equal(pwrite(fd, "ab", 2, 9 * PAGE - 2), 2);
	assert_int_equal(pwrite(fd, "cd", 2, 0), 2);
	assert_true(vmem_read(map, PAGE - 2, data, 4));
	assert_memory_equal(data, "abcd", 4);
	assert_true(vmem_read(map, 0, data, 2 * PAGE));
	assert_false(vmem_read(map, 1, data, 2 * PAGE));
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct {
		uint64_t guest, size, user, offset;
	} bad[] = {
		{ 0, 0, 0, 0 }, /* empty */
		{ UINT64_MAX - 10, 100, 0, 0 }, /* wraps */
		{ 0, 100, UINT64_MAX - 10, 0 },
		{ 0, PAGE, 0, UINT64_MAX - 10 },
		{ 0, UINT64_MAX, 0, 0 },
		{ 0, 17 * PAGE, 0, 0 }, /* longer than the file */
		{ 0, PAGE, 0, 15 * PAGE + 1 },
		{ 0x100000, 1, 0, 0 }, /* overlaps the one that is there */
		{ 0x100000 - 1, 2, 0, 0 },
		{ 0xf0000, 0x100000, 0, 0 },
	};

	assert_int_equal(add(0x100000, PAGE, 0x100000, 0), 0);
	for (unsigned i = 0; i < array_size(bad); i++) {
		assert_true(add(bad[i].guest, bad[i].size, bad[i].user, bad[i].offset) < 0);
		assert_non_null(why);
	}
	assert_int_equal(map->n, 1);
}

static void only_shared_memory_is_mapped(void **state)
{
	struct vu_region d = { 0, 16, 0, 0 };
	int p[2], null = open("/dev/zero", O_RDWR), program = open("/proc/self/exe", O_RDONLY);

	assert_int_equal(pipe(p), 0);
	assert_true(vmem_add(map, &d, p[0], &broken, &why) < 0);
	assert_true(vmem_add(map, &d, null, &broken, &why) < 0);
	assert_true(vmem_add(map, &d, program, &broken, &why) < 0);
	close(p[0]);
	close(p[1]);
	close(null);
	close(program);
}

static void there_are_so_many_slots_and_no_more(void **state)
{
	for (unsigned i = 0; i < VHOST_SLOTS; i++)
		assert_int_equal(add(i * 2ull * PAGE, PAGE, i * 2ull * PAGE, 0), 0);
	assert_true(add(1ull << 40, PAGE, 0, 0) < 0);
}

static void what_was_mapped_stays_until_the_last_version_goes(void **state)
{
	struct vu_region d = { 0, PAGE, 0x1000, 0 };
	struct vmem *old = map, *now;
	uint64_t run;
	uint8_t *at;

	assert_int_equal(add(d.guest_addr, d.size, d.user_addr, 0), 0);
	at = vmem_at(old, 0, &run);
	now = vmem_copy(old);
	assert_int_equal(vmem_remove(now, &d), 0);
	assert_int_equal(vmem_remove(now, &d), -ENOENT);
	map = vmem_get(now);
	vmem_put(now);
	assert_null(vmem_at(map, 0, &run));
	*at = 1; /* a command of before still uses it */
	vmem_put(old);
	assert_int_equal(msync(at, PAGE, MS_ASYNC), -1); /* now it is gone */
}

static void a_file_cut_short_is_zeroes_and_a_flag(void **state)
{
	uint64_t run;
	volatile uint8_t *at;

	guard_thread();
	assert_int_equal(add(0, 16 * PAGE, 0, 0), 0);
	at = vmem_at(map, 8 * PAGE, &run);
	*at = 7;
	assert_false(atomic_load(&broken));
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(*at, 0);
	assert_true(atomic_load(&broken));
	*at = 9; /* of no consequence */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(addresses_are_found_at_the_edges_and_not_beyond),
		TEST(an_offset_into_the_file_is_heeded),
		TEST(a_read_goes_across_regions),
		TEST(what_cannot_be_is_refused),
		TEST(only_shared_memory_is_mapped),
		TEST(there_are_so_many_slots_and_no_more),
		TEST(what_was_mapped_stays_until_the_last_version_goes),
		TEST(a_file_cut_short_is_zeroes_and_a_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
