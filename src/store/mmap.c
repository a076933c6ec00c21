/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file or block device whose cached data is read out of a mapping, without a copy of ours.
 *
 * Nothing here touches the mapping, so no SIGBUS is possible: what is read is lent to who only
 * hands it to the kernel, for which a page that is gone is EFAULT. What is not in memory, or
 * wanted by somebody who looks at it, is read as from a file: off the reactor if need be,
 * and with an error that says where. Everything else is a file's.
 *
 * A mapping lives as long as somebody has some of it, longer than the store if need be.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "reactor/bufpool.h"
#include "reactor/reactor.h"
#include "store/builtin.h"
#include "store/file.h"
#include "store/mapping.h"

/*
 * What was in memory is believed to be there for FRESH: asking (mincore) costs as much as reading
 * 4 KiB. If it went meanwhile the kernel reads it while it sends: slow, not wrong. What was not there
 * may be soon, having been read.
 */
#define FRESH_MS 1000u
#define ABSENT_MS 10u
#define AREA_PAGES 64u /* looked at together: the bits of a word */
#define AREAS 16384u /* remembered: 4 GiB */

struct mapped {
	struct file file; /* first: it is what file_*() take for the store's own */
	pthread_mutex_t lock; /* of map, for channels that take a new one */
	struct mapping *map; /* the newest */
	_Atomic unsigned changes; /* of map */
};

/* What was seen of an area. */
struct seen {
	uint32_t tag; /* area + 1; 0: nothing */
	uint32_t at; /* ms */
	uint64_t pages; /* bits: in memory */
};

struct mapped_channel {
	struct file_channel file; /* first */
	struct lender *lender; /* NULL: no memory for one */
	struct seen *seen; /* NULL: likewise */
	unsigned changes; /* what mapped.changes was when lender was made */
	unsigned page_shift;
};

/* ---- lending ---- */

static struct mapping *mapping_newest(struct mapped *d)
{
	struct mapping *m;

	pthread_mutex_lock(&d->lock);
	m = mapping_ref(d->map);
	pthread_mutex_unlock(&d->lock);
	return m;
}

static struct mapping *map_file(int fd, uint64_t size)
{
	return mapping_new(size, PROT_READ, MAP_SHARED, fd);
}

static void forget_seen(struct mapped_channel *c)
{
	if (c->seen) /* the pages go, and come back as zeroes */
		madvise(c->seen, AREAS * sizeof(*c->seen), MADV_DONTNEED);
}

/* Lend from the newest mapping from now on; what was lent of the old one stays. */
static void renew_lender(struct mapped *d, struct mapped_channel *c)
{
	c->changes = atomic_load(&d->changes);
	lender_close(c->lender);
	c->lender = lender_open(mapping_newest(d));
	forget_seen(c);
}

/* ---- what is in memory ---- */

/*
 * Pages of the mapping that the file still has. A cut file's cache may go on beyond its end, in the
 * rest of a large folio: that counts as in memory, and is EFAULT all the same.
 */
static uint64_t pages_left(const struct mapped_channel *c, const struct mapping *m)
{
	uint64_t all = round_up(m->size, 1ull << c->page_shift) >> c->page_shift;
	struct stat st;

	if (c->file.fd.blockdev)
		return all;
	if (fstat(c->file.fd.fd, &st) || st.st_size < 0)
		return 0;
	return (uint64_t)st.st_size >= m->size ? all : (uint64_t)st.st_size >> c->page_shift;
}

static void look(const struct mapped_channel *c, const struct mapping *m, uint32_t area,
		 uint32_t now, struct seen *s)
{
	uint64_t first = (uint64_t)area * AREA_PAGES, left = pages_left(c, m);
	unsigned char in[AREA_PAGES] = { 0 };

	*s = (struct seen){ .tag = area + 1, .at = now };
	if (first >= left || mincore(m->base + (first << c->page_shift),
				     min(left - first, (uint64_t)AREA_PAGES) << c->page_shift, in))
		return;
	for (unsigned i = 0; i < AREA_PAGES; i++)
		s->pages |= (uint64_t)(in[i] & 1) << i;
}

/* Pages [first, last] of @area were in memory when they were looked at last. */
static bool area_resident(const struct mapped_channel *c, const struct mapping *m, uint32_t area,
			  unsigned first, unsigned last, uint32_t now)
{
	struct seen *s = &c->seen[area % AREAS];
	uint64_t need = UINT64_MAX >> (AREA_PAGES - 1 - last) & UINT64_MAX << first;
	uint32_t age = now - s->at;

	if (s->tag != area + 1 || age >= FRESH_MS || ((s->pages & need) != need && age >= ABSENT_MS))
		look(c, m, area, now, s);
	return (s->pages & need) == need;
}

static bool resident(struct store_channel *ch, const struct mapped_channel *c,
		     const struct mapping *m, const struct store_io *io)
{
	uint64_t page = io->offset >> c->page_shift;
	uint64_t last = (io->offset + io->length - 1) >> c->page_shift;
	uint32_t now = (uint32_t)(store_now(ch) / NSEC_PER_MSEC);

	while (page <= last) {
		uint64_t area = page / AREA_PAGES, end = min(last, (area + 1) * AREA_PAGES - 1);

		if (area >= UINT32_MAX ||
		    !area_resident(c, m, (uint32_t)area, page % AREA_PAGES, end % AREA_PAGES, now))
			return false;
		page = end + 1;
	}
	return true;
}

static bool lend(struct store_channel *ch, struct store_io *io)
{
	struct mapped *d = store_priv(channel_store(ch));
	struct mapped_channel *c = channel_priv(ch);
	struct lender *l;

	if (unlikely(c->changes != atomic_load_explicit(&d->changes, memory_order_acquire)))
		renew_lender(d, c);
	l = c->lender;
	if (!l || !c->seen)
		return false;
	if (unlikely(l->buf.faulted)) {
		l->buf.faulted = false;
		forget_seen(c);
	}
	if (!range_fits(io->offset, io->length, l->map->size) || !resident(ch, c, l->map, io))
		return false;
	lender_lend(l, io);
	return true;
}

/* ---- the operations ---- */

static int mmap_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct mapped *d = store_priv(s);
	int err;

	if (spec->oflags && strstr(spec->oflags, "direct"))
		return store_err(e, -EINVAL,
				 "store mmap cannot have the flag direct: a mapping is the page "
				 "cache itself; "
				 "leave it out, or use the store file");
	err = file_open(s, spec, e);
	if (err)
		return err;
	d->map = map_file(d->file.fd.fd, store_limits_of(s)->size);
	if (!d->map) {
		err = -errno;
		file_close(s);
		return store_err(e, err, "cannot map %s: %s; use the store file", spec->path,
				 strerror(-err));
	}
	pthread_mutex_init(&d->lock, NULL);
	return 0;
}

static void mmap_close(struct store *s)
{
	struct mapped *d = store_priv(s);

	mapping_put_waiting(d->map);
	pthread_mutex_destroy(&d->lock);
	file_close(s);
}

/* Without a mapping of what is new it is read as a file. What a smaller file lacks is not in memory. */
static int mmap_size(struct store *s, uint64_t *size, struct err *e)
{
	struct mapped *d = store_priv(s);
	struct mapping *m, *old;
	int err = file_size(s, size, e);

	if (err || *size <= d->map->size)
		return err;
	m = map_file(d->file.fd.fd, *size);
	if (!m) {
		store_log_warn(s, "what it grew by is read without a mapping: %s", strerror(errno));
		return 0;
	}
	pthread_mutex_lock(&d->lock);
	old = d->map;
	d->map = m;
	pthread_mutex_unlock(&d->lock);
	atomic_fetch_add_explicit(&d->changes, 1, memory_order_release);
	mapping_put_waiting(old);
	return 0;
}

static int mmap_channel_open(struct store_channel *ch)
{
	struct mapped_channel *c = channel_priv(ch);
	void *seen = mmap(NULL, AREAS * sizeof(*c->seen), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	c->seen = seen == MAP_FAILED ? NULL : seen;
	c->page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	renew_lender(store_priv(channel_store(ch)), c);
	return file_channel_open(ch);
}

static void mmap_channel_close(struct store_channel *ch)
{
	struct mapped_channel *c = channel_priv(ch);

	lender_close(c->lender);
	if (c->seen)
		munmap(c->seen, AREAS * sizeof(*c->seen));
	file_channel_close(ch);
}

static void mmap_submit(struct store_channel *ch, struct store_io *io)
{
	if (io->verb == STORE_READ && io->flags & STORE_MAY_LEND_MAPPING &&
	    io->length <= LEND_MAX && lend(ch, io))
		store_done(io, 0, 0);
	else
		file_submit(ch, io);
}

const struct store_ops mmap_store = {
	.api = STORE_API,
	.name = "mmap",
	.summary = "file or block device, reads sent from a mapping",
	.needs_path = true,
	.store_size = sizeof(struct mapped),
	.channel_size = sizeof(struct mapped_channel),
	.open = mmap_open,
	.close = mmap_close,
	.size = mmap_size,
	.channel_open = mmap_channel_open,
	.channel_close = mmap_channel_close,
	.submit = mmap_submit,
	.cancel = file_cancel,
};
