/* SPDX-License-Identifier: BSD-2-Clause */
#include "initiator.h"

#include <stdio.h>
#include <string.h>

#include "transport/iscsi/digest.h"

/* how of initiator_send() */
enum { KEEP_SN = 1, KEEP_TAG = 2, KEEP_TTT = 4, KEEP_LEN = 8, CUT = 16, FILL = 32 };

#define STATUS_AFTER 36 /* of the BHS: Status-Class of a login response */

/* ---- what the daemon says ------------------------------------------------------------- */

static bool is_response(uint8_t opcode)
{
	switch (opcode) {
	case PDU_NOP_IN:
	case PDU_SCSI_RESPONSE:
	case PDU_TMF_RESPONSE:
	case PDU_TEXT_RESPONSE:
	case PDU_DATA_IN:
	case PDU_LOGOUT_RESPONSE:
	case PDU_R2T:
	case PDU_ASYNC_MESSAGE:
	case PDU_REJECT:
		return true;
	default:
		return false;
	}
}

static void check_digest(const uint8_t *at, size_t len)
{
	tgtd_check(iscsi_digest_load(at + len) == iscsi_crc32c(at, len));
}

/* The whole PDU @h, whose data begins after @head bytes. */
static void take_pdu(struct initiator *i, const union pdu *h, size_t head, uint32_t len)
{
	tgtd_check(is_response(h->basic.opcode));
	tgtd_check(len <= INITIATOR_SEGMENT && !h->basic.ahs_len);
	if (i->header_digest)
		check_digest(h->bytes, BHS_LEN);
	if (i->data_digest && len)
		check_digest((const uint8_t *)h + head, len + pdu_pad(len));
	if (h->basic.opcode == PDU_R2T) {
		tgtd_check(be32_get(h->r2t.desired) > 0);
		i->r2t_itt = h->r2t.itt;
		i->r2t_ttt = h->r2t.ttt;
		i->r2t_offset = h->r2t.offset;
		i->r2t_desired = h->r2t.desired;
	}
}

void initiator_listen(struct peer *p)
{
	struct initiator *i = container_of(p, struct initiator, peer);
	size_t at = 0;

	peer_receive(p);
	while (p->in_len - at >= BHS_LEN) {
		const union pdu *h = (const union pdu *)(p->in + at);
		uint32_t len = be24_get(h->basic.data_len);
		size_t head = BHS_LEN + (i->header_digest ? DIGEST_LEN : 0);
		size_t whole = head + len + pdu_pad(len) + (len && i->data_digest ? DIGEST_LEN : 0);

		tgtd_check(len <= INITIATOR_SEGMENT);
		if (p->in_len - at < whole)
			break;
		take_pdu(i, h, head, len);
		at += whole;
	}
	peer_take(p, at);
}

/* ---- login ------------------------------------------------------------------------------ */

static void only_receive(struct peer *p)
{
	peer_receive(p);
}

/* Wait for a login response. False: the daemon refuses. */
static bool login_response(struct peer *p, bool *last)
{
	const union pdu *h = (const union pdu *)p->in;
	size_t whole;

	for (;;) {
		peer_receive(p);
		whole = BHS_LEN;
		if (p->in_len >= BHS_LEN) {
			whole += be24_get(h->basic.data_len);
			whole += pdu_pad(be24_get(h->basic.data_len));
		}
		if (p->in_len >= whole)
			break;
		if (p->ended) /* perhaps in the middle */
			return false;
		tgtd_check(sim_step());
	}
	tgtd_check(h->basic.opcode == PDU_LOGIN_RESPONSE);
	*last = h->basic.flags & LOGIN_TRANSIT;
	if (h->bytes[STATUS_AFTER])
		return false;
	peer_take(p, whole);
	return true;
}

/* The keys of @how; returns their bytes at @text. */
static size_t put_keys(char *text, size_t room, uint8_t how)
{
	int n = snprintf(text, room,
			 "InitiatorName=iqn.2026-11.fuzz:i%cTargetName=" INITIATOR_TARGET
			 "%cMaxRecvDataSegmentLength=%u%cInitialR2T=%s%cImmediateData=%s%c"
			 "FirstBurstLength=%u%cMaxBurstLength=%u%cMaxOutstandingR2T=%u%c"
			 "HeaderDigest=%s%cDataDigest=%s%c",
			 0, 0, INITIATOR_SEGMENT, 0, how & 1 ? "Yes" : "No", 0,
			 how & 2 ? "Yes" : "No", 0, how & 4 ? 4096 : 65536, 0,
			 how & 8 ? 8192 : 262144, 0, how & 16 ? 4 : 1, 0,
			 how & 32 ? "CRC32C" : "None", 0, how & 64 ? "CRC32C" : "None", 0);

	tgtd_check(n > 0 && (size_t)n < room);
	return (size_t)n;
}

/* Everything is stepped by this thread, so the nexus can be looked at here. */
static void clear_attentions(const uint8_t isid[6])
{
	const struct target *t = target_find_name(&tgtd.c.ts, INITIATOR_TARGET);
	struct it_nexus *n;
	struct itl *itl;

	list_for_each(n, &t->nexuses, target_link) {
		if (memcmp(n->isid, isid, sizeof(n->isid)))
			continue;
		list_for_each(itl, &n->itls, nexus_link)
			itl->ua = 0;
	}
}

bool initiator_login(struct initiator *i, unsigned port, uint8_t how)
{
	union pdu h = { .login_request = {
				.opcode = PDU_LOGIN_REQUEST | PDU_IMMEDIATE,
				.flags = LOGIN_TRANSIT | 1 << LOGIN_CSG_SHIFT | 3,
				.isid = { 0x80, 0, 0, 0, 0, (uint8_t)port },
				.cmd_sn = be32_make(1),
			} };
	char text[1024] = { 0 };
	size_t n = put_keys(text, sizeof(text) - 4, how);
	bool last = false;

	peer_connect(&i->peer);
	i->cmd_sn = i->itt = 1;
	i->header_digest = i->data_digest = false;
	i->r2t_itt = i->r2t_ttt = i->r2t_offset = i->r2t_desired = be32_make(0);
	while (!last) {
		h.login_request.data_len = be24_make((uint32_t)n);
		peer_send(&i->peer, &h, sizeof(h), 0, only_receive);
		peer_send(&i->peer, text, n + pdu_pad((uint32_t)n), 0, only_receive);
		if (!login_response(&i->peer, &last)) {
			peer_leave(&i->peer, false);
			return false;
		}
		n = 0;
	}
	i->header_digest = how & 32;
	i->data_digest = how & 64;
	clear_attentions(h.login_request.isid);
	return true;
}

/* ---- requests ------------------------------------------------------------------------------ */

static size_t add_digest(uint8_t *wire, size_t at, size_t from)
{
	iscsi_digest_store(wire + at, iscsi_crc32c(wire + from, at - from));
	return at + DIGEST_LEN;
}

/*
 * Complete the PDU at @wire, whose header, AHS and @len bytes of data are in place: padding and
 * digests are put in (there is room). Returns the bytes to send.
 */
static size_t seal(const struct initiator *i, uint8_t *wire, size_t ahs, size_t len)
{
	size_t at = BHS_LEN + ahs, pad = pdu_pad((uint32_t)len);

	if (i->header_digest) {
		memmove(wire + at + DIGEST_LEN, wire + at, len);
		at = add_digest(wire, at, 0);
	}
	memset(wire + at + len, 0, pad);
	if (len && i->data_digest)
		return add_digest(wire, at + len + pad, at);
	return at + len + pad;
}

union pdu initiator_command(struct initiator *i, uint8_t lun, const uint8_t *cdb, unsigned cdb_len,
			    uint8_t flags, uint32_t expected)
{
	union pdu h = { .command = {
				.opcode = PDU_SCSI_COMMAND,
				.flags = PDU_FINAL | flags | 1,
				.lun = { 0, lun },
				.itt = be32_make(i->itt++),
				.expected_len = be32_make(expected),
				.cmd_sn = be32_make(i->cmd_sn++),
			} };

	memcpy(h.command.cdb, cdb, cdb_len);
	return h;
}

/* Header fields that a sound initiator would not choose freely. */
static void fill_in(struct initiator *i, union pdu *h, uint8_t how)
{
	bool data_out = h->basic.opcode == PDU_DATA_OUT;

	if (!(how & KEEP_TAG))
		h->basic.itt = data_out ? i->r2t_itt : be32_make(i->itt++);
	if (!(how & KEEP_TTT) && data_out) {
		h->data_out.ttt = i->r2t_ttt;
		h->data_out.offset = i->r2t_offset;
	}
	if (!(how & KEEP_SN) && !data_out) {
		h->request.cmd_sn = be32_make(i->cmd_sn);
		i->cmd_sn += !(h->basic.opcode & PDU_IMMEDIATE);
	}
}

void initiator_send(struct initiator *i, struct input *s, size_t piece)
{
	static uint8_t wire[BHS_LEN + AHS_MAX + (4u << 16) + 3 * DIGEST_LEN];
	union pdu *h = (union pdu *)wire;
	uint8_t how = input_byte(s);
	size_t ahs, given;
	uint32_t len;

	memset(wire, 0, BHS_LEN);
	input_bytes(s, wire, 4);
	input_bytes(s, wire + 9, 1);
	h->basic.ahs_len = input_byte(s);
	input_bytes(s, wire + 16, 32);
	len = (uint32_t)input_number(s, 2);
	len = how & FILL ? len * 4 : (uint32_t)min(len, s->left);
	h->basic.data_len = be24_make(how & KEEP_LEN ? (uint32_t)be_load(wire + 44, 3) : len);
	fill_in(i, h, how);
	ahs = h->basic.ahs_len * 4u;
	input_bytes(s, wire + BHS_LEN, ahs);
	given = min(len, s->left);
	input_bytes(s, wire + BHS_LEN + ahs, given);
	memset(wire + BHS_LEN + ahs + given, 0xda, len - given);
	len = (uint32_t)seal(i, wire, ahs, len);
	peer_send(&i->peer, wire, how & CUT && len > 60 ? len / 2 : len, piece, initiator_listen);
}
