/* SPDX-License-Identifier: BSD-2-Clause */
/* The part that all engines share: the queue, the ready list, counting, choosing. */
#include "reactor/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "reactor/internal.h"

void io_submit(struct reactor *r, struct io_op *op)
{
	op->reactor = r;
	op->state = IO_QUEUED;
	list_add(&r->queued, &op->link);
	if (io_is_file(op))
		r->queued_files++;
	r->queued_sends += op->verb == IO_SENDMSG;
	if (r->engine->submit)
		r->engine->submit(r, op);
}

void io_cancel(struct io_op *op)
{
	switch (op->state) {
	case IO_IDLE:
	case IO_READY:
		break;
	case IO_QUEUED:
		io_complete(op->reactor, op, -ECANCELED);
		break;
	default:
		op->reactor->engine->cancel(op->reactor, op);
	}
}

void io_forget(struct reactor *r, int fd)
{
	if (r->engine->forget)
		r->engine->forget(r, fd);
}

void io_close(struct reactor *r, int fd)
{
	io_forget(r, fd);
	if (r->engine->close)
		r->engine->close(r, fd);
	else
		close(fd);
}

int io_now(struct reactor *r, struct io_op *op, bool nowait)
{
	return r->engine->io_now(r, op, nowait);
}

void io_complete(struct reactor *r, struct io_op *op, int res)
{
	if (op->state == IO_QUEUED)
		list_del(&op->link);
	op->res = res;
	op->state = IO_READY;
	list_add(&r->ready, &op->link);
}

void io_dispatch(struct reactor *r)
{
	struct list batch = LIST_INIT(batch), *n;

	list_splice(&batch, &r->ready);
	while ((n = list_pop(&batch))) {
		struct io_op *op = list_entry(n, struct io_op, link);

		op->state = IO_IDLE;
		r->events++;
		r->doing = op;
		op->done(op, op->res);
	}
	r->doing = NULL;
}

void io_count(struct reactor *r, const struct io_op *op)
{
	switch (op->verb) {
	case IO_ACCEPT:
		stat_add(r, accepts, 1);
		break;
	case IO_RECVMSG:
		stat_add(r, recvs, 1);
		break;
	case IO_SENDMSG:
		stat_add(r, sends, 1);
		break;
	case IO_PREADV:
		stat_add(r, file_reads, 1);
		break;
	case IO_PWRITEV:
		stat_add(r, file_writes, 1);
		break;
	case IO_FDATASYNC:
	case IO_FALLOCATE:
		stat_add(r, file_syncs, 1);
		break;
	case IO_POLL:
		stat_add(r, polls, 1);
		break;
	}
}

static int vectored(const struct io_op *op, int more_flags)
{
	int flags = op->rw_flags | more_flags;
	ssize_t n;

	do {
		if (op->verb == IO_PREADV)
			n = preadv2(op->fd, op->iov, (int)op->iovcnt, (off_t)op->offset, flags);
		else
			n = pwritev2(op->fd, op->iov, (int)op->iovcnt, (off_t)op->offset, flags);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

int io_blocking(const struct io_op *op)
{
	int rc;

	switch (op->verb) {
	case IO_PREADV:
	case IO_PWRITEV:
		return vectored(op, 0);
	case IO_FDATASYNC:
		rc = fdatasync(op->fd);
		break;
	case IO_FALLOCATE:
		do
			rc = fallocate(op->fd, op->mode, (off_t)op->start, (off_t)op->length);
		while (rc < 0 && errno == EINTR);
		break;
	default:
		return -EINVAL;
	}
	return rc < 0 ? -errno : rc;
}

int io_send_now(struct reactor *r, const struct io_op *op)
{
	ssize_t n;

	io_count(r, op);
	do
		n = sendmsg(op->fd, op->msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

int io_now_syscall(struct reactor *r, struct io_op *op, bool nowait)
{
	int n;

	if (op->verb != IO_PREADV && op->verb != IO_PWRITEV)
		return -EINVAL;
	n = vectored(op, nowait ? RWF_NOWAIT : 0);
	if (n != -EAGAIN && n != -EOPNOTSUPP)
		io_count(r, op);
	return n;
}

uint64_t clock_monotonic(struct reactor *r)
{
	struct timespec ts;

	(void)r;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* --- choosing --- */

static const struct engine *const engines[] = { &engine_uring, &engine_epoll };

/*
 * The engine is tried for real, as often as there will be reactors (one more
 * for control): flags, limits and filters all have their say.
 */
static int try_engine(const struct engine *en)
{
	struct reactor probe[REACTORS_MAX + 1];
	unsigned want = reactor_default_count() + 1, n;
	int rc = 0;

	for (n = 0; n < want; n++) {
		probe[n] = (struct reactor){ .engine = en, .name = "probe" };
		rc = en->init(&probe[n]);
		if (rc < 0)
			break;
	}
	while (n--)
		en->fini(&probe[n]);
	return rc;
}

/* kernel.io_uring_disabled, 0 if the kernel has no such switch. */
static int uring_switched_off(void)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	char line[32];

	return f && fgets(line, sizeof(line), f) ? (int)strtol(line, NULL, 10) : 0;
}

static void explain(int rc, char *text, size_t room)
{
	int off = uring_switched_off();

	if (rc == -EPERM && off)
		snprintf(text, room, "it is switched off by sysctl kernel.io_uring_disabled = %d",
			 off);
	else if (rc == -EPERM || rc == -EACCES)
		snprintf(text, room, "it is refused (%s), probably by a seccomp filter",
			 strerror(-rc));
	else if (rc == -ENOSYS)
		snprintf(text, room, "this kernel has none, or a seccomp filter hides it");
	else if (rc == -EINVAL)
		snprintf(text, room, "this kernel is older than Linux 6.1");
	else if (rc == -ENOMEM)
		snprintf(text, room, "the limit of locked memory is too low (ulimit -l)");
	else
		snprintf(text, room, "%s", strerror(-rc));
}

static const struct engine *choose_best(struct err *e)
{
	char why[160];
	int rc = try_engine(&engine_uring);

	if (!rc)
		return &engine_uring;
	explain(rc, why, sizeof(why));
	log_info("using the epoll engine: io_uring cannot be used: %s", why);
	rc = try_engine(&engine_epoll);
	if (!rc)
		return &engine_epoll;
	err_set(e, rc, "no engine can run here: epoll: %s", strerror(-rc));
	return NULL;
}

const struct engine *engine_choose(const char *want, struct err *e)
{
	char why[160];

	if (!want || !strcmp(want, "auto"))
		return choose_best(e);
	for (size_t i = 0; i < array_size(engines); i++) {
		int rc;

		if (strcmp(engines[i]->name, want))
			continue;
		rc = try_engine(engines[i]);
		if (!rc)
			return engines[i];
		explain(rc, why, sizeof(why));
		err_set(e, rc, "engine %s cannot run here: %s; use --engine=epoll or auto", want,
			why);
		return NULL;
	}
	err_set(e, -EINVAL, "unknown engine '%.40s': known are auto, uring, epoll", want);
	return NULL;
}
