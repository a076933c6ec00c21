/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "transport/iscsi/text.h"

void text_init(struct text *t, uint32_t limit)
{
	*t = (struct text){ .limit = limit };
}

void text_free(struct text *t)
{
	free(t->data);
	text_init(t, t->limit);
}

void text_reset(struct text *t)
{
	t->len = 0;
}

static int text_grow(struct text *t, uint32_t len)
{
	uint32_t size = max(t->size, 512u);
	char *data;

	if (len > t->limit - t->len)
		return -EMSGSIZE;
	if (t->len + len <= t->size)
		return 0;
	while (size < t->len + len)
		size *= 2;
	data = realloc(t->data, size);
	if (!data)
		return -ENOMEM;
	t->data = data;
	t->size = size;
	return 0;
}

int text_append(struct text *t, const void *data, uint32_t len)
{
	int err = text_grow(t, len);

	if (err || !len)
		return err;
	memcpy(t->data + t->len, data, len);
	t->len += len;
	return 0;
}

int text_add(struct text *t, const char *key, const char *value)
{
	size_t k = strlen(key), v = strlen(value);
	int err;

	if (k > TEXT_KEY_MAX || v > TEXT_LONG_VALUE_MAX)
		return -EMSGSIZE;
	err = text_grow(t, (uint32_t)(k + v + 2));
	if (err)
		return err;
	memcpy(t->data + t->len, key, k);
	t->data[t->len + k] = '=';
	memcpy(t->data + t->len + k + 1, value, v + 1);
	t->len += (uint32_t)(k + v + 2);
	return 0;
}

int text_add_num(struct text *t, const char *key, uint32_t value)
{
	char digits[12];

	snprintf(digits, sizeof(digits), "%u", value);
	return text_add(t, key, digits);
}

static bool key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(".-+@_#", c)); /* # for X#registered keys */
}

static const char *check_pair(const char *pair, size_t len)
{
	const char *eq = memchr(pair, '=', len);
	size_t key;

	if (!eq)
		return "text without '='";
	key = (size_t)(eq - pair);
	if (!key)
		return "empty key";
	if (key > TEXT_KEY_MAX)
		return "key longer than 63 characters";
	/* 6.1 wants a capital first, and then defines iSCSIProtocolLevel */
	if (!((*pair >= 'A' && *pair <= 'Z') || (*pair >= 'a' && *pair <= 'z')))
		return "key that does not begin with a letter";
	for (size_t i = 0; i < key; i++)
		if (!key_char(pair[i]))
			return "key with a character that is not allowed";
	if (len - key - 1 > TEXT_LONG_VALUE_MAX)
		return "value too long";
	return NULL;
}

int text_check(const char *data, uint32_t len, const char **why)
{
	uint32_t pos = 0, pairs = 0;

	while (pos < len) {
		const char *end = memchr(data + pos, 0, len - pos);
		uint32_t n;

		*why = "text that no zero byte ends";
		if (!end)
			return -EPROTO;
		n = (uint32_t)(end - data) - pos;
		if (n) {
			*why = check_pair(data + pos, n);
			if (*why)
				return -EPROTO;
			*why = "too many keys";
			if (++pairs > TEXT_PAIRS_MAX)
				return -EPROTO;
		}
		pos += n + 1;
	}
	return 0;
}

bool text_next(const char *data, uint32_t len, uint32_t *pos, char key[TEXT_KEY_MAX + 1],
	       const char **value)
{
	const char *pair, *eq;

	while (*pos < len && !data[*pos])
		++*pos;
	if (*pos >= len)
		return false;
	pair = data + *pos;
	eq = strchr(pair, '=');
	memcpy(key, pair, (size_t)(eq - pair));
	key[eq - pair] = 0;
	*value = eq + 1;
	*pos += (uint32_t)strlen(pair) + 1;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_hex(const char *value)
{
	return value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
}

/* A decimal-constant or hex-constant below 2^64. */
static int number64(const char *p, uint64_t *out)
{
	unsigned base = is_hex(p) ? 16 : 10;
	uint64_t v = 0;

	if (base == 16)
		p += 2;
	else if (p[0] == '0' && p[1])
		return -EINVAL; /* a decimal-constant has no leading zero */
	if (!*p)
		return -EINVAL;
	for (; *p; p++) {
		int d = hex_digit(*p);

		if (d < 0 || (unsigned)d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (unsigned)d, &v))
			return -EINVAL;
	}
	*out = v;
	return 0;
}

int text_number(const char *value, uint32_t *out)
{
	uint64_t v;

	if (number64(value, &v) || v > UINT32_MAX)
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

/* n digits are (n + 1) / 2 bytes; an odd first digit stands alone. */
static int binary_hex(const char *p, uint8_t *out, size_t room)
{
	size_t n = strlen(p), bytes = (n + 1) / 2, at = n & 1;

	if (!n || bytes > room)
		return -EINVAL;
	memset(out, 0, bytes);
	for (size_t i = 0; i < n; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			return -EINVAL;
		out[(i + at) / 2] = (uint8_t)(out[(i + at) / 2] << 4 | d);
	}
	return (int)bytes;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648: groups of four, the last one padded. */
static int binary_base64(const char *p, uint8_t *out, size_t room)
{
	size_t n = strlen(p), pad = 0, bytes;
	uint32_t bits = 0;

	if (!n || n % 4)
		return -EINVAL;
	while (pad < 2 && p[n - 1 - pad] == '=')
		pad++;
	bytes = n / 4 * 3 - pad;
	if (bytes > room)
		return -EINVAL;
	for (size_t i = 0, o = 0; i < n; i++) {
		int d = i < n - pad ? base64_digit(p[i]) : 0;

		if (d < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)d;
		if (i % 4 != 3)
			continue;
		for (int shift = 16; shift >= 0 && o < bytes; shift -= 8)
			out[o++] = (uint8_t)(bits >> shift);
		bits = 0;
	}
	return (int)bytes;
}

/* As many bytes as the number needs, most significant first. */
static int binary_decimal(const char *p, uint8_t *out, size_t room)
{
	uint64_t v;
	size_t n;

	if (number64(p, &v))
		return -EINVAL;
	n = v ? (size_t)(64 - __builtin_clzll(v) + 7) / 8 : 1;
	if (n > room)
		return -EINVAL;
	for (size_t i = n; i-- > 0; v >>= 8)
		out[i] = (uint8_t)v;
	return (int)n;
}

int text_binary(const char *value, uint8_t *out, size_t room)
{
	if (is_hex(value))
		return binary_hex(value + 2, out, room);
	if (value[0] == '0' && (value[1] == 'b' || value[1] == 'B'))
		return binary_base64(value + 2, out, room);
	return binary_decimal(value, out, room);
}

bool text_list_next(const char *value, size_t *pos, char *item, size_t size)
{
	const char *p = value + *pos;
	size_t n = strcspn(p, ",");

	if (!*p || n >= size)
		return false;
	memcpy(item, p, n);
	item[n] = 0;
	*pos += n + (p[n] == ',');
	return true;
}
