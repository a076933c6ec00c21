/* SPDX-License-Identifier: BSD-2-Clause */
/* How large the medium is, and what of it is mapped. */
#include "cmdset/internal.h"

/* ---- READ CAPACITY (SBC-4) -------------------------------------------- */

static uint32_t fill_capacity10(struct scsi_cmd *cmd, uint8_t *p)
{
	uint64_t last = view_of(cmd)->blocks - 1;

	be_store(p, 4, min(last, (uint64_t)UINT32_MAX));
	be_store(p + 4, 4, cmd->lu->block_size);
	return 8;
}

enum verdict sbc_read_capacity10(struct scsi_cmd *cmd)
{
	cmd->args.alloc = 8; /* the CDB has no ALLOCATION LENGTH */
	return cmd_answer(cmd, 8, fill_capacity10);
}

static uint32_t fill_capacity16(struct scsi_cmd *cmd, uint8_t *p)
{
	const struct lu_ident *id = ident_of(cmd);

	be_store(p, 8, view_of(cmd)->blocks - 1);
	be_store(p + 8, 4, cmd->lu->block_size);
	p[13] = id->lbppbe & 0x0f;
	be_store(p + 14, 2, id->lowest_aligned & 0x3fff);
	if (id->thin)
		p[14] |= 0xc0; /* LBPME, LBPRZ */
	return 32;
}

enum verdict sbc_read_capacity16(struct scsi_cmd *cmd)
{
	return cmd_answer(cmd, 32, fill_capacity16);
}

/* ---- GET LBA STATUS (SBC-4) ---------------------------------------------------- */

#define STATUS_HEADER 8
#define STATUS_DESCRIPTOR 16
#define STATUS_MAX 255 /* most descriptors of one answer: a bounded number of store requests */

enum provisioning { LBA_MAPPED = 0, LBA_DEALLOCATED = 1 };

/* word[0]: descriptors made, word[1]: descriptors wanted; cmd->lba: the next LBA */

static void status_next(struct scsi_cmd *cmd);

static void status_finish(struct scsi_cmd *cmd)
{
	uint32_t len = STATUS_HEADER + (uint32_t)cmd->word[0] * STATUS_DESCRIPTOR;

	be_store(cmd->buf->data, 4, len - 4);
	cmd_complete(cmd, cmd_reply(cmd, len, cmd->args.alloc));
}

static void status_have_extent(struct scsi_cmd *cmd)
{
	uint8_t *p = cmd->buf->data + STATUS_HEADER + cmd->word[0] * STATUS_DESCRIPTOR;
	uint64_t left = view_of(cmd)->blocks - cmd->lba;
	uint64_t n = cmd->io.extent.length >> cmd->lu->block_shift;
	/* a block of which only a part is deallocated is mapped */
	bool mapped = cmd->io.extent.mapped || !n;

	n = min(max(n, (uint64_t)1), left);
	n = min(n, (uint64_t)UINT32_MAX);
	be_store(p, 8, cmd->lba);
	be_store(p + 8, 4, n);
	p[12] = mapped ? LBA_MAPPED : LBA_DEALLOCATED;
	cmd->lba += n;
	cmd->word[0]++;
	/* one descriptor is made even for a shorter ALLOCATION LENGTH */
	if (cmd->word[0] < cmd->word[1] && cmd->lba < view_of(cmd)->blocks)
		status_next(cmd);
	else
		status_finish(cmd);
}

static void status_next(struct scsi_cmd *cmd)
{
	uint64_t off = to_bytes(cmd, cmd->lba);

	cmd_store(cmd, STORE_EXTENTS, off, to_bytes(cmd, view_of(cmd)->blocks) - off, NULL, 0, 0,
		  status_have_extent);
}

static void status_have_buf(struct scsi_cmd *cmd)
{
	memset(cmd->buf->data, 0, STATUS_HEADER + STATUS_MAX * STATUS_DESCRIPTOR);
	status_next(cmd);
}

enum verdict sbc_get_lba_status(struct scsi_cmd *cmd)
{
	uint64_t room = cmd->args.alloc > STATUS_HEADER ? cmd->args.alloc - STATUS_HEADER : 0;
	enum verdict v;

	if (cmd->args.report_type)
		return bad_field(cmd, report_type);
	v = check_range(cmd, cmd->args.lba, 1);
	if (v != V_GOOD)
		return v;
	cmd->lba = cmd->args.lba;
	cmd->word[0] = 0;
	cmd->word[1] = min(room / STATUS_DESCRIPTOR, (uint64_t)STATUS_MAX);
	return cmd_want_buf(cmd, STATUS_HEADER + STATUS_MAX * STATUS_DESCRIPTOR, status_have_buf);
}
