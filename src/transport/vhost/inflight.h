/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of what is in flight (vhost-user, "Inflight I/O tracking"): memory that front end and
 * device share, so that a
 * daemon that comes after this one submits anew what this one left undone, in the order it was fetched.
 *
 * The other side could change this memory, so it is only written while the ring runs; it is read, and
 * checked, at the start.
 */
#ifndef STGT_TRANSPORT_VHOST_INFLIGHT_H
#define STGT_TRANSPORT_VHOST_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/vhost/proto.h"

struct split_entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct split_region {
	uint64_t features;
	uint16_t version, desc_num;
	uint16_t last_batch_head, used_idx;
	struct split_entry desc[];
};

struct packed_entry {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};

struct packed_region {
	uint64_t features;
	uint16_t version, desc_num;
	uint16_t free_head, old_free_head;
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap_counter, old_used_wrap_counter;
	uint8_t padding[10];
	struct packed_entry desc[];
};

_Static_assert(sizeof(struct split_entry) == 16 && sizeof(struct split_region) == 16, "vhost-user");
_Static_assert(sizeof(struct packed_entry) == 32 && sizeof(struct packed_region) == 32,
	       "vhost-user");

/* A ring's part of the log, and what is private of it. */
struct vlog {
	void *region; /* NULL: nothing is logged */
	uint16_t size;
	uint64_t counter;
	/* to be submitted anew, in order */
	uint16_t again[VRING_SIZE_MAX];
	unsigned nagain, next_again;
	/* split */
	uint16_t last_batch_head;
	/* packed: the truth of what the region has */
	uint16_t free_head;
	uint16_t next[VRING_SIZE_MAX];
	uint16_t last[VRING_SIZE_MAX], num[VRING_SIZE_MAX]; /* of heads */
	struct packed_desc desc[VRING_SIZE_MAX];
};

/* Bytes that a ring of @size takes in the log; @packed or not. */
size_t vlog_size(unsigned size, bool packed);

/*
 * Begin to log in @region, whose ring's used index is *@used (split: read from the ring): finds
 * what is to be submitted
 * anew. For packed rings *@used, *@wrap (used index and wrap counter) are as the front end says,
 * and are set to what the
 * log says if it has been used. @desc: the ring. -EINVAL and *@why if the region is none of this size.
 */
int vlog_start_split(struct vlog *l, void *region, unsigned size, uint16_t used, const char **why);
int vlog_start_packed(struct vlog *l, void *region, unsigned size, const struct packed_desc *desc,
		      uint16_t *used, bool *wrap, const char **why);

/* Descriptors' slots that are to be submitted anew. */
unsigned vlog_slots(const struct vlog *l, bool packed);

static inline bool vlog_has_again(const struct vlog *l)
{
	return l->next_again < l->nagain;
}

/* The chain with this head has been fetched. */
void vlog_take_split(struct vlog *l, uint16_t head);
/* @n chains have been staged; the used index is about to be published; and has been. */
void vlog_give_split(struct vlog *l, const uint16_t *heads, unsigned n);
void vlog_given_split(struct vlog *l, const uint16_t *heads, unsigned n, uint16_t used);

/*
 * The same for packed: a chain is put in descriptor by descriptor, and has the entry that the
 * first call returned; VRING_NONE: no
 * room, which the caller's bounds prevent.
 */
uint16_t vlog_begin_packed(struct vlog *l);
bool vlog_add_packed(struct vlog *l, uint16_t entry, const struct packed_desc *d);
void vlog_give_packed(struct vlog *l, const uint16_t *entries, unsigned n, uint16_t used, bool wrap);
void vlog_given_packed(struct vlog *l, const uint16_t *entries, unsigned n, uint16_t used,
		       bool wrap);

/* Given back to nobody. */
void vlog_forget(struct vlog *l, bool packed, uint16_t entry);

#endif
