/* SPDX-License-Identifier: BSD-2-Clause */
/* What an embedded target is made of; for src/embed only. The contracts are in stgt/stgt.h. */
#ifndef STGT_EMBED_EMBED_H
#define STGT_EMBED_EMBED_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/control.h"
#include "sam/scsi_cmd.h"
#include "sam/shared.h"
#include "stgt/stgt.h"

/* A thread of the program waits here for one of ours. */
struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t there; /* waits on CLOCK_MONOTONIC */
	bool done;
};

void waiting_init(struct waiting *w);
/* The last thing that is done with @w by who calls it. */
void waiting_end(struct waiting *w);
/* Wait for waiting_end(), at most @timeout_ms, -1: for ever. False: it did not come. */
bool waiting_for(struct waiting *w, int timeout_ms);
/* It has come. */
void waiting_fini(struct waiting *w);

struct stgt {
	struct control control;
	struct reactor *self, *reactors[REACTORS_MAX];
	unsigned nreactors;
	struct msg msg; /* of the start, of the end */
	struct err err; /* of the start */
	struct waiting started, ended;
	unsigned servers; /* that have not stopped */
	bool ending; /* stgt_destroy() has been called */
	pthread_mutex_t lock; /* of sessions; nothing is locked under it */
	struct list sessions; /* stgt_session.link */
};

struct stgt_session {
	struct stgt *stgt;
	struct list link;
	_Atomic bool over; /* no command is taken any more */
	_Atomic uint64_t tags; /* given by the library so far */
	struct reactor *reactor; /* constant */
	struct it_nexus *nexus; /* its reactor's; NULL after the end */
	struct list leaving; /* its reactor's: who waits for the end */
	/* of the login */
	struct claim claim;
	struct msg msg;
	struct waiting started;
};

/* Tags that the library gives: nobody else has them, if programs stay below. */
#define OWN_TAGS (1ull << 63)

extern const struct transport_ops embed_ops;

/* Set @e (which may be NULL). Returns @code. */
int say(struct stgt_error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int say_err(struct stgt_error *e, const struct err *from);
/* 0, or -EDEADLK and @e on a thread of ours, which must not wait for another. */
int may_wait(const char *what, struct stgt_error *e);

/* LUN @number in its 8 bytes, unless @bytes are not all zero. -EINVAL: too large. */
int lun_field(uint64_t number, const uint8_t bytes[8], uint8_t out[8]);

/* In command.c, on the nexus's reactor: @n is gone. */
void session_over(struct it_nexus *n);

#endif
