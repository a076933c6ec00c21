/* SPDX-License-Identifier: BSD-2-Clause */
/* VERIFY, SYNCHRONIZE CACHE, READ CAPACITY. */
#include "rig.h"

static struct cdb verify(uint8_t op, uint8_t bytchk, uint64_t lba, uint32_t n)
{
	uint8_t b1 = (uint8_t)(bytchk << 1);

	switch (op) {
	case 0x2f:
		return CDB(op, b1, B4(lba), 0, B2(n), 0);
	case 0xaf:
		return CDB(op, b1, B4(lba), B4(n), 0, 0);
	default:
		return CDB(op, b1, B8(lba), B4(n), 0, 0);
	}
}

static const uint8_t ops[] = { 0x2f, 0xaf, 0x8f };

static void equal_data_verify(void **state)
{
	uint8_t *w = rig_data(32, 1);

	good(write10(S0, 50, 32, w));
	for (unsigned i = 0; i < 3; i++)
		good(out(S0, w, 32 * rig_bs(), verify(ops[i], 1, 50, 32)));
}

static void a_difference_is_a_miscompare_with_its_block(void **state)
{
	uint8_t *w = rig_data(32, 1);

	good(write10(S0, 50, 32, w));
	w[7 * rig_bs() + 5] ^= 1;
	for (unsigned i = 0; i < 3; i++) {
		struct res r = out(S0, w, 32 * rig_bs(), verify(ops[i], 1, 50, 32));

		expect(r, V_MISCOMPARE);
		assert_true(r.info_valid);
		assert_int_equal(r.info, 57);
	}
}

static void a_difference_in_a_later_piece_is_found(void **state)
{
	uint32_t n = (uint32_t)(MIB(1) / rig_bs());
	uint8_t *w = rig_data(n, 1);
	struct loop_cmd c;
	struct res r;

	good(out(S0, w, n * rig_bs(), CDB(0x8a, 0, B8(3), B4(n), 0, 0)));
	w[(n - 1) * rig_bs()] ^= 0x80;
	rig_cmd(&c, S0, verify(0x8f, 1, 3, n), NULL, w, n * rig_bs());
	c.segment = 1000;
	c.late = true;
	rig_start(&c);
	rig_until(c.finished);
	r = rig_result(&c);
	expect(r, V_MISCOMPARE);
	assert_int_equal(r.info, 3 + n - 1);
}

static void without_bytchk_the_medium_is_read_only(void **state)
{
	uint8_t *w = rig_data(1, 200);

	good(none(S0, verify(0x2f, 0, 0, 1000)));
	good(out(S0, w, rig_bs(), verify(0x2f, 0, 0, 1))); /* data that nobody asked for */
	good(none(S0, verify(0x8f, 0, 0, (uint32_t)rig_blocks())));
}

static void one_block_is_compared_with_all_by_bytchk_3(void **state)
{
	uint8_t *w = rig_data(16, 0), *one = rig_data(1, 9);
	struct res r;

	for (unsigned i = 0; i < 16; i++)
		memcpy(w + i * rig_bs(), one, rig_bs());
	good(write10(S0, 0, 16, w));
	r = out(S0, one, rig_bs(), verify(0x2f, 3, 0, 16));
	good(r);
	assert_int_equal(r.residual, RESID_NONE);
	w[11 * rig_bs()] ^= 1;
	good(write10(S0, 0, 16, w));
	r = out(S0, one, rig_bs(), verify(0x2f, 3, 0, 16));
	expect(r, V_MISCOMPARE);
	assert_int_equal(r.info, 11);
}

static void a_reserved_bytchk_is_refused(void **state)
{
	for (unsigned i = 0; i < 3; i++)
		expect_cdb(none(S0, verify(ops[i], 2, 0, 1)), 1, 2);
}

static void a_verification_length_of_zero_is_no_error(void **state)
{
	for (unsigned i = 0; i < 3; i++)
		for (uint8_t bytchk = 0; bytchk < 4; bytchk += bytchk == 1 ? 2 : 1)
			good(none(S0, verify(ops[i], bytchk, 0, 0)));
}

static void verify_beyond_the_last_block_is_refused(void **state)
{
	struct res r;

	for (unsigned i = 0; i < 3; i++) {
		r = none(S0, verify(ops[i], 0, rig_blocks() - 1, 2));
		expect(r, V_LBA_OUT_OF_RANGE);
		assert_int_equal(r.info, rig_blocks());
	}
	expect(none(S0, verify(0x8f, 0, UINT64_MAX, UINT32_MAX)), V_LBA_OUT_OF_RANGE);
}

static void only_whole_blocks_that_are_sent_are_compared(void **state)
{
	uint8_t *w = rig_data(4, 1);
	struct res r;

	good(write10(S0, 0, 4, w));
	memset(w + rig_bs(), 0xee, 3 * rig_bs());
	r = out(S0, w, rig_bs() + 10, verify(0x2f, 1, 0, 4));
	good(r);
	assert_int_equal(r.residual, RESID_OVERFLOW);
}

static void verify_protect_is_refused(void **state)
{
	expect_cdb(none(S0, CDB(0x2f, 0x20, B4(0), 0, B2(1), 0)), 1, 5);
}

/* ---- SYNCHRONIZE CACHE ---- */

static void the_cache_can_be_synchronized(void **state)
{
	uint8_t *w = rig_data(1, 1);

	good(write10(S0, 0, 1, w));
	good(none(S0, CDB(0x35, 0, B4(0), 0, B2(0), 0)));
	good(none(S0, CDB(0x35, 2, B4(5), 0, B2(9), 0))); /* IMMED */
	good(none(S0, CDB(0x35, 4, B4(5), 0, B2(9), 0))); /* SYNC_NV, obsolete */
	good(none(S0, CDB(0x91, 4, B8(0), B4(0), 0, 0)));
	good(none(S0, CDB(0x91, 0, B8(rig_blocks() - 1), B4(1), 0, 0)));
}

static void synchronizing_beyond_the_last_block_is_refused(void **state)
{
	expect(none(S0, CDB(0x35, 0, B4(rig_blocks()), 0, B2(1), 0)), V_LBA_OUT_OF_RANGE);
	expect(none(S0, CDB(0x91, 0, B8(rig_blocks() + 1), B4(0), 0, 0)), V_LBA_OUT_OF_RANGE);
}

/* ---- READ CAPACITY ---- */

static void the_capacity_is_the_last_block_and_its_length(void **state)
{
	uint8_t b[32];
	struct res r = in(S0, b, 8, CDB(0x25, 0, B4(0), 0, 0, 0, 0));

	good(r);
	assert_int_equal(r.len, 8);
	assert_int_equal(be_load(b, 4), rig_blocks() - 1);
	assert_int_equal(be_load(b + 4, 4), rig_bs());
	r = in(S0, b, 32, CDB(0x9e, 0x10, B8(0), B4(32), 0, 0));
	good(r);
	assert_int_equal(r.len, 32);
	assert_int_equal(be_load(b, 8), rig_blocks() - 1);
	assert_int_equal(be_load(b + 8, 4), rig_bs());
	assert_int_equal(b[12], 0);
	assert_int_equal(b[13], 3);
	assert_int_equal(b[14], rig.disk.thin ? 0xc0 : 0);
}

static void read_capacity_16_is_cut_to_the_allocation_length(void **state)
{
	uint8_t b[64];
	struct res r = in(S0, b, 64, CDB(0x9e, 0x10, B8(0), B4(12), 0, 0));

	good(r);
	assert_int_equal(r.len, 12);
	good(none(S0, CDB(0x9e, 0x10, B8(0), B4(0), 0, 0)));
}

static void the_obsolete_lba_of_read_capacity_must_be_zero(void **state)
{
	uint8_t b[8];

	expect_cdb(in(S0, b, 8, CDB(0x25, 0, B4(0x00010000), 0, 0, 0, 0)), 3, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(equal_data_verify),
		rig_test(a_difference_is_a_miscompare_with_its_block),
		rig_test(a_difference_in_a_later_piece_is_found),
		rig_test(without_bytchk_the_medium_is_read_only),
		rig_test(one_block_is_compared_with_all_by_bytchk_3),
		rig_test(a_reserved_bytchk_is_refused),
		rig_test(a_verification_length_of_zero_is_no_error),
		rig_test(verify_beyond_the_last_block_is_refused),
		rig_test(only_whole_blocks_that_are_sent_are_compared),
		rig_test(verify_protect_is_refused),
		rig_test(the_cache_can_be_synchronized),
		rig_test(synchronizing_beyond_the_last_block_is_refused),
		rig_test(the_capacity_is_the_last_block_and_its_length),
		rig_test(read_capacity_16_is_cut_to_the_allocation_length),
		rig_test(the_obsolete_lba_of_read_capacity_must_be_zero),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
