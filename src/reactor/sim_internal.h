/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the simulated host share. */
#ifndef STGT_REACTOR_SIM_INTERNAL_H
#define STGT_REACTOR_SIM_INTERNAL_H

#include "reactor/internal.h"
#include "reactor/sim.h"

#define SIM_FD_BASE (1 << 24) /* descriptors that the real host never gives */
#define SIM_FDS 4096

struct sim_sock;
struct sim_fd; /* an open file */

/* An operation that the simulated host has. */
struct sim_op {
	struct list link; /* in the host's list; io_op.link.next points here */
	struct timer timer; /* when it ends, or goes on */
	struct io_op *op;
	struct sim_sock *sock; /* NULL: an operation on a file */
	struct sim_fd *file;
	bool timed; /* a file operation always is; one on a socket once it can end */
	/* file operations */
	size_t pos, end; /* done so far, to be done: bytes */
	unsigned pieces; /* left */
	int fate; /* 0 or -errno, after `end` bytes */
	uint64_t mark; /* FDATASYNC: what was written before is meant */
};

/* Never fails, not even when the simulation refuses memory. */
void *sim_alloc(size_t size);

/* Usual durations, ns: mostly short, sometimes long. */
uint64_t sim_delay(void);
/* Fire @t in @ns. */
void sim_arm(struct timer *t, uint64_t ns, void (*fn)(struct timer *t));
void sim_disarm(struct timer *t);

/* The descriptor of @what, and back; NULL if it is none. */
int sim_fd_new(void *what, bool is_socket);
void *sim_fd_of(int fd, bool is_socket);
void sim_fd_free(int fd);

/* @so is over: its owner will be told, on its reactor. Frees @so. */
void sim_op_end(struct sim_op *so, int res);

/* Sockets: @so has been attached or may end now. False: the descriptor is bad. */
bool sim_sock_start(struct sim_op *so);
void sim_sock_cancel(struct sim_op *so);
void sim_sock_close(int fd);

/* The same for descriptors of the real host (sim_real.c). */
bool sim_real_start(struct sim_op *so);
void sim_real_cancel(struct sim_op *so);
static inline bool sim_is_real(int fd)
{
	return fd >= 0 && fd < SIM_FD_BASE;
}

bool sim_file_start(struct sim_op *so);
void sim_file_cancel(struct sim_op *so);
int sim_file_now(struct io_op *op, bool nowait);

#endif
