/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "pattern.h"

struct load_options options = {
	.initiator = "iqn.2026-11.io.stgt:bench",
	.label = "",
	.block = 4096,
	.qd = 32,
	.sessions = 1,
	.threads = 1,
	.seconds = 3,
	.warmup_ms = 500,
	.timeout = 20,
	.read_pct = 100,
	.random = true,
	.seed = 1,
	.max_recv = 262144,
	.max_burst = 1 << 20,
	.first_burst = 65536,
	.max_wait_pct = 3,
	.max_target_wait_pct = 3,
	.max_others_pct = 10,
	.max_stolen_pct = 3,
};

static const char help[] =
	"Usage: bench-load ADDRESS TARGET [OPTION]...\n"
	"Make load on an iSCSI target of this machine and measure what it costs. ADDRESS is\n"
	"127.0.0.1:PORT, [::1]:PORT or the path of a socket.\n"
	"\n"
	"What to do:\n"
	"  --rw read|write|mix    (default read)\n"
	"  --mix PCT              share of reads in a mix (default 70)\n"
	"  --seq                  one block after the other (default: random)\n"
	"  --bs SIZE              of a command (default 4K)\n"
	"  --qd N                 commands at a time and session (default 32)\n"
	"  --sessions N           (default 1), shared out to\n"
	"  --threads N            (default 1)\n"
	"  --span SIZE            use so much of the disk (default: all)\n"
	"  --seconds N            measure so long (default 3), after\n"
	"  --warmup MS            (default 500)\n"
	"  --idle                 log in and be quiet\n"
	"  --verify               stamp what is written, check what is read, read all back at\n"
	"                         the end\n"
	"  --lun N                (default 1)\n"
	"  --seed N               of random numbers (default 1)\n"
	"  --spin                 never sleep\n"
	"  --keep-data            receive read data although nobody looks at it\n"
	"  --timeout S            for commands that do not end (default 20)\n"
	"What to ask for at login:\n"
	"  --header-digest  --data-digest  --no-immediate  --initial-r2t\n"
	"  --max-recv SIZE  --max-burst SIZE  --first-burst SIZE  --initiator NAME\n"
	"What to measure:\n"
	"  --pid PID              the target: its CPU time by thread, its waits\n"
	"  --max-wait PCT         the run is dirty if this program waited longer for a CPU\n"
	"                         (of the time; default 3),\n"
	"  --max-target-wait PCT  the target did (default 3),\n"
	"  --max-others PCT       others used more of a CPU (default 10),\n"
	"  --max-stolen PCT       the hypervisor took more (default 3)\n"
	"  --json                 print the result as JSON\n"
	"  --label TEXT           goes into the result\n"
	"\n"
	"Exit status: 0 done, 1 trouble, 2 wrong usage, 3 commands failed, data was wrong or\n"
	"sessions were lost. TASK SET FULL and BUSY are counted, and the command goes again.\n";

enum {
	O_RW = 256,
	O_MIX,
	O_SEQ,
	O_BS,
	O_QD,
	O_SESSIONS,
	O_THREADS,
	O_SPAN,
	O_SECONDS,
	O_WARMUP,
	O_IDLE,
	O_VERIFY,
	O_LUN,
	O_SEED,
	O_SPIN,
	O_KEEP,
	O_TIMEOUT,
	O_HEADER_DIGEST,
	O_DATA_DIGEST,
	O_NO_IMMEDIATE,
	O_INITIAL_R2T,
	O_MAX_RECV,
	O_MAX_BURST,
	O_FIRST_BURST,
	O_INITIATOR,
	O_PID,
	O_MAX_WAIT,
	O_MAX_TARGET_WAIT,
	O_MAX_OTHERS,
	O_MAX_STOLEN,
	O_JSON,
	O_LABEL,
	O_HELP,
};

static const struct option long_options[] = {
	{ "rw", required_argument, NULL, O_RW },
	{ "mix", required_argument, NULL, O_MIX },
	{ "seq", no_argument, NULL, O_SEQ },
	{ "bs", required_argument, NULL, O_BS },
	{ "qd", required_argument, NULL, O_QD },
	{ "sessions", required_argument, NULL, O_SESSIONS },
	{ "threads", required_argument, NULL, O_THREADS },
	{ "span", required_argument, NULL, O_SPAN },
	{ "seconds", required_argument, NULL, O_SECONDS },
	{ "warmup", required_argument, NULL, O_WARMUP },
	{ "idle", no_argument, NULL, O_IDLE },
	{ "verify", no_argument, NULL, O_VERIFY },
	{ "lun", required_argument, NULL, O_LUN },
	{ "seed", required_argument, NULL, O_SEED },
	{ "spin", no_argument, NULL, O_SPIN },
	{ "keep-data", no_argument, NULL, O_KEEP },
	{ "timeout", required_argument, NULL, O_TIMEOUT },
	{ "header-digest", no_argument, NULL, O_HEADER_DIGEST },
	{ "data-digest", no_argument, NULL, O_DATA_DIGEST },
	{ "no-immediate", no_argument, NULL, O_NO_IMMEDIATE },
	{ "initial-r2t", no_argument, NULL, O_INITIAL_R2T },
	{ "max-recv", required_argument, NULL, O_MAX_RECV },
	{ "max-burst", required_argument, NULL, O_MAX_BURST },
	{ "first-burst", required_argument, NULL, O_FIRST_BURST },
	{ "initiator", required_argument, NULL, O_INITIATOR },
	{ "pid", required_argument, NULL, O_PID },
	{ "max-wait", required_argument, NULL, O_MAX_WAIT },
	{ "max-target-wait", required_argument, NULL, O_MAX_TARGET_WAIT },
	{ "max-others", required_argument, NULL, O_MAX_OTHERS },
	{ "max-stolen", required_argument, NULL, O_MAX_STOLEN },
	{ "json", no_argument, NULL, O_JSON },
	{ "label", required_argument, NULL, O_LABEL },
	{ "help", no_argument, NULL, O_HELP },
	{ NULL },
};

static const char *rw = "read";
static unsigned mix = 70;

static bool work_option(int ch, const char *name)
{
	struct load_options *o = &options;

	switch (ch) {
	case O_RW:
		rw = optarg;
		return true;
	case O_MIX:
		mix = (unsigned)number_arg(name, optarg, 1, 99);
		return true;
	case O_BS:
		o->block = (unsigned)size_arg(name, optarg, PATTERN_SECTOR, 16 << 20);
		return true;
	case O_QD:
		o->qd = (unsigned)number_arg(name, optarg, 1, QD_MAX);
		return true;
	case O_SESSIONS:
		o->sessions = (unsigned)number_arg(name, optarg, 1, 16384);
		return true;
	case O_THREADS:
		o->threads = (unsigned)number_arg(name, optarg, 1, 256);
		return true;
	case O_SPAN:
		o->span = size_arg(name, optarg, PATTERN_SECTOR, 1ull << 50);
		return true;
	case O_SECONDS:
		o->seconds = (unsigned)number_arg(name, optarg, 1, 86400);
		return true;
	case O_WARMUP:
		o->warmup_ms = (unsigned)number_arg(name, optarg, 0, 600000);
		return true;
	case O_LUN:
		o->lun = (unsigned)number_arg(name, optarg, 0, 255);
		return true;
	case O_SEED:
		o->seed = number_arg(name, optarg, 0, 1ull << 62);
		return true;
	case O_TIMEOUT:
		o->timeout = (unsigned)number_arg(name, optarg, 1, 3600);
		return true;
	default:
		return false;
	}
}

static bool flag_option(int ch)
{
	struct load_options *o = &options;

	switch (ch) {
	case O_SEQ:
		o->random = false;
		return true;
	case O_IDLE:
		return o->idle = true;
	case O_VERIFY:
		return o->verify = true;
	case O_SPIN:
		return o->spin = true;
	case O_KEEP:
		return o->keep_data = true;
	case O_HEADER_DIGEST:
		return o->header_digest = true;
	case O_DATA_DIGEST:
		return o->data_digest = true;
	case O_NO_IMMEDIATE:
		return o->no_immediate = true;
	case O_INITIAL_R2T:
		return o->initial_r2t = true;
	case O_JSON:
		return o->json = true;
	default:
		return false;
	}
}

static void other_option(int ch, const char *name)
{
	struct load_options *o = &options;

	switch (ch) {
	case O_MAX_RECV:
		o->max_recv = (unsigned)size_arg(name, optarg, 512, (1 << 24) - 1);
		break;
	case O_MAX_BURST:
		o->max_burst = (unsigned)size_arg(name, optarg, 512, (1 << 24) - 1);
		break;
	case O_FIRST_BURST:
		o->first_burst = (unsigned)size_arg(name, optarg, 512, (1 << 24) - 1);
		break;
	case O_INITIATOR:
		o->initiator = optarg;
		break;
	case O_PID:
		o->pid = (pid_t)number_arg(name, optarg, 1, 1 << 30);
		break;
	case O_MAX_WAIT:
		o->max_wait_pct = (unsigned)number_arg(name, optarg, 0, 1000000);
		break;
	case O_MAX_TARGET_WAIT:
		o->max_target_wait_pct = (unsigned)number_arg(name, optarg, 0, 1000000);
		break;
	case O_MAX_OTHERS:
		o->max_others_pct = (unsigned)number_arg(name, optarg, 0, 1000000);
		break;
	case O_MAX_STOLEN:
		o->max_stolen_pct = (unsigned)number_arg(name, optarg, 0, 1000000);
		break;
	case O_LABEL:
		o->label = optarg;
		if (strpbrk(optarg, "\"\\\n"))
			die(END_USAGE, "--label: no quotes, backslashes or line ends");
		break;
	case O_HELP:
		fputs(help, stdout);
		exit(0);
	default: /* getopt has said what is wrong */
		die(END_USAGE, "see bench-load --help");
	}
}

static void check_together(void)
{
	struct load_options *o = &options;

	if (!strcmp(rw, "read"))
		o->read_pct = 100;
	else if (!strcmp(rw, "write"))
		o->read_pct = 0;
	else if (!strcmp(rw, "mix"))
		o->read_pct = mix;
	else
		die(END_USAGE, "--rw %.20s: read, write or mix is needed", rw);
	if (o->block % PATTERN_SECTOR)
		die(END_USAGE, "--bs %u: a multiple of %u is needed", o->block, PATTERN_SECTOR);
	if (o->threads > o->sessions)
		die(END_USAGE, "--threads %u: more than sessions (%u)", o->threads, o->sessions);
	if (o->max_burst & 3 || o->first_burst & 3 || o->max_recv & 3)
		die(END_USAGE, "--max-recv, --max-burst, --first-burst: multiples of 4 are needed");
	if (o->first_burst > o->max_burst)
		die(END_USAGE, "--first-burst %u is more than --max-burst %u", o->first_burst,
		    o->max_burst);
	if (o->idle && o->verify)
		die(END_USAGE, "--idle and --verify exclude each other");
}

void options_parse(int argc, char **argv)
{
	int ch, index = 0;

	options.lun = 1;
	while ((ch = getopt_long(argc, argv, "", long_options, &index)) >= 0) {
		const char *name = ch >= O_RW ? long_options[index].name : "";

		if (!work_option(ch, name) && !flag_option(ch))
			other_option(ch, name);
	}
	if (argc - optind != 2)
		die(END_USAGE, "an address and a target name are needed: see bench-load --help");
	options.address_text = argv[optind];
	address_parse(options.address_text, &options.address);
	options.target = argv[optind + 1];
	check_together();
}
