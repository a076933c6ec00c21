/* SPDX-License-Identifier: BSD-2-Clause */
/* Transports without logins: local claims, sessions with one LUN, reserved LUNs, what they are told at once. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stddef.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "world.h"

static struct {
	unsigned lun_changes, attentions;
	uint64_t lun;
	bool present;
	uint32_t set;
} told;

static void lun_changed(struct it_nexus *n, uint64_t lun, bool present)
{
	told.lun_changes++;
	told.lun = lun;
	told.present = present;
}

static void attention(struct itl *itl, uint32_t set)
{
	told.attentions++;
	told.set = set;
}

static struct transport_ops local_ops;

static int setup(void **state)
{
	memset(&told, 0, sizeof(told));
	world_begin();
	local_ops = *world_transport;
	local_ops.name = "local";
	local_ops.lun_changed = lun_changed;
	local_ops.attention = attention;
	return 0;
}

static int teardown(void **state)
{
	world_end();
	return 0;
}

/* A claim of the local transport; its answer. */
static struct claim *claim_local(const char *name, int lun)
{
	struct claim *c = claim_new(name);

	c->tops = &local_ops;
	c->local = true;
	c->one_lun = lun >= 0;
	c->lun = (uint64_t)max(lun, 0);
	reactor_turn(world.reactor[0], 0);
	claim_run(&world.ts, c);
	until(!c->wait_link.next);
	return c;
}

static struct it_nexus *start(struct claim *c)
{
	assert_int_equal(c->answer, LOGIN_OK);
	reactor_turn(c->nexus->reactor, 0);
	nexus_start(c->nexus, NULL);
	clear_ua(c->nexus);
	return c->nexus;
}

static void map(uint64_t lun)
{
	struct err e;

	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, lun, make_lu("more"), NULL, NULL, &e),
			 0);
	for (int i = 0; i < 8; i++)
		step();
}

/* The control reactor's thread is what calls like these run on. */
static int reserve(uint64_t lun, const char *name, struct err *e)
{
	reactor_turn(world.control, 0);
	return target_reserve_lun(world.target, lun, name, e);
}

static void release_lun(uint64_t lun)
{
	reactor_turn(world.control, 0);
	target_release_lun(world.target, lun);
	for (int i = 0; i < 8; i++)
		step();
}

/* ---- claims ---- */

static void a_local_claim_asks_no_access_rule(void **state)
{
	struct err e;

	assert_int_equal(target_acl_remove(world.target, false, "ALL", &e), 0);
	assert_null(login("iqn.2026-11.test:i"));
	start(claim_local("naa.3000000000000001", -1));
}

static void a_local_claim_of_a_name_that_is_logged_in_is_refused_and_ends_nobody(void **state)
{
	start(claim_local("naa.3000000000000001", -1));
	assert_int_equal(claim_local("naa.3000000000000001", -1)->answer, LOGIN_BUSY);
	assert_int_equal(world.closed, 0);
}

static void a_local_claim_of_a_target_that_is_offline_is_told_so(void **state)
{
	world.target->state = TARGET_OFFLINE;
	assert_int_equal(claim_local("naa.3000000000000001", -1)->answer, LOGIN_OFFLINE);
}

static void a_session_with_one_lun_has_that_one_alone(void **state)
{
	struct it_nexus *n;

	map(2);
	n = start(claim_local("naa.3000000000000001", 2));
	assert_null(nexus_itl(n, 1));
	assert_non_null(nexus_itl(n, 2));
	map(3);
	assert_null(nexus_itl(n, 3));
}

static void a_claim_of_one_lun_that_is_not_there_is_refused(void **state)
{
	assert_int_equal(claim_local("naa.3000000000000001", 2)->answer, LOGIN_NOT_FOUND);
}

/* ---- reserved LUNs ---- */

static void a_reserved_lun_is_not_there_for_other_transports(void **state)
{
	struct it_nexus *n;
	struct err e;

	assert_int_equal(reserve(1, "local", &e), 0);
	n = login("iqn.2026-11.test:i");
	assert_null(nexus_itl(n, 1));
	assert_non_null(nexus_itl(start(claim_local("naa.3000000000000001", 1)), 1));
}

static void a_lun_that_a_session_has_cannot_be_reserved(void **state)
{
	struct err e;

	login("iqn.2026-11.test:i");
	assert_int_equal(reserve(1, "local", &e), -EBUSY);
	assert_non_null(strstr(e.text, "iqn.2026-11.test:i"));
}

static void a_lun_is_reserved_once(void **state)
{
	struct err e;

	assert_int_equal(reserve(1, "local", &e), 0);
	assert_int_equal(reserve(1, "local", &e), -EBUSY);
}

static void a_lun_that_is_not_there_cannot_be_reserved(void **state)
{
	struct err e;

	assert_int_equal(reserve(7, "local", &e), -ENOENT);
}

static void who_is_logged_in_gets_a_lun_that_is_released(void **state)
{
	struct it_nexus *n;
	struct err e;

	assert_int_equal(reserve(1, "local", &e), 0);
	n = login("iqn.2026-11.test:i");
	release_lun(1);
	assert_non_null(nexus_itl(n, 1));
	release_lun(1); /* again: nothing happens */
	assert_int_equal(n->nluns, 1);
}

/* ---- what a transport is told ---- */

static void a_transport_hears_of_a_lun_that_comes_and_goes(void **state)
{
	struct err e;

	start(claim_local("naa.3000000000000001", -1));
	assert_int_equal(told.lun_changes, 0);
	map(2);
	assert_int_equal(told.lun_changes, 1);
	assert_int_equal(told.lun, 2);
	assert_true(told.present);
	reactor_turn(world.control, 0);
	assert_int_equal(target_unmap(&world.ts, world.target, 1, NULL, NULL, &e), 0);
	until(told.lun_changes == 2);
	assert_int_equal(told.lun, 1);
	assert_false(told.present);
	until(!world.lu->maps);
	lu_destroy(world.lu);
}

static bool grow(struct lu_tx *tx)
{
	tx->lu->view.blocks *= 2;
	lu_tell_others(tx->lu, NULL, UA_CAPACITY_CHANGED);
	return true;
}

static bool grown;

static void has_grown(struct lu_tx *tx)
{
	grown = true;
}

static void a_transport_hears_of_unit_attentions(void **state)
{
	static struct lu_tx tx;

	grown = false;
	tx = (struct lu_tx){ .decide = grow, .done = has_grown };
	start(claim_local("naa.3000000000000001", -1));
	reactor_turn(world.control, 0);
	lu_tx_run(world.lu, &tx);
	until(grown);
	assert_int_equal(told.attentions, 1);
	assert_int_equal(told.set, UA_BIT(UA_CAPACITY_CHANGED));
}

/* ---- direction ---- */

static struct tcmd *submit_by_row(struct it_nexus *n, uint8_t opcode, uint32_t expected)
{
	static const uint8_t lun1[8] = { 0, 1 };

	return submit_undirected(n, opcode, lun1, expected);
}

static void where_data_go_is_taken_from_the_row_if_the_transport_cannot_say(void **state)
{
	struct it_nexus *n = start(claim_local("naa.3000000000000001", -1));
	struct tcmd *out = submit_by_row(n, OP_DATA, 512), *in = submit_by_row(n, OP_BUF, 512);

	assert_true(out->scsi.write && !out->scsi.read);
	assert_true(out->asked);
	cmd_data_ready(&out->scsi, NULL, 0, 512);
	until(in->finished);
	assert_true(in->scsi.read && !in->scsi.write);
	assert_int_equal(in->scsi.data_in, 512);
}

static void without_a_row_no_data_are_expected(void **state)
{
	struct it_nexus *n = start(claim_local("naa.3000000000000001", -1));
	struct tcmd *c = submit_by_row(n, 0xf0, 512);

	assert_true(c->finished);
	assert_int_equal(c->scsi.verdict, V_INVALID_OPCODE);
	assert_int_equal(c->scsi.data_in, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_local_claim_asks_no_access_rule),
		T(a_local_claim_of_a_name_that_is_logged_in_is_refused_and_ends_nobody),
		T(a_local_claim_of_a_target_that_is_offline_is_told_so),
		T(a_session_with_one_lun_has_that_one_alone),
		T(a_claim_of_one_lun_that_is_not_there_is_refused),
		T(a_reserved_lun_is_not_there_for_other_transports),
		T(a_lun_that_a_session_has_cannot_be_reserved),
		T(a_lun_is_reserved_once),
		T(a_lun_that_is_not_there_cannot_be_reserved),
		T(who_is_logged_in_gets_a_lun_that_is_released),
		T(a_transport_hears_of_a_lun_that_comes_and_goes),
		T(a_transport_hears_of_unit_attentions),
		T(where_data_go_is_taken_from_the_row_if_the_transport_cannot_say),
		T(without_a_row_no_data_are_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
