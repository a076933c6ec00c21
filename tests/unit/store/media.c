/* SPDX-License-Identifier: BSD-2-Clause */
#include "media.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static bool private;

bool media_private(void)
{
	private = !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return private;
}

bool media_mount(const char *fs, const char *image, const char *dir)
{
	char cmd[700];

	if (!private) {
		printf("# this user may not mount\n");
		return false;
	}
	snprintf(cmd, sizeof(cmd),
		 "PATH=$PATH:/sbin:/usr/sbin; mkfs.%s -q %s >/dev/null 2>&1 && mkdir %s && "
		 "mount -o loop %s %s 2>/dev/null",
		 fs, image, dir, image, dir);
	if (!system(cmd))
		return true;
	printf("# this host makes or mounts no %s\n", fs);
	return false;
}

int media_loop(const char *image, char name[32])
{
	struct loop_config c = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1;
	int backing = open(image, O_RDWR | O_CLOEXEC);

	c.fd = (unsigned)backing;
	for (int tries = 0; ctl >= 0 && backing >= 0 && fd < 0 && tries < 100; tries++) {
		int n = ioctl(ctl, LOOP_CTL_GET_FREE);

		if (n < 0)
			break;
		snprintf(name, 32, "/dev/loop%d", n);
		fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c)) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		printf("# no loop device for this user\n");
	if (ctl >= 0)
		close(ctl);
	if (backing >= 0)
		close(backing);
	return fd;
}
