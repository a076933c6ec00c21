/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port's connections, on control: accept, claim the I_T nexus, hand the socket to the nexus's
 * reactor; and wait for its
 * end. One front end at a time; one that comes while the one before is ending waits for that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/vhost/server.h"

#define ACCEPT_AGAIN_NS (200 * NSEC_PER_MSEC) /* after EMFILE and the like */
#define RETRY_NS \
	(20 * NSEC_PER_MSEC) /* the nexus of the connection before is still being taken apart */

static struct reactor *control_of(const struct vhost_port *p)
{
	return p->server->ts->control;
}

static void begin(struct vhost_port *p, int fd, pid_t pid);
static void probe(struct vhost_port *p);

/* One at a time waits here, the others in the socket's backlog. */
static void accept_more(struct vhost_port *p)
{
	if (!p->removing && p->waiting < 0 && !io_pending(&p->accept) && !timer_armed(&p->again))
		port_listen(p);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void maybe_ended(struct vhost_port *p)
{
	if (p->removing && !io_pending(&p->accept) && !p->front && !p->claiming)
		port_ended(p);
}

static void drop_waiting(struct vhost_port *p)
{
	if (p->waiting >= 0)
		close(p->waiting);
	p->waiting = -1;
}

static void free_again(struct vhost_port *p)
{
	int fd = p->waiting;

	p->state = VHOST_LISTENS;
	p->sid = 0;
	p->peer_pid = 0;
	p->waiting = -1;
	if (p->removing) {
		maybe_ended(p);
		return;
	}
	if (fd >= 0) {
		begin(p, fd, p->waiting_pid);
		accept_more(p);
	}
}

static void gone(struct vhost_dev *d)
{
	struct vhost_port *p = d->owner;

	if (d->why[0])
		snprintf(p->why, sizeof(p->why), "%s", d->why);
	p->front = NULL;
	vhost_dev_free(d);
	free_again(p);
}

void port_end(struct vhost_port *p, uint64_t grace_ns, const char *why)
{
	struct reactor *r = control_of(p);
	struct stat st;

	p->removing = true;
	p->grace_ns = grace_ns;
	list_del(&p->link);
	if (!lstat(p->path, &st) && st.st_dev == p->dev && st.st_ino == p->ino)
		unlink(p->path);
	timer_cancel(r, &p->again);
	drop_waiting(p);
	if (io_pending(&p->accept)) {
		io_cancel(&p->accept);
	} else if (p->fd >= 0) {
		io_close(r, p->fd);
		p->fd = -1;
	}
	if (p->front && !p->claiming) { /* else the claim's answer comes first */
		p->state = VHOST_ENDS;
		vhost_dev_stop(p->front, grace_ns, why);
	}
	maybe_ended(p);
}

/* ---- the claim --------------------------------------------------------------------------------- */

/*
 * The initiator port is the socket: the same after a restart of either side, so reservations stay. A SAS address
 * (SPC-5 7.6.4.5) that is locally assigned (NAA 3h), made of the path.
 */
static uint64_t naa_of(const char *path)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 0x100000001b3u;
	return 3ull << 60 | h >> 4;
}

static void fill_claim(struct vhost_port *p, struct claim *c)
{
	uint64_t naa = naa_of(p->path);
	size_t len = strlen(p->path);

	*c = (struct claim){
		.tpgt = VHOST_TPGT,
		.local = true,
		.transport_id_len = 24,
		.transport_id = { 6 },
		.tops = &vhost_transport_ops,
		.owner = p,
	};
	be_store(c->transport_id + 4, 8, naa);
	snprintf(c->initiator, sizeof(c->initiator), "naa.%016llx", (unsigned long long)naa);
	snprintf(c->target, sizeof(c->target), "%s", p->target);
	/* the end of a long path says more than its start */
	snprintf(c->peer, sizeof(c->peer), "%s",
		 p->path + (len < sizeof(c->peer) ? 0 : len - sizeof(c->peer) + 1));
}

static const char *answer_text(enum login_answer a)
{
	switch (a) {
	case LOGIN_NOT_FOUND:
		return "its target is not there";
	case LOGIN_OFFLINE:
		return "its target is offline";
	case LOGIN_BUSY:
		return "the commands of the connection before do not end, or there is no memory";
	default:
		return "its target refuses it";
	}
}

static void fail(struct vhost_port *p, struct vhost_dev *d, const char *why)
{
	snprintf(p->why, sizeof(p->why), "%s", why);
	log_warn("vhost: %s: the connection is closed: %s (target %s)", p->path, why, p->target);
	close(p->claim_fd);
	if (d)
		vhost_dev_free(d);
	p->front = NULL;
	p->claiming = false;
	free_again(p);
}

static void claim_again(struct timer *t);

static void claimed(struct claim *c)
{
	struct vhost_port *p = c->owner;
	struct vhost_dev *d = p->front;

	if (c->answer == LOGIN_BUSY && !p->removing && reactor_now(control_of(p)) < p->claim_until) {
		timer_arm(control_of(p), &p->retry, RETRY_NS, claim_again);
		return;
	}
	if (c->answer != LOGIN_OK) {
		fail(p, d, p->removing ? "the port is removed" : answer_text(c->answer));
		return;
	}
	p->claiming = false;
	p->state = VHOST_CONNECTED;
	p->sid = c->nexus->id;
	log_info("vhost: %s: a front end (process %d) has connected to %s", p->path,
		 (int)p->peer_pid, p->target);
	vhost_dev_start(d, &p->server->part[reactor_id(c->nexus->reactor)], c->nexus, p->claim_fd);
	if (p->removing) {
		p->state = VHOST_ENDS;
		vhost_dev_stop(d, p->grace_ns, "the port is removed");
	}
	probe(p);
}

static void claim_again(struct timer *t)
{
	struct vhost_port *p = container_of(t, struct vhost_port, retry);

	fill_claim(p, &p->claim);
	p->claim.done = claimed;
	claim_run(p->server->ts, &p->claim);
}

static void begin(struct vhost_port *p, int fd, pid_t pid)
{
	struct vhost_dev *d = vhost_dev_create(p->path, p->queues, control_of(p));

	p->state = VHOST_CLAIMS;
	p->peer_pid = pid;
	p->claim_fd = fd;
	if (!d) {
		fail(p, NULL, "no memory");
		return;
	}
	p->why[0] = 0;
	p->front = d;
	d->owner = p;
	d->gone = gone;
	p->claiming = true;
	p->claim_until = reactor_now(control_of(p)) + CLAIM_TIMEOUT_NS;
	claim_again(&p->retry);
}

/* ---- accepting --------------------------------------------------------------------------------- */

static void refuse_waiting(struct vhost_port *p)
{
	log_warn("vhost: %s: a second front end (process %d) was turned away: process %d is "
		 "connected",
		 p->path, (int)p->waiting_pid, (int)p->peer_pid);
	drop_waiting(p);
	accept_more(p);
}

static void probed(struct vhost_dev *d)
{
	struct vhost_port *p = d->owner;

	p->probing = false;
	if (d->ended_at_probe)
		p->state = VHOST_ENDS;
	else if (p->waiting >= 0)
		refuse_waiting(p);
}

static void probe(struct vhost_port *p)
{
	if (p->waiting >= 0 && p->state == VHOST_CONNECTED && !p->probing)
		p->probing = vhost_dev_probe(p->front, probed);
}

static void connected(struct vhost_port *p, int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	__atomic_store_n(&p->server->accepted, p->server->accepted + 1, __ATOMIC_RELAXED);
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (p->state == VHOST_LISTENS) {
		begin(p, fd, cred.pid);
		return;
	}
	/* has the one before hung up, and that is not known here yet? Until that is clear, nobody else is accepted */
	p->waiting = fd;
	p->waiting_pid = cred.pid;
	probe(p);
}

static void accept_next(struct timer *t)
{
	port_listen(container_of(t, struct vhost_port, again));
}

static void accepted(struct io_op *op, int res)
{
	struct vhost_port *p = container_of(op, struct vhost_port, accept);

	if (p->removing) {
		if (res >= 0)
			close(res);
		io_close(control_of(p), p->fd);
		p->fd = -1;
		maybe_ended(p);
		return;
	}
	if (res >= 0)
		connected(p, res);
	if (res >= 0 || res == -ECONNABORTED || res == -EINTR) {
		accept_more(p);
		return;
	}
	log_warn("vhost: %s: accept: %s", p->path, strerror(-res));
	timer_arm(control_of(p), &p->again, ACCEPT_AGAIN_NS, accept_next);
}

void port_listen(struct vhost_port *p)
{
	p->accept.done = accepted;
	p->accept.verb = IO_ACCEPT;
	p->accept.fd = p->fd;
	io_submit(control_of(p), &p->accept);
}
