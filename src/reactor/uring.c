/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring engine. One floor: SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1),
 * so completions are made when this thread asks for them, and by it. The ring
 * is made disabled, and enabled by the thread that runs it: the kernel binds
 * it to that thread.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "reactor/internal.h"

/*
 * Kernels of late charge the rings to the user's limit of locked memory, all
 * reactors together, unless the process has CAP_IPC_LOCK: a ring of the first
 * size is 36 KiB, of the second 8 KiB, which is the least there is.
 */
static const struct size {
	unsigned sq, cq;
} plenty = { 256, 1024 }, scarce = { 64, 128 };
/* From this limit on there is no need to save, bytes. */
#define PLENTY_MEMLOCK (1u << 20)
/* Closed rings are taken off the account with a delay: of a former process too. */
#define TRIES 20
#define TRY_AGAIN_MS 10

#define RING_FLAGS \
	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED | \
	 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE)

/* user_data of what is no io_op */
#define UD_IGNORE 0
#define UD_BELL 1

enum uring_state {
	IN_KERNEL = IO_ENGINE,
	CANCEL_WANTED, /* in the kernel, and on uring.cancels */
	CANCEL_SENT,
};

struct uring {
	struct io_uring ring;
	bool enabled;
	struct list cancels; /* io_op.link, which is free while the kernel has the operation */
	unsigned inflight; /* without the bell */
	int bell; /* eventfd */
	bool bell_armed;
	uint64_t bell_count; /* what the armed read of the bell writes to */
};

static bool has_ipc_lock(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { { 0 } };

	return !syscall(SYS_capget, &head, caps) && caps[0].effective & 1u << CAP_IPC_LOCK;
}

static bool memlock_is_plenty(void)
{
	struct rlimit l;

	return has_ipc_lock() || (!getrlimit(RLIMIT_MEMLOCK, &l) && l.rlim_cur >= PLENTY_MEMLOCK);
}

static int make_ring(struct io_uring *ring, const struct size *size)
{
	struct io_uring_params p = { .flags = RING_FLAGS, .cq_entries = size->cq };

	return io_uring_queue_init_params(size->sq, ring, &p);
}

static int make_ring_that_fits(struct io_uring *ring)
{
	const struct timespec pause = { .tv_nsec = TRY_AGAIN_MS * 1000000l };
	int rc = memlock_is_plenty() ? make_ring(ring, &plenty) : -ENOMEM;

	for (int i = 0; rc == -ENOMEM && i < TRIES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		rc = make_ring(ring, &scarce);
	}
	return rc;
}

static int uring_init(struct reactor *r)
{
	struct uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	list_init(&u->cancels);
	rc = make_ring_that_fits(&u->ring);
	if (rc < 0)
		goto fail;
	/* Without O_NONBLOCK: the armed read must wait, not fail. */
	u->bell = eventfd(0, EFD_CLOEXEC);
	if (u->bell < 0) {
		rc = -errno;
		io_uring_queue_exit(&u->ring);
		goto fail;
	}
	r->eng = u;
	return 0;
fail:
	free(u);
	return rc;
}

static void uring_fini(struct reactor *r)
{
	struct io_uring_sync_cancel_reg all = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
		.timeout = { .tv_sec = 1 },
	};
	struct uring *u = r->eng;

	if (u->inflight)
		log_warn("reactor %s ends with %u operations under way", r->name, u->inflight);
	/*
	 * Closing the ring cancels later, when the memory may be used again. If the thread
	 * that ran the ring is gone, its exit has cancelled all, and this fails: no matter.
	 */
	if (u->enabled)
		io_uring_register_sync_cancel(&u->ring, &all);
	io_uring_queue_exit(&u->ring);
	close(u->bell);
	free(u);
	r->eng = NULL;
}

static void count_call(struct reactor *r)
{
	stat_add(r, submits, 1);
}

/* An empty entry, making room if need be. NULL if the kernel takes nothing now. */
static struct io_uring_sqe *next_sqe(struct reactor *r)
{
	struct uring *u = r->eng;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe)
		return sqe;
	count_call(r);
	io_uring_submit(&u->ring);
	return io_uring_get_sqe(&u->ring);
}

static void prepare(struct io_uring_sqe *sqe, struct io_op *op)
{
	switch (op->verb) {
	case IO_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	case IO_RECVMSG:
		io_uring_prep_recvmsg(sqe, op->fd, op->msg, 0);
		/* it is armed when all that was there has been taken: a first try finds nothing */
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
		break;
	case IO_SENDMSG:
		io_uring_prep_sendmsg(sqe, op->fd, op->msg, MSG_NOSIGNAL);
		break;
	case IO_PREADV:
		io_uring_prep_readv2(sqe, op->fd, op->iov, op->iovcnt, op->offset, op->rw_flags);
		break;
	case IO_PWRITEV:
		io_uring_prep_writev2(sqe, op->fd, op->iov, op->iovcnt, op->offset, op->rw_flags);
		break;
	case IO_FDATASYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_FALLOCATE:
		io_uring_prep_fallocate(sqe, op->fd, op->mode, (off_t)op->start, (off_t)op->length);
		break;
	case IO_POLL:
		io_uring_prep_poll_add(sqe, op->fd, op->events);
		break;
	}
}

/* Before each sleep; false if the kernel takes nothing now. */
static bool arm_bell(struct reactor *r)
{
	struct uring *u = r->eng;
	struct io_uring_sqe *sqe;

	if (u->bell_armed)
		return true;
	sqe = next_sqe(r);
	if (!sqe)
		return false;
	io_uring_prep_read(sqe, u->bell, &u->bell_count, sizeof(u->bell_count), 0);
	io_uring_sqe_set_data64(sqe, UD_BELL);
	u->bell_armed = true;
	return true;
}

/*
 * Cancels go before the operations of this batch: should the owner of one use
 * it again, the old cancel cannot meet the new submission.
 */
static void fill_cancels(struct reactor *r)
{
	struct uring *u = r->eng;
	struct io_uring_sqe *sqe;

	while (!list_empty(&u->cancels) && (sqe = next_sqe(r))) {
		struct io_op *op = list_first(&u->cancels, struct io_op, link);

		list_del(&op->link);
		op->state = CANCEL_SENT;
		io_uring_prep_cancel(sqe, op, 0);
		io_uring_sqe_set_data64(sqe, UD_IGNORE);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	}
}

/* Move what is queued to the submission ring. False if some had to stay. */
static bool fill(struct reactor *r)
{
	struct uring *u = r->eng;
	struct io_uring_sqe *sqe;

	fill_cancels(r);
	while (!list_empty(&r->queued)) {
		struct io_op *op = list_first(&r->queued, struct io_op, link);

		sqe = next_sqe(r);
		if (!sqe)
			return false;
		list_del(&op->link);
		prepare(sqe, op);
		io_uring_sqe_set_data(sqe, op);
		op->state = IN_KERNEL;
		u->inflight++;
		io_count(r, op);
	}
	r->queued_files = 0;
	return list_empty(&u->cancels);
}

static void finish(struct reactor *r, const struct io_uring_cqe *cqe)
{
	struct uring *u = r->eng;
	struct io_op *op;

	if (cqe->user_data == UD_IGNORE)
		return;
	if (cqe->user_data == UD_BELL) {
		u->bell_armed = false;
		return;
	}
	op = io_uring_cqe_get_data(cqe);
	if (op->state == CANCEL_WANTED)
		list_del(&op->link);
	u->inflight--;
	io_complete(r, op, cqe->res);
}

static void reap(struct reactor *r)
{
	struct uring *u = r->eng;
	struct io_uring_cqe *cqe;
	unsigned head, n;

	for (;;) {
		n = 0;
		io_uring_for_each_cqe(&u->ring, head, cqe)
		{
			finish(r, cqe);
			n++;
		}
		io_uring_cq_advance(&u->ring, n);
		if (!io_uring_cq_has_overflow(&u->ring))
			break;
		/* More completions than the ring has room for: the kernel kept them. */
		count_call(r);
		if (io_uring_get_events(&u->ring) < 0 && !n)
			break;
	}
}

static void enable(struct reactor *r)
{
	struct uring *u = r->eng;
	int rc;

	if (u->enabled)
		return;
	/* liburing 2.3 forgot to export io_uring_enable_rings(). */
	rc = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc < 0)
		log_err("reactor %s: io_uring cannot be enabled: %s", r->name, strerror(-rc));
	/* Saves counting references in each call; if it fails, so be it. */
	io_uring_register_ring_fd(&u->ring);
	u->enabled = true;
}

static int enter(struct uring *u, uint64_t ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(ns / NSEC_PER_SEC),
		.tv_nsec = (long long)(ns % NSEC_PER_SEC),
	};
	struct io_uring_cqe *cqe;

	if (!ns)
		return io_uring_submit_and_get_events(&u->ring);
	if (ns == UINT64_MAX)
		return io_uring_submit_and_wait(&u->ring, 1);
	return io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
}

/* EBUSY and EAGAIN: the kernel is short of room; the next round submits the rest. */
static void check(struct reactor *r, int rc)
{
	if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN)
		log_err("reactor %s: io_uring_enter: %s", r->name, strerror(-rc));
}

static void uring_flush(struct reactor *r)
{
	struct uring *u = r->eng;

	enable(r);
	fill(r);
	if (io_uring_sq_ready(&u->ring)) {
		count_call(r);
		check(r, io_uring_submit_and_get_events(&u->ring));
	}
	reap(r);
	io_dispatch(r);
}

static void uring_wait(struct reactor *r, uint64_t ns)
{
	struct uring *u = r->eng;

	enable(r);
	if (!fill(r) || !list_empty(&r->ready) || (ns && !arm_bell(r)))
		ns = 0;
	count_call(r);
	check(r, enter(u, ns));
	reactor_woke(r);
	reap(r);
	io_dispatch(r);
}

static void uring_cancel(struct reactor *r, struct io_op *op)
{
	struct uring *u = r->eng;

	if (op->state != IN_KERNEL)
		return;
	op->state = CANCEL_WANTED;
	list_add(&u->cancels, &op->link);
}

static void uring_ring(struct reactor *r)
{
	struct uring *u = r->eng;

	/* It fails only when the counter is full; then the reader is awake anyway. */
	if (eventfd_write(u->bell, 1) < 0)
		log_warn("reactor %s: doorbell: %s", r->name, strerror(errno));
}

const struct engine engine_uring = {
	.name = "uring",
	.init = uring_init,
	.fini = uring_fini,
	.cancel = uring_cancel,
	.flush = uring_flush,
	.wait = uring_wait,
	.ring = uring_ring,
	.now = clock_monotonic,
	.io_now = io_now_syscall,
	.send_now = io_send_now,
	.batches = true,
};
