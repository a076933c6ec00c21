/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/bits.h"
#include "transport/tcmu/uapi.h"

#define ENTRY ((uint32_t)sizeof(struct tcmu_cmd_entry))
#define IOV_AT 48u

static uint32_t *word(const struct kernel *k, size_t off)
{
	return (uint32_t *)(void *)(k->map + off);
}

uint32_t kernel_head(const struct kernel *k)
{
	return *word(k, offsetof(struct tcmu_mailbox, cmd_head));
}

void kernel_set_head(struct kernel *k, uint32_t head)
{
	__atomic_store_n(word(k, offsetof(struct tcmu_mailbox, cmd_head)), head, __ATOMIC_RELEASE);
}

uint32_t kernel_tail(const struct kernel *k)
{
	return __atomic_load_n(word(k, offsetof(struct tcmu_mailbox, cmd_tail)), __ATOMIC_ACQUIRE);
}

size_t kernel_bytes(uint32_t cmdr_size)
{
	return sizeof(struct tcmu_mailbox) + cmdr_size + KERNEL_DATA;
}

void kernel_init(struct kernel *k, void *map, uint32_t cmdr_size)
{
	struct tcmu_mailbox m = { .version = TCMU_MAILBOX_VERSION,
				  .flags = TCMU_MAILBOX_FLAG_CAP_OOOC |
					   TCMU_MAILBOX_FLAG_CAP_READ_LEN |
					   TCMU_MAILBOX_FLAG_CAP_TMR |
					   TCMU_MAILBOX_FLAG_CAP_KEEP_BUF,
				  .cmdr_off = sizeof(m),
				  .cmdr_size = cmdr_size };

	memset(k, 0, sizeof(*k));
	k->map = map;
	k->size = kernel_bytes(cmdr_size);
	k->cmdr_off = sizeof(m);
	k->cmdr_size = cmdr_size;
	k->cmd = calloc(KERNEL_IDS, sizeof(*k->cmd));
	if (!k->cmd)
		abort();
	memset(map, 0, k->size);
	memcpy(map, &m, sizeof(m));
}

void kernel_fini(struct kernel *k)
{
	free(k->cmd);
	k->cmd = NULL;
}

/* ---- queueing ------------------------------------------------------------------------ */

static uint32_t space(const struct kernel *k)
{
	uint32_t head = kernel_head(k);

	return (k->cleaned > head ? k->cleaned - head : k->cmdr_size - head + k->cleaned) - 1;
}

/* Where an entry of @len bytes goes, after padding; UINT32_MAX: no room. */
static uint32_t room(struct kernel *k, uint32_t len)
{
	uint32_t head = kernel_head(k), end = k->cmdr_size - head;
	struct tcmu_cmd_entry_hdr pad = { .len_op = end };

	if (space(k) < (end < len ? end + len : len))
		return UINT32_MAX;
	if (end >= len)
		return head;
	memcpy(k->map + k->cmdr_off + head, &pad, sizeof(pad));
	kernel_set_head(k, 0);
	return 0;
}

static void advance(struct kernel *k, uint32_t at, uint32_t len)
{
	kernel_set_head(k, (at + len) % k->cmdr_size);
}

static uint16_t new_id(struct kernel *k)
{
	for (unsigned i = 0; i < KERNEL_IDS; i++) {
		k->next_id = (uint16_t)(k->next_id % (KERNEL_IDS - 1) + 1);
		if (!k->cmd[k->next_id].live)
			return k->next_id;
	}
	return 0;
}

static bool get_blocks(struct kernel *k, struct kernel_cmd *c)
{
	unsigned want = (c->len + KERNEL_BLOCK - 1) / KERNEL_BLOCK;

	c->nblocks = 0;
	for (unsigned b = 0; b < KERNEL_BLOCKS && c->nblocks < want; b++) {
		if (k->used[b] || (k->scatter && c->nblocks && b == c->block[c->nblocks - 1] + 1u))
			continue;
		c->block[c->nblocks++] = (uint16_t)b;
		k->used[b] = true;
	}
	return c->nblocks == want;
}

static void free_blocks(struct kernel *k, struct kernel_cmd *c)
{
	for (unsigned i = 0; i < c->nblocks; i++)
		k->used[c->block[i]] = false;
	c->nblocks = 0;
}

static uint8_t *block_at(const struct kernel *k, const struct kernel_cmd *c, unsigned i)
{
	return k->map + k->cmdr_off + k->cmdr_size + (size_t)c->block[i] * KERNEL_BLOCK;
}

static unsigned make_iov(const struct kernel *k, const struct kernel_cmd *c, uint64_t (*iov)[2])
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->nblocks; i++) {
		uint32_t len = min(c->len - i * KERNEL_BLOCK, (uint32_t)KERNEL_BLOCK);

		if (n && c->block[i] == c->block[i - 1] + 1) {
			iov[n - 1][1] += len;
			continue;
		}
		iov[n][0] = (uint64_t)(block_at(k, c, i) - k->map);
		iov[n++][1] = len;
	}
	return n;
}

uint16_t kernel_queue(struct kernel *k, const uint8_t *cdb, unsigned cdb_len, enum kernel_dir dir,
		      const void *out, uint32_t len)
{
	static uint64_t iov[KERNEL_BLOCKS_MAX][2];
	uint16_t id = new_id(k);
	struct kernel_cmd *c = &k->cmd[id];
	struct tcmu_cmd_entry e = { .hdr.cmd_id = id };
	uint32_t base, total, at;
	unsigned n;

	if (!id)
		return 0;
	memset(c, 0, offsetof(struct kernel_cmd, in));
	c->dir = dir;
	c->len = len;
	if (!get_blocks(k, c)) {
		free_blocks(k, c);
		return 0;
	}
	n = make_iov(k, c, iov);
	base = max(IOV_AT + n * 16, ENTRY);
	total = base + (uint32_t)round_up(cdb_len, 8);
	at = room(k, total);
	if (at == UINT32_MAX) {
		free_blocks(k, c);
		return 0;
	}
	for (unsigned i = 0; dir == KERNEL_OUT && i < c->nblocks; i++)
		memcpy(block_at(k, c, i), (const uint8_t *)out + i * KERNEL_BLOCK,
		       min(len - i * KERNEL_BLOCK, (uint32_t)KERNEL_BLOCK));
	e.hdr.len_op = total | TCMU_OP_CMD;
	e.req.iov_cnt = n;
	e.req.cdb_off = k->cmdr_off + at + base;
	memset(k->map + k->cmdr_off + at, 0, total);
	memcpy(k->map + k->cmdr_off + at, &e, sizeof(e));
	memcpy(k->map + k->cmdr_off + at + IOV_AT, iov, n * sizeof(iov[0]));
	memcpy(k->map + k->cmdr_off + at + base, cdb, cdb_len);
	c->live = true;
	advance(k, at, total);
	return id;
}

bool kernel_queue_tmr(struct kernel *k, uint8_t type, const uint16_t *ids, unsigned n)
{
	struct tcmu_tmr_entry e = { .tmr_type = type, .cmd_cnt = n };
	uint32_t len = (uint32_t)round_up(sizeof(e) + n * sizeof(*ids), 8), at = room(k, len);

	if (at == UINT32_MAX)
		return false;
	e.hdr.len_op = len | TCMU_OP_TMR;
	memset(k->map + k->cmdr_off + at, 0, len);
	memcpy(k->map + k->cmdr_off + at, &e, sizeof(e));
	if (n)
		memcpy(k->map + k->cmdr_off + at + sizeof(e), ids, n * sizeof(*ids));
	advance(k, at, len);
	return true;
}

uint16_t kernel_queue_odd(struct kernel *k, unsigned op, uint32_t len)
{
	uint32_t at = room(k, len);
	struct tcmu_cmd_entry_hdr h = { .len_op = len | op, .cmd_id = new_id(k) };

	if (at == UINT32_MAX)
		return 0;
	memset(&k->cmd[h.cmd_id], 0, offsetof(struct kernel_cmd, in));
	k->cmd[h.cmd_id].live = true;
	memset(k->map + k->cmdr_off + at, 0, len);
	memcpy(k->map + k->cmdr_off + at, &h, sizeof(h));
	advance(k, at, len);
	return h.cmd_id;
}

/* ---- completing --------------------------------------------------------------------------- */

static void gather(struct kernel *k, struct kernel_cmd *c, uint32_t len)
{
	for (unsigned i = 0; i < c->nblocks && i * KERNEL_BLOCK < len; i++)
		memcpy(c->in + i * KERNEL_BLOCK, block_at(k, c, i),
		       min(len - i * KERNEL_BLOCK, (uint32_t)KERNEL_BLOCK));
	c->in_len = len;
}

static void complete_one(struct kernel *k, struct kernel_cmd *c, const struct tcmu_cmd_entry *e)
{
	bool valid = false;
	uint32_t len = c->len;

	c->live = false;
	c->done = true;
	c->uflags = e->hdr.uflags & 0x7; /* the rest it does not look at */
	c->status = e->rsp.scsi_status;
	k->completed++;
	if (e->hdr.uflags & TCMU_UFLAG_UNKNOWN_OP) {
		c->status = 2;
		free_blocks(k, c);
		return;
	}
	if (c->dir == KERNEL_IN && e->hdr.uflags & TCMU_UFLAG_READ_LEN && e->rsp.read_len) {
		valid = true;
		c->read_len = e->rsp.read_len;
		len = min(len, e->rsp.read_len);
	}
	if (c->status == 2)
		memcpy(c->sense, e->rsp.sense_buffer, sizeof(c->sense));
	if (c->dir == KERNEL_IN && (c->status != 2 || valid))
		gather(k, c, len);
	free_blocks(k, c);
}

void kernel_complete(struct kernel *k)
{
	uint32_t tail = kernel_tail(k);

	while (!k->broken && k->cleaned != tail) {
		struct tcmu_cmd_entry e;
		unsigned op;

		memcpy(&e, k->map + k->cmdr_off + k->cleaned,
		       min(sizeof(e), (size_t)(k->cmdr_size - k->cleaned)));
		op = tcmu_hdr_get_op(e.hdr.len_op);
		if (op != TCMU_OP_PAD && op != TCMU_OP_TMR) {
			if (e.hdr.cmd_id >= KERNEL_IDS || !k->cmd[e.hdr.cmd_id].live) {
				k->broken = true;
				return;
			}
			complete_one(k, &k->cmd[e.hdr.cmd_id], &e);
		}
		k->cleaned = (k->cleaned + tcmu_hdr_get_len(e.hdr.len_op)) % k->cmdr_size;
	}
}

void kernel_reset(struct kernel *k, uint8_t status)
{
	for (unsigned i = 0; i < KERNEL_IDS; i++) {
		struct kernel_cmd *c = &k->cmd[i];

		if (!c->live)
			continue;
		c->live = false;
		c->done = true;
		c->status = status;
		free_blocks(k, c);
	}
	k->cleaned = 0;
	k->broken = false;
	__atomic_store_n(word(k, offsetof(struct tcmu_mailbox, cmd_tail)), 0, __ATOMIC_RELEASE);
	kernel_set_head(k, 0);
}

const uint8_t *kernel_rw(bool write, uint32_t lba, uint16_t blocks)
{
	static uint8_t cdb[10];

	memset(cdb, 0, sizeof(cdb));
	cdb[0] = write ? 0x2a : 0x28;
	be_store(cdb + 2, 4, lba);
	be_store(cdb + 7, 2, blocks);
	return cdb;
}
