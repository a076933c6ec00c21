/* SPDX-License-Identifier: BSD-2-Clause */
/* Data in memory, gone when the store closes. */
#include "base/err.h"
#include "stgt/store.h"
#include "store/builtin.h"
#include "store/image.h"

static int mem_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	return image_open(store_priv(s), s, e);
}

static void mem_close(struct store *s)
{
	image_close(store_priv(s));
}

static void mem_submit(struct store_channel *ch, struct store_io *io)
{
	uint64_t where = 0;
	int err = image_do(store_priv(channel_store(ch)), io, &where);

	store_done(io, err, where);
}

static const char *const mem_options[] = { "size", "limit", NULL };

const struct store_ops mem_store = {
	.api = STORE_API,
	.name = "mem",
	.summary = "memory, sparse, lost at the end",
	.options = mem_options,
	.store_size = sizeof(struct image),
	.open = mem_open,
	.close = mem_close,
	.submit = mem_submit,
};
