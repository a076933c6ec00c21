/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost_floor.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static const char help[] = "Usage: bench-vhost-floor SOCKET [OPTION]...\n"
			   "The least program that answers the tests' vhost-user-scsi front end. "
			   "Prints \"ready SOCKET\" when it\n"
			   "listens; ends with its parent.\n"
			   "\n"
			   "  --store null|mem  where data comes from (default null)\n"
			   "  --size SIZE       of the disk (default 4G; mem: 64M)\n"
			   "  --seconds N       end after N seconds (default 3600)\n";

#define FEATURES \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX) | \
	 BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_PROTOCOL_FEATURES))
#define PROTOCOL (BIT64(VU_P_MQ) | BIT64(VU_P_REPLY_ACK) | BIT64(VU_P_CONFIGURE_MEM_SLOTS))

static struct vf vf;
static int epoll_fd, conn_fd = -1;

struct message {
	uint32_t request, flags, len;
	uint8_t payload[VU_PAYLOAD_MAX];
	int fd[VU_FDS_MAX];
	unsigned nfds;
};

/* ---- memory ------------------------------------------------------------------------------- */

static void add_region(const uint8_t *p, int fd)
{
	struct vf_region *r = &vf.region[vf.nregions];
	uint64_t offset = le64_at(p + 24);

	if (vf.nregions == VF_REGIONS)
		die(END_TROUBLE, "too many regions");
	vf.nregions++;
	r->guest = le64_at(p);
	r->size = le64_at(p + 8);
	r->user = le64_at(p + 16);
	r->map_len = r->size + offset;
	r->map = mmap(NULL, r->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r->map == MAP_FAILED)
		die(END_TROUBLE, "a region cannot be mapped: %s", strerror(errno));
	r->at = (uint8_t *)r->map + offset;
	close(fd);
}

static void drop_region(unsigned i)
{
	munmap(vf.region[i].map, vf.region[i].map_len);
	vf.region[i] = vf.region[--vf.nregions];
	vf.last_region = 0;
}

static uint8_t *user(uint64_t addr)
{
	for (unsigned i = 0; i < vf.nregions; i++)
		if (addr - vf.region[i].user < vf.region[i].size)
			return vf.region[i].at + (addr - vf.region[i].user);
	die(END_TROUBLE, "a ring that is not in memory");
}

static void set_memory(const struct message *m)
{
	unsigned n = le32_at(m->payload);

	while (vf.nregions)
		drop_region(0);
	for (unsigned i = 0; i < n && i < m->nfds; i++)
		add_region(m->payload + VU_MEM_TABLE + i * VU_REGION, m->fd[i]);
}

static void remove_memory(const struct message *m)
{
	for (unsigned i = 0; i < vf.nregions; i++)
		if (vf.region[i].guest == le64_at(m->payload + VU_MEM_REG))
			drop_region(i);
	for (unsigned i = 0; i < m->nfds; i++)
		close(m->fd[i]);
}

/* ---- rings -------------------------------------------------------------------------------- */

static void watch(int fd, uint64_t what)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = what };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e))
		die(END_TROUBLE, "epoll_ctl: %s", strerror(errno));
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct vf_queue *queue(uint32_t index)
{
	if (index >= VF_QUEUES)
		die(END_TROUBLE, "there is no ring %u", index);
	return &vf.queue[index];
}

static void set_base(struct vf_queue *q, uint32_t base)
{
	if (vf.packed) {
		q->last_avail = base & 0x7fff;
		q->avail_wrap = base >> 15 & 1;
		q->last_used = base >> 16 & 0x7fff;
		q->used_wrap = base >> 31;
		q->signalled = (uint16_t)(q->last_used + (q->used_wrap ? 0 : q->num));
		return;
	}
	q->last_avail = q->last_used = q->signalled = (uint16_t)base;
}

static uint32_t get_base(struct vf_queue *q)
{
	drop(&q->kick);
	if (!vf.packed)
		return q->last_avail;
	return q->last_avail | (uint32_t)q->avail_wrap << 15 | (uint32_t)q->last_used << 16 |
	       (uint32_t)q->used_wrap << 31;
}

static void set_addresses(const struct message *m)
{
	struct vf_queue *q = queue(le32_at(m->payload));

	q->desc = user(le64_at(m->payload + 8));
	q->used = user(le64_at(m->payload + 16));
	q->avail = user(le64_at(m->payload + 24));
	q->has_addr = true;
}

static void serve(unsigned i)
{
	struct vf_queue *q = &vf.queue[i];

	/* the event ring's buffers are kept: there is never an event */
	if (q->enabled && q->has_addr && q->kick >= 0 && i != RING_EVENT)
		vf_serve(&vf, q, i);
}

static void set_fd(const struct message *m)
{
	struct vf_queue *q = queue((uint32_t)le64_at(m->payload) & 0xff);
	int fd = m->nfds ? m->fd[0] : -1;

	if (m->request == VU_SET_VRING_KICK) {
		drop(&q->kick);
		q->kick = fd;
		if (fd >= 0)
			watch(fd, (uint64_t)(q - vf.queue));
	} else if (m->request == VU_SET_VRING_CALL) {
		drop(&q->call);
		q->call = fd;
	} else if (fd >= 0)
		close(fd);
}

/* ---- messages ----------------------------------------------------------------------------- */

static void reply(const struct message *m, uint64_t value, unsigned len)
{
	uint8_t out[VU_HEADER + VU_VRING_STATE];

	put_le32(out, m->request);
	put_le32(out + 4, VU_VERSION | VU_REPLY);
	put_le32(out + 8, len);
	put_le64(out + VU_HEADER, value);
	if (write(conn_fd, out, VU_HEADER + len) < 0)
		die(END_TROUBLE, "a reply cannot be sent");
}

/* True if it had an answer of its own. */
static bool handle(const struct message *m)
{
	uint32_t index = le32_at(m->payload), num = le32_at(m->payload + 4);

	switch (m->request) {
	case VU_GET_FEATURES:
		reply(m, FEATURES, 8);
		return true;
	case VU_GET_PROTOCOL_FEATURES:
		reply(m, PROTOCOL, 8);
		return true;
	case VU_GET_QUEUE_NUM:
	case VU_GET_MAX_MEM_SLOTS:
		reply(m, m->request == VU_GET_QUEUE_NUM ? VF_QUEUES : VF_REGIONS, 8);
		return true;
	case VU_GET_VRING_BASE:
		reply(m, index | (uint64_t)get_base(queue(index)) << 32, 8);
		return true;
	case VU_SET_FEATURES:
		vf.features = le64_at(m->payload);
		vf.packed = vf.features & BIT64(VIRTIO_F_RING_PACKED);
		vf.event_idx = vf.features & BIT64(VIRTIO_F_EVENT_IDX);
		break;
	case VU_SET_MEM_TABLE:
		set_memory(m);
		break;
	case VU_ADD_MEM_REG:
		add_region(m->payload + VU_MEM_REG, m->nfds ? m->fd[0] : -1);
		break;
	case VU_REM_MEM_REG:
		remove_memory(m);
		break;
	case VU_SET_VRING_NUM:
		queue(index)->num = (uint16_t)num;
		break;
	case VU_SET_VRING_BASE:
		set_base(queue(index), num);
		break;
	case VU_SET_VRING_ADDR:
		set_addresses(m);
		break;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		set_fd(m);
		break;
	case VU_SET_VRING_ENABLE:
		queue(index)->enabled = num;
		serve(index);
		break;
	}
	return false;
}

static void hang_up(void)
{
	drop(&conn_fd);
	while (vf.nregions)
		drop_region(0);
	for (unsigned i = 0; i < VF_QUEUES; i++) {
		drop(&vf.queue[i].kick);
		drop(&vf.queue[i].call);
		vf.queue[i] = (struct vf_queue){ .kick = -1, .call = -1 };
	}
}

/* Our front end sends each message by one call, so its header comes with its descriptors. */
static bool receive(struct message *m)
{
	char control[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
	uint8_t header[VU_HEADER];
	struct iovec iov = { header, sizeof(header) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	m->nfds = 0;
	memset(m->payload, 0, VU_VRING_ADDR);
	if (recvmsg(conn_fd, &h, MSG_WAITALL | MSG_CMSG_CLOEXEC) != VU_HEADER)
		return false;
	for (c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			m->nfds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(m->fd, CMSG_DATA(c), m->nfds * sizeof(int));
		}
	m->request = le32_at(header);
	m->flags = le32_at(header + 4);
	m->len = le32_at(header + 8);
	return m->len <= sizeof(m->payload) &&
	       (!m->len || recv(conn_fd, m->payload, m->len, MSG_WAITALL) == (ssize_t)m->len);
}

static void message(void)
{
	static struct message m;

	if (!receive(&m))
		hang_up();
	else if (!handle(&m) && m.flags & VU_NEED_REPLY)
		reply(&m, 0, 8);
}

static void accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (conn_fd >= 0) {
		close(fd);
		return;
	}
	conn_fd = fd;
	watch(fd, VF_QUEUES);
}

/* ---- the program -------------------------------------------------------------------------- */

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "store", required_argument, NULL, 's' },
		{ "size", required_argument, NULL, 'z' },
		{ "seconds", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL },
	};
	uint64_t bytes = 0;
	bool mem = false;
	int ch;

	while ((ch = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (ch == 's' && strcmp(optarg, "null") && strcmp(optarg, "mem"))
			die(END_USAGE, "--store %s: null or mem is needed", optarg);
		else if (ch == 's')
			mem = optarg[0] == 'm';
		else if (ch == 'z')
			bytes = size_arg("size", optarg, VF_BLOCK, 1ull << 46);
		else if (ch == 't')
			live_no_longer_than((unsigned)number_arg("seconds", optarg, 1, 86400));
		else if (ch == 'h')
			exit(printf("%s", help) < 0);
		else
			exit(END_USAGE);
	}
	if (optind + 1 != argc || argv[optind][0] != '/')
		die(END_USAGE, "the path of a socket is needed: see bench-vhost-floor --help");
	bytes = bytes ? bytes : mem ? 64ull << 20 : 4ull << 30;
	vf.blocks = bytes / VF_BLOCK;
	vf.disk = mem ? zalloc(bytes) : NULL;
}

static int listen_at(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct address a;

	address_parse(path, &a);
	unlink(path);
	if (fd < 0 || bind(fd, &a.any, a.len) || listen(fd, 8))
		die(END_TROUBLE, "listening at %s: %s", path, strerror(errno));
	printf("ready %s\n", path);
	fflush(stdout);
	return fd;
}

static void one_event(int listener, uint64_t what)
{
	uint64_t count;

	if (what == VF_QUEUES + 1)
		accept_one(listener);
	else if (what == VF_QUEUES)
		message();
	else if (vf.queue[what].kick >= 0 &&
		 read(vf.queue[what].kick, &count, sizeof(count)) == sizeof(count))
		serve((unsigned)what);
}

int main(int argc, char **argv)
{
	struct epoll_event ev[VF_QUEUES];
	int listener;

	live_no_longer_than(3600);
	parse(argc, argv);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	hang_up();
	listener = listen_at(argv[optind]);
	watch(listener, VF_QUEUES + 1);
	for (;;) {
		int n = epoll_wait(epoll_fd, ev, VF_QUEUES, -1);

		for (int i = 0; i < n; i++)
			one_event(listener, ev[i].data.u64);
	}
}
