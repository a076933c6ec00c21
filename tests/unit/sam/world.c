/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct world world;

static struct list allocated; /* of struct owned */
struct owned {
	struct list link;
	char mem[];
};

/* Memory that world_end() frees. */
static void *own(size_t size)
{
	struct owned *o = calloc(1, sizeof(*o) + size);

	assert_non_null(o);
	list_add(&allocated, &o->link);
	return o->mem;
}

/* ---- the device server --------------------------------------------------------- */

static struct tcmd *tcmd_of(struct scsi_cmd *cmd)
{
	return container_of(cmd, struct tcmd, scsi);
}

static enum verdict exec_now(struct scsi_cmd *cmd)
{
	return V_GOOD;
}

static enum verdict exec_hold(struct scsi_cmd *cmd)
{
	cmd_hold(cmd);
	return V_PENDING;
}

void release(struct tcmd *c)
{
	if (cmd_release(&c->scsi))
		cmd_complete(&c->scsi, V_GOOD);
}

static void data_came(struct scsi_cmd *cmd)
{
	cmd_complete(cmd, V_GOOD);
}

static enum verdict exec_data(struct scsi_cmd *cmd)
{
	return cmd_want_data(cmd, 0, cmd_plan(cmd, 512), data_came);
}

static bool decide_nothing(struct lu_tx *tx)
{
	return true;
}

static enum verdict exec_tx(struct scsi_cmd *cmd)
{
	if (!cmd->tx.decide)
		cmd->tx.decide = decide_nothing;
	return cmd_run_tx(cmd);
}

static void buf_came(struct scsi_cmd *cmd)
{
	memset(cmd->buf->data, 0x5a, 512);
	cmd_complete(cmd, cmd_reply(cmd, 512, 512));
}

static enum verdict exec_buf(struct scsi_cmd *cmd)
{
	return cmd_want_buf(cmd, BUF_MAX, buf_came);
}

#define ROW(op, dir_, flags_, fn) \
	{ \
		.name = #op, .clause = "test", .opcode = op, .sa = OP_NO_SA, .cdb_len = 6, \
		.dir = dir_, .flags = flags_, .exec = fn \
	}

static struct op rows[] = {
	ROW(OP_NOW, DIR_NONE, 0, exec_now),
	ROW(OP_HOLD, DIR_NONE, OP_RSV_WRITE, exec_hold),
	ROW(OP_DATA, DIR_OUT, OP_MEDIUM_WRITE, exec_data),
	ROW(OP_TX, DIR_NONE, 0, exec_tx),
	ROW(OP_BUF, DIR_IN, 0, exec_buf),
	ROW(OP_ALWAYS, DIR_NONE, OP_PASS_UA | OP_PASS_NOT_READY | OP_NO_TASK_SET, exec_now),
};

static const struct op_table table = { rows, array_size(rows) };
static const struct op_table *const tables[] = { &table, NULL };
static struct op_index ops;

static enum verdict exec_absent(struct scsi_cmd *cmd)
{
	return V_LU_NOT_SUPPORTED;
}

static const struct op absent_row = { .name = "absent", .sa = OP_NO_SA, .exec = exec_absent };
static const struct op_table *const absent_tables[] = { NULL };
static struct op_index absent_ops;

static const struct device_server ds = { .name = "disk", .ops = &ops };
static const struct device_server absent_ds = { .name = "absent", .ops = &absent_ops };

struct lu *make_lu(const char *name)
{
	struct lu_view view = { .state = LU_READY, .blocks = 1024 };

	return lu_create(name, &ds, NULL, 512, world.reactor, 2, world.reactor[0], &view);
}

/* ---- the transport ---------------------------------------------------------------- */

static void t_data_out(struct scsi_cmd *cmd, uint32_t off, uint32_t len)
{
	tcmd_of(cmd)->asked = true;
}

static void t_data_out_cancel(struct scsi_cmd *cmd)
{
	tcmd_of(cmd)->cancelled = true;
}

static void t_data_in(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len)
{
	buf_put(b);
}

static void t_finish(struct scsi_cmd *cmd)
{
	struct tcmd *c = tcmd_of(cmd);

	assert_false(c->finished);
	c->finished = true;
	c->order = ++world.finished;
}

static void t_drained(struct it_nexus *n)
{
	world.drained++;
}

static void t_close(struct it_nexus *n)
{
	world.closed++;
	nexus_drop(n);
}

static const struct transport_ops tops = {
	.name = "test",
	.data_out = t_data_out,
	.data_out_cancel = t_data_out_cancel,
	.data_in = t_data_in,
	.finish = t_finish,
	.nexus_drained = t_drained,
	.close_session = t_close,
};

const struct transport_ops *const world_transport = &tops;

/* ---- reactors, logins ----------------------------------------------------------------- */

static struct reactor *make_reactor(const char *name, unsigned id)
{
	struct reactor_opts o = {
		.name = name, .id = id, .engine = &engine_epoll, .buf_cap = MIB(4)
	};
	struct err e = { 0 };
	struct reactor *r = reactor_create(&o, &e);

	if (!r)
		fail_msg("%s", e.text);
	return r;
}

void world_begin(void)
{
	struct err e;

	memset(&world, 0, sizeof(world));
	list_init(&allocated);
	assert_int_equal(op_index_build(&ops, tables, NULL), 0);
	assert_int_equal(op_index_build(&absent_ops, absent_tables, &absent_row), 0);
	world.all[0] = world.control = make_reactor("control", REACTORS_MAX);
	world.all[1] = world.reactor[0] = make_reactor("r0", 0);
	world.all[2] = world.reactor[1] = make_reactor("r1", 1);
	reactor_turn(world.control, 0);
	assert_int_equal(targets_init(&world.ts, world.control, world.reactor, 2, &absent_ds,
				      &absent_ds),
			 0);
	world.target = target_create(&world.ts, 1, "iqn.2026-11.test:t", &e);
	assert_non_null(world.target);
	assert_int_equal(target_acl_add(world.target, false, "ALL", &e), 0);
	world.lu = make_lu("one");
	assert_int_equal(target_map(&world.ts, world.target, 1, world.lu, NULL, NULL, &e), 0);
	step();
}

static void drop_posted(struct msg *m)
{
	nexus_drop(container_of(m, struct it_nexus, drop_msg));
}

void world_end(void)
{
	struct it_nexus *n;
	struct err e;
	struct list *l;

	list_for_each(n, &world.target->nexuses, target_link)
		if (!n->drop_asked && !n->gone)
			reactor_post(n->reactor, &n->drop_msg, drop_posted);
	until(list_empty(&world.target->nexuses));
	reactor_turn(world.control, 0);
	while (!list_empty(&world.target->luns)) {
		struct lun_entry *le = list_first(&world.target->luns, struct lun_entry, link);
		struct lu *lu = le->lu;

		assert_int_equal(target_unmap(&world.ts, world.target, le->lun, NULL, NULL, &e), 0);
		if (!lu->maps)
			lu_destroy(lu);
	}
	assert_int_equal(target_destroy(&world.ts, world.target, &e), 0);
	targets_fini(&world.ts);
	for (unsigned i = 0; i < 3; i++)
		reactor_destroy(world.all[i]);
	while ((l = list_pop(&allocated)))
		free(list_entry(l, struct owned, link));
	assert_int_equal(cmd_live_count(), 0);
}

void step(void)
{
	for (unsigned i = 0; i < 3; i++)
		reactor_turn(world.all[i], 0);
}

static void claim_done(struct claim *c)
{
	c->wait_link.next = NULL; /* answered */
}

struct claim *claim_new(const char *name)
{
	struct claim *c = own(sizeof(*c));

	snprintf(c->initiator, sizeof(c->initiator), "%s", name);
	snprintf(c->target, sizeof(c->target), "%s", world.target ? "iqn.2026-11.test:t" : "");
	snprintf(c->peer, sizeof(c->peer), "127.0.0.1");
	memcpy(c->transport_id, name, strlen(name));
	c->transport_id_len = (uint16_t)strlen(name);
	c->tpgt = 1;
	c->tops = &tops;
	c->done = claim_done;
	return c;
}

struct claim *claim_begin(const char *name)
{
	struct claim *c = claim_new(name);

	reactor_turn(world.reactor[0], 0);
	claim_run(&world.ts, c);
	return c;
}

struct it_nexus *login(const char *name)
{
	struct claim *c = claim_begin(name);

	until(!c->wait_link.next);
	if (c->answer != LOGIN_OK)
		return NULL;
	reactor_turn(c->nexus->reactor, 0);
	nexus_start(c->nexus, NULL);
	return c->nexus;
}

/* ---- commands ----------------------------------------------------------------------------- */

struct tcmd *submit_to(struct it_nexus *n, uint8_t opcode, uint8_t attr, const uint8_t lun[8],
		       bool read, bool write, uint32_t expected)
{
	static uint64_t tag;
	uint8_t cdb[6] = { opcode };
	struct tcmd *c = own(sizeof(*c));

	reactor_turn(n->reactor, 0); /* its thread */
	cmd_init(&c->scsi, n, lun, ++tag, attr, cdb, sizeof(cdb));
	c->scsi.tx.decide = NULL;
	c->scsi.read = read;
	c->scsi.write = write;
	c->scsi.expected = expected;
	cmd_submit(&c->scsi);
	return c;
}

struct tcmd *submit_undirected(struct it_nexus *n, uint8_t opcode, const uint8_t lun[8],
			       uint32_t expected)
{
	static uint64_t tag = 1u << 20;
	uint8_t cdb[6] = { opcode };
	struct tcmd *c = own(sizeof(*c));

	reactor_turn(n->reactor, 0);
	cmd_init(&c->scsi, n, lun, ++tag, ATTR_SIMPLE, cdb, sizeof(cdb));
	c->scsi.dir_by_row = true;
	c->scsi.expected = expected;
	cmd_submit(&c->scsi);
	return c;
}

struct tcmd *submit(struct it_nexus *n, uint8_t opcode, uint8_t attr)
{
	static const uint8_t lun1[8] = { 0, 1 };
	uint32_t expected = opcode == OP_DATA || opcode == OP_BUF ? 512 : 0;

	return submit_to(n, opcode, attr, lun1, opcode == OP_BUF, opcode == OP_DATA, expected);
}

void clear_ua(struct it_nexus *n)
{
	for (unsigned i = 0; i < array_size(n->lun_slots); i++)
		for (struct hash_node *node = n->lun_slots[i]; node; node = node->next)
			container_of(node, struct itl, by_lun)->ua = 0;
}

struct noted_tmf {
	struct tmf tmf;
	bool *done;
};

static void tmf_noted(struct tmf *t)
{
	*container_of(t, struct noted_tmf, tmf)->done = true;
}

struct tmf *manage(struct it_nexus *n, enum tmf_function fn, uint64_t lun, uint64_t tag, bool *done)
{
	struct noted_tmf *t = own(sizeof(*t));

	*done = false;
	t->done = done;
	t->tmf.nexus = n;
	t->tmf.function = fn;
	t->tmf.lun[1] = (uint8_t)lun;
	t->tmf.ref_tag = tag;
	t->tmf.done = tmf_noted;
	reactor_turn(n->reactor, 0);
	tmf_submit(&t->tmf);
	return &t->tmf;
}
