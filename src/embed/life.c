/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An instance, from its first thread to its last. As the daemon (src/main.c), but that control
 * has a thread of its own, and that nothing of the process is touched.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "embed/embed.h"
#include "reactor/bufpool.h"
#include "transport/iscsi/iscsi.h"
#include "transport/vhost/vhost.h"

#define CONTROL_MEMORY SLAB_SIZE
#define MEMORY (256ull << 20) /* by default */

/*
 * Counters are kept by the number of a reactor, one writer each, and logs go to one place: so a
 * process has one instance.
 */
static _Atomic bool taken;

/* ---- options ------------------------------------------------------------------------------- */

/* What this library knows of the program's options; -E2BIG: they have more, and it is not zero. */
static int read_options(const struct stgt_options *from, struct stgt_options *o,
			struct stgt_error *e)
{
	const uint8_t *p = (const uint8_t *)from;

	*o = (struct stgt_options){ 0 };
	if (!from)
		return 0;
	if (from->size < sizeof(from->size) || from->size > 4096)
		return say(e, -EINVAL,
			   "options of %zu bytes: size has to be sizeof(struct stgt_options)",
			   from->size);
	for (size_t i = sizeof(*o); i < from->size; i++)
		if (p[i])
			return say(e, -E2BIG,
				   "the program asks for an option that this library (%s) does not "
				   "know: install a newer libstgt",
				   STGT_VERSION);
	memcpy(o, from, min(from->size, sizeof(*o)));
	return 0;
}

static int check_options(struct stgt_options *o, struct stgt_error *e)
{
	unsigned n = o->threads ? o->threads : reactor_default_count();

	if (o->threads > REACTORS_MAX)
		return say(e, -EINVAL, "%u threads: there can be %d at most", o->threads,
			   REACTORS_MAX);
	if ((unsigned)o->log_level > STGT_LOG_DEBUG)
		return say(e, -EINVAL, "there is no log level %d: %d (errors) to %d (debug)",
			   (int)o->log_level, STGT_LOG_ERR, STGT_LOG_DEBUG);
	if (o->poll_us > 1000000)
		return say(e, -EINVAL, "poll_us %u: a second (1000000) is the most", o->poll_us);
	if (!o->memory)
		o->memory = MEMORY;
	if (o->memory < (o->threads ? n : 1) * (uint64_t)SLAB_SIZE)
		return say(e, -EINVAL, "%llu bytes of memory: each of %u threads needs %u at least",
			   (unsigned long long)o->memory, o->threads ? n : 1, SLAB_SIZE);
	o->threads = (unsigned)min((uint64_t)n, o->memory / SLAB_SIZE);
	return 0;
}

/* ---- logs ------------------------------------------------------------------------------------ */

static void (*told)(void *arg, enum stgt_log_level level, const char *text);
static void *told_arg;

static void tell(enum log_level level, const char *text)
{
	if (told)
		told(told_arg, (enum stgt_log_level)(level + STGT_LOG_ERR), text);
}

/* Before threads start. */
static void open_log(const struct stgt_options *o)
{
	enum stgt_log_level level = o->log_level ? o->log_level : STGT_LOG_INFO;

	told = o->log;
	told_arg = o->log_arg;
	log_open_fn(tell);
	log_set_level((enum log_level)(level - STGT_LOG_ERR));
}

/* ---- the start --------------------------------------------------------------------------------- */

static int create_reactors(struct stgt *s, const struct stgt_options *o)
{
	const struct engine *engine = engine_choose(o->engine, &s->err);
	struct reactor_opts ro = {
		.name = "stgt",
		.id = REACTORS_MAX,
		.engine = &engine_epoll,
		.buf_cap = CONTROL_MEMORY,
	};
	char name[16];

	if (!engine)
		return s->err.code;
	s->self = reactor_create(&ro, &s->err);
	if (!s->self)
		return s->err.code;
	for (unsigned i = 0; i < o->threads; i++) {
		snprintf(name, sizeof(name), "stgt-%u", i);
		ro = (struct reactor_opts){
			.name = name,
			.id = i,
			.engine = engine,
			.poll_us = o->poll_us,
			.buf_cap = o->memory / o->threads,
		};
		s->reactors[i] = reactor_create(&ro, &s->err);
		if (!s->reactors[i])
			return s->err.code;
		s->nreactors++;
	}
	return 0;
}

static int start_reactors(struct stgt *s)
{
	for (unsigned i = 0; i < s->nreactors; i++)
		if (reactor_start(s->reactors[i], &s->err))
			return s->err.code;
	return 0;
}

/* system.shutdown is refused before it comes here; the end is stgt_destroy()'s. */
static void no_shutdown(struct control *c)
{
}

/*
 * They listen nowhere before portal.add and vhost.add. There is no server for the kernel's ring: it
 * would take up devices by itself, which are the daemon's.
 */
static void start_servers(struct control *c, struct err *e)
{
	struct iscsi_opts io = { 0 };

	c->iscsi = iscsi_server_create(&c->ts, &io, e);
	if (c->iscsi)
		c->vhost = vhost_server_create(&c->ts, e);
}

/* On control. */
static void start(struct msg *m)
{
	struct stgt *s = container_of(m, struct stgt, msg);

	s->control.self = s->self;
	s->control.reactors = s->reactors;
	s->control.nreactors = s->nreactors;
	s->control.shutdown = no_shutdown;
	if (!start_reactors(s) && !control_init(&s->control, &s->err))
		start_servers(&s->control, &s->err);
	waiting_end(&s->started);
}

/* Everything is done on its threads, or never began. */
static void down(struct stgt *s)
{
	struct list *l;

	reactor_join(s->self);
	for (unsigned i = 0; i < s->nreactors; i++)
		reactor_join(s->reactors[i]);
	for (unsigned i = 0; i < s->nreactors; i++)
		reactor_destroy(s->reactors[i]);
	if (s->control.vhost)
		vhost_server_destroy(s->control.vhost);
	if (s->control.iscsi)
		iscsi_server_destroy(s->control.iscsi);
	if (s->control.ts.control)
		control_fini(&s->control);
	reactor_destroy(s->self);
	offload_shutdown();
	while ((l = list_pop(&s->sessions)))
		free(list_entry(l, struct stgt_session, link));
	waiting_fini(&s->started);
	waiting_fini(&s->ended);
	pthread_mutex_destroy(&s->lock);
	free(s);
	told = NULL;
	atomic_store(&taken, false);
}

static struct stgt *failed(struct stgt *s, struct stgt_error *e)
{
	say_err(e, &s->err);
	down(s);
	return NULL;
}

static struct stgt *up(const struct stgt_options *o, struct stgt_error *e)
{
	struct stgt *s = calloc(1, sizeof(*s));

	if (!s) {
		say(e, -ENOMEM, "no memory for a target");
		atomic_store(&taken, false);
		return NULL;
	}
	list_init(&s->sessions);
	pthread_mutex_init(&s->lock, NULL);
	waiting_init(&s->started);
	waiting_init(&s->ended);
	open_log(o);
	json_object_seed(0); /* once, before several threads use it */
	if (create_reactors(s, o) || reactor_start(s->self, &s->err))
		return failed(s, e);
	reactor_post(s->self, &s->msg, start);
	waiting_for(&s->started, -1);
	return s->err.code ? failed(s, e) : s;
}

struct stgt *stgt_create(const struct stgt_options *from, struct stgt_error *e)
{
	struct stgt_options o;

	if (may_wait("stgt_create()", e) || read_options(from, &o, e) || check_options(&o, e))
		return NULL;
	if (atomic_exchange(&taken, true)) {
		say(e, -EBUSY,
		    "this process has a target already, and there can be one: make targets and "
		    "logical units in that one, or end it by stgt_destroy()");
		return NULL;
	}
	if (e)
		*e = (struct stgt_error){ 0 };
	return up(&o, e);
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void cleared(struct control *c)
{
	waiting_end(&container_of(c, struct stgt, control)->ended);
}

static void server_stopped(void *arg)
{
	struct stgt *s = arg;

	if (!--s->servers)
		control_clear(&s->control, 0, cleared);
}

/* On control. */
static void end(struct msg *m)
{
	struct stgt *s = container_of(m, struct stgt, msg);

	s->control.ts.offline = true;
	s->servers = 2;
	iscsi_server_stop(s->control.iscsi, 0, server_stopped, s);
	vhost_server_stop(s->control.vhost, 0, server_stopped, s);
}

int stgt_destroy(struct stgt *s, int timeout_ms, struct stgt_error *e)
{
	int err = may_wait("stgt_destroy()", e);

	if (err || !s)
		return err;
	if (!s->ending) {
		s->ending = true;
		reactor_post(s->self, &s->msg, end);
	}
	if (!waiting_for(&s->ended, timeout_ms))
		return say(e, -ETIMEDOUT,
			   "stores have not ended their work, flushed and closed in %d ms: call "
			   "stgt_destroy() again to wait longer",
			   timeout_ms);
	down(s);
	return 0;
}
