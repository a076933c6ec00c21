/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bits.h"

struct mapping *mapping_new(uint64_t size, int prot, int flags, int fd)
{
	struct mapping *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return NULL;
	m->size = size;
	m->base = size > SIZE_MAX ? MAP_FAILED : mmap(NULL, size, prot, flags, fd, 0);
	if (m->base != MAP_FAILED) {
		atomic_init(&m->users, 1);
		return m;
	}
	err = errno;
	free(m);
	errno = err;
	return NULL;
}

struct mapping *mapping_ref(struct mapping *m)
{
	atomic_fetch_add(&m->users, 1);
	return m;
}

static void unmap_run(struct offload *o)
{
	struct mapping *m = container_of(o, struct mapping, unmap);

	munmap(m->base, m->size);
}

static void unmap_done(struct offload *o)
{
	free(container_of(o, struct mapping, unmap));
}

/* Unmapping takes a while where much of it was used: not on a reactor. */
void mapping_put(struct mapping *m)
{
	struct reactor *r = reactor_self();

	if (atomic_fetch_sub(&m->users, 1) != 1)
		return;
	m->unmap = (struct offload){ .run = unmap_run, .done = unmap_done };
	if (r) {
		offload_submit(r, &m->unmap, OFFLOAD_SLOW);
		return;
	}
	unmap_run(&m->unmap);
	unmap_done(&m->unmap);
}

void mapping_put_waiting(struct mapping *m)
{
	if (atomic_fetch_sub(&m->users, 1) != 1)
		return;
	unmap_run(&m->unmap);
	unmap_done(&m->unmap);
}

static void lender_release(struct buf *b)
{
	struct lender *l = container_of(b, struct lender, buf);

	mapping_put(l->map);
	free(l);
}

struct lender *lender_open(struct mapping *m)
{
	struct lender *l = calloc(1, sizeof(*l));

	if (!l) {
		mapping_put(m);
		return NULL;
	}
	l->map = m;
	l->buf = (struct buf){ .data = m->base, .users = 1, .release = lender_release };
	return l;
}

void lender_close(struct lender *l)
{
	if (l)
		buf_put(&l->buf);
}

void lender_lend(struct lender *l, struct store_io *io)
{
	io->lent = buf_ref(&l->buf);
	io->lent_data = l->map->base + io->offset;
}
