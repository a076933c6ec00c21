/* SPDX-License-Identifier: BSD-2-Clause */
/* What kind of image a file is, by what it holds; needs no library. */
#ifndef STGT_STORE_NBD_FORMAT_H
#define STGT_STORE_NBD_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

/* QEMU's names of the formats that are known, NULL-terminated. raw is none of them. */
extern const char *const image_formats[];

/* A file of this format is always recognised. */
bool image_has_magic(const char *format);

struct image_about {
	const char *format; /* QEMU's name; NULL: nothing that is known, so raw as far as anybody can tell */
	/*
	 * What it is by its end, if that is something else; NULL: no. Beginning or end is what a
	 * user of the disk wrote there.
	 */
	const char *or_format;
	const char *other_files; /* what it names others for, "a backing file"; NULL: it stands alone */
};

/* May block. 0, or -errno and a sentence with the remedy in @text. */
int image_about(const char *path, struct image_about *a, char *text, size_t len);

#endif
