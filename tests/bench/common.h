/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs of the benchmark share: how they end, how they read
 * numbers and addresses, and that they never leave this machine.
 */
#ifndef STGT_BENCH_COMMON_H
#define STGT_BENCH_COMMON_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Exit statuses. */
#define END_TROUBLE 1
#define END_USAGE 2
#define END_ERRORS 3 /* the run ended as planned, but commands failed or data was wrong */

#define NSEC 1000000000ull

/* Print "PROGRAM: text" on stderr and end with @status. */
_Noreturn void die(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Value of option @name: a decimal number in [@least, @most], or the program ends, naming it. */
uint64_t number_arg(const char *name, const char *text, uint64_t least, uint64_t most);
/* The same, with K, M, G for powers of 1024. */
uint64_t size_arg(const char *name, const char *text, uint64_t least, uint64_t most);

/* A place to speak to: "127.0.0.1:3260", "[::1]:3260" or the path of a socket. */
struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

/*
 * Read @text. Anything but 127.0.0.0/8, ::1 and absolute paths is refused, and
 * names are not looked up: the program ends.
 */
void address_parse(const char *text, struct address *a);
void address_print(const struct address *a, char *to, size_t size);

uint64_t now_ns(void);
/* Zeroed, aligned to a page; never NULL: the program ends instead. */
void *zalloc(size_t size);
uint32_t pow2_above(uint32_t v);
/* Be killed when the process that started us ends; and after @seconds at the latest. */
void live_no_longer_than(unsigned seconds);

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

#endif
