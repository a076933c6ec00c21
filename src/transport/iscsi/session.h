/* SPDX-License-Identifier: BSD-2-Clause */
/* A session: CmdSN window and order, the tasks, the I_T nexus. */
#ifndef STGT_ISCSI_SESSION_H
#define STGT_ISCSI_SESSION_H

#include "base/hash.h"
#include "transport/iscsi/conn.h"
#include "transport/iscsi/task.h"
#include "transport/iscsi/text.h"

#define WINDOW_MIN 4
#define WINDOW_MAX 128
#define IMMEDIATE_MAX 8 /* immediate requests under way, RFC 7143 4.2.2.1 */
#define HELD_DATA_MAX (256u << 10) /* bytes of payload of requests out of order */
#define TASK_SLOTS 256

/* A text exchange (RFC 7143 11.10). */
struct text_exchange {
	struct iscsi_session *session;
	struct text in; /* of the request, over C-bit continuations */
	struct text out;
	uint32_t sent; /* bytes of out */
	uint32_t itt, ttt;
	bool final; /* the request had F */
	bool asking; /* query is under way */
	struct name_query query;
};

struct iscsi_session {
	struct iscsi_part *part;
	struct list link; /* part->sessions */
	struct iscsi_conn *conn; /* NULL: gone, the nexus still drains */
	struct it_nexus *nexus; /* NULL: discovery, or drained */
	bool discovery;
	uint16_t tsih;
	char initiator[INITIATOR_NAME_MAX + 1];

	/* CmdSN window */
	uint32_t exp_cmd_sn, max_cmd_sn;
	unsigned depth, depth_max; /* commands that may be under way */
	unsigned active; /* not immediate ones under way */
	unsigned batch; /* commands since the last send: answered or not, the initiator waits */
	unsigned peak; /* most of both since the last sweep */
	unsigned immediate; /* immediate ones under way */
	size_t unit; /* bytes of memory that a credit promises */
	size_t reserved; /* bytes */
	uint64_t grow_at; /* not before */
	bool ordering;
	struct list held; /* iscsi_task.held by ascending CmdSN */
	size_t held_bytes;

	struct list tasks; /* iscsi_task.link: all */
	struct hash by_itt;
	struct hash_node *itt_slots[TASK_SLOTS];
	uint32_t next_ttt;

	bool logout; /* answer when drained */
	uint32_t logout_itt;
	struct text_exchange *text;
	unsigned tmfs; /* under way */
};

/* A session for the login @res of @c; NULL without memory. */
struct iscsi_session *session_create(struct iscsi_conn *c, const struct login_result *res,
				     unsigned depth_max);
/* The connection is gone: end everything. */
void session_conn_lost(struct iscsi_session *s);
/* Free @s if nobody needs it any more. */
void session_put(struct iscsi_session *s);
/* tops */
void session_drained(struct it_nexus *n);
void session_close(struct it_nexus *n);

/* The initiator logs out: drain, answer, close. */
void session_logout(struct iscsi_session *s, uint32_t itt);

uint32_t session_ttt(struct iscsi_session *s);
struct iscsi_task *session_task(struct iscsi_session *s, uint32_t itt);

/* --- the window --- */

void session_window_init(struct iscsi_session *s, unsigned depth_max);

/* MaxCmdSN to tell now. */
uint32_t session_max_cmd_sn(struct iscsi_session *s);
/* Grow if much is used. */
void session_used(struct iscsi_session *s);
/* Once a second: give back what was not used. True: it will take another look. */
bool session_sweep(struct iscsi_session *s);
/* A buffer out of the session's reservation, else of what is free. */
struct buf *session_buf(struct iscsi_session *s, size_t size, bool immediate);

enum cmd_sn_place { CMD_SN_NOW, CMD_SN_LATER, CMD_SN_IGNORE };
/* Where a request with this CmdSN belongs (RFC 7143 4.2.2.1). */
enum cmd_sn_place session_place(const struct iscsi_session *s, uint32_t cmd_sn, bool immediate);
/* @t waits for its CmdSN. False: there is one with the same, or no room; @t is the caller's. */
bool session_hold(struct iscsi_session *s, struct iscsi_task *t);
/* ExpCmdSN has advanced: run what waited for it. */
void session_run_held(struct iscsi_session *s);

#endif
