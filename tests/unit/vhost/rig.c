/* SPDX-License-Identifier: BSD-2-Clause */
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int rig_memfd(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

void rig_begin(struct rig *r)
{
	struct vu_region d = { .guest_addr = RIG_GUEST, .size = RIG_SIZE, .user_addr = RIG_USER };
	const char *why;

	memset(r, 0, sizeof(*r));
	r->fd = rig_memfd(RIG_SIZE);
	r->mem = mmap(NULL, RIG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	assert_ptr_not_equal(r->mem, MAP_FAILED);
	r->map = vmem_create();
	assert_non_null(r->map);
	assert_int_equal(vmem_add(r->map, &d, r->fd, &r->broken, &why), 0);
	r->log = aligned_alloc(64, 1 << 17);
	assert_non_null(r->log);
	memset(r->log, 0, 1 << 17);
}

void rig_end(struct rig *r)
{
	vmem_put(r->map);
	munmap(r->mem, RIG_SIZE);
	close(r->fd);
	free(r->log);
}

static void start(struct rig *r, uint64_t features, void *region)
{
	struct vring *v = &r->ring;

	v->size = r->size;
	v->desc_user = RIG_USER + RIG_DESC;
	v->driver_user = RIG_USER + RIG_DRIVER;
	v->device_user = RIG_USER + RIG_DEVICE;
	v->has_addr = true;
	if (vring_start(v, r->map, features, region))
		fail_msg("%s", v->why);
}

void rig_start(struct rig *r, unsigned size, uint64_t features, void *region)
{
	r->size = size;
	r->packed = features & VF_RING_PACKED;
	r->avail_wrap = r->used_wrap = true;
	start(r, features, region);
}

void rig_restart(struct rig *r, uint64_t features, void *region)
{
	memset(&r->ring, 0, sizeof(r->ring));
	start(r, features, region);
}

/* ---- split --------------------------------------------------------------------------- */

void split_desc(struct rig *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	struct split_desc *d = (struct split_desc *)(r->mem + RIG_DESC);

	d[i] = (struct split_desc){ addr, len, flags, next };
}

void split_offer(struct rig *r, uint16_t head)
{
	uint16_t *a = (uint16_t *)(r->mem + RIG_DRIVER);

	a[2 + r->avail % r->size] = head;
	a[1] = ++r->avail;
}

bool split_used(struct rig *r, uint32_t *id, uint32_t *len)
{
	const uint16_t *u = (const uint16_t *)(r->mem + RIG_DEVICE);
	const uint32_t *e = (const uint32_t *)(u + 2);

	if (u[1] == r->used)
		return false;
	*id = e[2 * (r->used % r->size)];
	*len = e[2 * (r->used % r->size) + 1];
	r->used++;
	return true;
}

/* ---- packed -------------------------------------------------------------------------- */

void packed_put(struct rig *r, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags)
{
	struct packed_desc *d = (struct packed_desc *)(r->mem + RIG_DESC);

	flags |= r->avail_wrap ? DESC_AVAIL : DESC_USED;
	d[r->avail] = (struct packed_desc){ addr, len, id, flags };
	if (++r->avail == r->size) {
		r->avail = 0;
		r->avail_wrap = !r->avail_wrap;
	}
}

bool packed_used(struct rig *r, uint16_t *id, uint32_t *len, unsigned slots)
{
	const struct packed_desc *d = (const struct packed_desc *)(r->mem + RIG_DESC) + r->used;

	if (!!(d->flags & DESC_USED) != r->used_wrap || !!(d->flags & DESC_AVAIL) != r->used_wrap)
		return false;
	*id = d->id;
	*len = d->len;
	r->used = (uint16_t)(r->used + slots);
	if (r->used >= r->size) {
		r->used = (uint16_t)(r->used - r->size);
		r->used_wrap = !r->used_wrap;
	}
	return true;
}

/* ---- either ---------------------------------------------------------------------------- */

void rig_offer(struct rig *r, uint16_t id, uint32_t out, uint32_t in)
{
	uint64_t at = GUEST(RIG_DATA) + id * 0x1000u;
	const struct {
		uint32_t len;
		uint16_t flags;
	} part[] = { { 51, 0 }, { out, 0 }, { 108, DESC_WRITE }, { in, DESC_WRITE } };
	unsigned last = in ? 3 : 2, n = 0, first = id * 4u;

	for (unsigned i = 0; i <= last; i++) {
		uint16_t flags = part[i].flags | (i < last ? DESC_NEXT : 0);

		if (!part[i].len)
			continue;
		if (r->packed)
			packed_put(r, at, part[i].len, id, flags);
		else
			split_desc(r, first + n, at, part[i].len, flags, (uint16_t)(first + n + 1));
		at += part[i].len;
		n++;
	}
	if (!r->packed)
		split_offer(r, (uint16_t)first);
}

struct vhandle rig_take(struct rig *r, uint16_t id)
{
	int rc = vring_take(&r->ring, r->map, &r->chain);

	if (rc < 0)
		fail_msg("%s", r->ring.why);
	assert_int_equal(rc, 1);
	assert_int_equal(r->chain.id, r->packed ? id : id * 4u);
	return vring_handle(&r->chain);
}
