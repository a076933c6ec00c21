/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/probe.h"

const struct probe_row probe_rows[PROBE_COUNT] = {
#define P(id, word_, n, args_, when_) \
	[PROBE_##id] = { .name = #id, .word = word_, .args = args_, .when = when_, .nargs = n },
	PROBES(P)
#undef P
};
