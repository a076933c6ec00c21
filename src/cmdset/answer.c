/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers made in memory, and parameter lists: one way in, one way out. */
#include "base/sgl.h"
#include "cmdset/internal.h"

/* cmd->word[3] keeps the function that goes on; these are the only two places that know. */
static void keep_fn(struct scsi_cmd *cmd, void (*fn)(void))
{
	memcpy(&cmd->word[3], &fn, sizeof(fn));
}

static void answer_have_buf(struct scsi_cmd *cmd)
{
	answer_fn *fill;
	uint32_t len;

	memcpy(&fill, &cmd->word[3], sizeof(fill));
	memset(cmd->buf->data, 0, cmd->word[2]);
	len = fill(cmd, cmd->buf->data);
	cmd_complete(cmd, cmd_reply(cmd, len, cmd->args.alloc));
}

enum verdict cmd_answer(struct scsi_cmd *cmd, uint32_t room, answer_fn *fill)
{
	cmd->word[2] = room;
	keep_fn(cmd, (void (*)(void))fill);
	return cmd_want_buf(cmd, room, answer_have_buf);
}

static void params_have_data(struct scsi_cmd *cmd)
{
	params_fn *next;
	enum verdict v;

	memcpy(&next, &cmd->word[3], sizeof(next));
	sgl_copy_out(cmd->out, cmd->out_cnt, 0, cmd->buf->data, cmd->args.plist);
	cmd->offset = cmd->args.plist;
	v = next(cmd);
	if (v != V_PENDING)
		cmd_complete(cmd, v);
}

static void params_have_buf(struct scsi_cmd *cmd)
{
	cmd_want_data(cmd, 0, cmd->args.plist, params_have_data);
}

enum verdict cmd_params(struct scsi_cmd *cmd, uint32_t room, params_fn *next)
{
	uint32_t len = cmd->args.plist;

	if (cmd_plan(cmd, len) < len)
		return V_PARAM_LIST_LENGTH;
	if (len > BUF_MAX)
		return bad_field(cmd, plist);
	keep_fn(cmd, (void (*)(void))next);
	return cmd_want_buf(cmd, max(len, room), params_have_buf);
}

bool tx_invalid_param(struct lu_tx *tx, unsigned byte, int bit)
{
	tx->verdict = V_INVALID_FIELD_IN_PARAM;
	tx->sense.flags = SENSE_FIELD | (bit >= 0 ? SENSE_FIELD_BIT : 0);
	tx->sense.byte = (uint16_t)byte;
	tx->sense.bit = (uint8_t)max(bit, 0);
	return false;
}
