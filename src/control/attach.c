/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical units as devices of this host, and of the kernel's other fabrics, by TCMU. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/gather.h"
#include "control/json.h"
#include "transport/tcmu/tcmu.h"

static const char *const state_names[] = {
	[TCMU_WAITS] = "waiting",
	[TCMU_STARTS] = "starting",
	[TCMU_SERVES] = "serving",
	[TCMU_ENDS] = "ending",
};

static json_t *device_json(struct control *c, const struct tcmu_device *d)
{
	struct tcmu_device_info i;
	const struct target *t;

	tcmu_device_info(d, &i);
	t = target_find_name(&c->ts, i.target);
	return json_pack("{s:s,s:i,s:o,s:i,s:I,s:b,s:s,s:o,s:I,s:I,s:s}", "name", i.name, "uio",
			 (int)i.minor, "target", text_json(i.target), "tid", t ? (int)t->tid : 0,
			 "lun", (json_int_t)i.lun, "shared", i.shared, "state",
			 state_names[i.state], "why", text_json(i.why), "sid", (json_int_t)i.sid,
			 "commands", (json_int_t)i.commands, "block", i.block);
}

void verb_tcmu_list(struct call *c)
{
	struct control *k = call_control(c);
	const struct tcmu_device *d = NULL;
	json_t *all = json_array();

	while (k->tcmu && (d = tcmu_device_next(k->tcmu, d)))
		json_array_append_new(all, device_json(k, d));
	call_reply(c, all);
}

void attach_look_again(struct control *c)
{
	if (c->tcmu)
		tcmu_look_again(c->tcmu);
}

/* ---- attach ------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum tcmu_fabric fabric;
} fabrics[] = {
	{ "loop", TCMU_FABRIC_LOOP },
	{ "vhost", TCMU_FABRIC_VHOST },
	{ "none", TCMU_FABRIC_NONE },
};

struct attach {
	struct call *call;
	struct unit *unit; /* held */
	struct tcmu_attach ask;
};

static void attach_end(struct attach *a)
{
	if (a->unit)
		unit_unref(a->unit);
	free(a);
}

/* The unit that the call names, with a medium whose size is known; NULL: the call has been failed. */
static struct unit *unit_to_attach(struct call *c)
{
	struct target *t = call_target(c);
	uint64_t lun = (uint64_t)call_int(c, "lun", 0);
	struct unit *u;

	if (!t)
		return NULL;
	u = unit_find(call_control(c), t->tid, lun);
	if (!u) {
		call_failf(c, FAIL_NO_LUN, -ENOENT, "target %u has no LUN %" PRIu64, t->tid, lun);
		return NULL;
	}
	if (!u->ready || u->removing) {
		call_failf(c, FAIL_LUN_ACTIVE, -EBUSY, "LUN %" PRIu64 " of target %u is being %s",
			   lun, t->tid, u->removing ? "removed" : "made");
		return NULL;
	}
	if (u->medium_state == UNIT_ONLINE && u->store && u->medium)
		return u;
	call_failf(c, FAIL_INVALID, -EINVAL,
		   "LUN %" PRIu64 " of target %u has no medium whose size the kernel could be told",
		   lun, t->tid);
	return NULL;
}

static int parse_fabric(const char *text, enum tcmu_fabric *f, struct err *e)
{
	for (unsigned i = 0; i < sizeof(fabrics) / sizeof(fabrics[0]); i++) {
		if (!strcmp(text, fabrics[i].name)) {
			*f = fabrics[i].fabric;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "fabric '%.32s': there are loop, vhost and none", text);
}

static int parse_shared(const char *text, bool *shared, struct err *e)
{
	*shared = !strcmp(text, "unsafe");
	if (*shared)
		return 0;
	return err_set(
		e, -EINVAL,
		"shared '%.32s': only 'unsafe' is there, since the kernel keeps reservations of "
		"its own initiators to itself",
		text);
}

static void attached(struct tcmu_attach *t, const struct err *e)
{
	struct attach *a = t->owner;

	if (e) {
		call_fail(a->call, FAIL_INVALID, e);
	} else {
		log_info("target %u: LUN %" PRIu64 " is attached as %s%s%s", t->tid, t->lun,
			 t->name, *t->block ? ", " : "", t->block);
		call_reply(a->call, json_pack("{s:s,s:s,s:s}", "name", t->name, "block", t->block,
					      "wwn", t->wwn));
	}
	attach_end(a);
}

/* False, and the call has been failed: there is no TCMU, or no memory. */
static struct attach *attach_begin(struct call *c)
{
	struct attach *a;

	if (!call_control(c)->tcmu) {
		call_failf(c, FAIL_NO_DRIVER, -EOPNOTSUPP,
			   "this daemon does not serve TCMU devices");
		return NULL;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory to attach a logical unit");
	else
		a->call = c;
	return a;
}

static int fill(struct attach *a, struct unit *u, struct err *e)
{
	struct tcmu_attach *t = &a->ask;
	const struct call *c = a->call;
	const struct target *target = target_find(&u->control->ts, u->tid);

	t->owner = a;
	t->done = attached;
	t->tid = u->tid;
	t->lun = u->lun;
	t->size = round_down(store_limits(u->store)->size, (uint64_t)u->block_size);
	t->block_size = u->block_size;
	snprintf(t->target, sizeof(t->target), "%s", target->name);
	snprintf(t->serial, sizeof(t->serial), "%s", u->ident->serial);
	snprintf(t->name, sizeof(t->name), "%s", call_str(c, "name", ""));
	if (parse_fabric(call_str(c, "fabric", "loop"), &t->fabric, e))
		return e->code;
	return call_has(c, "shared") ? parse_shared(call_str(c, "shared", ""), &t->shared, e) : 0;
}

void verb_tcmu_attach(struct call *c)
{
	struct attach *a = attach_begin(c);
	struct unit *u = a ? unit_to_attach(c) : NULL;
	struct err e;

	if (!u) {
		free(a);
		return;
	}
	if (fill(a, u, &e) || tcmu_attach(call_control(c)->tcmu, &a->ask, &e)) {
		call_fail(c, FAIL_INVALID, &e);
		free(a);
		return;
	}
	a->unit = u;
	unit_ref(u);
}

/* ---- detach --------------------------------------------------------------------------- */

static void detached(struct tcmu_attach *t, const struct err *e)
{
	struct attach *a = t->owner;

	if (e)
		call_fail(a->call, FAIL_INVALID, e);
	else
		call_reply(a->call, NULL);
	attach_end(a);
}

void verb_tcmu_detach(struct call *c)
{
	struct attach *a = attach_begin(c);
	const struct target *t = a ? call_target(c) : NULL;
	struct err e;

	if (!t) {
		free(a);
		return;
	}
	a->ask.owner = a;
	a->ask.done = detached;
	a->ask.lun = (uint64_t)call_int(c, "lun", 0);
	snprintf(a->ask.target, sizeof(a->ask.target), "%s", t->name);
	if (tcmu_detach(call_control(c)->tcmu, &a->ask, &e)) {
		call_fail(c, FAIL_INVALID, &e);
		free(a);
	}
}

bool attach_in_use(struct control *c, const struct unit *u, struct err *e)
{
	const struct target *t = target_find(&c->ts, u->tid);
	const struct tcmu_device *d = c->tcmu && t ? tcmu_find(c->tcmu, t->name, u->lun) : NULL;
	struct tcmu_device_info i;

	if (!d)
		return false;
	tcmu_device_info(d, &i);
	if (i.state == TCMU_WAITS)
		return false;
	err_set(e, -EBUSY,
		"LUN %" PRIu64
		" of target %u is attached to the kernel as %s: tgtctl detach %u %" PRIu64
		" first, or force it",
		u->lun, u->tid, i.name, u->tid, u->lun);
	return true;
}
