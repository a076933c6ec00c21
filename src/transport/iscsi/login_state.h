/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a login, for the files that make it up. */
#ifndef STGT_ISCSI_LOGIN_STATE_H
#define STGT_ISCSI_LOGIN_STATE_H

#include "transport/iscsi/chap.h"
#include "transport/iscsi/keys.h"
#include "transport/iscsi/login.h"
#include "transport/iscsi/pdu.h"

/* Status-Class and Status-Detail, RFC 7143 11.13.5. */
enum login_status {
	STATUS_SUCCESS = 0x0000,
	STATUS_INITIATOR_ERROR = 0x0200,
	STATUS_AUTH_FAILURE = 0x0201,
	STATUS_FORBIDDEN = 0x0202,
	STATUS_NOT_FOUND = 0x0203,
	STATUS_VERSION = 0x0205,
	STATUS_TOO_MANY_CONNECTIONS = 0x0206,
	STATUS_MISSING_PARAMETER = 0x0207,
	STATUS_SESSION_TYPE = 0x0209,
	STATUS_NO_SESSION = 0x020a,
	STATUS_INVALID_REQUEST = 0x020b,
	STATUS_TARGET_ERROR = 0x0300,
	STATUS_UNAVAILABLE = 0x0301,
	STATUS_RESOURCES = 0x0302,
};

/* CSG and NSG, 11.12.3. */
enum login_stage { STAGE_SECURITY = 0, STAGE_OPERATIONAL = 1, STAGE_FULL = 3 };

/* Where authentication is, 12.1. */
enum auth_state {
	AUTH_START, /* AuthMethod may come */
	AUTH_ALGORITHM, /* CHAP was chosen: CHAP_A is to come */
	AUTH_RESPONSE, /* challenged: CHAP_N and CHAP_R are to come */
	AUTH_DONE,
};

enum login_wait {
	WAIT_PDU,
	WAIT_NAMES, /* the answer on initiator and target */
	WAIT_SECRET, /* the answer on the CHAP user */
	WAIT_CLAIM,
	WAIT_NOTHING, /* the end */
};

struct login {
	struct login_env env;
	struct login_query query;
	struct claim claim;
	struct negotiation keys;
	struct chap chap;
	struct text in, out; /* of the request, over its C-bit pieces; of its response */
	uint32_t out_sent;
	union pdu req, rsp;
	const uint8_t *rsp_data;
	uint32_t rsp_len;

	enum login_stage stage;
	enum auth_state auth;
	enum login_wait wait;
	bool started; /* the first request has been seen */
	bool more; /* the request goes on in the next PDU: C was set */
	bool named; /* the names are known and admitted */
	bool hold; /* the stage may not end yet */
	bool discovery, tpgt_sent;
	unsigned pdus;

	uint8_t isid[6];
	be16 cid;
	be32 cmd_sn;
	uint8_t version_max, version_min;
	uint16_t tsih;
	uint32_t stat_sn;
};

/* Answer with @status and end. */
enum login_action login_fail(struct login *l, enum login_status status, const char *why);
/* The request has been dealt with: send what there is to say. */
enum login_action login_respond(struct login *l);

/* The security stage's part (login_security.c). */
enum login_action login_security(struct login *l);
enum login_action login_secret(struct login *l); /* after WAIT_SECRET */

#endif
