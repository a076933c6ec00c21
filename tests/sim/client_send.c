/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's sending side: which PDU goes next, what it looks like, how it gets out. */
#include <isa-l.h>
#include <string.h>

#include "base/bits.h"
#include "client_wire.h"

/* ---- a PDU into the queue, bytes out of it ---------------------------------------- */

bool client_idle_out(const struct client *c)
{
	return c->out_at == c->out_len;
}

/* Not the daemon's own: both sides would be wrong together. */
void client_digest(uint8_t to[DIGEST_LEN], const uint8_t *data, size_t len)
{
	uint32_t crc = ~crc32_iscsi((unsigned char *)data, (int)len, 0xffffffff);

	for (unsigned i = 0; i < DIGEST_LEN; i++)
		to[i] = (uint8_t)(crc >> 8 * i);
}

static size_t add_digest(uint8_t *out, size_t from, size_t to)
{
	client_digest(out + to, out + from, to - from);
	return to + DIGEST_LEN;
}

void client_put(struct client *c, union pdu *h, const void *data, uint32_t len)
{
	size_t at = BHS_LEN, start;

	h->basic.data_len = be24_make(len);
	h->request.exp_stat_sn = be32_make(c->exp_stat_sn);
	memcpy(c->out, h, BHS_LEN);
	if (c->header_digest)
		at = add_digest(c->out, 0, at);
	start = at;
	if (len) {
		memcpy(c->out + at, data, len);
		at += len;
		memset(c->out + at, 0, pdu_pad(len));
		at += pdu_pad(len);
		if (c->data_digest)
			at = add_digest(c->out, start, at);
	}
	c->out_at = 0;
	c->out_len = at;
	c->out_itt = TAG_RESERVED;
}

/* True: the PDU is out. */
static bool flush(struct client *c)
{
	size_t n = c->out_len - c->out_at;

	if (c->doomed)
		n = min(n, c->doom_left);
	if (n)
		n = sim_peer_send(c->peer, c->out + c->out_at, n);
	c->out_at += n;
	if (c->doomed) {
		c->doom_left -= n;
		if (!c->doom_left) {
			c->dying = true;
			client_poke(c, 1);
			return false;
		}
	}
	return c->out_at == c->out_len;
}

/* ---- commands ---------------------------------------- */

static bool window_open(const struct client *c)
{
	return serial_le(c->cmd_sn, c->max_cmd_sn);
}

static uint32_t take_cmd_sn(struct client *c, bool immediate)
{
	return immediate ? c->cmd_sn : c->cmd_sn++;
}

static void add_burst(struct client *c, struct client_cmd *cmd, uint32_t offset, uint32_t left)
{
	cmd->burst[0] = (struct client_burst){ TAG_RESERVED, offset, left, 0 };
	cmd->nbursts = 1;
	list_add(&c->bursts, &cmd->burst_link);
}

/* Data of a PDU. */
static uint32_t longest(const struct client *c)
{
	return min(c->target_segment, (uint32_t)SEGMENT_MAX);
}

/*
 * Immediate and unsolicited data (RFC 7143 11.3.4: if there is unsolicited data
 * beyond the immediate, it is as much as FirstBurstLength allows). Returns the immediate
 * data's length.
 */
static uint32_t plan_unsolicited(struct client *c, struct client_cmd *cmd)
{
	uint32_t len = (uint32_t)cmd->out_len, most = min(len, c->key[KEY_FIRST_BURST]), n = 0;

	if (c->key[KEY_IMMEDIATE_DATA] && sim_below(8)) {
		n = min(most, longest(c));
		if (n && !sim_below(4))
			n = 1 + (uint32_t)sim_below(n);
	}
	cmd->r2t_offset = n;
	if (!c->key[KEY_INITIAL_R2T] && n < most && sim_below(4)) {
		add_burst(c, cmd, n, most - n);
		cmd->r2t_offset = most;
	}
	return n;
}

static void put_command(struct client *c, struct client_cmd *cmd)
{
	union pdu h = { .command = {
				.opcode = PDU_SCSI_COMMAND | (cmd->immediate ? PDU_IMMEDIATE : 0),
				.flags = PDU_FINAL | cmd->attr,
			} };
	uint32_t n = 0;

	cmd->itt = client_new_itt(c);
	cmd->cmd_sn = take_cmd_sn(c, cmd->immediate);
	cmd->got = cmd->r2t_offset = 0;
	cmd->data_sn = cmd->r2t_sn = cmd->in_burst = 0;
	if (cmd->in_len)
		h.command.flags |= COMMAND_READ;
	if (cmd->out_len) {
		h.command.flags |= COMMAND_WRITE;
		n = plan_unsolicited(c, cmd);
		if (cmd->nbursts)
			h.command.flags &= (uint8_t)~PDU_FINAL;
	}
	cmd->out_sent = n;
	be_store(h.command.lun, 8, cmd->lun);
	h.command.itt = be32_make(cmd->itt);
	h.command.cmd_sn = be32_make(cmd->cmd_sn);
	h.command.expected_len = be32_make((uint32_t)(cmd->in_len + cmd->out_len));
	memcpy(h.command.cdb, cmd->cdb, sizeof(h.command.cdb));
	list_del(&cmd->link);
	list_add(&c->wire, &cmd->link);
	cmd->on_wire = true;
	cmd->sent = sim_moment();
	client_put(c, &h, cmd->out, n);
	c->out_itt = cmd->itt;
	sim_say("%s -> command %x sn %x%s: %02x, in %zu, out %zu, immediate data %u", c->name,
		cmd->itt, cmd->cmd_sn, cmd->immediate ? " immediate" : "", cmd->cdb[0], cmd->in_len,
		cmd->out_len, n);
}

static void put_tmf(struct client *c, struct client_tmf *t)
{
	union pdu h = { .tmf_request = {
				.opcode = PDU_TMF_REQUEST | (t->immediate ? PDU_IMMEDIATE : 0),
				.flags = PDU_FINAL | (uint8_t)t->function,
			} };

	t->itt = client_new_itt(c);
	t->cmd_sn = take_cmd_sn(c, t->immediate);
	if (t->function != CLIENT_TARGET_WARM_RESET)
		be_store(h.tmf_request.lun, 8, t->lun);
	h.tmf_request.itt = be32_make(t->itt);
	h.tmf_request.ref_tag = be32_make(t->ref_itt);
	h.tmf_request.ref_cmd_sn = be32_make(t->ref_cmd_sn);
	h.tmf_request.cmd_sn = be32_make(t->cmd_sn);
	list_del(&t->link);
	list_add(&c->tmf_wire, &t->link);
	t->on_wire = true;
	t->sent = sim_moment();
	client_put(c, &h, NULL, 0);
	sim_say("%s -> function %u: %x sn %x%s, task %x", c->name, t->function, t->itt, t->cmd_sn,
		t->immediate ? " immediate" : "", t->ref_itt);
}

static struct client_cmd *next_command(struct client *c)
{
	struct client_cmd *cmd;

	if (window_open(c))
		return list_first(&c->waiting, struct client_cmd, link);
	list_for_each(cmd, &c->waiting, link)
		if (cmd->immediate)
			return cmd;
	return NULL;
}

static struct client_tmf *next_tmf(struct client *c)
{
	struct client_tmf *t;

	if (window_open(c))
		return list_first(&c->tmf_waiting, struct client_tmf, link);
	list_for_each(t, &c->tmf_waiting, link)
		if (t->immediate)
			return t;
	return NULL;
}

static bool put_request(struct client *c)
{
	struct client_cmd *cmd = next_command(c);
	struct client_tmf *t = next_tmf(c);

	if (c->state != CLIENT_IN)
		return false;
	if (cmd && (!t || cmd->ticket < t->ticket))
		put_command(c, cmd);
	else if (t)
		put_tmf(c, t);
	return cmd || t;
}

/* ---- data-out ---------------------------------------- */

/*
 * One with data to send, by chance one of the first. Sequences of different tasks may be sent
 * in any order, but the unsolicited ones in the order of their commands (RFC 7143 4.2.2.4).
 */
static struct client_cmd *choose_burst(struct client *c)
{
	struct client_cmd *cmd, *chosen = NULL;
	bool unsolicited = false;

	list_for_each(cmd, &c->bursts, burst_link) {
		if (cmd->burst[0].ttt == TAG_RESERVED) {
			if (unsolicited)
				continue;
			unsolicited = true;
		}
		chosen = cmd;
		if (sim_below(4))
			break;
	}
	return chosen;
}

static uint32_t piece(const struct client *c, uint32_t left)
{
	uint32_t most = min(left, longest(c));
	uint32_t least = most / (c->small_pieces ? 8 : 2);

	if (sim_below(c->small_pieces ? 2 : 8))
		return most;
	return max(least + (uint32_t)sim_below(most - least + 1), 1u);
}

static bool put_data(struct client *c)
{
	struct client_cmd *cmd = choose_burst(c);
	union pdu h = { .data_out = { .opcode = PDU_DATA_OUT } };
	struct client_burst *b;
	uint32_t n;

	if (!cmd)
		return false;
	b = &cmd->burst[0];
	n = piece(c, b->left);
	if (n == b->left)
		h.data_out.flags = PDU_FINAL;
	if (b->ttt != TAG_RESERVED)
		be_store(h.data_out.lun, 8, cmd->lun);
	h.data_out.itt = be32_make(cmd->itt);
	h.data_out.ttt = be32_make(b->ttt);
	h.data_out.data_sn = be32_make(b->data_sn++);
	h.data_out.offset = be32_make(b->offset);
	client_put(c, &h, cmd->out + b->offset, n);
	c->out_itt = cmd->itt;
	sim_say("%s -> data-out %x ttt %x: %u at %u", c->name, cmd->itt, b->ttt, n, b->offset);
	cmd->out_sent += n;
	b->offset += n;
	b->left -= n;
	if (b->left)
		return true;
	cmd->nbursts--;
	memmove(b, b + 1, cmd->nbursts * sizeof(*b));
	list_del(&cmd->burst_link);
	if (cmd->nbursts)
		list_add(&c->bursts, &cmd->burst_link);
	return true;
}

/* ---- NOP, text, logout ---------------------------------------- */

static bool put_nop_answer(struct client *c)
{
	uint64_t now = sim_now();

	for (unsigned i = 0; i < c->ncalls; i++) {
		struct client_call *call = &c->call[i];
		union pdu h = { .nop = { .opcode = PDU_NOP_OUT | PDU_IMMEDIATE,
					 .flags = PDU_FINAL,
					 .itt = be32_make(TAG_RESERVED),
					 .ttt = call->ttt,
					 .stat_sn = be32_make(c->cmd_sn) } };

		if (call->at > now)
			continue;
		memcpy(h.nop.lun, call->lun, sizeof(h.nop.lun));
		*call = c->call[--c->ncalls];
		client_put(c, &h, NULL, 0);
		sim_say("%s -> NOP-Out ttt %x", c->name, be32_get(h.nop.ttt));
		return true;
	}
	return false;
}

void client_ping_data(uint8_t *to, const struct client_ping *p)
{
	for (uint32_t i = 0; i < p->len; i++)
		to[i] = (uint8_t)(p->itt * 31 + i);
}

static bool put_ping(struct client *c)
{
	bool immediate = sim_below(2) || !window_open(c);
	struct client_ping *p = &c->ping[c->npings];
	union pdu h = { .nop = { .opcode = PDU_NOP_OUT | (immediate ? PDU_IMMEDIATE : 0),
				 .flags = PDU_FINAL,
				 .ttt = be32_make(TAG_RESERVED) } };
	uint8_t data[PING_MAX];

	if (c->npings == PINGS_MAX)
		return false;
	c->npings++;
	p->itt = client_new_itt(c);
	p->len = sim_below(2) ? (uint32_t)sim_below(PING_MAX + 1) : 0;
	client_ping_data(data, p);
	h.nop.itt = be32_make(p->itt);
	h.nop.stat_sn = be32_make(take_cmd_sn(c, immediate)); /* CmdSN in a NOP-Out */
	client_put(c, &h, data, p->len);
	sim_say("%s -> NOP-Out %x, %u bytes", c->name, p->itt, p->len);
	return true;
}

/* RFC 7143 11.18: no task and no answer. */
static bool put_hum(struct client *c)
{
	union pdu h = { .nop = { .opcode = PDU_NOP_OUT | PDU_IMMEDIATE,
				 .flags = PDU_FINAL,
				 .itt = be32_make(TAG_RESERVED),
				 .ttt = be32_make(TAG_RESERVED),
				 .stat_sn = be32_make(c->cmd_sn) } };

	client_put(c, &h, NULL, 0);
	sim_say("%s -> NOP-Out without a tag", c->name);
	return true;
}

static bool put_text(struct client *c)
{
	static const char targets[] = "SendTargets=", strange[] = "X-test.stgt.hum=1";
	bool first = c->text_itt == TAG_RESERVED, immediate = sim_below(2) || !window_open(c);
	union pdu h = { .text_request = {
				.opcode = PDU_TEXT_REQUEST | (immediate ? PDU_IMMEDIATE : 0),
				.flags = PDU_FINAL,
			} };
	const char *text = sim_below(2) ? targets : strange;

	if (!first && !c->text_goes_on)
		return false;
	if (first)
		c->text_itt = client_new_itt(c);
	h.text_request.itt = be32_make(c->text_itt);
	h.text_request.ttt = first ? be32_make(TAG_RESERVED) : c->text_ttt;
	h.text_request.cmd_sn = be32_make(take_cmd_sn(c, immediate));
	c->text_goes_on = false;
	client_put(c, &h, text, first ? (uint32_t)strlen(text) + 1 : 0);
	sim_say("%s -> text %x: %s", c->name, c->text_itt, first ? text : "");
	return true;
}

static bool put_chat(struct client *c)
{
	if (c->text_goes_on)
		return put_text(c);
	if (!c->o.chatty || sim_below(24))
		return false;
	switch (sim_below(4)) {
	case 0:
		return put_text(c);
	case 1:
		return put_hum(c);
	default:
		return put_ping(c);
	}
}

static bool put_logout(struct client *c)
{
	bool immediate = sim_below(2) || !window_open(c), session = sim_below(2);
	union pdu h = { .logout_request = {
				.opcode = PDU_LOGOUT_REQUEST | (immediate ? PDU_IMMEDIATE : 0),
				.flags = PDU_FINAL | (session ? LOGOUT_CLOSE_SESSION
							      : LOGOUT_CLOSE_CONNECTION) } };

	if (c->logout_at && c->logout_at <= sim_now())
		c->wants_logout = true;
	if (!c->wants_logout || !c->may_leave)
		return false;
	c->state = CLIENT_LEAVING;
	c->logout_itt = client_new_itt(c);
	h.logout_request.itt = be32_make(c->logout_itt);
	h.logout_request.cmd_sn = be32_make(take_cmd_sn(c, immediate));
	if (!session)
		h.logout_request.cid = be16_make(c->cid);
	client_put(c, &h, NULL, 0);
	sim_say("%s -> logout %x", c->name, c->logout_itt);
	return true;
}

/* ---- what goes next ---------------------------------------- */

/* After a logout request: only what requests that were sent before still need (RFC 7143 11.14). */
static bool put_next(struct client *c)
{
	bool data_first = sim_below(2);

	if (put_nop_answer(c))
		return true;
	if (c->state == CLIENT_LEAVING)
		return put_data(c);
	if (put_logout(c))
		return true;
	if (data_first && put_data(c))
		return true;
	if (put_request(c))
		return true;
	return (!data_first && put_data(c)) || put_chat(c);
}

/* A client without a CPU, at times. */
static bool muse(struct client *c)
{
	if (sim_below(400))
		return false;
	c->mute_until = sim_now() + sim_below(20 * NSEC_PER_MSEC);
	client_poke(c, c->mute_until - sim_now() + 1);
	return true;
}

void client_pump(struct client *c)
{
	while (c->peer && !c->dying && !c->logged_out && c->mute_until <= sim_now()) {
		if (!flush(c))
			return;
		if (c->state == CLIENT_LOGGING_IN || !put_next(c) || muse(c))
			return;
	}
}
