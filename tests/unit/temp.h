/* SPDX-License-Identifier: BSD-2-Clause */
/* Where tests put files: below TMPDIR, which the runner chooses on a real file system. */
#ifndef STGT_TESTS_UNIT_TEMP_H
#define STGT_TESTS_UNIT_TEMP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMP_PATH_MAX 64 /* with what is put behind it, it fits a socket's address */

/* A template for mkstemp() and mkdtemp() at @path, TEMP_PATH_MAX bytes. */
static inline char *temp_path(char *path, const char *what)
{
	const char *dir = getenv("TMPDIR");

	if (!dir || strlen(dir) + strlen(what) + strlen("/stgt--XXXXXX") >= TEMP_PATH_MAX)
		dir = "/tmp";
	snprintf(path, TEMP_PATH_MAX, "%s/stgt-%s-XXXXXX", dir, what);
	return path;
}

#endif
