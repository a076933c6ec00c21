/* SPDX-License-Identifier: BSD-2-Clause */
/* The payload of one PDU, received in place (rx.h) or copied there. */
#ifndef STGT_ISCSI_RX_PAYLOAD_H
#define STGT_ISCSI_RX_PAYLOAD_H

#include "transport/iscsi/session.h"

/* Put @len bytes where @t wants its next data-out. */
void payload_copy(struct iscsi_task *t, const uint8_t *data, uint32_t len);

/*
 * The header @p (with its additional header behind it) has come, @len bytes of
 * data and @trailer_len of padding and digest follow: find their destination.
 */
void payload_begin(struct iscsi_conn *c, const union pdu *p, uint32_t len, uint32_t trailer_len);
/* Up to @n bytes at @data are the payload's: returns how many. A complete PDU is acted on. */
uint32_t payload_take(struct iscsi_conn *c, const uint8_t *data, uint32_t n);
/* @n bytes were received according to payload_iov(): returns how many are the payload's. */
uint32_t payload_received(struct iscsi_conn *c, uint32_t n);
/* Where the rest goes: segments at @v (room for RX_SEGS + 1). *@all: they hold all of it. */
unsigned payload_iov(struct iscsi_conn *c, struct iovec *v, bool *all);
/* The connection ends. */
void payload_clear(struct iscsi_conn *c);

#endif
