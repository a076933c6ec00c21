/* SPDX-License-Identifier: BSD-2-Clause */
/* INQUIRY and the vital product data pages (SPC-5, SBC-4). */
#include <stdio.h>

#include "cmdset/internal.h"

#define STANDARD_LEN 96
/* SPC-4: what initiators of today know; the version descriptors name the newer standards too */
#define VERSION_SPC4 0x06
#define QUALIFIER_NONE 0x60 /* PERIPHERAL QUALIFIER 011b: no LU can be here */
#define PAGE_ROOM 4096
#define PAGE_HEADER 4

enum vpd_page {
	VPD_SUPPORTED = 0x00,
	VPD_SERIAL = 0x80,
	VPD_IDENTIFICATION = 0x83,
	VPD_BLOCK_LIMITS = 0xb0,
	VPD_BLOCK_CHARACTERISTICS = 0xb1,
	VPD_PROVISIONING = 0xb2,
};

static const struct lu_ident blank_ident = { .vendor = "IET",
					     .product = "VIRTUAL-LUN",
					     .revision = "0001" };

const struct lu_ident *ident_of(const struct scsi_cmd *cmd)
{
	const struct lu_ident *id = view_of(cmd)->ident;

	return id ? id : &blank_ident;
}

static uint8_t peripheral(const struct scsi_cmd *cmd)
{
	enum pdt pdt = cmd->lu->ds->pdt;

	return pdt == PDT_UNKNOWN ? QUALIFIER_NONE | PDT_UNKNOWN : (uint8_t)pdt;
}

/* Left-aligned ASCII, filled with blanks (SPC-5). What cannot be printed becomes a blank. */
static void put_ascii(uint8_t *p, size_t room, const char *s)
{
	size_t n = strnlen(s, room);

	memset(p, ' ', room);
	for (size_t i = 0; i < n; i++)
		if (s[i] > 0x20 && s[i] < 0x7f)
			p[i] = (uint8_t)s[i];
}

/* ---- standard INQUIRY data ------------------------------------------------------------- */

/* SPC-5, version descriptor values */
enum version_descriptor {
	VD_SAM5 = 0x00a0,
	VD_SPC4 = 0x0460,
	VD_SPC5 = 0x05c0,
	VD_SBC3 = 0x04c0,
	VD_SBC4 = 0x0600,
	VD_ISCSI = 0x0960,
};

static uint32_t fill_standard(struct scsi_cmd *cmd, uint8_t *p)
{
	static const uint16_t versions[] = { VD_SAM5, VD_ISCSI, VD_SPC4, VD_SPC5, VD_SBC3, VD_SBC4 };
	const struct lu_ident *id = ident_of(cmd);
	unsigned n = is_disk(cmd->lu) ? 6 : 4;

	p[0] = peripheral(cmd);
	p[1] = id->removable ? 0x80 : 0;
	p[2] = VERSION_SPC4;
	p[3] = 0x12; /* HISUP, RESPONSE DATA FORMAT 2 */
	p[4] = STANDARD_LEN - 5;
	p[7] = 0x02; /* CMDQUE */
	put_ascii(p + 8, 8, id->vendor);
	put_ascii(p + 16, 16, id->product);
	put_ascii(p + 32, 4, id->revision);
	for (unsigned i = 0; i < n; i++)
		be_store(p + 58 + 2 * i, 2, versions[i]);
	return STANDARD_LEN;
}

/* ---- VPD pages: each returns the length after the header ---------------------------------- */

static uint32_t vpd_serial(struct scsi_cmd *cmd, uint8_t *p)
{
	const char *s = ident_of(cmd)->serial;
	size_t n = strnlen(s, sizeof(ident_of(cmd)->serial));

	put_ascii(p, max(n, (size_t)4), s);
	return (uint32_t)max(n, (size_t)4);
}

enum code_set { CODE_BINARY = 1, CODE_ASCII = 2, CODE_UTF8 = 3 };
enum association { ASSOC_LU = 0x00, ASSOC_PORT = 0x10, ASSOC_TARGET = 0x20 };
enum designator { DESIG_T10 = 1, DESIG_NAA = 3, DESIG_RELATIVE_PORT = 4, DESIG_NAME = 8 };
#define PROTOCOL_ISCSI 0x50
#define PIV 0x80

static uint8_t *put_designator(uint8_t *p, enum code_set code, unsigned what, const void *data,
			       uint32_t len)
{
	p[0] = (uint8_t)code;
	p[1] = (uint8_t)what;
	if (what & (ASSOC_PORT | ASSOC_TARGET)) {
		p[0] |= PROTOCOL_ISCSI;
		p[1] |= PIV;
	}
	p[3] = (uint8_t)len;
	memcpy(p + 4, data, len);
	return p + 4 + len;
}

/* SCSI name string (SPC-5): ended by zero bytes to a multiple of four. */
static uint8_t *put_name(uint8_t *p, enum association assoc, const char *name)
{
	char s[256] = "";
	size_t n = min(strlen(name), sizeof(s) - 4);

	memcpy(s, name, n);
	return put_designator(p, CODE_UTF8, assoc | DESIG_NAME, s, (uint32_t)round_up(n + 1, 4));
}

/* RFC 7143 4.2.7.2: a target port is the target's name and its portal group. */
static uint8_t *put_port(uint8_t *p, const struct it_nexus *n)
{
	char name[256];
	uint8_t relative[4] = { 0 };

	be_store(relative + 2, 2, n->rtpi);
	p = put_designator(p, CODE_BINARY, ASSOC_PORT | DESIG_RELATIVE_PORT, relative, 4);
	if (!*n->target_name)
		return p;
	snprintf(name, sizeof(name), "%s,t,0x%04x", n->target_name, n->tpgt);
	p = put_name(p, ASSOC_PORT, name);
	return put_name(p, ASSOC_TARGET, n->target_name);
}

static uint32_t vpd_identification(struct scsi_cmd *cmd, uint8_t *start)
{
	static const uint8_t none[16];
	const struct lu_ident *id = ident_of(cmd);
	size_t n = strnlen(id->scsi_id, sizeof(id->scsi_id));
	uint8_t *p = start;

	if (n)
		p = put_designator(p, CODE_ASCII, ASSOC_LU | DESIG_T10, id->scsi_id, (uint32_t)n);
	if (memcmp(id->naa, none, sizeof(none)) != 0)
		p = put_designator(p, CODE_BINARY, ASSOC_LU | DESIG_NAA, id->naa, sizeof(id->naa));
	if (cmd->lu->ds->pdt != PDT_UNKNOWN)
		p = put_port(p, cmd->nexus);
	return (uint32_t)(p - start);
}

/* SBC-4; @p is byte 4 of the page */
static uint32_t vpd_block_limits(struct scsi_cmd *cmd, uint8_t *p)
{
	const struct lu_ident *id = ident_of(cmd);
	const struct disk *d = disk_of(cmd);

	p[0] = 0x01; /* WSNZ */
	p[1] = (uint8_t)d->max_compare;
	be_store(p + 2, 2, id->optimal_granularity);
	be_store(p + 4, 4, d->max_transfer);
	be_store(p + 8, 4, min(id->optimal_length, d->max_transfer));
	if (id->thin) {
		be_store(p + 16, 4, d->max_unmap);
		be_store(p + 20, 4, UNMAP_DESCRIPTORS_MAX);
		be_store(p + 24, 4, d->unmap_granularity);
	}
	be_store(p + 32, 8, d->max_write_same);
	return 0x3c;
}

static uint32_t vpd_block_characteristics(struct scsi_cmd *cmd, uint8_t *p)
{
	be_store(p, 2, ident_of(cmd)->rotation_rate);
	return 0x3c;
}

static uint32_t vpd_provisioning(struct scsi_cmd *cmd, uint8_t *p)
{
	if (ident_of(cmd)->thin) {
		p[1] = 0xe4; /* LBPU, LBPWS, LBPWS10, LBPRZ 001b */
		p[2] = 0x02; /* thin provisioned */
	}
	/* else fully provisioned: PROVISIONING TYPE 000b (001b would need LBPME=1, SBC-4 4.7) */
	return 4;
}

static uint32_t vpd_supported(struct scsi_cmd *cmd, uint8_t *p);

static const struct {
	uint8_t code;
	bool disk; /* of disks only */
	uint32_t (*fill)(struct scsi_cmd *cmd, uint8_t *p);
} vpd_pages[] = {
	{ VPD_SUPPORTED, false, vpd_supported },
	{ VPD_SERIAL, false, vpd_serial },
	{ VPD_IDENTIFICATION, false, vpd_identification },
	{ VPD_BLOCK_LIMITS, true, vpd_block_limits },
	{ VPD_BLOCK_CHARACTERISTICS, true, vpd_block_characteristics },
	{ VPD_PROVISIONING, true, vpd_provisioning },
};

static bool has_page(const struct scsi_cmd *cmd, unsigned i)
{
	/* SPC-5: an LU that is not there has no product data */
	if (cmd->lu->ds->pdt == PDT_UNKNOWN)
		return vpd_pages[i].code == VPD_SUPPORTED;
	return !vpd_pages[i].disk || is_disk(cmd->lu);
}

static uint32_t vpd_supported(struct scsi_cmd *cmd, uint8_t *p)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < array_size(vpd_pages); i++)
		if (has_page(cmd, i))
			p[n++] = vpd_pages[i].code;
	return n;
}

static int find_page(const struct scsi_cmd *cmd)
{
	for (unsigned i = 0; i < array_size(vpd_pages); i++)
		if (vpd_pages[i].code == cmd->args.page && has_page(cmd, i))
			return (int)i;
	return -1;
}

static uint32_t fill_page(struct scsi_cmd *cmd, uint8_t *p)
{
	uint32_t len = vpd_pages[cmd->word[0]].fill(cmd, p + PAGE_HEADER);

	p[0] = peripheral(cmd);
	p[1] = cmd->args.page;
	be_store(p + 2, 2, len);
	return PAGE_HEADER + len;
}

enum verdict spc_inquiry(struct scsi_cmd *cmd)
{
	int page;

	if (!cmd->args.evpd) {
		if (cmd->args.page)
			return bad_field(cmd, page);
		return cmd_answer(cmd, STANDARD_LEN, fill_standard);
	}
	page = find_page(cmd);
	if (page < 0)
		return bad_field(cmd, page);
	cmd->word[0] = (uint64_t)page;
	return cmd_answer(cmd, PAGE_ROOM, fill_page);
}
