/* SPDX-License-Identifier: BSD-2-Clause */
/* Which node it is, what it can carry, and what people are told if it cannot be had. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/err.h"
#include "store/sg.h"

#define MAX_IO_DEFAULT (512u << 10) /* where the kernel does not say */
#define MAX_IO_LIMIT (16u << 20)
#define SEGMENT (32u << 10) /* bytes of one element of the driver's list */
#define SG_BLKSECTGET 0x1267 /* of a generic node: bytes; glibc's scsi/sg.h lacks it */

/* ---- the system ----------------------------------------------------------------------- */

/* The driver is told by its class in sysfs: opening a node has effects with some drivers. */
static int real_interface(const char *path)
{
	char link[64], target[256];
	const char *base;
	struct stat st;
	ssize_t n;

	if (stat(path, &st))
		return -1;
	errno = ENOTTY;
	if (!S_ISCHR(st.st_mode))
		return -1;
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/subsystem", major(st.st_rdev),
		 minor(st.st_rdev));
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0) {
		errno = ENOTTY;
		return -1;
	}
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (!strcmp(base, "scsi_generic"))
		return SG_V3;
	if (!strcmp(base, "bsg"))
		return SG_V4;
	errno = ENOTTY;
	return -1;
}

static int real_open(const char *path)
{
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int real_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

const struct sg_sys sg_real_sys = {
	.interface = real_interface,
	.open = real_open,
	.close = close,
	.ioctl = real_ioctl,
	.write = write,
	.read = read,
};
const struct sg_sys *sg_sys = &sg_real_sys;

/* ---- open and close ------------------------------------------------------------------------------ */

static int no_node(const char *path, struct err *e)
{
	int err = errno;

	if (err == ENOTTY)
		return err_set(e, -EINVAL,
			       "%s is no generic node of a SCSI device: give its /dev/sgN or "
			       "/dev/bsg/H:C:T:L ('lsscsi -g' lists them)",
			       path);
	if (err == ENOENT)
		return err_set(e, -ENOENT,
			       "%s does not exist: look with 'lsscsi -g', and load the kernel "
			       "module sg",
			       path);
	return err_set(e, -err, "%s cannot be looked at: %s", path, strerror(err));
}

static int no_open(const char *path, struct err *e)
{
	int err = errno;

	if (err == EACCES || err == EPERM)
		return err_set(e, -err,
			       "%s may not be opened by this daemon: run it as root, or "
			       "give it the node (and CAP_SYS_RAWIO)",
			       path);
	if (err == EBUSY)
		return err_set(e, -err, "%s is in exclusive use by another program: end that", path);
	if (err == ENXIO || err == ENODEV)
		return err_set(e, -ENODEV, "there is no device behind %s any more", path);
	return err_set(e, -err, "%s cannot be opened: %s", path, strerror(err));
}

/* The most bytes of one command: what adapter and driver say, below what a command may hold here. */
static uint32_t find_max_io(const struct sg *g)
{
	int bytes = 0, segments = 0;
	uint64_t most = MAX_IO_DEFAULT;

	if (g->interface != SG_V3)
		return (uint32_t)most;
	if (!sg_sys->ioctl(g->fd, SG_BLKSECTGET, &bytes) && bytes > 0)
		most = (uint64_t)bytes;
	if (!sg_sys->ioctl(g->fd, SG_GET_SG_TABLESIZE, &segments) && segments > 0)
		most = min(most, (uint64_t)segments * SEGMENT);
	return (uint32_t)min(most, (uint64_t)MAX_IO_LIMIT);
}

static int set_limits(struct store *s, const struct sg *g, struct err *e)
{
	struct store_limits *l = store_limits_of(s);
	uint64_t max_io = find_max_io(g);
	int err = store_option_size(s, "max_io", &max_io, e);

	if (err)
		return err;
	if (max_io < 512 || max_io > MAX_IO_LIMIT)
		return err_set(e, -EINVAL, "option max_io=%llu of store sg: 512 to %u is possible",
			       (unsigned long long)max_io, MAX_IO_LIMIT);
	l->size = 0;
	l->block = 1;
	l->mem_align = 1; /* the kernel copies */
	l->max_io = (uint32_t)max_io;
	l->affinity = STORE_AFFINITY_HOME; /* one file, its answers in one place */
	l->cap[STORE_RAW] = STORE_CAP_NATIVE;
	l->cap[STORE_RESET] = g->interface == SG_V3 ? STORE_CAP_NATIVE : STORE_CAP_NO;
	l->cap[STORE_FLUSH] = STORE_CAP_EMULATE; /* nothing is kept here */
	return 0;
}

static int set_timeout(struct store *s, struct sg *g, struct err *e)
{
	uint64_t seconds = 0;
	int err = store_option_number(s, "timeout", &seconds, e);

	if (err)
		return err;
	if (store_option(s, "timeout") && (!seconds || seconds > SG_TIMEOUT_MAX_S))
		return err_set(e, -EINVAL,
			       "option timeout=%llu of store sg: 1 to %u seconds is "
			       "possible",
			       (unsigned long long)seconds, SG_TIMEOUT_MAX_S);
	g->timeout = seconds * 1000000000ull;
	return 0;
}

static int check_version(const struct sg *g, const char *path, struct err *e)
{
	int version = 0;

	if (sg_sys->ioctl(g->fd, SG_GET_VERSION_NUM, &version) || version < 30000)
		return err_set(e, -EOPNOTSUPP,
			       "%s does not speak the SG v3 interface (version %d): a kernel with "
			       "the sg driver 3.0 or newer is needed",
			       path, version);
	return 0;
}

int sg_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct sg *g = store_priv(s);
	int interface, err = set_timeout(s, g, e);

	if (err)
		return err;
	interface = sg_sys->interface(spec->path);
	if (interface < 0)
		return no_node(spec->path, e);
	g->interface = (enum sg_interface)interface;
	g->fd = sg_sys->open(spec->path);
	if (g->fd < 0)
		return no_open(spec->path, e);
	err = check_version(g, spec->path, e);
	if (!err)
		err = set_limits(s, g, e);
	if (err)
		sg_sys->close(g->fd);
	return err;
}
