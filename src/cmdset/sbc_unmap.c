/* SPDX-License-Identifier: BSD-2-Clause */
/* UNMAP and WRITE SAME. */
#include "cmdset/internal.h"

/* ---- UNMAP (SBC-4) ------------------------------------------------------------ */

#define UNMAP_HEADER 8
#define UNMAP_DESCRIPTOR 16

/* word[0]: descriptors, word[1]: the next one */

static const uint8_t *descriptor(const struct scsi_cmd *cmd, uint64_t i)
{
	return cmd->buf->data + UNMAP_HEADER + i * UNMAP_DESCRIPTOR;
}

static void unmap_next(struct scsi_cmd *cmd)
{
	while (cmd->word[1] < cmd->word[0]) {
		const uint8_t *d = descriptor(cmd, cmd->word[1]++);
		uint64_t lba = be_load(d, 8), n = be_load(d + 8, 4);

		if (!n)
			continue;
		cmd_store(cmd, STORE_DISCARD, to_bytes(cmd, lba), to_bytes(cmd, n), NULL, 0,
			  fua_flag(cmd), unmap_next);
		return;
	}
	cmd_complete(cmd, V_GOOD);
}

/* Nothing is unmapped unless everything can be. */
static enum verdict check_descriptors(struct scsi_cmd *cmd)
{
	uint64_t total = 0;

	for (uint64_t i = 0; i < cmd->word[0]; i++) {
		const uint8_t *d = descriptor(cmd, i);
		enum verdict v = check_range(cmd, be_load(d, 8), be_load(d + 8, 4));

		if (v != V_GOOD)
			return v;
		total += be_load(d + 8, 4);
		if (total > disk_of(cmd)->max_unmap)
			return cmd_invalid_param(cmd,
						 (unsigned)(UNMAP_HEADER + i * UNMAP_DESCRIPTOR + 8),
						 7);
	}
	return V_GOOD;
}

static enum verdict unmap_have_list(struct scsi_cmd *cmd)
{
	const uint8_t *p = cmd->buf->data;
	uint32_t room = cmd->args.plist - UNMAP_HEADER;
	enum verdict v;

	/* descriptors that the list or their length field cuts off are ignored */
	cmd->word[0] = min(room, (uint32_t)be_load(p + 2, 2)) / UNMAP_DESCRIPTOR;
	cmd->word[1] = 0;
	if (cmd->word[0] > UNMAP_DESCRIPTORS_MAX)
		return cmd_invalid_param(cmd, 2, 7);
	v = check_descriptors(cmd);
	if (v != V_GOOD)
		return v;
	unmap_next(cmd);
	return V_PENDING;
}

enum verdict sbc_unmap(struct scsi_cmd *cmd)
{
	if (!disk_supports(ident_of(cmd), cmd->op))
		return V_INVALID_OPCODE;
	if (cmd->args.anchor)
		return bad_field(cmd, anchor);
	if (!cmd->args.plist)
		return V_GOOD;
	if (cmd->args.plist < UNMAP_HEADER)
		return V_PARAM_LIST_LENGTH;
	return cmd_params(cmd, 1, unmap_have_list);
}

/* ---- WRITE SAME (SBC-4) ------------------------------------------------- */

static bool all_zero(const uint8_t *p, uint32_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

static void same_next(struct scsi_cmd *cmd);

static uint32_t pattern_room(const struct scsi_cmd *cmd)
{
	return (uint32_t)min(to_bytes(cmd, cmd->blocks), (uint64_t)BUF_MAX);
}

static void same_written(struct scsi_cmd *cmd)
{
	uint64_t n = cmd->iov[0].iov_len >> cmd->lu->block_shift;

	cmd->lba += n;
	cmd->blocks -= n;
	if (cmd->blocks)
		same_next(cmd);
	else
		cmd_complete(cmd, V_GOOD);
}

static void same_next(struct scsi_cmd *cmd)
{
	cmd->iov[0].iov_base = cmd->buf->data;
	cmd->iov[0].iov_len = pattern_room(cmd);
	cmd_store(cmd, STORE_WRITE, to_bytes(cmd, cmd->lba), cmd->iov[0].iov_len, cmd->iov, 1,
		  fua_flag(cmd), same_written);
}

static void same_ended(struct scsi_cmd *cmd)
{
	cmd_complete(cmd, V_GOOD);
}

/* Zeroes are a verb of the store. UNMAP=1 deallocates what then reads as the same (LBPRZ). */
static enum verdict write_zeroes(struct scsi_cmd *cmd)
{
	cmd_store(cmd, STORE_ZERO, to_bytes(cmd, cmd->lba), to_bytes(cmd, cmd->blocks), NULL, 0,
		  fua_flag(cmd) | (cmd->args.unmap ? STORE_MAY_UNMAP : 0), same_ended);
	return V_PENDING;
}

/* The store repeats the block. */
static void write_pattern(struct scsi_cmd *cmd)
{
	cmd->iov[0].iov_base = cmd->buf->data;
	cmd->iov[0].iov_len = cmd->lu->block_size;
	cmd_store(cmd, STORE_WRITE_SAME, to_bytes(cmd, cmd->lba), to_bytes(cmd, cmd->blocks),
		  cmd->iov, 1, fua_flag(cmd), same_ended);
}

/* Fill the buffer with copies of the block at its start, each step twice as many. */
static void replicate(struct scsi_cmd *cmd)
{
	uint8_t *p = cmd->buf->data;
	uint32_t have = cmd->lu->block_size;
	uint32_t want = pattern_room(cmd);

	while (have < want) {
		uint32_t n = min(have, want - have);

		memcpy(p + have, p, n);
		have += n;
	}
}

static enum verdict same_have_block(struct scsi_cmd *cmd)
{
	if (all_zero(cmd->buf->data, cmd->lu->block_size))
		return write_zeroes(cmd);
	if (store_does(cmd, STORE_WRITE_SAME)) {
		write_pattern(cmd);
		return V_PENDING;
	}
	replicate(cmd);
	same_next(cmd);
	return V_PENDING;
}

static enum verdict check_same(struct scsi_cmd *cmd)
{
	if (cmd->args.anchor)
		return bad_field(cmd, anchor);
	if (cmd->args.unmap && !ident_of(cmd)->thin)
		return bad_field(cmd, unmap);
	if (!cmd->args.length) /* WSNZ=1 in the Block Limits VPD page */
		return bad_field(cmd, length);
	return V_GOOD;
}

enum verdict sbc_write_same(struct scsi_cmd *cmd)
{
	enum verdict v = check_same(cmd);

	if (v == V_GOOD)
		v = check_range(cmd, cmd->args.lba, cmd->args.length);
	if (v != V_GOOD)
		return v;
	if (cmd->args.length > disk_of(cmd)->max_write_same)
		return bad_field(cmd, length);
	cmd->lba = cmd->args.lba;
	cmd->blocks = cmd->args.length;
	if (cmd->args.ndob)
		return write_zeroes(cmd);
	if (cmd->expected < cmd->lu->block_size)
		return V_INVALID_FIELD_IN_IU;
	cmd->args.plist = cmd->lu->block_size;
	return cmd_params(cmd, pattern_room(cmd), same_have_block);
}
