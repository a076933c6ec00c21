/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PDUs of two initiators in full feature phase, to a whole daemon with disks in
 * memory, one of them slow. The first byte is chance, the second one what the
 * first initiator negotiates; then pieces: a length byte n and n bytes of script. A script's first
 * byte says what it is (bits 0-2), whose (bit 3), and how what is sent is cut in
 * pieces (bits 4-7):
 *
 *	raw bytes, as they are
 *	a PDU: which header bytes follow is up to the input; numbers that a sound
 *	initiator would send (CmdSN, tags of its own commands and of R2Ts,
 *	digests) are filled in unless bits of the second byte forbid it
 *	the daemon runs; time passes; the initiator leaves, or sends no more
 *
 * Who is not there logs in. After the last piece all are gone, and nothing may be left of them.
 */
#include <string.h>

#include "initiator.h"

#define LOGINS_MAX 6

enum { KEEP_SN = 1, KEEP_TAG = 2, KEEP_TTT = 4, KEEP_LEN = 8, CUT = 16, FILL = 32 };
enum { RAW, WAIT, STEPS, LEAVE, SHUT, SEND };

static struct initiator initiator[2];
static unsigned logins; /* of this input */

static void set_up(void)
{
	if (tgtd.control)
		return;
	tgtd_begin(control_verbs);
	tgtd_do("target.create", "'tid':1,'name':'" INITIATOR_TARGET "'");
	tgtd_do("acl.add", "'tid':1,'address':'ALL'");
	tgtd_do("lun.create", "'tid':1,'lun':1,'bstype':'mem','bsopts':'size=4M','thin':true");
	tgtd_do("lun.create", "'tid':1,'lun':2,'bstype':'delay','bsopts':'size=1M,delay_us=20000'");
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

static void send_pdu(struct initiator *i, struct input *s, size_t piece)
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
	len = (uint32_t)initiator_seal(i, wire, ahs, len);
	peer_send(&i->peer, wire, how & CUT && len > 60 ? len / 2 : len, piece, initiator_listen);
}

static void play(struct input s)
{
	uint8_t op = input_byte(&s);
	unsigned who = op >> 3 & 1, n;
	struct initiator *i = &initiator[who];

	if (i->peer.ended)
		peer_leave(&i->peer, false);
	if (!i->peer.sp && (logins++ >= LOGINS_MAX || !initiator_login(i, who, input_byte(&s))))
		return;
	switch (op & 7) {
	case RAW:
		peer_send(&i->peer, s.p, s.left, peer_piece(op >> 4), initiator_listen);
		break;
	case WAIT:
		n = input_byte(&s) + 1u;
		tgtd_wait((uint64_t)n * n * NSEC_PER_MSEC);
		break;
	case STEPS:
		tgtd_steps(input_byte(&s) * 4u);
		break;
	case LEAVE:
		peer_leave(&i->peer, input_byte(&s) & 1);
		break;
	case SHUT:
		sim_peer_shut(i->peer.sp);
		break;
	default:
		send_pdu(i, &s, peer_piece(op >> 4));
		break;
	}
	if (i->peer.sp)
		initiator_listen(&i->peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t chance;

	set_up();
	chance = input_byte(&in);
	tgtd_input(chance);
	logins = 1;
	if (initiator_login(&initiator[0], 0, input_byte(&in)))
		while (in.left)
			play(input_piece(&in, input_byte(&in)));
	tgtd_steps(20);
	for (unsigned i = 0; i < 2; i++)
		peer_leave(&initiator[i].peer, chance & 1);
	tgtd_idle();
	tgtd_tidy();
	return 0;
}
