/* SPDX-License-Identifier: BSD-2-Clause */
/* Passthrough: a device of the host as it is, behind a store that carries commands (STORE_RAW). */
#ifndef STGT_CMDSET_PASSTHROUGH_H
#define STGT_CMDSET_PASSTHROUGH_H

#include "cmdset/cmdset.h"
#include "stgt/store.h"

#define PASS_INQUIRY_LEN 36 /* of standard INQUIRY data: what every device has (SPC-5 6.6.2) */
#define PASS_SERIAL_LEN 64 /* of the unit serial number page, if it has one (SPC-5 7.7.19) */

extern const struct device_server passthrough_server;

/* Asking the device behind @store who it is: before its LU is made. */
struct pass_probe {
	/* in */
	struct store *store; /* open; not closed before done */
	struct reactor *home; /* that has a channel of it */
	void (*done)(struct pass_probe *p); /* on the reactor that asked; last use */
	void *arg;
	/* out */
	struct err err; /* code 0: it answered */
	uint8_t inquiry[PASS_INQUIRY_LEN];
	uint8_t serial[PASS_SERIAL_LEN]; /* zeroes: it does not say */
	/* private */
	struct reactor *self;
	struct msg msg;
	struct store_io io;
	struct store_raw raw;
	struct iovec iov;
	uint8_t sense[32];
	unsigned tries;
	bool asks_serial;
};

/* done follows, never inside this call. Bounded by the time that the store gives a command. */
void pass_probe(struct pass_probe *p);

/* True if two answers are of one device, as far as it tells. */
bool pass_same(const struct pass_probe *a, const struct pass_probe *b);

/*
 * Make an LU of the device that @c->store leads to and @inquiry (PASS_INQUIRY_LEN bytes) is
 * of; c->block_size means nothing. The ident takes vendor, product and revision
 * from it. NULL and @e if the store carries no commands, or without memory.
 */
struct lu *passthrough_create(const struct lu_config *c, const uint8_t *inquiry, struct err *e);

int passthrough_index(void);

#endif
