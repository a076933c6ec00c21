/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring's floor: the least program that answers the tests' own vhost-user-scsi front end. One thread, one
 * connection at a time; believes what it is told, as its front end is ours. It has no SCSI stack: READ fills
 * the guest's pages with zeroes (or copies from memory), WRITE takes them, a few others have fixed answers.
 */
#ifndef STGT_BENCH_VHOST_FLOOR_H
#define STGT_BENCH_VHOST_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../vhost/wire.h"
#include "common.h"

#define VF_REGIONS 32
#define VF_QUEUES 18 /* control, event, 16 request */
#define VF_SEGS 1024
#define VF_BLOCK 512u

struct vf_region {
	uint64_t guest, size, user;
	uint8_t *at; /* the region's first byte */
	void *map;
	size_t map_len;
};

struct vf_queue {
	bool enabled, has_addr, used_wrap, avail_wrap;
	uint16_t num, last_avail, last_used;
	int kick, call;
	uint8_t *desc, *avail,
		*used; /* packed: avail is the driver's event area, used the device's */
	uint16_t signalled; /* used index (packed: position) of the last look for an interrupt */
};

struct vf {
	bool packed, event_idx;
	uint64_t features;
	struct vf_region region[VF_REGIONS];
	unsigned nregions, last_region;
	struct vf_queue queue[VF_QUEUES];
	uint8_t *disk; /* NULL: reads are zeroes */
	uint64_t blocks;
};

/* One chain: what the device may read, then what it may write. */
struct vf_chain {
	struct iovec seg[VF_SEGS];
	unsigned nread, n;
	uint16_t id, len; /* len: of descriptors in the ring (packed) */
};

/* NULL if it is not the guest's. */
uint8_t *vf_guest(struct vf *v, uint64_t addr, uint64_t len);

/* vhost_floor_ring.c: answer all that is there, and interrupt at most once. */
void vf_serve(struct vf *v, struct vf_queue *q, unsigned index);
/* vhost_floor_scsi.c: answer one request; the number of bytes written. */
uint32_t vf_request(struct vf *v, struct vf_chain *c);
uint32_t vf_control(struct vf_chain *c);

#endif
