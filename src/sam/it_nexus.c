/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/it_nexus.h"

#include "base/be.h"
#include "sam/observe.h"
#include "sam/scsi_cmd.h"
#include "sam/target.h"
#include "sam/taskset.h"
#include "sam/transport.h"

static void tell_transport(struct later *l);

void itl_init(struct itl *itl, struct it_nexus *n, struct lu *lu, uint64_t lun)
{
	itl->nexus = n;
	itl->lu = lu;
	itl->part = &lu->part[reactor_id(n->reactor)];
	itl->lun = lun;
	list_init(&itl->part_link);
	list_init(&itl->home.link);
	list_init(&itl->nexus_link);
	list_init(&itl->leaving);
	list_init(&itl->tasks.tasks);
	list_init(&itl->drains);
	list_init(&itl->tx_drain.link);
	itl->ua = UA_BIT(n->was_known ? UA_NEXUS_LOSS : UA_POWER_ON);
}

void nexus_init(struct it_nexus *n, struct lu *absent, struct lu *wlun)
{
	n->state = NEXUS_STARTING;
	hash_init(&n->luns, n->lun_slots, array_size(n->lun_slots));
	hash_init(&n->tags, n->tag_slots, array_size(n->tag_slots));
	itl_init(&n->absent, n, absent, 0);
	itl_init(&n->wlun, n, wlun, 0);
	n->absent.ua = n->wlun.ua = 0;
	list_init(&n->target_link);
	list_init(&n->itls);
	list_init(&n->leaving);
	list_init(&n->waiters);
	later_init(&n->drained, tell_transport);
}

struct itl *nexus_itl(struct it_nexus *n, uint64_t lun)
{
	struct hash_node *node = hash_find(&n->luns, lun);

	return node ? container_of(node, struct itl, by_lun) : NULL;
}

/*
 * The number in an 8-byte single level LUN (SAM-6 4.7.3 to 4.7.7), -1 if it is
 * none of ours, -2 for the REPORT LUNS well known LU (SAM-6 4.7.7.5.3).
 */
static int64_t lun_number(const uint8_t l[8])
{
	uint64_t rest = be_load(l + 2, 6);

	switch (l[0] >> 6) {
	case 0: /* peripheral device addressing, bus 0 */
		return !rest && !l[0] ? l[1] : -1;
	case 1: /* flat space addressing */
		return !rest ? (l[0] & 0x3f) << 8 | l[1] : -1;
	case 3: /* extended */
		if (l[0] == 0xc1)
			return !rest && l[1] == 1 ? -2 : -1;
		if (l[0] == 0xd2 && !be_load(l + 4, 4)) /* long flat space, 24 bits */
			return (int64_t)be_load(l + 1, 3);
		return -1;
	default:
		return -1;
	}
}

struct itl *nexus_route(struct it_nexus *n, const uint8_t lun[8])
{
	int64_t number = lun_number(lun);
	struct itl *itl;

	if (number == -2)
		return &n->wlun;
	itl = number < 0 ? NULL : nexus_itl(n, (uint64_t)number);
	return itl ? itl : &n->absent;
}

static void drains_wake(struct itl *itl)
{
	struct list *l;

	while (!itl->held_aborted && (l = list_pop(&itl->drains))) {
		struct drain *d = list_entry(l, struct drain, link);

		d->fn(d);
	}
}

void itl_drain(struct itl *itl, struct drain *d, void (*fn)(struct drain *d))
{
	list_init(&d->link);
	d->fn = fn;
	if (!itl->held_aborted) {
		fn(d);
		return;
	}
	list_add(&itl->drains, &d->link);
}

void itl_let_go(struct itl *itl)
{
	itl->held_aborted--;
	drains_wake(itl);
}

void itl_abort_all(struct itl *itl, enum verdict v)
{
	struct list *tasks = &itl->tasks.tasks, *last = tasks->prev, *at, *next;

	if (last == tasks)
		return;
	/* What finish() brings in meanwhile comes behind @last and is not meant. */
	itl->tasks.frozen++;
	for (at = tasks->next;; at = next) {
		bool end = at == last;

		next = at->next;
		cmd_abort(list_entry(at, struct scsi_cmd, task_link), v);
		if (end)
			break;
	}
	itl->tasks.frozen--;
	taskset_wake(itl);
}

#define for_each_itl(n, itl, node) \
	for (unsigned fe_slot = 0; fe_slot < array_size((n)->lun_slots); fe_slot++) \
		for (struct hash_node *node = (n)->lun_slots[fe_slot]; \
		     node && (itl = container_of(node, struct itl, by_lun)); node = node->next)

void nexus_establish_ua(struct it_nexus *n, const struct itl *except, enum ua ua)
{
	struct itl *itl;

	for_each_itl(n, itl, node)
		if (itl != except)
			ua_establish(&itl->ua, ua);
}

void nexus_attention(struct itl *itl, uint32_t set)
{
	struct it_nexus *n = itl->nexus;

	if (n->state == NEXUS_LIVE && n->tops->attention)
		n->tops->attention(itl, set);
}

void nexus_lun_changed(struct it_nexus *n, uint64_t lun, bool present)
{
	if (n->state == NEXUS_LIVE && n->tops->lun_changed)
		n->tops->lun_changed(n, lun, present);
}

static void nexus_gone_posted(struct msg *m)
{
	nexus_gone(container_of(m, struct it_nexus, gone_msg));
}

static void leave_reactor(struct it_nexus *n)
{
	n->state = NEXUS_DRAINED;
	reactor_post(n->ts->control, &n->gone_msg, nexus_gone_posted);
}

static void tell_transport(struct later *l)
{
	struct it_nexus *n = container_of(l, struct it_nexus, drained);

	if (n->close_at_start) {
		n->close_at_start = false;
		if (n->state == NEXUS_LIVE)
			n->tops->close_session(n);
		return;
	}
	if (n->state != NEXUS_DROPPING || n->ncmds)
		return;
	PROBE(nexus__end, n->id, n->tid);
	if (trace_on())
		nexus_trace(n, PROBE_nexus__end);
	n->tops->nexus_drained(n);
	leave_reactor(n);
}

void nexus_get(struct it_nexus *n)
{
	n->ncmds++;
}

void nexus_put(struct it_nexus *n)
{
	if (!--n->ncmds && n->state == NEXUS_DROPPING)
		reactor_later(n->reactor, &n->drained, LATER_SEND);
}

void nexus_start(struct it_nexus *n, void *session)
{
	n->state = NEXUS_LIVE;
	n->session = session;
	PROBE(nexus__start, n->id, n->tid, n->initiator, n->peer);
	if (trace_on())
		nexus_trace(n, PROBE_nexus__start);
	if (n->close_at_start)
		reactor_later(n->reactor, &n->drained, LATER_SEND);
}

void nexus_abandon(struct it_nexus *n)
{
	leave_reactor(n);
}

void nexus_drop(struct it_nexus *n)
{
	struct itl *itl;

	if (n->state != NEXUS_LIVE)
		return;
	n->state = NEXUS_DROPPING;
	n->close_at_start = false;
	nexus_get(n);
	for_each_itl(n, itl, node)
		itl_abort_all(itl, V_ABORTED_SILENTLY);
	itl_abort_all(&n->absent, V_ABORTED_SILENTLY);
	itl_abort_all(&n->wlun, V_ABORTED_SILENTLY);
	nexus_put(n);
}
