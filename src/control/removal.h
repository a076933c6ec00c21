/* SPDX-License-Identifier: BSD-2-Clause */
/* Making a target, and taking one down with all that it has. */
#ifndef STGT_CONTROL_REMOVAL_H
#define STGT_CONTROL_REMOVAL_H

#include "control/unit.h"

/*
 * A target with its controller at LUN 0; @tid 0: the lowest free one. @done
 * (perhaps before this returns) when the controller is mapped, or with an
 * error: then the target is still there, without it. NULL, @fail and @e: done is not called.
 */
struct target *target_make(struct control *c, uint32_t tid, const char *name,
			   void (*done)(struct unit *u, enum fail fail, const struct err *e,
					void *arg),
			   void *arg, enum fail *fail, struct err *e);

/* -EBUSY and @e if target @tid is being taken down: nothing of it may be changed any more. */
int target_going(struct control *c, uint32_t tid, struct err *e);

/* -EBUSY and @e if target_remove() must wait: sessions (unless @force), or changes under way. */
int target_busy(struct control *c, struct target *t, bool force, struct err *e);

/*
 * Take down a target that is not busy: no login, sessions are closed, units
 * removed, then @done(@arg, 0, NULL). If the sessions do not end in
 * TARGET_REMOVE_NS, -EBUSY and a text, and the target stays. -ENOMEM: done is not called.
 */
#define TARGET_REMOVE_NS (10 * NSEC_PER_SEC)
int target_remove(struct control *c, struct target *t, bool force,
		  void (*done)(void *arg, int err, const struct err *e), void *arg);

/* For targets.nexus_left. */
void removal_nexus_left(struct targets *ts, struct target *t);

#endif
