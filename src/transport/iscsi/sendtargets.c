/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text requests in full feature phase (RFC 7143 11.10): SendTargets (appendix
 * C) and what may be negotiated there. A long answer goes in several
 * responses with the C bit, each asked for by the initiator.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/iscsi/request.h"

#define ANSWER_MAX \
	(64u << 20) /* thousands of targets; from our own configuration, not from the peer */

static void send_answer(struct text_exchange *x)
{
	struct iscsi_conn *c = x->session->conn;
	uint32_t left = x->out.len - x->sent;
	uint32_t most = min(c->params.max_xmit_dsl, (uint32_t)TX_INLINE_MAX);
	uint32_t n = min(left, most);
	union pdu *p = tx_begin(c, PDU_TEXT_RESPONSE, n);

	if (!p)
		return;
	p->text_response.flags = 0;
	x->ttt = TAG_RESERVED;
	if (n < left)
		p->text_response.flags |= PDU_CONTINUE;
	else if (x->final)
		p->text_response.flags |= PDU_FINAL;
	if (n < left || !x->final)
		x->ttt = session_ttt(x->session);
	p->text_response.itt = be32_make(x->itt);
	p->text_response.ttt = be32_make(x->ttt);
	tx_status_sn(c, p);
	if (n)
		memcpy(tx_data(c, p), x->out.data + x->sent, n);
	tx_end(c, p, n);
	x->sent += n;
	if (x->sent == x->out.len) {
		text_free(&x->out);
		text_init(&x->out, ANSWER_MAX);
		x->sent = 0;
	}
}

/* ---- SendTargets ---------------------------------------------------------------------- */

static int add_target(struct text_exchange *x, const char *name)
{
	char address[80];
	int rc = text_add(&x->out, "TargetName", name);

	snprintf(address, sizeof(address), "%s,%u", x->session->conn->local, ISCSI_TPGT);
	return rc ? rc : text_add(&x->out, "TargetAddress", address);
}

static void names_known(struct name_query *q)
{
	struct text_exchange *x = container_of(q, struct text_exchange, query);
	struct iscsi_session *s = x->session;
	bool alive = s->conn && s->conn->state == CONN_FULL;
	int rc = 0;

	x->asking = false;
	for (size_t at = 0; alive && !rc && at < q->len; at += strlen(q->names + at) + 1)
		rc = add_target(x, q->names + at);
	free(q->names);
	q->names = NULL;
	q->len = 0;
	if (rc)
		conn_close(s->conn, "no memory for the answer to SendTargets");
	else if (alive)
		send_answer(x);
	if (!s->conn)
		session_put(s);
}

/* True: the answer comes later. */
static bool send_targets(struct text_exchange *x, const char *which)
{
	struct iscsi_session *s = x->session;
	struct name_query *q = &x->query;

	if (!s->discovery) {
		const char *own = s->nexus->target_name;

		if (!strcmp(which, "All"))
			text_add(&x->out, "SendTargets", "Reject");
		else if (!*which || !strcmp(which, own))
			add_target(x, own);
		return false;
	}
	if (strlen(which) > INITIATOR_NAME_MAX) {
		text_add(&x->out, "SendTargets", "Reject");
		return false;
	}
	memset(q, 0, sizeof(*q));
	memcpy(q->initiator, s->initiator, sizeof(q->initiator));
	memcpy(q->peer, s->conn->peer, sizeof(q->peer));
	if (strcmp(which, "All"))
		memcpy(q->only, which, strlen(which));
	q->done = names_known;
	x->asking = true;
	name_query_run(s->part->server->ts, q);
	return true;
}

/* ---- a whole request -------------------------------------------------------------------- */

/* Everything but SendTargets, as text. */
static int answer_others(struct text_exchange *x, const struct text *others)
{
	struct iscsi_conn *c = x->session->conn;
	uint8_t *room = malloc(TX_INLINE_MAX);
	int n = -1;

	if (room)
		n = login_text(&c->params, x->session->discovery, (const uint8_t *)others->data,
			       others->len, room, TX_INLINE_MAX);
	if (n > 0)
		n = text_append(&x->out, room, (uint32_t)n);
	free(room);
	return n < 0 ? -1 : 0;
}

static int answer(struct text_exchange *x, struct text *others, bool *later)
{
	char key[TEXT_KEY_MAX + 1], which[INITIATOR_NAME_MAX + 2];
	const char *value, *why;
	bool asked = false;
	uint32_t pos = 0;
	int rc = text_check(x->in.data, x->in.len, &why);

	while (!rc && text_next(x->in.data, x->in.len, &pos, key, &value)) {
		if (strcmp(key, "SendTargets")) {
			rc = text_add(others, key, value);
			continue;
		}
		if (asked)
			return -1;
		asked = true;
		snprintf(which, sizeof(which), "%.*s", (int)sizeof(which) - 1, value);
	}
	if (!rc && others->len)
		rc = answer_others(x, others);
	if (!rc && asked)
		*later = send_targets(x, which);
	return rc;
}

static void whole_request(struct text_exchange *x, const union pdu *p)
{
	bool later = false;
	struct text others;
	int rc;

	text_init(&others, LOGIN_TEXT_MAX);
	rc = answer(x, &others, &later);
	text_free(&others);
	text_reset(&x->in);
	if (rc) {
		part_count(x->session->part, protocol_errors, 1);
		request_reject(x->session->conn, p, REJECT_PROTOCOL);
		x->ttt = TAG_RESERVED;
	} else if (!later) {
		send_answer(x);
	}
}

static struct text_exchange *exchange_of(struct iscsi_session *s)
{
	if (!s->text) {
		s->text = calloc(1, sizeof(*s->text));
		if (!s->text)
			return NULL;
		s->text->session = s;
		s->text->ttt = TAG_RESERVED;
		text_init(&s->text->in, LOGIN_TEXT_MAX);
		text_init(&s->text->out, ANSWER_MAX);
	}
	return s->text;
}

void text_request(struct iscsi_conn *c, const union pdu *p, const uint8_t *data, uint32_t len)
{
	const struct pdu_text_request *h = &p->text_request;
	struct text_exchange *x = exchange_of(c->session);
	uint32_t ttt = be32_get(h->ttt);
	bool goes_on = h->flags & PDU_CONTINUE;

	if (!x || x->asking) {
		request_reject(c, p, REJECT_RESOURCES);
		return;
	}
	if ((goes_on && h->flags & PDU_FINAL) || (ttt != TAG_RESERVED && ttt != x->ttt)) {
		part_count(c->part, protocol_errors, 1);
		request_reject(c, p, REJECT_INVALID_FIELD);
		return;
	}
	if (ttt == TAG_RESERVED) { /* a new exchange: the old one is given up */
		text_reset(&x->in);
		text_reset(&x->out);
		x->sent = 0;
	}
	x->itt = be32_get(h->itt);
	x->final = h->flags & PDU_FINAL;
	if (x->out.len > x->sent && !len) {
		send_answer(x);
		return;
	}
	if (len && text_append(&x->in, data, len)) {
		request_reject(c, p, REJECT_PROTOCOL);
		text_reset(&x->in);
		return;
	}
	if (goes_on)
		send_answer(x);
	else
		whole_request(x, p);
}

void text_exchange_free(struct iscsi_session *s)
{
	if (!s->text)
		return;
	text_free(&s->text->in);
	text_free(&s->text->out);
	free(s->text);
	s->text = NULL;
}
