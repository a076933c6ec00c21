/* SPDX-License-Identifier: BSD-2-Clause */
/* What the administrator said of an export or an image, checked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "store/nbd/format.h"
#include "store/nbd/nbd.h"

#define SECOND 1000000000ull
#define SECONDS_MAX 86400

static const char *const schemes[] = {
	"nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "nbd+vsock://", "nbds+vsock://", NULL
};

bool is_uri(const char *path)
{
	for (unsigned i = 0; schemes[i]; i++)
		if (!strncmp(path, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

static bool copy_option(struct store *s, const char *key, char **to)
{
	const char *v = store_option(s, key);

	*to = v ? strdup(v) : NULL;
	return *to || !v;
}

/* One of the words @no, @yes; absent: *@to stays. */
static int read_choice(struct store *s, const char *key, const char *no, const char *yes, bool *to,
		       struct err *e)
{
	const char *v = store_option(s, key);

	if (!v)
		return 0;
	*to = !strcmp(v, yes);
	if (*to || !strcmp(v, no))
		return 0;
	return store_err(e, -EINVAL, "option %s=%.60s of store %s: write %s or %s", key, v,
			 store_type(s), yes, no);
}

static int read_seconds(struct store *s, const char *key, uint64_t def, uint64_t *ns, struct err *e)
{
	uint64_t v = def;
	int err = store_option_number(s, key, &v, e);

	if (err)
		return err;
	if (v > SECONDS_MAX)
		return store_err(e, -EINVAL, "option %s is above %d seconds: use less", key,
				 SECONDS_MAX);
	*ns = v * SECOND;
	return 0;
}

static int read_connections(struct config *c, struct store *s, struct err *e)
{
	uint64_t n = 0;
	int err = store_option_number(s, "connections", &n, e);

	if (err)
		return err;
	if (n > CONNECTIONS_MAX)
		return store_err(e, -EINVAL, "option connections is above %d: use less",
				 CONNECTIONS_MAX);
	c->connections = (unsigned)n;
	return 0;
}

/* ---- nbd ---- */

static int check_target(const struct config *c, struct err *e)
{
	bool uri = is_uri(c->path);

	if (!uri && (c->path[0] != '/' || strstr(c->path, "://")))
		return store_err(
			e, -EINVAL,
			"'%.200s' is no NBD server: write nbd://HOST/EXPORT, nbds://HOST/EXPORT, "
			"nbd+unix:///EXPORT?socket=PATH, or the path of a socket",
			c->path);
	if (!uri && strlen(c->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return store_err(e, -ENAMETOOLONG,
				 "socket %.120s...: the path is too long: move it", c->path);
	if (uri && c->export_name)
		return store_err(
			e,
			-EINVAL, "option export belongs to a socket: write the export's name into the URI %.200s",
			c->path);
	if (uri && c->tls && strncmp(c->path, "nbds", 4) != 0)
		return store_err(e, -EINVAL,
				 "%.200s is without TLS, but tls=require is asked for: write nbds",
				 c->path);
	return 0;
}

static int check_tls(const struct config *c, struct store *s, struct err *e)
{
	const char *said = store_option(s, "tls");
	bool nbds = is_uri(c->path) && !strncmp(c->path, "nbds", 4);
	bool details = c->tls_certificates || c->tls_psk_file || c->tls_username;

	if (nbds && said && !c->tls)
		return store_err(e, -EINVAL,
				 "%.200s asks for TLS, but tls=off is said: take one away", c->path);
	if (details && !c->tls && !nbds)
		return store_err(e, -EINVAL,
				 "TLS options are given, but no TLS is asked for: add tls=require");
	return 0;
}

static int read_nbd(struct config *c, struct store *s, struct err *e)
{
	int err = read_choice(s, "tls", "off", "require", &c->tls, e);

	if (!err)
		err = read_choice(s, "survives", "no", "yes", &c->survives, e);
	if (!err)
		err = read_seconds(s, "settle", 10, &c->settle_ns, e);
	if (err)
		return err;
	if (!copy_option(s, "export", &c->export_name) ||
	    !copy_option(s, "tls_certificates", &c->tls_certificates) ||
	    !copy_option(s, "tls_psk_file", &c->tls_psk_file) ||
	    !copy_option(s, "tls_username", &c->tls_username))
		return store_err(e, -ENOMEM, "no memory for the options of store nbd");
	err = check_target(c, e);
	return err ? err : check_tls(c, s, e);
}

/* ---- qemu ---- */

static const char *const caches[] = { "writeback",  "none",   "writethrough",
				      "directsync", "unsafe", NULL };

static int check_word(const char *key, const char *word, const char *const *list, struct err *e)
{
	const char *near;

	if (!word)
		return 0;
	for (unsigned i = 0; list[i]; i++)
		if (!strcmp(list[i], word))
			return 0;
	near = store_suggest(word, list);
	return store_err(e, -EINVAL, "option %s of store qemu does not know '%.40s': %s%s%s", key,
			 word, near ? "did you mean '" : "see tgt-store-qemu(7)", near ? near : "",
			 near ? "'?" : "");
}

static int choose_format(struct config *c, struct err *e)
{
	struct image_about about;
	char text[TEXT_MAX];
	int err = image_about(c->path, &about, text, sizeof(text));

	if (err)
		return store_err(e, err, "%s", text);
	if (!c->format && !about.format)
		return store_err(e, -EINVAL,
				 "%.200s is no image that is recognised: if it is raw, use store "
				 "type file; else name "
				 "the format with bsopts format=",
				 c->path);
	if (about.or_format && c->format && !strcmp(c->format, about.or_format))
		about = (struct image_about){ .format = about.or_format };
	else if (about.or_format && !c->format)
		return store_err(e, -EINVAL,
				 "%.200s begins as a %s image and ends as a %s image, and one of "
				 "them is what a "
				 "user of the disk wrote: say which it is with bsopts format=",
				 c->path, about.format, about.or_format);
	if (!c->format && !(c->format = strdup(about.format)))
		return store_err(e, -ENOMEM, "no memory for the options of store qemu");
	if (image_has_magic(c->format) && (!about.format || strcmp(about.format, c->format) != 0))
		return store_err(e, -EINVAL,
				 "%.200s is no %s image, it %s%s: leave format= out or correct it",
				 c->path, c->format, about.format ? "is " : "has no such header",
				 about.format ? about.format : "");
	if (about.other_files && !c->backing)
		return store_err(e, -EPERM,
				 "%.200s names other files that belong to it (%s): say bsopts "
				 "backing=yes if whoever made "
				 "it may have tgtd open them",
				 c->path, about.other_files);
	return 0;
}

static int read_qemu(struct config *c, struct store *s, struct err *e)
{
	int err = read_choice(s, "snapshot", "no", "yes", &c->snapshot, e);

	if (!err)
		err = read_choice(s, "backing", "no", "yes", &c->backing, e);
	if (err)
		return err;
	if (!copy_option(s, "format", &c->format) || !copy_option(s, "cache", &c->cache) ||
	    !copy_option(s, "key_file", &c->key_file))
		return store_err(e, -ENOMEM, "no memory for the options of store qemu");
	if (c->path[0] != '/')
		return store_err(e, -EINVAL, "image '%.200s': the path must begin with '/'",
				 c->path);
	if (c->key_file && c->key_file[0] != '/')
		return store_err(e, -EINVAL, "key_file '%.200s': the path must begin with '/'",
				 c->key_file);
	err = check_word("format", c->format, image_formats, e);
	if (!err)
		err = check_word("cache", c->cache, caches, e);
	return err ? err : choose_format(c, e);
}

/* ---- both ---- */

int config_read(struct config *c, struct store *s, const struct store_spec *spec, bool managed,
		struct err *e)
{
	int err;

	c->managed = managed;
	c->readonly = spec->readonly;
	c->path = strdup(spec->path ? spec->path : "");
	if (!c->path)
		return store_err(e, -ENOMEM, "no memory for the options of store %s", spec->type);
	if (spec->oflags && *spec->oflags)
		return store_err(e, -EINVAL, "store %s has no open flags: leave '%.60s' out%s",
				 spec->type, spec->oflags,
				 managed ? "; bsopts cache= says what the server does" : "");
	err = read_connections(c, s, e);
	if (!err)
		err = read_seconds(s, "timeout", 20, &c->timeout_ns, e);
	if (err)
		return err;
	return managed ? read_qemu(c, s, e) : read_nbd(c, s, e);
}

void config_free(struct config *c)
{
	free(c->path);
	free(c->export_name);
	free(c->tls_certificates);
	free(c->tls_psk_file);
	free(c->tls_username);
	free(c->key_file);
	free(c->format);
	free(c->cache);
	*c = (struct config){ 0 };
}
