/* SPDX-License-Identifier: BSD-2-Clause */
/* tgtctl: the daemon's command line for people. */
#include "tgtctl.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client.h"

#define OPTIONS_MAX 24

struct global {
	unsigned port;
	bool json, help;
};

static int complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int complain(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("tgtctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

/* ---- help --------------------------------------------------------------------------- */

static void print_synopsis(const struct command *c)
{
	printf("%s", c->words);
	for (int i = 0; i < 6 && c->args[i]; i++)
		printf(c->arg[i] & ARG_OPTIONAL ? " [%s]" : " %s", c->args[i]);
}

static void help_all(void)
{
	printf("Usage: tgtctl [-C N] COMMAND [ARGUMENT]... [OPTION]...\n"
	       "Tell tgtd what to serve.\n\n"
	       "To serve a file or block device to everybody who can reach this host:\n"
	       "  tgtctl export /srv/disk.img --size 10G\n\nCommands:\n");
	for (const struct command *c = commands; c->words; c++) {
		printf("  ");
		print_synopsis(c);
		printf("\n      %s\n", c->summary);
	}
	printf("\nOptions of every command:\n"
	       "  -C, --control-port N   the daemon with this control port (default 0)\n"
	       "      --json             print the answer as JSON\n"
	       "  -h, --help             help on the command, with examples\n"
	       "  -V, --version          print the version\n\n"
	       "TARGET is a target's number or name. Exit status: 0 done, 1 error, 2 wrong usage,\n"
	       "3 no daemon is running. See tgtctl(8).\n");
}

static void help_command(const struct command *c)
{
	char left[64];

	printf("Usage: tgtctl ");
	print_synopsis(c);
	printf(" [OPTION]...\n%s.\n", c->summary);
	if (c->options)
		printf("\n");
	for (const struct ctl_option *o = c->options; o && o->name; o++) {
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		printf("  %-24s %s\n", left, o->help);
	}
	printf("\nExample:\n  %s\n", c->example);
}

/* ---- which command -------------------------------------------------------------------- */

/* Words of @c at @argv; 0: it is another command. */
static int match(const struct command *c, int argc, char **argv)
{
	const char *p = c->words;
	int n = 0;

	while (*p) {
		size_t len = strcspn(p, " ");

		if (n >= argc || strlen(argv[n]) != len || strncmp(argv[n], p, len))
			return 0;
		n++;
		p += len + (p[len] == ' ');
	}
	return n;
}

/* The commands that begin with @word, to stderr. */
static int unknown_command(int argc, char **argv)
{
	bool any = false;

	for (const struct command *c = commands; c->words; c++) {
		size_t len = strlen(argv[0]);

		if (strncmp(c->words, argv[0], len) || (c->words[len] && c->words[len] != ' '))
			continue;
		if (!any && argc > 1 && argv[1][0] != '-')
			complain(0, "there is no command '%s %s'", argv[0], argv[1]);
		fprintf(stderr, any ? ", %s" : "tgtctl: there is: %s", c->words);
		any = true;
	}
	if (any) {
		fputc('\n', stderr);
		return STATUS_USAGE;
	}
	return complain(STATUS_USAGE, "there is no command '%s': tgtctl --help lists them", argv[0]);
}

/* ---- parameters ------------------------------------------------------------------------- */

static int bad_number(const char *what, const char *text)
{
	return complain(STATUS_USAGE, "%s '%s': a whole number is needed", what, text);
}

static int put_number(json_t *o, const char *key, const char *what, const char *text)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (!*text || *end || errno || v < 0)
		return bad_number(what, text);
	json_object_set_new(o, key, json_integer(v));
	return 0;
}

static int put_text(json_t *o, const char *key, const char *text)
{
	if (json_object_set_new(o, key, json_string(text)))
		return complain(STATUS_USAGE, "%s: not valid UTF-8", key);
	return 0;
}

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == 0;
}

static int put_target(json_t *o, const char *text)
{
	return is_number(text) ? put_number(o, "tid", "target", text) : put_text(o, "target", text);
}

/* Names of initiators have one of three prefixes (RFC 7143 4.2.7.2). */
static int put_rule(json_t *o, const char *text)
{
	bool name = !strncasecmp(text, "iqn.", 4) || !strncasecmp(text, "eui.", 4) ||
		    !strncasecmp(text, "naa.", 4);

	return put_text(o, name ? "initiator" : "address", text);
}

/*
 * Whether @text, the argument PATH, names a file from here. With another type it may be an
 * address (nbd://...) or a name (pool/image).
 */
static bool is_file(const json_t *o, const char *text)
{
	const char *type = json_string_value(json_object_get(o, "bstype"));

	if (strstr(text, "://"))
		return false;
	return !type || !strcmp(type, "file") || text[0] == '.' || !access(text, F_OK);
}

/* The daemon has another working directory. */
static int put_path(json_t *o, const char *text)
{
	char cwd[PATH_MAX];
	char path[2 * PATH_MAX];

	if (text[0] == '/' || !is_file(o, text) || !getcwd(cwd, sizeof(cwd)))
		return put_text(o, "path", text);
	if (snprintf(path, sizeof(path), "%s/%s", cwd, text) >= (int)sizeof(path))
		return complain(STATUS_USAGE, "path '%s' is too long", text);
	return put_text(o, "path", path);
}

static int put_pair(json_t *o, const char *text)
{
	const char *eq = strchr(text, '=');
	json_t *params = json_object_get(o, "params");
	char name[64];

	if (!eq || eq == text || eq - text >= (long)sizeof(name))
		return complain(STATUS_USAGE, "'%s': write NAME=VALUE", text);
	if (!params) {
		params = json_object();
		json_object_set_new(o, "params", params);
	}
	memcpy(name, text, (size_t)(eq - text));
	name[eq - text] = 0;
	return put_text(params, name, eq + 1);
}

static int put_json(json_t *o, const char *text)
{
	json_t *more = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int err = json_is_object(more) ? json_object_update(o, more) : -1;

	json_decref(more);
	return err ? complain(STATUS_USAGE, "the parameters must be a JSON object") : 0;
}

static int put_argument(json_t *o, int arg, const char *text, const char **method)
{
	switch (arg & ~ARG_OPTIONAL) {
	case ARG_TARGET:
		return put_target(o, text);
	case ARG_LUN:
		return put_number(o, "lun", "LUN", text);
	case ARG_SID:
		return put_number(o, "sid", "session", text);
	case ARG_PATH:
		return put_path(o, text);
	case ARG_NAME:
		return put_text(o, "name", text);
	case ARG_VALUE:
		return put_text(o, "value", text);
	case ARG_SIZE:
		return put_text(o, "size", text);
	case ARG_RULE:
		return put_rule(o, text);
	case ARG_USER:
		return put_text(o, "user", text);
	case ARG_PORTAL:
		return put_text(o, "portal", text);
	case ARG_LEVEL:
		put_text(o, "name", "log_level");
		return put_text(o, "value", text);
	case ARG_METHOD:
		*method = text;
		return 0;
	case ARG_JSON:
		return put_json(o, text);
	default:
		return put_pair(o, text);
	}
}

static int put_arguments(const struct command *c, json_t *o, int argc, char **argv,
			 const char **method)
{
	int i = 0, err = 0;

	for (; i < 6 && c->arg[i] && !err; i++) {
		if (!argc && c->arg[i] & ARG_OPTIONAL)
			continue;
		if (!argc)
			return complain(STATUS_USAGE, "%s needs %s: tgtctl %s --help", c->words,
					c->args[i], c->words);
		do {
			err = put_argument(o, c->arg[i], *argv++, method);
			argc--;
		} while (!err && argc && (c->arg[i] & ~ARG_OPTIONAL) == ARG_PAIRS);
	}
	if (!err && argc)
		return complain(STATUS_USAGE, "'%s' is one argument too many: tgtctl %s --help",
				*argv, c->words);
	return err;
}

/* ---- passwords ------------------------------------------------------------------------------ */

static int put_password_of(json_t *o, FILE *f, const char *name)
{
	char line[512];

	if (!fgets(line, sizeof(line), f))
		return complain(STATUS_ERROR, "%s has no password: its first line is it", name);
	line[strcspn(line, "\r\n")] = 0;
	return put_text(o, "password", line);
}

static int put_password_file(json_t *o, const char *name)
{
	if (!strcmp(name, "-"))
		return put_password_of(o, stdin, "standard input");

	CLEANUP_FCLOSE FILE *f = fopen(name, "re");

	if (!f)
		return complain(STATUS_ERROR, "cannot read %s: %s", name, strerror(errno));
	return put_password_of(o, f, name);
}

static int put_password(json_t *o)
{
	const char *env = getenv("TGT_PASSWORD");

	if (json_object_get(o, "password"))
		return 0;
	if (env)
		return put_text(o, "password", env);
	if (isatty(STDIN_FILENO))
		fputs("Password: ", stderr);
	return put_password_of(o, stdin, "standard input");
}

/* ---- options ---------------------------------------------------------------------------------- */

/* The number of a user or group. */
static int put_id(json_t *o, const struct ctl_option *opt, const char *text)
{
	const struct passwd *pw;
	const struct group *gr;

	if (is_number(text))
		return put_number(o, opt->param, opt->name, text);
	if (opt->type == 'u') {
		pw = getpwnam(text);
		if (pw)
			json_object_set_new(o, opt->param, json_integer(pw->pw_uid));
		return pw ? 0 : complain(STATUS_ERROR, "there is no user '%s' on this host", text);
	}
	gr = getgrnam(text);
	if (gr)
		json_object_set_new(o, opt->param, json_integer(gr->gr_gid));
	return gr ? 0 : complain(STATUS_ERROR, "there is no group '%s' on this host", text);
}

static int put_option(json_t *o, const struct ctl_option *opt, const char *text)
{
	switch (opt->type) {
	case 'b':
		json_object_set_new(o, opt->param, json_true());
		return 0;
	case 'i':
		return put_number(o, opt->param, opt->name, text);
	case 'f':
		return put_password_file(o, text);
	case 'u':
	case 'g':
		return put_id(o, opt, text);
	default:
		return put_text(o, opt->param, text);
	}
}

static int take_global(struct global *g, int ch)
{
	char *end;
	unsigned long port;

	switch (ch) {
	case 'C':
		port = strtoul(optarg, &end, 10);
		if (!is_number(optarg) || *end || port > 65535)
			return bad_number("control port", optarg);
		g->port = (unsigned)port;
		return 0;
	case 'j':
		g->json = true;
		return 0;
	case 'h':
		g->help = true;
		return 0;
	case 'V':
		puts(STGT_VERSION);
		exit(0);
	default:
		fputs("Try `tgtctl --help'.\n", stderr);
		return STATUS_USAGE;
	}
}

/* All options from argv[optind]; @own (may be NULL) are the command's, whose values go to @o. */
static int take_options(struct global *g, const struct ctl_option *own, json_t *o, int argc,
			char **argv, const char *letters)
{
	struct option all[OPTIONS_MAX + 5] = {
		{ "control-port", required_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
	};
	int n = 0, ch, err = 0;

	for (; own && own[n].name && n < OPTIONS_MAX; n++)
		all[4 + n] = (struct option){ own[n].name,
					      own[n].value ? required_argument : no_argument, NULL,
					      256 + n };
	while (!err && (ch = getopt_long(argc, argv, letters, all, NULL)) >= 0)
		err = own && ch >= 256 ? put_option(o, &own[ch - 256], optarg) : take_global(g, ch);
	return err;
}

/* ---- run ---------------------------------------------------------------------------------------- */

/* The other pages of @first, added to it; NULL and @e: it is gone. */
static json_t *fetch_pages(int fd, const char *method, json_t *first, struct client_error *e)
{
	json_t *recs = json_object_get(first, "records");
	char cursor[64];

	snprintf(cursor, sizeof(cursor), "%s", get_str(first, "cursor"));
	while (*cursor) {
		json_t *page = client_call(fd, method, json_pack("{s:s}", "cursor", cursor), e);

		if (!page) {
			json_decref(first);
			return NULL;
		}
		json_array_extend(recs, json_object_get(page, "records"));
		snprintf(cursor, sizeof(cursor), "%s", get_str(page, "cursor"));
		json_decref(page);
	}
	json_object_del(first, "cursor");
	return first;
}

static int call(const struct global *g, const struct command *c, const char *method, json_t *params)
{
	struct client_error ce;
	struct err e;
	json_t *result;
	int fd = client_connect(g->port, &e);

	if (fd < 0) {
		json_decref(params);
		return complain(-fd == ENOENT || -fd == ECONNREFUSED ? STATUS_NOT_RUNNING
								     : STATUS_ERROR,
				"%s", e.text);
	}
	result = client_call(fd, method, params, &ce);
	if (result && c->paged)
		result = fetch_pages(fd, method, result, &ce);
	close(fd);
	if (!result)
		return complain(STATUS_ERROR, "%s", ce.text);
	if (g->json)
		show_json(result);
	else if (c->show)
		c->show(result);
	json_decref(result);
	return fflush(stdout) ? complain(STATUS_ERROR, "cannot write: %s", strerror(errno)) : 0;
}

static int run(struct global *g, const struct command *c, int argc, char **argv)
{
	json_t *params = json_object();
	const char *method = c->method;
	int err;

	/* getopt wants a program name first: the command's last word stands there */
	optind = 0;
	err = take_options(g, c->options, params, argc, argv, "C:hV");
	if (!err && g->help) {
		help_command(c);
		json_decref(params);
		return 0;
	}
	if (!err)
		err = put_arguments(c, params, argc - optind, argv + optind, &method);
	if (!err && c->password)
		err = put_password(params);
	if (err) {
		json_decref(params);
		return err;
	}
	return call(g, c, method, params);
}

int main(int argc, char **argv)
{
	static char program[] = "tgtctl"; /* getopt's messages begin with it */
	struct global g = { 0 };
	int err, n;

	if (argc > 0)
		argv[0] = program;
	err = take_options(&g, NULL, NULL, argc, argv, "+C:hV");
	if (err)
		return err;
	argc -= optind;
	argv += optind;
	if (!argc) {
		if (g.help) {
			help_all();
			return 0;
		}
		return complain(STATUS_USAGE, "which command? tgtctl --help lists them");
	}
	for (const struct command *c = commands; c->words; c++) {
		n = match(c, argc, argv);
		if (!n)
			continue;
		argv[n - 1] = program;
		return run(&g, c, argc - n + 1, argv + n - 1);
	}
	return unknown_command(argc, argv);
}
