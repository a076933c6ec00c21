/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An iSCSI task: a SCSI command with its data on the wire; or, out of order
 * only, another request that waits for its CmdSN.
 */
#ifndef STGT_ISCSI_TASK_H
#define STGT_ISCSI_TASK_H

#include "sam/scsi_cmd.h"
#include "transport/iscsi/pdu.h"

#define TASK_SEGS 16
#define TASK_R2TS 8 /* most R2Ts out for one task, whatever was negotiated */

struct iscsi_conn;
struct iscsi_session;

enum task_kind {
	TASK_SCSI,
	TASK_REQUEST, /* bhs and payload of another request */
	TASK_PLUG, /* takes the place of a CmdSN that will not come */
};

struct r2t {
	uint32_t ttt, offset, len;
};

struct iscsi_task {
	struct scsi_cmd cmd;
	struct iscsi_session *session;
	struct hash_node by_itt; /* in session->by_itt */
	struct list link; /* in session->tasks */
	struct list held; /* in session->held: waits for its CmdSN */
	uint8_t kind; /* enum task_kind */
	bool immediate;
	bool in_sam; /* submitted, not finished */
	bool ended; /* finished; the response waits for the data that was promised */
	bool counted; /* in session->active or session->immediate */
	bool owing; /* counted in conn->owed */
	enum verdict fate; /* not 0: ends with it without being submitted */
	uint32_t itt, cmd_sn;

	/* data-in: the last piece is kept back to carry the status */
	uint32_t data_sn, burst; /* burst: bytes of the sequence so far */
	struct buf *last;
	uint8_t *last_data;
	uint32_t last_off, last_len;

	/* data-out: it arrives in order (DataPDUInOrder, DataSequenceInOrder) */
	bool unsol_open; /* unsolicited data is still to come */
	bool wanted; /* data_out() waits for [want_off, want_end) */
	uint32_t unsol_end; /* the most that may come unsolicited */
	uint32_t received; /* the buffer offset that comes next */
	uint32_t out_sn; /* next DataSN of the current sequence */
	uint32_t want_off, want_end;
	uint32_t r2t_sn, asked; /* asked: all before it is received or asked for */
	unsigned r2t_first, r2t_count;
	struct r2t r2t[TASK_R2TS];
	struct buf_waiter waiter;
	unsigned nseg; /* memory for buffer offsets [seg_base, seg_end) */
	uint32_t seg_base, seg_end;
	struct iovec seg[TASK_SEGS];
	struct buf *seg_buf[TASK_SEGS];
	struct iovec out[TASK_SEGS];

	/* TASK_REQUEST */
	union pdu bhs;
	struct buf *payload;
	uint8_t *payload_data;
	uint32_t payload_len;

	/* ended */
	uint8_t sense_len;
	uint8_t sense[SENSE_MAX];
};

/* --- task.c --- */

/* A task of @s, counted; NULL without memory. */
struct iscsi_task *task_create(struct iscsi_session *s, enum task_kind kind, uint32_t itt,
			       uint32_t cmd_sn, bool immediate);
void task_free(struct iscsi_task *t);

/*
 * The extended CDB of the additional header segments (RFC 7143 11.2.2.3) is appended to
 * the 16 bytes at @cdb. Returns the length of the whole, 0 if the segments are
 * malformed or ask for what is not supported.
 */
unsigned command_cdb(uint8_t cdb[CDB_MAX], const uint8_t *ahs, uint32_t ahs_len);

/*
 * A SCSI Command's header has come. NULL: it is ignored or refused, its data
 * is to be thrown away. Else its @len bytes of immediate data are expected:
 * command_pin() or command_place(), then command_arrived().
 */
struct iscsi_task *command_begin(struct iscsi_conn *c, const union pdu *p, const uint8_t *ahs,
				 uint32_t ahs_len, uint32_t len);
/* True if the data may stay where it lies: nothing else comes before the command can run. */
bool command_may_pin(const struct iscsi_task *t, uint32_t len);
void command_pin(struct iscsi_task *t, struct buf *b, uint8_t *data, uint32_t len);
/* All is there; @digest_ok: and correct. @p as in command_begin(). */
void command_arrived(struct iscsi_task *t, const union pdu *p, uint32_t len, bool digest_ok);
/* Its CmdSN's turn has come. */
void command_run(struct iscsi_task *t);

/* tops->finish() */
void task_finish(struct scsi_cmd *cmd);
/* The promised data has come: send the response that waited for it. */
void task_respond_ended(struct iscsi_task *t);

/* --- data_out.c --- */

/*
 * Memory for the next @len bytes of data-out, to be filled in place: the
 * segments at @v (room for RX_SEGS) and their buffers, each with a reference for the
 * caller. 0: throw the data away.
 */
unsigned data_out_place(struct iscsi_task *t, uint32_t len, struct iovec *v, struct buf **pins);
/* Memory for unsolicited data up to @end. False: there is none. */
bool data_out_reserve(struct iscsi_task *t, uint32_t end);
/* A Data-Out's header has come: its task if the data is wanted. NULL: throw the data away. */
struct iscsi_task *data_out_begin(struct iscsi_conn *c, const union pdu *p, uint32_t len);
void data_out_arrived(struct iscsi_conn *c, const union pdu *p, uint32_t len, bool digest_ok);
/* Keep conn->owed right. */
void data_out_owing(struct iscsi_task *t);
/* Give the memory back, stop waiting for some; what is promised still comes. */
void data_out_release(struct iscsi_task *t);
/* And nothing is promised any more. */
void data_out_free(struct iscsi_task *t);
/* tops */
void data_out_want(struct scsi_cmd *cmd, uint32_t off, uint32_t len);
void data_out_cancel(struct scsi_cmd *cmd);

/* --- data_in.c --- */

/* tops->data_in() */
void data_in_give(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len);
/* Send the piece kept back, with the status if @status. True: the status is sent. */
bool data_in_flush(struct iscsi_task *t, bool status);
void data_in_drop(struct iscsi_task *t);

#endif
