/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests on the control socket of a whole daemon, while an initiator is logged
 * in: every verb, two clients at a time. Each request is answered exactly once, in order, with
 * one line of JSON; and whatever was made and changed, the daemon can be cleared to the last byte.
 *
 * Input: chance (1 byte), then records, each with a kind (bits 0-2), a client
 * (bit 3) and how what is sent is cut in pieces (bits 4-7):
 *	a request: verb (1 byte), how (1 byte), bytes that choose parameters (request.c)
 *	a line: length (2 bytes) and text, to which the end is added; bytes: length (1 byte), bytes
 *	something else: the daemon runs, time passes, a client leaves, the initiator does something
 *
 * Files are only opened and made in a folder of our own; no portal is opened, since a
 * simulated host cannot accept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "initiator.h"
#include "request.h"
#include "store/registry.h"
#include "transport/iscsi/portal.h"

#define RECORDS_MAX 40
#define CLIENTS 2
#define CLIENTS_MAX 8 /* of an input */
#define VERBS_MAX 64
#define FILES 4

enum { REQUEST, REQUEST_TOO, REQUEST_THREE, LINE, BYTES, RUN, CLIENT, INITIATOR };
enum { NOTIFY = 1, GO_ON = 2 }; /* how of a request: without id; not waited for */

static struct client {
	struct peer peer;
	bool wild; /* lines were sent that the input made up */
	bool deaf; /* does not read */
	unsigned asked, notes, answers; /* requests with id, notifications; answers */
	unsigned next; /* the id of the next answer */
} client[CLIENTS];
static unsigned clients; /* of this input */
static struct initiator initiator;

/* ---- the daemon's verbs, kept within our folder ---------------------------------------------- */

static struct verb verbs[VERBS_MAX + 1];
static unsigned nverbs;
static char folder[96]; /* the only place for files */
static const char *const files[FILES] = { "disk", "folder", "missing", "new" };

static void file_path(char *out, size_t room, unsigned i)
{
	snprintf(out, room, "%s/%s", folder, files[i % FILES]);
}

/* A path that would be opened becomes one of ours. */
static void keep_in(struct call *c, const char *default_type)
{
	bool needs_path;
	const char *path = call_str(c, "path", NULL);
	char ours[128];

	if (!path || store_type_check(call_str(c, "bstype", default_type), &needs_path, NULL) ||
	    !needs_path)
		return;
	file_path(ours, sizeof(ours), (unsigned)strlen(path));
	json_object_set_new(c->params, "path", json_string(ours));
}

static void run_export(struct call *c)
{
	keep_in(c, "file");
	verb_export(c);
}

static void run_lun_create(struct call *c)
{
	keep_in(c, "rdwr");
	verb_lun_create(c);
}

static void run_lun_swap(struct call *c)
{
	keep_in(c, "file");
	verb_lun_swap(c);
}

static void run_portal_add(struct call *c)
{
	struct sockaddr_storage to[2] = { 0 };

	if (portal_parse(call_str(c, "portal", ""), to, NULL) > 0)
		call_failf(c, FAIL_INVALID, -EADDRNOTAVAIL, "there is no such address here");
	else
		verb_portal_add(c);
}

static const struct {
	void (*run)(struct call *c), (*instead)(struct call *c);
} guards[] = {
	{ verb_export, run_export },
	{ verb_lun_create, run_lun_create },
	{ verb_lun_swap, run_lun_swap },
	{ verb_portal_add, run_portal_add },
};

static void guard_verbs(void)
{
	for (nverbs = 0; control_verbs[nverbs].name; nverbs++) {
		tgtd_check(nverbs < VERBS_MAX);
		verbs[nverbs] = control_verbs[nverbs];
		for (unsigned i = 0; i < array_size(guards); i++)
			if (verbs[nverbs].run == guards[i].run)
				verbs[nverbs].run = guards[i].instead;
	}
}

static void remove_new_files(void)
{
	char path[128];

	for (unsigned i = 2; i < FILES; i++) {
		file_path(path, sizeof(path), i);
		unlink(path);
	}
}

static void remove_files(void)
{
	char path[128];

	remove_new_files();
	file_path(path, sizeof(path), 0);
	unlink(path);
	file_path(path, sizeof(path), 1);
	rmdir(path);
	rmdir(folder);
}

static void make_files(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[128];
	int fd;

	snprintf(folder, sizeof(folder), "%s/stgt-fuzz.XXXXXX", tmp ? tmp : "/tmp");
	tgtd_check(mkdtemp(folder));
	atexit(remove_files);
	file_path(path, sizeof(path), 0);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	tgtd_check(fd >= 0 && !ftruncate(fd, 1 << 20));
	close(fd);
	file_path(path, sizeof(path), 1);
	tgtd_check(!mkdir(path, 0700));
}

/* ---- clients ------------------------------------------------------------------------------- */

static void judge(struct client *c, const json_t *a)
{
	const json_t *id = json_object_get(a, "id");
	const char *version = json_string_value(json_object_get(a, "jsonrpc"));
	char expected[16];

	tgtd_check(json_is_object(a) && version && !strcmp(version, "2.0") && id);
	tgtd_check(!json_object_get(a, "result") != !json_object_get(a, "error"));
	c->answers++;
	if (c->wild)
		return;
	if (json_is_null(id)) { /* a notification that failed */
		tgtd_check(json_object_get(a, "error") && c->notes);
		c->notes--;
		c->answers--;
		return;
	}
	snprintf(expected, sizeof(expected), "q%u", c->next++);
	tgtd_check(json_is_string(id) && !strcmp(json_string_value(id), expected));
	tgtd_check(c->answers <= c->asked);
}

static void listen_to(struct peer *p)
{
	struct client *c = container_of(p, struct client, peer);
	uint8_t *end;

	if (c->deaf)
		return;
	peer_receive(p);
	tgtd_check(p->in_len < PEER_ROOM);
	while ((end = memchr(p->in, '\n', p->in_len))) {
		json_t *a = json_loadb((const char *)p->in, (size_t)(end - p->in), 0, NULL);

		tgtd_check(a);
		judge(c, a);
		json_decref(a);
		peer_take(p, (size_t)(end + 1 - p->in));
	}
}

static bool listens(struct client *c)
{
	if (c->peer.sp)
		listen_to(&c->peer);
	return true;
}

/* Every request of @c is answered, or it has been cut off. */
static bool has_all(struct client *c)
{
	return !c->peer.sp || !listens(c) || c->peer.ended || c->wild || c->deaf ||
	       c->answers == c->asked;
}

static bool come(struct client *c)
{
	if (c->peer.sp && c->peer.ended)
		peer_leave(&c->peer, false);
	if (c->peer.sp)
		return true;
	if (clients++ >= CLIENTS_MAX)
		return false;
	c->wild = c->deaf = false;
	c->asked = c->notes = c->answers = c->next = 0;
	peer_connect_control(&c->peer);
	return true;
}

static void request(struct client *c, struct input *in, size_t piece)
{
	const struct verb *v = &verbs[input_byte(in) % nverbs];
	uint8_t how = input_byte(in);
	char id[16], *line;
	size_t len;

	snprintf(id, sizeof(id), "q%u", c->asked);
	line = request_line(v, how & NOTIFY ? NULL : id, in, &len);
	if (how & NOTIFY)
		c->notes++;
	else
		c->asked++;
	sim_say("client %u: %.*s", (unsigned)(c - client), (int)len - 1, line);
	peer_send(&c->peer, line, len, piece, listen_to);
	free(line);
	if (!(how & GO_ON))
		tgtd_until(has_all(c));
}

static void do_client(struct client *c, unsigned what)
{
	switch (what & 3) {
	case 0:
		c->deaf = !c->deaf;
		break;
	case 1:
		sim_peer_shut(c->peer.sp);
		c->wild = true;
		break;
	default:
		peer_leave(&c->peer, what & 1);
		break;
	}
}

/* ---- the initiator -------------------------------------------------------------------------- */

static void send_command(uint8_t what, uint8_t lun)
{
	static const struct {
		uint8_t cdb[16], flags;
		uint32_t expected;
	} commands[] = {
		{ { 0x00 }, 0, 0 }, /* TEST UNIT READY */
		{ { 0x12, 0, 0, 0, 255 }, COMMAND_READ, 255 }, /* INQUIRY */
		{ { 0x28, 0, 0, 0, 0, 0, 0, 0, 8 }, COMMAND_READ, 4096 }, /* READ(10) */
		{ { 0x2a, 0, 0, 0, 0, 0, 0, 0, 8 }, COMMAND_WRITE, 4096 }, /* WRITE(10) */
		{ { 0x35 }, 0, 0 }, /* SYNCHRONIZE CACHE(10) */
		{ { 0x16 }, 0, 0 }, /* RESERVE(6) */
		{ { 0x1e, 0, 0, 0, 1 }, 0, 0 }, /* PREVENT MEDIUM REMOVAL */
		{ { 0x1b, 0, 0, 0, 2 }, 0, 0 }, /* START STOP UNIT: eject */
		{ { 0xa0, 0, 0, 0, 0, 0, 0, 0, 1 }, COMMAND_READ, 256 }, /* REPORT LUNS */
		{ { 0x5a, 0, 0x3f, 0xff, 0, 0, 0, 0, 255 }, COMMAND_READ, 255 }, /* MODE SENSE */
	};
	unsigned i = what % array_size(commands);
	union pdu h = initiator_command(&initiator, lun, commands[i].cdb, 16, commands[i].flags,
					commands[i].expected);

	peer_send(&initiator.peer, &h, sizeof(h), 0, initiator_listen);
}

static void do_initiator(struct input *in, size_t piece)
{
	uint8_t what = input_byte(in), lun = input_byte(in) & 3;
	struct input pdu;

	if (initiator.peer.ended)
		peer_leave(&initiator.peer, false);
	if (!initiator.peer.sp) {
		initiator_login(&initiator, what >> 4 & 1, 3);
	} else if (what >= 0xf8) {
		peer_leave(&initiator.peer, what & 1);
	} else if (what >= 0xe0) {
		pdu = input_piece(in, input_byte(in));
		initiator_send(&initiator, &pdu, piece);
	} else {
		send_command(what, lun);
	}
	if (initiator.peer.sp)
		initiator_listen(&initiator.peer);
}

/* ---- an input --------------------------------------------------------------------------------- */

static void set_up(void)
{
	if (!tgtd.control) {
		guard_verbs();
		tgtd_begin(verbs);
		make_files();
	}
	tgtd_do("target.create", "'tid':1,'name':'" INITIATOR_TARGET "'");
	tgtd_do("acl.add", "'tid':1,'address':'ALL'");
	tgtd_do("lun.create", "'tid':1,'lun':1,'bstype':'mem','bsopts':'size=1M'");
	tgtd_do("account.create", "'user':'joe','password':'secret123456'");
}

static void run(struct input *in)
{
	unsigned what = input_byte(in), n = what >> 1;

	if (what & 1)
		tgtd_wait((uint64_t)n * n * 30 * NSEC_PER_MSEC);
	else
		tgtd_steps(n);
}

static void send_text(struct client *c, struct input text, size_t piece)
{
	c->wild = true;
	peer_send(&c->peer, text.p, text.left, piece, listen_to);
}

static void play(struct input *in)
{
	uint8_t op = input_byte(in);
	struct client *c = &client[op >> 3 & 1];
	size_t piece = peer_piece(op >> 4);

	if ((op & 7) == RUN)
		run(in);
	else if ((op & 7) == INITIATOR)
		do_initiator(in, piece);
	else if (!come(c))
		in->left = 0;
	else if ((op & 7) == CLIENT)
		do_client(c, input_byte(in));
	else if ((op & 7) == LINE) {
		send_text(c, input_piece(in, input_number(in, 2)), piece);
		peer_send(&c->peer, "\n", 1, 0, listen_to);
		tgtd_steps(8);
	} else if ((op & 7) == BYTES)
		send_text(c, input_piece(in, input_byte(in)), piece);
	else
		request(c, in, piece);
	for (unsigned i = 0; i < CLIENTS; i++)
		listens(&client[i]);
}

static void end(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		tgtd_until(has_all(&client[i]));
		peer_leave(&client[i].peer, i);
	}
	peer_leave(&initiator.peer, true);
	tgtd_idle();
	if (tgtd.c.trace.exists)
		tgtd_do("trace.clear", "");
	tgtd_clear();
	remove_new_files();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	set_up();
	tgtd_input(input_byte(&in));
	clients = 0;
	initiator_login(&initiator, 0, 3);
	for (unsigned i = 0; i < RECORDS_MAX && in.left; i++)
		play(&in);
	*sim_faults() = (struct sim_faults){ 0 };
	end();
	return 0;
}
