/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the store core share: the store, its channels, and the
 * core's part of a request.
 *
 * The road of a request: store_submit() queues it on this reactor's channel
 * (or posts it to the home reactor's); the channel's run, once a turn, checks
 * it and starts it; store_done() or the emulation's last step finishes it;
 * store_deliver() gives it back on the reactor that submitted it.
 */
#ifndef STGT_STORE_CORE_H
#define STGT_STORE_CORE_H

#include <assert.h>
#include <stdatomic.h>

#include "base/list.h"
#include "store/options.h"
#include "store/store.h"

/* Where a request goes on in pieces none ends within one: a sector is never half of one write. */
#define SECTOR 512u

enum store_state {
	STORE_CLOSED,
	STORE_OPENING,
	STORE_OPEN,
	STORE_DRAINING,
	STORE_CLOSING,
	STORE_FAILED,
};

/* How this reactor's inline writes to a file went lately; see fdio.c. */
struct fd_budget {
	uint64_t cost; /* moving average of an inline write, ns */
	uint64_t async_until; /* write asynchronously until then, reactor_now() scale */
	bool no_nowait; /* the file stopped answering RWF_NOWAIT */
};

struct store_channel {
	struct store *store;
	struct reactor *reactor;
	struct later later; /* runs the queue */
	struct list queue; /* of core.link: new requests, and next steps of old ones */
	_Atomic unsigned inflight; /* submitted here and not yet delivered; this reactor writes */
	bool serves; /* has the store's side; else it brings requests to the home */
	bool opened, draining, closing;
	unsigned users; /* store_channel_get(): closing waits for them */
	int err; /* of opening */
	struct msg msg; /* for transitions: one at a time */
	struct fd_budget budget;
	struct store_channel *below; /* of the store below, on the same reactor; NULL: none */
	void *priv;
};

/* A transition (open or close) in progress; owned by the reactor that asked. */
struct store_move {
	struct reactor *self;
	struct offload job;
	unsigned waiting; /* channels that have not answered */
	int err;
	struct store_open *open; /* opening for whom */
	void (*closed)(void *arg);
	void *arg;
};

/* What happened to a store, on its way to those who opened it. */
struct store_news {
	struct msg msg;
	struct reactor *self;
	_Atomic unsigned events; /* enum store_event, and whether msg is on its way */
	atomic_bool begun; /* the store is open: what happens is told */
	void (*tell)(void *arg, struct store *s, unsigned events);
	void *arg;
};

struct store {
	const struct store_ops *ops;
	struct store_limits limits; /* constant once open, but size */
	_Atomic uint64_t size; /* bytes, as of now */
	_Atomic int state; /* enum store_state */
	uint32_t block_size; /* of the LU, bytes */
	struct store *below; /* NULL: none */
	struct store *_Atomic above;
	struct store *base; /* the lowest: who has the data, and the next two */
	_Atomic bool sticky; /* a flush failed */
	const char *_Atomic away; /* why there is no medium for now */
	_Atomic bool no_zero[2]; /* native ZERO said EOPNOTSUPP, without and with MAY_UNMAP */
	struct store_channel *home; /* NULL: every channel serves */
	struct store_channel *ch[REACTORS_MAX + 1]; /* by reactor id; NULL: none */
	char *type, *path, *opts, *oflags;
	struct options options; /* valid while opening */
	struct store_move move;
	struct store_news news;
	void *priv;
};

/* A request as the caller made it, while the core shows the store pieces of it. */
struct request {
	enum store_verb verb;
	uint32_t flags;
	uint64_t offset, length;
	const struct iovec *iov;
	unsigned iovcnt;
};

#define CORE_IOV 4

/* A layer that wants to see a request's end. */
struct frame {
	void (*done)(struct store_channel *ch, struct store_io *io, int err, uint64_t where,
		     uint64_t mark);
	struct store_channel *ch;
	uint64_t mark;
};

/* In store_io.core_room. */
struct core {
	union {
		struct list link; /* in a channel's queue */
		struct msg msg; /* on the way to or from the home */
	};
	struct store_channel *from; /* where it was submitted */
	struct store_channel *top; /* where the piece that io shows was handed to the store */
	_Atomic bool cancelled;
	bool with_store; /* between ops->submit and store_done */
	uint8_t depth; /* frames in use */
	struct frame frame[STORE_LAYERS_MAX];
	/* what the emulation needs comes last: most requests leave it alone */
	bool flush; /* the last step is a flush */
	bool by_writes; /* ZERO by writes */
	unsigned seg; /* the caller's segment that pos is in */
	struct request req;
	uint64_t pos; /* bytes of the request that are done */
	size_t seg_off; /* bytes of that segment that are done */
	struct iovec iov[CORE_IOV]; /* a piece that begins or ends inside segments */
};

static_assert(sizeof(struct core) <= STORE_CORE_ROOM, "the core's part of a request");

static inline struct core *core_of(struct store_io *io)
{
	return (struct core *)(void *)io->core_room;
}

static inline struct store_io *core_io(struct core *c)
{
	return container_of((unsigned char *)c, struct store_io, core_room);
}

/* Give @io, whose fields are the caller's again, to the one who submitted it. */
void store_finish(struct store_io *io, int err, uint64_t where);
/* @ch may have done its last: answer a transition that waits for it. */
void channel_check_closed(struct store_channel *ch);
/* A channel's queue, as a later. */
void channel_run(struct later *l);
/* Answer a transition that waits for @ch to be empty. */
void channel_check_drained(struct store_channel *ch);
/* Run @io's next step with the channel's queue. */
void store_requeue(struct store_io *io);
/* Hand the piece that @io shows to the store. */
void store_pass(struct store_io *io);
/* The verbs that change what is read. */
static inline bool store_writes(enum store_verb verb)
{
	return verb == STORE_WRITE || verb == STORE_DISCARD || verb == STORE_ZERO ||
	       verb == STORE_WRITE_SAME || verb == STORE_COMPARE_WRITE || verb == STORE_COPY;
}
/* From now on everything that writes fails: what @io was to make stable may be lost. */
void store_stick(struct store *s, const char *what, int err);

/* Start a request that the store cannot take as it is. */
void emulate_start(struct store_io *io);
/* Its next step, from the channel's queue. */
void emulate_next(struct store_io *io);

#endif
