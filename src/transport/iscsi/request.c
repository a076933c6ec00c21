/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/request.h"

#include <string.h>

#include "base/log.h"

/* ---- what the target says ------------------------------------------------ */

void request_reject(struct iscsi_conn *c, const union pdu *bad, enum reject_reason reason)
{
	union pdu copy = *bad, *p;

	log_debug("iscsi: %s: PDU %02xh is rejected for reason %02xh", c->peer, bad->basic.opcode,
		  reason);
	p = tx_begin(c, PDU_REJECT, BHS_LEN);
	if (!p)
		return;
	p->reject.reason = reason;
	p->reject.tag = be32_make(TAG_RESERVED);
	tx_status_sn(c, p);
	memcpy(tx_data(c, p), copy.bytes, BHS_LEN);
	tx_end(c, p, BHS_LEN);
}

void request_ask_logout(struct iscsi_conn *c, unsigned seconds)
{
	union pdu *p = tx_begin(c, PDU_ASYNC_MESSAGE, 0);

	if (!p)
		return;
	p->async.itt = be32_make(TAG_RESERVED);
	tx_status_sn(c, p);
	p->async.event = ASYNC_LOGOUT;
	p->async.parameter3 = be16_make((uint16_t)min(seconds, 0xffffu));
	tx_end(c, p, 0);
}

void request_logged_out(struct iscsi_conn *c, uint32_t itt, enum logout_response response)
{
	union pdu *p = tx_begin(c, PDU_LOGOUT_RESPONSE, 0);

	if (!p)
		return;
	p->logout_response.response = response;
	p->logout_response.itt = be32_make(itt);
	tx_status_sn(c, p);
	p->logout_response.time2wait = be16_make((uint16_t)c->params.time2wait);
	tx_end(c, p, 0);
}

void request_ping(struct iscsi_conn *c)
{
	union pdu *p = tx_begin(c, PDU_NOP_IN, 0);

	if (!p)
		return;
	p->nop.itt = be32_make(TAG_RESERVED);
	p->nop.ttt = be32_make(session_ttt(c->session));
	tx_sn(c, p);
	tx_end(c, p, 0);
}

/* ---- NOP-Out (RFC 7143 11.18) -------------------------------------------- */

static void nop_out(struct iscsi_conn *c, const union pdu *q, struct buf *b, uint8_t *data,
		    uint32_t len)
{
	union pdu *p;

	len = min(len, c->params.max_xmit_dsl);
	p = tx_begin(c, PDU_NOP_IN, b ? 0 : len);
	if (!p)
		return;
	p->nop.itt = q->nop.itt;
	p->nop.ttt = be32_make(TAG_RESERVED);
	tx_status_sn(c, p);
	if (b && len) {
		tx_end_buf(c, p, buf_ref(b), data, len);
		return;
	}
	if (len)
		memcpy(tx_data(c, p), data, len);
	tx_end(c, p, len);
}

/* ---- Logout Request (RFC 7143 11.14) ------------------------------------- */

static void logout(struct iscsi_conn *c, const union pdu *q)
{
	const struct pdu_logout_request *h = &q->logout_request;
	uint32_t itt = be32_get(h->itt);

	switch (h->flags & LOGOUT_REASON) {
	case LOGOUT_CLOSE_CONNECTION:
		if (be16_get(h->cid) != c->cid) {
			request_logged_out(c, itt, LOGOUT_NO_CID);
			return;
		}
		/* the only connection is the session */
		__attribute__((fallthrough));
	case LOGOUT_CLOSE_SESSION:
		log_debug("iscsi: %s at %s logs out", c->session->initiator, c->peer);
		session_logout(c->session, itt);
		return;
	case LOGOUT_RECOVERY:
		request_logged_out(c, itt, LOGOUT_NO_RECOVERY);
		return;
	default:
		request_reject(c, q, REJECT_INVALID_FIELD);
	}
}

/* ---- all of them --------------------------------------------------------- */

void request_run(struct iscsi_conn *c, const union pdu *p, struct buf *b, uint8_t *data,
		 uint32_t len)
{
	switch (p->basic.opcode & PDU_OPCODE) {
	case PDU_NOP_OUT:
		nop_out(c, p, b, data, len);
		break;
	case PDU_TMF_REQUEST:
		tmf_request(c, p);
		break;
	case PDU_TEXT_REQUEST:
		text_request(c, p, data, len);
		break;
	case PDU_LOGOUT_REQUEST:
		logout(c, p);
		break;
	}
}

/* Keep @p until its CmdSN's turn comes. */
static void hold(struct iscsi_conn *c, const union pdu *p, struct buf *b, uint8_t *data,
		 uint32_t len)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t = task_create(s, TASK_REQUEST, be32_get(p->request.itt),
					   be32_get(p->request.cmd_sn), false);

	if (!t)
		return; /* as if it were lost: the initiator sends it again */
	t->bhs = *p;
	t->payload_len = len;
	if (len && b) {
		t->payload = buf_ref(b);
		t->payload_data = data;
	} else if (len) {
		t->payload = bufpool_get(c->part->bufs, len);
		if (t->payload)
			t->payload_data = memcpy(t->payload->data, data, len);
	}
	if ((len && !t->payload) || !session_hold(s, t))
		task_free(t);
}

/* True if the target takes PDUs of this type; else it is rejected. */
static bool known(struct iscsi_conn *c, const union pdu *p)
{
	switch (p->basic.opcode & PDU_OPCODE) {
	case PDU_NOP_OUT:
	case PDU_TMF_REQUEST:
	case PDU_TEXT_REQUEST:
	case PDU_LOGOUT_REQUEST:
		return true;
	case PDU_SNACK_REQUEST:
		request_reject(c, p, REJECT_SNACK);
		break;
	default:
		request_reject(c, p, REJECT_NOT_SUPPORTED);
		break;
	}
	part_count(c->part, protocol_errors, 1);
	return false;
}

/* An initiator's answer to our NOP-In, or a sign of life: there is nothing to answer. */
static bool wants_answer(const union pdu *p)
{
	return (p->basic.opcode & PDU_OPCODE) != PDU_NOP_OUT || be32_get(p->nop.itt) != TAG_RESERVED;
}

void request_arrived(struct iscsi_conn *c, const union pdu *p, struct buf *b, uint8_t *data,
		     uint32_t len)
{
	bool immediate = p->basic.opcode & PDU_IMMEDIATE;
	struct iscsi_session *s = c->session;

	if (!known(c, p) || !wants_answer(p))
		return;
	if (be32_get(p->request.itt) == TAG_RESERVED) {
		part_count(c->part, protocol_errors, 1);
		request_reject(c, p, REJECT_INVALID_FIELD);
		return;
	}
	switch (session_place(s, be32_get(p->request.cmd_sn), immediate)) {
	case CMD_SN_NOW:
		s->exp_cmd_sn += !immediate;
		request_run(c, p, b, data, len);
		session_run_held(s);
		break;
	case CMD_SN_LATER:
		hold(c, p, b, data, len);
		break;
	case CMD_SN_IGNORE:
		break;
	}
}
