/* SPDX-License-Identifier: BSD-2-Clause */
/* UNMAP, WRITE SAME, GET LBA STATUS. */
#include "rig.h"

#define CHUNK 65536 /* what the memory store gives back at once, bytes */

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* A list of one descriptor; returns its length. */
static unsigned unmap_list(uint8_t *p, uint64_t lba, uint32_t n)
{
	memset(p, 0, 24);
	be_store(p, 2, 22);
	be_store(p + 2, 2, 16);
	be_store(p + 8, 8, lba);
	be_store(p + 16, 4, n);
	return 24;
}

static struct res unmap(const void *list, uint32_t len)
{
	return out(S0, list, len, CDB(0x42, 0, 0, 0, 0, 0, 0, B2(len), 0));
}

static struct res same16(uint8_t flags, uint64_t lba, uint32_t n, const void *data)
{
	return out(S0, data, data ? rig_bs() : 0, CDB(0x93, flags, B8(lba), B4(n), 0, 0));
}

/* Write a pattern to [lba, lba + n). */
static void fill(uint64_t lba, uint32_t n)
{
	good(out(S0, rig_data(n, 1), n * rig_bs(), CDB(0x8a, 0, B8(lba), B4(n), 0, 0)));
}

static void expect_zero(uint64_t lba, uint32_t n, bool zero)
{
	uint8_t *b = rig_data(n, 3);

	good(in(S0, b, n * rig_bs(), CDB(0x88, 0, B8(lba), B4(n), 0, 0)));
	assert_int_equal(all_zero(b, n * rig_bs()), zero);
}

#define thin_only() \
	do { \
		if (!rig.disk.thin) \
			return; \
	} while (0)

static void unmap_is_for_thin_disks(void **state)
{
	uint8_t p[64];
	struct res r = unmap(p, unmap_list(p, 0, 1));

	expect(r, rig.disk.thin ? V_GOOD : V_INVALID_OPCODE);
}

static void unmapped_blocks_read_as_zeroes_and_their_neighbours_stay(void **state)
{
	uint8_t p[64];

	thin_only();
	fill(99, 10);
	good(unmap(p, unmap_list(p, 100, 8)));
	expect_zero(100, 8, true);
	expect_zero(99, 1, false);
	expect_zero(108, 1, false);
}

static void several_descriptors_are_all_unmapped(void **state)
{
	uint8_t p[8 + 3 * 16] = { 0 };

	thin_only();
	fill(0, 64);
	be_store(p, 2, sizeof(p) - 2);
	be_store(p + 2, 2, 48);
	for (unsigned i = 0; i < 3; i++) {
		be_store(p + 8 + i * 16, 8, i * 20);
		be_store(p + 16 + i * 16, 4, i == 1 ? 0 : 4); /* the second unmaps nothing */
	}
	good(unmap(p, sizeof(p)));
	expect_zero(0, 4, true);
	expect_zero(20, 4, false);
	expect_zero(40, 4, true);
}

static void a_descriptor_out_of_range_leaves_all_blocks_alone(void **state)
{
	uint8_t p[8 + 2 * 16] = { 0 };
	struct res r;

	thin_only();
	fill(0, 8);
	unmap_list(p, 0, 8);
	be_store(p, 2, sizeof(p) - 2);
	be_store(p + 2, 2, 32);
	be_store(p + 24, 8, rig_blocks() - 1);
	be_store(p + 32, 4, 2);
	r = unmap(p, sizeof(p));
	expect(r, V_LBA_OUT_OF_RANGE);
	assert_int_equal(r.info, rig_blocks());
	be_store(p + 24, 8, UINT64_MAX);
	be_store(p + 32, 4, UINT32_MAX);
	expect(unmap(p, sizeof(p)), V_LBA_OUT_OF_RANGE);
	expect_zero(0, 8, false);
}

static void short_unmap_lists_have_a_wrong_length(void **state)
{
	uint8_t p[64];

	thin_only();
	unmap_list(p, 0, 1);
	good(out(S0, NULL, 0, CDB(0x42, 0, 0, 0, 0, 0, 0, B2(0), 0)));
	for (unsigned i = 1; i < 8; i++)
		expect(unmap(p, i), V_PARAM_LIST_LENGTH);
	/* the initiator sends less than it says */
	expect(out(S0, p, 10, CDB(0x42, 0, 0, 0, 0, 0, 0, B2(24), 0)), V_PARAM_LIST_LENGTH);
}

static void descriptors_that_are_cut_off_are_ignored(void **state)
{
	uint8_t p[64];

	thin_only();
	fill(0, 8);
	unmap_list(p, 0, 8);
	for (unsigned i = 8; i < 24; i++)
		good(unmap(p, i)); /* by the parameter list length */
	be_store(p + 2, 2, 15);
	good(unmap(p, 24)); /* by their length field */
	expect_zero(0, 8, false);
	be_store(p + 2, 2, 0xffff); /* and one that claims more than there is */
	good(unmap(p, 24));
	expect_zero(0, 8, true);
}

static void too_many_descriptors_are_refused(void **state)
{
	static uint8_t p[8 + 257 * 16];

	thin_only();
	memset(p, 0, sizeof(p));
	be_store(p, 2, sizeof(p) - 2);
	be_store(p + 2, 2, 257 * 16);
	expect_param(unmap(p, sizeof(p)), 2, 7);
	be_store(p + 2, 2, 256 * 16);
	good(unmap(p, sizeof(p)));
}

static void anchors_are_refused(void **state)
{
	uint8_t p[64], *d = rig_data(1, 1);

	if (rig.disk.thin)
		expect_cdb(out(S0, p, unmap_list(p, 0, 1), CDB(0x42, 1, 0, 0, 0, 0, 0, B2(24), 0)),
			   1, 0);
	expect_cdb(same16(0x18, 0, 1, d), 1, 4);
	expect_cdb(out(S0, d, rig_bs(), CDB(0x41, 0x10, B4(0), 0, B2(1), 0)), 1, 4);
}

/* ---- WRITE SAME ---- */

static void one_block_is_written_everywhere(void **state)
{
	uint32_t n = (uint32_t)(MIB(1) / rig_bs()) + 5;
	uint8_t *d = rig_data(1, 42), *b = rig_data(n + 2, 0);

	good(same16(0, 10, n, d));
	good(in(S0, b, (n + 2) * rig_bs(), CDB(0x88, 0, B8(9), B4(n + 2), 0, 0)));
	assert_true(all_zero(b, rig_bs()));
	for (unsigned i = 1; i <= n; i++)
		assert_memory_equal(b + i * rig_bs(), d, rig_bs());
	assert_true(all_zero(b + (n + 1) * rig_bs(), rig_bs()));
}

static void write_same_10_does_the_same(void **state)
{
	uint8_t *d = rig_data(1, 42), *b = rig_data(3, 0);
	struct res r = out(S0, d, rig_bs(), CDB(0x41, 0, B4(5), 0, B2(3), 0));

	good(r);
	assert_int_equal(r.residual, RESID_NONE);
	good(read10(S0, 5, 3, b));
	for (unsigned i = 0; i < 3; i++)
		assert_memory_equal(b + i * rig_bs(), d, rig_bs());
}

static void zeroes_are_written_without_data_by_ndob(void **state)
{
	fill(0, 16);
	good(same16(0x01, 4, 8, NULL));
	expect_zero(4, 8, true);
	expect_zero(3, 1, false);
	expect_zero(12, 1, false);
}

static void a_block_of_zeroes_zeroes(void **state)
{
	uint8_t *d = rig_data(1, 0);

	memset(d, 0, rig_bs());
	fill(0, 16);
	good(same16(0, 4, 8, d));
	expect_zero(4, 8, true);
	expect_zero(12, 1, false);
}

static void unmap_by_write_same_is_for_thin_disks(void **state)
{
	uint8_t *d = rig_data(1, 0);
	struct res r;

	memset(d, 0, rig_bs());
	fill(0, 16);
	r = same16(0x08, 4, 8, d);
	if (!rig.disk.thin) {
		expect_cdb(r, 1, 3);
		expect_cdb(out(S0, d, rig_bs(), CDB(0x41, 0x08, B4(0), 0, B2(1), 0)), 1, 3);
		return;
	}
	good(r);
	expect_zero(4, 8, true);
	good(same16(0x09, 0, 4, NULL));
	expect_zero(0, 4, true);
}

static void unmap_with_other_data_writes_them(void **state)
{
	uint8_t *d = rig_data(1, 9), *b = rig_data(1, 0);

	thin_only();
	good(same16(0x08, 4, 8, d));
	good(read10(S0, 7, 1, b));
	assert_memory_equal(b, d, rig_bs());
}

static void lengths_of_write_same_are_checked(void **state)
{
	uint8_t *d = rig_data(1, 1);
	struct res r;

	expect_cdb(same16(0, 0, 0, d), 10, 7); /* WSNZ */
	expect_cdb(out(S0, d, rig_bs(), CDB(0x41, 0, B4(0), 0, B2(0), 0)), 7, 7);
	r = same16(0, rig_blocks() - 1, 2, d);
	expect(r, V_LBA_OUT_OF_RANGE);
	assert_int_equal(r.info, rig_blocks());
	expect(same16(0, UINT64_MAX, UINT32_MAX, d), V_LBA_OUT_OF_RANGE);
	expect(out(S0, d, 10, CDB(0x93, 0, B8(0), B4(4), 0, 0)), V_INVALID_FIELD_IN_IU);
}

static void obsolete_bits_of_write_same_are_refused(void **state)
{
	uint8_t *d = rig_data(1, 1);

	expect_cdb(out(S0, d, rig_bs(), CDB(0x41, 0x04, B4(0), 0, B2(1), 0)), 1, 2);
	expect_cdb(out(S0, d, rig_bs(), CDB(0x41, 0x02, B4(0), 0, B2(1), 0)), 1, 1);
	expect_cdb(out(S0, d, rig_bs(), CDB(0x41, 0x01, B4(0), 0, B2(1), 0)), 1, 0);
}

/* ---- GET LBA STATUS ---- */

static struct res lba_status(uint64_t lba, void *b, uint32_t alloc)
{
	return in(S0, b, alloc, CDB(0x9e, 0x12, B8(lba), B4(alloc), 0, 0));
}

static void the_status_of_an_empty_disk_is_one_hole(void **state)
{
	uint8_t b[512];
	struct res r = lba_status(3, b, sizeof(b));

	good(r);
	assert_int_equal(r.len, 24);
	assert_int_equal(be_load(b, 4), 20);
	assert_int_equal(be_load(b + 8, 8), 3);
	assert_int_equal(be_load(b + 16, 4), rig_blocks() - 3);
	assert_int_equal(b[20], 1);
}

static void mapped_and_deallocated_runs_alternate(void **state)
{
	uint32_t chunk = CHUNK / rig_bs();
	uint8_t b[512];
	struct res r;

	fill(2 * chunk, 1);
	fill(5 * chunk, chunk);
	r = lba_status(0, b, sizeof(b));
	good(r);
	assert_int_equal(r.len, 8 + 5 * 16);
	for (unsigned i = 0, at = 0; i < 5; i++) {
		static const uint8_t runs[] = { 2, 1, 2, 1 };

		assert_int_equal(be_load(b + 8 + i * 16, 8), at);
		assert_int_equal(b[8 + i * 16 + 12], i % 2 ? 0 : 1);
		if (i == 4)
			break;
		assert_int_equal(be_load(b + 16 + i * 16, 4), runs[i] * chunk);
		at += runs[i] * chunk;
	}
}

static void no_more_descriptors_are_made_than_were_asked_for(void **state)
{
	uint32_t chunk = CHUNK / rig_bs();
	uint8_t b[512];
	struct res r;

	fill(2 * chunk, 1);
	r = in(S0, b, sizeof(b), CDB(0x9e, 0x12, B8(0), B4(24), 0, 0));
	good(r);
	assert_int_equal(r.len, 24);
	assert_int_equal(be_load(b, 4), 20);
	r = lba_status(0, b, 4);
	good(r);
	assert_int_equal(r.len, 4);
	good(none(S0, CDB(0x9e, 0x12, B8(0), B4(0), 0, 0)));
}

static void the_status_beyond_the_last_block_is_refused(void **state)
{
	uint8_t b[64];

	expect(lba_status(rig_blocks(), b, 64), V_LBA_OUT_OF_RANGE);
	good(lba_status(rig_blocks() - 1, b, 64));
	assert_int_equal(be_load(b + 16, 4), 1);
	expect_cdb(in(S0, b, 64, CDB(0x9e, 0x12, B8(0), B4(64), 0x01, 0)), 14, 7);
}

static void unmapped_chunks_are_deallocated(void **state)
{
	uint32_t chunk = CHUNK / rig_bs();
	uint8_t p[64], b[512];

	thin_only();
	fill(0, 4 * chunk);
	good(unmap(p, unmap_list(p, chunk, 2 * chunk)));
	good(lba_status(0, b, sizeof(b)));
	assert_int_equal(be_load(b + 16, 4), chunk);
	assert_int_equal(b[20], 0);
	assert_int_equal(be_load(b + 32, 4), 2 * chunk);
	assert_int_equal(b[36], 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(unmap_is_for_thin_disks),
		rig_test(unmapped_blocks_read_as_zeroes_and_their_neighbours_stay),
		rig_test(several_descriptors_are_all_unmapped),
		rig_test(a_descriptor_out_of_range_leaves_all_blocks_alone),
		rig_test(short_unmap_lists_have_a_wrong_length),
		rig_test(descriptors_that_are_cut_off_are_ignored),
		rig_test(too_many_descriptors_are_refused),
		rig_test(anchors_are_refused),
		rig_test(one_block_is_written_everywhere),
		rig_test(write_same_10_does_the_same),
		rig_test(zeroes_are_written_without_data_by_ndob),
		rig_test(a_block_of_zeroes_zeroes),
		rig_test(unmap_by_write_same_is_for_thin_disks),
		rig_test(unmap_with_other_data_writes_them),
		rig_test(lengths_of_write_same_are_checked),
		rig_test(obsolete_bits_of_write_same_are_refused),
		rig_test(the_status_of_an_empty_disk_is_one_hole),
		rig_test(mapped_and_deallocated_runs_alternate),
		rig_test(no_more_descriptors_are_made_than_were_asked_for),
		rig_test(the_status_beyond_the_last_block_is_refused),
		rig_test(unmapped_chunks_are_deallocated),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
