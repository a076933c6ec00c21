/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long commands took, by logical unit and row: histograms of the time from the reception of
 * the command's header (the batch it came in) to its completion. Each reactor has its own; nothing is
 * allocated while commands run.
 */
#ifndef STGT_SAM_LATENCY_H
#define STGT_SAM_LATENCY_H

#include "base/hist.h"
#include "base/bits.h"
#include "sam/op.h"

struct lu;

/* Rows with a histogram of their own, first come, first served: more than initiators use in practice. */
#define LATENCY_ROWS 24

/* An LU's part on one reactor, the only writer. Mapped, so rows that nobody uses take no memory. */
struct latency {
	const struct op *row[LATENCY_ROWS];
	unsigned used;
	uint8_t slot[OP_ROWS_MAX]; /* by op.index: histogram + 1; 0: none yet */
	struct hist hist[LATENCY_ROWS + 1]; /* the last: commands without row, and all others */
};

/* For @n reactors; NULL without memory. */
struct latency *latency_create(unsigned n);
void latency_destroy(struct latency *l, unsigned n);

/* Give the row with @index a histogram: its first command. Returns slot + 1. */
unsigned latency_slot(struct latency *l, const struct op *op);

/* A command of @op (NULL: no row) took @ns. On the part's reactor. */
static inline void latency_add(struct latency *l, const struct op *op, uint64_t ns)
{
	unsigned slot = op ? l->slot[op->index] : 0;

	if (unlikely(!slot))
		slot = latency_slot(l, op);
	hist_add(&l->hist[slot - 1], ns);
}

/* ---- any thread, while the LU lives ---- */

#define LATENCY_LIST (LATENCY_ROWS * 8 + 1)
/* The rows that have been used, by index; then NULL if there were others. Returns how many. */
unsigned lu_latency_rows(struct lu *lu, const struct op *rows[LATENCY_LIST]);
/* Sum over the reactors of what @op (NULL: others) took. */
void lu_latency(struct lu *lu, const struct op *op, struct hist *h);

#endif
