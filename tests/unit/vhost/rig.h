/* SPDX-License-Identifier: BSD-2-Clause */
/* A piece of guest memory and a driver's half of a ring, in one process: no daemon, no socket. */
#ifndef TESTS_UNIT_VHOST_RIG_H
#define TESTS_UNIT_VHOST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/vhost/vring.h"

#define RIG_GUEST 0x100000000ull /* the guest's address of the memory */
#define RIG_USER 0x7f0000000000ull /* the front end's */
#define RIG_SIZE (4u << 20)
/* Offsets in the memory. */
#define RIG_DESC 0x0
#define RIG_DRIVER 0x10000
#define RIG_DEVICE 0x20000
#define RIG_TABLE 0x40000
#define RIG_DATA 0x100000

struct rig {
	int fd;
	uint8_t *mem; /* the driver's view */
	struct vmem *map;
	atomic_bool broken;
	struct vring ring;
	struct vchain chain;
	void *log; /* in-flight memory, private to the test */
	/* the driver */
	unsigned size;
	bool packed;
	uint16_t avail, used;
	bool avail_wrap, used_wrap;
};

/* A memfd of @size bytes. */
int rig_memfd(size_t size);
void rig_begin(struct rig *r);
void rig_end(struct rig *r);
/* Start the ring with these features; @region: in-flight memory or NULL. */
void rig_start(struct rig *r, unsigned size, uint64_t features, void *region);
/* Stop it and start it again as another daemon would, with nothing but what the memory says. */
void rig_restart(struct rig *r, uint64_t features, void *region);

/* Split: descriptor @i. */
void split_desc(struct rig *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next);
/* Make the chain at @head available. */
void split_offer(struct rig *r, uint16_t head);
/* The next used entry, false if there is none. */
bool split_used(struct rig *r, uint32_t *id, uint32_t *len);
/* Packed: the next place gets this descriptor, whose flags count when packed_offer() is called with its place. */
void packed_put(struct rig *r, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags);
bool packed_used(struct rig *r, uint16_t *id, uint32_t *len, unsigned slots);
/*
 * A request of 51 + @out readable and 108 + @in writable bytes as a chain of up to four descriptors
 * with id or head @id.
 */
void rig_offer(struct rig *r, uint16_t id, uint32_t out, uint32_t in);
/* Take one and expect it to be @id. */
struct vhandle rig_take(struct rig *r, uint16_t id);

#define GUEST(off) (RIG_GUEST + (off))

#endif
