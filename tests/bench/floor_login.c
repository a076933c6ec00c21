/* SPDX-License-Identifier: BSD-2-Clause */
#include "floor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer {
	char text[1024]; /* zeroed, so that padding is */
	uint32_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct answer *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->text + a->len, sizeof(a->text) - a->len - 4, fmt, ap);
	va_end(ap);
	if (n > 0 && (uint32_t)n < sizeof(a->text) - a->len - 4)
		a->len += (uint32_t)n + 1;
}

static void offered(struct conn *c, const char *key, const char *value)
{
	unsigned n = (unsigned)strtoul(value, NULL, 10);
	bool crc = strstr(value, "CRC32C");

	if (!strcmp(key, "MaxRecvDataSegmentLength") && n >= 512)
		c->initiator_max_recv = min_u32(n, ARENA_SIZE / 4) & ~3u;
	else if (!strcmp(key, "MaxBurstLength") && n >= 512)
		c->max_burst = min_u32(n, floor_options.max_burst);
	else if (!strcmp(key, "HeaderDigest"))
		c->digests_next[0] = crc;
	else if (!strcmp(key, "DataDigest"))
		c->digests_next[1] = crc;
}

static void read_offers(struct conn *c)
{
	char *text = (char *)c->text, *value;

	c->text[c->text_len] = 0;
	for (uint32_t i = 0; i < c->text_len; i += (uint32_t)strlen(text + i) + 1) {
		value = strchr(text + i, '=');
		if (!value)
			continue;
		*value = 0;
		offered(c, text + i, value + 1);
		*value = '=';
	}
}

static void answer_operational(const struct conn *c, struct answer *a)
{
	add(a, "HeaderDigest=%s", c->digests_next[0] ? "CRC32C" : "None");
	add(a, "DataDigest=%s", c->digests_next[1] ? "CRC32C" : "None");
	add(a, "InitialR2T=Yes");
	add(a, "ImmediateData=Yes");
	add(a, "MaxConnections=1");
	add(a, "MaxOutstandingR2T=1");
	add(a, "ErrorRecoveryLevel=0");
	add(a, "MaxRecvDataSegmentLength=%u", floor_options.max_recv);
	add(a, "MaxBurstLength=%u", c->max_burst);
	add(a, "FirstBurstLength=%u", floor_options.first_burst);
}

int login_request(struct conn *c)
{
	const struct pdu_login_request *in = &c->header.login_request;
	uint8_t stage = in->flags >> LOGIN_CSG_SHIFT & LOGIN_STAGE;
	struct answer a = { .len = 0 };
	union pdu *h;

	read_offers(c);
	if (stage) {
		answer_operational(c, &a);
	} else {
		add(&a, "AuthMethod=None");
		add(&a, "TargetPortalGroupTag=1");
	}
	c->exp_cmd_sn = be32_get(in->cmd_sn);
	h = tx_header(c, PDU_LOGIN_RESPONSE, be32_get(in->itt), true);
	h->login_response.flags = LOGIN_TRANSIT | (in->flags & (LOGIN_STAGE | LOGIN_STAGE << 2));
	memcpy(h->login_response.isid, in->isid, sizeof(in->isid));
	h->login_response.tsih = be16_make(1);
	/* all of it leaves at once, or what is left would point into this stack frame */
	if (tx_pdu(c, h, (uint8_t *)a.text, a.len) || tx_flush(c) || c->blocked)
		return -1;
	if ((in->flags & LOGIN_STAGE) == LOGIN_STAGE) {
		c->header_digest = c->digests_next[0];
		c->data_digest = c->digests_next[1];
	}
	return 0;
}
