/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/sgl.h"

struct fake fake;

void fake_reset(void)
{
	unsigned char *data = fake.data ? fake.data : malloc(FAKE_SIZE);

	memset(&fake, 0, sizeof(fake));
	memset(data, 0, FAKE_SIZE);
	fake.data = data;
	fake.limits.size = FAKE_SIZE;
	fake.limits.block = 512;
	for (unsigned i = 0; i <= STORE_EXTENTS; i++)
		fake.limits.cap[i] = STORE_CAP_NATIVE;
}

static int fake_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	*store_limits_of(s) = fake.limits;
	if (!strcmp(store_type(s), fake_home.name))
		store_limits_of(s)->affinity = STORE_AFFINITY_HOME;
	if (fake.open_err)
		return err_set(e, fake.open_err, "the fake does not open");
	fake.opens++;
	return 0;
}

static void fake_close(struct store *s)
{
	fake.closes++;
}

static int fake_channel_open(struct store_channel *ch)
{
	if (fake.lost_early)
		store_notify(channel_store(ch), STORE_LOST);
	return fake.channel_opens++ == 1 ? fake.channel_err : 0;
}

static void fake_channel_close(struct store_channel *ch)
{
	fake.channel_closes++;
}

static void finish(struct store_io *io)
{
	int err = fake.fail_after ? 0 : fake.fail[io->verb];

	if (fake.fail_after)
		fake.fail_after--;
	if (!err && io->verb == STORE_WRITE)
		sgl_copy_out(io->iov, io->iovcnt, 0, fake.data + io->offset, io->length);
	if (!err && io->verb == STORE_READ)
		sgl_copy_in(io->iov, io->iovcnt, 0, fake.data + io->offset, io->length);
	if (!err && io->verb == STORE_ZERO)
		memset(fake.data + io->offset, 0, io->length);
	if (io->verb == STORE_EXTENTS)
		io->extent = (struct store_extent){ 1, false };
	store_done(io, err, io->offset);
}

static void fake_submit(struct store_channel *ch, struct store_io *io)
{
	if (fake.nseen < FAKE_SEEN)
		fake.seen[fake.nseen++] =
			(struct fake_seen){ io->verb, io->flags, io->offset, io->length };
	fake.on = channel_reactor(ch);
	if (fake.hold)
		fake.held[fake.nheld++] = io;
	else
		finish(io);
}

static void fake_cancel(struct store_channel *ch, struct store_io *io)
{
	fake.cancels++;
}

void fake_release(void)
{
	fake.hold = false;
	while (fake.nheld)
		finish(fake.held[--fake.nheld]);
}

const struct store_ops fake_any = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.channel_open = fake_channel_open,
	.channel_close = fake_channel_close,
	.submit = fake_submit,
	.cancel = fake_cancel,
};

const struct store_ops fake_home = {
	.name = "fakehome",
	.open = fake_open,
	.close = fake_close,
	.channel_open = fake_channel_open,
	.channel_close = fake_channel_close,
	.submit = fake_submit,
};
