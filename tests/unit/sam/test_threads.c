/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same rules with real threads: initiators log in and out on two
 * reactors, run commands and transactions, reset the unit and replace each
 * other's sessions, all at once. Under the thread sanitizer this is the proof
 * that messages carry all ordering.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sam/scsi_cmd.h"
#include "sam/target.h"
#include "sam/tmf.h"
#include "sam/transport.h"

#define DRIVERS 8
#define ROUNDS 150
#define COMMANDS 6
#define NAME "iqn.2026-11.test:threads"

static struct reactor *control, *reactors[2];
static struct targets ts;
static struct target *target;
static struct lu *lu;
static unsigned running; /* control's */

/* ---- a unit: a plain command and one that counts in a transaction ---- */

static enum verdict exec_now(struct scsi_cmd *cmd)
{
	return V_GOOD;
}

static bool decide_count(struct lu_tx *tx)
{
	tx->lu->view.blocks++;
	return true;
}

static enum verdict exec_count(struct scsi_cmd *cmd)
{
	cmd->tx.decide = decide_count;
	return cmd_run_tx(cmd);
}

static struct op rows[] = {
	{ .name = "NOW",
	  .clause = "test",
	  .opcode = 0,
	  .sa = OP_NO_SA,
	  .cdb_len = 6,
	  .flags = OP_PASS_UA,
	  .exec = exec_now },
	{ .name = "COUNT",
	  .clause = "test",
	  .opcode = 1,
	  .sa = OP_NO_SA,
	  .cdb_len = 6,
	  .flags = OP_PASS_UA,
	  .exec = exec_count },
};
static const struct op_table table = { rows, array_size(rows) };
static const struct op_table *const tables[] = { &table, NULL };
static struct op_index ops;
static const struct device_server ds = { .name = "disk", .ops = &ops };

/* ---- a driver: one initiator port that logs in, works and leaves, again and again ---- */

struct driver {
	unsigned number, round, left;
	uint32_t random;
	struct claim claim;
	struct it_nexus *nexus;
	struct scsi_cmd cmd[COMMANDS];
	struct tmf tmf;
	struct msg msg;
	struct msg stop_msg;
	bool ended;
};

static struct driver drivers[DRIVERS];

static uint32_t draw(struct driver *d)
{
	d->random = d->random * 1664525 + 1013904223;
	return d->random >> 8;
}

static void begin(struct driver *d);

static void one_stopped(struct msg *m)
{
	if (!--running)
		reactor_stop(control);
}

static void work_done(struct driver *d)
{
	if (--d->left == 0)
		nexus_drop(d->nexus);
}

static void tmf_done(struct tmf *t)
{
	assert_true(t->response == TMF_COMPLETE || t->response == TMF_REJECTED);
	work_done(container_of(t, struct driver, tmf));
}

static void finish(struct scsi_cmd *cmd)
{
	struct driver *d = cmd->nexus->session;

	work_done(d);
}

static void start_work(struct msg *m)
{
	static const uint8_t lun[8] = { 0, 1 };
	struct driver *d = container_of(m, struct driver, msg);

	nexus_start(d->nexus, d);
	d->left = COMMANDS + 2;
	for (unsigned i = 0; i < COMMANDS; i++) {
		uint8_t cdb[6] = { (uint8_t)(draw(d) & 1) };

		cmd_init(&d->cmd[i], d->nexus, lun, i, (uint8_t)(1 + draw(d) % 3), cdb, 6);
		cmd_submit(&d->cmd[i]);
	}
	d->tmf = (struct tmf){ .nexus = d->nexus, .lun = { 0, 1 }, .done = tmf_done };
	d->tmf.function = draw(d) & 1 ? TMF_LU_RESET : TMF_ABORT_TASK_SET;
	tmf_submit(&d->tmf);
	work_done(d);
}

static void next_round(struct msg *m)
{
	struct driver *d = container_of(m, struct driver, msg);

	if (++d->round == ROUNDS)
		reactor_post(control, &d->stop_msg, one_stopped);
	else
		begin(d);
}

static void claimed(struct claim *c)
{
	struct driver *d = container_of(c, struct driver, claim);

	if (c->answer != LOGIN_OK) {
		assert_int_equal(c->answer, LOGIN_BUSY);
		next_round(&d->msg);
		return;
	}
	d->nexus = c->nexus;
	reactor_post(c->nexus->reactor, &d->msg, start_work);
}

static void drained(struct it_nexus *n)
{
	struct driver *d = n->session;

	reactor_post(reactors[d->number & 1], &d->msg, next_round);
}

static void close_session(struct it_nexus *n)
{
	nexus_drop(n);
}

static const struct transport_ops tops = {
	.name = "threads",
	.finish = finish,
	.nexus_drained = drained,
	.close_session = close_session,
};

static void begin(struct driver *d)
{
	struct claim *c = &d->claim;

	memset(c, 0, sizeof(*c));
	/* two drivers share each port: they replace each other's sessions */
	snprintf(c->initiator, sizeof(c->initiator), "iqn.2026-11.test:i%u", d->number / 2);
	snprintf(c->target, sizeof(c->target), NAME);
	snprintf(c->peer, sizeof(c->peer), "127.0.0.1");
	c->tops = &tops;
	c->done = claimed;
	claim_run(&ts, c);
}

static void first_round(struct msg *m)
{
	begin(container_of(m, struct driver, msg));
}

static struct reactor *make(const char *name, unsigned id)
{
	struct reactor_opts o = { .name = name, .id = id, .buf_cap = MIB(4) };
	struct err e = { 0 };
	struct reactor *r;

	o.engine = engine_choose("epoll", &e);
	r = reactor_create(&o, &e);
	if (!r)
		fail_msg("%s", e.text);
	return r;
}

static void begin_world(void)
{
	struct lu_view view = { .state = LU_READY, .blocks = 0 };
	struct err e;

	assert_int_equal(op_index_build(&ops, tables, NULL), 0);
	control = make("control", REACTORS_MAX);
	reactors[0] = make("r0", 0);
	reactors[1] = make("r1", 1);
	reactor_turn(control, 0);
	assert_int_equal(targets_init(&ts, control, reactors, 2, &ds, &ds), 0);
	target = target_create(&ts, 1, NAME, &e);
	assert_int_equal(target_acl_add(target, false, "ALL", &e), 0);
	lu = lu_create("lu", &ds, NULL, 512, reactors, 2, reactors[1], &view);
	assert_int_equal(target_map(&ts, target, 1, lu, NULL, NULL, &e), 0);
}

static void end_world(void)
{
	struct err e;

	while (!list_empty(&target->nexuses))
		reactor_turn(control, 1000000);
	assert_int_equal(target_unmap(&ts, target, 1, NULL, NULL, &e), 0);
	assert_int_equal(target_destroy(&ts, target, &e), 0);
	reactor_destroy(reactors[0]);
	reactor_destroy(reactors[1]);
	reactor_turn(control, 0);
	assert_int_equal(lu->part[0].view.blocks, lu->part[1].view.blocks);
	assert_int_equal(cmd_live_count(), 0);
	lu_destroy(lu);
	targets_fini(&ts);
	reactor_destroy(control);
}

static void sessions_commands_and_resets_on_two_threads_all_end(void **state)
{
	struct err e;

	begin_world();
	running = DRIVERS;
	assert_int_equal(reactor_start(reactors[0], &e), 0);
	assert_int_equal(reactor_start(reactors[1], &e), 0);
	for (unsigned i = 0; i < DRIVERS; i++) {
		drivers[i] = (struct driver){ .number = i, .random = 1000 + i };
		reactor_post(reactors[i & 1], &drivers[i].msg, first_round);
	}
	reactor_run(control);
	end_world();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_commands_and_resets_on_two_threads_all_end),
	};

	return cmocka_run_group_tests_name("sam threads", tests, NULL, NULL);
}
