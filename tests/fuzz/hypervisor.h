/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hypervisor for the daemon in the simulation. Its socket, its memory and its eventfds are real ones
 * (reactor/sim_real.c), because they are passed; time is virtual. Guest memory is two regions that adjoin, of one file.
 */
#ifndef TESTS_FUZZ_HYPERVISOR_H
#define TESTS_FUZZ_HYPERVISOR_H

#include "../vhost/wire.h"
#include "daemon.h"

#define HV_RINGS 4 /* control, event, two request rings */
#define HV_SIZE 8 /* descriptors of a ring */
#define HV_MEMORY (128u << 10)
#define HV_GUEST 0x10000ull /* guest address of the first byte */
#define HV_SECOND (64u << 10) /* where the second region begins, in bytes of the first */
#define HV_USER 0x700000000000ull
#define HV_RING_AT(i) ((i)*0x400u) /* descriptors, then at +0x100 and +0x200 the other areas */
#define HV_DATA 0x2000u
#define HV_FEATURES_NONE 0
#define HV_FEATURES_ALL \
	(BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | \
	 BIT64(VIRTIO_SCSI_F_HOTPLUG) | BIT64(VIRTIO_SCSI_F_CHANGE))
#define HV_FEATURES_PACKED (HV_FEATURES_ALL | BIT64(VIRTIO_F_RING_PACKED))
#define HV_TARGET "iqn.2026-11.fuzz:t"

struct hypervisor {
	int sock; /* -1: not connected */
	int file; /* of the memory */
	uint8_t *memory;
	bool cut; /* the file was cut: our mapping must not be touched */
	int kick[HV_RINGS], call[HV_RINGS], log;
	uint64_t log_size;
	uint64_t features;
	uint16_t next[HV_RINGS]; /* available index, or position */
	bool wrap[HV_RINGS];
};

/* Bring the daemon up, once: LUN 1 in memory, LUN 2 slow, a socket. */
void hv_begin(struct hypervisor *h);
/* Memory as new. */
void hv_memory(struct hypervisor *h);
bool hv_connect(struct hypervisor *h);
/* Negotiate, share and start, as a driver does; in-flight memory too if @log. */
void hv_start(struct hypervisor *h, uint64_t features, bool log);
void hv_start_ring(struct hypervisor *h, unsigned ring, uint32_t base);
/* Send bytes and descriptors, as far as the socket takes them. */
void hv_send(struct hypervisor *h, const void *bytes, size_t len, const int *fds, unsigned nfds);
void hv_message(struct hypervisor *h, uint32_t request, uint32_t flags, const void *payload,
		uint32_t len, const int *fds, unsigned nfds);
void hv_ring_message(struct hypervisor *h, uint32_t request, uint32_t ring, uint32_t num);
void hv_kick(struct hypervisor *h, unsigned ring);
/* Take what was answered. */
void hv_listen(struct hypervisor *h);
void hv_leave(struct hypervisor *h);
/* The daemon has nothing of it left. */
void hv_gone(struct hypervisor *h);

static inline void hv_put(struct hypervisor *h, uint32_t at, const void *data, size_t len)
{
	if (!h->cut && at < HV_MEMORY)
		memcpy(h->memory + at, data, min(len, (size_t)(HV_MEMORY - at)));
}

#endif
