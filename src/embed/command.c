/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands: the program's memory is what stores read and write. Nothing is allocated or locked on their way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/sgl.h"
#include "embed/embed.h"
#include "sam/transport.h"

_Static_assert(STGT_CDB_MAX == CDB_MAX, "the longest CDB");
_Static_assert(STGT_SENSE_MAX == SENSE_MAX, "room for sense data");
_Static_assert(STGT_SEGMENTS_MAX == SHARED_SEGMENTS_MAX, "segments of a command");
_Static_assert((int)STGT_GOOD == ST_GOOD && (int)STGT_CHECK_CONDITION == ST_CHECK_CONDITION &&
		       (int)STGT_TASK_ABORTED == ST_TASK_ABORTED,
	       "status codes are the standard's");

struct command {
	struct stgt_command pub; /* what the program sees: first, and it ends where its version ends */
	_Atomic bool busy; /* from submit to done */
	unsigned room, segments; /* at iov */
	uint32_t expected; /* bytes */
	struct stgt_session *session;
	struct msg msg;
	struct scsi_cmd scsi;
	struct shared_data data;
	struct iovec iov[];
};

static struct command *command_of(struct stgt_command *c)
{
	return container_of(c, struct command, pub);
}

struct stgt_command *stgt_command_new(unsigned segments)
{
	struct command *c;

	if (!segments || segments > STGT_SEGMENTS_MAX)
		return NULL;
	c = calloc(1, sizeof(*c) + segments * sizeof(c->iov[0]));
	if (!c)
		return NULL;
	c->room = segments;
	return &c->pub;
}

void stgt_command_free(struct stgt_command *c)
{
	if (c)
		free(command_of(c));
}

/* ---- the end of a command ---------------------------------------------------------------------- */

static void ended(struct command *c)
{
	/* Release: who submits it next has seen all that was done to it. */
	atomic_store_explicit(&c->busy, false, memory_order_release);
	c->pub.done(&c->pub);
}

/* Bytes that the command asked for or got to, within the lists. */
static uint32_t bytes_moved(const struct scsi_cmd *cmd)
{
	if (cmd->residual == RESID_UNDERFLOW)
		return cmd->expected - cmd->residual_count;
	return cmd->expected;
}

static void take_outcome(struct stgt_command *pub, const struct scsi_cmd *cmd)
{
	static const uint8_t kind[] = {
		[RESID_NONE] = STGT_RESIDUAL_NONE,
		[RESID_UNDERFLOW] = STGT_UNDERFLOW,
		[RESID_OVERFLOW] = STGT_OVERFLOW,
	};

	pub->result = 0;
	pub->status = (uint8_t)verdict_status(cmd->verdict);
	pub->residual = kind[cmd->residual];
	pub->residual_count = cmd->residual_count;
	pub->moved = bytes_moved(cmd);
	pub->sense_len = cmd_sense(cmd, pub->sense);
}

static void finish(struct scsi_cmd *cmd)
{
	struct command *c = container_of(cmd, struct command, scsi);

	shared_data_end(&c->data);
	if (cmd->verdict == V_ABORTED_SILENTLY)
		c->pub.result = -ECANCELED;
	else
		take_outcome(&c->pub, cmd);
	ended(c);
}

/* ---- what sam calls ------------------------------------------------------------------------------ */

static void data_out(struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	shared_data_out(&container_of(cmd, struct command, scsi)->data, cmd, off, len);
}

/* The data are there at once: nothing is ever under way. */
static void data_out_cancel(struct scsi_cmd *cmd)
{
}

static void data_in(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len)
{
	shared_data_in(&container_of(cmd, struct command, scsi)->data, off, b, data, len);
}

static uint32_t data_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len, const struct iovec **v,
			  unsigned *n)
{
	return shared_data_room(&container_of(cmd, struct command, scsi)->data, off, len, v, n);
}

static void close_session(struct it_nexus *n)
{
	nexus_drop(n);
}

const struct transport_ops embed_ops = {
	.name = "embedded",
	.data_out = data_out,
	.data_out_cancel = data_out_cancel,
	.data_in = data_in,
	.data_room = data_room,
	.finish = finish,
	.nexus_drained = session_over,
	.close_session = close_session,
};

/* ---- submit ------------------------------------------------------------------------------------- */

int lun_field(uint64_t number, const uint8_t bytes[8], uint8_t out[8])
{
	static const uint8_t none[8];

	if (memcmp(bytes, none, sizeof(none))) {
		memcpy(out, bytes, sizeof(none));
		return 0;
	}
	memset(out, 0, 8);
	if (number > STGT_LUN_MAX)
		return -EINVAL;
	/* peripheral addressing, or flat (SAM-6 4.7.7) */
	be_store(out, 2, number < 256 ? number : number | 0x4000);
	return 0;
}

/* On the session's reactor. */
static void run(struct msg *m)
{
	struct command *c = container_of(m, struct command, msg);
	struct stgt_command *pub = &c->pub;
	struct it_nexus *n = c->session->nexus;
	uint8_t lun[8];

	if (!n || lun_field(pub->lun, pub->lun_bytes, lun)) {
		pub->result = -ENOTCONN;
		ended(c);
		return;
	}
	cmd_init(&c->scsi, n, lun, pub->tag, pub->attr, pub->cdb, pub->cdb_len);
	c->scsi.read = pub->in_cnt && c->segments;
	c->scsi.write = pub->out_cnt && c->segments;
	c->scsi.expected = c->expected;
	shared_data_init(&c->data, c->iov, c->scsi.read ? c->segments : 0, c->iov,
			 c->scsi.write ? c->segments : 0);
	cmd_submit(&c->scsi);
}

static int check(struct command *c)
{
	const struct stgt_command *pub = &c->pub;
	const struct iovec *v = pub->in_cnt ? pub->in : pub->out;
	unsigned n = pub->in_cnt + pub->out_cnt;
	uint64_t bytes = 0;
	uint8_t lun[8];

	if (!pub->done || pub->cdb_len < 6 || pub->cdb_len > CDB_MAX || (n && !v) ||
	    (pub->in_cnt && pub->out_cnt) || lun_field(pub->lun, pub->lun_bytes, lun) ||
	    (pub->attr != STGT_SIMPLE && pub->attr != STGT_ORDERED &&
	     pub->attr != STGT_HEAD_OF_QUEUE))
		return -EINVAL;
	if (n > c->room)
		return -E2BIG;
	for (unsigned i = 0; i < n; i++) {
		if (v[i].iov_len && !v[i].iov_base)
			return -EINVAL;
		if (v[i].iov_len > UINT32_MAX)
			return -E2BIG;
		bytes += v[i].iov_len;
	}
	if (bytes > UINT32_MAX)
		return -E2BIG;
	c->expected = (uint32_t)bytes;
	return 0;
}

/* The list is copied without what is empty: it is cut and moved on the way. */
static void take_list(struct command *c)
{
	const struct stgt_command *pub = &c->pub;
	const struct iovec *v = pub->in_cnt ? pub->in : pub->out;
	unsigned n = pub->in_cnt + pub->out_cnt;

	c->segments = 0;
	for (unsigned i = 0; i < n; i++)
		if (v[i].iov_len)
			c->iov[c->segments++] = v[i];
}

static void clear_outcome(struct stgt_command *pub)
{
	pub->result = 0;
	pub->status = STGT_NO_STATUS;
	pub->residual = STGT_RESIDUAL_NONE;
	pub->residual_count = pub->moved = 0;
	pub->sense_len = 0;
}

int stgt_submit(struct stgt_session *s, struct stgt_command *pub)
{
	struct command *c = pub ? command_of(pub) : NULL;
	int err;

	if (!s || !c)
		return -EINVAL;
	if (atomic_exchange_explicit(&c->busy, true, memory_order_acquire))
		return -EBUSY;
	err = check(c);
	if (!err && atomic_load_explicit(&s->over, memory_order_acquire))
		err = -ENOTCONN;
	if (err) {
		atomic_store_explicit(&c->busy, false, memory_order_release);
		return err;
	}
	take_list(c);
	clear_outcome(pub);
	if (!pub->tag)
		pub->tag = OWN_TAGS | atomic_fetch_add_explicit(&s->tags, 1, memory_order_relaxed);
	c->session = s;
	reactor_post(s->reactor, &c->msg, run);
	return 0;
}

/* ---- and wait -------------------------------------------------------------------------------------- */

static void executed(struct stgt_command *pub)
{
	waiting_end(pub->arg);
}

int stgt_execute(struct stgt_session *s, struct stgt_command *pub)
{
	struct waiting w;
	int err = may_wait("stgt_execute()", NULL);

	if (!pub || err)
		return err ? err : -EINVAL;
	if (atomic_load_explicit(&command_of(pub)->busy, memory_order_acquire))
		return -EBUSY;
	waiting_init(&w);
	pub->done = executed;
	pub->arg = &w;
	err = stgt_submit(s, pub);
	if (!err)
		waiting_for(&w, -1);
	waiting_fini(&w);
	pub->done = NULL;
	pub->arg = NULL;
	return err;
}
