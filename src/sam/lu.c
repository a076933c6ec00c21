/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/lu.h"

#include <stdio.h>
#include <stdlib.h>

#include "sam/latency.h"
#include "sam/transaction.h"

static void part_init(struct lu *lu, unsigned i)
{
	struct lu_part *p = &lu->part[i];

	p->lu = lu;
	p->reactor = lu->reactors[i];
	p->latency = &lu->latency[i];
	p->view = lu->view;
	list_init(&p->itls);
	list_init(&p->parked);
}

struct lu *lu_create(const char *name, const struct device_server *ds, struct store *store,
		     uint32_t block_size, struct reactor *const *reactors, unsigned nreactors,
		     struct reactor *home, const struct lu_view *view)
{
	static uint64_t last_id; /* control only */
	struct lu *lu = calloc(1, sizeof(*lu));

	if (!lu)
		return NULL;
	lu->latency = latency_create(nreactors);
	if (!lu->latency) {
		free(lu);
		return NULL;
	}
	snprintf(lu->name, sizeof(lu->name), "%s", name);
	lu->id = ++last_id;
	lu->ds = ds;
	lu->block_size = block_size;
	lu->block_shift = block_size ? log2_exact(block_size) : 0;
	lu->reactors = reactors;
	lu->nreactors = nreactors;
	lu->home = home;
	lu->view = *view;
	lu->view.default_mode = view->mode;
	lu->view.store = store;
	lu->view.mem_align = max(view->mem_align, 1u);
	pr_init(&lu->pr);
	list_init(&lu->itls);
	list_init(&lu->tx_queue);
	list_init(&lu->guard_queue);
	for (unsigned i = 0; i < nreactors; i++)
		part_init(lu, i);
	return lu;
}

void lu_destroy(struct lu *lu)
{
	if (!lu)
		return;
	if (lu->ds->fini)
		lu->ds->fini(lu);
	pr_fini(&lu->pr);
	latency_destroy(lu->latency, lu->nreactors);
	free((void *)lu->view.ident);
	free(lu);
}

#define LOAD(field) __atomic_load_n(&lu->part[i].stats.field, __ATOMIC_RELAXED)

void lu_get_stats(struct lu *lu, struct lu_stats *st)
{
	*st = (struct lu_stats){ 0 };
	for (unsigned i = 0; i < lu->nreactors; i++) {
		st->read_cmds += LOAD(read_cmds);
		st->read_bytes += LOAD(read_bytes);
		st->write_cmds += LOAD(write_cmds);
		st->write_bytes += LOAD(write_bytes);
		st->errors += LOAD(errors);
	}
}
