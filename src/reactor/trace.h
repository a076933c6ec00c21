/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traces: each reactor writes what happens on it (base/probe.h has the events) to a ring of its
 * own, which exists only while somebody traces or reads what was traced. While nobody does, an event
 * costs one predictable branch. No locks, no allocation: only the reactor's own thread touches its
 * ring; others ask by message.
 */
#ifndef STGT_REACTOR_TRACE_H
#define STGT_REACTOR_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/probe.h"
#include "reactor/reactor.h"

#define TRACE_RECORDS_MIN 64u
#define TRACE_RECORDS_MAX (1u << 20)
#define TRACE_NO_LUN 0xffff
#define TRACE_NO_OPCODE (-1)

/* One event: one cache line. The reactor and its trace know no SCSI: sam names what is in it. */
struct trace_rec {
	uint64_t at; /* ns, engine's clock; by trace_add() */
	uint64_t sid; /* the I_T nexus; 0: none */
	uint64_t tag; /* of the command; referenced by the function; or the connection */
	uint64_t where; /* LBA; or the offset in the store, bytes */
	uint64_t took; /* in: when the command was received, 0: not a command's; recorded: ns since then */
	uint32_t length; /* as where; bytes for connections and stores */
	uint32_t lu, tid; /* 0: none */
	int32_t code; /* verdict, errno, function, status: by the event */
	uint16_t lun; /* TRACE_NO_LUN: none, or not mapped */
	uint16_t op; /* op.index; 0: no row */
	int16_t opcode; /* TRACE_NO_OPCODE: no command's */
	uint8_t event; /* enum probe */
	uint8_t reactor; /* by trace_add() */
};
_Static_assert(sizeof(struct trace_rec) == 64, "a trace record is a cache line");

/* What is recorded: events that have all of these. Events without LUN or opcode do not match one. */
struct trace_filter {
	uint32_t tid; /* 0: any */
	int lun, opcode; /* -1: any */
	unsigned op; /* 0: any */
};

struct trace_ring;

/* Any thread. @records: TRACE_RECORDS_MIN to _MAX. NULL without memory. */
struct trace_ring *trace_ring_create(unsigned records, const struct trace_filter *f);
/* It is on no reactor any more, or its reactor ends. May be NULL. */
void trace_ring_destroy(struct trace_ring *ring);

/* ---- on the reactor's own thread ---- */

/* Reactors that record; private. Hidden: one load, in a library too. */
extern unsigned trace_users __attribute__((visibility("hidden")));

/* False almost always: ask before a record is made. */
static inline bool trace_on(void)
{
	return unlikely(__atomic_load_n(&trace_users, __ATOMIC_RELAXED));
}

/* Record @rec, with the time of now, if @r records and the filter lets it through. */
void trace_add(struct reactor *r, struct trace_rec *rec);

/* Record to @ring from now on; NULL: no more. Returns the former ring, which is the caller's. */
struct trace_ring *trace_set(struct reactor *r, struct trace_ring *ring);
/* Record no more; what is recorded can still be read. */
void trace_stop(struct reactor *r);

struct trace_counts {
	bool on;
	unsigned size, held; /* records: room, and how many can be read */
	uint64_t recorded; /* since trace_set(); those that were not held were overwritten */
};
void trace_get_counts(const struct reactor *r, struct trace_counts *c);
/* Copy the newest @most records that are held, oldest first; returns how many. */
unsigned trace_copy(const struct reactor *r, struct trace_rec *out, unsigned most);

#endif
