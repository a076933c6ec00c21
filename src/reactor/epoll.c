/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The epoll engine: readiness, and system calls that do not wait. File
 * operations go to the offload threads, those that bypass the page cache to
 * the kernel's AIO.
 *
 * Descriptors are armed edge-triggered and stay armed. What epoll said last is
 * remembered (`readable`, `writable`), so a receive that is submitted again
 * after a short read costs no system call until data comes.
 *
 * A number may be closed and used again without our knowledge. So what is
 * remembered counts only while operations are pending on the descriptor, or if
 * the one that was last pending is submitted again by its own done; otherwise
 * the descriptor is looked at and armed as if new.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pool.h"
#include "base/sgl.h"
#include "reactor/aio.h"
#include "reactor/internal.h"

#define EVENTS_MAX 256
#define MORE_FDS 64

enum epoll_state {
	WAITS = IO_ENGINE, /* on one of its descriptor's lists */
	OFFLOADED, /* io_op.link unused; a struct job points to it */
};

/* What is known of a descriptor. */
struct ent {
	int fd;
	uint32_t armed; /* events that epoll was asked for; 0: none, or not known */
	bool known; /* epoll was asked once: try EPOLL_CTL_MOD first */
	bool readable, writable; /* no reason to expect EAGAIN */
	bool hung_up; /* end of stream or error: stays readable */
	bool drains; /* a short read means that nothing is left: TCP only */
	struct list in, out, polls; /* io_op.link */
	const struct io_op *last; /* left this descriptor without operations */
};

struct job {
	struct offload off;
	struct io_op *op;
	int res;
};

struct epoll {
	int fd, bell;
	struct ent **ent; /* by descriptor */
	unsigned ents;
	struct pool ent_pool, job_pool;
	bool coarse; /* no epoll_pwait2() here: whole milliseconds */
	struct aio *aio; /* NULL: nothing direct was submitted yet */
	bool no_aio; /* this host has none */
	struct epoll_event events[EVENTS_MAX];
};

static int epoll_init(struct reactor *r)
{
	/* Edge-triggered, so nobody has to read the eventfd to silence it. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };
	struct epoll *e = calloc(1, sizeof(*e));
	int rc;

	if (!e)
		return -ENOMEM;
	pool_init(&e->ent_pool, sizeof(struct ent), 0);
	pool_init(&e->job_pool, sizeof(struct job), 0);
	e->fd = epoll_create1(EPOLL_CLOEXEC);
	e->bell = e->fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->bell >= 0 && !epoll_ctl(e->fd, EPOLL_CTL_ADD, e->bell, &ev)) {
		r->eng = e;
		return 0;
	}
	rc = -errno;
	if (e->bell >= 0)
		close(e->bell);
	if (e->fd >= 0)
		close(e->fd);
	free(e);
	return rc;
}

static void epoll_fini(struct reactor *r)
{
	struct epoll *e = r->eng;

	aio_free(e->aio);
	close(e->fd);
	close(e->bell);
	pool_fini(&e->ent_pool);
	if (e->job_pool.live)
		log_warn("reactor %s ends with %u file operations under way; memory is left behind",
			 r->name, e->job_pool.live);
	else
		pool_fini(&e->job_pool);
	free(e->ent);
	free(e);
	r->eng = NULL;
}

/* --- descriptors --- */

static struct ent *new_ent(struct epoll *e, int fd)
{
	struct ent *en = pool_get(&e->ent_pool);

	if (!en)
		return NULL;
	*en = (struct ent){ .fd = fd };
	list_init(&en->in);
	list_init(&en->out);
	list_init(&en->polls);
	e->ent[fd] = en;
	return en;
}

static struct ent *ent_of(struct epoll *e, int fd)
{
	if ((unsigned)fd >= e->ents) {
		unsigned n = max(e->ents * 2, (unsigned)fd + MORE_FDS);
		struct ent **more = realloc(e->ent, n * sizeof(struct ent *));

		if (!more)
			return NULL;
		memset(more + e->ents, 0, (n - e->ents) * sizeof(struct ent *));
		e->ent = more;
		e->ents = n;
	}
	return e->ent[fd] ? e->ent[fd] : new_ent(e, fd);
}

static bool ent_idle(const struct ent *en)
{
	return list_empty(&en->in) && list_empty(&en->out) && list_empty(&en->polls);
}

/* Take what epoll said of @en for void: it may be another file by now. */
static void distrust(struct ent *en)
{
	int proto = 0;
	socklen_t n = sizeof(proto);

	en->armed = 0;
	en->readable = en->writable = true;
	en->hung_up = false;
	/*
	 * Other sockets end a read early for other reasons, as AF_UNIX does where
	 * credentials change.
	 */
	en->drains =
		!getsockopt(en->fd, SOL_SOCKET, SO_PROTOCOL, &proto, &n) && proto == IPPROTO_TCP;
}

/*
 * Ask epoll for @events besides what it was asked for. With @again even if it
 * was: it then looks at the descriptor's present state. 0 or -errno.
 */
static int arm(struct epoll *e, struct ent *en, uint32_t events, bool again)
{
	struct epoll_event ev = { .events = en->armed | events | EPOLLET, .data.ptr = en };
	int how = en->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if ((en->armed & events) == events && !again)
		return 0;
	if (epoll_ctl(e->fd, how, en->fd, &ev) < 0) {
		if (errno != ENOENT && errno != EEXIST)
			return -errno;
		how = how == EPOLL_CTL_MOD ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		if (epoll_ctl(e->fd, how, en->fd, &ev) < 0)
			return -errno;
	}
	en->known = true;
	en->armed |= events;
	return 0;
}

static void disarm(struct epoll *e, struct ent *en)
{
	if (en->known)
		epoll_ctl(e->fd, EPOLL_CTL_DEL, en->fd, NULL);
	en->known = false;
	en->armed = 0;
	en->last = NULL;
}

static void epoll_forget(struct reactor *r, int fd)
{
	struct epoll *e = r->eng;

	if (fd >= 0 && (unsigned)fd < e->ents && e->ent[fd])
		disarm(e, e->ent[fd]);
}

/* --- operations on sockets --- */

static void leave(struct reactor *r, struct ent *en, struct io_op *op, int res)
{
	list_del(&op->link);
	io_complete(r, op, res);
	if (ent_idle(en))
		en->last = res > 0 ? op : NULL;
}

static int try_op(struct reactor *r, const struct io_op *op)
{
	ssize_t n;

	if (op->verb == IO_SENDMSG)
		return io_send_now(r, op);
	io_count(r, op);
	do {
		if (op->verb == IO_ACCEPT)
			n = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		else
			n = recvmsg(op->fd, op->msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static bool was_short(const struct ent *en, const struct io_op *op, int res)
{
	return en->drains && !en->hung_up && op->verb == IO_RECVMSG && res > 0 &&
	       (size_t)res < sgl_length(op->msg->msg_iov, (unsigned)op->msg->msg_iovlen);
}

/* Do what the descriptor is ready for, in the order of submission. */
static void work(struct reactor *r, struct ent *en)
{
	struct io_op *op;
	int res;

	while (en->readable && (op = list_first(&en->in, struct io_op, link))) {
		res = try_op(r, op);
		if (res == -EAGAIN) {
			en->readable = false;
			break;
		}
		if (was_short(en, op, res))
			en->readable = false;
		leave(r, en, op, res);
	}
	while (en->writable && (op = list_first(&en->out, struct io_op, link))) {
		res = try_op(r, op);
		if (res == -EAGAIN)
			en->writable = false;
		else
			leave(r, en, op, res);
	}
}

/* accept4() itself must not wait, should the connection be gone or taken by another. */
static void make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static uint32_t wanted(const struct ent *en)
{
	uint32_t events = 0;
	const struct io_op *op;

	if (!list_empty(&en->in))
		events |= EPOLLIN | EPOLLRDHUP;
	if (!list_empty(&en->out))
		events |= EPOLLOUT;
	list_for_each(op, &en->polls, link)
		events |= op->events;
	return events;
}

/* EPERM: a file that is always ready, as poll(2) has it. */
static void fail_all(struct reactor *r, struct ent *en, int rc)
{
	struct io_op *op;

	while ((op = list_first(&en->polls, struct io_op, link)))
		leave(r, en, op, rc == -EPERM ? (int)op->events & (POLLIN | POLLOUT) : rc);
	while ((op = list_first(&en->in, struct io_op, link)))
		leave(r, en, op, rc);
	while ((op = list_first(&en->out, struct io_op, link)))
		leave(r, en, op, rc);
}

/* Only its own done can say that @op is about the same file as before. */
static void epoll_submit(struct reactor *r, struct io_op *op)
{
	struct epoll *e = r->eng;
	struct ent *en;

	if (r->doing == op || (unsigned)op->fd >= e->ents)
		return;
	en = e->ent[op->fd];
	if (en && en->last == op)
		en->last = NULL;
}

static void start(struct reactor *r, struct io_op *op)
{
	struct epoll *e = r->eng;
	struct ent *en = op->fd < 0 ? NULL : ent_of(e, op->fd);
	int rc = 0;

	if (!en) {
		io_complete(r, op, op->fd < 0 ? -EBADF : -ENOMEM);
		return;
	}
	list_del(&op->link);
	op->state = WAITS;
	if (ent_idle(en) && en->last != op) {
		distrust(en);
		if (op->verb == IO_ACCEPT)
			make_nonblocking(op->fd);
	}
	if (op->verb == IO_POLL) {
		list_add(&en->polls, &op->link);
		io_count(r, op);
	} else {
		list_add(op->verb == IO_SENDMSG ? &en->out : &en->in, &op->link);
		work(r, en);
	}
	if (!ent_idle(en))
		rc = arm(e, en, wanted(en), op->verb == IO_POLL);
	if (rc < 0)
		fail_all(r, en, rc);
}

/* --- operations on files --- */

static void job_run(struct offload *o)
{
	struct job *j = container_of(o, struct job, off);

	j->res = io_blocking(j->op);
}

static void job_done(struct offload *o)
{
	struct job *j = container_of(o, struct job, off);
	struct reactor *r = o->reactor;
	struct epoll *e = r->eng;
	struct io_op *op = j->op;

	io_complete(r, op, j->res);
	pool_put(&e->job_pool, j);
}

/* On a thread. */
static void start_job(struct reactor *r, struct io_op *op)
{
	struct epoll *e = r->eng;
	struct job *j = pool_get(&e->job_pool);

	if (!j) {
		io_complete(r, op, -ENOMEM);
		return;
	}
	/* So that a cancel finds the job. */
	op->link.next = &j->off.link;
	op->state = OFFLOADED;
	*j = (struct job){ .off = { .run = job_run, .done = job_done }, .op = op };
	/* One file that hangs must not take all threads. */
	j->off.owner = op->fd < 0 ? NULL : ent_of(e, op->fd);
	offload_submit(r, &j->off, OFFLOAD_IO);
}

/* Each counts against a limit of the host: only who has direct I/O to do makes one. */
static struct aio *aio_of(struct reactor *r)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };
	struct epoll *e = r->eng;
	int err;

	if (e->aio || e->no_aio)
		return e->aio;
	e->aio = aio_new(r, start_job, &err);
	if (e->aio && epoll_ctl(e->fd, EPOLL_CTL_ADD, aio_eventfd(e->aio), &ev)) {
		err = -errno;
		aio_free(e->aio);
		e->aio = NULL;
	}
	e->no_aio = !e->aio;
	if (e->no_aio)
		log_info("reactor %s: direct I/O goes through threads: io_setup: %s%s", r->name,
			 strerror(-err), err == -EAGAIN ? ", see sysctl fs.aio-max-nr" : "");
	return e->aio;
}

static void start_file(struct reactor *r, struct io_op *op)
{
	struct aio *a = op->direct ? aio_of(r) : NULL;

	list_del(&op->link);
	if (a && aio_take(a, op))
		return;
	io_count(r, op);
	start_job(r, op);
}

static void epoll_cancel(struct reactor *r, struct io_op *op)
{
	struct epoll *e = r->eng;
	struct job *j;

	if (op->state == IO_IN_AIO)
		return; /* the kernel takes nothing back */
	if (op->state == WAITS) {
		leave(r, e->ent[op->fd], op, -ECANCELED);
		return;
	}
	j = container_of(op->link.next, struct job, off.link);
	if (!offload_cancel(&j->off))
		return;
	io_complete(r, op, -ECANCELED);
	pool_put(&e->job_pool, j);
}

/* --- waiting --- */

static void start_queued(struct reactor *r)
{
	struct epoll *e = r->eng;
	struct list *n;

	while ((n = list_pop(&r->queued))) {
		struct io_op *op = list_entry(n, struct io_op, link);

		if (io_is_file(op))
			start_file(r, op);
		else
			start(r, op);
	}
	r->queued_files = 0;
	if (e->aio)
		aio_turn(e->aio);
}

static void epoll_flush(struct reactor *r)
{
	start_queued(r);
	io_dispatch(r);
}

static void polled(struct reactor *r, struct ent *en, uint32_t events)
{
	struct io_op *op, *tmp;

	list_for_each_safe(op, tmp, &en->polls, link) {
		uint32_t got = events & (op->events | EPOLLERR | EPOLLHUP);

		if (got)
			leave(r, en, op, (int)got);
	}
}

static void event(struct reactor *r, struct ent *en, uint32_t events)
{
	if (ent_idle(en)) {
		/* Closed with a duplicate left, moved away, or not read for now. */
		disarm(r->eng, en);
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		en->hung_up = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		en->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		en->writable = true;
	polled(r, en, events);
	work(r, en);
}

static int wait_events(struct epoll *e, uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_nsec = (long)(ns % NSEC_PER_SEC),
	};
	uint64_t ms = ns / NSEC_PER_MSEC + !!(ns % NSEC_PER_MSEC);
	int n;

	if (ns && ns != UINT64_MAX && !e->coarse) {
		n = epoll_pwait2(e->fd, e->events, EVENTS_MAX, &ts, NULL);
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		e->coarse = true;
	}
	return epoll_wait(e->fd, e->events, EVENTS_MAX,
			  ns == UINT64_MAX ? -1 : (int)min(ms, (uint64_t)INT32_MAX));
}

static void epoll_wait_turn(struct reactor *r, uint64_t ns)
{
	struct epoll *e = r->eng;
	int n;

	start_queued(r);
	if (!list_empty(&r->ready))
		ns = 0;
	stat_add(r, submits, 1);
	n = wait_events(e, ns);
	if (n < 0 && errno != EINTR)
		log_err("reactor %s: epoll: %s", r->name, strerror(errno));
	reactor_woke(r);
	for (int i = 0; i < n; i++)
		if (e->events[i].data.ptr)
			event(r, e->events[i].data.ptr, e->events[i].events);
	if (e->aio)
		aio_turn(e->aio);
	io_dispatch(r);
}

static void epoll_ring(struct reactor *r)
{
	struct epoll *e = r->eng;

	/* EAGAIN, the counter is full: cannot be reached by single steps. */
	if (eventfd_write(e->bell, 1) < 0)
		log_warn("reactor %s: doorbell: %s", r->name, strerror(errno));
}

const struct engine engine_epoll = {
	.name = "epoll",
	.init = epoll_init,
	.fini = epoll_fini,
	.submit = epoll_submit,
	.cancel = epoll_cancel,
	.flush = epoll_flush,
	.wait = epoll_wait_turn,
	.ring = epoll_ring,
	.now = clock_monotonic,
	.io_now = io_now_syscall,
	.send_now = io_send_now,
	.forget = epoll_forget,
};
