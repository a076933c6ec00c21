/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "store/store.h"
#include "transport/tcmu/uapi.h"

#define FAMILY 29
#define GROUP 5

struct world world;

#define must(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #cond, \
				strerror(errno)); \
			abort(); \
		} \
	} while (0)

/* ---- files ----------------------------------------------------------------------------- */

static char *path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *path(const char *fmt, ...)
{
	static _Thread_local char out[4][1024];
	static _Thread_local unsigned at;
	char *p = out[at++ % 4];
	int n = snprintf(p, 1024, "%s/", world.dir);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p + n, 1024 - (size_t)n, fmt, ap);
	va_end(ap);
	return p;
}

static void make_dirs(const char *dir)
{
	char copy[1300];

	snprintf(copy, sizeof(copy), "%s", dir);
	for (char *c = copy + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		mkdir(copy, 0700);
		*c = '/';
	}
	mkdir(copy, 0700);
}

static void put_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0);
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static int remove_entry(const char *name, const struct stat *st, int flag, struct FTW *f)
{
	return remove(name);
}

static void remove_tree(const char *name)
{
	nftw(name, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- netlink ------------------------------------------------------------------------------ */

struct packet {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	uint8_t attrs[1024];
};

static void packet_begin(struct packet *p, uint16_t type, uint8_t cmd)
{
	memset(p, 0, sizeof(*p));
	p->nl.nlmsg_type = type;
	p->nl.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	p->genl.cmd = cmd;
	p->genl.version = 2;
}

static struct nlattr *packet_put(struct packet *p, uint16_t type, const void *data, uint16_t len)
{
	struct nlattr *a = (struct nlattr *)(void *)((uint8_t *)p + p->nl.nlmsg_len);

	a->nla_type = type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	memcpy(a + 1, data, len);
	p->nl.nlmsg_len += (uint32_t)NLA_ALIGN(a->nla_len);
	return a;
}

static void packet_send(const struct packet *p)
{
	if (world.netlink >= 0)
		must(send(world.netlink, p, p->nl.nlmsg_len, MSG_NOSIGNAL) >= 0 || errno == EPIPE);
}

static uint16_t attrs_len(const struct packet *p)
{
	return (uint16_t)(p->nl.nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
}

void world_tell_family(void)
{
	static const uint16_t family = FAMILY;
	static const uint32_t group = GROUP;
	struct packet p, nest, one;

	packet_begin(&nest, 0, 0);
	packet_put(&nest, CTRL_ATTR_MCAST_GRP_NAME, "config", 7);
	packet_put(&nest, CTRL_ATTR_MCAST_GRP_ID, &group, sizeof(group));
	packet_begin(&p, GENL_ID_CTRL, CTRL_CMD_NEWFAMILY);
	packet_put(&p, CTRL_ATTR_FAMILY_NAME, "TCM-USER", 9);
	packet_put(&p, CTRL_ATTR_FAMILY_ID, &family, sizeof(family));
	packet_begin(&one, 0, 0);
	packet_put(&one, 1, nest.attrs, attrs_len(&nest));
	packet_put(&p, CTRL_ATTR_MCAST_GROUPS, one.attrs, attrs_len(&one));
	packet_send(&p);
}

static void took_reply(const struct packet *p)
{
	const uint8_t *a = p->attrs, *end = (const uint8_t *)p + p->nl.nlmsg_len;

	world.reply_cmd = p->genl.cmd;
	while (a < end) {
		struct nlattr h;

		memcpy(&h, a, sizeof(h));
		if (h.nla_type == TCMU_ATTR_CMD_STATUS)
			memcpy(&world.reply_status, a + NLA_HDRLEN, 4);
		else if (h.nla_type == TCMU_ATTR_DEVICE_ID)
			memcpy(&world.reply_id, a + NLA_HDRLEN, 4);
		a += NLA_ALIGN(h.nla_len);
	}
	world.replies++;
}

static void netlink_step(void)
{
	struct packet p;

	while (world.netlink >= 0 && recv(world.netlink, &p, sizeof(p), MSG_DONTWAIT) > 0) {
		if (p.nl.nlmsg_type == GENL_ID_CTRL && p.genl.cmd == CTRL_CMD_GETFAMILY) {
			if (world.family)
				world_tell_family();
		} else if (p.nl.nlmsg_type == FAMILY && p.genl.cmd == TCMU_CMD_SET_FEATURES) {
			must(world.listens); /* whoever promises replies listens */
			world.promised = true;
		} else if (p.nl.nlmsg_type == FAMILY) {
			took_reply(&p);
		}
	}
}

static void event_begin(struct packet *p, unsigned cmd, unsigned minor, const char *name)
{
	uint32_t id = 1000 + minor;

	packet_begin(p, FAMILY, (uint8_t)cmd);
	packet_put(p, TCMU_ATTR_DEVICE, name, (uint16_t)(strlen(name) + 1));
	packet_put(p, TCMU_ATTR_MINOR, &minor, sizeof(minor));
	packet_put(p, TCMU_ATTR_DEVICE_ID, &id, sizeof(id));
}

void world_tell(unsigned cmd, unsigned minor, const char *name)
{
	struct packet p;

	event_begin(&p, cmd, minor, name);
	packet_send(&p);
}

void world_reconfig(unsigned minor, uint16_t type, const void *data, uint16_t len)
{
	struct packet p;

	event_begin(&p, TCMU_CMD_RECONFIG_DEVICE, minor, world.uio[minor].name);
	packet_put(&p, type, data, len);
	packet_send(&p);
}

/* ---- uio --------------------------------------------------------------------------------------- */

static size_t uio_bytes(void)
{
	return kernel_bytes(WORLD_CMDR);
}

static void uio_step(struct uio *u)
{
	int32_t on;

	while (u->there && u->fd >= 0 && recv(u->fd, &on, sizeof(on), MSG_DONTWAIT) == sizeof(on)) {
		u->notified++;
		kernel_complete(&u->k);
	}
}

static void uio_make(struct uio *u)
{
	void *map;

	u->memory = memfd_create("uio", MFD_CLOEXEC);
	must(u->memory >= 0 && !ftruncate(u->memory, (off_t)uio_bytes()));
	map = mmap(NULL, uio_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, u->memory, 0);
	must(map != MAP_FAILED);
	kernel_init(&u->k, map, WORLD_CMDR);
	u->fd = -1;
	u->there = true;
}

static void uio_unmake(struct uio *u)
{
	if (!u->there)
		return;
	u->there = false;
	if (u->fd >= 0)
		close(u->fd);
	while (u->nstale)
		close(u->stale[--u->nstale]);
	munmap(u->k.map, uio_bytes());
	close(u->memory);
	kernel_fini(&u->k);
	u->open = false;
}

static void to_sysfs(unsigned minor)
{
	char size[32];

	make_dirs(path("sys/class/uio/uio%u/maps/map0", minor));
	put_file(path("sys/class/uio/uio%u/name", minor), world.uio[minor].name);
	snprintf(size, sizeof(size), "0x%zx\n", uio_bytes());
	put_file(path("sys/class/uio/uio%u/maps/map0/size", minor), size);
}

unsigned world_add(const char *core, const char *config, bool tell)
{
	unsigned minor = 0, hba = 0;
	const char *device = strchr(core, '/') + 1;

	sscanf(core, "user_%u", &hba);
	while (world.uio[minor].there)
		minor++;
	must(minor < WORLD_UIOS);
	snprintf(world.uio[minor].name, sizeof(world.uio[minor].name), "tcm-user/%u/%s/%s", hba,
		 device, config);
	uio_make(&world.uio[minor]);
	to_sysfs(minor);
	if (tell)
		world_tell(TCMU_CMD_ADDED_DEVICE, minor, world.uio[minor].name);
	return minor;
}

void world_remove(unsigned minor)
{
	remove_tree(path("sys/class/uio/uio%u", minor));
	uio_unmake(&world.uio[minor]);
}

/* The socket pair is new with each open: the other end of the last one shows that it was closed. */
static int fake_open_uio(const char *name, size_t size, void **map)
{
	unsigned minor;
	int sv[2];
	struct uio *u;

	must(sscanf(strrchr(name, '/'), "/uio%u", &minor) == 1 && minor < WORLD_UIOS);
	u = &world.uio[minor];
	if (!u->there)
		return -ENOENT;
	if (u->open)
		return -EBUSY;
	must(size == uio_bytes());
	while (world.hold_open) /* on an offload thread */
		sched_yield();
	must(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv));
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, u->memory, 0);
	must(*map != MAP_FAILED);
	must(u->nstale < array_size(u->stale));
	if (u->fd >= 0)
		u->stale[u->nstale++] = u->fd;
	u->fd = sv[0];
	return sv[1];
}

static int fake_netlink(void)
{
	int sv[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv));
	world.netlink = sv[0];
	return sv[1];
}

static int fake_join(int fd, uint32_t group)
{
	world.listens |= group == GROUP;
	return 0;
}

/* ---- configfs: files come with their folder, and go with it -------------------------------------- */

/*
 * Who writes there waits in the kernel until the handler has replied. The other thread asks, the one that steps the
 * world does it.
 */
static struct {
	pthread_mutex_t one;
	_Atomic int state; /* 1: wanted, 2: told, 3: done */
	bool add;
	char core[64], config[256];
	unsigned minor, replies;
	int status;
} wish = { .one = PTHREAD_MUTEX_INITIALIZER };

static unsigned minor_of(const char *core)
{
	unsigned hba;
	char device[64], want[128];

	must(sscanf(core, "user_%u/%63s", &hba, device) == 2);
	snprintf(want, sizeof(want), "tcm-user/%u/%s/", hba, device);
	for (unsigned i = 0; i < WORLD_UIOS; i++)
		if (world.uio[i].there && !strncmp(world.uio[i].name, want, strlen(want)))
			return i;
	return WORLD_UIOS;
}

static void grant(void)
{
	wish.replies = world.replies;
	if (wish.add) {
		wish.minor = world_add(wish.core, wish.config, !world.silent);
	} else {
		wish.minor = minor_of(wish.core);
		if (wish.minor < WORLD_UIOS)
			world_tell(TCMU_CMD_REMOVED_DEVICE, wish.minor, world.uio[wish.minor].name);
	}
	wish.state = 2;
}

static void wish_step(void)
{
	if (wish.state == 1)
		grant();
	if (wish.state != 2 ||
	    (world.replies == wish.replies && !world.silent && wish.minor < WORLD_UIOS))
		return;
	wish.status = world.silent ? 0 : world.reply_status;
	if (wish.minor < WORLD_UIOS && (!wish.add || wish.status))
		world_remove(wish.minor);
	wish.state = 3;
}

static int ask(bool add, const char *core, const char *config)
{
	int status;

	pthread_mutex_lock(&wish.one);
	wish.add = add;
	snprintf(wish.core, sizeof(wish.core), "%s", core);
	snprintf(wish.config, sizeof(wish.config), "%s", config);
	wish.state = 1;
	while (wish.state != 3)
		usleep(100);
	status = wish.status;
	wish.state = 0;
	pthread_mutex_unlock(&wish.one);
	return status;
}

static int enable(const char *name)
{
	char file[1200], text[512], core[64], *config;
	const char *at = strstr(name, "/target/core/") + strlen("/target/core/");
	FILE *f;

	snprintf(core, sizeof(core), "%.*s", (int)(strrchr(name, '/') - at), at);
	snprintf(file, sizeof(file), "%.*s/control", (int)(strrchr(name, '/') - name), name);
	f = fopen(file, "r");
	must(f && fgets(text, sizeof(text), f));
	fclose(f);
	config = strstr(text, "dev_config=");
	must(config);
	config += strlen("dev_config=");
	config[strcspn(config, ",")] = '\0';
	return ask(true, core, config);
}

static int fake_make_dir(const char *name)
{
	static const char *const core[] = { "control",
					    "enable",
					    "attrib/cmd_time_out",
					    "attrib/tmr_notification",
					    "attrib/dev_size",
					    "wwn/vpd_unit_serial",
					    "action/block_dev",
					    "action/reset_ring" };
	char file[1200];
	const char *at = strstr(name, "/target/core/");

	if (mkdir(name, 0700) < 0)
		return -errno;
	for (unsigned i = 0; at && strchr(at + 13, '/') && i < array_size(core); i++) {
		snprintf(file, sizeof(file), "%s/%s", name, core[i]);
		*strrchr(file, '/') = '\0';
		make_dirs(file);
		snprintf(file, sizeof(file), "%s/%s", name, core[i]);
		put_file(file, "0\n");
	}
	if (strstr(name, "/tpgt_")) {
		snprintf(file, sizeof(file), "%s/nexus", name);
		put_file(file, "");
		snprintf(file, sizeof(file), "%s/address", name);
		put_file(file, "3:0:1\n");
		snprintf(file, sizeof(file), "%s/lun", name);
		make_dirs(file);
	}
	return 0;
}

static int fake_remove_dir(const char *name)
{
	struct stat st;

	const char *at = strstr(name, "/target/core/");

	if (stat(name, &st))
		return -errno;
	if (at && strchr(at + 13, '/'))
		ask(false, at + 13, "");
	remove_tree(name);
	return 0;
}

static int fake_write_text(const char *name, const char *text)
{
	struct stat st;

	if (world.deny && strstr(name, world.deny))
		return -EINVAL;
	if (stat(name, &st))
		return -errno;
	if (strstr(name, "/enable") && strstr(name, "/target/core/")) {
		int res = enable(name);

		if (res)
			return res;
	}
	put_file(name, text);
	if (strstr(name, "/action/block_dev"))
		world.blocks++;
	if (strstr(name, "/action/reset_ring")) {
		world.resets++;
		world.reset_level = text[0] - '0';
		kernel_reset(&world.uio[0].k, text[0] == '1' ? 8 : 2);
	}
	return 0;
}

static int fake_load(const char *module)
{
	if (world.deny_modules)
		return -ENOENT;
	if (!strcmp(module, "target_core_user"))
		make_dirs(path("cfg/target/core"));
	return 0;
}

static const struct tcmu_sys fake = {
	.netlink = fake_netlink,
	.join = fake_join,
	.open_uio = fake_open_uio,
	.make_dir = fake_make_dir,
	.remove_dir = fake_remove_dir,
	.write_text = fake_write_text,
	.load = fake_load,
};

/* ---- up -------------------------------------------------------------------------------------------- */

static struct reactor *make_reactor(const char *name, unsigned id)
{
	struct reactor_opts o = {
		.name = name, .id = id, .engine = &engine_epoll, .buf_cap = MIB(8)
	};
	struct err e = { 0 };
	struct reactor *r = reactor_create(&o, &e);

	must(r);
	return r;
}

void world_step(void)
{
	for (unsigned i = 0; i < WORLD_UIOS; i++)
		uio_step(&world.uio[i]);
	netlink_step();
	wish_step();
	reactor_turn(world.control, 0);
	reactor_turn(world.data[0], 0);
	reactor_turn(world.data[1], 0);
}

void world_never(const char *file, int line, const char *what)
{
	struct tcmu_device *d = NULL;

	fprintf(stderr, "%s:%d: never: %s\n", file, line, what);
	while (world.server && (d = tcmu_device_next(world.server, d)))
		fprintf(stderr, "%s: state %d, %s\n", d->core, d->state, d->why);
	abort();
}

struct opening {
	struct store_open o;
	bool done;
};

static void opened(struct store_open *o)
{
	container_of(o, struct opening, o)->done = true;
}

static struct store *open_store(const char *type)
{
	struct opening w = {
		.o = { .spec = { .type = type, .opts = "size=4M", .block_size = WORLD_BLOCK },
		       .reactors = world.data,
		       .nreactors = 2,
		       .home = world.data[0],
		       .done = opened }
	};

	reactor_turn(world.control, 0);
	store_open(world.control, &w.o);
	world_until(w.done);
	must(w.o.store);
	return w.o.store;
}

static struct lu *make_disk(struct store *st)
{
	struct lu_ident *ident = calloc(1, sizeof(*ident));
	struct lu_config c = { .name = "disk",
			       .ident = ident,
			       .store = st,
			       .block_size = WORLD_BLOCK,
			       .mode = { .wce = true },
			       .reactors = world.data,
			       .nreactors = 2,
			       .home = world.data[0] };
	struct err e = { 0 };
	struct lu *lu;

	must(ident);
	lu = disk_create(&c, &e);
	must(lu);
	return lu;
}

void world_map(uint64_t lun)
{
	struct err e;

	reactor_turn(world.control, 0);
	must(!target_map(&world.ts, world.target, lun, world.lu[lun - 1], NULL, NULL, &e));
	for (unsigned i = 0; i < 10; i++)
		world_step();
}

static void done(void *arg)
{
	*(bool *)arg = true;
}

void world_unmap(uint64_t lun)
{
	bool gone = false;
	struct err e;

	reactor_turn(world.control, 0);
	must(!target_unmap(&world.ts, world.target, lun, done, &gone, &e));
	world_until(gone);
}

void world_begin(void)
{
	struct err e = { 0 };

	memset(&world, 0, sizeof(world));
	world.netlink = -1;
	world.family = true;
	snprintf(world.dir, sizeof(world.dir), "/tmp/stgt-tcmu-XXXXXX");
	must(mkdtemp(world.dir));
	make_dirs(path("sys/class/uio"));
	make_dirs(path("cfg/target/core"));
	make_dirs(path("dev"));
	log_set_level(LOG_LEVEL_ERR);
	must(!cmdset_init());
	world.control = make_reactor("control", REACTORS_MAX);
	world.data[0] = make_reactor("data0", 0);
	world.data[1] = make_reactor("data1", 1);
	for (unsigned i = 0; i < 2; i++) {
		world.store[i] = open_store(i ? "delay:delay_us=20000+mem" : "mem");
		world.lu[i] = make_disk(world.store[i]);
	}
	reactor_turn(world.control, 0);
	must(!targets_init(&world.ts, world.control, world.data, 2, &absent_server, &wlun_server));
	world.target = target_create(&world.ts, 1, WORLD_TARGET, &e);
	must(world.target);
	world_map(1);
	world_map(2);
}

void world_serve(void)
{
	char sysfs[80], dev[80], configfs[80];
	struct tcmu_opts o = { .sysfs = sysfs, .dev = dev, .configfs = configfs, .sys = &fake };
	struct err e;

	snprintf(sysfs, sizeof(sysfs), "%s/sys", world.dir);
	snprintf(dev, sizeof(dev), "%s/dev", world.dir);
	snprintf(configfs, sizeof(configfs), "%s/cfg", world.dir);
	reactor_turn(world.control, 0);
	world.server = tcmu_server_create(&world.ts, &o, &e);
	must(world.server);
	if (world.family)
		world_until(world.promised);
}

/* ---- down -------------------------------------------------------------------------------------------- */

bool world_idle(void)
{
	struct tcmu_live l;

	tcmu_get_live(world.server, &l);
	return !l.tasks && !cmd_live_count();
}

void world_stop_begin(uint64_t grace_ns, bool *stopped)
{
	*stopped = false;
	reactor_turn(world.control, 0);
	tcmu_server_stop(world.server, grace_ns, done, stopped);
}

void world_stop(uint64_t grace_ns)
{
	bool stopped;

	world_stop_begin(grace_ns, &stopped);
	world_until(stopped);
	world_stop_end();
}

void world_stop_end(void)
{
	world_until(world_idle() && list_empty(&world.target->nexuses));
	tcmu_server_destroy(world.server);
	world.server = NULL;
	close(world.netlink);
	world.netlink = -1;
	world.promised = world.listens = false;
}

void world_end(void)
{
	struct bufpool_stats st;
	struct err e;

	if (world.server)
		world_stop(0);
	for (unsigned i = 0; i < 2; i++) {
		bufpool_stats(reactor_bufpool(world.data[i]), &st);
		must(!st.used && !st.reserved);
	}
	reactor_turn(world.control, 0);
	for (uint64_t lun = 1; lun <= 2; lun++)
		if (target_lun(world.target, lun))
			world_unmap(lun);
	for (unsigned i = 0; i < 2; i++) {
		bool closed = false;

		lu_destroy(world.lu[i]);
		store_close(world.control, world.store[i], done, &closed);
		world_until(closed);
	}
	must(!target_destroy(&world.ts, world.target, &e));
	targets_fini(&world.ts);
	reactor_destroy(world.data[0]);
	reactor_destroy(world.data[1]);
	reactor_destroy(world.control);
	for (unsigned i = 0; i < WORLD_UIOS; i++)
		uio_unmake(&world.uio[i]);
	remove_tree(world.dir);
}

/* ---- help ------------------------------------------------------------------------------------------------ */

struct tcmu_device *world_device(unsigned minor)
{
	struct tcmu_device *d = NULL;

	while ((d = tcmu_device_next(world.server, d)))
		if (d->minor == minor)
			return d;
	return NULL;
}

void world_poke(unsigned minor)
{
	struct uio *u = &world.uio[minor];
	int32_t on = 1;

	if (u->fd >= 0)
		send(u->fd, &on, sizeof(on), MSG_DONTWAIT | MSG_NOSIGNAL);
}

struct kernel_cmd *world_run(unsigned minor, const uint8_t *cdb, unsigned cdb_len,
			     enum kernel_dir dir, const void *out, uint32_t len)
{
	struct uio *u = &world.uio[minor];
	uint16_t id = kernel_queue(&u->k, cdb, cdb_len, dir, out, len);

	must(id);
	world_poke(minor);
	world_until(u->k.cmd[id].done);
	must(!u->k.broken);
	return &u->k.cmd[id];
}

struct kernel *world_ready(unsigned minor)
{
	static const uint8_t tur[6];

	world_until(world_device(minor) && world_device(minor)->state == TCMU_SERVES);
	for (unsigned i = 0; i < 4 && world_run(minor, tur, 6, KERNEL_NONE, NULL, 0)->status; i++)
		;
	return &world.uio[minor].k;
}
