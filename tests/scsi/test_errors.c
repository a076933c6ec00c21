/* SPDX-License-Identifier: BSD-2-Clause */
/* A store that fails, fills up, disappears or does not answer; and memory that runs out. */
#include <errno.h>

#include "rig.h"
#include "reactor/bufpool.h"
#include "store/store.h"

/* What the store does from now on. */
static struct {
	int err; /* of every request that touches byte @at */
	uint64_t at;
	int verb; /* -1: any */
	bool hold;
	struct list held; /* of struct holding, in the request's room */
	unsigned flushes, fua_writes, cancels;
} bad;

struct holding {
	struct list link;
	struct store_io *io;
};

static int bad_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = store_limits_of(s);

	l->size = rig.disk.size;
	l->fua = true;
	for (unsigned i = 0; i < STORE_VERBS; i++)
		l->cap[i] = STORE_CAP_NATIVE;
	return 0;
}

static void bad_close(struct store *s)
{
}

static bool touches(const struct store_io *io)
{
	return bad.err && (bad.verb < 0 || (int)io->verb == bad.verb) &&
	       (io->verb == STORE_FLUSH || range_fits(bad.at - io->offset, 1, io->length));
}

static void finish(struct store_io *io)
{
	if (touches(io)) {
		store_done(io, bad.err, io->verb == STORE_FLUSH ? 0 : bad.at);
		return;
	}
	for (unsigned i = 0; io->verb == STORE_READ && i < io->iovcnt; i++)
		memset(io->iov[i].iov_base, 0x77, io->iov[i].iov_len);
	io->extent.length = io->length;
	io->extent.mapped = true;
	store_done(io, 0, 0);
}

static void bad_submit(struct store_channel *ch, struct store_io *io)
{
	struct holding *h = (struct holding *)(void *)io->room;

	bad.flushes += io->verb == STORE_FLUSH;
	bad.fua_writes += io->verb == STORE_WRITE && io->flags & STORE_FUA;
	if (!bad.hold) {
		finish(io);
		return;
	}
	h->io = io;
	list_add(&bad.held, &h->link);
}

static void bad_cancel(struct store_channel *ch, struct store_io *io)
{
	bad.cancels++;
}

static const char *const bad_options[] = { "size", NULL };

static const struct store_ops bad_store = {
	.name = "bad",
	.summary = "fails as it is told",
	.options = bad_options,
	.open = bad_open,
	.close = bad_close,
	.submit = bad_submit,
	.cancel = bad_cancel,
};

/* What is held ends now, on the reactor of @s. */
static void let_go(struct loop_session *s)
{
	struct list *l;

	bad.hold = false;
	reactor_turn(s->reactor, 0);
	while ((l = list_pop(&bad.held)))
		finish(list_entry(l, struct holding, link)->io);
}

static int begin(void **state)
{
	memset(&bad, 0, sizeof(bad));
	bad.verb = -1;
	list_init(&bad.held);
	rig.disk.ops = &bad_store;
	return rig_begin(state);
}

static void fail_at(uint64_t lba, int verb, int err)
{
	bad.at = lba * rig_bs() + 7;
	bad.verb = verb;
	bad.err = err;
}

/* ---- errors of the medium ---- */

static void a_medium_error_of_a_read_names_the_block(void **state)
{
	uint8_t *d = rig_data(8, 1);
	struct res r;

	fail_at(105, STORE_READ, -EIO);
	r = read10(S0, 100, 8, d);
	expect(r, V_READ_ERROR);
	assert_true(r.info_valid);
	assert_int_equal(r.info, 105);
	assert_int_equal(r.len, 0);
	good(read10(S0, 106, 2, d));
}

static void pieces_before_a_medium_error_have_been_sent(void **state)
{
	uint32_t n = (uint32_t)(MIB(1) / rig_bs());
	uint8_t *d = rig_data(n, 1);
	struct res r;

	fail_at(n - 1, STORE_READ, -EIO);
	r = in(S0, d, n * rig_bs(), CDB(0x88, 0, B8(0), B4(n), 0, 0));
	expect(r, V_READ_ERROR);
	assert_int_equal(r.info, n - 1);
	assert_int_equal(r.len, 3 * BUF_MAX);
	assert_int_equal(r.residual, RESID_UNDERFLOW);
	assert_int_equal(r.residual_count, BUF_MAX);
}

static void a_medium_error_of_a_write_names_the_block(void **state)
{
	uint8_t *d = rig_data(8, 1), list[24] = { 0, 22, 0, 16 };
	struct res r;

	fail_at(105, STORE_WRITE, -EIO);
	r = write10(S0, 100, 8, d);
	expect(r, V_WRITE_ERROR);
	assert_int_equal(r.info, 105);
	fail_at(105, STORE_DISCARD, -EIO);
	be_store(list + 8, 8, 100);
	be_store(list + 16, 4, 8);
	if (rig.disk.thin)
		expect(out(S0, list, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, B2(24), 0)), V_WRITE_ERROR);
	fail_at(105, STORE_ZERO, -EIO);
	expect(none(S0, CDB(0x93, 1, B8(100), B4(8), 0, 0)), V_WRITE_ERROR);
}

static void verify_reports_what_it_cannot_read(void **state)
{
	struct res r;

	fail_at(33, STORE_READ, -EIO);
	r = none(S0, CDB(0x2f, 0, B4(0), 0, B2(100), 0));
	expect(r, V_READ_ERROR);
	assert_int_equal(r.info, 33);
}

static void a_full_store_is_a_failed_space_allocation(void **state)
{
	uint8_t *d = rig_data(8, 1);
	struct res r;

	fail_at(3, STORE_WRITE, -ENOSPC);
	r = write10(S0, 0, 8, d);
	expect(r, V_SPACE_ALLOCATION_FAILED);
	assert_int_equal(r.info, 3);
}

static void other_errors_have_verdicts_of_their_own(void **state)
{
	static const struct {
		int err;
		enum verdict v;
	} map[] = {
		{ -EROFS, V_WRITE_PROTECTED },
		{ -ENODEV, V_NOT_READY_CAUSE },
		{ -ENOMEM, V_BUSY },
		{ -EINVAL, V_INTERNAL_TARGET_FAILURE },
	};
	uint8_t *d = rig_data(1, 1);

	for (unsigned i = 0; i < array_size(map); i++) {
		fail_at(0, STORE_WRITE, map[i].err);
		expect(write10(S0, 0, 1, d), map[i].v);
	}
}

static void a_hint_that_is_not_taken_is_no_error(void **state)
{
	uint8_t list[24] = { 0, 22, 0, 16 };

	if (!rig.disk.thin)
		return;
	be_store(list + 16, 4, 8);
	fail_at(0, STORE_DISCARD, -EOPNOTSUPP);
	good(out(S0, list, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, B2(24), 0)));
}

static void a_failed_flush_sticks(void **state)
{
	uint8_t *d = rig_data(1, 1);

	good(write10(S0, 0, 1, d));
	fail_at(0, STORE_FLUSH, -EIO);
	expect(none(S0, CDB(0x35, 0, B4(0), 0, B2(0), 0)), V_WRITE_ERROR);
	bad.err = 0;
	expect(none(S0, CDB(0x35, 0, B4(0), 0, B2(0), 0)), V_WRITE_ERROR);
	expect(write10(S0, 0, 1, d), V_WRITE_ERROR);
	good(read10(S0, 0, 1, d));
	reactor_turn(rig.control, 0);
	store_clear_error(rig.store);
	rig_step();
	good(write10(S0, 0, 1, d));
	good(none(S0, CDB(0x35, 0, B4(0), 0, B2(0), 0)));
}

/* ---- stability ---- */

static void fua_and_a_cache_that_is_off_ask_for_stable_writes(void **state)
{
	uint8_t *d = rig_data(1, 1);

	good(write10(S0, 0, 1, d));
	assert_int_equal(bad.fua_writes, rig.disk.wce ? 0 : 1);
	good(out(S0, d, rig_bs(), CDB(0x2a, 0x08, B4(0), 0, B2(1), 0)));
	assert_int_equal(bad.fua_writes, rig.disk.wce ? 1 : 2);
}

static void switching_the_cache_off_flushes_it(void **state)
{
	uint8_t p[24] = { 0,	0, 0, 0,    0x08, 0x12, 0x10, 0,    0xff,
			  0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80, 0x14 };

	good(out(S0, p, 24, CDB(0x15, 0x10, 0, 0, 24, 0)));
	assert_int_equal(bad.flushes, rig.disk.wce ? 1 : 0);
	p[6] |= 4;
	good(out(S0, p, 24, CDB(0x15, 0x10, 0, 0, 24, 0)));
	assert_int_equal(bad.flushes, rig.disk.wce ? 1 : 0);
}

static void stopping_the_unit_flushes_it(void **state)
{
	good(none(S0, CDB(0x1b, 0, 0, 0, 0x00, 0)));
	assert_int_equal(bad.flushes, 1);
	good(none(S0, CDB(0x1b, 0, 0, 0, 0x01, 0)));
	good(none(S0, CDB(0x1b, 0, 0, 0, 0x04, 0))); /* NO_FLUSH */
	assert_int_equal(bad.flushes, 1);
}

/* ---- a store that does not answer ---- */

static void answered(struct loop_tmf *t)
{
}

static void abort_waits_for_what_the_store_holds(void **state)
{
	uint8_t *d = rig_data(1, 1);
	struct loop_cmd c;
	struct loop_tmf t = { .session = S0, .lun = DISK_LUN };

	bad.hold = true;
	rig_cmd(&c, S0, CDB(0x28, 0, B4(0), 0, B2(1), 0), d, NULL, rig_bs());
	rig_start(&c);
	rig_until(!list_empty(&bad.held));
	t.tmf.function = TMF_ABORT_TASK_SET;
	t.tmf.response = TMF_REJECTED;
	t.done = answered;
	loop_manage(&t);
	for (int i = 0; i < 50; i++)
		rig_step();
	assert_false(c.finished);
	assert_int_equal(t.tmf.response, TMF_REJECTED);
	assert_int_equal(bad.cancels, 1); /* the store was told, and takes its time */
	let_go(S0);
	rig_until(c.finished);
	assert_int_equal(c.scsi.verdict, V_ABORTED_SILENTLY);
	assert_int_equal(c.in_len, 0);
	rig_until(t.tmf.response == TMF_COMPLETE);
}

static void a_session_that_is_dropped_waits_for_its_store(void **state)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:two", false);
	uint8_t *d = rig_data(1, 1);
	struct loop_cmd c;

	bad.hold = true;
	rig_cmd(&c, s, CDB(0x2a, 0, B4(0), 0, B2(1), 0), NULL, d, rig_bs());
	rig_start(&c);
	rig_until(!list_empty(&bad.held));
	loop_logout(s);
	for (int i = 0; i < 50; i++)
		rig_step();
	assert_non_null(s->nexus);
	assert_false(c.finished);
	let_go(s);
	rig_until(!s->nexus);
	assert_true(c.finished);
}

/* ---- memory that runs out ---- */

static size_t take_all_memory(struct loop_session *s)
{
	struct bufpool *p = reactor_bufpool(s->reactor);
	size_t n = 0;

	reactor_turn(s->reactor, 0);
	while (bufpool_reserve(p, 4096))
		n += 4096;
	return n;
}

static void a_read_waits_for_memory_and_then_goes_on(void **state)
{
	size_t taken = take_all_memory(S0);
	uint8_t *d = rig_data(1, 1);
	struct loop_cmd c;

	rig_cmd(&c, S0, CDB(0x28, 0, B4(0), 0, B2(1), 0), d, NULL, rig_bs());
	rig_start(&c);
	for (int i = 0; i < 20; i++)
		rig_step();
	assert_false(c.finished);
	reactor_turn(S0->reactor, 0);
	bufpool_unreserve(reactor_bufpool(S0->reactor), taken);
	rig_until(c.finished);
	good(rig_result(&c));
}

static void a_command_that_waits_for_memory_can_be_aborted(void **state)
{
	size_t taken = take_all_memory(S0);
	uint8_t *d = rig_data(1, 1);
	struct loop_cmd c;

	rig_cmd(&c, S0, CDB(0x12, 0, 0, 0, 96, 0), d, NULL, 96);
	rig_start(&c);
	rig_step();
	assert_false(c.finished);
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK_SET, DISK_LUN, 0), TMF_COMPLETE);
	assert_true(c.finished);
	reactor_turn(S0->reactor, 0);
	bufpool_unreserve(reactor_bufpool(S0->reactor), taken);
	good(tur(S0));
}

#define bad_test(f) cmocka_unit_test_setup_teardown(f, begin, rig_end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		bad_test(a_medium_error_of_a_read_names_the_block),
		bad_test(pieces_before_a_medium_error_have_been_sent),
		bad_test(a_medium_error_of_a_write_names_the_block),
		bad_test(verify_reports_what_it_cannot_read),
		bad_test(a_full_store_is_a_failed_space_allocation),
		bad_test(other_errors_have_verdicts_of_their_own),
		bad_test(a_hint_that_is_not_taken_is_no_error),
		bad_test(a_failed_flush_sticks),
		bad_test(fua_and_a_cache_that_is_off_ask_for_stable_writes),
		bad_test(switching_the_cache_off_flushes_it),
		bad_test(stopping_the_unit_flushes_it),
		bad_test(abort_waits_for_what_the_store_holds),
		bad_test(a_session_that_is_dropped_waits_for_its_store),
		bad_test(a_read_waits_for_memory_and_then_goes_on),
		bad_test(a_command_that_waits_for_memory_can_be_aborted),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
