/* SPDX-License-Identifier: BSD-2-Clause */
/* Those who use the simulated daemon, and what is known about the disks from what they were told. */
#ifndef TESTS_SIM_ACTOR_H
#define TESTS_SIM_ACTOR_H

#include "model.h"
#include "world.h"

#define ACTORS 4
#define DEEDS_MAX 24 /* of one actor under way */

/* Something that was false until `began`, is true from `ended` on, and unknown between. */
struct window {
	uint64_t began, ended; /* moments; ended 0: it goes on */
};

/* True if nothing of @w happened between @from and now. */
static inline bool window_clear(const struct window *w, uint64_t from)
{
	return !w->began || (w->ended && w->ended < from);
}

/* Persistent reservations of one disk, as they must be. reserve.c */
struct reservation {
	bool known; /* else a command was lost, and nobody has looked since */
	bool changing; /* a PERSISTENT RESERVE OUT is under way */
	struct window change;
	uint64_t key[ACTORS]; /* 0: not registered */
	int holder; /* -1: no reservation; for types of all registrants anyone registered */
	uint8_t type;
};

struct disk_state_known {
	struct model *model;
	struct reservation pr;
	bool wce;
	struct window wce_change;
	bool wce_known;
	unsigned resetting; /* resets under way, which bring the default back */
	struct window resize;
	uint64_t sectors; /* capacity; what it was told to be */
	bool resized; /* ever */
	bool removed; /* ever */
};
extern struct disk_state_known known[WORLD_DISKS];

/* What an actor must be told on a disk. */
struct attention {
	uint64_t began,
		due; /* moments of the cause: its begin, and when it was answered; 0: nothing is due */
	uint64_t seen; /* the last unit attention came at this moment */
	const char *why;
};

struct deed {
	struct list link; /* actor.deeds, or actor.lost */
	struct client_cmd cmd;
	struct actor *actor;
	unsigned session; /* actor.session when it was sent */
	struct disk *disk;
	const struct deed_kind *kind;
	uint64_t first, n; /* sectors */
	bool stable; /* FUA */
	bool doomed; /* a disk was removed or the like meanwhile: any end is right */
	struct model_write *write;
	uint64_t began;
	uint8_t *compare; /* COMPARE AND WRITE: in cmd.out's first half */
	/* PERSISTENT RESERVE OUT */
	uint8_t action, type;
	uint64_t key, service_key;
	bool wce; /* MODE SELECT */
};

struct actor {
	unsigned index;
	char name[64];
	struct client *client; /* the session, or its login */
	struct client *older; /* being reinstated by it */
	bool in; /* full feature phase */
	uint64_t in_since; /* moment */
	unsigned session; /* counts logins */
	unsigned busy; /* deeds under way */
	struct list deeds, lost; /* lost: writes whose session ended before an answer */
	struct attention attention[WORLD_DISKS];
	bool refused_by_reservation; /* the last answer said so */
	bool managing; /* a task management function is under way */
};
extern struct actor actors[ACTORS];
extern unsigned nactors;
extern bool media_fail; /* at some time of this run */

/* deeds.c: send something on @d. */
void deed_send(struct actor *a, struct disk *d);
/* Reads all of @d, for the end. */
void deed_read_all(struct actor *a, struct disk *d);
void deed_ready(struct actor *a, struct disk *d);
/* Everything of a session is over that was lost with it. */
void deeds_bury(struct actor *a);
void deed_free(struct deed *deed);
uint64_t deeds_oldest(void);
extern uint64_t deeds_sent, deeds_good;

/* attention.c */
void attention_all(struct disk *d, const struct actor *but, uint64_t began, const char *why);
void attention_one(struct actor *a, struct disk *d, uint64_t began, const char *why);
void attention_judge(struct deed *deed);

/* reserve.c */
void pr_make(struct deed *deed);
void pr_answered(struct deed *deed);
void pr_status_answered(struct deed *deed);
/* @deed, which moves data, was answered. */
void pr_judge_rw(struct deed *deed, bool writes);
void pr_clear(struct disk *d);

#endif
