/* SPDX-License-Identifier: BSD-2-Clause */
#include "play.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct scenario *const lists[] = {
	data_scenarios,	   notify_scenarios,  task_scenarios, event_scenarios,
	restart_scenarios, message_scenarios, ring_scenarios, memory_scenarios,
};

void play_open(struct play *p)
{
	front_open(&p->f, p->path, &p->opts);
}

uint64_t play_disk(struct play *p, uint32_t *block_size)
{
	struct front_request r;
	uint64_t blocks;

	request_room(&p->f, &r, 64);
	r.indirect = p->indirect;
	blocks = disk_size(&r, block_size);
	check(blocks && *block_size >= 512 && *block_size <= 4096, "a disk of %llu x %u bytes",
	      (unsigned long long)blocks, *block_size);
	return blocks;
}

void play_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void play_hear(void)
{
	char line[128];

	if (!fgets(line, sizeof(line), stdin))
		front_die("nobody says how to go on");
}

void *play_memory(size_t len)
{
	void *p = malloc(len);

	if (!p)
		front_die("no memory");
	return p;
}

static uint64_t word(uint64_t block, uint32_t generation, uint32_t i)
{
	return (block + 1) * 0x9e3779b97f4a7c15ull ^ (generation + 1) * 0xd6e8feb86659fd93ull ^ i;
}

void play_pattern(uint8_t *to, uint64_t lba, uint32_t blocks, uint32_t block_size,
		  uint32_t generation)
{
	for (uint32_t b = 0; b < blocks; b++)
		for (uint32_t i = 0; i < block_size / 8; i++, to += 8)
			put_le64(to, word(lba + b, generation, i));
}

void play_compare(const uint8_t *data, uint64_t lba, uint32_t blocks, uint32_t block_size,
		  uint32_t generation, const char *what)
{
	for (uint32_t b = 0; b < blocks; b++)
		for (uint32_t i = 0; i < block_size / 8; i++, data += 8)
			check(le64_at(data) == word(lba + b, generation, i),
			      "%s: block %llu (%u of %u) at byte %u: not generation %u", what,
			      (unsigned long long)(lba + b), b, blocks, i * 8, generation);
}

static unsigned number(const char *text, unsigned most)
{
	char *end;
	unsigned long v = strtoul(text, &end, 0);

	if (*end || v > most)
		front_die("%s: a number up to %u is wanted", text, most);
	return (unsigned)v;
}

static void options(struct play *p, int argc, char **argv)
{
	static const struct option known[] = {
		{ "packed", 0, NULL, 'p' },
		{ "no-event-idx", 0, NULL, 'e' },
		{ "indirect", 0, NULL, 'i' },
		{ "queues", 1, NULL, 'q' },
		{ "ring", 1, NULL, 'r' },
		{ "lun", 1, NULL, 'l' },
		{ "slow", 1, NULL, 's' },
		{ "count", 1, NULL, 'c' },
		{ "no-inflight", 0, NULL, 'n' },
		{ "table", 0, NULL, 't' },
		{ NULL },
	};
	int ch;

	p->opts =
		(struct front_opts){ .features = FRONT_USUAL, .protocol = FRONT_PROTOCOL, .lun = 1 };
	p->slow_lun = 2;
	while ((ch = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (ch == 'p')
			p->opts.features |= BIT64(VIRTIO_F_RING_PACKED);
		else if (ch == 'e')
			p->opts.features &= ~BIT64(VIRTIO_F_EVENT_IDX);
		else if (ch == 'i')
			p->indirect = true;
		else if (ch == 'q')
			p->opts.queues = number(optarg, 64);
		else if (ch == 'r')
			p->opts.ring_size = number(optarg, FRONT_RING_MAX);
		else if (ch == 'l')
			p->opts.lun = number(optarg, 16383);
		else if (ch == 's')
			p->slow_lun = number(optarg, 16383);
		else if (ch == 'c')
			p->count = number(optarg, 1u << 30);
		else if (ch == 'n')
			p->opts.protocol &= ~BIT64(VU_P_INFLIGHT_SHMFD);
		else if (ch == 't')
			p->opts.protocol &= ~BIT64(VU_P_CONFIGURE_MEM_SLOTS);
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct play play;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(300);
	options(&play, argc, argv);
	if (argc - optind != 2)
		front_die("a socket and a scenario are needed");
	play.path = argv[optind];
	for (unsigned i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (const struct scenario *s = lists[i]; s->name; s++)
			if (!strcmp(s->name, argv[optind + 1])) {
				s->run(&play);
				front_close(&play.f);
				return 0;
			}
	front_die("%s: there is no such scenario", argv[optind + 1]);
}
