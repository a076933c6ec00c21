/* SPDX-License-Identifier: BSD-2-Clause */
/* Between server.c and port.c: all of it is control's. */
#ifndef STGT_TRANSPORT_VHOST_SERVER_H
#define STGT_TRANSPORT_VHOST_SERVER_H

#include <sys/stat.h>

#include "transport/vhost/device.h"

/* Its I_T nexuses are none of iSCSI's target port group. */
#define VHOST_TPGT 0x5648

struct vhost_port {
	struct list link; /* in server->ports; not while it is being removed */
	struct vhost_server *server;
	char *path, *target;
	unsigned queues;
	enum vhost_port_state state;
	char why[128];

	int fd; /* listens; -1: no longer */
	dev_t dev; /* the socket's place in the file system is ours while these are there */
	ino_t ino;
	struct io_op accept;
	struct timer again; /* accept, after an error */

	struct vhost_dev *front; /* connected, or ends */
	pid_t peer_pid;
	uint64_t sid;
	int waiting; /* a connection that waits for the end of the one before; -1: none */
	pid_t waiting_pid;
	bool probing;

	struct claim claim;
	int claim_fd;
	uint64_t claim_until; /* reactor_now() scale */
	struct timer retry;
	bool claiming;

	bool removing;
	uint64_t grace_ns;
	void (*removed)(void *arg);
	void *arg;
};

struct vhost_server {
	struct targets *ts;
	struct list ports; /* vhost_port.link */
	unsigned nports; /* those that are being removed among them */
	uint64_t accepted;
	bool stopping, told;
	void (*done)(void *arg);
	void *arg;
	struct timer deadline;
	unsigned nparts;
	struct vhost_part part[REACTORS_MAX];
};

/* Begin to accept. */
void port_listen(struct vhost_port *p);
/* Stop: no more connections; the one there is has @grace_ns. p->removed is called at the end, and @p is gone. */
void port_end(struct vhost_port *p, uint64_t grace_ns, const char *why);
/* server.c: @p is gone, but for its memory. */
void port_ended(struct vhost_port *p);

#endif
