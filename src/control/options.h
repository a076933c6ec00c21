/* SPDX-License-Identifier: BSD-2-Clause */
/* tgtd's command line. */
#ifndef STGT_CONTROL_OPTIONS_H
#define STGT_CONTROL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PORTALS_MAX 64
#define MEMORY_DEFAULT (256u << 20)
#define MEMORY_MIN (4u << 20)

enum option_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

struct daemon_options {
	enum option_action action;
	bool foreground; /* -f: log to stderr */
	bool no_daemon; /* -D: stay, log to syslog */
	bool debug;
	unsigned control_port;
	unsigned io_threads; /* -t: 0 if not given */
	const char *pid_file; /* NULL: none */
	const char *engine; /* NULL: auto */
	unsigned reactors; /* 0: by the host */
	unsigned poll_us;
	uint64_t memory; /* bytes, over all reactors */
	unsigned nportals;
	char *portals[PORTALS_MAX]; /* owned */
	unsigned nop_interval, nop_count, login_timeout; /* seconds; 0: default */
};

/* 0, or -EINVAL and @e. Strings of @argv stay in use. @o wants daemon_options_free(). */
int daemon_options_parse(struct daemon_options *o, int argc, char **argv, struct err *e);
void daemon_options_free(struct daemon_options *o);

extern const char daemon_help[];

#endif
