/* SPDX-License-Identifier: BSD-2-Clause */
/* Statistics: read by any thread what each reactor counts, or asked of it by message. */
#include <errno.h>

#include "control/json.h"
#include "reactor/bufpool.h"
#include "sam/latency.h"
#include "sam/scsi_cmd.h"
#include "transport/tcmu/tcmu.h"

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
	PUT(o, "commands", cmd_ended_count(reactor_id(r)));
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

static json_t *latency_json(const struct op *op, const struct hist *h)
{
	json_t *o = json_pack("{s:s}", "op", op ? op->name : "others");

	if (op)
		PUT(o, "opcode", op->opcode);
	if (op && op->sa != OP_NO_SA)
		PUT(o, "service_action", op->sa);
	PUT(o, "count", hist_count(h));
	PUT(o, "mean_ns", hist_mean(h));
	PUT(o, "p50_ns", hist_quantile(h, 500));
	PUT(o, "p90_ns", hist_quantile(h, 900));
	PUT(o, "p99_ns", hist_quantile(h, 990));
	PUT(o, "p999_ns", hist_quantile(h, 999));
	PUT(o, "max_ns", h->max);
	return o;
}

static json_t *latencies_json(struct lu *lu)
{
	const struct op *rows[LATENCY_LIST];
	unsigned n = lu_latency_rows(lu, rows);
	json_t *all = json_array();
	struct hist h;

	for (unsigned i = 0; i < n; i++) {
		lu_latency(lu, rows[i], &h);
		json_array_append_new(all, latency_json(rows[i], &h));
	}
	return all;
}

static void put_number(void *arg, const char *key, uint64_t value)
{
	PUT((json_t *)arg, key, value);
}

/* What the store and its layers count for themselves; NULL if nothing. */
static json_t *numbers_json(struct store *s)
{
	json_t *o = json_object();

	if (s)
		store_describe(s, put_number, o);
	if (json_object_size(o))
		return o;
	json_decref(o);
	return NULL;
}

static json_t *unit_json(struct unit *u)
{
	struct lu_stats s;
	json_t *o, *numbers;

	lu_get_stats(u->lu, &s);
	o = json_pack("{s:i,s:I,s:s,s:I,s:I,s:I,s:I,s:I}", "tid", (int)u->tid, "lun",
		      (json_int_t)u->lun, "type", u->lu->ds->name, "read_cmds",
		      (json_int_t)s.read_cmds, "read_bytes", (json_int_t)s.read_bytes, "write_cmds",
		      (json_int_t)s.write_cmds, "write_bytes", (json_int_t)s.write_bytes, "errors",
		      (json_int_t)s.errors);
	PUT(o, "inflight", u->store ? store_inflight(u->store) : 0);
	json_object_set_new(o, "store", json_string(u->store ? store_state(u->store) : "none"));
	numbers = numbers_json(u->store);
	if (numbers)
		json_object_set_new(o, "store_numbers", numbers);
	json_object_set_new(o, "latency", latencies_json(u->lu));
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

static json_t *vhost_stat_json(struct control *c)
{
	struct vhost_live l = { 0 };
	json_t *o = json_object();

	if (c->vhost)
		vhost_get_live(c->vhost, &l);
	PUT(o, "connections", l.connections);
	PUT(o, "tasks", l.tasks);
	PUT(o, "accepted", l.accepted);
	PUT(o, "protocol_errors", l.protocol_errors);
	PUT(o, "ring_errors", l.ring_errors);
	return o;
}

static json_t *tcmu_stat_json(struct control *c)
{
	struct tcmu_live l = { 0 };
	json_t *o = json_object();

	if (c->tcmu)
		tcmu_get_live(c->tcmu, &l);
	PUT(o, "devices", l.devices);
	PUT(o, "tasks", l.tasks);
	PUT(o, "commands", l.commands);
	PUT(o, "unknown_entries", l.unknown_entries);
	PUT(o, "ring_errors", l.ring_errors);
	PUT(o, "task_management", l.tmr);
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
	call_reply(call,
		   json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o}}", "uptime",
			     (json_int_t)((reactor_now(c->self) - c->started) / NSEC_PER_SEC),
			     "live", live, "iscsi", events_json(c), "vhost", vhost_stat_json(c),
			     "tcmu", tcmu_stat_json(c), "luns", luns, "reactors", reactors,
			     "control", reactor_json(c->self), "offload", "io",
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
