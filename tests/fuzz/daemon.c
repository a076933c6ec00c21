/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "control/unit.h"
#include "reactor/bufpool.h"
#include "sam/scsi_cmd.h"
#include "sam/transaction.h"
#include "transport/iscsi/part.h"

#define DATA_MEMORY (2 * SLAB_SIZE) /* of a reactor: little, so that it runs out */
#define SHUTDOWN_GRACE_NS (2 * NSEC_PER_SEC)
#define SEND_NS (2 * NSEC_PER_SEC) /* without progress, then the rest is not sent */
#define STEPS_NS (50 * NSEC_PER_MSEC)
#define PIECES_MAX 48 /* that have steps between them */

struct tgtd tgtd;

/* ---- findings ------------------------------------------------------------------------- */

static void say_pool(struct reactor *r)
{
	struct bufpool_stats b;

	bufpool_stats(reactor_bufpool(r), &b);
	fprintf(stderr, "%s: %zu bytes used, %zu reserved\n", reactor_name(r), b.used, b.reserved);
}

void tgtd_wrong(const char *file, int line, const char *what)
{
	struct iscsi_live l;
	const struct target *t;
	const struct it_nexus *n;

	fflush(stdout);
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	iscsi_get_live(tgtd.c.iscsi, &l);
	fprintf(stderr,
		"%u connections, %u logins, %u sessions, %u tasks, %u commands, %u clients\n",
		(unsigned)l.connections, (unsigned)l.logins, (unsigned)l.sessions,
		(unsigned)l.tasks, (unsigned)cmd_live_count(), rpc_busy(tgtd.rpc));
	for (unsigned i = 0; i < TGTD_REACTORS; i++)
		say_pool(tgtd.data[i]);
	list_for_each(t, &tgtd.c.ts.all, link)
		list_for_each(n, &t->nexuses, target_link)
			fprintf(stderr, "target %u: nexus %u: state %d, %u commands, %u pending\n",
				t->tid, (unsigned)n->id, (int)n->state, n->ncmds, n->pending);
	abort();
}

/* ---- verbs ------------------------------------------------------------------------------ */

struct own_call {
	struct call call;
	json_t *response;
	bool answered;
};

static void answered(struct call *c, json_t *response)
{
	struct own_call *o = container_of(c, struct own_call, call);

	o->response = response;
	o->answered = true;
}

void tgtd_do(const char *method, const char *params)
{
	struct own_call o = {
		.call = { .ctx = &tgtd.c, .verbs = control_verbs, .answer = answered }
	};
	char line[512];
	int n = snprintf(line, sizeof(line),
			 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{%s}}", method,
			 params);

	tgtd_check(n > 0 && (size_t)n < sizeof(line));
	for (char *p = line; *p; p++)
		if (*p == '\'')
			*p = '"';
	sim_enter(tgtd.control);
	verb_dispatch(&o.call, line, (size_t)n);
	tgtd_until(o.answered);
	if (!json_object_get(o.response, "result"))
		tgtd_wrong(method, 0,
			   json_string_value(json_object_get(json_object_get(o.response, "error"),
							     "message")));
	json_decref(o.response);
}

/* ---- up --------------------------------------------------------------------------------- */

/* What the daemon logs is made, so that what it names must be there; nobody reads it. */
static void nobody_reads(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
	sim_say("  tgtd: %s", text);
}

static struct reactor *make_reactor(const char *name, unsigned id, size_t cap)
{
	struct reactor_opts o = { .name = name, .id = id, .engine = &engine_sim, .buf_cap = cap };
	struct reactor *r = reactor_create(&o, NULL);

	if (!r)
		abort();
	return r;
}

static void serve_iscsi(void)
{
	static const struct iscsi_opts opts = { .nop_interval = 30, .nop_count = 2 };

	tgtd.c.iscsi = iscsi_server_create(&tgtd.c.ts, &opts, NULL);
	if (!tgtd.c.iscsi)
		abort();
}

static void all_cleared(struct control *c)
{
	(void)c;
	tgtd.ended = true;
}

static void iscsi_stopped(void *arg)
{
	(void)arg;
	control_clear(&tgtd.c, 0, all_cleared);
}

/* As in main.c, but for the end of the process. */
static void begin_shutdown(struct control *c)
{
	if (tgtd.ending)
		return;
	tgtd.ending = true;
	c->ts.offline = true;
	iscsi_server_stop(c->iscsi, SHUTDOWN_GRACE_NS, iscsi_stopped, NULL);
}

void tgtd_begin(const struct verb *verbs)
{
	static const char *const names[TGTD_REACTORS] = { "data-0", "data-1" };

	if (tgtd.control)
		return;
	log_to(nobody_reads);
	sim_begin(1);
	sim_tracing = getenv("SIM_TRACE");
	if (sim_tracing)
		setlinebuf(stdout);
	tgtd.control = make_reactor("control", REACTORS_MAX, SLAB_SIZE);
	for (unsigned i = 0; i < TGTD_REACTORS; i++)
		tgtd.data[i] = make_reactor(names[i], i, DATA_MEMORY);
	tgtd.c.self = tgtd.control;
	tgtd.c.reactors = tgtd.data;
	tgtd.c.nreactors = TGTD_REACTORS;
	tgtd.c.shutdown = begin_shutdown;
	sim_enter(tgtd.control);
	if (control_init(&tgtd.c, NULL))
		abort();
	serve_iscsi();
	tgtd.rpc = rpc_start(tgtd.control, NULL, verbs, &tgtd.c, NULL, NULL);
	if (!tgtd.rpc)
		abort();
}

/* What is to happen later is not reached by steps: else a daemon with nothing to do would jump to its next timeout. */
static unsigned pauses, last_pause; /* that are to come; the number of the one that came last */

static void pause_came(void *arg)
{
	pauses--;
	last_pause = (unsigned)(uintptr_t)arg;
}

void tgtd_input(uint8_t chance)
{
	struct sim_faults *f = sim_faults();

	tgtd_until(!pauses);
	sim_reseed(chance);
	log_set_level(LOG_LEVEL_INFO);
	*f = (struct sim_faults){ 0 };
	if (chance & 0x80) {
		f->short_io = 30000;
		f->late_cancel = 30000;
	}
	if (chance & 0x40)
		f->sleepy = 3000;
	if ((chance & 0x30) == 0x30)
		f->no_buffers = 1000;
}

void tgtd_steps(unsigned n)
{
	static unsigned number;
	unsigned mine = ++number;

	pauses++;
	sim_after(STEPS_NS, pause_came, (void *)(uintptr_t)mine);
	while (n-- && last_pause != mine && sim_step())
		;
}

static void time_came(void *arg)
{
	*(bool *)arg = true;
}

void tgtd_wait(uint64_t ns)
{
	bool came = false;

	sim_after(ns, time_came, &came);
	while (!came)
		sim_step();
}

/* ---- between inputs ----------------------------------------------------------------------- */

static bool is_empty(void)
{
	const struct target *t;
	struct iscsi_live l;

	iscsi_get_live(tgtd.c.iscsi, &l);
	if (l.connections || l.sessions || l.tasks || l.logins || cmd_live_count() ||
	    rpc_busy(tgtd.rpc))
		return false;
	list_for_each(t, &tgtd.c.ts.all, link)
		if (!list_empty(&t->nexuses))
			return false;
	return true;
}

void tgtd_check_memory(void)
{
	const struct unit *u;

	for (unsigned i = 0; i < TGTD_REACTORS; i++) {
		struct bufpool_stats b;

		bufpool_stats(reactor_bufpool(tgtd.data[i]), &b);
		tgtd_check(!b.used && !b.reserved);
	}
	list_for_each(u, &tgtd.c.units, link) /* one that is removed may be flushing */
		tgtd_check(!u->store || u->removing || !store_inflight(u->store));
}

void tgtd_idle(void)
{
	*sim_faults() = (struct sim_faults){ 0 };
	tgtd_until(is_empty());
	tgtd_check_memory();
	for (unsigned i = 0; i < TGTD_REACTORS; i++)
		tgtd_check(!tgtd.c.ts.sessions[i]);
}

struct tidying {
	struct lu_tx tx;
	bool done;
};

/* On the home. */
static bool tidy_decide(struct lu_tx *tx)
{
	struct lu *lu = tx->lu;

	pr_fini(&lu->pr);
	lu->view.state = LU_READY;
	lu->view.mode = lu->view.default_mode;
	return true;
}

static void tidied(struct lu_tx *tx)
{
	container_of(tx, struct tidying, tx)->done = true;
}

void tgtd_tidy(void)
{
	struct unit *u;

	list_for_each(u, &tgtd.c.units, link) {
		struct tidying t = { .tx = { .decide = tidy_decide, .done = tidied } };

		sim_enter(tgtd.control);
		lu_tx_run(u->lu, &t.tx);
		tgtd_until(t.done);
	}
}

static void start_anew(void)
{
	iscsi_server_destroy(tgtd.c.iscsi);
	serve_iscsi();
	tgtd.ending = false;
}

void tgtd_clear(void)
{
	struct targets *ts = &tgtd.c.ts;
	const struct account *a;

	if (tgtd.ending) {
		tgtd_until(tgtd.ended);
		start_anew();
	}
	tgtd.ended = false;
	sim_enter(tgtd.control);
	control_clear(&tgtd.c, 0, all_cleared);
	tgtd_until(tgtd.ended);
	tgtd.ended = false;
	tgtd_check(list_empty(&ts->all) && list_empty(&tgtd.c.units) &&
		   list_empty(&tgtd.c.removals));
	while (!list_empty(&ts->accounts)) {
		a = list_entry(ts->accounts.next, struct account, link);
		tgtd_check(!account_remove(ts, a->user, NULL));
	}
	tgtd_check(list_empty(&ts->discovery_incoming) && !ts->discovery_outgoing);
	ts->offline = false;
	/* numbers that requests name */
	ts->next_nexus_id = 0;
	tgtd.c.next_unit = 0;
	tgtd.c.trace.dumps = 0;
}

/* ---- connections -------------------------------------------------------------------------- */

static void begin_peer(struct peer *p, int *fd)
{
	p->sp = sim_connect(fd, NULL, NULL);
	p->ended = false;
	p->in_len = 0;
}

void peer_connect(struct peer *p)
{
	int fd;

	begin_peer(p, &fd);
	sim_enter(tgtd.data[0]);
	conn_accepted(&tgtd.c.iscsi->part[0], fd);
}

void peer_connect_control(struct peer *p)
{
	int fd;

	begin_peer(p, &fd);
	sim_enter(tgtd.control);
	rpc_serve(tgtd.rpc, fd);
}

void peer_receive(struct peer *p)
{
	if (!p->sp)
		return;
	p->in_len += sim_peer_receive(p->sp, p->in + p->in_len, sizeof(p->in) - p->in_len);
	p->ended = sim_peer_ended(p->sp);
}

void peer_take(struct peer *p, size_t n)
{
	p->in_len -= n;
	memmove(p->in, p->in + n, p->in_len);
}

static void send_all(struct peer *p, const uint8_t *at, size_t len, void (*listen)(struct peer *p))
{
	uint64_t until = sim_now() + SEND_NS;

	for (;;) {
		size_t n = sim_peer_send(p->sp, at, len);

		at += n;
		len -= n;
		if (!len)
			return;
		if (n)
			until = sim_now() + SEND_NS;
		if (sim_now() > until || !sim_step())
			return;
		listen(p);
	}
}

void peer_send(struct peer *p, const void *data, size_t len, size_t piece,
	       void (*listen)(struct peer *p))
{
	const uint8_t *at = data;

	for (unsigned i = 0; p->sp && len && i < PIECES_MAX && piece; i++) {
		size_t n = min(len, piece);

		send_all(p, at, n, listen);
		at += n;
		len -= n;
		tgtd_steps(3);
		listen(p);
	}
	if (p->sp && len)
		send_all(p, at, len, listen);
}

void peer_leave(struct peer *p, bool reset)
{
	if (!p->sp)
		return;
	if (reset)
		sim_peer_reset(p->sp);
	else
		sim_peer_close(p->sp);
	p->sp = NULL;
}
