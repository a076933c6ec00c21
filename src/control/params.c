/* SPDX-License-Identifier: BSD-2-Clause */
/* LU parameters by tgt's names ("tgtadm --mode logicalunit --op update --params name=value,..."). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "cmdset/cmdset.h"
#include "control/unit.h"
#include "stgt/store.h"

/* tgt's designator: NAA 6h, no IEEE company, then tid and LUN (16 bits each). */
static void naa_default(uint8_t naa[16], uint32_t tid, uint64_t lun)
{
	memset(naa, 0, 16);
	naa[0] = 0x60;
	naa[8] = 0x0e;
	be_store(naa + 12, 2, tid);
	be_store(naa + 14, 2, lun);
}

void ident_default(struct lu_ident *id, uint32_t tid, uint64_t lun, bool controller)
{
	memset(id, 0, sizeof(*id));
	snprintf(id->vendor, sizeof(id->vendor), "IET");
	snprintf(id->product, sizeof(id->product), "%s", controller ? "Controller" : "VIRTUAL-DISK");
	snprintf(id->revision, sizeof(id->revision), "0001");
	snprintf(id->scsi_id, sizeof(id->scsi_id), "IET     %04x%04x", tid, (unsigned)lun);
	snprintf(id->serial, sizeof(id->serial), "beaf%u%u", tid, (unsigned)lun);
	naa_default(id->naa, tid, lun);
}

/* In units of the block, as initiators are told. */
void ident_geometry(struct lu_ident *id, const struct unit_change *given,
		    const struct store_limits *l, uint32_t block)
{
	uint64_t per = is_pow2(l->physical) && l->physical > block ? l->physical / block : 1;

	if (!given->given.lbppbe)
		id->lbppbe = (uint8_t)log2_exact(per);
	if (!given->given.lowest_aligned && per > 1)
		id->lowest_aligned = (uint16_t)(l->alignment / block % per);
	if (!given->given.optimal_length)
		id->optimal_length = l->optimal_io / block;
	if (!given->given.rotation_rate && l->solid)
		id->rotation_rate = 1;
}

/* ---- values --------------------------------------------------------------------- */

/* Decimal or 0x, the whole text. */
static int number(const char *name, const char *text, unsigned long most, unsigned long *v,
		  struct err *e)
{
	char *end;

	errno = 0;
	*v = strtoul(text, &end, 0);
	if (!isdigit((unsigned char)text[0]) || *end || errno || *v > most)
		return err_set(e, -EINVAL, "%s=%.64s: a number from 0 to %lu is needed", name, text,
			       most);
	return 0;
}

static int flag(const char *name, const char *text, bool *v, struct err *e)
{
	if (!strcmp(text, "1") || !strcasecmp(text, "on") || !strcasecmp(text, "yes"))
		*v = true;
	else if (!strcmp(text, "0") || !strcasecmp(text, "off") || !strcasecmp(text, "no"))
		*v = false;
	else
		return err_set(e, -EINVAL, "%s=%.64s: 1 or 0 is needed", name, text);
	return 0;
}

/* Printable ASCII that fits (SPC-5 4.3.1). */
static int text_value(const char *name, const char *text, char *out, size_t room, struct err *e)
{
	if (strlen(text) >= room)
		return err_set(e, -EINVAL, "%s=%.64s: longer than %zu characters", name, text,
			       room - 1);
	for (const char *p = text; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return err_set(e, -EINVAL, "%s may only have printable ASCII characters",
				       name);
	snprintf(out, room, "%s", text);
	return 0;
}

/* ---- mode pages ------------------------------------------------------------------- */

/* "page:subpage:length:byte:byte..."; the bytes are those after the page length. 0 or -EINVAL. */
static int parse_page(struct mode_edit *m, const char *text, struct err *e)
{
	char copy[512], *save, *word;
	unsigned long head[3] = { 0 }, v;
	unsigned i = 0;

	if (strlen(text) >= sizeof(copy))
		return err_set(e, -EINVAL, "mode_page: the value is too long");
	snprintf(copy, sizeof(copy), "%s", text);
	for (word = strtok_r(copy, ":", &save); word; word = strtok_r(NULL, ":", &save), i++) {
		if (number("mode_page", word, i == 2 ? MODE_BYTES_MAX : 255, &v, e))
			return e->code;
		if (i < 3)
			head[i] = v;
		else if (m->n < MODE_BYTES_MAX)
			m->bytes[m->n++] = (uint8_t)v;
	}
	if (i < 4 || m->n != head[2] || i - 3 != m->n)
		return err_set(e, -EINVAL,
			       "mode_page=%.64s: write page:subpage:length: and then "
			       "as many bytes as length says",
			       text);
	m->page = (uint8_t)head[0];
	m->subpage = (uint8_t)head[1];
	return 0;
}

static int set_mode_page(struct unit_change *ch, const char *text, struct err *e)
{
	struct mode_edit m = { 0 };
	struct lu_mode scratch = { 0 };

	if (ch->nedits == MODE_EDITS)
		return err_set(e, -E2BIG, "mode_page is given more than %d times", MODE_EDITS);
	if (parse_page(&m, text, e) || disk_mode_page(&scratch, m.page, m.subpage, m.bytes, m.n, e))
		return e->code;
	ch->edit[ch->nedits++] = m;
	return 0;
}

void change_mode(const struct unit_change *ch, struct lu_mode *m)
{
	for (unsigned i = 0; i < ch->nedits; i++) {
		const struct mode_edit *ed = &ch->edit[i];

		disk_mode_page(m, ed->page, ed->subpage, ed->bytes, ed->n, NULL);
	}
	if (ch->has_d_sense)
		m->d_sense = ch->d_sense;
}

/* ---- the table ---------------------------------------------------------------------- */

#define TEXT_SETTER(field) \
	static int set_##field(struct unit_change *ch, const char *text, struct err *e) \
	{ \
		ch->ident_changed = true; \
		return text_value(#field, text, ch->ident.field, sizeof(ch->ident.field), e); \
	}
TEXT_SETTER(scsi_id)
TEXT_SETTER(serial)
TEXT_SETTER(vendor)
TEXT_SETTER(product)
TEXT_SETTER(revision)

#define NUMBER_SETTER(field, most) \
	static int set_##field(struct unit_change *ch, const char *text, struct err *e) \
	{ \
		unsigned long v; \
\
		if (number(#field, text, most, &v, e)) \
			return e->code; \
		ch->ident.field = (__typeof__(ch->ident.field))v; \
		ch->given.field = true; \
		ch->ident_changed = true; \
		return 0; \
	}
NUMBER_SETTER(lbppbe, 15)
NUMBER_SETTER(lowest_aligned, 16383)
NUMBER_SETTER(optimal_granularity, 65535)
NUMBER_SETTER(optimal_length, 0xffffffff)
NUMBER_SETTER(rotation_rate, 65535)

static int set_removable(struct unit_change *ch, const char *text, struct err *e)
{
	ch->ident_changed = true;
	return flag("removable", text, &ch->ident.removable, e);
}

static int set_thin(struct unit_change *ch, const char *text, struct err *e)
{
	ch->ident_changed = true;
	return flag("thin_provisioning", text, &ch->ident.thin, e);
}

static int set_readonly(struct unit_change *ch, const char *text, struct err *e)
{
	ch->has_readonly = true;
	return flag("readonly", text, &ch->readonly, e);
}

static int set_online(struct unit_change *ch, const char *text, struct err *e)
{
	ch->has_online = true;
	return flag("online", text, &ch->online, e);
}

static int set_sense_format(struct unit_change *ch, const char *text, struct err *e)
{
	ch->has_d_sense = true;
	return flag("sense_format", text, &ch->d_sense, e);
}

static int set_store(struct unit_change *ch, const char *text, struct err *e)
{
	return err_set(e, -EOPNOTSUPP,
		       "the store of a logical unit cannot be changed: delete the "
		       "logical unit and make it anew");
}

static const struct lu_param {
	const char *name;
	int (*set)(struct unit_change *ch, const char *text, struct err *e);
} lu_params[] = {
	{ "scsi_id", set_scsi_id },
	{ "scsi_sn", set_serial },
	{ "vendor_id", set_vendor },
	{ "product_id", set_product },
	{ "product_rev", set_revision },
	{ "sense_format", set_sense_format },
	{ "lbppbe", set_lbppbe },
	{ "la_lba", set_lowest_aligned },
	{ "optimal_xfer_gran", set_optimal_granularity },
	{ "optimal_xfer_len", set_optimal_length },
	{ "rotation_rate", set_rotation_rate },
	{ "removable", set_removable },
	{ "thin_provisioning", set_thin },
	{ "readonly", set_readonly },
	{ "online", set_online },
	{ "mode_page", set_mode_page },
	{ "path", set_store },
	{ "bsopts", set_store },
	{ "bsoflags", set_store },
};

static int unknown(const char *name, struct err *e)
{
	const char *names[array_size(lu_params) + 1], *near;

	for (unsigned i = 0; i < array_size(lu_params); i++)
		names[i] = lu_params[i].name;
	names[array_size(lu_params)] = NULL;
	near = store_suggest(name, names);
	return err_set(e, -EINVAL, "a logical unit has no parameter '%.64s'%s%s%s", name,
		       near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int change_set(struct unit_change *ch, const char *name, const char *text, struct err *e)
{
	for (unsigned i = 0; i < array_size(lu_params); i++)
		if (!strcmp(lu_params[i].name, name))
			return lu_params[i].set(ch, text, e);
	return unknown(name, e);
}

int change_set_all(struct unit_change *ch, json_t *params, struct err *e)
{
	const char *name;
	json_t *v;

	json_object_foreach(params, name, v) {
		const char *text = json_string_value(v);
		int err;

		if (!text)
			return err_set(e, -EINVAL,
				       "the value of parameter '%.64s' must be a string", name);
		err = change_set(ch, name, text, e);
		if (err)
			return err;
	}
	return 0;
}
