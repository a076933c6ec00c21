/* SPDX-License-Identifier: BSD-2-Clause */
/* What the simulated host's tests begin with: a data reactor and the control reactor on it. */
#ifndef STGT_TESTS_REACTOR_SIMHOST_H
#define STGT_TESTS_REACTOR_SIMHOST_H

#include "help.h"
#include "reactor/sim.h"

#define ALWAYS 100000u /* a fault's chance */
#define SOMETIMES 50000u

extern struct reactor *r, *control;

/* A host without faults. */
void host_begin(uint64_t seed);
/* Nothing happens any more: both reactors and the host go. */
void host_end(void);
/* Step until nothing happens by itself any more. */
void run(void);
/* Step until *@n is at least @want. */
void run_until(const int *n, int want);
/* What a done checks: it is called in a turn of its reactor. */
bool in_turn_of(const struct reactor *which);
/* Submit on r; the probe's done is checked to come in r's turn. */
void begin(struct probe *p);
/* Submit and step until it is done; returns its result. */
int finish(struct probe *p);

#endif
