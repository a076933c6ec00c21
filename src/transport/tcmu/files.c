/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading sysfs and configfs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "transport/tcmu/part.h"

int tcmu_path(char *out, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, TCMU_PATH_MAX, fmt, ap);
	va_end(ap);
	return n < 0 || n >= TCMU_PATH_MAX ? -ENAMETOOLONG : 0;
}

int tcmu_read_line(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	*out = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, out, size - 1);
	if (n < 0)
		n = -errno;
	else
		out[n] = '\0';
	close(fd);
	out[strcspn(out, "\n")] = '\0';
	return n < 0 ? (int)n : 0;
}

static bool minor_of(const char *name, unsigned *minor)
{
	unsigned long n;
	char *end;

	if (strncmp(name, "uio", 3) || name[3] < '0' || name[3] > '9')
		return false;
	n = strtoul(name + 3, &end, 10);
	*minor = (unsigned)n;
	return !*end && n <= UINT32_MAX;
}

void tcmu_each_uio(const char *sysfs, void (*fn)(void *arg, unsigned minor, const char *name),
		   void *arg)
{
	char path[TCMU_PATH_MAX], name[512];
	CLEANUP_CLOSEDIR DIR *dir = NULL;
	struct dirent *de;
	unsigned minor;

	if (tcmu_path(path, "%s/class/uio", sysfs))
		return;
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		if (!minor_of(de->d_name, &minor) ||
		    tcmu_path(path, "%s/class/uio/%.32s/name", sysfs, de->d_name) ||
		    tcmu_read_line(path, name, sizeof(name)))
			continue;
		fn(arg, minor, name);
	}
}

/* ---- the disk that tcm_loop made ----------------------------------------------------------- */

/* Call @fn for each entry of the folder @path until it returns true. */
static bool each_entry(const char *path, bool (*fn)(const char *path, const char *name, void *arg),
		       void *arg)
{
	CLEANUP_CLOSEDIR DIR *dir = opendir(path);
	struct dirent *de;
	bool found = false;

	while (dir && !found && (de = readdir(dir)))
		if (de->d_name[0] != '.')
			found = fn(path, de->d_name, arg);
	return found;
}

struct search {
	const char *sysfs, *core;
	char address[64]; /* of the port: host:channel:target */
	char *out;
	size_t size;
};

static bool block_here(const char *path, const char *name, void *arg)
{
	struct search *s = arg;

	snprintf(s->out, s->size, "/dev/%.32s", name);
	return true;
}

/* @path is a port's lun_N, @name a link in it. */
static bool link_here(const char *path, const char *name, void *arg)
{
	struct search *s = arg;
	char link[TCMU_PATH_MAX], to[PATH_MAX];
	const char *lun = strrchr(path, '_');
	size_t len, want = strlen(s->core);
	ssize_t n;

	if (tcmu_path(link, "%s/%s", path, name))
		return false;
	n = readlink(link, to, sizeof(to) - 1);
	len = n > 0 ? (size_t)n : 0;
	if (len <= want || to[len - want - 1] != '/' || memcmp(to + len - want, s->core, want))
		return false;
	if (tcmu_path(link, "%s/bus/scsi/devices/%s:%s/block", s->sysfs, s->address, lun + 1))
		return false;
	return each_entry(link, block_here, s);
}

static bool lun_here(const char *path, const char *name, void *arg)
{
	char lun[TCMU_PATH_MAX];

	return !strncmp(name, "lun_", 4) && !tcmu_path(lun, "%s/%s", path, name) &&
	       each_entry(lun, link_here, arg);
}

static bool port_here(const char *path, const char *name, void *arg)
{
	char file[TCMU_PATH_MAX];
	struct search *s = arg;

	if (strncmp(name, "tpgt_", 5) || tcmu_path(file, "%s/%s/address", path, name) ||
	    tcmu_read_line(file, s->address, sizeof(s->address)) ||
	    tcmu_path(file, "%s/%s/lun", path, name))
		return false;
	return each_entry(file, lun_here, s);
}

static bool wwn_here(const char *path, const char *name, void *arg)
{
	char dir[TCMU_PATH_MAX];

	return !tcmu_path(dir, "%s/%s", path, name) && each_entry(dir, port_here, arg);
}

void tcmu_find_block(const struct tcmu_server *s, const char *core, char *out, size_t size)
{
	struct search search = { .sysfs = s->sysfs, .core = core, .out = out, .size = size };
	char path[TCMU_PATH_MAX];

	*out = '\0';
	if (!tcmu_path(path, "%s/target/loopback", s->configfs))
		each_entry(path, wwn_here, &search);
}
