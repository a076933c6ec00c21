/* SPDX-License-Identifier: BSD-2-Clause */
/* What the client's files share: client.c (life), client_login.c, client_send.c, client_receive.c. */
#ifndef TESTS_SIM_CLIENT_WIRE_H
#define TESTS_SIM_CLIENT_WIRE_H

#include "client.h"
#include "reactor/timer.h"
#include "transport/iscsi/pdu.h"

#define LOGIN_DATA_MAX 8192u /* data of a login PDU, RFC 7143 13.12 */
#define SEGMENT_MAX \
	KIB(256) /* the largest MaxRecvDataSegmentLength that a client declares, and data-out PDU */
#define NAME_MAX_LEN 223u
#define PINGS_MAX 4u
#define PING_MAX 512u
#define CALLS_MAX 4u

/* Operational parameters by RFC 7143 13; the order of the table in client_login.c. */
enum client_key {
	KEY_HEADER_DIGEST,
	KEY_DATA_DIGEST,
	KEY_MAX_CONNECTIONS,
	KEY_INITIAL_R2T,
	KEY_IMMEDIATE_DATA,
	KEY_MAX_BURST,
	KEY_FIRST_BURST,
	KEY_TIME2WAIT,
	KEY_TIME2RETAIN,
	KEY_MAX_R2T,
	KEY_PDU_ORDER,
	KEY_SEQUENCE_ORDER,
	KEY_RECOVERY,
	KEYS_N,
};

struct client_login {
	void (*done)(struct client *c, int status, void *arg);
	void *arg;
	int status; /* for done, should it fail */
	uint32_t itt;
	unsigned stage, next; /* CSG and NSG of the last request */
	bool transit; /* its T bit */
	unsigned rounds;
	bool group_seen; /* TargetPortalGroupTag */
	bool no_first_burst; /* FirstBurstLength=Irrelevant */
	uint32_t offered[KEYS_N];
	bool is_offered[KEYS_N], is_agreed[KEYS_N];
	char text[2048]; /* to send, from text_at to text_len */
	size_t text_len, text_at;
	char reply[LOGIN_DATA_MAX * 2]; /* of PDUs with C = 1 and the one that ended them */
	size_t reply_len;
};

struct client_ping {
	uint32_t itt, len; /* len bytes, made of the ITT */
};

/* A NOP-In that waits for its answer. */
struct client_call {
	uint8_t lun[8];
	be32 ttt;
	uint64_t at; /* when to answer, ns */
};

struct client {
	struct list link; /* of all clients */
	uint64_t id;
	struct client_opts o;
	char name[NAME_MAX_LEN + 1], target[NAME_MAX_LEN + 1];
	enum client_state state;
	struct sim_peer *peer; /* NULL: the connection is gone */
	void (*on_end)(struct client *c, void *arg);
	void *on_end_arg;
	struct client_login lg;
	uint16_t cid;

	/* agreed */
	uint32_t key[KEYS_N];
	uint32_t segment; /* our MaxRecvDataSegmentLength */
	uint32_t target_segment;
	bool header_digest, data_digest; /* in force */

	/* numbers */
	uint32_t next_itt, cmd_sn;
	uint32_t exp_stat_sn;
	bool stat_known;
	uint32_t exp_cmd_sn, max_cmd_sn, window_max;
	uint64_t tickets;

	/* what is to be done */
	struct list waiting, wire; /* client_cmd.link: not on the wire yet; on it, in its order */
	struct list tmf_waiting, tmf_wire;
	struct list bursts; /* client_cmd.burst_link: those with data-out to send, in the order of the first R2T */
	unsigned busy;
	struct client_ping ping[PINGS_MAX];
	struct client_call call[CALLS_MAX];
	unsigned npings, ncalls;
	uint32_t text_itt; /* of the text request under way, else reserved */
	be32 text_ttt; /* it goes on with this one */
	bool text_goes_on;
	bool wants_logout, may_leave, logged_out; /* logged_out: the response came */
	uint64_t logout_at; /* the target has asked: when, ns; else 0 */
	uint32_t logout_itt; /* in state CLIENT_LEAVING */

	/* sending: at most one PDU, and what of it is sent */
	uint8_t *out;
	size_t out_len, out_at;
	uint32_t out_itt; /* of the command or data-out in it */
	bool doomed, dying; /* dying: sends and hears nothing more */
	size_t doom_left;
	unsigned dying_looks;
	bool small_pieces; /* likes small data-out PDUs */
	uint64_t mute_until, deaf_until;

	/* receiving */
	uint8_t *in;
	size_t in_size, in_len;
};

#define client_bad(c, fmt, ...) sim_violation("%s: " fmt, (c)->name, ##__VA_ARGS__)

/* client.c */
/* Look at the connection again in @ns. */
void client_poke(struct client *c, uint64_t ns);
/* The connection is gone; done and on_end are called, later. */
void client_cut(struct client *c, bool reset);
/* As client_cut(), and now: not from a function of client.h. */
void client_end(struct client *c);
void client_finish(struct client *c, struct client_cmd *cmd, enum outcome outcome);
void client_tmf_finish(struct client *c, struct client_tmf *t, enum outcome outcome);
/* Undo what being on the wire did: it waits again, before those submitted later. */
void client_cmd_again(struct client *c, struct client_cmd *cmd);
void client_tmf_again(struct client *c, struct client_tmf *t);
uint32_t client_new_itt(struct client *c);

/* client_login.c */
void client_login_begin(struct client *c);
void client_login_response(struct client *c, const union pdu *h, const uint8_t *data, uint32_t len);

/* client_send.c */
/* Make @h with @len bytes of @data the PDU to send; there is none. */
void client_put(struct client *c, union pdu *h, const void *data, uint32_t len);
/* CRC32C as on the wire (RFC 7143 13.1). */
void client_digest(uint8_t to[DIGEST_LEN], const uint8_t *data, size_t len);
/* Send what can be sent now. */
void client_pump(struct client *c);
bool client_idle_out(const struct client *c);
void client_ping_data(uint8_t *to, const struct client_ping *p);

/* client_receive.c */
void client_receive(struct client *c);
/* StatSN of a response that takes one. */
void client_stat_sn(struct client *c, const union pdu *h);
void client_window_sn(struct client *c, const union pdu *h);

#endif
