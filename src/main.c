/* SPDX-License-Identifier: BSD-2-Clause */
/* tgtd: options, threads up, wait, down. The main thread is the control reactor. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control.h"
#include "control/daemon.h"
#include "control/options.h"
#include "control/rpc.h"
#include "control/socket.h"
#include "reactor/bufpool.h"
#include "transport/iscsi/iscsi.h"
#include "transport/tcmu/tcmu.h"
#include "transport/vhost/vhost.h"

#define CONTROL_MEMORY SLAB_SIZE
#define GRACE_NS (2 * NSEC_PER_SEC) /* for sessions to log out */
#define DRAIN_NS (3 * NSEC_PER_SEC) /* for commands to end, with the grace */
#define FLUSH_NS (60 * NSEC_PER_SEC) /* for stores to flush and close, with both */
#define PORTALS_NS (2 * NSEC_PER_SEC) /* for the ports of a daemon that was killed to come free */
#define LOOK_NS (10 * NSEC_PER_MSEC)
#define REPLY_NS NSEC_PER_SEC /* for clients of the control socket to take their answers */

struct daemon {
	struct daemon_options opt;
	struct control control;
	struct reactor *self, *reactors[REACTORS_MAX];
	unsigned nreactors;
	struct rpc_server *rpc;
	int ready_fd; /* see daemon_ready() */
	int signal_fd;
	struct io_op signal_op;
	struct msg start_msg;
	struct timer deadline; /* of the end; before, for the next look at a portal */
	uint64_t flush_end, portals_end;
	unsigned portals_done;
	unsigned transports; /* that have not ended */
	bool stopping;
	int status; /* to exit with */
	struct err err; /* of start-up */
};

static void say(const struct err *e)
{
	fprintf(stderr, "tgtd: %s\n", e->text);
}

/* ---- the end --------------------------------------------------------------------------- */

static void all_cleared(struct control *c)
{
	reactor_stop(c->self);
}

/* The time for sessions is over: only stores that still make data safe are waited for. */
static void overdue(struct timer *t)
{
	struct daemon *d = container_of(t, struct daemon, deadline);

	if (control_stuck(&d->control)) {
		log_warn("sessions do not end, their commands are still with the stores: leaving "
			 "without them");
		_exit(0);
	}
	if (reactor_now(d->self) >= d->flush_end) {
		log_err("stores do not flush and close in time: leaving; data may be lost");
		_exit(1);
	}
	timer_arm(d->self, &d->deadline, LOOK_NS, overdue);
}

static void transport_stopped(void *arg)
{
	struct daemon *d = arg;

	if (!--d->transports)
		control_clear(&d->control, 0, all_cleared);
}

/* Ask every transport to end: transport_stopped() for each. */
static void stop_transports(struct daemon *d, uint64_t grace_ns, void (*stopped)(void *arg))
{
	struct control *c = &d->control;

	d->transports = !!c->iscsi + !!c->vhost + !!c->tcmu;
	if (c->iscsi)
		iscsi_server_stop(c->iscsi, grace_ns, stopped, d);
	if (c->vhost)
		vhost_server_stop(c->vhost, grace_ns, stopped, d);
	if (c->tcmu)
		tcmu_server_stop(c->tcmu, grace_ns, stopped, d);
}

static void begin_shutdown(struct control *c)
{
	struct daemon *d = container_of(c, struct daemon, control);

	if (d->stopping)
		return;
	d->stopping = true;
	log_info("ending: no more logins, sessions are asked to log out");
	service_notify("STOPPING=1");
	rpc_close(d->rpc);
	c->ts.offline = true;
	d->flush_end = reactor_now(d->self) + FLUSH_NS;
	timer_arm(d->self, &d->deadline, DRAIN_NS, overdue);
	stop_transports(d, GRACE_NS, transport_stopped);
}

/* ---- signals ----------------------------------------------------------------------------- */

static void wait_signal(struct daemon *d);

static void signalled(struct io_op *op, int res)
{
	struct daemon *d = container_of(op, struct daemon, signal_op);
	struct signalfd_siginfo si;

	if (res < 0)
		return;
	while (read(d->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			continue;
		if (d->stopping) {
			log_warn("a second signal: leaving at once");
			_exit(1);
		}
		log_info("signal %u", si.ssi_signo);
		begin_shutdown(&d->control);
	}
	wait_signal(d);
}

static void wait_signal(struct daemon *d)
{
	d->signal_op.verb = IO_POLL;
	d->signal_op.fd = d->signal_fd;
	d->signal_op.events = POLLIN;
	d->signal_op.done = signalled;
	io_submit(d->self, &d->signal_op);
}

/* Before any thread: all inherit the mask. 0, or -errno and @e. */
static int take_signals(struct daemon *d, struct err *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signal_fd < 0)
		return err_set(e, -errno, "cannot take signals: %s", strerror(errno));
	return 0;
}

/* ---- the start ------------------------------------------------------------------------------ */

static int create_reactors(struct daemon *d, struct err *e)
{
	const struct engine *engine = engine_choose(d->opt.engine, e);
	unsigned n = d->opt.reactors ? d->opt.reactors : reactor_default_count();
	struct reactor_opts o = {
		.name = "tgtd",
		.id = REACTORS_MAX,
		.engine = &engine_epoll,
		.buf_cap = CONTROL_MEMORY,
	};
	char name[16];

	if (!engine)
		return e->code;
	d->self = reactor_create(&o, e);
	if (!d->self)
		return e->code;
	n = (unsigned)min((uint64_t)n, d->opt.memory / SLAB_SIZE);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "tgtd-%u", i);
		o = (struct reactor_opts){
			.name = name,
			.id = i,
			.engine = engine,
			.poll_us = d->opt.poll_us,
			.buf_cap = d->opt.memory / n,
		};
		d->reactors[i] = reactor_create(&o, e);
		if (!d->reactors[i])
			return e->code;
		d->nreactors++;
	}
	return 0;
}

static int start_reactors(struct daemon *d, struct err *e)
{
	for (unsigned i = 0; i < d->nreactors; i++)
		if (reactor_start(d->reactors[i], e))
			return e->code;
	return 0;
}

static int start_control(struct daemon *d, struct err *e)
{
	struct iscsi_opts io = {
		.login_timeout = d->opt.login_timeout,
		.nop_interval = d->opt.nop_interval,
		.nop_count = d->opt.nop_count,
	};
	char path[CONTROL_PATH_MAX];

	if (control_socket_path(path, sizeof(path), d->opt.control_port, e) ||
	    control_init(&d->control, e))
		return e->code;
	/* the lock first: a second daemon learns that it is one, not that a port is taken */
	d->rpc = rpc_start(d->self, path, control_verbs, &d->control, NULL, e);
	if (!d->rpc)
		return e->code;
	d->control.iscsi = iscsi_server_create(&d->control.ts, &io, e);
	if (d->control.iscsi)
		d->control.vhost = vhost_server_create(&d->control.ts, e);
	if (d->control.vhost)
		d->control.tcmu = tcmu_server_create(&d->control.ts, &(struct tcmu_opts){ 0 }, e);
	return d->control.tcmu ? 0 : e->code;
}

static void ready(struct daemon *d)
{
	if (d->opt.pid_file && pid_file_write(d->opt.pid_file, &d->err)) {
		d->status = 1;
		reactor_stop(d->self);
		return;
	}
	wait_signal(d);
	log_info("tgtd " STGT_VERSION ": %u reactor%s on %s, %llu MiB of data memory, control port "
		 "%u",
		 d->nreactors, d->nreactors == 1 ? "" : "s", reactor_engine(d->reactors[0])->name,
		 (unsigned long long)(d->opt.memory >> 20), d->opt.control_port);
	service_notify("READY=1");
	daemon_ready(d->ready_fd);
}

/*
 * A daemon that was killed holds its ports a little longer: the kernel lets
 * go of what its rings had under way in the background.
 */
static bool may_come_free(const struct daemon *d)
{
	return d->err.code == -EADDRINUSE && rpc_took_over(d->rpc) &&
	       reactor_now(d->self) < d->portals_end;
}

static void add_portals(struct timer *t)
{
	static char *const everywhere[] = { ":3260" };
	struct daemon *d = container_of(t, struct daemon, deadline);
	char *const *portals = d->opt.nportals ? d->opt.portals : everywhere;
	unsigned n = d->opt.nportals ? d->opt.nportals : 1;

	for (; d->portals_done < n; d->portals_done++) {
		if (!iscsi_portal_add(d->control.iscsi, portals[d->portals_done], &d->err))
			continue;
		if (may_come_free(d)) {
			timer_arm(d->self, &d->deadline, LOOK_NS, add_portals);
			return;
		}
		d->status = 1;
		reactor_stop(d->self);
		return;
	}
	ready(d);
}

/* On the control reactor, first of all. */
static void start(struct msg *m)
{
	struct daemon *d = container_of(m, struct daemon, start_msg);

	if (start_reactors(d, &d->err) || start_control(d, &d->err)) {
		d->status = 1;
		reactor_stop(d->self);
		return;
	}
	d->portals_end = reactor_now(d->self) + PORTALS_NS;
	add_portals(&d->deadline);
}

/* ---- down -------------------------------------------------------------------------------------- */

static void end_rpc(struct daemon *d)
{
	uint64_t end = reactor_now(d->self) + REPLY_NS;

	if (!d->rpc)
		return;
	rpc_close(d->rpc);
	rpc_drain(d->rpc);
	while (rpc_busy(d->rpc) && reactor_now(d->self) < end)
		reactor_turn(d->self, 10 * NSEC_PER_MSEC);
	rpc_cut(d->rpc);
	while (rpc_busy(d->rpc))
		reactor_turn(d->self, 10 * NSEC_PER_MSEC);
	rpc_free(d->rpc);
}

static void failed_transport_stopped(void *arg)
{
	((struct daemon *)arg)->transports--;
}

/* A start that failed has portals at most, and nobody is logged in. */
static void undo_transports(struct daemon *d)
{
	stop_transports(d, 0, failed_transport_stopped);
	while (d->transports)
		reactor_turn(d->self, 10 * NSEC_PER_MSEC);
}

static void destroy_transports(struct control *c)
{
	if (c->tcmu)
		tcmu_server_destroy(c->tcmu);
	if (c->vhost)
		vhost_server_destroy(c->vhost);
	if (c->iscsi)
		iscsi_server_destroy(c->iscsi);
}

static void down(struct daemon *d)
{
	if (d->self && d->status)
		undo_transports(d);
	if (d->self)
		end_rpc(d);
	if (d->signal_fd >= 0) {
		if (io_pending(&d->signal_op))
			io_cancel(&d->signal_op);
		while (io_pending(&d->signal_op))
			reactor_turn(d->self, NSEC_PER_MSEC);
		close(d->signal_fd);
	}
	for (unsigned i = 0; i < d->nreactors; i++)
		reactor_join(d->reactors[i]);
	for (unsigned i = 0; i < d->nreactors; i++)
		reactor_destroy(d->reactors[i]);
	destroy_transports(&d->control);
	if (d->control.ts.control)
		control_fini(&d->control);
	if (d->self)
		reactor_destroy(d->self);
	offload_shutdown();
	if (d->opt.pid_file && !d->status)
		unlink(d->opt.pid_file);
	daemon_options_free(&d->opt);
}

static enum log_sink log_sink_of(const struct daemon_options *o)
{
	if (!o->foreground)
		return LOG_SINK_SYSLOG;
	return stderr_is_journal() ? LOG_SINK_JOURNAL : LOG_SINK_STDERR;
}

static int run(struct daemon *d)
{
	struct err *e = &d->err;

	log_open(log_sink_of(&d->opt));
	log_set_level(d->opt.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	daemon_limits();
	if (take_signals(d, e) || create_reactors(d, e)) {
		d->status = 1;
	} else {
		d->control.self = d->self;
		d->control.reactors = d->reactors;
		d->control.nreactors = d->nreactors;
		d->control.shutdown = begin_shutdown;
		reactor_post(d->self, &d->start_msg, start);
		reactor_run(d->self);
	}
	if (d->status)
		say(e);
	down(d);
	return d->status;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct err e;
	int status;

	d.ready_fd = d.signal_fd = -1;
	if (daemon_options_parse(&d.opt, argc, argv, &e)) {
		say(&e);
		fputs("Try `tgtd --help' for more information.\n", stderr);
		daemon_options_free(&d.opt);
		return 1;
	}
	if (d.opt.action != OPTIONS_RUN) {
		fputs(d.opt.action == OPTIONS_HELP ? daemon_help : STGT_VERSION "\n", stdout);
		daemon_options_free(&d.opt);
		return 0;
	}
	if (!d.opt.foreground && !d.opt.no_daemon) {
		int which = daemon_start(&d.ready_fd, &status, &e);

		if (which < 0)
			say(&e);
		if (which)
			return which < 0 ? 1 : status;
	}
	status = run(&d);
	if (!status)
		log_info("ended");
	return status;
}
