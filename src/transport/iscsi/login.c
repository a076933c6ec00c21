/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bits.h"
#include "base/log.h"
#include "sam/it_nexus.h"
#include "transport/iscsi/login_state.h"
#include "transport/iscsi/names.h"

#define LOGIN_PDUS_MAX 256 /* a login that takes more is none */

static_assert(INITIATOR_NAME_MAX == ISCSI_NAME_MAX, "names fit in queries and claims");
static_assert(ISCSI_TRANSPORT_ID_MAX <= TRANSPORT_ID_MAX, "TransportIDs fit in claims");

/* Which stage may follow which: RFC 7143 6.3. */
static const uint8_t stage_next[] = {
	[STAGE_SECURITY] = 1 << STAGE_OPERATIONAL | 1 << STAGE_FULL,
	[STAGE_OPERATIONAL] = 1 << STAGE_FULL,
	[2] = 0, /* reserved */
	[STAGE_FULL] = 0,
};

struct login *login_create(const struct login_env *env)
{
	struct login *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->env = *env;
	keys_init(&l->keys);
	text_init(&l->in, LOGIN_TEXT_MAX);
	text_init(&l->out, LOGIN_TEXT_MAX);
	return l;
}

void login_destroy(struct login *l)
{
	if (!l)
		return;
	text_free(&l->in);
	text_free(&l->out);
	OPENSSL_cleanse(l, sizeof(*l));
	free(l);
}

static unsigned request_csg(const struct login *l)
{
	return l->req.bytes[1] >> LOGIN_CSG_SHIFT & LOGIN_STAGE;
}

static unsigned request_nsg(const struct login *l)
{
	return l->req.bytes[1] & LOGIN_STAGE;
}

static void start_response(struct login *l, uint8_t flags)
{
	struct pdu_login_response *r = &l->rsp.login_response;

	/* every Login Request carries CmdSN and none advances it: all are immediate */
	*r = (struct pdu_login_response){
		.opcode = PDU_LOGIN_RESPONSE,
		.flags = flags,
		.tsih = be16_make(l->tsih),
		.itt = l->req.login_request.itt,
		.stat_sn = be32_make(l->stat_sn),
		.exp_cmd_sn = l->cmd_sn,
		.max_cmd_sn = l->cmd_sn,
	};
	memcpy(r->isid, l->isid, sizeof(r->isid));
	r->data_len = be24_make(l->rsp_len);
}

enum login_action login_fail(struct login *l, enum login_status status, const char *why)
{
	log_info("iscsi: login of %s from %s to %s refused, status %04x: %s",
		 l->query.initiator[0] ? l->query.initiator : "an unnamed initiator", l->env.peer,
		 l->query.target[0] ? l->query.target : "no target", status, why);
	l->rsp_data = NULL;
	l->rsp_len = 0;
	start_response(l, (uint8_t)(request_csg(l) << LOGIN_CSG_SHIFT));
	l->rsp.login_response.status_class = (uint8_t)(status >> 8);
	l->rsp.login_response.status_detail = (uint8_t)status;
	l->wait = WAIT_NOTHING;
	return LOGIN_SEND_AND_CLOSE;
}

/* The negotiation failed by @err of keys.h or text.h. */
static enum login_action fail_keys(struct login *l, int err, const char *why)
{
	return login_fail(l, err == -ENOMEM ? STATUS_RESOURCES : STATUS_INITIATOR_ERROR, why);
}

static enum login_action fail_answer(struct login *l, enum login_answer answer)
{
	switch (answer) {
	case LOGIN_NOT_FOUND:
		return login_fail(l, STATUS_NOT_FOUND, "there is no such target");
	case LOGIN_FORBIDDEN:
		return login_fail(l, STATUS_FORBIDDEN, "no access rule admits it");
	case LOGIN_OFFLINE:
		return login_fail(l, STATUS_UNAVAILABLE, "offline");
	default:
		return login_fail(l, STATUS_RESOURCES, "no memory, or the old session lives on");
	}
}

/* ---- the response -------------------------------------------------------- */

static void fill_claim(struct login *l)
{
	struct claim *c = &l->claim;

	memcpy(c->initiator, l->query.initiator, sizeof(c->initiator));
	memcpy(c->target, l->query.target, sizeof(c->target));
	memcpy(c->peer, l->env.peer, sizeof(c->peer));
	memcpy(c->isid, l->isid, sizeof(c->isid));
	c->tpgt = l->env.tpgt;
	c->ts = l->env.ts;
	c->transport_id_len = iscsi_transport_id(c->initiator, c->isid, c->transport_id);
}

/* Tags of discovery sessions, which have no nexus; any number but 0 does. */
static uint16_t discovery_tsih(void)
{
	static _Atomic uint32_t last;

	return (uint16_t)(atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) % 65535 + 1);
}

/* The response ends the stage, and with @nsg == STAGE_FULL the login. */
static enum login_action send_transit(struct login *l, unsigned nsg)
{
	start_response(l, (uint8_t)(LOGIN_TRANSIT | (unsigned)l->stage << LOGIN_CSG_SHIFT | nsg));
	l->stat_sn++;
	l->out_sent += l->rsp_len;
	l->stage = (enum login_stage)nsg;
	l->wait = nsg == STAGE_FULL ? WAIT_NOTHING : WAIT_PDU;
	return nsg == STAGE_FULL ? LOGIN_DONE : LOGIN_SEND;
}

enum login_action login_respond(struct login *l)
{
	uint32_t left = l->out.len - l->out_sent;
	uint8_t flags = (uint8_t)((unsigned)l->stage << LOGIN_CSG_SHIFT);
	bool last = left <= LOGIN_PDU_DATA_MAX;

	if (l->stage == STAGE_SECURITY)
		l->hold = l->auth != AUTH_DONE;
	l->wait = WAIT_PDU;
	l->rsp_data = left ? (const uint8_t *)l->out.data + l->out_sent : NULL;
	l->rsp_len = last ? left : LOGIN_PDU_DATA_MAX;
	if (last && !l->more && l->req.bytes[1] & LOGIN_TRANSIT && !l->hold) {
		if (request_nsg(l) != STAGE_FULL)
			return send_transit(l, request_nsg(l));
		if (!l->discovery) {
			fill_claim(l);
			l->wait = WAIT_CLAIM;
			return LOGIN_CLAIM;
		}
		l->tsih = discovery_tsih();
		return send_transit(l, STAGE_FULL);
	}
	start_response(l, last ? flags : flags | PDU_CONTINUE);
	l->stat_sn++;
	l->out_sent += l->rsp_len;
	return LOGIN_SEND;
}

/* ---- stages -------------------------------------------------------------- */

static enum login_action operational(struct login *l)
{
	const char *why = "";
	int n;

	if (l->query.auth_required && l->auth != AUTH_DONE)
		return login_fail(l, STATUS_AUTH_FAILURE, "the security stage must not be skipped");
	n = keys_declare(&l->keys, &l->out);
	if (n)
		return fail_keys(l, n, why);
	l->hold = true;
	if (l->req.bytes[1] & LOGIN_TRANSIT) {
		n = keys_offer(&l->keys, &l->out, &why);
		if (n < 0)
			return fail_keys(l, n, why);
		l->hold = n > 0;
	}
	return login_respond(l);
}

/* One whole request of an admitted initiator. */
static enum login_action proceed(struct login *l)
{
	const char *why = "";
	int n;

	/* 13.9: in the first response of a normal session */
	if (!l->tpgt_sent && !l->discovery &&
	    text_add_num(&l->out, "TargetPortalGroupTag", l->env.tpgt))
		return login_fail(l, STATUS_RESOURCES, "no memory");
	l->tpgt_sent = true;
	/* 13.12: MaxRecvDataSegmentLength may be declared in either stage */
	n = keys_settle(&l->keys, &l->out, &why);
	if (n)
		return fail_keys(l, n, why);
	return l->stage == STAGE_SECURITY ? login_security(l) : operational(l);
}

/* People read it in lists: no control characters. */
static void take_alias(struct login *l)
{
	const char *alias = keys_string(&l->keys, KEY_INITIATOR_ALIAS);

	if (!alias)
		return;
	snprintf(l->claim.alias, sizeof(l->claim.alias), "%s", alias);
	for (char *p = l->claim.alias; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

/* What the leading request must say: 6.3. */
static enum login_action take_names(struct login *l)
{
	const char *initiator = keys_string(&l->keys, KEY_INITIATOR_NAME);
	const char *target = keys_string(&l->keys, KEY_TARGET_NAME);
	const char *type = keys_string(&l->keys, KEY_SESSION_TYPE);
	struct err e = { 0 };

	if (!initiator)
		return login_fail(l, STATUS_MISSING_PARAMETER, "InitiatorName is missing");
	if (iscsi_name_normalise(initiator, l->query.initiator, &e))
		return login_fail(l, STATUS_INITIATOR_ERROR, e.text);
	if (type && strcmp(type, "Discovery") != 0 && strcmp(type, "Normal") != 0)
		return login_fail(l, STATUS_SESSION_TYPE, "unknown SessionType");
	l->discovery = l->keys.discovery = type && !strcmp(type, "Discovery");
	if (!l->discovery && !target)
		return login_fail(l, STATUS_MISSING_PARAMETER, "TargetName is missing");
	if (!l->discovery && iscsi_name_normalise(target, l->query.target, &e))
		return login_fail(l, STATUS_NOT_FOUND, e.text);
	memcpy(l->query.peer, l->env.peer, sizeof(l->query.peer));
	memcpy(l->query.isid, l->isid, sizeof(l->query.isid));
	l->query.tpgt = l->env.tpgt;
	l->query.ts = l->env.ts;
	l->wait = WAIT_NAMES;
	return LOGIN_ASK;
}

/* ---- the request --------------------------------------------------------- */

/* @why with STATUS_SUCCESS means nothing. */
static enum login_status check_fields(const struct login *l, uint32_t len, const char **why)
{
	const struct pdu_login_request *r = &l->req.login_request;

	*why = "not marked immediate, or with additional headers";
	if (!(r->opcode & PDU_IMMEDIATE) || r->ahs_len)
		return STATUS_INITIATOR_ERROR;
	*why = "data segment longer than 8192 bytes";
	if (len > LOGIN_PDU_DATA_MAX || be24_get(r->data_len) != len)
		return STATUS_INITIATOR_ERROR;
	*why = "version above 0 required";
	if (r->version_min > 0)
		return STATUS_VERSION;
	*why = "T and C in one request";
	if (r->flags & LOGIN_TRANSIT && r->flags & PDU_CONTINUE)
		return STATUS_INITIATOR_ERROR;
	*why = "wrong current stage";
	if (l->started ? request_csg(l) != (unsigned)l->stage : request_csg(l) > STAGE_OPERATIONAL)
		return STATUS_INITIATOR_ERROR;
	*why = "wrong next stage";
	if (r->flags & LOGIN_TRANSIT && !(stage_next[request_csg(l)] >> request_nsg(l) & 1))
		return STATUS_INITIATOR_ERROR;
	return STATUS_SUCCESS;
}

/* 11.12: what must be the same in all requests of a login. */
static bool same_login(const struct login *l)
{
	const struct pdu_login_request *r = &l->req.login_request;

	return !memcmp(r->isid, l->isid, sizeof(l->isid)) && be16_get(r->tsih) == l->tsih &&
	       !memcmp(&r->cid, &l->cid, sizeof(l->cid)) &&
	       !memcmp(&r->cmd_sn, &l->cmd_sn, sizeof(l->cmd_sn)) &&
	       r->version_max == l->version_max && r->version_min == l->version_min;
}

/* The first request says who this login is, whatever is wrong with it. */
static void start_login(struct login *l)
{
	const struct pdu_login_request *r = &l->req.login_request;

	memcpy(l->isid, r->isid, sizeof(l->isid));
	l->cid = r->cid;
	l->cmd_sn = r->cmd_sn;
	l->tsih = be16_get(r->tsih);
	l->version_max = r->version_max;
	l->version_min = r->version_min;
	l->stat_sn = be32_get(r->exp_stat_sn);
}

static enum login_action whole_request(struct login *l)
{
	enum key_phase phase = l->stage == STAGE_SECURITY ? PHASE_SECURITY : PHASE_OPERATIONAL;
	const char *why = "";
	int err = text_check(l->in.data, l->in.len, &why);

	text_reset(&l->out);
	l->out_sent = 0;
	if (!err)
		err = keys_take(&l->keys, phase, l->in.data, l->in.len, &l->out, &why);
	if (err)
		return fail_keys(l, err, why);
	take_alias(l);
	return l->named ? proceed(l) : take_names(l);
}

/* A PDU with all its fields right. */
static enum login_action take_pdu(struct login *l, const uint8_t *data, uint32_t len)
{
	bool more = l->req.bytes[1] & PDU_CONTINUE;
	int err;

	if (l->out_sent < l->out.len && !l->more) {
		if (len || more)
			return login_fail(l, STATUS_INITIATOR_ERROR,
					  "text before the whole response was fetched");
		return login_respond(l);
	}
	if (!l->more) {
		text_reset(&l->in);
		text_reset(&l->out);
		l->out_sent = 0;
	}
	l->more = more;
	err = text_append(&l->in, data, len);
	if (err)
		return fail_keys(l, err, "more than 64 KiB of text in a request");
	return more ? login_respond(l) : whole_request(l);
}

enum login_action login_pdu(struct login *l, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
	enum login_status status;
	const char *why;

	if (l->wait != WAIT_PDU)
		return LOGIN_CLOSE;
	memcpy(l->req.bytes, bhs, BHS_LEN);
	if ((bhs[0] & PDU_OPCODE) != PDU_LOGIN_REQUEST) {
		l->req.login_request.flags = (uint8_t)((unsigned)l->stage << LOGIN_CSG_SHIFT);
		/* 6.3.1: before the first Login Request there is nobody to answer */
		return l->started ? login_fail(l, STATUS_INVALID_REQUEST,
					       "a PDU that is no Login Request")
				  : LOGIN_CLOSE;
	}
	if (!l->started)
		start_login(l);
	status = check_fields(l, len, &why);
	if (status)
		return login_fail(l, status, why);
	if (!l->started)
		l->stage = (enum login_stage)request_csg(l);
	else if (!same_login(l))
		return login_fail(l, STATUS_INITIATOR_ERROR,
				  "ISID, TSIH, CID, CmdSN or version changed");
	l->started = true;
	if (++l->pdus > LOGIN_PDUS_MAX)
		return login_fail(l, STATUS_INITIATOR_ERROR, "too many requests");
	return take_pdu(l, data, len);
}

/* Unique among living sessions: ids are given out in order. */
static uint16_t tsih_of(uint64_t nexus_id)
{
	return (uint16_t)(nexus_id % 65535 + 1);
}

/* 6.3.1: a connection for a session that is there, or not. MaxConnections is 1 for all. */
static enum login_action join(struct login *l)
{
	if (l->query.session && tsih_of(l->query.session) == l->tsih)
		return login_fail(l, STATUS_TOO_MANY_CONNECTIONS, "the session has its connection");
	return login_fail(l, STATUS_NO_SESSION, "no session that a connection could join");
}

enum login_action login_answered(struct login *l)
{
	if (l->wait != WAIT_NAMES && l->wait != WAIT_SECRET)
		return LOGIN_CLOSE;
	if (l->query.answer != LOGIN_OK)
		return fail_answer(l, l->query.answer);
	if (l->wait == WAIT_SECRET)
		return login_secret(l);
	if (l->tsih)
		return join(l);
	l->named = true;
	keys_wish(&l->keys, l->query.param);
	return proceed(l);
}

enum login_action login_claimed(struct login *l)
{
	if (l->wait != WAIT_CLAIM)
		return LOGIN_CLOSE;
	if (l->claim.answer != LOGIN_OK)
		return fail_answer(l, l->claim.answer);
	l->tsih = tsih_of(l->claim.nexus->id);
	return send_transit(l, STAGE_FULL);
}

void login_response(struct login *l, const uint8_t **bhs, const uint8_t **data, uint32_t *len)
{
	*bhs = l->rsp.bytes;
	*data = l->rsp_data;
	*len = l->rsp_len;
}

struct login_query *login_query_of(struct login *l)
{
	return &l->query;
}

struct claim *login_claim_of(struct login *l)
{
	return &l->claim;
}

void login_get_result(const struct login *l, struct login_result *res)
{
	*res = (struct login_result){
		.discovery = l->discovery,
		.nexus = l->discovery ? NULL : l->claim.nexus,
		.tsih = l->tsih,
		.cid = be16_get(l->cid),
		.exp_cmd_sn = be32_get(l->cmd_sn),
		.stat_sn = l->stat_sn,
	};
	keys_params(&l->keys, &res->params);
	memcpy(res->initiator, l->query.initiator, sizeof(res->initiator));
	memcpy(res->isid, l->isid, sizeof(res->isid));
}

/* ---- full feature phase --------------------------------------------------- */

int login_text(struct iscsi_params *p, bool discovery, const uint8_t *in, uint32_t len,
	       uint8_t *out, uint32_t room)
{
	struct negotiation n;
	struct text answer;
	const char *why;
	int err;

	keys_init(&n);
	n.discovery = discovery;
	text_init(&answer, room);
	err = text_check((const char *)in, len, &why);
	if (!err)
		err = keys_take(&n, PHASE_FULL, (const char *)in, len, &answer, &why);
	if (!err)
		err = keys_settle(&n, &answer, &why);
	if (!err && n.key[KEY_MAX_RECV_DSL].used)
		p->max_xmit_dsl = min(n.key[KEY_MAX_RECV_DSL].agreed, n.max_xmit);
	if (!err && answer.len)
		memcpy(out, answer.data, answer.len);
	err = err ? -EPROTO : (int)answer.len;
	text_free(&answer);
	return err;
}
