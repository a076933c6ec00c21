/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions: an I_T nexus each, and its task management. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "embed/embed.h"
#include "sam/tmf.h"
#include "transport/iscsi/names.h"

#define ISID_OF_PROGRAMS 0x800000000000ull /* RFC 7143 11.12.5: type 10b, "random" */

/* ---- login --------------------------------------------------------------------------------- */

/* On the session's reactor. */
static void begin(struct msg *m)
{
	struct stgt_session *s = container_of(m, struct stgt_session, msg);

	nexus_start(s->nexus, s);
	waiting_end(&s->started);
}

/* On control. */
static void claimed(struct claim *c)
{
	struct stgt_session *s = container_of(c, struct stgt_session, claim);

	s->nexus = c->nexus;
	if (!s->nexus) {
		waiting_end(&s->started);
		return;
	}
	s->reactor = s->nexus->reactor;
	reactor_post(s->reactor, &s->msg, begin);
}

static void claim_posted(struct msg *m)
{
	struct stgt_session *s = container_of(m, struct stgt_session, msg);

	claim_run(&s->stgt->control.ts, &s->claim);
}

/* TransportID of an iSCSI initiator port (SPC-5 7.6.4.6): reservations know these. */
static void set_port(struct claim *c)
{
	char *text = (char *)c->transport_id + 4;
	int n;

	be_store(c->isid, sizeof(c->isid), ISID_OF_PROGRAMS);
	n = snprintf(text, TRANSPORT_ID_MAX - 4, "%s,i,0x%012llx", c->initiator, ISID_OF_PROGRAMS);
	n = (int)max(round_up((unsigned)n + 1, 4), 20u);
	c->transport_id[0] = 0x45;
	be_store(c->transport_id + 2, 2, (uint64_t)n);
	c->transport_id_len = (uint16_t)(n + 4);
}

static int set_claim(struct stgt_session *s, const char *target, const char *initiator,
		     struct stgt_error *e)
{
	struct claim *c = &s->claim;
	struct err why;

	*c = (struct claim){ .tpgt = 1, .local = true, .tops = &embed_ops, .done = claimed };
	if (iscsi_name_normalise(initiator, c->initiator, &why) ||
	    iscsi_name_normalise(target, c->target, &why))
		return say_err(e, &why);
	snprintf(c->peer, sizeof(c->peer), "this program");
	set_port(c);
	return 0;
}

static int refused(const struct claim *c, struct stgt_error *e)
{
	switch (c->answer) {
	case LOGIN_NOT_FOUND:
		return say(e, -ENOENT, "there is no target %.223s: target.create makes one",
			   c->target);
	case LOGIN_FORBIDDEN:
		return say(e, -EACCES, "%.223s may not log in to %.200s", c->initiator, c->target);
	case LOGIN_OFFLINE:
		return say(e, -ESHUTDOWN, "%.223s is offline, or all targets are", c->target);
	default:
		return say(e, -EBUSY,
			   "%.180s has a session with %.180s already, or there is no memory: use "
			   "another initiator name",
			   c->initiator, c->target);
	}
}

/* What is NULL does not end in a crash of the library's threads. */
static int check_login(struct stgt *s, const char *target, const char *initiator,
		       struct stgt_session **session, struct stgt_error *e)
{
	if (session)
		*session = NULL;
	if (!s || !target || !initiator || !session)
		return say(e, -EINVAL,
			   "stgt_login() needs an instance, two names and room for the session");
	if (s->ending)
		return say(e, -ESHUTDOWN, "the target is ending");
	return may_wait("stgt_login()", e);
}

static void list_session(struct stgt_session *s)
{
	pthread_mutex_lock(&s->stgt->lock);
	list_add(&s->stgt->sessions, &s->link);
	pthread_mutex_unlock(&s->stgt->lock);
}

static int log_in(struct stgt_session *s, struct stgt_error *e)
{
	waiting_init(&s->started);
	reactor_post(s->stgt->self, &s->msg, claim_posted);
	waiting_for(&s->started, -1);
	waiting_fini(&s->started);
	return s->reactor ? 0 : refused(&s->claim, e);
}

int stgt_login(struct stgt *s, const char *target, const char *initiator,
	       struct stgt_session **session, struct stgt_error *e)
{
	int err = check_login(s, target, initiator, session, e);
	struct stgt_session *new;

	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (!new)
		return say(e, -ENOMEM, "no memory for a session");
	new->stgt = s;
	list_init(&new->leaving);
	err = set_claim(new, target, initiator, e);
	if (!err)
		err = log_in(new, e);
	if (err) {
		free(new);
		return err;
	}
	list_session(new);
	*session = new;
	return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

struct leaving {
	struct list link;
	struct msg msg;
	struct stgt_session *session;
	struct waiting gone;
};

static void tell_leaving(struct msg *m)
{
	struct stgt_session *s = container_of(m, struct stgt_session, msg);
	struct list all = LIST_INIT(all), *l;

	list_splice(&all, &s->leaving); /* who waits may free the session */
	while ((l = list_pop(&all)))
		waiting_end(&list_entry(l, struct leaving, link)->gone);
}

/*
 * In a later turn control has been told, too: who logs in again after the logout comes to
 * control after that.
 */
void session_over(struct it_nexus *n)
{
	struct stgt_session *s = n->session;

	s->nexus = NULL;
	atomic_store_explicit(&s->over, true, memory_order_release);
	if (!list_empty(&s->leaving))
		reactor_post(s->reactor, &s->msg, tell_leaving);
}

static void leave(struct msg *m)
{
	struct leaving *l = container_of(m, struct leaving, msg);
	struct stgt_session *s = l->session;

	if (!s->nexus) {
		waiting_end(&l->gone);
		return;
	}
	list_add(&s->leaving, &l->link);
	nexus_drop(s->nexus);
}

int stgt_logout(struct stgt_session *s)
{
	struct leaving l = { .session = s };

	if (!s)
		return -EINVAL;
	if (may_wait("stgt_logout()", NULL))
		return -EDEADLK;
	list_init(&l.link);
	waiting_init(&l.gone);
	reactor_post(s->reactor, &l.msg, leave);
	waiting_for(&l.gone, -1);
	waiting_fini(&l.gone);
	return 0;
}

int stgt_session_free(struct stgt_session *s)
{
	int err = s ? stgt_logout(s) : 0;

	if (err || !s)
		return err;
	pthread_mutex_lock(&s->stgt->lock);
	list_del(&s->link);
	pthread_mutex_unlock(&s->stgt->lock);
	free(s);
	return 0;
}

/* ---- task management --------------------------------------------------------------------------- */

struct managing {
	struct tmf tmf;
	struct msg msg;
	struct stgt_session *session;
	void (*done)(void *arg, int response);
	void *arg;
};

static void managed(struct tmf *t)
{
	struct managing *m = container_of(t, struct managing, tmf);

	m->done(m->arg, (int)t->response);
	free(m);
}

static void manage(struct msg *msg)
{
	struct managing *m = container_of(msg, struct managing, msg);

	m->tmf.nexus = m->session->nexus;
	if (m->tmf.nexus) {
		tmf_submit(&m->tmf);
		return;
	}
	m->done(m->arg, -ENOTCONN);
	free(m);
}

int stgt_manage_start(struct stgt_session *s, enum stgt_function function, uint64_t lun,
		      uint64_t tag, void (*done)(void *arg, int response), void *arg)
{
	static const uint8_t by_number[8];
	struct managing *m;
	uint8_t field[8];

	if (!s || !done || function < STGT_ABORT_TASK || function > STGT_QUERY_TASK_SET ||
	    lun_field(lun, by_number, field))
		return -EINVAL;
	if (atomic_load_explicit(&s->over, memory_order_acquire))
		return -ENOTCONN;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->tmf.function = (enum tmf_function)function;
	memcpy(m->tmf.lun, field, sizeof(field));
	m->tmf.ref_tag = tag;
	m->tmf.done = managed;
	m->session = s;
	m->done = done;
	m->arg = arg;
	reactor_post(s->reactor, &m->msg, manage);
	return 0;
}

struct response {
	int response;
	struct waiting came;
};

static void response_came(void *arg, int response)
{
	struct response *r = arg;

	r->response = response;
	waiting_end(&r->came);
}

int stgt_manage(struct stgt_session *s, enum stgt_function function, uint64_t lun, uint64_t tag)
{
	struct response r;
	int err = may_wait("stgt_manage()", NULL);

	if (err)
		return err;
	waiting_init(&r.came);
	err = stgt_manage_start(s, function, lun, tag, response_came, &r);
	if (!err)
		waiting_for(&r.came, -1);
	waiting_fini(&r.came);
	return err ? err : r.response;
}
