/* SPDX-License-Identifier: BSD-2-Clause */
/* The REPORT LUNS well known logical unit (SPC-5), and the list of all device servers. */
#include "cmdset/cmdset.h"
#include "cmdset/disk.h"
#include "cmdset/internal.h"
#include "cmdset/passthrough.h"

static struct op rows[] = { ROW_TEST_UNIT_READY, ROW_REQUEST_SENSE, ROW_INQUIRY, ROW_REPORT_LUNS };
static const struct op_table table = { rows, array_size(rows) };
static const struct op_table *const tables[] = { &table, NULL };
static struct op_index index_of_wlun;

const struct device_server wlun_server = {
	.name = "wlun",
	.pdt = PDT_WLUN,
	.ops = &index_of_wlun,
};

int wlun_index(void)
{
	return op_index_build(&index_of_wlun, tables, NULL);
}

const struct device_server *const device_servers[] = { &disk_server,	    &controller_server,
						       &passthrough_server, &wlun_server,
						       &absent_server,	    NULL };

int cmdset_init(void)
{
	int err = disk_index();

	if (!err)
		err = controller_index();
	if (!err)
		err = passthrough_index();
	if (!err)
		err = wlun_index();
	return err ? err : absent_index();
}
