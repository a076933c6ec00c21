/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data in memory, sparse and bounded, gone when the store closes. Any number of threads; who
 * writes what another reads at the same time gets either. Short reads are lent to who only
 * hands them to the kernel.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "store/builtin.h"
#include "store/mapping.h"

#define IMAGE_CHUNK 65536u /* bytes that are allocated or dropped at once */
#define SIZE_MAX_BYTES (1ull << 46) /* what an address space can surely map */

struct image {
	struct mapping *map;
	unsigned char *data; /* its bytes, which the kernel fills with zeroes */
	_Atomic uint64_t *used; /* a bit per chunk: it counts as allocated */
	_Atomic uint64_t chunks; /* allocated */
	uint64_t size, limit; /* bytes; chunks */
};

struct mem_channel {
	struct lender *lender; /* NULL: no memory for one */
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t chunks_of(uint64_t size)
{
	return (size + IMAGE_CHUNK - 1) / IMAGE_CHUNK;
}

/* Half of the machine's memory. */
static uint64_t default_limit(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
}

static int image_map(struct image *m, struct err *e)
{
	m->used = calloc(chunks_of(m->size) / 64 + 1, sizeof(*m->used));
	if (!m->used)
		return err_set(e, -ENOMEM,
			       "no memory to keep account of %llu bytes: use a smaller "
			       "size",
			       (unsigned long long)m->size);
	m->map = mapping_new(m->size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (!m->map) {
		int err = -errno;

		free(m->used);
		return err_set(e, err, "cannot map %llu bytes of memory: %s; use a smaller size",
			       (unsigned long long)m->size, strerror(-err));
	}
	m->data = m->map->base;
	/* Half the TLB misses; but where the limit may be reached, a huge page would take 2 MiB for one chunk. */
	madvise(m->data, m->size,
		m->size / IMAGE_CHUNK <= m->limit ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return 0;
}

static int image_open(struct image *m, struct store *s, struct err *e)
{
	struct store_limits *l = store_limits_of(s);
	uint64_t limit = default_limit();
	int err;

	err = store_option_size(s, "size", &m->size, e);
	if (!err)
		err = store_option_size(s, "limit", &limit, e);
	if (err)
		return err;
	if (!m->size)
		return err_set(e, -EINVAL,
			       "store %s needs a size above 0: add the option size=, "
			       "for example size=64M",
			       store_type(s));
	if (m->size > SIZE_MAX_BYTES)
		return err_set(e, -EINVAL, "size=%llu of store %s is too large: at most %lluT",
			       (unsigned long long)m->size, store_type(s), SIZE_MAX_BYTES >> 40);
	m->limit = limit / IMAGE_CHUNK;
	err = image_map(m, e);
	if (err)
		return err;
	l->size = m->size;
	l->discard_granularity = IMAGE_CHUNK;
	l->fua = true;
	for (unsigned i = 0; i <= STORE_EXTENTS; i++)
		l->cap[i] = STORE_CAP_NATIVE;
	return 0;
}

static void image_close(struct image *m)
{
	mapping_put_waiting(m->map);
	free(m->used);
}

static bool is_used(struct image *m, uint64_t chunk)
{
	return atomic_load_explicit(&m->used[chunk / 64], memory_order_relaxed) >> chunk % 64 & 1;
}

/* Count @chunk as allocated. False if the limit forbids it. */
static bool use(struct image *m, uint64_t chunk)
{
	uint64_t bit = 1ull << chunk % 64;

	if (is_used(m, chunk))
		return true;
	if (atomic_fetch_add(&m->chunks, 1) >= m->limit) {
		atomic_fetch_sub(&m->chunks, 1);
		return false;
	}
	if (atomic_fetch_or(&m->used[chunk / 64], bit) & bit)
		atomic_fetch_sub(&m->chunks, 1); /* another thread was first */
	return true;
}

static void unuse(struct image *m, uint64_t chunk)
{
	uint64_t bit = 1ull << chunk % 64;

	if (atomic_fetch_and(&m->used[chunk / 64], ~bit) & bit)
		atomic_fetch_sub(&m->chunks, 1);
}

/* Bytes of the range that can be written, from its start; all of it if the limit allows. */
static uint64_t allocate(struct image *m, uint64_t off, uint64_t len)
{
	for (uint64_t at = off; at < off + len; at = (at / IMAGE_CHUNK + 1) * IMAGE_CHUNK)
		if (!use(m, at / IMAGE_CHUNK))
			return at - off;
	return len;
}

static void copy(struct image *m, const struct store_io *io, uint64_t len)
{
	unsigned char *p = m->data + io->offset;

	for (unsigned i = 0; i < io->iovcnt && len; i++) {
		size_t n = least(io->iov[i].iov_len, len);

		if (io->verb == STORE_READ)
			memcpy(io->iov[i].iov_base, p, n);
		else
			memcpy(p, io->iov[i].iov_base, n);
		p += n;
		len -= n;
	}
}

/* Zeroes within one chunk; in one that was never written they are there already. */
static void wipe_part(struct image *m, uint64_t off, uint64_t end)
{
	if (off < end && is_used(m, off / IMAGE_CHUNK))
		memset(m->data + off, 0, end - off);
}

/* Make the range zeroes; whole chunks go back to the system, and out of the account if @drop. */
static void wipe(struct image *m, uint64_t off, uint64_t len, bool drop)
{
	uint64_t end = off + len;
	uint64_t first = chunks_of(off) * IMAGE_CHUNK; /* whole chunks: [first, last) */
	uint64_t last = end == m->size ? end : end / IMAGE_CHUNK * IMAGE_CHUNK;

	wipe_part(m, off, least(first, end));
	if (last >= first)
		wipe_part(m, last, end);
	if (last <= first)
		return;
	for (uint64_t at = first; drop && at < last; at += IMAGE_CHUNK)
		unuse(m, at / IMAGE_CHUNK);
	madvise(m->data + first, last - first, MADV_DONTNEED);
}

/* The 64 chunks from @chunk on are all of one kind, and have a word of their own. */
static bool same_word(struct image *m, uint64_t chunk, bool mapped)
{
	return chunk % 64 == 0 && atomic_load_explicit(&m->used[chunk / 64], memory_order_relaxed) ==
					  (mapped ? UINT64_MAX : 0);
}

static struct store_extent extent_at(struct image *m, uint64_t off)
{
	bool mapped = is_used(m, off / IMAGE_CHUNK);
	uint64_t end = (off / IMAGE_CHUNK + 1) * IMAGE_CHUNK;

	while (end < m->size && is_used(m, end / IMAGE_CHUNK) == mapped)
		end += same_word(m, end / IMAGE_CHUNK, mapped) ? 64 * IMAGE_CHUNK : IMAGE_CHUNK;
	return (struct store_extent){ least(end, m->size) - off, mapped };
}

static int image_write(struct image *m, struct store_io *io, uint64_t *where)
{
	uint64_t len = allocate(m, io->offset, io->length);

	if (io->verb == STORE_ZERO)
		wipe(m, io->offset, len, false);
	else
		copy(m, io, len);
	*where = io->offset + len;
	return len < io->length ? -ENOSPC : 0;
}

static int image_do(struct image *m, struct store_io *io, uint64_t *where)
{
	switch (io->verb) {
	case STORE_READ:
		copy(m, io, io->length);
		return 0;
	case STORE_ZERO:
		if (!(io->flags & STORE_MAY_UNMAP))
			return image_write(m, io, where);
		/* fallthrough */
	case STORE_DISCARD:
		wipe(m, io->offset, io->length, true);
		return 0;
	case STORE_WRITE:
		return image_write(m, io, where);
	case STORE_EXTENTS:
		io->extent = extent_at(m, io->offset);
		return 0;
	default:
		return 0;
	}
}

/* ---- the store ---- */

static int mem_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	return image_open(store_priv(s), s, e);
}

static void mem_close(struct store *s)
{
	image_close(store_priv(s));
}

static int mem_channel_open(struct store_channel *ch)
{
	struct image *m = store_priv(channel_store(ch));
	struct mem_channel *c = channel_priv(ch);

	c->lender = lender_open(mapping_ref(m->map));
	return 0;
}

static void mem_channel_close(struct store_channel *ch)
{
	struct mem_channel *c = channel_priv(ch);

	lender_close(c->lender);
}

static void mem_submit(struct store_channel *ch, struct store_io *io)
{
	struct mem_channel *c = channel_priv(ch);
	uint64_t where = 0;
	int err = 0;

	if (io->verb == STORE_READ && io->flags & STORE_MAY_LEND_MAPPING &&
	    io->length <= LEND_MAX && c->lender)
		lender_lend(c->lender, io);
	else
		err = image_do(store_priv(channel_store(ch)), io, &where);
	store_done(io, err, where);
}

static const char *const mem_options[] = { "size", "limit", NULL };

const struct store_ops mem_store = {
	.api = STORE_API,
	.name = "mem",
	.summary = "memory, sparse, lost at the end",
	.options = mem_options,
	.store_size = sizeof(struct image),
	.channel_size = sizeof(struct mem_channel),
	.open = mem_open,
	.close = mem_close,
	.channel_open = mem_channel_open,
	.channel_close = mem_channel_close,
	.submit = mem_submit,
};
