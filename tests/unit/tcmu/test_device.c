/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices of a kernel in the test: found, served, taken away; commands, aborts, restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "base/be.h"
#include "base/log.h"
#include "sam/transport.h"
#include "transport/tcmu/uapi.h"
#include "world.h"

static const uint8_t tur[6], inquiry[6] = { 0x12, [4] = 255 };

static void quiet(enum log_level level, const char *text)
{
}

static int setup(void **state)
{
	world_begin();
	return 0;
}

static int teardown(void **state)
{
	world_end();
	return 0;
}

static bool serves(unsigned minor)
{
	return world_device(minor) && world_device(minor)->state == TCMU_SERVES;
}

static bool waits(unsigned minor, const char *why)
{
	return world_device(minor) && world_device(minor)->state == TCMU_WAITS &&
	       strstr(world_device(minor)->why, why);
}

/* ---- a session of another transport, which takes what LUNs it gets ---- */

static struct {
	struct claim claim;
	struct it_nexus *nexus;
	struct msg msg;
} other;

static void other_drained(struct it_nexus *n)
{
	other.nexus = NULL;
}

static const struct transport_ops other_ops = {
	.name = "other",
	.nexus_drained = other_drained,
	.close_session = nexus_drop,
};

static void other_starts(struct msg *m)
{
	nexus_start(other.claim.nexus, NULL);
	other.nexus = other.claim.nexus;
}

static void other_claimed(struct claim *c)
{
	assert_int_equal(c->answer, LOGIN_OK);
	reactor_post(c->nexus->reactor, &other.msg, other_starts);
}

static void other_comes(void)
{
	memset(&other, 0, sizeof(other));
	other.claim = (struct claim){
		.tpgt = 1, .tops = &other_ops, .done = other_claimed, .local = true
	};
	snprintf(other.claim.initiator, sizeof(other.claim.initiator), "other");
	snprintf(other.claim.target, sizeof(other.claim.target), "%s", WORLD_TARGET);
	reactor_turn(world.control, 0);
	claim_run(&world.ts, &other.claim);
	world_until(other.nexus);
}

static bool other_is_listed(void)
{
	const struct it_nexus *n;

	list_for_each(n, &world.target->nexuses, target_link)
		if (n->tops == &other_ops)
			return true;
	return false;
}

static void other_goes(void)
{
	reactor_turn(world.control, 0);
	target_close_nexus(other.nexus);
	world_until(!other_is_listed());
	reactor_turn(world.control, 0);
	tcmu_look_again(world.server); /* as control does */
}

/* ---- coming ---- */

static void a_device_that_is_there_at_the_start_is_served(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel_cmd *c;

	world_serve();
	world_ready(u);
	c = world_run(u, inquiry, 6, KERNEL_IN, NULL, 255);
	assert_int_equal(c->status, 0);
	assert_int_equal(c->in[0], 0); /* a disk */
	assert_int_equal(c->in[3] & 0xf, 2); /* format of the data, SPC-5 6.7.2 */
}

static void a_device_that_comes_is_answered_and_served(void **state)
{
	unsigned u;

	world_serve();
	u = world_add("user_0/a", WORLD_CONFIG, true);
	world_until(world.replies);
	assert_int_equal(world.reply_cmd, TCMU_CMD_ADDED_DEVICE_DONE);
	assert_int_equal(world.reply_id, 1000 + u);
	assert_int_equal(world.reply_status, 0);
	world_ready(u);
}

static void a_config_that_makes_no_sense_is_refused(void **state)
{
	world_serve();
	log_to(quiet);
	world_add("user_0/a", "stgt/" WORLD_TARGET "/one", true);
	world_until(world.replies);
	assert_int_equal(world.reply_status, -EINVAL);
	assert_null(world_device(0));
}

static void another_handlers_device_is_left_alone(void **state)
{
	world_serve();
	world_add("user_0/a", "qcow//img", true);
	world_add("user_0/b", WORLD_CONFIG, true);
	world_until(world.replies);
	assert_int_equal(world.reply_id, 1001);
	assert_null(world_device(0));
}

static void what_nobody_answered_is_answered_at_the_end(void **state)
{
	world_serve();
	world_add("user_0/a", "qcow//img", true);
	world_add("user_0/b", WORLD_CONFIG, true);
	world_until(world.replies);
	world_stop(0);
	assert_int_equal(world.replies, 2);
	assert_int_equal(world.reply_id, 1000);
	assert_int_equal(world.reply_status, -ENODEV);
}

static void a_question_that_was_answered_is_left_alone(void **state)
{
	unsigned u;

	world_serve();
	u = world_add("user_0/a", "qcow//img", true);
	/* another handler has answered, or this would not be asked */
	world_tell(TCMU_CMD_REMOVED_DEVICE, u, world.uio[u].name);
	world_add("user_0/b", WORLD_CONFIG, true);
	world_until(world.replies);
	world_stop(0);
	assert_int_equal(world.replies, 2);
	assert_int_equal(world.reply_cmd, TCMU_CMD_REMOVED_DEVICE_DONE);
	assert_int_equal(world.reply_id, 1000);
}

static void a_module_that_is_loaded_later_is_found(void **state)
{
	unsigned u;

	world.family = false;
	world_serve();
	assert_false(world.promised);
	world_tell_family();
	world_until(world.promised);
	u = world_add("user_0/a", WORLD_CONFIG, true);
	world_until(serves(u));
}

static void many_devices_are_served_at_once(void **state)
{
	char name[32];

	for (unsigned i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "user_%u/disk%u", i / 4, i);
		world_add(name, WORLD_CONFIG "/shared=unsafe", false);
	}
	world_serve();
	for (unsigned i = 0; i < 64; i++)
		world_ready(i);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(
			world_run(i, kernel_rw(false, i, 1), 10, KERNEL_IN, NULL, 512)->status, 0);
}

/* ---- waiting ---- */

static void a_device_waits_for_its_lun(void **state)
{
	unsigned u = world_add("user_0/a", "stgt/" WORLD_TARGET "/2", false);
	uint16_t id;

	world_unmap(2);
	world_serve();
	world_until(waits(u, "not mapped"));
	id = kernel_queue(&world.uio[u].k, tur, 6, KERNEL_NONE, NULL, 0);
	world_map(2);
	reactor_turn(world.control, 0);
	tcmu_look_again(world.server);
	world_until(serves(u));
	world_until(world.uio[u].k.cmd[id].done);
}

static void a_device_waits_for_its_target(void **state)
{
	unsigned u = world_add("user_0/a", "stgt/iqn.2026-11.test:other/1", false);

	world_serve();
	world_until(waits(u, "no target"));
}

static void the_lun_of_a_device_is_its_own(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false),
		 v = world_add("user_0/b", WORLD_CONFIG, false);

	world_serve();
	world_until(serves(u) || serves(v));
	world_until(waits(serves(u) ? v : u, "not to be shared"));
	assert_string_equal(target_lun(world.target, 1)->reserved, "tcmu");
}

static void a_device_that_does_not_open_is_in_nobodys_way(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false),
		 v = world_add("user_0/b", WORLD_CONFIG, false);

	world.uio[u].open = true;
	world.uio[v].open = true;
	world_serve();
	world_until(waits(u, "another process") || waits(v, "another process"));
	world.uio[v].open = false;
	world_ready(v);
	world.uio[u].open = false;
}

static void who_shares_does_not_share_what_is_anothers(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false),
		 v = world_add("user_0/b", WORLD_CONFIG "/shared=unsafe", false);

	world_serve();
	world_ready(u);
	world_until(waits(v, "not to be shared"));
	world_tell(TCMU_CMD_REMOVED_DEVICE, u, world.uio[u].name);
	world_until(!world_device(u));
	world_ready(v);
	assert_null(target_lun(world.target, 1)->reserved);
}

static void a_lun_has_the_device_that_serves_it(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG "/shared=unsafe", false),
		 v = world_add("user_0/b", WORLD_CONFIG "/shared=unsafe", false);

	world.uio[u].open = true;
	world_serve();
	world_ready(v);
	assert_non_null(world_device(u));
	assert_ptr_equal(tcmu_find(world.server, WORLD_TARGET, 1), world_device(v));
	world.uio[u].open = false;
}

static void an_unsafe_device_shares_its_lun(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG "/shared=unsafe", false);
	unsigned v = world_add("user_0/b", WORLD_CONFIG "/shared=unsafe", false);

	world_serve();
	world_ready(u);
	world_ready(v);
	assert_null(target_lun(world.target, 1)->reserved);
}

static void a_device_in_other_hands_is_tried_again(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);

	world.uio[u].open = true;
	world_serve();
	world_until(waits(u, "another process"));
	assert_null(target_lun(world.target, 1)->reserved);
	world.uio[u].open = false;
	reactor_turn(world.control, 0);
	tcmu_look_again(world.server);
	world_ready(u);
}

/* ---- commands ---- */

static void what_is_written_comes_back(void **state)
{
	static uint8_t data[16 * KERNEL_BLOCK];
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel_cmd *c;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 512);
	world_serve();
	world_ready(u)->scatter = true;
	assert_int_equal(
		world_run(u, kernel_rw(true, 5, 128), 10, KERNEL_OUT, data, sizeof(data))->status,
		0);
	c = world_run(u, kernel_rw(false, 5, 128), 10, KERNEL_IN, NULL, sizeof(data));
	assert_int_equal(c->status, 0);
	assert_int_equal(c->in_len, sizeof(data));
	assert_memory_equal(c->in, data, sizeof(data));
}

static void a_command_that_fails_brings_its_sense(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel_cmd *c;

	world_serve();
	world_ready(u);
	c = world_run(u, kernel_rw(false, 0x7fffffff, 1), 10, KERNEL_IN, NULL, 512);
	assert_int_equal(c->status, 2);
	assert_int_equal(c->sense[2] & 0xf, 5);
	assert_int_equal(c->sense[12], 0x21);
}

static void a_short_answer_has_its_length(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel_cmd *c;

	world_serve();
	world_ready(u);
	c = world_run(u, inquiry, 6, KERNEL_IN, NULL, 255);
	assert_int_equal(c->status, 0);
	assert_int_equal(c->read_len, c->in[4] + 5);
}

static void an_answer_of_nothing_shows_nothing_of_others(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel_cmd *c;

	world_serve();
	memset(world_ready(u)->map + world.uio[u].k.cmdr_off + WORLD_CMDR, 0xee, KERNEL_DATA);
	c = world_run(u, kernel_rw(false, 0, 0), 10, KERNEL_IN, NULL, 512);
	assert_int_equal(c->status, 0);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(c->in[i], 0);
	c = world_run(u, tur, 6, KERNEL_IN, NULL, 512);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(c->in[i], 0);
}

static void without_read_length_the_rest_is_blank(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel_cmd *c;

	((struct tcmu_mailbox *)(void *)world.uio[u].k.map)->flags = TCMU_MAILBOX_FLAG_CAP_OOOC;
	world_serve();
	memset(world_ready(u)->map + world.uio[u].k.cmdr_off + WORLD_CMDR, 0xee, KERNEL_DATA);
	c = world_run(u, inquiry, 6, KERNEL_IN, NULL, 255);
	assert_int_equal(c->read_len, 0);
	for (unsigned i = c->in[4] + 5u; i < 255; i++)
		assert_int_equal(c->in[i], 0);
}

static void many_completions_go_in_one_write(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false), before;
	struct kernel *k;
	uint16_t id[20];

	world_serve();
	k = world_ready(u);
	for (unsigned i = 0; i < 20; i++)
		id[i] = kernel_queue(k, tur, 6, KERNEL_NONE, NULL, 0);
	before = world.uio[u].notified;
	world_poke(u);
	world_until(k->cmd[id[19]].done);
	assert_int_equal(world.uio[u].notified - before, 1);
}

static void a_device_that_is_idle_is_not_written(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false), before;

	world_serve();
	world_ready(u);
	before = world.uio[u].notified;
	for (unsigned i = 0; i < 100; i++) {
		world_poke(u);
		world_step();
	}
	assert_int_equal(world.uio[u].notified, before);
}

static void a_full_ring_is_worked_off(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false), n = 0;
	struct kernel *k;

	world_serve();
	k = world_ready(u);
	k->completed = 0;
	for (unsigned round = 0; round < 5; round++) {
		while (kernel_queue(k, kernel_rw(false, n, 1), 10, KERNEL_IN, NULL, 512))
			n++;
		world_poke(u);
		world_until(k->completed == n);
	}
	assert_false(k->broken);
}

static void an_unknown_entry_is_said_to_be_unknown(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	uint16_t id;

	world_serve();
	id = kernel_queue_odd(world_ready(u), 6, 24);
	world_poke(u);
	world_until(world.uio[u].k.cmd[id].done);
	assert_int_equal(world.uio[u].k.cmd[id].uflags, TCMU_UFLAG_UNKNOWN_OP);
	assert_int_equal(world_run(u, tur, 6, KERNEL_NONE, NULL, 0)->status, 0);
}

/* ---- task management ---- */

static void an_aborted_command_ends_as_aborted(void **state)
{
	unsigned u = world_add("user_0/a", "stgt/" WORLD_TARGET "/2", false);
	struct kernel *k;
	uint16_t id[3];

	world_serve();
	k = world_ready(u);
	for (unsigned i = 0; i < 3; i++)
		id[i] = kernel_queue(k, kernel_rw(false, i, 1), 10, KERNEL_IN, NULL, 512);
	kernel_queue_tmr(k, TCMU_TMR_ABORT_TASK, &id[1], 1);
	world_poke(u);
	world_until(k->cmd[id[0]].done && k->cmd[id[1]].done && k->cmd[id[2]].done);
	assert_int_equal(k->cmd[id[0]].status, 0);
	assert_int_equal(k->cmd[id[1]].status, 0x40);
	assert_int_equal(k->cmd[id[2]].status, 0);
}

static void a_reset_ends_what_came_before_and_nothing_after(void **state)
{
	unsigned u = world_add("user_0/a", "stgt/" WORLD_TARGET "/2", false);
	struct kernel *k;
	uint16_t id[2], later;

	world_serve();
	k = world_ready(u);
	id[0] = kernel_queue(k, kernel_rw(false, 0, 1), 10, KERNEL_IN, NULL, 512);
	id[1] = kernel_queue(k, kernel_rw(false, 1, 1), 10, KERNEL_IN, NULL, 512);
	kernel_queue_tmr(k, TCMU_TMR_LUN_RESET, id, 2);
	later = kernel_queue(k, inquiry, 6, KERNEL_IN, NULL, 255);
	world_poke(u);
	world_until(k->cmd[later].done);
	assert_true(k->cmd[id[0]].done && k->cmd[id[1]].done);
	assert_int_equal(k->cmd[id[0]].status, 0x40);
	assert_int_equal(k->cmd[id[1]].status, 0x40);
	assert_int_equal(k->cmd[later].status, 0);
	/* the LU says that it was reset */
	assert_int_equal(world_run(u, tur, 6, KERNEL_NONE, NULL, 0)->sense[12], 0x29);
}

static void a_function_about_unknown_commands_does_nothing(void **state)
{
	static const uint16_t ids[] = { 0, 77, 65535 };
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);

	world_serve();
	kernel_queue_tmr(world_ready(u), TCMU_TMR_ABORT_TASK, ids, 3);
	assert_int_equal(world_run(u, tur, 6, KERNEL_NONE, NULL, 0)->status, 0);
}

/* ---- going ---- */

static void a_removed_device_is_answered_when_it_is_closed(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	char byte;

	world_serve();
	world_ready(u);
	world_tell(TCMU_CMD_REMOVED_DEVICE, u, world.uio[u].name);
	world_until(world.replies);
	assert_int_equal(world.reply_cmd, TCMU_CMD_REMOVED_DEVICE_DONE);
	assert_int_equal(recv(world.uio[u].fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_true(errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET ||
		    errno == EAGAIN);
	world_until(!world_device(u));
	assert_null(target_lun(world.target, 1)->reserved);
	world_remove(u);
}

static void a_waiting_device_that_went_without_a_word_is_forgotten(void **state)
{
	unsigned u = world_add("user_0/a", "stgt/" WORLD_TARGET "/2", false);

	world_unmap(2);
	world_serve();
	world_until(waits(u, "not mapped"));
	world_remove(u);
	reactor_turn(world.control, 0);
	tcmu_scan(world.server);
	assert_null(world_device(u));
}

static void a_device_whose_session_is_closed_comes_back(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	uint64_t sid;

	world_serve();
	world_ready(u);
	sid = world_device(u)->sid;
	reactor_turn(world.control, 0);
	target_close_nexus(target_nexus(world.target, sid));
	world_until(waits(u, "session"));
	reactor_turn(world.control, 0);
	tcmu_look_again(world.server);
	world_ready(u);
	assert_int_not_equal(world_device(u)->sid, sid);
}

static void a_lun_that_goes_is_refused_and_taken_up_again(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);

	world_serve();
	world_ready(u);
	world_unmap(1);
	assert_int_equal(world_run(u, tur, 6, KERNEL_NONE, NULL, 0)->sense[12], 0x25);
	world_map(1);
	world_until(target_lun(world.target, 1)->reserved);
	world_ready(u);
	assert_int_equal(world_run(u, tur, 6, KERNEL_NONE, NULL, 0)->status, 0);
}

static void a_lun_that_came_again_for_others_is_left_to_them(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);

	world_serve();
	world_ready(u);
	world_unmap(1);
	other_comes();
	world_map(1);
	world_until(waits(u, "in use by other"));
	world_until(!world_device(u)->serving);
	other_goes();
	world_ready(u);
	assert_string_equal(target_lun(world.target, 1)->reserved, "tcmu");
}

/* The nexus's reactor does not know of the end yet, and has the ring. */
static void a_device_that_still_ends_is_not_opened_anew(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false), r;
	struct tcmu_device *d;
	struct it_nexus *n;
	struct err e;

	world_serve();
	world_ready(u);
	d = world_device(u);
	r = d->side.reactor == world.data[1];
	world_unmap(1);
	other_comes();
	assert_ptr_equal(other.nexus->reactor, world.data[!r]);
	reactor_turn(world.control, 0);
	assert_int_equal(target_map(&world.ts, world.target, 1, world.lu[0], NULL, NULL, &e), 0);
	/* the device's reactor, which tells of the LUN; then no more */
	for (unsigned i = 0; i < 1000 && d->state != TCMU_WAITS; i++) {
		reactor_turn(world.control, 0);
		if (d->state != TCMU_WAITS) {
			reactor_turn(world.data[0], 0);
			reactor_turn(world.data[1], 0);
		}
	}
	assert_int_equal(d->state, TCMU_WAITS);
	assert_true(d->serving);
	n = other.nexus;
	target_close_nexus(n);
	while (!n->gone) {
		reactor_turn(world.data[!r], 0);
		reactor_turn(world.control, 0);
	}
	assert_true(d->serving);
	tcmu_look_again(world.server);
	assert_false(d->opening);
	world_ready(u);
}

static void a_lun_lost_while_its_device_opens_is_not_shared(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	uint16_t id = kernel_queue(&world.uio[u].k, tur, 6, KERNEL_NONE, NULL, 0);

	world.hold_open = true;
	world_serve();
	world_until(world_device(u) && world_device(u)->opening);
	world_unmap(1);
	other_comes();
	world_map(1);
	world.hold_open = false;
	world_until(waits(u, "in use by other"));
	world_until(!world_device(u)->serving);
	assert_false(world.uio[u].k.cmd[id].done);
	other_goes();
	world_ready(u);
}

static void a_stop_ends_what_was_taken_and_leaves_the_rest(void **state)
{
	unsigned u = world_add("user_0/a", "stgt/" WORLD_TARGET "/2", false);
	struct kernel *k;
	uint16_t id[2];

	world_serve();
	k = world_ready(u);
	id[0] = kernel_queue(k, kernel_rw(false, 0, 1), 10, KERNEL_IN, NULL, 512);
	world_poke(u);
	world_until(!world_idle());
	world_stop(10 * NSEC_PER_SEC);
	assert_true(k->cmd[id[0]].done);
	assert_int_equal(k->cmd[id[0]].status, 0);
	id[1] = kernel_queue(k, inquiry, 6, KERNEL_IN, NULL, 255);
	world_serve();
	world_until(k->cmd[id[1]].done);
	assert_int_equal(k->cmd[id[1]].status, 0);
}

/* Be the daemon that dies: take @n commands. */
static void take(unsigned u, struct ring *r, struct ring_slot *s, unsigned n, bool once)
{
	static struct iovec iov[KERNEL_BLOCKS_MAX];
	struct ring_entry e;
	uint32_t total;
	unsigned segs;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(ring_peek(r, &e), RING_COMMAND);
		assert_true(ring_take(r, &e, &s[i], once, iov, &segs, &total));
	}
}

static void commands_of_a_dead_daemon_are_sent_again(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel *k = &world.uio[u].k;
	struct ring_slot s[2], caw;
	uint16_t id[4];
	const char *why;
	struct ring r;

	for (unsigned i = 0; i < 4; i++)
		id[i] = kernel_queue(k, inquiry, 6, KERNEL_IN, NULL, 255);
	assert_int_equal(ring_open(&r, k->map, k->size, &why), 0);
	take(u, &r, s, 2, false);
	take(u, &r, &caw, 1, true);
	world_serve();
	world_until(k->cmd[id[3]].done);
	assert_int_equal(k->cmd[id[0]].status, 8);
	assert_int_equal(k->cmd[id[1]].status, 8);
	assert_int_equal(k->cmd[id[2]].status, 2);
	assert_int_equal(k->cmd[id[2]].sense[2], 4);
	assert_int_equal(k->cmd[id[3]].status, 0); /* nobody had it: it is carried out */
	assert_int_equal(world.resets, 0);
	assert_false(k->broken);
}

static void a_ring_that_does_not_say_is_reset(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	struct kernel *k = &world.uio[u].k;
	char dir[256];
	uint16_t id[2];

	snprintf(dir, sizeof(dir),
		 "mkdir -p %s/cfg/target/core/user_0/a/action; cd "
		 "%s/cfg/target/core/user_0/a/action; "
		 "touch block_dev reset_ring",
		 world.dir, world.dir);
	assert_int_equal(system(dir), 0);
	id[0] = kernel_queue(k, tur, 6, KERNEL_NONE, NULL, 0);
	id[1] = kernel_queue(k, tur, 6, KERNEL_NONE, NULL, 0);
	/* both entries have the first one's id, and were taken */
	for (uint32_t at = 0; at < kernel_head(k); at += kernel_head(k) / 2)
		memcpy(k->map + k->cmdr_off + at + 4,
		       (const uint8_t[4]){ (uint8_t)id[0], 0, 0, 0x20 }, 4);
	world_serve();
	world_until(serves(u));
	assert_int_equal(world.resets, 1);
	assert_int_equal(world.reset_level, 1);
	assert_int_equal(world.blocks, 2);
	assert_int_equal(k->cmd[id[1]].status, 8);
	world_ready(u);
}

static void a_device_that_was_left_blocked_is_not_any_more(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	char dir[256];

	snprintf(dir, sizeof(dir),
		 "mkdir -p %s/cfg/target/core/user_0/a/action; "
		 "echo blocked > %s/cfg/target/core/user_0/a/action/block_dev",
		 world.dir, world.dir);
	assert_int_equal(system(dir), 0);
	log_to(quiet);
	world_serve();
	world_until(serves(u));
	assert_int_equal(world.blocks, 1);
	assert_int_equal(world.resets, 0);
}

static void a_corrupt_ring_ends_its_device_alone(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	unsigned v = world_add("user_0/b", "stgt/" WORLD_TARGET "/2", false);
	struct tcmu_live l;

	world_serve();
	world_ready(u);
	world_ready(v);
	log_to(NULL);
	log_to(quiet);
	kernel_set_head(&world.uio[u].k, kernel_head(&world.uio[u].k) + 64);
	world_poke(u);
	world_until(waits(u, "corrupt"));
	reactor_turn(world.control, 0);
	tcmu_look_again(world.server);
	assert_true(waits(u, "corrupt"));
	tcmu_get_live(world.server, &l);
	assert_int_equal(l.ring_errors, 1);
	assert_int_equal(l.devices, 1);
	assert_int_equal(world_run(v, tur, 6, KERNEL_NONE, NULL, 0)->status, 0);
}

/* ---- changes ---- */

static int reconfigured(unsigned u, uint16_t type, const void *data, uint16_t len)
{
	unsigned before = world.replies;

	log_to(quiet);
	world_reconfig(u, type, data, len);
	world_until(world.replies > before);
	assert_int_equal(world.reply_cmd, TCMU_CMD_RECONFIG_DEVICE_DONE);
	return world.reply_status;
}

static void the_size_is_the_lus(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	uint64_t size = WORLD_BYTES;

	world_serve();
	world_ready(u);
	assert_int_equal(reconfigured(u, TCMU_ATTR_DEV_SIZE, &size, sizeof(size)), 0);
	size *= 2;
	assert_int_equal(reconfigured(u, TCMU_ATTR_DEV_SIZE, &size, sizeof(size)), -EINVAL);
}

static void the_lun_of_a_device_does_not_change(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);

	world_serve();
	world_ready(u);
	assert_int_equal(reconfigured(u, TCMU_ATTR_DEV_CFG, WORLD_CONFIG "\n",
				      sizeof(WORLD_CONFIG "\n")),
			 0);
	assert_int_equal(reconfigured(u, TCMU_ATTR_DEV_CFG, "stgt/" WORLD_TARGET "/2",
				      sizeof("stgt/" WORLD_TARGET "/2")),
			 -EBUSY);
	assert_int_equal(reconfigured(u, TCMU_ATTR_DEV_CFG, "nonsense", 9), -EINVAL);
}

static void the_write_cache_is_the_lus(void **state)
{
	unsigned u = world_add("user_0/a", WORLD_CONFIG, false);
	uint8_t on = 1;

	world_serve();
	world_ready(u);
	assert_int_equal(reconfigured(u, TCMU_ATTR_WRITECACHE, &on, 1), -EOPNOTSUPP);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_device_that_is_there_at_the_start_is_served),
		test(a_device_that_comes_is_answered_and_served),
		test(a_config_that_makes_no_sense_is_refused),
		test(another_handlers_device_is_left_alone),
		test(what_nobody_answered_is_answered_at_the_end),
		test(a_question_that_was_answered_is_left_alone),
		test(a_module_that_is_loaded_later_is_found),
		test(many_devices_are_served_at_once),
		test(a_device_waits_for_its_lun),
		test(a_device_waits_for_its_target),
		test(the_lun_of_a_device_is_its_own),
		test(a_device_that_does_not_open_is_in_nobodys_way),
		test(who_shares_does_not_share_what_is_anothers),
		test(a_lun_has_the_device_that_serves_it),
		test(an_unsafe_device_shares_its_lun),
		test(a_device_in_other_hands_is_tried_again),
		test(what_is_written_comes_back),
		test(a_command_that_fails_brings_its_sense),
		test(a_short_answer_has_its_length),
		test(an_answer_of_nothing_shows_nothing_of_others),
		test(without_read_length_the_rest_is_blank),
		test(many_completions_go_in_one_write),
		test(a_device_that_is_idle_is_not_written),
		test(a_full_ring_is_worked_off),
		test(an_unknown_entry_is_said_to_be_unknown),
		test(an_aborted_command_ends_as_aborted),
		test(a_reset_ends_what_came_before_and_nothing_after),
		test(a_function_about_unknown_commands_does_nothing),
		test(a_removed_device_is_answered_when_it_is_closed),
		test(a_waiting_device_that_went_without_a_word_is_forgotten),
		test(a_device_whose_session_is_closed_comes_back),
		test(a_lun_that_goes_is_refused_and_taken_up_again),
		test(a_lun_that_came_again_for_others_is_left_to_them),
		test(a_device_that_still_ends_is_not_opened_anew),
		test(a_lun_lost_while_its_device_opens_is_not_shared),
		test(a_stop_ends_what_was_taken_and_leaves_the_rest),
		test(commands_of_a_dead_daemon_are_sent_again),
		test(a_ring_that_does_not_say_is_reset),
		test(a_device_that_was_left_blocked_is_not_any_more),
		test(a_corrupt_ring_ends_its_device_alone),
		test(the_size_is_the_lus),
		test(the_lun_of_a_device_does_not_change),
		test(the_write_cache_is_the_lus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
