/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_PREFIX "/var/run/tgtd/socket"
#define ANSWER_MAX (256u << 20) /* bytes; a daemon that says more is not ours */

static void explain(int err, const char *path, unsigned port, struct err *e)
{
	if (err == ENOENT || err == ECONNREFUSED)
		err_set(e, -err,
			"no tgtd is running with control port %u (%s): start one, or choose "
			"another control port with -C",
			port, path);
	else if (err == EACCES)
		err_set(e, -err,
			"no permission for %s: run as root, or as the user that tgtd runs "
			"as",
			path);
	else
		err_set(e, -err, "cannot connect to %s: %s", path, strerror(err));
}

int client_connect(unsigned port, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *prefix = getenv("TGT_IPC_SOCKET");
	int fd, n, err;

	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "%s.%u",
		     prefix && *prefix ? prefix : DEFAULT_PREFIX, port);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return err_set(e, -ENAMETOOLONG, "TGT_IPC_SOCKET is too long for a socket's path");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	if (!connect(fd, (const struct sockaddr *)&sa, sizeof(sa)))
		return fd;
	err = errno;
	explain(err, sa.sun_path, port, e);
	close(fd);
	return -err;
}

/* ---- one call ------------------------------------------------------------------------ */

static bool send_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* One line, malloc()ed; NULL if the daemon went away. */
static char *receive_line(int fd)
{
	size_t have = 0, room = 4096;
	char *buf = malloc(room), *more;
	ssize_t n;

	while (buf && have < ANSWER_MAX) {
		n = recv(fd, buf + have, room - have - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
		if (memchr(buf + have - n, '\n', (size_t)n)) {
			buf[have] = 0;
			return buf;
		}
		if (have == room - 1) {
			room *= 2;
			more = realloc(buf, room);
			if (!more)
				break;
			buf = more;
		}
	}
	free(buf);
	return NULL;
}

static void take_error(const json_t *error, struct client_error *e)
{
	const json_t *data = get(error, "data");

	e->code = (int)get_int(error, "code");
	if (!e->code)
		e->code = 1;
	e->err = (int)get_int(data, "errno");
	snprintf(e->kind, sizeof(e->kind), "%s", get_str(data, "kind"));
	snprintf(e->text, sizeof(e->text), "%s", get_str(error, "message"));
}

static json_t *take_answer(const char *line, struct client_error *e)
{
	json_t *answer = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL), *result;

	if (!json_is_object(answer)) {
		json_decref(answer);
		e->code = 1;
		snprintf(e->text, sizeof(e->text), "tgtd answered with something else than JSON");
		return NULL;
	}
	result = json_incref(json_object_get(answer, "result"));
	if (!result)
		take_error(get(answer, "error"), e);
	json_decref(answer);
	return result;
}

json_t *client_call(int fd, const char *method, json_t *params, struct client_error *e)
{
	json_t *request = json_pack("{s:s,s:i,s:s,s:o}", "jsonrpc", "2.0", "id", 1, "method",
				    method, "params", params ? params : json_object());
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL, *line = NULL;
	json_t *result = NULL;

	memset(e, 0, sizeof(*e));
	json_decref(request);
	if (!text) {
		e->code = 1;
		snprintf(e->text, sizeof(e->text), "the arguments are not valid UTF-8");
		return NULL;
	}
	if (send_all(fd, text, strlen(text)) && send_all(fd, "\n", 1))
		line = receive_line(fd);
	if (line) {
		result = take_answer(line, e);
	} else {
		e->code = 1;
		e->err = ENOTCONN;
		snprintf(e->text, sizeof(e->text), "tgtd closed the connection: see its log");
	}
	free(line);
	free(text);
	return result;
}

/* ---- reading answers -------------------------------------------------------------------- */

const json_t *get(const json_t *o, const char *key)
{
	return json_object_get(o, key);
}

const char *get_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

long long get_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

bool get_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}
