/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "control/socket.h"
#include "reactor/engine.h"

#define IN_FIRST 1024 /* bytes of a new client's line buffer; doubles up to RPC_LINE_MAX + 1 */
#define ACCEPT_PAUSE_NS (100 * NSEC_PER_MSEC)

const struct rpc_limits rpc_default_limits = {
	.line_ns = 10 * NSEC_PER_SEC,
	.idle_ns = 300 * NSEC_PER_SEC,
	.send_ns = 10 * NSEC_PER_SEC,
};

enum client_state {
	READING, /* op receives */
	CALLING, /* a call is under way, op is idle */
	SENDING, /* op sends out */
};

struct client {
	struct list link; /* in server->clients, oldest activity first */
	struct rpc_server *server;
	int fd;
	enum client_state state;
	bool dead; /* to be freed when op or call ends */
	bool last; /* close after what is being sent */
	bool dispatching, answered;
	struct io_op op;
	struct msghdr msg;
	struct iovec iov;
	struct timer timer;
	char *in, *out;
	size_t have, room; /* bytes at in */
	size_t out_len, sent;
	struct call call;
};

struct rpc_server {
	struct reactor *reactor;
	const struct verb *verbs;
	void *ctx;
	struct rpc_limits limits;
	bool listens; /* sock is open */
	struct control_socket sock;
	struct io_op accept_op;
	struct timer accept_timer;
	bool closed, draining;
	struct list clients;
	unsigned nclients;
};

static void client_next(struct client *cl);

static void client_free(struct client *cl)
{
	struct rpc_server *s = cl->server;

	timer_cancel(s->reactor, &cl->timer);
	list_del(&cl->link);
	s->nclients--;
	io_close(s->reactor, cl->fd);
	free(cl->in);
	free(cl->out);
	free(cl);
}

/* Free @cl as soon as nothing of it is with the engine or a handler. */
static void client_kill(struct client *cl)
{
	cl->dead = true;
	if (io_pending(&cl->op))
		io_cancel(&cl->op);
	else if (cl->state != CALLING)
		client_free(cl);
}

static void client_timeout(struct timer *t)
{
	struct client *cl = container_of(t, struct client, timer);

	log_debug("control: a client was too slow and is cut off");
	client_kill(cl);
}

/* ---- sending ---------------------------------------------------------------- */

static void client_send(struct client *cl);

static void sent(struct io_op *op, int res)
{
	struct client *cl = container_of(op, struct client, op);

	if (cl->dead || res <= 0) {
		client_free(cl);
		return;
	}
	cl->sent += (size_t)res;
	if (cl->sent < cl->out_len) {
		client_send(cl);
		return;
	}
	free(cl->out);
	cl->out = NULL;
	if (cl->last || cl->server->draining)
		client_free(cl);
	else
		client_next(cl);
}

static void client_send(struct client *cl)
{
	struct rpc_server *s = cl->server;

	cl->state = SENDING;
	cl->iov = (struct iovec){ cl->out + cl->sent, cl->out_len - cl->sent };
	cl->msg = (struct msghdr){ .msg_iov = &cl->iov, .msg_iovlen = 1 };
	cl->op.verb = IO_SENDMSG;
	cl->op.msg = &cl->msg;
	cl->op.done = sent;
	timer_arm(s->reactor, &cl->timer, s->limits.send_ns, client_timeout);
	io_submit(s->reactor, &cl->op);
}

static char *response_text(json_t *response, size_t *len)
{
	char *text = json_dumps(response, JSON_COMPACT), *line;

	if (!text)
		return NULL;
	*len = strlen(text);
	line = realloc(text, *len + 1);
	if (!line) {
		free(text);
		return NULL;
	}
	line[(*len)++] = '\n';
	return line;
}

static void answer(struct call *c, json_t *response)
{
	struct client *cl = container_of(c, struct client, call);

	cl->answered = true;
	if (response) {
		cl->out = response_text(response, &cl->out_len);
		cl->sent = 0;
		json_decref(response);
		if (!cl->out)
			cl->dead = true; /* no memory for an answer: the client sees the end */
	}
	if (!cl->dispatching)
		client_next(cl);
}

/* ---- receiving -------------------------------------------------------------- */

static void client_read(struct client *cl);

static void received(struct io_op *op, int res)
{
	struct client *cl = container_of(op, struct client, op);
	struct rpc_server *s = cl->server;

	if (cl->dead || res <= 0) {
		client_free(cl);
		return;
	}
	if (!cl->have)
		timer_arm(s->reactor, &cl->timer, s->limits.line_ns, client_timeout);
	cl->have += (size_t)res;
	list_del(&cl->link);
	list_add(&s->clients, &cl->link);
	client_next(cl);
}

static bool grow(struct client *cl)
{
	size_t room = cl->room ? min(cl->room * 2, (size_t)RPC_LINE_MAX + 1) : IN_FIRST;
	char *in = realloc(cl->in, room);

	if (!in)
		return false;
	cl->in = in;
	cl->room = room;
	return true;
}

static void client_read(struct client *cl)
{
	struct rpc_server *s = cl->server;

	if (cl->have == cl->room && !grow(cl)) {
		client_free(cl);
		return;
	}
	cl->state = READING;
	cl->iov = (struct iovec){ cl->in + cl->have, cl->room - cl->have };
	cl->msg = (struct msghdr){ .msg_iov = &cl->iov, .msg_iovlen = 1 };
	cl->op.verb = IO_RECVMSG;
	cl->op.msg = &cl->msg;
	cl->op.done = received;
	/* the clock of a line that has begun goes on */
	if (!cl->have)
		timer_arm(s->reactor, &cl->timer, s->limits.idle_ns, client_timeout);
	io_submit(s->reactor, &cl->op);
}

/* The first line in the buffer, without its end; -1 if it is not complete. */
static ssize_t first_line(const struct client *cl)
{
	const char *end = cl->have ? memchr(cl->in, '\n', cl->have) : NULL;

	return end ? end - cl->in : -1;
}

static void consume(struct client *cl, size_t n)
{
	cl->have -= n;
	memmove(cl->in, cl->in + n, cl->have);
}

static void dispatch(struct client *cl, size_t len)
{
	timer_cancel(cl->server->reactor, &cl->timer);
	cl->state = CALLING;
	cl->answered = false;
	cl->dispatching = true;
	verb_dispatch(&cl->call, cl->in, len);
	cl->dispatching = false;
	consume(cl, len + 1);
}

/* A line without end: say so, and close. */
static void refuse_line(struct client *cl)
{
	cl->last = true;
	cl->dispatching = true;
	call_refuse(&cl->call, RPC_INVALID_REQUEST, "a request has at most %d bytes", RPC_LINE_MAX);
	cl->dispatching = false;
}

/* Go on with what the client's buffers hold: answers first, then requests. */
static void client_next(struct client *cl)
{
	ssize_t len;

	for (;;) {
		if (cl->dead) {
			client_free(cl);
			return;
		}
		if (cl->out) {
			client_send(cl);
			return;
		}
		len = first_line(cl);
		if (len < 0 && cl->have <= RPC_LINE_MAX) {
			client_read(cl);
			return;
		}
		if (len < 0) {
			refuse_line(cl);
		} else if (len == 0) {
			consume(cl, 1);
		} else {
			dispatch(cl, (size_t)len);
			if (!cl->answered)
				return; /* answer() goes on */
		}
	}
}

/* ---- accepting -------------------------------------------------------------- */

static void accept_next(struct rpc_server *s);

static bool peer_allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	if (cred.uid == 0 || cred.uid == geteuid())
		return true;
	log_warn("control: refused process %d of user %u: only root and user %u may", cred.pid,
		 cred.uid, geteuid());
	return false;
}

/* Cut the client off that has been idle longest. False if none is idle. */
static bool make_place(struct rpc_server *s)
{
	struct client *cl;

	list_for_each(cl, &s->clients, link) {
		if (cl->state == READING && !cl->dead) {
			client_kill(cl);
			return true;
		}
	}
	return false;
}

static void client_new(struct rpc_server *s, int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));

	if (!cl) {
		io_close(s->reactor, fd);
		return;
	}
	cl->server = s;
	cl->fd = cl->op.fd = fd;
	cl->call = (struct call){ .ctx = s->ctx, .verbs = s->verbs, .answer = answer };
	list_add(&s->clients, &cl->link);
	s->nclients++;
	client_next(cl);
}

void rpc_serve(struct rpc_server *s, int fd)
{
	if (s->closed || (s->nclients >= RPC_CLIENTS_MAX && !make_place(s)))
		io_close(s->reactor, fd);
	else
		client_new(s, fd);
}

static void accept_again(struct timer *t)
{
	accept_next(container_of(t, struct rpc_server, accept_timer));
}

static void accepted(struct io_op *op, int res)
{
	struct rpc_server *s = container_of(op, struct rpc_server, accept_op);

	if (res >= 0 && peer_allowed(res))
		rpc_serve(s, res);
	else if (res >= 0)
		io_close(s->reactor, res);
	if (s->closed)
		return;
	if (res == -EMFILE || res == -ENFILE || res == -ENOMEM || res == -ENOBUFS) {
		log_warn("control: cannot accept a client: %s", strerror(-res));
		timer_arm(s->reactor, &s->accept_timer, ACCEPT_PAUSE_NS, accept_again);
		return;
	}
	accept_next(s);
}

static void accept_next(struct rpc_server *s)
{
	s->accept_op.verb = IO_ACCEPT;
	s->accept_op.fd = s->sock.fd;
	s->accept_op.done = accepted;
	io_submit(s->reactor, &s->accept_op);
}

/* ---- life --------------------------------------------------------------------- */

struct rpc_server *rpc_start(struct reactor *r, const char *path, const struct verb *verbs,
			     void *ctx, const struct rpc_limits *limits, struct err *e)
{
	struct rpc_server *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, -ENOMEM, "no memory for the control socket");
		return NULL;
	}
	s->reactor = r;
	s->verbs = verbs;
	s->ctx = ctx;
	s->limits = limits ? *limits : rpc_default_limits;
	list_init(&s->clients);
	if (path && control_socket_open(&s->sock, path, e)) {
		free(s);
		return NULL;
	}
	s->listens = path;
	if (s->listens)
		accept_next(s);
	return s;
}

bool rpc_took_over(const struct rpc_server *s)
{
	return s->sock.stale;
}

void rpc_close(struct rpc_server *s)
{
	if (s->closed)
		return;
	s->closed = true;
	timer_cancel(s->reactor, &s->accept_timer);
	if (io_pending(&s->accept_op))
		io_cancel(&s->accept_op);
	if (s->listens)
		control_socket_unlink(&s->sock);
}

void rpc_drain(struct rpc_server *s)
{
	struct client *cl, *next;

	s->draining = true;
	list_for_each_safe(cl, next, &s->clients, link) {
		if (cl->state == READING && !cl->dead)
			client_kill(cl);
	}
}

void rpc_cut(struct rpc_server *s)
{
	struct client *cl, *next;

	list_for_each_safe(cl, next, &s->clients, link) {
		if (!cl->dead)
			client_kill(cl);
	}
}

unsigned rpc_busy(const struct rpc_server *s)
{
	return s->nclients + io_pending(&s->accept_op);
}

void rpc_free(struct rpc_server *s)
{
	if (s->listens) {
		io_forget(s->reactor, s->sock.fd);
		control_socket_close(&s->sock);
	}
	free(s);
}
