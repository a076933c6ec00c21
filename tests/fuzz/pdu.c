/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PDUs of two initiators in full feature phase, to a whole daemon with disks in
 * memory, one of them slow. The first byte is chance, the second one what the
 * first initiator negotiates; then pieces: a length byte n and n bytes of script. A script's first
 * byte says what it is (bits 0-2), whose (bit 3), and how what is sent is cut in
 * pieces (bits 4-7):
 *
 *	raw bytes, as they are
 *	a PDU (initiator_send())
 *	the daemon runs; time passes; the initiator leaves, or sends no more
 *
 * Who is not there logs in. After the last piece all are gone, and nothing may be left of them.
 */
#include <string.h>

#include "initiator.h"

#define LOGINS_MAX 6

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
	tgtd_do("lun.create",
		"'tid':1,'lun':2,'bstype':'delay:delay_us=20000+mem','bsopts':'size=1M'");
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
		initiator_send(i, &s, peer_piece(op >> 4));
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
