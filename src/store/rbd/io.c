/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests are librbd's asynchronous ones; what has ended is learned from one
 * eventfd, on the home reactor. librbd allocates a completion for each, and
 * more inside; nothing else is allocated for a request.
 *
 * A write that librados gave up may still lie with an OSD. Its failure is not
 * told before the cluster has been asked to shut this handle out (the fence):
 * a handle that is opened after it knows a newer map of the cluster, which the
 * OSDs must have before they work for it, and with that map they refuse what
 * the old handle left. So what was told as failed never lands on a newer write
 * of ours.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "store/rbd/rbd.h"

#define BATCH 64

/* In store_io.room. */
struct part {
	uint64_t mismatch; /* librbd's */
	struct bounce *bounce;
	struct store_io *next; /* in late */
	struct store_call call; /* COMPARE_WRITE */
	ssize_t ret;
};

static_assert(sizeof(struct part) <= STORE_IO_ROOM, "the store's part of a request");

static struct part *part_of(struct store_io *io)
{
	return (struct part *)(void *)io->room;
}

static bool changes(enum store_verb verb)
{
	return verb != STORE_READ && verb != STORE_EXTENTS && verb != STORE_FLUSH;
}

/* ---- errors ---- */

static void tell_if_idle(struct rbd_channel *c)
{
	if (!c->tell || c->flight)
		return;
	c->tell = false;
	store_notify(channel_store(c->ch), STORE_LOST);
}

static void lost_here(struct store_call *call)
{
	struct rbd_channel *c = owner_of(call, struct rbd_channel, lost);

	c->tell = true;
	tell_if_idle(c);
}

/* On any thread, while a request or a look at the size is under way: so the channel is there. */
static void lost(struct store *s, const char *why)
{
	struct rbd_store *r = store_priv(s);

	if (atomic_exchange(&r->h->lost, true))
		return;
	store_away(s, why);
	store_call_post(r->channel->ch, &r->channel->lost);
}

int rbd_failed(struct store *s, int ret, enum store_verb verb)
{
	switch (ret) {
	case -ESHUTDOWN: /* Ceph's EBLOCKLISTED */
		lost(s, "the cluster has put this client on its blocklist");
		return -ENOTCONN;
	case -ETIMEDOUT:
		lost(s, "the cluster has not answered in time");
		return -ENOTCONN;
	case -ENOTCONN:
		return -ENOTCONN;
	case -EROFS: /* librbd's word for: another client holds the lock and keeps it */
		return changes(verb) ? -EAGAIN : -EIO;
	case -ENOENT: /* objects that are not there read as zeroes: it is the image or its pool */
		store_log_warn(s, "the image or its pool has been deleted");
		return -ENODEV;
	case -ENOSPC:
	case -EDQUOT:
		return -ENOSPC;
	case -ENOMEM:
	case -EOPNOTSUPP:
	case -EILSEQ:
		return ret;
	case -EPERM:
	case -EACCES:
		store_log_warn(s, "the cluster does not permit a request: see to the "
				  "capabilities of this user");
		return -EIO;
	default:
		store_log_warn(s, "librbd ended a request with error %d (%s)", -ret, strerror(-ret));
		return -EIO;
	}
}

/* ---- the end of requests ---- */

static void bounce_free(struct rbd_channel *c, struct part *p)
{
	if (!p->bounce)
		return;
	p->bounce->next = c->bounces;
	c->bounces = p->bounce;
	p->bounce = NULL;
}

static void finish(struct rbd_channel *c, struct store_io *io, int err, uint64_t where)
{
	c->flight--;
	store_done(io, err, where);
	tell_if_idle(c);
}

static void late_end(struct rbd_channel *c)
{
	struct store_io *io;

	while ((io = c->late)) {
		c->late = part_of(io)->next;
		finish(c, io, -ENOTCONN, io->offset);
	}
}

static void fence_run(struct store_job *j)
{
	struct rbd_channel *c = owner_of(j, struct rbd_channel, fence);
	struct store *s = channel_store(c->ch);
	int err = rbd_handle_fence(handle_of(s));

	if (err)
		store_log_warn(s,
			       "the cluster did not shut this client out (%s): a write that is "
			       "answered as failed now may still be carried out later, unless it "
			       "does so when it is asked again, at closing; see that this user "
			       "has the capability mon 'profile rbd'",
			       strerror(-err));
}

static void fence_done(struct store_job *j)
{
	struct rbd_channel *c = owner_of(j, struct rbd_channel, fence);

	c->fencing = false;
	c->fenced = true; /* or all that could be done was */
	late_end(c);
}

/* A write of which nobody knows whether it will be carried out. */
static void given_up(struct rbd_channel *c, struct store_io *io)
{
	atomic_store(&handle_of(channel_store(c->ch))->unsettled, true);
	part_of(io)->next = c->late;
	c->late = io;
	if (c->fenced) {
		late_end(c);
	} else if (!c->fencing) {
		c->fencing = true;
		c->fence.run = fence_run;
		c->fence.done = fence_done;
		store_job_run(c->ch, &c->fence);
	}
}

static void ended(struct rbd_channel *c, struct store_io *io, ssize_t ret)
{
	struct part *p = part_of(io);
	uint64_t where = io->offset;
	int err;

	if (io->verb == STORE_COMPARE_WRITE)
		bounce_free(c, p);
	if (ret == (ssize_t)io->length || (ret >= 0 && io->verb != STORE_READ)) {
		finish(c, io, 0, 0);
		return;
	}
	if (ret >= 0) { /* the image ends here: somebody made it smaller */
		finish(c, io, -EIO, io->offset + (uint64_t)ret);
		return;
	}
	err = rbd_failed(channel_store(c->ch), (int)ret, io->verb);
	if (ret == -ETIMEDOUT && changes(io->verb)) {
		given_up(c, io);
		return;
	}
	/*
	 * Versions differ in what the offset is relative to: the request, the image, or (16.2) the
	 * object's place in the image. All of them are multiples of the sector.
	 */
	if (err == -EILSEQ)
		where = io->offset + p->mismatch % SECTOR;
	finish(c, io, err, where);
}

static void completions(struct rbd_channel *c, rbd_image_t image)
{
	rbd_completion_t done[BATCH];
	int n;

	do {
		n = rbd_poll_io_events(image, done, BATCH);
		for (int i = 0; i < n; i++) {
			struct store_io *io = rbd_aio_get_arg(done[i]);
			ssize_t ret = rbd_aio_get_return_value(done[i]);

			rbd_aio_release(done[i]);
			ended(c, io, ret);
		}
	} while (n == BATCH);
}

static void compared(struct store_call *call)
{
	struct part *p = owner_of(call, struct part, call);
	struct store_io *io = owner_of(p, struct store_io, room);

	ended(channel_priv(io->ch), io, p->ret);
}

/* librbd tells no eventfd of the end of a compare-and-write: on a thread of its own. */
static void compared_there(rbd_completion_t done, void *arg)
{
	struct store_io *io = arg;
	struct part *p = part_of(io);

	p->ret = rbd_aio_get_return_value(done);
	rbd_aio_release(done);
	p->call.fn = compared;
	store_call_post(io->ch, &p->call);
}

static void poll_arm(struct rbd_channel *c, struct rbd_handle *h)
{
	store_poll_arm(c->ch, &c->poll, h->event_fd, POLLIN);
}

static void poll_ready(struct store_poll *p, int revents)
{
	struct rbd_channel *c = owner_of(p, struct rbd_channel, poll);
	struct rbd_handle *h = handle_of(channel_store(c->ch));
	eventfd_t count;

	if (c->closing) {
		store_channel_put(c->ch);
		return;
	}
	/* first: what comes after it rings again */
	eventfd_read(h->event_fd, &count);
	completions(c, h->image);
	poll_arm(c, h);
}

/* ---- requests ---- */

/* The @len bytes from @at on of the request's data in one piece; NULL: they are not. */
static const char *in_one_piece(const struct store_io *io, uint64_t at, uint64_t len)
{
	const struct iovec *v = io->iov;

	for (unsigned i = 0; i < io->iovcnt; at -= v[i++].iov_len)
		if (at < v[i].iov_len)
			return v[i].iov_len - at >= len ? (const char *)v[i].iov_base + at : NULL;
	return NULL;
}

static void gather(const struct store_io *io, uint64_t at, uint8_t *to, uint64_t len)
{
	const struct iovec *v = io->iov;

	for (unsigned i = 0; i < io->iovcnt && len;
	     at -= at < v[i].iov_len ? at : v[i].iov_len, i++) {
		uint64_t n = v[i].iov_len > at ? v[i].iov_len - at : 0;

		n = n > len ? len : n;
		if (n)
			memcpy(to, (const char *)v[i].iov_base + at, n);
		to += n;
		len -= n;
	}
}

static int compare_write(struct rbd_channel *c, rbd_image_t image, struct store_io *io,
			 rbd_completion_t done)
{
	struct part *p = part_of(io);
	const char *half[2] = { in_one_piece(io, 0, SECTOR), in_one_piece(io, SECTOR, SECTOR) };

	if (io->length != SECTOR || io->offset % SECTOR)
		return -EOPNOTSUPP;
	if (!half[0] || !half[1]) {
		p->bounce = c->bounces;
		if (!p->bounce)
			return -EAGAIN;
		c->bounces = p->bounce->next;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (half[i])
			continue;
		gather(io, i * SECTOR, p->bounce->sector[i], SECTOR);
		half[i] = (const char *)p->bounce->sector[i];
	}
	return (int)rbd_aio_compare_and_write(image, io->offset, SECTOR, half[0], half[1], done,
					      &p->mismatch, 0);
}

static int write_same(rbd_image_t image, struct store_io *io, rbd_completion_t done)
{
	uint64_t len = 0;
	const char *pattern;

	for (unsigned i = 0; i < io->iovcnt; i++)
		len += io->iov[i].iov_len;
	pattern = in_one_piece(io, 0, len);
	if (!pattern || io->length > INT_MAX)
		return -EOPNOTSUPP;
	return rbd_aio_writesame(image, io->offset, io->length, pattern, len, done, 0);
}

static int begin(struct rbd_channel *c, rbd_image_t image, struct store_io *io,
		 rbd_completion_t done)
{
	int thick = io->verb == STORE_DISCARD || io->flags & STORE_MAY_UNMAP
			    ? 0
			    : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION;

	switch (io->verb) {
	case STORE_READ:
		return rbd_aio_readv(image, io->iov, (int)io->iovcnt, io->offset, done);
	case STORE_WRITE:
		return rbd_aio_writev(image, io->iov, (int)io->iovcnt, io->offset, done);
	case STORE_FLUSH:
		return rbd_aio_flush(image, done);
	case STORE_DISCARD: /* librbd's own leaves data of small pieces readable */
	case STORE_ZERO:
		return rbd_aio_write_zeroes(image, io->offset, io->length, done, thick, 0);
	case STORE_WRITE_SAME:
		return write_same(image, io, done);
	case STORE_COMPARE_WRITE:
		return compare_write(c, image, io, done);
	default:
		return -EOPNOTSUPP;
	}
}

void rbd_submit(struct store_channel *ch, struct store_io *io)
{
	struct rbd_channel *c = channel_priv(ch);
	struct rbd_handle *h = handle_of(channel_store(ch));
	rbd_completion_t done;
	int err;

	if (atomic_load_explicit(&h->lost, memory_order_relaxed)) {
		store_done(io, -ENOTCONN, io->offset);
		return;
	}
	if (io->verb == STORE_EXTENTS) {
		store_offload(ch, io, rbd_extents);
		return;
	}
	/* without a cache what has ended is stable, and librbd would fetch the exclusive lock to say so */
	if (io->verb == STORE_FLUSH && !h->cached) {
		store_done(io, 0, 0);
		return;
	}
	*part_of(io) = (struct part){ 0 };
	err = rbd_aio_create_completion(io, io->verb == STORE_COMPARE_WRITE ? compared_there : NULL,
					&done);
	if (err) {
		store_done(io, -ENOMEM, io->offset);
		return;
	}
	c->flight++;
	err = begin(c, h->image, io, done);
	if (!err)
		return;
	rbd_aio_release(done);
	bounce_free(c, part_of(io));
	if (err != -EOPNOTSUPP && err != -EAGAIN)
		err = rbd_failed(channel_store(ch), err, io->verb);
	finish(c, io, err, io->offset);
}

/* ---- channels ---- */

int rbd_channel_open(struct store_channel *ch)
{
	struct rbd_channel *c = channel_priv(ch);
	struct store *s = channel_store(ch);

	c->ch = ch;
	((struct rbd_store *)store_priv(s))->channel = c;
	c->poll.ready = poll_ready;
	c->lost.fn = lost_here;
	for (unsigned i = 0; i < BOUNCES; i++) {
		c->bounce[i].next = c->bounces;
		c->bounces = &c->bounce[i];
	}
	store_channel_get(ch); /* the poll's */
	poll_arm(c, handle_of(s));
	rbd_handle_tell(handle_of(s), s);
	return 0;
}

void rbd_channel_close(struct store_channel *ch)
{
	struct rbd_channel *c = channel_priv(ch);

	rbd_handle_tell(handle_of(channel_store(ch)), NULL);
	c->closing = true;
	store_poll_cancel(&c->poll); /* ready still comes, and gives the channel back */
}
