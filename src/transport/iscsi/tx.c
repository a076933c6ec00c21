/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/tx.h"

#include <errno.h>

#include "transport/iscsi/observe.h"
#include "transport/iscsi/session.h"

#define PDU_OVERHEAD (BHS_LEN + 3 * DIGEST_LEN) /* header, its digest, padding, data digest */

static void tx_send(struct iscsi_conn *c);

static void send_later(struct later *l)
{
	tx_send(container_of(l, struct iscsi_conn, tx.later));
}

static struct tx_chunk *chunk_add(struct iscsi_conn *c)
{
	struct tx_chunk *k = pool_get(&c->part->chunks);

	if (!k)
		return NULL;
	k->next = NULL;
	k->first = k->n = 0;
	k->used = 0;
	if (c->tx.tail)
		c->tx.tail->next = k;
	else
		c->tx.head = k;
	c->tx.tail = k;
	return k;
}

static void chunk_pop(struct iscsi_conn *c)
{
	struct tx_chunk *k = c->tx.head;

	c->tx.head = k->next;
	if (!k->next)
		c->tx.tail = NULL;
	pool_put(&c->part->chunks, k);
}

/* The tail, with room for one more PDU. */
static struct tx_chunk *chunk_for(struct iscsi_conn *c, uint32_t room)
{
	struct tx_chunk *k = c->tx.tail;

	if (likely(k && k->n + 3 <= TX_SEGS && k->used + PDU_OVERHEAD + room <= TX_MEM))
		return k;
	return chunk_add(c);
}

union pdu *tx_begin(struct iscsi_conn *c, uint8_t opcode, uint32_t room)
{
	struct tx_chunk *k;
	union pdu *p;

	if (unlikely(!conn_open(c)))
		return NULL;
	k = chunk_for(c, room);
	if (unlikely(!k)) {
		conn_close(c, "no memory for its responses");
		return NULL;
	}
	p = (union pdu *)&k->mem[k->used];
	*p = (union pdu){ .bytes = { opcode, PDU_FINAL } };
	return p;
}

uint8_t *tx_data(const struct iscsi_conn *c, union pdu *p)
{
	return (uint8_t *)p + BHS_LEN + (c->header_digest ? DIGEST_LEN : 0);
}

/* Queue @len bytes of the tail's memory, which follow what it has used. */
static void add_mem(struct iscsi_conn *c, uint32_t len)
{
	struct tx_chunk *k = c->tx.tail;
	unsigned taken = k == c->tx.head ? k->first + c->tx.inflight : 0;
	uint8_t *at = &k->mem[k->used];
	struct iovec *prev = k->n > taken ? &k->iov[k->n - 1] : NULL;

	if (prev && !k->buf[k->n - 1] && (uint8_t *)prev->iov_base + prev->iov_len == at) {
		prev->iov_len += len;
	} else {
		k->iov[k->n] = (struct iovec){ at, len };
		k->buf[k->n++] = NULL;
	}
	k->used += len;
	c->tx.queued += len;
}

/* Complete the header for @len bytes of data; returns its length with digest. */
static uint32_t seal_header(struct iscsi_conn *c, union pdu *p, uint32_t len)
{
	p->basic.data_len = be24_make(len);
	if (!c->header_digest)
		return BHS_LEN;
	iscsi_digest_store(p->bytes + BHS_LEN, iscsi_crc32c(p->bytes, BHS_LEN));
	return BHS_LEN + DIGEST_LEN;
}

/* Padding and digest of @len bytes at @data go to @to; returns how many. */
static uint32_t seal_data(struct iscsi_conn *c, uint8_t *to, const uint8_t *data, uint32_t len)
{
	uint32_t pad = pdu_pad(len);
	struct iscsi_digest d;

	memset(to, 0, pad);
	if (!c->data_digest)
		return pad;
	iscsi_digest_init(&d);
	iscsi_digest_add(&d, data, len);
	iscsi_digest_add(&d, to, pad);
	iscsi_digest_store(to + pad, iscsi_digest_value(&d));
	return pad + DIGEST_LEN;
}

static void queued(struct iscsi_conn *c)
{
	struct tx *tx = &c->tx;

	if (io_pending(&tx->op))
		return;
	if (tx->queued >= TX_BATCH)
		tx_send(c);
	else
		reactor_later(c->part->reactor, &tx->later, LATER_SEND);
}

void tx_end(struct iscsi_conn *c, union pdu *p, uint32_t len)
{
	uint32_t total = seal_header(c, p, len);

	if (len) {
		uint8_t *data = (uint8_t *)p + total; /* in the same chunk, tx_begin() saw to it */

		total += len + seal_data(c, data + len, data, len);
	}
	add_mem(c, total);
	queued(c);
}

void tx_end_buf(struct iscsi_conn *c, union pdu *p, struct buf *b, uint8_t *data, uint32_t len)
{
	struct tx_chunk *k = c->tx.tail;
	uint32_t trailer;

	add_mem(c, seal_header(c, p, len));
	k->iov[k->n] = (struct iovec){ data, len };
	k->buf[k->n++] = b;
	c->tx.queued += len;
	if (b->release) {
		c->tx.lent_end = c->counters.tx_bytes + c->tx.queued;
		c->session->nexus->lending = true;
	}
	trailer = seal_data(c, &k->mem[k->used], data, len);
	if (trailer)
		add_mem(c, trailer);
	queued(c);
}

void tx_sn(struct iscsi_conn *c, union pdu *p)
{
	p->response.stat_sn = be32_make(c->stat_sn);
	p->response.max_cmd_sn = be32_make(session_max_cmd_sn(c->session));
	p->response.exp_cmd_sn = be32_make(c->session->exp_cmd_sn);
}

void tx_status_sn(struct iscsi_conn *c, union pdu *p)
{
	tx_sn(c, p);
	c->stat_sn++;
}

/* Segments that the kernel has taken go; their buffers are returned. */
static void consume(struct iscsi_conn *c, size_t n)
{
	struct tx_chunk *k = c->tx.head;

	c->tx.queued -= n;
	c->counters.tx_bytes += n;
	c->tx.moved += n;
	if (c->tx.moved >= TX_FULL || !c->tx.queued)
		c->tx.moved = c->tx.beyond = 0;
	while (k->first < k->n && n >= k->iov[k->first].iov_len) {
		n -= k->iov[k->first].iov_len;
		buf_put(k->buf[k->first++]);
	}
	if (n) {
		k->iov[k->first].iov_base = (uint8_t *)k->iov[k->first].iov_base + n;
		k->iov[k->first].iov_len -= n;
	}
	if (k->first == k->n)
		chunk_pop(c);
}

/*
 * A file was cut, or its medium failed, between the look at its mapping and the send. Where
 * the stream broke off nothing else can follow; the initiator asks again and is told then.
 */
static void faulted(struct iscsi_conn *c)
{
	struct tx_chunk *k = c->tx.head;

	for (unsigned i = k->first; i < k->n; i++)
		if (k->buf[i] && k->buf[i]->release)
			k->buf[i]->faulted = true;
	conn_close(c, "data that it was promised is gone: the file of its unit was cut or cannot "
		      "be read");
}

static void sent(struct io_op *op, int res)
{
	struct iscsi_conn *c = container_of(op, struct iscsi_conn, tx.op);

	c->tx.inflight = 0;
	if (c->state == CONN_CLOSING) {
		conn_op_done(c);
		return;
	}
	if (unlikely(res == -EFAULT)) {
		faulted(c);
		return;
	}
	if (unlikely(res < 0 && res != -EINTR && res != -EAGAIN)) {
		conn_close(c, res == -EPIPE || res == -ECONNRESET ? NULL : strerror(-res));
		return;
	}
	if (likely(res > 0)) {
		c->tx.progress = reactor_now(c->part->reactor);
		consume(c, (size_t)res);
		OBSERVE_CONN(c, connection__sent, (int)min(c->tx.queued, (size_t)INT32_MAX),
			     (uint32_t)res, res, c->tx.queued);
		if (c->tx.lent_end && c->counters.tx_bytes >= c->tx.lent_end) {
			c->tx.lent_end = 0;
			nexus_sent(c->session->nexus);
		}
	}
	if (c->tx.queued)
		tx_send(c);
	else
		conn_flushed(c);
	if (c->rx.paused && c->tx.queued < TX_FULL / 2)
		rx_resume(c);
}

static void tx_send(struct iscsi_conn *c)
{
	struct tx *tx = &c->tx;
	struct tx_chunk *k = tx->head;

	if (!k || io_pending(&tx->op) || c->state == CONN_CLOSING)
		return;
	later_cancel(&tx->later);
	if (c->session)
		c->session->batch = 0;
	tx->inflight = k->n - k->first;
	tx->msg = (struct msghdr){ .msg_iov = &k->iov[k->first], .msg_iovlen = tx->inflight };
	tx->op.done = sent;
	tx->op.verb = IO_SENDMSG;
	tx->op.fd = c->fd;
	tx->op.msg = &tx->msg;
	tx->progress = reactor_now(c->part->reactor);
	part_watch(c->part);
	io_submit(c->part->reactor, &tx->op);
}

void tx_init(struct iscsi_conn *c)
{
	later_init(&c->tx.later, send_later);
}

void tx_clear(struct iscsi_conn *c)
{
	later_cancel(&c->tx.later);
	while (c->tx.head) {
		struct tx_chunk *k = c->tx.head;

		while (k->first < k->n)
			buf_put(k->buf[k->first++]);
		chunk_pop(c);
	}
	c->tx.queued = 0;
}
