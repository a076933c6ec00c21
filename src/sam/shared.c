/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/shared.h"

#include "base/sgl.h"

void shared_data_init(struct shared_data *d, struct iovec *in, unsigned in_cnt, struct iovec *out,
		      unsigned out_cnt)
{
	d->in = (struct shared_sgl){ .v = in, .n = in_cnt };
	d->out = (struct shared_sgl){ .v = out, .n = out_cnt };
	d->bufs = NULL;
}

/* Undo the cut of the last take(). */
static void whole_again(struct shared_sgl *s)
{
	if (s->cut)
		s->v[s->cut - 1].iov_len += s->rest;
	s->cut = 0;
}

static void advance(struct shared_sgl *s, uint32_t off)
{
	while (s->n && off - s->at >= s->v->iov_len) {
		s->at += (uint32_t)s->v->iov_len;
		s->v++;
		s->n--;
	}
	if (!s->n || off == s->at)
		return;
	s->v->iov_base = (char *)s->v->iov_base + (off - s->at);
	s->v->iov_len -= off - s->at;
	s->at = off;
}

/* *@n segments from s->v on hold [off, off + len), or what there is of it: returns how many bytes. */
static uint32_t take(struct shared_sgl *s, uint32_t off, uint32_t len, unsigned *n)
{
	size_t sum = 0;

	*n = 0;
	whole_again(s);
	if (off < s->at) /* what has been walked over is gone */
		return 0;
	advance(s, off);
	while (*n < s->n && sum < len)
		sum += s->v[(*n)++].iov_len;
	if (sum > len) {
		s->cut = *n;
		s->rest = sum - len;
		s->v[*n - 1].iov_len -= s->rest;
		sum = len;
	}
	return (uint32_t)sum;
}

static void drop_copy(struct shared_data *d)
{
	while (d->bufs) {
		struct buf *b = d->bufs;

		d->bufs = b->next;
		buf_put(b);
	}
}

/* Copy @len bytes of the @n segments at @v; returns the number of buffers, 0 if there is no memory. */
static unsigned copy(struct shared_data *d, struct bufpool *pool, const struct iovec *v, unsigned n,
		     uint32_t len)
{
	unsigned used = 0;

	for (uint32_t done = 0; done < len; used++) {
		uint32_t piece = min(len - done, BUF_MAX);
		struct buf *b = used < SHARED_COPY_BUFS ? bufpool_get(pool, piece) : NULL;

		if (!b) {
			drop_copy(d);
			return 0;
		}
		b->next = d->bufs;
		d->bufs = b;
		sgl_copy_out(v, n, done, b->data, piece);
		d->copy[used] = (struct iovec){ b->data, piece };
		done += piece;
	}
	return used;
}

static bool goes_as_it_is(const struct scsi_cmd *cmd, const struct iovec *v, unsigned n)
{
	return cmd->out_some && sgl_aligned(v, n, cmd->itl->part->view.mem_align);
}

void shared_data_out(struct shared_data *d, struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	unsigned n;

	drop_copy(d);
	if (take(&d->out, off, len, &n) != len) { /* never: expected is what the list holds */
		cmd_data_failed(cmd, V_INTERNAL_TARGET_FAILURE);
		return;
	}
	if (likely(goes_as_it_is(cmd, d->out.v, n))) {
		cmd_data_ready(cmd, d->out.v, n, len);
		return;
	}
	if (cmd->out_some)
		len = min(len, BUF_MAX);
	n = copy(d, reactor_bufpool(cmd->nexus->reactor), d->out.v, n, len);
	if (n)
		cmd_data_ready(cmd, d->copy, n, len);
	else
		cmd_data_failed(cmd, V_TASK_SET_FULL);
}

void shared_data_in(struct shared_data *d, uint32_t off, struct buf *b, const uint8_t *data,
		    uint32_t len)
{
	unsigned n;

	len = min(len, take(&d->in, off, len, &n));
	sgl_copy_in(d->in.v, n, 0, data, len);
	buf_put(b);
}

uint32_t shared_data_room(struct shared_data *d, uint32_t off, uint32_t len, const struct iovec **v,
			  unsigned *n)
{
	uint32_t got = take(&d->in, off, len, n);

	*v = d->in.v;
	return got;
}

void shared_data_end(struct shared_data *d)
{
	drop_copy(d);
}
