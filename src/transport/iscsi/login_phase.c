/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login phase of a connection: exact-length receives feed login.h, whose
 * questions go to the targets' home. When the session is claimed, the bare
 * descriptor moves to the reactor that owns the nexus, and the final response
 * is sent there.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/iscsi/keys.h"
#include "transport/iscsi/observe.h"
#include "transport/iscsi/request.h"
#include "transport/iscsi/session.h"

#define KEEPALIVE_IDLE 60 /* seconds */
#define KEEPALIVE_INTERVAL 10
#define KEEPALIVE_COUNT 6
#define UNSENT_MAX_MS 60000 /* TCP_USER_TIMEOUT: a peer that is gone while we send */

static void login_act(struct iscsi_conn *c, enum login_action a);
static void login_receive(struct iscsi_conn *c);

/* ---- accept ----------------------------------------------------------------- */

/* IPv4 in IPv6 (RFC 4291 2.5.5.2) is shown as IPv4. */
static void show_address(const struct sockaddr_storage *ss, char *host, size_t size,
			 char *with_port, size_t port_size)
{
	char name[NI_MAXHOST], port[8];
	const char *h = name;

	if (getnameinfo((const struct sockaddr *)ss, sizeof(*ss), name, sizeof(name), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV)) {
		h = "?";
		port[0] = 0;
	}
	if (!strncmp(h, "::ffff:", 7) && strchr(h, '.'))
		h += 7;
	if (host)
		snprintf(host, size, "%.*s", (int)size - 1, h);
	if (with_port)
		snprintf(with_port, port_size, strchr(h, ':') ? "[%.*s]:%s" : "%.*s:%s",
			 (int)port_size - 10, h, port);
}

static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, UNSENT_MAX_MS },
	};

	/* what does not apply to this kind of socket does no harm */
	for (unsigned i = 0; i < array_size(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
				 sizeof(options[i].value));
}

static void find_addresses(struct iscsi_conn *c)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (!getpeername(c->fd, (struct sockaddr *)&ss, &len))
		show_address(&ss, c->peer, sizeof(c->peer), NULL, 0);
	len = sizeof(ss);
	if (!getsockname(c->fd, (struct sockaddr *)&ss, &len))
		show_address(&ss, NULL, 0, c->local, sizeof(c->local));
}

static struct conn_login *login_new(struct iscsi_conn *c)
{
	struct iscsi_server *s = c->part->server;
	struct conn_login *lg = calloc(1, sizeof(*lg));
	struct login_env env = { .tpgt = ISCSI_TPGT, .ts = s->ts };

	if (!lg)
		return NULL;
	memcpy(env.peer, c->peer, sizeof(env.peer));
	lg->login = login_create(&env);
	if (!lg->login) {
		free(lg);
		return NULL;
	}
	lg->deadline = reactor_now(c->part->reactor) + s->opts.login_timeout * NSEC_PER_SEC;
	return lg;
}

void conn_accepted(struct iscsi_part *p, int fd)
{
	struct iscsi_conn *c =
		p->n.logins < LOGINS_MAX && !p->stopping ? calloc(1, sizeof(*c)) : NULL;

	part_count(p, accepted, 1);
	if (!c) {
		log_warn("iscsi: a connection is refused: %s",
			 p->stopping ? "the server ends" : "too many logins at once");
		io_close(p->reactor, fd);
		return;
	}
	*c = (struct iscsi_conn){ .part = p, .fd = fd, .state = CONN_LOGIN };
	find_addresses(c);
	set_options(fd);
	c->lg = login_new(c);
	if (!c->lg) {
		log_warn("iscsi: no memory for a login from %s", c->peer);
		io_close(p->reactor, fd);
		free(c);
		return;
	}
	list_add(&p->conns, &c->link);
	part_count(p, connections, 1);
	part_count(p, logins, 1);
	c->heard = reactor_now(p->reactor);
	OBSERVE_CONN(c, connection__open, 0, 0, c->peer);
	conn_init(c);
	conn_login_start(c);
}

/* ---- receiving ---------------------------------------------------------------- */

static uint32_t login_data_len(const struct conn_login *lg)
{
	uint32_t len = be24_get(lg->bhs.basic.data_len);

	return len + pdu_pad(len);
}

static void login_whole(struct iscsi_conn *c)
{
	struct conn_login *lg = c->lg;

	lg->got = 0;
	log_debug("iscsi: %s: login PDU %02xh, %u bytes", c->peer, lg->bhs.basic.opcode,
		  be24_get(lg->bhs.basic.data_len));
	login_act(c,
		  login_pdu(lg->login, lg->bhs.bytes, lg->data, be24_get(lg->bhs.basic.data_len)));
}

static void login_received(struct io_op *op, int res)
{
	struct iscsi_conn *c = container_of(op, struct iscsi_conn, rx.op);
	struct conn_login *lg = c->lg;

	if (c->state == CONN_CLOSING) {
		conn_op_done(c);
		return;
	}
	if (c->state != CONN_LOGIN)
		return;
	if (res <= 0) {
		conn_close(c, NULL);
		return;
	}
	c->counters.rx_bytes += (unsigned)res;
	lg->got += (unsigned)res;
	if (lg->got >= BHS_LEN && lg->bhs.basic.ahs_len) {
		conn_violation(c, "an additional header segment in login");
		return;
	}
	if (lg->got >= BHS_LEN && login_data_len(lg) > sizeof(lg->data)) {
		conn_violation(c, "a login PDU with more than 8192 bytes of data");
		return;
	}
	if (lg->got < BHS_LEN || lg->got < BHS_LEN + login_data_len(lg))
		login_receive(c);
	else
		login_whole(c);
}

static void login_receive(struct iscsi_conn *c)
{
	struct conn_login *lg = c->lg;
	struct rx *rx = &c->rx;

	if (lg->got < BHS_LEN) {
		rx->iov[0] = (struct iovec){ lg->bhs.bytes + lg->got, BHS_LEN - lg->got };
	} else {
		uint32_t at = lg->got - BHS_LEN;

		rx->iov[0] = (struct iovec){ lg->data + at, login_data_len(lg) - at };
	}
	rx->msg = (struct msghdr){ .msg_iov = rx->iov, .msg_iovlen = 1 };
	rx->op = (struct io_op){ .done = login_received, .verb = IO_RECVMSG, .fd = c->fd };
	rx->op.msg = &rx->msg;
	io_submit(c->part->reactor, &rx->op);
}

void conn_login_start(struct iscsi_conn *c)
{
	part_watch(c->part);
	login_receive(c);
}

void conn_login_free(struct iscsi_conn *c)
{
	if (!c->lg)
		return;
	login_destroy(c->lg->login);
	free(c->lg);
	c->lg = NULL;
}

/* ---- answering ------------------------------------------------------------------ */

static void login_send(struct iscsi_conn *c)
{
	const uint8_t *bhs, *data;
	union pdu *p;
	uint32_t len;

	login_response(c->lg->login, &bhs, &data, &len);
	len = min(len, (uint32_t)TX_INLINE_MAX);
	p = tx_begin(c, PDU_LOGIN_RESPONSE, len);
	if (!p)
		return;
	memcpy(p->bytes, bhs, BHS_LEN);
	OBSERVE_CONN(c, login__response, bhs[36] << 8 | bhs[37], 0, c->peer, bhs[36] << 8 | bhs[37]);
	if (c->session) /* the final response opens the window */
		p->response.max_cmd_sn = be32_make(session_max_cmd_sn(c->session));
	if (len)
		memcpy(tx_data(c, p), data, len);
	tx_end(c, p, len);
}

static void abandoned(struct msg *m)
{
	struct iscsi_conn *c = container_of(m, struct iscsi_conn, msg);

	c->lg->asking = false;
	conn_op_done(c);
}

static void abandon(struct msg *m)
{
	struct iscsi_conn *c = container_of(m, struct iscsi_conn, msg);

	nexus_abandon(login_claim_of(c->lg->login)->nexus);
	reactor_post(c->part->reactor, &c->msg, abandoned);
}

/* The login fails although its claim has a nexus, which waits for its start. */
static void give_up_claim(struct iscsi_conn *c)
{
	struct it_nexus *n = login_claim_of(c->lg->login)->nexus;

	c->lg->claimed = false;
	if (n->reactor == c->part->reactor) {
		nexus_abandon(n);
		return;
	}
	c->lg->asking = true; /* the connection stays until the message is back */
	reactor_post(n->reactor, &c->msg, abandon);
}

static void query_done(struct login_query *q);
static void claim_done(struct claim *cl);

static void ask(struct iscsi_conn *c)
{
	struct login_query *q = login_query_of(c->lg->login);

	c->lg->asking = true;
	q->done = query_done;
	q->owner = c;
	login_query_run(c->part->server->ts, q);
}

static void claim(struct iscsi_conn *c)
{
	struct claim *cl = login_claim_of(c->lg->login);

	c->lg->asking = true;
	cl->done = claim_done;
	cl->owner = c;
	cl->tops = &iscsi_transport_ops;
	claim_run(c->part->server->ts, cl);
}

static void query_done(struct login_query *q)
{
	struct iscsi_conn *c = q->owner;

	c->lg->asking = false;
	if (c->state == CONN_CLOSING)
		conn_op_done(c);
	else
		login_act(c, login_answered(c->lg->login));
}

static void claim_done(struct claim *cl)
{
	struct iscsi_conn *c = cl->owner;

	c->lg->asking = false;
	c->lg->claimed = cl->answer == LOGIN_OK;
	if (c->state == CONN_CLOSING) {
		if (c->lg->claimed)
			give_up_claim(c);
		conn_op_done(c);
		return;
	}
	login_act(c, login_claimed(c->lg->login));
}

/* ---- full feature phase ------------------------------------------------------------- */

static unsigned nop_setting(const struct login_query *q, int index, const unsigned *fallback)
{
	if (q->param[index] >= 0)
		return (unsigned)q->param[index];
	return __atomic_load_n(fallback, __ATOMIC_RELAXED);
}

static void take_settings(struct iscsi_conn *c, const struct login_result *res)
{
	const struct login_query *q = login_query_of(c->lg->login);
	struct iscsi_server *s = c->part->server;

	c->params = res->params;
	c->cid = res->cid;
	c->stat_sn = res->stat_sn;
	if (!res->discovery) {
		c->nop_interval = nop_setting(q, ISCSI_PARAM_NOP_INTERVAL, &s->nop_interval);
		c->nop_count = nop_setting(q, ISCSI_PARAM_NOP_COUNT, &s->nop_count);
	}
}

/* On the reactor that keeps the connection. */
static void full_feature(struct iscsi_conn *c)
{
	const struct login_query *q = login_query_of(c->lg->login);
	uint32_t depth = iscsi_key_param_value(ISCSI_PARAM_MAX_QUEUE_CMD,
					       q->param[ISCSI_PARAM_MAX_QUEUE_CMD]);
	struct login_result res;

	login_get_result(c->lg->login, &res);
	take_settings(c, &res);
	c->session = session_create(c, &res, depth);
	if (!c->session) {
		if (c->lg->claimed)
			give_up_claim(c);
		conn_close(c, "no memory for its session");
		return;
	}
	c->lg->claimed = false;
	if (res.nexus) {
		res.nexus->sends_blindly = !c->params.data_digest;
		nexus_start(res.nexus, c->session);
	}
	login_send(c);
	if (c->state != CONN_LOGIN)
		return;
	conn_login_free(c);
	part_count(c->part, logins, -1);
	c->state = CONN_FULL;
	c->header_digest = c->params.header_digest;
	c->data_digest = c->params.data_digest;
	log_info("iscsi: %s at %s logged in%s%s", c->session->initiator, c->peer,
		 res.nexus ? " to " : ": discovery", res.nexus ? res.nexus->target_name : "");
	rx_start(c);
}

static void moved(struct msg *m)
{
	struct iscsi_conn *c = container_of(m, struct iscsi_conn, msg);
	struct iscsi_part *p = c->part;

	list_add(&p->conns, &c->link);
	part_count(p, connections, 1);
	part_count(p, logins, 1);
	c->state = CONN_LOGIN;
	part_watch(p);
	if (p->stopping) {
		give_up_claim(c);
		conn_close(c, "the server ends");
		return;
	}
	full_feature(c);
}

/* Nothing is under way, all responses are sent: the descriptor goes to the reactor of its nexus. */
static void move(struct iscsi_conn *c, struct reactor *to)
{
	struct iscsi_part *from = c->part;

	c->state = CONN_MOVING;
	later_cancel(&c->tx.later);
	later_cancel(&c->reap);
	io_forget(from->reactor, c->fd);
	list_del(&c->link);
	c->part = &from->server->part[reactor_id(to)];
	reactor_post(to, &c->msg, moved);
	part_count(from, connections, -1);
	part_count(from, logins, -1);
	part_left(from);
}

/* Who does not take responses is not read: so few of them need memory. */
void conn_login_flushed(struct iscsi_conn *c)
{
	login_receive(c);
}

static void login_over(struct iscsi_conn *c)
{
	struct it_nexus *n = c->lg->claimed ? login_claim_of(c->lg->login)->nexus : NULL;

	if (!n || n->reactor == c->part->reactor)
		full_feature(c);
	else
		move(c, n->reactor);
}

static void login_act(struct iscsi_conn *c, enum login_action a)
{
	if (c->lg->claimed && a != LOGIN_DONE)
		give_up_claim(c);
	switch (a) {
	case LOGIN_SEND:
		login_send(c);
		break;
	case LOGIN_ASK:
		ask(c);
		break;
	case LOGIN_CLAIM:
		claim(c);
		break;
	case LOGIN_SEND_AND_CLOSE:
		login_send(c);
		conn_finish(c);
		break;
	case LOGIN_CLOSE:
		conn_violation(c, "not a login");
		break;
	case LOGIN_DONE:
		login_over(c);
		break;
	}
}
