/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A qemu-nbd of our own for one image.
 *
 * It is given a listening socket whose name is gone before it starts: nobody else can
 * reach it, and nothing is left behind, however we end. It ends with its last client, hence
 * also when we are killed. In case that we are killed before the first client is there, it is also
 * sent SIGTERM when the thread that started it ends, which is why that thread stays:
 * it listens to what the server says, and reaps it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/nbd/nbd.h"

#define PROGRAM "qemu-nbd"
#define STACK (256 << 10)
#define CHILD_STACK (64 << 10)
#define ARGS_MAX 16
#define OPTS_MAX 9000 /* a path of 4096 bytes with each comma doubled, and the rest */
#define BACKLOG 64
/* The descriptor that socket activation begins with. */
#define LISTEN_FD 3

/* The thread sanitizer takes every clone for a fork, which a child in our memory is not. */
#if defined(__SANITIZE_THREAD__)
#define CHILD_FLAGS SIGCHLD
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILD_FLAGS SIGCHLD
#endif
#endif
#ifndef CHILD_FLAGS
#define CHILD_FLAGS (CLONE_VM | CLONE_VFORK | SIGCHLD)
#endif

struct server {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change; /* waits on CLOCK_MONOTONIC */
	bool started, dead; /* under the lock */
	int err; /* of starting */
	int status; /* of wait */
	pid_t pid; /* not reaped while !dead */
	char said[TEXT_MAX]; /* the end of what it wrote to stderr */
	int listen_fd, socket_fd, stderr_fd; /* socket_fd: O_PATH, of the socket without a name */
	char socket[40];
	char program[256];
	char opts[OPTS_MAX], secret[OPTS_MAX], cache[40];
	const char *argv[ARGS_MAX];
	const char *envp[6];
	char listen_pid[32];
	char *stack;
};

/* ---- its command line ---- */

/* QEMU's option values: a comma is doubled. */
static int append_value(char *to, size_t room, const char *key, const char *value)
{
	size_t n = strlen(to);
	int len = snprintf(to + n, room - n, "%s%s=", n ? "," : "", key);

	n += len > 0 ? (size_t)len : 0;
	for (; *value && n + 3 < room; value++) {
		to[n++] = *value;
		if (*value == ',')
			to[n++] = ',';
	}
	if (n >= room)
		return -ENAMETOOLONG;
	to[n] = 0;
	return *value ? -ENAMETOOLONG : 0;
}

static int image_options(struct server *sv, const struct config *c)
{
	struct stat st;
	bool block = !stat(c->path, &st) && S_ISBLK(st.st_mode);
	int err = append_value(sv->opts, OPTS_MAX, "driver", c->format);

	if (!err && c->key_file)
		err = append_value(sv->opts, OPTS_MAX,
				   strcmp(c->format, "luks") != 0 ? "encrypt.key-secret"
								  : "key-secret",
				   "key");
	/* the driver is named, so that nothing in the path is taken for a protocol */
	if (!err)
		err = append_value(sv->opts, OPTS_MAX, "file.driver",
				   block ? "host_device" : "file");
	if (!err)
		err = append_value(sv->opts, OPTS_MAX, "file.filename", c->path);
	if (!err && c->key_file) {
		snprintf(sv->secret, OPTS_MAX, "secret,id=key");
		err = append_value(sv->secret, OPTS_MAX, "file", c->key_file);
	}
	return err;
}

static int command_line(struct server *sv, const struct config *c)
{
	unsigned n = 0;
	int err = image_options(sv, c);

	snprintf(sv->cache, sizeof(sv->cache), "--cache=%.20s", c->cache ? c->cache : "writeback");
	sv->argv[n++] = sv->program;
	sv->argv[n++] = "--shared=64";
	sv->argv[n++] = "--discard=unmap";
	sv->argv[n++] = sv->cache;
	if (c->readonly)
		sv->argv[n++] = "--read-only";
	if (c->snapshot)
		sv->argv[n++] = "--snapshot";
	if (c->key_file) {
		sv->argv[n++] = "--object";
		sv->argv[n++] = sv->secret;
	}
	sv->argv[n++] = "--image-opts";
	sv->argv[n++] = sv->opts;
	sv->argv[n] = NULL;
	n = 0;
	sv->envp[n++] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	sv->envp[n++] = "LC_ALL=C";
	sv->envp[n++] = "LISTEN_FDS=1";
	sv->envp[n++] = sv->listen_pid;
	sv->envp[n] = NULL;
	return err;
}

static bool find_program(char to[256])
{
	const char *path = getenv("PATH");

	if (!path || !*path)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (*path) {
		size_t len = strcspn(path, ":");

		if (len && *path == '/' &&
		    snprintf(to, 256, "%.*s/" PROGRAM, (int)len, path) < 256 && !access(to, X_OK))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/* ---- its socket ---- */

static int bind_in(struct server *sv, const char *dir)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int err = 0;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", dir);
	if (bind(sv->listen_fd, (struct sockaddr *)&a, sizeof(a)) || listen(sv->listen_fd, BACKLOG))
		err = -errno;
	if (!err) {
		sv->socket_fd = open(a.sun_path, O_PATH | O_CLOEXEC);
		if (sv->socket_fd < 0)
			err = -errno;
	}
	unlink(a.sun_path);
	return err;
}

/* A socket that is reached through our descriptor only. */
static int make_socket(struct server *sv)
{
	char run[] = "/run/tgtd-qemu-XXXXXX", tmp[] = "/tmp/tgtd-qemu-XXXXXX";
	const char *dir = mkdtemp(run);
	int err;

	if (!dir)
		dir = mkdtemp(tmp);
	if (!dir)
		return -errno;
	sv->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	err = sv->listen_fd < 0 ? -errno : bind_in(sv, dir);
	rmdir(dir);
	snprintf(sv->socket, sizeof(sv->socket), "/proc/self/fd/%d", sv->socket_fd);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- its process ---- */

struct birth {
	struct server *sv;
	int null_fd, stderr_fd; /* the child's */
	pid_t parent;
	int err; /* set by the child, whose memory is ours */
};

/* It has our memory and its own stack until it has become another program: system calls only. */
static int child(void *arg)
{
	struct birth *b = arg;
	struct server *sv = b->sv;
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	snprintf(sv->listen_pid, sizeof(sv->listen_pid), "LISTEN_PID=%ld", (long)getpid());
	/* above the numbers that are given out here, so that none is overwritten before it is copied */
	int listener = fcntl(sv->listen_fd, F_DUPFD, 10), out = fcntl(b->stderr_fd, F_DUPFD, 10);
	int nothing = fcntl(b->null_fd, F_DUPFD, 10);

	if (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != b->parent || listener < 0 || out < 0 ||
	    nothing < 0 || dup2(nothing, 0) < 0 || dup2(nothing, 1) < 0 || dup2(out, 2) < 0 ||
	    dup2(listener, LISTEN_FD) < 0 || syscall(SYS_close_range, LISTEN_FD + 1, ~0u, 0)) {
		b->err = errno ? errno : ESRCH;
		return 127;
	}
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(sv->program, (char *const *)sv->argv, (char *const *)sv->envp);
	b->err = errno;
	return 127;
}

/* As posix_spawn() does it: a copy of a large daemon's page tables would take its time. */
static int give_birth(struct server *sv)
{
	int fds[2] = { -1, -1 };
	struct birth b = { .sv = sv, .parent = getpid() };

	b.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (b.null_fd < 0 || pipe2(fds, O_CLOEXEC)) {
		close_fd(&b.null_fd);
		return -errno;
	}
	sv->stderr_fd = fds[0];
	b.stderr_fd = fds[1];
	sv->pid = clone(child, sv->stack + CHILD_STACK, CHILD_FLAGS, &b);
	if (sv->pid < 0)
		b.err = errno;
	else if (b.err)
		waitpid(sv->pid, NULL, 0);
	close_fd(&b.null_fd);
	close_fd(&fds[1]);
	return -b.err;
}

/* Keep the end of what it says. */
static void listen_to(struct server *sv)
{
	char now[256];
	ssize_t n;

	while ((n = read(sv->stderr_fd, now, sizeof(now))) > 0 || (n < 0 && errno == EINTR)) {
		size_t add = n > 0 ? (size_t)n : 0, have, drop;

		pthread_mutex_lock(&sv->lock);
		have = strlen(sv->said);
		drop = have + add < TEXT_MAX ? 0 : have + add - (TEXT_MAX - 1);
		memmove(sv->said, sv->said + drop, have - drop);
		memcpy(sv->said + have - drop, now, add);
		sv->said[have - drop + add] = 0;
		pthread_mutex_unlock(&sv->lock);
	}
}

static void *server_thread(void *arg)
{
	struct server *sv = arg;
	siginfo_t info;

	pthread_setname_np(pthread_self(), "stgt-qemu-nbd");
	sv->err = give_birth(sv);
	pthread_mutex_lock(&sv->lock);
	sv->started = true;
	sv->dead = sv->err != 0;
	pthread_cond_broadcast(&sv->change);
	pthread_mutex_unlock(&sv->lock);
	if (sv->err)
		return NULL;
	listen_to(sv);
	/* it is reaped under the lock: whoever holds that may send a signal to the pid */
	while (waitid(P_PID, (id_t)sv->pid, &info, WEXITED | WNOWAIT) && errno == EINTR)
		;
	pthread_mutex_lock(&sv->lock);
	if (waitpid(sv->pid, &sv->status, 0) != sv->pid)
		sv->status = -1;
	sv->dead = true;
	pthread_cond_broadcast(&sv->change);
	pthread_mutex_unlock(&sv->lock);
	return NULL;
}

/* ---- for others ---- */

static int start_thread(struct server *sv)
{
	pthread_attr_t attr;
	pthread_condattr_t mono;
	sigset_t all, old;
	int rc;

	pthread_mutex_init(&sv->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&sv->change, &mono);
	pthread_condattr_destroy(&mono);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&sv->thread, &attr, server_thread, sv);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc)
		return -rc;
	pthread_mutex_lock(&sv->lock);
	while (!sv->started)
		pthread_cond_wait(&sv->change, &sv->lock);
	pthread_mutex_unlock(&sv->lock);
	if (sv->err)
		pthread_join(sv->thread, NULL);
	return sv->err;
}

static void server_free(struct server *sv)
{
	close_fd(&sv->listen_fd);
	close_fd(&sv->socket_fd);
	close_fd(&sv->stderr_fd);
	free(sv->stack);
	free(sv);
}

struct server *server_start(const struct config *c, struct err *e)
{
	struct server *sv = calloc(1, sizeof(*sv));
	int err;

	if (sv) {
		sv->listen_fd = sv->socket_fd = sv->stderr_fd = -1;
		sv->stack = aligned_alloc(64, CHILD_STACK);
	}
	if (!sv || !sv->stack) {
		free(sv);
		store_err(e, -ENOMEM, "no memory for a server of image %.200s", c->path);
		return NULL;
	}
	if (!find_program(sv->program)) {
		store_err(e, -ENOENT, PROGRAM " is not there: install the package qemu-utils");
		server_free(sv);
		return NULL;
	}
	err = command_line(sv, c);
	if (!err)
		err = make_socket(sv);
	if (!err)
		err = start_thread(sv);
	close_fd(&sv->listen_fd); /* it is the server's alone: when that ends, nobody listens */
	if (err) {
		store_err(e, err, "cannot start %s for image %.200s: %s", sv->program, c->path,
			  strerror(-err));
		server_free(sv);
		return NULL;
	}
	return sv;
}

const char *server_socket(const struct server *sv)
{
	return sv->socket;
}

void server_said(struct server *sv, char text[TEXT_MAX])
{
	const char *at, *next;
	size_t n;

	/* its last message, which may have several lines, without the program's name */
	pthread_mutex_lock(&sv->lock);
	at = sv->said;
	while ((next = strstr(at, PROGRAM ": ")))
		at = next + sizeof(PROGRAM ": ") - 1;
	n = strlen(at);
	while (n && at[n - 1] == '\n')
		n--;
	snprintf(text, TEXT_MAX, "%.*s", (int)n, at);
	pthread_mutex_unlock(&sv->lock);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

/* Wait until it is dead; false: it is not yet. The lock is held. */
static bool wait_dead(struct server *sv, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!sv->dead)
		if (pthread_cond_timedwait(&sv->change, &sv->lock, &until) == ETIMEDOUT)
			break;
	return sv->dead;
}

bool server_dead(struct server *sv, unsigned ms)
{
	bool dead;

	pthread_mutex_lock(&sv->lock);
	dead = wait_dead(sv, ms);
	pthread_mutex_unlock(&sv->lock);
	return dead;
}

bool server_end(struct server *sv, unsigned ms)
{
	bool well;

	pthread_mutex_lock(&sv->lock);
	if (!wait_dead(sv, ms)) {
		kill(sv->pid, SIGTERM);
		if (!wait_dead(sv, ms))
			kill(sv->pid, SIGKILL);
	}
	pthread_mutex_unlock(&sv->lock);
	pthread_join(sv->thread, NULL);
	well = sv->status != -1 && WIFEXITED(sv->status) && !WEXITSTATUS(sv->status);
	pthread_mutex_destroy(&sv->lock);
	pthread_cond_destroy(&sv->change);
	server_free(sv);
	return well;
}
