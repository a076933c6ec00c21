/* SPDX-License-Identifier: BSD-2-Clause */
/* SYNCHRONIZE CACHE, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL. */
#include "cmdset/cmdset.h"
#include "cmdset/internal.h"

static void ended(struct scsi_cmd *cmd)
{
	cmd_complete(cmd, V_GOOD);
}

/*
 * SBC-4. The store knows no ranges: all that is volatile is written. IMMED=1
 * is answered after the flush as well, when its outcome is known.
 */
enum verdict sbc_sync_cache(struct scsi_cmd *cmd)
{
	enum verdict v = check_range(cmd, cmd->args.lba, cmd->args.length);

	if (v != V_GOOD)
		return v;
	cmd_flush(cmd, ended);
	return V_PENDING;
}

/* ---- PREVENT ALLOW MEDIUM REMOVAL (SBC-4) ------------------------------------- */

bool disk_removal_prevented(const struct lu *lu)
{
	const struct itl *itl;

	list_for_each(itl, &lu->itls, home.link)
		if (itl->home.prevent)
			return true;
	return false;
}

/* Only the home asks who prevents: nothing is to be published. */
static bool prevent_decide(struct lu_tx *tx)
{
	tx->itl->home.prevent = tx_cmd(tx)->args.prevent;
	return false;
}

enum verdict sbc_prevent_allow(struct scsi_cmd *cmd)
{
	if (cmd->args.prevent > 1)
		return bad_field(cmd, prevent);
	/* by SPC-5 preventing conflicts with any reservation of another, allowing with none */
	if (cmd->args.prevent && cmd->itl->conflicts)
		return V_RESERVATION_CONFLICT;
	cmd->tx.decide = prevent_decide;
	return cmd_run_tx(cmd);
}

/* ---- START STOP UNIT (SBC-4) --------------------------------------------------- */

/* Only what stopped it may start it: a store that is gone does not come back so. */
static bool is_out(const struct lu *lu)
{
	return lu->view.state == LU_NOT_READY &&
	       (lu->view.why == V_NO_MEDIUM || lu->view.why == V_NOT_READY_STOPPED);
}

static bool take_out(struct lu *lu)
{
	/* behind a shut gate is no medium: what says why stays, and nobody but the gate's owner brings one */
	if (lu->view.gate == GATE_SHUT)
		return false;
	if (lu->view.state == LU_NOT_READY && lu->view.why == V_NO_MEDIUM)
		return false;
	lu->view.state = LU_NOT_READY;
	lu->view.why = V_NO_MEDIUM;
	return true;
}

static bool put_in(struct lu *lu, const struct itl *by)
{
	if (!is_out(lu))
		return false;
	if (lu->view.why == V_NO_MEDIUM)
		lu_tell_others(lu, by, UA_MEDIUM_CHANGED);
	lu->view.state = LU_READY;
	return true;
}

void disk_set_online(struct lu *lu, bool online)
{
	if (online)
		put_in(lu, NULL);
	else
		take_out(lu);
}

static bool start(struct lu_tx *tx, bool load)
{
	struct lu *lu = tx->lu;

	if (lu->view.state == LU_NOT_READY &&
	    !(is_out(lu) && (load || lu->view.why != V_NO_MEDIUM))) {
		tx->verdict = lu->view.why;
		return false;
	}
	/* what keeps the tray shut keeps it shut for a medium that comes, too */
	if (is_out(lu) && lu->view.why == V_NO_MEDIUM && disk_removal_prevented(lu)) {
		tx->verdict = V_MEDIUM_REMOVAL_PREVENTED;
		return false;
	}
	return put_in(lu, tx->itl);
}

static bool stop(struct lu_tx *tx, bool eject)
{
	struct lu *lu = tx->lu;

	if (eject && disk_removal_prevented(lu)) {
		tx->verdict = V_MEDIUM_REMOVAL_PREVENTED;
		return false;
	}
	if (eject)
		return take_out(lu);
	if (lu->view.state != LU_READY)
		return false;
	lu->view.state = LU_NOT_READY;
	lu->view.why = V_NOT_READY_STOPPED;
	return true;
}

static bool start_stop_decide(struct lu_tx *tx)
{
	const struct cdb_args *args = &tx_cmd(tx)->args;

	return args->start ? start(tx, args->loej) : stop(tx, args->loej);
}

static void run_start_stop(struct scsi_cmd *cmd)
{
	cmd->tx.decide = start_stop_decide;
	cmd_run_tx(cmd);
}

enum verdict sbc_start_stop(struct scsi_cmd *cmd)
{
	const struct cdb_args *args = &cmd->args;

	if (args->power_condition || args->pc_modifier)
		return args->power_condition ? bad_field(cmd, power_condition)
					     : bad_field(cmd, pc_modifier);
	if (args->loej && !ident_of(cmd)->removable)
		return bad_field(cmd, loej);
	/* by SBC-4 START=1 conflicts with no persistent reservation, START=0 with any */
	if (cmd->itl->conflicts & (args->start ? OP_RSV_SPC2 : OP_RSV_MASK))
		return V_RESERVATION_CONFLICT;
	/* what is volatile is written before the unit stops */
	if (!args->start && !args->no_flush && view_of(cmd)->state == LU_READY)
		cmd_flush(cmd, run_start_stop);
	else
		run_start_stop(cmd);
	return V_PENDING;
}
