/* SPDX-License-Identifier: BSD-2-Clause */
#include "reactor/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "reactor/internal.h"
#include "reactor/trace.h"

/* Rounds of step 4: inline completions may queue more store work, within limits. */
#define STORE_ROUNDS 8
/* A second bound on a round of the mailbox, for when the mark was the stub. */
#define MESSAGES_MAX 4096
#define TRIM_NS NSEC_PER_SEC

static _Thread_local struct reactor *self;
/* Reactors that move data: who may spin depends on how many there are. */
static _Atomic unsigned data_reactors;

struct reactor *reactor_self(void)
{
	return self;
}

unsigned reactor_id(const struct reactor *r)
{
	return r->id;
}

const char *reactor_name(const struct reactor *r)
{
	return r->name;
}

const struct engine *reactor_engine(const struct reactor *r)
{
	return r->engine;
}

struct bufpool *reactor_bufpool(struct reactor *r)
{
	return r->pool;
}

uint64_t reactor_now(struct reactor *r)
{
	if (!r->in_turn)
		r->now = r->engine->now(r);
	return r->now;
}

void reactor_get_stats(struct reactor *r, struct reactor_stats *st)
{
	const uint64_t *from = (const uint64_t *)&r->stats;
	uint64_t *to = (uint64_t *)st;

	for (size_t i = 0; i < sizeof(*st) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	st->rings = atomic_load_explicit(&r->rings, memory_order_relaxed);
}

/* --- mailbox, later --- */

static void ring(struct reactor *r)
{
	atomic_fetch_add_explicit(&r->rings, 1, memory_order_relaxed);
	r->engine->ring(r);
}

void reactor_post(struct reactor *to, struct msg *m, void (*fn)(struct msg *m))
{
	m->fn = fn;
	if (mailbox_push(&to->mail, m))
		ring(to);
}

/* What is in the mailbox now, but not what these messages bring on themselves. */
static void run_mail(struct reactor *r)
{
	const struct msg *last;
	struct msg *m;
	unsigned n = 0;

	if (mailbox_empty(&r->mail))
		return;
	last = mailbox_newest(&r->mail);
	while (n < MESSAGES_MAX && (m = mailbox_pop(&r->mail))) {
		bool end = m == last;

		n++;
		m->fn(m);
		if (end)
			break;
	}
	r->events += n;
	stat_add(r, messages, n);
	r->now = r->engine->now(r);
}

static void run_timers(struct reactor *r)
{
	struct timer *t;

	for (unsigned n = r->timers.used; n && (t = timer_heap_pop(&r->timers, r->now)); n--) {
		r->events++;
		t->fn(t);
	}
}

void reactor_later(struct reactor *r, struct later *l, enum later_when when)
{
	if (!list_linked(&l->link))
		list_add(&r->later[when], &l->link);
}

void later_cancel(struct later *l)
{
	list_del(&l->link);
}

static void run_later(struct reactor *r, enum later_when when)
{
	struct list batch = LIST_INIT(batch), *n;

	list_splice(&batch, &r->later[when]);
	while ((n = list_pop(&batch))) {
		struct later *l = list_entry(n, struct later, link);

		l->fn(l);
	}
}

/* --- a turn --- */

/*
 * What the kernel takes at once is sent here and now: a send that ended in the wait would only end
 * the wait. Several go in the engine's batch, if it has one: that saves more.
 */
static void send_now(struct reactor *r)
{
	const struct engine *en = r->engine;
	struct io_op *op, *next;
	unsigned n = r->queued_sends;
	int res;

	r->queued_sends = 0;
	if (!n || !en->send_now || (n > 1 && en->batches))
		return;
	list_for_each_safe(op, next, &r->queued, link) {
		if (op->verb != IO_SENDMSG)
			continue;
		res = en->send_now(r, op);
		if (res != -EAGAIN)
			io_complete(r, op, res);
	}
	io_dispatch(r);
}

/*
 * Steps 3 and 4. Only file operations are worth a system call of their own:
 * receives that were armed again wait for the sends of step 5. A connection with much
 * to send does it in between, while it is in the cache.
 */
static void run_stores(struct reactor *r)
{
	for (int round = 0; round < STORE_ROUNDS; round++) {
		if (bufpool_can_wake(r->pool))
			bufpool_wake(r->pool);
		run_later(r, LATER_STORE);
		send_now(r);
		if (r->queued_files || !list_empty(&r->ready))
			r->engine->flush(r);
		else if (list_empty(&r->later[LATER_STORE]))
			break;
	}
}

static void run_sends(struct reactor *r)
{
	run_later(r, LATER_SEND);
	send_now(r);
}

static bool busy(const struct reactor *r)
{
	return !list_empty(&r->later[LATER_STORE]) || !list_empty(&r->later[LATER_SEND]) ||
	       !list_empty(&r->ready) || r->queued_files || bufpool_can_wake(r->pool) ||
	       !mailbox_empty(&r->mail) || atomic_load_explicit(&r->stop, memory_order_relaxed);
}

static void trim_fire(struct timer *t)
{
	struct reactor *r = container_of(t, struct reactor, trim);

	bufpool_trim_unused(r->pool);
}

static uint64_t until(uint64_t now, uint64_t at)
{
	return at == UINT64_MAX ? UINT64_MAX : at > now ? at - now : 0;
}

/* A spinning reactor must not take the CPU from those that have work: one is to spare. */
static bool spare_cpu(const struct reactor *r)
{
	static _Atomic bool told;
	/* Relaxed: a stale count only shifts the moment of the decision. */
	unsigned reactors = atomic_load_explicit(&data_reactors, memory_order_relaxed);

	if (r->cpus > reactors)
		return true;
	if (!atomic_exchange_explicit(&told, true, memory_order_relaxed))
		log_info("no spinning before sleep: %u CPUs allowed for %u reactors", r->cpus,
			 reactors);
	return false;
}

/* Look for work without sleeping, for a while after the last event. True if there is some. */
static bool spin(struct reactor *r, uint64_t limit)
{
	uint64_t end, events = r->events;

	if (!r->poll_ns)
		return false;
	end = min(r->quiet_since + r->poll_ns, timer_heap_due(&r->timers));
	if (limit < UINT64_MAX - r->now)
		end = min(end, r->now + limit);
	if (r->now >= end || !spare_cpu(r))
		return false;
	while (r->now < end) {
		r->engine->wait(r, 0);
		if (r->events != events || busy(r))
			return true;
	}
	return false;
}

void reactor_woke(struct reactor *r)
{
	if (r->slept) {
		r->slept = false;
		mailbox_awake(&r->mail);
		stat_add(r, wakeups, 1);
	}
	r->now = r->engine->now(r);
}

/* Tell the senders that this thread sleeps. False if it must not. */
static bool announce_sleep(struct reactor *r)
{
	if (!mailbox_sleep(&r->mail))
		return false;
	/* As with messages: whoever sets `stop` takes `sleeping` afterwards. */
	if (atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		mailbox_awake(&r->mail);
		return false;
	}
	r->slept = true;
	return true;
}

/* Step 6, @limit ns at most. */
static void wait_once(struct reactor *r, uint64_t limit)
{
	uint64_t ns = 0;

	if (bufpool_has_unused(r->pool) && !timer_armed(&r->trim))
		timer_arm(r, &r->trim, TRIM_NS, trim_fire);
	if (limit && !busy(r)) {
		if (spin(r, limit))
			return;
		ns = min(until(r->now, timer_heap_due(&r->timers)), limit);
		if (ns && !announce_sleep(r))
			ns = 0;
	}
	stat_add(r, waits, 1);
	r->engine->wait(r, ns);
}

/*
 * The wait that ends a turn is the first thing here, so that reactor_turn()
 * returns when all that the wait brought is worked off.
 */
static void turn(struct reactor *r, uint64_t limit)
{
	uint64_t events = r->events;

	r->in_turn = true;
	stat_add(r, turns, 1);
	wait_once(r, limit);
	run_mail(r);
	run_timers(r);
	run_stores(r);
	run_sends(r);
	if (r->events != events)
		r->quiet_since = r->now;
	r->in_turn = false;
}

void reactor_enter(struct reactor *r)
{
	self = r;
	r->now = r->engine->now(r);
}

void reactor_turn(struct reactor *r, uint64_t ns)
{
	reactor_enter(r);
	turn(r, ns);
}

void reactor_run(struct reactor *r)
{
	reactor_enter(r);
	while (!atomic_load_explicit(&r->stop, memory_order_acquire))
		turn(r, UINT64_MAX);
	/* What was posted before the stop is still done, and what that queued goes out. */
	turn(r, 0);
	r->engine->flush(r);
}

void reactor_stop(struct reactor *r)
{
	atomic_store_explicit(&r->stop, true, memory_order_release);
	if (mailbox_wake(&r->mail))
		ring(r);
}

/* --- life --- */

struct reactor *reactor_create(const struct reactor_opts *o, struct err *e)
{
	struct reactor *r = aligned_alloc(64, round_up(sizeof(*r), 64));
	int rc = -ENOMEM;

	if (!r)
		goto fail;
	memset(r, 0, sizeof(*r));
	r->id = o->id;
	r->engine = o->engine;
	r->poll_ns = (uint64_t)o->poll_us * NSEC_PER_USEC;
	r->cpus = r->poll_ns ? cpus_allowed() : 0;
	snprintf(r->name, sizeof(r->name), "%s", o->name ? o->name : "reactor");
	mailbox_init(&r->mail);
	list_init(&r->queued);
	list_init(&r->ready);
	list_init(&r->later[LATER_STORE]);
	list_init(&r->later[LATER_SEND]);
	r->pool = bufpool_create(o->buf_cap);
	if (!r->pool)
		goto fail;
	rc = r->engine->init(r);
	if (rc < 0)
		goto fail;
	if (r->id < REACTORS_MAX)
		atomic_fetch_add_explicit(&data_reactors, 1, memory_order_relaxed);
	return r;
fail:
	err_set(e, rc, "reactor %s cannot be made with engine %s: %s", o->name ? o->name : "",
		o->engine->name, strerror(-rc));
	if (r && r->pool)
		bufpool_destroy(r->pool);
	free(r);
	return NULL;
}

static void *thread_main(void *arg)
{
	struct reactor *r = arg;

	self = r;
	pthread_setname_np(pthread_self(), r->name);
	reactor_run(r);
	return NULL;
}

int reactor_start(struct reactor *r, struct err *e)
{
	sigset_t all, old;
	int rc;

	/* Signals are the main thread's business. */
	signals_of_others(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&r->thread, NULL, thread_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return err_set(e, -rc, "no thread for reactor %s: %s", r->name, strerror(rc));
	r->started = true;
	return 0;
}

void reactor_join(struct reactor *r)
{
	if (!r || !r->started)
		return;
	reactor_stop(r);
	pthread_join(r->thread, NULL);
	r->started = false;
}

void reactor_destroy(struct reactor *r)
{
	if (!r)
		return;
	reactor_join(r);
	offload_forget(r);
	r->engine->fini(r);
	timer_heap_fini(&r->timers);
	trace_ring_destroy(r->trace);
	bufpool_destroy(r->pool);
	if (r->id < REACTORS_MAX)
		atomic_fetch_sub_explicit(&data_reactors, 1, memory_order_relaxed);
	if (self == r)
		self = NULL;
	free(r);
}
