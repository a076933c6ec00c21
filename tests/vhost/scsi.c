/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi.h"

#include <poll.h>

/* ---- commands ----------------------------------------------------------------------------- */

static void be_put(uint8_t *p, unsigned n, uint64_t v)
{
	for (; n--; v >>= 8)
		p[n] = (uint8_t)v;
}

static uint64_t be_get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static void clear(struct front_request *r)
{
	memset(r->cdb, 0, sizeof(r->cdb));
	r->out = NULL;
	r->in = NULL;
	r->out_len = r->in_len = 0;
}

void cdb_rw(struct front_request *r, bool write, uint64_t lba, uint32_t blocks, void *data,
	    uint32_t block_size)
{
	clear(r);
	r->cdb[0] = write ? 0x8a : 0x88;
	be_put(r->cdb + 2, 8, lba);
	be_put(r->cdb + 10, 4, blocks);
	if (write) {
		r->out = data;
		r->out_len = (size_t)blocks * block_size;
	} else {
		r->in = data;
		r->in_len = (size_t)blocks * block_size;
	}
}

void cdb_in(struct front_request *r, const uint8_t *cdb, size_t cdb_len, void *in, size_t in_len)
{
	clear(r);
	memcpy(r->cdb, cdb, cdb_len);
	r->in = in;
	r->in_len = in_len;
}

void cdb_none(struct front_request *r, uint8_t opcode)
{
	clear(r);
	r->cdb[0] = opcode;
}

uint64_t disk_size(struct front_request *r, uint32_t *block_size)
{
	static const uint8_t cdb[] = { 0x9e, 0x10, [13] = 32, [15] = 0 };
	uint8_t data[32];

	cdb_in(r, cdb, sizeof(cdb), data, sizeof(data));
	request_do_patiently(r);
	request_good(r, "READ CAPACITY(16)");
	*block_size = (uint32_t)be_get(data + 8, 4);
	return be_get(data, 8) + 1;
}

/* ---- control ------------------------------------------------------------------------------ */

#define CONTROL_ROOM 4096

static bool wait_ring(struct front_ring *ring)
{
	struct pollfd p = { .fd = ring->call, .events = POLLIN };

	if (front_arm(ring))
		return true;
	if (poll(&p, 1, front_patience()) <= 0)
		return false;
	front_called(ring);
	return true;
}

static void control_add(struct front *f, uint64_t area, size_t len, size_t room, void *token)
{
	struct front_seg seg[2] = { { area, (uint32_t)len },
				    { area + CONTROL_ROOM / 2, (uint32_t)room } };

	if (!front_add(&f->ring[RING_CONTROL], seg, 1, 1, 0, token))
		front_die("the control ring is full");
	front_kick(&f->ring[RING_CONTROL]);
}

void function_submit(struct front *f, struct front_function *t, unsigned subtype,
		     const uint8_t *lun, uint64_t tag)
{
	if (!t->area)
		t->area = front_alloc(f, CONTROL_ROOM, 8);
	put_le32(t->bytes, CTRL_TMF);
	put_le32(t->bytes + 4, subtype);
	memcpy(t->bytes + 8, lun, 8);
	put_le64(t->bytes + 16, tag);
	front_put(f, t->area, t->bytes, sizeof(t->bytes));
	t->busy = true;
	control_add(f, t->area, sizeof(t->bytes), 1, t);
}

static void functions_reap(struct front *f)
{
	struct front_function *t;
	uint32_t len;

	while ((t = front_take(&f->ring[RING_CONTROL], &len))) {
		front_get(f, t->area + CONTROL_ROOM / 2, &t->response, 1);
		t->busy = false;
	}
}

uint8_t function_wait(struct front *f, struct front_function *t)
{
	for (functions_reap(f); t->busy; functions_reap(f))
		if (!wait_ring(&f->ring[RING_CONTROL]))
			front_die("a function is not answered");
	return t->response;
}

uint8_t function_do(struct front *f, unsigned subtype, const uint8_t *lun, uint64_t tag)
{
	static struct front_function t;
	static struct front *of;

	if (of != f)
		t = (struct front_function){ 0 };
	of = f;
	function_submit(f, &t, subtype, lun, tag);
	return function_wait(f, &t);
}

int control_raw(struct front *f, const void *bytes, size_t len, void *answer, size_t room)
{
	uint64_t area = front_alloc(f, CONTROL_ROOM, 8);
	struct front_ring *ring = &f->ring[RING_CONTROL];
	uint32_t used;

	front_put(f, area, bytes, len);
	control_add(f, area, len, room, &area);
	while (!front_take(ring, &used))
		if (!wait_ring(ring))
			front_die("a control request is not answered");
	front_get(f, area + CONTROL_ROOM / 2, answer, room);
	return (int)used;
}

/* ---- events ------------------------------------------------------------------------------- */

static void post(struct front *f, uint64_t area)
{
	struct front_seg seg = { area, EVENT_BUFFER };

	if (!front_add(&f->ring[RING_EVENT], &seg, 0, 1, 0, front_at(f, area, EVENT_BUFFER)))
		front_die("the event ring is full");
	front_kick(&f->ring[RING_EVENT]);
}

void events_post(struct front *f, unsigned n)
{
	while (n--)
		post(f, front_alloc(f, EVENT_BUFFER, 16));
}

bool event_take(struct front *f, struct front_event *e, bool again)
{
	uint32_t len;
	uint8_t *at = front_take(&f->ring[RING_EVENT], &len);
	struct front_region *r = &f->region[0];

	if (!at)
		return false;
	if (len != EVENT_BUFFER)
		front_die("an event of %u bytes", len);
	e->area = r->guest + (uint64_t)(at - r->at);
	e->event = le32_at(at);
	memcpy(e->lun, at + 4, 8);
	e->reason = le32_at(at + 12);
	if (again)
		post(f, e->area);
	return true;
}

bool event_wait(struct front *f, struct front_event *e, bool again)
{
	while (!event_take(f, e, again))
		if (!wait_ring(&f->ring[RING_EVENT]))
			return false;
	return true;
}
