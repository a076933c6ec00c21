/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/loop/loop.h"

#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "sam/transport.h"

static struct loop_cmd *loop_of(struct scsi_cmd *cmd)
{
	return container_of(cmd, struct loop_cmd, scsi);
}

/* ---- what sam calls ---------------------------------------------------------------- */

static void deliver(struct loop_cmd *c)
{
	uint32_t least = (c->len + LOOP_SEGMENTS - 1) / LOOP_SEGMENTS;
	uint32_t step = c->segment ? max(c->segment, least) : c->len;
	unsigned n = 0;

	for (uint32_t at = 0; at < c->len; at += step) {
		c->iov[n].iov_base = (void *)(c->out + c->off + at);
		c->iov[n++].iov_len = min(step, c->len - at);
	}
	c->asked = false;
	cmd_data_ready(&c->scsi, c->iov, n, c->len);
}

static void data_came(struct msg *m)
{
	struct loop_cmd *c = container_of(m, struct loop_cmd, data_msg);

	c->coming = false;
	if (c->finished)
		c->done(c);
	else if (c->asked)
		deliver(c);
}

static void loop_data_out(struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	struct loop_cmd *c = loop_of(cmd);

	c->off = off;
	c->len = len;
	c->asked = true;
	if (c->late && !c->withhold) {
		c->coming = true;
		reactor_post(cmd->nexus->reactor, &c->data_msg, data_came);
	} else if (!c->withhold) {
		deliver(c);
	}
}

static void loop_data_out_cancel(struct scsi_cmd *cmd)
{
	loop_of(cmd)->asked = false;
}

void loop_send(struct loop_cmd *c)
{
	c->withhold = false;
	if (c->asked)
		deliver(c);
}

static void loop_data_in(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data,
			 uint32_t len)
{
	struct loop_cmd *c = loop_of(cmd);

	if (off + len != cmd->data_in || !c->read || !range_fits(off, len, c->expected))
		c->gap = true;
	else
		memcpy(c->in + off, data, len);
	buf_put(b);
}

static uint32_t loop_data_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			       const struct iovec **v, unsigned *n)
{
	struct loop_cmd *c = loop_of(cmd);

	if (!c->in_place || off != cmd->data_in || !range_fits(off, len, c->expected))
		return 0;
	c->iov[0] = (struct iovec){ c->in + off, len };
	*v = c->iov;
	*n = 1;
	return len;
}

static void loop_finish(struct scsi_cmd *cmd)
{
	struct loop_cmd *c = loop_of(cmd);

	c->sense_len = cmd_sense(cmd, c->sense);
	c->in_len = cmd->data_in;
	c->finished = true;
	if (!c->coming) /* else when the message is back */
		c->done(c);
}

static void loop_drained(struct it_nexus *n)
{
	struct loop_session *s = n->session;

	s->nexus = NULL;
	if (s->ended)
		s->ended(s);
}

static void loop_close(struct it_nexus *n)
{
	nexus_drop(n);
}

static const struct transport_ops loop_ops = {
	.name = "loop",
	.data_out = loop_data_out,
	.data_out_cancel = loop_data_out_cancel,
	.data_in = loop_data_in,
	.data_room = loop_data_room,
	.finish = loop_finish,
	.nexus_drained = loop_drained,
	.close_session = loop_close,
};

/* ---- sessions ------------------------------------------------------------------------ */

static void started(struct msg *m)
{
	struct loop_session *s = container_of(m, struct loop_session, msg);

	if (s->nexus)
		nexus_start(s->nexus, s);
	if (s->started)
		s->started(s);
}

static void claimed(struct claim *c)
{
	struct loop_session *s = container_of(c, struct loop_session, claim);

	s->answer = c->answer;
	s->nexus = c->nexus;
	s->reactor = s->nexus ? s->nexus->reactor : reactor_self();
	reactor_post(s->reactor, &s->msg, started);
}

/* TransportID of an iSCSI initiator port (SPC-5 7.6.4.6): reservations know these. */
static uint16_t transport_id(uint8_t *id, const char *name, const uint8_t isid[6])
{
	int n = snprintf((char *)id + 4, TRANSPORT_ID_MAX - 4, "%s,i,0x%012llx", name,
			 (unsigned long long)be_load(isid, 6));
	uint16_t len = (uint16_t)round_up(min((unsigned)n + 1, TRANSPORT_ID_MAX - 4u), 4);

	id[0] = 0x45;
	len = max(len, (uint16_t)20);
	be_store(id + 2, 2, len);
	return len + 4;
}

void loop_login(struct targets *ts, struct loop_session *s)
{
	struct claim *c = &s->claim;

	*c = (struct claim){ .tpgt = 1, .tops = &loop_ops, .done = claimed };
	snprintf(c->initiator, sizeof(c->initiator), "%s", s->initiator);
	snprintf(c->target, sizeof(c->target), "%s", s->target);
	snprintf(c->peer, sizeof(c->peer), "127.0.0.1");
	memcpy(c->isid, s->isid, sizeof(c->isid));
	c->transport_id_len = transport_id(c->transport_id, s->initiator, s->isid);
	claim_run(ts, c);
}

static void drop_posted(struct msg *m)
{
	struct loop_session *s = container_of(m, struct loop_session, drop_msg);

	if (s->nexus)
		nexus_drop(s->nexus);
}

void loop_logout(struct loop_session *s)
{
	reactor_post(s->reactor, &s->drop_msg, drop_posted);
}

/* ---- commands and task management -------------------------------------------------------- */

static void put_lun(uint8_t *p, uint64_t lun)
{
	be_store(p, 2, lun < 256 ? lun : lun | 0x4000);
}

static void submit(struct loop_cmd *c)
{
	static const uint8_t none[8];
	uint8_t lun[8] = { 0 };

	if (!c->session->nexus) { /* dropped while the message was under way */
		c->scsi.verdict = V_ABORTED_SILENTLY;
		c->finished = true;
		c->done(c);
		return;
	}
	if (!memcmp(c->lun_bytes, none, sizeof(none)))
		put_lun(lun, c->lun);
	else
		memcpy(lun, c->lun_bytes, sizeof(lun));
	cmd_init(&c->scsi, c->session->nexus, lun, c->tag, c->attr, c->cdb, c->cdb_len);
	c->scsi.read = c->read;
	c->scsi.write = c->write;
	c->scsi.expected = c->expected;
	cmd_submit(&c->scsi);
}

static void submit_posted(struct msg *m)
{
	submit(container_of(m, struct loop_cmd, msg));
}

void loop_submit(struct loop_cmd *c)
{
	struct reactor *r = c->session->reactor;

	c->sense_len = 0;
	c->in_len = 0;
	c->gap = c->asked = c->coming = c->finished = false;
	if (reactor_self() == r)
		submit(c);
	else
		reactor_post(r, &c->msg, submit_posted);
}

static void managed(struct tmf *t)
{
	struct loop_tmf *l = container_of(t, struct loop_tmf, tmf);

	l->done(l);
}

static void manage_posted(struct msg *m)
{
	struct loop_tmf *t = container_of(m, struct loop_tmf, msg);

	t->tmf.nexus = t->session->nexus;
	if (t->tmf.nexus) {
		tmf_submit(&t->tmf);
		return;
	}
	t->tmf.response = TMF_REJECTED;
	t->done(t);
}

void loop_manage(struct loop_tmf *t)
{
	put_lun(t->tmf.lun, t->lun);
	t->tmf.done = managed;
	reactor_post(t->session->reactor, &t->msg, manage_posted);
}
