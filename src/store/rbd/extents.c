/* SPDX-License-Identifier: BSD-2-Clause */
/* What of an image is allocated. */
#include <errno.h>

#include "store/rbd/rbd.h"

/*
 * How far one look goes. With a valid fast-diff map it is a look into a bitmap; without one
 * librbd asks the OSD of every object.
 */
#define LOOK_FAST (16ull << 30)
#define LOOK_SLOW (256ull << 20)
#define ENOUGH (-ECANCELED) /* ends an iteration early */

struct look {
	uint64_t from; /* where the run begins */
	uint64_t end; /* of the run, as far as is known */
	bool mapped;
};

/* Extents come in ascending order. What does not come is a hole. */
static int extent(uint64_t offset, size_t len, int exists, void *arg)
{
	struct look *l = arg;

	if (!exists || offset + len <= l->from)
		return 0;
	if (offset > (l->mapped ? l->end : l->from)) {
		/* the first byte that is of the other kind */
		l->end = l->mapped ? l->end : offset;
		return ENOUGH;
	}
	l->mapped = true;
	l->end = offset + len;
	return 0;
}

int rbd_extents(struct store_io *io)
{
	struct store *s = channel_store(io->ch);
	struct rbd_handle *h = handle_of(s);
	struct look l = { .from = io->offset };
	uint64_t flags = 0, size = store_size(s), span;
	bool fast;
	int err = rbd_get_flags(h->image, &flags);

	if (err)
		return rbd_failed(s, err, io->verb);
	fast = h->features & RBD_FEATURE_FAST_DIFF &&
	       !(flags & (RBD_FLAG_FAST_DIFF_INVALID | RBD_FLAG_OBJECT_MAP_INVALID));
	span = fast ? LOOK_FAST : LOOK_SLOW;
	if (size <= io->offset)
		return -EINVAL;
	if (span > size - io->offset)
		span = size - io->offset;
	err = rbd_diff_iterate2(h->image, NULL, io->offset, span, 1, fast, extent, &l);
	if (err < 0 && err != ENOUGH)
		return rbd_failed(s, err, io->verb);
	if (!l.end || (err != ENOUGH && !l.mapped))
		l.end = io->offset + span; /* nothing of the other kind was seen */
	if (l.end > size)
		l.end = size;
	io->extent = (struct store_extent){ l.end - io->offset, l.mapped };
	return 0;
}
