/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost_floor.h"

#include <unistd.h>

uint8_t *vf_guest(struct vf *v, uint64_t addr, uint64_t len)
{
	struct vf_region *r = &v->region[v->last_region];

	if (addr - r->guest < r->size && len <= r->size - (addr - r->guest))
		return r->at + (addr - r->guest);
	for (unsigned i = 0; i < v->nregions; i++) {
		r = &v->region[i];
		if (addr - r->guest < r->size && len <= r->size - (addr - r->guest)) {
			v->last_region = i;
			return r->at + (addr - r->guest);
		}
	}
	return NULL;
}

static void take(struct vf *v, struct vf_chain *c, const uint8_t *desc, uint16_t flags)
{
	uint32_t len = le32_at(desc + 8);
	uint8_t *at = vf_guest(v, le64_at(desc), len);

	if (!at || c->n == VF_SEGS)
		die(END_TROUBLE, "a descriptor that is none of the guest's memory");
	c->seg[c->n++] = (struct iovec){ at, len };
	if (!(flags & DESC_WRITE))
		c->nread = c->n;
}

static uint8_t *indirect(struct vf *v, const uint8_t *desc, unsigned *n)
{
	uint32_t len = le32_at(desc + 8);
	uint8_t *table = vf_guest(v, le64_at(desc), len);

	if (!table || !len || len % DESC_SIZE)
		die(END_TROUBLE, "a table of descriptors that is none");
	*n = len / DESC_SIZE;
	return table;
}

/* ---- split ------------------------------------------------------------------------------ */

static void gather_split(struct vf *v, struct vf_queue *q, uint16_t head, struct vf_chain *c)
{
	const uint8_t *table = q->desc, *d;
	unsigned n = q->num, i = head;
	uint16_t flags;

	c->n = c->nread = 0;
	c->id = head;
	do {
		if (i >= n)
			die(END_TROUBLE, "a descriptor beyond its table");
		d = table + i * DESC_SIZE;
		flags = le16_at(d + 12);
		if (flags & DESC_INDIRECT) {
			table = indirect(v, d, &n);
			d = table;
			flags = le16_at(d + 12);
		}
		take(v, c, d, flags);
		i = le16_at(d + 14);
	} while (flags & DESC_NEXT);
}

static bool next_split(struct vf *v, struct vf_queue *q, struct vf_chain *c)
{
	uint16_t mask = (uint16_t)(q->num - 1);

	if (shared_le16(q->avail + 2) == q->last_avail) {
		if (!v->event_idx)
			return false;
		/* asleep from here: what comes now must kick, or be seen by the second look */
		share_le16(q->used + 4 + 8u * q->num, q->last_avail);
		__sync_synchronize();
		if (shared_le16(q->avail + 2) == q->last_avail)
			return false;
	}
	gather_split(v, q, le16_at(q->avail + 4 + 2 * (q->last_avail & mask)), c);
	q->last_avail++;
	return true;
}

static void used_split(struct vf_queue *q, const struct vf_chain *c, uint32_t written)
{
	uint8_t *at = q->used + 4 + 8 * (q->last_used & (q->num - 1));

	put_le32(at, c->id);
	put_le32(at + 4, written);
	q->last_used++;
}

static bool interrupt_split(struct vf *v, struct vf_queue *q)
{
	uint16_t old = q->signalled;

	__sync_synchronize();
	q->signalled = q->last_used;
	if (v->event_idx)
		return event_passed(shared_le16(q->avail + 4 + 2 * q->num), q->last_used, old);
	return !(shared_le16(q->avail) & AVAIL_NO_INTERRUPT);
}

/* ---- packed ----------------------------------------------------------------------------- */

static bool is_avail(const struct vf_queue *q)
{
	uint16_t flags = shared_le16(q->desc + q->last_avail * DESC_SIZE + 14);

	return !!(flags & DESC_AVAIL) == q->avail_wrap && !!(flags & DESC_USED) != q->avail_wrap;
}

static void gather_packed(struct vf *v, struct vf_queue *q, struct vf_chain *c)
{
	const uint8_t *d, *table;
	uint16_t flags;
	unsigned n;

	c->n = c->nread = c->len = 0;
	do {
		d = q->desc + q->last_avail * DESC_SIZE;
		flags = le16_at(d + 14);
		c->id = le16_at(d + 12);
		c->len++;
		if (flags & DESC_INDIRECT) {
			table = indirect(v, d, &n);
			for (unsigned i = 0; i < n; i++)
				take(v, c, table + i * DESC_SIZE,
				     le16_at(table + i * DESC_SIZE + 14));
		} else
			take(v, c, d, flags);
		if (++q->last_avail == q->num) {
			q->last_avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	} while (flags & DESC_NEXT);
}

static bool next_packed(struct vf *v, struct vf_queue *q, struct vf_chain *c)
{
	if (!is_avail(q)) {
		if (!v->event_idx)
			return false;
		put_le16(q->used, (uint16_t)(q->last_avail | q->avail_wrap << 15));
		share_le16(q->used + 2, EVENT_DESC);
		__sync_synchronize();
		if (!is_avail(q))
			return false;
	}
	gather_packed(v, q, c);
	return true;
}

static void used_packed(struct vf_queue *q, const struct vf_chain *c, uint32_t written)
{
	uint8_t *at = q->desc + q->last_used * DESC_SIZE;

	put_le32(at + 8, written);
	put_le16(at + 12, c->id);
	share_le16(at + 14, q->used_wrap ? DESC_AVAIL | DESC_USED : 0);
	q->last_used = (uint16_t)(q->last_used + c->len);
	if (q->last_used >= q->num) {
		q->last_used = (uint16_t)(q->last_used - q->num);
		q->used_wrap = !q->used_wrap;
	}
}

/* Positions are counted over two rounds, one for each value of the wrap counter. */
static unsigned position(uint16_t index, bool wrap, uint16_t num)
{
	return index + (wrap ? 0u : num);
}

static bool interrupt_packed(struct vf_queue *q)
{
	unsigned old = q->signalled, now = position(q->last_used, q->used_wrap, q->num);
	unsigned turn = 2u * q->num, event;
	uint16_t flags, off;

	__sync_synchronize();
	q->signalled = (uint16_t)now;
	flags = shared_le16(q->avail + 2);
	if (flags != EVENT_DESC)
		return flags == EVENT_ENABLE;
	off = shared_le16(q->avail);
	event = position(off & 0x7fff, off >> 15, q->num);
	return (event + turn - old) % turn < (now + turn - old) % turn;
}

/* ---- both ------------------------------------------------------------------------------- */

/* Answer what there is, at most @most chains; how many. */
static unsigned answer(struct vf *v, struct vf_queue *q, unsigned index, unsigned most)
{
	static struct vf_chain chain;
	unsigned n = 0;

	for (; n < most && (v->packed ? next_packed(v, q, &chain) : next_split(v, q, &chain)); n++) {
		uint32_t written = index >= RING_REQUEST   ? vf_request(v, &chain)
				   : index == RING_CONTROL ? vf_control(&chain)
							   : 0;

		if (v->packed)
			used_packed(q, &chain, written);
		else
			used_split(q, &chain, written);
	}
	return n;
}

/* A driver that keeps up would have it go round and round: positions tell apart no more than a round. */
void vf_serve(struct vf *v, struct vf_queue *q, unsigned index)
{
	unsigned most = q->num / 4 + 1, n;
	uint64_t one = 1;

	do {
		n = answer(v, q, index, most);
		if (!n)
			return;
		if (!v->packed)
			share_le16(q->used + 2, q->last_used);
		if ((v->packed ? interrupt_packed(q) : interrupt_split(v, q)) && q->call >= 0 &&
		    write(q->call, &one, sizeof(one)) < 0)
			die(END_TROUBLE, "an interrupt cannot be sent");
	} while (n == most);
}
