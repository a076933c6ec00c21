/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-vhost-load SOCKET OPTION...: reads over one request ring, as Linux's driver makes them: an indirect table
 * for each, all that completed is taken at an interrupt, what is free goes out again with one kick, interrupts
 * and kicks only where the other side asks. Prints what it measured as JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../vhost/scsi.h"
#include "account.h"
#include "common.h"

#define QD_MAX 256
#define BLOCK 512u

static const char help[] = "Usage: bench-vhost-load SOCKET [OPTION]...\n"
			   "Reads from LUN 1 (--lun N) of a vhost-user-scsi server; prints JSON.\n"
			   "\n"
			   "  --packed         the packed ring (default: split)\n"
			   "  --no-indirect    three descriptors in the ring, no table\n"
			   "  --bs SIZE        of a read (default 4K)\n"
			   "  --qd N           at a time (default 32)\n"
			   "  --seconds N      measure so long (default 1), after\n"
			   "  --warmup MS      (default 300)\n"
			   "  --pid N          of the server, whose CPU is accounted\n";

struct slot {
	struct front_seg seg[3];
	uint64_t table;
	uint8_t *header;
	const uint8_t *response;
};

static struct {
	struct front_opts front;
	bool direct;
	unsigned block, qd, seconds, warmup_ms;
	pid_t pid;
} options = {
	.front = { .features = FRONT_USUAL, .protocol = FRONT_PROTOCOL, .lun = 1, .ring_size = 256 },
	.block = 4096,
	.qd = 32,
	.seconds = 1,
	.warmup_ms = 300
};

static struct front front;
static struct slot slot[QD_MAX], *idle[QD_MAX];
static unsigned nidle;
static uint64_t blocks, done, chance = 88172645463325252ull;

static void read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "packed", 0, NULL, 'p' },  { "no-indirect", 0, NULL, 'd' },
		{ "bs", 1, NULL, 'b' },	     { "qd", 1, NULL, 'q' },
		{ "seconds", 1, NULL, 's' }, { "warmup", 1, NULL, 'w' },
		{ "pid", 1, NULL, 'i' },     { "lun", 1, NULL, 'l' },
		{ "help", 0, NULL, 'h' },    { NULL },
	};
	int ch;

	while ((ch = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (ch == 'p')
			options.front.features |= BIT64(VIRTIO_F_RING_PACKED);
		else if (ch == 'd')
			options.direct = true;
		else if (ch == 'b')
			options.block = (unsigned)size_arg("bs", optarg, BLOCK, 1 << 20);
		else if (ch == 'q')
			options.qd = (unsigned)number_arg("qd", optarg, 1, 64);
		else if (ch == 's')
			options.seconds = (unsigned)number_arg("seconds", optarg, 1, 600);
		else if (ch == 'w')
			options.warmup_ms = (unsigned)number_arg("warmup", optarg, 0, 60000);
		else if (ch == 'i')
			options.pid = (pid_t)number_arg("pid", optarg, 1, 1u << 30);
		else if (ch == 'l')
			options.front.lun = (unsigned)number_arg("lun", optarg, 0, 16383);
		else if (ch == 'h')
			exit(printf("%s", help) < 0);
		else
			exit(END_USAGE);
	}
	if (optind + 1 != argc || argv[optind][0] != '/')
		die(END_USAGE, "the path of a socket is needed: see bench-vhost-load --help");
	options.front.memory = (64ull << 20) + options.qd * (uint64_t)options.block;
}

static void make_slot(struct slot *s)
{
	uint64_t head = front_alloc(&front, 4096, 4096);

	s->seg[0] = (struct front_seg){ head, REQ_SIZE };
	s->seg[1] = (struct front_seg){ head + 1024, RESP_SIZE };
	s->seg[2] = (struct front_seg){ front_alloc(&front, options.block, 4096), options.block };
	s->table = options.direct ? 0 : head + 2048;
	s->header = front_at(&front, head, REQ_SIZE);
	s->response = front_at(&front, head + 1024, RESP_SIZE);
	lun_bytes(s->header, 0, options.front.lun);
	put_le64(s->header + REQ_ID, (uint64_t)(s - slot) + 1);
	s->header[REQ_CDB] = 0x88; /* READ(16) */
	put_le32(s->header + REQ_CDB + 10, htobe32(options.block / BLOCK));
	idle[nidle++] = s;
}

static uint64_t next_block(void)
{
	chance ^= chance << 13; /* xorshift64 */
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return chance % (blocks / (options.block / BLOCK)) * (options.block / BLOCK);
}

static void submit(struct front_ring *ring)
{
	while (nidle) {
		struct slot *s = idle[--nidle];

		put_le64(s->header + REQ_CDB + 2, htobe64(next_block()));
		if (!front_add(ring, s->seg, 1, 2, s->table, s))
			die(END_TROUBLE, "the ring is full");
	}
	if (ring->added)
		front_kick(ring);
}

/* Take what is there; false if it was nothing. */
static bool reap(struct front_ring *ring)
{
	struct slot *s;
	uint32_t len;
	bool any = false;

	while ((s = front_take(ring, &len))) {
		if (s->response[RESP_RESPONSE] != VS_OK || s->response[RESP_STATUS] ||
		    len != RESP_SIZE + options.block)
			die(END_ERRORS, "a read failed: response %u, status %02x, %u bytes",
			    s->response[RESP_RESPONSE], s->response[RESP_STATUS], len);
		idle[nidle++] = s;
		done++;
		any = true;
	}
	return any;
}

static void turn(struct front_ring *ring)
{
	struct pollfd p = { .fd = ring->call, .events = POLLIN };

	if (reap(ring)) {
		submit(ring);
		return;
	}
	if (front_arm(ring))
		return;
	if (poll(&p, 1, 10000) <= 0)
		die(END_TROUBLE, "the server does not answer");
	front_called(ring);
	front_disarm(ring);
}

static void run_until(struct front_ring *ring, uint64_t end)
{
	submit(ring);
	while (now_ns() < end)
		for (unsigned i = 0; i < 16; i++)
			turn(ring);
}

struct sample {
	struct account used;
	uint64_t at, done, kicks, calls;
};

static void take(struct sample *s, const struct front_ring *ring)
{
	account_take_target(&s->used, options.pid);
	s->at = now_ns();
	s->done = done;
	s->kicks = ring->kicks;
	s->calls = ring->calls;
}

static void report(const struct sample *a, const struct sample *b)
{
	double n = (double)(b->done - a->done), ns = (double)(b->at - a->at);
	struct account used;

	account_delta(&used, &a->used, &b->used);
	printf("{\"ring\":\"%s\",\"qd\":%u,\"bs\":%u,\"done\":%.0f,\"seconds\":%.4f,\"iops\":%.1f,"
	       "\"target_cpu_us\":%.4f,\"target_cpu_pct\":%.2f,\"target_wait_pct\":%.2f,"
	       "\"generator_wait_pct\":%.2f,\"others_cpu_pct\":%.2f,\"stolen_pct\":%.2f,"
	       "\"kicks_per_io\":%.4f,\"calls_per_io\":%.4f}\n",
	       front_has(&front, VIRTIO_F_RING_PACKED) ? "packed" : "split", options.qd,
	       options.block, n, ns / 1e9, n * 1e9 / ns, n ? (double)used.target_run / 1e3 / n : 0,
	       (double)used.target_run * 100 / ns, (double)account_target_wait(&used) * 100 / ns,
	       (double)used.own_wait * 100 / ns, (double)used.others_run * 100 / ns,
	       (double)used.stolen * 100 / ns, (double)(b->kicks - a->kicks) / n,
	       (double)(b->calls - a->calls) / n);
}

int main(int argc, char **argv)
{
	static struct sample begin, end;
	struct front_request probe;
	struct front_ring *ring;
	uint32_t block_size;

	read_options(argc, argv);
	live_no_longer_than(options.seconds + 120);
	front_open(&front, argv[optind], &options.front);
	request_room(&front, &probe, 64);
	blocks = disk_size(&probe, &block_size);
	if (block_size != BLOCK || blocks < options.block / BLOCK)
		die(END_TROUBLE, "a disk of %llu blocks of %u bytes is of no use",
		    (unsigned long long)blocks, block_size);
	for (unsigned i = 0; i < options.qd; i++)
		make_slot(&slot[i]);
	ring = front_queue(&front, 0);
	run_until(ring, now_ns() + options.warmup_ms * 1000000ull);
	account_take_rest(&begin.used, options.pid);
	take(&begin, ring);
	run_until(ring, begin.at + options.seconds * NSEC);
	take(&end, ring);
	account_take_rest(&end.used, options.pid);
	report(&begin, &end);
	while (nidle < options.qd)
		if (!reap(ring) && !front_arm(ring)) {
			struct pollfd p = { .fd = ring->call, .events = POLLIN };

			if (poll(&p, 1, 10000) <= 0)
				die(END_TROUBLE, "the server does not answer");
			front_called(ring);
		}
	front_close(&front);
	return 0;
}
