/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/conn.h"

#include <stdlib.h>

#include "base/log.h"
#include "transport/iscsi/observe.h"
#include "transport/iscsi/request.h"
#include "transport/iscsi/session.h"

#define FLUSH_NS (10 * NSEC_PER_SEC) /* for a last response; and the smallest grace of a logout */
#define DISCOVERY_IDLE_NS (60 * NSEC_PER_SEC)

static const char *conn_name(const struct iscsi_conn *c)
{
	return c->session ? c->session->initiator : "an initiator";
}

/* ---- the end ---------------------------------------------------------------- */

static bool ops_idle(const struct iscsi_conn *c)
{
	return !io_pending(&c->rx.op) && !io_pending(&c->tx.op) && !(c->lg && c->lg->asking);
}

static void conn_free(struct iscsi_conn *c)
{
	struct iscsi_part *part = c->part;

	tx_clear(c);
	rx_clear(c);
	if (c->lg) {
		part_count(part, logins, -1);
		conn_login_free(c);
	}
	io_close(part->reactor, c->fd);
	later_cancel(&c->reap);
	list_del(&c->link);
	free(c);
	part_count(part, connections, -1);
	part_left(part);
}

static void reap(struct later *l)
{
	struct iscsi_conn *c = container_of(l, struct iscsi_conn, reap);

	if (!c->dropped && c->session) {
		c->dropped = true;
		session_conn_lost(c->session);
		c->session = NULL;
	}
	if (ops_idle(c))
		conn_free(c);
}

void conn_op_done(struct iscsi_conn *c)
{
	if (c->state == CONN_CLOSING && ops_idle(c))
		reactor_later(c->part->reactor, &c->reap, LATER_SEND);
}

void conn_close(struct iscsi_conn *c, const char *why)
{
	if (c->state == CONN_CLOSING)
		return;
	if (why)
		log_info("iscsi: %s at %s: connection closed: %s", conn_name(c), c->peer, why);
	else
		log_debug("iscsi: %s at %s: connection ended", conn_name(c), c->peer);
	OBSERVE_CONN(c, connection__close, 0, 0, c->peer, why);
	c->state = CONN_CLOSING;
	later_cancel(&c->rx.more);
	later_cancel(&c->tx.later);
	io_cancel(&c->rx.op);
	io_cancel(&c->tx.op);
	reactor_later(c->part->reactor, &c->reap, LATER_SEND);
}

void conn_init(struct iscsi_conn *c)
{
	later_init(&c->reap, reap);
	rx_init(c);
	tx_init(c);
}

void conn_violation(struct iscsi_conn *c, const char *what)
{
	part_count(c->part, protocol_errors, 1);
	conn_close(c, what);
}

void conn_finish(struct iscsi_conn *c)
{
	if (!conn_open(c))
		return;
	c->state = CONN_FLUSHING;
	later_cancel(&c->rx.more);
	io_cancel(&c->rx.op);
	if (tx_empty(&c->tx)) {
		conn_close(c, NULL);
		return;
	}
	c->close_at = reactor_now(c->part->reactor) + FLUSH_NS;
	part_watch(c->part);
}

void conn_flushed(struct iscsi_conn *c)
{
	if (c->state == CONN_FLUSHING)
		conn_close(c, NULL);
	else if (c->state == CONN_LOGIN)
		conn_login_flushed(c);
}

/* ---- the watch -------------------------------------------------------------- */

/* Send a NOP-In to a silent initiator. True: keep watching. */
static bool sweep_nop(struct iscsi_conn *c, uint64_t now)
{
	uint64_t silence = now - c->heard;

	if (!c->nop_interval || c->state != CONN_FULL)
		return false;
	if (silence < c->nop_interval * NSEC_PER_SEC * (c->nop_sent + 1))
		return true;
	if (c->nop_sent >= max(c->nop_count, 1u)) {
		conn_close(c, "no answer to NOP-In");
		return false;
	}
	c->nop_sent++;
	request_ping(c);
	return true;
}

static bool sweep_closing(struct iscsi_conn *c, uint64_t now)
{
	if (c->state == CONN_CLOSING)
		return false;
	if (c->close_at && now >= c->close_at) {
		conn_close(c, "it did not end in time");
		return false;
	}
	return c->close_at != 0;
}

static bool sweep_rx(struct iscsi_conn *c, uint64_t now)
{
	if (c->state != CONN_FULL || !c->rx.b)
		return false;
	if (c->part->pressed || now - c->heard >= SWEEP_NS)
		rx_park(c);
	return true;
}

static bool sweep_tx(struct iscsi_conn *c, uint64_t now)
{
	if (!io_pending(&c->tx.op) || c->state == CONN_CLOSING)
		return false;
	if (now - c->tx.progress >= TX_STUCK_NS)
		conn_close(c, "its initiator reads nothing");
	return true;
}

/* Anybody can open discovery sessions: they do not stay for nothing. */
static bool sweep_discovery(struct iscsi_conn *c, uint64_t now)
{
	if (c->state != CONN_FULL || !c->session || !c->session->discovery)
		return false;
	if (now - c->heard >= DISCOVERY_IDLE_NS)
		conn_close(c, "an idle discovery session");
	return true;
}

bool conn_sweep(struct iscsi_conn *c, uint64_t now)
{
	bool again = false;

	if (c->lg && c->state != CONN_CLOSING) {
		again = true;
		if (now >= c->lg->deadline)
			conn_close(c, "login takes too long");
	}
	again |= sweep_closing(c, now);
	again |= sweep_tx(c, now);
	again |= sweep_rx(c, now);
	again |= sweep_nop(c, now);
	again |= sweep_discovery(c, now);
	if (c->session)
		again |= session_sweep(c->session);
	return again;
}
