/* SPDX-License-Identifier: BSD-2-Clause */
/* "key=value;key=value" as administrators write it, and guesses at what they meant. */
#ifndef STGT_STORE_OPTIONS_H
#define STGT_STORE_OPTIONS_H

#include <stdint.h>

#include "base/err.h"

#define OPTIONS_MAX 32

struct options {
	char *text; /* owned; cut at the separators */
	unsigned n;
	struct key_value {
		const char *key, *value;
	} opt[OPTIONS_MAX];
};

/*
 * Parse @text (NULL: none), separated by ';' or ','. Keys that are not in
 * @known (NULL-terminated; NULL: none are known) are refused, as are repeated
 * ones. @what names the thing for @e. 0 or -errno.
 */
int options_parse(struct options *o, const char *text, const char *const *known, const char *what,
		  struct err *e);
void options_free(struct options *o);
/* NULL if absent. */
const char *options_get(const struct options *o, const char *key);

/* "64", "4K", "1.5G" is refused. Powers of 1024; at most INT64_MAX. 0 or -EINVAL. */
int size_parse(const char *text, uint64_t *v);
/* Decimal digits only. 0 or -EINVAL. */
int number_parse(const char *text, uint64_t *v);

#endif
