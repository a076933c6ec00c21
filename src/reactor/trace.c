/* SPDX-License-Identifier: BSD-2-Clause */
#include "reactor/trace.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "reactor/clock.h"
#include "reactor/internal.h"

struct trace_ring {
	struct trace_filter filter;
	bool on;
	unsigned size, next; /* records; where the next one goes */
	uint64_t recorded;
	struct trace_rec *recs; /* mapped: what is never written takes no memory */
};

unsigned trace_users;

static size_t bytes(const struct trace_ring *ring)
{
	return ring->size * sizeof(struct trace_rec);
}

struct trace_ring *trace_ring_create(unsigned records, const struct trace_filter *f)
{
	struct trace_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return NULL;
	ring->filter = *f;
	ring->size = records;
	ring->recs =
		mmap(NULL, bytes(ring), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring->recs == MAP_FAILED) {
		free(ring);
		return NULL;
	}
	return ring;
}

static void ring_off(struct trace_ring *ring)
{
	if (ring && ring->on) {
		ring->on = false;
		__atomic_fetch_sub(&trace_users, 1, __ATOMIC_RELAXED);
	}
}

void trace_ring_destroy(struct trace_ring *ring)
{
	if (!ring)
		return;
	ring_off(ring);
	munmap(ring->recs, bytes(ring));
	free(ring);
}

struct trace_ring *trace_set(struct reactor *r, struct trace_ring *ring)
{
	struct trace_ring *old = r->trace;

	ring_off(old);
	r->trace = ring;
	if (ring) {
		ring->on = true;
		__atomic_fetch_add(&trace_users, 1, __ATOMIC_RELAXED);
	}
	return old;
}

void trace_stop(struct reactor *r)
{
	ring_off(r->trace);
}

static bool wanted(const struct trace_filter *f, const struct trace_rec *rec)
{
	return (!f->tid || f->tid == rec->tid) && (f->lun < 0 || f->lun == rec->lun) &&
	       (f->opcode < 0 || f->opcode == rec->opcode) && (!f->op || f->op == rec->op);
}

void trace_add(struct reactor *r, struct trace_rec *rec)
{
	struct trace_ring *ring = r->trace;

	if (!ring || !ring->on || !wanted(&ring->filter, rec))
		return;
	rec->at = reactor_clock(r);
	if (rec->took)
		rec->took = rec->at - rec->took;
	rec->reactor = (uint8_t)r->id;
	ring->recs[ring->next] = *rec;
	if (++ring->next == ring->size)
		ring->next = 0;
	ring->recorded++;
}

void trace_get_counts(const struct reactor *r, struct trace_counts *c)
{
	const struct trace_ring *ring = r->trace;

	*c = (struct trace_counts){ 0 };
	if (!ring)
		return;
	c->on = ring->on;
	c->size = ring->size;
	c->recorded = ring->recorded;
	c->held = (unsigned)min(ring->recorded, (uint64_t)ring->size);
}

unsigned trace_copy(const struct reactor *r, struct trace_rec *out, unsigned most)
{
	const struct trace_ring *ring = r->trace;
	unsigned n, first, head;

	if (!ring)
		return 0;
	n = min(ring->size, most);
	if (n > ring->recorded)
		n = (unsigned)ring->recorded;
	first = ring->next >= n ? ring->next - n : ring->next + ring->size - n;
	head = min(n, ring->size - first);
	memcpy(out, &ring->recs[first], head * sizeof(*out));
	memcpy(out + head, ring->recs, (n - head) * sizeof(*out));
	return n;
}
