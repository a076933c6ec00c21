/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that has started its driver: what it writes into rings and memory, and what it does with its device, to a
 * whole daemon. The first byte is chance, the second one how the driver starts (bit 0: packed; 1: no
 * features; 2: in-flight memory); then pieces: a length byte n and n bytes of script. A script's first byte says what
 * (bits 0-3) and which ring (bits 4-5):
 *
 *	memory: two bytes of address, then what is written there
 *	a descriptor: number, kind of address, address, length, flags, next or id (1, 1, 2, 2, 2, 1 bytes)
 *	what is available: split: the index moves by a byte, its places are bytes; packed: flags are set
 *	a request: how it lies, LUN, length of data, CDB; made available
 *	a function: its number, LUN, tag
 *	a buffer for events
 *	a kick; the daemon runs; time passes
 *	the ring stops and starts; is disabled; the device is reset; a region goes; the file is cut
 *	another connection with the same memory; LUNs come and go
 */
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor.h"

#define CONNECTIONS_MAX 4
#define LUNS_MAX 2 /* comings and goings */

enum {
	MEMORY,
	DESC,
	AVAIL,
	REQUEST,
	FUNCTION,
	EVENT,
	KICK,
	STEPS,
	WAIT,
	STOP,
	DISABLE,
	RESET,
	REGION,
	CUT,
	AGAIN,
	LUNS
};

static struct hypervisor hv;
static bool packed, logged;
static unsigned connections, luns; /* of this input */

/* ---- the ring --------------------------------------------------------------------------------- */

static uint64_t address(unsigned kind, unsigned x)
{
	switch (kind & 7) {
	case 0:
	case 1:
	case 2:
		return HV_GUEST + HV_DATA + (x & 0x7fff);
	case 3:
		return HV_GUEST + (x & 0x3fff); /* the rings, too */
	case 4:
		return HV_GUEST + HV_SECOND - (x & 0x3ff);
	case 5:
		return HV_GUEST + HV_MEMORY - (x & 0x3ff);
	case 6:
		return HV_GUEST + HV_MEMORY + x;
	default:
		return ~0ull - x;
	}
}

static void set_desc(uint32_t table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t last)
{
	uint8_t d[DESC_SIZE];

	put_le64(d, addr);
	put_le32(d + 8, len);
	put_le16(d + (packed ? 14 : 12), flags);
	put_le16(d + (packed ? 12 : 14), last);
	hv_put(&hv, table + i * DESC_SIZE, d, sizeof(d));
}

/* A chain of @n segments from descriptor @first on, whose end is available. */
static void make_available(unsigned ring, unsigned first)
{
	uint8_t bytes[2];

	if (packed)
		return;
	put_le16(bytes, (uint16_t)first);
	hv_put(&hv, HV_RING_AT(ring) + 0x100 + 4 + 2 * (hv.next[ring] % HV_SIZE), bytes, 2);
	put_le16(bytes, ++hv.next[ring]);
	hv_put(&hv, HV_RING_AT(ring) + 0x102, bytes, 2);
}

struct segment {
	uint64_t addr;
	uint32_t len;
	bool write;
};

static void chain(unsigned ring, const struct segment *s, unsigned n)
{
	unsigned first = hv.next[ring] * (packed ? 1 : 3);

	for (unsigned i = 0; i < n; i++) {
		unsigned at = (first + i) % HV_SIZE;
		uint16_t flags =
			(uint16_t)((s[i].write ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0));

		if (packed) {
			flags |= hv.wrap[ring] ? DESC_AVAIL : DESC_USED;
			if (++hv.next[ring] == HV_SIZE) {
				hv.next[ring] = 0;
				hv.wrap[ring] = !hv.wrap[ring];
			}
		}
		set_desc(HV_RING_AT(ring), at, s[i].addr, s[i].len, flags,
			 (uint16_t)(packed ? first : (at + 1) % HV_SIZE));
	}
	make_available(ring, first % HV_SIZE);
}

static void descriptor(unsigned ring, struct input *s)
{
	unsigned i = input_byte(s), kind = input_byte(s), x = (unsigned)input_number(s, 2);
	uint32_t len = (uint32_t)input_number(s, 2);
	uint16_t flags = (uint16_t)input_number(s, 2);

	if (kind & 0x80)
		len <<= 16;
	/* the ring's, or a table's in the data */
	set_desc(kind & 0x40 ? HV_DATA : HV_RING_AT(ring), i % (HV_SIZE * 2), address(kind, x), len,
		 flags, input_byte(s));
}

static void available(unsigned ring, struct input *s)
{
	unsigned by = input_byte(s);

	if (packed) {
		hv.next[ring] = (uint16_t)((hv.next[ring] + by) % HV_SIZE);
		hv.wrap[ring] ^= by >> 7;
		return;
	}
	for (unsigned i = 0; i < by % 12; i++)
		make_available(ring, input_byte(s));
	if (by & 0x80) /* it jumps */
		hv.next[ring] = (uint16_t)(hv.next[ring] + by);
}

/* ---- what drivers ask -------------------------------------------------------------------------- */

static void set_lun(uint8_t *lun, unsigned how)
{
	memset(lun, 0, 8);
	lun[0] = how & 0x80 ? (uint8_t)how : 1;
	lun[2] = 0x40;
	lun[3] = how & 3;
}

static void request(unsigned ring, struct input *s)
{
	uint8_t how = input_byte(s), header[REQ_SIZE] = { 0 };
	uint32_t len = (uint32_t)input_number(s, 2);
	uint32_t head_at = HV_DATA + 0x400 * (hv.next[ring] % 4u);
	uint64_t head = HV_GUEST + head_at, data = address(how >> 4 & 7, 0x1000 + len % 64);
	const struct segment split[3] = { { head, REQ_SIZE, false },
					  { head + 0x100, RESP_SIZE, true },
					  { data, len, true } };
	const struct segment out[3] = { { head, REQ_SIZE, false },
					{ data, len, false },
					{ head + 0x100, RESP_SIZE, true } };
	const struct segment one[2] = { { head, REQ_SIZE, false }, { data, RESP_SIZE + len, true } };

	set_lun(header, how & 3);
	header[REQ_ID] = (uint8_t)hv.next[ring];
	header[REQ_ATTR] = how >> 7;
	input_bytes(s, header + REQ_CDB, CDB_ROOM);
	hv_put(&hv, head_at, header, sizeof(header));
	chain(ring, (how & 12) == 4 ? out : (how & 12) == 8 ? one : split, (how & 12) == 8 ? 2 : 3);
	hv_kick(&hv, ring);
}

static void function(struct input *s)
{
	uint8_t bytes[TMF_SIZE] = { 0 };
	uint32_t at = HV_DATA + 0x3000;
	const struct segment seg[2] = { { HV_GUEST + at, TMF_SIZE, false },
					{ HV_GUEST + at + 64, 1, true } };

	bytes[4] = input_byte(s);
	set_lun(bytes + 8, input_byte(s));
	bytes[16] = input_byte(s);
	bytes[0] = input_byte(s) & 3;
	hv_put(&hv, at, bytes, sizeof(bytes));
	chain(RING_CONTROL, seg, 2);
	hv_kick(&hv, RING_CONTROL);
}

static void event_buffer(struct input *s)
{
	struct segment seg = { address(input_byte(s), 0x2000), EVENT_BUFFER, true };

	chain(RING_EVENT, &seg, 1);
	hv_kick(&hv, RING_EVENT);
}

/* ---- what hypervisors do ------------------------------------------------------------------------ */

static void region(struct input *s)
{
	uint8_t p[VU_MEM_REG + VU_REGION] = { 0 };
	bool add = input_byte(s) & 1;

	put_le64(p + 8, HV_GUEST + HV_SECOND);
	put_le64(p + 16, HV_SECOND);
	put_le64(p + 24, HV_USER + HV_SECOND);
	put_le64(p + 32, HV_SECOND);
	hv_message(&hv, add ? VU_ADD_MEM_REG : VU_REM_MEM_REG, VU_VERSION | VU_NEED_REPLY, p,
		   sizeof(p), &hv.file, add);
}

static void stop_and_start(unsigned ring, struct input *s)
{
	uint8_t how = input_byte(s);

	hv_ring_message(&hv, VU_GET_VRING_BASE, ring, 0);
	if (how & 1)
		tgtd_steps(how);
	hv_start_ring(&hv, ring,
		      how & 2  ? (uint32_t)input_number(s, 4)
		      : packed ? 0x80008000u
			       : hv.next[ring]);
}

static void connect_again(void)
{
	if (++connections >= CONNECTIONS_MAX)
		return;
	hv_leave(&hv);
	if (hv.cut)
		hv_memory(&hv);
	if (hv_connect(&hv))
		hv_start(&hv, hv.features, logged);
	for (unsigned i = 0; i < HV_RINGS; i++)
		hv_kick(&hv, i);
}

static void lun_comes_and_goes(void)
{
	if (++luns > LUNS_MAX)
		return;
	tgtd_do("lun.create", "'tid':1,'lun':9,'bstype':'null','bsopts':'size=1M'");
	tgtd_do("lun.delete", "'tid':1,'lun':9,'force':true");
}

static void cut(struct input *s)
{
	if (!hv.cut)
		tgtd_check(!ftruncate(hv.file, (input_byte(s) & 1) * 4096));
	hv.cut = true;
}

static void play(struct input s)
{
	uint8_t op = input_byte(&s), data[256];
	unsigned ring = op >> 4 & 3, n;

	switch (op & 15) {
	case MEMORY:
		n = (unsigned)input_number(&s, 2);
		memcpy(data, s.p, min(s.left, sizeof(data)));
		hv_put(&hv, n, data, min(s.left, sizeof(data)));
		break;
	case DESC:
		descriptor(ring, &s);
		break;
	case AVAIL:
		available(ring, &s);
		break;
	case REQUEST:
		request(RING_REQUEST + (ring & 1), &s);
		break;
	case FUNCTION:
		function(&s);
		break;
	case EVENT:
		event_buffer(&s);
		break;
	case KICK:
		hv_kick(&hv, ring);
		break;
	case STEPS:
		tgtd_steps(input_byte(&s));
		break;
	case WAIT:
		n = input_byte(&s) % 32;
		tgtd_wait((uint64_t)n * n * NSEC_PER_MSEC);
		break;
	case STOP:
		stop_and_start(ring, &s);
		break;
	case DISABLE:
		hv_ring_message(&hv, VU_SET_VRING_ENABLE, ring, input_byte(&s) & 1);
		break;
	case RESET:
		hv_message(&hv, VU_RESET_DEVICE, VU_VERSION, NULL, 0, NULL, 0);
		break;
	case REGION:
		region(&s);
		break;
	case CUT:
		cut(&s);
		break;
	case AGAIN:
		connect_again();
		break;
	default:
		lun_comes_and_goes();
		break;
	}
	tgtd_steps(op >> 6 ? 16 : 0);
	hv_listen(&hv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t how;

	hv_begin(&hv);
	tgtd_input(input_byte(&in));
	how = input_byte(&in);
	packed = how & 1;
	logged = how & 4;
	connections = luns = 0;
	hv_memory(&hv);
	if (hv_connect(&hv))
		hv_start(&hv,
			 packed	   ? HV_FEATURES_PACKED
			 : how & 2 ? HV_FEATURES_NONE
				   : HV_FEATURES_ALL,
			 logged);
	while (in.left)
		play(input_piece(&in, input_byte(&in)));
	tgtd_steps(50);
	hv_gone(&hv);
	tgtd_idle();
	tgtd_tidy();
	return 0;
}
