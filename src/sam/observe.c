/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/observe.h"

#include "sam/scsi_cmd.h"
#include "sam/tmf.h"

uint16_t itl_trace_number(const struct itl *itl)
{
	bool mapped = itl != &itl->nexus->absent && itl != &itl->nexus->wlun;

	return mapped ? (uint16_t)itl->lun : TRACE_NO_LUN;
}

static struct trace_rec record(const struct it_nexus *n, const struct itl *itl, enum probe p,
			       int code)
{
	return (struct trace_rec){
		.event = (uint8_t)p,
		.sid = n->id,
		.tid = n->tid,
		.lun = itl ? itl_trace_number(itl) : TRACE_NO_LUN,
		.lu = itl ? (uint32_t)itl->lu->id : 0,
		.opcode = TRACE_NO_OPCODE,
		.code = code,
	};
}

void cmd_trace(const struct scsi_cmd *cmd, enum probe p, int code)
{
	struct trace_rec rec = record(cmd->nexus, cmd->itl, p, code);

	rec.tag = cmd->tag;
	rec.opcode = cmd->cdb[0];
	rec.op = cmd->op ? (uint16_t)cmd->op->index : 0;
	rec.took = cmd->since;
	if (p == PROBE_store__submit || p == PROBE_store__done) {
		rec.where = cmd->io.offset;
		rec.length = (uint32_t)min(cmd->io.length, (uint64_t)UINT32_MAX);
	} else if (p == PROBE_command__received) {
		rec.length = cmd->expected;
	} else {
		rec.where = cmd->args.lba;
		rec.length = cmd->args.length;
	}
	trace_add(cmd->nexus->reactor, &rec);
}

void tmf_trace(const struct tmf *t, enum probe p, int code)
{
	struct trace_rec rec = record(t->nexus, NULL, p, code);

	rec.lun = t->number;
	rec.lu = (uint32_t)t->lu;
	rec.tag = t->ref_tag;
	rec.where = t->function;
	trace_add(t->nexus->reactor, &rec);
}

void nexus_trace(const struct it_nexus *n, enum probe p)
{
	struct trace_rec rec = record(n, NULL, p, 0);

	trace_add(n->reactor, &rec);
}
