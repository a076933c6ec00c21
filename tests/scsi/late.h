/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store of memory whose writes land LATE_STEPS steps of the rig after they
 * came: as slow as a test wants, and as slow on every machine.
 */
#ifndef TESTS_SCSI_LATE_H
#define TESTS_SCSI_LATE_H

#include "rig.h"

#define LATE_STEPS 30

/* For cmocka, in place of rig_begin() and rig_end(). */
int late_begin(void **state);
int late_end(void **state);
#define late_test(f) cmocka_unit_test_setup_teardown(f, late_begin, late_end)

#endif
