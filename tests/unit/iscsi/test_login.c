/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "rig.h"

#define INITIATOR "InitiatorName=iqn.2001-04.com.example:host\n"
#define TARGET "TargetName=iqn.2001-04.com.example:disk\n"

static int start(void **state)
{
	static struct rig r;

	rig_start(&r);
	*state = &r;
	return 0;
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
	assert_int_equal(r->rsp.flags & (T | C), 0);
	assert_int_equal(r->len, 0);
	/* and nothing goes on after the end */
	assert_int_equal(login_pdu(r->login, r->req.bytes, NULL, 0), LOGIN_CLOSE);
	assert_int_equal(login_answered(r->login), LOGIN_CLOSE);
	assert_int_equal(login_claimed(r->login), LOGIN_CLOSE);
}

static void one_request_logs_in(void **state)
{
	struct rig *r = *state;
	struct login_result res;

	rig_login(r, NAMES "InitiatorAlias=my\thost\n", &res);
	assert_int_equal(r->rsp.opcode, PDU_LOGIN_RESPONSE);
	assert_int_equal(r->rsp.flags, T | OP << 2 | FULL);
	assert_int_equal(r->rsp.version_max, 0);
	assert_int_equal(r->rsp.version_active, 0);
	assert_memory_equal(r->rsp.isid, r->req.login_request.isid, 6);
	assert_int_equal(be16_get(r->rsp.tsih), 5);
	assert_int_equal(be32_get(r->rsp.itt), 7);
	assert_int_equal(be32_get(r->rsp.stat_sn), 55);
	assert_int_equal(be32_get(r->rsp.exp_cmd_sn), 100);
	assert_int_equal(be32_get(r->rsp.max_cmd_sn), 100);
	assert_string_equal(rig_value(r, "TargetPortalGroupTag"), "1");
	assert_string_equal(rig_value(r, "MaxRecvDataSegmentLength"), "262144");
	assert_int_equal(r->asked, 1);
	assert_int_equal(r->claimed, 1);

	assert_false(res.discovery);
	assert_ptr_equal(res.nexus, &r->nexus);
	assert_int_equal(res.tsih, 5);
	assert_int_equal(res.cid, 9);
	assert_int_equal(res.exp_cmd_sn, 100);
	assert_int_equal(res.stat_sn, 56);
	assert_string_equal(res.initiator, "iqn.2001-04.com.example:host");
	assert_memory_equal(res.isid, r->req.login_request.isid, 6);
}

static void the_claim_names_the_initiator_port(void **state)
{
	struct rig *r = *state;
	struct login_result res;
	struct claim *c = login_claim_of(r->login);

	rig_login(r,
		  "InitiatorName=IQN.2001-04.com.example:HOST\n" TARGET "InitiatorAlias=my\thost\n",
		  &res);
	assert_string_equal(c->initiator, "iqn.2001-04.com.example:host");
	assert_string_equal(c->target, "iqn.2001-04.com.example:disk");
	assert_string_equal(c->alias, "my?host");
	assert_string_equal(c->peer, "192.0.2.1");
	assert_memory_equal(c->isid, r->req.login_request.isid, 6);
	assert_int_equal(c->tpgt, 1);
	assert_int_equal(c->transport_id[0], 0x45);
	assert_string_equal((char *)c->transport_id + 4,
			    "iqn.2001-04.com.example:host,i,0x800102030405");
	assert_int_equal(c->transport_id_len, 4 + 48);
}

static void stages_follow_one_another(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, T, SEC, OP, NAMES "AuthMethod=CHAP,None\n"), LOGIN_SEND);
	assert_int_equal(r->status, 0);
	assert_int_equal(r->rsp.flags, T | SEC << 2 | OP);
	assert_string_equal(rig_value(r, "AuthMethod"), "None");
	assert_string_equal(rig_value(r, "TargetPortalGroupTag"), "1");
	assert_null(rig_value(r, "MaxRecvDataSegmentLength"));
	assert_int_equal(be16_get(r->rsp.tsih), 0);

	assert_int_equal(rig_send(r, 0, OP, 0, "HeaderDigest=None\n"), LOGIN_SEND);
	assert_int_equal(r->rsp.flags, OP << 2);
	assert_int_equal(be32_get(r->rsp.stat_sn), 56);
	assert_string_equal(rig_value(r, "MaxRecvDataSegmentLength"), "262144");
	assert_null(rig_value(r, "TargetPortalGroupTag"));

	assert_int_equal(rig_send(r, T, OP, FULL, ""), LOGIN_DONE);
	assert_int_equal(r->rsp.flags, T | OP << 2 | FULL);
	assert_int_equal(be32_get(r->rsp.stat_sn), 57);
	assert_int_equal(r->asked, 1);
}

static void the_security_stage_may_lead_to_full_feature_phase(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, T, SEC, FULL, NAMES), LOGIN_DONE);
	assert_int_equal(r->rsp.flags, T | SEC << 2 | FULL);
	assert_int_equal(r->claimed, 1);
}

static void a_discovery_session_claims_nothing(void **state)
{
	struct rig *r = *state;
	struct login_result res;

	rig_login(r, INITIATOR "SessionType=Discovery\n", &res);
	assert_true(res.discovery);
	assert_null(res.nexus);
	assert_int_not_equal(res.tsih, 0);
	assert_int_equal(be16_get(r->rsp.tsih), res.tsih);
	assert_int_equal(r->claimed, 0);
	assert_string_equal(login_query_of(r->login)->target, "");
	assert_null(rig_value(r, "TargetPortalGroupTag"));
}

static void operational_keys_in_the_security_stage_are_rejected(void **state)
{
	struct rig *r = *state;

	rig_send(r, T, SEC, OP, NAMES "MaxBurstLength=512\nMaxRecvDataSegmentLength=16384\n");
	assert_int_equal(r->action, LOGIN_SEND);
	assert_string_equal(rig_value(r, "MaxBurstLength"), "Reject");
	/* and may be negotiated where they belong */
	assert_int_equal(rig_send(r, T, OP, FULL, "MaxBurstLength=65536\n"), LOGIN_DONE);
	assert_string_equal(rig_value(r, "MaxBurstLength"), "65536");
}

/* ---- text over several PDUs ------------------------------------------------- */

static void a_request_in_pieces_is_put_together(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, C, OP, 0, "InitiatorName=iqn.2001-"), LOGIN_SEND);
	assert_int_equal(r->status, 0);
	assert_int_equal(r->rsp.flags, OP << 2);
	assert_int_equal(r->len, 0);
	assert_int_equal(rig_send(r, C, OP, 0, "04.com.example:host\nTarget"), LOGIN_SEND);
	assert_int_equal(r->asked, 0);
	assert_int_equal(rig_send(r, T, OP, FULL, "Name=iqn.2001-04.com.example:disk\n"),
			 LOGIN_DONE);
	assert_string_equal(login_query_of(r->login)->target, "iqn.2001-04.com.example:disk");
}

static void text_that_does_not_end_is_refused(void **state)
{
	struct rig *r = *state;
	char text[LOGIN_PDU_DATA_MAX];

	memset(text, 'A', sizeof(text));
	r->req.login_request.flags = C | OP << 2;
	for (unsigned i = 0; i < LOGIN_TEXT_MAX / LOGIN_PDU_DATA_MAX; i++)
		assert_int_equal(rig_send_raw(r, text, sizeof(text)), LOGIN_SEND);
	rig_send_raw(r, text, 1);
	assert_refused(r, 0x0200);
}

static void empty_pieces_without_end_are_refused(void **state)
{
	struct rig *r = *state;
	unsigned n = 0;

	while (rig_send(r, C, OP, 0, "") == LOGIN_SEND)
		assert_true(++n < 1000);
	assert_refused(r, 0x0200);
}

/* 200 unknown keys of 60 characters: answers of about 15 KiB */
static char *many_keys(void)
{
	char *text = malloc(65536);
	size_t n;

	assert_non_null(text);
	n = (size_t)snprintf(text, 65536, "%s", NAMES);
	for (unsigned i = 0; i < 200; i++)
		n += (size_t)
			snprintf(text + n, 65536 - n,
				 "X-com.example.a.rather.long.key.of.one.vendor.number.%06u=\n", i);
	return text;
}

/* In pieces of 8000 bytes; the last has @flags. */
static void send_long(struct rig *r, const char *text, unsigned flags)
{
	size_t n = strlen(text);
	char piece[8001];

	for (; n > 8000; n -= 8000, text += 8000) {
		snprintf(piece, sizeof(piece), "%s", text);
		assert_int_equal(rig_send(r, C, OP, 0, piece), LOGIN_SEND);
	}
	rig_send(r, flags, OP, FULL, text);
}

static void a_long_response_comes_in_pieces(void **state)
{
	struct rig *r = *state;
	char *text = many_keys();
	size_t total;

	send_long(r, text, T);
	free(text);
	assert_int_equal(r->action, LOGIN_SEND);
	assert_int_equal(r->rsp.flags, C | OP << 2);
	assert_int_equal(r->len, LOGIN_PDU_DATA_MAX);
	assert_int_equal(r->claimed, 0);
	total = r->len;
	while (r->rsp.flags & C) {
		rig_send(r, T, OP, FULL, "");
		total += r->len;
	}
	assert_int_equal(r->action, LOGIN_DONE);
	assert_true(total > 200 * 70);
	assert_int_equal(r->claimed, 1);
}

static void text_before_the_end_of_a_response_is_refused(void **state)
{
	struct rig *r = *state;
	char *text = many_keys();

	send_long(r, text, 0);
	free(text);
	assert_int_equal(r->rsp.flags & C, C);
	rig_send(r, T, OP, FULL, "HeaderDigest=None\n");
	assert_refused(r, 0x0200);
}

/* ---- refusals --------------------------------------------------------------- */

static void a_pdu_before_login_is_not_answered(void **state)
{
	struct rig *r = *state;

	r->req.login_request.opcode = PDU_SCSI_COMMAND;
	assert_int_equal(rig_send_raw(r, NULL, 0), LOGIN_CLOSE);
}

static void a_scsi_command_in_the_middle_of_login_is_refused(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, T, SEC, OP, NAMES), LOGIN_SEND);
	r->req.login_request.opcode = PDU_SCSI_COMMAND;
	rig_send_raw(r, NULL, 0);
	assert_refused(r, 0x020b);
}

static void missing_names_are_refused(void **state)
{
	static const char *const texts[] = { "", INITIATOR, TARGET, "SessionType=Discovery\n",
					     INITIATOR "SessionType=Normal\n" };

	for (unsigned i = 0; i < array_size(texts); i++) {
		struct rig r;

		rig_start(&r);
		rig_send(&r, T, OP, FULL, texts[i]);
		assert_refused(&r, 0x0207);
		rig_end(&r);
	}
}

static void malformed_names_are_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} x[] = {
		{ "InitiatorName=host\n" TARGET, 0x0200 },
		{ "InitiatorName=\n" TARGET, 0x0200 },
		{ INITIATOR "TargetName=disk\n", 0x0203 },
		{ INITIATOR "TargetName=\n", 0x0203 },
		{ INITIATOR TARGET "SessionType=Other\n", 0x0209 },
		{ INITIATOR TARGET "SessionType=\n", 0x0209 },
		{ "garbage", 0x0200 },
		{ NAMES "=\n", 0x0200 },
		{ NAMES "Key\n", 0x0200 },
	};

	for (unsigned i = 0; i < array_size(x); i++) {
		struct rig r;

		rig_start(&r);
		rig_send(&r, T, OP, FULL, x[i].text);
		assert_refused(&r, x[i].status);
		assert_int_equal(r.asked, 0);
		rig_end(&r);
	}
}

static void the_answer_of_control_becomes_a_status(void **state)
{
	static const struct {
		enum login_answer answer;
		unsigned status;
	} x[] = {
		{ LOGIN_NOT_FOUND, 0x0203 },
		{ LOGIN_FORBIDDEN, 0x0202 },
		{ LOGIN_OFFLINE, 0x0301 },
		{ LOGIN_BUSY, 0x0302 },
	};

	for (unsigned i = 0; i < array_size(x); i++) {
		struct rig r;

		rig_start(&r);
		r.answer = x[i].answer;
		rig_send(&r, T, OP, FULL, NAMES);
		assert_refused(&r, x[i].status);
		assert_int_equal(r.claimed, 0);
		rig_end(&r);

		rig_start(&r);
		r.claim_answer = x[i].answer;
		rig_send(&r, T, OP, FULL, NAMES);
		assert_refused(&r, x[i].status);
		assert_int_equal(r.claimed, 1);
		rig_end(&r);
	}
}

static void an_unsupported_version_is_refused(void **state)
{
	struct rig *r = *state;

	r->req.login_request.version_min = r->req.login_request.version_max = 1;
	rig_send(r, T, OP, FULL, NAMES);
	assert_refused(r, 0x0205);
	assert_int_equal(r->rsp.version_max, 0);
	assert_int_equal(r->rsp.version_active, 0);
}

static void a_later_version_that_knows_ours_is_welcome(void **state)
{
	struct rig *r = *state;

	r->req.login_request.version_max = 1;
	assert_int_equal(rig_send(r, T, OP, FULL, NAMES), LOGIN_DONE);
	assert_int_equal(r->rsp.version_active, 0);
}

static void a_connection_for_another_session_is_refused(void **state)
{
	struct rig *r = *state;

	r->req.login_request.tsih = be16_make(5);
	r->session = 5; /* its TSIH is 6 */
	rig_send(r, T, OP, FULL, NAMES);
	assert_refused(r, 0x020a);
	assert_int_equal(be16_get(r->rsp.tsih), 5);
}

static void a_second_connection_of_a_session_is_one_too_many(void **state)
{
	struct rig *r = *state;

	r->req.login_request.tsih = be16_make(5);
	r->session = 4;
	rig_send(r, T, OP, FULL, NAMES);
	assert_refused(r, 0x0206);
	assert_int_equal(r->claimed, 0);
}

static void what_the_security_stage_declares_holds(void **state)
{
	struct rig *r = *state;
	struct login_result res;

	rig_send(r, T, SEC, OP, NAMES "AuthMethod=None\nMaxRecvDataSegmentLength=512\n");
	assert_int_equal(r->action, LOGIN_SEND);
	assert_int_equal(rig_send(r, T, OP, FULL, "HeaderDigest=None\n"), LOGIN_DONE);
	login_get_result(r->login, &res);
	assert_int_equal(res.params.max_xmit_dsl, 512);
}

static void bad_headers_are_refused(void **state)
{
	static const struct {
		uint8_t opcode, flags, ahs;
	} x[] = {
		{ 0x03, T | OP << 2 | FULL, 0 }, /* not immediate */
		{ 0x43, T | OP << 2 | FULL, 1 }, { 0x43, T | C | OP << 2 | FULL, 0 },
		{ 0x43, T | 2 << 2 | FULL, 0 },	 { 0x43, T | 3 << 2 | FULL, 0 },
		{ 0x43, T | OP << 2 | OP, 0 },	 { 0x43, T | OP << 2 | SEC, 0 },
		{ 0x43, T | OP << 2 | 2, 0 },	 { 0x43, T | SEC << 2 | SEC, 0 },
		{ 0x43, T | SEC << 2 | 2, 0 },
	};

	for (unsigned i = 0; i < array_size(x); i++) {
		struct rig r;

		rig_start(&r);
		r.req.login_request.opcode = x[i].opcode;
		r.req.login_request.flags = x[i].flags;
		r.req.login_request.ahs_len = x[i].ahs;
		rig_send_raw(&r, NULL, 0);
		assert_refused(&r, 0x0200);
		rig_end(&r);
	}
}

static void a_length_that_lies_is_refused(void **state)
{
	struct rig *r = *state;

	r->req.login_request.flags = OP << 2;
	r->req.login_request.data_len = be24_make(0xffffff);
	r->action = login_pdu(r->login, r->req.bytes, (const uint8_t *)"A=1", 4);
	assert_int_equal(r->action, LOGIN_SEND_AND_CLOSE);
}

static void more_data_than_login_allows_is_refused(void **state)
{
	struct rig *r = *state;
	char text[LOGIN_PDU_DATA_MAX + 1] = { 0 };

	r->req.login_request.flags = OP << 2;
	rig_send_raw(r, text, sizeof(text));
	assert_refused(r, 0x0200);
}

static void stages_do_not_go_back(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, 0, OP, 0, NAMES), LOGIN_SEND);
	rig_send(r, 0, SEC, 0, "");
	assert_refused(r, 0x0200);
}

static void a_stage_that_was_not_left_goes_on(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_send(r, 0, SEC, 0, NAMES), LOGIN_SEND);
	rig_send(r, T, OP, FULL, "");
	assert_refused(r, 0x0200);
}

static void change_nothing(struct pdu_login_request *q)
{
	q->itt = be32_make(8);
}
static void change_isid(struct pdu_login_request *q)
{
	q->isid[5]++;
}
static void change_cid(struct pdu_login_request *q)
{
	q->cid = be16_make(1);
}
static void change_tsih(struct pdu_login_request *q)
{
	q->tsih = be16_make(1);
}
static void change_cmd_sn(struct pdu_login_request *q)
{
	q->cmd_sn = be32_make(101);
}
static void change_version(struct pdu_login_request *q)
{
	q->version_max = 2;
}

static void what_identifies_a_login_must_not_change(void **state)
{
	static void (*const changes[])(struct pdu_login_request *) = {
		change_nothing, change_isid, change_cid, change_tsih, change_cmd_sn, change_version,
	};

	for (unsigned i = 0; i < array_size(changes); i++) {
		struct rig r;

		rig_start(&r);
		assert_int_equal(rig_send(&r, T, SEC, OP, NAMES), LOGIN_SEND);
		changes[i](&r.req.login_request);
		rig_send(&r, T, OP, FULL, "");
		if (i)
			assert_refused(&r, 0x0200);
		else
			assert_int_equal(r.action, LOGIN_DONE);
		rig_end(&r);
	}
}

static void questions_are_asked_once_and_answered_in_turn(void **state)
{
	struct rig *r = *state;

	assert_int_equal(login_answered(r->login), LOGIN_CLOSE);
	assert_int_equal(login_claimed(r->login), LOGIN_CLOSE);
	/* nothing is taken while an answer is awaited */
	r->req.login_request.flags = T | OP << 2 | FULL;
	r->req.login_request.data_len = be24_make(86);
	assert_int_equal(login_pdu(r->login, r->req.bytes,
				   (const uint8_t *)"InitiatorName=iqn.2001-04.com.example:host\0"
						    "TargetName=iqn.2001-04.com.example:diskxyz",
				   86),
			 LOGIN_ASK);
	assert_int_equal(login_pdu(r->login, r->req.bytes, NULL, 0), LOGIN_CLOSE);
	assert_int_equal(login_claimed(r->login), LOGIN_CLOSE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_request_logs_in),
		TEST(the_claim_names_the_initiator_port),
		TEST(stages_follow_one_another),
		TEST(the_security_stage_may_lead_to_full_feature_phase),
		TEST(a_discovery_session_claims_nothing),
		TEST(operational_keys_in_the_security_stage_are_rejected),
		TEST(a_request_in_pieces_is_put_together),
		TEST(text_that_does_not_end_is_refused),
		TEST(empty_pieces_without_end_are_refused),
		TEST(a_long_response_comes_in_pieces),
		TEST(text_before_the_end_of_a_response_is_refused),
		TEST(a_pdu_before_login_is_not_answered),
		TEST(a_scsi_command_in_the_middle_of_login_is_refused),
		TEST(missing_names_are_refused),
		TEST(malformed_names_are_refused),
		TEST(the_answer_of_control_becomes_a_status),
		TEST(an_unsupported_version_is_refused),
		TEST(a_later_version_that_knows_ours_is_welcome),
		TEST(a_connection_for_another_session_is_refused),
		TEST(a_second_connection_of_a_session_is_one_too_many),
		TEST(what_the_security_stage_declares_holds),
		TEST(bad_headers_are_refused),
		TEST(a_length_that_lies_is_refused),
		TEST(more_data_than_login_allows_is_refused),
		TEST(stages_do_not_go_back),
		TEST(a_stage_that_was_not_left_goes_on),
		TEST(what_identifies_a_login_must_not_change),
		TEST(questions_are_asked_once_and_answered_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
