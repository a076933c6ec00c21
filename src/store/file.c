/* SPDX-License-Identifier: BSD-2-Clause */
/* A regular file or a block device. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/builtin.h"
#include "store/file.h"

#define DIRECT_ALIGN 4096 /* where the kernel cannot say */

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
		return store_err(e, -EINVAL, "unknown open flag '%s': did you mean '%s'?", name,
				 near);
	return store_err(e, -EINVAL,
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

static int busy(const char *path, const struct stat *st, int pid, struct err *e)
{
	char who[300];

	file_who(st, pid, who, sizeof(who));
	return store_err(e, -EBUSY, "%s is in use%s", path, who);
}

static int open_refused(const char *path, int err, bool readonly, bool direct, struct err *e)
{
	switch (err) {
	case -ENOENT:
		return store_err(e, err,
				 "cannot open %s: there is no such file; create it, for "
				 "example with truncate -s 10G %s",
				 path, path);
	case -EACCES:
	case -EPERM:
		return store_err(e, err,
				 "cannot open %s: user %u may not %s it; change its mode or "
				 "owner%s",
				 path, geteuid(), readonly ? "read" : "read and write",
				 readonly ? "" : ", or make the unit read-only");
	case -EROFS:
		return store_err(e, err,
				 "cannot open %s: its file system is mounted read-only; make "
				 "the unit read-only",
				 path);
	case -EINVAL:
		if (direct)
			return store_err(e, err,
					 "cannot open %s: its file system cannot do direct "
					 "I/O; leave out the flag direct",
					 path);
		/* fallthrough */
	default:
		return store_err(e, err, "cannot open %s: %s", path, strerror(-err));
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
	return store_err(e, S_ISDIR(mode) ? -EISDIR : -EINVAL,
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
	if (fd < 0 && errno == EBUSY)
		return busy(spec->path, st, 0, e);
	if (fd < 0)
		return open_refused(spec->path, -errno, spec->readonly, flags & O_DIRECT, e);
	err = fstat(fd, st)
		      ? store_err(e, -errno, "cannot stat %s: %s", spec->path, strerror(errno))
		      : check_kind(spec->path, st->st_mode, e);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* A lock of an open file, as ours and qemu's are, has no owner that the kernel could tell. */
static int locked_by(int fd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &l) || l.l_type == F_UNLCK || l.l_pid <= 0)
		return 0;
	return (int)l.l_pid;
}

static int file_lock(int fd, const struct store_spec *spec, const struct stat *st, struct err *e)
{
	short type = spec->readonly ? F_RDLCK : F_WRLCK;
	struct flock l = { .l_type = type, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &l))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return busy(spec->path, st, locked_by(fd, type), e);
	if (errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP)
		return 0; /* a file system without locks cannot protect */
	return store_err(e, -errno,
			 "cannot lock %s against double use: %s; see to the lock service "
			 "of its file system",
			 spec->path, strerror(errno));
}

/* ---- what it is ---- */

static int file_limits(const struct store_spec *spec, const struct stat *st, struct store_limits *l,
		       struct err *e)
{
	l->size = (uint64_t)st->st_size;
	l->block = 1;
	l->physical =
		st->st_blksize >= 512 && st->st_blksize <= 4096 ? (uint32_t)st->st_blksize : 4096;
	l->discard_granularity = l->physical;
	if (!l->size)
		return store_err(e, -EINVAL,
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
	return store_err(e, -EINVAL,
			 "the size of %s, %" PRIu64 " bytes, is not a multiple of the "
			 "block size %" PRIu64
			 "; make it one, for example with truncate -s %" PRIu64
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
		return store_err(e, -EOPNOTSUPP,
				 "%s cannot do direct I/O; leave out the flag direct", spec->path);
	if (off > spec->block_size)
		return store_err(e, -EINVAL,
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
	return store_err(e, -EINVAL, "%s has blocks of %u bytes, the unit %u; use block size %u",
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
	l->cap[STORE_COPY] = l->readonly || f->fd.blockdev ? STORE_CAP_NO : STORE_CAP_NATIVE;
}

static int find_limits(struct store *s, const struct store_spec *spec, const struct stat *st,
		       struct err *e)
{
	struct store_limits *l = store_limits_of(s);
	struct file *f = store_priv(s);
	int err;

	l->readonly = spec->readonly;
	err = f->fd.blockdev ? file_device_limits(f->fd.fd, spec, st, l, e)
			     : file_limits(spec, st, l, e);
	if (!err)
		err = check_size(spec, l, e);
	if (!err)
		err = check_block(spec, l, e);
	if (!err && f->fd.direct)
		err = direct_limits(f->fd.fd, spec, f->fd.blockdev, l, e);
	return err;
}

/* ---- files that are open ---- */

static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list files = LIST_INIT(files); /* struct file */

static void file_listed(struct file *f, bool listed)
{
	pthread_mutex_lock(&files_lock);
	if (listed)
		list_add(&files, &f->link);
	else
		list_del(&f->link);
	pthread_mutex_unlock(&files_lock);
}

int file_of_store(const struct store *s)
{
	const struct file *f;
	int fd = -1;

	pthread_mutex_lock(&files_lock);
	list_for_each(f, &files, link)
		if (f->store == s && !f->fd.blockdev)
			fd = f->fd.fd;
	pthread_mutex_unlock(&files_lock);
	return fd;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
		return S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool file_used_here(const struct stat *st, char *path, size_t room)
{
	const struct file *f;
	bool found = false;

	pthread_mutex_lock(&files_lock);
	list_for_each(f, &files, link) {
		if (!same_file(&f->st, st))
			continue;
		snprintf(path, room, "%s", store_path(f->store));
		found = true;
	}
	pthread_mutex_unlock(&files_lock);
	return found;
}

/* ---- the operations ---- */

int file_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct file *f = store_priv(s);
	int flags = strcmp(spec->type, aio_store.name) ? 0 : O_DIRECT;
	int err;

	err = parse_flags(spec->oflags, &flags, e);
	if (err)
		return err;
	f->fd.fd = file_open_fd(spec, flags, &f->st, e);
	if (f->fd.fd < 0)
		return f->fd.fd;
	f->store = s;
	f->flags = flags | (spec->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
	f->block_size = spec->block_size;
	f->readonly = spec->readonly;
	f->fd.direct = flags & O_DIRECT;
	f->fd.sync = flags & (O_SYNC | O_DSYNC);
	f->fd.blockdev = S_ISBLK(f->st.st_mode);
	err = file_lock(f->fd.fd, spec, &f->st, e);
	if (!err)
		err = find_limits(s, spec, &f->st, e);
	if (err) {
		close(f->fd.fd);
		return err;
	}
	store_fd_probe(&f->fd);
	set_caps(f, store_limits_of(s));
	file_listed(f, true);
	return 0;
}

void file_close(struct store *s)
{
	struct file *f = store_priv(s);

	file_listed(f, false);
	close(f->fd.fd);
}

static int size_now(const struct file *f, uint64_t *size, struct err *e)
{
	const char *path = store_path(f->store);
	struct stat st;
	int err;

	if (f->fd.blockdev) {
		err = file_device_size(f->fd.fd, size);
	} else {
		err = fstat(f->fd.fd, &st) ? -errno : 0;
		*size = (uint64_t)st.st_size;
	}
	if (err)
		return store_err(e, err, "cannot ask %s for its size: %s", path, strerror(-err));
	if (!*size || *size % f->block_size)
		return store_err(e, -EINVAL,
				 "%s has %" PRIu64
				 " bytes now, which is not a multiple of the block size %u; "
				 "give it a size that is",
				 path, *size, f->block_size);
	return 0;
}

static int check_new_size(const struct file *f, uint64_t size, struct err *e)
{
	const char *path = store_path(f->store);

	if (f->fd.blockdev)
		return store_err(e, -EINVAL,
				 "%s is a device, whose size cannot be set here; change it with "
				 "the device's "
				 "own tools, then let the unit take it over",
				 path);
	if (f->readonly)
		return store_err(e, -EROFS, "%s is open read-only; make the unit writable first",
				 path);
	if (size > INT64_MAX)
		return store_err(e, -EFBIG,
				 "the size %" PRIu64 " for %s is more than any file can have", size,
				 path);
	return 0;
}

/* What is added is a hole; it takes no room until it is written. */
static int set_size(const struct file *f, uint64_t size, struct err *e)
{
	const char *path = store_path(f->store);
	int err = check_new_size(f, size, e);

	if (err || !ftruncate(f->fd.fd, (off_t)size))
		return err;
	err = -errno;
	if (err == -EFBIG)
		return store_err(e, err, "the file system of %s has no files of %" PRIu64 " bytes",
				 path, size);
	return store_err(e, err, "cannot give %s %" PRIu64 " bytes: %s", path, size, strerror(-err));
}

int file_size(struct store *s, uint64_t *size, struct err *e)
{
	const struct file *f = store_priv(s);
	uint64_t now = 0;
	int err = *size ? 0 : size_now(f, &now, e);

	if (*size) {
		err = size_now(f, &now, NULL);
		err = !err && now == *size ? 0 : set_size(f, *size, e);
		if (!err)
			err = size_now(f, &now, e);
	}
	if (!err)
		*size = now;
	return err;
}

/* Its file is open already, so this asks nobody but the kernel. */
static int reopen(const struct file *f)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd.fd);
	return open(path, f->flags);
}

int file_channel_open(struct store_channel *ch)
{
	struct store *s = channel_store(ch);
	struct file_channel *c = channel_priv(ch);
	const struct file *f = store_priv(s);
	int fd = reopen(f);

	c->fd = f->fd;
	c->own = fd >= 0;
	if (c->own)
		c->fd.fd = fd;
	else /* permissions that were taken away since, or no /proc */
		store_log_info(s, "its reactors share one descriptor: opening it again: %s",
			       strerror(errno));
	return 0;
}

void file_channel_close(struct store_channel *ch)
{
	struct file_channel *c = channel_priv(ch);

	if (c->own)
		close(c->fd.fd);
}

/*
 * A device is claimed by the first descriptor. Through another one the kernel would find it in use
 * where it has to forget what it caches of a range: EBUSY, if that has not been written back.
 */
static struct store_fd *descriptor(struct store_channel *ch, const struct store_io *io)
{
	struct file *f = store_priv(channel_store(ch));
	struct file_channel *c = channel_priv(ch);

	if (f->fd.blockdev && (io->verb == STORE_DISCARD || io->verb == STORE_ZERO))
		return &f->fd;
	return &c->fd;
}

void file_submit(struct store_channel *ch, struct store_io *io)
{
	struct file_channel *c = channel_priv(ch);

	if (io->verb == STORE_COPY)
		file_copy(ch, io, &c->fd);
	else
		store_fd_submit(ch, io, descriptor(ch, io));
}

void file_cancel(struct store_channel *ch, struct store_io *io)
{
	if (io->verb == STORE_COPY)
		file_copy_cancel(io);
}

#define FILE_STORE(called, about) \
	{ \
		.api = STORE_API, .name = called, .summary = about, .needs_path = true, \
		.store_size = sizeof(struct file), .channel_size = sizeof(struct file_channel), \
		.open = file_open, .close = file_close, .size = file_size, \
		.channel_open = file_channel_open, .channel_close = file_channel_close, \
		.submit = file_submit, .cancel = file_cancel, \
	}

const struct store_ops file_store = FILE_STORE("file", "file or block device");
const struct store_ops rdwr_store = FILE_STORE("rdwr", "file or block device, as tgt calls it");
const struct store_ops aio_store = FILE_STORE("aio", "file or block device, direct I/O");
