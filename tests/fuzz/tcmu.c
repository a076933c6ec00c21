/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCMU ring that anybody may write: mailbox, entries, segments and CDBs are the input's, at any time; what the ring's
 * code takes, ends in any order. What is wrong shows as a sanitizer's finding (the memory has guard pages around
 * it), as a segment or CDB outside of the ring's memory, or as a turn without end.
 *
 * Input: records, each with a kind:
 *   0 put: offset (2 bytes), bytes (counted by one byte) go to the memory
 *   1 an entry: operation and length (2 bytes), id (2 bytes), segments (1 byte); well formed, at the head, which moves
 *   2 cmd_head (2 bytes)
 *   3 serve: take up to so many (1 byte)
 *   4 complete the command at this place (1 byte)
 *   5 open anew, and recover
 *   6 a segment: of the last entry, offset (4 bytes), length (4 bytes)
 * Before them the mailbox: 12 bytes are xored into it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/be.h"
#include "daemon.h"
#include "transport/tcmu/part.h"
#include "transport/tcmu/uapi.h"

#define CMDR 4096u
#define SIZE (KIB(4) + CMDR + KIB(16)) /* the ring begins in the first page */
#define SLOTS 64
#define RECORDS_MAX 256

static struct {
	uint8_t *map;
	struct ring ring;
	bool open;
	uint32_t last; /* the last entry's place */
	struct slot {
		struct ring_slot slot;
		bool busy;
	} slot[SLOTS];
	struct iovec iov[SHARED_SEGMENTS_MAX];
} f;

/* ---- the ring is opened -------------------------------------------------------------------- */

static void map_memory(void)
{
	uint8_t *p;

	if (f.map)
		return;
	p = mmap(NULL, SIZE + KIB(8), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tgtd_check(p != MAP_FAILED);
	f.map = p + KIB(4);
	tgtd_check(!mprotect(f.map, SIZE, PROT_READ | PROT_WRITE));
}

static void lost(struct ring_answer *a, bool once)
{
	tcmu_answer_lost(a, once);
}

static void reopen(void)
{
	const char *why = NULL;
	bool once;
	int res;

	memset(f.slot, 0, sizeof(f.slot));
	f.open = !ring_open(&f.ring, f.map, SIZE, &why);
	tgtd_check(f.open || why);
	if (!f.open)
		return;
	res = ring_recover(&f.ring, lost, &once);
	tgtd_check(res >= 0 || res == -EUCLEAN);
}

static void begin(struct input *in)
{
	struct tcmu_mailbox m = { .version = TCMU_MAILBOX_VERSION,
				  .flags = TCMU_MAILBOX_FLAG_CAP_OOOC |
					   TCMU_MAILBOX_FLAG_CAP_READ_LEN,
				  .cmdr_off = sizeof(m),
				  .cmdr_size = CMDR };

	memset(f.map, 0, SIZE);
	memcpy(f.map, &m, sizeof(m));
	for (unsigned i = 0; i < 12; i++)
		f.map[i] ^= input_byte(in);
	f.last = 0;
	reopen();
}

/* ---- the other side ----------------------------------------------------------------------------- */

static void put(struct input *in)
{
	size_t off = input_number(in, 2), n = input_byte(in);

	off %= SIZE;
	input_bytes(in, f.map + off, min(n, SIZE - off));
}

static void set_head(uint32_t head)
{
	memcpy(f.map + offsetof(struct tcmu_mailbox, cmd_head), &head, sizeof(head));
}

static uint32_t get_head(void)
{
	uint32_t head;

	memcpy(&head, f.map + offsetof(struct tcmu_mailbox, cmd_head), sizeof(head));
	return head % CMDR & ~7u;
}

static void entry(struct input *in)
{
	uint32_t len_op = (uint32_t)input_number(in, 2), at = get_head(), len = len_op & ~7u;
	struct tcmu_cmd_entry e = { .hdr = { .len_op = len_op,
					     .cmd_id = (uint16_t)input_number(in, 2) } };
	size_t ring = sizeof(struct tcmu_mailbox);

	e.req.iov_cnt = input_byte(in);
	e.req.cdb_off = ring + at + 112;
	memcpy(f.map + ring + at, &e, min(sizeof(e), (size_t)(CMDR - at)));
	f.last = at;
	set_head((at + len) % CMDR);
}

static void segment(struct input *in)
{
	uint64_t seg[2];
	size_t at = sizeof(struct tcmu_mailbox) + f.last + 48;

	seg[0] = input_number(in, 4);
	seg[1] = input_number(in, 4);
	memcpy(f.map + at, seg, sizeof(seg));
}

/* ---- ours ------------------------------------------------------------------------------------------- */

static struct slot *free_slot(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (!f.slot[i].busy)
			return &f.slot[i];
	return NULL;
}

static void judge(unsigned n, uint32_t total)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = f.iov[i].iov_base;

		tgtd_check(p >= f.map + f.ring.cmdr_off + f.ring.cmdr_size);
		tgtd_check(range_fits((uint64_t)(p - f.map), f.iov[i].iov_len, SIZE) &&
			   f.iov[i].iov_len);
		sum += f.iov[i].iov_len;
	}
	tgtd_check(sum == total);
}

static bool take(struct ring_entry *e, bool once)
{
	struct slot *s = free_slot();
	uint32_t total;
	unsigned n;

	if (!s)
		return false;
	if (e->iov_cnt > SHARED_SEGMENTS_MAX)
		e->iov_cnt = 0;
	if (!ring_take(&f.ring, e, &s->slot, once, f.iov, &n, &total)) {
		tgtd_check(f.ring.broken);
		return false;
	}
	s->busy = true;
	judge(n, total);
	return true;
}

static bool serve_one(void)
{
	struct ring_entry e;
	static const struct ring_answer unknown = { .unknown = true };

	switch (ring_peek(&f.ring, &e)) {
	case RING_COMMAND:
		tgtd_check(e.cdb_len >= 6 && e.cdb_len <= RING_CDB_MAX);
		return take(&e, !tcmu_repeatable(e.cdb, true));
	case RING_UNKNOWN: {
		struct slot *s = free_slot();

		if (!take(&e, false))
			return false;
		ring_complete(&f.ring, &s->slot, &unknown);
		s->busy = false;
		return true;
	}
	case RING_TMR:
		for (uint32_t i = 0; i < e.ids; i++)
			(void)ring_tmr_id(&f.ring, &e, i);
		ring_skip(&f.ring, &e);
		return true;
	default:
		return false;
	}
}

static void serve(unsigned n)
{
	while (f.open && n-- && serve_one())
		;
}

static void complete(unsigned at)
{
	static const uint8_t sense[18] = { 0x70, 0, 5 };
	struct ring_answer a = { .status = (uint8_t)(at & 2),
				 .sense = sense,
				 .sense_len = at & 2 ? 18 : 0 };
	struct slot *s = &f.slot[at % SLOTS];

	if (!f.open || !s->busy)
		return;
	a.has_read_len = at & 64;
	a.read_len = 7;
	ring_complete(&f.ring, &s->slot, &a);
	s->busy = false;
	ring_take_news(&f.ring);
	tgtd_check(f.ring.broken || f.ring.tail < f.ring.cmdr_size);
}

/* The same bytes as a message of netlink, and as a device's name. */
static void others(const uint8_t *data, size_t size)
{
	static struct tcmu_event ev;
	struct tcmu_name n;
	char text[300] = "tcm-user/0/a/stgt/";
	struct err e;

	tcmu_netlink_parse(data, size, &ev);
	size = min(size, sizeof(text) - 20);
	memcpy(text + 18, data, size);
	text[18 + size] = '\0';
	if (!tcmu_name_parse(&n, text, &e))
		tgtd_check(n.lun <= LUN_MAX && *n.target && *n.device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	map_memory();
	others(data, size);
	begin(&in);
	for (unsigned i = 0; i < RECORDS_MAX && in.left; i++) {
		switch (input_byte(&in) % 7) {
		case 0:
			put(&in);
			break;
		case 1:
			entry(&in);
			break;
		case 2:
			set_head((uint32_t)input_number(&in, 2));
			break;
		case 3:
			serve(input_byte(&in));
			break;
		case 4:
			complete(input_byte(&in));
			break;
		case 5:
			reopen();
			break;
		default:
			segment(&in);
			break;
		}
	}
	for (unsigned i = 0; i < SLOTS; i++)
		complete(i);
	tgtd_check(!f.open || list_empty(&f.ring.slots));
	return 0;
}
