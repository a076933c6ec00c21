/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/options.h"
#include "stgt/store.h"

#define NAMES_MAX 96 /* verbs or parameters that a suggestion looks through */

static const char *const fail_words[] = {
#define F(name, word) [FAIL_##name] = word,
	FAILS(F)
#undef F
};

static const char *const type_words[] = {
	[P_STRING] = "a string",
	[P_INT] = "a whole number",
	[P_BOOL] = "true or false",
	[P_SIZE] = "a size (a number of bytes, or a string such as \"64M\")",
	[P_OBJECT] = "an object",
};

/* ---- answers -------------------------------------------------------------- */

static void finish(struct call *c, json_t *response)
{
	json_t *request = c->request;

	c->request = c->params = c->id = NULL;
	c->answer(c, response);
	json_decref(request);
}

static json_t *envelope(const struct call *c, const char *key, json_t *value)
{
	json_t *o = json_object();

	json_object_set_new(o, "jsonrpc", json_string("2.0"));
	json_object_set_new(o, key, value);
	json_object_set_new(o, "id", c->id ? json_incref(c->id) : json_null());
	return o;
}

void call_reply(struct call *c, json_t *result)
{
	if (!c->id) { /* a notification */
		json_decref(result);
		finish(c, NULL);
		return;
	}
	finish(c, envelope(c, "result", result ? result : json_true()));
}

static json_t *error_object(int code, const char *text)
{
	json_t *o = json_object();

	json_object_set_new(o, "code", json_integer(code));
	/* Texts quote what clients sent; jansson only takes valid UTF-8. */
	if (json_object_set_new(o, "message", json_string(text)))
		json_object_set_new(o, "message", json_string("error with unprintable text"));
	return o;
}

void call_fail(struct call *c, enum fail kind, const struct err *e)
{
	json_t *error = error_object(RPC_FAILED, e->text), *data = json_object();

	json_object_set_new(data, "kind", json_string(fail_words[kind]));
	json_object_set_new(data, "errno", json_integer(-e->code));
	json_object_set_new(error, "data", data);
	finish(c, envelope(c, "error", error));
}

void call_failf(struct call *c, enum fail kind, int err, const char *fmt, ...)
{
	struct err e = { .code = err };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	call_fail(c, kind, &e);
}

void call_refuse(struct call *c, int code, const char *fmt, ...)
{
	char text[480];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	finish(c, envelope(c, "error", error_object(code, text)));
}

/* ---- validation ------------------------------------------------------------- */

/* ": did you mean 'x'?", or nothing. @room bytes at @out. */
static const char *suggestion(const char *word, const char *const *list, char *out, size_t room)
{
	const char *near = store_suggest(word, list);

	out[0] = 0;
	if (near)
		snprintf(out, room, ": did you mean '%s'?", near);
	return out;
}

static const struct verb *verb_find(const struct call *c, const char *name)
{
	for (const struct verb *v = c->verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static void refuse_verb(struct call *c, const char *name)
{
	const char *names[NAMES_MAX + 1];
	unsigned n = 0;
	char near[80];

	for (const struct verb *v = c->verbs; v->name && n < NAMES_MAX; v++)
		names[n++] = v->name;
	names[n] = NULL;
	suggestion(name, names, near, sizeof(near));
	call_refuse(c, RPC_METHOD_NOT_FOUND, "there is no method '%.64s'%s", name,
		    near[0] ? near : ": the method help lists them");
}

static const struct param *param_find(const struct verb *v, const char *name)
{
	for (const struct param *p = v->params; p && p->type != P_END; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

static void refuse_param(struct call *c, const char *name)
{
	const char *names[NAMES_MAX + 1];
	unsigned n = 0;
	char near[80];

	for (const struct param *p = c->verb->params; p && p->type != P_END && n < NAMES_MAX; p++)
		names[n++] = p->name;
	names[n] = NULL;
	call_refuse(c, RPC_INVALID_PARAMS, "%s has no parameter '%.64s'%s", c->verb->name, name,
		    suggestion(name, names, near, sizeof(near)));
}

static bool size_of(const json_t *v, uint64_t *out)
{
	if (json_is_integer(v)) {
		*out = (uint64_t)json_integer_value(v);
		return json_integer_value(v) >= 0;
	}
	return json_is_string(v) && !size_parse(json_string_value(v), out);
}

static bool type_fits(const struct param *p, const json_t *v)
{
	uint64_t size;

	switch (p->type) {
	case P_STRING:
		return json_is_string(v);
	case P_INT:
		return json_is_integer(v);
	case P_BOOL:
		return json_is_boolean(v);
	case P_SIZE:
		return size_of(v, &size);
	case P_OBJECT:
		return json_is_object(v);
	case P_END:
		break;
	}
	return false;
}

/* False: refused and answered. */
static bool check_value(struct call *c, const struct param *p, const json_t *v)
{
	int64_t n;

	if (!type_fits(p, v)) {
		call_refuse(c, RPC_INVALID_PARAMS, "%s: '%s' must be %s", c->verb->name, p->name,
			    type_words[p->type]);
		return false;
	}
	if (p->type != P_INT && p->type != P_STRING)
		return true;
	n = p->type == P_INT ? json_integer_value(v) : (int64_t)json_string_length(v);
	if (p->max && (n < p->min || n > p->max)) {
		call_refuse(c, RPC_INVALID_PARAMS, "%s: '%s' must %s %" PRId64 " to %" PRId64 "%s",
			    c->verb->name, p->name, p->type == P_INT ? "be" : "have", p->min,
			    p->max, p->type == P_INT ? "" : " bytes");
		return false;
	}
	return true;
}

/* False: refused and answered. */
static bool check_params(struct call *c)
{
	const char *key;
	json_t *v;

	json_object_foreach(c->params, key, v) {
		const struct param *p = param_find(c->verb, key);

		if (!p) {
			refuse_param(c, key);
			return false;
		}
		if (!check_value(c, p, v))
			return false;
	}
	for (const struct param *p = c->verb->params; p && p->type != P_END; p++) {
		if (p->required && !json_object_get(c->params, p->name)) {
			call_refuse(c, RPC_INVALID_PARAMS, "%s needs '%s': %s", c->verb->name,
				    p->name, p->help);
			return false;
		}
	}
	return true;
}

/* ---- dispatch --------------------------------------------------------------- */

/* False: refused and answered. */
static bool check_request(struct call *c)
{
	json_t *id = json_object_get(c->request, "id");
	json_t *params = json_object_get(c->request, "params");
	const char *version = json_string_value(json_object_get(c->request, "jsonrpc"));

	if (id && !json_is_string(id) && !json_is_integer(id) && !json_is_null(id)) {
		call_refuse(c, RPC_INVALID_REQUEST, "'id' must be a string or a whole number");
		return false;
	}
	c->id = id;
	if (!version || strcmp(version, "2.0")) {
		call_refuse(c, RPC_INVALID_REQUEST, "'jsonrpc' must be \"2.0\"");
		return false;
	}
	if (!json_is_string(json_object_get(c->request, "method"))) {
		call_refuse(c, RPC_INVALID_REQUEST, "'method' must be a string");
		return false;
	}
	if (params && !json_is_object(params)) {
		call_refuse(c, RPC_INVALID_PARAMS, "'params' must be an object");
		return false;
	}
	c->params = params;
	return true;
}

void verb_dispatch(struct call *c, const char *line, size_t len)
{
	const char *method;
	json_error_t je;

	c->params = c->id = NULL;
	c->verb = NULL;
	c->request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &je);
	if (!c->request) {
		call_refuse(c, RPC_PARSE_ERROR, "not JSON: %s at byte %d", je.text, je.position);
		return;
	}
	if (!json_is_object(c->request)) {
		call_refuse(c, RPC_INVALID_REQUEST, "a request is one JSON object%s",
			    json_is_array(c->request) ? ": batches are not supported" : "");
		return;
	}
	if (!check_request(c))
		return;
	method = json_string_value(json_object_get(c->request, "method"));
	c->verb = verb_find(c, method);
	if (!c->verb)
		refuse_verb(c, method);
	else if (check_params(c))
		c->verb->run(c);
}

/* ---- for handlers ------------------------------------------------------------- */

bool call_has(const struct call *c, const char *name)
{
	return json_object_get(c->params, name);
}

const char *call_str(const struct call *c, const char *name, const char *def)
{
	const char *s = json_string_value(json_object_get(c->params, name));

	return s ? s : def;
}

int64_t call_int(const struct call *c, const char *name, int64_t def)
{
	const json_t *v = json_object_get(c->params, name);

	return v ? json_integer_value(v) : def;
}

bool call_bool(const struct call *c, const char *name, bool def)
{
	const json_t *v = json_object_get(c->params, name);

	return v ? json_is_true(v) : def;
}

uint64_t call_size(const struct call *c, const char *name, uint64_t def)
{
	const json_t *v = json_object_get(c->params, name);
	uint64_t size;

	return v && size_of(v, &size) ? size : def;
}

static json_t *describe_param(const struct param *p)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(p->name));
	json_object_set_new(o, "type", json_string(type_words[p->type]));
	json_object_set_new(o, "required", json_boolean(p->required));
	json_object_set_new(o, "help", json_string(p->help));
	return o;
}

json_t *verbs_describe(const struct verb *verbs)
{
	json_t *all = json_array();

	for (const struct verb *v = verbs; v->name; v++) {
		json_t *o = json_object(), *params = json_array();

		for (const struct param *p = v->params; p && p->type != P_END; p++)
			json_array_append_new(params, describe_param(p));
		json_object_set_new(o, "method", json_string(v->name));
		json_object_set_new(o, "help", json_string(v->help));
		json_object_set_new(o, "params", params);
		json_array_append_new(all, o);
	}
	return all;
}
