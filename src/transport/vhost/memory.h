/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory as the front end shares it: regions of files, mapped here. A map is immutable: a
 * region that comes or goes makes another version of it, and what was mapped stays mapped until
 * the last version that has it is
 * let go, by the last command that uses it. One thread, but for the guard.
 *
 * The front end may cut such a file short at any time; who touches the page then gets SIGBUS. A guard for
 * the whole process puts zeroes there instead, and says so in a flag of the device, which then ends.
 */
#ifndef STGT_TRANSPORT_VHOST_MEMORY_H
#define STGT_TRANSPORT_VHOST_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/vhost/proto.h"

#define VHOST_SLOTS 64 /* regions of a map */
#define VHOST_MEMORY_MAX (8ull << 40) /* bytes of a map: address space is everybody's */

/* Memory of a file, and who uses it. */
struct vmapping {
	uint8_t *addr;
	size_t len;
	unsigned users;
	int guard;
};

struct vmem_region {
	uint64_t guest, size, user;
	uint8_t *host;
	struct vmapping *mapping;
};

struct vmem {
	unsigned users;
	unsigned n;
	unsigned recent; /* where the last address was found */
	uint64_t bytes;
	struct vmem_region region[VHOST_SLOTS];
};

/*
 * Map [@offset, @offset + @len) of @fd, which must be of shared memory (a memfd, /dev/shm, huge pages): whoever else
 * makes files could let us wait for a page for ever. *@at is where @offset is. NULL and *@why on
 * error. @broken is set by
 * the guard, and outlives the mapping.
 */
struct vmapping *vmapping_create(int fd, uint64_t offset, uint64_t len, atomic_bool *broken,
				 uint8_t **at, const char **why);
void vmapping_put(struct vmapping *m);

/* A map without a region; NULL without memory. */
struct vmem *vmem_create(void);
struct vmem *vmem_get(struct vmem *m);
void vmem_put(struct vmem *m);

/* Put the region @d of @fd into @m, which nobody else has yet. -errno and *@why. @fd stays the caller's. */
int vmem_add(struct vmem *m, const struct vu_region *d, int fd, atomic_bool *broken,
	     const char **why);
/* A version of @m of the caller's own; NULL without memory. */
struct vmem *vmem_copy(const struct vmem *m);
/* Take the region that is @d (offset aside) out of @m, which nobody else has yet. -ENOENT. */
int vmem_remove(struct vmem *m, const struct vu_region *d);

/*
 * Where the guest's address @guest is; *@run is how many bytes follow there in one piece. NULL: it
 * is not in any region.
 */
static inline void *vmem_at(struct vmem *m, uint64_t guest, uint64_t *run)
{
	unsigned i = m->recent;

	for (unsigned tries = 0; tries < m->n; tries++) {
		const struct vmem_region *r = &m->region[i];

		if (guest - r->guest < r->size) { /* wraps around below the region */
			m->recent = i;
			*run = r->size - (guest - r->guest);
			return r->host + (guest - r->guest);
		}
		if (++i >= m->n)
			i = 0;
	}
	return NULL;
}

/* Where @len bytes at the front end's address @user are, all in one region; NULL if they are not. */
void *vmem_user(const struct vmem *m, uint64_t user, uint64_t len);

/* Copy @len bytes from the guest's address @guest to private memory. False: they are not all there. */
bool vmem_read(struct vmem *m, uint64_t guest, void *to, uint32_t len);

/* What was copied before is not read again from where it came: the other side may change that. */
static inline void copied(void)
{
	__asm__ volatile("" ::: "memory");
}

/* ---- the guard (guard.c) ------------------------------------------------------------- */

/* On threads that touch shared memory: SIGBUS must not be blocked there. Installs the handler. */
void guard_thread(void);
/* From now on faults in [@addr, @addr + @len) are met with zeroes and *@broken is set. A handle, -1: too many. */
int guard_add(void *addr, size_t len, atomic_bool *broken);
void guard_remove(int handle);

#endif
