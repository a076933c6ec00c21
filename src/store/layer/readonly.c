/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing changes what is below. The core refuses what would; a device's own
 * commands are not looked into, so none pass.
 */
#include "stgt/store.h"
#include "store/builtin.h"

static int readonly_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = store_limits_of(s);

	l->readonly = true;
	l->cap[STORE_RAW] = STORE_CAP_NO;
	return 0;
}

static void readonly_close(struct store *s)
{
}

static void readonly_submit(struct store_channel *ch, struct store_io *io)
{
	store_below(ch, io, NULL, 0);
}

const struct store_ops readonly_layer = {
	.api = STORE_API,
	.name = "readonly",
	.summary = "refuses what would change data",
	.layer = true,
	.open = readonly_open,
	.close = readonly_close,
	.submit = readonly_submit,
};
