/* SPDX-License-Identifier: BSD-2-Clause */
/* The router, task sets and task management. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "world.h"

static int setup(void **state)
{
	world_begin();
	return 0;
}

static int teardown(void **state)
{
	world_end();
	return 0;
}

static struct it_nexus *fresh(const char *name)
{
	struct it_nexus *n = login(name);

	assert_non_null(n);
	clear_ua(n);
	return n;
}

static void note(void *arg)
{
	*(bool *)arg = true;
}

/* ---- task attributes, SAM-6 8.7 ---- */

static void simple_commands_run_side_by_side(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *held = submit(n, OP_HOLD, ATTR_SIMPLE);
	struct tcmd *now = submit(n, OP_NOW, ATTR_SIMPLE);

	assert_true(now->finished);
	assert_false(held->finished);
	release(held);
	assert_true(held->finished);
}

static void an_ordered_command_waits_for_all_older_ones(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *held = submit(n, OP_HOLD, ATTR_SIMPLE);
	struct tcmd *ordered = submit(n, OP_NOW, ATTR_ORDERED);

	assert_false(ordered->finished);
	release(held);
	assert_true(ordered->finished);
	assert_int_equal(ordered->scsi.verdict, V_GOOD);
}

static void an_ordered_command_waits_for_data_that_lies_in_a_mapping(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *read = submit(n, OP_NOW, ATTR_SIMPLE), *ordered, *simple;

	assert_true(read->finished);
	n->lending = true;
	simple = submit(n, OP_NOW, ATTR_SIMPLE);
	assert_true(simple->finished);
	ordered = submit(n, OP_NOW, ATTR_ORDERED);
	assert_false(ordered->finished);
	nexus_sent(n);
	assert_true(ordered->finished);
	assert_int_equal(ordered->scsi.verdict, V_GOOD);
}

static void an_ordered_command_waits_for_older_ones_and_then_for_their_data(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *held = submit(n, OP_HOLD, ATTR_SIMPLE);
	struct tcmd *ordered = submit(n, OP_NOW, ATTR_ORDERED);

	n->lending = true;
	release(held);
	assert_false(ordered->finished);
	nexus_sent(n);
	assert_true(ordered->finished);
}

static void a_simple_command_waits_for_an_older_ordered_one(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *ordered = submit(n, OP_HOLD, ATTR_ORDERED);
	struct tcmd *simple = submit(n, OP_NOW, ATTR_SIMPLE);

	assert_false(simple->finished);
	release(ordered);
	assert_true(simple->finished);
}

static void a_head_of_queue_command_overtakes_what_waits(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *ordered = submit(n, OP_HOLD, ATTR_ORDERED);
	struct tcmd *simple = submit(n, OP_NOW, ATTR_SIMPLE);
	struct tcmd *hoq = submit(n, OP_NOW, ATTR_HEAD_OF_QUEUE);

	assert_true(hoq->finished);
	assert_false(simple->finished);
	release(ordered);
	assert_true(simple->finished);
}

static void simple_commands_wait_for_a_head_of_queue_one(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *hoq = submit(n, OP_HOLD, ATTR_HEAD_OF_QUEUE);
	struct tcmd *simple = submit(n, OP_NOW, ATTR_SIMPLE);

	assert_false(simple->finished);
	release(hoq);
	assert_true(simple->finished);
}

static void a_thousand_ordered_commands_end_in_their_order(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *first = submit(n, OP_HOLD, ATTR_ORDERED), *c[1000];

	for (int i = 0; i < 1000; i++)
		c[i] = submit(n, OP_NOW, ATTR_ORDERED);
	release(first);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(c[i]->order, first->order + 1 + (unsigned)i);
}

static void an_inquiry_like_command_does_not_wait(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *ordered = submit(n, OP_HOLD, ATTR_ORDERED);

	assert_true(submit(n, OP_ALWAYS, ATTR_SIMPLE)->finished);
	release(ordered);
}

/* ---- routing and refusals ---- */

static void every_lun_format_finds_its_unit(void **state)
{
	static const uint8_t flat[8] = { 0x40, 1 }, extended[8] = { 0xd2, 0, 0, 1 };
	struct it_nexus *n = fresh("a");
	uint8_t lun[8] = { 0, 1 };

	assert_ptr_equal(nexus_route(n, lun)->lu, world.lu);
	assert_ptr_equal(nexus_route(n, flat)->lu, world.lu);
	assert_ptr_equal(nexus_route(n, extended)->lu, world.lu);
}

static void a_lun_that_is_not_mapped_is_absent(void **state)
{
	static const uint8_t luns[][8] = {
		{ 0, 2 },	   { 1, 1 },
		{ 0x40, 2 },	   { 0, 1, 0, 1 },
		{ 0x80, 1 },	   { 0xc1, 2 },
		{ 0xd2, 1, 0, 1 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	struct it_nexus *n = fresh("a");

	for (unsigned i = 0; i < array_size(luns); i++)
		assert_ptr_equal(nexus_route(n, luns[i]), &n->absent);
}

static void the_report_luns_well_known_unit_is_found(void **state)
{
	static const uint8_t lun[8] = { 0xc1, 1 };
	struct it_nexus *n = fresh("a");

	assert_ptr_equal(nexus_route(n, lun), &n->wlun);
}

static void a_new_nexus_hears_of_the_power_on_once(void **state)
{
	struct it_nexus *n = login("a");

	assert_int_equal(submit(n, OP_ALWAYS, ATTR_SIMPLE)->scsi.verdict, V_GOOD);
	assert_int_equal(submit(n, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_UA_POWER_ON);
	assert_int_equal(submit(n, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_GOOD);
}

static void an_unknown_opcode_is_refused(void **state)
{
	struct it_nexus *n = fresh("a");

	assert_int_equal(submit(n, 0xee, ATTR_SIMPLE)->scsi.verdict, V_INVALID_OPCODE);
}

static void a_reserved_bit_is_refused_with_its_place(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd c = { 0 };
	static const uint8_t lun[8] = { 0, 1 }, cdb[6] = { OP_NOW, 0, 0x10 };

	reactor_turn(n->reactor, 0);
	cmd_init(&c.scsi, n, lun, 77777, ATTR_SIMPLE, cdb, 6);
	cmd_submit(&c.scsi);
	assert_int_equal(c.scsi.verdict, V_INVALID_FIELD_IN_CDB);
	assert_int_equal(c.scsi.sense.byte, 2);
	assert_int_equal(c.scsi.sense.bit, 4);
}

static void naca_is_refused(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd c = { 0 };
	static const uint8_t lun[8] = { 0, 1 }, cdb[6] = { OP_NOW, 0, 0, 0, 0, 4 };

	reactor_turn(n->reactor, 0);
	cmd_init(&c.scsi, n, lun, 77778, ATTR_SIMPLE, cdb, 6);
	cmd_submit(&c.scsi);
	assert_int_equal(c.scsi.verdict, V_INVALID_FIELD_IN_CDB);
	assert_int_equal(c.scsi.sense.byte, 5);
}

static void a_cdb_shorter_than_its_row_is_refused(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd c = { 0 };
	static const uint8_t lun[8] = { 0, 1 }, cdb[6] = { OP_NOW };

	reactor_turn(n->reactor, 0);
	cmd_init(&c.scsi, n, lun, 77779, ATTR_SIMPLE, cdb, 4);
	cmd_submit(&c.scsi);
	assert_int_equal(c.scsi.verdict, V_INVALID_OPCODE);
}

static void direction_flags_that_contradict_the_row_are_refused(void **state)
{
	static const uint8_t lun[8] = { 0, 1 };
	struct it_nexus *n = fresh("a");

	assert_int_equal(submit_to(n, OP_DATA, ATTR_SIMPLE, lun, true, false, 512)->scsi.verdict,
			 V_INVALID_FIELD_IN_IU);
	assert_int_equal(submit_to(n, OP_BUF, ATTR_SIMPLE, lun, true, true, 512)->scsi.verdict,
			 V_INVALID_FIELD_IN_IU);
}

static void a_read_that_is_flagged_as_a_write_brings_only_a_residual(void **state)
{
	static const uint8_t lun[8] = { 0, 1 };
	struct it_nexus *n = fresh("a");
	struct tcmd *c = submit_to(n, OP_BUF, ATTR_SIMPLE, lun, false, true, 512);

	assert_int_equal(c->scsi.verdict, V_GOOD);
	assert_int_equal(c->scsi.data_in, 0);
	assert_int_equal(c->scsi.residual, RESID_OVERFLOW);
	assert_int_equal(c->scsi.residual_count, 512);
}

static void the_aca_attribute_is_refused(void **state)
{
	struct it_nexus *n = fresh("a");

	assert_int_equal(submit(n, OP_NOW, ATTR_ACA)->scsi.verdict, V_INVALID_FIELD_IN_IU);
	assert_int_equal(submit(n, OP_NOW, 7)->scsi.verdict, V_INVALID_FIELD_IN_IU);
}

static void a_tag_in_use_aborts_the_nexus_tasks(void **state)
{
	static const uint8_t lun[8] = { 0, 1 }, cdb[6] = { OP_NOW };
	struct it_nexus *n = fresh("a");
	struct tcmd *data = submit(n, OP_DATA, ATTR_SIMPLE);
	struct tcmd c = { 0 };

	cmd_init(&c.scsi, n, lun, data->scsi.tag, ATTR_SIMPLE, cdb, 6);
	cmd_submit(&c.scsi);
	assert_int_equal(c.scsi.verdict, V_OVERLAPPED_COMMANDS);
	assert_true(data->finished);
	assert_int_equal(data->scsi.verdict, V_ABORTED_SILENTLY);
}

static void a_write_protected_unit_refuses_medium_writes(void **state)
{
	struct it_nexus *n = fresh("a");

	nexus_itl(n, 1)->part->view.readonly = true;
	assert_int_equal(submit(n, OP_DATA, ATTR_SIMPLE)->scsi.verdict, V_WRITE_PROTECTED);
	nexus_itl(n, 1)->part->view.readonly = false;
}

/* ---- residuals ---- */

static void residuals_follow_from_expected_and_required(void **state)
{
	static const uint8_t lun[8] = { 0, 1 };
	struct it_nexus *n = fresh("a");
	struct tcmd *c;

	c = submit_to(n, OP_BUF, ATTR_SIMPLE, lun, true, false, 512);
	assert_int_equal(c->scsi.residual, RESID_NONE);
	c = submit_to(n, OP_BUF, ATTR_SIMPLE, lun, true, false, 1000);
	assert_int_equal(c->scsi.residual, RESID_UNDERFLOW);
	assert_int_equal(c->scsi.residual_count, 488);
	c = submit_to(n, OP_BUF, ATTR_SIMPLE, lun, true, false, 100);
	assert_int_equal(c->scsi.residual, RESID_OVERFLOW);
	assert_int_equal(c->scsi.residual_count, 412);
	assert_int_equal(c->scsi.data_in, 100);
	c = submit_to(n, 0xee, ATTR_SIMPLE, lun, true, false, 100);
	assert_int_equal(c->scsi.residual, RESID_UNDERFLOW);
	assert_int_equal(c->scsi.residual_count, 100);
}

/* ---- waiting for memory ---- */

static void a_command_without_a_buffer_waits_for_one(void **state)
{
	struct it_nexus *n = fresh("a");
	struct bufpool *pool = reactor_bufpool(n->reactor);
	struct buf *all = NULL, *b;
	struct tcmd *first, *second;

	while ((b = bufpool_get(pool, BUF_MAX))) {
		b->next = all;
		all = b;
	}
	first = submit(n, OP_BUF, ATTR_SIMPLE);
	second = submit(n, OP_BUF, ATTR_SIMPLE);
	assert_false(first->finished);
	cmd_abort(&second->scsi, V_ABORTED_SILENTLY);
	assert_true(second->finished);
	while ((b = all)) {
		all = b->next;
		buf_put(b);
	}
	until(first->finished);
	assert_int_equal(first->scsi.verdict, V_GOOD);
}

/* ---- task management, SAM-6 7 ---- */

static void abort_task_ends_a_dormant_command(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *held = submit(n, OP_HOLD, ATTR_ORDERED);
	struct tcmd *dormant = submit(n, OP_NOW, ATTR_SIMPLE);
	bool done;
	struct tmf *t = manage(n, TMF_ABORT_TASK, 1, dormant->scsi.tag, &done);

	assert_true(done);
	assert_int_equal(t->response, TMF_COMPLETE);
	assert_int_equal(dormant->scsi.verdict, V_ABORTED_SILENTLY);
	release(held);
}

static void abort_task_ends_a_command_that_waits_for_data(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *c = submit(n, OP_DATA, ATTR_SIMPLE);
	bool done;

	assert_true(c->asked);
	manage(n, TMF_ABORT_TASK, 1, c->scsi.tag, &done);
	assert_true(done);
	assert_true(c->cancelled);
	assert_true(c->finished);
}

static void abort_task_answers_only_when_the_store_has_let_go(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *c = submit(n, OP_HOLD, ATTR_SIMPLE);
	bool done;

	manage(n, TMF_ABORT_TASK, 1, c->scsi.tag, &done);
	step();
	assert_false(done);
	assert_false(c->finished);
	release(c);
	assert_true(done);
	assert_int_equal(c->scsi.verdict, V_ABORTED_SILENTLY);
}

static void abort_task_knows_no_such_task(void **state)
{
	struct it_nexus *n = fresh("a");
	bool done;

	assert_int_equal(manage(n, TMF_ABORT_TASK, 1, 123456, &done)->response, TMF_NO_TASK);
}

static void abort_task_set_leaves_other_nexuses_alone(void **state)
{
	struct it_nexus *a = fresh("a"), *b = fresh("b");
	struct tcmd *mine = submit(a, OP_DATA, ATTR_SIMPLE);
	struct tcmd *theirs = submit(b, OP_HOLD, ATTR_SIMPLE);
	bool done;

	manage(a, TMF_ABORT_TASK_SET, 1, 0, &done);
	assert_true(done);
	assert_int_equal(mine->scsi.verdict, V_ABORTED_SILENTLY);
	assert_false(theirs->finished);
	reactor_turn(b->reactor, 0);
	release(theirs);
}

static void dormant_commands_do_not_start_while_their_set_is_aborted(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *first = submit(n, OP_DATA, ATTR_ORDERED);
	struct tcmd *second = submit(n, OP_DATA, ATTR_ORDERED);
	bool done;

	manage(n, TMF_CLEAR_TASK_SET, 1, 0, &done);
	assert_true(done && first->finished && second->finished);
	assert_false(second->asked);
}

static void a_reset_waits_for_the_stores_of_every_reactor(void **state)
{
	struct it_nexus *a = fresh("a"), *b = fresh("b");
	struct tcmd *theirs = submit(b, OP_HOLD, ATTR_SIMPLE);
	bool done;

	assert_ptr_not_equal(a->reactor, b->reactor);
	manage(a, TMF_LU_RESET, 1, 0, &done);
	for (int i = 0; i < 20; i++)
		step();
	assert_false(done);
	/* meanwhile the unit takes nothing new there */
	clear_ua(b);
	assert_int_equal(submit(b, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_BECOMING_READY);
	release(theirs);
	until(done);
	assert_int_equal(theirs->scsi.verdict, V_TASK_ABORTED);
	assert_int_equal(submit(b, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_GOOD);
}

static void what_comes_after_a_reset_is_answered(void **state)
{
	struct it_nexus *a = fresh("a"), *b = fresh("b");
	struct it_nexus *far = a->reactor == world.lu->home ? b : a;
	struct tcmd *before = submit(far, OP_DATA, ATTR_SIMPLE), *after;
	bool done;

	manage(far, TMF_LU_RESET, 1, 0, &done);
	after = submit(far, OP_DATA, ATTR_SIMPLE); /* the home has not heard of the reset yet */
	until(done);
	assert_int_equal(before->scsi.verdict, V_ABORTED_SILENTLY);
	assert_true(after->finished);
	assert_int_equal(after->scsi.verdict, V_TASK_ABORTED);
}

static void a_target_reset_waits_for_units_that_are_being_unmapped(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *held = submit(n, OP_HOLD, ATTR_SIMPLE);
	bool unmapped = false, done;
	struct err e;

	reactor_turn(world.control, 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 1, note, &unmapped, &e), 0);
	until(!nexus_itl(n, 1));
	manage(n, TMF_TARGET_WARM_RESET, 0, 0, &done);
	for (int i = 0; i < 20; i++)
		step();
	assert_false(done || unmapped);
	release(held);
	until(done && unmapped);
	assert_int_equal(held->scsi.verdict, V_ABORTED_SILENTLY);
	lu_destroy(world.lu);
}

static void a_reset_is_told_to_every_nexus(void **state)
{
	struct it_nexus *a = fresh("a"), *b = fresh("b");
	bool done;

	manage(a, TMF_LU_RESET, 1, 0, &done);
	until(done);
	assert_int_equal(submit(a, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_UA_BUS_DEVICE_RESET);
	assert_int_equal(submit(b, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_UA_BUS_DEVICE_RESET);
}

static void a_target_reset_resets_every_unit(void **state)
{
	struct lu *two = make_lu("two");
	struct it_nexus *n;
	struct err e;
	bool done;

	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, 2, two, NULL, NULL, &e), 0);
	n = fresh("a");
	manage(n, TMF_TARGET_WARM_RESET, 0, 0, &done);
	until(done);
	assert_int_equal(nexus_itl(n, 1)->ua, UA_BIT(UA_BUS_DEVICE_RESET));
	assert_int_equal(nexus_itl(n, 2)->ua, UA_BIT(UA_BUS_DEVICE_RESET));
}

static void a_cold_reset_closes_the_other_sessions(void **state)
{
	struct it_nexus *a = fresh("a");
	bool done;

	fresh("b");
	manage(a, TMF_TARGET_COLD_RESET, 0, 0, &done);
	until(done && world.closed == 1);
	until(world.drained == 1);
	assert_int_equal(a->state, NEXUS_LIVE);
}

static void query_task_sees_what_is_there(void **state)
{
	struct it_nexus *n = fresh("a");
	struct tcmd *c = submit(n, OP_HOLD, ATTR_SIMPLE);
	uint64_t tag = c->scsi.tag;
	bool done;

	assert_int_equal(manage(n, TMF_QUERY_TASK, 1, tag, &done)->response, TMF_SUCCEEDED);
	release(c);
	assert_int_equal(manage(n, TMF_QUERY_TASK, 1, tag, &done)->response, TMF_COMPLETE);
}

static void management_of_an_absent_unit_is_refused(void **state)
{
	struct it_nexus *n = fresh("a");
	bool done;

	assert_int_equal(manage(n, TMF_LU_RESET, 9, 0, &done)->response, TMF_NO_LUN);
	assert_int_equal(manage(n, TMF_CLEAR_ACA, 1, 0, &done)->response, TMF_NOT_SUPPORTED);
	assert_int_equal(manage(n, (enum tmf_function)200, 1, 0, &done)->response,
			 TMF_NOT_SUPPORTED);
}

/* ---- what an aborted task leaves behind ---- */

static void the_tag_of_an_aborted_task_is_free_after_the_response(void **state)
{
	static const uint8_t lun1[8] = { 0, 1 }, cdb[6] = { OP_TX };
	struct it_nexus *n = fresh("a");
	struct tcmd *old = submit(n, OP_TX, ATTR_SIMPLE);
	static struct tcmd again;
	bool done;

	manage(n, TMF_ABORT_TASK, 1, old->scsi.tag, &done);
	assert_true(done);
	assert_false(old->finished); /* its transaction is still under way */
	memset(&again, 0, sizeof(again));
	cmd_init(&again.scsi, n, lun1, old->scsi.tag, ATTR_SIMPLE, cdb, sizeof(cdb));
	again.scsi.tx.decide = NULL;
	cmd_submit(&again.scsi);
	assert_false(again.finished);
	assert_ptr_equal(nexus_find_cmd(n, NULL, old->scsi.tag), &again.scsi);
	until(old->finished && again.finished);
	assert_int_equal(old->scsi.verdict, V_ABORTED_SILENTLY);
	assert_int_equal(again.scsi.verdict, V_GOOD);
}

static void a_refused_command_was_submitted_as_well(void **state)
{
	struct it_nexus *n = login("a"); /* its unit attention is pending */
	const struct itl_stats *is = &nexus_itl(n, 1)->stats;

	assert_int_equal(submit(n, OP_DATA, ATTR_SIMPLE)->scsi.verdict, V_UA_POWER_ON);
	assert_int_equal(is->wr_subm_cmds, 1);
	assert_int_equal(is->wr_done_cmds, 1);
	assert_true(submit(n, OP_BUF, ATTR_SIMPLE)->finished);
	assert_int_equal(is->rd_subm_cmds, 1);
	assert_int_equal(is->rd_done_cmds, 1);
	assert_int_equal(is->rd_subm_bytes, 512);
}

static void a_command_without_a_direction_moves_nothing(void **state)
{
	static const uint8_t lun1[8] = { 0, 1 };
	struct it_nexus *n = fresh("a");
	struct tcmd *c = submit_to(n, OP_DATA, ATTR_SIMPLE, lun1, false, false, 512);

	assert_false(c->asked);
	assert_true(c->finished);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(simple_commands_run_side_by_side),
		T(an_ordered_command_waits_for_all_older_ones),
		T(an_ordered_command_waits_for_data_that_lies_in_a_mapping),
		T(an_ordered_command_waits_for_older_ones_and_then_for_their_data),
		T(a_simple_command_waits_for_an_older_ordered_one),
		T(a_head_of_queue_command_overtakes_what_waits),
		T(simple_commands_wait_for_a_head_of_queue_one),
		T(a_thousand_ordered_commands_end_in_their_order),
		T(an_inquiry_like_command_does_not_wait),
		T(every_lun_format_finds_its_unit),
		T(a_lun_that_is_not_mapped_is_absent),
		T(the_report_luns_well_known_unit_is_found),
		T(a_new_nexus_hears_of_the_power_on_once),
		T(an_unknown_opcode_is_refused),
		T(a_reserved_bit_is_refused_with_its_place),
		T(naca_is_refused),
		T(a_cdb_shorter_than_its_row_is_refused),
		T(direction_flags_that_contradict_the_row_are_refused),
		T(a_read_that_is_flagged_as_a_write_brings_only_a_residual),
		T(the_aca_attribute_is_refused),
		T(a_tag_in_use_aborts_the_nexus_tasks),
		T(a_write_protected_unit_refuses_medium_writes),
		T(residuals_follow_from_expected_and_required),
		T(a_command_without_a_buffer_waits_for_one),
		T(abort_task_ends_a_dormant_command),
		T(abort_task_ends_a_command_that_waits_for_data),
		T(abort_task_answers_only_when_the_store_has_let_go),
		T(abort_task_knows_no_such_task),
		T(abort_task_set_leaves_other_nexuses_alone),
		T(dormant_commands_do_not_start_while_their_set_is_aborted),
		T(a_reset_waits_for_the_stores_of_every_reactor),
		T(a_reset_is_told_to_every_nexus),
		T(what_comes_after_a_reset_is_answered),
		T(a_target_reset_waits_for_units_that_are_being_unmapped),
		T(a_target_reset_resets_every_unit),
		T(a_cold_reset_closes_the_other_sessions),
		T(query_task_sees_what_is_there),
		T(management_of_an_absent_unit_is_refused),
		T(the_tag_of_an_aborted_task_is_free_after_the_response),
		T(a_refused_command_was_submitted_as_well),
		T(a_command_without_a_direction_moves_nothing),
	};

	return cmocka_run_group_tests_name("sam tasks", tests, NULL, NULL);
}
