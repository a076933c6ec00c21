/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue, device side: split (virtio 1.2, 2.7) or packed (2.8). What is read from the guest's memory is read
 * once, to private memory, and checked there; loops end with the queue's size.
 *
 * A chain is taken (vring_take), and later given back with the number of bytes written
 * (vring_give). What was given back is the
 * driver's only after vring_publish(): a batch at a time, with at most one call for it.
 *
 * Errors leave a reason in vring.why; the ring is to be stopped then. vring*.c know nothing of SCSI.
 */
#ifndef STGT_TRANSPORT_VHOST_VRING_H
#define STGT_TRANSPORT_VHOST_VRING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "transport/vhost/inflight.h"
#include "transport/vhost/memory.h"
#include "transport/vhost/proto.h"

#define VCHAIN_SEGMENTS 1024 /* a direction: as many as a command may have */
#define VCHAIN_DESCS_MAX 1024u /* descriptors of a chain, those of an indirect table among them */

/* A chain of buffers, private and translated. One per reactor: it is used up before the next is taken. */
struct vchain {
	uint16_t id; /* split: the head; packed: the buffer id */
	uint16_t slots; /* places of the ring that it takes */
	uint16_t entry; /* of the in-flight log */
	unsigned out_cnt, in_cnt; /* out: the device reads it */
	uint32_t out_len, in_len; /* bytes */
	struct iovec out[VCHAIN_SEGMENTS], in[VCHAIN_SEGMENTS];
	union {
		struct split_desc split[VCHAIN_DESCS_MAX];
		struct packed_desc packed[VCHAIN_DESCS_MAX];
	} table; /* copy of an indirect one */
};

/* What names a chain that was taken when it is given back. */
struct vhandle {
	uint16_t id, slots, entry;
};

struct vring {
	/* configuration: the front end's words */
	uint32_t size;
	uint64_t desc_user, driver_user, device_user; /* the front end's addresses */
	bool has_addr;
	bool has_base;
	uint32_t base; /* SET_VRING_BASE */

	/* while started */
	bool started;
	bool packed, event_idx, indirect;
	void *desc; /* where the areas are here */
	void *driver; /* available ring; driver event suppression */
	void *device; /* used ring; device event suppression */
	uint16_t avail; /* place of the next chain; split: counts freely */
	uint16_t avail_seen; /* split: the index that the driver last told */
	uint16_t used; /* place of the next used entry; split: counts freely */
	bool avail_wrap, used_wrap; /* packed */
	unsigned staged; /* given back and not published: chains */
	unsigned staged_slots;
	bool wants_call; /* of a batch that was published because there was no room */
	uint16_t staged_id[VRING_SIZE_MAX]; /* their in-flight entries */
	uint16_t first_at, first_flags; /* packed: the first staged one, whose flags come last */
	unsigned taken; /* chains that were not given back */
	const char *why;

	struct vlog log; /* log.region NULL: nothing is logged */
};

/*
 * Start: find the areas in @m, read where the driver is; @region (may be NULL) is the ring's part
 * of the in-flight memory,
 * in which case what was in flight is taken first, in its order. -errno and r->why.
 */
int vring_start(struct vring *r, struct vmem *m, uint64_t features, void *region);
/* Find the areas in @m, another map. False: they are not there. */
bool vring_translate(struct vring *r, const struct vmem *m);
void vring_stop(struct vring *r);
/* Where it is, for GET_VRING_BASE. */
uint32_t vring_base(const struct vring *r);

/* 1: a chain is in *@c; 0: there is none; -EPROTO and r->why. */
int vring_take(struct vring *r, struct vmem *m, struct vchain *c);
/* There is a chain to take. */
bool vring_ready(const struct vring *r);
static inline struct vhandle vring_handle(const struct vchain *c)
{
	return (struct vhandle){ c->id, c->slots, c->entry };
}

/* Give @h back, @len bytes of it written. */
void vring_give(struct vring *r, struct vhandle h, uint32_t len);
/* It is not given back to anybody: the driver has been reset. */
void vring_forget(struct vring *r, struct vhandle h);
/* What was given back is the driver's now. True: it wants to be called. */
bool vring_publish(struct vring *r);

/* The driver need not tell of new chains. */
void vring_quiet(struct vring *r);
/* It has to. True: there is one already. */
bool vring_listen(struct vring *r);

/* ---- between vring*.c ------------------------------------------------------------------- */

#define VRING_NONE 0xffffu

/*
 * Sequentially consistent, towards another process. (gcc takes no __atomic_thread_fence() where the thread
 * sanitizer is on, which does not see that process anyway.)
 */
static inline void vring_fence(void)
{
	__sync_synchronize();
}

int split_take(struct vring *r, struct vmem *m, struct vchain *c);
bool split_ready(const struct vring *r);
void split_stage(struct vring *r, uint16_t id, uint32_t len);
bool split_publish(struct vring *r);
void split_quiet(struct vring *r);
bool split_listen(struct vring *r);
void split_start(struct vring *r);

int packed_take(struct vring *r, struct vmem *m, struct vchain *c);
bool packed_ready(const struct vring *r);
void packed_stage(struct vring *r, const struct vhandle *h, uint32_t len);
bool packed_publish(struct vring *r);
void packed_quiet(struct vring *r);
bool packed_listen(struct vring *r);
void packed_start(struct vring *r);

int vring_error(struct vring *r, const char *why);
/* Put a buffer into @c. -EPROTO. */
int chain_add(struct vring *r, struct vmem *m, struct vchain *c, uint64_t addr, uint32_t len,
	      bool write);
/* Copy an indirect table to c->table; how many descriptors it has, or -EPROTO. */
int chain_table(struct vring *r, struct vmem *m, struct vchain *c, uint64_t addr, uint32_t len);
/*
 * A descriptor of a chain to come: what it names is brought near, be it a table or a buffer. With @deep what the
 * table's first descriptor names is, too: the request's header. Only a hint: nothing is believed.
 */
void chain_hint(struct vmem *m, uint64_t addr, uint16_t flags, bool deep);
static inline void chain_begin(struct vchain *c)
{
	c->out_cnt = c->in_cnt = 0;
	c->out_len = c->in_len = 0;
}

/* virtio 1.2, 2.7.10: going from @old to @now passes @event. */
static inline bool vring_passes(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

#endif
