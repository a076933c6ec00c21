/* SPDX-License-Identifier: BSD-2-Clause */
/* LU parameters by tgt's names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "control/unit.h"

/* What tgt-admin and Longhorn send to switch the write cache off. */
#define WRITE_CACHE_OFF "8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0"

static void the_identity_is_tgts(void **state)
{
	static const uint8_t naa[16] = { 0x60, 0, 0, 0, 0, 0, 0, 0, 0x0e, 0, 0, 0, 0x12, 0x34, 0, 2 };
	struct lu_ident id;

	ident_default(&id, 1, 1, false);
	assert_string_equal(id.scsi_id, "IET     00010001");
	assert_string_equal(id.serial, "beaf11");
	assert_string_equal(id.vendor, "IET");
	assert_string_equal(id.product, "VIRTUAL-DISK");
	ident_default(&id, 0x1234, 2, false);
	assert_string_equal(id.scsi_id, "IET     12340002");
	assert_memory_equal(id.naa, naa, 16);
	ident_default(&id, 1, 0, true);
	assert_string_equal(id.product, "Controller");
	ident_default(&id, 65535, 16383, false);
	assert_string_equal(id.scsi_id, "IET     ffff3fff");
	assert_string_equal(id.serial, "beaf6553516383");
}

static void the_write_cache_is_switched_by_its_mode_page(void **state)
{
	struct unit_change ch = { 0 };
	struct lu_mode m = { .wce = true };
	struct err e;

	assert_int_equal(change_set(&ch, "mode_page", WRITE_CACHE_OFF, &e), 0);
	change_mode(&ch, &m);
	assert_false(m.wce);
}

static void values_are_taken(void **state)
{
	struct unit_change ch = { 0 };
	struct err e;

	assert_int_equal(change_set(&ch, "vendor_id", "ACME", &e), 0);
	assert_int_equal(change_set(&ch, "scsi_sn", "12345", &e), 0);
	assert_int_equal(change_set(&ch, "lbppbe", "3", &e), 0);
	assert_int_equal(change_set(&ch, "removable", "1", &e), 0);
	assert_int_equal(change_set(&ch, "readonly", "0", &e), 0);
	assert_int_equal(change_set(&ch, "online", "No", &e), 0);
	assert_int_equal(change_set(&ch, "sense_format", "1", &e), 0);
	assert_int_equal(change_set(&ch, "optimal_xfer_len", "0x10000", &e), 0);
	assert_string_equal(ch.ident.vendor, "ACME");
	assert_string_equal(ch.ident.serial, "12345");
	assert_int_equal(ch.ident.lbppbe, 3);
	assert_int_equal(ch.ident.optimal_length, 65536);
	assert_true(ch.ident_changed && ch.ident.removable);
	assert_true(ch.has_readonly && !ch.readonly);
	assert_true(ch.has_online && !ch.online);
	assert_true(ch.has_d_sense && ch.d_sense);
}

static void bad_values_are_refused_by_name(void **state)
{
	static const struct {
		const char *name, *value, *text;
	} cases[] = {
		{ "vendor_id", "123456789", "vendor" },
		{ "scsi_sn", "0123456789012345678901234567890123456", "serial" },
		{ "product_id", "caf\xc3\xa9", "printable ASCII" },
		{ "lbppbe", "16", "0 to 15" },
		{ "lbppbe", "-1", "lbppbe=-1" },
		{ "lbppbe", "", "lbppbe" },
		{ "lbppbe", "1x", "lbppbe=1x" },
		{ "optimal_xfer_len", "99999999999999999999", "a number" },
		{ "online", "perhaps", "online=perhaps" },
		{ "colour", "red", "no parameter 'colour'" },
		{ "vendor", "x", "did you mean 'vendor_id'?" },
		{ "mode_page", "", "mode_page" },
		{ "mode_page", "8", "mode_page=8" },
		{ "mode_page", "8:0:18", "as many bytes" },
		{ "mode_page", "8:0:18:1:2", "as many bytes" },
		{ "mode_page", "8:0:1:1:2", "as many bytes" },
		{ "mode_page", "8:0:999:1", "mode_page=999" },
		{ "mode_page", "8:0:1:256", "mode_page=256" },
		{ "mode_page", "8:0:1:z", "mode_page=z" },
		{ "mode_page", "63:0:1:0", "" },
	};
	struct unit_change ch;
	struct err e;

	for (unsigned i = 0; i < array_size(cases); i++) {
		memset(&ch, 0, sizeof(ch));
		memset(&e, 0, sizeof(e));
		assert_int_not_equal(change_set(&ch, cases[i].name, cases[i].value, &e), 0);
		if (!*e.text || !strstr(e.text, cases[i].text))
			fail_msg("%s=%s: '%s' does not hold '%s'", cases[i].name, cases[i].value,
				 e.text, cases[i].text);
	}
}

static void the_store_cannot_be_changed(void **state)
{
	struct unit_change ch = { 0 };
	struct err e;

	assert_int_equal(change_set(&ch, "path", "/x", &e), -EOPNOTSUPP);
}

static void more_mode_pages_than_there_is_room_for_are_refused(void **state)
{
	struct unit_change ch = { 0 };
	struct err e;

	for (unsigned i = 0; i < MODE_EDITS; i++)
		assert_int_equal(change_set(&ch, "mode_page", WRITE_CACHE_OFF, &e), 0);
	assert_int_not_equal(change_set(&ch, "mode_page", WRITE_CACHE_OFF, &e), 0);
}

static void values_that_are_no_strings_are_refused(void **state)
{
	json_t *o = json_pack("{s:i}", "online", 1);
	struct unit_change ch = { 0 };
	struct err e;

	assert_int_not_equal(change_set_all(&ch, o, &e), 0);
	assert_non_null(strstr(e.text, "must be a string"));
	assert_int_equal(change_set_all(&ch, NULL, &e), 0);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_identity_is_tgts),
		cmocka_unit_test(the_write_cache_is_switched_by_its_mode_page),
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(bad_values_are_refused_by_name),
		cmocka_unit_test(the_store_cannot_be_changed),
		cmocka_unit_test(more_mode_pages_than_there_is_room_for_are_refused),
		cmocka_unit_test(values_that_are_no_strings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
