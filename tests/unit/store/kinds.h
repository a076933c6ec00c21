/* SPDX-License-Identifier: BSD-2-Clause */
/* What the one suite runs over: each store and layer is a row. */
#ifndef TEST_STORE_KINDS_H
#define TEST_STORE_KINDS_H

#include "rig.h"

#define KIND_SIZE MIB(4)
#define KIND_BLOCK 512u

enum kind_flags {
	KEEPS = 1, /* what is written is read back */
	STAYS = 2, /* and is there after the store was closed and opened again */
	HOLES = 4, /* tells data from holes */
	AWAY = 8, /* for stores of the home reactor: which is another than the test's */
	READS = 16, /* is read-only by itself */
	TALL = 32, /* has as many layers as there may be */
	FORGETS = 64, /* loses at closing what was not flushed */
};

/* Verbs that the kind must have of its own. */
#define HAS(verb) (1u << STORE_##verb)
#define N_BASIC (HAS(READ) | HAS(WRITE))

struct medium {
	/* Make it at @path; false, and *@why not. */
	bool (*make)(struct rig *g, char path[256], const char **why);
	/* NULL: nothing to do. */
	void (*remove)(void);
	/* The power fails: only what was stable is there when it is opened again at @path. NULL: no way. */
	void (*cut)(char path[256]);
};

struct kind {
	const char *name;
	const char *type, *opts, *oflags;
	const struct medium *medium; /* NULL: none */
	unsigned flags;
	uint32_t native;
};

/* NULL: there is no such row. */
const struct kind *kind_find(const char *name);
/* Whether @k can run on this host with @engine; else a sentence. */
bool kind_works(const struct kind *k, const struct engine *engine, const char **why);
/* How to open it; its medium is made. Fails the test if that cannot be done. */
struct store_spec kind_spec(const struct kind *k, struct rig *g);
/* Where the medium of the last kind_spec() is. */
extern char kind_path[256];
void kind_remove(const struct kind *k);

#endif
