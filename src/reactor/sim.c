/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated host: time, chance, whose turn it is. */
#include "reactor/sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "reactor/sim_internal.h"

#define START_NS (1000 * NSEC_PER_SEC)
#define HOST_REACTORS (REACTORS_MAX + 1)

struct slot {
	void *what;
	bool is_socket;
};

static struct host {
	uint64_t now, random;
	struct sim_faults faults;
	struct timer_heap timers;
	struct list ops; /* sim_op.link */
	struct list jobs; /* offload.link */
	struct reactor *reactors[HOST_REACTORS];
	uint64_t asleep_until[HOST_REACTORS]; /* without a CPU */
	unsigned nreactors;
	/* A data reactor's turn: its allocations may fail. Compilers think that calloc() cannot look at it. */
	volatile bool refusing;
	struct slot fds[SIM_FDS];
	unsigned next_fd;
} host;

bool sim_tracing;

/* ---- chance ----------------------------------------------------------------------- */

/* splitmix64 */
uint64_t sim_random(void)
{
	uint64_t z = host.random += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void sim_reseed(uint64_t seed)
{
	host.random = seed * 0xd1342543de82ef95 + 1;
}

uint64_t sim_below(uint64_t n)
{
	return sim_random() % n;
}

bool sim_chance(unsigned n)
{
	return n && sim_below(100000) < n;
}

uint64_t sim_fingerprint(void)
{
	return host.random ^ host.now;
}

uint64_t sim_delay(void)
{
	uint64_t kind = sim_below(100);

	if (kind < 70)
		return 1000 + sim_below(50 * NSEC_PER_USEC);
	if (kind < 96)
		return sim_below(2 * NSEC_PER_MSEC);
	return sim_below(40 * NSEC_PER_MSEC);
}

bool sim_memory_refused(void)
{
	return host.refusing && sim_chance(host.faults.no_memory);
}

void *sim_alloc(size_t size)
{
	bool refusing = host.refusing;
	void *p;

	host.refusing = false;
	p = calloc(1, size);
	host.refusing = refusing;

	if (!p) {
		fprintf(stderr, "the simulator has no memory\n");
		abort();
	}
	return p;
}

/* ---- time ---------------------------------------------------------------------------- */

struct sim_faults *sim_faults(void)
{
	return &host.faults;
}

uint64_t sim_now(void)
{
	return host.now;
}

void sim_arm(struct timer *t, uint64_t ns, void (*fn)(struct timer *t))
{
	bool refusing = host.refusing;

	t->fn = fn;
	host.refusing = false;
	if (!timer_heap_set(&host.timers, t, host.now + ns))
		abort();
	host.refusing = refusing;
}

void sim_disarm(struct timer *t)
{
	timer_heap_remove(&host.timers, t);
}

struct after {
	struct timer timer;
	void (*fn)(void *arg);
	void *arg;
};

static void after_fired(struct timer *t)
{
	struct after *a = container_of(t, struct after, timer);
	void (*fn)(void *arg) = a->fn;
	void *arg = a->arg;

	free(a);
	fn(arg);
}

void sim_after(uint64_t ns, void (*fn)(void *arg), void *arg)
{
	struct after *a = sim_alloc(sizeof(*a));

	a->fn = fn;
	a->arg = arg;
	sim_arm(&a->timer, ns, after_fired);
}

void sim_say_always(const char *fmt, ...)
{
	va_list ap;

	printf("%11.6f ", (double)(host.now - START_NS) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- descriptors --------------------------------------------------------------------- */

int sim_fd_new(void *what, bool is_socket)
{
	for (unsigned i = 0; i < SIM_FDS; i++) {
		struct slot *s = &host.fds[host.next_fd++ % SIM_FDS];

		if (s->what)
			continue;
		*s = (struct slot){ what, is_socket };
		return SIM_FD_BASE + (int)(s - host.fds);
	}
	abort();
}

void *sim_fd_of(int fd, bool is_socket)
{
	struct slot *s;

	if (fd < SIM_FD_BASE || fd >= SIM_FD_BASE + SIM_FDS)
		return NULL;
	s = &host.fds[fd - SIM_FD_BASE];
	return s->is_socket == is_socket ? s->what : NULL;
}

void sim_fd_free(int fd)
{
	host.fds[fd - SIM_FD_BASE] = (struct slot){ 0 };
}

/* ---- operations ---------------------------------------------------------------------- */

void sim_op_end(struct sim_op *so, int res)
{
	struct io_op *op = so->op;

	list_del(&so->link);
	sim_disarm(&so->timer);
	io_complete(op->reactor, op, res);
	free(so);
}

static void start(struct reactor *r, struct io_op *op)
{
	struct sim_op *so = sim_alloc(sizeof(*so));

	so->op = op;
	list_add(&host.ops, &so->link);
	op->state = IO_ENGINE;
	op->link.next = &so->link; /* so that a cancel finds it */
	io_count(r, op);
	if (!(io_is_file(op)	    ? sim_file_start(so)
	      : sim_is_real(op->fd) ? sim_real_start(so)
				    : sim_sock_start(so)))
		sim_op_end(so, -EBADF);
}

static void start_queued(struct reactor *r)
{
	struct list *n;

	while ((n = list_pop(&r->queued)))
		start(r, list_entry(n, struct io_op, link));
	r->queued_files = 0;
}

static void engine_cancel(struct reactor *r, struct io_op *op)
{
	struct sim_op *so = container_of(op->link.next, struct sim_op, link);

	(void)r;
	if (io_is_file(op))
		sim_file_cancel(so);
	else if (sim_is_real(op->fd))
		sim_real_cancel(so);
	else
		sim_sock_cancel(so);
}

static int engine_io_now(struct reactor *r, struct io_op *op, bool nowait)
{
	int res = sim_file_now(op, nowait);

	/* so that the budgets of those who measure are spent at times */
	host.now += sim_below(100) ? sim_below(3000) : sim_below(4 * NSEC_PER_MSEC);
	if (res != -EAGAIN)
		io_count(r, op);
	return res;
}

/* ---- jobs: they run on this thread, when chance says ------------------------------------ */

struct job {
	struct list link;
	struct timer timer;
	struct offload *o;
	struct msg msg;
	bool ran;
};

static void job_tell(struct msg *m)
{
	struct job *j = container_of(m, struct job, msg);
	struct offload *o = j->o;

	list_del(&j->link);
	free(j);
	offload_finish(o);
}

static void job_fired(struct timer *t)
{
	struct job *j = container_of(t, struct job, timer);

	j->ran = true;
	j->o->run(j->o);
	reactor_post(j->o->reactor, &j->msg, job_tell);
}

static void engine_offload(struct reactor *r, struct offload *o)
{
	struct job *j = sim_alloc(sizeof(*j));

	(void)r;
	j->o = o;
	list_add(&host.jobs, &j->link);
	sim_arm(&j->timer, sim_delay(), job_fired);
}

static bool engine_offload_cancel(struct reactor *r, struct offload *o)
{
	struct job *j;

	(void)r;
	list_for_each(j, &host.jobs, link) {
		if (j->o != o || j->ran)
			continue;
		sim_disarm(&j->timer);
		list_del(&j->link);
		free(j);
		return true;
	}
	return false;
}

/* ---- the engine ------------------------------------------------------------------------- */

static int engine_init(struct reactor *r)
{
	if (host.nreactors == HOST_REACTORS)
		return -EMFILE;
	host.reactors[host.nreactors++] = r;
	return 0;
}

static void engine_fini(struct reactor *r)
{
	for (unsigned i = 0; i < host.nreactors; i++) {
		if (host.reactors[i] != r)
			continue;
		host.reactors[i] = host.reactors[--host.nreactors];
		host.asleep_until[i] = host.asleep_until[host.nreactors];
	}
}

static void engine_flush(struct reactor *r)
{
	start_queued(r);
	io_dispatch(r);
}

static void engine_wait(struct reactor *r, uint64_t ns)
{
	(void)ns; /* time passes in sim_step() */
	start_queued(r);
	stat_add(r, submits, 1);
	reactor_woke(r);
	io_dispatch(r);
}

static void engine_ring(struct reactor *r)
{
	(void)r; /* sim_step() looks at the mailboxes */
}

static uint64_t engine_now(struct reactor *r)
{
	(void)r;
	return host.now;
}

static void engine_close(struct reactor *r, int fd)
{
	(void)r;
	if (sim_is_real(fd))
		close(fd);
	else
		sim_sock_close(fd);
}

const struct engine engine_sim = {
	.name = "sim",
	.init = engine_init,
	.fini = engine_fini,
	.cancel = engine_cancel,
	.flush = engine_flush,
	.wait = engine_wait,
	.ring = engine_ring,
	.now = engine_now,
	.io_now = engine_io_now,
	.close = engine_close,
	.offload = engine_offload,
	.offload_cancel = engine_offload_cancel,
};

/* ---- steps ------------------------------------------------------------------------------- */

static bool has_work(const struct reactor *r)
{
	return !mailbox_empty(&r->mail) || !list_empty(&r->ready) || !list_empty(&r->queued) ||
	       !list_empty(&r->later[LATER_STORE]) || !list_empty(&r->later[LATER_SEND]) ||
	       timer_heap_due(&r->timers) <= host.now || bufpool_can_wake(r->pool);
}

/* One that can run, each with the same chance; -1 if none can. */
static int choose_reactor(void)
{
	int chosen = -1;
	unsigned n = 0;

	for (unsigned i = 0; i < host.nreactors; i++)
		if (host.asleep_until[i] <= host.now && has_work(host.reactors[i]) &&
		    !sim_below(++n))
			chosen = (int)i;
	return chosen;
}

static void take_turn(unsigned i)
{
	struct reactor *r = host.reactors[i];

	host.now += sim_below(5000);
	host.refusing = host.faults.no_memory && r->id < REACTORS_MAX;
	reactor_turn(r, 0);
	host.refusing = false;
	if (sim_chance(host.faults.sleepy))
		host.asleep_until[i] = host.now + sim_delay() * 4;
}

/* When the next thing happens by itself. */
static uint64_t next_time(void)
{
	uint64_t at = timer_heap_due(&host.timers);

	for (unsigned i = 0; i < host.nreactors; i++) {
		uint64_t due = timer_heap_due(&host.reactors[i]->timers);

		if (has_work(host.reactors[i]))
			due = 0;
		at = min(at, max(due, host.asleep_until[i]));
	}
	return at;
}

bool sim_step(void)
{
	int i = choose_reactor();
	struct timer *t;
	uint64_t at;

	if (i >= 0 && (timer_heap_due(&host.timers) > host.now || sim_below(2))) {
		take_turn((unsigned)i);
		return true;
	}
	at = next_time();
	if (at == UINT64_MAX)
		return false;
	host.now = max(host.now, at);
	t = timer_heap_pop(&host.timers, host.now);
	if (t)
		t->fn(t);
	return true;
}

void sim_enter(struct reactor *r)
{
	reactor_enter(r);
}

/* ---- life ---------------------------------------------------------------------------------- */

void sim_begin(uint64_t seed)
{
	memset(&host, 0, sizeof(host));
	host.now = START_NS;
	sim_reseed(seed);
	list_init(&host.ops);
	list_init(&host.jobs);
}

void sim_end(void)
{
	struct timer *t;

	while ((t = timer_heap_pop(&host.timers, UINT64_MAX - 1)))
		if (t->fn == after_fired)
			free(container_of(t, struct after, timer));
	timer_heap_fini(&host.timers);
	for (unsigned i = 0; i < SIM_FDS; i++)
		if (host.fds[i].what) {
			fprintf(stderr, "the simulation ends with descriptor %u open\n", i);
			abort();
		}
}
