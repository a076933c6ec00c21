/* SPDX-License-Identifier: BSD-2-Clause */
/* The one way from a command to its store and back, and from -errno to a verdict. */
#include <errno.h>

#include "base/sgl.h"
#include "cmdset/internal.h"
#include "sam/guard.h"
#include "sam/observe.h"

enum verdict check_range(struct scsi_cmd *cmd, uint64_t lba, uint64_t blocks)
{
	uint64_t capacity = view_of(cmd)->blocks;

	if (likely(range_fits(lba, blocks, capacity)))
		return V_GOOD;
	return cmd_information(cmd, V_LBA_OUT_OF_RANGE, max(lba, capacity));
}

enum verdict bad_field_at(struct scsi_cmd *cmd, size_t arg)
{
	for (unsigned i = 0; i < cmd->op->nfields; i++) {
		const struct cdb_field *f = &cmd->op->fields[i];

		if (f->arg == arg)
			return cmd_invalid_cdb(cmd, f->byte, f->top);
	}
	return V_INVALID_FIELD_IN_CDB;
}

static bool changes_medium(enum store_verb verb)
{
	return verb == STORE_WRITE || verb == STORE_DISCARD || verb == STORE_ZERO ||
	       verb == STORE_WRITE_SAME || verb == STORE_COMPARE_WRITE || verb == STORE_COPY;
}

static enum verdict store_verdict(struct scsi_cmd *cmd)
{
	const struct store_io *io = &cmd->io;

	switch (io->err) {
	case -EIO:
	case -EBADMSG:
	case -ETIMEDOUT:
		return cmd_information(cmd,
				       io->verb == STORE_READ || io->verb == STORE_EXTENTS
					       ? V_READ_ERROR
					       : V_WRITE_ERROR,
				       io->where >> cmd->lu->block_shift);
	case -ENOSPC:
	case -EDQUOT:
		return cmd_information(cmd, V_SPACE_ALLOCATION_FAILED,
				       io->where >> cmd->lu->block_shift);
	case -EILSEQ: /* COMPARE_WRITE: the offset of the first byte that differs (SBC-4 5.3) */
		return cmd_information(cmd, V_MISCOMPARE, io->where - io->offset);
	case -EROFS:
		return V_WRITE_PROTECTED;
	case -ENODEV:
		return V_NOT_READY_CAUSE;
	case -ENOTCONN:
		return V_BECOMING_READY;
	case -ENOMEM:
	case -EAGAIN:
		return V_BUSY;
	default:
		return V_INTERNAL_TARGET_FAILURE;
	}
}

static void store_ended(struct store_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);

	struct buf *lent = io->lent;

	OBSERVE(cmd, store__done, io->err, cmd->lu->id, cmd->tag, (unsigned)io->verb, io->err);
	if (changes_medium(io->verb))
		cmd_write_end(cmd);
	if (!cmd_release(cmd)) {
		buf_put(lent);
		return;
	}
	/* SBC-4: unmapping is a request that the device server may leave */
	if (likely(!io->err) || (io->err == -EOPNOTSUPP && io->verb == STORE_DISCARD))
		cmd->next(cmd);
	else
		cmd_complete(cmd, store_verdict(cmd));
}

/* Verbs that a command uses only if the store has them; of a discard that is not taken nothing is lost. */
static bool is_there(const struct store_limits *l, const struct store_io *io)
{
	if (io->verb < STORE_WRITE_SAME)
		return true;
	return l->cap[io->verb] == STORE_CAP_NATIVE &&
	       (io->verb != STORE_COMPARE_WRITE || io->length <= l->max_compare);
}

/*
 * What was parked finds another store, perhaps, which is made differently or smaller.
 * V_GOOD, or why it cannot go there.
 */
static enum verdict fits(struct scsi_cmd *cmd)
{
	const struct lu_view *view = view_of(cmd);
	const struct store_io *io = &cmd->io;

	if (view->gate == GATE_SHUT)
		return view->why;
	if (view->mem_align > 1 && !sgl_aligned(io->iov, io->iovcnt, view->mem_align))
		return V_BUSY;
	if (!is_there(store_limits(view->store), io))
		return V_BUSY;
	if (io->verb != STORE_FLUSH && io->verb != STORE_EXTENTS)
		return check_range(cmd, io->offset >> cmd->lu->block_shift,
				   io->length >> cmd->lu->block_shift);
	return V_GOOD;
}

static void go(struct scsi_cmd *cmd);

static void go_after_wait(struct scsi_cmd *cmd)
{
	enum verdict v = fits(cmd);

	if (v == V_GOOD)
		go(cmd);
	else
		cmd_complete(cmd, v);
}

/* cmd->io is set up. */
static void go(struct scsi_cmd *cmd)
{
	if (unlikely(view_of(cmd)->gate == GATE_SHUT)) {
		cmd_complete(cmd, view_of(cmd)->why);
		return;
	}
	if (!cmd_store_begin(cmd, changes_medium(cmd->io.verb), go_after_wait))
		return;
	cmd_hold(cmd);
	OBSERVE(cmd, store__submit, (int)cmd->io.verb, cmd->lu->id, cmd->tag,
		(unsigned)cmd->io.verb, cmd->io.offset, cmd->io.length);
	store_submit(view_of(cmd)->store, &cmd->io);
}

void cmd_store(struct scsi_cmd *cmd, enum store_verb verb, uint64_t off, uint64_t len,
	       const struct iovec *iov, unsigned iovcnt, uint32_t flags,
	       void (*next)(struct scsi_cmd *cmd))
{
	struct store_io *io = &cmd->io;

	if (unlikely(cmd->abort)) { /* aborted while its handler ran: nothing is held yet */
		cmd_complete(cmd, cmd->abort);
		return;
	}
	io->verb = verb;
	io->flags = flags;
	io->offset = off;
	io->length = len;
	io->iov = iov;
	io->iovcnt = iovcnt;
	io->done = store_ended;
	cmd->next = next;
	go(cmd);
}

bool store_does(struct scsi_cmd *cmd, enum store_verb verb)
{
	return store_limits(view_of(cmd)->store)->cap[verb] == STORE_CAP_NATIVE;
}

void cmd_flush(struct scsi_cmd *cmd, void (*next)(struct scsi_cmd *cmd))
{
	if (store_limits(view_of(cmd)->store)->readonly)
		next(cmd);
	else
		cmd_store(cmd, STORE_FLUSH, 0, 0, NULL, 0, 0, next);
}

void cmd_store_cancel(struct scsi_cmd *cmd)
{
	store_cancel(&cmd->io);
}
