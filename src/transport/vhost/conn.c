/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket of a front end: messages are received with exact lengths, run one at a time, and
 * answered before the next one
 * is read. What is malformed closes the connection; what is refused closes it too, unless the
 * message asks for an answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/vhost/device.h"

#define RING_TIMEOUT_NS (5 * NSEC_PER_SEC) /* for commands of a ring that is stopped */

static struct vhost_dev *dev_of(struct vconn *c)
{
	return container_of(c, struct vhost_dev, conn);
}

static void close_message_fds(struct vu_msg *m)
{
	for (unsigned i = 0; i < m->nfds; i++)
		if (m->fd[i] >= 0)
			close(m->fd[i]);
	m->nfds = 0;
	if (m->reply_fd >= 0)
		close(m->reply_fd);
	m->reply_fd = -1;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void received(struct io_op *op, int res);

static void receive(struct vconn *c)
{
	uint8_t *at = c->got < sizeof(c->msg.head)
			      ? (uint8_t *)&c->msg.head + c->got
			      : c->msg.payload.bytes + (c->got - sizeof(c->msg.head));

	c->iov = (struct iovec){ at, c->want - c->got };
	c->hdr = (struct msghdr){ .msg_iov = &c->iov,
				  .msg_iovlen = 1,
				  .msg_control = c->control,
				  .msg_controllen = sizeof(c->control) };
	c->rx.verb = IO_RECVMSG;
	c->rx.fd = c->fd;
	c->rx.msg = &c->hdr;
	c->rx.done = received;
	io_submit(dev_of(c)->reactor, &c->rx);
}

static void next_message(struct vconn *c)
{
	c->got = 0;
	c->want = sizeof(c->msg.head);
	c->msg.nfds = 0;
	c->msg.reply_fd = -1;
	receive(c);
}

/* False: there were more descriptors than a message may have. */
static bool take_fds(struct vconn *c)
{
	struct vu_msg *m = &c->msg;
	bool fits = !(c->hdr.msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *h = CMSG_FIRSTHDR(&c->hdr); h; h = CMSG_NXTHDR(&c->hdr, h)) {
		unsigned n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (unsigned i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
			if (m->nfds < VU_FDS_MAX) {
				m->fd[m->nfds++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

/* ---- answering ------------------------------------------------------------------------------- */

static void sent(struct io_op *op, int res);

static void send_rest(struct vconn *c)
{
	/* the payload follows the header: see struct vu_msg */
	c->iov = (struct iovec){ (uint8_t *)&c->msg.head + c->got, c->want - c->got };
	c->hdr.msg_iov = &c->iov;
	c->hdr.msg_iovlen = 1;
	c->tx.verb = IO_SENDMSG;
	c->tx.fd = c->fd;
	c->tx.msg = &c->hdr;
	c->tx.done = sent;
	io_submit(dev_of(c)->reactor, &c->tx);
}

static void attach_fd(struct vconn *c)
{
	struct cmsghdr *h;

	c->hdr.msg_control = c->control;
	c->hdr.msg_controllen = CMSG_SPACE(sizeof(int));
	memset(c->control, 0, sizeof(c->control));
	h = CMSG_FIRSTHDR(&c->hdr);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &c->msg.reply_fd, sizeof(int));
}

static void answer(struct vconn *c)
{
	c->msg.head.flags = VU_VERSION | VU_REPLY;
	c->got = 0;
	c->want = sizeof(c->msg.head) + c->msg.head.size;
	c->hdr = (struct msghdr){ 0 };
	if (c->msg.reply_fd >= 0)
		attach_fd(c);
	send_rest(c);
}

static void acknowledge(struct vconn *c, uint64_t result)
{
	c->msg.payload.u64 = result;
	c->msg.head.size = sizeof(uint64_t);
	answer(c);
}

static void sent(struct io_op *op, int res)
{
	struct vconn *c = container_of(op, struct vconn, tx);
	struct vhost_dev *d = dev_of(c);

	if (!dev_is_live(d)) {
		dev_maybe_gone(d);
		return;
	}
	if (res <= 0) {
		dev_close(d, NULL);
		return;
	}
	c->got += (size_t)res;
	if (c->got < c->want) {
		c->hdr = (struct msghdr){ 0 };
		send_rest(c);
		return;
	}
	close_message_fds(&c->msg);
	next_message(c);
}

/* ---- running ---------------------------------------------------------------------------------- */

static bool wants_ack(const struct vhost_dev *d, const struct vu_msg *m)
{
	return m->head.flags & VU_NEED_REPLY && d->protocol & VU_P_REPLY_ACK;
}

/* Close it, saying which message it was. */
static void reject(struct vhost_dev *d, const char *name, const char *why)
{
	char text[sizeof(d->why)];

	part_count(d->part, protocol_errors, 1);
	snprintf(text, sizeof(text), "%s: %s", name, why);
	dev_close(d, text);
}

static void refuse(struct vhost_dev *d, const struct vu_row *row, const char *why)
{
	struct vconn *c = &d->conn;
	char number[32];

	snprintf(number, sizeof(number), "message %u", c->msg.head.request);
	if ((row && row->replies) || !wants_ack(d, &c->msg)) {
		reject(d, row ? row->name : number, why);
		return;
	}
	part_count(d->part, protocol_errors, 1);
	log_warn("vhost: %s: %s is refused: %s", d->path, row ? row->name : number, why);
	for (unsigned i = 0; i < c->msg.nfds; i++)
		if (c->msg.fd[i] >= 0)
			close(c->msg.fd[i]);
	c->msg.nfds = 0;
	acknowledge(c, 1);
}

/* The message has been run, and all is well. */
static void done(struct vconn *c, const struct vu_row *row)
{
	struct vhost_dev *d = dev_of(c);

	for (unsigned i = 0; i < c->msg.nfds; i++)
		if (c->msg.fd[i] >= 0)
			close(c->msg.fd[i]);
	c->msg.nfds = 0;
	if (row->replies)
		answer(c);
	else if (wants_ack(d, &c->msg))
		acknowledge(c, 0);
	else
		next_message(c);
}

static void ring_timeout(struct timer *t)
{
	struct vconn *c = container_of(t, struct vconn, timer);

	log_warn(
		"vhost: %s: ring %u is being stopped and its commands do not end: they are aborted",
		dev_of(c)->path, c->ring->index);
	tasks_abort(c->ring);
}

static void wait_for(struct vconn *c)
{
	struct vhost_dev *d = dev_of(c);

	if (c->hung_up) {
		dev_close(d, NULL);
		return;
	}
	if (c->wait == WAITS_FOR_RING)
		timer_arm(d->reactor, &c->timer, RING_TIMEOUT_NS, ring_timeout);
	dev_flush_soon(d);
}

void conn_answer_later(struct vhost_dev *d)
{
	struct vconn *c = &d->conn;

	timer_cancel(d->reactor, &c->timer);
	if (c->wait == WAITS_FOR_RING) {
		c->msg.payload.state.num = vring_base(&c->ring->ring);
		queue_stop(c->ring);
		queue_set_kick(c->ring, -1);
	}
	c->ring = NULL;
	c->wait = WAITS_NOT;
	done(c, vu_row(c->msg.head.request));
}

static void run(struct vconn *c)
{
	struct vhost_dev *d = dev_of(c);
	const struct vu_row *row = vu_row(c->msg.head.request);
	const char *why;
	int rc;

	if (!row) {
		refuse(d, NULL, "this message is not known here");
		return;
	}
	why = vu_check_message(row, &c->msg);
	if (why) {
		reject(d, row->name, why);
		return;
	}
	if (row->needs & ~d->protocol) {
		refuse(d, row, "the protocol feature for it was not negotiated");
		return;
	}
	why = "it cannot be done";
	rc = row->run(d, &c->msg, &why);
	if (rc < 0)
		refuse(d, row, why);
	else if (rc == MSG_LATER)
		wait_for(c);
	else
		done(c, row);
}

static void message_part(struct vconn *c)
{
	struct vhost_dev *d = dev_of(c);

	if (c->got < c->want) {
		receive(c);
		return;
	}
	if (c->want == sizeof(c->msg.head)) {
		const char *why = vu_check_header(&c->msg.head);

		if (why) {
			reject(d, "a message", why);
			return;
		}
		memset(&c->msg.payload, 0, sizeof(c->msg.payload));
		c->want += c->msg.head.size;
		if (c->got < c->want) {
			receive(c);
			return;
		}
	}
	run(c);
}

static void received(struct io_op *op, int res)
{
	struct vconn *c = container_of(op, struct vconn, rx);
	struct vhost_dev *d = dev_of(c);
	bool fits = res > 0 ? take_fds(c) : true;

	if (!dev_is_live(d)) {
		dev_maybe_gone(d);
	} else if (res <= 0) {
		dev_close(d, res || !c->got ? NULL : "it ended in the middle of a message");
	} else if (!fits) {
		reject(d, "a message", "it has more descriptors than any may have");
	} else {
		c->got += (size_t)res;
		message_part(c);
	}
}

/* ---- life ------------------------------------------------------------------------------------- */

/* While a message waits nothing is received: this tells that the front end has died meanwhile. */
static void hung_up(struct io_op *op, int res)
{
	struct vconn *c = container_of(op, struct vconn, hup);
	struct vhost_dev *d = dev_of(c);

	if (!dev_is_live(d)) {
		dev_maybe_gone(d);
		return;
	}
	c->hung_up = true;
	if (c->wait != WAITS_NOT)
		dev_close(d, NULL);
}

void conn_start(struct vhost_dev *d, int fd)
{
	struct vconn *c = &d->conn;

	c->fd = fd;
	c->hup.verb = IO_POLL;
	c->hup.fd = fd;
	c->hup.events = POLLRDHUP;
	c->hup.done = hung_up;
	io_submit(d->reactor, &c->hup);
	next_message(c);
}

void conn_cancel(struct vhost_dev *d)
{
	struct vconn *c = &d->conn;

	/* at once: the kernel may keep the file for what is being cancelled, and close() would tell nobody */
	(void)shutdown(c->fd, SHUT_RDWR);
	if (io_pending(&c->rx))
		io_cancel(&c->rx);
	if (io_pending(&c->tx))
		io_cancel(&c->tx);
	if (io_pending(&c->hup))
		io_cancel(&c->hup);
	c->wait = WAITS_NOT;
	c->ring = NULL;
}

bool conn_pending(const struct vhost_dev *d)
{
	const struct vconn *c = &d->conn;

	return io_pending(&c->rx) || io_pending(&c->tx) || io_pending(&c->hup);
}

void vhost_conn_close(struct vhost_dev *d)
{
	close_message_fds(&d->conn.msg);
	io_close(d->reactor, d->conn.fd);
	d->conn.fd = -1;
}
