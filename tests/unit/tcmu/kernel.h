/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's side of a TCMU ring, in memory: what drivers/target/target_core_user.c does with mailbox, entries,
 * data blocks and completions, told in a few lines.
 */
#ifndef TESTS_TCMU_KERNEL_H
#define TESTS_TCMU_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_IDS 256 /* commands that a test may have, ever under way at once */
#define KERNEL_BLOCK 4096
#define KERNEL_DATA (1u << 20)
#define KERNEL_BLOCKS (KERNEL_DATA / KERNEL_BLOCK)
#define KERNEL_BLOCKS_MAX 32 /* of a command */

enum kernel_dir { KERNEL_NONE, KERNEL_IN, KERNEL_OUT };

struct kernel_cmd {
	bool live; /* the kernel knows it */
	bool done;
	enum kernel_dir dir;
	uint32_t len;
	unsigned nblocks;
	uint16_t block[KERNEL_BLOCKS_MAX];
	/* what came back */
	uint8_t status, uflags;
	uint8_t sense[96];
	uint32_t read_len;
	uint8_t in[KERNEL_BLOCKS_MAX * KERNEL_BLOCK]; /* what the initiator gets */
	uint32_t in_len;
};

struct kernel {
	uint8_t *map;
	size_t size;
	uint32_t cmdr_off, cmdr_size, cleaned;
	bool broken; /* a completion of what is not there, as the kernel finds it */
	unsigned completed;
	uint16_t next_id;
	bool used[KERNEL_BLOCKS];
	bool scatter; /* no two blocks of a command touch */
	struct kernel_cmd *cmd; /* by id */
};

/* Bytes of memory for a command ring of @cmdr_size bytes. */
size_t kernel_bytes(uint32_t cmdr_size);
void kernel_init(struct kernel *k, void *map, uint32_t cmdr_size);
void kernel_fini(struct kernel *k);

/* Put a command into the ring; 0: there is no room. @out: @len bytes if @dir says so. */
uint16_t kernel_queue(struct kernel *k, const uint8_t *cdb, unsigned cdb_len, enum kernel_dir dir,
		      const void *out, uint32_t len);
bool kernel_queue_tmr(struct kernel *k, uint8_t type, const uint16_t *ids, unsigned n);
/* An entry of operation @op with nothing in it. */
uint16_t kernel_queue_odd(struct kernel *k, unsigned op, uint32_t len);
/* What a uio write makes the kernel do. */
void kernel_complete(struct kernel *k);
/* reset_ring: every command ends with @status. */
void kernel_reset(struct kernel *k, uint8_t status);

uint32_t kernel_head(const struct kernel *k);
uint32_t kernel_tail(const struct kernel *k);
void kernel_set_head(struct kernel *k, uint32_t head);

/* CDBs. */
const uint8_t *kernel_rw(bool write, uint32_t lba, uint16_t blocks);

#endif
