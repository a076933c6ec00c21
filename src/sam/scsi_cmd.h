/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A SCSI command, from the transport's header to the status. It lives on its
 * nexus's reactor. The transport allocates it (its own part around it), fills
 * the request and calls cmd_submit(); tops->finish() gives it back.
 *
 * The way: cmd_submit -> router -> task set -> checks -> decode -> row->exec
 * -> cmd_complete -> tops->finish.
 */
#ifndef STGT_SAM_SCSI_CMD_H
#define STGT_SAM_SCSI_CMD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/hash.h"
#include "base/list.h"
#include "reactor/bufpool.h"
#include "sam/it_nexus.h"
#include "sam/op.h"
#include "sam/sense.h"
#include "sam/transaction.h"
#include "stgt/store.h" /* only the type of the request that a command embeds */

/* Task attributes (SAM-6 8.7); the values are iSCSI's (RFC 7143 11.3.1). */
enum task_attr {
	ATTR_UNTAGGED = 0, /* treated as SIMPLE */
	ATTR_SIMPLE = 1,
	ATTR_ORDERED = 2,
	ATTR_HEAD_OF_QUEUE = 3,
	ATTR_ACA = 4, /* refused: NACA is not supported */
};

enum cmd_state {
	CMD_IDLE, /* the transport's */
	CMD_DORMANT, /* in the task set, held by others */
	CMD_ENABLED, /* its handler runs or waits */
	CMD_DONE, /* finished; the transport's again */
};

enum cmd_wait {
	WAIT_NONE,
	WAIT_DATA_OUT,
	WAIT_BUFFER,
	WAIT_TX, /* for a transaction of its own */
	WAIT_GUARD, /* for the LU's write guard, or until its store has been changed */
	WAIT_END, /* its outcome is settled: the guard is being given back */
};

enum residual { RESID_NONE, RESID_UNDERFLOW, RESID_OVERFLOW };

#define RAW_SENSE_MAX 96 /* what the kernel keeps of a device's sense data */
#define RAW_BUFS 8

/* A command that a device behind the store carries out (STORE_RAW), and what it answered. */
struct cmd_raw {
	struct store_raw req;
	struct buf *bufs; /* data-in: a chain by buf.next */
	struct iovec iov[RAW_BUFS];
	uint8_t sense[RAW_SENSE_MAX]; /* V_DEVICE_SENSE: req.sense_len bytes */
};

struct scsi_cmd {
	/* the request, by the transport */
	struct it_nexus *nexus;
	uint8_t lun[8];
	uint64_t tag;
	uint64_t since; /* when its header was received: reactor_now() scale */
	uint8_t attr; /* enum task_attr */
	bool read, write; /* the transport's direction flags */
	bool dir_by_row; /* it has none: the command's row says where the data go */
	uint32_t expected; /* expected data transfer length, bytes */
	uint8_t cdb_len; /* bytes at cdb: 16 from iSCSI without AHS; longer than the row's is fine */
	uint8_t cdb[CDB_MAX];

	/* found on the way */
	struct itl *itl;
	struct lu *lu; /* itl->lu */
	const struct op *op;
	struct cdb_args args;

	/* where it is */
	uint8_t state, wait;
	bool bad_sa; /* the opcode is known, its service action is not */
	enum verdict abort; /* not 0: it will end with this verdict */
	unsigned holds; /* store requests under way */
	struct list task_link; /* in itl->tasks */
	struct hash_node by_tag; /* in nexus->tags */
	struct buf_waiter waiter; /* WAIT_BUFFER */
	bool guard; /* holds the LU's write guard */
	struct list park_link; /* WAIT_GUARD: in part->parked */
	void (*go)(struct scsi_cmd *cmd); /* WAIT_GUARD: what runs then */
	/* the handler's continuation: what runs when what it waits for is there */
	void (*next)(struct scsi_cmd *cmd);

	/*
	 * Data-out that the transport obtained: segments of the part asked for,
	 * valid until the next cmd_want_data() or the end. Read only.
	 */
	const struct iovec *out;
	unsigned out_cnt;
	uint32_t out_len;
	bool out_some; /* a part of what is asked for will do: whole blocks from its start */

	/* the handler's working state */
	uint32_t transfer; /* bytes that move: min(required, expected) */
	uint64_t required; /* bytes that the CDB asks for */
	uint32_t offset; /* progress, bytes */
	uint64_t lba, blocks; /* progress */
	uint32_t buf_size; /* WAIT_BUFFER: wanted */
	struct buf *buf; /* the handler's buffer: put at the end if still set */
	struct iovec iov[2];
	uint64_t word[4];
	struct store_io io;
	struct lu_tx tx;
	struct cmd_raw raw; /* of passthrough alone; not cleared */

	/* the outcome, for tops->finish() */
	enum verdict verdict;
	struct sense_info sense;
	uint32_t data_in; /* bytes given to the transport */
	uint8_t residual; /* enum residual */
	uint32_t residual_count;
};

/* ---- for transports ---------------------------------------------------- */

/*
 * Run @cmd, whose request fields are set and everything else zero (use
 * cmd_init()). tops->finish() follows exactly once, perhaps before this
 * returns.
 */
void cmd_submit(struct scsi_cmd *cmd);

/* Zero what is not the request; @cmd_len bytes of CDB are copied from @cdb. */
void cmd_init(struct scsi_cmd *cmd, struct it_nexus *n, const uint8_t lun[8], uint64_t tag,
	      uint8_t attr, const uint8_t *cdb, unsigned cdb_len);

/*
 * The answer to tops->data_out(): the part asked for is at @v, which stays
 * valid until the next data_out() or finish(). @len may be short of what was asked only
 * if the transport failed the command (then call cmd_data_failed()).
 */
void cmd_data_ready(struct scsi_cmd *cmd, const struct iovec *v, unsigned n, uint32_t len);
/* Instead: the data will not come; the command ends with @v. */
void cmd_data_failed(struct scsi_cmd *cmd, enum verdict v);

/*
 * End @cmd with @v from the transport's side (a data digest error, not enough unsolicited
 * data) whatever it does. It ends by the ordinary road when its store lets go.
 */
void cmd_fail(struct scsi_cmd *cmd, enum verdict v);

/* Encode the sense data of a finished command at @out (SENSE_MAX bytes); returns the length. */
unsigned cmd_sense(const struct scsi_cmd *cmd, uint8_t *out);

/* In the router: a command's life begins; cmd_complete() counts its end. */
void cmd_count_begin(const struct scsi_cmd *cmd);

/* ---- for command handlers ----------------------------------------------- */

/* End the command. Once, by every road. */
void cmd_complete(struct scsi_cmd *cmd, enum verdict v);

/* As verdicts, with a payload. */
enum verdict cmd_invalid_cdb(struct scsi_cmd *cmd, unsigned byte, int bit); /* bit -1: none */
enum verdict cmd_invalid_param(struct scsi_cmd *cmd, unsigned byte, int bit);
enum verdict cmd_information(struct scsi_cmd *cmd, enum verdict v, uint64_t information);

/*
 * State what the CDB asks to move, @required bytes. Sets cmd->required and
 * cmd->transfer, which it returns: less than @required if the initiator
 * expects less (the residual follows from both).
 */
uint32_t cmd_plan(struct scsi_cmd *cmd, uint64_t required);

/*
 * Obtain data-out [off, off + len) of the transfer; @next runs when cmd->out has it,
 * perhaps before this returns. Returns V_PENDING for the handler to return.
 * At most CMD_PIECE_MAX bytes a call, or CMD_WHOLE_MAX where nothing less will do; offsets only
 * go forward.
 */
#define CMD_PIECE_MAX (1u << 20)
#define CMD_WHOLE_MAX (2u << 20)
enum verdict cmd_want_data(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			   void (*next)(struct scsi_cmd *cmd));

/*
 * The same, but where memory is short cmd->out may have less: whole blocks, cmd->out_len bytes. So a
 * command never waits for memory while it holds some.
 */
enum verdict cmd_want_some(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			   void (*next)(struct scsi_cmd *cmd));

/*
 * Get a buffer of @size bytes (at most BUF_MAX) into cmd->buf; @next runs when
 * there is one, perhaps before this returns. A command that holds data-out does not wait: it
 * ends with TASK SET FULL. Returns V_PENDING.
 */
enum verdict cmd_want_buf(struct scsi_cmd *cmd, uint32_t size, void (*next)(struct scsi_cmd *cmd));

/*
 * Give @len bytes at @data (inside @b) to the initiator as data-in at @off; a reference
 * of @b goes with it. Offsets go forward without gaps. Never more than cmd->transfer in all.
 */
void cmd_give_data(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len);

/*
 * Memory of the initiator for data-in [off, off + len) of the transfer: whole blocks, aligned as the LU's store
 * asks, in *@n segments at *@v. Returns how many bytes; 0: there is none, a buffer has to do. After bytes have been put
 * there, cmd_gave_data() instead of cmd_give_data().
 */
uint32_t cmd_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len, const struct iovec **v,
		  unsigned *n);
void cmd_gave_data(struct scsi_cmd *cmd, uint32_t len);

/*
 * A short answer made in memory: @len bytes at cmd->buf->data, cut to @alloc and what is
 * expected (SPC-5 4.2.5.6). Takes cmd->buf. Returns V_GOOD.
 */
enum verdict cmd_reply(struct scsi_cmd *cmd, uint32_t len, uint32_t alloc);

/*
 * A store request of this command begins / has ended. Between them an abort
 * waits. cmd_release() returns false if the command was aborted meanwhile: it
 * is then completed by this call and gone.
 */
void cmd_hold(struct scsi_cmd *cmd);
bool cmd_release(struct scsi_cmd *cmd);

/* Run cmd->tx (decide, apply set by the caller) and complete the command with its verdict and sense. */
enum verdict cmd_run_tx(struct scsi_cmd *cmd);
/* The same, but if all went well @next runs instead of the completion. */
enum verdict cmd_run_tx_then(struct scsi_cmd *cmd, void (*next)(struct scsi_cmd *cmd));

/* Where its data goes: as its row says, or where that leaves it open the initiator. */
static inline enum data_dir cmd_dir(const struct scsi_cmd *cmd)
{
	if (unlikely(!cmd->op))
		return DIR_NONE;
	if (likely(cmd->op->dir != DIR_ANY))
		return (enum data_dir)cmd->op->dir;
	return cmd->read ? DIR_IN : cmd->write ? DIR_OUT : DIR_NONE;
}

/* ---- for task management ------------------------------------------------ */

/* Mark @cmd aborted with @v; it ends at once unless a store holds it or a transaction runs. */
void cmd_abort(struct scsi_cmd *cmd, enum verdict v);

/*
 * The command with @tag on @itl (NULL: on any), NULL if there is none. One that was aborted
 * silently counts only if there is no other: its tag may be in use again.
 */
struct scsi_cmd *nexus_find_cmd(struct it_nexus *n, const struct itl *itl, uint64_t tag);

/* Live commands of the daemon, for leak checks. Any thread. */
uint64_t cmd_live_count(void);
/* Commands that have ended on the reactor with this id. Any thread. */
uint64_t cmd_ended_count(unsigned id);

#endif
