/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, messages of netlink, and which commands may be done twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "transport/tcmu/part.h"
#include "transport/tcmu/uapi.h"

static void a_name_says_device_target_and_lun(void **state)
{
	struct tcmu_name n;
	struct err e;

	assert_int_equal(tcmu_name_parse(&n, "tcm-user/12/disk1/stgt/iqn.2026-11.test:t/16383", &e),
			 0);
	assert_int_equal(n.hba, 12);
	assert_string_equal(n.device, "disk1");
	assert_string_equal(n.target, "iqn.2026-11.test:t");
	assert_int_equal(n.lun, 16383);
	assert_false(n.shared);
	assert_int_equal(tcmu_name_parse(&n, "tcm-user/0/d/stgt/t/0/shared=unsafe\n", &e), 0);
	assert_true(n.shared);
}

static void other_handlers_names_are_none_of_ours(void **state)
{
	static const char *const names[] = { "tcm-user/0/a/qcow//img", "tcm-user/0/a",
					     "uio_pdrv_genirq",	       "",
					     "tcm-user//a/stgt/t/1",   "tcm-user/0/a/stgtx/t/1",
					     "tcm-user/x/a/stgt/t/1" };
	struct tcmu_name n;
	struct err e;

	for (unsigned i = 0; i < array_size(names); i++)
		assert_int_equal(tcmu_name_parse(&n, names[i], &e), -ENOENT);
}

static void names_of_ours_that_make_no_sense_are_refused(void **state)
{
	static const char *const names[] = { "t",
					     "t/",
					     "/1",
					     "t/16384",
					     "t/-1",
					     "t/1x",
					     "t/1/shared",
					     "t/1/shared=unsafe/x",
					     "t/99999999999999999999" };
	char text[256];
	struct tcmu_name n;
	struct err e;

	for (unsigned i = 0; i < array_size(names); i++) {
		snprintf(text, sizeof(text), "tcm-user/0/a/stgt/%s", names[i]);
		assert_int_equal(tcmu_name_parse(&n, text, &e), -EINVAL);
	}
}

static void a_name_too_long_for_a_target_is_refused(void **state)
{
	char text[512] = "tcm-user/0/a/stgt/";
	struct tcmu_name n;
	struct err e;

	memset(text + strlen(text), 't', INITIATOR_NAME_MAX + 1);
	memcpy(text + 18 + INITIATOR_NAME_MAX + 1, "/1", 3);
	assert_int_equal(tcmu_name_parse(&n, text, &e), -EINVAL);
}

static void what_is_made_is_understood(void **state)
{
	char config[TCMU_CONFIG_MAX], text[512];
	struct tcmu_name n;
	struct err e;

	tcmu_name_config(config, "iqn.2026-11.test:t", 7, true);
	snprintf(text, sizeof(text), "tcm-user/0/a/%s", config);
	assert_int_equal(tcmu_name_parse(&n, text, &e), 0);
	assert_true(n.shared);
	assert_int_equal(n.lun, 7);
}

static void a_wwn_is_locally_assigned_and_stays(void **state)
{
	uint8_t one[8], two[8];
	char a[24], b[24];

	tcmu_name_wwn(a, "loopback", "user_0/a", one);
	tcmu_name_wwn(b, "loopback", "user_0/a", two);
	assert_string_equal(a, b);
	assert_memory_equal(one, two, 8);
	assert_int_equal(one[0] >> 4, 3);
	tcmu_name_wwn(b, "loopback", "user_0/b", two);
	assert_string_not_equal(a, b);
}

static void commands_that_name_their_blocks_may_be_done_twice(void **state)
{
	static const uint8_t yes[] = { 0x28, 0x2a, 0x8a, 0x42, 0x93, 0x35, 0x12 },
			     no[] = { 0x89, 0x5f, 0x53, 0x0b, 0xc0 };
	uint8_t cdb[16] = { 0 };

	for (unsigned i = 0; i < sizeof(yes); i++) {
		cdb[0] = yes[i];
		assert_true(tcmu_repeatable(cdb, true));
	}
	for (unsigned i = 0; i < sizeof(no); i++) {
		cdb[0] = no[i];
		assert_false(tcmu_repeatable(cdb, true));
	}
}

static void of_a_tape_only_questions_may_be_asked_twice(void **state)
{
	assert_true(tcmu_repeatable((const uint8_t[16]){ 0x12 }, false));
	assert_true(tcmu_repeatable((const uint8_t[16]){ 0x00 }, false));
	assert_false(tcmu_repeatable((const uint8_t[16]){ 0x08 }, false));
	assert_false(tcmu_repeatable((const uint8_t[16]){ 0x0a }, false));
}

static void of_long_cdbs_reads_and_writes_may_be_done_twice(void **state)
{
	assert_true(tcmu_repeatable((const uint8_t[32]){ 0x7f, [7] = 24, [9] = 0x0b }, true));
	assert_false(tcmu_repeatable((const uint8_t[32]){ 0x7f, [7] = 24, [8] = 0x88, [9] = 0x0b },
				     true));
}

static void a_lost_command_is_sent_again_or_fails(void **state)
{
	struct ring_answer a;

	tcmu_answer_lost(&a, false);
	assert_int_equal(a.status, ST_BUSY);
	assert_int_equal(a.sense_len, 0);
	tcmu_answer_lost(&a, true);
	assert_int_equal(a.status, ST_CHECK_CONDITION);
	assert_int_equal(a.sense[2], SK_HARDWARE_ERROR);
}

static void a_message_cut_anywhere_is_no_harm(void **state)
{
	uint8_t msg[64] = { 48, 0, 0, 0, 29, [16] = TCMU_CMD_ADDED_DEVICE, 2 };
	static const uint8_t attrs[] = { 14,  0,   1, 0, 't', 'c', 'm', '-', 'u', 's', 'e', 'r',
					 '/', '0', 0, 0, 8,   0,   2,	0,   3,	  0,   0,   0 };
	struct tcmu_event ev;

	memcpy(msg + 20, attrs, sizeof(attrs));
	assert_true(tcmu_netlink_parse(msg, 44, &ev));
	assert_string_equal(ev.device, "tcm-user/0");
	assert_int_equal(ev.minor, 3);
	assert_false(ev.has_id);
	for (size_t len = 0; len < 34; len++)
		assert_false(tcmu_netlink_parse(msg, len, &ev));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_says_device_target_and_lun),
		cmocka_unit_test(other_handlers_names_are_none_of_ours),
		cmocka_unit_test(names_of_ours_that_make_no_sense_are_refused),
		cmocka_unit_test(a_name_too_long_for_a_target_is_refused),
		cmocka_unit_test(what_is_made_is_understood),
		cmocka_unit_test(a_wwn_is_locally_assigned_and_stays),
		cmocka_unit_test(commands_that_name_their_blocks_may_be_done_twice),
		cmocka_unit_test(of_a_tape_only_questions_may_be_asked_twice),
		cmocka_unit_test(of_long_cdbs_reads_and_writes_may_be_done_twice),
		cmocka_unit_test(a_lost_command_is_sent_again_or_fails),
		cmocka_unit_test(a_message_cut_anywhere_is_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
