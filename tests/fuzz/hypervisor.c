/* SPDX-License-Identifier: BSD-2-Clause */
#include "hypervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/vhost/vhost.h"

static char folder[32], path[48];

static void remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

static void serve(void)
{
	struct vhost_port_opts o = {
		.path = path, .target = HV_TARGET, .queues = 2, .uid = (uid_t)-1, .gid = (gid_t)-1
	};
	struct err e;

	strcpy(folder, "/tmp/fuzz-vhost-XXXXXX");
	tgtd_check(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	atexit(remove_folder);
	sim_enter(tgtd.control);
	tgtd.c.vhost = vhost_server_create(&tgtd.c.ts, &e);
	tgtd_check(tgtd.c.vhost);
	tgtd_check(!vhost_port_add(tgtd.c.vhost, &o, &e));
}

void hv_begin(struct hypervisor *h)
{
	if (tgtd.control)
		return;
	tgtd_begin(control_verbs);
	tgtd_do("target.create", "'tid':1,'name':'" HV_TARGET "'");
	tgtd_do("acl.add", "'tid':1,'address':'ALL'");
	tgtd_do("lun.create", "'tid':1,'lun':1,'bstype':'mem','bsopts':'size=4M','thin':true");
	tgtd_do("lun.create",
		"'tid':1,'lun':2,'bstype':'delay:delay_us=20000+mem','bsopts':'size=1M'");
	serve();
	*h = (struct hypervisor){ .sock = -1, .file = -1, .log = -1 };
	for (unsigned i = 0; i < HV_RINGS; i++)
		h->kick[i] = h->call[i] = -1;
}

/* ---- memory ------------------------------------------------------------------------------- */

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void drop_memory(struct hypervisor *h)
{
	if (h->memory)
		munmap(h->memory, HV_MEMORY);
	h->memory = NULL;
	drop(&h->file);
	drop(&h->log);
}

void hv_memory(struct hypervisor *h)
{
	drop_memory(h);
	h->file = memfd_create("guest", MFD_CLOEXEC);
	tgtd_check(h->file >= 0 && !ftruncate(h->file, HV_MEMORY));
	h->memory = mmap(NULL, HV_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, h->file, 0);
	tgtd_check(h->memory != MAP_FAILED);
	h->cut = false;
	h->log_size = 0;
	for (unsigned i = 0; i < HV_RINGS; i++) {
		h->next[i] = 0;
		h->wrap[i] = true;
	}
}

/* ---- messages ----------------------------------------------------------------------------- */

bool hv_connect(struct hypervisor *h)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, path);
	h->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	tgtd_check(h->sock >= 0);
	if (connect(h->sock, (struct sockaddr *)&a, sizeof(a)))
		drop(&h->sock);
	for (unsigned i = 0; i < HV_RINGS; i++) {
		drop(&h->kick[i]);
		drop(&h->call[i]);
		h->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		h->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	return h->sock >= 0;
}

void hv_send(struct hypervisor *h, const void *bytes, size_t len, const int *fds, unsigned nfds)
{
	char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (h->sock < 0 || !len)
		return;
	if (nfds) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	if (sendmsg(h->sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		hv_leave(h);
}

void hv_message(struct hypervisor *h, uint32_t request, uint32_t flags, const void *payload,
		uint32_t len, const int *fds, unsigned nfds)
{
	uint8_t bytes[VU_HEADER + 512];

	len = min(len, 512u);
	put_le32(bytes, request);
	put_le32(bytes + 4, flags);
	put_le32(bytes + 8, len);
	if (len)
		memcpy(bytes + VU_HEADER, payload, len);
	hv_send(h, bytes, VU_HEADER + len, fds, nfds);
}

void hv_ring_message(struct hypervisor *h, uint32_t request, uint32_t ring, uint32_t num)
{
	uint8_t payload[VU_VRING_STATE];

	put_le32(payload, ring);
	put_le32(payload + 4, num);
	hv_message(h, request, VU_VERSION, payload, sizeof(payload), NULL, 0);
}

static void u64_message(struct hypervisor *h, uint32_t request, uint64_t value, const int *fd)
{
	uint8_t payload[8];

	put_le64(payload, value);
	hv_message(h, request, VU_VERSION, payload, sizeof(payload), fd, fd != NULL);
}

/* The in-flight memory's descriptor is what the answer brings. */
void hv_listen(struct hypervisor *h)
{
	char control[CMSG_SPACE(sizeof(int))];
	uint8_t bytes[1024];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct cmsghdr *c;
	ssize_t n;

	for (;;) {
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };

		if (h->sock < 0)
			return;
		n = recvmsg(h->sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			hv_leave(h);
			return;
		}
		c = CMSG_FIRSTHDR(&m);
		if (!c || c->cmsg_type != SCM_RIGHTS)
			continue;
		drop(&h->log);
		memcpy(&h->log, CMSG_DATA(c), sizeof(int));
		h->log_size = n >= VU_HEADER + 8 ? le64_at(bytes + VU_HEADER) : 0;
	}
}

/* ---- the start of a driver ------------------------------------------------------------------ */

static void share_memory(struct hypervisor *h)
{
	uint8_t table[VU_MEM_TABLE + 2 * VU_REGION] = { 2 };
	int fds[2] = { h->file, h->file };

	for (unsigned i = 0; i < 2; i++) {
		uint8_t *r = table + VU_MEM_TABLE + i * VU_REGION;

		put_le64(r, HV_GUEST + i * HV_SECOND);
		put_le64(r + 8, HV_SECOND);
		put_le64(r + 16, HV_USER + i * HV_SECOND);
		put_le64(r + 24, i * HV_SECOND);
	}
	hv_message(h, VU_SET_MEM_TABLE, VU_VERSION, table, sizeof(table), fds, 2);
}

static void share_log(struct hypervisor *h)
{
	uint8_t payload[VU_INFLIGHT] = { 0 };

	put_le16(payload + 16, HV_RINGS);
	put_le16(payload + 18, HV_SIZE);
	if (h->log < 0) {
		hv_message(h, VU_GET_INFLIGHT_FD, VU_VERSION, payload, sizeof(payload), NULL, 0);
		for (unsigned i = 0; i < 200 && h->log < 0 && h->sock >= 0; i++) {
			tgtd_steps(4);
			hv_listen(h);
		}
	}
	if (h->log < 0)
		return;
	put_le64(payload, h->log_size);
	hv_message(h, VU_SET_INFLIGHT_FD, VU_VERSION, payload, sizeof(payload), &h->log, 1);
}

void hv_start_ring(struct hypervisor *h, unsigned ring, uint32_t base)
{
	uint8_t addr[VU_VRING_ADDR] = { (uint8_t)ring };

	put_le64(addr + 8, HV_USER + HV_RING_AT(ring));
	put_le64(addr + 16, HV_USER + HV_RING_AT(ring) + 0x200);
	put_le64(addr + 24, HV_USER + HV_RING_AT(ring) + 0x100);
	hv_ring_message(h, VU_SET_VRING_NUM, ring, HV_SIZE);
	hv_ring_message(h, VU_SET_VRING_BASE, ring, base);
	hv_message(h, VU_SET_VRING_ADDR, VU_VERSION, addr, sizeof(addr), NULL, 0);
	u64_message(h, VU_SET_VRING_CALL, ring, &h->call[ring]);
	u64_message(h, VU_SET_VRING_KICK, ring, &h->kick[ring]);
	hv_ring_message(h, VU_SET_VRING_ENABLE, ring, 1);
}

void hv_start(struct hypervisor *h, uint64_t features, bool log)
{
	h->features = features | BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_PROTOCOL_FEATURES);
	u64_message(h, VU_SET_PROTOCOL_FEATURES,
		    BIT64(VU_P_MQ) | BIT64(VU_P_REPLY_ACK) | BIT64(VU_P_CONFIG) |
			    BIT64(VU_P_INFLIGHT_SHMFD) | BIT64(VU_P_RESET_DEVICE) |
			    BIT64(VU_P_CONFIGURE_MEM_SLOTS),
		    NULL);
	u64_message(h, VU_SET_FEATURES, h->features, NULL);
	share_memory(h);
	if (log)
		share_log(h);
	for (unsigned i = 0; i < HV_RINGS; i++)
		hv_start_ring(h, i, features & BIT64(VIRTIO_F_RING_PACKED) ? 0x80008000u : 0);
	tgtd_steps(300);
	hv_listen(h);
}

void hv_kick(struct hypervisor *h, unsigned ring)
{
	uint64_t one = 1;

	if (h->kick[ring] >= 0 && write(h->kick[ring], &one, sizeof(one)) < 0)
		tgtd_check(errno == EAGAIN);
}

void hv_leave(struct hypervisor *h)
{
	drop(&h->sock);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static bool is_gone(void)
{
	struct vhost_live l;

	vhost_get_live(tgtd.c.vhost, &l);
	return !l.connections && !l.tasks;
}

void hv_gone(struct hypervisor *h)
{
	struct vhost_port_info i;

	hv_leave(h);
	*sim_faults() = (struct sim_faults){ 0 };
	tgtd_until((vhost_port_info(vhost_port_next(tgtd.c.vhost, NULL), &i),
		    i.state == VHOST_LISTENS && is_gone()));
	for (unsigned n = 0; n < HV_RINGS; n++) {
		drop(&h->kick[n]);
		drop(&h->call[n]);
	}
	drop_memory(h);
}
