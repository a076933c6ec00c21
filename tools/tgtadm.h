/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of tgtadm share. */
#ifndef STGT_TOOLS_TGTADM_H
#define STGT_TOOLS_TGTADM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum mode {
	MODE_NONE = -1,
	MODE_SYSTEM,
	MODE_TARGET,
	MODE_LUN,
	MODE_PORTAL,
	MODE_LLD,
	MODE_SESSION,
	MODE_CONNECTION,
	MODE_ACCOUNT,
};

enum op {
	OP_NONE = -1,
	OP_NEW,
	OP_DELETE,
	OP_SHOW,
	OP_BIND,
	OP_UNBIND,
	OP_UPDATE,
	OP_STAT,
	OP_START,
	OP_STOP,
};

struct args {
	enum mode mode;
	enum op op;
	const char *lld, *name, *value, *path, *bstype, *bsopts, *bsoflags, *block_size;
	const char *target_name, *address, *initiator, *user, *password, *params, *type;
	long long tid, lun, sid, cid; /* -1: not given */
	bool force, outgoing, by_host;
	unsigned port;
};

/* ---- tgtadm_request.c ------------------------------------------------------------------- */

/* Do what @a says, through the daemon at @fd. Returns the exit status. */
int tgtadm_run(const struct args *a, int fd);
/* "tgtadm: ..." on stderr; returns EINVAL. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* tgt's text for a daemon that is not there; returns ENOTCONN. */
int not_running(void);

/* ---- tgtadm_show.c: tgt's output formats, from the daemon's JSON -------------------------------- */

void show_targets(const json_t *targets);
void show_target_params(const json_t *params);
void show_system(const json_t *system);
void show_connections(const json_t *sessions);
void show_accounts(const json_t *accounts);
void show_lld(const json_t *targets);
void show_portals(const json_t *portals);
/* Rows of --op stat: of I_T_L nexuses; of the connections of @sid and @cid (-1: all). */
void show_lun_stats(const json_t *rows);
void show_connection_stats(const json_t *sessions, long long sid, long long cid);

#endif
