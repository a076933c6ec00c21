/* SPDX-License-Identifier: BSD-2-Clause */
/* MODE SENSE and MODE SELECT. */
#include "rig.h"

static struct res sense6(uint8_t page, void *b, uint8_t alloc)
{
	return in(S0, b, alloc, CDB(0x1a, 0, page, 0, alloc, 0));
}

static struct res select6(const void *list, uint8_t len)
{
	return out(S0, list, len, CDB(0x15, 0x10, 0, 0, len, 0));
}

static const uint8_t caching[20] = { 0x08, 0x12, 0x14, 0,    0xff, 0xff, 0,
				     0,	   0xff, 0xff, 0xff, 0xff, 0x80, 0x14 };

/* A MODE SELECT(6) list with the caching page; @wce and a byte to spoil. */
static unsigned caching_list(uint8_t *p, bool wce)
{
	memset(p, 0, 4);
	memcpy(p + 4, caching, 20);
	p[6] = wce ? 0x14 : 0x10;
	return 24;
}

/* Current control page by MODE SENSE(6) without block descriptors, made a MODE SELECT list. */
static unsigned control_list(uint8_t *p)
{
	good(in(S0, p, 16, CDB(0x1a, 0x08, 0x0a, 0, 16, 0)));
	p[0] = p[2] = 0;
	return 16;
}

static void the_caching_page_is_tgts(void **state)
{
	uint8_t b[64];
	struct res r = in(S0, b, 64, CDB(0x1a, 0x08, 0x08, 0, 64, 0));

	good(r);
	assert_int_equal(r.len, 24);
	assert_int_equal(b[0], 23);
	assert_int_equal(b[3], 0);
	assert_int_equal(b[6], rig.disk.wce ? 0x14 : 0x10);
	assert_memory_equal(b + 7, caching + 3, 17);
}

static void the_control_page_says_what_is_fixed(void **state)
{
	uint8_t b[64];

	good(in(S0, b, 64, CDB(0x1a, 0x08, 0x0a, 0, 64, 0)));
	assert_int_equal(b[4], 0x0a);
	assert_int_equal(b[5], 10);
	assert_int_equal(b[6] >> 5, 1); /* TST */
	assert_int_equal(b[6] & 0x04, 0); /* D_SENSE */
	assert_int_equal(b[7], 0x10); /* QAM, QERR */
	assert_int_equal(b[9] & 0x40, 0x40); /* TAS */
}

static void all_pages_come_with_3f(void **state)
{
	uint8_t b[128];

	for (unsigned subpage = 0; subpage < 256; subpage += 255) {
		struct res r = in(S0, b, 128, CDB(0x1a, 0x08, 0x3f, subpage, 128, 0));

		good(r);
		assert_int_equal(r.len, 4 + 20 + 12);
		assert_int_equal(b[4], 0x08);
		assert_int_equal(b[24], 0x0a);
	}
}

static void an_unknown_page_or_subpage_is_refused(void **state)
{
	uint8_t b[64];

	expect_cdb(sense6(0x1d, b, 64), 2, 5);
	expect_cdb(in(S0, b, 64, CDB(0x1a, 0, 0x0a, 0x05, 64, 0)), 3, 7);
	expect_cdb(in(S0, b, 64, CDB(0x5a, 0, 0x1d, 0, 0, 0, 0, 0, 64, 0)), 2, 5);
}

static void saved_values_are_not_supported(void **state)
{
	uint8_t b[64];

	expect(sense6(0xc0 | 0x3f, b, 64), V_SAVING_NOT_SUPPORTED);
}

static void changeable_are_wce_d_sense_and_swp(void **state)
{
	uint8_t b[64];

	good(in(S0, b, 64, CDB(0x1a, 0x08, 0x40 | 0x3f, 0, 64, 0)));
	assert_int_equal(b[4 + 2], 0x04);
	for (unsigned i = 3; i < 20; i++)
		assert_int_equal(b[4 + i], 0);
	assert_int_equal(b[24 + 2], 0x04);
	assert_int_equal(b[24 + 4], 0x08);
	assert_int_equal(b[24 + 3], 0);
}

static void the_short_block_descriptor_has_size_and_length(void **state)
{
	uint8_t b[64];

	good(sense6(0x08, b, 64));
	assert_int_equal(b[3], 8);
	assert_int_equal(be_load(b + 4, 4), rig_blocks());
	assert_int_equal(be_load(b + 9, 3), rig_bs());
	assert_int_equal(b[12], 0x08);
}

static void the_long_block_descriptor_comes_with_llbaa(void **state)
{
	uint8_t b[64];
	struct res r = in(S0, b, 64, CDB(0x5a, 0x10, 0x08, 0, 0, 0, 0, 0, 64, 0));

	good(r);
	assert_int_equal(r.len, 8 + 16 + 20);
	assert_int_equal(be_load(b, 2), r.len - 2);
	assert_int_equal(b[4] & 1, 1);
	assert_int_equal(be_load(b + 6, 2), 16);
	assert_int_equal(be_load(b + 8, 8), rig_blocks());
	assert_int_equal(be_load(b + 20, 4), rig_bs());
}

static void write_protection_shows_in_the_header(void **state)
{
	uint8_t b[64];

	good(sense6(0x08, b, 64));
	assert_int_equal(b[2], rig.disk.readonly ? 0x90 : 0x10);
	good(in(S0, b, 64, CDB(0x5a, 0, 0x08, 0, 0, 0, 0, 0, 64, 0)));
	assert_int_equal(b[3], rig.disk.readonly ? 0x90 : 0x10);
}

static void a_short_allocation_length_cuts_the_data(void **state)
{
	uint8_t b[64];
	struct res r = sense6(0x3f, b, 4);

	good(r);
	assert_int_equal(r.len, 4);
	assert_int_equal(b[0], 43);
	good(in(S0, NULL, 0, CDB(0x1a, 0, 0x3f, 0, 0, 0)));
}

static void wce_can_be_changed_and_others_are_told(void **state)
{
	struct loop_session *other = rig_login("iqn.2026-11.test:two", false);
	uint8_t p[64], b[64];

	good(select6(p, (uint8_t)caching_list(p, !rig.disk.wce)));
	good(in(other, b, 64, CDB(0x12, 0, 0, 0, 36, 0))); /* INQUIRY passes */
	expect(tur(other), V_UA_MODE_CHANGED);
	good(tur(S0));
	good(in(other, b, 64, CDB(0x1a, 0x08, 0x08, 0, 64, 0)));
	assert_int_equal(b[6], rig.disk.wce ? 0x10 : 0x14);
	/* the default remains */
	good(in(other, b, 64, CDB(0x1a, 0x08, 0x80 | 0x08, 0, 64, 0)));
	assert_int_equal(b[6], rig.disk.wce ? 0x14 : 0x10);
}

static void selecting_what_is_already_so_tells_nobody(void **state)
{
	struct loop_session *other = rig_login("iqn.2026-11.test:two", false);
	uint8_t p[64];

	good(select6(p, (uint8_t)caching_list(p, rig.disk.wce)));
	good(tur(other));
}

static void a_reset_brings_the_defaults_back(void **state)
{
	uint8_t p[64], b[64];

	good(select6(p, (uint8_t)caching_list(p, !rig.disk.wce)));
	assert_int_equal(rig_manage(S0, TMF_LU_RESET, DISK_LUN, 0), TMF_COMPLETE);
	tur(S0);
	good(in(S0, b, 64, CDB(0x1a, 0x08, 0x08, 0, 64, 0)));
	assert_int_equal(b[6], rig.disk.wce ? 0x14 : 0x10);
}

static void d_sense_chooses_descriptor_format(void **state)
{
	uint8_t p[64], *d = rig_data(1, 1);
	unsigned n = control_list(p);
	struct res r;

	p[4 + 2] |= 0x04;
	good(select6(p, (uint8_t)n));
	r = in(S0, d, rig_bs(), CDB(0x88, 0, B8(1ull << 40), B4(1), 0, 0));
	expect(r, V_LBA_OUT_OF_RANGE);
	assert_true(r.descriptor);
	assert_true(r.info_valid);
	assert_true(r.info == 1ull << 40);
	r = in(S0, d, 96, CDB(0x12, 0, 1, 0, 96, 0));
	expect_cdb(r, 2, 7);
	assert_true(r.descriptor);
}

static void swp_protects_the_medium(void **state)
{
	uint8_t p[64], b[64], *d = rig_data(1, 1);
	unsigned n = control_list(p);

	p[4 + 4] |= 0x08;
	good(select6(p, (uint8_t)n));
	expect(write10(S0, 0, 1, d), V_WRITE_PROTECTED);
	good(read10(S0, 0, 1, d));
	good(sense6(0x0a, b, 64));
	assert_int_equal(b[2] & 0x80, 0x80);
	p[4 + 4] &= ~0x08;
	good(select6(p, (uint8_t)n));
	if (!rig.disk.readonly)
		good(write10(S0, 0, 1, d));
}

static void a_fixed_bit_cannot_be_changed_and_is_pointed_at(void **state)
{
	uint8_t p[64];
	unsigned n = caching_list(p, rig.disk.wce);

	p[4 + 12] ^= 0x80; /* FSW */
	expect_param(select6(p, (uint8_t)n), 16, 7);
	n = control_list(p);
	p[4 + 5] ^= 0x40; /* TAS */
	expect_param(select6(p, (uint8_t)n), 9, 6);
	n = control_list(p);
	p[4 + 2] ^= 0x20; /* TST */
	expect_param(select6(p, (uint8_t)n), 6, 5);
}

static void a_bad_second_page_changes_nothing(void **state)
{
	uint8_t p[64], b[64];
	unsigned n = caching_list(p, !rig.disk.wce);

	p[n] = 0x1d;
	p[n + 1] = 0;
	expect_param(select6(p, (uint8_t)(n + 2)), n, 5);
	good(in(S0, b, 64, CDB(0x1a, 0x08, 0x08, 0, 64, 0)));
	assert_int_equal(b[6], rig.disk.wce ? 0x14 : 0x10);
}

static void both_pages_may_come_at_once_by_mode_select_10(void **state)
{
	uint8_t p[64] = { 0 }, b[64];

	caching_list(p + 4, !rig.disk.wce);
	memset(p, 0, 8);
	good(in(S0, b, 64, CDB(0x1a, 0x08, 0x0a, 0, 64, 0)));
	memcpy(p + 28, b + 4, 12);
	good(out(S0, p, 40, CDB(0x55, 0x10, 0, 0, 0, 0, 0, B2(40), 0)));
	good(in(S0, b, 64, CDB(0x1a, 0x08, 0x08, 0, 64, 0)));
	assert_int_equal(b[6], rig.disk.wce ? 0x10 : 0x14);
}

static void lists_that_are_cut_off_have_a_wrong_length(void **state)
{
	uint8_t p[64];
	unsigned n = caching_list(p, rig.disk.wce);

	for (unsigned i = 1; i < 4; i++)
		expect(select6(p, (uint8_t)i), V_PARAM_LIST_LENGTH);
	good(select6(p, 4)); /* no page at all */
	for (unsigned i = 5; i < n; i++)
		expect(select6(p, (uint8_t)i), V_PARAM_LIST_LENGTH);
	good(out(S0, NULL, 0, CDB(0x15, 0x10, 0, 0, 0, 0)));
	/* the initiator sends less than it says */
	expect(out(S0, p, 8, CDB(0x15, 0x10, 0, 0, n, 0)), V_PARAM_LIST_LENGTH);
}

static void a_wrong_page_length_is_pointed_at(void **state)
{
	uint8_t p[64];
	unsigned n = caching_list(p, rig.disk.wce);

	p[5] = 0x0a;
	expect_param(select6(p, (uint8_t)n), 5, 7);
	p[5] = 0xff;
	expect_param(select6(p, (uint8_t)n), 5, 7);
}

static void a_block_descriptor_length_beyond_the_list_is_refused(void **state)
{
	uint8_t p[64];
	unsigned n = caching_list(p, rig.disk.wce);

	p[3] = 0xf8;
	expect(select6(p, (uint8_t)n), V_PARAM_LIST_LENGTH);
	p[3] = 5;
	expect_param(select6(p, (uint8_t)n), 3, 7);
}

static void a_block_descriptor_may_repeat_the_format_only(void **state)
{
	uint8_t p[64] = { 0, 0, 0, 8 };

	memcpy(p + 12, caching, 20);
	p[14] = rig.disk.wce ? 0x14 : 0x10;
	be_store(p + 9, 3, rig_bs());
	good(select6(p, 32));
	be_store(p + 4, 4, rig_blocks());
	good(select6(p, 32));
	be_store(p + 4, 4, rig_blocks() - 1);
	expect_param(select6(p, 32), 4, 7);
	be_store(p + 4, 4, 0);
	be_store(p + 9, 3, rig_bs() * 2);
	expect_param(select6(p, 32), 9, 7);
}

static void saving_is_refused(void **state)
{
	uint8_t p[64];
	unsigned n = caching_list(p, rig.disk.wce);

	expect_cdb(out(S0, p, n, CDB(0x15, 0x11, 0, 0, n, 0)), 1, 0);
	expect_cdb(out(S0, p, n, CDB(0x15, 0x00, 0, 0, n, 0)), 1, 4);
}

static void a_cache_that_is_switched_off_makes_writes_stable(void **state)
{
	uint8_t p[64], *d = rig_data(1, 1), *b = rig_data(1, 0);

	good(select6(p, (uint8_t)caching_list(p, false)));
	if (rig.disk.readonly)
		return;
	good(write10(S0, 5, 1, d));
	good(read10(S0, 5, 1, b));
	assert_memory_equal(b, d, rig_bs());
}

/* ---- the administrator's side ---- */

static void the_mode_page_of_tgt_admin_switches_the_cache(void **state)
{
	static const uint8_t off[18] = { 0x10, 0,    0xff, 0xff, 0,    0,
					 0xff, 0xff, 0xff, 0xff, 0x80, 0x14 };
	struct lu_mode m = { .wce = true, .d_sense = true };
	uint8_t on[18];
	struct err e;

	memcpy(on, off, sizeof(on));
	on[0] = 0x14;
	assert_int_equal(disk_mode_page(&m, 8, 0, off, 18, &e), 0);
	assert_false(m.wce);
	assert_true(m.d_sense);
	assert_int_equal(disk_mode_page(&m, 8, 0, on, 18, &e), 0);
	assert_true(m.wce);
	assert_true(disk_mode_page(&m, 8, 0, on, 17, &e) < 0);
	assert_true(disk_mode_page(&m, 8, 1, on, 18, &e) < 0);
	assert_true(disk_mode_page(&m, 63, 0, on, 18, &e) < 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(the_caching_page_is_tgts),
		rig_test(the_control_page_says_what_is_fixed),
		rig_test(all_pages_come_with_3f),
		rig_test(an_unknown_page_or_subpage_is_refused),
		rig_test(saved_values_are_not_supported),
		rig_test(changeable_are_wce_d_sense_and_swp),
		rig_test(the_short_block_descriptor_has_size_and_length),
		rig_test(the_long_block_descriptor_comes_with_llbaa),
		rig_test(write_protection_shows_in_the_header),
		rig_test(a_short_allocation_length_cuts_the_data),
		rig_test(wce_can_be_changed_and_others_are_told),
		rig_test(selecting_what_is_already_so_tells_nobody),
		rig_test(a_reset_brings_the_defaults_back),
		rig_test(d_sense_chooses_descriptor_format),
		rig_test(swp_protects_the_medium),
		rig_test(a_fixed_bit_cannot_be_changed_and_is_pointed_at),
		rig_test(a_bad_second_page_changes_nothing),
		rig_test(both_pages_may_come_at_once_by_mode_select_10),
		rig_test(lists_that_are_cut_off_have_a_wrong_length),
		rig_test(a_wrong_page_length_is_pointed_at),
		rig_test(a_block_descriptor_length_beyond_the_list_is_refused),
		rig_test(a_block_descriptor_may_repeat_the_format_only),
		rig_test(saving_is_refused),
		rig_test(a_cache_that_is_switched_off_makes_writes_stable),
		cmocka_unit_test(the_mode_page_of_tgt_admin_switches_the_cache),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
