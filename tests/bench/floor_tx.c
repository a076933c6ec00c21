/* SPDX-License-Identifier: BSD-2-Clause */
#include "floor.h"

#include <errno.h>
#include <string.h>

/* Without digests headers lie next to each other, and those without data leave as one segment. */
static size_t stride(const struct conn *c)
{
	return BHS_LEN + (c->header_digest || c->data_digest ? 2 * DIGEST_LEN : 0);
}

static void push(struct conn *c, void *p, size_t len)
{
	struct iovec *v;

	c->queued += len;
	if (c->tail != c->head) {
		v = &c->seg[(c->tail - 1) % SEGS];
		if ((uint8_t *)v->iov_base + v->iov_len == p) {
			v->iov_len += len;
			return;
		}
	}
	v = &c->seg[c->tail++ % SEGS];
	v->iov_base = p;
	v->iov_len = len;
}

union pdu *tx_header(struct conn *c, uint8_t opcode, uint32_t itt, bool advance_stat_sn)
{
	union pdu *h = (union pdu *)(c->headers + (size_t)(c->header_next++ % SEGS) * stride(c));

	memset(h, 0, BHS_LEN);
	h->response.opcode = opcode;
	h->response.flags = PDU_FINAL;
	h->response.itt = be32_make(itt);
	h->response.stat_sn = be32_make(c->stat_sn);
	h->response.exp_cmd_sn = be32_make(c->exp_cmd_sn);
	h->response.max_cmd_sn = be32_make(c->exp_cmd_sn + WINDOW);
	c->stat_sn += advance_stat_sn;
	return h;
}

int tx_pdu(struct conn *c, union pdu *h, uint8_t *data, uint32_t len)
{
	uint8_t *digests = (uint8_t *)h + BHS_LEN;
	uint32_t padded = len + pdu_pad(len);

	if (c->tail - c->head > SEGS - 4)
		return -1; /* more is outstanding than a floor is made for */
	h->basic.data_len = be24_make(len);
	if (c->header_digest)
		iscsi_digest_store(digests, iscsi_crc32c(h, BHS_LEN));
	push(c, h, BHS_LEN + (c->header_digest ? DIGEST_LEN : 0));
	if (len) {
		push(c, data, padded);
		if (c->data_digest) {
			iscsi_digest_store(digests + DIGEST_LEN, iscsi_crc32c(data, padded));
			push(c, digests + DIGEST_LEN, DIGEST_LEN);
		}
	}
	return c->queued >= floor_options.flush_at ? tx_flush(c) : 0;
}

static void sent(struct conn *c, size_t n)
{
	c->queued -= n;
	while (n) {
		struct iovec *v = &c->seg[c->head % SEGS];

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= n;
			return;
		}
		n -= v->iov_len;
		c->head++;
	}
	if (c->head == c->tail)
		c->arena_pos = 0; /* what is in the cache is used again */
}

int tx_flush(struct conn *c)
{
	c->blocked = false;
	while (c->head != c->tail) {
		uint32_t at = c->head % SEGS, n = min_u32(c->tail - c->head, SEGS - at);
		struct msghdr m = { .msg_iov = &c->seg[at], .msg_iovlen = min_u32(n, 1024) };
		ssize_t r = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r >= 0) {
			sent(c, (size_t)r);
		} else if (errno == EAGAIN) {
			c->blocked = true;
			return 0;
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}
