/* SPDX-License-Identifier: BSD-2-Clause */
/* A device's life, and its end. */
#include "transport/vhost/device.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* ---- on control ------------------------------------------------------------------------ */

struct vhost_dev *vhost_dev_create(const char *path, unsigned queues, struct reactor *control)
{
	unsigned nq = queues + VSCSI_REQUEST_QUEUE;
	struct vhost_dev *d = calloc(1, sizeof(*d) + nq * sizeof(d->q[0]));

	if (!d)
		return NULL;
	snprintf(d->path, sizeof(d->path), "%s", path);
	d->control = control;
	d->queues = queues;
	d->nq = nq;
	d->conn.fd = -1;
	d->cdb_size = VSCSI_CDB_SIZE;
	d->sense_size = VSCSI_SENSE_SIZE;
	list_init(&d->link);
	list_init(&d->dirty);
	list_init(&d->starving);
	d->mem = vmem_create();
	if (!d->mem || !tasks_create(d)) {
		vhost_dev_free(d);
		return NULL;
	}
	return d;
}

void vhost_dev_free(struct vhost_dev *d)
{
	tasks_free(d);
	vmapping_put(d->log);
	vmem_put(d->mem);
	free(d);
}

static void started(struct msg *m);
static void stop_posted(struct msg *m);
static void probe_posted(struct msg *m);

void vhost_dev_start(struct vhost_dev *d, struct vhost_part *part, struct it_nexus *n, int fd)
{
	d->part = part;
	d->reactor = part->reactor;
	d->nexus = n;
	d->conn.fd = fd;
	reactor_post(d->reactor, &d->start_msg, started);
}

void vhost_dev_stop(struct vhost_dev *d, uint64_t grace_ns, const char *why)
{
	if (d->stop_posted || d->leaving)
		return;
	d->stop_posted = true;
	d->grace_ns = grace_ns;
	d->stop_why = why;
	reactor_post(d->reactor, &d->stop_msg, stop_posted);
}

bool vhost_dev_probe(struct vhost_dev *d, void (*probed)(struct vhost_dev *d))
{
	if (d->leaving)
		return false;
	d->probed = probed;
	reactor_post(d->reactor, &d->probe_msg, probe_posted);
	return true;
}

/* ---- start ------------------------------------------------------------------------------- */

static void work(struct later *l)
{
	struct vqueue *q = container_of(l, struct vqueue, work);

	if (!queue_runs(q))
		return;
	if (q->index == VSCSI_CONTROL_QUEUE)
		control_queue_run(q);
	else if (q->index == VSCSI_EVENT_QUEUE)
		event_queue_run(q);
	else
		request_queue_run(q);
}

static void flush(struct later *l)
{
	dev_flush(container_of(l, struct vhost_dev, flush));
}

static void queue_init(struct vhost_dev *d, unsigned i)
{
	struct vqueue *q = &d->q[i];

	q->dev = d;
	q->index = i;
	q->call_fd = q->err_fd = -1;
	later_init(&q->work, work);
	list_init(&q->dirty);
	list_init(&q->starving);
}

static void started(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, start_msg);

	guard_thread();
	later_init(&d->flush, flush);
	for (unsigned i = 0; i < d->nq; i++)
		queue_init(d, i);
	tmfs_init(d);
	list_add(&d->part->devs, &d->link);
	part_count(d->part, connections, 1);
	d->state = DEV_LIVE;
	conn_start(d, d->conn.fd);
	nexus_start(d->nexus, d);
}

/* ---- end ----------------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void end_queue(struct vqueue *q)
{
	queue_stop(q);
	queue_set_kick(q, -1);
	later_cancel(&q->work);
	list_del(&q->dirty);
	list_del(&q->starving);
	close_fd(&q->call_fd);
	close_fd(&q->err_fd);
}

void dev_close(struct vhost_dev *d, const char *why)
{
	if (d->state != DEV_LIVE)
		return;
	if (why) {
		snprintf(d->why, sizeof(d->why), "%s", why);
		log_warn("vhost: %s: the connection is closed: %s", d->path, why);
	} else {
		log_info("vhost: %s: the front end has left", d->path);
	}
	/* what has ended is the driver's; what has not stays in the in-flight log, for the next connection */
	dev_publish(d);
	d->state = DEV_CLOSING;
	for (unsigned i = 0; i < d->nq; i++)
		end_queue(&d->q[i]);
	later_cancel(&d->flush);
	timer_cancel(d->reactor, &d->conn.timer);
	timer_cancel(d->reactor, &d->stop_timer);
	conn_cancel(d);
	if (d->nexus)
		nexus_drop(d->nexus);
	dev_maybe_gone(d);
}

static void gone_for_good(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, gone_msg);

	d->gone(d);
}

static void gone_returned(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, gone_msg);

	reactor_post(d->control, &d->gone_msg, gone_for_good);
}

/* On control: what it has posted meanwhile is handled before this comes back. */
static void gone_posted(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, gone_msg);

	d->leaving = true;
	reactor_post(d->reactor, &d->gone_msg, gone_returned);
}

void dev_maybe_gone(struct vhost_dev *d)
{
	if (d->state != DEV_CLOSING || d->nexus || d->kicks_pending || conn_pending(d))
		return;
	d->state = DEV_GONE;
	vhost_conn_close(d);
	vmem_put(d->mem);
	d->mem = NULL;
	vmapping_put(d->log);
	d->log = NULL;
	list_del(&d->link);
	part_count(d->part, connections, -1);
	reactor_post(d->control, &d->gone_msg, gone_posted);
}

static void drained(struct it_nexus *n)
{
	struct vhost_dev *d = n->session;

	d->nexus = NULL;
	/* the nexus may end by itself only through close_session(); should it, so does the device */
	dev_close(d, "its session has ended");
	dev_maybe_gone(d);
}

static void close_session(struct it_nexus *n)
{
	struct vhost_dev *d = n->session;

	if (d)
		dev_close(d, "its session is closed by the administrator");
}

/* ---- stop: commands under way are answered before ------------------------------------------- */

bool dev_idle(const struct vhost_dev *d)
{
	return !d->under_way && !d->tmfs_under_way && !d->resetting;
}

static void grace_over(struct timer *t)
{
	struct vhost_dev *d = container_of(t, struct vhost_dev, stop_timer);

	dev_close(d, d->stop_why);
}

static void stop_posted(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, stop_msg);

	if (d->state != DEV_LIVE)
		return;
	d->stopping = true;
	if (dev_idle(d) || !d->grace_ns)
		dev_close(d, d->stop_why);
	else
		timer_arm(d->reactor, &d->stop_timer, d->grace_ns, grace_over);
}

static void probe_answered(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, probe_msg);

	d->probed(d);
}

static void probe_posted(struct msg *m)
{
	struct vhost_dev *d = container_of(m, struct vhost_dev, probe_msg);
	struct pollfd p = { .fd = d->conn.fd, .events = POLLRDHUP };

	if (d->state == DEV_LIVE && poll(&p, 1, 0) > 0)
		dev_close(d, NULL);
	d->ended_at_probe = d->state != DEV_LIVE;
	reactor_post(d->control, &d->probe_msg, probe_answered);
}

const struct transport_ops vhost_transport_ops = {
	.name = "vhost",
	.data_out = request_data_out,
	.data_out_cancel = request_data_out_cancel,
	.data_in = request_data_in,
	.data_room = request_data_room,
	.finish = request_finish,
	.nexus_drained = drained,
	.close_session = close_session,
	.lun_changed = event_lun_changed,
	.attention = event_attention,
};
