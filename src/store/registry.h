/* SPDX-License-Identifier: BSD-2-Clause */
/* Stores and layers by name: built in, or brought by plugins, store-NAME.so. */
#ifndef STGT_STORE_REGISTRY_H
#define STGT_STORE_REGISTRY_H

#include "base/err.h"
#include "stgt/store.h"

/* Every built-in store and layer; NULL-terminated. */
extern const struct store_ops *const store_list[];

/* A built-in one, or one of a plugin that is loaded. NULL: neither. Any thread. */
const struct store_ops *store_find(const char *name);

/* The same, and load the plugin that brings it. May block. NULL and @e if there is none or it cannot be used. */
const struct store_ops *store_load(const char *name, struct err *e);

/*
 * Whether each word of the type @type ("layer:options+store") names something that is
 * built in or installed. 0, or -EINVAL and @e. *@needs_path: whether the store needs one
 * (yes, while its plugin is not loaded). Quick, loads nothing.
 */
int store_type_check(const char *type, bool *needs_path, struct err *e);

/* Call @fn with the name of each store, summary and ops (NULL: of a plugin that is not loaded). */
void store_each(void (*fn)(void *arg, const char *name, const struct store_ops *ops), void *arg);

#endif
