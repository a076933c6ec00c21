/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens to the medium of a unit while the unit lives: it is resized, taken
 * away and brought back, exchanged, and opened anew when its store is lost. One
 * such job at a time; a unit that has one counts as being updated.
 */
#ifndef STGT_CONTROL_MEDIUM_H
#define STGT_CONTROL_MEDIUM_H

#include "control/unit.h"

enum medium_deed {
	MEDIUM_RESIZE, /* to medium_wish.size bytes; 0: to what the store has by now */
	MEDIUM_OFFLINE, /* flush and close the store; commands end with NOT READY, OFFLINE */
	MEDIUM_ONLINE, /* open it again */
	MEDIUM_SWAP, /* another store with the same contents, without the initiators noticing */
	MEDIUM_REOPEN, /* close it and open it again; until then BECOMING READY */
	MEDIUM_RECOVER, /* the same of a store that is lost: nothing to flush, nothing to wait for before */
};

struct medium_wish {
	enum medium_deed deed;
	uint64_t size;
	bool other_size; /* SWAP: the new store may have another size */
	const char *bstype, *path, *bsopts, *bsoflags; /* SWAP; NULL: none; copied */
};

/*
 * Begin; done(@arg) with code 0 or why not comes later, unless this returns an error (-errno and @e).
 * @u is ready, a disk with a medium, and not being changed.
 */
int medium_change(struct unit *u, const struct medium_wish *wish,
		  void (*done)(void *arg, const struct err *e), void *arg, struct err *e);

/* enum store_event, or-ed, from @s, which was opened for @unit. */
void medium_news(void *unit, struct store *s, unsigned events);
/* What is to be done for what was told while @u was busy may begin. */
void medium_begin_pending(struct unit *u);

/* @u goes: nothing is begun any more. */
void medium_forget(struct unit *u);

/* A word for people: online, offline, lost, changing. */
const char *medium_word(const struct unit *u);

#endif
