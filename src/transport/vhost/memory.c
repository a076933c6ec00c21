/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/vhost/memory.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bits.h"

/* ---- mappings ---------------------------------------------------------------------- */

static bool sums_fit(uint64_t a, uint64_t b)
{
	return a + b >= a;
}

/* The page size of @fd's memory, 0 and *@why if it cannot serve. */
static uint64_t page_of(int fd, uint64_t offset, uint64_t len, const char **why)
{
	struct statfs fs;
	struct stat st;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	*why = "its file is not shared memory: use a memfd, /dev/shm or huge pages";
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || fstatfs(fd, &fs))
		return 0;
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)
		return 0;
	if (fs.f_type == HUGETLBFS_MAGIC)
		page = (uint64_t)fs.f_bsize;
	*why = "its file is shorter than the region";
	if (st.st_size < 0 || !range_fits(offset, len, (uint64_t)st.st_size))
		return 0;
	return is_pow2(page) ? page : 0;
}

static int map(struct vmapping *m, int fd, uint64_t off, atomic_bool *broken, const char **why)
{
	m->addr = mmap(NULL, m->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		       (off_t)off);
	*why = "it cannot be mapped for reading and writing";
	if (m->addr == MAP_FAILED)
		return -errno;
	(void)madvise(m->addr, m->len, MADV_DONTDUMP);
	m->guard = guard_add(m->addr, m->len, broken);
	*why = "too many regions are mapped";
	if (m->guard >= 0)
		return 0;
	munmap(m->addr, m->len);
	return -ENOSPC;
}

struct vmapping *vmapping_create(int fd, uint64_t offset, uint64_t len, atomic_bool *broken,
				 uint8_t **at, const char **why)
{
	struct vmapping *m;
	uint64_t page, start;

	*why = "its offset and size are beyond all files";
	if (!len || !sums_fit(offset, len) || offset + len > (uint64_t)INT64_MAX - (1ull << 31))
		return NULL;
	page = page_of(fd, offset, len, why);
	if (!page)
		return NULL;
	*why = "no memory";
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	start = round_down(offset, page);
	m->len = round_up(offset - start + len, page);
	m->users = 1;
	if (map(m, fd, start, broken, why)) {
		free(m);
		return NULL;
	}
	*at = m->addr + (offset - start);
	return m;
}

void vmapping_put(struct vmapping *m)
{
	if (!m || --m->users)
		return;
	guard_remove(m->guard);
	munmap(m->addr, m->len);
	free(m);
}

/* ---- maps -------------------------------------------------------------------------- */

struct vmem *vmem_create(void)
{
	struct vmem *m = calloc(1, sizeof(*m));

	if (m)
		m->users = 1;
	return m;
}

struct vmem *vmem_get(struct vmem *m)
{
	m->users++;
	return m;
}

void vmem_put(struct vmem *m)
{
	if (!m || --m->users)
		return;
	for (unsigned i = 0; i < m->n; i++)
		vmapping_put(m->region[i].mapping);
	free(m);
}

struct vmem *vmem_copy(const struct vmem *m)
{
	struct vmem *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *m;
	copy->users = 1;
	for (unsigned i = 0; i < copy->n; i++)
		copy->region[i].mapping->users++;
	return copy;
}

static const char *refuse(const struct vmem *m, const struct vu_region *d)
{
	if (m->n == VHOST_SLOTS)
		return "there are as many regions already as can be";
	if (!d->size)
		return "it is empty";
	if (!sums_fit(d->guest_addr, d->size - 1) || !sums_fit(d->user_addr, d->size - 1))
		return "its addresses wrap around";
	if (d->size > VHOST_MEMORY_MAX - m->bytes)
		return "there is more memory than can be mapped";
	for (unsigned i = 0; i < m->n; i++) {
		const struct vmem_region *r = &m->region[i];

		if (d->guest_addr - r->guest < r->size || r->guest - d->guest_addr < d->size)
			return "it overlaps another region";
	}
	return NULL;
}

int vmem_add(struct vmem *m, const struct vu_region *d, int fd, atomic_bool *broken,
	     const char **why)
{
	struct vmem_region *r = &m->region[m->n];

	*why = refuse(m, d);
	if (*why)
		return -EINVAL;
	r->mapping = vmapping_create(fd, d->mmap_offset, d->size, broken, &r->host, why);
	if (!r->mapping)
		return -EINVAL;
	r->guest = d->guest_addr;
	r->user = d->user_addr;
	r->size = d->size;
	m->bytes += d->size;
	m->n++;
	return 0;
}

int vmem_remove(struct vmem *m, const struct vu_region *d)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct vmem_region *r = &m->region[i];

		if (r->guest != d->guest_addr || r->user != d->user_addr || r->size != d->size)
			continue;
		m->bytes -= r->size;
		vmapping_put(r->mapping);
		*r = m->region[--m->n];
		m->recent = 0;
		return 0;
	}
	return -ENOENT;
}

void *vmem_user(const struct vmem *m, uint64_t user, uint64_t len)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vmem_region *r = &m->region[i];

		if (user >= r->user && range_fits(user - r->user, len, r->size))
			return r->host + (user - r->user);
	}
	return NULL;
}

/* Most tables are a few descriptors of 16 bytes, for which a call would be long. */
static void copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (likely(n <= 128 && n % 16 == 0))
		for (; n; n -= 16, to += 16, from += 16)
			memcpy(to, from, 16);
	else
		memcpy(to, from, n);
}

bool vmem_read(struct vmem *m, uint64_t guest, void *to, uint32_t len)
{
	uint8_t *at = to;

	while (len) {
		uint64_t run;
		const void *from = vmem_at(m, guest, &run);
		uint32_t n;

		if (!from)
			return false;
		n = (uint32_t)min(run, (uint64_t)len);
		copy(at, from, n);
		at += n;
		guest += n;
		len -= n;
	}
	copied();
	return true;
}
