/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PERSISTENT RESERVE IN (SPC-5): the state is the home's, so the answer is
 * written there, in a transaction that changes nothing.
 */
#include "cmdset/internal.h"

enum pr_in_sa { READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS };

#define PR_HEADER 8 /* PRGENERATION, ADDITIONAL LENGTH */
#define STATUS_LEN 24 /* of a full status descriptor, without the TransportID */
#define ROOM (PR_HEADER + PR_REGISTRATIONS_MAX * (STATUS_LEN + TRANSPORT_ID_MAX))
_Static_assert(ROOM <= BUF_MAX, "READ FULL STATUS must fit");

static uint8_t *read_keys(const struct pr_state *pr, uint8_t *p)
{
	const struct pr_registration *reg;

	list_for_each(reg, &pr->registrations, link) {
		be_store(p, 8, reg->key);
		p += 8;
	}
	return p;
}

static uint8_t *read_reservation(const struct pr_state *pr, uint8_t *p)
{
	if (!pr->type)
		return p;
	/* SPC-5: the key is zero under the all registrants types */
	be_store(p, 8, pr->holder ? pr->holder->key : 0);
	p[13] = pr->type;
	return p + 16;
}

static uint8_t *read_full_status(const struct pr_state *pr, uint8_t *p)
{
	const struct pr_registration *reg;

	list_for_each(reg, &pr->registrations, link) {
		be_store(p, 8, reg->key);
		if (pr_holds(pr, reg)) {
			p[12] = 0x01; /* R_HOLDER */
			p[13] = pr->type;
		}
		be_store(p + 18, 2, reg->rtpi);
		be_store(p + 20, 4, reg->id_len);
		memcpy(p + STATUS_LEN, reg->id, reg->id_len);
		p += STATUS_LEN + reg->id_len;
	}
	return p;
}

static bool pr_in_decide(struct lu_tx *tx)
{
	struct scsi_cmd *cmd = tx_cmd(tx);
	const struct pr_state *pr = &tx->lu->pr;
	uint8_t *start = cmd->buf->data, *p = start + PR_HEADER;

	switch (cmd->op->sa) {
	case READ_KEYS:
		p = read_keys(pr, p);
		break;
	case READ_RESERVATION:
		p = read_reservation(pr, p);
		break;
	default:
		p = read_full_status(pr, p);
	}
	be_store(start, 4, pr->generation);
	be_store(start + 4, 4, (uint64_t)(p - start) - PR_HEADER);
	cmd->word[0] = (uint64_t)(p - start);
	return false;
}

static void pr_in_answer(struct scsi_cmd *cmd)
{
	cmd_complete(cmd, cmd_reply(cmd, (uint32_t)cmd->word[0], cmd->args.alloc));
}

static void pr_in_have_buf(struct scsi_cmd *cmd)
{
	memset(cmd->buf->data, 0, ROOM);
	cmd->tx.decide = pr_in_decide;
	cmd_run_tx_then(cmd, pr_in_answer);
}

static uint32_t fill_capabilities(struct scsi_cmd *cmd, uint8_t *p)
{
	be_store(p, 2, 8);
	p[2] = 0x10; /* CRH; no SIP_C, no ATP_C, no PTPL_C */
	p[3] = 0x80; /* TMV */
	p[4] = 0xea; /* WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX */
	p[5] = 0x01; /* EX_AC_AR */
	return 8;
}

enum verdict spc_pr_in(struct scsi_cmd *cmd)
{
	if (cmd->op->sa == REPORT_CAPABILITIES)
		return cmd_answer(cmd, 8, fill_capabilities);
	return cmd_want_buf(cmd, ROOM, pr_in_have_buf);
}
