/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A SCSI target inside a program: a disk of 64 MiB in memory, and an initiator that asks who it is, writes a block and
 * reads it back. docs/embedding.md explains it. Build it with an installed libstgt:
 *
 *	cc -o embed embed.c $(pkg-config --cflags --libs stgt)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stgt/stgt.h>

#define TARGET "iqn.2026-11.org.example:embedded"
#define INITIATOR "iqn.2026-11.org.example:program"
#define BLOCK 512

static void die(const char *what, const struct stgt_error *e)
{
	fprintf(stderr, "%s: %s\n", what, e->text);
	exit(1);
}

static void told(void *arg, enum stgt_log_level level, const char *text)
{
	fprintf(stderr, "target: %s\n", text);
}

/* The administrator's part: the same verbs that tgtctl sends to the daemon. */
static void make_disk(struct stgt *s)
{
	static const char *const calls[][2] = {
		{ "target.create", "{\"tid\": 1, \"name\": \"" TARGET "\"}" },
		{ "lun.create",
		  "{\"tid\": 1, \"lun\": 1, \"bstype\": \"mem\", \"bsopts\": \"size=64M\"}" },
	};
	struct stgt_error e;

	for (unsigned i = 0; i < 2; i++)
		if (stgt_call(s, calls[i][0], calls[i][1], NULL, &e))
			die(calls[i][0], &e);
}

/* Sense data in fixed format (SPC-5 4.4.3), what a target sends unless it is told otherwise. */
static void print_sense(const char *what, const struct stgt_command *c)
{
	const uint8_t *s = c->sense;

	fprintf(stderr, "%s: result %d, status %02x", what, c->result, c->status);
	if (c->sense_len >= 14)
		fprintf(stderr, ", sense key %x, additional sense %02x/%02x", s[2] & 0x0f, s[12],
			s[13]);
	fputc('\n', stderr);
}

static int is_unit_attention(const struct stgt_command *c)
{
	return c->status == STGT_CHECK_CONDITION && c->sense_len >= 14 && (c->sense[2] & 0x0f) == 6;
}

/*
 * Run a command with @len bytes of data-in or data-out at @data. A new initiator is told first that the
 * unit was powered on: a UNIT ATTENTION, after which the command is tried again. 0, or -1 and a line on stderr.
 */
static int run(struct stgt_session *session, const char *what, const uint8_t *cdb, unsigned cdb_len,
	       int out, void *data, size_t len)
{
	struct stgt_command *c = stgt_command_new(1);
	struct iovec memory = { data, len };
	int err = -1;

	if (!c)
		return -1;
	c->lun = 1;
	c->cdb_len = cdb_len;
	memcpy(c->cdb, cdb, cdb_len);
	if (out) {
		c->out = &memory;
		c->out_cnt = 1;
	} else {
		c->in = &memory;
		c->in_cnt = 1;
	}
	do {
		err = stgt_execute(session, c);
	} while (!err && !c->result && is_unit_attention(c));
	if (err || c->result || c->status != STGT_GOOD) {
		print_sense(what, c);
		err = -1;
	}
	stgt_command_free(c);
	return err;
}

static int use_disk(struct stgt_session *session)
{
	static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 96 };
	static const uint8_t write10[10] = { 0x2a, 0, 0, 0, 0, 7, 0, 0, 1 }; /* LBA 7, a block */
	static const uint8_t read10[10] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 1 };
	static uint8_t who[96], sent[BLOCK] = "kept by a target in this program", got[BLOCK];

	if (run(session, "INQUIRY", inquiry, sizeof(inquiry), 0, who, sizeof(who)))
		return 1;
	printf("vendor %.8s, product %.16s, revision %.4s\n", who + 8, who + 16, who + 32);
	if (run(session, "WRITE(10)", write10, sizeof(write10), 1, sent, sizeof(sent)) ||
	    run(session, "READ(10)", read10, sizeof(read10), 0, got, sizeof(got)))
		return 1;
	printf("block 7: %s\n", got);
	return memcmp(sent, got, sizeof(got)) != 0;
}

int main(void)
{
	struct stgt_options options = STGT_OPTIONS_INIT;
	struct stgt_session *session;
	struct stgt_error e;
	struct stgt *s;
	int status;

	options.log = told;
	options.log_level = STGT_LOG_WARN;
	s = stgt_create(&options, &e);
	if (!s)
		die("stgt_create", &e);
	make_disk(s);
	if (stgt_login(s, TARGET, INITIATOR, &session, &e))
		die("stgt_login", &e);
	status = use_disk(session);
	stgt_session_free(session);
	if (stgt_destroy(s, -1, &e)) /* -1: for as long as flushing takes */
		die("stgt_destroy", &e);
	return status;
}
