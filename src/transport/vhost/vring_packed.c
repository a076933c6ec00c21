/* SPDX-License-Identifier: BSD-2-Clause */
/* Packed virtqueues (virtio 1.2, 2.8). */
#include "base/bits.h"
#include "transport/vhost/vring.h"

#define PACKED_BASE 0x80008000u /* at the start, both wrap counters 1 */

#define acquire(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define relaxed(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define set(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)
#define release(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELEASE)

void packed_start(struct vring *r)
{
	uint32_t base = r->has_base ? r->base : PACKED_BASE;

	/* front ends that know of the available half only: nothing is in flight then */
	if (base && !(base >> 16))
		base |= base << 16;
	r->avail = base & 0x7fff;
	r->avail_wrap = base >> 15 & 1;
	r->used = base >> 16 & 0x7fff;
	r->used_wrap = base >> 31;
}

static void move_on(const struct vring *r, uint16_t *at, bool *wrap, unsigned by)
{
	unsigned now = *at + by;

	if (now >= r->size) {
		now -= r->size;
		*wrap = !*wrap;
	}
	*at = (uint16_t)now;
}

static bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

bool packed_ready(const struct vring *r)
{
	const struct packed_desc *ring = r->desc;

	return is_available(acquire(ring[r->avail].flags), r->avail_wrap);
}

/* ---- taking ------------------------------------------------------------------------- */

static struct packed_desc load(const struct packed_desc *d)
{
	const uint64_t *w = (const uint64_t *)d;
	union {
		uint64_t w[2];
		struct packed_desc d;
	} copy = { { relaxed(w[0]), relaxed(w[1]) } };

	return copy.d;
}

static int walk_table(struct vring *r, struct vmem *m, struct vchain *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct packed_desc *d = &c->table.packed[i];
		int rc;

		if (unlikely(d->flags & DESC_INDIRECT))
			return vring_error(r, "an indirect table is in an indirect table");
		rc = chain_add(r, m, c, d->addr, d->len, d->flags & DESC_WRITE);
		if (unlikely(rc))
			return rc;
	}
	return 0;
}

/* One descriptor of the ring, already private. 0 or -EPROTO. */
static int add(struct vring *r, struct vmem *m, struct vchain *c, const struct packed_desc *d)
{
	int n;

	if (!(d->flags & DESC_INDIRECT))
		return chain_add(r, m, c, d->addr, d->len, d->flags & DESC_WRITE);
	if (unlikely(d->flags & DESC_NEXT))
		return vring_error(r, "an indirect descriptor has a next one");
	n = chain_table(r, m, c, d->addr, d->len);
	return likely(n > 0) ? walk_table(r, m, c, (unsigned)n) : n;
}

/* What a former daemon fetched; the ring's places may have been used again since. */
static int take_again(struct vring *r, struct vmem *m, struct vchain *c)
{
	struct vlog *l = &r->log;
	unsigned at;
	int rc;

	c->entry = l->again[l->next_again++];
	c->slots = l->num[c->entry];
	c->id = l->desc[l->last[c->entry]].id;
	chain_begin(c);
	at = c->entry;
	for (unsigned i = 0; i < c->slots; i++) {
		rc = add(r, m, c, &l->desc[at]);
		if (unlikely(rc))
			return rc;
		at = l->next[at];
	}
	return 1;
}

static int begin_log(struct vring *r, struct vchain *c)
{
	if (!r->log.region)
		return 0;
	c->entry = vlog_begin_packed(&r->log);
	return c->entry == VRING_NONE ? vring_error(r, "more is in flight than the ring has") : 0;
}

/* As split rings have it; chains of one descriptor, a table, are guessed to go on. */
static void hints(const struct vring *r, struct vmem *m)
{
	const struct packed_desc *ring = r->desc;
	uint16_t at = r->avail;
	bool wrap = r->avail_wrap;

	for (unsigned ahead = 0; ahead < 2; ahead++) {
		uint16_t flags = relaxed(ring[at].flags);

		if (!is_available(flags, wrap))
			return;
		chain_hint(m, relaxed(ring[at].addr), flags, !ahead);
		move_on(r, &at, &wrap, 1);
	}
}

int packed_take(struct vring *r, struct vmem *m, struct vchain *c)
{
	const struct packed_desc *ring = r->desc;
	unsigned at = r->avail;
	int rc;

	if (unlikely(vlog_has_again(&r->log)))
		return take_again(r, m, c);
	if (!packed_ready(r))
		return 0;
	rc = begin_log(r, c);
	chain_begin(c);
	for (unsigned n = 1; !rc && n <= r->size; n++) {
		struct packed_desc d = load(&ring[at]);

		if (r->log.region && unlikely(!vlog_add_packed(&r->log, c->entry, &d)))
			return vring_error(r, "more is in flight than the ring has");
		rc = add(r, m, c, &d);
		if (!rc && !(d.flags & DESC_NEXT)) {
			c->id = d.id;
			c->slots = (uint16_t)n;
			move_on(r, &r->avail, &r->avail_wrap, n);
			hints(r, m);
			return 1;
		}
		at = at + 1 < r->size ? at + 1 : 0;
	}
	return rc ? rc : vring_error(r, "a chain is longer than the ring");
}

/* ---- giving back ---------------------------------------------------------------------- */

void packed_stage(struct vring *r, const struct vhandle *h, uint32_t len)
{
	struct packed_desc *ring = r->desc;
	uint16_t at = r->used, flags;
	bool wrap = r->used_wrap;

	move_on(r, &at, &wrap, r->staged_slots);
	flags = (uint16_t)((wrap ? DESC_AVAIL | DESC_USED : 0) | (len ? DESC_WRITE : 0));
	set(ring[at].id, h->id);
	set(ring[at].len, len);
	if (r->staged) {
		release(ring[at].flags, flags);
		return;
	}
	/* the driver looks at this one first: it holds the batch back */
	r->first_at = at;
	r->first_flags = flags;
}

/* The driver wants to be called for what goes from before r->used, @n places, to it. */
static bool wants_call(const struct vring *r, unsigned n)
{
	const struct packed_event *e = r->driver;
	uint16_t flags = relaxed(e->flags), off_wrap, event;

	if (flags == EVENT_DISABLE)
		return false;
	if (flags != EVENT_DESC || !r->event_idx)
		return true;
	off_wrap = acquire(e->off_wrap);
	event = off_wrap & (EVENT_WRAP - 1);
	if (!!(off_wrap & EVENT_WRAP) != r->used_wrap)
		event = (uint16_t)(event - r->size);
	return vring_passes(event, r->used, (uint16_t)(r->used - n));
}

bool packed_publish(struct vring *r)
{
	struct packed_desc *ring = r->desc;
	unsigned n = r->staged_slots;

	move_on(r, &r->used, &r->used_wrap, n);
	if (r->log.region)
		vlog_give_packed(&r->log, r->staged_id, r->staged, r->used, r->used_wrap);
	release(ring[r->first_at].flags, r->first_flags);
	if (r->log.region)
		vlog_given_packed(&r->log, r->staged_id, r->staged, r->used, r->used_wrap);
	vring_fence();
	return wants_call(r, n);
}

/* ---- the driver's kicks ------------------------------------------------------------------ */

void packed_quiet(struct vring *r)
{
	struct packed_event *e = r->device;

	set(e->flags, EVENT_DISABLE);
}

bool packed_listen(struct vring *r)
{
	struct packed_event *e = r->device;

	if (r->event_idx) {
		set(e->off_wrap, (uint16_t)(r->avail | (r->avail_wrap ? EVENT_WRAP : 0)));
		release(e->flags, EVENT_DESC);
	} else {
		set(e->flags, EVENT_ENABLE);
	}
	vring_fence();
	return packed_ready(r);
}
