/* SPDX-License-Identifier: BSD-2-Clause */
#include <isa-l.h>

#include "base/bits.h"
#include "transport/iscsi/digest.h"

/* crc32_iscsi() counts in int. */
#define DIGEST_STEP ((size_t)1 << 30)

void iscsi_digest_add(struct iscsi_digest *d, const void *p, size_t len)
{
	/* ISA-L takes the data as not const, and does not write to it */
	unsigned char *data = (unsigned char *)p;

	while (len) {
		size_t n = min(len, DIGEST_STEP);

		d->crc = crc32_iscsi(data, (int)n, d->crc);
		data += n;
		len -= n;
	}
}

uint32_t iscsi_digest_value(const struct iscsi_digest *d)
{
	return ~d->crc;
}

uint32_t iscsi_crc32c(const void *p, size_t len)
{
	struct iscsi_digest d = ISCSI_DIGEST_INIT;

	iscsi_digest_add(&d, p, len);
	return iscsi_digest_value(&d);
}
