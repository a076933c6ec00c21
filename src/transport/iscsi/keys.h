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

#endif
