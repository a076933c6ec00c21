/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Login PDU sequences: the first byte says how control answers; then
 * pieces of a length (2 bytes), the HEAD bytes of the header that matter, and data. Each piece
 * is a PDU; what the target says is read to its last byte.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "transport/iscsi/keys.h"
#include "transport/iscsi/pdu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD \
	8 /* opcode, flags, versions, ISID's last byte, TSIH's last, CID's last, additional headers */

struct input {
	const uint8_t *p;
	size_t left;
	uint8_t control;
};

static void answer(struct login_query *q, uint8_t control)
{
	q->answer = control & 0x80 ? (enum login_answer)(control & 7) : LOGIN_OK;
	memset(q->param, 0xff, sizeof(q->param));
	if (control & 0x40) {
		q->param[ISCSI_PARAM_MAX_BURST] = 512 << (control & 7);
		q->param[ISCSI_PARAM_IMMEDIATE_DATA] = control & 1;
		q->param[ISCSI_PARAM_HEADER_DIGEST] = 1 + (control & 1);
	}
	q->auth_required = control & 0x20;
	q->user_known = !strcmp(q->user, "joe");
	memcpy(q->secret, "secret", 7);
	q->outgoing = control & 0x10;
	memcpy(q->out_user, "target", 7);
	memcpy(q->out_secret, "other", 6);
}

static enum login_action settle(struct login *l, enum login_action a, uint8_t control)
{
	static struct it_nexus nexus;

	for (;;) {
		if (a == LOGIN_ASK) {
			answer(login_query_of(l), control);
			a = login_answered(l);
		} else if (a == LOGIN_CLAIM) {
			struct claim *c = login_claim_of(l);

			c->answer = control & 8 ? LOGIN_BUSY : LOGIN_OK;
			c->nexus = &nexus;
			a = login_claimed(l);
		} else {
			return a;
		}
	}
}

/* The next PDU of the input, its data in memory of exactly its size. */
static enum login_action next_pdu(struct login *l, struct input *in)
{
	union pdu bhs = { .login_request = { .isid = { 0x80 } } };
	struct pdu_login_request *r = &bhs.login_request;
	uint32_t len = min((uint32_t)(in->p[0] << 8 | in->p[1]), (uint32_t)(in->left - 2 - HEAD));
	const uint8_t *head = in->p + 2;
	enum login_action a;
	uint8_t *data = malloc(len + !len);

	if (!data)
		return LOGIN_CLOSE;
	r->opcode = head[0];
	r->flags = head[1];
	r->version_max = head[2] & 1;
	r->version_min = head[3] == 0xff;
	r->isid[5] = head[4];
	r->tsih = be16_make(head[5] & 1);
	r->cid = be16_make(head[6]);
	r->ahs_len = head[7] == 0xff;
	r->data_len = be24_make(len);
	memcpy(data, in->p + 2 + HEAD, len);
	in->p += 2 + HEAD + len;
	in->left -= 2 + HEAD + len;
	a = login_pdu(l, bhs.bytes, data, len);
	free(data);
	return settle(l, a, in->control);
}

static void read_response(struct login *l)
{
	const uint8_t *bhs, *data;
	uint32_t len, sum = 0;

	login_response(l, &bhs, &data, &len);
	for (uint32_t i = 0; i < len; i++)
		sum += data[i];
	if (len > LOGIN_PDU_DATA_MAX || sum > 255 * len || bhs[0] != PDU_LOGIN_RESPONSE)
		__builtin_trap();
}

static void check_result(const struct login *l)
{
	struct login_result res;

	login_get_result(l, &res);
	if (!res.tsih || res.params.first_burst > res.params.max_burst ||
	    res.params.max_burst < 512 || res.params.max_xmit_dsl < 512 ||
	    res.params.error_recovery_level || !res.params.data_pdu_in_order)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct login_env env = { .peer = "192.0.2.1", .tpgt = 1 };
	enum login_action a = LOGIN_SEND;
	struct input in;
	struct login *l;

	if (!size)
		return 0;
	log_set_level(LOG_LEVEL_ERR);
	l = login_create(&env);
	if (!l)
		return 0;
	in = (struct input){ .p = data + 1, .left = size - 1, .control = data[0] };
	while (a == LOGIN_SEND && in.left >= 2 + HEAD) {
		a = next_pdu(l, &in);
		if (a != LOGIN_CLOSE)
			read_response(l);
	}
	if (a == LOGIN_DONE)
		check_result(l);
	login_destroy(l);
	return 0;
}
