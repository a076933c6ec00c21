/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues: kicks and calls, start and stop, and the flush that ends a turn. While requests keep
 * coming the driver is asked not
 * to kick; what has ended in a turn is published in one go, with one call at most.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/vhost/device.h"

/* ---- kicks --------------------------------------------------------------------------------- */

static void kicked(struct io_op *op, int res);

static void kick_wait(struct vkick *k)
{
	k->op.done = kicked;
	k->op.verb = IO_POLL;
	k->op.events = POLLIN;
	k->dev->kicks_pending++;
	io_submit(k->dev->reactor, &k->op);
}

static void kick_free(struct vkick *k)
{
	io_close(k->dev->reactor, k->op.fd);
	free(k);
}

/*
 * Take the count. The front end shares the file and could make it blocking, so the kernel is asked not to wait
 * whatever the file says. 0 or -errno.
 */
static int kick_read(int fd)
{
	uint64_t count;
	struct iovec v = { &count, sizeof(count) };
	ssize_t n = preadv2(fd, &v, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP)
		n = read(fd, &count, sizeof(count));
	if (n == sizeof(count) || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	return n < 0 ? -errno : -EINVAL;
}

static void kicked(struct io_op *op, int res)
{
	struct vkick *k = container_of(op, struct vkick, op);
	struct vhost_dev *d = k->dev;
	struct vqueue *q = k->q;

	d->kicks_pending--;
	if (!q) {
		kick_free(k);
		dev_maybe_gone(d);
		return;
	}
	if (res < 0 || kick_read(op->fd)) {
		queue_broken(q, "its kick descriptor cannot be read");
		return;
	}
	d->kicks++;
	kick_wait(k);
	if (!q->ring.started && q->ring.size && q->ring.has_addr) {
		const char *why;

		if (queue_start(q, &why)) {
			queue_broken(q, why);
			return;
		}
	}
	if (queue_runs(q))
		q->work.fn(&q->work);
}

int queue_set_kick(struct vqueue *q, int fd)
{
	struct vkick *old = q->kick, *k = NULL;

	if (fd >= 0) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return -ENOMEM;
		k->q = q;
		k->dev = q->dev;
		k->op.fd = fd;
		kick_wait(k);
	}
	q->kick = k;
	if (!old)
		return 0;
	old->q = NULL;
	if (io_pending(&old->op))
		io_cancel(&old->op);
	else
		kick_free(old);
	return 0;
}

/*
 * Add one to the eventfd @fd. Its counter is full when nobody has looked for very long: then there is nothing to
 * add. The front end shares the file and could make it blocking, so it is asked before.
 */
static void signal_fd(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT && write(fd, &one, sizeof(one)) < 0)
		return;
}

void queue_call(struct vqueue *q)
{
	if (q->call_fd < 0)
		return;
	q->dev->calls++;
	signal_fd(q->call_fd);
}

/* ---- start and stop --------------------------------------------------------------------------- */

bool queue_runs(const struct vqueue *q)
{
	const struct vhost_dev *d = q->dev;

	return q->ring.started && !q->broken && !d->stopping && dev_is_live(d) &&
	       d->conn.ring != q && (q->enabled || !(d->features & VF_PROTOCOL_FEATURES));
}

/* The ring's part of the in-flight memory: NULL if there is none. */
static void *log_region(const struct vqueue *q, const char **why)
{
	const struct vhost_dev *d = q->dev;
	size_t size = vlog_size(d->log_queue_size, d->features & VF_RING_PACKED);

	*why = NULL;
	if (!d->log || q->index >= d->log_queues)
		return NULL;
	if (q->ring.size > d->log_queue_size || d->log_len / size <= q->index)
		*why = "the in-flight memory is too small for the ring";
	return d->log_at + q->index * size;
}

int queue_start(struct vqueue *q, const char **why)
{
	struct vhost_dev *d = q->dev;
	void *region = log_region(q, why);
	int rc;

	if (!*why && q->ring.taken)
		*why = "commands of it from before it was stopped have not ended";
	if (*why)
		return -EINVAL;
	rc = vring_start(&q->ring, d->mem, d->features, region);
	*why = q->ring.why;
	if (rc)
		return rc;
	q->broken = false;
	q->quiet = true; /* nothing was said yet */
	q->used_any = region != NULL;
	vring_quiet(&q->ring);
	queue_look(q);
	return 0;
}

void queue_stop(struct vqueue *q)
{
	vring_stop(&q->ring);
	later_cancel(&q->work);
	list_del(&q->starving);
	list_del(&q->dirty);
	q->starves = false;
}

void queue_broken(struct vqueue *q, const char *why)
{
	struct vhost_dev *d = q->dev;

	if (q->broken)
		return;
	q->broken = true;
	part_count(d->part, ring_errors, 1);
	log_warn("vhost: %s: ring %u is stopped: %s", d->path, q->index, why);
	later_cancel(&q->work);
	list_del(&q->starving);
	q->starves = false;
	if (q->err_fd >= 0)
		signal_fd(q->err_fd);
}

void queue_look(struct vqueue *q)
{
	reactor_later(q->dev->reactor, &q->work, LATER_STORE);
}

/* ---- the flush ---------------------------------------------------------------------------------- */

void queue_dirty(struct vqueue *q)
{
	struct vhost_dev *d = q->dev;

	if (!list_linked(&q->dirty))
		list_add(&d->dirty, &q->dirty);
	reactor_later(d->reactor, &d->flush, LATER_SEND);
}

/* It has been drained: look once more, then let the driver kick. */
static void listen_again(struct vqueue *q)
{
	if (!q->quiet || !queue_runs(q) || q->starves || list_linked(&q->work.link))
		return;
	if (!vring_ready(&q->ring) && !vring_listen(&q->ring)) {
		q->quiet = false;
		return;
	}
	vring_quiet(&q->ring);
	queue_look(q);
}

static void queue_flush(struct vqueue *q)
{
	if (!q->ring.started)
		return;
	if (q->ring.staged) {
		q->used_any = true;
		if (vring_publish(&q->ring))
			queue_call(q);
	}
	listen_again(q);
}

/* ---- what somebody waits for ---------------------------------------------------------------------- */

static bool all_given_back(const struct vhost_dev *d)
{
	for (unsigned i = 0; i < d->nq; i++)
		if (d->q[i].ring.taken)
			return false;
	return true;
}

static void dev_less(struct vhost_dev *d)
{
	if (d->conn.wait == WAITS_FOR_RING && !d->conn.ring->ring.taken)
		conn_answer_later(d);
	else if (d->conn.wait == WAITS_FOR_RESET && !d->resetting && all_given_back(d))
		conn_answer_later(d);
	if (d->stopping && dev_idle(d))
		dev_close(d, d->stop_why);
}

void dev_publish(struct vhost_dev *d)
{
	struct list *l;

	while ((l = list_pop(&d->dirty)))
		queue_flush(list_entry(l, struct vqueue, dirty));
}

void dev_flush(struct vhost_dev *d)
{
	if (!dev_is_live(d))
		return;
	dev_publish(d);
	if (unlikely(atomic_load_explicit(&d->mem_broken, memory_order_relaxed)))
		dev_close(d, "its memory was cut off under a running device");
	else if (unlikely(d->conn.wait || d->stopping))
		dev_less(d);
}

/* ---- memory ------------------------------------------------------------------------------------- */

void dev_set_memory(struct vhost_dev *d, struct vmem *m)
{
	struct vmem *old = d->mem;

	dev_publish(d);
	d->mem = m;
	for (unsigned i = 0; i < d->nq; i++) {
		struct vqueue *q = &d->q[i];

		if (!q->ring.started || vring_translate(&q->ring, m))
			continue;
		queue_broken(q, "its areas are no longer in the memory");
		queue_stop(q);
	}
	vmem_put(old);
}
