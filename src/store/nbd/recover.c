/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a connection was lost.
 *
 * What the server had received may still be executed: a closed connection proves nothing,
 * and the protocol gives no other sign. So:
 *
 * 1. Stopping: the store is away. Nothing is sent on any connection of it; what was not
 *    sent yet ends with EAGAIN. Wait until what was sent is answered, or its connection lost.
 * 2. Settling: if writes were sent and not answered, wait until the server cannot execute
 *    them any more: our own server is ended and reaped; one on a Unix socket whose process
 *    is seen to be dead; any other is given config.settle_ns from the loss. Then these
 *    writes end with ENOTCONN: they may have happened or not, and whoever repeats them now
 *    comes after them. They are never sent again by us.
 * 3. Connecting: with growing pauses, until the server is there and offers what it did. Then
 *    reads and the like, which change nothing, are sent again; if that takes longer than
 *    config.timeout_ns they end.
 *
 * A server that died may have lost what it had answered and no flush had made stable: the
 * next flush fails, which the core keeps in mind.
 *
 * One channel leads: it was the last to become quiet; its job and timer do the work. Others
 * are told by calls. The store's lock is held for moments only and no other is taken under it.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/nbd/nbd.h"

#define MS 1000000ull
#define CONNECT_MS 10000
/* Until a server of ours has ended by itself, and again after SIGTERM. */
#define END_MS 5000
#define PAUSE_MIN (100 * MS)
#define PAUSE_MAX (5000 * MS)
/* How often it is looked whether a process has ended. */
#define LOOK (20 * MS)
/* Servers of our own that are started in a row without one of them lasting. */
#define STARTS_MAX 8
#define LASTING (60000 * MS)

static void lead(struct channel *c);

static struct channel *of_job(struct store_job *j)
{
	return (struct channel *)(void *)((char *)j - offsetof(struct channel, job));
}

/* ---- telling channels ---- */

static void stop(struct channel *c);
static void resume(struct channel *c);

static void told(struct store_call *call)
{
	struct channel *c =
		(struct channel *)(void *)((char *)call - offsetof(struct channel, call));
	unsigned news;

	pthread_mutex_lock(&c->st->lock);
	news = c->news;
	c->news = 0;
	c->called = false;
	pthread_mutex_unlock(&c->st->lock);
	if (c->closing) {
		store_channel_put(c->ch);
		return;
	}
	if (news & NEWS_STOP)
		stop(c);
	if (news & NEWS_SETTLED)
		requests_end_held(c, false);
	if (news & NEWS_EXPIRED)
		requests_end_held(c, true);
	if (news & NEWS_RESUME)
		resume(c);
	channel_finish(c);
}

/* The lock is held. Of going on and stopping only the later one counts. */
static void tell_all(struct nbd_store *st, enum news news)
{
	unsigned over = news == NEWS_STOP ? NEWS_RESUME : news == NEWS_RESUME ? NEWS_STOP : 0;

	for (struct channel *c = st->channels; c; c = c->next) {
		c->news = (c->news & ~over) | news;
		if (c->called)
			continue;
		c->called = true;
		store_call_post(c->ch, &c->call);
	}
}

/* ---- 1. stopping ---- */

static uint16_t missing(const struct channel *c)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < CONNECTIONS_MAX && i < c->st->per_channel; i++)
		bits |= (unsigned)(!c->conn[i].h || c->conn[i].dead) << i;
	return (uint16_t)bits;
}

static void stop(struct channel *c)
{
	bool refresh;

	pthread_mutex_lock(&c->st->lock);
	refresh = c->st->refresh;
	pthread_mutex_unlock(&c->st->lock);
	c->stopped = true;
	c->resuming = false;
	c->waits = refresh;
	if (!refresh)
		requests_fail_waiting(c);
	recover_quiet(c);
}

/* The lock is held. What was to be made anew is lost. */
static void refresh_failed(struct channel *c)
{
	struct nbd_store *st = c->st;

	st->refresh = st->torn = false;
	st->since = store_now(c->ch);
	tell_all(st, NEWS_STOP);
}

void recover_begin(struct channel *c, const char *why)
{
	struct nbd_store *st = c->st;
	bool first, late;

	pthread_mutex_lock(&st->lock);
	first = st->phase == PHASE_UP && !st->closing;
	late = st->refresh && st->phase == PHASE_STOPPING;
	c->missing |= missing(c);
	/* before all are quiet it is a loss like others; after that who leads sees to it */
	if (late)
		refresh_failed(c);
	else if (st->refresh)
		st->torn = true;
	if (first) {
		st->phase = PHASE_STOPPING;
		st->since = store_now(c->ch);
		for (struct channel *i = st->channels; i; i = i->next)
			i->quiet = false;
		tell_all(st, NEWS_STOP);
	}
	pthread_mutex_unlock(&st->lock);
	c->stopped = true; /* nothing is sent in this turn either */
	if (!first && !late)
		return;
	store_away(st->s, "the connection to the server was lost");
	if (why)
		store_log_warn(st->s, "%s", why);
}

void recover_refresh(struct nbd_store *st)
{
	pthread_mutex_lock(&st->lock);
	if (st->phase == PHASE_UP && !st->closing && st->channels) {
		st->phase = PHASE_STOPPING;
		st->refresh = true;
		for (struct channel *c = st->channels; c; c = c->next) {
			c->quiet = false;
			c->missing = (uint16_t)((1u << st->per_channel) - 1);
		}
		tell_all(st, NEWS_STOP);
	}
	pthread_mutex_unlock(&st->lock);
}

static bool holds_changes(const struct channel *c)
{
	for (const struct request *r = c->held.first; r; r = r->next)
		if (request_changes(r))
			return true;
	return false;
}

static bool all_quiet(const struct nbd_store *st)
{
	for (const struct channel *c = st->channels; c; c = c->next)
		if (!c->quiet)
			return false;
	return true;
}

void recover_quiet(struct channel *c)
{
	struct nbd_store *st = c->st;
	bool leads = false;

	if (!c->stopped || c->connecting || c->inflight)
		return;
	for (unsigned i = 0; i < st->per_channel; i++)
		if (c->conn[i].dead)
			return; /* recover_reaped() comes */
	pthread_mutex_lock(&st->lock);
	if (st->phase == PHASE_STOPPING && !c->quiet && !(c->news & NEWS_STOP)) {
		c->quiet = true;
		c->missing |= missing(c);
		c->holds = holds_changes(c);
		leads = all_quiet(st);
		if (leads) {
			st->phase = PHASE_SETTLING;
			st->leader = c;
			st->attempts = 0;
			st->expired = false;
		}
	}
	pthread_mutex_unlock(&st->lock);
	if (leads)
		lead(c);
}

void recover_reaped(struct channel *c)
{
	if (c->resuming)
		resume(c);
	else
		recover_quiet(c);
}

/* ---- 2. settling ---- */

/* The process is seen to be dead. */
static bool process_dead(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return pidfd >= 0 && poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

static void attempt(struct channel *c);

/* What was sent on lost connections has no effect any more. @lost: nor may have had what was answered. */
static void settled(struct channel *c, bool server_gone, bool lost)
{
	struct nbd_store *st = c->st;

	if (lost && atomic_load(&st->dirty) && st->features.flush) {
		atomic_store(&st->lost, true);
		atomic_store(&st->dirty, false);
		store_log_warn(st->s, "the server may have lost what it had not made stable: the "
				      "next flush will fail");
	}
	pthread_mutex_lock(&st->lock);
	st->phase = PHASE_CONNECTING;
	for (struct channel *i = st->channels; i && server_gone; i = i->next)
		i->missing = (uint16_t)((1u << st->per_channel) - 1);
	tell_all(st, NEWS_SETTLED);
	pthread_mutex_unlock(&st->lock);
	attempt(c);
}

static void end_run(struct store_job *j)
{
	struct channel *c = of_job(j);
	struct server *sv = c->st->server;

	c->job_err = 0;
	server_said(sv, c->job_text);
	c->st->server = NULL;
	if (!server_end(sv, END_MS))
		c->job_err = -EIO;
}

static void end_done(struct store_job *j)
{
	struct channel *c = of_job(j);

	if (!c->closing) {
		store_log_warn(c->st->s, "its server has ended%s%s", *c->job_text ? ": " : "",
			       c->job_text);
		settled(c, true, c->job_err != 0);
	}
	store_channel_put(c->ch);
}

static void start_job(struct channel *c, void (*run)(struct store_job *j),
		      void (*done)(struct store_job *j))
{
	c->job.run = run;
	c->job.done = done;
	store_channel_get(c->ch);
	store_job_run(c->ch, &c->job);
}

static bool changes_are_held(struct nbd_store *st)
{
	bool any = false;

	pthread_mutex_lock(&st->lock);
	for (struct channel *c = st->channels; c; c = c->next)
		any |= c->holds;
	pthread_mutex_unlock(&st->lock);
	return any;
}

static void settle_foreign(struct channel *c)
{
	struct nbd_store *st = c->st;
	uint64_t gone = store_now(c->ch) - st->since;
	bool dead = process_dead(st->pidfd);
	/* a process that has closed its sockets is dead a moment later */
	uint64_t wait = st->pidfd >= 0 && !dead ? 5 * LOOK : 0;
	bool same;

	if (wait < st->config.settle_ns && !dead && changes_are_held(st))
		wait = st->config.settle_ns;
	if (gone < wait) {
		uint64_t left = wait - gone;

		store_timer_arm(c->ch, &c->timer, st->pidfd >= 0 && left > LOOK ? LOOK : left);
		return;
	}
	/* with several connections allowed, a flush on a new one covers what went through the old */
	same = st->pidfd >= 0 && !dead && st->features.multi;
	settled(c, dead, !st->config.survives && !same);
}

/* ---- 3. connecting ---- */

/* What @is lacks of what the initiators were told; 0, or -errno with @text. */
int features_check(const struct features *was, const struct features *is, char text[TEXT_MAX])
{
	const char *lacks = NULL;

	if (is->size < was->size) {
		snprintf(text, TEXT_MAX, "the export has %" PRIu64 " bytes now, and had %" PRIu64,
			 is->size, was->size);
		return -EINVAL;
	}
	if (is->readonly && !was->readonly)
		lacks = "writing";
	else if (was->flush && !is->flush)
		lacks = "flush";
	else if (was->fua && !is->fua)
		lacks = "FUA";
	else if (was->zero && !is->zero)
		lacks = "zeroing";
	else if (was->fast_zero && !is->fast_zero)
		lacks = "fast zeroing";
	else if (was->extents && !is->extents)
		lacks = "block status";
	else if (was->multi && !is->multi)
		lacks = "several connections";
	else if (is->min_block > (was->min_block ? was->min_block : 1) ||
		 (is->max_io && (!was->max_io || is->max_io < was->max_io)))
		lacks = "its block sizes";
	if (!lacks)
		return 0;
	snprintf(text, TEXT_MAX, "the server does not offer %s any more", lacks);
	return -EINVAL;
}

/* The next connection that is missing; false: none. */
static bool next_missing(struct nbd_store *st, struct channel **c, unsigned *i)
{
	bool found = false;

	pthread_mutex_lock(&st->lock);
	for (*c = st->closing ? NULL : st->channels; *c && !found; *c = found ? *c : (*c)->next)
		for (*i = 0; *i < st->per_channel; (*i)++)
			if ((*c)->missing & 1u << *i && !(*c)->fresh[*i]) {
				found = true;
				break;
			}
	pthread_mutex_unlock(&st->lock);
	return found;
}

/* @c may have left meanwhile. */
static void give(struct nbd_store *st, struct channel *to, unsigned i, struct nbd_handle *h)
{
	struct channel *c;

	pthread_mutex_lock(&st->lock);
	for (c = st->channels; c && c != to; c = c->next)
		;
	if (c)
		c->fresh[i] = h;
	pthread_mutex_unlock(&st->lock);
	if (!c)
		nbd_bye(h);
}

static int connect_all(struct channel *leader)
{
	struct nbd_store *st = leader->st;
	struct where to = { &st->config, st->server ? server_socket(st->server) : NULL };
	struct channel *c;
	unsigned i;

	while (next_missing(st, &c, &i)) {
		int pidfd, err;
		struct nbd_handle *h =
			nbd_connect(&to, CONNECT_MS, &leader->found, &pidfd, leader->job_text);

		if (!h)
			return -ENOTCONN;
		if (st->pidfd >= 0)
			close(st->pidfd);
		st->pidfd = pidfd;
		err = features_check(&st->features, &leader->found, leader->job_text);
		if (err) {
			nbd_bye(h);
			return err;
		}
		give(st, c, i, h);
	}
	return 0;
}

static void attempt_run(struct store_job *j)
{
	struct channel *c = of_job(j);
	struct nbd_store *st = c->st;

	c->job_err = 0;
	c->found.size = 0;
	if (st->config.managed && !st->server) {
		st->server = server_start(&st->config, NULL);
		if (!st->server) {
			snprintf(c->job_text, TEXT_MAX, "its server cannot be started");
			c->job_err = -ENOENT;
			return;
		}
	}
	c->job_err = connect_all(c);
	if (c->job_err && st->server && server_dead(st->server, 0)) {
		server_said(st->server, c->job_text);
		server_end(st->server, END_MS);
		st->server = NULL;
	}
}

static void recovered(struct channel *c)
{
	struct nbd_store *st = c->st;
	bool grown;

	pthread_mutex_lock(&st->lock);
	grown = c->found.size > st->features.size;
	if (grown)
		st->features.size = c->found.size;
	st->refresh = false;
	st->phase = PHASE_UP;
	st->leader = NULL;
	st->up_since = store_now(c->ch);
	tell_all(st, NEWS_RESUME);
	pthread_mutex_unlock(&st->lock);
	store_away(st->s, NULL);
	if (grown)
		store_notify(st->s, STORE_RESIZED);
}

/* It did not work this time. */
static void pause_then_again(struct channel *c)
{
	struct nbd_store *st = c->st;
	uint64_t pause = PAUSE_MIN << (st->attempts < 6 ? st->attempts : 6);

	if (!st->attempts++ || !(st->attempts % 64))
		store_log_warn(st->s, "cannot go on yet: %s; trying again", c->job_text);
	pthread_mutex_lock(&st->lock);
	if (!st->expired && store_now(c->ch) - st->since > st->config.timeout_ns) {
		st->expired = true;
		tell_all(st, NEWS_EXPIRED);
	}
	pthread_mutex_unlock(&st->lock);
	store_timer_arm(c->ch, &c->timer, pause < PAUSE_MAX ? pause : PAUSE_MAX);
}

/* True if the new connections do not simply replace the old ones: what was answered may be lost, too. */
static bool refresh_over(struct channel *c)
{
	struct nbd_store *st = c->st;
	bool over;

	pthread_mutex_lock(&st->lock);
	over = st->refresh && (c->job_err || st->torn);
	if (over) {
		st->phase = PHASE_SETTLING;
		refresh_failed(c);
	}
	pthread_mutex_unlock(&st->lock);
	if (over)
		store_away(st->s, "the connection to the server was lost");
	return over;
}

static void attempt_done(struct store_job *j)
{
	struct channel *c = of_job(j);

	if (!c->closing && refresh_over(c))
		lead(c);
	else if (!c->closing && !c->job_err)
		recovered(c);
	else if (!c->closing)
		pause_then_again(c);
	store_channel_put(c->ch);
}

/* A server of ours that always ends soon is not started for ever. */
static bool give_up(struct channel *c)
{
	struct nbd_store *st = c->st;

	if (!st->config.managed || st->server)
		return false;
	if (st->up_since && store_now(c->ch) - st->up_since > LASTING)
		st->starts = 0;
	if (st->starts++ < STARTS_MAX)
		return false;
	pthread_mutex_lock(&st->lock);
	tell_all(st, NEWS_EXPIRED);
	pthread_mutex_unlock(&st->lock);
	store_away(st->s, "the image's server does not stay up");
	store_log_warn(
		st->s, "its server ended %d times in a row: see what it said, mend the image, and reopen the unit",
		STARTS_MAX);
	store_notify(st->s, STORE_LOST);
	return true;
}

static void attempt(struct channel *c)
{
	if (!give_up(c))
		start_job(c, attempt_run, attempt_done);
}

/* What comes next for the leader. */
static void lead(struct channel *c)
{
	struct nbd_store *st = c->st;

	if (st->phase == PHASE_CONNECTING)
		attempt(c);
	else if (st->refresh)
		settled(c, false, false);
	else if (st->server)
		start_job(c, end_run, end_done);
	else
		settle_foreign(c);
}

static void timer_over(struct store_timer *t)
{
	lead((struct channel *)(void *)((char *)t - offsetof(struct channel, timer)));
}

/* ---- going on ---- */

static struct nbd_handle *fresh(struct channel *c, unsigned i, bool take)
{
	struct nbd_handle *h;

	pthread_mutex_lock(&c->st->lock);
	h = c->fresh[i];
	if (take) {
		c->fresh[i] = NULL;
		c->missing &= (uint16_t) ~(1u << i);
	}
	pthread_mutex_unlock(&c->st->lock);
	return h;
}

static void resume(struct channel *c)
{
	bool all = true;

	c->resuming = true;
	for (unsigned i = 0; i < c->st->per_channel; i++) {
		struct connection *n = &c->conn[i];

		if (fresh(c, i, false) && n->h && !n->dead)
			connection_drop(n); /* it leads nowhere */
		if (n->dead)
			return; /* recover_reaped() comes back here */
		if (!n->h && fresh(c, i, false))
			connection_take(n, fresh(c, i, true));
		all &= n->h && !n->dead;
	}
	c->resuming = false;
	if (!all) {
		recover_begin(c, "a new connection was lost at once");
		return;
	}
	c->stopped = c->waits = false;
	requests_resume_held(c);
	channel_pump(c);
	channel_finish(c);
}

/* ---- coming and leaving ---- */

void recover_enter(struct channel *c)
{
	struct nbd_store *st = c->st;

	c->call.fn = told;
	c->timer.fn = timer_over;
	pthread_mutex_lock(&st->lock);
	c->next = st->channels;
	st->channels = c;
	c->stopped = c->quiet = st->phase != PHASE_UP;
	if (c->stopped)
		c->missing = (uint16_t)((1u << st->per_channel) - 1);
	pthread_mutex_unlock(&st->lock);
}

void recover_leave(struct channel *c)
{
	struct nbd_store *st = c->st;
	struct channel **p = &st->channels;

	pthread_mutex_lock(&st->lock);
	st->closing = true; /* all of them go */
	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	if (c->called)
		store_channel_get(c->ch); /* until the call has come */
	pthread_mutex_unlock(&st->lock);
	store_timer_cancel(c->ch, &c->timer);
	for (unsigned i = 0; i < st->per_channel && !c->connecting; i++) {
		nbd_bye(c->fresh[i]);
		c->fresh[i] = NULL;
	}
}
