/* SPDX-License-Identifier: BSD-2-Clause */
/* attach and detach: what is made in configfs, and what is left when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "world.h"

static struct {
	struct tcmu_attach a;
	bool done;
	struct err err;
} t;

static void quiet(enum log_level level, const char *text)
{
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	world_begin();
	world_serve();
	log_to(quiet);
	return 0;
}

static int teardown(void **state)
{
	world_end();
	return 0;
}

static void ended(struct tcmu_attach *a, const struct err *e)
{
	t.done = true;
	t.err.code = 0;
	if (e)
		t.err = *e;
}

static void fill(uint64_t lun, enum tcmu_fabric f)
{
	memset(&t.a, 0, sizeof(t.a));
	snprintf(t.a.target, sizeof(t.a.target), "%s", WORLD_TARGET);
	t.a.lun = lun;
	t.a.tid = 1;
	t.a.fabric = f;
	t.a.size = WORLD_BYTES;
	t.a.block_size = WORLD_BLOCK;
	t.a.done = ended;
	t.done = false;
}

static int attach(void)
{
	struct err e = { 0 };

	reactor_turn(world.control, 0);
	if (tcmu_attach(world.server, &t.a, &e))
		return e.code;
	world_until(t.done);
	return t.err.code;
}

static int detach(void)
{
	struct err e = { 0 };

	reactor_turn(world.control, 0);
	t.done = false;
	if (tcmu_detach(world.server, &t.a, &e))
		return e.code;
	world_until(t.done);
	return t.err.code;
}

static bool there(const char *name)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", world.dir, name);
	return !lstat(path, &st);
}

static bool has(const char *name, const char *text)
{
	char path[512], line[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", world.dir, name);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		*line = '\0';
	fclose(f);
	return strstr(line, text) != NULL;
}

/* The kernel makes a disk of what is linked to tcm_loop. */
static void make_disk(void)
{
	char command[256];

	snprintf(command, sizeof(command), "mkdir -p %s/sys/bus/scsi/devices/3:0:1:0/block/sdq",
		 world.dir);
	assert_int_equal(system(command), 0);
}

/* ---- attach ---- */

static void a_device_is_made_and_served(void **state)
{
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), 0);
	assert_true(has("cfg/target/core/user_3260/stgt.1.1/control",
			"dev_config=" WORLD_CONFIG ",dev_size=4194304,hw_block_size=512"));
	assert_true(has("cfg/target/core/user_3260/stgt.1.1/enable", "1"));
	assert_int_equal(world_device(0)->state, TCMU_SERVES);
	assert_string_equal(target_lun(world.target, 1)->reserved, "tcmu");
}

static void the_kernel_does_not_forget_commands_and_tells_of_functions(void **state)
{
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), 0);
	assert_true(has("cfg/target/core/user_3260/stgt.1.1/attrib/cmd_time_out", "0"));
	assert_true(has("cfg/target/core/user_3260/stgt.1.1/attrib/tmr_notification", "1"));
}

static void tcm_loop_gives_a_disk(void **state)
{
	struct tcmu_device_info i;
	char link[256];

	make_disk();
	fill(1, TCMU_FABRIC_LOOP);
	assert_int_equal(attach(), 0);
	assert_string_equal(t.a.block, "/dev/sdq");
	assert_int_equal(strlen(t.a.wwn), 20);
	assert_memory_equal(t.a.wwn, "naa.3", 5);
	snprintf(link, sizeof(link), "cfg/target/loopback/%s/tpgt_1/lun/lun_0/disk", t.a.wwn);
	assert_true(there(link));
	tcmu_device_info(world_device(0), &i);
	assert_string_equal(i.block, "/dev/sdq");
}

static void vhost_scsi_gives_a_port(void **state)
{
	char link[256];

	fill(1, TCMU_FABRIC_VHOST);
	assert_int_equal(attach(), 0);
	snprintf(link, sizeof(link), "cfg/target/vhost/%s/tpgt_1/lun/lun_0/disk", t.a.wwn);
	assert_true(there(link));
	assert_string_equal(t.a.block, "");
}

static void a_device_may_have_a_name_and_share(void **state)
{
	fill(1, TCMU_FABRIC_NONE);
	snprintf(t.a.name, sizeof(t.a.name), "mine");
	t.a.shared = true;
	assert_int_equal(attach(), 0);
	assert_true(has("cfg/target/core/user_3260/mine/control", WORLD_CONFIG "/shared=unsafe,"));
	assert_null(target_lun(world.target, 1)->reserved);
}

static void a_bad_name_is_refused(void **state)
{
	static const char *const names[] = { "../core", "a/b", ".x", "a b" };

	for (unsigned i = 0; i < array_size(names); i++) {
		fill(1, TCMU_FABRIC_NONE);
		snprintf(t.a.name, sizeof(t.a.name), "%s", names[i]);
		assert_int_equal(attach(), -EINVAL);
	}
}

static void a_target_whose_name_the_kernel_would_cut_is_refused(void **state)
{
	static const char *const names[] = { "a,b", "a/b", "a b", "a\tb" };
	struct err e = { 0 };

	reactor_turn(world.control, 0);
	for (unsigned i = 0; i < array_size(names); i++) {
		fill(1, TCMU_FABRIC_NONE);
		snprintf(t.a.target, sizeof(t.a.target), "%s", names[i]);
		assert_int_equal(tcmu_attach(world.server, &t.a, &e), -EINVAL);
		assert_non_null(strstr(e.text, "another name"));
	}
}

static void an_attached_lun_is_not_attached_again(void **state)
{
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), 0);
	fill(1, TCMU_FABRIC_NONE);
	snprintf(t.a.name, sizeof(t.a.name), "other");
	assert_int_equal(attach(), -EEXIST);
}

static void without_the_module_it_says_so(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s/cfg/target", world.dir);
	assert_int_equal(system(command), 0);
	world.deny_modules = true;
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), -ENODEV);
	assert_non_null(strstr(t.err.text, "modprobe target_core_user"));
}

static void what_fails_half_way_leaves_nothing(void **state)
{
	static const char *const files[] = { "/control", "/enable" };

	for (unsigned i = 0; i < array_size(files); i++) {
		world.deny = files[i];
		fill(1, TCMU_FABRIC_NONE);
		assert_int_equal(attach(), -EINVAL);
		assert_non_null(strstr(t.err.text, files[i]));
		assert_false(there("cfg/target/core/user_3260"));
	}
	assert_null(target_lun(world.target, 1)->reserved);
}

static void a_lun_in_use_is_not_attached(void **state)
{
	struct err e;

	assert_int_equal(target_reserve_lun(world.target, 1, "others", &e), 0);
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), -EBUSY);
	assert_non_null(strstr(t.err.text, "others"));
	assert_false(there("cfg/target/core/user_3260"));
	assert_null(world_device(0));
}

static void what_was_left_half_made_is_made_whole(void **state)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "cd %s/cfg/target/core && mkdir -p user_3260/stgt.1.1/attrib && cd "
		 "user_3260/stgt.1.1 && "
		 "touch control enable",
		 world.dir);
	assert_int_equal(system(command), 0);
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), 0);
	assert_int_equal(world_device(0)->state, TCMU_SERVES);
}

static void a_kernel_that_does_not_tell_is_looked_at(void **state)
{
	world.silent = true;
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(attach(), 0);
	assert_int_equal(world_device(0)->state, TCMU_SERVES);
}

static void the_same_is_not_attached_twice_at_once(void **state)
{
	struct tcmu_attach again;
	struct err e;

	fill(1, TCMU_FABRIC_NONE);
	again = t.a;
	reactor_turn(world.control, 0);
	assert_int_equal(tcmu_attach(world.server, &t.a, &e), 0);
	assert_int_equal(tcmu_attach(world.server, &again, &e), -EBUSY);
	world_until(t.done);
	assert_int_equal(t.err.code, 0);
	assert_int_equal(world_device(0)->state, TCMU_SERVES);
}

/* The kernel asks the device for what it makes of it a disk, while the administrator waits. */
static void a_stop_lets_an_attach_end(void **state)
{
	static const uint8_t inquiry[6] = { 0x12, [4] = 36 };
	struct err e;
	bool stopped;

	fill(1, TCMU_FABRIC_LOOP);
	reactor_turn(world.control, 0);
	assert_int_equal(tcmu_attach(world.server, &t.a, &e), 0);
	world_until(there("cfg/target/loopback"));
	world_stop_begin(0, &stopped);
	for (unsigned i = 0; i < 10; i++)
		world_step();
	assert_int_equal(world_run(0, inquiry, 6, KERNEL_IN, NULL, 36)->status, 0);
	assert_false(stopped);
	make_disk();
	world_until(t.done && stopped);
	assert_int_equal(t.err.code, 0);
	world_stop_end();
}

/* ---- detach ---- */

static void detach_removes_all_that_attach_made(void **state)
{
	char port[128];

	make_disk();
	fill(1, TCMU_FABRIC_LOOP);
	assert_int_equal(attach(), 0);
	snprintf(port, sizeof(port), "cfg/target/loopback/%s", t.a.wwn);
	assert_true(there(port));
	assert_int_equal(detach(), 0);
	assert_false(there(port));
	assert_false(there("cfg/target/core/user_3260/stgt.1.1"));
	assert_null(world_device(0));
	assert_null(target_lun(world.target, 1)->reserved);
}

static void what_is_not_attached_is_not_detached(void **state)
{
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(detach(), -ENOENT);
}

static void a_device_made_by_hand_is_not_detached(void **state)
{
	world_add("user_0/a", WORLD_CONFIG, true);
	world_until(world_device(0) && world_device(0)->state == TCMU_SERVES);
	fill(1, TCMU_FABRIC_NONE);
	assert_int_equal(detach(), -EINVAL);
}

static void a_device_is_attached_again(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		fill(1, TCMU_FABRIC_NONE);
		assert_int_equal(attach(), 0);
		assert_int_equal(detach(), 0);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_device_is_made_and_served),
		test(the_kernel_does_not_forget_commands_and_tells_of_functions),
		test(tcm_loop_gives_a_disk),
		test(vhost_scsi_gives_a_port),
		test(a_device_may_have_a_name_and_share),
		test(a_bad_name_is_refused),
		test(a_target_whose_name_the_kernel_would_cut_is_refused),
		test(an_attached_lun_is_not_attached_again),
		test(without_the_module_it_says_so),
		test(what_fails_half_way_leaves_nothing),
		test(a_lun_in_use_is_not_attached),
		test(what_was_left_half_made_is_made_whole),
		test(a_kernel_that_does_not_tell_is_looked_at),
		test(the_same_is_not_attached_twice_at_once),
		test(a_stop_lets_an_attach_end),
		test(detach_removes_all_that_attach_made),
		test(what_is_not_attached_is_not_detached),
		test(a_device_made_by_hand_is_not_detached),
		test(a_device_is_attached_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
