/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/rx_payload.h"

#include <string.h>

#include "base/sgl.h"
#include "transport/iscsi/request.h"

void payload_copy(struct iscsi_task *t, const uint8_t *data, uint32_t len)
{
	struct iovec v[RX_SEGS] = { 0 };
	struct buf *pins[RX_SEGS];
	unsigned n = len ? data_out_place(t, len, v, pins) : 0;

	sgl_copy_in(v, n, 0, data, len);
	while (n)
		buf_put(pins[--n]);
}

/* ---- where it goes -------------------------------------------------------------- */

/* NOP-Out and Text: a buffer of their own. Others have no use for data. */
static void find_own(struct iscsi_conn *c, unsigned opcode)
{
	struct rx_payload *pl = &c->rx.pl;

	if (opcode != PDU_NOP_OUT && opcode != PDU_TEXT_REQUEST)
		return;
	if (pl->len > BUF_MAX)
		return;
	pl->own = bufpool_get(c->part->bufs, pl->len);
	if (!pl->own)
		return;
	pl->dst[0] = (struct iovec){ pl->own->data, pl->len };
	pl->ndst = 1;
}

void payload_begin(struct iscsi_conn *c, const union pdu *p, uint32_t len, uint32_t trailer_len)
{
	struct rx_payload *pl = &c->rx.pl;
	unsigned opcode = p->basic.opcode & PDU_OPCODE;

	*pl = (struct rx_payload){
		.active = true,
		.bhs = *p,
		.len = len,
		.left = len,
		.trailer_len = (uint8_t)trailer_len,
	};
	iscsi_digest_init(&pl->crc);
	if (opcode == PDU_SCSI_COMMAND)
		pl->task = command_begin(c, p, p->bytes + BHS_LEN, p->basic.ahs_len * 4u, len);
	else if (opcode == PDU_DATA_OUT)
		pl->task = data_out_begin(c, p, len);
	else
		find_own(c, opcode);
	if (pl->task)
		pl->ndst = pl->npin = data_out_place(pl->task, len, pl->dst, pl->pin);
}

/* ---- the end of the PDU ------------------------------------------------------------ */

static void unpin(struct rx_payload *pl)
{
	while (pl->npin)
		buf_put(pl->pin[--pl->npin]);
}

static bool digest_ok(const struct iscsi_conn *c, const struct rx_payload *pl)
{
	uint32_t pad = pdu_pad(pl->len);
	struct iscsi_digest crc = pl->crc;

	if (!c->data_digest || !pl->ndst) /* what is thrown away is not looked at */
		return true;
	iscsi_digest_add(&crc, pl->trailer, pad);
	return iscsi_digest_value(&crc) == iscsi_digest_load(pl->trailer + pad);
}

static void other_complete(struct iscsi_conn *c, const union pdu *p, struct buf *own, uint32_t len,
			   bool ok)
{
	if (!ok) {
		part_count(c->part, digest_errors, 1);
		request_reject(c, p, REJECT_DATA_DIGEST);
	} else if (own) {
		request_arrived(c, p, own, own->data, len);
	} else {
		/* RFC 7143 11.17.1: out of resources, or data that this type does not take */
		request_reject(c, p, REJECT_RESOURCES);
	}
	buf_put(own);
}

static void complete(struct iscsi_conn *c)
{
	struct rx_payload *pl = &c->rx.pl;
	unsigned opcode = pl->bhs.basic.opcode & PDU_OPCODE;
	bool ok = digest_ok(c, pl);
	struct iscsi_task *t = pl->task;
	struct buf *own = pl->own;
	union pdu bhs = pl->bhs;

	pl->active = false;
	pl->task = NULL;
	pl->own = NULL;
	unpin(pl);
	if (opcode == PDU_SCSI_COMMAND) {
		if (t)
			command_arrived(t, &bhs, pl->len, ok);
	} else if (opcode == PDU_DATA_OUT) {
		if (t)
			data_out_arrived(c, &bhs, pl->len, ok);
	} else {
		other_complete(c, &bhs, own, pl->len, ok);
	}
}

static void maybe_complete(struct iscsi_conn *c)
{
	struct rx_payload *pl = &c->rx.pl;

	if (!pl->left && pl->trailer_got == pl->trailer_len)
		complete(c);
}

/* ---- its bytes ---------------------------------------------------------------------- */

/* The next @n bytes are in their destination. */
static void advance(struct iscsi_conn *c, uint32_t n)
{
	struct rx_payload *pl = &c->rx.pl;

	pl->left -= n;
	while (n && pl->at < pl->ndst) {
		struct iovec *v = &pl->dst[pl->at];
		uint32_t part = (uint32_t)min((size_t)n, v->iov_len);

		if (c->data_digest)
			iscsi_digest_add(&pl->crc, v->iov_base, part);
		v->iov_base = (uint8_t *)v->iov_base + part;
		v->iov_len -= part;
		n -= part;
		if (!v->iov_len)
			pl->at++;
	}
}

uint32_t payload_take(struct iscsi_conn *c, const uint8_t *data, uint32_t n)
{
	struct rx_payload *pl = &c->rx.pl;
	uint32_t body = min(n, pl->left);
	uint32_t trailer = min(n - body, (uint32_t)(pl->trailer_len - pl->trailer_got));

	sgl_copy_in(pl->dst + pl->at, pl->ndst - pl->at, 0, data, body);
	advance(c, body);
	memcpy(pl->trailer + pl->trailer_got, data + body, trailer);
	pl->trailer_got += (uint8_t)trailer;
	maybe_complete(c);
	return body + trailer;
}

unsigned payload_iov(struct iscsi_conn *c, struct iovec *v, bool *all)
{
	struct rx_payload *pl = &c->rx.pl;
	uint32_t left = pl->left;
	unsigned n = 0;

	*all = true;
	for (unsigned i = pl->at; i < pl->ndst; i++)
		v[n++] = pl->dst[i];
	if (!pl->ndst) {
		/* thrown away: all into the same memory, which nobody reads */
		while (left && n < RX_SEGS) {
			uint32_t part = min(left, SCRATCH_SIZE);

			v[n++] = (struct iovec){ c->part->scratch, part };
			left -= part;
		}
		if (left) {
			*all = false;
			return n;
		}
	}
	if (pl->trailer_got < pl->trailer_len)
		v[n++] = (struct iovec){ pl->trailer + pl->trailer_got,
					 (size_t)(pl->trailer_len - pl->trailer_got) };
	return n;
}

uint32_t payload_received(struct iscsi_conn *c, uint32_t n)
{
	struct rx_payload *pl = &c->rx.pl;
	uint32_t body = min(n, pl->left);
	uint32_t trailer = min(n - body, (uint32_t)(pl->trailer_len - pl->trailer_got));

	advance(c, body);
	pl->trailer_got += (uint8_t)trailer;
	maybe_complete(c);
	return body + trailer;
}

void payload_clear(struct iscsi_conn *c)
{
	unpin(&c->rx.pl);
	buf_put(c->rx.pl.own);
	c->rx.pl.own = NULL;
	c->rx.pl.task = NULL;
	c->rx.pl.active = false;
}
