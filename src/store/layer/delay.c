/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is below takes its time, for tests and testers. A request is carried out
 * when its time has come, not when it arrives: a write in flight has changed
 * nothing yet and lands late, as on a slow disk. Nothing hastens it.
 */
#include <errno.h>

#include "base/bits.h"
#include "stgt/store.h"
#include "store/builtin.h"

enum { READS, WRITES, FLUSHES, KINDS };

struct delay {
	uint64_t ns[KINDS];
};

static const char *const delay_options[] = { "read_us", "write_us", "flush_us", "delay_us", NULL };

static int delay_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct delay *d = store_priv(s);
	uint64_t all = 0;
	int err = store_option_number(s, "delay_us", &all, e);

	for (unsigned i = 0; i < KINDS && !err; i++) {
		uint64_t us = all;

		err = store_option_number(s, delay_options[i], &us, e);
		if (!err && us > UINT32_MAX)
			return store_err(e, -EINVAL,
					 "a delay of store %s is above %u microseconds: use less",
					 store_type(s), UINT32_MAX);
		d->ns[i] = us * 1000;
	}
	return err;
}

static void delay_close(struct store *s)
{
}

static void delay_over(struct store_io *io)
{
	store_below(io->ch, io, NULL, 0);
}

static unsigned kind_of(const struct store_io *io)
{
	if (io->verb == STORE_READ || io->verb == STORE_EXTENTS)
		return READS;
	return io->verb == STORE_FLUSH ? FLUSHES : WRITES;
}

static void delay_submit(struct store_channel *ch, struct store_io *io)
{
	struct delay *d = store_priv(channel_store(ch));
	uint64_t ns = d->ns[kind_of(io)];

	/* who resets a device does so because it is slow */
	if (ns && io->verb != STORE_RESET)
		store_after(ch, io, ns, delay_over);
	else
		store_below(ch, io, NULL, 0);
}

const struct store_ops delay_layer = {
	.api = STORE_API,
	.name = "delay",
	.summary = "lets requests wait before they are carried out",
	.options = delay_options,
	.layer = true,
	.store_size = sizeof(struct delay),
	.open = delay_open,
	.close = delay_close,
	.submit = delay_submit,
};
