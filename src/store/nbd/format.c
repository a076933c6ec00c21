/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Images by their magic numbers, and whether they name other files. The file is hostile:
 * what is read is bounded and only compared.
 */
#include "store/nbd/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 4096
#define SECTOR 512
/* QEMU reads no more of a VMDK descriptor either */
#define DESCRIPTOR_MAX 20480

const char *const image_formats[] = { "qcow2", "qcow",	    "qed",   "vmdk",  "vhdx", "vdi", "vpc",
				      "luks",  "parallels", "bochs", "cloop", "dmg",  NULL };

static const struct {
	const char *format;
	uint16_t at;
	uint8_t len;
	const char *magic;
} magics[] = {
	{ "qcow", 0, 8, "QFI\xfb\0\0\0\1" },
	{ "qcow2", 0, 8, "QFI\xfb\0\0\0\2" },
	{ "qcow2", 0, 8, "QFI\xfb\0\0\0\3" },
	{ "qed", 0, 4, "QED\0" },
	{ "vmdk", 0, 4, "KDMV" },
	{ "vmdk", 0, 4, "COWD" },
	{ "vmdk", 0, 21, "# Disk DescriptorFile" },
	{ "vhdx", 0, 8, "vhdxfile" },
	{ "vdi", 64, 4, "\x7f\x10\xda\xbe" },
	{ "vpc", 0, 8, "conectix" },
	{ "luks", 0, 6, "LUKS\xba\xbe" },
	{ "parallels", 0, 16, "WithoutFreeSpace" },
	{ "parallels", 0, 16, "WithouFreSpacExt" },
};

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 8; i--;)
		v = v << 8 | p[i];
	return v;
}

static ssize_t read_at(int fd, void *to, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static const char *by_magic(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (len >= (size_t)magics[i].at + magics[i].len &&
		    !memcmp(head + magics[i].at, magics[i].magic, magics[i].len))
			return magics[i].format;
	return NULL;
}

/* A fixed VHD has its mark in the last sector only. */
static bool vhd_footer(int fd, uint64_t size)
{
	char mark[8];

	return size >= 2 * SECTOR &&
	       read_at(fd, mark, sizeof(mark), size - SECTOR) == sizeof(mark) &&
	       !memcmp(mark, "conectix", sizeof(mark));
}

static const char *qcow2_others(const uint8_t *head)
{
	if (be64(head + 8))
		return "a backing file";
	if (head[7] >= 3 && head[79] & 4) /* incompatible feature 2 */
		return "a data file";
	return NULL;
}

/* True if the text of a VMDK's descriptor at @at names a parent. Like QEMU it ends with a byte of zero. */
static bool vmdk_parent(int fd, uint64_t at)
{
	char text[DESCRIPTOR_MAX + 1];
	ssize_t n = read_at(fd, text, DESCRIPTOR_MAX, at);

	if (n <= 0)
		return false;
	text[n] = 0;
	return strstr(text, "parentFileNameHint") != NULL;
}

/* A VMDK's descriptor: a text that names the extents' files, and a parent. */
static const char *vmdk_others(int fd, const uint8_t *head)
{
	bool old = !memcmp(head, "COWD", 4);
	uint64_t at = old ? 0 : le64(head + 28);

	if (head[0] == '#')
		return "its extents";
	/* QEMU: without a capacity the embedded descriptor is all there is */
	if (!old && !le64(head + 12))
		return "its extents";
	/* QEMU looks for a parent in the second sector, whatever the header says of the descriptor's place */
	if (vmdk_parent(fd, SECTOR))
		return "a parent";
	if (!at || at > INT64_MAX / SECTOR - DESCRIPTOR_MAX)
		return NULL;
	return vmdk_parent(fd, at * SECTOR) ? "a parent" : NULL;
}

/* @head: HEAD bytes, zeroes after the end of the file. */
static const char *others(int fd, const char *format, const uint8_t *head)
{
	if (!strcmp(format, "qcow2"))
		return qcow2_others(head);
	if (!strcmp(format, "qcow"))
		return be64(head + 8) ? "a backing file" : NULL;
	if (!strcmp(format, "qed")) /* features, bit 0 */
		return head[16] & 1 ? "a backing file" : NULL;
	if (!strcmp(format, "vmdk"))
		return vmdk_others(fd, head);
	return NULL;
}

bool image_has_magic(const char *format)
{
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (!strcmp(magics[i].format, format))
			return true;
	return false;
}

int image_about(const char *path, struct image_about *a, char *text, size_t len)
{
	uint8_t head[HEAD] = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = 0;
	int err = fd < 0 ? -errno : 0;

	*a = (struct image_about){ 0 };
	if (!err && fstat(fd, &st))
		err = -errno;
	if (!err && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		err = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (!err) {
		n = read_at(fd, head, sizeof(head), 0);
		err = n < 0 ? (int)n : 0;
	}
	if (err) {
		snprintf(text, len, "cannot read image %.200s: %s: name a file that tgtd may read",
			 path, strerror(-err));
	} else {
		a->format = by_magic(head, (size_t)n);
		if (S_ISREG(st.st_mode) && vhd_footer(fd, (uint64_t)st.st_size))
			*(a->format ? &a->or_format : &a->format) = "vpc";
		if (a->or_format && !strcmp(a->or_format, a->format))
			a->or_format = NULL;
		if (a->format)
			a->other_files = others(fd, a->format, head);
	}
	if (fd >= 0)
		close(fd);
	return err;
}
