/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-flight log: what a daemon that died left undone is submitted again by the next one, in order. */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "rig.h"

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

#define SPLIT 0
#define PACKED VF_RING_PACKED

static void give(struct vhandle h)
{
	vring_give(&r.ring, h, 108);
	vring_publish(&r.ring);
}

static void nothing_more(void)
{
	assert_int_equal(vring_take(&r.ring, r.map, &r.chain), 0);
}

static void what_was_under_way_is_submitted_again(uint64_t features)
{
	struct vhandle h[6];

	rig_start(&r, 32, features, r.log);
	for (uint16_t i = 0; i < 6; i++) {
		rig_offer(&r, i, 64, 128);
		h[i] = rig_take(&r, i);
	}
	give(h[3]);
	give(h[0]);
	rig_offer(&r, 6, 0, 0); /* told of, and not fetched */
	rig_restart(&r, features, r.log);
	rig_take(&r, 1);
	assert_int_equal(r.chain.out_len, 51 + 64);
	assert_int_equal(r.chain.in_len, 108 + 128);
	rig_take(&r, 2);
	rig_take(&r, 4);
	rig_take(&r, 5);
	rig_take(&r, 6);
	nothing_more();
	/* and once more, in the same order: nothing was given back */
	rig_restart(&r, features, r.log);
	for (unsigned i = 0; i < 5; i++)
		rig_take(&r, (uint16_t[]){ 1, 2, 4, 5, 6 }[i]);
	nothing_more();
}

static void split_what_was_under_way_is_submitted_again(void **state)
{
	what_was_under_way_is_submitted_again(SPLIT);
}

static void packed_what_was_under_way_is_submitted_again(void **state)
{
	what_was_under_way_is_submitted_again(PACKED);
}

/* A packed ring's places are used again by the driver; the log has copies. */
static void packed_places_may_have_been_used_again(void **state)
{
	struct vhandle h[3];
	uint16_t id;
	uint32_t len;

	rig_start(&r, 8, PACKED, r.log);
	for (uint16_t i = 0; i < 3; i++) {
		rig_offer(&r, i, 0, 0);
		h[i] = rig_take(&r, i);
	}
	give(h[2]); /* at the places of the first */
	give(h[1]);
	assert_true(packed_used(&r, &id, &len, 2));
	assert_true(packed_used(&r, &id, &len, 2));
	rig_offer(&r, 3, 0, 0);
	rig_offer(&r, 4, 0, 0);
	rig_restart(&r, PACKED, r.log);
	rig_take(&r, 0);
	rig_take(&r, 3);
	rig_take(&r, 4);
	nothing_more();
}

/* Killed between the used index and the clearing of the entries. */
static void split_a_batch_that_was_published_is_not_submitted_again(void **state)
{
	struct split_region *g = r.log;
	struct vhandle h[3];

	rig_start(&r, 16, SPLIT, r.log);
	for (uint16_t i = 0; i < 3; i++) {
		rig_offer(&r, i, 0, 0);
		h[i] = rig_take(&r, i);
	}
	vring_give(&r.ring, h[0], 108);
	vring_give(&r.ring, h[2], 108);
	vring_publish(&r.ring);
	g->desc[0].inflight = g->desc[8].inflight = 1;
	g->used_idx = 0;
	rig_restart(&r, SPLIT, r.log);
	rig_take(&r, 1);
	nothing_more();
}

/* Killed before the first descriptor of the batch was written, and after. */
static void packed_a_batch_counts_when_its_first_descriptor_is_written(void **state)
{
	struct packed_region *g = r.log;
	struct vhandle h[2];

	rig_start(&r, 16, PACKED, r.log);
	for (uint16_t i = 0; i < 2; i++) {
		rig_offer(&r, i, 0, 0);
		h[i] = rig_take(&r, i);
	}
	/* not written */
	vlog_give_packed(&r.ring.log, &h[1].entry, 1, 2, true);
	rig_restart(&r, PACKED, r.log);
	h[0] = rig_take(&r, 0);
	h[1] = rig_take(&r, 1);
	nothing_more();
	/* written, and the entry not cleared */
	vring_give(&r.ring, h[1], 108);
	vring_publish(&r.ring);
	g->desc[h[1].entry].inflight = 1;
	g->old_used_idx = 0;
	g->old_free_head = 4;
	rig_restart(&r, PACKED, r.log);
	rig_take(&r, 0);
	nothing_more();
	assert_int_equal(vring_base(&r.ring), (4 | 1 << 15 | 2 << 16) + (1u << 31));
}

static void thousands_of_chains_leave_the_log_empty(uint64_t features)
{
	rig_start(&r, 24 + 8, features, r.log);
	for (unsigned i = 0; i < 5000; i++) {
		struct vhandle a, b;

		rig_offer(&r, 0, i % 7, 0);
		rig_offer(&r, 1, 0, i % 5);
		a = rig_take(&r, 0);
		b = rig_take(&r, 1);
		vring_give(&r.ring, b, 1);
		if (i % 3)
			vring_publish(&r.ring);
		vring_give(&r.ring, a, 1);
		vring_publish(&r.ring);
	}
	rig_restart(&r, features, r.log);
	nothing_more();
}

static void split_thousands_of_chains_leave_the_log_empty(void **state)
{
	thousands_of_chains_leave_the_log_empty(SPLIT);
}

static void packed_thousands_of_chains_leave_the_log_empty(void **state)
{
	thousands_of_chains_leave_the_log_empty(PACKED);
}

/* Whatever is in it: the start refuses it, or finds chains within the ring. */
static void noise_is_survived(uint64_t features)
{
	uint64_t seed = 42;

	for (unsigned round = 0; round < 300; round++) {
		uint8_t *p = r.log;
		const char *why;
		uint16_t used = 3;
		bool wrap = true;
		struct vlog *l = &r.ring.log;
		int rc;

		for (unsigned i = 0; i < 1 << 14; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			p[i] = (seed >> 40) % 3 ? (uint8_t)((seed >> 33) % 20)
						: (uint8_t)(seed >> 50);
		}
		((uint16_t *)r.log)[4] = round % 2; /* version */
		((uint16_t *)r.log)[5] = 16;
		rc = features ? vlog_start_packed(l, r.log, 16, (void *)r.mem, &used, &wrap, &why)
			      : vlog_start_split(l, r.log, 16, 3, &why);
		if (rc)
			continue;
		assert_true(l->nagain <= 16 && vlog_slots(l, features) <= 16);
		for (unsigned i = 0; i < l->nagain; i++)
			assert_true(l->again[i] < 16);
	}
}

static void split_noise_is_survived(void **state)
{
	noise_is_survived(SPLIT);
}

static void packed_noise_is_survived(void **state)
{
	noise_is_survived(PACKED);
}

static void another_size_or_version_is_refused(void **state)
{
	struct split_region *g = r.log;
	struct vlog *l = &r.ring.log;
	const char *why;

	g->version = 1;
	g->desc_num = 32;
	assert_int_equal(vlog_start_split(l, g, 16, 0, &why), -EINVAL);
	g->version = 2;
	g->desc_num = 16;
	assert_int_equal(vlog_start_split(l, g, 16, 0, &why), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(split_what_was_under_way_is_submitted_again),
		TEST(packed_what_was_under_way_is_submitted_again),
		TEST(packed_places_may_have_been_used_again),
		TEST(split_a_batch_that_was_published_is_not_submitted_again),
		TEST(packed_a_batch_counts_when_its_first_descriptor_is_written),
		TEST(split_thousands_of_chains_leave_the_log_empty),
		TEST(packed_thousands_of_chains_leave_the_log_empty),
		TEST(split_noise_is_survived),
		TEST(packed_noise_is_survived),
		TEST(another_size_or_version_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
