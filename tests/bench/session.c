/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions before and after the load: one command at a time. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "load.h"

#define SETUP_DATA 4096u
#define SETUP_SECONDS 20
#define TRIES 10 /* at TEST UNIT READY, until the unit attentions are through */

unsigned disk_block;
uint64_t disk_bytes;

static void set_receive_timeout(int fd, unsigned ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static void dial(struct session *s)
{
	const struct address *a = &options.address;
	int one = 1;

	s->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, &a->any, a->len))
		die(END_TROUBLE, "connect to %s: %s", options.address_text, strerror(errno));
	if (a->any.sa_family != AF_UNIX)
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	set_receive_timeout(s->fd, SETUP_SECONDS * 1000);
}

static void send_command(struct session *s, const uint8_t *cdb, size_t cdb_len, uint32_t len)
{
	struct {
		struct pdu_scsi_command h;
		uint8_t digest[DIGEST_LEN];
	} out = { .h = {
			  .opcode = PDU_SCSI_COMMAND,
			  .flags = PDU_FINAL | (len ? COMMAND_READ : 0) | 1,
			  .lun = { 0, (uint8_t)options.lun },
			  .itt = be32_make(0x7fff0000u + s->cmd_sn),
			  .expected_len = be32_make(len),
			  .cmd_sn = be32_make(s->cmd_sn),
			  .exp_stat_sn = be32_make(s->exp_stat_sn),
		  } };

	s->cmd_sn++;
	memcpy(out.h.cdb, cdb, cdb_len);
	iscsi_digest_store(out.digest, iscsi_crc32c(&out.h, BHS_LEN));
	send_all(s->fd, &out, BHS_LEN + (s->header_digest ? DIGEST_LEN : 0));
}

/* The next PDU and its data, at most SETUP_DATA bytes; returns their number. */
static uint32_t receive_pdu(struct session *s, union pdu *h, uint8_t *data)
{
	uint8_t trailer[3 + DIGEST_LEN];
	uint32_t len;

	recv_all(s->fd, h, BHS_LEN);
	if (s->header_digest)
		recv_all(s->fd, trailer, DIGEST_LEN);
	len = be24_get(h->basic.data_len);
	if (len > SETUP_DATA || h->basic.ahs_len)
		die(END_TROUBLE, "set-up: an answer of %u bytes", len);
	recv_all(s->fd, data, len);
	recv_all(s->fd, trailer, pdu_pad(len) + (s->data_digest && len ? DIGEST_LEN : 0));
	if ((int32_t)(be32_get(h->response.max_cmd_sn) - s->max_cmd_sn) > 0)
		s->max_cmd_sn = be32_get(h->response.max_cmd_sn);
	return len;
}

/* One command that reads up to @len bytes; returns its SCSI status, *@got: bytes that came. */
static uint8_t command(struct session *s, const uint8_t *cdb, size_t cdb_len, uint8_t *buf,
		       uint32_t len, uint32_t *got)
{
	uint8_t data[SETUP_DATA];
	union pdu h;

	*got = 0;
	send_command(s, cdb, cdb_len, len);
	for (;;) {
		uint32_t n = receive_pdu(s, &h, data), op = h.basic.opcode & PDU_OPCODE;
		uint32_t off = be32_get(h.data_in.offset);

		if (op == PDU_DATA_IN) {
			if (off > len || n > len - off)
				die(END_TROUBLE, "set-up: %u bytes at %u of %u", n, off, len);
			memcpy(buf + off, data, n);
			*got = off + n;
			if (!(h.basic.flags & DATA_IN_STATUS))
				continue;
		} else if (op != PDU_SCSI_RESPONSE) {
			continue;
		}
		s->exp_stat_sn = be32_get(h.response.stat_sn) + 1;
		return h.scsi_response.status; /* at the same place in a Data-In */
	}
}

static bool is_ready(struct session *s)
{
	static const uint8_t test_unit_ready[6];
	uint32_t got;

	for (int i = 0; i < TRIES; i++)
		if (command(s, test_unit_ready, 6, NULL, 0, &got) == STATUS_GOOD)
			return true;
	return false;
}

static void read_capacity(struct session *s)
{
	static const uint8_t cdb[16] = { [0] = 0x9e, [1] = 0x10, [13] = 32 }; /* READ CAPACITY (16) */
	uint8_t answer[32];
	uint32_t got;

	if (command(s, cdb, sizeof(cdb), answer, sizeof(answer), &got) != STATUS_GOOD || got < 12)
		die(END_TROUBLE, "READ CAPACITY (16) failed");
	disk_block = (unsigned)be_load(answer + 8, 4);
	if (!disk_block || options.block % disk_block)
		die(END_USAGE, "blocks of %u bytes cannot be had from a disk with blocks of %u",
		    options.block, disk_block);
	disk_bytes = (be_load(answer, 8) + 1) * disk_block;
}

void session_open(struct session *s)
{
	dial(s);
	session_login(s);
	if (!is_ready(s))
		die(END_TROUBLE, "LUN %u does not become ready", options.lun);
	if (!disk_block)
		read_capacity(s);
	set_receive_timeout(s->fd, 200);
}

static void prepare_tx(struct session *s)
{
	uint32_t per_task = 4 + options.block / s->target_max_recv + options.block / s->max_burst;
	uint32_t n = pow2_above(2 * (options.qd + 1) * per_task + 64);
	struct tx *t = &s->tx;

	t->header_mask = n - 1;
	t->seg_mask = 4 * n - 1;
	t->stride =
		BHS_LEN + (s->header_digest ? DIGEST_LEN : 0) + (s->data_digest ? DIGEST_LEN : 0);
	t->headers = zalloc((size_t)n * t->stride);
	t->seg = zalloc((size_t)4 * n * sizeof(*t->seg));
	t->sent_mark = zalloc((size_t)4 * n * sizeof(*t->sent_mark));
}

/* What it reads and writes: all of the disk, or a part of its own if the data is checked. */
static void prepare_blocks(struct session *s, uint64_t blocks)
{
	s->random = 0x9e3779b97f4a7c15ull * (options.seed + s->id + 1);
	s->blocks = blocks;
	s->next = blocks / options.sessions * s->id;
	if (!options.verify)
		return;
	s->blocks = blocks / options.sessions;
	s->base = s->blocks * s->id;
	s->next = 0;
	if (s->blocks <= options.qd)
		die(END_USAGE, "--span is too small to verify %u sessions of %u commands",
		    options.sessions, options.qd);
	s->generation = zalloc(s->blocks * sizeof(*s->generation));
	s->in_use = zalloc(s->blocks);
}

void session_prepare(struct session *s, uint64_t blocks)
{
	prepare_tx(s);
	s->task = zalloc(options.qd * sizeof(*s->task));
	s->free_task = zalloc(options.qd * sizeof(*s->free_task));
	for (unsigned i = 0; i < options.qd; i++) {
		s->free_task[s->nfree++] = options.qd - 1 - i;
		if (options.verify)
			s->task[i].buf = zalloc(options.block);
	}
	prepare_blocks(s, blocks);
}

bool session_alive(struct session *s)
{
	if (s->lost)
		return false;
	set_receive_timeout(s->fd, SETUP_SECONDS * 1000);
	return is_ready(s);
}

void session_close(struct session *s)
{
	struct {
		struct pdu_logout_request h;
		uint8_t digest[DIGEST_LEN];
	} out = { .h = {
			  .opcode = PDU_LOGOUT_REQUEST | PDU_IMMEDIATE,
			  .flags = PDU_FINAL | LOGOUT_CLOSE_SESSION,
			  .itt = be32_make(0x7ffffff0),
			  .cmd_sn = be32_make(s->cmd_sn),
			  .exp_stat_sn = be32_make(s->exp_stat_sn),
		  } };
	uint8_t answer[BHS_LEN];

	if (s->lost)
		return;
	iscsi_digest_store(out.digest, iscsi_crc32c(&out.h, BHS_LEN));
	if (send(s->fd, &out, BHS_LEN + (s->header_digest ? DIGEST_LEN : 0), MSG_NOSIGNAL) > 0)
		recv(s->fd, answer, sizeof(answer), 0);
	close(s->fd);
	s->fd = -1;
}
