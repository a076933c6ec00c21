/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

/* The first descriptor's flags are written last: they make the chain available. */
void packed_add(struct front_ring *r, const struct front_seg *seg, unsigned nread, unsigned n,
		bool table, void *token)
{
	uint16_t id = ring_get(r), first = 0;
	uint8_t *d, *first_at = r->desc + r->next_avail * DESC_SIZE;

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = r->avail_wrap ? DESC_AVAIL : DESC_USED;

		flags |= table ? DESC_INDIRECT
			       : (uint16_t)((i >= nread ? DESC_WRITE : 0) |
					    (i + 1 < n ? DESC_NEXT : 0));
		d = r->desc + r->next_avail * DESC_SIZE;
		put_le64(d, seg[i].addr);
		put_le32(d + 8, seg[i].len);
		put_le16(d + 12, id);
		if (i)
			put_le16(d + 14, flags);
		else
			first = flags;
		if (++r->next_avail == r->num) {
			r->next_avail = 0;
			r->avail_wrap = !r->avail_wrap;
		}
	}
	r->free -= n;
	r->added = (uint16_t)(r->added + n);
	r->length[id] = (uint16_t)n;
	r->token[id] = token;
	share_le16(first_at + 14, first);
}

bool packed_wants_kick(const struct front_ring *r)
{
	uint16_t flags = shared_le16(r->used + 2), off, event;

	if (flags != EVENT_DESC)
		return flags == EVENT_ENABLE;
	off = shared_le16(r->used);
	event = off & 0x7fff;
	if ((off >> 15) != r->avail_wrap) /* of the round before */
		event = (uint16_t)(event - r->num);
	return event_passed(event, r->next_avail, (uint16_t)(r->next_avail - r->added));
}

bool packed_has_used(const struct front_ring *r)
{
	uint16_t flags = shared_le16(r->desc + r->next_used * DESC_SIZE + 14);

	return !!(flags & DESC_AVAIL) == r->used_wrap && !!(flags & DESC_USED) == r->used_wrap;
}

void *packed_take(struct front_ring *r, uint32_t *len)
{
	const uint8_t *d = r->desc + r->next_used * DESC_SIZE;
	uint16_t id = le16_at(d + 12);
	void *token;

	if (id >= r->num || !r->token[id])
		front_die("ring %u: buffer %u is used, which was not available", r->index, id);
	*len = le32_at(d + 8);
	token = r->token[id];
	r->token[id] = NULL;
	r->free += r->length[id];
	r->next_used = (uint16_t)(r->next_used + r->length[id]);
	if (r->next_used >= r->num) {
		r->next_used = (uint16_t)(r->next_used - r->num);
		r->used_wrap = !r->used_wrap;
	}
	ring_give(r, id);
	return token;
}

void packed_arm(struct front_ring *r, unsigned later)
{
	unsigned at = r->next_used + later;
	bool wrap = r->used_wrap;

	if (!front_has(r->front, VIRTIO_F_EVENT_IDX)) {
		share_le16(r->avail + 2, EVENT_ENABLE);
		return;
	}
	if (at >= r->num) {
		at -= r->num;
		wrap = !wrap;
	}
	put_le16(r->avail, (uint16_t)(at | (unsigned)wrap << 15));
	share_le16(r->avail + 2, EVENT_DESC);
}
