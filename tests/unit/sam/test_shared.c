/* SPDX-License-Identifier: BSD-2-Clause */
/* Data in memory that is shared with the initiator: what is given away, what is copied, where pieces begin. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/sgl.h"
#include "sam/shared.h"
#include "world.h"

#define SIZE 8192u

static uint8_t memory[SIZE];
static struct iovec list[8];
static unsigned nlist;

/* The command that asks, and what it got. */
static struct scsi_cmd cmd;
static struct shared_data data;
static const struct iovec *out;
static unsigned out_cnt;
static uint32_t out_len;
static bool came;

static void have_data(struct scsi_cmd *c)
{
	came = true;
	out = c->out;
	out_cnt = c->out_cnt;
	out_len = c->out_len;
}

/* Segments of these lengths, one after the other in memory; 0 ends. */
static void cut_memory(const uint32_t *len)
{
	uint32_t at = 0;

	for (nlist = 0; len[nlist]; at += len[nlist++])
		list[nlist] = (struct iovec){ memory + at, len[nlist] };
	for (unsigned i = 0; i < SIZE; i++)
		memory[i] = (uint8_t)(i * 7 + i / 256);
}
#define CUT(...) cut_memory((const uint32_t[]){ __VA_ARGS__, 0 })

static int setup(void **state)
{
	struct it_nexus *n;

	world_begin();
	n = login("iqn.2026-11.test:i");
	memset(&cmd, 0, sizeof(cmd));
	cmd.nexus = n;
	cmd.itl = nexus_itl(n, 1);
	cmd.lu = cmd.itl->lu;
	cmd.next = have_data;
	came = false;
	reactor_turn(n->reactor, 0);
	return 0;
}

static int teardown(void **state)
{
	shared_data_end(&data);
	world_end();
	return 0;
}

static void begin(void)
{
	shared_data_init(&data, list, nlist, list, nlist);
}

static void ask_out(uint32_t off, uint32_t len, bool some)
{
	came = false;
	cmd.out_some = some;
	cmd.next = have_data;
	shared_data_out(&data, &cmd, off, len);
	assert_true(came);
}

static void assert_same(uint32_t off, uint32_t len)
{
	uint8_t got[SIZE];

	assert_int_equal(out_len, len);
	assert_int_equal(sgl_length(out, out_cnt), len);
	sgl_copy_out(out, out_cnt, 0, got, len);
	assert_memory_equal(got, memory + off, len);
}

static void what_a_store_reads_is_the_initiators_memory_itself(void **state)
{
	CUT(100, 412, 512);
	begin();
	ask_out(0, 1024, true);
	assert_same(0, 1024);
	assert_ptr_equal(out[0].iov_base, memory);
	assert_int_equal(out_cnt, 3);
}

static void what_is_interpreted_is_a_copy(void **state)
{
	CUT(100, 412);
	begin();
	ask_out(0, 512, false);
	assert_same(0, 512);
	assert_ptr_not_equal(out[0].iov_base, memory);
	memory[0] ^= 0xff; /* the initiator changes its mind: too late */
	assert_int_not_equal(*(const uint8_t *)out[0].iov_base, memory[0]);
}

static void what_a_store_wants_aligned_is_copied(void **state)
{
	CUT(100, 412);
	cmd.itl->part->view.mem_align = 512;
	begin();
	ask_out(0, 512, true);
	assert_same(0, 512);
	assert_true(((uintptr_t)out[0].iov_base & 511) == 0);
}

static void pieces_go_forward_across_segments(void **state)
{
	CUT(100, 1000, 24, 3000);
	begin();
	for (uint32_t off = 0; off < 4096; off += 512) {
		ask_out(off, 512, true);
		assert_same(off, 512);
	}
}

static void segments_without_bytes_are_walked_over(void **state)
{
	CUT(512, 512, 512);
	list[1].iov_len = 0;
	list[2].iov_base = memory + 512;
	begin();
	ask_out(0, 512, true);
	ask_out(512, 512, true);
	assert_same(512, 512);
}

static void a_copy_larger_than_a_buffer_has_several(void **state)
{
	const uint32_t len = 3 * BUF_MAX;
	uint8_t *large = malloc(len);
	struct iovec v = { large, len };

	assert_non_null(large);
	memset(large, 0x5a, len);
	shared_data_init(&data, NULL, 0, &v, 1);
	ask_out(0, len, false);
	assert_int_equal(out_len, len);
	assert_int_equal(out_cnt, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_memory_equal(out[i].iov_base, large, BUF_MAX);
	free(large);
}

static void a_part_will_do_where_a_copy_is_long(void **state)
{
	const uint32_t len = 2 * BUF_MAX;
	uint8_t *large = aligned_alloc(512, len + 512);
	struct iovec v = { large + 1, len };

	assert_non_null(large);
	memset(large, 0x5a, len + 512);
	cmd.itl->part->view.mem_align = 512;
	shared_data_init(&data, NULL, 0, &v, 1);
	ask_out(0, len, true);
	assert_int_equal(out_len, BUF_MAX);
	free(large);
}

static void data_in_go_where_the_segments_say(void **state)
{
	struct buf *b = bufpool_get(reactor_bufpool(cmd.nexus->reactor), 600);
	uint8_t want[600];

	CUT(100, 500, 1000);
	begin();
	for (unsigned i = 0; i < sizeof(want); i++)
		want[i] = b->data[i] = (uint8_t)(i ^ 0x33);
	shared_data_in(&data, 0, buf_ref(b), b->data, 300);
	shared_data_in(&data, 300, b, b->data + 300, 300);
	assert_memory_equal(memory, want, sizeof(want));
}

static void data_in_beyond_the_segments_are_left_out(void **state)
{
	struct buf *b = bufpool_get(reactor_bufpool(cmd.nexus->reactor), 600);
	uint8_t after;

	CUT(100);
	after = memory[100];
	begin();
	memset(b->data, 0x11, 600);
	shared_data_in(&data, 0, b, b->data, 600);
	assert_int_equal(memory[99], 0x11);
	assert_int_equal(memory[100], after);
}

static void room_is_the_initiators_memory(void **state)
{
	const struct iovec *v;
	unsigned n;

	CUT(100, 1000);
	begin();
	assert_int_equal(shared_data_room(&data, 0, 512, &v, &n), 512);
	assert_int_equal(sgl_length(v, n), 512);
	assert_ptr_equal(v[0].iov_base, memory);
	assert_int_equal(shared_data_room(&data, 512, 8000, &v, &n), 588);
	assert_ptr_equal(v[0].iov_base, memory + 512);
}

static void room_asked_for_again_is_the_same(void **state)
{
	const struct iovec *v;
	unsigned n;

	CUT(100, 1000, 500);
	begin();
	shared_data_room(&data, 50, 1100, &v, &n);
	assert_int_equal(shared_data_room(&data, 50, 60, &v, &n), 60);
	assert_ptr_equal(v[0].iov_base, memory + 50);
	assert_int_equal(shared_data_room(&data, 110, 1490, &v, &n), 1490);
	assert_int_equal(sgl_length(v, n), 1490);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_a_store_reads_is_the_initiators_memory_itself),
		T(what_is_interpreted_is_a_copy),
		T(what_a_store_wants_aligned_is_copied),
		T(pieces_go_forward_across_segments),
		T(segments_without_bytes_are_walked_over),
		T(a_copy_larger_than_a_buffer_has_several),
		T(a_part_will_do_where_a_copy_is_long),
		T(data_in_go_where_the_segments_say),
		T(data_in_beyond_the_segments_are_left_out),
		T(room_is_the_initiators_memory),
		T(room_asked_for_again_is_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
