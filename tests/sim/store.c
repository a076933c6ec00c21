/* SPDX-License-Identifier: BSD-2-Clause */
#include "store.h"

#include "stgt/store.h"

struct sim_store {
	struct store_fd fd;
};

static int sim_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct sim_store *ss = store_priv(s);
	struct store_limits *l = store_limits_of(s);

	struct sim_file *file = sim_store_file(spec->path);

	(void)e;
	ss->fd = (struct store_fd){ .fd = sim_file_open(file), .nowait_read = true, .punch = true };
	*l = (struct store_limits){
		.size = sim_file_size(file),
		.block = 1,
		.physical = 512u << sim_below(4),
		.mem_align = sim_below(2) ? 1 : 512,
		.max_io = sim_below(3) ? 0 : spec->block_size << sim_below(5),
		.fua = sim_below(4) != 0,
		.cap = { [STORE_READ] = STORE_CAP_NATIVE,
			 [STORE_WRITE] = STORE_CAP_NATIVE,
			 [STORE_FLUSH] = STORE_CAP_NATIVE,
			 [STORE_DISCARD] = STORE_CAP_NATIVE,
			 [STORE_ZERO] = sim_below(2) ? STORE_CAP_NATIVE : STORE_CAP_EMULATE,
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

const struct store_ops sim_store = {
	.name = "sim",
	.summary = "a simulated file",
	.store_size = sizeof(struct sim_store),
	.open = sim_open,
	.close = sim_close,
	.submit = sim_submit,
};
