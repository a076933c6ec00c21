/* SPDX-License-Identifier: BSD-2-Clause */
#include "play_hostile.h"

#include <poll.h>
#include <unistd.h>

void hostile_begin(struct play *p)
{
	front_init(&p->f, &p->opts);
	front_add_region(&p->f, 0x100000, 4 << 20, 0);
	front_connect(&p->f, p->path);
	front_negotiate(&p->f);
}

bool refused(struct front *f, uint32_t request, const void *payload, uint32_t len, const int *fds,
	     unsigned nfds)
{
	uint8_t answer[64];
	int n;

	if (!front_send(f, request, VU_VERSION | VU_NEED_REPLY, payload, len, fds, nfds))
		return true;
	n = front_reply(f, request, answer, sizeof(answer), NULL);
	return n < 0 || (n == 8 && le64_at(answer));
}

bool refused_u64(struct front *f, uint32_t request, uint64_t value)
{
	uint8_t payload[8];

	put_le64(payload, value);
	return refused(f, request, payload, sizeof(payload), NULL, 0);
}

bool refused_ring(struct front *f, uint32_t request, unsigned index, uint32_t num)
{
	uint8_t payload[VU_VRING_STATE];

	put_le32(payload, index);
	put_le32(payload + 4, num);
	return refused(f, request, payload, sizeof(payload), NULL, 0);
}

bool front_barrier_or_end(struct front *f)
{
	uint8_t answer[8];

	return !front_send(f, VU_GET_FEATURES, VU_VERSION, NULL, 0, NULL, 0) ||
	       front_reply(f, VU_GET_FEATURES, answer, sizeof(answer), NULL) < 0;
}

enum outcome outcome_of(struct front *f, struct front_ring *r)
{
	struct pollfd p[2] = { { .fd = f->sock, .events = POLLIN },
			       { .fd = r->err, .events = POLLIN } };
	uint64_t until = front_now_ms() + (uint64_t)front_patience(), n;

	do {
		poll(p, 2, 5);
		if (p[1].revents && read(r->err, &n, sizeof(n)) == sizeof(n))
			return OUT_RING_ERROR;
		if (p[0].revents && front_gone(f))
			return OUT_ENDED;
		if (front_has_used(r))
			return OUT_USED;
	} while (front_now_ms() < until);
	return OUT_NOTHING;
}

void still_serves(struct play *p)
{
	front_close(&p->f);
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	front_close(&p->f);
	front_init(&p->f, &p->opts);
}
