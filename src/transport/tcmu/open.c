/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a device, and setting right what a daemon that is gone left in its ring. On an offload thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/tcmu/part.h"

static int read_size(struct tcmu_device *d)
{
	char path[TCMU_PATH_MAX], text[40] = "", *end = text;
	int res = tcmu_path(path, "%s/class/uio/uio%u/maps/map0/size", d->server->sysfs, d->minor);

	if (!res)
		res = tcmu_read_line(path, text, sizeof(text));
	if (res)
		return err_set(&d->err, res, "%s cannot be read: %s", path, strerror(-res));
	d->size = strtoull(text, &end, 0);
	if (end == text || !d->size || d->size > INT64_MAX)
		return err_set(&d->err, -EPROTO, "%s makes no sense", path);
	return 0;
}

static int write_action(const struct tcmu_device *d, const char *name, const char *value)
{
	char path[TCMU_PATH_MAX];
	int res = tcmu_path(path, "%s/target/core/%s/action/%s", d->server->configfs, d->core, name);

	return res ? res : d->server->sys->write_text(path, value);
}

/*
 * Have the kernel end what is in the ring, all in the same way: with BUSY, or if something must not be done twice
 * with an error. While it is blocked no command comes in.
 */
static int reset_ring(struct tcmu_device *d, bool once)
{
	int res = write_action(d, "block_dev", "1");

	log_warn("tcmu %s: whoever served it died between two words: the kernel ends all its "
		 "commands %s",
		 d->core, once ? "with an error" : "with BUSY");
	if (!res)
		res = write_action(d, "reset_ring", once ? "2" : "1");
	if (res)
		err_set(&d->err, res, "its ring cannot be reset: %s", strerror(-res));
	write_action(d, "block_dev", "0");
	return res;
}

/* Who died in the middle of a reset may have got no further than to block it. */
static void unblock(const struct tcmu_device *d)
{
	char path[TCMU_PATH_MAX], text[16];

	if (tcmu_path(path, "%s/target/core/%s/action/block_dev", d->server->configfs, d->core) ||
	    tcmu_read_line(path, text, sizeof(text)) || strcmp(text, "blocked"))
		return;
	log_warn("tcmu %s: it was blocked, its commands ended with BUSY: now it is not", d->core);
	write_action(d, "block_dev", "0");
}

static int open_ring(struct tcmu_device *d)
{
	const char *why = NULL;
	int res = ring_open(&d->side.ring, d->map, d->size, &why);

	return res ? err_set(&d->err, res, "%s", why) : 0;
}

static int recover(struct tcmu_device *d)
{
	bool once;
	int res = ring_recover(&d->side.ring, tcmu_answer_lost, &once);

	if (res == -EUCLEAN) {
		res = reset_ring(d, once);
		return res ? res : open_ring(d);
	}
	if (res < 0)
		return err_set(&d->err, res, "no memory");
	unblock(d);
	if (res)
		log_warn("tcmu %s: %d commands were under way when whoever served it died: their "
			 "initiators send them again%s",
			 d->core, res,
			 once ? ", but for what must not be done twice, which has failed" : "");
	return 0;
}

int tcmu_device_open(struct tcmu_device *d)
{
	char path[TCMU_PATH_MAX];
	int32_t on = 0;
	int res = read_size(d);

	if (res)
		return res;
	res = tcmu_path(path, "%s/uio%u", d->server->dev, d->minor);
	if (!res)
		res = d->fd = d->server->sys->open_uio(path, d->size, &d->map);
	if (res < 0) {
		d->fd = -1;
		return err_set(&d->err, res, "%s cannot be opened: %s", path,
			       res == -EBUSY ? "another process has it" : strerror(-res));
	}
	res = open_ring(d);
	if (!res)
		res = recover(d);
	/* what was completed and not told, by whomever, is told now */
	ring_take_news(&d->side.ring);
	if (!res && write(d->fd, &on, sizeof(on)) < 0 && errno != EAGAIN)
		res = err_set(&d->err, -errno, "%s does not take completions: %s", path,
			      strerror(errno));
	return res;
}
