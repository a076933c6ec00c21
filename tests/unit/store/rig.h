/* SPDX-License-Identifier: BSD-2-Clause */
/* A store on a reactor that the test steps by hand, and if need be a home on a thread. */
#ifndef TEST_STORE_RIG_H
#define TEST_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"
#include "../temp.h"

struct rig {
	const struct engine *engine;
	struct reactor *r; /* id 0; the test's thread */
	struct reactor *home; /* id 1; a thread of its own; NULL unless asked for */
	bool sim; /* the engine is the simulated host's */
	bool only_home; /* open stores on the home alone */
	struct store *s;
	struct err err; /* of the last open */
	char dir[TEMP_PATH_MAX]; /* a temporary folder, removed at the end */
};

/* One request and its outcome. */
struct req {
	struct store_io io;
	struct iovec v[1];
	unsigned done; /* times */
	bool in_submit, done_in_submit;
	struct reactor *done_on;
};

/* The engine called by argv[1]; ends the program with a TAP skip if it cannot run here. */
const struct engine *rig_engine(int argc, char **argv);

void rig_init(struct rig *g, const struct engine *engine, bool home);
void rig_fini(struct rig *g);
/* Only its folder. */
void rig_remove(struct rig *g);

/* Open; returns g->err.code. @ops NULL: by spec->type. */
int rig_open(struct rig *g, const struct store_spec *spec, const struct store_ops *ops);
void rig_close(struct rig *g);
/* As store_resize(); returns g->err.code. */
int rig_size(struct rig *g, uint64_t size);
/* Open and close again; the error's text must contain @text. */
void rig_refused(struct rig *g, const struct store_spec *spec, int code, const char *text);

/* Be the test's reactor's thread. */
void rig_enter(struct rig *g);
/* Turns until *@flag is not zero. */
void rig_until(struct rig *g, const unsigned *flag);
void rig_submit(struct rig *g, struct req *q);
void rig_wait(struct rig *g, struct req *q);
/* Set up @q with one segment. */
void rig_fill(struct req *q, enum store_verb verb, uint32_t flags, uint64_t off, uint64_t len,
	      void *data);
/* Do it all; returns the error. */
int rig_do(struct rig *g, struct req *q, enum store_verb verb, uint32_t flags, uint64_t off,
	   uint64_t len, void *data);

/* Memory aligned for any store; freed with free(). */
void *rig_memory(size_t size);
/* Make the file g->dir/@name of @size bytes; the name stays valid until the next call. */
const char *rig_file(struct rig *g, const char *name, uint64_t size);

/* A fixed-seed random number generator. */
uint64_t rig_random(uint64_t *seed);

#endif
