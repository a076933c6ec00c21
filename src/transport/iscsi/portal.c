/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/iscsi/portal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define BACKLOG 1024
#define ACCEPT_AGAIN_NS (200 * NSEC_PER_MSEC) /* after EMFILE and the like */

/* One socket. Its accepting belongs to the first data reactor, the rest to control. */
struct listener {
	struct iscsi_server *server;
	struct portal_listeners *of; /* lives as long */
	char name[80]; /* its portal's */
	int fd;
	struct msg start, stop; /* from control; stop also goes back */
	struct io_op op;
	struct timer again;
	bool stopping;
};

struct portal_listeners {
	struct iscsi_portal portal;
	struct listener *l[2];
	unsigned n; /* that are not closed yet */
	void (*removed)(void *arg); /* may be NULL */
	void *arg;
};

/* ---- text ---------------------------------------------------------------------------- */

static int parse_port(const char *text, in_port_t *port)
{
	unsigned v = 0;

	if (!*text || strlen(text) > 5)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(*text - '0');
	}
	*port = htons((uint16_t)v);
	return v <= 65535 ? 0 : -EINVAL;
}

static int set_v4(struct sockaddr_storage *ss, const char *host, in_port_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	in->sin_family = AF_INET;
	in->sin_port = port;
	return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 1 : -EINVAL;
}

static int set_v6(struct sockaddr_storage *ss, const char *host, in_port_t port)
{
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	in->sin6_family = AF_INET6;
	in->sin6_port = port;
	return inet_pton(AF_INET6, host, &in->sin6_addr) == 1 ? 1 : -EINVAL;
}

/* Split "host:port", "[host]:port", "host". The port's text, "" if there is none. */
static const char *split(char *text, char **host)
{
	char *colon = strrchr(text, ':'), *end;

	*host = text;
	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && (end[1] != ':' || !end[2])))
			return NULL;
		*host = text + 1;
		*end = 0;
		return end[1] ? end + 2 : "";
	}
	if (!colon)
		return "";
	if (!colon[1] || strchr(text, ':') != colon) /* an IPv6 address without brackets */
		return NULL;
	*colon = 0;
	return colon + 1;
}

int portal_parse(const char *text, struct sockaddr_storage to[2], struct err *e)
{
	in_port_t port = htons(ISCSI_PORT);
	const char *port_text = NULL;
	char copy[80], *host = copy;
	size_t len = strcspn(text, ",");
	int n = -EINVAL;

	if (len && len < sizeof(copy) && (!text[len] || !strcmp(text + len, ",1"))) {
		memcpy(copy, text, len);
		copy[len] = 0;
		port_text = split(copy, &host);
	}
	if (port_text && (!*port_text || !parse_port(port_text, &port))) {
		bool bracket = *text == '[';

		if (!*host && !bracket && *port_text) {
			set_v4(&to[0], "0.0.0.0", port);
			set_v6(&to[1], "::", port);
			return 2;
		}
		n = bracket ? set_v6(&to[0], host, port) : set_v4(&to[0], host, port);
	}
	if (n < 0)
		return err_set(e, -EINVAL,
			       "'%.80s' is not a portal: say address:port, "
			       "[IPv6 address]:port or :port",
			       text);
	return n;
}

/* ---- accepting, on the first data reactor -------------------------------------------------- */

static void closed(struct msg *m);

static void accept_next(struct listener *l)
{
	io_submit(l->server->part[0].reactor, &l->op);
}

static void listener_end(struct listener *l)
{
	struct reactor *r = l->server->part[0].reactor;

	timer_cancel(r, &l->again);
	io_close(r, l->fd);
	reactor_post(l->server->ts->control, &l->stop, closed);
}

static void accept_again(struct timer *t)
{
	accept_next(container_of(t, struct listener, again));
}

static void accepted(struct io_op *op, int res)
{
	struct listener *l = container_of(op, struct listener, op);
	struct iscsi_part *p = &l->server->part[0];

	if (res >= 0)
		conn_accepted(p, res);
	if (l->stopping) {
		listener_end(l);
		return;
	}
	if (res >= 0 || res == -ECONNABORTED || res == -EINTR) {
		accept_next(l);
		return;
	}
	/* no descriptors or memory left: those who wait stay in the backlog */
	log_warn("iscsi: portal %s: accept: %s", l->name, strerror(-res));
	timer_arm(p->reactor, &l->again, ACCEPT_AGAIN_NS, accept_again);
}

static void start(struct msg *m)
{
	struct listener *l = container_of(m, struct listener, start);

	l->op = (struct io_op){ .done = accepted, .verb = IO_ACCEPT, .fd = l->fd };
	accept_next(l);
}

static void stop(struct msg *m)
{
	struct listener *l = container_of(m, struct listener, stop);

	l->stopping = true;
	if (io_pending(&l->op))
		io_cancel(&l->op);
	else
		listener_end(l);
}

/* ---- control ----------------------------------------------------------------------------- */

static void closed(struct msg *m)
{
	struct listener *l = container_of(m, struct listener, stop);
	struct iscsi_server *s = l->server;
	struct portal_listeners *p = l->of;

	free(l);
	if (!--p->n) {
		if (p->removed)
			p->removed(p->arg);
		free(p);
	}
	if (!--s->listeners && s->stopping)
		portals_closed(s);
}

static int listen_at(const struct sockaddr_storage *ss, struct err *e, const char *text)
{
	int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, rc;

	if (fd < 0)
		return err_set(e, -errno, "portal %s: %s", text, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ss->ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (!bind(fd, (const struct sockaddr *)ss,
		  ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					    : sizeof(struct sockaddr_in)) &&
	    !listen(fd, BACKLOG))
		return fd;
	rc = -errno;
	close(fd);
	return err_set(e, rc, "portal %s: %s", text,
		       rc == -EADDRINUSE ? "another program, or another portal, listens there"
					 : strerror(-rc));
}

static struct listener *listener_create(struct iscsi_server *s, const struct sockaddr_storage *ss,
					const char *text, struct err *e)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l) {
		err_set(e, -ENOMEM, "portal %s: no memory", text);
		return NULL;
	}
	l->server = s;
	l->fd = listen_at(ss, e, text);
	if (l->fd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

/* The port that the first socket got: the second one has to have the same. */
static in_port_t bound_port(int fd)
{
	struct sockaddr_in6 in = { 0 }; /* both families have the port at the same place */
	socklen_t len = sizeof(in);

	getsockname(fd, (struct sockaddr *)&in, &len);
	return in.sin6_port;
}

static void name_portal(struct iscsi_portal *p, const struct sockaddr_storage *ss, in_port_t port)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (ss->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)ss)->sin6_addr, host,
			  sizeof(host));
	else
		inet_ntop(AF_INET, &((const struct sockaddr_in *)ss)->sin_addr, host, sizeof(host));
	snprintf(p->name, sizeof(p->name), ss->ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
		 ntohs(port));
}

static struct iscsi_portal *find(struct iscsi_server *s, const char *text)
{
	size_t len = strcspn(text, ",");
	struct iscsi_portal *p;

	list_for_each(p, &s->portals, link)
		if (!strcmp(p->text, text) ||
		    (strlen(p->name) == len && !strncmp(p->name, text, len)))
			return p;
	return NULL;
}

static int open_listeners(struct iscsi_server *s, struct portal_listeners *p,
			  struct sockaddr_storage *to, int n, struct err *e)
{
	struct err why = { 0 };

	for (int i = 0; i < n; i++) {
		struct listener *l;

		if (p->n)
			((struct sockaddr_in6 *)&to[i])->sin6_port = bound_port(p->l[0]->fd);
		l = listener_create(s, &to[i], p->portal.text, &why);
		if (l) {
			memcpy(l->name, p->portal.text, sizeof(l->name));
			l->of = p;
			p->l[p->n++] = l;
		} else if (n == 1 || why.code != -EAFNOSUPPORT) {
			break; /* a host without IPv6, or without IPv4, has the other */
		}
	}
	if (p->n && (why.code == 0 || why.code == -EAFNOSUPPORT))
		return 0;
	for (unsigned i = 0; i < p->n; i++) {
		close(p->l[i]->fd);
		free(p->l[i]);
	}
	return err_set(e, why.code, "%s", why.text);
}

int iscsi_portal_add(struct iscsi_server *s, const char *text, struct err *e)
{
	struct sockaddr_storage to[2] = { 0 };
	struct portal_listeners *p;
	int n = portal_parse(text, to, e), rc;

	if (n < 0)
		return n;
	if (s->stopping)
		return err_set(e, -ESHUTDOWN, "portal %s: the server ends", text);
	if (find(s, text))
		return err_set(e, -EEXIST, "portal %s is there already", text);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, -ENOMEM, "portal %s: no memory", text);
	snprintf(p->portal.text, sizeof(p->portal.text), "%s", text);
	rc = open_listeners(s, p, to, n, e);
	if (rc) {
		free(p);
		return rc;
	}
	name_portal(&p->portal, &to[n == 2 && p->n == 1 ? 1 : 0], bound_port(p->l[0]->fd));
	list_push(&s->portals, &p->portal.link);
	for (unsigned i = 0; i < p->n; i++) {
		s->listeners++;
		reactor_post(s->part[0].reactor, &p->l[i]->start, start);
	}
	log_info("iscsi: listening at %s%s", p->portal.name, p->n == 2 ? " and by IPv6" : "");
	return 0;
}

static void portal_close(struct iscsi_server *s, struct iscsi_portal *portal,
			 void (*removed)(void *arg), void *arg)
{
	struct portal_listeners *p = container_of(portal, struct portal_listeners, portal);

	p->removed = removed;
	p->arg = arg;
	for (unsigned i = 0; i < p->n; i++)
		reactor_post(s->part[0].reactor, &p->l[i]->stop, stop);
	list_del(&portal->link);
}

int iscsi_portal_remove(struct iscsi_server *s, const char *text, void (*removed)(void *arg),
			void *arg, struct err *e)
{
	struct iscsi_portal *p = find(s, text);

	if (!p)
		return err_set(e, -ENOENT, "there is no portal %.80s", text);
	portal_close(s, p, removed, arg);
	return 0;
}

struct iscsi_portal *iscsi_portal_next(struct iscsi_server *s, const struct iscsi_portal *prev)
{
	struct list *next = prev ? prev->link.next : s->portals.next;

	return next == &s->portals ? NULL : list_entry(next, struct iscsi_portal, link);
}

const char *iscsi_portal_name(const struct iscsi_portal *p)
{
	return p->name;
}

void portals_close(struct iscsi_server *s)
{
	struct iscsi_portal *p, *next;

	list_for_each_safe(p, next, &s->portals, link)
		portal_close(s, p, NULL, NULL);
	if (!s->listeners)
		portals_closed(s);
}
