/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verbs: the methods of the control socket. One table row each: name,
 * parameters, handler and help; dispatch, validation, error texts and the
 * `help` method come from it. Nothing here knows sockets or targets.
 *
 * JSON-RPC 2.0, one request at a time per client, no batches. Errors of the
 * daemon have code -32000 and data {"kind": WORD, "errno": N}: see FAILS.
 */
#ifndef STGT_CONTROL_VERB_H
#define STGT_CONTROL_VERB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What went wrong, as a word that tgtadm turns into tgt's text for it. */
/* clang-format off */
#define FAILS(F) \
	F(UNKNOWN, "unknown") F(NOMEM, "no-memory") F(NO_DRIVER, "no-driver") \
	F(NO_TARGET, "no-target") F(NO_LUN, "no-lun") F(NO_SESSION, "no-session") \
	F(NO_CONNECTION, "no-connection") F(TARGET_EXIST, "target-exists") \
	F(LUN_EXIST, "lun-exists") F(ACL_EXIST, "acl-exists") F(ACL_NOEXIST, "no-acl") \
	F(USER_EXIST, "account-exists") F(NO_USER, "no-account") \
	F(TOO_MANY_USER, "too-many-accounts") F(INVALID, "invalid") \
	F(OUTACCOUNT_EXIST, "outgoing-exists") F(TARGET_ACTIVE, "target-active") \
	F(LUN_ACTIVE, "lun-active") F(UNSUPPORTED, "unsupported")
/* clang-format on */

enum fail {
#define F(name, word) FAIL_##name,
	FAILS(F)
#undef F
};

enum param_type {
	P_END, /* ends a list */
	P_STRING,
	P_INT, /* min..max */
	P_BOOL,
	P_SIZE, /* bytes: a number, or a string such as "64M" */
	P_OBJECT, /* string members, which the handler checks */
};

struct param {
	const char *name;
	enum param_type type;
	bool required;
	int64_t min, max; /* P_INT; P_STRING: bytes */
	const char *help;
};

struct call;

struct verb {
	const char *name, *help;
	const struct param *params; /* ends with P_END; NULL: none */
	/* Ends in exactly one call_reply() or call_fail(), now or later. */
	void (*run)(struct call *c);
};

/* A request under way. */
struct call {
	/* the client side's, set before verb_dispatch() */
	void *ctx; /* for handlers */
	const struct verb *verbs; /* ends with a row without name */
	/* Called exactly once; takes @response (NULL: nothing is answered). */
	void (*answer)(struct call *c, json_t *response);
	/* the dispatcher's, until answer */
	json_t *request, *params, *id;
	const struct verb *verb;
};

/* Run the @len bytes at @line, whatever they are. c->answer follows, perhaps before this returns. */
void verb_dispatch(struct call *c, const char *line, size_t len);

/* Answer; takes @result (NULL: true). */
void call_reply(struct call *c, json_t *result);
void call_fail(struct call *c, enum fail kind, const struct err *e);
/* The same with a text. */
void call_failf(struct call *c, enum fail kind, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* JSON-RPC errors of the framing: @code is JSON-RPC's. */
void call_refuse(struct call *c, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define RPC_PARSE_ERROR (-32700)
#define RPC_INVALID_REQUEST (-32600)
#define RPC_METHOD_NOT_FOUND (-32601)
#define RPC_INVALID_PARAMS (-32602)
#define RPC_FAILED (-32000)

/* Parameters, validated; the default if absent. Valid until the answer. */
bool call_has(const struct call *c, const char *name);
const char *call_str(const struct call *c, const char *name, const char *def);
int64_t call_int(const struct call *c, const char *name, int64_t def);
bool call_bool(const struct call *c, const char *name, bool def);
uint64_t call_size(const struct call *c, const char *name, uint64_t def);

/* The table as JSON, for the method `help`. */
json_t *verbs_describe(const struct verb *verbs);

#endif
