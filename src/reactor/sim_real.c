/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of the real host in the simulation: sockets and eventfds whose far end the test itself holds, because
 * what they carry (descriptors, shared memory) cannot be simulated. They are looked at now and then in virtual time;
 * what is ready ends its operation. A simulation that waits for one is never idle.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/bits.h"
#include "reactor/sim_internal.h"

#define LOOK_FIRST_NS (20 * NSEC_PER_USEC)
#define LOOK_LAST_NS (50 * NSEC_PER_MSEC)

static int polled(const struct io_op *op)
{
	struct pollfd p = { .fd = op->fd, .events = (short)op->events };
	int n = poll(&p, 1, 0);

	return n < 0 ? -errno : n ? p.revents : -EAGAIN;
}

/* Its result, -EAGAIN: not yet. */
static int try_now(const struct io_op *op)
{
	ssize_t n;

	switch (op->verb) {
	case IO_POLL:
		return polled(op);
	case IO_RECVMSG:
		n = recvmsg(op->fd, op->msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		break;
	case IO_SENDMSG:
		n = sendmsg(op->fd, op->msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case IO_ACCEPT:
		n = polled(&(struct io_op){ .fd = op->fd, .events = POLLIN });
		if (n > 0)
			n = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		else if (n < 0)
			return (int)n;
		break;
	default:
		return -EBADF;
	}
	return n < 0 ? -errno : (int)n;
}

static void look(struct timer *t)
{
	struct sim_op *so = container_of(t, struct sim_op, timer);
	int res = try_now(so->op);

	if (res != -EAGAIN) {
		sim_op_end(so, res);
		return;
	}
	so->pos = min(so->pos * 2, (size_t)LOOK_LAST_NS);
	sim_arm(&so->timer, so->pos, look);
}

bool sim_real_start(struct sim_op *so)
{
	if (fcntl(so->op->fd, F_GETFD) < 0)
		return false;
	so->pos = LOOK_FIRST_NS;
	sim_arm(&so->timer, sim_delay() / 4, look);
	return true;
}

/* What was ready all the same is told. */
static void cancelled(struct timer *t)
{
	struct sim_op *so = container_of(t, struct sim_op, timer);
	int res = sim_chance(sim_faults()->late_cancel) ? try_now(so->op) : -EAGAIN;

	sim_op_end(so, res == -EAGAIN ? -ECANCELED : res);
}

void sim_real_cancel(struct sim_op *so)
{
	sim_arm(&so->timer, sim_delay() / 4, cancelled);
}
