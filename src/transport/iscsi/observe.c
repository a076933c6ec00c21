/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/observe.h"

#include "transport/iscsi/session.h"

void conn_trace(const struct iscsi_conn *c, enum probe p, int code, uint32_t length)
{
	const struct it_nexus *n = c->session ? c->session->nexus : NULL;
	struct trace_rec rec = {
		.event = (uint8_t)p,
		.sid = n ? n->id : 0,
		.tid = n ? n->tid : 0,
		.lun = TRACE_NO_LUN,
		.opcode = TRACE_NO_OPCODE,
		.tag = (uint64_t)c->fd,
		.code = code,
		.length = length,
	};

	trace_add(c->part->reactor, &rec);
}
