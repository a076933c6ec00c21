/* SPDX-License-Identifier: BSD-2-Clause */
/* READ and WRITE. */
#include "rig.h"

static struct cdb rw(uint8_t op, uint64_t lba, uint32_t n)
{
	switch (op >> 5) {
	case 0:
		return CDB(op, B3(lba), n, 0);
	case 1:
		return CDB(op, 0, B4(lba), 0, B2(n), 0);
	case 5:
		return CDB(op, 0, B4(lba), B4(n), 0, 0);
	default:
		return CDB(op, 0, B8(lba), B4(n), 0, 0);
	}
}

static const uint8_t reads[] = { 0x08, 0x28, 0xa8, 0x88 }, writes[] = { 0x0a, 0x2a, 0xaa, 0x8a };

static void what_is_written_is_read_back_by_every_length_of_cdb(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		uint8_t *w = rig_data(8, (uint8_t)(i + 1)), *r = rig_data(8, 0);

		good(out(S0, w, 8 * rig_bs(), rw(writes[i], 100 + i, 8)));
		for (unsigned j = 0; j < 4; j++) {
			memset(r, 0, 8 * rig_bs());
			good(in(S0, r, 8 * rig_bs(), rw(reads[j], 100 + i, 8)));
			assert_memory_equal(r, w, 8 * rig_bs());
		}
	}
}

static void never_written_blocks_read_as_zeroes(void **state)
{
	uint8_t *r = rig_data(4, 9);

	good(read10(S0, 5000, 4, r));
	for (unsigned i = 0; i < 4 * rig_bs(); i++)
		assert_int_equal(r[i], 0);
}

static void a_transfer_length_of_zero_moves_nothing(void **state)
{
	uint8_t *d = rig_data(1, 1);

	for (unsigned i = 1; i < 4; i++) {
		struct res r = in(S0, d, rig_bs(), rw(reads[i], 0, 0));

		good(r);
		assert_int_equal(r.len, 0);
		assert_int_equal(r.residual, RESID_UNDERFLOW);
		assert_int_equal(r.residual_count, rig_bs());
		good(none(S0, rw(writes[i], 0, 0)));
	}
}

static void zero_means_256_blocks_to_read_6_and_write_6(void **state)
{
	uint8_t *w = rig_data(256, 3), *b = rig_data(256, 0);
	struct res r = out(S0, w, 256 * rig_bs(), rw(0x0a, 7, 0));

	good(r);
	assert_int_equal(r.residual, RESID_NONE);
	r = in(S0, b, 256 * rig_bs(), rw(0x08, 7, 0));
	good(r);
	assert_int_equal(r.len, 256 * rig_bs());
	assert_memory_equal(b, w, 256 * rig_bs());
}

static void the_last_block_is_reachable(void **state)
{
	uint8_t *w = rig_data(1, 77), *b = rig_data(1, 0);

	good(write10(S0, rig_blocks() - 1, 1, w));
	good(read10(S0, rig_blocks() - 1, 1, b));
	assert_memory_equal(b, w, rig_bs());
}

static void beyond_the_last_block_the_first_bad_lba_is_in_information(void **state)
{
	uint8_t *d = rig_data(2, 1);
	uint64_t n = rig_blocks();

	for (unsigned i = 1; i < 4; i++) {
		struct res r = in(S0, d, 2 * rig_bs(), rw(reads[i], n - 1, 2));

		expect(r, V_LBA_OUT_OF_RANGE);
		assert_true(r.info_valid);
		assert_int_equal(r.info, n);
		assert_int_equal(r.len, 0);
		r = out(S0, d, 2 * rig_bs(), rw(writes[i], n + 5, 2));
		expect(r, V_LBA_OUT_OF_RANGE);
		assert_int_equal(r.info, n + 5);
	}
	expect(in(S0, d, rig_bs(), rw(0x88, UINT64_MAX, 1)), V_LBA_OUT_OF_RANGE);
	expect(in(S0, d, rig_bs(), rw(0x88, UINT64_MAX - 1, UINT32_MAX)), V_LBA_OUT_OF_RANGE);
	expect(out(S0, d, rig_bs(), rw(0x8a, 1ull << 63, 1)), V_LBA_OUT_OF_RANGE);
	expect(none(S0, rw(0x28, n + 1, 0)), V_LBA_OUT_OF_RANGE);
	good(none(S0, rw(0x28, n, 0)));
}

static void an_lba_above_32_bits_is_no_information_in_fixed_format(void **state)
{
	uint8_t *d = rig_data(1, 1);
	struct res r = in(S0, d, rig_bs(), rw(0x88, 1ull << 40, 1));

	expect(r, V_LBA_OUT_OF_RANGE);
	assert_false(r.info_valid);
}

static void more_than_the_maximum_transfer_length_is_refused(void **state)
{
	uint32_t limit = (uint32_t)(MIB(32) / rig_bs());
	uint8_t *d = rig_data(1, 1);

	expect_cdb(in(S0, d, rig_bs(), rw(0x88, 0, limit + 1)), 10, 7);
	expect_cdb(out(S0, d, rig_bs(), rw(0xaa, 0, limit + 1)), 6, 7);
}

static void a_transfer_of_many_pieces_is_whole(void **state)
{
	uint32_t n = (uint32_t)(5 * MIB(1) / rig_bs()) + 3;
	uint8_t *w = rig_data(n, 5), *b = rig_data(n, 0);
	struct res r;

	good(out(S0, w, n * rig_bs(), rw(0x8a, 11, n)));
	r = in(S0, b, n * rig_bs(), rw(0x88, 11, n));
	good(r);
	assert_int_equal(r.len, n * rig_bs());
	assert_memory_equal(b, w, n * rig_bs());
}

static void late_data_in_small_segments_are_put_together(void **state)
{
	uint32_t n = (uint32_t)(3 * MIB(1) / rig_bs());
	uint8_t *w = rig_data(n, 8), *b = rig_data(n, 0);
	struct loop_cmd c;

	rig_cmd(&c, S0, rw(0x8a, 1, n), NULL, w, n * rig_bs());
	c.late = true;
	c.segment = 700;
	rig_start(&c);
	rig_until(c.finished);
	good(rig_result(&c));
	good(in(S0, b, n * rig_bs(), rw(0x88, 1, n)));
	assert_memory_equal(b, w, n * rig_bs());
}

static void as_much_as_is_expected_is_read_and_no_more(void **state)
{
	uint8_t *b = rig_data(4, 0xcc), *w = rig_data(4, 4);
	struct res r;

	good(write10(S0, 20, 4, w));
	r = in(S0, b, 2 * rig_bs() + 100, rw(0x28, 20, 4));
	good(r);
	assert_int_equal(r.len, 2 * rig_bs() + 100);
	assert_memory_equal(b, w, 2 * rig_bs() + 100);
	assert_int_equal(r.residual, RESID_OVERFLOW);
	assert_int_equal(r.residual_count, 2 * rig_bs() - 100);
}

static void only_whole_blocks_of_what_is_sent_are_written(void **state)
{
	uint8_t *before = rig_data(4, 1), *w = rig_data(4, 2), *b = rig_data(4, 0);
	struct res r;

	good(write10(S0, 40, 4, before));
	r = out(S0, w, rig_bs() + 1, rw(0x2a, 40, 4));
	good(r);
	assert_int_equal(r.residual, RESID_OVERFLOW);
	good(read10(S0, 40, 4, b));
	assert_memory_equal(b, w, rig_bs());
	assert_memory_equal(b + rig_bs(), before + rig_bs(), 3 * rig_bs());
}

static void nothing_expected_moves_nothing(void **state)
{
	struct res r = none(S0, rw(0x28, 0, 3));

	good(r);
	assert_int_equal(r.residual, RESID_OVERFLOW);
	assert_int_equal(r.residual_count, 3 * rig_bs());
}

static void an_initiator_that_expects_more_learns_the_underflow(void **state)
{
	uint8_t *b = rig_data(4, 0);
	struct res r = in(S0, b, 4 * rig_bs(), rw(0x28, 0, 1));

	good(r);
	assert_int_equal(r.len, rig_bs());
	assert_int_equal(r.residual, RESID_UNDERFLOW);
	assert_int_equal(r.residual_count, 3 * rig_bs());
}

static void a_write_flagged_as_a_read_is_refused(void **state)
{
	expect(in(S0, rig_data(1, 1), rig_bs(), rw(0x2a, 0, 1)), V_INVALID_FIELD_IN_IU);
}

static void a_read_flagged_as_a_write_brings_only_a_residual(void **state)
{
	struct res r = out(S0, rig_data(1, 1), rig_bs(), rw(0x28, 0, 1));

	good(r);
	assert_int_equal(r.residual, RESID_OVERFLOW);
	assert_int_equal(r.residual_count, rig_bs());
}

static void protection_information_is_refused(void **state)
{
	uint8_t *d = rig_data(1, 1);

	expect_cdb(in(S0, d, rig_bs(), CDB(0x28, 0x20, B4(0), 0, B2(1), 0)), 1, 5);
	expect_cdb(out(S0, d, rig_bs(), CDB(0x2a, 0xe0, B4(0), 0, B2(1), 0)), 1, 7);
}

static void dpo_and_fua_are_taken(void **state)
{
	uint8_t *w = rig_data(1, 6), *b = rig_data(1, 0);

	good(out(S0, w, rig_bs(), CDB(0x2a, 0x18, B4(3), 0, B2(1), 0)));
	good(in(S0, b, rig_bs(), CDB(0x28, 0x18, B4(3), 0, B2(1), 0)));
	assert_memory_equal(b, w, rig_bs());
}

static void two_sessions_on_two_reactors_see_each_others_writes(void **state)
{
	struct loop_session *other = rig_login("iqn.2026-11.test:two", false);
	uint8_t *w = rig_data(8, 1), *b = rig_data(8, 0);

	assert_ptr_not_equal(S0->reactor, other->reactor);
	good(write10(S0, 64, 8, w));
	good(read10(other, 64, 8, b));
	assert_memory_equal(b, w, 8 * rig_bs());
}

static void many_commands_at_once_all_finish(void **state)
{
	static struct loop_cmd c[64];
	uint8_t *w = rig_data(64, 1), *b = rig_data(64, 0);

	for (unsigned i = 0; i < 64; i++) {
		rig_cmd(&c[i], S0, rw(0x2a, i, 1), NULL, w + i * rig_bs(), rig_bs());
		c[i].late = i & 1;
		rig_start(&c[i]);
	}
	for (unsigned i = 0; i < 64; i++) {
		rig_until(c[i].finished);
		good(rig_result(&c[i]));
	}
	good(read10(S0, 0, 64, b));
	assert_memory_equal(b, w, 64 * rig_bs());
}

static void an_aborted_write_leaves_the_medium_alone(void **state)
{
	uint8_t *before = rig_data(1, 1), *w = rig_data(1, 2), *b = rig_data(1, 0);
	struct loop_cmd c;

	good(write10(S0, 9, 1, before));
	rig_cmd(&c, S0, rw(0x2a, 9, 1), NULL, w, rig_bs());
	c.withhold = true;
	rig_start(&c);
	rig_until(c.asked);
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK, DISK_LUN, c.tag), TMF_COMPLETE);
	assert_true(c.finished);
	assert_int_equal(c.scsi.verdict, V_ABORTED_SILENTLY);
	good(read10(S0, 9, 1, b));
	assert_memory_equal(b, before, rig_bs());
}

static void a_reset_from_another_session_ends_a_waiting_write_with_task_aborted(void **state)
{
	struct loop_session *other = rig_login("iqn.2026-11.test:two", false);
	uint8_t *w = rig_data(1, 2);
	struct loop_cmd c;

	rig_cmd(&c, S0, rw(0x2a, 9, 1), NULL, w, rig_bs());
	c.withhold = true;
	rig_start(&c);
	rig_until(c.asked);
	assert_int_equal(rig_manage(other, TMF_LU_RESET, DISK_LUN, 0), TMF_COMPLETE);
	rig_until(c.finished);
	expect(rig_result(&c), V_TASK_ABORTED);
	expect(tur(S0), V_UA_BUS_DEVICE_RESET);
	good(tur(S0));
	expect(tur(other), V_UA_BUS_DEVICE_RESET);
}

static void counters_count_commands_and_bytes(void **state)
{
	uint8_t *d = rig_data(8, 1);
	struct lu_stats before, after;

	lu_get_stats(rig.lu, &before);
	good(write10(S0, 0, 8, d));
	good(read10(S0, 0, 2, d));
	lu_get_stats(rig.lu, &after);
	assert_int_equal(after.write_bytes - before.write_bytes, 8 * rig_bs());
	assert_int_equal(after.read_bytes - before.read_bytes, 2 * rig_bs());
	assert_int_equal(after.write_cmds - before.write_cmds, 1);
	assert_int_equal(after.read_cmds - before.read_cmds, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(what_is_written_is_read_back_by_every_length_of_cdb),
		rig_test(never_written_blocks_read_as_zeroes),
		rig_test(a_transfer_length_of_zero_moves_nothing),
		rig_test(zero_means_256_blocks_to_read_6_and_write_6),
		rig_test(the_last_block_is_reachable),
		rig_test(beyond_the_last_block_the_first_bad_lba_is_in_information),
		rig_test(an_lba_above_32_bits_is_no_information_in_fixed_format),
		rig_test(more_than_the_maximum_transfer_length_is_refused),
		rig_test(a_transfer_of_many_pieces_is_whole),
		rig_test(late_data_in_small_segments_are_put_together),
		rig_test(as_much_as_is_expected_is_read_and_no_more),
		rig_test(only_whole_blocks_of_what_is_sent_are_written),
		rig_test(nothing_expected_moves_nothing),
		rig_test(an_initiator_that_expects_more_learns_the_underflow),
		rig_test(a_write_flagged_as_a_read_is_refused),
		rig_test(a_read_flagged_as_a_write_brings_only_a_residual),
		rig_test(protection_information_is_refused),
		rig_test(dpo_and_fua_are_taken),
		rig_test(two_sessions_on_two_reactors_see_each_others_writes),
		rig_test(many_commands_at_once_all_finish),
		rig_test(an_aborted_write_leaves_the_medium_alone),
		rig_test(a_reset_from_another_session_ends_a_waiting_write_with_task_aborted),
		rig_test(counters_count_commands_and_bytes),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
