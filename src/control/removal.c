/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/removal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"

#define LOOK_NS (10 * NSEC_PER_MSEC) /* between looks at what is left when all goes */

struct removal {
	struct list link; /* in control.removals */
	struct control *control;
	uint32_t tid;
	enum target_state was;
	struct timer timer; /* armed while sessions are waited for */
	unsigned left; /* units, and one for the loop */
	void (*done)(void *arg, int err, const struct err *e);
	void *arg;
};

int target_going(struct control *c, uint32_t tid, struct err *e)
{
	const struct removal *r;

	list_for_each(r, &c->removals, link) {
		if (r->tid == tid)
			return err_set(e, -EBUSY, "target %u is being deleted", tid);
	}
	return 0;
}

int target_busy(struct control *c, struct target *t, bool force, struct err *e)
{
	const struct unit *u;

	if (target_going(c, t->tid, e))
		return -EBUSY;
	if (!force && !list_empty(&t->nexuses))
		return err_set(e, -EBUSY, "target %u has sessions: close them, or force it", t->tid);
	list_for_each(u, &c->units, link) {
		if (u->tid == t->tid && (!u->ready || u->removing || u->updating))
			return err_set(e, -EBUSY, "LUN %u of target %u is being changed: try again",
				       (unsigned)u->lun, t->tid);
	}
	return 0;
}

static void removal_end(struct removal *r, int err, const struct err *e)
{
	list_del(&r->link);
	if (r->done)
		r->done(r->arg, err, e);
	free(r);
}

static void unit_gone(void *arg)
{
	struct removal *r = arg;
	struct targets *ts = &r->control->ts;
	struct err e;
	int err;

	if (--r->left)
		return;
	err = target_destroy(ts, target_find(ts, r->tid), &e);
	removal_end(r, err, err ? &e : NULL);
}

static void remove_units(struct removal *r)
{
	struct unit *u, *next;

	r->left = 1;
	list_for_each(u, &r->control->units, link)
		r->left += u->tid == r->tid;
	list_for_each_safe(u, next, &r->control->units, link) {
		if (u->tid == r->tid)
			unit_remove(u, unit_gone, r);
	}
	unit_gone(r);
}

static void sessions_stay(struct removal *r, struct target *t)
{
	struct err e;

	t->state = r->was;
	err_set(&e, -EBUSY,
		"the sessions of target %u do not end: a store still works on their "
		"commands",
		t->tid);
	log_err("%s", e.text);
	removal_end(r, e.code, &e);
}

static void too_late(struct timer *timer)
{
	struct removal *r = container_of(timer, struct removal, timer);

	sessions_stay(r, target_find(&r->control->ts, r->tid));
}

void removal_nexus_left(struct targets *ts, struct target *t)
{
	struct control *c = container_of(ts, struct control, ts);
	struct removal *r;

	attach_look_again(c);
	if (!list_empty(&t->nexuses))
		return;
	list_for_each(r, &c->removals, link) {
		if (r->tid == t->tid && timer_armed(&r->timer)) {
			timer_cancel(c->self, &r->timer);
			remove_units(r);
			return;
		}
	}
}

int target_remove(struct control *c, struct target *t, bool force,
		  void (*done)(void *arg, int err, const struct err *e), void *arg)
{
	struct removal *r = calloc(1, sizeof(*r));
	struct it_nexus *n;

	if (!r)
		return -ENOMEM;
	list_add(&c->removals, &r->link);
	r->control = c;
	r->tid = t->tid;
	r->was = t->state;
	r->done = done;
	r->arg = arg;
	t->state = TARGET_OFFLINE;
	if (force) {
		list_for_each(n, &t->nexuses, target_link)
			target_close_nexus(n);
	}
	if (list_empty(&t->nexuses))
		remove_units(r);
	else
		timer_arm(c->self, &r->timer, TARGET_REMOVE_NS, too_late);
	return 0;
}

/* ---- everything --------------------------------------------------------------------- */

static void clear_look(struct timer *timer)
{
	struct control *c = container_of(timer, struct control, clear_timer);
	bool cut = reactor_now(c->self) >= c->cut_at;
	struct target *t, *next;

	list_for_each_safe(t, next, &c->ts.all, link) {
		if ((cut || list_empty(&t->nexuses)) && !target_busy(c, t, true, NULL))
			target_remove(c, t, true, NULL, NULL);
	}
	if (list_empty(&c->ts.all) && list_empty(&c->units))
		c->cleared(c);
	else
		timer_arm(c->self, &c->clear_timer, LOOK_NS, clear_look);
}

bool control_stuck(struct control *c)
{
	const struct target *t;
	const struct unit *u;
	bool sessions = false;

	list_for_each(t, &c->ts.all, link)
		sessions |= !list_empty(&t->nexuses);
	list_for_each(u, &c->units, link) {
		t = target_find(&c->ts, u->tid);
		if (!t || list_empty(&t->nexuses))
			return false; /* it is being flushed and closed */
	}
	return sessions;
}

void control_clear(struct control *c, uint64_t grace_ns, void (*done)(struct control *c))
{
	c->ts.offline = true;
	c->cleared = done;
	c->cut_at = reactor_now(c->self) + grace_ns;
	clear_look(&c->clear_timer);
}
