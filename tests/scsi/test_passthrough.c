/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that is passed through: the store plays the device, and notes what reaches it. */
#include <errno.h>
#include <stdlib.h>

#include "rig.h"
#include "base/sgl.h"
#include "cmdset/passthrough.h"
#include "reactor/clock.h"
#include "store/store.h"

#define MOST MIB(1)
#define HELD_MAX 4

/* ---- the device ------------------------------------------------------------------------ */

static struct device {
	/* what it does */
	uint8_t status;
	uint8_t sense[96];
	uint8_t sense_len;
	uint32_t residual;
	int err;
	bool hold; /* commands stay with it */
	bool hold_reset;
	/* what it saw */
	unsigned commands, resets, cancels;
	uint8_t cdb[32];
	uint8_t cdb_len;
	bool in, out;
	uint32_t length;
	unsigned segments;
	uint64_t timeout;
	uint8_t *data; /* of the last data-out */
	struct store_io *held[HELD_MAX];
	unsigned nheld;
	struct store_io *reset;
} dev;

static int device_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct store_limits *l = store_limits_of(s);

	l->max_io = MOST;
	l->affinity = STORE_AFFINITY_HOME;
	l->cap[STORE_RAW] = l->cap[STORE_RESET] = STORE_CAP_NATIVE;
	l->cap[STORE_FLUSH] = STORE_CAP_EMULATE;
	return 0;
}

static void device_close(struct store *s)
{
}

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

static void finish(struct store_io *io, int err)
{
	struct store_raw *raw = io->raw;

	raw->status = dev.status;
	raw->sense_len = dev.sense_len;
	memcpy(raw->sense, dev.sense, dev.sense_len);
	raw->residual = dev.residual;
	for (uint32_t i = 0, seg = 0, off = 0; !err && raw->in && i < raw->length - raw->residual;
	     i++, off++) {
		if (off == raw->iov[seg].iov_len) {
			seg++;
			off = 0;
		}
		((uint8_t *)raw->iov[seg].iov_base)[off] = pattern(i);
	}
	store_done(io, err, 0);
}

static void device_submit(struct store_channel *ch, struct store_io *io)
{
	struct store_raw *raw = io->raw;

	if (io->verb == STORE_RESET) {
		assert_int_equal(io->reset, STORE_RESET_UNIT);
		dev.resets++;
		dev.reset = io;
		if (!dev.hold_reset)
			store_done(io, 0, 0);
		return;
	}
	assert_int_equal(io->verb, STORE_RAW);
	dev.commands++;
	memcpy(dev.cdb, raw->cdb, raw->cdb_len);
	dev.cdb_len = raw->cdb_len;
	dev.in = raw->in;
	dev.out = raw->out;
	dev.length = raw->length;
	dev.segments = raw->iovcnt;
	dev.timeout = raw->timeout / NSEC_PER_SEC;
	if (raw->out)
		assert_int_equal(sgl_copy_out(raw->iov, raw->iovcnt, 0, dev.data, raw->length),
				 raw->length);
	if (dev.hold)
		dev.held[dev.nheld++] = io;
	else
		finish(io, dev.err);
}

static void device_cancel(struct store_channel *ch, struct store_io *io)
{
	dev.cancels++;
}

static const char *const device_options[] = { "size", NULL };

static const struct store_ops device_store = {
	.api = STORE_API,
	.name = "device",
	.options = device_options,
	.open = device_open,
	.close = device_close,
	.submit = device_submit,
	.cancel = device_cancel,
};

/* The store's thread is the home's. */
static void release(int err)
{
	reactor_turn(rig.reactor[0], 0);
	while (dev.nheld)
		finish(dev.held[--dev.nheld], err);
}

static void until_held(unsigned n)
{
	rig_until(dev.nheld == n);
}

/* ---- up and down ---------------------------------------------------------------------------- */

/* A tape, removable, "ACME    Streamer        1.2 ". */
static const uint8_t inquiry[36] = "\x01\x80\x06\x02\x1f\0\0\0"
				   "ACME    Streamer        1.2 ";
static uint8_t *buf;
#define ROOM (2 * MOST + 4096)

static int begin(void **state)
{
	memset(&dev, 0, sizeof(dev));
	dev.data = malloc(ROOM);
	buf = malloc(ROOM);
	assert_true(dev.data && buf);
	rig.disk.ops = &device_store;
	rig.disk.inquiry = inquiry;
	if (rig_begin(state))
		return -1;
	dev.commands = 0;
	return 0;
}

static int end(void **state)
{
	rig.disk.readonly = false;
	free(dev.data);
	free(buf);
	return rig_end(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

static void device_sense(uint8_t key, uint8_t asc, uint8_t ascq)
{
	const uint8_t fixed[18] = { 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq };

	dev.status = ST_CHECK_CONDITION;
	memcpy(dev.sense, fixed, sizeof(fixed));
	dev.sense_len = sizeof(fixed);
}

static void device_good(void)
{
	dev.status = ST_GOOD;
	dev.sense_len = 0;
	dev.residual = 0;
	dev.err = 0;
}

static void check_pattern(const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i] != pattern(i))
			fail_msg("byte %u", i);
}

static struct loop_session *other(void)
{
	return rig_login("iqn.2026-11.test:two", false);
}

/* ---- commands and data ------------------------------------------------------------------------- */

static void a_cdb_goes_in_its_own_length(void **state)
{
	static const struct {
		uint8_t first, last_at, len;
	} cdbs[] = { { 0x00, 5, 6 },  { 0x25, 9, 10 },	{ 0x88, 15, 16 }, { 0xa8, 11, 12 },
		     { 0xd5, 9, 10 }, { 0xd5, 11, 12 }, { 0xd5, 15, 16 } };
	struct loop_cmd c;

	for (unsigned i = 0; i < array_size(cdbs); i++) {
		rig_cmd(&c, S0, CDB(0), NULL, NULL, 0);
		memset(c.cdb, 0, sizeof(c.cdb));
		c.cdb[0] = cdbs[i].first;
		c.cdb[cdbs[i].last_at] = 0x80;
		rig_start(&c);
		rig_until(c.finished);
		good(rig_result(&c));
		assert_int_equal(dev.cdb_len, cdbs[i].len);
		assert_memory_equal(dev.cdb, c.cdb, cdbs[i].len);
		assert_false(dev.in || dev.out);
	}
}

static void an_unknown_opcode_is_the_devices_to_refuse(void **state)
{
	struct res r;

	device_sense(SK_ILLEGAL_REQUEST, 0x20, 0);
	r = none(S0, CDB(0x02, 0x11, 0x22, 0x33, 0x44, 0));
	assert_int_equal(dev.commands, 1);
	assert_int_equal(dev.cdb[4], 0x44);
	assert_int_equal(r.key, SK_ILLEGAL_REQUEST);
	assert_int_equal(r.asc, 0x20);
}

static void data_in_comes_with_the_devices_residual(void **state)
{
	struct res r;

	dev.residual = 60;
	r = in(S0, buf, 100, CDB(0x1a, 0, 0x3f, 0, 100, 0));
	good(r);
	assert_true(dev.in && !dev.out);
	assert_int_equal(dev.length, 100);
	assert_int_equal(r.len, 40);
	check_pattern(buf, 40);
	assert_int_equal(r.residual, RESID_UNDERFLOW);
	assert_int_equal(r.residual_count, 60);
}

static void long_data_in_come_in_one_command(void **state)
{
	struct res r = in(S0, buf, MOST, CDB(0x28, 0, B4(0), 0, B2(2048), 0));

	good(r);
	assert_int_equal(dev.commands, 1);
	assert_int_equal(dev.length, MOST);
	assert_int_equal(r.len, MOST);
	check_pattern(buf, MOST);
	dev.residual = MOST - 300000; /* ends inside a buffer */
	r = in(S0, buf, MOST, CDB(0x28, 0, B4(0), 0, B2(2048), 0));
	good(r);
	assert_int_equal(r.len, 300000);
	assert_int_equal(r.residual_count, MOST - 300000);
}

static void data_out_goes_in_one_command(void **state)
{
	struct loop_cmd c;

	for (uint32_t i = 0; i < MOST; i++)
		buf[i] = pattern(i);
	rig_cmd(&c, S0, CDB(0x2a, 0, B4(0), 0, B2(2048), 0), NULL, buf, MOST);
	c.segment = 65536;
	c.late = true;
	rig_start(&c);
	rig_until(c.finished);
	good(rig_result(&c));
	assert_int_equal(dev.commands, 1);
	assert_int_equal(dev.segments, 16);
	check_pattern(dev.data, MOST);
}

static void a_residual_of_data_out_is_the_devices(void **state)
{
	struct res r;

	dev.residual = 8;
	r = out(S0, buf, 24, CDB(0x15, 0x10, 0, 0, 24, 0));
	good(r);
	assert_int_equal(r.residual, RESID_UNDERFLOW);
	assert_int_equal(r.residual_count, 8);
}

static void what_is_too_much_for_the_device_is_refused_here(void **state)
{
	expect(in(S0, buf, MOST + 1, CDB(0x28, 0, B4(0), 0, B2(2049), 0)), V_INVALID_FIELD_IN_CDB);
	expect(out(S0, buf, MOST + 1, CDB(0x2a, 0, B4(0), 0, B2(2049), 0)), V_INVALID_FIELD_IN_CDB);
	assert_int_equal(dev.commands, 0);
}

static void both_directions_at_once_are_refused(void **state)
{
	struct loop_cmd c;

	rig_cmd(&c, S0, CDB(0xd0, 0, 0, 0, 0, 0), buf, buf, 16);
	rig_start(&c);
	rig_until(c.finished);
	expect(rig_result(&c), V_INVALID_FIELD_IN_IU);
	assert_int_equal(dev.commands, 0);
}

static void naca_is_refused(void **state)
{
	expect_cdb(none(S0, CDB(0x00, 0, 0, 0, 0, 4)), 5, 2);
	expect_cdb(none(S0, CDB(0x02, 0, 0, 0, 0, 4)), 5, 2);
	expect_cdb(in(S0, buf, 8, CDB(0x25, 0, B4(0), 0, 0, 0, 4)), 9, 2);
	assert_int_equal(dev.commands, 0);
}

/* ---- answers -------------------------------------------------------------------------------------- */

static void sense_data_are_the_devices_word_for_word(void **state)
{
	static const uint8_t odd[31] = { 0x73, 3, 0x11, 1, 0, 0, 0, 23, 0x80, 21, 1, 2, 3 };
	struct loop_cmd c;

	dev.status = ST_CHECK_CONDITION;
	memcpy(dev.sense, odd, sizeof(odd));
	dev.sense_len = sizeof(odd);
	rig_cmd(&c, S0, CDB(0x08, 1, 0, 0, 1, 0), buf, NULL, 512);
	rig_start(&c);
	rig_until(c.finished);
	assert_int_equal(c.scsi.verdict, V_DEVICE_SENSE);
	assert_int_equal(c.sense_len, sizeof(odd));
	assert_memory_equal(c.sense, odd, sizeof(odd));
}

static void data_before_an_error_are_passed_on(void **state)
{
	struct res r;

	device_sense(SK_NO_SENSE, 0, 1);
	dev.residual = 312; /* a tape's filemark, a short block */
	r = in(S0, buf, 512, CDB(0x08, 0, 0, 2, 0, 0));
	assert_int_equal(r.status, ST_CHECK_CONDITION);
	assert_int_equal(r.len, 200);
	check_pattern(buf, 200);
	assert_int_equal(r.residual_count, 312);
}

static void every_status_is_the_devices(void **state)
{
	static const uint8_t status[] = { ST_CONDITION_MET, ST_BUSY,	   ST_RESERVATION_CONFLICT,
					  ST_TASK_SET_FULL, ST_ACA_ACTIVE, ST_TASK_ABORTED };

	for (unsigned i = 0; i < array_size(status); i++) {
		dev.status = status[i];
		assert_int_equal(tur(S0).status, status[i]);
	}
	dev.status = 0x3e; /* there is none like this */
	expect(tur(S0), V_INTERNAL_TARGET_FAILURE);
}

static void what_keeps_the_device_from_answering_has_its_verdict(void **state)
{
	static const struct {
		int err;
		enum verdict verdict;
	} rows[] = { { -ENODEV, V_NOT_READY_CAUSE },
		     { -ENOTCONN, V_NOT_READY_CAUSE },
		     { -EAGAIN, V_BUSY },
		     { -ETIMEDOUT, V_COMMAND_TIMEOUT },
		     { -EPERM, V_INVALID_OPCODE },
		     { -EINVAL, V_INVALID_FIELD_IN_CDB },
		     { -ECANCELED, V_INTERNAL_TARGET_FAILURE },
		     { -EIO, V_INTERNAL_TARGET_FAILURE } };

	for (unsigned i = 0; i < array_size(rows); i++) {
		struct res r;

		dev.err = rows[i].err;
		r = in(S0, buf, 512, CDB(0x28, 0, B4(0), 0, B2(1), 0));
		expect(r, rows[i].verdict);
		assert_int_equal(r.len, 0);
		assert_int_equal(r.residual_count, 512);
	}
}

/* ---- what is served here -------------------------------------------------------------------------- */

static void report_luns_is_ours(void **state)
{
	struct res r = in(S0, buf, 64, CDB(0xa0, 0, 0, 0, 0, 0, B4(64), 0, 0));

	good(r);
	assert_int_equal(be_load(buf, 4), 16);
	assert_int_equal(dev.commands, 0);
}

static void inquiry_is_the_devices(void **state)
{
	struct res r = in(S0, buf, 64, CDB(0x12, 1, 0x83, B2(64), 0));

	good(r);
	assert_int_equal(dev.cdb[2], 0x83);
	check_pattern(buf, 64);
	assert_string_equal(rig.lu->view.ident->vendor, "ACME");
	assert_string_equal(rig.lu->view.ident->product, "Streamer");
	assert_string_equal(rig.lu->view.ident->revision, "1.2");
}

static void inquiry_is_answered_when_the_device_is_gone(void **state)
{
	struct res r;

	dev.err = -ENODEV;
	r = in(S0, buf, 96, CDB(0x12, 0, 0, B2(96), 0));
	good(r);
	assert_int_equal(r.len, 36);
	assert_int_equal(buf[0], 0x21); /* a tape that is not there */
	assert_memory_equal(buf + 1, inquiry + 1, 35);
	r = in(S0, buf, 96, CDB(0x12, 0, 0, B2(5), 0));
	good(r);
	assert_int_equal(r.len, 5);
	expect(in(S0, buf, 96, CDB(0x12, 1, 0x83, B2(96), 0)), V_NOT_READY_CAUSE);
}

static void request_sense_tells_ours_first(void **state)
{
	struct loop_session *s = rig_login("iqn.2026-11.test:two", true);

	good(in(s, buf, 18, CDB(0x03, 0, 0, 0, 18, 0)));
	assert_int_equal(buf[2], SK_UNIT_ATTENTION);
	assert_int_equal(dev.commands, 0);
	good(in(s, buf, 18, CDB(0x03, 0, 0, 0, 18, 0)));
	assert_int_equal(dev.commands, 1);
	check_pattern(buf, 18);
}

static void reservations_never_reach_the_device(void **state)
{
	static const uint8_t reg[24] = { [15] = 7 };

	good(out(S0, reg, 24, CDB(0x5f, 0, 0, 0, 0, B4(24), 0)));
	good(in(S0, buf, 64, CDB(0x5e, 0, 0, 0, 0, 0, 0, B2(64), 0)));
	assert_int_equal(be_load(buf + 8, 8), 7);
	good(out(S0, (uint8_t[24]){ [7] = 7 }, 24, CDB(0x5f, 0, 0, 0, 0, B4(24), 0)));
	good(none(S0, CDB(0x16, 0, 0, 0, 0, 0)));
	good(none(S0, CDB(0x17, 0, 0, 0, 0, 0)));
	good(none(S0, CDB(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0)));
	good(none(S0, CDB(0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0)));
	expect_cdb(none(S0, CDB(0x56, 0x10, 0, 1, 0, 0, 0, 0, 0, 0)), 1, 4); /* for a third party */
	assert_int_equal(dev.commands, 0);
}

static void a_reservation_of_ones_keeps_out_the_others(void **state)
{
	struct loop_session *s = other();
	static const uint8_t key[24] = { [7] = 7 }, reg[24] = { [15] = 7 };
	const struct cdb read = CDB(0x28, 0, B4(0), 0, B2(1), 0);

	good(out(S0, reg, 24, CDB(0x5f, 0, 0, 0, 0, B4(24), 0)));
	good(out(S0, key, 24, CDB(0x5f, 1, PR_WRITE_EXCLUSIVE, 0, 0, B4(24), 0)));
	good(in(s, buf, 512, read));
	expect(out(s, buf, 512, CDB(0x2a, 0, B4(0), 0, B2(1), 0)), V_RESERVATION_CONFLICT);
	expect(none(s, CDB(0xd5, 0, 0, 0, 0, 0)), V_RESERVATION_CONFLICT); /* nobody knows it */
	good(none(S0, CDB(0xd5, 0, 0, 0, 0, 0)));
	good(out(S0, key, 24, CDB(0x5f, 2, PR_WRITE_EXCLUSIVE, 0, 0, B4(24), 0)));
	good(out(S0, key, 24, CDB(0x5f, 1, PR_EXCLUSIVE_ACCESS, 0, 0, B4(24), 0)));
	expect(in(s, buf, 512, read), V_RESERVATION_CONFLICT);
	good(in(s, buf, 36, CDB(0x12, 0, 0, 0, 36, 0)));
	good(tur(s));
	good(in(s, buf, 32, CDB(0x9e, 0x10, B8(0), B4(32), 0, 0)));
	expect(in(s, buf, 32, CDB(0x9e, 0x12, B8(0), B4(32), 0, 0)), V_RESERVATION_CONFLICT);
}

static void task_management_is_told_of_as_ours(void **state)
{
	good(in(S0, buf, 4, CDB(0xa3, 0x0d, 0, 0, 0, 0, B4(4), 0, 0)));
	assert_int_equal(buf[0], 0xdc);
	assert_int_equal(dev.commands, 0);
	good(in(S0, buf, 64, CDB(0xa3, 0x0c, 0, 0, 0, 0, B4(64), 0, 0)));
	assert_int_equal(dev.commands, 1);
}

static void copies_by_the_device_itself_are_refused(void **state)
{
	expect(out(S0, buf, 16, CDB(0x83, 0, B8(0), B4(16), 0, 0)), V_INVALID_OPCODE);
	expect(in(S0, buf, 16, CDB(0x84, 0, B8(0), B4(16), 0, 0)), V_INVALID_OPCODE);
	assert_int_equal(dev.commands, 0);
}

static void readonly_lets_pass_what_is_known_to_read(void **state)
{
	good(in(S0, buf, 512, CDB(0x28, 0, B4(0), 0, B2(1), 0)));
	good(tur(S0));
	expect(out(S0, buf, 512, CDB(0x2a, 0, B4(0), 0, B2(1), 0)), V_WRITE_PROTECTED);
	expect(none(S0, CDB(0xd5, 0, 0, 0, 0, 0)), V_WRITE_PROTECTED);
	assert_int_equal(dev.commands, 2);
}

static int begin_readonly(void **state)
{
	rig.disk.readonly = true;
	return begin(state);
}

static void slow_commands_have_time(void **state)
{
	tur(S0);
	assert_int_equal(dev.timeout, 60);
	none(S0, CDB(0x01, 0, 0, 0, 0, 0));
	assert_int_equal(dev.timeout, 14400);
	none(S0, CDB(0x04, 0, 0, 0, 0, 0));
	assert_int_equal(dev.timeout, 65000);
	none(S0, CDB(0xd5, 0, 0, 0, 0, 0));
	assert_int_equal(dev.timeout, 60);
}

/* ---- unit attentions -------------------------------------------------------------------------------- */

static void what_the_device_tells_one_all_hear(void **state)
{
	struct loop_session *s = other();
	struct res r;

	device_sense(SK_UNIT_ATTENTION, 0x28, 0);
	r = tur(S0);
	assert_int_equal(r.asc, 0x28);
	assert_int_equal(r.sense_len, 18);
	device_good();
	expect(tur(s), V_UA_MEDIUM_CHANGED);
	good(tur(s));
	good(tur(S0));
}

static void descriptor_sense_is_understood_too(void **state)
{
	static const uint8_t sense[8] = { 0x72, 6, 0x2a, 9 };
	struct loop_session *s = other();

	dev.status = ST_CHECK_CONDITION;
	memcpy(dev.sense, sense, sizeof(sense));
	dev.sense_len = sizeof(sense);
	assert_int_equal(tur(S0).asc, 0x2a);
	device_good();
	expect(tur(s), V_UA_CAPACITY_CHANGED);
}

static void sense_data_that_end_early_are_passed_on(void **state)
{
	struct loop_cmd c;

	dev.status = ST_CHECK_CONDITION;
	dev.sense[0] = 0x70;
	dev.sense[2] = SK_UNIT_ATTENTION;
	for (uint8_t n = 0; n < 14; n++) {
		dev.sense_len = n;
		rig_cmd(&c, S0, CDB(0, 0, 0, 0, 0, 0), NULL, NULL, 0);
		rig_start(&c);
		rig_until(c.finished);
		assert_int_equal(c.scsi.verdict, V_DEVICE_SENSE);
		assert_int_equal(c.sense_len, n);
	}
}

static void a_mode_select_is_told_to_the_others(void **state)
{
	struct loop_session *s = other();

	good(out(S0, buf, 12, CDB(0x55, 0x10, 0, 0, 0, 0, 0, B2(12), 0)));
	expect(tur(s), V_UA_MODE_CHANGED);
	good(tur(S0));
	device_sense(SK_ILLEGAL_REQUEST, 0x26, 0);
	out(S0, buf, 12, CDB(0x15, 0x10, 0, 0, 12, 0));
	device_good();
	good(tur(s)); /* nothing was changed */
}

/* ---- task management ------------------------------------------------------------------------------------ */

static void hold_read(struct loop_cmd *c, struct loop_session *s, uint8_t *to, uint32_t len)
{
	unsigned n = dev.nheld;

	dev.hold = true;
	rig_cmd(c, s, CDB(0x28, 0, B4(0), 0, B2(len / 512), 0), to, NULL, len);
	rig_start(c);
	until_held(n + 1);
}

struct managing {
	struct loop_tmf t;
	bool done;
};

static void managed(struct loop_tmf *t)
{
	container_of(t, struct managing, t)->done = true;
}

static void manage(struct managing *m, struct loop_session *s, enum tmf_function fn, uint64_t tag)
{
	*m = (struct managing){ .t = { .session = s, .lun = DISK_LUN, .done = managed } };
	m->t.tmf.function = fn;
	m->t.tmf.ref_tag = tag;
	loop_manage(&m->t);
}

static void steps(void)
{
	for (int i = 0; i < 50; i++)
		rig_step();
}

static void an_abort_waits_for_the_device(void **state)
{
	struct loop_cmd c;
	struct managing m;

	hold_read(&c, S0, buf, MOST);
	manage(&m, S0, TMF_ABORT_TASK, c.tag);
	rig_until(dev.cancels);
	steps();
	assert_false(m.done || c.finished);
	release(0);
	rig_until(m.done);
	assert_int_equal(m.t.tmf.response, TMF_COMPLETE);
	assert_true(c.finished);
	assert_int_equal(c.scsi.verdict, V_ABORTED_SILENTLY);
	dev.hold = false;
	good(tur(S0));
}

static void an_abort_reaches_a_write_whose_data_has_not_come(void **state)
{
	struct loop_cmd c;

	rig_cmd(&c, S0, CDB(0x2a, 0, B4(0), 0, B2(8), 0), NULL, buf, 4096);
	c.withhold = true;
	rig_start(&c);
	rig_until(c.asked);
	assert_int_equal(rig_manage(S0, TMF_ABORT_TASK, DISK_LUN, c.tag), TMF_COMPLETE);
	assert_true(c.finished);
	assert_int_equal(dev.commands, 0);
}

static void a_reset_reaches_the_device_and_ends_what_it_works_on(void **state)
{
	struct loop_session *s = other();
	struct loop_cmd c[2];
	struct managing m;

	hold_read(&c[0], S0, buf, 512);
	hold_read(&c[1], s, buf + 512, 512);
	dev.hold_reset = true;
	manage(&m, S0, TMF_LU_RESET, 0);
	rig_until(dev.resets);
	steps();
	assert_false(m.done);
	release(-ECANCELED); /* the device ends them because of the reset */
	steps();
	assert_false(m.done); /* it is not over */
	reactor_turn(rig.reactor[0], 0);
	store_done(dev.reset, 0, 0);
	rig_until(m.done);
	assert_int_equal(m.t.tmf.response, TMF_COMPLETE);
	assert_int_equal(c[0].scsi.verdict, V_ABORTED_SILENTLY);
	assert_int_equal(c[1].scsi.verdict, V_TASK_ABORTED);
	assert_int_equal(dev.resets, 1);
	dev.hold = false;
	expect(tur(s), V_UA_BUS_DEVICE_RESET);
	good(tur(s));
}

static void a_device_that_cannot_be_reset_is_drained(void **state)
{
	struct loop_cmd c;
	struct managing m;

	hold_read(&c, S0, buf, 512);
	dev.hold_reset = true;
	manage(&m, S0, TMF_LU_RESET, 0);
	rig_until(dev.resets);
	reactor_turn(rig.reactor[0], 0);
	store_done(dev.reset, -EOPNOTSUPP, 0);
	steps();
	assert_false(m.done);
	release(0);
	rig_until(m.done);
	assert_int_equal(m.t.tmf.response, TMF_COMPLETE);
}

static void a_target_reset_resets_the_device(void **state)
{
	assert_int_equal(rig_manage(S0, TMF_TARGET_WARM_RESET, 0, 0), TMF_COMPLETE);
	assert_int_equal(dev.resets, 1);
}

static void a_device_that_is_removed_ends_its_commands(void **state)
{
	struct loop_cmd c[2];

	hold_read(&c[0], S0, buf, 512);
	hold_read(&c[1], S0, buf + 512, MOST / 2);
	dev.hold = false;
	release(-ENODEV);
	rig_until(c[0].finished && c[1].finished);
	expect(rig_result(&c[0]), V_NOT_READY_CAUSE);
	expect(rig_result(&c[1]), V_NOT_READY_CAUSE);
}

static void a_session_may_end_while_the_device_works(void **state)
{
	struct loop_session *s = other();
	struct loop_cmd c;

	hold_read(&c, s, buf, MOST);
	loop_logout(s);
	steps();
	assert_non_null(s->nexus);
	release(0);
	rig_until(!s->nexus);
	dev.hold = false;
	good(tur(S0));
}

/* ---- who is it ------------------------------------------------------------------------------------------ */

static void probe_done(struct pass_probe *p)
{
	*(bool *)p->arg = true;
}

static void ask(struct pass_probe *p)
{
	bool done = false;

	*p = (struct pass_probe){
		.store = rig.store, .home = rig.reactor[0], .done = probe_done, .arg = &done
	};
	reactor_turn(rig.control, 0);
	pass_probe(p);
	rig_until(done);
}

static void a_device_is_known_again(void **state)
{
	struct pass_probe was, is;

	ask(&was);
	assert_int_equal(was.err.code, 0);
	check_pattern(was.inquiry, PASS_INQUIRY_LEN);
	check_pattern(was.serial, PASS_SERIAL_LEN);
	ask(&is);
	assert_true(pass_same(&was, &is));
	is.inquiry[33] ^= 1; /* a newer firmware */
	assert_true(pass_same(&was, &is));
	is.serial[7] ^= 1;
	assert_false(pass_same(&was, &is));
	dev.err = -ENODEV;
	ask(&is);
	assert_int_equal(is.err.code, -ENODEV);
	dev.err = 0;
	dev.status = ST_BUSY;
	ask(&is);
	assert_int_equal(is.err.code, -EIO);
	device_good();
	dev.residual = PASS_INQUIRY_LEN;
	ask(&is);
	assert_int_equal(is.err.code, -EIO);
}

/* ---- whatever comes ---------------------------------------------------------------------------------- */

static uint64_t seed = 20261121;

static uint32_t chance(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static void any_answer(void)
{
	static const int errors[] = { -ENODEV, -EAGAIN, -EIO, -ENOTCONN, -ERANGE };

	dev.status = (uint8_t)(chance(4) ? chance(2) * ST_CHECK_CONDITION : chance(256));
	dev.sense_len = (uint8_t)chance(sizeof(dev.sense) + 1);
	for (unsigned i = 0; i < sizeof(dev.sense); i++)
		dev.sense[i] = (uint8_t)(chance(2) ? chance(256) : chance(8));
	dev.err = chance(8) ? 0 : errors[chance(array_size(errors))];
}

static void any_command(struct loop_cmd *c, struct loop_session *s)
{
	rig_cmd(c, s, CDB(0), NULL, NULL, 0);
	c->cdb_len = 1 + chance(40);
	for (unsigned i = 0; i < c->cdb_len; i++)
		c->cdb[i] = (uint8_t)(chance(3) ? chance(256) : 0);
	c->expected = chance(4) ? chance(4096) : chance(MOST + 4096);
	c->read = chance(2);
	c->write = chance(c->read ? 16 : 2) == 1;
	c->in = c->read ? buf : NULL;
	c->out = c->write ? buf : NULL;
	c->late = chance(2);
	c->segment = chance(3) * 5000;
}

static void whatever_comes_ends(void **state)
{
	struct loop_session *s = other();
	struct loop_cmd c;

	for (unsigned i = 0; i < 5000; i++) {
		any_answer();
		any_command(&c, chance(2) ? s : S0);
		dev.residual = c.expected ? chance(c.expected + 1) : 0;
		rig_start(&c);
		rig_until(c.finished);
		assert_false(c.gap);
		assert_true(c.in_len <= c.expected);
		assert_true(c.sense_len <= sizeof(dev.sense));
		assert_true(c.scsi.residual_count <= c.expected || c.scsi.verdict != V_GOOD ||
			    c.cdb[0] == 0xa0);
	}
	assert_true(dev.commands > 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_cdb_goes_in_its_own_length),
		T(an_unknown_opcode_is_the_devices_to_refuse),
		T(data_in_comes_with_the_devices_residual),
		T(long_data_in_come_in_one_command),
		T(data_out_goes_in_one_command),
		T(a_residual_of_data_out_is_the_devices),
		T(what_is_too_much_for_the_device_is_refused_here),
		T(both_directions_at_once_are_refused),
		T(naca_is_refused),
		T(sense_data_are_the_devices_word_for_word),
		T(data_before_an_error_are_passed_on),
		T(every_status_is_the_devices),
		T(what_keeps_the_device_from_answering_has_its_verdict),
		T(report_luns_is_ours),
		T(inquiry_is_the_devices),
		T(inquiry_is_answered_when_the_device_is_gone),
		T(request_sense_tells_ours_first),
		T(reservations_never_reach_the_device),
		T(a_reservation_of_ones_keeps_out_the_others),
		T(task_management_is_told_of_as_ours),
		T(copies_by_the_device_itself_are_refused),
		cmocka_unit_test_setup_teardown(readonly_lets_pass_what_is_known_to_read,
						begin_readonly, end),
		T(slow_commands_have_time),
		T(what_the_device_tells_one_all_hear),
		T(descriptor_sense_is_understood_too),
		T(sense_data_that_end_early_are_passed_on),
		T(a_mode_select_is_told_to_the_others),
		T(an_abort_waits_for_the_device),
		T(an_abort_reaches_a_write_whose_data_has_not_come),
		T(a_reset_reaches_the_device_and_ends_what_it_works_on),
		T(a_device_that_cannot_be_reset_is_drained),
		T(a_target_reset_resets_the_device),
		T(a_device_that_is_removed_ends_its_commands),
		T(a_session_may_end_while_the_device_works),
		T(a_device_is_known_again),
		T(whatever_comes_ends),
	};

	rig_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
