/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What initiators may see on a disk. Every write of a sector has a number, which
 * its content tells; the model keeps, for each sector, the writes whose
 * content may be there now (seen by reads), and those that may be there after
 * the power failed.
 *
 * A write takes effect at one moment between its begin and its end. So a write is
 * overtaken once another, begun after it ended, is acknowledged or seen. What
 * was overtaken must not be seen by a read that began later.
 * Moments are sim_moment()s.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model; /* of one disk */
struct model_write;

struct model *model_new(unsigned disk, uint64_t sectors);
void model_free(struct model *m);

/* Begin a write of sectors @first to @first + @n - 1: its content goes to @data (n sectors), NULL: zeroes. */
struct model_write *model_write_begin(struct model *m, uint64_t first, uint64_t n, uint8_t *data);
/* @after is ordered after @before, both begun on this disk and not over: the task set says so. */
void model_write_order(struct model_write *before, struct model_write *after);
enum model_end {
	WRITE_DONE, /* acknowledged */
	WRITE_STABLE, /* acknowledged as stable */
	WRITE_FAILED, /* any part of it may be there, but nothing changes any more */
	WRITE_REFUSED, /* nothing of it may ever be there */
};
/* @w is freed. */
void model_write_end(struct model_write *w, enum model_end how);

/* A read that began at @began brought @data. Violation if that cannot be. */
void model_read(struct model *m, uint64_t first, uint64_t n, const uint8_t *data, uint64_t began);
/* The same for the content that a COMPARE AND WRITE found equal (or, @equal false, not all equal). */
void model_compared(struct model *m, uint64_t first, uint64_t n, const uint8_t *data,
		    uint64_t began, bool equal);
/*
 * @w, a COMPARE AND WRITE that is about to be over, found @data and replaced it at the same
 * moment: what began after @data was there comes after @w.
 */
void model_replaced(struct model_write *w, const uint8_t *data);
/* Nothing that begins before this moment is under way any more: for forgetting. */
void model_forget(struct model *m, uint64_t oldest);

/* A flush that was sent at @began is acknowledged. */
void model_flushed(struct model *m, uint64_t began);
/* Somebody accepts that a flush failed: what is not stable now may never be. */
void model_doubt(struct model *m);
/* The power failed; nothing is under way any more. */
void model_power_cut(struct model *m);
/* Writes that have not ended. */
unsigned model_writes(const struct model *m);

#endif
