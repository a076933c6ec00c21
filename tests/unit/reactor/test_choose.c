/* SPDX-License-Identifier: BSD-2-Clause */
/* Which engine is chosen, on hosts that allow less than this one. */
#include "help.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "../temp.h"

static int log_file;

/* Run @fn in a process of its own; its stderr goes to a file. Fails if @fn does not return 0. */
static void in_child(int (*fn)(void))
{
	char path[TEMP_PATH_MAX];
	int status;
	pid_t pid;

	log_file = mkstemp(temp_path(path, "choose"));
	assert_true(log_file >= 0);
	unlink(path);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(log_file, STDERR_FILENO);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the child failed with status 0x%x", status);
}

static const char *logged(void)
{
	static char text[4096];
	ssize_t n = pread(log_file, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* From here on io_uring_setup() fails with @error, as in many containers. */
static int refuse_io_uring(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { array_size(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* A message through a socket and a read of a file; 0 if they come through. */
static int io_works(const struct engine *en)
{
	struct reactor_opts o = { .name = "child", .engine = en, .buf_cap = MIB(4) };
	struct reactor *r = reactor_create(&o, NULL);
	int fd[2], file = temp_file(4096);
	char out[64] = "hello", in[64], block[512];
	struct probe tx, rx, rd;

	if (!r || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return 10;
	probe_socket(&rx, IO_RECVMSG, fd[0], in, sizeof(in));
	probe_socket(&tx, IO_SENDMSG, fd[1], out, sizeof(out));
	probe_file(&rd, IO_PREADV, file, block, sizeof(block), 512);
	probe_submit(r, &rx);
	probe_submit(r, &tx);
	probe_submit(r, &rd);
	for (int i = 0; i < 1000 && !(rx.calls && tx.calls && rd.calls); i++)
		reactor_turn(r, NSEC_PER_SEC);
	if (rx.res != sizeof(in) || memcmp(in, out, sizeof(in)))
		return 11;
	if (rd.res != sizeof(block) || (uint8_t)block[1] != pattern(513))
		return 12;
	reactor_destroy(r);
	offload_shutdown();
	return 0;
}

static int auto_must_be_epoll(int error)
{
	const struct engine *en;
	struct err e = { 0 };

	if (refuse_io_uring(error) < 0)
		return 1;
	en = engine_choose(NULL, &e);
	if (en != &engine_epoll)
		return 2;
	if (engine_choose("uring", &e) || e.code != -error || !strstr(e.text, "uring"))
		return 3;
	return io_works(en);
}

static int refused_by_eperm(void)
{
	return auto_must_be_epoll(EPERM);
}

static int refused_by_enosys(void)
{
	return auto_must_be_epoll(ENOSYS);
}

static int refused_by_einval(void)
{
	return auto_must_be_epoll(EINVAL);
}

static void where_a_filter_refuses_io_uring_epoll_takes_over(void **state)
{
	in_child(refused_by_eperm);
	assert_non_null(strstr(logged(), "epoll"));
	assert_non_null(strstr(logged(), "seccomp"));
	assert_int_equal(lines(logged()), 1);
}

static void where_a_filter_hides_io_uring_epoll_takes_over(void **state)
{
	in_child(refused_by_enosys);
	assert_non_null(strstr(logged(), "this kernel has none"));
	assert_int_equal(lines(logged()), 1);
}

static void on_an_old_kernel_epoll_takes_over(void **state)
{
	in_child(refused_by_einval);
	assert_non_null(strstr(logged(), "older than Linux 6.1"));
	assert_int_equal(lines(logged()), 1);
}

/* The engine that was best with all privileges. */
static const struct engine *best;

static int privileged_then_nobody(void)
{
	best = engine_choose(NULL, NULL);
	return become_nobody();
}

static int as_nobody(void)
{
	const struct engine *en;

	if (privileged_then_nobody() < 0)
		return 1;
	en = engine_choose(NULL, NULL);
	/* Eight of the smallest rings are 64 KiB. */
	if (en != best && reactor_default_count() < 8)
		return 2;
	return io_works(en);
}

static void an_unprivileged_user_with_little_memlock_can_run(void **state)
{
	in_child(as_nobody);
}

static int all_reactors(void)
{
	struct reactor *r[REACTORS_MAX + 1];
	unsigned n = reactor_default_count() + 1;
	const struct engine *en;

	if (privileged_then_nobody() < 0)
		return 1;
	en = engine_choose(NULL, NULL);
	for (unsigned i = 0; i < n; i++) {
		r[i] = reactor_create(&(struct reactor_opts){ .name = "n",
							      .engine = en,
							      .buf_cap = MIB(2) },
				      NULL);
		if (!r[i])
			return 2;
		reactor_turn(r[i], 0);
	}
	for (unsigned i = 0; i < n; i++)
		reactor_destroy(r[i]);
	return 0;
}

static void all_reactors_fit_into_little_memlock(void **state)
{
	in_child(all_reactors);
}

static int with_no_memlock(void)
{
	struct rlimit l = { 0, 0 };
	const struct engine *en;

	if (privileged_then_nobody() < 0 || setrlimit(RLIMIT_MEMLOCK, &l) < 0)
		return 1;
	en = engine_choose(NULL, NULL);
	return en ? io_works(en) : 2;
}

static void without_any_memlock_there_is_an_engine_that_works(void **state)
{
	in_child(with_no_memlock);
}

static void an_unknown_engine_is_named(void **state)
{
	struct err e = { 0 };

	assert_null(engine_choose("kqueue", &e));
	assert_int_equal(e.code, -EINVAL);
	assert_non_null(strstr(e.text, "kqueue"));
	assert_non_null(strstr(e.text, "epoll"));
}

static void an_engine_can_be_asked_for(void **state)
{
	assert_ptr_equal(engine_choose("epoll", NULL), &engine_epoll);
	assert_ptr_equal(engine_choose("auto", NULL), engine_choose(NULL, NULL));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(where_a_filter_refuses_io_uring_epoll_takes_over),
		cmocka_unit_test(where_a_filter_hides_io_uring_epoll_takes_over),
		cmocka_unit_test(on_an_old_kernel_epoll_takes_over),
		cmocka_unit_test(an_unprivileged_user_with_little_memlock_can_run),
		cmocka_unit_test(all_reactors_fit_into_little_memlock),
		cmocka_unit_test(without_any_memlock_there_is_an_engine_that_works),
		cmocka_unit_test(an_unknown_engine_is_named),
		cmocka_unit_test(an_engine_can_be_asked_for),
	};

	return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
