/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Look at units: what an LU's home and the other reactors know is theirs, so
 * they are asked by message, and answer with copies.
 */
#ifndef STGT_CONTROL_GATHER_H
#define STGT_CONTROL_GATHER_H

#include "control/unit.h"
#include "sam/it_nexus.h"
#include "transport/iscsi/iscsi.h"
#include "transport/vhost/vhost.h"

/* An I_T_L nexus's counters. */
struct sample_row {
	uint64_t sid;
	struct itl_stats stats;
};

/* What one reactor said of one unit. */
struct sample {
	struct msg msg; /* private */
	struct gather *gather;
	struct unit *unit; /* held until the gather is done */
	struct reactor *reactor;
	bool home; /* then view, ident and prevent are set */
	struct lu_view view; /* but for view.ident, which is NULL */
	struct lu_ident ident;
	bool prevent; /* somebody prevents medium removal */
	struct sample_row *rows; /* with statistics; NULL: none */
	unsigned nrows;
};

/* A session, and what its reactor said of its connection. */
struct session_sample {
	const struct transport_ops *tops; /* what it came by */
	struct iscsi_session_info info; /* of iSCSI; found false: it has gone meanwhile */
	struct vhost_session_info vhost; /* of vhost-user; the same */
	struct gather *gather;
	uint64_t sid;
	uint32_t tid;
	unsigned reactor;
	char initiator[INITIATOR_NAME_MAX + 1], alias[INITIATOR_NAME_MAX + 1], peer[64];
};

enum gather_what {
	GATHER_UNITS = 1, /* ask the homes */
	GATHER_STATS = 2, /* with GATHER_UNITS: every reactor, with the I_T_L nexuses there */
	GATHER_SESSIONS = 4,
};

struct gather {
	struct control *control;
	void *arg; /* the asker's */
	void (*done)(struct gather *g); /* private */
	unsigned what; /* enum gather_what */
	unsigned left, n, nsessions;
	struct session_sample *sessions; /* in the order of targets and logins */
	struct sample s[]; /* in the order of targets and LUNs */
};

/*
 * Ask about the units and sessions of target @tid (0: of all; @lun -1: all
 * LUNs). @done on control, perhaps before this returns; the gather is freed
 * after it. -ENOMEM: done is not called.
 */
int gather_run(struct control *c, uint32_t tid, int64_t lun, unsigned what,
	       void (*done)(struct gather *g), void *arg);

#endif
