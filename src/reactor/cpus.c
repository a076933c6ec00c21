/* SPDX-License-Identifier: BSD-2-Clause */
/* How many CPUs this process may use: its affinity mask and the quotas of its cgroups. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "reactor/internal.h"

#define PATH_ROOM 4096

static unsigned by_affinity(void)
{
	cpu_set_t set;
	int n;

	/* It fails only with more than CPU_SETSIZE CPUs. */
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return REACTORS_MAX;
	n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}

/* The number at the start of the file @dir/@name, -1 if there is none. */
static long long number_in(const char *dir, const char *name, long long *second)
{
	CLEANUP_FREE char *path = malloc(PATH_ROOM);
	CLEANUP_FCLOSE FILE *f = NULL;
	long long v = -1;
	int n;

	if (!path || snprintf(path, PATH_ROOM, "%s/%s", dir, name) >= PATH_ROOM)
		return -1;
	f = fopen(path, "re");
	if (!f)
		return -1;
	n = fscanf(f, "%lld", &v);
	if (n == 1 && second && fscanf(f, "%lld", second) != 1)
		return -1;
	return n == 1 ? v : -1; /* "max" is no number: no limit */
}

/* CPUs that the quota of one cgroup allows. */
static unsigned by_quota(const char *dir, bool v2)
{
	long long quota, period = -1;

	if (v2) {
		quota = number_in(dir, "cpu.max", &period);
	} else {
		quota = number_in(dir, "cpu.cfs_quota_us", NULL);
		period = number_in(dir, "cpu.cfs_period_us", NULL);
	}
	if (quota <= 0 || period <= 0)
		return UINT32_MAX;
	return (unsigned)max(quota / period, 1ll);
}

/* The strictest quota between @path and the root of the hierarchy at @mount. */
static unsigned by_cgroup(const char *mount, const char *path, bool v2)
{
	CLEANUP_FREE char *dir = malloc(PATH_ROOM);
	size_t root = strlen(mount);
	unsigned n = UINT32_MAX;

	if (!dir || snprintf(dir, PATH_ROOM, "%s%s", mount, path) >= PATH_ROOM)
		return n;
	for (;;) {
		char *slash;

		n = min(n, by_quota(dir, v2));
		slash = strrchr(dir, '/');
		if (strlen(dir) <= root || !slash)
			return n;
		*slash = '\0';
	}
}

/* True if the comma-separated @list names @word. */
static bool names(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (!strncmp(p, word, n) && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

static unsigned by_all_cgroups(void)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/self/cgroup", "re");
	CLEANUP_FREE char *line = NULL;
	unsigned n = UINT32_MAX;
	size_t room = 0;

	while (f && getline(&line, &room, f) > 0) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (!path)
			continue;
		*list++ = *path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (!*list)
			n = min(n, by_cgroup("/sys/fs/cgroup", path, true));
		else if (names(list, "cpu"))
			n = min(n, by_cgroup("/sys/fs/cgroup/cpu", path, false));
	}
	return n;
}

unsigned cpus_allowed(void)
{
	return min(by_affinity(), by_all_cgroups());
}

unsigned reactor_default_count(void)
{
	return min(cpus_allowed(), (unsigned)REACTORS_MAX);
}
