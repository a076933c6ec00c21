/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi.h"

#include <poll.h>
#include <stdlib.h>

#define GAP 64 /* of guard bytes, at most, after a segment */
#define TABLE (FRONT_SEGS * DESC_SIZE)

void lun_bytes(uint8_t to[8], unsigned target, unsigned lun)
{
	memset(to, 0, 8);
	to[0] = 1;
	to[1] = (uint8_t)target;
	to[2] = (uint8_t)(0x40 | lun >> 8);
	to[3] = (uint8_t)lun;
}

void request_room(struct front *f, struct front_request *r, size_t most)
{
	memset(r, 0, sizeof(*r));
	r->front = f;
	lun_bytes(r->lun, 0, f->opts.lun);
	r->area_len = most + REQ_SIZE + RESP_SIZE + FRONT_SEGS * GAP + 4096;
	r->area = front_alloc(f, r->area_len, 4096);
	r->table = front_alloc(f, TABLE, 16);
}

/* ---- laying out --------------------------------------------------------------------------- */

static uint32_t chance(struct front_request *r, uint32_t below)
{
	r->seed = r->seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(r->seed >> 8) * below >> 24);
}

static void cut(struct front_request *r, uint64_t *at, uint64_t len, uint64_t gap)
{
	if (!len)
		return;
	if (r->n == FRONT_SEGS)
		front_die("a request of more than %d segments", FRONT_SEGS);
	r->seg[r->n++] = (struct front_seg){ *at, (uint32_t)len };
	*at += len + gap;
}

/* Pieces of any length, few enough for what is left of them. */
static void cut_odd(struct front_request *r, uint64_t *at, uint64_t len, unsigned pieces)
{
	while (len) {
		uint64_t most = len < 3000 ? len : 3000, n;

		if (len > 3000ull * pieces)
			most = len / pieces + 1;
		n = pieces <= 1 ? len : most > len ? len : 1 + chance(r, (uint32_t)most);
		cut(r, at, n, chance(r, GAP));
		len -= n;
		pieces -= pieces > 1;
	}
}

/* One stream: @head bytes and @data bytes. */
static void lay_out(struct front_request *r, uint64_t *at, size_t head, size_t data)
{
	switch (r->layout) {
	case LAYOUT_USUAL:
		cut(r, at, head, 0);
		cut(r, at, data, 0);
		break;
	case LAYOUT_ONE:
		cut(r, at, head + data, 0);
		break;
	case LAYOUT_ODD:
		cut_odd(r, at, head + data, FRONT_SEGS / 3);
		break;
	case LAYOUT_PAGES:
		cut(r, at, head, 5);
		*at = (*at + 4095) & ~4095ull;
		for (; data; data -= data < 4096 ? data : 4096)
			cut(r, at, data < 4096 ? data : 4096, 0);
		break;
	case LAYOUT_BYTES:
		for (size_t i = 0; i < head; i++)
			cut(r, at, 1, 3);
		cut(r, at, data, 1);
		break;
	}
}

static void stream_put(struct front_request *r, unsigned *seg, uint64_t *off, const void *from,
		       size_t len)
{
	const uint8_t *p = from;

	while (len) {
		struct front_seg *s = &r->seg[*seg];
		uint64_t n = s->len - *off < len ? s->len - *off : len;

		front_put(r->front, s->addr + *off, p, n);
		p += n;
		len -= n;
		*off += n;
		if (*off == s->len) {
			++*seg;
			*off = 0;
		}
	}
}

static void stream_get(struct front_request *r, unsigned *seg, uint64_t *off, void *to, size_t len)
{
	uint8_t *p = to;

	while (len && *seg < r->n) {
		struct front_seg *s = &r->seg[*seg];
		uint64_t n = s->len - *off < len ? s->len - *off : len;

		front_get(r->front, s->addr + *off, p, n);
		p += n;
		len -= n;
		*off += n;
		if (*off == s->len) {
			++*seg;
			*off = 0;
		}
	}
}

static void fill(struct front *f, uint64_t at, uint64_t len)
{
	uint8_t guard[512];

	memset(guard, REQUEST_GUARD, sizeof(guard));
	for (uint64_t n; len; at += n, len -= n) {
		n = len < sizeof(guard) ? len : sizeof(guard);
		front_put(f, at, guard, n);
	}
}

static void write_header(struct front_request *r, uint8_t *header)
{
	memcpy(header + REQ_LUN, r->lun, 8);
	put_le64(header + REQ_ID, r->tag);
	header[REQ_ATTR] = r->attr;
	header[REQ_ATTR + 1] = r->prio;
	header[REQ_ATTR + 2] = r->crn;
	memcpy(header + REQ_CDB, r->cdb, CDB_ROOM);
}

bool request_add(struct front_request *r, unsigned queue)
{
	size_t head = r->head_len ? r->head_len : REQ_SIZE;
	uint8_t header[REQ_SIZE] = { 0 };
	uint64_t at = r->area, off = 0;
	unsigned seg = 0;

	if (!r->tag)
		r->tag = r->front->next_tag++;
	r->n = 0;
	write_header(r, header);
	lay_out(r, &at, head, r->out_len);
	r->nread = r->n;
	lay_out(r, &at, r->resp_len ? r->resp_len : RESP_SIZE, r->in_len);
	if (at > r->area + r->area_len)
		front_die("a request that does not fit its memory");
	fill(r->front, r->area, at - r->area);
	stream_put(r, &seg, &off, header, head < REQ_SIZE ? head : REQ_SIZE);
	stream_put(r, &seg, &off, r->out, r->out_len);
	r->queue = queue;
	r->busy = front_add(front_queue(r->front, queue), r->seg, r->nread, r->n - r->nread,
			    r->indirect ? r->table : 0, r);
	return r->busy;
}

void request_submit(struct front_request *r, unsigned queue)
{
	if (!request_add(r, queue))
		front_die("ring %u is full", RING_REQUEST + queue);
	front_kick(front_queue(r->front, queue));
}

/* ---- completing --------------------------------------------------------------------------- */

/* Nothing may be written outside of what the device was given to write. */
static void check_guards(struct front_request *r)
{
	uint64_t at = r->area;
	uint8_t byte;

	for (unsigned i = 0; i < r->n; i++) {
		for (; at < r->seg[i].addr; at++) {
			front_get(r->front, at, &byte, 1);
			if (byte != REQUEST_GUARD)
				front_die("tag %llu: a byte before segment %u was written",
					  (unsigned long long)r->tag, i);
		}
		at += r->seg[i].len;
	}
}

static void completed(struct front_request *r, uint32_t len)
{
	uint8_t resp[RESP_SIZE] = { 0 };
	unsigned seg = r->nread;
	uint64_t off = 0;

	r->used_len = len;
	stream_get(r, &seg, &off, resp, r->resp_len ? r->resp_len : RESP_SIZE);
	stream_get(r, &seg, &off, r->in, r->in_len);
	r->sense_len = le32_at(resp + RESP_SENSE_LEN);
	r->residual = le32_at(resp + RESP_RESIDUAL);
	r->status = resp[RESP_STATUS];
	r->response = resp[RESP_RESPONSE];
	memcpy(r->sense, resp + RESP_SENSE, SENSE_ROOM);
	check_guards(r);
	if (r->sense_len > SENSE_ROOM)
		front_die("sense data of %u bytes", r->sense_len);
	r->busy = false;
	if (r->done)
		r->done(r);
}

unsigned requests_reap(struct front *f, unsigned queue)
{
	struct front_ring *ring = front_queue(f, queue);
	struct front_request *r;
	unsigned n = 0;
	uint32_t len;

	for (; (r = front_take(ring, &len)); n++)
		completed(r, len);
	return n;
}

/* True when the interrupt came. */
static bool sleep_for(struct front_ring *ring)
{
	struct pollfd p = { .fd = ring->call, .events = POLLIN };

	if (poll(&p, 1, front_patience()) <= 0)
		return false;
	front_called(ring);
	return true;
}

unsigned requests_wait(struct front *f, unsigned queue)
{
	struct front_ring *ring = front_queue(f, queue);
	unsigned n;

	for (;;) {
		n = requests_reap(f, queue);
		if (n)
			return n;
		if (!front_arm(ring) && !sleep_for(ring))
			return 0;
	}
}

void request_finish(struct front_request *r)
{
	while (r->busy)
		if (!requests_wait(r->front, r->queue))
			front_die("no answer to tag %llu, CDB %02x", (unsigned long long)r->tag,
				  r->cdb[0]);
}

void request_do(struct front_request *r)
{
	r->tag = 0;
	request_submit(r, 0);
	request_finish(r);
}

void request_do_patiently(struct front_request *r)
{
	uint64_t until = front_now_ms() + (uint64_t)front_patience();

	do {
		request_do(r);
		if (r->response != VS_BUSY && r->status != 0x08 && r->status != 0x28 &&
		    !(r->status == 0x02 && sense_key(r) == 6))
			return;
	} while (front_now_ms() < until);
	front_die("CDB %02x is put off for ever", r->cdb[0]);
}

unsigned sense_key(const struct front_request *r)
{
	if (r->sense_len < 4)
		return 0;
	return (r->sense[0] & 0x7f) >= 0x72 ? r->sense[1] & 15 : r->sense[2] & 15;
}

unsigned sense_code(const struct front_request *r)
{
	if (r->sense_len < 4)
		return 0;
	if ((r->sense[0] & 0x7f) >= 0x72)
		return (unsigned)r->sense[2] << 8 | r->sense[3];
	return r->sense_len < 14 ? 0 : (unsigned)r->sense[12] << 8 | r->sense[13];
}

void request_good(const struct front_request *r, const char *what)
{
	if (r->response != VS_OK || r->status)
		front_die("%s: CDB %02x: response %u, status %02x, sense %x/%04x", what, r->cdb[0],
			  r->response, r->status, sense_key(r), sense_code(r));
}
