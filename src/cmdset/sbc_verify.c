/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VERIFY of all lengths (SBC-4): the medium is read in pieces of a
 * buffer; BYTCHK says what each piece is compared with.
 *
 *	cmd->lba, cmd->blocks   what is left to verify
 *	cmd->offset             bytes of data-out compared (BYTCHK 01b)
 */
#include "base/sgl.h"
#include "cmdset/internal.h"

enum bytchk { BYTCHK_NONE = 0, BYTCHK_ALL = 1, BYTCHK_ONE_BLOCK = 3 };

static void verify_next(struct scsi_cmd *cmd);
static void verify_read(struct scsi_cmd *cmd);

static enum verdict miscompare(struct scsi_cmd *cmd, uint64_t block)
{
	return cmd_information(cmd, V_MISCOMPARE, cmd->lba + block);
}

/* Compare the piece just read. */
static enum verdict compare(struct scsi_cmd *cmd, uint32_t len)
{
	const uint8_t *data = cmd->buf->data;
	uint32_t bs = cmd->lu->block_size;
	size_t same;

	if (cmd->args.bytchk == BYTCHK_ALL) {
		same = sgl_compare(cmd->out, cmd->out_cnt, data, len);
		return same == len ? V_GOOD : miscompare(cmd, same >> cmd->lu->block_shift);
	}
	for (uint32_t at = 0; cmd->args.bytchk == BYTCHK_ONE_BLOCK && at < len; at += bs)
		if (sgl_compare(cmd->out, cmd->out_cnt, data + at, bs) != bs)
			return miscompare(cmd, at >> cmd->lu->block_shift);
	return V_GOOD;
}

static void verify_have_medium(struct scsi_cmd *cmd)
{
	uint32_t len = (uint32_t)cmd->iov[0].iov_len;
	enum verdict v = compare(cmd, len);

	if (v != V_GOOD) {
		cmd_complete(cmd, v);
		return;
	}
	cmd->lba += len >> cmd->lu->block_shift;
	cmd->blocks -= len >> cmd->lu->block_shift;
	if (cmd->args.bytchk == BYTCHK_ALL)
		cmd->offset += len;
	if (cmd->blocks)
		verify_next(cmd);
	else
		cmd_complete(cmd, V_GOOD);
}

static uint32_t piece(const struct scsi_cmd *cmd)
{
	return (uint32_t)min(to_bytes(cmd, cmd->blocks), (uint64_t)BUF_MAX);
}

static void verify_read(struct scsi_cmd *cmd)
{
	cmd->iov[0].iov_base = cmd->buf->data;
	cmd->iov[0].iov_len = piece(cmd);
	cmd_store(cmd, STORE_READ, to_bytes(cmd, cmd->lba), cmd->iov[0].iov_len, cmd->iov, 1, 0,
		  verify_have_medium);
}

static void verify_next(struct scsi_cmd *cmd)
{
	if (cmd->args.bytchk == BYTCHK_ALL)
		cmd_want_data(cmd, cmd->offset, piece(cmd), verify_read);
	else
		verify_read(cmd);
}

static void verify_have_buf(struct scsi_cmd *cmd)
{
	if (cmd->args.bytchk == BYTCHK_ONE_BLOCK)
		cmd_want_data(cmd, 0, cmd->lu->block_size, verify_read);
	else
		verify_next(cmd);
}

enum verdict sbc_verify(struct scsi_cmd *cmd)
{
	uint32_t blocks = cmd->args.length;
	enum verdict v;

	if (cmd->args.bytchk == 2)
		return bad_field(cmd, bytchk);
	v = check_range(cmd, cmd->args.lba, blocks);
	if (v != V_GOOD)
		return v;
	cmd->lba = cmd->args.lba;
	cmd->blocks = blocks;
	if (cmd->args.bytchk == BYTCHK_ALL) {
		if (blocks > disk_of(cmd)->max_transfer)
			return bad_field(cmd, length);
		cmd->blocks = cmd_plan(cmd, to_bytes(cmd, blocks)) >> cmd->lu->block_shift;
	} else if (cmd->args.bytchk == BYTCHK_ONE_BLOCK && blocks) {
		if (cmd_plan(cmd, cmd->lu->block_size) < cmd->lu->block_size)
			return V_INVALID_FIELD_IN_IU;
	}
	if (!cmd->blocks)
		return V_GOOD;
	return cmd_want_buf(cmd, piece(cmd), verify_have_buf);
}
