/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's generic netlink family TCM-USER: it tells of devices that come, go and change, and waits for a reply.
 * The family is there once target_core_user is loaded; until then, nlctrl tells of new families.
 */
#ifndef STGT_TRANSPORT_TCMU_NETLINK_H
#define STGT_TRANSPORT_TCMU_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/reactor.h"

struct tcmu_sys;

struct tcmu_event {
	unsigned cmd; /* TCMU_CMD_ADDED_DEVICE, TCMU_CMD_REMOVED_DEVICE, TCMU_CMD_RECONFIG_DEVICE */
	char device[512]; /* "tcm-user/0/disk1/stgt/..." */
	unsigned minor;
	bool has_id;
	uint32_t id;
	/* RECONFIG: one of them */
	bool has_config, has_size, has_cache;
	char config[256];
	uint64_t size;
	uint8_t cache;
};

/* On control. */
struct tcmu_netlink {
	struct reactor *control;
	const struct tcmu_sys *sys;
	int fd; /* -1: this host has none */
	uint16_t family; /* 0: not there yet */
	struct io_op poll;
	void (*event)(void *arg, const struct tcmu_event *ev);
	void (*ready)(
		void *arg); /* the family is there, and replies are promised; or messages were lost */
	void *arg;
	void (*closed)(void *arg);
	bool closing;
};

/* Set n->event, ready and arg before. Where there is no netlink, nothing ever comes. */
void tcmu_netlink_open(struct tcmu_netlink *n, struct reactor *control, const struct tcmu_sys *sys);
/* @closed(@arg) follows. */
void tcmu_netlink_close(struct tcmu_netlink *n, void (*closed)(void *arg));
/* Ask whether the family is there. */
void tcmu_netlink_ask(struct tcmu_netlink *n);
/* What the kernel waits for after the event @cmd of device @id: 0 or -errno. */
void tcmu_netlink_reply(struct tcmu_netlink *n, unsigned cmd, uint32_t id, int status);

/* Take the event out of a message of the family, for tests and fuzzing, too. False: it is none. */
bool tcmu_netlink_parse(const uint8_t *msg, size_t len, struct tcmu_event *ev);

#endif
