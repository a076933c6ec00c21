/* SPDX-License-Identifier: BSD-2-Clause */
/* Text format of keys and values (RFC 7143 6.1). */
#ifndef STGT_ISCSI_TEXT_H
#define STGT_ISCSI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_KEY_MAX 63 /* characters of a key, RFC 7143 6.1 */
#define TEXT_VALUE_MAX 255 /* bytes of a value, unless its key says otherwise */
#define TEXT_LONG_VALUE_MAX 8192
#define TEXT_PAIRS_MAX 256 /* in one negotiation's request */

/* Text that grows up to a limit. Zero is the empty one; text_free() ends it. */
struct text {
	char *data;
	uint32_t len, size, limit;
};

void text_init(struct text *t, uint32_t limit);
void text_free(struct text *t);
/* Start anew, memory kept. */
void text_reset(struct text *t);
/* -EMSGSIZE beyond the limit, -ENOMEM. Nothing is added then. */
int text_append(struct text *t, const void *data, uint32_t len);
/* Append key=value and the zero byte. */
int text_add(struct text *t, const char *key, const char *value);
int text_add_num(struct text *t, const char *key, uint32_t value);

/*
 * Check that [@data, @data + @len) is a sequence of key=value pairs each ended by a
 * zero byte, with well-formed keys and no value above TEXT_LONG_VALUE_MAX.
 * Superfluous zero bytes between pairs and at the end are passed over. 0 or -EPROTO and
 * the reason at *@why.
 */
int text_check(const char *data, uint32_t len, const char **why);

/* The next pair of a checked text from *@pos on, false at its end. *@value points into the text. */
bool text_next(const char *data, uint32_t len, uint32_t *pos, char key[TEXT_KEY_MAX + 1],
	       const char **value);

/* numerical-value: decimal or hex-constant below 2^32. -EINVAL if it is not. */
int text_number(const char *value, uint32_t *out);

/*
 * binary-value: hex-constant (0x), base64-constant (0b), or a decimal-constant below 2^64. Returns
 * the number of bytes written to @out, or -EINVAL (bad encoding, or more than @room).
 */
int text_binary(const char *value, uint8_t *out, size_t room);

/*
 * The element of the list @value that starts at *@pos, which moves on; false at
 * the end, and at an element that does not fit in @size bytes.
 */
bool text_list_next(const char *value, size_t *pos, char *item, size_t size);

#endif
