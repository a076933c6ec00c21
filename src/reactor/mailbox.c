/* SPDX-License-Identifier: BSD-2-Clause */
#include "reactor/mailbox.h"

static struct msg *next_of(const struct msg *m)
{
	return __atomic_load_n(&m->next, __ATOMIC_ACQUIRE);
}

static void link_last(struct mailbox *b, struct msg *m)
{
	struct msg *prev;

	__atomic_store_n(&m->next, NULL, __ATOMIC_RELAXED);
	prev = __atomic_exchange_n(&b->tail, m, __ATOMIC_ACQ_REL);
	__atomic_store_n(&prev->next, m, __ATOMIC_RELEASE);
}

void mailbox_init(struct mailbox *b)
{
	b->stub.next = NULL;
	b->stub.fn = NULL;
	b->head = b->tail = &b->stub;
	atomic_init(&b->sleeping, 0);
}

bool mailbox_wake(struct mailbox *b)
{
	return atomic_exchange_explicit(&b->sleeping, 0, memory_order_seq_cst);
}

bool mailbox_push(struct mailbox *b, struct msg *m)
{
	link_last(b, m);
	return mailbox_wake(b);
}

struct msg *mailbox_pop(struct mailbox *b)
{
	struct msg *m = b->head, *next = next_of(m);

	if (m == &b->stub) {
		if (!next)
			return NULL;
		b->head = m = next;
		next = next_of(m);
	}
	if (!next) {
		/* The last one leaves only when something stands behind it. */
		if (__atomic_load_n(&b->tail, __ATOMIC_ACQUIRE) != m)
			return NULL;
		link_last(b, &b->stub);
		next = next_of(m);
		if (!next)
			return NULL;
	}
	b->head = next;
	return m;
}

bool mailbox_empty(const struct mailbox *b)
{
	return b->head == &b->stub && !next_of(b->head);
}

const struct msg *mailbox_newest(const struct mailbox *b)
{
	return __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE);
}

bool mailbox_sleep(struct mailbox *b)
{
	atomic_exchange_explicit(&b->sleeping, 1, memory_order_seq_cst);
	if (mailbox_empty(b))
		return true;
	mailbox_awake(b);
	return false;
}

void mailbox_awake(struct mailbox *b)
{
	atomic_exchange_explicit(&b->sleeping, 0, memory_order_seq_cst);
}
