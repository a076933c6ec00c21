/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exports of NBD servers as stores, and image files by way of a server of our own.
 *
 * A channel has one or more connections; each is a libnbd handle that only its reactor
 * touches. libnbd calls back while it holds the handle's lock, so callbacks only note
 * what ended; the channel finishes requests when libnbd has returned.
 *
 * When a connection is lost the whole store stops (recover.c): nothing new is sent on any
 * connection until what was sent on the lost one can have no effect any more.
 */
#ifndef STGT_STORE_NBD_H
#define STGT_STORE_NBD_H

#include <assert.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "stgt/store.h"

/* On one channel. */
#define CONNECTIONS_MAX 16
/* Commands that one connection's server has at a time; what is above waits here, unsent. */
#define WINDOW 64
/* Pieces of one request that are under way at a time. */
#define PIECES 16

#define TEXT_MAX 400

/* ---- what the administrator said (config.c) ---- */

struct config {
	bool managed; /* path is an image that a server of ours serves */
	char *path; /* URI, socket or image */
	char *export_name; /* of a socket's server; NULL: the default one */
	char *tls_certificates, *tls_psk_file, *tls_username;
	char *key_file, *format, *cache; /* managed */
	bool tls, snapshot, backing, survives;
	bool readonly;
	unsigned connections; /* 0: as the server allows */
	uint64_t timeout_ns, settle_ns;
};

int config_read(struct config *c, struct store *s, const struct store_spec *spec, bool managed,
		struct err *e);
void config_free(struct config *c);
bool is_uri(const char *path);

/* ---- what the server offers (connect.c) ---- */

struct features {
	uint64_t size;
	uint32_t min_block, preferred, max_io; /* bytes; 0: not said */
	bool readonly, flush, fua, trim, zero, fast_zero, extents, multi;
};

struct where { /* whom to connect to */
	const struct config *config;
	const char *socket; /* of the managed server; NULL: config->path */
};

/*
 * Connect and negotiate within @ms. Blocks. NULL and @text, a sentence without remedy. The
 * server's process, if it runs on this host and can be told: *@pidfd, else -1; may be NULL.
 */
struct nbd_handle *nbd_connect(const struct where *to, unsigned ms, struct features *f, int *pidfd,
			       char text[TEXT_MAX]);
/* Say goodbye, if it is still there to hear it. */
void nbd_bye(struct nbd_handle *h);

/* ---- a server of our own (server.c) ---- */

struct server;

/* Start one for the image; NULL and @e. Blocks. */
struct server *server_start(const struct config *c, struct err *e);
/* The path that leads to its socket. */
const char *server_socket(const struct server *sv);
/* True once its process is reaped: nothing of it runs any more. Waits at most @ms for that. */
bool server_dead(struct server *sv, unsigned ms);
/* What it said last; "" if nothing. */
void server_said(struct server *sv, char text[TEXT_MAX]);
/* Wait for it to end; ask after @ms, force after as much again. Frees it. True: it ended well. */
bool server_end(struct server *sv, unsigned ms);

/* ---- stores and channels ---- */

struct queue {
	struct request *first, *last;
};

/* One NBD command of a request; libnbd carries its address. */
struct piece {
	uint8_t self; /* its index in the request's pieces */
	bool cleared; /* READ: its memory was zeroes before */
	bool disorder; /* READ: data came in another order than that of their places */
	uint32_t number; /* which part of the request */
	uint32_t seen; /* READ: bytes that have come */
};

/* In store_io.room. */
struct request {
	struct request *next; /* in a queue */
	struct connection *conn; /* that its commands go through */
	uint64_t offset; /* of the next part */
	uint64_t where; /* if err: the lowest bad byte */
	int err;
	uint32_t number; /* of the next part */
	uint16_t busy; /* bit set: that piece is under way */
	bool held; /* a command was sent, and no answer will come */
	bool queued, sending;
	bool was_dirty; /* FLUSH: there was something to make stable */
	uint8_t resent; /* times that it was sent again */
	bool cancelled; /* nobody waits for it */
	struct piece piece[PIECES];
};

static_assert(sizeof(struct request) <= STORE_IO_ROOM, "the request's room");
static_assert(PIECES <= 16, "bits of busy");

struct connection {
	struct nbd_handle *h; /* NULL: none now */
	struct channel *ch;
	struct store_poll poll;
	unsigned armed; /* events that poll waits for */
	unsigned inflight; /* commands that libnbd has */
	bool hastened; /* poll is cancelled, and ready has not come */
	bool dead; /* the handle is closed as soon as poll has ended */
};

enum news { NEWS_STOP = 1, NEWS_SETTLED = 2, NEWS_EXPIRED = 4, NEWS_RESUME = 8 };

struct channel {
	struct store_channel *ch;
	struct nbd_store *st;
	struct channel *next; /* of the store's; under its lock */
	struct connection conn[CONNECTIONS_MAX];
	struct queue waiting; /* not sent yet */
	struct queue ended; /* to be finished */
	struct queue held; /* sent, and their connection was lost */
	unsigned inflight; /* over all connections */
	bool finishing; /* somebody below on this stack finishes what has ended */
	bool stopped; /* nothing is sent */
	bool waits; /* stopped for a moment: what comes waits */
	bool resuming; /* old connections are being closed before the fresh ones are taken */
	bool connecting; /* the first connections are being made */
	bool closing;
	struct store_job job; /* connecting, or an attempt to recover */
	struct store_timer timer;
	struct features found; /* by the job */
	int job_err;
	char job_text[TEXT_MAX];
	/* under the store's lock */
	struct store_call call;
	bool called; /* call is on its way */
	unsigned news; /* enum news, for it */
	bool quiet; /* stopped, and nothing is in flight */
	bool holds; /* writes that were not answered, when it became quiet */
	struct nbd_handle *fresh[CONNECTIONS_MAX]; /* for it to take */
	uint16_t missing; /* bit set: that connection is to be made anew */
};

enum phase { PHASE_UP, PHASE_STOPPING, PHASE_SETTLING, PHASE_CONNECTING };

struct nbd_store {
	struct store *s;
	struct config config;
	struct features features; /* as at open; size: as of now, under the lock */
	unsigned per_channel; /* connections */
	struct server *server; /* managed; changed by the recovering job only */
	int pidfd; /* the foreign server's process, -1: not known */
	struct nbd_handle *spare[CONNECTIONS_MAX]; /* made by open, taken by the first channel */
	/*
	 * Something was answered that no flush has made stable. Set after each write's answer,
	 * taken by a flush before it is sent.
	 */
	_Atomic bool dirty;
	_Atomic bool disorder; /* this server answers READ in any order */
	_Atomic bool lost; /* what was dirty may be gone: the next flush says so */
	pthread_mutex_t lock; /* the following, and what channels have under it */
	struct channel *channels;
	enum phase phase;
	struct channel *leader; /* who recovers; its job and timer */
	uint64_t since; /* the loss; up_since: the recovery, 0: none yet; ns */
	uint64_t up_since;
	unsigned attempts, starts; /* of connecting; of our server */
	bool expired; /* it took too long: nothing is held any more */
	bool refresh; /* the connections are good, but are to be made anew */
	bool torn; /* one was lost meanwhile */
	bool closing;
};

/* request.c */
void request_submit(struct store_channel *ch, struct store_io *io);
void request_cancel(struct store_channel *ch, struct store_io *io);
/* Send what waits. */
void channel_pump(struct channel *c);
/* Finish what has ended; whoever called libnbd ends with this. */
void channel_finish(struct channel *c);
/* End what was not sent. */
void requests_fail_waiting(struct channel *c);
/* End what was sent and will not be answered: what changes data, or @all. */
void requests_end_held(struct channel *c, bool all);
bool request_changes(const struct request *r);
/* Send what is held again, if not too often: it changes nothing. */
void requests_resume_held(struct channel *c);

/* channel.c */
int channel_start(struct store_channel *ch);
void channel_end(struct store_channel *ch);
/* After each call into libnbd: wait for what the connection wants now; notice its end. */
void connection_turn(struct connection *n);
void connection_take(struct connection *n, struct nbd_handle *h);
void connection_drop(struct connection *n);
struct connection *connection_choose(struct channel *c);

/* recover.c */
/* A connection of @c was lost; @why: what else is known, or NULL. */
void recover_begin(struct channel *c, const char *why);
/* Make all connections anew, at an hour when all is well. Any thread. */
void recover_refresh(struct nbd_store *st);
/* Something has ended on the stopped channel @c. */
void recover_quiet(struct channel *c);
/* A lost connection's handle is closed. */
void recover_reaped(struct channel *c);
void recover_enter(struct channel *c);
void recover_leave(struct channel *c);
int features_check(const struct features *was, const struct features *is, char text[TEXT_MAX]);

static inline void queue_add(struct queue *q, struct request *r)
{
	r->next = NULL;
	if (q->first)
		q->last->next = r;
	else
		q->first = r;
	q->last = r;
}

static inline struct request *queue_pop(struct queue *q)
{
	struct request *r = q->first;

	if (r)
		q->first = r->next;
	return r;
}

static inline void queue_remove(struct queue *q, struct request *r)
{
	struct request *before = NULL;

	for (struct request *i = q->first; i != r; i = i->next)
		before = i;
	if (before)
		before->next = r->next;
	else
		q->first = r->next;
	if (q->last == r)
		q->last = before;
}

static inline void queue_push(struct queue *q, struct request *r)
{
	r->next = q->first;
	if (!q->first)
		q->last = r;
	q->first = r;
}

static inline struct store_io *request_io(struct request *r)
{
	return (struct store_io *)(void *)((char *)r - offsetof(struct store_io, room));
}

static inline struct request *io_request(struct store_io *io)
{
	return (struct request *)(void *)io->room;
}

#endif
