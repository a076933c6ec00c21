/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be observed of the daemon: one table of events. A trace record
 * (reactor/trace.h) and a USDT probe stgt:NAME are taken at the same spots;
 * docs/observability.md lists them, and a test holds the three together.
 *
 * A probe is a nop and a note in the ELF file (sys/sdt.h); its arguments are
 * computed whether or not somebody listens, so they are what is at hand.
 * Without sys/sdt.h at build time there are no probes, and all else is the same.
 */
#ifndef STGT_BASE_PROBE_H
#define STGT_BASE_PROBE_H

/*
 * The probe's name, the word for it in traces, how many arguments, which, when. sid: of the
 * I_T nexus; lu: the logical unit's id in the daemon; bytes unless said otherwise.
 */
/* clang-format off */
#define PROBES(P) \
	P(command__received, "received", 5, "sid, lu, tag, opcode, expected length", \
	  "logical unit and row of a command are known; it is in the hands of its task set") \
	P(command__enabled, "enabled", 6, "sid, lu, tag, opcode, lba, length as in the CDB", \
	  "the task set lets it run, every check is passed, its handler begins") \
	P(store__submit, "submit", 5, "lu, tag, verb, offset, length", \
	  "a request of the command goes to the store") \
	P(store__done, "done", 4, "lu, tag, verb, 0 or -errno", \
	  "the store has completed it") \
	P(command__done, "completed", 5, "sid, lu, tag, opcode, status", \
	  "the command's outcome is settled, by whatever road") \
	P(command__answered, "answered", 3, "sid, tag, status", \
	  "the transport has queued its status for sending") \
	P(connection__sent, "sent", 3, "connection, bytes, bytes still queued", \
	  "the kernel has taken a batch of answers") \
	P(connection__open, "open", 2, "connection, peer's address", \
	  "a connection was accepted, and logs in") \
	P(login__response, "login", 3, "connection, peer's address, status class and detail", \
	  "a Login Response is queued") \
	P(connection__close, "close", 3, "connection, peer's address, why (0: the peer)", \
	  "a connection begins to close") \
	P(nexus__start, "nexus", 4, "sid, tid, initiator's name, peer's address", \
	  "an I_T nexus takes commands from now on") \
	P(nexus__end, "nexus-end", 2, "sid, tid", \
	  "an I_T nexus has ended, with all its commands") \
	P(tmf__start, "tmf", 4, "sid, lu, function, referenced tag", \
	  "a task management function begins") \
	P(tmf__done, "tmf-done", 4, "sid, lu, function, response", \
	  "its response is known: what it aborted is drained")
/* clang-format on */

enum probe {
#define P(name, word, n, args, when) PROBE_##name,
	PROBES(P)
#undef P
		PROBE_COUNT
};

enum {
#define P(name, word, n, args, when) PROBE_ARGS_##name = n,
	PROBES(P)
#undef P
};

struct probe_row {
	const char *name, *word, *args, *when;
	unsigned nargs;
};
extern const struct probe_row probe_rows[PROBE_COUNT];

#define PROBE_NARGS(...) PROBE_NARGS_(__VA_ARGS__, 6, 5, 4, 3, 2, 1)
#define PROBE_NARGS_(a, b, c, d, e, f, n, ...) n

#ifdef HAVE_SDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define PROBES_BUILT 1
#define PROBE_FIRE(name, ...) STAP_PROBEV(stgt, name, __VA_ARGS__)
#else
#define PROBES_BUILT 0
#define PROBE_FIRE(name, ...) ((void)0)
#endif

/* PROBE(command__done, sid, ...): a name of the table with as many arguments as it says. */
#define PROBE(name, ...) \
	do { \
		_Static_assert(PROBE_NARGS(__VA_ARGS__) == PROBE_ARGS_##name, \
			       "arguments of probe " #name); \
		PROBE_FIRE(name, __VA_ARGS__); \
	} while (0)

#endif
