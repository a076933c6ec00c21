/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/taskset.h"

#include "sam/scsi_cmd.h"

static bool is_ordered(const struct scsi_cmd *cmd)
{
	return cmd->attr == ATTR_ORDERED;
}

static bool is_hoq(const struct scsi_cmd *cmd)
{
	return cmd->attr == ATTR_HEAD_OF_QUEUE;
}

/* True if @cmd waits for nobody, arriving now (SAM-6 8.7). */
static bool may_start(const struct taskset *ts, const struct scsi_cmd *cmd)
{
	if (is_hoq(cmd) || (cmd->op && cmd->op->flags & OP_NO_TASK_SET))
		return true;
	if (ts->frozen)
		return false;
	if (is_ordered(cmd))
		return !ts->live;
	return !ts->ordered && !ts->hoq;
}

bool taskset_enter(struct scsi_cmd *cmd)
{
	struct taskset *ts = &cmd->itl->tasks;
	bool start = may_start(ts, cmd);

	list_add(&ts->tasks, &cmd->task_link);
	ts->live++;
	ts->ordered += is_ordered(cmd);
	ts->hoq += is_hoq(cmd);
	if (start) {
		cmd->state = CMD_ENABLED;
	} else {
		cmd->state = CMD_DORMANT;
		ts->dormant++;
	}
	return start;
}

/*
 * The first dormant task that waits for nobody any more: SIMPLE when no older
 * ORDERED and no HEAD OF QUEUE task is left, ORDERED when it is the oldest.
 */
static struct scsi_cmd *first_startable(struct taskset *ts)
{
	struct scsi_cmd *cmd;
	bool oldest = true;

	if (ts->hoq || ts->frozen)
		return NULL;
	list_for_each(cmd, &ts->tasks, task_link) {
		if (cmd->state == CMD_DORMANT) {
			if (!is_ordered(cmd))
				return cmd;
			return oldest ? cmd : NULL;
		}
		if (is_ordered(cmd))
			return NULL;
		oldest = false;
	}
	return NULL;
}

void taskset_wake(struct itl *itl)
{
	struct taskset *ts = &itl->tasks;
	struct scsi_cmd *cmd;

	if (ts->waking)
		return;
	ts->waking = true;
	while (ts->dormant && (cmd = first_startable(ts))) {
		ts->dormant--;
		cmd->state = CMD_ENABLED;
		cmd_enable(cmd);
	}
	ts->waking = false;
}

void taskset_leave(struct scsi_cmd *cmd)
{
	struct taskset *ts = &cmd->itl->tasks;

	list_del(&cmd->task_link);
	ts->live--;
	ts->ordered -= is_ordered(cmd);
	ts->hoq -= is_hoq(cmd);
	if (cmd->state == CMD_DORMANT)
		ts->dormant--;
	cmd->state = CMD_DONE;
}
