/* SPDX-License-Identifier: BSD-2-Clause */
/* What is special about files: opening them, and how they are read and written. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"

static const struct engine *engine;

static int set_up(void **state)
{
	*state = malloc(sizeof(struct rig));
	rig_init(*state, engine, false);
	return 0;
}

static int tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static struct store_spec spec_of(const char *path)
{
	return (struct store_spec){ .type = "file", .path = path, .block_size = 512 };
}

static void must_open(struct rig *g, const struct store_spec *p)
{
	if (rig_open(g, p, NULL))
		fail_msg("%s", g->err.text);
}

/* ---- opening ---- */

static void a_missing_file_is_refused(void **state)
{
	struct store_spec p = spec_of("/nonexistent/disk");

	rig_refused(*state, &p, -ENOENT, "cannot open /nonexistent/disk: there is no such file");
	assert_non_null(strstr(((struct rig *)*state)->err.text, "truncate -s 10G"));
}

static void a_directory_is_refused(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(g->dir);

	rig_refused(g, &p, -EISDIR, "it is a directory; name a regular file or a block device");
}

static void what_holds_no_data_is_refused(void **state)
{
	struct rig *g = *state;
	char path[128];
	struct store_spec p = spec_of(path);

	snprintf(path, sizeof(path), "/dev/null");
	rig_refused(g, &p, -EINVAL, "it is a character device");
	snprintf(path, sizeof(path), "%s/pipe", g->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	rig_refused(g, &p, -EINVAL, "it is a pipe");
}

static void an_empty_file_is_refused(void **state)
{
	struct store_spec p = spec_of(rig_file(*state, "disk", 0));

	rig_refused(*state, &p, -EINVAL, "disk is empty; give it a size");
}

static void a_size_between_blocks_is_refused_not_rounded(void **state)
{
	struct store_spec p = spec_of(rig_file(*state, "disk", 10000));

	rig_refused(*state, &p, -EINVAL, "10000 bytes, is not a multiple of the block size 512");
	assert_non_null(strstr(((struct rig *)*state)->err.text, "truncate -s 10240"));
	p.block_size = 4096;
	rig_refused(*state, &p, -EINVAL, "truncate -s 12288");
}

static void unknown_flags_are_refused(void **state)
{
	struct store_spec p = spec_of(rig_file(*state, "disk", 4096));

	p.oflags = "sync:dierct";
	rig_refused(*state, &p, -EINVAL, "unknown open flag 'dierct': did you mean 'direct'?");
	p.oflags = "o_whatever_this_is";
	rig_refused(*state, &p, -EINVAL, "use sync, direct and dsync");
}

static void known_flags_are_joined_by_colons(void **state)
{
	struct store_spec p = spec_of(rig_file(*state, "disk", 4096));

	p.oflags = "sync:dsync:";
	must_open(*state, &p);
}

static void the_names_of_tgt_open_files_too(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", 8192));

	p.block_size = 4096;
	p.type = "rdwr";
	must_open(g, &p);
	assert_string_equal(store_type(g->s), "rdwr");
	assert_int_equal(store_limits(g->s)->mem_align, 1);
	rig_close(g);
	p.type = "aio"; /* direct */
	must_open(g, &p);
	assert_string_equal(store_type(g->s), "aio");
	assert_true(store_limits(g->s)->mem_align > 1);
}

static void direct_refuses_blocks_below_its_alignment(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", 65536));
	uint32_t need;

	p.oflags = "direct";
	p.block_size = 65536;
	must_open(g, &p);
	need = store_limits(g->s)->block;
	rig_close(g);
	assert_in_range(need, 512, 65536);
	p.block_size = 512;
	if (need > 512)
		rig_refused(g, &p, -EINVAL, "leave out the flag direct");
	else
		must_open(g, &p);
}

/* Run @fn as an unprivileged user in a child; true if it went well there. */
static bool unprivileged(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (!geteuid() && (setgid(65534) || setuid(65534)))
			_exit(2);
		fn();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static char locked_path[128];

static void open_without_permission(void)
{
	struct rig g;
	struct store_spec p = spec_of(locked_path);

	rig_init(&g, engine, false);
	if (!rig_open(&g, &p, NULL) || g.err.code != -EACCES ||
	    !strstr(g.err.text, "may not read and write it; change its mode or owner"))
		_exit(1);
	rig_fini(&g);
}

static void a_file_without_permission_is_refused(void **state)
{
	struct rig *g = *state;

	snprintf(locked_path, sizeof(locked_path), "%s", rig_file(g, "disk", 4096));
	assert_int_equal(chmod(g->dir, 0755), 0);
	assert_int_equal(chmod(locked_path, 0444), 0);
	assert_true(unprivileged(open_without_permission));
}

/* ---- double use ---- */

static void a_file_in_use_by_another_unit_is_refused(void **state)
{
	struct rig *g = *state, other;
	struct store_spec p = spec_of(rig_file(g, "disk", 4096));

	must_open(g, &p);
	rig_init(&other, engine, false);
	rig_refused(&other, &p, -EBUSY, "disk is in use by another unit of this daemon, as /");
	p.readonly = true;
	rig_refused(&other, &p, -EBUSY, "in use");
	rig_fini(&other);
}

static void readers_share_a_file(void **state)
{
	struct rig *g = *state, other;
	struct store_spec p = spec_of(rig_file(g, "disk", 4096));

	p.readonly = true;
	must_open(g, &p);
	rig_init(&other, engine, false);
	must_open(&other, &p);
	rig_fini(&other);
}

static void a_closed_file_is_free_again(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", 4096));

	must_open(g, &p);
	rig_close(g);
	must_open(g, &p);
}

/* Another process with a lock of the kind @cmd on it is told. */
static void locked_elsewhere(struct rig *g, int cmd)
{
	const char *path = rig_file(g, "disk", 4096);
	struct store_spec p = spec_of(path);
	int ready[2], status;
	char byte, want[64];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = open(path, O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fcntl(fd, cmd, &l) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	snprintf(want, sizeof(want), "disk is in use by pid %d (", (int)pid);
	rig_refused(g, &p, -EBUSY, want);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

static void a_lock_with_an_owner_is_told_with_its_pid(void **state)
{
	locked_elsewhere(*state, F_SETLK);
}

static void a_lock_without_an_owner_is_told_with_who_has_the_file_open(void **state)
{
	locked_elsewhere(*state, F_OFD_SETLK);
}

/* ---- descriptors and sizes ---- */

static unsigned descriptors_of(const char *path)
{
	struct stat want, st;
	unsigned n = 0;

	assert_int_equal(stat(path, &want), 0);
	for (int fd = 0; fd < 256; fd++)
		n += !fstat(fd, &st) && st.st_dev == want.st_dev && st.st_ino == want.st_ino;
	return n;
}

static void each_reactor_has_a_descriptor_of_its_own(void **state)
{
	struct rig *g = *state;
	const char *path = rig_file(g, "disk", 4096);
	struct store_spec p = spec_of(path);

	must_open(g, &p);
	assert_int_equal(descriptors_of(path), 2); /* the lock's and the reactor's */
	rig_close(g);
	assert_int_equal(descriptors_of(path), 0);
}

struct resizing {
	struct store_resize r;
	unsigned done;
};

static void resized(struct store_resize *r)
{
	container_of(r, struct resizing, r)->done = 1;
}

/* The error's text, "" if it went well; valid until the next call. */
static const char *resize(struct rig *g, uint64_t size)
{
	static struct resizing z;

	z = (struct resizing){ .r = { .size = size, .done = resized } };
	store_resize(g->r, g->s, &z.r);
	rig_until(g, &z.done);
	return z.r.err.code ? z.r.err.text : "";
}

static void a_size_that_changed_is_noticed(void **state)
{
	struct rig *g = *state;
	const char *path = rig_file(g, "disk", MIB(1));
	struct store_spec p = spec_of(path);
	unsigned char *data = rig_memory(4096);
	struct req q;

	must_open(g, &p);
	assert_int_equal(truncate(path, MIB(2)), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, MIB(1), 4096, data), -EINVAL);
	assert_string_equal(resize(g, 0), "");
	assert_true(store_size(g->s) == MIB(2));
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, MIB(1), 4096, data), 0);
	assert_int_equal(truncate(path, KIB(4)), 0);
	assert_string_equal(resize(g, 0), "");
	assert_true(store_size(g->s) == KIB(4));
	free(data);
}

static void a_size_can_be_set(void **state)
{
	struct rig *g = *state;
	const char *path = rig_file(g, "disk", MIB(1));
	struct store_spec p = spec_of(path);
	struct stat st;
	struct req q;

	must_open(g, &p);
	assert_string_equal(resize(g, MIB(64)), "");
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size == MIB(64) && store_size(g->s) == MIB(64));
	assert_in_range(st.st_blocks, 0, MIB(1) / 512); /* nothing is allocated */
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, MIB(32), 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	assert_true(q.io.extent.length == MIB(32));
	assert_string_equal(resize(g, KIB(64)), "");
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size == KIB(64) && store_size(g->s) == KIB(64));
}

static void a_size_between_blocks_cannot_be_set_nor_taken_over(void **state)
{
	struct rig *g = *state;
	const char *path = rig_file(g, "disk", MIB(1));
	struct store_spec p = spec_of(path);
	struct stat st;

	must_open(g, &p);
	assert_non_null(strstr(resize(g, 10000), "not a multiple of the block size 512"));
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size == MIB(1) && store_size(g->s) == MIB(1));
	assert_int_equal(truncate(path, 10000), 0);
	assert_non_null(strstr(resize(g, 0), "has 10000 bytes now, which is not a multiple"));
	assert_true(store_size(g->s) == MIB(1));
}

static void a_file_that_is_read_only_keeps_its_size(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(1)));

	p.readonly = true;
	must_open(g, &p);
	assert_non_null(strstr(resize(g, MIB(2)), "is open read-only"));
	assert_string_equal(resize(g, MIB(1)), ""); /* it has it */
}

/* ---- reading and writing ---- */

static void a_file_cut_under_us_is_a_medium_error(void **state)
{
	struct rig *g = *state;
	const char *path = rig_file(g, "disk", MIB(1));
	struct store_spec p = spec_of(path);
	unsigned char *data = rig_memory(KIB(64));
	struct req q;

	must_open(g, &p);
	assert_int_equal(truncate(path, KIB(100)), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, KIB(64), KIB(64), data), -EIO);
	assert_int_equal(q.io.where, KIB(100));
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, KIB(512), KIB(64), data), -EIO);
	assert_int_equal(q.io.where, KIB(512));
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, KIB(64), data), 0);
	assert_false(store_has_error(g->s));
	free(data);
}

static void more_segments_than_a_call_takes_are_continued(void **state)
{
	enum { N = 3000, LEN = 512 };
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", N * LEN));
	unsigned char *data = rig_memory(N * LEN), *back = rig_memory(N * LEN);
	struct iovec *v = calloc(N, sizeof(*v));
	struct req q;

	for (int i = 0; i < N * LEN; i++)
		data[i] = (unsigned char)(i * 7 + i / 512);
	must_open(g, &p);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, N * LEN, data), 0);
	for (int pass = 0; pass < 2; pass++) {
		rig_fill(&q, pass ? STORE_WRITE : STORE_READ, 0, 0, N * LEN, NULL);
		for (int i = 0; i < N; i++)
			v[i] = (struct iovec){ back + i * LEN, LEN };
		q.io.iov = v;
		q.io.iovcnt = N;
		rig_submit(g, &q);
		rig_wait(g, &q);
		assert_int_equal(q.io.err, 0);
		assert_memory_equal(data, back, N * LEN);
	}
	free(data);
	free(back);
	free(v);
}

/* A tmpfs file knows no ZERO_RANGE. */
static void zeroes_are_written_where_the_file_system_cannot(void **state)
{
	struct rig *g = *state;
	int fd = memfd_create("disk", MFD_CLOEXEC);
	char path[64];
	struct store_spec p = spec_of(path);
	unsigned char *data = rig_memory(MIB(2)), *want = rig_memory(MIB(2));
	struct req q;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB(2)), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must_open(g, &p);
	memset(data, 3, MIB(2));
	memset(want, 3, MIB(2));
	memset(want + 512, 0, MIB(1));
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, MIB(2), data), 0);
	assert_int_equal(rig_do(g, &q, STORE_ZERO, STORE_FUA, 512, MIB(1), NULL), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, MIB(2), data), 0);
	assert_memory_equal(data, want, MIB(2));
	/* holes it knows */
	assert_int_equal(store_limits(g->s)->cap[STORE_DISCARD], STORE_CAP_NATIVE);
	assert_int_equal(rig_do(g, &q, STORE_DISCARD, STORE_FUA, MIB(1), KIB(64), NULL), 0);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, MIB(1), 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	close(fd);
	free(data);
	free(want);
}

static void a_full_file_system_is_enospc_and_where(void **state)
{
	struct rig *g = *state;
	char dir[128], path[160];
	struct store_spec p = spec_of(path);
	unsigned char *data = rig_memory(MIB(1));
	struct req q;
	int fd;

	snprintf(dir, sizeof(dir), "%s/full", g->dir);
	snprintf(path, sizeof(path), "%s/disk", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	if (mount("none", dir, "tmpfs", 0, "size=256k")) {
		print_message("this user may not mount a file system of 256 KiB\n");
		free(data);
		skip();
	}
	/* unseen at once, so that nothing is left behind whatever happens */
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	umount2(dir, MNT_DETACH);
	assert_int_equal(ftruncate(fd, MIB(1)), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must_open(g, &p);
	for (int len = 32; len <= 512; len += 480) { /* inline and not */
		int err = 0;

		for (uint64_t off = 0; !err && off < MIB(1); off += KIB(len))
			err = rig_do(g, &q, STORE_WRITE, 0, off, KIB(len), data);
		assert_int_equal(err, -ENOSPC);
		assert_in_range(q.io.where, KIB(128), KIB(256));
		assert_true(q.io.where >= q.io.offset);
	}
	assert_false(store_has_error(g->s));
	close(fd);
	free(data);
}

/* ---- the budget of inline writes, on a clock of the test's own ---- */

static struct engine slow;
static uint64_t clock_ns, write_ns;
static unsigned inline_writes, inline_reads;
static size_t read_most;

static uint64_t slow_now(struct reactor *r)
{
	return clock_ns;
}

static int slow_io_now(struct reactor *r, struct io_op *op, bool nowait)
{
	struct iovec first = op->iov[0];
	struct io_op cut = *op;

	if (op->verb == IO_PWRITEV) {
		inline_writes++;
		clock_ns += write_ns;
		return engine->io_now(r, op, nowait);
	}
	/* twice a little is in memory, then nothing */
	if (inline_reads++ % 3 == 2)
		return -EAGAIN;
	first.iov_len = min(first.iov_len, read_most);
	cut.iov = &first;
	cut.iovcnt = 1;
	return engine->io_now(r, &cut, nowait);
}

static int set_up_slow(void **state)
{
	slow = *engine;
	slow.now = slow_now;
	slow.io_now = slow_io_now;
	clock_ns = NSEC_PER_SEC;
	write_ns = 10 * NSEC_PER_USEC;
	inline_writes = inline_reads = 0;
	*state = malloc(sizeof(struct rig));
	rig_init(*state, &slow, false);
	return 0;
}

static void a_slow_file_is_written_asynchronously_for_a_while(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(1)));
	unsigned char *data = rig_memory(4096);
	struct req q;

	must_open(g, &p);
	for (int i = 0; i < 10; i++)
		assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), 0);
	assert_int_equal(inline_writes, 10);
	write_ns = 3 * NSEC_PER_MSEC;
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), 0);
	assert_int_equal(inline_writes, 11);
	for (int i = 0; i < 10; i++)
		assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), 0);
	assert_int_equal(inline_writes, 11);
	clock_ns += 100 * NSEC_PER_MSEC;
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), 0);
	assert_int_equal(inline_writes, 12);
	free(data);
}

static void a_long_write_may_take_longer(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(1)));
	unsigned char *data = rig_memory(MIB(1));
	struct req q;

	must_open(g, &p);
	write_ns = 790 * NSEC_PER_USEC;
	for (int i = 0; i < 100; i++)
		assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, MIB(1), data), 0);
	assert_int_equal(inline_writes, 100);
	write_ns = NSEC_PER_MSEC;
	for (int i = 0; i < 100; i++)
		assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, MIB(1), data), 0);
	assert_true(inline_writes < 200);
	free(data);
}

static void only_small_cached_writes_are_done_inline(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", MIB(4)));
	unsigned char *data = rig_memory(MIB(2));
	struct req q;

	must_open(g, &p);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, MIB(1) + 4096, data), 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 0, 4096, data), 0);
	assert_int_equal(inline_writes, 0);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, MIB(1), data), 0);
	assert_int_equal(inline_writes, 1);
	rig_close(g);
	p.oflags = "dsync";
	must_open(g, &p);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, 4096, data), 0);
	assert_int_equal(inline_writes, 1);
	free(data);
}

static void a_read_that_is_partly_in_memory_is_continued(void **state)
{
	struct rig *g = *state;
	struct store_spec p = spec_of(rig_file(g, "disk", KIB(64)));
	unsigned char *data = rig_memory(KIB(64)), *back = rig_memory(KIB(64));
	struct req q;

	for (size_t i = 0; i < KIB(64); i++)
		data[i] = (unsigned char)(i * 13 + i / 300);
	must_open(g, &p);
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 0, KIB(64), data), 0);
	for (read_most = 1; read_most < KIB(40); read_most = read_most * 3 + 1) {
		memset(back, 0xee, KIB(64));
		assert_int_equal(rig_do(g, &q, STORE_READ, 0, 512, KIB(60), back), 0);
		assert_memory_equal(back, data + 512, KIB(60));
	}
	assert_true(inline_reads > 10);
	free(data);
	free(back);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define S(name) cmocka_unit_test_setup_teardown(name, set_up_slow, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_missing_file_is_refused),
		T(a_directory_is_refused),
		T(what_holds_no_data_is_refused),
		T(an_empty_file_is_refused),
		T(a_size_between_blocks_is_refused_not_rounded),
		T(unknown_flags_are_refused),
		T(known_flags_are_joined_by_colons),
		T(the_names_of_tgt_open_files_too),
		T(direct_refuses_blocks_below_its_alignment),
		T(a_file_in_use_by_another_unit_is_refused),
		T(readers_share_a_file),
		T(a_closed_file_is_free_again),
		T(a_lock_with_an_owner_is_told_with_its_pid),
		T(a_lock_without_an_owner_is_told_with_who_has_the_file_open),
		T(each_reactor_has_a_descriptor_of_its_own),
		T(a_size_that_changed_is_noticed),
		T(a_size_can_be_set),
		T(a_size_between_blocks_cannot_be_set_nor_taken_over),
		T(a_file_that_is_read_only_keeps_its_size),
		T(a_file_cut_under_us_is_a_medium_error),
		T(more_segments_than_a_call_takes_are_continued),
		T(zeroes_are_written_where_the_file_system_cannot),
		T(a_full_file_system_is_enospc_and_where),
		S(a_slow_file_is_written_asynchronously_for_a_while),
		S(a_long_write_may_take_longer),
		S(only_small_cached_writes_are_done_inline),
		S(a_read_that_is_partly_in_memory_is_continued),
	};
	/* forks before this process has offload threads, which a child would miss */
	const struct CMUnitTest forking[] = { T(a_file_without_permission_is_refused) };
	int rc;

	engine = rig_engine(argc, argv);
	log_set_level(LOG_LEVEL_ERR);
	if (argc > 2)
		return cmocka_run_group_tests(forking, NULL, NULL);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	offload_shutdown();
	return rc;
}
