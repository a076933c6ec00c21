/* SPDX-License-Identifier: BSD-2-Clause */
/* tgtadm: the command line of tgt's administrators and their scripts, on the new daemon. */
#include "tgtadm.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "client.h"

/* Exit statuses are tgt's: EINVAL for nearly everything, 1 for unknown modes and operations, ENOTCONN. */
#define EXIT_UNKNOWN 1

/* clang-format off */
static const char help[] =
	"Linux SCSI target administration utility, version " STGT_VERSION "\n"
	"\n"
	"Usage: tgtadm [OPTION]\n"
	"--lld <driver> --mode target --op new --tid <id> --targetname <name>\n"
	"\tadd a new target with <id> and <name>. <id> must not be zero.\n"
	"--lld <driver> --mode target --op delete [--force] --tid <id>\n"
	"\tdelete the target with <id>; with --force also while it is in use.\n"
	"--lld <driver> --mode target --op show [--tid <id>]\n"
	"\tshow all targets, or the parameters of one.\n"
	"--lld <driver> --mode target --op update --tid <id> --name <param> --value <value>\n"
	"\tchange a parameter of the target with <id>.\n"
	"--lld <driver> --mode target --op bind|unbind --tid <id> --initiator-address <address>\n"
	"--lld <driver> --mode target --op bind|unbind --tid <id> --initiator-name <name>\n"
	"\tadmit initiators, or not any more. <address> may be ALL.\n"
	"--lld <driver> --mode logicalunit --op new --tid <id> --lun <lun>\n"
	"  --backing-store <path> --bstype <type> --bsopts <options> --bsoflags <flags>\n"
	"  --blocksize <bytes>\n"
	"\tadd a logical unit to the target with <id>. <path> is a file or block device.\n"
	"\t<flags>: sync, direct, or sync:direct.\n"
	"--lld <driver> --mode logicalunit --op update --tid <id> --lun <lun> --params <name=value,...>\n"
	"\tchange parameters of a logical unit.\n"
	"--lld <driver> --mode logicalunit --op delete --tid <id> --lun <lun>\n"
	"\tdelete a logical unit.\n"
	"--lld <driver> --mode account --op new --user <name> --password <password>\n"
	"\tadd an account. Without --password it comes from the variable TGT_PASSWORD.\n"
	"--lld <driver> --mode account --op delete --user <name>\n"
	"\tdelete an account.\n"
	"--lld <driver> --mode account --op bind|unbind --tid <id> --user <name> [--outgoing]\n"
	"\tbind an account to a target (without --tid: to discovery), or unbind it.\n"
	"--lld <driver> --mode account --op show\n"
	"\tshow all accounts.\n"
	"--lld <driver> --mode connection --op show --tid <id>\n"
	"--lld <driver> --mode connection --op delete --tid <id> --sid <sid> --cid <cid>\n"
	"\tshow or close connections.\n"
	"--lld <driver> --mode portal --op new|delete --param portal=<address:port>\n"
	"--lld <driver> --mode portal --op show\n"
	"\tlisten at an address, stop that, show where.\n"
	"--mode system --op show|delete|update --name <name> --value <value>\n"
	"\tshow, stop (with --force although there are targets), or change the daemon.\n"
	"--mode system|target|logicalunit|session|connection --op stat\n"
	"\tshow counters.\n"
	"--control-port <port>\n"
	"\ttalk to the daemon with control port <port>\n"
	"--help\n"
	"\tdisplay this help and exit\n"
	"\n"
	"Example:\n"
	"  tgtadm --lld iscsi --mode target --op new --tid 1 --targetname iqn.2026-01.org.example:disk\n"
	"  tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 --backing-store /srv/disk.img\n"
	"  tgtadm --lld iscsi --mode target --op bind --tid 1 --initiator-address ALL\n"
	"See tgtadm(8).\n";

static const struct option long_options[] = {
	{ "debug", no_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "lld", required_argument, NULL, 'L' },
	{ "op", required_argument, NULL, 'o' },
	{ "mode", required_argument, NULL, 'm' },
	{ "tid", required_argument, NULL, 't' },
	{ "sid", required_argument, NULL, 's' },
	{ "cid", required_argument, NULL, 'c' },
	{ "lun", required_argument, NULL, 'l' },
	{ "name", required_argument, NULL, 'n' },
	{ "value", required_argument, NULL, 'v' },
	{ "backing-store", required_argument, NULL, 'b' },
	{ "bstype", required_argument, NULL, 'E' },
	{ "bsopts", required_argument, NULL, 'S' },
	{ "bsoflags", required_argument, NULL, 'f' },
	{ "blocksize", required_argument, NULL, 'y' },
	{ "targetname", required_argument, NULL, 'T' },
	{ "initiator-address", required_argument, NULL, 'I' },
	{ "initiator-name", required_argument, NULL, 'Q' },
	{ "user", required_argument, NULL, 'u' },
	{ "password", required_argument, NULL, 'p' },
	{ "host", required_argument, NULL, 'H' },
	{ "force", no_argument, NULL, 'F' },
	{ "params", required_argument, NULL, 'P' },
	{ "bus", required_argument, NULL, 'B' },
	{ "device-type", required_argument, NULL, 'Y' },
	{ "outgoing", no_argument, NULL, 'O' },
	{ "control-port", required_argument, NULL, 'C' },
	{ NULL },
};
static const char short_options[] = "dhVL:o:m:t:s:c:l:n:v:b:E:S:f:y:T:I:Q:u:p:H:FP:B:Y:OC:";

struct word {
	const char *word, *alias;
	int value;
};

static const struct word modes[] = {
	{ "system", "sys", MODE_SYSTEM }, { "target", "tgt", MODE_TARGET },
	{ "logicalunit", "lu", MODE_LUN }, { "portal", "pt", MODE_PORTAL },
	{ "session", "sess", MODE_SESSION }, { "connection", "conn", MODE_CONNECTION },
	{ "account", NULL, MODE_ACCOUNT }, { "lld", NULL, MODE_LLD },
};
static const struct word ops[] = {
	{ "new", NULL, OP_NEW }, { "delete", NULL, OP_DELETE }, { "show", NULL, OP_SHOW },
	{ "bind", NULL, OP_BIND }, { "unbind", NULL, OP_UNBIND }, { "update", NULL, OP_UPDATE },
	{ "stat", NULL, OP_STAT }, { "start", NULL, OP_START }, { "stop", NULL, OP_STOP },
};
/* clang-format on */
static const char *const device_types[] = { "disk", "tape", "ssc", "cd", "changer", "osd", "pt" };

static int try_help(void)
{
	fputs("Try `tgtadm --help' for more information.\n", stderr);
	return EINVAL;
}

/* ---- options ------------------------------------------------------------------------------------ */

static int find_word(const struct word *words, unsigned n, const char *text)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(words[i].word, text) ||
		    (words[i].alias && !strcmp(words[i].alias, text)))
			return words[i].value;
	return -1;
}

static int take_number(int ch, const char *text, long long most, long long *v)
{
	char *end;

	errno = 0;
	*v = strtoll(text, &end, 0);
	if (isdigit((unsigned char)text[0]) && !*end && !errno && *v <= most)
		return 0;
	fprintf(stderr, "-%c argument value '%s' %s\n", ch, text,
		isdigit((unsigned char)text[0]) && !*end ? "out of range" : "invalid");
	return try_help();
}

static int take_word(const struct word *words, unsigned n, const char *what, const char *text,
		     int *v)
{
	*v = find_word(words, n, text);
	if (*v >= 0)
		return 0;
	complain("unknown %s: %s", what, text);
	return EXIT_UNKNOWN;
}

static int take_type(struct args *a, const char *text)
{
	for (unsigned i = 0; i < array_size(device_types); i++)
		if (!strcmp(device_types[i], text))
			a->type = device_types[i];
	return a->type ? 0 : complain("unknown target type: %s", text);
}

/* Where a string option goes. */
static const char **string_of(struct args *a, int ch)
{
	/* clang-format off */
	switch (ch) {
	case 'L': return &a->lld;
	case 'n': return &a->name;
	case 'v': return &a->value;
	case 'b': return &a->path;
	case 'E': return &a->bstype;
	case 'S': return &a->bsopts;
	case 'f': return &a->bsoflags;
	case 'y': return &a->block_size;
	case 'T': return &a->target_name;
	case 'I': return &a->address;
	case 'Q': return &a->initiator;
	case 'u': return &a->user;
	case 'p': return &a->password;
	case 'P': return &a->params;
	default: return NULL;
	}
	/* clang-format on */
}

static int take_option(struct args *a, int ch)
{
	const char **string = string_of(a, ch);
	long long v;
	int word, err;

	if (string) {
		*string = optarg;
		return 0;
	}
	switch (ch) {
	case 'o':
		err = take_word(ops, array_size(ops), "operation", optarg, &word);
		a->op = err ? OP_NONE : (enum op)word;
		return err;
	case 'm':
		err = take_word(modes, array_size(modes), "mode", optarg, &word);
		a->mode = err ? MODE_NONE : (enum mode)word;
		return err;
	case 't':
		return take_number(ch, optarg, INT_MAX, &a->tid);
	case 's':
		return take_number(ch, optarg, LLONG_MAX, &a->sid);
	case 'c':
		return take_number(ch, optarg, UINT_MAX, &a->cid);
	case 'l':
		return take_number(ch, optarg, LLONG_MAX, &a->lun);
	case 'C':
		err = take_number(ch, optarg, USHRT_MAX, &v);
		a->port = (unsigned)v;
		return err;
	case 'Y':
		return take_type(a, optarg);
	case 'F':
		a->force = true;
		return 0;
	case 'O':
		a->outgoing = true;
		return 0;
	case 'H':
	case 'B':
		a->by_host = true;
		return 0;
	case 'd':
		return 0;
	default:
		return try_help();
	}
}

/* ---- what goes with what ------------------------------------------------------------------------- */

/* Options that tgt checks, by mode and operation; NULL: it takes any. */
static const char *allowed_options(const struct args *a)
{
	/* clang-format off */
	static const struct {
		enum mode mode;
		enum op op;
		const char *allowed;
	} rules[] = {
		{ MODE_SYSTEM, OP_UPDATE, "LmonvC" },
		{ MODE_TARGET, OP_NEW, "LmotTC" },
		{ MODE_TARGET, OP_DELETE, "LmotCF" },
		{ MODE_TARGET, OP_SHOW, "LmotC" },
		{ MODE_TARGET, OP_STAT, "LmotC" },
		{ MODE_TARGET, OP_BIND, "LmotIQBHC" },
		{ MODE_TARGET, OP_UNBIND, "LmotIQBHC" },
		{ MODE_TARGET, OP_UPDATE, "LmotnvC" },
		{ MODE_ACCOUNT, OP_NEW, "LmoupfC" },
		{ MODE_ACCOUNT, OP_SHOW, "LmoC" },
		{ MODE_ACCOUNT, OP_DELETE, "LmouC" },
		{ MODE_ACCOUNT, OP_BIND, "LmotuOC" },
		{ MODE_ACCOUNT, OP_UNBIND, "LmotuOC" },
		{ MODE_LUN, OP_NEW, "LmofytlbESYC" },
		{ MODE_LUN, OP_DELETE, "LmotlCF" },
		{ MODE_LUN, OP_UPDATE, "LmofytlPC" },
		{ MODE_LUN, OP_STAT, "LmotlsC" },
		{ MODE_PORTAL, OP_NEW, "LmoCP" },
		{ MODE_PORTAL, OP_DELETE, "LmoCP" },
		{ MODE_PORTAL, OP_SHOW, "LmoC" },
		{ MODE_LLD, OP_START, "LmoC" },
		{ MODE_LLD, OP_STOP, "LmoC" },
		{ MODE_LLD, OP_SHOW, "LmoC" },
	};
	/* clang-format on */

	for (unsigned i = 0; i < array_size(rules); i++)
		if (rules[i].mode == a->mode && rules[i].op == a->op)
			return rules[i].allowed;
	return NULL;
}

static int check_allowed(const struct args *a, int argc, char **argv)
{
	const char *allowed = allowed_options(a), *mode = modes[0].word;
	int ch;

	if (!allowed)
		return 0;
	for (unsigned i = 0; i < array_size(modes); i++)
		if (modes[i].value == (int)a->mode)
			mode = modes[i].word;
	optind = 0;
	while ((ch = getopt_long(argc, argv, short_options, long_options, NULL)) >= 0) {
		if (strchr(allowed, ch) || ch == 'd')
			continue;
		if ((a->mode == MODE_LUN && a->op == OP_UPDATE) ||
		    (a->mode == MODE_PORTAL && a->op == OP_SHOW)) /* tgt's other wording */
			return complain("option '-%c' not supported in %s mode", ch, mode);
		return complain("%s mode: option '-%c' is not allowed/supported", mode, ch);
	}
	return 0;
}

/* Operations of each mode, as bits; what is not there tgtadm itself refuses. */
static int check_op(const struct args *a)
{
	static const unsigned known[] = {
		[MODE_SYSTEM] = 1 << OP_UPDATE | 1 << OP_SHOW | 1 << OP_DELETE | 1 << OP_STAT,
		[MODE_TARGET] = 1 << OP_NEW | 1 << OP_DELETE | 1 << OP_SHOW | 1 << OP_BIND |
				1 << OP_UNBIND | 1 << OP_UPDATE | 1 << OP_STAT,
		[MODE_LUN] = 1 << OP_NEW | 1 << OP_DELETE | 1 << OP_UPDATE | 1 << OP_STAT,
		[MODE_PORTAL] = 1 << OP_NEW | 1 << OP_DELETE | 1 << OP_SHOW,
		[MODE_LLD] = 1 << OP_START | 1 << OP_STOP | 1 << OP_SHOW,
		[MODE_SESSION] = ~0u,
		[MODE_CONNECTION] = ~0u,
		[MODE_ACCOUNT] =
			1 << OP_NEW | 1 << OP_DELETE | 1 << OP_SHOW | 1 << OP_BIND | 1 << OP_UNBIND,
	};

	if (known[a->mode] & 1u << a->op)
		return 0;
	if (a->mode == MODE_LLD)
		return complain("option %d not supported in lld mode", a->op);
	for (unsigned i = 0; i < array_size(modes); i++)
		if (modes[i].value == (int)a->mode)
			return complain("operation %s not supported in %s mode", ops[a->op].word,
					modes[i].word);
	return EINVAL;
}

static int check_numbers(const struct args *a)
{
	if (a->mode == MODE_TARGET && a->op != OP_SHOW && a->tid == 0)
		return complain("'tid' cannot be 0");
	if ((a->mode == MODE_TARGET && a->op != OP_SHOW && a->tid < 0) ||
	    (a->mode == MODE_LUN && a->tid <= 0))
		return complain("'tid' option is necessary");
	if (a->mode == MODE_LUN && a->lun < 0)
		return complain("'lun' option is necessary");
	return 0;
}

static int check_needed(const struct args *a)
{
	if (a->op == OP_UPDATE && (a->mode == MODE_SYSTEM || a->mode == MODE_TARGET) &&
	    (!a->name || !a->value))
		return complain("update operation requires 'name' and 'value' options");
	if (a->mode == MODE_TARGET && a->op == OP_NEW && !a->target_name)
		return complain("creating new target requires a name, use --targetname");
	if (a->mode == MODE_TARGET && (a->op == OP_BIND || a->op == OP_UNBIND) && !a->address &&
	    !a->initiator && !a->by_host) /* the missing space is tgt's */
		return complain("%s operation requires initiator-address, initiator-nameor bus",
				ops[a->op].word);
	if (a->mode == MODE_ACCOUNT && a->op == OP_NEW && (!a->user || !a->password))
		return complain("'user' and 'password' options are required");
	if (a->mode == MODE_ACCOUNT && (a->op == OP_BIND || a->op == OP_UNBIND) && !a->user)
		return complain("'user' option is necessary");
	if (a->mode == MODE_PORTAL && a->op != OP_SHOW && !a->params)
		return complain("you must specify --param portal=<portal>");
	return 0;
}

static int check(const struct args *a, int argc, char **argv)
{
	int err;

	if (a->op == OP_NONE)
		return complain("specify the operation type");
	if (a->mode == MODE_NONE)
		return complain("specify the mode");
	err = check_numbers(a);
	if (!err)
		err = check_op(a);
	if (!err)
		err = check_allowed(a, argc, argv);
	return err ? err : check_needed(a);
}

static int parse(struct args *a, int argc, char **argv)
{
	int ch, err;

	*a = (struct args){
		.mode = MODE_NONE, .op = OP_NONE, .tid = -1, .lun = -1, .sid = -1, .cid = -1
	};
	while ((ch = getopt_long(argc, argv, short_options, long_options, NULL)) >= 0) {
		if (ch == 'h' || ch == 'V') {
			fputs(ch == 'h' ? help : STGT_VERSION "\n", stdout);
			exit(0);
		}
		err = take_option(a, ch);
		if (err)
			return err;
	}
	if (optind < argc) {
		complain("unrecognized option '%s'", argv[optind]);
		return try_help();
	}
	if (!a->password)
		a->password = getenv("TGT_PASSWORD");
	return check(a, argc, argv);
}

int main(int argc, char **argv)
{
	static char program[] = "tgtadm"; /* getopt's messages begin with it */
	struct args a;
	struct err e;
	int err, fd;

	if (argc > 0)
		argv[0] = program;
	err = parse(&a, argc, argv);
	if (err)
		return err;
	fd = client_connect(a.port, &e);
	if (fd < 0) {
		err = not_running();
		complain("cause: %s", e.text);
		return err;
	}
	err = tgtadm_run(&a, fd);
	close(fd);
	if (fflush(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return EINVAL;
	}
	return err;
}
