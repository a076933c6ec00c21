/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LU transactions: the one way to change what an LU's reactors share.
 *
 * Strictly one at a time per LU, on its home reactor: decide() changes the
 * master (lu->view, lu->pr, itl->home.* of every attached nexus); then each
 * reactor copies it into its part and its itls (conflicts, unit attentions,
 * aborts), acknowledging after the drain of what was aborted; then done() runs
 * on the reactor that asked. So whatever done() answers, every reactor already
 * knows it. Posting cannot fail; nobody blocks.
 */
#ifndef STGT_SAM_TRANSACTION_H
#define STGT_SAM_TRANSACTION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "sam/lu.h"
#include "sam/sense.h"
#include "sam/ua.h"

struct lu_tx {
	/* the asker's, set before lu_tx_run() */
	/*
	 * On the home. True: publish. False: nothing changed, go to done.
	 * Sets tx->verdict (V_GOOD before the call).
	 */
	bool (*decide)(struct lu_tx *tx);
	/* After the publication on each reactor, before its drain. May be NULL. */
	void (*apply)(struct lu_tx *tx, struct lu_part *part);
	/* On the asker's reactor. The last use of @tx. */
	void (*done)(struct lu_tx *tx);
	struct itl *itl; /* on whose behalf; NULL: the administrator's */

	enum verdict verdict;
	struct sense_info sense;

	/* set by lu_tx_cancel(): if it has not begun, decide is skipped */
	atomic_bool cancelled;

	/* the transaction's own */
	bool parked;
	struct lu *lu;
	struct reactor *origin;
	struct msg msg;
	struct list link;
};

/* Run @tx on @lu. From any reactor; @tx stays valid until done. */
void lu_tx_run(struct lu *lu, struct lu_tx *tx);

/* Nobody wants it any more: if decide has not run it will not (verdict V_TASK_ABORTED). done still comes. */
void lu_tx_cancel(struct lu_tx *tx);

/* --- for decide(): changes to publish, on the home --- */

/* A unit attention for one nexus, or for all but @except (NULL: for all). */
void lu_tell(struct itl *itl, enum ua ua);
void lu_tell_others(struct lu *lu, const struct itl *except, enum ua ua);
/*
 * Abort the tasks of @itl with TASK ABORTED (TAS=1, SAM-6 5.5). Those of the asker's own
 * that are to end without a status have been aborted by the asker before.
 */
void lu_abort(struct itl *itl);
/* Recompute itl->home.conflicts of every nexus from lu->pr and lu->spc2_holder. */
void lu_reservations_changed(struct lu *lu);

/* Put @tx, the running one, aside: decide returns false and it is not answered yet. */
void lu_tx_park(struct lu_tx *tx, struct list *queue);
/* Whoever is parked in @queue is decided anew, after the running transaction. */
void lu_tx_unpark(struct lu *lu, struct list *queue);

/* On a reactor: one thing less that the running transaction waits for there. */
void lu_part_drained(struct lu_part *part);

/* Reset: decide functions for the logical unit reset condition (SAM-6 6.3.3). tx->itl: who asked. */
bool lu_reset_decide(struct lu_tx *tx);

#endif
