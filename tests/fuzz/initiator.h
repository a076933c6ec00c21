/* SPDX-License-Identifier: BSD-2-Clause */
/* An iSCSI initiator with one connection: what fuzzed PDUs come from. */
#ifndef TESTS_FUZZ_INITIATOR_H
#define TESTS_FUZZ_INITIATOR_H

#include "daemon.h"
#include "transport/iscsi/pdu.h"

#define INITIATOR_TARGET "iqn.2026-11.fuzz:t"
#define INITIATOR_SEGMENT 262144u /* MaxRecvDataSegmentLength */

struct initiator {
	struct peer peer;
	uint32_t cmd_sn, itt; /* of the next request */
	bool header_digest, data_digest;
	/* the last R2T */
	be32 r2t_itt, r2t_ttt, r2t_offset, r2t_desired;
};

/*
 * Log in as the @port-th port; @how: bits say what is negotiated. False if the daemon does
 * not admit it. Unit attentions are cleared.
 */
bool initiator_login(struct initiator *i, unsigned port, uint8_t how);
/* Take what the daemon says, and look at its form. @p is an initiator's. */
void initiator_listen(struct peer *p);
/*
 * Send a PDU that the input makes: which header bytes it has is up to it; numbers that a sound
 * initiator would send (CmdSN, tags of its own commands and of R2Ts, digests) are filled in
 * unless bits of the first byte forbid it. In pieces of @piece bytes.
 */
void initiator_send(struct initiator *i, struct input *s, size_t piece);
/* The header of a SCSI command of the initiator. */
union pdu initiator_command(struct initiator *i, uint8_t lun, const uint8_t *cdb, unsigned cdb_len,
			    uint8_t flags, uint32_t expected);

#endif
