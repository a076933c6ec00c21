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

/*
 * Up to two numbers from the file @dir/@name. Returns how many there were:
 * "max", no limit, is none.
 */
static int numbers_in(const char *dir, const char *name, long long v[2])
{
	char path[PATH_ROOM], line[64];
	char *at = line, *end;
	int n = 0;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	CLEANUP_FCLOSE FILE *f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	for (; n < 2; n++, at = end) {
		v[n] = strtoll(at, &end, 10);
		if (end == at)
			break;
	}
	return n;
}

/* CPUs that the quota of one cgroup allows. */
static unsigned by_quota(const char *dir, bool v2)
{
	long long v[2], period[2];

	if (v2) {
		if (numbers_in(dir, "cpu.max", v) != 2)
			return UINT32_MAX;
	} else {
		if (!numbers_in(dir, "cpu.cfs_quota_us", v) ||
		    !numbers_in(dir, "cpu.cfs_period_us", period))
			return UINT32_MAX;
		v[1] = period[0];
	}
	if (v[0] <= 0 || v[1] <= 0)
		return UINT32_MAX;
	return (unsigned)max(v[0] / v[1], 1ll);
}

/* The strictest quota between @path and the root of the hierarchy at @mount. */
static unsigned by_cgroup(const char *mount, const char *path, bool v2)
{
	char dir[PATH_ROOM];
	size_t root = strlen(mount);
	unsigned n = UINT32_MAX;

	if (snprintf(dir, sizeof(dir), "%s%s", mount, path) >= (int)sizeof(dir))
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
