/* SPDX-License-Identifier: BSD-2-Clause */
/* Stores by name, and plugins: good ones, and those that are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../temp.h"
#include "base/bits.h"
#include "store/builtin.h"
#include "store/registry.h"

static char built[400]; /* the folder of this program, and of the plugins made for it */
static char dir[TEMP_PATH_MAX];

static int set_up(void **state)
{
	assert_non_null(mkdtemp(temp_path(dir, "plugins")));
	return setenv("STGT_STORES", dir, 1);
}

static int tear_down(void **state)
{
	char command[TEMP_PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void path_of(char *path, size_t room, const char *folder, const char *name)
{
	assert_true((size_t)snprintf(path, room, "%s/store-%s.so", folder, name) < room);
}

/* Install @text as the plugin @name, whole at once as a package manager does. */
static void install(const char *name, const char *text, size_t n)
{
	char path[512], fresh[512];
	int fd;

	path_of(fresh, sizeof(fresh), dir, "fresh");
	path_of(path, sizeof(path), dir, name);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
	assert_int_equal(rename(fresh, path), 0);
}

/* Install the plugin @from of the build as @name. */
static void install_built(const char *from, const char *name)
{
	char path[512];
	char *text = malloc(MIB(1));
	ssize_t n;
	int fd;

	path_of(path, sizeof(path), built, from);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, MIB(1));
	assert_true(n > 0 && n < (ssize_t)MIB(1));
	install(name, text, (size_t)n);
	close(fd);
	free(text);
}

static void refused(const char *name, int code, const char *text)
{
	struct err e = { 0 };

	assert_null(store_load(name, &e));
	if (e.code != code || !strstr(e.text, text))
		fail_msg("%d '%s', but %d '%s' was expected", e.code, e.text, code, text);
	assert_null(store_find(name));
}

static void a_plugin_of_another_version_is_refused(void **state)
{
	refused("oldapi", -ENOEXEC, "was made for version");
}

static void a_library_that_is_no_plugin_is_refused(void **state)
{
	refused("nolist", -ENOEXEC, "it has no store_plugin");
}

static void a_file_that_is_no_library_is_refused(void **state)
{
	install("text", "hello", 5);
	refused("text", -ENOEXEC, "cannot load the plugin");
	install("empty", "", 0);
	refused("empty", -ENOEXEC, "cannot load the plugin");
}

static void a_plugin_that_lacks_a_function_is_refused(void **state)
{
	refused("halved", -ENOEXEC, "lacks a function");
}

static void a_plugin_whose_store_has_no_name_is_refused(void **state)
{
	refused("noname", -ENOEXEC, "without a proper name");
	refused("strange", -ENOEXEC, "without a proper name");
}

static void a_plugin_that_brings_another_name_is_refused(void **state)
{
	install_built("clash", "other");
	refused("other", -ENOEXEC, "does not bring a store called other");
}

static void a_built_in_store_is_not_replaced(void **state)
{
	struct err e = { 0 };
	const struct store_ops *clash = store_load("clash", &e);

	assert_non_null(clash);
	assert_string_equal(clash->name, "clash");
	assert_ptr_equal(store_load("mem", &e), &mem_store);
	assert_ptr_equal(store_load("clash", &e), clash);
}

static void a_plugin_that_was_refused_can_be_replaced_by_a_better_one(void **state)
{
	struct err e = { 0 };

	install_built("oldapi", "again");
	refused("again", -ENOEXEC, "was made for version");
	install_built("again", "again");
	assert_non_null(store_load("again", &e));
}

static void a_name_does_not_lead_to_another_folder(void **state)
{
	static const char *const names[] = {
		"../clash", "/tmp/x",
		"a/b",	    "..",
		"",	    "Mem",
		"mem ",	    "m\nem",
		"%s%n",	    "a-name-that-is-longer-than-any-name-may-be-by-far"
	};
	bool needs_path;
	struct err e;

	for (unsigned i = 0; i < array_size(names); i++) {
		refused(names[i], -EINVAL, "there is no store type");
		assert_int_equal(store_type_check(names[i], &needs_path, &e), -EINVAL);
	}
}

static void every_word_of_a_type_is_looked_at(void **state)
{
	static const char *const bad[] = { "+", "+mem",	    "mem+",	   "stats++mem",
					   ":", ":x=1+mem", "stats+:+mem", "limit:iops=1+nosuch" };
	bool needs_path = true;
	char many[6 * 300 + 4];
	struct err e = { 0 };

	for (unsigned i = 0; i < array_size(bad); i++)
		if (store_type_check(bad[i], &needs_path, &e) != -EINVAL)
			fail_msg("'%s' passes", bad[i]);
	for (unsigned i = 0; i < 300; i++)
		memcpy(many + 6 * i, "stats+", 6);
	memcpy(many + 6 * 300, "mem", 4);
	/* how many may stand on each other is said when they are opened */
	assert_int_equal(store_type_check(many, &needs_path, &e), 0);
	assert_false(needs_path);
}

static void count(void *arg, const char *name, const struct store_ops *ops)
{
	*(unsigned *)arg += !strcmp(name, "listed-with-a-name-of-thirty-six-let") && !ops;
}

static void installed_plugins_are_listed_without_being_loaded(void **state)
{
	unsigned n = 0;

	install("listed-with-a-name-of-thirty-six-let", "x", 1);
	store_each(count, &n);
	assert_int_equal(n, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_plugin_of_another_version_is_refused),
		T(a_library_that_is_no_plugin_is_refused),
		T(a_file_that_is_no_library_is_refused),
		T(a_plugin_that_lacks_a_function_is_refused),
		T(a_plugin_whose_store_has_no_name_is_refused),
		T(a_plugin_that_brings_another_name_is_refused),
		T(a_built_in_store_is_not_replaced),
		T(a_plugin_that_was_refused_can_be_replaced_by_a_better_one),
		T(a_name_does_not_lead_to_another_folder),
		T(every_word_of_a_type_is_looked_at),
		T(installed_plugins_are_listed_without_being_loaded),
	};
	ssize_t n = readlink("/proc/self/exe", built, sizeof(built) - 1);

	built[n > 0 ? n : 0] = 0;
	dirname(built);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
