/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify: random commands from several sessions at once, every byte read checked against a model.
 *
 * The model keeps a generation per block; a block's bytes follow from its number and its generation.
 * Commands in flight never overlap unless both only read, so what a read must return is known
 * whichever way they are reordered. Each session negotiates other keys (digests, immediate data,
 * bursts, R2Ts). At the end the whole disk is read back once more.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "initiator.h"

#define MAX_SESSIONS 16
#define MAX_DEPTH 64
#define MAX_IO (1u << 20) /* bytes */
#define MAYBE_ZERO \
	0x80000000u /* in a generation: unmapped since, so it may read as zeros instead */

enum verb { VERB_READ, VERB_WRITE, VERB_ZERO, VERB_UNMAP, VERB_SYNC };

struct task {
	bool busy, waits; /* waits: refused for now (TASK SET FULL, BUSY), to be sent again */
	enum verb verb;
	uint64_t lba;
	uint32_t blocks;
	struct ini_task t;
	uint8_t *buf;
};

static struct {
	const char *portals[MAX_SESSIONS], *target;
	unsigned nportals, sessions, depth, lun;
	uint64_t bytes, seed;
} opt = { .sessions = 4, .depth = 16, .lun = 1, .bytes = 64ull << 20, .seed = 1 };

static struct ini sessions[MAX_SESSIONS];
static struct task tasks[MAX_SESSIONS][MAX_DEPTH];
static uint32_t *model; /* generation of each block; 0: zeros */
static uint32_t generation;
static uint64_t blocks, rng, moved, count[VERB_SYNC + 1];
static uint32_t block_size;
static bool thin;

static uint64_t rnd(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng * 0x2545f4914f6cdd1dull >> 11) % below;
}

static uint64_t word_of(uint64_t block, uint32_t gen, uint32_t i)
{
	uint64_t w = (block + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)gen * 0xd6e8feb86659fd93ull;

	return gen ? w + i * 0xff51afd7ed558ccdull : 0;
}

static void fill(uint8_t *buf, uint64_t lba, uint32_t n)
{
	for (uint32_t b = 0; b < n; b++)
		for (uint32_t i = 0; i < block_size / 8; i++, buf += 8) {
			uint64_t w = word_of(lba + b, model[lba + b], i);

			memcpy(buf, &w, 8);
		}
}

static bool block_is(const uint8_t *buf, uint64_t block, uint32_t gen)
{
	for (uint32_t i = 0; i < block_size / 8; i++) {
		uint64_t w = word_of(block, gen, i);

		if (memcmp(buf + i * 8, &w, 8))
			return false;
	}
	return true;
}

static void check(const uint8_t *buf, uint64_t lba, uint32_t n, const char *who)
{
	for (uint32_t b = 0; b < n; b++, buf += block_size) {
		uint32_t gen = model[lba + b];

		if ((gen & MAYBE_ZERO) && block_is(buf, lba + b, 0))
			model[lba + b] = 0;
		else if (block_is(buf, lba + b, gen & ~MAYBE_ZERO))
			model[lba + b] = gen & ~MAYBE_ZERO;
		else
			ini_die("block %llu (of a read of %u from %llu, %s): not what generation "
				"%x wrote; it begins "
				"%02x%02x%02x%02x%02x%02x%02x%02x",
				(unsigned long long)(lba + b), n, (unsigned long long)lba, who, gen,
				buf[0], buf[1], buf[2], buf[3], buf[4], buf[5], buf[6], buf[7]);
	}
}

static bool is_free(uint64_t lba, uint32_t n, bool reads)
{
	for (unsigned s = 0; s < opt.sessions; s++)
		for (unsigned i = 0; i < opt.depth; i++) {
			const struct task *t = &tasks[s][i];

			if (t->busy && !(reads && t->verb == VERB_READ) && t->lba < lba + n &&
			    lba < t->lba + t->blocks)
				return false;
		}
	return true;
}

/* Lengths: mostly small, some of every size up to the largest, now and then the largest. */
static uint32_t random_length(void)
{
	uint32_t most = MAX_IO / block_size;

	switch (rnd(10)) {
	case 0:
		return most;
	case 1:
	case 2:
	case 3:
		return 1 + (uint32_t)rnd(most);
	case 4:
	case 5:
	case 6:
		return 1 + (uint32_t)rnd(64);
	default:
		return 1 + (uint32_t)rnd(8);
	}
}

static enum verb random_verb(void)
{
	uint64_t r = rnd(100);

	if (r < 46)
		return VERB_READ;
	if (r < 92)
		return VERB_WRITE;
	if (r < 95)
		return VERB_ZERO;
	if (r < 98)
		return thin ? VERB_UNMAP : VERB_READ;
	return VERB_SYNC;
}

/* READ or WRITE in the shape that chance chooses among those that can say it; with FUA at times. */
static unsigned build_rw(uint8_t *cdb, bool write, uint64_t lba, uint32_t n)
{
	uint8_t fua = rnd(8) == 0 ? 0x08 : 0;

	memset(cdb, 0, 16);
	switch (rnd(4)) {
	case 0:
		if (lba < (1u << 21) && n <= 256) {
			ini_p32(cdb, (uint32_t)lba);
			cdb[0] = write ? 0x0a : 0x08;
			cdb[4] = (uint8_t)n; /* 0 stands for 256 */
			return 6;
		}
		break;
	case 1:
		if (lba + n <= UINT32_MAX && n <= 0xffff) {
			cdb[0] = write ? 0x2a : 0x28;
			cdb[1] = fua;
			ini_p32(cdb + 2, (uint32_t)lba);
			cdb[7] = (uint8_t)(n >> 8);
			cdb[8] = (uint8_t)n;
			return 10;
		}
		break;
	case 2:
		if (lba + n <= UINT32_MAX) {
			cdb[0] = write ? 0xaa : 0xa8;
			cdb[1] = fua;
			ini_p32(cdb + 2, (uint32_t)lba);
			ini_p32(cdb + 6, n);
			return 12;
		}
		break;
	}
	cdb[0] = write ? 0x8a : 0x88;
	cdb[1] = fua;
	ini_p64(cdb + 2, lba);
	ini_p32(cdb + 10, n);
	return 16;
}

static void build(struct task *t)
{
	uint8_t *cdb = t->t.cdb;

	t->t.out_len = t->t.in_len = 0;
	memset(cdb, 0, 16);
	switch (t->verb) {
	case VERB_READ:
		build_rw(cdb, false, t->lba, t->blocks);
		t->t.in_len = t->blocks * block_size;
		break;
	case VERB_WRITE:
		build_rw(cdb, true, t->lba, t->blocks);
		t->t.out_len = t->blocks * block_size;
		fill(t->buf, t->lba, t->blocks);
		break;
	case VERB_ZERO: /* WRITE SAME(16), at times with UNMAP: zeros either way */
		cdb[0] = 0x93;
		cdb[1] = thin && rnd(2) ? 0x08 : 0;
		ini_p64(cdb + 2, t->lba);
		ini_p32(cdb + 10, t->blocks);
		t->t.out_len = block_size;
		memset(t->buf, 0, block_size);
		break;
	case VERB_UNMAP:
		cdb[0] = 0x42;
		cdb[8] = 24;
		memset(t->buf, 0, 24);
		t->buf[1] = 22;
		t->buf[3] = 16;
		ini_p64(t->buf + 8, t->lba);
		ini_p32(t->buf + 16, t->blocks);
		t->t.out_len = 24;
		break;
	case VERB_SYNC:
		cdb[0] = 0x35;
		break;
	}
	t->t.out = t->t.in = t->buf;
}

/* What is true once the command is done. Nobody looks before: ranges in flight do not overlap. */
static void change_model(struct task *t)
{
	for (uint32_t b = 0; b < t->blocks; b++) {
		if (t->verb == VERB_WRITE)
			model[t->lba + b] = generation;
		else if (t->verb == VERB_ZERO)
			model[t->lba + b] = 0;
		else if (t->verb == VERB_UNMAP && model[t->lba + b])
			model[t->lba + b] |= MAYBE_ZERO;
	}
}

/* Gives an idle task something to do; false if no free range was found. */
static bool choose(struct task *t)
{
	for (int tries = 0; tries < 16; tries++) {
		uint32_t n = random_length();

		t->verb = random_verb();
		t->blocks = t->verb == VERB_SYNC ? 0 : n;
		t->lba = rnd(blocks - n + 1);
		if (t->verb != VERB_SYNC && !is_free(t->lba, n, t->verb == VERB_READ))
			continue;
		if (t->verb == VERB_WRITE && ++generation == MAYBE_ZERO)
			ini_die("generations are used up");
		change_model(t);
		build(t);
		t->busy = true;
		t->waits = false;
		moved += (uint64_t)t->blocks * block_size;
		count[t->verb]++;
		return true;
	}
	return false;
}

static void finished(struct ini *c, struct ini_task *it)
{
	struct task *t = container(it, struct task, t);

	if (it->status == 0x08 || it->status == 0x28 || (it->status == 2 && it->key == 6)) {
		t->waits = true; /* BUSY, TASK SET FULL, UNIT ATTENTION: once more */
		return;
	}
	if (it->status)
		ini_die("session %u: CDB %02x, block %llu, %u blocks: status %02x, sense "
			"%x/%02x/%02x",
			c->id, it->cdb[0], (unsigned long long)t->lba, t->blocks, it->status,
			it->key, it->asc, it->ascq);
	if (t->verb == VERB_READ) {
		char who[32];

		snprintf(who, sizeof(who), "session %u", c->id);
		check(t->buf, t->lba, t->blocks, who);
	}
	t->busy = false;
}

/* Sends what the window allows; returns how many of the session's tasks are busy. */
static unsigned feed(unsigned s, bool more)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < opt.depth; i++) {
		struct task *t = &tasks[s][i];

		if (ini_window(&sessions[s]) &&
		    ((t->busy && t->waits) || (!t->busy && more && moved < opt.bytes && choose(t)))) {
			t->waits = false;
			ini_submit(&sessions[s], &t->t);
		}
		busy += t->busy;
	}
	return busy;
}

static void run(void)
{
	for (;;) {
		struct pollfd p[MAX_SESSIONS];
		unsigned busy = 0;

		for (unsigned s = 0; s < opt.sessions; s++) {
			busy += feed(s, true);
			ini_flush(&sessions[s]);
			p[s] = (struct pollfd){
				.fd = sessions[s].fd,
				.events = (short)(POLLIN | (ini_queued(&sessions[s]) ? POLLOUT : 0))
			};
		}
		if (!busy)
			return;
		if (poll(p, opt.sessions, 30000) <= 0)
			ini_die("no answer for 30 s, %u commands outstanding", busy);
		for (unsigned s = 0; s < opt.sessions; s++)
			if (p[s].revents & ~POLLOUT)
				ini_receive(&sessions[s], finished);
	}
}

static void single(struct ini *c, struct task *t)
{
	do {
		t->waits = false;
		t->busy = true;
		ini_submit(c, &t->t);
		while (t->busy && !t->waits) {
			struct pollfd p = { .fd = c->fd,
					    .events = (short)(POLLIN |
							      (ini_queued(c) ? POLLOUT : 0)) };

			ini_flush(c);
			if (poll(&p, 1, 30000) <= 0)
				ini_die("no answer for 30 s");
			if (p.revents & ~POLLOUT)
				ini_receive(c, finished);
		}
	} while (t->waits);
}

static void read_capacity(struct ini *c, struct task *t)
{
	memset(t->t.cdb, 0, 16);
	t->verb = VERB_SYNC;
	t->t.cdb[0] = 0x9e;
	t->t.cdb[1] = 0x10;
	t->t.cdb[13] = 32;
	t->t.in = t->buf;
	t->t.in_len = 32;
	t->t.out_len = 0;
	single(c, t);
	blocks = ini_g64(t->buf) + 1;
	block_size = ini_g32(t->buf + 8);
	thin = (t->buf[14] & 0xc0) == 0xc0; /* LBPME, LBPRZ */
	if (block_size < 512 || block_size > 4096 || blocks * block_size < 2 * MAX_IO ||
	    blocks > 1ull << 31)
		ini_die("%llu blocks of %u bytes: cannot work with that",
			(unsigned long long)blocks, block_size);
}

static void read_everything(struct ini *c, struct task *t)
{
	uint32_t step = MAX_IO / block_size;

	for (uint64_t lba = 0; lba < blocks; lba += step) {
		t->verb = VERB_READ;
		t->lba = lba;
		t->blocks = blocks - lba < step ? (uint32_t)(blocks - lba) : step;
		build(t);
		single(c, t);
	}
}

static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (*end || v < least || v > most)
		ini_die("--%s %s: a number from %llu to %llu is wanted", name, text,
			(unsigned long long)least, (unsigned long long)most);
	return v;
}

static void options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "portal", 1, NULL, 'p' },   { "target", 1, NULL, 't' }, { "lun", 1, NULL, 'l' },
		{ "sessions", 1, NULL, 's' }, { "depth", 1, NULL, 'd' },  { "mib", 1, NULL, 'm' },
		{ "seed", 1, NULL, 'r' },     { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'p':
			if (opt.nportals < MAX_SESSIONS)
				opt.portals[opt.nportals++] = optarg;
			break;
		case 't':
			opt.target = optarg;
			break;
		case 'l':
			opt.lun = (unsigned)number("lun", optarg, 0, 255);
			break;
		case 's':
			opt.sessions = (unsigned)number("sessions", optarg, 1, MAX_SESSIONS);
			break;
		case 'd':
			opt.depth = (unsigned)number("depth", optarg, 1, MAX_DEPTH);
			break;
		case 'm':
			opt.bytes = number("mib", optarg, 1, 1u << 20) << 20;
			break;
		case 'r':
			opt.seed = number("seed", optarg, 1, UINT32_MAX);
			break;
		default:
			exit(2);
		}
	}
	if (!opt.nportals || !opt.target)
		ini_die("--portal HOST:PORT (may be repeated) and --target NAME are needed");
}

int main(int argc, char **argv)
{
	options(argc, argv);
	rng = opt.seed * 0x9e3779b97f4a7c15ull | 1;
	for (unsigned s = 0; s < opt.sessions; s++) {
		ini_login(&sessions[s], s, opt.portals[s % opt.nportals], opt.target, opt.lun);
		for (unsigned i = 0; i < opt.depth; i++)
			tasks[s][i].buf = malloc(MAX_IO);
	}
	read_capacity(&sessions[0], &tasks[0][0]);
	model = calloc(blocks, sizeof(*model));
	if (!model)
		ini_die("no memory for the model");
	run();
	read_everything(&sessions[opt.sessions - 1], &tasks[0][0]);
	for (unsigned s = 0; s < opt.sessions; s++)
		ini_logout(&sessions[s]);
	printf("%llu MiB in %llu reads, %llu writes, %llu write-sames, %llu unmaps, %llu flushes; "
	       "seed %llu\n",
	       (unsigned long long)(moved >> 20), (unsigned long long)count[VERB_READ],
	       (unsigned long long)count[VERB_WRITE], (unsigned long long)count[VERB_ZERO],
	       (unsigned long long)count[VERB_UNMAP], (unsigned long long)count[VERB_SYNC],
	       (unsigned long long)opt.seed);
	for (unsigned s = 0; s < opt.sessions; s++)
		for (unsigned i = 0; i < opt.depth; i++)
			free(tasks[s][i].buf);
	free(model);
	return 0;
}
