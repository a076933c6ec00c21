/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's data side inside the simulation: a control reactor, one to
 * three data reactors, one target, disks over simulated files. Everything not
 * fixed here is chosen by chance.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "client.h"
#include "sam/lu.h"
#include "sam/target.h"

#define WORLD_TARGET "iqn.2026-11.sim:target"
#define WORLD_DISKS 3
#define WORLD_SECTORS 1024u /* of a disk, of SIM_SECTOR bytes, when it is whole */

enum disk_state {
	DISK_OUT, /* its file exists, nothing else */
	DISK_COMING,
	DISK_IN, /* mapped at lun */
	DISK_GOING,
};

struct disk {
	unsigned index;
	uint64_t lun;
	enum disk_state state;
	struct sim_file *file;
	uint32_t block; /* bytes */
	bool wce; /* the default mode parameter */
	struct store *store;
	struct lu *lu;
	bool changing; /* resized or swapped */
};

struct world {
	uint64_t seed;
	struct reactor *control, *data[3];
	size_t memory; /* of each data reactor, bytes */
	unsigned n;
	struct targets ts;
	struct target *target;
	struct iscsi_server *server;
	struct disk disk[WORLD_DISKS];
	unsigned disks;
};
extern struct world world;

/* Bring the daemon up with all disks. */
void world_begin(uint64_t seed);
/* Everybody has left: end the daemon and look that nothing of it is left. */
void world_end(void);
/* The power fails and comes back: everybody must have dropped (client_drop) before. The disks keep what survived. */
void world_power_cut(void);

/* Change what there is; @done(@disk) when the daemon has done it. */
void world_add(struct disk *d, void (*done)(struct disk *d));
void world_remove(struct disk *d, void (*done)(struct disk *d));
void world_resize(struct disk *d, uint64_t bytes, void (*done)(struct disk *d));
/* Another store, over a file with the same contents, takes the place of the disk's. */
void world_swap(struct disk *d);

/* The daemon is within its limits of memory. Cheap; to be called often. */
void world_check(void);

/* Step until @cond. It takes at most @seconds of virtual time, else it is a violation: @what never happened. */
#define world_until(cond, seconds, ...) \
	do { \
		uint64_t until_ns = sim_now() + (uint64_t)(seconds)*NSEC_PER_SEC; \
		while (!(cond)) { \
			if (!sim_step() || sim_now() > until_ns) \
				sim_violation("never: " __VA_ARGS__); \
		} \
	} while (0)

#endif
