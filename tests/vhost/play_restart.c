/* SPDX-License-Identifier: BSD-2-Clause */
/* Drivers that stop and start, connections that end, servers that die. */
#include "play.h"

#include <stdlib.h>

static void inquire(struct play *p)
{
	play_disk(p, &(uint32_t){ 0 });
}

static void drivers_stop_and_start_again(struct play *p)
{
	struct front_request r;

	play_open(p);
	request_room(&p->f, &r, 0);
	r.indirect = p->indirect;
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 37; i++) {
			cdb_none(&r, 0x00);
			request_do_patiently(&r);
		}
		for (unsigned i = 0; i < p->f.nrings; i++) {
			uint32_t base;

			front_tell_ring(&p->f, VU_SET_VRING_ENABLE, i, 0);
			base = front_stop_ring(&p->f, &p->f.ring[i]);
			check(base == front_base(&p->f.ring[i]), "ring %u: base %#x, not %#x", i,
			      base, front_base(&p->f.ring[i]));
			front_start_ring(&p->f, &p->f.ring[i], base);
		}
	}
}

static void a_ring_that_stops_ends_what_is_under_way(struct play *p)
{
	struct front_ring *ring;
	struct front_request r[8];
	uint8_t data[512];
	uint32_t base;

	play_open(p);
	inquire(p);
	ring = front_queue(&p->f, 0);
	for (unsigned i = 0; i < 8; i++) {
		request_room(&p->f, &r[i], sizeof(data));
		lun_bytes(r[i].lun, 0, p->slow_lun);
		if (!i)
			request_do_patiently((cdb_none(&r[0], 0x00), &r[0]));
		cdb_rw(&r[i], false, i, 1, data, 512);
		r[i].tag = 0;
		request_submit(&r[i], 0);
	}
	front_barrier(&p->f);
	base = front_stop_ring(&p->f, ring);
	requests_reap(&p->f, 0);
	check(base == front_base(ring), "base %#x, not %#x", base, front_base(ring));
	front_start_ring(&p->f, ring, base);
	front_kick_always(ring); /* those that were not begun yet are still in the ring */
	for (unsigned i = 0; i < 8; i++) {
		request_finish(&r[i]);
		request_good(&r[i], "a request that was under way");
	}
}

/* While disabled a ring is not looked at; what was put there meanwhile is served when it is enabled. */
static void a_disabled_ring_waits(struct play *p)
{
	struct front_request r;

	play_open(p);
	inquire(p);
	request_room(&p->f, &r, 0);
	front_tell_ring(&p->f, VU_SET_VRING_ENABLE, RING_REQUEST, 0);
	cdb_none(&r, 0x00);
	check(request_add(&r, 0), "the ring is full");
	front_kick_always(front_queue(&p->f, 0));
	front_barrier(&p->f);
	front_barrier(&p->f);
	check(!front_has_used(front_queue(&p->f, 0)), "a disabled ring was served");
	front_tell_ring(&p->f, VU_SET_VRING_ENABLE, RING_REQUEST, 1);
	front_kick_always(front_queue(&p->f, 0));
	request_finish(&r);
	request_good(&r, "what waited");
}

static void a_reset_device_begins_anew(struct play *p)
{
	struct play again = *p;

	play_open(p);
	inquire(p);
	if (!front_speaks(&p->f, VU_P_RESET_DEVICE))
		front_die("RESET_DEVICE is not offered");
	front_tell(&p->f, VU_RESET_DEVICE, NULL, 0, NULL, 0);
	front_hang_up(&p->f);
	play_open(&again);
	inquire(&again);
	front_close(&again.f);
}

static void a_second_connection_is_refused(struct play *p)
{
	struct front second;

	play_open(p);
	inquire(p);
	front_init(&second, &p->opts);
	front_connect(&second, p->path);
	check(front_ended(&second), "a second connection is kept");
	front_close(&second);
	inquire(p);
	front_close(&p->f);
	play_open(p);
	inquire(p);
}

/* ---- a front end that dies at any point of its start ---------------------------------------- */

static void die_at(struct play *p, unsigned step)
{
	struct front *f = &p->f;
	unsigned n = 0;

	front_init(f, &p->opts);
	front_add_region(f, 0x100000, 8 << 20, 0);
	front_connect(f, p->path);
	if (n++ == step || (front_negotiate(f), n++ == step) ||
	    (front_share_memory(f), n++ == step) || (front_make_rings(f), n++ == step) ||
	    (front_share_inflight(f), n++ == step))
		goto out;
	for (unsigned i = 0; i < f->nrings; i++) {
		if (n++ == step)
			break;
		front_start_ring(f, &f->ring[i], front_base(&f->ring[i]));
	}
out:
	front_close(f);
}

static void front_ends_die_at_any_point(struct play *p)
{
	for (unsigned step = 0; step < 9; step++) {
		die_at(p, step);
		play_open(p);
		inquire(p);
		front_close(&p->f);
	}
	play_open(p);
}

/* Half a message, each time one byte more. */
static void front_ends_die_within_a_message(struct play *p)
{
	uint8_t bytes[VU_HEADER + VU_MEM_TABLE + VU_REGION] = { 0 };

	for (unsigned len = 1; len < sizeof(bytes); len += 3) {
		front_init(&p->f, &p->opts);
		front_add_region(&p->f, 0x100000, 1 << 20, 0);
		front_connect(&p->f, p->path);
		put_le32(bytes, VU_SET_MEM_TABLE);
		put_le32(bytes + 4, VU_VERSION);
		put_le32(bytes + 8, VU_MEM_TABLE + VU_REGION);
		put_le32(bytes + VU_HEADER, 1);
		front_region_bytes(&p->f.region[0], bytes + VU_HEADER + VU_MEM_TABLE);
		front_send_raw(&p->f, bytes, len, &p->f.region[0].fd, 1);
		front_close(&p->f);
	}
	play_open(p);
	inquire(p);
}

static void front_ends_die_with_requests_under_way(struct play *p)
{
	static uint8_t data[16][4096];
	struct front_request r[16];

	for (unsigned round = 0; round < 5; round++) {
		play_open(p);
		inquire(p);
		for (unsigned i = 0; i < 16; i++) {
			request_room(&p->f, &r[i], 4096);
			lun_bytes(r[i].lun, 0, i % 2 ? p->slow_lun : p->opts.lun);
			cdb_rw(&r[i], i % 4 < 2, i, 1, data[i], 512);
			request_submit(&r[i], 0);
		}
		front_close(&p->f);
	}
	play_open(p);
	inquire(p);
}

/* Leaves with a RESERVE(6); the test looks whether the LUN is free. */
static void a_front_end_dies_with_a_reservation(struct play *p)
{
	struct front_request r;

	play_open(p);
	inquire(p);
	request_room(&p->f, &r, 0);
	cdb_none(&r, 0x16);
	request_do(&r);
	request_good(&r, "RESERVE(6)");
	play_ask("reserved");
}

/* ---- a server that dies under load ------------------------------------------------------------ */

#define DEPTH 32
#define SPAN 16 /* blocks of a worker's own */

struct worker {
	struct front_request r;
	uint8_t *data;
	uint32_t generation[SPAN], size, blocks;
	uint64_t base, turn;
	bool write;
};
static struct worker worker[DEPTH];
static uint64_t answered;

static void next_of(struct worker *w)
{
	uint64_t lba = w->base;

	w->turn++;
	w->write = w->turn % 3;
	w->blocks = 1 + (uint32_t)(w->turn * 7 % SPAN);
	if (w->write)
		for (uint32_t b = 0; b < w->blocks; b++)
			play_pattern(w->data + b * w->size, lba + b, 1, w->size,
				     w->generation[b] = (uint32_t)w->turn);
	cdb_rw(&w->r, w->write, lba, w->blocks, w->data, w->size);
	w->r.tag = 0;
}

static void judge(struct front_request *r)
{
	struct worker *w = r->owner;

	answered++;
	if (r->status == 2 && sense_key(r) == 6) { /* the new server's unit attention: again */
		w->turn--;
		return;
	}
	request_good(r, "a request under load");
	for (uint32_t b = 0; !w->write && b < w->blocks; b++)
		if (w->generation[b])
			play_compare(w->data + b * w->size, w->base + b, 1, w->size,
				     w->generation[b], "a read under load");
}

static bool any_busy(void)
{
	for (unsigned i = 0; i < DEPTH; i++)
		if (worker[i].r.busy)
			return true;
	return false;
}

/*
 * Keep all at work until @until are answered (0: until the connection ends), and then, if @all, those that are
 * under way. False: it has ended.
 */
static bool load(struct play *p, uint64_t until, bool all)
{
	uint64_t patience = front_now_ms() + (uint64_t)front_patience();
	unsigned queues = p->f.opts.queues;

	for (uint64_t last = answered; !until || answered < until || (all && any_busy());
	     last = answered) {
		for (unsigned i = 0; i < DEPTH && (!until || answered < until); i++)
			if (!worker[i].r.busy) {
				next_of(&worker[i]);
				check(request_add(&worker[i].r, i % queues), "the ring is full");
			}
		for (unsigned q = 0; q < queues; q++) {
			front_kick(front_queue(&p->f, q));
			requests_reap(&p->f, q);
		}
		if (answered != last)
			patience = front_now_ms() + (uint64_t)front_patience();
		else if (front_gone(&p->f))
			return false;
		check(front_now_ms() < patience, "requests are not answered: %llu were",
		      (unsigned long long)answered);
	}
	return true;
}

static void start_load(struct play *p)
{
	uint32_t size;

	p->opts.queues = p->opts.queues ? p->opts.queues : 2;
	play_open(p);
	play_disk(p, &size);
	for (unsigned i = 0; i < DEPTH; i++) {
		request_room(&p->f, &worker[i].r, SPAN * size);
		worker[i].r.owner = &worker[i];
		worker[i].r.done = judge;
		worker[i].r.indirect = p->indirect;
		worker[i].r.layout = i % 2 ? LAYOUT_USUAL : LAYOUT_ONE;
		worker[i].size = size;
		worker[i].data = play_memory(SPAN * size);
		worker[i].base = i * SPAN;
		if (i % 3 ==
		    2) /* these end after others that come later: the ring alone does not tell */
			lun_bytes(worker[i].r.lun, 0, p->slow_lun);
	}
}

static void end_load(struct play *p)
{
	check(load(p, answered + 2000, true), "the connection ended by itself");
	for (unsigned i = 0; i < DEPTH; i++)
		free(worker[i].data);
}

static void every_request_survives_the_server(struct play *p)
{
	start_load(p);
	for (unsigned kills = p->count ? p->count : 3; kills--;) {
		check(load(p, answered + 500 + 37 * kills, false),
		      "the connection ended by itself");
		play_say("kill");
		check(!load(p, 0, false), "the connection does not end");
		front_reopen(&p->f);
	}
	end_load(p);
}

/* The hypervisor hangs up with requests under way, and comes again with its memory as it is. */
static void every_request_survives_the_connection(struct play *p)
{
	start_load(p);
	for (unsigned i = p->count ? p->count : 12; i--;) {
		check(load(p, answered + 100 + 37 * i, false), "the connection ended by itself");
		front_reopen(&p->f);
	}
	end_load(p);
}

/* By who administers: what is under way is answered or not, and then it ends. */
static void the_connection_is_ended_under_requests(struct play *p)
{
	start_load(p);
	check(load(p, 300, false), "the connection ended by itself");
	play_ask("end");
	for (unsigned i = 0; i < DEPTH; i++)
		free(worker[i].data);
	check(front_ended(&p->f), "the connection does not end");
}

const struct scenario restart_scenarios[] = {
	{ "drivers_stop_and_start_again", drivers_stop_and_start_again },
	{ "a_ring_that_stops_ends_what_is_under_way", a_ring_that_stops_ends_what_is_under_way },
	{ "a_disabled_ring_waits", a_disabled_ring_waits },
	{ "a_reset_device_begins_anew", a_reset_device_begins_anew },
	{ "a_second_connection_is_refused", a_second_connection_is_refused },
	{ "front_ends_die_at_any_point", front_ends_die_at_any_point },
	{ "front_ends_die_within_a_message", front_ends_die_within_a_message },
	{ "front_ends_die_with_requests_under_way", front_ends_die_with_requests_under_way },
	{ "a_front_end_dies_with_a_reservation", a_front_end_dies_with_a_reservation },
	{ "every_request_survives_the_server", every_request_survives_the_server },
	{ "every_request_survives_the_connection", every_request_survives_the_connection },
	{ "the_connection_is_ended_under_requests", the_connection_is_ended_under_requests },
	{ NULL },
};
