/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/ua.h"

static const uint8_t ua_verdict[UA_COUNT] = {
#define U(name) [UA_##name] = V_UA_##name,
	UNIT_ATTENTIONS(U)
#undef U
};

enum verdict ua_peek(uint32_t set)
{
	return set ? ua_verdict[__builtin_ctz(set)] : V_GOOD;
}

enum verdict ua_take(uint32_t *set)
{
	enum verdict v = ua_peek(*set);

	*set &= *set - 1;
	return v;
}
