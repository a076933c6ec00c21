/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

void front_push_head(struct front_ring *r, uint16_t head)
{
	put_le16(r->avail + 4 + 2 * (r->next_avail & (r->num - 1)), head);
	r->next_avail++;
	r->added++;
}

void split_add(struct front_ring *r, const struct front_seg *seg, unsigned nread, unsigned n,
	       bool table, void *token)
{
	uint16_t head = r->free_head;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *d = r->desc + ring_get(r) * DESC_SIZE;

		put_le64(d, seg[i].addr);
		put_le32(d + 8, seg[i].len);
		put_le16(d + 12, table ? DESC_INDIRECT
				       : (uint16_t)((i >= nread ? DESC_WRITE : 0) |
						    (i + 1 < n ? DESC_NEXT : 0)));
		put_le16(d + 14, i + 1 < n ? r->free_head : 0);
	}
	r->free -= n;
	r->length[head] = (uint16_t)n;
	r->token[head] = token;
	front_push_head(r, head);
}

bool split_wants_kick(const struct front_ring *r)
{
	if (front_has(r->front, VIRTIO_F_EVENT_IDX))
		return event_passed(shared_le16(r->used + 4 + 8u * r->num), r->next_avail,
				    (uint16_t)(r->next_avail - r->added));
	return !(shared_le16(r->used) & USED_NO_NOTIFY);
}

void *split_take(struct front_ring *r, uint32_t *len)
{
	const uint8_t *u = r->used + 4 + 8 * (r->next_used & (r->num - 1));
	uint32_t id = le32_at(u);
	const uint8_t *d;
	void *token;

	if (id >= r->num || !r->token[id])
		front_die("ring %u: descriptor %u is used, which was not available", r->index, id);
	*len = le32_at(u + 4);
	token = r->token[id];
	r->token[id] = NULL;
	r->free += r->length[id];
	for (unsigned i = r->length[id]; i--; id = le16_at(d + 14)) {
		d = r->desc + id * DESC_SIZE;
		ring_give(r, (uint16_t)id);
	}
	r->next_used++;
	return token;
}

void split_arm(struct front_ring *r, unsigned later)
{
	if (front_has(r->front, VIRTIO_F_EVENT_IDX))
		share_le16(r->avail + 4 + 2u * r->num, (uint16_t)(r->next_used + later));
	else
		share_le16(r->avail, 0);
}
