/* SPDX-License-Identifier: BSD-2-Clause */
/* Simulated files: what reads see, what survives a power cut, what faults do. */
#include "simhost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define SECTORS 16
#define BYTES 8192 /* of SECTORS */
#define SEEDS 100

static struct sim_file *file;
static int fd;
static uint8_t buf[BYTES], back[BYTES];
static struct probe p;

static void up(uint64_t seed)
{
	host_begin(seed);
	file = sim_file_create(BYTES);
	fd = sim_file_open(file);
}

static void down(void)
{
	sim_file_close(fd);
	sim_file_free(file);
	host_end();
}

static int io(enum io_verb verb, void *data, size_t len, uint64_t off, int flags)
{
	probe_file(&p, verb, fd, data, len, off);
	p.op.rw_flags = flags;
	return finish(&p);
}

static int sync_(void)
{
	return io(IO_FDATASYNC, NULL, 0, 0, 0);
}

/* Write sectors @first to @first + @n - 1 full of @version; all of it. */
static void write_flags(unsigned first, unsigned n, uint8_t version, int flags)
{
	size_t at = first * SIM_SECTOR, end = at + n * SIM_SECTOR;

	memset(buf, version, sizeof(buf));
	while (at < end) {
		int res = io(IO_PWRITEV, buf, end - at, at, flags);

		assert_true(res > 0);
		at += (size_t)res;
	}
}

static void write_(unsigned first, unsigned n, uint8_t version)
{
	write_flags(first, n, version, 0);
}

/* The version in sector @i of @f; it must be whole. */
static uint8_t version_in(const struct sim_file *f, unsigned i)
{
	uint8_t s[SIM_SECTOR];

	sim_file_peek(f, s, sizeof(s), (uint64_t)i * SIM_SECTOR);
	for (unsigned k = 1; k < SIM_SECTOR; k++)
		if (s[k] != s[0])
			fail_msg("sector %u is torn", i);
	return s[0];
}

/* After a power cut: a bit for each version that sectors have. */
static unsigned versions_after_cut(unsigned first, unsigned n)
{
	struct sim_file *after = sim_file_cut(file);
	unsigned seen = 0;

	assert_int_equal(sim_file_size(after), BYTES);
	assert_int_equal(sim_file_dirty(after), 0);
	for (unsigned i = first; i < first + n; i++)
		seen |= 1u << version_in(after, i);
	sim_file_free(after);
	return seen;
}

/* ---- reading and writing -------------------------------------------------------------- */

static void a_file_begins_as_zeroes(void **state)
{
	(void)state;
	up(1);
	memset(back, 1, BYTES);
	assert_int_equal(io(IO_PREADV, back, BYTES, 0, 0), BYTES);
	for (unsigned i = 0; i < BYTES; i++)
		assert_int_equal(back[i], 0);
	assert_int_equal(sim_file_size(file), BYTES);
	down();
}

static void what_is_written_is_read(void **state)
{
	struct iovec v[] = { { back, 100 }, { back + 100, 0 }, { back + 100, 900 } };

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		for (unsigned i = 0; i < 1000; i++)
			buf[i] = pattern(i);
		assert_int_equal(io(IO_PWRITEV, buf, 1000, 300, 0), 1000);
		memset(back, 0, sizeof(back));
		sim_file_peek(file, back, 1000, 300);
		assert_memory_equal(back, buf, 1000);
		memset(back, 0, sizeof(back));
		probe_file(&p, IO_PREADV, fd, NULL, 0, 300);
		p.op.iov = v;
		p.op.iovcnt = 3;
		assert_int_equal(finish(&p), 1000);
		assert_memory_equal(back, buf, 1000);
		down();
	}
}

static void a_read_at_the_files_end_is_short(void **state)
{
	(void)state;
	up(1);
	assert_int_equal(io(IO_PREADV, back, 1000, BYTES - 60, 0), 60);
	assert_int_equal(io(IO_PREADV, back, 1000, BYTES, 0), 0);
	assert_int_equal(io(IO_PREADV, back, 1000, BYTES + 1000, 0), 0);
	down();
}

static void reading_and_writing_now_is_done_at_once(void **state)
{
	(void)state;
	up(1);
	memset(buf, 7, BYTES);
	probe_file(&p, IO_PWRITEV, fd, buf, 1024, 512);
	assert_int_equal(io_now(r, &p.op, false), 1024);
	assert_int_equal(version_in(file, 2), 7);
	probe_file(&p, IO_PREADV, fd, back, 1024, 512);
	assert_int_equal(io_now(r, &p.op, true), 1024);
	assert_memory_equal(back, buf, 1024);
	assert_int_equal(p.calls, 0);
	p.op.fd = -1;
	assert_int_equal(io_now(r, &p.op, true), -EBADF);
	down();
}

static void fallocate_zeroes_a_range(void **state)
{
	(void)state;
	up(1);
	write_(0, SECTORS, 1);
	probe_file(&p, IO_FALLOCATE, fd, NULL, 0, 0);
	p.op.mode = FALLOC_FL_KEEP_SIZE;
	p.op.start = 2 * SIM_SECTOR;
	p.op.length = 3 * SIM_SECTOR;
	assert_int_equal(finish(&p), 0);
	for (unsigned i = 0; i < SECTORS; i++)
		assert_int_equal(version_in(file, i), i < 2 || i > 4);
	down();
}

/* Two writes and a read of the same sectors at the same time. */
static void no_sector_is_torn_by_what_goes_on_at_the_same_time(void **state)
{
	static uint8_t one[BYTES], two[BYTES];
	unsigned mixed = 0;

	(void)state;
	memset(one, 1, BYTES);
	memset(two, 2, BYTES);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct probe a, b, c;
		unsigned seen = 0;

		up(seed);
		sim_faults()->short_io = SOMETIMES;
		probe_file(&a, IO_PWRITEV, fd, one, BYTES, 0);
		probe_file(&b, IO_PWRITEV, fd, two, BYTES, 0);
		probe_file(&c, IO_PREADV, fd, back, BYTES, 0);
		begin(&a);
		begin(&b);
		begin(&c);
		run();
		assert_int_equal(c.res % SIM_SECTOR, 0);
		for (int i = 0; i < c.res; i++)
			assert_int_equal(back[i], back[i - i % (int)SIM_SECTOR]);
		for (unsigned i = 0; i < SECTORS; i++)
			seen |= 1u << version_in(file, i);
		mixed += seen == (1u << 1 | 1u << 2);
		down();
	}
	assert_true(mixed > 0);
}

static void what_is_cancelled_in_time_changes_nothing(void **state)
{
	unsigned cancelled = 0, done = 0;

	(void)state;
	memset(buf, 5, BYTES);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		probe_file(&p, IO_PWRITEV, fd, buf, BYTES, 0);
		begin(&p);
		for (uint64_t n = 1 + sim_below(2); n; n--)
			sim_step();
		sim_enter(r);
		probe_cancel(&p);
		run();
		assert_int_equal(p.calls, 1);
		assert_true(p.res == -ECANCELED || p.res == BYTES);
		assert_int_equal(sim_file_dirty(file) != 0, p.res == BYTES);
		for (unsigned i = 0; i < SECTORS; i++)
			assert_int_equal(version_in(file, i), p.res == BYTES ? 5 : 0);
		cancelled += p.res < 0;
		done += p.res > 0;
		down();
	}
	assert_true(cancelled && done);
}

/* ---- the power fails ------------------------------------------------------------------ */

static void what_was_synced_survives_every_power_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		sim_faults()->short_io = SOMETIMES;
		write_(0, SECTORS, 1);
		write_(3, 8, 2);
		assert_true(sim_file_dirty(file) > 0);
		assert_int_equal(sync_(), 0);
		assert_int_equal(sim_file_dirty(file), 0);
		assert_int_equal(versions_after_cut(0, 3), 1u << 1);
		assert_int_equal(versions_after_cut(3, 8), 1u << 2);
		assert_int_equal(versions_after_cut(11, 5), 1u << 1);
		down();
	}
}

static void of_what_was_not_synced_any_version_may_survive(void **state)
{
	unsigned seen = 0, mixed = 0, cut;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		write_(0, SECTORS, 1);
		assert_int_equal(sync_(), 0);
		write_(0, SECTORS, 2);
		write_(0, SECTORS, 3);
		cut = versions_after_cut(0, SECTORS);
		seen |= cut;
		mixed += cut == (1u << 1 | 1u << 2 | 1u << 3);
		down();
	}
	/* the old one and both new ones, and no other; also side by side */
	assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 3);
	assert_true(mixed > 0);
}

/* What may be in a sector after a power cut: a bit for each version. */
static unsigned may[SECTORS], must_not_lose;

static void write_somewhere(uint8_t version)
{
	unsigned first = (unsigned)sim_below(SECTORS);
	unsigned n = 1 + (unsigned)sim_below(SECTORS - first);
	bool stable = !sim_below(4);

	write_flags(first, n, version, stable ? RWF_DSYNC : 0);
	for (unsigned i = first; i < first + n; i++)
		may[i] = (stable ? 0 : may[i]) | 1u << version;
}

static void no_run_of_writes_and_syncs_loses_what_is_stable(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		sim_faults()->short_io = SOMETIMES;
		for (unsigned i = 0; i < SECTORS; i++)
			may[i] = 1;
		for (uint8_t version = 1; version < 30; version++) {
			write_somewhere(version);
			if (!sim_below(5)) {
				assert_int_equal(sync_(), 0);
				for (unsigned i = 0; i < SECTORS; i++)
					may[i] = 1u << version_in(file, i);
			}
			for (unsigned i = 0; i < SECTORS; i++) {
				unsigned is = versions_after_cut(i, 1);

				assert_int_equal(is & ~may[i], 0);
				must_not_lose += may[i] == is;
			}
		}
		down();
	}
	assert_true(must_not_lose > 0);
}

static void a_synchronous_write_is_stable_and_no_other(void **state)
{
	unsigned seen[SECTORS] = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		up(seed);
		write_(0, SECTORS, 1);
		write_flags(4, 8, 2, RWF_DSYNC);
		for (unsigned i = 0; i < SECTORS; i++)
			seen[i] |= versions_after_cut(i, 1);
		down();
	}
	for (unsigned i = 0; i < SECTORS; i++)
		assert_int_equal(seen[i], i >= 4 && i < 12 ? 1u << 2 : 1u << 0 | 1u << 1);
}

static void a_sync_is_for_what_was_written_before_it_was_asked_for(void **state)
{
	unsigned later = 0, overtook = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct probe s;

		up(seed);
		write_(0, 4, 1);
		probe_file(&s, IO_FDATASYNC, fd, NULL, 0, 0);
		begin(&s);
		/* the engine has it once it is asked what comes next */
		while (s.op.state == 1)
			sim_step();
		memset(buf, 2, BYTES);
		probe_file(&p, IO_PWRITEV, fd, buf, 4 * SIM_SECTOR, 4 * SIM_SECTOR);
		assert_int_equal(io_now(r, &p.op, false), 4 * SIM_SECTOR);
		overtook += !s.calls;
		run();
		assert_int_equal(s.res, 0);
		assert_int_equal(versions_after_cut(0, 4), 1u << 1);
		later |= versions_after_cut(4, 4);
		down();
	}
	assert_true(overtook > 0);
	assert_int_equal(later, 1u << 0 | 1u << 2);
}

static void a_cut_leaves_the_file_itself_alone(void **state)
{
	struct sim_file *after;

	(void)state;
	up(1);
	write_(0, SECTORS, 1);
	after = sim_file_cut(file);
	assert_int_equal(version_in(file, 0), 1);
	assert_true(sim_file_dirty(file) > 0);
	assert_int_equal(sync_(), 0);
	write_(0, SECTORS, 2);
	assert_int_equal(sync_(), 0);
	for (unsigned i = 0; i < SECTORS; i++)
		assert_true(version_in(after, i) < 2);
	sim_file_free(after);
	down();
}

/* ---- faults ---------------------------------------------------------------------------- */

static void a_failed_sync_loses_some_and_the_next_one_says_nothing(void **state)
{
	unsigned seen = 0, mixed = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		unsigned cut;

		up(seed);
		write_(0, SECTORS, 1);
		assert_int_equal(sync_(), 0);
		write_(0, SECTORS, 2);
		sim_faults()->sync_error = ALWAYS;
		assert_int_equal(sync_(), -EIO);
		sim_faults()->sync_error = 0;
		assert_int_equal(sync_(), 0);
		assert_int_equal(sim_file_dirty(file), 0);
		/* who reads still sees it all */
		for (unsigned i = 0; i < SECTORS; i++)
			assert_int_equal(version_in(file, i), 2);
		cut = versions_after_cut(0, SECTORS);
		assert_int_equal(cut, versions_after_cut(0, SECTORS)); /* nothing is open any more */
		seen |= cut;
		mixed += cut == (1u << 1 | 1u << 2);
		down();
	}
	assert_int_equal(seen, 1u << 1 | 1u << 2);
	assert_true(mixed > 0);
}

static void short_transfers_are_whole_sectors_and_something(void **state)
{
	unsigned shorts = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		int n, off = (int)(seed * 32 % SIM_SECTOR);

		up(seed);
		sim_faults()->short_io = ALWAYS;
		memset(buf, 3, BYTES);
		n = io(IO_PWRITEV, buf, BYTES - 512, (uint64_t)off, 0);
		assert_in_range(n, 1, BYTES - 512);
		if (n < BYTES - 512)
			assert_int_equal((n + off) % (int)SIM_SECTOR, 0);
		shorts += n < BYTES - 512;
		sim_file_peek(file, back, BYTES, 0);
		for (int i = 0; i < BYTES; i++)
			assert_int_equal(back[i], i >= off && i < off + n ? 3 : 0);
		n = io(IO_PREADV, back, BYTES, 0, 0);
		assert_in_range(n, 1, BYTES);
		assert_int_equal(n % (int)SIM_SECTOR, 0);
		shorts += n < BYTES;
		down();
	}
	assert_true(shorts > SEEDS);
}

static void a_read_that_must_not_wait_would_have_to(void **state)
{
	(void)state;
	up(1);
	sim_faults()->again = ALWAYS;
	probe_file(&p, IO_PREADV, fd, back, 512, 0);
	assert_int_equal(io_now(r, &p.op, true), -EAGAIN);
	assert_int_equal(io_now(r, &p.op, false), 512);
	assert_int_equal(finish(&p), 512);
	down();
}

static void a_failed_read_is_eio_and_writes_go_on(void **state)
{
	(void)state;
	up(1);
	sim_faults()->read_error = ALWAYS;
	assert_int_equal(io(IO_PREADV, back, 512, 0, 0), -EIO);
	assert_int_equal(io_now(r, &p.op, true), -EIO);
	assert_int_equal(io(IO_PWRITEV, buf, 512, 0, 0), 512);
	assert_int_equal(sync_(), 0);
	down();
}

/* What a failed write leaves is any number of whole sectors of it, from its start. */
static void failed_writes_leave_a_part(int err)
{
	unsigned parts = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		unsigned n = 0;

		up(seed);
		sim_faults()->write_error = err == -EIO ? ALWAYS : 0;
		sim_faults()->full = err == -ENOSPC ? ALWAYS : 0;
		memset(buf, 4, BYTES);
		assert_int_equal(io(IO_PWRITEV, buf, BYTES, 0, 0), err);
		while (n < SECTORS && version_in(file, n) == 4)
			n++;
		for (unsigned i = n; i < SECTORS; i++)
			assert_int_equal(version_in(file, i), 0);
		parts |= 1u << n;
		assert_int_equal(io(IO_PREADV, back, 512, 0, 0), 512);
		probe_file(&p, IO_FALLOCATE, fd, NULL, 0, 0);
		p.op.mode = FALLOC_FL_KEEP_SIZE;
		p.op.start = 0;
		p.op.length = 512;
		assert_int_equal(finish(&p), err);
		down();
	}
	assert_true(parts & 1 && parts >> 1);
	assert_false(parts >> (SECTORS + 1));
}

static void a_failed_write_is_eio_and_leaves_a_part(void **state)
{
	(void)state;
	failed_writes_leave_a_part(-EIO);
}

static void a_full_medium_is_enospc_and_takes_a_part(void **state)
{
	(void)state;
	failed_writes_leave_a_part(-ENOSPC);
}

static void without_buffers_reads_say_so(void **state)
{
	(void)state;
	up(1);
	sim_faults()->no_buffers = ALWAYS;
	assert_int_equal(io(IO_PREADV, back, 512, 0, 0), -ENOMEM);
	assert_int_equal(io(IO_PWRITEV, buf, 512, 0, 0), 512);
	down();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_begins_as_zeroes),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_read_at_the_files_end_is_short),
		cmocka_unit_test(reading_and_writing_now_is_done_at_once),
		cmocka_unit_test(fallocate_zeroes_a_range),
		cmocka_unit_test(no_sector_is_torn_by_what_goes_on_at_the_same_time),
		cmocka_unit_test(what_is_cancelled_in_time_changes_nothing),
		cmocka_unit_test(what_was_synced_survives_every_power_cut),
		cmocka_unit_test(of_what_was_not_synced_any_version_may_survive),
		cmocka_unit_test(no_run_of_writes_and_syncs_loses_what_is_stable),
		cmocka_unit_test(a_synchronous_write_is_stable_and_no_other),
		cmocka_unit_test(a_sync_is_for_what_was_written_before_it_was_asked_for),
		cmocka_unit_test(a_cut_leaves_the_file_itself_alone),
		cmocka_unit_test(a_failed_sync_loses_some_and_the_next_one_says_nothing),
		cmocka_unit_test(short_transfers_are_whole_sectors_and_something),
		cmocka_unit_test(a_read_that_must_not_wait_would_have_to),
		cmocka_unit_test(a_failed_read_is_eio_and_writes_go_on),
		cmocka_unit_test(a_failed_write_is_eio_and_leaves_a_part),
		cmocka_unit_test(a_full_medium_is_enospc_and_takes_a_part),
		cmocka_unit_test(without_buffers_reads_say_so),
	};

	return cmocka_run_group_tests_name("sim-file", tests, NULL, NULL);
}
