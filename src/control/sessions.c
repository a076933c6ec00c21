/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions, connections, portals. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/json.h"
#include "sam/transport.h"

/* ---- JSON ----------------------------------------------------------------------- */

json_t *text_json(const char *text)
{
	json_t *s = json_string(text);
	char *copy;

	if (s)
		return s;
	copy = strdup(text);
	for (char *p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	s = json_string(copy ? copy : "?");
	free(copy);
	return s;
}

static json_t *connection_json(const struct session_sample *s)
{
	const struct iscsi_session_info *i = &s->info;
	const struct iscsi_counters *k = &i->counters;

	return json_pack("{s:i,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:b,s:b}", "cid", (int)i->cid,
			 "address", text_json(s->peer), "rx_bytes", (json_int_t)k->rx_bytes,
			 "tx_bytes", (json_int_t)k->tx_bytes, "dataout_pdus",
			 (json_int_t)k->dataout_pdus, "datain_pdus", (json_int_t)k->datain_pdus,
			 "cmd_pdus", (json_int_t)k->cmd_pdus, "rsp_pdus", (json_int_t)k->rsp_pdus,
			 "commands", (int)i->commands, "window", (int)i->window, "header_digest",
			 i->params.header_digest, "data_digest", i->params.data_digest);
}

json_t *session_json(const struct session_sample *s)
{
	json_t *connections = json_array(), *o;

	if (s->info.found)
		json_array_append_new(connections, connection_json(s));
	o = json_pack("{s:I,s:i,s:s,s:o,s:o,s:o,s:i,s:o}", "sid", (json_int_t)s->sid, "tid",
		      (int)s->tid, "transport", s->tops->name, "initiator", text_json(s->initiator),
		      "alias", text_json(s->alias), "peer", text_json(s->peer), "reactor",
		      (int)s->reactor, "connections", connections);
	if (s->vhost.found)
		json_object_set_new(o, "vhost", vhost_json(&s->vhost));
	return o;
}

json_t *portals_json(struct control *c)
{
	const struct iscsi_portal *p = NULL;
	json_t *all = json_array();
	char text[96];

	while ((p = iscsi_portal_next(c->iscsi, p))) {
		snprintf(text, sizeof(text), "%s,%d", iscsi_portal_name(p), ISCSI_TPGT);
		json_array_append_new(all, text_json(text));
	}
	return all;
}

/* ---- sessions ---------------------------------------------------------------------- */

static void listed(struct gather *g)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < g->nsessions; i++)
		json_array_append_new(all, session_json(&g->sessions[i]));
	call_reply(g->arg, all);
}

void verb_session_list(struct call *c)
{
	struct target *t = NULL;

	if (call_has(c, "tid") || call_has(c, "target")) {
		t = call_target(c);
		if (!t)
			return;
	}
	if (gather_run(call_control(c), t ? t->tid : 0, -1, GATHER_SESSIONS, listed, c))
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory for a list of sessions");
}

/* The session that the call names; NULL: failed. */
static struct it_nexus *call_session(struct call *c)
{
	struct target *t = call_target(c);
	uint64_t sid = (uint64_t)call_int(c, "sid", 0);
	struct it_nexus *n;

	if (!t)
		return NULL;
	n = target_nexus(t, sid);
	if (n && !n->gone)
		return n;
	call_failf(c, FAIL_NO_SESSION, -ENOENT, "target %u has no session %" PRIu64, t->tid, sid);
	return NULL;
}

static void close_session(struct call *c, struct it_nexus *n)
{
	log_info("target %u: session %" PRIu64 " of %s is closed by the administrator", n->tid,
		 n->id, n->initiator);
	target_close_nexus(n);
	call_reply(c, NULL);
}

void verb_session_close(struct call *c)
{
	struct it_nexus *n = call_session(c);

	if (n)
		close_session(c, n);
}

struct connection_close {
	struct iscsi_session_info info;
	struct call *call;
	uint32_t tid;
};

/* A session has one connection: closing it closes the session. */
static void connection_known(struct iscsi_session_info *i)
{
	struct connection_close *cc = container_of(i, struct connection_close, info);
	struct call *c = cc->call;
	struct target *t = target_find(&call_control(c)->ts, cc->tid);
	struct it_nexus *n = t ? target_nexus(t, i->nexus_id) : NULL;
	int64_t cid = call_int(c, "cid", 0);

	if (!n || !i->found)
		call_failf(c, FAIL_NO_SESSION, -ENOENT, "session %" PRIu64 " has just ended",
			   i->nexus_id);
	else if (i->cid != cid)
		call_failf(c, FAIL_NO_CONNECTION, -ENOENT,
			   "session %" PRIu64 " has no connection %" PRId64 ", but %u", n->id, cid,
			   i->cid);
	else
		close_session(c, n);
	free(cc);
}

void verb_connection_close(struct call *c)
{
	struct it_nexus *n = call_session(c);
	struct connection_close *cc;

	if (!n)
		return;
	if (n->tops != &iscsi_transport_ops) {
		call_failf(c, FAIL_NO_CONNECTION, -ENOENT,
			   "session %" PRIu64
			   " is of %s, which has no numbered connections: close the "
			   "session",
			   n->id, n->tops->name);
		return;
	}
	cc = calloc(1, sizeof(*cc));
	if (!cc) {
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory to close a connection");
		return;
	}
	cc->call = c;
	cc->tid = n->tid;
	cc->info.nexus_id = n->id;
	cc->info.done = connection_known;
	iscsi_session_info(call_control(c)->iscsi, n, &cc->info);
}

/* ---- portals ------------------------------------------------------------------------ */

void verb_portal_add(struct call *c)
{
	struct err e;

	if (iscsi_portal_add(call_control(c)->iscsi, call_str(c, "portal", ""), &e))
		call_fail(c, FAIL_INVALID, &e);
	else
		call_reply(c, portals_json(call_control(c)));
}

static void portal_removed(void *arg)
{
	struct call *c = arg;

	call_reply(c, portals_json(call_control(c)));
}

void verb_portal_remove(struct call *c)
{
	struct err e;

	if (iscsi_portal_remove(call_control(c)->iscsi, call_str(c, "portal", ""), portal_removed,
				c, &e))
		call_fail(c, FAIL_INVALID, &e);
}

void verb_portal_list(struct call *c)
{
	call_reply(c, portals_json(call_control(c)));
}
