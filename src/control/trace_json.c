/* SPDX-License-Identifier: BSD-2-Clause */
/* Trace records in the standards' words. */
#include <stdio.h>

#include "control/trace.h"
#include "sam/tmf.h"
#include "stgt/store.h"

#define PUT(o, key, value) json_object_set_new(o, key, json_integer((json_int_t)(value)))
#define PUT_TEXT(o, key, text) json_object_set_new(o, key, json_string(text))

static const char *const verbs[STORE_VERBS] = {
	[STORE_READ] = "read",	     [STORE_WRITE] = "write", [STORE_FLUSH] = "flush",
	[STORE_DISCARD] = "discard", [STORE_ZERO] = "zero",   [STORE_EXTENTS] = "extents",
};

static const char *const functions[] = {
	[TMF_ABORT_TASK] = "ABORT TASK",
	[TMF_ABORT_TASK_SET] = "ABORT TASK SET",
	[TMF_CLEAR_ACA] = "CLEAR ACA",
	[TMF_CLEAR_TASK_SET] = "CLEAR TASK SET",
	[TMF_LU_RESET] = "LOGICAL UNIT RESET",
	[TMF_TARGET_WARM_RESET] = "TARGET WARM RESET",
	[TMF_TARGET_COLD_RESET] = "TARGET COLD RESET",
	[TMF_TASK_REASSIGN] = "TASK REASSIGN",
	[TMF_QUERY_TASK] = "QUERY TASK",
	[TMF_QUERY_TASK_SET] = "QUERY TASK SET",
	[TMF_I_T_NEXUS_RESET] = "I_T NEXUS RESET",
	[TMF_QUERY_ASYNC_EVENT] = "QUERY ASYNCHRONOUS EVENT",
};

static const char *word(const char *const *list, size_t n, uint64_t i)
{
	return i < n && list[i] ? list[i] : "?";
}

static void put_command(json_t *o, const struct trace_rec *rec)
{
	const struct op *op = op_row(rec->op);
	char opcode[32];

	snprintf(opcode, sizeof(opcode), "opcode 0x%02x", (unsigned)rec->opcode);
	PUT(o, "tag", rec->tag);
	PUT(o, "opcode", rec->opcode);
	PUT_TEXT(o, "op", op ? op->name : opcode);
	PUT(o, "took_ns", rec->took);
}

static void put_verdict(json_t *o, const struct trace_rec *rec)
{
	const struct verdict_row *v = &verdict_rows[(unsigned)rec->code < V_COUNT ? rec->code : 0];
	char sense[16];

	PUT_TEXT(o, "verdict", v->name);
	PUT(o, "status", v->status);
	if (v->status != ST_CHECK_CONDITION)
		return;
	snprintf(sense, sizeof(sense), "%x/%02x/%02x", v->key, v->asc, v->ascq);
	PUT_TEXT(o, "sense", sense);
}

static void put_range(json_t *o, const char *where, const char *length, const struct trace_rec *rec)
{
	PUT(o, where, rec->where);
	PUT(o, length, rec->length);
}

static void put_connection(json_t *o, const struct trace_rec *rec)
{
	PUT(o, "connection", rec->tag);
	if (rec->event == PROBE_connection__sent) {
		PUT(o, "bytes", rec->length);
		PUT(o, "queued", rec->code);
	} else if (rec->event == PROBE_login__response) {
		PUT(o, "status", rec->code);
	}
}

static void put_tmf(json_t *o, const struct trace_rec *rec)
{
	PUT(o, "ref_tag", rec->tag);
	PUT_TEXT(o, "function", word(functions, array_size(functions), rec->where));
	if (rec->event == PROBE_tmf__done)
		PUT(o, "response", rec->code);
}

static void put_event(json_t *o, const struct trace_rec *rec)
{
	switch ((enum probe)rec->event) {
	case PROBE_command__received:
		PUT(o, "expected", rec->length);
		break;
	case PROBE_command__enabled:
		put_range(o, "lba", "length", rec);
		break;
	case PROBE_store__submit:
		PUT_TEXT(o, "verb", word(verbs, STORE_VERBS, (unsigned)rec->code));
		put_range(o, "offset", "bytes", rec);
		break;
	case PROBE_store__done:
		PUT(o, "errno", -rec->code);
		put_range(o, "offset", "bytes", rec);
		break;
	case PROBE_command__done:
	case PROBE_command__answered:
		put_range(o, "lba", "length", rec);
		put_verdict(o, rec);
		break;
	case PROBE_connection__sent:
	case PROBE_connection__open:
	case PROBE_connection__close:
	case PROBE_login__response:
		put_connection(o, rec);
		break;
	case PROBE_tmf__start:
	case PROBE_tmf__done:
		put_tmf(o, rec);
		break;
	case PROBE_nexus__start:
	case PROBE_nexus__end:
	case PROBE_COUNT:
		break;
	}
}

json_t *trace_rec_json(const struct trace_rec *rec)
{
	json_t *o = json_pack("{s:I,s:i,s:s}", "at_ns", (json_int_t)rec->at, "reactor",
			      (int)rec->reactor, "event", probe_rows[rec->event].word);

	if (rec->sid)
		PUT(o, "sid", rec->sid);
	if (rec->tid)
		PUT(o, "tid", rec->tid);
	if (rec->lun != TRACE_NO_LUN)
		PUT(o, "lun", rec->lun);
	if (rec->lu)
		PUT(o, "lu", rec->lu);
	if (rec->opcode != TRACE_NO_OPCODE)
		put_command(o, rec);
	put_event(o, rec);
	return o;
}

json_t *trace_events_json(void)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < PROBE_COUNT; i++)
		json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s,s:i}", "event",
						     probe_rows[i].word, "probe",
						     probe_rows[i].name, "args", probe_rows[i].args,
						     "when", probe_rows[i].when, "nargs",
						     (int)probe_rows[i].nargs));
	return all;
}

json_t *trace_filter_json(const struct trace_filter *f)
{
	const struct op *op = op_row(f->op);
	json_t *o = json_object();

	if (f->tid)
		PUT(o, "tid", f->tid);
	if (f->lun >= 0)
		PUT(o, "lun", f->lun);
	if (f->opcode >= 0)
		PUT(o, "opcode", f->opcode);
	if (op)
		PUT_TEXT(o, "op", op->name);
	if (json_object_size(o))
		return o;
	json_decref(o);
	return json_null();
}
