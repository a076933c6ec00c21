/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

void die(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(status);
}

/* The number that @text begins with; *@rest: what follows it. False if it begins with none. */
static bool digits(const char *text, uint64_t *v, const char **rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*v = strtoull(text, &end, 10);
	*rest = end;
	return !errno;
}

uint64_t number_arg(const char *name, const char *text, uint64_t least, uint64_t most)
{
	const char *rest;
	uint64_t v;

	if (!digits(text, &v, &rest) || *rest || v < least || v > most)
		die(END_USAGE, "--%s %.40s: a number from %" PRIu64 " to %" PRIu64 " is needed",
		    name, text, least, most);
	return v;
}

uint64_t size_arg(const char *name, const char *text, uint64_t least, uint64_t most)
{
	static const char units[] = "KMG";
	const char *rest, *unit;
	uint64_t v;

	if (!digits(text, &v, &rest))
		die(END_USAGE, "--%s %.40s: a size such as 4096, 4K, 1M is needed", name, text);
	if (*rest && (unit = strchr(units, *rest & ~0x20)) && *unit && v < 1ull << 32) {
		v <<= 10 * (unit - units + 1);
		rest++;
	}
	if (*rest || v < least || v > most)
		die(END_USAGE, "--%s %.40s: a size from %" PRIu64 " to %" PRIu64 " is needed", name,
		    text, least, most);
	return v;
}

_Noreturn static void refuse(const char *text, const char *why)
{
	die(END_USAGE, "address %.60s: %s; 127.0.0.1:PORT, [::1]:PORT or /PATH is needed", text,
	    why);
}

static void parse_unix(const char *text, struct address *a)
{
	size_t n = strlen(text);

	if (n >= sizeof(a->un.sun_path))
		refuse(text, "the path is too long");
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, text, n + 1);
	a->len = sizeof(a->un);
}

static void parse_inet(const char *text, struct address *a)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':'), *rest;
	uint64_t port;
	size_t n;

	if (!colon || !digits(colon + 1, &port, &rest) || *rest || port > 65535)
		refuse(text, "there is no port");
	n = (size_t)(colon - text);
	if (!n || n >= sizeof(host))
		refuse(text, "that is no address");
	memcpy(host, text, n);
	host[n] = 0;
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		a->len = sizeof(a->v6);
		if (inet_pton(AF_INET6, host + 1, &a->v6.sin6_addr) != 1)
			refuse(text, "that is no numeric address");
		if (!IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr))
			refuse(text, "that is not loopback");
		return;
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)port);
	a->len = sizeof(a->v4);
	if (inet_pton(AF_INET, host, &a->v4.sin_addr) != 1)
		refuse(text, "that is no numeric address");
	if (ntohl(a->v4.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		refuse(text, "that is not loopback");
}

void address_parse(const char *text, struct address *a)
{
	memset(a, 0, sizeof(*a));
	if (text[0] == '/')
		parse_unix(text, a);
	else
		parse_inet(text, a);
}

void address_print(const struct address *a, char *to, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->any.sa_family == AF_UNIX) {
		snprintf(to, size, "%s", a->un.sun_path);
	} else if (a->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
		snprintf(to, size, "[%s]:%u", host, ntohs(a->v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
		snprintf(to, size, "%s:%u", host, ntohs(a->v4.sin_port));
	}
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC + (uint64_t)t.tv_nsec;
}

void *zalloc(size_t size)
{
	size_t all = (size + 4095) & ~(size_t)4095;
	void *p = aligned_alloc(4096, all ? all : 4096);

	if (!p)
		die(END_TROUBLE, "no memory for %zu bytes", size);
	memset(p, 0, all);
	return p;
}

uint32_t pow2_above(uint32_t v)
{
	uint32_t p = 1;

	while (p < v)
		p <<= 1;
	return p;
}

void live_no_longer_than(unsigned seconds)
{
	pid_t parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it ended before the line above */
		raise(SIGKILL);
	alarm(seconds);
}
