/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device on its nexus's reactor: entries of the ring become commands, commands that end become completions. What a
 * turn completes goes to the kernel in one write.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/be.h"
#include "base/log.h"
#include "sam/transport.h"
#include "transport/tcmu/part.h"
#include "transport/tcmu/uapi.h"

#define TASKS_MAX 512 /* of a device; what is more stays in the ring */
#define MANY_MAX 64 /* commands of more than a few segments at a time */
#define TURN_MAX 64 /* commands taken in a turn */

static struct tcmu_device *device_of(struct tcmu_side *s)
{
	return container_of(s, struct tcmu_device, side);
}

static struct tcmu_side *side_of(const struct it_nexus *n)
{
	return n->session;
}

static struct tcmu_task *task_of(struct scsi_cmd *cmd)
{
	return container_of(cmd, struct tcmu_task, scsi);
}

static struct tcmu_counts *counts(const struct tcmu_side *s)
{
	return &container_of(s, struct tcmu_device, side)->server->counts[reactor_id(s->reactor)];
}

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static void work_later(struct tcmu_side *s)
{
	reactor_later(s->reactor, &s->later, LATER_SEND);
}

/* ---- the end ----------------------------------------------------------------------------- */

/* The last that this reactor does for @s. */
static void post_end(struct tcmu_side *s)
{
	struct tcmu_device *d = device_of(s);

	s->ended = true;
	later_cancel(&s->later);
	timer_cancel(s->reactor, &s->grace);
	io_forget(s->reactor, s->fd);
	pool_fini(&s->tasks);
	pool_fini(&s->many);
	atomic_fetch_sub(&d->server->served, 1);
	reactor_post(d->server->control, &d->end_msg, tcmu_device_ended);
}

/* End the nexus: its commands are answered as what they are, lost. */
static void drop(struct tcmu_side *s, const char *why)
{
	s->quiet = true;
	if (s->dropping)
		return;
	s->dropping = true;
	s->why = why;
	nexus_drop(s->nexus);
}

static void ring_is_broken(struct tcmu_side *s)
{
	struct tcmu_device *d = device_of(s);

	if (s->quiet && s->dropping)
		return;
	log_err("tcmu %s: its ring is corrupt: %s; it is not served any more", d->core,
		s->ring.broken);
	count(&counts(s)->ring_errors);
	drop(s, s->ring.broken);
}

/* ---- taking ------------------------------------------------------------------------------- */

static void put_task(struct tcmu_task *t)
{
	struct tcmu_side *s = &t->device->side;

	if (t->many)
		pool_put(&s->many, t->many);
	pool_put(&s->tasks, t);
	s->ntasks--;
	count(&counts(s)->ended);
}

static struct tcmu_task *get_task(struct tcmu_side *s, uint32_t segments)
{
	struct tcmu_task *t = pool_get(&s->tasks);

	if (!t)
		return NULL;
	t->many = NULL;
	t->device = device_of(s);
	if (segments > array_size(t->few)) {
		t->many = pool_get(&s->many);
		if (!t->many) {
			pool_put(&s->tasks, t);
			return NULL;
		}
	}
	s->ntasks++;
	count(&counts(s)->begun);
	return t;
}

/* A command of more segments than a store takes: the kernel has such a limit itself, and says the same. */
static void refuse_long(struct tcmu_side *s, struct ring_entry *e)
{
	uint8_t sense[SENSE_MAX];
	struct ring_answer a = { .status = ST_CHECK_CONDITION, .sense = sense };
	struct ring_slot slot;
	uint32_t total;
	unsigned n;

	e->iov_cnt = 0;
	a.sense_len = sense_encode(sense, V_INVALID_FIELD_IN_CDB, NULL, false);
	if (ring_take(&s->ring, e, &slot, false, NULL, &n, &total))
		ring_complete(&s->ring, &slot, &a);
	work_later(s);
}

/* False: there is no task for it; it stays in the ring. */
static bool take_command(struct tcmu_side *s, struct ring_entry *e)
{
	struct tcmu_task *t;
	unsigned n;

	if (e->iov_cnt > SHARED_SEGMENTS_MAX) {
		refuse_long(s, e);
		return true;
	}
	t = get_task(s, e->iov_cnt);
	if (!t)
		return false;
	t->once = !tcmu_repeatable(e->cdb, s->random_access);
	if (!ring_take(&s->ring, e, &t->slot, t->once, t->many ? t->many : t->few, &n, &t->total)) {
		put_task(t);
		return true;
	}
	cmd_init(&t->scsi, s->nexus, s->lun, t->slot.id, ATTR_SIMPLE, e->cdb, e->cdb_len);
	t->scsi.cdb_len = (uint8_t)min(e->cdb_len, 255u);
	t->scsi.dir_by_row = true;
	t->scsi.expected = t->total;
	/* one list for both: a command has one direction, which its row says */
	shared_data_init(&t->data, t->many ? t->many : t->few, n, t->many ? t->many : t->few, n);
	atomic_store_explicit(&s->commands,
			      atomic_load_explicit(&s->commands, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	cmd_submit(&t->scsi);
	return true;
}

/* An opcode of the ring that came after us: the kernel is told so, and fails what it was. */
static void take_unknown(struct tcmu_side *s, struct ring_entry *e)
{
	static const struct ring_answer a = { .unknown = true };
	struct ring_slot slot;
	uint32_t total;
	unsigned n;

	log_warn("tcmu %s: an entry of a kind that is not known", device_of(s)->core);
	count(&counts(s)->unknown_entries);
	if (ring_take(&s->ring, e, &slot, false, NULL, &n, &total))
		ring_complete(&s->ring, &slot, &a);
	work_later(s);
}

/* ---- task management ----------------------------------------------------------------------- */

static void was_reset(struct tmf *t)
{
	struct tcmu_side *s = container_of(t, struct tcmu_side, tmf);

	s->paused = false;
	work_later(s);
}

/*
 * The kernel has aborted commands, and answers its initiator when they have come back: so they are
 * hastened, and completed when their store lets go. After a reset of the LU or more, the LU is reset, too; what comes
 * after
 * it in the ring waits for that.
 */
static void manage(struct tcmu_side *s, struct ring_entry *e)
{
	count(&counts(s)->tmr);
	log_info("tcmu %s: task management function %u, %u commands", device_of(s)->core, e->tmr,
		 e->ids);
	for (uint32_t i = 0; i < e->ids; i++) {
		struct scsi_cmd *cmd = nexus_find_cmd(s->nexus, NULL, ring_tmr_id(&s->ring, e, i));

		if (cmd && !cmd->abort)
			cmd_abort(cmd, V_TASK_ABORTED);
	}
	ring_skip(&s->ring, e);
	work_later(s);
	if (e->tmr < TCMU_TMR_LUN_RESET || e->tmr > TCMU_TMR_TARGET_COLD_RESET)
		return;
	s->paused = true;
	s->tmf = (struct tmf){ .nexus = s->nexus, .function = TMF_LU_RESET, .done = was_reset };
	memcpy(s->tmf.lun, s->lun, sizeof(s->tmf.lun));
	tmf_submit(&s->tmf);
}

/* ---- a turn ------------------------------------------------------------------------------------ */

/* False: what is next has to wait. */
static bool take_next(struct tcmu_side *s, struct ring_entry *e)
{
	switch (ring_peek(&s->ring, e)) {
	case RING_COMMAND:
		return take_command(s, e);
	case RING_UNKNOWN:
		take_unknown(s, e);
		return true;
	case RING_TMR:
		manage(s, e);
		return true;
	case RING_EMPTY:
		if (!s->ring.broken && ring_has_more(&s->ring))
			work_later(s); /* only padding so far */
		return false;
	case RING_WAIT:
	default:
		return false;
	}
}

static void serve(struct tcmu_side *s)
{
	struct ring_entry e;
	unsigned n = 0;

	while (!s->quiet && !s->paused && !s->ring.broken && take_next(s, &e))
		if (++n == TURN_MAX) {
			work_later(s);
			break;
		}
	if (s->ring.broken)
		ring_is_broken(s);
}

static void tell_kernel(struct tcmu_side *s)
{
	int32_t on = 0;

	if (!ring_take_news(&s->ring))
		return;
	if (write(s->fd, &on, sizeof(on)) < 0 && errno != EIO && errno != EAGAIN)
		log_warn("tcmu %s: cannot tell the kernel of completions: %s", device_of(s)->core,
			 strerror(errno));
}

static void at_turn_end(struct later *l)
{
	struct tcmu_side *s = container_of(l, struct tcmu_side, later);

	tell_kernel(s);
	if (s->quiet) {
		if (!s->ntasks && !s->paused)
			drop(s, s->why);
	} else if (ring_has_more(&s->ring)) {
		serve(s);
	}
}

static void wait_news(struct tcmu_side *s);

static void polled(struct io_op *op, int res)
{
	struct tcmu_side *s = container_of(op, struct tcmu_side, poll);
	int32_t events;

	if (s->drained) {
		post_end(s);
		return;
	}
	if (res >= 0 && read(s->fd, &events, sizeof(events)) < 0 && errno != EAGAIN)
		res = -errno;
	if (res < 0) {
		if (!s->dropping)
			drop(s, "the kernel took the device away");
		return;
	}
	serve(s);
	if (!s->drained)
		wait_news(s);
}

static void wait_news(struct tcmu_side *s)
{
	s->poll = (struct io_op){ .verb = IO_POLL, .fd = s->fd, .events = POLLIN, .done = polled };
	io_submit(s->reactor, &s->poll);
}

/* ---- what sam calls ---------------------------------------------------------------------------- */

static void tcmu_data_out(struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	shared_data_out(&task_of(cmd)->data, cmd, off, len);
}

static void tcmu_data_out_cancel(struct scsi_cmd *cmd)
{
	/* data never are on their way: they are there */
}

static void tcmu_data_in(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data,
			 uint32_t len)
{
	shared_data_in(&task_of(cmd)->data, off, b, data, len);
}

static uint32_t tcmu_data_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			       const struct iovec **v, unsigned *n)
{
	return shared_data_room(&task_of(cmd)->data, off, len, v, n);
}

/* What the command left of the data area is another's: the kernel would copy it to the initiator. */
static void blank_rest(struct tcmu_task *t)
{
	const struct iovec *v;
	unsigned n;

	shared_data_room(&t->data, t->scsi.data_in, t->total - t->scsi.data_in, &v, &n);
	for (unsigned i = 0; i < n; i++)
		memset(v[i].iov_base, 0, v[i].iov_len);
}

/* The kernel takes data-in with GOOD, all of it, unless a length says how much; a length of 0 says nothing. */
static void set_data_in(struct tcmu_task *t, struct ring_answer *a)
{
	const struct tcmu_side *s = &t->device->side;
	uint32_t moved = t->scsi.data_in;

	if (cmd_dir(&t->scsi) == DIR_OUT || !t->total)
		return;
	if (moved && (moved < t->total || a->status != ST_GOOD)) {
		a->has_read_len = true;
		a->read_len = moved;
	}
	if (moved < t->total && a->status != ST_CHECK_CONDITION && !s->ring.broken &&
	    (!moved || !(s->ring.flags & TCMU_MAILBOX_FLAG_CAP_READ_LEN)))
		blank_rest(t);
}

static void tcmu_finish(struct scsi_cmd *cmd)
{
	struct tcmu_task *t = task_of(cmd);
	struct tcmu_side *s = &t->device->side;
	struct ring_answer a = { .status = verdict_status(cmd->verdict) };
	uint8_t sense[SENSE_MAX];

	if (unlikely(cmd->verdict == V_ABORTED_SILENTLY)) {
		if (s->dropping) /* the next nexus may do it, or this one has done it: as after a restart */
			tcmu_answer_lost(&a, t->once);
	} else if (unlikely(a.status == ST_CHECK_CONDITION)) {
		a.sense = sense;
		a.sense_len = cmd_sense(cmd, sense);
	}
	set_data_in(t, &a);
	shared_data_end(&t->data);
	ring_complete(&s->ring, &t->slot, &a);
	put_task(t);
	work_later(s);
}

static void drained_posted(struct msg *m)
{
	post_end(container_of(m, struct tcmu_side, drained_msg));
}

static void tcmu_drained(struct it_nexus *n)
{
	struct tcmu_side *s = side_of(n);

	s->drained = true;
	tell_kernel(s);
	if (io_pending(&s->poll))
		io_cancel(&s->poll);
	else /* whoever called may still need @s */
		reactor_post(s->reactor, &s->drained_msg, drained_posted);
}

static void tcmu_close(struct it_nexus *n)
{
	drop(side_of(n), "the session was closed");
}

/* ---- what control wants to know -------------------------------------------------------------------- */

static void note(struct tcmu_side *s)
{
	struct tcmu_device *d = device_of(s);

	if (!atomic_exchange(&s->note_posted, true))
		reactor_post(d->server->control, &d->note_msg, tcmu_device_noted);
}

static void tcmu_lun_changed(struct it_nexus *n, uint64_t lun, bool present)
{
	note(side_of(n));
}

static void note_size(const struct itl *itl)
{
	struct tcmu_side *s = side_of(itl->nexus);

	atomic_store(&s->bytes, itl->part->view.blocks << itl->lu->block_shift);
	note(s);
}

static void tcmu_attention(struct itl *itl, uint32_t set)
{
	if (set & UA_BIT(UA_CAPACITY_CHANGED))
		note_size(itl);
}

const struct transport_ops tcmu_transport_ops = {
	.name = "tcmu",
	.data_out = tcmu_data_out,
	.data_out_cancel = tcmu_data_out_cancel,
	.data_in = tcmu_data_in,
	.data_room = tcmu_data_room,
	.finish = tcmu_finish,
	.nexus_drained = tcmu_drained,
	.close_session = tcmu_close,
	.lun_changed = tcmu_lun_changed,
	.attention = tcmu_attention,
};

/* ---- start and stop ------------------------------------------------------------------------------------ */

static void started(struct msg *m)
{
	struct tcmu_device *d = container_of(m, struct tcmu_device, start_msg);
	struct tcmu_side *s = &d->side;
	const struct itl *itl;

	pool_init(&s->tasks, sizeof(struct tcmu_task), TASKS_MAX);
	pool_init(&s->many, SHARED_SEGMENTS_MAX * sizeof(struct iovec), MANY_MAX);
	later_init(&s->later, at_turn_end);
	nexus_start(s->nexus, s);
	if (s->drained)
		return;
	itl = nexus_itl(s->nexus, d->name.lun);
	if (itl)
		note_size(itl);
	wait_news(s);
	work_later(s);
}

void tcmu_side_start(struct tcmu_device *d, struct it_nexus *n)
{
	struct tcmu_side *s = &d->side;
	uint64_t lun = d->name.lun;

	s->nexus = n;
	s->reactor = n->reactor;
	s->fd = d->fd;
	s->ntasks = 0;
	s->paused = s->quiet = s->dropping = s->drained = s->ended = false;
	s->why = NULL;
	s->poll = (struct io_op){ 0 };
	s->grace = (struct timer){ 0 };
	memset(s->lun, 0, sizeof(s->lun));
	be_store(s->lun, 2, lun < 256 ? lun : lun | 0x4000); /* SAM-6 4.7.7: peripheral, flat */
	atomic_fetch_add(&d->server->served, 1);
	reactor_post(s->reactor, &d->start_msg, started);
}

static void grace_over(struct timer *t)
{
	drop(container_of(t, struct tcmu_side, grace), NULL);
}

static void stop_posted(struct msg *m)
{
	struct tcmu_device *d = container_of(m, struct tcmu_device, stop_msg);
	struct tcmu_side *s = &d->side;

	if (s->ended) {
		reactor_post(d->server->control, &d->ack_msg, tcmu_device_stop_acked);
		return;
	}
	atomic_store(&d->stop_seen, true);
	s->quiet = true;
	if (s->dropping)
		return;
	if (d->grace_ns && s->ntasks)
		timer_arm(s->reactor, &s->grace, d->grace_ns, grace_over);
	else
		drop(s, NULL);
}

void tcmu_side_stop(struct tcmu_device *d, uint64_t grace_ns)
{
	if (d->stop_posted)
		return;
	d->stop_posted = true;
	d->grace_ns = grace_ns;
	reactor_post(d->side.reactor, &d->stop_msg, stop_posted);
}
