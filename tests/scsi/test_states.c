/* SPDX-License-Identifier: BSD-2-Clause */
/* Readiness, unit attentions, REQUEST SENSE, write protection, removable media, RESERVE(6). */
#include "rig.h"

static struct res start_stop(struct loop_session *s, uint8_t how)
{
	return none(s, CDB(0x1b, 0, 0, 0, how, 0));
}
#define STOP 0
#define START 1
#define EJECT 2
#define LOAD 3

static struct res prevent(struct loop_session *s, uint8_t how)
{
	return none(s, CDB(0x1e, 0, 0, 0, how, 0));
}

static struct res request_sense(struct loop_session *s, uint8_t desc, void *b, uint8_t alloc)
{
	return in(s, b, alloc, CDB(0x03, desc, 0, 0, alloc, 0));
}

/* ---- unit attentions and REQUEST SENSE ---- */

static void a_new_nexus_hears_of_power_on_once(void **state)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:new", true);
	uint8_t b[36];

	good(in(s, b, 36, CDB(0x12, 0, 0, 0, 36, 0)));
	good(in(s, b, 36, CDB(0xa0, 0, 0, 0, 0, 0, B4(36), 0, 0)));
	expect(tur(s), V_UA_POWER_ON);
	good(tur(s));
}

static void a_port_that_comes_back_hears_of_nexus_loss(void **state)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:new", true), *again;

	expect(tur(s), V_UA_POWER_ON);
	rig_logout(s);
	for (int i = 0; i < 20; i++)
		rig_step();
	again = &rig.session[1];
	reactor_turn(rig.reactor[0], 0);
	loop_login(&rig.ts, again);
	rig_until(again->nexus && again->nexus->state == NEXUS_LIVE);
	expect(tur(again), V_UA_NEXUS_LOSS);
}

static void request_sense_takes_the_unit_attention_as_data(void **state)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:new", true);
	uint8_t b[18];
	struct res r = request_sense(s, 0, b, 18);

	good(r);
	assert_int_equal(r.len, 18);
	assert_int_equal(b[0], 0x70);
	assert_int_equal(b[2], SK_UNIT_ATTENTION);
	assert_int_equal(b[12], 0x29);
	assert_int_equal(b[13], verdict_rows[V_UA_POWER_ON].ascq);
	good(tur(s));
}

static void request_sense_without_news_says_no_sense(void **state)
{
	uint8_t b[18];
	struct res r = request_sense(S0, 0, b, 18);

	good(r);
	assert_int_equal(b[0], 0x70);
	assert_int_equal(b[2], 0);
	assert_int_equal(b[12], 0);
	r = request_sense(S0, 1, b, 18);
	good(r);
	assert_int_equal(r.len, 8);
	assert_int_equal(b[0], 0x72);
	assert_int_equal(b[7], 0);
	good(none(S0, CDB(0x03, 0, 0, 0, 0, 0)));
}

static void a_read_with_a_pending_unit_attention_moves_nothing(void **state)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:new", true);
	uint8_t *d = rig_data(1, 1);
	struct res r = read10(s, 0, 1, d);

	expect(r, V_UA_POWER_ON);
	assert_int_equal(r.len, 0);
	good(read10(s, 0, 1, d));
}

/* ---- write protection ---- */

static void a_read_only_disk_refuses_every_change(void **state)
{
	uint8_t *d = rig_data(1, 1), list[24] = { 0, 22, 0, 16 };
	uint32_t bs = rig_bs();

	if (!rig.disk.readonly)
		return;
	expect(write10(S0, 0, 1, d), V_WRITE_PROTECTED);
	expect(out(S0, d, bs, CDB(0x0a, 0, 0, 0, 1, 0)), V_WRITE_PROTECTED);
	expect(out(S0, d, bs, CDB(0xaa, 0, B4(0), B4(1), 0, 0)), V_WRITE_PROTECTED);
	expect(out(S0, d, bs, CDB(0x8a, 0, B8(0), B4(1), 0, 0)), V_WRITE_PROTECTED);
	expect(out(S0, d, bs, CDB(0x41, 0, B4(0), 0, B2(1), 0)), V_WRITE_PROTECTED);
	expect(out(S0, d, bs, CDB(0x93, 0, B8(0), B4(1), 0, 0)), V_WRITE_PROTECTED);
	expect(out(S0, list, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, B2(24), 0)), V_WRITE_PROTECTED);
	good(read10(S0, 0, 1, d));
	good(none(S0, CDB(0x2f, 0, B4(0), 0, B2(1), 0)));
	good(none(S0, CDB(0x35, 0, B4(0), 0, B2(0), 0)));
}

/* ---- START STOP UNIT ---- */

static void a_stopped_unit_is_not_ready_for_anybody(void **state)
{
	struct loop_session *b = rig_login("iqn.2026-11.test:two", false);
	uint8_t buf[96], *d = rig_data(1, 1);

	good(start_stop(S0, STOP));
	expect(tur(S0), V_NOT_READY_STOPPED);
	expect(tur(b), V_NOT_READY_STOPPED);
	expect(read10(b, 0, 1, d), V_NOT_READY_STOPPED);
	good(in(b, buf, 96, CDB(0x12, 0, 0, 0, 96, 0)));
	good(request_sense(b, 0, buf, 18));
	assert_int_equal(buf[2], SK_NOT_READY);
	assert_int_equal(buf[12], 0x04);
	good(start_stop(S0, START));
	good(tur(b));
	good(read10(b, 0, 1, d));
}

static void power_conditions_are_refused(void **state)
{
	expect_cdb(none(S0, CDB(0x1b, 0, 0, 0, 0x10, 0)), 4, 7);
	expect_cdb(none(S0, CDB(0x1b, 0, 0, 0x02, 0x01, 0)), 3, 3);
	good(tur(S0));
}

static void only_removable_media_can_be_ejected(void **state)
{
	if (rig.disk.removable)
		return;
	expect_cdb(start_stop(S0, EJECT), 4, 1);
	good(tur(S0));
}

static void an_ejected_medium_is_not_present_until_it_is_loaded(void **state)
{
	struct loop_session *b;
	uint8_t buf[32];

	if (!rig.disk.removable)
		return;
	b = rig_login("iqn.2026-11.test:two", false);
	good(start_stop(S0, EJECT));
	expect(tur(S0), V_NO_MEDIUM);
	expect(in(b, buf, 8, CDB(0x25, 0, B4(0), 0, 0, 0, 0)), V_NO_MEDIUM);
	expect(start_stop(S0, START), V_NO_MEDIUM);
	good(start_stop(S0, EJECT)); /* again: no error */
	good(start_stop(S0, LOAD));
	good(tur(S0));
	expect(tur(b), V_UA_MEDIUM_CHANGED);
	good(tur(b));
}

static void removal_is_prevented_until_all_allow_it(void **state)
{
	struct loop_session *b;

	if (!rig.disk.removable)
		return;
	b = rig_login("iqn.2026-11.test:two", false);
	good(prevent(S0, 1));
	good(prevent(b, 1));
	expect(start_stop(S0, EJECT), V_MEDIUM_REMOVAL_PREVENTED);
	good(prevent(S0, 0));
	expect(start_stop(S0, EJECT), V_MEDIUM_REMOVAL_PREVENTED);
	good(tur(S0));
	rig_logout(b); /* the loss of the nexus allows, too */
	for (int i = 0; i < 20; i++)
		rig_step();
	good(start_stop(S0, EJECT));
}

static void a_prevented_tray_takes_no_medium_either(void **state)
{
	if (!rig.disk.removable)
		return;
	good(start_stop(S0, EJECT));
	good(prevent(S0, 1));
	expect(start_stop(S0, LOAD), V_MEDIUM_REMOVAL_PREVENTED);
	expect(tur(S0), V_NO_MEDIUM);
	good(prevent(S0, 0));
	good(start_stop(S0, LOAD));
	good(prevent(S0, 1));
	good(start_stop(S0, LOAD)); /* it is in: nothing to do */
	good(prevent(S0, 0));
}

static struct res pr_out(struct loop_session *s, uint8_t sa, uint64_t key, uint64_t sa_key)
{
	uint8_t list[24] = { 0 };

	be_store(list, 8, key);
	be_store(list + 8, 8, sa_key);
	return out(s, list, 24, CDB(0x5f, sa, 1, 0, 0, B4(24), 0));
}

static void preempt_alone_leaves_the_prevention_preempt_and_abort_ends_it(void **state)
{
	struct loop_session *b;

	if (!rig.disk.removable)
		return;
	b = rig_login("iqn.2026-11.test:two", false);
	good(pr_out(S0, 0, 0, 0xa));
	good(pr_out(b, 0, 0, 0xb));
	good(prevent(b, 1));
	good(pr_out(S0, 4, 0xa, 0xb));
	expect(start_stop(S0, EJECT), V_MEDIUM_REMOVAL_PREVENTED);
	expect(tur(b), V_UA_REG_PREEMPTED);
	good(pr_out(b, 0, 0, 0xb));
	good(pr_out(S0, 5, 0xa, 0xb));
	good(start_stop(S0, EJECT));
	good(start_stop(S0, LOAD));
}

static void a_reset_allows_removal(void **state)
{
	if (!rig.disk.removable)
		return;
	good(prevent(S0, 1));
	assert_int_equal(rig_manage(S0, TMF_LU_RESET, DISK_LUN, 0), TMF_COMPLETE);
	tur(S0);
	good(start_stop(S0, EJECT));
}

static void obsolete_values_of_prevent_are_refused(void **state)
{
	expect_cdb(prevent(S0, 2), 4, 1);
	expect_cdb(prevent(S0, 3), 4, 1);
	good(prevent(S0, 1));
	good(prevent(S0, 0));
}

/* ---- the administrator ---- */

static bool offline_decide(struct lu_tx *tx)
{
	disk_set_online(tx->lu, false);
	return true;
}

static bool online_decide(struct lu_tx *tx)
{
	disk_set_online(tx->lu, true);
	return true;
}

static bool resize_decide(struct lu_tx *tx)
{
	disk_set_size(tx->lu, rig.disk.size / 2);
	return true;
}

static bool tx_over;

static void tx_noted(struct lu_tx *tx)
{
	tx_over = true;
}

static void administrate(bool (*decide)(struct lu_tx *tx))
{
	struct lu_tx tx = { .decide = decide, .done = tx_noted };

	tx_over = false;
	reactor_turn(rig.control, 0);
	lu_tx_run(rig.lu, &tx);
	rig_until(tx_over);
	assert_int_equal(tx.verdict, V_GOOD);
}

static void the_administrator_takes_the_medium_and_brings_it_back(void **state)
{
	administrate(offline_decide);
	expect(tur(S0), V_NO_MEDIUM);
	administrate(online_decide);
	expect(tur(S0), V_UA_MEDIUM_CHANGED);
	good(tur(S0));
}

static void a_new_size_is_a_unit_attention(void **state)
{
	uint8_t b[8], *d = rig_data(1, 1);

	administrate(resize_decide);
	expect(tur(S0), V_UA_CAPACITY_CHANGED);
	good(in(S0, b, 8, CDB(0x25, 0, B4(0), 0, 0, 0, 0)));
	assert_int_equal(be_load(b, 4), rig_blocks() / 2 - 1);
	expect(read10(S0, rig_blocks() / 2, 1, d), V_LBA_OUT_OF_RANGE);
}

/* ---- RESERVE(6) and RELEASE(6) ---- */

static struct res reserve6(struct loop_session *s)
{
	return none(s, CDB(0x16, 0, 0, 0, 0, 0));
}

static struct res release6(struct loop_session *s)
{
	return none(s, CDB(0x17, 0, 0, 0, 0, 0));
}

static void a_reserved_unit_refuses_others_but_what_tells_about_it(void **state)
{
	struct loop_session *b = rig_login("iqn.2026-11.test:two", false);
	uint8_t buf[96], *d = rig_data(1, 1);

	good(reserve6(S0));
	good(reserve6(S0));
	expect(reserve6(b), V_RESERVATION_CONFLICT);
	expect(tur(b), V_RESERVATION_CONFLICT);
	expect(read10(b, 0, 1, d), V_RESERVATION_CONFLICT);
	expect(write10(b, 0, 1, d), V_RESERVATION_CONFLICT);
	expect(in(b, buf, 96, CDB(0x1a, 0, 0x3f, 0, 96, 0)), V_RESERVATION_CONFLICT);
	expect(prevent(b, 1), V_RESERVATION_CONFLICT);
	expect(start_stop(b, STOP), V_RESERVATION_CONFLICT);
	good(prevent(b, 0));
	good(in(b, buf, 96, CDB(0x12, 0, 0, 0, 96, 0)));
	good(in(b, buf, 96, CDB(0xa0, 0, 0, 0, 0, 0, B4(96), 0, 0)));
	good(in(b, buf, 8, CDB(0x25, 0, B4(0), 0, 0, 0, 0)));
	good(request_sense(b, 0, buf, 18));
	good(read10(S0, 0, 1, d));
	good(release6(b)); /* without effect */
	expect(tur(b), V_RESERVATION_CONFLICT);
	good(release6(S0));
	good(tur(b));
}

static void a_reservation_ends_with_its_nexus(void **state)
{
	struct loop_session *b = rig_login("iqn.2026-11.test:two", false);

	good(reserve6(b));
	expect(tur(S0), V_RESERVATION_CONFLICT);
	rig_logout(b);
	for (int i = 0; i < 20; i++)
		rig_step();
	good(tur(S0));
}

static void a_reset_ends_a_reservation(void **state)
{
	struct loop_session *b = rig_login("iqn.2026-11.test:two", false);

	good(reserve6(b));
	assert_int_equal(rig_manage(S0, TMF_LU_RESET, DISK_LUN, 0), TMF_COMPLETE);
	expect(tur(S0), V_UA_BUS_DEVICE_RESET);
	good(tur(S0));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_new_nexus_hears_of_power_on_once),
		rig_test(a_port_that_comes_back_hears_of_nexus_loss),
		rig_test(request_sense_takes_the_unit_attention_as_data),
		rig_test(request_sense_without_news_says_no_sense),
		rig_test(a_read_with_a_pending_unit_attention_moves_nothing),
		rig_test(a_read_only_disk_refuses_every_change),
		rig_test(a_stopped_unit_is_not_ready_for_anybody),
		rig_test(power_conditions_are_refused),
		rig_test(only_removable_media_can_be_ejected),
		rig_test(an_ejected_medium_is_not_present_until_it_is_loaded),
		rig_test(removal_is_prevented_until_all_allow_it),
		rig_test(a_prevented_tray_takes_no_medium_either),
		rig_test(preempt_alone_leaves_the_prevention_preempt_and_abort_ends_it),
		rig_test(a_reset_allows_removal),
		rig_test(obsolete_values_of_prevent_are_refused),
		rig_test(the_administrator_takes_the_medium_and_brings_it_back),
		rig_test(a_new_size_is_a_unit_attention),
		rig_test(a_reserved_unit_refuses_others_but_what_tells_about_it),
		rig_test(a_reservation_ends_with_its_nexus),
		rig_test(a_reset_ends_a_reservation),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
