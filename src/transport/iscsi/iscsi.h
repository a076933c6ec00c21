/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the control side sees of iSCSI: the server, its portals, counters.
 * Functions without another word are for the control reactor.
 */
#ifndef STGT_ISCSI_H
#define STGT_ISCSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sam/target.h"
#include "transport/iscsi/login.h"

#define ISCSI_PORT 3260
#define ISCSI_TPGT 1 /* the one portal group */

struct iscsi_server;
struct iscsi_portal;

struct iscsi_opts {
	unsigned login_timeout; /* seconds from accept to full feature phase; 0: 30 */
	unsigned nop_interval, nop_count; /* defaults for targets without their own; 0: no NOP-Ins */
};

/* Serve the targets of @ts on its data reactors. NULL and @e without memory. @ts outlives it. */
struct iscsi_server *iscsi_server_create(struct targets *ts, const struct iscsi_opts *opts,
					 struct err *e);
/* New connections use them. */
void iscsi_server_set_nop(struct iscsi_server *s, unsigned interval, unsigned count);
/*
 * End: no connection is accepted any more, logins are closed, initiators are
 * asked to log out (Asynchronous Message, RFC 7143 11.9) and closed after
 * @grace_ns; @done(@arg) on control when no connection and no session is left.
 * A session whose store does not return is not waited for.
 */
void iscsi_server_stop(struct iscsi_server *s, uint64_t grace_ns, void (*done)(void *arg),
		       void *arg);
/* After done; the data reactors have stopped or have nothing left to do for it. */
void iscsi_server_destroy(struct iscsi_server *s);

/*
 * Listen at @text: "address:port", "[IPv6 address]:port", ":port" (every
 * address, IPv4 and IPv6), without ":port" 3260; port 0 takes a free one.
 * -EINVAL, -EEXIST, or why the kernel refused.
 */
int iscsi_portal_add(struct iscsi_server *s, const char *text, struct err *e);
/*
 * Stop listening; sessions stay. -ENOENT. @text as given or as shown. @removed(@arg)
 * (may be NULL) when the port is free.
 */
int iscsi_portal_remove(struct iscsi_server *s, const char *text, void (*removed)(void *arg),
			void *arg, struct err *e);
/* The next portal after @prev (NULL: the first), newest first; NULL at the end. */
struct iscsi_portal *iscsi_portal_next(struct iscsi_server *s, const struct iscsi_portal *prev);
/* "127.0.0.1:3260", "[::1]:3260", with the port that was bound. */
const char *iscsi_portal_name(const struct iscsi_portal *p);

struct iscsi_counters {
	uint64_t rx_bytes, tx_bytes; /* of the wire */
	uint64_t dataout_pdus, datain_pdus, cmd_pdus, rsp_pdus;
};

/* A question about one session's connection, answered by message. */
struct iscsi_session_info {
	/* in */
	uint64_t nexus_id;
	void (*done)(struct iscsi_session_info *i); /* on control */
	/* out */
	bool found; /* else the session is gone */
	uint16_t cid, tsih;
	char peer[64];
	struct iscsi_params params;
	struct iscsi_counters counters;
	unsigned commands, window; /* under way; open credits */
	/* private */
	struct iscsi_part *part;
	struct reactor *control;
	struct msg msg;
};
void iscsi_session_info(struct iscsi_server *s, struct it_nexus *n, struct iscsi_session_info *i);

/* Objects alive, for `stat` and leak checks. Any thread. */
struct iscsi_live {
	uint64_t connections, sessions, tasks;
	uint64_t logins; /* connections in the login phase */
	uint64_t accepted, protocol_errors, digest_errors, memory_refusals; /* ever */
};
void iscsi_get_live(const struct iscsi_server *s, struct iscsi_live *l);

extern const struct transport_ops iscsi_transport_ops;

#endif
