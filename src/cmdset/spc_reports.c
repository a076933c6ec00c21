/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is: logical units, commands, task management functions. */
#include <stdlib.h>

#include "cmdset/internal.h"

/* ---- REPORT LUNS (SPC-5) ----------------------------------------------------------- */

#define LUNS_HEADER 8
#define LUN_LEN 8
#define WLUN_REPORT_LUNS 0xc101000000000000ull /* SAM-6 4.7.7.5.3 */

enum select_report { SELECT_ALL_BUT_WELL_KNOWN = 0, SELECT_WELL_KNOWN = 1, SELECT_ALL = 2 };

/* Peripheral addressing up to 255, flat space addressing above (SAM-6 4.7.7.2, 4.7.7.3). */
static uint64_t lun_field(uint64_t lun)
{
	return (lun < 256 ? lun : lun | 0x4000) << 48;
}

static int by_value(const void *a, const void *b)
{
	return memcmp(a, b, LUN_LEN);
}

/* The map may have grown while the command waited for a buffer: no more than up to @end. */
static uint8_t *put_luns(struct it_nexus *n, uint8_t *p, const uint8_t *end)
{
	uint8_t *first = p;

	for (unsigned i = 0; i < array_size(n->lun_slots); i++) {
		for (struct hash_node *node = n->lun_slots[i]; node; node = node->next) {
			struct itl *itl = container_of(node, struct itl, by_lun);

			/* SPC-5: who reads the list need not be told that it changed */
			itl->ua &= ~UA_BIT(UA_LUNS_CHANGED);
			if (itl->removing || p + LUN_LEN > end)
				continue;
			be_store(p, LUN_LEN, lun_field(itl->lun));
			p += LUN_LEN;
		}
	}
	qsort(first, (size_t)(p - first) / LUN_LEN, LUN_LEN, by_value);
	if (p == first)
		p += LUN_LEN; /* LUN 0 answers INQUIRY even if nothing is there */
	return p;
}

static uint32_t fill_luns(struct scsi_cmd *cmd, uint8_t *start)
{
	uint8_t *p = start + LUNS_HEADER;

	if (cmd->args.select_report != SELECT_WELL_KNOWN)
		p = put_luns(cmd->nexus, p, start + cmd->buf->size - LUN_LEN);
	if (cmd->args.select_report != SELECT_ALL_BUT_WELL_KNOWN) {
		be_store(p, LUN_LEN, WLUN_REPORT_LUNS);
		p += LUN_LEN;
	}
	be_store(start, 4, (uint64_t)(p - start) - LUNS_HEADER);
	return (uint32_t)(p - start);
}

enum verdict spc_report_luns(struct scsi_cmd *cmd)
{
	uint32_t room = LUNS_HEADER + (cmd->nexus->nluns + 2) * LUN_LEN;

	if (cmd->args.select_report > SELECT_ALL)
		return bad_field(cmd, select_report);
	return cmd_answer(cmd, room, fill_luns);
}

/* ---- REPORT SUPPORTED OPERATION CODES (SPC-5) ----------------------------------------- */

#define TIMEOUTS_LEN 12
#define CODES_ROOM (4 + OP_ROWS_MAX * (8 + TIMEOUTS_LEN))

enum reporting { REPORT_ALL = 0, REPORT_OPCODE = 1, REPORT_SA = 2, REPORT_EITHER = 3 };
enum support { SUPPORT_NOT = 1, SUPPORT_STANDARD = 3 };

static bool supported(const struct scsi_cmd *cmd, const struct op *op)
{
	return !is_disk(cmd->lu) || disk_supports(ident_of(cmd), op);
}

/* Command timeouts descriptor (SPC-5) */
static void put_timeouts(uint8_t *p, const struct op *op)
{
	be_store(p, 2, TIMEOUTS_LEN - 2);
	be_store(p + 4, 4, max(op->timeout / 10, 1));
	be_store(p + 8, 4, op->timeout);
}

static uint8_t *put_code(const struct scsi_cmd *cmd, uint8_t *p, const struct op *op)
{
	p[0] = op->opcode;
	if (op->sa != OP_NO_SA) {
		be_store(p + 2, 2, (uint64_t)op->sa);
		p[5] = 0x01; /* SERVACTV */
	}
	be_store(p + 6, 2, op->cdb_len);
	if (!cmd->args.rctd)
		return p + 8;
	p[5] |= 0x02; /* CTDP */
	put_timeouts(p + 8, op);
	return p + 8 + TIMEOUTS_LEN;
}

static uint32_t fill_all_codes(struct scsi_cmd *cmd, uint8_t *start)
{
	const struct op_table *const *tables = cmd->lu->ds->ops->tables;
	uint8_t *p = start + 4;

	for (; *tables; tables++)
		for (unsigned i = 0; i < (*tables)->n; i++)
			if (supported(cmd, &(*tables)->rows[i]))
				p = put_code(cmd, p, &(*tables)->rows[i]);
	be_store(start, 4, (uint64_t)(p - start) - 4);
	return (uint32_t)(p - start);
}

static const struct op *asked_for(const struct scsi_cmd *cmd)
{
	const struct op_index *ix = cmd->lu->ds->ops;
	uint8_t opcode = cmd->args.req_opcode;
	const struct op *op;

	if (op_has_sa(ix, opcode))
		op = op_lookup(ix, opcode, cmd->args.req_sa);
	else if (cmd->args.reporting_options == REPORT_EITHER && cmd->args.req_sa)
		op = NULL;
	else
		op = op_lookup(ix, opcode, OP_NO_SA);
	return op && supported(cmd, op) ? op : NULL;
}

static uint32_t fill_one_code(struct scsi_cmd *cmd, uint8_t *p)
{
	const struct op *op = asked_for(cmd);
	uint32_t len;

	if (!op) {
		p[1] = SUPPORT_NOT;
		return 4;
	}
	p[1] = SUPPORT_STANDARD;
	be_store(p + 2, 2, op->cdb_len);
	op_usage_mask(op, p + 4);
	len = 4u + op->cdb_len;
	if (cmd->args.rctd) {
		p[1] |= 0x80; /* CTDP */
		put_timeouts(p + len, op);
		len += TIMEOUTS_LEN;
	}
	return len;
}

enum verdict spc_report_opcodes(struct scsi_cmd *cmd)
{
	int has_sa = op_has_sa(cmd->lu->ds->ops, cmd->args.req_opcode);

	switch (cmd->args.reporting_options) {
	case REPORT_ALL:
		return cmd_answer(cmd, CODES_ROOM, fill_all_codes);
	case REPORT_OPCODE:
		if (has_sa)
			return bad_field(cmd, reporting_options);
		break;
	case REPORT_SA:
		if (!has_sa && op_lookup(cmd->lu->ds->ops, cmd->args.req_opcode, OP_NO_SA))
			return bad_field(cmd, reporting_options);
		break;
	case REPORT_EITHER:
		break;
	default:
		return bad_field(cmd, reporting_options);
	}
	return cmd_answer(cmd, 4 + CDB_ROW_MAX + TIMEOUTS_LEN, fill_one_code);
}

/* ---- REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-5) -------------------------------- */

static uint32_t fill_tmf(struct scsi_cmd *cmd, uint8_t *p)
{
	p[0] = 0xdc; /* ATS, ATSS, CTSS, LURS, QTS */
	p[1] = 0x02; /* QTSS */
	if (!cmd->args.repd)
		return 4;
	p[3] = 12; /* ADDITIONAL DATA LENGTH; no timeout is indicated */
	return 16;
}

enum verdict spc_report_tmf(struct scsi_cmd *cmd)
{
	return cmd_answer(cmd, 16, fill_tmf);
}
