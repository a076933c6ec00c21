/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening: the type is cut into words and found, what a layer stands on is
 * opened, then the store on an offload thread, then a channel on each reactor by
 * message. done never runs in the call that asked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/life.h"
#include "store/registry.h"

#define BLOCK_MAX 65536

/* ---- the store and its channels ---- */

/* On the asking reactor. The caller may free @o in done. */
static void open_answer(struct store_open *o, struct store *s)
{
	for (unsigned i = 0; i < array_size(o->own); i++)
		free(o->own[i]);
	store_free(o->failed);
	o->failed = NULL;
	o->store = s;
	if (s) {
		o->err.code = 0;
		store_news_begin(s);
	}
	o->done(o);
}

static void failed_below_closed(void *arg)
{
	open_answer(arg, NULL);
}

/* @o's error is set. What was opened for it is closed. */
static void open_give_up(struct store_open *o)
{
	struct store *below = o->below;

	o->below = NULL;
	if (below)
		store_close(o->self, below, failed_below_closed, o);
	else
		open_answer(o, NULL);
}

void store_open_failed(struct store *s)
{
	struct store_open *o = s->move.open;

	store_set_state(s, STORE_FAILED);
	o->failed = s; /* what is below tells it what happens, until that is closed */
	open_give_up(o);
}

static void channel_opened(struct msg *m)
{
	bool last;
	struct store_channel *ch = container_of(m, struct store_channel, msg);
	struct store *s = channel_answered(m, &last);
	struct store_open *o = s->move.open;

	if (ch->err && !s->move.err) {
		s->move.err = ch->err;
		err_set(&o->err, ch->err, "store %s%s%s cannot start on reactor %s: %s",
			store_type(s), *store_path(s) ? " " : "", store_path(s),
			reactor_name(ch->reactor), strerror(-ch->err));
	}
	if (!last)
		return;
	if (s->move.err) {
		store_close_channels(s);
		return;
	}
	s->move.open = NULL;
	store_set_state(s, STORE_OPEN);
	open_answer(o, s);
}

static void channel_open(struct msg *m)
{
	struct store_channel *ch = container_of(m, struct store_channel, msg);
	struct store *s = ch->store;

	if (ch->serves && s->ops->channel_open)
		ch->err = s->ops->channel_open(ch);
	ch->opened = ch->serves && !ch->err;
	channel_answer(ch, channel_opened);
}

static int check_bytes(const struct store *s, struct err *e)
{
	uint64_t size = s->limits.size, block = s->block_size;

	if (s->limits.cap[STORE_RAW] == STORE_CAP_NATIVE)
		return 0; /* what it has is the device's affair */
	if (!size)
		return err_set(e, -EINVAL, "store %s has no bytes: give it a size", store_type(s));
	if (size % block)
		return err_set(e, -EINVAL,
			       "store %s has %" PRIu64
			       " bytes, which is not a multiple of the block "
			       "size %" PRIu64 ": give it %" PRIu64 " or use another block size",
			       store_type(s), size, block, (size / block + 1) * block);
	return 0;
}

/* What the store said of itself must make sense, whoever wrote it. */
static int check_limits(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = &s->limits;
	uint32_t unit;
	int err;

	if (!l->block)
		l->block = 1;
	if (!l->physical)
		l->physical = spec->block_size;
	if (!l->mem_align)
		l->mem_align = 1;
	l->readonly |= spec->readonly;
	if (s->below && s->below->home) /* where the layer's requests can go from */
		l->affinity = STORE_AFFINITY_HOME;
	err = check_bytes(s, e);
	if (err)
		return err;
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
	struct store_spec spec = { s->type,   s->path,	     s->opts,
				   s->oflags, s->block_size, o->part.readonly };
	char what[80];

	snprintf(what, sizeof(what), "store %s", s->type);
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

/* Which channels serve. */
static void place(struct store *s, const struct reactor *home)
{
	bool one = s->limits.affinity == STORE_AFFINITY_HOME;

	for (unsigned i = 0; i < array_size(s->ch); i++) {
		if (!s->ch[i])
			continue;
		s->ch[i]->serves = !one || s->ch[i]->reactor == home;
		if (one && s->ch[i]->serves)
			s->home = s->ch[i];
	}
}

static void open_done(struct offload *j)
{
	struct store *s = container_of(j, struct store, move.job);
	struct store_open *o = s->move.open;

	atomic_store(&s->size, s->limits.size);
	if (s->move.err) {
		store_open_failed(s);
		return;
	}
	place(s, o->home);
	store_for_channels(s, channel_open);
}

/* @o->part is ready, and what it stands on is open. */
static void open_start(struct store_open *o)
{
	struct store *s = store_new(o->found, o);

	if (!s) {
		err_set(&o->err, -ENOMEM, "no memory to open store %s", o->found->name);
		open_give_up(o);
		return;
	}
	s->move.self = o->self;
	s->move.open = o;
	s->move.job = (struct offload){ .run = open_run, .done = open_done };
	store_set_state(s, STORE_OPENING);
	offload_submit(o->self, &s->move.job, OFFLOAD_SLOW);
}

static void below_opened(struct store_open *under)
{
	struct store_open *o = under->above;

	o->below = under->store;
	if (!o->below)
		o->err = under->err;
	free(under);
	if (!o->below)
		open_give_up(o);
	else
		open_start(o);
}

/* Open what the layer @o stands on. */
static void open_below(struct store_open *o)
{
	struct store_open *under = calloc(1, sizeof(*under));

	if (!under) {
		err_set(&o->err, -ENOMEM, "no memory to open store %s", o->found->name);
		open_give_up(o);
		return;
	}
	under->spec = o->spec;
	under->spec.type = o->rest;
	under->reactors = o->reactors;
	under->nreactors = o->nreactors;
	under->home = o->home;
	under->above = o;
	under->depth = o->depth + 1;
	under->done = below_opened;
	store_open(o->self, under);
}

static bool home_is_there(const struct store_open *o)
{
	for (unsigned i = 0; i < o->nreactors; i++)
		if (o->reactors[i] == o->home)
			return true;
	return false;
}

static int check_spec(const struct store_ops *ops, const struct store_open *o, struct err *e)
{
	const struct store_spec *p = &o->part;
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
	if (!home_is_there(o))
		return err_set(e, -EINVAL, "store type %s needs a reactor to run on", ops->name);
	return 0;
}

static int check_place(const struct store_ops *ops, const struct store_open *o, struct err *e)
{
	if (ops->layer && !o->rest)
		return err_set(e, -EINVAL,
			       "%s is a layer, which stands on a store: write %s+file, for example",
			       ops->name, ops->name);
	if (!ops->layer && o->rest)
		return err_set(
			e, -EINVAL,
			"%s is a store, not a layer: it must be the last word of '%.100s+%.100s'",
			ops->name, ops->name, o->rest);
	if (o->depth > STORE_LAYERS_MAX)
		return err_set(e, -E2BIG, "at most %d layers can stand on a store",
			       STORE_LAYERS_MAX);
	return 0;
}

/* The type is known by now, or cannot be. */
static void open_found(struct store_open *o)
{
	const struct store_ops *ops = o->found;

	if (!ops || check_place(ops, o, &o->err) || check_spec(ops, o, &o->err))
		open_give_up(o);
	else if (ops->layer)
		open_below(o);
	else
		open_start(o);
}

static void load_run(struct offload *j)
{
	struct store_open *o = container_of(j, struct store_open, job);

	o->found = store_load(o->part.type, &o->err);
}

static void load_done(struct offload *j)
{
	open_found(container_of(j, struct store_open, job));
}

/* Done never runs in the call of store_open(), so it goes on by message. */
static void open_posted(struct msg *m)
{
	struct store_open *o = container_of(m, struct store_open, msg);

	if (o->err.code) {
		open_give_up(o);
		return;
	}
	if (o->found) {
		open_found(o);
		return;
	}
	o->job = (struct offload){ .run = load_run, .done = load_done };
	offload_submit(o->self, &o->job, OFFLOAD_SLOW);
}

static int copy_spec(struct store_open *o, struct err *e)
{
	const char **from[] = { &o->spec.type, &o->spec.path, &o->spec.opts, &o->spec.oflags };

	for (unsigned i = 0; i < array_size(o->own); i++) {
		if (!store_copy_string(&o->own[i], *from[i]))
			return err_set(e, -ENOMEM, "no memory to open a store");
		*from[i] = o->own[i];
	}
	return 0;
}

/* Take the first word off the type, a copy: "name:options+rest". */
static int split(struct store_open *o, struct err *e)
{
	char *type = o->own[0], *opts;

	if (!type || !*type)
		return err_set(e, -EINVAL, "no store type is given: use file, mem or null");
	o->rest = strchr(type, '+');
	if (o->rest)
		*o->rest++ = 0;
	opts = strchr(type, ':');
	if (opts)
		*opts++ = 0;
	o->part.type = type;
	if (opts && !o->rest && o->spec.opts && *o->spec.opts)
		return err_set(e, -EINVAL,
			       "the options of store %.40s are given twice: '%.80s' and '%.80s'",
			       type, opts, o->spec.opts);
	if (o->rest || opts)
		o->part.opts = opts;
	if (o->rest)
		o->part.oflags = NULL;
	return 0;
}

void store_open(struct reactor *self, struct store_open *o)
{
	o->self = self;
	o->store = o->below = o->failed = NULL;
	memset(o->own, 0, sizeof(o->own));
	o->rest = NULL;
	o->err.code = 0;
	o->err.text[0] = 0;
	o->found = o->ops;
	if (!copy_spec(o, &o->err)) {
		o->part = o->spec;
		if (!o->ops && !split(o, &o->err))
			o->found = store_find(o->own[0]);
	}
	reactor_post(self, &o->msg, open_posted);
}
