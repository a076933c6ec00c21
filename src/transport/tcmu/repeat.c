/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands whose fate nobody knows, because who had them is gone: what the initiator is told. BUSY makes it send a
 * command again, which is right where doing it twice changes nothing: the initiator has had no answer to the first,
 * so nothing it sent since depends on it. COMPARE AND WRITE is not of that kind: what was done would miscompare.
 */
#include <string.h>

#include "base/bits.h"
#include "transport/tcmu/part.h"

/* Of any device type (SPC-5 table 127). */
static const uint8_t any_type[] = {
	0x00, /* TEST UNIT READY */
	0x03, /* REQUEST SENSE */
	0x12, /* INQUIRY */
	0x1a, 0x5a, /* MODE SENSE */
	0x15, 0x55, /* MODE SELECT */
	0x4d, /* LOG SENSE */
	0x1e, /* PREVENT ALLOW MEDIUM REMOVAL */
	0x3c, /* READ BUFFER */
	0xa0, /* REPORT LUNS */
	0xa3, /* MAINTENANCE IN */
	0x5e, /* PERSISTENT RESERVE IN */
	0x16, 0x17, 0x56, 0x57, /* RESERVE, RELEASE */
};

/* Of devices whose commands name the blocks that they mean (SBC-4, MMC-6). */
static const uint8_t by_address[] = {
	0x08, 0x28, 0xa8,
	0x88, /* READ */
	0x0a, 0x2a, 0xaa,
	0x8a, /* WRITE */
	0x2e, 0xae, 0x8e, /* WRITE AND VERIFY */
	0x2f, 0xaf, 0x8f, /* VERIFY */
	0x34, 0x90, /* PRE-FETCH */
	0x35, 0x91, /* SYNCHRONIZE CACHE */
	0x41, 0x93, /* WRITE SAME */
	0x42, /* UNMAP; READ SUB-CHANNEL */
	0x8b, /* ORWRITE */
	0x9c, /* WRITE ATOMIC */
	0x1b, /* START STOP UNIT */
	0x25, 0x9e, /* READ CAPACITY, SERVICE ACTION IN */
	0x43, 0x46, 0x4a,
	0x51, /* READ TOC, GET CONFIGURATION, GET EVENT STATUS, READ DISC INFORMATION */
};

static bool among(const uint8_t *set, size_t n, uint8_t opcode)
{
	return memchr(set, opcode, n) != NULL;
}

/* Variable length CDBs by service action (SBC-4): READ, VERIFY, WRITE, WRITE AND VERIFY, WRITE SAME. */
static bool long_one(const uint8_t *cdb)
{
	unsigned sa = (unsigned)cdb[8] << 8 | cdb[9];

	return sa == 0x09 || (sa >= 0x0a && sa <= 0x0d);
}

bool tcmu_repeatable(const uint8_t *cdb, bool random_access)
{
	if (among(any_type, sizeof(any_type), cdb[0]))
		return true;
	if (!random_access)
		return false;
	return cdb[0] == 0x7f ? long_one(cdb) : among(by_address, sizeof(by_address), cdb[0]);
}

void tcmu_answer_lost(struct ring_answer *a, bool once)
{
	static uint8_t sense[SENSE_MAX];
	static unsigned len;

	*a = (struct ring_answer){ .status = ST_BUSY };
	if (!once)
		return;
	if (!len)
		len = sense_encode(sense, V_TARGET_FAILURE, NULL, false);
	a->status = ST_CHECK_CONDITION;
	a->sense = sense;
	a->sense_len = len;
}
