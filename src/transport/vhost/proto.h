/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and layouts of the vhost-user protocol (QEMU's docs/interop/vhost-user.rst) and of the
 * virtio-scsi device (virtio 1.2, 5.6). Fields are the host's order, which is little-endian as virtio 1 asks.
 */
#ifndef STGT_TRANSPORT_VHOST_PROTO_H
#define STGT_TRANSPORT_VHOST_PROTO_H

#include <stdint.h>

#include "base/be.h" /* refuses big-endian hosts */

/* ---- vhost-user ---------------------------------------------------------------- */

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
};

#define VU_VERSION 1u
#define VU_VERSION_MASK 3u
#define VU_REPLY 4u
#define VU_NEED_REPLY 8u

#define VU_FDS_MAX 8 /* of a message */
#define VU_PAYLOAD_MAX 512 /* bytes; the longest that is understood has 268 */
#define VU_REGIONS_MAX 8 /* of SET_MEM_TABLE */
#define VU_VRING_INDEX 0xffu /* of the u64 of SET_VRING_KICK, CALL and ERR */
#define VU_VRING_NO_FD 0x100u

/* Protocol features, by bit. */
#define VU_P_MQ (1ull << 0)
#define VU_P_REPLY_ACK (1ull << 3)
#define VU_P_CONFIG (1ull << 9)
#define VU_P_INFLIGHT_SHMFD (1ull << 12)
#define VU_P_RESET_DEVICE (1ull << 13)
#define VU_P_CONFIGURE_MEM_SLOTS (1ull << 15)

/* Features, by bit. */
#define VF_SCSI_HOTPLUG (1ull << 1)
#define VF_SCSI_CHANGE (1ull << 2)
#define VF_ANY_LAYOUT (1ull << 27)
#define VF_INDIRECT_DESC (1ull << 28)
#define VF_EVENT_IDX (1ull << 29)
#define VF_PROTOCOL_FEATURES (1ull << 30)
#define VF_VERSION_1 (1ull << 32)
#define VF_RING_PACKED (1ull << 34)

struct vu_header {
	uint32_t request, flags, size;
};

struct vu_vring_state {
	uint32_t index, num;
};

struct vu_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log; /* addresses of the front end */
};

struct vu_region {
	uint64_t guest_addr, size, user_addr, mmap_offset;
};

struct vu_memory {
	uint32_t n, padding;
	struct vu_region region[VU_REGIONS_MAX];
};

struct vu_single_region {
	uint64_t padding;
	struct vu_region region;
};

struct vu_config {
	uint32_t offset, size, flags;
	uint8_t data[256];
};
#define VU_CONFIG_HEADER 12u
#define VU_CONFIG_MIGRATION 1u /* flags */

/* 20 bytes by the standard; QEMU sends, and asks back, the padding of its structure: 24. */
struct vu_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t queues, queue_size;
	uint32_t padding;
};
#define VU_INFLIGHT_LEN 20u

/* ---- rings (virtio 1.2, 2.7 and 2.8) ------------------------------------------------ */

#define VRING_SIZE_MAX 1024u

struct split_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

struct packed_event {
	uint16_t off_wrap, flags;
};

#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define DESC_AVAIL (1u << 7) /* packed */
#define DESC_USED (1u << 15)

#define AVAIL_NO_INTERRUPT 1u /* split */
#define USED_NO_NOTIFY 1u
#define EVENT_ENABLE 0u /* packed */
#define EVENT_DISABLE 1u
#define EVENT_DESC 2u
#define EVENT_WRAP (1u << 15)

/* ---- virtio-scsi (virtio 1.2, 5.6) --------------------------------------------------- */

#define VSCSI_CONTROL_QUEUE 0u
#define VSCSI_EVENT_QUEUE 1u
#define VSCSI_REQUEST_QUEUE 2u /* the first */

#define VSCSI_CDB_SIZE 32u /* defaults, which the driver may change */
#define VSCSI_SENSE_SIZE 96u

struct vscsi_config {
	uint32_t num_queues, seg_max, max_sectors, cmd_per_lun, event_info_size, sense_size,
		cdb_size;
	uint16_t max_channel, max_target;
	uint32_t max_lun;
};
_Static_assert(sizeof(struct vscsi_config) == 36, "virtio 1.2, 5.6.4");

/* Followed by the CDB. */
struct vscsi_request {
	uint8_t lun[8];
	uint64_t id;
	uint8_t task_attr, prio, crn;
} __attribute__((packed));
_Static_assert(sizeof(struct vscsi_request) == 19, "virtio 1.2, 5.6.6.1");

/* Followed by the sense data. */
struct vscsi_response {
	uint32_t sense_len, residual;
	uint16_t status_qualifier;
	uint8_t status, response;
};
_Static_assert(sizeof(struct vscsi_response) == 12, "virtio 1.2, 5.6.6.1");

enum vscsi_code {
	VSCSI_OK = 0,
	VSCSI_OVERRUN = 1,
	VSCSI_ABORTED = 2,
	VSCSI_BAD_TARGET = 3,
	VSCSI_RESET = 4,
	VSCSI_BUSY = 5,
	VSCSI_TRANSPORT_FAILURE = 6,
	VSCSI_TARGET_FAILURE = 7,
	VSCSI_NEXUS_FAILURE = 8,
	VSCSI_FAILURE = 9,
	VSCSI_FUNCTION_SUCCEEDED = 10,
	VSCSI_FUNCTION_REJECTED = 11,
	VSCSI_INCORRECT_LUN = 12,
};
#define VSCSI_FUNCTION_COMPLETE VSCSI_OK

enum vscsi_attr { VSCSI_SIMPLE, VSCSI_ORDERED, VSCSI_HEAD, VSCSI_ACA };

enum vscsi_control { VSCSI_TMF, VSCSI_AN_QUERY, VSCSI_AN_SUBSCRIBE };

enum vscsi_tmf {
	VSCSI_ABORT_TASK,
	VSCSI_ABORT_TASK_SET,
	VSCSI_CLEAR_ACA,
	VSCSI_CLEAR_TASK_SET,
	VSCSI_I_T_NEXUS_RESET,
	VSCSI_LU_RESET,
	VSCSI_QUERY_TASK,
	VSCSI_QUERY_TASK_SET,
};

struct vscsi_tmf_request {
	uint32_t type, subtype;
	uint8_t lun[8];
	uint64_t id;
} __attribute__((packed));
_Static_assert(sizeof(struct vscsi_tmf_request) == 24, "virtio 1.2, 5.6.6.2");

struct vscsi_an_request {
	uint32_t type;
	uint8_t lun[8];
	uint32_t events;
} __attribute__((packed));
_Static_assert(sizeof(struct vscsi_an_request) == 16, "virtio 1.2, 5.6.6.2");

struct vscsi_an_response {
	uint32_t events;
	uint8_t response;
} __attribute__((packed));
_Static_assert(sizeof(struct vscsi_an_response) == 5, "virtio 1.2, 5.6.6.2");

struct vscsi_event {
	uint32_t event;
	uint8_t lun[8];
	uint32_t reason;
} __attribute__((packed));
_Static_assert(sizeof(struct vscsi_event) == 16, "virtio 1.2, 5.6.6.3");

#define VSCSI_EVENTS_MISSED 0x80000000u
#define VSCSI_NO_EVENT 0u
#define VSCSI_TRANSPORT_RESET 1u
#define VSCSI_PARAM_CHANGE 3u
#define VSCSI_RESET_RESCAN 1u
#define VSCSI_RESET_REMOVED 2u

#endif
