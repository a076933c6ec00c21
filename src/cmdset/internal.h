/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of src/cmdset share. */
#ifndef STGT_CMDSET_INTERNAL_H
#define STGT_CMDSET_INTERNAL_H

#include <string.h>

#include "base/be.h"
#include "base/bits.h"
#include "sam/op.h"
#include "sam/scsi_cmd.h"

#define FIELDS(array) .fields = array, .nfields = array_size(array)

/* The verdict of a handler that the row's exec points to. */
#define HANDLER(name) enum verdict name(struct scsi_cmd *cmd)

/* spc_inquiry.c */
HANDLER(spc_inquiry);
/* spc_reports.c */
HANDLER(spc_report_luns);
HANDLER(spc_report_opcodes);
HANDLER(spc_report_tmf);
/* spc_misc.c */
HANDLER(spc_test_unit_ready);
HANDLER(spc_request_sense);
HANDLER(spc_reserve6);
HANDLER(spc_release6);
/* spc_mode.c */
HANDLER(spc_mode_sense);
HANDLER(spc_mode_select);
/* spc_pr.c, spc_pr_in.c */
HANDLER(spc_pr_in);
HANDLER(spc_pr_out);
/* sbc_rw.c */
HANDLER(sbc_read);
HANDLER(sbc_write);
/* sbc_caw.c */
HANDLER(sbc_compare_and_write);
/* sbc_verify.c */
HANDLER(sbc_verify);
/* sbc_capacity.c */
HANDLER(sbc_read_capacity10);
HANDLER(sbc_read_capacity16);
HANDLER(sbc_get_lba_status);
/* sbc_unmap.c */
HANDLER(sbc_unmap);
HANDLER(sbc_write_same);
/* sbc_misc.c */
HANDLER(sbc_sync_cache);
HANDLER(sbc_start_stop);
HANDLER(sbc_prevent_allow);

/* spc_table.c: rows that several device servers have */
extern const struct op_table spc_table, reservation_table;
extern const struct cdb_field inquiry_fields[3], report_luns_fields[2], request_sense_fields[2],
	report_tmf_fields[2];
/* passthrough_table.c */
extern const struct op_table passthrough_table;
extern const struct op passthrough_fallback;
/* passthrough.c */
HANDLER(pass_on);
HANDLER(pass_inquiry);
HANDLER(pass_request_sense);
HANDLER(pass_mode_select);
HANDLER(pass_refused);
/* sbc_table.c */
extern const struct op_table sbc_table;

/* clang-format off */
#define ROW_TEST_UNIT_READY { \
	.name = "TEST UNIT READY", .clause = "SPC-5", .opcode = 0x00, .sa = OP_NO_SA, \
	.cdb_len = 6, .dir = DIR_NONE, .flags = OP_RSV_SPC2, .timeout = 10, \
	.exec = spc_test_unit_ready }
#define ROW_REQUEST_SENSE { \
	.name = "REQUEST SENSE", .clause = "SPC-5", .opcode = 0x03, .sa = OP_NO_SA, \
	.cdb_len = 6, .dir = DIR_IN, .flags = OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET, \
	.timeout = 10, FIELDS(request_sense_fields), .exec = spc_request_sense }
#define ROW_INQUIRY { \
	.name = "INQUIRY", .clause = "SPC-5", .opcode = 0x12, .sa = OP_NO_SA, \
	.cdb_len = 6, .dir = DIR_IN, .flags = OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET, \
	.timeout = 10, FIELDS(inquiry_fields), .exec = spc_inquiry }
#define ROW_REPORT_LUNS { \
	.name = "REPORT LUNS", .clause = "SPC-5", .opcode = 0xa0, .sa = OP_NO_SA, \
	.cdb_len = 12, .dir = DIR_IN, .flags = OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET, \
	.timeout = 10, FIELDS(report_luns_fields), .exec = spc_report_luns }
/* clang-format on */

/* ---- the disk's own (disk.c) ---------------------------------------------------- */

struct disk {
	/* limits, in logical blocks; constant */
	uint32_t max_transfer; /* READ, WRITE, VERIFY with data */
	uint32_t max_unmap; /* UNMAP, all descriptors together */
	uint32_t max_write_same;
	uint32_t max_compare; /* COMPARE AND WRITE: fits a buffer and a byte */
	uint32_t unmap_granularity; /* 0: unknown */
};

#define UNMAP_DESCRIPTORS_MAX 256

static inline struct disk *disk_of(const struct scsi_cmd *cmd)
{
	return cmd->lu->device;
}

static inline bool is_disk(const struct lu *lu)
{
	return lu->ds->pdt == PDT_DISK;
}

static inline const struct lu_view *view_of(const struct scsi_cmd *cmd)
{
	return &cmd->itl->part->view;
}

/* The LU's identity; a blank one where the LU has none. */
const struct lu_ident *ident_of(const struct scsi_cmd *cmd);

/* True if @lu offers what @op does: a row alone does not say it for UNMAP. */
bool disk_supports(const struct lu_ident *ident, const struct op *op);

void disk_reset(struct lu *lu);
void disk_fini(struct lu *lu);

/* ---- doing I/O (io.c) ------------------------------------------------------------- */

/*
 * Check that args.lba and @blocks lie on the medium. V_GOOD, or LBA OUT OF RANGE
 * with the first LBA that does not exist in INFORMATION.
 */
enum verdict check_range(struct scsi_cmd *cmd, uint64_t lba, uint64_t blocks);

/* A field of the CDB has a value that is refused: INVALID FIELD IN CDB pointing at @member. */
#define bad_field(cmd, member) bad_field_at(cmd, offsetof(struct cdb_args, member))
enum verdict bad_field_at(struct scsi_cmd *cmd, size_t arg);

/*
 * Submit a store request for bytes [off, off + len); @next runs when it has ended well. Any
 * error ends the command. An abort in between ends it, too.
 */
void cmd_store(struct scsi_cmd *cmd, enum store_verb verb, uint64_t off, uint64_t len,
	       const struct iovec *iov, unsigned iovcnt, uint32_t flags,
	       void (*next)(struct scsi_cmd *cmd));

/* STORE_FUA if this command's writes must be stable before its status. */
static inline uint32_t fua_flag(const struct scsi_cmd *cmd)
{
	return cmd->args.fua || !view_of(cmd)->mode.wce ? STORE_FUA : 0;
}

static inline uint64_t to_bytes(const struct scsi_cmd *cmd, uint64_t blocks)
{
	return blocks << cmd->lu->block_shift;
}

/* Write what is volatile to the medium, then @next; at once if there is nothing volatile. */
void cmd_flush(struct scsi_cmd *cmd, void (*next)(struct scsi_cmd *cmd));
/* The store of @cmd does @verb itself. */
bool store_does(struct scsi_cmd *cmd, enum store_verb verb);

/* device_server.cancel: a command whose request is with the store was aborted. */
void cmd_store_cancel(struct scsi_cmd *cmd);

/* ---- short answers and parameter lists (answer.c) ----------------------------------- */

/*
 * Answer with what @fill writes at @p (@room zeroed bytes, at most BUF_MAX), cut to args.alloc.
 * It returns the length.
 */
typedef uint32_t answer_fn(struct scsi_cmd *cmd, uint8_t *p);
enum verdict cmd_answer(struct scsi_cmd *cmd, uint32_t room, answer_fn *fill);

/*
 * Obtain the parameter list of args.plist bytes and copy it to cmd->buf, which has at least
 * @room bytes (not 0); @next returns the verdict or V_PENDING. PARAMETER LIST LENGTH ERROR if the
 * initiator sends less.
 */
typedef enum verdict params_fn(struct scsi_cmd *cmd);
enum verdict cmd_params(struct scsi_cmd *cmd, uint32_t room, params_fn *next);

/* As cmd_invalid_param(), in a transaction: sets verdict and sense. Returns false for decide(). */
bool tx_invalid_param(struct lu_tx *tx, unsigned byte, int bit);

static inline struct scsi_cmd *tx_cmd(struct lu_tx *tx)
{
	return container_of(tx, struct scsi_cmd, tx);
}

#endif
