/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/op.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/be.h"
#include "base/bits.h"

#define VARIABLE_LENGTH 0x7f /* SPC-5 4.2.3: the service action is in bytes 8 and 9 */

static unsigned rows_built;
static const struct op *by_index[OP_ROWS_MAX];

/* SPC-5 4.2.1: bytes of a CDB by the group code of its opcode; 0: it is not said so. */
static const uint8_t len_by_group[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

/* ---- lookup ------------------------------------------------------------------- */

static int cdb_sa(const uint8_t *cdb)
{
	return cdb[0] == VARIABLE_LENGTH ? (int)be_load(cdb + 8, 2) : cdb[1] & 0x1f;
}

static unsigned sa_end(uint8_t opcode)
{
	return opcode == VARIABLE_LENGTH ? 10 : 2;
}

static const struct op *scan(const struct op_index *ix, uint8_t opcode, int sa)
{
	const struct op *op = ix->first[opcode];

	for (unsigned n = ix->count[opcode]; n; n--, op++)
		if (op->sa == sa)
			return op;
	return NULL;
}

const struct op *op_find(const struct op_index *ix, const uint8_t *cdb, unsigned len, int *bad_sa)
{
	const struct op *op;

	*bad_sa = 0;
	if (unlikely(!len))
		return ix->fallback;
	op = ix->first[cdb[0]];
	if (unlikely(!op))
		return ix->fallback;
	if (op->sa != OP_NO_SA) {
		if (len < sa_end(cdb[0]))
			return NULL;
		op = scan(ix, cdb[0], cdb_sa(cdb));
		if (unlikely(!op))
			op = scan(ix, cdb[0], OP_ANY_SA);
		if (!op) {
			*bad_sa = 1;
			return NULL;
		}
	}
	return likely(len >= op->cdb_len) ? op : NULL;
}

const struct op *op_lookup(const struct op_index *ix, uint8_t opcode, int sa)
{
	return scan(ix, opcode, sa);
}

const struct op *op_row(unsigned index)
{
	return index < OP_ROWS_MAX ? by_index[index] : NULL;
}

int op_has_sa(const struct op_index *ix, uint8_t opcode)
{
	return ix->first[opcode] && ix->first[opcode]->sa != OP_NO_SA;
}

static bool zeroes(const uint8_t *p, unsigned from, unsigned end)
{
	while (from < end && !p[from])
		from++;
	return from >= end;
}

unsigned op_cdb_len(const uint8_t *cdb, unsigned len)
{
	unsigned n = len ? len_by_group[cdb[0] >> 5] : 0;

	if (len > 7 && cdb[0] == VARIABLE_LENGTH)
		n = 8u + cdb[7];
	else if (!n && len >= 12)
		n = zeroes(cdb, 10, len) ? 10 : zeroes(cdb, 12, len) ? 12 : len;
	else if (!n)
		n = len;
	return n <= len ? n : 0;
}

int op_control_at(const uint8_t *cdb, unsigned len)
{
	if (len > 1 && cdb[0] == VARIABLE_LENGTH)
		return 1;
	return len && len_by_group[cdb[0] >> 5] ? (int)len - 1 : -1;
}

/* ---- masks -------------------------------------------------------------------- */

/* Set the bits of @f in @mask; false if one is set already or lies outside @len bytes. */
static bool field_mask(const struct cdb_field *f, uint8_t *mask, unsigned len)
{
	unsigned first = f->byte * 8u + (7u - f->top);

	for (unsigned i = first; i < first + f->width; i++) {
		uint8_t bit = 0x80 >> (i & 7);

		if (i / 8 >= len || mask[i / 8] & bit)
			return false;
		mask[i / 8] |= bit;
	}
	return true;
}

static bool fields_mask(const struct op *op, uint8_t *mask, bool obsolete_too)
{
	for (unsigned i = 0; i < op->nfields; i++)
		if ((obsolete_too || !op->fields[i].obsolete) &&
		    !field_mask(&op->fields[i], mask, op->cdb_len))
			return false;
	return true;
}

/* All bits of the service action field, or the bits that are @sa. */
static void put_sa(const struct op *op, uint8_t *mask, unsigned sa)
{
	if (op->sa < 0)
		return;
	if (op->opcode == VARIABLE_LENGTH)
		be_store(mask + 8, 2, sa);
	else
		mask[1] |= sa & 0x1f;
}

/* Where CONTROL is: the last byte, but byte 1 of variable length CDBs. */
static unsigned control_at(const struct op *op)
{
	return op->opcode == VARIABLE_LENGTH ? 1 : op->cdb_len - 1u;
}

void op_usage_mask(const struct op *op, uint8_t *mask)
{
	memset(mask, 0, op->cdb_len);
	if (!op->cdb_len)
		return;
	fields_mask(op, mask, false);
	put_sa(op, mask, (unsigned)op->sa);
	mask[control_at(op)] |= CONTROL_NACA;
	if (op->opcode == VARIABLE_LENGTH)
		mask[7] = 0xff; /* ADDITIONAL CDB LENGTH */
	mask[0] = op->opcode;
}

static bool build_reserved(struct op *op)
{
	uint8_t used[CDB_ROW_MAX] = { 0 }, reserved[CDB_ROW_MAX] = { 0 };

	if (op->flags & OP_RAW)
		return fields_mask(op, used, true);
	put_sa(op, used, UINT32_MAX);
	used[0] = 0xff;
	if (!fields_mask(op, used, true) || used[control_at(op)] & CONTROL_NACA)
		return false;
	if (op->opcode == VARIABLE_LENGTH)
		used[7] = 0xff;
	for (unsigned i = 0; i < CDB_ROW_MAX && i < op->cdb_len; i++)
		reserved[i] = (uint8_t)~used[i];
	memcpy(op->reserved, reserved, sizeof(op->reserved));
	return true;
}

/* ---- the self-test ------------------------------------------------------------ */

static bool length_fits(const struct op *op)
{
	if (op->opcode == VARIABLE_LENGTH)
		return op->cdb_len > 10 && op->cdb_len <= CDB_ROW_MAX;
	return op->cdb_len && op->cdb_len == len_by_group[op->opcode >> 5];
}

static bool args_fit(const struct op *op)
{
	for (unsigned i = 0; i < op->nfields; i++) {
		const struct cdb_field *f = &op->fields[i];

		if (!f->width || f->top > 7 || f->width > f->arg_size * 8u)
			return false;
		if (f->top - 7 + 64 < f->width)
			return false; /* decoded from eight bytes */
		for (unsigned j = 0; j < i; j++)
			if (op->fields[j].arg == f->arg)
				return false;
	}
	return true;
}

static int build_row(struct op_index *ix, struct op *op, const struct op *prev)
{
	if (!op->exec || !op->name || !op->clause || !length_fits(op) || !args_fit(op) ||
	    !build_reserved(op))
		return -EINVAL;
	if (!ix->first[op->opcode]) {
		ix->first[op->opcode] = op;
		ix->count[op->opcode] = 0;
	} else if (!prev || prev->opcode != op->opcode || op->sa == OP_NO_SA ||
		   prev->sa == OP_NO_SA || scan(ix, op->opcode, op->sa)) {
		return -EINVAL;
	}
	ix->count[op->opcode]++;
	if (!op->index)
		op->index = ++rows_built;
	if (op->index >= OP_ROWS_MAX)
		return -EINVAL;
	by_index[op->index] = op;
	return 0;
}

int op_index_build(struct op_index *ix, const struct op_table *const *tables,
		   const struct op *fallback)
{
	*ix = (struct op_index){ .tables = tables, .fallback = fallback };
	if (fallback && (fallback->cdb_len || !fallback->exec))
		return -EINVAL;
	for (; *tables; tables++) {
		struct op *prev = NULL;

		for (unsigned i = 0; i < (*tables)->n; i++) {
			struct op *op = &(*tables)->rows[i];

			if (build_row(ix, op, prev))
				return -EINVAL;
			prev = op;
		}
	}
	return 0;
}

/* ---- decoding ----------------------------------------------------------------- */

static int reserved_bit(const struct op *op, const uint8_t *cdb, uint16_t *byte, uint8_t *bit)
{
	const uint8_t *mask = (const uint8_t *)op->reserved;

	for (unsigned i = 0; i < op->cdb_len; i++) {
		unsigned bad = cdb[i] & mask[i];

		if (!bad)
			continue;
		*byte = (uint16_t)i;
		*bit = (uint8_t)(31 - __builtin_clz(bad));
		return 1;
	}
	return 0;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void store_arg(struct cdb_args *args, const struct cdb_field *f, uint64_t v)
{
	uint8_t *p = (uint8_t *)args + f->arg;

	switch (f->arg_size) {
	case 1:
		*p = (uint8_t)v;
		break;
	case 2:
		*(uint16_t *)(void *)p = (uint16_t)v;
		break;
	case 4:
		*(uint32_t *)(void *)p = (uint32_t)v;
		break;
	default:
		*(uint64_t *)(void *)p = v;
	}
}

int op_decode(const struct op *op, const uint8_t *cdb, struct cdb_args *args, uint16_t *byte,
	      uint8_t *bit)
{
	uint64_t bad = 0;

	memset(args, 0, sizeof(*args));
	for (unsigned i = 0; i * 8 < op->cdb_len; i++)
		bad |= load64(cdb + i * 8) & op->reserved[i];
	if (unlikely(bad))
		return reserved_bit(op, cdb, byte, bit);
	for (unsigned i = 0; i < op->nfields; i++) {
		const struct cdb_field *f = &op->fields[i];
		uint64_t v = __builtin_bswap64(load64(cdb + f->byte));

		store_arg(args, f, v << (7 - f->top) >> (64 - f->width));
	}
	return 0;
}
