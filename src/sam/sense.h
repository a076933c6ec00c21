/* SPDX-License-Identifier: BSD-2-Clause */
/* Sense data: what a verdict says besides its codes, and its encoding (SPC-5 4.4). */
#ifndef STGT_SAM_SENSE_H
#define STGT_SAM_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sam/verdict.h"

#define SENSE_MAX 252 /* SPC-5 4.4.1 */
#define FIXED_SENSE_LEN 18

enum sense_flags {
	SENSE_INFORMATION = 1, /* information is valid */
	SENSE_FIELD = 2, /* field pointer: byte and perhaps bit */
	SENSE_FIELD_CDB = 4, /* C/D: the field is in the CDB, else in the parameter list */
	SENSE_FIELD_BIT = 8, /* BPV */
	SENSE_PROGRESS = 16,
};

/* The optional payload of a verdict. */
struct sense_info {
	uint8_t flags;
	uint8_t bit; /* most significant bit of the field */
	uint16_t byte;
	uint16_t progress; /* of 65536 */
	uint64_t information;
};

/*
 * Encode @v with @info (may be NULL) at @out (SENSE_MAX bytes), in descriptor
 * or fixed format. Returns the length, 0 if the verdict has no sense data.
 */
unsigned sense_encode(uint8_t *out, enum verdict v, const struct sense_info *info, bool descriptor);

/* The same for any verdict, NO SENSE for those without sense data: what REQUEST SENSE returns. */
unsigned sense_describe(uint8_t *out, enum verdict v, const struct sense_info *info,
			bool descriptor);

#endif
