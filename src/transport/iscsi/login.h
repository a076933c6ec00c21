/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login phase of one connection (RFC 7143 6.3, 12, 13) as a state machine
 * without I/O: PDUs in, PDUs and questions out. The connection does the rest.
 */
#ifndef STGT_ISCSI_LOGIN_H
#define STGT_ISCSI_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sam/target.h"

#define LOGIN_TEXT_MAX 65536 /* all text of one request, over C-bit continuations */
#define LOGIN_PDU_DATA_MAX 8192 /* RFC 7143 13.12: the default MaxRecvDataSegmentLength in login */

/* What was agreed; byte counts, booleans, seconds. Filled from the key table (keys.h). */
struct iscsi_params {
	bool header_digest, data_digest; /* CRC32C */
	bool initial_r2t, immediate_data;
	bool data_pdu_in_order, data_sequence_in_order;
	uint32_t max_connections;
	uint32_t max_recv_dsl; /* ours, declared */
	uint32_t max_xmit_dsl; /* the initiator's declaration: the most we may send */
	uint32_t max_burst, first_burst;
	uint32_t max_outstanding_r2t;
	uint32_t error_recovery_level;
	uint32_t time2wait, time2retain;
};

enum login_action {
	LOGIN_SEND, /* send login->rsp_bhs and login->rsp_data, then receive the next PDU */
	LOGIN_ASK, /* run login->query, then login_answered() */
	LOGIN_CLAIM, /* session parameters are settled: run login->claim, then login_claimed() */
	LOGIN_SEND_AND_CLOSE, /* send, then close the connection */
	LOGIN_CLOSE, /* nothing that could be answered: close */
	LOGIN_DONE, /* send, then full feature phase (never on the reactor that has not the nexus) */
};

struct login;

/* What a login needs from its connection. */
struct login_env {
	char peer[64]; /* peer address without port */
	uint16_t tpgt; /* of the portal */
	struct targets *ts; /* for query.ts and claim.ts only: never read here */
};

struct login *login_create(const struct login_env *env);
void login_destroy(struct login *l);

/*
 * One received PDU: 48 bytes at @bhs, @len bytes at @data (padding removed). Anything but a proper Login
 * Request is answered as RFC 7143 6.3.1 says. Never more than
 * LOGIN_TEXT_MAX bytes are kept.
 */
enum login_action login_pdu(struct login *l, const uint8_t *bhs, const uint8_t *data, uint32_t len);
enum login_action login_answered(struct login *l);
enum login_action login_claimed(struct login *l);

/* The response to send after LOGIN_SEND, LOGIN_SEND_AND_CLOSE, LOGIN_DONE: @data is padded by the sender. */
void login_response(struct login *l, const uint8_t **bhs, const uint8_t **data, uint32_t *len);

struct login_query *login_query_of(struct login *l);
struct claim *login_claim_of(struct login *l);

/* After LOGIN_DONE. */
struct login_result {
	bool discovery; /* no nexus */
	struct it_nexus *nexus;
	struct iscsi_params params;
	char initiator[INITIATOR_NAME_MAX + 1];
	uint8_t isid[6];
	uint16_t tsih; /* not 0 */
	uint16_t cid;
	uint32_t exp_cmd_sn,
		stat_sn; /* the next expected CmdSN; the StatSN after the final response */
};
void login_get_result(const struct login *l, struct login_result *res);

/*
 * A Text Request's negotiation in full feature phase (RFC 7143 11.10): answers @in (@len bytes) at @out
 * (@room bytes). Only what may be renegotiated there is; SendTargets is not handled here.
 * Returns the bytes written or -EPROTO.
 */
int login_text(struct iscsi_params *p, bool discovery, const uint8_t *in, uint32_t len,
	       uint8_t *out, uint32_t room);

#endif
