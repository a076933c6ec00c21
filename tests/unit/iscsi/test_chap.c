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
#include "transport/iscsi/chap.h"
#include "transport/iscsi/text.h"

#define SECRET "a secret of some length"
#define OTHER "another secret, for us"

static const struct {
	int number;
	const char *text;
	size_t len;
} algorithms[] = {
	{ CHAP_MD5, "5", 16 },
	{ CHAP_SHA1, "6", 20 },
	{ CHAP_SHA256, "7", 32 },
	{ CHAP_SHA3_256, "8", 32 },
};

/* What an initiator answers: CHAP_R in hex. */
static void respond(const struct chap *c, const char *secret, char out[CHAP_TEXT_MAX])
{
	uint8_t digest[CHAP_DIGEST_MAX];
	size_t n = chap_hash(c->algorithm, c->id, secret, c->challenge, c->challenge_len, digest);

	assert_true(n > 0);
	snprintf(out, CHAP_TEXT_MAX, "0x");
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 + 2 * i, 3, "%02x", digest[i]);
}

static void begin(struct chap *c, const char *list)
{
	const char *why = NULL;

	assert_int_equal(chap_begin(c, list, &why), 0);
}

static int take(struct chap *c, const char *r, const char *i, const char *ch)
{
	const char *why = NULL;
	int err = chap_take(c, r, i, ch, &why);

	assert_true(!err || (why && *why));
	return err;
}

/* By another implementation: printf '\x07secret\x01\x02\x03' | openssl dgst -ALGORITHM */
static void the_hashes_are_those_of_the_algorithms(void **state)
{
	static const struct {
		int number;
		const char *hex;
	} known[] = {
		{ CHAP_MD5, "cdeeb61420fa9e1b2d5b00336857b9ef" },
		{ CHAP_SHA1, "2bb98255d248fba3070b7622e5d033309525d8bf" },
		{ CHAP_SHA256, "51d5f35cc3e48506612bc645077b5922b2bef29a05147972e55a06ef7e9bc3b3" },
		{ CHAP_SHA3_256,
		  "8a638df74ac86e960162bc77a493a597554d6773c4985a09880b903432e00233" },
	};
	uint8_t out[CHAP_DIGEST_MAX], want[CHAP_DIGEST_MAX];

	for (unsigned i = 0; i < array_size(known); i++) {
		size_t n =
			chap_hash(known[i].number, 7, "secret", (const uint8_t *)"\1\2\3", 3, out);
		char text[80];

		snprintf(text, sizeof(text), "0x%s", known[i].hex);
		assert_int_equal(text_binary(text, want, sizeof(want)), (int)n);
		assert_memory_equal(out, want, n);
	}
	assert_int_equal(chap_hash(4, 7, "secret", (const uint8_t *)"\1", 1, out), 0);
}

static void every_algorithm_authenticates(void **state)
{
	for (unsigned i = 0; i < array_size(algorithms); i++) {
		char r[CHAP_TEXT_MAX], challenge[CHAP_TEXT_MAX];
		struct chap c;

		begin(&c, algorithms[i].text);
		assert_int_equal(c.algorithm, algorithms[i].number);
		chap_challenge_text(&c, challenge);
		assert_int_equal(strlen(challenge), 2 + 2 * algorithms[i].len);
		respond(&c, SECRET, r);
		assert_int_equal(take(&c, r, NULL, NULL), 0);
		assert_false(c.mutual);
		assert_true(chap_verify(&c, true, SECRET));
		assert_false(chap_verify(&c, true, OTHER));
		assert_false(chap_verify(&c, false, SECRET));
		assert_false(chap_verify(&c, false, ""));
	}
}

static void every_algorithm_authenticates_us(void **state)
{
	for (unsigned i = 0; i < array_size(algorithms); i++) {
		char r[CHAP_TEXT_MAX];
		uint8_t want[CHAP_DIGEST_MAX], got[CHAP_DIGEST_MAX];
		const char *why;
		struct chap c;
		size_t n;

		begin(&c, algorithms[i].text);
		respond(&c, SECRET, r);
		assert_int_equal(take(&c, r, "0xfe", "0x0102030405060708090a0b0c0d0e0f10"), 0);
		assert_true(c.mutual);
		assert_int_equal(chap_respond(&c, SECRET, OTHER, r, &why), 0);
		n = chap_hash(c.algorithm, 0xfe, OTHER,
			      (const uint8_t *)"\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20", 16,
			      want);
		assert_int_equal(text_binary(r, got, sizeof(got)), (int)n);
		assert_memory_equal(got, want, n);
	}
}

static void the_first_known_algorithm_of_the_list_is_chosen(void **state)
{
	struct chap c;

	begin(&c, "9,x,6,7");
	assert_int_equal(c.algorithm, CHAP_SHA1);
	begin(&c, "8,7,6,5");
	assert_int_equal(c.algorithm, CHAP_SHA3_256);
}

static void a_list_without_a_known_algorithm_is_refused(void **state)
{
	static const char *const lists[] = { "", "9", "x", "1,2,3", "05", ",", "4294967301" };
	const char *why;
	struct chap c;

	for (unsigned i = 0; i < array_size(lists); i++)
		assert_int_equal(chap_begin(&c, lists[i], &why), -EACCES);
}

static void challenges_differ_from_login_to_login(void **state)
{
	struct chap a, b;

	begin(&a, "7");
	begin(&b, "7");
	assert_memory_not_equal(a.challenge, b.challenge, a.challenge_len);
}

static void a_response_to_another_challenge_is_refused(void **state)
{
	char r[CHAP_TEXT_MAX];
	struct chap a, b;

	begin(&a, "7");
	begin(&b, "7");
	respond(&a, SECRET, r);
	assert_int_equal(take(&b, r, NULL, NULL), 0);
	assert_false(chap_verify(&b, true, SECRET));
}

static void a_base64_response_is_understood(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t d[CHAP_DIGEST_MAX + 2] = { 0 };
	char r[64] = "0b";
	struct chap c;

	begin(&c, "7");
	assert_int_equal(chap_hash(7, c.id, SECRET, c.challenge, c.challenge_len, d), 32);
	for (unsigned i = 0; i < 33; i += 3) {
		unsigned v = (unsigned)(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);

		for (unsigned j = 0; j < 4; j++)
			r[2 + i / 3 * 4 + j] = digits[v >> (18 - 6 * j) & 63];
	}
	r[2 + 43] = '=';
	r[2 + 44] = 0;
	assert_int_equal(take(&c, r, NULL, NULL), 0);
	assert_true(chap_verify(&c, true, SECRET));
}

static void malformed_responses_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"0x",
		"0x00",
		"nonsense",
		"0bAAAA",
		"12345",
		"0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
	};
	struct chap c;

	begin(&c, "7");
	for (unsigned i = 0; i < array_size(bad); i++)
		assert_int_equal(take(&c, bad[i], NULL, NULL), -EACCES);
}

static void half_a_mutual_challenge_is_refused(void **state)
{
	char r[CHAP_TEXT_MAX];
	struct chap c;

	begin(&c, "5");
	respond(&c, SECRET, r);
	assert_int_equal(take(&c, r, "1", NULL), -EACCES);
	assert_int_equal(take(&c, r, NULL, "0x01"), -EACCES);
	assert_int_equal(take(&c, r, "256", "0x01"), -EACCES);
	assert_int_equal(take(&c, r, "x", "0x01"), -EACCES);
	assert_int_equal(take(&c, r, "1", "0x"), -EACCES);
	assert_int_equal(take(&c, r, "1", ""), -EACCES);
}

static void challenges_have_up_to_1024_bytes(void **state)
{
	char r[CHAP_TEXT_MAX], ch[2 + 2 * 1025 + 1];
	struct chap c;

	begin(&c, "5");
	respond(&c, SECRET, r);
	memset(ch, '1', sizeof(ch));
	ch[1] = 'x';
	ch[0] = '0';
	ch[2 + 2 * 1025] = 0;
	assert_int_equal(take(&c, r, "1", ch), -EACCES);
	ch[2 + 2 * 1024] = 0;
	assert_int_equal(take(&c, r, "1", ch), 0);
	assert_int_equal(c.their_challenge_len, 1024);
}

static void a_reflected_challenge_is_refused(void **state)
{
	char r[CHAP_TEXT_MAX], ch[CHAP_TEXT_MAX];
	struct chap c;

	for (unsigned i = 0; i < array_size(algorithms); i++) {
		begin(&c, algorithms[i].text);
		respond(&c, SECRET, r);
		chap_challenge_text(&c, ch);
		assert_int_equal(take(&c, r, "1", ch), -EACCES);
	}
}

static void one_secret_for_both_directions_is_refused(void **state)
{
	char r[CHAP_TEXT_MAX];
	const char *why;
	struct chap c;

	begin(&c, "7");
	respond(&c, SECRET, r);
	assert_int_equal(take(&c, r, "1", "0x0102"), 0);
	assert_int_equal(chap_respond(&c, SECRET, SECRET, r, &why), -EACCES);
}

static void nothing_is_left_after_the_end(void **state)
{
	static const struct chap none;
	struct chap c;

	begin(&c, "7");
	chap_wipe(&c);
	assert_memory_equal(&c, &none, sizeof(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hashes_are_those_of_the_algorithms),
		cmocka_unit_test(every_algorithm_authenticates),
		cmocka_unit_test(every_algorithm_authenticates_us),
		cmocka_unit_test(the_first_known_algorithm_of_the_list_is_chosen),
		cmocka_unit_test(a_list_without_a_known_algorithm_is_refused),
		cmocka_unit_test(challenges_differ_from_login_to_login),
		cmocka_unit_test(a_response_to_another_challenge_is_refused),
		cmocka_unit_test(a_base64_response_is_understood),
		cmocka_unit_test(malformed_responses_are_refused),
		cmocka_unit_test(half_a_mutual_challenge_is_refused),
		cmocka_unit_test(challenges_have_up_to_1024_bytes),
		cmocka_unit_test(a_reflected_challenge_is_refused),
		cmocka_unit_test(one_secret_for_both_directions_is_refused),
		cmocka_unit_test(nothing_is_left_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
