/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces and latencies as tables for people. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "tgtctl.h"

/* "12.3 us": three digits that matter. */
static struct text duration(long long ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double d = (double)ns;
	unsigned u = 0;
	struct text t;

	while (d >= 999.5 && u < 3) {
		d /= 1000;
		u++;
	}
	snprintf(t.s, sizeof(t.s), "%.*f %s",
		 !u || d >= 99.95 ? 0
		 : d >= 9.995	  ? 1
				  : 2,
		 d, units[u]);
	return t;
}

#define TIME(o, key) duration(get_int(o, key)).s

void show_latencies(const json_t *luns)
{
	json_t *table = json_array();
	const json_t *l, *x;
	size_t i, j;

	table_row(table, 10, "TID", "LUN", "COMMAND", "COUNT", "MEAN", "P50", "P90", "P99", "P99.9",
		  "MAX");
	json_array_foreach(luns, i, l) {
		json_array_foreach(get(l, "latency"), j, x)
			table_row(table, 10, number(get_int(l, "tid")).s,
				  number(get_int(l, "lun")).s, get_str(x, "op"),
				  number(get_int(x, "count")).s, TIME(x, "mean_ns"),
				  TIME(x, "p50_ns"), TIME(x, "p90_ns"), TIME(x, "p99_ns"),
				  TIME(x, "p999_ns"), TIME(x, "max_ns"));
	}
	table_print(table);
}

/* ---- traces ------------------------------------------------------------------------ */

static void show_filter(const json_t *f)
{
	if (get(f, "tid"))
		printf(", target %lld", get_int(f, "tid"));
	if (get(f, "lun"))
		printf(", LUN %lld", get_int(f, "lun"));
	if (get(f, "op"))
		printf(", %s", get_str(f, "op"));
	else if (get(f, "opcode"))
		printf(", opcode 0x%02llx", get_int(f, "opcode"));
}

void show_trace_status(const json_t *r)
{
	json_t *table;
	const json_t *x;
	size_t i;

	printf("trace %s", get_str(r, "state"));
	if (get_int(r, "size"))
		printf(", %lld records a reactor", get_int(r, "size"));
	show_filter(get(r, "filter"));
	printf("\n");
	if (!get_int(r, "size"))
		return;
	table = json_array();
	table_row(table, 4, "REACTOR", "HELD", "RECORDED", "LOST");
	json_array_foreach(get(r, "reactors"), i, x)
		table_row(table, 4, get_str(x, "name"), number(get_int(x, "held")).s,
			  number(get_int(x, "recorded")).s, number(get_int(x, "lost")).s);
	table_print(table);
}

/* "1:2": target and LUN, as far as they are known. */
static struct text unit_of(const json_t *x)
{
	struct text t = { "-" };

	if (get(x, "tid") && get(x, "lun"))
		snprintf(t.s, sizeof(t.s), "%lld:%lld", get_int(x, "tid"), get_int(x, "lun"));
	else if (get(x, "tid"))
		snprintf(t.s, sizeof(t.s), "%lld:-", get_int(x, "tid"));
	return t;
}

static const char *number_or_dash(const json_t *x, const char *key, struct text *t)
{
	*t = number(get_int(x, key));
	return get(x, key) ? t->s : "-";
}

static void print_command(const json_t *x)
{
	printf("%-22s", get_str(x, "op"));
	if (get(x, "took_ns"))
		printf(" +%-8s", TIME(x, "took_ns"));
	if (get(x, "expected"))
		printf(" %lld bytes expected", get_int(x, "expected"));
	if (get(x, "verb"))
		printf(" %s", get_str(x, "verb"));
	if (get(x, "offset"))
		printf(" %lld bytes at %lld", get_int(x, "bytes"), get_int(x, "offset"));
	if (get(x, "lba"))
		printf(" lba %lld length %lld", get_int(x, "lba"), get_int(x, "length"));
	if (get_int(x, "errno"))
		printf(" error: %s", strerror((int)get_int(x, "errno")));
	if (get(x, "verdict"))
		printf(" %s", get_str(x, "verdict"));
	if (get(x, "sense"))
		printf(" (%s)", get_str(x, "sense"));
}

static void print_other(const json_t *x)
{
	if (get(x, "connection"))
		printf("connection %lld", get_int(x, "connection"));
	if (get(x, "queued"))
		printf(" %lld bytes, %lld still queued", get_int(x, "bytes"), get_int(x, "queued"));
	if (get(x, "function"))
		printf("%s", get_str(x, "function"));
	if (get(x, "ref_tag"))
		printf(" of tag %lld", get_int(x, "ref_tag"));
	if (get(x, "response"))
		printf(" response %lld", get_int(x, "response"));
	if (get(x, "status"))
		printf(" status %04llxh", get_int(x, "status"));
}

void show_trace_dump(const json_t *r)
{
	const json_t *recs = get(r, "records"), *x;
	long long start = get_int(json_array_get(recs, 0), "at_ns");
	size_t i;

	printf("%14s  R  %-9s  %-6s  %-4s  %-10s  %s\n", "TIME us", "EVENT", "UNIT", "SID", "TAG",
	       "WHAT");
	json_array_foreach(recs, i, x) {
		struct text sid, tag;

		printf("%14.3f  %lld  %-9s  %-6s  %-4s  %-10s  ",
		       (double)(get_int(x, "at_ns") - start) / 1000, get_int(x, "reactor"),
		       get_str(x, "event"), unit_of(x).s, number_or_dash(x, "sid", &sid),
		       number_or_dash(x, "tag", &tag));
		if (get(x, "op"))
			print_command(x);
		else
			print_other(x);
		printf("\n");
	}
	printf("%lld events", get_int(r, "total"));
	if (get_int(r, "lost"))
		printf("; %lld older ones were overwritten", get_int(r, "lost"));
	printf("\n");
}
