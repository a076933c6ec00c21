/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An I_T nexus: an initiator port and a target port. It lives on one reactor
 * with all connections of its session; everything here is that reactor's,
 * but for what is constant after the claim and what is marked as the home's.
 */
#ifndef STGT_SAM_IT_NEXUS_H
#define STGT_SAM_IT_NEXUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "sam/lu.h"
#include "sam/transaction.h"
#include "sam/ua.h"

#define INITIATOR_NAME_MAX 223 /* RFC 7143 4.2.7.1 */
#define TRANSPORT_ID_MAX 256 /* bytes, SPC-5 7.6.4 */
#define NEXUS_TAG_SLOTS 256

struct claim;
struct target;
struct targets;
struct transport_ops;
struct unmap;
struct it_nexus;

/* Counters per I_T_L nexus: single writer, read by message. Names as tgt's statistics. */
struct itl_stats {
	uint64_t rd_subm_bytes, rd_done_bytes, wr_subm_bytes, wr_done_bytes;
	uint32_t rd_subm_cmds, rd_done_cmds, wr_subm_cmds, wr_done_cmds, errs;
};

/* The task set (TST = 001b: one per I_T_L nexus), SAM-6 8. */
struct taskset {
	struct list tasks; /* scsi_cmd.task_link in order of arrival: enabled and dormant */
	unsigned live, ordered, hoq, dormant;
	unsigned frozen; /* no dormant one is enabled while tasks are being aborted */
	bool waking; /* the loop that enables dormant tasks runs: recursion ends there */
};

/* Someone who waits until no aborted command of an itl is with a store. */
struct drain {
	struct list link;
	void (*fn)(struct drain *d);
};

/* An I_T_L nexus. */
struct itl {
	struct hash_node by_lun; /* in nexus->luns */
	struct it_nexus *nexus; /* constant */
	struct lu *lu; /* constant */
	struct lu_part *part; /* constant: the LU's part on the nexus's reactor */
	uint64_t lun; /* constant: the number, 0..16383 */

	struct list part_link; /* in part->itls */
	struct taskset tasks;
	uint32_t ua; /* set of UA_BIT() */
	uint16_t conflicts; /* OP_RSV_*: what another's reservation refuses us */
	bool removing; /* unmapped: no new command */
	struct list leaving; /* in nexus->leaving, while its commands end */
	bool fenced; /* its tasks were aborted and drain: new ones find the LU becoming ready */
	unsigned held_aborted; /* aborted commands that a store still holds */
	struct list drains; /* struct drain */
	struct drain tx_drain; /* the running transaction's */
	struct itl_stats stats;

	/* the home's: the master of what is replicated, and what to publish next */
	struct {
		struct list link; /* in lu->itls */
		uint32_t ua; /* to establish */
		uint16_t conflicts;
		uint8_t abort; /* enum verdict to abort all tasks with, 0: none */
		bool prevent; /* PREVENT ALLOW MEDIUM REMOVAL by this nexus */
	} home;

	/* control's */
	struct lu_tx tx; /* attach, detach */
	struct list nexus_link; /* in nexus->itls */
	struct msg msg;
	bool attaching, detaching, unmapped;
	struct unmap *unmap; /* who waits for its end, NULL if nobody */
};

enum nexus_state { NEXUS_STARTING, NEXUS_LIVE, NEXUS_DROPPING, NEXUS_DRAINED };

struct it_nexus {
	/* constant after the claim */
	uint64_t id; /* tgtadm's session id */
	struct reactor *reactor;
	const struct transport_ops *tops;
	char target_name[INITIATOR_NAME_MAX + 1];
	uint32_t tid;
	uint16_t rtpi; /* relative target port identifier */
	uint16_t tpgt; /* target portal group tag */
	char initiator[INITIATOR_NAME_MAX + 1];
	char initiator_alias[INITIATOR_NAME_MAX + 1];
	char peer[64]; /* the peer's address, for people */
	uint8_t isid[6];
	uint8_t transport_id[TRANSPORT_ID_MAX];
	uint16_t transport_id_len;
	bool was_known; /* this initiator port was logged in before: nexus loss, not power on */

	/* its reactor's */
	enum nexus_state state;
	struct hash luns; /* itl.by_lun */
	struct hash_node *lun_slots[64];
	unsigned nluns;
	struct list leaving; /* itl.leaving: unmapped ones with commands that have not ended */
	struct hash tags; /* scsi_cmd.by_tag */
	struct hash_node *tag_slots[NEXUS_TAG_SLOTS];
	unsigned ncmds; /* commands that are not finished */
	struct itl absent, wlun; /* for LUNs that are not there, and REPORT LUNS' own */
	struct msg gone_msg, drop_msg;
	struct later drained; /* tells the transport, from a turn of its own */
	bool close_at_start; /* control closed it before nexus_start() */
	void *session; /* the transport's */
	bool sends_blindly; /* the transport's: data-in goes to the kernel alone, nothing of ours reads it */
	/*
	 * The transport's: data-in of commands that have ended lies in a mapping and is not sent yet. What
	 * changes the mapping changes it, so ORDERED commands wait; nexus_sent() ends it.
	 */
	bool lending;
	bool ordered_waits; /* one does */

	/* control's */
	struct targets *ts; /* constant: to post to ts->control only */
	struct target *target;
	struct list target_link;
	struct list itls; /* itl.nexus_link */
	struct list waiters; /* claims that wait for its end */
	struct claim *claim; /* that made it, until it is answered */
	unsigned pending; /* attaches and detaches under way */
	bool drop_asked, gone;
	bool one_lun; /* it has only_lun alone */
	uint64_t only_lun;
};

/* What was lent has been sent: ORDERED commands that waited for it go on. */
void nexus_sent(struct it_nexus *n);

/* The itl of @lun, NULL if there is none (or it is being removed). */
struct itl *nexus_itl(struct it_nexus *n, uint64_t lun);

/* The itl that answers for the 8-byte @lun (SAM-6 4.7): mapped, well known or absent. */
struct itl *nexus_route(struct it_nexus *n, const uint8_t lun[8]);

/*
 * Put @n together on control: hash tables, the built-in itls, state NEXUS_STARTING. What
 * is constant is set already.
 */
void nexus_init(struct it_nexus *n, struct lu *absent, struct lu *wlun);
void itl_init(struct itl *itl, struct it_nexus *n, struct lu *lu, uint64_t lun);

/* A command or task management function begins and ends: what nexus_drop() waits for. */
void nexus_get(struct it_nexus *n);
void nexus_put(struct it_nexus *n);

/*
 * End the nexus, on its reactor: no further command is taken, all are aborted
 * without status, and when the last one has ended tops->nexus_drained() is
 * called, after which the nexus is no longer the transport's.
 */
void nexus_drop(struct it_nexus *n);

/* Call @d->fn once no aborted command of @itl is with a store; at once if none is. */
void itl_drain(struct itl *itl, struct drain *d, void (*fn)(struct drain *d));

/* An aborted command of @itl has come back from its store. */
void itl_let_go(struct itl *itl);

/* In target.c: the last command of an unmapped @itl has ended. On its reactor. */
void itl_removed(struct itl *itl);

/* Abort every task of @itl with @v (V_ABORTED_SILENTLY: no status is sent). */
void itl_abort_all(struct itl *itl, enum verdict v);

/* Unit attentions @set were established for @itl: its transport may tell at once. */
void nexus_attention(struct itl *itl, uint32_t set);
/* The same for LUN @lun, which the nexus has got or lost. */
void nexus_lun_changed(struct it_nexus *n, uint64_t lun, bool present);

/* Establish @ua on every I_T_L nexus of @n but @except. */
void nexus_establish_ua(struct it_nexus *n, const struct itl *except, enum ua ua);

#endif
