/* SPDX-License-Identifier: BSD-2-Clause */
/* A run: actors on the world, in acts. */
#ifndef TESTS_SIM_PLAY_H
#define TESTS_SIM_PLAY_H

#include "world.h"

/* After world_begin(). */
void play_begin(void);
/* Until @actions more are begun. */
void play_on(unsigned actions);
/* No more actions, no more faults: everything ends. */
void play_calm(void);
/* Everybody reads every disk. After play_calm(). */
void play_verify(void);
/* Between two play_on(): the power fails and comes back. */
void play_power_cut(void);
/* Everybody leaves. After play_calm(). */
void play_end(void);
/* The administrator has added @d. */
void play_disk_in(struct disk *d);

#endif
