/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of this transport. */
#ifndef STGT_TRANSPORT_TCMU_PART_H
#define STGT_TRANSPORT_TCMU_PART_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/uio.h>

#include "base/pool.h"
#include "sam/scsi_cmd.h"
#include "sam/shared.h"
#include "sam/target.h"
#include "sam/tmf.h"
#include "transport/tcmu/netlink.h"
#include "transport/tcmu/ring.h"
#include "transport/tcmu/tcmu.h"

#define TCMU_PATH_MAX 512
#define TCMU_CONFIG_MAX 256 /* what the kernel keeps of dev_config */

/* What the kernel is asked for; tests have another. Results are 0 or a descriptor, or -errno. */
struct tcmu_sys {
	int (*netlink)(void); /* a generic netlink socket, nonblocking */
	int (*join)(int fd, uint32_t group);
	int (*open_uio)(const char *path, size_t size, void **map); /* mapped, nonblocking */
	int (*make_dir)(const char *path);
	int (*remove_dir)(const char *path);
	int (*write_text)(const char *path, const char *text);
	int (*load)(const char *module); /* 0 if it is there already */
};
extern const struct tcmu_sys tcmu_linux;

/* ---- what a device is called (name.c) ---------------------------------------------------- */

struct tcmu_name {
	unsigned hba;
	char device[64];
	char target[INITIATOR_NAME_MAX + 1];
	uint64_t lun;
	bool shared;
};
/* Of a uio device's name. -ENOENT: it is none of ours; -EINVAL and @e: it is, and makes no sense. */
int tcmu_name_parse(struct tcmu_name *n, const char *text, struct err *e);
/* dev_config of a LUN, TCMU_CONFIG_MAX bytes at @out. */
void tcmu_name_config(char *out, const char *target, uint64_t lun, bool shared);
/* A locally assigned NAA 3h name (SPC-5 7.7.6.5), the same for the same words: "naa.3..." at @out. */
void tcmu_name_wwn(char out[24], const char *what, const char *who, uint8_t naa[8]);

/* ---- files of the kernel (files.c) ----------------------------------------------------------- */

/* The first line of the file at @path, without its end. 0 or -errno. */
int tcmu_read_line(const char *path, char *out, size_t size);
int tcmu_path(char *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Call @fn for each uio device of the kernel: number and name. */
void tcmu_each_uio(const char *sysfs, void (*fn)(void *arg, unsigned minor, const char *name),
		   void *arg);

/* ---- the two halves of a device ------------------------------------------------------------------ */

struct tcmu_task {
	struct scsi_cmd scsi;
	struct shared_data data;
	struct ring_slot slot;
	struct tcmu_device *device;
	struct iovec *many; /* NULL: few suffices */
	uint32_t total; /* bytes of its segments */
	bool once; /* must not be done twice */
	struct iovec few[8];
};

/* On nexus->reactor, from start to the end message. */
struct tcmu_side {
	struct it_nexus *nexus;
	struct reactor *reactor;
	struct ring ring;
	int fd;
	uint8_t lun[8];
	bool random_access; /* a read or write says where, so that doing it twice is harmless */
	struct pool tasks, many;
	unsigned ntasks;
	struct io_op poll;
	struct later later;
	struct tmf tmf;
	bool paused; /* a logical unit reset is under way */
	bool quiet; /* nothing is taken any more: the end, or the ring is broken */
	bool dropping, drained, ended;
	struct timer grace;
	struct msg drained_msg;
	const char *why; /* it ended by itself: what for */
	_Atomic bool note_posted; /* note_msg is under way */
	_Atomic uint64_t commands, bytes; /* bytes: of the LU, when it changed; 0: not yet */
};

struct tcmu_device {
	struct list link; /* in server->devices */
	struct tcmu_server *server;
	struct tcmu_name name;
	char core[128]; /* "user_0/disk1" */
	unsigned minor;
	enum tcmu_state state;
	char why[128];
	bool dead; /* its ring is corrupt: it is not tried again */
	bool again; /* what it waits for may end by itself */
	bool removed; /* the kernel takes it away */
	bool reserved; /* the LUN is ours alone */
	uint32_t reply_id; /* removed: the kernel waits for our reply about this device */
	bool reply_owed;
	struct timer reply_timer;
	/* opening: an offload job; what it makes is control's again after it */
	struct offload open_job;
	bool opening, claiming, serving;
	struct err err;
	int fd;
	void *map;
	size_t size;
	struct claim claim;
	uint64_t sid;
	/* what the kernel is to know of the LU, and where the disk is: another job */
	struct offload tell_job;
	bool telling, tell_again, look_again;
	uint64_t telling_bytes;
	char block[64], found[64];
	bool look;
	/* messages */
	struct msg start_msg, stop_msg, end_msg, ack_msg, note_msg;
	uint64_t grace_ns;
	bool stop_posted, stop_acked, end_came;
	_Atomic bool stop_seen;

	struct tcmu_side side;
};

/* Single writer, read relaxed by any thread. */
struct tcmu_counts {
	_Alignas(64) uint64_t begun, ended; /* commands */
	uint64_t unknown_entries, ring_errors, tmr;
};

struct tcmu_server {
	struct targets *ts;
	struct reactor *control;
	char *sysfs, *dev, *configfs;
	const struct tcmu_sys *sys;
	struct list devices; /* tcmu_device.link */
	struct tcmu_netlink netlink;
	struct list foreign; /* removals and additions of other handlers' devices: foreign.link */
	struct timer retry;
	bool stopping, stopped;
	uint64_t grace_ns;
	void (*stop_done)(void *arg);
	void *stop_arg;
	struct list attaches; /* and detaches, under way: tcmu_attach.link */
	_Atomic uint64_t served;
	struct tcmu_counts counts[REACTORS_MAX]; /* by reactor */
};

/* The reactor's half (device.c). @d is claimed; its end message follows once. */
void tcmu_side_start(struct tcmu_device *d, struct it_nexus *n);
/* End it: commands under way have @grace_ns. On control; start was called. */
void tcmu_side_stop(struct tcmu_device *d, uint64_t grace_ns);

/* What control does when the other half has something to say. */
void tcmu_device_ended(struct msg *m);
void tcmu_device_stop_acked(struct msg *m);
void tcmu_device_noted(struct msg *m);

/* The answer to a command of which nobody knows whether it has been carried out. */
void tcmu_answer_lost(struct ring_answer *a, bool once);
/* True if a command with this CDB changes nothing when it is done again. */
bool tcmu_repeatable(const uint8_t *cdb, bool random_access);

/* ---- between device life and configfs ----------------------------------------------------------- */

/* Open, map and recover @d: on an offload thread. 0 or -errno and d->err. */
int tcmu_device_open(struct tcmu_device *d);
/* Look for devices in sysfs that are not known yet, and for known ones that have gone. */
void tcmu_scan(struct tcmu_server *s);
/* The local disk of the core device @core made by tcm_loop: at @out, or "". On an offload thread. */
void tcmu_find_block(const struct tcmu_server *s, const char *core, char *out, size_t size);
/* An attach or detach has ended; the server may be able to stop. */
void tcmu_job_ended(struct tcmu_server *s);
/* A netlink event about a device of the kernel. */
void tcmu_event(void *arg, const struct tcmu_event *ev);
void tcmu_try_all(struct tcmu_server *s);

#endif
