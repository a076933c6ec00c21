/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event queue (virtio 1.2, 5.6.6.3): LUNs that come and go, and units that change. Nothing is kept: an event
 * for which the driver has left no buffer is told as missed with the next one that it has a buffer for.
 */
#include "base/sgl.h"
#include "sam/ua.h"
#include "transport/vhost/device.h"

/* False: the driver has no buffer. */
static bool put(struct vqueue *q, struct vscsi_event *e)
{
	struct vhost_dev *d = q->dev;
	struct vchain *c = d->part->chain;
	uint32_t len;
	int rc = vring_take(&q->ring, d->mem, c);

	if (rc <= 0) {
		if (rc)
			queue_broken(q, q->ring.why);
		return false;
	}
	len = c->in_len < sizeof(*e) ? 0 : sizeof(*e);
	if (d->events_missed)
		e->event |= VSCSI_EVENTS_MISSED;
	sgl_copy_in(c->in, c->in_cnt, 0, e, len);
	vring_give(&q->ring, vring_handle(c), len);
	q->quiet = true;
	queue_dirty(q);
	if (len)
		d->events_missed = false;
	return len;
}

static void tell(struct vhost_dev *d, uint64_t lun, uint32_t event, uint32_t reason)
{
	struct vqueue *q = &d->q[VSCSI_EVENT_QUEUE];
	struct vscsi_event e = {
		.event = event,
		/* as in REPORT LUNS: Linux takes the bytes for the number that it knows the unit by */
		.lun = { 1, 0, (uint8_t)(lun > 255 ? 0x40 | lun >> 8 : 0), (uint8_t)lun },
		.reason = reason,
	};

	/* whose driver has not come yet will ask for all of it */
	if (!queue_runs(q) || put(q, &e))
		return;
	d->events_missed = true;
	q->quiet = true;
	queue_dirty(q); /* to be told of new buffers */
}

/* Buffers have come, or the ring has been started. */
void event_queue_run(struct vqueue *q)
{
	struct vscsi_event none = { .event = VSCSI_NO_EVENT };

	q->quiet = true;
	if (q->dev->events_missed)
		put(q, &none);
	/* buffers that lie there are no reason to be woken: only those that come are */
	if (!q->broken) {
		q->quiet = false;
		(void)vring_listen(&q->ring);
	}
}

void event_lun_changed(struct it_nexus *n, uint64_t lun, bool present)
{
	struct vhost_dev *d = n->session;

	if (d && d->features & VF_SCSI_HOTPLUG)
		tell(d, lun, VSCSI_TRANSPORT_RESET,
		     present ? VSCSI_RESET_RESCAN : VSCSI_RESET_REMOVED);
}

#define TOLD \
	(UA_BIT(UA_CAPACITY_CHANGED) | UA_BIT(UA_MODE_CHANGED) | UA_BIT(UA_MEDIUM_CHANGED) | \
	 UA_BIT(UA_INQUIRY_CHANGED))

void event_attention(struct itl *itl, uint32_t set)
{
	struct vhost_dev *d = itl->nexus->session;

	set &= TOLD;
	while (set && d && d->features & VF_SCSI_CHANGE) {
		const struct verdict_row *v = &verdict_rows[ua_take(&set)];

		tell(d, itl->lun, VSCSI_PARAM_CHANGE, v->asc | (uint32_t)v->ascq << 8);
	}
}
