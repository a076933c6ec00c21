/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target with a disk at LUN 1 and a controller at LUN 0, over the loop transport: one
 * control and two data reactors that one thread steps in turn, so everything
 * happens in the same order in every run.
 */
#ifndef TESTS_SCSI_RIG_H
#define TESTS_SCSI_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/be.h"
#include "base/bits.h"
#include "cmdset/cmdset.h"
#include "transport/loop/loop.h"

#define DISK_LUN 1
#define SESSIONS_MAX 4

/* What the program's arguments said: "block=4096 thin readonly removable wce=0". */
struct rig_disk {
	uint32_t block_size;
	bool thin, readonly, removable, wce;
	bool in_place; /* reads go to the initiator's memory */
	uint64_t size; /* bytes */
	const char *store;
	const struct store_ops *ops; /* NULL: the one called store */
	const uint8_t *inquiry; /* not NULL: a device that is passed through, which said so */
};

struct rig {
	struct rig_disk disk; /* of the next begin */
	struct reactor *control, *reactor[2], *all[3];
	struct targets ts;
	struct target *target;
	struct store *store;
	struct lu *lu, *controller;
	struct loop_session session[SESSIONS_MAX];
	unsigned nsessions;
	void (*tick)(void); /* after each step; NULL: nothing */
};
extern struct rig rig;

/* The outcome of a command, sense data decoded from their bytes. */
struct res {
	enum verdict verdict;
	uint8_t status, key, asc, ascq;
	unsigned sense_len;
	bool descriptor; /* the format of the sense data */
	bool info_valid, field_valid, bit_valid, in_cdb;
	uint64_t info;
	uint16_t byte;
	uint8_t bit;
	uint32_t len; /* bytes of data-in */
	enum residual residual;
	uint32_t residual_count;
};

/* Read rig.disk from the program's arguments; the defaults are a thick 512-byte disk of 64 MiB. */
void rig_args(int argc, char **argv);

/* For cmocka's setup and teardown: everything up with one session whose unit attentions are gone. */
int rig_begin(void **state);
int rig_end(void **state);

void rig_step(void);
#define rig_until(cond) \
	do { \
		for (int tries_ = 0;; tries_++) { \
			if (cond) \
				break; \
			assert_true(tries_ < 100000); \
			rig_step(); \
		} \
	} while (0)

/* Another initiator; its unit attentions are kept if @raw. */
struct loop_session *rig_login(const char *initiator, bool raw);
void rig_logout(struct loop_session *s);
/* The first session. */
#define S0 (&rig.session[0])

/* The capacity in blocks, the block size. */
uint64_t rig_blocks(void);
uint32_t rig_bs(void);
/* @n blocks of memory filled with a pattern that depends on @seed; freed by rig_end(). */
uint8_t *rig_data(uint64_t n, uint8_t seed);

/* ---- commands ---- */

#define B2(v) (uint8_t)((v) >> 8), (uint8_t)(v)
#define B3(v) (uint8_t)((v) >> 16), B2(v)
#define B4(v) (uint8_t)((uint32_t)(v) >> 24), B3(v)
#define B8(v) B4((uint64_t)(v) >> 32), B4(v)

struct cdb {
	uint8_t b[32];
	unsigned len;
};
#define CDB(...) ((struct cdb){ .b = { __VA_ARGS__ }, .len = sizeof((uint8_t[]){ __VA_ARGS__ }) })

/* To LUN 1 of @s. */
struct res none(struct loop_session *s, struct cdb cdb);
struct res in(struct loop_session *s, void *data, uint32_t len, struct cdb cdb);
struct res out(struct loop_session *s, const void *data, uint32_t len, struct cdb cdb);
/* The same to another LUN. */
struct res in_lun(struct loop_session *s, uint64_t lun, void *data, uint32_t len, struct cdb cdb);
struct res none_lun(struct loop_session *s, uint64_t lun, struct cdb cdb);

/* Begin @c, fully set up by the caller but for tag and done; rig_until(c->finished). */
void rig_start(struct loop_cmd *c);
/* Set up @c for LUN 1. */
void rig_cmd(struct loop_cmd *c, struct loop_session *s, struct cdb cdb, void *in, const void *out,
	     uint32_t len);
struct res rig_result(const struct loop_cmd *c);
enum tmf_response rig_manage(struct loop_session *s, enum tmf_function fn, uint64_t lun,
			     uint64_t tag);

struct res read10(struct loop_session *s, uint64_t lba, uint32_t n, void *data);
struct res write10(struct loop_session *s, uint64_t lba, uint32_t n, const void *data);
struct res tur(struct loop_session *s);

/* ---- what is expected ---- */

void expect_at(struct res r, enum verdict v, const char *file, int line);
#define expect(r, v) expect_at(r, v, __FILE__, __LINE__)
#define good(r) expect(r, V_GOOD)
/* The sense data point at this byte and bit (-1: no bit) of CDB or parameter list. */
void expect_field_at(struct res r, enum verdict v, unsigned byte, int bit, const char *file,
		     int line);
#define expect_cdb(r, byte, bit) \
	expect_field_at(r, V_INVALID_FIELD_IN_CDB, byte, bit, __FILE__, __LINE__)
#define expect_param(r, byte, bit) \
	expect_field_at(r, V_INVALID_FIELD_IN_PARAM, byte, bit, __FILE__, __LINE__)

#define rig_test(f) cmocka_unit_test_setup_teardown(f, rig_begin, rig_end)

#endif
