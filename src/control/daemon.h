/* SPDX-License-Identifier: BSD-2-Clause */
/* The process: background, pid file, limits, what systemd wants to know. */
#ifndef STGT_CONTROL_DAEMON_H
#define STGT_CONTROL_DAEMON_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Go to the background: 0 in the child, with the descriptor that
 * daemon_ready() wants in *@fd. In the parent it returns when the child is
 * ready or has ended: 1, and the status to end with in *@status; so start-up
 * errors reach whoever started it. -errno and @e.
 */
int daemon_start(int *fd, int *status, struct err *e);
/* Let the parent go; stdin, stdout and stderr become /dev/null. @fd -1: nothing to do. */
void daemon_ready(int fd);

/* 0, or -errno and @e. */
int pid_file_write(const char *path, struct err *e);

/* Spared by the OOM killer; as many descriptors as the kernel allows. Best effort. */
void daemon_limits(void);

/* Standard error goes to the journal, which reads levels (systemd.exec(5), JOURNAL_STREAM). */
bool stderr_is_journal(void);

/* Tell the service manager, if there is one: "READY=1" and the like (sd_notify(3)). */
void service_notify(const char *state);

#endif
