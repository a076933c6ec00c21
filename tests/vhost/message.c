/* SPDX-License-Identifier: BSD-2-Clause */
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

void front_die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

int front_patience(void)
{
	const char *flavour = getenv("STGT_FLAVOUR");

	return flavour && strcmp(flavour, "plain") ? 60000 : 20000;
}

uint64_t front_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- out ---------------------------------------------------------------------------------- */

bool front_send_raw(struct front *f, const void *bytes, size_t len, const int *fds, unsigned nfds)
{
	char control[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (nfds) {
		h.msg_control = control;
		h.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	n = sendmsg(f->sock, &h, MSG_NOSIGNAL);
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		front_die("sendmsg: %s", strerror(errno));
	return n == (ssize_t)len;
}

bool front_send(struct front *f, uint32_t request, uint32_t flags, const void *payload,
		uint32_t len, const int *fds, unsigned nfds)
{
	uint8_t bytes[VU_HEADER + VU_PAYLOAD_MAX];

	put_le32(bytes, request);
	put_le32(bytes + 4, flags);
	put_le32(bytes + 8, len);
	if (len)
		memcpy(bytes + VU_HEADER, payload, len);
	return front_send_raw(f, bytes, VU_HEADER + len, fds, nfds);
}

/* ---- in ----------------------------------------------------------------------------------- */

/* False: the connection ended. */
static bool receive(struct front *f, void *to, size_t len, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { to, len };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = f->sock, .events = POLLIN };
	struct cmsghdr *c;
	ssize_t n;

	for (uint8_t *at = to; len; at += n, len -= (size_t)n) {
		iov.iov_base = at;
		iov.iov_len = len;
		h.msg_controllen = sizeof(control);
		if (poll(&p, 1, front_patience()) <= 0)
			front_die("the server does not answer");
		n = recvmsg(f->sock, &h, MSG_CMSG_CLOEXEC);
		if (n <= 0)
			return false;
		c = CMSG_FIRSTHDR(&h);
		if (c && c->cmsg_type == SCM_RIGHTS && fd)
			memcpy(fd, CMSG_DATA(c), sizeof(int));
	}
	return true;
}

int front_reply(struct front *f, uint32_t request, void *payload, size_t room, int *fd)
{
	uint8_t header[VU_HEADER];
	uint32_t len;

	if (fd)
		*fd = -1;
	if (!receive(f, header, sizeof(header), fd))
		return -1;
	len = le32_at(header + 8);
	if (le32_at(header) != request)
		front_die("a reply to request %u, not to %u", le32_at(header), request);
	if ((le32_at(header + 4) & 7) != (VU_VERSION | VU_REPLY))
		front_die("a reply with flags %#x", le32_at(header + 4));
	if (len > room)
		front_die("a reply to request %u of %u bytes", request, len);
	return receive(f, payload, len, fd) ? (int)len : -1;
}

uint64_t front_tell(struct front *f, uint32_t request, const void *payload, uint32_t len,
		    const int *fds, unsigned nfds)
{
	bool ack = front_speaks(f, VU_P_REPLY_ACK);
	uint8_t answer[8];

	if (!front_send(f, request, VU_VERSION | (ack ? VU_NEED_REPLY : 0), payload, len, fds, nfds))
		front_die("the server ended the connection before request %u", request);
	if (!ack)
		return 0;
	if (front_reply(f, request, answer, sizeof(answer), NULL) != 8)
		front_die("request %u was not acknowledged", request);
	return le64_at(answer);
}

uint64_t front_tell_u64(struct front *f, uint32_t request, uint64_t value)
{
	uint8_t payload[8];

	put_le64(payload, value);
	return front_tell(f, request, payload, sizeof(payload), NULL, 0);
}

uint64_t front_tell_ring(struct front *f, uint32_t request, unsigned index, uint32_t num)
{
	uint8_t payload[VU_VRING_STATE];

	put_le32(payload, index);
	put_le32(payload + 4, num);
	return front_tell(f, request, payload, sizeof(payload), NULL, 0);
}

void front_tell_fd(struct front *f, uint32_t request, uint64_t value, int fd)
{
	uint8_t payload[8];

	put_le64(payload, value | (fd < 0 ? VU_NO_FD : 0));
	if (front_tell(f, request, payload, sizeof(payload), &fd, fd >= 0))
		front_die("request %u was refused", request);
}

uint64_t front_ask(struct front *f, uint32_t request)
{
	uint8_t answer[8];

	if (!front_send(f, request, VU_VERSION, NULL, 0, NULL, 0) ||
	    front_reply(f, request, answer, sizeof(answer), NULL) != 8)
		front_die("request %u was not answered", request);
	return le64_at(answer);
}

void front_barrier(struct front *f)
{
	front_ask(f, VU_GET_FEATURES);
}

bool front_gone(struct front *f)
{
	uint8_t byte;
	ssize_t n = recv(f->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return !n || (n < 0 && errno != EAGAIN && errno != EINTR);
}

bool front_ended(struct front *f)
{
	struct pollfd p = { .fd = f->sock, .events = POLLIN };
	uint64_t until = front_now_ms() + (uint64_t)front_patience();
	uint8_t rest[256];

	while (front_now_ms() < until) {
		ssize_t n;

		if (poll(&p, 1, 100) <= 0)
			continue;
		n = recv(f->sock, rest, sizeof(rest), MSG_DONTWAIT);
		if (!n || (n < 0 && errno != EAGAIN))
			return true;
	}
	return false;
}
