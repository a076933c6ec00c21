/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"
#include "transport/iscsi/keytab.h"

#define S PHASE_SECURITY
#define O PHASE_OPERATIONAL
#define F PHASE_FULL
#define SW .scope = SCOPE_SESSION
#define CO .scope = SCOPE_CONNECTION
#define LEN_MAX 16777215 /* 2^24 - 1 */
#define NUMBER(low, high, dflt, own, most) \
	.lo = (low), .hi = (high), .rfc_default = (dflt), .wish = (own), .cap = (most)
#define BOOLEAN(dflt, own, most) NUMBER(0, 1, dflt, own, most)
#define STRING .type = KEY_STRING, .param = -1
#define OBSOLETE .type = KEY_REJECT, .phases = O, NUMBER(1, 65535, 0, 0, 0)

static const char *const digests[] = { "None", "CRC32C", NULL }; /* DIGEST_* */
static const char *const reportings[] = { "RFC3720", NULL };

/* clang-format off */
const struct key_row iscsi_keys[ISCSI_KEYS] = {
	/* RFC 7143 13.4 to 13.9, 13.23 */
	[KEY_INITIATOR_NAME] = { "InitiatorName", STRING, SW, .phases = S | O },
	[KEY_INITIATOR_ALIAS] = { "InitiatorAlias", STRING, SW, .phases = S | O | F },
	[KEY_TARGET_NAME] = { "TargetName", STRING, SW, .phases = S | O },
	[KEY_SESSION_TYPE] = { "SessionType", STRING, SW, .phases = S | O, .flags = KEYF_LEADING },
	[KEY_TARGET_ALIAS] = { "TargetAlias", STRING, SW, .phases = S | O | F,
		.flags = KEYF_TARGET_SENDS },
	[KEY_TARGET_ADDRESS] = { "TargetAddress", STRING, SW, .phases = S | O | F,
		.flags = KEYF_TARGET_SENDS },
	[KEY_TARGET_PORTAL_GROUP_TAG] = { "TargetPortalGroupTag", STRING, SW, .phases = S | O,
		.flags = KEYF_TARGET_SENDS },
	[KEY_SEND_TARGETS] = { "SendTargets", STRING, SW, .phases = F },
	[KEY_NODE_ARCHITECTURE] = { "X#NodeArchitecture", STRING, SW, .phases = S | O },

	/* 12.1 */
	[KEY_AUTH_METHOD] = { "AuthMethod", STRING, CO, .phases = S },
	[KEY_CHAP_A] = { "CHAP_A", STRING, CO, .phases = S },
	[KEY_CHAP_I] = { "CHAP_I", STRING, CO, .phases = S },
	[KEY_CHAP_C] = { "CHAP_C", STRING, CO, .phases = S, .flags = KEYF_LONG },
	[KEY_CHAP_N] = { "CHAP_N", STRING, CO, .phases = S },
	[KEY_CHAP_R] = { "CHAP_R", STRING, CO, .phases = S },

	/* 13.1 */
	[KEY_HEADER_DIGEST] = { "HeaderDigest", KEY_LIST, CO, .phases = O, .flags = KEYF_OFFER,
		NUMBER(1, 3, DIGEST_NONE, DIGEST_NONE | DIGEST_CRC32C, 3),
		.items = digests, .param = ISCSI_PARAM_HEADER_DIGEST },
	[KEY_DATA_DIGEST] = { "DataDigest", KEY_LIST, CO, .phases = O, .flags = KEYF_OFFER,
		NUMBER(1, 3, DIGEST_NONE, DIGEST_NONE | DIGEST_CRC32C, 3),
		.items = digests, .param = ISCSI_PARAM_DATA_DIGEST },
	/* 13.2 */
	[KEY_MAX_CONNECTIONS] = { "MaxConnections", KEY_MIN, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, NUMBER(1, 65535, 1, 1, 1),
		.param = ISCSI_PARAM_MAX_CONNECTIONS },
	/* 13.10 */
	[KEY_INITIAL_R2T] = { "InitialR2T", KEY_OR, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, BOOLEAN(1, 0, 1),
		.param = ISCSI_PARAM_INITIAL_R2T },
	/* 13.11 */
	[KEY_IMMEDIATE_DATA] = { "ImmediateData", KEY_AND, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING | KEYF_OFFER, BOOLEAN(1, 1, 1),
		.param = ISCSI_PARAM_IMMEDIATE_DATA },
	/* 13.12 */
	[KEY_MAX_RECV_DSL] = { "MaxRecvDataSegmentLength", KEY_DECLARE, CO, .phases = S | O | F,
		NUMBER(512, LEN_MAX, 8192, 262144, 262144), .param = ISCSI_PARAM_MAX_RECV_DSL },
	/* 13.13 */
	[KEY_MAX_BURST] = { "MaxBurstLength", KEY_MIN, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING | KEYF_OFFER,
		NUMBER(512, LEN_MAX, 262144, 1048576, 1048576), .param = ISCSI_PARAM_MAX_BURST },
	/* 13.14 */
	[KEY_FIRST_BURST] = { "FirstBurstLength", KEY_MIN, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING | KEYF_OFFER | KEYF_UNSOLICITED,
		NUMBER(512, LEN_MAX, 65536, 65536, 262144), .param = ISCSI_PARAM_FIRST_BURST },
	/* 13.15, 13.16 */
	[KEY_TIME2WAIT] = { "DefaultTime2Wait", KEY_MAX, SW, .phases = O, .flags = KEYF_LEADING,
		NUMBER(0, 3600, 2, 2, 3600), .param = ISCSI_PARAM_TIME2WAIT },
	/* nothing is kept of a lost connection, so nothing is to be retained */
	[KEY_TIME2RETAIN] = { "DefaultTime2Retain", KEY_MIN, SW, .phases = O,
		.flags = KEYF_LEADING, NUMBER(0, 3600, 20, 0, 3600),
		.param = ISCSI_PARAM_TIME2RETAIN },
	/* 13.17 */
	[KEY_MAX_OUTSTANDING_R2T] = { "MaxOutstandingR2T", KEY_MIN, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, NUMBER(1, 65535, 1, 8, 8),
		.param = ISCSI_PARAM_MAX_OUTSTANDING_R2T },
	/* 13.18, 13.19 */
	[KEY_DATA_PDU_IN_ORDER] = { "DataPDUInOrder", KEY_OR, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, BOOLEAN(1, 1, 1),
		.param = ISCSI_PARAM_DATA_PDU_IN_ORDER },
	[KEY_DATA_SEQUENCE_IN_ORDER] = { "DataSequenceInOrder", KEY_OR, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, BOOLEAN(1, 1, 1),
		.param = ISCSI_PARAM_DATA_SEQUENCE_IN_ORDER },
	/* 13.20 */
	[KEY_ERROR_RECOVERY_LEVEL] = { "ErrorRecoveryLevel", KEY_MIN, SW, .phases = O,
		.flags = KEYF_LEADING, NUMBER(0, 2, 0, 0, 0),
		.param = ISCSI_PARAM_ERROR_RECOVERY_LEVEL },
	/* 13.23: only what RFC 3720 said is done */
	[KEY_TASK_REPORTING] = { "TaskReporting", KEY_LIST, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, NUMBER(1, 1, 1, 1, 1),
		.items = reportings, .param = -1 },
	/* 13.24; 1 is RFC 7143, 2 would be RFC 7144 */
	[KEY_PROTOCOL_LEVEL] = { "iSCSIProtocolLevel", KEY_MIN, SW, .phases = O,
		.flags = KEYF_NOT_DISCOVERY | KEYF_LEADING, NUMBER(0, 31, 1, 1, 1), .param = -1 },

	/* RFC 7145 6: iSER, which this transport is not */
	[KEY_RDMA_EXTENSIONS] = { "RDMAExtensions", KEY_AND, SW, .phases = O,
		.flags = KEYF_LEADING, BOOLEAN(0, 0, 0), .param = ISCSI_PARAM_RDMA_EXTENSIONS },
	[KEY_TARGET_RECV_DSL] = { "TargetRecvDataSegmentLength", KEY_MIN, CO, .phases = O,
		.flags = KEYF_RDMA, NUMBER(512, LEN_MAX, 8192, 262144, LEN_MAX),
		.param = ISCSI_PARAM_TARGET_RECV_DSL },
	[KEY_INITIATOR_RECV_DSL] = { "InitiatorRecvDataSegmentLength", KEY_MIN, CO, .phases = O,
		.flags = KEYF_RDMA, NUMBER(512, LEN_MAX, 8192, 262144, LEN_MAX),
		.param = ISCSI_PARAM_INITIATOR_RECV_DSL },
	[KEY_MAX_UNEXPECTED_PDUS] = { "MaxOutstandingUnexpectedPDUs", KEY_DECLARE, CO, .phases = O,
		.flags = KEYF_RDMA, NUMBER(0, 65535, 0, 0, 65535),
		.param = ISCSI_PARAM_MAX_UNEXPECTED_PDUS },

	/* 13.25: never NotUnderstood; No and Reject are the answers */
	[KEY_IF_MARKER] = { "IFMarker", KEY_AND, CO, .phases = O, BOOLEAN(0, 0, 0),
		.param = ISCSI_PARAM_IF_MARKER },
	[KEY_OF_MARKER] = { "OFMarker", KEY_AND, CO, .phases = O, BOOLEAN(0, 0, 0),
		.param = ISCSI_PARAM_OF_MARKER },
	[KEY_IF_MARK_INT] = { "IFMarkInt", OBSOLETE, CO, .param = ISCSI_PARAM_IF_MARK_INT },
	[KEY_OF_MARK_INT] = { "OFMarkInt", OBSOLETE, CO, .param = ISCSI_PARAM_OF_MARK_INT },
};

/* Settings of a target that are no keys. */
static const struct key_row settings[] = {
	{ "nop_interval", KEY_MIN, NUMBER(0, 86400, 0, 0, 0), .param = ISCSI_PARAM_NOP_INTERVAL },
	{ "nop_count", KEY_MIN, NUMBER(0, 65535, 0, 0, 0), .param = ISCSI_PARAM_NOP_COUNT },
	{ "MaxXmitDataSegmentLength", KEY_MIN, NUMBER(512, LEN_MAX, 0, 262144, 0),
		.param = ISCSI_PARAM_MAX_XMIT_DSL },
	{ "MaxQueueCmd", KEY_MIN, NUMBER(1, 512, 0, 128, 0), .param = ISCSI_PARAM_MAX_QUEUE_CMD },
};
/* clang-format on */

int keytab_bool(const char *value, uint32_t *v)
{
	*v = !strcmp(value, "Yes");
	return *v || !strcmp(value, "No") ? 0 : -EINVAL;
}

uint32_t keytab_item(const struct key_row *row, const char *item)
{
	for (unsigned i = 0; row->items[i]; i++)
		if (!strcmp(row->items[i], item))
			return 1u << i;
	return 0;
}

/* The set @v, stronger values first. */
static void print_list(const struct key_row *row, uint32_t v, char *out, size_t size)
{
	size_t len = 0;
	unsigned n = 0;

	while (row->items[n])
		n++;
	out[0] = 0;
	while (n-- > 0)
		if (v >> n & 1 && len < size)
			len += (size_t)snprintf(out + len, size - len, "%s%s", len ? "," : "",
						row->items[n]);
}

void keytab_print(const struct key_row *row, uint32_t v, char *out, size_t size)
{
	switch (row->type) {
	case KEY_AND:
	case KEY_OR:
		snprintf(out, size, "%s", v ? "Yes" : "No");
		return;
	case KEY_LIST:
		print_list(row, v, out, size);
		return;
	case KEY_REJECT:
		if (!v) {
			snprintf(out, size, "Reject");
			return;
		}
		break;
	}
	snprintf(out, size, "%u", v);
}

static const struct key_row *param_row(int index)
{
	for (unsigned i = 0; index >= 0 && i < ISCSI_KEYS; i++)
		if (iscsi_keys[i].param == index)
			return &iscsi_keys[i];
	for (unsigned i = 0; i < array_size(settings); i++)
		if (settings[i].param == index)
			return &settings[i];
	return NULL;
}

int iscsi_key_param(const char *name)
{
	for (int i = 0; i < ISCSI_PARAMS; i++)
		if (!strcasecmp(param_row(i)->name, name))
			return i;
	return -1;
}

const char *iscsi_key_param_name(int index)
{
	const struct key_row *row = param_row(index);

	return row ? row->name : NULL;
}

static int set_list(const struct key_row *row, const char *text, int32_t *value, struct err *e)
{
	char item[TEXT_KEY_MAX + 1], all[64];
	size_t pos = 0;
	uint32_t set = 0, bit = 1;

	while (bit && text_list_next(text, &pos, item, sizeof(item))) {
		bit = keytab_item(row, item);
		set |= bit;
	}
	if (!set || !bit || text[pos] || text[pos - 1] == ',') {
		print_list(row, row->hi, all, sizeof(all));
		return err_set(e, -EINVAL, "%s: '%s' is not a list of the values %s", row->name,
			       text, all);
	}
	*value = (int32_t)set;
	return 0;
}

static int set_bool(const struct key_row *row, const char *text, int32_t *value, struct err *e)
{
	if (strcasecmp(text, "yes") != 0 && strcasecmp(text, "no") != 0)
		return err_set(e, -EINVAL, "%s: '%s' is neither Yes nor No", row->name, text);
	*value = !strcasecmp(text, "yes");
	return 0;
}

int iscsi_key_param_set(int index, const char *text, int32_t *value, struct err *e)
{
	const struct key_row *row = param_row(index);
	uint32_t v;

	if (!row)
		return err_set(e, -EINVAL, "no setting has the index %d", index);
	if (row->type == KEY_LIST)
		return set_list(row, text, value, e);
	if (row->type == KEY_AND || row->type == KEY_OR)
		return set_bool(row, text, value, e);
	if (row->type == KEY_REJECT && !strcmp(text, "Reject"))
		v = 0;
	else if (text_number(text, &v) || v < row->lo || v > row->hi)
		return err_set(e, -EINVAL, "%s: '%s' is not a number from %u to %u", row->name,
			       text, row->lo, row->hi);
	*value = (int32_t)v;
	return 0;
}

uint32_t iscsi_key_param_value(int index, int32_t value)
{
	const struct key_row *row = param_row(index);

	if (!row)
		return 0;
	return value < 0 ? row->wish : (uint32_t)value;
}

void iscsi_key_param_show(int index, int32_t value, char *out, size_t size)
{
	const struct key_row *row = param_row(index);

	if (row)
		keytab_print(row, iscsi_key_param_value(index, value), out, size);
	else if (size)
		out[0] = 0;
}
