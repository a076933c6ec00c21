/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "stgt/store.h"

#define WORD_MAX 32

int number_parse(const char *text, uint64_t *v)
{
	uint64_t n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -EINVAL;
	}
	*v = n;
	return 0;
}

int size_parse(const char *text, uint64_t *v)
{
	static const char suffix[] = "KMGTP";
	size_t len = strlen(text);
	char digits[24];
	const char *s = NULL;
	unsigned shift = 0;

	if (!len)
		return -EINVAL;
	s = strchr(suffix, text[len - 1] & ~0x20);
	if (s && (text[len - 1] & 0x40)) {
		shift = 10 * (unsigned)(s - suffix + 1);
		len--;
	}
	if (len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = 0;
	if (number_parse(digits, v) || *v > (uint64_t)INT64_MAX >> shift)
		return -EINVAL;
	*v <<= shift;
	return 0;
}

/* Levenshtein distance, at most WORD_MAX letters each. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1], diag, up, gap;
	size_t la = strlen(a), lb = strlen(b);

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		diag = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			up = row[j];
			gap = min(up, row[j - 1]) + 1;
			row[j] = min(gap, diag + (a[i - 1] != b[j - 1]));
			diag = up;
		}
	}
	return row[lb];
}

const char *store_suggest(const char *word, const char *const *list)
{
	const char *best = NULL;
	unsigned least = (unsigned)strlen(word) / 2 + 1;

	for (; list && *list; list++) {
		unsigned d = distance(word, *list);

		if (d < least) {
			least = d;
			best = *list;
		}
	}
	return best;
}

static int unknown_key(const char *key, const char *const *known, const char *what, struct err *e)
{
	const char *near = store_suggest(key, known);
	char all[200] = "";

	if (!known || !known[0])
		return err_set(e, -EINVAL, "%s has no option '%.64s': it takes none", what, key);
	if (near)
		return err_set(e, -EINVAL, "%s has no option '%.64s': did you mean '%s'?", what,
			       key, near);
	for (; *known; known++) {
		size_t used = strlen(all);

		if (used + strlen(*known) + 3 > sizeof(all))
			break;
		memcpy(all + used, used ? ", " : "", used ? 2 : 0);
		memcpy(all + used + (used ? 2 : 0), *known, strlen(*known) + 1);
	}
	return err_set(e, -EINVAL, "%s has no option '%.64s': it knows %s", what, key, all);
}

static int option_add(struct options *o, char *item, const char *const *known, const char *what,
		      struct err *e)
{
	char *eq = strchr(item, '=');
	const char *const *k = known;

	if (eq)
		*eq = 0;
	while (k && *k && strcmp(*k, item))
		k++;
	if (!k || !*k)
		return unknown_key(item, known, what, e);
	if (!eq || !eq[1])
		return err_set(e, -EINVAL, "option '%s' of %s needs a value: write %s=VALUE", item,
			       what, item);
	if (options_get(o, item))
		return err_set(e, -EINVAL, "option '%s' of %s is given twice", item, what);
	if (o->n == OPTIONS_MAX)
		return err_set(e, -E2BIG, "%s has more than %d options", what, OPTIONS_MAX);
	o->opt[o->n++] = (struct key_value){ item, eq + 1 };
	return 0;
}

int options_parse(struct options *o, const char *text, const char *const *known, const char *what,
		  struct err *e)
{
	char *item, *rest;
	int err;

	memset(o, 0, sizeof(*o));
	if (!text || !*text)
		return 0;
	o->text = strdup(text);
	if (!o->text)
		return err_set(e, -ENOMEM, "no memory for the options of %s", what);
	for (item = strtok_r(o->text, ";,", &rest); item; item = strtok_r(NULL, ";,", &rest)) {
		err = option_add(o, item, known, what, e);
		if (err) {
			options_free(o);
			return err;
		}
	}
	return 0;
}

void options_free(struct options *o)
{
	free(o->text);
	memset(o, 0, sizeof(*o));
}

const char *options_get(const struct options *o, const char *key)
{
	for (unsigned i = 0; i < o->n; i++)
		if (!strcmp(o->opt[i].key, key))
			return o->opt[i].value;
	return NULL;
}
