/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the trace verbs share. */
#ifndef STGT_CONTROL_TRACE_H
#define STGT_CONTROL_TRACE_H

#include "control/control.h"

/* A copy of the reactors' rings, in the order of time, that is told page by page. */
struct trace_dump {
	uint64_t id;
	unsigned n, lost; /* records; those that were overwritten before */
	struct trace_rec recs[];
};

/* A record as a flat object; what does not belong to its event is left out. */
json_t *trace_rec_json(const struct trace_rec *rec);
/* The table of events: name in traces, probe, its arguments, when. */
json_t *trace_events_json(void);
/* What is recorded, as it was asked for; null: everything. */
json_t *trace_filter_json(const struct trace_filter *f);

#endif
