/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of text keys itself: for keys.c and its tests. */
#ifndef STGT_ISCSI_KEYTAB_H
#define STGT_ISCSI_KEYTAB_H

#include "transport/iscsi/keys.h"

enum key_type {
	KEY_STRING, /* login reads the value; no answer is due */
	KEY_AND,
	KEY_OR, /* boolean-value and its result function */
	KEY_MIN,
	KEY_MAX, /* numerical-value and its result function */
	KEY_DECLARE, /* numerical-value that is declared */
	KEY_LIST, /* list-of-values: the first one that the responder supports */
	KEY_REJECT, /* obsolete (13.25): the only answer is Reject */
};

enum key_scope { SCOPE_SESSION, SCOPE_CONNECTION };

/* "Senders", "Irrelevant when" and what else a row may say. */
#define KEYF_TARGET_SENDS 0x01 /* and never an initiator */
#define KEYF_NOT_DISCOVERY 0x02 /* irrelevant when SessionType=Discovery */
#define KEYF_UNSOLICITED 0x04 /* irrelevant when InitialR2T=Yes and ImmediateData=No */
#define KEYF_RDMA 0x08 /* irrelevant when RDMAExtensions=No, RFC 7145 6 */
#define KEYF_LONG 0x10 /* values above 255 bytes */
#define KEYF_OFFER 0x20 /* the target brings it up if the default does not suit it */
#define KEYF_LEADING 0x40 /* on a session's first connection only */

struct key_row {
	const char *name;
	uint8_t type, scope, phases, flags;
	uint32_t lo, hi; /* admissible range */
	uint32_t rfc_default; /* what holds if it is not negotiated */
	uint32_t wish; /* ours, without a setting */
	uint32_t cap; /* the most that the daemon does, whatever the setting */
	int param; /* enum iscsi_param, -1: no setting */
	const char *const *items; /* of a list: names of bits 0, 1, ..., NULL at the end */
};

extern const struct key_row iscsi_keys[ISCSI_KEYS];

int keytab_bool(const char *value, uint32_t *v);
/* The bit of @item, 0 if the list has it not. */
uint32_t keytab_item(const struct key_row *row, const char *item);
void keytab_print(const struct key_row *row, uint32_t v, char *out, size_t size);

#endif
