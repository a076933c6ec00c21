/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registry and life. Opening: the store on an offload thread, then a channel
 * on each reactor by message. Closing: every channel drains, then every
 * channel closes (the home's after the last request that another brought),
 * then the store closes on an offload thread. Whoever asked owns the move and
 * counts the answers, which all come to its own reactor.
 */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/builtin.h"
#include "store/core.h"

#define BLOCK_MIN 512
#define BLOCK_MAX 65536

const struct store_ops *const store_list[] = {
	&file_store, &rdwr_store,     &aio_store,   &mem_store,
	&null_store, &nullhome_store, &delay_store, NULL,
};

const struct store_ops *store_find(const char *name)
{
	for (unsigned i = 0; store_list[i]; i++)
		if (!strcmp(store_list[i]->name, name))
			return store_list[i];
	return NULL;
}

const char *store_state(const struct store *s)
{
	static const char *const name[] = {
		[STORE_CLOSED] = "closed",   [STORE_OPENING] = "opening",
		[STORE_OPEN] = "open",	     [STORE_DRAINING] = "draining",
		[STORE_CLOSING] = "closing", [STORE_FAILED] = "failed",
	};

	return name[atomic_load_explicit(&s->state, memory_order_relaxed)];
}

static void set_state(struct store *s, enum store_state state)
{
	atomic_store_explicit(&s->state, (int)state, memory_order_release);
}

/* ---- memory ---- */

static void *zalloc(size_t size)
{
	void *p = aligned_alloc(64, round_up(size ? size : 1, 64));

	if (p)
		memset(p, 0, round_up(size ? size : 1, 64));
	return p;
}

static void channel_free(struct store_channel *ch)
{
	if (!ch)
		return;
	free(ch->priv);
	free(ch);
}

static void store_free(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < array_size(s->ch); i++)
		channel_free(s->ch[i]);
	options_free(&s->options);
	free(s->type);
	free(s->path);
	free(s->opts);
	free(s->oflags);
	free(s->priv);
	free(s);
}

static struct store_channel *channel_new(struct store *s, struct reactor *r, bool serves)
{
	struct store_channel *ch = zalloc(sizeof(*ch));

	if (!ch)
		return NULL;
	ch->store = s;
	ch->reactor = r;
	ch->serves = serves;
	later_init(&ch->later, channel_run);
	list_init(&ch->queue);
	ch->priv = zalloc(serves ? s->ops->channel_size : 0);
	if (!ch->priv) {
		free(ch);
		return NULL;
	}
	return ch;
}

static bool channels_new(struct store *s, const struct store_open *o)
{
	bool home = s->ops->affinity == STORE_AFFINITY_HOME;

	for (unsigned i = 0; i < o->nreactors; i++) {
		struct reactor *r = o->reactors[i];
		struct store_channel *ch = channel_new(s, r, !home || r == o->home);

		if (!ch)
			return false;
		s->ch[reactor_id(r)] = ch;
		if (home && r == o->home)
			s->home = ch;
	}
	return true;
}

static bool copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static struct store *store_new(const struct store_ops *ops, const struct store_open *o)
{
	struct store *s = zalloc(sizeof(*s));

	if (!s)
		return NULL;
	s->ops = ops;
	s->priv = zalloc(ops->store_size);
	if (!s->priv || !channels_new(s, o) || !copy_string(&s->type, ops->name) ||
	    !copy_string(&s->path, o->spec.path) || !copy_string(&s->opts, o->spec.opts) ||
	    !copy_string(&s->oflags, o->spec.oflags)) {
		store_free(s);
		return NULL;
	}
	return s;
}

/* ---- every channel ---- */

static void for_channels(struct store *s, void (*fn)(struct msg *m))
{
	/* counted first: a channel of this very reactor cannot answer in between, others can */
	s->move.waiting = 0;
	for (unsigned i = 0; i < array_size(s->ch); i++)
		s->move.waiting += s->ch[i] != NULL;
	for (unsigned i = 0; i < array_size(s->ch); i++)
		if (s->ch[i])
			reactor_post(s->ch[i]->reactor, &s->ch[i]->msg, fn);
}

static void answer(struct store_channel *ch, void (*fn)(struct msg *m))
{
	reactor_post(ch->store->move.self, &ch->msg, fn);
}

static struct store *answered(struct msg *m, bool *last)
{
	struct store *s = container_of(m, struct store_channel, msg)->store;

	*last = --s->move.waiting == 0;
	return s;
}

/* ---- closing; also the end of an opening that failed ---- */

static void close_run(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);

	s->ops->close(s);
}

static void open_failed(struct store *s);

static void close_done(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);
	void (*closed)(void *arg) = s->move.closed;
	void *arg = s->move.arg;

	if (s->move.open) {
		open_failed(s);
		return;
	}
	set_state(s, STORE_CLOSED);
	store_free(s);
	closed(arg);
}

static void channel_closed(struct msg *m)
{
	bool last;
	struct store *s = answered(m, &last);

	if (!last)
		return;
	s->move.job = (struct offload){ .run = close_run, .done = close_done };
	offload_submit(s->move.self, &s->move.job, OFFLOAD_SLOW);
}

static void channel_close(struct msg *m)
{
	struct store_channel *ch = container_of(m, struct store_channel, msg);

	later_cancel(&ch->later);
	if (ch->opened && ch->store->ops->channel_close)
		ch->store->ops->channel_close(ch);
	ch->opened = false;
	answer(ch, channel_closed);
}

static void close_channels(struct store *s)
{
	for_channels(s, channel_close);
}

static void channel_drained(struct msg *m)
{
	bool last;
	struct store *s = answered(m, &last);

	if (!last)
		return;
	set_state(s, STORE_CLOSING);
	close_channels(s);
}

void channel_check_drained(struct store_channel *ch)
{
	if (likely(!ch->draining))
		return;
	if (atomic_load_explicit(&ch->inflight, memory_order_relaxed))
		return;
	ch->draining = false;
	answer(ch, channel_drained);
}

static void channel_drain(struct msg *m)
{
	struct store_channel *ch = container_of(m, struct store_channel, msg);

	ch->draining = true;
	channel_check_drained(ch);
}

void store_close(struct reactor *self, struct store *s, void (*done)(void *arg), void *arg)
{
	s->move = (struct store_move){ .self = self, .closed = done, .arg = arg };
	set_state(s, STORE_DRAINING);
	for_channels(s, channel_drain);
}

/* ---- opening ---- */

/* On the asking reactor. The caller may free @o in done. */
static void open_answer(struct store_open *o, struct store *s)
{
	o->store = s;
	if (s)
		o->err.code = 0;
	o->done(o);
}

static void open_failed(struct store *s)
{
	struct store_open *o = s->move.open;

	set_state(s, STORE_FAILED);
	store_free(s);
	open_answer(o, NULL);
}

static void channel_opened(struct msg *m)
{
	bool last;
	struct store_channel *ch = container_of(m, struct store_channel, msg);
	struct store *s = answered(m, &last);
	struct store_open *o = s->move.open;

	if (ch->err && !s->move.err) {
		s->move.err = ch->err;
		err_set(&o->err, ch->err, "store %s%s%s cannot start on reactor %s: %s",
			store_type(s), s->path ? " " : "", store_path(s), reactor_name(ch->reactor),
			strerror(-ch->err));
	}
	if (!last)
		return;
	if (s->move.err) {
		close_channels(s);
		return;
	}
	s->move.open = NULL;
	set_state(s, STORE_OPEN);
	open_answer(o, s);
}

static void channel_open(struct msg *m)
{
	struct store_channel *ch = container_of(m, struct store_channel, msg);
	struct store *s = ch->store;

	if (ch->serves && s->ops->channel_open)
		ch->err = s->ops->channel_open(ch);
	ch->opened = ch->serves && !ch->err;
	answer(ch, channel_opened);
}

/* What the store said of itself must make sense, whoever wrote it. */
static int check_limits(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = &s->limits;
	uint32_t unit;

	if (!l->block)
		l->block = 1;
	if (!l->physical)
		l->physical = spec->block_size;
	if (!l->mem_align)
		l->mem_align = 1;
	l->readonly |= spec->readonly;
	if (!l->size)
		return err_set(e, -EINVAL, "store %s has no bytes: give it a size", store_type(s));
	if (l->size % spec->block_size) {
		uint64_t up = (l->size / spec->block_size + 1) * spec->block_size;

		return err_set(e, -EINVAL,
			       "store %s has %" PRIu64
			       " bytes, which is not a multiple of the block "
			       "size %u: give it %" PRIu64 " or use another block size",
			       store_type(s), l->size, spec->block_size, up);
	}
	/* transfers of one block must be possible, in memory that is cut as the store asks */
	unit = max(l->block, l->mem_align);
	if (!is_pow2(l->block) || !is_pow2(l->mem_align) || unit > spec->block_size ||
	    (l->max_io && l->max_io < l->block))
		return err_set(e, -EINVAL,
			       "store %s cannot serve blocks of %u bytes: it works in "
			       "units of %u; use a block size of %u",
			       store_type(s), spec->block_size, unit, unit);
	return 0;
}

static void open_run(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);
	struct store_open *o = s->move.open;
	struct store_spec spec = { s->type,	    s->path, s->opts, s->oflags, o->spec.block_size,
				   o->spec.readonly };
	char what[80];

	snprintf(what, sizeof(what), "store %s", s->type);
	if (!spec.block_size)
		spec.block_size = BLOCK_MIN;
	s->move.err = options_parse(&s->options, s->opts, s->ops->options, what, &o->err);
	if (s->move.err)
		return;
	s->move.err = s->ops->open(s, &spec, &o->err);
	options_free(&s->options);
	if (s->move.err)
		return;
	s->move.err = check_limits(s, &spec, &o->err);
	if (s->move.err)
		s->ops->close(s);
}

static void open_done(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);

	if (s->move.err)
		open_failed(s);
	else
		for_channels(s, channel_open);
}

static int unknown_type(const char *type, struct err *e)
{
	const char *names[array_size(store_list)];
	const char *near;

	for (unsigned i = 0; i < array_size(store_list); i++)
		names[i] = store_list[i] ? store_list[i]->name : NULL;
	near = store_suggest(type, names);
	return err_set(e, -EINVAL, "there is no store type '%.64s': %s '%s'?", type,
		       near ? "did you mean" : "how about", near ? near : "file");
}

static bool home_is_there(const struct store_ops *ops, const struct store_open *o)
{
	for (unsigned i = 0; i < o->nreactors; i++)
		if (ops->affinity == STORE_AFFINITY_ANY || o->reactors[i] == o->home)
			return true;
	return false;
}

static int check_spec(const struct store_ops *ops, const struct store_open *o, struct err *e)
{
	const struct store_spec *p = &o->spec;
	uint32_t b = p->block_size;

	if (b && (b < BLOCK_MIN || b > BLOCK_MAX || !is_pow2(b)))
		return err_set(e, -EINVAL,
			       "block size %u is not possible: use 512, 4096 or another "
			       "power of two from %u to %u",
			       b, BLOCK_MIN, BLOCK_MAX);
	if (ops->needs_path && (!p->path || !*p->path))
		return err_set(e, -EINVAL,
			       "store type %s needs a path: name the file or block "
			       "device that holds the data",
			       ops->name);
	if (!home_is_there(ops, o))
		return err_set(e, -EINVAL, "store type %s needs a reactor to run on", ops->name);
	return 0;
}

static const struct store_ops *choose(const struct store_open *o, struct err *e)
{
	const struct store_ops *ops = o->ops;

	if (!ops && (!o->spec.type || !*o->spec.type)) {
		err_set(e, -EINVAL, "no store type is given: use file, mem or null");
		return NULL;
	}
	if (!ops)
		ops = store_find(o->spec.type);
	if (!ops) {
		unknown_type(o->spec.type, e);
		return NULL;
	}
	return check_spec(ops, o, e) ? NULL : ops;
}

static void refused(struct msg *m)
{
	open_answer(container_of(m, struct store_open, msg), NULL);
}

/* What is refused at once is told by message too: done never runs in the call. */
static void refuse(struct reactor *self, struct store_open *o)
{
	reactor_post(self, &o->msg, refused);
}

void store_open(struct reactor *self, struct store_open *o)
{
	const struct store_ops *ops;
	struct store *s;

	o->store = NULL;
	o->err.code = 0;
	o->err.text[0] = 0;
	ops = choose(o, &o->err);
	if (!ops) {
		refuse(self, o);
		return;
	}
	s = store_new(ops, o);
	if (!s) {
		err_set(&o->err, -ENOMEM, "no memory to open store %s", ops->name);
		refuse(self, o);
		return;
	}
	s->move.self = self;
	s->move.open = o;
	s->move.job = (struct offload){ .run = open_run, .done = open_done };
	set_state(s, STORE_OPENING);
	offload_submit(self, &s->move.job, OFFLOAD_SLOW);
}
