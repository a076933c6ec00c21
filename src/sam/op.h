/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The row: all that is known of a command, one per opcode and service action.
 * Dispatch, decoding, the reserved-bit check, reservation conflicts, REPORT
 * SUPPORTED OPERATION CODES, statistics and documentation come from it.
 */
#ifndef STGT_SAM_OP_H
#define STGT_SAM_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sam/verdict.h"

struct scsi_cmd;

#define CDB_MAX 260 /* SPC-5 4.2.3: variable length CDBs */

/* The decoded fields of every CDB; what a row does not declare is zero. */
struct cdb_args {
	uint64_t lba;
	uint32_t length; /* transfer length or number of blocks, as the row's clause says */
	uint32_t alloc; /* ALLOCATION LENGTH, bytes */
	uint32_t plist; /* PARAMETER LIST LENGTH, bytes */
	uint16_t req_sa; /* REQUESTED SERVICE ACTION */
	uint8_t dpo, fua, group;
	uint8_t bytchk, anchor, unmap, ndob;
	uint8_t immed, sync_nv, start, loej, no_flush, power_condition, pc_modifier;
	uint8_t prevent;
	uint8_t evpd, page, subpage, pc, dbd, llbaa, sp, pf, rtd;
	uint8_t desc; /* REQUEST SENSE */
	uint8_t select_report;
	uint8_t scope, type; /* PERSISTENT RESERVE OUT */
	uint8_t rctd, reporting_options, req_opcode, repd;
	uint8_t report_type; /* GET LBA STATUS */
};

/* A field of a CDB: @width bits whose most significant one is bit @top of byte @byte. */
struct cdb_field {
	const char *name; /* the standard's, "LOGICAL BLOCK ADDRESS" */
	uint8_t byte, top, width;
	uint8_t arg, arg_size; /* where in struct cdb_args */
	bool obsolete; /* of an older standard: taken, but not told in the usage data */
};

#define FIELD(standard_name, byte_, top_, width_, member) \
	{ \
		.name = standard_name, .byte = byte_, .top = top_, .width = width_, \
		.arg = offsetof(struct cdb_args, member), \
		.arg_size = sizeof(((struct cdb_args *)0)->member) \
	}

#define OBSOLETE_FIELD(standard_name, byte_, top_, width_, member) \
	{ \
		.name = standard_name, .byte = byte_, .top = top_, .width = width_, \
		.arg = offsetof(struct cdb_args, member), \
		.arg_size = sizeof(((struct cdb_args *)0)->member), .obsolete = true \
	}

enum data_dir {
	DIR_NONE,
	DIR_IN,
	DIR_OUT,
	DIR_ANY, /* as the initiator says: only the device behind knows the command */
};

enum op_flags {
	/* refused when? what a row does not name, it does not pass */
	OP_PASS_UA = 1 << 0, /* runs although a unit attention is pending (SPC-5 4.4.8) */
	OP_PASS_NOT_READY = 1 << 1, /* runs although the LU is not ready */
	OP_MEDIUM_WRITE = 1 << 2, /* changes the medium: refused on a write-protected LU */
	OP_NO_TASK_SET = 1 << 3, /* enabled at once whatever the task set holds */
	/* reservation classes: which of itl->conflicts refuse it (SPC-5 table 50, SPC-2 table 10) */
	OP_RSV_SPC2 = 1 << 4, /* conflicts with another's RESERVE(6) */
	OP_RSV_READ = 1 << 5, /* conflicts with another's exclusive access */
	OP_RSV_WRITE = 1 << 6, /* conflicts with another's write exclusive and exclusive access */
	OP_RAW = 1 << 7, /* no bit is reserved: the CDB is for the device behind to judge */
};
#define OP_RSV_MASK (OP_RSV_SPC2 | OP_RSV_READ | OP_RSV_WRITE)

#define OP_NO_SA (-1)
#define OP_ANY_SA (-2) /* every service action of the opcode that has no row of its own */
#define CDB_ROW_MAX 32 /* longest CDB that a row describes, bytes */
#define OP_ROWS_MAX 512 /* most rows of the program, for tables by op.index */

struct op {
	const char *name; /* "READ(10)" */
	const char *clause; /* "SBC-4", with the number where it is sure */
	uint8_t opcode;
	int16_t sa; /* service action, OP_NO_SA if the opcode has none, OP_ANY_SA */
	uint8_t cdb_len;
	uint8_t dir; /* enum data_dir */
	uint16_t flags;
	uint16_t timeout; /* recommended command timeout, seconds; nominal is a tenth */
	const struct cdb_field *fields;
	uint8_t nfields;
	/*
	 * Runs on the nexus's reactor with cmd->args decoded and every common
	 * check passed. Returns the verdict, or V_PENDING and then calls
	 * cmd_complete() exactly once.
	 */
	enum verdict (*exec)(struct scsi_cmd *cmd);
	/* set by op_index_build() */
	unsigned index; /* dense from 1 over all rows of the program, for statistics; a fallback has 0 */
	uint64_t reserved[CDB_ROW_MAX / 8]; /* bits that must be zero, in memory order */
};

struct op_table {
	struct op *rows;
	unsigned n;
};

/* Lookup built once at start from a device server's tables. */
struct op_index {
	const struct op *first[256]; /* by opcode */
	uint8_t count[256]; /* rows of the opcode, from first on */
	const struct op *fallback; /* for unknown opcodes; may be NULL */
	const struct op_table *const *tables; /* NULL-terminated */
};

/*
 * Build @ix over @tables (NULL-terminated), which may be in several indexes; returns 0,
 * or -EINVAL when the self-test of the tables fails: two rows with the same opcode
 * and service action, rows of one opcode not adjacent in one table, fields that
 * overlap or do not fit in CDB or argument, no handler, a CDB length that is none.
 * @fallback is for unknown opcodes; its CDB length is 0: nothing of the CDB is looked at.
 */
int op_index_build(struct op_index *ix, const struct op_table *const *tables,
		   const struct op *fallback);

/*
 * The row for @cdb (@len bytes), the fallback if there is no such opcode (NULL without
 * fallback, and for a CDB shorter than its row says). *@bad_sa is set when the opcode
 * exists but not this service action (then NULL too: INVALID FIELD IN CDB, byte 1, bit 4).
 */
const struct op *op_find(const struct op_index *ix, const uint8_t *cdb, unsigned len, int *bad_sa);

/* The row for opcode and service action (OP_NO_SA: none), NULL if there is none. */
const struct op *op_lookup(const struct op_index *ix, uint8_t opcode, int sa);

/*
 * The length of the CDB at @cdb, of which the transport brought @len bytes (16 for what is
 * shorter): by its group code or ADDITIONAL CDB LENGTH (SPC-5 4.2.1, 4.2.3), for vendor specific
 * groups the shortest of 10, 12 and @len that ends in zeroes. 0: it says more than @len.
 */
unsigned op_cdb_len(const uint8_t *cdb, unsigned len);

/* The byte of a CDB of @len bytes that is CONTROL, -1 if the standard does not say. */
int op_control_at(const uint8_t *cdb, unsigned len);
#define CONTROL_NACA 0x04

/* The row with this op.index, from 1; NULL if there is none. */
const struct op *op_row(unsigned index);

/* True if the opcode has service actions. */
int op_has_sa(const struct op_index *ix, uint8_t opcode);

/*
 * The CDB usage data of SPC-5 6.30.3 (cdb_len bytes at @mask): the opcode byte, then
 * one bits for what the device evaluates. Derived from the fields.
 */
void op_usage_mask(const struct op *op, uint8_t *mask);

/*
 * Decode @cdb (of which the row's length and 8 bytes more can be read, as in
 * struct scsi_cmd) into @args. Returns 0; or 1 and the most significant bit set although it is
 * reserved in *@byte and *@bit (SPC-5 4.4.2.4.2 field pointer). NACA=1 is refused.
 */
int op_decode(const struct op *op, const uint8_t *cdb, struct cdb_args *args, uint16_t *byte,
	      uint8_t *bit);

#endif
