/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A unit: an LU with its store and what the administrator said of them, at
 * one LUN of one target (the way tgt sees a logical unit). Made and taken
 * down in steps that take time; a target cannot go while it has units.
 */
#ifndef STGT_CONTROL_UNIT_H
#define STGT_CONTROL_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "sam/lu.h"
#include "store/registry.h"
#include "store/store.h"

#define MODE_EDITS 4
#define MODE_BYTES_MAX 64

/* A mode page that the administrator set. */
struct mode_edit {
	uint8_t page, subpage;
	unsigned n;
	uint8_t bytes[MODE_BYTES_MAX]; /* after the page length */
};

/* What is set of an LU, at creation or later. */
struct unit_change {
	struct lu_ident ident; /* complete: what is there, changed */
	bool ident_changed;
	struct {
		bool lbppbe, lowest_aligned, optimal_granularity, optimal_length, rotation_rate;
	} given; /* set by the administrator, whatever the store says */
	struct mode_edit edit[MODE_EDITS];
	unsigned nedits;
	bool has_d_sense, d_sense;
	bool has_readonly, readonly;
	bool has_online, online;
};

struct unit_spec {
	uint32_t tid;
	uint64_t lun;
	const char *bstype, *path, *bsopts, *bsoflags; /* NULL: none */
	uint32_t block_size;
	bool controller;
	bool passthrough; /* a device of the host as it is (tgt's type pt) */
	bool readonly, thin;
	json_t *params; /* LU parameters by tgt's names, strings; borrowed during unit_create(); NULL: none */
};

struct unit {
	struct list link; /* in control.units */
	struct control *control;
	uint32_t tid;
	uint64_t lun;
	struct lu *lu; /* NULL while the store opens */
	struct store *store; /* NULL: a controller; without a medium: a null store */
	bool medium; /* there is a store to speak of */
	struct lu_ident *ident; /* what reactors see; lu->view.ident */
	char *bstype, *path, *bsopts, *bsoflags; /* as given; NULL: none */
	uint32_t block_size;
	bool thin;
	struct pass_probe *probe; /* not NULL: a device is passed through */
	bool online, readonly; /* as the administrator set */
	bool ready; /* mapped: creation is over */
	bool removing;
	bool updating; /* a transaction runs */
	unsigned users; /* gathers that look at it, and a change of its medium */

	/* medium.c's */
	enum { UNIT_ONLINE, UNIT_OFFLINE, UNIT_LOST } medium_state;
	bool failed; /* a flush of the store that was taken away had failed */
	unsigned events; /* what the store told, to be dealt with */
	struct store *coming; /* opened, to be the store */
	unsigned coming_events; /* what that told */
	struct timer retry; /* armed: a lost store is opened again then */
	uint64_t retry_ns;

	/* private to unit.c */
	struct store_open open;
	struct unit_change change;
	void (*created)(struct unit *u, enum fail fail, const struct err *e, void *arg);
	void *created_arg;
	void (*removed)(void *arg);
	void *removed_arg;
	struct msg flush_msg;
	struct store_io *flush_io;
};

/*
 * Make a unit; @done later, or never if the return value is not 0 (then @fail and @e say why).
 * done's @e is NULL on success; else the unit is gone when done returns.
 */
int unit_create(struct control *c, const struct unit_spec *spec,
		void (*done)(struct unit *u, enum fail fail, const struct err *e, void *arg),
		void *arg, enum fail *fail, struct err *e);
/*
 * Take it down: unmap (commands are aborted and drained), flush, close, free;
 * then @done(@arg). It is not being removed already.
 */
void unit_remove(struct unit *u, void (*done)(void *arg), void *arg);
/* Apply @ch, whose ident replaces the unit's; then @done(@arg). Not while updating or removing. -ENOMEM. */
int unit_update(struct unit *u, const struct unit_change *ch, void (*done)(void *arg), void *arg);

/* NULL if there is none. Units under construction count. */
struct unit *unit_find(struct control *c, uint32_t tid, uint64_t lun);

/* True, and @e: the kernel's TCMU serves it to somebody. attach.c */
bool attach_in_use(struct control *c, const struct unit *u, struct err *e);

void unit_ref(struct unit *u);
void unit_unref(struct unit *u);

/* ---- params.c: parameters by tgt's names --------------------------------------- */

/* tgt's identity of LUN @lun of target @tid. */
void ident_default(struct lu_ident *id, uint32_t tid, uint64_t lun, bool controller);
/* What the store's limits say of the medium, unless @given says otherwise. @block: bytes. */
void ident_geometry(struct lu_ident *id, const struct unit_change *given,
		    const struct store_limits *l, uint32_t block);
/* Apply @name=@text to @ch. -EINVAL, -EOPNOTSUPP and @e. */
int change_set(struct unit_change *ch, const char *name, const char *text, struct err *e);
/* Every member of the object @params (NULL: none); 0, or -errno and @e. */
int change_set_all(struct unit_change *ch, json_t *params, struct err *e);
/* What @ch makes of @m. */
void change_mode(const struct unit_change *ch, struct lu_mode *m);

#endif
