/* SPDX-License-Identifier: BSD-2-Clause */
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MEMORY (32ull << 20)
#define GUEST_BASE 0x100000ull
#define PAGE 4096

void front_init(struct front *f, const struct front_opts *o)
{
	memset(f, 0, sizeof(*f));
	f->opts = *o;
	f->opts.queues = o->queues ? o->queues : 1;
	f->opts.ring_size = o->ring_size ? o->ring_size : 128;
	f->sock = f->inflight.fd = -1;
	f->nrings = RING_REQUEST + f->opts.queues;
	f->next_tag = 1;
	if (f->nrings > FRONT_RINGS)
		front_die("no more than %d rings", FRONT_RINGS);
	for (unsigned i = 0; i < f->nrings; i++)
		f->ring[i] = (struct front_ring){
			.front = f, .index = i, .kick = -1, .call = -1, .err = -1
		};
}

/* ---- connection --------------------------------------------------------------------------- */

void front_connect(struct front *f, const char *path)
{
	uint64_t until = front_now_ms() + (uint64_t)front_patience();
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (path != f->path &&
	    snprintf(f->path, sizeof(f->path), "%s", path) >= (int)sizeof(f->path))
		front_die("%s: too long for a socket", path);
	memcpy(a.sun_path, f->path, sizeof(a.sun_path));
	for (;;) {
		f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!connect(f->sock, (struct sockaddr *)&a, sizeof(a)))
			return;
		close(f->sock);
		if (front_now_ms() > until)
			front_die("%s: %s", f->path, strerror(errno));
		poll(NULL, 0, 10);
	}
}

void front_negotiate(struct front *f)
{
	uint64_t must = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_PROTOCOL_FEATURES);

	f->protocol = 0;
	f->offered = front_ask(f, VU_GET_FEATURES);
	if ((f->offered & must) != must)
		front_die("features %#llx are offered", (unsigned long long)f->offered);
	f->protocol_offered = front_ask(f, VU_GET_PROTOCOL_FEATURES);
	front_tell_u64(f, VU_SET_PROTOCOL_FEATURES, f->protocol_offered & f->opts.protocol);
	f->protocol = f->protocol_offered & f->opts.protocol;
	f->queues_offered = front_speaks(f, VU_P_MQ) ? (unsigned)front_ask(f, VU_GET_QUEUE_NUM) : 0;
	f->slots_offered = front_speaks(f, VU_P_CONFIGURE_MEM_SLOTS)
				   ? (unsigned)front_ask(f, VU_GET_MAX_MEM_SLOTS)
				   : 0;
	front_tell(f, VU_SET_OWNER, NULL, 0, NULL, 0);
	f->features = f->offered & (f->opts.features | must);
	if (front_tell_u64(f, VU_SET_FEATURES, f->features))
		front_die("features %#llx were refused", (unsigned long long)f->features);
}

/* ---- memory ------------------------------------------------------------------------------- */

void front_region_bytes(const struct front_region *r, uint8_t to[VU_REGION])
{
	put_le64(to, r->guest);
	put_le64(to + 8, r->size);
	put_le64(to + 16, r->user);
	put_le64(to + 24, r->offset);
}

static void share_one(struct front *f, struct front_region *r)
{
	uint8_t payload[VU_MEM_REG + VU_REGION] = { 0 };

	front_region_bytes(r, payload + VU_MEM_REG);
	if (front_tell(f, VU_ADD_MEM_REG, payload, sizeof(payload), &r->fd, 1))
		front_die("the region at %#llx was refused", (unsigned long long)r->guest);
	r->shared = true;
}

void front_share_memory(struct front *f)
{
	uint8_t payload[VU_MEM_TABLE + VU_FDS_MAX * VU_REGION] = { 0 };
	int fds[VU_FDS_MAX];

	if (front_speaks(f, VU_P_CONFIGURE_MEM_SLOTS)) {
		for (unsigned i = 0; i < f->nregions; i++)
			share_one(f, &f->region[i]);
		return;
	}
	if (f->nregions > VU_FDS_MAX)
		front_die("a table has no more than %d regions", VU_FDS_MAX);
	put_le32(payload, f->nregions);
	for (unsigned i = 0; i < f->nregions; i++) {
		front_region_bytes(&f->region[i], payload + VU_MEM_TABLE + i * VU_REGION);
		fds[i] = f->region[i].fd;
		f->region[i].shared = true;
	}
	if (front_tell(f, VU_SET_MEM_TABLE, payload, VU_MEM_TABLE + f->nregions * VU_REGION, fds,
		       f->nregions))
		front_die("the table of memory was refused");
}

/* Asked for once in the life of the device, told at every start. */
void front_share_inflight(struct front *f)
{
	uint8_t payload[VU_INFLIGHT] = { 0 };

	if (!front_speaks(f, VU_P_INFLIGHT_SHMFD))
		return;
	put_le16(payload + 16, (uint16_t)f->nrings);
	put_le16(payload + 18, (uint16_t)f->opts.ring_size);
	if (!f->inflight.size) {
		if (!front_send(f, VU_GET_INFLIGHT_FD, VU_VERSION, payload, sizeof(payload), NULL,
				0) ||
		    front_reply(f, VU_GET_INFLIGHT_FD, payload, sizeof(payload), &f->inflight.fd) !=
			    sizeof(payload))
			front_die("memory for what is in flight was not answered");
		f->inflight.size = le64_at(payload);
		f->inflight.offset = le64_at(payload + 8);
		if (!f->inflight.size)
			return;
		if (f->inflight.fd < 0)
			front_die("memory for what is in flight came without a descriptor");
	}
	put_le64(payload, f->inflight.size);
	put_le64(payload + 8, f->inflight.offset);
	put_le16(payload + 16, (uint16_t)f->nrings);
	put_le16(payload + 18, (uint16_t)f->opts.ring_size);
	if (front_tell(f, VU_SET_INFLIGHT_FD, payload, sizeof(payload), &f->inflight.fd, 1))
		front_die("its memory for what is in flight was refused");
}

/* ---- rings -------------------------------------------------------------------------------- */

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		front_die("no memory");
	return p;
}

static int event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		front_die("eventfd: %s", strerror(errno));
	return fd;
}

static void reset_ring(struct front_ring *r, size_t avail_len, size_t used_len)
{
	memset(r->desc, 0, r->num * DESC_SIZE);
	memset(r->avail, 0, avail_len);
	memset(r->used, 0, used_len);
	r->next_avail = r->next_used = r->added = 0;
	r->avail_wrap = r->used_wrap = true;
	r->free = r->num;
	r->free_head = 0;
	for (unsigned i = 0; i < r->num; i++)
		r->next[i] = (uint16_t)(i + 1);
}

static void make_ring(struct front *f, struct front_ring *r)
{
	bool packed = front_has(f, VIRTIO_F_RING_PACKED);
	size_t avail_len = packed ? EVENT_SIZE : AVAIL_SIZE(f->opts.ring_size);
	size_t used_len = packed ? EVENT_SIZE : USED_SIZE(f->opts.ring_size);

	r->num = f->opts.ring_size;
	r->desc_addr = front_alloc(f, r->num * DESC_SIZE, PAGE);
	r->avail_addr = front_alloc(f, avail_len, 64);
	r->used_addr = front_alloc(f, used_len, 64);
	r->desc = front_at(f, r->desc_addr, r->num * DESC_SIZE);
	r->avail = front_at(f, r->avail_addr, avail_len);
	r->used = front_at(f, r->used_addr, used_len);
	r->next = zeroed(r->num + 1, sizeof(*r->next));
	r->length = zeroed(r->num, sizeof(*r->length));
	r->token = zeroed(r->num, sizeof(*r->token));
	r->kick = event();
	r->call = event();
	r->err = event();
	reset_ring(r, avail_len, used_len);
}

void front_make_rings(struct front *f)
{
	for (unsigned i = 0; i < f->nrings; i++)
		make_ring(f, &f->ring[i]);
}

static uint64_t user_address(struct front *f, uint64_t guest)
{
	for (unsigned i = 0; i < f->nregions; i++)
		if (guest - f->region[i].guest < f->region[i].size)
			return guest - f->region[i].guest + f->region[i].user;
	front_die("%#llx is no guest address", (unsigned long long)guest);
}

static void tell_addresses(struct front *f, struct front_ring *r)
{
	uint8_t payload[VU_VRING_ADDR] = { 0 };

	put_le32(payload, r->index);
	put_le64(payload + 8, user_address(f, r->desc_addr));
	put_le64(payload + 16, user_address(f, r->used_addr));
	put_le64(payload + 24, user_address(f, r->avail_addr));
	if (front_tell(f, VU_SET_VRING_ADDR, payload, sizeof(payload), NULL, 0))
		front_die("ring %u: its addresses were refused", r->index);
}

uint32_t front_base(const struct front_ring *r)
{
	if (!front_has(r->front, VIRTIO_F_RING_PACKED))
		return r->next_used;
	return r->next_used | (uint32_t)r->used_wrap << 15 | (uint32_t)r->next_used << 16 |
	       (uint32_t)r->used_wrap << 31;
}

/* In QEMU's order. */
void front_start_ring(struct front *f, struct front_ring *r, uint32_t base)
{
	front_tell_fd(f, VU_SET_VRING_CALL, r->index, r->call);
	front_tell_fd(f, VU_SET_VRING_ERR, r->index, r->err);
	if (front_tell_ring(f, VU_SET_VRING_NUM, r->index, r->num) ||
	    front_tell_ring(f, VU_SET_VRING_BASE, r->index, base))
		front_die("ring %u: size %u or base %#x was refused", r->index, r->num, base);
	tell_addresses(f, r);
	front_tell_fd(f, VU_SET_VRING_KICK, r->index, r->kick);
	if (front_tell_ring(f, VU_SET_VRING_ENABLE, r->index, 1))
		front_die("ring %u cannot be enabled", r->index);
	r->started = true;
}

uint32_t front_stop_ring(struct front *f, struct front_ring *r)
{
	uint8_t payload[VU_VRING_STATE] = { 0 };

	put_le32(payload, r->index);
	if (!front_send(f, VU_GET_VRING_BASE, VU_VERSION, payload, sizeof(payload), NULL, 0) ||
	    front_reply(f, VU_GET_VRING_BASE, payload, sizeof(payload), NULL) != sizeof(payload))
		front_die("ring %u does not stop", r->index);
	if (le32_at(payload) != r->index)
		front_die("ring %u: the base of ring %u is answered", r->index, le32_at(payload));
	r->started = false;
	return le32_at(payload + 4);
}

/* ---- all of it ---------------------------------------------------------------------------- */

void front_open(struct front *f, const char *path, const struct front_opts *o)
{
	front_init(f, o);
	front_add_region(f, GUEST_BASE, o->memory ? o->memory : MEMORY, 0);
	front_connect(f, path);
	front_negotiate(f);
	front_share_memory(f);
	front_make_rings(f);
	front_share_inflight(f);
	for (unsigned i = 0; i < f->nrings; i++)
		front_start_ring(f, &f->ring[i], front_base(&f->ring[i]));
}

/*
 * What is known of a ring whose device has died: split: its used index. Packed: what was taken of it; where the
 * device was, only it and the memory that is shared with it know.
 */
static uint32_t restart_base(struct front_ring *r)
{
	if (front_has(r->front, VIRTIO_F_RING_PACKED))
		return front_base(r);
	return shared_le16(r->used + 2);
}

void front_reopen(struct front *f)
{
	front_hang_up(f);
	front_connect(f, f->path);
	front_negotiate(f);
	front_share_memory(f);
	front_share_inflight(f);
	for (unsigned i = 0; i < f->nrings; i++)
		front_start_ring(f, &f->ring[i], restart_base(&f->ring[i]));
	/* a kick may have been read by who has died */
	for (unsigned i = 0; i < f->nrings; i++)
		front_kick_always(&f->ring[i]);
}

void front_hang_up(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}

static void drop_ring(struct front_ring *r)
{
	if (r->kick >= 0) {
		close(r->kick);
		close(r->call);
		close(r->err);
	}
	free(r->next);
	free(r->length);
	free(r->token);
}

void front_close(struct front *f)
{
	front_hang_up(f);
	for (unsigned i = 0; i < f->nrings; i++)
		drop_ring(&f->ring[i]);
	for (unsigned i = 0; i < f->nregions; i++) {
		if (f->region[i].at)
			munmap(f->region[i].at, f->region[i].size);
		close(f->region[i].fd);
	}
	if (f->inflight.fd >= 0)
		close(f->inflight.fd);
	memset(f, 0, sizeof(*f));
	f->sock = -1;
}
