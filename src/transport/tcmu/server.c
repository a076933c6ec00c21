/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of the kernel: found in sysfs at start, told of by netlink from then on. On control. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/tcmu/life.h"
#include "transport/tcmu/uapi.h"

#define FOREIGN_NS (5 * NSEC_PER_SEC)
#define FOREIGN_MAX 256

/* An event about a device that another handler has to answer for. */
struct foreign {
	struct list link;
	struct tcmu_server *server;
	struct timer timer;
	unsigned cmd;
	uint32_t id;
};

/* ---- devices -------------------------------------------------------------------------------- */

static struct tcmu_device *by_minor(struct tcmu_server *s, unsigned minor)
{
	struct tcmu_device *d;

	list_for_each(d, &s->devices, link)
		if (d->minor == minor && !d->removed)
			return d;
	return NULL;
}

static struct tcmu_device *add(struct tcmu_server *s, unsigned minor, const struct tcmu_name *n)
{
	struct tcmu_device *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->server = s;
	d->name = *n;
	d->minor = minor;
	d->fd = -1;
	d->state = TCMU_WAITS;
	snprintf(d->core, sizeof(d->core), "user_%u/%s", n->hba, n->device);
	list_add(&s->devices, &d->link);
	log_info("tcmu %s: a device for LUN %llu of %s%s", d->core, (unsigned long long)n->lun,
		 n->target, n->shared ? ", shared" : "");
	return d;
}

/* The device of this number and name: known, or made. NULL and *@status: it is none of ours (-ENOENT), or cannot be. */
static struct tcmu_device *get(struct tcmu_server *s, unsigned minor, const char *text, int *status)
{
	struct tcmu_device *d = by_minor(s, minor);
	struct tcmu_name n;
	struct err e;

	*status = tcmu_name_parse(&n, text, &e);
	if (*status) {
		if (*status != -ENOENT)
			log_err("tcmu %.128s: %s", text, e.text);
		return NULL;
	}
	if (d && d->name.hba == n.hba && !strcmp(d->name.device, n.device))
		return d;
	if (d) /* its end was not told */
		tcmu_remove(d, false, 0);
	d = add(s, minor, &n);
	*status = d ? 0 : -ENOMEM;
	return d;
}

static void scanned(void *arg, unsigned minor, const char *name)
{
	struct tcmu_server *s = arg;
	int status;
	struct tcmu_device *d = get(s, minor, name, &status);

	if (d)
		tcmu_try(d);
}

void tcmu_scan(struct tcmu_server *s)
{
	struct tcmu_device *d, *tmp;

	if (s->stopping)
		return;
	list_for_each_safe(d, tmp, &s->devices, link)
		tcmu_check(d);
	tcmu_each_uio(s->sysfs, scanned, s);
}

/* ---- events ------------------------------------------------------------------------------------- */

static void forget(struct foreign *f)
{
	timer_cancel(f->server->control, &f->timer);
	list_del(&f->link);
	free(f);
}

static void nobody_answered(struct timer *t)
{
	struct foreign *f = container_of(t, struct foreign, timer);

	/* if somebody did, the kernel knows of no question any more, and says so to us alone */
	tcmu_netlink_reply(&f->server->netlink, f->cmd, f->id,
			   f->cmd == TCMU_CMD_REMOVED_DEVICE ? 0 : -ENODEV);
	forget(f);
}

/*
 * Another handler may be there for it. But that replies are promised was our doing, and without one the kernel
 * would wait for ever.
 */
static void leave_to_others(struct tcmu_server *s, const struct tcmu_event *ev)
{
	struct foreign *f, *g, *tmp;
	unsigned n = 0;

	if (!ev->has_id)
		return;
	/*
	 * The kernel asks one thing of a device at a time: what was asked before has been answered. An answer to
	 * that would undo this question, which then nobody could answer.
	 */
	list_for_each_safe(g, tmp, &s->foreign, link)
		if (g->id == ev->id)
			forget(g);
	list_for_each(g, &s->foreign, link)
		n++;
	f = n < FOREIGN_MAX ? calloc(1, sizeof(*f)) : NULL;
	if (!f) {
		tcmu_netlink_reply(&s->netlink, ev->cmd, ev->id, -ENODEV);
		return;
	}
	f->server = s;
	f->cmd = ev->cmd;
	f->id = ev->id;
	list_add(&s->foreign, &f->link);
	timer_arm(s->control, &f->timer, FOREIGN_NS, nobody_answered);
}

static void answer(struct tcmu_server *s, const struct tcmu_event *ev, int status)
{
	if (ev->has_id)
		tcmu_netlink_reply(&s->netlink, ev->cmd, ev->id, status);
}

/* `enable` hangs until it is answered, so that comes before all that takes time. */
static void added(struct tcmu_server *s, const struct tcmu_event *ev)
{
	int status;
	struct tcmu_device *d = get(s, ev->minor, ev->device, &status);

	if (status == -ENOENT) {
		leave_to_others(s, ev);
		return;
	}
	answer(s, ev, status);
	if (d)
		tcmu_try(d);
}

static void removed(struct tcmu_server *s, const struct tcmu_event *ev)
{
	struct tcmu_device *d = by_minor(s, ev->minor);
	struct tcmu_name n;
	struct err e;

	if (d)
		tcmu_remove(d, ev->has_id, ev->id);
	else if (tcmu_name_parse(&n, ev->device, &e) == -ENOENT)
		leave_to_others(s, ev);
	else
		answer(s, ev, 0);
}

static int other_config(const struct tcmu_device *d, const char *config)
{
	char text[512];
	struct tcmu_name n;
	struct err e;
	int res;

	snprintf(text, sizeof(text), "tcm-user/%u/%s/%s", d->name.hba, d->name.device, config);
	res = tcmu_name_parse(&n, text, &e);
	if (res == -EINVAL)
		log_err("tcmu %s: %s", d->core, e.text);
	if (res)
		return -EINVAL;
	if (!strcmp(n.target, d->name.target) && n.lun == d->name.lun && n.shared == d->name.shared)
		return 0;
	log_err("tcmu %s: another LUN needs another device: remove this one first", d->core);
	return -EBUSY;
}

static int other_size(const struct tcmu_device *d, uint64_t size)
{
	uint64_t bytes = atomic_load(&d->side.bytes);

	if (!d->serving || !bytes || size == bytes)
		return 0;
	log_err("tcmu %s: its size is that of the LU, %llu bytes: resize the LU", d->core,
		(unsigned long long)bytes);
	return -EINVAL;
}

static int other_cache(const struct tcmu_device *d)
{
	log_err("tcmu %s: the write cache is the LU's: its caching mode page says whether there is "
		"one",
		d->core);
	return -EOPNOTSUPP;
}

static void reconfigured(struct tcmu_server *s, const struct tcmu_event *ev)
{
	const struct tcmu_device *d = by_minor(s, ev->minor);
	int status = 0;

	if (!d) {
		leave_to_others(s, ev);
		return;
	}
	if (ev->has_config)
		status = other_config(d, ev->config);
	else if (ev->has_size)
		status = other_size(d, ev->size);
	else if (ev->has_cache)
		status = other_cache(d);
	answer(s, ev, status);
}

void tcmu_event(void *arg, const struct tcmu_event *ev)
{
	switch (ev->cmd) {
	case TCMU_CMD_ADDED_DEVICE:
		added(arg, ev);
		break;
	case TCMU_CMD_REMOVED_DEVICE:
		removed(arg, ev);
		break;
	case TCMU_CMD_RECONFIG_DEVICE:
		reconfigured(arg, ev);
		break;
	default:
		break;
	}
}

/*
 * The kernel's family is there. What it asked a daemon that is gone will never be answered: it is told to give up,
 * which fails that `enable`.
 */
static void netlink_ready(void *arg)
{
	static const char *const steps[][2] = { { "block_netlink", "1" },
						{ "reset_netlink", "1" },
						{ "block_netlink", "0" } };
	struct tcmu_server *s = arg;
	char path[TCMU_PATH_MAX];

	for (unsigned i = 0; i < array_size(steps); i++)
		if (!tcmu_path(path, "%s/module/target_core_user/parameters/%s", s->sysfs,
			       steps[i][0]))
			s->sys->write_text(path, steps[i][1]);
	tcmu_scan(s);
}

/* ---- what control asks ------------------------------------------------------------------------------ */

void tcmu_look_again(struct tcmu_server *s)
{
	struct tcmu_device *d, *tmp;

	list_for_each_safe(d, tmp, &s->devices, link)
		tcmu_try(d);
}

struct tcmu_device *tcmu_device_next(struct tcmu_server *s, const struct tcmu_device *prev)
{
	const struct list *l = prev ? prev->link.next : s->devices.next;

	return l == &s->devices ? NULL : list_entry(l, struct tcmu_device, link);
}

void tcmu_device_info(const struct tcmu_device *d, struct tcmu_device_info *i)
{
	memset(i, 0, sizeof(*i));
	snprintf(i->name, sizeof(i->name), "%s", d->core);
	i->minor = d->minor;
	snprintf(i->target, sizeof(i->target), "%s", d->name.target);
	i->lun = d->name.lun;
	i->shared = d->name.shared;
	i->state = d->state;
	snprintf(i->why, sizeof(i->why), "%s", d->why);
	i->sid = d->sid;
	i->commands = atomic_load(&d->side.commands);
	snprintf(i->block, sizeof(i->block), "%s", d->block);
	if (d->state == TCMU_SERVES && !d->telling) /* for whoever asks next */
		tcmu_tell((struct tcmu_device *)d, true);
}

struct tcmu_device *tcmu_find(struct tcmu_server *s, const char *target, uint64_t lun)
{
	struct tcmu_device *d, *found = NULL;

	list_for_each(d, &s->devices, link) {
		if (d->removed || d->name.lun != lun || strcmp(d->name.target, target))
			continue;
		if (d->serving)
			return d;
		if (!found)
			found = d;
	}
	return found;
}

void tcmu_get_live(const struct tcmu_server *s, struct tcmu_live *l)
{
	*l = (struct tcmu_live){ .devices = atomic_load(&s->served) };
	for (unsigned i = 0; i < REACTORS_MAX; i++) {
		const struct tcmu_counts *c = &s->counts[i];

		l->tasks -= __atomic_load_n(&c->ended, __ATOMIC_RELAXED);
		l->commands += __atomic_load_n(&c->begun, __ATOMIC_RELAXED);
		l->unknown_entries += __atomic_load_n(&c->unknown_entries, __ATOMIC_RELAXED);
		l->ring_errors += __atomic_load_n(&c->ring_errors, __ATOMIC_RELAXED);
		l->tmr += __atomic_load_n(&c->tmr, __ATOMIC_RELAXED);
	}
	l->tasks += l->commands;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static void free_server(struct tcmu_server *s)
{
	free(s->sysfs);
	free(s->dev);
	free(s->configfs);
	free(s);
}

static char *copy(const char *path, const char *usual)
{
	return strdup(path ? path : usual);
}

struct tcmu_server *tcmu_server_create(struct targets *ts, const struct tcmu_opts *o, struct err *e)
{
	static const struct tcmu_opts usual;
	struct tcmu_server *s = aligned_alloc(64, round_up(sizeof(*s), 64));

	if (s)
		memset(s, 0, sizeof(*s));
	if (!o)
		o = &usual;
	if (s) {
		s->sysfs = copy(o->sysfs, "/sys");
		s->dev = copy(o->dev, "/dev");
		s->configfs = copy(o->configfs, "/sys/kernel/config");
	}
	if (!s || !s->sysfs || !s->dev || !s->configfs) {
		if (s)
			free_server(s);
		err_set(e, -ENOMEM, "no memory for TCMU devices");
		return NULL;
	}
	s->ts = ts;
	s->control = ts->control;
	s->sys = o->sys ? o->sys : &tcmu_linux;
	list_init(&s->devices);
	list_init(&s->foreign);
	list_init(&s->attaches);
	s->netlink.event = tcmu_event;
	s->netlink.ready = netlink_ready;
	s->netlink.arg = s;
	tcmu_netlink_open(&s->netlink, s->control, s->sys);
	tcmu_scan(s);
	return s;
}

static void netlink_closed(void *arg)
{
	struct tcmu_server *s = arg;

	s->stop_done(s->stop_arg);
}

static bool has_job(const struct tcmu_server *s, const struct tcmu_device *d)
{
	const struct tcmu_attach *a;

	list_for_each(a, &s->attaches, link)
		if (!strcmp(a->core, d->core))
			return true;
	return false;
}

/* But those of jobs, which wait for the kernel, which waits for our answers. */
static void stop_devices(struct tcmu_server *s)
{
	struct tcmu_device *d;

	list_for_each(d, &s->devices, link)
		if (d->serving && !has_job(s, d))
			tcmu_side_stop(d, s->grace_ns);
}

void tcmu_job_ended(struct tcmu_server *s)
{
	const struct tcmu_device *d;

	if (!s->stopping || s->stopped)
		return;
	stop_devices(s);
	if (!list_empty(&s->attaches))
		return;
	list_for_each(d, &s->devices, link)
		if (d->serving || d->opening || d->claiming || d->telling)
			return;
	s->stopped = true;
	tcmu_netlink_close(&s->netlink, netlink_closed);
}

void tcmu_server_stop(struct tcmu_server *s, uint64_t grace_ns, void (*done)(void *arg), void *arg)
{
	struct foreign *f, *tmp;

	s->stopping = true;
	s->grace_ns = grace_ns;
	s->stop_done = done;
	s->stop_arg = arg;
	timer_cancel(s->control, &s->retry);
	list_for_each_safe(f, tmp, &s->foreign, link) /* nobody would any more */
		nobody_answered(&f->timer);
	tcmu_job_ended(s);
}

void tcmu_server_destroy(struct tcmu_server *s)
{
	struct list *l;

	while ((l = list_pop(&s->devices))) {
		struct tcmu_device *d = list_entry(l, struct tcmu_device, link);

		timer_cancel(s->control, &d->reply_timer);
		free(d);
	}
	free_server(s);
}
