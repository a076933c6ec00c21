/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store registry and life: closed, opening, open, draining, closing,
 * failed. Every transition is asynchronous; done comes on the reactor that
 * asked. What device servers use is in stgt/store.h.
 */
#ifndef STGT_STORE_STORE_H
#define STGT_STORE_STORE_H

#include "base/err.h"
#include "reactor/reactor.h"
#include "stgt/store.h"

/* Every store by name; NULL-terminated. */
extern const struct store_ops *const store_list[];
const struct store_ops *store_find(const char *name);

struct store_open {
	/* in; strings are copied before store_open() returns */
	struct store_spec spec;
	struct reactor *const *reactors; /* the data reactors, valid for the store's life */
	unsigned nreactors;
	struct reactor *home; /* one of them */
	const struct store_ops *ops; /* NULL: the one called spec.type. For tests and layers */
	/* out */
	struct store *store; /* NULL on error */
	struct err err;
	void (*done)(struct store_open *o);
	struct msg msg; /* private */
};

/* Open a store; @o stays valid until o->done, on the calling reactor's thread. */
void store_open(struct reactor *self, struct store_open *o);

/*
 * Close @s, which nobody uses any more: waits for what is in flight, closes
 * the channels, then the store, frees it and calls @done(@arg) on @self.
 */
void store_close(struct reactor *self, struct store *s, void (*done)(void *arg), void *arg);

/* The state as a word for people. Any thread. */
const char *store_state(const struct store *s);

/* Let writes and flushes through again after a failed flush. On any reactor. */
void store_clear_error(struct store *s);
bool store_has_error(const struct store *s);

/* Requests in flight, over all reactors. Any thread; a snapshot. */
unsigned store_inflight(const struct store *s);

#endif
