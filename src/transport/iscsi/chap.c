/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/bits.h"
#include "transport/iscsi/chap.h"
#include "transport/iscsi/text.h"

/* RFC 7143 12.1.3 and IANA's "PPP authentication algorithms". */
static const struct chap_algorithm {
	int number;
	const char *name; /* OpenSSL's */
	uint16_t len; /* of its digest, and of our challenge */
} chap_algorithms[] = {
	{ CHAP_SHA3_256, "SHA3-256", 32 },
	{ CHAP_SHA256, "SHA2-256", 32 },
	{ CHAP_SHA1, "SHA1", 20 },
	{ CHAP_MD5, "MD5", 16 },
};

static const struct chap_algorithm *chap_algorithm(uint32_t number)
{
	for (unsigned i = 0; i < array_size(chap_algorithms); i++)
		if (chap_algorithms[i].number == (int)number)
			return &chap_algorithms[i];
	return NULL;
}

static int refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EACCES;
}

static bool digest_parts(EVP_MD_CTX *ctx, const EVP_MD *md, uint8_t id, const char *secret,
			 const uint8_t *challenge, size_t challenge_len,
			 uint8_t out[CHAP_DIGEST_MAX])
{
	unsigned n = 0;

	return EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, &id, 1) &&
	       EVP_DigestUpdate(ctx, secret, strlen(secret)) &&
	       EVP_DigestUpdate(ctx, challenge, challenge_len) && EVP_DigestFinal_ex(ctx, out, &n);
}

size_t chap_hash(int algorithm, uint8_t id, const char *secret, const uint8_t *challenge,
		 size_t challenge_len, uint8_t out[CHAP_DIGEST_MAX])
{
	const struct chap_algorithm *a = chap_algorithm((uint32_t)algorithm);
	EVP_MD *md = a ? EVP_MD_fetch(NULL, a->name, NULL) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = 0;

	memset(out, 0, CHAP_DIGEST_MAX);
	if (md && ctx && EVP_MD_get_size(md) == a->len &&
	    digest_parts(ctx, md, id, secret, challenge, challenge_len, out))
		len = a->len;
	EVP_MD_CTX_free(ctx);
	EVP_MD_free(md);
	return len;
}

/* False where the library refuses it: MD5 in FIPS mode. */
static bool chap_usable(const struct chap_algorithm *a)
{
	uint8_t out[CHAP_DIGEST_MAX];

	return chap_hash(a->number, 0, "", out, 0, out) != 0;
}

int chap_begin(struct chap *c, const char *list, const char **why)
{
	const struct chap_algorithm *a = NULL;
	char item[TEXT_KEY_MAX + 1];
	size_t pos = 0;
	uint32_t number;

	/* 6.2.1: the first of the originator's list that we support */
	while (!a && text_list_next(list, &pos, item, sizeof(item))) {
		if (text_number(item, &number))
			continue;
		a = chap_algorithm(number);
		if (a && !chap_usable(a))
			a = NULL;
	}
	if (!a)
		return refuse(why, "no CHAP algorithm in common");
	*c = (struct chap){ .algorithm = a->number, .challenge_len = a->len };
	if (RAND_bytes(c->challenge, c->challenge_len) != 1 || RAND_bytes(&c->id, 1) != 1) {
		chap_wipe(c);
		return refuse(why, "no random numbers");
	}
	return 0;
}

static void to_hex(const uint8_t *p, size_t len, char out[CHAP_TEXT_MAX])
{
	snprintf(out, CHAP_TEXT_MAX, "0x");
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 + 2 * i, 3, "%02x", p[i]);
}

void chap_challenge_text(const struct chap *c, char out[CHAP_TEXT_MAX])
{
	to_hex(c->challenge, c->challenge_len, out);
}

static int take_challenge(struct chap *c, const char *i, const char *ch, const char **why)
{
	uint32_t id;
	int n;

	if (!i || !ch)
		return refuse(why, "CHAP_I and CHAP_C must come together");
	if (text_number(i, &id) || id > 255)
		return refuse(why, "CHAP_I is not a number from 0 to 255");
	n = text_binary(ch, c->their_challenge, sizeof(c->their_challenge));
	if (n <= 0)
		return refuse(why, "CHAP_C is not a binary value of 1 to 1024 bytes");
	/* 12.1.3: a responder must check for this */
	if (n == c->challenge_len && !CRYPTO_memcmp(c->their_challenge, c->challenge, (size_t)n))
		return refuse(why, "CHAP_C reflects our challenge");
	c->mutual = true;
	c->their_id = (uint8_t)id;
	c->their_challenge_len = (uint16_t)n;
	return 0;
}

int chap_take(struct chap *c, const char *r, const char *i, const char *ch, const char **why)
{
	int n = text_binary(r, c->response, sizeof(c->response));

	if (n != c->challenge_len)
		return refuse(why, "CHAP_R is not a binary value of the digest's length");
	if (!i && !ch)
		return 0;
	return take_challenge(c, i, ch, why);
}

bool chap_verify(const struct chap *c, bool known, const char *secret)
{
	uint8_t right[CHAP_DIGEST_MAX];
	size_t n = chap_hash(c->algorithm, c->id, known ? secret : "no such user", c->challenge,
			     c->challenge_len, right);
	bool same = n && n == c->challenge_len && !CRYPTO_memcmp(right, c->response, n);

	OPENSSL_cleanse(right, sizeof(right));
	return same && known;
}

/* In time that tells nothing of where they differ. */
static bool same_secret(const char *a, const char *b)
{
	size_t n = strlen(a);

	return n == strlen(b) && !CRYPTO_memcmp(a, b, n);
}

int chap_respond(const struct chap *c, const char *in_secret, const char *out_secret,
		 char out[CHAP_TEXT_MAX], const char **why)
{
	uint8_t digest[CHAP_DIGEST_MAX];
	size_t n;

	/* 12.1.3, 9.2.1: else our response would be what another needs to be admitted */
	if (same_secret(in_secret, out_secret))
		return refuse(why, "the CHAP secrets of both directions are the same");
	n = chap_hash(c->algorithm, c->their_id, out_secret, c->their_challenge,
		      c->their_challenge_len, digest);
	if (!n)
		return refuse(why, "the crypto library refuses the algorithm");
	to_hex(digest, n, out);
	return 0;
}

void chap_wipe(struct chap *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
}
