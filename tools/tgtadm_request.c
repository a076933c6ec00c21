/* SPDX-License-Identifier: BSD-2-Clause */
/* What tgtadm asks the daemon, and how it tells what the daemon refuses. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "client.h"
#include "tgtadm.h"

/* ---- errors ----------------------------------------------------------------------------------- */

/* tgt's texts, by the daemon's words for what is wrong. */
static const struct {
	const char *kind, *text;
} texts[] = {
	{ "unknown", "unknown error" },
	{ "no-memory", "out of memory" },
	{ "no-driver", "can't find the driver" },
	{ "no-target", "can't find the target" },
	{ "no-lun", "can't find the logical unit" },
	{ "no-session", "can't find the session" },
	{ "no-connection", "can't find the connection" },
	{ "target-exists", "this target already exists" },
	{ "lun-exists", "this logical unit number already exists" },
	{ "acl-exists", "this access control rule already exists" },
	{ "no-acl", "this access control rule does not exist" },
	{ "account-exists", "this account already exists" },
	{ "no-account", "can't find the account" },
	{ "too-many-accounts", "too many accounts" },
	{ "invalid", "invalid request" },
	{ "outgoing-exists", "this target already has an outgoing account" },
	{ "target-active", "this target is still active" },
	{ "lun-active", "this logical unit is still active" },
	{ "driver-active", "this driver is busy" },
	{ "unsupported", "this operation isn't supported" },
};

int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("tgtadm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EINVAL;
}

/* tgt's text for @kind, then why. */
static int refuse(const char *kind, const char *why)
{
	const char *text = "invalid request";

	for (unsigned i = 0; i < array_size(texts); i++)
		if (!strcmp(texts[i].kind, kind))
			text = texts[i].text;
	complain("%s", text);
	if (*why)
		complain("cause: %s", why);
	return EINVAL;
}

int not_running(void)
{
	complain("failed to send request hdr to tgt daemon, %s", strerror(ENOTCONN));
	return ENOTCONN;
}

/* ---- requests --------------------------------------------------------------------------------------- */

static void put_str(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

static void put_int(json_t *o, const char *key, long long value)
{
	if (value >= 0)
		json_object_set_new(o, key, json_integer(value));
}

static json_t *with_tid(const struct args *a)
{
	json_t *o = json_object();

	put_int(o, "tid", a->tid);
	return o;
}

/* Call; print what @show makes of the result (NULL: nothing). Returns the exit status. */
static int request(int fd, const char *method, json_t *params, void (*show)(const json_t *result))
{
	struct client_error e;
	json_t *result = client_call(fd, method, params, &e);

	if (!result && e.err == ENOTCONN)
		return not_running();
	if (!result)
		return refuse(e.kind, e.text);
	if (show)
		show(result);
	json_decref(result);
	return 0;
}

static int lun_new(const struct args *a, int fd)
{
	json_t *o = with_tid(a);

	put_int(o, "lun", a->lun);
	put_str(o, "path", a->path);
	put_str(o, "bstype", a->bstype);
	put_str(o, "bsopts", a->bsopts);
	put_str(o, "bsoflags", a->bsoflags);
	put_str(o, "block_size", a->block_size);
	put_str(o, "type", a->type);
	return request(fd, "lun.create", o, NULL);
}

static int lun_send(const struct args *a, int fd, json_t *params)
{
	json_t *o = with_tid(a);

	put_int(o, "lun", a->lun);
	json_object_set_new(o, "params", params);
	return request(fd, "lun.update", o, NULL);
}

/* "name=value,name=value": a name that comes twice begins a further request. */
static int lun_update(const struct args *a, int fd)
{
	char *copy = strdup(a->params ? a->params : ""), *save, *item, *value;
	json_t *params = json_object();
	int err = 0;

	put_str(params, "bsoflags", a->bsoflags);
	for (item = strtok_r(copy, ",", &save); item && !err; item = strtok_r(NULL, ",", &save)) {
		value = strchr(item, '=');
		if (value)
			*value++ = 0;
		if (json_object_get(params, item)) {
			err = lun_send(a, fd, params);
			params = json_object();
		}
		put_str(params, item, value ? value : "");
	}
	if (err)
		json_decref(params);
	else
		err = lun_send(a, fd, params);
	free(copy);
	return err;
}

static int lun_requests(const struct args *a, int fd)
{
	json_t *o;

	if (a->op == OP_NEW)
		return lun_new(a, fd);
	if (a->op == OP_UPDATE)
		return lun_update(a, fd);
	o = with_tid(a);
	put_int(o, "lun", a->lun);
	if (a->op == OP_STAT) {
		put_int(o, "sid", a->sid);
		return request(fd, "lun.stat", o, show_lun_stats);
	}
	if (a->force)
		json_object_set_new(o, "force", json_true());
	return request(fd, "lun.delete", o, NULL);
}

static int acl_request(const struct args *a, int fd)
{
	const char *method = a->op == OP_BIND ? "acl.add" : "acl.remove";
	json_t *o = with_tid(a);

	if (a->by_host) {
		json_decref(o);
		return refuse("unsupported", "there are no host adapters to bind a target to");
	}
	put_str(o, "address", a->address);
	if (!a->address)
		put_str(o, "initiator", a->initiator);
	return request(fd, method, o, NULL);
}

static int target_requests(const struct args *a, int fd)
{
	json_t *o;

	if (a->op == OP_BIND || a->op == OP_UNBIND)
		return acl_request(a, fd);
	if (a->op == OP_SHOW && a->tid == 0)
		return refuse("no-target", "there is no target 0");
	o = with_tid(a);
	switch (a->op) {
	case OP_NEW:
		put_str(o, "name", a->target_name);
		return request(fd, "target.create", o, NULL);
	case OP_DELETE:
		if (a->force)
			json_object_set_new(o, "force", json_true());
		return request(fd, "target.delete", o, NULL);
	case OP_UPDATE:
		put_str(o, "name", a->name);
		put_str(o, "value", a->value);
		return request(fd, "target.update", o, NULL);
	case OP_STAT:
		return request(fd, "lun.stat", o, show_lun_stats);
	default:
		return a->tid > 0 ? request(fd, "target.params", o, show_target_params)
				  : request(fd, "target.list", o, show_targets);
	}
}

static int account_requests(const struct args *a, int fd)
{
	json_t *o;

	if (a->op == OP_SHOW)
		return request(fd, "account.list", NULL, show_accounts);
	o = json_object();
	put_str(o, "user", a->user);
	if (a->op == OP_NEW)
		put_str(o, "password", a->password);
	if (a->op == OP_NEW || a->op == OP_DELETE)
		return request(fd, a->op == OP_NEW ? "account.create" : "account.delete", o, NULL);
	put_int(o, "tid", a->tid);
	if (a->outgoing)
		json_object_set_new(o, "outgoing", json_true());
	return request(fd, a->op == OP_BIND ? "account.bind" : "account.unbind", o, NULL);
}

static int portal_requests(const struct args *a, int fd)
{
	static const char key[] = "portal=";
	json_t *o;

	if (a->op == OP_SHOW)
		return request(fd, "portal.list", NULL, show_portals);
	if (strncmp(a->params, key, strlen(key)))
		return refuse("invalid", "write --param portal=<address:port>");
	o = json_object();
	put_str(o, "portal", a->params + strlen(key));
	return request(fd, a->op == OP_NEW ? "portal.add" : "portal.remove", o, NULL);
}

/* tgt returns when nobody listens any more: so do we. */
static int system_delete(const struct args *a, int fd)
{
	json_t *o = json_object();
	int err;

	if (a->force)
		json_object_set_new(o, "force", json_true());
	err = request(fd, "system.shutdown", o, NULL);
	while (!err) {
		int again = client_connect(a->port, NULL);

		if (again < 0)
			break;
		close(again);
		usleep(100 * 1000);
	}
	return err;
}

static int system_requests(const struct args *a, int fd)
{
	json_t *o;

	switch (a->op) {
	case OP_SHOW:
		return request(fd, "system.show", NULL, show_system);
	case OP_DELETE:
		return system_delete(a, fd);
	case OP_STAT:
		return request(fd, "lun.stat", NULL, show_lun_stats);
	default:
		o = json_object();
		put_str(o, "name", a->name);
		put_str(o, "value", a->value);
		return request(fd, "system.update", o, NULL);
	}
}

/* The sessions of the target, once it is known to have the session and connection that are named. */
static json_t *sessions_with(const struct args *a, int fd, int *status)
{
	struct client_error e;
	json_t *sessions = client_call(fd, "session.list", with_tid(a), &e);
	const json_t *s, *c;
	bool session = false, connection = a->cid < 0;
	size_t i, j;

	if (!sessions) {
		*status = refuse(e.kind, e.text);
		return NULL;
	}
	json_array_foreach(sessions, i, s) {
		if (get_int(s, "sid") != a->sid)
			continue;
		session = true;
		json_array_foreach(get(s, "connections"), j, c)
			connection |= get_int(c, "cid") == a->cid;
	}
	if (session && connection)
		return sessions;
	*status = session ? refuse("no-connection", "the session has another connection")
			  : refuse("no-session", "the target has no such session");
	json_decref(sessions);
	return NULL;
}

static int connection_stat(const struct args *a, int fd)
{
	int status = 0;
	json_t *sessions = sessions_with(a, fd, &status);

	if (!sessions)
		return status;
	show_connection_stats(sessions, a->sid, a->cid);
	json_decref(sessions);
	return 0;
}

static int session_stat(const struct args *a, int fd)
{
	int status = 0;
	json_t *sessions = sessions_with(a, fd, &status), *o;

	if (!sessions)
		return status;
	o = with_tid(a);
	put_int(o, "sid", a->sid);
	status = request(fd, "lun.stat", o, show_lun_stats);
	if (!status) {
		putchar('\n');
		show_connection_stats(sessions, a->sid, -1);
	}
	json_decref(sessions);
	return status;
}

static int connection_requests(const struct args *a, int fd)
{
	json_t *o;

	if (a->op != OP_SHOW && a->op != OP_DELETE && a->op != OP_STAT)
		return refuse("invalid", "connections can be shown, deleted, and counted (stat)");
	if (a->tid <= 0)
		return refuse("no-target", "--tid is missing");
	if (a->op == OP_STAT)
		return connection_stat(a, fd);
	o = with_tid(a);
	if (a->op == OP_SHOW)
		return request(fd, "session.list", o, show_connections);
	/* tgt takes 0 for what is not given */
	put_int(o, "sid", a->sid < 0 ? 0 : a->sid);
	put_int(o, "cid", a->cid < 0 ? 0 : a->cid);
	return request(fd, "connection.close", o, NULL);
}

static int session_requests(const struct args *a, int fd)
{
	if (a->op != OP_STAT)
		return refuse("invalid",
			      "sessions can only be counted (stat); connection mode shows "
			      "and deletes them");
	if (a->tid <= 0)
		return refuse("no-target", "--tid is missing");
	return session_stat(a, fd);
}

static int lld_requests(const struct args *a, int fd)
{
	if (a->op == OP_SHOW)
		return request(fd, "target.list", NULL, show_lld);
	if (a->op == OP_START)
		return 0; /* it always runs */
	return refuse("driver-active", "iscsi is the only driver: stop tgtd instead");
}

int tgtadm_run(const struct args *a, int fd)
{
	static int (*const requests[])(const struct args *a, int fd) = {
		[MODE_SYSTEM] = system_requests,
		[MODE_TARGET] = target_requests,
		[MODE_LUN] = lun_requests,
		[MODE_PORTAL] = portal_requests,
		[MODE_LLD] = lld_requests,
		[MODE_SESSION] = session_requests,
		[MODE_CONNECTION] = connection_requests,
		[MODE_ACCOUNT] = account_requests,
	};

	if (a->lld && *a->lld && strcmp(a->lld, "iscsi"))
		return refuse("no-driver", "iscsi is the only driver");
	return requests[a->mode](a, fd);
}
