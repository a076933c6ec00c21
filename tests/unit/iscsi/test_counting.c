/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a command costs, counted and not timed: system calls, allocations and
 * copies of a whole target that this thread steps, with a client on the same
 * thread that sends 32 READs of 4 KiB at once and takes the answers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/be.h"
#include "cmdset/cmdset.h"
#include "reactor/bufpool.h"
#include "store/store.h"
#include "transport/iscsi/iscsi.h"
#include "transport/iscsi/pdu.h"
#include "../temp.h"

#define TARGET "iqn.2026-11.test:count"
#define DEPTH 32
#define BLOCK 4096
#define BURSTS 40
#define IMAGE_SIZE MIB(8)
#define COPY_MIN 512 /* bytes: what is shorter is a header */

/* ---- counted: the linker sends these calls of the target here ---- */

static bool counting;
static unsigned allocations, copies;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__real_memcpy(void *to, const void *from, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n);

void *__wrap_malloc(size_t n)
{
	allocations += counting;
	return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	allocations += counting;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	allocations += counting;
	return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	allocations += counting;
	return __real_aligned_alloc(align, n);
}

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	copies += counting && n >= COPY_MIN;
	return __real_memcpy(to, from, n);
}

/* ---- the target ---- */

static struct {
	struct reactor *control, *reactor[1];
	struct targets ts;
	struct target *target;
	struct store *store;
	struct lu *lu;
	struct iscsi_server *server;
	char image[TEMP_PATH_MAX];
	int client;
	uint32_t cmd_sn, exp_stat_sn;
	uint8_t in[DEPTH * (BLOCK + 64)];
} rig;

static void step(uint64_t ns)
{
	reactor_turn(rig.control, 0);
	reactor_turn(rig.reactor[0], ns);
}

#define until(cond) \
	do { \
		for (int tries = 0;; tries++) { \
			if (cond) \
				break; \
			assert_true(tries < 200000); \
			step(0); \
		} \
	} while (0)

static struct reactor *make_reactor(const char *name, unsigned id, const char *engine)
{
	struct reactor_opts o = { .name = name, .id = id, .buf_cap = MIB(64) };
	struct err e = { 0 };
	struct reactor *r;

	o.engine = engine_choose(engine, &e);
	r = o.engine ? reactor_create(&o, &e) : NULL;
	if (!r)
		fail_msg("%s", e.text);
	return r;
}

static void opened(struct store_open *o)
{
	o->home = NULL;
}

static void open_image(void)
{
	struct store_open o = { .spec = { .type = "file", .path = rig.image, .block_size = 512 },
				.reactors = rig.reactor,
				.nreactors = 1,
				.home = rig.reactor[0],
				.done = opened };
	char *zeroes = calloc(1, IMAGE_SIZE);
	int fd;

	fd = mkstemp(temp_path(rig.image, "count"));
	assert_true(fd >= 0 && zeroes);
	assert_int_equal(write(fd, zeroes, IMAGE_SIZE), IMAGE_SIZE); /* into the page cache */
	close(fd);
	free(zeroes);
	reactor_turn(rig.control, 0);
	store_open(rig.control, &o);
	until(!o.home);
	if (!o.store)
		fail_msg("%s", o.err.text);
	rig.store = o.store;
}

static void make_lu(void)
{
	struct lu_config c = { .name = "disk",
			       .store = rig.store,
			       .block_size = 512,
			       .mode = { .wce = true },
			       .reactors = rig.reactor,
			       .nreactors = 1,
			       .home = rig.reactor[0] };
	struct err e = { 0 };

	c.ident = calloc(1, sizeof(*c.ident));
	rig.lu = disk_create(&c, &e);
	if (!rig.lu)
		fail_msg("%s", e.text);
	rig.target = target_create(&rig.ts, 1, TARGET, &e);
	assert_int_equal(target_acl_add(rig.target, false, "ALL", &e), 0);
	assert_int_equal(target_map(&rig.ts, rig.target, 1, rig.lu, NULL, NULL, &e), 0);
}

static uint16_t listen_anywhere(void)
{
	struct err e = { 0 };
	const char *name;

	reactor_turn(rig.control, 0);
	rig.server = iscsi_server_create(&rig.ts, &(struct iscsi_opts){ 0 }, &e);
	assert_non_null(rig.server);
	if (iscsi_portal_add(rig.server, "127.0.0.1:0", &e))
		fail_msg("%s", e.text);
	name = iscsi_portal_name(iscsi_portal_next(rig.server, NULL));
	return (uint16_t)strtoul(strrchr(name, ':') + 1, NULL, 10);
}

/* ---- the client ---- */

static void client_send(const void *data, size_t len)
{
	assert_int_equal(send(rig.client, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Step the target until @len bytes have come. */
static void client_receive(void *data, size_t len)
{
	size_t got = 0;

	for (int tries = 0; got < len; tries++) {
		ssize_t n = recv(rig.client, (char *)data + got, len - got, MSG_DONTWAIT);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN && tries < 200000));
		if (n > 0)
			got += (size_t)n;
		else
			step(0);
	}
}

static void client_login(uint16_t port)
{
	static const char keys[] = "InitiatorName=iqn.2026-11.test:client\0TargetName=" TARGET "\0"
				   "SessionType=Normal\0HeaderDigest=None\0DataDigest=None\0"
				   "InitialR2T=No\0ImmediateData=Yes\0"
				   "MaxRecvDataSegmentLength=262144\0MaxBurstLength=1048576\0"
				   "FirstBurstLength=65536\0";
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint8_t pdu[48 + round_up(sizeof(keys) - 1, 4)], rsp[48], text[8192];

	rig.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(rig.client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	memset(pdu, 0, sizeof(pdu));
	pdu[0] = 0x43; /* Login Request, immediate */
	pdu[1] = 0x87; /* T, operational to full feature */
	be_store(pdu + 5, 3, sizeof(keys) - 1);
	pdu[8] = 0x80; /* ISID: random */
	be_store(pdu + 24, 4, 1); /* CmdSN */
	memcpy(pdu + 48, keys, sizeof(keys) - 1);
	client_send(pdu, sizeof(pdu));
	client_receive(rsp, sizeof(rsp));
	client_receive(text, round_up(be_load(rsp + 5, 3), 4));
	assert_int_equal(rsp[36] << 8 | rsp[37], 0); /* status */
	assert_int_equal(rsp[1] & 0x83, 0x83);
	rig.exp_stat_sn = (uint32_t)be_load(rsp + 24, 4) + 1;
	rig.cmd_sn = 1;
}

static void put_read(uint8_t *p, unsigned i, bool first)
{
	memset(p, 0, 48);
	p[0] = 0x01;
	p[1] = 0xc1; /* F, R, SIMPLE */
	p[9] = 1; /* LUN */
	be_store(p + 16, 4, rig.cmd_sn); /* ITT */
	be_store(p + 20, 4, BLOCK);
	be_store(p + 24, 4, rig.cmd_sn++);
	be_store(p + 28, 4, rig.exp_stat_sn);
	if (first)
		return; /* TEST UNIT READY: takes the unit attention away */
	p[32] = 0x28;
	be_store(p + 34, 4, i * (BLOCK / 512));
	be_store(p + 39, 2, BLOCK / 512);
}

static void client_clear_ua(void)
{
	uint8_t pdu[48], rsp[48], sense[256];

	for (int i = 0; i < 2; i++) {
		put_read(pdu, 0, true);
		client_send(pdu, 48);
		client_receive(rsp, 48);
		client_receive(sense, round_up(be_load(rsp + 5, 3), 4));
		rig.exp_stat_sn++;
	}
	assert_int_equal(rsp[3], 0);
}

/* DEPTH reads leave in one send and come back: header and data each, status in the last. */
static void burst(unsigned depth)
{
	uint8_t out[DEPTH * 48] = { 0 };

	for (unsigned i = 0; i < depth; i++)
		put_read(out + i * 48, i, false);
	client_send(out, depth * 48);
	client_receive(rig.in, depth * (48 + BLOCK));
	rig.exp_stat_sn += depth;
	for (unsigned i = 0; i < depth; i++)
		assert_int_equal(rig.in[i * (48 + BLOCK)] & 0x3f, 0x25);
}

/* ---- up and down ---- */

static void begin(const char *engine)
{
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(cmdset_init(), 0);
	rig.control = make_reactor("control", REACTORS_MAX, "epoll");
	rig.reactor[0] = make_reactor("r0", 0, engine);
	reactor_turn(rig.control, 0);
	assert_int_equal(targets_init(&rig.ts, rig.control, rig.reactor, 1, &absent_server,
				      &wlun_server),
			 0);
	open_image();
	make_lu();
	allocations = 0;
	counting = true;
	client_login(listen_anywhere());
	counting = false;
	assert_true(allocations > 0); /* the counters do count */
	client_clear_ua();
	/* the window grows with use */
	for (unsigned depth = 1; depth <= DEPTH; depth *= 2)
		for (int i = 0; i < 4; i++)
			burst(depth);
}

static void flag(void *arg)
{
	*(bool *)arg = true;
}

static void end(void)
{
	bool stopped = false, closed = false;
	struct err e;

	close(rig.client);
	reactor_turn(rig.control, 0);
	iscsi_server_stop(rig.server, 0, flag, &stopped);
	until(stopped && list_empty(&rig.target->nexuses));
	reactor_turn(rig.control, 0);
	assert_int_equal(target_unmap(&rig.ts, rig.target, 1, NULL, NULL, &e), 0);
	lu_destroy(rig.lu);
	store_close(rig.control, rig.store, flag, &closed);
	until(closed);
	assert_int_equal(target_destroy(&rig.ts, rig.target, &e), 0);
	iscsi_server_destroy(rig.server);
	targets_fini(&rig.ts);
	reactor_destroy(rig.reactor[0]);
	reactor_destroy(rig.control);
	unlink(rig.image);
}

/* ---- counts ---- */

/* At most a tenth of each per read. */
static void expect_few(const struct reactor_stats *a, const struct reactor_stats *b, unsigned reads)
{
	assert_in_range(b->recvs - a->recvs, 1, reads / 10);
	assert_in_range(b->sends - a->sends, 1, reads / 10);
}

static void bursts_cost_few_calls(const char *engine)
{
	struct reactor_stats a, b;

	begin(engine);
	reactor_get_stats(rig.reactor[0], &a);
	allocations = copies = 0;
	counting = true;
	for (int i = 0; i < BURSTS; i++)
		burst(DEPTH);
	counting = false;
	reactor_get_stats(rig.reactor[0], &b);
	expect_few(&a, &b, BURSTS * DEPTH);
	assert_int_equal(b.file_reads - a.file_reads, BURSTS * DEPTH);
	assert_int_equal(allocations, 0);
	assert_int_equal(copies, 0);
	end();
}

static void bursts_cost_few_calls_and_no_copy_on_uring(void **state)
{
	if (!engine_choose("uring", NULL)) {
		print_message("uring does not run here\n");
		skip();
	}
	bursts_cost_few_calls("uring");
}

static void bursts_cost_few_calls_and_no_copy_on_epoll(void **state)
{
	bursts_cost_few_calls("epoll");
}

/* The waits of a burst that is in the socket before the reactor looks. */
static void a_burst_costs_few_waits(void **state)
{
	uint8_t out[DEPTH * 48] = { 0 };
	struct pollfd p;
	struct reactor_stats a, b;
	int answered = 0, bytes;

	begin(engine_choose("uring", NULL) ? "uring" : "epoll");
	reactor_get_stats(rig.reactor[0], &a);
	for (int i = 0; i < BURSTS; i++) {
		for (unsigned j = 0; j < DEPTH; j++)
			put_read(out + j * 48, j, false);
		client_send(out, sizeof(out));
		for (bytes = 0; bytes < DEPTH * (48 + BLOCK);) {
			/* a reactor with nothing to do sleeps until its second look is due */
			reactor_turn(rig.reactor[0], NSEC_PER_SEC);
			p = (struct pollfd){ .fd = rig.client, .events = POLLIN };
			while (poll(&p, 1, 0) > 0 && bytes < DEPTH * (48 + BLOCK)) {
				ssize_t n = recv(rig.client, rig.in, sizeof(rig.in), MSG_DONTWAIT);

				assert_true(n > 0);
				bytes += (int)n;
			}
		}
		answered += DEPTH;
		rig.exp_stat_sn += DEPTH;
	}
	reactor_get_stats(rig.reactor[0], &b);
	assert_in_range(b.waits - a.waits, 1, (uint64_t)answered / 10);
	end();
}

static void an_idle_session_causes_no_wakeup_and_holds_no_buffer(void **state)
{
	struct reactor_stats a, b;
	struct bufpool_stats p;
	uint64_t began;

	begin(engine_choose("uring", NULL) ? "uring" : "epoll");
	began = reactor_now(rig.reactor[0]);
	do {
		reactor_turn(rig.reactor[0], NSEC_PER_SEC);
		bufpool_stats(reactor_bufpool(rig.reactor[0]), &p);
		assert_true(reactor_now(rig.reactor[0]) - began < 60 * NSEC_PER_SEC);
	} while (p.used || p.slabs);
	/* whatever looks after idle things has nothing left to look after */
	for (int i = 0; i < 3; i++)
		reactor_turn(rig.reactor[0], NSEC_PER_SEC);
	reactor_get_stats(rig.reactor[0], &a);
	reactor_turn(rig.reactor[0], 3 * NSEC_PER_SEC);
	reactor_get_stats(rig.reactor[0], &b);
	assert_in_range(b.turns - a.turns, 1, 1);
	assert_true(reactor_now(rig.reactor[0]) - began >= 3 * NSEC_PER_SEC);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_cost_few_calls_and_no_copy_on_uring),
		cmocka_unit_test(bursts_cost_few_calls_and_no_copy_on_epoll),
		cmocka_unit_test(a_burst_costs_few_waits),
		cmocka_unit_test(an_idle_session_causes_no_wakeup_and_holds_no_buffer),
	};

	return cmocka_run_group_tests_name("counting", tests, NULL, NULL);
}
