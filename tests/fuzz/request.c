/* SPDX-License-Identifier: BSD-2-Clause */
#include "request.h"

#include <stdlib.h>
#include <string.h>

/* Values that get somewhere; each list ends with NULL. */
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define LITERAL 0xff /* the value follows in the input */
#define FOREIGN 0xf0 /* and above: a value from any list */

static const struct values {
	const char *param;
	const char *const *words;
} values[] = {
	{ "name", WORDS("iqn.2026-11.fuzz:t", "iqn.2026-11.fuzz:u", "iqn.2026-11.FUZZ:U",
			"eui.02004567a425678d", "not_a_name", "state", "State", "debug",
			"log_level", "MaxBurstLength", "FirstBurstLength", "HeaderDigest",
			"nop_interval", "nop_count", "MaxRecvDataSegmentLength", "InitialR2T") },
	{ "value", WORDS("ready", "offline", "on", "off", "error", "info", "", "0", "1", "512",
			 "65536", "Yes", "No", "CRC32C", "None", "-1", "4294967296") },
	{ "target", WORDS("iqn.2026-11.fuzz:t", "iqn.2026-11.fuzz:u", "not_a_name", "nobody") },
	{ "type", WORDS("disk", "cd", "tape", "") },
	{ "path", WORDS("/a", "/bb", "/ccc", "/dddd", "relative", "/dev/null/x") },
	{ "bstype", WORDS("mem", "null", "delay:delay_us=3000000+mem", "nullhome", "file", "rdwr",
			  "aio", "nul", "delay:delay_us=60000000+mem", "volatile:memory=64K+mem",
			  "mem+file", "limit+mem", "+", ":", "error:count=1,kind=hang+mem",
			  "stats+readonly+limit:iops=9+stats+stats+mem") },
	{ "bsopts",
	  WORDS("size=1M", "size=64K;limit=4K", "size=1M,limit=64K", "size=1M,memory=1M", "size=1T",
		"size=", "size=1", "siz=1M", "size=1M;size=1M", "", "limit=1") },
	{ "bsoflags", WORDS("sync", "direct", "sync:direct", "dsync", "synk", ":") },
	{ "address", WORDS("ALL", "127.0.0.1", "10.0.0.0/8", "::1", "fe80::/10", "1.2.3", "/") },
	{ "initiator_address", WORDS("ALL", "127.0.0.1", "10.0.0.0/8", "nonsense") },
	{ "initiator", WORDS("iqn.2026-11.fuzz:i", "iqn.2026-11.fuzz:j", "x") },
	{ "user", WORDS("joe", "target", "jim", "jo\xc3\xab") },
	{ "password", WORDS("secret123456", "anothersecret", "x") },
	{ "portal", WORDS("127.0.0.1:0", ":3260", "[::1]", "nonsense", "1:2:3") },
	{ "opcode", WORDS("40", "0x2a", "READ(10)", "READ(1)", "PERSISTENT RESERVE OUT", "256") },
	{ "cursor", WORDS("1:500", "1:1", "2:500", "0:0", ":", "1:99999999999999999999") },
};

/* LU parameters by tgt's names, and values for them. */
static const char *const lu_names[] = {
	"scsi_id",
	"scsi_sn",
	"vendor_id",
	"product_id",
	"product_rev",
	"sense_format",
	"lbppbe",
	"la_lba",
	"optimal_xfer_gran",
	"optimal_xfer_len",
	"rotation_rate",
	"removable",
	"thin_provisioning",
	"readonly",
	"online",
	"mode_page",
	"path",
	"bsopts",
	"onlin",
};
static const char *const lu_values[] = {
	"0",
	"1",
	"on",
	"off",
	"VENDOR",
	"8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0",
	"10:0:10:2:0x10:0:0:0:0:0:0:2:0",
	"10:0:1:0",
	"15",
	"65535",
	"4294967295",
	"0x3f",
	"a serial number that fits in",
	"far too long for whatever it may be given to, I would say",
};

struct number_values {
	const char *param;
	int64_t v[6];
};
static const struct number_values numbers[] = {
	{ "tid", { 1, 2, 3, 1, 1, 65535 } },
	{ "lun", { 1, 2, 0, 3, 1, 16383 } },
	{ "sid", { 1, 2, 3, 1, 0, 4 } },
	{ "cid", { 0, 1, 0, 0, 0, 65535 } },
	{ "size", { 64, 100, 128, 1000, 64, 4096 } },
	{ "count", { 1, 10, 65536, 500, 501, 1000 } },
};

/* Up to a zero byte, which the daemon's parser refuses whatever it is part of. */
static json_t *literal(struct input *in)
{
	struct input piece = input_piece(in, input_byte(in));
	json_t *s = json_stringn((const char *)piece.p,
				 piece.left ? strnlen((const char *)piece.p, piece.left) : 0);

	return s ? s : json_string("");
}

static const char *word(const char *const *words, unsigned n)
{
	unsigned len = 0;

	while (words[len])
		len++;
	return words[n % len];
}

static json_t *string_value(const struct param *p, uint8_t b, struct input *in)
{
	const char *const *words = values[input_byte(in) % array_size(values)].words;

	if (b == LITERAL)
		return literal(in);
	if (b >= FOREIGN)
		return json_string(word(words, b));
	for (unsigned i = 0; i < array_size(values); i++)
		if (!strcmp(values[i].param, p->name))
			return json_string(word(values[i].words, b));
	return json_string("");
}

static json_t *int_value(const struct param *p, uint8_t b)
{
	const int64_t edges[] = { p->min, p->max, p->min - 1, -1, 1ll << 32, INT64_MAX };

	if (b >= FOREIGN)
		return json_integer(edges[b % array_size(edges)]);
	for (unsigned i = 0; i < array_size(numbers); i++)
		if (!strcmp(numbers[i].param, p->name))
			return json_integer(numbers[i].v[b % array_size(numbers[i].v)]);
	return json_integer(b);
}

static json_t *size_value(uint8_t b)
{
	static const char *const sizes[] = { "512", "4096", "1M", "64K", "1025", "0", "1E", "x" };

	return b & 8 ? json_integer(512ll << (b & 7)) : json_string(sizes[b % array_size(sizes)]);
}

static json_t *object_value(uint8_t b, struct input *in)
{
	json_t *o = json_object();

	for (unsigned n = b % 4; n; n--) {
		const char *name = lu_names[input_byte(in) % array_size(lu_names)];
		uint8_t v = input_byte(in);

		json_object_set_new(o, name,
				    v == LITERAL
					    ? literal(in)
					    : json_string(lu_values[v % array_size(lu_values)]));
	}
	return o;
}

static json_t *value(const struct param *p, struct input *in)
{
	uint8_t b = input_byte(in);

	switch (p->type) {
	case P_INT:
		return int_value(p, b);
	case P_BOOL:
		return b == LITERAL ? json_null() : json_boolean(b & 1);
	case P_SIZE:
		return size_value(b);
	case P_OBJECT:
		return object_value(b, in);
	default:
		return string_value(p, b, in);
	}
}

json_t *request_params(const struct verb *v, struct input *in)
{
	json_t *o = json_object();

	for (const struct param *p = v->params; p && p->type != P_END; p++)
		if (p->required || input_byte(in) & 1)
			json_object_set_new(o, p->name, value(p, in));
	return o;
}

char *request_line(const struct verb *v, const char *id, struct input *in, size_t *len)
{
	json_t *o = json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", v->name, "params",
			      request_params(v, in));
	char *text, *line;

	if (id)
		json_object_set_new(o, "id", json_string(id));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		abort();
	*len = strlen(text) + 1;
	line = realloc(text, *len);
	if (!line)
		abort();
	line[*len - 1] = '\n';
	return line;
}
