/* SPDX-License-Identifier: BSD-2-Clause */
/* iSCSI names (RFC 7143 4.2.7) and the TransportID made of them. */
#ifndef STGT_ISCSI_NAMES_H
#define STGT_ISCSI_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ISCSI_NAME_MAX 223 /* bytes, RFC 7143 4.2.7.1 */
#define ISCSI_TRANSPORT_ID_MAX 248 /* 4 + name + ",i,0x" + 12 digits + zero byte, padded */

/*
 * 0 if @name is a well-formed iSCSI name: iqn., eui. or naa. format, at most
 * ISCSI_NAME_MAX bytes of UTF-8, no white space, no control characters and no
 * ASCII punctuation but '-', '.' and ':' (RFC 3722), to which we add '_', '/',
 * '@' and '+' because names in use have them. Upper case is accepted: see
 * iscsi_name_normalise(). Else -EINVAL and @e (may be NULL) says why.
 */
int iscsi_name_check(const char *name, struct err *e);

/*
 * Check @name and write its normal form (ASCII letters lowered, as stringprep
 * folds case) to @out, which holds ISCSI_NAME_MAX + 1 bytes. Names are
 * compared byte by byte in this form. -EINVAL and @e as iscsi_name_check().
 */
int iscsi_name_normalise(const char *name, char *out, struct err *e);

/*
 * TransportID of the initiator port (@initiator, @isid), format 01b (SPC-5
 * 7.6.4.6): at least 24 bytes, a multiple of 4. @initiator is a checked name.
 * Returns the bytes written to @out.
 */
uint16_t iscsi_transport_id(const char *initiator, const uint8_t isid[6],
			    uint8_t out[ISCSI_TRANSPORT_ID_MAX]);

#endif
