/* SPDX-License-Identifier: BSD-2-Clause */
/* PERSISTENT RESERVE IN and OUT: SPC-5 5.14 clause by clause, two or three nexuses on two reactors. */
#include "rig.h"

enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, IGNORE, MOVE };
enum { WE = 1, EA = 3, WERO = 5, EARO = 6, WEAR = 7, EAAR = 8 };
static const uint8_t types[] = { WE, EA, WERO, EARO, WEAR, EAAR };

#define KA 0xa1a2a3a4a5a6a7a8ull
#define KB 0xb1b2b3b4b5b6b7b8ull
#define KC 0xc1ull

static struct loop_session *A, *B, *C;

static struct res pr_raw(struct loop_session *s, uint8_t sa, uint8_t type, const void *list,
			 uint32_t len)
{
	return out(s, list, len, CDB(0x5f, sa, type, 0, 0, B4(len), 0));
}

static struct res pr(struct loop_session *s, uint8_t sa, uint8_t type, uint64_t key, uint64_t sa_key)
{
	uint8_t list[24] = { 0 };

	be_store(list, 8, key);
	be_store(list + 8, 8, sa_key);
	return pr_raw(s, sa, type, list, sizeof(list));
}

static struct res pr_in(struct loop_session *s, uint8_t sa, void *b, uint16_t alloc)
{
	return in(s, b, alloc, CDB(0x5e, sa, 0, 0, 0, 0, 0, B2(alloc), 0));
}

static uint32_t generation(void)
{
	uint8_t b[8];

	good(pr_in(A, 0, b, 8));
	return (uint32_t)be_load(b, 4);
}

static unsigned keys(void)
{
	uint8_t b[8];

	good(pr_in(A, 0, b, 8));
	return (unsigned)be_load(b + 4, 4) / 8;
}

/* The reservation's type, 0 if there is none; the holder's key. */
static uint8_t reservation(uint64_t *key)
{
	uint8_t b[24];

	good(pr_in(A, 1, b, 24));
	*key = be_load(b + 4, 4) ? be_load(b + 8, 8) : 0;
	return be_load(b + 4, 4) ? b[21] : 0;
}

static uint8_t type_now(void)
{
	uint64_t key;

	return reservation(&key);
}

static int begin(void **state)
{
	rig_begin(state);
	A = S0;
	B = rig_login("iqn.2026-11.test:two", false);
	C = rig_login("iqn.2026-11.test:three", false);
	return 0;
}

static void register_ab(void)
{
	good(pr(A, REGISTER, 0, 0, KA));
	good(pr(B, REGISTER, 0, 0, KB));
}

/* ---- registering ---- */

static void registering_makes_a_key_known(void **state)
{
	uint8_t b[64];
	uint32_t before = generation();
	struct res r;

	good(pr(A, REGISTER, 0, 0, KA));
	r = pr_in(B, 0, b, 64);
	good(r);
	assert_int_equal(r.len, 16);
	assert_int_equal(be_load(b, 4), before + 1);
	assert_true(be_load(b + 8, 8) == KA);
}

static void an_unregistered_nexus_registers_with_key_zero_only(void **state)
{
	expect(pr(A, REGISTER, 0, KA, KA), V_RESERVATION_CONFLICT);
	assert_int_equal(keys(), 0);
	good(pr(A, IGNORE, 0, KB, KA));
	assert_int_equal(keys(), 1);
}

static void a_key_is_changed_by_who_knows_it(void **state)
{
	uint8_t b[16];

	good(pr(A, REGISTER, 0, 0, KA));
	expect(pr(A, REGISTER, 0, KB, KC), V_RESERVATION_CONFLICT);
	expect(pr(A, REGISTER, 0, 0, KC), V_RESERVATION_CONFLICT);
	good(pr(A, REGISTER, 0, KA, KC));
	good(pr_in(A, 0, b, 16));
	assert_true(be_load(b + 8, 8) == KC);
	good(pr(A, IGNORE, 0, 0, KB));
	good(pr_in(A, 0, b, 16));
	assert_true(be_load(b + 8, 8) == KB);
}

static void key_zero_unregisters(void **state)
{
	register_ab();
	good(pr(A, REGISTER, 0, KA, 0));
	assert_int_equal(keys(), 1);
	good(pr(B, IGNORE, 0, 0, 0));
	assert_int_equal(keys(), 0);
	good(pr(B, REGISTER, 0, 0, 0));
	assert_int_equal(keys(), 0);
}

static void a_registration_outlives_its_nexus(void **state)
{
	register_ab();
	good(pr(B, RESERVE, WE, KB, 0));
	rig_logout(B);
	for (int i = 0; i < 20; i++)
		rig_step();
	assert_int_equal(keys(), 2);
	assert_int_equal(type_now(), WE);
	reactor_turn(rig.reactor[0], 0);
	loop_login(&rig.ts, B);
	rig_until(B->nexus && B->nexus->state == NEXUS_LIVE);
	expect(tur(B), V_UA_NEXUS_LOSS);
	good(write10(B, 0, 1, rig_data(1, 1)));
	expect(write10(A, 0, 1, rig_data(1, 1)), V_RESERVATION_CONFLICT);
	good(pr(B, RELEASE, WE, KB, 0));
}

static void there_are_no_more_registrations_than_memory_was_set_aside_for(void **state)
{
	struct pr_state st;
	uint8_t id[24] = { 0x45 };

	pr_init(&st);
	for (unsigned i = 0; i < PR_REGISTRATIONS_MAX; i++) {
		id[5] = (uint8_t)i;
		assert_non_null(pr_register(&st, id, sizeof(id), 1, i + 1));
	}
	id[6] = 1;
	assert_null(pr_register(&st, id, sizeof(id), 1, 1));
	pr_fini(&st);
}

static void what_capabilities_deny_is_refused_in_the_list(void **state)
{
	static const uint8_t bit[] = { 0, 2, 3 }; /* APTPL, ALL_TG_PT, SPEC_I_PT */
	uint8_t list[24] = { 0 }, b[8];

	be_store(list + 8, 8, KA);
	for (unsigned i = 0; i < 3; i++) {
		list[20] = (uint8_t)(1 << bit[i]);
		expect_param(pr_raw(A, REGISTER, 0, list, 24), 20, bit[i]);
		expect_param(pr_raw(A, IGNORE, 0, list, 24), 20, bit[i]);
	}
	assert_int_equal(keys(), 0);
	good(pr_in(A, 2, b, 8));
	assert_int_equal(be_load(b, 2), 8);
	assert_int_equal(b[2], 0x10);
	assert_int_equal(b[3] & 0x81, 0x80);
	assert_int_equal(be_load(b + 4, 2), 0xea01);
}

static void lists_of_another_length_are_refused(void **state)
{
	uint8_t list[64] = { 0 };

	be_store(list + 8, 8, KA);
	for (unsigned i = 0; i < 24; i++)
		expect(pr_raw(A, REGISTER, 0, list, i), V_PARAM_LIST_LENGTH);
	expect(pr_raw(A, REGISTER, 0, list, 25), V_PARAM_LIST_LENGTH);
	expect(out(A, list, 24, CDB(0x5f, REGISTER, 0, 0, 0, B4(UINT32_MAX), 0)),
	       V_PARAM_LIST_LENGTH);
	/* the initiator sends less than it says */
	expect(out(A, list, 23, CDB(0x5f, REGISTER, 0, 0, 0, B4(24), 0)), V_PARAM_LIST_LENGTH);
	assert_int_equal(keys(), 0);
}

/* ---- reserving ---- */

static void only_the_registered_reserve(void **state)
{
	expect(pr(A, RESERVE, WE, 0, 0), V_RESERVATION_CONFLICT);
	good(pr(A, REGISTER, 0, 0, KA));
	expect(pr(A, RESERVE, WE, KB, 0), V_RESERVATION_CONFLICT);
	good(pr(A, RESERVE, WE, KA, 0));
}

static void a_type_or_scope_that_does_not_exist_is_refused(void **state)
{
	static const uint8_t bad[] = { 0, 2, 4, 9, 15 };

	good(pr(A, REGISTER, 0, 0, KA));
	for (unsigned i = 0; i < array_size(bad); i++)
		expect_cdb(pr(A, RESERVE, bad[i], KA, 0), 2, 3);
	expect_cdb(pr(A, RESERVE, 0x10 | WE, KA, 0), 2, 7);
	assert_int_equal(type_now(), 0);
}

static void a_held_reservation_refuses_another(void **state)
{
	register_ab();
	good(pr(A, RESERVE, WE, KA, 0));
	good(pr(A, RESERVE, WE, KA, 0));
	expect(pr(A, RESERVE, EA, KA, 0), V_RESERVATION_CONFLICT);
	expect(pr(B, RESERVE, WE, KB, 0), V_RESERVATION_CONFLICT);
}

/* What @s gets for a read, a write, and for what every type allows. */
static void expect_access(struct loop_session *s, bool reads, bool writes)
{
	uint8_t *d = rig_data(1, 1), b[96];

	expect(read10(s, 0, 1, d), reads ? V_GOOD : V_RESERVATION_CONFLICT);
	expect(write10(s, 0, 1, d), writes ? V_GOOD : V_RESERVATION_CONFLICT);
	expect(none(s, CDB(0x2f, 0, B4(0), 0, B2(1), 0)), reads ? V_GOOD : V_RESERVATION_CONFLICT);
	expect(none(s, CDB(0x35, 0, B4(0), 0, B2(0), 0)), writes ? V_GOOD : V_RESERVATION_CONFLICT);
	expect(in(s, b, 96, CDB(0x1a, 0, 0x3f, 0, 96, 0)), reads ? V_GOOD : V_RESERVATION_CONFLICT);
	expect(none(s, CDB(0x1b, 0, 0, 0, 0x04, 0)), writes ? V_GOOD : V_RESERVATION_CONFLICT);
	good(none(s, CDB(0x1b, 0, 0, 0, 1, 0)));
	good(tur(s));
	good(in(s, b, 96, CDB(0x12, 0, 0, 0, 96, 0)));
	good(in(s, b, 8, CDB(0x25, 0, B4(0), 0, 0, 0, 0)));
	good(pr_in(s, 0, b, 64));
}

static void each_type_excludes_whom_it_should(void **state)
{
	register_ab(); /* C is not registered */
	for (unsigned i = 0; i < array_size(types); i++) {
		uint8_t t = types[i];
		bool exclusive = t == EA || t == EARO || t == EAAR;
		bool registrants = t >= WERO;

		good(pr(A, RESERVE, t, KA, 0));
		expect_access(A, true, true);
		expect_access(B, registrants || !exclusive, registrants);
		expect_access(C, !exclusive, false);
		good(pr(A, RELEASE, t, KA, 0));
		if (registrants)
			expect(tur(B), V_UA_RSV_RELEASED);
		expect_access(C, true, true);
	}
}

static void all_registrants_hold_an_all_registrants_reservation(void **state)
{
	uint64_t key = 1;

	register_ab();
	good(pr(A, RESERVE, WEAR, KA, 0));
	assert_int_equal(reservation(&key), WEAR);
	assert_true(key == 0);
	good(pr(B, RESERVE, WEAR, KB, 0));
	good(pr(A, REGISTER, 0, KA, 0));
	assert_int_equal(type_now(), WEAR);
	good(pr(B, REGISTER, 0, KB, 0));
	assert_int_equal(type_now(), 0);
}

/* ---- releasing ---- */

static void releasing_needs_the_right_type(void **state)
{
	register_ab();
	good(pr(A, RELEASE, WE, KA, 0)); /* nothing there: no error */
	good(pr(A, RESERVE, WE, KA, 0));
	expect(pr(A, RELEASE, EA, KA, 0), V_INVALID_RELEASE);
	expect(pr(A, RELEASE, 0x10 | WE, KA, 0), V_INVALID_RELEASE);
	expect(pr(A, RELEASE, WE, KB, 0), V_RESERVATION_CONFLICT);
	expect(pr(C, RELEASE, WE, 0, 0), V_RESERVATION_CONFLICT);
	good(pr(B, RELEASE, WE, KB, 0)); /* not the holder: no effect */
	assert_int_equal(type_now(), WE);
	good(pr(A, RELEASE, WE, KA, 0));
	assert_int_equal(type_now(), 0);
	good(tur(B)); /* nobody is told of these types */
}

static void a_holder_that_unregisters_releases(void **state)
{
	register_ab();
	good(pr(A, RESERVE, EARO, KA, 0));
	good(pr(A, REGISTER, 0, KA, 0));
	assert_int_equal(type_now(), 0);
	expect(tur(B), V_UA_RSV_RELEASED);
	good(tur(B));
	good(tur(C));
}

static void clear_removes_everything_and_tells_the_registered(void **state)
{
	uint32_t before;

	register_ab();
	good(pr(A, RESERVE, EA, KA, 0));
	before = generation();
	expect(pr(C, CLEAR, 0, 0, 0), V_RESERVATION_CONFLICT);
	good(pr(B, CLEAR, 0, KB, 0));
	expect(tur(A), V_UA_RSV_PREEMPTED);
	good(tur(B));
	good(tur(C));
	assert_int_equal(keys(), 0);
	assert_int_equal(type_now(), 0);
	assert_int_equal(generation(), before + 1);
}

/* ---- preempting ---- */

static void preempting_the_holder_takes_the_reservation_over(void **state)
{
	uint64_t key;

	register_ab();
	good(pr(A, RESERVE, WE, KA, 0));
	good(pr(B, PREEMPT, EA, KB, KA));
	expect(tur(A), V_UA_REG_PREEMPTED);
	assert_int_equal(reservation(&key), EA);
	assert_true(key == KB);
	assert_int_equal(keys(), 1);
	expect(write10(A, 0, 1, rig_data(1, 1)), V_RESERVATION_CONFLICT);
	good(write10(B, 0, 1, rig_data(1, 1)));
}

static void preempting_with_another_type_tells_who_stays_registered(void **state)
{
	register_ab();
	good(pr(C, REGISTER, 0, 0, KC));
	good(pr(A, RESERVE, WERO, KA, 0));
	good(pr(B, PREEMPT, EARO, KB, KA));
	expect(tur(C), V_UA_RSV_RELEASED);
	expect(tur(A), V_UA_REG_PREEMPTED);
	good(tur(B));
}

static void preempting_another_than_the_holder_removes_registrations_only(void **state)
{
	uint64_t key;

	register_ab();
	good(pr(C, REGISTER, 0, 0, KC));
	good(pr(A, RESERVE, WERO, KA, 0));
	good(pr(A, PREEMPT, 0, KA, KB)); /* the type means nothing here */
	assert_int_equal(reservation(&key), WERO);
	assert_true(key == KA);
	assert_int_equal(keys(), 2);
	expect(tur(B), V_UA_REG_PREEMPTED);
	good(tur(C));
}

static void preempting_a_key_that_nobody_has_is_a_conflict(void **state)
{
	register_ab();
	expect(pr(A, PREEMPT, WE, KA, KC), V_RESERVATION_CONFLICT);
	expect(pr(C, PREEMPT, WE, 0, KA), V_RESERVATION_CONFLICT);
	assert_int_equal(keys(), 2);
}

static void preempting_key_zero_is_for_all_registrants_reservations(void **state)
{
	uint64_t key;

	register_ab();
	good(pr(C, REGISTER, 0, 0, KC));
	expect_param(pr(A, PREEMPT, WE, KA, 0), 8, 7);
	good(pr(A, RESERVE, EAAR, KA, 0));
	good(pr(C, PREEMPT, WE, KC, 0));
	expect(tur(A), V_UA_REG_PREEMPTED);
	expect(tur(B), V_UA_REG_PREEMPTED);
	assert_int_equal(keys(), 1);
	assert_int_equal(reservation(&key), WE);
	assert_true(key == KC);
}

static void a_preempt_with_a_bad_type_changes_nothing(void **state)
{
	register_ab();
	good(pr(A, RESERVE, WE, KA, 0));
	expect_cdb(pr(B, PREEMPT, 2, KB, KA), 2, 3);
	assert_int_equal(keys(), 2);
	assert_int_equal(type_now(), WE);
}

static void preempt_and_abort_ends_the_tasks_of_the_preempted(void **state)
{
	struct loop_cmd c;

	register_ab();
	good(pr(A, RESERVE, WE, KA, 0));
	rig_cmd(&c, A, CDB(0x2a, 0, B4(0), 0, B2(1), 0), NULL, rig_data(1, 1), rig_bs());
	c.withhold = true;
	rig_start(&c);
	rig_until(c.asked);
	good(pr(B, PREEMPT_ABORT, WE, KB, KA));
	rig_until(c.finished);
	expect(rig_result(&c), V_TASK_ABORTED);
	expect(tur(A), V_UA_REG_PREEMPTED);
}

static void preempt_leaves_the_tasks_of_the_preempted_alone(void **state)
{
	struct loop_cmd c;

	register_ab();
	good(pr(A, RESERVE, WE, KA, 0));
	rig_cmd(&c, A, CDB(0x2a, 0, B4(0), 0, B2(1), 0), NULL, rig_data(1, 1), rig_bs());
	c.withhold = true;
	rig_start(&c);
	rig_until(c.asked);
	good(pr(B, PREEMPT, WE, KB, KA));
	assert_false(c.finished);
	reactor_turn(A->reactor, 0);
	loop_send(&c);
	rig_until(c.finished);
	good(rig_result(&c));
}

/* ---- REGISTER AND MOVE ---- */

/* A list that moves to @to (its TransportID, @id_len bytes of it claimed); returns its length. */
static uint32_t move_list(uint8_t *p, const struct loop_session *to, uint64_t key, uint64_t sa_key,
			  bool unreg)
{
	const struct it_nexus *n = to->nexus;

	memset(p, 0, 512);
	be_store(p, 8, key);
	be_store(p + 8, 8, sa_key);
	p[17] = unreg ? 2 : 0;
	be_store(p + 18, 2, n->rtpi);
	be_store(p + 20, 4, n->transport_id_len);
	memcpy(p + 24, n->transport_id, n->transport_id_len);
	return 24u + n->transport_id_len;
}

static void a_reservation_moves_to_another_initiator(void **state)
{
	uint8_t list[512];
	uint64_t key;

	good(pr(A, REGISTER, 0, 0, KA));
	good(pr(A, RESERVE, EA, KA, 0));
	good(pr_raw(A, MOVE, 0, list, move_list(list, B, KA, KB, false)));
	assert_int_equal(reservation(&key), EA);
	assert_true(key == KB);
	assert_int_equal(keys(), 2);
	good(write10(B, 0, 1, rig_data(1, 1)));
	expect(write10(A, 0, 1, rig_data(1, 1)), V_RESERVATION_CONFLICT);
	good(pr_raw(B, MOVE, 0, list, move_list(list, A, KB, KC, true)));
	assert_int_equal(reservation(&key), EA);
	assert_true(key == KC);
	assert_int_equal(keys(), 1);
}

static void only_a_holder_moves(void **state)
{
	uint8_t list[512];

	register_ab();
	/* without a reservation nothing can move */
	expect_cdb(pr_raw(A, MOVE, 0, list, move_list(list, B, KA, KB, false)), 1, 4);
	good(pr(A, RESERVE, WEAR, KA, 0));
	expect(pr_raw(A, MOVE, 0, list, move_list(list, B, KA, KB, false)), V_RESERVATION_CONFLICT);
	good(pr(A, RELEASE, WEAR, KA, 0));
	expect(tur(B), V_UA_RSV_RELEASED);
	good(pr(A, RESERVE, WE, KA, 0));
	expect(pr_raw(B, MOVE, 0, list, move_list(list, C, KB, KC, false)), V_RESERVATION_CONFLICT);
	expect(pr_raw(C, MOVE, 0, list, move_list(list, A, 0, KC, false)), V_RESERVATION_CONFLICT);
	expect(pr_raw(A, MOVE, 0, list, move_list(list, B, KB, KB, false)), V_RESERVATION_CONFLICT);
}

static void a_short_list_of_register_and_move_is_refused(void **state)
{
	uint8_t list[512];
	uint32_t len;

	good(pr(A, REGISTER, 0, 0, KA));
	good(pr(A, RESERVE, EA, KA, 0));
	len = move_list(list, B, KA, KB, false);
	for (uint32_t i = 0; i < len; i++)
		expect(pr_raw(A, MOVE, 0, list, i), V_PARAM_LIST_LENGTH);
	expect(pr_raw(A, MOVE, 0, list, len + 4), V_PARAM_LIST_LENGTH);
	assert_int_equal(keys(), 1);
}

static void a_transport_id_length_that_lies_is_refused(void **state)
{
	static const uint32_t lies[] = { 0,   1,       20,	   23,	       26,	  257,
					 260, 0x10000, 0x80000000, 0xfffffffc, 0xffffffff };
	uint8_t list[512];
	uint32_t len;

	good(pr(A, REGISTER, 0, 0, KA));
	good(pr(A, RESERVE, EA, KA, 0));
	len = move_list(list, B, KA, KB, false);
	for (unsigned i = 0; i < array_size(lies); i++) {
		be_store(list + 20, 4, lies[i]);
		expect_param(pr_raw(A, MOVE, 0, list, len), 20, 7);
	}
	be_store(list + 20, 4, len - 24 - 4);
	expect(pr_raw(A, MOVE, 0, list, len), V_PARAM_LIST_LENGTH);
	/* the inner length */
	move_list(list, B, KA, KB, false);
	be_store(list + 26, 2, 0xffff);
	expect_param(pr_raw(A, MOVE, 0, list, len), 24, -1);
	assert_int_equal(keys(), 1);
}

static void register_and_move_needs_a_port_a_key_and_another_initiator(void **state)
{
	uint8_t list[512];
	uint32_t len;

	good(pr(A, REGISTER, 0, 0, KA));
	good(pr(A, RESERVE, EA, KA, 0));
	len = move_list(list, B, KA, 0, false);
	expect_param(pr_raw(A, MOVE, 0, list, len), 8, 7);
	len = move_list(list, B, KA, KB, false);
	be_store(list + 18, 2, 999);
	expect_param(pr_raw(A, MOVE, 0, list, len), 18, 7);
	len = move_list(list, B, KA, KB, false);
	list[17] |= 1;
	expect_param(pr_raw(A, MOVE, 0, list, len), 17, 0);
	len = move_list(list, A, KA, KB, false);
	expect_param(pr_raw(A, MOVE, 0, list, len), 24, -1);
	len = move_list(list, B, KA, KB, false);
	list[24] = 0x00; /* fibre channel */
	expect_param(pr_raw(A, MOVE, 0, list, len), 24, -1);
	len = move_list(list, B, KA, KB, false);
	memset(list + 28, 'x', len - 28); /* no end */
	expect_param(pr_raw(A, MOVE, 0, list, len), 24, -1);
	assert_int_equal(keys(), 1);
}

/* ---- reading ---- */

static void full_status_names_every_registrant(void **state)
{
	uint8_t b[1024];
	struct res r;
	unsigned n;

	register_ab();
	good(pr(B, RESERVE, WE, KB, 0));
	r = pr_in(C, 3, b, 1024);
	good(r);
	assert_int_equal(r.len, 8 + be_load(b + 4, 4));
	assert_true(be_load(b + 8, 8) == KA);
	assert_int_equal(b[20], 0);
	assert_int_equal(be_load(b + 26, 2), 3);
	n = (unsigned)be_load(b + 28, 4);
	assert_int_equal(n, A->nexus->transport_id_len);
	assert_memory_equal(b + 32, A->nexus->transport_id, n);
	assert_true(be_load(b + 32 + n, 8) == KB);
	assert_int_equal(b[32 + n + 12], 1);
	assert_int_equal(b[32 + n + 13], WE);
}

static void reading_is_cut_but_says_the_whole_length(void **state)
{
	uint8_t b[64];
	struct res r;

	register_ab();
	r = in(A, b, 64, CDB(0x5e, 0, 0, 0, 0, 0, 0, B2(12), 0));
	good(r);
	assert_int_equal(r.len, 12);
	assert_int_equal(be_load(b + 4, 4), 16);
	good(none(A, CDB(0x5e, 3, 0, 0, 0, 0, 0, B2(0), 0)));
}

static void unknown_service_actions_are_refused(void **state)
{
	uint8_t list[24] = { 0 }, b[8];

	expect_cdb(pr_raw(A, 8, 0, list, 24), 1, 4);
	expect_cdb(pr_raw(A, 31, 0, list, 24), 1, 4);
	expect_cdb(pr_in(A, 4, b, 8), 1, 4);
}

/* ---- with SPC-2 reservations (CRH) ---- */

static void reserve_6_and_registrations_exclude_each_other(void **state)
{
	struct cdb reserve = CDB(0x16, 0, 0, 0, 0, 0), release = CDB(0x17, 0, 0, 0, 0, 0);

	good(pr(A, REGISTER, 0, 0, KA));
	expect(none(A, reserve), V_RESERVATION_CONFLICT);
	expect(none(B, release), V_RESERVATION_CONFLICT);
	good(pr(A, RESERVE, WE, KA, 0));
	good(none(A, reserve)); /* the holder: no effect */
	good(none(A, release));
	expect(none(B, reserve), V_RESERVATION_CONFLICT);
	assert_int_equal(type_now(), WE);
	good(pr(A, CLEAR, 0, KA, 0));
	good(none(B, reserve));
	expect(pr(A, REGISTER, 0, 0, KA), V_RESERVATION_CONFLICT);
	good(none(B, release));
	good(pr(A, REGISTER, 0, 0, KA));
}

static void a_reset_keeps_reservations(void **state)
{
	register_ab();
	good(pr(A, RESERVE, EA, KA, 0));
	assert_int_equal(rig_manage(B, TMF_LU_RESET, DISK_LUN, 0), TMF_COMPLETE);
	tur(A);
	tur(B);
	assert_int_equal(type_now(), EA);
	assert_int_equal(keys(), 2);
	expect(write10(B, 0, 1, rig_data(1, 1)), V_RESERVATION_CONFLICT);
}

#define pr_test(f) cmocka_unit_test_setup_teardown(f, begin, rig_end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		pr_test(registering_makes_a_key_known),
		pr_test(an_unregistered_nexus_registers_with_key_zero_only),
		pr_test(a_key_is_changed_by_who_knows_it),
		pr_test(key_zero_unregisters),
		pr_test(a_registration_outlives_its_nexus),
		cmocka_unit_test(there_are_no_more_registrations_than_memory_was_set_aside_for),
		pr_test(what_capabilities_deny_is_refused_in_the_list),
		pr_test(lists_of_another_length_are_refused),
		pr_test(only_the_registered_reserve),
		pr_test(a_type_or_scope_that_does_not_exist_is_refused),
		pr_test(a_held_reservation_refuses_another),
		pr_test(each_type_excludes_whom_it_should),
		pr_test(all_registrants_hold_an_all_registrants_reservation),
		pr_test(releasing_needs_the_right_type),
		pr_test(a_holder_that_unregisters_releases),
		pr_test(clear_removes_everything_and_tells_the_registered),
		pr_test(preempting_the_holder_takes_the_reservation_over),
		pr_test(preempting_with_another_type_tells_who_stays_registered),
		pr_test(preempting_another_than_the_holder_removes_registrations_only),
		pr_test(preempting_a_key_that_nobody_has_is_a_conflict),
		pr_test(preempting_key_zero_is_for_all_registrants_reservations),
		pr_test(a_preempt_with_a_bad_type_changes_nothing),
		pr_test(preempt_and_abort_ends_the_tasks_of_the_preempted),
		pr_test(preempt_leaves_the_tasks_of_the_preempted_alone),
		pr_test(a_reservation_moves_to_another_initiator),
		pr_test(only_a_holder_moves),
		pr_test(a_short_list_of_register_and_move_is_refused),
		pr_test(a_transport_id_length_that_lies_is_refused),
		pr_test(register_and_move_needs_a_port_a_key_and_another_initiator),
		pr_test(full_status_names_every_registrant),
		pr_test(reading_is_cut_but_says_the_whole_length),
		pr_test(unknown_service_actions_are_refused),
		pr_test(reserve_6_and_registrations_exclude_each_other),
		pr_test(a_reset_keeps_reservations),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
