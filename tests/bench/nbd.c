/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-nbd SOCKET OPTION...: what an NBD server does for a client with so many
 * requests under way over one connection, as tgtd has one for a reactor. Prints
 * requests per second.
 */
#include <errno.h>
#include <getopt.h>
#include <libnbd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define QD_MAX 256
#define BLOCK_MAX (32u << 20)
#define POLL_MS 10000

static const char help[] =
	"Usage: bench-nbd SOCKET [OPTION]...\n"
	"Requests per second of an NBD server on a Unix socket.\n"
	"\n"
	"  --rw read|write  (default read)\n"
	"  --bs SIZE        of a request (default 4K)\n"
	"  --seq            one block after the other (default: random)\n"
	"  --qd N           requests at a time (default 32)\n"
	"  --seconds N      measure so long (default 1), after\n"
	"  --warmup MS      (default 300)\n"
	"  --fill           go through the export once, in sequence, and print nothing\n";

struct slot {
	struct client *c;
	struct slot *next; /* in c->idle */
	uint8_t *data;
};

struct client {
	struct nbd_handle *h;
	uint64_t blocks, next_block, left; /* left: of a fill */
	uint64_t done;
	uint64_t random;
	struct slot slots[QD_MAX];
	struct slot *idle; /* not under way; a callback must not use the handle, so it puts them here */
};

static struct {
	uint64_t block;
	unsigned qd, seconds, warmup_ms;
	bool write, seq, fill;
} options = { .block = 4096, .qd = 32, .seconds = 1, .warmup_ms = 300 };

static void read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "rw", required_argument, NULL, 'r' },
		{ "bs", required_argument, NULL, 'b' },
		{ "seq", no_argument, NULL, 's' },
		{ "qd", required_argument, NULL, 'q' },
		{ "seconds", required_argument, NULL, 't' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "fill", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL },
	};
	int ch;

	while ((ch = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (ch == 'r' && strcmp(optarg, "read") && strcmp(optarg, "write"))
			die(END_USAGE, "--rw %s: read or write is needed", optarg);
		else if (ch == 'r')
			options.write = optarg[0] == 'w';
		else if (ch == 'b')
			options.block = size_arg("bs", optarg, 512, BLOCK_MAX);
		else if (ch == 's')
			options.seq = true;
		else if (ch == 'q')
			options.qd = (unsigned)number_arg("qd", optarg, 1, QD_MAX);
		else if (ch == 't')
			options.seconds = (unsigned)number_arg("seconds", optarg, 1, 600);
		else if (ch == 'w')
			options.warmup_ms = (unsigned)number_arg("warmup", optarg, 0, 60000);
		else if (ch == 'f')
			options.fill = options.seq = true;
		else if (ch == 'h')
			exit(printf("%s", help) < 0);
		else
			exit(END_USAGE);
	}
	if (optind + 1 != argc)
		die(END_USAGE, "the path of a socket is needed, and nothing else");
	if (argv[optind][0] != '/')
		die(END_USAGE, "%s: the path of a socket is needed", argv[optind]);
}

static _Noreturn void trouble(void)
{
	die(END_TROUBLE, "%s", nbd_get_error());
}

static void connect_to(struct client *c, const char *path)
{
	int64_t size;

	c->h = nbd_create();
	if (!c->h || nbd_connect_unix(c->h, path))
		trouble();
	/* buffers are filled by the server; libnbd would clear them before each read */
	nbd_set_pread_initialize(c->h, false);
	size = nbd_get_size(c->h);
	if (size < (int64_t)options.block)
		die(END_TROUBLE, "%s: the export is smaller than a block", path);
	c->blocks = (uint64_t)size / options.block;
	c->left = options.fill ? c->blocks : UINT64_MAX;
	c->random = 88172645463325252ull;
	for (unsigned i = 0; i < options.qd; i++) {
		struct slot *s = &c->slots[i];

		s->c = c;
		s->data = zalloc(options.block);
		memset(s->data, 0x5a, options.block); /* zeroes are not stored by every server */
		s->next = c->idle;
		c->idle = s;
	}
}

static int done(void *user, int *error)
{
	struct slot *s = user;

	if (*error)
		die(END_ERRORS, "a request failed: %s", strerror(*error));
	s->c->done++;
	s->next = s->c->idle;
	s->c->idle = s;
	return 1; /* libnbd forgets the request */
}

static uint64_t next_offset(struct client *c)
{
	uint64_t x = c->random;

	if (options.seq)
		return c->next_block++ % c->blocks * options.block;
	x ^= x << 13; /* xorshift64 */
	x ^= x >> 7;
	x ^= x << 17;
	c->random = x;
	return x % c->blocks * options.block;
}

static void submit(struct client *c)
{
	while (c->idle && c->left) {
		struct slot *s = c->idle;
		nbd_completion_callback then = { .callback = done, .user_data = s };
		uint64_t at = next_offset(c);
		int64_t cookie;

		c->idle = s->next;
		c->left--;
		cookie = options.write ? nbd_aio_pwrite(c->h, s->data, options.block, at, then, 0)
				       : nbd_aio_pread(c->h, s->data, options.block, at, then, 0);
		if (cookie < 0)
			trouble();
	}
}

/*
 * Wait, and take what is there. One step at a time, as nbdcopy does: a handle that
 * looks for an answer that has not come keeps requests back until there is one.
 */
static void turn(struct client *c)
{
	unsigned wants = nbd_aio_get_direction(c->h);
	struct pollfd p = { .fd = nbd_aio_get_fd(c->h) };
	int err = 0;

	p.events = (short)((wants & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
			   (wants & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
	if (poll(&p, 1, POLL_MS) <= 0)
		die(END_TROUBLE, "the server does not answer");
	if (p.revents & (POLLIN | POLLHUP | POLLERR) && wants & LIBNBD_AIO_DIRECTION_READ)
		err = nbd_aio_notify_read(c->h);
	else if (p.revents & POLLOUT)
		err = nbd_aio_notify_write(c->h);
	if (err)
		trouble();
	if (nbd_aio_is_dead(c->h) || nbd_aio_is_closed(c->h))
		die(END_TROUBLE, "the server has gone");
}

static void run_until(struct client *c, uint64_t end)
{
	while (c->left && now_ns() < end) {
		submit(c);
		turn(c);
	}
}

/* A server may take it ill if its client goes while it has requests. */
static void finish(struct client *c)
{
	c->left = 0;
	while (nbd_aio_in_flight(c->h) > 0)
		turn(c);
	nbd_shutdown(c->h, 0);
	nbd_close(c->h);
}

int main(int argc, char **argv)
{
	static struct client client;
	uint64_t begun, before;
	double rate;

	read_options(argc, argv);
	live_no_longer_than(options.seconds + 120);
	connect_to(&client, argv[optind]);
	if (options.fill) {
		run_until(&client, UINT64_MAX);
		finish(&client);
		return 0;
	}
	run_until(&client, now_ns() + options.warmup_ms * 1000000ull);
	begun = now_ns();
	before = client.done;
	run_until(&client, begun + options.seconds * NSEC);
	rate = (double)(client.done - before) * (double)NSEC / (double)(now_ns() - begun);
	finish(&client);
	printf("%.1f\n", rate);
	return 0;
}
