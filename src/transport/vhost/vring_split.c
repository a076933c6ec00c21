/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues (virtio 1.2, 2.7). */
#include "base/bits.h"
#include "transport/vhost/vring.h"

struct avail {
	uint16_t flags, idx;
	uint16_t ring[]; /* then used_event */
};

struct used_elem {
	uint32_t id, len;
};

struct used {
	uint16_t flags, idx;
	struct used_elem ring[]; /* then avail_event */
};

#define acquire(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define relaxed(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define set(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)
#define release(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)

static uint16_t *used_event(const struct vring *r)
{
	return &((struct avail *)r->driver)->ring[r->size];
}

static uint16_t *avail_event(const struct vring *r)
{
	return (uint16_t *)&((struct used *)r->device)->ring[r->size];
}

void split_start(struct vring *r)
{
	const struct used *u = r->device;

	r->avail = r->avail_seen = (uint16_t)r->base;
	r->used = relaxed(u->idx);
}

/* ---- taking ------------------------------------------------------------------------- */

static struct split_desc load(const struct split_desc *d)
{
	const uint64_t *w = (const uint64_t *)d;
	union {
		uint64_t w[2];
		struct split_desc d;
	} copy = { { relaxed(w[0]), relaxed(w[1]) } };

	return copy.d;
}

/* The table is in c->table: private. */
static int walk_table(struct vring *r, struct vmem *m, struct vchain *c, unsigned n)
{
	const struct split_desc *d = &c->table.split[0];
	unsigned at;
	int rc;

	for (unsigned count = 0; count < n; count++) {
		if (unlikely(d->flags & DESC_INDIRECT))
			return vring_error(r, "an indirect table is in an indirect table");
		rc = chain_add(r, m, c, d->addr, d->len, d->flags & DESC_WRITE);
		if (unlikely(rc))
			return rc;
		if (!(d->flags & DESC_NEXT))
			return 1;
		at = d->next;
		if (unlikely(at >= n))
			return vring_error(r, "a descriptor names one beyond its table");
		d = &c->table.split[at];
	}
	return vring_error(r, "an indirect table has a loop");
}

static int walk(struct vring *r, struct vmem *m, struct vchain *c)
{
	const struct split_desc *table = r->desc;
	unsigned at = c->id;
	int rc;

	chain_begin(c);
	for (unsigned count = 0; count < r->size; count++) {
		struct split_desc d = load(&table[at]);

		if (d.flags & DESC_INDIRECT) {
			if (unlikely(d.flags & DESC_NEXT))
				return vring_error(r, "an indirect descriptor has a next one");
			rc = chain_table(r, m, c, d.addr, d.len);
			return likely(rc > 0) ? walk_table(r, m, c, (unsigned)rc) : rc;
		}
		rc = chain_add(r, m, c, d.addr, d.len, d.flags & DESC_WRITE);
		if (unlikely(rc))
			return rc;
		if (!(d.flags & DESC_NEXT))
			return 1;
		at = d.next;
		if (unlikely(at >= r->size))
			return vring_error(r, "a descriptor names one beyond the ring");
	}
	return vring_error(r, "a chain has a loop");
}

static int take_again(struct vring *r, struct vmem *m, struct vchain *c)
{
	c->id = c->entry = r->log.again[r->log.next_again++];
	c->slots = 1;
	return walk(r, m, c);
}

/* How many the driver has told of: 0 if there is none, -EPROTO. */
static int look(struct vring *r)
{
	const struct avail *a = r->driver;

	if (r->avail != r->avail_seen)
		return 1;
	r->avail_seen = acquire(a->idx);
	if (likely((uint16_t)(r->avail_seen - r->avail) <= r->size))
		return r->avail != r->avail_seen;
	r->avail_seen = r->avail;
	return vring_error(r, "the available index has jumped");
}

static void hint(const struct vring *r, struct vmem *m, unsigned ahead, bool deep)
{
	const struct avail *a = r->driver;
	const struct split_desc *table = r->desc;
	uint16_t head = relaxed(a->ring[(r->avail + ahead) & (r->size - 1)]);

	if (likely(head < r->size))
		chain_hint(m, relaxed(table[head].addr), relaxed(table[head].flags), deep);
}

/* Written by another processor: the next one's header and the table of the one after are fetched now. */
static void hints(const struct vring *r, struct vmem *m)
{
	uint16_t n = (uint16_t)(r->avail_seen - r->avail);

	if (n > 1)
		hint(r, m, 1, false);
	if (n)
		hint(r, m, 0, true);
}

int split_take(struct vring *r, struct vmem *m, struct vchain *c)
{
	const struct avail *a = r->driver;
	uint16_t head;
	int rc;

	if (unlikely(vlog_has_again(&r->log)))
		return take_again(r, m, c);
	rc = look(r);
	if (rc <= 0)
		return rc;
	head = relaxed(a->ring[r->avail & (r->size - 1)]);
	if (unlikely(head >= r->size))
		return vring_error(r, "the available ring names a descriptor beyond the ring");
	r->avail++;
	c->id = c->entry = head;
	c->slots = 1;
	if (r->log.region)
		vlog_take_split(&r->log, head);
	hints(r, m);
	return walk(r, m, c);
}

bool split_ready(const struct vring *r)
{
	const struct avail *a = r->driver;

	return r->avail != acquire(a->idx);
}

/* ---- giving back ---------------------------------------------------------------------- */

void split_stage(struct vring *r, uint16_t id, uint32_t len)
{
	struct used *u = r->device;
	struct used_elem *e = &u->ring[(uint16_t)(r->used + r->staged) & (r->size - 1)];

	set(e->id, id);
	set(e->len, len);
}

bool split_publish(struct vring *r)
{
	const struct avail *a = r->driver;
	struct used *u = r->device;
	uint16_t old = r->used;

	if (r->log.region)
		vlog_give_split(&r->log, r->staged_id, r->staged);
	r->used = (uint16_t)(r->used + r->staged);
	release(u->idx, r->used);
	if (r->log.region)
		vlog_given_split(&r->log, r->staged_id, r->staged, r->used);
	/* the driver writes what it wants, then reads the index: one of the two sees the other */
	vring_fence();
	if (r->event_idx)
		return vring_passes(relaxed(*used_event(r)), r->used, old);
	return !(relaxed(a->flags) & AVAIL_NO_INTERRUPT);
}

/* ---- the driver's kicks ------------------------------------------------------------------ */

void split_quiet(struct vring *r)
{
	struct used *u = r->device;

	/* with the event index it is enough not to move it */
	if (!r->event_idx)
		set(u->flags, USED_NO_NOTIFY);
}

bool split_listen(struct vring *r)
{
	struct used *u = r->device;

	if (r->event_idx)
		set(*avail_event(r), r->avail);
	else
		set(u->flags, 0);
	vring_fence();
	return split_ready(r);
}
