/* SPDX-License-Identifier: BSD-2-Clause */
/* What every message has to look like before it is run. */
#include "rig.h"

#include "base/bits.h"
#include "transport/vhost/device.h"

static void headers_of_other_versions_are_refused(void **state)
{
	for (uint32_t version = 0; version < 4; version++) {
		struct vu_header h = { 1, version, 0 };

		assert_int_equal(!vu_check_header(&h), version == 1);
	}
}

static void answers_to_nothing_are_refused(void **state)
{
	struct vu_header h = { 1, VU_VERSION | VU_REPLY, 0 };

	assert_non_null(vu_check_header(&h));
}

static void payloads_are_bounded(void **state)
{
	struct vu_header h = { 1, VU_VERSION, VU_PAYLOAD_MAX };

	assert_null(vu_check_header(&h));
	h.size++;
	assert_non_null(vu_check_header(&h));
	h.size = UINT32_MAX;
	assert_non_null(vu_check_header(&h));
}

static void unknown_requests_have_no_row(void **state)
{
	const uint32_t unknown[] = { 0, 19, 20, 21, 22, 26, 28, 33, 39, 41, 1000, UINT32_MAX };

	for (unsigned i = 0; i < array_size(unknown); i++)
		assert_null(vu_row(unknown[i]));
}

/* Handlers read their structure whole, and descriptors up to the least number, without another look. */
static void every_row_bounds_what_its_handler_reads(void **state)
{
	unsigned rows = 0;

	for (uint32_t request = 0; request < 64; request++) {
		const struct vu_row *row = vu_row(request);
		struct vu_msg m = { .head = { request, VU_VERSION, 0 } };

		if (!row)
			continue;
		rows++;
		assert_true(row->min <= row->max && row->max <= VU_PAYLOAD_MAX);
		assert_true(row->fds_min <= row->fds_max && row->fds_max <= VU_FDS_MAX);
		m.nfds = row->fds_min;
		m.head.size = row->min;
		assert_null(vu_check_message(row, &m));
		m.head.size = row->max + 1u;
		assert_non_null(vu_check_message(row, &m));
		m.head.size = row->min - 1u;
		assert_non_null(vu_check_message(row, &m)); /* or 4 GiB */
		m.head.size = row->max;
		m.nfds = row->fds_max + 1u;
		assert_non_null(vu_check_message(row, &m));
	}
	assert_int_equal(rows, 26);
}

static void only_target_0_and_the_well_known_unit_have_a_lun(void **state)
{
	static const struct {
		uint8_t virtio[8], lun[8];
		bool ours;
	} cases[] = {
		{ { 1, 0, 0x40, 5 }, { 0x40, 5 }, true },
		{ { 1, 0, 0x7f, 0xff }, { 0x7f, 0xff }, true },
		{ { 1, 0, 0, 5 }, { 0, 5 }, true },
		{ { 0xc1, 1 }, { 0xc1, 1 }, true },
		{ { 1, 1, 0x40, 5 }, { 0 }, false },
		{ { 0, 0, 0x40, 5 }, { 0 }, false },
		{ { 1, 0, 0x40, 5, 1 }, { 0 }, false },
		{ { 1, 0, 0x40, 5, 0, 0, 0, 1 }, { 0 }, false },
	};

	for (unsigned i = 0; i < array_size(cases); i++) {
		uint8_t lun[8] = { 0 };

		assert_int_equal(lun_of(cases[i].virtio, lun), cases[i].ours);
		if (cases[i].ours)
			assert_memory_equal(lun, cases[i].lun, 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_of_other_versions_are_refused),
		cmocka_unit_test(answers_to_nothing_are_refused),
		cmocka_unit_test(payloads_are_bounded),
		cmocka_unit_test(unknown_requests_have_no_row),
		cmocka_unit_test(every_row_bounds_what_its_handler_reads),
		cmocka_unit_test(only_target_0_and_the_well_known_unit_have_a_lun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
