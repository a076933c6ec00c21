/* SPDX-License-Identifier: BSD-2-Clause */
/* The stores nbd and qemu: opening, closing, and what they can do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/nbd/nbd.h"

#define CONNECT_MS 10000
/* A server of ours opens the image first, which may have to be checked. */
#define MANAGED_MS 60000
/* It writes what it has not written yet before it ends. */
#define END_MS 30000
/* Between the end of its socket and its own. */
#define LAST_WORDS_MS 5000
/* Without a word of the server's: what all of them take. */
#define IO_MAX (32u << 20)
/* libnbd takes no more in one command. */
#define LIBNBD_MAX (64u << 20)
/* As much as one DISCARD drops at a time, so that the server can do other things between. */
#define DISCARD_MAX (1ull << 30)

static bool is_managed(const struct store_spec *spec)
{
	return !strcmp(spec->type, "qemu");
}

static struct where where_to(const struct nbd_store *st)
{
	return (struct where){ &st->config, st->server ? server_socket(st->server) : NULL };
}

static void fill_limits(struct store_limits *l, const struct nbd_store *st)
{
	const struct features *f = &st->features;
	uint32_t max_io = f->max_io ? f->max_io : IO_MAX;

	l->size = f->size;
	l->block = f->min_block ? f->min_block : 1;
	l->mem_align = l->block;
	if (f->preferred >= 512 && f->preferred <= 65536)
		l->physical = f->preferred;
	l->max_io = max_io < LIBNBD_MAX ? max_io : LIBNBD_MAX;
	if (l->max_io > l->block)
		l->max_io &= ~(l->block - 1);
	l->optimal_io = f->preferred < l->max_io ? f->preferred : l->max_io;
	l->max_discard = DISCARD_MAX;
	l->readonly = f->readonly;
	l->fua = f->fua;
	l->cap[STORE_READ] = STORE_CAP_NATIVE;
	l->cap[STORE_WRITE] = STORE_CAP_NATIVE;
	l->cap[STORE_FLUSH] = f->flush ? STORE_CAP_NATIVE : STORE_CAP_EMULATE;
	l->cap[STORE_ZERO] = f->zero ? STORE_CAP_NATIVE : STORE_CAP_EMULATE;
	l->cap[STORE_DISCARD] = f->zero && f->trim ? STORE_CAP_NATIVE : STORE_CAP_NO;
	l->cap[STORE_EXTENTS] = f->extents ? STORE_CAP_NATIVE : STORE_CAP_EMULATE;
}

/* ---- opening ---- */

static int no_connection(const struct nbd_store *st, const char *text, struct err *e)
{
	char said[TEXT_MAX] = "";

	if (!st->server)
		return store_err(e, -ENOTCONN,
				 "cannot use the NBD server at %.160s: %.200s: see that it runs "
				 "there, that the export's "
				 "name is right, and that both sides agree on TLS",
				 st->config.path, text);
	/* one that has let go of its socket is about to end, and has said why by then */
	server_dead(st->server, LAST_WORDS_MS);
	server_said(st->server, said);
	return store_err(e, -EIO, "qemu-nbd cannot serve image %.160s: %.240s", st->config.path,
			 *said ? said : text);
}

static int check_features(const struct nbd_store *st, struct err *e)
{
	const struct features *f = &st->features;
	const char *path = st->config.path;

	if (f->readonly && !st->config.readonly)
		return store_err(e, -EROFS, "%.200s can only be read: make the unit read-only",
				 path);
	if (st->config.connections > 1 && !f->multi)
		return store_err(e, -EINVAL,
				 "the server of %.200s does not say that several connections see "
				 "the same data: leave "
				 "option connections out",
				 path);
	return 0;
}

static int connect_spares(struct nbd_store *st, struct err *e)
{
	struct where to = where_to(st);
	unsigned ms = st->server ? MANAGED_MS : CONNECT_MS;
	char text[TEXT_MAX];
	int err;

	st->spare[0] = nbd_connect(&to, ms, &st->features, &st->pidfd, text);
	if (!st->spare[0])
		return no_connection(st, text, e);
	err = check_features(st, e);
	st->per_channel = st->config.connections ? st->config.connections : 1;
	for (unsigned i = 1; i < st->per_channel && !err; i++) {
		struct features again;

		st->spare[i] = nbd_connect(&to, ms, &again, NULL, text);
		if (!st->spare[i])
			err = no_connection(st, text, e);
	}
	return err;
}

/* True: all went well. */
static bool take_down(struct nbd_store *st)
{
	bool well;

	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		nbd_bye(st->spare[i]);
	if (st->pidfd >= 0)
		close(st->pidfd);
	well = !st->server || server_end(st->server, END_MS);
	config_free(&st->config);
	pthread_mutex_destroy(&st->lock);
	return well;
}

static void nbd_store_close(struct store *s)
{
	if (!take_down(store_priv(s)))
		store_log_warn(s, "its server did not end well: what was not flushed may be lost");
}

static int nbd_store_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct nbd_store *st = store_priv(s);
	int err;

	st->s = s;
	st->pidfd = -1;
	pthread_mutex_init(&st->lock, NULL);
	err = config_read(&st->config, s, spec, is_managed(spec), e);
	if (!err && st->config.managed) {
		st->server = server_start(&st->config, e);
		err = st->server ? 0 : -ENOENT;
	}
	if (!err)
		err = connect_spares(st, e);
	if (err) {
		take_down(st);
		return err;
	}
	fill_limits(store_limits_of(s), st);
	/* several connections only where a flush on one covers them all */
	if (st->config.connections || !st->features.multi)
		store_limits_of(s)->affinity = STORE_AFFINITY_HOME;
	return 0;
}

/* ---- the size ---- */

static int nbd_store_size(struct store *s, uint64_t *size, struct err *e)
{
	struct nbd_store *st = store_priv(s);
	struct where to = { &st->config, NULL };
	struct features f = { 0 };
	char text[TEXT_MAX];
	bool changed;

	if (*size)
		return store_err(
			e, -EOPNOTSUPP, "an NBD client cannot resize %.200s: %s", st->config.path,
			st->config.managed
				? "take the unit offline and use qemu-img resize"
				: "resize it at the server, then resize the unit without a size");
	if (!st->config.managed) { /* nobody else changes an image that a server of ours holds */
		struct nbd_handle *h = nbd_connect(&to, CONNECT_MS, &f, NULL, text);

		if (!h)
			return no_connection(st, text, e);
		nbd_bye(h);
	}
	pthread_mutex_lock(&st->lock);
	changed = !st->config.managed && f.size != st->features.size;
	if (changed)
		st->features.size = f.size;
	*size = st->features.size;
	pthread_mutex_unlock(&st->lock);
	if (changed)
		recover_refresh(st); /* a connection knows the size as it was when it was made */
	return 0;
}

static const char *const nbd_options[] = {
	"connections",	"export",  "tls",    "tls_certificates", "tls_psk_file",
	"tls_username", "timeout", "settle", "survives",	 NULL
};
static const char *const qemu_options[] = { "connections", "timeout", "format",	  "cache",
					    "snapshot",	   "backing", "key_file", NULL };

static const struct store_ops nbd_ops = {
	.api = STORE_API,
	.name = "nbd",
	.summary = "an export of an NBD server",
	.options = nbd_options,
	.needs_path = true,
	.store_size = sizeof(struct nbd_store),
	.channel_size = sizeof(struct channel),
	.open = nbd_store_open,
	.close = nbd_store_close,
	.size = nbd_store_size,
	.channel_open = channel_start,
	.channel_close = channel_end,
	.submit = request_submit,
	.cancel = request_cancel,
};

static const struct store_ops qemu_ops = {
	.api = STORE_API,
	.name = "qemu",
	.summary = "an image in qcow2, vmdk, vhdx or another format, by a qemu-nbd of its own",
	.options = qemu_options,
	.needs_path = true,
	.store_size = sizeof(struct nbd_store),
	.channel_size = sizeof(struct channel),
	.open = nbd_store_open,
	.close = nbd_store_close,
	.size = nbd_store_size,
	.channel_open = channel_start,
	.channel_close = channel_end,
	.submit = request_submit,
	.cancel = request_cancel,
};

__attribute__((visibility("default")))
const struct store_ops *const store_plugin[] = { &nbd_ops, &qemu_ops, NULL };
