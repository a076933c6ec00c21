/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connected front end: its socket, its memory, its rings, and the I_T nexus that they are. All
 * of it lives on the nexus's
 * reactor; control makes it, starts it by message, and frees it when it says that it is gone.
 */
#ifndef STGT_TRANSPORT_VHOST_DEVICE_H
#define STGT_TRANSPORT_VHOST_DEVICE_H

#include <sys/un.h>

#include "sam/shared.h"
#include "sam/tmf.h"
#include "sam/transport.h"
#include "transport/vhost/vhost.h"
#include "transport/vhost/vring.h"

#define VHOST_TASKS 768 /* commands under way of a device: fewer than the router would refuse */
#define VHOST_TMFS 16
#define VHOST_FEW 20 /* segments of a command that need no list of its own */
#define VHOST_BATCH 64 /* commands of a ring at a time */
#define VHOST_VRINGS_MAX (VHOST_QUEUES_MAX + VSCSI_REQUEST_QUEUE)

/* Negotiable with this device. */
#define VHOST_FEATURES \
	(VF_SCSI_HOTPLUG | VF_SCSI_CHANGE | VF_ANY_LAYOUT | VF_INDIRECT_DESC | VF_EVENT_IDX | \
	 VF_PROTOCOL_FEATURES | VF_VERSION_1 | VF_RING_PACKED)
#define VHOST_PROTOCOL_FEATURES \
	(VU_P_MQ | VU_P_REPLY_ACK | VU_P_CONFIG | VU_P_INFLIGHT_SHMFD | VU_P_RESET_DEVICE | \
	 VU_P_CONFIGURE_MEM_SLOTS)

struct vhost_dev;
struct vqueue;

/* A data reactor's share of the server. */
struct vhost_part {
	struct reactor *reactor;
	struct list devs; /* vhost_dev.link */
	struct vchain *chain; /* the one that is being looked at */
	struct {
		uint64_t connections, tasks, protocol_errors, ring_errors;
	} n; /* single writer, read relaxed */
};

#define part_count(part, field, by) \
	__atomic_store_n(&(part)->n.field, (part)->n.field + (uint64_t)(by), __ATOMIC_RELAXED)

/* A kick eventfd. It outlives its ring's use of it, until the engine has let go. */
struct vkick {
	struct io_op op;
	struct vqueue *q; /* NULL: nobody waits for it any more */
	struct vhost_dev *dev;
};

struct vqueue {
	struct vhost_dev *dev;
	unsigned index;
	struct vring ring;
	struct vkick *kick;
	int call_fd, err_fd; /* -1: none */
	bool enabled; /* SET_VRING_ENABLE */
	bool broken; /* an error: nothing is taken from it any more */
	bool quiet; /* the driver need not kick: work or the flush looks by itself */
	bool used_any; /* since it started: a call that comes too often does no harm */
	struct later work;
	struct list dirty; /* in dev->dirty */
	bool starves; /* there are requests, and nothing to run them with until something ends */
	struct list starving; /* in dev->starving: for a task */
};

/* A request of a request queue. */
struct vtask {
	struct scsi_cmd cmd;
	struct shared_data data;
	struct vqueue *q; /* NULL: it is free */
	struct vmem *mem; /* keeps its segments mapped */
	struct vhandle handle;
	uint32_t resp_len; /* bytes of the response that the driver has room for */
	unsigned nresp;
	struct iovec *v; /* response, data-in, data-out */
	struct vtask *next; /* free list */
	struct iovec few[VHOST_FEW];
};

struct vtmf {
	struct tmf tmf;
	struct vhost_dev *dev;
	struct vmem *mem;
	struct vhandle handle;
	uint8_t *response;
	bool resets; /* what it ends, ends as reset */
	struct vtmf *next; /* free list */
};

union vu_payload {
	uint64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_memory memory;
	struct vu_single_region single;
	struct vu_config config;
	struct vu_inflight inflight;
	uint8_t bytes[VU_PAYLOAD_MAX];
};

/* A message, and the answer to it. */
struct vu_msg {
	uint32_t unused; /* so that header and payload are one piece */
	struct vu_header head;
	union vu_payload payload;
	int fd[VU_FDS_MAX]; /* -1: taken by the handler */
	unsigned nfds;
	int reply_fd; /* -1: none */
};

_Static_assert(offsetof(struct vu_msg, payload) ==
		       offsetof(struct vu_msg, head) + sizeof(struct vu_header),
	       "sent in one piece");

enum vconn_wait { WAITS_NOT, WAITS_FOR_RING, WAITS_FOR_RESET };

/* The socket: one message at a time. */
struct vconn {
	int fd;
	struct io_op rx, tx, hup;
	struct msghdr hdr;
	struct iovec iov;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * VU_FDS_MAX)];
	struct vu_msg msg;
	size_t got, want; /* bytes of the message received, or of the answer sent */
	bool hung_up;
	enum vconn_wait wait; /* the answer comes later */
	struct vqueue *ring; /* WAITS_FOR_RING */
	struct timer timer; /* the ring's commands take too long */
};

enum vhost_dev_state { DEV_NEW, DEV_LIVE, DEV_CLOSING, DEV_GONE };

struct vhost_dev {
	/* constant */
	struct vhost_part *part; /* set with the nexus, before the start */
	struct reactor *reactor, *control;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned queues; /* request queues */
	void (*gone)(struct vhost_dev *d); /* on control: it is to be freed */
	void *owner; /* control's */

	struct list link; /* in part->devs */
	enum vhost_dev_state state;
	struct it_nexus *nexus; /* NULL: drained */
	char why[128]; /* it was closed; "": the front end left */
	struct vconn conn;
	uint64_t features, protocol;
	uint32_t cdb_size, sense_size; /* as the driver set them */

	struct vmem *mem;
	atomic_bool mem_broken; /* set by the guard */
	struct vmapping *log; /* in-flight memory, NULL: none */
	uint8_t *log_at;
	uint64_t log_len;
	unsigned log_queues, log_queue_size;

	struct later flush;
	struct list dirty; /* vqueue.dirty: something to publish, or to listen for */
	struct list starving; /* vqueue.starving: wait for a task */
	struct vtask *tasks, *free_task;
	struct iovec *lists; /* of tasks, for those with many segments */
	unsigned under_way; /* tasks */
	unsigned tasks_used; /* from here on they were never used */
	struct vtmf tmfs[VHOST_TMFS], *free_tmf;
	unsigned tmfs_under_way, resets;
	struct tmf reset; /* RESET_DEVICE */
	bool resetting;
	unsigned kicks_pending;
	bool events_missed;
	uint64_t kicks, calls;

	bool stopping; /* nothing is taken any more; it closes when all is answered */
	struct timer stop_timer;
	uint64_t grace_ns;
	const char *stop_why;
	bool stop_posted, leaving; /* control's */
	bool ended_at_probe;
	void (*probed)(struct vhost_dev *d);
	struct msg start_msg, stop_msg, probe_msg, gone_msg;

	unsigned nq;
	struct vqueue q[]; /* control, event, request queues */
};

/* On control. NULL without memory. @fd is the device's when it has been started. */
struct vhost_dev *vhost_dev_create(const char *path, unsigned queues, struct reactor *control);
void vhost_dev_free(struct vhost_dev *d);
/* From control: begin on the nexus's reactor. d->gone is called, on control, when it has ended. */
void vhost_dev_start(struct vhost_dev *d, struct vhost_part *part, struct it_nexus *n, int fd);
/* From control, once: let commands end, at most @grace_ns; then close, because of @why (static). */
void vhost_dev_stop(struct vhost_dev *d, uint64_t grace_ns, const char *why);
/*
 * From control: has the front end hung up? @probed follows on control, with d->ended_at_probe,
 * before d->gone. False: it is
 * ending anyway, and @probed is not called.
 */
bool vhost_dev_probe(struct vhost_dev *d, void (*probed)(struct vhost_dev *d));

/* ---- on the device's reactor --------------------------------------------------------------- */

/* End it. @why (NULL: the front end left) is logged and kept. */
void dev_close(struct vhost_dev *d, const char *why);
/* Perhaps nothing is left to wait for. */
void dev_maybe_gone(struct vhost_dev *d);
static inline bool dev_is_live(const struct vhost_dev *d)
{
	return d->state == DEV_LIVE;
}

/* Publish what is staged on all rings, call drivers, listen again. */
void dev_publish(struct vhost_dev *d);
/* The end of a turn: that, and what waited for the end of commands. It may close the device. */
void dev_flush(struct vhost_dev *d);
/* That once more, in this turn. */
static inline void dev_flush_soon(struct vhost_dev *d)
{
	reactor_later(d->reactor, &d->flush, LATER_SEND);
}
/* @q has something for the next flush. */
void queue_dirty(struct vqueue *q);
/* Requests may be taken from @q. */
bool queue_runs(const struct vqueue *q);
/* Look for requests, in the turn's next step. */
void queue_look(struct vqueue *q);
/* Start the ring. -errno and *@why. */
int queue_start(struct vqueue *q, const char **why);
void queue_stop(struct vqueue *q);
/* The ring has an error: nothing is taken from it any more. */
void queue_broken(struct vqueue *q, const char *why);
/* @fd is the kick eventfd from now on; -1: none. -ENOMEM. */
int queue_set_kick(struct vqueue *q, int fd);
void queue_call(struct vqueue *q);
/* The guest's memory is @m, whose reference is taken over. */
void dev_set_memory(struct vhost_dev *d, struct vmem *m);
bool dev_idle(const struct vhost_dev *d);

/* In request.c, control_queue.c, event_queue.c: take what @q has. */
void request_queue_run(struct vqueue *q);
void control_queue_run(struct vqueue *q);
void event_queue_run(struct vqueue *q);

/* request.c */
bool tasks_create(struct vhost_dev *d);
void tasks_free(struct vhost_dev *d);
void tasks_abort(struct vqueue *q);
void request_data_out(struct scsi_cmd *cmd, uint32_t off, uint32_t len);
void request_data_out_cancel(struct scsi_cmd *cmd);
void request_data_in(struct scsi_cmd *cmd, uint32_t off, struct buf *b, uint8_t *data, uint32_t len);
uint32_t request_data_room(struct scsi_cmd *cmd, uint32_t off, uint32_t len, const struct iovec **v,
			   unsigned *n);
void request_finish(struct scsi_cmd *cmd);
/* SAM's LUN of virtio's. False: it is on another target. */
bool lun_of(const uint8_t virtio[8], uint8_t lun[8]);

/* control_queue.c */
void tmfs_init(struct vhost_dev *d);
/* RESET_DEVICE: dev_flush_soon() when the nexus is as new. */
void dev_reset(struct vhost_dev *d);

/* event_queue.c */
void event_lun_changed(struct it_nexus *n, uint64_t lun, bool present);
void event_attention(struct itl *itl, uint32_t set);

/* conn.c */
void conn_start(struct vhost_dev *d, int fd);
void conn_cancel(struct vhost_dev *d);
bool conn_pending(const struct vhost_dev *d);
void vhost_conn_close(struct vhost_dev *d);
/* The message that waited is done. */
void conn_answer_later(struct vhost_dev *d);

/* message.c */
enum { MSG_DONE = 0, MSG_LATER = 1 };
struct vu_row {
	const char *name;
	uint16_t min, max; /* bytes of payload */
	uint8_t fds_min, fds_max;
	bool replies; /* has an answer of its own */
	uint64_t needs; /* protocol feature */
	/* MSG_DONE, MSG_LATER, or -errno and *@why. */
	int (*run)(struct vhost_dev *d, struct vu_msg *m, const char **why);
};
/* NULL: no such message. */
const struct vu_row *vu_row(uint32_t request);
/* What is wrong with the header, the payload's length or the number of descriptors; NULL: nothing. */
const char *vu_check_header(const struct vu_header *h);
const char *vu_check_message(const struct vu_row *row, const struct vu_msg *m);

#endif
