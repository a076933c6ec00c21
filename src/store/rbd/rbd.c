/* SPDX-License-Identifier: BSD-2-Clause */
/* Images of a Ceph cluster, by librbd: what the store is; io.c has what it does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/rbd/rbd.h"

#define PUBLIC __attribute__((visibility("default")))

#define PHYSICAL 4096 /* what BlueStore allocates */
#define TIMEOUT_MAX 86400

/* ---- opening ---- */

static const char *const rbd_options[] = { "conf",	"id",	   "cluster", "pool",
					   "namespace", "timeout", NULL };

static int copy_option(struct store *s, const char *key, char *to, size_t room, struct err *e)
{
	const char *v = store_option(s, key);

	if (!v)
		return 0;
	if (strlen(v) >= room)
		return store_err(e, -ENAMETOOLONG, "the option %s is longer than %zu characters",
				 key, room - 1);
	snprintf(to, room, "%s", v);
	return 0;
}

static int user_option(struct store *s, struct rbd_handle *h, struct err *e)
{
	char id[NAME_ROOM - 8] = "admin";
	int err = copy_option(s, "id", id, sizeof(id), e);

	/* Ceph says client.NAME in some places and NAME in others */
	snprintf(h->user, sizeof(h->user), "%s%s", strncmp(id, "client.", 7) ? "client." : "", id);
	return err;
}

static int timeout_option(struct store *s, struct rbd_handle *h, struct err *e)
{
	uint64_t v = 0;
	int err = store_option_number(s, "timeout", &v, e);

	if (err)
		return err;
	if (store_option(s, "timeout") && (v < 1 || v > TIMEOUT_MAX))
		return store_err(e, -EINVAL,
				 "timeout=%.32s: a number of seconds from 1 to %d is needed; "
				 "without an end requests would hang with the cluster",
				 store_option(s, "timeout"), TIMEOUT_MAX);
	h->op_timeout = (unsigned)v;
	return 0;
}

static int take_spec(struct store *s, struct rbd_handle *h, const struct store_spec *spec,
		     struct err *e)
{
	int err = rbd_name_parse(&h->name, spec->path, store_option(s, "pool"),
				 store_option(s, "namespace"), e);

	snprintf(h->cluster_name, sizeof(h->cluster_name), "ceph");
	h->readonly = spec->readonly;
	if (!err)
		err = copy_option(s, "conf", h->conf, sizeof(h->conf), e);
	if (!err)
		err = copy_option(s, "cluster", h->cluster_name, sizeof(h->cluster_name), e);
	if (!err)
		err = user_option(s, h, e);
	if (!err)
		err = timeout_option(s, h, e);
	if (!err && h->name.snap[0] && !spec->readonly)
		return store_err(e, -EROFS,
				 "'%.200s' is a snapshot, which never changes: make the unit "
				 "read-only, or serve a clone of it",
				 spec->path);
	return err;
}

static void set_limits(struct store_limits *l, const struct rbd_handle *h, uint32_t block)
{
	l->size = h->size;
	l->block = SECTOR;
	l->physical = PHYSICAL;
	l->optimal_io = h->stripe_unit;
	l->discard_granularity = h->stripe_unit && h->discard_granularity > h->stripe_unit
					 ? h->stripe_unit
					 : (uint32_t)h->discard_granularity;
	l->readonly = h->readonly;
	l->affinity = STORE_AFFINITY_HOME;
	l->fua = l->write_through = !h->cached;
	for (enum store_verb v = 0; v < STORE_COPY; v++)
		l->cap[v] = STORE_CAP_NATIVE;
	/* the order that extents come in holds for whole objects only */
	if (h->features & RBD_FEATURE_STRIPINGV2)
		l->cap[STORE_EXTENTS] = STORE_CAP_EMULATE;
	/* more than a sector is refused by most versions, and asking would write */
	l->max_compare = block == SECTOR ? SECTOR : 0;
	if (!l->max_compare)
		l->cap[STORE_COMPARE_WRITE] = STORE_CAP_NO;
}

static void say_what_is_odd(struct store *s, const struct rbd_handle *h)
{
	if (h->cached)
		store_log_warn(s,
			       "the image or its pool is set to rbd_cache=true, so the unit has a "
			       "volatile write cache: rbd config image rm %s rbd_cache",
			       h->name.image);
	if (h->op_timeout < h->failover)
		store_log_warn(s,
			       "requests are given up after %u s, but this cluster may take "
			       "%u s to replace an OSD: make timeout= longer",
			       h->op_timeout, h->failover);
	if (h->others[0])
		store_log_warn(s,
			       "the image is open for writing elsewhere, too (%s): two writers "
			       "that do not know of each other destroy a file system",
			       h->others);
}

static int rbd_store_open(struct store *s, const struct store_spec *spec, struct err *e)
{
	struct rbd_store *r = store_priv(s);
	struct rbd_handle *h = rbd_handle_new();
	int err;

	if (!h)
		return store_err(e, -ENOMEM, "no memory for an image's handle");
	err = take_spec(s, h, spec, e);
	if (err) {
		rbd_handle_free(h);
		return err;
	}
	err = rbd_handle_open(h, e);
	if (err)
		return err;
	r->h = h;
	set_limits(store_limits_of(s), h, spec->block_size);
	say_what_is_odd(s, h);
	return 0;
}

static void rbd_store_close(struct store *s)
{
	struct rbd_handle *h = handle_of(s);

	if (!rbd_handle_close(h))
		store_log_warn(s, "closing the image takes long: a thread goes on with it, and the "
				  "cluster may see this client until then");
}

static int rbd_store_size(struct store *s, uint64_t *size, struct err *e)
{
	struct rbd_handle *h = handle_of(s);
	int err = 0;

	if (atomic_load(&h->lost))
		return store_err(e, -ENOTCONN,
				 "the cluster is away: reopen the unit when it is back");
	if (*size && h->readonly)
		return store_err(e, -EROFS,
				 "the unit is read-only: resize the image with rbd resize");
	if (*size)
		err = rbd_resize(h->image, *size);
	if (!err)
		err = rbd_get_size(h->image, size);
	if (!err)
		return 0;
	if (err == -ETIMEDOUT || err == -ESHUTDOWN)
		rbd_failed(s, err, STORE_WRITE);
	return store_err(e, err, "cannot %s the image: %s; see what rbd status says of it",
			 *size ? "resize" : "ask for the size of", strerror(-err));
}

static const struct store_ops rbd_store = {
	.api = STORE_API,
	.name = "rbd",
	.summary = "image of a Ceph cluster",
	.options = rbd_options,
	.needs_path = true,
	.store_size = sizeof(struct rbd_store),
	.channel_size = sizeof(struct rbd_channel),
	.open = rbd_store_open,
	.close = rbd_store_close,
	.size = rbd_store_size,
	.channel_open = rbd_channel_open,
	.channel_close = rbd_channel_close,
	.submit = rbd_submit,
};

PUBLIC const struct store_ops *const store_plugin[] = { &rbd_store, NULL };
