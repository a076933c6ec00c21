/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slab is eight blocks of 256 KiB. A block belongs to no class (free), or is
 * cut into buffers of one class; it keeps its class while nobody else needs
 * it, even without a live buffer, so that a buffer that comes and goes does
 * not cut its block anew each time.
 */
#include "reactor/bufpool.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/list.h"
#include "base/log.h"
#include "reactor/internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif

/* Freed memory is out of bounds for the address sanitizer. */
#ifdef POISON
#include <sanitizer/asan_interface.h>
#define hide(ptr, len) __asan_poison_memory_region(ptr, len)
#define show(ptr, len) __asan_unpoison_memory_region(ptr, len)
#else
#define hide(ptr, len) ((void)0)
#define show(ptr, len) ((void)0)
#endif

#define BLOCK_SIZE BUF_MAX
#define BLOCKS (SLAB_SIZE / BLOCK_SIZE)
#define BUFS_MAX (BLOCK_SIZE / 4096)

const uint32_t buf_class_size[BUF_CLASSES] = { 4u << 10, 16u << 10, 64u << 10, BUF_MAX };

struct node {
	struct buf buf;
	struct block *block;
	struct list link; /* bufpool.bufs[class] while free */
};

struct block {
	struct slab *slab;
	unsigned live, class; /* class: of the buffers it is cut into, if cut */
	bool cut;
	struct list link; /* bufpool.blocks if not cut, bufpool.empty if cut and live is 0 */
	struct node node[BUFS_MAX];
};

struct slab {
	uint8_t *mem;
	unsigned live; /* blocks with live buffers */
	struct list link; /* bufpool.slabs, or bufpool.unused if live is 0 */
	struct block block[BLOCKS];
};

struct bufpool {
	struct list bufs[BUF_CLASSES]; /* free buffers, last used first */
	struct list blocks, empty;
	struct list slabs, unused;
	struct list waiters; /* struct buf_waiter */
	bool freed; /* memory came back since a waiter was told last */
	unsigned unused_now, unused_low; /* slabs; low: fewest since the last trim */
	/* Single writer, so that bufpool_stats() may read from any thread. */
	_Atomic size_t used, reserved, held;
	_Atomic uint64_t gets, fails;
	size_t cap;
};

#define peek(v) atomic_load_explicit(&(v), memory_order_relaxed)
#define bump(v, n) atomic_store_explicit(&(v), peek(v) + (n), memory_order_relaxed)

static unsigned class_index(size_t size)
{
	unsigned c = 0;

	while (c < BUF_CLASSES - 1 && buf_class_size[c] < size)
		c++;
	return c;
}

uint32_t buf_class_of(size_t size)
{
	return buf_class_size[class_index(size)];
}

struct bufpool *bufpool_create(size_t cap)
{
	struct bufpool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->cap = cap;
	for (unsigned c = 0; c < BUF_CLASSES; c++)
		list_init(&p->bufs[c]);
	list_init(&p->blocks);
	list_init(&p->empty);
	list_init(&p->slabs);
	list_init(&p->unused);
	list_init(&p->waiters);
	return p;
}

/* --- slabs --- */

/* SLAB_SIZE bytes aligned to their size, so that a huge page can back them. */
static uint8_t *map_slab(void)
{
	uint8_t *m = mmap(NULL, 2 * SLAB_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;

	if (m == MAP_FAILED)
		return NULL;
	head = round_up((uintptr_t)m, SLAB_SIZE) - (uintptr_t)m;
	if (head)
		munmap(m, head);
	munmap(m + head + SLAB_SIZE, SLAB_SIZE - head);
	madvise(m + head, SLAB_SIZE, MADV_HUGEPAGE); /* a wish: without it more TLB misses */
	return m + head;
}

static void slab_unused(struct bufpool *p, struct slab *s)
{
	list_del(&s->link);
	list_push(&p->unused, &s->link);
	p->unused_now++;
}

static bool grow(struct bufpool *p)
{
	struct slab *s = calloc(1, sizeof(*s));

	if (!s)
		return false;
	s->mem = map_slab();
	if (!s->mem) {
		free(s);
		return false;
	}
	hide(s->mem, SLAB_SIZE);
	list_init(&s->link);
	slab_unused(p, s);
	for (unsigned i = 0; i < BLOCKS; i++) {
		s->block[i].slab = s;
		list_add(&p->blocks, &s->block[i].link);
	}
	bump(p->held, SLAB_SIZE);
	return true;
}

/* --- blocks --- */

static uint8_t *block_mem(const struct block *b)
{
	return b->slab->mem + (size_t)(b - b->slab->block) * BLOCK_SIZE;
}

static void cut(struct bufpool *p, struct block *b, unsigned class)
{
	uint32_t size = buf_class_size[class];

	list_del(&b->link);
	b->cut = true;
	b->class = class;
	list_push(&p->empty, &b->link);
	for (unsigned i = BLOCK_SIZE / size; i--;) {
		struct node *n = &b->node[i];

		n->buf = (struct buf){ .pool = p,
				       .data = block_mem(b) + i * (size_t)size,
				       .size = size };
		n->block = b;
		list_push(&p->bufs[class], &n->link);
	}
}

/* Make a cut block without live buffers free for any class. */
static void join(struct bufpool *p, struct block *b)
{
	for (unsigned i = 0; i < BLOCK_SIZE / buf_class_size[b->class]; i++)
		list_del(&b->node[i].link);
	list_del(&b->link);
	b->cut = false;
	list_push(&p->blocks, &b->link);
}

/*
 * A free buffer of @class: its own, else from a free block, else from a block
 * that another class does not use, else (if @may_grow) from the system.
 */
static struct node *find(struct bufpool *p, unsigned class, bool may_grow)
{
	if (list_empty(&p->bufs[class])) {
		if (list_empty(&p->blocks) && !list_empty(&p->empty))
			join(p, list_entry(p->empty.prev, struct block, link));
		if (list_empty(&p->blocks) && (!may_grow || !grow(p)))
			return NULL;
		cut(p, list_entry(p->blocks.next, struct block, link), class);
	}
	return list_entry(p->bufs[class].next, struct node, link);
}

/* --- buffers --- */

static struct buf *take(struct bufpool *p, struct node *n)
{
	struct block *b = n->block;

	list_del(&n->link);
	if (!b->live++) {
		list_del(&b->link);
		if (!b->slab->live++) {
			list_del(&b->slab->link);
			list_add(&p->slabs, &b->slab->link);
			p->unused_now--;
			p->unused_low = min(p->unused_low, p->unused_now);
		}
	}
	n->buf.users = 1;
	n->buf.next = NULL;
	show(n->buf.data, n->buf.size);
	bump(p->used, n->buf.size);
	bump(p->gets, 1);
	return &n->buf;
}

static struct buf *failed(struct bufpool *p)
{
	bump(p->fails, 1);
	return NULL;
}

static bool fits(const struct bufpool *p, size_t bytes)
{
	size_t taken = peek(p->used) + peek(p->reserved);

	return taken <= p->cap && bytes <= p->cap - taken;
}

struct buf *bufpool_get(struct bufpool *p, size_t size)
{
	unsigned class = class_index(size);
	struct node *n;
	bool may_grow;

	if (size > BUF_MAX || !fits(p, buf_class_size[class]))
		return failed(p);
	/* One slab more than the cap, for what is lost to blocks that are not full. */
	may_grow = peek(p->held) < round_up(p->cap, SLAB_SIZE) + SLAB_SIZE;
	n = find(p, class, may_grow);
	return n ? take(p, n) : failed(p);
}

struct buf *bufpool_get_reserved(struct bufpool *p, size_t size)
{
	unsigned class = class_index(size);
	struct node *n;

	if (size > BUF_MAX || peek(p->reserved) < buf_class_size[class])
		return failed(p);
	n = find(p, class, true);
	if (!n)
		return failed(p);
	bump(p->reserved, -(size_t)buf_class_size[class]);
	return take(p, n);
}

bool bufpool_reserve(struct bufpool *p, size_t bytes)
{
	if (!fits(p, bytes))
		return false;
	bump(p->reserved, bytes);
	return true;
}

void bufpool_unreserve(struct bufpool *p, size_t bytes)
{
	bump(p->reserved, -min(bytes, peek(p->reserved)));
	p->freed = true;
}

/* --- waiters --- */

void bufpool_wait(struct bufpool *p, struct buf_waiter *w)
{
	if (!list_linked(&w->link))
		list_add(&p->waiters, &w->link);
}

void bufpool_unwait(struct buf_waiter *w)
{
	list_del(&w->link);
}

bool bufpool_can_wake(const struct bufpool *p)
{
	return p->freed && !list_empty(&p->waiters);
}

void bufpool_wake(struct bufpool *p)
{
	struct list *n;

	p->freed = false;
	while ((n = list_pop(&p->waiters))) {
		struct buf_waiter *w = list_entry(n, struct buf_waiter, link);
		struct list *last = p->waiters.prev;

		w->fn(w);
		/* Still not enough for the first one: the others wait behind it. */
		if (p->waiters.prev != last && p->waiters.prev == n) {
			list_del(n);
			list_push(&p->waiters, n);
			return;
		}
	}
}

bool bufpool_ample(const struct bufpool *p)
{
	return p->used + p->reserved < p->cap / 2;
}

void buf_put(struct buf *buf)
{
	struct node *n;
	struct block *b;
	struct bufpool *p;

	if (!buf || --buf->users)
		return;
	if (unlikely(buf->release != NULL)) {
		buf->release(buf);
		return;
	}
	n = container_of(buf, struct node, buf);
	b = n->block;
	p = buf->pool;
	hide(buf->data, buf->size);
	bump(p->used, -(size_t)buf->size);
	p->freed = true;
	list_push(&p->bufs[b->class], &n->link);
	if (--b->live)
		return;
	list_push(&p->empty, &b->link);
	if (!--b->slab->live)
		slab_unused(p, b->slab);
}

/* --- giving back --- */

static void release(struct bufpool *p, struct slab *s)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (s->block[i].cut)
			join(p, &s->block[i]);
		list_del(&s->block[i].link);
	}
	list_del(&s->link);
	p->unused_now--;
	bump(p->held, -(size_t)SLAB_SIZE);
	show(s->mem, SLAB_SIZE);
	munmap(s->mem, SLAB_SIZE);
	free(s);
}

static void release_some(struct bufpool *p, unsigned count)
{
	/* The one used last is at the front and stays longest. */
	while (count-- && !list_empty(&p->unused))
		release(p, list_entry(p->unused.prev, struct slab, link));
	p->unused_low = p->unused_now;
}

void bufpool_trim(struct bufpool *p)
{
	release_some(p, p->unused_now);
}

bool bufpool_has_unused(const struct bufpool *p)
{
	return p->unused_now != 0;
}

void bufpool_trim_unused(struct bufpool *p)
{
	release_some(p, p->unused_low);
}

void bufpool_destroy(struct bufpool *p)
{
	struct slab *s, *tmp;

	if (!p)
		return;
	bufpool_trim(p);
	if (!list_empty(&p->slabs))
		log_warn("a buffer pool ends with %zu bytes in use", peek(p->used));
	list_for_each_safe(s, tmp, &p->slabs, link) {
		show(s->mem, SLAB_SIZE);
		munmap(s->mem, SLAB_SIZE);
		free(s);
	}
	free(p);
}

void bufpool_stats(const struct bufpool *p, struct bufpool_stats *st)
{
	*st = (struct bufpool_stats){
		.cap = p->cap,
		.used = peek(p->used),
		.reserved = peek(p->reserved),
		.slabs = peek(p->held),
		.gets = peek(p->gets),
		.fails = peek(p->fails),
	};
}
