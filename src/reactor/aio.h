/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct I/O for the epoll engine: the kernel's AIO, whose completions ring an eventfd. Everything
 * on the reactor's thread. For src/reactor only.
 */
#ifndef STGT_REACTOR_AIO_H
#define STGT_REACTOR_AIO_H

#include "reactor/internal.h"

/* io_op.state of what is here, besides the epoll engine's own. */
#define IO_IN_AIO (IO_ENGINE + 8)

struct aio;

/* @refused takes over an operation that the kernel would not take, or that would have to wait. NULL and *@err: none. */
struct aio *aio_new(struct reactor *r, void (*refused)(struct reactor *r, struct io_op *op),
		    int *err);
/* Waits for what is under way. */
void aio_free(struct aio *a);
/* Readable (edge-triggered: need not be read) when something has completed. */
int aio_eventfd(const struct aio *a);
/* Take @op, which is on no list any more, into the batch. False: it is full, or this is not done here. */
bool aio_take(struct aio *a, struct io_op *op);
/* Push the batch, then complete what has ended. */
void aio_turn(struct aio *a);

#endif
