/* SPDX-License-Identifier: BSD-2-Clause */
/* READ and WRITE of all lengths: pieces of a buffer, or of what the transport brings. */
#include "cmdset/internal.h"
#include "sam/transport.h"

#define READ6_ZERO 256 /* SBC-4: a TRANSFER LENGTH of zero in READ(6) and WRITE(6) */

/*
 * What READ and WRITE have in common. Leaves in cmd->lba where it starts and in
 * cmd->transfer how many bytes move: for WRITE, whole blocks only.
 */
static enum verdict plan(struct scsi_cmd *cmd)
{
	uint32_t blocks = cmd->args.length;
	enum verdict v;

	if (unlikely(!blocks) && cmd->op->cdb_len == 6)
		blocks = READ6_ZERO;
	v = check_range(cmd, cmd->args.lba, blocks);
	if (unlikely(v != V_GOOD))
		return v;
	if (unlikely(blocks > disk_of(cmd)->max_transfer))
		return bad_field(cmd, length);
	cmd->lba = cmd->args.lba;
	cmd_plan(cmd, to_bytes(cmd, blocks));
	if (cmd->op->dir == DIR_OUT)
		cmd->transfer = (uint32_t)round_down(cmd->transfer, cmd->lu->block_size);
	return V_GOOD;
}

static uint64_t position(const struct scsi_cmd *cmd)
{
	return to_bytes(cmd, cmd->lba) + cmd->offset;
}

/* ---- READ (SBC-4) ------------------------------------------------- */

static void read_have_buf(struct scsi_cmd *cmd);

static uint32_t read_piece(const struct scsi_cmd *cmd)
{
	return min(cmd->transfer - cmd->offset, BUF_MAX);
}

static void read_in_place(struct scsi_cmd *cmd, const struct iovec *v, unsigned n, uint32_t len);

static void read_next(struct scsi_cmd *cmd)
{
	uint32_t left = min(cmd->transfer - cmd->offset, CMD_PIECE_MAX), len = 0;
	const struct iovec *v = NULL;
	unsigned n = 0;

	if (cmd->nexus->tops->data_room)
		len = cmd_room(cmd, cmd->offset, left, &v, &n);
	if (len)
		read_in_place(cmd, v, n, len);
	else
		cmd_want_buf(cmd, read_piece(cmd), read_have_buf);
}

static void read_went_on(struct scsi_cmd *cmd)
{
	if (likely(cmd->offset == cmd->transfer))
		cmd_complete(cmd, V_GOOD);
	else
		read_next(cmd);
}

static void read_have_data(struct scsi_cmd *cmd)
{
	struct buf *b = cmd->buf;
	uint8_t *data = b->data;
	uint32_t off = cmd->offset, len = read_piece(cmd);

	if (cmd->io.lent) {
		buf_put(b);
		b = cmd->io.lent;
		data = cmd->io.lent_data;
	}
	cmd->buf = NULL;
	cmd->offset += len;
	cmd_give_data(cmd, off, b, data, len);
	read_went_on(cmd);
}

/* Where nobody of ours looks at the data on its way, it may as well be a file's mapping. */
static uint32_t lend_flags(const struct scsi_cmd *cmd)
{
	return STORE_MAY_LEND | (cmd->itl->nexus->sends_blindly ? STORE_MAY_LEND_MAPPING : 0);
}

static void read_have_buf(struct scsi_cmd *cmd)
{
	/* the initiator may expect only a part of the last block */
	cmd->iov[0].iov_base = cmd->buf->data;
	cmd->iov[0].iov_len = round_up(read_piece(cmd), cmd->lu->block_size);
	cmd_store(cmd, STORE_READ, position(cmd), cmd->iov[0].iov_len, cmd->iov, 1, lend_flags(cmd),
		  read_have_data);
}

static void read_is_there(struct scsi_cmd *cmd)
{
	uint32_t len = (uint32_t)cmd->io.length;

	cmd->offset += len;
	cmd_gave_data(cmd, len);
	read_went_on(cmd);
}

/* Into the initiator's own memory. */
static void read_in_place(struct scsi_cmd *cmd, const struct iovec *v, unsigned n, uint32_t len)
{
	cmd_store(cmd, STORE_READ, position(cmd), len, v, n, 0, read_is_there);
}

enum verdict sbc_read(struct scsi_cmd *cmd)
{
	enum verdict v = plan(cmd);

	if (unlikely(v != V_GOOD))
		return v;
	if (unlikely(!cmd->transfer))
		return V_GOOD;
	/* SBC-4: FUA reads the medium, so what is newer must get there before */
	if (unlikely(cmd->args.fua) && view_of(cmd)->mode.wce)
		cmd_flush(cmd, read_next);
	else
		read_next(cmd);
	return V_PENDING;
}

/* ---- WRITE (SBC-4) ------------------------------------------------ */

static void write_have_data(struct scsi_cmd *cmd);

static void write_next(struct scsi_cmd *cmd)
{
	uint32_t len = min(cmd->transfer - cmd->offset, CMD_PIECE_MAX);

	cmd_want_some(cmd, cmd->offset, len, write_have_data);
}

static void write_ended(struct scsi_cmd *cmd)
{
	cmd->offset += cmd->out_len;
	if (likely(cmd->offset == cmd->transfer))
		cmd_complete(cmd, V_GOOD);
	else
		write_next(cmd);
}

static void write_have_data(struct scsi_cmd *cmd)
{
	cmd_store(cmd, STORE_WRITE, position(cmd), cmd->out_len, cmd->out, cmd->out_cnt,
		  fua_flag(cmd), write_ended);
}

enum verdict sbc_write(struct scsi_cmd *cmd)
{
	enum verdict v = plan(cmd);

	if (unlikely(v != V_GOOD))
		return v;
	if (unlikely(!cmd->transfer))
		return V_GOOD;
	write_next(cmd);
	return V_PENDING;
}
