/* SPDX-License-Identifier: BSD-2-Clause */
/* TEST UNIT READY, REQUEST SENSE, and the reservations of SPC-2. */
#include "cmdset/internal.h"

/* What the common checks cannot know: a store that is away tells only who uses it. */
enum verdict spc_test_unit_ready(struct scsi_cmd *cmd)
{
	const struct store *s = view_of(cmd)->store;

	return s && store_why_away(s) ? V_BECOMING_READY : V_GOOD;
}

/* ---- REQUEST SENSE (SPC-5) ------------------------------------------------------ */

static enum verdict pending_sense(struct scsi_cmd *cmd)
{
	const struct lu_view *view = view_of(cmd);

	if (cmd->lu->ds->pdt == PDT_UNKNOWN)
		return V_LU_NOT_SUPPORTED;
	if (cmd->itl->ua)
		return ua_take(&cmd->itl->ua);
	return view->state == LU_NOT_READY ? view->why : V_GOOD;
}

static uint32_t fill_sense(struct scsi_cmd *cmd, uint8_t *p)
{
	return sense_describe(p, pending_sense(cmd), NULL, cmd->args.desc);
}

enum verdict spc_request_sense(struct scsi_cmd *cmd)
{
	return cmd_answer(cmd, SENSE_MAX, fill_sense);
}

/* ---- RESERVE(6), RELEASE(6): SPC-2, and SPC-5 5.14 ------------------------ */

/*
 * Beside persistent reservations (CRH=1): those who may write anyway are told GOOD and nothing
 * happens; for all others the two ways exclude each other. True if that settled it.
 */
static bool compatible_handling(struct lu_tx *tx)
{
	const struct pr_state *pr = &tx->lu->pr;
	const struct pr_registration *reg = pr_of(pr, tx->itl);

	if (!pr->count)
		return false;
	if (!pr_holds(pr, reg) && !(reg && pr_type_registrants_only(pr->type)))
		tx->verdict = V_RESERVATION_CONFLICT;
	return true;
}

static bool reserve_decide(struct lu_tx *tx)
{
	struct lu *lu = tx->lu;

	if (compatible_handling(tx))
		return false;
	if (lu->spc2_holder && lu->spc2_holder != tx->itl) {
		tx->verdict = V_RESERVATION_CONFLICT;
		return false;
	}
	lu->spc2_holder = tx->itl;
	lu_reservations_changed(lu);
	return true;
}

/* SPC-2: releasing what another one holds, or nobody, is not an error. */
static bool release_decide(struct lu_tx *tx)
{
	struct lu *lu = tx->lu;

	if (compatible_handling(tx) || lu->spc2_holder != tx->itl)
		return false;
	lu->spc2_holder = NULL;
	lu_reservations_changed(lu);
	return true;
}

enum verdict spc_reserve6(struct scsi_cmd *cmd)
{
	cmd->tx.decide = reserve_decide;
	return cmd_run_tx(cmd);
}

enum verdict spc_release6(struct scsi_cmd *cmd)
{
	cmd->tx.decide = release_decide;
	return cmd_run_tx(cmd);
}
