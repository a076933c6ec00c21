/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Task sets (SAM-6 8): one per I_T_L nexus (TST = 001b). QUEUE ALGORITHM
 * MODIFIER is 1, so SIMPLE tasks are ordered only by ORDERED and HEAD OF QUEUE ones.
 */
#ifndef STGT_SAM_TASKSET_H
#define STGT_SAM_TASKSET_H

#include <stdbool.h>

struct itl;
struct scsi_cmd;

/* Put @cmd in its task set. True if it is enabled at once, else it is dormant. */
bool taskset_enter(struct scsi_cmd *cmd);
/* Take @cmd, which has ended, out; enables through cmd_enable() what it held. */
void taskset_leave(struct scsi_cmd *cmd);
/* Enable what may be enabled. */
void taskset_wake(struct itl *itl);

/* In router.c: run an enabled command. */
void cmd_enable(struct scsi_cmd *cmd);

#endif
