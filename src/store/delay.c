/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that takes its time, for tests and testers. A request is carried out
 * when its time has come, not when it arrives: a write in flight has changed
 * nothing yet and lands late, as on a slow disk. Nothing hastens it.
 */
#include <errno.h>

#include "base/err.h"
#include "stgt/store.h"
#include "store/builtin.h"
#include "store/image.h"

struct delay {
	struct image image;
	uint64_t read_ns, write_ns, flush_ns;
};

static int delay_times(struct store *s, struct delay *d, struct err *e)
{
	uint64_t all = 0, read_us, write_us, flush_us;
	int err = store_option_number(s, "delay_us", &all, e);

	read_us = write_us = flush_us = all;
	if (!err)
		err = store_option_number(s, "read_us", &read_us, e);
	if (!err)
		err = store_option_number(s, "write_us", &write_us, e);
	if (!err)
		err = store_option_number(s, "flush_us", &flush_us, e);
	if (err)
		return err;
	if (read_us > UINT32_MAX || write_us > UINT32_MAX || flush_us > UINT32_MAX)
		return err_set(e, -EINVAL, "a delay of store %s is above %u microseconds: use less",
			       store_type(s), UINT32_MAX);
	d->read_ns = read_us * 1000;
	d->write_ns = write_us * 1000;
	d->flush_ns = flush_us * 1000;
	return 0;
}

static int delay_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct delay *d = store_priv(s);
	int err = delay_times(s, d, e);

	return err ? err : image_open(&d->image, s, e);
}

static void delay_close(struct store *s)
{
	struct delay *d = store_priv(s);

	image_close(&d->image);
}

static void delay_over(struct store_io *io)
{
	struct delay *d = store_priv(channel_store(io->ch));
	uint64_t where = 0;
	int err = image_do(&d->image, io, &where);

	store_done(io, err, where);
}

static void delay_submit(struct store_channel *ch, struct store_io *io)
{
	struct delay *d = store_priv(channel_store(ch));
	uint64_t ns = d->write_ns;

	if (io->verb == STORE_READ || io->verb == STORE_EXTENTS)
		ns = d->read_ns;
	else if (io->verb == STORE_FLUSH)
		ns = d->flush_ns;
	store_after(ch, io, ns, delay_over);
}

static const char *const delay_options[] = { "size",	 "limit",    "delay_us", "read_us",
					     "write_us", "flush_us", NULL };

const struct store_ops delay_store = {
	.api = STORE_API,
	.name = "delay",
	.summary = "memory that takes its time, for tests",
	.options = delay_options,
	.store_size = sizeof(struct delay),
	.open = delay_open,
	.close = delay_close,
	.submit = delay_submit,
};
