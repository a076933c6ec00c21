/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads for calls that block, in two bounded classes shared by all reactors.
 * This is not the command path: a lock per class is all right here.
 *
 * A job that runs for longer than offload_stuck_ns may never return. It no longer
 * counts against its class's limit, so another thread may start in its stead,
 * up to once more the limit; it still counts against its owner's.
 *
 * Lock order: a class's lock, then nothing (posting takes no lock).
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/log.h"
#include "reactor/internal.h"

/* An idle thread ends after this time. */
#define IDLE_S 5
/* offload_shutdown() waits this long for jobs that run. */
#define GRACE_S 2
#define THREADS_MAX 16

_Atomic uint64_t offload_stuck_ns = 30 * NSEC_PER_SEC;

enum job_state { JOB_IDLE, JOB_QUEUED, JOB_RUNNING, JOB_ENGINE };

/* One thread, and what it does. */
struct slot {
	struct class *class; /* NULL: no thread */
	struct offload *job; /* NULL: idle */
	const void *owner;
	struct reactor *reactor; /* whom to tell; NULL: it has ended meanwhile */
	uint64_t since;
};

struct class
{
	const char *name; /* of its threads */
	unsigned limit;
	pthread_mutex_t lock;
	pthread_cond_t work; /* jobs for idle threads; waits on CLOCK_MONOTONIC */
	pthread_cond_t less; /* a thread ended */
	struct list queue;
	unsigned queued, threads, idle;
	bool closing;
	struct slot slot[2 * THREADS_MAX];
};

static struct class classes[OFFLOAD_CLASSES] = {
	[OFFLOAD_IO] = { .name = "stgt-io", .limit = THREADS_MAX },
	[OFFLOAD_SLOW] = { .name = "stgt-slow", .limit = 8 },
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
	pthread_condattr_t mono;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < OFFLOAD_CLASSES; i++) {
		struct class *c = &classes[i];

		pthread_mutex_init(&c->lock, NULL);
		pthread_cond_init(&c->work, &mono);
		pthread_cond_init(&c->less, &mono);
		list_init(&c->queue);
	}
	pthread_condattr_destroy(&mono);
}

static uint64_t now_ns(void)
{
	return clock_monotonic(NULL);
}

static struct timespec in_seconds(unsigned s)
{
	uint64_t at = now_ns() + s * NSEC_PER_SEC;

	return (struct timespec){ (time_t)(at / NSEC_PER_SEC), (long)(at % NSEC_PER_SEC) };
}

static unsigned count_stuck(const struct class *c)
{
	uint64_t long_ago = now_ns() - atomic_load(&offload_stuck_ns);
	unsigned n = 0;

	for (size_t i = 0; i < array_size(c->slot); i++)
		n += c->slot[i].job && c->slot[i].since < long_ago;
	return n;
}

static unsigned running_for(const struct class *c, const void *owner)
{
	unsigned n = 0;

	for (size_t i = 0; i < array_size(c->slot); i++)
		n += c->slot[i].job && c->slot[i].owner == owner;
	return n;
}

/* The oldest job whose owner has not its half of the class yet. */
static struct offload *next_job(struct class *c)
{
	const void *full = NULL;
	struct offload *o;

	list_for_each(o, &c->queue, link) {
		if (!o->owner)
			return o;
		if (o->owner == full)
			continue;
		if (running_for(c, o->owner) < c->limit / 2)
			return o;
		full = o->owner;
	}
	return NULL;
}

void offload_finish(struct offload *o)
{
	o->state = JOB_IDLE;
	o->done(o);
}

static void tell(struct msg *m)
{
	offload_finish(container_of(m, struct offload, msg));
}

/* Run @o in @s. The lock is held on entry and exit, not meanwhile. */
static void run_job(struct class *c, struct slot *s, struct offload *o)
{
	list_del(&o->link);
	c->queued--;
	o->state = JOB_RUNNING;
	*s = (struct slot){ c, o, o->owner, o->reactor, now_ns() };
	pthread_mutex_unlock(&c->lock);
	o->run(o);
	pthread_mutex_lock(&c->lock);
	s->job = NULL;
	/* Under the lock: the reactor cannot end between the look and the post. */
	if (s->reactor)
		reactor_post(s->reactor, &o->msg, tell);
}

/* Wait for a job; false: end. */
static bool wait_for_work(struct class *c)
{
	struct timespec until = in_seconds(IDLE_S);
	int rc = 0;

	if (c->closing)
		return false;
	c->idle++;
	rc = pthread_cond_timedwait(&c->work, &c->lock, &until);
	c->idle--;
	return rc != ETIMEDOUT || next_job(c);
}

static void *thread_main(void *arg)
{
	struct slot *s = arg;
	struct class *c = s->class;
	struct offload *o;

	pthread_setname_np(pthread_self(), c->name);
	pthread_mutex_lock(&c->lock);
	do {
		while ((o = next_job(c)))
			run_job(c, s, o);
	} while (wait_for_work(c));
	c->threads--;
	s->class = NULL;
	pthread_cond_broadcast(&c->less);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static struct slot *free_slot(struct class *c)
{
	for (size_t i = 0; i < array_size(c->slot); i++)
		if (!c->slot[i].class)
			return &c->slot[i];
	return NULL;
}

/* 0 or -errno. The lock is held, so that the thread starts with a slot that is its own. */
static int start_thread(struct class *c, struct slot *s)
{
	pthread_attr_t detached;
	sigset_t all, old;
	pthread_t t;
	int rc;

	s->class = c;
	c->threads++;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	signals_of_others(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t, &detached, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&detached);
	if (rc) {
		s->class = NULL;
		c->threads--;
	}
	return -rc;
}

/*
 * See to it that a thread will come for the job @o. Returns the job if the
 * caller has to run it itself, since there is no thread and none can be made.
 */
static struct offload *provide_thread(struct class *c, struct offload *o)
{
	struct slot *s;
	int rc;

	if (c->idle)
		pthread_cond_signal(&c->work);
	if (c->queued <= c->idle || c->threads >= c->limit + count_stuck(c))
		return NULL;
	if (o->owner && running_for(c, o->owner) >= c->limit / 2)
		return NULL; /* those that serve this owner will come back for it */
	s = free_slot(c);
	rc = s ? start_thread(c, s) : -EAGAIN;
	if (!rc || c->threads)
		return NULL;
	log_err("no thread for %s: %s; the reactor blocks for this job", c->name, strerror(-rc));
	list_del(&o->link);
	c->queued--;
	o->state = JOB_RUNNING;
	return o;
}

void offload_submit(struct reactor *r, struct offload *o, enum offload_class class)
{
	struct class *c = &classes[class];

	stat_add(r, offloads, 1);
	o->reactor = r;
	o->class = (uint8_t) class;
	if (r->engine->offload) {
		o->state = JOB_ENGINE;
		r->engine->offload(r, o);
		return;
	}
	pthread_once(&once, set_up);
	pthread_mutex_lock(&c->lock);
	c->closing = false;
	o->state = JOB_QUEUED;
	list_add(&c->queue, &o->link);
	c->queued++;
	o = provide_thread(c, o);
	pthread_mutex_unlock(&c->lock);
	if (o) {
		o->run(o);
		reactor_post(r, &o->msg, tell);
	}
}

bool offload_cancel(struct offload *o)
{
	struct class *c = &classes[o->class];
	bool waiting;

	if (o->state == JOB_ENGINE)
		return o->reactor->engine->offload_cancel(o->reactor, o);
	pthread_once(&once, set_up);
	pthread_mutex_lock(&c->lock);
	waiting = o->state == JOB_QUEUED;
	if (waiting) {
		list_del(&o->link);
		c->queued--;
		o->state = JOB_IDLE;
	}
	pthread_mutex_unlock(&c->lock);
	return waiting;
}

static void forget_in(struct class *c, struct reactor *r)
{
	struct offload *o, *tmp;

	pthread_mutex_lock(&c->lock);
	list_for_each_safe(o, tmp, &c->queue, link) {
		if (o->reactor != r)
			continue;
		list_del(&o->link);
		c->queued--;
		o->state = JOB_IDLE;
	}
	for (size_t i = 0; i < array_size(c->slot); i++)
		if (c->slot[i].reactor == r)
			c->slot[i].reactor = NULL;
	pthread_mutex_unlock(&c->lock);
}

void offload_forget(struct reactor *r)
{
	pthread_once(&once, set_up);
	for (unsigned i = 0; i < OFFLOAD_CLASSES; i++)
		forget_in(&classes[i], r);
}

static void shut_down(struct class *c)
{
	struct timespec until = in_seconds(GRACE_S);
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_cond_broadcast(&c->work);
	while (c->threads > count_stuck(c) && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&c->less, &c->lock, &until);
	if (c->threads)
		log_warn("%u %s threads are left in calls that do not return", c->threads, c->name);
	pthread_mutex_unlock(&c->lock);
}

void offload_shutdown(void)
{
	pthread_once(&once, set_up);
	for (unsigned i = 0; i < OFFLOAD_CLASSES; i++)
		shut_down(&classes[i]);
}

void offload_get_stats(enum offload_class class, struct offload_stats *st)
{
	struct class *c = &classes[class];

	pthread_once(&once, set_up);
	pthread_mutex_lock(&c->lock);
	*st = (struct offload_stats){
		.threads = c->threads,
		.queued = c->queued,
		.stuck = count_stuck(c),
	};
	for (size_t i = 0; i < array_size(c->slot); i++)
		st->busy += c->slot[i].job != NULL;
	pthread_mutex_unlock(&c->lock);
}
