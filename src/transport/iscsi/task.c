/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/task.h"

#include <string.h>

#include "base/log.h"
#include "sam/observe.h"
#include "transport/iscsi/request.h"
#include "transport/iscsi/session.h"

/* ---- life ----------------------------------------------------------------------- */

struct iscsi_task *task_create(struct iscsi_session *s, enum task_kind kind, uint32_t itt,
			       uint32_t cmd_sn, bool immediate)
{
	struct iscsi_task *t = pool_get(&s->part->tasks);

	if (unlikely(!t))
		return NULL;
	memset((char *)t + offsetof(struct iscsi_task, session), 0,
	       offsetof(struct iscsi_task, r2t) - offsetof(struct iscsi_task, session));
	t->session = s;
	t->kind = kind;
	t->itt = itt;
	t->cmd_sn = cmd_sn;
	t->immediate = immediate;
	t->nseg = 0;
	t->seg_base = t->seg_end = 0;
	t->payload = NULL;
	t->payload_len = 0;
	list_init(&t->held);
	list_init(&t->waiter.link);
	list_add(&s->tasks, &t->link);
	if (kind == TASK_SCSI)
		hash_add(&s->by_itt, &t->by_itt, itt);
	t->counted = true;
	if (immediate)
		s->immediate++;
	else
		s->active++;
	part_count(s->part, tasks, 1);
	return t;
}

/* Its credit is free again: before the response, which tells so. */
static void uncount(struct iscsi_task *t)
{
	if (!t->counted)
		return;
	t->counted = false;
	if (t->immediate)
		t->session->immediate--;
	else
		t->session->active--;
}

void task_free(struct iscsi_task *t)
{
	struct iscsi_session *s = t->session;

	if (s->conn)
		rx_forget_task(s->conn, t);
	data_in_drop(t);
	data_out_free(t);
	buf_put(t->payload);
	if (t->kind == TASK_SCSI)
		hash_del(&t->by_itt);
	list_del(&t->link);
	list_del(&t->held);
	uncount(t);
	part_count(s->part, tasks, -1);
	pool_put(&s->part->tasks, t);
}

/* ---- a SCSI Command arrives --------------------------------------------------------- */

unsigned command_cdb(uint8_t cdb[CDB_MAX], const uint8_t *ahs, uint32_t ahs_len)
{
	unsigned len = 16;

	while (ahs_len) {
		const struct ahs_header *h = (const struct ahs_header *)ahs;
		uint32_t body, whole;

		if (ahs_len < sizeof(*h))
			return 0;
		body = be16_get(h->length);
		whole = (uint32_t)round_up(body + 3, 4);
		/* the first byte of the specific part is in the header already */
		if (body < 2 || whole > ahs_len || (h->type & AHS_TYPE) != AHS_EXTENDED_CDB ||
		    len != 16 || 16 + body - 1 > CDB_MAX)
			return 0;
		memcpy(cdb + 16, ahs + sizeof(*h), body - 1);
		len = 16 + body - 1;
		ahs += whole;
		ahs_len -= whole;
	}
	return len;
}

/* What is wrong with the data that comes with the command, V_PENDING if nothing. */
static enum verdict check_data(const struct iscsi_params *params, const struct iscsi_task *t,
			       bool final, uint32_t len)
{
	/* RFC 7143 11.4.7.2: unexpected unsolicited data */
	if ((len || !final) && !t->cmd.write)
		return V_UNEXPECTED_UNSOLICITED;
	if ((len && !params->immediate_data) || (!final && params->initial_r2t))
		return V_UNEXPECTED_UNSOLICITED;
	if (len > t->unsol_end)
		return V_UNEXPECTED_UNSOLICITED;
	return V_PENDING;
}

static void plan_data(struct iscsi_conn *c, struct iscsi_task *t, const union pdu *p, uint32_t len)
{
	bool final = p->command.flags & PDU_FINAL;
	enum verdict v;

	t->unsol_end = min(c->params.first_burst, t->cmd.expected);
	v = check_data(&c->params, t, final, len);
	if (unlikely(v != V_PENDING)) {
		t->fate = v;
		part_count(c->part, protocol_errors, 1);
	}
	t->unsol_open = !final && t->cmd.write; /* a read's F bit is of no other use */
	if (final)
		t->unsol_end = len;
	if (t->unsol_open && !t->fate && !data_out_reserve(t, t->unsol_end)) {
		t->fate = V_TASK_SET_FULL;
		part_count(c->part, memory_refusals, 1);
	}
	data_out_owing(t);
}

/*
 * RFC 7143 7.3: the CmdSN of a rejected command is not taken as received; the initiator
 * fills the gap, with the command mended or another one.
 */
static struct iscsi_task *refuse(struct iscsi_conn *c, const union pdu *p, enum reject_reason reason)
{
	part_count(c->part, protocol_errors, 1);
	request_reject(c, p, reason);
	return NULL;
}

struct iscsi_task *command_begin(struct iscsi_conn *c, const union pdu *p, const uint8_t *ahs,
				 uint32_t ahs_len, uint32_t len)
{
	const struct pdu_scsi_command *h = &p->command;
	struct iscsi_session *s = c->session;
	bool immediate = h->opcode & PDU_IMMEDIATE;
	uint32_t itt = be32_get(h->itt), sn = be32_get(h->cmd_sn);
	struct iscsi_task *t;
	uint8_t cdb[CDB_MAX];
	unsigned cdb_len = 16;

	if (unlikely(session_place(s, sn, immediate) == CMD_SN_IGNORE))
		return NULL;
	if (unlikely(s->discovery))
		return refuse(c, p, REJECT_PROTOCOL);
	memcpy(cdb, h->cdb, sizeof(h->cdb));
	if (unlikely(ahs_len))
		cdb_len = command_cdb(cdb, ahs, ahs_len);
	if (unlikely(itt == TAG_RESERVED || !cdb_len))
		return refuse(c, p, REJECT_INVALID_FIELD);
	if (unlikely(immediate && s->immediate >= IMMEDIATE_MAX))
		return refuse(c, p, REJECT_IMMEDIATE);
	t = session_task(s, itt);
	if (unlikely(t && !t->in_sam))
		return refuse(c, p, REJECT_TASK_IN_PROGRESS);
	t = task_create(s, TASK_SCSI, itt, sn, immediate);
	if (unlikely(!t)) { /* a reject would leave a gap in its CmdSNs, which few initiators fill */
		conn_close(c, "no memory for its commands");
		return NULL;
	}
	cmd_init(&t->cmd, s->nexus, h->lun, itt, h->flags & COMMAND_ATTR, cdb, cdb_len);
	t->cmd.read = h->flags & COMMAND_READ;
	t->cmd.write = h->flags & COMMAND_WRITE;
	t->cmd.expected = be32_get(h->expected_len);
	plan_data(c, t, p, len);
	session_used(s);
	return t;
}

bool command_may_pin(const struct iscsi_task *t, uint32_t len)
{
	/* who waits for more data must not hold a whole receive buffer meanwhile */
	return !t->fate && !t->unsol_open && len >= t->cmd.expected;
}

void command_pin(struct iscsi_task *t, struct buf *b, uint8_t *data, uint32_t len)
{
	t->seg[0] = (struct iovec){ data, len };
	t->seg_buf[0] = buf_ref(b);
	t->nseg = 1;
	t->seg_end = len;
}

void command_arrived(struct iscsi_task *t, const union pdu *p, uint32_t len, bool digest_ok)
{
	struct iscsi_session *s = t->session;

	t->received = len;
	if (unlikely(!digest_ok)) {
		/* RFC 7143 7.8: the data cannot be had again at ErrorRecoveryLevel 0 */
		part_count(s->part, digest_errors, 1);
		request_reject(s->conn, p, REJECT_DATA_DIGEST);
		t->fate = V_PROTOCOL_CRC_ERROR;
	}
	switch (session_place(s, t->cmd_sn, t->immediate)) {
	case CMD_SN_NOW:
		s->exp_cmd_sn += !t->immediate;
		command_run(t);
		session_run_held(s);
		break;
	case CMD_SN_LATER:
		if (!session_hold(s, t))
			task_free(t);
		break;
	case CMD_SN_IGNORE:
		task_free(t);
		break;
	}
}

static void end(struct iscsi_task *t);

void command_run(struct iscsi_task *t)
{
	struct scsi_cmd *cmd = &t->cmd;

	if (likely(!t->fate)) {
		t->in_sam = true;
		cmd_submit(cmd);
		return;
	}
	cmd->verdict = t->fate;
	if (cmd->expected) {
		cmd->residual = RESID_UNDERFLOW;
		cmd->residual_count = cmd->expected;
	}
	end(t);
}

/* ---- the response ---------------------------------------------------------------------- */

static unsigned encode_sense(const struct iscsi_task *t, uint8_t *out)
{
	if (t->fate)
		return sense_encode(out, t->cmd.verdict, &t->cmd.sense, false);
	return cmd_sense(&t->cmd, out);
}

/* Its status is queued. A task that waited for the end of its data may outlive the nexus. */
static void answered(const struct iscsi_task *t)
{
	const struct scsi_cmd *cmd = &t->cmd;

	if (likely(t->session->nexus))
		OBSERVE(cmd, command__answered, (int)cmd->verdict, cmd->nexus->id, cmd->tag,
			verdict_status(cmd->verdict));
}

static void respond(struct iscsi_task *t, const uint8_t *sense, uint32_t sense_len)
{
	struct iscsi_conn *c = t->session->conn;
	struct pdu_scsi_response *h;
	union pdu *p = tx_begin(c, PDU_SCSI_RESPONSE, SENSE_MAX + 2);
	uint32_t len = 0;

	if (!p)
		return;
	h = &p->scsi_response;
	h->response = RESPONSE_COMPLETED;
	h->status = verdict_status(t->cmd.verdict);
	h->itt = be32_make(t->itt);
	tx_status_sn(c, p);
	h->exp_data_sn = be32_make(t->data_sn + t->r2t_sn);
	if (t->cmd.residual != RESID_NONE) {
		h->flags |=
			t->cmd.residual == RESID_OVERFLOW ? RESPONSE_OVERFLOW : RESPONSE_UNDERFLOW;
		h->residual = be32_make(t->cmd.residual_count);
	}
	if (sense_len) {
		uint8_t *data = tx_data(c, p);

		be_store(data, 2, sense_len);
		memcpy(data + 2, sense, sense_len);
		len = sense_len + 2;
	}
	c->counters.rsp_pdus++;
	tx_end(c, p, len);
	answered(t);
}

/* The outcome is in t->cmd. */
static void end(struct iscsi_task *t)
{
	struct iscsi_conn *c = t->session->conn;
	uint8_t sense[SENSE_MAX];

	if (!c || c->state != CONN_FULL || t->session->logout ||
	    t->cmd.verdict == V_ABORTED_SILENTLY) {
		task_free(t);
		return;
	}
	if (likely(!t->owing))
		uncount(t);
	if (data_in_flush(t, verdict_status(t->cmd.verdict) == ST_GOOD)) {
		answered(t);
		task_free(t);
		return;
	}
	if (unlikely(t->owing)) {
		/*
		 * RFC 7143 11.4.2: the response waits for the end of the sequences
		 * that are on their way.
		 */
		t->sense_len = (uint8_t)encode_sense(t, t->sense);
		t->ended = true;
		t->cmd.itl = NULL; /* may go before the response */
		data_out_release(t);
		return;
	}
	respond(t, sense, encode_sense(t, sense));
	task_free(t);
}

void task_respond_ended(struct iscsi_task *t)
{
	uncount(t);
	respond(t, t->sense, t->sense_len);
	task_free(t);
}

void task_finish(struct scsi_cmd *cmd)
{
	struct iscsi_task *t = container_of(cmd, struct iscsi_task, cmd);

	t->in_sam = false;
	end(t);
}
