/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that are no SCSI commands. */
#ifndef STGT_ISCSI_REQUEST_H
#define STGT_ISCSI_REQUEST_H

#include "transport/iscsi/session.h"

/*
 * A request other than SCSI Command and Data-Out, complete: @len bytes at
 * @data, within @b (NULL: valid for this call only; a reference is the callee's to take).
 */
void request_arrived(struct iscsi_conn *c, const union pdu *p, struct buf *b, uint8_t *data,
		     uint32_t len);
/* Its CmdSN's turn has come. */
void request_run(struct iscsi_conn *c, const union pdu *p, struct buf *b, uint8_t *data,
		 uint32_t len);

/* Reject @p (RFC 7143 11.17). */
void request_reject(struct iscsi_conn *c, const union pdu *p, enum reject_reason reason);
/* Ask the initiator to log out within @seconds. */
void request_ask_logout(struct iscsi_conn *c, unsigned seconds);
/* Logout Response. */
void request_logged_out(struct iscsi_conn *c, uint32_t itt, enum logout_response response);
/* NOP-In of our own that wants an answer. */
void request_ping(struct iscsi_conn *c);

/* tmf.c */
void tmf_request(struct iscsi_conn *c, const union pdu *p);
/* sendtargets.c */
void text_request(struct iscsi_conn *c, const union pdu *p, const uint8_t *data, uint32_t len);
void text_exchange_free(struct iscsi_session *s);

#endif
