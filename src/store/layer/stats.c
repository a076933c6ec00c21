/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the store below was asked and how long it took. Each channel counts for
 * itself, the only writer of its numbers; who wants to see them adds them up.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "base/bits.h"
#include "stgt/store.h"
#include "store/builtin.h"

struct counts {
	_Atomic uint64_t requests, errors, bytes, ns, max_ns;
};

struct stats_channel {
	struct stats_channel *next;
	struct counts verb[STORE_VERBS];
};

struct stats {
	struct stats_channel *_Atomic channels; /* which stay until the store is gone */
};

static const char *const verb_name[STORE_VERBS] = {
	[STORE_READ] = "read",
	[STORE_WRITE] = "write",
	[STORE_FLUSH] = "flush",
	[STORE_DISCARD] = "discard",
	[STORE_ZERO] = "zero",
	[STORE_EXTENTS] = "extents",
	[STORE_WRITE_SAME] = "write_same",
	[STORE_COMPARE_WRITE] = "compare_write",
	[STORE_COPY] = "copy",
	[STORE_RAW] = "raw",
	[STORE_RESET] = "reset",
};

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void set(_Atomic uint64_t *v, uint64_t to)
{
	atomic_store_explicit(v, to, memory_order_relaxed);
}

static void add(_Atomic uint64_t *v, uint64_t n)
{
	set(v, get(v) + n);
}

static void stats_done(struct store_channel *ch, struct store_io *io, int err, uint64_t where,
		       uint64_t since)
{
	struct stats_channel *sc = channel_priv(ch);
	struct counts *c = &sc->verb[io->verb];
	uint64_t ns = store_now(ch) - since;

	add(&c->requests, 1);
	add(&c->errors, err != 0);
	add(&c->bytes, err ? 0 : io->length);
	add(&c->ns, ns);
	if (ns > get(&c->max_ns))
		set(&c->max_ns, ns);
	store_done(io, err, where);
}

static void stats_submit(struct store_channel *ch, struct store_io *io)
{
	store_below(ch, io, stats_done, store_now(ch));
}

/* ---- who looks ---- */

static struct counts sum_of(struct stats *st, enum store_verb verb)
{
	struct counts sum = { 0 };

	for (struct stats_channel *sc = atomic_load(&st->channels); sc; sc = sc->next) {
		const struct counts *c = &sc->verb[verb];

		add(&sum.requests, get(&c->requests));
		add(&sum.errors, get(&c->errors));
		add(&sum.bytes, get(&c->bytes));
		add(&sum.ns, get(&c->ns));
		set(&sum.max_ns, max(get(&sum.max_ns), get(&c->max_ns)));
	}
	return sum;
}

static void stats_describe(struct store *s, void (*put)(void *arg, const char *key, uint64_t value),
			   void *arg)
{
	for (unsigned i = 0; i < STORE_VERBS; i++) {
		struct counts c = sum_of(store_priv(s), i);
		const struct {
			const char *what;
			uint64_t value;
		} row[] = {
			{ "requests", get(&c.requests) },
			{ "errors", get(&c.errors) },
			{ "bytes", get(&c.bytes) },
			{ "mean_us", get(&c.ns) / max(get(&c.requests), 1u) / 1000 },
			{ "max_us", get(&c.max_ns) / 1000 },
		};

		for (unsigned k = 0; k < array_size(row) && get(&c.requests); k++) {
			char key[64];

			snprintf(key, sizeof(key), "%s_%s", verb_name[i], row[k].what);
			put(arg, key, row[k].value);
		}
	}
}

static void stats_close(struct store *s)
{
	for (unsigned i = 0; i < STORE_VERBS; i++) {
		struct counts c = sum_of(store_priv(s), i);

		if (get(&c.requests))
			store_log_info(
				s, "%s: %llu requests, %llu errors, %llu bytes, mean %llu us, longest %llu us",
				verb_name[i], (unsigned long long)get(&c.requests),
				(unsigned long long)get(&c.errors),
				(unsigned long long)get(&c.bytes),
				(unsigned long long)(get(&c.ns) / get(&c.requests) / 1000),
				(unsigned long long)(get(&c.max_ns) / 1000));
	}
}

static int stats_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	return 0;
}

static int stats_channel_open(struct store_channel *ch)
{
	struct stats *st = store_priv(channel_store(ch));
	struct stats_channel *sc = channel_priv(ch);

	sc->next = atomic_load(&st->channels);
	while (!atomic_compare_exchange_weak(&st->channels, &sc->next, sc))
		;
	return 0;
}

const struct store_ops stats_layer = {
	.api = STORE_API,
	.name = "stats",
	.summary = "counts requests and how long they take",
	.layer = true,
	.store_size = sizeof(struct stats),
	.channel_size = sizeof(struct stats_channel),
	.open = stats_open,
	.close = stats_close,
	.channel_open = stats_channel_open,
	.submit = stats_submit,
	.describe = stats_describe,
};
