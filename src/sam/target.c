/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets and their LUN maps. Everything here runs on the control reactor, but what says otherwise. */
#include "sam/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sam/access.h"
#include "sam/transport.h"

static struct lu *builtin_lu(struct targets *ts, const char *name, const struct device_server *ds)
{
	static const struct lu_view ready = { .state = LU_READY };

	return lu_create(name, ds, NULL, 0, ts->reactors, ts->nreactors, ts->reactors[0], &ready);
}

int targets_init(struct targets *ts, struct reactor *control, struct reactor *const *reactors,
		 unsigned nreactors, const struct device_server *absent,
		 const struct device_server *wlun)
{
	*ts = (struct targets){
		.control = control,
		.reactors = reactors,
		.nreactors = nreactors,
	};
	list_init(&ts->all);
	list_init(&ts->accounts);
	list_init(&ts->discovery_incoming);
	list_init(&ts->known);
	ts->absent = builtin_lu(ts, "absent", absent);
	ts->wlun = builtin_lu(ts, "report-luns", wlun);
	if (!ts->absent || !ts->wlun) {
		targets_fini(ts);
		return -ENOMEM;
	}
	return 0;
}

void targets_fini(struct targets *ts)
{
	accounts_free(ts);
	known_free(ts);
	lu_destroy(ts->absent);
	lu_destroy(ts->wlun);
	ts->absent = ts->wlun = NULL;
}

struct target *target_find(struct targets *ts, uint32_t tid)
{
	struct target *t;

	list_for_each(t, &ts->all, link)
		if (t->tid == tid)
			return t;
	return NULL;
}

struct target *target_find_name(struct targets *ts, const char *name)
{
	struct target *t;

	list_for_each(t, &ts->all, link)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

static int target_check(struct targets *ts, uint32_t tid, const char *name, struct err *e)
{
	struct target *t;

	if (!tid || tid > UINT16_MAX)
		return err_set(e, -EINVAL, "target id %u is not between 1 and 65535", tid);
	if (!*name || strlen(name) > INITIATOR_NAME_MAX)
		return err_set(e, -EINVAL, "a target name has 1 to %d characters, this one has %zu",
			       INITIATOR_NAME_MAX, strlen(name));
	t = target_find(ts, tid);
	if (t)
		return err_set(e, -EEXIST, "target id %u is taken by %s", tid, t->name);
	t = target_find_name(ts, name);
	if (t)
		return err_set(e, -EEXIST, "target %s exists already, as target %u", name, t->tid);
	return 0;
}

/* Keep ts->all by ascending tid. */
static void target_insert(struct targets *ts, struct target *t)
{
	struct target *at;

	list_for_each(at, &ts->all, link)
		if (at->tid > t->tid)
			break;
	list_insert(&t->link, at->link.prev, &at->link);
}

struct target *target_create(struct targets *ts, uint32_t tid, const char *name, struct err *e)
{
	struct target *t;

	if (target_check(ts, tid, name, e))
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t) {
		err_set(e, -ENOMEM, "no memory for target %s", name);
		return NULL;
	}
	t->tid = tid;
	snprintf(t->name, sizeof(t->name), "%s", name);
	list_init(&t->luns);
	list_init(&t->acls);
	list_init(&t->incoming);
	list_init(&t->nexuses);
	for (unsigned i = 0; i < TARGET_PARAMS; i++)
		t->param[i] = -1;
	target_insert(ts, t);
	return t;
}

int target_destroy(struct targets *ts, struct target *t, struct err *e)
{
	if (!list_empty(&t->nexuses))
		return err_set(e, -EBUSY, "target %s has sessions: close them first, or force it",
			       t->name);
	if (!list_empty(&t->luns))
		return err_set(e, -EBUSY, "target %s still has logical units", t->name);
	target_access_free(t);
	list_del(&t->link);
	free(t);
	return 0;
}

/* ---- LUN map --------------------------------------------------------------- */

struct lun_entry *target_lun(struct target *t, uint64_t lun)
{
	struct lun_entry *le;

	list_for_each(le, &t->luns, link)
		if (le->lun == lun)
			return le;
	return NULL;
}

static void lun_insert(struct target *t, struct lun_entry *le)
{
	struct lun_entry *at;

	list_for_each(at, &t->luns, link)
		if (at->lun > le->lun)
			break;
	list_insert(&le->link, at->link.prev, &at->link);
}

/* Who waits until every nexus has got, or lost, a LUN. */
struct unmap {
	struct target *target;
	struct lun_entry *entry; /* to remove at the end; NULL: this is a map */
	unsigned left;
	void (*done)(void *arg);
	void *arg;
};

static void unmap_put(struct unmap *u)
{
	if (--u->left)
		return;
	if (u->entry) {
		list_del(&u->entry->link);
		u->entry->lu->maps--;
		free(u->entry);
	}
	if (u->done)
		u->done(u->arg);
	free(u);
}

static void itl_detach(struct itl *itl);

/* Is it time to free a nexus that has left its reactor? */
static void nexus_maybe_free(struct it_nexus *n)
{
	struct targets *ts = n->ts;
	struct target *t = n->target;

	if (!n->gone || n->pending)
		return;
	list_del(&n->target_link);
	ts->sessions[reactor_id(n->reactor)]--;
	claims_go_on(n);
	free(n);
	if (ts->nexus_left)
		ts->nexus_left(ts, t);
}

/* ---- attach ------------------------------------------------------------------ */

static bool attach_decide(struct lu_tx *tx)
{
	struct itl *itl = tx->itl;

	list_add(&tx->lu->itls, &itl->home.link);
	lu_reservations_changed(tx->lu);
	return true;
}

/* On each reactor: the nexus's own takes the LUN into its table. */
static void attach_apply(struct lu_tx *tx, struct lu_part *part)
{
	struct itl *itl = tx->itl;
	struct it_nexus *n = itl->nexus;

	if (part != itl->part)
		return;
	list_add(&part->itls, &itl->part_link);
	itl->conflicts = itl->home.conflicts;
	if (n->state == NEXUS_DRAINED) /* control may have freed what is in its table */
		return;
	hash_add(&n->luns, &itl->by_lun, itl->lun);
	n->nluns++;
	if (n->state == NEXUS_LIVE)
		nexus_establish_ua(n, itl, UA_LUNS_CHANGED);
	nexus_lun_changed(n, itl->lun, true);
}

static void itl_remove(struct itl *itl);

static void attached(struct lu_tx *tx)
{
	struct itl *itl = tx->itl;
	struct it_nexus *n = itl->nexus;
	struct unmap *waiting = itl->unmap;

	itl->attaching = false;
	n->pending--;
	if (n->gone)
		itl_detach(itl);
	else if (itl->unmapped)
		itl_remove(itl);
	if (waiting && !itl->unmapped) { /* else it waits for the detach */
		itl->unmap = NULL;
		unmap_put(waiting);
	}
	if (n->claim && !n->pending)
		claim_attached(n);
	nexus_maybe_free(n);
}

int nexus_attach(struct it_nexus *n, struct lun_entry *le, struct unmap *waiting)
{
	struct itl *itl = calloc(1, sizeof(*itl));

	if (!itl)
		return -ENOMEM;
	itl_init(itl, n, le->lu, le->lun);
	list_add(&n->itls, &itl->nexus_link);
	itl->attaching = true;
	itl->unmap = waiting;
	n->pending++;
	itl->tx.itl = itl;
	itl->tx.decide = attach_decide;
	itl->tx.apply = attach_apply;
	itl->tx.done = attached;
	lu_tx_run(itl->lu, &itl->tx);
	return 0;
}

/* ---- detach -------------------------------------------------------------------- */

static bool detach_decide(struct lu_tx *tx)
{
	struct itl *itl = tx->itl;

	list_del(&itl->home.link);
	/* SPC-2 5.5.1: a reservation ends with its nexus; registrations outlive it */
	if (tx->lu->spc2_holder == itl)
		tx->lu->spc2_holder = NULL;
	lu_reservations_changed(tx->lu);
	return true;
}

static void detach_apply(struct lu_tx *tx, struct lu_part *part)
{
	if (part == tx->itl->part)
		list_del(&tx->itl->part_link);
}

static void detached(struct lu_tx *tx)
{
	struct itl *itl = tx->itl;
	struct it_nexus *n = itl->nexus;
	struct unmap *waiting = itl->unmap;

	list_del(&itl->nexus_link);
	free(itl);
	n->pending--;
	if (waiting)
		unmap_put(waiting);
	if (n->claim && !n->pending)
		claim_attached(n);
	nexus_maybe_free(n);
}

/* No command is left, and none will come. */
static void itl_detach(struct itl *itl)
{
	if (!itl->detaching) {
		itl->detaching = true;
		itl->nexus->pending++;
	}
	itl->tx.decide = detach_decide;
	itl->tx.apply = detach_apply;
	itl->tx.done = detached;
	lu_tx_run(itl->lu, &itl->tx);
}

static void removed_posted(struct msg *m)
{
	itl_detach(container_of(m, struct itl, msg));
}

void itl_removed(struct itl *itl)
{
	list_del(&itl->leaving);
	reactor_post(itl->nexus->ts->control, &itl->msg, removed_posted);
}

/* On the nexus's reactor: the LUN leaves the table, its commands end. */
static void remove_posted(struct msg *m)
{
	struct itl *itl = container_of(m, struct itl, msg);
	struct it_nexus *n = itl->nexus;

	if (itl->by_lun.pprev) { /* it came before the nexus was drained */
		hash_del(&itl->by_lun);
		n->nluns--;
	}
	nexus_establish_ua(n, NULL, UA_LUNS_CHANGED);
	nexus_lun_changed(n, itl->lun, false);
	itl_abort_all(itl, V_TASK_ABORTED);
	itl->removing = true;
	list_add(&n->leaving, &itl->leaving);
	if (!itl->tasks.live)
		itl_removed(itl);
}

static void itl_remove(struct itl *itl)
{
	itl->detaching = true;
	itl->nexus->pending++;
	reactor_post(itl->nexus->reactor, &itl->msg, remove_posted);
}

static void farewell_answered(struct msg *m)
{
	struct it_nexus *n = container_of(m, struct it_nexus, gone_msg);

	n->pending--;
	nexus_maybe_free(n);
}

/* On the nexus's reactor: what control posted about it before has been seen. */
static void farewell_posted(struct msg *m)
{
	struct it_nexus *n = container_of(m, struct it_nexus, gone_msg);

	reactor_post(n->ts->control, m, farewell_answered);
}

void nexus_gone(struct it_nexus *n)
{
	struct itl *itl, *tmp;

	n->gone = true;
	if (n->drop_asked) { /* drop_msg may still be under way */
		n->pending++;
		reactor_post(n->reactor, &n->gone_msg, farewell_posted);
	}
	list_for_each_safe(itl, tmp, &n->itls, nexus_link)
		if (!itl->attaching && !itl->detaching)
			itl_detach(itl);
	nexus_maybe_free(n);
}

bool nexus_may_have(const struct it_nexus *n, const struct lun_entry *le)
{
	if (n->one_lun && n->only_lun != le->lun)
		return false;
	return !le->removing && (!le->reserved || !strcmp(le->reserved, n->tops->name));
}

/* ---- map and unmap ------------------------------------------------------------- */

int target_map(struct targets *ts, struct target *t, uint64_t lun, struct lu *lu,
	       void (*done)(void *arg), void *arg, struct err *e)
{
	struct lun_entry *le;
	struct it_nexus *n;
	struct unmap *u;

	if (lun > LUN_MAX)
		return err_set(e, -EINVAL, "LUN %llu is above %d", (unsigned long long)lun, LUN_MAX);
	if (target_lun(t, lun))
		return err_set(e, -EEXIST, "LUN %llu of target %s exists already",
			       (unsigned long long)lun, t->name);
	le = calloc(1, sizeof(*le));
	u = calloc(1, sizeof(*u));
	if (!le || !u) {
		free(le);
		free(u);
		return err_set(e, -ENOMEM, "no memory to map LUN %llu", (unsigned long long)lun);
	}
	*le = (struct lun_entry){ .lun = lun, .lu = lu };
	lun_insert(t, le);
	lu->maps++;
	*u = (struct unmap){ .target = t, .left = 1, .done = done, .arg = arg };
	list_for_each(n, &t->nexuses, target_link) {
		if (n->gone || !nexus_may_have(n, le) || nexus_attach(n, le, u))
			continue;
		u->left++;
	}
	unmap_put(u);
	return 0;
}

static struct itl *nexus_find_itl(struct it_nexus *n, uint64_t lun)
{
	struct itl *itl;

	list_for_each(itl, &n->itls, nexus_link)
		if (itl->lun == lun && !itl->unmapped)
			return itl;
	return NULL;
}

static void nexus_unmap(struct it_nexus *n, struct unmap *u)
{
	struct itl *itl = nexus_find_itl(n, u->entry->lun);

	if (!itl)
		return;
	itl->unmapped = true;
	if (itl->unmap) /* a map that is still under way: it has been told enough */
		unmap_put(itl->unmap);
	itl->unmap = u;
	u->left++;
	if (!itl->attaching && !itl->detaching)
		itl_remove(itl);
}

int target_unmap(struct targets *ts, struct target *t, uint64_t lun, void (*done)(void *arg),
		 void *arg, struct err *e)
{
	struct lun_entry *le = target_lun(t, lun);
	struct it_nexus *n;
	struct unmap *u;

	if (!le)
		return err_set(e, -ENOENT, "target %s has no LUN %llu", t->name,
			       (unsigned long long)lun);
	if (le->removing)
		return err_set(e, -EBUSY, "LUN %llu of target %s is being removed already",
			       (unsigned long long)lun, t->name);
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_set(e, -ENOMEM, "no memory to unmap LUN %llu", (unsigned long long)lun);
	le->removing = true;
	*u = (struct unmap){ .target = t, .entry = le, .left = 1, .done = done, .arg = arg };
	list_for_each(n, &t->nexuses, target_link)
		nexus_unmap(n, u);
	unmap_put(u);
	return 0;
}

/* ---- reserve -------------------------------------------------------------------- */

int target_reserve_lun(struct target *t, uint64_t lun, const char *name, struct err *e)
{
	struct lun_entry *le = target_lun(t, lun);
	const struct it_nexus *n;

	if (!le || le->removing)
		return err_set(e, -ENOENT, "target %s has no LUN %llu", t->name,
			       (unsigned long long)lun);
	if (le->reserved)
		return err_set(e, -EBUSY, "LUN %llu of target %s is reserved for %s already",
			       (unsigned long long)lun, t->name, le->reserved);
	list_for_each(n, &t->nexuses, target_link) {
		if (n->gone || !nexus_may_have(n, le) || !strcmp(n->tops->name, name))
			continue;
		return err_set(e, -EBUSY, "LUN %llu of target %s is in use by %s session %llu of %s",
			       (unsigned long long)lun, t->name, n->tops->name,
			       (unsigned long long)n->id, n->initiator);
	}
	le->reserved = name;
	return 0;
}

void target_release_lun(struct target *t, uint64_t lun)
{
	struct lun_entry *le = target_lun(t, lun);
	struct it_nexus *n;

	if (!le || !le->reserved)
		return;
	le->reserved = NULL;
	list_for_each(n, &t->nexuses, target_link)
		if (!n->gone && nexus_may_have(n, le) && !nexus_find_itl(n, lun))
			nexus_attach(n, le, NULL);
}

/* ---- sessions --------------------------------------------------------------------- */

struct it_nexus *target_nexus(struct target *t, uint64_t id)
{
	struct it_nexus *n;

	list_for_each(n, &t->nexuses, target_link)
		if (n->id == id)
			return n;
	return NULL;
}

/* On the nexus's reactor. */
static void close_posted(struct msg *m)
{
	struct it_nexus *n = container_of(m, struct it_nexus, drop_msg);

	if (n->state == NEXUS_STARTING)
		n->close_at_start = true;
	else if (n->state == NEXUS_LIVE)
		n->tops->close_session(n);
}

void target_close_nexus(struct it_nexus *n)
{
	if (n->drop_asked || n->gone)
		return;
	n->drop_asked = true;
	reactor_post(n->reactor, &n->drop_msg, close_posted);
}

void target_close_others(struct it_nexus *n)
{
	struct it_nexus *other;

	list_for_each(other, &n->target->nexuses, target_link)
		if (other != n)
			target_close_nexus(other);
}
