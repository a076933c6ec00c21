/* SPDX-License-Identifier: BSD-2-Clause */
/* The core: checks, splitting, emulation, the home, life. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "fake.h"

static const struct engine *engine;
static const struct store_spec no_spec = { .block_size = 512 };

static int set_up(void **state)
{
	struct rig *g = malloc(sizeof(*g));

	fake_reset();
	rig_init(g, engine, false);
	*state = g;
	return 0;
}

static int set_up_home(void **state)
{
	struct rig *g = malloc(sizeof(*g));

	fake_reset();
	rig_init(g, engine, true);
	*state = g;
	return 0;
}

static int tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static struct rig *opened(void **state)
{
	struct rig *g = *state;

	if (rig_open(g, &no_spec, &fake_any))
		fail_msg("%s", g->err.text);
	return g;
}

static void count(unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 31 + i / 251);
}

static void expect(unsigned i, enum store_verb verb, uint32_t flags, uint64_t off, uint64_t len)
{
	assert_true(i < fake.nseen);
	assert_int_equal(fake.seen[i].verb, verb);
	assert_int_equal(fake.seen[i].flags, flags);
	assert_int_equal(fake.seen[i].offset, off);
	if (verb != STORE_FLUSH)
		assert_int_equal(fake.seen[i].length, len);
}

/* ---- checks ---- */

static void bad_requests_never_reach_the_store(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(8192);
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 1, 512, p), -EINVAL);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 511, p), -EINVAL);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, FAKE_SIZE - 512, 1024, p), -EINVAL);
	assert_int_equal(q.io.where, FAKE_SIZE - 512);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 0, FAKE_SIZE + 512, NULL), -EINVAL);
	assert_int_equal(rig_do(g, &q, STORE_VERBS, 0, 0, 512, p), -EINVAL);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0x80, 0, 512, p), -EINVAL);
	assert_int_equal(fake.nseen, 0);
	free(p);
}

static void a_list_that_is_not_as_long_as_the_request_is_refused(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(4096);
	struct req q;

	rig_fill(&q, STORE_WRITE, 0, 0, 4096, p);
	q.v[0].iov_len = 512;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, -EINVAL);
	assert_int_equal(fake.nseen, 0);
	free(p);
}

static void misaligned_memory_is_refused(void **state)
{
	unsigned char *p = rig_memory(8192);
	struct rig *g = *state;
	struct req q;

	fake.limits.mem_align = 512;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 512, p + 4), -EINVAL);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 512, p + 512), 0);
	free(p);
}

static void what_the_store_cannot_do_is_refused(void **state)
{
	struct rig *g = *state;
	struct req q;

	fake.limits.cap[STORE_DISCARD] = STORE_CAP_NO;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 0, 512, NULL), -EOPNOTSUPP);
	assert_int_equal(fake.nseen, 0);
}

static void done_never_runs_inside_submit(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct req q;

	rig_fill(&q, STORE_READ, 0, 0, 512, p);
	rig_submit(g, &q);
	assert_int_equal(q.done, 0);
	rig_wait(g, &q);
	rig_fill(&q, STORE_READ, 0, 7, 512, p); /* an error is no reason either */
	rig_submit(g, &q);
	assert_int_equal(q.done, 0);
	rig_wait(g, &q);
	free(p);
}

struct chain {
	struct req q;
	struct store *s;
	unsigned left, done;
	bool inside;
};

static void chain_done(struct store_io *io)
{
	struct chain *c = container_of(io, struct chain, q.io);

	assert_false(c->inside);
	if (!--c->left) {
		c->done = 1;
		return;
	}
	c->inside = true;
	store_submit(c->s, io);
	c->inside = false;
}

static void done_may_submit_again_without_end_of_stack(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct chain c = { .s = g->s, .left = 100000 };

	rig_fill(&c.q, STORE_READ, 0, 0, 512, p);
	c.q.io.done = chain_done;
	store_submit(g->s, &c.q.io);
	rig_until(g, &c.done);
	assert_int_equal(store_inflight(g->s), 0);
	free(p);
}

static void a_reactor_without_a_channel_gets_enodev(void **state)
{
	struct rig *g = *state;
	struct req q;

	g->only_home = true;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), 0);
	assert_null(store_channel_here(g->s));
	assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), -ENODEV);
	assert_int_equal(fake.nseen, 0);
}

/* ---- splitting ---- */

static void check_pieces(uint64_t off, uint64_t len, uint64_t most)
{
	for (unsigned i = 0; i < fake.nseen; i++) {
		assert_int_equal(fake.seen[i].offset, off);
		assert_in_range(fake.seen[i].length, 512, most);
		assert_int_equal(fake.seen[i].length % 512, 0);
		off += fake.seen[i].length;
		len -= fake.seen[i].length;
	}
	assert_int_equal(len, 0);
}

static void split_as(struct rig *g, const size_t *seg, unsigned n, size_t total)
{
	unsigned char *p = rig_memory(total), *back = rig_memory(total);
	struct iovec v[64];
	struct req q;
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		v[i] = (struct iovec){ p + at, seg[i] };
		at += seg[i];
	}
	assert_int_equal(at, total);
	count(p, total);
	rig_fill(&q, STORE_WRITE, 0, 4096, total, p);
	q.io.iov = v;
	q.io.iovcnt = n;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, 0);
	assert_ptr_equal(q.io.iov, v);
	assert_int_equal(q.io.iovcnt, n);
	check_pieces(4096, total, 4096);
	assert_memory_equal(fake.data + 4096, p, total);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 4096, total, back), 0);
	assert_memory_equal(back, p, total);
	free(p);
	free(back);
}

static void a_long_request_in_one_segment_is_split(void **state)
{
	static const size_t seg[] = { 20480 };
	struct rig *g = *state;

	fake.limits.max_io = 4096;
	opened(state);
	split_as(g, seg, 1, 20480);
	assert_int_equal(fake.nseen, 10);
}

static void a_long_request_in_odd_segments_is_split(void **state)
{
	static const size_t seg[] = { 100, 412, 0, 3000, 1, 5000, 2048, 2048, 511, 0, 3000, 264, 0 };
	struct rig *g = *state;

	fake.limits.max_io = 4096 + 100; /* not a multiple of the block */
	opened(state);
	split_as(g, seg, array_size(seg), 16384);
}

static void whole_segments_are_not_copied_into_the_core(void **state)
{
	static size_t seg[32];
	struct rig *g = *state;

	for (unsigned i = 0; i < 32; i++)
		seg[i] = 512;
	fake.limits.max_io = 4096;
	opened(state);
	split_as(g, seg, 32, 16384);
	assert_int_equal(fake.nseen, 8); /* of 8 segments each: more than the core's room */
}

static void a_block_in_too_many_segments_is_refused(void **state)
{
	unsigned char *p = rig_memory(8192);
	struct rig *g = *state;
	struct iovec v[64];
	struct req q;

	fake.limits.max_io = 512;
	opened(state);
	for (unsigned i = 0; i < 63; i++)
		v[i] = (struct iovec){ p + i * 16, 16 };
	v[63] = (struct iovec){ p + 1008, 8192 - 1008 };
	v[31].iov_len = 15; /* so that no run of whole segments is a block */
	v[32] = (struct iovec){ p + 511, 17 };
	rig_fill(&q, STORE_WRITE, 0, 0, 8192, p);
	q.io.iov = v;
	q.io.iovcnt = 64;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, -EINVAL);
	assert_int_equal(q.io.where, 0);
	free(p);
}

static void a_failing_piece_tells_where(void **state)
{
	unsigned char *p = rig_memory(16384);
	struct rig *g = *state;
	struct req q;

	fake.limits.max_io = 4096;
	opened(state);
	fake.fail[STORE_WRITE] = -ENOSPC;
	fake.fail_after = 2;
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 8192, 16384, p), -ENOSPC);
	assert_int_equal(q.io.where, 16384);
	assert_int_equal(fake.nseen, 3);
	free(p);
}

static void discards_are_split_at_what_the_store_takes(void **state)
{
	struct rig *g = *state;
	struct req q;

	fake.limits.max_discard = 10000;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 512, 30720, NULL), 0);
	assert_int_equal(fake.nseen, 4);
	expect(0, STORE_DISCARD, 0, 512, 9728);
	expect(3, STORE_DISCARD, 0, 512 + 3 * 9728, 30720 - 3 * 9728);
}

static void a_huge_discard_goes_in_aligned_pieces(void **state)
{
	struct rig *g = *state;
	struct req q;

	fake.limits.size = 1ull << 40;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, MIB(100), MIB(200), NULL), 0);
	assert_int_equal(fake.nseen, 3);
	expect(0, STORE_DISCARD, 0, MIB(100), MIB(28));
	expect(1, STORE_DISCARD, 0, MIB(128), MIB(128));
	expect(2, STORE_DISCARD, 0, MIB(256), MIB(44));
}

/* ---- emulation ---- */

static void fua_is_a_write_and_a_flush(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(1024);
	struct req q;

	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 512, 1024, p), 0);
	assert_int_equal(fake.nseen, 2);
	expect(0, STORE_WRITE, 0, 512, 1024);
	expect(1, STORE_FLUSH, 0, 512, 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 512, 1024, p), 0);
	assert_int_equal(fake.nseen, 3);
	free(p);
}

static void a_store_that_keeps_fua_gets_it(void **state)
{
	unsigned char *p = rig_memory(1024);
	struct rig *g = *state;
	struct req q;

	fake.limits.fua = true;
	fake.limits.max_io = 512;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 512, 512, p), 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 512, 1024, p), 0);
	assert_int_equal(fake.nseen, 3);
	for (unsigned i = 0; i < 3; i++)
		expect(i, STORE_WRITE, STORE_FUA, i == 2 ? 1024 : 512, 512);
	free(p);
}

static void fua_without_a_cache_needs_no_flush(void **state)
{
	unsigned char *p = rig_memory(512);
	struct rig *g = *state;
	struct req q;

	fake.limits.cap[STORE_FLUSH] = STORE_CAP_EMULATE;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 0, 512, p), 0);
	assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(fake.nseen, 1);
	free(p);
}

static void zero_is_written_where_it_is_missing(void **state)
{
	struct rig *g = *state;
	unsigned char *want = rig_memory(FAKE_SIZE);
	struct req q;

	fake.limits.cap[STORE_ZERO] = STORE_CAP_EMULATE;
	opened(state);
	memset(fake.data, 0xff, FAKE_SIZE);
	memset(want, 0xff, FAKE_SIZE);
	memset(want + 512, 0, 200704);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, STORE_FUA, 512, 200704, NULL), 0);
	assert_memory_equal(fake.data, want, FAKE_SIZE);
	expect(0, STORE_WRITE, 0, 512, 196608);
	expect(1, STORE_WRITE, 0, 512 + 196608, 4096);
	expect(2, STORE_FLUSH, 0, 512, 0);
	assert_int_equal(fake.nseen, 3);
	free(want);
}

static void written_zeroes_heed_the_longest_request(void **state)
{
	struct rig *g = *state;
	struct req q;

	fake.limits.cap[STORE_ZERO] = STORE_CAP_EMULATE;
	fake.limits.max_io = 1500;
	opened(state);
	memset(fake.data, 0xff, FAKE_SIZE);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, 0, 4096, NULL), 0);
	assert_int_equal(fake.nseen, 4);
	expect(3, STORE_WRITE, 0, 3072, 1024);
	assert_int_equal(fake.data[4095], 0);
	assert_int_equal(fake.data[4096], 0xff);
}

static void a_zero_that_the_store_turns_down_is_written_and_remembered(void **state)
{
	struct rig *g = opened(state);
	struct req q;

	fake.fail[STORE_ZERO] = -EOPNOTSUPP;
	memset(fake.data, 0xff, FAKE_SIZE);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, STORE_FUA, 0, 4096, NULL), 0);
	assert_int_equal(fake.nseen, 3);
	expect(0, STORE_ZERO, 0, 0, 4096);
	expect(1, STORE_WRITE, 0, 0, 4096);
	expect(2, STORE_FLUSH, 0, 0, 0);
	assert_int_equal(fake.data[4095], 0);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, 4096, 4096, NULL), 0);
	assert_int_equal(fake.nseen, 4);
	expect(3, STORE_WRITE, 0, 4096, 4096);
	/* unmapping is another thing, and may still work */
	fake.fail[STORE_ZERO] = 0;
	assert_int_equal(rig_do(g, &q, STORE_ZERO, STORE_MAY_UNMAP, 0, 512, NULL), 0);
	expect(4, STORE_ZERO, STORE_MAY_UNMAP, 0, 512);
}

static void a_discard_that_the_store_turns_down_was_only_a_hint(void **state)
{
	struct rig *g = opened(state);
	struct req q;

	fake.fail[STORE_DISCARD] = -EOPNOTSUPP;
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 0, 4096, NULL), 0);
	fake.fail[STORE_DISCARD] = -EIO;
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 512, 4096, NULL), -EIO);
	assert_int_equal(q.io.where, 512);
}

static void extents_are_all_mapped_where_they_are_missing(void **state)
{
	struct rig *g = *state;
	struct req q;

	fake.limits.cap[STORE_EXTENTS] = STORE_CAP_EMULATE;
	opened(state);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, 4096, 0, NULL), 0);
	assert_true(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, FAKE_SIZE - 4096);
	assert_int_equal(fake.nseen, 0);
}

/* ---- the sticky error ---- */

static void after_a_failed_flush_nothing_is_written_until_cleared(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct req q;

	fake.fail[STORE_FLUSH] = -EIO;
	assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), -EIO);
	fake.fail[STORE_FLUSH] = 0;
	assert_true(store_has_error(g->s));
	fake.nseen = 0;
	assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), -EIO);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 512, 512, p), -EIO);
	assert_int_equal(q.io.where, 512);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, 0, 512, NULL), -EIO);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, 0, 512, NULL), -EIO);
	assert_int_equal(fake.nseen, 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 512, p), 0);
	store_clear_error(g->s);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 512, p), 0);
	assert_int_equal(rig_do(g, &q, STORE_FLUSH, 0, 0, 0, NULL), 0);
	free(p);
}

static void the_flush_of_fua_counts_too(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct req q;

	fake.fail[STORE_FLUSH] = -EIO;
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 1024, 512, p), -EIO);
	assert_int_equal(q.io.where, 1024);
	assert_true(store_has_error(g->s));
	free(p);
}

static void a_failed_write_alone_is_not_sticky(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct req q;

	fake.fail[STORE_WRITE] = -EIO;
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 0, 512, p), -EIO);
	assert_int_equal(fake.nseen, 1); /* no flush after it */
	assert_false(store_has_error(g->s));
	free(p);
}

/* ---- cancel ---- */

static void what_waits_its_turn_is_cancelled(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct req q;

	rig_fill(&q, STORE_WRITE, 0, 0, 512, p);
	rig_submit(g, &q);
	store_cancel(&q.io);
	assert_int_equal(q.done, 0);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, -ECANCELED);
	assert_int_equal(fake.nseen, 0);
	free(p);
}

static void a_cancel_stops_between_pieces_and_hints_the_store(void **state)
{
	unsigned char *p = rig_memory(8192);
	struct rig *g = *state;
	struct req q;

	fake.limits.max_io = 4096;
	fake.hold = true;
	opened(state);
	rig_fill(&q, STORE_WRITE, 0, 4096, 8192, p);
	rig_submit(g, &q);
	while (!fake.nheld)
		reactor_turn(g->r, 0);
	store_cancel(&q.io);
	assert_int_equal(fake.cancels, 1);
	assert_int_equal(q.done, 0);
	fake_release();
	rig_wait(g, &q);
	assert_int_equal(q.io.err, -ECANCELED);
	assert_int_equal(q.io.where, 8192);
	assert_int_equal(fake.nseen, 1);
	free(p);
}

/* ---- life ---- */

static void a_store_opens_and_closes_each_part_once(void **state)
{
	struct rig *g = *state;

	opened(state);
	assert_int_equal(fake.opens, 1);
	assert_int_equal(fake.channel_opens, 2);
	assert_string_equal(store_type(g->s), "fake");
	assert_string_equal(store_path(g->s), "");
	assert_string_equal(store_state(g->s), "open");
	rig_close(g);
	assert_int_equal(fake.channel_closes, 2);
	assert_int_equal(fake.closes, 1);
}

static void a_channel_that_does_not_open_undoes_the_opening(void **state)
{
	struct rig *g = *state;

	fake.channel_err = -EMFILE;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), -EMFILE);
	assert_non_null(strstr(g->err.text, "Too many open files"));
	assert_null(g->s);
	assert_int_equal(fake.channel_closes, 1);
	assert_int_equal(fake.closes, 1);
}

static void a_store_that_does_not_open_says_why(void **state)
{
	struct rig *g = *state;

	fake.open_err = -EACCES;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), -EACCES);
	assert_string_equal(g->err.text, "the fake does not open");
	assert_int_equal(fake.closes, 0);
}

static void limits_that_make_no_sense_are_refused(void **state)
{
	struct rig *g = *state;

	fake.limits.size = 0;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), -EINVAL);
	fake.limits.size = 1000;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), -EINVAL);
	assert_non_null(strstr(g->err.text, "give it 1024"));
	fake.limits.size = 1024;
	fake.limits.block = 1024;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), -EINVAL);
	assert_non_null(strstr(g->err.text, "use a block size of 1024"));
	fake.limits.block = 512;
	fake.limits.mem_align = 1024;
	assert_int_equal(rig_open(g, &no_spec, &fake_any), -EINVAL);
	assert_non_null(strstr(g->err.text, "use a block size of 1024"));
	assert_int_equal(fake.closes, fake.opens);
}

static void closed(void *arg)
{
	*(unsigned *)arg = 1;
}

static void a_draining_store_takes_nothing_new_and_waits_for_the_old(void **state)
{
	struct rig *g = opened(state);
	unsigned char *p = rig_memory(512);
	struct req old, new;
	unsigned done = 0;

	fake.hold = true;
	rig_fill(&old, STORE_WRITE, 0, 0, 512, p);
	rig_submit(g, &old);
	while (!fake.nheld)
		reactor_turn(g->r, 0);
	store_close(g->r, g->s, closed, &done);
	assert_int_equal(rig_do(g, &new, STORE_WRITE, 0, 0, 512, p), -ENODEV);
	for (int i = 0; i < 10; i++)
		reactor_turn(g->r, 0);
	assert_int_equal(done, 0);
	assert_int_equal(fake.channel_closes, 0);
	fake_release();
	rig_until(g, &done);
	assert_int_equal(old.done, 1);
	assert_int_equal(old.io.err, 0);
	g->s = NULL;
	free(p);
}

static void refusals_name_the_remedy(void **state)
{
	struct rig *g = *state;

	rig_refused(g, &(struct store_spec){ .type = "fiel" }, -EINVAL, "did you mean 'file'?");
	rig_refused(g, &(struct store_spec){ .type = "zzzzzzzz" }, -EINVAL, "there are file, ");
	rig_refused(g, &(struct store_spec){ 0 }, -EINVAL, "use file, mem or null");
	rig_refused(g, &(struct store_spec){ .type = "file" }, -EINVAL, "needs a path");
	rig_refused(g, &(struct store_spec){ .type = "null", .block_size = 513 }, -EINVAL,
		    "block size 513");
	rig_refused(g, &(struct store_spec){ .type = "null", .block_size = 131072 }, -EINVAL,
		    "block size 131072");
	rig_refused(g, &(struct store_spec){ .type = "mem" }, -EINVAL, "for example size=64M");
	rig_refused(g, &(struct store_spec){ .type = "mem", .opts = "size=0" }, -EINVAL, "above 0");
	rig_refused(g, &(struct store_spec){ .type = "mem", .opts = "size=1P" }, -EINVAL,
		    "too large");
	rig_refused(g, &(struct store_spec){ .type = "mem", .opts = "size=12x" }, -EINVAL,
		    "size=12x of store mem is no size");
	rig_refused(g, &(struct store_spec){ .type = "mem", .opts = "siez=1M" }, -EINVAL,
		    "did you mean 'size'?");
	rig_refused(g, &(struct store_spec){ .type = "null", .opts = "size=1000" }, -EINVAL,
		    "multiple of the block size 512");
	rig_refused(g, &(struct store_spec){ .type = "delay:read_us=1s+mem", .opts = "size=1M" },
		    -EINVAL, "no number");
	rig_refused(g,
		    &(struct store_spec){ .type = "delay:read_us=9999999999+mem",
					  .opts = "size=1M" },
		    -EINVAL, "use less");
	rig_refused(g, &(struct store_spec){ .type = "file", .path = "/x", .opts = "size=1M" },
		    -EINVAL, "it takes none");
}

static void a_mem_store_beyond_its_limit_is_full(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(KIB(256));
	struct req q;

	assert_int_equal(rig_open(g,
				  &(struct store_spec){ .type = "mem", .opts = "size=1G,limit=128K" },
				  NULL),
			 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, MIB(1), KIB(256), p), -ENOSPC);
	assert_int_equal(q.io.where, MIB(1) + KIB(128));
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, 0, MIB(1), KIB(64), NULL), 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, MIB(9), 512, p), 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, MIB(10), 512, p), -ENOSPC);
	free(p);
}

static void a_delayed_write_lands_late(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(512), *back = rig_memory(512);
	struct req w, q;

	assert_int_equal(rig_open(g,
				  &(struct store_spec){ .type = "delay:write_us=20000+mem",
							.opts = "size=1M" },
				  NULL),
			 0);
	memset(p, 7, 512);
	rig_fill(&w, STORE_WRITE, 0, 0, 512, p);
	rig_submit(g, &w);
	rig_fill(&q, STORE_READ, 0, 0, 512, back);
	rig_submit(g, &q);
	rig_until(g, &q.done);
	if (!w.done) /* else this machine slept for longer */
		assert_int_equal(back[0], 0);
	rig_wait(g, &w);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, 512, back), 0);
	assert_memory_equal(back, p, 512);
	free(p);
	free(back);
}

/* ---- the home ---- */

static void requests_run_at_home_and_come_back(void **state)
{
	enum { N = 64 };
	struct rig *g = *state;
	unsigned char *p = rig_memory(N * 512);
	struct req q[N];

	fake.limits.max_io = 512; /* its pieces stay at home */
	assert_int_equal(rig_open(g, &no_spec, &fake_home), 0);
	assert_int_equal(fake.channel_opens, 1);
	count(p, N * 512);
	for (int i = 0; i < N; i += 2) {
		rig_fill(&q[i], STORE_WRITE, STORE_FUA, (uint64_t)i * 512, 1024, p + i * 512);
		rig_submit(g, &q[i]);
	}
	assert_int_equal(store_inflight(g->s), N / 2);
	for (int i = 0; i < N; i += 2) {
		rig_wait(g, &q[i]);
		assert_int_equal(q[i].io.err, 0);
	}
	assert_int_equal(store_inflight(g->s), 0);
	assert_memory_equal(fake.data, p, N * 512);
	assert_ptr_equal(fake.on, g->home);
	free(p);
}

struct walk {
	struct msg msg;
	struct store *s;
	struct req q;
	unsigned done;
};

static void walk_done(struct store_io *io)
{
	struct walk *w = container_of(io, struct walk, q.io);

	w->q.done_on = reactor_self();
	__atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
}

static void walk_start(struct msg *m)
{
	struct walk *w = container_of(m, struct walk, msg);

	w->q.io.done = walk_done;
	store_submit(w->s, &w->q.io);
}

static void the_home_itself_is_served_without_a_way(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(512);
	struct walk w = { 0 };

	assert_int_equal(rig_open(g, &no_spec, &fake_home), 0);
	w.s = g->s;
	rig_fill(&w.q, STORE_READ, 0, 0, 512, p);
	reactor_post(g->home, &w.msg, walk_start);
	while (!__atomic_load_n(&w.done, __ATOMIC_ACQUIRE))
		reactor_turn(g->r, NSEC_PER_MSEC);
	assert_int_equal(w.q.io.err, 0);
	assert_ptr_equal(w.q.done_on, g->home);
	free(p);
}

static void errors_come_back_from_home_too(void **state)
{
	struct rig *g = *state;
	unsigned char *p = rig_memory(512);
	struct req q;

	assert_int_equal(rig_open(g, &no_spec, &fake_home), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, FAKE_SIZE, 512, p), -EINVAL);
	assert_int_equal(q.io.where, FAKE_SIZE);
	free(p);
}

/* ---- news ---- */

struct listener {
	struct store_open o;
	unsigned opened, told, closed, events;
	const struct store *by;
};

static void listener_opened(struct store_open *o)
{
	container_of(o, struct listener, o)->opened = 1;
}

static void listener_told(void *arg, struct store *s, unsigned events)
{
	struct listener *l = arg;

	l->by = s;
	l->events = events;
	l->told++;
}

static void listener_closed(void *arg)
{
	((struct listener *)arg)->closed = 1;
}

static void listener_open(struct rig *g, struct listener *l, const char *type,
			  const struct store_ops *ops)
{
	struct reactor *reactors[] = { g->r };

	*l = (struct listener){ .o = { .spec = { .type = type, .opts = ops ? NULL : "size=1M" },
				       .reactors = reactors,
				       .nreactors = 1,
				       .home = g->r,
				       .ops = ops,
				       .news = listener_told,
				       .news_arg = l,
				       .done = listener_opened } };
	store_open(g->r, &l->o);
	rig_until(g, &l->opened);
	assert_non_null(l->o.store);
}

static void listener_close(struct rig *g, struct listener *l)
{
	store_close(g->r, l->o.store, listener_closed, l);
	rig_until(g, &l->closed);
}

static void what_happens_is_told_once_for_each_time(void **state)
{
	struct rig *g = *state;
	struct listener l;

	listener_open(g, &l, NULL, &fake_any);
	store_notify(l.o.store, STORE_RESIZED);
	store_notify(l.o.store, STORE_LOST);
	assert_int_equal(l.told, 0);
	rig_until(g, &l.told);
	reactor_turn(g->r, 0);
	assert_int_equal(l.told, 1);
	assert_int_equal(l.events, STORE_RESIZED | STORE_LOST);
	assert_ptr_equal(l.by, l.o.store);
	l.told = 0;
	store_notify(l.o.store, STORE_RESIZED);
	rig_until(g, &l.told);
	assert_int_equal(l.events, STORE_RESIZED);
	listener_close(g, &l);
}

static void what_happens_while_a_store_opens_is_told_after(void **state)
{
	struct rig *g = *state;
	struct listener l;

	fake.lost_early = true;
	listener_open(g, &l, NULL, &fake_any);
	rig_until(g, &l.told);
	assert_int_equal(l.events, STORE_LOST);
	listener_close(g, &l);
	assert_int_equal(l.told, 1);
}

static void what_happens_below_is_told_of_the_whole(void **state)
{
	struct rig *g = *state;
	struct listener l;

	listener_open(g, &l, "stats+readonly+mem", NULL);
	store_notify(store_under(store_under(l.o.store)), STORE_LOST);
	rig_until(g, &l.told);
	assert_ptr_equal(l.by, l.o.store);
	listener_close(g, &l);
}

static void nothing_is_told_of_a_store_that_is_being_closed(void **state)
{
	struct rig *g = *state;
	struct listener l;

	listener_open(g, &l, NULL, &fake_any);
	store_notify(l.o.store, STORE_LOST);
	listener_close(g, &l);
	assert_int_equal(l.told, 0);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define T2(name) cmocka_unit_test_setup_teardown(name, set_up_home, tear_down)
	const struct CMUnitTest tests[] = {
		T(bad_requests_never_reach_the_store),
		T(a_list_that_is_not_as_long_as_the_request_is_refused),
		T(misaligned_memory_is_refused),
		T(what_the_store_cannot_do_is_refused),
		T(done_never_runs_inside_submit),
		T(done_may_submit_again_without_end_of_stack),
		T2(a_reactor_without_a_channel_gets_enodev),
		T(a_long_request_in_one_segment_is_split),
		T(a_long_request_in_odd_segments_is_split),
		T(whole_segments_are_not_copied_into_the_core),
		T(a_block_in_too_many_segments_is_refused),
		T(a_failing_piece_tells_where),
		T(discards_are_split_at_what_the_store_takes),
		T(a_huge_discard_goes_in_aligned_pieces),
		T(fua_is_a_write_and_a_flush),
		T(a_store_that_keeps_fua_gets_it),
		T(fua_without_a_cache_needs_no_flush),
		T(zero_is_written_where_it_is_missing),
		T(written_zeroes_heed_the_longest_request),
		T(a_zero_that_the_store_turns_down_is_written_and_remembered),
		T(a_discard_that_the_store_turns_down_was_only_a_hint),
		T(extents_are_all_mapped_where_they_are_missing),
		T(after_a_failed_flush_nothing_is_written_until_cleared),
		T(the_flush_of_fua_counts_too),
		T(a_failed_write_alone_is_not_sticky),
		T(what_waits_its_turn_is_cancelled),
		T(a_cancel_stops_between_pieces_and_hints_the_store),
		T2(a_store_opens_and_closes_each_part_once),
		T2(a_channel_that_does_not_open_undoes_the_opening),
		T(a_store_that_does_not_open_says_why),
		T(limits_that_make_no_sense_are_refused),
		T(a_draining_store_takes_nothing_new_and_waits_for_the_old),
		T(refusals_name_the_remedy),
		T(a_mem_store_beyond_its_limit_is_full),
		T(a_delayed_write_lands_late),
		T2(requests_run_at_home_and_come_back),
		T2(the_home_itself_is_served_without_a_way),
		T2(errors_come_back_from_home_too),
		T(what_happens_is_told_once_for_each_time),
		T(what_happens_while_a_store_opens_is_told_after),
		T(what_happens_below_is_told_of_the_whole),
		T(nothing_is_told_of_a_store_that_is_being_closed),
	};
	int rc;

	engine = rig_engine(argc, argv);
	log_set_level(LOG_LEVEL_ERR);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(fake.data);
	offload_shutdown();
	return rc;
}
