/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring that the kernel's target_core_user shares with a handler: mailbox, command ring, data area. Memory
 * only, no I/O. What comes from it is copied once and checked; nothing is believed twice.
 *
 * The kernel walks from the last entry that it has cleaned to cmd_tail, and takes every command's entry that it
 * passes for a completion of the command whose id is in the entry's header. So a completion always goes to
 * the oldest entry, whichever command it is of, and the command that had its entry there gets the other one's
 * place: the entries from cmd_tail on name the commands that are under way, whatever the order they end in. A mark in
 * the user's flags says which of them were taken, another which have an answer that cmd_tail has not passed yet: that
 * is what the next daemon goes by, if this one is killed (ring_recover()).
 */
#ifndef STGT_TRANSPORT_TCMU_RING_H
#define STGT_TRANSPORT_TCMU_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"

#define RING_CDB_MAX 260 /* SPC-5 4.2.3 */
#define RING_SENSE_MAX 96 /* what an entry has room for */

struct ring {
	uint8_t *map;
	size_t size; /* bytes at map */
	uint32_t cmdr_off, cmdr_size; /* of the command ring in map; constant, checked */
	uint16_t flags; /* TCMU_MAILBOX_FLAG_CAP_* */
	uint32_t next; /* offset in the command ring of the first entry that is not taken */
	uint32_t tail; /* what the mailbox's cmd_tail says: ours alone to write */
	bool news; /* the kernel has not been told of what is completed or passed over */
	struct list slots; /* ring_slot.link: taken and not completed, in the order of their entries */
	const char *broken; /* not NULL: it breaks the rules, and is not looked at or written any more */
};

/* The entry of a command that was taken. */
struct ring_slot {
	struct list link; /* in ring->slots */
	uint32_t at; /* the entry's offset in the command ring */
	uint16_t id; /* cmd_id */
	uint8_t mark; /* what the user's flags of the entry say */
};

enum ring_kind {
	RING_EMPTY, /* nothing new; or see ring->broken */
	RING_WAIT, /* the next one cannot be taken before all that are taken are completed */
	RING_COMMAND,
	RING_UNKNOWN, /* an opcode that is not known: take it, and complete it as such */
	RING_TMR, /* task management: ring_tmr_id(), then ring_skip() */
};

/* The first entry that is not taken: private copies. */
struct ring_entry {
	enum ring_kind kind;
	uint32_t at, len; /* where it is, bytes */
	uint16_t id;
	/* RING_COMMAND */
	uint32_t iov_cnt; /* segments */
	uint8_t cdb[RING_CDB_MAX];
	unsigned cdb_len; /* at least 6; 16 for what is not of variable length */
	/* RING_TMR */
	uint8_t tmr; /* TCMU_TMR_* */
	uint32_t ids;
};

/*
 * @map, @size bytes, is a TCMU device's memory. The ring begins where cmd_tail is. 0; -EPROTO and *@why: it is of
 * another version, or its mailbox makes no sense.
 */
int ring_open(struct ring *r, void *map, size_t size, const char **why);

/* True if there is an entry that is not taken. Cheap. */
bool ring_has_more(const struct ring *r);
/* What the next entry is; entries that only pad are passed over. */
enum ring_kind ring_peek(struct ring *r, struct ring_entry *e);

/*
 * Take the command @e: its data segments go to @v (@e->iov_cnt of them, neighbours joined): *@n and *@total bytes.
 * @once: it must not be done twice. False: the ring is broken.
 */
bool ring_take(struct ring *r, struct ring_entry *e, struct ring_slot *s, bool once,
	       struct iovec *v, unsigned *n, uint32_t *total);
/* The @i-th command of the task management entry @e. */
uint16_t ring_tmr_id(const struct ring *r, const struct ring_entry *e, uint32_t i);
/* Pass over the task management entry @e. */
void ring_skip(struct ring *r, const struct ring_entry *e);

/* How a command ended. */
struct ring_answer {
	uint8_t status;
	bool unknown; /* RING_UNKNOWN: nothing else is looked at */
	bool has_read_len; /* only read_len bytes of data-in are valid, and they are, whatever the status */
	uint32_t read_len;
	const uint8_t *sense;
	unsigned sense_len;
};
/* Complete the command of @s, which is free again. */
void ring_complete(struct ring *r, struct ring_slot *s, const struct ring_answer *a);

/* True, once, if there is something to tell the kernel: the caller does. */
bool ring_take_news(struct ring *r);

/*
 * After ring_open(): the commands that were taken by somebody who is gone. @answer fills in what each ends with;
 * @once is what it was taken with. Those that have an answer keep it; those that were not taken are left for
 * ring_peek(). Returns how many were answered;
 * -EUCLEAN: the entries do not say which (whoever had them died between two words); then nothing has been touched,
 * *@once says whether there is any with it, and the kernel has to reset the ring.
 */
int ring_recover(struct ring *r, void (*answer)(struct ring_answer *a, bool once), bool *once);

#endif
