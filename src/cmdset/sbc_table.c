/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of direct access block devices (SBC-4). Rows of one opcode stand together. */
#include "cmdset/internal.h"

/* clang-format off */
static const struct cdb_field rw6_fields[] = {
	FIELD("LOGICAL BLOCK ADDRESS", 1, 4, 21, lba),
	FIELD("TRANSFER LENGTH", 4, 7, 8, length),
};

static const struct cdb_field rw10_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("FUA", 1, 3, 1, fua),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 32, lba),
	FIELD("GROUP NUMBER", 6, 5, 6, group),
	FIELD("TRANSFER LENGTH", 7, 7, 16, length),
};

static const struct cdb_field rw12_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("FUA", 1, 3, 1, fua),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 32, lba),
	FIELD("TRANSFER LENGTH", 6, 7, 32, length),
	FIELD("GROUP NUMBER", 10, 5, 6, group),
};

static const struct cdb_field rw16_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("FUA", 1, 3, 1, fua),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 64, lba),
	FIELD("TRANSFER LENGTH", 10, 7, 32, length),
	FIELD("GROUP NUMBER", 14, 5, 6, group),
};

static const struct cdb_field compare_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("FUA", 1, 3, 1, fua),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 64, lba),
	FIELD("NUMBER OF LOGICAL BLOCKS", 13, 7, 8, length),
	FIELD("GROUP NUMBER", 14, 5, 6, group),
};

static const struct cdb_field verify10_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("BYTCHK", 1, 2, 2, bytchk),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 32, lba),
	FIELD("GROUP NUMBER", 6, 5, 6, group),
	FIELD("VERIFICATION LENGTH", 7, 7, 16, length),
};

static const struct cdb_field verify12_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("BYTCHK", 1, 2, 2, bytchk),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 32, lba),
	FIELD("VERIFICATION LENGTH", 6, 7, 32, length),
	FIELD("GROUP NUMBER", 10, 5, 6, group),
};

static const struct cdb_field verify16_fields[] = {
	FIELD("DPO", 1, 4, 1, dpo),
	FIELD("BYTCHK", 1, 2, 2, bytchk),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 64, lba),
	FIELD("VERIFICATION LENGTH", 10, 7, 32, length),
	FIELD("GROUP NUMBER", 14, 5, 6, group),
};

static const struct cdb_field sync10_fields[] = {
	OBSOLETE_FIELD("SYNC_NV", 1, 2, 1, sync_nv), /* SBC-2; all is written anyway */
	FIELD("IMMED", 1, 1, 1, immed),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 32, lba),
	FIELD("GROUP NUMBER", 6, 5, 6, group),
	FIELD("NUMBER OF LOGICAL BLOCKS", 7, 7, 16, length),
};

static const struct cdb_field sync16_fields[] = {
	OBSOLETE_FIELD("SYNC_NV", 1, 2, 1, sync_nv), /* SBC-2; all is written anyway */
	FIELD("IMMED", 1, 1, 1, immed),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 64, lba),
	FIELD("NUMBER OF LOGICAL BLOCKS", 10, 7, 32, length),
	FIELD("GROUP NUMBER", 14, 5, 6, group),
};

static const struct cdb_field start_stop_fields[] = {
	FIELD("IMMED", 1, 0, 1, immed),
	FIELD("POWER CONDITION MODIFIER", 3, 3, 4, pc_modifier),
	FIELD("POWER CONDITION", 4, 7, 4, power_condition),
	FIELD("NO_FLUSH", 4, 2, 1, no_flush),
	FIELD("LOEJ", 4, 1, 1, loej),
	FIELD("START", 4, 0, 1, start),
};

static const struct cdb_field prevent_fields[] = {
	FIELD("PREVENT", 4, 1, 2, prevent),
};

static const struct cdb_field write_same10_fields[] = {
	FIELD("ANCHOR", 1, 4, 1, anchor),
	FIELD("UNMAP", 1, 3, 1, unmap),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 32, lba),
	FIELD("GROUP NUMBER", 6, 5, 6, group),
	FIELD("NUMBER OF LOGICAL BLOCKS", 7, 7, 16, length),
};

static const struct cdb_field write_same16_fields[] = {
	FIELD("ANCHOR", 1, 4, 1, anchor),
	FIELD("UNMAP", 1, 3, 1, unmap),
	FIELD("NDOB", 1, 0, 1, ndob),
	FIELD("LOGICAL BLOCK ADDRESS", 2, 7, 64, lba),
	FIELD("NUMBER OF LOGICAL BLOCKS", 10, 7, 32, length),
	FIELD("GROUP NUMBER", 14, 5, 6, group),
};

static const struct cdb_field unmap_fields[] = {
	FIELD("ANCHOR", 1, 0, 1, anchor),
	FIELD("GROUP NUMBER", 6, 5, 6, group),
	FIELD("PARAMETER LIST LENGTH", 7, 7, 16, plist),
};

static const struct cdb_field capacity16_fields[] = {
	FIELD("ALLOCATION LENGTH", 10, 7, 32, alloc),
};

static const struct cdb_field lba_status_fields[] = {
	FIELD("STARTING LOGICAL BLOCK ADDRESS", 2, 7, 64, lba),
	FIELD("ALLOCATION LENGTH", 10, 7, 32, alloc),
	FIELD("REPORT TYPE", 14, 7, 8, report_type),
};

/* The reservation classes are those of the conflict table of SBC-4. */
#define ROW_READ(name_, clause_, opcode_, len_, fields_) { \
	.name = name_, .clause = clause_, .opcode = opcode_, .sa = OP_NO_SA, .cdb_len = len_, \
	.dir = DIR_IN, .flags = OP_RSV_SPC2 | OP_RSV_READ, .timeout = 30, FIELDS(fields_), \
	.exec = sbc_read }
#define ROW_WRITE(name_, clause_, opcode_, len_, fields_) { \
	.name = name_, .clause = clause_, .opcode = opcode_, .sa = OP_NO_SA, .cdb_len = len_, \
	.dir = DIR_OUT, .flags = OP_MEDIUM_WRITE | OP_RSV_SPC2 | OP_RSV_WRITE, .timeout = 30, \
	FIELDS(fields_), .exec = sbc_write }
#define ROW_VERIFY(name_, clause_, opcode_, len_, fields_) { \
	.name = name_, .clause = clause_, .opcode = opcode_, .sa = OP_NO_SA, .cdb_len = len_, \
	.dir = DIR_OUT, .flags = OP_RSV_SPC2 | OP_RSV_READ, .timeout = 600, FIELDS(fields_), \
	.exec = sbc_verify }
#define ROW_SYNC(name_, clause_, opcode_, len_, fields_) { \
	.name = name_, .clause = clause_, .opcode = opcode_, .sa = OP_NO_SA, .cdb_len = len_, \
	.dir = DIR_NONE, .flags = OP_RSV_SPC2 | OP_RSV_WRITE, .timeout = 60, FIELDS(fields_), \
	.exec = sbc_sync_cache }
#define ROW_WRITE_SAME(name_, clause_, opcode_, len_, fields_) { \
	.name = name_, .clause = clause_, .opcode = opcode_, .sa = OP_NO_SA, .cdb_len = len_, \
	.dir = DIR_OUT, .flags = OP_MEDIUM_WRITE | OP_RSV_SPC2 | OP_RSV_WRITE, .timeout = 60, \
	FIELDS(fields_), .exec = sbc_write_same }

static struct op rows[] = {
	ROW_READ("READ(6)", "SPC-2, SBC-3", 0x08, 6, rw6_fields),
	ROW_WRITE("WRITE(6)", "SPC-2, SBC-3", 0x0a, 6, rw6_fields),
	{ .name = "START STOP UNIT", .clause = "SBC-4", .opcode = 0x1b, .sa = OP_NO_SA,
	  .cdb_len = 6, .dir = DIR_NONE, .flags = OP_PASS_NOT_READY, .timeout = 60,
	  FIELDS(start_stop_fields), .exec = sbc_start_stop },
	{ .name = "PREVENT ALLOW MEDIUM REMOVAL", .clause = "SBC-4", .opcode = 0x1e,
	  .sa = OP_NO_SA, .cdb_len = 6, .dir = DIR_NONE, .flags = OP_PASS_NOT_READY, .timeout = 10,
	  FIELDS(prevent_fields), .exec = sbc_prevent_allow },
	{ .name = "READ CAPACITY(10)", .clause = "SBC-4", .opcode = 0x25, .sa = OP_NO_SA,
	  .cdb_len = 10, .dir = DIR_IN, .timeout = 10, .exec = sbc_read_capacity10 },
	ROW_READ("READ(10)", "SBC-4", 0x28, 10, rw10_fields),
	ROW_WRITE("WRITE(10)", "SBC-4", 0x2a, 10, rw10_fields),
	ROW_VERIFY("VERIFY(10)", "SBC-4", 0x2f, 10, verify10_fields),
	ROW_SYNC("SYNCHRONIZE CACHE(10)", "SBC-4", 0x35, 10, sync10_fields),
	ROW_WRITE_SAME("WRITE SAME(10)", "SBC-4", 0x41, 10, write_same10_fields),
	{ .name = "UNMAP", .clause = "SBC-4", .opcode = 0x42, .sa = OP_NO_SA, .cdb_len = 10,
	  .dir = DIR_OUT, .flags = OP_MEDIUM_WRITE | OP_RSV_SPC2 | OP_RSV_WRITE, .timeout = 60,
	  FIELDS(unmap_fields), .exec = sbc_unmap },
	ROW_READ("READ(16)", "SBC-4", 0x88, 16, rw16_fields),
	{ .name = "COMPARE AND WRITE", .clause = "SBC-4", .opcode = 0x89, .sa = OP_NO_SA,
	  .cdb_len = 16, .dir = DIR_OUT, .flags = OP_MEDIUM_WRITE | OP_RSV_SPC2 | OP_RSV_WRITE,
	  .timeout = 60, FIELDS(compare_fields), .exec = sbc_compare_and_write },
	ROW_WRITE("WRITE(16)", "SBC-4", 0x8a, 16, rw16_fields),
	ROW_VERIFY("VERIFY(16)", "SBC-4", 0x8f, 16, verify16_fields),
	ROW_SYNC("SYNCHRONIZE CACHE(16)", "SBC-4", 0x91, 16, sync16_fields),
	ROW_WRITE_SAME("WRITE SAME(16)", "SBC-4", 0x93, 16, write_same16_fields),
	{ .name = "READ CAPACITY(16)", .clause = "SBC-4", .opcode = 0x9e, .sa = 0x10,
	  .cdb_len = 16, .dir = DIR_IN, .timeout = 10, FIELDS(capacity16_fields),
	  .exec = sbc_read_capacity16 },
	{ .name = "GET LBA STATUS", .clause = "SBC-4", .opcode = 0x9e, .sa = 0x12,
	  .cdb_len = 16, .dir = DIR_IN, .flags = OP_RSV_SPC2 | OP_RSV_READ, .timeout = 60,
	  FIELDS(lba_status_fields), .exec = sbc_get_lba_status },
	ROW_READ("READ(12)", "SBC-4", 0xa8, 12, rw12_fields),
	ROW_WRITE("WRITE(12)", "SBC-4", 0xaa, 12, rw12_fields),
	ROW_VERIFY("VERIFY(12)", "SBC-4", 0xaf, 12, verify12_fields),
};
/* clang-format on */

const struct op_table sbc_table = { rows, array_size(rows) };
