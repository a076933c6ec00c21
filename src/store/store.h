/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of stores: closed, opening, open, draining, closing,
 * failed. Every transition is asynchronous; done comes on the reactor that
 * asked. What device servers use is in stgt/store.h.
 */
#ifndef STGT_STORE_STORE_H
#define STGT_STORE_STORE_H

#include "base/err.h"
#include "reactor/reactor.h"
#include "stgt/store.h"

struct store_open {
	/* in; strings are copied before store_open() returns */
	struct store_spec spec; /* type: a store, or layers over one: "limit:iops=100+file" */
	struct reactor *const *reactors; /* the data reactors, valid for the store's life */
	unsigned nreactors;
	struct reactor *home; /* one of them */
	const struct store_ops *ops; /* NULL: the one called spec.type. For tests */
	/* Called on the opening reactor while @s, the store, is open, with enum store_event, or-ed; may be NULL. */
	void (*news)(void *arg, struct store *s, unsigned events);
	void *news_arg;
	/* out */
	struct store *store; /* NULL on error */
	struct err err;
	void (*done)(struct store_open *o);
	/* private */
	struct reactor *self;
	struct msg msg;
	struct offload job;
	char *own[4]; /* copies of the spec's strings */
	char *rest; /* of the type: what is below the first word, NULL: nothing */
	struct store_spec part; /* spec of the first word */
	const struct store_ops *found;
	struct store *below;
	struct store *failed; /* could not be opened; what is below may still look at it */
	struct store_open *above; /* the opening of the layer over it */
	unsigned depth;
};

/* Open a store; @o stays valid until o->done, on the calling reactor's thread. */
void store_open(struct reactor *self, struct store_open *o);

/*
 * Close @s, which nobody uses any more: waits for what is in flight, closes
 * the channels, then the store, frees it and calls @done(@arg) on @self.
 */
void store_close(struct reactor *self, struct store *s, void (*done)(void *arg), void *arg);

/*
 * Look how large @s is now, or make it so large first, while requests go on.
 * store_size() tells when done runs, on @self; not while another one runs.
 */
struct store_resize {
	uint64_t size; /* in: bytes, or 0: only look */
	struct err err; /* out: code 0, or why not */
	void (*done)(struct store_resize *r);
	/* private */
	struct store *store;
	struct offload job;
};
void store_resize(struct reactor *self, struct store *s, struct store_resize *r);

/* The state as a word for people. Any thread. */
const char *store_state(const struct store *s);

/* Let writes and flushes through again after a failed flush. On any reactor. */
void store_clear_error(struct store *s);
bool store_has_error(const struct store *s);
/* @s takes the place of a store whose flush failed. */
void store_inherit_error(struct store *s);

/* Requests in flight, over all reactors. Any thread; a snapshot. */
unsigned store_inflight(const struct store *s);

/* @put every number that @s, and each store below it, tells of itself (ops->describe). On the opener's reactor. */
void store_describe(struct store *s, void (*put)(void *arg, const char *key, uint64_t value),
		    void *arg);

#endif
