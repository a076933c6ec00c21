/* SPDX-License-Identifier: BSD-2-Clause */
/* REPORT LUNS, REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS. */
#include "rig.h"

static struct res luns(uint8_t select, void *b, uint32_t alloc)
{
	return in(S0, b, alloc, CDB(0xa0, 0, select, 0, 0, 0, B4(alloc), 0, 0));
}

static struct res rsoc(uint8_t options, uint8_t opcode, uint16_t sa, void *b, uint32_t alloc)
{
	return in(S0, b, alloc, CDB(0xa3, 0x0c, options, opcode, B2(sa), B4(alloc), 0, 0));
}

static void report_luns_lists_the_map_in_order(void **state)
{
	uint8_t b[64];
	struct res r = luns(0, b, 64);

	good(r);
	assert_int_equal(r.len, 24);
	assert_int_equal(be_load(b, 4), 16);
	assert_true(be_load(b + 8, 8) == 0);
	assert_true(be_load(b + 16, 8) == 0x0001000000000000ull);
}

static void luns_above_255_use_flat_addressing(void **state)
{
	uint8_t b[64], buf[18];
	struct err e;

	reactor_turn(rig.control, 0);
	assert_int_equal(target_map(&rig.ts, rig.target, 300, rig.lu, NULL, NULL, &e), 0);
	for (int i = 0; i < 10; i++)
		rig_step();
	good(luns(0, b, 64));
	assert_int_equal(be_load(b, 4), 24);
	assert_true(be_load(b + 24, 8) == 0x412c000000000000ull);
	good(in_lun(S0, 300, buf, 18, CDB(0x03, 0, 0, 0, 18, 0)));
	good(none_lun(S0, 300, CDB(0, 0, 0, 0, 0, 0)));
	reactor_turn(rig.control, 0);
	assert_int_equal(target_unmap(&rig.ts, rig.target, 300, NULL, NULL, &e), 0);
	for (int i = 0; i < 20; i++)
		rig_step();
	expect(none_lun(S0, 300, CDB(0, 0, 0, 0, 0, 0)), V_LU_NOT_SUPPORTED);
}

static void a_changed_map_is_a_unit_attention_that_report_luns_takes_away(void **state)
{
	uint8_t b[64];
	struct err e;

	reactor_turn(rig.control, 0);
	assert_int_equal(target_map(&rig.ts, rig.target, 9, rig.lu, NULL, NULL, &e), 0);
	for (int i = 0; i < 10; i++)
		rig_step();
	expect(tur(S0), V_UA_LUNS_CHANGED);
	good(tur(S0));
	expect(none_lun(S0, 0, CDB(0, 0, 0, 0, 0, 0)), V_UA_LUNS_CHANGED);
	reactor_turn(rig.control, 0);
	assert_int_equal(target_unmap(&rig.ts, rig.target, 9, NULL, NULL, &e), 0);
	for (int i = 0; i < 20; i++)
		rig_step();
	good(luns(0, b, 64));
	assert_int_equal(be_load(b, 4), 16);
	good(tur(S0));
}

static void well_known_luns_are_listed_if_asked_for(void **state)
{
	uint8_t b[64];

	good(luns(1, b, 64));
	assert_int_equal(be_load(b, 4), 8);
	assert_true(be_load(b + 8, 8) == 0xc101000000000000ull);
	good(luns(2, b, 64));
	assert_int_equal(be_load(b, 4), 24);
	expect_cdb(luns(3, b, 64), 2, 7);
	expect_cdb(luns(0xff, b, 64), 2, 7);
}

static void report_luns_is_cut_but_says_the_whole_length(void **state)
{
	uint8_t b[64];
	struct res r = luns(0, b, 8);

	good(r);
	assert_int_equal(r.len, 8);
	assert_int_equal(be_load(b, 4), 16);
	good(in(S0, NULL, 0, CDB(0xa0, 0, 0, 0, 0, 0, B4(0), 0, 0)));
}

/* ---- operation codes ---- */

static void all_commands_are_listed_once(void **state)
{
	uint8_t *b = rig_data(MIB(1) / rig_bs(), 0);
	struct res r = rsoc(0, 0, 0, b, 65536);
	uint32_t n = (uint32_t)be_load(b, 4);
	bool unmap = false;

	good(r);
	assert_int_equal(r.len, 4 + n);
	assert_int_equal(n % 8, 0);
	assert_true(n / 8 > 40);
	for (unsigned i = 4; i < 4 + n; i += 8) {
		unmap |= b[i] == 0x42;
		for (unsigned j = 4; j < i; j += 8)
			assert_true(memcmp(b + i, b + j, 4) != 0);
	}
	assert_int_equal(unmap, rig.disk.thin);
}

static void every_listed_command_describes_itself(void **state)
{
	uint8_t *list = rig_data(MIB(1) / rig_bs(), 0), b[64];

	good(rsoc(0, 0, 0, list, 65536));
	for (unsigned i = 4; i < 4 + be_load(list, 4); i += 8) {
		bool sa = list[i + 5] & 1;

		good(rsoc(sa ? 2 : 1, list[i], (uint16_t)be_load(list + i + 2, 2), b, sizeof(b)));
		assert_int_equal(b[1] & 7, 3);
		assert_int_equal(be_load(b + 2, 2), be_load(list + i + 6, 2));
		assert_int_equal(b[4], list[i]);
	}
}

static void timeouts_come_with_rctd(void **state)
{
	uint8_t *b = rig_data(MIB(1) / rig_bs(), 0);
	struct res r = rsoc(0x80, 0, 0, b, 65536);

	good(r);
	assert_int_equal((r.len - 4) % 20, 0);
	assert_int_equal(b[4 + 5] & 2, 2);
	assert_int_equal(be_load(b + 12, 2), 10);
	assert_true(be_load(b + 20, 4) > 0);
	r = rsoc(0x81, 0x28, 0, b, 64);
	good(r);
	assert_int_equal(r.len, 4 + 10 + 12);
	assert_int_equal(b[1], 0x83);
	assert_int_equal(be_load(b + 14, 2), 10);
	assert_int_equal(be_load(b + 18, 4), 3);
	assert_int_equal(be_load(b + 22, 4), 30);
}

static void what_is_not_there_is_not_supported(void **state)
{
	uint8_t b[64];

	good(rsoc(1, 0xee, 0, b, 64));
	assert_int_equal(b[1], 1);
	good(rsoc(2, 0x9e, 0x1f, b, 64));
	assert_int_equal(b[1], 1);
	good(rsoc(3, 0x28, 7, b, 64));
	assert_int_equal(b[1], 1);
	good(rsoc(1, 0x42, 0, b, 64));
	assert_int_equal(b[1], rig.disk.thin ? 3 : 1);
}

static void options_that_do_not_fit_the_opcode_are_refused(void **state)
{
	uint8_t b[64];

	expect_cdb(rsoc(1, 0x9e, 0, b, 64), 2, 2);
	expect_cdb(rsoc(2, 0x28, 0, b, 64), 2, 2);
	for (uint8_t i = 4; i < 8; i++)
		expect_cdb(rsoc(i, 0x28, 0, b, 64), 2, 2);
	good(rsoc(3, 0x28, 0, b, 64));
	assert_int_equal(b[1], 3);
	good(rsoc(3, 0x9e, 0x10, b, 64));
	assert_int_equal(b[1], 3);
}

static void the_usage_data_carry_opcode_and_service_action(void **state)
{
	static const uint8_t golden[16] = { 0x9e, 0x10, [10] = 0xff, 0xff, 0xff, 0xff, 0x00, 0x04 };
	uint8_t b[64];

	good(rsoc(2, 0x9e, 0x10, b, 64));
	assert_memory_equal(b + 4, golden, 16);
}

static void task_management_functions_are_reported(void **state)
{
	uint8_t b[64];
	struct res r = in(S0, b, 64, CDB(0xa3, 0x0d, 0, 0, 0, 0, B4(64), 0, 0));

	good(r);
	assert_int_equal(r.len, 4);
	assert_int_equal(b[0], 0xdc);
	r = in(S0, b, 64, CDB(0xa3, 0x0d, 0x80, 0, 0, 0, B4(64), 0, 0));
	good(r);
	assert_int_equal(r.len, 16);
	assert_int_equal(b[3], 12);
}

static void what_is_reported_of_task_management_is_true(void **state)
{
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK, DISK_LUN, 12345), TMF_NO_TASK);
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK_SET, DISK_LUN, 0), TMF_COMPLETE);
	assert_int_equal(rig_manage(S0, TMF_CLEAR_TASK_SET, DISK_LUN, 0), TMF_COMPLETE);
	assert_int_equal(rig_manage(S0, TMF_QUERY_TASK, DISK_LUN, 12345), TMF_COMPLETE);
	assert_int_equal(rig_manage(S0, TMF_QUERY_TASK_SET, DISK_LUN, 0), TMF_COMPLETE);
	assert_int_equal(rig_manage(S0, TMF_LU_RESET, DISK_LUN, 0), TMF_COMPLETE);
	assert_int_equal(rig_manage(S0, TMF_CLEAR_ACA, DISK_LUN, 0), TMF_NOT_SUPPORTED);
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK_SET, 99, 0), TMF_NO_LUN);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(report_luns_lists_the_map_in_order),
		rig_test(luns_above_255_use_flat_addressing),
		rig_test(a_changed_map_is_a_unit_attention_that_report_luns_takes_away),
		rig_test(well_known_luns_are_listed_if_asked_for),
		rig_test(report_luns_is_cut_but_says_the_whole_length),
		rig_test(all_commands_are_listed_once),
		rig_test(every_listed_command_describes_itself),
		rig_test(timeouts_come_with_rctd),
		rig_test(what_is_not_there_is_not_supported),
		rig_test(options_that_do_not_fit_the_opcode_are_refused),
		rig_test(the_usage_data_carry_opcode_and_service_action),
		rig_test(task_management_functions_are_reported),
		rig_test(what_is_reported_of_task_management_is_true),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
