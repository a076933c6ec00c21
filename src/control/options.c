/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "reactor/reactor.h"
#include "stgt/store.h"
#include "store/options.h"

const char daemon_help[] =
	"Usage: tgtd [OPTION]...\n"
	"Serve disks over iSCSI; tgtctl and tgtadm tell it which.\n"
	"\n"
	"  -f, --foreground         stay in the foreground, log to stderr\n"
	"  -D, --nodaemonize        stay in the foreground, log to syslog\n"
	"  -C, --control-port N     number of the control socket (default 0)\n"
	"  -p, --pid-file FILE      write the process id to FILE\n"
	"  -d, --debug 0|1          log more (default 0)\n"
	"  -t, --nr_iothreads N     accepted for tgt's sake: threads start on demand\n"
	"      --iscsi KEY=VALUE,...\n"
	"           portal=ADDR:PORT    listen here (may be repeated); IPv6 in brackets;\n"
	"                               default: all addresses, port 3260\n"
	"           nop_interval=SEC    ping idle initiators\n"
	"           nop_count=N         close after N pings without answer\n"
	"           login_timeout=SEC   from connection to full feature phase (default 30)\n"
	"      --reactors N         data threads, 1 to 8 (default: by CPUs)\n"
	"      --engine NAME        uring, epoll or auto (default)\n"
	"      --poll USEC          spin this long before sleeping (default 0)\n"
	"      --memory SIZE        most data memory of the daemon (default 256M, at least 4M)\n"
	"  -V, --version            print the version\n"
	"  -h, --help               print this\n"
	"\n"
	"Examples:\n"
	"  tgtd -f --iscsi portal=127.0.0.1:3260\n"
	"  tgtd -C 1 --iscsi portal=192.0.2.1:3260,portal=[2001:db8::1]:3260\n"
	"See tgtd(8), tgtctl(8), tgtadm(8).\n";

enum { OPT_ISCSI = 256, OPT_REACTORS, OPT_ENGINE, OPT_POLL, OPT_MEMORY };

static const struct option long_options[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "nodaemonize", no_argument, NULL, 'D' },
	{ "control-port", required_argument, NULL, 'C' },
	{ "nr_iothreads", required_argument, NULL, 't' },
	{ "pid-file", required_argument, NULL, 'p' },
	{ "debug", required_argument, NULL, 'd' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ "iscsi", required_argument, NULL, OPT_ISCSI },
	{ "reactors", required_argument, NULL, OPT_REACTORS },
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "poll", required_argument, NULL, OPT_POLL },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ NULL },
};

static int number(const char *name, const char *text, unsigned least, unsigned most, unsigned *v,
		  struct err *e)
{
	uint64_t n;

	if (number_parse(text, &n) || n < least || n > most)
		return err_set(e, -EINVAL, "%s %.64s: a number from %u to %u is needed", name, text,
			       least, most);
	*v = (unsigned)n;
	return 0;
}

/* ---- --iscsi ------------------------------------------------------------------------- */

static int add_portal(struct daemon_options *o, const char *text, struct err *e)
{
	if (!*text)
		return err_set(e, -EINVAL, "--iscsi portal= needs an address and a port");
	if (o->nportals == PORTALS_MAX)
		return err_set(e, -EINVAL, "more than %d portals", PORTALS_MAX);
	o->portals[o->nportals] = strdup(text);
	if (!o->portals[o->nportals])
		return err_set(e, -ENOMEM, "no memory");
	o->nportals++;
	return 0;
}

static int iscsi_option(struct daemon_options *o, char *item, struct err *e)
{
	static const char *const names[] = { "portal", "nop_interval", "nop_count", "login_timeout",
					     NULL };
	char *value = strchr(item, '=');
	const char *near;

	if (value)
		*value++ = 0;
	if (value && !strcmp(item, "portal"))
		return add_portal(o, value, e);
	if (value && !strcmp(item, "nop_interval"))
		return number("--iscsi nop_interval", value, 0, 3600, &o->nop_interval, e);
	if (value && !strcmp(item, "nop_count"))
		return number("--iscsi nop_count", value, 0, 1000, &o->nop_count, e);
	if (value && !strcmp(item, "login_timeout"))
		return number("--iscsi login_timeout", value, 1, 3600, &o->login_timeout, e);
	for (const char *const *n = names; *n; n++)
		if (!strcmp(*n, item))
			return err_set(e, -EINVAL, "--iscsi %s needs a value: %s=VALUE", item, item);
	near = store_suggest(item, names);
	return err_set(e, -EINVAL, "--iscsi %.64s%s%.80s: there is no such key: %s%s%s", item,
		       value ? "=" : "", value ? value : "",
		       near ? "did you mean '" : "portal, nop_interval, nop_count, login_timeout",
		       near ? near : "", near ? "'?" : "");
}

static int iscsi_options(struct daemon_options *o, const char *text, struct err *e)
{
	char *copy = strdup(text), *save, *item;
	int err = 0;

	if (!copy)
		return err_set(e, -ENOMEM, "no memory");
	for (item = strtok_r(copy, ",", &save); item && !err; item = strtok_r(NULL, ",", &save))
		err = iscsi_option(o, item, e);
	free(copy);
	return err;
}

/* ---- all --------------------------------------------------------------------------------- */

static int memory_option(struct daemon_options *o, const char *text, struct err *e)
{
	if (size_parse(text, &o->memory) || o->memory < MEMORY_MIN || o->memory > 1ull << 46)
		return err_set(e, -EINVAL, "--memory %.64s: a size of at least 4M is needed", text);
	return 0;
}

static int one_option(struct daemon_options *o, int ch, struct err *e)
{
	unsigned v;

	switch (ch) {
	case 'f':
		o->foreground = true;
		return 0;
	case 'D':
		o->no_daemon = true;
		return 0;
	case 'C':
		return number("--control-port", optarg, 0, 65535, &o->control_port, e);
	case 't':
		return number("--nr_iothreads", optarg, 1, 65535, &o->io_threads, e);
	case 'p':
		o->pid_file = optarg;
		return 0;
	case 'd':
		v = 0;
		if (number("--debug", optarg, 0, 1, &v, e))
			return e->code;
		o->debug = v;
		return 0;
	case OPT_ISCSI:
		return iscsi_options(o, optarg, e);
	case OPT_REACTORS:
		return number("--reactors", optarg, 1, REACTORS_MAX, &o->reactors, e);
	case OPT_ENGINE:
		o->engine = optarg;
		return 0;
	case OPT_POLL:
		return number("--poll", optarg, 0, 1000000, &o->poll_us, e);
	default:
		return memory_option(o, optarg, e);
	}
}

static int bad_option(int argc, char **argv, bool missing, struct err *e)
{
	char text[3] = { '-', (char)optopt, 0 };
	const char *what = optopt > 0 && optopt < OPT_ISCSI ? text : argv[optind - 1];

	return err_set(e, -EINVAL, missing ? "option %.64s needs a value" : "unknown option %.64s",
		       what);
}

int daemon_options_parse(struct daemon_options *o, int argc, char **argv, struct err *e)
{
	int ch, err;

	memset(o, 0, sizeof(*o));
	o->memory = MEMORY_DEFAULT;
	opterr = 0;
	optind = 0; /* start anew, also the second time */
	while ((ch = getopt_long(argc, argv, "+:fDC:t:p:d:Vh", long_options, NULL)) >= 0) {
		if (ch == '?' || ch == ':')
			return bad_option(argc, argv, ch == ':', e);
		if (ch == 'h' || ch == 'V') {
			o->action = ch == 'h' ? OPTIONS_HELP : OPTIONS_VERSION;
			return 0;
		}
		err = one_option(o, ch, e);
		if (err)
			return err;
	}
	if (optind < argc)
		return err_set(e, -EINVAL, "'%.64s' is not an option, and tgtd takes nothing else",
			       argv[optind]);
	return 0;
}

void daemon_options_free(struct daemon_options *o)
{
	for (unsigned i = 0; i < o->nportals; i++)
		free(o->portals[i]);
	memset(o, 0, sizeof(*o));
}
