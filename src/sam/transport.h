/* SPDX-License-Identifier: BSD-2-Clause */
/* What sam calls a transport through. All on the nexus's reactor. */
#ifndef STGT_SAM_TRANSPORT_H
#define STGT_SAM_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct iovec;
struct it_nexus;
struct itl;
struct scsi_cmd;

struct transport_ops {
	const char *name; /* "iscsi", as tgtadm prints drivers */

	/*
	 * Obtain data-out [off, off + len) of @cmd: answer with
	 * cmd_data_ready() or cmd_data_failed(), perhaps before returning. Memory that the
	 * initiator can change meanwhile will do only if cmd->out_some: then nobody but a store reads it.
	 */
	void (*data_out)(struct scsi_cmd *cmd, uint32_t off, uint32_t len);
	/* The command was aborted while data_out was under way: do not answer it any more;
	 * data that still comes is thrown away. */
	void (*data_out_cancel)(struct scsi_cmd *cmd);
	/* Pass @len bytes at @data on to the initiator at offset @off; one reference of @b is yours. */
	void (*data_in)(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data,
			uint32_t len);
	/*
	 * Memory of the initiator where data-in [off, off + len) of @cmd may be put straight away:
	 * *@n segments at *@v, valid until the next call or finish(). Returns how many bytes they hold, from
	 * @off on: any number up to @len; 0: data_in() has to do. What is put there needs no data_in(). NULL:
	 * there never is any.
	 */
	uint32_t (*data_room)(struct scsi_cmd *cmd, uint32_t off, uint32_t len,
			      const struct iovec **v, unsigned *n);
	/*
	 * @cmd has ended: verdict, sense and residual are in it, and it is the transport's
	 * again. V_ABORTED_SILENTLY: send nothing. The task it was is already out of the task
	 * set. It may submit commands, and must not abort any.
	 */
	void (*finish)(struct scsi_cmd *cmd);
	/* nexus_drop() is through: no command of @n is left; free the session. @n must not be used after. */
	void (*nexus_drained)(struct it_nexus *n);
	/* The administrator, a reset or a newer session ends this one: close it (which leads to nexus_drop()). */
	void (*close_session)(struct it_nexus *n);
	/* @n, which is live, has got LUN @lun (@present), or lost it. For transports that tell at once; may be NULL. */
	void (*lun_changed)(struct it_nexus *n, uint64_t lun, bool present);
	/* The unit attentions @set (UA_BIT()) were established for @itl, whose nexus is live. The same. */
	void (*attention)(struct itl *itl, uint32_t set);
};

#endif
