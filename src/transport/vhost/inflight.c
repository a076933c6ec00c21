/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/vhost/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define VERSION 1
#define LINE 64

size_t vlog_size(unsigned size, bool packed)
{
	size_t bytes = packed ? sizeof(struct packed_region) + size * sizeof(struct packed_entry)
			      : sizeof(struct split_region) + size * sizeof(struct split_entry);

	return round_up(bytes, LINE);
}

/* Another process reads these, after this one was killed: in the order of the program. */
#define put(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)
#define look(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* ---- what is to be submitted anew ----------------------------------------------------- */

struct place {
	uint64_t counter;
	uint16_t entry;
};

static int by_counter(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->counter < y->counter ? -1 : x->counter > y->counter;
}

static void set_again(struct vlog *l, struct place *places, unsigned n)
{
	qsort(places, n, sizeof(*places), by_counter);
	for (unsigned i = 0; i < n; i++)
		l->again[i] = places[i].entry;
	l->nagain = n;
	l->next_again = 0;
	l->counter = n ? places[n - 1].counter + 1 : 1;
}

unsigned vlog_slots(const struct vlog *l, bool packed)
{
	unsigned slots = 0;

	if (!packed)
		return l->nagain;
	for (unsigned i = 0; i < l->nagain; i++)
		slots += l->num[l->again[i]];
	return slots;
}

static int begin(struct vlog *l, void *region, unsigned size, uint16_t version, uint16_t desc_num,
		 const char **why)
{
	if (version == VERSION && desc_num != size) {
		*why = "the in-flight memory was made for a ring of another size";
		return -EINVAL;
	}
	if (version > VERSION) {
		*why = "the in-flight memory has a version that is not known";
		return -EINVAL;
	}
	l->region = region;
	l->size = (uint16_t)size;
	return 0;
}

/* ---- split ------------------------------------------------------------------------------ */

/* The last batch was published, and its entries perhaps not cleared. */
static void end_last_batch(struct split_region *g, unsigned size, uint16_t used)
{
	uint16_t n = (uint16_t)(used - look(g->used_idx));
	uint16_t at = look(g->last_batch_head);

	for (; n && n <= size && at < size; n--) {
		put(g->desc[at].inflight, 0);
		at = look(g->desc[at].next);
	}
	put(g->used_idx, used);
}

int vlog_start_split(struct vlog *l, void *region, unsigned size, uint16_t used, const char **why)
{
	struct place places[VRING_SIZE_MAX];
	struct split_region *g = region;
	uint16_t version = look(g->version);
	unsigned n = 0;
	int rc = begin(l, region, size, version, look(g->desc_num), why);

	if (rc)
		return rc;
	if (!version) {
		put(g->desc_num, (uint16_t)size);
		put(g->used_idx, used);
		put(g->version, VERSION);
	}
	end_last_batch(g, size, used);
	l->last_batch_head = look(g->last_batch_head);
	for (unsigned i = 0; i < size; i++)
		if (look(g->desc[i].inflight))
			places[n++] = (struct place){ look(g->desc[i].counter), (uint16_t)i };
	set_again(l, places, n);
	return 0;
}

void vlog_take_split(struct vlog *l, uint16_t head)
{
	struct split_region *g = l->region;

	g->desc[head].counter = l->counter++;
	put(g->desc[head].inflight, 1);
}

void vlog_give_split(struct vlog *l, const uint16_t *heads, unsigned n)
{
	struct split_region *g = l->region;

	for (unsigned i = 0; i < n; i++) {
		g->desc[heads[i]].next = l->last_batch_head;
		l->last_batch_head = heads[i];
		put(g->last_batch_head, heads[i]);
	}
}

void vlog_given_split(struct vlog *l, const uint16_t *heads, unsigned n, uint16_t used)
{
	struct split_region *g = l->region;

	for (unsigned i = 0; i < n; i++)
		put(g->desc[heads[i]].inflight, 0);
	put(g->used_idx, used);
}

/* ---- packed ------------------------------------------------------------------------------ */

static void init_packed(struct packed_region *g, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		g->desc[i].inflight = 0;
		g->desc[i].counter = 0;
		g->desc[i].next = (uint16_t)(i + 1);
	}
	g->free_head = g->old_free_head = 0;
	g->used_idx = g->old_used_idx = 0;
	g->used_wrap_counter = g->old_used_wrap_counter = 1;
	g->desc_num = (uint16_t)size;
	put(g->version, VERSION);
}

/* As the driver leaves a descriptor that it makes available in the round of @wrap. */
static bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static void set_state(struct packed_region *g, uint16_t free_head, uint16_t used, uint8_t wrap)
{
	put(g->free_head, free_head);
	put(g->used_idx, used);
	put(g->used_wrap_counter, wrap);
	put(g->old_free_head, free_head);
	put(g->old_used_idx, used);
	put(g->old_used_wrap_counter, wrap);
}

/* The last batch counts if its first entry was published, else it is taken back. */
static void settle_last_batch(struct packed_region *g, unsigned size, const struct packed_desc *desc)
{
	uint16_t old = look(g->old_used_idx);
	uint8_t wrap = look(g->old_used_wrap_counter);
	bool moved = look(g->used_idx) != old || look(g->used_wrap_counter) != wrap;

	if (moved && old < size && !is_available(look(desc[old].flags), wrap))
		set_state(g, look(g->free_head), look(g->used_idx), look(g->used_wrap_counter));
	else
		set_state(g, look(g->old_free_head), old, wrap);
}

/* Entries that no chain has are free; false: the chains are not ones. Private truth is made of it. */
static bool load_chain(struct vlog *l, struct packed_region *g, uint16_t head, bool *taken)
{
	unsigned num = look(g->desc[head].num), at = head;

	if (!num || num > l->size)
		return false;
	for (unsigned i = 0; i < num; i++) {
		const struct packed_entry *e;

		if (at >= l->size || taken[at])
			return false;
		taken[at] = true;
		e = &g->desc[at];
		l->desc[at] = (struct packed_desc){ look(e->addr), look(e->len), look(e->id),
						    look(e->flags) };
		l->last[head] = (uint16_t)at;
		l->next[at] = look(e->next);
		at = l->next[at];
	}
	l->num[head] = (uint16_t)num;
	return true;
}

static void load_free(struct vlog *l, struct packed_region *g, const bool *taken)
{
	uint16_t *at = &l->free_head;

	for (unsigned i = 0; i < l->size; i++) {
		if (taken[i])
			continue;
		put(g->desc[i].inflight, 0);
		*at = (uint16_t)i;
		at = &l->next[i];
	}
	*at = l->size;
	for (unsigned i = 0; i < l->size; i++)
		put(g->desc[i].next, l->next[i]);
	put(g->free_head, l->free_head);
	put(g->old_free_head, l->free_head);
}

/* What is on the free list is not in flight, whatever it says. */
static void clear_free(struct packed_region *g, unsigned size)
{
	uint16_t at = look(g->free_head);

	for (unsigned n = 0; n < size && at < size; n++) {
		put(g->desc[at].inflight, 0);
		at = look(g->desc[at].next);
	}
}

/* Nothing was ever logged: counters begin at 1. */
static bool is_fresh(const struct packed_region *g, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (look(g->desc[i].counter))
			return false;
	return true;
}

int vlog_start_packed(struct vlog *l, void *region, unsigned size, const struct packed_desc *desc,
		      uint16_t *used, bool *wrap, const char **why)
{
	struct place places[VRING_SIZE_MAX];
	bool taken[VRING_SIZE_MAX] = { false };
	struct packed_region *g = region;
	uint16_t version = look(g->version);
	unsigned n = 0;
	int rc = begin(l, region, size, version, look(g->desc_num), why);

	if (rc)
		return rc;
	if (!version)
		init_packed(g, size);
	settle_last_batch(g, size, desc);
	clear_free(g, size);
	for (unsigned i = 0; i < size; i++) {
		if (!look(g->desc[i].inflight))
			continue;
		if (!load_chain(l, g, (uint16_t)i, taken)) {
			*why = "the in-flight memory contradicts itself";
			return -EINVAL;
		}
		places[n++] = (struct place){ look(g->desc[i].counter), (uint16_t)i };
	}
	/* A log that was never used knows nothing; where the ring is then is for the front end to say. */
	if (n || !is_fresh(g, size)) {
		*used = look(g->used_idx);
		*wrap = look(g->used_wrap_counter) & 1;
		if (*used >= size) {
			*why = "the in-flight memory has a used index beyond the ring";
			return -EINVAL;
		}
	}
	load_free(l, g, taken);
	set_again(l, places, n);
	set_state(g, l->free_head, *used, *wrap);
	return 0;
}

uint16_t vlog_begin_packed(struct vlog *l)
{
	struct packed_region *g = l->region;
	uint16_t head = l->free_head;

	if (head >= l->size)
		return 0xffff;
	l->num[head] = 0;
	g->desc[head].num = 0;
	g->desc[head].counter = l->counter++;
	put(g->desc[head].inflight, 1);
	return head;
}

bool vlog_add_packed(struct vlog *l, uint16_t entry, const struct packed_desc *d)
{
	struct packed_region *g = l->region;
	uint16_t at = l->free_head;

	if (at >= l->size)
		return false;
	l->last[entry] = at;
	l->num[entry]++;
	l->free_head = l->next[at];
	g->desc[at].addr = d->addr;
	g->desc[at].len = d->len;
	g->desc[at].flags = d->flags;
	g->desc[at].id = d->id;
	g->desc[entry].last = at;
	put(g->desc[entry].num, l->num[entry]);
	put(g->free_head, l->free_head);
	if (!(d->flags & DESC_NEXT))
		put(g->old_free_head, l->free_head);
	return true;
}

void vlog_give_packed(struct vlog *l, const uint16_t *entries, unsigned n, uint16_t used, bool wrap)
{
	struct packed_region *g = l->region;

	for (unsigned i = 0; i < n; i++) {
		uint16_t last = l->last[entries[i]];

		l->next[last] = l->free_head;
		put(g->desc[last].next, l->free_head);
		l->free_head = entries[i];
		put(g->free_head, l->free_head);
	}
	put(g->used_wrap_counter, wrap);
	put(g->used_idx, used);
}

void vlog_given_packed(struct vlog *l, const uint16_t *entries, unsigned n, uint16_t used, bool wrap)
{
	struct packed_region *g = l->region;

	for (unsigned i = 0; i < n; i++)
		put(g->desc[entries[i]].inflight, 0);
	put(g->old_free_head, l->free_head);
	put(g->old_used_wrap_counter, wrap);
	put(g->old_used_idx, used);
}

void vlog_forget(struct vlog *l, bool packed, uint16_t entry)
{
	struct packed_region *g = l->region;
	uint16_t last;

	if (!packed) {
		put(((struct split_region *)l->region)->desc[entry].inflight, 0);
		return;
	}
	last = l->last[entry];
	put(g->desc[entry].inflight, 0);
	l->next[last] = l->free_head;
	put(g->desc[last].next, l->free_head);
	l->free_head = entry;
	put(g->free_head, entry);
	put(g->old_free_head, entry);
}
