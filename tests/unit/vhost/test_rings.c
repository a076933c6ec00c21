/* SPDX-License-Identifier: BSD-2-Clause */
/* Rings of both kinds against a driver's half in the same process. */
#include "rig.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"

static struct rig r;

static int begin(void **state)
{
	rig_begin(&r);
	return 0;
}

static int end(void **state)
{
	rig_end(&r);
	return 0;
}

#define SPLIT VF_INDIRECT_DESC
#define PACKED (VF_INDIRECT_DESC | VF_RING_PACKED)

static void expect_error(const char *why)
{
	assert_int_equal(vring_take(&r.ring, r.map, &r.chain), -EPROTO);
	assert_string_equal(r.ring.why, why);
}

/* ---- what goes well -------------------------------------------------------------------- */

static void chains_go_round(uint64_t features, unsigned size)
{
	rig_start(&r, size, features, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		struct vhandle h;
		uint32_t id32 = 0, len;
		uint16_t id16 = 0;

		rig_offer(&r, 1, 512, 4096);
		h = rig_take(&r, 1);
		assert_int_equal(r.chain.out_len, 51 + 512);
		assert_int_equal(r.chain.in_len, 108 + 4096);
		assert_int_equal(r.chain.out_cnt, 2);
		assert_int_equal(vring_take(&r.ring, r.map, &r.chain), 0);
		vring_give(&r.ring, h, i);
		vring_publish(&r.ring);
		if (r.packed) {
			assert_true(packed_used(&r, &id16, &len, 4));
			assert_int_equal(id16, 1);
		} else {
			assert_true(split_used(&r, &id32, &len));
			assert_int_equal(id32, 4);
		}
		assert_int_equal(len, i);
	}
	assert_int_equal(r.ring.taken, 0);
}

static void a_split_ring_goes_round(void **state)
{
	chains_go_round(SPLIT, 8);
}

static void a_packed_ring_goes_round(void **state)
{
	chains_go_round(PACKED, 8);
}

static void a_packed_ring_need_not_be_a_power_of_two(void **state)
{
	chains_go_round(PACKED, 7);
}

static void a_batch_is_seen_only_when_it_is_published(uint64_t features)
{
	struct vhandle h[3];
	uint32_t id32, len;
	uint16_t id16;

	rig_start(&r, 16, features, NULL);
	for (uint16_t i = 0; i < 3; i++) {
		rig_offer(&r, i, 0, 0);
		h[i] = rig_take(&r, i);
	}
	for (unsigned i = 3; i-- > 0;)
		vring_give(&r.ring, h[i], 108);
	assert_false(r.packed ? packed_used(&r, &id16, &len, 2) : split_used(&r, &id32, &len));
	vring_publish(&r.ring);
	for (unsigned i = 3; i-- > 0;) {
		if (r.packed) {
			assert_true(packed_used(&r, &id16, &len, 2));
			assert_int_equal(id16, i);
		} else {
			assert_true(split_used(&r, &id32, &len));
			assert_int_equal(id32, i * 4);
		}
	}
}

static void a_split_batch_is_seen_only_when_it_is_published(void **state)
{
	a_batch_is_seen_only_when_it_is_published(SPLIT);
}

static void a_packed_batch_is_seen_only_when_it_is_published(void **state)
{
	a_batch_is_seen_only_when_it_is_published(PACKED);
}

static void an_indirect_table_is_walked(void **state)
{
	struct split_desc *t = (struct split_desc *)(r.mem + RIG_TABLE);

	rig_start(&r, 4, SPLIT, NULL);
	t[0] = (struct split_desc){ GUEST(RIG_DATA), 51, DESC_NEXT, 2 };
	t[2] = (struct split_desc){ GUEST(RIG_DATA + 64), 108, DESC_NEXT | DESC_WRITE, 1 };
	t[1] = (struct split_desc){ GUEST(RIG_DATA + 256), 4096, DESC_WRITE, 0 };
	split_desc(&r, 3, GUEST(RIG_TABLE), 48, DESC_INDIRECT, 0);
	split_offer(&r, 3);
	assert_int_equal(vring_take(&r.ring, r.map, &r.chain), 1);
	assert_int_equal(r.chain.id, 3);
	assert_int_equal(r.chain.in_len, 108 + 4096);
	assert_int_equal(r.chain.in_cnt, 2);
}

static void a_packed_table_has_as_many_as_it_is_long(void **state)
{
	struct packed_desc *t = (struct packed_desc *)(r.mem + RIG_TABLE);

	rig_start(&r, 4, PACKED, NULL);
	t[0] = (struct packed_desc){ GUEST(RIG_DATA), 51, 0, 0 };
	t[1] = (struct packed_desc){ GUEST(RIG_DATA + 64), 108, 0, DESC_WRITE };
	packed_put(&r, GUEST(RIG_TABLE), 32, 9, DESC_INDIRECT);
	assert_int_equal(vring_take(&r.ring, r.map, &r.chain), 1);
	assert_int_equal(r.chain.id, 9);
	assert_int_equal(r.chain.slots, 1);
	assert_int_equal(r.chain.in_len, 108);
}

static void empty_buffers_are_passed_over(void **state)
{
	rig_start(&r, 4, SPLIT, NULL);
	split_desc(&r, 0, 0xdead, 0, DESC_NEXT, 1);
	split_desc(&r, 1, GUEST(RIG_DATA), 51, DESC_NEXT, 2);
	split_desc(&r, 2, GUEST(RIG_DATA), 108, DESC_WRITE, 0);
	split_offer(&r, 0);
	assert_int_equal(vring_take(&r.ring, r.map, &r.chain), 1);
	assert_int_equal(r.chain.out_cnt, 1);
}

/* ---- errors ------------------------------------------------------------------------------ */

static void an_available_index_that_jumps_is_an_error(void **state)
{
	rig_start(&r, 4, SPLIT, NULL);
	((uint16_t *)(r.mem + RIG_DRIVER))[1] = 5;
	expect_error("the available index has jumped");
}

static void a_head_beyond_the_ring_is_an_error(void **state)
{
	rig_start(&r, 4, SPLIT, NULL);
	split_offer(&r, 4);
	expect_error("the available ring names a descriptor beyond the ring");
}

static void a_next_beyond_the_ring_is_an_error(void **state)
{
	rig_start(&r, 4, SPLIT, NULL);
	split_desc(&r, 0, GUEST(0), 8, DESC_NEXT, 4);
	split_offer(&r, 0);
	expect_error("a descriptor names one beyond the ring");
}

static void a_loop_ends(void **state)
{
	rig_start(&r, 4, SPLIT, NULL);
	split_desc(&r, 0, GUEST(0), 8, DESC_NEXT, 1);
	split_desc(&r, 1, GUEST(0), 8, DESC_NEXT, 0);
	split_offer(&r, 0);
	expect_error("a chain has a loop");
}

static void a_loop_in_a_table_ends(void **state)
{
	struct split_desc *t = (struct split_desc *)(r.mem + RIG_TABLE);

	rig_start(&r, 4, SPLIT, NULL);
	t[0] = (struct split_desc){ GUEST(0), 8, DESC_NEXT, 0 };
	split_desc(&r, 0, GUEST(RIG_TABLE), 16, DESC_INDIRECT, 0);
	split_offer(&r, 0);
	expect_error("an indirect table has a loop");
}

static void a_next_beyond_its_table_is_an_error(void **state)
{
	struct split_desc *t = (struct split_desc *)(r.mem + RIG_TABLE);

	rig_start(&r, 4, SPLIT, NULL);
	t[0] = (struct split_desc){ GUEST(0), 8, DESC_NEXT, 1 };
	t[1] = (struct split_desc){ GUEST(0), 8, 0, 0 }; /* there, but not of the table */
	split_desc(&r, 0, GUEST(RIG_TABLE), 16, DESC_INDIRECT, 0);
	split_offer(&r, 0);
	expect_error("a descriptor names one beyond its table");
}

static void tables_of_tables_are_an_error(void **state)
{
	struct split_desc *t = (struct split_desc *)(r.mem + RIG_TABLE);

	rig_start(&r, 4, SPLIT, NULL);
	t[0] = (struct split_desc){ GUEST(RIG_TABLE), 16, DESC_INDIRECT, 0 };
	split_desc(&r, 0, GUEST(RIG_TABLE), 16, DESC_INDIRECT, 0);
	split_offer(&r, 0);
	expect_error("an indirect table is in an indirect table");
}

static void tables_have_whole_descriptors(void **state)
{
	const uint32_t bad[] = { 0, 1, 15, 17, 31 };

	rig_start(&r, 16, SPLIT, NULL);
	for (unsigned i = 0; i < array_size(bad); i++) {
		split_desc(&r, i, GUEST(RIG_TABLE), bad[i], DESC_INDIRECT, 0);
		split_offer(&r, (uint16_t)i);
		expect_error("an indirect table has a bad length");
	}
	split_desc(&r, 9, GUEST(RIG_TABLE), 1025 * 16, DESC_INDIRECT, 0);
	split_offer(&r, 9);
	expect_error("an indirect table is too long");
}

static void a_table_that_was_not_agreed_is_an_error(void **state)
{
	rig_start(&r, 4, 0, NULL);
	split_desc(&r, 0, GUEST(RIG_TABLE), 16, DESC_INDIRECT, 0);
	split_offer(&r, 0);
	expect_error("an indirect table was not negotiated");
}

static void a_buffer_outside_of_memory_is_an_error(void **state)
{
	const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = { { 0, 8 },
		    { RIG_GUEST - 1, 8 },
		    { GUEST(RIG_SIZE), 1 },
		    { GUEST(RIG_SIZE) - 8, 9 },
		    { UINT64_MAX - 3, 8 },
		    { GUEST(0), UINT32_MAX } };

	rig_start(&r, 16, SPLIT, NULL);
	for (unsigned i = 0; i < array_size(bad); i++) {
		split_desc(&r, i, bad[i].addr, bad[i].len, 0, 0);
		split_offer(&r, (uint16_t)i);
		expect_error("a buffer is outside of the memory");
	}
}

static void readable_after_writable_is_an_error(void **state)
{
	rig_start(&r, 4, SPLIT, NULL);
	split_desc(&r, 0, GUEST(0), 8, DESC_NEXT | DESC_WRITE, 1);
	split_desc(&r, 1, GUEST(0), 8, 0, 0);
	split_offer(&r, 0);
	expect_error("a readable buffer comes after a writable one");
}

static void a_chain_longer_than_a_packed_ring_ends(void **state)
{
	rig_start(&r, 4, PACKED, NULL);
	for (unsigned i = 0; i < 4; i++)
		packed_put(&r, GUEST(0), 8, 0, DESC_NEXT);
	expect_error("a chain is longer than the ring");
}

static void more_than_4_gib_is_an_error(void **state)
{
	struct vmem *m = vmem_create();
	struct vu_region d = { .guest_addr = 0, .size = 5ull << 30, .user_addr = 1ull << 46 };
	int fd = rig_memfd(5ull << 30);
	const char *why;

	assert_int_equal(vmem_add(m, &d, fd, &r.broken, &why), 0);
	rig_start(&r, 4, SPLIT, NULL);
	split_desc(&r, 0, 0, UINT32_MAX, DESC_NEXT, 1);
	split_desc(&r, 1, 0, 1, 0, 0);
	split_offer(&r, 0);
	assert_int_equal(vring_take(&r.ring, m, &r.chain), -EPROTO);
	assert_string_equal(r.ring.why, "a chain has more than 4 GiB");
	vmem_put(m);
	close(fd);
}

static void areas_outside_of_memory_do_not_start(void **state)
{
	const uint64_t bad[] = { RIG_USER - 16, RIG_USER + RIG_SIZE - 32, UINT64_MAX - 15,
				 RIG_USER + 8, GUEST(0) };

	for (unsigned i = 0; i < array_size(bad); i++) {
		struct vring *v = &r.ring;

		memset(v, 0, sizeof(*v));
		v->size = 16;
		v->has_addr = true;
		v->desc_user = bad[i];
		v->driver_user = RIG_USER + RIG_DRIVER;
		v->device_user = RIG_USER + RIG_DEVICE;
		assert_int_equal(vring_start(v, r.map, 0, NULL), -EFAULT);
		assert_false(v->started);
	}
}

/* ---- notifications --------------------------------------------------------------------------- */

static bool one_is_called(uint16_t id)
{
	rig_offer(&r, id, 0, 0);
	vring_give(&r.ring, rig_take(&r, id), 108);
	return vring_publish(&r.ring);
}

static void flags_suppress_calls(void **state)
{
	uint16_t *flags = (uint16_t *)(r.mem + RIG_DRIVER);

	rig_start(&r, 16, SPLIT, NULL);
	assert_true(one_is_called(0));
	*flags = AVAIL_NO_INTERRUPT;
	assert_false(one_is_called(1));
}

static void the_event_index_says_when_to_call(void **state)
{
	uint16_t *event = (uint16_t *)(r.mem + RIG_DRIVER) + 2 + 16;

	rig_start(&r, 16, SPLIT | VF_EVENT_IDX, NULL);
	*event = 2;
	assert_false(one_is_called(0));
	assert_false(one_is_called(1));
	assert_true(one_is_called(2));
	assert_false(one_is_called(3));
}

static void packed_events_say_when_to_call(void **state)
{
	struct packed_event *e = (struct packed_event *)(r.mem + RIG_DRIVER);

	rig_start(&r, 5, PACKED | VF_EVENT_IDX, NULL);
	e->flags = EVENT_DISABLE;
	assert_false(one_is_called(0)); /* places 0, 1 */
	e->flags = EVENT_ENABLE;
	assert_true(one_is_called(1)); /* 2, 3 */
	e->flags = EVENT_DESC;
	e->off_wrap = 1; /* place 1 of the next round */
	assert_false(one_is_called(2)); /* 4, 0 */
	assert_true(one_is_called(3)); /* 1, 2 */
	assert_false(one_is_called(4)); /* 3, 4 */
}

static void listening_sees_what_came_meanwhile(uint64_t features)
{
	rig_start(&r, 16, features, NULL);
	vring_quiet(&r.ring);
	assert_false(vring_listen(&r.ring));
	vring_quiet(&r.ring);
	rig_offer(&r, 0, 0, 0);
	assert_true(vring_listen(&r.ring));
	assert_true(vring_ready(&r.ring));
}

static void split_listening_sees_what_came_meanwhile(void **state)
{
	listening_sees_what_came_meanwhile(SPLIT);
	assert_int_equal(((uint16_t *)(r.mem + RIG_DEVICE))[0], 0);
	vring_quiet(&r.ring);
	assert_int_equal(((uint16_t *)(r.mem + RIG_DEVICE))[0], USED_NO_NOTIFY);
}

static void packed_listening_sees_what_came_meanwhile(void **state)
{
	listening_sees_what_came_meanwhile(PACKED | VF_EVENT_IDX);
	assert_int_equal(((struct packed_event *)(r.mem + RIG_DEVICE))->flags, EVENT_DESC);
	assert_int_equal(((struct packed_event *)(r.mem + RIG_DEVICE))->off_wrap, EVENT_WRAP);
}

/* ---- the base ------------------------------------------------------------------------------ */

static void a_stopped_ring_goes_on_where_it_was(uint64_t features)
{
	rig_start(&r, 8, features, NULL);
	for (uint16_t i = 0; i < 11; i++)
		one_is_called(1);
	vring_stop(&r.ring);
	assert_false(r.ring.started);
	rig_start(&r, 8, features, NULL);
	/* the driver's half goes on, too */
	r.avail_wrap = r.ring.avail_wrap;
	one_is_called(0);
	assert_int_equal(r.ring.taken, 0);
}

static void a_stopped_split_ring_goes_on_where_it_was(void **state)
{
	a_stopped_ring_goes_on_where_it_was(SPLIT);
	assert_int_equal(vring_base(&r.ring), 12);
}

static void a_stopped_packed_ring_goes_on_where_it_was(void **state)
{
	a_stopped_ring_goes_on_where_it_was(PACKED);
	/* 24 places of a ring of 8: three rounds */
	assert_int_equal(vring_base(&r.ring), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_split_ring_goes_round),
		TEST(a_packed_ring_goes_round),
		TEST(a_packed_ring_need_not_be_a_power_of_two),
		TEST(a_split_batch_is_seen_only_when_it_is_published),
		TEST(a_packed_batch_is_seen_only_when_it_is_published),
		TEST(an_indirect_table_is_walked),
		TEST(a_packed_table_has_as_many_as_it_is_long),
		TEST(empty_buffers_are_passed_over),
		TEST(an_available_index_that_jumps_is_an_error),
		TEST(a_head_beyond_the_ring_is_an_error),
		TEST(a_next_beyond_the_ring_is_an_error),
		TEST(a_loop_ends),
		TEST(a_loop_in_a_table_ends),
		TEST(a_next_beyond_its_table_is_an_error),
		TEST(tables_of_tables_are_an_error),
		TEST(tables_have_whole_descriptors),
		TEST(a_table_that_was_not_agreed_is_an_error),
		TEST(a_buffer_outside_of_memory_is_an_error),
		TEST(readable_after_writable_is_an_error),
		TEST(a_chain_longer_than_a_packed_ring_ends),
		TEST(more_than_4_gib_is_an_error),
		TEST(areas_outside_of_memory_do_not_start),
		TEST(flags_suppress_calls),
		TEST(the_event_index_says_when_to_call),
		TEST(packed_events_say_when_to_call),
		TEST(split_listening_sees_what_came_meanwhile),
		TEST(packed_listening_sees_what_came_meanwhile),
		TEST(a_stopped_split_ring_goes_on_where_it_was),
		TEST(a_stopped_packed_ring_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
