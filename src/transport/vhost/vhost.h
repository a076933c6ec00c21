/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user-scsi: a hypervisor's virtio-scsi device whose rings and pages are
 * shared with this process. What the control side sees of it: the server and its ports.
 * Functions without another word are for the control reactor.
 *
 * A port is a UNIX socket behind which the LUNs of one target appear, at virtio-scsi
 * target 0 (other targets: VIRTIO_SCSI_S_BAD_TARGET). One front end is connected to a port at a time; the
 * connection is one I_T nexus, which lives with all its queues on one reactor.
 */
#ifndef STGT_TRANSPORT_VHOST_VHOST_H
#define STGT_TRANSPORT_VHOST_VHOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "sam/target.h"

#define VHOST_QUEUES_MAX 64 /* request queues of a port */
#define VHOST_QUEUES_DEFAULT 16

struct vhost_part;
struct vhost_port;
struct vhost_server;

struct vhost_port_opts {
	const char *path; /* of the socket */
	const char *target; /* the target's name; it may come and go */
	unsigned queues; /* request queues that are offered; 0: VHOST_QUEUES_DEFAULT */
	mode_t mode; /* of the socket: who may connect may use the LUNs. 0: 0600 */
	uid_t uid; /* its owner and group; (uid_t)-1, (gid_t)-1: this process's */
	gid_t gid;
};

/* Serve the targets of @ts on its data reactors. NULL and @e without memory. @ts outlives it. */
struct vhost_server *vhost_server_create(struct targets *ts, struct err *e);

/*
 * Listen at @o->path. A socket that a dead daemon left is replaced; anything else that is there, and a
 * socket on which somebody listens, is not touched: -EEXIST, -EADDRINUSE. -EINVAL, or why the kernel refused.
 */
int vhost_port_add(struct vhost_server *s, const struct vhost_port_opts *o, struct err *e);
/*
 * Stop listening, remove the socket, end its connection; @removed(@arg) (may be NULL) when it is gone with all
 * its commands. -ENOENT.
 */
int vhost_port_remove(struct vhost_server *s, const char *path, void (*removed)(void *arg),
		      void *arg, struct err *e);
/* The next port after @prev (NULL: the first), in the order they were added; NULL at the end. */
struct vhost_port *vhost_port_next(struct vhost_server *s, const struct vhost_port *prev);

enum vhost_port_state { VHOST_LISTENS, VHOST_CLAIMS, VHOST_CONNECTED, VHOST_ENDS };

struct vhost_port_info {
	const char *path, *target; /* valid while the port is */
	unsigned queues;
	enum vhost_port_state state;
	pid_t peer_pid; /* of who is connected, 0 if not known */
	uint64_t sid; /* the nexus's id, 0: none */
	char why[128]; /* why the last connection was ended by us; "" */
};
void vhost_port_info(const struct vhost_port *p, struct vhost_port_info *i);

/* A question about one nexus of this transport, answered by message. */
struct vhost_session_info {
	/* in */
	uint64_t nexus_id;
	void (*done)(struct vhost_session_info *i); /* on control */
	/* out */
	bool found; /* else it is gone */
	bool running; /* the driver has started at least one request queue */
	bool packed, event_idx, inflight; /* negotiated; in-flight memory is shared */
	uint64_t features, protocol_features;
	unsigned queues; /* request queues started */
	unsigned commands; /* under way */
	unsigned regions; /* of memory */
	uint64_t kicks, calls; /* eventfd reads and writes so far */
	/* private */
	struct reactor *control;
	struct vhost_part *part;
	struct msg msg;
};
void vhost_session_info(struct vhost_server *s, struct it_nexus *n, struct vhost_session_info *i);

/*
 * End: nobody can connect any more; commands under way end and are answered, at most @grace_ns, then connections
 * are closed; @done(@arg) on control when none is left. A nexus whose store does not return is not waited for.
 */
void vhost_server_stop(struct vhost_server *s, uint64_t grace_ns, void (*done)(void *arg),
		       void *arg);
/* After done; the data reactors have stopped or have nothing left to do for it. */
void vhost_server_destroy(struct vhost_server *s);

/* Objects alive, for `stat` and leak checks. Any thread. */
struct vhost_live {
	uint64_t connections, tasks; /* now */
	uint64_t accepted, protocol_errors, ring_errors; /* ever */
};
void vhost_get_live(const struct vhost_server *s, struct vhost_live *l);

extern const struct transport_ops vhost_transport_ops;

#endif
