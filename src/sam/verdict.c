/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/verdict.h"

#include "sam/sense.h"

const struct verdict_row verdict_rows[V_COUNT] = {
	[V_PENDING] = { "PENDING", ST_GOOD, SK_NO_SENSE, 0, 0 },
#define V(name, status, key, asc, ascq) [V_##name] = { #name, ST_##status, SK_##key, asc, ascq },
	VERDICTS(V)
#undef V
};
