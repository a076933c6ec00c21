/* SPDX-License-Identifier: BSD-2-Clause */
/* The store nbd against nbdkit: what passes through, and what is refused. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "servers.h"

#define ROOM MIB(1)
#define ARGS_MAX 24

static const struct engine *engine;

struct fixture {
	struct rig g;
	uint8_t *data, *back;
	pid_t server;
	char socket[128];
	char opts[256];
};

static int set_up_with(void **state, bool home)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint64_t seed = 4;

	rig_init(&f->g, engine, home);
	f->data = rig_memory(ROOM);
	f->back = rig_memory(ROOM);
	for (size_t i = 0; i < ROOM; i++)
		f->data[i] = (uint8_t)(rig_random(&seed) | 1);
	snprintf(f->socket, sizeof(f->socket), "%s/s", f->g.dir);
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return set_up_with(state, false);
}

static int set_up_two(void **state)
{
	return set_up_with(state, true);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rig_fini(&f->g);
	program_kill(&f->server);
	free(f->data);
	free(f->back);
	free(f);
	return 0;
}

/* nbdkit with these words after "-f -U socket". */
static void serve(struct fixture *f, const char *const *words)
{
	char *argv[ARGS_MAX] = { "nbdkit", "-f", "-U", f->socket };

	for (unsigned i = 0; words[i]; i++)
		argv[4 + i] = (char *)words[i];
	f->server = program_start(argv);
	if (!server_wait(f->server, f->socket, 0))
		fail_msg("nbdkit does not start");
}

#define SERVE(f, ...) serve(f, (const char *const[]){ __VA_ARGS__, NULL })

static struct store_spec spec_of(struct fixture *f, const char *opts)
{
	return (struct store_spec){
		.type = "nbd", .path = f->socket, .opts = opts, .block_size = 512
	};
}

static void must_open(struct fixture *f, const char *opts)
{
	struct store_spec p = spec_of(f, opts);

	if (rig_open(&f->g, &p, NULL))
		fail_msg("%s", f->g.err.text);
}

static void refused(struct fixture *f, const char *opts, int code, const char *text)
{
	struct store_spec p = spec_of(f, opts);

	rig_refused(&f->g, &p, code, text);
}

static int act(struct fixture *f, enum store_verb verb, uint32_t flags, uint64_t off, uint64_t len)
{
	struct req q;

	return rig_do(&f->g, &q, verb, flags, off, len,
		      verb == STORE_READ    ? f->back + off
		      : verb == STORE_WRITE ? f->data + off
					    : NULL);
}

static bool extent_mapped(struct fixture *f, uint64_t off, uint64_t *length)
{
	struct req q;

	assert_int_equal(rig_do(&f->g, &q, STORE_EXTENTS, 0, off, 0, NULL), 0);
	*length = q.io.extent.length;
	return q.io.extent.mapped;
}

/* ---- what passes through ---- */

static void what_is_written_is_read_back(void **state)
{
	struct fixture *f = *state;

	SERVE(f, "memory", "1M");
	must_open(f, NULL);
	assert_int_equal(store_limits(f->g.s)->size, MIB(1));
	assert_int_equal(act(f, STORE_WRITE, 0, 512, 8192), 0);
	assert_int_equal(act(f, STORE_WRITE, STORE_FUA, 65536, 512), 0);
	assert_int_equal(act(f, STORE_FLUSH, 0, 0, 0), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, MIB(1)), 0);
	assert_memory_equal(f->back + 512, f->data + 512, 8192);
	assert_memory_equal(f->back + 65536, f->data + 65536, 512);
	assert_int_equal(f->back[0] | f->back[512 + 8192], 0);
}

static void many_segments_are_used_where_they_are(void **state)
{
	struct fixture *f = *state;
	struct iovec v[50];
	size_t at = 0, total = 200 * 512;
	struct req q;

	SERVE(f, "memory", "1M");
	must_open(f, NULL);
	for (unsigned i = 0; i < 49; i++) {
		v[i] = (struct iovec){ f->data + at, 1 + i * 37 };
		at += v[i].iov_len;
	}
	v[49] = (struct iovec){ f->data + at, total - at };
	rig_fill(&q, STORE_WRITE, 0, 1024, total, f->data);
	q.io.iov = v;
	q.io.iovcnt = 50;
	rig_submit(&f->g, &q);
	rig_wait(&f->g, &q);
	assert_int_equal(q.io.err, 0);
	for (unsigned i = 0; i < 50; i++)
		v[i].iov_base = f->back + ((uint8_t *)v[i].iov_base - f->data);
	rig_fill(&q, STORE_READ, 0, 1024, total, f->back);
	q.io.iov = v;
	q.io.iovcnt = 50;
	rig_submit(&f->g, &q);
	rig_wait(&f->g, &q);
	assert_int_equal(q.io.err, 0);
	assert_memory_equal(f->back, f->data, total);
}

static void more_requests_than_the_server_takes_at_once_all_end(void **state)
{
	enum { N = 300 };
	struct fixture *f = *state;
	struct req *q = calloc(N, sizeof(*q));

	SERVE(f, "memory", "1M");
	must_open(f, "connections=3");
	for (unsigned i = 0; i < N; i++) {
		rig_fill(&q[i], STORE_WRITE, 0, i * 2048, 2048, f->data + i * 2048);
		rig_submit(&f->g, &q[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		rig_wait(&f->g, &q[i]);
		assert_int_equal(q[i].io.err, 0);
	}
	assert_int_equal(act(f, STORE_READ, 0, 0, N * 2048), 0);
	assert_memory_equal(f->back, f->data, N * 2048);
	free(q);
}

static void holes_are_told_from_data(void **state)
{
	struct fixture *f = *state;
	uint64_t length;

	SERVE(f, "memory", "1M");
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0, 65536, 65536), 0);
	assert_false(extent_mapped(f, 0, &length));
	assert_int_equal(length, 65536);
	assert_true(extent_mapped(f, 65536, &length));
	assert_true(length >= 65536 - 32768 && length <= 65536);
}

static void what_is_discarded_or_zeroed_reads_as_zeroes(void **state)
{
	static const enum store_verb verbs[] = { STORE_DISCARD, STORE_ZERO };
	struct fixture *f = *state;

	SERVE(f, "memory", "1M");
	must_open(f, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(act(f, STORE_WRITE, 0, 0, 131072), 0);
		assert_int_equal(act(f, verbs[i], i ? STORE_FUA : 0, 4096, 65536), 0);
		assert_int_equal(act(f, STORE_READ, 0, 0, 131072), 0);
		assert_memory_equal(f->back, f->data, 4096);
		for (unsigned j = 4096; j < 4096 + 65536; j++)
			assert_int_equal(f->back[j], 0);
		assert_memory_equal(f->back + 69632, f->data + 69632, 61440);
	}
}

static void a_server_without_zeroes_extents_and_fua_is_made_good(void **state)
{
	struct fixture *f = *state;
	uint64_t length;

	SERVE(f, "--filter=nozero", "--filter=noextents", "--filter=fua", "memory", "1M");
	must_open(f, NULL);
	assert_false(store_limits(f->g.s)->fua);
	assert_int_equal(act(f, STORE_WRITE, STORE_FUA, 0, 4096), 0);
	assert_int_equal(act(f, STORE_ZERO, 0, 512, 1024), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, 4096), 0);
	assert_int_equal(f->back[512] | f->back[1535], 0);
	assert_int_equal(f->back[1536], f->data[1536]);
	assert_true(extent_mapped(f, MIB(1) - 512, &length));
}

static void the_servers_block_sizes_are_kept(void **state)
{
	struct fixture *f = *state;
	struct store_spec p;

	SERVE(f, "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096",
	      "blocksize-preferred=16384", "blocksize-maximum=65536",
	      "blocksize-error-policy=error");
	refused(f, NULL, -EINVAL, "block size of 4096");
	p = spec_of(f, NULL);
	p.block_size = 4096;
	assert_int_equal(rig_open(&f->g, &p, NULL), 0);
	assert_int_equal(store_limits(f->g.s)->block, 4096);
	assert_int_equal(store_limits(f->g.s)->physical, 16384);
	assert_int_equal(store_limits(f->g.s)->optimal_io, 16384);
	assert_int_equal(store_limits(f->g.s)->max_io, 65536);
	assert_int_equal(act(f, STORE_WRITE, 0, 4096, 786432), 0);
	assert_int_equal(act(f, STORE_READ, 0, 4096, 786432), 0);
	assert_memory_equal(f->back + 4096, f->data + 4096, 786432);
}

/* ---- errors ---- */

static void an_error_names_the_lowest_bad_byte(void **state)
{
	struct fixture *f = *state;
	struct store_spec p = spec_of(f, NULL);
	struct iovec v[8];
	struct req q;

	/* $3 is the length, $4 the offset */
	SERVE(f, "eval", "get_size=echo 1048576",
	      "pread=if [ $4 -ge 8192 ]; then echo EIO bad >&2; exit 1; fi; head -c $3 /dev/zero");
	p.readonly = true;
	assert_int_equal(rig_open(&f->g, &p, NULL), 0);
	for (unsigned i = 0; i < 8; i++)
		v[i] = (struct iovec){ f->back + i * 2048, 2048 };
	rig_fill(&q, STORE_READ, 0, 2048, 16384, f->back);
	q.io.iov = v;
	q.io.iovcnt = 8;
	rig_submit(&f->g, &q);
	rig_wait(&f->g, &q);
	assert_int_equal(q.io.err, -EIO);
	assert_int_equal(q.io.where, 8192);
}

static void a_full_server_is_told_from_a_broken_one(void **state)
{
	struct fixture *f = *state;

	SERVE(f, "eval", "get_size=echo 1048576", "pread=head -c $3 /dev/zero", "can_write=exit 0",
	      "pwrite=cat >/dev/null; echo ENOSPC full >&2; exit 1");
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0, 4096, 512), -ENOSPC);
	assert_int_equal(act(f, STORE_READ, 0, 4096, 512), 0);
}

static void a_read_only_export_is_refused_unless_the_unit_is_read_only(void **state)
{
	struct fixture *f = *state;
	struct store_spec p = spec_of(f, NULL);

	SERVE(f, "-r", "memory", "1M");
	refused(f, NULL, -EROFS, "make the unit read-only");
	p.readonly = true;
	assert_int_equal(rig_open(&f->g, &p, NULL), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, 512), 0);
	assert_int_equal(act(f, STORE_WRITE, 0, 0, 512), -EROFS);
}

static void a_socket_where_nobody_listens_is_named(void **state)
{
	struct fixture *f = *state;

	refused(f, NULL, -ENOTCONN, f->socket);
}

static void an_export_that_the_server_does_not_have_is_refused(void **state)
{
	struct fixture *f = *state;

	SERVE(f, "--filter=exportname", "memory", "1M", "exportname=disk", "exportname-strict=true");
	refused(f, "export=other", -ENOTCONN, "export");
	must_open(f, "export=disk");
}

static void bad_options_are_refused_with_the_remedy(void **state)
{
	static const struct {
		const char *path, *opts, *text;
	} bad[] = {
		{ "nonsense", NULL, "nbd://HOST/EXPORT" },
		{ "http://localhost/", NULL, "nbd://HOST/EXPORT" },
		{ "nbd://localhost/x", "export=y", "into the URI" },
		{ "nbd://localhost/x", "tls=require", "write nbds" },
		{ "nbds://localhost/x", "tls=off", "take one away" },
		{ "/s", "tls_psk_file=/k", "add tls=require" },
		{ "/s", "tls=maybe", "write require or off" },
		{ "/s", "connections=100", "above 16" },
		{ "/s", "timeout=soon", "decimal digits" },
		{ "/s", "settle=100000", "above 86400" },
		{ "/s", "exprot=x", "did you mean 'export'" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < array_size(bad); i++) {
		struct store_spec p = spec_of(f, bad[i].opts);

		p.path = bad[i].path;
		rig_refused(&f->g, &p, -EINVAL, bad[i].text);
	}
}

static void several_connections_are_refused_where_they_may_differ(void **state)
{
	struct fixture *f = *state;

	SERVE(f, "--filter=multi-conn", "memory", "1M", "multi-conn-mode=disable");
	refused(f, "connections=2", -EINVAL, "leave option connections out");
	must_open(f, NULL);
	assert_int_equal(store_limits(f->g.s)->affinity, STORE_AFFINITY_HOME);
}

/* ---- several reactors ---- */

static void each_reactor_has_a_connection_if_the_server_allows(void **state)
{
	struct fixture *f = *state;

	SERVE(f, "memory", "1M");
	must_open(f, NULL);
	assert_int_equal(store_limits(f->g.s)->affinity, STORE_AFFINITY_ANY);
	assert_int_equal(act(f, STORE_WRITE, 0, 0, 65536), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, 65536), 0);
	assert_memory_equal(f->back, f->data, 65536);
}

static void requests_of_other_reactors_reach_the_one_connection(void **state)
{
	struct fixture *f = *state;

	SERVE(f, "memory", "1M");
	must_open(f, "connections=1");
	assert_int_equal(act(f, STORE_WRITE, 0, 0, 65536), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, 65536), 0);
	assert_memory_equal(f->back, f->data, 65536);
}

/* ---- TCP and TLS ---- */

static void serve_tcp(struct fixture *f, unsigned port, const char *const *words)
{
	char text[16], *argv[ARGS_MAX] = { "nbdkit", "-f", "-i", "127.0.0.1", "-p", text };

	snprintf(text, sizeof(text), "%u", port);
	for (unsigned i = 0; words[i]; i++)
		argv[6 + i] = (char *)words[i];
	f->server = program_start(argv);
	if (!server_wait(f->server, NULL, port))
		fail_msg("nbdkit does not start");
}

#define SERVE_TCP(f, port, ...) serve_tcp(f, port, (const char *const[]){ __VA_ARGS__, NULL })

static void a_uri_leads_over_tcp(void **state)
{
	struct fixture *f = *state;
	struct store_spec p = spec_of(f, NULL);
	unsigned port = server_free_port();
	char uri[80];

	SERVE_TCP(f, port, "memory", "1M");
	snprintf(uri, sizeof(uri), "nbd://127.0.0.1:%u/", port);
	p.path = uri;
	assert_int_equal(rig_open(&f->g, &p, NULL), 0);
	assert_int_equal(act(f, STORE_WRITE, 0, 0, 65536), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, 65536), 0);
	assert_memory_equal(f->back, f->data, 65536);
}

static void a_server_that_shares_a_key_is_reached_by_tls(void **state)
{
	struct fixture *f = *state;
	char keys[150], arg[200];
	char *const make[] = { "psktool", "-u", "joe", "-p", keys, NULL };

	if (!program_exists("psktool")) {
		print_message("# psktool is not installed\n");
		skip();
	}
	snprintf(keys, sizeof(keys), "%s/keys", f->g.dir);
	snprintf(arg, sizeof(arg), "--tls-psk=%s", keys);
	assert_int_equal(program_run(make), 0);
	SERVE(f, "--tls=require", arg, "memory", "1M");
	refused(f, NULL, -ENOTCONN, "TLS");
	snprintf(f->opts, sizeof(f->opts), "tls=require;tls_username=joe;tls_psk_file=%s", keys);
	must_open(f, f->opts);
	assert_int_equal(act(f, STORE_WRITE, 0, 0, 262144), 0);
	assert_int_equal(act(f, STORE_READ, 0, 0, 262144), 0);
	assert_memory_equal(f->back, f->data, 262144);
	rig_close(&f->g);
	snprintf(f->opts, sizeof(f->opts), "tls=require;tls_username=jim;tls_psk_file=%s", keys);
	refused(f, f->opts, -ENOTCONN, "TLS");
}

static void text_file(const char *dir, const char *name, const char *text)
{
	char path[200];
	FILE *o;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	o = fopen(path, "we");
	assert_non_null(o);
	fputs(text, o);
	fclose(o);
}

/* An authority called @ca, and a certificate by it for this server. */
static bool certificates(struct fixture *f, const char *ca)
{
	char command[1200];
	char *const argv[] = { "sh", "-c", command, NULL };

	text_file(f->g.dir, "ca.cfg", "cn = \"tests\"\nca\ncert_signing_key\nexpiration_days = 2\n");
	text_file(f->g.dir, "server.cfg",
		  "cn = \"localhost\"\ndns_name = "
		  "\"localhost\"\ntls_www_server\nencryption_key\nsigning_key\n"
		  "expiration_days = 2\n");
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p %s && exec >/dev/null 2>&1 && certtool --generate-privkey "
		 "--key-type=ecdsa --outfile k && "
		 "certtool --generate-self-signed --load-privkey k --template ca.cfg --outfile "
		 "%s/ca-cert.pem && "
		 "certtool --generate-privkey --key-type=ecdsa --outfile %s/server-key.pem && "
		 "certtool --generate-certificate --load-ca-certificate %s/ca-cert.pem "
		 "--load-ca-privkey k "
		 "--load-privkey %s/server-key.pem --template server.cfg --outfile "
		 "%s/server-cert.pem",
		 f->g.dir, ca, ca, ca, ca, ca, ca);
	return program_run(argv) == 0;
}

static void remove_certificates(struct fixture *f)
{
	char command[300];
	char *const argv[] = { "sh", "-c", command, NULL };

	snprintf(command, sizeof(command), "rm -r %s/ours %s/theirs", f->g.dir, f->g.dir);
	assert_int_equal(program_run(argv), 0);
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_spec p = spec_of(f, f->opts);
	unsigned port = server_free_port();
	char arg[200], uri[80];

	if (!program_exists("certtool")) {
		print_message("# certtool is not installed\n");
		skip();
	}
	assert_true(certificates(f, "ours") && certificates(f, "theirs"));
	snprintf(arg, sizeof(arg), "--tls-certificates=%s/ours", f->g.dir);
	SERVE_TCP(f, port, "--tls=require", arg, "memory", "1M");
	snprintf(uri, sizeof(uri), "nbds://localhost:%u/", port);
	p.path = uri;
	snprintf(f->opts, sizeof(f->opts), "tls_certificates=%s/theirs", f->g.dir);
	rig_refused(&f->g, &p, -ENOTCONN, "certificate");
	snprintf(f->opts, sizeof(f->opts), "tls_certificates=%s/ours", f->g.dir);
	assert_int_equal(rig_open(&f->g, &p, NULL), 0);
	assert_int_equal(act(f, STORE_WRITE, 0, 0, 65536), 0);
	rig_close(&f->g);
	remove_certificates(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read_back),
		TEST(many_segments_are_used_where_they_are),
		TEST(more_requests_than_the_server_takes_at_once_all_end),
		TEST(holes_are_told_from_data),
		TEST(what_is_discarded_or_zeroed_reads_as_zeroes),
		TEST(a_server_without_zeroes_extents_and_fua_is_made_good),
		TEST(the_servers_block_sizes_are_kept),
		TEST(an_error_names_the_lowest_bad_byte),
		TEST(a_full_server_is_told_from_a_broken_one),
		TEST(a_read_only_export_is_refused_unless_the_unit_is_read_only),
		TEST(a_socket_where_nobody_listens_is_named),
		TEST(an_export_that_the_server_does_not_have_is_refused),
		TEST(bad_options_are_refused_with_the_remedy),
		TEST(several_connections_are_refused_where_they_may_differ),
		TEST_TWO(each_reactor_has_a_connection_if_the_server_allows),
		TEST_TWO(requests_of_other_reactors_reach_the_one_connection),
		TEST(a_uri_leads_over_tcp),
		TEST(a_server_that_shares_a_key_is_reached_by_tls),
		TEST(a_certificate_of_another_authority_is_refused),
	};

	engine = rig_engine(argc, argv);
	if (!program_exists("nbdkit")) {
		printf("1..0 # SKIP nbdkit is not installed\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
