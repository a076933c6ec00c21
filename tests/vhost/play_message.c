/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages that are wrong. Each is refused, or ends its connection, and nothing else. */
#include "play_hostile.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void requests_nobody_knows(struct play *p)
{
	static const uint32_t numbers[] = { 0, 41, 255, 1000, 0x80000000, 0xffffffff };
	uint8_t payload[8] = { 0 };

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		hostile_begin(p);
		check(refused(&p->f, numbers[i], payload, sizeof(payload), NULL, 0),
		      "request %u was taken", numbers[i]);
		still_serves(p);
	}
}

static void requests_for_other_devices(struct play *p)
{
	static const uint32_t numbers[] = { 19, 20, 22, 23, 26, 27, 28, 29, 30, 33 };
	uint8_t payload[8] = { 0 };

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		hostile_begin(p);
		check(refused(&p->f, numbers[i], payload, sizeof(payload), NULL, 0),
		      "request %u was taken", numbers[i]);
		still_serves(p);
	}
}

static void versions_and_flags_that_are_wrong(struct play *p)
{
	static const uint32_t flags[] = { 0, 2, 3, VU_VERSION | VU_REPLY };

	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		hostile_begin(p);
		front_send(&p->f, VU_GET_FEATURES, flags[i], NULL, 0, NULL, 0);
		check(front_ended(&p->f), "flags %#x were taken", flags[i]);
		still_serves(p);
	}
}

static void sizes_that_are_wrong(struct play *p)
{
	static const struct {
		uint32_t request, right;
	} messages[] = {
		{ VU_SET_FEATURES, 8 },	    { VU_SET_PROTOCOL_FEATURES, 8 },
		{ VU_SET_VRING_NUM, 8 },    { VU_SET_VRING_BASE, 8 },
		{ VU_GET_VRING_BASE, 8 },   { VU_SET_VRING_ENABLE, 8 },
		{ VU_SET_VRING_ADDR, 40 },  { VU_SET_VRING_KICK, 8 },
		{ VU_SET_VRING_CALL, 8 },   { VU_SET_MEM_TABLE, 40 },
		{ VU_ADD_MEM_REG, 40 },	    { VU_SET_INFLIGHT_FD, 20 },
		{ VU_GET_INFLIGHT_FD, 20 },
	};
	static uint8_t payload[VU_PAYLOAD_MAX];

	for (unsigned i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
		const uint32_t wrong[] = { 0, 1, messages[i].right - 1, messages[i].right / 2 };

		for (unsigned j = 0; j < sizeof(wrong) / sizeof(*wrong); j++) {
			hostile_begin(p);
			check(refused(&p->f, messages[i].request, payload, wrong[j], NULL, 0),
			      "request %u with %u bytes was taken", messages[i].request, wrong[j]);
			front_close(&p->f);
		}
	}
	still_serves(p);
}

static void payloads_without_end(struct play *p)
{
	static const uint32_t sizes[] = { 5000, 1u << 20, 0x7fffffff, 0xfffffff4, 0xffffffff };
	uint8_t bytes[VU_HEADER + 64] = { 0 };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		hostile_begin(p);
		put_le32(bytes, VU_SET_FEATURES);
		put_le32(bytes + 4, VU_VERSION);
		put_le32(bytes + 8, sizes[i]);
		front_send_raw(&p->f, bytes, sizeof(bytes), NULL, 0);
		check(front_ended(&p->f), "%u bytes are waited for", sizes[i]);
		still_serves(p);
	}
}

/* Others are served meanwhile: the test does that after "silent". */
static void a_part_of_a_message_then_silence(struct play *p)
{
	uint8_t bytes[VU_HEADER + 8] = { VU_SET_FEATURES };

	put_le32(bytes + 4, VU_VERSION);
	put_le32(bytes + 8, 8);
	hostile_begin(p);
	front_send_raw(&p->f, bytes, 15, NULL, 0);
	play_ask("silent");
	still_serves(p);
}

/* ---- features ------------------------------------------------------------------------------- */

static void features_nobody_offered(struct play *p)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		hostile_begin(p);
		if (!(p->f.offered & BIT64(bit)))
			check(refused_u64(&p->f, VU_SET_FEATURES, p->f.features | BIT64(bit)),
			      "feature %u was taken", bit);
		front_close(&p->f);
		hostile_begin(p);
		if (!(p->f.protocol_offered & BIT64(bit)))
			check(refused_u64(&p->f, VU_SET_PROTOCOL_FEATURES,
					  p->f.protocol | BIT64(bit)),
			      "protocol feature %u was taken", bit);
		front_close(&p->f);
	}
	still_serves(p);
}

/* Dirty logging: not offered, so not to be had. */
static void a_log_is_refused_cleanly(struct play *p)
{
	uint8_t payload[16] = { 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);

	check(fd >= 0 && !ftruncate(fd, 4096), "memfd");
	put_le64(payload, 4096);
	hostile_begin(p);
	check(!(p->f.offered & BIT64(VIRTIO_F_LOG_ALL)), "VHOST_F_LOG_ALL is offered");
	check(!(p->f.protocol_offered & BIT64(VU_P_LOG_SHMFD)), "LOG_SHMFD is offered");
	check(refused(&p->f, VU_SET_LOG_BASE, payload, sizeof(payload), &fd, 1), "a log was taken");
	front_close(&p->f);
	hostile_begin(p);
	check(refused(&p->f, VU_SET_LOG_FD, NULL, 0, &fd, 1), "a log's descriptor was taken");
	close(fd);
	still_serves(p);
}

/* ---- descriptors ------------------------------------------------------------------------------ */

static void descriptors_nobody_asked_for(struct play *p)
{
	int fds[16];

	for (unsigned i = 0; i < 16; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	for (unsigned n = 1; n <= 16; n *= 2) {
		uint8_t payload[8] = { 0 };

		hostile_begin(p);
		refused(&p->f, VU_SET_VRING_NUM, payload, sizeof(payload), fds, n);
		front_close(&p->f);
		hostile_begin(p);
		refused(&p->f, VU_SET_VRING_CALL, payload, sizeof(payload), fds, n);
		refused(&p->f, VU_GET_FEATURES, NULL, 0, fds, n);
		front_close(&p->f);
	}
	for (unsigned i = 0; i < 16; i++)
		close(fds[i]);
	still_serves(p);
}

static void a_kick_by_something_else_than_an_eventfd(struct play *p)
{
	int fds[2], wrong[] = { open("/dev/null", O_RDWR | O_CLOEXEC),
				open("/dev/zero", O_RDWR | O_CLOEXEC),
				memfd_create("kick", MFD_CLOEXEC), -1, -1 };
	uint8_t payload[8] = { RING_REQUEST };

	check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
	wrong[3] = fds[0];
	wrong[4] = fds[1];
	for (unsigned i = 0; i < 5; i++) {
		play_open(p);
		play_disk(p, &(uint32_t){ 0 });
		refused(&p->f, VU_SET_VRING_CALL, payload, sizeof(payload), &wrong[i], 1);
		if (!front_gone(&p->f))
			refused(&p->f, VU_SET_VRING_KICK, payload, sizeof(payload), &wrong[i], 1);
		still_serves(p);
	}
	/* none, and no word that there is none */
	play_open(p);
	check(refused(&p->f, VU_SET_VRING_KICK, payload, sizeof(payload), NULL, 0), "taken");
	still_serves(p);
	for (unsigned i = 0; i < 5; i++)
		close(wrong[i]);
}

/* ---- memory --------------------------------------------------------------------------------- */

struct table {
	const char *what;
	uint32_t count; /* as said */
	unsigned regions, fds; /* as sent */
	uint64_t guest, size, user, offset; /* of the first one */
	uint64_t second; /* guest address of the second one */
};

#define BASE 0x100000ull
#define MIB2 0x200000ull

static const struct table tables[] = {
	{ "no region", 0, 0, 0, 0, 0, 0, 0, 0 },
	{ "fewer regions than said", 2, 1, 1, BASE, MIB2, 0, 0, 0 },
	{ "many more regions than said", 0xffffffff, 1, 1, BASE, MIB2, 0, 0, 0 },
	{ "nine regions", 9, 8, 8, BASE, MIB2, 0, 0, 0x10000000 },
	{ "no descriptor", 1, 1, 0, BASE, MIB2, 0, 0, 0 },
	{ "fewer descriptors than regions", 2, 2, 1, BASE, MIB2, 0, 0, 0x10000000 },
	{ "more descriptors than regions", 1, 1, 2, BASE, MIB2, 0, 0, 0 },
	{ "a size of nothing", 1, 1, 1, BASE, 0, 0, 0, 0 },
	{ "more than the file has", 1, 1, 1, BASE, 1ull << 30, 0, 0, 0 },
	{ "more than an address space has", 1, 1, 1, BASE, 1ull << 62, 0, 0, 0 },
	{ "all of it", 1, 1, 1, 0, ~0ull, 0, 0, 0 },
	{ "a region beyond the last guest address", 1, 1, 1, ~0ull - 4095, MIB2, 0, 0, 0 },
	{ "a region beyond the last user address", 1, 1, 1, BASE, MIB2, ~0ull - 4095, 0, 0 },
	{ "an offset beyond the file", 1, 1, 1, BASE, MIB2, 0, 1ull << 40, 0 },
	{ "an offset that wraps", 1, 1, 1, BASE, MIB2, 0, ~0ull - 4095, 0 },
	{ "two that overlap", 2, 2, 2, BASE, MIB2, 0, 0, BASE + 4096 },
	{ "two at one place", 2, 2, 2, BASE, MIB2, 0, 0, BASE },
};

static bool table_refused(struct play *p, const struct table *t, int fd)
{
	uint8_t payload[VU_MEM_TABLE + 9 * VU_REGION] = { 0 };
	int fds[9];

	for (unsigned i = 0; i < 9; i++)
		fds[i] = fd;
	put_le32(payload, t->count);
	for (unsigned i = 0; i < t->regions; i++) {
		struct front_region r = { .guest = t->guest, .size = t->size, .offset = t->offset };

		if (i)
			r.guest = t->second + (i - 1) * (MIB2 * 2);
		r.user = t->user ? t->user : 0x700000000000ull + i * (1ull << 34);
		front_region_bytes(&r, payload + VU_MEM_TABLE + i * VU_REGION);
	}
	return refused(&p->f, VU_SET_MEM_TABLE, payload, VU_MEM_TABLE + t->regions * VU_REGION, fds,
		       t->fds);
}

static void tables_of_memory_that_are_wrong(struct play *p)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	check(fd >= 0 && !ftruncate(fd, MIB2), "memfd");
	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		bool took;

		hostile_begin(p);
		took = !table_refused(p, &tables[i], fd);
		/* an empty table is one, and what is not touched may be more than the file has */
		check(!took || !tables[i].count || tables[i].size == 1ull << 30, "%s: taken",
		      tables[i].what);
		front_close(&p->f);
	}
	close(fd);
	still_serves(p);
}

static void memory_that_is_no_memory(struct play *p)
{
	const struct table t = { "", 1, 1, 1, BASE, MIB2, 0, 0, 0 };
	int fds[2], wrong[] = { eventfd(0, EFD_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC),
				open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), -1 };

	check(!pipe2(fds, O_CLOEXEC), "pipe");
	wrong[3] = fds[0];
	for (unsigned i = 0; i < 4; i++) {
		hostile_begin(p);
		check(table_refused(p, &t, wrong[i]), "descriptor %u was taken for memory", i);
		still_serves(p);
		close(wrong[i]);
	}
	close(fds[1]);
}

static bool add_refused(struct front *f, uint64_t guest, uint64_t size, int fd)
{
	uint8_t payload[VU_MEM_REG + VU_REGION] = { 0 };
	struct front_region r = { .guest = guest, .size = size, .user = guest + (1ull << 40) };

	front_region_bytes(&r, payload + VU_MEM_REG);
	return refused(f, VU_ADD_MEM_REG, payload, sizeof(payload), &fd, fd >= 0);
}

static bool remove_refused(struct front *f, uint64_t guest, uint64_t size)
{
	uint8_t payload[VU_MEM_REG + VU_REGION] = { 0 };
	struct front_region r = { .guest = guest, .size = size, .user = guest + (1ull << 40) };

	front_region_bytes(&r, payload + VU_MEM_REG);
	return refused(f, VU_REM_MEM_REG, payload, sizeof(payload), NULL, 0);
}

static void regions_that_are_wrong(struct play *p)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	unsigned n = 0;

	check(fd >= 0 && !ftruncate(fd, MIB2), "memfd");
	hostile_begin(p);
	check(remove_refused(&p->f, BASE, MIB2), "a region that is not there was removed");
	front_close(&p->f);
	hostile_begin(p);
	check(!add_refused(&p->f, BASE, MIB2, fd), "a region was refused");
	check(add_refused(&p->f, BASE + 4096, MIB2, fd), "one that overlaps was taken");
	front_close(&p->f);
	hostile_begin(p);
	check(add_refused(&p->f, BASE, MIB2, -1), "one without a descriptor was taken");
	front_close(&p->f);
	hostile_begin(p);
	while (n < 600 && !add_refused(&p->f, BASE + n * MIB2, MIB2, fd))
		n++;
	check(n == p->f.slots_offered, "%u slots are offered, %u taken", p->f.slots_offered, n);
	close(fd);
	still_serves(p);
}

/* ---- rings ---------------------------------------------------------------------------------- */

/* Refused when told, or when the ring is to start. */
static void sizes_of_rings_that_are_wrong(struct play *p)
{
	static const uint32_t sizes[] = { 0, 3, 100, 65536, 1u << 20, 0x80000000, 0xffffffff };
	bool packed = p->opts.features & BIT64(VIRTIO_F_RING_PACKED);

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct front_ring *r;
		uint8_t kick[8] = { RING_REQUEST };

		if (packed && (sizes[i] == 3 || sizes[i] == 100)) /* any size is right for those */
			continue;
		play_open(p);
		r = front_queue(&p->f, 0);
		front_stop_ring(&p->f, r);
		check(refused_ring(&p->f, VU_SET_VRING_NUM, RING_REQUEST, sizes[i]) ||
			      refused(&p->f, VU_SET_VRING_KICK, kick, sizeof(kick), &r->kick, 1) ||
			      outcome_of(&p->f, r) != OUT_USED,
		      "a ring of %u was taken", sizes[i]);
		front_close(&p->f);
	}
	still_serves(p);
}

static void rings_that_are_not_there(struct play *p)
{
	static const uint32_t requests[] = { VU_SET_VRING_NUM, VU_SET_VRING_BASE,
					     VU_SET_VRING_ENABLE, VU_GET_VRING_BASE };
	static const uint32_t numbers[] = { 67, 255, 256, 65536, 0x7fffffff, 0xffffffff };
	uint8_t payload[VU_VRING_ADDR] = { 0 };

	for (unsigned n = 0; n < sizeof(numbers) / sizeof(*numbers); n++) {
		for (unsigned i = 0; i < 4; i++) {
			hostile_begin(p);
			check(refused_ring(&p->f, requests[i], numbers[n], 1),
			      "request %u for ring %u was taken", requests[i], numbers[n]);
			front_close(&p->f);
		}
		hostile_begin(p);
		put_le32(payload, numbers[n]);
		check(refused(&p->f, VU_SET_VRING_ADDR, payload, sizeof(payload), NULL, 0),
		      "the addresses of ring %u were taken", numbers[n]);
		front_close(&p->f);
	}
	still_serves(p);
}

static bool addresses_refused(struct front *f, uint64_t desc, uint64_t used, uint64_t avail)
{
	uint8_t payload[VU_VRING_ADDR] = { RING_REQUEST };
	int kick = f->ring[RING_REQUEST].kick;
	uint8_t ring[8] = { RING_REQUEST };
	bool no;

	put_le64(payload + 8, desc);
	put_le64(payload + 16, used);
	put_le64(payload + 24, avail);
	if (refused(f, VU_SET_VRING_ADDR, payload, sizeof(payload), NULL, 0))
		return true;
	/* a server may look when the ring starts */
	no = refused(f, VU_SET_VRING_KICK, ring, sizeof(ring), &kick, 1) ||
	     refused_ring(f, VU_SET_VRING_ENABLE, RING_REQUEST, 1);
	return no || outcome_of(f, &f->ring[RING_REQUEST]) != OUT_USED;
}

static void addresses_of_rings_that_are_wrong(struct play *p)
{
	static const struct {
		int64_t desc, used, avail; /* from the region's start; negative: from its end */
	} wrong[] = {
		{ -16, 0x10000, 0x20000 },    { 0, -8, 0x20000 },
		{ 0, 0x10000, -2 },	      { 8, 0x10000, 0x20000 },
		{ 0, 0x10002, 0x20000 },      { 0, 0x10000, 0x20001 },
		{ 1, 0x10001, 0x20001 },      { 1ll << 40, 0x10000, 0x20000 },
		{ 0, 1ll << 40, 0x20000 },    { 0, 0x10000, 1ll << 40 },
		{ -(1ll << 40), 0x10000, 0 },
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct front_region *r;
		uint64_t a[3] = { (uint64_t)wrong[i].desc, (uint64_t)wrong[i].used,
				  (uint64_t)wrong[i].avail };

		if (wrong[i].used == -8 && p->opts.features & BIT64(VIRTIO_F_RING_PACKED))
			continue; /* there is room for what that ring has there */
		play_open(p);
		r = &p->f.region[0];
		front_stop_ring(&p->f, &p->f.ring[RING_REQUEST]);
		for (unsigned j = 0; j < 3; j++)
			a[j] += r->user + ((int64_t)a[j] < 0 ? r->size : 0);
		check(addresses_refused(&p->f, a[0], a[1], a[2]), "addresses %u were taken", i);
		still_serves(p);
	}
}

static void messages_in_another_order(struct play *p)
{
	struct front_ring *ring;
	int kick;

	/* a ring before everything */
	front_init(&p->f, &p->opts);
	front_connect(&p->f, p->path);
	kick = eventfd(0, EFD_CLOEXEC);
	front_send(&p->f, VU_SET_VRING_KICK, VU_VERSION, (uint8_t[8]){ 2 }, 8, &kick, 1);
	front_send(&p->f, VU_SET_VRING_ENABLE, VU_VERSION, (uint8_t[8]){ 2, [4] = 1 }, 8, NULL, 0);
	front_send(&p->f, VU_GET_VRING_BASE, VU_VERSION, (uint8_t[8]){ 2 }, 8, NULL, 0);
	close(kick);
	still_serves(p);
	/* features and memory while rings run */
	play_open(p);
	refused_u64(&p->f, VU_SET_FEATURES, p->f.features ^ BIT64(VIRTIO_F_RING_PACKED));
	still_serves(p);
	/* a ring's size, base and addresses while it runs */
	play_open(p);
	ring = front_queue(&p->f, 0);
	if (!refused_ring(&p->f, VU_SET_VRING_NUM, ring->index, 8))
		front_kick_always(ring);
	still_serves(p);
	play_open(p);
	if (!refused_ring(&p->f, VU_SET_VRING_BASE, RING_REQUEST, 0x7777))
		front_kick_always(front_queue(&p->f, 0));
	still_serves(p);
}

/* ---- in flight ------------------------------------------------------------------------------ */

static void memory_for_what_is_in_flight_that_is_wrong(struct play *p)
{
	static const struct {
		const char *what;
		uint64_t size, offset, file;
		uint16_t queues, entries;
	} wrong[] = {
		{ "nothing", 0, 0, 4096, 3, 128 },
		{ "a small file", 1 << 20, 0, 16, 3, 128 },
		{ "too small for its rings", 64, 0, 4096, 3, 128 },
		{ "an offset beyond it", 1 << 20, 1ull << 40, 1 << 20, 3, 128 },
		{ "an offset that wraps", 1 << 20, ~0ull - 4095, 1 << 20, 3, 128 },
		{ "a size that wraps", ~0ull, 4096, 1 << 20, 3, 128 },
		{ "too many rings", 1 << 20, 0, 1 << 20, 0xffff, 128 },
		{ "rings that are too long", 1 << 20, 0, 1 << 20, 3, 0xffff },
	};
	uint8_t payload[VU_INFLIGHT];

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		int fd = memfd_create("inflight", MFD_CLOEXEC);

		check(fd >= 0 && !ftruncate(fd, (off_t)wrong[i].file), "memfd");
		hostile_begin(p);
		front_share_memory(&p->f);
		front_make_rings(&p->f);
		put_le64(payload, wrong[i].size);
		put_le64(payload + 8, wrong[i].offset);
		put_le16(payload + 16, wrong[i].queues);
		put_le16(payload + 18, wrong[i].entries);
		check(refused(&p->f, VU_SET_INFLIGHT_FD, payload, sizeof(payload), &fd, 1) ||
			      !wrong[i].size,
		      "%s: taken", wrong[i].what);
		close(fd);
		still_serves(p);
	}
	hostile_begin(p);
	put_le64(payload, 1 << 20);
	put_le64(payload + 8, 0);
	check(refused(&p->f, VU_SET_INFLIGHT_FD, payload, sizeof(payload), NULL, 0),
	      "no descriptor");
	front_close(&p->f);
	hostile_begin(p);
	put_le16(payload + 16, 0xffff);
	put_le16(payload + 18, 0xffff);
	refused(&p->f, VU_GET_INFLIGHT_FD, payload, sizeof(payload), NULL, 0);
	still_serves(p);
}

/* Change what is noted: everything, or what is no ring's header, or a flag of each entry; @how. */
static void forge_notes(struct front *f, unsigned how)
{
	uint8_t *notes = mmap(NULL, f->inflight.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      f->inflight.fd, (off_t)f->inflight.offset);
	uint32_t x = 12345u + how;

	check(notes != MAP_FAILED, "mmap");
	for (uint64_t at = 0; at < f->inflight.size; at++) {
		x = x * 1664525u + 1013904223u;
		if (how < 4 || (how < 8 ? at % 2064 >= 16 : at % 16 == 0))
			notes[at] = how & 1 ? 0xff : (uint8_t)(x >> 24);
	}
	munmap(notes, f->inflight.size);
}

static bool notes_refused(struct front *f)
{
	uint8_t payload[VU_INFLIGHT];

	put_le64(payload, f->inflight.size);
	put_le64(payload + 8, f->inflight.offset);
	put_le16(payload + 16, (uint16_t)f->nrings);
	put_le16(payload + 18, (uint16_t)f->opts.ring_size);
	return refused(f, VU_SET_INFLIGHT_FD, payload, sizeof(payload), &f->inflight.fd, 1);
}

/* Start a ring; wherever that is refused is a right place. */
static void start_or_not(struct front *f, struct front_ring *r)
{
	uint8_t addr[VU_VRING_ADDR] = { (uint8_t)r->index }, kick[8] = { (uint8_t)r->index };
	struct front_region *m = &f->region[0];

	put_le64(addr + 8, r->desc_addr - m->guest + m->user);
	put_le64(addr + 16, r->used_addr - m->guest + m->user);
	put_le64(addr + 24, r->avail_addr - m->guest + m->user);
	if (refused_ring(f, VU_SET_VRING_NUM, r->index, r->num) ||
	    refused_ring(f, VU_SET_VRING_BASE, r->index, front_base(r)) ||
	    refused(f, VU_SET_VRING_ADDR, addr, sizeof(addr), NULL, 0) ||
	    refused(f, VU_SET_VRING_KICK, kick, sizeof(kick), &r->kick, 1) ||
	    refused_ring(f, VU_SET_VRING_ENABLE, r->index, 1))
		return;
	front_kick_always(r);
	front_barrier_or_end(f);
}

/* What the dead server noted there is anybody's to change. */
static void notes_of_what_is_in_flight_that_are_forged(struct play *p)
{
	for (unsigned how = 0; how < 16; how++) {
		play_open(p);
		play_disk(p, &(uint32_t){ 0 });
		check(p->f.inflight.size, "no memory for what is in flight is offered");
		forge_notes(&p->f, how);
		front_hang_up(&p->f);
		front_connect(&p->f, p->f.path);
		front_negotiate(&p->f);
		front_share_memory(&p->f);
		if (!notes_refused(&p->f))
			start_or_not(&p->f, front_queue(&p->f, 0));
		still_serves(p);
	}
}

const struct scenario message_scenarios[] = {
	{ "requests_nobody_knows", requests_nobody_knows },
	{ "requests_for_other_devices", requests_for_other_devices },
	{ "versions_and_flags_that_are_wrong", versions_and_flags_that_are_wrong },
	{ "sizes_that_are_wrong", sizes_that_are_wrong },
	{ "payloads_without_end", payloads_without_end },
	{ "a_part_of_a_message_then_silence", a_part_of_a_message_then_silence },
	{ "features_nobody_offered", features_nobody_offered },
	{ "a_log_is_refused_cleanly", a_log_is_refused_cleanly },
	{ "descriptors_nobody_asked_for", descriptors_nobody_asked_for },
	{ "a_kick_by_something_else_than_an_eventfd", a_kick_by_something_else_than_an_eventfd },
	{ "tables_of_memory_that_are_wrong", tables_of_memory_that_are_wrong },
	{ "memory_that_is_no_memory", memory_that_is_no_memory },
	{ "regions_that_are_wrong", regions_that_are_wrong },
	{ "sizes_of_rings_that_are_wrong", sizes_of_rings_that_are_wrong },
	{ "rings_that_are_not_there", rings_that_are_not_there },
	{ "addresses_of_rings_that_are_wrong", addresses_of_rings_that_are_wrong },
	{ "messages_in_another_order", messages_in_another_order },
	{ "memory_for_what_is_in_flight_that_is_wrong", memory_for_what_is_in_flight_that_is_wrong },
	{ "notes_of_what_is_in_flight_that_are_forged", notes_of_what_is_in_flight_that_are_forged },
	{ NULL },
};
