/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wire formats of RFC 7143 11: the basic header segment (BHS) of every
 * PDU type, all of them 48 bytes, and the constants in their fields.
 */
#ifndef STGT_ISCSI_PDU_H
#define STGT_ISCSI_PDU_H

#include <assert.h>
#include <stdint.h>

#include "base/be.h"

#define BHS_LEN 48u
#define AHS_MAX (255u * 4) /* TotalAHSLength counts words */
#define DIGEST_LEN 4u
#define TAG_RESERVED 0xffffffffu /* no task: ITT of a target's NOP-In, TTT of unsolicited data */

/* RFC 7143 11.2.1.2 */
enum pdu_opcode {
	PDU_NOP_OUT = 0x00,
	PDU_SCSI_COMMAND = 0x01,
	PDU_TMF_REQUEST = 0x02,
	PDU_LOGIN_REQUEST = 0x03,
	PDU_TEXT_REQUEST = 0x04,
	PDU_DATA_OUT = 0x05,
	PDU_LOGOUT_REQUEST = 0x06,
	PDU_SNACK_REQUEST = 0x10,

	PDU_NOP_IN = 0x20,
	PDU_SCSI_RESPONSE = 0x21,
	PDU_TMF_RESPONSE = 0x22,
	PDU_LOGIN_RESPONSE = 0x23,
	PDU_TEXT_RESPONSE = 0x24,
	PDU_DATA_IN = 0x25,
	PDU_LOGOUT_RESPONSE = 0x26,
	PDU_R2T = 0x31,
	PDU_ASYNC_MESSAGE = 0x32,
	PDU_REJECT = 0x3f,
};

#define PDU_OPCODE 0x3f /* byte 0 */
#define PDU_IMMEDIATE 0x40

#define PDU_FINAL 0x80 /* byte 1, most types */
#define PDU_CONTINUE 0x40 /* login and text */

/* SCSI Command, 11.3.1 */
#define COMMAND_READ 0x40
#define COMMAND_WRITE 0x20
#define COMMAND_ATTR 0x07

/* SCSI Response, 11.4.1; Data-In, 11.7.3 */
#define RESPONSE_OVERFLOW 0x04
#define RESPONSE_UNDERFLOW 0x02
#define DATA_IN_ACK 0x40
#define DATA_IN_STATUS 0x01

#define RESPONSE_COMPLETED 0x00 /* SCSI Response: Response, 11.4.3 */
#define RESPONSE_TARGET_FAILURE 0x01

/* Login: 11.12, 11.13 */
#define LOGIN_TRANSIT 0x80
#define LOGIN_CSG_SHIFT 2
#define LOGIN_STAGE 0x03

#define TMF_FUNCTION 0x7f /* TMF Request byte 1, 11.5.1 */

/* Logout, 11.14.1 and 11.15.1 */
#define LOGOUT_REASON 0x7f
enum logout_reason {
	LOGOUT_CLOSE_SESSION = 0,
	LOGOUT_CLOSE_CONNECTION = 1,
	LOGOUT_RECOVERY = 2,
};
enum logout_response {
	LOGOUT_CLOSED = 0,
	LOGOUT_NO_CID = 1,
	LOGOUT_NO_RECOVERY = 2,
	LOGOUT_FAILED = 3,
};

/* Reject, 11.17.1 */
enum reject_reason {
	REJECT_DATA_DIGEST = 0x02,
	REJECT_SNACK = 0x03,
	REJECT_PROTOCOL = 0x04,
	REJECT_NOT_SUPPORTED = 0x05,
	REJECT_IMMEDIATE = 0x06, /* too many immediate commands */
	REJECT_TASK_IN_PROGRESS = 0x07,
	REJECT_DATA_ACK = 0x08,
	REJECT_INVALID_FIELD = 0x09,
	REJECT_RESOURCES = 0x0a, /* long operation reject: no TTT */
	REJECT_WAIT_LOGOUT = 0x0c,
};

/* Asynchronous Message, 11.9.1 */
enum async_event {
	ASYNC_SCSI = 0,
	ASYNC_LOGOUT = 1, /* the target requests logout */
	ASYNC_DROP_CONNECTION = 2,
	ASYNC_DROP_SESSION = 3,
	ASYNC_NEGOTIATE = 4,
};

/* Additional header segments, 11.2.2 */
#define AHS_TYPE 0x3f
enum ahs_type {
	AHS_EXTENDED_CDB = 1,
	AHS_BIDI_READ_LENGTH = 2,
};
struct ahs_header {
	be16 length; /* of the specific part, from the byte after type on */
	uint8_t type;
	uint8_t reserved;
};
static_assert(sizeof(struct ahs_header) == 4, "RFC 7143 11.2.2");

/* What all have in common, 11.2.1. */
struct pdu_basic {
	uint8_t opcode;
	uint8_t flags;
	uint8_t specific[2];
	uint8_t ahs_len; /* 4-byte words */
	be24 data_len; /* bytes, without padding */
	uint8_t lun[8];
	be32 itt;
	uint8_t rest[28];
};
static_assert(sizeof(struct pdu_basic) == BHS_LEN, "RFC 7143 11.2.1");

/* What all requests have in common. */
struct pdu_request {
	uint8_t opcode, flags, specific[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, cmd_sn, exp_stat_sn;
	uint8_t rest[16];
};
static_assert(sizeof(struct pdu_request) == BHS_LEN, "RFC 7143 11");

/* What all responses have in common. */
struct pdu_response {
	uint8_t opcode, flags, specific[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t rest[12];
};
static_assert(sizeof(struct pdu_response) == BHS_LEN, "RFC 7143 11");

struct pdu_scsi_command { /* 11.3 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, expected_len, cmd_sn, exp_stat_sn;
	uint8_t cdb[16];
};
static_assert(sizeof(struct pdu_scsi_command) == BHS_LEN, "RFC 7143 11.3");

struct pdu_scsi_response { /* 11.4 */
	uint8_t opcode, flags, response, status, ahs_len;
	be24 data_len;
	uint8_t reserved[8];
	be32 itt, snack_tag, stat_sn, exp_cmd_sn, max_cmd_sn, exp_data_sn, bidi_residual, residual;
};
static_assert(sizeof(struct pdu_scsi_response) == BHS_LEN, "RFC 7143 11.4");

struct pdu_tmf_request { /* 11.5 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ref_tag, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn;
	uint8_t reserved2[8];
};
static_assert(sizeof(struct pdu_tmf_request) == BHS_LEN, "RFC 7143 11.5");

struct pdu_tmf_response { /* 11.6 */
	uint8_t opcode, flags, response, reserved, ahs_len;
	be24 data_len;
	uint8_t reserved2[8];
	be32 itt, reserved3, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t reserved4[12];
};
static_assert(sizeof(struct pdu_tmf_response) == BHS_LEN, "RFC 7143 11.6");

struct pdu_data_out { /* 11.7 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, reserved2, exp_stat_sn, reserved3, data_sn, offset, reserved4;
};
static_assert(sizeof(struct pdu_data_out) == BHS_LEN, "RFC 7143 11.7");

struct pdu_data_in { /* 11.7 */
	uint8_t opcode, flags, reserved, status, ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, offset, residual;
};
static_assert(sizeof(struct pdu_data_in) == BHS_LEN, "RFC 7143 11.7");

struct pdu_r2t { /* 11.8 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, r2t_sn, offset, desired;
};
static_assert(sizeof(struct pdu_r2t) == BHS_LEN, "RFC 7143 11.8");

struct pdu_async { /* 11.9 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, reserved2, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t event, vcode;
	be16 parameter1, parameter2, parameter3;
	uint8_t reserved3[4];
};
static_assert(sizeof(struct pdu_async) == BHS_LEN, "RFC 7143 11.9");

struct pdu_text_request { /* 11.10 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, cmd_sn, exp_stat_sn;
	uint8_t reserved2[16];
};
static_assert(sizeof(struct pdu_text_request) == BHS_LEN, "RFC 7143 11.10");

struct pdu_text_response { /* 11.11 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t reserved2[12];
};
static_assert(sizeof(struct pdu_text_response) == BHS_LEN, "RFC 7143 11.11");

struct pdu_login_request { /* 11.12 */
	uint8_t opcode, flags, version_max, version_min, ahs_len;
	be24 data_len;
	uint8_t isid[6];
	be16 tsih;
	be32 itt;
	be16 cid, reserved;
	be32 cmd_sn, exp_stat_sn;
	uint8_t reserved2[16];
};
static_assert(sizeof(struct pdu_login_request) == BHS_LEN, "RFC 7143 11.12");

struct pdu_login_response { /* 11.13 */
	uint8_t opcode, flags, version_max, version_active, ahs_len;
	be24 data_len;
	uint8_t isid[6];
	be16 tsih;
	be32 itt, reserved, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t status_class, status_detail, reserved2[10];
};
static_assert(sizeof(struct pdu_login_response) == BHS_LEN, "RFC 7143 11.13");

struct pdu_logout_request { /* 11.14 */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t reserved2[8];
	be32 itt;
	be16 cid, reserved3;
	be32 cmd_sn, exp_stat_sn;
	uint8_t reserved4[16];
};
static_assert(sizeof(struct pdu_logout_request) == BHS_LEN, "RFC 7143 11.14");

struct pdu_logout_response { /* 11.15 */
	uint8_t opcode, flags, response, reserved, ahs_len;
	be24 data_len;
	uint8_t reserved2[8];
	be32 itt, reserved3, stat_sn, exp_cmd_sn, max_cmd_sn, reserved4;
	be16 time2wait, time2retain;
	be32 reserved5;
};
static_assert(sizeof(struct pdu_logout_response) == BHS_LEN, "RFC 7143 11.15");

struct pdu_reject { /* 11.17 */
	uint8_t opcode, flags, reason, reserved, ahs_len;
	be24 data_len;
	uint8_t reserved2[8];
	be32 tag, reserved3, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn;
	uint8_t reserved4[8];
};
static_assert(sizeof(struct pdu_reject) == BHS_LEN, "RFC 7143 11.17");

struct pdu_nop { /* 11.18, 11.19: Out and In differ in what the SN fields are called */
	uint8_t opcode, flags, reserved[2], ahs_len;
	be24 data_len;
	uint8_t lun[8];
	be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t reserved2[12];
};
static_assert(sizeof(struct pdu_nop) == BHS_LEN, "RFC 7143 11.18");

/* A BHS as any of its types: what a receive or send buffer holds. */
union pdu {
	uint8_t bytes[BHS_LEN];
	struct pdu_basic basic;
	struct pdu_request request;
	struct pdu_response response;
	struct pdu_scsi_command command;
	struct pdu_scsi_response scsi_response;
	struct pdu_tmf_request tmf_request;
	struct pdu_tmf_response tmf_response;
	struct pdu_data_out data_out;
	struct pdu_data_in data_in;
	struct pdu_r2t r2t;
	struct pdu_async async;
	struct pdu_text_request text_request;
	struct pdu_text_response text_response;
	struct pdu_login_request login_request;
	struct pdu_login_response login_response;
	struct pdu_logout_request logout_request;
	struct pdu_logout_response logout_response;
	struct pdu_reject reject;
	struct pdu_nop nop;
};
static_assert(sizeof(union pdu) == BHS_LEN, "RFC 7143 11.2.1");

/* Bytes of zeroes after @len bytes, to a multiple of four. */
static inline uint32_t pdu_pad(uint32_t len)
{
	return -len & 3;
}

#endif
