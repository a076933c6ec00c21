/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store over a file of the simulated host, whose address is the path: the
 * product's file I/O without the opening of files. A plugin, so that layers can be put over it.
 */
#include <errno.h>
#include <stdio.h>

#include "reactor/sim.h"
#include "stgt/store.h"

struct sim_store {
	struct store_fd fd;
};

static int sim_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct sim_store *ss = store_priv(s);
	struct store_limits *l = store_limits_of(s);
	void *file;

	if (sscanf(spec->path, "%p", &file) != 1)
		return store_err(e, -EINVAL, "'%s' is no file of the simulated host", spec->path);
	ss->fd = (struct store_fd){ .fd = sim_file_open(file), .nowait_read = true, .punch = true };
	*l = (struct store_limits){
		.size = sim_file_size(file),
		.block = 1,
		.mem_align = 1,
		.fua = true,
		.cap = { [STORE_READ] = STORE_CAP_NATIVE,
			 [STORE_WRITE] = STORE_CAP_NATIVE,
			 [STORE_FLUSH] = STORE_CAP_NATIVE,
			 [STORE_DISCARD] = STORE_CAP_NATIVE,
			 [STORE_ZERO] = STORE_CAP_NATIVE,
			 [STORE_EXTENTS] = STORE_CAP_EMULATE },
	};
	return 0;
}

static void sim_close(struct store *s)
{
	struct sim_store *ss = store_priv(s);

	sim_file_close(ss->fd.fd);
}

static void sim_submit(struct store_channel *ch, struct store_io *io)
{
	struct sim_store *ss = store_priv(channel_store(ch));

	store_fd_submit(ch, io, &ss->fd);
}

static const struct store_ops sim_store = {
	.api = STORE_API,
	.name = "sim",
	.summary = "a simulated file, for tests",
	.needs_path = true,
	.store_size = sizeof(struct sim_store),
	.open = sim_open,
	.close = sim_close,
	.submit = sim_submit,
};

__attribute__((visibility("default")))
const struct store_ops *const store_plugin[] = { &sim_store, NULL };
