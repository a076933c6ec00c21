/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

/* ---- background -------------------------------------------------------------------- */

/* Wait for the child's word; returns the status to end with. */
static int parent_wait(pid_t child, int fd)
{
	char ok;
	int status;
	ssize_t n;

	do
		n = read(fd, &ok, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	if (waitpid(child, &status, 0) == child && WIFEXITED(status))
		return WEXITSTATUS(status);
	return 1;
}

int daemon_start(int *ready, int *status, struct err *e)
{
	int fd[2];
	pid_t child;

	if (pipe2(fd, O_CLOEXEC))
		return err_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
	child = fork();
	if (child < 0)
		return err_set(e, -errno, "cannot go to the background: %s", strerror(errno));
	if (child) {
		close(fd[1]);
		*status = parent_wait(child, fd[0]);
		return 1;
	}
	close(fd[0]);
	setsid();
	*ready = fd[1];
	return 0;
}

void daemon_ready(int fd)
{
	int null;

	if (fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		for (int i = 0; i <= 2; i++)
			dup2(null, i);
		close(null);
	}
	if (chdir("/") || write(fd, "", 1) != 1)
		log_debug("the parent has gone");
	close(fd);
}

int pid_file_write(const char *path, struct err *e)
{
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return err_set(e, -errno, "cannot write the pid file %s: %s", path, strerror(errno));
	return 0;
}

/* ---- limits -------------------------------------------------------------------------- */

static void spare_from_oom(void)
{
	CLEANUP_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000\n", 6) != 6)
		log_debug("the OOM killer does not spare this process: %s", strerror(errno));
}

/* 0 if the kernel does not say. */
static unsigned long most_files(void)
{
	CLEANUP_CLOSE int fd = open("/proc/sys/fs/nr_open", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return strtoul(text, NULL, 10);
}

void daemon_limits(void)
{
	unsigned long most = most_files();
	struct rlimit want = { most, most }, now;

	spare_from_oom();
	if (most && !setrlimit(RLIMIT_NOFILE, &want))
		return;
	/* not root: what the hard limit allows */
	if (!getrlimit(RLIMIT_NOFILE, &now)) {
		now.rlim_cur = now.rlim_max;
		if (!setrlimit(RLIMIT_NOFILE, &now))
			log_debug("at most %lu open files", (unsigned long)now.rlim_cur);
	}
}

/* ---- service manager --------------------------------------------------------------- */

bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev;
	struct stat st;
	char *end;

	if (!stream || fstat(STDERR_FILENO, &st))
		return false;
	dev = strtoull(stream, &end, 10);
	return *end == ':' && dev == st.st_dev && strtoull(end + 1, NULL, 10) == st.st_ino;
}

void service_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len;
	size_t n;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = 0; /* the abstract name space */
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);

	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa, len) < 0)
		log_debug("the service manager was not told %s: %s", state, strerror(errno));
}
