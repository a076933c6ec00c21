/* SPDX-License-Identifier: BSD-2-Clause */
/* The administrator's verbs, in process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embed/embed.h"

struct calling {
	struct call call;
	struct stgt *stgt;
	struct msg msg;
	char *line; /* the request */
	size_t len;
	char **result; /* may be NULL */
	struct stgt_error *error;
	int err;
	struct waiting answered;
};

/* ---- on control ----------------------------------------------------------------------------- */

static int code_of(const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));
	json_int_t number =
		json_integer_value(json_object_get(json_object_get(error, "data"), "errno"));

	if (code == RPC_METHOD_NOT_FOUND)
		return -ENOSYS;
	return code == RPC_FAILED && number > 0 && number < 4096 ? -(int)number : -EINVAL;
}

static void take_error(struct calling *c, const json_t *error)
{
	const char *text = json_string_value(json_object_get(error, "message"));
	const char *kind =
		json_string_value(json_object_get(json_object_get(error, "data"), "kind"));

	c->err = say(c->error, code_of(error), "%s", text ? text : "");
	if (c->error && kind)
		snprintf(c->error->kind, sizeof(c->error->kind), "%s", kind);
}

static void take_result(struct calling *c, const json_t *result)
{
	char *text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text)
		c->err = say(c->error, -ENOMEM, "no memory for the answer of %s",
			     c->call.verb->name);
	else if (c->result)
		*c->result = text;
	else
		free(text);
}

static void handler_returned(struct msg *m)
{
	waiting_end(&container_of(m, struct calling, msg)->answered);
}

/* The handler may look at the call once more: who waits goes on in a later turn. */
static void answer(struct call *call, json_t *response)
{
	struct calling *c = container_of(call, struct calling, call);
	const json_t *error = json_object_get(response, "error");

	if (error)
		take_error(c, error);
	else
		take_result(c, json_object_get(response, "result"));
	json_decref(response);
	reactor_post(c->stgt->self, &c->msg, handler_returned);
}

static void dispatch(struct msg *m)
{
	struct calling *c = container_of(m, struct calling, msg);

	verb_dispatch(&c->call, c->line, c->len);
}

/* ---- on the caller's thread -------------------------------------------------------------------- */

/* The request as a line, malloc()ed; NULL and @e. */
static char *request(const char *method, const char *params, struct stgt_error *e)
{
	json_t *p = NULL, *all;
	json_error_t je;
	char *line;

	if (params) {
		p = json_loads(params, JSON_REJECT_DUPLICATES, &je);
		if (!p) {
			say(e, -EINVAL, "%s: the parameters are not a JSON object: %s at byte %d",
			    method, je.text, je.position);
			return NULL;
		}
	}
	all = json_pack("{s:s,s:i,s:s,s:o*}", "jsonrpc", "2.0", "id", 1, "method", method, "params",
			p);
	line = all ? json_dumps(all, JSON_COMPACT) : NULL;
	json_decref(all);
	if (!line)
		say(e, -EINVAL, "the method's name is no UTF-8, or there is no memory");
	return line;
}

int stgt_call(struct stgt *s, const char *method, const char *params, char **result,
	      struct stgt_error *e)
{
	struct calling c = { .stgt = s, .result = result, .error = e };
	int err = may_wait("stgt_call()", e);

	if (result)
		*result = NULL;
	if (err)
		return err;
	if (!s || !method)
		return say(e, -EINVAL, "stgt_call() needs an instance and a method");
	if (s->ending)
		return say(e, -ESHUTDOWN, "%s: the target is ending", method);
	if (!strcmp(method, "system.shutdown"))
		return say(e, -EOPNOTSUPP,
			   "system.shutdown: a target in a program is ended by stgt_destroy()");
	c.line = request(method, params, e);
	if (!c.line)
		return -EINVAL;
	c.len = strlen(c.line);
	c.call.ctx = &s->control;
	c.call.verbs = control_verbs;
	c.call.answer = answer;
	waiting_init(&c.answered);
	reactor_post(s->self, &c.msg, dispatch);
	waiting_for(&c.answered, -1);
	waiting_fini(&c.answered);
	free(c.line);
	return c.err;
}
