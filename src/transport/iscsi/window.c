/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command window. MaxCmdSN - ExpCmdSN + 1 open credits are a promise to
 * take as many commands with FirstBurstLength of unsolicited data each, so
 * the session keeps that much memory reserved. Depth, the commands that may be
 * under way, begins small, doubles when more than half is used and the
 * pool allows, and halves when little was used for a while. What was promised
 * is never taken back: MaxCmdSN does not fall. Its memory is kept, unless another
 * session has none: should all promises then be called in, some get TASK SET FULL.
 */
#include "transport/iscsi/session.h"

#define GROW_AGAIN_NS (100 * NSEC_PER_MSEC) /* after the pool refused */

/* At most half of the pool is kept for windows. */
static bool reserve(struct iscsi_session *s, size_t bytes)
{
	struct iscsi_part *part = s->part;

	if (part->window_bytes + bytes > part->cap / 2 || !bufpool_reserve(part->bufs, bytes)) {
		part->scarce = true;
		part_watch(part);
		return false;
	}
	part->window_bytes += bytes;
	s->reserved += bytes;
	return true;
}

static void unreserve(struct iscsi_session *s, size_t bytes)
{
	s->part->window_bytes -= bytes;
	s->reserved -= bytes;
	bufpool_unreserve(s->part->bufs, bytes);
}

/* Memory for @depth credits, or as much as there is. */
static void refill(struct iscsi_session *s, unsigned depth)
{
	size_t want = depth * s->unit;

	if (likely(s->reserved >= want) || reserve(s, want - s->reserved))
		return;
	if (s->reserved < s->unit)
		reserve(s, s->unit - s->reserved);
}

void session_window_init(struct iscsi_session *s, unsigned depth_max)
{
	depth_max = min(depth_max, (unsigned)WINDOW_MAX);
	s->depth_max = max(depth_max, 1u);
	s->depth = min((unsigned)WINDOW_MIN, s->depth_max);
	refill(s, s->depth);
}

static unsigned open_credits(const struct iscsi_session *s)
{
	unsigned open = s->depth > s->active ? s->depth - s->active : 0;

	if (s->unit)
		open = min(open, (unsigned)(s->reserved / s->unit));
	/* the last credit is given without memory: TASK SET FULL is an answer too */
	return !open && !s->active ? 1 : open;
}

uint32_t session_max_cmd_sn(struct iscsi_session *s)
{
	uint32_t sn;

	if (s->unit && unlikely(s->reserved < s->depth * s->unit))
		refill(s, s->depth);
	sn = s->exp_cmd_sn + open_credits(s) - 1;
	if (serial_lt(s->max_cmd_sn, sn))
		s->max_cmd_sn = sn;
	return s->max_cmd_sn;
}

void session_used(struct iscsi_session *s)
{
	unsigned depth = min(s->depth * 2, s->depth_max);
	unsigned used;
	uint64_t now;

	s->batch++;
	used = max(s->active, s->batch);
	s->peak = max(s->peak, used);
	if (likely(used * 2 <= s->depth || s->depth == s->depth_max))
		return;
	now = reactor_now(s->part->reactor);
	if (now < s->grow_at)
		return;
	refill(s, depth);
	if (s->reserved >= depth * s->unit)
		s->depth = depth;
	else
		s->grow_at = now + GROW_AGAIN_NS;
}

bool session_sweep(struct iscsi_session *s)
{
	uint32_t promised = s->max_cmd_sn - s->exp_cmd_sn + 1;
	size_t need;

	if (s->depth > WINDOW_MIN && s->peak * 4 < s->depth)
		s->depth /= 2;
	s->peak = s->active;
	need = (s->part->scarce ? s->depth : max(promised, s->depth)) * s->unit;
	if (s->reserved > need)
		unreserve(s, s->reserved - need);
	return s->depth > WINDOW_MIN;
}

struct buf *session_buf(struct iscsi_session *s, size_t size, bool immediate)
{
	uint32_t class = buf_class_of(size);
	struct buf *b;

	if (immediate || s->reserved < class)
		return bufpool_get(s->part->bufs, size);
	b = bufpool_get_reserved(s->part->bufs, size);
	if (b) {
		s->reserved -= b->size;
		s->part->window_bytes -= b->size;
	}
	return b;
}
