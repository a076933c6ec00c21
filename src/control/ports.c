/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost-user ports: sockets behind which a hypervisor finds a target. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/json.h"
#include "transport/vhost/vhost.h"

static const char *const state_names[] = {
	[VHOST_LISTENS] = "listening",
	[VHOST_CLAIMS] = "connecting",
	[VHOST_CONNECTED] = "connected",
	[VHOST_ENDS] = "disconnecting",
};

static json_t *port_json(const struct vhost_port *p)
{
	struct vhost_port_info i;

	vhost_port_info(p, &i);
	return json_pack("{s:o,s:o,s:i,s:s,s:i,s:I,s:o}", "path", text_json(i.path), "target",
			 text_json(i.target), "queues", (int)i.queues, "state",
			 state_names[i.state], "peer_pid", (int)i.peer_pid, "sid",
			 (json_int_t)i.sid, "why", text_json(i.why));
}

static json_t *ports_json(struct control *c)
{
	const struct vhost_port *p = NULL;
	json_t *all = json_array();

	while ((p = vhost_port_next(c->vhost, p)))
		json_array_append_new(all, port_json(p));
	return all;
}

json_t *vhost_json(const struct vhost_session_info *i)
{
	return json_pack("{s:b,s:b,s:b,s:b,s:i,s:i,s:i,s:I,s:I,s:I,s:I}", "running", i->running,
			 "packed", i->packed, "event_idx", i->event_idx, "inflight", i->inflight,
			 "queues", (int)i->queues, "commands", (int)i->commands, "regions",
			 (int)i->regions, "features", (json_int_t)i->features, "protocol_features",
			 (json_int_t)i->protocol_features, "kicks", (json_int_t)i->kicks, "calls",
			 (json_int_t)i->calls);
}

/* ---- who may connect ---------------------------------------------------------------- */

/* Numbers, as names may take a while to look up: tgtctl does that. */
static int parse_access(const struct call *c, struct vhost_port_opts *o, struct err *e)
{
	const char *mode = call_str(c, "mode", "0600");
	unsigned long v;
	char *end;

	v = strtoul(mode, &end, 8);
	if (!*mode || *end || !v || v > 0777)
		return err_set(e, -EINVAL, "mode '%.32s': octal is needed, such as 0660", mode);
	o->mode = (mode_t)v;
	o->uid = (uid_t)call_int(c, "uid", -1);
	o->gid = (gid_t)call_int(c, "gid", -1);
	return 0;
}

/* ---- verbs ---------------------------------------------------------------------------- */

/* False, and the call has been failed: nothing here serves hypervisors. */
static bool served(struct call *c)
{
	if (call_control(c)->vhost)
		return true;
	call_failf(c, FAIL_NO_DRIVER, -EOPNOTSUPP, "this daemon has no vhost-user ports");
	return false;
}

void verb_vhost_add(struct call *c)
{
	struct target *t = served(c) ? call_target(c) : NULL;
	struct vhost_port_opts o = { .path = call_str(c, "path", "") };
	struct err e;

	if (!t)
		return;
	o.target = t->name;
	o.queues = (unsigned)call_int(c, "queues", 0);
	if (parse_access(c, &o, &e) || vhost_port_add(call_control(c)->vhost, &o, &e)) {
		call_fail(c, FAIL_INVALID, &e);
		return;
	}
	log_info("target %u: hypervisors find it at %s", t->tid, o.path);
	call_reply(c, ports_json(call_control(c)));
}

static void removed(void *arg)
{
	struct call *c = arg;

	call_reply(c, ports_json(call_control(c)));
}

void verb_vhost_remove(struct call *c)
{
	struct err e;

	if (!served(c))
		return;
	if (vhost_port_remove(call_control(c)->vhost, call_str(c, "path", ""), removed, c, &e))
		call_fail(c, FAIL_INVALID, &e);
}

void verb_vhost_list(struct call *c)
{
	if (served(c))
		call_reply(c, ports_json(call_control(c)));
}
