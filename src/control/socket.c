/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_PREFIX "/var/run/tgtd/socket"
#define BACKLOG 64

int control_socket_path(char *path, size_t room, unsigned port, struct err *e)
{
	const char *prefix = getenv("TGT_IPC_SOCKET");
	int n;

	if (!prefix || !*prefix)
		prefix = DEFAULT_PREFIX;
	n = snprintf(path, room, "%s.%u", prefix, port);
	if (n < 0 || (size_t)n >= room)
		return err_set(e, -ENAMETOOLONG,
			       "the control socket's path %s.%u is longer than "
			       "%zu bytes: choose a shorter TGT_IPC_SOCKET",
			       prefix, port, room - 1);
	return 0;
}

/* The folder that @path is in: made if it is not there and its parent is. */
static void make_folder(const char *path)
{
	char folder[CONTROL_PATH_MAX];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return;
	*slash = 0;
	mkdir(folder, 0755); /* if this fails, the open that follows says why */
}

static void say_holder(int lock, const char *path, struct err *e)
{
	char text[32] = "";
	ssize_t n = pread(lock, text, sizeof(text) - 1, 0);

	text[n > 0 ? strcspn(text, "\n") : 0] = 0;
	err_set(e, -EADDRINUSE,
		"another tgtd%s%s%s uses the control socket %s: stop it, or choose "
		"another control port with -C",
		text[0] ? " (process " : "", text, text[0] ? ")" : "", path);
}

static int take_lock(const char *path, struct err *e)
{
	char name[CONTROL_PATH_MAX + 8];
	int fd;

	snprintf(name, sizeof(name), "%s.lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, -errno,
			       "cannot make the lock file %s: %s: run as root, or set "
			       "TGT_IPC_SOCKET to a path of your own",
			       name, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			say_holder(fd, path, e);
		else
			err_set(e, -errno, "cannot lock %s: %s", name, strerror(errno));
		close(fd);
		return e->code;
	}
	if (ftruncate(fd, 0) == 0)
		dprintf(fd, "%d\n", (int)getpid());
	return fd;
}

static int listen_at(const char *path, bool *stale, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, ret;
	mode_t old;

	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	*stale = !unlink(path); /* ours by the lock: a dead daemon's */
	old = umask(0177);
	ret = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (!ret && !listen(fd, BACKLOG))
		return fd;
	ret = err_set(e, -errno, "cannot listen at %s: %s", path, strerror(errno));
	close(fd);
	return ret;
}

int control_socket_open(struct control_socket *s, const char *path, struct err *e)
{
	struct err local;

	if (!e)
		e = &local;
	if (strlen(path) >= sizeof(s->path))
		return err_set(e, -ENAMETOOLONG, "the control socket's path %s is too long", path);
	snprintf(s->path, sizeof(s->path), "%s", path);
	make_folder(path);
	s->lock = take_lock(path, e);
	if (s->lock < 0)
		return s->lock;
	s->fd = listen_at(path, &s->stale, e);
	if (s->fd < 0) {
		close(s->lock);
		return s->fd;
	}
	return 0;
}

void control_socket_unlink(struct control_socket *s)
{
	unlink(s->path);
}

void control_socket_close(struct control_socket *s)
{
	/* The lock file stays: taking its name away would let two daemons lock two files. */
	close(s->fd);
	close(s->lock);
}
