/* SPDX-License-Identifier: BSD-2-Clause */
#include "front.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

unsigned front_add_region(struct front *f, uint64_t guest, uint64_t size, uint64_t offset)
{
	struct front_region *r = &f->region[f->nregions];

	if (f->nregions == FRONT_REGIONS)
		front_die("no more than %u regions", FRONT_REGIONS);
	*r = (struct front_region){ .guest = guest, .size = size, .offset = offset };
	r->fd = memfd_create("guest", MFD_CLOEXEC);
	if (r->fd < 0 || ftruncate(r->fd, (off_t)(offset + size)))
		front_die("memfd: %s", strerror(errno));
	r->at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)offset);
	if (r->at == MAP_FAILED)
		front_die("mapping a region: %s", strerror(errno));
	/* no address of the guest, and none that is mapped where the server runs */
	r->user = 0x500000000000ull + (guest << 1) + ((uint64_t)f->nregions << 40);
	return f->nregions++;
}

uint64_t front_alloc_in(struct front *f, unsigned region, uint64_t len, uint64_t align)
{
	struct front_region *r = &f->region[region];
	uint64_t at = ((r->guest + r->used + align - 1) & ~(align - 1)) - r->guest;

	if (at > r->size || len > r->size - at)
		front_die("region %u has no room for %llu bytes", region, (unsigned long long)len);
	r->used = at + len;
	return r->guest + at;
}

uint64_t front_alloc(struct front *f, uint64_t len, uint64_t align)
{
	for (unsigned i = 0; i < f->nregions; i++)
		if (f->region[i].size - f->region[i].used >= len + align)
			return front_alloc_in(f, i, len, align);
	front_die("there is no guest memory left for %llu bytes", (unsigned long long)len);
}

static struct front_region *region_of(struct front *f, uint64_t guest)
{
	for (unsigned i = 0; i < f->nregions; i++)
		if (f->region[i].at && guest - f->region[i].guest < f->region[i].size)
			return &f->region[i];
	front_die("%#llx is no guest address", (unsigned long long)guest);
}

void *front_at(struct front *f, uint64_t guest, uint64_t len)
{
	struct front_region *r = region_of(f, guest);

	if (len > r->size - (guest - r->guest))
		front_die("%#llx and %llu bytes are not in one region", (unsigned long long)guest,
			  (unsigned long long)len);
	return r->at + (guest - r->guest);
}

static void copy(struct front *f, uint64_t guest, uint8_t *here, uint64_t len, bool in)
{
	while (len) {
		struct front_region *r = region_of(f, guest);
		uint64_t off = guest - r->guest, n = r->size - off < len ? r->size - off : len;

		if (in)
			memcpy(r->at + off, here, n);
		else
			memcpy(here, r->at + off, n);
		guest += n;
		here += n;
		len -= n;
	}
}

void front_put(struct front *f, uint64_t guest, const void *from, uint64_t len)
{
	copy(f, guest, (uint8_t *)(uintptr_t)from, len, true);
}

void front_get(struct front *f, uint64_t guest, void *to, uint64_t len)
{
	copy(f, guest, to, len, false);
}
