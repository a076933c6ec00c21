/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PDUs to a connection in full feature phase, over a whole server with a disk in
 * memory. The first byte chooses what was negotiated; then pieces: a
 * length byte n and n bytes of script. A script's first byte says what it is:
 *
 *	raw bytes, as they are
 *	a PDU: which header bytes follow is up to the input; numbers that a sound
 *	initiator would send (CmdSN, tags of its own commands and of R2Ts,
 *	digests) are filled in unless bits of the second byte forbid it
 *	take what the target says; or let it run
 *
 * After the last piece the initiator is gone, and nothing may be left of it.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "transport/iscsi/digest.h"
#include "../unit/iscsi/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEEP_SN = 1, KEEP_TAG = 2, KEEP_TTT = 4, KEEP_LEN = 8, CUT = 16, FILL = 32 };

struct script {
	const uint8_t *p;
	unsigned left;
};

static struct r2t_seen {
	be32 itt, ttt, offset, desired;
} seen;
static bool header_digest, data_digest;

static uint8_t byte(struct script *s)
{
	if (!s->left)
		return 0;
	s->left--;
	return *s->p++;
}

static void bytes(struct script *s, uint8_t *to, unsigned n)
{
	while (n--)
		*to++ = byte(s);
}

/* What the target says; the tags of its R2Ts are of use. */
static void listen_to(struct peer *p)
{
	size_t at = 0;

	peer_receive(p);
	while (p->in_len - at >= BHS_LEN) {
		const union pdu *h = (const union pdu *)(p->in + at);
		size_t len = be24_get(h->basic.data_len);
		size_t whole = BHS_LEN + (header_digest ? 4 : 0) + len + pdu_pad((uint32_t)len) +
			       (len && data_digest ? 4 : 0);

		if (p->in_len - at < whole)
			break;
		if (h->basic.opcode == PDU_R2T)
			seen = (struct r2t_seen){ h->r2t.itt, h->r2t.ttt, h->r2t.offset,
						  h->r2t.desired };
		at += whole;
	}
	p->in_len -= at;
	memmove(p->in, p->in + at, p->in_len);
}

static size_t add_digest(uint8_t *wire, size_t at, size_t from)
{
	iscsi_digest_store(wire + at, iscsi_crc32c(wire + from, at - from));
	return at + 4;
}

static void send_pdu(struct peer *p, struct script *s)
{
	static uint8_t wire[BHS_LEN + 1020 + 300000];
	union pdu *h = (union pdu *)wire;
	uint8_t how = byte(s);
	size_t at = BHS_LEN, from;
	uint32_t len;

	memset(wire, 0, BHS_LEN);
	bytes(s, wire, 4);
	bytes(s, wire + 9, 1);
	h->basic.ahs_len = byte(s);
	bytes(s, wire + 16, 32);
	len = (uint32_t)byte(s) << 8 | byte(s);
	len = how & FILL ? len * 4 : min(len, s->left);
	h->basic.data_len = be24_make(how & KEEP_LEN ? (uint32_t)be_load(wire + 44, 3) : len);
	if (!(how & KEEP_TAG))
		h->basic.itt = h->basic.opcode == PDU_DATA_OUT ? seen.itt : be32_make(p->itt++);
	if (!(how & KEEP_TTT) && h->basic.opcode == PDU_DATA_OUT) {
		h->data_out.ttt = seen.ttt;
		h->data_out.offset = seen.offset;
	}
	if (!(how & KEEP_SN) && h->basic.opcode != PDU_DATA_OUT) {
		h->request.cmd_sn = be32_make(p->cmd_sn);
		p->cmd_sn += !(h->basic.opcode & PDU_IMMEDIATE);
	}
	bytes(s, wire + at, h->basic.ahs_len * 4u);
	at += h->basic.ahs_len * 4u;
	if (header_digest)
		at = add_digest(wire, at, 0);
	from = at;
	memset(wire + at, 0xda, len + 3);
	bytes(s, wire + at, min(len, s->left));
	at += len + pdu_pad(len);
	if (len && data_digest)
		at = add_digest(wire, at, from);
	peer_send(p, wire, how & CUT && at > 60 ? at / 2 : at);
}

static void play(struct peer *p, struct script s)
{
	switch (byte(&s) & 7) {
	case 0:
		peer_send(p, s.p, s.left);
		break;
	case 1:
		listen_to(p);
		break;
	case 2:
		for (unsigned n = byte(&s); n; n--)
			world_step();
		listen_to(p);
		break;
	default:
		send_pdu(p, &s);
		break;
	}
}

static struct peer *log_in(uint8_t how)
{
	char keys[256];
	size_t n = 0;
	struct peer *p;

	header_digest = data_digest = false;
	n += (size_t)snprintf(keys + n, 100, "InitialR2T=%s", how & 1 ? "Yes" : "No") + 1;
	n += (size_t)snprintf(keys + n, 100, "ImmediateData=%s", how & 2 ? "Yes" : "No") + 1;
	n += (size_t)snprintf(keys + n, 100, "FirstBurstLength=%u", how & 4 ? 4096 : 65536) + 1;
	n += (size_t)snprintf(keys + n, 100, "MaxBurstLength=%u", how & 8 ? 8192 : 262144) + 1;
	n += (size_t)snprintf(keys + n, 100, "MaxOutstandingR2T=%u", how & 16 ? 4 : 1) + 1;
	p = peer_login(keys, n);
	/* as if they had been negotiated: peer_login() itself knows no digests */
	reactor_turn(world.data, 0);
	p->conn->header_digest = header_digest = how & 32;
	p->conn->data_digest = data_digest = how & 64;
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct peer *p;

	if (!ready) {
		world_begin(&engine_epoll, MIB(4));
		ready = true;
	}
	if (!size)
		return 0;
	memset(&seen, 0, sizeof(seen));
	p = log_in(data[0]);
	for (size_t at = 1; at + 1 < size && !p->closed;) {
		unsigned n = (unsigned)min((size_t)data[at], size - at - 1);

		play(p, (struct script){ data + at + 1, n });
		at += 1 + n;
	}
	world_step();
	peer_close(p);
	world_until(world_is_empty());
	return 0;
}
