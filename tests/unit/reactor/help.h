/* SPDX-License-Identifier: BSD-2-Clause */
/* What the reactor tests share: a reactor turned by the test itself, and operations that keep count. */
#ifndef STGT_TESTS_REACTOR_HELP_H
#define STGT_TESTS_REACTOR_HELP_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "reactor/reactor.h"

/* A turn that waits this long has failed. */
#define TOO_LONG (20 * NSEC_PER_SEC)

extern const struct engine *test_engine;

/* Become an unprivileged user (if privileged) with a memlock limit of 64 KiB; -1 if that fails. */
int become_nobody(void);

/*
 * The engine called by argv[1], as nobody if argv[2] says "nobody". If it cannot
 * run here: says so as TAP does, and ends well.
 */
void choose_engine(int argc, char **argv);

struct reactor *make_reactor(void);

/* An operation with one segment that counts how often it was done. */
struct probe {
	struct io_op op;
	struct iovec iov;
	struct msghdr msg;
	int calls, res;
	void (*then)(struct probe *p); /* may be NULL */
};

void probe_socket(struct probe *p, enum io_verb verb, int fd, void *buf, size_t len);
void probe_file(struct probe *p, enum io_verb verb, int fd, void *buf, size_t len, uint64_t off);
void probe_poll(struct probe *p, int fd, uint32_t events);
/* These note a done that comes from within. */
void probe_submit(struct reactor *r, struct probe *p);
void probe_cancel(struct probe *p);
/* Turn until @p is done once; returns its result. */
int probe_wait(struct reactor *r, struct probe *p);
int probe_run(struct reactor *r, struct probe *p);

/* Turn until *@n is at least @want. */
void turn_until(struct reactor *r, const int *n, int want);
/* A few turns without waiting: what is ready happens. */
void turn_some(struct reactor *r);

struct reactor_stats stats_of(struct reactor *r);

/* Two ends of a TCP connection on loopback. */
void tcp_pair(int fd[2]);
int tcp_listen(uint16_t *port);
int tcp_connect(uint16_t port);
/* An unlinked file with @size bytes of a pattern. */
int temp_file(size_t size);
uint8_t pattern(uint64_t off);

#endif
