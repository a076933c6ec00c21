/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/sense.h"

#include <string.h>

#include "base/be.h"

#define RESPONSE_FIXED 0x70 /* current information, fixed format */
#define RESPONSE_DESCRIPTOR 0x72
#define VALID 0x80
#define SKSV 0x80 /* sense key specific valid */
#define SKS_LEN 3

enum sense_descriptor { DESC_INFORMATION = 0x00, DESC_KEY_SPECIFIC = 0x02 };

/* SENSE KEY SPECIFIC (SPC-5); false if there is none. */
static bool key_specific(uint8_t *p, uint8_t key, const struct sense_info *info)
{
	if (info->flags & SENSE_FIELD && key == SK_ILLEGAL_REQUEST) {
		p[0] = SKSV;
		if (info->flags & SENSE_FIELD_CDB)
			p[0] |= 0x40;
		if (info->flags & SENSE_FIELD_BIT)
			p[0] |= 0x08 | (info->bit & 7);
		be_store(p + 1, 2, info->byte);
		return true;
	}
	if (info->flags & SENSE_PROGRESS && (key == SK_NOT_READY || key == SK_NO_SENSE)) {
		p[0] = SKSV;
		be_store(p + 1, 2, info->progress);
		return true;
	}
	return false;
}

static unsigned encode_fixed(uint8_t *p, const struct verdict_row *r, const struct sense_info *info)
{
	memset(p, 0, FIXED_SENSE_LEN);
	p[0] = RESPONSE_FIXED;
	p[2] = r->key;
	p[7] = FIXED_SENSE_LEN - 8; /* ADDITIONAL SENSE LENGTH */
	p[12] = r->asc;
	p[13] = r->ascq;
	if (!info)
		return FIXED_SENSE_LEN;
	/* SPC-5: what does not fit in four bytes is not valid in fixed format */
	if (info->flags & SENSE_INFORMATION && info->information <= UINT32_MAX) {
		p[0] |= VALID;
		be_store(p + 3, 4, info->information);
	}
	key_specific(p + 15, r->key, info);
	return FIXED_SENSE_LEN;
}

static unsigned encode_descriptors(uint8_t *p, const struct verdict_row *r,
				   const struct sense_info *info)
{
	uint8_t sks[SKS_LEN] = { 0 };
	unsigned len = 8;

	memset(p, 0, 8 + 12 + 8);
	p[0] = RESPONSE_DESCRIPTOR;
	p[1] = r->key;
	p[2] = r->asc;
	p[3] = r->ascq;
	if (info && info->flags & SENSE_INFORMATION) {
		p[len] = DESC_INFORMATION;
		p[len + 1] = 0x0a;
		p[len + 2] = VALID;
		be_store(p + len + 4, 8, info->information);
		len += 12;
	}
	if (info && key_specific(sks, r->key, info)) {
		p[len] = DESC_KEY_SPECIFIC;
		p[len + 1] = 0x06;
		memcpy(p + len + 4, sks, SKS_LEN);
		len += 8;
	}
	p[7] = (uint8_t)(len - 8); /* ADDITIONAL SENSE LENGTH */
	return len;
}

unsigned sense_describe(uint8_t *out, enum verdict v, const struct sense_info *info, bool descriptor)
{
	const struct verdict_row *r = &verdict_rows[v];

	return descriptor ? encode_descriptors(out, r, info) : encode_fixed(out, r, info);
}

unsigned sense_encode(uint8_t *out, enum verdict v, const struct sense_info *info, bool descriptor)
{
	if (verdict_status(v) != ST_CHECK_CONDITION)
		return 0;
	return sense_describe(out, v, info, descriptor);
}
