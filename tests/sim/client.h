/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An initiator inside the simulation: one session, one connection, over
 * reactor/sim.h. It holds the target to RFC 7143 as seen from the wire and
 * calls sim_violation() for whatever the target must not do: a second
 * response, a response to nobody, StatSN or windows that jump, data outside the
 * buffer or sent twice, R2Ts beyond MaxBurstLength, bad digests or padding,
 * residuals that do not fit, a reject without cause.
 *
 * Callbacks run between turns of the reactors and never inside a function of
 * this header. They may call any function of it but client_free().
 */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "reactor/sim.h"

/* The target broke a rule: print it with the seed and end the process. world.c */
__attribute__((noreturn, format(printf, 1, 2))) void sim_violation(const char *fmt, ...);
/* The position of the present moment in the order of everything that initiators saw and did; each call gives the next.
 * world.c */
uint64_t sim_moment(void);
/* Give a new connection's descriptor to the daemon, at once or soon. world.c */
void sim_world_accept(int fd);

struct client;

enum outcome {
	OUTCOME_NONE, /* not answered yet */
	OUTCOME_ANSWERED, /* with a status */
	OUTCOME_ABORTED, /* a task management function of this session covered it: no answer will come */
	OUTCOME_LOST, /* the session ended before its answer; it may still be executed until the target has ended it */
};

/* MaxOutstandingR2T that a client agrees to */
#define CLIENT_R2TS_MAX 8

/* A sequence of data-out: an R2T's, or the unsolicited one (TTT ffffffffh). */
struct client_burst {
	uint32_t ttt, offset, left, data_sn;
};

struct client_cmd {
	/* in; one of out_len and in_len is 0 */
	uint64_t lun; /* its eight bytes as a number: LUN 1 is 1 << 48 */
	uint8_t cdb[16];
	uint8_t attr; /* RFC 7143 11.3.1: 0 untagged, 1 simple, 2 ordered, 3 head of queue */
	bool immediate; /* an immediate command */
	const uint8_t *out; /* data out, valid until done */
	size_t out_len;
	uint8_t *in; /* room for data in, valid until done */
	size_t in_len;
	void (*done)(struct client_cmd *cmd);
	void *arg;
	/* out */
	enum outcome outcome;
	uint8_t status; /* SAM-6 5.3.1 */
	uint8_t key, asc, ascq; /* with CHECK CONDITION */
	uint8_t sense[252];
	unsigned sense_len;
	size_t got; /* data-in bytes that came, from the start of the buffer */
	/* sim_moment() when the command was put on the wire (0: never), and when done is called */
	uint64_t sent, answered;
	/* the client's own until done */
	struct client *client;
	struct list link;
	uint64_t ticket; /* order of submission */
	uint32_t itt, cmd_sn;
	bool on_wire;
	size_t out_sent; /* unsolicited and solicited */
	size_t r2t_offset; /* where the next R2T begins */
	uint32_t data_sn, r2t_sn;
	uint32_t in_burst; /* bytes of the Data-In sequence under way; 0 after its end */
	struct client_burst burst[CLIENT_R2TS_MAX + 1]; /* data-out that may be sent, in order */
	unsigned nbursts;
	struct list burst_link;
};

/* RFC 7143 11.5.1 */
enum client_function {
	CLIENT_ABORT_TASK = 1,
	CLIENT_ABORT_TASK_SET = 2,
	CLIENT_CLEAR_TASK_SET = 4,
	CLIENT_LU_RESET = 5,
	CLIENT_TARGET_WARM_RESET = 6,
};

struct client_tmf {
	/* in */
	enum client_function function;
	uint64_t lun;
	struct client_cmd *task; /* ABORT TASK: on the wire and not done */
	void (*done)(struct client_tmf *t);
	void *arg;
	/* out */
	enum outcome outcome; /* ANSWERED or LOST */
	uint8_t response; /* RFC 7143 11.6.1: 0 function complete, 1 task does not exist, ... */
	uint64_t sent, answered;
	/* the client's own until done */
	struct client *client;
	struct list link;
	uint64_t ticket;
	uint32_t itt, cmd_sn, ref_itt, ref_cmd_sn;
	bool on_wire, immediate;
};

/* The target has had no memory at times: it may reject what it has no memory for. */
extern bool client_may_be_rejected;

struct client_opts {
	const char *name; /* InitiatorName */
	const char *target; /* TargetName */
	uint16_t port; /* ISID qualifier: clients of one name with one port are one initiator port */
	bool digests; /* offer CRC32C for both, else None */
	/* at times it sends what RFC 7143 allows and nobody needs: NOP-Outs, text requests */
	bool chatty;
};

enum client_state {
	CLIENT_OUT, /* no connection */
	CLIENT_LOGGING_IN,
	CLIENT_IN, /* full feature phase */
	CLIENT_LEAVING, /* logout sent */
};

struct client *client_new(const struct client_opts *o);
/* In state CLIENT_OUT, nothing pending. */
void client_free(struct client *c);
enum client_state client_state(const struct client *c);

/*
 * Connect and log in with operational parameters chosen by chance (burst
 * lengths, segment lengths, ImmediateData, InitialR2T, MaxOutstandingR2T); @done
 * with 0, or Status-Class << 8 | Status-Detail, or -1 if the connection ended; unless 0 in state CLIENT_OUT
 * again. State CLIENT_OUT.
 */
void client_login(struct client *c, void (*done)(struct client *c, int status, void *arg),
		  void *arg);
/* How a session may end: politely; by closing or resetting the connection. Any time but CLIENT_OUT. */
void client_logout(struct client *c);
void client_drop(struct client *c, bool reset);
/*
 * Reset the connection after @bytes more bytes were sent: so a peer can die inside any PDU. The target is given
 * the time to read them. Until that many were sent nothing happens.
 */
void client_doom(struct client *c, size_t bytes);
/*
 * Called when a session that client_login() has reported with 0 has ended for whatever reason, in
 * state CLIENT_OUT, after every command's and function's done. Those are called in state
 * CLIENT_LEAVING.
 */
void client_on_end(struct client *c, void (*fn)(struct client *c, void *arg), void *arg);

/*
 * State CLIENT_IN, which does not change within. It goes on the wire when CmdSN window and
 * socket allow; in order of submission.
 */
void client_submit(struct client *c, struct client_cmd *cmd);
void client_manage(struct client *c, struct client_tmf *t);

/* Commands and functions that are not done. */
unsigned client_busy(const struct client *c);
/* The open window: MaxCmdSN - CmdSN + 1; the largest seen in this session. */
uint32_t client_window(const struct client *c);
uint32_t client_window_max(const struct client *c);

#endif
