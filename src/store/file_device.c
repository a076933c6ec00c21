/* SPDX-License-Identifier: BSD-2-Clause */
/* What a block device says of itself: ioctls, and the queue's attributes in sysfs. */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "store/file.h"

static bool attr_text(dev_t dev, const char *name, char *text, int room)
{
	/* a partition's queue is its disk's */
	static const char *const form[] = { "/sys/dev/block/%u:%u/queue/%s",
					    "/sys/dev/block/%u:%u/../queue/%s" };
	char path[128];

	for (unsigned i = 0; i < 2; i++) {
		CLEANUP_FCLOSE FILE *f = NULL;

		snprintf(path, sizeof(path), form[i], major(dev), minor(dev), name);
		f = fopen(path, "re");
		if (f && fgets(text, room, f)) {
			text[strcspn(text, "\n")] = 0;
			return true;
		}
	}
	return false;
}

/* 0 if the device does not say. */
static uint64_t attr(dev_t dev, const char *name)
{
	char text[32];

	return attr_text(dev, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static uint32_t attr32(dev_t dev, const char *name)
{
	uint64_t v = attr(dev, name);

	return v > UINT32_MAX ? 0 : (uint32_t)v;
}

int file_device_size(int fd, uint64_t *size)
{
	return ioctl(fd, BLKGETSIZE64, size) ? -errno : 0;
}

/* A zone of a host-managed device is written from its start on only; host-aware ones take any write. */
static int check_zones(const struct store_spec *spec, dev_t dev, struct err *e)
{
	char zoned[32];

	if (!attr_text(dev, "zoned", zoned, sizeof(zoned)) || strcmp(zoned, "host-managed"))
		return 0;
	return store_err(
		e, -EOPNOTSUPP,
		"%s is a host-managed zoned device, which cannot be written in any order; put a "
		"layer that can over it, as dm-zoned, or name another device",
		spec->path);
}

static int check_state(const struct store_spec *spec, int ro, uint64_t size, struct err *e)
{
	if (ro && !spec->readonly)
		return store_err(e, -EROFS, "%s is a read-only device; make the unit read-only",
				 spec->path);
	if (!size)
		return store_err(e, -ENOMEDIUM,
				 "%s has no medium or no size; insert one or name another device",
				 spec->path);
	return 0;
}

int file_device_limits(int fd, const struct store_spec *spec, const struct stat *st,
		       struct store_limits *l, struct err *e)
{
	dev_t dev = st->st_rdev;
	unsigned physical = 0;
	int logical = 0, ro = 0, align = 0, err;

	err = file_device_size(fd, &l->size);
	if (!err && (ioctl(fd, BLKSSZGET, &logical) || ioctl(fd, BLKPBSZGET, &physical) ||
		     ioctl(fd, BLKROGET, &ro)))
		err = -errno;
	if (err)
		return store_err(e, err, "cannot ask %s for its size: %s", spec->path,
				 strerror(-err));
	err = check_state(spec, ro, l->size, e);
	if (!err)
		err = check_zones(spec, dev, e);
	if (err)
		return err;
	l->block = (uint32_t)logical;
	l->physical = physical;
	l->alignment = ioctl(fd, BLKALIGNOFF, &align) || align < 0 ? 0 : (uint32_t)align;
	l->solid = !attr(dev, "rotational");
	l->optimal_io = attr32(dev, "optimal_io_size");
	/*
	 * What is unmapped must read as zeroes, which a discard does not promise: unmapping is
	 * a request to zero (REQ_OP_WRITE_ZEROES) that the device may do by deallocating.
	 */
	l->max_discard = attr(dev, "write_zeroes_max_bytes") ? attr(dev, "discard_max_bytes") : 0;
	l->discard_granularity = attr32(dev, "discard_granularity");
	return 0;
}
