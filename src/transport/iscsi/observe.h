/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of connections, for traces and probes (base/probe.h). */
#ifndef STGT_ISCSI_OBSERVE_H
#define STGT_ISCSI_OBSERVE_H

#include "base/probe.h"
#include "reactor/trace.h"

struct iscsi_conn;

/* Record the event @p of @c; @code and @length by the event. */
void conn_trace(const struct iscsi_conn *c, enum probe p, int code, uint32_t length);

/* An event of @c: the probe's arguments are the descriptor and what follows. */
#define OBSERVE_CONN(c, name, code, length, ...) \
	do { \
		PROBE(name, (c)->fd, __VA_ARGS__); \
		if (trace_on()) \
			conn_trace(c, PROBE_##name, code, length); \
	} while (0)

#endif
