/* SPDX-License-Identifier: BSD-2-Clause */
/* Who uses a file or a block device: for the text of a refusal, so nothing here is quick. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/file.h"

#define TOLD_MAX 3 /* processes */

struct text {
	char *at;
	size_t room;
};

/* snprintf() after what is there; what has no room is left out. */
#define add(t, ...) added(t, snprintf((t)->at, (t)->room, __VA_ARGS__))

static void added(struct text *t, int n)
{
	size_t len = n < 0 ? 0 : (size_t)n;

	if (len >= t->room)
		len = t->room - 1;
	t->at += len;
	t->room -= len;
}

/* ---- devices ---- */

/* Field 3 of mountinfo is the device, field 5 the mount point (proc(5)). */
static bool mounted(dev_t dev, struct text *t)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024], want[32];

	snprintf(want, sizeof(want), "%u:%u", major(dev), minor(dev));
	while (f && fgets(line, sizeof(line), f)) {
		char *rest = line, *word = NULL, *device = NULL;

		for (int i = 1; i <= 5; i++) {
			word = strsep(&rest, " ");
			if (i == 3)
				device = word;
		}
		if (!word || strcmp(device, want))
			continue;
		add(t, ": it is mounted on %s; unmount it first", word);
		return true;
	}
	return false;
}

static bool held(dev_t dev, struct text *t)
{
	CLEANUP_CLOSEDIR DIR *d = NULL;
	struct dirent *de;
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(dev), minor(dev));
	d = opendir(path);
	while (d && (de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		add(t, ": it is part of %s; take it out there first", de->d_name);
		return true;
	}
	return false;
}

/* ---- processes ---- */

static bool same_file(int dir, const char *name, const struct stat *st)
{
	struct statx sx;

	/* no question to a server that may not answer */
	if (statx(dir, name, AT_STATX_DONT_SYNC, STATX_INO | STATX_TYPE, &sx))
		return false;
	if (S_ISBLK(st->st_mode))
		return S_ISBLK(sx.stx_mode) &&
		       makedev(sx.stx_rdev_major, sx.stx_rdev_minor) == st->st_rdev;
	return sx.stx_ino == st->st_ino && makedev(sx.stx_dev_major, sx.stx_dev_minor) == st->st_dev;
}

static bool has_open(int pid, const struct stat *st)
{
	CLEANUP_CLOSEDIR DIR *d = NULL;
	struct dirent *de;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && same_file(dirfd(d), de->d_name, st))
			return true;
	return false;
}

static void add_process(struct text *t, int pid, unsigned n)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	char path[64], name[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = 0;
	add(t, "%spid %d%s%s%s", n ? ", " : " by ", pid, *name ? " (" : "", name, *name ? ")" : "");
}

/* A lock of an open file, as ours and qemu's are, has no owner: look for who has the file open. */
static bool opened(const struct stat *st, struct text *t)
{
	CLEANUP_CLOSEDIR DIR *d = opendir("/proc");
	struct dirent *de;
	unsigned n = 0;

	while (d && n < TOLD_MAX && (de = readdir(d))) {
		int pid = (int)strtol(de->d_name, NULL, 10);

		if (pid > 0 && pid != getpid() && has_open(pid, st))
			add_process(t, pid, n++);
	}
	return n != 0;
}

void file_who(const struct stat *st, int pid, char *text, size_t room)
{
	struct text t = { text, room };
	char path[256];

	*text = 0;
	if (file_used_here(st, path, sizeof(path))) {
		add(&t, " by another unit of this daemon, as %s; ", path);
	} else if (pid > 0) {
		add_process(&t, pid, 0);
		add(&t, "; ");
	} else if (S_ISBLK(st->st_mode) && (mounted(st->st_rdev, &t) || held(st->st_rdev, &t))) {
		return;
	} else if (opened(st, &t)) {
		add(&t, "; ");
	} else {
		add(&t, " by a process that cannot be seen from here: of another user, container "
			"or host; ");
	}
	add(&t, "end that use first, or share it read-only from both");
}
