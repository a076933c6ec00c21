/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * So many requests and bytes a second, over all reactors together.
 *
 * Each rate is a bucket of one number: when everything that was let through
 * so far is paid for at that rate. A request moves it on by its own cost, in
 * one atomic step, and learns when it may go: when what is owed before it is
 * no more than the burst. So nobody needs a lock, places are handed out in the order
 * of arrival over all reactors, and each channel's queue is in that order. A
 * request above the burst goes too, and those after it pay.
 */
#include <errno.h>
#include <stdatomic.h>

#include "base/list.h"
#include "stgt/store.h"
#include "store/builtin.h"

#define TICKS 16 /* a nanosecond: a cost is rounded by less than a tick */
#define SECOND (1000000000ull * TICKS)
#define MSEC (1000000ull * TICKS)
#define PRICE_SHIFT 24
#define BURST_DEFAULT 100 /* ms */
#define BURST_MAX 60000

enum { REQUESTS, BYTES, RATES };

struct limit {
	_Atomic uint64_t paid[RATES]; /* ticks of store_now() */
	uint64_t rate[RATES]; /* a second; 0: no limit */
	uint64_t price[RATES]; /* of one, in ticks << PRICE_SHIFT */
	uint64_t burst; /* ticks */
};

struct limit_channel {
	struct store_channel *ch;
	struct store_timer timer; /* armed while anybody waits */
	struct list waiting; /* by start; cancelled ones go first */
};

/* In io->room, of who waits. */
struct waiter {
	struct list link;
	uint64_t start; /* ticks; 0: cancelled */
};

static struct store_io *waiter_io(struct waiter *w)
{
	return container_of((unsigned char *)w, struct store_io, room);
}

static uint64_t ticks(struct store_channel *ch)
{
	return store_now(ch) * TICKS;
}

static uint64_t cost(uint64_t amount, uint64_t price)
{
	unsigned __int128 t = (unsigned __int128)amount * price >> PRICE_SHIFT;

	return t > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)t;
}

/* Pay @price; since when all before it is paid for. */
static uint64_t pay(_Atomic uint64_t *paid, uint64_t now, uint64_t price)
{
	uint64_t old = atomic_load_explicit(paid, memory_order_relaxed), from, to;

	do {
		from = max(old, now);
		to = from > UINT64_MAX - price ? UINT64_MAX : from + price;
	} while (!atomic_compare_exchange_weak_explicit(paid, &old, to, memory_order_relaxed,
							memory_order_relaxed));
	return from;
}

static uint64_t bytes_of(const struct store_io *io)
{
	switch (io->verb) {
	case STORE_READ:
	case STORE_WRITE:
	case STORE_COPY:
		return io->length;
	case STORE_COMPARE_WRITE:
		return 2 * io->length;
	case STORE_RAW:
		return io->raw->length;
	default:
		return 0;
	}
}

/* When @io may go. */
static uint64_t start_of(struct limit *l, const struct store_io *io, uint64_t now)
{
	uint64_t start = now;

	for (unsigned i = 0; i < RATES; i++) {
		uint64_t amount = i == REQUESTS ? 1 : bytes_of(io);

		if (l->rate[i] && amount)
			start = max(start, pay(&l->paid[i], now, cost(amount, l->price[i])));
	}
	return start > now + l->burst ? start - l->burst : now;
}

static struct waiter *first(struct limit_channel *lc)
{
	return list_first(&lc->waiting, struct waiter, link);
}

static void arm(struct limit_channel *lc, uint64_t now)
{
	uint64_t start = first(lc)->start;

	store_timer_arm(lc->ch, &lc->timer, start > now ? (start - now) / TICKS + 1 : 0);
}

static void let_go(struct store_timer *t)
{
	struct limit_channel *lc = container_of(t, struct limit_channel, timer);
	uint64_t now = ticks(lc->ch);
	struct waiter *w;

	while ((w = first(lc)) && w->start <= now) {
		struct store_io *io = waiter_io(w);

		list_del(&w->link);
		if (w->start)
			store_below(lc->ch, io, NULL, 0);
		else
			store_done(io, -ECANCELED, io->offset);
	}
	if (w)
		arm(lc, now);
}

static void limit_submit(struct store_channel *ch, struct store_io *io)
{
	struct limit_channel *lc = channel_priv(ch);
	struct waiter *w = (struct waiter *)(void *)io->room;
	uint64_t now, start;
	bool idle = list_empty(&lc->waiting);

	if (io->verb == STORE_RESET || io->verb == STORE_EXTENTS) {
		store_below(ch, io, NULL, 0);
		return;
	}
	now = ticks(ch);
	start = start_of(store_priv(channel_store(ch)), io, now);
	if (idle && start <= now) {
		store_below(ch, io, NULL, 0);
		return;
	}
	w->start = start;
	list_add(&lc->waiting, &w->link);
	if (idle)
		arm(lc, now);
}

/* What it paid is lost: those behind it keep their times. */
static void limit_cancel(struct store_channel *ch, struct store_io *io)
{
	struct limit_channel *lc = channel_priv(ch);
	struct waiter *w = (struct waiter *)(void *)io->room;

	list_del(&w->link);
	w->start = 0;
	list_push(&lc->waiting, &w->link);
	store_timer_arm(ch, &lc->timer, 0);
}

static int limit_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct limit *l = store_priv(s);
	uint64_t burst = BURST_DEFAULT;
	int err = store_option_number(s, "iops", &l->rate[REQUESTS], e);

	if (!err)
		err = store_option_size(s, "bandwidth", &l->rate[BYTES], e);
	if (!err)
		err = store_option_number(s, "burst", &burst, e);
	if (err)
		return err;
	if (!l->rate[REQUESTS] && !l->rate[BYTES])
		return store_err(
			e, -EINVAL,
			"store %s limits nothing: give it iops= (requests a second), bandwidth= "
			"(bytes a second) or both, above 0",
			store_type(s));
	if (burst > BURST_MAX)
		return store_err(e, -EINVAL,
				 "burst=%llu of store %s is too much: at most %d milliseconds",
				 (unsigned long long)burst, store_type(s), BURST_MAX);
	l->burst = burst * MSEC;
	for (unsigned i = 0; i < RATES; i++)
		if (l->rate[i])
			l->price[i] = (SECOND << PRICE_SHIFT) / l->rate[i];
	return 0;
}

static void limit_close(struct store *s)
{
}

static int limit_channel_open(struct store_channel *ch)
{
	struct limit_channel *lc = channel_priv(ch);

	lc->ch = ch;
	lc->timer.fn = let_go;
	list_init(&lc->waiting);
	return 0;
}

static const char *const limit_options[] = { "iops", "bandwidth", "burst", NULL };

const struct store_ops limit_layer = {
	.api = STORE_API,
	.name = "limit",
	.summary = "so many requests and bytes a second",
	.options = limit_options,
	.layer = true,
	.store_size = sizeof(struct limit),
	.channel_size = sizeof(struct limit_channel),
	.open = limit_open,
	.close = limit_close,
	.channel_open = limit_channel_open,
	.submit = limit_submit,
	.cancel = limit_cancel,
};
