/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon as a whole: statistics, state, log, end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "control/json.h"
#include "reactor/bufpool.h"
#include "sam/scsi_cmd.h"

/* ---- statistics ------------------------------------------------------------------ */

#define PUT(o, key, value) json_object_set_new(o, key, json_integer((json_int_t)(value)))

static json_t *reactor_json(struct reactor *r)
{
	struct bufpool_stats b = { 0 };
	struct reactor_stats s;
	json_t *o = json_object();

	reactor_get_stats(r, &s);
	json_object_set_new(o, "name", json_string(reactor_name(r)));
	json_object_set_new(o, "engine", json_string(reactor_engine(r)->name));
	PUT(o, "turns", s.turns);
	PUT(o, "waits", s.waits);
	PUT(o, "wakeups", s.wakeups);
	PUT(o, "messages", s.messages);
	PUT(o, "rings", s.rings);
	PUT(o, "recvs", s.recvs);
	PUT(o, "sends", s.sends);
	PUT(o, "accepts", s.accepts);
	PUT(o, "polls", s.polls);
	PUT(o, "file_reads", s.file_reads);
	PUT(o, "file_writes", s.file_writes);
	PUT(o, "file_syncs", s.file_syncs);
	PUT(o, "submits", s.submits);
	PUT(o, "offloads", s.offloads);
	if (reactor_bufpool(r))
		bufpool_stats(reactor_bufpool(r), &b);
	json_object_set_new(o, "memory",
			    json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "cap", (json_int_t)b.cap, "used",
				      (json_int_t)b.used, "reserved", (json_int_t)b.reserved,
				      "slabs", (json_int_t)b.slabs, "gets", (json_int_t)b.gets,
				      "fails", (json_int_t)b.fails));
	return o;
}

static json_t *offload_json(enum offload_class class)
{
	struct offload_stats s;

	offload_get_stats(class, &s);
	return json_pack("{s:i,s:i,s:i,s:i}", "threads", (int)s.threads, "busy", (int)s.busy,
			 "queued", (int)s.queued, "stuck", (int)s.stuck);
}

static json_t *unit_json(struct unit *u)
{
	struct lu_stats s;
	json_t *o;

	lu_get_stats(u->lu, &s);
	o = json_pack("{s:i,s:I,s:s,s:I,s:I,s:I,s:I,s:I}", "tid", (int)u->tid, "lun",
		      (json_int_t)u->lun, "type", u->lu->ds->name, "read_cmds",
		      (json_int_t)s.read_cmds, "read_bytes", (json_int_t)s.read_bytes, "write_cmds",
		      (json_int_t)s.write_cmds, "write_bytes", (json_int_t)s.write_bytes, "errors",
		      (json_int_t)s.errors);
	PUT(o, "inflight", u->store ? store_inflight(u->store) : 0);
	json_object_set_new(o, "store", json_string(u->store ? store_state(u->store) : "none"));
	return o;
}

static json_t *live_json(struct control *c)
{
	struct iscsi_live l;
	json_t *o = json_object();

	iscsi_get_live(c->iscsi, &l);
	PUT(o, "connections", l.connections);
	PUT(o, "sessions", l.sessions);
	PUT(o, "tasks", l.tasks);
	PUT(o, "logins", l.logins);
	PUT(o, "commands", cmd_live_count());
	return o;
}

static json_t *events_json(struct control *c)
{
	struct iscsi_live l;
	json_t *o = json_object();

	iscsi_get_live(c->iscsi, &l);
	PUT(o, "accepted", l.accepted);
	PUT(o, "protocol_errors", l.protocol_errors);
	PUT(o, "digest_errors", l.digest_errors);
	PUT(o, "memory_refusals", l.memory_refusals);
	return o;
}

void verb_stat(struct call *call)
{
	struct control *c = call_control(call);
	json_t *live = live_json(c), *luns = json_array(), *reactors = json_array();
	const struct target *t;
	unsigned targets = 0, units = 0;
	size_t buffers = 0;
	struct unit *u;

	list_for_each(t, &c->ts.all, link)
		targets++;
	list_for_each(u, &c->units, link) {
		units++;
		if (u->ready)
			json_array_append_new(luns, unit_json(u));
	}
	for (unsigned i = 0; i < c->nreactors; i++) {
		struct bufpool_stats b;

		bufpool_stats(reactor_bufpool(c->reactors[i]), &b);
		buffers += b.used;
		json_array_append_new(reactors, reactor_json(c->reactors[i]));
	}
	PUT(live, "targets", targets);
	PUT(live, "luns", units);
	PUT(live, "buffer_bytes", buffers);
	call_reply(call, json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o}}", "uptime",
				   (json_int_t)((reactor_now(c->self) - c->started) / NSEC_PER_SEC),
				   "live", live, "iscsi", events_json(c), "luns", luns, "reactors",
				   reactors, "control", reactor_json(c->self), "offload", "io",
				   offload_json(OFFLOAD_IO), "slow", offload_json(OFFLOAD_SLOW)));
}

/* A row of tgt's `--op stat`. */
static json_t *row_json(const struct sample *s, const struct sample_row *r)
{
	const struct itl_stats *i = &r->stats;
	json_t *o = json_pack("{s:i,s:I,s:I}", "tid", (int)s->unit->tid, "lun",
			      (json_int_t)s->unit->lun, "sid", (json_int_t)r->sid);

	PUT(o, "rd_subm_bytes", i->rd_subm_bytes);
	PUT(o, "rd_subm_cmds", i->rd_subm_cmds);
	PUT(o, "rd_done_bytes", i->rd_done_bytes);
	PUT(o, "rd_done_cmds", i->rd_done_cmds);
	PUT(o, "wr_subm_bytes", i->wr_subm_bytes);
	PUT(o, "wr_subm_cmds", i->wr_subm_cmds);
	PUT(o, "wr_done_bytes", i->wr_done_bytes);
	PUT(o, "wr_done_cmds", i->wr_done_cmds);
	PUT(o, "errs", i->errs);
	return o;
}

static void lun_stats_gathered(struct gather *g)
{
	struct call *c = g->arg;
	int64_t sid = call_int(c, "sid", -1);
	json_t *all = json_array();

	for (unsigned i = 0; i < g->n; i++)
		for (unsigned j = 0; j < g->s[i].nrows; j++)
			if (sid < 0 || g->s[i].rows[j].sid == (uint64_t)sid)
				json_array_append_new(all, row_json(&g->s[i], &g->s[i].rows[j]));
	call_reply(c, all);
}

void verb_lun_stat(struct call *c)
{
	struct target *t = NULL;

	if (call_has(c, "tid") || call_has(c, "target")) {
		t = call_target(c);
		if (!t)
			return;
	}
	if (t && call_has(c, "lun") &&
	    !unit_find(call_control(c), t->tid, (uint64_t)call_int(c, "lun", 0))) {
		call_failf(c, FAIL_NO_LUN, -ENOENT, "target %u has no LUN %d", t->tid,
			   (int)call_int(c, "lun", 0));
		return;
	}
	if (gather_run(call_control(c), t ? t->tid : 0, call_int(c, "lun", -1),
		       GATHER_UNITS | GATHER_STATS, lun_stats_gathered, c))
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory for statistics");
}

/* ---- state ---------------------------------------------------------------------------- */

static json_t *stores_json(void)
{
	json_t *all = json_array();

	for (const struct store_ops *const *s = store_list; *s; s++)
		json_array_append_new(all, json_pack("{s:s,s:s,s:b}", "name", (*s)->name, "summary",
						     (*s)->summary, "needs_path", (*s)->needs_path));
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
