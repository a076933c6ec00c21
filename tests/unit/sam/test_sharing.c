/* SPDX-License-Identifier: BSD-2-Clause */
/* Transactions, claims, LUN maps, access. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stddef.h>
#include <errno.h>
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

/* ---- transactions ---- */

static struct {
	struct lu_tx tx[3];
	int order[3], decided, ended;
	uint64_t blocks[3]; /* what each decided */
	bool refuse;
} run;

static bool decide(struct lu_tx *tx)
{
	/* the one before has been answered or is about to be: nothing overlaps */
	run.order[run.decided++] = (int)(tx - run.tx);
	run.blocks[tx - run.tx] = ++tx->lu->view.blocks;
	return !run.refuse;
}

static void ended(struct lu_tx *tx)
{
	/* whatever is answered, every reactor already knows */
	for (int i = 0; i < 2 && !run.refuse; i++)
		assert_true(world.lu->part[i].view.blocks >= run.blocks[tx - run.tx]);
	run.ended++;
}

static struct lu_tx *start_tx(int i)
{
	run.tx[i].decide = decide;
	run.tx[i].done = ended;
	lu_tx_run(world.lu, &run.tx[i]);
	return &run.tx[i];
}

static void transactions_run_one_at_a_time_in_order(void **state)
{
	memset(&run, 0, sizeof(run));
	reactor_turn(world.reactor[1], 0);
	for (int i = 0; i < 3; i++)
		start_tx(i);
	until(run.ended == 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(run.order[i], i);
	assert_int_equal(world.lu->part[1].view.blocks, 1027);
}

static void a_transaction_that_changes_nothing_is_not_published(void **state)
{
	memset(&run, 0, sizeof(run));
	run.refuse = true;
	reactor_turn(world.reactor[1], 0);
	start_tx(0);
	until(run.ended);
	assert_int_equal(world.lu->part[1].view.blocks, 1024);
}

static void a_cancelled_transaction_is_not_decided(void **state)
{
	memset(&run, 0, sizeof(run));
	reactor_turn(world.reactor[1], 0);
	start_tx(0);
	lu_tx_cancel(start_tx(1));
	until(run.ended == 2);
	assert_int_equal(run.decided, 1);
	assert_int_equal(run.tx[1].verdict, V_TASK_ABORTED);
}

static void the_death_of_its_nexus_does_not_stop_a_transaction(void **state)
{
	struct it_nexus *n = login("a");
	struct tcmd *c;

	clear_ua(n);
	c = submit(n, OP_TX, ATTR_SIMPLE);
	nexus_drop(n);
	assert_false(c->finished);
	until(world.drained);
	assert_true(c->finished);
	assert_int_equal(c->scsi.verdict, V_ABORTED_SILENTLY);
}

/* ---- claims ---- */

static void sessions_go_to_the_least_loaded_reactor(void **state)
{
	struct it_nexus *a = login("a"), *b = login("b"), *c = login("c");

	assert_ptr_not_equal(a->reactor, b->reactor);
	assert_ptr_equal(a->reactor, c->reactor);
}

static void a_claim_of_an_unknown_target_is_refused(void **state)
{
	struct claim *c = claim_begin("a");

	strcpy(c->target, "iqn.2026-11.test:other");
	until(!c->wait_link.next);
	assert_int_equal(c->answer, LOGIN_NOT_FOUND);
}

static void a_claim_without_a_matching_rule_is_forbidden(void **state)
{
	struct err e;

	reactor_turn(world.control, 0);
	assert_int_equal(target_acl_remove(world.target, false, "ALL", &e), 0);
	assert_null(login("a"));
}

static void an_offline_target_takes_no_login(void **state)
{
	struct claim *c;

	world.target->state = TARGET_OFFLINE;
	c = claim_begin("a");
	until(!c->wait_link.next);
	assert_int_equal(c->answer, LOGIN_OFFLINE);
}

static void a_second_login_of_the_same_port_replaces_the_first(void **state)
{
	struct it_nexus *old = login("a"), *new;

	assert_non_null(old);
	new = login("a");
	assert_non_null(new);
	assert_int_equal(world.closed, 1);
	assert_int_equal(world.drained, 1);
	assert_int_equal(submit(new, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_UA_NEXUS_LOSS);
}

static void a_replacing_login_waits_for_the_old_sessions_store(void **state)
{
	struct it_nexus *old = login("a");
	struct tcmd *held;
	struct claim *c;

	clear_ua(old);
	held = submit(old, OP_HOLD, ATTR_SIMPLE);
	c = claim_begin("a");
	for (int i = 0; i < 50; i++)
		step();
	assert_non_null(c->wait_link.next);
	reactor_turn(old->reactor, 0);
	release(held);
	until(!c->wait_link.next);
	assert_int_equal(c->answer, LOGIN_OK);
	reactor_turn(c->nexus->reactor, 0);
	nexus_start(c->nexus, NULL);
}

static void a_claim_that_nobody_uses_can_be_abandoned(void **state)
{
	struct claim *c = claim_begin("a");

	until(!c->wait_link.next);
	reactor_turn(c->nexus->reactor, 0);
	nexus_abandon(c->nexus);
	until(list_empty(&world.target->nexuses));
}

static void a_session_closed_before_it_started_is_closed_when_it_does(void **state)
{
	struct claim *c = claim_begin("a");

	until(!c->wait_link.next);
	reactor_turn(world.control, 0);
	target_close_nexus(c->nexus);
	step();
	reactor_turn(c->nexus->reactor, 0);
	nexus_start(c->nexus, NULL);
	until(world.drained == 1);
	assert_int_equal(world.closed, 1);
}

/* ---- LUN maps ---- */

static bool mapped;

static void note(void *arg)
{
	mapped = true;
}

static void a_lun_mapped_in_a_live_session_appears(void **state)
{
	static const uint8_t lun2[8] = { 0, 2 };
	struct it_nexus *n = login("a");
	struct lu *two = make_lu("two");
	struct err e;

	clear_ua(n);
	mapped = false;
	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, 2, two, note, NULL, &e), 0);
	until(mapped);
	assert_int_equal(submit(n, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_UA_LUNS_CHANGED);
	assert_int_equal(submit_to(n, OP_NOW, ATTR_SIMPLE, lun2, false, false, 0)->scsi.verdict,
			 V_UA_POWER_ON);
	assert_int_equal(submit_to(n, OP_NOW, ATTR_SIMPLE, lun2, false, false, 0)->scsi.verdict,
			 V_GOOD);
}

static void an_unmapped_lun_goes_when_its_store_has_let_go(void **state)
{
	struct it_nexus *n = login("a");
	struct tcmd *held;
	struct err e;

	clear_ua(n);
	held = submit(n, OP_HOLD, ATTR_SIMPLE);
	mapped = false;
	reactor_turn(world.control, 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 1, note, NULL, &e), 0);
	for (int i = 0; i < 20; i++)
		step();
	assert_false(mapped);
	assert_int_equal(submit(n, OP_NOW, ATTR_SIMPLE)->scsi.verdict, V_LU_NOT_SUPPORTED);
	release(held);
	assert_int_equal(held->scsi.verdict, V_TASK_ABORTED);
	until(mapped);
	assert_true(list_empty(&world.lu->itls));
	assert_int_equal(world.lu->maps, 0);
	lu_destroy(world.lu);
}

static void a_lun_can_be_unmapped_while_a_session_ends(void **state)
{
	struct it_nexus *n = login("a");
	struct err e;

	mapped = false;
	reactor_turn(n->reactor, 0);
	nexus_drop(n);
	reactor_turn(world.control, 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 1, note, NULL, &e), 0);
	until(mapped && list_empty(&world.target->nexuses));
	lu_destroy(world.lu);
}

static void a_lun_can_be_unmapped_while_it_is_being_mapped(void **state)
{
	struct lu *two = make_lu("two");
	struct err e;
	bool *both = &mapped;

	login("a");
	mapped = false;
	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, 2, two, NULL, NULL, &e), 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 2, note, NULL, &e), 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 2, note, NULL, &e), -EBUSY);
	until(*both);
	lu_destroy(two);
}

static void a_lun_that_comes_late_does_not_touch_what_a_dead_nexus_has_lost(void **state)
{
	struct it_nexus *n = login("a"), *m = login("b");
	struct lu *lu = make_lu("two");
	const uint8_t two[8] = { 0, 2 };
	struct tcmd *held;
	struct err e;
	bool done;

	assert_int_equal(target_map(&world.ts, world.target, 2, lu, NULL, NULL, &e), 0);
	until(nexus_itl(n, 2) && nexus_itl(m, 2));
	clear_ua(m);
	held = submit_to(m, OP_HOLD, ATTR_SIMPLE, two, false, false, 0);
	manage(m, TMF_LU_RESET, 2, 0, &done); /* waits for what is held: later ones queue */
	for (int i = 0; i < 10; i++)
		step();
	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, 5, lu, NULL, NULL, &e), 0);
	reactor_turn(n->reactor, 0);
	nexus_drop(n);
	for (int i = 0; i < 20; i++)
		step(); /* LUN 1 of n is freed, LUN 2 waits behind LUN 5 */
	assert_true(n->gone);
	reactor_turn(m->reactor, 0);
	release(held);
	until(done && nexus_itl(m, 5));
	until(list_first(&world.target->nexuses, struct it_nexus, target_link) == m);
	reactor_turn(world.control, 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 5, NULL, NULL, &e), 0);
	until(!target_lun(world.target, 5));
}

static void a_session_without_luns_can_end_while_it_is_being_closed(void **state)
{
	struct it_nexus *n = login("a");
	struct lu *lu = world.lu;
	struct err e;

	assert_int_equal(target_unmap(&world.ts, world.target, 1, NULL, NULL, &e), 0);
	until(!target_lun(world.target, 1));
	lu_destroy(lu);
	reactor_turn(n->reactor, 0);
	nexus_drop(n);
	reactor_turn(n->reactor, 0); /* control is told */
	target_close_nexus(n); /* and does not know it yet */
	reactor_turn(world.control, 0);
	until(list_empty(&world.target->nexuses));
	step(); /* its reactor sees what control had posted */
	assert_int_equal(world.drained, 1);
	assert_int_equal(world.closed, 0);
}

static void a_taken_or_too_large_lun_is_refused(void **state)
{
	struct err e;

	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, 1, world.lu, NULL, NULL, &e), -EEXIST);
	assert_int_equal(target_map(&world.ts, world.target, 16384, world.lu, NULL, NULL, &e),
			 -EINVAL);
}

/* ---- targets, access ---- */

static void target_ids_and_names_are_unique(void **state)
{
	struct err e;

	assert_null(target_create(&world.ts, 1, "iqn.2026-11.test:u", &e));
	assert_int_equal(e.code, -EEXIST);
	assert_null(target_create(&world.ts, 2, "iqn.2026-11.test:t", &e));
	assert_int_equal(e.code, -EEXIST);
	assert_null(target_create(&world.ts, 0, "iqn.2026-11.test:u", &e));
	assert_int_equal(e.code, -EINVAL);
	assert_null(target_create(&world.ts, 70000, "iqn.2026-11.test:u", &e));
	assert_int_equal(e.code, -EINVAL);
}

static void addresses_networks_and_names_admit(void **state)
{
	struct target *t = world.target;
	struct err e;

	target_acl_remove(t, false, "ALL", &e);
	assert_int_equal(target_acl_add(t, false, "192.0.2.0/25", &e), 0);
	assert_int_equal(target_acl_add(t, false, "2001:db8::/33", &e), 0);
	assert_int_equal(target_acl_add(t, true, "iqn.2026-11.test:me", &e), 0);
	assert_true(target_admits(t, "x", "192.0.2.127"));
	assert_false(target_admits(t, "x", "192.0.2.128"));
	assert_true(target_admits(t, "x", "::ffff:192.0.2.1"));
	assert_true(target_admits(t, "x", "2001:db8:7fff::1"));
	assert_false(target_admits(t, "x", "2001:db8:8000::1"));
	assert_true(target_admits(t, "iqn.2026-11.test:me", "203.0.113.1"));
	assert_false(target_admits(t, "iqn.2026-11.test:me2", "203.0.113.1"));
}

static void a_rule_that_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = { "",	  "192.0.2",	  "192.0.2.1/33", "192.0.2.1/",
					   "all", "192.0.2.1/-1", "::1/129",	  "host" };
	struct err e;

	for (unsigned i = 0; i < array_size(bad); i++)
		assert_int_equal(target_acl_add(world.target, false, bad[i], &e), -EINVAL);
}

static void accounts_are_bound_and_unbound(void **state)
{
	struct err e;

	assert_int_equal(account_add(&world.ts, "u", "secret", &e), 0);
	assert_int_equal(account_add(&world.ts, "u", "other", &e), -EEXIST);
	assert_int_equal(account_bind(&world.ts, world.target, "v", false, &e), -ENOENT);
	assert_int_equal(account_bind(&world.ts, world.target, "u", false, &e), 0);
	assert_int_equal(account_bind(&world.ts, world.target, "u", false, &e), -EEXIST);
	assert_int_equal(account_bind(&world.ts, world.target, "u", true, &e), 0);
	assert_int_equal(account_bind(&world.ts, world.target, "u", true, &e), -EEXIST);
	assert_int_equal(account_unbind(&world.ts, world.target, "u", false, &e), 0);
	assert_int_equal(account_unbind(&world.ts, world.target, "u", false, &e), -ENOENT);
	assert_int_equal(account_remove(&world.ts, "u", &e), 0);
	assert_null(world.target->outgoing);
}

static bool answered;

static void query_done(struct login_query *q)
{
	answered = true;
}

static void a_query_tells_the_secret_of_a_bound_account_only(void **state)
{
	struct login_query q = { .initiator = "a",
				 .target = "iqn.2026-11.test:t",
				 .peer = "127.0.0.1",
				 .user = "u",
				 .done = query_done };
	struct err e;

	assert_int_equal(account_add(&world.ts, "u", "secret", &e), 0);
	assert_int_equal(account_add(&world.ts, "w", "secret2", &e), 0);
	assert_int_equal(account_bind(&world.ts, world.target, "w", false, &e), 0);
	answered = false;
	reactor_turn(world.reactor[0], 0);
	login_query_run(&world.ts, &q);
	until(answered);
	assert_true(q.auth_required);
	assert_false(q.user_known);
	strcpy(q.user, "w");
	answered = false;
	reactor_turn(world.reactor[0], 0);
	login_query_run(&world.ts, &q);
	until(answered);
	assert_true(q.user_known);
	assert_string_equal(q.secret, "secret2");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(transactions_run_one_at_a_time_in_order),
		T(a_transaction_that_changes_nothing_is_not_published),
		T(a_cancelled_transaction_is_not_decided),
		T(the_death_of_its_nexus_does_not_stop_a_transaction),
		T(sessions_go_to_the_least_loaded_reactor),
		T(a_claim_of_an_unknown_target_is_refused),
		T(a_claim_without_a_matching_rule_is_forbidden),
		T(an_offline_target_takes_no_login),
		T(a_second_login_of_the_same_port_replaces_the_first),
		T(a_replacing_login_waits_for_the_old_sessions_store),
		T(a_claim_that_nobody_uses_can_be_abandoned),
		T(a_session_closed_before_it_started_is_closed_when_it_does),
		T(a_lun_mapped_in_a_live_session_appears),
		T(an_unmapped_lun_goes_when_its_store_has_let_go),
		T(a_lun_can_be_unmapped_while_a_session_ends),
		T(a_lun_can_be_unmapped_while_it_is_being_mapped),
		T(a_lun_that_comes_late_does_not_touch_what_a_dead_nexus_has_lost),
		T(a_session_without_luns_can_end_while_it_is_being_closed),
		T(a_taken_or_too_large_lun_is_refused),
		T(target_ids_and_names_are_unique),
		T(addresses_networks_and_names_admit),
		T(a_rule_that_is_no_address_is_refused),
		T(accounts_are_bound_and_unbound),
		T(a_query_tells_the_secret_of_a_bound_account_only),
	};

	return cmocka_run_group_tests_name("sam sharing", tests, NULL, NULL);
}
