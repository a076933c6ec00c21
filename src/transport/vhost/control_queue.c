/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control queue (virtio 1.2, 5.6.6.2): task management, and asynchronous notifications, of which
 * there are none.
 */
#include <string.h>

#include "base/sgl.h"
#include "transport/vhost/device.h"

void tmfs_init(struct vhost_dev *d)
{
	for (unsigned i = 0; i < VHOST_TMFS; i++) {
		d->tmfs[i].dev = d;
		d->tmfs[i].next = d->free_tmf;
		d->free_tmf = &d->tmfs[i];
	}
}

/* ---- answers ------------------------------------------------------------------------------------ */

static struct vqueue *control_queue(struct vhost_dev *d)
{
	return &d->q[VSCSI_CONTROL_QUEUE];
}

/* What ended before, on whichever ring, is with the driver before this is. */
static void give(struct vhost_dev *d, struct vhandle h, uint32_t len)
{
	struct vqueue *q = control_queue(d);

	if (!dev_is_live(d) || !q->ring.started) {
		q->ring.taken--;
		if (dev_is_live(d))
			dev_flush_soon(d);
		return;
	}
	dev_publish(d);
	vring_give(&q->ring, h, len);
	queue_dirty(q);
}

static void answer(struct vhost_dev *d, const struct vchain *c, const void *response, uint32_t len)
{
	len = min(len, c->in_len);
	sgl_copy_in(c->in, c->in_cnt, 0, response, len);
	give(d, vring_handle(c), len);
}

static uint8_t code_of(enum tmf_response r)
{
	switch (r) {
	case TMF_COMPLETE:
	case TMF_NO_TASK: /* virtio 1.2, 5.6.6.2: the task has ended, which is what was wanted */
		return VSCSI_FUNCTION_COMPLETE;
	case TMF_SUCCEEDED:
		return VSCSI_FUNCTION_SUCCEEDED;
	case TMF_NO_LUN:
		return VSCSI_INCORRECT_LUN;
	default:
		return VSCSI_FUNCTION_REJECTED;
	}
}

static void wake(struct vhost_dev *d)
{
	struct vqueue *q = control_queue(d);

	if (q->starves) {
		q->starves = false;
		queue_look(q);
	}
}

static void managed(struct tmf *tmf)
{
	struct vtmf *t = container_of(tmf, struct vtmf, tmf);
	struct vhost_dev *d = t->dev;

	if (dev_is_live(d) && control_queue(d)->ring.started)
		*t->response = code_of(tmf->response);
	d->resets -= t->resets;
	d->tmfs_under_way--;
	give(d, t->handle, 1);
	vmem_put(t->mem);
	t->next = d->free_tmf;
	d->free_tmf = t;
	wake(d);
}

/* ---- requests ------------------------------------------------------------------------------------- */

static const enum tmf_function functions[] = {
	[VSCSI_ABORT_TASK] = TMF_ABORT_TASK,	       [VSCSI_ABORT_TASK_SET] = TMF_ABORT_TASK_SET,
	[VSCSI_CLEAR_TASK_SET] = TMF_CLEAR_TASK_SET,   [VSCSI_CLEAR_ACA] = TMF_CLEAR_ACA,
	[VSCSI_I_T_NEXUS_RESET] = TMF_I_T_NEXUS_RESET, [VSCSI_LU_RESET] = TMF_LU_RESET,
	[VSCSI_QUERY_TASK] = TMF_QUERY_TASK,	       [VSCSI_QUERY_TASK_SET] = TMF_QUERY_TASK_SET,
};

static void manage(struct vhost_dev *d, const struct vchain *c, const struct vscsi_tmf_request *r)
{
	struct vtmf *t = d->free_tmf;
	uint8_t lun[8], code = VSCSI_FUNCTION_REJECTED;

	if (r->subtype >= array_size(functions)) {
		answer(d, c, &code, 1);
		return;
	}
	if (!lun_of(r->lun, lun)) {
		code = VSCSI_BAD_TARGET;
		answer(d, c, &code, 1);
		return;
	}
	d->free_tmf = t->next;
	d->tmfs_under_way++;
	t->mem = vmem_get(d->mem);
	t->handle = vring_handle(c);
	t->response = c->in[0].iov_base;
	t->resets = r->subtype == VSCSI_LU_RESET || r->subtype == VSCSI_I_T_NEXUS_RESET;
	d->resets += t->resets;
	t->tmf = (struct tmf){ .nexus = d->nexus,
			       .function = functions[r->subtype],
			       .ref_tag = r->id,
			       .done = managed };
	memcpy(t->tmf.lun, lun, sizeof(lun));
	tmf_submit(&t->tmf);
}

/* Asynchronous notifications are of removable media: this device has none to tell. */
static void notifications(struct vhost_dev *d, const struct vchain *c,
			  const struct vscsi_an_request *r)
{
	struct vscsi_an_response response = { .response = VSCSI_OK };
	uint8_t lun[8];

	if (!lun_of(r->lun, lun))
		response.response = VSCSI_BAD_TARGET;
	answer(d, c, &response, sizeof(response));
}

static void request(struct vhost_dev *d, const struct vchain *c)
{
	union {
		uint32_t type;
		struct vscsi_tmf_request tmf;
		struct vscsi_an_request an;
	} r = { 0 };
	size_t len = sgl_copy_out(c->out, c->out_cnt, 0, &r, sizeof(r));

	copied();
	if (len >= sizeof(r.tmf) && r.type == VSCSI_TMF && c->in_len)
		manage(d, c, &r.tmf);
	else if (len >= sizeof(r.an) && (r.type == VSCSI_AN_QUERY || r.type == VSCSI_AN_SUBSCRIBE))
		notifications(d, c, &r.an);
	else
		answer(d, c, &(uint8_t){ VSCSI_FAILURE }, 1);
}

void control_queue_run(struct vqueue *q)
{
	struct vhost_dev *d = q->dev;
	struct vchain *c = d->part->chain;

	vring_quiet(&q->ring);
	q->quiet = true;
	for (unsigned n = 0; n < VHOST_BATCH; n++) {
		int rc;

		if (!d->free_tmf) { /* until one has ended */
			q->starves = true;
			return;
		}
		rc = vring_take(&q->ring, d->mem, c);
		if (rc <= 0) {
			if (rc)
				queue_broken(q, q->ring.why);
			queue_dirty(q);
			return;
		}
		request(d, c);
		if (!queue_runs(q))
			return;
	}
	queue_dirty(q);
	reactor_later(d->reactor, &q->work, LATER_SEND);
}

/* ---- RESET_DEVICE ----------------------------------------------------------------------------------- */

static void was_reset(struct tmf *t)
{
	struct vhost_dev *d = container_of(t, struct vhost_dev, reset);

	d->resetting = false;
	if (dev_is_live(d))
		dev_flush_soon(d);
}

void dev_reset(struct vhost_dev *d)
{
	d->resetting = true;
	d->reset = (struct tmf){ .nexus = d->nexus,
				 .function = TMF_I_T_NEXUS_RESET,
				 .done = was_reset };
	tmf_submit(&d->reset);
}
