/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small iSCSI initiator for the verify workload: one connection a session, nothing blocks after
 * login, and whatever the target does against RFC 7143 (numbers out of order, data out of bounds,
 * bad digests) ends the program with a text.
 */
#ifndef STGT_TESTS_E2E_INITIATOR_H
#define STGT_TESTS_E2E_INITIATOR_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define INI_TASKS 256
#define INI_BHS 48

/* One command. The caller fills cdb, out, in and lengths, and keeps it until it is finished. */
struct ini_task {
	uint8_t cdb[16];
	uint8_t *out, *in;
	uint32_t out_len, in_len;
	/* results */
	uint8_t status, key, asc, ascq;
	/* private */
	uint32_t itt, received, next_datasn, next_r2tsn;
};

struct ini {
	int fd;
	unsigned id, lun;
	uint32_t cmdsn, expstatsn, maxcmdsn;
	bool header_digest, data_digest, immediate_data, initial_r2t;
	uint32_t max_send, max_recv, first_burst, max_burst; /* bytes; agreed */
	struct ini_task *tasks[INI_TASKS];
	uint32_t serial;
	uint8_t *out; /* bytes not yet sent */
	size_t out_len, out_sent, out_room;
	uint8_t *in; /* bytes received and not yet consumed */
	size_t in_len, in_room;
};

__attribute__((noreturn, format(printf, 1, 2))) void ini_die(const char *fmt, ...);

/* Connect and log in; keys vary with id. Blocks. */
void ini_login(struct ini *c, unsigned id, const char *portal, const char *target, unsigned lun);
void ini_logout(struct ini *c);
/* May a command be sent now? */
bool ini_window(const struct ini *c);
/* Queue a command with what immediate and unsolicited data is allowed. */
void ini_submit(struct ini *c, struct ini_task *t);
/* Send what the socket takes. */
void ini_flush(struct ini *c);
bool ini_queued(const struct ini *c);
/* Receive what is there; finished() is called for each command that has its status. */
void ini_receive(struct ini *c, void (*finished)(struct ini *c, struct ini_task *t));

static inline void ini_p32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static inline void ini_p64(uint8_t *p, uint64_t v)
{
	ini_p32(p, (uint32_t)(v >> 32));
	ini_p32(p + 4, (uint32_t)v);
}

static inline uint32_t ini_g32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static inline uint64_t ini_g64(const uint8_t *p)
{
	return (uint64_t)ini_g32(p) << 32 | ini_g32(p + 4);
}

static inline uint32_t ini_g24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

#endif
