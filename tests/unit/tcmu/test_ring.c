/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring's rules, against the kernel's side of them. */
#include <stdarg.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bits.h"
#include "kernel.h"
#include "transport/tcmu/part.h"
#include "transport/tcmu/uapi.h"

#define CMDR 8192u

static struct {
	struct kernel k;
	struct ring r;
	void *map;
	struct iovec iov[KERNEL_BLOCKS_MAX];
} t;

static const uint8_t tur[6];

static int setup(void **state)
{
	const char *why;

	t.map = mmap(NULL, kernel_bytes(CMDR), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	assert_ptr_not_equal(t.map, MAP_FAILED);
	kernel_init(&t.k, t.map, CMDR);
	return ring_open(&t.r, t.map, t.k.size, &why);
}

static int teardown(void **state)
{
	kernel_fini(&t.k);
	munmap(t.map, kernel_bytes(CMDR));
	return 0;
}

static struct tcmu_mailbox *mailbox(void)
{
	return t.map;
}

static struct tcmu_cmd_entry *entry(uint32_t at)
{
	return (void *)((uint8_t *)t.map + t.r.cmdr_off + at);
}

/* Queue a command without data and take it. */
static void take(struct ring_slot *s, bool once)
{
	struct ring_entry e;
	uint32_t total;
	unsigned n;

	assert_true(kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0));
	assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
	assert_true(ring_take(&t.r, &e, s, once, t.iov, &n, &total));
}

static void finish(struct ring_slot *s, uint8_t status)
{
	struct ring_answer a = { .status = status };

	ring_complete(&t.r, s, &a);
}

/* ---- the mailbox ---- */

static void assert_refused(void)
{
	const char *why = NULL;
	struct ring r;

	assert_int_equal(ring_open(&r, t.map, t.k.size, &why), -EPROTO);
	assert_non_null(why);
}

static void another_version_is_refused(void **state)
{
	mailbox()->version = 1;
	assert_refused();
}

static void a_kernel_without_completions_out_of_order_is_refused(void **state)
{
	mailbox()->flags &= ~TCMU_MAILBOX_FLAG_CAP_OOOC;
	assert_refused();
}

static void a_ring_outside_of_the_memory_is_refused(void **state)
{
	mailbox()->cmdr_size = (uint32_t)t.k.size & ~7u;
	assert_refused();
	mailbox()->cmdr_size = CMDR;
	mailbox()->cmdr_off = UINT32_MAX - 7;
	assert_refused();
}

static void a_ring_over_the_mailbox_is_refused(void **state)
{
	mailbox()->cmdr_off = 64;
	assert_refused();
}

static void a_tail_outside_of_the_ring_is_refused(void **state)
{
	mailbox()->cmd_tail = CMDR;
	assert_refused();
}

static void memory_too_small_for_a_mailbox_is_refused(void **state)
{
	const char *why;
	struct ring r;

	assert_int_equal(ring_open(&r, t.map, 64, &why), -EPROTO);
}

/* ---- entries ---- */

static void an_empty_ring_has_nothing(void **state)
{
	struct ring_entry e;

	assert_false(ring_has_more(&t.r));
	assert_int_equal(ring_peek(&t.r, &e), RING_EMPTY);
	assert_null(t.r.broken);
}

static void a_command_brings_its_cdb_and_its_segments(void **state)
{
	uint8_t data[3 * KERNEL_BLOCK];
	struct ring_entry e;
	struct ring_slot s;
	uint32_t total;
	unsigned n;

	memset(data, 0x5a, sizeof(data));
	t.k.scatter = true;
	assert_true(kernel_queue(&t.k, kernel_rw(true, 7, 24), 10, KERNEL_OUT, data, sizeof(data)));
	assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
	assert_memory_equal(e.cdb, kernel_rw(true, 7, 24), 10);
	assert_int_equal(e.cdb_len, 16);
	assert_true(ring_take(&t.r, &e, &s, false, t.iov, &n, &total));
	assert_int_equal(n, 3);
	assert_int_equal(total, sizeof(data));
	for (unsigned i = 0; i < n; i++)
		assert_memory_equal(t.iov[i].iov_base, data, KERNEL_BLOCK);
}

static void segments_that_touch_are_joined(void **state)
{
	struct ring_entry e;
	struct ring_slot s;
	uint64_t half[2];
	uint32_t total;
	unsigned n;

	assert_true(kernel_queue(&t.k, kernel_rw(false, 0, 8), 10, KERNEL_IN, NULL, KERNEL_BLOCK));
	memcpy(half, (uint8_t *)entry(0) + 48, sizeof(half));
	half[1] /= 2;
	memcpy((uint8_t *)entry(0) + 48, half, sizeof(half));
	half[0] += half[1];
	memcpy((uint8_t *)entry(0) + 64, half, sizeof(half));
	entry(0)->req.iov_cnt = 2;
	assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
	assert_true(ring_take(&t.r, &e, &s, false, t.iov, &n, &total));
	assert_int_equal(n, 1);
	assert_int_equal(total, KERNEL_BLOCK);
}

static void a_long_cdb_is_taken_whole(void **state)
{
	uint8_t cdb[32] = { 0x7f, [7] = 24, [9] = 9, [31] = 0xee };
	struct ring_entry e;

	assert_true(kernel_queue(&t.k, cdb, sizeof(cdb), KERNEL_NONE, NULL, 0));
	assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
	assert_int_equal(e.cdb_len, 32);
	assert_memory_equal(e.cdb, cdb, 32);
}

static void a_long_cdb_beyond_the_ring_breaks_it(void **state)
{
	uint8_t cdb[32] = { 0x7f, [7] = 252 };
	struct ring_entry e;

	assert_true(kernel_queue(&t.k, cdb, sizeof(cdb), KERNEL_NONE, NULL, 0));
	entry(0)->req.cdb_off = t.r.cmdr_off + CMDR - 16;
	memcpy((uint8_t *)t.map + t.r.cmdr_off + CMDR - 16, cdb, 16);
	assert_int_equal(ring_peek(&t.r, &e), RING_EMPTY);
	assert_non_null(t.r.broken);
}

static void the_ring_wraps_over_a_pad(void **state)
{
	struct ring_slot s;

	for (unsigned i = 0; i < 500; i++) {
		take(&s, false);
		finish(&s, 0);
		kernel_complete(&t.k);
	}
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, 500);
}

static void a_full_ring_is_taken_to_the_last_entry(void **state)
{
	static struct ring_slot s[200];
	struct ring_entry e;
	uint32_t total;
	unsigned n, queued = 0, taken = 0;

	while (kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0))
		queued++;
	while (ring_peek(&t.r, &e) == RING_COMMAND)
		assert_true(ring_take(&t.r, &e, &s[taken++], false, t.iov, &n, &total));
	assert_int_equal(taken, queued);
	while (taken)
		finish(&s[--taken], 0);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, queued);
}

/* ---- completions ---- */

static void a_completion_has_status_and_sense(void **state)
{
	uint8_t sense[18] = { 0x70, 0, 5, [12] = 0x24 };
	struct ring_answer a = { .status = 2, .sense = sense, .sense_len = 18 };
	struct ring_slot s;
	uint16_t id;

	take(&s, false);
	id = s.id;
	ring_complete(&t.r, &s, &a);
	kernel_complete(&t.k);
	assert_true(t.k.cmd[id].done);
	assert_int_equal(t.k.cmd[id].status, 2);
	assert_memory_equal(t.k.cmd[id].sense, sense, 18);
}

static void commands_end_in_any_order(void **state)
{
	static const unsigned order[] = { 3, 0, 4, 1, 2 };
	struct ring_slot s[5];
	uint16_t id[5];

	for (unsigned i = 0; i < 5; i++) {
		take(&s[i], false);
		id[i] = s[i].id;
	}
	for (unsigned i = 0; i < 5; i++) {
		unsigned n = order[i];

		finish(&s[n], (uint8_t)(n * 8));
		kernel_complete(&t.k);
		assert_false(t.k.broken);
		assert_int_equal(t.k.completed, i + 1);
		assert_true(t.k.cmd[id[n]].done);
		assert_int_equal(t.k.cmd[id[n]].status, n * 8);
	}
	assert_int_equal(kernel_tail(&t.k), kernel_head(&t.k));
}

static void random_orders_never_break_the_ring(void **state)
{
	static struct ring_slot s[32];
	bool live[32] = { false };
	unsigned seed = 7, n = 0;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned at = rand_r(&seed) % 32;

		if (live[at]) {
			finish(&s[at], 0);
			live[at] = false;
			if (rand_r(&seed) % 3)
				kernel_complete(&t.k);
		} else if (kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0)) {
			struct ring_entry e;
			uint32_t total;
			unsigned segs;

			assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
			assert_true(ring_take(&t.r, &e, &s[at], false, t.iov, &segs, &total));
			live[at] = true;
			n++;
		} else {
			kernel_complete(&t.k);
		}
	}
	for (unsigned i = 0; i < 32; i++)
		if (live[i])
			finish(&s[i], 0);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, n);
}

static void the_kernel_is_told_once_of_many_completions(void **state)
{
	struct ring_slot s[3];

	for (unsigned i = 0; i < 3; i++)
		take(&s[i], false);
	assert_false(ring_take_news(&t.r));
	for (unsigned i = 0; i < 3; i++)
		finish(&s[i], 0);
	assert_true(ring_take_news(&t.r));
	assert_false(ring_take_news(&t.r));
}

static void an_unknown_operation_is_completed_as_such(void **state)
{
	static const struct ring_answer unknown = { .unknown = true };
	struct ring_entry e;
	struct ring_slot s;
	uint32_t total;
	uint16_t id;
	unsigned n;

	id = kernel_queue_odd(&t.k, 5, 16);
	assert_int_equal(ring_peek(&t.r, &e), RING_UNKNOWN);
	assert_true(ring_take(&t.r, &e, &s, false, NULL, &n, &total));
	ring_complete(&t.r, &s, &unknown);
	kernel_complete(&t.k);
	assert_true(t.k.cmd[id].done);
	assert_int_equal(t.k.cmd[id].uflags, TCMU_UFLAG_UNKNOWN_OP);
}

static void an_unknown_operation_waits_for_what_came_before(void **state)
{
	struct ring_entry e;
	struct ring_slot s;

	take(&s, false);
	assert_true(kernel_queue_odd(&t.k, 5, 16));
	assert_int_equal(ring_peek(&t.r, &e), RING_WAIT);
	finish(&s, 0);
	assert_int_equal(ring_peek(&t.r, &e), RING_UNKNOWN);
}

static void a_length_goes_with_short_data(void **state)
{
	struct ring_answer a = { .has_read_len = true, .read_len = 36 };
	struct ring_entry e;
	struct ring_slot s;
	uint32_t total;
	unsigned n;
	uint16_t id =
		kernel_queue(&t.k, (const uint8_t[6]){ 0x12, [4] = 255 }, 6, KERNEL_IN, NULL, 255);

	assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
	assert_true(ring_take(&t.r, &e, &s, false, t.iov, &n, &total));
	ring_complete(&t.r, &s, &a);
	kernel_complete(&t.k);
	assert_int_equal(t.k.cmd[id].read_len, 36);
	assert_int_equal(t.k.cmd[id].in_len, 36);
}

/* ---- task management ---- */

static void a_task_management_entry_names_its_commands(void **state)
{
	static const uint16_t ids[] = { 4, 9, 65535 };
	struct ring_entry e;

	assert_true(kernel_queue_tmr(&t.k, TCMU_TMR_LUN_RESET, ids, 3));
	assert_int_equal(ring_peek(&t.r, &e), RING_TMR);
	assert_int_equal(e.tmr, TCMU_TMR_LUN_RESET);
	assert_int_equal(e.ids, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ring_tmr_id(&t.r, &e, i), ids[i]);
	ring_skip(&t.r, &e);
	assert_true(ring_take_news(&t.r));
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.cleaned, kernel_head(&t.k));
}

static void a_task_management_entry_among_commands_is_passed_in_order(void **state)
{
	struct ring_slot s[2];
	struct ring_entry e;

	take(&s[0], false);
	assert_true(kernel_queue_tmr(&t.k, 1, &s[0].id, 1));
	assert_int_equal(ring_peek(&t.r, &e), RING_TMR);
	ring_skip(&t.r, &e);
	take(&s[1], false);
	finish(&s[1], 0);
	kernel_complete(&t.k);
	assert_int_equal(t.k.completed, 1);
	finish(&s[0], 0);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, 2);
	assert_int_equal(t.k.cleaned, kernel_head(&t.k));
}

/* ---- what cannot be ---- */

static void assert_breaks(void)
{
	struct ring_entry e;
	struct ring_slot s;
	uint32_t total;
	unsigned n;

	if (ring_peek(&t.r, &e) == RING_COMMAND)
		assert_false(ring_take(&t.r, &e, &s, false, t.iov, &n, &total));
	assert_non_null(t.r.broken);
	assert_false(ring_has_more(&t.r));
	assert_int_equal(ring_peek(&t.r, &e), RING_EMPTY);
	assert_true(list_empty(&t.r.slots));
}

static void a_head_outside_of_the_ring_breaks_it(void **state)
{
	kernel_set_head(&t.k, CMDR + 8);
	assert_breaks();
}

static void a_crooked_head_breaks_it(void **state)
{
	kernel_set_head(&t.k, 4);
	assert_breaks();
}

static void an_entry_of_no_length_breaks_it(void **state)
{
	kernel_set_head(&t.k, 64);
	assert_breaks();
}

static void an_entry_beyond_the_head_breaks_it(void **state)
{
	kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0);
	kernel_set_head(&t.k, 64);
	assert_breaks();
}

static void a_command_too_short_for_its_answer_breaks_it(void **state)
{
	kernel_queue_odd(&t.k, TCMU_OP_CMD, 104);
	assert_breaks();
}

static void more_segments_than_the_entry_breaks_it(void **state)
{
	kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0);
	entry(0)->req.iov_cnt = UINT32_MAX;
	entry(0)->req.iov_bidi_cnt = UINT32_MAX;
	assert_breaks();
}

static void a_cdb_outside_of_the_ring_breaks_it(void **state)
{
	kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0);
	entry(0)->req.cdb_off = UINT64_MAX - 3;
	assert_breaks();
}

static void a_segment_outside_of_the_data_area_breaks_it(void **state)
{
	uint64_t seg[2] = { 0, 512 };

	kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0);
	entry(0)->req.iov_cnt = 1;
	memcpy((uint8_t *)entry(0) + 48, seg, sizeof(seg));
	assert_breaks();
}

static void a_segment_beyond_the_memory_breaks_it(void **state)
{
	uint64_t seg[2] = { t.k.size - 8, UINT64_MAX - 4 };

	kernel_queue(&t.k, tur, 6, KERNEL_NONE, NULL, 0);
	entry(0)->req.iov_cnt = 1;
	memcpy((uint8_t *)entry(0) + 48, seg, sizeof(seg));
	assert_breaks();
}

static void more_aborted_commands_than_the_entry_breaks_it(void **state)
{
	kernel_queue_tmr(&t.k, 5, NULL, 0);
	((struct tcmu_tmr_entry *)entry(0))->cmd_cnt = 0x80000001;
	assert_breaks();
}

static void a_broken_ring_is_not_written(void **state)
{
	struct ring_slot s;
	uint32_t tail;

	take(&s, false);
	tail = kernel_tail(&t.k);
	t.r.broken = "by the test";
	finish(&s, 0);
	assert_int_equal(kernel_tail(&t.k), tail);
	assert_false(ring_take_news(&t.r));
	assert_true(list_empty(&t.r.slots));
}

static void pads_without_end_do_not_keep_a_turn(void **state)
{
	struct ring_entry e;

	for (uint32_t at = 0; at < CMDR; at += 8)
		entry(at)->hdr.len_op = 8;
	kernel_set_head(&t.k, CMDR - 8);
	assert_int_equal(ring_peek(&t.r, &e), RING_EMPTY);
	assert_true(ring_has_more(&t.r));
	for (unsigned i = 0; i < CMDR / 8 && ring_has_more(&t.r); i++)
		ring_peek(&t.r, &e);
	assert_false(ring_has_more(&t.r));
	assert_null(t.r.broken);
}

/* ---- after a death ---- */

static void lost(struct ring_answer *a, bool once)
{
	a->status = once ? 2 : 8;
}

static int reopen(bool *once)
{
	const char *why;

	assert_int_equal(ring_open(&t.r, t.map, t.k.size, &why), 0);
	return ring_recover(&t.r, lost, once);
}

static void commands_that_were_taken_are_answered_by_the_next(void **state)
{
	struct ring_slot s[3];
	bool once;

	take(&s[0], false);
	take(&s[1], true);
	take(&s[2], false);
	assert_int_equal(reopen(&once), 3);
	assert_true(once);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.cmd[s[0].id].status, 8);
	assert_int_equal(t.k.cmd[s[1].id].status, 2);
	assert_int_equal(t.k.cmd[s[2].id].status, 8);
}

static void what_was_completed_is_not_answered_again(void **state)
{
	struct ring_slot s[4];
	uint16_t id[4];
	bool once;

	for (unsigned i = 0; i < 4; i++) {
		take(&s[i], i == 0);
		id[i] = s[i].id;
	}
	finish(&s[2], 0); /* in the place of the first, which moves */
	finish(&s[1], 0);
	assert_int_equal(reopen(&once), 2);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, 4);
	assert_int_equal(t.k.cmd[id[0]].status, 2);
	assert_int_equal(t.k.cmd[id[1]].status, 0);
	assert_int_equal(t.k.cmd[id[2]].status, 0);
	assert_int_equal(t.k.cmd[id[3]].status, 8);
}

static void what_was_not_taken_is_there_for_the_next(void **state)
{
	struct ring_slot s;
	struct ring_entry e;
	uint16_t id;
	bool once;

	take(&s, false);
	id = kernel_queue(&t.k, kernel_rw(false, 3, 1), 10, KERNEL_IN, NULL, 512);
	assert_int_equal(reopen(&once), 1);
	assert_int_equal(ring_peek(&t.r, &e), RING_COMMAND);
	assert_int_equal(e.id, id);
	assert_memory_equal(e.cdb, kernel_rw(false, 3, 1), 10);
}

static void one_command_named_twice_asks_for_a_reset(void **state)
{
	struct ring_slot s[2];
	bool once;

	take(&s[0], true);
	take(&s[1], false);
	/* died between the two words of changing places */
	memcpy(&entry(s[1].at)->hdr.cmd_id, &entry(s[0].at)->hdr.cmd_id, 4);
	assert_int_equal(reopen(&once), -EUCLEAN);
	assert_true(once);
	kernel_complete(&t.k);
	assert_int_equal(t.k.completed, 0);
}

/* A process that dies between the words of a completion: of reading a sense that is not there. */
static void die_completing(struct ring_slot *s)
{
	struct ring_answer a = { .status = 2, .sense_len = 18 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
		signal(SIGSEGV, SIG_DFL);
		a.sense = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ring_complete(&t.r, s, &a);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void a_death_between_two_words_forgets_no_mark(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct ring_slot s[2];
		bool once;

		take(&s[0], i & 1);
		take(&s[1], i & 2);
		die_completing(&s[1]);
		assert_int_equal(reopen(&once), -EUCLEAN);
		assert_int_equal(once, i != 0);
		kernel_reset(&t.k, 8);
		assert_int_equal(reopen(&once), 0);
	}
}

static void an_answer_that_was_not_told_stays(void **state)
{
	struct ring_slot s[3];
	uint32_t tail;
	uint16_t id[3];
	bool once;

	for (unsigned i = 0; i < 3; i++) {
		take(&s[i], false);
		id[i] = s[i].id;
	}
	tail = kernel_tail(&t.k);
	finish(&s[1], 0);
	mailbox()->cmd_tail = tail; /* died before this word */
	assert_int_equal(reopen(&once), 2);
	mailbox()->cmd_tail = tail; /* and so did the next one, after its answers */
	assert_int_equal(reopen(&once), 0);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, 3);
	assert_int_equal(t.k.cmd[id[0]].status, 8);
	assert_int_equal(t.k.cmd[id[1]].status, 0);
	assert_int_equal(t.k.cmd[id[2]].status, 8);
}

static void answers_that_were_half_made_are_made_whole(void **state)
{
	struct ring_slot s[3];
	struct tcmu_cmd_entry_hdr last;
	uint32_t tail = kernel_tail(&t.k), at;
	bool once;

	for (unsigned i = 0; i < 3; i++)
		take(&s[i], false);
	at = s[2].at;
	last = entry(at)->hdr;
	assert_int_equal(reopen(&once), 3);
	entry(at)->hdr = last; /* who answered died before the last one */
	mailbox()->cmd_tail = tail;
	assert_int_equal(reopen(&once), 1);
	kernel_complete(&t.k);
	assert_false(t.k.broken);
	assert_int_equal(t.k.completed, 3);
}

static void every_moment_of_death_leaves_each_command_one_answer(void **state)
{
	static struct ring_slot s[16];
	unsigned seed = 3;

	for (unsigned round = 0; round < 300; round++) {
		unsigned n = 1 + rand_r(&seed) % 12, live = n;
		uint16_t id[16];
		bool once;

		for (unsigned i = 0; i < n; i++) {
			take(&s[i], rand_r(&seed) % 2);
			id[i] = s[i].id;
		}
		for (unsigned end = rand_r(&seed) % n; end; end--, live--) {
			unsigned i = rand_r(&seed) % live;
			struct ring_slot *last = &s[live - 1];

			/* keep those that live together; a slot is moved by moving what it says */
			finish(&s[i], 0);
			if (&s[i] != last) {
				s[i] = *last;
				list_insert(&s[i].link, last->link.prev, last->link.next);
			}
		}
		assert_int_equal(reopen(&once), live);
		kernel_complete(&t.k);
		assert_false(t.k.broken);
		for (unsigned i = 0; i < n; i++)
			assert_true(t.k.cmd[id[i]].done);
	}
}

static void a_ring_of_nonsense_asks_for_a_reset(void **state)
{
	bool once;

	kernel_set_head(&t.k, 640);
	assert_int_equal(reopen(&once), -EUCLEAN);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(another_version_is_refused),
		test(a_kernel_without_completions_out_of_order_is_refused),
		test(a_ring_outside_of_the_memory_is_refused),
		test(a_ring_over_the_mailbox_is_refused),
		test(a_tail_outside_of_the_ring_is_refused),
		test(memory_too_small_for_a_mailbox_is_refused),
		test(an_empty_ring_has_nothing),
		test(a_command_brings_its_cdb_and_its_segments),
		test(segments_that_touch_are_joined),
		test(a_long_cdb_is_taken_whole),
		test(a_long_cdb_beyond_the_ring_breaks_it),
		test(the_ring_wraps_over_a_pad),
		test(a_full_ring_is_taken_to_the_last_entry),
		test(a_completion_has_status_and_sense),
		test(commands_end_in_any_order),
		test(random_orders_never_break_the_ring),
		test(the_kernel_is_told_once_of_many_completions),
		test(an_unknown_operation_is_completed_as_such),
		test(an_unknown_operation_waits_for_what_came_before),
		test(a_length_goes_with_short_data),
		test(a_task_management_entry_names_its_commands),
		test(a_task_management_entry_among_commands_is_passed_in_order),
		test(a_head_outside_of_the_ring_breaks_it),
		test(a_crooked_head_breaks_it),
		test(an_entry_of_no_length_breaks_it),
		test(an_entry_beyond_the_head_breaks_it),
		test(a_command_too_short_for_its_answer_breaks_it),
		test(more_segments_than_the_entry_breaks_it),
		test(a_cdb_outside_of_the_ring_breaks_it),
		test(a_segment_outside_of_the_data_area_breaks_it),
		test(a_segment_beyond_the_memory_breaks_it),
		test(more_aborted_commands_than_the_entry_breaks_it),
		test(a_broken_ring_is_not_written),
		test(pads_without_end_do_not_keep_a_turn),
		test(commands_that_were_taken_are_answered_by_the_next),
		test(what_was_completed_is_not_answered_again),
		test(what_was_not_taken_is_there_for_the_next),
		test(one_command_named_twice_asks_for_a_reset),
		test(a_death_between_two_words_forgets_no_mark),
		test(an_answer_that_was_not_told_stays),
		test(answers_that_were_half_made_are_made_whole),
		test(every_moment_of_death_leaves_each_command_one_answer),
		test(a_ring_of_nonsense_asks_for_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
