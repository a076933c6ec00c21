/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hypervisor and a guest's driver in one, for a vhost-user-scsi socket: memory that is shared by descriptors,
 * the messages, rings of both kinds, and the structures of the SCSI host. A test gets at everything and
 * may forge it; what goes wrong by itself ends the program with a sentence (front_die()). One thread.
 *
 * Guest memory is given out from the start of a region and never taken back, but for front_rewind().
 */
#ifndef TESTS_VHOST_FRONT_H
#define TESTS_VHOST_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

#define FRONT_REGIONS 40 /* more than servers offer */
#define FRONT_RINGS 66
#define FRONT_RING_MAX 32768u
#define FRONT_SEGS 256

/* Say it and end with status 1. */
_Noreturn void front_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The bound of all waiting, in milliseconds; a sanitizer's daemon is given more (STGT_FLAVOUR). */
int front_patience(void);
uint64_t front_now_ms(void);

/* ---- memory ------------------------------------------------------------------------------- */

struct front_region {
	uint64_t guest, user, size, offset; /* offset: of the region in its file */
	int fd;
	uint8_t *at; /* our mapping of the region */
	uint64_t used; /* bytes given out */
	bool shared; /* the server has been told */
};

/* A memfd of @offset + @size bytes whose last @size ones appear at guest address @guest. Its index. */
struct front;
unsigned front_add_region(struct front *f, uint64_t guest, uint64_t size, uint64_t offset);
/* Give out @len bytes of region @region; their guest address. */
uint64_t front_alloc_in(struct front *f, unsigned region, uint64_t len, uint64_t align);
/* The same in the first one that has room. */
uint64_t front_alloc(struct front *f, uint64_t len, uint64_t align);
/* Where guest memory is here; it must be all in one region. */
void *front_at(struct front *f, uint64_t guest, uint64_t len);
/* Copy to and from guest memory, which may lie across regions. */
void front_put(struct front *f, uint64_t guest, const void *from, uint64_t len);
void front_get(struct front *f, uint64_t guest, void *to, uint64_t len);

/* ---- rings -------------------------------------------------------------------------------- */

struct front_seg {
	uint64_t addr;
	uint32_t len;
};

struct front_ring {
	struct front *front;
	unsigned index, num;
	bool started;
	/* guest addresses; packed: avail is the driver's event area, used the device's */
	uint64_t desc_addr, avail_addr, used_addr;
	uint8_t *desc, *avail, *used;
	int kick, call, err;
	/* the driver's side */
	uint16_t next_avail, next_used; /* split: indices that run freely; packed: positions */
	bool avail_wrap, used_wrap; /* packed */
	uint16_t added; /* descriptors (split: heads) since the last front_kick() */
	unsigned free; /* descriptors */
	uint16_t free_head;
	uint16_t *next; /* split: list of free descriptors; packed: list of free ids */
	uint16_t *length; /* of the chain with this head or id */
	void **token; /* of it */
	uint64_t kicks, calls; /* eventfd writes, reads */
	bool wants_calls; /* front_arm() or _disarm() came last */
};

/*
 * Put a chain on the ring; @token comes back with its completion. First @nread segments that the device reads,
 * then @nwrite that it writes. @table: where to make an indirect table (guest address), 0: in the ring. Not
 * seen by the device before front_publish(). False: there is no room.
 */
bool front_add(struct front_ring *r, const struct front_seg *seg, unsigned nread, unsigned nwrite,
	       uint64_t table, void *token);
void front_publish(struct front_ring *r);
/* Publish, and kick if the device wants to know; true if it did. */
bool front_kick(struct front_ring *r);
void front_kick_always(struct front_ring *r);
/* Take one completion; its token, or NULL if there is none. One that was never asked for ends the program. */
void *front_take(struct front_ring *r, uint32_t *len);
/* Is there a completion? */
bool front_has_used(struct front_ring *r);
/* Ask for an interrupt at the next completion. True if there is one already. */
bool front_arm(struct front_ring *r);
/* The same, but only when @later more are there; with event index only. */
void front_arm_later(struct front_ring *r, unsigned later);
void front_disarm(struct front_ring *r);
/* Take the interrupt, if there was one. */
bool front_called(struct front_ring *r);

/* Forging: descriptor @i of the ring, as bytes. @last: next (split) or id (packed). */
void front_forge(struct front_ring *r, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t last);
/* An indirect table's. */
void front_forge_at(struct front *f, uint64_t table, unsigned i, uint64_t addr, uint32_t len,
		    uint16_t flags, uint16_t last);
/* Split: put @head on the available ring, without a look at anything. */
void front_push_head(struct front_ring *r, uint16_t head);

/* ---- a device ----------------------------------------------------------------------------- */

struct front_opts {
	uint64_t features; /* to accept of those offered; VERSION_1 and PROTOCOL_FEATURES are always asked for */
	uint64_t protocol;
	unsigned queues; /* request queues; 0: 1 */
	unsigned ring_size; /* 0: 128 */
	unsigned lun; /* that requests are for unless they say another */
	uint64_t memory; /* of region 0, if the caller adds none: 0: 32 MiB */
};

struct front {
	struct front_opts opts;
	char path[108];
	int sock;
	uint64_t offered, features, protocol_offered, protocol; /* what was agreed */
	unsigned queues_offered, slots_offered;
	struct front_region region[FRONT_REGIONS];
	unsigned nregions;
	struct front_ring ring[FRONT_RINGS];
	unsigned nrings;
	uint64_t next_tag;
	struct {
		int fd;
		uint64_t size, offset;
	} inflight; /* size 0: none */
};

#define FRONT_USUAL \
	(BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | \
	 BIT64(VIRTIO_SCSI_F_HOTPLUG) | BIT64(VIRTIO_SCSI_F_CHANGE))
#define FRONT_PACKED (FRONT_USUAL | BIT64(VIRTIO_F_RING_PACKED))
#define FRONT_PROTOCOL \
	(BIT64(VU_P_MQ) | BIT64(VU_P_REPLY_ACK) | BIT64(VU_P_INFLIGHT_SHMFD) | \
	 BIT64(VU_P_CONFIGURE_MEM_SLOTS) | BIT64(VU_P_RESET_DEVICE))

/* Begin: no memory, no connection. */
void front_init(struct front *f, const struct front_opts *o);
/* Connect, for as long as it takes until somebody listens. */
void front_connect(struct front *f, const char *path);
/* Features, protocol features, number of queues and slots. */
void front_negotiate(struct front *f);
/* Tell memory (by table, or by regions where that was agreed), and in-flight memory if agreed. */
void front_share_memory(struct front *f);
void front_share_inflight(struct front *f);
/* Make the ring's memory, once, and start it at index @base. Ring 0 and up. */
void front_make_rings(struct front *f);
void front_start_ring(struct front *f, struct front_ring *r, uint32_t base);
/* Stop it; the base that the server says. */
uint32_t front_stop_ring(struct front *f, struct front_ring *r);
/* What a stopped ring's base has to be, if nothing is under way. */
uint32_t front_base(const struct front_ring *r);
/* All of it: region 0, connection, negotiation, rings. */
void front_open(struct front *f, const char *path, const struct front_opts *o);
/* The connection ended: another, with the memory, the rings and what is in flight as they are. */
void front_reopen(struct front *f);
void front_hang_up(struct front *f);
void front_close(struct front *f);
static inline struct front_ring *front_queue(struct front *f, unsigned n)
{
	return &f->ring[RING_REQUEST + n];
}
static inline bool front_has(const struct front *f, unsigned feature)
{
	return f->features >> feature & 1;
}
static inline bool front_speaks(const struct front *f, unsigned protocol_feature)
{
	return f->protocol >> protocol_feature & 1;
}

/* ---- messages ----------------------------------------------------------------------------- */

/* Send as it is said; false if the connection has ended. */
bool front_send(struct front *f, uint32_t request, uint32_t flags, const void *payload,
		uint32_t len, const int *fds, unsigned nfds);
bool front_send_raw(struct front *f, const void *bytes, size_t len, const int *fds, unsigned nfds);
/* Wait for a reply to @request; its length, -1 if the connection ended. @fd: one that came with it, or -1. */
int front_reply(struct front *f, uint32_t request, void *payload, size_t room, int *fd);
/* Send and wait for the acknowledgement, where these were agreed: its value; 0 without. */
uint64_t front_tell(struct front *f, uint32_t request, const void *payload, uint32_t len,
		    const int *fds, unsigned nfds);
uint64_t front_tell_u64(struct front *f, uint32_t request, uint64_t value);
uint64_t front_tell_ring(struct front *f, uint32_t request, unsigned index, uint32_t num);
void front_tell_fd(struct front *f, uint32_t request, uint64_t value, int fd);
uint64_t front_ask(struct front *f, uint32_t request);
/* A region as messages have it. */
void front_region_bytes(const struct front_region *r, uint8_t to[VU_REGION]);
/* True once the server has closed the connection; waits for that. False: it is there when patience ends. */
bool front_ended(struct front *f);
/* True if the server has closed it by now. */
bool front_gone(struct front *f);
/* A message and its answer: what was sent before has been seen. */
void front_barrier(struct front *f);

#endif
