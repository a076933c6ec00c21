/* SPDX-License-Identifier: BSD-2-Clause */
#include "servers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t program_start(char *const argv[])
{
	pid_t parent = getpid(), pid = fork();
	int null;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	/* stdout is the test's own, which others read, perhaps together with stderr */
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, 1);
		dup2(null, 2);
	}
	execvp(argv[0], argv);
	_exit(127);
}

int program_run(char *const argv[])
{
	int status = -1;
	pid_t pid = program_start(argv);

	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

void program_kill(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

bool program_exists(const char *name)
{
	const char *path = getenv("PATH");
	char file[512];

	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, name);
		if (!access(file, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static bool answers(const char *path, unsigned port)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(port ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!port)
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	ok = port ? !connect(fd, (struct sockaddr *)&in, sizeof(in))
		  : !connect(fd, (struct sockaddr *)&un, sizeof(un));
	close(fd);
	return ok;
}

bool server_wait(pid_t pid, const char *path, unsigned port)
{
	while (pid > 0 && !answers(path, port)) {
		if (waitpid(pid, NULL, WNOHANG))
			return false;
		usleep(1000);
	}
	return pid > 0;
}

unsigned server_free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) ||
	    getsockname(fd, (struct sockaddr *)&in, &len))
		in.sin_port = 0;
	close(fd);
	return ntohs(in.sin_port);
}

static bool is_child(const char *pid, const char *name)
{
	char path[64], line[256] = "", comm[64] = "";
	long parent = 0;
	char state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	return sscanf(line, "%*d (%60[^)]) %c %ld", comm, &state, &parent) == 3 &&
	       parent == getpid() && state != 'Z' && !strcmp(comm, name);
}

pid_t child_called(const char *name)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while (d && !found && (e = readdir(d)))
		if (is_child(e->d_name, name))
			found = (pid_t)strtol(e->d_name, NULL, 10);
	if (d)
		closedir(d);
	return found;
}
