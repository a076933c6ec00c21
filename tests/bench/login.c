/* SPDX-License-Identifier: BSD-2-Clause */
/* Login: two stages, one offer each. Whatever goes wrong ends the program: nothing is measured yet. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define TEXT_SIZE 8192u
#define ROUNDS_MAX 20

enum { STAGE_SECURITY = 0, STAGE_OPERATIONAL = 1, STAGE_FULL = 3 };

struct text {
	char data[TEXT_SIZE + 4];
	uint32_t len;
};

void send_all(int fd, const void *p, size_t len)
{
	const uint8_t *at = p;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die(END_TROUBLE, "send during login or set-up: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
}

void recv_all(int fd, void *p, size_t len)
{
	uint8_t *at = p;

	while (len) {
		ssize_t n = recv(fd, at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die(END_TROUBLE, "receive during login or set-up: %s",
			    n ? strerror(errno) : "the target closed the connection");
		at += n;
		len -= (size_t)n;
	}
}

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->data + t->len, TEXT_SIZE - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (uint32_t)n >= TEXT_SIZE - t->len)
		die(END_TROUBLE, "the login text is too long");
	t->len += (uint32_t)n + 1;
}

static void offer_security(struct text *t)
{
	add(t, "InitiatorName=%s", options.initiator);
	add(t, "SessionType=Normal");
	add(t, "TargetName=%s", options.target);
	add(t, "AuthMethod=None");
}

static void offer_operational(struct text *t)
{
	add(t, "HeaderDigest=%s", options.header_digest ? "CRC32C" : "None");
	add(t, "DataDigest=%s", options.data_digest ? "CRC32C" : "None");
	add(t, "MaxRecvDataSegmentLength=%u", options.max_recv);
	add(t, "InitialR2T=%s", options.initial_r2t ? "Yes" : "No");
	add(t, "ImmediateData=%s", options.no_immediate ? "No" : "Yes");
	add(t, "MaxBurstLength=%u", options.max_burst);
	add(t, "FirstBurstLength=%u", options.first_burst);
	add(t, "MaxOutstandingR2T=1");
	add(t, "MaxConnections=1");
	add(t, "DataPDUInOrder=Yes");
	add(t, "DataSequenceInOrder=Yes");
	add(t, "DefaultTime2Wait=2");
	add(t, "DefaultTime2Retain=0");
	add(t, "ErrorRecoveryLevel=0");
}

static void agree(struct session *s, const char *key, const char *value)
{
	unsigned n = (unsigned)strtoul(value, NULL, 10);
	bool yes = !strcmp(value, "Yes"), crc = !strcmp(value, "CRC32C");

	if (!strcmp(key, "MaxRecvDataSegmentLength"))
		s->target_max_recv = n < 512 ? 512 : n & ~3u;
	else if (!strcmp(key, "MaxBurstLength"))
		s->max_burst = n < 512 ? 512 : min_u32(n, options.max_burst);
	else if (!strcmp(key, "FirstBurstLength"))
		s->first_burst = min_u32(n, options.first_burst) & ~3u;
	else if (!strcmp(key, "ImmediateData"))
		s->immediate = yes && !options.no_immediate;
	else if (!strcmp(key, "InitialR2T"))
		s->initial_r2t = yes || options.initial_r2t;
	else if (!strcmp(key, "HeaderDigest"))
		s->header_digest = crc;
	else if (!strcmp(key, "DataDigest"))
		s->data_digest = crc;
}

static void read_keys(struct session *s, char *text, uint32_t len)
{
	text[len] = 0;
	for (uint32_t i = 0; i < len; i += (uint32_t)strlen(text + i) + 1) {
		char *value = strchr(text + i, '=');

		if (!value)
			continue;
		*value = 0;
		agree(s, text + i, value + 1);
		*value = '='; /* or the loop would take the value for a key */
	}
}

static void send_request(struct session *s, int stage, struct text *t)
{
	struct pdu_login_request h = {
		.opcode = PDU_LOGIN_REQUEST | PDU_IMMEDIATE,
		.flags = (uint8_t)(LOGIN_TRANSIT | stage << LOGIN_CSG_SHIFT |
				   (stage == STAGE_SECURITY ? STAGE_OPERATIONAL : STAGE_FULL)),
		.data_len = be24_make(t->len),
		.isid = { 0x80, 0, (uint8_t)(getpid() >> 8), (uint8_t)getpid(),
			  (uint8_t)((s->id + 1) >> 8), (uint8_t)(s->id + 1) }, /* random format */
		.itt = be32_make(0x10 + s->id),
		.cmd_sn = be32_make(s->cmd_sn),
		.exp_stat_sn = be32_make(s->exp_stat_sn),
	};

	memset(t->data + t->len, 0, 4);
	send_all(s->fd, &h, sizeof(h));
	send_all(s->fd, t->data, t->len + pdu_pad(t->len));
}

static struct pdu_login_response receive_response(struct session *s, struct text *t)
{
	struct pdu_login_response h;

	recv_all(s->fd, &h, sizeof(h));
	if ((h.opcode & PDU_OPCODE) != PDU_LOGIN_RESPONSE)
		die(END_TROUBLE, "login: answered by opcode %02x", h.opcode);
	t->len = be24_get(h.data_len);
	if (t->len >= TEXT_SIZE)
		die(END_TROUBLE, "login: an answer of %u bytes", t->len);
	recv_all(s->fd, t->data, t->len + pdu_pad(t->len));
	if (h.status_class)
		die(END_TROUBLE, "login refused: status %02x%02x", h.status_class, h.status_detail);
	read_keys(s, t->data, t->len);
	s->exp_stat_sn = be32_get(h.stat_sn) + 1;
	s->max_cmd_sn = be32_get(h.max_cmd_sn);
	return h;
}

void session_login(struct session *s)
{
	struct pdu_login_response h;
	int stage = STAGE_SECURITY;
	bool offered = false;
	struct text t;

	s->target_max_recv = 8192; /* RFC 7143 13: the defaults */
	s->max_burst = min_u32(262144, options.max_burst);
	s->first_burst = min_u32(65536, options.first_burst);
	s->immediate = !options.no_immediate;
	s->initial_r2t = true;
	s->cmd_sn = 1;
	for (int round = 0; round < ROUNDS_MAX && stage != STAGE_FULL; round++) {
		t.len = 0;
		if (!round)
			offer_security(&t);
		if (stage == STAGE_OPERATIONAL && !offered)
			offer_operational(&t);
		offered = stage == STAGE_OPERATIONAL;
		send_request(s, stage, &t);
		h = receive_response(s, &t);
		if (h.flags & LOGIN_TRANSIT)
			stage = h.flags & LOGIN_STAGE;
	}
	if (stage != STAGE_FULL)
		die(END_TROUBLE, "login does not end");
	if (options.header_digest != s->header_digest || options.data_digest != s->data_digest)
		die(END_TROUBLE, "the target did not agree to the digests asked for");
}
