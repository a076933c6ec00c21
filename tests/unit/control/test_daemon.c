/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs of a whole daemon that meet each other; its reactors are turned by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "control/control.h"
#include "transport/iscsi/iscsi.h"

#define TURNS 20000 /* bound of every wait */

static struct rig {
	struct reactor *self, *data;
	struct control control;
} rig;

struct request {
	struct call call;
	json_t *response;
};

static void answered(struct call *c, json_t *response)
{
	container_of(c, struct request, call)->response = response;
}

static void step(void)
{
	reactor_turn(rig.data, 0);
	reactor_turn(rig.self, NSEC_PER_MSEC);
}

/* Begin a request: @method with @params, a JSON object. The control reactor is the one that was turned last. */
static void ask(struct request *q, const char *method, const char *params)
{
	json_t *o = json_pack("{s:s,s:i,s:s,s:o}", "jsonrpc", "2.0", "id", 1, "method", method,
			      "params", json_loads(params, 0, NULL));
	char *line = json_dumps(o, 0);

	assert_non_null(line);
	q->call = (struct call){ .ctx = &rig.control, .verbs = control_verbs, .answer = answered };
	q->response = NULL;
	verb_dispatch(&q->call, line, strlen(line));
	free(line);
	json_decref(o);
}

static void await(const struct request *q)
{
	for (int i = 0; i < TURNS && !q->response; i++)
		step();
	assert_non_null(q->response);
}

static const char *error_text(const struct request *q)
{
	return json_string_value(json_object_get(json_object_get(q->response, "error"), "message"));
}

static struct reactor *make_reactor(const char *name, unsigned id)
{
	struct reactor_opts o = {
		.name = name, .id = id, .engine = &engine_epoll, .buf_cap = 2 << 20
	};

	return reactor_create(&o, NULL);
}

static int setup(void **state)
{
	static const struct iscsi_opts opts;

	log_set_level(LOG_LEVEL_ERR);
	memset(&rig, 0, sizeof(rig));
	rig.self = make_reactor("control", REACTORS_MAX);
	rig.data = make_reactor("data", 0);
	if (!rig.self || !rig.data)
		return -1;
	step();
	rig.control.self = rig.self;
	rig.control.reactors = &rig.data;
	rig.control.nreactors = 1;
	if (control_init(&rig.control, NULL))
		return -1;
	rig.control.iscsi = iscsi_server_create(&rig.control.ts, &opts, NULL);
	return rig.control.iscsi ? 0 : -1;
}

static void cleared(struct control *c)
{
	c->cleared = NULL;
}

static int teardown(void **state)
{
	step();
	control_clear(&rig.control, 0, cleared);
	for (int i = 0; i < TURNS && rig.control.cleared; i++)
		step();
	if (rig.control.cleared)
		return -1;
	control_fini(&rig.control);
	iscsi_server_destroy(rig.control.iscsi);
	reactor_destroy(rig.data);
	reactor_destroy(rig.self);
	return 0;
}

/* The controller is made at once; the disk only in a later turn. */
static void an_export_whose_target_is_deleted_meanwhile_fails(void **state)
{
	struct request export, delete;

	ask(&export, "export", "{\"bstype\":\"null\",\"tid\":7}");
	ask(&delete, "target.delete", "{\"tid\":7}");
	await(&delete);
	await(&export);
	assert_non_null(json_object_get(delete.response, "result"));
	assert_non_null(error_text(&export));
	assert_non_null(strstr(error_text(&export), "target 7 has just been deleted"));
	json_decref(export.response);
	json_decref(delete.response);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_export_whose_target_is_deleted_meanwhile_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
