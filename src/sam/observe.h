/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of commands, for traces and probes (base/probe.h). Off the path while nobody traces. */
#ifndef STGT_SAM_OBSERVE_H
#define STGT_SAM_OBSERVE_H

#include "base/probe.h"
#include "reactor/trace.h"

struct it_nexus;
struct itl;
struct scsi_cmd;
struct tmf;

/* Record the event @p of @cmd; @code: the verdict, errno or verb of the event. */
void cmd_trace(const struct scsi_cmd *cmd, enum probe p, int code);
/* The LUN of @itl as in records: TRACE_NO_LUN for what answers where no LUN is mapped. */
uint16_t itl_trace_number(const struct itl *itl);
void tmf_trace(const struct tmf *t, enum probe p, int code);
void nexus_trace(const struct it_nexus *n, enum probe p);

/* An event of @cmd: OBSERVE(cmd, command__answered, code, arguments of the probe). */
#define OBSERVE(cmd, name, code, ...) \
	do { \
		PROBE(name, __VA_ARGS__); \
		if (trace_on()) \
			cmd_trace(cmd, PROBE_##name, code); \
	} while (0)

#endif
