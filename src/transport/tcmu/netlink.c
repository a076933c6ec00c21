/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/tcmu/netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/tcmu/part.h"
#include "transport/tcmu/uapi.h"

#define FAMILY "TCM-USER"
#define FAMILY_VERSION 2
#define GROUP "config"
#define NOTIFY_GROUP GENL_ID_CTRL /* of nlctrl, "notify": its number is fixed */
#define MESSAGES_MAX 64 /* of a turn */

/* ---- messages out ------------------------------------------------------------------------ */

struct message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	uint8_t attrs[64];
};

static void begin(struct message *m, uint16_t type, uint16_t flags, uint8_t cmd, uint8_t version)
{
	memset(m, 0, sizeof(*m));
	m->nl.nlmsg_type = type;
	m->nl.nlmsg_flags = NLM_F_REQUEST | flags;
	m->nl.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	m->genl.cmd = cmd;
	m->genl.version = version;
}

/* Attributes here are few and short: they fit. */
static void put(struct message *m, uint16_t type, const void *data, uint16_t len)
{
	uint8_t *at = (uint8_t *)m + m->nl.nlmsg_len;
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };

	memcpy(at, &a, sizeof(a));
	memcpy(at + NLA_HDRLEN, data, len);
	m->nl.nlmsg_len += (uint32_t)NLA_ALIGN(a.nla_len);
}

static void send_message(struct tcmu_netlink *n, const struct message *m)
{
	if (n->fd >= 0 && send(n->fd, m, m->nl.nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warn("tcmu: cannot speak to the kernel: %s", strerror(errno));
}

void tcmu_netlink_ask(struct tcmu_netlink *n)
{
	struct message m;

	begin(&m, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);
	put(&m, CTRL_ATTR_FAMILY_NAME, FAMILY, sizeof(FAMILY));
	send_message(n, &m);
}

void tcmu_netlink_reply(struct tcmu_netlink *n, unsigned cmd, uint32_t id, int status)
{
	int32_t code = status;
	struct message m;

	if (!n->family)
		return;
	begin(&m, n->family, 0, (uint8_t)(cmd + TCMU_CMD_ADDED_DEVICE_DONE - TCMU_CMD_ADDED_DEVICE),
	      FAMILY_VERSION);
	put(&m, TCMU_ATTR_CMD_STATUS, &code, sizeof(code));
	put(&m, TCMU_ATTR_DEVICE_ID, &id, sizeof(id));
	send_message(n, &m);
}

static void promise_replies(struct tcmu_netlink *n)
{
	uint8_t yes = 1;
	struct message m;

	begin(&m, n->family, NLM_F_ACK, TCMU_CMD_SET_FEATURES, FAMILY_VERSION);
	put(&m, TCMU_ATTR_SUPP_KERN_CMD_REPLY, &yes, sizeof(yes));
	send_message(n, &m);
}

/* ---- messages in --------------------------------------------------------------------------- */

struct attrs {
	const uint8_t *p;
	size_t left;
};

/* The next attribute: its type, and *@data of *@len bytes; -1 at the end, or where nothing makes sense any more. */
static int next_attr(struct attrs *as, const uint8_t **data, size_t *len)
{
	struct nlattr a;
	size_t step;

	if (as->left < sizeof(a))
		return -1;
	memcpy(&a, as->p, sizeof(a));
	if (a.nla_len < NLA_HDRLEN || a.nla_len > as->left)
		return -1;
	*data = as->p + NLA_HDRLEN;
	*len = a.nla_len - (size_t)NLA_HDRLEN;
	step = min((size_t)NLA_ALIGN(a.nla_len), as->left);
	as->p += step;
	as->left -= step;
	return a.nla_type & NLA_TYPE_MASK;
}

static bool get(void *to, size_t want, const uint8_t *data, size_t len)
{
	if (len < want)
		return false;
	memcpy(to, data, want);
	return true;
}

static bool get_text(char *to, size_t room, const uint8_t *data, size_t len)
{
	len = strnlen((const char *)data, len);
	if (len >= room)
		return false;
	memcpy(to, data, len);
	to[len] = '\0';
	return true;
}

static struct attrs attrs_of(const uint8_t *msg, size_t len)
{
	size_t head = NLMSG_HDRLEN + GENL_HDRLEN;

	return (struct attrs){ msg + head, len - head };
}

/* The group's number out of the nest of groups; 0: it is not among them. */
static uint32_t find_group(struct attrs groups)
{
	const uint8_t *data, *v;
	size_t len, vlen;
	int type;

	while (next_attr(&groups, &data, &len) >= 0) {
		struct attrs one = { data, len };
		char name[sizeof(GROUP)] = "";
		uint32_t id = 0;

		while ((type = next_attr(&one, &v, &vlen)) >= 0) {
			if (type == CTRL_ATTR_MCAST_GRP_NAME)
				get_text(name, sizeof(name), v, vlen);
			else if (type == CTRL_ATTR_MCAST_GRP_ID)
				get(&id, sizeof(id), v, vlen);
		}
		if (!strcmp(name, GROUP))
			return id;
	}
	return 0;
}

/* nlctrl tells of a family: it may be ours. */
static void family_came(struct tcmu_netlink *n, const uint8_t *msg, size_t len)
{
	struct attrs as = attrs_of(msg, len);
	const uint8_t *data;
	char name[GENL_NAMSIZ] = "";
	uint32_t group = 0;
	uint16_t family = 0;
	int type, res;

	while ((type = next_attr(&as, &data, &len)) >= 0) {
		if (type == CTRL_ATTR_FAMILY_NAME)
			get_text(name, sizeof(name), data, len);
		else if (type == CTRL_ATTR_FAMILY_ID)
			get(&family, sizeof(family), data, len);
		else if (type == CTRL_ATTR_MCAST_GROUPS)
			group = find_group((struct attrs){ data, len });
	}
	if (strcmp(name, FAMILY) || !family || !group || n->family == family)
		return;
	/* who promises replies must listen: in this order */
	res = n->sys->join(n->fd, group);
	if (res < 0) {
		log_warn("tcmu: cannot listen to the kernel's devices: %s", strerror(-res));
		return;
	}
	n->family = family;
	promise_replies(n);
	n->ready(n->arg);
}

static void family_went(struct tcmu_netlink *n, const uint8_t *msg, size_t len)
{
	struct attrs as = attrs_of(msg, len);
	const uint8_t *data;
	char name[GENL_NAMSIZ] = "";
	int type;

	while ((type = next_attr(&as, &data, &len)) >= 0)
		if (type == CTRL_ATTR_FAMILY_NAME)
			get_text(name, sizeof(name), data, len);
	if (!strcmp(name, FAMILY))
		n->family = 0;
}

static void parse_attr(struct tcmu_event *ev, int type, const uint8_t *data, size_t len)
{
	switch (type) {
	case TCMU_ATTR_DEVICE:
		get_text(ev->device, sizeof(ev->device), data, len);
		break;
	case TCMU_ATTR_MINOR:
		get(&ev->minor, sizeof(uint32_t), data, len);
		break;
	case TCMU_ATTR_DEVICE_ID:
		ev->has_id = get(&ev->id, sizeof(ev->id), data, len);
		break;
	case TCMU_ATTR_DEV_CFG:
		ev->has_config = get_text(ev->config, sizeof(ev->config), data, len);
		break;
	case TCMU_ATTR_DEV_SIZE:
		ev->has_size = get(&ev->size, sizeof(ev->size), data, len);
		break;
	case TCMU_ATTR_WRITECACHE:
		ev->has_cache = get(&ev->cache, sizeof(ev->cache), data, len);
		break;
	default:
		break;
	}
}

bool tcmu_netlink_parse(const uint8_t *msg, size_t len, struct tcmu_event *ev)
{
	struct genlmsghdr g;
	struct attrs as;
	const uint8_t *data;
	int type;

	memset(ev, 0, sizeof(*ev));
	if (len < (size_t)NLMSG_HDRLEN + GENL_HDRLEN)
		return false;
	memcpy(&g, msg + NLMSG_HDRLEN, sizeof(g));
	ev->cmd = g.cmd;
	as = attrs_of(msg, len);
	while ((type = next_attr(&as, &data, &len)) >= 0)
		parse_attr(ev, type, data, len);
	return g.cmd >= TCMU_CMD_ADDED_DEVICE && g.cmd <= TCMU_CMD_RECONFIG_DEVICE && *ev->device;
}

static void message_came(struct tcmu_netlink *n, const uint8_t *msg, size_t len, uint16_t type)
{
	static struct tcmu_event ev; /* large, and control's alone */

	if (len < (size_t)NLMSG_HDRLEN + GENL_HDRLEN)
		return;
	if (type == GENL_ID_CTRL && msg[NLMSG_HDRLEN] == CTRL_CMD_NEWFAMILY)
		family_came(n, msg, len);
	else if (type == GENL_ID_CTRL && msg[NLMSG_HDRLEN] == CTRL_CMD_DELFAMILY)
		family_went(n, msg, len);
	else if (n->family && type == n->family && tcmu_netlink_parse(msg, len, &ev))
		n->event(n->arg, &ev);
}

static void packet_came(struct tcmu_netlink *n, const uint8_t *p, size_t left)
{
	struct nlmsghdr h;

	while (left >= sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > left)
			return;
		message_came(n, p, h.nlmsg_len, h.nlmsg_type);
		p += min((size_t)NLMSG_ALIGN(h.nlmsg_len), left);
		left -= min((size_t)NLMSG_ALIGN(h.nlmsg_len), left);
	}
}

/* ---- the socket --------------------------------------------------------------------------------- */

static void wait_more(struct tcmu_netlink *n);

static void end(struct tcmu_netlink *n)
{
	if (n->fd >= 0)
		io_close(n->control, n->fd);
	n->fd = -1;
	n->closed(n->arg);
}

static void came(struct io_op *op, int res)
{
	struct tcmu_netlink *n = container_of(op, struct tcmu_netlink, poll);
	static uint8_t buf[16384];
	ssize_t len = -1;

	for (unsigned i = 0; res > 0 && !n->closing && i < MESSAGES_MAX; i++) {
		len = recv(n->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (len > 0)
			packet_came(n, buf, (size_t)len);
		else if (len < 0 && errno == ENOBUFS)
			n->ready(n->arg); /* messages are lost */
		else
			break;
	}
	if (n->closing)
		end(n);
	else if (res > 0 && len != 0)
		wait_more(n);
	else
		log_warn("tcmu: the kernel does not tell of its devices any more");
}

static void wait_more(struct tcmu_netlink *n)
{
	n->poll = (struct io_op){ .verb = IO_POLL, .fd = n->fd, .events = POLLIN, .done = came };
	io_submit(n->control, &n->poll);
}

void tcmu_netlink_open(struct tcmu_netlink *n, struct reactor *control, const struct tcmu_sys *sys)
{
	n->control = control;
	n->sys = sys;
	n->family = 0;
	n->closing = false;
	n->poll = (struct io_op){ 0 };
	n->fd = sys->netlink();
	if (n->fd < 0)
		return;
	sys->join(n->fd, NOTIFY_GROUP);
	wait_more(n);
	tcmu_netlink_ask(n);
}

void tcmu_netlink_close(struct tcmu_netlink *n, void (*closed)(void *arg))
{
	n->closing = true;
	n->closed = closed;
	if (io_pending(&n->poll))
		io_cancel(&n->poll);
	else
		end(n);
}
