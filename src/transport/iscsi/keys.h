/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of text keys (RFC 7143 13, and 12 for security) and what a
 * negotiation makes of them: mine / theirs / agreed. Text in, text out; the
 * login and the full feature phase use it alike.
 */
#ifndef STGT_ISCSI_KEYS_H
#define STGT_ISCSI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "transport/iscsi/login.h"
#include "transport/iscsi/text.h"

/*
 * A target's settings: indices of target.param[] and login_query.param[],
 * in the order in which tgtadm shows them. A value of -1 is the default.
 */
enum iscsi_param {
	ISCSI_PARAM_NOP_INTERVAL, /* seconds between NOP-Ins on an idle connection, 0: none */
	ISCSI_PARAM_NOP_COUNT, /* NOP-Ins without answer before the connection is closed */
	ISCSI_PARAM_MAX_RECV_DSL,
	ISCSI_PARAM_HEADER_DIGEST, /* set of DIGEST_* */
	ISCSI_PARAM_DATA_DIGEST,
	ISCSI_PARAM_INITIAL_R2T,
	ISCSI_PARAM_MAX_OUTSTANDING_R2T,
	ISCSI_PARAM_IMMEDIATE_DATA,
	ISCSI_PARAM_FIRST_BURST,
	ISCSI_PARAM_MAX_BURST,
	ISCSI_PARAM_DATA_PDU_IN_ORDER,
	ISCSI_PARAM_DATA_SEQUENCE_IN_ORDER,
	ISCSI_PARAM_ERROR_RECOVERY_LEVEL,
	ISCSI_PARAM_IF_MARKER,
	ISCSI_PARAM_OF_MARKER,
	ISCSI_PARAM_TIME2WAIT,
	ISCSI_PARAM_TIME2RETAIN,
	ISCSI_PARAM_OF_MARK_INT,
	ISCSI_PARAM_IF_MARK_INT,
	ISCSI_PARAM_MAX_CONNECTIONS,
	ISCSI_PARAM_RDMA_EXTENSIONS,
	ISCSI_PARAM_TARGET_RECV_DSL,
	ISCSI_PARAM_INITIATOR_RECV_DSL,
	ISCSI_PARAM_MAX_UNEXPECTED_PDUS,
	ISCSI_PARAM_MAX_XMIT_DSL, /* the most that we send in a PDU, whatever the initiator takes */
	ISCSI_PARAM_MAX_QUEUE_CMD, /* commands under way in a session */
	ISCSI_PARAMS
};

/* Values of lists, as sets. */
#define DIGEST_NONE 1
#define DIGEST_CRC32C 2

/* Index of the setting called @name (tgtadm's names, upper and lower case alike); -1: there is none. */
int iscsi_key_param(const char *name);
/* Its name, NULL if @index is none. */
const char *iscsi_key_param_name(int index);
/*
 * Parse @text as setting @index: 0 and *@value, else -EINVAL and @e (may be
 * NULL) says what is admissible. A wish beyond what the daemon does (MaxConnections=4) is taken:
 * negotiation then agrees on less.
 */
int iscsi_key_param_set(int index, const char *text, int32_t *value, struct err *e);
/* Write the value (the default's for -1) as text to @out. */
void iscsi_key_param_show(int index, int32_t value, char *out, size_t size);
/* The number itself, with the default for -1. */
uint32_t iscsi_key_param_value(int index, int32_t value);

/* ---- the negotiation ----------------------------------------------------- */

/* The rows of the table. Those that bound others come first: they are settled in this order. */
enum iscsi_key {
	KEY_INITIATOR_NAME,
	KEY_INITIATOR_ALIAS,
	KEY_TARGET_NAME,
	KEY_SESSION_TYPE,
	KEY_AUTH_METHOD,
	KEY_CHAP_A,
	KEY_CHAP_I,
	KEY_CHAP_C,
	KEY_CHAP_N,
	KEY_CHAP_R,
	KEY_TARGET_ALIAS,
	KEY_TARGET_ADDRESS,
	KEY_TARGET_PORTAL_GROUP_TAG,
	KEY_SEND_TARGETS,
	KEY_NODE_ARCHITECTURE,
	KEY_HEADER_DIGEST,
	KEY_DATA_DIGEST,
	KEY_MAX_CONNECTIONS,
	KEY_INITIAL_R2T,
	KEY_IMMEDIATE_DATA,
	KEY_MAX_RECV_DSL,
	KEY_MAX_BURST,
	KEY_FIRST_BURST,
	KEY_TIME2WAIT,
	KEY_TIME2RETAIN,
	KEY_MAX_OUTSTANDING_R2T,
	KEY_DATA_PDU_IN_ORDER,
	KEY_DATA_SEQUENCE_IN_ORDER,
	KEY_ERROR_RECOVERY_LEVEL,
	KEY_TASK_REPORTING,
	KEY_PROTOCOL_LEVEL,
	KEY_RDMA_EXTENSIONS,
	KEY_TARGET_RECV_DSL,
	KEY_INITIATOR_RECV_DSL,
	KEY_MAX_UNEXPECTED_PDUS,
	KEY_IF_MARKER,
	KEY_OF_MARKER,
	KEY_IF_MARK_INT,
	KEY_OF_MARK_INT,
	ISCSI_KEYS
};

/* When a key may be used: "Use" in RFC 7143 13. */
enum key_phase {
	PHASE_SECURITY = 1,
	PHASE_OPERATIONAL = 2,
	PHASE_FULL = 4,
};

struct key_state {
	uint32_t mine, agreed; /* numbers, booleans as 0 and 1, lists as sets of values */
	const char *theirs; /* in the request's text: valid until the next keys_take() */
	bool used; /* declared or negotiated: not again */
	bool offered; /* by us, and not answered yet */
	bool here; /* in the request under way */
};

struct negotiation {
	struct key_state key[ISCSI_KEYS];
	bool discovery;
	bool declared; /* our MaxRecvDataSegmentLength */
	uint32_t max_xmit; /* ISCSI_PARAM_MAX_XMIT_DSL */
};

/* Before anything is agreed: defaults, and @mine without a target's settings. */
void keys_init(struct negotiation *n);
/* What the target's settings @param (TARGET_PARAMS of them) wish. */
void keys_wish(struct negotiation *n, const int32_t *param);

/*
 * Take the pairs of one request in phase @phase, [@data, @data + @len) checked by
 * text_check(). Refusals that need no settling go to @out: NotUnderstood, and Reject for what
 * is not admissible now. -EPROTO and a reason: a key twice, or not the initiator's
 * to send, or an overlong value: negotiation has failed; or -ENOMEM, -EMSGSIZE from @out.
 */
int keys_take(struct negotiation *n, enum key_phase phase, const char *data, uint32_t len,
	      struct text *out, const char **why);
/* The value of a string key in the request under way, NULL if it is not there. */
const char *keys_string(const struct negotiation *n, enum iscsi_key key);
/*
 * Settle the operational keys of the request under way and answer them at @out.
 * Returns as keys_take().
 */
int keys_settle(struct negotiation *n, struct text *out, const char **why);
/*
 * What the target must say before the operational stage may end: offers of keys that the initiator did not
 * bring up and whose default is not ours. Returns how many offers await their answer, or as keys_take().
 */
int keys_offer(struct negotiation *n, struct text *out, const char **why);
/* Our MaxRecvDataSegmentLength, which is declared once. */
int keys_declare(struct negotiation *n, struct text *out);
/* What is agreed. */
void keys_params(const struct negotiation *n, struct iscsi_params *p);

#endif
