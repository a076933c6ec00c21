/* SPDX-License-Identifier: BSD-2-Clause */
/* What opening, closing and the time between share; one reactor, who asked, calls all of it. */
#ifndef STGT_STORE_LIFE_H
#define STGT_STORE_LIFE_H

#include "store/core.h"

#define BLOCK_MIN 512 /* bytes */

void store_set_state(struct store *s, enum store_state state);

/* A store for @o->part over @o->below, closed. NULL without memory. */
struct store *store_new(const struct store_ops *ops, const struct store_open *o);
void store_free(struct store *s);
/* *@to becomes a copy of @from, NULL of NULL. False without memory. */
bool store_copy_string(char **to, const char *from);

/* Call @fn with the message of every channel of @s, on the channel's reactor. */
void store_for_channels(struct store *s, void (*fn)(struct msg *m));
/* There: answer, on the reactor that asked. */
void channel_answer(struct store_channel *ch, void (*fn)(struct msg *m));
/* Back: the store, and whether all have answered. */
struct store *channel_answered(struct msg *m, bool *last);

/* Close every channel, then the store. */
void store_close_channels(struct store *s);
/* The store is closed again after an opening that failed. */
void store_open_failed(struct store *s);
/* @s is open: from now on what happens is told, and what has happened already. */
void store_news_begin(struct store *s);

#endif
