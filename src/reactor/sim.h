/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The third engine: a simulated host. Several reactors are stepped by one
 * thread; time, sockets and files exist in memory only; a seed decides when
 * and in which order operations complete, which transfers are short, what
 * fails, and what survives a power cut. The same seed gives the same run.
 *
 * One simulation at a time; everything here is for its one thread. No program
 * of the product links it.
 */
#ifndef STGT_REACTOR_SIM_H
#define STGT_REACTOR_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/engine.h"
#include "reactor/reactor.h"

/* What may go wrong, each per 100,000. May be changed while it runs. */
struct sim_faults {
	unsigned short_io; /* a transfer moves less than it could */
	unsigned again; /* a read that must not wait would have to */
	unsigned late_cancel; /* a cancel comes too late: the operation ends as if nobody asked */
	unsigned stall; /* a file operation takes seconds */
	unsigned sleepy; /* a reactor gets no CPU for a while */
	unsigned read_error; /* EIO */
	unsigned write_error; /* EIO: what was written is any part of it */
	unsigned full; /* ENOSPC: likewise */
	unsigned sync_error; /* EIO: some of what was not stable never will be, and nobody says so again */
	unsigned no_buffers; /* ENOMEM of a socket operation or of a file read */
	unsigned no_memory; /* malloc() and its like fail, see sim_memory_refused() */
};

extern const struct engine engine_sim;

void sim_begin(uint64_t seed);
/* Every reactor is destroyed, every peer and file freed. */
void sim_end(void);

struct sim_faults *sim_faults(void);
/* Virtual time, ns; it starts at an arbitrary value. */
uint64_t sim_now(void);
/*
 * One step: a reactor that has work takes a turn, or the next thing happens
 * (an operation ends, bytes arrive, a timer is due). False: nothing will ever
 * happen by itself any more. Not from within a done or a callback.
 */
bool sim_step(void);
/* Act as @r's thread until the next step: to call what must be called there. */
void sim_enter(struct reactor *r);
/* Call @fn(@arg) in @ns from now, between turns. */
void sim_after(uint64_t ns, void (*fn)(void *arg), void *arg);

/* ---- chance: every decision of a run comes from here ------------------- */

uint64_t sim_random(void);
/* What is decided from now on follows from @seed, and from what there is. */
void sim_reseed(uint64_t seed);
/* 0 to @n - 1; @n is not 0. */
uint64_t sim_below(uint64_t n);
/* True in @n of 100,000 cases. */
bool sim_chance(unsigned n);
/* A number that two runs of one seed share exactly if they took the same way. */
uint64_t sim_fingerprint(void);

/* True if an allocation by the code that runs now shall fail: that of a data reactor's turn may. */
bool sim_memory_refused(void);

/* ---- what a reader of a failed run sees -------------------------------- */

extern bool sim_tracing;
__attribute__((format(printf, 1, 2))) void sim_say_always(const char *fmt, ...);
#define sim_say(...) \
	do { \
		if (__builtin_expect(sim_tracing, 0)) \
			sim_say_always(__VA_ARGS__); \
	} while (0)

/* ---- the network -------------------------------------------------------- */

/* The far end of a connection: the initiator's. */
struct sim_peer;

/* A new connection; the daemon's end is the descriptor *@fd. @changed(@arg), which may be NULL, is called when
 * bytes or the end arrive at the far end, and when there is room to send again. */
struct sim_peer *sim_connect(int *fd, void (*changed)(void *arg), void *arg);
/* Send; returns how much was taken, which may be less than @len or nothing while the pipe is full. */
size_t sim_peer_send(struct sim_peer *p, const void *data, size_t len);
/* Take at most @len bytes that have arrived. */
size_t sim_peer_receive(struct sim_peer *p, void *data, size_t len);
/* The daemon has closed, and everything it sent before has been received. */
bool sim_peer_ended(const struct sim_peer *p);
/* Bytes that may still be under way to the daemon. */
size_t sim_peer_unread(const struct sim_peer *p);
/* Send no more; what was sent arrives, then the stream's end. */
void sim_peer_shut(struct sim_peer *p);
/* Die: the daemon sees a reset, what is under way is lost. @p is freed. */
void sim_peer_reset(struct sim_peer *p);
/* Close politely and free @p: what was sent arrives. */
void sim_peer_close(struct sim_peer *p);

/* ---- files --------------------------------------------------------------- */

#define SIM_SECTOR 512u /* is written whole or not at all */

/* A file with a page cache over a medium. */
struct sim_file;

/* @size bytes of zeroes, all stable. */
struct sim_file *sim_file_create(uint64_t size);
void sim_file_free(struct sim_file *f);
uint64_t sim_file_size(const struct sim_file *f);
/* A descriptor for the engines; it is closed with sim_file_close(). */
int sim_file_open(struct sim_file *f);
void sim_file_close(int fd);
/* What reads would give now, past caches and faults. */
void sim_file_peek(const struct sim_file *f, void *data, size_t len, uint64_t offset);
/*
 * The power fails: a new file with what was stable and, of what was written
 * since, for each sector any one of its versions. @f itself goes on for those who still
 * have it open.
 */
struct sim_file *sim_file_cut(const struct sim_file *f);
/* Another file in the same state, stable or not: what is written to one from now on is not in the other. */
struct sim_file *sim_file_twin(const struct sim_file *f);
/* Writes and ranges that are not stable yet. */
size_t sim_file_dirty(const struct sim_file *f);

#endif
