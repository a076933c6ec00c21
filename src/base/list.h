/* SPDX-License-Identifier: BSD-2-Clause */
/* Intrusive doubly linked list; the head is a node of its own ring. */
#ifndef STGT_BASE_LIST_H
#define STGT_BASE_LIST_H

#include <stdbool.h>

#include "bits.h"

struct list {
	struct list *next, *prev;
};

/* clang-format off */
#define LIST_INIT(name) { &(name), &(name) }
/* clang-format on */

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

/* Put @n first. */
static inline void list_push(struct list *head, struct list *n)
{
	list_insert(n, head, head->next);
}

/* Put @n last. */
static inline void list_add(struct list *head, struct list *n)
{
	list_insert(n, head->prev, head);
}

/* Take @n out; it is left empty, so taking it out twice does no harm. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* Take the first node out, NULL if there is none. */
static inline struct list *list_pop(struct list *head)
{
	struct list *n = head->next;

	if (n == head)
		return NULL;
	list_del(n);
	return n;
}

/* Move all nodes of @from to the end of @to. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

static inline bool list_linked(const struct list *n)
{
	return n->next != n;
}

#define list_entry(node, type, member) container_of(node, type, member)

#define list_first(head, type, member) \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))

/* The node of @pos, which may also be what list_entry() makes of a head: no object of that type. */
#define list_node(pos, member) \
	((struct list *)((char *)(pos) + offsetof(__typeof__(*(pos)), member)))

#define list_for_each(pos, head, member) \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); \
	     list_node(pos, member) != (head); \
	     pos = list_entry(list_node(pos, member)->next, __typeof__(*pos), member))

/* As list_for_each(), and @pos may be taken out or freed within. */
/* clang-format off */
#define list_for_each_safe(pos, tmp, head, member) \
	for (pos = list_entry((head)->next, __typeof__(*pos), member), \
	     tmp = list_entry(list_node(pos, member)->next, __typeof__(*pos), member); \
	     list_node(pos, member) != (head); \
	     pos = tmp, tmp = list_entry(list_node(tmp, member)->next, __typeof__(*pos), member))
/* clang-format on */

#endif
