/* SPDX-License-Identifier: BSD-2-Clause */
/* Scope-bound release, for cold paths only. */
#ifndef STGT_BASE_CLEANUP_H
#define STGT_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define CLEANUP_FREE __attribute__((cleanup(cleanup_freep)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_closep)))
#define CLEANUP_FCLOSE __attribute__((cleanup(cleanup_fclosep)))
#define CLEANUP_CLOSEDIR __attribute__((cleanup(cleanup_closedirp)))

/* Give up ownership of a descriptor marked for clean-up. */
#define take_fd(fd) \
	({ \
		int take_f = (fd); \
		(fd) = -1; \
		take_f; \
	})

#endif
