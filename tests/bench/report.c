/* SPDX-License-Identifier: BSD-2-Clause */
/* What came out: for people, or as JSON. */
#include <stdarg.h>
#include <stdio.h>

#include "load.h"

static const struct {
	const char *name;
	double q;
} quantiles[] = {
	{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 }, { "p9999", 0.9999 },
};

static double pct(const struct result *r, uint64_t ns)
{
	return (double)ns / 1e7 / r->seconds;
}

/* Microseconds of @ns per command done. */
static double per_io(const struct result *r, uint64_t ns)
{
	return r->counts.done ? (double)ns / 1e3 / (double)r->counts.done : 0;
}

static void judge(struct result *r, const char *what, uint64_t ns, unsigned limit)
{
	double share = pct(r, ns);

	if (r->dirty || share <= limit)
		return;
	r->dirty = true;
	snprintf(r->why_dirty, sizeof(r->why_dirty), "%s: %.1f%% of the time (limit %u%%)", what,
		 share, limit);
}

void result_judge(struct result *r)
{
	const struct account *u = &r->used;

	judge(r, "the hypervisor took the CPU", u->stolen, options.max_stolen_pct);
	judge(r, "other processes ran", u->others_run, options.max_others_pct);
	judge(r, "the generator waited for a CPU", u->own_wait, options.max_wait_pct);
	judge(r, "the target waited for a CPU", account_target_wait(u), options.max_target_wait_pct);
}

static const char *rw_name(void)
{
	return options.read_pct == 100 ? "read" : options.read_pct ? "mix" : "write";
}

static void json_threads(const struct result *r)
{
	const struct account *u = &r->used;

	printf("\"target_threads\":[");
	for (unsigned i = 0; i < u->ntarget; i++) {
		const struct thread_account *t = &u->target[i];

		printf("%s{\"tid\":%d,\"name\":\"", i ? "," : "", t->tid);
		for (const char *c = t->name; *c; c++)
			putchar(*c < ' ' || *c > '~' || *c == '"' || *c == '\\' ? '_' : *c);
		printf("\",\"cpu_us_per_io\":%.4f,\"cpu_pct\":%.2f,\"wait_pct\":%.2f,\"sleeps\":%"
		       "llu}",
		       per_io(r, t->run), pct(r, t->run), pct(r, t->wait),
		       (unsigned long long)t->sleeps);
	}
	printf("]");
}

static void json_counts(const struct counts *c)
{
	printf("\"done\":%llu,\"reads\":%llu,\"statuses\":{\"task_set_full\":%llu,\"busy\":%llu,"
	       "\"check_condition\":%llu,\"other\":%llu},",
	       (unsigned long long)c->done, (unsigned long long)c->reads,
	       (unsigned long long)c->full, (unsigned long long)c->busy,
	       (unsigned long long)c->check, (unsigned long long)c->other_status);
	printf("\"wrong_data\":%llu,\"verified_bytes\":%llu,\"nops\":%llu,\"lost_sessions\":%llu,",
	       (unsigned long long)c->wrong, (unsigned long long)c->verified,
	       (unsigned long long)c->nops, (unsigned long long)c->lost);
}

static void print_json(const struct result *r, const struct session *s)
{
	const struct account *u = &r->used;
	double n = r->counts.done ? (double)r->counts.done : 1;

	printf("{\"label\":\"%s\",\"rw\":\"%s\",\"order\":\"%s\",\"bs\":%u,\"qd\":%u,\"sessions\":%"
	       "u,"
	       "\"threads\":%u,\"seconds\":%.4f,",
	       options.label, rw_name(), options.random ? "random" : "seq", options.block,
	       options.qd, options.sessions, options.threads, r->seconds);
	json_counts(&r->counts);
	printf("\"alive_sessions\":%u,\"iops\":%.1f,\"mb_per_s\":%.2f,", r->alive,
	       (double)r->counts.done / r->seconds,
	       (double)r->counts.done * options.block / 1e6 / r->seconds);
	printf("\"latency_us\":{\"mean\":%.2f",
	       r->latency.count ? (double)r->latency.sum / 1e3 / (double)r->latency.count : 0);
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		printf(",\"%s\":%.2f", quantiles[i].name,
		       (double)hist_quantile(&r->latency, quantiles[i].q) / 1e3);
	printf(",\"max\":%.2f},", (double)r->latency.max / 1e3);
	printf("\"target_cpu_us\":%.4f,\"target_cpu_pct\":%.2f,\"target_wait_pct\":%.2f,"
	       "\"target_rss\":%llu,",
	       per_io(r, u->target_run), pct(r, u->target_run), pct(r, account_target_wait(u)),
	       (unsigned long long)u->target_rss);
	json_threads(r);
	printf(",\"generator_cpu_us\":%.4f,\"generator_cpu_pct\":%.2f,\"generator_wait_pct\":%.2f,"
	       "\"others_cpu_pct\":%.2f,\"stolen_pct\":%.2f,",
	       per_io(r, u->own_run), pct(r, u->own_run), pct(r, u->own_wait),
	       pct(r, u->others_run), pct(r, u->stolen));
	printf("\"receives_per_io\":%.4f,\"sends_per_io\":%.4f,", (double)r->counts.receives / n,
	       (double)r->counts.sends / n);
	printf("\"agreed\":{\"target_max_recv\":%u,\"max_burst\":%u,\"first_burst\":%u,"
	       "\"immediate\":%s,\"initial_r2t\":%s,\"header_digest\":%s,\"data_digest\":%s},",
	       s->target_max_recv, s->max_burst, s->first_burst, s->immediate ? "true" : "false",
	       s->initial_r2t ? "true" : "false", s->header_digest ? "true" : "false",
	       s->data_digest ? "true" : "false");
	printf("\"dirty\":%s,\"why_dirty\":\"%s\"}\n", r->dirty ? "true" : "false", r->why_dirty);
}

static void print_troubles(const struct counts *c)
{
	if (c->full || c->busy)
		printf("refused, sent again: %llu TASK SET FULL, %llu BUSY\n",
		       (unsigned long long)c->full, (unsigned long long)c->busy);
	if (c->check || c->other_status)
		printf("FAILED: %llu CHECK CONDITION, %llu others\n", (unsigned long long)c->check,
		       (unsigned long long)c->other_status);
	if (options.verify)
		printf("verified %.1f MB, %llu pieces WRONG\n", (double)c->verified / 1e6,
		       (unsigned long long)c->wrong);
}

static void print_human(const struct result *r)
{
	const struct account *u = &r->used;

	printf("%s %s %u bytes, QD %u x %u sessions, %.2f s\n", options.random ? "random" : "seq",
	       rw_name(), options.block, options.qd, options.sessions, r->seconds);
	printf("%.0f IOPS, %.1f MB/s\n", (double)r->counts.done / r->seconds,
	       (double)r->counts.done * options.block / 1e6 / r->seconds);
	printf("latency us:");
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		printf(" %s %.1f", quantiles[i].name,
		       (double)hist_quantile(&r->latency, quantiles[i].q) / 1e3);
	printf(" max %.1f\n", (double)r->latency.max / 1e3);
	if (u->ntarget)
		printf("target: %.3f us of CPU per I/O, %.1f%% of a CPU, waited %.1f%%\n",
		       per_io(r, u->target_run), pct(r, u->target_run),
		       pct(r, account_target_wait(u)));
	for (unsigned i = 0; i < u->ntarget; i++)
		if (u->target[i].run)
			printf("    %-15s %.3f us, %.1f%%, %llu sleeps\n", u->target[i].name,
			       per_io(r, u->target[i].run), pct(r, u->target[i].run),
			       (unsigned long long)u->target[i].sleeps);
	printf("generator: %.3f us per I/O, %.1f%% of a CPU, waited %.1f%%; others %.1f%%, stolen "
	       "%.1f%%\n",
	       per_io(r, u->own_run), pct(r, u->own_run), pct(r, u->own_wait),
	       pct(r, u->others_run), pct(r, u->stolen));
	print_troubles(&r->counts);
	printf("sessions: %u of %u alive\n", r->alive, options.sessions);
	if (r->dirty)
		printf("DIRTY: %s\n", r->why_dirty);
}

void result_print(const struct result *r, const struct session *first)
{
	if (options.json)
		print_json(r, first);
	else
		print_human(r);
}
