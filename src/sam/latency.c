/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/latency.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sam/lu.h"

_Static_assert(LATENCY_LIST > LATENCY_ROWS * REACTORS_MAX, "room for the rows of every reactor");

struct latency *latency_create(unsigned n)
{
	void *p = mmap(NULL, n * sizeof(struct latency), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void latency_destroy(struct latency *l, unsigned n)
{
	if (l)
		munmap(l, n * sizeof(*l));
}

unsigned latency_slot(struct latency *l, const struct op *op)
{
	if (!op || !op->index || l->used == LATENCY_ROWS)
		return LATENCY_ROWS + 1;
	/* Release: who sees the row sees the table of rows. The histogram is read relaxed. */
	__atomic_store_n(&l->row[l->used], op, __ATOMIC_RELEASE);
	l->slot[op->index] = (uint8_t)++l->used;
	return l->used;
}

static const struct op *row(const struct latency *l, unsigned i)
{
	return __atomic_load_n(&l->row[i], __ATOMIC_ACQUIRE);
}

static bool listed(const struct op *const *rows, unsigned n, const struct op *op)
{
	for (unsigned i = 0; i < n; i++)
		if (rows[i] == op)
			return true;
	return false;
}

static int by_index(const void *a, const void *b)
{
	const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static bool has_others(const struct lu *lu)
{
	struct hist h = { 0 };

	for (unsigned i = 0; i < lu->nreactors; i++)
		hist_merge(&h, &lu->part[i].latency->hist[LATENCY_ROWS]);
	return hist_count(&h);
}

unsigned lu_latency_rows(struct lu *lu, const struct op *rows[LATENCY_LIST])
{
	unsigned n = 0;

	for (unsigned i = 0; i < lu->nreactors; i++) {
		const struct latency *l = lu->part[i].latency;

		for (unsigned j = 0; j < LATENCY_ROWS && row(l, j); j++)
			if (!listed(rows, n, row(l, j)))
				rows[n++] = row(l, j);
	}
	qsort(rows, n, sizeof(rows[0]), by_index);
	if (has_others(lu))
		rows[n++] = NULL;
	return n;
}

void lu_latency(struct lu *lu, const struct op *op, struct hist *h)
{
	memset(h, 0, sizeof(*h));
	for (unsigned i = 0; i < lu->nreactors; i++) {
		const struct latency *l = lu->part[i].latency;
		unsigned slot = LATENCY_ROWS;

		for (unsigned j = 0; op && j < LATENCY_ROWS && row(l, j); j++)
			if (row(l, j) == op)
				slot = j;
		if (!op || slot < LATENCY_ROWS)
			hist_merge(h, &l->hist[slot]);
	}
}
