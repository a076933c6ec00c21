/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows: the self-test of tables, lookup, masks, decoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "base/bits.h"
#include "sam/op.h"

static enum verdict nothing(struct scsi_cmd *cmd)
{
	return V_GOOD;
}

#define ROW(op, sa_, len, f) \
	{ \
		.name = "row", .clause = "x", .opcode = op, .sa = sa_, .cdb_len = len, \
		.exec = nothing, .fields = f, .nfields = array_size(f) \
	}
#define BARE(op, sa_, len) \
	{ \
		.name = "row", .clause = "x", .opcode = op, .sa = sa_, .cdb_len = len, \
		.exec = nothing \
	}

static const struct cdb_field read6[] = {
	FIELD("LBA", 1, 4, 21, lba),
	FIELD("LENGTH", 4, 7, 8, length),
};
static const struct cdb_field read16[] = {
	FIELD("DPO", 1, 4, 1, dpo),	 FIELD("FUA", 1, 3, 1, fua),
	FIELD("LBA", 2, 7, 64, lba),	 FIELD("LENGTH", 10, 7, 32, length),
	FIELD("GROUP", 14, 5, 6, group),
};
static const struct cdb_field sa16[] = {
	FIELD("ALLOC", 10, 7, 32, alloc),
	FIELD("SA", 14, 7, 8, report_type),
};
static const struct cdb_field long32[] = {
	FIELD("LBA", 12, 7, 64, lba),
	FIELD("LENGTH", 28, 7, 32, length),
};

static struct op rows[] = {
	ROW(0x08, OP_NO_SA, 6, read6), ROW(0x88, OP_NO_SA, 16, read16),
	ROW(0x9e, 0x10, 16, sa16),     ROW(0x9e, 0x12, 16, sa16),
	ROW(0x7f, 0x0009, 32, long32), ROW(0x7f, 0x000b, 32, long32),
};
static const struct op_table table = { rows, array_size(rows) };
static const struct op_table *const tables[] = { &table, NULL };
static struct op_index ix;

static int build(void **state)
{
	return op_index_build(&ix, tables, NULL);
}

/* Build an index of @n rows of the test's own. */
static int try_rows(struct op *own, unsigned n)
{
	struct op_table t = { own, n };
	const struct op_table *list[] = { &t, NULL };
	struct op_index other;

	return op_index_build(&other, list, NULL);
}

static void rows_are_found_by_opcode_and_service_action(void **state)
{
	uint8_t cdb[40] = { 0x9e, 0x12 };
	int bad;

	assert_ptr_equal(op_find(&ix, cdb, 16, &bad), &rows[3]);
	assert_int_equal(bad, 0);
	cdb[1] = 0x10 | 0xe0; /* reserved bits do not matter here */
	assert_ptr_equal(op_find(&ix, cdb, 16, &bad), &rows[2]);
	cdb[0] = 0x7f;
	cdb[9] = 0x0b;
	assert_ptr_equal(op_find(&ix, cdb, 32, &bad), &rows[5]);
	assert_ptr_equal(op_lookup(&ix, 0x88, OP_NO_SA), &rows[1]);
	assert_ptr_equal(op_lookup(&ix, 0x9e, 0x12), &rows[3]);
	assert_null(op_lookup(&ix, 0x9e, OP_NO_SA));
	assert_null(op_lookup(&ix, 0x77, OP_NO_SA));
}

static void what_is_not_there_is_told_from_a_bad_service_action(void **state)
{
	uint8_t cdb[40] = { 0x9e, 0x11 };
	int bad;

	assert_null(op_find(&ix, cdb, 16, &bad));
	assert_int_equal(bad, 1);
	cdb[0] = 0xee;
	assert_null(op_find(&ix, cdb, 16, &bad));
	assert_int_equal(bad, 0);
	assert_true(op_has_sa(&ix, 0x9e));
	assert_false(op_has_sa(&ix, 0x88));
	assert_false(op_has_sa(&ix, 0xee));
}

static void a_cdb_that_is_too_short_is_not_looked_at(void **state)
{
	uint8_t cdb[40] = { 0x88 };
	int bad;

	for (unsigned len = 0; len < 16; len++)
		assert_null(op_find(&ix, cdb, len, &bad));
	assert_non_null(op_find(&ix, cdb, 16, &bad));
	cdb[0] = 0x7f;
	for (unsigned len = 0; len < 32; len++)
		assert_null(op_find(&ix, cdb, len, &bad));
}

static void unknown_opcodes_get_the_fallback(void **state)
{
	static const struct op fallback = { .name = "any", .sa = OP_NO_SA, .exec = nothing };
	struct op_index other;
	struct cdb_args args;
	uint8_t cdb[40], bit;
	uint16_t byte;
	int bad;

	assert_int_equal(op_index_build(&other, tables, &fallback), 0);
	memset(cdb, 0xff, sizeof(cdb));
	assert_ptr_equal(op_find(&other, cdb, 16, &bad), &fallback);
	assert_int_equal(op_decode(&fallback, cdb, &args, &byte, &bit), 0);
}

static void fields_of_any_width_are_decoded(void **state)
{
	uint8_t cdb[40] = { 0x08, 0x12, 0x34, 0x56, 0x78, 0 };
	uint8_t big[40] = { 0x88, 0x10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x2a, 0 };
	uint8_t var[48] = { 0x7f };
	struct cdb_args args;
	uint16_t byte;
	uint8_t bit;

	memset(cdb + 6, 0xff, sizeof(cdb) - 6); /* beyond the CDB: means nothing */
	memset(big + 16, 0xff, sizeof(big) - 16);
	assert_int_equal(op_decode(&rows[0], cdb, &args, &byte, &bit), 0);
	assert_int_equal(args.lba, 0x123456);
	assert_int_equal(args.length, 0x78);
	assert_int_equal(args.fua, 0);
	assert_int_equal(op_decode(&rows[1], big, &args, &byte, &bit), 0);
	assert_true(args.lba == 0x0102030405060708ull);
	assert_int_equal(args.length, 0x090a0b0c);
	assert_int_equal(args.dpo, 1);
	assert_int_equal(args.fua, 0);
	assert_int_equal(args.group, 0x2a);
	var[7] = 24;
	var[9] = 9;
	var[19] = 7;
	var[31] = 5;
	assert_int_equal(op_decode(&rows[4], var, &args, &byte, &bit), 0);
	assert_int_equal(args.lba, 7);
	assert_int_equal(args.length, 5);
}

static void every_reserved_bit_is_found_where_it_is(void **state)
{
	for (unsigned r = 0; r < array_size(rows); r++) {
		const struct op *op = &rows[r];
		uint8_t mask[CDB_ROW_MAX];
		unsigned wrong = 0;

		op_usage_mask(op, mask);
		for (unsigned i = 8; i < op->cdb_len * 8u; i++) {
			uint8_t cdb[48] = { op->opcode }, bit = 0;
			bool used = mask[i / 8] & (0x80 >> i % 8);
			struct cdb_args args;
			uint16_t byte = 0;
			int bad;

			if (op->sa != OP_NO_SA && i / 8 == 1 && op->opcode != 0x7f)
				used |= i % 8 >= 3; /* the service action itself */
			if (op->opcode == 0x7f && (i / 8 == 8 || i / 8 == 9))
				used = true;
			if (mask[i / 8] == 0x04 && i % 8 == 5)
				used = false; /* NACA: evaluated, and refused */
			cdb[i / 8] = 0x80 >> i % 8;
			bad = op_decode(op, cdb, &args, &byte, &bit);
			if (bad == (int)used || (bad && (byte != i / 8 || bit != 7 - i % 8)))
				wrong++;
		}
		assert_int_equal(wrong, 0);
	}
}

static void the_first_of_several_reserved_bits_is_named(void **state)
{
	uint8_t cdb[40] = { 0x08, 0x60, 0, 0, 0, 0xff }, bit;
	struct cdb_args args;
	uint16_t byte;

	assert_int_equal(op_decode(&rows[0], cdb, &args, &byte, &bit), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(bit, 6);
}

static void usage_masks_follow_from_the_fields(void **state)
{
	static const uint8_t want6[] = { 0x08, 0x1f, 0xff, 0xff, 0xff, 0x04 };
	static const uint8_t want16[] = { 0x9e, 0x12, 0,    0,	  0,	0,    0,    0,
					  0,	0,    0xff, 0xff, 0xff, 0xff, 0xff, 0x04 };
	uint8_t mask[CDB_ROW_MAX];

	op_usage_mask(&rows[0], mask);
	assert_memory_equal(mask, want6, 6);
	op_usage_mask(&rows[3], mask);
	assert_memory_equal(mask, want16, 16);
}

static void indexes_number_each_row_once(void **state)
{
	unsigned first = rows[0].index;
	struct op_index other;

	assert_true(first > 0);
	assert_int_equal(op_index_build(&other, tables, NULL), 0);
	assert_int_equal(rows[0].index, first);
	for (unsigned i = 1; i < array_size(rows); i++)
		assert_int_equal(rows[i].index, first + i);
}

static void the_self_test_finds_broken_tables(void **state)
{
	static const struct cdb_field overlap[] = { FIELD("A", 2, 7, 16, lba),
						    FIELD("B", 3, 0, 1, fua) };
	static const struct cdb_field outside[] = { FIELD("A", 4, 7, 24, lba) };
	static const struct cdb_field wide[] = { FIELD("A", 2, 7, 16, fua) };
	static const struct cdb_field twice[] = { FIELD("A", 2, 7, 8, lba),
						  FIELD("B", 3, 7, 8, lba) };
	static const struct cdb_field opcode[] = { FIELD("A", 0, 0, 1, fua) };
	static const struct cdb_field in_sa[] = { FIELD("A", 1, 4, 1, fua) };
	static const struct cdb_field naca[] = { FIELD("A", 5, 2, 1, fua) };
	struct op same[] = { BARE(0x00, OP_NO_SA, 6), BARE(0x00, OP_NO_SA, 6) };
	struct op same_sa[] = { BARE(0x9e, 1, 16), BARE(0x9e, 1, 16) };
	struct op mixed[] = { BARE(0x9e, 1, 16), BARE(0x9e, OP_NO_SA, 16) };
	struct op apart[] = { BARE(0x9e, 1, 16), BARE(0x00, OP_NO_SA, 6), BARE(0x9e, 2, 16) };
	struct op length[] = { BARE(0x28, OP_NO_SA, 12) };
	struct op no_handler[] = { BARE(0x00, OP_NO_SA, 6) };
	struct op fields[] = { ROW(0x00, OP_NO_SA, 6, overlap), ROW(0x00, OP_NO_SA, 6, outside),
			       ROW(0x00, OP_NO_SA, 6, wide),	ROW(0x00, OP_NO_SA, 6, twice),
			       ROW(0x00, OP_NO_SA, 6, opcode),	ROW(0x9e, 1, 16, in_sa),
			       ROW(0x00, OP_NO_SA, 6, naca) };

	no_handler[0].exec = NULL;
	assert_int_equal(try_rows(same, 2), -EINVAL);
	assert_int_equal(try_rows(same_sa, 2), -EINVAL);
	assert_int_equal(try_rows(mixed, 2), -EINVAL);
	assert_int_equal(try_rows(apart, 3), -EINVAL);
	assert_int_equal(try_rows(length, 1), -EINVAL);
	assert_int_equal(try_rows(no_handler, 1), -EINVAL);
	for (unsigned i = 0; i < array_size(fields); i++)
		assert_int_equal(try_rows(&fields[i], 1), -EINVAL);
}

static void a_row_for_any_service_action_serves_those_without_one(void **state)
{
	static struct op any[] = { BARE(0xa3, 0x0d, 12), BARE(0xa3, OP_ANY_SA, 12) };
	static const struct op_table t = { any, 2 };
	static const struct op_table *const ts[] = { &t, NULL };
	struct op_index aix;
	int bad;

	assert_int_equal(op_index_build(&aix, ts, NULL), 0);
	assert_ptr_equal(op_find(&aix, (uint8_t[12]){ 0xa3, 0x0d }, 12, &bad), &any[0]);
	assert_ptr_equal(op_find(&aix, (uint8_t[12]){ 0xa3, 0x0c }, 12, &bad), &any[1]);
	assert_int_equal(bad, 0);
}

static void a_raw_row_has_no_reserved_bits(void **state)
{
	static struct op raw[] = { ROW(0x08, OP_NO_SA, 6, read6) };
	static const struct op_table t = { raw, 1 };
	static const struct op_table *const ts[] = { &t, NULL };
	uint8_t cdb[16], bit;
	struct cdb_args args;
	struct op_index rix;
	uint16_t byte;

	raw[0].flags = OP_RAW;
	assert_int_equal(op_index_build(&rix, ts, NULL), 0);
	memset(cdb, 0xff, sizeof(cdb));
	assert_int_equal(op_decode(&raw[0], cdb, &args, &byte, &bit), 0);
	assert_int_equal(args.lba, 0x1fffff);
}

static void a_cdb_says_how_long_it_is(void **state)
{
	static const uint8_t by_group[] = { 6, 10, 10, 16, 16, 12 };

	for (unsigned i = 0; i < array_size(by_group); i++)
		if (i != 3) /* reserved, and 7Fh */
			assert_int_equal(op_cdb_len((uint8_t[16]){ (uint8_t)(i << 5) }, 16),
					 by_group[i]);
	assert_int_equal(op_cdb_len((uint8_t[32]){ [0] = 0x7f, [7] = 24 }, 32), 32);
	assert_int_equal(op_cdb_len((uint8_t[32]){ [0] = 0x7f, [7] = 24 }, 31), 0);
	assert_int_equal(op_cdb_len((uint8_t[16]){ 0x7f }, 4), 4);
	assert_int_equal(op_cdb_len((uint8_t[16]){ 0x28 }, 6), 0);
	assert_int_equal(op_cdb_len((uint8_t[16]){ 0xd8 }, 16), 10);
	assert_int_equal(op_cdb_len((uint8_t[16]){ [0] = 0xd8, [11] = 1 }, 16), 12);
	assert_int_equal(op_cdb_len((uint8_t[16]){ [0] = 0xd8, [15] = 1 }, 16), 16);
	assert_int_equal(op_cdb_len((uint8_t[16]){ 0 }, 0), 0);
}

static void control_is_where_the_standard_says(void **state)
{
	assert_int_equal(op_control_at((uint8_t[16]){ 0x00 }, 6), 5);
	assert_int_equal(op_control_at((uint8_t[16]){ 0xa0 }, 12), 11);
	assert_int_equal(op_control_at((uint8_t[32]){ 0x7f }, 32), 1);
	assert_int_equal(op_control_at((uint8_t[16]){ 0xd8 }, 10), -1);
	assert_int_equal(op_control_at((uint8_t[16]){ 0x00 }, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_found_by_opcode_and_service_action),
		cmocka_unit_test(what_is_not_there_is_told_from_a_bad_service_action),
		cmocka_unit_test(a_cdb_that_is_too_short_is_not_looked_at),
		cmocka_unit_test(unknown_opcodes_get_the_fallback),
		cmocka_unit_test(fields_of_any_width_are_decoded),
		cmocka_unit_test(every_reserved_bit_is_found_where_it_is),
		cmocka_unit_test(the_first_of_several_reserved_bits_is_named),
		cmocka_unit_test(usage_masks_follow_from_the_fields),
		cmocka_unit_test(indexes_number_each_row_once),
		cmocka_unit_test(the_self_test_finds_broken_tables),
		cmocka_unit_test(a_row_for_any_service_action_serves_those_without_one),
		cmocka_unit_test(a_raw_row_has_no_reserved_bits),
		cmocka_unit_test(a_cdb_says_how_long_it_is),
		cmocka_unit_test(control_is_where_the_standard_says),
	};

	return cmocka_run_group_tests(tests, build, NULL);
}
