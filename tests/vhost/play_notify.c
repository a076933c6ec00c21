/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is woken when (virtio 1.2: 2.7.7, 2.7.10, 2.8.10). */
#include "play.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct front_request request[64];

static void make_requests(struct play *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		request_room(&p->f, &request[i], 0);
		cdb_none(&request[i], 0x00);
		request[i].indirect = true; /* one descriptor each, so that positions are numbers */
	}
}

/* Wait without interrupts, until the request has been answered and its turn is over. */
static void watch(struct play *p, struct front_request *r)
{
	uint64_t until = front_now_ms() + (uint64_t)front_patience();

	while (r->busy) {
		requests_reap(&p->f, 0);
		check(front_now_ms() < until, "no answer is seen in the ring");
	}
	front_barrier(&p->f);
	front_barrier(&p->f);
}

static void one(struct play *p, struct front_request *r)
{
	r->tag = 0;
	request_submit(r, 0);
	watch(p, r);
}

static void begin(struct play *p)
{
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	make_requests(p, 16);
	front_called(front_queue(&p->f, 0));
}

static void an_interrupt_comes_when_the_index_passes_the_event(struct play *p)
{
	struct front_ring *ring;

	p->opts.ring_size = 32; /* so that it happens at every place */
	begin(p);
	ring = front_queue(&p->f, 0);
	for (unsigned later = 0; later < 20; later++) {
		front_arm_later(ring, later);
		for (unsigned i = 0; i < later; i++) {
			one(p, &request[0]);
			check(!front_called(ring), "an interrupt after %u of %u", i + 1, later + 1);
		}
		one(p, &request[0]);
		check(front_called(ring), "no interrupt after %u", later + 1);
		one(p, &request[0]);
		check(!front_called(ring), "one more that nobody asked for");
	}
}

static void flags_suppress_interrupts(struct play *p)
{
	struct front_ring *ring;

	if (!(p->opts.features & BIT64(VIRTIO_F_RING_PACKED)))
		p->opts.features &= ~BIT64(VIRTIO_F_EVENT_IDX);
	begin(p);
	ring = front_queue(&p->f, 0);
	for (unsigned i = 0; i < 8; i++) {
		front_disarm(ring);
		one(p, &request[0]);
		check(!front_called(ring), "an interrupt that was switched off");
		front_arm(ring);
		one(p, &request[0]);
		check(front_called(ring), "no interrupt");
	}
}

/* What was made available by one kick, and is answered at once, is one interrupt. */
static void a_batch_is_one_interrupt(struct play *p)
{
	struct front_ring *ring;

	begin(p);
	ring = front_queue(&p->f, 0);
	for (unsigned round = 0; round < 10; round++) {
		uint64_t before = ring->calls;

		front_arm(ring);
		for (unsigned i = 0; i < 16; i++) {
			request[i].tag = 0;
			check(request_add(&request[i], 0), "the ring is full");
		}
		front_kick(ring);
		for (unsigned i = 0; i < 16; i++)
			watch(p, &request[i]);
		check(front_called(ring), "no interrupt");
		check(ring->calls == before + 1, "%u interrupts for a batch",
		      (unsigned)(ring->calls - before));
	}
}

/* With event index: the server has said that it wants to know of the very next request. */
static bool asks(const struct front_ring *r)
{
	if (!front_has(r->front, VIRTIO_F_RING_PACKED))
		return shared_le16(r->used + 4 + 8u * r->num) == r->next_avail;
	return shared_le16(r->used + 2) == EVENT_DESC &&
	       shared_le16(r->used) == (r->next_avail | (unsigned)r->avail_wrap << 15);
}

static void who_goes_to_sleep_asks_for_a_kick(struct play *p)
{
	struct front_ring *ring;

	p->opts.ring_size = 64;
	begin(p);
	ring = front_queue(&p->f, 0);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t until = front_now_ms() + (uint64_t)front_patience();

		while (!asks(ring))
			check(front_now_ms() < until, "it sleeps and has not asked to be woken");
		request[0].tag = 0;
		check(request_add(&request[0], 0), "the ring is full");
		check(front_kick(ring), "it asked, and is not kicked");
		watch(p, &request[0]);
	}
}

static void a_kick_without_news_is_harmless(struct play *p)
{
	begin(p);
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned r = 0; r < p->f.nrings; r++)
			front_kick_always(&p->f.ring[r]);
		one(p, &request[0]);
	}
	front_called(front_queue(&p->f, 0));
	front_kick_always(front_queue(&p->f, 0));
	front_barrier(&p->f);
	check(!front_called(front_queue(&p->f, 0)), "an interrupt for nothing");
}

static void interrupts_go_to_the_newest_descriptor(struct play *p)
{
	struct front_ring *ring;
	int old, fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	begin(p);
	ring = front_queue(&p->f, 0);
	old = ring->call;
	front_tell_fd(&p->f, VU_SET_VRING_CALL, ring->index, fresh);
	front_barrier(&p->f);
	front_called(ring); /* one may come with the exchange */
	ring->call = fresh;
	front_called(ring);
	front_arm(ring);
	one(p, &request[0]);
	check(front_called(ring), "no interrupt by the new descriptor");
	ring->call = old;
	check(!front_called(ring), "an interrupt by the old one");
	ring->call = fresh;
	close(old);
}

static void without_a_descriptor_the_ring_is_polled(struct play *p)
{
	struct front_ring *ring;

	begin(p);
	ring = front_queue(&p->f, 0);
	front_tell_fd(&p->f, VU_SET_VRING_CALL, ring->index, -1);
	front_barrier(&p->f);
	front_called(ring);
	front_arm(ring);
	one(p, &request[0]);
	check(!front_called(ring), "an interrupt by a descriptor that was withdrawn");
	front_tell_fd(&p->f, VU_SET_VRING_CALL, ring->index, ring->call);
	front_arm(ring);
	one(p, &request[0]);
	check(front_called(ring), "no interrupt");
}

static void a_counter_that_is_full_holds_nobody_up(struct play *p)
{
	const uint64_t most = UINT64_MAX - 1;
	struct front_ring *ring;

	begin(p);
	ring = front_queue(&p->f, 0);
	check(write(ring->call, &most, sizeof(most)) == sizeof(most), "the counter is not filled");
	check(!fcntl(ring->call, F_SETFL, 0), "the descriptor does not become blocking");
	front_arm(ring);
	one(p, &request[0]);
	front_arm(ring);
	one(p, &request[0]);
	check(!fcntl(ring->call, F_SETFL, O_NONBLOCK), "nor back");
	check(front_called(ring), "the count is gone");
	front_arm(ring);
	one(p, &request[0]);
	check(front_called(ring), "no interrupt after that");
}

/* A new kick descriptor is looked at, and what was there before it is not forgotten. */
static void kicks_come_by_the_newest_descriptor(struct play *p)
{
	struct front_ring *ring;
	int old;

	begin(p);
	ring = front_queue(&p->f, 0);
	for (unsigned i = 0; i < 5; i++) {
		old = ring->kick;
		ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		front_tell_fd(&p->f, VU_SET_VRING_KICK, ring->index, ring->kick);
		close(old);
		one(p, &request[0]);
	}
}

const struct scenario notify_scenarios[] = {
	{ "an_interrupt_comes_when_the_index_passes_the_event",
	  an_interrupt_comes_when_the_index_passes_the_event },
	{ "flags_suppress_interrupts", flags_suppress_interrupts },
	{ "a_batch_is_one_interrupt", a_batch_is_one_interrupt },
	{ "who_goes_to_sleep_asks_for_a_kick", who_goes_to_sleep_asks_for_a_kick },
	{ "a_kick_without_news_is_harmless", a_kick_without_news_is_harmless },
	{ "interrupts_go_to_the_newest_descriptor", interrupts_go_to_the_newest_descriptor },
	{ "without_a_descriptor_the_ring_is_polled", without_a_descriptor_the_ring_is_polled },
	{ "a_counter_that_is_full_holds_nobody_up", a_counter_that_is_full_holds_nobody_up },
	{ "kicks_come_by_the_newest_descriptor", kicks_come_by_the_newest_descriptor },
	{ NULL },
};
