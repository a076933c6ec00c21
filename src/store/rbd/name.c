/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of images, as tgt and the rbd command write them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/rbd/rbd.h"

static int part(char *to, const char *from, size_t len, const char *what, const char *path,
		struct err *e)
{
	if (!len)
		return store_err(
			e, -EINVAL,
			"the %s in the path '%.200s' is empty: write "
			"pool/image, pool/namespace/image or image, with @snapshot after it "
			"to serve a snapshot",
			what, path);
	if (len >= NAME_ROOM)
		return store_err(e, -ENAMETOOLONG,
				 "the %s in the path '%.200s...' is longer than %d characters",
				 what, path, NAME_ROOM - 1);
	memcpy(to, from, len);
	to[len] = 0;
	return 0;
}

/* What an option says of @what, which the path may have said already. */
static int agree(char *to, const char *from, const char *what, const char *path, struct err *e)
{
	if (!from)
		return 0;
	if (*to && strcmp(to, from))
		return store_err(e, -EINVAL,
				 "the path '%.200s' says %s '%.64s', the option %s=%.64s: leave "
				 "one of them out",
				 path, what, to, what, from);
	return part(to, from, strlen(from), what, path, e);
}

static int split(struct rbd_name *n, const char *path, size_t len, struct err *e)
{
	const char *first = memchr(path, '/', len), *second = NULL;
	const char *end = path + len;
	int err;

	if (!first)
		return part(n->image, path, len, "image", path, e);
	second = memchr(first + 1, '/', (size_t)(end - first - 1));
	if (second && memchr(second + 1, '/', (size_t)(end - second - 1)))
		return store_err(e, -EINVAL,
				 "the path '%.200s' has too many parts: write "
				 "pool/image, pool/namespace/image or image",
				 path);
	err = part(n->pool, path, (size_t)(first - path), "pool", path, e);
	if (!err && second)
		err = part(n->space, first + 1, (size_t)(second - first - 1), "namespace", path, e);
	first = second ? second : first;
	return err ? err : part(n->image, first + 1, (size_t)(end - first - 1), "image", path, e);
}

int rbd_name_parse(struct rbd_name *n, const char *path, const char *pool, const char *space,
		   struct err *e)
{
	size_t len = strcspn(path, "@");
	int err;

	memset(n, 0, sizeof(*n));
	err = split(n, path, len, e);
	if (!err && path[len])
		err = part(n->snap, path + len + 1, strlen(path + len + 1), "snapshot", path, e);
	if (!err)
		err = agree(n->pool, pool, "pool", path, e);
	if (!err)
		err = agree(n->space, space, "namespace", path, e);
	if (!err && !n->pool[0])
		snprintf(n->pool, sizeof(n->pool), "rbd");
	return err;
}
