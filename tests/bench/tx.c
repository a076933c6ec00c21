/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands and their data on the way out. */
#include <errno.h>
#include <string.h>

#include "load.h"

#define SEGS_AT_ONCE 1024u /* IOV_MAX */
#define TTT_UNSOLICITED TAG_RESERVED

extern uint8_t *write_data;

static void push(struct tx *t, void *p, size_t len)
{
	struct iovec *v;

	if (t->tail != t->head) {
		v = &t->seg[(t->tail - 1) & t->seg_mask];
		if ((uint8_t *)v->iov_base + v->iov_len == p) {
			v->iov_len += len;
			t->sent_mark[(t->tail - 1) & t->seg_mask] = t->header_next;
			return;
		}
	}
	t->sent_mark[t->tail & t->seg_mask] = t->header_next;
	v = &t->seg[t->tail++ & t->seg_mask];
	v->iov_base = p;
	v->iov_len = len;
}

/* A zeroed header; its memory is free again when it is sent. */
static union pdu *new_header(struct session *s)
{
	struct tx *t = &s->tx;
	uint8_t *h = t->headers + (size_t)(t->header_next & t->header_mask) * t->stride;

	if (t->header_next - t->header_free > t->header_mask)
		die(END_TROUBLE, "the ring of headers is too small"); /* tx_has_room() lies */
	t->header_next++;
	memset(h, 0, BHS_LEN);
	return (union pdu *)h;
}

/* The most headers that one task has queued: a command, and Data-Outs of all its data. */
static uint32_t headers_per_task(const struct session *s)
{
	uint32_t pieces = options.block / s->target_max_recv;

	return 3 + pieces + options.block / s->max_burst;
}

bool tx_has_room(const struct session *s)
{
	uint32_t used = s->tx.header_next - s->tx.header_free;
	uint32_t due = (s->outstanding + 1) * headers_per_task(s);

	return used + due + 8 <= s->tx.header_mask;
}

/* Queue the header @h and @len bytes (a multiple of four) of data. */
static void push_pdu(struct session *s, union pdu *h, const uint8_t *data, uint32_t len)
{
	uint8_t *digest = (uint8_t *)h + BHS_LEN;

	h->basic.data_len = be24_make(len);
	h->request.exp_stat_sn = be32_make(s->exp_stat_sn);
	if (s->header_digest)
		iscsi_digest_store(digest, iscsi_crc32c(h, BHS_LEN));
	push(&s->tx, h, BHS_LEN + (s->header_digest ? DIGEST_LEN : 0));
	if (!len)
		return;
	push(&s->tx, (void *)(uintptr_t)data, len);
	if (s->data_digest) {
		digest = (uint8_t *)h + s->tx.stride - DIGEST_LEN;
		iscsi_digest_store(digest, iscsi_crc32c(data, len));
		push(&s->tx, digest, DIGEST_LEN);
	}
}

static const uint8_t *task_data(const struct task *t)
{
	return t->buf ? t->buf : write_data;
}

void tx_data_out(struct session *s, struct task *t, uint32_t ttt, uint32_t off, uint32_t len)
{
	uint32_t sn = 0;

	while (len) {
		uint32_t n = min_u32(len, s->target_max_recv);
		union pdu *h = new_header(s);

		h->basic.opcode = PDU_DATA_OUT;
		h->basic.flags = n == len ? PDU_FINAL : 0;
		h->basic.lun[1] = (uint8_t)options.lun;
		h->data_out.itt = be32_make(t->itt);
		h->data_out.ttt = be32_make(ttt);
		h->data_out.data_sn = be32_make(sn++);
		h->data_out.offset = be32_make(off);
		push_pdu(s, h, task_data(t) + off, n);
		off += n;
		len -= n;
	}
}

static void make_cdb(uint8_t *cdb, const struct task *t)
{
	uint32_t n = options.block / disk_block;
	uint64_t lba = t->block * n;

	if (lba + n <= UINT32_MAX && n <= UINT16_MAX) {
		cdb[0] = t->write ? 0x2a : 0x28; /* WRITE (10), READ (10) */
		be_store(cdb + 2, 4, lba);
		be_store(cdb + 7, 2, n);
	} else {
		cdb[0] = t->write ? 0x8a : 0x88; /* WRITE (16), READ (16) */
		be_store(cdb + 2, 8, lba);
		be_store(cdb + 10, 4, n);
	}
}

static void send_write(struct session *s, struct task *t, union pdu *h)
{
	uint32_t immediate = 0, unsolicited = 0;

	if (s->immediate)
		immediate = min_u32(min_u32(options.block, s->first_burst), s->target_max_recv);
	if (!s->initial_r2t)
		unsolicited = min_u32(options.block, s->first_burst);
	if (unsolicited < immediate)
		unsolicited = immediate;
	h->basic.flags = COMMAND_WRITE | 1 | (unsolicited == immediate ? PDU_FINAL : 0);
	push_pdu(s, h, task_data(t), immediate);
	if (unsolicited > immediate)
		tx_data_out(s, t, TTT_UNSOLICITED, immediate, unsolicited - immediate);
}

void tx_command(struct session *s, struct task *t, uint64_t now)
{
	union pdu *h = new_header(s);

	t->begun = now;
	t->got = 0;
	t->busy = true;
	t->itt = (uint32_t)(t - s->task) | (++t->serial & 0x7fff) << 16;
	h->command.opcode = PDU_SCSI_COMMAND;
	h->command.lun[1] = (uint8_t)options.lun;
	h->command.itt = be32_make(t->itt);
	h->command.expected_len = be32_make(options.block);
	h->command.cmd_sn = be32_make(s->cmd_sn++);
	make_cdb(h->command.cdb, t);
	if (t->write) {
		send_write(s, t, h);
		return;
	}
	h->command.flags = PDU_FINAL | COMMAND_READ | 1; /* SIMPLE */
	push_pdu(s, h, NULL, 0);
}

void tx_nop_answer(struct session *s, const struct pdu_nop *ping)
{
	union pdu *h = new_header(s);

	h->nop.opcode = PDU_NOP_OUT | PDU_IMMEDIATE;
	h->nop.flags = PDU_FINAL;
	memcpy(h->nop.lun, ping->lun, 8);
	h->nop.itt = be32_make(TAG_RESERVED);
	h->nop.ttt = ping->ttt;
	h->request.cmd_sn = be32_make(s->cmd_sn);
	push_pdu(s, h, NULL, 0);
}

static void sent(struct tx *t, size_t n)
{
	while (n) {
		struct iovec *v = &t->seg[t->head & t->seg_mask];

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= n;
			return;
		}
		n -= v->iov_len;
		t->header_free = t->sent_mark[t->head++ & t->seg_mask];
	}
}

int tx_flush(struct session *s)
{
	struct tx *t = &s->tx;

	t->blocked = false;
	while (t->head != t->tail) {
		uint32_t at = t->head & t->seg_mask;
		uint32_t n = min_u32(t->tail - t->head, t->seg_mask + 1 - at);
		struct msghdr m = { .msg_iov = &t->seg[at], .msg_iovlen = min_u32(n, SEGS_AT_ONCE) };
		ssize_t r = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		bump(&s->worker->sends);
		if (r >= 0) {
			sent(t, (size_t)r);
		} else if (errno == EAGAIN) {
			t->blocked = true;
			return 0;
		} else if (errno != EINTR) {
			return session_lose(s, "send: %s", strerror(errno));
		}
	}
	return 0;
}
