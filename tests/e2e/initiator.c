/* SPDX-License-Identifier: BSD-2-Clause */
#include "initiator.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESERVED_TAG 0xffffffffu
#define LOGIN_TEXT 8192

enum {
	SCSI_CMD = 0x01,
	LOGIN_REQ = 0x03,
	DATA_OUT = 0x05,
	LOGOUT_REQ = 0x06,
	NOP_OUT = 0x00,
	NOP_IN = 0x20,
	SCSI_RSP = 0x21,
	LOGIN_RSP = 0x23,
	DATA_IN = 0x25,
	LOGOUT_RSP = 0x26,
	R2T = 0x31,
	ASYNC_MSG = 0x32,
};

void ini_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "verify: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	static uint32_t table[256];
	uint32_t c = ~0u;

	if (!table[1]) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t v = i;

			for (int k = 0; k < 8; k++)
				v = v >> 1 ^ (v & 1 ? 0x82f63b78u : 0);
			table[i] = v;
		}
	}
	while (n--)
		c = c >> 8 ^ table[(c ^ *p++) & 255];
	return ~c;
}

static void put_digest(uint8_t *d, const uint8_t *p, size_t n)
{
	uint32_t c = crc32c(p, n);

	for (int i = 0; i < 4; i++)
		d[i] = (uint8_t)(c >> 8 * i); /* least significant byte first, RFC 7143 13.1 */
}

static uint8_t *room(struct ini *c, size_t n)
{
	if (c->out_sent == c->out_len)
		c->out_sent = c->out_len = 0;
	if (c->out_len + n > c->out_room) {
		c->out_room = (c->out_len + n) * 2;
		c->out = realloc(c->out, c->out_room);
		if (!c->out)
			ini_die("no memory");
	}
	c->out_len += n;
	return c->out + c->out_len - n;
}

static void queue(struct ini *c, uint8_t *bhs, const uint8_t *data, uint32_t len)
{
	uint32_t padded = (len + 3) & ~3u;
	uint8_t *p = room(c, INI_BHS + (c->header_digest ? 4 : 0));

	bhs[5] = (uint8_t)(len >> 16);
	bhs[6] = (uint8_t)(len >> 8);
	bhs[7] = (uint8_t)len;
	memcpy(p, bhs, INI_BHS);
	if (c->header_digest)
		put_digest(p + INI_BHS, p, INI_BHS);
	if (!len)
		return;
	p = room(c, padded + (c->data_digest ? 4 : 0));
	memcpy(p, data, len);
	memset(p + len, 0, padded - len);
	if (c->data_digest)
		put_digest(p + padded, p, padded);
}

bool ini_queued(const struct ini *c)
{
	return c->out_sent < c->out_len;
}

void ini_flush(struct ini *c)
{
	while (ini_queued(c)) {
		ssize_t n =
			send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			ini_die("session %u: send: %s", c->id, strerror(errno));
		c->out_sent += (size_t)n;
	}
}

bool ini_window(const struct ini *c)
{
	return (int32_t)(c->maxcmdsn - c->cmdsn) >= 0;
}

static void send_data(struct ini *c, struct ini_task *t, uint32_t ttt, uint32_t off, uint32_t len)
{
	for (uint32_t sn = 0; len; sn++) {
		uint8_t h[INI_BHS] = { DATA_OUT };
		uint32_t n = len < c->max_send ? len : c->max_send;

		h[1] = n == len ? 0x80 : 0;
		h[9] = (uint8_t)c->lun;
		ini_p32(h + 16, t->itt);
		ini_p32(h + 20, ttt);
		ini_p32(h + 28, c->expstatsn);
		ini_p32(h + 36, sn);
		ini_p32(h + 40, off);
		queue(c, h, t->out + off, n);
		off += n;
		len -= n;
	}
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void ini_submit(struct ini *c, struct ini_task *t)
{
	uint8_t h[INI_BHS] = { SCSI_CMD };
	uint32_t slot = 0, now = 0, unsolicited = 0;

	while (slot < INI_TASKS && c->tasks[slot])
		slot++;
	if (slot == INI_TASKS)
		ini_die("too many commands");
	c->tasks[slot] = t;
	t->itt = (c->serial++ & 0xfffff) << 8 | slot;
	t->received = t->next_datasn = t->next_r2tsn = 0;
	t->status = t->key = t->asc = t->ascq = 0;
	if (t->out_len && c->immediate_data)
		now = lesser(lesser(t->out_len, c->first_burst), c->max_send);
	if (t->out_len && !c->initial_r2t)
		unsolicited = lesser(t->out_len, c->first_burst) - now;
	h[1] = (uint8_t)((unsolicited ? 0 : 0x80) | (t->in_len ? 0x40 : 0) |
			 (t->out_len ? 0x20 : 0) | 1);
	h[9] = (uint8_t)c->lun;
	ini_p32(h + 16, t->itt);
	ini_p32(h + 20, t->out_len ? t->out_len : t->in_len);
	ini_p32(h + 24, c->cmdsn++);
	ini_p32(h + 28, c->expstatsn);
	memcpy(h + 32, t->cdb, 16);
	queue(c, h, t->out, now);
	send_data(c, t, RESERVED_TAG, now, unsolicited);
}

static struct ini_task *find(struct ini *c, const uint8_t *h)
{
	struct ini_task *t = c->tasks[ini_g32(h + 16) & 0xff];

	if (!t || t->itt != ini_g32(h + 16))
		ini_die("session %u: PDU %02x for no task, itt %08x", c->id, h[0], ini_g32(h + 16));
	return t;
}

static void take_statsn(struct ini *c, const uint8_t *h)
{
	if (ini_g32(h + 24) != c->expstatsn)
		ini_die("session %u: StatSN %u, expected %u", c->id, ini_g32(h + 24), c->expstatsn);
	c->expstatsn++;
}

static void take_window(struct ini *c, const uint8_t *h)
{
	uint32_t max = ini_g32(h + 32);

	if ((int32_t)(max - c->maxcmdsn) > 0)
		c->maxcmdsn = max;
	if ((int32_t)(ini_g32(h + 28) - c->cmdsn) > 0)
		ini_die("session %u: ExpCmdSN %u is beyond CmdSN %u", c->id, ini_g32(h + 28),
			c->cmdsn);
}

static void release(struct ini *c, struct ini_task *t)
{
	c->tasks[t->itt & 0xff] = NULL;
}

static bool data_in(struct ini *c, struct ini_task *t, const uint8_t *h, const uint8_t *data,
		    uint32_t len)
{
	uint32_t off = ini_g32(h + 40);

	/* DataPDUInOrder and DataSequenceInOrder are Yes */
	if (off != t->received || len > t->in_len - off || len > c->max_recv)
		ini_die("session %u: Data-In of %u at %u, but %u of %u are here", c->id, len, off,
			t->received, t->in_len);
	if (ini_g32(h + 36) != t->next_datasn++)
		ini_die("session %u: DataSN %u, expected %u", c->id, ini_g32(h + 36),
			t->next_datasn - 1);
	memcpy(t->in + off, data, len);
	t->received += len;
	if (!(h[1] & 1)) /* no status */
		return false;
	take_statsn(c, h);
	t->status = h[3];
	return true;
}

static void r2t(struct ini *c, struct ini_task *t, const uint8_t *h)
{
	uint32_t off = ini_g32(h + 40), len = ini_g32(h + 44);

	if (!len || len > c->max_burst || off > t->out_len || len > t->out_len - off)
		ini_die("session %u: R2T for %u at %u of %u bytes", c->id, len, off, t->out_len);
	if (ini_g32(h + 36) != t->next_r2tsn++)
		ini_die("session %u: R2TSN %u, expected %u", c->id, ini_g32(h + 36),
			t->next_r2tsn - 1);
	send_data(c, t, ini_g32(h + 20), off, len);
}

static void response(struct ini *c, struct ini_task *t, const uint8_t *h, const uint8_t *data,
		     uint32_t len)
{
	take_statsn(c, h);
	if (h[2])
		ini_die("session %u: SCSI Response with response code %02x", c->id, h[2]);
	t->status = h[3];
	if (t->status == 2 && len >= 16) {
		const uint8_t *s = data + 2;

		t->key = (s[0] & 0x7f) >= 0x72 ? s[1] & 0xf : s[2] & 0xf;
		t->asc = (s[0] & 0x7f) >= 0x72 ? s[2] : s[12];
		t->ascq = (s[0] & 0x7f) >= 0x72 ? s[3] : s[13];
	}
}

static void done(struct ini *c, struct ini_task *t, const uint8_t *h,
		 void (*finished)(struct ini *, struct ini_task *))
{
	release(c, t);
	if (t->status == 0 && t->received != t->in_len)
		ini_die("session %u: GOOD with %u of %u bytes", c->id, t->received, t->in_len);
	if (t->status == 0 && ((h[1] & 6) || ini_g32(h + 44)))
		ini_die("session %u: GOOD with a residual", c->id);
	finished(c, t);
}

static void nop_in(struct ini *c, const uint8_t *in)
{
	uint8_t h[INI_BHS] = { NOP_OUT | 0x40, 0x80 };

	if (ini_g32(in + 20) == RESERVED_TAG)
		return;
	memcpy(h + 8, in + 8, 8);
	ini_p32(h + 16, RESERVED_TAG);
	memcpy(h + 20, in + 20, 4);
	ini_p32(h + 24, c->cmdsn);
	ini_p32(h + 28, c->expstatsn);
	queue(c, h, NULL, 0);
}

static void dispatch(struct ini *c, const uint8_t *h, const uint8_t *data, uint32_t len,
		     void (*finished)(struct ini *, struct ini_task *))
{
	struct ini_task *t;

	take_window(c, h);
	switch (h[0] & 0x3f) {
	case DATA_IN:
		t = find(c, h);
		if (data_in(c, t, h, data, len))
			done(c, t, h, finished);
		break;
	case R2T:
		r2t(c, find(c, h), h);
		break;
	case SCSI_RSP:
		t = find(c, h);
		response(c, t, h, data, len);
		done(c, t, h, finished);
		break;
	case NOP_IN:
		nop_in(c, h);
		break;
	case ASYNC_MSG:
		take_statsn(c, h);
		break;
	default:
		ini_die("session %u: unexpected PDU %02x, reason %02x", c->id, h[0], h[2]);
	}
}

/* Bytes of the PDU at @p of which @n are here, or 0 if even that cannot be said yet. */
static size_t pdu_bytes(const struct ini *c, const uint8_t *p, size_t n)
{
	size_t head = INI_BHS, data;

	if (n < INI_BHS)
		return 0;
	head += p[4] * 4u + (c->header_digest ? 4 : 0);
	data = (ini_g24(p + 5) + 3) & ~3u;
	return head + data + (data && c->data_digest ? 4 : 0);
}

static void check_digests(const struct ini *c, const uint8_t *p, size_t bytes)
{
	size_t head = INI_BHS + p[4] * 4u, data = (ini_g24(p + 5) + 3) & ~3u;
	uint8_t d[4];

	put_digest(d, p, head);
	if (c->header_digest && memcmp(d, p + head, 4))
		ini_die("session %u: wrong header digest", c->id);
	if (!data || !c->data_digest)
		return;
	put_digest(d, p + bytes - 4 - data, data);
	if (memcmp(d, p + bytes - 4, 4))
		ini_die("session %u: wrong data digest", c->id);
}

static void consume(struct ini *c, void (*finished)(struct ini *, struct ini_task *))
{
	size_t at = 0, n;

	while ((n = pdu_bytes(c, c->in + at, c->in_len - at)) && n <= c->in_len - at) {
		const uint8_t *p = c->in + at;

		if (c->header_digest || c->data_digest)
			check_digests(c, p, n);
		dispatch(c, p, p + INI_BHS + p[4] * 4u + (c->header_digest ? 4 : 0), ini_g24(p + 5),
			 finished);
		at += n;
	}
	if (n > c->in_room)
		ini_die("session %u: a PDU of %zu bytes", c->id, n);
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
}

void ini_receive(struct ini *c, void (*finished)(struct ini *, struct ini_task *))
{
	for (int rounds = 0; rounds < 4; rounds++) {
		ssize_t n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			ini_die("session %u: the target closed the connection: %s", c->id,
				n ? strerror(errno) : "end of stream");
		c->in_len += (size_t)n;
		consume(c, finished);
	}
}

/* ---- login: blocking ----------------------------------------------------------------- */

static void send_all(struct ini *c)
{
	while (ini_queued(c))
		ini_flush(c);
}

static void recv_all(struct ini *c, uint8_t *p, size_t n)
{
	while (n) {
		ssize_t got = recv(c->fd, p, n, 0);

		if (got <= 0)
			ini_die("session %u: no answer at login or logout: %s", c->id,
				got ? strerror(errno) : "end of stream");
		p += got;
		n -= (size_t)got;
	}
}

static int dial(const char *portal)
{
	char host[128], *colon;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;
	struct timeval limit = { .tv_sec = 30 };
	int fd, one = 1;

	snprintf(host, sizeof(host), "%s", *portal == '[' ? portal + 1 : portal);
	colon = strrchr(host, ':');
	if (!colon)
		ini_die("portal %s: HOST:PORT is wanted", portal);
	*colon++ = 0;
	if (*portal == '[')
		host[strcspn(host, "]")] = 0;
	if (getaddrinfo(host, colon, &hints, &ai))
		ini_die("portal %s: no such address", portal);
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
		ini_die("portal %s: %s", portal, strerror(errno));
	freeaddrinfo(ai);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* What each session proposes beyond the common keys: the ways in which data can travel. */
static const char *const proposals[] = {
	"HeaderDigest=None|DataDigest=None|InitialR2T=Yes|ImmediateData=Yes|MaxBurstLength=262144|"
	"FirstBurstLength=65536|"
	"MaxRecvDataSegmentLength=262144|MaxOutstandingR2T=1",
	"HeaderDigest=None|DataDigest=None|InitialR2T=No|ImmediateData=No|MaxBurstLength=1048576|"
	"FirstBurstLength=65536|"
	"MaxRecvDataSegmentLength=65536|MaxOutstandingR2T=4",
	"HeaderDigest=CRC32C|DataDigest=CRC32C|InitialR2T=No|ImmediateData=Yes|MaxBurstLength="
	"262144|"
	"FirstBurstLength=262144|MaxRecvDataSegmentLength=262144|MaxOutstandingR2T=1",
	"HeaderDigest=None|DataDigest=CRC32C,None|InitialR2T=Yes|ImmediateData=No|MaxBurstLength="
	"16384|"
	"FirstBurstLength=8192|MaxRecvDataSegmentLength=8192|MaxOutstandingR2T=2",
};

static const char *value_of(const char *text, size_t len, const char *key)
{
	size_t k = strlen(key);

	for (const char *p = text; p < text + len; p += strlen(p) + 1)
		if (!strncmp(p, key, k) && p[k] == '=')
			return p + k + 1;
	return NULL;
}

static bool is(const char *text, size_t len, const char *key, const char *want)
{
	const char *v = value_of(text, len, key);

	return v && !strcmp(v, want);
}

static uint32_t agreed(const char *text, size_t len, const char *key, uint32_t absent)
{
	const char *v = value_of(text, len, key);

	return v ? (uint32_t)strtoul(v, NULL, 10) : absent;
}

static void send_login(struct ini *c, const char *text, size_t len)
{
	uint8_t h[INI_BHS] = { LOGIN_REQ | 0x40, 0x80 | 1 << 2 | 3 };

	h[8] = 0x80; /* random ISID */
	ini_p32(h + 9, (uint32_t)getpid());
	h[13] = (uint8_t)c->id;
	ini_p32(h + 24, c->cmdsn);
	ini_p32(h + 28, c->expstatsn);
	queue(c, h, (const uint8_t *)text, (uint32_t)len);
	send_all(c);
}

void ini_login(struct ini *c, unsigned id, const char *portal, const char *target, unsigned lun)
{
	char text[LOGIN_TEXT], answer[4 * LOGIN_TEXT] = "";
	size_t len, got = 0;
	uint8_t h[INI_BHS];

	*c = (struct ini){
		.fd = dial(portal), .id = id, .lun = lun, .cmdsn = 1, .in_room = 1u << 20
	};
	c->in = malloc(c->in_room);
	if (!c->in)
		ini_die("no memory");
	len = (size_t)snprintf(text, sizeof(text),
			       "InitiatorName=iqn.2026-01.org.example:verify%u|SessionType=Normal|"
			       "TargetName=%s|MaxConnections=1|DataPDUInOrder=Yes|"
			       "DataSequenceInOrder=Yes|ErrorRecoveryLevel=0|"
			       "DefaultTime2Wait=2|DefaultTime2Retain=0|%s|",
			       id, target, proposals[id % 4]);
	for (size_t i = 0; i < len; i++)
		if (text[i] == '|')
			text[i] = 0;
	send_login(c, text, len);
	for (int rounds = 0;; rounds++) {
		recv_all(c, h, INI_BHS);
		if (h[0] != LOGIN_RSP || h[36] || ini_g24(h + 5) + 4 > sizeof(answer) - got ||
		    rounds > 8)
			ini_die("session %u: login failed: PDU %02x, status %02x%02x", id, h[0],
				h[36], h[37]);
		recv_all(c, (uint8_t *)answer + got, (ini_g24(h + 5) + 3) & ~3u);
		got += ini_g24(h + 5);
		c->expstatsn = ini_g32(h + 24) + 1;
		c->maxcmdsn = ini_g32(h + 32);
		if (h[1] & 0x80)
			break;
		send_login(c, "", 0);
	}
	c->header_digest = is(answer, got, "HeaderDigest", "CRC32C");
	c->data_digest = is(answer, got, "DataDigest", "CRC32C");
	c->immediate_data = is(answer, got, "ImmediateData", "Yes");
	c->initial_r2t = !is(answer, got, "InitialR2T", "No");
	c->max_send = agreed(answer, got, "MaxRecvDataSegmentLength", 8192);
	c->max_recv = agreed(text, len, "MaxRecvDataSegmentLength", 8192);
	c->first_burst = agreed(answer, got, "FirstBurstLength", 65536);
	c->max_burst = agreed(answer, got, "MaxBurstLength", 262144);
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK))
		ini_die("fcntl: %s", strerror(errno));
}

void ini_logout(struct ini *c)
{
	uint8_t h[INI_BHS] = { LOGOUT_REQ | 0x40, 0x80 };

	fcntl(c->fd, F_SETFL, 0);
	ini_p32(h + 16, 0x7fff);
	ini_p32(h + 24, c->cmdsn);
	ini_p32(h + 28, c->expstatsn);
	queue(c, h, NULL, 0);
	send_all(c);
	do {
		recv_all(c, h, INI_BHS + 0);
		if (c->header_digest)
			recv_all(c, (uint8_t[4]){ 0 }, 4);
	} while ((h[0] & 0x3f) == NOP_IN);
	if (h[0] != LOGOUT_RSP || h[2])
		ini_die("session %u: logout: PDU %02x, response %02x", c->id, h[0], h[2]);
	close(c->fd);
	free(c->in);
	free(c->out);
}
