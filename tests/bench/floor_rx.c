/* SPDX-License-Identifier: BSD-2-Clause */
#include "floor.h"

#include <errno.h>
#include <string.h>

static int begin_pdu(struct conn *c)
{
	uint8_t op = c->header.basic.opcode & PDU_OPCODE;

	if (c->header_digest &&
	    iscsi_digest_load(c->header_digest_bytes) != iscsi_crc32c(&c->header, BHS_LEN))
		return -1;
	c->data_left = c->data_len = be24_get(c->header.basic.data_len);
	c->trailer_len = pdu_pad(c->data_len) + (c->data_digest && c->data_len ? DIGEST_LEN : 0);
	c->trailer_have = 0;
	c->text_len = 0;
	c->task = NULL;
	iscsi_digest_init(&c->digest);
	if (c->header.basic.ahs_len)
		return -1;
	if (op == PDU_SCSI_COMMAND || op == PDU_DATA_OUT)
		return write_begins(c);
	return c->data_len < sizeof(c->text) ? 0 : -1;
}

static int nop_out(struct conn *c)
{
	uint32_t itt = be32_get(c->header.nop.itt);
	union pdu *h;

	if (itt == TAG_RESERVED)
		return 0;
	h = tx_header(c, PDU_NOP_IN, itt, true);
	h->nop.ttt = be32_make(TAG_RESERVED);
	return tx_pdu(c, h, NULL, 0);
}

static int handle(struct conn *c)
{
	switch (c->header.basic.opcode & PDU_OPCODE) {
	case PDU_SCSI_COMMAND:
		return scsi_command(c);
	case PDU_DATA_OUT:
		return write_goes_on(c);
	case PDU_LOGIN_REQUEST:
		return login_request(c);
	case PDU_NOP_OUT:
		return nop_out(c);
	case PDU_LOGOUT_REQUEST:
		c->closing = true;
		return tx_pdu(c,
			      tx_header(c, PDU_LOGOUT_RESPONSE,
					be32_get(c->header.logout_request.itt), true),
			      NULL, 0);
	default:
		return -1;
	}
}

static int end_pdu(struct conn *c)
{
	uint32_t pad = pdu_pad(c->data_len);

	c->state = RX_HEADER;
	c->header_have = 0;
	if (c->data_digest && c->data_len) {
		iscsi_digest_add(&c->digest, c->trailer, pad);
		if (iscsi_digest_load(c->trailer + pad) != iscsi_digest_value(&c->digest))
			return -1;
	}
	return handle(c);
}

static uint32_t eat_header(struct conn *c, const uint8_t *p, size_t n, int *err)
{
	uint32_t all = BHS_LEN + (c->header_digest ? DIGEST_LEN : 0), took;

	if (c->header_have < BHS_LEN) {
		took = min_u32(BHS_LEN - c->header_have, (uint32_t)n);
		memcpy(c->header.bytes + c->header_have, p, took);
	} else {
		took = min_u32(all - c->header_have, (uint32_t)n);
		memcpy(c->header_digest_bytes + (c->header_have - BHS_LEN), p, took);
	}
	c->header_have += took;
	if (c->header_have == all) {
		*err = begin_pdu(c);
		c->state = c->data_left ? RX_DATA : RX_TRAILER;
	}
	return took;
}

static uint32_t eat_data(struct conn *c, const uint8_t *p, size_t n, int *err)
{
	uint32_t took = min_u32(c->data_left, (uint32_t)n);

	if (c->data_digest)
		iscsi_digest_add(&c->digest, p, took);
	if (c->task) {
		*err = write_data(c, p, took);
	} else {
		memcpy(c->text + c->text_len, p, took);
		c->text_len += took;
	}
	c->data_left -= took;
	if (!c->data_left)
		c->state = RX_TRAILER;
	return took;
}

static uint32_t eat_trailer(struct conn *c, const uint8_t *p, size_t n, int *err)
{
	uint32_t took = min_u32(c->trailer_len - c->trailer_have, (uint32_t)n);

	if (took)
		memcpy(c->trailer + c->trailer_have, p, took);
	c->trailer_have += took;
	if (c->trailer_have == c->trailer_len)
		*err = end_pdu(c);
	return took;
}

static int eat(struct conn *c, const uint8_t *p, size_t n)
{
	int err = 0;

	while (!err && (n || (c->state == RX_TRAILER && c->trailer_have == c->trailer_len))) {
		uint32_t took;

		if (c->state == RX_HEADER)
			took = eat_header(c, p, n, &err);
		else if (c->state == RX_DATA)
			took = eat_data(c, p, n, &err);
		else
			took = eat_trailer(c, p, n, &err);
		p += took;
		n -= took;
	}
	return err;
}

int rx_once(struct conn *c)
{
	ssize_t n = recv(c->fd, c->rx_buf, RX_SIZE, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (!n || eat(c, c->rx_buf, (size_t)n))
		return -1;
	return tx_flush(c);
}
