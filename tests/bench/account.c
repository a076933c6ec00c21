/* SPDX-License-Identifier: BSD-2-Clause */
#include "account.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

/* Contents of a small file of /proc as a string; false if it is gone. */
static bool slurp(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		n = read(fd, to, size - 1);
		close(fd);
	}
	to[n > 0 ? n : 0] = 0;
	return n > 0;
}

static uint64_t field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Calls @each for every numeric name in the folder @path. */
static void for_numbers(const char *path, void (*each)(const char *, pid_t, void *), void *arg)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			each(path, (pid_t)strtol(e->d_name, NULL, 10), arg);
	}
	if (d)
		closedir(d);
}

static bool schedstat(const char *folder, pid_t tid, uint64_t *run, uint64_t *wait)
{
	char path[96], text[128];
	char *end;

	snprintf(path, sizeof(path), "%s/%d/schedstat", folder, tid);
	if (!slurp(path, text, sizeof(text)))
		return false;
	*run = strtoull(text, &end, 10);
	*wait = strtoull(end, NULL, 10);
	return true;
}

static void target_thread(const char *folder, pid_t tid, void *arg)
{
	struct account *a = arg;
	struct thread_account *t = &a->target[a->ntarget];
	char path[96], text[4096];

	if (a->ntarget == ACCOUNT_THREADS || !schedstat(folder, tid, &t->run, &t->wait))
		return;
	snprintf(path, sizeof(path), "%s/%d/status", folder, tid);
	if (!slurp(path, text, sizeof(text)))
		return;
	t->sleeps = field(text, "\nvoluntary_ctxt_switches:");
	snprintf(path, sizeof(path), "%s/%d/comm", folder, tid);
	if (!slurp(path, text, sizeof(text)))
		return;
	text[strcspn(text, "\n")] = 0;
	snprintf(t->name, sizeof(t->name), "%.15s", text);
	t->tid = tid;
	a->ntarget++;
}

static void own_thread(const char *folder, pid_t tid, void *arg)
{
	struct account *a = arg;
	uint64_t run, wait;

	if (schedstat(folder, tid, &run, &wait)) {
		a->own_run += run;
		a->own_wait += wait;
	}
}

static void other_thread(const char *folder, pid_t tid, void *arg)
{
	struct account *a = arg;
	uint64_t run, wait;

	if (schedstat(folder, tid, &run, &wait))
		a->others_run += run;
}

struct others {
	struct account *a;
	pid_t target;
};

static void process(const char *proc, pid_t pid, void *arg)
{
	struct others *o = arg;
	char path[64];

	if (pid == o->target || pid == getpid())
		return;
	snprintf(path, sizeof(path), "%s/%d/task", proc, pid);
	for_numbers(path, other_thread, o->a);
}

static uint64_t stolen(void)
{
	unsigned long long v[8] = { 0 };
	char text[512];

	if (!slurp("/proc/stat", text, sizeof(text)) ||
	    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3,
		   v + 4, v + 5, v + 6, v + 7) != 8)
		return 0;
	return v[7] * (NSEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t account_rss(pid_t pid)
{
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return slurp(path, text, sizeof(text)) ? field(text, "\nVmRSS:") << 10 : 0;
}

static uint64_t process_run(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * NSEC + (uint64_t)t.tv_nsec;
}

void account_take_target(struct account *a, pid_t pid)
{
	char path[64];

	a->ntarget = 0;
	a->target_run = a->target_rss = 0;
	if (!pid)
		return;
	a->target_run = process_run(pid);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	for_numbers(path, target_thread, a);
	a->target_rss = account_rss(pid);
}

void account_take_rest(struct account *a, pid_t pid)
{
	struct others o = { a, pid };

	a->own_run = a->own_wait = a->others_run = 0;
	for_numbers("/proc/self/task", own_thread, a);
	for_numbers("/proc", process, &o);
	a->stolen = stolen();
}

static const struct thread_account *find(const struct account *a, pid_t tid)
{
	for (unsigned i = 0; i < a->ntarget; i++)
		if (a->target[i].tid == tid)
			return &a->target[i];
	return NULL;
}

static uint64_t grown(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0; /* a thread that ended takes its time with it */
}

void account_delta(struct account *d, const struct account *begin, const struct account *end)
{
	*d = *end;
	for (unsigned i = 0; i < d->ntarget; i++) {
		struct thread_account *t = &d->target[i];
		const struct thread_account *was = find(begin, t->tid);

		if (!was)
			continue;
		t->run = grown(was->run, t->run);
		t->wait = grown(was->wait, t->wait);
		t->sleeps = grown(was->sleeps, t->sleeps);
	}
	d->target_run = grown(begin->target_run, end->target_run);
	d->own_run = grown(begin->own_run, end->own_run);
	d->own_wait = grown(begin->own_wait, end->own_wait);
	d->others_run = grown(begin->others_run, end->others_run);
	d->stolen = grown(begin->stolen, end->stolen);
}
