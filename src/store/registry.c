/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/registry.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "store/builtin.h"

#define NAME_LEN 40
#define PLUGINS_MAX 32
#define PATH_LEN 512

const struct store_ops *const store_list[] = {
	&file_store,  &rdwr_store,  &aio_store,	     &mmap_store,     &mem_store,
	&sg_store,    &null_store,  &nullhome_store, &readonly_layer, &limit_layer,
	&delay_layer, &error_layer, &volatile_layer, &stats_layer,    NULL,
};

/* Stores whose plugin is called otherwise. */
static const struct {
	const char *name, *plugin;
} alias[] = {
	{ "qemu", "nbd" },
};

/* What plugins brought; only grows. The lock is for loading; finding needs none. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct store_ops *loaded[PLUGINS_MAX];
static _Atomic unsigned nloaded;

const struct store_ops *store_find(const char *name)
{
	unsigned n = atomic_load_explicit(&nloaded, memory_order_acquire);

	for (unsigned i = 0; store_list[i]; i++)
		if (!strcmp(store_list[i]->name, name))
			return store_list[i];
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(loaded[i]->name, name))
			return loaded[i];
	return NULL;
}

/* ---- where plugins are ---- */

/* The @i-th folder to look into; false: there is none. */
static bool folder(unsigned i, char path[PATH_LEN])
{
	const char *env = getenv("STGT_STORES");
	ssize_t n;

	switch (i) {
	case 0:
		snprintf(path, PATH_LEN, "%s", env ? env : "");
		return true;
	case 1: /* a build folder */
		n = readlink("/proc/self/exe", path, PATH_LEN - 1);
		path[n > 0 ? n : 0] = 0;
		if (strrchr(path, '/'))
			*strrchr(path, '/') = 0;
		return true;
	case 2:
		snprintf(path, PATH_LEN, "%s", STGT_PLUGIN_DIR);
		return true;
	default:
		return false;
	}
}

static const char *plugin_of(const char *name)
{
	for (unsigned i = 0; i < array_size(alias); i++)
		if (!strcmp(alias[i].name, name))
			return alias[i].plugin;
	return name;
}

/* Also keeps a name from leading to another folder. */
static bool is_name(const char *name)
{
	size_t len = strlen(name);

	return len && len <= NAME_LEN &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* The path of the plugin that brings @name; false: there is none. */
static bool plugin_path(const char *name, char path[PATH_LEN])
{
	char dir[PATH_LEN];

	if (!is_name(name))
		return false;
	for (unsigned i = 0; folder(i, dir); i++) {
		int n = snprintf(path, PATH_LEN, "%s/store-%s.so", dir, plugin_of(name));

		if (*dir && n < PATH_LEN && !access(path, R_OK))
			return true;
	}
	return false;
}

/* ---- names for people ---- */

struct names {
	char text[PLUGINS_MAX * 2][NAME_LEN + 1];
	const char *list[PLUGINS_MAX * 2 + 1];
	unsigned n;
};

static void collect(void *arg, const char *name, const struct store_ops *ops)
{
	struct names *all = arg;

	if (all->n == array_size(all->text))
		return;
	snprintf(all->text[all->n], sizeof(all->text[0]), "%.*s", NAME_LEN, name);
	all->list[all->n] = all->text[all->n];
	all->list[++all->n] = NULL;
}

static const struct store_ops *unknown(const char *name, struct err *e)
{
	struct names all = { .n = 0 };
	char list[300] = "";
	const char *near;

	store_each(collect, &all);
	near = store_suggest(name, all.list);
	for (unsigned i = 0; i < all.n; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", all.list[i]);
	}
	if (near)
		err_set(e, -EINVAL, "there is no store type '%.40s': did you mean '%s'?", name,
			near);
	else
		err_set(e, -EINVAL, "there is no store type '%.40s': there are %s", name, list);
	return NULL;
}

/* ---- loading ---- */

/* Nothing of @ops but its api may be looked at before that is known to be ours. */
static int check_ops(const struct store_ops *ops, const char *path, struct err *e)
{
	if (ops->api != STORE_API)
		return err_set(e, -ENOEXEC,
			       "%s was made for version %u of the store interface, this is version "
			       "%d: install the one that belongs to this tgtd",
			       path, ops->api, STORE_API);
	if (!ops->name || !is_name(ops->name))
		return err_set(e, -ENOEXEC,
			       "%s brings a store without a proper name: small letters, digits and "
			       "'-' make one, %d at most",
			       path, NAME_LEN);
	if (!ops->open || !ops->close || !ops->submit)
		return err_set(e, -ENOEXEC,
			       "%s: store %s lacks a function: it needs open, close and submit",
			       path, ops->name);
	return 0;
}

static int accept_ops(const struct store_ops *ops, const char *path, struct err *e)
{
	if (store_find(ops->name))
		return 0; /* who was first stays */
	if (nloaded == PLUGINS_MAX)
		return err_set(e, -E2BIG, "%s: %d stores are loaded already", path, PLUGINS_MAX);
	loaded[nloaded] = ops;
	atomic_store_explicit(&nloaded, nloaded + 1, memory_order_release);
	return 0;
}

static int check_list(const struct store_ops *const *list, const char *path, struct err *e)
{
	int err = 0;

	if (!list)
		return err_set(e, -ENOEXEC, "%s is no store plugin: it has no store_plugin", path);
	for (; *list && !err; list++)
		err = check_ops(*list, path, e);
	return err;
}

static int load(const char *path, struct err *e)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct store_ops *const *list;
	int err;

	if (!so)
		return err_set(e, -ENOEXEC, "cannot load the plugin: %.400s", dlerror());
	list = dlsym(so, "store_plugin");
	err = check_list(list, path, e);
	if (err) {
		dlclose(so); /* so that a better one can be put in its place */
		return err;
	}
	for (; list && *list && !err; list++)
		err = accept_ops(*list, path, e);
	return err;
}

const struct store_ops *store_load(const char *name, struct err *e)
{
	const struct store_ops *ops = store_find(name);
	char path[PATH_LEN];

	if (ops)
		return ops;
	if (!plugin_path(name, path))
		return unknown(name, e);
	pthread_mutex_lock(&lock);
	if (!store_find(name) && load(path, e)) {
		pthread_mutex_unlock(&lock);
		return NULL;
	}
	pthread_mutex_unlock(&lock);
	ops = store_find(name);
	if (!ops)
		err_set(e, -ENOEXEC, "%s does not bring a store called %s", path, name);
	return ops;
}

/* ---- looking without loading ---- */

int store_type_check(const char *type, bool *needs_path, struct err *e)
{
	const struct store_ops *ops;
	char name[NAME_LEN + 2], path[PATH_LEN];

	for (;;) {
		size_t all = strcspn(type, "+"), len = strcspn(type, ":+");

		snprintf(name, sizeof(name), "%.*s", (int)min(len, (size_t)NAME_LEN + 1), type);
		ops = store_find(name);
		if (!ops && !plugin_path(name, path)) {
			unknown(name, e);
			return -EINVAL;
		}
		if (!type[all])
			break;
		type += all + 1;
	}
	*needs_path = !ops || ops->needs_path;
	return 0;
}

static void each_in(const char *dir,
		    void (*fn)(void *arg, const char *name, const struct store_ops *ops), void *arg)
{
	DIR *d = *dir ? opendir(dir) : NULL;
	char path[PATH_LEN];
	struct dirent *f;

	while (d && (f = readdir(d))) {
		char name[NAME_LEN + 1];
		size_t len = strlen(f->d_name);

		if (len < 10 || len > NAME_LEN + 9 || strncmp(f->d_name, "store-", 6) ||
		    strcmp(f->d_name + len - 3, ".so"))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)len - 9, f->d_name + 6);
		if (!plugin_path(name, path) || strncmp(path, dir, strlen(dir)))
			continue; /* another folder's comes first */
		if (!store_find(name))
			fn(arg, name, NULL);
		for (unsigned i = 0; i < array_size(alias); i++)
			if (!strcmp(alias[i].plugin, name) && !store_find(alias[i].name))
				fn(arg, alias[i].name, NULL);
	}
	if (d)
		closedir(d);
}

void store_each(void (*fn)(void *arg, const char *name, const struct store_ops *ops), void *arg)
{
	unsigned n = atomic_load_explicit(&nloaded, memory_order_acquire);
	char dir[PATH_LEN];

	for (unsigned i = 0; store_list[i]; i++)
		fn(arg, store_list[i]->name, store_list[i]);
	for (unsigned i = 0; i < n; i++)
		fn(arg, loaded[i]->name, loaded[i]);
	for (unsigned i = 0; folder(i, dir); i++)
		each_in(dir, fn, arg);
}
