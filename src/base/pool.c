/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool.h"

#include <stdlib.h>

#include "bits.h"

#define CHUNK_BYTES KIB(64)
#define CHUNK_ALIGN 64

struct pool_chunk {
	struct pool_chunk *next;
	char pad[CHUNK_ALIGN - sizeof(void *)];
	char objects[];
};

void pool_init(struct pool *p, size_t size, unsigned limit)
{
	size = round_up(max(size, sizeof(void *)), CHUNK_ALIGN);
	*p = (struct pool){
		.size = size,
		.limit = limit,
		.per_chunk =
			(unsigned)max((CHUNK_BYTES - sizeof(struct pool_chunk)) / size, (size_t)1),
	};
}

static void free_chunks(struct pool *p)
{
	struct pool_chunk *c, *next;

	for (c = p->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	p->chunks = NULL;
	p->free = NULL;
	p->total = 0;
}

void pool_fini(struct pool *p)
{
	free_chunks(p);
	p->live = 0;
}

void pool_trim(struct pool *p)
{
	if (!p->live)
		free_chunks(p);
}

static int grow(struct pool *p)
{
	size_t bytes = sizeof(struct pool_chunk) + p->size * p->per_chunk;
	struct pool_chunk *c = aligned_alloc(CHUNK_ALIGN, round_up(bytes, CHUNK_ALIGN));
	unsigned i = p->per_chunk; /* never 0 */

	if (!c)
		return -1;
	c->next = p->chunks;
	p->chunks = c;
	do {
		void **obj = (void **)(void *)(c->objects + --i * p->size);

		*obj = p->free;
		p->free = obj;
	} while (i);
	p->total += p->per_chunk;
	return 0;
}

void *pool_get(struct pool *p)
{
	void **obj;

	if (p->limit && p->live >= p->limit)
		return NULL;
	if (!p->free && grow(p) < 0)
		return NULL;
	obj = p->free;
	p->free = *obj;
	p->live++;
	return obj;
}

void pool_put(struct pool *p, void *obj)
{
	*(void **)obj = p->free;
	p->free = obj;
	p->live--;
}
