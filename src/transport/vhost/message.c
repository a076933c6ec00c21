/* SPDX-License-Identifier: BSD-2-Clause */
/* The messages: a table, and what each does. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/vhost/device.h"

static int refused(const char **why, const char *text)
{
	*why = text;
	return -EINVAL;
}

static int reply_u64(struct vu_msg *m, uint64_t v)
{
	m->payload.u64 = v;
	m->head.size = sizeof(v);
	return MSG_DONE;
}

static struct vqueue *queue_at(struct vhost_dev *d, uint32_t index, const char **why)
{
	if (index < d->nq)
		return &d->q[index];
	*why = "there is no ring of this number";
	return NULL;
}

/* ---- features -------------------------------------------------------------------------------- */

#define RING_LAYOUT (VF_RING_PACKED | VF_EVENT_IDX | VF_INDIRECT_DESC)

static bool any_started(const struct vhost_dev *d)
{
	for (unsigned i = 0; i < d->nq; i++)
		if (d->q[i].ring.started)
			return true;
	return false;
}

static int get_features(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	return reply_u64(m, VHOST_FEATURES);
}

static int set_features(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	uint64_t f = m->payload.u64;

	if (f & ~VHOST_FEATURES)
		return refused(why, "a feature was not offered");
	if ((f ^ d->features) & RING_LAYOUT && any_started(d))
		return refused(why, "the rings run and cannot change their layout");
	d->features = f;
	for (unsigned i = 0; i < d->nq; i++)
		if (d->q[i].ring.started)
			queue_look(&d->q[i]);
	return MSG_DONE;
}

static int get_protocol_features(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	return reply_u64(m, VHOST_PROTOCOL_FEATURES);
}

static int set_protocol_features(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	if (m->payload.u64 & ~VHOST_PROTOCOL_FEATURES)
		return refused(why, "a protocol feature was not offered");
	d->protocol = m->payload.u64;
	return MSG_DONE;
}

static int get_queue_num(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	return reply_u64(m, d->nq);
}

static int set_owner(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	return MSG_DONE;
}

static int reset_owner(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	for (unsigned i = 0; i < d->nq; i++)
		d->q[i].enabled = false;
	return MSG_DONE;
}

static int no_log(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	return refused(why,
		       "the memory written to is not logged: migrate with the device unplugged");
}

#define MEMORY_MIN offsetof(struct vu_memory, region)

/* ---- memory ---------------------------------------------------------------------------------- */

static int no_memory(const char **why)
{
	*why = "no memory";
	return -ENOMEM;
}

static int set_mem_table(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	const struct vu_memory *t = &m->payload.memory;
	struct vmem *mem;

	if (t->n > VU_REGIONS_MAX || m->nfds != t->n ||
	    (m->head.size - MEMORY_MIN) % sizeof(t->region[0]) ||
	    m->head.size < MEMORY_MIN + t->n * sizeof(t->region[0]))
		return refused(why, "its regions, their descriptors and its size do not agree");
	mem = vmem_create();
	if (!mem)
		return no_memory(why);
	for (unsigned i = 0; i < t->n; i++) {
		int rc = vmem_add(mem, &t->region[i], m->fd[i], &d->mem_broken, why);

		if (rc) {
			vmem_put(mem);
			return rc;
		}
	}
	dev_set_memory(d, mem);
	return MSG_DONE;
}

static int get_max_mem_slots(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	return reply_u64(m, VHOST_SLOTS);
}

static int add_mem_reg(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vmem *mem = vmem_copy(d->mem);
	int rc;

	if (!mem)
		return no_memory(why);
	rc = vmem_add(mem, &m->payload.single.region, m->fd[0], &d->mem_broken, why);
	if (rc)
		vmem_put(mem);
	else
		dev_set_memory(d, mem);
	return rc;
}

static int rem_mem_reg(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vmem *mem = vmem_copy(d->mem);

	if (!mem)
		return no_memory(why);
	if (vmem_remove(mem, &m->payload.single.region)) {
		vmem_put(mem);
		return refused(why, "there is no such region");
	}
	dev_set_memory(d, mem);
	return MSG_DONE;
}

/* ---- rings ----------------------------------------------------------------------------------- */

static int set_vring_num(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vqueue *q = queue_at(d, m->payload.state.index, why);
	uint32_t num = m->payload.state.num;

	if (!q)
		return -EINVAL;
	if (q->ring.started && num != q->ring.size)
		return refused(why, "the ring runs");
	if (!num || num > VRING_SIZE_MAX)
		return refused(why, "a ring has 1 to 1024 descriptors");
	if (!is_pow2(num) && !(d->features & VF_RING_PACKED))
		return refused(why, "a split ring's size is a power of two");
	q->ring.size = num;
	return MSG_DONE;
}

static int set_vring_addr(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	const struct vu_vring_addr *a = &m->payload.addr;
	struct vqueue *q = queue_at(d, a->index, why);
	struct vring *r;

	if (!q)
		return -EINVAL;
	r = &q->ring;
	if (r->started &&
	    (r->desc_user != a->desc || r->driver_user != a->avail || r->device_user != a->used))
		return refused(why, "the ring runs");
	if (a->flags)
		return refused(why, "the memory written to is not logged");
	r->desc_user = a->desc;
	r->driver_user = a->avail;
	r->device_user = a->used;
	r->has_addr = true;
	return MSG_DONE;
}

static int set_vring_base(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vqueue *q = queue_at(d, m->payload.state.index, why);

	if (!q)
		return -EINVAL;
	if (q->ring.started)
		return refused(why, "the ring runs");
	q->ring.base = m->payload.state.num;
	q->ring.has_base = true;
	return MSG_DONE;
}

static int get_vring_base(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vqueue *q = queue_at(d, m->payload.state.index, why);

	if (!q)
		return -EINVAL;
	m->head.size = sizeof(m->payload.state);
	m->payload.state.num = vring_base(&q->ring);
	if (!q->ring.started) {
		queue_set_kick(q, -1);
		return MSG_DONE;
	}
	d->conn.wait = WAITS_FOR_RING;
	d->conn.ring = q;
	return MSG_LATER;
}

static int set_vring_enable(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vqueue *q = queue_at(d, m->payload.state.index, why);

	if (!q)
		return -EINVAL;
	if (m->payload.state.num > 1)
		return refused(why, "a ring is enabled (1) or disabled (0)");
	q->enabled = m->payload.state.num;
	if (q->ring.started)
		queue_look(q);
	return MSG_DONE;
}

/*
 * The ring, and the eventfd in *@fd (-1: none), which is the caller's from now on. Files, pipes and sockets are no
 * eventfds: they could keep us waiting.
 */
static struct vqueue *take_eventfd(struct vhost_dev *d, struct vu_msg *m, int *fd, const char **why)
{
	struct vqueue *q = queue_at(d, m->payload.u64 & VU_VRING_INDEX, why);
	bool none = m->payload.u64 & VU_VRING_NO_FD;
	struct stat st;

	if (!q)
		return NULL;
	*why = "it comes without its descriptor, or with one that it says is not there";
	if (none != !m->nfds)
		return NULL;
	*fd = -1;
	if (none)
		return q;
	*why = "its descriptor is no eventfd";
	if (fstat(m->fd[0], &st) || st.st_mode & S_IFMT)
		return NULL;
	if (fcntl(m->fd[0], F_SETFL, O_NONBLOCK))
		return NULL;
	*fd = m->fd[0];
	m->fd[0] = -1;
	return q;
}

static int set_vring_kick(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	int fd;
	struct vqueue *q = take_eventfd(d, m, &fd, why);

	if (!q)
		return -EINVAL;
	if (fd < 0)
		return refused(why, "rings are not polled: an eventfd is needed");
	if (queue_set_kick(q, fd)) {
		close(fd);
		return no_memory(why);
	}
	if (q->ring.started) {
		queue_look(q);
		return MSG_DONE;
	}
	/* else when it is kicked */
	return q->ring.size && q->ring.has_addr ? queue_start(q, why) : MSG_DONE;
}

static int set_fd(int *old, int fd)
{
	if (*old >= 0)
		close(*old);
	*old = fd;
	return MSG_DONE;
}

static int set_vring_call(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	int fd;
	struct vqueue *q = take_eventfd(d, m, &fd, why);

	if (!q)
		return -EINVAL;
	set_fd(&q->call_fd, fd);
	/* what was published before it came, or by a daemon that died before it called */
	if (q->ring.started && q->used_any)
		queue_call(q);
	return MSG_DONE;
}

static int set_vring_err(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	int fd;
	struct vqueue *q = take_eventfd(d, m, &fd, why);

	return q ? set_fd(&q->err_fd, fd) : -EINVAL;
}

/* ---- in-flight memory ---------------------------------------------------------------------------- */

static bool inflight_fits(const struct vhost_dev *d, const struct vu_inflight *i)
{
	return i->queues && i->queues <= d->nq && i->queue_size && i->queue_size <= VRING_SIZE_MAX;
}

static int sealed_memory(uint64_t len)
{
	int fd = memfd_create("stgt-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (!ftruncate(fd, (off_t)len) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -1;
}

static int get_inflight_fd(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vu_inflight *i = &m->payload.inflight;
	uint64_t len;

	if (!inflight_fits(d, i))
		return refused(why, "it asks for more or larger rings than there can be");
	/* packed rings need more; whether they are it, the front end may say later */
	len = vlog_size(i->queue_size, true) * i->queues;
	m->reply_fd = sealed_memory(len);
	if (m->reply_fd < 0)
		return no_memory(why);
	i->mmap_size = len;
	i->mmap_offset = 0;
	return MSG_DONE;
}

static int set_inflight_fd(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	const struct vu_inflight *i = &m->payload.inflight;
	struct vmapping *log;
	struct stat st;
	uint64_t len;
	uint8_t *at;

	if (any_started(d))
		return refused(why, "rings run");
	if (!inflight_fits(d, i) || i->mmap_offset % sizeof(uint64_t))
		return refused(why, "its numbers are not those of in-flight memory");
	if (i->mmap_size / i->queues < vlog_size(i->queue_size, d->features & VF_RING_PACKED))
		return refused(why, "it is too small for its rings");
	if (fstat(m->fd[0], &st) || st.st_size < 0 ||
	    !range_fits(i->mmap_offset, i->mmap_size, (uint64_t)st.st_size))
		return refused(why, "its file is shorter than it says");
	/* no more of it than rings have: it is for the front end to say how long it is */
	len = min(i->mmap_size, vlog_size(i->queue_size, true) * (uint64_t)i->queues);
	log = vmapping_create(m->fd[0], i->mmap_offset, len, &d->mem_broken, &at, why);
	if (!log)
		return -EINVAL;
	vmapping_put(d->log);
	d->log = log;
	d->log_at = at;
	d->log_len = len;
	d->log_queues = i->queues;
	d->log_queue_size = i->queue_size;
	return MSG_DONE;
}

/* ---- the device ---------------------------------------------------------------------------------- */

static struct vscsi_config config_of(const struct vhost_dev *d)
{
	return (struct vscsi_config){
		.num_queues = d->queues,
		.seg_max = VRING_SIZE_MAX / 2 - 2,
		.max_sectors = 0xffff,
		.cmd_per_lun = 128,
		.event_info_size = sizeof(struct vscsi_event),
		.sense_size = d->sense_size,
		.cdb_size = d->cdb_size,
		.max_channel = 0,
		.max_target = 0,
		.max_lun = LUN_MAX,
	};
}

static int get_config(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vscsi_config config = config_of(d);
	struct vu_config *c = &m->payload.config;

	/* what is asked for and is not there is answered by an empty message */
	if (c->size != m->head.size - VU_CONFIG_HEADER ||
	    !range_fits(c->offset, c->size, sizeof(config))) {
		m->head.size = 0;
		return MSG_DONE;
	}
	memcpy(c->data, (const uint8_t *)&config + c->offset, c->size);
	return MSG_DONE;
}

#define CONFIG_FIRST offsetof(struct vscsi_config, sense_size) /* what a driver may write */
#define CONFIG_END offsetof(struct vscsi_config, max_channel)

static int set_config(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	struct vscsi_config config = config_of(d);
	const struct vu_config *c = &m->payload.config;

	if (c->size != m->head.size - VU_CONFIG_HEADER || c->offset < CONFIG_FIRST ||
	    !range_fits(c->offset, c->size, CONFIG_END))
		return refused(why, "only sense_size and cdb_size can be written");
	memcpy((uint8_t *)&config + c->offset, c->data, c->size);
	if (config.sense_size > SENSE_MAX || !config.cdb_size || config.cdb_size > CDB_MAX)
		return refused(why, "sense_size is at most 252, cdb_size 1 to 260");
	d->sense_size = config.sense_size;
	d->cdb_size = config.cdb_size;
	return MSG_DONE;
}

static int reset_device(struct vhost_dev *d, struct vu_msg *m, const char **why)
{
	dev_publish(d);
	for (unsigned i = 0; i < d->nq; i++) {
		struct vqueue *q = &d->q[i];

		q->enabled = q->broken = false;
		queue_stop(q);
		queue_set_kick(q, -1);
	}
	if (d->log)
		memset(d->log_at, 0, d->log_len);
	d->sense_size = VSCSI_SENSE_SIZE;
	d->cdb_size = VSCSI_CDB_SIZE;
	d->events_missed = false;
	d->conn.wait = WAITS_FOR_RESET;
	dev_reset(d);
	return MSG_LATER;
}

/* ---- the table ------------------------------------------------------------------------------------ */

#define STATE sizeof(struct vu_vring_state)
#define SINGLE sizeof(struct vu_single_region)

static const struct vu_row rows[] = {
	[VU_GET_FEATURES] = { "GET_FEATURES", 0, 0, 0, 0, true, 0, get_features },
	[VU_SET_FEATURES] = { "SET_FEATURES", 8, 8, 0, 0, false, 0, set_features },
	[VU_SET_OWNER] = { "SET_OWNER", 0, 0, 0, 0, false, 0, set_owner },
	[VU_RESET_OWNER] = { "RESET_OWNER", 0, 0, 0, 0, false, 0, reset_owner },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", MEMORY_MIN, sizeof(struct vu_memory), 0, 8, false,
			       0, set_mem_table },
	[VU_SET_LOG_BASE] = { "SET_LOG_BASE", 0, 64, 0, 1, false, 0, no_log },
	[VU_SET_LOG_FD] = { "SET_LOG_FD", 0, 64, 0, 1, false, 0, no_log },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", STATE, STATE, 0, 0, false, 0, set_vring_num },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", sizeof(struct vu_vring_addr),
				sizeof(struct vu_vring_addr), 0, 0, false, 0, set_vring_addr },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", STATE, STATE, 0, 0, false, 0, set_vring_base },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", STATE, STATE, 0, 0, true, 0, get_vring_base },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", 8, 8, 0, 1, false, 0, set_vring_kick },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", 8, 8, 0, 1, false, 0, set_vring_call },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", 8, 8, 0, 1, false, 0, set_vring_err },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", 0, 0, 0, 0, true, 0,
				       get_protocol_features },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", 8, 8, 0, 0, false, 0,
				       set_protocol_features },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", 0, 0, 0, 0, true, VU_P_MQ, get_queue_num },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", STATE, STATE, 0, 0, false, 0,
				  set_vring_enable },
	[VU_GET_CONFIG] = { "GET_CONFIG", VU_CONFIG_HEADER, sizeof(struct vu_config), 0, 0, true,
			    VU_P_CONFIG, get_config },
	[VU_SET_CONFIG] = { "SET_CONFIG", VU_CONFIG_HEADER, sizeof(struct vu_config), 0, 0, false,
			    VU_P_CONFIG, set_config },
	[VU_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", VU_INFLIGHT_LEN, sizeof(struct vu_inflight), 0,
				 0, true, VU_P_INFLIGHT_SHMFD, get_inflight_fd },
	[VU_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", VU_INFLIGHT_LEN, sizeof(struct vu_inflight), 1,
				 1, false, VU_P_INFLIGHT_SHMFD, set_inflight_fd },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", 0, 0, 0, 0, false, VU_P_RESET_DEVICE, reset_device },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", 0, 0, 0, 0, true, VU_P_CONFIGURE_MEM_SLOTS,
				   get_max_mem_slots },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", SINGLE, SINGLE, 1, 1, false, VU_P_CONFIGURE_MEM_SLOTS,
			     add_mem_reg },
	/* a descriptor that comes along is closed: some front ends send one */
	[VU_REM_MEM_REG] = { "REM_MEM_REG", SINGLE, SINGLE, 0, 1, false, VU_P_CONFIGURE_MEM_SLOTS,
			     rem_mem_reg },
};

const struct vu_row *vu_row(uint32_t request)
{
	return request < array_size(rows) && rows[request].run ? &rows[request] : NULL;
}

const char *vu_check_header(const struct vu_header *h)
{
	if ((h->flags & VU_VERSION_MASK) != VU_VERSION)
		return "its version is not 1";
	if (h->flags & VU_REPLY)
		return "it is an answer, and nothing was asked";
	if (h->size > VU_PAYLOAD_MAX)
		return "it is longer than any message";
	return NULL;
}

const char *vu_check_message(const struct vu_row *row, const struct vu_msg *m)
{
	if (m->head.size < row->min || m->head.size > row->max)
		return "its size is not that of this message";
	if (m->nfds < row->fds_min || m->nfds > row->fds_max)
		return "it has more or fewer descriptors than this message";
	return NULL;
}
