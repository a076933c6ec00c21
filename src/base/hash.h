/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intrusive hash table of fixed size with chaining. The key is 64 bits; what
 * hashes alike is told apart by the caller. Sizes are powers of two.
 */
#ifndef STGT_BASE_HASH_H
#define STGT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "bits.h"

struct hash_node {
	struct hash_node *next, **pprev;
	uint64_t key;
};

struct hash {
	struct hash_node **slot;
	unsigned shift; /* 64 - log2(number of slots) */
};

/* Use the @n zeroed slots (a power of two) at @slots, which the caller owns. */
static inline void hash_init(struct hash *h, struct hash_node **slots, size_t n)
{
	h->slot = slots;
	h->shift = 64 - log2_exact(n);
}

static inline struct hash_node **hash_slot(const struct hash *h, uint64_t key)
{
	if (h->shift == 64)
		return &h->slot[0];
	return &h->slot[key * 0x9e3779b97f4a7c15u >> h->shift];
}

static inline void hash_add(struct hash *h, struct hash_node *n, uint64_t key)
{
	struct hash_node **s = hash_slot(h, key);

	n->key = key;
	n->next = *s;
	n->pprev = s;
	if (*s)
		(*s)->pprev = &n->next;
	*s = n;
}

static inline void hash_del(struct hash_node *n)
{
	*n->pprev = n->next;
	if (n->next)
		n->next->pprev = n->pprev;
	n->pprev = NULL;
}

static inline struct hash_node *hash_find(const struct hash *h, uint64_t key)
{
	struct hash_node *n = *hash_slot(h, key);

	while (n && n->key != key)
		n = n->next;
	return n;
}

/* The next node after @n with the same key, NULL if there is none. */
static inline struct hash_node *hash_next(const struct hash_node *n)
{
	uint64_t key = n->key;

	do
		n = n->next;
	while (n && n->key != key);
	return (struct hash_node *)n;
}

#endif
