/* SPDX-License-Identifier: BSD-2-Clause */
#include "coverage.h"

#include "cmdset/cmdset.h"
#include "sam/op.h"

static const char *direction(const struct op *op)
{
	static const char *const words[] = { "none", "in", "out", "any" };

	return words[op->dir];
}

/* What refuses it: the row's flags as words. */
static void write_conditions(FILE *f, const struct op *op)
{
	const char *sep = "";

	if (op->flags & OP_PASS_UA) {
		fprintf(f, "passes unit attentions");
		sep = ", ";
	}
	if (op->flags & OP_PASS_NOT_READY) {
		fprintf(f, "%spasses not ready", sep);
		sep = ", ";
	}
	if (op->flags & OP_MEDIUM_WRITE) {
		fprintf(f, "%swrites the medium", sep);
		sep = ", ";
	}
	if (op->flags & OP_RSV_WRITE)
		fprintf(f, "%sreservation: write", sep);
	else if (op->flags & OP_RSV_READ)
		fprintf(f, "%sreservation: read", sep);
	else if (op->flags & OP_RSV_SPC2)
		fprintf(f, "%sreservation: SPC-2", sep);
}

static void write_fields(FILE *f, const struct op *op)
{
	for (unsigned i = 0; i < op->nfields; i++)
		fprintf(f, "%s%s", i ? ", " : "", op->fields[i].name);
}

static void write_row(FILE *f, const struct op *op)
{
	fprintf(f, "| %02Xh", op->opcode);
	if (op->sa == OP_ANY_SA)
		fprintf(f, "/any other");
	else if (op->sa != OP_NO_SA)
		fprintf(f, "/%02Xh", (unsigned)op->sa);
	fprintf(f, " | %s | %s | %u | %s | ", op->name, op->clause, op->cdb_len, direction(op));
	write_fields(f, op);
	fprintf(f, " | ");
	write_conditions(f, op);
	fprintf(f, " | %u s |\n", op->timeout);
}

static void write_server(FILE *f, const struct device_server *ds)
{
	const struct op_table *const *t = ds->ops->tables;

	if (ds->pdt == PDT_PASSED)
		fprintf(f, "\n## %s (peripheral device type of the device)\n\n", ds->name);
	else
		fprintf(f, "\n## %s (peripheral device type %02Xh)\n\n", ds->name, ds->pdt);
	fprintf(f, "| opcode | command | standard | CDB bytes | data | fields | conditions | "
		   "timeout |\n"
		   "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	for (; *t; t++)
		for (unsigned i = 0; i < (*t)->n; i++)
			write_row(f, &(*t)->rows[i]);
	if (ds->pdt == PDT_PASSED)
		fprintf(f,
			"\nWhat says \"the device's\" goes there whatever its CDB says, and "
			"so does everything else: it conflicts with every reservation of others, "
			"counts as a write and has %u s.\n",
			ds->ops->fallback->timeout);
	else if (ds->ops->fallback)
		fprintf(f, "\nEverything else: LOGICAL UNIT NOT SUPPORTED (%s).\n",
			ds->ops->fallback->clause);
}

void coverage_write(FILE *f)
{
	fprintf(f, "# What is implemented\n\n"
		   "Made from the op tables by `tests/unit/cmdset`; a test fails while this page "
		   "differs "
		   "from them.\nTo make it again: `STGT_UPDATE=1 meson test -C build-plain "
		   "cmdset-tables`.\n\n"
		   "A field that is not listed is reserved: a bit set there is refused with "
		   "INVALID FIELD IN "
		   "CDB and a field pointer.\n");
	for (const struct device_server *const *ds = device_servers; *ds; ds++)
		write_server(f, *ds);
}
