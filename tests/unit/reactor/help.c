/* SPDX-License-Identifier: BSD-2-Clause */
#include "help.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bits.h"
#include "../temp.h"

const struct engine *test_engine;
static int inside; /* io_submit() or io_cancel() */

#define NOBODY 65534

int become_nobody(void)
{
	struct rlimit l = { 64 << 10, 64 << 10 };

	if (setrlimit(RLIMIT_MEMLOCK, &l) < 0)
		return -1;
	return geteuid() ? 0 : setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ? -1 : 0;
}

void choose_engine(int argc, char **argv)
{
	struct err e = { 0 };

	if (argc > 2 && !strcmp(argv[2], "nobody") && become_nobody() < 0) {
		printf("1..0 # SKIP cannot give up privileges\n");
		exit(0);
	}
	test_engine = engine_choose(argc > 1 ? argv[1] : NULL, &e);
	if (test_engine)
		return;
	printf("1..0 # SKIP %s\n", e.text);
	exit(0);
}

struct reactor *make_reactor(void)
{
	struct reactor_opts o = { .name = "test", .engine = test_engine, .buf_cap = MIB(8) };
	struct err e = { 0 };
	struct reactor *r = reactor_create(&o, &e);

	if (!r)
		fail_msg("%s", e.text);
	return r;
}

static void probe_done(struct io_op *op, int res)
{
	struct probe *p = container_of(op, struct probe, op);

	if (inside)
		fail_msg("done was called from within submit or cancel");
	if (io_pending(op))
		fail_msg("the operation is pending in its done");
	p->calls++;
	p->res = res;
	if (p->then)
		p->then(p);
}

static void probe_init(struct probe *p, enum io_verb verb, int fd, void *buf, size_t len)
{
	*p = (struct probe){ .op = { .done = probe_done, .verb = verb, .fd = fd } };
	p->iov = (struct iovec){ buf, len };
}

void probe_socket(struct probe *p, enum io_verb verb, int fd, void *buf, size_t len)
{
	probe_init(p, verb, fd, buf, len);
	p->msg = (struct msghdr){ .msg_iov = &p->iov, .msg_iovlen = 1 };
	p->op.msg = &p->msg;
}

void probe_file(struct probe *p, enum io_verb verb, int fd, void *buf, size_t len, uint64_t off)
{
	probe_init(p, verb, fd, buf, len);
	p->op.iov = &p->iov;
	p->op.iovcnt = 1;
	p->op.offset = off;
}

void probe_poll(struct probe *p, int fd, uint32_t events)
{
	probe_init(p, IO_POLL, fd, NULL, 0);
	p->op.events = events;
}

void probe_submit(struct reactor *r, struct probe *p)
{
	inside++;
	io_submit(r, &p->op);
	inside--;
}

void probe_cancel(struct probe *p)
{
	inside++;
	io_cancel(&p->op);
	inside--;
}

void turn_until(struct reactor *r, const int *n, int want)
{
	while (*n < want) {
		uint64_t start = reactor_now(r);

		reactor_turn(r, TOO_LONG);
		if (*n < want && reactor_now(r) - start >= TOO_LONG)
			fail_msg("nothing happens: %d of %d", *n, want);
	}
}

int probe_wait(struct reactor *r, struct probe *p)
{
	turn_until(r, &p->calls, 1);
	assert_int_equal(p->calls, 1);
	return p->res;
}

int probe_run(struct reactor *r, struct probe *p)
{
	p->calls = 0;
	probe_submit(r, p);
	return probe_wait(r, p);
}

void turn_some(struct reactor *r)
{
	for (int i = 0; i < 5; i++)
		reactor_turn(r, 0);
}

struct reactor_stats stats_of(struct reactor *r)
{
	struct reactor_stats st;

	reactor_get_stats(r, &st);
	return st;
}

int tcp_listen(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

int tcp_connect(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

void tcp_pair(int fd[2])
{
	uint16_t port;
	int lfd = tcp_listen(&port);

	fd[1] = tcp_connect(port);
	fd[0] = accept(lfd, NULL, NULL);
	assert_true(fd[0] >= 0);
	close(lfd);
}

uint8_t pattern(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) * 7);
}

int temp_file(size_t size)
{
	char path[TEMP_PATH_MAX];
	uint8_t *mem = malloc(size + 1);
	int fd = mkstemp(temp_path(path, "reactor"));

	assert_true(fd >= 0);
	assert_non_null(mem);
	unlink(path);
	for (size_t i = 0; i < size; i++)
		mem[i] = pattern(i);
	assert_int_equal(pwrite(fd, mem, size, 0), size);
	free(mem);
	return fd;
}
