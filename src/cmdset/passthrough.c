/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device server of a device that is passed through. CDB, data, status and sense data go
 * to and fro as they are; what the device cannot know is served here: the LUNs of the
 * target, reservations (to the device all initiators are one, this host), task
 * management, and unit attentions that it tells one and all must hear.
 */
#include "cmdset/passthrough.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sgl.h"
#include "cmdset/disk.h"
#include "cmdset/internal.h"
#include "reactor/clock.h"
#include "sam/guard.h"
#include "sam/observe.h"

#define CDB_CARRIED 32 /* longest CDB that hosts carry */
#define QUALIFIER_GONE 0x20 /* PERIPHERAL QUALIFIER 001b: the device is not there now */

struct passthrough {
	uint32_t max_transfer; /* bytes of one command */
	uint8_t inquiry[PASS_INQUIRY_LEN]; /* as it said when the LU was made */
	struct store_io reset_io; /* one reset at a time: transactions are */
	struct lu_part *resetting;
};

static const struct op_table *const tables[] = { &reservation_table, &passthrough_table, NULL };
static struct op_index index_of_passthrough;

static struct passthrough *device_of(const struct scsi_cmd *cmd)
{
	return cmd->lu->device;
}

/* ---- data-in: a chain of buffers -------------------------------------------------- */

static void drop_bufs(struct scsi_cmd *cmd)
{
	while (cmd->raw.bufs) {
		struct buf *b = cmd->raw.bufs;

		cmd->raw.bufs = b->next;
		buf_put(b);
	}
}

static bool get_bufs(struct scsi_cmd *cmd, uint32_t len)
{
	struct bufpool *pool = reactor_bufpool(cmd->nexus->reactor);
	struct buf **end = &cmd->raw.bufs;

	cmd->raw.req.iovcnt = 0;
	for (uint32_t done = 0; done < len;) {
		uint32_t n = min(len - done, BUF_MAX);
		struct buf *b = bufpool_get(pool, n);

		if (!b) {
			drop_bufs(cmd);
			return false;
		}
		b->next = NULL;
		*end = b;
		end = &b->next;
		cmd->raw.iov[cmd->raw.req.iovcnt++] = (struct iovec){ b->data, n };
		done += n;
	}
	return true;
}

/* Pass the first @len bytes on; the buffers go with them. */
static void give(struct scsi_cmd *cmd, uint32_t len)
{
	uint32_t off = 0;

	while (cmd->raw.bufs && off < len) {
		struct buf *b = cmd->raw.bufs;
		uint32_t n = min(len - off, BUF_MAX);

		cmd->raw.bufs = b->next;
		cmd_give_data(cmd, off, b, b->data, n);
		off += n;
	}
	drop_bufs(cmd);
}

/* ---- the answer ----------------------------------------------------------------------- */

static enum verdict status_verdict(uint8_t status)
{
	switch (status) {
	case ST_GOOD:
		return V_GOOD;
	case ST_CHECK_CONDITION:
	case 0x22: /* COMMAND TERMINATED of SCSI-2, which has sense data, too */
		return V_DEVICE_SENSE;
	case ST_CONDITION_MET:
		return V_CONDITION_MET;
	case ST_BUSY:
		return V_BUSY;
	case ST_RESERVATION_CONFLICT:
		return V_RESERVATION_CONFLICT;
	case ST_TASK_SET_FULL:
		return V_TASK_SET_FULL;
	case ST_ACA_ACTIVE:
		return V_ACA_ACTIVE;
	case ST_TASK_ABORTED:
		return V_TASK_ABORTED;
	default:
		return V_INTERNAL_TARGET_FAILURE;
	}
}

/* The device did not get so far as to have a status. */
static enum verdict error_verdict(int err)
{
	switch (err) {
	case -ENODEV:
	case -ENOTCONN:
		return V_NOT_READY_CAUSE;
	case -EAGAIN:
	case -ENOMEM:
		return V_BUSY;
	case -ETIMEDOUT:
		return V_COMMAND_TIMEOUT;
	case -EPERM: /* the host does not let it through */
	case -EOPNOTSUPP:
		return V_INVALID_OPCODE;
	case -EINVAL:
		return V_INVALID_FIELD_IN_CDB;
	default: /* a reset by others, the transport to the device: ABORTED COMMAND, to be tried again */
		return V_INTERNAL_TARGET_FAILURE;
	}
}

/*
 * A unit attention that the device established for its one initiator, and all of ours must
 * hear; UA_COUNT: none. Sense data in fixed or descriptor format (SPC-5 4.4.2, 4.4.3).
 */
static enum ua told_by(const uint8_t *sense, unsigned len)
{
	bool descriptor = len && (sense[0] & 0x7f) >= 0x72;
	unsigned key = descriptor ? 1 : 2, asc = descriptor ? 2 : 12;

	if (len < asc + 2 || (sense[key] & 0x0f) != SK_UNIT_ATTENTION)
		return UA_COUNT;
	switch (sense[asc] << 8 | sense[asc + 1]) {
	case 0x2800:
		return UA_MEDIUM_CHANGED;
	case 0x2900:
	case 0x2901:
	case 0x2902:
	case 0x2903:
	case 0x2904:
		return UA_RESET;
	case 0x2a01:
		return UA_MODE_CHANGED;
	case 0x2a09:
		return UA_CAPACITY_CHANGED;
	case 0x3f03:
		return UA_INQUIRY_CHANGED;
	default:
		return UA_COUNT;
	}
}

/* word[0]: the unit attention; word[1]: the verdict after it */
static bool tell_decide(struct lu_tx *tx)
{
	lu_tell_others(tx->lu, tx->itl, (enum ua)tx_cmd(tx)->word[0]);
	return true;
}

static void told(struct scsi_cmd *cmd)
{
	cmd_complete(cmd, (enum verdict)cmd->word[1]);
}

static void tell_then(struct scsi_cmd *cmd, enum ua ua, enum verdict v)
{
	cmd->word[0] = ua;
	cmd->word[1] = v;
	cmd->tx.decide = tell_decide;
	cmd_run_tx_then(cmd, told);
}

static void answered(struct scsi_cmd *cmd)
{
	const struct store_raw *req = &cmd->raw.req;
	uint32_t moved = req->length - min(req->residual, req->length);
	enum verdict v = status_verdict(req->status);
	enum ua ua = UA_COUNT;

	cmd->required = moved;
	cmd->offset = moved;
	give(cmd, moved);
	if (v == V_DEVICE_SENSE)
		ua = told_by(cmd->raw.sense, req->sense_len);
	else if (v == V_GOOD && cmd->op->exec == pass_mode_select)
		ua = UA_MODE_CHANGED; /* SPC-5 6.12: for every other I_T nexus */
	if (ua == UA_COUNT)
		cmd_complete(cmd, v);
	else
		tell_then(cmd, ua, v);
}

/*
 * SPC-5 6.6.1: INQUIRY has an answer although the device is gone. True if this was one for
 * standard data: it is given what the device said of itself when it was there.
 */
static bool answered_for(struct scsi_cmd *cmd)
{
	struct buf *b = cmd->raw.bufs;
	uint32_t n;

	if (cmd->op->exec != pass_inquiry || cmd->args.evpd || !b)
		return false;
	memcpy(b->data, device_of(cmd)->inquiry, PASS_INQUIRY_LEN);
	b->data[0] |= QUALIFIER_GONE;
	n = min(cmd->args.alloc, (uint32_t)PASS_INQUIRY_LEN);
	n = min(n, cmd->raw.req.length);
	cmd->required = n;
	give(cmd, n);
	cmd_complete(cmd, V_GOOD);
	return true;
}

static void raw_ended(struct store_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);

	OBSERVE(cmd, store__done, io->err, cmd->lu->id, cmd->tag, (unsigned)io->verb, io->err);
	if (cmd->abort)
		drop_bufs(cmd);
	if (!cmd_release(cmd))
		return;
	if (!io->err) {
		answered(cmd);
		return;
	}
	if ((io->err == -ENODEV || io->err == -ENOTCONN) && answered_for(cmd))
		return;
	drop_bufs(cmd);
	cmd->required = 0;
	cmd_complete(cmd, error_verdict(io->err));
}

/* ---- the way there ------------------------------------------------------------------------ */

static void obtain(struct scsi_cmd *cmd);

/* There is no device for now. */
static void not_there(struct scsi_cmd *cmd)
{
	if (answered_for(cmd))
		return;
	drop_bufs(cmd);
	cmd->required = 0;
	cmd_complete(cmd, view_of(cmd)->why);
}

static void submit(struct scsi_cmd *cmd)
{
	struct store_raw *req = &cmd->raw.req;
	struct store_io *io = &cmd->io;

	req->iov = req->out ? cmd->out : cmd->raw.iov;
	if (req->out)
		req->iovcnt = cmd->out_cnt;
	io->verb = STORE_RAW;
	io->flags = 0;
	io->offset = 0;
	io->length = 0;
	io->iov = NULL;
	io->iovcnt = 0;
	io->raw = req;
	io->done = raw_ended;
	cmd_hold(cmd);
	OBSERVE(cmd, store__submit, (int)io->verb, cmd->lu->id, cmd->tag, (unsigned)io->verb,
		io->offset, (uint64_t)req->length);
	store_submit(view_of(cmd)->store, io);
}

/* Its data, or the memory for them, is there. */
static void go(struct scsi_cmd *cmd)
{
	enum store_gate gate = view_of(cmd)->gate;

	if (unlikely(cmd->abort)) { /* while its data came */
		drop_bufs(cmd);
		cmd_complete(cmd, cmd->abort);
		return;
	}
	if (unlikely(gate == GATE_SHUT)) {
		not_there(cmd);
		return;
	}
	if (unlikely(gate == GATE_PAUSED)) /* who is parked may be aborted, and holds nothing */
		drop_bufs(cmd);
	if (cmd_store_begin(cmd, false, obtain))
		submit(cmd);
}

static void have_buf(struct scsi_cmd *cmd)
{
	cmd->raw.bufs = cmd->buf;
	cmd->raw.bufs->next = NULL;
	cmd->buf = NULL;
	cmd->raw.iov[0] = (struct iovec){ cmd->raw.bufs->data, cmd->raw.req.length };
	cmd->raw.req.iovcnt = 1;
	go(cmd);
}

/* Memory for data-in. What does not fit a buffer is had at once or not: nobody waits with some in hand. */
static void obtain(struct scsi_cmd *cmd)
{
	uint32_t len = cmd->raw.req.in ? cmd->raw.req.length : 0;

	if (!len || (len > BUF_MAX && get_bufs(cmd, len)))
		go(cmd);
	else if (len > BUF_MAX)
		cmd_complete(cmd, V_TASK_SET_FULL);
	else
		cmd_want_buf(cmd, len, have_buf);
}

/* SAM-6 8: ACA would be established for this host, and hold up all its initiators. */
static bool asks_aca(const struct scsi_cmd *cmd, unsigned cdb_len)
{
	int at = op_control_at(cmd->cdb, cdb_len);

	return at >= 0 && cmd->cdb[at] & CONTROL_NACA;
}

static void fill(struct scsi_cmd *cmd, unsigned cdb_len)
{
	bool in = cmd_dir(cmd) == DIR_IN && cmd->expected;
	bool out = cmd_dir(cmd) == DIR_OUT && cmd->expected;

	cmd->raw.bufs = NULL;
	cmd->raw.req = (struct store_raw){
		.cdb = cmd->cdb,
		.cdb_len = (uint8_t)cdb_len,
		.in = in,
		.out = out,
		.length = in || out ? cmd->expected : 0,
		.timeout = cmd->op->timeout * NSEC_PER_SEC,
		.sense = cmd->raw.sense,
		.sense_room = sizeof(cmd->raw.sense),
	};
}

enum verdict pass_on(struct scsi_cmd *cmd)
{
	unsigned cdb_len = op_cdb_len(cmd->cdb, cmd->cdb_len);
	uint32_t len;

	if (!cdb_len || cdb_len > CDB_CARRIED)
		return V_INVALID_FIELD_IN_CDB;
	if (asks_aca(cmd, cdb_len))
		return cmd_invalid_cdb(cmd, (unsigned)op_control_at(cmd->cdb, cdb_len), 2);
	fill(cmd, cdb_len);
	len = cmd->raw.req.length;
	if (len > device_of(cmd)->max_transfer)
		return V_INVALID_FIELD_IN_CDB;
	cmd_plan(cmd, len);
	if (cmd->raw.req.out)
		return cmd_want_data(cmd, 0, len, go);
	obtain(cmd);
	return V_PENDING;
}

enum verdict pass_inquiry(struct scsi_cmd *cmd)
{
	return pass_on(cmd);
}

enum verdict pass_mode_select(struct scsi_cmd *cmd)
{
	return pass_on(cmd);
}

/* Ours first, as for every other command; then the device's. */
enum verdict pass_request_sense(struct scsi_cmd *cmd)
{
	if (cmd->itl->ua || view_of(cmd)->state == LU_NOT_READY)
		return spc_request_sense(cmd);
	return pass_on(cmd);
}

enum verdict pass_refused(struct scsi_cmd *cmd)
{
	return V_INVALID_OPCODE;
}

/* ---- reset ------------------------------------------------------------------------------ */

static void reset_ended(struct store_io *io)
{
	struct passthrough *p = container_of(io, struct passthrough, reset_io);
	struct lu *lu = p->resetting->lu;

	if (io->err && io->err != -EOPNOTSUPP)
		log_warn("%s: %s: the device was not reset: %s", lu->name,
			 store_path(p->resetting->view.store), strerror(-io->err));
	lu_part_drained(p->resetting);
}

static void reset_device(struct lu_part *part)
{
	struct passthrough *p = part->lu->device;

	p->resetting = part;
	p->reset_io.verb = STORE_RESET;
	p->reset_io.reset = STORE_RESET_UNIT;
	p->reset_io.done = reset_ended;
	store_submit(part->view.store, &p->reset_io);
}

/* ---- who is it ---------------------------------------------------------------------------- */

#define PROBE_TRIES 4 /* a device may have unit attentions to tell (SCSI-2) or be busy */
#define PROBE_TIMEOUT (20 * NSEC_PER_SEC)

static const uint8_t inquiry_cdb[6] = { 0x12, 0, 0, 0, PASS_INQUIRY_LEN, 0 };
static const uint8_t serial_cdb[6] = { 0x12, 1, 0x80, 0, PASS_SERIAL_LEN, 0 };

static void probe_answered(struct msg *m)
{
	struct pass_probe *p = container_of(m, struct pass_probe, msg);

	p->done(p);
}

static void probe_submit(struct pass_probe *p);

static void inquiry_answered(struct pass_probe *p)
{
	const char *path = store_path(p->store);
	int err = p->io.err;

	if (err)
		err_set(&p->err, err, "%s does not answer INQUIRY: %s", path, strerror(-err));
	else if (p->raw.status != ST_GOOD)
		err_set(&p->err, -EIO, "%s answers INQUIRY with status %02xh: look at the device",
			path, p->raw.status);
	else if (p->raw.residual > PASS_INQUIRY_LEN - 5)
		err_set(&p->err, -EIO, "%s answers INQUIRY with no data: look at the device", path);
}

static void probe_ended(struct store_io *io)
{
	struct pass_probe *p = container_of(io, struct pass_probe, io);
	bool good = !io->err && p->raw.status == ST_GOOD;

	if (!io->err && !good && ++p->tries < PROBE_TRIES) {
		probe_submit(p);
		return;
	}
	if (p->asks_serial) { /* not every device has one */
		if (!good)
			memset(p->serial, 0, sizeof(p->serial));
	} else {
		inquiry_answered(p);
		if (!p->err.code) {
			p->asks_serial = true;
			p->tries = 0;
			probe_submit(p);
			return;
		}
	}
	reactor_post(p->self, &p->msg, probe_answered);
}

/* On the home. */
static void probe_submit(struct pass_probe *p)
{
	uint8_t *to = p->asks_serial ? p->serial : p->inquiry;
	uint32_t len = p->asks_serial ? PASS_SERIAL_LEN : PASS_INQUIRY_LEN;

	memset(to, 0, len);
	p->iov = (struct iovec){ to, len };
	p->raw = (struct store_raw){
		.cdb = p->asks_serial ? serial_cdb : inquiry_cdb,
		.cdb_len = sizeof(inquiry_cdb),
		.in = true,
		.iov = &p->iov,
		.iovcnt = 1,
		.length = len,
		.timeout = PROBE_TIMEOUT,
		.sense = p->sense,
		.sense_room = sizeof(p->sense),
	};
	p->io.verb = STORE_RAW;
	p->io.flags = 0;
	p->io.offset = p->io.length = 0;
	p->io.iov = NULL;
	p->io.iovcnt = 0;
	p->io.raw = &p->raw;
	p->io.done = probe_ended;
	store_submit(p->store, &p->io);
}

static void probe_posted(struct msg *m)
{
	probe_submit(container_of(m, struct pass_probe, msg));
}

void pass_probe(struct pass_probe *p)
{
	p->self = reactor_self();
	p->err.code = 0;
	p->tries = 0;
	p->asks_serial = false;
	reactor_post(p->home, &p->msg, probe_posted);
}

bool pass_same(const struct pass_probe *a, const struct pass_probe *b)
{
	/* type, vendor and product; the revision changes with firmware */
	return (a->inquiry[0] & 0x1f) == (b->inquiry[0] & 0x1f) &&
	       !memcmp(a->inquiry + 8, b->inquiry + 8, 24) &&
	       !memcmp(a->serial, b->serial, PASS_SERIAL_LEN);
}

/* ---- making one ------------------------------------------------------------------------------ */

static void fini(struct lu *lu)
{
	free(lu->device);
}

const struct device_server passthrough_server = {
	.name = "passthrough",
	.pdt = PDT_PASSED,
	.ops = &index_of_passthrough,
	.reset = disk_reset,
	.reset_device = reset_device,
	.cancel = cmd_store_cancel,
	.fini = fini,
};

int passthrough_index(void)
{
	return op_index_build(&index_of_passthrough, tables, &passthrough_fallback);
}

/* ASCII without the blanks at its end; what cannot be printed becomes a blank. */
static void take_ascii(char *to, const uint8_t *from, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		to[i] = from[i] > 0x20 && from[i] < 0x7f ? (char)from[i] : ' ';
		if (to[i] != ' ')
			len = i + 1;
	}
	to[len] = '\0';
}

static void identify(struct lu_ident *id, const uint8_t *inquiry)
{
	take_ascii(id->vendor, inquiry + 8, 8);
	take_ascii(id->product, inquiry + 16, 16);
	take_ascii(id->revision, inquiry + 32, 4);
	id->removable = inquiry[1] & 0x80;
}

/*
 * A command is not cut into pieces, so its data must fit the memory of the reactor where it
 * comes, beside those of others: what can never be had would be waited for without an end.
 */
static uint32_t most_transfer(const struct lu_config *c, const struct store_limits *l)
{
	size_t most = l->max_io ? min(l->max_io, CMD_WHOLE_MAX) : CMD_WHOLE_MAX;

	for (unsigned i = 0; i < c->nreactors; i++) {
		struct bufpool_stats st;

		bufpool_stats(reactor_bufpool(c->reactors[i]), &st);
		most = min(most, st.cap / 4);
	}
	return (uint32_t)most;
}

struct lu *passthrough_create(const struct lu_config *c, const uint8_t *inquiry, struct err *e)
{
	const struct store_limits *l = store_limits(c->store);
	struct lu_view view = {
		.state = c->offline ? LU_NOT_READY : LU_READY,
		.why = V_NO_MEDIUM,
		.ident = c->ident,
		.mode = c->mode,
		.readonly = c->readonly || l->readonly,
		.mem_align = l->mem_align,
	};
	struct passthrough *p;
	struct lu *lu;

	if (l->cap[STORE_RAW] != STORE_CAP_NATIVE) {
		err_set(e, -EINVAL,
			"%s: the store %s carries no SCSI commands: a device is passed through by "
			"the store sg",
			c->name, store_type(c->store));
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	lu = p ? lu_create(c->name, &passthrough_server, c->store, 1, c->reactors, c->nreactors,
			   c->home, &view)
	       : NULL;
	if (!lu) {
		free(p);
		err_set(e, -ENOMEM, "%s: no memory for a logical unit", c->name);
		return NULL;
	}
	p->max_transfer = most_transfer(c, l);
	memcpy(p->inquiry, inquiry, sizeof(p->inquiry));
	identify(c->ident, inquiry);
	lu->device = p;
	return lu;
}
