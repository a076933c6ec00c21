/* SPDX-License-Identifier: BSD-2-Clause */
/* A store over a simulated file: the product's file I/O, without the opening of files. */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include "reactor/sim.h"
#include "stgt/store.h"

extern const struct store_ops sim_store;
/* The file at @path, a number of a disk: it outlives the store. world.c */
struct sim_file *sim_store_file(const char *path);

#endif
