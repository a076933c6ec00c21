/* SPDX-License-Identifier: BSD-2-Clause */
/* Sense data, unit attentions, the rules of persistent reservations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/be.h"
#include "sam/it_nexus.h"
#include "sam/op.h"
#include "sam/pr.h"
#include "sam/sense.h"
#include "sam/ua.h"

/* ---- verdicts and sense data ---- */

static void every_verdict_has_a_row(void **state)
{
	for (unsigned v = 1; v < V_COUNT; v++) {
		const struct verdict_row *r = &verdict_rows[v];

		assert_non_null(r->name);
		if (v == V_DEVICE_SENSE)
			assert_int_equal(r->status,
					 ST_CHECK_CONDITION); /* its codes are the device's */
		else if (r->status == ST_CHECK_CONDITION)
			assert_true(r->key && r->asc);
		else
			assert_true(!r->key && !r->asc && !r->ascq);
	}
	assert_string_equal(verdict_rows[V_WRITE_ERROR].name, "WRITE_ERROR");
	assert_int_equal(verdict_rows[V_WRITE_ERROR].key, SK_MEDIUM_ERROR);
}

static void statuses_but_check_condition_have_no_sense_data(void **state)
{
	uint8_t p[SENSE_MAX];

	assert_int_equal(sense_encode(p, V_GOOD, NULL, false), 0);
	assert_int_equal(sense_encode(p, V_RESERVATION_CONFLICT, NULL, true), 0);
	assert_int_equal(sense_encode(p, V_TASK_ABORTED, NULL, true), 0);
}

static void fixed_sense_is_laid_out_by_the_standard(void **state)
{
	static const uint8_t want[18] = { 0xf0, 0, 0x03, 0x01, 0x02, 0x03, 0x04,
					  10,	0, 0,	 0,    0,    0x11, 0x00 };
	struct sense_info info = { .flags = SENSE_INFORMATION, .information = 0x01020304 };
	uint8_t p[SENSE_MAX];

	memset(p, 0xee, sizeof(p));
	assert_int_equal(sense_encode(p, V_READ_ERROR, &info, false), 18);
	assert_memory_equal(p, want, 18);
}

static void information_that_does_not_fit_is_not_valid_in_fixed_format(void **state)
{
	struct sense_info info = { .flags = SENSE_INFORMATION, .information = 1ull << 32 };
	uint8_t p[SENSE_MAX];

	assert_int_equal(sense_encode(p, V_READ_ERROR, &info, false), 18);
	assert_int_equal(p[0], 0x70);
	assert_int_equal(be_load(p + 3, 4), 0);
}

static void descriptor_sense_is_laid_out_by_the_standard(void **state)
{
	static const uint8_t want[20] = { 0x72, 0x03, 0x0c, 0x00, 0, 0, 0, 12, 0x00, 0x0a,
					  0x80, 0,    0,    0,	  0, 1, 0, 0,  0,    2 };
	struct sense_info info = { .flags = SENSE_INFORMATION, .information = 1ull << 32 | 2 };
	uint8_t p[SENSE_MAX];

	assert_int_equal(sense_encode(p, V_WRITE_ERROR, &info, true), 20);
	assert_memory_equal(p, want, 20);
}

static void a_field_pointer_goes_with_illegal_request(void **state)
{
	struct sense_info info = { .flags = SENSE_FIELD | SENSE_FIELD_CDB | SENSE_FIELD_BIT,
				   .byte = 0x0102,
				   .bit = 5 };
	uint8_t p[SENSE_MAX];

	assert_int_equal(sense_encode(p, V_INVALID_FIELD_IN_CDB, &info, false), 18);
	assert_int_equal(p[15], 0x80 | 0x40 | 0x08 | 5);
	assert_int_equal(be_load(p + 16, 2), 0x0102);
	assert_int_equal(sense_encode(p, V_INVALID_FIELD_IN_CDB, &info, true), 16);
	assert_int_equal(p[7], 8);
	assert_int_equal(p[8], 0x02);
	assert_int_equal(p[9], 6);
	assert_int_equal(p[12], 0xcd);
	info.flags = SENSE_FIELD;
	assert_int_equal(sense_encode(p, V_INVALID_FIELD_IN_PARAM, &info, false), 18);
	assert_int_equal(p[15], 0x80);
	assert_int_equal(sense_encode(p, V_READ_ERROR, &info, true), 8);
}

static void a_progress_goes_with_not_ready(void **state)
{
	struct sense_info info = { .flags = SENSE_PROGRESS, .progress = 0x8000 };
	uint8_t p[SENSE_MAX];

	sense_encode(p, V_BECOMING_READY, &info, false);
	assert_int_equal(p[15], 0x80);
	assert_int_equal(be_load(p + 16, 2), 0x8000);
}

static void no_sense_can_be_described(void **state)
{
	uint8_t p[SENSE_MAX];

	assert_int_equal(sense_describe(p, V_GOOD, NULL, false), 18);
	assert_int_equal(p[2], 0);
	assert_int_equal(sense_describe(p, V_GOOD, NULL, true), 8);
}

/* ---- unit attentions ---- */

static void unit_attentions_come_in_order_and_once(void **state)
{
	uint32_t set = 0;

	ua_establish(&set, UA_MODE_CHANGED);
	ua_establish(&set, UA_CAPACITY_CHANGED);
	ua_establish(&set, UA_MODE_CHANGED);
	assert_int_equal(ua_peek(set), V_UA_CAPACITY_CHANGED);
	assert_int_equal(ua_take(&set), V_UA_CAPACITY_CHANGED);
	assert_int_equal(ua_take(&set), V_UA_MODE_CHANGED);
	assert_int_equal(ua_take(&set), V_GOOD);
	assert_int_equal(set, 0);
}

static void a_reset_supersedes_what_came_before(void **state)
{
	uint32_t set = 0;

	ua_establish(&set, UA_MODE_CHANGED);
	ua_establish(&set, UA_BUS_DEVICE_RESET);
	ua_establish(&set, UA_LUNS_CHANGED);
	assert_int_equal(ua_take(&set), V_UA_BUS_DEVICE_RESET);
	assert_int_equal(ua_take(&set), V_UA_LUNS_CHANGED);
	assert_int_equal(ua_take(&set), V_GOOD);
}

static void every_unit_attention_is_one(void **state)
{
	for (unsigned u = 0; u < UA_COUNT; u++)
		assert_int_equal(verdict_rows[ua_peek(UA_BIT(u))].key, SK_UNIT_ATTENTION);
}

/* ---- persistent reservations ---- */

static struct it_nexus nexus[3];
static struct itl itl[3];
static struct pr_state pr;

static int pr_setup(void **state)
{
	pr_init(&pr);
	for (unsigned i = 0; i < 3; i++) {
		nexus[i].rtpi = 1;
		nexus[i].transport_id_len = 24;
		nexus[i].transport_id[4] = (uint8_t)('a' + i);
		itl[i].nexus = &nexus[i];
	}
	return 0;
}

static int pr_teardown(void **state)
{
	pr_fini(&pr);
	return 0;
}

static struct pr_registration *enrol(unsigned i)
{
	return pr_register(&pr, nexus[i].transport_id, 24, nexus[i].rtpi, i + 1);
}

static void a_registration_is_of_an_initiator_port_and_a_target_port(void **state)
{
	struct pr_registration *reg = enrol(0);

	assert_ptr_equal(pr_of(&pr, &itl[0]), reg);
	assert_null(pr_of(&pr, &itl[1]));
	assert_null(pr_find(&pr, nexus[0].transport_id, 24, 2));
	assert_null(pr_find(&pr, nexus[0].transport_id, 20, 1));
}

static void conflicts_follow_table_by_type(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t registered, other;
	} table[] = {
		{ PR_WRITE_EXCLUSIVE, OP_RSV_WRITE, OP_RSV_WRITE },
		{ PR_EXCLUSIVE_ACCESS, OP_RSV_READ | OP_RSV_WRITE, OP_RSV_READ | OP_RSV_WRITE },
		{ PR_WRITE_EXCLUSIVE_RO, 0, OP_RSV_WRITE },
		{ PR_EXCLUSIVE_ACCESS_RO, 0, OP_RSV_READ | OP_RSV_WRITE },
		{ PR_WRITE_EXCLUSIVE_AR, 0, OP_RSV_WRITE },
		{ PR_EXCLUSIVE_ACCESS_AR, 0, OP_RSV_READ | OP_RSV_WRITE },
	};
	struct pr_registration *holder = enrol(0);

	enrol(1);
	assert_int_equal(pr_conflicts(&pr, &itl[2]), 0);
	for (unsigned i = 0; i < 6; i++) {
		pr.type = table[i].type;
		pr.holder = pr_type_all_registrants(pr.type) ? NULL : holder;
		assert_int_equal(pr_conflicts(&pr, &itl[0]), 0);
		assert_int_equal(pr_conflicts(&pr, &itl[1]), table[i].registered);
		assert_int_equal(pr_conflicts(&pr, &itl[2]), table[i].other);
	}
}

static void a_reservation_ends_with_its_holders_registration(void **state)
{
	struct pr_registration *a = enrol(0), *b = enrol(1);

	pr.type = PR_WRITE_EXCLUSIVE;
	pr.holder = a;
	assert_false(pr_unregister(&pr, b));
	assert_true(pr_unregister(&pr, a));
	assert_int_equal(pr.type, 0);
	assert_null(pr.holder);
	assert_int_equal(pr.count, 0);
}

static void an_all_registrants_reservation_ends_with_the_last(void **state)
{
	struct pr_registration *a = enrol(0), *b = enrol(1);

	pr.type = PR_EXCLUSIVE_ACCESS_AR;
	assert_true(pr_holds(&pr, a) && pr_holds(&pr, b));
	assert_false(pr_holds(&pr, NULL));
	assert_false(pr_unregister(&pr, a));
	assert_int_equal(pr.type, PR_EXCLUSIVE_ACCESS_AR);
	assert_true(pr_unregister(&pr, b));
	assert_int_equal(pr.type, 0);
}

static void a_transport_id_that_is_too_long_is_not_taken(void **state)
{
	static uint8_t id[300];

	assert_null(pr_register(&pr, id, 257, 1, 1));
	assert_non_null(pr_register(&pr, id, 256, 1, 1));
}

#define pr_test(f) cmocka_unit_test_setup_teardown(f, pr_setup, pr_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verdict_has_a_row),
		cmocka_unit_test(statuses_but_check_condition_have_no_sense_data),
		cmocka_unit_test(fixed_sense_is_laid_out_by_the_standard),
		cmocka_unit_test(information_that_does_not_fit_is_not_valid_in_fixed_format),
		cmocka_unit_test(descriptor_sense_is_laid_out_by_the_standard),
		cmocka_unit_test(a_field_pointer_goes_with_illegal_request),
		cmocka_unit_test(a_progress_goes_with_not_ready),
		cmocka_unit_test(no_sense_can_be_described),
		cmocka_unit_test(unit_attentions_come_in_order_and_once),
		cmocka_unit_test(a_reset_supersedes_what_came_before),
		cmocka_unit_test(every_unit_attention_is_one),
		pr_test(a_registration_is_of_an_initiator_port_and_a_target_port),
		pr_test(conflicts_follow_table_by_type),
		pr_test(a_reservation_ends_with_its_holders_registration),
		pr_test(an_all_registrants_reservation_ends_with_the_last),
		pr_test(a_transport_id_that_is_too_long_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
