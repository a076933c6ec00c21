/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of engines start with: a reactor, two connected sockets, a zeroed buffer. */
#ifndef STGT_TESTS_REACTOR_PAIR_H
#define STGT_TESTS_REACTOR_PAIR_H

#include "help.h"

extern struct reactor *r;
extern int pair[2];
extern char buf[4096];

/* For cmocka's setup and teardown. */
int set_up(void **state);
int tear_down(void **state);

#endif
