/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings by themselves, in memory that this test plays the guest in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "transport/vhost/vring.h"

#define MEMORY 65536u
#define USER 0x7f0000000000ull /* the front end's address of the memory */
#define SIZE 8u
#define DESC 0u
#define AVAIL 4096u
#define USED 8192u
#define LOG 12288u
#define BUFFER 16384u

static struct vmem *mem;
static uint8_t *guest;
static atomic_bool broken;
static struct vring ring;
static struct vchain chain;

static int up(void **state)
{
	struct vu_region r = { .guest_addr = 0, .size = MEMORY, .user_addr = USER };
	const char *why;
	int fd = memfd_create("vring", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MEMORY), 0);
	guest = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(guest != MAP_FAILED);
	mem = vmem_create();
	assert_int_equal(vmem_add(mem, &r, fd, &broken, &why), 0);
	close(fd);
	memset(&ring, 0, sizeof(ring));
	ring.size = SIZE;
	ring.desc_user = USER + DESC;
	ring.driver_user = USER + AVAIL;
	ring.device_user = USER + USED;
	ring.has_addr = true;
	return 0;
}

static int down(void **state)
{
	vring_stop(&ring);
	vmem_put(mem);
	munmap(guest, MEMORY);
	return 0;
}

/* ---- a driver of split rings ---------------------------------------------------------------- */

struct avail {
	uint16_t flags, idx, ring[SIZE];
};

struct used {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[SIZE];
};

static void offer(uint16_t head)
{
	struct split_desc *d = (struct split_desc *)(guest + DESC);
	struct avail *a = (struct avail *)(guest + AVAIL);

	d[head] = (struct split_desc){ BUFFER + head * 512u, 512, DESC_WRITE, 0 };
	a->ring[a->idx % SIZE] = head;
	a->idx++;
}

static uint16_t taken(void)
{
	assert_int_equal(vring_take(&ring, mem, &chain), 1);
	return chain.id;
}

/* A ring with three chains, of which the second was given back before the daemon died. */
static void start_after_a_death(void)
{
	struct vhandle h;

	offer(5);
	offer(2);
	offer(7);
	assert_int_equal(vring_start(&ring, mem, VF_VERSION_1, guest + LOG), 0);
	assert_int_equal(taken(), 5);
	assert_int_equal(taken(), 2);
	h = vring_handle(&chain);
	assert_int_equal(taken(), 7);
	vring_give(&ring, h, 512);
	vring_publish(&ring);
	assert_int_equal(((struct used *)(guest + USED))->idx, 1);
	/* the next daemon knows what the front end and the log say */
	ring.started = false;
	ring.taken = 0;
	ring.base = 1;
	ring.has_base = true;
	assert_int_equal(vring_start(&ring, mem, VF_VERSION_1, guest + LOG), 0);
}

static void what_was_in_flight_is_taken_again_in_its_order(void **state)
{
	start_after_a_death();
	assert_int_equal(taken(), 5);
	assert_int_equal(taken(), 7);
}

static void nothing_follows_what_is_taken_again_but_what_is_new(void **state)
{
	start_after_a_death();
	assert_int_equal(taken(), 5);
	assert_int_equal(taken(), 7);
	assert_int_equal(vring_take(&ring, mem, &chain), 0);
	offer(1);
	assert_int_equal(taken(), 1);
	assert_int_equal(vring_take(&ring, mem, &chain), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_in_flight_is_taken_again_in_its_order, up,
						down),
		cmocka_unit_test_setup_teardown(nothing_follows_what_is_taken_again_but_what_is_new,
						up, down),
	};

	return cmocka_run_group_tests_name("vring", tests, NULL, NULL);
}
