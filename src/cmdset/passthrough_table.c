/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of commands that a device behind carries out: how long it may take, and which
 * reservations of others refuse it. One table for all device types; where types differ about an
 * opcode the longer time and the stricter refusal count. What is not here conflicts with every
 * reservation of others, counts as a write and has a minute.
 */
#include "cmdset/internal.h"

/* The conflict tables of SPC-5, SBC-4, SSC-5 and MMC-6, and of SPC-2. */
#define PEACEFUL OP_RSV_SPC2 /* goes beside any persistent reservation */
#define READS (OP_RSV_SPC2 | OP_RSV_READ)
#define MOVES (OP_RSV_SPC2 | OP_RSV_READ | OP_RSV_WRITE) /* the medium or a setting, not the data */
#define WRITES (OP_RSV_SPC2 | OP_RSV_WRITE | OP_MEDIUM_WRITE)
#define ALL (MOVES | OP_MEDIUM_WRITE)

/* seconds; a command on a tape or a disc may take as long as its end is far away */
#define NORMAL 60
#define MINUTES 900
#define HOUR 3600
#define HOURS 14400
#define DAY 65000

/* clang-format off */
#define ROW(opcode_, len, rsv, timeout_, name_, exec_) { \
	.name = name_, .clause = "the device's", .opcode = opcode_, .sa = OP_NO_SA, .cdb_len = len, \
	.dir = DIR_ANY, .flags = OP_RAW | (rsv), .timeout = timeout_, .exec = exec_ }
#define PASS(opcode_, len, rsv, timeout_, name_) ROW(opcode_, len, rsv, timeout_, name_, pass_on)

static struct op rows[] = {
	PASS(0x00, 6, PEACEFUL, NORMAL, "TEST UNIT READY"),
	PASS(0x01, 6, MOVES, HOURS, "REWIND"),
	{ .name = "REQUEST SENSE", .clause = "the device's", .opcode = 0x03, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_IN,
	  .flags = OP_RAW | OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET, .timeout = NORMAL,
	  FIELDS(request_sense_fields), .exec = pass_request_sense },
	PASS(0x04, 6, WRITES, DAY, "FORMAT UNIT"),
	PASS(0x05, 6, PEACEFUL, NORMAL, "READ BLOCK LIMITS"),
	PASS(0x07, 6, MOVES, HOUR, "INITIALIZE ELEMENT STATUS"),
	PASS(0x08, 6, READS, MINUTES, "READ(6)"),
	PASS(0x0a, 6, WRITES, MINUTES, "WRITE(6)"),
	PASS(0x10, 6, WRITES, HOUR, "WRITE FILEMARKS(6)"),
	PASS(0x11, 6, MOVES, HOURS, "SPACE(6)"),
	{ .name = "INQUIRY", .clause = "the device's", .opcode = 0x12, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_IN,
	  .flags = OP_RAW | OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET, .timeout = NORMAL,
	  FIELDS(inquiry_fields), .exec = pass_inquiry },
	PASS(0x13, 6, MOVES, HOURS, "VERIFY(6)"),
	ROW(0x15, 6, WRITES, NORMAL, "MODE SELECT(6)", pass_mode_select),
	PASS(0x19, 6, WRITES, DAY, "ERASE(6)"),
	PASS(0x1a, 6, READS, NORMAL, "MODE SENSE(6)"),
	PASS(0x1b, 6, MOVES, MINUTES, "START STOP UNIT, LOAD UNLOAD"),
	PASS(0x1c, 6, READS, NORMAL, "RECEIVE DIAGNOSTIC RESULTS"),
	PASS(0x1d, 6, MOVES, HOUR, "SEND DIAGNOSTIC"),
	PASS(0x1e, 6, MOVES, NORMAL, "PREVENT ALLOW MEDIUM REMOVAL"),
	PASS(0x23, 10, READS, NORMAL, "READ FORMAT CAPACITIES"),
	PASS(0x25, 10, PEACEFUL, NORMAL, "READ CAPACITY(10)"),
	PASS(0x28, 10, READS, NORMAL, "READ(10)"),
	PASS(0x2a, 10, WRITES, NORMAL, "WRITE(10)"),
	PASS(0x2b, 10, MOVES, HOURS, "SEEK(10), LOCATE(10)"),
	PASS(0x2e, 10, WRITES, NORMAL, "WRITE AND VERIFY(10)"),
	PASS(0x2f, 10, READS, HOUR, "VERIFY(10)"),
	PASS(0x34, 10, READS, NORMAL, "PRE-FETCH(10), READ POSITION"),
	PASS(0x35, 10, WRITES, MINUTES, "SYNCHRONIZE CACHE(10)"),
	PASS(0x37, 10, READS, MINUTES, "READ DEFECT DATA(10)"),
	PASS(0x3b, 10, ALL, HOUR, "WRITE BUFFER"),
	PASS(0x3c, 10, READS, MINUTES, "READ BUFFER(10)"),
	PASS(0x41, 10, WRITES, DAY, "WRITE SAME(10)"),
	PASS(0x42, 10, WRITES, HOUR, "UNMAP, READ SUB-CHANNEL"),
	PASS(0x43, 10, READS, NORMAL, "READ TOC/PMA/ATIP"),
	PASS(0x44, 10, READS, NORMAL, "REPORT DENSITY SUPPORT"),
	PASS(0x46, 10, PEACEFUL, NORMAL, "GET CONFIGURATION"),
	PASS(0x48, 10, ALL, DAY, "SANITIZE"),
	PASS(0x4a, 10, PEACEFUL, NORMAL, "GET EVENT STATUS NOTIFICATION"),
	PASS(0x4c, 10, WRITES, NORMAL, "LOG SELECT"),
	PASS(0x4d, 10, READS, NORMAL, "LOG SENSE"),
	PASS(0x51, 10, READS, NORMAL, "READ DISC INFORMATION"),
	PASS(0x52, 10, READS, NORMAL, "READ TRACK INFORMATION"),
	PASS(0x54, 10, WRITES, MINUTES, "SEND OPC INFORMATION"),
	ROW(0x55, 10, WRITES, NORMAL, "MODE SELECT(10)", pass_mode_select),
	/* the device's RESERVE would be this host's, and keep no initiator from another */
	{ .name = "RESERVE(10)", .clause = "SPC-2", .opcode = 0x56, .sa = OP_NO_SA, .cdb_len = 10,
	  .dir = DIR_NONE, .flags = OP_PASS_NOT_READY, .timeout = 10, .exec = spc_reserve6 },
	{ .name = "RELEASE(10)", .clause = "SPC-2", .opcode = 0x57, .sa = OP_NO_SA, .cdb_len = 10,
	  .dir = DIR_NONE, .flags = OP_PASS_NOT_READY, .timeout = 10, .exec = spc_release6 },
	PASS(0x5a, 10, READS, NORMAL, "MODE SENSE(10)"),
	PASS(0x5b, 10, WRITES, HOUR, "CLOSE TRACK/SESSION"),
	PASS(0x5c, 10, READS, NORMAL, "READ BUFFER CAPACITY"),
	PASS(0x82, 16, ALL, NORMAL, "ALLOW OVERWRITE, REGENERATE(16)"),
	/* a device that copies by itself would reach what its host may, and the initiator may not */
	ROW(0x83, 16, ALL, NORMAL, "EXTENDED COPY", pass_refused),
	ROW(0x84, 16, ALL, NORMAL, "RECEIVE COPY RESULTS", pass_refused),
	PASS(0x85, 16, ALL, HOUR, "ATA PASS-THROUGH(16)"),
	PASS(0x88, 16, READS, NORMAL, "READ(16)"),
	PASS(0x89, 16, WRITES, NORMAL, "COMPARE AND WRITE"),
	PASS(0x8a, 16, WRITES, NORMAL, "WRITE(16)"),
	PASS(0x8e, 16, WRITES, NORMAL, "WRITE AND VERIFY(16)"),
	PASS(0x8f, 16, READS, HOURS, "VERIFY(16)"),
	PASS(0x90, 16, READS, NORMAL, "PRE-FETCH(16)"),
	PASS(0x91, 16, WRITES, HOURS, "SYNCHRONIZE CACHE(16), SPACE(16)"),
	PASS(0x92, 16, MOVES, HOURS, "LOCATE(16)"),
	PASS(0x93, 16, WRITES, DAY, "WRITE SAME(16), ERASE(16)"),
	PASS(0x94, 16, WRITES, HOUR, "ZBC OUT"),
	PASS(0x95, 16, READS, NORMAL, "ZBC IN"),
	{ .name = "READ CAPACITY(16)", .clause = "the device's", .opcode = 0x9e, .sa = 0x10,
	  .cdb_len = 16, .dir = DIR_ANY, .flags = OP_RAW | PEACEFUL, .timeout = NORMAL,
	  .exec = pass_on },
	{ .name = "SERVICE ACTION IN(16)", .clause = "the device's", .opcode = 0x9e, .sa = OP_ANY_SA,
	  .cdb_len = 16, .dir = DIR_ANY, .flags = OP_RAW | READS, .timeout = NORMAL,
	  .exec = pass_on },
	ROW_REPORT_LUNS,
	PASS(0xa1, 12, ALL, HOURS, "BLANK, ATA PASS-THROUGH(12)"),
	PASS(0xa2, 12, READS, NORMAL, "SECURITY PROTOCOL IN"),
	{ .name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", .clause = "SPC-5",
	  .opcode = 0xa3, .sa = 0x0d, .cdb_len = 12, .dir = DIR_IN,
	  .flags = OP_PASS_NOT_READY | OP_RSV_SPC2 | OP_RSV_READ,
	  .timeout = 10, FIELDS(report_tmf_fields), .exec = spc_report_tmf },
	{ .name = "MAINTENANCE IN", .clause = "the device's", .opcode = 0xa3, .sa = OP_ANY_SA,
	  .cdb_len = 12, .dir = DIR_ANY, .flags = OP_RAW | READS, .timeout = NORMAL,
	  .exec = pass_on },
	PASS(0xa5, 12, MOVES, HOUR, "MOVE MEDIUM, PLAY AUDIO(12)"),
	PASS(0xa6, 12, MOVES, HOUR, "EXCHANGE MEDIUM, LOAD/UNLOAD MEDIUM"),
	PASS(0xa8, 12, READS, NORMAL, "READ(12)"),
	PASS(0xaa, 12, WRITES, NORMAL, "WRITE(12)"),
	PASS(0xac, 12, WRITES, HOUR, "ERASE(12), GET PERFORMANCE"),
	PASS(0xad, 12, READS, NORMAL, "READ DISC STRUCTURE"),
	PASS(0xae, 12, WRITES, NORMAL, "WRITE AND VERIFY(12)"),
	PASS(0xaf, 12, READS, HOUR, "VERIFY(12)"),
	PASS(0xb5, 12, ALL, HOUR, "SECURITY PROTOCOL OUT"),
	PASS(0xb8, 12, READS, MINUTES, "READ ELEMENT STATUS"),
	PASS(0xb9, 12, READS, NORMAL, "READ CD MSF"),
	PASS(0xbd, 12, READS, NORMAL, "MECHANISM STATUS"),
	PASS(0xbe, 12, READS, NORMAL, "READ CD"),
};
/* clang-format on */

const struct op_table passthrough_table = { rows, array_size(rows) };

const struct op passthrough_fallback = {
	.name = "any other",
	.clause = "the device's",
	.sa = OP_NO_SA,
	.dir = DIR_ANY,
	.flags = OP_RAW | ALL,
	.timeout = NORMAL,
	.exec = pass_on,
};
