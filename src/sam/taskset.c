/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/taskset.h"

#include "base/bits.h"
#include "sam/it_nexus.h"
#include "sam/scsi_cmd.h"

static bool is_ordered(const struct scsi_cmd *cmd)
{
	return cmd->attr == ATTR_ORDERED;
}

static bool is_hoq(const struct scsi_cmd *cmd)
{
	return cmd->attr == ATTR_HEAD_OF_QUEUE;
}

/* An older command is over for an ORDERED one when its data cannot change any more. */
static bool all_sent(const struct scsi_cmd *cmd)
{
	struct it_nexus *n = cmd->nexus;

	n->ordered_waits |= n->lending;
	return !n->lending;
}

/* True if @cmd waits for nobody, arriving now (SAM-6 8.7). */
static bool may_start(const struct taskset *ts, const struct scsi_cmd *cmd)
{
	if (is_hoq(cmd) || (cmd->op && cmd->op->flags & OP_NO_TASK_SET))
		return true;
	if (ts->frozen)
		return false;
	if (is_ordered(cmd))
		return !ts->live && all_sent(cmd);
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
			return oldest && all_sent(cmd) ? cmd : NULL;
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

void nexus_sent(struct it_nexus *n)
{
	n->lending = false;
	if (likely(!n->ordered_waits))
		return;
	n->ordered_waits = false;
	for (size_t i = 0; i < array_size(n->lun_slots); i++) {
		struct hash_node *node, *next;

		for (node = n->lun_slots[i]; node; node = next) {
			next = node->next;
			taskset_wake(container_of(node, struct itl, by_lun));
		}
	}
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
