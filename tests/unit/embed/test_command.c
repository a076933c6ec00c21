/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands and task management by the calls of the library. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static struct stgt *s;
static struct stgt_session *session;

static int up(void **state)
{
	s = rig_up();
	session = rig_login(s, INITIATOR);
	return 0;
}

static int down(void **state)
{
	assert_int_equal(stgt_session_free(session), 0);
	rig_down(s);
	return 0;
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i + i / 251 * 7);
}

/* ---- outcomes ---------------------------------------------------------------------------------- */

static void what_is_written_is_read(void **state)
{
	uint8_t sent[4 * BLOCK], got[4 * BLOCK];
	const struct stgt_command *c;

	fill(sent, sizeof(sent), 1);
	c = rig_out(session, DISK, WRITE10(9, 4), sent, sizeof(sent));
	rig_good(c);
	assert_int_equal(c->moved, sizeof(sent));
	assert_int_equal(c->residual, STGT_RESIDUAL_NONE);
	c = rig_in(session, DISK, READ10(9, 4), got, sizeof(got));
	rig_good(c);
	assert_int_equal(c->moved, sizeof(got));
	assert_memory_equal(sent, got, sizeof(got));
}

static void what_is_not_used_is_told(void **state)
{
	uint8_t data[4 * BLOCK];
	const struct stgt_command *c;

	memset(data, 0xee, sizeof(data));
	c = rig_in(session, DISK, READ10(0, 1), data, sizeof(data));
	rig_good(c);
	assert_int_equal(c->residual, STGT_UNDERFLOW);
	assert_int_equal(c->residual_count, 3 * BLOCK);
	assert_int_equal(c->moved, BLOCK);
	assert_int_equal(data[BLOCK], 0xee);
}

static void what_does_not_fit_is_told(void **state)
{
	uint8_t data[4 * BLOCK];
	const struct stgt_command *c;

	memset(data, 0xee, sizeof(data));
	c = rig_in(session, DISK, READ10(0, 4), data, BLOCK + 100);
	rig_good(c);
	assert_int_equal(c->residual, STGT_OVERFLOW);
	assert_int_equal(c->residual_count, 3 * BLOCK - 100);
	assert_int_equal(c->moved, BLOCK + 100);
	assert_int_equal(data[BLOCK + 100], 0xee);
}

static void a_refused_command_has_sense_data(void **state)
{
	uint8_t data[BLOCK];
	const struct stgt_command *c = rig_in(session, DISK, READ10(0xffffffff, 1), data, BLOCK);

	rig_sense(c, 0x5, 0x21, 0x00);
	assert_int_equal(c->moved, 0);
	rig_good(rig_in(session, DISK, READ10(0, 1), data, BLOCK));
}

static void a_new_initiator_is_told_of_the_power_on(void **state)
{
	struct stgt_session *other;

	assert_int_equal(stgt_login(s, TARGET, INITIATOR "2", &other, NULL), 0);
	rig_sense(rig_in(other, DISK, TEST_UNIT_READY, NULL, 0), 0x6, 0x29, 0x00);
	rig_good(rig_in(other, DISK, TEST_UNIT_READY, NULL, 0));
	stgt_session_free(other);
}

static void units_are_addressed_by_number_or_by_bytes(void **state)
{
	struct stgt_command *c = rig_command(1, 77, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0));
	uint8_t data[64];
	struct iovec v = { data, sizeof(data) };

	rig_sense(rig_in(session, 77, TEST_UNIT_READY, NULL, 0), 0x5, 0x25, 0x00);
	rig_sense(rig_in(session, STGT_LUN_MAX, TEST_UNIT_READY, NULL, 0), 0x5, 0x25, 0x00);
	c->lun_bytes[0] = 0xc1; /* the well known unit of REPORT LUNS */
	c->lun_bytes[1] = 0x01;
	c->in = &v;
	c->in_cnt = 1;
	assert_int_equal(stgt_execute(session, c), 0);
	rig_good(c);
	assert_int_equal(data[3], 3 * 8); /* the controller and both disks */
	stgt_command_free(c);
}

/* ---- data ------------------------------------------------------------------------------------------ */

#define LARGE (4u << 20)

/* @data as @n segments of odd sizes in @v. */
static void cut(struct iovec *v, unsigned n, uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < n; i++) {
		size_t here = i + 1 == n ? len : len / (n - i) + i % 7;

		v[i] = (struct iovec){ data, here };
		data += here;
		len -= here;
	}
}

static void move_large(unsigned segments)
{
	struct stgt_command *c = rig_command(segments, DISK, WRITE10(3, LARGE / BLOCK));
	struct iovec *v = calloc(segments, sizeof(*v));
	uint8_t *sent = malloc(LARGE), *got = calloc(1, LARGE);

	fill(sent, LARGE, segments);
	cut(v, segments, sent, LARGE);
	c->out = v;
	c->out_cnt = segments;
	assert_int_equal(stgt_execute(session, c), 0);
	rig_good(c);
	assert_int_equal(c->moved, LARGE);
	cut(v, segments, got, LARGE);
	c->cdb[0] = 0x28;
	c->out_cnt = 0;
	c->in = v;
	c->in_cnt = segments;
	assert_int_equal(stgt_execute(session, c), 0);
	rig_good(c);
	assert_int_equal(c->moved, LARGE);
	assert_memory_equal(sent, got, LARGE);
	stgt_command_free(c);
	free(v);
	free(sent);
	free(got);
}

static void data_may_be_larger_than_a_piece(void **state)
{
	move_large(1);
	move_large(3);
	move_large(STGT_SEGMENTS_MAX);
}

static void the_lists_come_back_as_they_were(void **state)
{
	struct stgt_command *c = rig_command(3, DISK, READ10(0, 3));
	uint8_t data[3 * BLOCK];
	struct iovec v[3], was[3];

	cut(v, 3, data, sizeof(data));
	memcpy(was, v, sizeof(v));
	c->in = v;
	c->in_cnt = 3;
	assert_int_equal(stgt_execute(session, c), 0);
	rig_good(c);
	assert_memory_equal(v, was, sizeof(v));
	stgt_command_free(c);
}

static void empty_segments_do_no_harm(void **state)
{
	struct stgt_command *c = rig_command(5, DISK, READ10(5, 2));
	uint8_t sent[2 * BLOCK], got[2 * BLOCK] = { 0 };
	struct iovec v[5] = {
		{ NULL, 0 }, { got, BLOCK }, { NULL, 0 }, { got + BLOCK, BLOCK }, { NULL, 0 }
	};

	fill(sent, sizeof(sent), 5);
	rig_good(rig_out(session, DISK, WRITE10(5, 2), sent, sizeof(sent)));
	c->in = v;
	c->in_cnt = 5;
	assert_int_equal(stgt_execute(session, c), 0);
	rig_good(c);
	assert_memory_equal(sent, got, sizeof(got));
	stgt_command_free(c);
}

static void parameter_lists_arrive(void **state)
{
	static const uint8_t header[24] = { 0, 22, 0, 16, [8] = 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1 };
	uint8_t data[BLOCK], pair[2 * BLOCK] = { 0 };

	fill(data, BLOCK, 3);
	rig_good(rig_out(session, DISK, WRITE10(5, 1), data, BLOCK));
	memcpy(pair, data, BLOCK);
	memset(pair + BLOCK, 0x77, BLOCK);
	/* COMPARE AND WRITE of a block, once with what is there and once not */
	rig_good(rig_out(session, DISK, CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0),
			 pair, sizeof(pair)));
	rig_sense(rig_out(session, DISK, CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0),
			  pair, sizeof(pair)),
		  0xe, 0x1d, 0x00);
	rig_good(rig_in(session, DISK, READ10(5, 1), data, BLOCK));
	assert_int_equal(data[0], 0x77);
	/* UNMAP of a disk that is not thin is refused after its list has been read, or before */
	rig_sense(rig_out(session, DISK, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), header, 24), 0x5,
		  0x20, 0x00);
}

/* ---- what is refused at once ------------------------------------------------------------------------- */

static void submits(struct stgt_command *c, int err)
{
	assert_int_equal(stgt_submit(session, c), err);
}

static void commands_that_cannot_be_are_refused_at_once(void **state)
{
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY);
	uint8_t data[BLOCK];
	struct iovec v[2] = { { data, BLOCK }, { data, BLOCK } };

	submits(c, -EINVAL); /* no done */
	c->done = rig_done;
	assert_int_equal(stgt_submit(NULL, c), -EINVAL);
	assert_int_equal(stgt_submit(session, NULL), -EINVAL);
	assert_int_equal(stgt_execute(session, NULL), -EINVAL);
	c->cdb_len = STGT_CDB_MAX + 1;
	submits(c, -EINVAL);
	c->cdb_len = 5;
	submits(c, -EINVAL);
	c->cdb_len = 6;
	c->lun = STGT_LUN_MAX + 1;
	submits(c, -EINVAL);
	c->lun = DISK;
	c->attr = 4; /* ACA */
	submits(c, -EINVAL);
	c->attr = STGT_SIMPLE;
	c->in_cnt = 1; /* without a list */
	submits(c, -EINVAL);
	c->in = v;
	c->in_cnt = 2; /* more than it has room for */
	submits(c, -E2BIG);
	c->in_cnt = 1;
	v[0].iov_len = 1ull << 32;
	submits(c, -E2BIG);
	v[0] = (struct iovec){ NULL, BLOCK };
	submits(c, -EINVAL);
	v[0].iov_base = data;
	c->out = &v[1];
	c->out_cnt = 1; /* both ways */
	submits(c, -EINVAL);
	assert_int_equal(rig_ended(), 0);
	stgt_command_free(c);
	assert_null(stgt_command_new(0));
	assert_null(stgt_command_new(STGT_SEGMENTS_MAX + 1));
}

static void a_cdb_may_be_longer_than_its_command(void **state)
{
	struct cdb cdb = READ10(0, 1);
	uint8_t data[BLOCK];

	memset(cdb.b + cdb.len, 0xff, sizeof(cdb.b) - cdb.len);
	cdb.len = STGT_CDB_MAX;
	rig_good(rig_in(session, DISK, cdb, data, sizeof(data)));
	cdb.b[0] = 0x7f; /* no command of a disk */
	rig_sense(rig_in(session, DISK, cdb, NULL, 0), 0x5, 0x20, 0x00);
}

static void a_command_under_way_is_not_taken_twice(void **state)
{
	struct stgt_command *c = rig_command(1, SLOW, READ10(0, 1));
	uint8_t data[BLOCK];
	struct iovec v = { data, BLOCK };

	c->in = &v;
	c->in_cnt = 1;
	rig_submit(session, c);
	submits(c, -EBUSY);
	assert_int_equal(stgt_execute(session, c), -EBUSY);
	rig_wait(1);
	rig_good(c);
	stgt_command_free(c);
}

/* ---- tags and task management ------------------------------------------------------------------------ */

static void start_slow(struct stgt_command **c, uint64_t tag, uint8_t *data)
{
	static struct iovec v;

	v = (struct iovec){ data, BLOCK };
	*c = rig_command(1, SLOW, READ10(0, 1));
	(*c)->in = &v;
	(*c)->in_cnt = 1;
	(*c)->tag = tag;
	rig_submit(session, *c);
}

static void tags_are_given_to_those_without(void **state)
{
	struct stgt_command *a, *b;
	uint8_t data[2][BLOCK];

	start_slow(&a, 0, data[0]);
	start_slow(&b, 0, data[1]);
	assert_int_not_equal(a->tag, 0);
	assert_int_not_equal(a->tag, b->tag);
	rig_wait(2);
	rig_good(a);
	rig_good(b);
	stgt_command_free(a);
	stgt_command_free(b);
}

static void a_task_is_found_and_aborted_by_its_tag(void **state)
{
	struct stgt_command *c;
	uint8_t data[BLOCK];
	int found, aborted;

	start_slow(&c, 4711, data);
	found = stgt_manage(session, STGT_QUERY_TASK, SLOW, 4711);
	aborted = stgt_manage(session, STGT_ABORT_TASK, SLOW, 4711);
	rig_wait(1);
	assert_true(found == STGT_FUNCTION_SUCCEEDED || !c->result);
	assert_true(aborted == STGT_FUNCTION_COMPLETE || aborted == STGT_NO_SUCH_TASK);
	assert_int_equal(aborted == STGT_FUNCTION_COMPLETE, c->result == -ECANCELED);
	assert_int_equal(c->status, c->result ? STGT_NO_STATUS : STGT_GOOD);
	assert_int_equal(stgt_manage(session, STGT_QUERY_TASK, SLOW, 4711), STGT_FUNCTION_COMPLETE);
	stgt_command_free(c);
}

static void a_reset_is_told_to_the_others(void **state)
{
	struct stgt_session *other = rig_login(s, INITIATOR "2");

	assert_int_equal(stgt_manage(session, STGT_LU_RESET, DISK, 0), STGT_FUNCTION_COMPLETE);
	rig_sense(rig_in(other, DISK, TEST_UNIT_READY, NULL, 0), 0x6, 0x29, 0x03);
	stgt_session_free(other);
}

static void a_cold_reset_ends_the_other_sessions(void **state)
{
	struct stgt_session *other = rig_login(s, INITIATOR "2");
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY);

	assert_int_equal(stgt_manage(session, STGT_TARGET_WARM_RESET, 0, 0), STGT_FUNCTION_COMPLETE);
	rig_sense(rig_in(other, SLOW, TEST_UNIT_READY, NULL, 0), 0x6, 0x29, 0x03);
	assert_int_equal(stgt_manage(session, STGT_TARGET_COLD_RESET, 0, 0), STGT_FUNCTION_COMPLETE);
	/* it is asked to end, and ends with its commands */
	while (!stgt_execute(other, c) && !c->result)
		;
	assert_int_equal(stgt_session_free(other), 0);
	stgt_command_free(c);
	rig_sense(rig_in(session, DISK, TEST_UNIT_READY, NULL, 0), 0x6, 0x29, 0x03);
}

static void functions_that_cannot_be_say_so(void **state)
{
	assert_int_equal(stgt_manage(session, STGT_LU_RESET, 77, 0), STGT_NO_SUCH_LUN);
	assert_int_equal(stgt_manage(session, STGT_LU_RESET, STGT_LUN_MAX + 1, 0), -EINVAL);
	assert_int_equal(stgt_manage(session, (enum stgt_function)13, DISK, 0), -EINVAL);
	assert_int_equal(stgt_manage(session, (enum stgt_function)0, DISK, 0), -EINVAL);
	assert_int_equal(stgt_manage(NULL, STGT_LU_RESET, DISK, 0), -EINVAL);
}

/* ---- callbacks ------------------------------------------------------------------------------------------ */

#define AGAIN 20000

struct chain {
	unsigned left;
	uintptr_t lowest, highest; /* addresses of the stack that callbacks saw */
};

static void go_again(struct stgt_command *c)
{
	struct chain *chain = c->arg;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	chain->lowest = here < chain->lowest ? here : chain->lowest;
	chain->highest = here > chain->highest ? here : chain->highest;
	if (c->status == STGT_GOOD && --chain->left && !stgt_submit(session, c))
		return;
	rig_done(c);
}

static void a_callback_submits_again_and_the_stack_does_not_grow(void **state)
{
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY);
	struct chain chain = { .left = AGAIN, .lowest = UINTPTR_MAX };

	c->done = go_again;
	c->arg = &chain;
	submits(c, 0);
	rig_wait(1);
	rig_good(c);
	assert_int_equal(chain.left, 0);
	assert_in_range(chain.highest - chain.lowest, 0, 16384);
	stgt_command_free(c);
}

static int answered;

static void aborted(void *arg, int response)
{
	answered = response;
	rig_done(NULL);
}

/* On the data thread: the task set is aborted from there. */
static void abort_the_rest(struct stgt_command *c)
{
	assert_int_equal(stgt_manage_start(session, STGT_ABORT_TASK_SET, SLOW, 0, aborted, NULL), 0);
	rig_done(c);
}

static void a_callback_can_start_task_management(void **state)
{
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY), *slow;
	uint8_t data[BLOCK];

	answered = -1;
	start_slow(&slow, 0, data);
	c->done = abort_the_rest;
	submits(c, 0);
	rig_wait(3);
	assert_int_equal(answered, STGT_FUNCTION_COMPLETE);
	assert_true(slow->result == -ECANCELED || slow->status == STGT_GOOD);
	assert_int_equal(stgt_manage_start(session, STGT_LU_RESET, DISK, 0, NULL, NULL), -EINVAL);
	stgt_command_free(c);
	stgt_command_free(slow);
}

static int said[8];

static void try_to_wait(struct stgt_command *c)
{
	struct stgt_session *other;
	struct stgt_command *more = stgt_command_new(1);

	said[0] = stgt_execute(session, more);
	said[1] = stgt_logout(session);
	said[2] = stgt_session_free(session);
	said[3] = stgt_manage(session, STGT_LU_RESET, DISK, 0);
	said[4] = stgt_call(s, "help", NULL, NULL, NULL);
	said[5] = stgt_login(s, TARGET, INITIATOR "9", &other, NULL);
	said[6] = stgt_destroy(s, -1, NULL);
	said[7] = stgt_create(NULL, NULL) ? 0 : -EDEADLK;
	stgt_command_free(more);
	stgt_command_free(c);
	rig_done(NULL);
}

static void a_callback_is_not_let_wait_for_itself(void **state)
{
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY);

	c->done = try_to_wait;
	submits(c, 0);
	rig_wait(1);
	for (int i = 0; i < 8; i++)
		assert_int_equal(said[i], -EDEADLK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_written_is_read, up, down),
		cmocka_unit_test_setup_teardown(what_is_not_used_is_told, up, down),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_told, up, down),
		cmocka_unit_test_setup_teardown(a_refused_command_has_sense_data, up, down),
		cmocka_unit_test_setup_teardown(a_new_initiator_is_told_of_the_power_on, up, down),
		cmocka_unit_test_setup_teardown(units_are_addressed_by_number_or_by_bytes, up, down),
		cmocka_unit_test_setup_teardown(data_may_be_larger_than_a_piece, up, down),
		cmocka_unit_test_setup_teardown(the_lists_come_back_as_they_were, up, down),
		cmocka_unit_test_setup_teardown(empty_segments_do_no_harm, up, down),
		cmocka_unit_test_setup_teardown(parameter_lists_arrive, up, down),
		cmocka_unit_test_setup_teardown(commands_that_cannot_be_are_refused_at_once, up,
						down),
		cmocka_unit_test_setup_teardown(a_cdb_may_be_longer_than_its_command, up, down),
		cmocka_unit_test_setup_teardown(a_command_under_way_is_not_taken_twice, up, down),
		cmocka_unit_test_setup_teardown(tags_are_given_to_those_without, up, down),
		cmocka_unit_test_setup_teardown(a_task_is_found_and_aborted_by_its_tag, up, down),
		cmocka_unit_test_setup_teardown(a_reset_is_told_to_the_others, up, down),
		cmocka_unit_test_setup_teardown(a_cold_reset_ends_the_other_sessions, up, down),
		cmocka_unit_test_setup_teardown(functions_that_cannot_be_say_so, up, down),
		cmocka_unit_test_setup_teardown(a_callback_submits_again_and_the_stack_does_not_grow,
						up, down),
		cmocka_unit_test_setup_teardown(a_callback_can_start_task_management, up, down),
		cmocka_unit_test_setup_teardown(a_callback_is_not_let_wait_for_itself, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
