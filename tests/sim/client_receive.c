/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's receiving side: the judge of what the target sends. */
#include <string.h>

#include "base/bits.h"
#include "client_wire.h"

#define GOOD 0x00
#define CHECK_CONDITION 0x02
#define CLOSE_WAIT_NS (60 * NSEC_PER_SEC) /* for the target to close after a logout */

/* ---- numbers ---------------------------------------- */

void client_stat_sn(struct client *c, const union pdu *h)
{
	uint32_t sn = be32_get(h->response.stat_sn);

	if (c->stat_known && sn != c->exp_stat_sn)
		client_bad(c, "StatSN %x, expected %x", sn, c->exp_stat_sn);
	c->stat_known = true;
	c->exp_stat_sn = sn + 1;
}

/* A PDU that says which StatSN comes next. */
static void next_stat_sn(const struct client *c, const union pdu *h)
{
	uint32_t sn = be32_get(h->response.stat_sn);

	if (sn != c->exp_stat_sn)
		client_bad(c, "opcode %x with StatSN %x, the next is %x", h->basic.opcode, sn,
			   c->exp_stat_sn);
}

/* ExpCmdSN and MaxCmdSN: RFC 7143 4.2.2.1. */
void client_window_sn(struct client *c, const union pdu *h)
{
	uint32_t exp = be32_get(h->response.exp_cmd_sn), most = be32_get(h->response.max_cmd_sn);

	if (serial_lt(most, exp - 1))
		client_bad(c, "MaxCmdSN %x before ExpCmdSN %x - 1", most, exp);
	if (serial_lt(exp, c->exp_cmd_sn) || serial_lt(c->cmd_sn, exp))
		client_bad(c, "ExpCmdSN %x, it was %x and %x is not sent", exp, c->exp_cmd_sn,
			   c->cmd_sn);
	if (serial_lt(most, c->max_cmd_sn))
		client_bad(c, "MaxCmdSN goes back from %x to %x", c->max_cmd_sn, most);
	c->exp_cmd_sn = exp;
	c->max_cmd_sn = most;
	c->window_max = max(c->window_max, client_window(c));
}

static struct client_cmd *command_of(struct client *c, const union pdu *h)
{
	uint32_t itt = be32_get(h->basic.itt);
	struct client_cmd *cmd;

	list_for_each(cmd, &c->wire, link)
		if (cmd->itt == itt)
			return cmd;
	client_bad(c, "opcode %x for task %x, which does not exist any more or never did",
		   h->basic.opcode, itt);
}

/* ---- the end of a command ---------------------------------------- */

/*
 * RFC 7143 11.4.1, 11.4.5. What came of data-in must be what the residual says; a write
 * that ends well has sent all that it has, but for the residual. (With
 * overflow the bytes of the last, incomplete block may be left out.)
 */
static void check_residual(struct client *c, const struct client_cmd *cmd, uint8_t flags,
			   uint32_t residual)
{
	bool over = flags & RESPONSE_OVERFLOW, under = flags & RESPONSE_UNDERFLOW;
	size_t expected = cmd->in_len + cmd->out_len, moved = expected;

	if (over && under)
		client_bad(c, "task %x: overflow and underflow", cmd->itt);
	if (over && !residual)
		client_bad(c, "task %x: overflow of nothing", cmd->itt);
	if (under) {
		if (!residual || residual > expected)
			client_bad(c, "task %x: underflow of %u of %zu", cmd->itt, residual,
				   expected);
		moved -= residual;
	}
	if (cmd->in_len && cmd->got != moved)
		client_bad(c, "task %x: %zu bytes of data-in came, flags %x, residual %u of %zu",
			   cmd->itt, cmd->got, flags, residual, expected);
	if (cmd->out_len && cmd->status == GOOD && !over && cmd->out_sent < moved)
		client_bad(c, "task %x: GOOD, but %zu of %zu bytes were sent, residual %u",
			   cmd->itt, cmd->out_sent, expected, residual);
}

/* No status before all data that was asked for or announced (RFC 7143 11.4.2). */
static void check_ended(struct client *c, const struct client_cmd *cmd)
{
	if (cmd->nbursts || (!client_idle_out(c) && c->out_itt == cmd->itt))
		client_bad(c, "task %x: status while data-out is still expected", cmd->itt);
	/* what fails or is aborted on its way has no last PDU */
	if (cmd->in_burst && cmd->status == GOOD)
		client_bad(c, "task %x: status after a data-in sequence without its end", cmd->itt);
}

static void read_sense(struct client *c, struct client_cmd *cmd, const uint8_t *data, uint32_t len)
{
	uint32_t n = len >= 2 ? (uint32_t)be_load(data, 2) : 0;
	const uint8_t *s = cmd->sense;
	bool descriptor;

	if (len && (len < 2 || n + 2 > len))
		client_bad(c, "task %x: %u bytes of sense data in %u", cmd->itt, n, len);
	if (cmd->status == CHECK_CONDITION && n < 8)
		client_bad(c, "task %x: CHECK CONDITION with %u bytes of sense data", cmd->itt, n);
	if (!n)
		return;
	cmd->sense_len = min(n, (uint32_t)sizeof(cmd->sense));
	memset(cmd->sense, 0, sizeof(cmd->sense));
	memcpy(cmd->sense, data + 2, cmd->sense_len);
	if ((s[0] & 0x7f) < 0x70 || (s[0] & 0x7f) > 0x73)
		client_bad(c, "task %x: sense data's response code is %x", cmd->itt, s[0]);
	descriptor = s[0] & 2;
	cmd->key = s[descriptor ? 1 : 2] & 15;
	cmd->asc = s[descriptor ? 2 : 12];
	cmd->ascq = s[descriptor ? 3 : 13];
}

static void scsi_response(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	const struct pdu_scsi_response *r = &h->scsi_response;
	struct client_cmd *cmd = command_of(c, h);
	uint32_t sn = be32_get(r->exp_data_sn);

	client_stat_sn(c, h);
	if (r->flags != PDU_FINAL && (r->flags & ~6u) != PDU_FINAL)
		client_bad(c, "task %x: response with flags %x", cmd->itt, r->flags);
	if (r->response != RESPONSE_COMPLETED)
		client_bad(c, "task %x: response %x", cmd->itt, r->response);
	if (sn != cmd->data_sn + cmd->r2t_sn)
		client_bad(c, "task %x: ExpDataSN %u after %u data-ins and %u R2Ts", cmd->itt, sn,
			   cmd->data_sn, cmd->r2t_sn);
	cmd->status = r->status;
	read_sense(c, cmd, data, len);
	check_ended(c, cmd);
	check_residual(c, cmd, r->flags, be32_get(r->residual));
	sim_say("%s <- response %x: status %02x, sense %x %02x %02x, residual %u", c->name,
		cmd->itt, cmd->status, cmd->key, cmd->asc, cmd->ascq, be32_get(r->residual));
	client_finish(c, cmd, OUTCOME_ANSWERED);
}

/* ---- data-in ---------------------------------------- */

static void check_data_in(struct client *c, const struct client_cmd *cmd, const union pdu *h,
			  uint32_t len)
{
	const struct pdu_data_in *d = &h->data_in;
	uint32_t sn = be32_get(d->data_sn), offset = be32_get(d->offset);

	if (sn != cmd->data_sn)
		client_bad(c, "task %x: DataSN %u, expected %u", cmd->itt, sn, cmd->data_sn);
	if (offset != cmd->got || !len)
		client_bad(c, "task %x: %u bytes of data-in at %u, expected at %zu", cmd->itt, len,
			   offset, cmd->got);
	if (!range_fits(offset, len, cmd->in_len))
		client_bad(c, "task %x: data-in at %u, %u bytes, room for %zu", cmd->itt, offset,
			   len, cmd->in_len);
	if (cmd->in_burst + len > c->key[KEY_MAX_BURST])
		client_bad(c, "task %x: a sequence beyond MaxBurstLength %u", cmd->itt,
			   c->key[KEY_MAX_BURST]);
	if (d->flags & ~(PDU_FINAL | 7u))
		client_bad(c, "task %x: data-in with flags %x", cmd->itt, d->flags);
	if (!(d->flags & DATA_IN_STATUS))
		return;
	if (!(d->flags & PDU_FINAL) || d->status == CHECK_CONDITION)
		client_bad(c, "task %x: data-in with status %x, flags %x", cmd->itt, d->status,
			   d->flags);
}

static void data_in(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	const struct pdu_data_in *d = &h->data_in;
	struct client_cmd *cmd = command_of(c, h);

	check_data_in(c, cmd, h, len);
	memcpy(cmd->in + cmd->got, data, len);
	cmd->got += len;
	cmd->data_sn++;
	cmd->in_burst = d->flags & PDU_FINAL ? 0 : cmd->in_burst + len;
	sim_say("%s <- data-in %x: %u at %u, flags %x", c->name, cmd->itt, len, be32_get(d->offset),
		d->flags);
	if (!(d->flags & DATA_IN_STATUS))
		return;
	client_stat_sn(c, h);
	cmd->status = d->status;
	check_ended(c, cmd);
	check_residual(c, cmd, d->flags & 6, be32_get(d->residual));
	client_finish(c, cmd, OUTCOME_ANSWERED);
}

/* ---- R2T ---------------------------------------- */

static unsigned outstanding(const struct client_cmd *cmd)
{
	return cmd->nbursts - (cmd->nbursts && cmd->burst[0].ttt == TAG_RESERVED);
}

static void check_r2t(struct client *c, const struct client_cmd *cmd, const union pdu *h,
		      uint32_t len)
{
	const struct pdu_r2t *r = &h->r2t;
	uint32_t offset = be32_get(r->offset), desired = be32_get(r->desired);
	uint32_t ttt = be32_get(r->ttt);

	if (be32_get(r->r2t_sn) != cmd->r2t_sn)
		client_bad(c, "task %x: R2TSN %u, expected %u", cmd->itt, be32_get(r->r2t_sn),
			   cmd->r2t_sn);
	if (len || be_load(r->lun, 8) != cmd->lun || ttt == TAG_RESERVED)
		client_bad(c, "task %x: R2T with ttt %x, another LUN or data", cmd->itt, ttt);
	if (!desired || desired > c->key[KEY_MAX_BURST] ||
	    !range_fits(offset, desired, cmd->out_len) || offset != cmd->r2t_offset)
		client_bad(c, "task %x: R2T of %u at %u, expected at %zu of %zu", cmd->itt, desired,
			   offset, cmd->r2t_offset, cmd->out_len);
	if (outstanding(cmd) >= c->key[KEY_MAX_R2T])
		client_bad(c, "task %x: more than %u R2Ts", cmd->itt, c->key[KEY_MAX_R2T]);
	for (unsigned i = 0; i < cmd->nbursts; i++)
		if (cmd->burst[i].ttt == ttt)
			client_bad(c, "task %x: ttt %x twice", cmd->itt, ttt);
}

static void r2t(struct client *c, const union pdu *h, uint32_t len)
{
	struct client_cmd *cmd = command_of(c, h);
	struct client_burst b = { be32_get(h->r2t.ttt), be32_get(h->r2t.offset),
				  be32_get(h->r2t.desired), 0 };

	next_stat_sn(c, h);
	check_r2t(c, cmd, h, len);
	sim_say("%s <- R2T %x ttt %x: %u at %u", c->name, cmd->itt, b.ttt, b.left, b.offset);
	cmd->burst[cmd->nbursts++] = b;
	cmd->r2t_offset += b.left;
	cmd->r2t_sn++;
	if (!list_linked(&cmd->burst_link))
		list_add(&c->bursts, &cmd->burst_link);
}

/* ---- task management ---------------------------------------- */

/* ITTs rise in the order on the wire. */
static bool covers(const struct client_tmf *t, const struct client_cmd *cmd)
{
	if (!serial_lt(cmd->itt, t->itt))
		return false;
	switch (t->function) {
	case CLIENT_ABORT_TASK:
		return cmd->itt == t->ref_itt;
	case CLIENT_ABORT_TASK_SET:
	case CLIENT_CLEAR_TASK_SET:
	case CLIENT_LU_RESET:
		return cmd->lun == t->lun;
	case CLIENT_TARGET_WARM_RESET:
		return true;
	}
	return false;
}

/* Those that a function ended will have no answer. */
static void abort_covered(struct client *c, const struct client_tmf *t)
{
	struct client_cmd *cmd, *next;
	struct list aborted = LIST_INIT(aborted);
	struct list *n;

	list_for_each_safe(cmd, next, &c->wire, link) {
		if (!covers(t, cmd))
			continue;
		list_del(&cmd->link);
		list_del(&cmd->burst_link);
		cmd->nbursts = 0;
		list_add(&aborted, &cmd->link);
	}
	while ((n = list_pop(&aborted))) {
		cmd = list_entry(n, struct client_cmd, link);
		sim_say("%s: %x is aborted", c->name, cmd->itt);
		client_finish(c, cmd, OUTCOME_ABORTED);
	}
}

static void tmf_response(struct client *c, const union pdu *h)
{
	uint32_t itt = be32_get(h->basic.itt);
	struct client_tmf *t, *found = NULL;
	uint8_t response = h->tmf_response.response;

	list_for_each(t, &c->tmf_wire, link)
		if (t->itt == itt)
			found = t;
	if (!found)
		client_bad(c, "a function's response for %x, which does not exist", itt);
	client_stat_sn(c, h);
	if (response == 3 || response == 4 || (response > 6 && response != 255) ||
	    (response == 1 && found->function != CLIENT_ABORT_TASK))
		client_bad(c, "function %u has response %u", found->function, response);
	sim_say("%s <- function %x: response %u", c->name, itt, response);
	found->response = response;
	list_del(&found->link); /* should a done end the session: it is answered */
	if (!response)
		abort_covered(c, found);
	client_tmf_finish(c, found, OUTCOME_ANSWERED);
}

/* ---- the others ---------------------------------------- */

/* The answer to one of our pings. */
static void pong(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	uint32_t itt = be32_get(h->basic.itt);
	uint8_t expected[PING_MAX];

	for (unsigned i = 0; i < c->npings; i++) {
		struct client_ping *p = &c->ping[i];

		if (p->itt != itt)
			continue;
		client_ping_data(expected, p);
		if (len != p->len || memcmp(data, expected, len))
			client_bad(c, "a NOP-In with other data than the NOP-Out");
		*p = c->ping[--c->npings];
		return;
	}
	client_bad(c, "a NOP-In for %x, which does not exist", itt);
}

static void nop_in(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	bool answer = be32_get(h->nop.itt) != TAG_RESERVED;
	uint64_t late = sim_below(4) ? 0 : sim_below(NSEC_PER_SEC);
	struct client_call *call = &c->call[c->ncalls];

	sim_say("%s <- NOP-In %x ttt %x", c->name, be32_get(h->nop.itt), be32_get(h->nop.ttt));
	if (answer) {
		client_stat_sn(c, h);
		if (be32_get(h->nop.ttt) != TAG_RESERVED)
			client_bad(c, "a NOP-In that answers and asks");
		pong(c, h, data, len);
		return;
	}
	next_stat_sn(c, h);
	if (be32_get(h->nop.ttt) == TAG_RESERVED)
		return;
	if (c->ncalls == CALLS_MAX)
		client_bad(c, "%u NOP-Ins in a second", CALLS_MAX);
	memcpy(call->lun, h->nop.lun, sizeof(call->lun));
	call->ttt = h->nop.ttt;
	call->at = sim_now() + late;
	c->ncalls++;
	if (late)
		client_poke(c, late);
}

static void text_response(struct client *c, const union pdu *h)
{
	bool final = h->basic.flags & PDU_FINAL;
	bool tagged = be32_get(h->text_response.ttt) != TAG_RESERVED;

	client_stat_sn(c, h);
	if (be32_get(h->basic.itt) != c->text_itt || c->text_goes_on)
		client_bad(c, "a text response for %x, which does not exist",
			   be32_get(h->basic.itt));
	/* RFC 7143 11.11.1, 11.11.4 */
	if (final == tagged || (final && h->basic.flags & PDU_CONTINUE))
		client_bad(c, "a text response with flags %x and ttt %x", h->basic.flags,
			   be32_get(h->text_response.ttt));
	sim_say("%s <- text %x%s", c->name, c->text_itt, final ? "" : ", to go on");
	c->text_goes_on = !final;
	c->text_ttt = h->text_response.ttt;
	if (final)
		c->text_itt = TAG_RESERVED;
}

static void logout_response(struct client *c, const union pdu *h)
{
	client_stat_sn(c, h);
	if (c->state != CLIENT_LEAVING || be32_get(h->basic.itt) != c->logout_itt)
		client_bad(c, "a logout response for %x", be32_get(h->basic.itt));
	if (h->logout_response.response != LOGOUT_CLOSED)
		client_bad(c, "logout response %u", h->logout_response.response);
	sim_say("%s <- logout", c->name);
	c->logged_out = true;
}

static void async_message(struct client *c, const union pdu *h)
{
	uint64_t within = be16_get(h->async.parameter3) * NSEC_PER_SEC;
	uint64_t wait;

	client_stat_sn(c, h);
	sim_say("%s <- asynchronous message %u", c->name, h->async.event);
	if (be32_get(h->basic.itt) != TAG_RESERVED)
		client_bad(c, "an asynchronous message for %x", be32_get(h->basic.itt));
	if (h->async.event > ASYNC_DROP_SESSION)
		client_bad(c, "an asynchronous message with event %u", h->async.event);
	if (h->async.event != ASYNC_LOGOUT || c->logout_at)
		return;
	wait = sim_below(min(within, NSEC_PER_SEC) / 2 + 1);
	c->logout_at = sim_now() + wait;
	client_poke(c, wait);
}

/* Only "too many immediate commands" has a cause: the request comes again, as one that is not. */
static void reject(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	union pdu r;
	struct client_cmd *cmd;
	struct client_tmf *t;

	client_stat_sn(c, h);
	if (len < BHS_LEN || be32_get(h->basic.itt) != TAG_RESERVED)
		client_bad(c, "a reject with %u bytes of header", len);
	memcpy(&r, data, BHS_LEN);
	sim_say("%s <- reject of opcode %x, %x: reason %x", c->name, r.basic.opcode,
		be32_get(r.basic.itt), h->reject.reason);
	if (client_may_be_rejected && h->reject.reason != REJECT_IMMEDIATE) {
		client_drop(c, true); /* there may be a gap in its CmdSNs now */
		return;
	}
	if (h->reject.reason != REJECT_IMMEDIATE || !(r.basic.opcode & PDU_IMMEDIATE))
		client_bad(c, "opcode %x is rejected for reason %x", r.basic.opcode,
			   h->reject.reason);
	list_for_each(t, &c->tmf_wire, link) {
		if (t->itt != be32_get(r.basic.itt))
			continue;
		client_tmf_again(c, t);
		return;
	}
	cmd = command_of(c, &r);
	client_cmd_again(c, cmd);
}

/* ---- PDUs ---------------------------------------- */

static void full_feature(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len)
{
	client_window_sn(c, h);
	switch (h->basic.opcode) {
	case PDU_SCSI_RESPONSE:
		scsi_response(c, h, data, len);
		break;
	case PDU_DATA_IN:
		data_in(c, h, data, len);
		break;
	case PDU_R2T:
		r2t(c, h, len);
		break;
	case PDU_TMF_RESPONSE:
		tmf_response(c, h);
		break;
	case PDU_NOP_IN:
		nop_in(c, h, data, len);
		break;
	case PDU_TEXT_RESPONSE:
		text_response(c, h);
		break;
	case PDU_LOGOUT_RESPONSE:
		logout_response(c, h);
		break;
	case PDU_ASYNC_MESSAGE:
		async_message(c, h);
		break;
	case PDU_REJECT:
		reject(c, h, data, len);
		break;
	default:
		client_bad(c, "a PDU with opcode %x", h->basic.opcode);
	}
}

static void check_digest(struct client *c, const uint8_t *p, size_t len, const char *what)
{
	uint8_t digest[DIGEST_LEN];

	client_digest(digest, p, len);
	if (memcmp(digest, p + len, DIGEST_LEN))
		client_bad(c, "a wrong %s digest", what);
}

/* A header that has come: the PDU's length on the wire. */
static size_t pdu_length(struct client *c, const union pdu *h)
{
	uint32_t len = be24_get(h->basic.data_len);
	size_t n = BHS_LEN + (c->header_digest ? DIGEST_LEN : 0);

	if (h->basic.ahs_len)
		client_bad(c, "opcode %x with additional headers", h->basic.opcode);
	if (len > c->segment)
		client_bad(c, "opcode %x with %u bytes of data, MaxRecvDataSegmentLength is %u",
			   h->basic.opcode, len, c->segment);
	if (len)
		n += len + pdu_pad(len) + (c->data_digest ? DIGEST_LEN : 0);
	return n;
}

static void whole_pdu(struct client *c, const uint8_t *p)
{
	const union pdu *h = (const union pdu *)p;
	uint32_t len = be24_get(h->basic.data_len), pad = pdu_pad(len);
	const uint8_t *data = p + BHS_LEN + (c->header_digest ? DIGEST_LEN : 0);

	if (c->header_digest)
		check_digest(c, p, BHS_LEN, "header");
	if (len && c->data_digest)
		check_digest(c, data, len + pad, "data");
	for (uint32_t i = 0; i < pad; i++)
		if (data[len + i])
			client_bad(c, "padding is not zero");
	if (c->logged_out)
		client_bad(c, "opcode %x after the logout response", h->basic.opcode);
	if (c->state == CLIENT_LOGGING_IN)
		client_login_response(c, h, data, len);
	else
		full_feature(c, h, data, len);
}

/* Take the PDUs that are whole. A done may end the connection meanwhile. */
static void take_pdus(struct client *c)
{
	size_t at = 0, n;

	while (c->peer && c->in_len - at >= BHS_LEN) {
		n = pdu_length(c, (const union pdu *)(c->in + at));
		if (c->in_len - at < n)
			break;
		whole_pdu(c, c->in + at);
		at += n;
	}
	if (!c->peer)
		return;
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
}

/* A client that does not listen, at times. */
static bool deaf(struct client *c)
{
	uint64_t now = sim_now();

	if (c->deaf_until <= now && !sim_below(200)) {
		c->deaf_until = now + 1 + sim_below(20 * NSEC_PER_MSEC);
		client_poke(c, c->deaf_until - now);
	}
	return c->deaf_until > now;
}

void client_receive(struct client *c)
{
	bool was_out = c->logged_out;
	size_t n;

	if (deaf(c))
		return;
	while (c->peer &&
	       (n = sim_peer_receive(c->peer, c->in + c->in_len, c->in_size - c->in_len))) {
		c->in_len += n;
		take_pdus(c);
	}
	if (!c->peer || !c->logged_out || was_out)
		return;
	if (sim_below(2))
		client_cut(c, false);
	else
		client_poke(c, CLOSE_WAIT_NS);
}
