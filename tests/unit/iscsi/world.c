/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "store/store.h"

struct world world;

#define must(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

/* ---- up ------------------------------------------------------------------------- */

static struct reactor *make_reactor(const char *name, unsigned id, const struct engine *engine,
				    size_t cap)
{
	struct reactor_opts o = { .name = name, .id = id, .engine = engine, .buf_cap = cap };
	struct err e = { 0 };
	struct reactor *r = reactor_create(&o, &e);

	if (!r)
		fprintf(stderr, "%s\n", e.text);
	must(r);
	return r;
}

void world_step(void)
{
	reactor_turn(world.control, 0);
	reactor_turn(world.data, 0);
}

struct opening {
	struct store_open o;
	bool done;
};

static void opened(struct store_open *o)
{
	container_of(o, struct opening, o)->done = true;
}

static void open_store(void)
{
	char opts[32];
	struct opening w = {
		.o = { .spec = { .type = "mem", .opts = opts, .block_size = WORLD_BLOCK },
		       .reactors = &world.data,
		       .nreactors = 1,
		       .home = world.data,
		       .done = opened }
	};

	snprintf(opts, sizeof(opts), "size=%u", WORLD_BYTES);
	reactor_turn(world.control, 0);
	store_open(world.control, &w.o);
	world_until(w.done);
	must(w.o.store);
	world.store = w.o.store;
}

static void make_disk(void)
{
	struct lu_ident *ident = calloc(1, sizeof(*ident));
	struct lu_config c = { .name = "disk",
			       .ident = ident,
			       .store = world.store,
			       .block_size = WORLD_BLOCK,
			       .mode = { .wce = true },
			       .reactors = &world.data,
			       .nreactors = 1,
			       .home = world.data };
	struct err e = { 0 };

	must(ident);
	world.lu = disk_create(&c, &e);
	must(world.lu);
}

void world_begin(const struct engine *engine, size_t buf_cap)
{
	static const struct iscsi_opts opts;
	struct err e = { 0 };

	log_set_level(LOG_LEVEL_ERR);
	must(!cmdset_init());
	world.control = make_reactor("control", REACTORS_MAX, &engine_epoll, MIB(2));
	world.data = make_reactor("data", 0, engine, buf_cap);
	open_store();
	make_disk();
	reactor_turn(world.control, 0);
	must(!targets_init(&world.ts, world.control, &world.data, 1, &absent_server, &wlun_server));
	world.target = target_create(&world.ts, 1, WORLD_TARGET, &e);
	must(world.target);
	must(!target_acl_add(world.target, false, "ALL", &e));
	must(!target_map(&world.ts, world.target, WORLD_LUN, world.lu, NULL, NULL, &e));
	world_step();
	world.server = iscsi_server_create(&world.ts, &opts, &e);
	must(world.server);
	world.part = &world.server->part[0];
}

/* ---- down ----------------------------------------------------------------------------- */

static void done(void *arg)
{
	*(bool *)arg = true;
}

bool world_is_empty(void)
{
	struct iscsi_live l;

	iscsi_get_live(world.server, &l);
	return !l.connections && !l.sessions && !l.tasks && !l.logins && !cmd_live_count() &&
	       list_empty(&world.target->nexuses);
}

void world_explain(void)
{
	struct iscsi_live l;
	struct bufpool_stats b;
	struct iscsi_conn *c;
	struct it_nexus *n;

	iscsi_get_live(world.server, &l);
	bufpool_stats(reactor_bufpool(world.data), &b);
	fprintf(stderr, "%u connections, %u sessions, %u tasks, %u commands; %zu bytes used\n",
		(unsigned)l.connections, (unsigned)l.sessions, (unsigned)l.tasks,
		(unsigned)cmd_live_count(), b.used);
	list_for_each(c, &world.part->conns, link)
		fprintf(stderr,
			"connection: state %d, sends %d, receives %d, queued %zu, paused %d\n",
			c->state, io_pending(&c->tx.op), io_pending(&c->rx.op), c->tx.queued,
			c->rx.paused);
	list_for_each(n, &world.target->nexuses, target_link)
		fprintf(stderr, "nexus: state %d, %u commands, %u pending\n", n->state, n->ncmds,
			n->pending);
}

void world_end(void)
{
	bool stopped = false, closed = false;
	struct bufpool_stats st;
	struct err e;

	reactor_turn(world.control, 0);
	iscsi_server_stop(world.server, 0, done, &stopped);
	world_until(stopped);
	world_until(world_is_empty());
	bufpool_stats(reactor_bufpool(world.data), &st);
	must(!st.used && !st.reserved);
	reactor_turn(world.control, 0);
	must(!target_unmap(&world.ts, world.target, WORLD_LUN, NULL, NULL, &e));
	world_step();
	lu_destroy(world.lu);
	store_close(world.control, world.store, done, &closed);
	world_until(closed);
	must(!target_destroy(&world.ts, world.target, &e));
	targets_fini(&world.ts);
	iscsi_server_destroy(world.server);
	reactor_destroy(world.data);
	reactor_destroy(world.control);
}

/* ---- the other side ------------------------------------------------------------------------ */

struct peer *peer_connect(void)
{
	struct peer *p = calloc(1, sizeof(*p));
	int sv[2];

	must(p && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv));
	p->fd = sv[0];
	p->cmd_sn = 1;
	p->itt = 1;
	reactor_turn(world.data, 0); /* its thread */
	conn_accepted(world.part, sv[1]);
	p->conn = list_entry(world.part->conns.prev, struct iscsi_conn, link);
	return p;
}

void peer_close(struct peer *p)
{
	close(p->fd);
	free(p);
}

bool peer_receive(struct peer *p)
{
	ssize_t n;

	while (p->in_len < sizeof(p->in)) {
		n = recv(p->fd, p->in + p->in_len, sizeof(p->in) - p->in_len, 0);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			p->closed = true;
			break;
		}
		p->in_len += (size_t)n;
	}
	return !p->closed;
}

void peer_send(struct peer *p, const void *data, size_t len)
{
	const uint8_t *at = data;

	for (int tries = 0; len && tries < 100000; tries++) {
		ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			tries = 0;
		}
		world_step();
	}
}

static size_t pdu_size(const struct peer *p)
{
	const union pdu *h = (const union pdu *)p->in;
	size_t len;

	if (p->in_len < BHS_LEN)
		return 0;
	len = be24_get(h->basic.data_len);
	len += pdu_pad((uint32_t)len) + BHS_LEN;
	return p->in_len < len ? 0 : len;
}

const union pdu *peer_pdu(struct peer *p, const uint8_t **data, uint32_t *len)
{
	static uint8_t copy[sizeof(p->in)];
	size_t n;

	for (int tries = 0; !(n = pdu_size(p)) && !p->closed; tries++) {
		must(tries < 100000);
		world_step();
		peer_receive(p);
	}
	if (!n)
		return NULL;
	memcpy(copy, p->in, n);
	memmove(p->in, p->in + n, p->in_len - n);
	p->in_len -= n;
	if (data)
		*data = copy + BHS_LEN;
	if (len)
		*len = be24_get(((const union pdu *)copy)->basic.data_len);
	return (const union pdu *)copy;
}

/* Not for ever: what an earlier peer did (stopped, reserved) may make the disk refuse. */
static void clear_unit_attention(struct peer *p)
{
	static const uint8_t tur[16];

	for (int i = 0; i < 4; i++) {
		union pdu c = peer_command(p, tur, 16, 0, 0, 0);
		const union pdu *r;

		peer_send(p, &c, sizeof(c));
		r = peer_pdu(p, NULL, NULL);
		must(r && r->basic.opcode == PDU_SCSI_RESPONSE);
		if (!r->scsi_response.status)
			break;
	}
}

struct peer *peer_login(const char *extra, size_t len)
{
	static const char names[] = "InitiatorName=iqn.2026-11.test:me\0TargetName=" WORLD_TARGET
				    "\0SessionType=Normal\0MaxRecvDataSegmentLength=262144";
	struct peer *p = peer_connect();
	static uint32_t ports;
	uint8_t text[2048];
	size_t n = sizeof(names) + len;
	union pdu h = { .login_request = {
				.opcode = PDU_LOGIN_REQUEST | PDU_IMMEDIATE,
				.flags = LOGIN_TRANSIT | 1 << LOGIN_CSG_SHIFT | 3,
				.data_len = be24_make((uint32_t)n),
				.isid = { 0x80 },
				.cmd_sn = be32_make(1),
			} };
	const union pdu *r;

	must(n + 3 < sizeof(text));
	memset(text, 0, sizeof(text));
	memcpy(text, names, sizeof(names));
	memcpy(text + sizeof(names), extra, len);
	be_store(h.login_request.isid + 2, 4, ++ports);
	for (;;) {
		peer_send(p, &h, sizeof(h));
		peer_send(p, text, n + pdu_pad((uint32_t)n));
		r = peer_pdu(p, NULL, NULL);
		must(r && r->basic.opcode == PDU_LOGIN_RESPONSE && !r->login_response.status_class);
		if (r->basic.flags & LOGIN_TRANSIT)
			break;
		n = 0;
		h.login_request.data_len = be24_make(0);
	}
	clear_unit_attention(p);
	return p;
}

union pdu peer_command(struct peer *p, const uint8_t *cdb, unsigned cdb_len, uint8_t flags,
		       uint32_t expected, uint32_t data_len)
{
	union pdu h = { .command = {
				.opcode = PDU_SCSI_COMMAND,
				.flags = PDU_FINAL | flags | 1,
				.data_len = be24_make(data_len),
				.lun = { 0, WORLD_LUN },
				.itt = be32_make(p->itt++),
				.expected_len = be32_make(expected),
				.cmd_sn = be32_make(p->cmd_sn++),
			} };

	memcpy(h.command.cdb, cdb, cdb_len);
	return h;
}

void rw16(uint8_t cdb[16], bool write, uint64_t lba, uint32_t blocks)
{
	memset(cdb, 0, 16);
	cdb[0] = write ? 0x8a : 0x88;
	be_store(cdb + 2, 8, lba);
	be_store(cdb + 10, 4, blocks);
}
