/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A job is a list of steps; each ends in next() or in fail(). What a deed does is
 * its list, read from the top; what a failure undoes is in undo().
 */
#include "control/medium.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "cmdset/passthrough.h"
#include "sam/transaction.h"

#define LOOK_NS (2 * NSEC_PER_MSEC) /* between looks at what the store still works on */
#define PATIENCE_NS (30 * NSEC_PER_SEC) /* for that */
#define RETRY_MIN_NS NSEC_PER_SEC /* between openings of a lost store */
#define RETRY_MAX_NS (30 * NSEC_PER_SEC)

struct last_flush;

struct job {
	struct unit *unit;
	struct medium_wish wish;
	void (*const *step)(struct job *j); /* the next one */
	void (*done)(void *arg, const struct err *e);
	void *arg;
	struct err err;

	struct store_open open;
	struct store *next; /* opened, and not in use yet; what is to be closed after */
	bool paused, away; /* what has been done to the LU */
	struct store *old; /* taken out of use */
	struct lu_tx tx;
	struct timer timer;
	uint64_t patience;
	struct last_flush *flush;
	struct store_resize resize;
	char *bstype, *path, *bsopts, *bsoflags;
};

static void next(struct job *j)
{
	(*j->step++)(j);
}

/* @s, or none, is to be the unit's store soon. */
static void expect(struct job *j, struct store *s)
{
	j->next = j->unit->coming = s;
	j->unit->coming_events = 0;
}

/* ---- the end ---------------------------------------------------------------------- */

static void retry_later(struct unit *u);

static void job_free(struct job *j)
{
	free(j->bstype);
	free(j->path);
	free(j->bsopts);
	free(j->bsoflags);
	free(j);
}

static void end(struct job *j)
{
	struct unit *u = j->unit;
	void (*done)(void *arg, const struct err *e) = j->done;

	u->updating = false;
	done(j->arg, &j->err);
	job_free(j);
	if (u->medium_state == UNIT_LOST && !u->removing)
		retry_later(u);
	medium_begin_pending(u);
	unit_unref(u);
}

static void next_closed(void *arg)
{
	end(arg);
}

static void undone(struct job *j)
{
	struct store *s = j->next;

	expect(j, NULL);
	if (s)
		store_close(j->unit->control->self, s, next_closed, j);
	else
		end(j);
}

static bool resume_decide(struct lu_tx *tx)
{
	disk_resume(tx->lu);
	return true;
}

static void resumed(struct lu_tx *tx)
{
	undone(container_of(tx, struct job, tx));
}

/* j->err says why. */
static void fail(struct job *j)
{
	if (!j->paused || j->away) {
		undone(j);
		return;
	}
	j->tx = (struct lu_tx){ .decide = resume_decide, .done = resumed };
	lu_tx_run(j->unit->lu, &j->tx);
}

/* ---- steps: opening ---------------------------------------------------------------- */

static void opened(struct store_open *o)
{
	struct job *j = container_of(o, struct job, open);

	expect(j, o->store);
	if (o->store) {
		next(j);
		return;
	}
	j->err = o->err;
	fail(j);
}

static void open_spec(struct job *j, const struct store_spec *spec, bool news)
{
	struct unit *u = j->unit;

	j->open = (struct store_open){
		.spec = *spec,
		.reactors = u->control->reactors,
		.nreactors = u->control->nreactors,
		.home = u->lu->home,
		.news = news ? medium_news : NULL,
		.news_arg = u,
		.done = opened,
	};
	store_open(u->control->self, &j->open);
}

static void open_placeholder(struct job *j)
{
	char size[32];

	snprintf(size, sizeof(size), "size=%u", j->unit->block_size);
	open_spec(j,
		  &(struct store_spec){
			  .type = "null", .opts = size, .block_size = j->unit->block_size },
		  false);
}

static void open_own(struct job *j)
{
	const struct unit *u = j->unit;

	open_spec(j,
		  &(struct store_spec){ u->bstype, u->path, u->bsopts, u->bsoflags, u->block_size,
					u->readonly },
		  true);
}

static void recognised(struct pass_probe *p)
{
	struct job *j = p->arg;

	j->err = p->err;
	if (!p->err.code && !pass_same(p, j->unit->probe))
		err_set(&j->err, -ENODEV,
			"%s leads to another device now: delete the logical unit, and make one of "
			"the device that is meant",
			store_path(j->next));
	free(p);
	if (j->err.code)
		fail(j);
	else
		next(j);
}

/* A device that is passed through must be the one that it was. */
static void recognise(struct job *j)
{
	struct pass_probe *p;

	if (!j->unit->probe) {
		next(j);
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		err_set(&j->err, -ENOMEM, "no memory to ask who %s is", store_path(j->next));
		fail(j);
		return;
	}
	p->store = j->next;
	p->home = j->unit->lu->home;
	p->done = recognised;
	p->arg = j;
	pass_probe(p);
}

static void open_other(struct job *j)
{
	open_spec(j,
		  &(struct store_spec){ j->bstype, j->path, j->bsopts, j->bsoflags,
					j->unit->block_size, j->unit->readonly },
		  true);
}

static void check_other(struct job *j)
{
	uint64_t is = store_size(j->unit->store), will = store_size(j->next);

	if (store_limits(j->next)->cap[STORE_READ] == STORE_CAP_NO) {
		err_set(&j->err, -EINVAL,
			"the other store, %s, has no bytes, it leads to a device: name a store "
			"that "
			"has the same contents",
			store_type(j->next));
		fail(j);
		return;
	}
	if (is == will || j->wish.other_size) {
		next(j);
		return;
	}
	err_set(&j->err, -EINVAL,
		"the other store has %" PRIu64 " bytes, this one has %" PRIu64
		": give it the same size, or allow another one",
		will, is);
	fail(j);
}

/* ---- steps: pausing ------------------------------------------------------------------ */

static bool pause_decide(struct lu_tx *tx)
{
	disk_pause(tx->lu);
	return true;
}

static void paused(struct lu_tx *tx)
{
	struct job *j = container_of(tx, struct job, tx);

	j->paused = true;
	next(j);
}

static void pause_unit(struct job *j)
{
	j->tx = (struct lu_tx){ .decide = pause_decide, .done = paused };
	lu_tx_run(j->unit->lu, &j->tx);
}

static void look(struct timer *t)
{
	struct job *j = container_of(t, struct job, timer);
	struct reactor *self = j->unit->control->self;
	unsigned n = store_inflight(j->unit->store);

	if (!n) {
		next(j);
	} else if (reactor_now(self) < j->patience) {
		timer_arm(self, &j->timer, LOOK_NS, look);
	} else {
		err_set(&j->err, -EBUSY,
			"the store still works on %u requests: nothing was changed; try again when "
			"it answers",
			n);
		fail(j);
	}
}

/* Requests that came before the pause end; a transaction that waited for them would hold up others. */
static void wait_idle(struct job *j)
{
	j->patience = reactor_now(j->unit->control->self) + PATIENCE_NS;
	look(&j->timer);
}

/* ---- steps: flushing ----------------------------------------------------------------- */

/* Its own memory: a store that hangs must not hold up the job for ever. */
struct last_flush {
	struct store_io io;
	struct msg msg;
	struct store *store;
	struct reactor *self;
	struct job *job; /* NULL: waited for too long */
};

static void flush_ended(struct job *j, int err)
{
	if (!err || j->wish.deed == MEDIUM_REOPEN) {
		next(j);
		return;
	}
	err_set(&j->err, err, "the store cannot be flushed: %s; nothing was changed",
		strerror(-err));
	fail(j);
}

static void flush_answered(struct msg *m)
{
	struct last_flush *f = container_of(m, struct last_flush, msg);
	struct job *j = f->job;
	int err = f->io.err;

	free(f);
	if (!j)
		return;
	timer_cancel(j->unit->control->self, &j->timer);
	flush_ended(j, err);
}

static void flushed(struct store_io *io)
{
	struct last_flush *f = container_of(io, struct last_flush, io);

	reactor_post(f->self, &f->msg, flush_answered);
}

/* On the home. */
static void flush_posted(struct msg *m)
{
	struct last_flush *f = container_of(m, struct last_flush, msg);

	f->io.verb = STORE_FLUSH;
	f->io.done = flushed;
	store_submit(f->store, &f->io);
}

/* The request stays with the store, which stays in use. */
static void flush_overdue(struct timer *t)
{
	struct job *j = container_of(t, struct job, timer);

	j->flush->job = NULL;
	err_set(&j->err, -ETIMEDOUT,
		"the store does not answer a flush: nothing was changed; try again when it does");
	fail(j);
}

static void flush(struct job *j)
{
	const struct unit *u = j->unit;
	struct last_flush *f;

	/* after an error there is nothing that a flush could promise */
	if (store_limits(u->store)->readonly || store_has_error(u->store) ||
	    store_why_away(u->store)) {
		next(j);
		return;
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		err_set(&j->err, -ENOMEM, "no memory to flush the store");
		fail(j);
		return;
	}
	f->store = u->store;
	f->self = u->control->self;
	f->job = j;
	j->flush = f;
	timer_arm(f->self, &j->timer, PATIENCE_NS, flush_overdue);
	reactor_post(u->lu->home, &f->msg, flush_posted);
}

/* ---- steps: changing what is behind the LU ---------------------------------------------- */

static bool take_away_decide(struct lu_tx *tx)
{
	struct job *j = container_of(tx, struct job, tx);

	disk_take_away(tx->lu, j->next,
		       j->wish.deed == MEDIUM_OFFLINE ? V_NOT_READY_OFFLINE : V_BECOMING_READY);
	return true;
}

static bool bring_back_decide(struct lu_tx *tx)
{
	struct job *j = container_of(tx, struct job, tx);

	disk_bring_back(tx->lu, j->next, j->unit->readonly, j->unit->online);
	return true;
}

static bool set_store_decide(struct lu_tx *tx)
{
	struct job *j = container_of(tx, struct job, tx);

	disk_set_store(tx->lu, j->next, j->unit->readonly);
	return true;
}

static void changed(struct lu_tx *tx)
{
	struct job *j = container_of(tx, struct job, tx);
	struct unit *u = j->unit;

	j->paused = false;
	j->old = u->store;
	u->store = j->next;
	u->events = u->coming_events; /* the old one's are of no interest any more */
	expect(j, NULL);
	next(j);
}

/* A failed flush stays known until an operator clears it, whatever store comes in between. */
static void keep_error(struct job *j, bool medium)
{
	struct unit *u = j->unit;

	u->failed |= store_has_error(u->store);
	if (u->failed && medium) {
		store_inherit_error(j->next);
		u->failed = false;
	}
}

/* @medium: j->next is one, not a placeholder. */
static void change(struct job *j, bool medium, bool (*decide)(struct lu_tx *tx))
{
	keep_error(j, medium);
	j->tx = (struct lu_tx){ .decide = decide, .done = changed };
	lu_tx_run(j->unit->lu, &j->tx);
}

static void take_away(struct job *j)
{
	j->away = true;
	j->unit->medium_state = j->wish.deed == MEDIUM_OFFLINE ? UNIT_OFFLINE : UNIT_LOST;
	change(j, false, take_away_decide);
}

static void bring_back(struct job *j)
{
	j->unit->medium_state = UNIT_ONLINE;
	j->unit->retry_ns = 0;
	change(j, true, bring_back_decide);
}

static void exchange(struct job *j)
{
	change(j, true, set_store_decide);
}

static void old_closed(void *arg)
{
	struct job *j = arg;

	j->old = NULL;
	next(j);
}

static void close_old(struct job *j)
{
	store_close(j->unit->control->self, j->old, old_closed, j);
}

/* The unit is what it was exchanged for. */
static void take_words(struct job *j)
{
	struct unit *u = j->unit;
	char **from[] = { &j->bstype, &j->path, &j->bsopts, &j->bsoflags };
	char **to[] = { &u->bstype, &u->path, &u->bsopts, &u->bsoflags };

	for (unsigned i = 0; i < array_size(to); i++) {
		free(*to[i]);
		*to[i] = *from[i];
		*from[i] = NULL;
	}
	next(j);
}

static bool stay_away_decide(struct lu_tx *tx)
{
	disk_take_away(tx->lu, tx->lu->view.store, V_NOT_READY_OFFLINE);
	return true;
}

static void published(struct lu_tx *tx)
{
	next(container_of(tx, struct job, tx));
}

/* A lost medium is not to be looked for any more. */
static void stay_away(struct job *j)
{
	j->unit->medium_state = UNIT_OFFLINE;
	j->unit->events = 0;
	j->tx = (struct lu_tx){ .decide = stay_away_decide, .done = published };
	lu_tx_run(j->unit->lu, &j->tx);
}

/* ---- steps: size ------------------------------------------------------------------------- */

static void sized(struct store_resize *r)
{
	struct job *j = container_of(r, struct job, resize);

	j->err = r->err;
	if (r->err.code)
		fail(j);
	else
		next(j);
}

static void ask_size(struct job *j)
{
	j->resize.size = j->wish.size;
	j->resize.done = sized;
	store_resize(j->unit->control->self, j->unit->store, &j->resize);
}

static bool size_decide(struct lu_tx *tx)
{
	struct job *j = container_of(tx, struct job, tx);

	disk_set_size(tx->lu, j->resize.size);
	return true;
}

static void publish_size(struct job *j)
{
	j->tx = (struct lu_tx){ .decide = size_decide, .done = published };
	lu_tx_run(j->unit->lu, &j->tx);
}

/* ---- the deeds ------------------------------------------------------------------------------ */

typedef void (*const step)(struct job *j);

static step resize_steps[] = { ask_size, publish_size, end };
static step offline_steps[] = { open_placeholder, pause_unit, wait_idle, flush,
				take_away,	  close_old,  end };
static step lost_offline_steps[] = { stay_away, end };
static step online_steps[] = { open_own, recognise, bring_back, close_old, end };
static step swap_steps[] = { open_other, check_other, pause_unit, wait_idle, flush,
			     exchange,	 close_old,   take_words, end };
static step reopen_steps[] = { open_placeholder, pause_unit, wait_idle, flush,
			       take_away,	 close_old,  open_own,	recognise,
			       bring_back,	 close_old,  end };

static step recover_steps[] = { open_placeholder, take_away, close_old, open_own,
				bring_back,	  close_old, end };

static step *const steps[] = {
	[MEDIUM_RESIZE] = resize_steps, [MEDIUM_OFFLINE] = offline_steps,
	[MEDIUM_ONLINE] = online_steps, [MEDIUM_SWAP] = swap_steps,
	[MEDIUM_REOPEN] = reopen_steps, [MEDIUM_RECOVER] = recover_steps,
};

static int check(const struct unit *u, const struct medium_wish *w, struct err *e)
{
	bool online = u->medium_state == UNIT_ONLINE;

	if (!u->bstype || !u->medium)
		return err_set(e, -EINVAL, "LUN %" PRIu64 " of target %u has no medium", u->lun,
			       u->tid);
	if (u->probe && (w->deed == MEDIUM_SWAP || w->deed == MEDIUM_RESIZE))
		return err_set(e, -EOPNOTSUPP,
			       "LUN %" PRIu64
			       " of target %u is a device that is passed through: it "
			       "can be taken offline, online and opened again, nothing else",
			       u->lun, u->tid);
	if (w->deed == MEDIUM_ONLINE && online)
		return err_set(e, -EALREADY, "LUN %" PRIu64 " of target %u is online", u->lun,
			       u->tid);
	if (w->deed == MEDIUM_OFFLINE && u->medium_state == UNIT_LOST)
		return 0;
	if (w->deed != MEDIUM_ONLINE && !online)
		return err_set(e, -ENOMEDIUM,
			       "LUN %" PRIu64 " of target %u is %s: bring it online first", u->lun,
			       u->tid, medium_word(u));
	return 0;
}

static bool copy_words(struct job *j, const struct medium_wish *w)
{
	const char *const from[] = { w->bstype, w->path, w->bsopts, w->bsoflags };
	char **const to[] = { &j->bstype, &j->path, &j->bsopts, &j->bsoflags };

	for (unsigned i = 0; i < array_size(to); i++) {
		if (!from[i] || !*from[i])
			continue;
		*to[i] = strdup(from[i]);
		if (!*to[i])
			return false;
	}
	return true;
}

int medium_change(struct unit *u, const struct medium_wish *wish,
		  void (*done)(void *arg, const struct err *e), void *arg, struct err *e)
{
	struct job *j;

	if (check(u, wish, e))
		return e->code;
	j = calloc(1, sizeof(*j));
	if (!j || !copy_words(j, wish)) {
		if (j)
			job_free(j);
		return err_set(e, -ENOMEM, "no memory to change a logical unit");
	}
	j->unit = u;
	j->wish = *wish;
	j->done = done;
	j->arg = arg;
	j->step = u->medium_state == UNIT_LOST && wish->deed == MEDIUM_OFFLINE ? lost_offline_steps
									       : steps[wish->deed];
	medium_forget(u);
	u->updating = true;
	unit_ref(u);
	next(j);
	return 0;
}

/* ---- what stores tell ------------------------------------------------------------------------- */

static void retry(struct timer *t)
{
	medium_begin_pending(container_of(t, struct unit, retry));
}

/* A lost store that could not be opened is tried again, less and less often. */
static void retry_later(struct unit *u)
{
	u->events |= STORE_LOST;
	u->retry_ns = min(max(u->retry_ns * 2, (uint64_t)RETRY_MIN_NS), (uint64_t)RETRY_MAX_NS);
	timer_arm(u->control->self, &u->retry, u->retry_ns, retry);
}

static void reopened(void *unit, const struct err *e)
{
	struct unit *u = unit;

	if (!e->code) {
		log_info("target %u LUN %" PRIu64 ": %s is open again", u->tid, u->lun,
			 u->path ? u->path : u->bstype);
		return;
	}
	log_warn("target %u LUN %" PRIu64 ": %s could not be opened again: %s", u->tid, u->lun,
		 u->path ? u->path : u->bstype, e->text);
}

static void resized(void *unit, const struct err *e)
{
	struct unit *u = unit;

	if (e->code)
		log_warn("target %u LUN %" PRIu64 ": its new size is not taken over: %s", u->tid,
			 u->lun, e->text);
}

void medium_begin_pending(struct unit *u)
{
	struct medium_wish wish = { .deed = MEDIUM_RESIZE };
	struct err e;

	if (u->updating || u->removing || !u->ready || timer_armed(&u->retry))
		return;
	if (u->events & STORE_LOST && u->medium_state != UNIT_OFFLINE) {
		wish.deed = u->medium_state == UNIT_LOST ? MEDIUM_ONLINE : MEDIUM_RECOVER;
		u->events = 0;
		if (medium_change(u, &wish, reopened, u, &e)) {
			reopened(u, &e);
			retry_later(u);
		}
	} else if (u->events & STORE_RESIZED && u->medium_state == UNIT_ONLINE) {
		u->events = 0;
		if (medium_change(u, &wish, resized, u, &e))
			resized(u, &e);
	}
}

void medium_news(void *unit, struct store *s, unsigned events)
{
	struct unit *u = unit;

	if (s == u->store) {
		u->events |= events;
		medium_begin_pending(u);
	} else if (s == u->coming) {
		u->coming_events |= events;
	}
}

void medium_forget(struct unit *u)
{
	timer_cancel(u->control->self, &u->retry);
}

const char *medium_word(const struct unit *u)
{
	static const char *const word[] = {
		[UNIT_ONLINE] = "online", [UNIT_OFFLINE] = "offline", [UNIT_LOST] = "lost"
	};

	return word[u->medium_state];
}
