/* SPDX-License-Identifier: BSD-2-Clause */
/* Instances, verbs and sessions, as a program sees them. */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static unsigned count_in(const char *dir, const char *link_begins)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	unsigned n = 0;
	char to[256];

	assert_non_null(d);
	while ((f = readdir(d))) {
		ssize_t len = readlinkat(dirfd(d), f->d_name, to, sizeof(to) - 1);

		to[len > 0 ? len : 0] = 0;
		n += f->d_name[0] != '.' &&
		     (!link_begins || !strncmp(to, link_begins, strlen(link_begins)));
	}
	closedir(d);
	return n;
}

/* Threads of the library; sanitizers have their own. */
static unsigned count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	char path[300], name[16];
	struct dirent *f;
	unsigned n = 0;

	assert_non_null(d);
	while ((f = readdir(d))) {
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", f->d_name);
		comm = f->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!comm)
			continue;
		n += fgets(name, sizeof(name), comm) && !strncmp(name, "stgt", 4);
		fclose(comm);
	}
	closedir(d);
	return n;
}

/* What ends a thread is seen by /proc a moment after who waits for it. */
static void no_thread_is_left(void)
{
	struct timespec ms = { 0, 1000000 };

	for (int i = 0; i < 10000 && count_threads(); i++)
		nanosleep(&ms, NULL);
	assert_int_equal(count_threads(), 0);
}

/* ---- life ------------------------------------------------------------------------------------- */

static void the_library_is_the_headers(void **state)
{
	assert_int_equal(stgt_api(), STGT_API);
	assert_string_equal(stgt_version(), VERSION);
}

static void instances_come_one_after_the_other_and_leave_nothing_behind(void **state)
{
	unsigned files = count_in("/proc/self/fd", NULL);

	for (int i = 0; i < 3; i++) {
		struct stgt *s = rig_up();

		stgt_session_free(rig_login(s, INITIATOR));
		assert_in_range(count_threads(), 3, 20);
		rig_down(s);
		no_thread_is_left();
		assert_int_equal(count_in("/proc/self/fd", NULL), files);
	}
}

static void an_instance_without_options_has_the_defaults(void **state)
{
	struct stgt *s = stgt_create(NULL, NULL);
	char *text;

	assert_non_null(s);
	text = rig_call(s, "system.show", NULL);
	assert_non_null(strstr(text, "\"state\":\"ready\""));
	stgt_free(text);
	rig_down(s);
}

static void a_second_instance_is_refused_until_the_first_has_ended(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_error e = { 0 };

	assert_null(stgt_create(NULL, &e));
	assert_int_equal(e.code, -EBUSY);
	assert_non_null(strstr(e.text, "stgt_destroy()"));
	rig_down(s);
	rig_down(rig_up());
}

static void refused(const struct stgt_options *o, int code, const char *word)
{
	struct stgt_error e = { 0 };

	assert_null(stgt_create(o, &e));
	assert_int_equal(e.code, code);
	if (!strstr(e.text, word))
		fail_msg("'%s' does not name %s", e.text, word);
}

static void wrong_options_are_named_and_change_nothing(void **state)
{
	struct stgt_options o = STGT_OPTIONS_INIT, other = o;

	no_thread_is_left();
	other.threads = 9;
	refused(&other, -EINVAL, "9 threads");
	other = o;
	other.engine = "steam";
	refused(&other, -EINVAL, "steam");
	other = o;
	other.memory = 4096;
	refused(&other, -EINVAL, "memory");
	other = o;
	other.log_level = (enum stgt_log_level)7;
	refused(&other, -EINVAL, "log level");
	other = o;
	other.poll_us = 2000000;
	refused(&other, -EINVAL, "poll_us");
	other = o;
	other.size = 0;
	refused(&other, -EINVAL, "sizeof(struct stgt_options)");
	assert_int_equal(count_threads(), 0);
	rig_down(rig_up());
}

static void a_start_that_fails_leaves_nothing_behind(void **state)
{
	struct rlimit was, few;
	unsigned files, failed = 0;
	struct stgt *s = NULL;

	no_thread_is_left();
	files = count_in("/proc/self/fd", NULL);
	getrlimit(RLIMIT_NOFILE, &was);
	/* one file more each time: the start comes further, until it succeeds */
	for (unsigned n = files; !s && n < files + 100; n++) {
		struct stgt_options o = STGT_OPTIONS_INIT;
		struct stgt_error e = { 0 };

		few = (struct rlimit){ n, was.rlim_max };
		setrlimit(RLIMIT_NOFILE, &few);
		o.threads = 2;
		s = stgt_create(&o, &e);
		setrlimit(RLIMIT_NOFILE, &was);
		if (s)
			break;
		failed++;
		assert_int_not_equal(e.code, 0);
		assert_true(strlen(e.text) > 10);
		assert_int_equal(count_in("/proc/self/fd", NULL), files);
	}
	assert_non_null(s);
	assert_in_range(failed, 2, 99);
	rig_down(s);
	no_thread_is_left();
	assert_int_equal(count_in("/proc/self/fd", NULL), files);
}

static void options_of_a_newer_program_are_taken_if_they_ask_for_nothing(void **state)
{
	struct {
		struct stgt_options o;
		uint64_t later;
	} newer = { .o = { .size = sizeof(newer) } };
	struct stgt *s = stgt_create(&newer.o, NULL);

	assert_non_null(s);
	rig_down(s);
	newer.later = 1;
	refused(&newer.o, -E2BIG, "newer libstgt");
}

static void options_of_an_older_program_end_earlier(void **state)
{
	struct stgt_options o;
	struct stgt *s;

	memset(&o, 0xa5, sizeof(o));
	o.size = offsetof(struct stgt_options, log_level);
	o.log = NULL;
	s = stgt_create(&o, NULL);
	assert_non_null(s);
	rig_down(s);
}

static void nothing_destroyed_is_fine(void **state)
{
	assert_int_equal(stgt_destroy(NULL, -1, NULL), 0);
	assert_int_equal(stgt_session_free(NULL), 0);
	stgt_command_free(NULL);
	stgt_free(NULL);
}

static void an_instance_ends_with_sessions_and_commands_left(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *one = rig_login(s, INITIATOR);
	struct stgt_command *c[4];
	uint8_t data[4][BLOCK];
	struct iovec v[4];

	rig_login(s, INITIATOR "2");
	for (int i = 0; i < 4; i++) {
		v[i] = (struct iovec){ data[i], BLOCK };
		c[i] = rig_command(1, SLOW, READ10(i, 1));
		c[i]->in = &v[i];
		c[i]->in_cnt = 1;
		rig_submit(one, c[i]);
	}
	rig_down(s);
	assert_int_equal(rig_ended(), 4);
	for (int i = 0; i < 4; i++) {
		assert_true(c[i]->result == -ECANCELED || c[i]->status == STGT_GOOD);
		stgt_command_free(c[i]);
	}
	rig_down(rig_up());
}

static struct stgt_session *endless;

static void again_until_refused(struct stgt_command *c)
{
	if (stgt_submit(endless, c))
		rig_done(c);
}

static void an_instance_ends_although_callbacks_submit(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_command *c[8];

	endless = rig_login(s, INITIATOR);
	for (int i = 0; i < 8; i++) {
		c[i] = rig_command(1, DISK, TEST_UNIT_READY);
		c[i]->done = again_until_refused;
		assert_int_equal(stgt_submit(endless, c[i]), 0);
	}
	rig_down(s);
	assert_int_equal(rig_ended(), 8);
	for (int i = 0; i < 8; i++)
		stgt_command_free(c[i]);
}

static void the_end_can_be_waited_for_in_parts(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR), *other;
	struct stgt_command *c = rig_command(1, SLOW, READ10(0, 1));
	struct stgt_error e;
	uint8_t data[BLOCK];
	struct iovec v = { data, sizeof(data) };

	c->in = &v;
	c->in_cnt = 1;
	rig_submit(session, c);
	assert_int_equal(stgt_destroy(s, 0, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "again"));
	assert_int_equal(stgt_call(s, "help", NULL, NULL, &e), -ESHUTDOWN);
	assert_int_equal(stgt_login(s, TARGET, INITIATOR "2", &other, &e), -ESHUTDOWN);
	assert_int_equal(stgt_destroy(s, -1, &e), 0);
	assert_int_equal(rig_ended(), 1);
	stgt_command_free(c);
}

/* ---- the process ----------------------------------------------------------------------------------- */

static void nothing_is_printed(void **state)
{
	char path[] = "/tmp/stgt-embed-XXXXXX";
	int fd = mkstemp(path), out = dup(1), err = dup(2);
	struct stgt_options o = STGT_OPTIONS_INIT;
	struct stgt *s;

	assert_true(fd >= 0 && out >= 0 && err >= 0);
	dup2(fd, 1);
	dup2(fd, 2);
	o.log_level = STGT_LOG_DEBUG;
	s = stgt_create(&o, NULL);
	stgt_call(s, "target.create", "{\"name\":\"" TARGET "\"}", NULL, NULL);
	stgt_call(s, "system.update", "{\"name\":\"State\",\"value\":\"offline\"}", NULL, NULL);
	stgt_destroy(s, -1, NULL);
	dup2(out, 1);
	dup2(err, 2);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	close(out);
	close(err);
	unlink(path);
}

static char logged[256];
static enum stgt_log_level logged_level;

static void log_line(void *arg, enum stgt_log_level level, const char *text)
{
	assert_string_equal(arg, "mine");
	if (!strstr(text, "logins are refused"))
		return;
	snprintf(logged, sizeof(logged), "%s", text);
	logged_level = level;
}

static void the_program_gets_the_log(void **state)
{
	struct stgt_options o = STGT_OPTIONS_INIT;
	struct stgt *s;

	o.log = log_line;
	o.log_arg = "mine";
	for (int i = 0; i < 2; i++) {
		logged[0] = 0;
		o.log_level = i ? STGT_LOG_ERR : 0;
		s = stgt_create(&o, NULL);
		assert_non_null(s);
		stgt_free(
			rig_call(s, "system.update", "{\"name\":\"State\",\"value\":\"offline\"}"));
		rig_down(s);
		assert_int_equal(logged[0] != 0, !i);
	}
	assert_int_equal(logged_level, STGT_LOG_INFO);
}

static void signals_stay_the_programs(void **state)
{
	sigset_t mine, before, after, pending;
	struct sigaction pipe_before, pipe_after;
	struct stgt *s;
	int sig;

	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR1);
	sigaction(SIGPIPE, NULL, &pipe_before);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	s = rig_up();
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	sigaction(SIGPIPE, NULL, &pipe_after);
	for (int i = 1; i < NSIG; i++)
		assert_int_equal(sigismember(&before, i), sigismember(&after, i));
	assert_ptr_equal(pipe_before.sa_handler, pipe_after.sa_handler);
	/* a signal of the process that this thread blocks must find no thread that takes it */
	pthread_sigmask(SIG_BLOCK, &mine, NULL);
	kill(getpid(), SIGUSR1);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
	sigwait(&mine, &sig);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	rig_down(s);
}

static void no_socket_is_open_before_one_is_asked_for(void **state)
{
	unsigned before = count_in("/proc/self/fd", "socket:");
	struct stgt *s = rig_up();
	char *text;

	stgt_session_free(rig_login(s, INITIATOR));
	assert_int_equal(count_in("/proc/self/fd", "socket:"), before);
	stgt_free(rig_call(s, "portal.add", "{\"portal\":\"127.0.0.1:0\"}"));
	assert_int_equal(count_in("/proc/self/fd", "socket:"), before + 1);
	text = rig_call(s, "portal.list", NULL);
	assert_non_null(strstr(text, "127.0.0.1"));
	stgt_free(text);
	rig_down(s);
	assert_int_equal(count_in("/proc/self/fd", "socket:"), before);
}

static void hypervisors_are_served_when_they_are_asked_for(void **state)
{
	char dir[] = "/tmp/stgt-embed-XXXXXX", path[64], params[128];
	struct sigaction before, after;
	struct stgt *s;

	sigaction(SIGBUS, NULL, &before);
	s = rig_up();
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/vhost", dir);
	snprintf(params, sizeof(params), "{\"tid\":1,\"path\":\"%s\"}", path);
	stgt_free(rig_call(s, "vhost.add", params));
	assert_int_equal(access(path, F_OK), 0);
	rig_down(s);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rmdir(dir), 0);
	sigaction(SIGBUS, NULL, &after);
	assert_ptr_equal(before.sa_handler, after.sa_handler);
}

static void stores_of_plugins_find_the_library(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);
	uint8_t data[BLOCK];

	stgt_free(rig_call(s, "lun.create",
			   "{\"tid\":1,\"lun\":3,\"bstype\":\"lines\",\"path\":\"any\"}"));
	rig_sense(rig_in(session, 3, TEST_UNIT_READY, NULL, 0), 0x6, 0x29, 0x00);
	rig_good(rig_in(session, 3, READ10(1, 1), data, sizeof(data)));
	assert_memory_equal(data, "block 1 ", 8);
	stgt_session_free(session);
	rig_down(s);
}

/* ---- verbs ----------------------------------------------------------------------------------------- */

static void fails(struct stgt *s, const char *method, const char *params, int code,
		  const char *kind, const char *word)
{
	struct stgt_error e = { 0 };
	char *text = "untouched";

	assert_int_equal(stgt_call(s, method, params, &text, &e), code);
	assert_null(text);
	assert_int_equal(e.code, code);
	assert_string_equal(e.kind, kind);
	if (!strstr(e.text, word))
		fail_msg("'%s' does not say %s", e.text, word);
}

static void verbs_answer_as_the_daemon_does(void **state)
{
	struct stgt *s = rig_up();
	char *text = rig_call(s, "target.list", NULL);

	assert_non_null(strstr(text, "\"name\":\"" TARGET "\""));
	stgt_free(text);
	text = rig_call(s, "help", NULL);
	assert_non_null(strstr(text, "\"lun.create\""));
	stgt_free(text);
	assert_int_equal(stgt_call(s, "target.create", "{\"name\":\"" TARGET "2\"}", NULL, NULL), 0);
	rig_down(s);
}

static void failing_verbs_say_what_and_why(void **state)
{
	struct stgt *s = rig_up();

	fails(s, "target.delete", "{\"tid\":77}", -ENOENT, "no-target", "77");
	fails(s, "target.create", "{\"name\":\"" TARGET "\"}", -EEXIST, "target-exists", TARGET);
	fails(s, "target.create", "{\"nam\":\"x\"}", -EINVAL, "", "did you mean 'name'");
	fails(s, "target.create", "{\"name\":", -EINVAL, "", "not a JSON object");
	fails(s, "target.create", "[]", -EINVAL, "", "must be an object");
	fails(s, "target.crate", NULL, -ENOSYS, "", "did you mean 'target.create'");
	fails(s, "target.\xff", NULL, -EINVAL, "", "UTF-8");
	fails(s, "system.shutdown", NULL, -EOPNOTSUPP, "", "stgt_destroy()");
	fails(s, "tcmu.attach", "{\"tid\":1,\"lun\":1}", -EOPNOTSUPP, "no-driver", "TCMU");
	fails(s, NULL, NULL, -EINVAL, "", "needs");
	fails(NULL, "help", NULL, -EINVAL, "", "needs");
	rig_down(s);
}

/* ---- sessions ---------------------------------------------------------------------------------------- */

static void no_login(struct stgt *s, const char *target, const char *initiator, int code)
{
	struct stgt_session *session = (void *)s;
	struct stgt_error e = { 0 };

	assert_int_equal(stgt_login(s, target, initiator, &session, &e), code);
	assert_null(session);
	assert_int_equal(e.code, code);
	assert_true(strlen(e.text) > 10);
}

static void logins_that_cannot_be_say_why(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);
	char name[300];

	no_login(s, TARGET "x", INITIATOR, -ENOENT);
	no_login(s, "nobody", INITIATOR, -EINVAL);
	no_login(s, TARGET, "me", -EINVAL);
	no_login(s, NULL, INITIATOR, -EINVAL);
	no_login(s, TARGET, NULL, -EINVAL);
	no_login(NULL, TARGET, INITIATOR, -EINVAL);
	memset(name, 'a', sizeof(name));
	memcpy(name, "iqn.2026-11.test:", 17);
	name[sizeof(name) - 1] = 0;
	no_login(s, TARGET, name, -EINVAL);
	no_login(s, TARGET, INITIATOR, -EBUSY);
	stgt_session_free(session);
	stgt_free(rig_call(s, "target.update",
			   "{\"tid\":1,\"name\":\"state\",\"value\":\"offline\"}"));
	no_login(s, TARGET, INITIATOR, -ESHUTDOWN);
	rig_down(s);
}

static void an_initiator_comes_back_by_the_same_name(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);

	/* RESERVE(6) ends with the nexus */
	rig_good(rig_in(session, DISK, CDB(0x16, 0, 0, 0, 0, 0), NULL, 0));
	assert_int_equal(stgt_session_free(session), 0);
	session = rig_login(s, INITIATOR "2");
	rig_good(rig_in(session, DISK, TEST_UNIT_READY, NULL, 0));
	stgt_session_free(session);
	session = rig_login(s, "IQN.2026-11.test:PROGRAM");
	rig_good(rig_in(session, DISK, TEST_UNIT_READY, NULL, 0));
	stgt_session_free(session);
	rig_down(s);
}

static void what_is_submitted_after_the_logout_does_not_arrive(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY);

	assert_int_equal(stgt_logout(session), 0);
	c->done = rig_done;
	assert_int_equal(stgt_submit(session, c), -ENOTCONN);
	assert_int_equal(stgt_execute(session, c), -ENOTCONN);
	assert_int_equal(stgt_manage(session, STGT_LU_RESET, DISK, 0), -ENOTCONN);
	assert_int_equal(stgt_logout(session), 0);
	assert_int_equal(rig_ended(), 0);
	stgt_command_free(c);
	assert_int_equal(stgt_session_free(session), 0);
	rig_down(s);
}

static void submits_nothing(struct stgt_session *session)
{
	struct stgt_command *c = rig_command(1, DISK, TEST_UNIT_READY);

	assert_int_equal(stgt_execute(session, c), -ENOTCONN);
	stgt_command_free(c);
	assert_int_equal(stgt_session_free(session), 0);
}

static void the_administrator_sees_a_session_and_can_end_it(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR), *other;
	char *text = rig_call(s, "session.list", "{\"tid\":1}"), params[64];
	const char *sid = strstr(text, "\"sid\":");

	assert_non_null(strstr(text, INITIATOR));
	assert_non_null(sid);
	snprintf(params, sizeof(params), "{\"tid\":1,\"sid\":%lu}", strtoul(sid + 6, NULL, 10));
	stgt_free(text);
	stgt_free(rig_call(s, "session.close", params));
	/* it has ended when another may have the name */
	while (stgt_login(s, TARGET, INITIATOR, &other, NULL))
		;
	submits_nothing(session);
	stgt_free(rig_call(s, "target.delete", "{\"tid\":1,\"force\":true}"));
	submits_nothing(other);
	rig_down(s);
}

static void a_logout_waits_for_the_commands_under_way(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);
	struct stgt_command *c[8];
	uint8_t data[8][BLOCK];
	struct iovec v[8];

	for (int i = 0; i < 8; i++) {
		v[i] = (struct iovec){ data[i], BLOCK };
		c[i] = rig_command(1, SLOW, READ10(i, 1));
		c[i]->in = &v[i];
		c[i]->in_cnt = 1;
		rig_submit(session, c[i]);
	}
	assert_int_equal(stgt_logout(session), 0);
	assert_int_equal(rig_ended(), 8);
	for (int i = 0; i < 8; i++) {
		assert_true(c[i]->result == -ECANCELED || c[i]->status == STGT_GOOD);
		stgt_command_free(c[i]);
	}
	stgt_session_free(session);
	rig_down(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_library_is_the_headers),
		cmocka_unit_test(instances_come_one_after_the_other_and_leave_nothing_behind),
		cmocka_unit_test(an_instance_without_options_has_the_defaults),
		cmocka_unit_test(a_second_instance_is_refused_until_the_first_has_ended),
		cmocka_unit_test(wrong_options_are_named_and_change_nothing),
		cmocka_unit_test(a_start_that_fails_leaves_nothing_behind),
		cmocka_unit_test(options_of_a_newer_program_are_taken_if_they_ask_for_nothing),
		cmocka_unit_test(options_of_an_older_program_end_earlier),
		cmocka_unit_test(nothing_destroyed_is_fine),
		cmocka_unit_test(an_instance_ends_with_sessions_and_commands_left),
		cmocka_unit_test(an_instance_ends_although_callbacks_submit),
		cmocka_unit_test(the_end_can_be_waited_for_in_parts),
		cmocka_unit_test(nothing_is_printed),
		cmocka_unit_test(the_program_gets_the_log),
		cmocka_unit_test(signals_stay_the_programs),
		cmocka_unit_test(no_socket_is_open_before_one_is_asked_for),
		cmocka_unit_test(hypervisors_are_served_when_they_are_asked_for),
		cmocka_unit_test(stores_of_plugins_find_the_library),
		cmocka_unit_test(verbs_answer_as_the_daemon_does),
		cmocka_unit_test(failing_verbs_say_what_and_why),
		cmocka_unit_test(logins_that_cannot_be_say_why),
		cmocka_unit_test(an_initiator_comes_back_by_the_same_name),
		cmocka_unit_test(what_is_submitted_after_the_logout_does_not_arrive),
		cmocka_unit_test(the_administrator_sees_a_session_and_can_end_it),
		cmocka_unit_test(a_logout_waits_for_the_commands_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
