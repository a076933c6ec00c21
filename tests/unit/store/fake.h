/* SPDX-License-Identifier: BSD-2-Clause */
/* A store of 1 MiB that tells what the core shows it, and fails or waits as told. */
#ifndef TEST_STORE_FAKE_H
#define TEST_STORE_FAKE_H

#include <pthread.h>

#include "stgt/store.h"

#define FAKE_SIZE (1u << 20)
#define FAKE_SEEN 512

struct fake_seen {
	enum store_verb verb;
	uint32_t flags;
	uint64_t offset, length;
};

/* One at a time; reset by fake_reset(). */
struct fake {
	struct store_limits limits; /* what the store says of itself */
	int open_err;
	int channel_err; /* of the second channel that opens */
	int fail[STORE_VERBS]; /* error of that verb */
	unsigned fail_after; /* requests that still go well */
	bool lost_early; /* its channel says so when it opens */
	bool hold; /* keep what comes */
	struct store_io *held[64];
	unsigned nheld;
	unsigned nseen, cancels;
	struct fake_seen seen[FAKE_SEEN];
	_Atomic unsigned opens, closes, channel_opens, channel_closes;
	struct reactor *on; /* who saw the last request */
	unsigned char *data;
};

extern struct fake fake;
extern const struct store_ops fake_any, fake_home;

void fake_reset(void);
/* Complete everything that is held. On the channel's thread. */
void fake_release(void);

#endif
