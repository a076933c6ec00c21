/* SPDX-License-Identifier: BSD-2-Clause */
#include "sgl.h"

#include <stdint.h>
#include <string.h>

#include "bits.h"

size_t sgl_length(const struct iovec *v, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += v[i].iov_len;
	return len;
}

/* Call @step for each contiguous piece of [off, off + len); stops at the list's end. */
#define for_each_piece(v, n, off, len, ptr, piece) \
	for (size_t fe_i = 0, fe_off = (off), fe_left = (len), piece; fe_left && fe_i < (n); \
	     fe_i++) \
		if (fe_off >= (v)[fe_i].iov_len) { \
			fe_off -= (v)[fe_i].iov_len; \
		} else \
			for (char *ptr = (piece = min((v)[fe_i].iov_len - fe_off, fe_left), \
					 (char *)(v)[fe_i].iov_base + fe_off); \
			     ptr; ptr = NULL, fe_off = 0, fe_left -= piece)

size_t sgl_copy_in(const struct iovec *v, unsigned n, size_t off, const void *src, size_t len)
{
	size_t done = 0;

	for_each_piece(v, n, off, len, ptr, piece) {
		memcpy(ptr, (const char *)src + done, piece);
		done += piece;
	}
	return done;
}

size_t sgl_copy_out(const struct iovec *v, unsigned n, size_t off, void *dst, size_t len)
{
	size_t done = 0;

	for_each_piece(v, n, off, len, ptr, piece) {
		memcpy((char *)dst + done, ptr, piece);
		done += piece;
	}
	return done;
}

int sgl_slice(const struct iovec *v, unsigned n, size_t off, size_t len, struct iovec *to,
	      unsigned room)
{
	unsigned made = 0;
	size_t done = 0;

	for_each_piece(v, n, off, len, ptr, piece) {
		if (made == room)
			return -1;
		to[made++] = (struct iovec){ ptr, piece };
		done += piece;
	}
	return done == len ? (int)made : -1;
}

bool sgl_aligned(const struct iovec *v, unsigned n, size_t align)
{
	uintptr_t all = 0;

	for (unsigned i = 0; i < n; i++)
		all |= (uintptr_t)v[i].iov_base | v[i].iov_len;
	return !(all & (align - 1));
}

static size_t first_difference(const char *a, const char *b, size_t len)
{
	size_t i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

size_t sgl_compare(const struct iovec *v, unsigned n, const void *data, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t piece = min(v[i].iov_len, len - done);
		const char *want = (const char *)data + done;

		if (memcmp(v[i].iov_base, want, piece))
			return done + first_difference(v[i].iov_base, want, piece);
		done += piece;
	}
	return done;
}
