/* SPDX-License-Identifier: BSD-2-Clause */
/* The server: ports come and go, and what control wants to know. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "transport/vhost/server.h"

#define BACKLOG 16
#define DRAIN_NS (2 * NSEC_PER_SEC) /* for stores, after the grace is over */

/* ---- life --------------------------------------------------------------------------------------- */

struct vhost_server *vhost_server_create(struct targets *ts, struct err *e)
{
	struct vhost_server *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, -ENOMEM, "no memory for the vhost-user server");
		return NULL;
	}
	s->ts = ts;
	list_init(&s->ports);
	for (unsigned i = 0; i < ts->nreactors; i++) {
		struct vhost_part *part = &s->part[i];

		part->reactor = ts->reactors[i];
		list_init(&part->devs);
		part->chain = malloc(sizeof(*part->chain));
		s->nparts++;
		if (!part->chain) {
			err_set(e, -ENOMEM, "no memory for the vhost-user server");
			vhost_server_destroy(s);
			return NULL;
		}
	}
	return s;
}

void vhost_server_destroy(struct vhost_server *s)
{
	for (unsigned i = 0; i < s->nparts; i++)
		free(s->part[i].chain);
	free(s);
}

static void port_free(struct vhost_port *p)
{
	free(p->path);
	free(p->target);
	free(p);
}

static void maybe_done(struct vhost_server *s)
{
	if (!s->stopping || s->told || s->nports)
		return;
	s->told = true;
	timer_cancel(s->ts->control, &s->deadline);
	s->done(s->arg);
}

void port_ended(struct vhost_port *p)
{
	struct vhost_server *s = p->server;
	void (*removed)(void *arg) = p->removed;
	void *arg = p->arg;

	timer_cancel(s->ts->control, &p->retry);
	port_free(p);
	s->nports--;
	if (removed)
		removed(arg);
	maybe_done(s);
}

static void give_up(struct timer *t)
{
	struct vhost_server *s = container_of(t, struct vhost_server, deadline);

	log_warn("vhost: %u ports are left behind: their stores do not return", s->nports);
	s->told = true;
	s->done(s->arg);
}

void vhost_server_stop(struct vhost_server *s, uint64_t grace_ns, void (*done)(void *arg), void *arg)
{
	struct vhost_port *p, *next;

	s->stopping = true;
	s->done = done;
	s->arg = arg;
	timer_arm(s->ts->control, &s->deadline, grace_ns + DRAIN_NS, give_up);
	list_for_each_safe(p, next, &s->ports, link)
		port_end(p, grace_ns, "the server ends");
	maybe_done(s);
}

/* ---- sockets -------------------------------------------------------------------------------------- */

static int set_address(struct sockaddr_un *a, const char *path, struct err *e)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(a->sun_path))
		return err_set(e, -EINVAL,
			       "'%.200s' cannot be a socket's path: it has 1 to %zu bytes", path,
			       sizeof(a->sun_path) - 1);
	memcpy(a->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Somebody listens at @a. */
static bool is_alive(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool alive;

	if (fd < 0)
		return true;
	alive = !connect(fd, (const struct sockaddr *)a, sizeof(*a)) || errno != ECONNREFUSED;
	close(fd);
	return alive;
}

/* What a daemon left that was killed is in nobody's way. */
static int make_room(const struct sockaddr_un *a, struct err *e)
{
	struct stat st;

	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? 0
				       : err_set(e, -errno, "%s: %s", a->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(
			e, -EEXIST,
			"%s is there already, and is no socket: remove it, or choose another path",
			a->sun_path);
	if (is_alive(a))
		return err_set(e, -EADDRINUSE, "%s: another program listens there", a->sun_path);
	return unlink(a->sun_path) && errno != ENOENT
		       ? err_set(e, -errno, "%s: the old socket cannot be removed: %s", a->sun_path,
				 strerror(errno))
		       : 0;
}

/* Nobody can connect before all of it is done: listen() comes last. */
static int bind_socket(struct vhost_port *p, const struct sockaddr_un *a,
		       const struct vhost_port_opts *o)
{
	mode_t mode = o->mode ? o->mode : 0600;
	struct stat st;
	int rc;

	/* what the kernel makes it with, less the umask; then exactly */
	if (fchmod(p->fd, mode) || bind(p->fd, (const struct sockaddr *)a, sizeof(*a)))
		return -errno;
	if (!lstat(a->sun_path, &st) && !chmod(a->sun_path, mode) &&
	    ((o->uid == (uid_t)-1 && o->gid == (gid_t)-1) || !lchown(a->sun_path, o->uid, o->gid)) &&
	    !listen(p->fd, BACKLOG)) {
		p->dev = st.st_dev;
		p->ino = st.st_ino;
		return 0;
	}
	rc = -errno;
	unlink(a->sun_path);
	return rc;
}

static int open_socket(struct vhost_port *p, const struct vhost_port_opts *o, struct err *e)
{
	struct sockaddr_un a;
	int rc = set_address(&a, o->path, e);

	if (!rc)
		rc = make_room(&a, e);
	if (rc)
		return rc;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return err_set(e, -errno, "%s: %s", o->path, strerror(errno));
	rc = bind_socket(p, &a, o);
	if (!rc)
		return 0;
	close(p->fd);
	return err_set(e, rc, "%s: %s", o->path, strerror(-rc));
}

/* ---- ports ---------------------------------------------------------------------------------------- */

static struct vhost_port *find(struct vhost_server *s, const char *path)
{
	struct vhost_port *p;

	list_for_each(p, &s->ports, link)
		if (!strcmp(p->path, path))
			return p;
	return NULL;
}

static struct vhost_port *port_new(struct vhost_server *s, const struct vhost_port_opts *o)
{
	struct vhost_port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->path = strdup(o->path);
	p->target = strdup(o->target);
	if (!p->path || !p->target) {
		port_free(p);
		return NULL;
	}
	p->server = s;
	p->queues = o->queues ? o->queues : VHOST_QUEUES_DEFAULT;
	p->fd = p->waiting = -1;
	list_init(&p->link);
	return p;
}

int vhost_port_add(struct vhost_server *s, const struct vhost_port_opts *o, struct err *e)
{
	struct vhost_port *p;
	int rc;

	if (s->stopping)
		return err_set(e, -ESHUTDOWN, "%s: the server ends", o->path);
	if (o->queues > VHOST_QUEUES_MAX)
		return err_set(e, -EINVAL, "%s: %u request queues are too many: there can be %u",
			       o->path, o->queues, VHOST_QUEUES_MAX);
	if (strlen(o->target) > INITIATOR_NAME_MAX)
		return err_set(e, -EINVAL, "%s: no target has a name of this length", o->path);
	if (find(s, o->path))
		return err_set(e, -EEXIST, "there is a vhost-user port at %s already", o->path);
	p = port_new(s, o);
	if (!p)
		return err_set(e, -ENOMEM, "%s: no memory", o->path);
	rc = open_socket(p, o, e);
	if (rc) {
		port_free(p);
		return rc;
	}
	list_add(&s->ports, &p->link);
	s->nports++;
	port_listen(p);
	log_info("vhost: listening at %s for target %s", p->path, p->target);
	return 0;
}

int vhost_port_remove(struct vhost_server *s, const char *path, void (*removed)(void *arg),
		      void *arg, struct err *e)
{
	struct vhost_port *p = find(s, path);

	if (!p)
		return err_set(e, -ENOENT, "there is no vhost-user port at %.200s", path);
	p->removed = removed;
	p->arg = arg;
	port_end(p, 0, "the port is removed");
	return 0;
}

struct vhost_port *vhost_port_next(struct vhost_server *s, const struct vhost_port *prev)
{
	struct list *next = prev ? prev->link.next : s->ports.next;

	return next == &s->ports ? NULL : list_entry(next, struct vhost_port, link);
}

void vhost_port_info(const struct vhost_port *p, struct vhost_port_info *i)
{
	*i = (struct vhost_port_info){
		.path = p->path,
		.target = p->target,
		.queues = p->queues,
		.state = p->state,
		.peer_pid = p->peer_pid,
		.sid = p->sid,
	};
	memcpy(i->why, p->why, sizeof(i->why));
}

/* ---- questions -------------------------------------------------------------------------------------- */

static void info_answered(struct msg *m)
{
	struct vhost_session_info *i = container_of(m, struct vhost_session_info, msg);

	i->done(i);
}

static void fill_info(struct vhost_session_info *i, const struct vhost_dev *d)
{
	i->found = true;
	i->features = d->features;
	i->protocol_features = d->protocol;
	i->packed = d->features & VF_RING_PACKED;
	i->event_idx = d->features & VF_EVENT_IDX;
	i->inflight = d->log != NULL;
	for (unsigned n = VSCSI_REQUEST_QUEUE; n < d->nq; n++)
		i->queues += d->q[n].ring.started;
	i->running = i->queues;
	i->commands = d->under_way;
	i->regions = d->mem->n;
	i->kicks = d->kicks;
	i->calls = d->calls;
}

/* By id: the nexus itself may be gone when the message comes. */
static void info_posted(struct msg *m)
{
	struct vhost_session_info *i = container_of(m, struct vhost_session_info, msg);
	struct vhost_part *part = i->part;
	const struct vhost_dev *d;

	list_for_each(d, &part->devs, link)
		if (dev_is_live(d) && d->nexus->id == i->nexus_id)
			fill_info(i, d);
	reactor_post(i->control, &i->msg, info_answered);
}

void vhost_session_info(struct vhost_server *s, struct it_nexus *n, struct vhost_session_info *i)
{
	uint64_t id = n->id;
	void (*done)(struct vhost_session_info * i) = i->done;

	*i = (struct vhost_session_info){ .nexus_id = id, .done = done, .control = s->ts->control };
	i->part = &s->part[reactor_id(n->reactor)];
	reactor_post(i->part->reactor, &i->msg, info_posted);
}

#define SUM(field) (l->field += __atomic_load_n(&s->part[i].n.field, __ATOMIC_RELAXED))

void vhost_get_live(const struct vhost_server *s, struct vhost_live *l)
{
	*l = (struct vhost_live){ .accepted = __atomic_load_n(&s->accepted, __ATOMIC_RELAXED) };
	for (unsigned i = 0; i < s->nparts; i++) {
		SUM(connections);
		SUM(tasks);
		SUM(protocol_errors);
		SUM(ring_errors);
	}
}
