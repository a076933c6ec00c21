/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Persistent reservations (SPC-5 5.14): the state of an LU and its rules. Owned by
 * the LU's home reactor, changed inside LU transactions only. Registrations
 * are keyed by TransportID and relative target port identifier: they outlive nexuses.
 */
#ifndef STGT_SAM_PR_H
#define STGT_SAM_PR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define PR_REGISTRATIONS_MAX 128 /* per LU: bounded memory */

enum pr_type {
	PR_WRITE_EXCLUSIVE = 0x1,
	PR_EXCLUSIVE_ACCESS = 0x3,
	PR_WRITE_EXCLUSIVE_RO = 0x5, /* registrants only */
	PR_EXCLUSIVE_ACCESS_RO = 0x6,
	PR_WRITE_EXCLUSIVE_AR = 0x7, /* all registrants */
	PR_EXCLUSIVE_ACCESS_AR = 0x8,
};

struct pr_registration {
	struct list link;
	uint64_t key;
	uint16_t rtpi;
	uint16_t id_len;
	uint8_t id[256]; /* TransportID */
};

struct pr_state {
	struct list registrations;
	unsigned count;
	uint32_t generation; /* PRGENERATION */
	uint8_t type; /* 0: no reservation */
	struct pr_registration *holder; /* NULL for all-registrants types and none */
};

struct itl;

void pr_init(struct pr_state *pr);
void pr_fini(struct pr_state *pr);

struct pr_registration *pr_find(const struct pr_state *pr, const uint8_t *id, uint16_t id_len,
				uint16_t rtpi);
/* The registration of @itl's I_T nexus, NULL if it is not registered. */
struct pr_registration *pr_of(const struct pr_state *pr, const struct itl *itl);
/* Add a registration; NULL at PR_REGISTRATIONS_MAX, without memory, or if @id_len is too large. */
struct pr_registration *pr_register(struct pr_state *pr, const uint8_t *id, uint16_t id_len,
				    uint16_t rtpi, uint64_t key);
/* Remove and free @reg. True if the reservation ended with it. PRGENERATION is the caller's. */
bool pr_unregister(struct pr_state *pr, struct pr_registration *reg);
/* True if @reg holds the reservation (SPC-5 5.14.10: every registrant under all-registrants types). */
bool pr_holds(const struct pr_state *pr, const struct pr_registration *reg);
bool pr_type_valid(uint8_t type);
bool pr_type_all_registrants(uint8_t type);
bool pr_type_registrants_only(uint8_t type);

/* OP_RSV_* bits that the reservation sets for @itl's I_T nexus. */
uint16_t pr_conflicts(const struct pr_state *pr, const struct itl *itl);

#endif
