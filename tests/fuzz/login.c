/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logins to a whole daemon: targets for everybody, for one name, with CHAP in
 * one and in both directions, and one that is offline. The first byte is chance; bit 3
 * of it puts an account on discovery too. Then records, each for one of four
 * connections (bits 0-1), of a kind (bits 2-3), cut in pieces (bits 4-7):
 *
 *	a PDU: length (2 bytes), the HEAD bytes of the header that matter, and data
 *	raw bytes: length (1 byte) and bytes
 *	something else: the daemon runs, time passes, the initiator leaves or sends no more
 *
 * Who is not there connects. "CHAP_R=@" in data becomes the right response to the
 * last challenge. Nobody gets in who may not.
 */
#include <ctype.h>
#include <string.h>

#include "initiator.h"
#include "transport/iscsi/chap.h"
#include "transport/iscsi/login.h"

#define CONNECTIONS 4
#define CONNECTIONS_MAX 12 /* of an input, one after the other */
/* opcode, flags, versions, ISID's last byte, TSIH, CID's last byte, additional headers */
#define HEAD 8
#define SECRET "secret123456"

enum { PDU, PDU_TOO, RAW, ELSE };

static struct connection {
	struct peer peer;
	bool login; /* no full feature phase yet: what comes are login responses without digests */
	be16 tsih; /* as the last response told it */
	be32 itt;
	/* CHAP: what the daemon chose last */
	int algorithm;
	uint8_t id, challenge[CHAP_DIGEST_MAX];
	size_t challenge_len;
} connection[CONNECTIONS];
static unsigned connections; /* of this input */
static bool responded; /* it gave a right response to a challenge */

static void make_target(unsigned tid, const char *name, const char *rest)
{
	char params[300];

	snprintf(params, sizeof(params), "'tid':%u,'name':'iqn.2026-11.fuzz:%s'", tid, name);
	tgtd_do("target.create", params);
	snprintf(params, sizeof(params), "'tid':%u,%s", tid, rest);
	tgtd_do("acl.add", params);
	snprintf(params, sizeof(params), "'tid':%u,'lun':1,'bstype':'null','bsopts':'size=1M'", tid);
	tgtd_do("lun.create", params);
}

static void set_up(void)
{
	if (tgtd.control)
		return;
	tgtd_begin(control_verbs);
	tgtd_do("account.create", "'user':'joe','password':'" SECRET "'");
	tgtd_do("account.create", "'user':'target','password':'anothersecret'");
	make_target(1, "t", "'address':'ALL'");
	make_target(2, "chap", "'address':'ALL'");
	make_target(3, "mutual", "'address':'ALL'");
	make_target(4, "one", "'initiator':'iqn.2026-11.fuzz:one'");
	make_target(5, "off", "'address':'ALL'");
	tgtd_do("account.bind", "'tid':2,'user':'joe'");
	tgtd_do("account.bind", "'tid':3,'user':'joe'");
	tgtd_do("account.bind", "'tid':3,'user':'target','outgoing':true");
	tgtd_do("target.update", "'tid':5,'name':'state','value':'offline'");
}

/* ---- what the daemon says --------------------------------------------------------------- */

static size_t unhex(const char *text, uint8_t *to, size_t room)
{
	size_t n = 0;

	for (; n < room && isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]);
	     text += 2) {
		unsigned v;

		sscanf(text, "%2x", &v);
		to[n++] = (uint8_t)v;
	}
	return n;
}

static void take_pair(struct connection *c, const char *pair)
{
	unsigned v;

	if (sscanf(pair, "CHAP_A=%u", &v) == 1)
		c->algorithm = (int)v;
	else if (sscanf(pair, "CHAP_I=%u", &v) == 1)
		c->id = (uint8_t)v;
	else if (!strncmp(pair, "CHAP_C=0x", 9))
		c->challenge_len = unhex(pair + 9, c->challenge, sizeof(c->challenge));
}

/* The text ends with a zero byte, or goes on in the next response. */
static void take_text(struct connection *c, const char *text, uint32_t len)
{
	char pair[256];

	for (uint32_t at = 0, n; at < len; at += n + 1) {
		n = (uint32_t)strnlen(text + at, len - at);
		snprintf(pair, sizeof(pair), "%.*s", (int)min(n, 250u), text + at);
		take_pair(c, pair);
	}
}

static void take_response(struct connection *c, const union pdu *h, uint32_t len)
{
	const struct pdu_login_response *r = &h->login_response;

	tgtd_check(h->basic.opcode == PDU_LOGIN_RESPONSE && !h->basic.ahs_len);
	tgtd_check(len <= LOGIN_PDU_DATA_MAX);
	tgtd_check(r->status_class <= 3);
	take_text(c, (const char *)h + BHS_LEN, len);
	c->tsih = r->tsih;
	if (!r->status_class && r->flags & LOGIN_TRANSIT && (r->flags & LOGIN_STAGE) == 3) {
		tgtd_check(be16_get(r->tsih) != 0);
		c->login = false;
	}
}

static void listen_to(struct peer *p)
{
	struct connection *c = container_of(p, struct connection, peer);
	size_t at = 0;

	peer_receive(p);
	while (c->login && p->in_len - at >= BHS_LEN) {
		const union pdu *h = (const union pdu *)(p->in + at);
		uint32_t len = be24_get(h->basic.data_len);

		if (p->in_len - at < BHS_LEN + len + pdu_pad(len))
			break;
		take_response(c, h, len);
		at += BHS_LEN + len + pdu_pad(len);
	}
	peer_take(p, c->login ? at : p->in_len);
}

/* ---- what is sent ------------------------------------------------------------------------- */

/* Put the right CHAP_R for the last challenge in place of the first "CHAP_R=@". */
static size_t put_response(const struct connection *c, uint8_t *data, size_t len)
{
	uint8_t *at = memmem(data, len, "CHAP_R=@", 8), digest[CHAP_DIGEST_MAX];
	size_t n, rest;

	if (!at || !c->algorithm)
		return len;
	responded = true;
	n = chap_hash(c->algorithm, c->id, SECRET, c->challenge, c->challenge_len, digest);
	rest = len - (size_t)(at + 8 - data);
	memmove(at + 9 + 2 * n, at + 8, rest);
	memcpy(at + 7, "0x", 2);
	for (size_t i = 0; i < 2 * n; i++)
		at[9 + i] = (uint8_t) "0123456789abcdef"[digest[i / 2] >> (i & 1 ? 0 : 4) & 15];
	return len + 1 + 2 * n;
}

static void send_pdu(struct connection *c, struct input *in, size_t piece)
{
	static uint8_t wire[BHS_LEN + 65536 + 100];
	struct pdu_login_request *r = &((union pdu *)wire)->login_request;
	size_t len = input_number(in, 2);
	uint8_t head[HEAD];

	memset(wire, 0, BHS_LEN);
	input_bytes(in, head, HEAD);
	len = min(len, in->left);
	input_bytes(in, wire + BHS_LEN, len);
	len = put_response(c, wire + BHS_LEN, len);
	r->opcode = head[0];
	r->flags = head[1];
	r->version_max = head[2] & 1;
	r->version_min = head[3] == 0xff;
	r->isid[0] = 0x80;
	r->isid[5] = head[4];
	/* another connection's session, one that is not there, none */
	r->tsih = head[5] & 0x80 ? connection[head[5] & 3].tsih : be16_make(head[5]);
	r->cid = be16_make(head[6]);
	r->ahs_len = head[7] == 0xff;
	r->cmd_sn = be32_make(1);
	r->itt = c->itt;
	r->data_len = be24_make((uint32_t)len);
	memset(wire + BHS_LEN + len, 0, pdu_pad((uint32_t)len));
	peer_send(&c->peer, wire, BHS_LEN + len + pdu_pad((uint32_t)len), piece, listen_to);
	/* the daemon answers before the next one, or not */
	tgtd_steps(head[2] & 0x80 ? 2 : 60);
}

static void do_else(struct connection *c, struct input *in)
{
	unsigned what = input_byte(in), n = what >> 2;

	switch (what & 3) {
	case 0:
		tgtd_steps(n * 4);
		break;
	case 1:
		tgtd_wait((uint64_t)n * n * 100 * NSEC_PER_MSEC);
		break;
	case 2:
		peer_leave(&c->peer, n & 1);
		break;
	default:
		sim_peer_shut(c->peer.sp);
		break;
	}
}

static bool connect_peer(struct connection *c)
{
	if (c->peer.ended)
		peer_leave(&c->peer, false);
	if (c->peer.sp)
		return true;
	if (connections++ >= CONNECTIONS_MAX)
		return false;
	c->login = true;
	c->algorithm = 0;
	c->itt = be32_make(connections);
	peer_connect(&c->peer);
	return true;
}

/* Who is logged in may be. */
static void check_sessions(void)
{
	const struct it_nexus *n;

	tgtd_check(responded || (list_empty(&target_find(&tgtd.c.ts, 2)->nexuses) &&
				 list_empty(&target_find(&tgtd.c.ts, 3)->nexuses)));
	list_for_each(n, &target_find(&tgtd.c.ts, 4)->nexuses, target_link)
		tgtd_check(!strcmp(n->initiator, "iqn.2026-11.fuzz:one"));
	tgtd_check(list_empty(&target_find(&tgtd.c.ts, 5)->nexuses));
}

static void play(struct input *in)
{
	uint8_t op = input_byte(in);
	struct connection *c = &connection[op & 3];
	size_t piece = peer_piece(op >> 4);
	struct input raw;

	if (!connect_peer(c)) {
		in->left = 0;
		return;
	}
	switch (op >> 2 & 3) {
	case RAW:
		raw = input_piece(in, input_byte(in));
		peer_send(&c->peer, raw.p, raw.left, piece, listen_to);
		break;
	case ELSE:
		do_else(c, in);
		break;
	default:
		send_pdu(c, in, piece);
		break;
	}
	if (c->peer.sp)
		listen_to(&c->peer);
	check_sessions();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	bool discovery;
	uint8_t chance;

	set_up();
	chance = input_byte(&in);
	tgtd_input(chance);
	connections = 0;
	responded = false;
	discovery = chance & 8;
	if (discovery)
		tgtd_do("account.bind", "'user':'joe'");
	while (in.left)
		play(&in);
	tgtd_steps(20);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		peer_leave(&connection[i].peer, chance & 1);
	tgtd_idle();
	if (discovery)
		tgtd_do("account.unbind", "'user':'joe'");
	return 0;
}
