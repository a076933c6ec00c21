/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file whose being there switches a layer on. It is looked for, off the
 * reactors and as requests come, no more than every TRIGGER_NS.
 */
#ifndef STGT_STORE_LAYER_TRIGGER_H
#define STGT_STORE_LAYER_TRIGGER_H

#include "stgt/store.h"

#define TRIGGER_NS 10000000ull

struct trigger {
	char *path; /* NULL: always on */
	_Atomic bool on;
	_Atomic uint64_t next; /* when to look again, store_now() */
};

/* A channel's. */
struct trigger_watch {
	struct trigger *t;
	struct store_channel *ch;
	struct store_job job;
	bool busy;
};

/* By the option trigger of @s, which is being opened. 0 or -errno. */
int trigger_open(struct trigger *t, struct store *s, struct err *e);
void trigger_close(struct trigger *t);
void trigger_watch_init(struct trigger_watch *w, struct trigger *t, struct store_channel *ch);
/* Is it on, as far as is known? Looks again if that was long ago. */
bool trigger_on(struct trigger_watch *w);

#endif
