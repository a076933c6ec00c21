/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach and detach: the kernel's objects of a device, made and removed by way of configfs, on an offload thread,
 * because the kernel waits there for replies of ours and for answers of our reactors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "transport/tcmu/life.h"

#define HBA 3260 /* ours: user_3260, so that no name of another tool is in the way */
#define SERVE_NS (10 * NSEC_PER_SEC) /* for a device that was made to serve, or one removed to go */
#define LOOK_NS (10 * NSEC_PER_MSEC)
#define DISK_TRIES 500
#define DISK_USEC 20000

/* ---- steps ----------------------------------------------------------------------------------- */

static void finish(struct tcmu_attach *a)
{
	struct tcmu_server *s = a->server;

	list_del(&a->link);
	a->done(a, a->err.code ? &a->err : NULL);
	tcmu_job_ended(s);
}

static void ran(struct offload *o)
{
	struct tcmu_attach *a = container_of(o, struct tcmu_attach, job);

	a->next(a);
}

static void run(struct tcmu_attach *a, void (*fn)(struct offload *o),
		void (*next)(struct tcmu_attach *a))
{
	a->next = next;
	a->job = (struct offload){ .run = fn, .done = ran };
	offload_submit(a->server->control, &a->job, OFFLOAD_SLOW);
}

static struct tcmu_attach *attach_of(struct offload *o)
{
	return container_of(o, struct tcmu_attach, job);
}

/* ---- names -------------------------------------------------------------------------------------- */

static const char *fabric_name(enum tcmu_fabric f)
{
	return f == TCMU_FABRIC_LOOP ? "loopback" : "vhost";
}

static const char *fabric_module(enum tcmu_fabric f)
{
	return f == TCMU_FABRIC_LOOP ? "tcm_loop" : "vhost_scsi";
}

/* Where the fabric's port of @core is. The name is made of the core device's alone, so clean-up finds it. */
static void port_path(const struct tcmu_server *s, const char *core, enum tcmu_fabric f, char *out,
		      char wwn[24])
{
	uint8_t naa[8];

	tcmu_name_wwn(wwn, fabric_name(f), core, naa);
	tcmu_path(out, "%s/target/%s/%s", s->configfs, fabric_name(f), wwn);
}

static int core_path(const struct tcmu_server *s, const char *core, const char *file, char *out)
{
	return tcmu_path(out, "%s/target/core/%s%s%s", s->configfs, core, *file ? "/" : "", file);
}

/* ---- writing --------------------------------------------------------------------------------------- */

static int put(struct tcmu_attach *a, const char *base, const char *file, const char *text)
{
	char path[TCMU_PATH_MAX];
	int res = tcmu_path(path, "%s/%s", base, file);

	return res ? res : a->server->sys->write_text(path, text);
}

static int must_put(struct tcmu_attach *a, const char *base, const char *file, const char *text)
{
	int res = put(a, base, file, text);

	if (!res)
		return 0;
	return err_set(&a->err, res,
		       "%s/%s does not take \"%.100s\": %s; the kernel's log says more", base, file,
		       text, strerror(-res));
}

static int make_dir(struct tcmu_attach *a, const char *path)
{
	int res = a->server->sys->make_dir(path);

	if (!res || res == -EEXIST)
		return 0;
	return err_set(&a->err, res, "%s cannot be made: %s%s", path, strerror(-res),
		       res == -EACCES || res == -EPERM ? "; the daemon has to run as root" : "");
}

static bool is_there(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

/* ---- the core device ----------------------------------------------------------------------------------- */

static int need_core(struct tcmu_attach *a)
{
	struct tcmu_server *s = a->server;
	char path[TCMU_PATH_MAX];

	if (tcmu_path(path, "%s/target/core", s->configfs))
		return err_set(&a->err, -ENAMETOOLONG, "the path of configfs is too long");
	s->sys->load("target_core_user");
	if (is_there(path))
		return 0;
	if (!is_there(s->configfs))
		return err_set(
			&a->err, -ENODEV,
			"there is no %s: this kernel has no configfs, or its module is not loaded",
			s->configfs);
	return err_set(
		&a->err, -ENODEV,
		"there is no %s: either the module target_core_user cannot be loaded (modprobe "
		"target_core_user says why), or configfs is not mounted (mount -t configfs "
		"configfs %s)",
		path, s->configfs);
}

/* An attach that failed half-way, perhaps of a daemon that was killed, has left a device that was never enabled. */
static int may_use(struct tcmu_attach *a, const char *core)
{
	char path[TCMU_PATH_MAX], text[16] = "";

	if (tcmu_path(path, "%s/enable", core) || tcmu_read_line(path, text, sizeof(text)) ||
	    strcmp(text, "1"))
		return 0;
	return err_set(&a->err, -EEXIST, "%s is in use already: detach it first", core);
}

static int configure(struct tcmu_attach *a, const char *core)
{
	char config[TCMU_CONFIG_MAX], text[TCMU_CONFIG_MAX + 128];
	int res;

	tcmu_name_config(config, a->target, a->lun, a->shared);
	snprintf(text, sizeof(text), "dev_config=%s,dev_size=%llu,hw_block_size=%u", config,
		 (unsigned long long)a->size, a->block_size);
	res = must_put(a, core, "control", text);
	if (res)
		return res;
	/*
	 * No time-out in the kernel: it would forget commands that still run, and what is sent again could be
	 * overtaken by the first try. Initiators have time-outs, and abort.
	 */
	put(a, core, "attrib/cmd_time_out", "0");
	put(a, core, "attrib/tmr_notification", "1"); /* Linux 5.10 */
	if (*a->serial)
		put(a, core, "wwn/vpd_unit_serial", a->serial);
	return must_put(a, core, "enable", "1");
}

static void make_core(struct offload *o)
{
	struct tcmu_attach *a = attach_of(o);
	char hba[TCMU_PATH_MAX], core[TCMU_PATH_MAX];

	if (need_core(a) || tcmu_path(hba, "%s/target/core/user_%u", a->server->configfs, HBA) ||
	    core_path(a->server, a->core, "", core) || make_dir(a, hba) || may_use(a, core) ||
	    make_dir(a, core))
		return;
	a->made_core = true;
	configure(a, core);
}

/* ---- the fabric ------------------------------------------------------------------------------------------- */

static int need_fabric(struct tcmu_attach *a)
{
	char path[TCMU_PATH_MAX];

	a->server->sys->load(fabric_module(a->fabric));
	if (tcmu_path(path, "%s/target/%s", a->server->configfs, fabric_name(a->fabric)))
		return -ENAMETOOLONG;
	if (!make_dir(a, path))
		return 0;
	return err_set(&a->err, -ENODEV, "the kernel has no %s fabric: modprobe %s says why",
		       fabric_name(a->fabric), fabric_module(a->fabric));
}

/* The link, which brings the disk: the kernel sends the first commands before this returns. */
static int link_core(struct tcmu_attach *a, const char *lun)
{
	char to[TCMU_PATH_MAX], link[TCMU_PATH_MAX];

	if (core_path(a->server, a->core, "", to) || tcmu_path(link, "%s/disk", lun))
		return err_set(&a->err, -ENAMETOOLONG, "the path of configfs is too long");
	if (!symlink(to, link) || errno == EEXIST)
		return 0;
	return err_set(&a->err, -errno, "%s cannot be made: %s; the kernel's log says more", link,
		       strerror(errno));
}

static int make_port(struct tcmu_attach *a)
{
	char port[TCMU_PATH_MAX], group[TCMU_PATH_MAX], lun[TCMU_PATH_MAX], nexus[24];
	uint8_t naa[8];

	port_path(a->server, a->core, a->fabric, port, a->wwn);
	tcmu_name_wwn(nexus, "nexus", a->core, naa);
	if (tcmu_path(group, "%s/tpgt_1", port) || tcmu_path(lun, "%s/lun/lun_0", group))
		return err_set(&a->err, -ENAMETOOLONG, "the path of configfs is too long");
	a->made_fabric = true;
	if (make_dir(a, port) || make_dir(a, group))
		return a->err.code;
	put(a, group, "nexus", nexus); /* -EEXIST if it was half made before */
	return make_dir(a, lun) ? a->err.code : link_core(a, lun);
}

static int find_disk(struct tcmu_attach *a)
{
	for (unsigned i = 0; i < DISK_TRIES; i++) {
		tcmu_find_block(a->server, a->core, a->block, sizeof(a->block));
		if (*a->block)
			return 0;
		usleep(DISK_USEC);
	}
	return err_set(&a->err, -ETIMEDOUT,
		       "the kernel has not made a disk of it: its log says why; is sd_mod loaded?");
}

static void make_fabric(struct offload *o)
{
	struct tcmu_attach *a = attach_of(o);

	if (need_fabric(a) || make_port(a))
		return;
	if (a->fabric == TCMU_FABRIC_LOOP)
		find_disk(a);
}

/* ---- removing ------------------------------------------------------------------------------------------------- */

static void remove_links(const char *lun)
{
	CLEANUP_CLOSEDIR DIR *dir = opendir(lun);
	char path[TCMU_PATH_MAX];
	struct dirent *de;

	while (dir && (de = readdir(dir)))
		if (de->d_type == DT_LNK && !tcmu_path(path, "%s/%s", lun, de->d_name))
			unlink(path);
}

static void remove_port(const struct tcmu_server *s, const char *core, enum tcmu_fabric f)
{
	char port[TCMU_PATH_MAX], group[TCMU_PATH_MAX], lun[TCMU_PATH_MAX], wwn[24];

	port_path(s, core, f, port, wwn);
	if (!is_there(port) || tcmu_path(group, "%s/tpgt_1", port) ||
	    tcmu_path(lun, "%s/lun/lun_0", group))
		return;
	remove_links(lun);
	s->sys->remove_dir(lun);
	s->sys->remove_dir(group);
	s->sys->remove_dir(port);
}

/* What is there of it, in the reverse order. 0 or -errno. */
static int remove_all(const struct tcmu_server *s, const char *core)
{
	char path[TCMU_PATH_MAX];
	int res;

	remove_port(s, core, TCMU_FABRIC_LOOP);
	remove_port(s, core, TCMU_FABRIC_VHOST);
	if (core_path(s, core, "", path))
		return -ENAMETOOLONG;
	res = s->sys->remove_dir(path);
	if (!tcmu_path(path, "%s/target/core/user_%u", s->configfs, HBA))
		s->sys->remove_dir(path); /* if it was the last */
	return res == -ENOENT ? 0 : res;
}

static void undo(struct offload *o)
{
	struct tcmu_attach *a = attach_of(o);

	if (a->made_core)
		remove_all(a->server, a->core);
}

static void fail(struct tcmu_attach *a)
{
	*a->block = *a->wwn = '\0';
	run(a, undo, finish);
}

/* ---- attach ----------------------------------------------------------------------------------------------------- */

static struct tcmu_device *find_core(struct tcmu_server *s, const char *core)
{
	struct tcmu_device *d;

	list_for_each(d, &s->devices, link)
		if (!d->removed && !strcmp(d->core, core))
			return d;
	return NULL;
}

static void fabric_made(struct tcmu_attach *a)
{
	struct tcmu_device *d = find_core(a->server, a->core);

	if (a->err.code) {
		fail(a);
		return;
	}
	if (d)
		memcpy(d->block, a->block, sizeof(d->block));
	finish(a);
}

static void wait_served(struct timer *t)
{
	struct tcmu_attach *a = container_of(t, struct tcmu_attach, timer);
	struct tcmu_server *s = a->server;
	const struct tcmu_device *d = find_core(s, a->core);
	bool late = reactor_now(s->control) > a->give_up || s->stopping;

	if (!d) /* the kernel did not say */
		tcmu_scan(s);
	if (d && d->state == TCMU_SERVES) {
		if (a->fabric == TCMU_FABRIC_NONE)
			finish(a);
		else
			run(a, make_fabric, fabric_made);
	} else if (late || (d && d->state == TCMU_WAITS && !d->again)) {
		err_set(&a->err, d ? -EBUSY : -ENODEV, "%s is not served: %s", a->core,
			d ? d->why : "the kernel does not show it in /sys/class/uio");
		fail(a);
	} else {
		timer_arm(s->control, &a->timer, LOOK_NS, wait_served);
	}
}

static void core_made(struct tcmu_attach *a)
{
	if (a->err.code) {
		fail(a);
		return;
	}
	a->give_up = reactor_now(a->server->control) + SERVE_NS;
	wait_served(&a->timer);
}

static bool name_is_good(const char *name)
{
	return *name != '.' &&
	       name[strspn(name,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
		       '\0';
}

/* Two at a time would undo each other's halves. */
static int check_alone(const struct tcmu_server *s, const char *core, struct err *e)
{
	const struct tcmu_attach *a;

	list_for_each(a, &s->attaches, link)
		if (!strcmp(a->core, core))
			return err_set(e, -EBUSY,
				       "%s is being attached or detached already: try again when "
				       "that has ended",
				       core);
	return 0;
}

static void begin(struct tcmu_server *s, struct tcmu_attach *a)
{
	list_add(&s->attaches, &a->link);
	a->server = s;
	a->err.code = 0;
	a->timer = (struct timer){ 0 };
	a->made_core = a->made_fabric = false;
	*a->block = *a->wwn = '\0';
}

int tcmu_attach(struct tcmu_server *s, struct tcmu_attach *a, struct err *e)
{
	char config[TCMU_CONFIG_MAX];

	if (s->stopping)
		return err_set(e, -EINVAL, "the daemon is ending");
	if (!*a->name)
		snprintf(a->name, sizeof(a->name), "stgt.%u.%llu", a->tid,
			 (unsigned long long)a->lun);
	if (!name_is_good(a->name))
		return err_set(e, -EINVAL,
			       "\"%s\" is no name for a device: letters, digits, '.', '_' and '-'",
			       a->name);
	snprintf(a->core, sizeof(a->core), "user_%u/%s", HBA, a->name);
	tcmu_name_config(config, a->target, a->lun, a->shared);
	if (strlen(config) > TCMU_CONFIG_MAX - 2 || strpbrk(a->target, ",/ \t\r\n"))
		return err_set(
			e, -EINVAL,
			"the kernel does not take the target's name: it is too long, or has "
			"a comma, slash or space: such a LUN needs a target of another name");
	if (find_core(s, a->core))
		return err_set(e, -EEXIST, "%s is attached already", a->core);
	if (!a->shared && tcmu_find(s, a->target, a->lun))
		return err_set(e, -EEXIST, "LUN %llu of %s is attached already: detach it first",
			       (unsigned long long)a->lun, a->target);
	if (check_alone(s, a->core, e))
		return e->code;
	begin(s, a);
	run(a, make_core, core_made);
	return 0;
}

/* ---- detach ------------------------------------------------------------------------ */

/* A disk that is mounted, or in use otherwise, cannot be opened exclusively. */
static bool in_use(struct tcmu_attach *a)
{
	char path[TCMU_PATH_MAX];
	int fd, res;

	tcmu_find_block(a->server, a->core, a->block, sizeof(a->block));
	if (!*a->block || tcmu_path(path, "%s%s", a->server->dev, a->block + strlen("/dev")))
		return false;
	fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	res = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return res == EBUSY;
}

static void remove_device(struct offload *o)
{
	struct tcmu_attach *a = attach_of(o);
	int res;

	if (in_use(a)) {
		err_set(&a->err, -EBUSY, "%s is in use: unmount it, or end what else has it",
			a->block);
		return;
	}
	res = remove_all(a->server, a->core);
	if (res)
		err_set(&a->err, res,
			"%s cannot be removed from configfs: %s; another fabric may still have a "
			"link to it: remove that first",
			a->core, strerror(-res));
}

static bool is_listed(struct tcmu_server *s, const char *core)
{
	const struct tcmu_device *d;

	list_for_each(d, &s->devices, link)
		if (!strcmp(d->core, core))
			return true;
	return false;
}

static void wait_gone(struct timer *t)
{
	struct tcmu_attach *a = container_of(t, struct tcmu_attach, timer);
	struct tcmu_server *s = a->server;

	if (!is_listed(s, a->core) || s->stopping) {
		finish(a);
	} else if (reactor_now(s->control) > a->give_up) {
		err_set(&a->err, -ETIMEDOUT, "%s does not end: its store still has commands",
			a->core);
		finish(a);
	} else {
		timer_arm(s->control, &a->timer, LOOK_NS, wait_gone);
	}
}

static void core_removed(struct tcmu_attach *a)
{
	if (a->err.code) {
		finish(a);
		return;
	}
	a->give_up = reactor_now(a->server->control) + SERVE_NS;
	wait_gone(&a->timer);
}

/* Where several share a LUN: one that attach made. */
static const struct tcmu_device *find_attached(struct tcmu_server *s, const struct tcmu_attach *a)
{
	const struct tcmu_device *d;

	list_for_each(d, &s->devices, link)
		if (!d->removed && d->name.hba == HBA && d->name.lun == a->lun &&
		    !strcmp(d->name.target, a->target))
			return d;
	return tcmu_find(s, a->target, a->lun);
}

int tcmu_detach(struct tcmu_server *s, struct tcmu_attach *a, struct err *e)
{
	const struct tcmu_device *d = find_attached(s, a);

	if (!d)
		return err_set(e, -ENOENT, "LUN %llu of %s is not attached",
			       (unsigned long long)a->lun, a->target);
	if (d->name.hba != HBA)
		return err_set(
			e, -EINVAL,
			"%s was not made by attach: remove it in configfs, where it was made",
			d->core);
	snprintf(a->core, sizeof(a->core), "%s", d->core);
	if (check_alone(s, a->core, e))
		return e->code;
	begin(s, a);
	run(a, remove_device, core_removed);
	return 0;
}
