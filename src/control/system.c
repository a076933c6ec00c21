/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon as a whole: state, log, end. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "control/json.h"

/* ---- state ---------------------------------------------------------------------------- */

static void store_json(void *all, const char *name, const struct store_ops *ops)
{
	json_array_append_new(all, json_pack("{s:s,s:s,s:b,s:b}", "name", name, "summary",
					     ops ? ops->summary : "a plugin, loaded when it is used",
					     "needs_path", !ops || ops->needs_path, "layer",
					     ops && ops->layer));
}

static json_t *stores_json(void)
{
	json_t *all = json_array();

	store_each(store_json, all);
	return all;
}

static json_t *devices_json(void)
{
	json_t *all = json_array();

	for (const struct device_server *const *d = device_servers; *d; d++)
		if ((*d)->pdt != PDT_UNKNOWN && (*d)->pdt != PDT_WLUN)
			json_array_append_new(all, json_string((*d)->name));
	return all;
}

static json_t *discovery_accounts(const struct targets *ts)
{
	json_t *in = json_array();
	const struct account_ref *r;

	list_for_each(r, &ts->discovery_incoming, link)
		json_array_append_new(in, text_json(r->account->user));
	return json_pack("{s:o,s:o}", "incoming", in, "outgoing",
			 ts->discovery_outgoing ? text_json(ts->discovery_outgoing->user)
						: json_null());
}

static const char *const level_words[] = {
	[LOG_LEVEL_ERR] = "error",
	[LOG_LEVEL_WARN] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

void verb_system_show(struct call *call)
{
	struct control *c = call_control(call);

	call_reply(call,
		   json_pack("{s:s,s:i,s:s,s:b,s:s,s:s,s:i,s:o,s:o,s:o,s:o}", "version",
			     STGT_VERSION, "pid", (int)getpid(), "state",
			     c->ts.offline ? "offline" : "ready", "debug",
			     log_get_level() == LOG_LEVEL_DEBUG, "log_level",
			     level_words[log_get_level()], "engine",
			     reactor_engine(c->reactors[0])->name, "reactors", (int)c->nreactors,
			     "stores", stores_json(), "device_types", devices_json(), "portals",
			     portals_json(c), "discovery_accounts", discovery_accounts(&c->ts)));
}

static int set_level(const char *value, struct err *e)
{
	for (unsigned i = 0; i < array_size(level_words); i++) {
		if (!strcmp(value, level_words[i])) {
			log_set_level((enum log_level)i);
			return 0;
		}
	}
	return err_set(e, -EINVAL, "log level '%.32s': error, warning, info or debug is needed",
		       value);
}

static int set_debug(const char *value, struct err *e)
{
	if (!strcmp(value, "on"))
		return set_level("debug", e);
	if (!strcmp(value, "off"))
		return set_level("info", e);
	return err_set(e, -EINVAL, "debug '%.32s': on or off is needed", value);
}

static int set_system_state(struct control *c, const char *value, struct err *e)
{
	if (strcasecmp(value, "ready") && strcasecmp(value, "offline"))
		return err_set(e, -EINVAL, "State '%.32s': ready or offline is needed", value);
	c->ts.offline = !strcasecmp(value, "offline");
	attach_look_again(c);
	log_info("logins are %s", c->ts.offline ? "refused from now on" : "welcome");
	return 0;
}

void verb_system_update(struct call *call)
{
	const char *name = call_str(call, "name", ""), *value = call_str(call, "value", "");
	struct err e;
	int err;

	if (!strcasecmp(name, "state"))
		err = set_system_state(call_control(call), value, &e);
	else if (!strcmp(name, "debug"))
		err = set_debug(value, &e);
	else if (!strcmp(name, "log_level"))
		err = set_level(value, &e);
	else
		err = err_set(&e, -EINVAL,
			      "the system has no parameter '%.64s': there are State, "
			      "debug and log_level",
			      name);
	if (err)
		call_fail(call, FAIL_INVALID, &e);
	else
		call_reply(call, NULL);
}

void verb_system_shutdown(struct call *call)
{
	struct control *c = call_control(call);

	if (!list_empty(&c->ts.all) && !call_bool(call, "force", false)) {
		call_failf(call, FAIL_INVALID, -EBUSY,
			   "there are targets left: delete them first, or force it");
		return;
	}
	call_reply(call, NULL);
	c->shutdown(c);
}

void verb_help(struct call *c)
{
	call_reply(c, verbs_describe(control_verbs));
}
