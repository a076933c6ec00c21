/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk: a direct access block device (SBC-4) over a store. */
#include "cmdset/disk.h"

#include <errno.h>
#include <stdlib.h>

#include "cmdset/cmdset.h"
#include "cmdset/internal.h"

#define MAX_TRANSFER MIB(32) /* bytes of one READ or WRITE */
#define MAX_UNMAP (4ull << 30) /* bytes of one UNMAP: bounded time */
#define MAX_UNMAP_BLOCKS (1u << 20) /* what libiscsi's tests take for sane */
#define MAX_WRITE_SAME (1ull << 30)

static const struct op_table *const tables[] = { &spc_table, &reservation_table, &sbc_table, NULL };
static struct op_index index_of_disk;

const struct device_server disk_server = {
	.name = "disk",
	.pdt = PDT_DISK,
	.ops = &index_of_disk,
	.reset = disk_reset,
	.cancel = cmd_store_cancel,
	.fini = disk_fini,
};

int disk_index(void)
{
	return op_index_build(&index_of_disk, tables, NULL);
}

bool disk_supports(const struct lu_ident *ident, const struct op *op)
{
	return ident->thin || op->exec != sbc_unmap;
}

/* SPC-5: mode parameters without a saved value become the defaults. */
void disk_reset(struct lu *lu)
{
	lu->view.mode = lu->view.default_mode;
}

void disk_fini(struct lu *lu)
{
	free(lu->device);
}

static int check(const struct lu_config *c, const struct store_limits *l, struct err *e)
{
	if (!is_pow2(c->block_size) || c->block_size < 512 || c->block_size > 4096)
		return err_set(e, -EINVAL,
			       "%s: block size %u: 512, 1024, 2048 and 4096 are possible", c->name,
			       c->block_size);
	if (l->block && c->block_size % l->block)
		return err_set(e, -EINVAL,
			       "%s: block size %u: the store works in units of %u bytes, "
			       "give a multiple",
			       c->name, c->block_size, l->block);
	if (l->cap[STORE_READ] == STORE_CAP_NO)
		return err_set(e, -EINVAL,
			       "%s: the store %s has no bytes, it leads to a device: make the "
			       "logical unit with device type pt",
			       c->name, store_type(c->store));
	if (l->size < c->block_size)
		return err_set(e, -EINVAL, "%s: the store has %llu bytes, less than one block of %u",
			       c->name, (unsigned long long)l->size, c->block_size);
	return 0;
}

static uint32_t in_blocks(uint64_t bytes, uint32_t block_size)
{
	return (uint32_t)min(bytes / block_size, (uint64_t)UINT32_MAX);
}

static struct disk *disk_new(const struct lu_config *c, const struct store_limits *l)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->max_transfer = in_blocks(MAX_TRANSFER, c->block_size);
	d->max_unmap = min(in_blocks(MAX_UNMAP, c->block_size), MAX_UNMAP_BLOCKS);
	d->max_write_same = in_blocks(MAX_WRITE_SAME, c->block_size);
	d->max_compare = min(in_blocks(BUF_MAX, c->block_size), 255u);
	/* longer ones would not be one step for others who use the medium */
	if (l->cap[STORE_COMPARE_WRITE] == STORE_CAP_NATIVE && l->max_compare >= c->block_size)
		d->max_compare = min(d->max_compare, in_blocks(l->max_compare, c->block_size));
	d->unmap_granularity = in_blocks(l->discard_granularity, c->block_size);
	return d;
}

struct lu *disk_create(const struct lu_config *c, struct err *e)
{
	const struct store_limits *l = store_limits(c->store);
	struct lu_view view = {
		.state = c->offline ? LU_NOT_READY : LU_READY,
		.why = V_NO_MEDIUM,
		.ident = c->ident,
		.blocks = store_size(c->store) / max(c->block_size, 1u),
		.mode = c->mode,
		.readonly = c->readonly || l->readonly,
		.mem_align = l->mem_align,
	};
	struct disk *d;
	struct lu *lu;

	if (check(c, l, e))
		return NULL;
	d = disk_new(c, l);
	lu = d ? lu_create(c->name, &disk_server, c->store, c->block_size, c->reactors,
			   c->nreactors, c->home, &view)
	       : NULL;
	if (!lu) {
		free(d);
		err_set(e, -ENOMEM, "%s: no memory for a logical unit", c->name);
		return NULL;
	}
	lu->device = d;
	return lu;
}

void disk_pause(struct lu *lu)
{
	lu->view.gate = GATE_PAUSED;
}

void disk_resume(struct lu *lu)
{
	lu->view.gate = GATE_OPEN;
}

void disk_set_store(struct lu *lu, struct store *s, bool readonly)
{
	lu->view.store = s;
	lu->view.mem_align = store_limits(s)->mem_align;
	readonly |= store_limits(s)->readonly;
	if (readonly != lu->view.readonly)
		lu_tell_others(lu, NULL, UA_MODE_CHANGED);
	lu->view.readonly = readonly;
	disk_set_size(lu, store_size(s));
	lu->view.gate = GATE_OPEN;
}

void disk_take_away(struct lu *lu, struct store *placeholder, enum verdict why)
{
	lu->view.state = LU_NOT_READY;
	lu->view.why = why;
	lu->view.store = placeholder;
	lu->view.mem_align = 1;
	lu->view.gate = GATE_SHUT;
}

void disk_bring_back(struct lu *lu, struct store *s, bool readonly, bool online)
{
	disk_set_store(lu, s, readonly);
	if (!online) { /* the administrator has taken the medium out, which stays so */
		lu->view.why = V_NO_MEDIUM;
		return;
	}
	lu->view.state = LU_READY;
	lu_tell_others(lu, NULL, UA_MEDIUM_CHANGED);
}

void disk_set_size(struct lu *lu, uint64_t size)
{
	uint64_t blocks = size >> lu->block_shift;

	if (blocks == lu->view.blocks)
		return;
	lu->view.blocks = blocks;
	lu_tell_others(lu, NULL, UA_CAPACITY_CHANGED);
}
