/* SPDX-License-Identifier: BSD-2-Clause */
/* Several initiators on several reactors: what one does, the others find the same everywhere. */
#include "late.h"

#define KEY_A 0xaaaaull
#define KEY_B 0xbbbbull

static struct loop_cmd first, second;

/* ---- old writes and new writes ---- */

static struct loop_session *other(void)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:two", false);

	assert_ptr_not_equal(s->reactor, S0->reactor);
	return s;
}

static void start_write(struct loop_cmd *c, struct loop_session *s, const uint8_t *data)
{
	rig_cmd(c, s, CDB(0x2a, 0, B4(8), 0, B2(1), 0), NULL, data, rig_bs());
	rig_start(c);
}

static void expect_on_disk(struct loop_session *s, const uint8_t *want)
{
	uint8_t *got = rig_data(1, 0);

	while (tur(s).key == SK_UNIT_ATTENTION)
		;
	good(read10(s, 8, 1, got));
	assert_memory_equal(got, want, rig_bs());
}

/* The answer to @fn from @by comes after the delayed write of S0; a new write then stays. */
static void old_loses(enum tmf_function fn, struct loop_session *by)
{
	uint8_t *old = rig_data(1, 'o'), *new = rig_data(1, 'n');

	start_write(&first, S0, old);
	rig_step();
	assert_false(first.finished);
	assert_int_equal(rig_manage(by, fn, DISK_LUN, first.tag), TMF_COMPLETE);
	assert_true(first.finished);
	assert_true(verdict_status(first.scsi.verdict) == ST_TASK_ABORTED);
	while (tur(by).key == SK_UNIT_ATTENTION)
		;
	good(write10(by, 8, 1, new));
	expect_on_disk(by, new);
}

static void an_old_write_never_wins_over_one_after_a_reset_from_another_reactor(void **state)
{
	old_loses(TMF_LU_RESET, other());
}

static void an_old_write_never_wins_over_one_after_abort_task(void **state)
{
	old_loses(TMF_ABORT_TASK, S0);
}

static void an_old_write_never_wins_over_one_after_abort_task_set(void **state)
{
	old_loses(TMF_ABORT_TASK_SET, S0);
}

static void an_old_write_never_wins_over_one_after_its_session_was_replaced(void **state)
{
	struct loop_session *again = &rig.session[1];
	uint8_t *old = rig_data(1, 'o'), *new = rig_data(1, 'n');

	start_write(&first, S0, old);
	rig_step();
	*again = *S0;
	again->nexus = NULL;
	rig.nsessions = 2;
	reactor_turn(rig.reactor[0], 0);
	loop_login(&rig.ts, again);
	rig_until(again->nexus && again->nexus->state == NEXUS_LIVE);
	assert_true(first.finished);
	while (tur(again).key == SK_UNIT_ATTENTION)
		;
	good(write10(again, 8, 1, new));
	expect_on_disk(again, new);
}

/* ---- reservations that race (SPC-5 5.14) ---- */

static uint8_t *pr_list(uint64_t key, uint64_t sark)
{
	uint8_t *p = rig_data(1, 0);

	memset(p, 0, 24);
	be_store(p, 8, key);
	be_store(p + 8, 8, sark);
	return p;
}

static void start_pr_out(struct loop_cmd *c, struct loop_session *s, uint8_t sa, uint8_t type,
			 uint64_t key, uint64_t sark)
{
	rig_cmd(c, s, CDB(0x5f, sa, type, 0, 0, B4(24), 0), NULL, pr_list(key, sark), 24);
	rig_start(c);
}

static void pr_out(struct loop_session *s, uint8_t sa, uint8_t type, uint64_t key, uint64_t sark)
{
	start_pr_out(&first, s, sa, type, key, sark);
	rig_until(first.finished);
	good(rig_result(&first));
}

static void both_end(void)
{
	rig_until(first.finished && second.finished);
}

/* PERSISTENT RESERVE IN @sa as @s sees it. */
static uint32_t pr_in(struct loop_session *s, uint8_t sa, uint8_t *data)
{
	struct res r;

	memset(data, 0, 256);
	do
		r = in(s, data, 256, CDB(0x5e, sa, 0, 0, 0, 0, 0, B2(256), 0));
	while (r.key == SK_UNIT_ATTENTION);
	good(r);
	return (uint32_t)be_load(data + 4, 4);
}

/* Both nexuses are told the same registrations and reservation. Returns the bytes of keys. */
static uint32_t expect_same_view(struct loop_session *a, struct loop_session *b)
{
	uint8_t va[256], vb[256];
	uint32_t len;

	pr_in(a, 1, va);
	pr_in(b, 1, vb);
	assert_memory_equal(va, vb, sizeof(va));
	len = pr_in(a, 0, va);
	pr_in(b, 0, vb);
	assert_memory_equal(va, vb, sizeof(va));
	return len;
}

static void register_both(struct loop_session *b)
{
	pr_out(S0, 0, 0, 0, KEY_A);
	pr_out(b, 0, 0, 0, KEY_B);
}

/* Of two that race, exactly one gets it, whoever is asked. */
static void reserve_race(bool b_first)
{
	struct loop_session *b = other();
	struct res ra, rb;

	register_both(b);
	if (b_first)
		start_pr_out(&second, b, 1, 3, KEY_B, 0);
	start_pr_out(&first, S0, 1, 1, KEY_A, 0);
	if (!b_first)
		start_pr_out(&second, b, 1, 3, KEY_B, 0);
	both_end();
	ra = rig_result(&first);
	rb = rig_result(&second);
	assert_int_equal((ra.status == ST_GOOD) + (rb.status == ST_GOOD), 1);
	assert_int_equal((ra.status == ST_RESERVATION_CONFLICT) +
				 (rb.status == ST_RESERVATION_CONFLICT),
			 1);
	assert_int_equal(expect_same_view(S0, b), 16);
	/* and each reactor enforces what all were told */
	assert_int_equal(write10(ra.status == ST_GOOD ? b : S0, 0, 1, rig_data(1, 1)).status,
			 ST_RESERVATION_CONFLICT);
	good(write10(ra.status == ST_GOOD ? S0 : b, 0, 1, rig_data(1, 1)));
}

static void of_two_racing_reservations_one_holds_everywhere(void **state)
{
	reserve_race(false);
}

static void of_two_racing_reservations_one_holds_everywhere_the_other_way_round(void **state)
{
	reserve_race(true);
}

static void of_two_racing_preempts_one_registration_is_left_everywhere(void **state)
{
	struct loop_session *b = other();
	struct res ra, rb;

	register_both(b);
	pr_out(S0, 1, 1, KEY_A, 0);
	start_pr_out(&first, S0, 4, 1, KEY_A, KEY_B);
	start_pr_out(&second, b, 4, 1, KEY_B, KEY_A);
	both_end();
	ra = rig_result(&first);
	rb = rig_result(&second);
	assert_int_equal((ra.status == ST_GOOD) + (rb.status == ST_GOOD), 1);
	assert_int_equal(expect_same_view(S0, b), 8);
}

static void preempt_and_abort_waits_for_the_preempted_writes(void **state)
{
	struct loop_session *b = other();
	uint8_t *old = rig_data(1, 'o'), *new = rig_data(1, 'n');

	register_both(b);
	start_write(&first, b, old);
	rig_step();
	assert_false(first.finished);
	start_pr_out(&second, S0, 5, 1, KEY_A, KEY_B);
	rig_until(second.finished);
	good(rig_result(&second));
	assert_true(first.finished);
	assert_int_equal(first.scsi.verdict, V_TASK_ABORTED);
	good(write10(S0, 8, 1, new));
	expect_on_disk(S0, new);
}

static void preempt_and_abort_does_not_disturb_the_others(void **state)
{
	struct loop_session *b = other(), *c = rig_login("iqn.2026-11.test:three", false);

	assert_ptr_equal(c->reactor, S0->reactor);
	register_both(b);
	start_write(&first, S0, rig_data(1, 'o'));
	rig_step();
	start_pr_out(&second, b, 5, 1, KEY_B, KEY_A);
	rig_until(first.scsi.abort);
	good(tur(c));
	rig_until(second.finished);
	good(rig_result(&second));
	good(tur(c));
}

/* ---- what one changes, the others hear ---- */

static void mode_parameters_are_shared_and_their_change_is_told(void **state)
{
	struct loop_session *b = other();
	uint8_t page[24];
	bool wce;

	good(in(S0, page, 24, CDB(0x1a, 0x08, 0x08, 0, 24, 0)));
	wce = page[4 + 2] & 4;
	page[0] = page[2] = 0; /* reserved in MODE SELECT */
	page[4] &= 0x3f; /* so is PS */
	page[4 + 2] ^= 4;
	good(out(S0, page, 24, CDB(0x15, 0x10, 0, 0, 24, 0)));
	expect(tur(b), V_UA_MODE_CHANGED);
	good(in(b, page, 24, CDB(0x1a, 0x08, 0x08, 0, 24, 0)));
	assert_int_equal(page[4 + 2] & 4, wce ? 0 : 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		late_test(an_old_write_never_wins_over_one_after_a_reset_from_another_reactor),
		late_test(an_old_write_never_wins_over_one_after_abort_task),
		late_test(an_old_write_never_wins_over_one_after_abort_task_set),
		late_test(an_old_write_never_wins_over_one_after_its_session_was_replaced),
		late_test(of_two_racing_reservations_one_holds_everywhere),
		late_test(of_two_racing_reservations_one_holds_everywhere_the_other_way_round),
		late_test(of_two_racing_preempts_one_registration_is_left_everywhere),
		late_test(preempt_and_abort_waits_for_the_preempted_writes),
		late_test(preempt_and_abort_does_not_disturb_the_others),
		late_test(mode_parameters_are_shared_and_their_change_is_told),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests_name("scsi nexuses", tests, NULL, NULL);
}
