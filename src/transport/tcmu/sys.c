/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel is asked for, as it really is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/tcmu/part.h"

#define RECEIVE_BYTES (1 << 20) /* events of many devices at once */

static int linux_netlink(void)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
	int bytes = RECEIVE_BYTES;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0) {
		int res = -errno;

		close(fd);
		return res;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static int linux_join(int fd, uint32_t group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0
		       ? -errno
		       : 0;
}

static int linux_open_uio(const char *path, size_t size, void **map)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC), res;

	if (fd < 0)
		return -errno;
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*map != MAP_FAILED)
		return fd;
	res = -errno;
	close(fd);
	return res;
}

static int linux_make_dir(const char *path)
{
	return mkdir(path, 0755) < 0 ? -errno : 0;
}

static int linux_remove_dir(const char *path)
{
	return rmdir(path) < 0 ? -errno : 0;
}

static int linux_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), res = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		res = -errno;
	close(fd);
	return res;
}

static int linux_load(const char *module)
{
	char *argv[] = { (char *)"modprobe", (char *)"-q", (char *)module, NULL };
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "modprobe", NULL, NULL, argv, environ))
		return -ENOENT;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ENOENT;
}

const struct tcmu_sys tcmu_linux = {
	.netlink = linux_netlink,
	.join = linux_join,
	.open_uio = linux_open_uio,
	.make_dir = linux_make_dir,
	.remove_dir = linux_remove_dir,
	.write_text = linux_write_text,
	.load = linux_load,
};
