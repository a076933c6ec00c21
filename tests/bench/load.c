/* SPDX-License-Identifier: BSD-2-Clause */
/* The load generator: set up, warm up, measure, take down. See load.h. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "pattern.h"

#define SLICE (NSEC / 5)

atomic_int phase;
atomic_uint workers_busy;
uint8_t *write_data; /* what is written if nothing is verified */

static struct session *sessions;
static struct worker *workers;

static void allow_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < options.sessions + 64ull)
		die(END_USAGE, "--sessions %u: this user may open %llu files only",
		    options.sessions, (unsigned long long)l.rlim_cur);
}

static void set_up(void)
{
	uint64_t blocks;

	allow_descriptors();
	write_data = zalloc(options.block);
	pattern_fill(write_data, 0, options.block, 0x5eed);
	sessions = zalloc(options.sessions * sizeof(*sessions));
	workers = zalloc(options.threads * sizeof(*workers));
	for (unsigned i = 0; i < options.sessions; i++) {
		sessions[i].id = i;
		session_open(&sessions[i]);
	}
	if (options.span > disk_bytes)
		die(END_USAGE, "--span %llu: the disk has %llu bytes",
		    (unsigned long long)options.span, (unsigned long long)disk_bytes);
	blocks = (options.span ? options.span : disk_bytes) / options.block;
	if (!blocks)
		die(END_USAGE, "the disk is smaller than a block of %u bytes", options.block);
	for (unsigned i = 0; i < options.sessions && !options.idle; i++)
		session_prepare(&sessions[i], blocks);
	for (unsigned i = 0; i < options.threads; i++) {
		workers[i].session = zalloc(options.sessions * sizeof(struct session *));
		workers[i].rx_buf = zalloc(RX_SIZE);
	}
	for (unsigned i = 0; i < options.sessions; i++) {
		struct worker *w = &workers[i % options.threads];

		sessions[i].worker = w;
		w->session[w->nsessions++] = &sessions[i];
	}
}

static void start_workers(void)
{
	atomic_store(&workers_busy, options.threads);
	for (unsigned i = 0; i < options.threads && !options.idle; i++) {
		int err = pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]);

		if (err)
			die(END_TROUBLE, "thread: %s", strerror(err));
	}
}

static void count(struct counts *c)
{
	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < options.threads; i++) {
		struct worker *w = &workers[i];

		c->done += w->done;
		c->reads += w->reads;
		c->receives += w->receives;
		c->sends += w->sends;
		c->full += w->full;
		c->busy += w->busy;
	}
}

/* Only when the workers have ended: these are not shared while they run. */
static void count_troubles(struct counts *c)
{
	for (unsigned i = 0; i < options.threads; i++) {
		struct worker *w = &workers[i];

		c->check += w->check;
		c->other_status += w->other_status;
		c->wrong += w->wrong;
		c->verified += w->verified;
		c->nops += w->nops;
		c->lost += w->lost;
	}
}

/* Earlier if there is no session left. */
static void sleep_until(uint64_t deadline)
{
	uint64_t now = now_ns();

	while (now < deadline && atomic_load(&workers_busy)) {
		uint64_t ns = deadline - now < SLICE ? deadline - now : SLICE;
		struct timespec t = { 0, (long)ns };

		nanosleep(&t, NULL);
		now = now_ns();
	}
}

static void measure(struct result *r)
{
	static struct account before, after;
	struct counts c0, c1;
	uint64_t begun, ended;

	sleep_until(now_ns() + options.warmup_ms * 1000000ull);
	account_take_rest(&before, options.pid);
	account_take_target(&before, options.pid);
	count(&c0);
	begun = now_ns();
	atomic_store(&phase, PHASE_MEASURE);
	sleep_until(begun + options.seconds * NSEC);
	ended = now_ns();
	count(&c1);
	account_take_target(&after, options.pid);
	account_take_rest(&after, options.pid);
	atomic_store(&phase, PHASE_STOP);
	r->seconds = (double)(ended - begun) / 1e9;
	account_delta(&r->used, &before, &after);
	r->counts.done = c1.done - c0.done;
	r->counts.reads = c1.reads - c0.reads;
	r->counts.receives = c1.receives - c0.receives;
	r->counts.sends = c1.sends - c0.sends;
	r->counts.full = c1.full - c0.full;
	r->counts.busy = c1.busy - c0.busy;
}

static void take_down(struct result *r)
{
	for (unsigned i = 0; i < options.threads && !options.idle; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < options.threads; i++)
		hist_merge(&r->latency, &workers[i].latency);
	count_troubles(&r->counts);
	for (unsigned i = 0; i < options.sessions; i++) {
		r->alive += session_alive(&sessions[i]);
		session_close(&sessions[i]);
	}
}

int main(int argc, char **argv)
{
	static struct result r;
	unsigned longest;

	options_parse(argc, argv);
	longest = options.warmup_ms / 1000 + options.seconds + 2 * options.timeout + 60;
	if (options.verify)
		longest += 11 * options.timeout;
	live_no_longer_than(longest + options.sessions / 10);
	set_up();
	start_workers();
	measure(&r);
	take_down(&r);
	result_judge(&r);
	result_print(&r, &sessions[0]);
	if (r.counts.check || r.counts.other_status || r.counts.wrong || r.alive != options.sessions)
		return END_ERRORS;
	return 0;
}
