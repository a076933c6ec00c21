/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's login: what is offered, by chance, and whether the answers keep to RFC 7143 13. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "client_wire.h"

#define STAGE_SECURITY 0
#define STAGE_OPERATIONAL 1
#define STAGE_FULL 3
#define ROUNDS_MAX 100u

enum kind {
	KIND_DIGEST, /* a list */
	KIND_LEAST, /* the smaller number is the result */
	KIND_MOST,
	KIND_OR, /* Yes if one says so */
	KIND_AND,
};

/* clang-format off */
static const struct row {
	const char *name;
	enum kind kind;
	uint32_t standard; /* the default */
	uint32_t least, most; /* range of numbers */
} rows[KEYS_N] = {
	[KEY_HEADER_DIGEST]   = { "HeaderDigest", KIND_DIGEST, 0, 0, 1 },
	[KEY_DATA_DIGEST]     = { "DataDigest", KIND_DIGEST, 0, 0, 1 },
	[KEY_MAX_CONNECTIONS] = { "MaxConnections", KIND_LEAST, 1, 1, 65535 },
	[KEY_INITIAL_R2T]     = { "InitialR2T", KIND_OR, 1, 0, 1 },
	[KEY_IMMEDIATE_DATA]  = { "ImmediateData", KIND_AND, 1, 0, 1 },
	[KEY_MAX_BURST]       = { "MaxBurstLength", KIND_LEAST, 262144, 512, 16777215 },
	[KEY_FIRST_BURST]     = { "FirstBurstLength", KIND_LEAST, 65536, 512, 16777215 },
	[KEY_TIME2WAIT]       = { "DefaultTime2Wait", KIND_MOST, 2, 0, 3600 },
	[KEY_TIME2RETAIN]     = { "DefaultTime2Retain", KIND_LEAST, 20, 0, 3600 },
	[KEY_MAX_R2T]         = { "MaxOutstandingR2T", KIND_LEAST, 1, 1, 65535 },
	[KEY_PDU_ORDER]       = { "DataPDUInOrder", KIND_OR, 1, 0, 1 },
	[KEY_SEQUENCE_ORDER]  = { "DataSequenceInOrder", KIND_OR, 1, 0, 1 },
	[KEY_RECOVERY]        = { "ErrorRecoveryLevel", KIND_LEAST, 0, 0, 2 },
};
/* clang-format on */

/* ---- offers ---------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say(struct client *c, const char *fmt, ...)
{
	struct client_login *lg = &c->lg;
	size_t room = sizeof(lg->text) - lg->text_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(lg->text + lg->text_len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		abort();
	lg->text_len += (size_t)n + 1; /* with the zero byte that ends the pair */
}

static void offer(struct client *c, enum client_key k, uint32_t v)
{
	const struct row *r = &rows[k];

	c->lg.offered[k] = v;
	c->lg.is_offered[k] = true;
	if (r->kind == KIND_DIGEST)
		say(c, "%s=%s", r->name, !v ? "None" : sim_below(2) ? "CRC32C,None" : "CRC32C");
	else if (r->kind == KIND_OR || r->kind == KIND_AND)
		say(c, "%s=%s", r->name, v ? "Yes" : "No");
	else
		say(c, sim_below(8) ? "%s=%u" : "%s=0x%x", r->name, v);
}

/* 512 to @most, each power of two with the same chance, and mostly no power of two. */
static uint32_t some_length(uint32_t most)
{
	uint32_t v = 512u << sim_below(10);

	if (sim_below(2))
		v += (uint32_t)sim_below(v);
	return min(v, most);
}

static void offer_segment(struct client *c)
{
	c->segment = LOGIN_DATA_MAX; /* the default */
	if (!sim_below(8))
		return;
	c->segment = some_length(SEGMENT_MAX);
	say(c, "MaxRecvDataSegmentLength=%u", c->segment);
}

/* FirstBurstLength must not exceed MaxBurstLength, RFC 7143 13.14. */
static void offer_bursts(struct client *c)
{
	uint32_t burst = rows[KEY_MAX_BURST].standard;

	if (sim_below(8)) {
		burst = some_length(1u << 20);
		offer(c, KEY_MAX_BURST, burst);
	}
	if (sim_below(8) || burst < rows[KEY_FIRST_BURST].standard)
		offer(c, KEY_FIRST_BURST, some_length(burst));
}

static void offer_operational(struct client *c)
{
	if (c->o.digests || sim_below(2)) {
		offer(c, KEY_HEADER_DIGEST, c->o.digests);
		offer(c, KEY_DATA_DIGEST, c->o.digests);
	}
	offer_segment(c);
	offer_bursts(c);
	if (sim_below(8))
		offer(c, KEY_INITIAL_R2T, (uint32_t)sim_below(2));
	if (sim_below(8))
		offer(c, KEY_IMMEDIATE_DATA, (uint32_t)sim_below(2));
	if (sim_below(8))
		offer(c, KEY_MAX_R2T, 1 + (uint32_t)sim_below(CLIENT_R2TS_MAX));
	if (sim_below(2)) {
		offer(c, KEY_MAX_CONNECTIONS, 1 + (uint32_t)sim_below(4));
		offer(c, KEY_TIME2WAIT, (uint32_t)sim_below(10));
		offer(c, KEY_TIME2RETAIN, (uint32_t)sim_below(10));
		offer(c, KEY_RECOVERY, 0);
	}
	/* the judge is strict about order: he has asked for it */
	if (sim_below(2)) {
		offer(c, KEY_PDU_ORDER, 1);
		offer(c, KEY_SEQUENCE_ORDER, 1);
	}
}

/* ---- requests ---------------------------------------- */

static void put_login(struct client *c)
{
	struct client_login *lg = &c->lg;
	uint32_t n = (uint32_t)(lg->text_len - lg->text_at);
	union pdu h = { .login_request = { .opcode = PDU_LOGIN_REQUEST | PDU_IMMEDIATE,
					   .isid = { 0x80 },
					   .itt = be32_make(lg->itt),
					   .cid = be16_make(c->cid),
					   .cmd_sn = be32_make(c->cmd_sn) } };

	be_store(h.login_request.isid + 4, 2, c->o.port);
	h.login_request.flags = (uint8_t)(lg->stage << LOGIN_CSG_SHIFT);
	lg->transit = true;
	if (n > 1 && !sim_below(8)) {
		n = 1 + (uint32_t)sim_below(n - 1);
		h.login_request.flags |= PDU_CONTINUE;
		lg->transit = false;
	} else {
		h.login_request.flags |= (uint8_t)(LOGIN_TRANSIT | lg->next);
	}
	client_put(c, &h, lg->text + lg->text_at, n);
	sim_say("%s -> login, flags %x, %u bytes", c->name, h.basic.flags, n);
	lg->text_at += n;
	if (lg->text_at == lg->text_len)
		lg->text_at = lg->text_len = 0;
}

void client_login_begin(struct client *c)
{
	struct client_login *lg = &c->lg;

	lg->itt = client_new_itt(c);
	lg->status = -1;
	for (unsigned k = 0; k < KEYS_N; k++)
		c->key[k] = rows[k].standard;
	say(c, "InitiatorName=%s", c->name);
	say(c, "TargetName=%s", c->target);
	say(c, "SessionType=Normal");
	lg->stage = sim_below(2) ? STAGE_SECURITY : STAGE_OPERATIONAL;
	if (lg->stage == STAGE_SECURITY) {
		say(c, "AuthMethod=None");
		lg->next = sim_below(8) ? STAGE_OPERATIONAL : STAGE_FULL;
	} else {
		offer_operational(c);
		lg->next = STAGE_FULL;
	}
	put_login(c);
}

/* ---- answers ---------------------------------------- */

static uint32_t number(struct client *c, const char *name, const char *text)
{
	bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	char *end;
	unsigned long v = strtoul(text + (hex ? 2 : 0), &end, hex ? 16 : 10);

	if (!*text || *end || v > UINT32_MAX)
		client_bad(c, "%s=%s", name, text);
	return (uint32_t)v;
}

static uint32_t value(struct client *c, const struct row *r, const char *text)
{
	const char *yes = r->kind == KIND_DIGEST ? "CRC32C" : "Yes";
	const char *no = r->kind == KIND_DIGEST ? "None" : "No";

	if (r->kind == KIND_LEAST || r->kind == KIND_MOST)
		return number(c, r->name, text);
	if (strcmp(text, yes) && strcmp(text, no))
		client_bad(c, "%s=%s", r->name, text);
	return !strcmp(text, yes);
}

static bool result_fits(const struct row *r, uint32_t offered, uint32_t v)
{
	if (v < r->least || v > r->most)
		return false;
	switch (r->kind) {
	case KIND_DIGEST:
	case KIND_LEAST:
	case KIND_AND:
		return v <= offered;
	case KIND_MOST:
	case KIND_OR:
		return v >= offered;
	}
	return false;
}

static void take_result(struct client *c, enum client_key k, const char *text)
{
	struct client_login *lg = &c->lg;
	const struct row *r = &rows[k];
	bool asked = lg->is_offered[k] && !lg->is_agreed[k];

	if (lg->is_agreed[k])
		client_bad(c, "%s is negotiated twice", r->name);
	lg->is_agreed[k] = true;
	/* RFC 7143 13.14 */
	if (k == KEY_FIRST_BURST && asked && !strcmp(text, "Irrelevant")) {
		lg->no_first_burst = true;
		return;
	}
	c->key[k] = value(c, r, text);
	if (!asked) {
		offer(c, k, c->key[k]); /* the target's own offer: as it likes */
		return;
	}
	if (!result_fits(r, lg->offered[k], c->key[k]))
		client_bad(c, "%s: %u was offered, the result is %u", r->name, lg->offered[k],
			   c->key[k]);
}

static void take_pair(struct client *c, char *pair)
{
	char *text = strchr(pair, '=');

	if (!text || text == pair)
		client_bad(c, "login text '%s'", pair);
	*text++ = '\0';
	for (unsigned k = 0; k < KEYS_N; k++) {
		if (strcmp(rows[k].name, pair))
			continue;
		take_result(c, k, text);
		return;
	}
	if (!strcmp(pair, "MaxRecvDataSegmentLength")) {
		c->target_segment = number(c, pair, text);
		if (c->target_segment < 512 || c->target_segment > 16777215)
			client_bad(c, "%s=%s", pair, text);
	} else if (!strcmp(pair, "TargetPortalGroupTag")) {
		c->lg.group_seen = true;
		if (number(c, pair, text) > 65535)
			client_bad(c, "%s=%s", pair, text);
	} else if (!strcmp(pair, "AuthMethod")) {
		if (strcmp(text, "None"))
			client_bad(c, "%s=%s", pair, text);
	} else if (strcmp(pair, "TargetAlias")) {
		client_bad(c, "%s=%s was not asked for", pair, text);
	}
}

static void take_reply(struct client *c)
{
	struct client_login *lg = &c->lg;
	size_t at = 0;

	if (lg->reply_len && lg->reply[lg->reply_len - 1])
		client_bad(c, "login text without its end");
	while (at < lg->reply_len) {
		size_t n = strlen(lg->reply + at) + 1;

		if (n > 1)
			take_pair(c, lg->reply + at);
		at += n;
	}
	lg->reply_len = 0;
}

/* ---- the end of the login ---------------------------------------- */

/* RFC 7143 13.14: without unsolicited data it has no meaning, else it is within MaxBurstLength. */
static void check_first_burst(struct client *c)
{
	bool matters = !c->key[KEY_INITIAL_R2T] || c->key[KEY_IMMEDIATE_DATA];

	if (c->lg.no_first_burst && matters)
		client_bad(c, "FirstBurstLength is not irrelevant");
	if (matters && c->key[KEY_FIRST_BURST] > c->key[KEY_MAX_BURST])
		client_bad(c, "FirstBurstLength %u, MaxBurstLength %u", c->key[KEY_FIRST_BURST],
			   c->key[KEY_MAX_BURST]);
}

static void logged_in(struct client *c, const union pdu *h)
{
	struct client_login *lg = &c->lg;

	for (unsigned k = 0; k < KEYS_N; k++)
		if (lg->is_offered[k] && !lg->is_agreed[k])
			client_bad(c, "no answer to %s", rows[k].name);
	if (!be16_get(h->login_response.tsih))
		client_bad(c, "a session with TSIH 0");
	if (!lg->group_seen)
		client_bad(c, "no TargetPortalGroupTag");
	if (lg->text_len)
		client_bad(c, "the target ends the login and negotiates");
	check_first_burst(c);
	c->header_digest = c->key[KEY_HEADER_DIGEST];
	c->data_digest = c->key[KEY_DATA_DIGEST];
	sim_say("%s is in: segments %u and %u, bursts %u and %u, InitialR2T %u, ImmediateData %u, "
		"R2Ts %u, digests %u %u",
		c->name, c->segment, c->target_segment, c->key[KEY_MAX_BURST],
		c->key[KEY_FIRST_BURST], c->key[KEY_INITIAL_R2T], c->key[KEY_IMMEDIATE_DATA],
		c->key[KEY_MAX_R2T], c->header_digest, c->data_digest);
	c->state = CLIENT_IN;
	lg->done(c, 0, lg->arg);
}

/* The response's own stage: RFC 7143 11.13. */
static void check_stage(struct client *c, uint8_t flags)
{
	struct client_login *lg = &c->lg;

	if ((flags >> LOGIN_CSG_SHIFT & LOGIN_STAGE) != lg->stage)
		client_bad(c, "login flags %x in stage %u", flags, lg->stage);
	if (!(flags & LOGIN_TRANSIT))
		return;
	if (!lg->transit || flags & PDU_CONTINUE || (flags & LOGIN_STAGE) != lg->next)
		client_bad(c, "login flags %x, not asked for", flags);
}

static void next_stage(struct client *c)
{
	struct client_login *lg = &c->lg;

	lg->stage = lg->next;
	lg->next = STAGE_FULL;
	offer_operational(c);
}

static void collect(struct client *c, const uint8_t *data, uint32_t len)
{
	struct client_login *lg = &c->lg;

	if (lg->reply_len + len > sizeof(lg->reply))
		client_bad(c, "login text without end");
	memcpy(lg->reply + lg->reply_len, data, len);
	lg->reply_len += len;
}

static void check_login(struct client *c, const union pdu *h)
{
	const struct pdu_login_response *r = &h->login_response;

	if (h->basic.opcode != PDU_LOGIN_RESPONSE || be32_get(r->itt) != c->lg.itt)
		client_bad(c, "opcode %x for %x while logging in", h->basic.opcode,
			   be32_get(r->itt));
	if (!client_idle_out(c) || c->lg.rounds++ > ROUNDS_MAX)
		client_bad(c, "a login response without a request, or without end");
}

void client_login_response(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	const struct pdu_login_response *r = &h->login_response;
	struct client_login *lg = &c->lg;
	bool transit = r->flags & LOGIN_TRANSIT;

	check_login(c, h);
	sim_say("%s <- login, status %02x%02x, flags %x, %u bytes", c->name, r->status_class,
		r->status_detail, r->flags, len);
	if (r->status_class) {
		lg->status = r->status_class << 8 | r->status_detail;
		client_cut(c, false);
		return;
	}
	client_stat_sn(c, h);
	client_window_sn(c, h);
	check_stage(c, r->flags);
	collect(c, data, len);
	if (!(r->flags & PDU_CONTINUE))
		take_reply(c);
	if (transit && lg->next == STAGE_FULL) {
		logged_in(c, h);
		return;
	}
	if (transit)
		next_stage(c);
	put_login(c);
}
