/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: one JSON object per line in each direction over a UNIX
 * stream socket, mode 0600, for root and the daemon's own user. A client's
 * requests are answered in order, one at a time; clients do not wait for
 * each other, and a slow, silent or half-open one only costs its slot.
 */
#ifndef STGT_CONTROL_RPC_H
#define STGT_CONTROL_RPC_H

#include "base/err.h"
#include "control/verb.h"
#include "reactor/reactor.h"

#define RPC_LINE_MAX 65536 /* bytes of a request */
#define RPC_CLIENTS_MAX 64

struct rpc_limits {
	uint64_t line_ns; /* from a request's first byte to its end */
	uint64_t idle_ns; /* between requests */
	uint64_t send_ns; /* without the client reading */
};
extern const struct rpc_limits rpc_default_limits;

struct rpc_server;

/*
 * Serve @verbs (with call->ctx = @ctx) at @path, on reactor @r, which calls
 * this. A socket left by a dead daemon is taken over; a live daemon is told
 * by its lock on PATH.lock. NULL and @e on error. @limits NULL: the default. @path
 * NULL: nobody can connect, clients only come by rpc_serve().
 */
struct rpc_server *rpc_start(struct reactor *r, const char *path, const struct verb *verbs,
			     void *ctx, const struct rpc_limits *limits, struct err *e);
/* Serve the client at the other end of @fd, whoever it is; @fd is the server's from now on. On its reactor. */
void rpc_serve(struct rpc_server *s, int fd);
/* The socket was taken over from a daemon that died. */
bool rpc_took_over(const struct rpc_server *s);
/* No new client; the socket's name is removed. Calls under way go on. */
void rpc_close(struct rpc_server *s);
/* Close clients that have no call under way, after what is being sent to them. */
void rpc_drain(struct rpc_server *s);
/* Clients, or pending operations, left: turn the reactor until it is 0 before rpc_free(). */
unsigned rpc_busy(const struct rpc_server *s);
/* Cut all clients off, whatever they wait for. Calls under way still answer. */
void rpc_cut(struct rpc_server *s);
void rpc_free(struct rpc_server *s);

#endif
