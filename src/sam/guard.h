/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The write guard of an LU. While a command holds it, no other command's write
 * request is with the LU's store, on any reactor: what the command reads,
 * compares and writes is one uninterrupted action (SBC-4 4.30 COMPARE AND WRITE).
 *
 * Taking it is an LU transaction: each reactor stops sending writes and
 * acknowledges when its last one has come back. Who comes while it is held
 * waits at the home. Without a holder a write costs a test and two counts.
 */
#ifndef STGT_SAM_GUARD_H
#define STGT_SAM_GUARD_H

#include <stdbool.h>

#include "sam/scsi_cmd.h"

/*
 * Take the guard of cmd->lu, then run @next. Returns V_PENDING. cmd_complete()
 * gives it back before the command ends. Take all memory that the action
 * needs before: parked writes keep theirs.
 */
enum verdict cmd_guard(struct scsi_cmd *cmd, void (*next)(struct scsi_cmd *cmd));

/*
 * A request may go to the store; a @write is counted until cmd_write_end(). False: it is
 * parked, and @go runs when it may be tried again: for a write when the guard is free, for
 * any request when the store is not being changed (GATE_PAUSED).
 */
bool cmd_store_begin(struct scsi_cmd *cmd, bool write, void (*go)(struct scsi_cmd *cmd));
void cmd_write_end(struct scsi_cmd *cmd);

/* In cmd_complete(): give the guard back, then complete with cmd->verdict. */
void cmd_unguard(struct scsi_cmd *cmd);

/* In the publication: true if writes that are under way have to come back first. */
bool part_guard_waits(struct lu_part *part, bool was_guarded);
/* In the publication: what is parked may try again. */
void part_unpark(struct lu_part *part);

#endif
