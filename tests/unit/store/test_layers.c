/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each layer is for; that it does what every store does is the suite's. Argument: the
 * engine. Time is looked at on the simulated host only, where it is exact.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/log.h"
#include "reactor/bufpool.h"
#include "reactor/sim.h"
#include "store/registry.h"

#define MSEC 1000000ull

static const struct engine *engine;
static unsigned char *data, *back;

static int set_up(void **state, bool two)
{
	uint64_t seed = 1;

	*state = malloc(sizeof(struct rig));
	rig_init(*state, engine, two);
	data = rig_memory(MIB(1));
	back = rig_memory(MIB(1));
	for (size_t i = 0; i < MIB(1); i++)
		data[i] = (unsigned char)rig_random(&seed) | 1;
	return 0;
}

static int one(void **state)
{
	return set_up(state, false);
}

static int two(void **state)
{
	return set_up(state, true);
}

static int tear_down(void **state)
{
	rig_fini(*state);
	free(*state);
	free(data);
	free(back);
	return 0;
}

static void open_stack(struct rig *g, const char *type)
{
	struct store_spec p = { .type = type, .opts = "size=4M", .block_size = 512 };

	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
}

static void open_over(struct rig *g, const char *layers, const char *path)
{
	char type[300];
	struct store_spec p = { .type = type, .path = path, .block_size = 512 };

	snprintf(type, sizeof(type), "%s+file", layers);
	if (rig_open(g, &p, NULL))
		fail_msg("%s", g->err.text);
}

static int do_io(struct rig *g, enum store_verb verb, uint64_t off, uint64_t len, void *p)
{
	struct req q;

	return rig_do(g, &q, verb, 0, off, len, p);
}

static void refused(struct rig *g, const char *type, const char *text)
{
	rig_refused(g, &(struct store_spec){ .type = type, .opts = "size=1M" }, -EINVAL, text);
}

static void touch(const char *path)
{
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void what_no_layer_can_do_is_refused(void **state)
{
	struct rig *g = *state;

	refused(g, "limit+mem", "give it iops=");
	refused(g, "limit:iops=5,burst=99999999+mem", "at most 60000");
	refused(g, "limit:iosp=5+mem", "did you mean 'iops'?");
	refused(g, "error:kind=eioo+mem", "did you mean eio?");
	refused(g, "error:verbs=read/wirte+mem", "did you mean write?");
	refused(g, "error:from=100+mem", "not a multiple of the block size");
	refused(g, "error:from=8K,to=4K+mem", "make to= larger");
	refused(g, "error:rate=0+mem", "one in how many");
	refused(g, "error:trigger=here+mem", "begin it with /");
	refused(g, "volatile:memory=1+mem", "from 64K to 1G");
	refused(g, "delay:read_us=5000000000+mem", "use less");
	refused(g, "readonly:x=1+mem", "it takes none");
}

/* ---- limit, delay: on the simulated clock ---- */

enum { CROWD = 32 };

static struct req *crowd(struct rig *g, unsigned n, uint64_t len)
{
	struct req *q = rig_memory(CROWD * sizeof(*q));

	for (unsigned i = 0; i < n; i++) {
		rig_fill(&q[i], STORE_READ, 0, 0, len, back);
		rig_submit(g, &q[i]);
	}
	return q;
}

static unsigned done_of(const struct req *q, unsigned n)
{
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++)
		done += q[i].done;
	return done;
}

/* A step now and then takes a little of the simulated time. */
static void check_time(uint64_t since, uint64_t ms)
{
	assert_in_range((sim_now() - since) / MSEC, ms, ms + 50);
}

static void a_burst_goes_at_once_and_the_rest_at_its_rate(void **state)
{
	struct rig *g = *state;
	struct req *q;
	uint64_t t;

	open_stack(g, "limit:iops=10,burst=1000+null");
	t = sim_now();
	q = crowd(g, 21, 512);
	rig_wait(g, &q[10]);
	check_time(t, 0);
	rig_wait(g, &q[15]);
	check_time(t, 500);
	assert_int_equal(done_of(q, 21), 16);
	rig_wait(g, &q[20]);
	check_time(t, 1000);
	free(q);
}

static void bytes_go_at_their_rate(void **state)
{
	struct rig *g = *state;
	struct req *q;
	uint64_t t;

	open_stack(g, "limit:bandwidth=1M,burst=0+null");
	t = sim_now();
	q = crowd(g, 5, KIB(256));
	rig_wait(g, &q[0]); /* pays afterwards */
	check_time(t, 0);
	rig_wait(g, &q[1]);
	check_time(t, 250);
	rig_wait(g, &q[4]);
	check_time(t, 1000);
	free(q);
}

/* A crowd on the other reactor. */
static struct far {
	struct msg msg;
	struct store *s;
	struct req q[5];
	unsigned ended, done;
} * far;

static void far_done(struct store_io *io)
{
	far->done = ++far->ended == array_size(far->q);
}

static void far_start(struct msg *m)
{
	for (unsigned i = 0; i < array_size(far->q); i++) {
		rig_fill(&far->q[i], STORE_READ, 0, 0, 512, back);
		far->q[i].io.done = far_done;
		store_submit(far->s, &far->q[i].io);
	}
}

static void the_rate_is_for_all_reactors_together(void **state)
{
	struct rig *g = *state;
	struct req *q;
	uint64_t t;

	open_stack(g, "limit:iops=10,burst=0+null");
	far = rig_memory(sizeof(*far));
	far->s = g->s;
	t = sim_now();
	rig_enter(g);
	reactor_post(g->home, &far->msg, far_start);
	q = crowd(g, 5, 512);
	rig_wait(g, &q[4]);
	rig_until(g, &far->done);
	check_time(t, 900);
	free(far);
	free(q);
}

static void who_is_cancelled_waits_no_longer(void **state)
{
	struct rig *g = *state;
	struct req *q;
	uint64_t t;

	open_stack(g, "limit:iops=1,burst=0+null");
	t = sim_now();
	q = crowd(g, 6, 512);
	rig_wait(g, &q[0]);
	rig_enter(g);
	store_cancel(&q[3].io);
	store_cancel(&q[5].io);
	store_cancel(&q[3].io);
	rig_wait(g, &q[3]);
	rig_wait(g, &q[5]);
	check_time(t, 0);
	assert_int_equal(q[3].io.err, -ECANCELED);
	assert_int_equal(q[5].io.err, -ECANCELED);
	assert_int_equal(done_of(q, 6), 3);
	rig_wait(g, &q[4]);
	assert_int_equal(q[4].io.err, 0);
	check_time(t, 4000);
	free(q);
}

static void closing_waits_for_those_who_wait(void **state)
{
	struct rig *g = *state;
	uint64_t t;
	struct req *q;

	open_stack(g, "limit:iops=10,burst=0+null");
	t = sim_now();
	q = crowd(g, 6, 512);
	rig_wait(g, &q[0]);
	rig_close(g);
	assert_int_equal(done_of(q, 6), 6);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(q[i].io.err, 0);
	check_time(t, 500);
	free(q);
}

static void each_kind_of_request_has_its_delay(void **state)
{
	struct rig *g = *state;
	uint64_t t;

	open_stack(g, "delay:delay_us=1000,read_us=200000,flush_us=3000000+mem");
	t = sim_now();
	assert_int_equal(do_io(g, STORE_READ, 0, 512, back), 0);
	check_time(t, 200);
	t = sim_now();
	assert_int_equal(do_io(g, STORE_WRITE, 0, 512, data), 0);
	check_time(t, 1);
	t = sim_now();
	assert_int_equal(do_io(g, STORE_FLUSH, 0, 0, NULL), 0);
	check_time(t, 3000);
}

/* ---- error ---- */

static void the_range_fails_and_what_is_before_it_is_good(void **state)
{
	struct rig *g = *state;
	struct req q;

	open_stack(g, "error:from=4K,to=8K,verbs=read+mem");
	assert_int_equal(do_io(g, STORE_WRITE, 0, KIB(16), data), 0);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 0, KIB(16), back), -EIO);
	assert_int_equal(q.io.where, 4096);
	assert_memory_equal(data, back, 4096);
	assert_int_equal(rig_do(g, &q, STORE_READ, 0, 6144, 512, back), -EIO);
	assert_int_equal(q.io.where, 6144);
	assert_int_equal(do_io(g, STORE_READ, 0, 4096, back), 0);
	assert_int_equal(do_io(g, STORE_READ, 8192, 4096, back), 0);
	assert_memory_equal(data + 8192, back, 4096);
}

static void what_was_lent_goes_back_when_it_fails(void **state)
{
	struct rig *g = *state;
	struct req q;

	open_stack(g, "error:from=4K,to=8K+null");
	rig_fill(&q, STORE_READ, STORE_MAY_LEND, 0, KIB(16), back);
	rig_submit(g, &q);
	rig_wait(g, &q);
	assert_int_equal(q.io.err, -EIO);
	assert_null(q.io.lent);
}

static void so_many_fail_after_so_many(void **state)
{
	struct rig *g = *state;

	open_stack(g, "error:after=3,count=2,kind=enospc,verbs=write+mem");
	for (int i = 0; i < 8; i++) {
		assert_int_equal(do_io(g, STORE_WRITE, 0, 512, data),
				 i == 3 || i == 4 ? -ENOSPC : 0);
		assert_int_equal(do_io(g, STORE_READ, 0, 512, back), 0);
	}
}

static uint64_t pattern(struct rig *g, const char *type)
{
	uint64_t bits = 0;

	open_stack(g, type);
	for (int i = 0; i < 64; i++)
		bits |= (uint64_t)(do_io(g, STORE_READ, 0, 512, back) != 0) << i;
	rig_close(g);
	return bits;
}

static void one_in_so_many_fails_the_same_ones_every_time(void **state)
{
	struct rig *g = *state;
	uint64_t first = pattern(g, "error:rate=4,seed=7+mem");

	assert_true(first == pattern(g, "error:rate=4,seed=7+mem"));
	assert_true(first != pattern(g, "error:rate=4,seed=8+mem"));
	assert_in_range(__builtin_popcountll(first), 6, 28);
}

static void a_request_fails_in_its_middle(void **state)
{
	struct rig *g = *state;
	struct req q;

	open_stack(g, "error:partial=2K,verbs=write,count=1+mem");
	assert_int_equal(rig_do(g, &q, STORE_WRITE, 0, 4096, 4096, data), -EIO);
	assert_int_equal(q.io.where, 4096 + 2048);
	assert_int_equal(do_io(g, STORE_READ, 4096, 2048, back), 0);
	assert_memory_equal(data, back, 2048);
}

static void a_flush_fails_if_it_is_told_to(void **state)
{
	struct rig *g = *state;

	open_stack(g, "error:verbs=flush+mem");
	assert_int_equal(do_io(g, STORE_WRITE, 0, 512, data), 0);
	assert_int_equal(do_io(g, STORE_FLUSH, 0, 0, NULL), -EIO);
	assert_int_equal(do_io(g, STORE_WRITE, 0, 512, data), -EIO);
}

static void a_file_switches_errors_on_and_off(void **state)
{
	struct rig *g = *state;
	char type[300], path[128];

	snprintf(path, sizeof(path), "%s/trigger", g->dir);
	snprintf(type, sizeof(type), "error:trigger=%s+mem", path);
	open_stack(g, type);
	assert_int_equal(do_io(g, STORE_READ, 0, 512, back), 0);
	touch(path);
	while (do_io(g, STORE_READ, 0, 512, back) != -EIO)
		;
	unlink(path);
	while (do_io(g, STORE_READ, 0, 512, back) != 0)
		;
}

static void what_hangs_ends_when_it_is_cancelled(void **state)
{
	struct rig *g = *state;
	struct req *q;

	open_stack(g, "error:kind=hang,count=2+mem");
	q = crowd(g, 3, 512);
	rig_wait(g, &q[2]); /* two hang, the third does not */
	assert_int_equal(done_of(q, 3), 1);
	rig_enter(g);
	store_cancel(&q[0].io);
	store_cancel(&q[1].io);
	rig_wait(g, &q[0]);
	rig_wait(g, &q[1]);
	assert_int_equal(q[0].io.err, -ECANCELED);
	assert_int_equal(q[1].io.err, -ECANCELED);
	free(q);
}

static void what_hangs_goes_on_when_the_trigger_is_gone(void **state)
{
	struct rig *g = *state;
	char type[300], path[128];
	struct req *q;

	snprintf(path, sizeof(path), "%s/trigger", g->dir);
	snprintf(type, sizeof(type), "error:kind=hang,count=2,trigger=%s+mem", path);
	touch(path);
	open_stack(g, type);
	q = crowd(g, 3, 512);
	rig_wait(g, &q[2]);
	assert_int_equal(done_of(q, 3), 1);
	unlink(path);
	rig_wait(g, &q[0]);
	rig_wait(g, &q[1]);
	assert_int_equal(q[0].io.err, 0);
	assert_int_equal(q[1].io.err, 0);
	free(q);
}

/* ---- volatile ---- */

/* What is in the file itself. */
static void peek(const char *path, uint64_t off, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, back, len, (off_t)off), len);
	close(fd);
}

static void what_is_written_is_below_after_a_flush_only(void **state)
{
	struct rig *g = *state;
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_file(g, "disk", MIB(4)));
	open_over(g, "volatile", path);
	assert_int_equal(do_io(g, STORE_WRITE, 4096, KIB(64), data), 0);
	peek(path, 4096, 512);
	assert_int_equal(back[0], 0);
	/* reads find it, where only some of it is there too */
	assert_int_equal(do_io(g, STORE_READ, 0, KIB(128), back), 0);
	assert_memory_equal(back + 4096, data, KIB(64));
	assert_int_equal(back[0] | back[KIB(64) + 4096], 0);
	assert_int_equal(do_io(g, STORE_FLUSH, 0, 0, NULL), 0);
	peek(path, 4096, KIB(64));
	assert_memory_equal(back, data, KIB(64));
}

static void what_is_not_flushed_is_lost_with_the_power(void **state)
{
	struct rig *g = *state;
	struct req q;
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_file(g, "disk", MIB(4)));
	open_over(g, "volatile:cut_after=6", path);
	assert_int_equal(do_io(g, STORE_WRITE, 0, 4096, data), 0);
	assert_int_equal(do_io(g, STORE_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(do_io(g, STORE_WRITE, 0, 512, data + 512), 0);
	assert_int_equal(do_io(g, STORE_WRITE, 8192, 4096, data), 0);
	/* with the flush that makes it stable it is two requests to the layer, and flushes all */
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 16384, 512, data), 0);
	assert_int_equal(do_io(g, STORE_WRITE, 32768, 512, data), -ENODEV);
	assert_int_equal(do_io(g, STORE_READ, 0, 512, back), -ENODEV);
	assert_int_equal(do_io(g, STORE_FLUSH, 0, 0, NULL), -ENODEV);
	rig_close(g);
	open_over(g, "stats", path);
	assert_int_equal(do_io(g, STORE_READ, 0, KIB(64), back), 0);
	assert_memory_equal(back, data + 512, 512);
	assert_memory_equal(back + 8192, data, 4096);
	assert_memory_equal(back + 16384, data, 512);
	assert_int_equal(back[32768], 0);
}

static void closing_without_a_flush_is_a_power_cut(void **state)
{
	struct rig *g = *state;
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_file(g, "disk", MIB(4)));
	open_over(g, "volatile", path);
	assert_int_equal(do_io(g, STORE_WRITE, 0, 4096, data), 0);
	rig_close(g);
	peek(path, 0, 512);
	assert_int_equal(back[0], 0);
}

static void a_file_cuts_the_power_until_it_goes(void **state)
{
	struct rig *g = *state;
	char path[256], trigger[128], layer[256];
	struct store_spec p = { .type = layer, .path = path, .block_size = 512 };
	int err;

	snprintf(path, sizeof(path), "%s", rig_file(g, "disk", MIB(4)));
	snprintf(trigger, sizeof(trigger), "%s/trigger", g->dir);
	snprintf(layer, sizeof(layer), "volatile:trigger=%s+file", trigger);
	assert_int_equal(rig_open(g, &p, NULL), 0);
	assert_int_equal(do_io(g, STORE_WRITE, 0, 4096, data), 0);
	touch(trigger);
	do {
		err = do_io(g, STORE_READ, 0, 512, back);
	} while (!err);
	assert_int_equal(err, -ENODEV);
	rig_close(g);
	rig_refused(g, &p, -ENOTCONN, "has no power as long as");
	unlink(trigger);
	assert_int_equal(rig_open(g, &p, NULL), 0);
	assert_int_equal(do_io(g, STORE_READ, 0, 512, back), 0);
	assert_int_equal(back[0], 0);
}

static void the_oldest_goes_below_when_the_memory_is_full(void **state)
{
	struct rig *g = *state;
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_file(g, "disk", MIB(4)));
	open_over(g, "volatile:memory=64K", path);
	assert_int_equal(store_limits(g->s)->max_io, KIB(32));
	assert_int_equal(do_io(g, STORE_WRITE, 0, KIB(256), data), 0);
	peek(path, 0, KIB(32));
	assert_memory_equal(back, data, KIB(32));
	peek(path, KIB(255), 512);
	assert_int_equal(back[0], 0);
	assert_int_equal(do_io(g, STORE_READ, 0, KIB(256), back), 0);
	assert_memory_equal(back, data, KIB(256));
}

static void what_was_not_flushed_yet_is_no_hole(void **state)
{
	struct rig *g = *state;
	struct req q;

	open_stack(g, "volatile+mem");
	assert_int_equal(do_io(g, STORE_WRITE, KIB(64), 1024, data), 0);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, 0, 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, KIB(64));
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, KIB(64) + 512, 0, NULL), 0);
	assert_true(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, 512);
}

/* A look at each block of a hole would take minutes. */
static void a_hole_of_many_terabytes_is_seen_at_once(void **state)
{
	struct store_spec p = { .type = "volatile+null", .opts = "size=32T", .block_size = 512 };
	struct rig *g = *state;
	struct req q;

	assert_int_equal(rig_open(g, &p, NULL), 0);
	assert_int_equal(do_io(g, STORE_WRITE, 512, 512, data), 0);
	assert_int_equal(do_io(g, STORE_WRITE, 31ull << 40, 1024, data), 0);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, 1024, 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, (31ull << 40) - 1024);
	assert_int_equal(rig_do(g, &q, STORE_EXTENTS, 0, (31ull << 40) + 1024, 0, NULL), 0);
	assert_false(q.io.extent.mapped);
	assert_int_equal(q.io.extent.length, (1ull << 40) - 1024);
}

static void a_cache_too_small_for_two_blocks_is_refused(void **state)
{
	rig_refused(*state,
		    &(struct store_spec){ .type = "volatile:memory=64K+mem",
					  .opts = "size=1M",
					  .block_size = 65536 },
		    -EINVAL, "no room for two blocks");
}

static void what_a_cut_file_has_no_room_for_does_not_spoil_a_flush(void **state)
{
	struct rig *g = *state;
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_file(g, "disk", MIB(4)));
	open_over(g, "volatile", path);
	assert_int_equal(do_io(g, STORE_WRITE, MIB(1) - 4096, 8192, data), 0);
	assert_int_equal(do_io(g, STORE_WRITE, MIB(3), 4096, data), 0);
	assert_int_equal(rig_size(g, MIB(1)), 0);
	assert_int_equal(do_io(g, STORE_FLUSH, 0, 0, NULL), 0);
	peek(path, MIB(1) - 4096, 4096);
	assert_memory_equal(back, data, 4096);
}

static void the_power_goes_among_many_requests(void **state)
{
	enum { N = 64 };
	struct rig *g = *state;
	struct req *q = rig_memory(N * sizeof(*q));
	unsigned gone = 0;

	open_stack(g, "volatile:memory=64K,cut_after=40+delay:delay_us=100+mem");
	for (unsigned i = 0; i < N; i++) {
		rig_fill(&q[i],
			 i % 16 == 15 ? STORE_FLUSH
			 : i % 2      ? STORE_READ
				      : STORE_WRITE,
			 0, i * 8192ull, i % 16 == 15 ? 0 : 8192, i % 2 ? back : data);
		rig_submit(g, &q[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		rig_wait(g, &q[i]);
		if (q[i].io.err && q[i].io.err != -EIO) /* that after a flush that failed so */
			assert_int_equal(q[i].io.err, -ENODEV);
		gone += q[i].io.err != 0;
	}
	assert_true(gone >= N - 40);
	free(q);
}

/* ---- stats, readonly, an example ---- */

struct seen {
	uint64_t reads, read_bytes, writes, errors, flushes, flush_bytes;
};

static void see(void *arg, const char *key, uint64_t value)
{
	struct seen *s = arg;

	if (!strcmp(key, "read_requests"))
		s->reads = value;
	if (!strcmp(key, "read_bytes"))
		s->read_bytes = value;
	if (!strcmp(key, "write_requests"))
		s->writes = value;
	if (!strcmp(key, "write_errors"))
		s->errors = value;
	if (!strcmp(key, "flush_requests"))
		s->flushes = value;
	if (!strcmp(key, "flush_bytes"))
		s->flush_bytes = value;
}

static void requests_and_errors_are_counted(void **state)
{
	struct rig *g = *state;
	struct seen s = { 0 };

	open_stack(g, "stats+error:verbs=write,after=2+mem");
	for (int i = 0; i < 5; i++) {
		do_io(g, STORE_READ, 0, 4096, back);
		do_io(g, STORE_WRITE, 0, 512, data);
	}
	store_find("stats")->describe(g->s, see, &s);
	assert_int_equal(s.reads, 5);
	assert_int_equal(s.read_bytes, 5 * 4096);
	assert_int_equal(s.writes, 5);
	assert_int_equal(s.errors, 3);
}

static void the_flush_after_a_write_has_no_bytes(void **state)
{
	struct rig *g = *state;
	struct seen s = { 0 };
	struct req q;

	open_stack(g, "stats+volatile+mem");
	assert_int_equal(rig_do(g, &q, STORE_WRITE, STORE_FUA, 0, 4096, data), 0);
	store_describe(g->s, see, &s);
	assert_int_equal(s.writes, 1);
	assert_int_equal(s.flushes, 1);
	assert_int_equal(s.flush_bytes, 0);
}

static void the_example_of_a_plugin_says_each_blocks_number(void **state)
{
	struct rig *g = *state;

	open_stack(g, "lines");
	assert_int_equal(do_io(g, STORE_READ, 5 * 512, 1024, back), 0);
	assert_memory_equal(back, "block 5 ", 8);
	assert_memory_equal(back + 512 + 64, "block 6 ", 8);
	assert_int_equal(back[63], '\n');
	rig_close(g);
	rig_refused(g, &(struct store_spec){ .type = "lines", .opts = "size=2P" }, -EINVAL,
		    "above 1P");
}

#define T(name) cmocka_unit_test_setup_teardown(name, one, tear_down)

static const struct CMUnitTest everywhere[] = {
	T(what_no_layer_can_do_is_refused),
	T(the_range_fails_and_what_is_before_it_is_good),
	T(what_was_lent_goes_back_when_it_fails),
	T(so_many_fail_after_so_many),
	T(one_in_so_many_fails_the_same_ones_every_time),
	T(a_request_fails_in_its_middle),
	T(a_flush_fails_if_it_is_told_to),
	T(what_hangs_ends_when_it_is_cancelled),
	T(what_was_not_flushed_yet_is_no_hole),
	T(the_power_goes_among_many_requests),
	T(a_hole_of_many_terabytes_is_seen_at_once),
	T(a_cache_too_small_for_two_blocks_is_refused),
	T(requests_and_errors_are_counted),
	T(the_flush_after_a_write_has_no_bytes),
	T(the_example_of_a_plugin_says_each_blocks_number),
};

static const struct CMUnitTest on_real[] = {
	T(a_file_switches_errors_on_and_off),
	T(what_hangs_goes_on_when_the_trigger_is_gone),
	T(what_is_written_is_below_after_a_flush_only),
	T(what_is_not_flushed_is_lost_with_the_power),
	T(closing_without_a_flush_is_a_power_cut),
	T(a_file_cuts_the_power_until_it_goes),
	T(the_oldest_goes_below_when_the_memory_is_full),
	T(what_a_cut_file_has_no_room_for_does_not_spoil_a_flush),
};

static const struct CMUnitTest on_sim[] = {
	T(a_burst_goes_at_once_and_the_rest_at_its_rate),
	T(bytes_go_at_their_rate),
	T(who_is_cancelled_waits_no_longer),
	T(closing_waits_for_those_who_wait),
	T(each_kind_of_request_has_its_delay),
	cmocka_unit_test_setup_teardown(the_rate_is_for_all_reactors_together, two, tear_down),
};

int main(int argc, char **argv)
{
	struct CMUnitTest tests[64];
	unsigned n = array_size(everywhere);
	bool sim;
	int rc;

	engine = rig_engine(argc, argv);
	sim = engine == &engine_sim;
	log_set_level(LOG_LEVEL_ERR);
	memcpy(tests, everywhere, sizeof(everywhere));
	memcpy(tests + n, sim ? on_sim : on_real, sim ? sizeof(on_sim) : sizeof(on_real));
	n += sim ? array_size(on_sim) : array_size(on_real);
	rc = _cmocka_run_group_tests("layers", tests, n, NULL, NULL);
	offload_shutdown();
	return rc;
}
