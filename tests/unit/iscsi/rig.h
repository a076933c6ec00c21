/* SPDX-License-Identifier: BSD-2-Clause */
/* A small initiator and a small control for tests of the login: PDUs in, answers at once. */
#ifndef STGT_TEST_ISCSI_RIG_H
#define STGT_TEST_ISCSI_RIG_H

#include "transport/iscsi/login_state.h"

#define T LOGIN_TRANSIT
#define C PDU_CONTINUE
#define SEC 0
#define OP 1
#define FULL 3
#define NAMES \
	"InitiatorName=iqn.2001-04.com.example:host\nTargetName=iqn.2001-04.com.example:disk\n"

struct rig {
	struct login *login;
	/* the target's side */
	enum login_answer answer, claim_answer;
	bool auth_required, outgoing;
	const char *user, *secret, *out_user, *out_secret;
	int32_t param[TARGET_PARAMS];
	uint64_t session; /* nexus id of the initiator port's session */
	struct it_nexus nexus;
	unsigned asked, claimed;
	/* the initiator's */
	union pdu req;
	/* what came back */
	enum login_action action;
	struct pdu_login_response rsp;
	unsigned status; /* class and detail */
	char text[LOGIN_PDU_DATA_MAX + 1];
	uint32_t len;
};

void rig_start(struct rig *r);
void rig_end(struct rig *r);
/* Send @text (lines end with \n, which become zero bytes) with @flags (T, C), @csg and @nsg. */
enum login_action rig_send(struct rig *r, unsigned flags, unsigned csg, unsigned nsg,
			   const char *text);
/* Send r->req as it stands with @len bytes at @data. */
enum login_action rig_send_raw(struct rig *r, const void *data, uint32_t len);
/* The value of @key in the last response, NULL if it is not there. */
const char *rig_value(const struct rig *r, const char *key);
/* Log in with the operational keys @text in one request; asserts that it succeeds. */
void rig_login(struct rig *r, const char *text, struct login_result *res);

#endif
