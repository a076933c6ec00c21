/* SPDX-License-Identifier: BSD-2-Clause */
/* The server: a part on each data reactor, the watch over connections, the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/iscsi/portal.h"
#include "transport/iscsi/request.h"
#include "transport/iscsi/session.h"

#define DRAIN_NS (2 * NSEC_PER_SEC) /* for stores, after the last connection is closed */

/* ---- life ---------------------------------------------------------------- */

static int part_init(struct iscsi_server *s, struct iscsi_part *p, struct reactor *r)
{
	struct bufpool_stats st;

	p->scratch = malloc(SCRATCH_SIZE);
	if (!p->scratch)
		return -ENOMEM;
	p->server = s;
	p->reactor = r;
	p->bufs = reactor_bufpool(r);
	bufpool_stats(p->bufs, &st);
	p->cap = st.cap;
	pool_init(&p->tasks, sizeof(struct iscsi_task), 0);
	pool_init(&p->chunks, sizeof(struct tx_chunk), 0);
	list_init(&p->conns);
	list_init(&p->sessions);
	return 0;
}

struct iscsi_server *iscsi_server_create(struct targets *ts, const struct iscsi_opts *opts,
					 struct err *e)
{
	struct iscsi_server *s = calloc(1, sizeof(*s));
	int rc = s ? 0 : -ENOMEM;

	for (unsigned i = 0; !rc && i < ts->nreactors; i++) {
		rc = part_init(s, &s->part[i], ts->reactors[i]);
		s->nparts += !rc;
	}
	if (rc) {
		err_set(e, rc, "no memory for the iSCSI server");
		if (s)
			iscsi_server_destroy(s);
		return NULL;
	}
	s->ts = ts;
	s->opts = *opts;
	if (!s->opts.login_timeout)
		s->opts.login_timeout = LOGIN_TIMEOUT;
	list_init(&s->portals);
	iscsi_server_set_nop(s, opts->nop_interval, opts->nop_count);
	return s;
}

void iscsi_server_set_nop(struct iscsi_server *s, unsigned interval, unsigned count)
{
	__atomic_store_n(&s->nop_interval, interval, __ATOMIC_RELAXED);
	__atomic_store_n(&s->nop_count, count, __ATOMIC_RELAXED);
}

void iscsi_server_destroy(struct iscsi_server *s)
{
	for (unsigned i = 0; i < s->nparts; i++) {
		struct iscsi_part *p = &s->part[i];

		pool_fini(&p->tasks);
		pool_fini(&p->chunks);
		free(p->scratch);
	}
	free(s);
}

/* ---- the watch ----------------------------------------------------------- */

void part_sweep(struct timer *t)
{
	struct iscsi_part *p = container_of(t, struct iscsi_part, sweep);
	uint64_t now = reactor_now(p->reactor);
	struct iscsi_conn *c;
	bool again = false;

	list_for_each(c, &p->conns, link)
		again |= conn_sweep(c, now);
	p->pressed = p->scarce = false;
	if (!p->n.tasks)
		pool_trim(&p->tasks);
	pool_trim(&p->chunks);
	if (again)
		part_watch(p);
}

void part_pressed(struct iscsi_part *p)
{
	if (p->pressed)
		return;
	p->pressed = true;
	timer_arm(p->reactor, &p->sweep, SWEEP_PRESSED_NS, part_sweep);
}

/* ---- the end ------------------------------------------------------------- */

static void all_left(struct iscsi_server *s)
{
	s->done(s->arg);
}

static void part_ended(struct msg *m)
{
	struct iscsi_part *p = container_of(m, struct iscsi_part, msg);
	struct iscsi_server *s = p->server;

	if (!--s->parts_left)
		all_left(s);
}

void part_left(struct iscsi_part *p)
{
	if (!p->stopping || p->left || !list_empty(&p->conns))
		return;
	if (!list_empty(&p->sessions) && !p->give_up)
		return;
	p->left = true;
	timer_cancel(p->reactor, &p->deadline);
	timer_cancel(p->reactor, &p->sweep);
	reactor_post(p->server->ts->control, &p->msg, part_ended);
}

static void last_deadline(struct timer *t)
{
	struct iscsi_part *p = container_of(t, struct iscsi_part, deadline);

	log_warn("iscsi: sessions are left behind: their stores do not return");
	p->give_up = true;
	part_left(p);
}

static void deadline(struct timer *t)
{
	struct iscsi_part *p = container_of(t, struct iscsi_part, deadline);
	struct iscsi_conn *c;

	list_for_each(c, &p->conns, link)
		conn_close(c, "the server ends");
	timer_arm(p->reactor, &p->deadline, DRAIN_NS, last_deadline);
}

static void part_end(struct msg *m)
{
	struct iscsi_part *p = container_of(m, struct iscsi_part, msg);
	struct iscsi_server *s = p->server;
	unsigned seconds = (unsigned)(s->grace_ns / NSEC_PER_SEC);
	struct iscsi_conn *c;

	p->stopping = true;
	list_for_each(c, &p->conns, link) {
		if (c->state == CONN_FULL && !c->session->discovery && s->grace_ns)
			request_ask_logout(c, seconds);
		else
			conn_close(c, "the server ends");
	}
	timer_arm(p->reactor, &p->deadline, s->grace_ns, deadline);
	/*
	 * The part that accepts has closed its logins: whoever is moving to another reactor has
	 * been posted there before these messages.
	 */
	for (unsigned i = 1; p == &s->part[0] && i < s->nparts; i++)
		reactor_post(s->part[i].reactor, &s->part[i].msg, part_end);
	part_left(p);
}

void portals_closed(struct iscsi_server *s)
{
	reactor_post(s->part[0].reactor, &s->part[0].msg, part_end);
}

void iscsi_server_stop(struct iscsi_server *s, uint64_t grace_ns, void (*done)(void *arg), void *arg)
{
	s->stopping = true;
	s->grace_ns = grace_ns;
	s->done = done;
	s->arg = arg;
	s->parts_left = s->nparts;
	portals_close(s);
}

/* ---- what control asks --------------------------------------------------- */

static void info_answered(struct msg *m)
{
	struct iscsi_session_info *i = container_of(m, struct iscsi_session_info, msg);

	i->done(i);
}

static void fill_info(struct iscsi_session_info *i, const struct iscsi_session *s)
{
	const struct iscsi_conn *c = s->conn;

	i->found = true;
	i->tsih = s->tsih;
	i->commands = s->active;
	i->window = s->max_cmd_sn - s->exp_cmd_sn + 1;
	i->cid = c->cid;
	memcpy(i->peer, c->peer, sizeof(i->peer));
	i->params = c->params;
	i->counters = c->counters;
}

/* By id: the nexus itself may be gone when the message comes. */
static void info_posted(struct msg *m)
{
	struct iscsi_session_info *i = container_of(m, struct iscsi_session_info, msg);
	const struct iscsi_session *s;

	list_for_each(s, &i->part->sessions, link)
		if (s->conn && s->nexus && s->nexus->id == i->nexus_id)
			fill_info(i, s);
	reactor_post(i->control, &i->msg, info_answered);
}

void iscsi_session_info(struct iscsi_server *s, struct it_nexus *n, struct iscsi_session_info *i)
{
	i->nexus_id = n->id;
	i->found = false;
	i->control = s->ts->control;
	i->part = &s->part[reactor_id(n->reactor)];
	reactor_post(i->part->reactor, &i->msg, info_posted);
}

#define SUM(field) (l->field += __atomic_load_n(&s->part[i].n.field, __ATOMIC_RELAXED))

void iscsi_get_live(const struct iscsi_server *s, struct iscsi_live *l)
{
	*l = (struct iscsi_live){ 0 };
	for (unsigned i = 0; i < s->nparts; i++) {
		SUM(connections);
		SUM(sessions);
		SUM(tasks);
		SUM(logins);
		SUM(accepted);
		SUM(protocol_errors);
		SUM(digest_errors);
		SUM(memory_refusals);
	}
}
