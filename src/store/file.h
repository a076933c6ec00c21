/* SPDX-License-Identifier: BSD-2-Clause */
/* What the stores over a file or block device share: file.c, file_*.c, mmap.c. */
#ifndef STGT_STORE_FILE_H
#define STGT_STORE_FILE_H

#include <sys/stat.h>

#include "base/list.h"
#include "stgt/store.h"

struct file {
	struct store_fd fd; /* the first descriptor: the lock is its own */
	struct store *store;
	struct list link; /* in the list of files that are open */
	int flags; /* for another descriptor of the same kind */
	struct stat st; /* as it was when opened */
	uint32_t block_size;
	bool readonly;
};

/*
 * A descriptor for each channel, since the kernel tells of a failed write-back once for
 * each: nobody else's flush takes the report that is for ours.
 */
struct file_channel {
	struct store_fd fd;
	bool own; /* else the store's first */
};

int file_open(struct store *s, const struct store_spec *spec, struct err *e);
void file_close(struct store *s);
int file_size(struct store *s, uint64_t *size, struct err *e);
int file_channel_open(struct store_channel *ch);
void file_channel_close(struct store_channel *ch);
void file_submit(struct store_channel *ch, struct store_io *io);
void file_cancel(struct store_channel *ch, struct store_io *io);

/* file_device.c: fills what a block device says of itself. 0 or -errno. */
int file_device_limits(int fd, const struct store_spec *spec, const struct stat *st,
		       struct store_limits *l, struct err *e);
int file_device_size(int fd, uint64_t *size);

/* file_copy.c */
void file_copy(struct store_channel *ch, struct store_io *io, struct store_fd *to);
void file_copy_cancel(struct store_io *io);

/* The descriptor to read @s by, if it is a file that is open; else -1. */
int file_of_store(const struct store *s);
/* The store that has the file @st open, its path in @path; false if none of this daemon has. */
bool file_used_here(const struct stat *st, char *path, size_t room);

/* file_who.c: who uses the file @st, as the end of a sentence. @pid: who has the lock, 0 if not known. */
void file_who(const struct stat *st, int pid, char *text, size_t room);

#endif
