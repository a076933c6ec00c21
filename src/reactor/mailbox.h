/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mailbox: an intrusive list with many producers and one consumer. A
 * producer takes the tail by one exchange and then links its message, so
 * pushing never waits and never fails. Between the two steps the list is cut
 * in front of the message; the consumer treats that as the end.
 *
 * Nobody is missed: the consumer sets `sleeping` and then looks at the list
 * once more; a producer links and then takes `sleeping`. Both are sequentially
 * consistent read-modify-writes of one variable, so either the consumer's comes
 * later and sees the link, or the producer's does and sees the sleeper.
 */
#ifndef STGT_REACTOR_MAILBOX_H
#define STGT_REACTOR_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

#include "reactor/reactor.h"

struct mailbox {
	/* producers' line */
	_Alignas(64) struct msg *tail;
	_Atomic unsigned sleeping;
	/* consumer's line */
	_Alignas(64) struct msg *head;
	struct msg stub;
};

void mailbox_init(struct mailbox *b);
/* Any thread. True: the consumer sleeps, and this caller has to ring for it. */
bool mailbox_push(struct mailbox *b, struct msg *m);
/* Any thread, without a message: true if the caller has to ring. */
bool mailbox_wake(struct mailbox *b);

/* The rest is for the consumer. */

/* Take the oldest message, NULL if none is linked. */
struct msg *mailbox_pop(struct mailbox *b);
bool mailbox_empty(const struct mailbox *b);
/* The message that is the newest now (maybe the stub): a mark for bounding a round. */
const struct msg *mailbox_newest(const struct mailbox *b);
/* Announce sleep. False: there are messages after all, and sleep is off. */
bool mailbox_sleep(struct mailbox *b);
void mailbox_awake(struct mailbox *b);

#endif
