/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings that are wrong: descriptors, indices, tables, streams. The server ends the ring (and says so by its
 * error descriptor), or the connection, or answers that it cannot; it touches no memory that is not the guest's, and
 * goes on for others.
 */
#include "play_hostile.h"

#include <pthread.h>

#define OUTSIDE 0x7000000000ull
#define WRITTEN REQUEST_GUARD

struct forge {
	struct play *p;
	struct front_ring *r;
	struct front_request request; /* a good READ, laid out but not added */
	uint64_t head, resp, data, table; /* its pieces; a place for an indirect table */
	uint64_t end; /* first guest address after all memory */
};

struct crime {
	const char *what;
	void (*commit)(struct forge *f);
	bool split_only, packed_only;
	bool may_be_good; /* nothing forbids a server to understand it */
};

/* ---- means ---------------------------------------------------------------------------------- */

static bool packed(const struct forge *f)
{
	return front_has(&f->p->f, VIRTIO_F_RING_PACKED);
}

/* Descriptor @i of a chain; the last one has no DESC_NEXT in @flags. */
static void desc(struct forge *f, unsigned i, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (packed(f))
		front_forge(f->r, (f->r->next_avail + i) % f->r->num, addr, len,
			    (uint16_t)(flags | (f->r->avail_wrap ? DESC_AVAIL : DESC_USED)), 0);
	else
		front_forge(f->r, i, addr, len, flags, (uint16_t)(i + 1));
}

static void entry(struct forge *f, unsigned i, uint64_t addr, uint32_t len, uint16_t flags)
{
	front_forge_at(&f->p->f, f->table, i, addr, len, flags, (uint16_t)(packed(f) ? 0 : i + 1));
}

static void let_go(struct forge *f)
{
	if (!packed(f))
		front_push_head(f->r, 0);
	front_kick_always(f->r);
}

/* A chain of header, response and data, of which one descriptor is as said. */
static void chain_with(struct forge *f, unsigned which, uint64_t addr, uint32_t len, uint16_t flags)
{
	const uint64_t at[3] = { f->head, f->resp, f->data };
	static const uint32_t lens[3] = { REQ_SIZE, RESP_SIZE, 512 };
	static const uint16_t right[3] = { DESC_NEXT, DESC_NEXT | DESC_WRITE, DESC_WRITE };

	for (unsigned i = 3; i--;) /* the first one last: it makes a packed chain available */
		desc(f, i, i == which ? addr : at[i], i == which ? len : lens[i],
		     i == which ? flags : right[i]);
	let_go(f);
}

/* ---- descriptors ------------------------------------------------------------------------------ */

static void itself_next(struct forge *f)
{
	front_forge(f->r, 0, f->head, REQ_SIZE, DESC_NEXT, 0);
	let_go(f);
}

static void loop_of_two(struct forge *f)
{
	front_forge(f->r, 0, f->head, REQ_SIZE, DESC_NEXT, 1);
	front_forge(f->r, 1, f->resp, RESP_SIZE, DESC_NEXT | DESC_WRITE, 0);
	let_go(f);
}

static void no_end_in_the_ring(struct forge *f)
{
	for (unsigned i = f->r->num; i--;)
		desc(f, i, i ? f->resp : f->head, i ? RESP_SIZE : REQ_SIZE,
		     i ? DESC_NEXT | DESC_WRITE : DESC_NEXT);
	let_go(f);
}

static void head_beyond(struct forge *f)
{
	front_push_head(f->r, (uint16_t)f->r->num);
	front_kick_always(f->r);
}

static void head_far_beyond(struct forge *f)
{
	front_push_head(f->r, 0xffff);
	front_kick_always(f->r);
}

static void next_beyond(struct forge *f)
{
	front_forge(f->r, 0, f->head, REQ_SIZE, DESC_NEXT, (uint16_t)f->r->num);
	let_go(f);
}

static void index_jumps(struct forge *f)
{
	desc(f, 0, f->head, REQ_SIZE, DESC_NEXT);
	desc(f, 1, f->resp, RESP_SIZE, DESC_WRITE);
	f->r->next_avail = (uint16_t)(f->r->next_avail + f->r->num + 1);
	front_kick_always(f->r);
}

static void index_goes_back(struct forge *f)
{
	f->r->next_avail--;
	front_kick_always(f->r);
}

static void header_outside(struct forge *f)
{
	chain_with(f, 0, OUTSIDE, REQ_SIZE, DESC_NEXT);
}

static void response_outside(struct forge *f)
{
	chain_with(f, 1, OUTSIDE, RESP_SIZE, DESC_NEXT | DESC_WRITE);
}

static void data_outside(struct forge *f)
{
	chain_with(f, 2, OUTSIDE, 512, DESC_WRITE);
}

static void data_at_zero(struct forge *f)
{
	chain_with(f, 2, 0, 512, DESC_WRITE);
}

static void data_over_the_end(struct forge *f)
{
	chain_with(f, 2, f->end - 100, 512, DESC_WRITE);
}

static void header_over_the_end(struct forge *f)
{
	chain_with(f, 0, f->end - 10, REQ_SIZE, DESC_NEXT);
}

static void data_that_wraps(struct forge *f)
{
	chain_with(f, 2, ~0ull - 100, 512, DESC_WRITE);
}

static void length_without_end(struct forge *f)
{
	chain_with(f, 2, f->data, 0xffffffff, DESC_WRITE);
}

static void length_of_nothing(struct forge *f)
{
	chain_with(f, 2, f->data, 0, DESC_WRITE);
}

static void nothing_outside(struct forge *f)
{
	chain_with(f, 2, OUTSIDE, 0, DESC_WRITE);
}

/* 2 GiB - 1 three times: the sum does not fit 32 bits. */
static void lengths_that_add_up(struct forge *f)
{
	for (unsigned i = 5; i--;)
		desc(f, i, i ? f->data : f->head, i ? 0x7fffffff : REQ_SIZE,
		     i == 4 ? DESC_WRITE
		     : i    ? DESC_WRITE | DESC_NEXT
			    : DESC_NEXT);
	let_go(f);
}

static void written_before_read(struct forge *f)
{
	desc(f, 1, f->head, REQ_SIZE, 0);
	desc(f, 0, f->resp, RESP_SIZE, DESC_WRITE | DESC_NEXT);
	let_go(f);
}

static void read_after_written(struct forge *f)
{
	desc(f, 2, f->data, 512, 0);
	desc(f, 1, f->resp, RESP_SIZE, DESC_WRITE | DESC_NEXT);
	desc(f, 0, f->head, REQ_SIZE, DESC_NEXT);
	let_go(f);
}

static void only_to_read(struct forge *f)
{
	desc(f, 0, f->head, REQ_SIZE, 0);
	let_go(f);
}

static void only_to_write(struct forge *f)
{
	desc(f, 0, f->resp, RESP_SIZE, DESC_WRITE);
	let_go(f);
}

static void short_header(struct forge *f)
{
	chain_with(f, 0, f->head, REQ_SIZE - 1, DESC_NEXT);
}

static void header_of_a_byte(struct forge *f)
{
	chain_with(f, 0, f->head, 1, DESC_NEXT);
}

static void short_response(struct forge *f)
{
	desc(f, 1, f->resp, RESP_SIZE - 1, DESC_WRITE);
	desc(f, 0, f->head, REQ_SIZE, DESC_NEXT);
	let_go(f);
}

static void response_of_a_byte(struct forge *f)
{
	desc(f, 1, f->resp, 1, DESC_WRITE);
	desc(f, 0, f->head, REQ_SIZE, DESC_NEXT);
	let_go(f);
}

static void reserved_flags(struct forge *f)
{
	desc(f, 1, f->resp, RESP_SIZE, DESC_WRITE | 0x3f78);
	desc(f, 0, f->head, REQ_SIZE, DESC_NEXT | 0x3f78);
	let_go(f);
}

/* ---- tables ------------------------------------------------------------------------------------ */

static void table_with(struct forge *f, uint64_t addr, uint32_t len, uint16_t flags)
{
	entry(f, 0, f->head, REQ_SIZE, DESC_NEXT);
	entry(f, 1, f->resp, RESP_SIZE, DESC_WRITE | DESC_NEXT);
	entry(f, 2, f->data, 512, DESC_WRITE);
	desc(f, 0, addr, len, flags);
	let_go(f);
}

static void table_of_nothing(struct forge *f)
{
	table_with(f, f->table, 0, DESC_INDIRECT);
}

static void table_of_a_piece(struct forge *f)
{
	table_with(f, f->table, 47, DESC_INDIRECT);
}

static void table_without_end(struct forge *f)
{
	table_with(f, f->table, 0xfffffff0, DESC_INDIRECT);
}

static void table_outside(struct forge *f)
{
	table_with(f, OUTSIDE, 48, DESC_INDIRECT);
}

static void table_over_the_end(struct forge *f)
{
	table_with(f, f->end - 32, 48, DESC_INDIRECT);
}

static void table_that_goes_on(struct forge *f)
{
	desc(f, 1, f->data, 512, DESC_WRITE);
	table_with(f, f->table, 48, DESC_INDIRECT | DESC_NEXT);
}

static void table_to_write(struct forge *f)
{
	table_with(f, f->table, 48, DESC_INDIRECT | DESC_WRITE);
}

static void table_at_an_odd_place(struct forge *f)
{
	uint8_t bytes[48];

	entry(f, 0, f->head, REQ_SIZE, DESC_NEXT);
	entry(f, 1, f->resp, RESP_SIZE, DESC_WRITE | DESC_NEXT);
	entry(f, 2, f->data, 512, DESC_WRITE);
	front_get(&f->p->f, f->table, bytes, sizeof(bytes));
	front_put(&f->p->f, f->table + 101, bytes, sizeof(bytes));
	desc(f, 0, f->table + 101, 48, DESC_INDIRECT);
	let_go(f);
}

static void table_in_a_table(struct forge *f)
{
	entry(f, 3, f->head, REQ_SIZE, DESC_NEXT);
	entry(f, 4, f->resp, RESP_SIZE, DESC_WRITE);
	entry(f, 0, f->table + 48, 32, DESC_INDIRECT);
	desc(f, 0, f->table, 16, DESC_INDIRECT);
	let_go(f);
}

/* What is right but for the flag. */
static void tables_flag_in_a_table(struct forge *f)
{
	entry(f, 0, f->head, REQ_SIZE, DESC_INDIRECT | DESC_NEXT);
	entry(f, 1, f->resp, RESP_SIZE, DESC_WRITE);
	desc(f, 0, f->table, 32, DESC_INDIRECT);
	let_go(f);
}

static void table_that_names_itself(struct forge *f)
{
	entry(f, 0, f->table, 16, DESC_INDIRECT);
	desc(f, 0, f->table, 16, DESC_INDIRECT);
	let_go(f);
}

static void loop_in_a_table(struct forge *f)
{
	front_forge_at(&f->p->f, f->table, 0, f->head, REQ_SIZE, DESC_NEXT, 1);
	front_forge_at(&f->p->f, f->table, 1, f->resp, RESP_SIZE, DESC_WRITE | DESC_NEXT, 1);
	desc(f, 0, f->table, 32, DESC_INDIRECT);
	let_go(f);
}

static void next_beyond_a_table(struct forge *f)
{
	front_forge_at(&f->p->f, f->table, 0, f->head, REQ_SIZE, DESC_NEXT, 2);
	front_forge_at(&f->p->f, f->table, 2, f->resp, RESP_SIZE, DESC_WRITE, 0);
	desc(f, 0, f->table, 32, DESC_INDIRECT);
	let_go(f);
}

/* A long one: 65536 entries of a byte each. */
static void table_of_many(struct forge *f)
{
	struct front *front = &f->p->f;
	uint64_t table = front_alloc(front, 65536 * DESC_SIZE, 16);

	for (unsigned i = 0; i < 65536; i++)
		front_forge_at(front, table, i,
			       i < REQ_SIZE ? f->head + i : f->resp + i % RESP_SIZE, 1,
			       (uint16_t)((i < REQ_SIZE ? 0 : DESC_WRITE) |
					  (packed(f) || i == 65535 ? 0 : DESC_NEXT)),
			       (uint16_t)(packed(f) ? 0 : i + 1));
	desc(f, 0, table, 65536 * DESC_SIZE, DESC_INDIRECT);
	let_go(f);
}

/* ---- packed ------------------------------------------------------------------------------------ */

static void id_beyond(struct forge *f)
{
	uint16_t at = f->r->next_avail;

	desc(f, 1, f->resp, RESP_SIZE, DESC_WRITE);
	front_forge(f->r, (at + 1u) % f->r->num, f->resp, RESP_SIZE, DESC_WRITE | DESC_AVAIL,
		    0xffff);
	front_forge(f->r, at, f->head, REQ_SIZE, DESC_NEXT | DESC_AVAIL, 0xffff);
	let_go(f);
}

static void all_of_the_ring_at_once(struct forge *f)
{
	for (unsigned i = f->r->num; i--;)
		desc(f, i, f->head, REQ_SIZE, 0);
	let_go(f);
}

#define C(name, ...) \
	{ \
		.what = #name, .commit = name, __VA_ARGS__ \
	}
static const struct crime crimes[] = {
	C(itself_next, .split_only = true),
	C(loop_of_two, .split_only = true),
	C(no_end_in_the_ring),
	C(head_beyond, .split_only = true),
	C(head_far_beyond, .split_only = true),
	C(next_beyond, .split_only = true),
	C(index_jumps, .split_only = true),
	C(index_goes_back, .split_only = true),
	C(header_outside),
	C(response_outside),
	C(data_outside),
	C(data_at_zero),
	C(data_over_the_end),
	C(header_over_the_end),
	C(data_that_wraps),
	C(length_without_end),
	C(length_of_nothing, .may_be_good = true),
	C(nothing_outside, .may_be_good = true),
	C(lengths_that_add_up),
	C(written_before_read),
	C(read_after_written),
	C(only_to_read),
	C(only_to_write),
	C(short_header),
	C(header_of_a_byte),
	C(short_response, .may_be_good = true), /* where no sense data is cut */
	C(response_of_a_byte),
	C(reserved_flags, .may_be_good = true),
	C(table_of_nothing),
	C(table_of_a_piece),
	C(table_without_end),
	C(table_outside),
	C(table_over_the_end),
	C(table_that_goes_on, .may_be_good = true), /* packed: forbidden, and so is split */
	C(table_to_write, .may_be_good = true), /* the flag is to be ignored */
	C(table_at_an_odd_place, .may_be_good = true),
	C(table_in_a_table),
	C(tables_flag_in_a_table),
	C(table_that_names_itself),
	C(loop_in_a_table, .split_only = true),
	C(next_beyond_a_table, .split_only = true),
	C(table_of_many, .may_be_good = true),
	C(id_beyond, .packed_only = true, .may_be_good = true),
	C(all_of_the_ring_at_once, .packed_only = true),
};

/* ---- judging ----------------------------------------------------------------------------------- */

static void prepare(struct play *p, struct forge *f, unsigned ring, bool reads)
{
	struct front_region *m = &p->f.region[0];
	struct front_request *q = &f->request;
	uint8_t header[REQ_SIZE] = { 0 };

	*f = (struct forge){ .p = p, .r = &p->f.ring[ring], .end = m->guest + m->size };
	request_room(&p->f, q, 4096);
	f->head = q->area;
	f->resp = q->area + 1024;
	f->data = q->area + 2048;
	f->table = q->table;
	memset(front_at(&p->f, q->area, 4096), WRITTEN, 4096);
	memcpy(header, q->lun, 8);
	put_le64(header + REQ_ID, 4711);
	header[REQ_CDB] = reads ? 0x28 : 0x00; /* READ(10) of a block; TEST UNIT READY */
	header[REQ_CDB + 8] = reads;
	front_put(&p->f, f->head, header, sizeof(header));
}

/* Used must mean that the answer says no, if there is an answer at all. */
static bool answered_good(struct forge *f)
{
	const uint8_t *resp = front_at(&f->p->f, f->resp, RESP_SIZE);

	return resp[RESP_RESPONSE] == VS_OK && resp[RESP_STATUS] == 0;
}

/* Without data, too: then what lies wrong is the only thing that is. */
static void commit(struct play *p, const struct crime *c, bool reads)
{
	enum outcome out;
	struct forge f;

	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	prepare(p, &f, RING_REQUEST, reads);
	c->commit(&f);
	out = outcome_of(&p->f, f.r);
	check(out != OUT_NOTHING, "%s: nothing happens", c->what);
	check(out != OUT_USED || c->may_be_good || !answered_good(&f),
	      "%s: answered as if it were right", c->what);
	still_serves(p);
}

static void crimes_in_the_request_ring(struct play *p)
{
	bool is_packed = p->opts.features & BIT64(VIRTIO_F_RING_PACKED);

	for (unsigned i = 0; i < sizeof(crimes) / sizeof(*crimes); i++)
		if (is_packed ? !crimes[i].split_only : !crimes[i].packed_only) {
			commit(p, &crimes[i], true);
			commit(p, &crimes[i], false);
		}
}

/* The same descriptors in the other rings, where all are too short, too long or of the wrong direction. */
static void crimes_in_the_other_rings(struct play *p)
{
	bool is_packed = p->opts.features & BIT64(VIRTIO_F_RING_PACKED);
	struct forge f;

	for (unsigned ring = RING_CONTROL; ring <= RING_EVENT; ring++)
		for (unsigned i = 0; i < sizeof(crimes) / sizeof(*crimes); i++) {
			if (is_packed ? crimes[i].split_only : crimes[i].packed_only)
				continue;
			play_open(p);
			prepare(p, &f, ring, true);
			crimes[i].commit(&f);
			front_barrier_or_end(&p->f);
			if (i % 8 == 7)
				still_serves(p);
			else
				front_close(&p->f);
		}
	still_serves(p);
}

/* Another ring of the same connection, or another connection, does not suffer. */
static void a_broken_ring_breaks_no_other(struct play *p)
{
	struct front_request r;
	struct forge f;

	p->opts.queues = 2;
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	prepare(p, &f, RING_REQUEST, false);
	header_outside(&f);
	if (outcome_of(&p->f, f.r) == OUT_RING_ERROR) {
		request_room(&p->f, &r, 0);
		for (unsigned i = 0; i < 20; i++) {
			cdb_none(&r, 0x00);
			r.tag = 0;
			request_submit(&r, 1);
			request_finish(&r);
		}
		request_good(&r, "the other ring");
	}
	still_serves(p);
}

static void a_table_that_was_not_agreed(struct play *p)
{
	struct forge f;

	p->opts.features &= ~BIT64(VIRTIO_F_INDIRECT_DESC);
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	prepare(p, &f, RING_REQUEST, false);
	table_with(&f, f.table, 48, DESC_INDIRECT);
	check(outcome_of(&p->f, f.r) != OUT_USED || !answered_good(&f), "it was taken");
	still_serves(p);
}

/* ---- what changes while it is looked at --------------------------------------------------------- */

struct scribbler {
	struct forge *f;
	bool over;
};

/* Two versions of everything, in turn, as fast as it goes. */
static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	struct front_ring *r = s->f->r;
	uint8_t *head = front_at(r->front, s->f->head, REQ_SIZE);
	uint32_t x = 1;

	while (!__atomic_load_n(&s->over, __ATOMIC_RELAXED)) {
		x = x * 1664525u + 1013904223u;
		((volatile uint8_t *)head)[REQ_CDB] = x & 0x1000 ? 0x28 : 0x2a;
		((volatile uint8_t *)head)[REQ_CDB + 8] = (uint8_t)(x >> 24);
		((volatile uint8_t *)head)[REQ_LUN + 3] = x & 0x2000 ? 1 : 9;
		((volatile uint8_t *)r->desc)[(x >> 16) % (4 * DESC_SIZE)] ^=
			(uint8_t)(1u << (x >> 13 & 7));
	}
	return NULL;
}

static void once(struct play *p)
{
	struct scribbler s = { 0 };
	struct forge f;
	pthread_t t;

	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	prepare(p, &f, RING_REQUEST, false);
	s.f = &f;
	check(!pthread_create(&t, NULL, scribble, &s), "no thread");
	for (unsigned i = 0; i < 300 && !front_gone(&p->f); i++) {
		chain_with(&f, 9, 0, 0, 0);
		if (packed(&f))
			f.r->next_avail = (uint16_t)((f.r->next_avail + 3) % f.r->num);
	}
	front_barrier_or_end(&p->f);
	__atomic_store_n(&s.over, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	front_close(&p->f);
}

static void bytes_change_under_the_server(struct play *p)
{
	for (unsigned i = 0; i < (p->count ? p->count : 30); i++)
		once(p);
	still_serves(p);
}

/* Nonsense everywhere: all of the ring's memory at random, with kicks. */
static void rings_of_noise(struct play *p)
{
	uint32_t x = 99;

	for (unsigned i = 0; i < (p->count ? p->count : 60); i++) {
		struct front_region *m;
		struct front_ring *r;

		play_open(p);
		m = &p->f.region[0];
		for (unsigned n = 0; n < p->f.nrings; n++) {
			r = &p->f.ring[n];
			for (unsigned d = 0; d < r->num; d++) {
				x = x * 1664525u + 1013904223u;
				front_forge(r, d, m->guest + x % m->size, x >> 20,
					    (uint16_t)(x >> 7),
					    (uint16_t)(x >> 9) % (uint16_t)r->num);
			}
			r->next_avail = (uint16_t)(x % r->num);
			front_kick_always(r);
		}
		front_barrier_or_end(&p->f);
		front_close(&p->f);
	}
	still_serves(p);
}

const struct scenario ring_scenarios[] = {
	{ "crimes_in_the_request_ring", crimes_in_the_request_ring },
	{ "crimes_in_the_other_rings", crimes_in_the_other_rings },
	{ "a_broken_ring_breaks_no_other", a_broken_ring_breaks_no_other },
	{ "a_table_that_was_not_agreed", a_table_that_was_not_agreed },
	{ "bytes_change_under_the_server", bytes_change_under_the_server },
	{ "rings_of_noise", rings_of_noise },
	{ NULL },
};
