/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/rx.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/sgl.h"
#include "transport/iscsi/request.h"
#include "transport/iscsi/rx_payload.h"

static void rx_go(struct iscsi_conn *c);

/* ---- memory ------------------------------------------------------------------- */

static void use_memory(struct rx *rx, struct buf *b)
{
	rx->b = b;
	rx->mem = b ? b->data : rx->small;
	rx->cap = b ? b->size : RX_SMALL;
}

static struct buf *new_buffer(struct iscsi_conn *c)
{
	struct bufpool *bufs = c->part->bufs;
	struct buf *b = NULL;

	if (c->rx.large && bufpool_ample(bufs))
		b = bufpool_get(bufs, RX_BUFFER_LARGE);
	return b ? b : bufpool_get(bufs, RX_BUFFER);
}

/* Go on in a new buffer (or, without memory, in rx.small) with what is not parsed yet. */
static bool renew(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;
	uint32_t rest = rx->tail - rx->head;
	struct buf *old = rx->b, *b = new_buffer(c);
	uint8_t *from = rx->mem + rx->head;

	if (!b && rest > RX_SMALL)
		return false;
	use_memory(rx, b);
	memmove(rx->mem, from, rest);
	rx->head = 0;
	rx->tail = rest;
	buf_put(old);
	return true;
}

/* Room for @want bytes from rx->head on. False: not to be had, nothing changed. */
static bool make_room(struct iscsi_conn *c, uint32_t want)
{
	struct rx *rx = &c->rx;

	if (rx->head + want <= rx->cap)
		return true;
	if (want > RX_BUFFER)
		return false;
	if (want <= rx->cap && (!rx->b || rx->b->users == 1)) {
		memmove(rx->mem, rx->mem + rx->head, rx->tail - rx->head);
		rx->tail -= rx->head;
		rx->head = 0;
		return true;
	}
	return renew(c) && want <= rx->cap;
}

/* Of another size than the next one should be. */
static bool misfits(const struct rx *rx)
{
	return rx->large ? rx->cap < RX_BUFFER_LARGE : rx->cap > RX_BUFFER;
}

/* Before a receive: memory behind rx->tail. */
static void prepare_memory(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;

	if (rx->head == rx->tail && rx->b && rx->b->users == 1)
		rx->head = rx->tail = 0;
	if (!rx->b || (!rx->tail && misfits(rx)) ||
	    (rx->cap - rx->tail < rx->cap / 4 && rx->tail - rx->head <= RX_SMALL))
		renew(c);
	if (rx->b)
		part_watch(c->part);
}

/* ---- one PDU ---------------------------------------------------------------------- */

static uint32_t header_len(const struct iscsi_conn *c, const union pdu *p)
{
	return BHS_LEN + p->basic.ahs_len * 4u + (c->header_digest ? DIGEST_LEN : 0);
}

/* Bytes that follow @len bytes of data. */
static uint32_t trailer_len(const struct iscsi_conn *c, uint32_t len)
{
	return len ? pdu_pad(len) + (c->data_digest ? DIGEST_LEN : 0) : 0;
}

static bool header_correct(const struct iscsi_conn *c, const union pdu *p)
{
	uint32_t n = BHS_LEN + p->basic.ahs_len * 4u;

	return !c->header_digest ||
	       iscsi_digest_load((const uint8_t *)p + n) == iscsi_crc32c(p->bytes, n);
}

static bool data_correct(const struct iscsi_conn *c, const uint8_t *data, uint32_t len)
{
	uint32_t n = len + pdu_pad(len);

	return !c->data_digest || !len || iscsi_digest_load(data + n) == iscsi_crc32c(data, n);
}

/* What no PDU of an initiator may have. NULL: fine. */
static const char *header_fault(const struct iscsi_conn *c, const union pdu *p)
{
	unsigned opcode = p->basic.opcode & PDU_OPCODE;

	/* RFC 7143 6.8: without a correct header, where the next PDU begins is unknown */
	if (!header_correct(c, p)) {
		part_count(c->part, digest_errors, 1);
		return "header digest error";
	}
	if (be24_get(p->basic.data_len) > c->params.max_recv_dsl)
		return "a PDU with more data than MaxRecvDataSegmentLength";
	if (opcode == PDU_LOGIN_REQUEST)
		return "a Login Request in full feature phase";
	if (p->basic.ahs_len && opcode != PDU_SCSI_COMMAND)
		return "an additional header segment that is not a SCSI Command's";
	return NULL;
}

/* The answers of a peer that does not take them need memory without bound. */
static bool asks_too_much(struct iscsi_conn *c, unsigned opcode)
{
	if (likely(c->tx.queued <= TX_FULL) || opcode == PDU_DATA_OUT)
		return false;
	c->tx.beyond += opcode == PDU_SCSI_COMMAND ? 1 : TX_BEYOND_OTHER;
	return c->tx.beyond > TX_BEYOND_MAX;
}

/* False: the connection closes. */
static bool count_pdu(struct iscsi_conn *c, const union pdu *p)
{
	log_debug("iscsi: %s: PDU %02xh, flags %02xh, ITT %xh, %u bytes", c->peer, p->basic.opcode,
		  p->basic.flags, be32_get(p->basic.itt), be24_get(p->basic.data_len));
	c->nop_sent = 0;
	if ((p->basic.opcode & PDU_OPCODE) == PDU_SCSI_COMMAND)
		c->counters.cmd_pdus++;
	else if ((p->basic.opcode & PDU_OPCODE) == PDU_DATA_OUT)
		c->counters.dataout_pdus++;
	if (unlikely(asks_too_much(c, p->basic.opcode & PDU_OPCODE))) {
		conn_violation(c, "it asks for more and more, and takes no answers");
		return false;
	}
	return true;
}

/* A SCSI Command with all its data in the receive buffer. */
static void command_whole(struct iscsi_conn *c, const union pdu *p, const uint8_t *ahs,
			  uint8_t *data, uint32_t len)
{
	struct iscsi_task *t = command_begin(c, p, ahs, p->basic.ahs_len * 4u, len);

	if (!t)
		return;
	if (len && c->rx.b && command_may_pin(t, len))
		command_pin(t, c->rx.b, data, len);
	else if (len)
		payload_copy(t, data, len);
	command_arrived(t, p, len, data_correct(c, data, len));
}

static void data_out_whole(struct iscsi_conn *c, const union pdu *p, const uint8_t *data,
			   uint32_t len)
{
	struct iscsi_task *t = data_out_begin(c, p, len);

	if (!t)
		return;
	payload_copy(t, data, len);
	data_out_arrived(c, p, len, data_correct(c, data, len));
}

static void other_whole(struct iscsi_conn *c, const union pdu *p, uint8_t *data, uint32_t len)
{
	if (data_correct(c, data, len)) {
		request_arrived(c, p, c->rx.b, data, len);
		return;
	}
	part_count(c->part, digest_errors, 1);
	request_reject(c, p, REJECT_DATA_DIGEST);
}

/* @p is complete: header, additional header, @len bytes of data at @data. */
static void deliver(struct iscsi_conn *c, const union pdu *p, uint8_t *data, uint32_t len)
{
	switch (p->basic.opcode & PDU_OPCODE) {
	case PDU_SCSI_COMMAND:
		command_whole(c, p, p->bytes + BHS_LEN, data, len);
		break;
	case PDU_DATA_OUT:
		data_out_whole(c, p, data, len);
		break;
	default:
		other_whole(c, p, data, len);
		break;
	}
}

/* ---- parsing -------------------------------------------------------------------------- */

enum parsed {
	PARSE_NEXT, /* one PDU is done: there may be another */
	PARSE_MORE, /* receive */
	PARSE_STOP, /* closing */
};

static enum parsed parse_payload(struct iscsi_conn *c, uint32_t hlen)
{
	struct rx *rx = &c->rx;
	union pdu *p = (union pdu *)(rx->mem + rx->head);
	uint32_t len = be24_get(p->basic.data_len), avail = rx->tail - rx->head;
	uint32_t total = hlen + len + trailer_len(c, len);

	if (avail >= total) {
		uint8_t *data = rx->mem + rx->head + hlen;

		rx->head += total;
		if (count_pdu(c, p))
			deliver(c, p, data, len);
		return c->state == CONN_FULL ? PARSE_NEXT : PARSE_STOP;
	}
	/* a short one comes whole into the buffer: used where it lies, it is never copied */
	if (rx->head + total <= rx->cap && len <= RX_BUFFER)
		return PARSE_MORE;
	if (total - avail <= RX_IN_PLACE && make_room(c, total))
		return PARSE_MORE;
	p = (union pdu *)(rx->mem + rx->head);
	rx->head += hlen;
	if (count_pdu(c, p))
		payload_begin(c, p, len, trailer_len(c, len));
	return c->state == CONN_FULL ? PARSE_NEXT : PARSE_STOP;
}

static enum parsed parse_header(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;
	uint32_t avail = rx->tail - rx->head, hlen;
	union pdu *p = (union pdu *)(rx->mem + rx->head);
	const char *fault;

	if (avail < BHS_LEN) {
		make_room(c, BHS_LEN);
		return PARSE_MORE;
	}
	hlen = header_len(c, p);
	if (avail < hlen) {
		make_room(c, hlen);
		return PARSE_MORE;
	}
	fault = header_fault(c, p);
	if (unlikely(fault)) {
		conn_violation(c, fault);
		return PARSE_STOP;
	}
	return parse_payload(c, hlen);
}

static enum parsed parse_one(struct iscsi_conn *c)
{
	if (!c->rx.pl.active)
		return parse_header(c);
	c->rx.head += payload_take(c, c->rx.mem + c->rx.head, c->rx.tail - c->rx.head);
	if (c->state != CONN_FULL)
		return PARSE_STOP;
	return c->rx.pl.active ? PARSE_MORE : PARSE_NEXT;
}

/* Nothing new is begun while the peer does not take its responses, unless it owes data. */
static bool tx_is_full(const struct iscsi_conn *c)
{
	return c->tx.queued > TX_FULL && !c->owed && !c->rx.pl.active;
}

static void parse(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;
	unsigned pdus = 0;
	uint32_t from = rx->head;
	enum parsed r;

	do {
		if (unlikely(tx_is_full(c))) {
			rx->paused = true;
			return;
		}
		if (rx->head < from)
			from = rx->head;
		if (pdus++ == RX_TURN_COMMANDS || rx->head - from > RX_TURN_BYTES) {
			reactor_later(c->part->reactor, &rx->more, LATER_SEND);
			return;
		}
		r = parse_one(c);
	} while (r == PARSE_NEXT);
	if (r == PARSE_MORE)
		rx_go(c);
}

static void go_on(struct later *l)
{
	struct iscsi_conn *c = container_of(l, struct iscsi_conn, rx.more);

	if (c->state == CONN_FULL)
		parse(c);
}

void rx_resume(struct iscsi_conn *c)
{
	if (c->state != CONN_FULL)
		return;
	c->rx.paused = false;
	reactor_later(c->part->reactor, &c->rx.more, LATER_SEND);
}

/* ---- receiving -------------------------------------------------------------------------- */

/* @n bytes came into the buffer. Those who fill it get a large one: fewer, larger batches. */
static void size_up(struct rx *rx, uint32_t n)
{
	if (n == rx->offered && n >= RX_BUFFER / 4) {
		rx->large = true;
		rx->calm = 0;
	} else if (n > RX_BUFFER) {
		rx->calm = 0;
	} else if (rx->large && ++rx->calm == RX_CALM) {
		rx->large = false;
	}
}

static void received(struct io_op *op, int res)
{
	struct iscsi_conn *c = container_of(op, struct iscsi_conn, rx.op);
	struct rx *rx = &c->rx;
	uint32_t n;

	if (c->state != CONN_FULL) {
		conn_op_done(c);
		return;
	}
	if (rx->parking && res == -ECANCELED) {
		rx_go(c);
		return;
	}
	rx->parking = false;
	if (unlikely(res <= 0 && res != -EINTR && res != -EAGAIN)) {
		conn_close(c, !res || res == -ECONNRESET ? NULL : strerror(-res));
		return;
	}
	c->heard = reactor_now(c->part->reactor);
	n = res > 0 ? (uint32_t)res : 0;
	c->counters.rx_bytes += n;
	if (rx->pl.active)
		n -= payload_received(c, n);
	size_up(rx, n);
	rx->tail += n;
	parse(c);
}

static void readable(struct io_op *op, int res)
{
	struct iscsi_conn *c = container_of(op, struct iscsi_conn, rx.op);

	c->rx.polling = false;
	if (c->state != CONN_FULL)
		conn_op_done(c);
	else if (res < 0)
		conn_close(c, strerror(-res));
	else
		rx_go(c);
}

static void submit_poll(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;

	buf_put(rx->b);
	use_memory(rx, NULL);
	rx->head = rx->tail = 0;
	rx->parking = false;
	rx->polling = true;
	rx->op = (struct io_op){ .done = readable, .verb = IO_POLL, .fd = c->fd };
	rx->op.events = POLLIN;
	io_submit(c->part->reactor, &rx->op);
}

/* Receive what comes next. */
static void rx_go(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;
	unsigned n = 0;
	uint32_t room;
	bool all;

	if (io_pending(&rx->op) || c->state != CONN_FULL)
		return;
	if (rx->parking) {
		submit_poll(c);
		return;
	}
	prepare_memory(c);
	room = rx->cap - rx->tail;
	if (rx->pl.active) {
		n = payload_iov(c, rx->iov, &all);
		/* what follows a short one may be whole; what follows a long one has to be copied */
		if (rx->pl.len > RX_BUFFER)
			room = min(room, RX_AFTER);
		room = all ? room : 0;
	}
	rx->offered = room;
	if (room)
		rx->iov[n++] = (struct iovec){ rx->mem + rx->tail, room };
	rx->msg = (struct msghdr){ .msg_iov = rx->iov, .msg_iovlen = n };
	rx->op.done = received;
	rx->op.verb = IO_RECVMSG;
	rx->op.fd = c->fd;
	rx->op.msg = &rx->msg;
	io_submit(c->part->reactor, &rx->op);
}

void rx_park(struct iscsi_conn *c)
{
	struct rx *rx = &c->rx;

	if (!rx->b || rx->b->users != 1 || rx->head != rx->tail || rx->pl.active || rx->parking ||
	    rx->polling || !io_pending(&rx->op))
		return;
	rx->parking = true;
	io_cancel(&rx->op);
}

void rx_init(struct iscsi_conn *c)
{
	use_memory(&c->rx, NULL);
	later_init(&c->rx.more, go_on);
}

void rx_start(struct iscsi_conn *c)
{
	c->heard = reactor_now(c->part->reactor);
	c->rx.op = (struct io_op){ 0 };
	rx_go(c);
}

void rx_clear(struct iscsi_conn *c)
{
	later_cancel(&c->rx.more);
	payload_clear(c);
	buf_put(c->rx.b);
	use_memory(&c->rx, NULL);
}

void rx_forget_task(struct iscsi_conn *c, const struct iscsi_task *t)
{
	if (c->rx.pl.task == t)
		c->rx.pl.task = NULL;
}
