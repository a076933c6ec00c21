/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's control socket, as the command lines use it. */
#ifndef STGT_TOOLS_CLIENT_H
#define STGT_TOOLS_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct client_error {
	int code; /* JSON-RPC's; 0: none */
	int err; /* errno that the daemon names, 0: none */
	char kind[32]; /* the daemon's word, "" if none */
	char text[600];
};

/* Connect to the daemon with @port. The socket, or -errno: @e says what to do. */
int client_connect(unsigned port, struct err *e);

/*
 * Call @method with @params (taken; NULL: none). The result, which is the
 * caller's; NULL and @e if the daemon refuses or the connection breaks (code 1).
 */
json_t *client_call(int fd, const char *method, json_t *params, struct client_error *e);

/* ---- reading answers: defaults for what is missing or of another type -------------- */

const char *get_str(const json_t *o, const char *key);
long long get_int(const json_t *o, const char *key);
bool get_bool(const json_t *o, const char *key);
const json_t *get(const json_t *o, const char *key);

#endif
