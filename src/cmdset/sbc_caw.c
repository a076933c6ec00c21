/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COMPARE AND WRITE (SBC-4): data first. A store that does it in one step, for
 * others who use the medium too, is given it. Else a buffer, then the LU's write
 * guard, then read, compare and write without interruption.
 *
 *	cmd->word[0]   bytes to compare, and as many to write
 */
#include "base/sgl.h"
#include "cmdset/internal.h"
#include "sam/guard.h"

static uint32_t half(const struct scsi_cmd *cmd)
{
	return (uint32_t)cmd->word[0];
}

static void caw_written(struct scsi_cmd *cmd)
{
	cmd->offset = cmd->transfer;
	cmd_complete(cmd, V_GOOD);
}

static void caw_have_medium(struct scsi_cmd *cmd)
{
	uint32_t len = half(cmd);
	size_t same = sgl_compare(cmd->out, cmd->out_cnt, cmd->buf->data, len);

	if (same < len) {
		/* the offset of the first byte that differs */
		cmd_complete(cmd, cmd_information(cmd, V_MISCOMPARE, same));
		return;
	}
	sgl_copy_out(cmd->out, cmd->out_cnt, len, cmd->buf->data, len);
	cmd_store(cmd, STORE_WRITE, to_bytes(cmd, cmd->lba), len, cmd->iov, 1, fua_flag(cmd),
		  caw_written);
}

static void caw_have_guard(struct scsi_cmd *cmd)
{
	cmd->iov[0].iov_base = cmd->buf->data;
	cmd->iov[0].iov_len = half(cmd);
	cmd_store(cmd, STORE_READ, to_bytes(cmd, cmd->lba), half(cmd), cmd->iov, 1, 0,
		  caw_have_medium);
}

static void caw_have_buf(struct scsi_cmd *cmd)
{
	cmd_guard(cmd, caw_have_guard);
}

static void caw_have_data(struct scsi_cmd *cmd)
{
	if (store_does(cmd, STORE_COMPARE_WRITE) &&
	    half(cmd) <= store_limits(view_of(cmd)->store)->max_compare)
		cmd_store(cmd, STORE_COMPARE_WRITE, to_bytes(cmd, cmd->lba), half(cmd), cmd->out,
			  cmd->out_cnt, fua_flag(cmd), caw_written);
	else
		cmd_want_buf(cmd, half(cmd), caw_have_buf);
}

enum verdict sbc_compare_and_write(struct scsi_cmd *cmd)
{
	uint32_t blocks = cmd->args.length;
	enum verdict v = check_range(cmd, cmd->args.lba, blocks);

	if (v != V_GOOD)
		return v;
	if (blocks > disk_of(cmd)->max_compare)
		return bad_field(cmd, length);
	/* data for another number of blocks: one of the two is an error, and which cannot be known */
	if (cmd->expected != 2 * to_bytes(cmd, blocks))
		return bad_field(cmd, length);
	if (!blocks)
		return V_GOOD;
	cmd->lba = cmd->args.lba;
	cmd->word[0] = to_bytes(cmd, blocks);
	cmd_plan(cmd, cmd->expected);
	return cmd_want_data(cmd, 0, cmd->transfer, caw_have_data);
}
