/* SPDX-License-Identifier: BSD-2-Clause */
#include "floor.h"

#include <string.h>
#include <unistd.h>

#include "base/bits.h"

enum {
	READ_10 = 0x28,
	WRITE_10 = 0x2a,
	READ_16 = 0x88,
	WRITE_16 = 0x8a,
	SERVICE_ACTION_IN_16 = 0x9e,
};

static bool is_write(const uint8_t *cdb)
{
	return cdb[0] == WRITE_10 || cdb[0] == WRITE_16;
}

/* Byte offset that a READ or WRITE speaks of; UINT64_MAX if it cannot be one. */
static uint64_t offset_of(const uint8_t *cdb)
{
	uint64_t lba = cdb[0] & 0x80 ? be_load(cdb + 2, 8) : be_load(cdb + 2, 4);

	return lba > UINT64_MAX / FLOOR_BLOCK ? UINT64_MAX : lba * FLOOR_BLOCK;
}

static int respond(struct conn *c, uint32_t itt, uint8_t flags, uint32_t residual)
{
	union pdu *h = tx_header(c, PDU_SCSI_RESPONSE, itt, true);

	h->scsi_response.flags |= flags;
	h->scsi_response.residual = be32_make(residual);
	return tx_pdu(c, h, NULL, 0);
}

/* Where @len bytes at @off of the disk are, or are read to; NULL if they cannot be had. */
static uint8_t *data_at(struct conn *c, uint64_t off, uint32_t len)
{
	const struct floor_options *o = &floor_options;
	uint8_t *to;

	if (o->store == STORE_NULL)
		return o->null_data;
	if (o->map)
		return o->map + off;
	if (c->arena_pos + len > ARENA_SIZE)
		return NULL;
	to = c->arena + c->arena_pos;
	c->arena_pos += len;
	return pread(o->fd, to, len, (off_t)off) == (ssize_t)len ? to : NULL;
}

static int data_in(struct conn *c, uint64_t off, uint32_t len)
{
	uint32_t pos = 0, sn = 0, itt = be32_get(c->header.command.itt);

	if (!len || !range_fits(off, len, floor_options.size) || len > NULL_DATA)
		return -1;
	while (pos < len) {
		uint32_t n = min_u32(len - pos, c->initiator_max_recv);
		bool last = pos + n == len;
		uint8_t *data = data_at(c, off + pos, n);
		union pdu *h = tx_header(c, PDU_DATA_IN, itt, last);

		h->data_in.flags = last ? PDU_FINAL | DATA_IN_STATUS : 0;
		h->data_in.ttt = be32_make(TAG_RESERVED);
		h->data_in.data_sn = be32_make(sn++);
		h->data_in.offset = be32_make(pos);
		if (!data || tx_pdu(c, h, data, n))
			return -1;
		pos += n;
	}
	return 0;
}

static int small_answer(struct conn *c, uint8_t *data, uint32_t len)
{
	uint32_t wanted = be32_get(c->header.command.expected_len), n = min_u32(len, wanted);
	uint32_t itt = be32_get(c->header.command.itt);
	union pdu *h;

	if (!n)
		return respond(c, itt, wanted ? RESPONSE_UNDERFLOW : 0, wanted);
	h = tx_header(c, PDU_DATA_IN, itt, true);
	h->data_in.flags |= DATA_IN_STATUS | (n < wanted ? RESPONSE_UNDERFLOW : 0);
	h->data_in.ttt = be32_make(TAG_RESERVED);
	h->data_in.residual = be32_make(wanted - n);
	return tx_pdu(c, h, data, n) ? -1 : tx_flush(c);
}

static int read_capacity(struct conn *c)
{
	static uint8_t answer[32];

	be_store(answer, 8, floor_options.size / FLOOR_BLOCK - 1);
	be_store(answer + 8, 4, FLOOR_BLOCK);
	return small_answer(c, answer, sizeof(answer));
}

static int request_data(struct conn *c, struct floor_task *t)
{
	uint32_t n = min_u32(t->total - t->got, c->max_burst);
	union pdu *h = tx_header(c, PDU_R2T, t->itt, false);

	memcpy(h->r2t.lun, t->lun, 8);
	h->r2t.ttt = be32_make(t->itt & 0x7fffffff);
	h->r2t.r2t_sn = be32_make(t->r2t_sn++);
	h->r2t.offset = be32_make(t->got);
	h->r2t.desired = be32_make(n);
	return tx_pdu(c, h, NULL, 0);
}

static int write_next(struct conn *c, struct floor_task *t)
{
	return t->got < t->total ? request_data(c, t) : respond(c, t->itt, 0, 0);
}

static int new_write(struct conn *c)
{
	const struct pdu_scsi_command *h = &c->header.command;
	struct floor_task *t = &c->tasks[be32_get(h->itt) % TASKS];

	t->itt = be32_get(h->itt);
	t->total = be32_get(h->expected_len);
	t->got = t->r2t_sn = 0;
	t->off = offset_of(h->cdb);
	memcpy(t->lun, h->lun, 8);
	if (!range_fits(t->off, t->total, floor_options.size) || c->data_len > t->total)
		return -1;
	c->task = t;
	c->write_off = t->off;
	return 0;
}

int write_begins(struct conn *c)
{
	struct floor_task *t = &c->tasks[be32_get(c->header.data_out.itt) % TASKS];
	uint32_t off = be32_get(c->header.data_out.offset);

	if ((c->header.basic.opcode & PDU_OPCODE) == PDU_SCSI_COMMAND) {
		if (is_write(c->header.command.cdb))
			return new_write(c);
		return c->data_len ? -1 : 0;
	}
	if (t->itt != be32_get(c->header.data_out.itt) || !range_fits(off, c->data_len, t->total))
		return -1;
	c->task = t;
	c->write_off = t->off + off;
	return 0;
}

int write_data(struct conn *c, const uint8_t *p, uint32_t len)
{
	const struct floor_options *o = &floor_options;

	if (o->map)
		memcpy(o->map + c->write_off, p, len);
	else if (o->store == STORE_FILE &&
		 pwrite(o->fd, p, len, (off_t)c->write_off) != (ssize_t)len)
		return -1;
	c->write_off += len;
	return 0;
}

int write_goes_on(struct conn *c)
{
	c->task->got += c->data_len;
	return c->header.basic.flags & PDU_FINAL ? write_next(c, c->task) : 0;
}

int scsi_command(struct conn *c)
{
	const struct pdu_scsi_command *h = &c->header.command;

	if (!(h->opcode & PDU_IMMEDIATE))
		c->exp_cmd_sn = be32_get(h->cmd_sn) + 1;
	switch (h->cdb[0]) {
	case READ_10:
	case READ_16:
		return data_in(c, offset_of(h->cdb), be32_get(h->expected_len));
	case WRITE_10:
	case WRITE_16:
		return write_goes_on(c);
	case SERVICE_ACTION_IN_16:
		return read_capacity(c);
	default: /* TEST UNIT READY and whatever else: it went well */
		return small_answer(c, NULL, 0);
	}
}
