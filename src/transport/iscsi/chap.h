/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CHAP (RFC 1994 as RFC 7143 12.1.3 uses it), the target's side of one login:
 * authenticates the initiator, and on request the target to the initiator.
 * Text in, text out; secrets come from the caller. A chap is one login's and
 * is wiped at its end.
 */
#ifndef STGT_ISCSI_CHAP_H
#define STGT_ISCSI_CHAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAP_CHALLENGE_MAX 1024 /* bytes, RFC 7143 12.1.3 */
#define CHAP_DIGEST_MAX 32
#define CHAP_MD5 5
#define CHAP_SHA1 6
#define CHAP_SHA256 7
#define CHAP_SHA3_256 8

struct chap {
	int algorithm; /* 0: none chosen yet */
	uint8_t id; /* of our challenge */
	uint8_t challenge[CHAP_DIGEST_MAX];
	uint16_t challenge_len;

	uint8_t response[CHAP_DIGEST_MAX]; /* the initiator's, as decoded */
	bool mutual; /* the initiator wants to authenticate us */
	uint8_t their_id;
	uint8_t their_challenge[CHAP_CHALLENGE_MAX];
	uint16_t their_challenge_len;
};

/* All return 0, or -EACCES with a reason for the log at *@why. */

/*
 * Choose the first algorithm of the initiator's list (the value of CHAP_A)
 * that is known and that the crypto library admits, and make identifier and challenge.
 */
int chap_begin(struct chap *c, const char *list, const char **why);

/* Our challenge as the value of CHAP_C; @out holds CHAP_TEXT_MAX bytes. */
#define CHAP_TEXT_MAX (2 + 2 * CHAP_DIGEST_MAX + 1)
void chap_challenge_text(const struct chap *c, char out[CHAP_TEXT_MAX]);

/*
 * Take the initiator's answer: values of CHAP_R, and of CHAP_I and CHAP_C for
 * mutual authentication (both NULL if not sent; one alone is refused).
 * A challenge that reflects ours is refused.
 */
int chap_take(struct chap *c, const char *r, const char *i, const char *ch, const char **why);

/*
 * True if the initiator's response was made with @secret. With @known false (no such
 * user) the same work is done, and the answer is false.
 */
bool chap_verify(const struct chap *c, bool known, const char *secret);

/*
 * Our response to the initiator's challenge by @out_secret, as the value of
 * CHAP_R. Refused if the secrets of both directions are the same.
 */
int chap_respond(const struct chap *c, const char *in_secret, const char *out_secret,
		 char out[CHAP_TEXT_MAX], const char **why);

/* Forget everything. */
void chap_wipe(struct chap *c);

/*
 * The response H(id | secret | challenge) to @out. Returns its length, 0 if the library refuses
 * the algorithm.
 */
size_t chap_hash(int algorithm, uint8_t id, const char *secret, const uint8_t *challenge,
		 size_t challenge_len, uint8_t out[CHAP_DIGEST_MAX]);

#endif
