/* SPDX-License-Identifier: BSD-2-Clause */
/* The store sg over a node that the test plays: the system calls are the test's own. */
#include <errno.h>
#include <linux/bsg.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "base/bits.h"
#include "reactor/clock.h"
#include "store/sg.h"

static struct rig rig;
static const struct engine *engine;

/* ---- the node ------------------------------------------------------------------------- */

#define TAKEN_MAX 64

/* What the driver's side sees and says; write() comes on a thread. */
static struct node {
	pthread_mutex_t lock;
	pthread_cond_t written;
	int interface, version, max_bytes, open_errno, interface_errno;
	int fd[2]; /* a pair of sockets: readable while an answer is there, at an end when removed */
	sg_io_hdr_t taken[TAKEN_MAX]; /* in order of arrival */
	unsigned ntaken;
	unsigned char data[4096]; /* of the last one's data-out, as it was at write() */
	sg_io_hdr_t ready[TAKEN_MAX]; /* what read() gives, in order */
	unsigned first, nready;
	int write_errno; /* once */
	bool hold, hold_after; /* writes wait until it is false, before and after they count */
	int read_errno; /* of the next answer */
	bool removed;
	int reset, reset_errno;
	struct sg_io_v4 v4;
	void (*answer_v4)(struct sg_io_v4 *h);
	unsigned opens, closes;
} node;

static int fake_interface(const char *path)
{
	errno = node.interface_errno;
	return node.interface_errno ? -1 : node.interface;
}

static int fake_open(const char *path)
{
	errno = node.open_errno;
	if (node.open_errno)
		return -1;
	node.opens++;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, node.fd),
			 0);
	return node.fd[0];
}

static int fake_close(int fd)
{
	node.closes++;
	close(node.fd[1]);
	return close(fd);
}

static int fake_sg_io(struct sg_io_v4 *h)
{
	pthread_mutex_lock(&node.lock);
	node.v4 = *h;
	if (node.answer_v4)
		node.answer_v4(h);
	pthread_mutex_unlock(&node.lock);
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	switch (request) {
	case SG_GET_VERSION_NUM:
		*(int *)arg = node.version;
		return 0;
	case 0x1267: /* BLKSECTGET */
		*(int *)arg = node.max_bytes;
		return 0;
	case SG_SCSI_RESET:
		node.reset = *(int *)arg;
		errno = node.reset_errno;
		return node.reset_errno ? -1 : 0;
	case SG_IO:
		return fake_sg_io(arg);
	default:
		errno = ENOTTY;
		return -1;
	}
}

static ssize_t fake_write(int fd, const void *p, size_t n)
{
	const sg_io_hdr_t *h = p;
	int err;

	assert_int_equal(n, sizeof(*h));
	pthread_mutex_lock(&node.lock);
	while (node.hold)
		pthread_cond_wait(&node.written, &node.lock);
	err = node.removed ? ENODEV : node.write_errno;
	node.write_errno = 0;
	if (!err) {
		node.taken[node.ntaken++] = *h;
		if (h->dxfer_direction == SG_DXFER_TO_DEV && !h->iovec_count)
			memcpy(node.data, h->dxferp, min(h->dxfer_len, 4096u));
	}
	while (node.hold_after)
		pthread_cond_wait(&node.written, &node.lock);
	pthread_mutex_unlock(&node.lock);
	errno = err;
	return err ? -1 : (ssize_t)n;
}

static ssize_t fake_read(int fd, void *p, size_t n)
{
	char c;
	int err;

	if (read(node.fd[0], &c, 1) != 1) {
		errno = node.removed ? ENODEV : EAGAIN;
		return -1;
	}
	pthread_mutex_lock(&node.lock);
	memcpy(p, &node.ready[node.first++], sizeof(sg_io_hdr_t));
	err = node.read_errno;
	node.read_errno = 0;
	pthread_mutex_unlock(&node.lock);
	errno = err;
	return err ? -1 : (ssize_t)sizeof(sg_io_hdr_t);
}

static const struct sg_sys fake_sys = { fake_interface, fake_open,  fake_close,
					fake_ioctl,	fake_write, fake_read };

/* ---- up and down ------------------------------------------------------------------------ */

static struct store_spec spec = { .type = "sg", .path = "/dev/sg7", .block_size = 512 };

static int begin(void **state)
{
	memset(&node, 0, sizeof(node));
	pthread_mutex_init(&node.lock, NULL);
	pthread_cond_init(&node.written, NULL);
	node.interface = SG_V3;
	node.version = 30536;
	node.max_bytes = 65536;
	sg_sys = &fake_sys;
	spec.opts = NULL;
	rig_init(&rig, engine, false);
	return 0;
}

static int end(void **state)
{
	rig_fini(&rig);
	assert_int_equal(node.opens, node.closes);
	pthread_mutex_destroy(&node.lock);
	pthread_cond_destroy(&node.written);
	return 0;
}

static void opens(void)
{
	if (rig_open(&rig, &spec, NULL))
		fail_msg("%s", rig.err.text);
}

/* A command of the test. */
struct command {
	struct req req;
	struct store_raw raw;
	uint8_t cdb[16], sense[96];
	uint8_t data[256];
};

static void command(struct command *c, bool in, bool out, uint32_t len)
{
	rig_fill(&c->req, STORE_RAW, 0, 0, 0, NULL);
	memset(c->data, 0x11, sizeof(c->data));
	c->cdb[0] = 0x28;
	c->req.v[0] = (struct iovec){ c->data, len };
	c->raw = (struct store_raw){ .cdb = c->cdb,
				     .cdb_len = 10,
				     .in = in,
				     .out = out,
				     .iov = c->req.v,
				     .iovcnt = len ? 1 : 0,
				     .length = len,
				     .sense = c->sense,
				     .sense_room = sizeof(c->sense) };
	c->req.io.raw = &c->raw;
}

static void start(struct command *c)
{
	rig_submit(&rig, &c->req);
}

static unsigned taken(void)
{
	unsigned n;

	pthread_mutex_lock(&node.lock);
	n = node.ntaken;
	pthread_mutex_unlock(&node.lock);
	return n;
}

static void until_taken(unsigned n)
{
	while (taken() < n)
		reactor_turn(rig.r, NSEC_PER_MSEC);
}

/* The answer to the @i-th one taken; what is not set is good. */
static sg_io_hdr_t *answer(unsigned i)
{
	sg_io_hdr_t *h = &node.ready[node.nready++];

	*h = node.taken[i];
	return h;
}

static void send_answers(void)
{
	static const char c[TAKEN_MAX];
	unsigned n = node.nready - node.first;

	assert_int_equal(write(node.fd[1], c, n), n);
}

static void done(struct command *c, int err)
{
	rig_wait(&rig, &c->req);
	assert_int_equal(c->req.io.err, err);
}

/* One command from end to end, answered with @host, @driver and @status. */
static int outcome(unsigned host, unsigned driver, unsigned status)
{
	static struct command c;
	sg_io_hdr_t *h;

	command(&c, false, false, 0);
	start(&c);
	until_taken(node.ntaken + 1);
	h = answer(node.ntaken - 1);
	h->host_status = (unsigned short)host;
	h->driver_status = (unsigned short)driver;
	h->status = (unsigned char)status;
	send_answers();
	rig_wait(&rig, &c.req);
	assert_true(c.req.io.err || c.raw.status == status);
	return c.req.io.err;
}

/* ---- commands ------------------------------------------------------------------------------ */

static void a_command_goes_to_the_node_as_it_is(void **state)
{
	struct command c;
	const sg_io_hdr_t *h = &node.taken[0];

	opens();
	command(&c, true, false, 100);
	start(&c);
	until_taken(1);
	assert_int_equal(h->interface_id, 'S');
	assert_int_equal(h->dxfer_direction, SG_DXFER_FROM_DEV);
	assert_int_equal(h->dxfer_len, 100);
	assert_ptr_equal(h->dxferp, c.data);
	assert_ptr_equal(h->cmdp, c.cdb);
	assert_int_equal(h->cmd_len, 10);
	assert_int_equal(h->mx_sb_len, 96);
	assert_int_equal(h->timeout, 60000);
	memset(c.data, 0x77, 60); /* as the driver would in read() */
	answer(0)->resid = 40;
	send_answers();
	done(&c, 0);
	assert_int_equal(c.raw.status, 0);
	assert_int_equal(c.raw.residual, 40);
}

static void data_out_goes_with_the_command(void **state)
{
	struct command c;

	opens();
	command(&c, false, true, 64);
	start(&c);
	until_taken(1);
	assert_int_equal(node.taken[0].dxfer_direction, SG_DXFER_TO_DEV);
	assert_memory_equal(node.data, c.data, 64);
	answer(0);
	send_answers();
	done(&c, 0);
	assert_int_equal(c.raw.residual, 0);
}

static void several_segments_go_as_an_iovec(void **state)
{
	struct command c;
	struct iovec v[3];

	opens();
	command(&c, true, false, 90);
	for (int i = 0; i < 3; i++)
		v[i] = (struct iovec){ c.data + 32 * i, 30 };
	c.raw.iov = v;
	c.raw.iovcnt = 3;
	start(&c);
	until_taken(1);
	assert_int_equal(node.taken[0].iovec_count, 3);
	assert_ptr_equal(node.taken[0].dxferp, v);
	answer(0);
	send_answers();
	done(&c, 0);
}

static void answers_may_come_in_any_order(void **state)
{
	struct command c[5];
	static const unsigned order[] = { 3, 0, 4, 2, 1 };

	opens();
	for (int i = 0; i < 5; i++) {
		command(&c[i], false, false, 0);
		start(&c[i]);
	}
	until_taken(5);
	for (int i = 0; i < 5; i++) {
		sg_io_hdr_t *h = answer(order[i]);

		/* taken in the order of submission */
		h->status = (unsigned char)(order[i] << 1);
	}
	send_answers();
	for (unsigned i = 0; i < 5; i++) {
		done(&c[i], 0);
		assert_int_equal(c[i].raw.status, i << 1);
	}
}

static void no_more_go_than_the_driver_takes_and_the_rest_follows(void **state)
{
	enum { N = 40 };
	static struct command c[N];
	unsigned answered = 0;

	opens();
	for (int i = 0; i < N; i++) {
		command(&c[i], false, false, 0);
		start(&c[i]);
	}
	while (answered < N) {
		unsigned most = min(answered + SG_MAX_QUEUE, (unsigned)N);

		until_taken(most);
		assert_int_equal(taken(), most);
		while (answered < most)
			answer(answered++);
		send_answers();
		for (unsigned i = 0; i < most; i++)
			done(&c[i], 0);
	}
}

static void sense_data_come_word_for_word(void **state)
{
	static const uint8_t sense[20] = { 0x72, 0x05, 0x24, 0, 0, 0, 0, 12, 0x80, 10, 0xab };
	struct command c;
	sg_io_hdr_t *h;

	opens();
	command(&c, true, false, 32);
	start(&c);
	until_taken(1);
	h = answer(0);
	h->status = 2;
	h->driver_status = 8;
	memcpy(h->sbp, sense, sizeof(sense));
	h->sb_len_wr = sizeof(sense);
	h->resid = 32;
	send_answers();
	done(&c, 0);
	assert_int_equal(c.raw.status, 2);
	assert_int_equal(c.raw.sense_len, sizeof(sense));
	assert_memory_equal(c.sense, sense, sizeof(sense));
	assert_int_equal(c.raw.residual, 32);
}

static void sense_data_without_a_status_are_a_check_condition(void **state)
{
	struct command c;
	sg_io_hdr_t *h;

	opens();
	command(&c, false, false, 0);
	start(&c);
	until_taken(1);
	h = answer(0);
	h->driver_status = 0x08;
	h->sb_len_wr = 18;
	send_answers();
	done(&c, 0);
	assert_int_equal(c.raw.status, 2);
}

static void what_the_adapter_says_becomes_an_error(void **state)
{
	opens();
	assert_int_equal(outcome(0x01, 0, 0), -ENODEV);
	assert_int_equal(outcome(0x04, 0, 0), -ENODEV);
	assert_int_equal(outcome(0x02, 0, 0), -EAGAIN);
	assert_int_equal(outcome(0x0d, 0, 0), -EAGAIN);
	assert_int_equal(outcome(0x03, 0, 0), -ETIMEDOUT);
	assert_int_equal(outcome(0, 0x06, 0), -ETIMEDOUT);
	assert_int_equal(outcome(0x08, 0, 0), -ECANCELED);
	assert_int_equal(outcome(0x0f, 0, 0), -ENOTCONN);
	assert_int_equal(outcome(0x07, 0, 0), -EIO);
	/* a status is the device's word */
	assert_int_equal(outcome(0x10, 0, 0x18), 0);
}

static void a_residual_that_cannot_be_is_bounded(void **state)
{
	struct command c;

	opens();
	for (int i = 0; i < 2; i++) {
		command(&c, true, false, 50);
		start(&c);
		until_taken(i + 1);
		answer(i)->resid = i ? 1000 : -7;
		send_answers();
		done(&c, 0);
		assert_int_equal(c.raw.residual, i ? 50 : 0);
	}
}

static void data_that_could_not_be_passed_on_are_an_error_of_their_command(void **state)
{
	struct command c;

	opens();
	command(&c, true, false, 50);
	start(&c);
	until_taken(1);
	answer(0);
	node.read_errno = EFAULT;
	send_answers();
	done(&c, -EIO);
	assert_int_equal(outcome(0, 0, 0), 0);
}

static void an_answer_to_nothing_is_not_taken(void **state)
{
	struct command c;
	sg_io_hdr_t *h;

	opens();
	command(&c, false, false, 0);
	start(&c);
	until_taken(1);
	h = answer(0);
	h->pack_id += 32; /* another use of the slot */
	h = answer(0);
	h->pack_id = -1;
	answer(0)->status = 8;
	send_answers();
	done(&c, 0);
	assert_int_equal(c.raw.status, 8);
}

static void hold(bool *flag, bool on)
{
	pthread_mutex_lock(&node.lock);
	*flag = on;
	pthread_cond_broadcast(&node.written);
	pthread_mutex_unlock(&node.lock);
}

static void an_answer_may_come_before_write_returns(void **state)
{
	struct command c;

	opens();
	hold(&node.hold_after, true);
	command(&c, true, false, 8);
	start(&c);
	until_taken(1);
	answer(0)->status = 8;
	send_answers();
	while (!node.first)
		reactor_turn(rig.r, NSEC_PER_MSEC);
	reactor_turn(rig.r, 0);
	assert_int_equal(c.req.done, 0); /* the thread still looks at it */
	hold(&node.hold_after, false);
	done(&c, 0);
	assert_int_equal(c.raw.status, 8);
}

static void a_write_that_fails_ends_its_command_alone(void **state)
{
	static const struct {
		int from, to;
	} errors[] = {
		{ EDOM, -EAGAIN }, { ENOMEM, -ENOMEM }, { EPERM, -EPERM }, { EMSGSIZE, -EINVAL }
	};
	struct command c;

	opens();
	for (unsigned i = 0; i < array_size(errors); i++) {
		node.write_errno = errors[i].from;
		command(&c, false, false, 0);
		start(&c);
		done(&c, errors[i].to);
		assert_int_equal(outcome(0, 0, 0), 0);
	}
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void what_the_interface_cannot_carry_is_refused(void **state)
{
	struct command c;

	opens();
	command(&c, true, true, 16);
	start(&c);
	done(&c, -EOPNOTSUPP);
	command(&c, true, false, 16);
	c.raw.cdb_len = 5;
	start(&c);
	done(&c, -EINVAL);
	command(&c, true, false, 16);
	c.raw.cdb_len = 33;
	start(&c);
	done(&c, -EINVAL);
	command(&c, true, false, 16);
	c.raw.length = 65537;
	start(&c);
	done(&c, -EINVAL);
	assert_int_equal(taken(), 0);
}

/* ---- time --------------------------------------------------------------------------------------- */

static void the_time_of_a_command_reaches_the_driver(void **state)
{
	struct command c;

	opens();
	command(&c, false, false, 0);
	c.raw.timeout = 7200 * NSEC_PER_SEC;
	start(&c);
	until_taken(1);
	assert_int_equal(node.taken[0].timeout, 7200000);
	answer(0);
	send_answers();
	done(&c, 0);
	command(&c, false, false, 0);
	c.raw.timeout = UINT64_MAX;
	start(&c);
	until_taken(2);
	assert_int_equal(node.taken[1].timeout, 86400000); /* never without an end */
	answer(1);
	send_answers();
	done(&c, 0);
}

static void the_option_timeout_counts_for_every_command(void **state)
{
	struct command c;

	spec.opts = "timeout=5";
	opens();
	command(&c, false, false, 0);
	c.raw.timeout = 7200 * NSEC_PER_SEC;
	start(&c);
	until_taken(1);
	assert_int_equal(node.taken[0].timeout, 5000);
	answer(0);
	send_answers();
	done(&c, 0);
}

/* ---- reset, removal, cancel ------------------------------------------------------------------------ */

static void a_reset_goes_to_the_device_alone(void **state)
{
	struct req q;

	opens();
	rig_fill(&q, STORE_RESET, 0, 0, 0, NULL);
	q.io.reset = STORE_RESET_UNIT;
	rig_submit(&rig, &q);
	rig_wait(&rig, &q);
	assert_int_equal(q.io.err, 0);
	assert_int_equal(node.reset, SG_SCSI_RESET_DEVICE | 0x100);
	node.reset_errno = EIO;
	rig_fill(&q, STORE_RESET, 0, 0, 0, NULL);
	q.io.reset = STORE_RESET_TARGET;
	rig_submit(&rig, &q);
	rig_wait(&rig, &q);
	assert_int_equal(q.io.err, -EIO);
	assert_int_equal(node.reset, 4 | 0x100);
}

static void a_device_that_is_removed_ends_what_it_has(void **state)
{
	struct command c[3];

	opens();
	for (int i = 0; i < 3; i++) {
		command(&c[i], true, false, 20);
		start(&c[i]);
	}
	until_taken(3);
	answer(1); /* it had time for one */
	send_answers();
	node.removed = true;
	shutdown(node.fd[1], SHUT_RDWR);
	done(&c[1], 0);
	done(&c[0], -ENODEV);
	done(&c[2], -ENODEV);
	command(&c[0], true, false, 20);
	start(&c[0]);
	done(&c[0], -ENODEV);
}

static void a_device_that_is_gone_at_write_is_noticed(void **state)
{
	struct command c[2];

	opens();
	node.removed = true;
	for (int i = 0; i < 2; i++) {
		command(&c[i], false, false, 0);
		start(&c[i]);
	}
	done(&c[0], -ENODEV);
	done(&c[1], -ENODEV);
}

static void what_the_driver_has_not_got_can_be_cancelled(void **state)
{
	struct command a, b;

	opens();
	node.hold = true;
	command(&a, false, false, 0);
	command(&b, false, false, 0);
	start(&a);
	reactor_turn(rig.r, 0); /* its batch is with the thread */
	start(&b);
	reactor_turn(rig.r, 0);
	store_cancel(&b.req.io);
	done(&b, -ECANCELED);
	store_cancel(&a.req.io);
	hold(&node.hold, false);
	until_taken(1);
	assert_int_equal(a.req.done, 0);
	answer(0);
	send_answers();
	done(&a, 0);
	assert_int_equal(taken(), 1);
}

/* ---- SG v4 ------------------------------------------------------------------------------------- */

static void answer_short(struct sg_io_v4 *h)
{
	memset((void *)(uintptr_t)h->din_xferp, 0x55, h->din_xfer_len);
	h->din_resid = 10;
}

static void answer_sense(struct sg_io_v4 *h)
{
	memset((void *)(uintptr_t)h->response, 0x70, 18);
	h->response_len = 18;
	h->device_status = 2;
}

static void opens_v4(void)
{
	node.interface = SG_V4;
	node.version = 30527;
	opens();
}

static void bsg_carries_a_command_by_ioctl(void **state)
{
	struct command c;

	opens_v4();
	node.answer_v4 = answer_short;
	command(&c, true, false, 100);
	start(&c);
	done(&c, 0);
	assert_int_equal(node.v4.guard, 'Q');
	assert_int_equal(node.v4.request_len, 10);
	assert_int_equal(node.v4.din_xfer_len, 100);
	assert_int_equal(node.v4.dout_xfer_len, 0);
	assert_int_equal(node.v4.timeout, 60000);
	assert_int_equal(c.data[0], 0x55);
	assert_int_equal(c.raw.residual, 10);
	node.answer_v4 = answer_sense;
	command(&c, false, true, 10);
	start(&c);
	done(&c, 0);
	assert_int_equal(c.raw.status, 2);
	assert_int_equal(c.raw.sense_len, 18);
	assert_int_equal(node.v4.dout_xfer_len, 10);
}

static void bsg_data_in_several_segments_are_put_together(void **state)
{
	struct command c;
	struct iovec v[2];

	opens_v4();
	node.answer_v4 = answer_short;
	command(&c, true, false, 100);
	v[0] = (struct iovec){ c.data, 40 };
	v[1] = (struct iovec){ c.data + 50, 60 };
	c.raw.iov = v;
	c.raw.iovcnt = 2;
	start(&c);
	done(&c, 0);
	assert_int_equal(c.data[39], 0x55);
	assert_int_equal(c.data[40], 0x11);
	assert_int_equal(c.data[50], 0x55);
	assert_int_equal(c.data[99], 0x55);
	assert_int_equal(c.data[100], 0x11); /* the residual's bytes are not data */
}

static void answer_less(struct sg_io_v4 *h)
{
	memset((void *)(uintptr_t)h->din_xferp, 0x55, 50);
}

static void bsg_data_that_an_adapter_only_claims_to_have_moved_are_zeroes(void **state)
{
	struct command c;
	struct iovec v[2];

	opens_v4();
	node.answer_v4 = answer_less;
	command(&c, true, false, 100);
	start(&c);
	done(&c, 0);
	assert_int_equal(c.data[49], 0x55);
	assert_int_equal(c.data[50] | c.data[99], 0);
	command(&c, true, false, 100);
	v[0] = (struct iovec){ c.data, 40 };
	v[1] = (struct iovec){ c.data + 50, 60 };
	c.raw.iov = v;
	c.raw.iovcnt = 2;
	start(&c);
	done(&c, 0);
	assert_int_equal(c.data[59], 0x55);
	assert_int_equal(c.data[60] | c.data[109], 0);
}

static void bsg_has_no_reset(void **state)
{
	struct req q;

	opens_v4();
	rig_fill(&q, STORE_RESET, 0, 0, 0, NULL);
	q.io.reset = STORE_RESET_UNIT;
	rig_submit(&rig, &q);
	rig_wait(&rig, &q);
	assert_int_equal(q.io.err, -EOPNOTSUPP);
}

/* ---- opening ----------------------------------------------------------------------------------- */

static void what_is_no_generic_node_is_refused_with_advice(void **state)
{
	node.interface_errno = ENOTTY;
	rig_refused(&rig, &spec, -EINVAL, "give its /dev/sgN or /dev/bsg/H:C:T:L");
	node.interface_errno = ENOENT;
	rig_refused(&rig, &spec, -ENOENT, "load the kernel module sg");
	node.interface_errno = 0;
	node.open_errno = EACCES;
	rig_refused(&rig, &spec, -EACCES, "run it as root");
	node.open_errno = EBUSY;
	rig_refused(&rig, &spec, -EBUSY, "another program");
	node.open_errno = 0;
	node.version = 20134;
	rig_refused(&rig, &spec, -EOPNOTSUPP, "SG v3");
}

static void what_only_looks_like_a_node_is_not_opened(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s", rig_file(&rig, "disk", 4096));
	sg_sys = &sg_real_sys;
	spec.path = path;
	rig_refused(&rig, &spec, -EINVAL, "is no generic node");
	spec.path = "/dev/null";
	rig_refused(&rig, &spec, -EINVAL, "is no generic node");
	spec.path = "/dev/sg7";
}

static void options_are_checked(void **state)
{
	spec.opts = "timeout=0";
	rig_refused(&rig, &spec, -EINVAL, "1 to 86400");
	spec.opts = "timeout=100000";
	rig_refused(&rig, &spec, -EINVAL, "1 to 86400");
	spec.opts = "max_io=100M";
	rig_refused(&rig, &spec, -EINVAL, "max_io");
	spec.opts = "max_io=4K";
	opens();
	assert_int_equal(store_limits(rig.s)->max_io, 4096);
}

static void the_limits_are_the_drivers(void **state)
{
	opens();
	assert_int_equal(store_limits(rig.s)->max_io, 65536);
	assert_int_equal(store_limits(rig.s)->size, 0);
	assert_int_equal(store_limits(rig.s)->cap[STORE_RAW], STORE_CAP_NATIVE);
	assert_int_equal(store_limits(rig.s)->cap[STORE_READ], STORE_CAP_NO);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_command_goes_to_the_node_as_it_is),
		T(data_out_goes_with_the_command),
		T(several_segments_go_as_an_iovec),
		T(answers_may_come_in_any_order),
		T(no_more_go_than_the_driver_takes_and_the_rest_follows),
		T(sense_data_come_word_for_word),
		T(sense_data_without_a_status_are_a_check_condition),
		T(what_the_adapter_says_becomes_an_error),
		T(a_residual_that_cannot_be_is_bounded),
		T(data_that_could_not_be_passed_on_are_an_error_of_their_command),
		T(an_answer_to_nothing_is_not_taken),
		T(an_answer_may_come_before_write_returns),
		T(a_write_that_fails_ends_its_command_alone),
		T(what_the_interface_cannot_carry_is_refused),
		T(the_time_of_a_command_reaches_the_driver),
		T(the_option_timeout_counts_for_every_command),
		T(a_reset_goes_to_the_device_alone),
		T(a_device_that_is_removed_ends_what_it_has),
		T(a_device_that_is_gone_at_write_is_noticed),
		T(what_the_driver_has_not_got_can_be_cancelled),
		T(bsg_carries_a_command_by_ioctl),
		T(bsg_data_in_several_segments_are_put_together),
		T(bsg_data_that_an_adapter_only_claims_to_have_moved_are_zeroes),
		T(bsg_has_no_reset),
		T(what_is_no_generic_node_is_refused_with_advice),
		T(what_only_looks_like_a_node_is_not_opened),
		T(options_are_checked),
		T(the_limits_are_the_drivers),
	};

	engine = rig_engine(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
