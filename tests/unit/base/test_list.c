/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hash.h"
#include "base/list.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

struct item {
	int v;
	struct list link;
	struct hash_node node;
};

static void assert_order(const struct list *head, const int *want, size_t n)
{
	const struct item *i;
	size_t at = 0;

	list_for_each(i, head, link) {
		assert_true(at < n);
		assert_int_equal(i->v, want[at++]);
	}
	assert_int_equal(at, n);
}

static void push_puts_first_and_add_puts_last(void **state)
{
	struct item i[] = { { 1 }, { 2 }, { 3 } };
	struct list head = LIST_INIT(head);

	list_add(&head, &i[1].link);
	list_push(&head, &i[0].link);
	list_add(&head, &i[2].link);
	assert_order(&head, (int[]){ 1, 2, 3 }, 3);
	assert_ptr_equal(list_first(&head, struct item, link), &i[0]);
}

static void a_new_list_is_empty(void **state)
{
	struct list head;

	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
	assert_null(list_first(&head, struct item, link));
}

static void taking_out_twice_does_no_harm(void **state)
{
	struct item i[] = { { 1 }, { 2 }, { 3 } };
	struct list head = LIST_INIT(head);

	for (int k = 0; k < 3; k++)
		list_add(&head, &i[k].link);
	list_del(&i[1].link);
	assert_false(list_linked(&i[1].link));
	list_del(&i[1].link);
	assert_order(&head, (int[]){ 1, 3 }, 2);
}

static void pop_takes_in_order(void **state)
{
	struct item i[] = { { 1 }, { 2 } };
	struct list head = LIST_INIT(head);

	list_add(&head, &i[0].link);
	list_add(&head, &i[1].link);
	assert_ptr_equal(list_pop(&head), &i[0].link);
	assert_ptr_equal(list_pop(&head), &i[1].link);
	assert_null(list_pop(&head));
}

static void splice_moves_all_to_the_end(void **state)
{
	struct item i[] = { { 1 }, { 2 }, { 3 }, { 4 } };
	struct list a = LIST_INIT(a), b = LIST_INIT(b);

	list_add(&a, &i[0].link);
	list_add(&a, &i[1].link);
	list_splice(&a, &b);
	assert_order(&a, (int[]){ 1, 2 }, 2);
	list_add(&b, &i[2].link);
	list_add(&b, &i[3].link);
	list_splice(&a, &b);
	assert_order(&a, (int[]){ 1, 2, 3, 4 }, 4);
	assert_true(list_empty(&b));
}

static void the_safe_walk_survives_taking_out(void **state)
{
	struct item i[] = { { 1 }, { 2 }, { 3 }, { 4 } }, *pos, *tmp;
	struct list head = LIST_INIT(head);

	for (int k = 0; k < 4; k++)
		list_add(&head, &i[k].link);
	list_for_each_safe(pos, tmp, &head, link)
		if (pos->v % 2)
			list_del(&pos->link);
	assert_order(&head, (int[]){ 2, 4 }, 2);
}

static void a_hash_finds_what_was_added_and_no_more(void **state)
{
	struct hash_node *slots[16] = { 0 };
	static struct item items[200];
	struct hash h;

	hash_init(&h, slots, array_size(slots));
	for (int k = 0; k < 200; k++) {
		items[k].v = k;
		hash_add(&h, &items[k].node, (uint64_t)k << 32);
	}
	for (int k = 0; k < 200; k++)
		assert_ptr_equal(hash_find(&h, (uint64_t)k << 32), &items[k].node);
	assert_null(hash_find(&h, 7));
	for (int k = 0; k < 200; k += 2)
		hash_del(&items[k].node);
	for (int k = 0; k < 200; k++)
		assert_ptr_equal(hash_find(&h, (uint64_t)k << 32), k % 2 ? &items[k].node : NULL);
}

static void equal_keys_are_all_found(void **state)
{
	struct hash_node *slots[1] = { 0 };
	struct item i[4] = { { 0 } };
	struct hash_node *n;
	struct hash h;
	int found = 0;

	hash_init(&h, slots, 1);
	hash_add(&h, &i[0].node, 5);
	hash_add(&h, &i[1].node, 6);
	hash_add(&h, &i[2].node, 5);
	hash_add(&h, &i[3].node, 7);
	for (n = hash_find(&h, 5); n; n = hash_next(n))
		found++;
	assert_int_equal(found, 2);
	hash_del(&i[2].node);
	assert_ptr_equal(hash_find(&h, 5), &i[0].node);
	assert_null(hash_next(&i[0].node));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(push_puts_first_and_add_puts_last),
		cmocka_unit_test(a_new_list_is_empty),
		cmocka_unit_test(taking_out_twice_does_no_harm),
		cmocka_unit_test(pop_takes_in_order),
		cmocka_unit_test(splice_moves_all_to_the_end),
		cmocka_unit_test(the_safe_walk_survives_taking_out),
		cmocka_unit_test(a_hash_finds_what_was_added_and_no_more),
		cmocka_unit_test(equal_keys_are_all_found),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
