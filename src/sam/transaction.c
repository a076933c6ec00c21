/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/transaction.h"

#include "sam/guard.h"
#include "sam/it_nexus.h"
#include "sam/scsi_cmd.h"

static void tx_answered(struct msg *m)
{
	struct lu_tx *tx = container_of(m, struct lu_tx, msg);

	tx->done(tx);
}

static void tx_next(struct lu *lu, struct lu_tx *ended);

/* Home: a reactor has applied and drained. */
static void part_acked(struct msg *m)
{
	struct lu_part *part = container_of(m, struct lu_part, ack_msg);
	struct lu *lu = part->lu;
	struct lu_tx *ended = lu->tx;
	struct itl *itl;

	if (--lu->unacked)
		return;
	list_for_each(itl, &lu->itls, home.link) {
		itl->home.ua = 0;
		itl->home.abort = 0;
	}
	lu->tx = NULL;
	lu->resetting = false;
	tx_next(lu, ended);
}

static void part_ack(struct lu_part *part)
{
	struct itl *itl;

	list_for_each(itl, &part->itls, part_link)
		itl->fenced = false;
	reactor_post(part->lu->home, &part->ack_msg, part_acked);
}

static void itl_drained(struct drain *d)
{
	lu_part_drained(container_of(d, struct itl, tx_drain)->part);
}

void lu_part_drained(struct lu_part *part)
{
	if (!--part->undrained)
		part_ack(part);
}

/* Take over what the home decided about @itl. */
static void itl_apply(struct itl *itl)
{
	itl->conflicts = itl->home.conflicts;
	for (unsigned ua = 0; ua < UA_COUNT; ua++)
		if (itl->home.ua & UA_BIT(ua))
			ua_establish(&itl->ua, (enum ua)ua);
	if (unlikely(itl->home.ua))
		nexus_attention(itl, itl->home.ua);
}

/*
 * A reactor's share. The master does not change until all have acknowledged,
 * so reading it here needs no more than the order of messages.
 */
static void part_apply(struct msg *m)
{
	struct lu_part *part = container_of(m, struct lu_part, apply_msg);
	struct lu_tx *tx = part->lu->tx;
	bool was_guarded = part->view.guarded, was_open = !part->view.gate;
	struct itl *itl;

	part->view = part->lu->view;
	list_for_each(itl, &part->itls, part_link)
		itl_apply(itl);
	if (tx->apply)
		tx->apply(tx, part);

	/* fence: nothing that is aborted is enabled any more */
	part->undrained = 1u + part_guard_waits(part, was_guarded);
	list_for_each(itl, &part->itls, part_link) {
		if (!itl->home.abort)
			continue;
		itl->fenced = true;
		itl_abort_all(itl, (enum verdict)itl->home.abort);
		part->undrained++;
	}
	/* what a device works on ends with its reset, not before */
	if (part->lu->resetting && part->lu->ds->reset_device && part->reactor == part->lu->home) {
		part->undrained++;
		part->lu->ds->reset_device(part);
	}
	/* drain: stores give back what they hold */
	list_for_each(itl, &part->itls, part_link)
		if (itl->home.abort)
			itl_drain(itl, &itl->tx_drain, itl_drained);
	if ((was_guarded && !part->view.guarded) || (!was_open && part->view.gate != GATE_PAUSED))
		part_unpark(part);
	lu_part_drained(part);
}

static void tx_publish(struct lu *lu)
{
	lu->unacked = lu->nreactors;
	for (unsigned i = 0; i < lu->nreactors; i++)
		reactor_post(lu->part[i].reactor, &lu->part[i].apply_msg, part_apply);
}

/* Decide @tx. True if it is over: refused, or cancelled before. */
static bool tx_begin(struct lu *lu, struct lu_tx *tx)
{
	lu->tx = tx;
	if (atomic_load_explicit(&tx->cancelled, memory_order_relaxed)) {
		tx->verdict = V_TASK_ABORTED;
	} else if (tx->decide(tx)) {
		tx_publish(lu);
		return false;
	}
	lu->tx = NULL;
	return !tx->parked;
}

/*
 * Begin what waits, then tell the askers of @ended (may be NULL) and of what
 * ended at once. An answer is the last thing: the asker may free the LU.
 */
static void tx_next(struct lu *lu, struct lu_tx *ended)
{
	struct msg *over = NULL, **end = &over, *m;
	struct list *l;

	if (ended) {
		*end = &ended->msg;
		end = &ended->msg.next;
	}
	while (!lu->tx && (l = list_pop(&lu->tx_queue))) {
		struct lu_tx *tx = list_entry(l, struct lu_tx, link);

		if (tx_begin(lu, tx)) {
			*end = &tx->msg;
			end = &tx->msg.next;
		}
	}
	*end = NULL;
	while ((m = over)) {
		over = m->next;
		reactor_post(container_of(m, struct lu_tx, msg)->origin, m, tx_answered);
	}
}

static void tx_arrived(struct msg *m)
{
	struct lu_tx *tx = container_of(m, struct lu_tx, msg);

	list_add(&tx->lu->tx_queue, &tx->link);
	tx_next(tx->lu, NULL);
}

void lu_tx_run(struct lu *lu, struct lu_tx *tx)
{
	tx->lu = lu;
	tx->origin = reactor_self();
	tx->verdict = V_GOOD;
	tx->parked = false;
	tx->sense = (struct sense_info){ 0 };
	atomic_store_explicit(&tx->cancelled, false, memory_order_relaxed);
	list_init(&tx->link);
	reactor_post(lu->home, &tx->msg, tx_arrived);
}

void lu_tx_park(struct lu_tx *tx, struct list *queue)
{
	tx->parked = true;
	list_add(queue, &tx->link);
}

void lu_tx_unpark(struct lu *lu, struct list *queue)
{
	struct lu_tx *tx;

	list_for_each(tx, queue, link)
		tx->parked = false;
	list_splice(queue, &lu->tx_queue);
	list_splice(&lu->tx_queue, queue);
}

void lu_tx_cancel(struct lu_tx *tx)
{
	atomic_store_explicit(&tx->cancelled, true, memory_order_relaxed);
}

void lu_tell(struct itl *itl, enum ua ua)
{
	itl->home.ua |= UA_BIT(ua);
}

void lu_tell_others(struct lu *lu, const struct itl *except, enum ua ua)
{
	struct itl *itl;

	list_for_each(itl, &lu->itls, home.link)
		if (itl != except)
			lu_tell(itl, ua);
}

void lu_abort(struct itl *itl)
{
	itl->home.abort = V_TASK_ABORTED;
}

void lu_reservations_changed(struct lu *lu)
{
	struct itl *itl;

	list_for_each(itl, &lu->itls, home.link) {
		itl->home.conflicts = pr_conflicts(&lu->pr, itl);
		if (lu->spc2_holder && lu->spc2_holder != itl)
			itl->home.conflicts |= OP_RSV_SPC2;
	}
}

bool lu_reset_decide(struct lu_tx *tx)
{
	struct lu *lu = tx->lu;
	struct itl *itl;

	lu->resetting = true;
	lu->spc2_holder = NULL;
	if (lu->ds->reset)
		lu->ds->reset(lu);
	list_for_each(itl, &lu->itls, home.link) {
		itl->home.prevent = false;
		lu_abort(itl);
		lu_tell(itl, UA_BUS_DEVICE_RESET);
	}
	lu_reservations_changed(lu);
	return true;
}
