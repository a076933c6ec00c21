/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulated connections: a pipe each way. Bytes that were sent are under way
 * for a while and arrive in pieces of any size; a pipe that is full takes no more.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "reactor/sim_internal.h"

struct pipe {
	uint8_t *data; /* a ring of `room` bytes, a power of two */
	size_t room, head, len; /* len: bytes in it */
	size_t arrived; /* of them */
	bool ended; /* no more will be sent */
	bool end_arrived;
	struct timer timer; /* the next arrival */
};

struct sim_sock {
	int fd;
	bool closed; /* by the daemon */
	bool reset; /* by the peer */
	struct pipe in, out; /* to the daemon; from it */
	struct sim_op *reader, *writer, *poller;
	struct sim_peer *peer; /* NULL: gone */
};

struct sim_peer {
	struct sim_sock *sock;
	void (*changed)(void *arg);
	void *arg;
	bool wants_room; /* a send was refused */
	struct timer room; /* tells that there is room */
};

/* ---- pipes -------------------------------------------------------------------------- */

static void pipe_init(struct pipe *p)
{
	p->room = 1024u << sim_below(10); /* 1 KiB to 512 KiB */
	p->data = sim_alloc(p->room);
}

static void pipe_free(struct pipe *p)
{
	sim_disarm(&p->timer);
	free(p->data);
}

static size_t pipe_put(struct pipe *p, const uint8_t *data, size_t len)
{
	size_t at, first;

	len = min(len, p->room - p->len);
	at = (p->head + p->len) & (p->room - 1);
	first = min(len, p->room - at);
	memcpy(p->data + at, data, first);
	memcpy(p->data, data + first, len - first);
	p->len += len;
	return len;
}

static size_t pipe_get(struct pipe *p, uint8_t *data, size_t len)
{
	size_t first;

	len = min(len, p->arrived);
	first = min(len, p->room - p->head);
	memcpy(data, p->data + p->head, first);
	memcpy(data + first, p->data, len - first);
	p->head = (p->head + len) & (p->room - 1);
	p->len -= len;
	p->arrived -= len;
	return len;
}

/* Some of what is under way is there. */
static void pipe_advance(struct pipe *p)
{
	size_t way = p->len - p->arrived;

	if (way && !sim_below(4))
		way = 1 + sim_below(way);
	p->arrived += way;
	if (p->arrived == p->len && p->ended)
		p->end_arrived = true;
}

static bool pipe_moves(const struct pipe *p)
{
	return p->arrived < p->len || (p->ended && !p->end_arrived);
}

static void pipe_start(struct pipe *p, void (*fn)(struct timer *t))
{
	if (pipe_moves(p) && !p->timer.index)
		sim_arm(&p->timer, sim_delay(), fn);
}

/* ---- the daemon's side ---------------------------------------------------------------- */

static size_t msg_bytes(const struct msghdr *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	return n;
}

/* Move at most @len bytes between @p and @m. */
static size_t move(struct pipe *p, const struct msghdr *m, size_t len, bool put)
{
	size_t done = 0;

	for (size_t i = 0; i < m->msg_iovlen && done < len; i++) {
		uint8_t *base = m->msg_iov[i].iov_base;
		size_t n = min(m->msg_iov[i].iov_len, len - done);
		size_t moved = put ? pipe_put(p, base, n) : pipe_get(p, base, n);

		done += moved;
		if (moved < n)
			break;
	}
	return done;
}

static size_t shorten(size_t n)
{
	return n > 1 && sim_chance(sim_faults()->short_io) ? 1 + sim_below(n - 1) : n;
}

static bool readable(const struct sim_sock *s)
{
	return s->reset || s->in.arrived || s->in.end_arrived;
}

static bool writable(const struct sim_sock *s)
{
	return s->reset || s->out.len < s->out.room;
}

static void from_daemon_arrived(struct timer *t);

static int do_receive(struct sim_sock *s, struct io_op *op)
{
	size_t want = msg_bytes(op->msg);

	if (s->reset)
		return -ECONNRESET;
	return (int)move(&s->in, op->msg, shorten(min(want, s->in.arrived)), false);
}

static int do_send(struct sim_sock *s, struct io_op *op)
{
	size_t want = msg_bytes(op->msg), n;

	if (!s->peer)
		s->reset = true; /* nobody is there: the far host says so */
	if (s->reset)
		return sim_below(2) ? -EPIPE : -ECONNRESET;
	n = move(&s->out, op->msg, shorten(min(want, s->out.room - s->out.len)), true);
	pipe_start(&s->out, from_daemon_arrived);
	return (int)n;
}

static void tell_room(struct timer *t)
{
	struct sim_peer *p = container_of(t, struct sim_peer, room);

	if (p->changed)
		p->changed(p->arg);
}

static void received(struct sim_sock *s)
{
	struct sim_peer *p = s->peer;

	if (p && p->wants_room && !p->room.index) {
		p->wants_room = false;
		sim_arm(&p->room, sim_delay(), tell_room);
	}
}

static void op_fired(struct timer *t)
{
	struct sim_op *so = container_of(t, struct sim_op, timer);
	struct sim_sock *s = so->sock;
	int res;

	if (so == s->reader) {
		s->reader = NULL;
		res = sim_chance(sim_faults()->no_buffers) ? -ENOMEM : do_receive(s, so->op);
		received(s);
	} else if (so == s->writer) {
		s->writer = NULL;
		res = sim_chance(sim_faults()->no_buffers) ? -ENOMEM : do_send(s, so->op);
	} else {
		s->poller = NULL;
		res = (int)((readable(s) ? POLLIN : 0u) | (writable(s) ? POLLOUT : 0u)) &
		      (int)so->op->events;
		if (s->reset)
			res |= POLLHUP | POLLERR;
	}
	sim_op_end(so, res);
}

static void end_soon(struct sim_op *so)
{
	if (so->timed)
		return;
	so->timed = true;
	sim_arm(&so->timer, sim_delay() / 4, op_fired);
}

/* What can end now will. */
static void look(struct sim_sock *s)
{
	if (s->reader && readable(s))
		end_soon(s->reader);
	if (s->writer && writable(s))
		end_soon(s->writer);
	if (s->poller && ((s->poller->op->events & POLLIN && readable(s)) ||
			  (s->poller->op->events & POLLOUT && writable(s)) || s->reset))
		end_soon(s->poller);
}

bool sim_sock_start(struct sim_op *so)
{
	struct sim_sock *s = sim_fd_of(so->op->fd, true);
	struct sim_op **place;

	if (!s)
		return false;
	so->sock = s;
	place = so->op->verb == IO_RECVMSG   ? &s->reader
		: so->op->verb == IO_SENDMSG ? &s->writer
					     : &s->poller;
	if (*place || so->op->verb == IO_ACCEPT)
		abort(); /* no part of the daemon does that */
	*place = so;
	look(s);
	return true;
}

static void cancelled(struct timer *t)
{
	struct sim_op *so = container_of(t, struct sim_op, timer);
	struct sim_sock *s = so->sock;

	if (s->reader == so)
		s->reader = NULL;
	else if (s->writer == so)
		s->writer = NULL;
	else
		s->poller = NULL;
	sim_op_end(so, -ECANCELED);
}

void sim_sock_cancel(struct sim_op *so)
{
	if (so->timed && sim_chance(sim_faults()->late_cancel))
		return;
	so->timed = true;
	sim_arm(&so->timer, sim_delay() / 4, cancelled);
}

static void sock_free(struct sim_sock *s)
{
	sim_fd_free(s->fd);
	pipe_free(&s->in);
	pipe_free(&s->out);
	free(s);
}

void sim_sock_close(int fd)
{
	struct sim_sock *s = sim_fd_of(fd, true);

	if (!s || s->closed || s->reader || s->writer || s->poller)
		abort(); /* closed twice, or while the engine has an operation on it */
	s->closed = true;
	if (!s->peer) {
		sock_free(s);
		return;
	}
	s->out.ended = true;
	pipe_start(&s->out, from_daemon_arrived);
}

/* ---- arrivals -------------------------------------------------------------------------- */

static void to_daemon_arrived(struct timer *t)
{
	struct sim_sock *s = container_of(t, struct sim_sock, in.timer);

	pipe_advance(&s->in);
	pipe_start(&s->in, to_daemon_arrived);
	if (!s->closed)
		look(s);
}

static void from_daemon_arrived(struct timer *t)
{
	struct sim_sock *s = container_of(t, struct sim_sock, out.timer);
	struct sim_peer *p = s->peer;

	pipe_advance(&s->out);
	pipe_start(&s->out, from_daemon_arrived);
	if (p && p->changed)
		p->changed(p->arg); /* may free it all */
}

/* ---- the far end ------------------------------------------------------------------------- */

struct sim_peer *sim_connect(int *fd, void (*changed)(void *arg), void *arg)
{
	struct sim_sock *s = sim_alloc(sizeof(*s));
	struct sim_peer *p = sim_alloc(sizeof(*p));

	*p = (struct sim_peer){ .sock = s, .changed = changed, .arg = arg };
	s->peer = p;
	pipe_init(&s->in);
	pipe_init(&s->out);
	*fd = s->fd = sim_fd_new(s, true);
	return p;
}

size_t sim_peer_send(struct sim_peer *p, const void *data, size_t len)
{
	struct sim_sock *s = p->sock;
	size_t n;

	if (s->closed || s->in.ended)
		return len; /* nobody will read it */
	n = pipe_put(&s->in, data, len);
	p->wants_room = n < len;
	pipe_start(&s->in, to_daemon_arrived);
	return n;
}

size_t sim_peer_receive(struct sim_peer *p, void *data, size_t len)
{
	struct sim_sock *s = p->sock;
	size_t n = pipe_get(&s->out, data, len);

	if (n && !s->closed)
		look(s);
	return n;
}

bool sim_peer_ended(const struct sim_peer *p)
{
	return p->sock->out.end_arrived && !p->sock->out.len;
}

size_t sim_peer_unread(const struct sim_peer *p)
{
	return p->sock->in.len;
}

void sim_peer_shut(struct sim_peer *p)
{
	struct sim_sock *s = p->sock;

	s->in.ended = true;
	if (!s->closed)
		pipe_start(&s->in, to_daemon_arrived);
}

static void peer_free(struct sim_peer *p)
{
	struct sim_sock *s = p->sock;

	sim_disarm(&p->room);
	free(p);
	s->peer = NULL;
	if (s->closed)
		sock_free(s);
}

void sim_peer_reset(struct sim_peer *p)
{
	struct sim_sock *s = p->sock;

	s->reset = true;
	s->out.len = s->out.arrived = 0;
	if (!s->closed)
		look(s);
	peer_free(p);
}

void sim_peer_close(struct sim_peer *p)
{
	if (p->sock->out.len) {
		sim_peer_reset(p); /* as TCP does when unread bytes are thrown away */
		return;
	}
	sim_peer_shut(p);
	peer_free(p);
}
