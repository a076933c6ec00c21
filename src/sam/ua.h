/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit attention conditions (SAM-6 5.14): a set of bits per I_T_L nexus. Lower
 * bits are reported first. An established reset clears what it supersedes.
 */
#ifndef STGT_SAM_UA_H
#define STGT_SAM_UA_H

#include <stdint.h>

#include "sam/verdict.h"

/* clang-format off */
#define UNIT_ATTENTIONS(U) \
	U(POWER_ON) U(BUS_RESET) U(BUS_DEVICE_RESET) U(RESET) U(NEXUS_LOSS) \
	U(COMMANDS_CLEARED) U(MEDIUM_CHANGED) U(CAPACITY_CHANGED) U(MODE_CHANGED) \
	U(RSV_PREEMPTED) U(RSV_RELEASED) U(REG_PREEMPTED) U(INQUIRY_CHANGED) \
	U(LUNS_CHANGED)
/* clang-format on */

enum ua {
#define U(name) UA_##name,
	UNIT_ATTENTIONS(U)
#undef U
		UA_COUNT
};

#define UA_BIT(ua) (1u << (ua))

static inline void ua_establish(uint32_t *set, enum ua ua)
{
	/* SPC-5 4.4.8 table 55: power on and resets supersede what came before */
	if (ua <= UA_RESET)
		*set = 0;
	*set |= UA_BIT(ua);
}

/* The verdict of the first one pending, which is taken out; V_GOOD if there is none. */
enum verdict ua_take(uint32_t *set);
/* The same without taking it. */
enum verdict ua_peek(uint32_t set);

#endif
