/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "cmdset/passthrough.h"
#include "control/medium.h"
#include "control/removal.h"
#include "sam/transaction.h"

#define BSTYPE_DEFAULT "rdwr" /* tgt's */
#define BSTYPE_PASSTHROUGH "sg"
#define BLOCK_DEFAULT 512

struct unit *unit_find(struct control *c, uint32_t tid, uint64_t lun)
{
	struct unit *u;

	list_for_each(u, &c->units, link) {
		if (u->tid == tid && u->lun == lun)
			return u;
	}
	return NULL;
}

static void unit_free(struct unit *u)
{
	list_del(&u->link);
	free(u->bstype);
	free(u->path);
	free(u->bsopts);
	free(u->bsoflags);
	free(u->flush_io);
	free(u->probe);
	if (!u->lu)
		free(u->ident);
	lu_destroy(u->lu); /* frees the identity that it shows */
	free(u);
}

/* ---- removal: unmap, flush, wait for lookers, close, free ---------------------------- */

static void store_closed(void *arg)
{
	struct unit *u = arg;
	void (*done)(void *arg) = u->removed;
	void *done_arg = u->removed_arg;

	u->store = NULL;
	unit_free(u);
	if (done)
		done(done_arg);
}

static void close_store(struct unit *u)
{
	struct store *s = u->store;

	/* The device server may look at its store until it is gone. */
	if (u->lu) {
		lu_destroy(u->lu);
		u->lu = NULL;
		u->ident = NULL;
	}
	if (s)
		store_close(u->control->self, s, store_closed, u);
	else
		store_closed(u);
}

static void flush_answered(struct msg *m)
{
	close_store(container_of(m, struct unit, flush_msg));
}

/* On the home. */
static void flushed(struct store_io *io)
{
	struct unit *u = *(struct unit **)(io + 1);

	if (io->err && io->err != -EROFS)
		log_err("target %u LUN %" PRIu64 ": the last flush of %s failed: %s", u->tid,
			u->lun, u->path ? u->path : u->bstype, strerror(-io->err));
	reactor_post(u->control->self, &u->flush_msg, flush_answered);
}

/* On the home. */
static void flush_posted(struct msg *m)
{
	struct unit *u = container_of(m, struct unit, flush_msg);

	store_submit(u->store, u->flush_io);
}

static void flush_store(struct unit *u)
{
	if (u->store && !store_limits(u->store)->readonly && !store_has_error(u->store))
		reactor_post(u->lu->home, &u->flush_msg, flush_posted);
	else
		close_store(u);
}

/* Nobody has the LU any more but those who look at it. */
static void unit_idle(struct unit *u)
{
	if (u->removing && !u->ready && !u->users)
		flush_store(u);
}

static void unmapped(void *arg)
{
	struct unit *u = arg;

	u->ready = false;
	unit_idle(u);
}

void unit_ref(struct unit *u)
{
	u->users++;
}

void unit_unref(struct unit *u)
{
	u->users--;
	unit_idle(u);
}

void unit_remove(struct unit *u, void (*done)(void *arg), void *arg)
{
	struct target *t = target_find(&u->control->ts, u->tid);
	struct err e;

	u->removing = true;
	medium_forget(u);
	u->removed = done;
	u->removed_arg = arg;
	if (target_unmap(&u->control->ts, t, u->lun, unmapped, u, &e)) {
		/* only memory can be missing, at the worst moment: undo, and say so by staying */
		log_err("target %u LUN %" PRIu64 ": %s", u->tid, u->lun, e.text);
		u->removing = false;
		if (done)
			done(arg);
	}
}

/* ---- creation: store, LU, map ------------------------------------------------------------ */

static void creation_failed(struct unit *u, enum fail fail, const struct err *e)
{
	struct err copy = *e;

	u->created(u, fail, &copy, u->created_arg);
	/* What was opened is closed; nobody waits for that. */
	u->removed = NULL;
	if (u->store)
		close_store(u);
	else
		unit_free(u);
}

static void mapped(void *arg)
{
	struct unit *u = arg;

	u->ready = true;
	attach_look_again(u->control);
	medium_begin_pending(u);
	u->created(u, 0, NULL, u->created_arg);
}

static void prepare_flush(struct unit *u)
{
	/* behind the request: who it belongs to */
	*(struct unit **)(u->flush_io + 1) = u;
	u->flush_io->verb = STORE_FLUSH;
	u->flush_io->done = flushed;
}

static int make_lu(struct unit *u, struct err *e)
{
	struct control *c = u->control;
	char name[64];
	struct lu_config conf = {
		.name = name,
		.ident = u->ident,
		.store = u->store,
		.block_size = u->block_size,
		.readonly = u->readonly,
		.offline = !u->online,
		/* as tgt, but where there is no cache to speak of */
		.mode.wce = !u->store || !store_limits(u->store)->write_through,
		.reactors = c->reactors,
		.nreactors = c->nreactors,
		.home = u->open.home,
	};

	snprintf(name, sizeof(name), "%u:%" PRIu64, u->tid, u->lun);
	change_mode(&u->change, &conf.mode);
	if (u->probe)
		u->lu = passthrough_create(&conf, u->probe->inquiry, e);
	else
		u->lu = u->bstype ? disk_create(&conf, e) : controller_create(&conf, e);
	return u->lu ? 0 : e->code;
}

static void build(struct unit *u)
{
	struct target *t = target_find(&u->control->ts, u->tid);
	struct err e;

	if (make_lu(u, &e) || target_map(&u->control->ts, t, u->lun, u->lu, mapped, u, &e))
		creation_failed(u, e.code == -ENOMEM ? FAIL_NOMEM : FAIL_INVALID, &e);
}

/* The device has said who it is. */
static void probed(struct pass_probe *p)
{
	struct unit *u = p->arg;

	if (p->err.code)
		creation_failed(u, FAIL_INVALID, &p->err);
	else
		build(u);
}

static void store_opened(struct store_open *o)
{
	struct unit *u = container_of(o, struct unit, open);

	u->store = o->store;
	if (!u->store) {
		creation_failed(u, FAIL_INVALID, &o->err);
	} else if (u->probe) {
		u->probe->store = u->store;
		u->probe->home = u->open.home;
		u->probe->done = probed;
		u->probe->arg = u;
		pass_probe(u->probe);
	} else {
		if (u->medium)
			ident_geometry(u->ident, &u->change, store_limits(u->store), u->block_size);
		build(u);
	}
}

static void open_store(struct unit *u)
{
	char size[32];

	u->open.spec = (struct store_spec){
		.type = u->bstype,
		.path = u->path,
		.opts = u->bsopts,
		.oflags = u->bsoflags,
		.block_size = u->block_size,
		.readonly = u->readonly,
	};
	if (!u->medium) { /* a drive without a medium: nothing stands in for it, one block long */
		snprintf(size, sizeof(size), "size=%u", u->block_size);
		u->open.spec = (struct store_spec){
			.type = "null",
			.opts = size,
			.block_size = u->block_size,
		};
	}
	u->open.reactors = u->control->reactors;
	u->open.nreactors = u->control->nreactors;
	u->open.news = medium_news;
	u->open.news_arg = u;
	u->open.done = store_opened;
	store_open(u->control->self, &u->open);
}

static const char *spec_bstype(const struct unit_spec *s)
{
	if (s->bstype)
		return s->bstype;
	return s->passthrough ? BSTYPE_PASSTHROUGH : BSTYPE_DEFAULT;
}

static int check_spec(struct control *c, const struct unit_spec *s, enum fail *fail, struct err *e)
{
	const char *type = spec_bstype(s);
	bool needs_path;
	uint32_t bs = s->block_size;

	*fail = FAIL_NO_TARGET;
	if (!target_find(&c->ts, s->tid)) /* who makes several units comes back for each */
		return err_set(e, -ENOENT, "target %u has just been deleted", s->tid);
	*fail = FAIL_TARGET_ACTIVE;
	if (target_going(c, s->tid, e))
		return e->code;
	*fail = FAIL_INVALID;
	if (s->lun > LUN_MAX)
		return err_set(e, -EINVAL, "LUN %" PRIu64 " is above %d", s->lun, LUN_MAX);
	if (unit_find(c, s->tid, s->lun)) {
		*fail = FAIL_LUN_EXIST;
		return err_set(e, -EEXIST, "target %u has a LUN %" PRIu64 " already", s->tid,
			       s->lun);
	}
	if (s->controller)
		return 0;
	if (store_type_check(type, &needs_path, e))
		return e->code;
	if (s->passthrough && needs_path && !s->path)
		return err_set(e, -EINVAL,
			       "a device that is passed through needs its path, such as /dev/sg0 "
			       "('lsscsi -g' lists them)");
	if (bs && (!is_pow2(bs) || bs < 512 || bs > 4096))
		return err_set(e, -EINVAL, "block size %u: 512, 1024, 2048 or 4096 is needed", bs);
	return 0;
}

static char *copy_text(const char *text, bool *failed)
{
	char *copy = text && *text ? strdup(text) : NULL;

	*failed |= text && *text && !copy;
	return copy;
}

/* By target and LUN, as they are listed. */
static void unit_insert(struct control *c, struct unit *u)
{
	struct unit *at;

	list_for_each(at, &c->units, link) {
		if (at->tid > u->tid || (at->tid == u->tid && at->lun > u->lun))
			break;
	}
	list_insert(&u->link, at->link.prev, &at->link);
}

static bool needs_path(const char *type)
{
	bool needs = true;

	store_type_check(type, &needs, NULL);
	return needs;
}

/* NULL without memory. */
static struct unit *unit_alloc(struct control *c, const struct unit_spec *s)
{
	struct unit *u = calloc(1, sizeof(*u));
	bool failed = false;

	if (!u)
		return NULL;
	u->control = c;
	u->tid = s->tid;
	u->lun = s->lun;
	unit_insert(c, u);
	if (!s->controller) {
		u->bstype = copy_text(spec_bstype(s), &failed);
		u->path = copy_text(s->path, &failed);
		u->bsopts = copy_text(s->bsopts, &failed);
		u->bsoflags = copy_text(s->bsoflags, &failed);
		u->block_size = s->block_size ? s->block_size : BLOCK_DEFAULT;
	}
	if (!s->controller && !failed)
		u->medium = u->path || !needs_path(u->bstype);
	u->open.home = c->reactors[c->next_unit++ % c->nreactors];
	u->ident = calloc(1, sizeof(*u->ident));
	u->flush_io = calloc(1, sizeof(*u->flush_io) + sizeof(struct unit *));
	if (s->passthrough)
		u->probe = calloc(1, sizeof(*u->probe));
	failed |= s->passthrough && !u->probe;
	if (failed || !u->ident || !u->flush_io) {
		unit_free(u);
		return NULL;
	}
	prepare_flush(u);
	return u;
}

static int apply_spec(struct unit *u, const struct unit_spec *s, struct err *e)
{
	struct unit_change *ch = &u->change;

	ident_default(&ch->ident, s->tid, s->lun, s->controller);
	ch->ident.thin = s->thin;
	ch->ident.removable = !s->controller && !u->medium;
	if (change_set_all(ch, s->params, e))
		return e->code;
	*u->ident = ch->ident;
	u->readonly = ch->has_readonly ? ch->readonly : s->readonly;
	u->online = (u->medium || s->controller) && (!ch->has_online || ch->online);
	return 0;
}

int unit_create(struct control *c, const struct unit_spec *s,
		void (*done)(struct unit *u, enum fail fail, const struct err *e, void *arg),
		void *arg, enum fail *fail, struct err *e)
{
	struct unit *u;

	if (check_spec(c, s, fail, e))
		return e->code;
	u = unit_alloc(c, s);
	if (!u) {
		*fail = FAIL_NOMEM;
		return err_set(e, -ENOMEM, "no memory for a logical unit");
	}
	if (apply_spec(u, s, e)) {
		*fail = e->code == -EOPNOTSUPP ? FAIL_UNSUPPORTED : FAIL_INVALID;
		unit_free(u);
		return e->code;
	}
	u->created = done;
	u->created_arg = arg;
	if (s->controller)
		build(u);
	else
		open_store(u);
	return 0;
}

/* ---- update -------------------------------------------------------------------------------- */

struct update {
	struct lu_tx tx;
	struct unit *unit;
	struct unit_change change;
	struct lu_ident *ident; /* the new one; after the transaction the old one */
	void (*done)(void *arg);
	void *arg;
};

static void change_rest(struct lu *lu, const struct update *up)
{
	const struct unit_change *ch = &up->change;
	struct lu_mode m = lu->view.mode;

	if (ch->has_readonly) {
		lu->view.readonly =
			ch->readonly || (lu->view.store && store_limits(lu->view.store)->readonly);
		lu_tell_others(lu, NULL, UA_MODE_CHANGED);
	}
	if (ch->nedits || ch->has_d_sense) {
		change_mode(ch, &m);
		disk_set_mode(lu, &m);
	}
	if (ch->has_online && up->unit->medium)
		disk_set_online(lu, ch->online);
}

/* On the home. */
static bool update_decide(struct lu_tx *tx)
{
	struct update *up = container_of(tx, struct update, tx);
	struct lu *lu = tx->lu;

	if (up->change.ident_changed) {
		const struct lu_ident *old = lu->view.ident;

		lu->view.ident = up->ident;
		up->ident = (struct lu_ident *)old;
		lu_tell_others(lu, NULL, UA_INQUIRY_CHANGED);
	}
	change_rest(lu, up);
	return true;
}

static void update_done(struct lu_tx *tx)
{
	struct update *up = container_of(tx, struct update, tx);
	struct unit *u = up->unit;

	free(up->ident); /* the one that no reactor looks at any more */
	if (up->change.has_readonly)
		u->readonly = up->change.readonly;
	if (up->change.has_online)
		u->online = u->medium && up->change.online;
	u->updating = false;
	up->done(up->arg);
	medium_begin_pending(u);
	unit_unref(u);
	free(up);
}

int unit_update(struct unit *u, const struct unit_change *ch, void (*done)(void *arg), void *arg)
{
	struct update *up = calloc(1, sizeof(*up));
	struct lu_ident *ident = calloc(1, sizeof(*ident));

	if (!up || !ident) {
		free(up);
		free(ident);
		return -ENOMEM;
	}
	*ident = ch->ident;
	up->unit = u;
	up->change = *ch;
	up->ident = ident;
	up->done = done;
	up->arg = arg;
	up->tx.decide = update_decide;
	up->tx.done = update_done;
	if (ch->ident_changed)
		u->ident = ident;
	u->updating = true;
	unit_ref(u);
	lu_tx_run(u->lu, &up->tx);
	return 0;
}
