/* SPDX-License-Identifier: BSD-2-Clause */
/* INQUIRY, vital product data, and LUNs that are special or not there. */
#include "rig.h"

static struct res inquiry(void *buf, uint16_t alloc)
{
	return in(S0, buf, alloc, CDB(0x12, 0, 0, B2(alloc), 0));
}

static struct res vpd(uint8_t page, void *buf, uint16_t alloc)
{
	return in(S0, buf, alloc, CDB(0x12, 1, page, B2(alloc), 0));
}

static void standard_data_name_the_disk(void **state)
{
	uint8_t b[256];
	struct res r = inquiry(b, 255);

	good(r);
	assert_int_equal(r.len, 96);
	assert_int_equal(r.residual, RESID_UNDERFLOW);
	assert_int_equal(b[0], 0);
	assert_int_equal(b[1], rig.disk.removable ? 0x80 : 0);
	assert_int_equal(b[2], 6);
	assert_int_equal(b[3], 0x12);
	assert_int_equal(b[4], 91);
	assert_int_equal(b[7], 2);
	assert_memory_equal(b + 8, "IET     VIRTUAL-DISK    0001", 28);
	assert_int_equal(be_load(b + 58, 2), 0x00a0);
	assert_int_equal(be_load(b + 60, 2), 0x0960);
}

static void an_allocation_length_of_zero_is_no_error(void **state)
{
	struct res r = in(S0, NULL, 0, CDB(0x12, 0, 0, 0, 0, 0));

	good(r);
	assert_int_equal(r.len, 0);
	assert_int_equal(r.residual, RESID_NONE);
}

static void data_are_cut_to_the_allocation_length(void **state)
{
	uint8_t b[64];
	struct res r;

	memset(b, 0xee, sizeof(b));
	r = in(S0, b, 64, CDB(0x12, 0, 0, 0, 36, 0));
	good(r);
	assert_int_equal(r.len, 36);
	assert_int_equal(b[4], 91);
	assert_int_equal(b[36], 0xee);
	assert_int_equal(r.residual, RESID_UNDERFLOW);
	assert_int_equal(r.residual_count, 28);
}

static void more_data_than_the_initiator_expects_is_an_overflow(void **state)
{
	uint8_t b[8];
	struct res r = in(S0, b, 8, CDB(0x12, 0, 0, 0, 96, 0));

	good(r);
	assert_int_equal(r.len, 8);
	assert_int_equal(r.residual, RESID_OVERFLOW);
	assert_int_equal(r.residual_count, 88);
}

static void a_page_without_evpd_is_refused(void **state)
{
	uint8_t b[96];

	expect_cdb(in(S0, b, 96, CDB(0x12, 0, 0x80, 0, 96, 0)), 2, 7);
}

static void an_unknown_page_is_refused(void **state)
{
	uint8_t b[96];

	expect_cdb(vpd(0xc7, b, 96), 2, 7);
}

static void a_reserved_bit_is_refused_where_it_is(void **state)
{
	uint8_t b[96];

	expect_cdb(in(S0, b, 96, CDB(0x12, 0x02, 0, 0, 96, 0)), 1, 1);
	expect_cdb(in(S0, b, 96, CDB(0x12, 0x80, 0, 0, 96, 0)), 1, 7);
}

static void naca_is_refused(void **state)
{
	uint8_t b[96];

	expect_cdb(in(S0, b, 96, CDB(0x12, 0, 0, 0, 96, 0x04)), 5, 2);
}

static void every_listed_page_answers_and_names_itself(void **state)
{
	uint8_t list[64], b[512];
	struct res r = vpd(0, list, sizeof(list));
	unsigned n = (unsigned)be_load(list + 2, 2);

	good(r);
	assert_int_equal(r.len, 4 + n);
	assert_int_equal(n, 6);
	for (unsigned i = 0; i < n; i++) {
		r = vpd(list[4 + i], b, sizeof(b));
		good(r);
		assert_int_equal(b[0], 0);
		assert_int_equal(b[1], list[4 + i]);
		assert_int_equal(r.len, 4 + be_load(b + 2, 2));
		assert_true(!i || list[4 + i] > list[3 + i]);
	}
}

static void the_serial_number_is_the_configured_one(void **state)
{
	uint8_t b[64];
	struct res r = vpd(0x80, b, sizeof(b));

	good(r);
	assert_int_equal(r.len, 4 + 6);
	assert_memory_equal(b + 4, "beaf31", 6);
}

/* The designator of @type in page 83h, NULL if there is none. */
static const uint8_t *designator(const uint8_t *b, unsigned len, unsigned what)
{
	for (unsigned i = 4; i < len; i += 4u + b[i + 3])
		if ((b[i + 1] & 0x3f) == what)
			return b + i;
	return NULL;
}

static void the_identification_page_has_tgts_designators(void **state)
{
	static const uint8_t naa[16] = { 0x60, [8] = 0x0e, [13] = 3, [15] = 1 };
	uint8_t b[512];
	struct res r = vpd(0x83, b, sizeof(b));
	const uint8_t *d;

	good(r);
	d = designator(b, r.len, 0x01);
	assert_non_null(d);
	assert_int_equal(d[0], 2);
	assert_int_equal(d[3], 16);
	assert_memory_equal(d + 4, "IET     00030001", 16);
	d = designator(b, r.len, 0x03);
	assert_non_null(d);
	assert_int_equal(d[3], 16);
	assert_memory_equal(d + 4, naa, 16);
}

static void the_identification_page_names_port_and_target(void **state)
{
	static const char port[] = "iqn.2026-11.test:disk,t,0x0001",
			  target[] = "iqn.2026-11.test:disk";
	uint8_t b[512];
	struct res r = vpd(0x83, b, sizeof(b));
	const uint8_t *d;

	good(r);
	d = designator(b, r.len, 0x14);
	assert_non_null(d);
	assert_int_equal(d[0], 0x51);
	assert_int_equal(d[1], 0x94);
	assert_int_equal(be_load(d + 4, 4), 3);
	d = designator(b, r.len, 0x18);
	assert_non_null(d);
	assert_int_equal(d[0], 0x53);
	assert_int_equal(d[3] % 4, 0);
	assert_memory_equal(d + 4, port, sizeof(port));
	d = designator(b, r.len, 0x28);
	assert_non_null(d);
	assert_memory_equal(d + 4, target, sizeof(target));
}

static void block_limits_bound_every_long_command(void **state)
{
	uint8_t b[64];
	struct res r = vpd(0xb0, b, sizeof(b));

	good(r);
	assert_int_equal(r.len, 64);
	assert_int_equal(b[4] & 1, 1);
	assert_int_equal(be_load(b + 8, 4), MIB(32) / rig_bs());
	assert_int_equal(be_load(b + 36, 8), (1u << 30) / rig_bs());
	if (rig.disk.thin) {
		assert_int_equal(be_load(b + 20, 4), min((4ull << 30) / rig_bs(), 1ull << 20));
		assert_int_equal(be_load(b + 24, 4), 256);
	} else {
		assert_int_equal(be_load(b + 20, 8), 0);
	}
}

static void block_characteristics_tell_the_rotation_rate(void **state)
{
	uint8_t b[64];
	struct res r = vpd(0xb1, b, sizeof(b));

	good(r);
	assert_int_equal(r.len, 64);
	assert_int_equal(be_load(b + 4, 2), 1);
}

static void the_provisioning_page_tells_thin_from_thick(void **state)
{
	uint8_t b[64];
	struct res r = vpd(0xb2, b, sizeof(b));

	good(r);
	assert_int_equal(r.len, 8);
	assert_int_equal(b[5], rig.disk.thin ? 0xe4 : 0);
	/* 001b, resource provisioned, goes with LBPME=1 only */
	assert_int_equal(b[6], rig.disk.thin ? 2 : 0);
}

static void an_unknown_opcode_is_refused(void **state)
{
	expect(none(S0, CDB(0xff, 0, 0, 0, 0, 0)), V_INVALID_OPCODE);
	expect(none(S0, CDB(0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0)), V_INVALID_OPCODE);
}

static void an_unknown_service_action_is_an_invalid_field(void **state)
{
	expect_cdb(none(S0, CDB(0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), 1, 4);
}

/* ---- LUNs that are not there, the controller, the well known LU ---- */

static void an_absent_lun_answers_inquiry_as_unknown(void **state)
{
	uint8_t b[96];
	struct res r = in_lun(S0, 77, b, 96, CDB(0x12, 0, 0, 0, 96, 0));

	good(r);
	assert_int_equal(b[0], 0x7f);
}

static void an_absent_lun_refuses_all_else(void **state)
{
	uint8_t b[512];

	expect(none_lun(S0, 77, CDB(0, 0, 0, 0, 0, 0)), V_LU_NOT_SUPPORTED);
	expect(in_lun(S0, 77, b, 512, CDB(0x28, 0, B4(0), 0, B2(1), 0)), V_LU_NOT_SUPPORTED);
	expect(none_lun(S0, 16383, CDB(0xfe, 0, 0, 0, 0, 0)), V_LU_NOT_SUPPORTED);
	expect(none_lun(S0, 77, CDB(0xa3, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), V_LU_NOT_SUPPORTED);
}

static void request_sense_of_an_absent_lun_says_so(void **state)
{
	uint8_t b[18];
	struct res r = in_lun(S0, 77, b, 18, CDB(0x03, 0, 0, 0, 18, 0));

	good(r);
	assert_int_equal(b[2], SK_ILLEGAL_REQUEST);
	assert_int_equal(b[12], 0x25);
}

static void luns_of_odd_formats_are_absent(void **state)
{
	static const uint8_t odd[][8] = {
		{ 0x01, 0x01 }, /* another bus */
		{ 0x00, 0x01, 0x00, 0x02 }, /* two levels */
		{ 0x80, 0x01 }, /* logical unit addressing */
		{ 0xc1, 0x02 }, /* another well known LU */
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};

	for (unsigned i = 0; i < array_size(odd); i++) {
		struct loop_cmd c;

		rig_cmd(&c, S0, CDB(0, 0, 0, 0, 0, 0), NULL, NULL, 0);
		memcpy(c.lun_bytes, odd[i], 8);
		rig_start(&c);
		rig_until(c.finished);
		expect(rig_result(&c), V_LU_NOT_SUPPORTED);
	}
}

static void flat_addressing_finds_the_same_lun(void **state)
{
	struct loop_cmd c;

	rig_cmd(&c, S0, CDB(0, 0, 0, 0, 0, 0), NULL, NULL, 0);
	c.lun_bytes[0] = 0x40;
	c.lun_bytes[1] = DISK_LUN;
	rig_start(&c);
	rig_until(c.finished);
	good(rig_result(&c));
}

static void the_controller_has_the_primary_commands_only(void **state)
{
	uint8_t b[96];
	struct res r = in_lun(S0, 0, b, 96, CDB(0x12, 0, 0, 0, 96, 0));

	good(r);
	assert_int_equal(b[0], 0x0c);
	good(none_lun(S0, 0, CDB(0, 0, 0, 0, 0, 0)));
	expect(in_lun(S0, 0, b, 96, CDB(0x28, 0, B4(0), 0, B2(1), 0)), V_INVALID_OPCODE);
	r = in_lun(S0, 0, b, 96, CDB(0x12, 1, 0xb0, 0, 96, 0));
	expect_cdb(r, 2, 7);
	good(in_lun(S0, 0, b, 96, CDB(0x1a, 0, 0x3f, 0, 96, 0)));
	assert_int_equal(b[3], 0); /* no block descriptor */
}

static void the_well_known_lun_answers_report_luns(void **state)
{
	uint8_t b[64];
	struct loop_cmd c;

	rig_cmd(&c, S0, CDB(0xa0, 0, 0, 0, 0, 0, B4(64), 0, 0), b, NULL, 64);
	c.lun_bytes[0] = 0xc1;
	c.lun_bytes[1] = 0x01;
	rig_start(&c);
	rig_until(c.finished);
	good(rig_result(&c));
	assert_int_equal(be_load(b, 4), 16);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		rig_test(standard_data_name_the_disk),
		rig_test(an_allocation_length_of_zero_is_no_error),
		rig_test(data_are_cut_to_the_allocation_length),
		rig_test(more_data_than_the_initiator_expects_is_an_overflow),
		rig_test(a_page_without_evpd_is_refused),
		rig_test(an_unknown_page_is_refused),
		rig_test(a_reserved_bit_is_refused_where_it_is),
		rig_test(naca_is_refused),
		rig_test(every_listed_page_answers_and_names_itself),
		rig_test(the_serial_number_is_the_configured_one),
		rig_test(the_identification_page_has_tgts_designators),
		rig_test(the_identification_page_names_port_and_target),
		rig_test(block_limits_bound_every_long_command),
		rig_test(block_characteristics_tell_the_rotation_rate),
		rig_test(the_provisioning_page_tells_thin_from_thick),
		rig_test(an_unknown_opcode_is_refused),
		rig_test(an_unknown_service_action_is_an_invalid_field),
		rig_test(an_absent_lun_answers_inquiry_as_unknown),
		rig_test(an_absent_lun_refuses_all_else),
		rig_test(request_sense_of_an_absent_lun_says_so),
		rig_test(luns_of_odd_formats_are_absent),
		rig_test(flat_addressing_finds_the_same_lun),
		rig_test(the_controller_has_the_primary_commands_only),
		rig_test(the_well_known_lun_answers_report_luns),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
