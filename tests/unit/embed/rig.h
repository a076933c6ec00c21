/* SPDX-License-Identifier: BSD-2-Clause */
/* A target in this program with a disk or two, by the public header alone. */
#ifndef TESTS_EMBED_RIG_H
#define TESTS_EMBED_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <stgt/stgt.h>

#define TARGET "iqn.2026-11.test:embedded"
#define INITIATOR "iqn.2026-11.test:program"
#define BLOCK 512u
#define DISK 1 /* LUN of a disk of 64 MiB in memory */
#define SLOW 2 /* LUN of one whose reads take SLOW_MS */
#define SLOW_MS 300

/* bytes of a CDB */
#define B2(n) (uint8_t)((n) >> 8), (uint8_t)(n)
#define B4(n) (uint8_t)((n) >> 24), (uint8_t)((n) >> 16), B2(n)
struct cdb {
	unsigned len;
	uint8_t b[STGT_CDB_MAX];
};
#define CDB(...) ((struct cdb){ sizeof((const uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } })
#define READ10(lba, n) CDB(0x28, 0, B4(lba), 0, B2(n), 0)
#define WRITE10(lba, n) CDB(0x2a, 0, B4(lba), 0, B2(n), 0)
#define TEST_UNIT_READY CDB(0, 0, 0, 0, 0, 0)

/* An instance with TARGET and both disks on two data threads. */
struct stgt *rig_up(void);
void rig_down(struct stgt *s);
/* A call that must work; its answer, to be freed by stgt_free(). */
char *rig_call(struct stgt *s, const char *method, const char *params);
/* Logged in, and told of the power on by both disks. */
struct stgt_session *rig_login(struct stgt *s, const char *initiator);

struct stgt_command *rig_command(unsigned segments, uint64_t lun, struct cdb cdb);
/* A command with its data in one segment; what it was is in a static copy until the next. */
const struct stgt_command *rig_in(struct stgt_session *s, uint64_t lun, struct cdb cdb, void *data,
				  size_t len);
const struct stgt_command *rig_out(struct stgt_session *s, uint64_t lun, struct cdb cdb,
				   const void *data, size_t len);
void rig_good(const struct stgt_command *c);
void rig_sense(const struct stgt_command *c, uint8_t key, uint8_t asc, uint8_t ascq);

/* Submitted commands that are waited for: done, and rig_wait() until so many have ended. */
void rig_done(struct stgt_command *c);
void rig_submit(struct stgt_session *s, struct stgt_command *c);
void rig_wait(unsigned n);
unsigned rig_ended(void);
void rig_forget(void);

#endif
