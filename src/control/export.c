/* SPDX-License-Identifier: BSD-2-Clause */
/* From a path to a target that initiators can use, in one verb. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/json.h"
#include "control/removal.h"
#include "store/nbd/format.h"
#include "transport/iscsi/names.h"

#define NAME_PREFIX "iqn.2026-11.io.stgt"

struct export_job {
	struct call *call;
	struct offload job; /* makes the image, or looks at it */
	const char *bstype; /* NULL: the default */
	char *path; /* copy */
	uint64_t size;
	bool made; /* the image is ours to remove */
	struct msg step; /* to what comes next, or to the failure */
	void (*next)(struct export_job *x);
	enum fail fail;
	int err;
	struct err e;
	uint32_t tid;
	uint64_t lun;
	char *bsopts;
};

static void export_free(struct export_job *x)
{
	free(x->bsopts);
	free(x->path);
	free(x);
}

/* ---- failure: undo ------------------------------------------------------------------ */

static void unlink_run(struct offload *o)
{
	unlink(container_of(o, struct export_job, job)->path);
}

static void unlink_done(struct offload *o)
{
	export_free(container_of(o, struct export_job, job));
}

static void undone(void *arg, int err, const struct err *e)
{
	struct export_job *x = arg;

	if (err)
		log_err("export: %s", e->text);
	if (!x->made || err) {
		export_free(x);
		return;
	}
	x->job = (struct offload){ .run = unlink_run, .done = unlink_done };
	offload_submit(reactor_self(), &x->job, OFFLOAD_SLOW);
}

static void export_failed(struct export_job *x, enum fail fail, const struct err *e)
{
	struct control *c = call_control(x->call);
	struct target *t = x->tid ? target_find(&c->ts, x->tid) : NULL;
	struct err copy = *e, busy;

	call_fail(x->call, fail, &copy);
	if (t && target_busy(c, t, true, &busy))
		undone(x, busy.code, &busy); /* somebody else works on it */
	else if (!t || target_remove(c, t, true, undone, x))
		undone(x, 0, NULL);
}

/* ---- success -------------------------------------------------------------------------- */

static void answer(struct export_job *x)
{
	struct call *c = x->call;
	struct target *t = target_find(&call_control(c)->ts, x->tid);
	const char *acl = call_str(c, "initiator_address", "ALL");
	struct err e = { 0 };

	if (!t)
		err_set(&e, -ENOENT, "target %u has just been deleted", x->tid);
	if (!t || target_going(call_control(c), x->tid, &e) || target_acl_add(t, false, acl, &e)) {
		export_failed(x, FAIL_INVALID, &e);
		return;
	}
	log_info("target %u: %s exports %s as LUN %" PRIu64 " to %s", t->tid, t->name, x->path,
		 x->lun, acl);
	call_reply(c, json_pack("{s:i,s:o,s:I,s:o,s:b}", "tid", (int)t->tid, "name",
				text_json(t->name), "lun", (json_int_t)x->lun, "portals",
				portals_json(call_control(c)), "created", x->made));
	export_free(x);
}

/* ---- steps ---------------------------------------------------------------------------- */

static void step_run(struct msg *m)
{
	struct export_job *x = container_of(m, struct export_job, step);

	if (x->err)
		export_failed(x, x->fail, &x->e);
	else
		x->next(x);
}

/* unit_create() may end while it is still on the stack: go on by message. */
static void step_post(struct export_job *x, enum fail fail, const struct err *e,
		      void (*next)(struct export_job *x))
{
	x->fail = fail;
	x->err = e ? e->code : 0;
	if (e)
		x->e = *e;
	x->next = next;
	reactor_post(call_control(x->call)->self, &x->step, step_run);
}

static void disk_made(struct unit *u, enum fail fail, const struct err *e, void *arg)
{
	step_post(arg, fail, e, answer);
}

static void make_disk(struct export_job *x)
{
	struct call *c = x->call;
	struct unit_spec spec = {
		.tid = x->tid,
		.lun = x->lun,
		.bstype = x->bstype,
		.path = call_str(c, "path", NULL),
		.bsopts = x->bsopts,
		.bsoflags = call_str(c, "bsoflags", NULL),
		.block_size = (uint32_t)call_size(c, "block_size", 0),
		.readonly = call_bool(c, "readonly", false),
		.thin = call_bool(c, "thin", false),
		.params = json_object_get(c->params, "params"),
	};
	enum fail fail;
	struct err e;

	if (unit_create(call_control(c), &spec, disk_made, x, &fail, &e))
		export_failed(x, fail, &e);
}

static void controller_made(struct unit *u, enum fail fail, const struct err *e, void *arg)
{
	step_post(arg, fail, e, make_disk);
}

/* IQN of the export @what on this host: letters, digits, '-', '.' and ':' only (RFC 3722). */
static void default_name(const char *what, char out[ISCSI_NAME_MAX + 1])
{
	const char *base = strrchr(what, '/');
	char host[65] = "localhost";

	gethostname(host, sizeof(host) - 1);
	snprintf(out, ISCSI_NAME_MAX + 1, NAME_PREFIX ":%s:%.120s", host,
		 base && base[1] ? base + 1 : what);
	for (char *p = out; *p; p++) {
		*p = (char)tolower((unsigned char)*p);
		if (!isascii((unsigned char)*p) ||
		    (!isalnum((unsigned char)*p) && !strchr("-.:", *p)))
			*p = '-';
	}
}

static void make_target(struct export_job *x)
{
	struct call *c = x->call;
	char name[ISCSI_NAME_MAX + 1];
	struct target *t;
	enum fail fail;
	struct err e;

	if (call_has(c, "name"))
		snprintf(name, sizeof(name), "%s", call_str(c, "name", ""));
	else
		default_name(x->path, name);
	t = target_make(call_control(c), (uint32_t)call_int(c, "tid", 0), name, controller_made, x,
			&fail, &e);
	if (!t) {
		if (fail == FAIL_TARGET_EXIST && !call_has(c, "name"))
			err_set(&e, -EEXIST, "target %s exists already: choose another --name",
				name);
		export_failed(x, fail, &e);
		return;
	}
	x->tid = t->tid;
}

/* ---- the image -------------------------------------------------------------------------- */

static int make_image(struct export_job *x)
{
	struct stat st;
	int fd;

	fd = open(x->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST) {
		if (stat(x->path, &st))
			return err_set(&x->e, -errno, "cannot look at %s: %s", x->path,
				       strerror(errno));
		if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == x->size)
			return 0;
		return err_set(&x->e, -EEXIST,
			       "%s exists and does not have %" PRIu64 " bytes: leave "
			       "the size out to export it as it is",
			       x->path, x->size);
	}
	if (fd < 0)
		return err_set(&x->e, -errno, "cannot make %s: %s", x->path, strerror(errno));
	x->made = true;
	if (ftruncate(fd, (off_t)x->size))
		err_set(&x->e, -errno, "cannot give %s %" PRIu64 " bytes: %s", x->path, x->size,
			strerror(errno));
	close(fd);
	return x->e.code;
}

/* A name that says: the bytes as they are. */
static bool called_raw(const char *path)
{
	static const char *const ends[] = { ".raw", ".img", ".iso", ".dd", ".bin" };
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < array_size(ends); i++)
		if (!strcasecmp(dot, ends[i]))
			return true;
	return false;
}

/*
 * Nobody said what the file is. An image in one of QEMU's formats is served as what it
 * holds; but the users of a raw disk can write the header of any format into it, so where
 * the name says that it is raw, somebody has to decide.
 */
static int look_at_image(struct export_job *x)
{
	struct image_about about;
	bool needs_path;
	struct stat st;
	char text[300];
	struct err e;

	if (stat(x->path, &st) || !S_ISREG(st.st_mode) ||
	    image_about(x->path, &about, text, sizeof(text)))
		return 0; /* the store says what is wrong with it */
	if (!about.format || !strcmp(about.format, "luks"))
		return 0; /* encrypted by those who use it: they see it as it is */
	if (called_raw(x->path))
		return err_set(&x->e, -EINVAL,
			       "%.200s is called raw, but begins as a %s image: say --type file to "
			       "export it as it is, or "
			       "--type qemu to export what the image holds",
			       x->path, about.format);
	if (store_type_check("qemu", &needs_path, &e))
		return err_set(&x->e, -ENOENT,
			       "%.200s is a %s image, and the plugin store-nbd.so that could read "
			       "it is not installed: "
			       "install it, or say --type file to export the file as it is",
			       x->path, about.format);
	x->bstype = "qemu";
	return 0;
}

static void image_run(struct offload *o)
{
	struct export_job *x = container_of(o, struct export_job, job);

	x->err = x->size ? make_image(x) : 0;
	if (!x->err && !x->made && !x->bstype)
		x->err = look_at_image(x);
}

static void image_done(struct offload *o)
{
	struct export_job *x = container_of(o, struct export_job, job);

	if (x->err)
		export_failed(x, FAIL_INVALID, &x->e);
	else
		make_target(x);
}

static bool built_in(const char *type)
{
	for (unsigned i = 0; store_list[i]; i++)
		if (!strcmp(store_list[i]->name, type))
			return true;
	return false;
}

/* The type that was asked for, or that the path means by itself. NULL: it depends on what is there. */
static const char *type_of(struct call *c)
{
	const char *path = call_str(c, "path", NULL);

	if (call_has(c, "bstype") || !path)
		return call_str(c, "bstype", "file");
	return !strncmp(path, "nbd", 3) && strstr(path, "://") ? "nbd" : NULL;
}

/* False: failed. */
static bool check(struct call *c, const char *type, bool *needs_path)
{
	const char *path = call_str(c, "path", NULL);
	struct err e;

	*needs_path = true;
	if (call_size(c, "block_size", 0) > 65536) {
		call_failf(c, FAIL_INVALID, -EINVAL,
			   "block size: 512, 1024, 2048 or 4096 is needed");
		return false;
	}
	if (store_type_check(type, needs_path, &e)) {
		call_failf(c, FAIL_INVALID, -EINVAL, "%s", e.text);
		return false;
	}
	if (!*needs_path)
		return true;
	if (!path)
		call_failf(c, FAIL_INVALID, -EINVAL, "store type %s needs a path", type);
	else if (path[0] != '/' && built_in(type))
		call_failf(c, FAIL_INVALID, -EINVAL, "path '%.200s' must begin with '/'", path);
	else
		return true;
	return false;
}

/* False: no memory. */
static bool take_words(struct export_job *x, struct call *c, const char *type, bool needs_path)
{
	const char *bsopts = call_str(c, "bsopts", "");

	x->size = call_size(c, "size", 0);
	x->path = strdup(call_str(c, "path", type));
	if (x->size && !needs_path) {
		if (asprintf(&x->bsopts, "%s%ssize=%" PRIu64, bsopts, *bsopts ? ";" : "", x->size) <
		    0)
			x->bsopts = NULL;
	} else {
		x->bsopts = strdup(bsopts);
	}
	return x->path && x->bsopts;
}

void verb_export(struct call *c)
{
	const char *type = type_of(c);
	bool needs_path;
	struct export_job *x;

	if (!check(c, type ? type : "file", &needs_path))
		return;
	x = calloc(1, sizeof(*x));
	if (!x || !take_words(x, c, type ? type : "file", needs_path)) {
		if (x)
			export_free(x);
		call_failf(c, FAIL_NOMEM, -ENOMEM, "no memory for an export");
		return;
	}
	x->call = c;
	x->bstype = type;
	x->lun = (uint64_t)call_int(c, "lun", 1);
	if (!needs_path || (type && !x->size)) {
		make_target(x);
		return;
	}
	x->job = (struct offload){ .run = image_run, .done = image_done };
	offload_submit(call_control(c)->self, &x->job, OFFLOAD_SLOW);
}
