/* SPDX-License-Identifier: BSD-2-Clause */
/* Task management (RFC 7143 11.5, 11.6): iSCSI's part of it; sam/tmf.h has the rest. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sam/tmf.h"
#include "transport/iscsi/request.h"

struct iscsi_tmf {
	struct tmf tmf;
	struct iscsi_session *session;
	uint32_t itt;
};

static void respond(struct iscsi_conn *c, uint32_t itt, enum tmf_response response)
{
	union pdu *p = tx_begin(c, PDU_TMF_RESPONSE, 0);

	if (!p)
		return;
	p->tmf_response.response = (uint8_t)response;
	p->tmf_response.itt = be32_make(itt);
	tx_status_sn(c, p);
	tx_end(c, p, 0);
}

static void done(struct tmf *tmf)
{
	struct iscsi_tmf *t = container_of(tmf, struct iscsi_tmf, tmf);
	struct iscsi_session *s = t->session;
	struct iscsi_conn *c = s->conn;

	s->tmfs--;
	if (c && c->state == CONN_FULL && !s->logout) {
		respond(c, t->itt, tmf->response);
		/* RFC 7143 11.5.1: the target then closes all its connections */
		if (tmf->function == TMF_TARGET_COLD_RESET && tmf->response == TMF_COMPLETE)
			conn_finish(c);
	}
	free(t);
}

/* ---- tasks that sam does not know -------------------------------------------------------- */

/* A command that was not to run: its CmdSN counts as received. */
static void plug(struct iscsi_session *s, uint32_t cmd_sn)
{
	struct iscsi_task *t = task_create(s, TASK_PLUG, TAG_RESERVED, cmd_sn, false);

	if (t && !session_hold(s, t))
		task_free(t);
}

static void drop(struct iscsi_task *t)
{
	struct iscsi_session *s = t->session;
	bool held = list_linked(&t->held);
	uint32_t cmd_sn = t->cmd_sn;

	if (held)
		s->held_bytes -= t->payload_len;
	task_free(t);
	if (held)
		plug(s, cmd_sn);
}

/* Commands that wait for data after their end, or for their CmdSN, of the LUN, or all. */
static void drop_own(struct iscsi_session *s, const uint8_t *lun, uint32_t before)
{
	struct iscsi_task *t, *next;

	list_for_each_safe(t, next, &s->tasks, link) {
		if (t->kind != TASK_SCSI || t->in_sam)
			continue;
		if (lun && memcmp(lun, t->cmd.lun, sizeof(t->cmd.lun)))
			continue;
		if (!t->ended && !serial_lt(t->cmd_sn, before))
			continue;
		drop(t);
	}
}

/*
 * ABORT TASK (RFC 7143 11.6.1). True: it is settled. A command that has not
 * come although its CmdSN is in the window counts as received and aborted.
 */
static bool abort_own(struct iscsi_session *s, const struct pdu_tmf_request *h)
{
	struct iscsi_task *t = session_task(s, be32_get(h->ref_tag));
	uint32_t ref = be32_get(h->ref_cmd_sn), now = be32_get(h->cmd_sn);

	if (t && t->in_sam)
		return false;
	if (t) {
		if (memcmp(h->lun, t->cmd.lun, sizeof(h->lun)))
			return false;
		drop(t);
		return true;
	}
	if (!serial_le(s->exp_cmd_sn, ref) || !serial_le(ref, s->max_cmd_sn) || !serial_lt(ref, now))
		return false;
	plug(s, ref);
	return true;
}

/* ---- the request ---------------------------------------------------------------------------- */

/* True: it has been answered, it is about none of sam's tasks. */
static bool settled_here(struct iscsi_conn *c, const struct pdu_tmf_request *h)
{
	switch ((enum tmf_function)(h->flags & TMF_FUNCTION)) {
	case TMF_ABORT_TASK:
		if (!abort_own(c->session, h))
			return false;
		respond(c, be32_get(h->itt), TMF_COMPLETE);
		return true;
	case TMF_TASK_REASSIGN: /* ErrorRecoveryLevel 0 */
		respond(c, be32_get(h->itt), TMF_NO_REASSIGN);
		return true;
	case TMF_I_T_NEXUS_RESET: /* of RFC 7144, whose protocol level is not negotiated */
		respond(c, be32_get(h->itt), TMF_NOT_SUPPORTED);
		return true;
	default:
		return false;
	}
}

/* The function ends tasks, and sam has taken it: those that sam does not know end, too. */
static void taken(struct iscsi_session *s, const struct pdu_tmf_request *h)
{
	switch ((enum tmf_function)(h->flags & TMF_FUNCTION)) {
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
	case TMF_LU_RESET:
		drop_own(s, h->lun, be32_get(h->cmd_sn));
		break;
	case TMF_TARGET_WARM_RESET:
	case TMF_TARGET_COLD_RESET:
		drop_own(s, NULL, be32_get(h->cmd_sn));
		break;
	default:
		break;
	}
}

void tmf_request(struct iscsi_conn *c, const union pdu *p)
{
	const struct pdu_tmf_request *h = &p->tmf_request;
	struct iscsi_session *s = c->session;
	struct iscsi_tmf *t;

	log_debug("iscsi: %s: task management function %u, tag %xh", c->peer,
		  h->flags & TMF_FUNCTION, be32_get(h->ref_tag));
	if (s->discovery) {
		request_reject(c, p, REJECT_PROTOCOL);
		return;
	}
	if (s->tmfs >= IMMEDIATE_MAX) {
		request_reject(c, p, REJECT_IMMEDIATE);
		return;
	}
	if (settled_here(c, h)) {
		session_run_held(s);
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		respond(c, be32_get(h->itt), TMF_REJECTED);
		return;
	}
	t->session = s;
	t->itt = be32_get(h->itt);
	t->tmf.nexus = s->nexus;
	t->tmf.function = h->flags & TMF_FUNCTION;
	memcpy(t->tmf.lun, h->lun, sizeof(t->tmf.lun));
	t->tmf.ref_tag = be32_get(h->ref_tag);
	t->tmf.done = done;
	s->tmfs++;
	if (tmf_submit(&t->tmf))
		taken(s, h);
}
