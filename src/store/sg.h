/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SCSI generic: what the two interfaces of Linux share. sg.c is the store and its SG v3 side
 * (/dev/sgN: write, poll, read), sg_v4.c the SG v4 side (/dev/bsg/H:C:T:L, which has
 * nothing but a blocking ioctl), sg_open.c how either is opened.
 */
#ifndef STGT_STORE_SG_H
#define STGT_STORE_SG_H

#include <scsi/sg.h>
#include <sys/types.h>

#include "stgt/store.h"

enum sg_interface { SG_V3 = 3, SG_V4 = 4 };

/* The system calls; tests put others in their place. As libc: -1 and errno. */
struct sg_sys {
	/* What @path is: enum sg_interface, or -1: ENOTTY if it is something else. Opens nothing. */
	int (*interface)(const char *path);
	int (*open)(const char *path);
	int (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	ssize_t (*write)(int fd, const void *p, size_t n);
	ssize_t (*read)(int fd, void *p, size_t n);
};
extern const struct sg_sys *sg_sys, sg_real_sys;

struct sg {
	int fd;
	enum sg_interface interface;
	uint64_t timeout; /* ns, for every command; 0: as the command says */
};

#define SG_TIMEOUT_MAX_S 86400u

/* ops->open */
int sg_open(struct store *s, const struct store_spec *spec, struct err *e);

/* What came back, in the terms of both interfaces. */
struct sg_answer {
	unsigned status, host_status, driver_status;
	int64_t residual;
	unsigned sense_len;
};

/* Fill in the answer of @raw; 0, or -errno if there is none from the device. */
int sg_result(struct store_raw *raw, const struct sg_answer *a);
/* Milliseconds for the kernel. */
unsigned sg_timeout_ms(const struct sg *g, const struct store_raw *raw);
/* -errno of a failed system call: what the core's users expect. */
int sg_errno(int err);

/* A STORE_RAW by SG v4, on a thread that may block. Returns err. */
int sg_v4_run(struct store_io *io);

#endif
