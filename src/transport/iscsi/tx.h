/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending. PDUs are queued as segments, headers and small data in memory of
 * the queue, large data by reference; one send is under way at a time, begun
 * at the end of the turn or when TX_BATCH bytes are queued.
 */
#ifndef STGT_ISCSI_TX_H
#define STGT_ISCSI_TX_H

#include "reactor/bufpool.h"
#include "reactor/reactor.h"
#include "transport/iscsi/pdu.h"

#define TX_BATCH (256u << 10) /* bytes: still in L2 when the kernel copies them */
#define TX_FULL (4u << 20) /* bytes: no further command is read */
#define TX_BEYOND_MAX 1024 /* see tx.beyond */
#define TX_BEYOND_OTHER 4 /* weight there of what no command window bounds */
#define TX_STUCK_NS (60 * NSEC_PER_SEC) /* a peer that reads nothing for so long is closed */
#define TX_SEGS 256
#define TX_MEM 8704 /* the largest login response, and more */
#define TX_INLINE_MAX 8192 /* bytes of data in the queue's memory */

struct iscsi_conn;

struct tx_chunk {
	struct tx_chunk *next;
	unsigned first, n; /* segments [first, n) are not sent entirely */
	uint32_t used; /* bytes of mem */
	struct iovec iov[TX_SEGS];
	struct buf *buf[TX_SEGS]; /* put when the segment is sent; NULL: it is in mem */
	uint8_t mem[TX_MEM];
};

struct tx {
	struct io_op op;
	struct msghdr msg;
	struct later later;
	struct tx_chunk *head, *tail;
	unsigned inflight; /* segments of head that the kernel has, from head->first */
	size_t queued; /* bytes */
	uint64_t progress; /* time of the last one */
	uint64_t lent_end; /* counters.tx_bytes when what lies in mappings will have been sent; 0: it has */
	/*
	 * A peer that owes data is read although TX_FULL is queued: what it asks for
	 * meanwhile, until TX_FULL bytes more are sent.
	 */
	unsigned beyond;
	size_t moved; /* bytes sent since beyond was 0 */
};

void tx_init(struct iscsi_conn *c);
/* Drop what is queued. Nothing is under way. */
void tx_clear(struct iscsi_conn *c);

/*
 * Begin a PDU: its zeroed header, and behind it (tx_data()) room for @room
 * bytes of data (at most TX_INLINE_MAX). NULL if the connection closes: nothing can be sent any
 * more. Each begin is followed by one of the ends before the next.
 */
union pdu *tx_begin(struct iscsi_conn *c, uint8_t opcode, uint32_t room);
uint8_t *tx_data(const struct iscsi_conn *c, union pdu *p);
/* End it with the @len bytes at tx_data(). */
void tx_end(struct iscsi_conn *c, union pdu *p, uint32_t len);
/* End it with @len bytes at @data within @b; one reference of @b is taken. */
void tx_end_buf(struct iscsi_conn *c, union pdu *p, struct buf *b, uint8_t *data, uint32_t len);

/* Fill StatSN, ExpCmdSN and MaxCmdSN; tx_status_sn() advances StatSN, tx_sn() does not. */
void tx_sn(struct iscsi_conn *c, union pdu *p);
void tx_status_sn(struct iscsi_conn *c, union pdu *p);

static inline bool tx_empty(const struct tx *tx)
{
	return !tx->queued;
}

#endif
