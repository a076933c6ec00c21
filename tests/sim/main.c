/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs seeds: many, in several processes; or one, with a trace. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "play.h"

#define BATCH 10 /* seeds that one process runs */
#define ACTIONS 400
#define JOBS_MAX 64
#define SEED_SECONDS 60 /* of real time; a run takes a fraction of one */

static const char usage[] =
	"usage: sim [--seeds=FIRST-LAST | --seed=N | --soak=SECONDS] [--jobs=N]\n"
	"\n"
	"Runs the daemon's data side on a simulated host, driven by simulated initiators, and "
	"holds it to\n"
	"a model. Every run is decided by its seed alone.\n"
	"\n"
	"  --seeds=FIRST-LAST  these seeds (default 1-100)\n"
	"  --seed=N            this one, with a trace of all that happens\n"
	"  --soak=SECONDS      new seeds for so long\n"
	"  --jobs=N            processes at once (default: the number of CPUs)\n"
	"  --help              this text\n";

struct options {
	uint64_t first, last;
	bool trace;
	unsigned soak; /* seconds; 0: no */
	unsigned jobs;
};

static uint64_t run_seed(uint64_t seed)
{
	uint64_t print;

	alarm(SEED_SECONDS);
	world_begin(seed);
	play_begin();
	play_on(ACTIONS / 2);
	if (!sim_below(2))
		play_power_cut();
	play_on(ACTIONS / 2);
	play_calm();
	play_verify();
	if (!sim_below(4)) {
		play_power_cut();
		play_calm();
		play_verify();
	}
	play_end();
	print = sim_fingerprint();
	world_end();
	return print;
}

/* One of each batch goes twice: chance must decide everything. */
static void run_batch(uint64_t first, uint64_t last)
{
	uint64_t print = run_seed(first);

	for (uint64_t seed = first + 1; seed <= last; seed++)
		run_seed(seed);
	if (run_seed(first) != print) {
		fprintf(stderr, "seed %llu: two runs of it differ\n", (unsigned long long)first);
		_Exit(1);
	}
}

/* Name the seed; then the signal does what it does. */
static void fatal(int sig)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "\nseed %llu: %s\n", (unsigned long long)world.seed,
			 sig == SIGALRM ? "it does not end" : sigabbrev_np(sig));

	signal(sig, SIG_DFL);
	if (write(STDERR_FILENO, text, (size_t)n) > 0)
		raise(sig);
}

static void take_signals(void)
{
	static const int signals[] = { SIGALRM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

	for (size_t i = 0; i < array_size(signals); i++)
		signal(signals[i], fatal);
}

static pid_t start_batch(uint64_t first, uint64_t last)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run_batch(first, last);
	exit(0); /* as everybody ends, so that leaks are found */
}

struct job {
	pid_t pid;
	uint64_t first, last;
};

/* 0, or 1 if a batch failed. */
static int reap(struct job *jobs, unsigned n)
{
	int status = 0;
	pid_t pid = wait(&status);

	for (unsigned i = 0; i < n; i++) {
		if (jobs[i].pid != pid)
			continue;
		jobs[i].pid = 0;
		if (WIFEXITED(status) && !WEXITSTATUS(status))
			return 0;
		return 1;
	}
	return 0;
}

static struct job *free_job(struct job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!jobs[i].pid)
			return &jobs[i];
	return NULL;
}

static bool busy(const struct job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (jobs[i].pid)
			return true;
	return false;
}

static uint64_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

static int run_many(const struct options *o)
{
	struct job jobs[JOBS_MAX] = { 0 };
	uint64_t next = o->first, end = seconds() + o->soak;
	int failed = 0;

	while (!failed && (o->soak ? seconds() < end : next <= o->last)) {
		struct job *j = free_job(jobs, o->jobs);

		if (!j) {
			failed |= reap(jobs, o->jobs);
			continue;
		}
		j->first = next;
		j->last = o->soak ? next + BATCH - 1 : min(next + BATCH - 1, o->last);
		next = j->last + 1;
		j->pid = start_batch(j->first, j->last);
		if (j->pid < 0) {
			fprintf(stderr, "sim: fork: %s\n", strerror(errno));
			j->pid = 0;
			failed = 1;
		}
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r%llu seeds ", (unsigned long long)(next - o->first));
	}
	while (busy(jobs, o->jobs))
		failed |= reap(jobs, o->jobs);
	if (!failed)
		printf("seeds %llu-%llu: all as they should be\n", (unsigned long long)o->first,
		       (unsigned long long)next - 1);
	return failed;
}

static bool number(const char *text, uint64_t most, uint64_t *v, char **end)
{
	errno = 0;
	*v = strtoull(text, end, 10);
	return *text >= '0' && *text <= '9' && !errno && *v <= most;
}

static int bad(const char *what, const char *text)
{
	fprintf(stderr, "sim: %s: '%s' will not do; see --help\n", what, text);
	return 2;
}

static int parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seeds", required_argument, NULL, 's' }, { "seed", required_argument, NULL, 'S' },
		{ "soak", required_argument, NULL, 't' },  { "jobs", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },	   { NULL, 0, NULL, 0 },
	};
	uint64_t v;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			if (!number(optarg, UINT64_MAX - BATCH, &o->first, &end) || *end != '-' ||
			    !number(end + 1, UINT64_MAX - BATCH, &o->last, &end) || *end ||
			    o->last < o->first)
				return bad("--seeds=FIRST-LAST", optarg);
			break;
		case 'S':
			if (!number(optarg, UINT64_MAX - BATCH, &o->first, &end) || *end)
				return bad("--seed=N", optarg);
			o->trace = true;
			break;
		case 't':
			if (!number(optarg, 30 * 86400, &v, &end) || *end || !v)
				return bad("--soak=SECONDS", optarg);
			o->soak = (unsigned)v;
			o->first = (uint64_t)time(NULL) * 1000000;
			break;
		case 'j':
			if (!number(optarg, JOBS_MAX, &v, &end) || *end || !v)
				return bad("--jobs=N", optarg);
			o->jobs = (unsigned)v;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return 2;
		}
	}
	return optind < argc ? bad("an argument", argv[optind]) : 0;
}

int main(int argc, char **argv)
{
	struct options o = { .first = 1,
			     .last = 100,
			     .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) };
	int rc = parse(&o, argc, argv);

	take_signals();
	o.jobs = min(o.jobs, (unsigned)JOBS_MAX);
	if (rc)
		return rc;
	if (!o.trace)
		return run_many(&o);
	sim_tracing = true;
	run_seed(o.first);
	printf("seed %llu: all as it should be\n", (unsigned long long)o.first);
	return 0;
}
