/* SPDX-License-Identifier: BSD-2-Clause */
/* The event queue (virtio 1.2: 5.6.6.3): LUNs that come, go and change. */
#include "play.h"

#define NEW_LUN 7
#define CAPACITY_CHANGED (0x2a | 0x09 << 8) /* additional sense code and qualifier */

static void is_about(const struct front_event *e, uint32_t event, unsigned lun, uint32_t reason)
{
	uint8_t bytes[8];

	lun_bytes(bytes, 0, lun);
	check(e->event == event, "event %#x, not %#x", e->event, event);
	check(e->reason == reason, "reason %#x, not %#x", e->reason, reason);
	check(e->lun[0] == 1 && e->lun[1] == 0, "an event of target %u", e->lun[1]);
	check((e->lun[2] & 0x3f) == bytes[2] - 0x40 && e->lun[3] == bytes[3],
	      "an event of LUN %02x%02x", e->lun[2], e->lun[3]);
}

static void next(struct play *p, struct front_event *e)
{
	check(event_wait(&p->f, e, true), "no event");
}

static void a_lun_that_comes_or_goes_is_told(struct play *p)
{
	struct front_event e;

	play_open(p);
	events_post(&p->f, 8);
	play_ask("add");
	next(p, &e);
	is_about(&e, VS_TRANSPORT_RESET, NEW_LUN, VS_RESET_RESCAN);
	play_ask("remove");
	next(p, &e);
	is_about(&e, VS_TRANSPORT_RESET, NEW_LUN, VS_RESET_REMOVED);
}

static void a_new_size_is_told(struct play *p)
{
	uint64_t before, after;
	struct front_event e;
	uint32_t size;

	play_open(p);
	events_post(&p->f, 8);
	before = play_disk(p, &size);
	play_ask("resize");
	next(p, &e);
	is_about(&e, VS_PARAM_CHANGE, p->opts.lun, CAPACITY_CHANGED);
	after = play_disk(p, &size);
	check(before != after, "still %llu blocks", (unsigned long long)before);
}

/* Until a command to the LUN is not refused for want of a LUN: the server has it. */
static void wait_for_lun(struct play *p, unsigned lun)
{
	uint64_t until = front_now_ms() + (uint64_t)front_patience();
	struct front_request r;

	request_room(&p->f, &r, 0);
	lun_bytes(r.lun, 0, lun);
	do {
		cdb_none(&r, 0x00);
		request_do_patiently(&r);
		check(front_now_ms() < until, "LUN %u does not come", lun);
	} while (r.status);
	front_barrier(&p->f);
}

static void events_without_a_buffer_are_missed_and_that_is_told(struct play *p)
{
	struct front_event e;

	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	play_ask("add");
	wait_for_lun(p, NEW_LUN);
	events_post(&p->f, 4);
	check(event_wait(&p->f, &e, true), "that an event was missed is not told");
	check(e.event & VS_EVENTS_MISSED, "event %#x: none was missed?", e.event);
	play_ask("remove");
	next(p, &e);
	is_about(&e, VS_TRANSPORT_RESET, NEW_LUN, VS_RESET_REMOVED);
}

static void who_did_not_agree_to_events_gets_none(struct play *p)
{
	struct front_event e;

	p->opts.features &= ~(BIT64(VIRTIO_SCSI_F_HOTPLUG) | BIT64(VIRTIO_SCSI_F_CHANGE));
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	events_post(&p->f, 4);
	play_ask("add");
	wait_for_lun(p, NEW_LUN);
	check(!event_take(&p->f, &e, false), "event %#x", e.event);
	play_ask("remove");
}

const struct scenario event_scenarios[] = {
	{ "a_lun_that_comes_or_goes_is_told", a_lun_that_comes_or_goes_is_told },
	{ "a_new_size_is_told", a_new_size_is_told },
	{ "events_without_a_buffer_are_missed_and_that_is_told",
	  events_without_a_buffer_are_missed_and_that_is_told },
	{ "who_did_not_agree_to_events_gets_none", who_did_not_agree_to_events_gets_none },
	{ NULL },
};
