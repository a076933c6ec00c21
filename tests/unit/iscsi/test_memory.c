/* SPDX-License-Identifier: BSD-2-Clause */
/* Little data memory and many who want some: everything ends, and memory goes where it is used. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "world.h"

#define MEMORY MIB(4)
#define FIRST_BURST KIB(64)
#define PDU_DATA KIB(64) /* no PDU brings more */
#define TASK_SET_FULL 0x28

#define PEERS 3
#define SOON 1000 /* steps in which all that can happen does */
#define NEVER 200000

static struct peer *peers[PEERS];
static unsigned good, full, others; /* responses */
static const uint8_t zeroes[KIB(256)];

static void log_in(unsigned n)
{
	static const char keys[] = "InitialR2T=No\0ImmediateData=Yes\0FirstBurstLength=65536";

	peers[n] = peer_login(keys, sizeof(keys));
}

/* ---- memory that somebody else has ----------------------------------------------------------- */

static struct buf *taken;

/* Nothing is free any more, but for what is reserved. */
static void take_all(void)
{
	struct buf *b;

	reactor_turn(world.data, 0);
	for (size_t size = BUF_MAX; size >= 4096; size /= 4)
		while ((b = bufpool_get(reactor_bufpool(world.data), size))) {
			b->next = taken;
			taken = b;
		}
}

/* One of the largest buffers, or all. */
static void give_back(bool all)
{
	struct buf **at = &taken, *b;

	reactor_turn(world.data, 0);
	while ((b = *at)) {
		if (!all && b->size < BUF_MAX) {
			at = &b->next;
			continue;
		}
		*at = b->next;
		buf_put(b);
		if (!all)
			return;
	}
	assert_true(all);
}

static int up(void **state)
{
	(void)state;
	world_begin(&engine_epoll, MEMORY);
	memset(peers, 0, sizeof(peers));
	good = full = others = 0;
	log_in(0);
	return 0;
}

static int down(void **state)
{
	(void)state;
	give_back(true);
	for (unsigned i = 0; i < PEERS; i++)
		if (peers[i])
			peer_close(peers[i]);
	world_until(world_is_empty());
	world_end();
	return 0;
}

/* ---- initiators --------------------------------------------------------------------------- */

static void send_data(struct peer *p, uint32_t itt, uint32_t ttt, uint32_t offset, uint32_t len)
{
	uint32_t n, sn = 0;

	for (uint32_t at = 0; at < len; at += n) {
		union pdu h = { .data_out = { .opcode = PDU_DATA_OUT,
					      .lun = { 0, WORLD_LUN },
					      .itt = be32_make(itt),
					      .ttt = be32_make(ttt),
					      .data_sn = be32_make(sn++),
					      .offset = be32_make(offset + at) } };

		n = min(len - at, (uint32_t)PDU_DATA);
		h.data_out.flags = at + n == len ? PDU_FINAL : 0;
		h.data_out.data_len = be24_make(n);
		peer_send(p, &h, BHS_LEN);
		peer_send(p, zeroes, n);
	}
}

static bool whole_pdu(const struct peer *p)
{
	const union pdu *h = (const union pdu *)p->in;

	return p->in_len >= BHS_LEN && p->in_len >= BHS_LEN + be24_get(h->basic.data_len);
}

static void take_pdu(struct peer *p)
{
	const union pdu *r = peer_pdu(p, NULL, NULL);

	assert_non_null(r);
	if (r->basic.opcode == PDU_R2T) {
		uint32_t len = be32_get(r->r2t.desired);

		assert_in_range(len, 1, sizeof(zeroes)); /* MaxBurstLength */
		send_data(p, be32_get(r->r2t.itt), be32_get(r->r2t.ttt), be32_get(r->r2t.offset),
			  len);
		return;
	}
	if (r->basic.opcode == PDU_NOP_IN)
		return;
	assert_int_equal(r->basic.opcode, PDU_SCSI_RESPONSE);
	good += !r->scsi_response.status;
	full += r->scsi_response.status == TASK_SET_FULL;
	others += r->scsi_response.status && r->scsi_response.status != TASK_SET_FULL;
}

/* Answer whatever comes to whomever until @n responses have come, or for @steps. */
static void answer_until(unsigned n, unsigned steps)
{
	for (unsigned i = 0; good + full + others < n && i < steps; i++) {
		world_step();
		for (unsigned k = 0; k < PEERS; k++) {
			if (!peers[k])
				continue;
			peer_receive(peers[k]);
			while (whole_pdu(peers[k])) {
				take_pdu(peers[k]);
				i = 0;
			}
		}
	}
}

static void answer_all(unsigned n)
{
	answer_until(n, NEVER);
	if (good + full + others < n)
		world_explain();
	assert_int_equal(good + full + others, n);
	assert_int_equal(others, 0);
}

/* A WRITE of @len bytes; its first burst comes later if @unsolicited. Returns its ITT. */
static uint32_t start_write(struct peer *p, uint32_t len, bool unsolicited)
{
	uint8_t cdb[16];
	union pdu h;

	rw16(cdb, true, 0, len / WORLD_BLOCK);
	h = peer_command(p, cdb, 16, COMMAND_WRITE, len, 0);
	if (unsolicited)
		h.command.flags &= (uint8_t)~PDU_FINAL;
	peer_send(p, &h, BHS_LEN);
	return be32_get(h.command.itt);
}

static void ping(struct peer *p)
{
	union pdu h = { .nop = { .opcode = PDU_NOP_OUT | PDU_IMMEDIATE,
				 .flags = PDU_FINAL,
				 .itt = be32_make(p->itt++),
				 .ttt = be32_make(TAG_RESERVED) } };

	peer_send(p, &h, BHS_LEN);
	assert_non_null(peer_pdu(p, NULL, NULL));
}

/* How many commands the target would take now. */
static unsigned window(const struct peer *p)
{
	const struct iscsi_session *s = p->conn->session;

	return s->max_cmd_sn - s->exp_cmd_sn + 1;
}

/* ---- who holds memory does not wait for more --------------------------------------------------- */

#define WRITES_MAX 256

/* Writes that have the memory of their first bursts, and all of the pool is in use. */
static unsigned fill_pool(uint32_t itt[WRITES_MAX], struct peer *whose[WRITES_MAX], uint32_t len)
{
	unsigned n = 0, was;

	do {
		was = n;
		for (unsigned i = 0; i < PEERS; i++) {
			ping(peers[i]); /* the window may have opened */
			while (window(peers[i]) && n < WRITES_MAX) {
				whose[n] = peers[i];
				itt[n++] = start_write(peers[i], len, true);
			}
		}
	} while (n > was);
	take_all();
	return n;
}

static void writes_with_first_bursts_in_hand_do_not_wait_for_each_other(void **state)
{
	uint32_t itt[WRITES_MAX];
	struct peer *whose[WRITES_MAX];
	unsigned n;

	(void)state;
	for (unsigned i = 1; i < PEERS; i++)
		log_in(i);
	n = fill_pool(itt, whose, KIB(256));
	assert_in_range(n, 4, WRITES_MAX - 1);
	for (unsigned i = 0; i < n; i++)
		send_data(whose[i], itt[i], TAG_RESERVED, 0, FIRST_BURST);
	answer_all(n);
	assert_true(good > 0);
	give_back(true);
}

static void a_write_goes_on_with_what_memory_there_is(void **state)
{
	(void)state;
	take_all();
	give_back(false);
	start_write(peers[0], MIB(1), false);
	answer_all(1);
	assert_int_equal(good, 1);
	give_back(true);
}

static void a_write_with_nothing_in_hand_waits_for_memory(void **state)
{
	(void)state;
	take_all();
	start_write(peers[0], MIB(1), false);
	answer_until(1, SOON);
	assert_int_equal(good + full + others, 0);
	give_back(true);
	answer_all(1);
	assert_int_equal(good, 1);
}

static void compare_and_write_without_memory_gets_task_set_full(void **state)
{
	uint8_t cdb[16] = { 0x89, [13] = 1 };
	union pdu h;

	(void)state;
	take_all();
	h = peer_command(peers[0], cdb, 16, COMMAND_WRITE, 2 * WORLD_BLOCK, 2 * WORLD_BLOCK);
	peer_send(peers[0], &h, BHS_LEN);
	peer_send(peers[0], zeroes, 2 * WORLD_BLOCK);
	answer_all(1);
	assert_int_equal(full, 1);
	give_back(true);
	/* and with memory it goes well */
	h = peer_command(peers[0], cdb, 16, COMMAND_WRITE, 2 * WORLD_BLOCK, 2 * WORLD_BLOCK);
	peer_send(peers[0], &h, BHS_LEN);
	peer_send(peers[0], zeroes, 2 * WORLD_BLOCK);
	answer_all(2);
	assert_int_equal(good, 1);
}

/* ---- promises that nobody calls in --------------------------------------------------------------- */

static void open_window(struct peer *p, unsigned depth)
{
	for (unsigned tries = 0; window(p) < depth; tries++) {
		unsigned n = window(p);

		assert_true(tries < 100);
		good = full = others = 0;
		for (unsigned i = 0; i < n; i++)
			start_write(p, KIB(4), false);
		answer_all(n);
	}
	good = full = others = 0;
}

static void sweep(void)
{
	reactor_turn(world.data, 0);
	world.part->sweep.fn(&world.part->sweep);
}

static void an_idle_session_gives_memory_back_when_another_has_none(void **state)
{
	uint32_t promised;
	size_t had;

	(void)state;
	open_window(peers[0], MEMORY / 2 / FIRST_BURST);
	promised = peers[0]->conn->session->max_cmd_sn;
	had = peers[0]->conn->session->reserved;
	for (unsigned i = 0; i < 10; i++)
		sweep(); /* alone, it keeps all that it promised */
	assert_int_equal(peers[0]->conn->session->reserved, had);

	log_in(1);
	assert_int_equal(window(peers[1]), 1);
	for (unsigned i = 0; i < 10; i++) {
		ping(peers[1]); /* it would have more */
		sweep();
	}
	ping(peers[1]);
	assert_int_equal(window(peers[1]), WINDOW_MIN);
	assert_true(peers[0]->conn->session->reserved < had);
	assert_true(peers[0]->conn->session->reserved >= WINDOW_MIN * FIRST_BURST);
	/* a promise is a promise */
	assert_int_equal(peers[0]->conn->session->max_cmd_sn, promised);
	for (unsigned i = 0; i < 2 * WINDOW_MIN; i++)
		start_write(peers[i / WINDOW_MIN], KIB(4), false);
	answer_all(2 * WINDOW_MIN);
	assert_int_equal(good, 2 * WINDOW_MIN);
}

/* ---- no memory for a task ------------------------------------------------------------------------ */

static void a_command_without_memory_for_its_task_closes_that_connection_only(void **state)
{
	uint32_t itt;

	(void)state;
	log_in(1);
	itt = start_write(peers[0], FIRST_BURST, true);
	world_until(world.part->n.tasks == 1);
	world.part->tasks.limit = world.part->tasks.live;
	start_write(peers[1], KIB(4), false);
	for (unsigned i = 0; peer_receive(peers[1]); i++) {
		assert_true(i < NEVER);
		world_step();
	}
	assert_int_equal(peers[1]->in_len, 0); /* no answer: it would leave a gap */
	world.part->tasks.limit = 0;
	peer_close(peers[1]);
	peers[1] = NULL;
	send_data(peers[0], itt, TAG_RESERVED, 0, FIRST_BURST);
	answer_all(1);
	assert_int_equal(good, 1);
	log_in(1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
	const struct CMUnitTest tests[] = {
		T(writes_with_first_bursts_in_hand_do_not_wait_for_each_other),
		T(a_write_goes_on_with_what_memory_there_is),
		T(a_write_with_nothing_in_hand_waits_for_memory),
		T(compare_and_write_without_memory_gets_task_set_full),
		T(an_idle_session_gives_memory_back_when_another_has_none),
		T(a_command_without_memory_for_its_task_closes_that_connection_only),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
