/* SPDX-License-Identifier: BSD-2-Clause */
/* Scatter-gather lists are plain iovec arrays; these walk and copy them. */
#ifndef STGT_BASE_SGL_H
#define STGT_BASE_SGL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Bytes in the @n segments at @v. */
size_t sgl_length(const struct iovec *v, unsigned n);

/* Copy up to @len bytes from @src to offset @off of the list; returns how many fitted. */
size_t sgl_copy_in(const struct iovec *v, unsigned n, size_t off, const void *src, size_t len);

/* Copy up to @len bytes from offset @off of the list to @dst; returns how many were there. */
size_t sgl_copy_out(const struct iovec *v, unsigned n, size_t off, void *dst, size_t len);

/*
 * Make in @to (room for @room segments) the part [off, off + len) of the list.
 * Returns the number of segments, or -1 if the part does not fit in @room or
 * the list is shorter.
 */
int sgl_slice(const struct iovec *v, unsigned n, size_t off, size_t len, struct iovec *to,
	      unsigned room);

/* True if all bases and lengths are multiples of @align, a power of two. */
bool sgl_aligned(const struct iovec *v, unsigned n, size_t align);

/*
 * Compare @len bytes at the list's start with @data. Returns @len if all are
 * the same, else the offset of the first byte that differs.
 */
size_t sgl_compare(const struct iovec *v, unsigned n, const void *data, size_t len);

#endif
