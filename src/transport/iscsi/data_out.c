/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data-out of a SCSI task: immediate data, unsolicited Data-Out, and what is
 * asked for by R2T (RFC 7143 11.7, 11.8). All arrives in ascending order, as
 * DataPDUInOrder and DataSequenceInOrder are Yes: one offset says what is there.
 * An R2T is sent only for memory that the task holds already.
 */
#include <string.h>

#include "base/log.h"
#include "base/sgl.h"
#include "sam/lu.h"
#include "transport/iscsi/request.h"
#include "transport/iscsi/rx.h"
#include "transport/iscsi/session.h"

#define LEAST KIB(64) /* of memory, when there is little */

static void go_on(struct iscsi_task *t);

/* ---- memory ----------------------------------------------------------------------- */

static void add_seg(struct iscsi_task *t, struct buf *b, uint32_t len)
{
	t->seg[t->nseg] = (struct iovec){ b->data, len };
	t->seg_buf[t->nseg++] = b;
	t->seg_end += len;
}

static void free_segs(struct iscsi_task *t)
{
	while (t->nseg)
		buf_put(t->seg_buf[--t->nseg]);
	t->seg_base = t->seg_end;
}

/* Segments that lie before buffer offset @off are of no use any more, once they have their data. */
static void drop_before(struct iscsi_task *t, uint32_t off)
{
	unsigned n = 0;

	off = min(off, t->received);
	while (n < t->nseg && t->seg_base + t->seg[n].iov_len <= off) {
		t->seg_base += (uint32_t)t->seg[n].iov_len;
		buf_put(t->seg_buf[n++]);
	}
	if (!n)
		return;
	t->nseg -= n;
	memmove(t->seg, t->seg + n, t->nseg * sizeof(*t->seg));
	memmove(t->seg_buf, t->seg_buf + n, t->nseg * sizeof(*t->seg_buf));
}

static size_t class_bytes(uint32_t len)
{
	size_t n = 0;

	for (; len > BUF_MAX; len -= BUF_MAX)
		n += BUF_MAX;
	return n + (len ? buf_class_of(len) : 0);
}

static bool segs_fit(const struct iscsi_task *t, uint32_t len)
{
	return t->nseg + (len + BUF_MAX - 1) / BUF_MAX <= TASK_SEGS;
}

bool data_out_reserve(struct iscsi_task *t, uint32_t end)
{
	if (end <= t->seg_end)
		return true;
	if (!segs_fit(t, end - t->seg_end))
		return false;
	while (t->seg_end < end) {
		uint32_t len = min(end - t->seg_end, BUF_MAX);
		struct buf *b = session_buf(t->session, len, t->immediate);

		if (!b) {
			free_segs(t);
			t->seg_base = t->seg_end = 0;
			return false;
		}
		add_seg(t, b, len);
	}
	return true;
}

/* Memory up to @end, all or nothing; out of what is free: this data is asked for. */
static bool get_solicited(struct iscsi_task *t, uint32_t end)
{
	struct bufpool *pool = t->session->part->bufs;
	size_t need = class_bytes(end - t->seg_end);

	if (!bufpool_reserve(pool, need))
		return false;
	while (t->seg_end < end) {
		uint32_t len = min(end - t->seg_end, BUF_MAX);
		struct buf *b = bufpool_get_reserved(pool, len);

		if (!b) {
			bufpool_unreserve(pool, need);
			return false;
		}
		need -= b->size;
		add_seg(t, b, len);
	}
	return true;
}

/* The same for the rest of what is wanted; or, if the command takes less, for some of it. */
static bool get_wanted(struct iscsi_task *t)
{
	uint32_t end = t->want_end, block = t->cmd.lu->block_size;

	while (!get_solicited(t, end)) {
		if (!t->cmd.out_some || end - t->seg_end <= LEAST)
			return false;
		end -= (end - t->seg_end) / 2;
		end -= (end - t->want_off) % block;
	}
	t->want_end = end;
	return true;
}

unsigned data_out_place(struct iscsi_task *t, uint32_t len, struct iovec *v, struct buf **pins)
{
	uint32_t from = t->received - t->seg_base;
	unsigned first = 0;
	int n;

	if (!len || t->ended || t->fate)
		return 0;
	/* a command that needs no more than its immediate data has nothing reserved yet */
	if (t->received + len > t->seg_end && !t->in_sam && !data_out_reserve(t, t->received + len)) {
		t->fate = V_TASK_SET_FULL;
		part_count(t->session->part, memory_refusals, 1);
		return 0;
	}
	if (t->received < t->seg_base || t->received + len > t->seg_end)
		return 0;
	n = sgl_slice(t->seg, t->nseg, from, len, v, RX_SEGS);
	if (n <= 0)
		return 0;
	while (from >= t->seg[first].iov_len)
		from -= (uint32_t)t->seg[first++].iov_len;
	for (int i = 0; i < n; i++)
		pins[i] = buf_ref(t->seg_buf[first + (unsigned)i]);
	return (unsigned)n;
}

/* ---- what is promised ---------------------------------------------------------------- */

void data_out_owing(struct iscsi_task *t)
{
	struct iscsi_conn *c = t->session->conn;
	bool owing = t->unsol_open || t->r2t_count;

	if (owing == t->owing)
		return;
	t->owing = owing;
	if (!c)
		return;
	if (!owing) {
		c->owed--;
	} else if (!c->owed++ && c->rx.paused) {
		rx_resume(c);
	}
}

void data_out_release(struct iscsi_task *t)
{
	t->wanted = false;
	bufpool_unwait(&t->waiter);
	free_segs(t);
}

void data_out_free(struct iscsi_task *t)
{
	data_out_release(t);
	t->unsol_open = false;
	t->r2t_count = 0;
	data_out_owing(t);
}

static bool send_r2t(struct iscsi_task *t)
{
	struct iscsi_conn *c = t->session->conn;
	struct r2t *r = &t->r2t[(t->r2t_first + t->r2t_count) % TASK_R2TS];
	union pdu *p = tx_begin(c, PDU_R2T, 0);
	struct pdu_r2t *h;

	if (!p)
		return false;
	*r = (struct r2t){
		.ttt = session_ttt(t->session),
		.offset = t->asked,
		.len = min(t->want_end - t->asked, c->params.max_burst),
	};
	h = &p->r2t;
	memcpy(h->lun, t->cmd.lun, sizeof(h->lun));
	h->itt = be32_make(t->itt);
	h->ttt = be32_make(r->ttt);
	tx_sn(c, p);
	h->r2t_sn = be32_make(t->r2t_sn++);
	h->offset = be32_make(r->offset);
	h->desired = be32_make(r->len);
	tx_end(c, p, 0);
	t->asked += r->len;
	t->r2t_count++;
	return true;
}

static void send_r2ts(struct iscsi_task *t)
{
	unsigned most = min(t->session->conn->params.max_outstanding_r2t, (uint32_t)TASK_R2TS);

	while (t->asked < t->want_end && t->r2t_count < most)
		if (!send_r2t(t))
			break;
	data_out_owing(t);
}

/* ---- the answer to sam ------------------------------------------------------------------ */

/*
 * A store that needs aligned memory: move [want_off, received) there. True:
 * it is aligned now; false: there is no memory at the moment.
 */
static bool align(struct iscsi_task *t)
{
	struct bufpool *pool = t->session->part->bufs;
	uint32_t off = t->want_off, len = t->seg_end - off, skip = off - t->seg_base, done = 0;
	unsigned n = (len + BUF_MAX - 1) / BUF_MAX;
	size_t need = class_bytes(len);
	struct iovec v[TASK_SEGS];
	struct buf *bufs[TASK_SEGS];

	if (n > TASK_SEGS || !bufpool_reserve(pool, need))
		return false;
	for (unsigned i = 0; i < n; i++) {
		bufs[i] = bufpool_get_reserved(pool, min(len - done, BUF_MAX));
		if (!bufs[i]) {
			while (i)
				buf_put(bufs[--i]);
			bufpool_unreserve(pool, need);
			return false;
		}
		need -= bufs[i]->size;
		v[i] = (struct iovec){ bufs[i]->data, min(len - done, BUF_MAX) };
		sgl_copy_out(t->seg, t->nseg, skip + done, v[i].iov_base, v[i].iov_len);
		done += (uint32_t)v[i].iov_len;
	}
	free_segs(t);
	memcpy(t->seg, v, n * sizeof(*v));
	memcpy(t->seg_buf, bufs, n * sizeof(*bufs));
	t->nseg = n;
	t->seg_base = off;
	return true;
}

static void want_memory(struct buf_waiter *w)
{
	go_on(container_of(w, struct iscsi_task, waiter));
}

static void wait_for_memory(struct iscsi_task *t)
{
	struct iscsi_part *part = t->session->part;

	if (list_linked(&t->waiter.link))
		return;
	t->waiter.fn = want_memory;
	bufpool_wait(part->bufs, &t->waiter);
	part_pressed(part);
}

static void ready(struct iscsi_task *t);

/*
 * There is no memory. A command that has whole blocks goes on with them and gives their memory back;
 * one that has less must not wait with it in hand: all could wait for each other.
 */
static void short_of_memory(struct iscsi_task *t)
{
	uint32_t have = t->received > t->want_off ? t->received - t->want_off : 0;
	uint32_t whole = have - have % max(t->cmd.lu->block_size, 1u);

	if (!t->nseg && !t->cmd.buf) {
		wait_for_memory(t);
	} else if (t->cmd.out_some && whole) {
		t->want_end = t->want_off + whole;
		ready(t);
	} else {
		t->wanted = false;
		part_count(t->session->part, memory_refusals, 1);
		cmd_data_failed(&t->cmd, V_TASK_SET_FULL);
	}
}

static void ready(struct iscsi_task *t)
{
	uint32_t len = t->want_end - t->want_off, mem_align = t->cmd.itl->part->view.mem_align;
	int n;

	/* a parameter list, which no store sees, lies as it came */
	if (len % mem_align)
		mem_align = 1;
	for (;;) {
		n = sgl_slice(t->seg, t->nseg, t->want_off - t->seg_base, len, t->out, TASK_SEGS);
		if (mem_align == 1 || n <= 0 || sgl_aligned(t->out, (unsigned)n, mem_align))
			break;
		if (t->session->conn->rx.pl.task == t)
			return; /* what is being received ends first, then all can move */
		if (!align(t)) {
			t->wanted = false;
			part_count(t->session->part, memory_refusals, 1);
			cmd_data_failed(&t->cmd, V_TASK_SET_FULL);
			return;
		}
	}
	t->wanted = false;
	if (n <= 0)
		cmd_data_failed(&t->cmd, V_INTERNAL_TARGET_FAILURE);
	else
		cmd_data_ready(&t->cmd, t->out, (unsigned)n, len);
}

/* See what can be done for the data that is wanted. The task may be gone afterwards. */
static void go_on(struct iscsi_task *t)
{
	struct iscsi_conn *c = t->session->conn;

	if (!t->wanted || !c || c->state != CONN_FULL)
		return;
	if (t->received >= t->want_end) {
		ready(t);
		return;
	}
	if (t->unsol_open)
		return;
	if (t->seg_end < t->want_end) {
		if (!segs_fit(t, t->want_end - t->seg_end)) {
			t->wanted = false;
			cmd_data_failed(&t->cmd, V_TASK_SET_FULL);
			return;
		}
		if (!get_wanted(t)) {
			short_of_memory(t);
			return;
		}
	}
	t->asked = max(t->asked, t->received);
	send_r2ts(t);
}

void data_out_want(struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	struct iscsi_task *t = container_of(cmd, struct iscsi_task, cmd);

	t->want_off = off;
	t->want_end = off + len;
	t->wanted = true;
	drop_before(t, off);
	go_on(t);
}

void data_out_cancel(struct scsi_cmd *cmd)
{
	data_out_release(container_of(cmd, struct iscsi_task, cmd));
}

/* ---- a Data-Out arrives ---------------------------------------------------------------------- */

/* What is wrong with it, NULL if nothing is. */
static const char *data_out_fault(const struct iscsi_task *t, const struct pdu_data_out *h,
				  uint32_t len)
{
	uint32_t ttt = be32_get(h->ttt), off = be32_get(h->offset), end;
	const struct r2t *r = &t->r2t[t->r2t_first];

	if (ttt == TAG_RESERVED) {
		if (!t->unsol_open)
			return "unsolicited data after its end";
		end = t->unsol_end;
	} else {
		if (!t->r2t_count || r->ttt != ttt)
			return "a Data-Out for no outstanding R2T";
		end = r->offset + r->len;
	}
	if (off != t->received)
		return "a Data-Out out of order, or twice";
	if (off > end || len > end - off)
		return "a Data-Out beyond what was asked for";
	return NULL;
}

struct iscsi_task *data_out_begin(struct iscsi_conn *c, const union pdu *p, uint32_t len)
{
	const struct pdu_data_out *h = &p->data_out;
	struct iscsi_task *t = session_task(c->session, be32_get(h->itt));
	const char *fault;

	/* aborted and refused commands' data is on its way for a while */
	if (unlikely(!t || t->kind != TASK_SCSI))
		return NULL;
	fault = data_out_fault(t, h, len);
	if (likely(!fault))
		return t;
	log_info("iscsi: %s at %s: %s (ITT %xh, offset %u, length %u)", c->session->initiator,
		 c->peer, fault, t->itt, be32_get(h->offset), len);
	part_count(c->part, protocol_errors, 1);
	request_reject(c, p, REJECT_PROTOCOL);
	conn_finish(c);
	return NULL;
}

/* The sequence of @h has ended. False: it brought less than it had to (RFC 7143 11.4.7.2). */
static bool sequence_end(struct iscsi_conn *c, struct iscsi_task *t, const struct pdu_data_out *h)
{
	bool whole;

	t->out_sn = 0;
	if (be32_get(h->ttt) == TAG_RESERVED) {
		t->unsol_open = false;
		whole = t->received == t->unsol_end || t->cmd.expected <= c->params.first_burst;
	} else {
		const struct r2t *r = &t->r2t[t->r2t_first];

		whole = t->received == r->offset + r->len;
		t->r2t_first = (t->r2t_first + 1) % TASK_R2TS;
		t->r2t_count--;
	}
	return whole;
}

/* The task has to end with @v. False: it is gone. */
static bool fail(struct iscsi_conn *c, struct iscsi_task **t, enum verdict v)
{
	struct iscsi_session *s = c->session;
	uint32_t itt = (*t)->itt;

	if (!(*t)->in_sam) {
		if (!(*t)->ended && !(*t)->fate)
			(*t)->fate = v; /* it waits for its CmdSN */
		return true;
	}
	cmd_fail(&(*t)->cmd, v);
	*t = session_task(s, itt);
	return *t && c->state == CONN_FULL;
}

void data_out_arrived(struct iscsi_conn *c, const union pdu *p, uint32_t len, bool digest_ok)
{
	const struct pdu_data_out *h = &p->data_out;
	struct iscsi_task *t = session_task(c->session, be32_get(h->itt));

	t->received += len;
	if (unlikely(!digest_ok)) {
		part_count(c->part, digest_errors, 1);
		request_reject(c, p, REJECT_DATA_DIGEST);
	}
	/* RFC 7143 7.9: a wrong DataSN means that a PDU was lost, as by a digest error */
	if (unlikely(!digest_ok || be32_get(h->data_sn) != t->out_sn) &&
	    !fail(c, &t, V_PROTOCOL_CRC_ERROR))
		return;
	t->out_sn++;
	if (h->flags & PDU_FINAL) {
		bool whole = sequence_end(c, t, h);

		if (unlikely(!whole) && !t->ended && !fail(c, &t, V_NOT_ENOUGH_UNSOLICITED))
			return;
		data_out_owing(t);
	}
	if (t->ended) {
		if (!t->owing)
			task_respond_ended(t);
		return;
	}
	go_on(t);
}
