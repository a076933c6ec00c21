/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small world for tests of sam: a control reactor and two data reactors,
 * stepped by one thread; a device server whose commands end when the test
 * says so; a transport that only takes notes.
 */
#ifndef TESTS_SAM_WORLD_H
#define TESTS_SAM_WORLD_H

#include "sam/scsi_cmd.h"
#include "sam/target.h"
#include "sam/tmf.h"
#include "sam/transport.h"

/* The device server's opcodes. */
enum {
	OP_NOW = 0x00, /* ends at once */
	OP_HOLD = 0x01, /* holds a store request until release() */
	OP_DATA = 0x02, /* asks for data-out, then ends */
	OP_TX = 0x03, /* runs a transaction */
	OP_BUF = 0x04, /* asks for a buffer and answers 512 bytes */
	OP_ALWAYS = 0x12, /* passes unit attentions and the task set */
};

struct tcmd {
	struct scsi_cmd scsi;
	bool finished, asked, cancelled;
	unsigned order; /* when it finished */
	struct list held;
};

struct world {
	struct reactor *control, *reactor[2], *all[3];
	struct targets ts;
	struct target *target;
	struct lu *lu;
	unsigned finished, drained, closed;
};

extern struct world world;

void world_begin(void);
void world_end(void);
void step(void);
/* Step until @cond holds; fails the test if it never does. */
#define until(cond) \
	do { \
		for (int tries = 0;; tries++) { \
			if (cond) \
				break; \
			assert_true(tries < 10000); \
			step(); \
		} \
	} while (0)

/* Log in as initiator @name, on the reactor that the claim chooses; NULL if refused. */
struct it_nexus *login(const char *name);
struct claim *claim_begin(const char *name);
/* A claim that is filled in and does not run yet; when it is answered, its wait_link.next is NULL. */
struct claim *claim_new(const char *name);
/* The transport of all who log in. */
extern const struct transport_ops *const world_transport;
/* A command that is submitted at once; the test owns it until world_end(). */
struct tcmd *submit(struct it_nexus *n, uint8_t opcode, uint8_t attr);
struct tcmd *submit_to(struct it_nexus *n, uint8_t opcode, uint8_t attr, const uint8_t lun[8],
		       bool read, bool write, uint32_t expected);
/* The same from a transport that cannot tell where data go. */
struct tcmd *submit_undirected(struct it_nexus *n, uint8_t opcode, const uint8_t lun[8],
			       uint32_t expected);
/* The store gives back what @c holds. */
void release(struct tcmd *c);
/* Forget the unit attentions of @n. */
void clear_ua(struct it_nexus *n);
struct tmf *manage(struct it_nexus *n, enum tmf_function fn, uint64_t lun, uint64_t tag, bool *done);

struct lu *make_lu(const char *name);

#endif
