/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-play SOCKET SCENARIO [OPTION]...: plays one scenario against a server; status 0 if all was as it says.
 * What a scenario needs of the outside (a LUN resized, the server killed) it asks for by a line on its standard
 * output, and goes on when it has read a line.
 */
#ifndef TESTS_VHOST_PLAY_H
#define TESTS_VHOST_PLAY_H

#include "scsi.h"

struct play {
	const char *path;
	struct front_opts opts;
	bool indirect; /* requests use tables */
	unsigned count; /* how often, how many, how long: scenarios have a use for it */
	unsigned slow_lun; /* one that answers late */
	struct front f;
};

struct scenario {
	const char *name;
	void (*run)(struct play *p);
};

/* One list a file; each ends with a NULL name. */
extern const struct scenario data_scenarios[], notify_scenarios[], task_scenarios[],
	event_scenarios[], restart_scenarios[], message_scenarios[], ring_scenarios[],
	memory_scenarios[];

#define check(cond, ...) \
	do { \
		if (!(cond)) \
			front_die(__VA_ARGS__); \
	} while (0)

/* Open p->f with p->opts. */
void play_open(struct play *p);
/* Unit attentions of the LUN are cleared; blocks and block length. */
uint64_t play_disk(struct play *p, uint32_t *block_size);
/* Print a line; wait for one. */
void play_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void play_hear(void);
/* Say @what, and wait until it was done. */
static inline void play_ask(const char *what)
{
	play_say("%s", what);
	play_hear();
}
/* A pattern that says where it belongs: block and generation. */
void play_pattern(uint8_t *to, uint64_t lba, uint32_t blocks, uint32_t block_size,
		  uint32_t generation);
void play_compare(const uint8_t *data, uint64_t lba, uint32_t blocks, uint32_t block_size,
		  uint32_t generation, const char *what);
void *play_memory(size_t len);

#endif
