/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/iscsi/digest.h"

/* RFC 3720 B.4: bytes as they stand on the wire. */
static void check(const uint8_t *data, size_t len, const uint8_t wire[4])
{
	uint8_t got[ISCSI_DIGEST_LEN];

	iscsi_digest_store(got, iscsi_crc32c(data, len));
	assert_memory_equal(got, wire, 4);
	assert_int_equal(iscsi_digest_load(wire), iscsi_crc32c(data, len));
}

static void thirty_two_zeroes_have_the_digest_of_the_rfc(void **state)
{
	uint8_t data[32] = { 0 };

	check(data, 32, (const uint8_t[]){ 0xaa, 0x36, 0x91, 0x8a });
}

static void thirty_two_ones_have_the_digest_of_the_rfc(void **state)
{
	uint8_t data[32];

	memset(data, 0xff, 32);
	check(data, 32, (const uint8_t[]){ 0x43, 0xab, 0xa8, 0x62 });
}

static void incrementing_bytes_have_the_digest_of_the_rfc(void **state)
{
	uint8_t data[32];

	for (unsigned i = 0; i < 32; i++)
		data[i] = (uint8_t)i;
	check(data, 32, (const uint8_t[]){ 0x4e, 0x79, 0xdd, 0x46 });
}

static void decrementing_bytes_have_the_digest_of_the_rfc(void **state)
{
	uint8_t data[32];

	for (unsigned i = 0; i < 32; i++)
		data[i] = (uint8_t)(31 - i);
	check(data, 32, (const uint8_t[]){ 0x5c, 0xdb, 0x3f, 0x11 });
}

static void a_read_command_has_the_digest_of_the_rfc(void **state)
{
	static const uint8_t pdu[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
		0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0,
	};

	check(pdu, sizeof(pdu), (const uint8_t[]){ 0x56, 0x3a, 0x96, 0xd9 });
}

static void pieces_make_the_same_digest_as_the_whole(void **state)
{
	uint8_t data[1000];
	uint32_t whole;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	whole = iscsi_crc32c(data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut += 37) {
		struct iscsi_digest d = ISCSI_DIGEST_INIT;

		iscsi_digest_add(&d, data, cut);
		iscsi_digest_add(&d, data + cut, 0);
		iscsi_digest_add(&d, data + cut, sizeof(data) - cut);
		assert_int_equal(iscsi_digest_value(&d), whole);
	}
}

static void one_flipped_bit_changes_the_digest(void **state)
{
	uint8_t data[64] = { 0 };
	uint32_t before = iscsi_crc32c(data, sizeof(data));

	for (unsigned bit = 0; bit < 8 * sizeof(data); bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(iscsi_crc32c(data, sizeof(data)), before);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thirty_two_zeroes_have_the_digest_of_the_rfc),
		cmocka_unit_test(thirty_two_ones_have_the_digest_of_the_rfc),
		cmocka_unit_test(incrementing_bytes_have_the_digest_of_the_rfc),
		cmocka_unit_test(decrementing_bytes_have_the_digest_of_the_rfc),
		cmocka_unit_test(a_read_command_has_the_digest_of_the_rfc),
		cmocka_unit_test(pieces_make_the_same_digest_as_the_whole),
		cmocka_unit_test(one_flipped_bit_changes_the_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
