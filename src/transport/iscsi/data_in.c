/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data-In (RFC 7143 11.7): pieces are cut into PDUs of the initiator's
 * MaxRecvDataSegmentLength, sequences end at MaxBurstLength. The last piece is kept
 * until the command ends, so that its last PDU can carry a GOOD status.
 */
#include "transport/iscsi/session.h"

/* Status in a Data-In: GOOD, and the residual (RFC 7143 11.7.3). */
static void set_status(struct iscsi_conn *c, struct iscsi_task *t, union pdu *p)
{
	struct pdu_data_in *h = &p->data_in;

	h->flags |= DATA_IN_STATUS;
	h->status = ST_GOOD;
	tx_status_sn(c, p);
	if (t->cmd.residual == RESID_NONE)
		return;
	h->flags |= t->cmd.residual == RESID_OVERFLOW ? RESPONSE_OVERFLOW : RESPONSE_UNDERFLOW;
	h->residual = be32_make(t->cmd.residual_count);
}

/* One PDU with [off, off + len); takes a reference of @b. False: the connection closes. */
static bool send_pdu(struct iscsi_conn *c, struct iscsi_task *t, uint32_t off, struct buf *b,
		     uint8_t *data, uint32_t len, bool last, bool status)
{
	union pdu *p = tx_begin(c, PDU_DATA_IN, 0);
	struct pdu_data_in *h;

	if (!p) {
		buf_put(b);
		return false;
	}
	h = &p->data_in;
	t->burst += len;
	h->flags = 0;
	if (last || t->burst == c->params.max_burst) {
		h->flags = PDU_FINAL;
		t->burst = 0;
	}
	h->itt = be32_make(t->itt);
	h->ttt = be32_make(TAG_RESERVED);
	h->data_sn = be32_make(t->data_sn++);
	h->offset = be32_make(off);
	if (status) {
		set_status(c, t, p);
	} else {
		tx_sn(c, p);
		h->stat_sn = be32_make(0); /* reserved without status */
	}
	c->counters.datain_pdus++;
	tx_end_buf(c, p, b, data, len);
	return true;
}

/* All of a piece; takes the reference of @b. */
static bool send_piece(struct iscsi_task *t, uint32_t off, struct buf *b, uint8_t *data,
		       uint32_t len, bool last, bool status)
{
	struct iscsi_conn *c = t->session->conn;

	for (;;) {
		uint32_t most = min(c->params.max_xmit_dsl, c->params.max_burst - t->burst);
		uint32_t n = min(len, most);
		bool end = n == len;

		if (!send_pdu(c, t, off, end ? b : buf_ref(b), data, n, last && end, status && end)) {
			if (!end)
				buf_put(b);
			return false;
		}
		if (end)
			return true;
		off += n;
		data += n;
		len -= n;
	}
}

void data_in_give(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len)
{
	struct iscsi_task *t = container_of(cmd, struct iscsi_task, cmd);
	struct iscsi_conn *c = t->session->conn;

	if (!len || !c || c->state != CONN_FULL || cmd->abort) {
		buf_put(b);
		return;
	}
	data_in_flush(t, false);
	if (off + len < cmd->transfer) {
		send_piece(t, off, b, data, len, false, false);
		return;
	}
	t->last = b;
	t->last_data = data;
	t->last_off = off;
	t->last_len = len;
}

bool data_in_flush(struct iscsi_task *t, bool status)
{
	struct buf *b = t->last;

	if (!b)
		return false;
	t->last = NULL;
	return send_piece(t, t->last_off, b, t->last_data, t->last_len, true, status) && status;
}

void data_in_drop(struct iscsi_task *t)
{
	buf_put(t->last);
	t->last = NULL;
}
