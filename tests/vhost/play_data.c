/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests whose data and answers are looked at. */
#include "play.h"

#include <stdlib.h>

static void the_devices_describe_themselves(struct play *p)
{
	static const uint8_t inquiry[] = { 0x12, 0, 0, 0, 96 }, capacity[] = { 0x25, [9] = 0 };
	struct front_request r;
	uint32_t block_size;
	uint8_t data[96];
	uint64_t blocks;

	play_open(p);
	blocks = play_disk(p, &block_size);
	request_room(&p->f, &r, 4096);
	r.indirect = p->indirect;
	cdb_in(&r, inquiry, sizeof(inquiry), data, sizeof(data));
	request_do(&r);
	request_good(&r, "INQUIRY");
	check(data[0] == 0 && data[4] >= 31, "INQUIRY: type %02x, %u more bytes", data[0], data[4]);
	check(r.residual == sizeof(data) - (data[4] + 5u < 96 ? data[4] + 5u : 96),
	      "INQUIRY: %u bytes of data, residual %u", data[4] + 5, r.residual);
	cdb_in(&r, capacity, sizeof(capacity), data, 8);
	request_do(&r);
	request_good(&r, "READ CAPACITY(10)");
	check(be32toh(le32_at(data)) == blocks - 1, "READ CAPACITY(10) and (16) do not agree");
}

/* LUNs of target 0, asked of LUN 0 and of the well known LU, with those that @p says. */
static void luns_are_reported(struct play *p)
{
	static const uint8_t cdb[] = { 0xa0, 0, 0, 0, 0, 0, 0, 0, 4, 0 };
	static const uint8_t well_known[8] = { 0xc1, 0x01 };
	uint8_t data[1024], wanted[8] = { 0, (uint8_t)p->opts.lun };
	struct front_request r;
	bool found = false;

	play_open(p);
	request_room(&p->f, &r, sizeof(data));
	for (unsigned i = 0; i < 2; i++) {
		lun_bytes(r.lun, 0, 0);
		if (i)
			memcpy(r.lun, well_known, 8);
		cdb_in(&r, cdb, sizeof(cdb), data, sizeof(data));
		request_do_patiently(&r);
		request_good(&r, "REPORT LUNS");
		for (uint32_t at = 8; at < 8 + be32toh(le32_at(data)) && at < sizeof(data); at += 8)
			found |= !memcmp(data + at, wanted, 8);
		check(found, "LUN %u is not reported", p->opts.lun);
	}
}

/* One write and its read in every layout. */
static void round_trip(struct front_request *r, uint64_t lba, uint32_t blocks, uint32_t size,
		       uint8_t *data, uint32_t generation)
{
	play_pattern(data, lba, blocks, size, generation);
	cdb_rw(r, true, lba, blocks, data, size);
	request_do_patiently(r);
	request_good(r, "WRITE");
	check(r->residual == 0, "WRITE: residual %u", r->residual);
	memset(data, 0x11, (size_t)blocks * size);
	cdb_rw(r, false, lba, blocks, data, size);
	request_do(r);
	request_good(r, "READ");
	check(r->residual == 0, "READ: residual %u", r->residual);
	check(r->used_len == RESP_SIZE + blocks * size, "READ: %u bytes used, of %u", r->used_len,
	      RESP_SIZE + blocks * size);
	play_compare(data, lba, blocks, size, generation, "READ");
}

static void what_is_written_is_read(struct play *p)
{
	static const uint32_t sizes[] = { 1, 2, 7, 8, 16, 63, 128, 255, 512, 1024, 2048 };
	struct front_request r;
	uint32_t size, generation = 1;
	uint64_t blocks, lba = 0;
	uint8_t *data;

	play_open(p);
	blocks = play_disk(p, &size);
	data = play_memory(2048 * (size_t)size);
	request_room(&p->f, &r, 2048 * (size_t)size);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (unsigned layout = LAYOUT_USUAL; layout <= LAYOUT_ODD; layout++) {
			r.layout = layout;
			r.seed = generation;
			/* what the ring cannot hold goes by a table */
			r.indirect = p->indirect || layout == LAYOUT_ODD;
			round_trip(&r, lba, sizes[i], size, data, generation++);
			lba = (lba + sizes[i] + 3) % (blocks - 2048);
		}
	free(data);
}

static void data_is_scattered_over_odd_boundaries(struct play *p)
{
	struct front_request r;
	uint32_t size, n;
	uint8_t *data;

	play_open(p);
	play_disk(p, &size);
	data = play_memory(64 * (size_t)size);
	request_room(&p->f, &r, 64 * (size_t)size + (1 << 20));
	for (unsigned i = 0; i < 150; i++) {
		r.layout = i % 3 == 2 ? LAYOUT_PAGES : LAYOUT_ODD;
		r.indirect = p->indirect || front_queue(&p->f, 0)->num < 128 || i % 2;
		r.seed = i * 7919 + 1;
		n = 1 + (i * 5) % 40;
		round_trip(&r, i * 3, n, size, data, i);
	}
	free(data);
}

static void headers_lie_in_single_bytes(struct play *p)
{
	struct front_request r;
	uint8_t data[4096];
	uint32_t size;

	play_open(p);
	play_disk(p, &size);
	request_room(&p->f, &r, sizeof(data));
	r.layout = LAYOUT_BYTES;
	r.indirect = true;
	for (unsigned i = 0; i < 10; i++)
		round_trip(&r, i, 4096 / size, size, data, i);
}

/* Many requests at a time, each checked; more than 65536, so that every index goes round. */
struct worker {
	struct front_request r;
	uint8_t *data;
	uint64_t lba;
	uint32_t generation, size;
	bool write;
};

static void next_of(struct worker *w)
{
	w->write = !w->write;
	if (w->write)
		play_pattern(w->data, w->lba, 1, w->size, ++w->generation);
	cdb_rw(&w->r, w->write, w->lba, 1, w->data, w->size);
	w->r.tag = 0;
}

static void judge(struct front_request *r)
{
	struct worker *w = r->owner;

	request_good(r, "a request of many");
	if (!w->write)
		play_compare(w->data, w->lba, 1, w->size, w->generation, "a read of many");
}

static void work(struct play *p, struct worker *w, unsigned depth, unsigned total)
{
	unsigned queues = p->f.opts.queues, sent = 0, busy = 0;

	while (busy || sent < total) {
		unsigned added = 0;

		for (unsigned i = 0; i < depth && sent < total; i++)
			if (!w[i].r.busy) {
				next_of(&w[i]);
				if (!request_add(&w[i].r, i % queues))
					front_die("ring %u is full", i % queues);
				sent++;
				added++;
			}
		busy += added;
		for (unsigned q = 0; q < queues; q++)
			front_kick(front_queue(&p->f, q));
		for (unsigned q = 0; q < queues; q++)
			busy -= requests_reap(&p->f, q);
		for (unsigned q = 0; q < queues && busy && !added; q++) {
			bool waits = false;

			for (unsigned i = q; i < depth; i += queues)
				waits |= w[i].r.busy;
			if (waits)
				busy -= requests_wait(&p->f, q);
		}
	}
}

static void start_workers(struct play *p, struct worker *w, unsigned depth, uint32_t size)
{
	for (unsigned i = 0; i < depth; i++) {
		request_room(&p->f, &w[i].r, size);
		w[i].r.done = judge;
		w[i].r.owner = &w[i];
		w[i].r.indirect = p->indirect;
		w[i].lba = i * 3;
		w[i].size = size;
		w[i].data = play_memory(size);
	}
}

static void many(struct play *p, unsigned depth, unsigned total)
{
	struct worker *w = calloc(depth, sizeof(*w));
	uint32_t size;

	play_open(p);
	play_disk(p, &size);
	start_workers(p, w, depth, size);
	work(p, w, depth, total);
	for (unsigned i = 0; i < depth; i++)
		free(w[i].data);
	free(w);
}

static void rings_go_round_many_times(struct play *p)
{
	unsigned size = p->opts.ring_size ? p->opts.ring_size : 16;

	p->opts.ring_size = size;
	many(p, p->indirect ? size : size / 4 ? size / 4 : 1, p->count ? p->count : 70000);
}

static void several_queues_work_at_once(struct play *p)
{
	p->opts.queues = p->opts.queues ? p->opts.queues : 4;
	many(p, p->opts.queues * 8, p->count ? p->count : 20000);
	check(p->f.queues_offered >= RING_REQUEST + p->opts.queues, "%u queues are offered",
	      p->f.queues_offered);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void residuals_count_what_is_missing(struct play *p)
{
	static const uint8_t inquiry[] = { 0x12, 0, 0, 0, 36 };
	struct front_request r;
	uint8_t data[8192];
	uint32_t size;

	play_open(p);
	play_disk(p, &size);
	request_room(&p->f, &r, sizeof(data));
	r.indirect = p->indirect;
	memset(data, 0, sizeof(data));
	cdb_in(&r, inquiry, sizeof(inquiry), data, 100);
	request_do(&r);
	request_good(&r, "INQUIRY");
	check(r.residual == 64, "36 of 100 bytes: residual %u", r.residual);
	check(data[36] == REQUEST_GUARD && data[99] == REQUEST_GUARD, "more was written");
	cdb_rw(&r, false, 0, 1, data, size);
	r.in_len = 2u * size;
	request_do(&r);
	request_good(&r, "READ of a block into two");
	check(r.residual == size, "a block of two: residual %u", r.residual);
	cdb_none(&r, 0x00);
	r.in = data;
	r.in_len = 512;
	request_do(&r);
	request_good(&r, "TEST UNIT READY");
	check(r.residual == 512, "no data of 512 bytes: residual %u", r.residual);
}

/* More than there is room for: what fits, and OVERRUN or, as SAM has it, a residual. */
static void too_little_room_is_no_harm(struct play *p)
{
	struct front_request r;
	uint8_t data[8192];
	uint32_t size;

	play_open(p);
	play_disk(p, &size);
	request_room(&p->f, &r, sizeof(data));
	r.indirect = p->indirect;
	for (unsigned write = 0; write < 2; write++) {
		memset(data, 0, sizeof(data));
		cdb_rw(&r, write, 0, 2, data, size);
		r.in_len = r.in_len ? size + 100 : 0;
		r.out_len = r.out_len ? size + 100 : 0;
		request_do(&r);
		check(r.response == VS_OVERRUN || r.response == VS_OK, "two blocks into 612: %u",
		      r.response);
	}
	cdb_rw(&r, false, 0, 1, data, size);
	request_do(&r);
	request_good(&r, "READ after it");
}

static void sense_data_comes_with_the_answer(struct play *p)
{
	struct front_request r;
	uint8_t data[512 * 8];
	uint32_t size;
	uint64_t blocks;

	play_open(p);
	blocks = play_disk(p, &size);
	request_room(&p->f, &r, sizeof(data));
	r.indirect = p->indirect;
	cdb_none(&r, 0xff);
	request_do(&r);
	check(r.response == VS_OK && r.status == 2, "opcode ff: response %u, status %02x",
	      r.response, r.status);
	check(sense_key(&r) == 5 && sense_code(&r) == 0x2000, "opcode ff: sense %x/%04x",
	      sense_key(&r), sense_code(&r));
	cdb_rw(&r, false, blocks, 1, data, size);
	request_do(&r);
	check(r.status == 2 && sense_key(&r) == 5 && sense_code(&r) == 0x2100,
	      "a block beyond the end: sense %x/%04x", sense_key(&r), sense_code(&r));
	check(r.residual == size, "a block beyond the end: residual %u", r.residual);
}

static void another_target_is_a_bad_target(struct play *p)
{
	static const uint8_t inquiry[] = { 0x12, 0, 0, 0, 36 };
	struct front_request r;
	uint8_t data[36];

	play_open(p);
	request_room(&p->f, &r, sizeof(data));
	for (unsigned target = 1; target < 256; target += 127) {
		lun_bytes(r.lun, target, 0);
		cdb_in(&r, inquiry, sizeof(inquiry), data, sizeof(data));
		request_do(&r);
		check(r.response == VS_BAD_TARGET, "target %u: response %u", target, r.response);
	}
	memset(r.lun, 0xff, 8);
	request_do(&r);
	check(r.response == VS_BAD_TARGET, "LUN ff...: response %u", r.response);
}

static void a_lun_that_is_not_there_is_not_supported(struct play *p)
{
	struct front_request r;
	uint8_t data[512];

	play_open(p);
	request_room(&p->f, &r, sizeof(data));
	lun_bytes(r.lun, 0, 999);
	cdb_none(&r, 0x00);
	request_do(&r);
	check(r.response == VS_OK && r.status == 2 && sense_key(&r) == 5 && sense_code(&r) == 0x2500,
	      "LUN 999: response %u, status %02x, sense %x/%04x", r.response, r.status,
	      sense_key(&r), sense_code(&r));
}

static void faster_commands_overtake(struct play *p)
{
	struct front_request slow, fast[8];
	uint8_t data[512];

	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	request_room(&p->f, &slow, sizeof(data));
	lun_bytes(slow.lun, 0, p->slow_lun);
	request_do_patiently((cdb_none(&slow, 0x00), &slow));
	cdb_rw(&slow, false, 0, 1, data, 512);
	slow.tag = 0;
	request_submit(&slow, 0);
	for (unsigned i = 0; i < 8; i++) {
		request_room(&p->f, &fast[i], 0);
		cdb_none(&fast[i], 0x00);
		request_submit(&fast[i], 0);
	}
	for (unsigned i = 0; i < 8; i++)
		request_finish(&fast[i]);
	check(slow.busy, "a READ of the slow disk was answered before those that need no disk");
	request_finish(&slow);
	request_good(&slow, "the slow READ");
}

static void the_attributes_are_taken(struct play *p)
{
	struct front_request r;

	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	request_room(&p->f, &r, 0);
	for (uint8_t attr = 0; attr < 3; attr++) { /* SIMPLE, ORDERED, HEAD OF QUEUE */
		cdb_none(&r, 0x00);
		r.attr = attr;
		request_do(&r);
		request_good(&r, "TEST UNIT READY with an attribute");
	}
}

/* ---- configuration -------------------------------------------------------------------------- */

/* Read or write @len bytes at @at; false: it was refused. */
static bool config(struct front *f, bool set, uint32_t at, uint8_t *bytes, uint32_t len)
{
	uint32_t request = set ? VU_SET_CONFIG : VU_GET_CONFIG;
	uint8_t payload[VU_CONFIG + CONFIG_SIZE] = { 0 };

	put_le32(payload, at);
	put_le32(payload + 4, len);
	if (set) {
		memcpy(payload + VU_CONFIG, bytes, len);
		return !front_tell(f, request, payload, VU_CONFIG + len, NULL, 0);
	}
	check(front_send(f, request, VU_VERSION, payload, VU_CONFIG + len, NULL, 0),
	      "it has ended");
	if (front_reply(f, request, payload, sizeof(payload), NULL) != (int)(VU_CONFIG + len))
		return false;
	memcpy(bytes, payload + VU_CONFIG, len);
	return true;
}

static void the_configuration_is_read_and_written(struct play *p)
{
	uint8_t c[CONFIG_SIZE], short_sense[4] = { 20 };
	struct front_request r;

	p->opts.protocol |= BIT64(VU_P_CONFIG);
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	check(config(&p->f, false, 0, c, sizeof(c)), "no configuration");
	check(le32_at(c + CONFIG_QUEUES) == p->f.queues_offered - RING_REQUEST, "%u request queues",
	      le32_at(c + CONFIG_QUEUES));
	check(le32_at(c + CONFIG_EVENT_SIZE) >= EVENT_BUFFER, "events of %u bytes",
	      le32_at(c + CONFIG_EVENT_SIZE));
	check(le32_at(c + CONFIG_SENSE_SIZE) == SENSE_ROOM &&
		      le32_at(c + CONFIG_CDB_SIZE) == CDB_ROOM,
	      "sense data of %u, CDBs of %u bytes", le32_at(c + CONFIG_SENSE_SIZE),
	      le32_at(c + CONFIG_CDB_SIZE));
	check(!config(&p->f, true, CONFIG_QUEUES, short_sense, 4), "what is read only was written");
	check(config(&p->f, true, CONFIG_SENSE_SIZE, short_sense, 4), "sense_size is not taken");
	request_room(&p->f, &r, 0);
	r.resp_len = RESP_SENSE + 20;
	cdb_none(&r, 0xff);
	request_do(&r);
	check(r.status == 2 && r.sense_len <= 20 && sense_code(&r) == 0x2000,
	      "%u bytes of sense data", r.sense_len);
}

const struct scenario data_scenarios[] = {
	{ "the_devices_describe_themselves", the_devices_describe_themselves },
	{ "luns_are_reported", luns_are_reported },
	{ "what_is_written_is_read", what_is_written_is_read },
	{ "data_is_scattered_over_odd_boundaries", data_is_scattered_over_odd_boundaries },
	{ "headers_lie_in_single_bytes", headers_lie_in_single_bytes },
	{ "rings_go_round_many_times", rings_go_round_many_times },
	{ "several_queues_work_at_once", several_queues_work_at_once },
	{ "residuals_count_what_is_missing", residuals_count_what_is_missing },
	{ "too_little_room_is_no_harm", too_little_room_is_no_harm },
	{ "sense_data_comes_with_the_answer", sense_data_comes_with_the_answer },
	{ "another_target_is_a_bad_target", another_target_is_a_bad_target },
	{ "a_lun_that_is_not_there_is_not_supported", a_lun_that_is_not_there_is_not_supported },
	{ "faster_commands_overtake", faster_commands_overtake },
	{ "the_attributes_are_taken", the_attributes_are_taken },
	{ "the_configuration_is_read_and_written", the_configuration_is_read_and_written },
	{ NULL },
};
