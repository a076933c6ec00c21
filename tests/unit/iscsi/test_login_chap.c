/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "rig.h"

#define SECRET "a secret of some length"
#define OUT_SECRET "another secret, for us"
#define OUR_CHALLENGE "0x00112233445566778899aabbccddeeff"

static void set_up(struct rig *r)
{
	rig_start(r);
	r->auth_required = true;
	r->user = "joe";
	r->secret = SECRET;
	r->out_user = "target";
	r->out_secret = OUT_SECRET;
}

static int start(void **state)
{
	static struct rig r;

	set_up(&r);
	*state = &r;
	return 0;
}

/* Another connection of the same initiator. */
static void again(struct rig *r)
{
	rig_end(r);
	set_up(r);
}

static int end(void **state)
{
	rig_end(*state);
	return 0;
}

static void assert_refused(struct rig *r, unsigned status)
{
	assert_int_equal(r->action, LOGIN_SEND_AND_CLOSE);
	assert_int_equal(r->status, status);
	assert_int_equal(r->len, 0);
	assert_int_equal(r->claimed, 0);
}

/* To where the target has sent its challenge. */
static void challenge(struct rig *r, const char *algorithms)
{
	char text[80];

	assert_int_equal(rig_send(r, T, SEC, OP, NAMES "AuthMethod=CHAP,None\n"), LOGIN_SEND);
	assert_int_equal(r->rsp.flags, 0); /* the stage does not end here */
	assert_string_equal(rig_value(r, "AuthMethod"), "CHAP");
	snprintf(text, sizeof(text), "CHAP_A=%s\n", algorithms);
	assert_int_equal(rig_send(r, 0, SEC, 0, text), LOGIN_SEND);
	assert_int_equal(r->status, 0);
	assert_non_null(rig_value(r, "CHAP_I"));
	assert_non_null(rig_value(r, "CHAP_C"));
}

/* CHAP_R for the challenge in @from, made with @secret. */
static void respond(const struct rig *from, const char *secret, char *out, size_t size)
{
	uint8_t ch[CHAP_CHALLENGE_MAX], digest[CHAP_DIGEST_MAX];
	int n = text_binary(rig_value(from, "CHAP_C"), ch, sizeof(ch));
	size_t len =
		chap_hash(atoi(rig_value(from, "CHAP_A")), (uint8_t)atoi(rig_value(from, "CHAP_I")),
			  secret, ch, (size_t)n, digest);

	assert_true(n > 0 && len > 0);
	snprintf(out, size, "0x");
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 + 2 * i, size - 2 - 2 * i, "%02X", digest[i]);
}

/* The last step: name, response, and @more keys. */
static void answer(struct rig *r, const char *user, const char *secret, const char *more)
{
	char response[80], text[600];

	respond(r, secret, response, sizeof(response));
	snprintf(text, sizeof(text), "CHAP_N=%s\nCHAP_R=%s\n%s", user, response, more);
	rig_send(r, T, SEC, OP, text);
}

static void every_algorithm_admits_who_knows_the_secret(void **state)
{
	static const char *const algorithms[] = { "5", "6", "7", "8" };
	struct rig *r = *state;

	for (unsigned i = 0; i < array_size(algorithms); i++) {
		again(r);
		challenge(r, algorithms[i]);
		assert_string_equal(rig_value(r, "CHAP_A"), algorithms[i]);
		answer(r, "joe", SECRET, "");
		assert_int_equal(r->action, LOGIN_SEND);
		assert_int_equal(r->status, 0);
		assert_int_equal(r->rsp.flags, T | SEC << 2 | OP);
		assert_null(rig_value(r, "CHAP_R"));
		assert_int_equal(rig_send(r, T, OP, FULL, ""), LOGIN_DONE);
		assert_int_equal(r->asked, 2);
	}
}

static void every_algorithm_proves_the_target_too(void **state)
{
	static const char *const algorithms[] = { "5", "6", "7", "8" };
	struct rig *r = *state;

	for (unsigned i = 0; i < array_size(algorithms); i++) {
		uint8_t want[CHAP_DIGEST_MAX], got[CHAP_DIGEST_MAX], ch[16];
		size_t n;

		again(r);
		r->outgoing = true;
		challenge(r, algorithms[i]);
		answer(r, "joe", SECRET, "CHAP_I=0x21\nCHAP_C=" OUR_CHALLENGE "\n");
		assert_int_equal(r->status, 0);
		assert_string_equal(rig_value(r, "CHAP_N"), "target");
		assert_int_equal(text_binary(OUR_CHALLENGE, ch, sizeof(ch)), 16);
		n = chap_hash(atoi(algorithms[i]), 0x21, OUT_SECRET, ch, 16, want);
		assert_int_equal(text_binary(rig_value(r, "CHAP_R"), got, sizeof(got)), (int)n);
		assert_memory_equal(got, want, n);
		assert_int_equal(r->rsp.flags, T | SEC << 2 | OP);
	}
}

static void a_wrong_secret_and_an_unknown_user_look_alike(void **state)
{
	struct rig *r = *state;
	struct pdu_login_response first;

	challenge(r, "7");
	answer(r, "joe", "wrong", "");
	assert_refused(r, 0x0201);
	first = r->rsp;
	again(r);
	challenge(r, "7");
	answer(r, "nobody", SECRET, "");
	assert_refused(r, 0x0201);
	assert_memory_equal(&first, &r->rsp, sizeof(first));
}

static void an_unknown_user_with_an_empty_secret_is_refused(void **state)
{
	struct rig *r = *state;

	challenge(r, "7");
	answer(r, "nobody", "", "");
	assert_refused(r, 0x0201);
}

static void none_is_not_enough_where_there_are_accounts(void **state)
{
	struct rig *r = *state;

	rig_send(r, T, SEC, OP, NAMES "AuthMethod=None\n");
	assert_refused(r, 0x0201);
}

static void no_method_is_not_enough_where_there_are_accounts(void **state)
{
	struct rig *r = *state;

	rig_send(r, T, SEC, OP, NAMES);
	assert_refused(r, 0x0201);
}

static void the_security_stage_cannot_be_skipped(void **state)
{
	struct rig *r = *state;

	rig_send(r, T, OP, FULL, NAMES);
	assert_refused(r, 0x0201);
}

static void the_method_may_come_after_the_names(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, 0, SEC, 0, NAMES), LOGIN_SEND);
	assert_int_equal(rig_send(r, 0, SEC, 0, "AuthMethod=CHAP\n"), LOGIN_SEND);
	assert_string_equal(rig_value(r, "AuthMethod"), "CHAP");
}

static void transit_without_authentication_is_not_granted(void **state)
{
	struct rig *r = *state;

	rig_send(r, 0, SEC, 0, NAMES "AuthMethod=CHAP\n");
	assert_int_equal(rig_send(r, T, SEC, FULL, ""), LOGIN_SEND);
	assert_int_equal(r->rsp.flags, 0);
	assert_int_equal(rig_send(r, T, SEC, FULL, "CHAP_A=5\n"), LOGIN_SEND);
	assert_int_equal(r->rsp.flags, 0);
	assert_int_equal(rig_send(r, T, SEC, FULL, ""), LOGIN_SEND);
	assert_int_equal(r->rsp.flags, 0);
	rig_send(r, T, OP, FULL, "");
	assert_refused(r, 0x0200);
}

static void none_is_agreed_where_there_are_no_accounts(void **state)
{
	struct rig *r = *state;

	r->auth_required = false;
	rig_send(r, T, SEC, OP, NAMES "AuthMethod=CHAP,None\n");
	assert_int_equal(r->status, 0);
	assert_string_equal(rig_value(r, "AuthMethod"), "None");
	assert_int_equal(r->rsp.flags, T | SEC << 2 | OP);
}

static void chap_alone_is_refused_where_there_are_no_accounts(void **state)
{
	struct rig *r = *state;

	r->auth_required = false;
	rig_send(r, T, SEC, OP, NAMES "AuthMethod=CHAP\n");
	assert_refused(r, 0x0201);
}

static void unknown_methods_and_algorithms_are_refused(void **state)
{
	struct rig *r = *state;

	rig_send(r, 0, SEC, 0, NAMES "AuthMethod=KRB5,SRP\n");
	assert_refused(r, 0x0201);
	again(r);
	rig_send(r, 0, SEC, 0, NAMES "AuthMethod=CHAP\n");
	rig_send(r, 0, SEC, 0, "CHAP_A=1,2,9\n");
	assert_refused(r, 0x0201);
}

static void keys_out_of_order_are_refused(void **state)
{
	static const char *const steps[][3] = {
		{ NAMES "CHAP_A=7\n" },
		{ NAMES "AuthMethod=CHAP\nCHAP_A=7\n" },
		{ NAMES "CHAP_N=joe\nCHAP_R=0x00\n" },
		{ NAMES "AuthMethod=CHAP\n", "CHAP_N=joe\nCHAP_R=0x00\n" },
		{ NAMES "AuthMethod=CHAP\n", "CHAP_A=7\n", "CHAP_N=joe\n" },
		{ NAMES "AuthMethod=CHAP\n", "CHAP_A=7\n", "CHAP_R=0x00\n" },
		{ NAMES "AuthMethod=CHAP\n", "CHAP_A=7\n", "CHAP_I=1\nCHAP_C=0x01\n" },
		{ NAMES "AuthMethod=CHAP\n", "CHAP_A=7\n", "CHAP_N=\nCHAP_R=0x00\n" },
		{ NAMES "AuthMethod=CHAP\n", "CHAP_A=7\n", "CHAP_N=joe\nCHAP_R=0b!\n" },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < array_size(steps); i++) {
		again(r);
		for (unsigned j = 0; j < 3 && steps[i][j]; j++)
			rig_send(r, 0, SEC, 0, steps[i][j]);
		assert_refused(r, 0x0201);
	}
}

static void a_second_response_is_refused(void **state)
{
	struct rig *r = *state;

	challenge(r, "7");
	answer(r, "joe", SECRET, "");
	assert_int_equal(rig_send(r, 0, OP, 0, "CHAP_N=joe\nCHAP_R=0x00\n"), LOGIN_SEND_AND_CLOSE);
	assert_int_equal(r->status, 0x0200);
}

static void a_replayed_response_is_refused(void **state)
{
	struct rig *r = *state;
	char response[80], text[200];

	challenge(r, "7");
	respond(r, SECRET, response, sizeof(response));
	again(r);
	challenge(r, "7");
	snprintf(text, sizeof(text), "CHAP_N=joe\nCHAP_R=%s\n", response);
	rig_send(r, T, SEC, OP, text);
	assert_refused(r, 0x0201);
}

static void a_reflected_challenge_is_refused(void **state)
{
	struct rig *r = *state;
	char more[200];

	r->outgoing = true;
	challenge(r, "7");
	snprintf(more, sizeof(more), "CHAP_I=%s\nCHAP_C=%s\n", rig_value(r, "CHAP_I"),
		 rig_value(r, "CHAP_C"));
	answer(r, "joe", SECRET, more);
	assert_refused(r, 0x0201);
}

static void one_secret_for_both_directions_is_refused(void **state)
{
	struct rig *r = *state;

	r->outgoing = true;
	r->out_secret = SECRET;
	challenge(r, "7");
	answer(r, "joe", SECRET, "CHAP_I=1\nCHAP_C=" OUR_CHALLENGE "\n");
	assert_refused(r, 0x0201);
}

static void mutual_chap_without_an_outgoing_account_is_refused(void **state)
{
	struct rig *r = *state;

	challenge(r, "7");
	answer(r, "joe", SECRET, "CHAP_I=1\nCHAP_C=" OUR_CHALLENGE "\n");
	assert_refused(r, 0x0201);
}

static void the_target_proves_nothing_to_who_failed(void **state)
{
	struct rig *r = *state;

	r->outgoing = true;
	challenge(r, "7");
	answer(r, "joe", "wrong", "CHAP_I=1\nCHAP_C=" OUR_CHALLENGE "\n");
	assert_refused(r, 0x0201);
}

static void secrets_are_forgotten(void **state)
{
	static const struct chap none;
	struct rig *r = *state;

	r->outgoing = true;
	challenge(r, "7");
	answer(r, "joe", SECRET, "CHAP_I=1\nCHAP_C=" OUR_CHALLENGE "\n");
	assert_int_equal(r->status, 0);
	assert_string_equal(login_query_of(r->login)->secret, "");
	assert_string_equal(login_query_of(r->login)->out_secret, "");
	assert_memory_equal(&r->login->chap, &none, sizeof(none));
}

static void discovery_is_authenticated_like_any_session(void **state)
{
	struct rig *r = *state;

	rig_send(r, 0, SEC, 0,
		 "InitiatorName=iqn.2001-04.com.example:host\n"
		 "SessionType=Discovery\nAuthMethod=CHAP\n");
	rig_send(r, 0, SEC, 0, "CHAP_A=7\n");
	answer(r, "joe", SECRET, "");
	assert_int_equal(r->rsp.flags, T | SEC << 2 | OP);
	assert_int_equal(rig_send(r, T, OP, FULL, ""), LOGIN_DONE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_algorithm_admits_who_knows_the_secret),
		TEST(every_algorithm_proves_the_target_too),
		TEST(a_wrong_secret_and_an_unknown_user_look_alike),
		TEST(an_unknown_user_with_an_empty_secret_is_refused),
		TEST(none_is_not_enough_where_there_are_accounts),
		TEST(no_method_is_not_enough_where_there_are_accounts),
		TEST(the_security_stage_cannot_be_skipped),
		TEST(the_method_may_come_after_the_names),
		TEST(transit_without_authentication_is_not_granted),
		TEST(none_is_agreed_where_there_are_no_accounts),
		TEST(chap_alone_is_refused_where_there_are_no_accounts),
		TEST(unknown_methods_and_algorithms_are_refused),
		TEST(keys_out_of_order_are_refused),
		TEST(a_second_response_is_refused),
		TEST(a_replayed_response_is_refused),
		TEST(a_reflected_challenge_is_refused),
		TEST(one_secret_for_both_directions_is_refused),
		TEST(mutual_chap_without_an_outgoing_account_is_refused),
		TEST(the_target_proves_nothing_to_who_failed),
		TEST(secrets_are_forgotten),
		TEST(discovery_is_authenticated_like_any_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
