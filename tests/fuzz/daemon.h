/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole daemon in the simulation (reactor/sim.h): the control reactor with
 * its verbs and its socket's server, two data reactors, the iSCSI server. It
 * lives from the first input to the last. Each input decides chance, and leaves nothing
 * behind: tgtd_idle() looks. Whatever is wrong aborts.
 */
#ifndef TESTS_FUZZ_DAEMON_H
#define TESTS_FUZZ_DAEMON_H

#include <jansson.h>

#include "control/control.h"
#include "control/rpc.h"
#include "input.h"
#include "reactor/sim.h"

#define TGTD_REACTORS 2

struct tgtd {
	struct reactor *control, *data[TGTD_REACTORS];
	struct control c;
	struct rpc_server *rpc;
	bool ending, ended; /* by the verb system.shutdown */
};
extern struct tgtd tgtd;

/* Say what there is, and abort. */
__attribute__((noreturn)) void tgtd_wrong(const char *file, int line, const char *what);
#define tgtd_check(cond) \
	do { \
		if (!(cond)) \
			tgtd_wrong(__FILE__, __LINE__, #cond); \
	} while (0)

/* Step until @cond, which must become true in @seconds of virtual time. */
#define tgtd_until_in(seconds, cond) \
	do { \
		uint64_t until_ns = sim_now() + (seconds)*NSEC_PER_SEC; \
		while (!(cond)) \
			tgtd_check(sim_now() <= until_ns && sim_step()); \
	} while (0)
#define tgtd_until(cond) tgtd_until_in(4000, cond)

/* Bring the daemon up, once. @verbs: those of its socket. */
void tgtd_begin(const struct verb *verbs);
/* A new input: @chance is the seed, and its upper bits say what goes wrong beside. */
void tgtd_input(uint8_t chance);
/* At most @n steps, which take little time; @ns of virtual time. */
void tgtd_steps(unsigned n);
void tgtd_wait(uint64_t ns);

/* Run a verb; @params is JSON with ' in place of ". It must succeed. */
void tgtd_do(const char *method, const char *params);

/* Every initiator and client has left: wait until their traces are gone, and look that they are. */
void tgtd_idle(void);
/* Nobody uses data memory or stores. */
void tgtd_check_memory(void);
/* Nobody is logged in: reservations, mode parameters and states of all units as they were made. */
void tgtd_tidy(void);
/* Remove every target and account. Ends what system.shutdown began; then there is a new server. */
void tgtd_clear(void);

/* ---- connections ---------------------------------------------------------------------- */

#define PEER_ROOM (600u << 10)

/* The far end of a connection of the data side or of the control socket. */
struct peer {
	struct sim_peer *sp; /* NULL: none */
	bool ended; /* by the daemon, and all it sent has been taken */
	uint8_t in[PEER_ROOM]; /* what came and was not taken */
	size_t in_len;
};

void peer_connect(struct peer *p);
void peer_connect_control(struct peer *p);
/* Receive what has arrived, as far as there is room. */
void peer_receive(struct peer *p);
/* Take the first @n bytes of p->in out. */
void peer_take(struct peer *p, size_t n);
/*
 * Send in pieces of @piece bytes (0: in one), with steps between the first ones; @listen(@p) is called
 * then. It may be cut short by the end of the connection, or a daemon that reads nothing.
 */
void peer_send(struct peer *p, const void *data, size_t len, size_t piece,
	       void (*listen)(struct peer *p));
/* The sizes that an input chooses from: 0, 1, 2, 4, ... */
static inline size_t peer_piece(unsigned choice)
{
	return choice & 15 ? 1u << ((choice & 15) - 1) : 0;
}
/* Go; @reset: as a host that dies. */
void peer_leave(struct peer *p, bool reset);

#endif
