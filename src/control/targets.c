/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/gather.h"
#include "control/json.h"
#include "control/medium.h"
#include "control/removal.h"
#include "transport/iscsi/keys.h"
#include "transport/iscsi/names.h"

struct target *call_target(struct call *c)
{
	struct targets *ts = &call_control(c)->ts;
	uint32_t tid = (uint32_t)call_int(c, "tid", 0);
	const char *name = call_str(c, "target", NULL);
	char normal[ISCSI_NAME_MAX + 1];
	struct target *t = tid ? target_find(ts, tid) : NULL;

	if (!tid && name) {
		t = target_find_name(ts, name);
		if (!t && !iscsi_name_normalise(name, normal, NULL))
			t = target_find_name(ts, normal);
	}
	if (t && tid && name && strcasecmp(name, t->name)) {
		call_failf(c, FAIL_INVALID, -EINVAL,
			   "target %u is %s, not %s: name it one way only", tid, t->name, name);
		return NULL;
	}
	if (t)
		return t;
	if (tid)
		call_failf(c, FAIL_NO_TARGET, -ENOENT, "there is no target %u", tid);
	else if (name)
		call_failf(c, FAIL_NO_TARGET, -ENOENT, "there is no target %s", name);
	else
		call_failf(c, FAIL_NO_TARGET, -EINVAL, "which target? Give 'tid' or 'target'");
	return NULL;
}

/* ---- create --------------------------------------------------------------------- */

static void controller_made(struct unit *u, enum fail fail, const struct err *e, void *arg)
{
	struct call *c = arg;
	struct targets *ts = &call_control(c)->ts;
	struct target *t = target_find(ts, u->tid);

	if (e) {
		target_destroy(ts, t, NULL);
		call_fail(c, fail, e);
		return;
	}
	log_info("target %u: %s", t->tid, t->name);
	call_reply(c, json_pack("{s:i,s:s}", "tid", (int)t->tid, "name", t->name));
}

uint32_t target_free_tid(struct targets *ts)
{
	const struct target *t;
	uint32_t tid = 1;

	list_for_each(t, &ts->all, link) { /* ascending */
		if (t->tid != tid)
			break;
		tid++;
	}
	return tid;
}

/*
 * The form in which names are compared. What is not a proper iSCSI name is taken as it is:
 * tgt does, and its users have underscores in names.
 */
static void normal_name(const char *name, char out[ISCSI_NAME_MAX + 1])
{
	struct err e;

	if (!iscsi_name_normalise(name, out, &e))
		return;
	log_warn("target name %s is not a proper iSCSI name (%s): some initiators refuse it", name,
		 e.text);
	snprintf(out, ISCSI_NAME_MAX + 1, "%s", name);
}

static enum fail fail_of_create(int err)
{
	if (err == -EEXIST)
		return FAIL_TARGET_EXIST;
	return err == -ENOMEM ? FAIL_NOMEM : FAIL_INVALID;
}

struct target *target_make(struct control *c, uint32_t tid, const char *name,
			   void (*done)(struct unit *u, enum fail fail, const struct err *e,
					void *arg),
			   void *arg, enum fail *fail, struct err *e)
{
	struct unit_spec spec = { .controller = true };
	char normal[ISCSI_NAME_MAX + 1];
	struct target *t;

	normal_name(name, normal);
	t = target_create(&c->ts, tid ? tid : target_free_tid(&c->ts), normal, e);
	if (!t) {
		*fail = fail_of_create(e->code);
		return NULL;
	}
	spec.tid = t->tid;
	if (unit_create(c, &spec, done, arg, fail, e)) {
		target_destroy(&c->ts, t, NULL);
		return NULL;
	}
	return t;
}

void verb_target_create(struct call *c)
{
	enum fail fail;
	struct err e;

	if (!target_make(call_control(c), (uint32_t)call_int(c, "tid", 0), call_str(c, "name", ""),
			 controller_made, c, &fail, &e))
		call_fail(c, fail, &e);
}

/* ---- delete ------------------------------------------------------------------------ */

static void deleted(void *arg, int err, const struct err *e)
{
	if (err)
		call_fail(arg, FAIL_TARGET_ACTIVE, e);
	else
		call_reply(arg, NULL);
}

void verb_target_delete(struct call *c)
{
	struct target *t = call_target(c);
	bool force = call_bool(c, "force", false);
	struct err e;

	if (!t)
		return;
	if (target_busy(call_control(c), t, force, &e)) {
		call_fail(c, FAIL_TARGET_ACTIVE, &e);
		return;
	}
	log_info("target %u (%s) is being deleted%s", t->tid, t->name, force ? " by force" : "");
	if (target_remove(call_control(c), t, force, deleted, c))
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory to delete a target");
}

/* ---- list -------------------------------------------------------------------------- */

static json_t *nexuses_json(const struct gather *g, uint32_t tid)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < g->nsessions; i++)
		if (g->sessions[i].tid == tid)
			json_array_append_new(all, session_json(&g->sessions[i]));
	return all;
}

static json_t *acls_json(const struct target *t, bool by_name)
{
	json_t *all = json_array();
	const struct acl *a;

	list_for_each(a, &t->acls, link) {
		if (a->by_name == by_name)
			json_array_append_new(all, text_json(a->text));
	}
	return all;
}

static json_t *incoming_json(const struct target *t)
{
	json_t *all = json_array();
	const struct account_ref *r;

	list_for_each(r, &t->incoming, link)
		json_array_append_new(all, text_json(r->account->user));
	return all;
}

static const char *lun_state(const struct unit *u, const struct lu_view *v)
{
	if (u->medium_state != UNIT_ONLINE)
		return medium_word(u);
	if (u->store && store_why_away(u->store))
		return "away";
	if (v->state == LU_READY)
		return "ready";
	return v->why == V_NO_MEDIUM ? "no medium" : "not ready";
}

static json_t *lun_json(const struct sample *s)
{
	const struct unit *u = s->unit;
	const struct lu_view *v = &s->view;
	bool failed = u->store && store_has_error(u->store);
	uint32_t block = u->bstype ? u->block_size : 1; /* tgt prints 1 for a controller */
	json_t *o = json_pack(
		"{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:i,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:s}", "lun",
		(json_int_t)u->lun, "type", u->lu->ds->name, "scsi_id", s->ident.scsi_id, "scsi_sn",
		s->ident.serial, "vendor_id", s->ident.vendor, "product_id", s->ident.product,
		"product_rev", s->ident.revision, "size",
		(json_int_t)(u->medium ? v->blocks * u->block_size : 0), "block_size", (int)block,
		"online", v->state == LU_READY, "removable", s->ident.removable, "prevent_removal",
		s->prevent, "readonly", v->readonly, "swp", v->mode.swp, "thin", s->ident.thin,
		"write_cache", v->mode.wce, "failed", failed, "state", lun_state(u, v));

	json_object_set_new(o, "bstype", text_json(u->bstype ? u->bstype : "null"));
	json_object_set_new(o, "path", u->path ? text_json(u->path) : json_null());
	json_object_set_new(o, "bsopts", text_json(u->bsopts ? u->bsopts : ""));
	json_object_set_new(o, "bsoflags", text_json(u->bsoflags ? u->bsoflags : ""));
	if (u->store && store_why_away(u->store))
		json_object_set_new(o, "away", json_string(store_why_away(u->store)));
	return o;
}

static json_t *luns_json(const struct gather *g, uint32_t tid)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < g->n; i++)
		if (g->s[i].unit->tid == tid && g->s[i].home)
			json_array_append_new(all, lun_json(&g->s[i]));
	return all;
}

static json_t *target_json(const struct target *t, const struct gather *g)
{
	json_t *accounts = json_pack("{s:o}", "incoming", incoming_json(t));
	json_t *o = json_pack("{s:i,s:o,s:s,s:s,s:i,s:i,s:o,s:o,s:o,s:{s:o,s:o}}", "tid",
			      (int)t->tid, "name", text_json(t->name), "driver", "iscsi", "state",
			      t->state == TARGET_READY ? "ready" : "offline", "nop_interval",
			      (int)iscsi_key_param_value(ISCSI_PARAM_NOP_INTERVAL,
							 t->param[ISCSI_PARAM_NOP_INTERVAL]),
			      "nop_count",
			      (int)iscsi_key_param_value(ISCSI_PARAM_NOP_COUNT,
							 t->param[ISCSI_PARAM_NOP_COUNT]),
			      "nexuses", nexuses_json(g, t->tid), "luns", luns_json(g, t->tid),
			      "accounts", accounts, "acls", "addresses", acls_json(t, false),
			      "names", acls_json(t, true));

	json_object_set_new(accounts, "outgoing",
			    t->outgoing ? text_json(t->outgoing->user) : json_null());
	return o;
}

struct listing {
	struct call *call;
	uint32_t tid; /* 0: all */
};

static void list_gathered(struct gather *g)
{
	struct listing *l = g->arg;
	const struct target *t;
	json_t *all = json_array();

	list_for_each(t, &g->control->ts.all, link) {
		if (!l->tid || t->tid == l->tid)
			json_array_append_new(all, target_json(t, g));
	}
	call_reply(l->call, all);
	free(l);
}

void verb_target_list(struct call *c)
{
	struct listing *l = malloc(sizeof(*l));
	struct target *t = NULL;
	bool one = call_has(c, "tid") || call_has(c, "target");

	if (one)
		t = call_target(c);
	if (one && !t) {
		free(l);
		return;
	}
	if (l)
		*l = (struct listing){ c, t ? t->tid : 0 };
	if (!l || gather_run(call_control(c), l->tid, -1, GATHER_UNITS | GATHER_SESSIONS,
			     list_gathered, l)) {
		free(l);
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory for a list of targets");
	}
}

/* ---- parameters ------------------------------------------------------------------------ */

void verb_target_params(struct call *c)
{
	struct target *t = call_target(c);
	json_t *o;

	if (!t)
		return;
	o = json_object();
	for (int i = 0; iscsi_key_param_name(i); i++) {
		char text[64];

		iscsi_key_param_show(i, t->param[i], text, sizeof(text));
		json_object_set_new(o, iscsi_key_param_name(i), text_json(text));
	}
	call_reply(c, o);
}

static int set_state(struct target *t, const char *value, struct err *e)
{
	if (!strcmp(value, "ready"))
		t->state = TARGET_READY;
	else if (!strcmp(value, "offline"))
		t->state = TARGET_OFFLINE;
	else
		return err_set(e, -EINVAL, "state '%.32s': ready or offline is needed", value);
	return 0;
}

static int unknown_param(const char *name, struct err *e)
{
	const char *names[TARGET_PARAMS + 2], *near;
	int n = 0;

	while (n < TARGET_PARAMS && iscsi_key_param_name(n)) {
		names[n] = iscsi_key_param_name(n);
		n++;
	}
	names[n++] = "state";
	names[n] = NULL;
	near = store_suggest(name, names);
	return err_set(e, -EINVAL, "a target has no parameter '%.64s'%s%s%s", name,
		       near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

void verb_target_update(struct call *c)
{
	struct target *t = call_target(c);
	const char *name = call_str(c, "name", ""), *value = call_str(c, "value", "");
	int index = iscsi_key_param(name), err;
	struct err e;

	if (!t)
		return;
	if (target_going(call_control(c), t->tid, &e)) {
		call_fail(c, FAIL_TARGET_ACTIVE, &e);
		return;
	}
	if (!strcmp(name, "state"))
		err = set_state(t, value, &e);
	else if (index < 0)
		err = unknown_param(name, &e);
	else
		err = iscsi_key_param_set(index, value, &t->param[index], &e);
	if (err) {
		call_fail(c, FAIL_INVALID, &e);
		return;
	}
	attach_look_again(call_control(c)); /* it may be ready again */
	call_reply(c, NULL);
}

/* ---- access rules ------------------------------------------------------------------------ */

static enum fail fail_of_acl(int err)
{
	switch (err) {
	case -EEXIST:
		return FAIL_ACL_EXIST;
	case -ENOENT:
		return FAIL_ACL_NOEXIST;
	case -ENOMEM:
		return FAIL_NOMEM;
	default:
		return FAIL_INVALID;
	}
}

static void acl_change(struct call *c, int (*change)(struct target *t, bool by_name,
						     const char *text, struct err *e))
{
	struct target *t = call_target(c);
	const char *address = call_str(c, "address", NULL);
	const char *initiator = call_str(c, "initiator", NULL);
	char normal[ISCSI_NAME_MAX + 1];
	struct err e;
	int err;

	if (!t)
		return;
	if (initiator && !iscsi_name_normalise(initiator, normal, NULL))
		initiator = normal;
	if (!address == !initiator)
		err = err_set(&e, -EINVAL,
			      "an access rule is either an 'address' or an 'initiator'");
	else
		err = change(t, initiator, initiator ? initiator : address, &e);
	if (err)
		call_fail(c, fail_of_acl(err), &e);
	else
		call_reply(c, NULL);
}

void verb_acl_add(struct call *c)
{
	acl_change(c, target_acl_add);
}

void verb_acl_remove(struct call *c)
{
	acl_change(c, target_acl_remove);
}
