/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A logical unit: a device server, a store, an identity, shared state owned by
 * its home reactor, and a part per reactor.
 *
 * What reactors read of the shared state is replicated: the home keeps the
 * master (lu->view, itl->home.*), an LU transaction publishes it to every
 * part. A part is read and written on its own reactor only.
 */
#ifndef STGT_SAM_LU_H
#define STGT_SAM_LU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "reactor/reactor.h"
#include "sam/op.h"
#include "sam/pr.h"
#include "sam/verdict.h"

struct itl;
struct latency;
struct lu;
struct scsi_cmd;
struct store;

/* Peripheral device types (SPC-5 table 148). */
enum pdt {
	PDT_DISK = 0x00,
	PDT_CONTROLLER = 0x0c,
	PDT_WLUN = 0x1e,
	PDT_UNKNOWN = 0x1f,
	PDT_PASSED = 0xff, /* none of the standard's: the device behind has its own */
};

/* What an initiator may know an LU by. Immutable: an update makes a new one. */
struct lu_ident {
	char vendor[8 + 1], product[16 + 1], revision[4 + 1];
	char scsi_id[24 + 1]; /* T10 vendor ID designator and tgt's SCSI ID */
	char serial[36 + 1];
	uint8_t naa[16]; /* NAA 6h designator */
	bool removable, thin;
	uint8_t lbppbe; /* LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT */
	uint16_t lowest_aligned; /* LOWEST ALIGNED LOGICAL BLOCK ADDRESS */
	uint16_t optimal_granularity; /* OPTIMAL TRANSFER LENGTH GRANULARITY, blocks */
	uint32_t optimal_length; /* OPTIMAL TRANSFER LENGTH, blocks */
	uint16_t rotation_rate; /* SBC-4 table 249: 0 not reported, 1 non-rotating */
};

/* The changeable mode parameters, shared by all nexuses (one set per LU). */
struct lu_mode {
	bool wce; /* caching page: volatile write cache in use */
	bool dra, rcd; /* caching page */
	bool d_sense; /* control page: descriptor format sense */
	bool swp; /* control page: software write protect */
};

enum lu_state { LU_READY, LU_NOT_READY };

/* Whether requests go to the store. */
enum store_gate {
	GATE_OPEN,
	GATE_PAUSED, /* they wait: the store is being changed */
	GATE_SHUT, /* they end with lu_view.why: there is nothing behind it */
};

/* The replicated state. */
struct lu_view {
	enum lu_state state;
	enum verdict why; /* NOT_READY: what commands get */
	const struct lu_ident *ident;
	uint64_t blocks; /* capacity in logical blocks */
	struct lu_mode mode, default_mode;
	bool readonly; /* by configuration or store */
	bool guarded; /* a command holds the write guard (guard.h) */
	enum store_gate gate;
	struct store *store; /* NULL if it has none */
	uint32_t mem_align; /* alignment of data memory that the store asks for, bytes; 1: any */
};

/* Counters of an LU on one reactor: single writer, read relaxed by any thread. */
struct lu_stats {
	uint64_t read_cmds, read_bytes, write_cmds, write_bytes, errors;
};

struct lu_part {
	struct lu *lu;
	struct reactor *reactor;
	struct lu_view view;
	struct list itls; /* itl.part_link: attached nexuses of this reactor */
	struct lu_stats stats;
	struct latency *latency; /* see latency.h */
	/* one message each way suffices: transactions run one at a time */
	struct msg apply_msg, ack_msg;
	unsigned undrained; /* what the current transaction still waits for: itls, writes */
	unsigned writes; /* write requests with the store */
	bool guard_waits; /* the current transaction waits until writes is 0 */
	struct list parked; /* scsi_cmd.park_link: what waits for the guard, or while the store is changed */
};

/* The command set of an LU: tables and hooks. Supplied by cmdset, called by sam. */
struct device_server {
	const char *name; /* "disk", "controller", ... as tgtadm prints types */
	enum pdt pdt;
	const struct op_index *ops;
	/* Mode parameters after a logical unit reset: defaults (SPC-5 6.9). On the home. May be NULL. */
	void (*reset)(struct lu *lu);
	/*
	 * The logical unit reset condition, for the device behind: on the home, once @part's tasks
	 * are fenced. lu_part_drained(@part) follows, in a later turn. May be NULL.
	 */
	void (*reset_device)(struct lu_part *part);
	/* @cmd, which a store holds, was aborted: hasten its end. On its reactor. May be NULL. */
	void (*cancel)(struct scsi_cmd *cmd);
	/* Free lu->device; nothing runs any more. May be NULL. */
	void (*fini)(struct lu *lu);
};

struct lu {
	char name[64];
	uint64_t id; /* daemon-wide, never reused */
	const struct device_server *ds;
	void *device; /* the device server's own; constant while the LU lives */
	uint32_t block_size; /* bytes */
	unsigned block_shift;
	struct reactor *const *reactors;
	unsigned nreactors;
	struct reactor *home;

	/* the home's */
	struct lu_view view; /* the master */
	struct pr_state pr;
	struct itl *spc2_holder; /* RESERVE(6), SPC-2 7.21 */
	struct list itls; /* itl.home.link */
	struct list tx_queue;
	struct list guard_queue; /* transactions that wait for the write guard */
	struct lu_tx *tx; /* the one that runs */
	bool resetting; /* it is a logical unit reset */
	unsigned unacked;

	struct lu_part part[REACTORS_MAX]; /* by reactor id */
	struct latency *latency; /* the parts' in one piece */

	/* control's */
	unsigned maps; /* lun_map entries that name it */
};

/*
 * Make an LU in state @state with view filled from @view. @ident belongs to
 * the LU from now on. Runs on control before anybody knows the LU. NULL
 * without memory.
 */
struct lu *lu_create(const char *name, const struct device_server *ds, struct store *store,
		     uint32_t block_size, struct reactor *const *reactors, unsigned nreactors,
		     struct reactor *home, const struct lu_view *view);
/* Free it: detached from every nexus, no transaction queued. The store is the caller's to close. */
void lu_destroy(struct lu *lu);

/* Sum of the parts' counters. Any thread. */
void lu_get_stats(struct lu *lu, struct lu_stats *st);

#endif
