/* SPDX-License-Identifier: BSD-2-Clause */
/* What the target says. It is believed nothing: a wrong word costs its session. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "load.h"
#include "pattern.h"

#define DROP_MIN 16384u /* bytes from which on a system call of their own is cheaper than a copy */

static struct task *find(struct session *s, uint32_t itt)
{
	uint32_t i = itt & 0xffff;

	if (i >= options.qd || !s->task[i].busy || s->task[i].itt != itt)
		return NULL;
	return &s->task[i];
}

static int begin_data_in(struct session *s)
{
	struct rx *r = &s->rx;
	struct task *t = find(s, be32_get(r->pdu.data_in.itt));
	uint32_t off = be32_get(r->pdu.data_in.offset);

	if (!t || t->write)
		return session_lose(s, "Data-In for unknown task tag %08x",
				    be32_get(r->pdu.data_in.itt));
	if (!range_fits(off, r->data_len, options.block) || r->data_len > options.max_recv)
		return session_lose(s, "Data-In of %u bytes at %u, which is not its task's",
				    r->data_len, off);
	r->task = t;
	r->data_pos = off;
	t->got += r->data_len;
	return 0;
}

/* The header is whole: what follows it? */
static int begin_pdu(struct session *s)
{
	struct rx *r = &s->rx;
	uint32_t len = BHS_LEN + 4u * r->pdu.basic.ahs_len;

	if (s->header_digest && iscsi_digest_load(r->header + len) != iscsi_crc32c(r->header, len))
		return session_lose(s, "wrong header digest");
	r->task = NULL;
	r->data_len = r->data_left = be24_get(r->pdu.basic.data_len);
	r->data_pos = 0;
	r->trailer_len = pdu_pad(r->data_len) + (s->data_digest && r->data_len ? DIGEST_LEN : 0);
	r->trailer_have = 0;
	iscsi_digest_init(&r->digest);
	if ((r->pdu.basic.opcode & PDU_OPCODE) == PDU_DATA_IN)
		return begin_data_in(s);
	return 0;
}

/* True if somebody has to see the data of the PDU under way. */
static bool data_matters(const struct session *s)
{
	return s->data_digest || !s->rx.task || options.verify;
}

static void check_data(struct session *s, const uint8_t *p, uint32_t len)
{
	const struct task *t = s->rx.task;
	struct worker *w = s->worker;

	if (!t->generation)
		return; /* never written by us */
	if (!pattern_equal(p, t->block * options.block + s->rx.data_pos, len, t->generation) &&
	    !w->wrong++)
		fprintf(stderr,
			"load: WRONG DATA in block %llu, generation %u, within %u bytes at %u\n",
			(unsigned long long)t->block, t->generation, len, s->rx.data_pos);
	w->verified += len;
}

static void take_data(struct session *s, const uint8_t *p, uint32_t len)
{
	struct rx *r = &s->rx;

	if (s->data_digest)
		iscsi_digest_add(&r->digest, p, len);
	if (r->task) {
		if (options.verify)
			check_data(s, p, len);
	} else if (r->data_pos < sizeof(r->small)) {
		memcpy(r->small + r->data_pos, p,
		       min(len, (uint32_t)sizeof(r->small) - r->data_pos));
	}
	r->data_pos += len;
}

static int scsi_response(struct session *s, uint64_t now)
{
	const struct pdu_scsi_response *h = &s->rx.pdu.scsi_response;
	struct task *t = find(s, be32_get(h->itt));
	const uint8_t *sense = s->rx.small + 2;

	if (!t)
		return session_lose(s, "response for unknown task tag %08x", be32_get(h->itt));
	if (h->response)
		return session_lose(s, "SCSI Response with response code %u", h->response);
	if (h->status == STATUS_CHECK && !s->worker->check)
		fprintf(stderr, "load: sense key %x, additional sense %02x/%02x\n", sense[2] & 15,
			sense[12], sense[13]);
	complete(s, t, h->status, now);
	return 0;
}

static int ready_to_transfer(struct session *s)
{
	const struct pdu_r2t *h = &s->rx.pdu.r2t;
	struct task *t = find(s, be32_get(h->itt));
	uint32_t off = be32_get(h->offset), len = be32_get(h->desired);

	if (!t || !t->write || !len || !range_fits(off, len, options.block) || len > s->max_burst)
		return session_lose(s, "R2T for %u bytes at %u, task tag %08x: it cannot be", len,
				    off, be32_get(h->itt));
	tx_data_out(s, t, be32_get(h->ttt), off, len);
	return 0;
}

static int async_message(struct session *s)
{
	unsigned event = s->rx.pdu.async.event;

	if (event == ASYNC_SCSI)
		return 0;
	return session_lose(s, "the target wants an end (asynchronous event %u)", event);
}

static int handle(struct session *s, uint64_t now)
{
	const union pdu *h = &s->rx.pdu;

	switch (h->basic.opcode & PDU_OPCODE) {
	case PDU_DATA_IN:
		if (h->basic.flags & DATA_IN_STATUS) {
			s->exp_stat_sn = be32_get(h->response.stat_sn) + 1;
			complete(s, s->rx.task, h->data_in.status, now);
		}
		return 0;
	case PDU_SCSI_RESPONSE:
		s->exp_stat_sn = be32_get(h->response.stat_sn) + 1;
		return scsi_response(s, now);
	case PDU_R2T:
		return ready_to_transfer(s);
	case PDU_NOP_IN:
		if (be32_get(h->nop.itt) == TAG_RESERVED && be32_get(h->nop.ttt) != TAG_RESERVED) {
			tx_nop_answer(s, &h->nop);
			s->worker->nops++;
		}
		return 0;
	case PDU_ASYNC_MESSAGE:
		return async_message(s);
	case PDU_REJECT:
		return session_lose(s, "Reject, reason %02x", h->reject.reason);
	default:
		return session_lose(s, "unexpected opcode %02x", h->basic.opcode);
	}
}

/* Header, data and trailer are here. */
static int end_pdu(struct session *s, uint64_t now)
{
	struct rx *r = &s->rx;
	uint32_t pad = pdu_pad(r->data_len), max = be32_get(r->pdu.response.max_cmd_sn);

	r->state = RX_HEADER;
	if (s->data_digest && r->data_len) {
		iscsi_digest_add(&r->digest, r->trailer, pad);
		if (iscsi_digest_load(r->trailer + pad) != iscsi_digest_value(&r->digest))
			return session_lose(s, "wrong data digest");
	}
	if (serial_lt(s->max_cmd_sn, max))
		s->max_cmd_sn = max;
	return handle(s, now);
}

/* Take of @p what the header still needs; returns how much that was. -1: the session is lost. */
static ssize_t eat_header(struct session *s, const uint8_t *p, size_t n)
{
	struct rx *r = &s->rx;
	uint32_t need = BHS_LEN, digest = s->header_digest ? DIGEST_LEN : 0;
	size_t took;

	if (r->header_have >= BHS_LEN)
		need += 4u * r->pdu.basic.ahs_len + digest;
	took = min(n, (size_t)(need - r->header_have));
	memcpy(r->header + r->header_have, p, took);
	r->header_have += (uint32_t)took;
	if (r->header_have < BHS_LEN ||
	    r->header_have < BHS_LEN + 4u * r->pdu.basic.ahs_len + digest)
		return (ssize_t)took;
	r->header_have = 0;
	if (begin_pdu(s))
		return -1;
	r->state = r->data_left ? RX_DATA : RX_TRAILER;
	return (ssize_t)took;
}

static size_t eat_data(struct session *s, const uint8_t *p, size_t n)
{
	struct rx *r = &s->rx;
	uint32_t took = (uint32_t)min(n, (size_t)r->data_left);

	if (data_matters(s))
		take_data(s, p, took);
	r->data_left -= took;
	if (!r->data_left)
		r->state = RX_TRAILER;
	return took;
}

/* Nothing may be left of @p and the PDU may still end here: a trailer can be empty. */
static ssize_t eat_trailer(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
	struct rx *r = &s->rx;
	size_t took = min(n, (size_t)(r->trailer_len - r->trailer_have));

	if (took)
		memcpy(r->trailer + r->trailer_have, p, took);
	r->trailer_have += (uint32_t)took;
	if (r->trailer_have == r->trailer_len && end_pdu(s, now))
		return -1;
	return (ssize_t)took;
}

static int eat(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
	struct rx *r = &s->rx;
	ssize_t took;

	for (;;) {
		bool can_end = r->state == RX_TRAILER && r->trailer_have == r->trailer_len;

		if (!n && !can_end)
			return 0;
		if (r->state == RX_HEADER)
			took = eat_header(s, p, n);
		else if (r->state == RX_DATA)
			took = (ssize_t)eat_data(s, p, n);
		else
			took = eat_trailer(s, p, n, now);
		if (took < 0)
			return -1;
		p += took;
		n -= (size_t)took;
	}
}

int rx_once(struct session *s, int flags)
{
	struct rx *r = &s->rx;
	bool drop = r->state == RX_DATA && r->data_left >= DROP_MIN && !options.keep_data &&
		    !data_matters(s);
	uint64_t now;
	ssize_t n;

	if (drop)
		n = recv(s->fd, NULL, r->data_left, flags | MSG_TRUNC);
	else
		n = recv(s->fd, s->worker->rx_buf, RX_SIZE, flags);
	bump(&s->worker->receives);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR
			       ? 0
			       : session_lose(s, "receive: %s", strerror(errno));
	if (!n)
		return session_lose(s, "the target closed the connection");
	now = now_ns();
	if (drop) {
		r->data_left -= (uint32_t)n;
		r->state = r->data_left ? RX_DATA : RX_TRAILER;
		n = 0;
	}
	if (eat(s, s->worker->rx_buf, (size_t)n, now))
		return -1;
	issue(s, now);
	return tx_flush(s) ? -1 : 1;
}
