/* SPDX-License-Identifier: BSD-2-Clause */
/* What answers for a LUN behind which there is nothing (SPC-5, SAM-6 4.7.3). */
#include "cmdset/cmdset.h"
#include "cmdset/disk.h"
#include "cmdset/internal.h"

static enum verdict not_here(struct scsi_cmd *cmd)
{
	return V_LU_NOT_SUPPORTED;
}

static struct op rows[] = { ROW_REQUEST_SENSE, ROW_INQUIRY, ROW_REPORT_LUNS };
static const struct op any = {
	.name = "any other",
	.clause = "SAM-6 4.7.3",
	.sa = OP_NO_SA,
	.flags = OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET,
	.exec = not_here,
};
static const struct op_table table = { rows, array_size(rows) };
static const struct op_table *const tables[] = { &table, NULL };
static struct op_index index_of_absent;

const struct device_server absent_server = {
	.name = "absent",
	.pdt = PDT_UNKNOWN,
	.ops = &index_of_absent,
};

int absent_index(void)
{
	return op_index_build(&index_of_absent, tables, &any);
}
