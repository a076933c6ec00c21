/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the rbd store share.
 *
 * An image is served through a handle of its own: cluster, pool and image. The
 * cluster knows the handle by its address, so one handle can be shut out (put on
 * the blocklist) and replaced without the others taking notice.
 *
 * Everything of librbd and librados that may block runs on a thread of its own,
 * which the caller waits for only so long. Who does not come back in time is
 * left behind: then the handle is its thread's, and freed there.
 */
#ifndef STGT_STORE_RBD_H
#define STGT_STORE_RBD_H

#include <assert.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdatomic.h>

#include "stgt/store.h"

#define NAME_ROOM 256 /* Ceph's limits for names are below this */
#define WHY_ROOM 1200

#define owner_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- name.c ------------------------------------------------------------- */

struct rbd_name {
	char pool[NAME_ROOM], space[NAME_ROOM], image[NAME_ROOM], snap[NAME_ROOM]; /* "": none */
};

/*
 * Take "[[pool/[namespace/]]image[@snapshot]" apart; what @pool and @space (NULL: not given) say
 * must not contradict it. 0, or -EINVAL with @e.
 */
int rbd_name_parse(struct rbd_name *n, const char *path, const char *pool, const char *space,
		   struct err *e);

/* ---- handle.c ------------------------------------------------------------- */

struct rbd_handle {
	/* as asked for */
	struct rbd_name name;
	char cluster_name[NAME_ROOM], user[NAME_ROOM], conf[4096];
	unsigned op_timeout, connect_timeout; /* seconds; op_timeout 0: to be chosen */
	bool readonly;

	/* what became of it */
	rados_t cluster; /* NULL: not made */
	rados_ioctx_t pool;
	rbd_image_t image;
	uint64_t watch; /* of the image's header */
	bool has_pool, has_image, has_watch;
	int event_fd; /* completions are waiting */
	unsigned failover; /* seconds that the cluster may take to replace an OSD that died */
	uint64_t size, features, discard_granularity;
	uint32_t stripe_unit;
	bool cached; /* librbd's cache is on, against our will */
	char others[WHY_ROOM]; /* who else has the image open for writing; "": nobody */
	char why[WHY_ROOM]; /* if opening failed */

	_Atomic bool lost; /* it will not work again */
	/* A write was answered as failed, or its answer waits, though it may still be carried out. */
	_Atomic bool unsettled, fenced;

	/* Lock order: nothing is taken under it. */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
	bool done, left; /* the thread has ended; nobody waits for it any more */
	struct store *store; /* to be told of changes; NULL: nobody */
	bool missed; /* a change that nobody was told of */
	int err;
	int (*run)(struct rbd_handle *h);
};

/* A handle that is not open yet, with defaults; NULL: no memory. */
struct rbd_handle *rbd_handle_new(void);
void rbd_handle_free(struct rbd_handle *h); /* of one that is closed */
/* Open it. May block, but not for long. 0, or -errno, @h is gone, and @e is set. */
int rbd_handle_open(struct rbd_handle *h, struct err *e);
/* Close and free it. May block, but not for long; false: its thread goes on with that. */
bool rbd_handle_close(struct rbd_handle *h);
/*
 * Have the cluster shut this handle out, so that nothing which was sent through it takes effect
 * after what a handle sends that is opened later. May block as long as monitors may. 0 or -errno.
 */
int rbd_handle_fence(struct rbd_handle *h);
/* From now on tell @s, or nobody, of changes of the image. When this returns nobody else is being told. */
void rbd_handle_tell(struct rbd_handle *h, struct store *s);

/* ---- io.c ------------------------------------------------------------------ */

#define SECTOR 512u /* what an OSD compares and writes in one step */
#define BOUNCES 16

struct rbd_store {
	struct rbd_handle *h;
	struct rbd_channel *channel; /* the only one */
};

/* For a COMPARE_WRITE whose sectors lie in pieces. */
struct bounce {
	struct bounce *next;
	uint8_t sector[2][SECTOR];
};

struct rbd_channel {
	struct store_channel *ch;
	struct store_poll poll;
	struct bounce *bounces; /* free ones */
	struct bounce bounce[BOUNCES];
	/* writes that were given up, until the fence is up */
	struct store_io *late;
	struct store_job fence;
	bool fencing, fenced, closing;
	/*
	 * That the handle is lost is told when it has nothing left to do: those who close it would
	 * have to wait, and commands with them.
	 */
	unsigned flight; /* requests with librbd, and late ones */
	struct store_call lost;
	bool tell;
};

static inline struct rbd_handle *handle_of(struct store *s)
{
	return ((struct rbd_store *)store_priv(s))->h;
}

/* What librbd said, @ret < 0, as one of a store's errors; @s goes away if its handle is dead. Any thread. */
int rbd_failed(struct store *s, int ret, enum store_verb verb);

/* As in struct store_ops. */
int rbd_channel_open(struct store_channel *ch);
void rbd_channel_close(struct store_channel *ch);
void rbd_submit(struct store_channel *ch, struct store_io *io);

/* ---- extents.c ---------------------------------------------------------------- */

/* EXTENTS, for store_offload(). */
int rbd_extents(struct store_io *io);

#endif
