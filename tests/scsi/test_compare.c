/* SPDX-License-Identifier: BSD-2-Clause */
/* COMPARE AND WRITE (SBC-4 5.3). */
#include "late.h"

#define LBA 16

static struct loop_cmd first, second;

static struct cdb caw(uint64_t lba, uint8_t n)
{
	return CDB(0x89, 0, B8(lba), 0, 0, 0, n, 0, 0);
}

/* @n blocks to compare and @n to write. */
static uint8_t *order(const uint8_t *old, const uint8_t *new, unsigned n)
{
	uint8_t *d = rig_data(2 * n, 0);

	memcpy(d, old, n * rig_bs());
	memcpy(d + n * rig_bs(), new, n * rig_bs());
	return d;
}

static struct res compare(const uint8_t *old, const uint8_t *new, unsigned n)
{
	return out(S0, order(old, new, n), 2 * n * rig_bs(), caw(LBA, (uint8_t)n));
}

static void expect_medium(const uint8_t *want, unsigned n)
{
	uint8_t *got = rig_data(n, 0);

	good(read10(S0, LBA, n, got));
	assert_memory_equal(got, want, n * rig_bs());
}

static void equal_data_are_replaced(void **state)
{
	uint8_t *a = rig_data(3, 'a'), *b = rig_data(3, 'b');

	good(write10(S0, LBA, 3, a));
	good(compare(a, b, 3));
	expect_medium(b, 3);
}

static void a_miscompare_writes_nothing_and_tells_the_byte(void **state)
{
	uint8_t *a = rig_data(2, 'a'), *b = rig_data(2, 'b'), *x = rig_data(2, 'a');
	struct res r;

	good(write10(S0, LBA, 2, a));
	x[rig_bs() + 7] ^= 1;
	r = compare(x, b, 2);
	expect(r, V_MISCOMPARE);
	assert_true(r.info_valid);
	assert_int_equal(r.info, rig_bs() + 7);
	expect_medium(a, 2);
}

static void no_blocks_are_no_error(void **state)
{
	good(none(S0, caw(LBA, 0)));
}

static void data_for_another_number_of_blocks_are_refused(void **state)
{
	uint8_t *d = rig_data(4, 1);

	expect_cdb(out(S0, d, 4 * rig_bs(), caw(LBA, 1)), 13, 7);
	expect_cdb(out(S0, d, rig_bs(), caw(LBA, 1)), 13, 7);
	expect_cdb(out(S0, d, rig_bs(), caw(LBA, 0)), 13, 7);
}

static void more_than_the_limit_is_refused(void **state)
{
	uint8_t vpd[64];
	unsigned most;

	good(in(S0, vpd, 64, CDB(0x12, 1, 0xb0, 0, 64, 0)));
	most = vpd[5];
	assert_true(most >= 1);
	if (most < 255)
		expect_cdb(out(S0, rig_data(2 * most + 2, 1), (2 * most + 2) * rig_bs(),
			       caw(LBA, (uint8_t)(most + 1))),
			   13, 7);
}

static void beyond_the_last_block_is_refused(void **state)
{
	expect(out(S0, rig_data(4, 1), 4 * rig_bs(), caw(rig_blocks() - 1, 2)), V_LBA_OUT_OF_RANGE);
}

/* ---- one uninterrupted action, with a store whose writes land late ---- */

static struct loop_session *other(void)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:two", false);

	assert_ptr_not_equal(s->reactor, S0->reactor);
	return s;
}

static void start_caw(struct loop_cmd *c, struct loop_session *s, const uint8_t *old,
		      const uint8_t *new)
{
	rig_cmd(c, s, caw(LBA, 1), NULL, order(old, new, 1), 2 * rig_bs());
	rig_start(c);
}

static void start_write(struct loop_cmd *c, struct loop_session *s, const uint8_t *d)
{
	rig_cmd(c, s, CDB(0x2a, 0, B4(LBA), 0, B2(1), 0), NULL, d, rig_bs());
	rig_start(c);
}

static void of_two_that_compare_with_the_same_data_one_wins(void **state)
{
	struct loop_session *s = other();
	uint8_t *a = rig_data(1, 'a'), *b = rig_data(1, 'b'), *c = rig_data(1, 'c');
	struct res r1, r2;

	good(write10(S0, LBA, 1, a));
	start_caw(&first, S0, a, b);
	start_caw(&second, s, a, c);
	rig_until(first.finished && second.finished);
	r1 = rig_result(&first);
	r2 = rig_result(&second);
	assert_int_equal((r1.status == ST_GOOD) + (r2.status == ST_GOOD), 1);
	expect_medium(r1.status == ST_GOOD ? b : c, 1);
}

static void a_write_under_way_comes_before_the_comparison(void **state)
{
	struct loop_session *s = other();
	uint8_t *a = rig_data(1, 'a'), *b = rig_data(1, 'b'), *c = rig_data(1, 'c');

	good(write10(S0, LBA, 1, a));
	start_write(&second, s, c);
	rig_step();
	assert_false(second.finished);
	start_caw(&first, S0, a, b);
	rig_until(first.finished);
	expect(rig_result(&first), V_MISCOMPARE);
	assert_true(second.finished);
	expect_medium(c, 1);
}

static void a_write_that_comes_later_waits_for_the_end(void **state)
{
	struct loop_session *s = other();
	uint8_t *a = rig_data(1, 'a'), *b = rig_data(1, 'b'), *c = rig_data(1, 'c');

	good(write10(S0, LBA, 1, a));
	start_caw(&first, S0, a, b);
	rig_until(rig.lu->part[0].view.guarded && rig.lu->part[1].view.guarded);
	start_write(&second, s, c);
	rig_until(first.finished);
	assert_false(second.finished);
	good(rig_result(&first));
	rig_until(second.finished);
	expect_medium(c, 1);
}

static void an_aborted_one_gives_the_guard_back(void **state)
{
	uint8_t *a = rig_data(1, 'a'), *b = rig_data(1, 'b');

	good(write10(S0, LBA, 1, a));
	start_caw(&first, S0, a, b);
	start_caw(&second, S0, a, b);
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK_SET, DISK_LUN, 0), TMF_COMPLETE);
	rig_until(first.finished && second.finished);
	good(write10(S0, LBA, 1, b));
	expect_medium(b, 1);
}

static void a_parked_write_can_be_aborted(void **state)
{
	struct loop_session *s = other();
	uint8_t *a = rig_data(1, 'a'), *b = rig_data(1, 'b'), *c = rig_data(1, 'c');

	good(write10(S0, LBA, 1, a));
	start_caw(&first, S0, a, b);
	rig_until(rig.lu->part[0].view.guarded && rig.lu->part[1].view.guarded);
	start_write(&second, s, c);
	assert_int_equal(rig_manage(s, TMF_ABORT_TASK, DISK_LUN, second.tag), TMF_COMPLETE);
	rig_until(first.finished && second.finished);
	good(rig_result(&first));
	expect_medium(b, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		late_test(equal_data_are_replaced),
		late_test(a_miscompare_writes_nothing_and_tells_the_byte),
		late_test(no_blocks_are_no_error),
		late_test(data_for_another_number_of_blocks_are_refused),
		late_test(more_than_the_limit_is_refused),
		late_test(beyond_the_last_block_is_refused),
		late_test(of_two_that_compare_with_the_same_data_one_wins),
		late_test(a_write_under_way_comes_before_the_comparison),
		late_test(a_write_that_comes_later_waits_for_the_end),
		late_test(an_aborted_one_gives_the_guard_back),
		late_test(a_parked_write_can_be_aborted),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests_name("scsi compare", tests, NULL, NULL);
}
