/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/medium.h"
#include "control/removal.h"

/* ---- create --------------------------------------------------------------------- */

static void created(struct unit *u, enum fail fail, const struct err *e, void *arg)
{
	struct call *c = arg;

	if (e) {
		call_fail(c, fail, e);
		return;
	}
	log_info("target %u: LUN %" PRIu64 " is %s %s", u->tid, u->lun, u->bstype,
		 u->path ? u->path : "");
	call_reply(c, json_pack("{s:i,s:I}", "tid", (int)u->tid, "lun", (json_int_t)u->lun));
}

/* The lowest LUN from 1 that is free, or was asked for. */
static uint64_t choose_lun(const struct call *c, uint32_t tid)
{
	uint64_t lun = 1;

	if (call_has(c, "lun"))
		return (uint64_t)call_int(c, "lun", 1);
	while (unit_find(call_control(c), tid, lun))
		lun++;
	return lun;
}

static bool passes_through(const struct call *c)
{
	const char *type = call_str(c, "type", "disk");

	return !strcmp(type, "pt") || !strcmp(type, "passthrough");
}

/* Device types that tgt knows and this daemon does not offer. */
static bool type_offered(struct call *c)
{
	const char *type = call_str(c, "type", "disk");

	if (!strcmp(type, "disk") || passes_through(c))
		return true;
	call_failf(c, FAIL_UNSUPPORTED, -EOPNOTSUPP,
		   "device type '%.32s' is not offered: only disk and pt", type);
	return false;
}

void verb_lun_create(struct call *c)
{
	struct target *t = call_target(c);
	struct unit_spec spec;
	enum fail fail;
	struct err e;

	if (!t || !type_offered(c))
		return;
	spec = (struct unit_spec){
		.tid = t->tid,
		.lun = choose_lun(c, t->tid),
		.bstype = call_str(c, "bstype", NULL),
		.path = call_str(c, "path", NULL),
		.bsopts = call_str(c, "bsopts", NULL),
		.bsoflags = call_str(c, "bsoflags", NULL),
		.block_size = (uint32_t)call_size(c, "block_size", 0),
		.passthrough = passes_through(c),
		.readonly = call_bool(c, "readonly", false),
		.thin = call_bool(c, "thin", false),
		.params = json_object_get(c->params, "params"),
	};
	if (call_size(c, "block_size", 0) > 65536) {
		call_failf(c, FAIL_INVALID, -EINVAL,
			   "block size: 512, 1024, 2048 or 4096 is needed");
		return;
	}
	if (unit_create(call_control(c), &spec, created, c, &fail, &e))
		call_fail(c, fail, &e);
}

/* ---- find ------------------------------------------------------------------------- */

static const char *doing(const struct unit *u)
{
	if (u->removing)
		return "removed";
	return u->ready ? "changed" : "made";
}

/* The unit that the call names, at rest; NULL: the call has been failed. */
static struct unit *call_unit(struct call *c)
{
	struct target *t = call_target(c);
	struct unit *u;
	uint64_t lun = (uint64_t)call_int(c, "lun", 0);
	struct err e;

	if (!t)
		return NULL;
	if (target_going(call_control(c), t->tid, &e)) {
		call_fail(c, FAIL_TARGET_ACTIVE, &e);
		return NULL;
	}
	u = unit_find(call_control(c), t->tid, lun);
	if (!u) {
		call_failf(c, FAIL_NO_LUN, -ENOENT, "target %u has no LUN %" PRIu64, t->tid, lun);
		return NULL;
	}
	if (!u->ready || u->removing || u->updating) {
		call_failf(c, FAIL_LUN_ACTIVE, -EBUSY,
			   "LUN %" PRIu64 " of target %u is being %s: try again", lun, t->tid,
			   doing(u));
		return NULL;
	}
	return u;
}

/* ---- delete -------------------------------------------------------------------------- */

#define REMOVE_NS (10 * NSEC_PER_SEC) /* then the caller is told that it takes longer */

struct deletion {
	struct call *call; /* NULL: answered */
	struct reactor *reactor;
	struct timer timer;
};

static void removed(void *arg)
{
	struct deletion *d = arg;

	timer_cancel(d->reactor, &d->timer);
	if (d->call)
		call_reply(d->call, NULL);
	free(d);
}

static void takes_long(struct timer *t)
{
	struct deletion *d = container_of(t, struct deletion, timer);
	struct call *c = d->call;

	d->call = NULL;
	call_failf(c, FAIL_LUN_ACTIVE, -EBUSY,
		   "the store still works on commands: the logical unit takes no more of them, and "
		   "goes when the last one returns");
}

void verb_lun_delete(struct call *c)
{
	struct unit *u = call_unit(c);
	struct deletion *d;
	struct err e;

	if (!u)
		return;
	if (!u->lun) {
		call_failf(c, FAIL_INVALID, -EINVAL,
			   "LUN 0 is the controller: it goes with its target");
		return;
	}
	if (!call_bool(c, "force", false) && attach_in_use(call_control(c), u, &e)) {
		call_fail(c, FAIL_LUN_ACTIVE, &e);
		return;
	}
	if (!call_bool(c, "force", false) && u->store && store_inflight(u->store)) {
		call_failf(c, FAIL_LUN_ACTIVE, -EBUSY,
			   "LUN %" PRIu64 " of target %u has %u requests "
			   "in flight: try again, or force it",
			   u->lun, u->tid, store_inflight(u->store));
		return;
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory to delete a logical unit");
		return;
	}
	d->call = c;
	d->reactor = call_control(c)->self;
	timer_arm(d->reactor, &d->timer, REMOVE_NS, takes_long);
	log_info("target %u: LUN %" PRIu64 " is being removed", u->tid, u->lun);
	unit_remove(u, removed, d);
}

/* ---- update ---------------------------------------------------------------------------- */

static void updated(void *arg)
{
	call_reply(arg, NULL);
}

void verb_lun_update(struct call *c)
{
	struct unit *u = call_unit(c);
	struct unit_change ch = { 0 };
	struct err e;
	int err;

	if (!u)
		return;
	ch.ident = *u->ident;
	err = change_set_all(&ch, json_object_get(c->params, "params"), &e);
	if (err) {
		call_fail(c, err == -EOPNOTSUPP ? FAIL_UNSUPPORTED : FAIL_INVALID, &e);
		return;
	}
	if (!u->bstype && (ch.nedits || ch.has_d_sense || ch.has_readonly || ch.has_online)) {
		call_failf(c, FAIL_INVALID, -EINVAL,
			   "LUN 0 is the controller: only its identity can be changed");
		return;
	}
	if (call_bool(c, "clear_error", false) && u->store) {
		store_clear_error(u->store);
		u->failed = false;
	}
	if (unit_update(u, &ch, updated, c))
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory to change a logical unit");
}

/* ---- what happens to the medium ------------------------------------------------------------ */

static void medium_changed(void *arg, const struct err *e)
{
	struct call *c = arg;

	if (e->code)
		call_fail(c, FAIL_INVALID, e);
	else
		call_reply(c, NULL);
}

static void change_medium(struct call *c, const struct medium_wish *wish)
{
	struct unit *u = call_unit(c);
	struct err e;

	if (u && medium_change(u, wish, medium_changed, c, &e))
		call_fail(c, e.code == -ENOMEM ? FAIL_NOMEM : FAIL_INVALID, &e);
}

void verb_lun_resize(struct call *c)
{
	change_medium(c, &(struct medium_wish){ .deed = MEDIUM_RESIZE,
						.size = call_size(c, "size", 0) });
}

void verb_lun_offline(struct call *c)
{
	change_medium(c, &(struct medium_wish){ .deed = MEDIUM_OFFLINE });
}

void verb_lun_online(struct call *c)
{
	change_medium(c, &(struct medium_wish){ .deed = MEDIUM_ONLINE });
}

void verb_lun_reopen(struct call *c)
{
	change_medium(c, &(struct medium_wish){ .deed = MEDIUM_REOPEN });
}

void verb_lun_swap(struct call *c)
{
	const char *type = call_str(c, "bstype", "file");
	bool needs_path = true;
	struct err e;

	if (store_type_check(type, &needs_path, &e)) {
		call_fail(c, FAIL_INVALID, &e);
		return;
	}
	if (needs_path && !call_has(c, "path")) {
		call_failf(c, FAIL_INVALID, -EINVAL, "store type %s needs a path", type);
		return;
	}
	change_medium(c, &(struct medium_wish){
				 .deed = MEDIUM_SWAP,
				 .other_size = call_bool(c, "other_size", false),
				 .bstype = type,
				 .path = call_str(c, "path", NULL),
				 .bsopts = call_str(c, "bsopts", NULL),
				 .bsoflags = call_str(c, "bsoflags", NULL),
			 });
}
