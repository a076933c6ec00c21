/* SPDX-License-Identifier: BSD-2-Clause */
/* Receiving and sending of one connection: what it costs, and with how little memory it can do. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "world.h"

#define DEPTH 32
#define BURSTS 50
#define BLOCKS 8 /* 4 KiB */
#define BYTES (BLOCKS * WORLD_BLOCK)

static struct peer *peer;

static int up(const struct engine *engine, size_t cap)
{
	static const char keys[] = "InitialR2T=No\0ImmediateData=Yes";

	world_begin(engine, cap);
	peer = peer_login(keys, sizeof(keys));
	return 0;
}

static int up_epoll(void **state)
{
	return up(&engine_epoll, MIB(32));
}

static int up_best(void **state)
{
	const struct engine *e = engine_choose(NULL, NULL);

	return up(e, MIB(32));
}

static int up_tiny(void **state)
{
	return up(&engine_epoll, MIB(4));
}

static int down(void **state)
{
	peer_close(peer);
	world_until(world_is_empty());
	world_end();
	return 0;
}

static void fill(uint8_t *to, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(seed * 31 + i + i / 255);
}

/* ---- bursts --------------------------------------------------------------------- */

static size_t put_command(uint8_t *wire, bool write, unsigned i, unsigned seed)
{
	uint8_t cdb[16];
	union pdu h;

	rw16(cdb, write, i * BLOCKS, BLOCKS);
	h = peer_command(peer, cdb, 16, write ? COMMAND_WRITE : COMMAND_READ, BYTES,
			 write ? BYTES : 0);
	memcpy(wire, &h, BHS_LEN);
	if (write)
		fill(wire + BHS_LEN, BYTES, seed + i);
	return BHS_LEN + (write ? BYTES : 0);
}

/* Send @n commands in one go, take all answers; they must be good. */
static void burst(bool write, unsigned n, unsigned seed)
{
	static uint8_t wire[DEPTH * (BHS_LEN + BYTES)];
	uint8_t want[BYTES];
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += put_command(wire + len, write, i, seed);
	peer_send(peer, wire, len);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *data;
		uint32_t data_len;
		const union pdu *r = peer_pdu(peer, &data, &data_len);
		unsigned which;

		assert_non_null(r);
		assert_int_equal(r->basic.opcode, write ? PDU_SCSI_RESPONSE : PDU_DATA_IN);
		assert_int_equal(r->scsi_response.status, 0);
		if (write)
			continue;
		which = be32_get(r->basic.itt) - (peer->itt - n);
		assert_int_equal(data_len, BYTES);
		fill(want, BYTES, seed + which);
		assert_memory_equal(data, want, BYTES);
	}
}

static void open_window(void)
{
	for (unsigned n = 1; n <= DEPTH; n = n < 4 ? 4 : n * 2)
		burst(true, n, 1);
}

static void count(bool write, unsigned per_burst)
{
	struct reactor_stats before, after;
	struct bufpool_stats st;
	uint64_t gets;

	open_window();
	burst(write, DEPTH, 1);
	world_step();
	reactor_get_stats(world.data, &before);
	for (unsigned i = 0; i < BURSTS; i++)
		burst(write, DEPTH, 1);
	reactor_get_stats(world.data, &after);
	/* a burst of reads is one receive and one send, and a last receive that waits */
	assert_true(after.recvs - before.recvs <= BURSTS * per_burst);
	assert_true(after.sends - before.sends <= BURSTS * per_burst);
	bufpool_stats(reactor_bufpool(world.data), &st);
	gets = st.gets;
	assert_true(gets > 0);
	assert_int_equal(st.fails, 0);
}

static void a_burst_of_reads_costs_few_receives_and_sends(void **state)
{
	count(false, DEPTH / 10);
}

static void a_burst_of_writes_costs_few_receives_and_sends(void **state)
{
	count(true, DEPTH / 5);
}

/* ---- memory ---------------------------------------------------------------------------- */

static void write_and_read(uint32_t blocks, unsigned seed, uint32_t immediate)
{
	size_t len = blocks * WORLD_BLOCK;
	uint8_t *wire = malloc(len + BHS_LEN), cdb[16];
	const uint8_t *data;
	const union pdu *r;
	uint32_t got = 0, n;
	union pdu h;

	assert_non_null(wire);
	rw16(cdb, true, 0, blocks);
	h = peer_command(peer, cdb, 16, COMMAND_WRITE, (uint32_t)len, immediate);
	memcpy(wire, &h, BHS_LEN);
	fill(wire + BHS_LEN, len, seed);
	peer_send(peer, wire, BHS_LEN + immediate);
	while ((r = peer_pdu(peer, NULL, NULL)) && r->basic.opcode == PDU_R2T) {
		union pdu out = { .data_out = {
					  .opcode = PDU_DATA_OUT,
					  .flags = PDU_FINAL,
					  .itt = r->r2t.itt,
					  .ttt = r->r2t.ttt,
					  .offset = r->r2t.offset,
				  } };
		uint32_t off = be32_get(r->r2t.offset), want = be32_get(r->r2t.desired);

		/* no PDU is longer than MaxRecvDataSegmentLength */
		for (uint32_t at = 0, sn = 0; at < want; at += n, sn++) {
			n = min(want - at, 65536u);
			out.data_out.flags = at + n == want ? PDU_FINAL : 0;
			out.data_out.data_sn = be32_make(sn);
			out.data_out.offset = be32_make(off + at);
			out.data_out.data_len = be24_make(n);
			peer_send(peer, &out, BHS_LEN);
			peer_send(peer, wire + BHS_LEN + off + at, n);
		}
	}
	assert_non_null(r);
	assert_int_equal(r->basic.opcode, PDU_SCSI_RESPONSE);
	assert_int_equal(r->scsi_response.status, 0);

	rw16(cdb, false, 0, blocks);
	h = peer_command(peer, cdb, 16, COMMAND_READ, (uint32_t)len, 0);
	peer_send(peer, &h, BHS_LEN);
	do {
		r = peer_pdu(peer, &data, &n);
		assert_non_null(r);
		assert_int_equal(r->basic.opcode, PDU_DATA_IN);
		assert_memory_equal(data, wire + BHS_LEN + got, n);
		got += n;
	} while (!(r->basic.flags & DATA_IN_STATUS));
	assert_int_equal(got, len);
	free(wire);
}

static void writes_arrive_whatever_part_is_immediate(void **state)
{
	static const uint32_t immediate[] = { 0, 512, 4096, 16384, 16896, 65024, 65536 };

	for (unsigned i = 0; i < array_size(immediate); i++)
		for (uint32_t blocks = 1; blocks <= 2048; blocks = blocks * 3 + 1)
			write_and_read(blocks, i + blocks,
				       min(immediate[i], (uint32_t)(blocks * WORLD_BLOCK)));
}

/* The pool is empty: somebody else has all of it. */
static unsigned take_all(struct buf **all)
{
	unsigned n = 0;
	struct buf *b;

	reactor_turn(world.data, 0);
	while ((b = bufpool_get(reactor_bufpool(world.data), 4096))) {
		b->next = *all;
		*all = b;
		n++;
	}
	return n;
}

static void give_back(struct buf *all)
{
	reactor_turn(world.data, 0);
	while (all) {
		struct buf *b = all;

		all = b->next;
		buf_put(b);
	}
}

static void ping(uint32_t len)
{
	union pdu h = { .nop = { .opcode = PDU_NOP_OUT | PDU_IMMEDIATE,
				 .flags = PDU_FINAL,
				 .itt = be32_make(peer->itt++),
				 .ttt = be32_make(TAG_RESERVED) } };
	uint8_t text[64] = "answer me";
	const uint8_t *data;
	const union pdu *r;
	uint32_t n;

	h.nop.data_len = be24_make(len);
	peer_send(peer, &h, BHS_LEN);
	peer_send(peer, text, len + pdu_pad(len));
	r = peer_pdu(peer, &data, &n);
	assert_non_null(r);
	assert_int_equal(r->basic.opcode, PDU_NOP_IN);
	assert_int_equal(n, len);
	assert_memory_equal(data, text, n);
}

static void without_memory_a_connection_still_answers(void **state)
{
	struct buf *all = NULL;
	uint8_t cdb[16], data[BYTES] = { 0 };
	const union pdu *r;
	union pdu h;

	world_until(peer->conn->rx.b);
	reactor_turn(world.data, 0);
	rx_park(peer->conn);
	world_until(peer->conn->rx.polling);
	assert_true(take_all(&all) > 0);
	ping(9);
	assert_null(peer->conn->rx.b);
	/* what the window promises is reserved: this write has its memory */
	rw16(cdb, true, 0, BLOCKS);
	h = peer_command(peer, cdb, 16, COMMAND_WRITE, BYTES, BYTES);
	peer_send(peer, &h, BHS_LEN);
	peer_send(peer, data, BYTES);
	r = peer_pdu(peer, NULL, NULL);
	assert_non_null(r);
	assert_int_equal(r->basic.opcode, PDU_SCSI_RESPONSE);
	assert_int_equal(r->scsi_response.status, 0);
	ping(0);
	give_back(all);
	ping(64);
	assert_non_null(peer->conn->rx.b);
}

static void a_write_waits_for_memory_before_its_r2t(void **state)
{
	struct buf *all = NULL;
	uint8_t cdb[16];
	const union pdu *r;
	union pdu h;

	assert_true(take_all(&all) > 0);
	rw16(cdb, true, 0, 1024);
	h = peer_command(peer, cdb, 16, COMMAND_WRITE, 1024 * WORLD_BLOCK, 0);
	peer_send(peer, &h, BHS_LEN);
	ping(4); /* and no R2T before it */
	give_back(all);
	r = peer_pdu(peer, NULL, NULL);
	assert_non_null(r);
	assert_int_equal(r->basic.opcode, PDU_R2T);
}

static void an_idle_connection_holds_no_buffer(void **state)
{
	struct bufpool_stats st;

	burst(true, 1, 1);
	burst(false, 1, 1);
	world_until(peer->conn->rx.b);
	reactor_turn(world.data, 0);
	peer->conn->heard -= 2 * SWEEP_NS; /* it was silent for a while */
	peer->conn->part->sweep.fn(&peer->conn->part->sweep);
	world_until(peer->conn->rx.polling);
	bufpool_stats(reactor_bufpool(world.data), &st);
	assert_int_equal(st.used, 0);
	ping(5);
}

/* ---- a peer that does not read ------------------------------------------------------------- */

static void commands_wait_while_the_peer_reads_nothing(void **state)
{
	enum { READS = 32, BLOCKS_EACH = 2048 };
	union pdu h[READS];
	uint8_t cdb[16];
	unsigned done = 0;

	open_window();
	rw16(cdb, false, 0, BLOCKS_EACH);
	for (unsigned i = 0; i < READS; i++)
		h[i] = peer_command(peer, cdb, 16, COMMAND_READ, BLOCKS_EACH * WORLD_BLOCK, 0);
	peer_send(peer, h, sizeof(h));
	for (int i = 0; i < 1000; i++)
		world_step();
	/* one turn may bring in more than the limit, but not everything */
	assert_true(peer->conn->tx.queued < READS * (size_t)MIB(1));
	while (done < READS) {
		const union pdu *r = peer_pdu(peer, NULL, NULL);

		assert_non_null(r);
		done += r->basic.opcode == PDU_DATA_IN && r->basic.flags & DATA_IN_STATUS;
	}
}

static void a_peer_that_never_reads_is_closed(void **state)
{
	uint8_t cdb[16];
	union pdu h;

	rw16(cdb, false, 0, 8192);
	h = peer_command(peer, cdb, 16, COMMAND_READ, 8192 * WORLD_BLOCK, 0);
	peer_send(peer, &h, sizeof(h));
	for (int i = 0; i < 1000; i++)
		world_step();
	assert_true(io_pending(&peer->conn->tx.op));
	reactor_turn(world.data, 0);
	peer->conn->tx.progress -= 2 * TX_STUCK_NS;
	peer->conn->part->sweep.fn(&peer->conn->part->sweep);
	world_until(world_is_empty());
}

/* ---- memory that a store wants in its own way ------------------------------------------ */

static void a_parameter_list_needs_no_alignment(void **state)
{
	uint8_t cdb[16] = { 0x42, [8] = 24 },
		wire[BHS_LEN + 24] = { 0 }; /* UNMAP, one descriptor of no blocks */
	const union pdu *r;
	union pdu h;

	(void)state;
	world.lu->part[0].view.mem_align = 512;
	h = peer_command(peer, cdb, 16, COMMAND_WRITE, 24, 24);
	memcpy(wire, &h, BHS_LEN);
	wire[BHS_LEN + 1] = 22;
	wire[BHS_LEN + 3] = 16;
	peer_send(peer, wire, sizeof(wire));
	r = peer_pdu(peer, NULL, NULL);
	assert_non_null(r);
	assert_int_equal(r->basic.opcode, PDU_SCSI_RESPONSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_burst_of_reads_costs_few_receives_and_sends,
						up_best, down),
		cmocka_unit_test_setup_teardown(a_burst_of_writes_costs_few_receives_and_sends,
						up_best, down),
		cmocka_unit_test_setup_teardown(writes_arrive_whatever_part_is_immediate, up_epoll,
						down),
		cmocka_unit_test_setup_teardown(without_memory_a_connection_still_answers, up_tiny,
						down),
		cmocka_unit_test_setup_teardown(a_write_waits_for_memory_before_its_r2t, up_tiny,
						down),
		cmocka_unit_test_setup_teardown(a_parameter_list_needs_no_alignment, up_epoll, down),
		cmocka_unit_test_setup_teardown(an_idle_connection_holds_no_buffer, up_epoll, down),
		cmocka_unit_test_setup_teardown(commands_wait_while_the_peer_reads_nothing,
						up_epoll, down),
		cmocka_unit_test_setup_teardown(a_peer_that_never_reads_is_closed, up_epoll, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
