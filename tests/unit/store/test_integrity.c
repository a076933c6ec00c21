/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must not happen whatever else goes on: that a sector is half of one write
 * and half of another, that data counts as stable which may be lost. Argument: the engine.
 */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/sgl.h"
#include "fake.h"

#define SECTOR 512
#define SEGS 12

static const struct engine *engine;
static const struct store_spec no_spec = { .block_size = SECTOR };

/* Transfers that were to end within a sector; only noted where an engine sees them. */
static unsigned torn;

static int set_up(void **state)
{
	*state = malloc(sizeof(struct rig));
	fake_reset();
	torn = 0;
	rig_init(*state, engine, false);
	return 0;
}

static int tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static void must_open(struct rig *g, const struct store_spec *spec, const struct store_ops *ops)
{
	if (rig_open(g, spec, ops))
		fail_msg("%s", g->err.text);
}

/* ---- pieces ---------------------------------------------------------------------------- */

static uint64_t random_seed;
static struct iovec segs[SEGS];
static unsigned nsegs;
static uint64_t whole; /* bytes of all segments */

static uint64_t below(uint64_t n)
{
	return rig_random(&random_seed) % n;
}

/* Segments that end anywhere, none shorter than a sector, in @mem; whole sectors together. */
static void make_segs(unsigned char *mem)
{
	whole = 0;
	nsegs = 2 + (unsigned)below(SEGS - 2);
	for (unsigned i = 0; i < nsegs; i++) {
		size_t len = SECTOR + below(2000);

		if (i == nsegs - 1)
			len = round_up(whole + len, SECTOR) - whole;
		segs[i] = (struct iovec){ mem + whole, len };
		whole += len;
	}
}

/* A transfer at @off that is to move @len bytes, of a request for @whole at @at. */
static void check_end(uint64_t at, uint64_t off, uint64_t len)
{
	torn += (off + len) % SECTOR && off + len != at + whole;
}

static void transfer_segs(struct rig *g, enum store_verb verb, uint32_t flags, uint64_t off)
{
	struct req q;

	rig_fill(&q, verb, flags, off, whole, NULL);
	q.io.iov = segs;
	q.io.iovcnt = nsegs;
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, 0);
	assert_int_equal(torn, 0);
}

static void check_seen(enum store_verb verb, uint64_t off)
{
	uint64_t pos = 0;

	for (unsigned i = 0; i < fake.nseen; i++) {
		assert_int_equal(fake.seen[i].verb, verb);
		assert_int_equal(fake.seen[i].offset, off + pos);
		assert_in_range(fake.seen[i].length, 1, fake.limits.max_io);
		check_end(off, off + pos, fake.seen[i].length);
		pos += fake.seen[i].length;
	}
	assert_int_equal(pos, whole);
	assert_int_equal(torn, 0);
	fake.nseen = 0;
}

static void a_long_request_is_never_split_within_a_sector(void **state)
{
	unsigned char *p = rig_memory(KIB(64)), *want = rig_memory(KIB(64));
	struct rig *g = *state;

	random_seed = 1;
	for (int i = 0; i < 50; i++) {
		uint64_t off = below(100) * SECTOR;

		fake.limits.block = 1; /* the store itself would take any byte */
		fake.limits.max_io = SECTOR + (uint32_t)below(5000);
		must_open(g, &no_spec, &fake_any);
		make_segs(p);
		for (size_t k = 0; k < whole; k++)
			p[k] = want[k] = (unsigned char)rig_random(&random_seed);
		transfer_segs(g, STORE_WRITE, 0, off);
		check_seen(STORE_WRITE, off);
		assert_memory_equal(fake.data + off, want, whole);
		memset(p, 0, whole);
		transfer_segs(g, STORE_READ, 0, off);
		check_seen(STORE_READ, off);
		assert_memory_equal(p, want, whole);
		rig_close(g);
	}
	free(p);
	free(want);
}

static void written_zeroes_never_end_within_a_sector(void **state)
{
	struct rig *g = *state;
	struct req q;

	fake.limits.block = 1;
	fake.limits.cap[STORE_ZERO] = STORE_CAP_EMULATE;
	fake.limits.max_io = 1500;
	must_open(g, &no_spec, &fake_any);
	whole = 8 * SECTOR;
	assert_int_equal(rig_do(g, &q, STORE_ZERO, 0, SECTOR, whole, NULL), 0);
	assert_true(fake.nseen > 1);
	check_seen(STORE_WRITE, SECTOR);
}

/* ---- what goes on after short transfers: an engine that moves less than it could ------------- */

static struct engine cutting;
static uint64_t cut_at; /* the request's offset */
static unsigned cuts;

static int cut_io_now(struct reactor *r, struct io_op *op, bool nowait)
{
	struct io_op less = *op;
	struct iovec v[SEGS];
	uint64_t len = 0;
	int n;

	for (unsigned i = 0; i < op->iovcnt; i++)
		len += op->iov[i].iov_len;
	check_end(cut_at, op->offset, len);
	cuts++;
	n = sgl_slice(op->iov, op->iovcnt, 0, 1 + below(len), v, SEGS);
	assert_true(n > 0);
	less.iov = v;
	less.iovcnt = (unsigned)n;
	return engine->io_now(r, &less, nowait);
}

/* What comes asynchronously: the shortened list and the operation's own one, which it gets back. */
static struct {
	struct io_op *op;
	void (*done)(struct io_op *op, int res);
	const struct iovec *iov;
	unsigned iovcnt;
	struct iovec v[SEGS];
} cut;

static void cut_done(struct io_op *op, int res)
{
	assert_ptr_equal(op, cut.op);
	op->done = cut.done;
	op->iov = cut.iov;
	op->iovcnt = cut.iovcnt;
	op->done(op, res);
}

/* On its way to the engine's own submit; one at a time. */
static void cut_submit(struct reactor *r, struct io_op *op)
{
	if ((op->verb == IO_PREADV || op->verb == IO_PWRITEV) && op->done != cut_done) {
		uint64_t len = 0;
		int n;

		for (unsigned i = 0; i < op->iovcnt; i++)
			len += op->iov[i].iov_len;
		check_end(cut_at, op->offset, len);
		cuts++;
		cut.op = op;
		cut.done = op->done;
		cut.iov = op->iov;
		cut.iovcnt = op->iovcnt;
		n = sgl_slice(op->iov, op->iovcnt, 0, 1 + below(len), cut.v, SEGS);
		assert_true(n > 0);
		op->done = cut_done;
		op->iov = cut.v;
		op->iovcnt = (unsigned)n;
	}
	if (engine->submit)
		engine->submit(r, op);
}

static int set_up_cutting(void **state)
{
	cutting = *engine;
	cutting.io_now = cut_io_now;
	cutting.submit = cut_submit;
	torn = 0;
	*state = malloc(sizeof(struct rig));
	rig_init(*state, &cutting, false);
	return 0;
}

static void cut_transfers(struct rig *g, uint32_t flags)
{
	unsigned char *p = rig_memory(KIB(64)), *want = rig_memory(KIB(64));
	struct store_spec spec = { .type = "file",
				   .path = rig_file(g, "disk", MIB(1)),
				   .block_size = SECTOR };
	unsigned requests = 0;

	random_seed = 2;
	cuts = 0;
	must_open(g, &spec, NULL);
	for (int i = 0; i < 100; i++) {
		cut_at = below(100) * SECTOR;
		make_segs(p);
		for (size_t k = 0; k < whole; k++)
			p[k] = want[k] = (unsigned char)rig_random(&random_seed);
		transfer_segs(g, STORE_WRITE, flags, cut_at);
		memset(p, 0, whole);
		transfer_segs(g, STORE_READ, 0, cut_at);
		assert_memory_equal(p, want, whole);
		requests += 2;
	}
	assert_true(cuts > requests * 2);
	free(p);
	free(want);
}

static void a_short_transfer_is_never_continued_to_within_a_sector(void **state)
{
	cut_transfers(*state, 0);
}

static void a_short_forced_write_is_never_continued_to_within_a_sector(void **state)
{
	cut_transfers(*state, STORE_FUA);
}

/* ---- a flush error stands ------------------------------------------------------------------ */

/* Start @verb, which the store keeps, then let a flush fail meanwhile; the outcome of the first. */
static int overtaken_by_an_error(struct rig *g, enum store_verb verb, uint32_t flags)
{
	unsigned char *p = rig_memory(SECTOR);
	struct req first, second;

	fake.limits.fua = true;
	must_open(g, &no_spec, &fake_any);
	fake.hold = true;
	rig_fill(&first, verb, flags, 2 * SECTOR, verb == STORE_FLUSH ? 0 : SECTOR,
		 verb == STORE_WRITE || verb == STORE_READ ? p : NULL);
	rig_submit(g, &first);
	rig_until(g, &fake.nheld);
	fake.hold = false;
	fake.fail[STORE_FLUSH] = -EIO;
	assert_int_equal(rig_do(g, &second, STORE_FLUSH, 0, 0, 0, NULL), -EIO);
	fake.fail[STORE_FLUSH] = 0;
	assert_int_equal(first.done, 0);
	fake_release(); /* the store itself says that all is well */
	rig_wait(g, &first);
	assert_true(store_has_error(g->s));
	free(p);
	return first.io.err;
}

static void a_flush_that_ends_while_a_flush_error_stands_fails(void **state)
{
	assert_int_equal(overtaken_by_an_error(*state, STORE_FLUSH, 0), -EIO);
}

static void a_forced_write_that_ends_while_a_flush_error_stands_fails(void **state)
{
	assert_int_equal(overtaken_by_an_error(*state, STORE_WRITE, STORE_FUA), -EIO);
}

static void forced_zeroes_that_end_while_a_flush_error_stands_fail(void **state)
{
	assert_int_equal(overtaken_by_an_error(*state, STORE_ZERO, STORE_FUA), -EIO);
}

static void what_promised_nothing_stable_ends_well_while_a_flush_error_stands(void **state)
{
	struct rig *g = *state;

	assert_int_equal(overtaken_by_an_error(g, STORE_WRITE, 0), 0);
	rig_close(g);
	assert_int_equal(overtaken_by_an_error(g, STORE_READ, 0), 0);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define C(name) cmocka_unit_test_setup_teardown(name, set_up_cutting, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_long_request_is_never_split_within_a_sector),
		T(written_zeroes_never_end_within_a_sector),
		C(a_short_transfer_is_never_continued_to_within_a_sector),
		C(a_short_forced_write_is_never_continued_to_within_a_sector),
		T(a_flush_that_ends_while_a_flush_error_stands_fails),
		T(a_forced_write_that_ends_while_a_flush_error_stands_fails),
		T(forced_zeroes_that_end_while_a_flush_error_stands_fail),
		T(what_promised_nothing_stable_ends_well_while_a_flush_error_stands),
	};
	int rc;

	engine = rig_engine(argc, argv);
	log_set_level(LOG_LEVEL_ERR);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	free(fake.data);
	offload_shutdown();
	return rc;
}
