/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor: the least program that can answer the load generator. One thread;
 * logs anybody in, answers READ with Data-In and the status in the last one,
 * takes WRITE data (immediate, then one R2T at a time), batches as well as can
 * be. No target: no task management, no sense data, no queue.
 */
#ifndef STGT_BENCH_FLOOR_H
#define STGT_BENCH_FLOOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common.h"
#include "transport/iscsi/digest.h"
#include "transport/iscsi/pdu.h"

#define FLOOR_BLOCK 512u
#define RX_SIZE (256u << 10)
#define TASKS 65536u
#define ARENA_SIZE (64u << 20) /* what pread reads into, per connection; touched as far as used */
#define NULL_DATA (16u << 20) /* the longest READ without a store */
#define SEGS 16384u /* a power of two */
#define WINDOW 1023u /* commands */

enum store_kind { STORE_NULL, STORE_MEM, STORE_FILE };

struct floor_options {
	struct address address;
	enum store_kind store;
	bool spin;
	bool by_mmap; /* a file's data is sent from a mapping, not read */
	const char *path;
	uint64_t size;
	unsigned flush_at, max_recv, max_burst, first_burst, seconds;
	/* the store */
	int fd;
	uint8_t *map; /* mem, and file by mmap */
	uint8_t *null_data;
};
extern struct floor_options floor_options;

struct floor_task {
	uint32_t itt, total, got, r2t_sn;
	uint64_t off;
	uint8_t lun[8];
};

enum rx_state { RX_HEADER, RX_DATA, RX_TRAILER };

struct conn {
	int fd;
	bool closing, blocked, header_digest, data_digest;
	bool digests_next[2]; /* header, data: agreed, from the full feature phase on */
	uint32_t stat_sn, exp_cmd_sn;
	unsigned initiator_max_recv, max_burst;
	/* transmit: a ring of segments, one of headers (each with room for its PDU's digests) */
	struct iovec *seg;
	uint32_t head, tail;
	uint8_t *headers;
	uint32_t header_next;
	uint64_t queued; /* bytes */
	uint8_t *arena;
	size_t arena_pos;
	/* receive */
	enum rx_state state;
	union pdu header;
	uint8_t header_digest_bytes[DIGEST_LEN], trailer[3 + DIGEST_LEN], text[8192 + 4];
	uint8_t *rx_buf;
	uint32_t header_have, data_left, data_len, text_len, trailer_len, trailer_have;
	struct iscsi_digest digest;
	struct floor_task *task; /* whose data is coming; NULL: it is text */
	uint64_t write_off;
	struct floor_task *tasks;
};

/* floor_tx.c. -1 everywhere: this connection ends. */
/* A zeroed header with the sequence numbers in it. */
union pdu *tx_header(struct conn *c, uint8_t opcode, uint32_t itt, bool advance_stat_sn);
/* Queue it with @len bytes of data that stay where they are; padding is read behind them. */
int tx_pdu(struct conn *c, union pdu *h, uint8_t *data, uint32_t len);
int tx_flush(struct conn *c);

/* floor_rx.c */
int rx_once(struct conn *c);

/* floor_scsi.c */
int scsi_command(struct conn *c);
/* A write's data begins: which task, where does it go? */
int write_begins(struct conn *c);
int write_data(struct conn *c, const uint8_t *p, uint32_t len);
int write_goes_on(struct conn *c);

/* floor_login.c */
int login_request(struct conn *c);

#endif
