/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-keep PATH SIZE [PIECE]: makes a file of SIZE bytes, all of it written
 * and in the page cache, and keeps it there. Prints "ready"; then answers each
 * line on its standard input by "resident N of M" (pages), and removes the
 * file at its end.
 *
 * It is written in pieces of PIECE bytes (4K), because the size of the pieces
 * decides the size of the folios in the page cache, and a small write costs the
 * more the larger its folio: 1.6 us for 4 KiB in folios of 4 KiB, 3.6 in 64 KiB,
 * 16 in 1 MiB (pwrite, Linux 6.18, ext4).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common.h"

#define ALIGN 65536u /* of SIZE */

static void populate(const char *path, int fd, uint64_t size, uint32_t piece_size)
{
	uint64_t *piece = zalloc(piece_size), x = 88172645463325252ull;

	for (uint64_t off = 0; off < size; off += piece_size) {
		for (unsigned i = 0; i < piece_size / 8; i++) {
			x ^= x << 13; /* xorshift64: nothing that a layer below could compress */
			x ^= x >> 7;
			x ^= x << 17;
			piece[i] = x;
		}
		if (pwrite(fd, piece, piece_size, (off_t)off) != (ssize_t)piece_size) {
			unlink(path);
			die(END_TROUBLE, "%s: writing %llu bytes: %s", path,
			    (unsigned long long)size, strerror(errno));
		}
	}
	fdatasync(fd); /* or it would be written back while something is measured */
	free(piece);
}

static void answer(void *map, uint64_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = size / page, resident = 0;
	uint8_t *in = zalloc(n);

	if (mincore(map, size, in))
		die(END_TROUBLE, "mincore: %s", strerror(errno));
	for (size_t i = 0; i < n; i++)
		resident += in[i] & 1;
	printf("resident %zu of %zu\n", resident, n);
	fflush(stdout);
	free(in);
}

int main(int argc, char **argv)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char line[64];
	uint32_t piece = 4096;
	uint64_t size;
	void *map;
	int fd;

	if (argc != 3 && argc != 4)
		die(END_USAGE, "a path and a size are needed");
	size = size_arg("size", argv[2], ALIGN, 1ull << 40);
	if (argc == 4)
		piece = (uint32_t)size_arg("piece", argv[3], 4096, ALIGN);
	if (piece & (piece - 1))
		die(END_USAGE, "piece %s: a power of two is needed", argv[3]);
	if (size % ALIGN)
		die(END_USAGE, "size %s: a multiple of 64K is needed", argv[2]);
	live_no_longer_than(86400);
	fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		die(END_TROUBLE, "%s: %s", argv[1], strerror(errno));
	populate(argv[1], fd, size, piece);
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	setrlimit(RLIMIT_MEMLOCK, &all);
	if (map == MAP_FAILED || mlock(map, size)) {
		fprintf(stderr, "keep: not locked in memory (%s): residency is checked only\n",
			strerror(errno));
		if (map == MAP_FAILED)
			return END_TROUBLE;
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		answer(map, size);
	unlink(argv[1]);
	return 0;
}
