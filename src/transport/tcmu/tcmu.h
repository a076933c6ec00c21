/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCMU: the ring of the kernel's target_core_user, under every kernel fabric
 * (tcm_loop, vhost-scsi, FC, SRP, ibmvscsis). What the control side sees of it.
 * Functions without another word are for the control reactor.
 *
 * A TCMU device whose dev_config is "stgt/TARGET-NAME/LUN" or "stgt/TARGET-NAME/LUN/shared=unsafe" is ours: one
 * I_T nexus with that LUN alone, SIMPLE tasks, on one reactor. Devices are found at start and at run time
 * (netlink), whoever made them in configfs. Without shared=unsafe the LUN is reserved for this transport
 * (target_reserve_lun()): the kernel keeps its own initiators apart, others could not be.
 */
#ifndef STGT_TRANSPORT_TCMU_TCMU_H
#define STGT_TRANSPORT_TCMU_TCMU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sam/target.h"

struct tcmu_server;
struct tcmu_device;
struct tcmu_sys;

/* Where the kernel's files are; NULL: the usual places. */
struct tcmu_opts {
	const char *sysfs; /* "/sys" */
	const char *dev; /* "/dev" */
	const char *configfs; /* "/sys/kernel/config" */
	const struct tcmu_sys *sys; /* tests alone: who is asked in place of the kernel */
};

/*
 * Look for devices, now and whenever the kernel tells of one; where the kernel has no TCMU (yet) this costs
 * nothing. NULL and @e without memory. @ts outlives it.
 */
struct tcmu_server *tcmu_server_create(struct targets *ts, const struct tcmu_opts *o, struct err *e);

/* A LUN has been mapped, or a session has left: devices that wait for their LUN try again. */
void tcmu_look_again(struct tcmu_server *s);

enum tcmu_state {
	TCMU_WAITS, /* its LUN is not there, or others use it: see why */
	TCMU_STARTS,
	TCMU_SERVES,
	TCMU_ENDS,
};

struct tcmu_device_info {
	char name[128]; /* "user_0/disk1": HBA and device in configfs */
	unsigned minor; /* of /dev/uioN */
	char target[INITIATOR_NAME_MAX + 1];
	uint64_t lun;
	bool shared; /* shared=unsafe */
	enum tcmu_state state;
	char why[128]; /* TCMU_WAITS: what for */
	uint64_t sid; /* the nexus's id, 0: none */
	uint64_t commands; /* so far */
	char block[64]; /* the local disk that tcm_loop made of it: "/dev/sda"; "" */
};
/* The next device after @prev (NULL: the first); NULL at the end. */
struct tcmu_device *tcmu_device_next(struct tcmu_server *s, const struct tcmu_device *prev);
void tcmu_device_info(const struct tcmu_device *d, struct tcmu_device_info *i);
/* A device of LUN @lun of @target: one that serves it, else one that waits; NULL if there is none. */
struct tcmu_device *tcmu_find(struct tcmu_server *s, const char *target, uint64_t lun);

enum tcmu_fabric {
	TCMU_FABRIC_NONE, /* the core device alone: the administrator links it where it is wanted */
	TCMU_FABRIC_LOOP, /* tcm_loop: a SCSI disk of this host */
	TCMU_FABRIC_VHOST, /* vhost-scsi of the kernel: a wwpn for QEMU's vhost-scsi-pci */
};

/*
 * Make the configfs objects of a device for a LUN, which is there, and wait for it to serve; or remove them. Owned
 * by the caller until done.
 */
struct tcmu_attach {
	/* in */
	char target[INITIATOR_NAME_MAX + 1];
	uint64_t lun;
	char name[64]; /* of the device in configfs; "": made of tid and LUN */
	enum tcmu_fabric fabric;
	bool shared;
	uint32_t tid;
	uint64_t size; /* bytes */
	uint32_t block_size;
	char serial[40]; /* unit serial number that the kernel's own pages are to have */
	void (*done)(struct tcmu_attach *a, const struct err *e); /* @e NULL: well */
	void *owner;
	/* out */
	char block[64]; /* LOOP: "/dev/sda" */
	char wwn[64]; /* of the fabric's port */
	/* private */
	struct list link; /* in server->attaches */
	struct tcmu_server *server;
	struct offload job;
	struct err err;
	struct timer timer;
	uint64_t give_up; /* reactor_now() scale */
	void (*next)(struct tcmu_attach *a);
	char core[128]; /* "user_3260/stgt.1.1" */
	bool made_core, made_fabric;
};
/* -EEXIST, -EINVAL, -EBUSY (another attach or detach of it is under way) and @e: done is not called. */
int tcmu_attach(struct tcmu_server *s, struct tcmu_attach *a, struct err *e);
/* The reverse, with fabric links of ours: target and lun in. -ENOENT, -EINVAL, -EBUSY and @e: done is not called. */
int tcmu_detach(struct tcmu_server *s, struct tcmu_attach *a, struct err *e);

/*
 * End: no new device is taken up; commands under way end, at most @grace_ns; @done(@arg) on control when no
 * device is served. Kernel devices stay: their commands wait for the next daemon (block_dev).
 */
void tcmu_server_stop(struct tcmu_server *s, uint64_t grace_ns, void (*done)(void *arg), void *arg);
/* After done; the data reactors have stopped or have nothing left to do for it. */
void tcmu_server_destroy(struct tcmu_server *s);

/* Objects alive, for `stat` and leak checks. Any thread. */
struct tcmu_live {
	uint64_t devices, tasks; /* served; commands under way */
	uint64_t commands, unknown_entries, ring_errors, tmr; /* ever */
};
void tcmu_get_live(const struct tcmu_server *s, struct tcmu_live *l);

extern const struct transport_ops tcmu_transport_ops;

#endif
