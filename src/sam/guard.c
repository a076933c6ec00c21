/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/guard.h"

#include "sam/transaction.h"

/* ---- taking and giving back, on the home ------------------------------------------- */

static bool take_decide(struct lu_tx *tx)
{
	struct lu *lu = tx->lu;

	if (lu->view.guarded) {
		lu_tx_park(tx, &lu->guard_queue);
		return false;
	}
	lu->view.guarded = true;
	return true;
}

static bool give_decide(struct lu_tx *tx)
{
	struct lu *lu = tx->lu;

	lu->view.guarded = false;
	lu_tx_unpark(lu, &lu->guard_queue);
	return true;
}

/* ---- the holder --------------------------------------------------------------------- */

static void taken(struct lu_tx *tx)
{
	struct scsi_cmd *cmd = container_of(tx, struct scsi_cmd, tx);
	void (*next)(struct scsi_cmd *) = cmd->next;

	cmd->wait = WAIT_NONE;
	cmd->guard = tx->verdict == V_GOOD;
	if (!cmd->guard || cmd->abort)
		cmd_complete(cmd, V_TASK_ABORTED);
	else
		next(cmd);
}

enum verdict cmd_guard(struct scsi_cmd *cmd, void (*next)(struct scsi_cmd *cmd))
{
	cmd->wait = WAIT_TX;
	cmd->next = next;
	cmd->tx.itl = cmd->itl;
	cmd->tx.decide = take_decide;
	cmd->tx.apply = NULL;
	cmd->tx.done = taken;
	lu_tx_run(cmd->lu, &cmd->tx);
	return V_PENDING;
}

static void given(struct lu_tx *tx)
{
	struct scsi_cmd *cmd = container_of(tx, struct scsi_cmd, tx);

	cmd_complete(cmd, cmd->verdict);
}

void cmd_unguard(struct scsi_cmd *cmd)
{
	cmd->guard = false;
	cmd->wait = WAIT_END;
	cmd->tx.decide = give_decide;
	cmd->tx.done = given;
	lu_tx_run(cmd->lu, &cmd->tx);
}

/* ---- the others, on each reactor -------------------------------------------------------- */

bool cmd_store_begin(struct scsi_cmd *cmd, bool write, void (*go)(struct scsi_cmd *cmd))
{
	struct lu_part *part = cmd->itl->part;

	if (unlikely(part->view.gate) || (write && unlikely(part->view.guarded) && !cmd->guard)) {
		cmd->wait = WAIT_GUARD;
		cmd->go = go;
		list_add(&part->parked, &cmd->park_link);
		return false;
	}
	part->writes += write;
	return true;
}

void cmd_write_end(struct scsi_cmd *cmd)
{
	struct lu_part *part = cmd->itl->part;

	if (--part->writes || likely(!part->guard_waits))
		return;
	part->guard_waits = false;
	lu_part_drained(part);
}

bool part_guard_waits(struct lu_part *part, bool was_guarded)
{
	part->guard_waits = part->view.guarded && !was_guarded && part->writes;
	return part->guard_waits;
}

void part_unpark(struct lu_part *part)
{
	struct list now = LIST_INIT(now), *l;

	list_splice(&now, &part->parked);
	while ((l = list_pop(&now))) {
		struct scsi_cmd *cmd = list_entry(l, struct scsi_cmd, park_link);

		cmd->wait = WAIT_NONE;
		cmd->go(cmd);
	}
}
