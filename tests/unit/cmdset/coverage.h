/* SPDX-License-Identifier: BSD-2-Clause */
/* docs/coverage.md, made from the tables. */
#ifndef TESTS_CMDSET_COVERAGE_H
#define TESTS_CMDSET_COVERAGE_H

#include <stdio.h>

/* Write the page to @f. cmdset_init() has run. */
void coverage_write(FILE *f);

#endif
