/* SPDX-License-Identifier: BSD-2-Clause */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "reactor/sim.h"

const struct engine *rig_engine(int argc, char **argv)
{
	struct err e = { 0 };
	const char *name = argc > 1 ? argv[1] : "epoll";
	const struct engine *engine = NULL;

	if (!strcmp(name, engine_sim.name))
		return &engine_sim;
	engine = engine_choose(name, &e);
	if (engine)
		return engine;
	printf("1..0 # SKIP %s\n", e.text);
	exit(0);
}

static struct reactor *reactor_new(const struct engine *engine, unsigned id)
{
	struct reactor_opts o = {
		.name = id ? "home" : "test", .id = id, .engine = engine, .buf_cap = MIB(4)
	};
	struct err e = { 0 };
	struct reactor *r = reactor_create(&o, &e);

	if (!r)
		fail_msg("%s", e.text);
	return r;
}

void rig_init(struct rig *g, const struct engine *engine, bool home)
{
	struct err e;

	memset(g, 0, sizeof(*g));
	g->engine = engine;
	g->sim = engine == &engine_sim;
	if (g->sim)
		sim_begin(1);
	g->r = reactor_new(engine, 0);
	rig_enter(g);
	if (home) {
		g->home = reactor_new(engine, 1);
		if (!g->sim)
			assert_int_equal(reactor_start(g->home, &e), 0);
	}
	assert_non_null(mkdtemp(temp_path(g->dir, "store")));
}

void rig_remove(struct rig *g)
{
	const char *dir = g->dir;
	char path[512];
	struct dirent *d;
	DIR *h = opendir(dir);

	while (h && (d = readdir(h))) {
		snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		if (d->d_name[0] != '.' && unlink(path))
			rmdir(path);
	}
	if (h)
		closedir(h);
	rmdir(dir);
}

void rig_fini(struct rig *g)
{
	if (g->s)
		rig_close(g);
	reactor_destroy(g->home);
	reactor_destroy(g->r);
	if (g->sim)
		sim_end();
	rig_remove(g);
}

void rig_enter(struct rig *g)
{
	if (g->sim)
		sim_enter(g->r);
	else
		reactor_turn(g->r, 0);
}

/* Until *@flag is set, or nothing happens any more. */
static void sim_until(const unsigned *flag)
{
	while (!*flag)
		if (!sim_step())
			fail_msg("nothing happens any more");
}

void rig_until(struct rig *g, const unsigned *flag)
{
	if (g->sim) {
		sim_until(flag);
		return;
	}
	/* what a turn does before it waits may be all there is: first without waiting */
	reactor_turn(g->r, 0);
	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
		reactor_turn(g->r, NSEC_PER_MSEC);
}

struct opening {
	struct store_open o;
	unsigned done;
};

static void opened(struct store_open *o)
{
	container_of(o, struct opening, o)->done = 1;
}

int rig_open(struct rig *g, const struct store_spec *spec, const struct store_ops *ops)
{
	struct reactor *reactors[] = { g->r, g->home };
	struct opening w = { .o = { .spec = *spec,
				    .reactors = g->only_home ? reactors + 1 : reactors,
				    .nreactors = g->home && !g->only_home ? 2 : 1,
				    .home = g->home ? g->home : g->r,
				    .ops = ops,
				    .done = opened } };

	if (g->sim)
		rig_enter(g);
	store_open(g->r, &w.o);
	assert_int_equal(w.done, 0);
	rig_until(g, &w.done);
	g->err = w.o.err;
	g->s = w.o.store;
	if (!g->s)
		assert_int_not_equal(g->err.code, 0);
	return g->err.code;
}

static void closed(void *arg)
{
	*(unsigned *)arg = 1;
}

void rig_close(struct rig *g)
{
	unsigned done = 0;

	if (g->sim)
		rig_enter(g);
	store_close(g->r, g->s, closed, &done);
	assert_int_equal(done, 0);
	rig_until(g, &done);
	g->s = NULL;
}

struct sizing {
	struct store_resize r;
	unsigned done;
};

static void resized(struct store_resize *r)
{
	container_of(r, struct sizing, r)->done = 1;
}

int rig_size(struct rig *g, uint64_t size)
{
	struct sizing w = { .r = { .size = size, .done = resized } };

	rig_enter(g);
	store_resize(g->r, g->s, &w.r);
	rig_until(g, &w.done);
	g->err = w.r.err;
	return g->err.code;
}

void rig_refused(struct rig *g, const struct store_spec *spec, int code, const char *text)
{
	int err = rig_open(g, spec, NULL);

	if (!err)
		fail_msg("opened, but '%s' was expected", text);
	if (err != code || !strstr(g->err.text, text))
		fail_msg("%d '%s', but %d '%s' was expected", err, g->err.text, code, text);
}

static void io_done(struct store_io *io)
{
	struct req *q = container_of(io, struct req, io);

	q->done++;
	q->done_in_submit |= q->in_submit;
	q->done_on = reactor_self();
}

void rig_fill(struct req *q, enum store_verb verb, uint32_t flags, uint64_t off, uint64_t len,
	      void *data)
{
	memset(q, 0xa5, sizeof(*q)); /* nothing may depend on cleared rooms */
	q->done = 0;
	q->in_submit = q->done_in_submit = false;
	q->v[0] = (struct iovec){ data, len };
	q->io.verb = verb;
	q->io.flags = flags;
	q->io.offset = off;
	q->io.length = len;
	q->io.iov = q->v;
	q->io.iovcnt = data ? 1 : 0;
}

void rig_submit(struct rig *g, struct req *q)
{
	q->io.done = io_done;
	if (g->sim)
		rig_enter(g);
	q->in_submit = true;
	store_submit(g->s, &q->io);
	q->in_submit = false;
}

void rig_wait(struct rig *g, struct req *q)
{
	rig_until(g, &q->done);
	assert_int_equal(q->done, 1);
	assert_false(q->done_in_submit);
	assert_ptr_equal(q->done_on, g->r);
}

int rig_do(struct rig *g, struct req *q, enum store_verb verb, uint32_t flags, uint64_t off,
	   uint64_t len, void *data)
{
	rig_fill(q, verb, flags, off, len, data);
	rig_submit(g, q);
	rig_wait(g, q);
	assert_int_equal(q->io.verb, verb);
	assert_int_equal(q->io.flags, flags);
	assert_true(q->io.offset == off && q->io.length == len && q->io.iov == q->v);
	return q->io.err;
}

void *rig_memory(size_t size)
{
	void *p = aligned_alloc(4096, round_up(size, 4096));

	assert_non_null(p);
	memset(p, 0, round_up(size, 4096));
	return p;
}

const char *rig_file(struct rig *g, const char *name, uint64_t size)
{
	static char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", g->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	return path;
}

uint64_t rig_random(uint64_t *seed)
{
	*seed += 0x9e3779b97f4a7c15u;
	uint64_t z = *seed;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}
