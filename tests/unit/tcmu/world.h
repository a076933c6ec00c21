/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host within the test: a kernel with TCMU in place of the real one (folders for sysfs and configfs, memory and a
 * socket pair for each uio device, a socket pair for netlink), a control reactor and two data reactors stepped by
 * one thread, a target with a small disk in memory at LUN 1 and one at LUN 2.
 */
#ifndef TESTS_TCMU_WORLD_H
#define TESTS_TCMU_WORLD_H

#include <stdatomic.h>

#include "kernel.h"
#include "transport/tcmu/life.h"

#define WORLD_TARGET "iqn.2026-11.test:disk"
#define WORLD_CONFIG "stgt/" WORLD_TARGET "/1"
#define WORLD_BYTES (4u << 20)
#define WORLD_BLOCK 512
#define WORLD_CMDR 16320u /* with the mailbox four pages */
#define WORLD_UIOS 80

struct uio {
	_Atomic bool there;
	char name[256]; /* tcm-user/0/disk1/... */
	struct kernel k;
	int memory; /* a file that both map */
	_Atomic int fd; /* the kernel's end of the socket pair */
	int stale[16]; /* ends of earlier opens: somebody may still look at them */
	unsigned nstale;
	_Atomic bool open;
	unsigned notified; /* uio writes */
};

struct world {
	char dir[64];
	struct reactor *control, *data[2];
	struct targets ts;
	struct target *target;
	struct lu *lu[2];
	struct store *store[2];
	struct tcmu_server *server;
	struct uio uio[WORLD_UIOS];
	int netlink; /* the kernel's end */
	bool family, listens,
		promised; /* the family is there; its group was joined; replies are promised */
	/* the last reply */
	unsigned replies, reply_cmd;
	uint32_t reply_id;
	int reply_status;
	/* writes to configfs that tests look at */
	_Atomic unsigned blocks, resets;
	_Atomic int reset_level;
	bool deny_modules;
	bool silent; /* configfs tells of nothing by netlink */
	_Atomic bool hold_open; /* devices are being opened until it ends */
	const char *deny; /* a file of configfs that takes nothing */
};
extern struct world world;

void world_begin(void);
void world_end(void);
/* Start the server; world_end() stops it. */
void world_serve(void);
void world_stop(uint64_t grace_ns);
/* The same in two parts, with something between. */
void world_stop_begin(uint64_t grace_ns, bool *stopped);
void world_stop_end(void);
void world_step(void);
bool world_idle(void);

#define world_until(cond) \
	do { \
		for (int tries = 0;; tries++) { \
			if (cond) \
				break; \
			if (tries == 200000) \
				world_never(__FILE__, __LINE__, #cond); \
			world_step(); \
		} \
	} while (0)
void world_never(const char *file, int line, const char *what) __attribute__((noreturn));

/* The kernel has a device: in sysfs; by netlink only if @tell. Returns its place. */
unsigned world_add(const char *core, const char *config, bool tell);
void world_tell(unsigned cmd, unsigned minor, const char *name);
/* The family has come: the module was loaded. */
void world_tell_family(void);
/* RECONFIG with one attribute. */
void world_reconfig(unsigned minor, uint16_t type, const void *data, uint16_t len);
void world_remove(unsigned minor);
struct tcmu_device *world_device(unsigned minor);
/* The device serves, and its unit attentions are taken. */
struct kernel *world_ready(unsigned minor);

/* Tell the handler of what was queued. */
void world_poke(unsigned minor);
/* A command through the ring, to its end. */
struct kernel_cmd *world_run(unsigned minor, const uint8_t *cdb, unsigned cdb_len,
			     enum kernel_dir dir, const void *out, uint32_t len);
void world_map(uint64_t lun);
void world_unmap(uint64_t lun);

#endif
