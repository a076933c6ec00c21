/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection: the TCP side, StatSN, what is received and sent. */
#ifndef STGT_ISCSI_CONN_H
#define STGT_ISCSI_CONN_H

#include "transport/iscsi/login.h"
#include "transport/iscsi/part.h"
#include "transport/iscsi/rx.h"
#include "transport/iscsi/tx.h"

enum conn_state {
	CONN_LOGIN, /* on the accepting reactor */
	CONN_MOVING, /* between reactors: nothing is under way */
	CONN_FULL, /* full feature phase */
	CONN_FLUSHING, /* sends what is queued, then closes; reads nothing */
	CONN_CLOSING, /* freed when nothing is under way */
};

/* What exists during the login only. */
struct conn_login {
	struct login *login;
	uint64_t deadline;
	bool asking; /* a query or claim is under way: login must stay */
	bool claimed; /* the claim has a nexus that waits for its start */
	union pdu bhs;
	uint32_t got;
	uint8_t data[LOGIN_PDU_DATA_MAX];
};

struct iscsi_conn {
	struct iscsi_part *part;
	struct list link; /* part->conns */
	int fd;
	enum conn_state state;
	struct iscsi_session *session; /* full feature phase */
	struct conn_login *lg;
	struct iscsi_params params;
	uint32_t stat_sn; /* of the next status */
	uint16_t cid;
	bool header_digest, data_digest; /* in force for sending and receiving */
	bool dropped; /* the session has been told of the end */
	char peer[64], local[64]; /* addresses; local as in TargetAddress, with port */
	unsigned nop_interval, nop_count, nop_sent; /* seconds; NOP-Ins without answer */
	unsigned owed; /* tasks whose solicited or unsolicited data is still to come */
	uint64_t heard; /* time of the last receive */
	uint64_t close_at; /* a flush or logout that does not end; 0: none */
	struct iscsi_counters counters;
	struct rx rx;
	struct tx tx;
	struct later reap;
	struct msg msg;
};

void conn_init(struct iscsi_conn *c);

static inline bool conn_open(const struct iscsi_conn *c)
{
	return c->state == CONN_LOGIN || c->state == CONN_FULL;
}

/*
 * End the connection, whatever is queued. @why is for the log (NULL: the peer ended it, or
 * somebody who has logged). Only marks: the session is told later in the
 * turn, so callers may go on with their objects. Idempotent.
 */
void conn_close(struct iscsi_conn *c, const char *why);
/* A violation of the protocol: counted, then conn_close(). */
void conn_violation(struct iscsi_conn *c, const char *what);
/* Read nothing more; close when what is queued is sent. */
void conn_finish(struct iscsi_conn *c);
/* An operation of the connection ended: go on with the closing. */
void conn_op_done(struct iscsi_conn *c);
/* The send queue is empty. */
void conn_flushed(struct iscsi_conn *c);
/* Once a second while somebody watches. True: look again. */
bool conn_sweep(struct iscsi_conn *c, uint64_t now);

/* --- login phase --- */

void conn_login_start(struct iscsi_conn *c);
void conn_login_free(struct iscsi_conn *c);
/* The response is sent: the next request may come. */
void conn_login_flushed(struct iscsi_conn *c);

#endif
