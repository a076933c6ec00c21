/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/scsi_cmd.h"

#include <string.h>

#include "base/sgl.h"
#include "reactor/clock.h"
#include "sam/guard.h"
#include "sam/latency.h"
#include "sam/observe.h"
#include "sam/taskset.h"
#include "sam/transport.h"

/* By reactor: single writer each. The control reactor has the last place. */
static struct {
	uint64_t begun, ended;
	char pad[48];
} live[REACTORS_MAX + 1];

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

uint64_t cmd_live_count(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < array_size(live); i++) {
		n -= __atomic_load_n(&live[i].ended, __ATOMIC_RELAXED);
		n += __atomic_load_n(&live[i].begun, __ATOMIC_RELAXED);
	}
	return n;
}

uint64_t cmd_ended_count(unsigned id)
{
	return __atomic_load_n(&live[id].ended, __ATOMIC_RELAXED);
}

/* Lengths that the compiler knows cost no call: 16 is iSCSI's and TCMU's, 32 virtio's. */
static void copy_cdb(uint8_t *to, const uint8_t *from, unsigned len)
{
	if (likely(len == 16))
		memcpy(to, from, 16);
	else if (likely(len == 32))
		memcpy(to, from, 32);
	else
		memcpy(to, from, min(len, (unsigned)CDB_MAX));
}

void cmd_init(struct scsi_cmd *cmd, struct it_nexus *n, const uint8_t lun[8], uint64_t tag,
	      uint8_t attr, const uint8_t *cdb, unsigned cdb_len)
{
	memset((char *)cmd + offsetof(struct scsi_cmd, itl), 0,
	       offsetof(struct scsi_cmd, io) - offsetof(struct scsi_cmd, itl));
	memset(&cmd->verdict, 0, sizeof(*cmd) - offsetof(struct scsi_cmd, verdict));
	cmd->nexus = n;
	memcpy(cmd->lun, lun, sizeof(cmd->lun));
	cmd->tag = tag;
	cmd->since = reactor_now(n->reactor);
	cmd->attr = attr;
	cmd->read = cmd->write = cmd->dir_by_row = false;
	cmd->expected = 0;
	cmd->cdb_len = (uint8_t)min(cdb_len, 255u);
	copy_cdb(cmd->cdb, cdb, cdb_len);
	list_init(&cmd->task_link);
	list_init(&cmd->waiter.link);
	list_init(&cmd->park_link);
	cmd->tx.apply = NULL;
}

void cmd_count_begin(const struct scsi_cmd *cmd)
{
	count(&live[reactor_id(cmd->nexus->reactor)].begun);
}

/* ---- residual ----------------------------------------------------------- */

/*
 * The one residual table (SAM-6 5.4.2, RFC 7143 11.4.5). Expected is what the initiator's
 * header said; moved is what the command asked for, or what went before it failed.
 *
 *	moved < expected  underflow by the difference
 *	moved > expected  overflow by the difference
 */
static void set_residual(struct scsi_cmd *cmd)
{
	uint64_t moved = cmd->required;

	if (verdict_status(cmd->verdict) != ST_GOOD)
		moved = cmd->data_in ? cmd->data_in : min(cmd->required, (uint64_t)cmd->offset);
	if (moved < cmd->expected) {
		cmd->residual = RESID_UNDERFLOW;
		cmd->residual_count = (uint32_t)(cmd->expected - moved);
	} else if (moved > cmd->expected) {
		cmd->residual = RESID_OVERFLOW;
		cmd->residual_count = (uint32_t)min(moved - cmd->expected, (uint64_t)UINT32_MAX);
	}
}

/* ---- completion ---------------------------------------------------------- */

static void account(struct scsi_cmd *cmd)
{
	struct itl_stats *is = &cmd->itl->stats;
	struct lu_stats *ls = &cmd->itl->part->stats;
	bool good = verdict_status(cmd->verdict) == ST_GOOD;

	if (cmd_dir(cmd) == DIR_IN) {
		is->rd_done_cmds++;
		is->rd_done_bytes += cmd->data_in;
		count(&ls->read_cmds);
		add(&ls->read_bytes, cmd->data_in);
	} else if (cmd_dir(cmd) == DIR_OUT) {
		is->wr_done_cmds++;
		is->wr_done_bytes += good ? cmd->transfer : 0;
		count(&ls->write_cmds);
		add(&ls->write_bytes, good ? cmd->transfer : 0);
	}
	if (verdict_status(cmd->verdict) == ST_CHECK_CONDITION) {
		is->errs++;
		count(&ls->errors);
	}
	latency_add(cmd->itl->part->latency, cmd->op,
		    reactor_recent(cmd->nexus->reactor) - cmd->since);
}

static void itl_emptied(struct itl *itl)
{
	if (itl->removing && !itl->tasks.live)
		itl_removed(itl);
}

void cmd_complete(struct scsi_cmd *cmd, enum verdict v)
{
	struct it_nexus *n = cmd->nexus;
	struct itl *itl = cmd->itl;
	bool in_task_set = cmd->state == CMD_ENABLED || cmd->state == CMD_DORMANT;

	cmd->verdict = cmd->abort ? cmd->abort : v;
	if (unlikely(cmd->guard)) {
		cmd_unguard(cmd);
		return;
	}
	cmd->wait = WAIT_NONE;
	if (cmd->buf) {
		buf_put(cmd->buf);
		cmd->buf = NULL;
	}
	set_residual(cmd);
	account(cmd);
	OBSERVE(cmd, command__done, (int)cmd->verdict, n->id, itl->lu->id, cmd->tag, cmd->cdb[0],
		verdict_status(cmd->verdict));
	if (in_task_set) {
		taskset_leave(cmd);
		hash_del(&cmd->by_tag);
	}
	cmd->state = CMD_DONE;
	count(&live[reactor_id(n->reactor)].ended);
	n->tops->finish(cmd);
	if (in_task_set) {
		if (itl->tasks.dormant)
			taskset_wake(itl);
		itl_emptied(itl);
	}
	nexus_put(n);
}

unsigned cmd_sense(const struct scsi_cmd *cmd, uint8_t *out)
{
	if (unlikely(cmd->verdict == V_DEVICE_SENSE)) {
		memcpy(out, cmd->raw.sense, cmd->raw.req.sense_len);
		return cmd->raw.req.sense_len;
	}
	return sense_encode(out, cmd->verdict, &cmd->sense, cmd->itl->part->view.mode.d_sense);
}

/* ---- verdicts with a payload ---------------------------------------------- */

static void point_at(struct scsi_cmd *cmd, uint8_t where, unsigned byte, int bit)
{
	cmd->sense.flags |= SENSE_FIELD | where;
	cmd->sense.byte = (uint16_t)byte;
	if (bit >= 0) {
		cmd->sense.flags |= SENSE_FIELD_BIT;
		cmd->sense.bit = (uint8_t)bit;
	}
}

enum verdict cmd_invalid_cdb(struct scsi_cmd *cmd, unsigned byte, int bit)
{
	point_at(cmd, SENSE_FIELD_CDB, byte, bit);
	return V_INVALID_FIELD_IN_CDB;
}

enum verdict cmd_invalid_param(struct scsi_cmd *cmd, unsigned byte, int bit)
{
	point_at(cmd, 0, byte, bit);
	return V_INVALID_FIELD_IN_PARAM;
}

enum verdict cmd_information(struct scsi_cmd *cmd, enum verdict v, uint64_t information)
{
	cmd->sense.flags |= SENSE_INFORMATION;
	cmd->sense.information = information;
	return v;
}

/* ---- data ------------------------------------------------------------------ */

uint32_t cmd_plan(struct scsi_cmd *cmd, uint64_t required)
{
	struct itl_stats *is = &cmd->itl->stats;

	cmd->required = required;
	cmd->transfer = (uint32_t)min(required, (uint64_t)cmd->expected);
	if (cmd_dir(cmd) == DIR_IN)
		is->rd_subm_bytes += cmd->transfer;
	else
		is->wr_subm_bytes += cmd->transfer;
	return cmd->transfer;
}

static void go_on(struct scsi_cmd *cmd)
{
	void (*next)(struct scsi_cmd *) = cmd->next;

	cmd->wait = WAIT_NONE;
	cmd->next = NULL;
	next(cmd);
}

static enum verdict want_data(struct scsi_cmd *cmd, uint32_t off, uint32_t len, bool some,
			      void (*next)(struct scsi_cmd *cmd))
{
	cmd->next = next;
	cmd->out_some = some;
	cmd->out = NULL;
	cmd->out_cnt = 0;
	cmd->out_len = 0;
	if (!len) {
		go_on(cmd);
		return V_PENDING;
	}
	cmd->wait = WAIT_DATA_OUT;
	cmd->nexus->tops->data_out(cmd, off, len);
	return V_PENDING;
}

enum verdict cmd_want_data(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			   void (*next)(struct scsi_cmd *cmd))
{
	return want_data(cmd, off, len, false, next);
}

enum verdict cmd_want_some(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			   void (*next)(struct scsi_cmd *cmd))
{
	return want_data(cmd, off, len, true, next);
}

void cmd_data_ready(struct scsi_cmd *cmd, const struct iovec *v, unsigned n, uint32_t len)
{
	cmd->out = v;
	cmd->out_cnt = n;
	cmd->out_len = len;
	go_on(cmd);
}

void cmd_data_failed(struct scsi_cmd *cmd, enum verdict v)
{
	cmd_complete(cmd, v);
}

static void buf_may_be_there(struct buf_waiter *w)
{
	struct scsi_cmd *cmd = container_of(w, struct scsi_cmd, waiter);

	cmd_want_buf(cmd, cmd->buf_size, cmd->next);
}

enum verdict cmd_want_buf(struct scsi_cmd *cmd, uint32_t size, void (*next)(struct scsi_cmd *cmd))
{
	struct bufpool *pool = reactor_bufpool(cmd->nexus->reactor);

	cmd->next = next;
	cmd->buf = bufpool_get(pool, size);
	if (likely(cmd->buf)) {
		go_on(cmd);
		return V_PENDING;
	}
	if (cmd->out_cnt) { /* everybody who waits with something in hand may wait for the other */
		cmd_complete(cmd, V_TASK_SET_FULL);
		return V_PENDING;
	}
	cmd->wait = WAIT_BUFFER;
	cmd->buf_size = size;
	cmd->waiter.fn = buf_may_be_there;
	bufpool_wait(pool, &cmd->waiter);
	return V_PENDING;
}

uint32_t cmd_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len, const struct iovec **v,
		  unsigned *n)
{
	const struct transport_ops *tops = cmd->nexus->tops;
	uint32_t block = cmd->lu->block_size, got;

	if (!tops->data_room)
		return 0;
	len = round_down(len, block);
	if (!len)
		return 0;
	got = tops->data_room(cmd, off, len, v, n);
	if (unlikely(got % block)) /* a block across what could be had */
		got = tops->data_room(cmd, off, round_down(got, block), v, n);
	return got && sgl_aligned(*v, *n, cmd->itl->part->view.mem_align) ? got : 0;
}

void cmd_gave_data(struct scsi_cmd *cmd, uint32_t len)
{
	cmd->data_in += len;
}

void cmd_give_data(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len)
{
	cmd->data_in += len;
	cmd->nexus->tops->data_in(cmd, off, b, data, len);
}

enum verdict cmd_reply(struct scsi_cmd *cmd, uint32_t len, uint32_t alloc)
{
	struct buf *b = cmd->buf;
	uint32_t n = cmd_plan(cmd, min(len, alloc));

	cmd->buf = NULL;
	if (n)
		cmd_give_data(cmd, 0, b, b->data, n);
	else
		buf_put(b);
	return V_GOOD;
}

/* ---- holds, aborts, transactions -------------------------------------------- */

void cmd_hold(struct scsi_cmd *cmd)
{
	cmd->holds++;
}

bool cmd_release(struct scsi_cmd *cmd)
{
	struct itl *itl = cmd->itl;

	cmd->holds--;
	if (likely(!cmd->abort))
		return true;
	if (!cmd->holds) {
		/* the itl outlives this: it is not detached before its drains have been told */
		nexus_get(itl->nexus);
		cmd_complete(cmd, cmd->abort);
		itl_let_go(itl);
		nexus_put(itl->nexus);
	}
	return false;
}

void cmd_abort(struct scsi_cmd *cmd, enum verdict v)
{
	if (cmd->abort) {
		if (v == V_ABORTED_SILENTLY)
			cmd->abort = v;
		return;
	}
	cmd->abort = v;
	if (cmd->holds) {
		cmd->itl->held_aborted++;
		if (cmd->lu->ds->cancel)
			cmd->lu->ds->cancel(cmd);
		return;
	}
	if (cmd->state == CMD_DORMANT) {
		cmd_complete(cmd, v);
		return;
	}
	switch (cmd->wait) {
	case WAIT_DATA_OUT:
		cmd->nexus->tops->data_out_cancel(cmd);
		cmd_complete(cmd, v);
		break;
	case WAIT_BUFFER:
		bufpool_unwait(&cmd->waiter);
		cmd_complete(cmd, v);
		break;
	case WAIT_TX:
		lu_tx_cancel(&cmd->tx);
		break;
	case WAIT_GUARD:
		list_del(&cmd->park_link);
		cmd_complete(cmd, v);
		break;
	default: /* its handler is running and will come to cmd_complete() */
		break;
	}
}

void cmd_fail(struct scsi_cmd *cmd, enum verdict v)
{
	cmd_abort(cmd, v);
}

static void tx_finished(struct lu_tx *tx)
{
	struct scsi_cmd *cmd = container_of(tx, struct scsi_cmd, tx);

	cmd->sense = tx->sense;
	if (cmd->next && tx->verdict == V_GOOD && !cmd->abort)
		go_on(cmd);
	else
		cmd_complete(cmd, tx->verdict);
}

enum verdict cmd_run_tx(struct scsi_cmd *cmd)
{
	return cmd_run_tx_then(cmd, NULL);
}

enum verdict cmd_run_tx_then(struct scsi_cmd *cmd, void (*next)(struct scsi_cmd *cmd))
{
	cmd->next = next;
	cmd->wait = WAIT_TX;
	cmd->tx.itl = cmd->itl;
	cmd->tx.done = tx_finished;
	lu_tx_run(cmd->lu, &cmd->tx);
	return V_PENDING;
}

struct scsi_cmd *nexus_find_cmd(struct it_nexus *n, const struct itl *itl, uint64_t tag)
{
	struct hash_node *node = hash_find(&n->tags, tag);
	struct scsi_cmd *aborted = NULL;

	for (; node; node = hash_next(node)) {
		struct scsi_cmd *cmd = container_of(node, struct scsi_cmd, by_tag);

		if (itl && cmd->itl != itl)
			continue;
		if (cmd->abort != V_ABORTED_SILENTLY)
			return cmd;
		aborted = cmd;
	}
	return aborted;
}
