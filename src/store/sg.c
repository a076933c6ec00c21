/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A SCSI device of the host by its generic node: commands go through as they are (STORE_RAW).
 *
 * SG v3 is asynchronous, but for one thing: write() sleeps while the host adapter has no free
 * request. So a thread writes, one batch at a time and in order, and the home reactor polls
 * and reads the answers. The kernel copies data-out in write() and data-in in read(): a
 * request that has been given up, because the device is gone, has no memory in use.
 */
#include "store/sg.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/bits.h"
#include "base/list.h"
#include "store/builtin.h"

#define TIMEOUT_DEFAULT_MS 60000u
#define SEGMENTS_MAX 1024 /* of an iovec: the kernel's UIO_MAXIOV */
#define CDB_MIN 6
#define CDB_MOST 32 /* what a kernel request has room for */
#define READS_AT_ONCE 32
#define SLOTS SG_MAX_QUEUE /* the driver refuses more of one file with EDOM */

/* What include/scsi/sg.h of glibc lacks. */
#define SG_RESET_TARGET 4
#define SG_RESET_NO_ESCALATE 0x100

/* In io->room: a request that waits for a slot. */
struct sg_room {
	struct list link;
	struct store_io *io;
};

static_assert(sizeof(struct sg_room) <= STORE_OWN_ROOM, "room of a request");

struct slot {
	struct store_io *io; /* NULL: free */
	sg_io_hdr_t hdr; /* what is written */
	uint32_t use; /* counted up: an answer names it */
	int err; /* of the write, by the thread */
	bool in_batch; /* the thread has it */
	bool replied; /* the answer came before the thread was through */
	sg_io_hdr_t reply;
};

struct sg_channel {
	struct store_channel *ch;
	struct slot slot[SLOTS];
	unsigned busy;
	struct list queue; /* sg_room.link */
	struct slot *batch[SLOTS]; /* in order; the thread's while writing */
	unsigned nbatch;
	bool writing;
	bool gone; /* the device was taken away */
	bool closing;
	struct store_job job;
	struct store_poll poll;
};

/* ---- answers ------------------------------------------------------------------------------ */

int sg_errno(int err)
{
	switch (err) {
	case ENXIO:
	case ESHUTDOWN:
		return -ENODEV;
	case EDOM:
	case EWOULDBLOCK:
	case EBUSY:
		return -EAGAIN;
	case EMSGSIZE:
		return -EINVAL;
	case EACCES:
		return -EPERM;
	default:
		return -err;
	}
}

/* DID_ codes of Linux's SCSI layer (include/scsi/scsi_status.h). */
static int host_error(unsigned host)
{
	switch (host) {
	case 0x00: /* OK */
		return 0;
	case 0x01: /* NO_CONNECT */
	case 0x04: /* BAD_TARGET */
		return -ENODEV;
	case 0x02: /* BUS_BUSY */
	case 0x0c: /* IMM_RETRY */
	case 0x0d: /* REQUEUE */
		return -EAGAIN;
	case 0x03: /* TIME_OUT */
		return -ETIMEDOUT;
	case 0x05: /* ABORT */
	case 0x08: /* RESET */
		return -ECANCELED;
	case 0x0f: /* TRANSPORT_FAILFAST: the way to the device is away */
		return -ENOTCONN;
	default:
		return -EIO;
	}
}

#define DRIVER_TIMEOUT 0x06
#define DRIVER_SENSE 0x08
#define DRIVER_MASK 0x0f /* above it: suggestions of old kernels */

int sg_result(struct store_raw *raw, const struct sg_answer *a)
{
	unsigned driver = a->driver_status & DRIVER_MASK;
	int64_t residual = min(max(a->residual, (int64_t)0), (int64_t)raw->length);

	raw->status = (uint8_t)a->status;
	raw->residual = (uint32_t)residual;
	raw->sense_len = (uint8_t)min(a->sense_len, (unsigned)raw->sense_room);
	if (driver == DRIVER_SENSE && !a->status && raw->sense_len)
		raw->status = 0x02; /* CHECK CONDITION, by old adapters */
	/* a status is the device's own word, whatever the adapter makes of it */
	if (raw->status)
		return 0;
	if (a->host_status)
		return host_error(a->host_status);
	return driver == DRIVER_TIMEOUT ? -ETIMEDOUT : 0;
}

unsigned sg_timeout_ms(const struct sg *g, const struct store_raw *raw)
{
	uint64_t ns = g->timeout ? g->timeout : raw->timeout;

	if (!ns)
		return TIMEOUT_DEFAULT_MS;
	return (unsigned)min(max(ns / 1000000, (uint64_t)1), SG_TIMEOUT_MAX_S * 1000ull);
}

/* ---- slots ---------------------------------------------------------------------------------- */

static void slot_done(struct sg_channel *c, struct slot *s, int err)
{
	struct store_io *io = s->io;

	s->io = NULL;
	s->use++;
	c->busy--;
	store_done(io, err, 0);
}

static int reply_result(const struct slot *s)
{
	const sg_io_hdr_t *h = &s->reply;

	return sg_result(s->io->raw, &(struct sg_answer){
					     .status = h->status,
					     .host_status = h->host_status,
					     .driver_status = h->driver_status,
					     .residual = h->resid,
					     .sense_len = h->sb_len_wr,
				     });
}

static int pack_id(const struct sg_channel *c, const struct slot *s)
{
	return (int)((s->use << 5 | (unsigned)(s - c->slot)) & INT32_MAX);
}

/* The slot that @h answers, NULL if it is none of ours: a header that was not filled in. */
static struct slot *slot_of(struct sg_channel *c, const sg_io_hdr_t *h)
{
	unsigned i = (unsigned)h->pack_id & 31;
	struct slot *s;

	if (i >= SLOTS || h->interface_id != 'S')
		return NULL;
	s = &c->slot[i];
	return s->io && pack_id(c, s) == h->pack_id && !s->replied ? s : NULL;
}

static void prepare(struct sg_channel *c, struct slot *s)
{
	const struct sg *g = store_priv(channel_store(c->ch));
	struct store_raw *raw = s->io->raw;
	sg_io_hdr_t *h = &s->hdr;

	*h = (sg_io_hdr_t){
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_NONE,
		.cmdp = (unsigned char *)raw->cdb,
		.cmd_len = raw->cdb_len,
		.sbp = raw->sense,
		.mx_sb_len = raw->sense_room,
		.timeout = sg_timeout_ms(g, raw),
		.pack_id = pack_id(c, s),
	};
	if (!raw->length)
		return;
	h->dxfer_direction = raw->out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;
	h->dxfer_len = raw->length;
	h->dxferp = raw->iov[0].iov_base;
	if (raw->iovcnt > 1) { /* the same structure by another name */
		h->dxferp = (void *)raw->iov;
		h->iovec_count = (unsigned short)raw->iovcnt;
	}
}

/* ---- the device goes ------------------------------------------------------------------------- */

/*
 * What the thread has ends when the thread is through. Nobody is asked to open the node
 * again: what comes back under its name may be another device.
 */
static void device_gone(struct sg_channel *c, int err)
{
	struct list *l;

	if (c->gone)
		return;
	c->gone = true;
	store_log_warn(channel_store(c->ch), "the device was taken away: %s", strerror(-err));
	for (unsigned i = 0; i < SLOTS; i++)
		if (c->slot[i].io && !c->slot[i].in_batch)
			slot_done(c, &c->slot[i], -ENODEV);
	while ((l = list_pop(&c->queue)))
		store_done(list_entry(l, struct sg_room, link)->io, -ENODEV, 0);
}

/* ---- writing, on a thread ---------------------------------------------------------------------- */

static void write_batch(struct store_job *j)
{
	struct sg_channel *c = container_of(j, struct sg_channel, job);
	const struct sg *g = store_priv(channel_store(c->ch));

	for (unsigned i = 0; i < c->nbatch; i++) {
		struct slot *s = c->batch[i];
		ssize_t n;

		do
			n = sg_sys->write(g->fd, &s->hdr, sizeof(s->hdr));
		while (n < 0 && errno == EINTR);
		s->err = n < 0 ? sg_errno(errno) : 0;
	}
}

static void start_batch(struct sg_channel *c);

static void slot_written(struct sg_channel *c, struct slot *s)
{
	s->in_batch = false;
	if (s->err == -ENODEV)
		device_gone(c, -ENODEV);
	if (!s->io)
		return;
	if (s->err)
		slot_done(c, s, s->err);
	else if (s->replied)
		slot_done(c, s, reply_result(s));
	else if (c->gone)
		slot_done(c, s, -ENODEV);
}

static void batch_written(struct store_job *j)
{
	struct sg_channel *c = container_of(j, struct sg_channel, job);
	struct store_channel *ch = c->ch;

	c->writing = false;
	for (unsigned i = 0; i < c->nbatch; i++)
		slot_written(c, c->batch[i]);
	start_batch(c);
	store_channel_put(ch);
}

static struct slot *free_slot(struct sg_channel *c)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (!c->slot[i].io)
			return &c->slot[i];
	return NULL;
}

static void start_batch(struct sg_channel *c)
{
	if (c->writing || list_empty(&c->queue) || c->busy == SLOTS)
		return;
	c->nbatch = 0;
	while (c->busy < SLOTS && !list_empty(&c->queue)) {
		struct slot *s = free_slot(c);

		s->io = list_entry(list_pop(&c->queue), struct sg_room, link)->io;
		s->in_batch = true;
		s->replied = false;
		prepare(c, s);
		c->busy++;
		c->batch[c->nbatch++] = s;
	}
	c->writing = true;
	store_channel_get(c->ch);
	c->job.run = write_batch;
	c->job.done = batch_written;
	store_job_run(c->ch, &c->job);
}

/* ---- reading ---------------------------------------------------------------------------------- */

/*
 * False if there is nothing more. An error after the header was filled in is about that
 * command: its data could not be passed on.
 */
static bool read_one(struct sg_channel *c, int fd)
{
	sg_io_hdr_t h;
	struct slot *s;
	ssize_t n;
	int err;

	memset(&h, 0, sizeof(h));
	n = sg_sys->read(fd, &h, sizeof(h));
	err = n < 0 ? errno : 0;
	if (err == EINTR)
		return true;
	s = slot_of(c, &h);
	if (!s && err && err != EAGAIN) /* it can be read no more */
		device_gone(c, -err);
	if (!s)
		return n >= 0;
	s->reply = h;
	if (err)
		s->reply.host_status = 0x07; /* DID_ERROR */
	s->replied = true;
	if (!s->in_batch)
		slot_done(c, s, reply_result(s));
	return true;
}

static void sg_ready(struct store_poll *p, int revents)
{
	struct sg_channel *c = container_of(p, struct sg_channel, poll);
	const struct sg *g = store_priv(channel_store(c->ch));
	struct store_channel *ch = c->ch;

	for (unsigned i = 0; i < READS_AT_ONCE && !c->gone && !c->closing; i++)
		if (!read_one(c, g->fd))
			break;
	if (!c->closing && (revents < 0 || revents & (POLLERR | POLLHUP | POLLNVAL)))
		device_gone(c, revents < 0 ? revents : -ENODEV);
	if (c->gone || c->closing) {
		store_channel_put(ch);
		return;
	}
	start_batch(c);
	store_poll_arm(ch, p, g->fd, POLLIN);
}

/* ---- requests ---------------------------------------------------------------------------------- */

static int sg_reset(struct store_io *io)
{
	static const int what[] = {
		[STORE_RESET_UNIT] = SG_SCSI_RESET_DEVICE,
		[STORE_RESET_TARGET] = SG_RESET_TARGET,
		[STORE_RESET_BUS] = SG_SCSI_RESET_BUS,
	};
	const struct sg *g = store_priv(channel_store(io->ch));
	int value = what[io->reset] | SG_RESET_NO_ESCALATE;

	return sg_sys->ioctl(g->fd, SG_SCSI_RESET, &value) < 0 ? sg_errno(errno) : 0;
}

static int check(const struct store_limits *l, const struct store_raw *raw)
{
	if (raw->in && raw->out)
		return -EOPNOTSUPP;
	if (raw->cdb_len < CDB_MIN || raw->cdb_len > CDB_MOST || raw->length > l->max_io ||
	    raw->iovcnt > SEGMENTS_MAX || (raw->length && (!raw->iovcnt || raw->in == raw->out)))
		return -EINVAL;
	return 0;
}

static void sg_submit(struct store_channel *ch, struct store_io *io)
{
	const struct sg *g = store_priv(channel_store(ch));
	struct sg_channel *c = channel_priv(ch);
	struct sg_room *room = (struct sg_room *)(void *)io->room;
	int err;

	if (io->verb == STORE_RESET) {
		store_offload(ch, io, sg_reset);
		return;
	}
	err = c->gone ? -ENODEV : check(store_limits_of(channel_store(ch)), io->raw);
	if (err) {
		store_done(io, err, 0);
		return;
	}
	if (g->interface == SG_V4) {
		store_offload(ch, io, sg_v4_run);
		return;
	}
	room->io = io;
	list_init(&room->link);
	list_add(&c->queue, &room->link);
	start_batch(c);
}

/* What the thread has not got yet can be taken back; what the device has cannot. */
static void sg_cancel(struct store_channel *ch, struct store_io *io)
{
	struct sg_channel *c = channel_priv(ch);
	struct sg_room *room;

	list_for_each(room, &c->queue, link) {
		if (room->io != io)
			continue;
		list_del(&room->link);
		store_done(io, -ECANCELED, 0);
		return;
	}
}

static int sg_channel_open(struct store_channel *ch)
{
	const struct sg *g = store_priv(channel_store(ch));
	struct sg_channel *c = channel_priv(ch);

	c->ch = ch;
	list_init(&c->queue);
	if (g->interface != SG_V3)
		return 0;
	store_channel_get(ch);
	c->poll.ready = sg_ready;
	store_poll_arm(ch, &c->poll, g->fd, POLLIN);
	return 0;
}

static void sg_channel_close(struct store_channel *ch)
{
	struct sg_channel *c = channel_priv(ch);

	c->closing = true;
	if (c->poll.ready && store_poll_armed(&c->poll))
		store_poll_cancel(&c->poll);
}

static void sg_close(struct store *s)
{
	struct sg *g = store_priv(s);

	sg_sys->close(g->fd);
}

static const char *const sg_options[] = { "timeout", "max_io", NULL };

const struct store_ops sg_store = {
	.api = STORE_API,
	.name = "sg",
	.summary = "a SCSI device of this host, passed through",
	.options = sg_options,
	.needs_path = true,
	.store_size = sizeof(struct sg),
	.channel_size = sizeof(struct sg_channel),
	.open = sg_open,
	.close = sg_close,
	.channel_open = sg_channel_open,
	.channel_close = sg_channel_close,
	.submit = sg_submit,
	.cancel = sg_cancel,
};
