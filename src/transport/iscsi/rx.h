/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receiving in full feature phase. All PDUs that one receive brought are
 * parsed; small payloads are used where they lie, which pins the receive
 * buffer; of a PDU that misses more than RX_IN_PLACE bytes the rest is
 * received into its destination. Without memory for a receive buffer the
 * connection goes on with the few bytes of rx.small: headers go there, all
 * payload is received in place or thrown away. So a connection can always be read.
 */
#ifndef STGT_ISCSI_RX_H
#define STGT_ISCSI_RX_H

#include "reactor/bufpool.h"
#include "reactor/reactor.h"
#include "transport/iscsi/digest.h"
#include "transport/iscsi/pdu.h"

#define RX_BUFFER (64u << 10)
#define RX_BUFFER_LARGE \
	(256u << 10) /* while receives fill the buffer, and there is plenty of memory */
#define RX_CALM 64 /* receives in a row that would have fitted RX_BUFFER: it will do again */
#define RX_IN_PLACE (16u << 10)
#define RX_AFTER \
	(8u << 10) /* most that a receive in place brings of what follows: it may have to be copied */
#define RX_SMALL 1088u /* the largest header: BHS, AHS, digest */
#define RX_SEGS 16
#define RX_TURN_COMMANDS 64
#define RX_TURN_BYTES (1u << 20)

struct iscsi_conn;
struct iscsi_task;

/* The PDU whose payload is received in place. */
struct rx_payload {
	bool active;
	union pdu bhs;
	struct iscsi_task *task; /* its SCSI task; NULL: another type, or thrown away */
	struct buf *own; /* destination of what is no SCSI data */
	struct iovec dst[RX_SEGS]; /* what is left of it; none: thrown away */
	struct buf *pin[RX_SEGS];
	unsigned ndst, npin, at;
	uint32_t len, left; /* bytes of data: all, still to come */
	uint8_t trailer[8]; /* padding and digest */
	uint8_t trailer_len, trailer_got;
	struct iscsi_digest crc;
};

struct rx {
	struct io_op op;
	struct msghdr msg;
	struct iovec iov[RX_SEGS + 2];
	struct buf *b; /* NULL: mem is small */
	uint8_t *mem;
	uint32_t cap, head, tail; /* bytes at mem; [head, tail) is not parsed */
	uint32_t offered; /* bytes at mem + tail that the receive under way may fill */
	unsigned calm; /* receives since the last one that needed a large buffer */
	bool large; /* the next buffer is */
	bool polling; /* op is a poll: idle, no buffer is held */
	bool parking; /* op is cancelled to become one */
	bool paused; /* the send queue is full */
	struct later more; /* goes on in the next turn */
	struct rx_payload pl;
	uint8_t small[RX_SMALL];
};

void rx_init(struct iscsi_conn *c);
/* Begin: on the reactor that owns the connection, when the login is over. */
void rx_start(struct iscsi_conn *c);
/* The send queue has shrunk. */
void rx_resume(struct iscsi_conn *c);
/* Give the buffer back if it is unused, and wait by poll. */
void rx_park(struct iscsi_conn *c);
/* Release what is held. Nothing is under way. */
void rx_clear(struct iscsi_conn *c);
/* @t is gone: what still comes for it is thrown away. */
void rx_forget_task(struct iscsi_conn *c, const struct iscsi_task *t);

#endif
