/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of every device type (SPC-5). Rows of one opcode stand together. */
#include "cmdset/internal.h"

/* clang-format off */
const struct cdb_field inquiry_fields[3] = {
	FIELD("EVPD", 1, 0, 1, evpd),
	FIELD("PAGE CODE", 2, 7, 8, page),
	FIELD("ALLOCATION LENGTH", 3, 7, 16, alloc),
};

const struct cdb_field report_luns_fields[2] = {
	FIELD("SELECT REPORT", 2, 7, 8, select_report),
	FIELD("ALLOCATION LENGTH", 6, 7, 32, alloc),
};

const struct cdb_field request_sense_fields[2] = {
	FIELD("DESC", 1, 0, 1, desc),
	FIELD("ALLOCATION LENGTH", 4, 7, 8, alloc),
};

static const struct cdb_field mode_select6_fields[] = {
	FIELD("PF", 1, 4, 1, pf),
	FIELD("SP", 1, 0, 1, sp),
	FIELD("PARAMETER LIST LENGTH", 4, 7, 8, plist),
};

static const struct cdb_field mode_select10_fields[] = {
	FIELD("PF", 1, 4, 1, pf),
	FIELD("SP", 1, 0, 1, sp),
	FIELD("PARAMETER LIST LENGTH", 7, 7, 16, plist),
};

static const struct cdb_field mode_sense6_fields[] = {
	FIELD("DBD", 1, 3, 1, dbd),
	FIELD("PC", 2, 7, 2, pc),
	FIELD("PAGE CODE", 2, 5, 6, page),
	FIELD("SUBPAGE CODE", 3, 7, 8, subpage),
	FIELD("ALLOCATION LENGTH", 4, 7, 8, alloc),
};

static const struct cdb_field mode_sense10_fields[] = {
	FIELD("LLBAA", 1, 4, 1, llbaa),
	FIELD("DBD", 1, 3, 1, dbd),
	FIELD("PC", 2, 7, 2, pc),
	FIELD("PAGE CODE", 2, 5, 6, page),
	FIELD("SUBPAGE CODE", 3, 7, 8, subpage),
	FIELD("ALLOCATION LENGTH", 7, 7, 16, alloc),
};

static const struct cdb_field pr_in_fields[] = {
	FIELD("ALLOCATION LENGTH", 7, 7, 16, alloc),
};

static const struct cdb_field pr_out_fields[] = {
	FIELD("SCOPE", 2, 7, 4, scope),
	FIELD("TYPE", 2, 3, 4, type),
	FIELD("PARAMETER LIST LENGTH", 5, 7, 32, plist),
};

static const struct cdb_field report_opcodes_fields[] = {
	FIELD("RCTD", 2, 7, 1, rctd),
	FIELD("REPORTING OPTIONS", 2, 2, 3, reporting_options),
	FIELD("REQUESTED OPERATION CODE", 3, 7, 8, req_opcode),
	FIELD("REQUESTED SERVICE ACTION", 4, 7, 16, req_sa),
	FIELD("ALLOCATION LENGTH", 6, 7, 32, alloc),
};

const struct cdb_field report_tmf_fields[2] = {
	FIELD("REPD", 2, 7, 1, repd),
	FIELD("ALLOCATION LENGTH", 6, 7, 32, alloc),
};

/* The reservation classes are those of the conflict tables of SPC-5 and SPC-2. */
#define ROW_PR_IN(sa_, name_, clause_) { \
	.name = name_, .clause = clause_, .opcode = 0x5e, .sa = sa_, .cdb_len = 10, .dir = DIR_IN, \
	.flags = OP_PASS_NOT_READY | OP_RSV_SPC2, .timeout = 10, FIELDS(pr_in_fields), \
	.exec = spc_pr_in }
#define ROW_PR_OUT(sa_, name_, clause_) { \
	.name = name_, .clause = clause_, .opcode = 0x5f, .sa = sa_, .cdb_len = 10, .dir = DIR_OUT, \
	.flags = OP_PASS_NOT_READY | OP_RSV_SPC2, .timeout = 30, FIELDS(pr_out_fields), \
	.exec = spc_pr_out }

static struct op rows[] = {
	ROW_TEST_UNIT_READY,
	ROW_REQUEST_SENSE,
	ROW_INQUIRY,
	{ .name = "MODE SELECT(6)", .clause = "SPC-5", .opcode = 0x15, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_OUT, .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_WRITE,
	  .timeout = 30, FIELDS(mode_select6_fields), .exec = spc_mode_select },
	{ .name = "MODE SENSE(6)", .clause = "SPC-5", .opcode = 0x1a, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_IN, .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_READ,
	  .timeout = 10, FIELDS(mode_sense6_fields), .exec = spc_mode_sense },
	{ .name = "MODE SELECT(10)", .clause = "SPC-5", .opcode = 0x55, .sa = OP_NO_SA,
	  .cdb_len = 10, .dir = DIR_OUT, .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_WRITE,
	  .timeout = 30, FIELDS(mode_select10_fields), .exec = spc_mode_select },
	{ .name = "MODE SENSE(10)", .clause = "SPC-5", .opcode = 0x5a, .sa = OP_NO_SA,
	  .cdb_len = 10, .dir = DIR_IN, .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_READ,
	  .timeout = 10, FIELDS(mode_sense10_fields), .exec = spc_mode_sense },
	ROW_REPORT_LUNS,
	{ .name = "REPORT SUPPORTED OPERATION CODES", .clause = "SPC-5", .opcode = 0xa3,
	  .sa = 0x0c, .cdb_len = 12, .dir = DIR_IN,
	  .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_READ,
	  .timeout = 10, FIELDS(report_opcodes_fields), .exec = spc_report_opcodes },
	{ .name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", .clause = "SPC-5",
	  .opcode = 0xa3, .sa = 0x0d, .cdb_len = 12, .dir = DIR_IN,
	  .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_READ,
	  .timeout = 10, FIELDS(report_tmf_fields), .exec = spc_report_tmf },
};

/* What an LU keeps for its initiators, whatever it is. */
static struct op reservation_rows[] = {
	{ .name = "RESERVE(6)", .clause = "SPC-2", .opcode = 0x16, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_NONE, .flags = OP_PASS_NOT_READY,
	  .timeout = 10, .exec = spc_reserve6 },
	{ .name = "RELEASE(6)", .clause = "SPC-2", .opcode = 0x17, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_NONE, .flags = OP_PASS_NOT_READY,
	  .timeout = 10, .exec = spc_release6 },
	ROW_PR_IN(0, "PERSISTENT RESERVE IN: READ KEYS", "SPC-5"),
	ROW_PR_IN(1, "PERSISTENT RESERVE IN: READ RESERVATION", "SPC-5"),
	ROW_PR_IN(2, "PERSISTENT RESERVE IN: REPORT CAPABILITIES", "SPC-5"),
	ROW_PR_IN(3, "PERSISTENT RESERVE IN: READ FULL STATUS", "SPC-5"),
	ROW_PR_OUT(0, "PERSISTENT RESERVE OUT: REGISTER", "SPC-5 5.14"),
	ROW_PR_OUT(1, "PERSISTENT RESERVE OUT: RESERVE", "SPC-5 5.14"),
	ROW_PR_OUT(2, "PERSISTENT RESERVE OUT: RELEASE", "SPC-5 5.14"),
	ROW_PR_OUT(3, "PERSISTENT RESERVE OUT: CLEAR", "SPC-5 5.14"),
	ROW_PR_OUT(4, "PERSISTENT RESERVE OUT: PREEMPT", "SPC-5 5.14"),
	ROW_PR_OUT(5, "PERSISTENT RESERVE OUT: PREEMPT AND ABORT", "SPC-5 5.14"),
	ROW_PR_OUT(6, "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY",
		   "SPC-5 5.14"),
	ROW_PR_OUT(7, "PERSISTENT RESERVE OUT: REGISTER AND MOVE", "SPC-5 5.14"),
};
/* clang-format on */

const struct op_table spc_table = { rows, array_size(rows) };
const struct op_table reservation_table = { reservation_rows, array_size(reservation_rows) };
