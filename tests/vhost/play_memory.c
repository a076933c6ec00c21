/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory in several regions, that comes, goes and shrinks. */
#include "play_hostile.h"

#include <stdlib.h>
#include <unistd.h>

#define MIB 0x100000ull

/* Regions at addresses of different kinds: two that adjoin, one far away; files with offsets. */
static void open_with_regions(struct play *p)
{
	struct front *f = &p->f;

	front_init(f, &p->opts);
	front_add_region(f, MIB, 2 * MIB, 0);
	front_add_region(f, 3 * MIB, 8 * MIB, 4096); /* adjoins the first one */
	front_add_region(f, 0x4000000000ull, 4 * MIB, 2 * MIB);
	front_connect(f, p->path);
	front_negotiate(f);
	front_share_memory(f);
	front_make_rings(f);
	front_share_inflight(f);
	for (unsigned i = 0; i < f->nrings; i++)
		front_start_ring(f, &f->ring[i], front_base(&f->ring[i]));
}

/* A request whose memory is in region @region. */
static void request_in(struct play *p, struct front_request *r, unsigned region)
{
	request_room(&p->f, r, 0);
	r->area_len = 128 << 10;
	r->area = front_alloc_in(&p->f, region, r->area_len, 4096);
}

static void round_trip(struct front_request *r, uint64_t lba)
{
	static uint8_t data[32 * 512];

	play_pattern(data, lba, 32, 512, (uint32_t)lba);
	cdb_rw(r, true, lba, 32, data, 512);
	request_do_patiently(r);
	request_good(r, "WRITE");
	memset(data, 0, sizeof(data));
	cdb_rw(r, false, lba, 32, data, 512);
	request_do(r);
	request_good(r, "READ");
	play_compare(data, lba, 32, 512, (uint32_t)lba, "READ");
}

static void memory_lies_in_several_regions(struct play *p)
{
	struct front_request r;

	open_with_regions(p);
	for (unsigned i = 0; i < 3; i++) {
		request_in(p, &r, i);
		for (unsigned layout = LAYOUT_USUAL; layout <= LAYOUT_PAGES; layout++) {
			r.layout = layout;
			r.indirect = layout == LAYOUT_ODD || p->indirect;
			round_trip(&r, i * 100 + layout * 32);
		}
	}
}

/* To the guest this is one piece of memory. */
static void a_buffer_lies_across_two_regions(struct play *p)
{
	struct front_request r;

	open_with_regions(p);
	request_in(p, &r, 1);
	for (uint64_t before = 20; before < 16000; before += 1777) {
		r.area = 3 * MIB - before;
		r.area_len = 64 << 10;
		r.layout = before % 2 ? LAYOUT_USUAL : LAYOUT_ONE;
		round_trip(&r, before % 1000);
	}
}

static void tell_region(struct play *p, uint32_t request, struct front_region *m)
{
	uint8_t payload[VU_MEM_REG + VU_REGION] = { 0 };

	front_region_bytes(m, payload + VU_MEM_REG);
	check(!front_tell(&p->f, request, payload, sizeof(payload), &m->fd,
			  request == VU_ADD_MEM_REG),
	      "a region was refused");
}

static void regions_come_and_go(struct play *p)
{
	struct front_request r;
	unsigned n;

	open_with_regions(p);
	n = front_add_region(&p->f, 0x5000000000ull, MIB, 0);
	request_in(p, &r, n);
	for (unsigned i = 0; i < 10; i++) {
		tell_region(p, VU_ADD_MEM_REG, &p->f.region[n]);
		round_trip(&r, i * 32);
		tell_region(p, VU_REM_MEM_REG, &p->f.region[n]);
	}
	/* what points there now is not memory */
	request_add(&r, 0);
	front_kick(front_queue(&p->f, 0));
	check(outcome_of(&p->f, front_queue(&p->f, 0)) != OUT_NOTHING, "nothing happens");
	requests_reap(&p->f, 0);
	check(r.busy || r.response != VS_OK || r.status, "memory that was taken away is used");
	still_serves(p);
}

/* The whole table anew, while requests are under way. */
static void a_new_table_under_requests(struct play *p)
{
	struct front_request r[8];
	uint8_t data[8][512];

	p->opts.protocol &= ~BIT64(VU_P_CONFIGURE_MEM_SLOTS);
	open_with_regions(p);
	play_disk(p, &(uint32_t){ 0 });
	for (unsigned i = 0; i < 8; i++) {
		request_in(p, &r[i], 1);
		lun_bytes(r[i].lun, 0, p->slow_lun);
	}
	request_do_patiently((cdb_none(&r[0], 0x00), &r[0]));
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 8; i++) {
			play_pattern(data[i], i, 1, 512, i);
			cdb_rw(&r[i], !(round & 1), i, 1, data[i], 512);
			r[i].tag = 0;
			request_submit(&r[i], 0);
		}
		front_share_memory(&p->f);
		for (unsigned i = 0; i < 8; i++) {
			request_finish(&r[i]);
			request_good(&r[i], "under a new table");
			play_compare(data[i], i, 1, 512, i, "under a new table");
		}
	}
}

/* Slow reads into a region that goes while they are under way. */
static void regions_go_under_requests(struct play *p)
{
	struct front_request r[8];
	uint8_t data[8][512];
	unsigned n;

	for (unsigned round = 0; round < 4; round++) {
		open_with_regions(p);
		play_disk(p, &(uint32_t){ 0 });
		n = front_add_region(&p->f, 0x5000000000ull, 4 * MIB, 0);
		tell_region(p, VU_ADD_MEM_REG, &p->f.region[n]);
		for (unsigned i = 0; i < 8; i++) {
			request_in(p, &r[i], n);
			lun_bytes(r[i].lun, 0, p->slow_lun);
			if (!i)
				request_do_patiently((cdb_none(&r[0], 0x00), &r[0]));
			cdb_rw(&r[i], round & 1, i, 1, data[i], 512);
			r[i].tag = 0;
			request_submit(&r[i], 0);
		}
		tell_region(p, VU_REM_MEM_REG, &p->f.region[n]);
		if (round & 2)
			front_barrier_or_end(&p->f);
		front_close(&p->f);
	}
	still_serves(p);
}

/* A server that reads or writes such memory gets SIGBUS from it. */
static void truncate_region(struct front_region *m)
{
	check(!ftruncate(m->fd, 0), "ftruncate");
}

static void files_of_memory_shrink(struct play *p)
{
	struct front_request r[8];
	static uint8_t data[8][16384];

	for (unsigned round = 0; round < 8; round++) {
		unsigned target = round & 4 ? p->slow_lun : p->opts.lun;

		open_with_regions(p);
		play_disk(p, &(uint32_t){ 0 });
		for (unsigned i = 0; i < 8; i++) {
			request_in(p, &r[i], 2);
			lun_bytes(r[i].lun, 0, target);
			if (!i)
				request_do_patiently((cdb_none(&r[0], 0x00), &r[0]));
			cdb_rw(&r[i], round & 1, i, 32, data[i], 512);
			r[i].tag = 0;
			check(request_add(&r[i], 0), "the ring is full");
		}
		if (round & 2)
			truncate_region(&p->f.region[2]);
		front_kick_always(front_queue(&p->f, 0));
		if (!(round & 2))
			truncate_region(&p->f.region[2]);
		check(outcome_of(&p->f, front_queue(&p->f, 0)) != OUT_NOTHING, "nothing happens");
		if (round & 2) /* it had to look there */
			check(front_ended(&p->f), "a device goes on whose memory is not there");
		else
			front_barrier_or_end(&p->f);
		still_serves(p);
	}
}

/* The rings themselves go. Our own mapping must not be touched afterwards either. */
static void files_of_rings_shrink(struct play *p)
{
	for (unsigned round = 0; round < 4; round++) {
		uint64_t one = 1;

		play_open(p);
		play_disk(p, &(uint32_t){ 0 });
		truncate_region(&p->f.region[0]);
		for (unsigned i = 0; i < p->f.nrings; i++)
			check(write(p->f.ring[i].kick, &one, sizeof(one)) == sizeof(one), "kick");
		front_barrier_or_end(&p->f);
		if (round & 1)
			front_barrier_or_end(&p->f);
		still_serves(p);
	}
}

/* A file that was never as long as the region that it is said to be. */
static void a_file_is_shorter_than_its_region(struct play *p)
{
	struct front_region *m;

	for (unsigned round = 0; round < 2; round++) {
		hostile_begin(p);
		front_share_memory(&p->f);
		m = &p->f.region[front_add_region(&p->f, 0x5000000000ull, 4 * MIB, 0)];
		check(!ftruncate(m->fd, round ? 4096 : 4 * (off_t)MIB - 4096), "ftruncate");
		{
			uint8_t payload[VU_MEM_REG + VU_REGION] = { 0 };

			front_region_bytes(m, payload + VU_MEM_REG);
			refused(&p->f, VU_ADD_MEM_REG, payload, sizeof(payload), &m->fd, 1);
		}
		still_serves(p);
	}
}

const struct scenario memory_scenarios[] = {
	{ "memory_lies_in_several_regions", memory_lies_in_several_regions },
	{ "a_buffer_lies_across_two_regions", a_buffer_lies_across_two_regions },
	{ "regions_come_and_go", regions_come_and_go },
	{ "a_new_table_under_requests", a_new_table_under_requests },
	{ "regions_go_under_requests", regions_go_under_requests },
	{ "files_of_memory_shrink", files_of_memory_shrink },
	{ "files_of_rings_shrink", files_of_rings_shrink },
	{ "a_file_is_shorter_than_its_region", a_file_is_shorter_than_its_region },
	{ NULL },
};
