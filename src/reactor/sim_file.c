/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulated files: a page cache over a medium. Every write leaves an entry in
 * a log until it is stable; when the power fails, each sector of the medium has
 * its stable content or that of any entry of the log.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "reactor/sim_internal.h"

/* Sectors that were written and are not stable. */
struct entry {
	struct entry *next;
	uint64_t seq;
	uint64_t first; /* sector */
	size_t n;
	uint8_t *dead; /* by sector: it is stable, overtaken or lost */
	uint8_t data[];
};

struct sim_file {
	uint64_t size;
	uint8_t *cache, *stable;
	struct entry *log, **log_end; /* oldest first */
	uint64_t seq; /* of the next entry */
	size_t entries;
};

struct sim_fd {
	struct sim_file *file;
};

/* ---- the log ------------------------------------------------------------------------ */

static void log_add(struct sim_file *f, uint64_t offset, size_t len)
{
	uint64_t first = offset / SIM_SECTOR, end = (offset + len + SIM_SECTOR - 1) / SIM_SECTOR;
	size_t n = end - first;
	struct entry *e = sim_alloc(sizeof(*e) + n * (SIM_SECTOR + 1));

	e->seq = f->seq++;
	e->first = first;
	e->n = n;
	e->dead = e->data + n * SIM_SECTOR;
	memcpy(e->data, f->cache + first * SIM_SECTOR, n * SIM_SECTOR);
	*f->log_end = e;
	f->log_end = &e->next;
	f->entries++;
}

static void log_clean(struct sim_file *f)
{
	struct entry **at = &f->log, *e;

	while ((e = *at)) {
		if (memchr(e->dead, 0, e->n)) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		f->entries--;
		free(e);
	}
	f->log_end = at;
}

/*
 * Sectors @first to @first + @n - 1 of the entries before @seq become stable;
 * with @lossy some never will, and the log forgets them all the same.
 */
static void make_stable(struct sim_file *f, uint64_t first, uint64_t n, uint64_t seq, bool lossy)
{
	for (struct entry *e = f->log; e && e->seq < seq; e = e->next) {
		for (size_t i = 0; i < e->n; i++) {
			uint64_t s = e->first + i;

			if (e->dead[i] || s < first || s - first >= n)
				continue;
			e->dead[i] = 1;
			if (!lossy || sim_below(2))
				memcpy(f->stable + s * SIM_SECTOR, e->data + i * SIM_SECTOR,
				       SIM_SECTOR);
		}
	}
	log_clean(f);
}

/* ---- doing -------------------------------------------------------------------------- */

static struct sim_file *file_of(int fd)
{
	struct sim_fd *d = sim_fd_of(fd, false);

	return d ? d->file : NULL;
}

static size_t iov_bytes(const struct io_op *op)
{
	size_t n = 0;

	for (unsigned i = 0; i < op->iovcnt; i++)
		n += op->iov[i].iov_len;
	return n;
}

/* Copy bytes @from to @to of the operation's memory. */
static void copy(struct sim_file *f, const struct io_op *op, size_t from, size_t to)
{
	size_t pos = 0;

	for (unsigned i = 0; i < op->iovcnt && pos < to; i++) {
		uint8_t *base = op->iov[i].iov_base;
		size_t len = op->iov[i].iov_len, a = max(from, pos), b = min(to, pos + len);

		if (a < b && op->verb == IO_PREADV)
			memcpy(base + (a - pos), f->cache + op->offset + a, b - a);
		else if (a < b)
			memcpy(f->cache + op->offset + a, base + (a - pos), b - a);
		pos += len;
	}
}

static void do_piece(struct sim_file *f, const struct io_op *op, size_t from, size_t to)
{
	if (from == to)
		return;
	if (op->verb == IO_FALLOCATE)
		memset(f->cache + op->start + from, 0, to - from);
	else
		copy(f, op, from, to);
	if (op->verb != IO_PREADV)
		log_add(f, (op->verb == IO_FALLOCATE ? op->start : op->offset) + from, to - from);
}

/* The largest position up to @to where a sector ends, so that none is torn. */
static size_t at_sector(const struct io_op *op, size_t to)
{
	uint64_t offset = op->verb == IO_FALLOCATE ? op->start : op->offset;
	uint64_t end = round_down(offset + to, SIM_SECTOR);

	return end > offset ? end - offset : 0;
}

/* How far it will get, and how it will end. */
static int decide(struct sim_file *f, const struct io_op *op, size_t *end)
{
	const struct sim_faults *x = sim_faults();
	uint64_t offset = op->verb == IO_FALLOCATE ? op->start : op->offset;
	size_t want = op->verb == IO_FALLOCATE ? op->length : iov_bytes(op);
	bool write = op->verb != IO_PREADV;
	int fate = 0;

	want = offset < f->size ? min(want, f->size - offset) : 0;
	if (!write && sim_chance(x->no_buffers))
		fate = -ENOMEM;
	else if (sim_chance(write ? x->write_error : x->read_error))
		fate = -EIO;
	else if (write && sim_chance(x->full))
		fate = -ENOSPC;
	*end = want;
	if (fate || (op->verb != IO_FALLOCATE && sim_chance(x->short_io)))
		*end = at_sector(op, sim_below(want + 1));
	if (!fate && want && !*end)
		*end = want;
	return fate;
}

static int result(struct sim_file *f, const struct io_op *op, size_t end, int fate)
{
	if (fate < 0)
		return fate;
	if (op->verb == IO_FALLOCATE)
		return 0;
	if (op->verb == IO_PWRITEV && op->rw_flags)
		make_stable(f, op->offset / SIM_SECTOR, end / SIM_SECTOR, f->seq, false);
	return (int)end;
}

int sim_file_now(struct io_op *op, bool nowait)
{
	struct sim_file *f = file_of(op->fd);
	size_t end;
	int fate;

	if (!f)
		return -EBADF;
	if (nowait && sim_chance(sim_faults()->again))
		return -EAGAIN;
	fate = decide(f, op, &end);
	do_piece(f, op, 0, end);
	return result(f, op, end, fate);
}

/* ---- in the background --------------------------------------------------------------- */

static uint64_t duration(void)
{
	return sim_chance(sim_faults()->stall) ? sim_below(20 * NSEC_PER_SEC) : sim_delay();
}

static void sync_fired(struct timer *t)
{
	struct sim_op *so = container_of(t, struct sim_op, timer);
	struct sim_file *f = so->file->file;
	bool lossy = sim_chance(sim_faults()->sync_error);

	make_stable(f, 0, f->size / SIM_SECTOR, so->mark, lossy);
	sim_op_end(so, lossy ? -EIO : 0);
}

static void piece_fired(struct timer *t)
{
	struct sim_op *so = container_of(t, struct sim_op, timer);
	struct sim_file *f = so->file->file;
	size_t to = so->end;

	if (--so->pieces)
		to = max(so->pos, at_sector(so->op, so->pos + sim_below(so->end - so->pos + 1)));
	do_piece(f, so->op, so->pos, to);
	so->pos = to;
	if (so->pieces)
		sim_arm(&so->timer, sim_delay(), piece_fired);
	else
		sim_op_end(so, result(f, so->op, so->end, so->fate));
}

bool sim_file_start(struct sim_op *so)
{
	so->file = sim_fd_of(so->op->fd, false);
	if (!so->file)
		return false;
	if (so->op->verb == IO_FDATASYNC) {
		so->mark = so->file->file->seq;
		sim_arm(&so->timer, duration(), sync_fired);
		return true;
	}
	so->fate = decide(so->file->file, so->op, &so->end);
	so->pieces = 1 + (unsigned)(sim_below(3) ? 0 : sim_below(3));
	sim_arm(&so->timer, duration(), piece_fired);
	return true;
}

static void cancelled(struct timer *t)
{
	sim_op_end(container_of(t, struct sim_op, timer), -ECANCELED);
}

void sim_file_cancel(struct sim_op *so)
{
	/* what has begun is not taken back */
	if (so->pos || sim_chance(sim_faults()->late_cancel))
		return;
	sim_arm(&so->timer, sim_delay(), cancelled);
}

/* ---- files ---------------------------------------------------------------------------- */

struct sim_file *sim_file_create(uint64_t size)
{
	struct sim_file *f = sim_alloc(sizeof(*f));

	f->size = size;
	f->cache = sim_alloc(size);
	f->stable = sim_alloc(size);
	f->log_end = &f->log;
	return f;
}

void sim_file_free(struct sim_file *f)
{
	struct entry *e;

	while ((e = f->log)) {
		f->log = e->next;
		free(e);
	}
	free(f->cache);
	free(f->stable);
	free(f);
}

uint64_t sim_file_size(const struct sim_file *f)
{
	return f->size;
}

int sim_file_open(struct sim_file *f)
{
	struct sim_fd *d = sim_alloc(sizeof(*d));

	d->file = f;
	return sim_fd_new(d, false);
}

void sim_file_close(int fd)
{
	struct sim_fd *d = sim_fd_of(fd, false);

	sim_fd_free(fd);
	free(d);
}

void sim_file_peek(const struct sim_file *f, void *data, size_t len, uint64_t offset)
{
	memcpy(data, f->cache + offset, len);
}

size_t sim_file_dirty(const struct sim_file *f)
{
	return f->entries;
}

/* Any version of each sector, each with the same chance. */
static void scatter(struct sim_file *to, const struct sim_file *f)
{
	uint8_t *versions = sim_alloc(f->size / SIM_SECTOR);

	for (const struct entry *e = f->log; e; e = e->next) {
		for (size_t i = 0; i < e->n; i++) {
			uint64_t s = e->first + i;

			if (e->dead[i])
				continue;
			if (versions[s] < 254)
				versions[s]++;
			if (!sim_below(versions[s] + 1u))
				memcpy(to->stable + s * SIM_SECTOR, e->data + i * SIM_SECTOR,
				       SIM_SECTOR);
		}
	}
	free(versions);
}

struct sim_file *sim_file_cut(const struct sim_file *f)
{
	struct sim_file *to = sim_file_create(f->size);

	memcpy(to->stable, f->stable, f->size);
	if (sim_below(4)) /* else nothing had been written back */
		scatter(to, f);
	memcpy(to->cache, to->stable, f->size);
	return to;
}

struct sim_file *sim_file_twin(const struct sim_file *f)
{
	struct sim_file *to = sim_file_create(f->size);

	memcpy(to->cache, f->cache, f->size);
	memcpy(to->stable, f->stable, f->size);
	for (const struct entry *e = f->log; e; e = e->next) {
		size_t bytes = sizeof(*e) + e->n * (SIM_SECTOR + 1);
		struct entry *copy = sim_alloc(bytes);

		memcpy(copy, e, bytes);
		copy->next = NULL;
		copy->dead = copy->data + copy->n * SIM_SECTOR;
		*to->log_end = copy;
		to->log_end = &copy->next;
	}
	to->seq = f->seq;
	to->entries = f->entries;
	return to;
}
