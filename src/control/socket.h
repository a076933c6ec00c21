/* SPDX-License-Identifier: BSD-2-Clause */
/* The listening control socket and its lock: who holds PATH.lock owns PATH. */
#ifndef STGT_CONTROL_SOCKET_H
#define STGT_CONTROL_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define CONTROL_PATH_MAX 108 /* sun_path */

struct control_socket {
	int fd, lock;
	bool stale; /* a dead daemon had left one */
	char path[CONTROL_PATH_MAX];
};

/* The path for @port: TGT_IPC_SOCKET or /var/run/tgtd/socket, then ".PORT". 0 or -errno. */
int control_socket_path(char *path, size_t room, unsigned port, struct err *e);

/* Listen at @path, taking over what a dead daemon left. 0, or -errno and @e. */
int control_socket_open(struct control_socket *s, const char *path, struct err *e);
/* Take the name away: nobody connects any more. */
void control_socket_unlink(struct control_socket *s);
/* Close, and let the lock go. */
void control_socket_close(struct control_socket *s);

#endif
