/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin side: what the daemon has (targets, units, portals, accounts) and
 * the verbs that change it. Everything runs on the control reactor. What
 * takes time is prepared first and applied when it is complete; a failure in
 * the middle undoes what was prepared.
 */
#ifndef STGT_CONTROL_CONTROL_H
#define STGT_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "control/verb.h"
#include "reactor/reactor.h"
#include "reactor/trace.h"
#include "sam/target.h"

struct iscsi_server;
struct tcmu_server;
struct trace_dump;
struct vhost_server;

struct control {
	struct reactor *self;
	struct reactor *const *reactors; /* data reactors */
	unsigned nreactors;
	struct targets ts;
	struct iscsi_server *iscsi;
	struct vhost_server *vhost;
	struct tcmu_server *tcmu;
	struct list units; /* struct unit, see unit.h */
	uint64_t next_unit;
	struct list removals; /* targets that are being deleted */
	struct timer clear_timer; /* control_clear() looks around */
	uint64_t cut_at; /* when it stops being polite, reactor_now() scale */
	void (*cleared)(struct control *c);
	uint64_t started; /* reactor_now() scale */
	struct {
		bool on, exists; /* reactors record; there are rings, perhaps stopped */
		unsigned size; /* records of each ring */
		struct trace_filter filter;
		struct trace_dump *dump; /* the last one, until it has been read; NULL: none */
		uint64_t dumps;
	} trace;
	/* set by main: begin the end of the daemon */
	void (*shutdown)(struct control *c);
};

/* Every method of the control socket; ctx is a struct control. */
extern const struct verb control_verbs[];

/* 0 or -errno; @c is zeroed, with self, reactors, nreactors and shutdown set. */
int control_init(struct control *c, struct err *e);

/*
 * Delete every target, first asking sessions to end, after @grace_ns cutting
 * them; @done(@c) when nothing is left.
 */
void control_clear(struct control *c, uint64_t grace_ns, void (*done)(struct control *c));
/* During control_clear(): there is nothing to wait for but sessions whose stores do not return. */
bool control_stuck(struct control *c);
/* Nothing is left of targets and portals. */
void control_fini(struct control *c);

/* ---- for verbs --------------------------------------------------------------- */

static inline struct control *call_control(const struct call *c)
{
	return c->ctx;
}

/* Rows of parameters that name a target: by number or by name. */
/* clang-format off */
#define PARAM_TARGET_OR_NAME \
	{ "tid", P_INT, false, 1, 65535, "the target's number" }, \
	{ "target", P_STRING, false, 1, INITIATOR_NAME_MAX, "or its name" }
/* clang-format on */

/* The target that the parameters tid or target name; NULL: the call has been failed. */
struct target *call_target(struct call *c);

/* targets.c */
void verb_target_create(struct call *c);
void verb_target_delete(struct call *c);
void verb_target_list(struct call *c);
void verb_target_update(struct call *c);
void verb_target_params(struct call *c);
void verb_acl_add(struct call *c);
void verb_acl_remove(struct call *c);
/* accounts.c */
void verb_account_create(struct call *c);
void verb_account_delete(struct call *c);
void verb_account_list(struct call *c);
void verb_account_bind(struct call *c);
void verb_account_unbind(struct call *c);
/* luns.c */
void verb_lun_create(struct call *c);
void verb_lun_delete(struct call *c);
void verb_lun_update(struct call *c);
void verb_lun_resize(struct call *c);
void verb_lun_swap(struct call *c);
void verb_lun_offline(struct call *c);
void verb_lun_online(struct call *c);
void verb_lun_reopen(struct call *c);
/* sessions.c */
void verb_session_list(struct call *c);
void verb_session_close(struct call *c);
void verb_connection_close(struct call *c);
void verb_portal_add(struct call *c);
void verb_portal_remove(struct call *c);
void verb_portal_list(struct call *c);
/* ports.c */
void verb_vhost_add(struct call *c);
void verb_vhost_remove(struct call *c);
void verb_vhost_list(struct call *c);
/* attach.c */
void verb_tcmu_attach(struct call *c);
void verb_tcmu_detach(struct call *c);
void verb_tcmu_list(struct call *c);
void attach_look_again(struct control *c); /* a LUN is there, or free: TCMU devices may wait for it */
/* export.c */
void verb_export(struct call *c);
/* trace.c */
void verb_trace_start(struct call *c);
void verb_trace_stop(struct call *c);
void verb_trace_clear(struct call *c);
void verb_trace_status(struct call *c);
void verb_trace_dump(struct call *c);
void trace_forget(struct control *c); /* the last dump */
#define TRACE_DUMP_MAX 65536 /* records */
/* stat.c */
void verb_stat(struct call *c);
void verb_lun_stat(struct call *c);
/* system.c */
void verb_system_show(struct call *c);
void verb_system_update(struct call *c);
void verb_system_shutdown(struct call *c);
void verb_help(struct call *c);

#endif
