/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs of traces. A ring belongs to its reactor while it is there: each verb is one message to
 * every data reactor and back. A dump is copied at once and told page by page, so that it is of
 * one moment although an answer is bounded.
 */
#include "control/trace.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "stgt/store.h"

#define SIZE_DEFAULT 16384 /* records: 1 MiB a reactor */
#define DUMP_DEFAULT 1000
#define PAGE 500 /* records of an answer: about 150 KiB */

/* What is asked of every data reactor. */
struct job {
	struct call *call;
	void (*on_reactor)(struct job *j, struct reactor *r, unsigned i);
	void (*done)(struct job *j); /* on control */
	unsigned left, n;
	unsigned most, room; /* records of a dump; of one reactor's part of it */
	struct part {
		struct msg msg;
		struct job *job;
		struct trace_ring *ring; /* there: to install; back: to destroy */
		struct trace_counts counts;
		struct trace_rec *recs; /* of a dump */
		unsigned nrecs;
	} part[REACTORS_MAX];
};

static struct control *control_of(const struct job *j)
{
	return call_control(j->call);
}

static struct job *job_new(struct call *call)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		call_failf(call, FAIL_NOMEM, -ENOMEM, "no memory to ask the reactors");
		return NULL;
	}
	j->call = call;
	j->n = call_control(call)->nreactors;
	return j;
}

static void job_free(struct job *j)
{
	for (unsigned i = 0; i < j->n; i++) {
		trace_ring_destroy(j->part[i].ring);
		free(j->part[i].recs);
	}
	free(j);
}

static void answered(struct msg *m)
{
	struct job *j = container_of(m, struct part, msg)->job;

	if (--j->left)
		return;
	j->done(j);
	job_free(j);
}

static void asked(struct msg *m)
{
	struct part *p = container_of(m, struct part, msg);
	struct job *j = p->job;
	unsigned i = (unsigned)(p - j->part);
	struct reactor *r = control_of(j)->reactors[i];

	if (j->on_reactor)
		j->on_reactor(j, r, i);
	trace_get_counts(r, &p->counts);
	reactor_post(control_of(j)->self, m, answered);
}

static void job_run(struct job *j, void (*on_reactor)(struct job *j, struct reactor *r, unsigned i),
		    void (*done)(struct job *j))
{
	j->on_reactor = on_reactor;
	j->done = done;
	j->left = j->n;
	for (unsigned i = 0; i < j->n; i++) {
		j->part[i].job = j;
		reactor_post(control_of(j)->reactors[i], &j->part[i].msg, asked);
	}
}

/* ---- status -------------------------------------------------------------------- */

static json_t *counts_json(const struct job *j)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < j->n; i++) {
		const struct trace_counts *k = &j->part[i].counts;

		json_array_append_new(all,
				      json_pack("{s:s,s:i,s:I,s:I}", "name",
						reactor_name(control_of(j)->reactors[i]), "held",
						(int)k->held, "recorded", (json_int_t)k->recorded,
						"lost", (json_int_t)(k->recorded - k->held)));
	}
	return all;
}

static void reply_status(struct job *j)
{
	const struct control *c = control_of(j);
	const char *state = c->trace.on ? "on" : c->trace.exists ? "stopped" : "off";

	call_reply(j->call,
		   json_pack("{s:s,s:i,s:o,s:o,s:o,s:b}", "state", state, "size",
			     c->trace.exists ? (int)c->trace.size : 0, "filter",
			     c->trace.exists ? trace_filter_json(&c->trace.filter) : json_null(),
			     "reactors", counts_json(j), "events", trace_events_json(), "usdt",
			     PROBES_BUILT));
}

void verb_trace_status(struct call *call)
{
	struct job *j = job_new(call);

	if (j)
		job_run(j, NULL, reply_status);
}

/* ---- start, stop, clear ----------------------------------------------------------- */

/* The row called @name, NULL if there is none. */
static const struct op *row_named(const char *name)
{
	for (unsigned i = 1; i < OP_ROWS_MAX && op_row(i); i++)
		if (!strcasecmp(op_row(i)->name, name))
			return op_row(i);
	return NULL;
}

static void refuse_name(struct call *call, const char *name)
{
	const char *names[OP_ROWS_MAX], *near;
	char upper[64];
	unsigned n = 0;

	for (unsigned i = 1; i < OP_ROWS_MAX && op_row(i); i++)
		names[n++] = op_row(i)->name;
	names[n] = NULL;
	snprintf(upper, sizeof(upper), "%s", name);
	for (char *p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	near = store_suggest(upper, names);
	call_failf(call, FAIL_INVALID, -EINVAL, "there is no command '%s': %s%s%s", name,
		   near ? "did you mean '" : "",
		   near ? near : "a name such as READ(10) or an opcode from 0 to 255 is needed",
		   near ? "'?" : "");
}

/* False: refused and answered. */
static bool take_opcode(struct call *call, struct trace_filter *f)
{
	const char *text = call_str(call, "opcode", "");
	const struct op *op;
	unsigned long v;
	char *end;

	if (!*text)
		return true;
	v = strtoul(text, &end, 0);
	if (isdigit((unsigned char)*text) && !*end && v <= 255) {
		f->opcode = (int)v;
		return true;
	}
	op = row_named(text);
	if (!op) {
		refuse_name(call, text);
		return false;
	}
	f->opcode = op->opcode;
	f->op = op->sa == OP_NO_SA ? 0 : op->index;
	return true;
}

/* False: refused and answered. */
static bool take_filter(struct call *call, struct trace_filter *f)
{
	*f = (struct trace_filter){ .lun = (int)call_int(call, "lun", -1), .opcode = -1 };
	if (call_has(call, "tid") || call_has(call, "target")) {
		const struct target *t = call_target(call);

		if (!t)
			return false;
		f->tid = t->tid;
	}
	return take_opcode(call, f);
}

static void swap_ring(struct job *j, struct reactor *r, unsigned i)
{
	j->part[i].ring = trace_set(r, j->part[i].ring);
}

void verb_trace_start(struct call *call)
{
	struct control *c = call_control(call);
	unsigned size = (unsigned)call_int(call, "size", SIZE_DEFAULT);
	struct trace_filter f;
	struct job *j;

	if (c->trace.on) {
		call_failf(call, FAIL_INVALID, -EBUSY,
			   "a trace is being recorded already: stop it first (trace.stop)");
		return;
	}
	if (!take_filter(call, &f))
		return;
	j = job_new(call);
	if (!j)
		return;
	for (unsigned i = 0; i < j->n; i++) {
		j->part[i].ring = trace_ring_create(size, &f);
		if (!j->part[i].ring) {
			job_free(j);
			call_failf(call, FAIL_NOMEM, -ENOMEM,
				   "no memory for %u records a reactor: try a smaller size", size);
			return;
		}
	}
	trace_forget(c);
	c->trace.on = c->trace.exists = true;
	c->trace.size = size;
	c->trace.filter = f;
	log_info("a trace of %u records a reactor begins", size);
	job_run(j, swap_ring, reply_status);
}

static void stop(struct job *j, struct reactor *r, unsigned i)
{
	trace_stop(r);
}

void verb_trace_stop(struct call *call)
{
	struct control *c = call_control(call);
	struct job *j;

	if (!c->trace.on) {
		call_failf(call, FAIL_INVALID, -EINVAL,
			   "no trace is being recorded: trace.start begins one");
		return;
	}
	j = job_new(call);
	if (!j)
		return;
	c->trace.on = false;
	log_info("the trace ends");
	job_run(j, stop, reply_status);
}

void verb_trace_clear(struct call *call)
{
	struct control *c = call_control(call);
	struct job *j = job_new(call);

	if (!j)
		return;
	trace_forget(c);
	c->trace.on = c->trace.exists = false;
	job_run(j, swap_ring, reply_status);
}

/* ---- dump ----------------------------------------------------------------------------- */

void trace_forget(struct control *c)
{
	free(c->trace.dump);
	c->trace.dump = NULL;
}

static void reply_page(struct call *call, unsigned from)
{
	struct control *c = call_control(call);
	const struct trace_dump *d = c->trace.dump;
	unsigned to = min(d->n, from + PAGE);
	json_t *recs = json_array(), *cursor = json_null();
	char text[48];

	for (unsigned i = from; i < to; i++)
		json_array_append_new(recs, trace_rec_json(&d->recs[i]));
	if (to < d->n) {
		snprintf(text, sizeof(text), "%" PRIu64 ":%u", d->id, to);
		cursor = json_string(text);
	}
	call_reply(call, json_pack("{s:i,s:i,s:o,s:o}", "total", (int)d->n, "lost", (int)d->lost,
				   "records", recs, "cursor", cursor));
	if (to == d->n)
		trace_forget(c);
}

static void copy(struct job *j, struct reactor *r, unsigned i)
{
	j->part[i].nrecs = trace_copy(r, j->part[i].recs, j->room);
}

/* The part whose next record is the oldest, NULL at the end. @at: how many of each are taken. */
static struct part *oldest(struct job *j, unsigned *at)
{
	struct part *first = NULL;

	for (unsigned i = 0; i < j->n; i++) {
		struct part *p = &j->part[i];

		if (at[i] < p->nrecs &&
		    (!first || p->recs[at[i]].at < first->recs[at[first - j->part]].at))
			first = p;
	}
	if (first)
		at[first - j->part]++;
	return first;
}

/* Merge the copies into @d, without the oldest @skip. */
static void merge(struct job *j, struct trace_dump *d, unsigned skip)
{
	unsigned at[REACTORS_MAX] = { 0 };
	const struct part *p;

	while ((p = oldest(j, at))) {
		if (skip)
			skip--;
		else
			d->recs[d->n++] = p->recs[at[p - j->part] - 1];
	}
}

static void copied(struct job *j)
{
	struct control *c = control_of(j);
	struct trace_dump *d;
	uint64_t lost = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < j->n; i++) {
		n += j->part[i].nrecs;
		lost += j->part[i].counts.recorded - j->part[i].counts.held;
	}
	d = malloc(sizeof(*d) + (size_t)min(n, j->most) * sizeof(d->recs[0]));
	if (!d) {
		call_failf(j->call, FAIL_NOMEM, -ENOMEM, "no memory for the dump");
		return;
	}
	d->id = ++c->trace.dumps;
	d->n = 0;
	d->lost = (unsigned)min(lost, (uint64_t)INT32_MAX);
	merge(j, d, n > j->most ? n - j->most : 0);
	trace_forget(c);
	c->trace.dump = d;
	reply_page(j->call, 0);
}

static void next_page(struct call *call, const char *cursor)
{
	const struct trace_dump *d = call_control(call)->trace.dump;
	uint64_t id, from = 0;
	char *end;

	id = strtoull(cursor, &end, 10);
	if (*end == ':' && isdigit((unsigned char)end[1]))
		from = strtoull(end + 1, &end, 10);
	if (!isdigit((unsigned char)*cursor) || *end || !from)
		call_failf(call, FAIL_INVALID, -EINVAL,
			   "cursor '%s' is none that trace.dump gave: leave it out for a new dump",
			   cursor);
	else if (!d || d->id != id || from >= d->n)
		call_failf(call, FAIL_INVALID, -ESTALE,
			   "the dump of cursor '%s' is gone: another one or a new trace came "
			   "between, begin again without cursor",
			   cursor);
	else
		reply_page(call, (unsigned)from);
}

void verb_trace_dump(struct call *call)
{
	struct control *c = call_control(call);
	struct job *j;

	if (call_has(call, "cursor")) {
		next_page(call, call_str(call, "cursor", ""));
		return;
	}
	if (!c->trace.exists) {
		call_failf(call, FAIL_INVALID, -EINVAL,
			   "nothing has been traced: trace.start begins it");
		return;
	}
	j = job_new(call);
	if (!j)
		return;
	j->most = (unsigned)call_int(call, "count", DUMP_DEFAULT);
	j->room = min(j->most, c->trace.size);
	for (unsigned i = 0; i < j->n; i++) {
		j->part[i].recs = malloc(j->room * sizeof(struct trace_rec));
		if (!j->part[i].recs) {
			job_free(j);
			call_failf(call, FAIL_NOMEM, -ENOMEM,
				   "no memory for the dump: try a smaller count");
			return;
		}
	}
	job_run(j, copy, copied);
}
