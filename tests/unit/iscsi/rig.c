/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "rig.h"

void rig_start(struct rig *r)
{
	static const struct login_env env = { .peer = "192.0.2.1", .tpgt = 1 };

	log_set_level(LOG_LEVEL_ERR);
	*r = (struct rig){ .answer = LOGIN_OK, .claim_answer = LOGIN_OK, .nexus.id = 4 };
	memset(r->param, 0xff, sizeof(r->param));
	r->login = login_create(&env);
	assert_non_null(r->login);
	r->req.login_request = (struct pdu_login_request){
		.opcode = PDU_LOGIN_REQUEST | PDU_IMMEDIATE,
		.isid = { 0x80, 1, 2, 3, 4, 5 },
		.itt = be32_make(7),
		.cid = be16_make(9),
		.cmd_sn = be32_make(100),
		.exp_stat_sn = be32_make(55),
	};
}

void rig_end(struct rig *r)
{
	login_destroy(r->login);
}

/* As control would. */
static void answer(struct rig *r, struct login_query *q)
{
	bool known = r->user && !strcmp(q->user, r->user);

	r->asked++;
	q->answer = r->answer;
	q->tid = 1;
	q->session = r->session;
	memcpy(q->param, r->param, sizeof(q->param));
	q->auth_required = r->auth_required;
	q->user_known = known;
	snprintf(q->secret, sizeof(q->secret), "%s", known ? r->secret : "");
	q->outgoing = r->outgoing;
	if (!r->outgoing)
		return;
	snprintf(q->out_user, sizeof(q->out_user), "%s", r->out_user);
	snprintf(q->out_secret, sizeof(q->out_secret), "%s", r->out_secret);
}

static void keep_response(struct rig *r)
{
	const uint8_t *bhs, *data;

	login_response(r->login, &bhs, &data, &r->len);
	memcpy(&r->rsp, bhs, sizeof(r->rsp));
	assert_true(r->len <= LOGIN_PDU_DATA_MAX);
	assert_int_equal(be24_get(r->rsp.data_len), r->len);
	if (r->len)
		memcpy(r->text, data, r->len);
	r->text[r->len] = 0;
	r->status = (unsigned)r->rsp.status_class << 8 | r->rsp.status_detail;
}

enum login_action rig_send_raw(struct rig *r, const void *data, uint32_t len)
{
	uint8_t *exact = malloc(len + !len);

	/* so that a sanitizer sees reads beyond the data */
	assert_non_null(exact);
	if (len)
		memcpy(exact, data, len);
	r->req.login_request.data_len = be24_make(len);
	r->action = login_pdu(r->login, r->req.bytes, exact, len);
	free(exact);
	while (r->action == LOGIN_ASK || r->action == LOGIN_CLAIM) {
		struct claim *c = login_claim_of(r->login);

		if (r->action == LOGIN_ASK) {
			answer(r, login_query_of(r->login));
			r->action = login_answered(r->login);
			continue;
		}
		r->claimed++;
		c->answer = r->claim_answer;
		c->nexus = r->claim_answer == LOGIN_OK ? &r->nexus : NULL;
		r->action = login_claimed(r->login);
	}
	if (r->action != LOGIN_CLOSE)
		keep_response(r);
	return r->action;
}

enum login_action rig_send(struct rig *r, unsigned flags, unsigned csg, unsigned nsg,
			   const char *text)
{
	size_t n = strlen(text);
	char *data = malloc(n + 1);
	enum login_action a;

	assert_non_null(data);
	memcpy(data, text, n + 1);
	for (size_t i = 0; i < n; i++)
		if (data[i] == '\n')
			data[i] = 0;
	r->req.login_request.flags = (uint8_t)(flags | csg << LOGIN_CSG_SHIFT | nsg);
	a = rig_send_raw(r, data, (uint32_t)n);
	free(data);
	return a;
}

const char *rig_value(const struct rig *r, const char *key)
{
	size_t k = strlen(key);

	for (uint32_t pos = 0; pos < r->len; pos += (uint32_t)strlen(r->text + pos) + 1)
		if (!strncmp(r->text + pos, key, k) && r->text[pos + k] == '=')
			return r->text + pos + k + 1;
	return NULL;
}

void rig_login(struct rig *r, const char *text, struct login_result *res)
{
	assert_int_equal(rig_send(r, T, OP, FULL, text), LOGIN_DONE);
	assert_int_equal(r->status, 0);
	login_get_result(r->login, res);
}
