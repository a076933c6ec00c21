/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "rig.h"
#include "transport/iscsi/keytab.h"

#define DISCOVERY "InitiatorName=iqn.2001-04.com.example:host\nSessionType=Discovery\n"

/* One login that offers key=value; returns what the target answered ("" for nothing). */
static const char *offer_with(const int32_t *param, const char *names, const char *key,
			      const char *value, struct login_result *res)
{
	static char answer[300];
	char text[1200];
	struct rig r;

	rig_start(&r);
	if (param)
		memcpy(r.param, param, sizeof(r.param));
	snprintf(text, sizeof(text), "%s%s=%s\n", names, key, value);
	rig_login(&r, text, res);
	snprintf(answer, sizeof(answer), "%s", rig_value(&r, key) ? rig_value(&r, key) : "");
	rig_end(&r);
	return answer;
}

static const char *offer(const char *key, const char *value, struct login_result *res)
{
	return offer_with(NULL, NAMES, key, value, res);
}

struct example {
	const char *key, *offered, *answer;
	size_t off; /* of a uint32_t in iscsi_params */
	uint32_t agreed;
};

#define P(field) offsetof(struct iscsi_params, field)

static uint32_t number_at(const struct iscsi_params *p, size_t off)
{
	uint32_t v;

	memcpy(&v, (const char *)p + off, sizeof(v));
	return v;
}

static void check_examples(const struct example *x, size_t n)
{
	struct login_result res;

	for (size_t i = 0; i < n; i++) {
		const char *answer = offer(x[i].key, x[i].offered, &res);

		if (strcmp(answer, x[i].answer) != 0)
			fail_msg("%s=%s: answer %s", x[i].key, x[i].offered, answer);
		if (number_at(&res.params, x[i].off) != x[i].agreed)
			fail_msg("%s=%s: agreed %u", x[i].key, x[i].offered,
				 number_at(&res.params, x[i].off));
	}
}

static void the_lesser_number_is_agreed(void **state)
{
	static const struct example x[] = {
		{ "MaxBurstLength", "16777215", "1048576", P(max_burst), 1048576 },
		{ "MaxBurstLength", "262144", "262144", P(max_burst), 262144 },
		{ "MaxBurstLength", "0x10000", "65536", P(max_burst), 65536 },
		{ "FirstBurstLength", "16777215", "65536", P(first_burst), 65536 },
		{ "FirstBurstLength", "512", "512", P(first_burst), 512 },
		{ "MaxOutstandingR2T", "65535", "8", P(max_outstanding_r2t), 8 },
		{ "MaxOutstandingR2T", "1", "1", P(max_outstanding_r2t), 1 },
		{ "MaxConnections", "8", "1", P(max_connections), 1 },
		{ "ErrorRecoveryLevel", "2", "0", P(error_recovery_level), 0 },
		{ "ErrorRecoveryLevel", "0", "0", P(error_recovery_level), 0 },
		{ "DefaultTime2Retain", "3600", "0", P(time2retain), 0 },
	};

	check_examples(x, array_size(x));
}

static void the_greater_number_is_agreed_for_time2wait(void **state)
{
	static const struct example x[] = {
		{ "DefaultTime2Wait", "0", "2", P(time2wait), 2 },
		{ "DefaultTime2Wait", "3600", "3600", P(time2wait), 3600 },
	};

	check_examples(x, array_size(x));
}

static void numbers_out_of_range_are_rejected_and_the_default_stays(void **state)
{
	static const struct example x[] = {
		{ "MaxBurstLength", "511", "Reject", P(max_burst), 262144 },
		{ "MaxBurstLength", "16777216", "Reject", P(max_burst), 262144 },
		{ "MaxBurstLength", "-1", "Reject", P(max_burst), 262144 },
		{ "MaxBurstLength", "much", "Reject", P(max_burst), 262144 },
		{ "MaxBurstLength", "", "Reject", P(max_burst), 262144 },
		{ "MaxBurstLength", "4294967808", "Reject", P(max_burst), 262144 },
		{ "FirstBurstLength", "0", "Reject", P(first_burst), 65536 },
		{ "FirstBurstLength", "16777216", "Reject", P(first_burst), 65536 },
		{ "MaxOutstandingR2T", "0", "Reject", P(max_outstanding_r2t), 1 },
		{ "MaxOutstandingR2T", "65536", "Reject", P(max_outstanding_r2t), 1 },
		{ "MaxConnections", "0", "Reject", P(max_connections), 1 },
		{ "MaxConnections", "65536", "Reject", P(max_connections), 1 },
		{ "ErrorRecoveryLevel", "3", "Reject", P(error_recovery_level), 0 },
		{ "DefaultTime2Wait", "3601", "Reject", P(time2wait), 2 },
		{ "DefaultTime2Retain", "3601", "Reject", P(time2retain), 20 },
		{ "MaxRecvDataSegmentLength", "511", "Reject", P(max_xmit_dsl), 8192 },
		{ "MaxRecvDataSegmentLength", "16777216", "Reject", P(max_xmit_dsl), 8192 },
	};
	struct login_result res;

	/* our own declaration has the same name: look at the other answers only */
	check_examples(x, array_size(x) - 2);
	offer("MaxRecvDataSegmentLength", "511", &res);
	assert_int_equal(res.params.max_xmit_dsl, 8192);
}

static void a_segment_length_is_declared_by_each_side(void **state)
{
	struct login_result res;

	assert_string_equal(offer("MaxRecvDataSegmentLength", "65536", &res), "262144");
	assert_int_equal(res.params.max_xmit_dsl, 65536);
	assert_int_equal(res.params.max_recv_dsl, 262144);
	offer("MaxRecvDataSegmentLength", "16777215", &res);
	assert_int_equal(res.params.max_xmit_dsl, 262144);
}

static void booleans_are_agreed_by_and_and_or(void **state)
{
	static const struct {
		const char *key, *offered, *answer;
	} x[] = {
		{ "InitialR2T", "No", "No" },		{ "InitialR2T", "Yes", "Yes" },
		{ "ImmediateData", "No", "No" },	{ "ImmediateData", "Yes", "Yes" },
		{ "DataPDUInOrder", "No", "Yes" },	{ "DataPDUInOrder", "Yes", "Yes" },
		{ "DataSequenceInOrder", "No", "Yes" }, { "DataSequenceInOrder", "Yes", "Yes" },
		{ "InitialR2T", "yes", "Reject" },	{ "ImmediateData", "1", "Reject" },
		{ "DataPDUInOrder", "", "Reject" },
	};
	struct login_result res;

	for (unsigned i = 0; i < array_size(x); i++)
		assert_string_equal(offer(x[i].key, x[i].offered, &res), x[i].answer);
	offer("InitialR2T", "No", &res);
	assert_false(res.params.initial_r2t);
	offer("ImmediateData", "No", &res);
	assert_false(res.params.immediate_data);
	offer("DataPDUInOrder", "No", &res);
	assert_true(res.params.data_pdu_in_order);
	assert_true(res.params.data_sequence_in_order);
}

static void the_first_digest_of_the_list_is_chosen(void **state)
{
	static const struct {
		const char *offered, *answer;
	} x[] = {
		{ "CRC32C,None", "CRC32C" },
		{ "None,CRC32C", "None" },
		{ "CRC32C", "CRC32C" },
		{ "SHA9,CRC32C", "CRC32C" },
		{ "None", "None" },
		{ "SHA9", "Reject" },
		{ "", "Reject" },
		{ "crc32c", "Reject" },
	};
	struct login_result res;

	for (unsigned i = 0; i < array_size(x); i++) {
		bool crc = !strcmp(x[i].answer, "CRC32C");

		assert_string_equal(offer("HeaderDigest", x[i].offered, &res), x[i].answer);
		assert_int_equal(res.params.header_digest, crc);
		assert_false(res.params.data_digest);
		assert_string_equal(offer("DataDigest", x[i].offered, &res), x[i].answer);
		assert_int_equal(res.params.data_digest, crc);
		assert_false(res.params.header_digest);
	}
}

static void nothing_offered_leaves_the_defaults_of_the_rfc(void **state)
{
	struct login_result res;
	const struct iscsi_params *p = &res.params;

	offer("X-com.example.nothing", "1", &res);
	assert_false(p->header_digest || p->data_digest);
	assert_true(p->initial_r2t && p->immediate_data);
	assert_true(p->data_pdu_in_order && p->data_sequence_in_order);
	assert_int_equal(p->max_connections, 1);
	assert_int_equal(p->max_recv_dsl, 262144);
	assert_int_equal(p->max_xmit_dsl, 8192);
	assert_int_equal(p->max_burst, 262144);
	assert_int_equal(p->first_burst, 65536);
	assert_int_equal(p->max_outstanding_r2t, 1);
	assert_int_equal(p->error_recovery_level, 0);
	assert_int_equal(p->time2wait, 2);
	assert_int_equal(p->time2retain, 20);
}

static void obsolete_keys_are_answered_as_the_rfc_says(void **state)
{
	struct login_result res;

	assert_string_equal(offer("IFMarker", "Yes", &res), "No");
	assert_string_equal(offer("OFMarker", "No", &res), "No");
	assert_string_equal(offer("IFMarkInt", "2048~8192", &res), "Reject");
	assert_string_equal(offer("OFMarkInt", "1", &res), "Reject");
}

static void newer_keys_are_answered_with_what_is_done(void **state)
{
	struct login_result res;

	assert_string_equal(offer("TaskReporting", "FastAbort,RFC3720", &res), "RFC3720");
	assert_string_equal(offer("TaskReporting", "FastAbort", &res), "Reject");
	assert_string_equal(offer("iSCSIProtocolLevel", "2", &res), "1");
	assert_string_equal(offer("iSCSIProtocolLevel", "0", &res), "0");
	assert_string_equal(offer("iSCSIProtocolLevel", "32", &res), "Reject");
	assert_string_equal(offer("X#NodeArchitecture", "Linux", &res), "");
	assert_string_equal(offer("RDMAExtensions", "Yes", &res), "No");
	assert_string_equal(offer("InitiatorRecvDataSegmentLength", "8192", &res), "Irrelevant");
	assert_string_equal(offer("TargetRecvDataSegmentLength", "8192", &res), "Irrelevant");
	assert_string_equal(offer("MaxOutstandingUnexpectedPDUs", "8", &res), "Irrelevant");
}

static void unknown_keys_are_not_understood(void **state)
{
	struct login_result res;

	assert_string_equal(offer("X-com.example.key", "1", &res), "NotUnderstood");
	assert_string_equal(offer("maxburstlength", "512", &res), "NotUnderstood");
	assert_string_equal(offer("SomethingElse", "", &res), "NotUnderstood");
}

static void keys_of_the_full_feature_phase_are_rejected(void **state)
{
	struct login_result res;

	assert_string_equal(offer("SendTargets", "All", &res), "Reject");
}

static void what_a_discovery_session_has_no_use_for_is_irrelevant(void **state)
{
	static const char *const keys[][2] = {
		{ "MaxConnections", "1" },	 { "InitialR2T", "No" },
		{ "ImmediateData", "Yes" },	 { "MaxBurstLength", "65536" },
		{ "FirstBurstLength", "65536" }, { "MaxOutstandingR2T", "1" },
		{ "DataPDUInOrder", "Yes" },	 { "DataSequenceInOrder", "Yes" },
		{ "TaskReporting", "RFC3720" },	 { "iSCSIProtocolLevel", "1" },
	};
	struct login_result res;

	for (unsigned i = 0; i < array_size(keys); i++)
		assert_string_equal(offer_with(NULL, DISCOVERY, keys[i][0], keys[i][1], &res),
				    "Irrelevant");
	assert_true(res.discovery);
	assert_string_equal(offer_with(NULL, DISCOVERY, "DefaultTime2Wait", "5", &res), "5");
	assert_string_equal(offer_with(NULL, DISCOVERY, "HeaderDigest", "CRC32C", &res), "CRC32C");
}

static void first_burst_is_irrelevant_without_unsolicited_data(void **state)
{
	struct login_result res;

	assert_string_equal(offer_with(NULL, NAMES "InitialR2T=Yes\nImmediateData=No\n",
				       "FirstBurstLength", "65536", &res),
			    "Irrelevant");
	assert_string_equal(offer_with(NULL, NAMES "InitialR2T=No\nImmediateData=No\n",
				       "FirstBurstLength", "65536", &res),
			    "65536");
}

static void first_burst_never_exceeds_max_burst(void **state)
{
	struct login_result res;

	/* in one request, whichever comes first */
	assert_string_equal(offer_with(NULL, NAMES "MaxBurstLength=4096\n", "FirstBurstLength",
				       "65536", &res),
			    "4096");
	assert_int_equal(res.params.first_burst, 4096);
	assert_string_equal(offer_with(NULL, NAMES "FirstBurstLength=65536\n", "MaxBurstLength",
				       "4096", &res),
			    "4096");
	assert_int_equal(res.params.first_burst, 4096);
	assert_int_equal(res.params.max_burst, 4096);
}

static void first_burst_is_brought_up_when_its_default_does_not_fit(void **state)
{
	struct login_result res;
	struct rig r;

	rig_start(&r);
	assert_int_equal(rig_send(&r, T, OP, FULL, NAMES "MaxBurstLength=4096\n"), LOGIN_SEND);
	assert_int_equal(r.rsp.flags & T, 0);
	assert_string_equal(rig_value(&r, "FirstBurstLength"), "4096");
	assert_int_equal(rig_send(&r, T, OP, FULL, "FirstBurstLength=2048\n"), LOGIN_DONE);
	login_get_result(r.login, &res);
	assert_int_equal(res.params.first_burst, 2048);
	rig_end(&r);
}

static void a_max_burst_below_the_agreed_first_burst_fails(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(rig_send(&r, 0, OP, 0, NAMES "FirstBurstLength=65536\n"), LOGIN_SEND);
	assert_int_equal(rig_send(&r, T, OP, FULL, "MaxBurstLength=4096\n"), LOGIN_SEND_AND_CLOSE);
	assert_int_equal(r.status, 0x0200);
	rig_end(&r);
}

static void settings_of_the_target_bound_what_is_agreed(void **state)
{
	int32_t param[TARGET_PARAMS];
	struct login_result res;

	memset(param, 0xff, sizeof(param));
	param[ISCSI_PARAM_MAX_BURST] = 131072;
	param[ISCSI_PARAM_FIRST_BURST] = 8192;
	param[ISCSI_PARAM_MAX_RECV_DSL] = 65536;
	param[ISCSI_PARAM_MAX_XMIT_DSL] = 16384;
	param[ISCSI_PARAM_INITIAL_R2T] = 1;
	param[ISCSI_PARAM_MAX_OUTSTANDING_R2T] = 2;
	param[ISCSI_PARAM_MAX_CONNECTIONS] = 16;
	param[ISCSI_PARAM_TIME2WAIT] = 7;
	param[ISCSI_PARAM_TIME2RETAIN] = 5;
	assert_string_equal(offer_with(param,
				       NAMES
				       "InitialR2T=No\nFirstBurstLength=65536\n"
				       "MaxOutstandingR2T=8\nMaxConnections=4\nDefaultTime2Wait=2\n"
				       "DefaultTime2Retain=20\nMaxRecvDataSegmentLength=65536\n",
				       "MaxBurstLength", "1048576", &res),
			    "131072");
	assert_int_equal(res.params.first_burst, 8192);
	assert_int_equal(res.params.max_recv_dsl, 65536);
	assert_int_equal(res.params.max_xmit_dsl, 16384);
	assert_true(res.params.initial_r2t);
	assert_int_equal(res.params.max_outstanding_r2t, 2);
	assert_int_equal(res.params.max_connections, 1);
	assert_int_equal(res.params.time2wait, 7);
	assert_int_equal(res.params.time2retain, 5);
}

static void a_setting_stricter_than_the_default_is_brought_up(void **state)
{
	struct login_result res;
	struct rig r;

	rig_start(&r);
	r.param[ISCSI_PARAM_IMMEDIATE_DATA] = 0;
	r.param[ISCSI_PARAM_MAX_BURST] = 131072;
	r.param[ISCSI_PARAM_HEADER_DIGEST] = DIGEST_CRC32C;
	assert_int_equal(rig_send(&r, T, OP, FULL, NAMES), LOGIN_SEND);
	assert_int_equal(r.rsp.flags & T, 0);
	assert_string_equal(rig_value(&r, "ImmediateData"), "No");
	assert_string_equal(rig_value(&r, "MaxBurstLength"), "131072");
	assert_string_equal(rig_value(&r, "HeaderDigest"), "CRC32C");
	assert_int_equal(rig_send(&r, T, OP, FULL,
				  "ImmediateData=No\nMaxBurstLength=65536\nHeaderDigest=CRC32C\n"),
			 LOGIN_DONE);
	login_get_result(r.login, &res);
	assert_false(res.params.immediate_data);
	assert_true(res.params.header_digest);
	assert_int_equal(res.params.max_burst, 65536);
	rig_end(&r);
}

static void check_bad_reply(const char *reply)
{
	struct rig r;

	rig_start(&r);
	r.param[ISCSI_PARAM_MAX_BURST] = 131072;
	assert_int_equal(rig_send(&r, T, OP, FULL, NAMES), LOGIN_SEND);
	assert_int_equal(rig_send(&r, T, OP, FULL, reply), LOGIN_SEND_AND_CLOSE);
	assert_int_equal(r.status, 0x0200);
	rig_end(&r);
}

static void answers_that_an_offer_does_not_admit_fail(void **state)
{
	check_bad_reply("MaxBurstLength=262144\n");
	check_bad_reply("MaxBurstLength=Reject\n");
	check_bad_reply("MaxBurstLength=511\n");
	check_bad_reply("MaxBurstLength=NotUnderstood\n");
	check_bad_reply(""); /* none at all */
}

static void a_digest_that_the_target_requires_must_be_agreed(void **state)
{
	struct rig r;

	rig_start(&r);
	r.param[ISCSI_PARAM_DATA_DIGEST] = DIGEST_CRC32C;
	assert_int_equal(rig_send(&r, T, OP, FULL, NAMES "DataDigest=None\n"), LOGIN_SEND_AND_CLOSE);
	assert_int_equal(r.status, 0x0200);
	rig_end(&r);
}

static void check_twice(const char *first, const char *second)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(rig_send(&r, 0, OP, 0, first), second ? LOGIN_SEND : LOGIN_SEND_AND_CLOSE);
	if (second)
		assert_int_equal(rig_send(&r, 0, OP, 0, second), LOGIN_SEND_AND_CLOSE);
	assert_int_equal(r.status, 0x0200);
	rig_end(&r);
}

static void a_key_twice_in_a_negotiation_fails(void **state)
{
	check_twice(NAMES "MaxBurstLength=512\nMaxBurstLength=512\n", NULL);
	check_twice(NAMES "X-a.b=1\nX-a.b=2\n", NULL);
	check_twice(NAMES "MaxBurstLength=512\nFirstBurstLength=512\n", "MaxBurstLength=1024\n");
	check_twice(NAMES, "InitiatorName=iqn.2001-04.com.example:other\n");
	check_twice(NAMES "MaxRecvDataSegmentLength=512\n", "MaxRecvDataSegmentLength=1024\n");
}

static void keys_that_only_a_target_sends_fail(void **state)
{
	check_twice(NAMES "TargetAlias=x\n", NULL);
	check_twice(NAMES "TargetAddress=192.0.2.1\n", NULL);
	check_twice(NAMES "TargetPortalGroupTag=1\n", NULL);
}

static void an_overlong_value_fails(void **state)
{
	char text[sizeof(NAMES) + 300];
	size_t n = (size_t)snprintf(text, sizeof(text), "%sMaxBurstLength=", NAMES);

	memset(text + n, '0', 256);
	memcpy(text + n + 256, "\n", 2);
	check_twice(text, NULL);
}

static void security_keys_outside_of_their_stage_fail(void **state)
{
	check_twice(NAMES "AuthMethod=None\n", NULL);
	check_twice(NAMES "CHAP_A=5\n", NULL);
}

static void settings_have_the_names_of_tgtadm(void **state)
{
	static const char *const names[ISCSI_PARAMS] = {
		"nop_interval",
		"nop_count",
		"MaxRecvDataSegmentLength",
		"HeaderDigest",
		"DataDigest",
		"InitialR2T",
		"MaxOutstandingR2T",
		"ImmediateData",
		"FirstBurstLength",
		"MaxBurstLength",
		"DataPDUInOrder",
		"DataSequenceInOrder",
		"ErrorRecoveryLevel",
		"IFMarker",
		"OFMarker",
		"DefaultTime2Wait",
		"DefaultTime2Retain",
		"OFMarkInt",
		"IFMarkInt",
		"MaxConnections",
		"RDMAExtensions",
		"TargetRecvDataSegmentLength",
		"InitiatorRecvDataSegmentLength",
		"MaxOutstandingUnexpectedPDUs",
		"MaxXmitDataSegmentLength",
		"MaxQueueCmd",
	};

	assert_true(ISCSI_PARAMS <= TARGET_PARAMS);
	for (int i = 0; i < ISCSI_PARAMS; i++) {
		assert_int_equal(iscsi_key_param(names[i]), i);
		assert_string_equal(iscsi_key_param_name(i), names[i]);
	}
	assert_int_equal(iscsi_key_param("InitiatorName"), -1);
	assert_int_equal(iscsi_key_param(""), -1);
	assert_null(iscsi_key_param_name(-1));
	assert_null(iscsi_key_param_name(ISCSI_PARAMS));
}

static void settings_are_parsed_and_shown(void **state)
{
	static const struct {
		int index;
		const char *text, *shown;
	} good[] = {
		{ ISCSI_PARAM_MAX_BURST, "0x20000", "131072" },
		{ ISCSI_PARAM_IMMEDIATE_DATA, "no", "No" },
		{ ISCSI_PARAM_HEADER_DIGEST, "None,CRC32C", "CRC32C,None" },
		{ ISCSI_PARAM_HEADER_DIGEST, "None", "None" },
		{ ISCSI_PARAM_DATA_DIGEST, "CRC32C", "CRC32C" },
		{ ISCSI_PARAM_OF_MARK_INT, "Reject", "Reject" },
		{ ISCSI_PARAM_OF_MARK_INT, "2048", "2048" },
		{ ISCSI_PARAM_MAX_CONNECTIONS, "8", "8" },
		{ ISCSI_PARAM_NOP_INTERVAL, "0", "0" },
		{ ISCSI_PARAM_MAX_QUEUE_CMD, "512", "512" },
	};
	char out[64];
	int32_t v;

	for (unsigned i = 0; i < array_size(good); i++) {
		assert_int_equal(iscsi_key_param_set(good[i].index, good[i].text, &v, NULL), 0);
		iscsi_key_param_show(good[i].index, v, out, sizeof(out));
		assert_string_equal(out, good[i].shown);
	}
}

static void bad_settings_are_refused_with_a_reason(void **state)
{
	static const struct {
		int index;
		const char *text;
	} bad[] = {
		{ ISCSI_PARAM_MAX_BURST, "511" },
		{ ISCSI_PARAM_MAX_BURST, "16777216" },
		{ ISCSI_PARAM_MAX_BURST, "" },
		{ ISCSI_PARAM_MAX_BURST, "big" },
		{ ISCSI_PARAM_IMMEDIATE_DATA, "maybe" },
		{ ISCSI_PARAM_HEADER_DIGEST, "" },
		{ ISCSI_PARAM_HEADER_DIGEST, "CRC32C," },
		{ ISCSI_PARAM_HEADER_DIGEST, "MD5" },
		{ ISCSI_PARAM_HEADER_DIGEST, ",None" },
		{ ISCSI_PARAM_HEADER_DIGEST, "None,MD5" },
		{ ISCSI_PARAM_MAX_QUEUE_CMD, "0" },
		{ ISCSI_PARAM_ERROR_RECOVERY_LEVEL, "3" },
		{ ISCSI_PARAM_IF_MARK_INT, "No" },
		{ -1, "1" },
		{ ISCSI_PARAMS, "1" },
	};

	for (unsigned i = 0; i < array_size(bad); i++) {
		struct err e = { 0 };
		int32_t v = 77;

		assert_int_equal(iscsi_key_param_set(bad[i].index, bad[i].text, &v, &e), -EINVAL);
		assert_int_equal(v, 77);
		assert_true(strlen(e.text) > 10);
	}
}

static void the_default_is_shown_for_what_is_not_set(void **state)
{
	static const struct {
		int index;
		const char *shown;
	} x[] = {
		{ ISCSI_PARAM_MAX_RECV_DSL, "262144" },	      { ISCSI_PARAM_MAX_BURST, "1048576" },
		{ ISCSI_PARAM_FIRST_BURST, "65536" },	      { ISCSI_PARAM_INITIAL_R2T, "No" },
		{ ISCSI_PARAM_HEADER_DIGEST, "CRC32C,None" }, { ISCSI_PARAM_MAX_QUEUE_CMD, "128" },
		{ ISCSI_PARAM_IF_MARK_INT, "Reject" },	      { ISCSI_PARAM_OF_MARKER, "No" },
	};
	char out[64];

	for (unsigned i = 0; i < array_size(x); i++) {
		iscsi_key_param_show(x[i].index, -1, out, sizeof(out));
		assert_string_equal(out, x[i].shown);
	}
	assert_int_equal(iscsi_key_param_value(ISCSI_PARAM_MAX_QUEUE_CMD, -1), 128);
	assert_int_equal(iscsi_key_param_value(ISCSI_PARAM_MAX_QUEUE_CMD, 3), 3);
}

static void every_row_of_the_table_is_whole(void **state)
{
	for (int i = 0; i < ISCSI_KEYS; i++) {
		const struct key_row *row = &iscsi_keys[i];

		assert_non_null(row->name);
		assert_true(strlen(row->name) <= TEXT_KEY_MAX);
		assert_true(row->phases != 0);
		if (row->type == KEY_STRING || row->type == KEY_REJECT)
			continue;
		assert_true(row->lo <= row->rfc_default && row->rfc_default <= row->hi);
		assert_true(row->lo <= row->wish && row->wish <= row->hi);
		assert_true(row->lo <= row->cap && row->cap <= row->hi);
		assert_true(row->type != KEY_LIST || row->items);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(row->name, iscsi_keys[j].name);
	}
}

static int text_phase(struct iscsi_params *p, const char *in, size_t len, char *out, uint32_t room)
{
	return login_text(p, false, (const uint8_t *)in, (uint32_t)len, (uint8_t *)out, room);
}

static void the_segment_length_may_be_declared_anew_later(void **state)
{
	static const char in[] = "MaxRecvDataSegmentLength=4096";
	struct iscsi_params p = { .max_xmit_dsl = 65536 };
	char out[64];

	assert_int_equal(text_phase(&p, in, sizeof(in), out, sizeof(out)), 0);
	assert_int_equal(p.max_xmit_dsl, 4096);
}

static void what_is_settled_at_login_is_rejected_later(void **state)
{
	static const char in[] = "MaxBurstLength=512\0X-a=1\0SendTargets=All\0InitiatorAlias=x";
	static const char want[] = "MaxBurstLength=Reject\0X-a=NotUnderstood";
	struct iscsi_params p = { .max_burst = 1024 };
	char out[64];

	assert_int_equal(text_phase(&p, in, sizeof(in), out, sizeof(out)), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(p.max_burst, 1024);
}

static void bad_text_in_the_full_feature_phase_is_a_protocol_error(void **state)
{
	struct iscsi_params p = { .max_xmit_dsl = 8192 };
	char out[16];

	assert_int_equal(text_phase(&p, "A", 2, out, sizeof(out)), -EPROTO);
	assert_int_equal(text_phase(&p, "A=1", 3, out, sizeof(out)), -EPROTO);
	assert_int_equal(text_phase(&p, "CHAP_A=5", 9, out, sizeof(out)), -EPROTO);
	assert_int_equal(text_phase(&p, "A=1\0A=1", 8, out, sizeof(out)), -EPROTO);
	/* an answer beyond the room */
	assert_int_equal(text_phase(&p, "ABCDEF=1", 9, out, sizeof(out)), -EPROTO);
	assert_int_equal(text_phase(&p, "A=1", 4, out, sizeof(out)), 16);
	assert_int_equal(p.max_xmit_dsl, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lesser_number_is_agreed),
		cmocka_unit_test(the_greater_number_is_agreed_for_time2wait),
		cmocka_unit_test(numbers_out_of_range_are_rejected_and_the_default_stays),
		cmocka_unit_test(a_segment_length_is_declared_by_each_side),
		cmocka_unit_test(booleans_are_agreed_by_and_and_or),
		cmocka_unit_test(the_first_digest_of_the_list_is_chosen),
		cmocka_unit_test(nothing_offered_leaves_the_defaults_of_the_rfc),
		cmocka_unit_test(obsolete_keys_are_answered_as_the_rfc_says),
		cmocka_unit_test(newer_keys_are_answered_with_what_is_done),
		cmocka_unit_test(unknown_keys_are_not_understood),
		cmocka_unit_test(keys_of_the_full_feature_phase_are_rejected),
		cmocka_unit_test(what_a_discovery_session_has_no_use_for_is_irrelevant),
		cmocka_unit_test(first_burst_is_irrelevant_without_unsolicited_data),
		cmocka_unit_test(first_burst_never_exceeds_max_burst),
		cmocka_unit_test(first_burst_is_brought_up_when_its_default_does_not_fit),
		cmocka_unit_test(a_max_burst_below_the_agreed_first_burst_fails),
		cmocka_unit_test(settings_of_the_target_bound_what_is_agreed),
		cmocka_unit_test(a_setting_stricter_than_the_default_is_brought_up),
		cmocka_unit_test(answers_that_an_offer_does_not_admit_fail),
		cmocka_unit_test(a_digest_that_the_target_requires_must_be_agreed),
		cmocka_unit_test(a_key_twice_in_a_negotiation_fails),
		cmocka_unit_test(keys_that_only_a_target_sends_fail),
		cmocka_unit_test(an_overlong_value_fails),
		cmocka_unit_test(security_keys_outside_of_their_stage_fail),
		cmocka_unit_test(settings_have_the_names_of_tgtadm),
		cmocka_unit_test(settings_are_parsed_and_shown),
		cmocka_unit_test(bad_settings_are_refused_with_a_reason),
		cmocka_unit_test(the_default_is_shown_for_what_is_not_set),
		cmocka_unit_test(every_row_of_the_table_is_whole),
		cmocka_unit_test(the_segment_length_may_be_declared_anew_later),
		cmocka_unit_test(what_is_settled_at_login_is_rejected_later),
		cmocka_unit_test(bad_text_in_the_full_feature_phase_is_a_protocol_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
