/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SG v4 (bsg). Its write() and read() were taken out of Linux 4.19 and its ioctl() blocks:
 * as many commands are under way as there are threads for one store.
 */
#include <errno.h>
#include <linux/bsg.h>
#include <stdlib.h>
#include <string.h>

#include "base/sgl.h"
#include "store/sg.h"

static void prepare(struct sg_io_v4 *h, const struct sg *g, struct store_raw *raw, void *data)
{
	*h = (struct sg_io_v4){
		.guard = 'Q',
		.protocol = BSG_PROTOCOL_SCSI,
		.subprotocol = BSG_SUB_PROTOCOL_SCSI_CMD,
		.request = (uintptr_t)raw->cdb,
		.request_len = raw->cdb_len,
		.response = (uintptr_t)raw->sense,
		.max_response_len = raw->sense_room,
		.timeout = sg_timeout_ms(g, raw),
	};
	if (raw->out) {
		h->dout_xferp = (uintptr_t)data;
		h->dout_xfer_len = raw->length;
	} else if (raw->in) {
		h->din_xferp = (uintptr_t)data;
		h->din_xfer_len = raw->length;
	}
}

static int run(const struct sg *g, struct store_raw *raw, void *data)
{
	struct sg_io_v4 h;
	int rc;

	prepare(&h, g, raw, data);
	do
		rc = sg_sys->ioctl(g->fd, SG_IO, &h);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return sg_errno(errno);
	return sg_result(raw, &(struct sg_answer){
				      .status = h.device_status,
				      .host_status = h.transport_status,
				      .driver_status = h.driver_status,
				      .residual = raw->out ? h.dout_resid : h.din_resid,
				      .sense_len = h.response_len,
			      });
}

/* The interface takes one segment only (it ignores its iovec counts). */
static int run_copied(const struct sg *g, struct store_raw *raw)
{
	void *data = calloc(1, raw->length);
	int err;

	if (!data)
		return -ENOMEM;
	if (raw->out)
		sgl_copy_out(raw->iov, raw->iovcnt, 0, data, raw->length);
	err = run(g, raw, data);
	if (!err && raw->in)
		sgl_copy_in(raw->iov, raw->iovcnt, 0, data, raw->length - raw->residual);
	free(data);
	return err;
}

int sg_v4_run(struct store_io *io)
{
	const struct sg *g = store_priv(channel_store(io->ch));
	struct store_raw *raw = io->raw;

	if (!raw->length)
		return run(g, raw, NULL);
	if (raw->iovcnt == 1) {
		/* not every adapter tells a residual: what the device leaves out is not to be another's data */
		if (raw->in)
			memset(raw->iov[0].iov_base, 0, raw->length);
		return run(g, raw, raw->iov[0].iov_base);
	}
	return run_copied(g, raw);
}
