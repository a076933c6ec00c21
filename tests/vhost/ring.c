/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring.h"

#include <errno.h>
#include <unistd.h>

void front_forge_at(struct front *f, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
		    uint16_t flags, uint16_t last)
{
	bool packed = front_has(f, VIRTIO_F_RING_PACKED);
	uint8_t d[DESC_SIZE];

	put_le64(d, addr);
	put_le32(d + 8, len);
	put_le16(d + (packed ? 14 : 12), flags);
	put_le16(d + (packed ? 12 : 14), last);
	front_put(f, table + i * DESC_SIZE, d, sizeof(d));
}

void front_forge(struct front_ring *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t last)
{
	front_forge_at(r->front, r->desc_addr, i, addr, len, flags, last);
}

void ring_make_table(struct front_ring *r, uint64_t table, const struct front_seg *seg,
		     unsigned nread, unsigned n)
{
	bool packed = front_has(r->front, VIRTIO_F_RING_PACKED);

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = i >= nread ? DESC_WRITE : 0;

		if (!packed && i + 1 < n)
			flags |= DESC_NEXT; /* packed: reserved in a table */
		front_forge_at(r->front, table, i, seg[i].addr, seg[i].len, flags,
			       (uint16_t)(packed ? 0 : i + 1));
	}
}

/* ---- the lists of free descriptors and ids ------------------------------------------------ */

uint16_t ring_get(struct front_ring *r)
{
	uint16_t i = r->free_head;

	r->free_head = r->next[i];
	return i;
}

void ring_give(struct front_ring *r, uint16_t i)
{
	r->next[i] = r->free_head;
	r->free_head = i;
}

/* ---- both kinds --------------------------------------------------------------------------- */

static bool is_packed(const struct front_ring *r)
{
	return front_has(r->front, VIRTIO_F_RING_PACKED);
}

bool front_add(struct front_ring *r, const struct front_seg *seg, unsigned nread, unsigned nwrite,
	       uint64_t table, void *token)
{
	unsigned n = nread + nwrite;
	struct front_seg one = { table, n * DESC_SIZE };

	if ((table ? 1 : n) > r->free)
		return false;
	if (table) {
		ring_make_table(r, table, seg, nread, n);
		seg = &one;
		n = 1;
	}
	if (is_packed(r))
		packed_add(r, seg, nread, n, table, token);
	else
		split_add(r, seg, nread, n, table, token);
	return true;
}

void front_publish(struct front_ring *r)
{
	if (!is_packed(r))
		share_le16(r->avail + 2, r->next_avail);
}

void front_kick_always(struct front_ring *r)
{
	uint64_t one = 1;

	front_publish(r);
	r->added = 0;
	r->kicks++;
	if (write(r->kick, &one, sizeof(one)) < 0)
		front_die("a kick cannot be sent: %s", strerror(errno));
}

bool front_kick(struct front_ring *r)
{
	bool wanted;

	front_publish(r);
	__sync_synchronize();
	wanted = is_packed(r) ? packed_wants_kick(r) : split_wants_kick(r);
	r->added = 0;
	if (wanted)
		front_kick_always(r);
	return wanted;
}

bool front_has_used(struct front_ring *r)
{
	return is_packed(r) ? packed_has_used(r) : shared_le16(r->used + 2) != r->next_used;
}

void *front_take(struct front_ring *r, uint32_t *len)
{
	if (!front_has_used(r))
		return NULL;
	return is_packed(r) ? packed_take(r, len) : split_take(r, len);
}

bool front_arm(struct front_ring *r)
{
	r->wants_calls = true;
	if (is_packed(r))
		packed_arm(r, 0);
	else
		split_arm(r, 0);
	__sync_synchronize();
	return front_has_used(r);
}

void front_arm_later(struct front_ring *r, unsigned later)
{
	r->wants_calls = true;
	if (is_packed(r))
		packed_arm(r, later);
	else
		split_arm(r, later);
	__sync_synchronize();
}

void front_disarm(struct front_ring *r)
{
	r->wants_calls = false;
	if (is_packed(r))
		share_le16(r->avail + 2, EVENT_DISABLE);
	else if (!front_has(r->front, VIRTIO_F_EVENT_IDX))
		share_le16(r->avail, AVAIL_NO_INTERRUPT);
	/* with event index a driver leaves the index behind, where it does not come by for a while */
}

bool front_called(struct front_ring *r)
{
	uint64_t n;

	if (read(r->call, &n, sizeof(n)) != sizeof(n))
		return false;
	r->calls += n;
	return true;
}
