/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of a command from the transport to its handler: docs/life-of-a-command.md
 * steps 2 to 6.
 */
#include "sam/observe.h"
#include "sam/scsi_cmd.h"
#include "sam/taskset.h"
#include "sam/transport.h"

#define NEXUS_CMDS_MAX 1024 /* the transport's window is smaller; a bound all the same */

/*
 * SAM-6 5.12: a command whose tag another live command of the nexus has. All
 * tasks of the nexus in this task set are aborted, without status.
 */
static enum verdict overlapped(struct scsi_cmd *cmd)
{
	itl_abort_all(cmd->itl, V_ABORTED_SILENTLY);
	return V_OVERLAPPED_COMMANDS;
}

/*
 * A task that a task management function has ended may still wait for its transaction: for
 * the initiator, which has the function's response, its tag is free.
 */
static bool tag_in_use(const struct scsi_cmd *cmd)
{
	const struct scsi_cmd *older = nexus_find_cmd(cmd->nexus, NULL, cmd->tag);

	return older && older->abort != V_ABORTED_SILENTLY;
}

/*
 * The transport's direction flags against the row (SAM-6 5.4.1; bidirectional is
 * refused). Data-out for a command that only reads is thrown away: the initiator
 * expects no data-in, and the residual says what it missed.
 */
static bool direction_contradicts(struct scsi_cmd *cmd)
{
	if (cmd->dir_by_row) {
		cmd->read = cmd->op && cmd->op->dir == DIR_IN;
		cmd->write = cmd->op && cmd->op->dir == DIR_OUT;
	}
	if (cmd->read && cmd->write)
		return true;
	if (unlikely(!cmd->read && !cmd->write)) /* RFC 7143 11.3.1: nothing is expected */
		cmd->expected = 0;
	if (!cmd->expected || !cmd->op)
		return false;
	if (cmd->op->dir == DIR_IN && cmd->write)
		cmd->expected = 0;
	return cmd->op->dir == DIR_OUT && cmd->read;
}

/* A command that only the device behind knows, of which nobody says where its data go. */
static bool direction_unknown(const struct scsi_cmd *cmd)
{
	return cmd->dir_by_row && cmd->op && cmd->op->dir == DIR_ANY && cmd->expected;
}

/* What is refused before the task set: it needs nobody's leave to fail. */
static enum verdict refuse_early(struct scsi_cmd *cmd)
{
	struct it_nexus *n = cmd->nexus;

	if (unlikely(n->state != NEXUS_LIVE))
		return V_ABORTED_SILENTLY;
	if (unlikely(tag_in_use(cmd)))
		return overlapped(cmd);
	if (unlikely(cmd->attr > ATTR_HEAD_OF_QUEUE))
		return V_INVALID_FIELD_IN_IU;
	if (unlikely(n->ncmds > NEXUS_CMDS_MAX))
		return V_TASK_SET_FULL;
	if (unlikely(direction_unknown(cmd)))
		return V_INVALID_OPCODE;
	if (unlikely(direction_contradicts(cmd)))
		return V_INVALID_FIELD_IN_IU;
	return V_GOOD;
}

/* Counted here, so that what is refused was submitted, too: done never exceeds it. */
static void count_submitted(const struct scsi_cmd *cmd)
{
	struct itl_stats *is = &cmd->itl->stats;

	if (cmd_dir(cmd) == DIR_IN)
		is->rd_subm_cmds++;
	else if (cmd_dir(cmd) == DIR_OUT)
		is->wr_subm_cmds++;
}

void cmd_submit(struct scsi_cmd *cmd)
{
	enum verdict v;
	int bad_sa;

	nexus_get(cmd->nexus);
	cmd_count_begin(cmd);
	cmd->itl = nexus_route(cmd->nexus, cmd->lun);
	cmd->lu = cmd->itl->lu;
	cmd->op = op_find(cmd->lu->ds->ops, cmd->cdb, cmd->cdb_len, &bad_sa);
	cmd->bad_sa = bad_sa;
	count_submitted(cmd);
	OBSERVE(cmd, command__received, 0, cmd->nexus->id, cmd->lu->id, cmd->tag, cmd->cdb[0],
		cmd->expected);
	v = refuse_early(cmd);
	if (unlikely(v != V_GOOD)) {
		cmd_complete(cmd, v);
		return;
	}
	hash_add(&cmd->nexus->tags, &cmd->by_tag, cmd->tag);
	if (likely(taskset_enter(cmd)))
		cmd_enable(cmd);
}

static enum verdict check_row(struct scsi_cmd *cmd)
{
	if (likely(cmd->op))
		return V_GOOD;
	if (cmd->bad_sa)
		return cmd_invalid_cdb(cmd, 1, 4);
	return V_INVALID_OPCODE;
}

static enum verdict check_ready(const struct scsi_cmd *cmd, const struct lu_view *view)
{
	if (view->state == LU_NOT_READY)
		return view->why;
	return cmd->itl->fenced ? V_BECOMING_READY : V_GOOD;
}

/*
 * What an enabled command can be refused for, in the order of SAM-6 5.3.3 and SPC-5
 * 4.4.8: unit attention, reservation conflict, the CDB, not ready, write protection.
 */
static enum verdict check_enabled(struct scsi_cmd *cmd)
{
	const struct lu_view *view = &cmd->itl->part->view;
	struct itl *itl = cmd->itl;
	unsigned flags = cmd->op ? cmd->op->flags : 0;
	enum verdict v;

	if (unlikely(itl->ua) && !(flags & OP_PASS_UA))
		return ua_take(&itl->ua);
	if (unlikely(flags & itl->conflicts & OP_RSV_MASK))
		return V_RESERVATION_CONFLICT;
	v = check_row(cmd);
	if (unlikely(v != V_GOOD))
		return v;
	if (unlikely(op_decode(cmd->op, cmd->cdb, &cmd->args, &cmd->sense.byte, &cmd->sense.bit)))
		return cmd_invalid_cdb(cmd, cmd->sense.byte, cmd->sense.bit);
	if (!(flags & OP_PASS_NOT_READY)) {
		v = check_ready(cmd, view);
		if (unlikely(v != V_GOOD))
			return v;
	}
	if (flags & OP_MEDIUM_WRITE && unlikely(view->readonly || view->mode.swp))
		return V_WRITE_PROTECTED;
	return V_GOOD;
}

void cmd_enable(struct scsi_cmd *cmd)
{
	enum verdict v = check_enabled(cmd);

	if (likely(v == V_GOOD)) {
		OBSERVE(cmd, command__enabled, 0, cmd->nexus->id, cmd->lu->id, cmd->tag,
			cmd->cdb[0], cmd->args.lba, cmd->args.length);
		v = cmd->op->exec(cmd);
	}
	if (v != V_PENDING)
		cmd_complete(cmd, v);
}
