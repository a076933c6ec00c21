/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "transport/iscsi/names.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool name_ascii(char c)
{
	return is_digit(c) || is_letter(c) || (c && strchr("-.:_/@+", c));
}

/*
 * Bytes of the UTF-8 character at @p (zero-terminated, so that no byte beyond the end is
 * read), 0 if it is malformed, overlong, a surrogate, or a control or space character.
 */
static unsigned utf8_len(const uint8_t *p)
{
	unsigned n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	c = p[0] & (0xffu >> (n + 1));
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	if (c >= 0xd800 && c <= 0xdfff)
		return 0;
	/* RFC 3722 6: C1 controls and spaces; the ideographic full stop */
	if (c <= 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200f) ||
	    (c >= 0x2028 && c <= 0x202f) || c == 0x205f || (c >= 0x2060 && c <= 0x206f) ||
	    (c >= 0x3000 && c <= 0x3002) || c == 0xfeff || (c >= 0xfff9 && c <= 0xffff))
		return 0;
	return n;
}

static int check_characters(const char *name, struct err *e)
{
	const char *p = name;

	while (*p) {
		unsigned n = (uint8_t)*p < 0x80 ? name_ascii(*p) : utf8_len((const uint8_t *)p);

		if (!n)
			return err_set(e, -EINVAL,
				       "iSCSI name: the byte 0x%02x at position %zu is not allowed "
				       "(letters, digits, '-', '.' and ':' are)",
				       (uint8_t)*p, (size_t)(p - name) + 1);
		p += n;
	}
	return 0;
}

/* iqn.yyyy-mm.authority[:anything], RFC 7143 4.2.7.3; @p is behind "iqn.". */
static int check_iqn(const char *name, const char *p, struct err *e)
{
	static const char shape[] = "dddd-dd.";

	for (unsigned i = 0; shape[i]; i++)
		if (shape[i] == 'd' ? !is_digit(p[i]) : p[i] != shape[i])
			return err_set(e, -EINVAL,
				       "iSCSI name '%s': a date as in iqn.2001-04.com.example "
				       "must follow 'iqn.'",
				       name);
	if ((p[5] - '0') * 10 + p[6] - '0' < 1 || (p[5] - '0') * 10 + p[6] - '0' > 12)
		return err_set(e, -EINVAL, "iSCSI name '%s': the month is not 01 to 12", name);
	p += 8;
	if (!is_letter(*p) && !is_digit(*p) && !(*p & 0x80))
		return err_set(e, -EINVAL,
			       "iSCSI name '%s': a naming authority (a reversed domain name) "
			       "must follow the date",
			       name);
	return 0;
}

static int check_hex(const char *name, const char *p, bool naa, struct err *e)
{
	size_t n = strlen(p);

	for (size_t i = 0; i < n; i++)
		if (!is_hex(p[i]))
			n = 0;
	if (n == 16 || (naa && n == 32))
		return 0;
	return err_set(e, -EINVAL, "iSCSI name '%s': 16 %shexadecimal digits must follow '%s'",
		       name, naa ? "or 32 " : "", naa ? "naa." : "eui.");
}

int iscsi_name_check(const char *name, struct err *e)
{
	size_t n = strnlen(name, ISCSI_NAME_MAX + 1);
	int err;

	if (n > ISCSI_NAME_MAX)
		return err_set(e, -EINVAL, "iSCSI name: longer than %d bytes", ISCSI_NAME_MAX);
	err = check_characters(name, e);
	if (err)
		return err;
	if (!strncasecmp(name, "iqn.", 4))
		return check_iqn(name, name + 4, e);
	if (!strncasecmp(name, "eui.", 4))
		return check_hex(name, name + 4, false, e);
	if (!strncasecmp(name, "naa.", 4))
		return check_hex(name, name + 4, true, e);
	return err_set(e, -EINVAL,
		       "iSCSI name '%s': it must begin with 'iqn.', 'eui.' or 'naa.', as in "
		       "iqn.2001-04.com.example:disk1",
		       name);
}

int iscsi_name_normalise(const char *name, char *out, struct err *e)
{
	int err = iscsi_name_check(name, e);
	size_t i;

	if (err)
		return err;
	for (i = 0; name[i]; i++)
		out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 'a' - 'A') : name[i];
	out[i] = 0;
	return 0;
}

uint16_t iscsi_transport_id(const char *initiator, const uint8_t isid[6],
			    uint8_t out[ISCSI_TRANSPORT_ID_MAX])
{
	char *text = (char *)out + 4;
	int n;
	uint16_t len;

	memset(out, 0, ISCSI_TRANSPORT_ID_MAX);
	n = snprintf(text, ISCSI_TRANSPORT_ID_MAX - 4, "%.*s,i,0x%02x%02x%02x%02x%02x%02x",
		     ISCSI_NAME_MAX, initiator, isid[0], isid[1], isid[2], isid[3], isid[4],
		     isid[5]);
	len = (uint16_t)max(round_up((uint64_t)n + 1, 4), (uint64_t)20);
	out[0] = 0x40 | 0x05; /* FORMAT CODE 01b, PROTOCOL IDENTIFIER iSCSI */
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	return len + 4;
}
