/* SPDX-License-Identifier: BSD-2-Clause */
/* Request queues (virtio 1.2, 5.6.6.1): from a chain to a command, and back. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sgl.h"
#include "sam/observe.h"
#include "transport/vhost/device.h"

/* Response, data-in and data-out of a chain; response and data-in may share one segment. */
#define LIST_SEGMENTS (2 * VCHAIN_SEGMENTS + 2)

/* ---- tasks --------------------------------------------------------------------------------- */

static size_t lists_size(void)
{
	return (size_t)VHOST_TASKS * LIST_SEGMENTS * sizeof(struct iovec);
}

/* Address space; memory is what is used of it. */
static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool tasks_create(struct vhost_dev *d)
{
	d->tasks = reserve(VHOST_TASKS * sizeof(struct vtask));
	d->lists = reserve(lists_size());
	return d->tasks && d->lists;
}

void tasks_free(struct vhost_dev *d)
{
	if (d->tasks)
		munmap(d->tasks, VHOST_TASKS * sizeof(struct vtask));
	if (d->lists)
		munmap(d->lists, lists_size());
}

/* The one freed last, whose memory is warm; else one that was never used. Not all are under way. */
static struct vtask *task_get(struct vhost_dev *d)
{
	struct vtask *t = d->free_task;

	if (t)
		d->free_task = t->next;
	else
		t = &d->tasks[d->tasks_used++];
	d->under_way++;
	part_count(d->part, tasks, 1);
	return t;
}

static void wake_starving(struct vhost_dev *d)
{
	struct vqueue *q = list_first(&d->starving, struct vqueue, starving);

	list_del(&q->starving);
	q->starves = false;
	queue_look(q);
}

static void task_put(struct vhost_dev *d, struct vtask *t)
{
	vmem_put(t->mem);
	t->q = NULL;
	t->next = d->free_task;
	d->free_task = t;
	d->under_way--;
	part_count(d->part, tasks, -1);
	if (unlikely(!list_empty(&d->starving)))
		wake_starving(d);
}

void tasks_abort(struct vqueue *q)
{
	struct vhost_dev *d = q->dev;

	for (unsigned i = 0; i < d->tasks_used; i++)
		if (d->tasks[i].q == q)
			cmd_abort(&d->tasks[i].cmd, V_ABORTED_SILENTLY);
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void put_response(const struct vtask *t, const struct vscsi_response *r, const uint8_t *sense)
{
	if (likely(t->nresp == 1 && !r->sense_len && t->resp_len >= sizeof(*r))) {
		memcpy(t->v->iov_base, r, sizeof(*r));
		return;
	}
	sgl_copy_in(t->v, t->nresp, 0, r, sizeof(*r));
	if (r->sense_len)
		sgl_copy_in(t->v, t->nresp, sizeof(*r), sense, r->sense_len);
}

/* @t has ended: its chain goes back, @len bytes of it written. */
static void give_back(struct vtask *t, uint32_t len)
{
	struct vqueue *q = t->q;
	struct vhost_dev *d = q->dev;

	if (likely(dev_is_live(d) && q->ring.started)) {
		vring_give(&q->ring, t->handle, len);
		queue_dirty(q);
	} else {
		q->ring.taken--;
		if (dev_is_live(d))
			dev_flush_soon(d);
	}
	task_put(d, t);
}

/* Without a command: there is no SCSI status. */
static void answer(struct vtask *t, enum vscsi_code code)
{
	struct vscsi_response r = { .response = (uint8_t)code };

	put_response(t, &r, NULL);
	give_back(t, t->resp_len >= sizeof(r) ? t->resp_len : 0);
}

static enum vscsi_code code_of(const struct vhost_dev *d, const struct scsi_cmd *cmd)
{
	if (unlikely(cmd->verdict == V_ABORTED_SILENTLY))
		return d->resets ? VSCSI_RESET : VSCSI_ABORTED;
	if (unlikely(cmd->residual == RESID_OVERFLOW && cmd->verdict == V_GOOD))
		return VSCSI_OVERRUN;
	return VSCSI_OK;
}

static void respond(struct vhost_dev *d, struct vtask *t)
{
	const struct scsi_cmd *cmd = &t->cmd;
	struct vscsi_response r = { .response = (uint8_t)code_of(d, cmd) };
	uint8_t sense[SENSE_MAX];

	if (likely(cmd->verdict == V_GOOD)) {
		r.residual = cmd->residual == RESID_UNDERFLOW ? cmd->residual_count : 0;
	} else if (cmd->verdict != V_ABORTED_SILENTLY) {
		r.status = verdict_status(cmd->verdict);
		r.sense_len = min(cmd_sense(cmd, sense), d->sense_size);
		r.residual = cmd->residual == RESID_UNDERFLOW ? cmd->residual_count : 0;
	}
	put_response(t, &r, sense);
	OBSERVE(cmd, command__answered, (int)cmd->verdict, cmd->nexus->id, cmd->tag,
		verdict_status(cmd->verdict));
}

void request_finish(struct scsi_cmd *cmd)
{
	struct vtask *t = container_of(cmd, struct vtask, cmd);
	struct vhost_dev *d = t->q->dev;

	shared_data_end(&t->data);
	/* a ring that was stopped under it has nobody who waits for the answer */
	if (likely(dev_is_live(d) && t->q->ring.started))
		respond(d, t);
	give_back(t, t->resp_len + cmd->data_in);
}

/* ---- data ---------------------------------------------------------------------------------------- */

void request_data_out(struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	shared_data_out(&container_of(cmd, struct vtask, cmd)->data, cmd, off, len);
}

void request_data_out_cancel(struct scsi_cmd *cmd)
{
	/* data_out() answers at once: there is nothing to cancel */
}

void request_data_in(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len)
{
	shared_data_in(&container_of(cmd, struct vtask, cmd)->data, off, b, data, len);
}

uint32_t request_data_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len, const struct iovec **v,
			   unsigned *n)
{
	return shared_data_room(&container_of(cmd, struct vtask, cmd)->data, off, len, v, n);
}

/* ---- requests ------------------------------------------------------------------------------------- */

bool lun_of(const uint8_t virtio[8], uint8_t lun[8])
{
	static const uint8_t none[4], report_luns[8] = { 0xc1, 0x01 };

	if (!memcmp(virtio, report_luns,
		    sizeof(report_luns))) { /* the well known unit, at no target */
		memcpy(lun, virtio, 8);
		return true;
	}
	if (virtio[0] != 1 || virtio[1] != 0 || memcmp(virtio + 4, none, sizeof(none)))
		return false;
	memset(lun, 0, 8);
	memcpy(lun, virtio + 2, 2);
	return true;
}

static enum task_attr attr_of(uint8_t virtio)
{
	switch (virtio) {
	case VSCSI_SIMPLE:
		return ATTR_SIMPLE;
	case VSCSI_ORDERED:
		return ATTR_ORDERED;
	case VSCSI_HEAD:
		return ATTR_HEAD_OF_QUEUE;
	default:
		return ATTR_ACA;
	}
}

struct layout {
	struct iovec *in, *out;
	unsigned in_cnt, out_cnt;
	uint32_t in_len, out_len;
};

/* Everything of @from from byte @skip on, at @to; returns the number of segments. */
static unsigned rest_of(struct iovec *to, const struct iovec *from, unsigned n, size_t skip)
{
	unsigned made = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t cut = min(skip, from[i].iov_len);

		skip -= cut;
		if (cut < from[i].iov_len)
			to[made++] = (struct iovec){ (uint8_t *)from[i].iov_base + cut,
						     from[i].iov_len - cut };
	}
	return made;
}

/* Its first @len bytes. */
static unsigned start_of(struct iovec *to, const struct iovec *from, unsigned n, size_t len)
{
	unsigned made = 0;

	for (unsigned i = 0; i < n && len; i++) {
		size_t part = min(len, from[i].iov_len);

		to[made++] = (struct iovec){ from[i].iov_base, part };
		len -= part;
	}
	return made;
}

/* Where one header ends and data begin is for the bytes to say, not for the descriptors (any layout). */
static void lay_out_task(struct vhost_dev *d, struct vtask *t, const struct vchain *c,
			 uint32_t head_len, struct layout *l)
{
	if (likely(c->in_cnt + c->out_cnt + 2 <= VHOST_FEW))
		t->v = t->few;
	else
		t->v = &d->lists[(size_t)(t - d->tasks) * LIST_SEGMENTS];
	t->resp_len = min((uint32_t)sizeof(struct vscsi_response) + d->sense_size, c->in_len);
	t->nresp = start_of(t->v, c->in, c->in_cnt, t->resp_len);
	l->in = t->v + t->nresp;
	l->in_cnt = rest_of(l->in, c->in, c->in_cnt, t->resp_len);
	l->in_len = c->in_len - t->resp_len;
	l->out = l->in + l->in_cnt;
	l->out_cnt = rest_of(l->out, c->out, c->out_cnt, head_len);
	l->out_len = c->out_len > head_len ? c->out_len - head_len : 0;
}

struct request_copy {
	struct vscsi_request h;
	uint8_t cdb[CDB_MAX];
} __attribute__((packed));

/* The request's header and CDB, private from now on. False: the chain has less. */
static bool copy_header(const struct vhost_dev *d, const struct vchain *c, struct request_copy *r)
{
	const uint32_t usual = sizeof(r->h) + VSCSI_CDB_SIZE;
	uint32_t len = (uint32_t)sizeof(r->h) + d->cdb_size;

	if (unlikely(c->out_len < len))
		return false;
	if (likely(len == usual && c->out[0].iov_len >= usual))
		memcpy(r, c->out[0].iov_base, usual);
	else
		sgl_copy_out(c->out, c->out_cnt, 0, r, len);
	copied();
	return true;
}

static void run(struct vhost_dev *d, struct vtask *t, const struct request_copy *r,
		const struct layout *l)
{
	struct scsi_cmd *cmd = &t->cmd;
	uint8_t lun[8];

	if (unlikely(!lun_of(r->h.lun, lun))) {
		answer(t, VSCSI_BAD_TARGET);
		return;
	}
	cmd_init(cmd, d->nexus, lun, r->h.id, attr_of(r->h.task_attr), r->cdb, d->cdb_size);
	cmd->read = l->in_len;
	cmd->write = l->out_len;
	cmd->expected = l->in_len + l->out_len;
	shared_data_init(&t->data, l->in, l->in_cnt, l->out, l->out_cnt);
	cmd_submit(cmd);
}

static void request(struct vqueue *q, struct vtask *t, const struct vchain *c)
{
	struct vhost_dev *d = q->dev;
	struct request_copy r;
	struct layout l;

	t->q = q;
	t->mem = vmem_get(d->mem);
	t->handle = vring_handle(c);
	lay_out_task(d, t, c, (uint32_t)sizeof(r.h) + d->cdb_size, &l);
	/* virtio 1.2, 5.6.6.1: both directions without VIRTIO_SCSI_F_INOUT are a failure, too */
	if (unlikely(!copy_header(d, c, &r) || (l.in_len && l.out_len) ||
		     t->resp_len < sizeof(struct vscsi_response)))
		answer(t, VSCSI_FAILURE);
	else
		run(d, t, &r, &l);
}

void request_queue_run(struct vqueue *q)
{
	struct vhost_dev *d = q->dev;
	struct vchain *c = d->part->chain;

	vring_quiet(&q->ring);
	q->quiet = true;
	for (unsigned n = 0; n < VHOST_BATCH; n++) {
		int rc;

		if (unlikely(d->under_way == VHOST_TASKS)) { /* until one has ended */
			if (!q->starves)
				list_add(&d->starving, &q->starving);
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
		request(q, task_get(d), c);
		if (unlikely(!queue_runs(q)))
			return;
	}
	/* others have their turn, and what has ended goes out */
	queue_dirty(q);
	reactor_later(d->reactor, &q->work, LATER_SEND);
}
