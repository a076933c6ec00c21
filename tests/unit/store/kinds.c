/* SPDX-License-Identifier: BSD-2-Clause */
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "reactor/sim.h"
#include "store/registry.h"
#include "../temp.h"

char kind_path[256];

/* ---- a file, and a loop device over one ---- */

static bool file_make(struct rig *g, char path[256], const char **why)
{
	snprintf(path, 256, "%s", rig_file(g, "disk", KIND_SIZE));
	return true;
}

static const struct medium file_medium = { file_make };

static int loop_fd = -1;

/* A loop device over @path that goes away with its last user. */
static bool loop_attach(const char *file, char path[256], const char **why)
{
	struct loop_config c = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	*why = "no /dev/loop-control for this user";
	if (ctl < 0)
		return false;
	*why = "no free loop device";
	c.fd = (unsigned)open(file, O_RDWR | O_CLOEXEC);
	for (int tries = 0; tries < 100 && loop_fd < 0; tries++) {
		int n = ioctl(ctl, LOOP_CTL_GET_FREE);

		if (n < 0)
			break;
		snprintf(path, 256, "/dev/loop%d", n);
		loop_fd = open(path, O_RDWR | O_CLOEXEC);
		if (loop_fd >= 0 && ioctl(loop_fd, LOOP_CONFIGURE, &c)) {
			close(loop_fd);
			loop_fd = -1;
		}
	}
	close((int)c.fd);
	close(ctl);
	return loop_fd >= 0;
}

static bool loop_make(struct rig *g, char path[256], const char **why)
{
	char file[256];

	snprintf(file, sizeof(file), "%s", rig_file(g, "disk", KIND_SIZE));
	return loop_attach(file, path, why);
}

static void loop_remove(void)
{
	if (loop_fd >= 0)
		close(loop_fd);
	loop_fd = -1;
}

static const struct medium loop_medium = { loop_make, loop_remove };

/* ---- servers ---- */

static pid_t server;

/* Start a program that dies with this one. */
static pid_t start(char *const argv[])
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	execvp(argv[0], argv);
	_exit(127);
}

static bool answers(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	ok = !connect(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return ok;
}

static void server_end(void)
{
	if (server <= 0)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = 0;
}

/* nbdkit's memory, on a socket of its own. */
static bool nbd_make(struct rig *g, char path[256], const char **why)
{
	char size[32];
	char *const argv[] = { "nbdkit", "-f", "-U", path, "memory", size, NULL };

	snprintf(path, 256, "%s/nbd", g->dir);
	snprintf(size, sizeof(size), "%zu", KIND_SIZE);
	server = start(argv);
	*why = "nbdkit does not run here: install the package nbdkit";
	while (server > 0 && !answers(path)) {
		if (waitpid(server, NULL, WNOHANG)) {
			server = 0;
			return false;
		}
		usleep(1000);
	}
	return server > 0;
}

static const struct medium nbd_medium = { nbd_make, server_end };

static bool qcow2_make(struct rig *g, char path[256], const char **why)
{
	char size[32];
	char *const argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL };
	int status = 1;
	pid_t pid;

	snprintf(path, 256, "%s/disk.qcow2", g->dir);
	snprintf(size, sizeof(size), "%zu", KIND_SIZE);
	*why = "qemu-img does not run here: install the package qemu-utils";
	pid = start(argv);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static const struct medium qcow2_medium = { qcow2_make };

/* An image of KIND_SIZE bytes that somebody made: a cluster is not started for this. */
static bool rbd_make(struct rig *g, char path[256], const char **why)
{
	const char *image = getenv("STGT_TEST_RBD");

	*why = "STGT_TEST_RBD does not name a scratch image of 4M, as pool/image, nor CEPH_CONF "
	       "its cluster";
	snprintf(path, 256, "%s", image ? image : "");
	return image && getenv("CEPH_CONF");
}

static const struct medium rbd_medium = { rbd_make };

/* ---- the simulated host ---- */

static struct sim_file *sim_files[2]; /* before the cut and after it */

static bool sim_make(struct rig *g, char path[256], const char **why)
{
	sim_files[0] = sim_file_create(KIND_SIZE);
	snprintf(path, 256, "%p", (void *)sim_files[0]);
	return true;
}

static void sim_remove(void)
{
	for (unsigned i = 0; i < array_size(sim_files); i++)
		if (sim_files[i])
			sim_file_free(sim_files[i]);
	memset(sim_files, 0, sizeof(sim_files));
}

static void sim_cut(char path[256])
{
	sim_files[1] = sim_file_cut(sim_files[0]);
	snprintf(path, 256, "%p", (void *)sim_files[1]);
}

static const struct medium sim_medium = { sim_make, sim_remove, sim_cut };

/* ---- the rows ---- */

#define OPTS "size=4M"
#define N_FILE (N_BASIC | HAS(FLUSH) | HAS(DISCARD) | HAS(ZERO) | HAS(EXTENTS))
#define N_MEM (N_BASIC | HAS(FLUSH) | HAS(DISCARD) | HAS(ZERO) | HAS(EXTENTS))
#define N_VOLATILE (N_BASIC | HAS(FLUSH) | HAS(DISCARD) | HAS(EXTENTS))

#define ON_FILE(called, stack, more, has) \
	{ \
		called "-file", stack "+file", NULL, NULL, &file_medium, \
			KEEPS | STAYS | HOLES | (more), has \
	}
#define ON_MEM(called, stack, more, has) \
	{ \
		called "-mem", stack "+mem", OPTS, NULL, NULL, KEEPS | HOLES | (more), has \
	}
#define ON_SIM(called, stack, more) \
	{ \
		called "-sim", stack "+sim", NULL, NULL, &sim_medium, KEEPS | STAYS | (more), \
			N_BASIC | HAS(FLUSH) \
	}
#define LAYER(called, stack, more) \
	ON_FILE(called, stack, more, N_FILE), ON_MEM(called, stack, more, N_MEM), \
		ON_SIM(called, stack, more)

#define FOUR "limit:iops=1000000,burst=100+delay:delay_us=20+stats+error:rate=1000000,after=1000000"

static const struct kind kinds[] = {
	{ "file", "file", NULL, NULL, &file_medium, KEEPS | STAYS | HOLES, N_FILE },
	{ "direct", "aio", NULL, NULL, &file_medium, KEEPS | STAYS | HOLES, N_FILE },
	{ "sync", "file", NULL, "sync", &file_medium, KEEPS | STAYS | HOLES, N_FILE },
	{ "dsync", "file", NULL, "dsync", &file_medium, KEEPS | STAYS | HOLES, N_FILE },
	{ "loop", "file", NULL, NULL, &loop_medium, KEEPS | STAYS, N_BASIC | HAS(FLUSH) },
	{ "mem", "mem", OPTS, NULL, NULL, KEEPS | HOLES, N_MEM },
	{ "null", "null", OPTS, NULL, NULL, 0, N_MEM },
	{ "nullhome", "nullhome", OPTS, NULL, NULL, AWAY, N_MEM },
	{ "mmap", "mmap", NULL, NULL, &file_medium, KEEPS | STAYS | HOLES, N_BASIC | HAS(FLUSH) },
	{ "nbd", "nbd", NULL, NULL, &nbd_medium, KEEPS | STAYS | HOLES, N_BASIC | HAS(FLUSH) },
	{ "qemu", "qemu", NULL, NULL, &qcow2_medium, KEEPS | STAYS | HOLES, N_BASIC | HAS(FLUSH) },
	{ "rbd", "rbd", NULL, NULL, &rbd_medium, KEEPS | STAYS, N_BASIC | HAS(FLUSH) },
	{ "sim", "sim", NULL, NULL, &sim_medium, KEEPS | STAYS, N_BASIC | HAS(FLUSH) },
	{ "lines", "lines", OPTS, NULL, NULL, STAYS | READS, HAS(READ) },
	{ "readonly-file", "readonly+file", NULL, NULL, &file_medium, STAYS | READS, HAS(READ) },
	{ "readonly-mem", "readonly+mem", OPTS, NULL, NULL, READS, HAS(READ) },
	{ "readonly-sim", "readonly+sim", NULL, NULL, &sim_medium, STAYS | READS, HAS(READ) },
	LAYER("limit", "limit:iops=1000000,bandwidth=100G,burst=100", 0),
	LAYER("delay", "delay:delay_us=50", 0),
	LAYER("error", "error:after=1000000", 0),
	LAYER("stats", "stats", 0),
	LAYER("four", FOUR, TALL),
	ON_FILE("volatile", "volatile:memory=512K", FORGETS, N_VOLATILE),
	ON_MEM("volatile", "volatile:memory=512K", FORGETS, N_VOLATILE),
	ON_SIM("volatile", "volatile:memory=512K", FORGETS),
	ON_MEM("volatileaway", "volatile:memory=512K", FORGETS | AWAY, N_VOLATILE),
};

const struct kind *kind_find(const char *name)
{
	for (unsigned i = 0; i < array_size(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* On the simulated host: no real descriptors, no other processes. */
static bool is_simulated(const struct kind *k)
{
	return !k->medium || k->medium == &sim_medium;
}

bool kind_works(const struct kind *k, const struct engine *engine, const char **why)
{
	static struct err e;
	struct rig g = { 0 };
	bool path, ok;

	*why = engine == &engine_sim ? "this kind has no place on the simulated host"
				     : "this kind lives on the simulated host only";
	if (engine == &engine_sim ? !is_simulated(k) : k->medium == &sim_medium)
		return false;
	*why = e.text;
	if (store_type_check(k->type, &path, &e))
		return false;
	if (!k->medium || k->medium == &sim_medium)
		return true;
	assert_non_null(mkdtemp(temp_path(g.dir, "kind")));
	ok = k->medium->make(&g, kind_path, why);
	kind_remove(k);
	rig_remove(&g);
	return ok;
}

struct store_spec kind_spec(const struct kind *k, struct rig *g)
{
	const char *why;

	kind_path[0] = 0;
	if (k->medium && !k->medium->make(g, kind_path, &why))
		fail_msg("%s", why);
	return (struct store_spec){ .type = k->type,
				    .path = k->medium ? kind_path : NULL,
				    .opts = k->opts,
				    .oflags = k->oflags,
				    .block_size = KIND_BLOCK };
}

void kind_remove(const struct kind *k)
{
	if (k->medium && k->medium->remove)
		k->medium->remove();
}
