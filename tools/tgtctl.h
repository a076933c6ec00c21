/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of tgtctl share. */
#ifndef STGT_TOOLS_TGTCTL_H
#define STGT_TOOLS_TGTCTL_H

#include <jansson.h>
#include <stdbool.h>

#define STATUS_ERROR 1
#define STATUS_USAGE 2
#define STATUS_NOT_RUNNING 3

/* An option of a command: --name[=value] becomes the parameter. */
struct ctl_option {
	const char *name, *param;
	char type; /* 's' string, 'i' whole number, 'b' true, 'n' true inverted to absent, 'p' password,
		   'f' its file, 'u' user and 'g' group by name or number */
	const char *value, *help; /* value: what it is called in help */
};

/* An argument of a command. */
enum ctl_arg {
	ARG_END,
	ARG_TARGET, /* number or name: tid or target */
	ARG_LUN,
	ARG_SID,
	ARG_PATH, /* made absolute */
	ARG_NAME, /* name */
	ARG_VALUE, /* value */
	ARG_SIZE, /* size */
	ARG_RULE, /* address or initiator */
	ARG_USER,
	ARG_PORTAL,
	ARG_LEVEL, /* value; name is log_level */
	ARG_METHOD, /* not a parameter: the method itself */
	ARG_JSON, /* all parameters */
	ARG_PAIRS, /* the rest: NAME=VALUE, into params */
	ARG_OPTIONAL = 32, /* added to one of the above */
};

struct command {
	const char *words; /* "target create" */
	const char *method;
	const char *args[6]; /* for help; parallel to arg */
	int arg[6];
	const struct ctl_option *options; /* ends with a row without name; NULL: none */
	bool password; /* needs one, from option, file, TGT_PASSWORD or standard input */
	void (*show)(const json_t *result); /* NULL: nothing to say */
	const char *summary, *example;
	bool paged; /* the answer has records and a cursor: all pages are fetched */
};

extern const struct command commands[]; /* ends with a row without words */

/* ---- tgtctl_show.c: tables for people ----------------------------------------------- */

struct text {
	char s[64];
};
struct text number(long long v);
/* A row of @n strings. */
void table_row(json_t *table, int n, ...);
/* Print and free @table; its first row are the titles. */
void table_print(json_t *table);

void show_export(const json_t *r);
void show_made_target(const json_t *r);
void show_made_lun(const json_t *r);
void show_target_list(const json_t *r);
void show_target_details(const json_t *r);
void show_target_settings(const json_t *r);
void show_lun_list(const json_t *r);
void show_acl_list(const json_t *r);
void show_account_list(const json_t *r);
void show_session_list(const json_t *r);
void show_portal_list(const json_t *r);
void show_vhost_list(const json_t *r);
void show_attached(const json_t *r);
void show_attached_list(const json_t *r);
void show_tree(const json_t *r);
void show_stat(const json_t *r);
void show_system_state(const json_t *r);
void show_json(const json_t *r);

/* ---- tgtctl_trace.c ------------------------------------------------------------------ */

void show_latencies(const json_t *luns);
void show_trace_status(const json_t *r);
void show_trace_dump(const json_t *r);

#endif
