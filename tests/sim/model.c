/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/list.h"
#include "client.h"

#define FOREVER UINT64_MAX
#define WORDS (SIM_SECTOR / 8)

/* A write, as one sector knows it. */
struct trace {
	uint64_t id; /* 0: zeroes at the beginning of all */
	uint64_t began, ended; /* FOREVER: not yet */
	uint64_t seen_until; /* reads that begin later must not see it; FOREVER */
	uint64_t follows; /* number of a write that it must come after; 0: none */
	bool zero; /* its content is zeroes */
	bool stable; /* it was acknowledged, and made stable */
	bool acknowledged;
	bool seen; /* by a read */
	bool doubtful; /* a flush failed after it */
	bool may_survive; /* the power may fail and leave it */
};

struct sector {
	struct trace *trace;
	unsigned n, room;
};

struct model {
	unsigned disk;
	uint64_t sectors;
	uint64_t next_id;
	uint64_t oldest; /* nothing that began before is under way */
	unsigned writes;
	struct sector sector[];
};

struct model_write {
	struct model *m;
	uint64_t id, first, n;
	uint64_t before[4]; /* numbers of writes that come first; they may be over */
	unsigned nbefore;
};

/* ---- content ------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * 0x9fb21c651e98df25;
	return x ^ (x >> 28);
}

static void stamp(const struct model *m, uint8_t *to, uint64_t sector, uint64_t id)
{
	uint64_t w[WORDS], key = mix(id << 20 ^ sector ^ (uint64_t)m->disk << 60);

	w[0] = id;
	w[1] = sector | (uint64_t)m->disk << 32;
	for (unsigned i = 2; i < WORDS; i++)
		w[i] = key + i;
	memcpy(to, w, sizeof(w));
}

/* The write that @data is of; FOREVER: it is no whole sector of any. */
static uint64_t content_id(const struct model *m, const uint8_t *data, uint64_t sector)
{
	uint8_t want[SIM_SECTOR] = { 0 };
	uint64_t id;

	memcpy(&id, data, sizeof(id));
	if (id)
		stamp(m, want, sector, id);
	return memcmp(data, want, SIM_SECTOR) ? FOREVER : id;
}

static bool matches(const struct trace *t, uint64_t id)
{
	return id ? t->id == id && !t->zero : t->zero;
}

/* ---- sectors ------------------------------------------------------------------------- */

static struct trace *trace_add(struct sector *s)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 4;
		s->trace = realloc(s->trace, s->room * sizeof(*s->trace));
		if (!s->trace)
			abort();
	}
	return &s->trace[s->n++];
}

static struct trace *trace_find(struct sector *s, uint64_t id)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->trace[i].id == id)
			return &s->trace[i];
	return NULL;
}

/* Who ended before @moment cannot be there any more at @now, save those that match @id. */
static void overtake(struct sector *s, uint64_t moment, uint64_t now, const struct trace *but,
		     uint64_t id)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct trace *t = &s->trace[i];

		if (t != but && t->ended < moment && t->seen_until > now &&
		    (id == FOREVER || !matches(t, id)))
			t->seen_until = now;
	}
}

static void prune(struct model *m, struct sector *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (s->trace[i].may_survive || s->trace[i].seen_until >= m->oldest)
			s->trace[n++] = s->trace[i];
	s->n = n;
}

/* @t is stable: what ended before it began will not survive in its place. */
static void settle(struct sector *s, struct trace *t)
{
	t->stable = true;
	for (unsigned i = 0; i < s->n; i++)
		if (s->trace[i].ended < t->began)
			s->trace[i].may_survive = false;
}

static void describe(const struct sector *s, char *text, size_t room)
{
	size_t used = 0;

	*text = 0;
	for (unsigned i = 0; i < s->n && used < room; i++) {
		const struct trace *t = &s->trace[i];
		int n = snprintf(text + used, room - used, " %llu%s[%llu-%lld until %lld%s%s]",
				 (unsigned long long)t->id, t->zero ? "(zero)" : "",
				 (unsigned long long)t->began, (long long)t->ended,
				 (long long)t->seen_until, t->stable ? " stable" : "",
				 t->may_survive ? "" : " gone");

		used += (size_t)n;
	}
}

/* Which parts of @data are whose. */
static void torn(const struct model *m, uint64_t sector, const uint8_t *data, const char *what)
{
	uint64_t w[WORDS], want[WORDS];
	unsigned i = 0;

	memcpy(w, data, sizeof(w));
	stamp(m, (uint8_t *)want, sector, w[0]);
	while (i < WORDS && w[i] == want[i])
		i++;
	sim_violation("disk %u sector %llu: %s found content like write %llx of disk and sector "
		      "%llx, until byte %u",
		      m->disk, (unsigned long long)sector, what, (unsigned long long)w[0],
		      (unsigned long long)w[1], i * 8);
}

static __attribute__((noreturn)) void impossible(struct model *m, uint64_t sector, uint64_t id,
						 uint64_t began, const char *what)
{
	char text[2000];

	describe(&m->sector[sector], text, sizeof(text));
	sim_violation("disk %u sector %llu: %s begun at %llu found write %llu; possible:%s",
		      m->disk, (unsigned long long)sector, what, (unsigned long long)began,
		      (unsigned long long)id, text);
}

/* ---- writes -------------------------------------------------------------------------- */

struct model_write *model_write_begin(struct model *m, uint64_t first, uint64_t n, uint8_t *data)
{
	struct model_write *w = calloc(1, sizeof(*w));
	uint64_t now = sim_moment();

	*w = (struct model_write){ .m = m, .id = m->next_id++, .first = first, .n = n };
	for (uint64_t i = 0; i < n; i++) {
		prune(m, &m->sector[first + i]);
		*trace_add(&m->sector[first + i]) = (struct trace){
			.id = w->id,
			.began = now,
			.ended = FOREVER,
			.seen_until = FOREVER,
			.zero = !data,
			.may_survive = true,
		};
		if (data)
			stamp(m, data + i * SIM_SECTOR, first + i, w->id);
	}
	m->writes++;
	return w;
}

void model_write_order(struct model_write *before, struct model_write *after)
{
	if (after->nbefore < array_size(after->before))
		after->before[after->nbefore++] = before->id;
}

static void end_done(struct model_write *w, struct sector *s, struct trace *t, uint64_t now,
		     bool stable)
{
	t->acknowledged = true;
	overtake(s, t->began, now, t, FOREVER);
	for (unsigned i = 0; i < w->nbefore; i++) {
		struct trace *b = trace_find(s, w->before[i]);

		if (b && b->seen_until > now)
			b->seen_until = now;
	}
	for (unsigned i = 0; t->follows && i < s->n; i++)
		if (s->trace[i].id == t->follows && s->trace[i].seen_until > now)
			s->trace[i].seen_until = now;
	if (stable)
		settle(s, t);
}

static void end_refused(struct model *m, uint64_t sector, struct trace *t)
{
	struct sector *s = &m->sector[sector];

	if (t->seen)
		sim_violation("disk %u sector %llu: write %llu was refused, but a read saw it",
			      m->disk, (unsigned long long)sector, (unsigned long long)t->id);
	*t = s->trace[--s->n];
}

void model_write_end(struct model_write *w, enum model_end how)
{
	struct model *m = w->m;
	uint64_t now = sim_moment();

	for (uint64_t i = 0; i < w->n; i++) {
		struct sector *s = &m->sector[w->first + i];
		struct trace *t = trace_find(s, w->id);

		if (how == WRITE_REFUSED) {
			end_refused(m, w->first + i, t);
			continue;
		}
		t->ended = now;
		if (how != WRITE_FAILED)
			end_done(w, s, t, now, how == WRITE_STABLE);
	}
	m->writes--;
	free(w);
}

/* ---- what is seen ---------------------------------------------------------------------- */

static bool possible(const struct sector *s, uint64_t id, uint64_t began)
{
	for (unsigned i = 0; i < s->n; i++)
		if (matches(&s->trace[i], id) && s->trace[i].seen_until >= began)
			return true;
	return false;
}

static void saw(struct model *m, uint64_t sector, const uint8_t *data, uint64_t began,
		const char *what)
{
	struct sector *s = &m->sector[sector];
	uint64_t id = content_id(m, data, sector);

	if (id == FOREVER)
		torn(m, sector, data, what);
	if (!possible(s, id, began))
		impossible(m, sector, id, began, what);
	for (unsigned i = 0; id && i < s->n; i++)
		s->trace[i].seen |= matches(&s->trace[i], id);
	overtake(s, began, sim_moment(), NULL, id);
}

void model_read(struct model *m, uint64_t first, uint64_t n, const uint8_t *data, uint64_t began)
{
	for (uint64_t i = 0; i < n; i++)
		saw(m, first + i, data + i * SIM_SECTOR, began, "a read");
}

/* True if nothing but @id could be there since @began. */
static bool certain(const struct sector *s, uint64_t id, uint64_t began)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!matches(&s->trace[i], id) && s->trace[i].seen_until >= began)
			return false;
	return true;
}

void model_compared(struct model *m, uint64_t first, uint64_t n, const uint8_t *data,
		    uint64_t began, bool equal)
{
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *at = data + i * SIM_SECTOR;

		if (equal)
			saw(m, first + i, at, began, "a compare");
		else if (!certain(&m->sector[first + i], content_id(m, at, first + i), began))
			return;
	}
	if (!equal)
		sim_violation(
			"disk %u sectors %llu+%llu: a miscompare, but nothing else can be there",
			m->disk, (unsigned long long)first, (unsigned long long)n);
}

static unsigned count_matches(const struct sector *s, uint64_t id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n; i++)
		n += matches(&s->trace[i], id);
	return n;
}

void model_replaced(struct model_write *w, const uint8_t *data)
{
	for (uint64_t i = 0; i < w->n; i++) {
		struct sector *s = &w->m->sector[w->first + i];
		uint64_t id = content_id(w->m, data + i * SIM_SECTOR, w->first + i);
		struct trace *mine = trace_find(s, w->id), *old = trace_find(s, id);

		if (!id || !old || count_matches(s, id) != 1)
			continue;
		for (unsigned k = 0; k < s->n; k++) {
			struct trace *t = &s->trace[k];

			if (t == mine || t == old || t->began < old->ended)
				continue;
			t->follows = w->id;
			if (t->acknowledged)
				mine->seen_until = min(mine->seen_until, sim_moment());
		}
	}
}

void model_forget(struct model *m, uint64_t oldest)
{
	m->oldest = oldest;
}

/* ---- what is safe ----------------------------------------------------------------------- */

void model_flushed(struct model *m, uint64_t began)
{
	for (uint64_t i = 0; i < m->sectors; i++) {
		struct sector *s = &m->sector[i];

		for (unsigned k = 0; k < s->n; k++)
			if (s->trace[k].acknowledged && !s->trace[k].doubtful &&
			    !s->trace[k].stable && s->trace[k].ended < began)
				settle(s, &s->trace[k]);
	}
}

void model_doubt(struct model *m)
{
	for (uint64_t i = 0; i < m->sectors; i++)
		for (unsigned k = 0; k < m->sector[i].n; k++)
			m->sector[i].trace[k].doubtful = true;
}

void model_power_cut(struct model *m)
{
	uint64_t now = sim_moment();

	for (uint64_t i = 0; i < m->sectors; i++) {
		struct sector *s = &m->sector[i];
		unsigned n = 0;

		for (unsigned k = 0; k < s->n; k++) {
			struct trace t = s->trace[k];

			if (!t.may_survive)
				continue;
			t.ended = min(t.ended, now);
			t.seen = t.acknowledged = t.stable = false; /* who knows which it is */
			t.seen_until = FOREVER;
			s->trace[n++] = t;
		}
		s->n = n;
		if (n == 1)
			s->trace[0].acknowledged = s->trace[0].stable = true;
	}
}

unsigned model_writes(const struct model *m)
{
	return m->writes;
}

/* ---- life ------------------------------------------------------------------------------- */

struct model *model_new(unsigned disk, uint64_t sectors)
{
	struct model *m = calloc(1, sizeof(*m) + sectors * sizeof(m->sector[0]));

	m->disk = disk;
	m->sectors = sectors;
	m->next_id = 1;
	for (uint64_t i = 0; i < sectors; i++)
		*trace_add(&m->sector[i]) = (struct trace){
			.seen_until = FOREVER,
			.zero = true,
			.stable = true,
			.acknowledged = true,
			.may_survive = true,
		};
	return m;
}

void model_free(struct model *m)
{
	for (uint64_t i = 0; i < m->sectors; i++)
		free(m->sector[i].trace);
	free(m);
}
