/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk whose blocks are lines of text that tell their own number. docs/write-your-own-store.md explains it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <stgt/store.h>

#define LINE 64u /* bytes of a line; a block holds several */

struct lines {
	uint32_t block;
};

static int lines_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct lines *l = store_priv(s);
	struct store_limits *limits = store_limits_of(s);

	limits->size = 1 << 20;
	if (store_option_size(s, "size", &limits->size, e))
		return -EINVAL;
	if (limits->size > 1ull << 50)
		return store_err(e, -EINVAL, "size= of store lines is above 1P: use less");
	l->block = limits->block = spec->block_size;
	limits->readonly = true;
	limits->cap[STORE_READ] = STORE_CAP_NATIVE;
	limits->cap[STORE_FLUSH] = STORE_CAP_EMULATE;
	limits->cap[STORE_EXTENTS] = STORE_CAP_EMULATE;
	return 0;
}

static void lines_close(struct store *s)
{
}

/* The byte at @at of the disk. */
static char byte_at(const struct lines *l, uint64_t at)
{
	char line[LINE + 1];

	snprintf(line, sizeof(line), "block %-*llu\n", (int)LINE - 7,
		 (unsigned long long)(at / l->block));
	return line[at % LINE];
}

static void lines_submit(struct store_channel *ch, struct store_io *io)
{
	const struct lines *l = store_priv(channel_store(ch));
	uint64_t at = io->offset;

	for (unsigned i = 0; i < io->iovcnt; i++)
		for (size_t n = 0; n < io->iov[i].iov_len; n++)
			((char *)io->iov[i].iov_base)[n] = byte_at(l, at++);
	store_done(io, 0, 0);
}

static const char *const lines_options[] = { "size", NULL };

static const struct store_ops lines_store = {
	.api = STORE_API,
	.name = "lines",
	.summary = "every block says its number",
	.options = lines_options,
	.store_size = sizeof(struct lines),
	.open = lines_open,
	.close = lines_close,
	.submit = lines_submit,
};

__attribute__((visibility("default")))
const struct store_ops *const store_plugin[] = { &lines_store, NULL };
