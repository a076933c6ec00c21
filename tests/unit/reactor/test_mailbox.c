/* SPDX-License-Identifier: BSD-2-Clause */
/* The mailbox by itself: each step of sender and sleeper in each order. */
#include "help.h"

#include "base/bits.h"
#include "reactor/mailbox.h"

static struct mailbox box;
static struct msg m[4];

static int set_up(void **state)
{
	mailbox_init(&box);
	return 0;
}

static void messages_come_out_in_order(void **state)
{
	assert_true(mailbox_empty(&box));
	assert_null(mailbox_pop(&box));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			mailbox_push(&box, &m[i]);
		assert_false(mailbox_empty(&box));
		for (int i = 0; i < 4; i++)
			assert_ptr_equal(mailbox_pop(&box), &m[i]);
		assert_null(mailbox_pop(&box));
		assert_true(mailbox_empty(&box));
	}
}

static void a_message_that_came_out_can_go_in_again(void **state)
{
	for (int i = 0; i < 10; i++) {
		mailbox_push(&box, &m[0]);
		assert_ptr_equal(mailbox_pop(&box), &m[0]);
	}
	assert_null(mailbox_pop(&box));
}

static void the_newest_is_a_mark_for_a_round(void **state)
{
	mailbox_push(&box, &m[0]);
	mailbox_push(&box, &m[1]);
	assert_ptr_equal(mailbox_newest(&box), &m[1]);
}

static void who_sends_to_one_awake_need_not_ring(void **state)
{
	assert_false(mailbox_push(&box, &m[0]));
	assert_false(mailbox_wake(&box));
}

static void who_sends_to_a_sleeper_rings_once(void **state)
{
	assert_true(mailbox_sleep(&box));
	assert_true(mailbox_push(&box, &m[0]));
	assert_false(mailbox_push(&box, &m[1]));
	assert_ptr_equal(mailbox_pop(&box), &m[0]);
	assert_ptr_equal(mailbox_pop(&box), &m[1]);
	assert_true(mailbox_sleep(&box));
	assert_true(mailbox_wake(&box));
}

static void nobody_falls_asleep_over_a_message(void **state)
{
	mailbox_push(&box, &m[0]);
	assert_false(mailbox_sleep(&box));
	/* And is awake for those who send now. */
	assert_false(mailbox_push(&box, &m[1]));
}

static void one_who_woke_otherwise_is_awake(void **state)
{
	assert_true(mailbox_sleep(&box));
	mailbox_awake(&box);
	assert_false(mailbox_push(&box, &m[0]));
}

/* The two halves of a push, as a sender does them that is interrupted in between. */
static struct msg *take_tail(struct msg *mine)
{
	mine->next = NULL;
	return __atomic_exchange_n(&box.tail, mine, __ATOMIC_ACQ_REL);
}

static void link_to(struct msg *prev, struct msg *mine)
{
	__atomic_store_n(&prev->next, mine, __ATOMIC_RELEASE);
}

static void what_stands_behind_a_cut_comes_later_and_in_order(void **state)
{
	struct msg *prev;

	mailbox_push(&box, &m[0]);
	prev = take_tail(&m[1]);
	mailbox_push(&box, &m[2]);
	/* m[0] is the last that is linked: it cannot leave before its follower is. */
	assert_null(mailbox_pop(&box));
	assert_null(mailbox_pop(&box));
	assert_ptr_equal(mailbox_newest(&box), &m[2]); /* looking has not changed the list */
	link_to(prev, &m[1]);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(mailbox_pop(&box), &m[i]);
	assert_null(mailbox_pop(&box));
}

static void one_may_sleep_at_a_cut_since_its_sender_will_ring(void **state)
{
	struct msg *prev = take_tail(&m[0]);

	assert_true(mailbox_sleep(&box));
	link_to(prev, &m[0]);
	assert_true(mailbox_wake(&box));
	assert_ptr_equal(mailbox_pop(&box), &m[0]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(messages_come_out_in_order, set_up),
		cmocka_unit_test_setup(a_message_that_came_out_can_go_in_again, set_up),
		cmocka_unit_test_setup(the_newest_is_a_mark_for_a_round, set_up),
		cmocka_unit_test_setup(who_sends_to_one_awake_need_not_ring, set_up),
		cmocka_unit_test_setup(who_sends_to_a_sleeper_rings_once, set_up),
		cmocka_unit_test_setup(nobody_falls_asleep_over_a_message, set_up),
		cmocka_unit_test_setup(one_who_woke_otherwise_is_awake, set_up),
		cmocka_unit_test_setup(what_stands_behind_a_cut_comes_later_and_in_order, set_up),
		cmocka_unit_test_setup(one_may_sleep_at_a_cut_since_its_sender_will_ring, set_up),
	};

	return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
