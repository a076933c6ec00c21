/* SPDX-License-Identifier: BSD-2-Clause */
/* A storage array controller that controls nothing: what tgt has at LUN 0 of every target. */
#include <errno.h>

#include "cmdset/cmdset.h"
#include "cmdset/disk.h"
#include "cmdset/internal.h"

static const struct op_table *const tables[] = { &spc_table, &reservation_table, NULL };
static struct op_index index_of_controller;

const struct device_server controller_server = {
	.name = "controller",
	.pdt = PDT_CONTROLLER,
	.ops = &index_of_controller,
	.reset = disk_reset,
};

int controller_index(void)
{
	return op_index_build(&index_of_controller, tables, NULL);
}

struct lu *controller_create(const struct lu_config *c, struct err *e)
{
	struct lu_view view = { .state = LU_READY, .ident = c->ident, .mode = c->mode };
	struct lu *lu = lu_create(c->name, &controller_server, NULL, 0, c->reactors, c->nreactors,
				  c->home, &view);

	if (!lu)
		err_set(e, -ENOMEM, "%s: no memory for a logical unit", c->name);
	return lu;
}
