/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "transport/iscsi/names.h"

static void well_formed_names_are_accepted(void **state)
{
	static const char *const names[] = {
		"iqn.2001-04.com.example",
		"iqn.2001-04.com.example:storage.disk2.sys1.xyz",
		"iqn.1991-05.com.microsoft:HOST",
		"iqn.2019-10.io.longhorn:pvc-1",
		"iqn.2008-11.org.linux-kvm:my_vm",
		"iqn.2001-04.com.example:d\xc3\xbcsk",
		"iqn.2001-12.com.example:\xf0\x90\x90\xa8",
		"eui.02004567A425678D",
		"naa.52004567BA64678D",
		"naa.62004567BA64678D0123456789ABCDEF",
	};

	for (unsigned i = 0; i < array_size(names); i++)
		assert_int_equal(iscsi_name_check(names[i], NULL), 0);
}

static void malformed_names_are_refused_with_a_reason(void **state)
{
	static const char *const names[] = {
		"",
		"disk1",
		"iqn",
		"iqn.",
		"iqn.2001",
		"iqn.2001-04",
		"iqn.2001-04.",
		"iqn.2001-04.:x",
		"iqn.2001-00.com.example",
		"iqn.2001-13.com.example",
		"iqn.20o1-04.com.example",
		"iqn.2001-04.com.example:a b",
		"iqn.2001-04.com.example:a\tb",
		"iqn.2001-04.com.example:a\x7f",
		"iqn.2001-04.com.example:a,i,0x",
		"iqn.2001-04.com.example:a\nb",
		"iqn.2001-04.com.example:\"",
		"eui.02004567A425678",
		"eui.02004567A425678DA",
		"eui.02004567A425678G",
		"naa.52004567BA64678D0",
		"naa.",
		"iqn.2001-04.com.example:\xff",
		"iqn.2001-04.com.example:\xc0\xaf", /* overlong */
		"iqn.2001-04.com.example:\xe0\x80\xaf",
		"iqn.2001-04.com.example:\xed\xa0\x80",
		"iqn.2001-04.com.example:\xf4\x90\x80\x80",
		"iqn.2001-04.com.example:\xc3",
		"iqn.2001-04.com.example:\xe3\x80",
		"iqn.2001-04.com.example:\xc2\x85",
		"iqn.2001-04.com.example:\xe3\x80\x82",
		"iqn.2001-04.com.example:\xe2\x80\xae",
	};

	for (unsigned i = 0; i < array_size(names); i++) {
		struct err e = { 0 };

		if (iscsi_name_check(names[i], &e) != -EINVAL)
			fail_msg("'%s' was accepted", names[i]);
		assert_int_equal(e.code, -EINVAL);
		assert_true(strlen(e.text) > 10);
	}
}

static void the_longest_name_is_223_bytes(void **state)
{
	char name[ISCSI_NAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	memcpy(name, "iqn.2001-04.", 12);
	name[ISCSI_NAME_MAX] = 0;
	assert_int_equal(iscsi_name_check(name, NULL), 0);
	name[ISCSI_NAME_MAX] = 'a';
	name[ISCSI_NAME_MAX + 1] = 0;
	assert_int_equal(iscsi_name_check(name, NULL), -EINVAL);
}

static void the_normal_form_is_lower_case(void **state)
{
	char out[ISCSI_NAME_MAX + 1];

	assert_int_equal(iscsi_name_normalise("IQN.2001-04.COM.Example:\xc3\x9cX", out, NULL), 0);
	assert_string_equal(out, "iqn.2001-04.com.example:\xc3\x9cx");
	assert_int_equal(iscsi_name_normalise("nonsense", out, NULL), -EINVAL);
}

static void a_transport_id_is_name_and_isid_padded_to_words(void **state)
{
	static const uint8_t isid[6] = { 0x80, 0x12, 0xab, 0, 0, 1 };
	uint8_t id[ISCSI_TRANSPORT_ID_MAX];
	static const char text[] = "iqn.2001-04.com.example:a,i,0x8012ab000001";
	uint16_t len = iscsi_transport_id("iqn.2001-04.com.example:a", isid, id);

	assert_int_equal(len % 4, 0);
	assert_int_equal(len, 4 + round_up(sizeof(text), 4));
	assert_int_equal(id[0], 0x45);
	assert_int_equal(id[1], 0);
	assert_int_equal(id[2] << 8 | id[3], len - 4);
	assert_string_equal((char *)id + 4, text);
	for (unsigned i = 4 + sizeof(text) - 1; i < len; i++)
		assert_int_equal(id[i], 0);
}

static void a_transport_id_has_at_least_24_bytes(void **state)
{
	static const uint8_t isid[6] = { 0 };
	uint8_t id[ISCSI_TRANSPORT_ID_MAX];

	assert_int_equal(iscsi_transport_id("", isid, id), 24);
	assert_int_equal(id[3], 20);
}

static void the_longest_name_fits_in_a_transport_id(void **state)
{
	static const uint8_t isid[6] = { 1, 2, 3, 4, 5, 6 };
	char name[ISCSI_NAME_MAX + 1];
	uint8_t id[ISCSI_TRANSPORT_ID_MAX];
	uint16_t len;

	memset(name, 'a', ISCSI_NAME_MAX);
	name[ISCSI_NAME_MAX] = 0;
	len = iscsi_transport_id(name, isid, id);
	assert_int_equal(len, ISCSI_TRANSPORT_ID_MAX);
	assert_string_equal((char *)id + 4 + ISCSI_NAME_MAX, ",i,0x010203040506");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed_names_are_accepted),
		cmocka_unit_test(malformed_names_are_refused_with_a_reason),
		cmocka_unit_test(the_longest_name_is_223_bytes),
		cmocka_unit_test(the_normal_form_is_lower_case),
		cmocka_unit_test(a_transport_id_is_name_and_isid_padded_to_words),
		cmocka_unit_test(a_transport_id_has_at_least_24_bytes),
		cmocka_unit_test(the_longest_name_fits_in_a_transport_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
