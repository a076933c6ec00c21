/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests as the dispatcher sees them: good, wrong, hostile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "control/verb.h"

struct fixture {
	struct call call;
	json_t *response; /* NULL: none was given */
	unsigned answers, runs;
};

static void run_make(struct call *c)
{
	struct fixture *f = c->ctx;

	f->runs++;
	call_reply(c, json_pack("{s:s,s:I,s:b,s:I}", "name", call_str(c, "name", "?"), "count",
				(json_int_t)call_int(c, "count", -1), "fast",
				call_bool(c, "fast", false), "size",
				(json_int_t)call_size(c, "size", 7)));
}

static void run_fail(struct call *c)
{
	call_failf(c, FAIL_NO_TARGET, -ENOENT, "there is no target %d", 7);
}

static const struct param make_params[] = {
	{ "name", P_STRING, true, 1, 8, "its name" }, { "count", P_INT, false, 1, 10, "how many" },
	{ "fast", P_BOOL, .help = "at once" },	      { "size", P_SIZE, .help = "bytes" },
	{ "extra", P_OBJECT, .help = "more" },	      { .type = P_END },
};
static const struct verb verbs[] = {
	{ "thing.make", "make a thing", make_params, run_make },
	{ "thing.fail", "fail", NULL, run_fail },
	{ NULL },
};

static void answered(struct call *c, json_t *response)
{
	struct fixture *f = c->ctx;

	f->answers++;
	f->response = response;
}

static void forget(struct fixture *f)
{
	json_decref(f->response);
	f->response = NULL;
	f->answers = f->runs = 0;
}

static void send_bytes(struct fixture *f, const char *line, size_t len)
{
	forget(f);
	f->call = (struct call){ .ctx = f, .verbs = verbs, .answer = answered };
	verb_dispatch(&f->call, line, len);
	assert_int_equal(f->answers, 1);
}

static void send_text(struct fixture *f, const char *line)
{
	send_bytes(f, line, strlen(line));
}

static const json_t *result(struct fixture *f)
{
	return json_object_get(f->response, "result");
}

static int code(struct fixture *f)
{
	return (int)json_integer_value(
		json_object_get(json_object_get(f->response, "error"), "code"));
}

static const char *message(struct fixture *f)
{
	return json_string_value(json_object_get(json_object_get(f->response, "error"), "message"));
}

#define MAKE(params) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"thing.make\",\"params\":" params "}"

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	forget(*state);
	free(*state);
	return 0;
}

static void a_request_is_run_and_answered_with_its_id(void **state)
{
	struct fixture *f = *state;

	send_text(f, "{\"jsonrpc\":\"2.0\",\"id\":\"x7\",\"method\":\"thing.make\","
		     "\"params\":{\"name\":\"a\",\"count\":3,\"fast\":true,\"size\":\"2K\"}}");
	assert_string_equal(json_string_value(json_object_get(f->response, "id")), "x7");
	assert_string_equal(json_string_value(json_object_get(f->response, "jsonrpc")), "2.0");
	assert_string_equal(json_string_value(json_object_get(result(f), "name")), "a");
	assert_int_equal(json_integer_value(json_object_get(result(f), "count")), 3);
	assert_true(json_is_true(json_object_get(result(f), "fast")));
	assert_int_equal(json_integer_value(json_object_get(result(f), "size")), 2048);
}

static void absent_parameters_have_their_defaults(void **state)
{
	struct fixture *f = *state;

	send_text(f, MAKE("{\"name\":\"a\"}"));
	assert_int_equal(json_integer_value(json_object_get(result(f), "count")), -1);
	assert_int_equal(json_integer_value(json_object_get(result(f), "size")), 7);
}

static void a_notification_is_run_without_an_answer(void **state)
{
	struct fixture *f = *state;

	send_text(f, "{\"jsonrpc\":\"2.0\",\"method\":\"thing.make\",\"params\":{\"name\":\"a\"}}");
	assert_int_equal(f->runs, 1);
	assert_null(f->response);
}

static void an_error_of_a_handler_has_kind_errno_and_text(void **state)
{
	struct fixture *f = *state;
	const json_t *data;

	send_text(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"thing.fail\"}");
	data = json_object_get(json_object_get(f->response, "error"), "data");
	assert_int_equal(code(f), RPC_FAILED);
	assert_string_equal(message(f), "there is no target 7");
	assert_string_equal(json_string_value(json_object_get(data, "kind")), "no-target");
	assert_int_equal(json_integer_value(json_object_get(data, "errno")), ENOENT);
}

static void wrong_parameters_are_refused_by_name(void **state)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
		{ MAKE("{}"), "thing.make needs 'name': its name" },
		{ MAKE("{\"name\":7}"), "'name' must be a string" },
		{ MAKE("{\"name\":\"\"}"), "'name' must have 1 to 8 bytes" },
		{ MAKE("{\"name\":\"123456789\"}"), "'name' must have 1 to 8 bytes" },
		{ MAKE("{\"name\":\"a\",\"count\":11}"), "'count' must be 1 to 10" },
		{ MAKE("{\"name\":\"a\",\"count\":0}"), "'count' must be 1 to 10" },
		{ MAKE("{\"name\":\"a\",\"count\":1.5}"), "'count' must be a whole number" },
		{ MAKE("{\"name\":\"a\",\"count\":\"1\"}"), "'count' must be a whole number" },
		{ MAKE("{\"name\":\"a\",\"fast\":1}"), "'fast' must be true or false" },
		{ MAKE("{\"name\":\"a\",\"size\":-1}"), "'size' must be a size" },
		{ MAKE("{\"name\":\"a\",\"size\":\"1X\"}"), "'size' must be a size" },
		{ MAKE("{\"name\":\"a\",\"extra\":[]}"), "'extra' must be an object" },
		{ MAKE("{\"name\":\"a\",\"cuont\":1}"),
		  "no parameter 'cuont': did you mean 'count'?" },
		{ MAKE("[1]"), "'params' must be an object" },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < array_size(cases); i++) {
		send_text(f, cases[i].line);
		assert_int_equal(code(f), RPC_INVALID_PARAMS);
		assert_non_null(strstr(message(f), cases[i].text));
		assert_int_equal(f->runs, 0);
	}
}

static void an_unknown_method_is_refused_with_a_suggestion(void **state)
{
	struct fixture *f = *state;

	send_text(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"thing.mkae\"}");
	assert_int_equal(code(f), RPC_METHOD_NOT_FOUND);
	assert_non_null(strstr(message(f), "did you mean 'thing.make'?"));
}

static void what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *line;
		int code;
	} cases[] = {
		{ "", RPC_PARSE_ERROR },
		{ "{", RPC_PARSE_ERROR },
		{ "nonsense", RPC_PARSE_ERROR },
		{ "{} {}", RPC_PARSE_ERROR },
		{ "{\"id\":1,\"id\":2}", RPC_PARSE_ERROR },
		{ "{\"id\":1e999}", RPC_PARSE_ERROR },
		{ "{\"method\":\"\xff\xfe\"}", RPC_PARSE_ERROR },
		{ "{\"method\":\"a\\u0000b\"}", RPC_PARSE_ERROR },
		{ "[]", RPC_INVALID_REQUEST },
		{ "[{\"jsonrpc\":\"2.0\"}]", RPC_INVALID_REQUEST },
		{ "{}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"thing.fail\"}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"thing.fail\"}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"thing.fail\"}", RPC_INVALID_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"thing.fail\"}",
		  RPC_INVALID_REQUEST },
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < array_size(cases); i++) {
		send_text(f, cases[i].line);
		assert_int_equal(code(f), cases[i].code);
		assert_int_equal(f->runs, 0);
	}
}

static void a_zero_byte_in_a_request_is_refused(void **state)
{
	send_bytes(*state, "{\"jsonrpc\":\"2.0\"}\0", 18);
	assert_int_equal(code(*state), RPC_PARSE_ERROR);
}

static void deep_nesting_is_refused(void **state)
{
	char line[65536];

	memset(line, '[', sizeof(line));
	send_bytes(*state, line, sizeof(line));
	assert_int_equal(code(*state), RPC_PARSE_ERROR);
}

static void names_that_do_not_fit_a_text_are_cut(void **state)
{
	char line[4096] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"";
	struct fixture *f = *state;
	size_t n = strlen(line);

	/* a character of two bytes lies over the cut */
	line[n++] = 'a';
	for (int i = 0; i < 500; i++) {
		line[n++] = (char)0xc3;
		line[n++] = (char)0xa4;
	}
	memcpy(line + n, "\"}", 3);
	send_text(f, line);
	assert_int_equal(code(f), RPC_METHOD_NOT_FOUND);
	assert_non_null(message(f));
}

static void the_table_describes_itself(void **state)
{
	json_t *all = verbs_describe(verbs);
	const json_t *params = json_object_get(json_array_get(all, 0), "params");

	assert_int_equal(json_array_size(all), 2);
	assert_int_equal(json_array_size(params), 5);
	assert_true(json_is_true(json_object_get(json_array_get(params, 0), "required")));
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_request_is_run_and_answered_with_its_id, setup,
						teardown),
		cmocka_unit_test_setup_teardown(absent_parameters_have_their_defaults, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_notification_is_run_without_an_answer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_error_of_a_handler_has_kind_errno_and_text,
						setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_parameters_are_refused_by_name, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_unknown_method_is_refused_with_a_suggestion,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_request_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_zero_byte_in_a_request_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(deep_nesting_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(names_that_do_not_fit_a_text_are_cut, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_table_describes_itself, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
