/* SPDX-License-Identifier: BSD-2-Clause */
/* A channel's connections, driven by its reactor. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "store/nbd/nbd.h"

/* For one connection at a time. */
#define CONNECT_MS 10000
#define ANSWERS_MAX 32 /* at a time; other work of the reactor waits for them */

struct connection *connection_choose(struct channel *c)
{
	struct connection *best = &c->conn[0];

	for (unsigned i = 1; i < c->st->per_channel; i++)
		if (best->dead || !best->h ||
		    (c->conn[i].h && !c->conn[i].dead && c->conn[i].inflight < best->inflight))
			best = &c->conn[i];
	return best;
}

/* ---- waiting for the socket ---- */

/* Close a dead connection's handle, once nobody waits for its socket. */
static void reap(struct connection *n)
{
	if (!n->dead || n->armed)
		return;
	nbd_close(n->h);
	n->h = NULL;
	n->dead = false;
}

static void hasten(struct connection *n)
{
	if (!n->hastened)
		store_poll_cancel(&n->poll);
	n->hastened = true;
}

void connection_drop(struct connection *n)
{
	if (!n->h)
		return;
	n->dead = true;
	if (n->armed)
		hasten(n);
	else
		reap(n);
}

void connection_turn(struct connection *n)
{
	unsigned dir, events;

	if (!n->h || n->dead)
		return;
	if (nbd_aio_is_dead(n->h) || nbd_aio_is_closed(n->h)) {
		connection_drop(n);
		recover_begin(n->ch, NULL);
		return;
	}
	dir = nbd_aio_get_direction(n->h);
	events = (dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
		 (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
	if (events == n->armed)
		return;
	if (n->armed) { /* ready comes, and arms anew */
		hasten(n);
		return;
	}
	n->armed = events;
	store_poll_arm(n->ch->ch, &n->poll, nbd_aio_get_fd(n->h), events);
}

static void notify(struct connection *n, unsigned revents)
{
	if (revents & (POLLIN | POLLHUP | POLLERR) &&
	    nbd_aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_READ)
		nbd_aio_notify_read(n->h);
	if (revents & (POLLOUT | POLLERR) &&
	    nbd_aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_WRITE)
		nbd_aio_notify_write(n->h);
}

/*
 * All answers that are there, so that what they answer leaves together. A handle takes
 * one at a time; it must not look where there is none, as it keeps requests back then.
 */
static void take_answers(struct connection *n, unsigned revents)
{
	struct pollfd p = { .fd = nbd_aio_get_fd(n->h), .events = POLLIN, .revents = (short)revents };

	for (unsigned i = 0; i < ANSWERS_MAX; i++) {
		notify(n, (unsigned)p.revents);
		if (n->dead || nbd_aio_is_dead(n->h) || nbd_aio_is_closed(n->h) ||
		    !(nbd_aio_get_direction(n->h) & LIBNBD_AIO_DIRECTION_READ) ||
		    poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN))
			return;
	}
}

static void socket_ready(struct store_poll *p, int revents)
{
	struct connection *n =
		(struct connection *)(void *)((char *)p - offsetof(struct connection, poll));
	struct channel *c = n->ch;

	n->armed = 0;
	n->hastened = false;
	if (n->dead) {
		reap(n);
		if (c->closing)
			store_channel_put(c->ch);
		else
			recover_reaped(c);
		return;
	}
	if (revents > 0)
		take_answers(n, (unsigned)revents);
	channel_pump(c);
	channel_finish(c);
	if (c->stopped)
		recover_quiet(c);
}

void connection_take(struct connection *n, struct nbd_handle *h)
{
	n->h = h;
	n->dead = false;
	n->inflight = 0;
	connection_turn(n);
}

/* ---- life ---- */

static void connect_run(struct store_job *j)
{
	struct channel *c = (struct channel *)(void *)((char *)j - offsetof(struct channel, job));
	struct nbd_store *st = c->st;
	struct where to = { &st->config, st->server ? server_socket(st->server) : NULL };

	c->job_err = 0;
	for (unsigned i = 0; i < st->per_channel && !c->job_err; i++) {
		if (c->conn[i].h)
			continue;
		c->fresh[i] = nbd_connect(&to, CONNECT_MS, &c->found, NULL, c->job_text);
		if (!c->fresh[i])
			c->job_err = -ENOTCONN;
	}
}

static void connect_done(struct store_job *j)
{
	struct channel *c = (struct channel *)(void *)((char *)j - offsetof(struct channel, job));
	bool all = true;

	c->connecting = false;
	for (unsigned i = 0; i < c->st->per_channel; i++) {
		struct nbd_handle *h = c->fresh[i];

		c->fresh[i] = NULL;
		if (c->closing)
			nbd_bye(h);
		else if (h)
			connection_take(&c->conn[i], h);
		all &= c->closing || c->conn[i].h;
	}
	if (!all)
		recover_begin(c, c->job_text);
	if (!c->closing && c->stopped)
		recover_quiet(c);
	else if (!c->closing) {
		channel_pump(c);
		channel_finish(c);
	}
	store_channel_put(c->ch);
}

/* The connections that open made, as far as they go; the first channel finds them all. */
static bool take_spare(struct channel *c)
{
	struct nbd_store *st = c->st;
	bool all = true;

	for (unsigned i = 0; i < st->per_channel; i++) {
		struct nbd_handle *h;

		pthread_mutex_lock(&st->lock);
		h = st->spare[i];
		st->spare[i] = NULL;
		pthread_mutex_unlock(&st->lock);
		if (h)
			connection_take(&c->conn[i], h);
		all &= h != NULL;
	}
	return all;
}

int channel_start(struct store_channel *ch)
{
	struct channel *c = channel_priv(ch);

	c->ch = ch;
	c->st = store_priv(channel_store(ch));
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		c->conn[i].ch = c;
		c->conn[i].poll.ready = socket_ready;
	}
	recover_enter(c);
	if (take_spare(c) || c->stopped)
		return 0;
	c->connecting = true;
	c->job.run = connect_run;
	c->job.done = connect_done;
	store_channel_get(ch);
	store_job_run(ch, &c->job);
	return 0;
}

void channel_end(struct store_channel *ch)
{
	struct channel *c = channel_priv(ch);

	c->closing = true;
	recover_leave(c);
	for (unsigned i = 0; i < c->st->per_channel; i++) {
		struct connection *n = &c->conn[i];

		if (!n->h)
			continue;
		if (!n->dead && nbd_aio_is_ready(n->h))
			nbd_aio_disconnect(n->h, 0);
		if (n->armed)
			store_channel_get(ch); /* until its ready has come */
		connection_drop(n);
	}
}
