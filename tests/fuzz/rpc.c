/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests on the control socket, up to the handler: the input is one line.
 * Every request is answered once, and every answer can be written as JSON. The first half of a
 * request that reaches a handler is also what LU parameters are made of.
 */
#include <stdlib.h>
#include <string.h>

#include "control/unit.h"
#include "control/verb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned answers;

static void run_any(struct call *c)
{
	struct unit_change ch = { 0 };
	struct lu_mode m = { 0 };
	struct err e = { 0 };

	if (change_set_all(&ch, json_object_get(c->params, "params"), &e)) {
		call_fail(c, FAIL_INVALID, &e);
		return;
	}
	change_mode(&ch, &m);
	call_reply(c, json_pack("{s:s,s:I,s:b,s:b}", "name", call_str(c, "name", ""), "size",
				(json_int_t)call_size(c, "size", call_int(c, "tid", 1) & 0xff),
				"force", call_bool(c, "force", false), "wce", m.wce));
}

static const struct param params[] = {
	{ "tid", P_INT, false, 1, 65535, "number" }, { "name", P_STRING, false, 1, 223, "name" },
	{ "force", P_BOOL, .help = "force" },	     { "size", P_SIZE, .help = "size" },
	{ "params", P_OBJECT, .help = "params" },    { .type = P_END },
};
static const struct verb verbs[] = {
	{ "lun.update", "any", params, run_any },
	{ "lun.delete", "any", NULL, run_any },
	{ NULL },
};

static void answered(struct call *c, json_t *response)
{
	char *text;

	answers++;
	if (!response)
		return;
	text = json_dumps(response, JSON_COMPACT);
	if (!text || strchr(text, '\n'))
		abort();
	free(text);
	json_decref(response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct call c = { .verbs = verbs, .answer = answered };

	answers = 0;
	verb_dispatch(&c, (const char *)data, size);
	if (answers != 1)
		abort();
	return 0;
}
