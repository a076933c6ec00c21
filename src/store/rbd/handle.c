/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing of images, on threads of their own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "store/rbd/rbd.h"

#define CONNECT_SECONDS 30
/* Covers a cluster that has kept Ceph's defaults, and the 30 s after which a dead owner's lock is taken over. */
#define OP_SECONDS 60
#define CLOSE_SECONDS 5
#define OPEN_OPS 3 /* operations that opening may wait for, one after the other */
#define NAMES_MAX 512 /* of which one is suggested */

struct rbd_handle *rbd_handle_new(void)
{
	struct rbd_handle *h = calloc(1, sizeof(*h));
	pthread_condattr_t mono;

	if (!h)
		return NULL;
	h->event_fd = -1;
	h->connect_timeout = CONNECT_SECONDS;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &mono);
	pthread_condattr_destroy(&mono);
	return h;
}

void rbd_handle_free(struct rbd_handle *h)
{
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- a thread that is waited for only so long ---- */

static void give_up(struct rbd_handle *h);

static void *thread_main(void *arg)
{
	struct rbd_handle *h = arg;
	bool left;
	int err;

	pthread_setname_np(pthread_self(), "stgt-rbd");
	err = h->run(h);
	pthread_mutex_lock(&h->lock);
	h->err = err;
	h->done = true;
	left = h->left;
	pthread_cond_signal(&h->changed);
	pthread_mutex_unlock(&h->lock);
	if (left) { /* nobody else knows @h any more */
		give_up(h);
		rbd_handle_free(h);
	}
	return NULL;
}

/* What @run(@h) returns, or -EINPROGRESS: it runs on, @h is its thread's, and nothing of it may be touched. */
static int bounded(struct rbd_handle *h, int (*run)(struct rbd_handle *h), unsigned seconds)
{
	struct timespec until;
	pthread_attr_t detached;
	pthread_t t;
	int rc;

	h->run = run;
	h->done = false;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&t, &detached, thread_main, h);
	pthread_attr_destroy(&detached);
	if (rc)
		return run(h); /* no thread to be had: this one may block, too */
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&h->lock);
	while (!h->done && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&h->changed, &h->lock, &until);
	h->left = !h->done;
	rc = h->done ? h->err : -EINPROGRESS;
	pthread_mutex_unlock(&h->lock);
	return rc;
}

/* ---- telling of changes ---- */

void rbd_handle_tell(struct rbd_handle *h, struct store *s)
{
	pthread_mutex_lock(&h->lock);
	h->store = s;
	if (s && h->missed)
		store_notify(s, STORE_RESIZED);
	h->missed = false;
	pthread_mutex_unlock(&h->lock);
}

/* On a thread of librbd's. The header has changed: the size, or a snapshot was made. */
static void header_changed(void *arg)
{
	struct rbd_handle *h = arg;

	pthread_mutex_lock(&h->lock);
	if (h->store)
		store_notify(h->store, STORE_RESIZED);
	else
		h->missed = true;
	pthread_mutex_unlock(&h->lock);
}

/* ---- the end ---- */

int rbd_handle_fence(struct rbd_handle *h)
{
	char *addr = NULL;
	int err = rados_getaddrs(h->cluster, &addr);

	if (!err)
		err = rados_blocklist_add(h->cluster, addr,
					  0); /* 0: as long as the cluster usually does */
	rados_buffer_free(addr);
	if (!err)
		atomic_store(&h->fenced, true);
	return err;
}

/* Whatever there is of @h is given back. */
static void give_up(struct rbd_handle *h)
{
	if (atomic_load(&h->unsettled) && !atomic_load(&h->fenced))
		rbd_handle_fence(h);
	if (h->has_watch)
		rbd_update_unwatch(h->image, h->watch);
	if (h->has_image)
		rbd_close(h->image);
	if (h->has_pool)
		rados_ioctx_destroy(h->pool);
	if (h->cluster)
		rados_shutdown(h->cluster);
	if (h->event_fd >= 0)
		close(h->event_fd);
	h->has_watch = h->has_image = h->has_pool = false;
	h->cluster = NULL;
	h->event_fd = -1;
}

static int closing(struct rbd_handle *h)
{
	give_up(h);
	return 0;
}

bool rbd_handle_close(struct rbd_handle *h)
{
	rbd_handle_tell(h, NULL);
	if (bounded(h, closing, CLOSE_SECONDS) == -EINPROGRESS)
		return false;
	rbd_handle_free(h);
	return true;
}

/* ---- what may have been meant ---- */

static void add_near(char *near, size_t room, const char *word, const char *const *list)
{
	const char *name = store_suggest(word, list);

	if (name)
		snprintf(near, room, ": did you mean '%.100s'?", name);
}

static void near_pool(struct rbd_handle *h, char *near, size_t room)
{
	const char *list[NAMES_MAX + 1] = { NULL };
	char names[16384];
	unsigned n = 0;
	int len = rados_pool_list(h->cluster, names, sizeof(names));

	near[0] = 0;
	if (len < 0 || len > (int)sizeof(names)) /* nothing, or not all, was filled in */
		return;
	for (const char *p = names; *p && n < NAMES_MAX; p += strlen(p) + 1)
		list[n++] = p;
	add_near(near, room, h->name.pool, list);
}

static void near_image(struct rbd_handle *h, char *near, size_t room)
{
	const char *list[NAMES_MAX + 1] = { NULL };
	rbd_image_spec_t images[NAMES_MAX];
	size_t n = NAMES_MAX;

	near[0] = 0;
	if (rbd_list2(h->pool, images, &n) < 0)
		return; /* too many: it would take long, too */
	for (size_t i = 0; i < n; i++)
		list[i] = images[i].name;
	add_near(near, room, h->name.image, list);
	rbd_image_spec_list_cleanup(images, n);
}

static void near_snap(struct rbd_handle *h, char *near, size_t room)
{
	const char *list[NAMES_MAX + 1] = { NULL };
	rbd_snap_info_t snaps[NAMES_MAX];
	int max = NAMES_MAX, n;

	near[0] = 0;
	n = rbd_snap_list(h->image, snaps, &max);
	if (n < 0)
		return;
	for (int i = 0; i < n; i++)
		list[i] = snaps[i].name;
	add_near(near, room, h->name.snap, list);
	if (n)
		rbd_snap_list_end(snaps);
}

/* ---- opening ---- */

#define REFUSE(h, code, ...) (snprintf((h)->why, sizeof((h)->why), __VA_ARGS__), (code))

static double conf_number(struct rbd_handle *h, const char *key, double otherwise)
{
	char text[64], *end;
	double v;

	if (rados_conf_get(h->cluster, key, text, sizeof(text)))
		return otherwise;
	v = strtod(text, &end);
	return end == text || !(v >= 0 && v < 1e9) ? otherwise : v;
}

static int set(struct rbd_handle *h, const char *key, const char *value)
{
	int err = rados_conf_set(h->cluster, key, value);

	if (err)
		return REFUSE(h, err, "librados does not take %s=%s: %s", key, value,
			      strerror(-err));
	return 0;
}

static int set_seconds(struct rbd_handle *h, const char *key, unsigned seconds)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", seconds);
	return set(h, key, text);
}

/* An OSD that dies is missed after the grace, at the next of its peers' looks; then its peers settle. */
static void choose_timeouts(struct rbd_handle *h)
{
	double conf = conf_number(h, "rados_osd_op_timeout", 0);

	h->failover = (unsigned)(conf_number(h, "osd_heartbeat_grace", 20) +
				 conf_number(h, "osd_heartbeat_interval", 6) + 1);
	if (!h->op_timeout && conf >= 1)
		h->op_timeout = (unsigned)conf;
	if (!h->op_timeout)
		h->op_timeout = 2 * h->failover > OP_SECONDS ? 2 * h->failover : OP_SECONDS;
	if (h->connect_timeout > h->op_timeout)
		h->connect_timeout = h->op_timeout;
	h->discard_granularity = (uint64_t)conf_number(h, "rbd_discard_granularity_bytes", 65536);
}

static int configure(struct rbd_handle *h)
{
	static const char *const fixed[][2] = {
		{ "rbd_cache", "false" }, /* what is answered is stable, and stays when we die */
		{ "rbd_non_blocking_aio", "true" }, /* a reactor never waits in a submission */
		{ "rbd_discard_on_zeroed_write_same", "false" }, /* WRITE SAME writes */
	};
	int err = rados_create2(&h->cluster, h->cluster_name, h->user, 0);

	if (err) {
		h->cluster = NULL;
		return REFUSE(h, err, "librados cannot begin as %s of cluster %s: %s", h->user,
			      h->cluster_name, strerror(-err));
	}
	err = rados_conf_read_file(h->cluster, h->conf[0] ? h->conf : NULL);
	if (err)
		return REFUSE(h, err,
			      "cannot read the Ceph configuration %.200s: %s; name another file "
			      "with the option conf=PATH",
			      h->conf[0] ? h->conf : "at its usual places (/etc/ceph/ceph.conf)",
			      strerror(-err));
	choose_timeouts(h);
	for (unsigned i = 0; !err && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		err = set(h, fixed[i][0], fixed[i][1]);
	if (!err)
		err = set_seconds(h, "client_mount_timeout", h->connect_timeout);
	if (!err)
		err = set_seconds(h, "rados_mon_op_timeout", h->connect_timeout);
	if (!err)
		err = set_seconds(h, "rados_osd_op_timeout", h->op_timeout);
	return err;
}

static int connect_to(struct rbd_handle *h)
{
	int err = rados_connect(h->cluster);

	/* the monitor that we have may be behind with an entry of the blocklist, see rbd_handle_fence() */
	if (!err)
		err = rados_wait_for_latest_osdmap(h->cluster);
	if (err == -ETIMEDOUT)
		return REFUSE(h, err,
			      "no monitor of the Ceph cluster answered within %u s: see that they "
			      "run and that mon_host in the configuration names them",
			      h->connect_timeout);
	if (err)
		return REFUSE(h, err,
			      "the Ceph cluster does not take %s: %s; see to mon_host and to the "
			      "keyring of this user, or name another user with the option id=",
			      h->user, strerror(-err));
	return 0;
}

static int open_pool(struct rbd_handle *h)
{
	bool there = true;
	char near[160];
	int err = rados_ioctx_create(h->cluster, h->name.pool, &h->pool);

	if (err == -ENOENT) {
		near_pool(h, near, sizeof(near));
		return REFUSE(h, err, "there is no pool '%.100s'%s", h->name.pool, near);
	}
	if (err)
		return REFUSE(h, err, "cannot open the pool '%.100s': %s", h->name.pool,
			      strerror(-err));
	h->has_pool = true;
	if (!h->name.space[0])
		return 0;
	if (!rbd_namespace_exists(h->pool, h->name.space, &there) && !there)
		return REFUSE(h, -ENOENT,
			      "pool '%.100s' has no namespace '%.100s': create it with rbd "
			      "namespace create %.100s/%.100s",
			      h->name.pool, h->name.space, h->name.pool, h->name.space);
	rados_ioctx_set_namespace(h->pool, h->name.space);
	return 0;
}

static int image_refused(struct rbd_handle *h, int err)
{
	char near[160];

	switch (err) {
	case -ENOENT:
		near_image(h, near, sizeof(near));
		return REFUSE(h, err, "pool '%.100s' has no image '%.100s'%s", h->name.pool,
			      h->name.image, near[0] ? near : "; create it with rbd create --size");
	case -ETIMEDOUT:
		return REFUSE(h, err,
			      "the OSDs of pool '%.100s' did not answer within %u s: see what "
			      "ceph -s says",
			      h->name.pool, h->op_timeout);
	case -EPERM:
	case -EACCES:
	case -EROFS:
		return REFUSE(h, err,
			      "%.64s may not %s image '%.100s' (%s): give it the capability "
			      "profile %s on pool '%.100s'%s",
			      h->user, h->readonly ? "read" : "write", h->name.image,
			      strerror(-err), h->readonly ? "rbd-read-only" : "rbd", h->name.pool,
			      h->readonly ? "" : ", or make the unit read-only");
	default:
		return REFUSE(h, err, "cannot open image '%.100s' in pool '%.100s': %s",
			      h->name.image, h->name.pool, strerror(-err));
	}
}

static int open_snap(struct rbd_handle *h)
{
	char near[160];
	int err = rbd_snap_set(h->image, h->name.snap);

	if (err == -ENOENT) {
		near_snap(h, near, sizeof(near));
		return REFUSE(h, err, "image '%.100s' has no snapshot '%.100s'%s", h->name.image,
			      h->name.snap, near);
	}
	if (err)
		return REFUSE(h, err, "cannot open snapshot '%.100s' of image '%.100s': %s",
			      h->name.snap, h->name.image, strerror(-err));
	return 0;
}

static int open_image(struct rbd_handle *h)
{
	int err = h->readonly ? rbd_open_read_only(h->pool, h->name.image, &h->image, NULL)
			      : rbd_open(h->pool, h->name.image, &h->image, NULL);

	if (err)
		return image_refused(h, err);
	h->has_image = true;
	return h->name.snap[0] ? open_snap(h) : 0;
}

/* One who has the image open for writing watches its header; we are one of them. */
static void look_for_others(struct rbd_handle *h)
{
	rbd_image_watcher_t w[16];
	char *own = NULL;
	size_t n = 16, used;

	if (h->readonly || rados_getaddrs(h->cluster, &own) ||
	    rbd_watchers_list(h->image, w, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		used = strlen(h->others);
		if (strcmp(w[i].addr, own) && used + strlen(w[i].addr) + 3 < sizeof(h->others))
			snprintf(h->others + used, sizeof(h->others) - used, "%s%s",
				 used ? ", " : "", w[i].addr);
	}
	if (n)
		rbd_watchers_list_cleanup(w, n);
	rados_buffer_free(own);
}

/* What is set for an image or its pool counts more than what we say of it. */
static bool cache_is_on(struct rbd_handle *h)
{
	static rbd_config_option_t none[1];
	rbd_config_option_t *list = none;
	int n = 0, err = rbd_config_image_list(h->image, list, &n);
	bool on = false;

	if (err == -ERANGE && n > 0) {
		list = calloc((size_t)n, sizeof(*list));
		err = list ? rbd_config_image_list(h->image, list, &n) : -ENOMEM;
	}
	for (int i = 0; !err && i < n; i++)
		if (!strcmp(list[i].name, "rbd_cache"))
			on = strcmp(list[i].value, "false") && strcmp(list[i].value, "0");
	if (!err)
		rbd_config_image_list_cleanup(list, n);
	if (list != none)
		free(list);
	return err ? true : on;
}

static int look_at(struct rbd_handle *h)
{
	uint64_t unit = 0;
	int err = rbd_get_size(h->image, &h->size);

	if (!err)
		err = rbd_get_features(h->image, &h->features);
	if (!err)
		err = rbd_get_stripe_unit(h->image, &unit);
	if (err)
		return REFUSE(h, err, "cannot ask image '%.100s' for its size: %s", h->name.image,
			      strerror(-err));
	h->stripe_unit = unit > UINT32_MAX ? 0 : (uint32_t)unit;
	h->cached = cache_is_on(h);
	look_for_others(h);
	return 0;
}

static int listen_to(struct rbd_handle *h)
{
	int err;

	h->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (h->event_fd < 0)
		return REFUSE(h, -errno, "no eventfd: %s", strerror(errno));
	err = rbd_set_image_notification(h->image, h->event_fd, EVENT_TYPE_EVENTFD);
	if (err)
		return REFUSE(h, err, "librbd does not take an eventfd: %s", strerror(-err));
	/* a read-only opening is not told of changes by the cluster */
	if (!h->readonly)
		h->has_watch = !rbd_update_watch(h->image, &h->watch, header_changed, h);
	return 0;
}

static int opening(struct rbd_handle *h)
{
	int err = configure(h);

	if (!err)
		err = connect_to(h);
	if (!err)
		err = open_pool(h);
	if (!err)
		err = open_image(h);
	if (!err)
		err = look_at(h);
	if (!err)
		err = listen_to(h);
	return err;
}

int rbd_handle_open(struct rbd_handle *h, struct err *e)
{
	unsigned op = h->op_timeout ? h->op_timeout : OP_SECONDS;
	unsigned seconds = h->connect_timeout + OPEN_OPS * op;
	struct rbd_name name = h->name;
	int err = bounded(h, opening, seconds);

	if (err == -EINPROGRESS)
		return store_err(e, -ETIMEDOUT,
				 "opening image '%.100s' in pool '%.100s' has taken %u s and is "
				 "given up: see what ceph -s says",
				 name.image, name.pool, seconds);
	if (!err)
		return 0;
	store_err(e, err, "%s", h->why);
	rbd_handle_close(h);
	return err;
}
