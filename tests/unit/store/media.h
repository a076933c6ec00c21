/* SPDX-License-Identifier: BSD-2-Clause */
/* File systems and devices for a test alone: they go away with the process. */
#ifndef TEST_STORE_MEDIA_H
#define TEST_STORE_MEDIA_H

#include <stdbool.h>
#include <stddef.h>

/* Before there are threads: what is mounted from now on is seen by this process only. False: not allowed. */
bool media_private(void);
/*
 * Mount a new file system of type @fs (ext4, xfs) on the image @image, whose size is set, at the new
 * folder @dir. False, with the reason printed, if this host cannot.
 */
bool media_mount(const char *fs, const char *image, const char *dir);
/* A loop device over @image, its name in @name; returns a descriptor that keeps it, -1 if this host cannot. */
int media_loop(const char *image, char name[32]);

#endif
