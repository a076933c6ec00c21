/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/tmf.h"

#include <stdlib.h>

#include "sam/observe.h"
#include "sam/scsi_cmd.h"
#include "sam/target.h"

static void finish(struct tmf *t, enum tmf_response response)
{
	struct it_nexus *n = t->nexus;

	t->response = response;
	PROBE(tmf__done, n->id, t->lu, (unsigned)t->function, (unsigned)response);
	if (trace_on())
		tmf_trace(t, PROBE_tmf__done, (int)response);
	t->done(t);
	nexus_put(n);
}

static void drained(struct drain *d)
{
	finish(container_of(d, struct tmf, drain), TMF_COMPLETE);
}

/* SAM-6 7.2. The task is gone, and its data with it, before the response. */
static bool abort_task(struct tmf *t)
{
	struct scsi_cmd *cmd = nexus_find_cmd(t->nexus, t->itl, t->ref_tag);

	if (!cmd) {
		finish(t, TMF_NO_TASK);
		return true;
	}
	cmd_abort(cmd, V_ABORTED_SILENTLY);
	itl_drain(t->itl, &t->drain, drained);
	return true;
}

/* SAM-6 7.3, and 7.5 CLEAR TASK SET, which is the same with a task set per nexus (TST = 001b). */
static bool abort_task_set(struct tmf *t)
{
	itl_abort_all(t->itl, V_ABORTED_SILENTLY);
	itl_drain(t->itl, &t->drain, drained);
	return true;
}

static void lu_was_reset(struct lu_tx *tx)
{
	finish(container_of(tx, struct tmf, tx), TMF_COMPLETE);
}

/*
 * SAM-6 7.7. The tasks of this nexus that came before end without a status, here and now;
 * one that comes before the home has decided is answered as everybody else's.
 */
static bool reset_lu(struct tmf *t)
{
	if (t->itl == &t->nexus->wlun)
		return abort_task_set(t);
	itl_abort_all(t->itl, V_ABORTED_SILENTLY);
	t->tx.itl = t->itl;
	t->tx.decide = lu_reset_decide;
	t->tx.apply = NULL;
	t->tx.done = lu_was_reset;
	lu_tx_run(t->itl->lu, &t->tx);
	return true;
}

/*
 * ---- RFC 7143 11.5.1: TARGET WARM and COLD RESET are a reset of every LU; I_T NEXUS RESET
 * (SAM-6 7.6, 6.3.4) is the loss of this nexus for every LU: others notice nothing but the end of its reservations ----
 */

static bool nexus_loss_decide(struct lu_tx *tx)
{
	struct itl *itl = tx->itl;

	if (tx->lu->spc2_holder == itl)
		tx->lu->spc2_holder = NULL;
	itl->home.prevent = false;
	lu_abort(itl);
	lu_tell(itl, UA_NEXUS_LOSS);
	lu_reservations_changed(tx->lu);
	return true;
}

/* Of one LU; or of one that the nexus is losing, whose tasks are aborted already. */
struct reset {
	struct lu_tx tx;
	struct drain drain;
	struct tmf *tmf;
};

static void sessions_closed(struct msg *m)
{
	finish(container_of(m, struct tmf, msg), TMF_COMPLETE);
}

static void cold_reset_posted(struct msg *m)
{
	struct tmf *t = container_of(m, struct tmf, msg);

	target_close_others(t->nexus);
	reactor_post(t->nexus->reactor, &t->msg, sessions_closed);
}

static void all_reset(struct tmf *t)
{
	free(t->resets);
	t->resets = NULL;
	if (t->function == TMF_TARGET_COLD_RESET)
		reactor_post(t->nexus->ts->control, &t->msg, cold_reset_posted);
	else
		finish(t, TMF_COMPLETE);
}

static void one_less(struct tmf *t)
{
	if (!--t->left)
		all_reset(t);
}

static void one_reset(struct lu_tx *tx)
{
	one_less(container_of(tx, struct reset, tx)->tmf);
}

static void one_drained(struct drain *d)
{
	one_less(container_of(d, struct reset, drain)->tmf);
}

static unsigned count_leaving(const struct it_nexus *n)
{
	const struct itl *itl;
	unsigned count = 0;

	list_for_each(itl, &n->leaving, leaving)
		count++;
	return count;
}

/* No task of a LUN that goes away is answered after the function. */
static void end_leaving(struct tmf *t, struct reset *resets)
{
	struct itl *itl, *next;

	list_for_each_safe(itl, next, &t->nexus->leaving, leaving) {
		resets->tmf = t;
		t->left++;
		itl_abort_all(itl, V_ABORTED_SILENTLY);
		itl_drain(itl, &resets->drain, one_drained);
		resets++;
	}
}

static bool reset_target(struct tmf *t)
{
	struct it_nexus *n = t->nexus;
	struct reset *resets = calloc(max(n->nluns + count_leaving(n), 1u), sizeof(*resets));
	unsigned i = 0;

	if (!resets) {
		finish(t, TMF_REJECTED);
		return false;
	}
	t->resets = resets;
	t->left = 1;
	end_leaving(t, resets + n->nluns);
	itl_abort_all(&n->absent, V_ABORTED_SILENTLY);
	itl_abort_all(&n->wlun, V_ABORTED_SILENTLY);
	for (unsigned slot = 0; slot < array_size(n->lun_slots); slot++) {
		for (struct hash_node *node = n->lun_slots[slot]; node; node = node->next) {
			struct itl *itl = container_of(node, struct itl, by_lun);
			struct reset *r = &resets[i++];

			*r = (struct reset){ .tmf = t };
			r->tx.itl = itl;
			r->tx.decide = t->function == TMF_I_T_NEXUS_RESET ? nexus_loss_decide
									  : lu_reset_decide;
			r->tx.done = one_reset;
			t->left++;
			itl_abort_all(itl, V_ABORTED_SILENTLY);
			lu_tx_run(itl->lu, &r->tx);
		}
	}
	one_less(t);
	return true;
}

/* ---- queries (SAM-6 7.8, RFC 7144 4.2) ---------------------------------------- */

static bool query_task(struct tmf *t)
{
	finish(t, nexus_find_cmd(t->nexus, t->itl, t->ref_tag) ? TMF_SUCCEEDED : TMF_COMPLETE);
	return true;
}

static bool query_task_set(struct tmf *t)
{
	finish(t, t->itl->tasks.live ? TMF_SUCCEEDED : TMF_COMPLETE);
	return true;
}

static const struct {
	bool (*run)(struct tmf *t);
	bool needs_lu;
} functions[] = {
	[TMF_ABORT_TASK] = { abort_task, true },
	[TMF_ABORT_TASK_SET] = { abort_task_set, true },
	[TMF_CLEAR_TASK_SET] = { abort_task_set, true },
	[TMF_LU_RESET] = { reset_lu, true },
	[TMF_TARGET_WARM_RESET] = { reset_target, false },
	[TMF_TARGET_COLD_RESET] = { reset_target, false },
	[TMF_I_T_NEXUS_RESET] = { reset_target, false },
	[TMF_QUERY_TASK] = { query_task, true },
	[TMF_QUERY_TASK_SET] = { query_task_set, true },
};

bool tmf_submit(struct tmf *t)
{
	nexus_get(t->nexus);
	t->itl = nexus_route(t->nexus, t->lun);
	t->lu = t->itl->lu->id;
	t->number = itl_trace_number(t->itl);
	PROBE(tmf__start, t->nexus->id, t->lu, (unsigned)t->function, t->ref_tag);
	if (trace_on())
		tmf_trace(t, PROBE_tmf__start, 0);
	if (t->nexus->state != NEXUS_LIVE) {
		finish(t, TMF_REJECTED);
		return false;
	}
	if ((unsigned)t->function >= array_size(functions) || !functions[t->function].run) {
		finish(t, TMF_NOT_SUPPORTED);
		return false;
	}
	if (functions[t->function].needs_lu && t->itl == &t->nexus->absent) {
		finish(t, TMF_NO_LUN);
		return false;
	}
	return functions[t->function].run(t);
}
