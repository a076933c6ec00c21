/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one interface that stores are written against, built-in ones too.
 *
 * A store keeps bytes and knows nothing of SCSI. A request is a struct
 * store_io, embedded in its owner, completed exactly once by io->done with
 * what happened and where. All offsets and lengths are bytes.
 *
 * A store is opened once, on a thread that may block, and then has one
 * channel per reactor; a channel's calls come on that reactor's thread only
 * and must not block. With STORE_AFFINITY_HOME only the channel of the home
 * reactor is opened, and the core brings every request there.
 *
 * A layer is a store over a store: it sees each request on its way down and,
 * if it wants to, on its way up.
 */
#ifndef STGT_STORE_H
#define STGT_STORE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define STORE_API 2

struct err;
struct reactor;
struct store;
struct store_channel;

/* ---- requests -------------------------------------------------------- */

enum store_verb {
	STORE_READ, /* offset, length, iov */
	STORE_WRITE, /* offset, length, iov; FUA */
	STORE_FLUSH, /* everything completed before it becomes stable */
	STORE_DISCARD, /* offset, length: a hint per byte; what is dropped reads as zeroes; FUA */
	STORE_ZERO, /* offset, length: reads as zeroes after; MAY_UNMAP, FUA */
	STORE_EXTENTS, /* offset: fills io->extent, the run of one kind that starts there */
	STORE_WRITE_SAME, /* offset, length, iov: a pattern that length is a multiple of; FUA */
	/*
	 * offset, length, iov: length bytes to compare with, then length bytes to write if
	 * they are equal, in one step for all users of the medium; FUA. -EILSEQ: they differ at
	 * io->where.
	 */
	STORE_COMPARE_WRITE,
	STORE_COPY, /* offset, length from io->from at io->from_offset: without the data passing here; FUA */
	STORE_RAW, /* io->raw: a command for a device that has its own; nothing is checked */
	STORE_RESET, /* io->reset: end what the device works on */
	STORE_VERBS
};

enum store_reset { STORE_RESET_UNIT, STORE_RESET_TARGET, STORE_RESET_BUS };

/* A command that goes through as it is, with the device's own answer. */
struct store_raw {
	const uint8_t *cdb;
	uint8_t cdb_len;
	bool in, out; /* where data goes; both: bidirectional */
	const struct iovec *iov; /* of the data; out's if both */
	unsigned iovcnt;
	uint32_t length; /* bytes of data */
	uint64_t timeout; /* ns; 0: the store's own */
	/* the answer */
	uint8_t *sense;
	uint8_t sense_room, sense_len;
	uint8_t status; /* SAM status */
	uint32_t residual; /* bytes of length that were not moved */
};

enum store_flags {
	STORE_FUA = 1, /* stable before done */
	STORE_MAY_UNMAP = 2, /* ZERO may deallocate */
	STORE_MAY_LEND =
		4, /* READ: the store may set io->lent, memory that never changes, instead of filling iov */
	/*
	 * READ: io->lent may be a mapping of a file, which changes as the file does and may end
	 * at any time: only the kernel may touch it, for which what is gone is EFAULT.
	 */
	STORE_MAY_LEND_MAPPING = 8,
};

struct buf; /* memory with users, reactor/bufpool.h */

struct store_extent {
	uint64_t length; /* bytes from io->offset that are of this kind, at least 1 */
	bool mapped; /* false: deallocated, reads as zeroes */
};

#define STORE_LAYERS_MAX 4
#define STORE_CORE_ROOM (192 + 24 * STORE_LAYERS_MAX)
#define STORE_IO_ROOM 256
/* A store that uses store_offload(), store_after() or store_delay() has the room below this only. */
#define STORE_OWN_ROOM 160

struct store_io {
	/*
	 * The request: the caller's, valid until done, not to be changed by the
	 * store. The core shows the store one piece after the other here when it
	 * splits or emulates; when done is called they are as the caller set them, but for
	 * MAY_LEND and MAY_LEND_MAPPING, which are gone where nothing can be lent.
	 */
	enum store_verb verb;
	uint32_t flags;
	uint64_t offset, length;
	const struct iovec *iov;
	unsigned iovcnt;
	union {
		struct {
			struct store *from; /* COPY: open until done */
			uint64_t from_offset;
		};
		struct store_raw *raw; /* RAW */
		enum store_reset reset; /* RESET */
	};
	void (*done)(struct store_io *io);

	/* the result, set before done */
	/*
	 * 0 or -errno: EIO medium, ENOSPC full, EROFS, ENODEV gone for good, ENOTCONN away for now,
	 * EAGAIN nothing was done and trying again may help, ENOMEM, ECANCELED.
	 */
	int err;
	uint64_t where; /* if err: the first byte of the request not known to be good */
	struct store_extent extent;
	/*
	 * NULL (always if err), or who keeps what was read, with one reference, which the caller
	 * gives back on its reactor; the bytes are at lent_data.
	 */
	struct buf *lent;
	uint8_t *lent_data;

	/* the core's, then the store's */
	struct store_channel *ch;
	void (*core_done)(struct store_io *io);
	alignas(16) unsigned char core_room[STORE_CORE_ROOM]; /* queue, emulation, forwarding */
	alignas(16) unsigned char room[STORE_IO_ROOM]; /* whatever the store wants */
};

/* ---- what a store is --------------------------------------------------- */

enum store_cap { STORE_CAP_NO, STORE_CAP_EMULATE, STORE_CAP_NATIVE };
enum store_affinity { STORE_AFFINITY_ANY, STORE_AFFINITY_HOME };

struct store_limits {
	uint64_t size; /* bytes */
	uint32_t block; /* offsets and lengths must be multiples: 512 and 4096 are usual, 1 = any */
	uint32_t physical; /* bytes that the medium writes at once */
	uint32_t mem_align; /* iov bases and lengths must be multiples, at most the LU's block size; 1 = any */
	uint32_t max_io; /* most bytes per READ or WRITE, 0: no limit; the core splits */
	uint32_t optimal_io; /* 0: unknown */
	uint64_t max_discard; /* bytes, 0: no limit */
	uint32_t max_compare; /* bytes of a COMPARE_WRITE, 0: none is possible */
	uint32_t discard_granularity; /* bytes, 0: unknown */
	uint32_t alignment; /* where the first unit of physical bytes begins, bytes */
	bool readonly;
	bool solid; /* known to have no rotating medium */
	uint8_t affinity; /* enum store_affinity */
	bool fua; /* the store itself keeps STORE_FUA; else the core flushes after */
	bool write_through; /* what is written is stable when done, there is no volatile cache: WCE is 0 */
	/*
	 * enum store_cap. EMULATE asks the core: ZERO by writes, EXTENTS as all
	 * mapped, FLUSH as nothing to do (what is written is as stable as it gets).
	 * A native ZERO may end with -EOPNOTSUPP: the core then writes zeroes, and
	 * remembers. A native DISCARD that ends so counts as a hint not taken. Of the
	 * verbs from WRITE_SAME on nothing is emulated: who asks finds another way.
	 */
	uint8_t cap[STORE_VERBS];
};

/* What the administrator said. Strings may be NULL. */
struct store_spec {
	const char *type; /* "file", "mem", "null", ... */
	const char *path;
	const char *opts; /* bsopts, "key=value;key=value" */
	const char *oflags; /* bsoflags: sync, direct, dsync, joined by ':' */
	uint32_t block_size; /* the logical block the LU will have, bytes */
	bool readonly;
};

enum store_event {
	STORE_RESIZED = 1, /* ask ops->size() */
	STORE_LOST = 2, /* this opening will not work again: close it and open a new one */
};

struct store_ops {
	unsigned api; /* STORE_API, which a plugin was compiled with */
	const char *name; /* small letters, digits and '-', 40 at most; who has a name first keeps it */
	const char *summary; /* one line for help and lists */
	/* Known keys of opts, NULL-terminated; NULL: none. The core refuses others. */
	const char *const *options;
	bool needs_path;
	bool layer; /* over another store: store_below() and so on may be used */
	/* Private bytes, zeroed, for store_priv(), channel_priv(). */
	size_t store_size, channel_size;

	/*
	 * May block. Fill *store_limits_of(s); a layer finds those of the store below there and
	 * may narrow them (its affinity is HOME if that below is). 0, or -errno with @e naming the
	 * thing and the remedy; close is not called then. open, close and submit are needed.
	 */
	int (*open)(struct store *s, const struct store_spec *spec, struct err *e);
	/* May block. After every channel is closed. */
	void (*close)(struct store *s);
	/*
	 * May block, while requests go on. Look how large the store is now, and say so in *@size;
	 * if *@size is not 0, make it so large first (data beyond a smaller size is lost). NULL: the
	 * size never changes. 0, or -errno with @e.
	 */
	int (*size)(struct store *s, uint64_t *size, struct err *e);
	/* Numbers of its own for people: @put each. Any thread, while it is open; may be NULL. */
	void (*describe)(struct store *s, void (*put)(void *arg, const char *key, uint64_t value),
			 void *arg);
	/* On the reactor's thread; may be NULL. 0 or -errno. */
	int (*channel_open)(struct store_channel *ch);
	void (*channel_close)(struct store_channel *ch); /* nothing is in flight */
	/*
	 * Take @io; finish with store_done(), now or later. The core has checked
	 * state, bounds, capability and alignment of offsets.
	 */
	void (*submit)(struct store_channel *ch, struct store_io *io);
	/* A hint that nobody waits any more; may be NULL. store_done() still comes. */
	void (*cancel)(struct store_channel *ch, struct store_io *io);
};

/* What a plugin, store-NAME.so, exports: all stores that it brings, NULL-terminated. */
extern const struct store_ops *const store_plugin[];

/* ---- services for stores ---------------------------------------------- */

/* Set *@e, if it is not NULL, to a sentence that names the thing, the reason and the remedy. Returns @code, -errno. */
int store_err(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* For operators; the store's type and path go before it. Any thread. */
void store_log_warn(struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void store_log_info(struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void *store_priv(struct store *s);
struct store_limits *store_limits_of(struct store *s);
/* Value of @key in the spec's opts during open, NULL if absent; valid until open returns. */
const char *store_option(struct store *s, const char *key);
/*
 * The same as a number of bytes (K, M, G, T and P are powers of 1024) or of
 * something else. *@v keeps its value if the key is absent. 0, or -EINVAL with @e.
 */
int store_option_size(struct store *s, const char *key, uint64_t *v, struct err *e);
int store_option_number(struct store *s, const char *key, uint64_t *v, struct err *e);
/* The one of @list (NULL-terminated) that @word may have meant, NULL if none is near. */
const char *store_suggest(const char *word, const char *const *list);

/* Bytes, as of now. Any thread. */
uint64_t store_size(const struct store *s);
/*
 * Something has happened to the store. Any thread, from the first channel_open on until the last
 * channel_close has returned; those who opened it look after it.
 */
void store_notify(struct store *s, enum store_event event);
/*
 * A store that lost its medium for a while: until it is ready again the core ends new requests with
 * -ENOTCONN. @why, a constant string, is shown to people; NULL: ready. Any thread.
 */
void store_away(struct store *s, const char *why);

void *channel_priv(struct store_channel *ch);
struct store *channel_store(struct store_channel *ch);
struct reactor *channel_reactor(struct store_channel *ch);

/*
 * Complete @io, on its channel's reactor: @err 0 or -errno, @where the first
 * byte not known to be good (if @err). @io may be gone when this returns.
 */
void store_done(struct store_io *io, int err, uint64_t where);

/*
 * File I/O on @fd by the best road for this host, file and direction: inline
 * without waiting, inline, or asynchronous; probed at open, measured after.
 * Serves READ, WRITE (FUA), FLUSH, DISCARD, ZERO (fallocate) and EXTENTS
 * (SEEK_DATA) of regular files and block devices; completes @io.
 */
struct store_fd {
	int fd;
	bool direct; /* opened with O_DIRECT */
	bool blockdev;
	bool sync; /* every write is stable: FUA is free */
	bool nowait_read; /* this file answers RWF_NOWAIT */
	bool punch; /* holes can be punched: DISCARD is worth offering */
	bool seek; /* SEEK_DATA is answered: EXTENTS can be native */
};
/* Find out what @f->fd can do; the caller has set fd, direct and sync. Writes nothing. */
void store_fd_probe(struct store_fd *f);
void store_fd_submit(struct store_channel *ch, struct store_io *io, struct store_fd *f);

/* For io->lent: a reference to zeroes, and io->lent_data set to them; NULL if @io->length is too much. */
struct buf *store_zeroes(struct store_channel *ch, struct store_io *io);

/* Run @fn(@io) on a thread that may block, which ends in store_done() being called here. @fn returns err. */
void store_offload(struct store_channel *ch, struct store_io *io, int (*fn)(struct store_io *io));

/* Call @fn(@io), which ends in store_done(), on the channel's reactor after @ns. */
void store_after(struct store_channel *ch, struct store_io *io, uint64_t ns,
		 void (*fn)(struct store_io *io));

/*
 * ---- of a channel, not of a request; everything on the channel's reactor. Zeroed before the first
 * use, as channel_priv() is; kept until what was asked for has come or was cancelled ----
 */

/* Wait once until @fd has @events (POLLIN, POLLOUT), then call @ready. */
struct store_poll {
	void (*ready)(struct store_poll *p, int revents); /* revents: or -errno */
	alignas(16) unsigned char room[96];
};
void store_poll_arm(struct store_channel *ch, struct store_poll *p, int fd, unsigned events);
/* Hasten @ready, which still comes, with -ECANCELED or what there is. */
void store_poll_cancel(struct store_poll *p);
bool store_poll_armed(const struct store_poll *p);

/* Call @fn in @ns. Arming again moves it. */
struct store_timer {
	void (*fn)(struct store_timer *t);
	alignas(16) unsigned char room[48];
};
void store_timer_arm(struct store_channel *ch, struct store_timer *t, uint64_t ns);
void store_timer_cancel(struct store_channel *ch, struct store_timer *t); /* fn will not come */
uint64_t store_now(struct store_channel *ch); /* monotonic, ns */

/* Run @run on a thread that may block, then @done on the channel's reactor. */
struct store_job {
	void (*run)(struct store_job *j);
	void (*done)(struct store_job *j);
	alignas(16) unsigned char room[96];
};
void store_job_run(struct store_channel *ch, struct store_job *j);

/* Call @fn on the channel's reactor, from any thread; until then @c is not posted again. */
struct store_call {
	void (*fn)(struct store_call *c);
	alignas(16) unsigned char room[32];
};
void store_call_post(struct store_channel *ch, struct store_call *c);

/*
 * A channel that still has work of its own: channel_close() may return with it under way, and
 * what the channel holds stays until the last store_channel_put().
 */
void store_channel_get(struct store_channel *ch);
void store_channel_put(struct store_channel *ch);

/* ---- for layers ---- */

/*
 * Hand @io to the store below. @done, if not NULL, is called instead of the layer above's when
 * it has ended, with @mark, and finishes with store_done(), now or later. What a
 * layer keeps in io->room is lost.
 */
void store_below(struct store_channel *ch, struct store_io *io,
		 void (*done)(struct store_channel *ch, struct store_io *io, int err,
			      uint64_t where, uint64_t mark),
		 uint64_t mark);
/* The store below, for requests of the layer's own (store_submit()). */
struct store *store_under(struct store *s);

/* Call store_done(io, err, where) after @ns. */
void store_delay(struct store_channel *ch, struct store_io *io, uint64_t ns, int err,
		 uint64_t where);

/* ---- for the users of stores (device servers) -------------------------- */

/* The channel of @s on the reactor of this thread, NULL if it has none here. */
struct store_channel *store_channel_here(struct store *s);

/*
 * Submit @io to @s from this reactor. It is queued and goes to the store when
 * the turn reaches its store step. done comes on this thread, never inside
 * this call. What the store lacks is emulated where limits.cap says so (else
 * -EOPNOTSUPP), long requests are split, requests out of bounds or misaligned
 * end with -EINVAL, -EROFS on a read-only store, -ENODEV unless it is open or
 * if it has no channel on this reactor; after a failed flush everything that
 * writes, and FLUSH, ends with -EIO until store_clear_error().
 */
void store_submit(struct store *s, struct store_io *io);
/* A hint: nobody waits for @io. done still comes. */
void store_cancel(struct store_io *io);

const struct store_limits *store_limits(const struct store *s);
/* What store_away() said: why there is no medium for now, NULL if there is one. Any thread. */
const char *store_why_away(const struct store *s);
const char *store_type(const struct store *s);
const char *store_path(const struct store *s); /* "" if it has none */

#endif
