/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables: the self-test passes, masks equal those of the standards, the page of them is current. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "cmdset/cmdset.h"
#include "coverage.h"
#include "sam/op.h"

/*
 * Usage masks written down from the CDB tables of SPC-5, SPC-2 and SBC-4: all bits of
 * every field that is not obsolete, protection and CDL fields left out (not
 * offered), CONTROL: NACA. Not made from the rows.
 */
#define LBA4 0xff, 0xff, 0xff, 0xff
#define LBA8 LBA4, LBA4
#define NONE4 0, 0, 0, 0
static const struct golden {
	int16_t sa;
	uint8_t len, mask[16];
} golden[] = {
	{ OP_NO_SA, 6, { 0x00, 0, 0, 0, 0, 0x04 } }, /* TEST UNIT READY */
	{ OP_NO_SA, 6, { 0x03, 0x01, 0, 0, 0xff, 0x04 } }, /* REQUEST SENSE */
	{ OP_NO_SA, 6, { 0x08, 0x1f, 0xff, 0xff, 0xff, 0x04 } }, /* READ(6) */
	{ OP_NO_SA, 6, { 0x0a, 0x1f, 0xff, 0xff, 0xff, 0x04 } }, /* WRITE(6) */
	{ OP_NO_SA, 6, { 0x12, 0x01, 0xff, 0xff, 0xff, 0x04 } }, /* INQUIRY */
	{ OP_NO_SA, 6, { 0x15, 0x11, 0, 0, 0xff, 0x04 } }, /* MODE SELECT(6) */
	{ OP_NO_SA, 6, { 0x16, 0, 0, 0, 0, 0x04 } }, /* RESERVE(6) */
	{ OP_NO_SA, 6, { 0x17, 0, 0, 0, 0, 0x04 } }, /* RELEASE(6) */
	{ OP_NO_SA, 6, { 0x1a, 0x08, 0xff, 0xff, 0xff, 0x04 } }, /* MODE SENSE(6) */
	{ OP_NO_SA, 6, { 0x1b, 0x01, 0, 0x0f, 0xf7, 0x04 } }, /* START STOP UNIT */
	{ OP_NO_SA, 6, { 0x1e, 0, 0, 0, 0x03, 0x04 } }, /* PREVENT ALLOW */
	{ OP_NO_SA, 10, { 0x25, 0, NONE4, 0, 0, 0, 0x04 } }, /* READ CAPACITY(10) */
	{ OP_NO_SA, 10, { 0x28, 0x18, LBA4, 0x3f, 0xff, 0xff, 0x04 } }, /* READ(10) */
	{ OP_NO_SA, 10, { 0x2a, 0x18, LBA4, 0x3f, 0xff, 0xff, 0x04 } }, /* WRITE(10) */
	{ OP_NO_SA, 10, { 0x2f, 0x16, LBA4, 0x3f, 0xff, 0xff, 0x04 } }, /* VERIFY(10) */
	{ OP_NO_SA, 10, { 0x35, 0x02, LBA4, 0x3f, 0xff, 0xff, 0x04 } }, /* SYNCHRONIZE CACHE(10) */
	{ OP_NO_SA, 10, { 0x41, 0x18, LBA4, 0x3f, 0xff, 0xff, 0x04 } }, /* WRITE SAME(10) */
	{ OP_NO_SA, 10, { 0x42, 0x01, NONE4, 0x3f, 0xff, 0xff, 0x04 } }, /* UNMAP */
	{ OP_NO_SA, 10, { 0x55, 0x11, NONE4, 0, 0xff, 0xff, 0x04 } }, /* MODE SELECT(10) */
	{ OP_NO_SA, 10, { 0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0x04 } }, /* MODE SENSE(10) */
	{ 0, 10, { 0x5e, 0x00, NONE4, 0, 0xff, 0xff, 0x04 } }, /* READ KEYS */
	{ 1, 10, { 0x5e, 0x01, NONE4, 0, 0xff, 0xff, 0x04 } },
	{ 2, 10, { 0x5e, 0x02, NONE4, 0, 0xff, 0xff, 0x04 } },
	{ 3, 10, { 0x5e, 0x03, NONE4, 0, 0xff, 0xff, 0x04 } },
	{ 0, 10, { 0x5f, 0x00, 0xff, 0, 0, LBA4, 0x04 } }, /* REGISTER */
	{ 1, 10, { 0x5f, 0x01, 0xff, 0, 0, LBA4, 0x04 } },
	{ 2, 10, { 0x5f, 0x02, 0xff, 0, 0, LBA4, 0x04 } },
	{ 3, 10, { 0x5f, 0x03, 0xff, 0, 0, LBA4, 0x04 } },
	{ 4, 10, { 0x5f, 0x04, 0xff, 0, 0, LBA4, 0x04 } },
	{ 5, 10, { 0x5f, 0x05, 0xff, 0, 0, LBA4, 0x04 } },
	{ 6, 10, { 0x5f, 0x06, 0xff, 0, 0, LBA4, 0x04 } },
	{ 7, 10, { 0x5f, 0x07, 0xff, 0, 0, LBA4, 0x04 } },
	{ OP_NO_SA, 16, { 0x88, 0x18, LBA8, LBA4, 0x3f, 0x04 } }, /* READ(16) */
	{ OP_NO_SA, 16, { 0x89, 0x18, LBA8, 0, 0, 0, 0xff, 0x3f, 0x04 } }, /* COMPARE AND WRITE */
	{ OP_NO_SA, 16, { 0x8a, 0x18, LBA8, LBA4, 0x3f, 0x04 } }, /* WRITE(16) */
	{ OP_NO_SA, 16, { 0x8f, 0x16, LBA8, LBA4, 0x3f, 0x04 } }, /* VERIFY(16) */
	{ OP_NO_SA, 16, { 0x91, 0x02, LBA8, LBA4, 0x3f, 0x04 } }, /* SYNCHRONIZE CACHE(16) */
	{ OP_NO_SA, 16, { 0x93, 0x19, LBA8, LBA4, 0x3f, 0x04 } }, /* WRITE SAME(16) */
	{ 0x10, 16, { 0x9e, 0x10, NONE4, NONE4, LBA4, 0, 0x04 } }, /* READ CAPACITY(16) */
	{ 0x12, 16, { 0x9e, 0x12, LBA8, LBA4, 0xff, 0x04 } }, /* GET LBA STATUS */
	{ OP_NO_SA, 12, { 0xa0, 0, 0xff, 0, 0, 0, LBA4, 0, 0x04 } }, /* REPORT LUNS */
	{ 0x0c, 12, { 0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, LBA4, 0, 0x04 } }, /* RSOC */
	{ 0x0d, 12, { 0xa3, 0x0d, 0x80, 0, 0, 0, LBA4, 0, 0x04 } }, /* RSTMF */
	{ OP_NO_SA, 12, { 0xa8, 0x18, LBA4, LBA4, 0x3f, 0x04 } }, /* READ(12) */
	{ OP_NO_SA, 12, { 0xaa, 0x18, LBA4, LBA4, 0x3f, 0x04 } }, /* WRITE(12) */
	{ OP_NO_SA, 12, { 0xaf, 0x16, LBA4, LBA4, 0x3f, 0x04 } }, /* VERIFY(12) */
};

static int init(void **state)
{
	return cmdset_init();
}

static void masks_are_those_of_the_standards(void **state)
{
	for (unsigned i = 0; i < array_size(golden); i++) {
		const struct golden *g = &golden[i];
		const struct op *op = op_lookup(disk_server.ops, g->mask[0], g->sa);
		uint8_t mask[CDB_ROW_MAX];

		if (!op)
			fail_msg("no row for %02xh/%d", g->mask[0], g->sa);
		assert_int_equal(op->cdb_len, g->len);
		op_usage_mask(op, mask);
		if (memcmp(mask, g->mask, g->len) != 0)
			print_error("%s\n", op->name);
		assert_memory_equal(mask, g->mask, g->len);
	}
}

static void every_row_has_a_golden_mask(void **state)
{
	unsigned n = 0;

	for (const struct op_table *const *t = disk_server.ops->tables; *t; t++)
		n += (*t)->n;
	assert_int_equal(n, array_size(golden));
}

static void what_changes_the_medium_conflicts_with_every_reservation(void **state)
{
	for (const struct op_table *const *t = disk_server.ops->tables; *t; t++)
		for (unsigned i = 0; i < (*t)->n; i++)
			if ((*t)->rows[i].flags & OP_MEDIUM_WRITE)
				assert_int_equal((*t)->rows[i].flags & (OP_RSV_SPC2 | OP_RSV_WRITE),
						 OP_RSV_SPC2 | OP_RSV_WRITE);
}

static void inquiry_report_luns_and_request_sense_pass_everywhere(void **state)
{
	static const uint8_t always[] = { 0x12, 0xa0, 0x03 };

	for (const struct device_server *const *ds = device_servers; *ds; ds++) {
		for (unsigned i = 0; i < array_size(always); i++) {
			const struct op *op = op_lookup((*ds)->ops, always[i], OP_NO_SA);

			assert_non_null(op);
			assert_int_equal(op->flags & ~OP_RAW,
					 OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET);
		}
	}
}

static char *slurp(FILE *f)
{
	size_t room = 65536, n;
	char *s = calloc(1, room);

	assert_non_null(s);
	n = f ? fread(s, 1, room - 1, f) : 0;
	s[n] = 0;
	if (f)
		fclose(f);
	return s;
}

static void the_coverage_page_is_current(void **state)
{
	const char *path = COVERAGE_PAGE;
	char *made = NULL, *there;
	size_t len;
	FILE *f = open_memstream(&made, &len);

	assert_non_null(f);
	coverage_write(f);
	fclose(f);
	if (getenv("STGT_UPDATE")) {
		f = fopen(path, "w");
		assert_non_null(f);
		fwrite(made, 1, len, f);
		fclose(f);
	}
	there = slurp(fopen(path, "r"));
	assert_true(len < 65536);
	if (strcmp(there, made) != 0)
		fail_msg("%s differs from the tables: make it again as it says", path);
	free(there);
	free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks_are_those_of_the_standards),
		cmocka_unit_test(every_row_has_a_golden_mask),
		cmocka_unit_test(what_changes_the_medium_conflicts_with_every_reservation),
		cmocka_unit_test(inquiry_report_luns_and_request_sense_pass_everywhere),
		cmocka_unit_test(the_coverage_page_is_current),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
