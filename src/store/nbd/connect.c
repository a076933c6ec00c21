/* SPDX-License-Identifier: BSD-2-Clause */
/* Connecting and negotiating, on a thread that may block, but never for longer than it was given. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "store/nbd/nbd.h"

/* A peer that is silent for this long is gone: else a lost cable is noticed after many minutes. */
#define PEER_SECONDS 20

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* libnbd's last error, without the name of its function. */
static void last_error(char text[TEXT_MAX])
{
	const char *all = nbd_get_error(), *reason = all ? strstr(all, ": ") : NULL;

	snprintf(text, TEXT_MAX, "%s", reason ? reason + 2 : all ? all : "unknown error");
}

static bool set_up(struct nbd_handle *h, const struct config *c)
{
	/* what a failed read leaves in the caller's memory is the caller's affair: it is told */
	if (nbd_set_pread_initialize(h, false) ||
	    nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return false;
	if (c->managed)
		return true;
	/* the administrator wrote the URI, and may name a file of keys there */
	if (nbd_set_uri_allow_local_file(h, true) || nbd_set_tls_verify_peer(h, true))
		return false;
	if (c->tls && nbd_set_tls(h, LIBNBD_TLS_REQUIRE))
		return false;
	if (c->tls_certificates && nbd_set_tls_certificates(h, c->tls_certificates))
		return false;
	if (c->tls_psk_file && nbd_set_tls_psk_file(h, c->tls_psk_file))
		return false;
	if (c->tls_username && nbd_set_tls_username(h, c->tls_username))
		return false;
	return !c->export_name || !nbd_set_export_name(h, c->export_name);
}

static int start(struct nbd_handle *h, const struct where *to)
{
	if (to->socket)
		return nbd_aio_connect_unix(h, to->socket);
	if (is_uri(to->config->path))
		return nbd_aio_connect_uri(h, to->config->path);
	return nbd_aio_connect_unix(h, to->config->path);
}

static bool wait_ready(struct nbd_handle *h, unsigned ms, char text[TEXT_MAX])
{
	uint64_t until = now_ms() + ms;

	while (!nbd_aio_is_ready(h)) {
		uint64_t now = now_ms();
		int left = now < until ? (int)(until - now) : 0;
		int rc = left ? nbd_poll(h, left) : 0;

		if (rc < 0 || nbd_aio_is_dead(h) || nbd_aio_is_closed(h)) {
			last_error(text);
			return false;
		}
		if (!rc) {
			snprintf(text, TEXT_MAX, "it does not answer within %u seconds", ms / 1000);
			return false;
		}
	}
	return true;
}

static void look(struct nbd_handle *h, struct features *f)
{
	int64_t size = nbd_get_size(h), min = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
	int64_t preferred = nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED);
	int64_t max_io = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	*f = (struct features){
		.size = size > 0 ? (uint64_t)size : 0,
		.min_block = min > 0 ? (uint32_t)min : 0,
		.preferred = preferred > 0 ? (uint32_t)preferred : 0,
		.max_io = max_io > 0 && max_io <= UINT32_MAX ? (uint32_t)max_io : 0,
		.readonly = nbd_is_read_only(h) == 1,
		.flush = nbd_can_flush(h) == 1,
		.fua = nbd_can_fua(h) == 1,
		.trim = nbd_can_trim(h) == 1,
		.zero = nbd_can_zero(h) == 1,
		.fast_zero = nbd_can_fast_zero(h) == 1,
		.extents = nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1,
		.multi = nbd_can_multi_conn(h) == 1,
	};
}

static void mind_the_peer(int fd)
{
	int one = 1, idle = PEER_SECONDS / 2, interval = 3, count = 3, ms = PEER_SECONDS * 1000;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/*
 * The process that listens on a Unix socket, if it is there. A server that went to the
 * background after it began to listen, or was given its socket, cannot be told so.
 */
static int peer_process(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.pid <= 1)
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

static void look_at_socket(int fd, int *pidfd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (domain == AF_INET || domain == AF_INET6)
		mind_the_peer(fd);
	else if (domain == AF_UNIX && pidfd)
		*pidfd = peer_process(fd);
}

struct nbd_handle *nbd_connect(const struct where *to, unsigned ms, struct features *f, int *pidfd,
			       char text[TEXT_MAX])
{
	struct nbd_handle *h = nbd_create();

	if (pidfd)
		*pidfd = -1;
	if (!h || !set_up(h, to->config) || start(h, to)) {
		last_error(text);
		if (h)
			nbd_close(h);
		return NULL;
	}
	if (!wait_ready(h, ms, text)) {
		nbd_close(h);
		return NULL;
	}
	look(h, f);
	if (!f->size && nbd_get_size(h)) {
		snprintf(text, TEXT_MAX, "its export is larger than 2^63-1 bytes");
		nbd_bye(h);
		return NULL;
	}
	look_at_socket(nbd_aio_get_fd(h), pidfd);
	return h;
}

void nbd_bye(struct nbd_handle *h)
{
	if (!h)
		return;
	if (nbd_aio_is_ready(h))
		nbd_aio_disconnect(h, 0);
	nbd_close(h);
}
