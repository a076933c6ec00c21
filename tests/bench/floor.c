/* SPDX-License-Identifier: BSD-2-Clause */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS 64

struct floor_options floor_options = {
	.size = 4ull << 30,
	.flush_at = 256 << 10,
	.max_recv = 262144,
	.max_burst = 1 << 20,
	.first_burst = 65536,
	.seconds = 3600,
	.fd = -1,
};

static const char help[] =
	"Usage: bench-floor ADDRESS [OPTION]...\n"
	"The least program that answers the load generator. ADDRESS is 127.0.0.1:PORT,\n"
	"[::1]:PORT (port 0: any) or the path of a socket. Prints \"ready ADDRESS\" when it\n"
	"listens; ends with its parent.\n"
	"\n"
	"  --store null|mem|file  where data comes from (default null)\n"
	"  --file PATH            the file\n"
	"  --io pread|mmap        how a file is read and written (default pread)\n"
	"  --size SIZE            of a null or mem disk (default 4G)\n"
	"  --spin                 never sleep\n"
	"  --flush SIZE           send when so much is queued (default 256K)\n"
	"  --seconds N            end after N seconds (default 3600)\n";

enum { O_STORE = 256, O_FILE, O_IO, O_SIZE, O_SPIN, O_FLUSH, O_SECONDS, O_HELP };

static const struct option long_options[] = {
	{ "store", required_argument, NULL, O_STORE },
	{ "file", required_argument, NULL, O_FILE },
	{ "io", required_argument, NULL, O_IO },
	{ "size", required_argument, NULL, O_SIZE },
	{ "spin", no_argument, NULL, O_SPIN },
	{ "flush", required_argument, NULL, O_FLUSH },
	{ "seconds", required_argument, NULL, O_SECONDS },
	{ "help", no_argument, NULL, O_HELP },
	{ NULL },
};

/* Number of @text among @n @words, or the program ends. */
static unsigned word_arg(const char *name, const char *text, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(words[i], text))
			return i;
	die(END_USAGE, "--%s %.20s: there is no such thing: see bench-floor --help", name, text);
}

static void one_option(int ch)
{
	static const char *const stores[] = { "null", "mem", "file" };
	static const char *const ios[] = { "pread", "mmap" };
	struct floor_options *o = &floor_options;

	switch (ch) {
	case O_STORE:
		o->store = word_arg("store", optarg, stores, 3);
		break;
	case O_FILE:
		o->path = optarg;
		break;
	case O_IO:
		o->by_mmap = word_arg("io", optarg, ios, 2);
		break;
	case O_SIZE:
		o->size = size_arg("size", optarg, FLOOR_BLOCK, 1ull << 46) & ~(FLOOR_BLOCK - 1ull);
		break;
	case O_SPIN:
		o->spin = true;
		break;
	case O_FLUSH:
		o->flush_at = (unsigned)size_arg("flush", optarg, 1, 1 << 30);
		break;
	case O_SECONDS:
		o->seconds = (unsigned)number_arg("seconds", optarg, 1, 86400);
		break;
	case O_HELP:
		fputs(help, stdout);
		exit(0);
	default:
		die(END_USAGE, "see bench-floor --help");
	}
}

static void parse(int argc, char **argv)
{
	struct floor_options *o = &floor_options;
	int ch;

	while ((ch = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		one_option(ch);
	if (argc - optind != 1)
		die(END_USAGE, "an address is needed: see bench-floor --help");
	if ((o->store == STORE_FILE) != (o->path != NULL))
		die(END_USAGE, "--store file and --file belong together");
	address_parse(argv[optind], &o->address);
}

static void *map(uint64_t size, int flags, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die(END_TROUBLE, "mapping %llu bytes: %s", (unsigned long long)size,
		    strerror(errno));
	return p;
}

static void open_file(struct floor_options *o)
{
	struct stat st;

	o->fd = open(o->path, O_RDWR | O_CLOEXEC);
	if (o->fd < 0 || fstat(o->fd, &st))
		die(END_TROUBLE, "%s: %s", o->path, strerror(errno));
	o->size = (uint64_t)st.st_size & ~(FLOOR_BLOCK - 1ull);
	if (!S_ISREG(st.st_mode) || !o->size)
		die(END_TROUBLE, "%s: a file that is not empty is needed", o->path);
	if (o->by_mmap)
		o->map = map(o->size, MAP_SHARED, o->fd);
}

static void open_store(void)
{
	struct floor_options *o = &floor_options;

	if (o->store == STORE_FILE)
		open_file(o);
	else if (o->store == STORE_MEM)
		o->map = map(o->size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	o->null_data = zalloc(NULL_DATA);
}

static int listen_at(struct address *a)
{
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	char text[128];

	if (a->any.sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &a->any, a->len) || listen(fd, 1024) || getsockname(fd, &a->any, &a->len)) {
		address_print(a, text, sizeof(text));
		die(END_TROUBLE, "listening at %s: %s", text, strerror(errno));
	}
	address_print(a, text, sizeof(text));
	printf("ready %s\n", text);
	fflush(stdout);
	return fd;
}

static struct conn *conn_new(int fd)
{
	struct conn *c = zalloc(sizeof(*c));
	int one = 1;

	if (floor_options.address.any.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	c->initiator_max_recv = 8192;
	c->max_burst = min_u32(floor_options.max_burst, 262144);
	c->seg = zalloc(SEGS * sizeof(*c->seg));
	c->headers = zalloc(SEGS * (BHS_LEN + 2 * DIGEST_LEN));
	c->tasks = map(TASKS * sizeof(*c->tasks), MAP_PRIVATE | MAP_ANONYMOUS, -1);
	c->arena = map(ARENA_SIZE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	c->rx_buf = zalloc(RX_SIZE);
	c->stat_sn = 1;
	return c;
}

static void conn_free(struct conn *c)
{
	close(c->fd);
	munmap(c->arena, ARENA_SIZE);
	munmap(c->tasks, TASKS * sizeof(*c->tasks));
	free(c->seg);
	free(c->headers);
	free(c->rx_buf);
	free(c);
}

static void watch(int ep, int op, struct conn *c)
{
	struct epoll_event e = { .events = c->blocked ? EPOLLOUT : EPOLLIN, .data.ptr = c };

	if (epoll_ctl(ep, op, c->fd, &e))
		die(END_TROUBLE, "epoll_ctl: %s", strerror(errno));
}

static void accept_one(int ep, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		watch(ep, EPOLL_CTL_ADD, conn_new(fd));
}

static void one_event(int ep, struct conn *c, uint32_t events)
{
	bool was_blocked = c->blocked;
	int err = events & EPOLLOUT ? tx_flush(c) : 0;

	/* while its answers do not leave, nothing more is taken from it */
	if (!err && events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !c->blocked)
		err = rx_once(c);
	if (err || (c->closing && !c->blocked))
		conn_free(c);
	else if (was_blocked != c->blocked)
		watch(ep, EPOLL_CTL_MOD, c);
}

int main(int argc, char **argv)
{
	struct epoll_event ev[EVENTS], e = { .events = EPOLLIN };
	int listener, ep;

	parse(argc, argv);
	live_no_longer_than(floor_options.seconds);
	open_store();
	listener = listen_at(&floor_options.address);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e))
		die(END_TROUBLE, "epoll: %s", strerror(errno));
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, floor_options.spin ? 0 : -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				one_event(ep, ev[i].data.ptr, ev[i].events);
			else
				accept_one(ep, listener);
		}
	}
}
