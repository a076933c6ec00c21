/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sam/transport.h"
#include "transport/iscsi/request.h"

#define LOGOUT_NS (10 * NSEC_PER_SEC) /* a store that does not return is not waited for longer */

const struct transport_ops iscsi_transport_ops = {
	.name = "iscsi",
	.data_out = data_out_want,
	.data_out_cancel = data_out_cancel,
	.data_in = data_in_give,
	.finish = task_finish,
	.nexus_drained = session_drained,
	.close_session = session_close,
};

/* ---- life --------------------------------------------------------------------- */

/* Bytes of memory that @len bytes of unsolicited data take. */
static size_t unit_of(const struct iscsi_params *p)
{
	uint32_t rest = p->first_burst % BUF_MAX;

	if (p->initial_r2t && !p->immediate_data)
		return 0;
	return p->first_burst - rest + (rest ? buf_class_of(rest) : 0);
}

struct iscsi_session *session_create(struct iscsi_conn *c, const struct login_result *res,
				     unsigned depth_max)
{
	struct iscsi_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->part = c->part;
	s->conn = c;
	s->nexus = res->nexus;
	s->discovery = res->discovery;
	s->tsih = res->tsih;
	memcpy(s->initiator, res->initiator, sizeof(s->initiator));
	s->exp_cmd_sn = res->exp_cmd_sn;
	s->max_cmd_sn = res->exp_cmd_sn - 1;
	s->unit = s->discovery ? 0 : unit_of(&res->params);
	list_init(&s->held);
	list_init(&s->tasks);
	hash_init(&s->by_itt, s->itt_slots, TASK_SLOTS);
	session_window_init(s, depth_max);
	list_add(&c->part->sessions, &s->link);
	part_count(c->part, sessions, 1);
	return s;
}

static void session_free(struct iscsi_session *s)
{
	struct iscsi_part *part = s->part;

	list_del(&s->link);
	text_exchange_free(s);
	free(s);
	part_count(part, sessions, -1);
	part_left(part);
}

/* Nobody needs it any more: neither connection nor nexus nor a question on its way. */
void session_put(struct iscsi_session *s)
{
	if (!s->conn && !s->nexus && !(s->text && s->text->asking))
		session_free(s);
}

/* Tasks that sam does not know: they wait for their CmdSN, or for data after their end. */
static void free_own_tasks(struct iscsi_session *s)
{
	struct iscsi_task *t, *next;

	list_for_each_safe(t, next, &s->tasks, link)
		if (!t->in_sam)
			task_free(t);
}

void session_conn_lost(struct iscsi_session *s)
{
	struct it_nexus *n = s->nexus;

	free_own_tasks(s);
	s->conn = NULL;
	s->part->window_bytes -= s->reserved;
	bufpool_unreserve(s->part->bufs, s->reserved);
	s->reserved = 0;
	if (n)
		nexus_drop(n);
	else
		session_put(s);
}

void session_drained(struct it_nexus *n)
{
	struct iscsi_session *s = n->session;

	s->nexus = NULL;
	log_debug("iscsi: %s: session ended", s->initiator);
	if (s->conn && s->logout) {
		request_logged_out(s->conn, s->logout_itt, LOGOUT_CLOSED);
		conn_finish(s->conn);
	} else if (s->conn) {
		conn_close(s->conn, NULL);
	} else {
		session_put(s);
	}
}

void session_close(struct it_nexus *n)
{
	struct iscsi_session *s = n->session;

	if (s && s->conn)
		conn_close(s->conn, "the session is closed");
}

void session_logout(struct iscsi_session *s, uint32_t itt)
{
	struct iscsi_conn *c = s->conn;

	if (s->logout)
		return;
	if (!s->nexus) {
		request_logged_out(c, itt, LOGOUT_CLOSED);
		conn_finish(c);
		return;
	}
	s->logout = true;
	s->logout_itt = itt;
	c->close_at = reactor_now(s->part->reactor) + LOGOUT_NS;
	part_watch(s->part);
	free_own_tasks(s);
	nexus_drop(s->nexus);
}

/* ---- tasks ---------------------------------------------------------------------- */

uint32_t session_ttt(struct iscsi_session *s)
{
	if (++s->next_ttt == TAG_RESERVED)
		s->next_ttt = 0;
	return s->next_ttt;
}

struct iscsi_task *session_task(struct iscsi_session *s, uint32_t itt)
{
	struct hash_node *n = hash_find(&s->by_itt, itt);

	return n ? container_of(n, struct iscsi_task, by_itt) : NULL;
}

/* ---- CmdSN order (RFC 7143 4.2.2.1) -------------------------------------------------- */

enum cmd_sn_place session_place(const struct iscsi_session *s, uint32_t cmd_sn, bool immediate)
{
	if (s->logout)
		return CMD_SN_IGNORE;
	if (immediate)
		return CMD_SN_NOW;
	if (unlikely(serial_lt(cmd_sn, s->exp_cmd_sn) || serial_lt(s->max_cmd_sn, cmd_sn)))
		return CMD_SN_IGNORE;
	return likely(cmd_sn == s->exp_cmd_sn) ? CMD_SN_NOW : CMD_SN_LATER;
}

bool session_hold(struct iscsi_session *s, struct iscsi_task *t)
{
	struct list *next;

	if (s->held_bytes + t->payload_len > HELD_DATA_MAX)
		return false;
	for (next = s->held.next; next != &s->held; next = next->next) {
		uint32_t sn = list_entry(next, struct iscsi_task, held)->cmd_sn;

		if (sn == t->cmd_sn)
			return false;
		if (serial_lt(t->cmd_sn, sn))
			break;
	}
	list_insert(&t->held, next->prev, next);
	s->held_bytes += t->payload_len;
	return true;
}

static void run_held(struct iscsi_session *s, struct iscsi_task *t)
{
	list_del(&t->held);
	s->held_bytes -= t->payload_len;
	if (t->kind == TASK_SCSI) {
		command_run(t);
		return;
	}
	list_del(&t->link); /* a logout frees what is in the session's list */
	if (t->kind == TASK_REQUEST)
		request_run(s->conn, &t->bhs, t->payload, t->payload_data, t->payload_len);
	task_free(t);
}

void session_run_held(struct iscsi_session *s)
{
	struct iscsi_task *t;

	if (likely(list_empty(&s->held)) || s->ordering)
		return;
	s->ordering = true;
	while ((t = list_first(&s->held, struct iscsi_task, held)) && t->cmd_sn == s->exp_cmd_sn &&
	       s->conn && s->conn->state == CONN_FULL) {
		s->exp_cmd_sn++;
		run_held(s, t);
	}
	s->ordering = false;
}
