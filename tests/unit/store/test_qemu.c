/* SPDX-License-Identifier: BSD-2-Clause */
/* Images by way of a qemu-nbd of the store's own. Argument: the engine. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "servers.h"
#include "store/nbd/format.h"

#define ROOM MIB(1)
#define SERVER "qemu-nbd"

static const struct engine *engine;

struct fixture {
	struct rig g;
	uint8_t *data, *back;
	char image[150], other[150], opts[300];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint64_t seed = 5;

	rig_init(&f->g, engine, false);
	f->data = rig_memory(ROOM);
	f->back = rig_memory(ROOM);
	for (size_t i = 0; i < ROOM; i++)
		f->data[i] = (uint8_t)(rig_random(&seed) | 1);
	/* commas are special to QEMU */
	snprintf(f->image, sizeof(f->image), "%s/a,b=c", f->g.dir);
	snprintf(f->other, sizeof(f->other), "%s/other", f->g.dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rig_fini(&f->g);
	assert_int_equal(child_called(SERVER), 0);
	free(f->data);
	free(f->back);
	free(f);
	return 0;
}

static void create(const char *path, const char *format, const char *options)
{
	char *argv[] = { "qemu-img",   "create", "-q", "-f", (char *)format,
			 (char *)path, "4M",	 NULL, NULL, NULL };

	if (options) {
		argv[7] = "-o";
		argv[8] = (char *)options;
	}
	assert_int_equal(program_run(argv), 0);
}

static struct store_spec spec_of(struct fixture *f, const char *opts)
{
	return (struct store_spec){
		.type = "qemu", .path = f->image, .opts = opts, .block_size = 512
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

static int act(struct fixture *f, enum store_verb verb, uint64_t off, uint64_t len)
{
	struct req q;

	return rig_do(&f->g, &q, verb, 0, off, len,
		      verb == STORE_READ    ? f->back + off
		      : verb == STORE_WRITE ? f->data + off
					    : NULL);
}

static void holds_what_is_written(struct fixture *f)
{
	memset(f->back, 0, 262144);
	assert_int_equal(act(f, STORE_WRITE, 512, 131072), 0);
	assert_int_equal(act(f, STORE_READ, 0, 262144), 0);
	assert_memory_equal(f->back + 512, f->data + 512, 131072);
}

static void until_away(struct fixture *f, bool away)
{
	while (!store_why_away(f->g.s) == away)
		reactor_turn(f->g.r, NSEC_PER_MSEC);
}

/* ---- formats ---- */

static void an_image_of_each_format_holds_what_is_written(void **state)
{
	static const char *const formats[] = { "qcow2", "qcow", "qed", "vmdk",
					       "vhdx",	"vdi",	"vpc", "parallels" };
	struct fixture *f = *state;

	for (size_t i = 0; i < array_size(formats); i++) {
		create(f->image, formats[i], NULL);
		must_open(f, NULL);
		holds_what_is_written(f);
		rig_close(&f->g);
		unlink(f->image);
	}
}

static void what_the_image_holds_is_what_was_written(void **state)
{
	struct fixture *f = *state;
	char *argv[] = { "qemu-img", "convert", "-q",	  "-f",	    "qcow2",
			 "-O",	     "raw",	f->image, f->other, NULL };
	int fd;

	create(f->image, "qcow2", NULL);
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0, ROOM), 0);
	rig_close(&f->g);
	assert_int_equal(program_run(argv), 0);
	fd = open(f->other, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, f->back, ROOM), (ssize_t)ROOM);
	close(fd);
	assert_memory_equal(f->back, f->data, ROOM);
}

static void an_encrypted_image_is_read_with_its_key(void **state)
{
	struct fixture *f = *state;
	char object[200];
	char *argv[] = { "qemu-img", "create", "-q",
			 "--object", object,   "-f",
			 "luks",     "-o",     "key-secret=k,iter-time=100",
			 f->image,   "4M",     NULL };
	FILE *o = fopen(f->other, "we");
	int status = -1;

	fputs("open sesame", o);
	fclose(o);
	snprintf(object, sizeof(object), "secret,id=k,file=%s", f->other);
	snprintf(f->opts, sizeof(f->opts), "key_file=%s", f->other);
	/* it measures how fast it is, and fails where time is coarse */
	for (unsigned tries = 0; tries < 5 && status; tries++)
		status = program_run(argv);
	assert_int_equal(status, 0);
	refused(f, NULL, -EIO, "key-secret");
	must_open(f, f->opts);
	holds_what_is_written(f);
}

static void a_snapshot_leaves_the_image_as_it_was(void **state)
{
	struct fixture *f = *state;

	create(f->image, "qcow2", NULL);
	must_open(f, "snapshot=yes");
	holds_what_is_written(f);
	rig_close(&f->g);
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_READ, 0, 131072), 0);
	for (unsigned i = 0; i < 131072; i++)
		assert_int_equal(f->back[i], 0);
}

static void discarded_blocks_become_holes(void **state)
{
	struct fixture *f = *state;
	struct req q;

	create(f->image, "qcow2", NULL);
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0, 262144), 0);
	assert_int_equal(rig_do(&f->g, &q, STORE_EXTENTS, 0, 0, 0, NULL), 0);
	assert_true(q.io.extent.mapped && q.io.extent.length == 262144);
	assert_int_equal(act(f, STORE_DISCARD, 0, 131072), 0);
	assert_int_equal(rig_do(&f->g, &q, STORE_EXTENTS, 0, 0, 0, NULL), 0);
	assert_true(!q.io.extent.mapped && q.io.extent.length == 131072);
}

/* ---- what is refused ---- */

static void an_image_that_names_other_files_needs_permission(void **state)
{
	struct fixture *f = *state;

	create(f->other, "raw", NULL);
	snprintf(f->opts, sizeof(f->opts), "backing_file=%s,backing_fmt=raw", f->other);
	create(f->image, "qcow2", f->opts);
	refused(f, NULL, -EPERM, "backing=yes");
	must_open(f, "backing=yes");
	holds_what_is_written(f);
	rig_close(&f->g);
	create(f->image, "qed", f->opts);
	refused(f, NULL, -EPERM, "a backing file");
	unlink(f->image);
	snprintf(f->opts, sizeof(f->opts), "data_file=%s,data_file_raw=on", f->other);
	create(f->image, "qcow2", f->opts);
	refused(f, "format=qcow2", -EPERM, "a data file");
	unlink(f->image);
	create(f->image, "vmdk", "subformat=monolithicFlat");
	refused(f, NULL, -EPERM, "its extents");
}

/* QEMU takes a parent from the second sector of a sparse VMDK, wherever its header says that the descriptor is. */
static void a_parent_is_found_where_qemu_looks_for_it(void **state)
{
	static const char parent[] = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\n"
				     "parentCID=ffffffff\nparentFileNameHint=\"/etc/passwd\"\n";
	static const uint8_t elsewhere[8] = { 100 }; /* sectors */
	struct fixture *f = *state;
	int fd;

	create(f->image, "vmdk", "subformat=monolithicSparse");
	must_open(f, NULL);
	rig_close(&f->g);
	fd = open(f->image, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, parent, sizeof(parent), 512), sizeof(parent));
	refused(f, NULL, -EPERM, "a parent");
	assert_int_equal(pwrite(fd, elsewhere, sizeof(elsewhere), 28), sizeof(elsewhere));
	refused(f, NULL, -EPERM, "a parent");
	assert_int_equal(pwrite(fd, (uint8_t[8]){ 0 }, 8, 28), 8);
	refused(f, NULL, -EPERM, "a parent");
	assert_int_equal(pwrite(fd, "COWD", 4, 0), 4);
	refused(f, NULL, -EPERM, "a parent");
	close(fd);
}

/* The first sector of a fixed VHD is what its users write there. */
static void an_image_that_can_be_two_things_needs_a_word(void **state)
{
	struct fixture *f = *state;
	struct req q;

	create(f->image, "vpc", "subformat=fixed,force_size=on");
	must_open(f, NULL);
	memset(f->data, 0, 512);
	memcpy(f->data, "QFI\xfb\0\0\0\3", 8);
	assert_int_equal(rig_do(&f->g, &q, STORE_WRITE, 0, 0, 512, f->data), 0);
	rig_close(&f->g);
	refused(f, NULL, -EINVAL, "format=");
	must_open(f, "format=vpc");
	assert_int_equal(rig_do(&f->g, &q, STORE_READ, 0, 0, 512, f->back), 0);
	assert_memory_equal(f->back, f->data, 512);
}

static void what_is_no_image_is_refused(void **state)
{
	struct fixture *f = *state;

	refused(f, NULL, -ENOENT, "cannot read image");
	create(f->image, "raw", NULL);
	refused(f, NULL, -EINVAL, "use store type file");
	refused(f, "format=qcow2", -EINVAL, "is no qcow2 image");
	refused(f, "format=raw", -EINVAL, "tgt-store-qemu(7)");
	refused(f, "format=qcow3", -EINVAL, "did you mean 'qcow2'");
	refused(f, "cache=warm", -EINVAL, "option cache");
	refused(f, "backing=maybe", -EINVAL, "write yes or no");
	create(f->image, "qcow2", NULL);
	assert_int_equal(truncate(f->image, 100), 0);
	refused(f, NULL, -EIO, "qemu-nbd cannot serve image");
}

static void an_images_header_is_looked_at_with_care(void **state)
{
	static const struct {
		const char *magic;
		size_t len, at;
	} heads[] = { { "QFI\xfb\0\0\0\3", 8, 0 },
		      { "QFI\xfb\0\0\0\1", 8, 0 },
		      { "QED\0", 4, 0 },
		      { "KDMV", 4, 0 },
		      { "COWD", 4, 0 },
		      { "# Disk DescriptorFile", 21, 0 },
		      { "\x7f\x10\xda\xbe", 4, 64 },
		      { "conectix", 8, 0 },
		      { "vhdxfile", 8, 0 } };
	struct fixture *f = *state;
	struct image_about about;
	uint64_t seed = 6;
	char text[300];

	for (unsigned round = 0; round < 2000; round++) {
		unsigned i = round % array_size(heads);
		size_t room = rig_random(&seed) % 6000, size = room < 100 ? 100 : room;
		int fd = open(f->image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		for (size_t j = 0; j < size; j++)
			f->back[j] = rig_random(&seed) % 3 ? 0 : (uint8_t)rig_random(&seed);
		memcpy(f->back + heads[i].at, heads[i].magic, heads[i].len);
		assert_int_equal(write(fd, f->back, size), (ssize_t)size);
		close(fd);
		assert_int_equal(image_about(f->image, &about, text, sizeof(text)), 0);
		assert_non_null(about.format);
		assert_true(image_has_magic(about.format));
	}
}

static void an_image_in_use_is_refused_in_qemus_words(void **state)
{
	struct fixture *f = *state;
	struct store *first;

	create(f->image, "qcow2", NULL);
	must_open(f, NULL);
	first = f->g.s;
	refused(f, NULL, -EIO, "lock");
	f->g.s = first;
	holds_what_is_written(f);
}

static void a_missing_server_is_named_with_its_package(void **state)
{
	struct fixture *f = *state;
	char *path = strdup(getenv("PATH"));

	create(f->image, "qcow2", NULL);
	setenv("PATH", f->g.dir, 1);
	refused(f, NULL, -ENOENT, "qemu-utils");
	setenv("PATH", path, 1);
	free(path);
}

/* ---- the server ---- */

/* The server is another one than @old, and the store is there. */
static void until_another(struct fixture *f, pid_t old)
{
	pid_t now = old;

	while (!now || now == old || store_why_away(f->g.s)) {
		reactor_turn(f->g.r, NSEC_PER_MSEC);
		now = child_called(SERVER);
	}
}

static void a_killed_server_is_started_again(void **state)
{
	enum { N = 64 };
	struct fixture *f = *state;
	struct req *q = calloc(N, sizeof(*q));
	pid_t old;

	create(f->image, "qcow2", NULL);
	must_open(f, NULL);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N; i++) {
			rig_fill(&q[i], i % 4 ? STORE_WRITE : STORE_READ, 0, i * 8192, 8192,
				 (i % 4 ? f->data : f->back) + i * 8192);
			rig_submit(&f->g, &q[i]);
		}
		reactor_turn(f->g.r, 0);
		old = child_called(SERVER);
		assert_int_equal(kill(old, SIGKILL), 0);
		for (unsigned i = 0; i < N; i++) {
			rig_wait(&f->g, &q[i]);
			assert_true(!q[i].io.err || q[i].io.err == -ENOTCONN ||
				    q[i].io.err == -EAGAIN);
			assert_true(i % 4 || q[i].io.err != -ENOTCONN);
		}
		until_another(f, old);
		holds_what_is_written(f);
		(void)act(f, STORE_FLUSH, 0, 0); /* says what may have been lost */
		store_clear_error(f->g.s);
		assert_int_equal(act(f, STORE_FLUSH, 0, 0), 0);
		assert_int_equal(act(f, STORE_DISCARD, 0, MIB(4)), 0);
	}
	free(q);
}

static void what_a_killed_server_lost_fails_the_next_flush(void **state)
{
	struct fixture *f = *state;

	create(f->image, "qcow2", NULL);
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0, 65536), 0);
	assert_int_equal(kill(child_called(SERVER), SIGKILL), 0);
	until_away(f, true);
	until_away(f, false);
	assert_int_equal(act(f, STORE_FLUSH, 0, 0), -EIO);
}

static void a_server_that_ended_well_lost_nothing(void **state)
{
	struct fixture *f = *state;

	create(f->image, "qcow2", NULL);
	must_open(f, NULL);
	assert_int_equal(act(f, STORE_WRITE, 0, 65536), 0);
	assert_int_equal(kill(child_called(SERVER), SIGTERM), 0);
	until_away(f, true);
	until_away(f, false);
	assert_int_equal(act(f, STORE_FLUSH, 0, 0), 0);
	assert_int_equal(act(f, STORE_READ, 0, 65536), 0);
	assert_memory_equal(f->back, f->data, 65536);
}

static void the_server_gets_no_descriptor_of_ours(void **state)
{
	struct fixture *f = *state;
	char link[300], path[64];
	int ours;

	create(f->image, "qcow2", NULL);
	create(f->other, "raw", NULL);
	ours = open(f->other, O_RDONLY);
	must_open(f, NULL);
	for (int fd = 0; fd < 256; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)child_called(SERVER), fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		assert_string_not_equal(link, f->other);
	}
	close(ours);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(an_image_of_each_format_holds_what_is_written),
		TEST(what_the_image_holds_is_what_was_written),
		TEST(an_encrypted_image_is_read_with_its_key),
		TEST(a_snapshot_leaves_the_image_as_it_was),
		TEST(discarded_blocks_become_holes),
		TEST(an_image_that_names_other_files_needs_permission),
		TEST(a_parent_is_found_where_qemu_looks_for_it),
		TEST(an_image_that_can_be_two_things_needs_a_word),
		TEST(what_is_no_image_is_refused),
		TEST(an_images_header_is_looked_at_with_care),
		TEST(an_image_in_use_is_refused_in_qemus_words),
		TEST(a_missing_server_is_named_with_its_package),
		TEST(a_killed_server_is_started_again),
		TEST(what_a_killed_server_lost_fails_the_next_flush),
		TEST(a_server_that_ended_well_lost_nothing),
		TEST(the_server_gets_no_descriptor_of_ours),
	};

	engine = rig_engine(argc, argv);
	if (!program_exists("qemu-nbd") || !program_exists("qemu-img")) {
		printf("1..0 # SKIP qemu-nbd and qemu-img are not installed\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
