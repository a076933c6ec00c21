/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a device on control: it waits for its LUN, reserves it, is opened on an offload thread, claims its nexus,
 * serves, and waits again, until the kernel takes it away. Nothing is taken from its ring before the claim has
 * succeeded.
 *
 * Whoever changes configfs holds locks of it while the kernel waits for our reply: control never looks there, jobs do.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "sam/transport.h"
#include "transport/tcmu/life.h"
#include "transport/tcmu/uapi.h"

#define RETRY_NS (200 * NSEC_PER_MSEC)
#define REPLY_NS (5 * NSEC_PER_SEC) /* the kernel holds up an administrator no longer than this */

/* ---- waiting ------------------------------------------------------------------------------- */

static void retry(struct timer *t)
{
	struct tcmu_server *s = container_of(t, struct tcmu_server, retry);
	struct tcmu_device *d, *tmp;

	list_for_each_safe(d, tmp, &s->devices, link)
		if (d->again)
			tcmu_try(d);
}

/* @again: nobody will say when it is over. */
static __attribute__((format(printf, 3, 4))) void waits(struct tcmu_device *d, bool again,
							const char *fmt, ...)
{
	struct tcmu_server *s = d->server;
	char old[sizeof(d->why)];
	va_list ap;

	memcpy(old, d->why, sizeof(old));
	d->state = TCMU_WAITS;
	d->again = again;
	va_start(ap, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
	if (strcmp(old, d->why))
		log_info("tcmu %s: waits: %s", d->core, d->why);
	if (again && !s->stopping && !timer_armed(&s->retry))
		timer_arm(s->control, &s->retry, RETRY_NS, retry);
}

/* ---- the LUN ---------------------------------------------------------------------------------- */

static void release_lun(struct tcmu_device *d)
{
	struct target *t = target_find_name(d->server->ts, d->name.target);
	struct lun_entry *le = t ? target_lun(t, d->name.lun) : NULL;

	if (d->reserved && le && le->reserved == tcmu_transport_ops.name)
		target_release_lun(t, d->name.lun);
	d->reserved = false;
}

/* Another device that has it, unless the owners of both said that it is to be shared. */
static const struct tcmu_device *other_user(const struct tcmu_device *d)
{
	const struct tcmu_device *o;

	list_for_each(o, &d->server->devices, link)
		if (o != d && !(o->name.shared && d->name.shared) &&
		    (o->opening || o->claiming || o->serving) && o->name.lun == d->name.lun &&
		    !strcmp(o->name.target, d->name.target))
			return o;
	return NULL;
}

static bool reserve_lun(struct tcmu_device *d, struct target *t)
{
	const struct tcmu_device *o;
	struct err e;

	o = other_user(d);
	if (o) {
		waits(d, true, "%.60s uses the LUN, too, and it is not to be shared", o->core);
		return false;
	}
	if (d->name.shared)
		return true;
	if (target_reserve_lun(t, d->name.lun, tcmu_transport_ops.name, &e)) {
		waits(d, false, "%.100s", e.text);
		return false;
	}
	d->reserved = true;
	return true;
}

/* The LUN of a device that has a nexus may have gone and come, without its reservation. False: others have it now. */
static bool keep_lun(struct tcmu_device *d)
{
	struct target *t = target_find_name(d->server->ts, d->name.target);
	struct lun_entry *le = t ? target_lun(t, d->name.lun) : NULL;

	return !le || le->removing || le->reserved || reserve_lun(d, t);
}

/* The LUN, which is there and ours to use; or NULL, and the device waits. */
static struct lun_entry *get_lun(struct tcmu_device *d)
{
	struct target *t = target_find_name(d->server->ts, d->name.target);
	struct lun_entry *le = t ? target_lun(t, d->name.lun) : NULL;

	if (!t)
		waits(d, false, "there is no target %.90s", d->name.target);
	else if (!le || le->removing)
		waits(d, false, "LUN %llu is not mapped", (unsigned long long)d->name.lun);
	else if (t->state == TARGET_OFFLINE || d->server->ts->offline)
		waits(d, true, "the target is offline");
	else if (reserve_lun(d, t))
		return le;
	return NULL;
}

/* ---- opening ------------------------------------------------------------------------------------- */

static void close_uio(struct tcmu_device *d)
{
	if (d->fd < 0)
		return;
	munmap(d->map, d->size);
	close(d->fd);
	d->fd = -1;
}

static bool still_there(const struct tcmu_device *d)
{
	char path[TCMU_PATH_MAX], text[512];

	return !tcmu_path(path, "%s/class/uio/uio%u/name", d->server->sysfs, d->minor) &&
	       !tcmu_read_line(path, text, sizeof(text));
}

/* SAS initiator port (SPC-5 7.6.4.7): what the standard has for an NAA address. */
static void set_transport_id(struct claim *c, const uint8_t naa[8])
{
	memset(c->transport_id, 0, 24);
	c->transport_id[0] = 0x06;
	memcpy(c->transport_id + 4, naa, 8);
	c->transport_id_len = 24;
}

static void claimed(struct claim *c);

static void claim(struct tcmu_device *d)
{
	struct claim *c = &d->claim;
	uint8_t naa[8];
	char wwn[24];

	*c = (struct claim){ .tpgt = 1, .tops = &tcmu_transport_ops, .done = claimed, .owner = d };
	tcmu_name_wwn(wwn, "initiator", d->core, naa);
	snprintf(c->initiator, sizeof(c->initiator), "%s", wwn);
	snprintf(c->alias, sizeof(c->alias), "%s", d->core);
	snprintf(c->target, sizeof(c->target), "%s", d->name.target);
	snprintf(c->peer, sizeof(c->peer), "kernel");
	set_transport_id(c, naa);
	c->local = c->one_lun = true;
	c->lun = d->name.lun;
	d->claiming = true;
	claim_run(d->server->ts, c);
}

static const char *answer_text(enum login_answer a)
{
	switch (a) {
	case LOGIN_NOT_FOUND:
		return "its target has gone";
	case LOGIN_OFFLINE:
		return "the target is offline";
	case LOGIN_BUSY:
		return "an older session of it does not end, or there is no memory";
	default:
		return "its session was refused";
	}
}

static void open_run(struct offload *o)
{
	struct tcmu_device *d = container_of(o, struct tcmu_device, open_job);

	d->err.code = tcmu_device_open(d);
}

static void open_done(struct offload *o)
{
	struct tcmu_device *d = container_of(o, struct tcmu_device, open_job);

	d->opening = false;
	if (!d->err.code && !d->removed && !d->server->stopping) {
		claim(d);
		return;
	}
	close_uio(d);
	release_lun(d);
	/* another device of the LUN comes first next time */
	list_del(&d->link);
	list_add(&d->server->devices, &d->link);
	if (d->err.code)
		waits(d, d->err.code != -EPROTO, "%.120s", d->err.text);
	if (!still_there(d))
		d->removed = true;
	tcmu_settle(d);
}

void tcmu_try(struct tcmu_device *d)
{
	struct lun_entry *le;

	if (d->state != TCMU_WAITS || d->dead || d->removed || d->server->stopping)
		return;
	if (d->serving) /* it lost its LUN, and its reactor does not know yet */
		return;
	le = get_lun(d);
	if (!le)
		return;
	d->side.random_access = le->lu->ds->pdt == PDT_DISK || le->lu->ds->pdt == 0x05;
	d->state = TCMU_STARTS;
	d->opening = true;
	d->err.code = 0;
	d->open_job = (struct offload){ .run = open_run, .done = open_done };
	offload_submit(d->server->control, &d->open_job, OFFLOAD_SLOW);
}

/* ---- serving --------------------------------------------------------------------------------------- */

static void claimed(struct claim *c)
{
	struct tcmu_device *d = c->owner;

	d->claiming = false;
	if (c->answer == LOGIN_OK) {
		d->serving = true;
		d->stop_posted = d->stop_acked = d->end_came = false;
		atomic_store(&d->stop_seen, false);
		d->sid = c->nexus->id;
		d->state = TCMU_SERVES;
		*d->why = '\0';
		d->again = false;
		tcmu_side_start(d, c->nexus);
		if (d->removed || d->server->stopping || !keep_lun(d))
			tcmu_side_stop(d, 0);
		else
			log_info("tcmu %s: serves LUN %llu of %s", d->core,
				 (unsigned long long)d->name.lun, d->name.target);
		return;
	}
	close_uio(d);
	release_lun(d);
	waits(d, true, "%s", answer_text(c->answer));
	tcmu_settle(d);
}

/* Both halves are through with each other. */
static void side_gone(struct tcmu_device *d)
{
	bool broken = d->side.ring.broken != NULL;

	d->serving = false;
	d->sid = 0;
	close_uio(d);
	release_lun(d);
	d->dead |= broken;
	if (d->state != TCMU_ENDS && !d->server->stopping)
		waits(d, !broken, "%s%s", broken ? "its ring is corrupt: " : "",
		      d->side.why ? d->side.why : "its session was ended");
	if (!still_there(d))
		d->removed = true;
	tcmu_settle(d);
}

void tcmu_device_ended(struct msg *m)
{
	struct tcmu_device *d = container_of(m, struct tcmu_device, end_msg);

	d->end_came = true;
	if (!d->stop_posted || d->stop_acked || atomic_load(&d->stop_seen))
		side_gone(d);
}

void tcmu_device_stop_acked(struct msg *m)
{
	struct tcmu_device *d = container_of(m, struct tcmu_device, ack_msg);

	d->stop_acked = true;
	if (d->end_came)
		side_gone(d);
}

/* ---- what the kernel is told of the LU ----------------------------------------------------------------- */

static void tell_run(struct offload *o)
{
	struct tcmu_device *d = container_of(o, struct tcmu_device, tell_job);
	const struct tcmu_server *s = d->server;
	char path[TCMU_PATH_MAX], text[32], want[32];

	if (d->look)
		tcmu_find_block(s, d->core, d->found, sizeof(d->found));
	snprintf(want, sizeof(want), "%llu", (unsigned long long)d->telling_bytes);
	if (!d->telling_bytes ||
	    tcmu_path(path, "%s/target/core/%s/attrib/dev_size", s->configfs, d->core) ||
	    tcmu_read_line(path, text, sizeof(text)) || !strcmp(text, want))
		return;
	if (s->sys->write_text(path, want))
		log_warn("tcmu %s: the kernel does not take the new size", d->core);
}

static void tell_done(struct offload *o)
{
	struct tcmu_device *d = container_of(o, struct tcmu_device, tell_job);

	d->telling = false;
	if (d->look)
		memcpy(d->block, d->found, sizeof(d->block));
	if (d->tell_again && !d->removed && !d->server->stopping)
		tcmu_tell(d, false);
	tcmu_settle(d);
}

void tcmu_tell(struct tcmu_device *d, bool look)
{
	d->look_again |= look;
	d->tell_again = d->telling;
	if (d->telling || d->server->stopping || d->removed)
		return;
	d->telling = true;
	d->look = d->look_again;
	d->look_again = false;
	d->telling_bytes = atomic_load(&d->side.bytes);
	d->tell_job = (struct offload){ .run = tell_run, .done = tell_done };
	offload_submit(d->server->control, &d->tell_job, OFFLOAD_SLOW);
}

/* The LU has another size; or the LUN has gone or come, and wants to be reserved again. */
void tcmu_device_noted(struct msg *m)
{
	struct tcmu_device *d = container_of(m, struct tcmu_device, note_msg);

	atomic_store(&d->side.note_posted, false);
	if (!d->serving || d->stop_posted)
		return;
	if (!keep_lun(d)) {
		tcmu_side_stop(d, 0);
		return;
	}
	tcmu_tell(d, false);
}

/* ---- the end ------------------------------------------------------------------------------------------ */

static void reply(struct tcmu_device *d)
{
	if (d->reply_owed)
		tcmu_netlink_reply(&d->server->netlink, TCMU_CMD_REMOVED_DEVICE, d->reply_id, 0);
	d->reply_owed = false;
	timer_cancel(d->server->control, &d->reply_timer);
}

static void reply_late(struct timer *t)
{
	struct tcmu_device *d = container_of(t, struct tcmu_device, reply_timer);

	log_warn("tcmu %s: its commands do not end, its store still has them", d->core);
	reply(d);
}

void tcmu_settle(struct tcmu_device *d)
{
	struct tcmu_server *s = d->server;

	if (d->removed && !d->serving && !d->opening && !d->claiming) {
		reply(d);
		if (!d->telling) {
			log_info("tcmu %s: gone", d->core);
			list_del(&d->link);
			free(d);
		}
	}
	tcmu_job_ended(s);
}

void tcmu_check(struct tcmu_device *d)
{
	if (!d->removed && !d->serving && !d->opening && !d->claiming && !still_there(d))
		tcmu_remove(d, false, 0);
}

void tcmu_remove(struct tcmu_device *d, bool owed, uint32_t id)
{
	d->removed = true;
	d->state = TCMU_ENDS;
	d->reply_owed = owed;
	d->reply_id = id;
	timer_arm(d->server->control, &d->reply_timer, REPLY_NS, reply_late);
	if (d->serving)
		tcmu_side_stop(d, 0);
	tcmu_settle(d);
}
