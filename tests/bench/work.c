/* SPDX-License-Identifier: BSD-2-Clause */
/* What a worker does: keep its sessions' queues full, then read back what was written. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"
#include "pattern.h"

#define EVENTS 64
#define TICK_MS 200 /* how often a quiet worker looks whether it is over */

static int current_phase(void)
{
	return atomic_load_explicit(&phase, memory_order_relaxed);
}

int session_lose(struct session *s, const char *fmt, ...)
{
	va_list ap;

	if (s->lost)
		return -1;
	fprintf(stderr, "load: session %u is lost with %u commands: ", s->id, s->outstanding);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	s->lost = true;
	s->worker->lost++;
	close(s->fd);
	s->fd = -1;
	s->outstanding = 0;
	s->tx.head = s->tx.tail;
	return -1;
}

static uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state; /* xorshift64* */

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static bool choose_read_back(struct session *s, struct task *t)
{
	while (s->read_back_next < s->blocks && !s->generation[s->read_back_next])
		s->read_back_next++;
	if (s->read_back_next >= s->blocks)
		return false;
	t->write = false;
	t->block = s->base + s->read_back_next;
	t->generation = s->generation[s->read_back_next++];
	return true;
}

static uint64_t choose_block(struct session *s)
{
	uint64_t b;

	if (options.random)
		return (uint64_t)((unsigned __int128)random_next(&s->random) * s->blocks >> 64);
	b = s->next;
	s->next = b + 1 < s->blocks ? b + 1 : 0;
	return b;
}

/* Choose what @t does next; false if there is nothing. */
static bool choose(struct session *s, struct task *t)
{
	uint64_t b;

	if (s->reading_back)
		return choose_read_back(s, t);
	t->write = options.read_pct < 100 &&
		   (!options.read_pct || random_next(&s->random) % 100 >= options.read_pct);
	do
		b = choose_block(s);
	while (options.verify && s->in_use[b]); /* never two at once on one block */
	t->block = s->base + b;
	if (!options.verify)
		return true;
	s->in_use[b] = 1;
	if (t->write) {
		t->generation = ++s->generation[b];
		pattern_fill(t->buf, t->block * options.block, options.block, t->generation);
	} else {
		t->generation = s->generation[b];
	}
	return true;
}

void issue(struct session *s, uint64_t now)
{
	if (s->lost || (current_phase() == PHASE_STOP && !s->reading_back))
		return;
	while (s->nfree && (int32_t)(s->max_cmd_sn - s->cmd_sn) >= 0 && tx_has_room(s)) {
		struct task *t = &s->task[s->free_task[s->nfree - 1]];

		if (!t->again && !choose(s, t))
			return;
		t->again = false;
		s->nfree--;
		s->outstanding++;
		tx_command(s, t, now);
	}
}

static void failed(struct session *s, const struct task *t, uint8_t status)
{
	struct worker *w = s->worker;

	if (!w->check && !w->other_status)
		fprintf(stderr, "load: %s of block %llu: status %02x, %u bytes\n",
			t->write ? "write" : "read", (unsigned long long)t->block, status, t->got);
	if (status == STATUS_CHECK)
		w->check++;
	else
		w->other_status++; /* also a read of the wrong length */
}

void complete(struct session *s, struct task *t, uint8_t status, uint64_t now)
{
	struct worker *w = s->worker;

	t->busy = false;
	s->free_task[s->nfree++] = (unsigned)(t - s->task);
	s->outstanding--;
	if (status == STATUS_FULL || status == STATUS_BUSY) {
		bump(status == STATUS_FULL ? &w->full : &w->busy);
		t->again = true;
		return;
	}
	if (options.verify && !s->reading_back)
		s->in_use[t->block - s->base] = 0;
	if (status != STATUS_GOOD || (!t->write && t->got != options.block)) {
		failed(s, t, status);
		return;
	}
	if (s->reading_back)
		return;
	bump(&w->done);
	if (!t->write)
		bump(&w->reads);
	if (current_phase() == PHASE_MEASURE)
		hist_add(&w->latency, now - t->begun);
}

static bool all_quiet(const struct worker *w)
{
	for (unsigned i = 0; i < w->nsessions; i++) {
		const struct session *s = w->session[i];

		if (s->outstanding || !tx_empty(s))
			return false;
	}
	return true;
}

static void lose_all(struct worker *w)
{
	for (unsigned i = 0; i < w->nsessions; i++)
		if (w->session[i]->outstanding)
			session_lose(w->session[i], "no answer for %u seconds", options.timeout);
}

/* The socket takes more again, and so does the ring of headers. */
static int send_on(struct session *s)
{
	if (tx_flush(s))
		return -1;
	if (s->tx.blocked)
		return 0;
	issue(s, now_ns());
	return tx_flush(s);
}

/* One connection needs no epoll: a blocking receive is the shortest way to sleep. */
static void turn_single(struct session *s)
{
	struct pollfd p = { s->fd, POLLIN | POLLOUT, 0 };

	if (!s->tx.blocked) {
		rx_once(s, 0); /* SO_RCVTIMEO bounds it */
		return;
	}
	poll(&p, 1, TICK_MS);
	if (p.revents & POLLOUT && send_on(s))
		return;
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		rx_once(s, MSG_DONTWAIT);
}

static void turn_spinning(struct worker *w)
{
	for (unsigned i = 0; i < w->nsessions; i++) {
		struct session *s = w->session[i];

		if (!s->lost && rx_once(s, MSG_DONTWAIT) == 0 && s->tx.blocked)
			send_on(s);
	}
}

static void watch(int ep, int op, struct session *s)
{
	struct epoll_event e = { .events = EPOLLIN | (s->tx.blocked ? EPOLLOUT : 0), .data.ptr = s };

	if (epoll_ctl(ep, op, s->fd, &e))
		die(END_TROUBLE, "epoll_ctl: %s", strerror(errno));
}

static void one_event(int ep, const struct epoll_event *e)
{
	struct session *s = e->data.ptr;
	bool was_blocked = s->tx.blocked;

	if (e->events & EPOLLOUT && send_on(s))
		return;
	if (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR) && rx_once(s, MSG_DONTWAIT) < 0)
		return;
	if (was_blocked != s->tx.blocked)
		watch(ep, EPOLL_CTL_MOD, s);
}

static void turn_epoll(int ep)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(ep, ev, EVENTS, TICK_MS);

	for (int i = 0; i < n; i++)
		one_event(ep, &ev[i]);
}

static void begin(struct worker *w, int ep)
{
	for (unsigned i = 0; i < w->nsessions; i++) {
		struct session *s = w->session[i];

		if (s->lost)
			continue;
		issue(s, now_ns());
		if (!tx_flush(s) && ep >= 0)
			watch(ep, EPOLL_CTL_ADD, s);
	}
}

/* Until everything is done, or nothing came for options.timeout seconds after the end. */
static void loop(struct worker *w, bool reading_back)
{
	int ep = w->nsessions > 1 && !options.spin ? epoll_create1(EPOLL_CLOEXEC) : -1;
	uint64_t deadline = 0;

	begin(w, ep);
	for (;;) {
		if (reading_back || current_phase() == PHASE_STOP) {
			if (all_quiet(w))
				break;
			if (!deadline)
				deadline =
					now_ns() + options.timeout * NSEC * (reading_back ? 10 : 1);
			else if (now_ns() > deadline)
				lose_all(w);
		} else if (w->lost == w->nsessions) {
			break;
		}
		if (options.spin)
			turn_spinning(w);
		else if (w->nsessions == 1)
			turn_single(w->session[0]);
		else
			turn_epoll(ep);
	}
	if (ep >= 0)
		close(ep);
}

/* Writes that were refused and did not go again have not happened. */
static void begin_reading_back(struct session *s)
{
	for (unsigned i = 0; i < options.qd; i++) {
		struct task *t = &s->task[i];

		if (t->again && t->write)
			s->generation[t->block - s->base]--;
		t->again = false;
	}
	s->reading_back = true;
}

void *worker_run(void *arg)
{
	struct worker *w = arg;

	loop(w, false);
	atomic_fetch_sub(&workers_busy, 1);
	if (!options.verify)
		return NULL;
	for (unsigned i = 0; i < w->nsessions; i++)
		begin_reading_back(w->session[i]);
	loop(w, true);
	return NULL;
}
