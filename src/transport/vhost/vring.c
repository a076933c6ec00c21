/* SPDX-License-Identifier: BSD-2-Clause */
/* What split and packed rings have in common. */
#include "transport/vhost/vring.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"

int vring_error(struct vring *r, const char *why)
{
	r->why = why;
	return -EPROTO;
}

/* ---- chains --------------------------------------------------------------------------- */

int chain_add(struct vring *r, struct vmem *m, struct vchain *c, uint64_t addr, uint32_t len,
	      bool write)
{
	struct iovec *v = write ? c->in : c->out;
	unsigned *cnt = write ? &c->in_cnt : &c->out_cnt;
	uint32_t *sum = write ? &c->in_len : &c->out_len;

	if (unlikely(!write && c->in_cnt))
		return vring_error(r, "a readable buffer comes after a writable one");
	if (unlikely(len > UINT32_MAX - *sum))
		return vring_error(r, "a chain has more than 4 GiB");
	*sum += len;
	while (len) {
		uint64_t run;
		void *at = vmem_at(m, addr, &run);

		if (unlikely(!at))
			return vring_error(r, "a buffer is outside of the memory");
		if (unlikely(*cnt == VCHAIN_SEGMENTS))
			return vring_error(r, "a chain has too many segments");
		run = min(run, (uint64_t)len);
		v[(*cnt)++] = (struct iovec){ at, run };
		addr += run;
		len -= (uint32_t)run;
	}
	return 0;
}

int chain_table(struct vring *r, struct vmem *m, struct vchain *c, uint64_t addr, uint32_t len)
{
	if (unlikely(!r->indirect))
		return vring_error(r, "an indirect table was not negotiated");
	if (unlikely(!len || len % sizeof(struct split_desc)))
		return vring_error(r, "an indirect table has a bad length");
	if (unlikely(len > sizeof(c->table)))
		return vring_error(r, "an indirect table is too long");
	if (unlikely(!vmem_read(m, addr, &c->table, len)))
		return vring_error(r, "an indirect table is outside of the memory");
	return (int)(len / sizeof(struct split_desc));
}

void chain_hint(struct vmem *m, uint64_t addr, uint16_t flags, bool deep)
{
	uint64_t run;
	const uint64_t *at = vmem_at(m, addr, &run);

	if (at && deep && flags & DESC_INDIRECT) {
		if ((uintptr_t)at % sizeof(*at) || run < sizeof(*at))
			return;
		at = vmem_at(m, __atomic_load_n(at, __ATOMIC_RELAXED), &run);
	}
	if (at)
		__builtin_prefetch(at);
}

/* ---- life ------------------------------------------------------------------------------ */

static bool place(void **at, const struct vmem *m, uint64_t user, uint64_t len, unsigned align)
{
	void *p = vmem_user(m, user, len);

	if (!p || (uintptr_t)p % align)
		return false;
	*at = p;
	return true;
}

bool vring_translate(struct vring *r, const struct vmem *m)
{
	uint64_t n = r->size;

	if (!place(&r->desc, m, r->desc_user, n * sizeof(struct split_desc), 16))
		return false;
	if (r->packed)
		return place(&r->driver, m, r->driver_user, sizeof(struct packed_event), 4) &&
		       place(&r->device, m, r->device_user, sizeof(struct packed_event), 4);
	/* flags, index, ring, and with the event index its place */
	return place(&r->driver, m, r->driver_user, 4 + 2 * n + (r->event_idx ? 2 : 0), 2) &&
	       place(&r->device, m, r->device_user, 4 + 8 * n + (r->event_idx ? 2 : 0), 4);
}

static int start_log(struct vring *r, void *region)
{
	unsigned slots;
	int rc;

	if (r->packed)
		rc = vlog_start_packed(&r->log, region, r->size, r->desc, &r->used, &r->used_wrap,
				       &r->why);
	else
		rc = vlog_start_split(&r->log, region, r->size, r->used, &r->why);
	if (rc)
		return rc;
	/* the front end of a daemon that died does not know how far it had come */
	slots = vlog_slots(&r->log, r->packed);
	if (slots > r->size) {
		r->why = "the in-flight memory has more than the ring";
		return -EINVAL;
	}
	if (!r->packed) {
		r->avail = r->avail_seen = (uint16_t)(r->used + slots);
		return 0;
	}
	if (!slots && r->used == r->avail && r->used_wrap == r->avail_wrap)
		return 0;
	r->avail = (uint16_t)((r->used + slots) % r->size);
	r->avail_wrap = r->used_wrap ^ (r->used + slots >= r->size);
	return 0;
}

static const char *refuse(const struct vring *r)
{
	if (!r->size || r->size > VRING_SIZE_MAX)
		return "its size was not set";
	if (!r->packed && !is_pow2(r->size))
		return "a split ring's size is a power of two";
	if (!r->has_addr)
		return "its addresses were not set";
	if (r->packed && ((r->base & 0x7fff) >= r->size || (r->base >> 16 & 0x7fff) >= r->size))
		return "its base is beyond its size";
	if (!r->packed && r->base > UINT16_MAX)
		return "its base is beyond 16 bits";
	return NULL;
}

int vring_start(struct vring *r, struct vmem *m, uint64_t features, void *region)
{
	int rc;

	r->packed = features & VF_RING_PACKED;
	r->event_idx = features & VF_EVENT_IDX;
	r->indirect = features & VF_INDIRECT_DESC;
	r->why = refuse(r);
	if (r->why)
		return -EINVAL;
	if (!vring_translate(r, m)) {
		r->why = "its areas are not in the memory, or not aligned";
		return -EFAULT;
	}
	r->staged = r->staged_slots = 0;
	r->wants_call = false;
	r->log.region = NULL;
	r->log.nagain = r->log.next_again = 0;
	if (r->packed)
		packed_start(r);
	else
		split_start(r);
	rc = region ? start_log(r, region) : 0;
	if (rc)
		return rc;
	r->started = true;
	return 0;
}

void vring_stop(struct vring *r)
{
	if (!r->started)
		return;
	r->base = vring_base(r);
	r->has_base = true;
	r->started = false;
	r->desc = r->driver = r->device = NULL;
	r->log.region = NULL;
}

uint32_t vring_base(const struct vring *r)
{
	if (!r->started)
		return r->base;
	if (!r->packed)
		return r->avail;
	return r->avail | (uint32_t)r->avail_wrap << 15 | (uint32_t)r->used << 16 |
	       (uint32_t)r->used_wrap << 31;
}

/* ---- either kind ------------------------------------------------------------------------- */

int vring_take(struct vring *r, struct vmem *m, struct vchain *c)
{
	int rc = r->packed ? packed_take(r, m, c) : split_take(r, m, c);

	if (likely(rc > 0))
		r->taken++;
	return rc;
}

bool vring_ready(const struct vring *r)
{
	return vlog_has_again(&r->log) || (r->packed ? packed_ready(r) : split_ready(r));
}

void vring_give(struct vring *r, struct vhandle h, uint32_t len)
{
	/* more than the ring has: only a driver that reuses what it has not got back brings this about */
	if (unlikely(r->staged == r->size || r->staged_slots + h.slots > r->size))
		r->wants_call |= vring_publish(r);
	r->taken--;
	if (r->packed)
		packed_stage(r, &h, len);
	else
		split_stage(r, h.id, len);
	r->staged_id[r->staged++] = h.entry;
	r->staged_slots += h.slots;
}

void vring_forget(struct vring *r, struct vhandle h)
{
	r->taken--;
	if (r->log.region)
		vlog_forget(&r->log, r->packed, h.entry);
}

bool vring_publish(struct vring *r)
{
	bool call = r->wants_call;

	if (!r->staged)
		return call;
	call |= r->packed ? packed_publish(r) : split_publish(r);
	r->staged = r->staged_slots = 0;
	r->wants_call = false;
	return call;
}

void vring_quiet(struct vring *r)
{
	if (r->packed)
		packed_quiet(r);
	else
		split_quiet(r);
}

bool vring_listen(struct vring *r)
{
	return r->packed ? packed_listen(r) : split_listen(r);
}
