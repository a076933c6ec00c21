/* SPDX-License-Identifier: BSD-2-Clause */
/* The store nbd and servers that break the protocol. Arguments: the engine, the server's script. */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "servers.h"

#define STALE 0xc3 /* what memory held before */

static const struct engine *engine;
static const char *script;

struct fixture {
	struct rig g;
	uint8_t *back;
	pid_t server;
	char socket[128];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	rig_init(&f->g, engine, false);
	f->back = rig_memory(65536);
	snprintf(f->socket, sizeof(f->socket), "%s/s", f->g.dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rig_fini(&f->g);
	program_kill(&f->server);
	free(f->back);
	free(f);
	return 0;
}

static void serve(struct fixture *f, const char *how, const char *more)
{
	char *argv[] = { "python3", (char *)script, f->socket, (char *)how, (char *)more, NULL };

	program_kill(&f->server);
	unlink(f->socket);
	f->server = program_start(argv);
	if (!server_wait(f->server, f->socket, 0))
		fail_msg("the server does not start");
}

static struct store_spec spec_of(struct fixture *f)
{
	return (struct store_spec){
		.type = "nbd", .path = f->socket, .opts = "settle=0;timeout=1", .block_size = 512
	};
}

static void must_open(struct fixture *f)
{
	struct store_spec p = spec_of(f);

	if (rig_open(&f->g, &p, NULL))
		fail_msg("%s", f->g.err.text);
}

static int act(struct fixture *f, struct req *q, enum store_verb verb, uint64_t off, uint64_t len)
{
	return rig_do(&f->g, q, verb, 0, off, len, len ? f->back : NULL);
}

/* ---- until it is open ---- */

static void a_greeting_of_garbage_is_refused(void **state)
{
	static const char *const words[] = {
		"hello=",
		"hello=00",
		"hello=4e42444d41474943", /* the beginning of a good one */
		"hello=4e42444d414749434948415645",
		"hello=485454502f312e31203430302042616420526571756573740d0a0d0a",
		"hello="
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"hello=4e42444d4147494349484156454f5054ffff",
		"hello="
		"4e42444d4147494349484156454f505400030003e889045565a90000000affffffffffffffff",
	};
	struct fixture *f = *state;
	struct store_spec p = spec_of(f);

	for (size_t i = 0; i < array_size(words); i++) {
		serve(f, words[i], NULL);
		rig_refused(&f->g, &p, -ENOTCONN, "cannot use the NBD server");
	}
}

static void a_servers_text_does_not_reach_the_terminal(void **state)
{
	struct fixture *f = *state;
	struct store_spec p = spec_of(f);

	/* \e]0;x\a newline \xff */
	serve(f, "refuse=1b5d303b78070aff66616b65206c6f67206c696e65", NULL);
	rig_refused(&f->g, &p, -ENOTCONN, "cannot use the NBD server");
	for (const char *c = f->g.err.text; *c; c++)
		assert_in_range((unsigned char)*c, ' ', '~');
}

static void a_size_that_cannot_be_is_refused(void **state)
{
	static const char *const words[] = { "size=0", "size=9223372036854775808",
					     "size=18446744073709551615", "size=1000" };
	struct fixture *f = *state;
	struct store_spec p = spec_of(f);

	for (size_t i = 0; i < array_size(words); i++) {
		bool large = strlen(words[i]) > 20;

		serve(f, words[i], NULL);
		rig_refused(&f->g, &p, large ? -ENOTCONN : -EINVAL,
			    large ? "larger than 2^63" : "bytes");
	}
}

static void the_largest_size_is_used_to_its_end(void **state)
{
	const uint64_t size = INT64_MAX & ~511ull;
	struct fixture *f = *state;
	struct req q;

	serve(f, "size=9223372036854775296", NULL);
	must_open(f);
	assert_true(store_size(f->g.s) == size);
	assert_int_equal(act(f, &q, STORE_READ, size - 512, 512), 0);
	assert_int_equal(act(f, &q, STORE_READ, size - 512, 1024), -EINVAL);
	assert_int_equal(act(f, &q, STORE_READ, size, 512), -EINVAL);
	assert_int_equal(act(f, &q, STORE_READ, UINT64_MAX - 511, 512), -EINVAL);
	assert_int_equal(act(f, &q, STORE_EXTENTS, 0, 0), 0);
	assert_in_range(q.io.extent.length, 1, size);
	assert_int_equal(act(f, &q, STORE_EXTENTS, size - 512, 0), 0);
	assert_true(q.io.extent.length == 512);
}

static void block_sizes_that_cannot_be_do_no_harm(void **state)
{
	static const char *const words[] = {
		"blocks=0:0:0",
		"blocks=0:4096:65536",
		"blocks=3:4096:65536",
		"blocks=512:1000:65536",
		"blocks=512:65536:4096",
		"blocks=512:4096:512",
		"blocks=1:4096:4294967295",
		"blocks=512:2147483648:4294967295",
		"blocks=1:1:1",
		"blocks=65536:65536:65536",
		"blocks=512:4096:1000",
		"blocks=4294967295:1:1",
	};
	struct fixture *f = *state;
	struct store_spec p = spec_of(f);

	for (size_t i = 0; i < array_size(words); i++) {
		const struct store_limits *l;
		struct req q;

		serve(f, words[i], NULL);
		if (rig_open(&f->g, &p, NULL)) {
			assert_int_equal(f->g.err.code, -EINVAL);
			continue;
		}
		l = store_limits(f->g.s);
		if (!is_pow2(l->physical) || !is_pow2(l->block) || l->max_io < 512 ||
		    l->max_io % l->block || l->max_io > (64u << 20) ||
		    (l->optimal_io && l->optimal_io > l->max_io))
			fail_msg("%s: block %u, physical %u, optimal %u, at most %u", words[i],
				 l->block, l->physical, l->optimal_io, l->max_io);
		assert_int_equal(act(f, &q, STORE_READ, 512, 65536 - 512), 0);
		assert_int_equal(act(f, &q, STORE_WRITE, 512, 65536 - 512), 0);
		rig_close(&f->g);
	}
}

/* ---- answers ---- */

static void an_answer_that_cannot_be_ends_the_connection_and_the_read(void **state)
{
	static const char *const words[] = { "read=close",  "read=magic", "read=cookie",
					     "read=offset", "read=after", "read=before",
					     "read=more",   "read=less",  "read=nothing",
					     "read=hole",   "read=error", "read=extents" };
	struct fixture *f = *state;
	struct req q;

	for (size_t i = 0; i < array_size(words); i++) {
		serve(f, words[i], NULL);
		must_open(f);
		memset(f->back, STALE, 65536);
		if (!act(f, &q, STORE_READ, 4096, 4096))
			fail_msg("%s: is believed", words[i]);
		for (size_t n = 4096; n < 65536; n++)
			assert_int_equal(f->back[n], STALE);
		rig_close(&f->g);
	}
}

static void what_a_server_leaves_out_is_not_what_memory_held_before(void **state)
{
	struct fixture *f = *state;
	struct req q;

	serve(f, "read=twice", NULL);
	must_open(f);
	memset(f->back, STALE, 65536);
	assert_int_equal(act(f, &q, STORE_READ, 4096, 4096), -EAGAIN);
	assert_int_equal(act(f, &q, STORE_READ, 4096, 4096), 0);
	for (size_t n = 0; n < 4096; n++)
		assert_int_not_equal(f->back[n], STALE);
}

static void data_may_come_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct req q;

	serve(f, "read=backwards", NULL);
	must_open(f);
	while (act(f, &q, STORE_READ, 4096, 4096) == -EAGAIN)
		;
	assert_int_equal(q.io.err, 0);
	for (size_t n = 0; n < 4096; n++)
		assert_int_equal(f->back[n], 0x5a);
}

static void an_answer_to_nothing_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	struct req q;

	serve(f, "read=again", NULL);
	must_open(f);
	assert_int_equal(act(f, &q, STORE_READ, 0, 4096), 0);
	while (!store_why_away(f->g.s))
		reactor_turn(f->g.r, 1000000);
	while (store_why_away(f->g.s))
		reactor_turn(f->g.r, 1000000);
	assert_int_equal(act(f, &q, STORE_READ, 0, 4096), 0);
}

static void extents_that_cannot_be_are_not_believed(void **state)
{
	static const char *const words[] = { "extents=other", "extents=nothing", "extents=empty",
					     "extents=zero", "extents=cut" };
	struct fixture *f = *state;
	struct req q;

	for (size_t i = 0; i < array_size(words); i++) {
		serve(f, words[i], NULL);
		must_open(f);
		q.io.extent = (struct store_extent){ 4096, false }; /* of an earlier request */
		if (!act(f, &q, STORE_EXTENTS, 4096, 0))
			fail_msg("%s: is believed", words[i]);
		rig_close(&f->g);
	}
}

static void extents_end_with_the_export(void **state)
{
	struct fixture *f = *state;
	struct req q;

	serve(f, "extents=beyond", NULL);
	must_open(f);
	assert_int_equal(act(f, &q, STORE_EXTENTS, 4096, 0), 0);
	assert_int_equal(q.io.extent.length, MIB(1) - 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_greeting_of_garbage_is_refused),
		TEST(a_servers_text_does_not_reach_the_terminal),
		TEST(a_size_that_cannot_be_is_refused),
		TEST(the_largest_size_is_used_to_its_end),
		TEST(block_sizes_that_cannot_be_do_no_harm),
		TEST(an_answer_that_cannot_be_ends_the_connection_and_the_read),
		TEST(what_a_server_leaves_out_is_not_what_memory_held_before),
		TEST(data_may_come_in_any_order),
		TEST(an_answer_to_nothing_ends_the_connection),
		TEST(extents_that_cannot_be_are_not_believed),
		TEST(extents_end_with_the_export),
	};

	engine = rig_engine(argc, argv);
	script = argc > 2 ? argv[2] : "";
	if (!program_exists("python3")) {
		printf("1..0 # SKIP python3 is not installed\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
