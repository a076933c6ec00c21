/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be told without a connection: wire formats, portals' text, extended CDBs. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>

#include "base/bits.h"
#include "transport/iscsi/portal.h"
#include "transport/iscsi/task.h"

static void fields_are_where_the_standard_puts_them(void **state)
{
	union pdu p = { .bytes = { 0 } };

	p.r2t.r2t_sn = be32_make(0x01020304);
	assert_int_equal(p.bytes[36], 1);
	p.r2t.desired = be32_make(0x05060708);
	assert_int_equal(p.bytes[44], 5);
	p.data_in.status = 9;
	assert_int_equal(p.bytes[3], 9);
	p.async.event = 10;
	assert_int_equal(p.bytes[36], 10);
	p.async.parameter3 = be16_make(0x0b0c);
	assert_int_equal(p.bytes[42], 0x0b);
	p.logout_response.time2wait = be16_make(0x0d0e);
	assert_int_equal(p.bytes[40], 0x0d);
	p.reject.reason = 0x0f;
	assert_int_equal(p.bytes[2], 0x0f);
	p.logout_request.cid = be16_make(0x1112);
	assert_int_equal(p.bytes[20], 0x11);
	p.tmf_request.ref_cmd_sn = be32_make(0x13141516);
	assert_int_equal(p.bytes[32], 0x13);
	p.login_response.status_class = 0x17;
	assert_int_equal(p.bytes[36], 0x17);
}

static void data_is_padded_to_words(void **state)
{
	assert_int_equal(pdu_pad(0), 0);
	assert_int_equal(pdu_pad(1), 3);
	assert_int_equal(pdu_pad(3), 1);
	assert_int_equal(pdu_pad(0xffffff), 1);
	assert_int_equal(pdu_pad(512), 0);
}

static void portals_are_parsed(void **state)
{
	struct sockaddr_storage to[2];
	struct err e = { 0 };

	assert_int_equal(portal_parse("127.0.0.1:3261", to, &e), 1);
	assert_int_equal(ntohs(((struct sockaddr_in *)&to[0])->sin_port), 3261);
	assert_int_equal(portal_parse("127.0.0.1", to, &e), 1);
	assert_int_equal(ntohs(((struct sockaddr_in *)&to[0])->sin_port), ISCSI_PORT);
	assert_int_equal(portal_parse("127.0.0.1:3260,1", to, &e), 1);
	assert_int_equal(portal_parse("[::1]:860", to, &e), 1);
	assert_int_equal(to[0].ss_family, AF_INET6);
	assert_int_equal(ntohs(((struct sockaddr_in6 *)&to[0])->sin6_port), 860);
	assert_int_equal(portal_parse("[::]", to, &e), 1);
	assert_int_equal(portal_parse(":3260", to, &e), 2);
	assert_int_equal(to[0].ss_family, AF_INET);
	assert_int_equal(to[1].ss_family, AF_INET6);
}

static void other_text_is_no_portal(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"1.2.3.4:",
		"1.2.3.4:x",
		"1.2.3.4:65536",
		"1.2.3.4:-1",
		"1.2.3.4:123456",
		"::1",
		"::1:3260",
		"[::1",
		"[::1]x",
		"[::1]3260",
		"[1.2.3.4]:3260",
		"[]:3260",
		"host:3260",
		"1.2.3:3260",
		"1.2.3.4:3260,2",
		"1.2.3.4:3260,",
		",1",
		"[::1%lo]:3260",
		"1.2.3.4:3260                                                                     ",
	};
	struct sockaddr_storage to[2];

	for (unsigned i = 0; i < array_size(bad); i++) {
		struct err e = { 0 };

		if (portal_parse(bad[i], to, &e) != -EINVAL || !e.code)
			fail_msg("'%s' is taken", bad[i]);
	}
}

static void an_extended_cdb_is_put_together(void **state)
{
	uint8_t cdb[CDB_MAX] = { 0x7f }, ahs[20] = { 0, 17, AHS_EXTENDED_CDB, 0, 0xa0 };

	ahs[19] = 0xb0;
	assert_int_equal(command_cdb(cdb, ahs, 20), 32);
	assert_int_equal(cdb[16], 0xa0);
	assert_int_equal(cdb[31], 0xb0);
}

static void malformed_additional_headers_are_refused(void **state)
{
	static const struct {
		const char *why;
		uint16_t length;
		uint8_t type;
		uint32_t total;
	} bad[] = {
		{ "length 0", 0, AHS_EXTENDED_CDB, 4 },
		{ "no byte of CDB", 1, AHS_EXTENDED_CDB, 4 },
		{ "longer than the whole", 20, AHS_EXTENDED_CDB, 8 },
		{ "longer than a CDB", CDB_MAX, AHS_EXTENDED_CDB, 1020 },
		{ "wraps around", 0xffff, AHS_EXTENDED_CDB, 1020 },
		{ "bidirectional", 5, AHS_BIDI_READ_LENGTH, 8 },
		{ "unknown type", 5, 3, 8 },
		{ "two", 5, AHS_EXTENDED_CDB, 16 },
	};

	for (unsigned i = 0; i < array_size(bad); i++) {
		uint8_t cdb[CDB_MAX], *ahs = calloc(1, bad[i].total);

		assert_non_null(ahs);
		be_store(ahs, 2, bad[i].length);
		ahs[2] = bad[i].type;
		if (bad[i].total == 16)
			memcpy(ahs + 8, ahs, 8);
		if (command_cdb(cdb, ahs, bad[i].total))
			fail_msg("taken: %s", bad[i].why);
		free(ahs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_where_the_standard_puts_them),
		cmocka_unit_test(data_is_padded_to_words),
		cmocka_unit_test(portals_are_parsed),
		cmocka_unit_test(other_text_is_no_portal),
		cmocka_unit_test(an_extended_cdb_is_put_together),
		cmocka_unit_test(malformed_additional_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
