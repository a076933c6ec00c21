/* SPDX-License-Identifier: BSD-2-Clause */
#include "late.h"

#include <stdlib.h>

#include "base/sgl.h"
#include "store/store.h"

static struct {
	uint8_t *mem;
	uint64_t steps;
	struct list under_way; /* of struct late, by due */
} late;

/* In the request's room. */
struct late {
	struct list link;
	struct store_io *io;
	uint64_t due;
};

static int late_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = store_limits_of(s);

	late.mem = calloc(1, rig.disk.size);
	assert_non_null(late.mem);
	l->size = rig.disk.size;
	l->fua = true;
	for (unsigned i = 0; i < STORE_VERBS; i++)
		l->cap[i] = STORE_CAP_NATIVE;
	return 0;
}

static void late_close(struct store *s)
{
	free(late.mem);
}

static void carry_out(struct store_io *io)
{
	uint8_t *at = late.mem + io->offset;

	if (io->verb == STORE_READ)
		sgl_copy_in(io->iov, io->iovcnt, 0, at, io->length);
	else if (io->verb == STORE_WRITE)
		sgl_copy_out(io->iov, io->iovcnt, 0, at, io->length);
	else if (io->verb == STORE_ZERO || io->verb == STORE_DISCARD)
		memset(at, 0, io->length);
	io->extent.length = io->length;
	io->extent.mapped = true;
	store_done(io, 0, 0);
}

static void late_submit(struct store_channel *ch, struct store_io *io)
{
	struct late *l = (struct late *)(void *)io->room;

	if (io->verb != STORE_WRITE) {
		carry_out(io);
		return;
	}
	l->io = io;
	l->due = late.steps + LATE_STEPS;
	list_add(&late.under_way, &l->link);
}

static void tick(void)
{
	struct late *l;

	late.steps++;
	while ((l = list_first(&late.under_way, struct late, link)) && l->due <= late.steps) {
		list_del(&l->link);
		reactor_turn(channel_reactor(l->io->ch), 0); /* its thread */
		carry_out(l->io);
	}
}

static const char *const late_options[] = { "size", NULL };

static const struct store_ops late_store = {
	.name = "late",
	.summary = "writes land late",
	.options = late_options,
	.open = late_open,
	.close = late_close,
	.submit = late_submit,
};

int late_begin(void **state)
{
	late.steps = 0;
	list_init(&late.under_way);
	rig.disk.size = MIB(4);
	rig.disk.ops = &late_store;
	rig.tick = tick;
	return rig_begin(state);
}

int late_end(void **state)
{
	int rc = rig_end(state);

	rig.tick = NULL;
	return rc;
}
