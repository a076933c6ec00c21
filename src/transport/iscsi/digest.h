/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC32C as header and data digests use it (RFC 7143 13.1). */
#ifndef STGT_ISCSI_DIGEST_H
#define STGT_ISCSI_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/*
 * A digest under way. Padding bytes are digested too (RFC 7143 11.2.3), so the
 * caller passes them like data.
 */
struct iscsi_digest {
	uint32_t crc;
};

#define ISCSI_DIGEST_LEN 4
#define ISCSI_DIGEST_INIT \
	{ \
		0xffffffff \
	}

static inline void iscsi_digest_init(struct iscsi_digest *d)
{
	d->crc = 0xffffffff;
}

void iscsi_digest_add(struct iscsi_digest *d, const void *p, size_t len);
/* The value so far; @d may go on afterwards. */
uint32_t iscsi_digest_value(const struct iscsi_digest *d);

/* The digest of @len bytes at once. */
uint32_t iscsi_crc32c(const void *p, size_t len);

/* On the wire: four bytes, least significant first (RFC 7143 13.1, RFC 3720 B.4). */
static inline void iscsi_digest_store(uint8_t to[ISCSI_DIGEST_LEN], uint32_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
	to[2] = (uint8_t)(value >> 16);
	to[3] = (uint8_t)(value >> 24);
}

static inline uint32_t iscsi_digest_load(const uint8_t from[ISCSI_DIGEST_LEN])
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
	       (uint32_t)from[3] << 24;
}

#endif
