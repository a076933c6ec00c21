/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/layer/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define NONE UINT32_MAX

struct cache_slot {
	uint64_t block;
	uint32_t chain; /* the next in its bucket, or of those unused */
	uint32_t older, newer;
};

bool cache_open(struct cache *c, uint64_t memory, uint32_t unit)
{
	uint32_t buckets = 1;

	c->unit = unit;
	c->slots = c->free = (uint32_t)(memory / unit);
	while (buckets < c->slots)
		buckets *= 2;
	c->mask = buckets - 1;
	c->bucket = malloc(buckets * sizeof(*c->bucket));
	c->slot = calloc(c->slots, sizeof(*c->slot));
	c->data = aligned_alloc(4096, round_up((uint64_t)c->slots * unit, 4096));
	if (!c->bucket || !c->slot || !c->data) {
		cache_close(c);
		return false;
	}
	memset(c->bucket, 0xff, buckets * sizeof(*c->bucket));
	for (uint32_t i = 0; i < c->slots; i++)
		c->slot[i].chain = i + 1 < c->slots ? i + 1 : NONE;
	c->unused = 0;
	c->oldest = c->newest = NONE;
	return true;
}

void cache_close(struct cache *c)
{
	free(c->bucket);
	free(c->slot);
	free(c->data);
	memset(c, 0, sizeof(*c));
}

static unsigned char *slot_data(struct cache *c, uint32_t i)
{
	return c->data + (uint64_t)i * c->unit;
}

static uint32_t *bucket_of(struct cache *c, uint64_t block)
{
	return &c->bucket[block * 0x9e3779b97f4a7c15u >> 32 & c->mask];
}

static uint32_t find(struct cache *c, uint64_t block)
{
	uint32_t i = *bucket_of(c, block);

	while (i != NONE && c->slot[i].block != block)
		i = c->slot[i].chain;
	return i;
}

static uint32_t take(struct cache *c, uint64_t block)
{
	uint32_t *b = bucket_of(c, block), i = c->unused;
	struct cache_slot *s = &c->slot[i];

	c->unused = s->chain;
	c->free--;
	*s = (struct cache_slot){ .block = block, .chain = *b, .older = c->newest, .newer = NONE };
	*b = i;
	if (c->newest == NONE)
		c->oldest = i;
	else
		c->slot[c->newest].newer = i;
	c->newest = i;
	return i;
}

static void give(struct cache *c, uint32_t i)
{
	struct cache_slot *s = &c->slot[i];
	uint32_t *from = bucket_of(c, s->block);

	while (*from != i)
		from = &c->slot[*from].chain;
	*from = s->chain;
	*(s->older == NONE ? &c->oldest : &c->slot[s->older].newer) = s->newer;
	*(s->newer == NONE ? &c->newest : &c->slot[s->newer].older) = s->older;
	s->chain = c->unused;
	c->unused = i;
	c->free++;
}

/* A place in a list of segments. */
struct cursor {
	const struct iovec *v;
	size_t at;
};

/* Move @len bytes between @p (or nowhere) and the segments, and go on. */
static void move(struct cursor *c, unsigned char *p, size_t len, bool to_segments)
{
	while (len) {
		size_t n = min(len, c->v->iov_len - c->at);
		unsigned char *seg = (unsigned char *)c->v->iov_base + c->at;

		if (p && n)
			memcpy(to_segments ? seg : p, to_segments ? p : seg, n);
		p = p ? p + n : NULL;
		len -= n;
		c->at += n;
		if (c->at == c->v->iov_len)
			*c = (struct cursor){ c->v + 1, 0 };
	}
}

void cache_write(struct cache *c, uint64_t offset, uint64_t length, const struct iovec *iov)
{
	struct cursor at = { iov, 0 };

	for (uint64_t b = offset / c->unit; b < (offset + length) / c->unit; b++) {
		uint32_t i = find(c, b);

		if (i == NONE)
			i = take(c, b);
		move(&at, slot_data(c, i), c->unit, false);
	}
}

void cache_read(struct cache *c, uint64_t offset, uint64_t length, const struct iovec *iov)
{
	struct cursor at = { iov, 0 };

	for (uint64_t b = offset / c->unit; b < (offset + length) / c->unit; b++) {
		uint32_t i = find(c, b);

		move(&at, i == NONE ? NULL : slot_data(c, i), c->unit, true);
	}
}

uint64_t cache_has(struct cache *c, uint64_t offset, uint64_t length)
{
	uint64_t n = 0;

	if (c->free == c->slots)
		return 0;
	for (uint64_t b = offset / c->unit; b < (offset + length) / c->unit; b++)
		n += find(c, b) != NONE;
	return n * c->unit;
}

/* Bytes from @offset to the first block that is kept, at most @most. */
static uint64_t way_to_next(const struct cache *c, uint64_t offset, uint64_t most)
{
	uint64_t from = offset / c->unit, nearest = UINT64_MAX;

	for (uint32_t i = c->oldest; i != NONE; i = c->slot[i].newer)
		if (c->slot[i].block >= from)
			nearest = min(nearest, c->slot[i].block);
	return nearest == UINT64_MAX ? most : min(most, (nearest - from) * c->unit);
}

uint64_t cache_run(struct cache *c, uint64_t offset, uint64_t most, bool kept)
{
	uint64_t len = 0;

	/* a long way through few blocks: look at these instead */
	if (!kept && most / c->unit > c->slots - c->free)
		return way_to_next(c, offset, most);
	while (len < most && (find(c, (offset + len) / c->unit) != NONE) == kept)
		len += c->unit;
	return min(len, most);
}

unsigned cache_oldest(struct cache *c, uint64_t *offset, struct iovec *iov, unsigned room)
{
	unsigned n = 0;
	uint32_t i = c->oldest;
	uint64_t block;

	if (i == NONE)
		return 0;
	block = c->slot[i].block;
	*offset = block * c->unit;
	for (; n < room && i != NONE; i = find(c, ++block))
		iov[n++] = (struct iovec){ slot_data(c, i), c->unit };
	return n;
}

void cache_drop(struct cache *c, uint64_t offset, uint64_t length)
{
	for (uint64_t b = offset / c->unit; b < (offset + length) / c->unit; b++) {
		uint32_t i = find(c, b);

		if (i != NONE)
			give(c, i);
	}
}
