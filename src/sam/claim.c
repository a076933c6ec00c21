/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What transports ask the targets' home: who is there (queries), and for a
 * session (claims). Each comes by message and goes back by message.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sam/access.h"

#define KNOWN_MAX 1024

/* ---- queries -------------------------------------------------------------------- */

static void query_answered(struct msg *m)
{
	struct login_query *q = container_of(m, struct login_query, msg);

	q->done(q);
}

static void copy_account(const struct account *a, char *user, char *secret)
{
	if (user)
		memcpy(user, a->user, sizeof(a->user));
	memcpy(secret, a->secret, sizeof(a->secret));
}

static void query_accounts(struct login_query *q, const struct list *refs,
			   const struct account *outgoing)
{
	const struct account_ref *r;

	q->auth_required = !list_empty(refs);
	list_for_each(r, refs, link) {
		if (*q->user && !strcmp(r->account->user, q->user)) {
			q->user_known = true;
			copy_account(r->account, NULL, q->secret);
		}
	}
	q->outgoing = outgoing != NULL;
	if (outgoing)
		copy_account(outgoing, q->out_user, q->out_secret);
}

static enum login_answer is_open(const struct targets *ts, const struct target *t)
{
	if (ts->offline)
		return LOGIN_OFFLINE;
	if (!t)
		return LOGIN_NOT_FOUND;
	return t->state == TARGET_OFFLINE ? LOGIN_OFFLINE : LOGIN_OK;
}

static enum login_answer may_log_in(const struct targets *ts, const struct target *t,
				    const char *initiator, const char *peer)
{
	if (!ts->offline && t && !target_admits(t, initiator, peer))
		return LOGIN_FORBIDDEN;
	return is_open(ts, t);
}

/* RFC 7143 4.4.3: the name of the session's initiator port is name and ISID. */
static struct it_nexus *session_of(const struct target *t, const char *initiator,
				   const uint8_t isid[6], uint16_t tpgt)
{
	struct it_nexus *n;

	list_for_each(n, &t->nexuses, target_link)
		if (!strcmp(n->initiator, initiator) && !memcmp(n->isid, isid, sizeof(n->isid)) &&
		    n->tpgt == tpgt)
			return n;
	return NULL;
}

static void query_posted(struct msg *m)
{
	struct login_query *q = container_of(m, struct login_query, msg);
	struct targets *ts = q->ts;
	struct target *t = target_find_name(ts, q->target);

	q->auth_required = q->user_known = q->outgoing = false;
	q->tid = 0;
	q->session = 0;
	for (unsigned i = 0; i < TARGET_PARAMS; i++)
		q->param[i] = t ? t->param[i] : -1;
	if (!*q->target) {
		q->answer = ts->offline ? LOGIN_OFFLINE : LOGIN_OK;
		query_accounts(q, &ts->discovery_incoming, ts->discovery_outgoing);
	} else {
		q->answer = may_log_in(ts, t, q->initiator, q->peer);
	}
	if (t && q->answer == LOGIN_OK) {
		const struct it_nexus *n = session_of(t, q->initiator, q->isid, q->tpgt);

		q->tid = t->tid;
		q->session = n ? n->id : 0;
		query_accounts(q, &t->incoming, t->outgoing);
	}
	reactor_post(q->from, &q->msg, query_answered);
}

void login_query_run(struct targets *ts, struct login_query *q)
{
	q->ts = ts;
	q->from = reactor_self();
	reactor_post(ts->control, &q->msg, query_posted);
}

static void names_answered(struct msg *m)
{
	struct name_query *q = container_of(m, struct name_query, msg);

	q->done(q);
}

static bool name_visible(const struct name_query *q, const struct target *t)
{
	if (*q->only && strcmp(q->only, t->name))
		return false;
	return target_admits(t, q->initiator, q->peer);
}

static void names_posted(struct msg *m)
{
	struct name_query *q = container_of(m, struct name_query, msg);
	struct target *t;
	size_t room = 0;

	list_for_each(t, &q->ts->all, link)
		if (name_visible(q, t))
			room += strlen(t->name) + 1;
	q->names = room ? malloc(room) : NULL;
	q->len = 0;
	if (q->names) {
		list_for_each(t, &q->ts->all, link) {
			if (!name_visible(q, t))
				continue;
			memcpy(q->names + q->len, t->name, strlen(t->name) + 1);
			q->len += strlen(t->name) + 1;
		}
	}
	reactor_post(q->from, &q->msg, names_answered);
}

void name_query_run(struct targets *ts, struct name_query *q)
{
	q->ts = ts;
	q->from = reactor_self();
	reactor_post(ts->control, &q->msg, names_posted);
}

/* ---- initiator ports seen before ---------------------------------------------------- */

struct known {
	struct list link; /* most recent first */
	uint32_t tid;
	uint8_t isid[6];
	char initiator[];
};

/* True if this initiator port was logged in to @tid before; now it was. */
static bool known_note(struct targets *ts, const struct claim *c, uint32_t tid)
{
	size_t len = strlen(c->initiator) + 1;
	struct known *k;

	list_for_each(k, &ts->known, link) {
		if (k->tid == tid && !memcmp(k->isid, c->isid, sizeof(k->isid)) &&
		    !strcmp(k->initiator, c->initiator)) {
			list_del(&k->link);
			list_push(&ts->known, &k->link);
			return true;
		}
	}
	if (ts->nknown == KNOWN_MAX) {
		k = list_entry(ts->known.prev, struct known, link);
		list_del(&k->link);
		free(k);
		ts->nknown--;
	}
	k = malloc(sizeof(*k) + len);
	if (!k)
		return false;
	k->tid = tid;
	memcpy(k->isid, c->isid, sizeof(k->isid));
	memcpy(k->initiator, c->initiator, len);
	list_push(&ts->known, &k->link);
	ts->nknown++;
	return false;
}

void known_free(struct targets *ts)
{
	struct list *l;

	while ((l = list_pop(&ts->known)))
		free(list_entry(l, struct known, link));
	ts->nknown = 0;
}

/* ---- claims --------------------------------------------------------------------------- */

static void claim_answered(struct msg *m)
{
	struct claim *c = container_of(m, struct claim, msg);

	c->done(c);
}

static void claim_answer(struct claim *c, enum login_answer answer, struct it_nexus *n)
{
	c->answer = answer;
	c->nexus = n;
	reactor_post(c->from, &c->msg, claim_answered);
}

void claim_attached(struct it_nexus *n)
{
	struct claim *c = n->claim;

	n->claim = NULL;
	claim_answer(c, LOGIN_OK, n);
}

static struct reactor *least_loaded(struct targets *ts)
{
	unsigned best = 0;

	for (unsigned i = 1; i < ts->nreactors; i++)
		if (ts->sessions[i] < ts->sessions[best])
			best = i;
	return ts->reactors[best];
}

static struct it_nexus *nexus_create(struct targets *ts, struct target *t, struct claim *c)
{
	struct it_nexus *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->id = ++ts->next_nexus_id;
	n->reactor = least_loaded(ts);
	n->tops = c->tops;
	n->ts = ts;
	n->target = t;
	n->tid = t->tid;
	n->rtpi = (uint16_t)t->tid;
	n->tpgt = c->tpgt;
	memcpy(n->target_name, t->name, sizeof(n->target_name));
	memcpy(n->initiator, c->initiator, sizeof(n->initiator));
	memcpy(n->initiator_alias, c->alias, sizeof(n->initiator_alias));
	memcpy(n->peer, c->peer, sizeof(n->peer));
	memcpy(n->isid, c->isid, sizeof(n->isid));
	memcpy(n->transport_id, c->transport_id, sizeof(n->transport_id));
	n->transport_id_len = c->transport_id_len;
	n->one_lun = c->one_lun;
	n->only_lun = c->lun;
	n->was_known = known_note(ts, c, t->tid);
	nexus_init(n, ts->absent, ts->wlun);
	return n;
}

/* No older session is in the way: make the nexus and attach it everywhere. */
static void claim_grant(struct targets *ts, struct target *t, struct claim *c)
{
	struct it_nexus *n = nexus_create(ts, t, c);
	struct lun_entry *le;

	if (!n) {
		log_warn("%s: no memory for a session of %s", t->name, c->initiator);
		claim_answer(c, LOGIN_BUSY, NULL);
		return;
	}
	list_add(&t->nexuses, &n->target_link);
	ts->sessions[reactor_id(n->reactor)]++;
	n->claim = c;
	list_for_each(le, &t->luns, link)
		if (nexus_may_have(n, le) && nexus_attach(n, le, NULL))
			log_warn("%s: no memory for LUN %llu of %s", t->name,
				 (unsigned long long)le->lun, c->initiator);
	if (!n->pending)
		claim_attached(n);
}

static void claim_timeout(struct timer *timer)
{
	struct claim *c = container_of(timer, struct claim, timer);

	list_del(&c->wait_link);
	log_warn("%s: the older session of %s does not end: its store still works on its commands",
		 c->target, c->initiator);
	claim_answer(c, LOGIN_BUSY, NULL);
}

static enum login_answer claim_check(const struct claim *c, struct target *t)
{
	const struct it_nexus *old;
	enum login_answer answer;

	if (!c->local)
		return may_log_in(c->ts, t, c->initiator, c->peer);
	answer = is_open(c->ts, t);
	if (answer == LOGIN_OK && c->one_lun && !target_lun(t, c->lun))
		return LOGIN_NOT_FOUND;
	old = answer == LOGIN_OK ? session_of(t, c->initiator, c->isid, c->tpgt) : NULL;
	return old && !old->gone ? LOGIN_BUSY : answer;
}

static void claim_try(struct claim *c)
{
	struct targets *ts = c->ts;
	struct target *t = target_find_name(ts, c->target);
	enum login_answer answer = claim_check(c, t);
	struct it_nexus *old;

	if (answer != LOGIN_OK) {
		timer_cancel(ts->control, &c->timer);
		claim_answer(c, answer, NULL);
		return;
	}
	old = session_of(t, c->initiator, c->isid, c->tpgt);
	if (old) {
		list_add(&old->waiters, &c->wait_link);
		target_close_nexus(old);
		if (!timer_armed(&c->timer))
			timer_arm(ts->control, &c->timer, CLAIM_TIMEOUT_NS, claim_timeout);
		return;
	}
	timer_cancel(ts->control, &c->timer);
	claim_grant(ts, t, c);
}

void claims_go_on(struct it_nexus *n)
{
	struct list waiters, *l;

	list_init(&waiters);
	list_splice(&waiters, &n->waiters);
	while ((l = list_pop(&waiters)))
		claim_try(list_entry(l, struct claim, wait_link));
}

static void claim_posted(struct msg *m)
{
	claim_try(container_of(m, struct claim, msg));
}

void claim_run(struct targets *ts, struct claim *c)
{
	c->ts = ts;
	c->from = reactor_self();
	c->nexus = NULL;
	c->timer = (struct timer){ 0 };
	list_init(&c->wait_link);
	reactor_post(ts->control, &c->msg, claim_posted);
}
