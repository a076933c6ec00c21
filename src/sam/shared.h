/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands whose data lie in memory that is shared with their initiator: pages of
 * a guest, the data area of a kernel's ring. A store reads and writes there, nothing is copied. What the
 * daemon itself interprets is copied once, to memory of its own, because the other side may change its own at
 * any time; and what the store wants aligned differently is copied, too.
 *
 * A transport embeds struct shared_data beside its scsi_cmd, and its transport_ops call these.
 */
#ifndef STGT_SAM_SHARED_H
#define STGT_SAM_SHARED_H

#include <stdint.h>
#include <sys/uio.h>

#include "reactor/bufpool.h"
#include "sam/scsi_cmd.h"

#define SHARED_SEGMENTS_MAX 1024 /* of a command and direction: what the kernel takes in one call */

/* A list of segments that is walked forward. The array is private memory, cut and moved in place. */
struct shared_sgl {
	struct iovec *v;
	unsigned n; /* segments from v on */
	uint32_t at; /* offset in the command's data that v[0] begins with */
	unsigned cut; /* number of the segment whose end is cut off, + 1; 0: none */
	size_t rest; /* bytes that were cut off it */
};

#define SHARED_COPY_BUFS (CMD_WHOLE_MAX / BUF_MAX)

struct shared_data {
	struct shared_sgl in, out;
	/* private: the copy of data-out that the command works with */
	struct buf *bufs;
	struct iovec copy[SHARED_COPY_BUFS];
};

/*
 * Before cmd_submit(): @n segments at @v, at most SHARED_SEGMENTS_MAX, which stay the command's until finish(). A
 * command has one list or both.
 */
void shared_data_init(struct shared_data *d, struct iovec *in, unsigned in_cnt, struct iovec *out,
		      unsigned out_cnt);

/* For transport_ops.data_out, .data_in and .data_room. */
void shared_data_out(struct shared_data *d, struct scsi_cmd *cmd, uint32_t off, uint32_t len);
void shared_data_in(struct shared_data *d, uint32_t off, struct buf *b, const uint8_t *data,
		    uint32_t len);
uint32_t shared_data_room(struct shared_data *d, uint32_t off, uint32_t len, const struct iovec **v,
			  unsigned *n);
/* In transport_ops.finish: give back what it has. */
void shared_data_end(struct shared_data *d);

#endif
