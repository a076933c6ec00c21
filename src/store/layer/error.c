/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests fail, for people who test initiators: which ones is decided by verb,
 * range, count and a seeded chance, the same ones in every run that brings
 * the same requests in the same order.
 *
 * A request that fails in its middle is carried out below all the same:
 * what follows the first byte that is not known to be good may be anything.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/list.h"
#include "stgt/store.h"
#include "store/builtin.h"
#include "store/layer/trigger.h"

#define HANG 1 /* an error that no store has */
#define HANG_LOOK_NS (10 * TRIGGER_NS)

struct error {
	uint32_t verbs; /* bits */
	int err; /* what they end with; HANG: they do not */
	uint64_t from, to; /* bytes */
	uint64_t rate, seed, after, count; /* count 0: no end */
	uint64_t partial; /* bytes of a request that go well */
	struct trigger trigger;
	_Atomic uint64_t seen, struck; /* requests in question, and those that failed */
};

struct error_channel {
	struct store_channel *ch;
	struct trigger_watch watch;
	struct store_timer timer; /* armed while any hangs that may go on or was cancelled */
	struct list hanging; /* cancelled ones first */
};

/* In io->room, of who hangs. */
struct hung {
	struct list link;
	bool cancelled;
};

/* ---- options ---- */

struct word {
	const char *name;
	int value;
};

static const struct word kinds[] = {
	{ "eio", -EIO },	   { "enospc", -ENOSPC }, { "enodev", -ENODEV },
	{ "enotconn", -ENOTCONN }, { "erofs", -EROFS },	  { "enomem", -ENOMEM },
	{ "eagain", -EAGAIN },	   { "hang", HANG },	  { NULL, 0 },
};

static const struct word verbs[] = {
	{ "read", STORE_READ },
	{ "write", STORE_WRITE },
	{ "discard", STORE_DISCARD },
	{ "zero", STORE_ZERO },
	{ "write_same", STORE_WRITE_SAME },
	{ "compare_write", STORE_COMPARE_WRITE },
	{ "copy", STORE_COPY },
	{ "flush", STORE_FLUSH },
	{ "extents", STORE_EXTENTS },
	{ NULL, 0 },
};

#define DATA_VERBS \
	(1u << STORE_READ | 1u << STORE_WRITE | 1u << STORE_DISCARD | 1u << STORE_ZERO | \
	 1u << STORE_WRITE_SAME | 1u << STORE_COMPARE_WRITE | 1u << STORE_COPY)

/* The one of @list called by the @len bytes at @text. */
static int find_word(struct store *s, const struct word *list, const char *key, const char *text,
		     size_t len, int *v, struct err *e)
{
	const char *names[16] = { NULL }, *near;
	char word[24];

	for (unsigned i = 0; list[i].name; i++) {
		names[i] = list[i].name;
		if (strlen(names[i]) != len || memcmp(names[i], text, len) != 0)
			continue;
		*v = list[i].value;
		return 0;
	}
	len = min(len, sizeof(word) - 1);
	memcpy(word, text, len);
	word[len] = 0;
	near = store_suggest(word, names);
	return store_err(e, -EINVAL, "%s=%s of store %s is not known: %s %s?", key, word,
			 store_type(s), near ? "did you mean" : "how about", near ? near : names[0]);
}

static int option_verbs(struct store *s, struct error *x, struct err *e)
{
	const char *text = store_option(s, "verbs");
	int err = 0, v = 0;

	x->verbs = text ? 0 : DATA_VERBS;
	while (text && !err) {
		size_t len = strcspn(text, "/");

		err = find_word(s, verbs, "verbs", text, len, &v, e);
		if (!err)
			x->verbs |= 1u << v;
		text = text[len] ? text + len + 1 : NULL;
	}
	return err;
}

static int option_blocks(struct store *s, const char *key, uint32_t block, uint64_t *v,
			 struct err *e)
{
	int err = store_option_size(s, key, v, e);

	if (err || *v == UINT64_MAX || *v % block == 0)
		return err;
	return store_err(e, -EINVAL,
			 "%s=%" PRIu64
			 " of store %s is not a multiple of the block size: use %" PRIu64,
			 key, *v, store_type(s), *v / block * block);
}

static int option_numbers(struct store *s, struct error *x, struct err *e)
{
	const struct {
		const char *key;
		uint64_t *v;
	} row[] = { { "rate", &x->rate },
		    { "seed", &x->seed },
		    { "after", &x->after },
		    { "count", &x->count } };
	int err = 0;

	x->rate = 1;
	for (unsigned i = 0; i < array_size(row) && !err; i++)
		err = store_option_number(s, row[i].key, row[i].v, e);
	if (!err && !x->rate)
		return store_err(e, -EINVAL,
				 "rate=0 of store %s means nothing: one in how many is to fail?",
				 store_type(s));
	return err;
}

static int option_range(struct store *s, struct error *x, uint32_t block, struct err *e)
{
	int err = option_blocks(s, "from", block, &x->from, e);

	x->to = UINT64_MAX;
	if (!err)
		err = option_blocks(s, "to", block, &x->to, e);
	if (!err)
		err = option_blocks(s, "partial", block, &x->partial, e);
	if (!err && x->to <= x->from)
		return store_err(
			e, -EINVAL,
			"store %s has no byte from %llu to before %llu: make to= larger than from=",
			store_type(s), (unsigned long long)x->from, (unsigned long long)x->to);
	return err;
}

static int error_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct error *x = store_priv(s);
	const char *kind = store_option(s, "kind");
	int err = option_verbs(s, x, e);

	x->err = -EIO;
	if (!err && kind)
		err = find_word(s, kinds, "kind", kind, strlen(kind), &x->err, e);
	if (!err)
		err = option_numbers(s, x, e);
	if (!err)
		err = option_range(s, x, spec->block_size, e);
	return err ? err : trigger_open(&x->trigger, s, e);
}

static void error_close(struct store *s)
{
	struct error *x = store_priv(s);

	trigger_close(&x->trigger);
}

/* ---- which ones ---- */

static bool has_range(const struct store_io *io)
{
	return io->verb != STORE_FLUSH && io->verb != STORE_EXTENTS;
}

static bool in_question(const struct error *x, const struct store_io *io)
{
	if (!(x->verbs >> io->verb & 1))
		return false;
	return !has_range(io) || (io->offset < x->to && io->offset + io->length > x->from);
}

static uint64_t mixed(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Count it as one that fails, if there may be more. */
static bool one_more(struct error *x)
{
	uint64_t n = atomic_load_explicit(&x->struck, memory_order_relaxed);

	while (!x->count || n < x->count)
		if (atomic_compare_exchange_weak_explicit(&x->struck, &n, n + 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	return false;
}

static bool fails(struct error *x, struct error_channel *xc, const struct store_io *io)
{
	uint64_t n;

	if (!in_question(x, io) || !trigger_on(&xc->watch))
		return false;
	n = atomic_fetch_add_explicit(&x->seen, 1, memory_order_relaxed);
	if (n < x->after || mixed(x->seed + (n + 1) * 0x9e3779b97f4a7c15u) % x->rate)
		return false;
	return one_more(x);
}

/* ---- how ---- */

static uint64_t where_of(const struct error *x, const struct store_io *io)
{
	uint64_t where = max(io->offset, x->from);

	if (!has_range(io))
		return io->offset;
	/* at least the last byte is not good */
	if (x->partial && x->partial < io->length)
		where = max(where, io->offset + x->partial);
	return where;
}

static void failed(struct store_channel *ch, struct store_io *io, int err, uint64_t where,
		   uint64_t mark)
{
	struct error *x = store_priv(channel_store(ch));

	if (!err || where > mark)
		store_done(io, err ? err : x->err, mark);
	else
		store_done(io, err, where);
}

static void hang(struct error_channel *xc, struct store_io *io)
{
	struct error *x = store_priv(channel_store(xc->ch));
	struct hung *h = (struct hung *)(void *)io->room;

	h->cancelled = false;
	list_add(&xc->hanging, &h->link);
	if (x->trigger.path)
		store_timer_arm(xc->ch, &xc->timer, HANG_LOOK_NS);
}

/* Those that nobody waits for end; the others go on if the trigger has gone. */
static void hanging_looked(struct store_timer *t)
{
	struct error_channel *xc = container_of(t, struct error_channel, timer);
	struct error *x = store_priv(channel_store(xc->ch));
	bool on = trigger_on(&xc->watch);
	struct hung *h, *next;

	list_for_each_safe(h, next, &xc->hanging, link) {
		struct store_io *io = container_of((unsigned char *)h, struct store_io, room);

		if (on && !h->cancelled)
			break;
		list_del(&h->link);
		if (h->cancelled)
			store_done(io, -ECANCELED, io->offset);
		else
			store_below(xc->ch, io, NULL, 0);
	}
	if (x->trigger.path && !list_empty(&xc->hanging))
		store_timer_arm(xc->ch, &xc->timer, HANG_LOOK_NS);
}

static void error_cancel(struct store_channel *ch, struct store_io *io)
{
	struct error_channel *xc = channel_priv(ch);
	struct hung *h = (struct hung *)(void *)io->room;

	list_del(&h->link);
	h->cancelled = true;
	list_push(&xc->hanging, &h->link);
	store_timer_arm(ch, &xc->timer, 0);
}

static void error_submit(struct store_channel *ch, struct store_io *io)
{
	struct error *x = store_priv(channel_store(ch));
	struct error_channel *xc = channel_priv(ch);
	uint64_t where;

	if (!fails(x, xc, io)) {
		store_below(ch, io, NULL, 0);
		return;
	}
	where = where_of(x, io);
	if (x->err == HANG)
		hang(xc, io);
	else if (where > io->offset)
		store_below(ch, io, failed, where);
	else
		store_done(io, x->err, where);
}

static int error_channel_open(struct store_channel *ch)
{
	struct error *x = store_priv(channel_store(ch));
	struct error_channel *xc = channel_priv(ch);

	xc->ch = ch;
	xc->timer.fn = hanging_looked;
	list_init(&xc->hanging);
	trigger_watch_init(&xc->watch, &x->trigger, ch);
	return 0;
}

static const char *const error_options[] = { "kind",  "verbs", "rate",	  "seed",    "from", "to",
					     "after", "count", "partial", "trigger", NULL };

const struct store_ops error_layer = {
	.api = STORE_API,
	.name = "error",
	.summary = "lets requests fail, for tests",
	.options = error_options,
	.layer = true,
	.store_size = sizeof(struct error),
	.channel_size = sizeof(struct error_channel),
	.open = error_open,
	.close = error_close,
	.channel_open = error_channel_open,
	.submit = error_submit,
	.cancel = error_cancel,
};
