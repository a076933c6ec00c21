/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers as tables for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "tgtctl.h"

#define COLUMNS_MAX 12

/* ---- tables -------------------------------------------------------------------------- */

void table_row(json_t *table, int n, ...)
{
	json_t *row = json_array();
	va_list ap;

	va_start(ap, n);
	while (n--)
		json_array_append_new(row, json_string(va_arg(ap, const char *)));
	va_end(ap);
	json_array_append_new(table, row);
}

static const char *cell(const json_t *row, size_t i)
{
	const char *s = json_string_value(json_array_get(row, i));

	return s ? s : "";
}

void table_print(json_t *table)
{
	size_t width[COLUMNS_MAX] = { 0 }, r, i, n = json_array_size(json_array_get(table, 0));
	const json_t *row;

	json_array_foreach(table, r, row)
		for (i = 0; i < n; i++)
			if (strlen(cell(row, i)) > width[i])
				width[i] = strlen(cell(row, i));
	json_array_foreach(table, r, row) {
		for (i = 0; i + 1 < n; i++)
			printf("%-*s  ", (int)width[i], cell(row, i));
		printf("%s\n", cell(row, n - 1));
	}
	json_decref(table);
}

struct text number(long long v)
{
	struct text t;

	snprintf(t.s, sizeof(t.s), "%lld", v);
	return t;
}

/* "64 MiB", "1.5 GiB" */
static struct text bytes(long long v)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double d = (double)v;
	unsigned u = 0;
	struct text t;

	while (d >= 1024 && u < 5) {
		d /= 1024;
		u++;
	}
	snprintf(t.s, sizeof(t.s), d == (long long)d ? "%.0f %s" : "%.1f %s", d, units[u]);
	return t;
}

#define INT(o, key) number(get_int(o, key)).s
#define BYTES(o, key) bytes(get_int(o, key)).s

static const char *path_of(const json_t *lun)
{
	const char *path = get_str(lun, "path");

	return *path ? path : "-";
}

/* ---- what was made ----------------------------------------------------------------------- */

/* "127.0.0.1:3260,1" without the portal group. */
static void print_portal(const char *before, const char *portal)
{
	printf("%s%.*s\n", before, (int)strcspn(portal, ","), portal);
}

void show_export(const json_t *r)
{
	const json_t *p;
	size_t i;

	printf("target  %s\n", get_str(r, "name"));
	printf("tid     %lld\n", get_int(r, "tid"));
	printf("lun     %lld\n", get_int(r, "lun"));
	json_array_foreach(get(r, "portals"), i, p)
		print_portal("portal  ", json_string_value(p));
}

void show_made_target(const json_t *r)
{
	printf("target %lld: %s\n", get_int(r, "tid"), get_str(r, "name"));
}

void show_made_lun(const json_t *r)
{
	printf("target %lld LUN %lld\n", get_int(r, "tid"), get_int(r, "lun"));
}

/* ---- lists ---------------------------------------------------------------------------------- */

void show_target_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *t;
	size_t i;

	table_row(table, 5, "TID", "STATE", "LUNS", "SESSIONS", "NAME");
	json_array_foreach(r, i, t)
		table_row(table, 5, INT(t, "tid"), get_str(t, "state"),
			  number((long long)json_array_size(get(t, "luns"))).s,
			  number((long long)json_array_size(get(t, "nexuses"))).s,
			  get_str(t, "name"));
	table_print(table);
}

void show_lun_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *t, *l;
	size_t i, j;

	table_row(table, 9, "TID", "LUN", "TYPE", "SIZE", "BLOCK", "STATE", "FLAGS", "STORE",
		  "PATH");
	json_array_foreach(r, i, t) {
		json_array_foreach(get(t, "luns"), j, l) {
			char flags[64];

			snprintf(flags, sizeof(flags), "%s%s%s%s",
				 get_bool(l, "readonly") ? "ro" : "rw",
				 get_bool(l, "thin") ? ",thin" : "",
				 get_bool(l, "removable") ? ",removable" : "",
				 get_bool(l, "failed") ? ",FAILED" : "");
			table_row(table, 9, INT(t, "tid"), INT(l, "lun"), get_str(l, "type"),
				  BYTES(l, "size"), INT(l, "block_size"), get_str(l, "state"),
				  flags, get_str(l, "bstype"), path_of(l));
		}
	}
	table_print(table);
}

static void acl_rows(json_t *table, const json_t *t)
{
	const json_t *acls = get(t, "acls"), *a;
	size_t i;

	json_array_foreach(get(acls, "addresses"), i, a)
		table_row(table, 3, INT(t, "tid"), "address", json_string_value(a));
	json_array_foreach(get(acls, "names"), i, a)
		table_row(table, 3, INT(t, "tid"), "name", json_string_value(a));
}

void show_acl_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *t;
	size_t i;

	table_row(table, 3, "TID", "BY", "RULE");
	json_array_foreach(r, i, t)
		acl_rows(table, t);
	table_print(table);
}

void show_account_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *a, *b;
	size_t i, j;

	table_row(table, 3, "USER", "BOUND TO", "DIRECTION");
	json_array_foreach(r, i, a) {
		if (!json_array_size(get(a, "bindings")))
			table_row(table, 3, get_str(a, "user"), "-", "-");
		json_array_foreach(get(a, "bindings"), j, b)
			table_row(table, 3, get_str(a, "user"),
				  get(b, "tid") ? INT(b, "tid") : "discovery",
				  get_bool(b, "outgoing") ? "outgoing" : "incoming");
	}
	table_print(table);
}

void show_session_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *s, *c, *v;
	size_t i;

	table_row(table, 8, "TID", "SID", "TRANSPORT", "PEER", "CID", "COMMANDS", "REACTOR",
		  "INITIATOR");
	json_array_foreach(r, i, s) {
		c = json_array_get(get(s, "connections"), 0);
		v = get(s, "vhost");
		table_row(table, 8, INT(s, "tid"), INT(s, "sid"), get_str(s, "transport"),
			  c ? get_str(c, "address") : get_str(s, "peer"), c ? INT(c, "cid") : "-",
			  c   ? INT(c, "commands")
			  : v ? INT(v, "commands")
			      : "-",
			  INT(s, "reactor"), get_str(s, "initiator"));
	}
	table_print(table);
}

void show_portal_list(const json_t *r)
{
	const json_t *p;
	size_t i;

	json_array_foreach(r, i, p)
		print_portal("", json_string_value(p));
}

void show_vhost_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *p;
	size_t i;

	table_row(table, 6, "SOCKET", "STATE", "SID", "PID", "QUEUES", "TARGET");
	json_array_foreach(r, i, p) {
		table_row(table, 6, get_str(p, "path"), get_str(p, "state"),
			  get_int(p, "sid") ? INT(p, "sid") : "-",
			  get_int(p, "peer_pid") ? INT(p, "peer_pid") : "-", INT(p, "queues"),
			  get_str(p, "target"));
	}
	table_print(table);
	json_array_foreach(r, i, p)
		if (*get_str(p, "why"))
			printf("%s: the last connection ended: %s\n", get_str(p, "path"),
			       get_str(p, "why"));
}

void show_attached(const json_t *r)
{
	printf("device  %s\n", get_str(r, "name"));
	if (*get_str(r, "block"))
		printf("disk    %s\n", get_str(r, "block"));
	if (*get_str(r, "wwn"))
		printf("wwn     %s\n", get_str(r, "wwn"));
}

void show_attached_list(const json_t *r)
{
	json_t *table = json_array();
	const json_t *d;
	size_t i;

	table_row(table, 7, "DEVICE", "TID", "LUN", "STATE", "SID", "DISK", "SHARED");
	json_array_foreach(r, i, d) {
		table_row(table, 7, get_str(d, "name"), get_int(d, "tid") ? INT(d, "tid") : "-",
			  INT(d, "lun"), get_str(d, "state"),
			  get_int(d, "sid") ? INT(d, "sid") : "-",
			  *get_str(d, "block") ? get_str(d, "block") : "-",
			  get_bool(d, "shared") ? "unsafe" : "no");
	}
	table_print(table);
	json_array_foreach(r, i, d)
		if (*get_str(d, "why"))
			printf("%s waits: %s\n", get_str(d, "name"), get_str(d, "why"));
}

/* ---- one target ------------------------------------------------------------------------------- */

void show_target_settings(const json_t *r)
{
	json_t *table = json_array(), *v;
	const char *name;

	table_row(table, 2, "SETTING", "VALUE");
	json_object_foreach((json_t *)r, name, v)
		table_row(table, 2, name, json_string_value(v));
	table_print(table);
}

void show_target_details(const json_t *r)
{
	const json_t *t = json_array_get(r, 0), *accounts = get(t, "accounts"), *a;
	size_t i;

	printf("target %lld: %s (%s)\n\n", get_int(t, "tid"), get_str(t, "name"),
	       get_str(t, "state"));
	show_lun_list(r);
	printf("\n");
	show_session_list(get(t, "nexuses"));
	printf("\n");
	show_acl_list(r);
	json_array_foreach(get(accounts, "incoming"), i, a)
		printf("\naccount %s", json_string_value(a));
	if (*get_str(accounts, "outgoing"))
		printf("\naccount %s (outgoing)", get_str(accounts, "outgoing"));
	if (i || *get_str(accounts, "outgoing"))
		printf("\n");
}

void show_tree(const json_t *r)
{
	const json_t *t, *o;
	size_t i, j;

	json_array_foreach(r, i, t) {
		printf("%lld  %s%s\n", get_int(t, "tid"), get_str(t, "name"),
		       strcmp(get_str(t, "state"), "ready") ? "  (offline)" : "");
		json_array_foreach(get(t, "luns"), j, o)
			if (strcmp(get_str(o, "type"), "controller"))
				printf("   LUN %-4lld %s, %s  %s  %s%s\n", get_int(o, "lun"),
				       get_str(o, "type"), BYTES(o, "size"), get_str(o, "bstype"),
				       path_of(o),
				       strcmp(get_str(o, "state"), "ready") ? "  (not ready)" : "");
		json_array_foreach(get(t, "nexuses"), j, o)
			printf("   session %-4lld %s  %s\n", get_int(o, "sid"),
			       get_str(json_array_get(get(o, "connections"), 0), "address"),
			       get_str(o, "initiator"));
	}
}

/* ---- the daemon ---------------------------------------------------------------------------------- */

static void show_unit_counters(const json_t *luns)
{
	json_t *table = json_array();
	const json_t *l;
	size_t i;

	table_row(table, 9, "TID", "LUN", "READS", "READ", "WRITES", "WRITTEN", "ERRORS",
		  "IN FLIGHT", "STORE");
	json_array_foreach(luns, i, l)
		table_row(table, 9, INT(l, "tid"), INT(l, "lun"), INT(l, "read_cmds"),
			  BYTES(l, "read_bytes"), INT(l, "write_cmds"), BYTES(l, "write_bytes"),
			  INT(l, "errors"), INT(l, "inflight"), get_str(l, "store"));
	table_print(table);
}

static void show_reactors(const json_t *reactors)
{
	json_t *table = json_array();
	const json_t *x, *m;
	size_t i;

	table_row(table, 10, "REACTOR", "ENGINE", "COMMANDS", "TURNS", "WAITS", "WAKE-UPS",
		  "RECEIVES", "SENDS", "MEMORY", "CAP");
	json_array_foreach(reactors, i, x) {
		m = get(x, "memory");
		table_row(table, 10, get_str(x, "name"), get_str(x, "engine"), INT(x, "commands"),
			  INT(x, "turns"), INT(x, "waits"), INT(x, "wakeups"), INT(x, "recvs"),
			  INT(x, "sends"), BYTES(m, "slabs"), BYTES(m, "cap"));
	}
	table_print(table);
}

static void show_reactor_calls(const json_t *reactors)
{
	json_t *table = json_array();
	const json_t *x;
	size_t i;

	table_row(table, 11, "REACTOR", "SUBMITS", "READS", "WRITES", "SYNCS", "POLLS", "ACCEPTS",
		  "OFFLOADS", "MESSAGES", "RINGS", "NO MEMORY");
	json_array_foreach(reactors, i, x)
		table_row(table, 11, get_str(x, "name"), INT(x, "submits"), INT(x, "file_reads"),
			  INT(x, "file_writes"), INT(x, "file_syncs"), INT(x, "polls"),
			  INT(x, "accepts"), INT(x, "offloads"), INT(x, "messages"),
			  INT(x, "rings"), INT(get(x, "memory"), "fails"));
	table_print(table);
}

static void show_offload(const char *name, const json_t *o)
{
	printf("%s threads: %lld, %lld busy, %lld jobs queued, %lld stuck\n", name,
	       get_int(o, "threads"), get_int(o, "busy"), get_int(o, "queued"), get_int(o, "stuck"));
}

static void show_iscsi(const json_t *k)
{
	printf("iscsi: %lld connections accepted, %lld protocol errors, %lld digest errors, "
	       "%lld refusals for memory\n",
	       get_int(k, "accepted"), get_int(k, "protocol_errors"), get_int(k, "digest_errors"),
	       get_int(k, "memory_refusals"));
}

void show_stat(const json_t *r)
{
	const json_t *live = get(r, "live");

	printf("up %lld s; %lld targets, %lld LUNs, %lld sessions, %lld connections, %lld "
	       "commands, "
	       "%s of buffers in use\n\n",
	       get_int(r, "uptime"), get_int(live, "targets"), get_int(live, "luns"),
	       get_int(live, "sessions"), get_int(live, "connections"), get_int(live, "commands"),
	       BYTES(live, "buffer_bytes"));
	show_unit_counters(get(r, "luns"));
	printf("\n");
	show_latencies(get(r, "luns"));
	printf("\n");
	show_reactors(get(r, "reactors"));
	printf("\n");
	show_reactor_calls(get(r, "reactors"));
	printf("\n");
	show_iscsi(get(r, "iscsi"));
	show_offload("io", get(get(r, "offload"), "io"));
	show_offload("slow", get(get(r, "offload"), "slow"));
}

void show_system_state(const json_t *r)
{
	const json_t *s;
	size_t i;

	printf("tgtd %s (process %lld), %s\n", get_str(r, "version"), get_int(r, "pid"),
	       get_str(r, "state"));
	printf("engine %s, %lld reactors, log level %s\n", get_str(r, "engine"),
	       get_int(r, "reactors"), get_str(r, "log_level"));
	json_array_foreach(get(r, "portals"), i, s)
		print_portal("portal ", json_string_value(s));
	printf("stores:\n");
	json_array_foreach(get(r, "stores"), i, s)
		printf("  %-10s %s\n", get_str(s, "name"), get_str(s, "summary"));
}

void show_json(const json_t *r)
{
	json_dumpf(r, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}
