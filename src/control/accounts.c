/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "control/control.h"

static enum fail fail_of_account(int err, bool outgoing)
{
	switch (err) {
	case -EEXIST:
		return outgoing ? FAIL_OUTACCOUNT_EXIST : FAIL_USER_EXIST;
	case -ENOENT:
		return FAIL_NO_USER;
	case -ENOMEM:
		return FAIL_NOMEM;
	default:
		return FAIL_INVALID;
	}
}

static void answer(struct call *c, int err, const struct err *e)
{
	if (err)
		call_fail(c, fail_of_account(err, call_bool(c, "outgoing", false)), e);
	else
		call_reply(c, NULL);
}

void verb_account_create(struct call *c)
{
	struct err e;

	answer(c,
	       account_add(&call_control(c)->ts, call_str(c, "user", ""),
			   call_str(c, "password", ""), &e),
	       &e);
}

void verb_account_delete(struct call *c)
{
	struct err e;

	answer(c, account_remove(&call_control(c)->ts, call_str(c, "user", ""), &e), &e);
}

static bool bound(const struct list *refs, const struct account *a)
{
	const struct account_ref *r;

	list_for_each(r, refs, link) {
		if (r->account == a)
			return true;
	}
	return false;
}

static json_t *bindings(struct targets *ts, const struct account *a)
{
	json_t *all = json_array();
	const struct target *t;

	if (bound(&ts->discovery_incoming, a))
		json_array_append_new(all, json_pack("{s:s,s:b}", "discovery", "incoming",
						     "outgoing", 0));
	if (ts->discovery_outgoing == a)
		json_array_append_new(all, json_pack("{s:s,s:b}", "discovery", "outgoing",
						     "outgoing", 1));
	list_for_each(t, &ts->all, link) {
		if (bound(&t->incoming, a))
			json_array_append_new(all, json_pack("{s:i,s:b}", "tid", (int)t->tid,
							     "outgoing", 0));
		if (t->outgoing == a)
			json_array_append_new(all, json_pack("{s:i,s:b}", "tid", (int)t->tid,
							     "outgoing", 1));
	}
	return all;
}

void verb_account_list(struct call *c)
{
	struct targets *ts = &call_control(c)->ts;
	json_t *all = json_array();
	const struct account *a;

	list_for_each(a, &ts->accounts, link)
		json_array_append_new(all, json_pack("{s:s,s:o}", "user", a->user, "bindings",
						     bindings(ts, a)));
	call_reply(c, all);
}

/* tid or target absent means discovery, as tgtadm has it. */
static void bind_or_unbind(struct call *c, int (*fn)(struct targets *ts, struct target *t,
						     const char *user, bool outgoing, struct err *e))
{
	struct target *t = NULL;
	struct err e;

	if (call_has(c, "tid") || call_has(c, "target")) {
		t = call_target(c);
		if (!t)
			return;
	}
	answer(c,
	       fn(&call_control(c)->ts, t, call_str(c, "user", ""), call_bool(c, "outgoing", false),
		  &e),
	       &e);
}

void verb_account_bind(struct call *c)
{
	bind_or_unbind(c, account_bind);
}

void verb_account_unbind(struct call *c)
{
	bind_or_unbind(c, account_unbind);
}
