/* SPDX-License-Identifier: BSD-2-Clause */
/* A regular file or a block device. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "stgt/store.h"
#include "store/builtin.h"

#define DIRECT_ALIGN 4096 /* where the kernel cannot say */

struct file {
	struct store_fd fd;
};

/* ---- flags ---- */

static const char *const flag_names[] = { "sync", "direct", "dsync", NULL };
static const int flag_bits[] = { O_SYNC, O_DIRECT, O_DSYNC };

static int flag_add(const char *word, size_t len, int *flags, struct err *e)
{
	char name[32];
	const char *near;

	for (unsigned i = 0; flag_names[i]; i++) {
		if (strlen(flag_names[i]) == len && !memcmp(flag_names[i], word, len)) {
			*flags |= flag_bits[i];
			return 0;
		}
	}
	snprintf(name, sizeof(name), "%.*s", (int)(len < 31 ? len : 31), word);
	near = store_suggest(name, flag_names);
	if (near)
		return err_set(e, -EINVAL, "unknown open flag '%s': did you mean '%s'?", name, near);
	return err_set(e, -EINVAL,
		       "unknown open flag '%s': use sync, direct and dsync, joined "
		       "by ':'",
		       name);
}

static int parse_flags(const char *text, int *flags, struct err *e)
{
	size_t len;
	int err;

	for (; text && *text; text += len) {
		text += strspn(text, ":");
		len = strcspn(text, ":");
		err = len ? flag_add(text, len, flags, e) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* ---- opening ---- */

static int open_refused(const char *path, int err, bool readonly, bool direct, struct err *e)
{
	switch (err) {
	case -ENOENT:
		return err_set(e, err,
			       "cannot open %s: there is no such file; create it, for "
			       "example with truncate -s 10G %s",
			       path, path);
	case -EACCES:
	case -EPERM:
		return err_set(e, err,
			       "cannot open %s: user %u may not %s it; change its mode or "
			       "owner%s",
			       path, geteuid(), readonly ? "read" : "read and write",
			       readonly ? "" : ", or make the unit read-only");
	case -EROFS:
		return err_set(e, err,
			       "cannot open %s: its file system is mounted read-only; make "
			       "the unit read-only",
			       path);
	case -EBUSY:
		return err_set(e, err,
			       "cannot open %s: the device is mounted or part of another "
			       "device; release it there first",
			       path);
	case -EINVAL:
		if (direct)
			return err_set(e, err,
				       "cannot open %s: its file system cannot do direct "
				       "I/O; leave out the flag direct",
				       path);
		/* fallthrough */
	default:
		return err_set(e, err, "cannot open %s: %s", path, strerror(-err));
	}
}

static int check_kind(const char *path, mode_t mode, struct err *e)
{
	const char *kind = S_ISDIR(mode)    ? "directory"
			   : S_ISCHR(mode)  ? "character device"
			   : S_ISFIFO(mode) ? "pipe"
					    : "socket";

	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	return err_set(e, S_ISDIR(mode) ? -EISDIR : -EINVAL,
		       "cannot open %s: it is a %s; name a "
		       "regular file or a block device",
		       path, kind);
}

static int file_open_fd(const struct store_spec *spec, int flags, struct stat *st, struct err *e)
{
	int mode = spec->readonly ? O_RDONLY : O_RDWR;
	int fd, err;

	/* the kind is looked at first: opening a pipe would wait */
	if (stat(spec->path, st))
		return open_refused(spec->path, -errno, spec->readonly, false, e);
	err = check_kind(spec->path, st->st_mode, e);
	if (err)
		return err;
	if (S_ISBLK(st->st_mode) && !spec->readonly)
		mode |= O_EXCL;
	fd = open(spec->path, mode | flags | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return open_refused(spec->path, -errno, spec->readonly, flags & O_DIRECT, e);
	err = fstat(fd, st) ? err_set(e, -errno, "cannot stat %s: %s", spec->path, strerror(errno))
			    : check_kind(spec->path, st->st_mode, e);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int lock_refused(int fd, const char *path, short type, struct err *e)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };
	char who[32] = "";

	/* a lock of an open file, as ours and qemu's are, has no owner that could be told */
	if (!fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK && l.l_pid > 0)
		snprintf(who, sizeof(who), " (pid %d)", (int)l.l_pid);
	return err_set(e, -EBUSY,
		       "%s is in use by another unit or another process%s; end that use "
		       "first, or share it read-only from both",
		       path, who);
}

static int file_lock(int fd, const struct store_spec *spec, struct err *e)
{
	short type = spec->readonly ? F_RDLCK : F_WRLCK;
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &l))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return lock_refused(fd, spec->path, type, e);
	if (errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP)
		return 0; /* a file system without locks cannot protect */
	return err_set(e, -errno,
		       "cannot lock %s against double use: %s; see to the lock service "
		       "of its file system",
		       spec->path, strerror(errno));
}

/* ---- what it is ---- */

static uint64_t queue_attr(dev_t dev, const char *name)
{
	/* a partition's queue is its disk's */
	static const char *const form[] = { "/sys/dev/block/%u:%u/queue/%s",
					    "/sys/dev/block/%u:%u/../queue/%s" };
	uint64_t v = 0;
	char path[128], text[32];

	for (unsigned i = 0; i < 2; i++) {
		FILE *f;

		snprintf(path, sizeof(path), form[i], major(dev), minor(dev), name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f))
			v = strtoull(text, NULL, 10);
		fclose(f);
		break;
	}
	return v;
}

static uint32_t attr32(dev_t dev, const char *name)
{
	uint64_t v = queue_attr(dev, name);

	return v > UINT32_MAX ? 0 : (uint32_t)v;
}

static int device_limits(int fd, const struct store_spec *spec, const struct stat *st,
			 struct store_limits *l, struct err *e)
{
	unsigned physical = 0;
	int logical = 0, ro = 0;

	if (ioctl(fd, BLKGETSIZE64, &l->size) || ioctl(fd, BLKSSZGET, &logical) ||
	    ioctl(fd, BLKPBSZGET, &physical) || ioctl(fd, BLKROGET, &ro))
		return err_set(e, -errno, "cannot ask %s for its size: %s", spec->path,
			       strerror(errno));
	if (ro && !spec->readonly)
		return err_set(e, -EROFS, "%s is a read-only device; make the unit read-only",
			       spec->path);
	if (!l->size)
		return err_set(e, -ENOMEDIUM,
			       "%s has no medium or no size; insert one or name "
			       "another device",
			       spec->path);
	l->block = (uint32_t)logical;
	l->physical = physical;
	l->rotational = queue_attr(st->st_rdev, "rotational") != 0;
	l->optimal_io = attr32(st->st_rdev, "optimal_io_size");
	l->max_discard = queue_attr(st->st_rdev, "discard_max_bytes");
	l->discard_granularity = attr32(st->st_rdev, "discard_granularity");
	return 0;
}

static int file_limits(const struct store_spec *spec, const struct stat *st, struct store_limits *l,
		       struct err *e)
{
	l->size = (uint64_t)st->st_size;
	l->block = 1;
	l->physical =
		st->st_blksize >= 512 && st->st_blksize <= 4096 ? (uint32_t)st->st_blksize : 4096;
	l->discard_granularity = l->physical;
	if (!l->size)
		return err_set(e, -EINVAL,
			       "%s is empty; give it a size, for example with truncate "
			       "-s 10G %s",
			       spec->path, spec->path);
	return 0;
}

static int check_size(const struct store_spec *spec, const struct store_limits *l, struct err *e)
{
	uint64_t block = spec->block_size;

	if (l->size % block == 0)
		return 0;
	return err_set(e, -EINVAL,
		       "the size of %s, %" PRIu64 " bytes, is not a multiple of the "
		       "block size %" PRIu64 "; make it one, for example with truncate -s %" PRIu64
		       " %s, or use another block size",
		       spec->path, l->size, block, (l->size / block + 1) * block, spec->path);
}

/* What direct I/O asks of memory and offsets. */
static int direct_limits(int fd, const struct store_spec *spec, bool blockdev,
			 struct store_limits *l, struct err *e)
{
	uint32_t off = blockdev ? l->block : DIRECT_ALIGN, mem = off;
	struct statx sx;

#ifdef STATX_DIOALIGN
	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) && sx.stx_mask & STATX_DIOALIGN) {
		mem = sx.stx_dio_mem_align;
		off = sx.stx_dio_offset_align;
	}
#endif
	if (!mem || !off)
		return err_set(e, -EOPNOTSUPP, "%s cannot do direct I/O; leave out the flag direct",
			       spec->path);
	if (off > spec->block_size)
		return err_set(e, -EINVAL,
			       "direct I/O on %s needs blocks of %u bytes at least, the "
			       "unit has %u; use block size %u or leave out the flag direct",
			       spec->path, off, spec->block_size, off);
	l->mem_align = mem;
	l->block = off;
	return 0;
}

static int check_block(const struct store_spec *spec, const struct store_limits *l, struct err *e)
{
	if (l->block <= spec->block_size)
		return 0;
	return err_set(e, -EINVAL, "%s has blocks of %u bytes, the unit %u; use block size %u",
		       spec->path, l->block, spec->block_size, l->block);
}

static void set_caps(const struct file *f, struct store_limits *l)
{
	bool discard = f->fd.blockdev ? l->max_discard != 0 : f->fd.punch;

	l->fua = true;
	l->cap[STORE_READ] = STORE_CAP_NATIVE;
	l->cap[STORE_WRITE] = STORE_CAP_NATIVE;
	l->cap[STORE_FLUSH] = STORE_CAP_NATIVE;
	l->cap[STORE_ZERO] = STORE_CAP_NATIVE;
	l->cap[STORE_DISCARD] = discard && !l->readonly ? STORE_CAP_NATIVE : STORE_CAP_NO;
	l->cap[STORE_EXTENTS] = f->fd.seek ? STORE_CAP_NATIVE : STORE_CAP_EMULATE;
}

static int find_limits(struct store *s, const struct store_spec *spec, const struct stat *st,
		       struct err *e)
{
	struct store_limits *l = store_limits_of(s);
	struct file *f = store_priv(s);
	int err;

	l->readonly = spec->readonly;
	err = f->fd.blockdev ? device_limits(f->fd.fd, spec, st, l, e) : file_limits(spec, st, l, e);
	if (!err)
		err = check_size(spec, l, e);
	if (!err)
		err = check_block(spec, l, e);
	if (!err && f->fd.direct)
		err = direct_limits(f->fd.fd, spec, f->fd.blockdev, l, e);
	return err;
}

static int file_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct file *f = store_priv(s);
	int flags = strcmp(spec->type, "aio") ? 0 : O_DIRECT;
	struct stat st;
	int err;

	err = parse_flags(spec->oflags, &flags, e);
	if (err)
		return err;
	f->fd.fd = file_open_fd(spec, flags, &st, e);
	if (f->fd.fd < 0)
		return f->fd.fd;
	f->fd.direct = flags & O_DIRECT;
	f->fd.sync = flags & (O_SYNC | O_DSYNC);
	f->fd.blockdev = S_ISBLK(st.st_mode);
	err = file_lock(f->fd.fd, spec, e);
	if (!err)
		err = find_limits(s, spec, &st, e);
	if (err) {
		close(f->fd.fd);
		return err;
	}
	store_fd_probe(&f->fd);
	set_caps(f, store_limits_of(s));
	return 0;
}

static void file_close(struct store *s)
{
	struct file *f = store_priv(s);

	close(f->fd.fd);
}

static void file_submit(struct store_channel *ch, struct store_io *io)
{
	struct file *f = store_priv(channel_store(ch));

	store_fd_submit(ch, io, &f->fd);
}

#define FILE_STORE(called, about) \
	{ \
		.api = STORE_API, .name = called, .summary = about, .needs_path = true, \
		.store_size = sizeof(struct file), .open = file_open, .close = file_close, \
		.submit = file_submit, \
	}

const struct store_ops file_store = FILE_STORE("file", "file or block device");
const struct store_ops rdwr_store = FILE_STORE("rdwr", "file or block device, as tgt calls it");
const struct store_ops aio_store = FILE_STORE("aio", "file or block device, direct I/O");
