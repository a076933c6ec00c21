/* SPDX-License-Identifier: BSD-2-Clause */
/* Plugins with something wrong each, for test_registry.c; the build says what. */
#include <errno.h>
#include <stddef.h>

#include "stgt/store.h"

#ifndef ODD_API
#define ODD_API STORE_API
#endif
#ifndef ODD_SUBMIT
#define ODD_SUBMIT odd_submit
#endif

static int odd_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	return -EINVAL;
}

static void odd_close(struct store *s)
{
}

__attribute__((unused)) static void odd_submit(struct store_channel *ch, struct store_io *io)
{
}

#define ODD(called, about) \
	{ \
		.api = ODD_API, .name = called, .summary = about, .open = odd_open, \
		.close = odd_close, .submit = ODD_SUBMIT, \
	}

static const struct store_ops first = ODD("mem", "has the name of a built-in one");
static const struct store_ops second = ODD(ODD_NAME, "has the name that the build gave it");

#ifdef ODD_LIST
__attribute__((visibility("default"))) extern const struct store_ops *const ODD_LIST[];
#define store_plugin ODD_LIST
#endif

__attribute__((visibility("default")))
const struct store_ops *const store_plugin[] = { &first, &second, NULL };
