/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and layouts of the vhost-user protocol, of virtio 1.2's rings (split: clause 2.7, packed: 2.8)
 * and of its SCSI host device (5.6), as the tests' own front end and the benchmark's floor use them. Written
 * from the standards, and on purpose not shared with the server: a mistake there must not be one here.
 * All fields are little endian (vhost-user: the machine's order, which the same accessors assume to be that).
 */
#ifndef TESTS_VHOST_WIRE_H
#define TESTS_VHOST_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t le16_at(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t le32_at(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t le64_at(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void put_le16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_le64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* What the other side reads or writes at the same time; @p is aligned to two. */
static inline uint16_t shared_le16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static inline void share_le16(void *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELEASE);
}

/* ---- vhost-user: messages ------------------------------------------------------------- */

#define VU_HEADER 12 /* request, flags, size of the payload: 32 bits each */
#define VU_VERSION 1u
#define VU_REPLY (1u << 2)
#define VU_NEED_REPLY (1u << 3)
#define VU_FDS_MAX 8
#define VU_PAYLOAD_MAX 4096 /* more than any message has */

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
	VU_SET_BACKEND_REQ_FD = 21,
	VU_IOTLB_MSG = 22,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_POSTCOPY_ADVISE = 28,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_VRING_KICK = 35,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
};

enum vu_protocol_feature {
	VU_P_MQ = 0,
	VU_P_LOG_SHMFD = 1,
	VU_P_REPLY_ACK = 3,
	VU_P_BACKEND_REQ = 5,
	VU_P_CONFIG = 9,
	VU_P_INFLIGHT_SHMFD = 12,
	VU_P_RESET_DEVICE = 13,
	VU_P_INBAND_NOTIFICATIONS = 14,
	VU_P_CONFIGURE_MEM_SLOTS = 15,
	VU_P_STATUS = 16,
};

#define VU_REGION 32 /* guest address, size, user address, offset in the file */
#define VU_MEM_TABLE 8 /* number, padding; then regions */
#define VU_MEM_REG 8 /* padding; then one region */
#define VU_VRING_STATE 8 /* index, number */
#define VU_VRING_ADDR 40 /* index, flags, descriptors, used, available, log */
#define VU_INFLIGHT 20 /* size, offset: 64 bits; queues, queue size: 16 */
#define VU_CONFIG 12 /* offset, size, flags; then the bytes */
#define VU_NO_FD 0x100u /* in the number that comes with kick, call and err */

/* ---- virtio: features and rings ------------------------------------------------------- */

enum virtio_feature {
	VIRTIO_SCSI_F_INOUT = 0,
	VIRTIO_SCSI_F_HOTPLUG = 1,
	VIRTIO_SCSI_F_CHANGE = 2,
	VIRTIO_SCSI_F_T10_PI = 3,
	VIRTIO_F_LOG_ALL = 26,
	VIRTIO_F_ANY_LAYOUT = 27,
	VIRTIO_F_INDIRECT_DESC = 28,
	VIRTIO_F_EVENT_IDX = 29,
	VIRTIO_F_PROTOCOL_FEATURES = 30, /* vhost-user's */
	VIRTIO_F_VERSION_1 = 32,
	VIRTIO_F_RING_PACKED = 34,
	VIRTIO_F_IN_ORDER = 35,
};
#define BIT64(n) (1ull << (n))

/* A descriptor of either ring: address (8), length (4); split: flags, next; packed: id, flags (2 each). */
#define DESC_SIZE 16
#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define DESC_AVAIL (1u << 7) /* packed */
#define DESC_USED (1u << 15) /* packed */

/* Split: available: flags, index, n heads, used_event. Used: flags, index, n x (id, length), avail_event. */
#define AVAIL_SIZE(n) (6u + 2u * (n))
#define USED_SIZE(n) (6u + 8u * (n))
#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY 1u

/* Packed: an event suppression structure: offset and wrap counter (bit 15), flags. */
#define EVENT_SIZE 4
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

/* True if going from @old to @now passes @event (2.7.7.2). */
static inline int event_passed(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* ---- virtio: SCSI host ---------------------------------------------------------------- */

enum { RING_CONTROL, RING_EVENT, RING_REQUEST };

/* A request: lun (8), id (8), attribute, priority, CRN, CDB (32); then data-out. */
#define REQ_LUN 0
#define REQ_ID 8
#define REQ_ATTR 16
#define REQ_CDB 19
#define REQ_SIZE 51
#define CDB_ROOM 32
/* Its response: sense length (4), residual (4), qualifier (2), status, response, sense (96); then data-in. */
#define RESP_SENSE_LEN 0
#define RESP_RESIDUAL 4
#define RESP_STATUS 10
#define RESP_RESPONSE 11
#define RESP_SENSE 12
#define SENSE_ROOM 96
#define RESP_SIZE 108

enum {
	VS_OK = 0,
	VS_OVERRUN = 1,
	VS_ABORTED = 2,
	VS_BAD_TARGET = 3,
	VS_RESET = 4,
	VS_BUSY = 5,
	VS_TRANSPORT_FAILURE = 6,
	VS_TARGET_FAILURE = 7,
	VS_NEXUS_FAILURE = 8,
	VS_FAILURE = 9,
	VS_FUNCTION_SUCCEEDED = 10,
	VS_FUNCTION_REJECTED = 11,
	VS_INCORRECT_LUN = 12,
};

/* Configuration: eight fields of 4 bytes, two of 2, one of 4 (5.6.4). */
#define CONFIG_SIZE 36
#define CONFIG_QUEUES 0
#define CONFIG_EVENT_SIZE 16
#define CONFIG_SENSE_SIZE 20
#define CONFIG_CDB_SIZE 24

/* Control: type (4); a function: subtype (4), lun (8), id (8), answered by a response byte. */
enum { CTRL_TMF = 0, CTRL_AN_QUERY = 1, CTRL_AN_SUBSCRIBE = 2 };
#define TMF_SIZE 24
#define AN_SIZE 16 /* type, lun, event requested (4); answered by event actual (4), response */
#define AN_RESP_SIZE 5
enum {
	VS_ABORT_TASK,
	VS_ABORT_TASK_SET,
	VS_CLEAR_ACA,
	VS_CLEAR_TASK_SET,
	VS_I_T_NEXUS_RESET,
	VS_LOGICAL_UNIT_RESET,
	VS_QUERY_TASK,
	VS_QUERY_TASK_SET,
};

/* Event: event (4), lun (8), reason (4). */
#define EVENT_BUFFER 16
#define VS_EVENTS_MISSED 0x80000000u
enum { VS_NO_EVENT = 0, VS_TRANSPORT_RESET = 1, VS_ASYNC_NOTIFY = 2, VS_PARAM_CHANGE = 3 };
enum { VS_RESET_HARD = 0, VS_RESET_RESCAN = 1, VS_RESET_REMOVED = 2 };

#endif
