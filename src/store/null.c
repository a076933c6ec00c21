/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads are zeroes, writes are dropped: what the rest of the road costs. */
#include <string.h>

#include "base/err.h"
#include "stgt/store.h"
#include "store/builtin.h"

#define DEFAULT_SIZE (1ull << 40)

static int null_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = store_limits_of(s);

	l->size = DEFAULT_SIZE;
	l->fua = true;
	if (!strcmp(spec->type, nullhome_store.name))
		l->affinity = STORE_AFFINITY_HOME;
	for (unsigned i = 0; i <= STORE_EXTENTS; i++)
		l->cap[i] = STORE_CAP_NATIVE;
	return store_option_size(s, "size", &l->size, e);
}

static void null_close(struct store *s)
{
}

static void null_submit(struct store_channel *ch, struct store_io *io)
{
	uint64_t size = store_limits_of(channel_store(ch))->size;

	if (io->verb == STORE_READ && io->flags & STORE_MAY_LEND)
		io->lent = store_zeroes(ch, io);
	if (io->verb == STORE_READ && !io->lent)
		for (unsigned i = 0; i < io->iovcnt; i++)
			memset(io->iov[i].iov_base, 0, io->iov[i].iov_len);
	if (io->verb == STORE_EXTENTS)
		io->extent = (struct store_extent){ size - io->offset, false };
	store_done(io, 0, 0);
}

static const char *const null_options[] = { "size", NULL };

const struct store_ops null_store = {
	.api = STORE_API,
	.name = "null",
	.summary = "reads zeroes, drops writes",
	.options = null_options,
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
};

const struct store_ops nullhome_store = {
	.api = STORE_API,
	.name = "nullhome",
	.summary = "null on one reactor only, for tests",
	.options = null_options,
	.open = null_open,
	.close = null_close,
	.submit = null_submit,
};
