/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool wanted(const struct unit *u, uint32_t tid, int64_t lun)
{
	return u->ready && !u->removing && (!tid || u->tid == tid) &&
	       (lun < 0 || u->lun == (uint64_t)lun);
}

static void finish(struct gather *g)
{
	g->done(g);
	for (unsigned i = 0; i < g->n; i++) {
		free(g->s[i].rows);
		unit_unref(g->s[i].unit);
	}
	free(g->sessions);
	free(g);
}

static void put(struct gather *g)
{
	if (--g->left == 0)
		finish(g);
}

/* On control. */
static void answered(struct msg *m)
{
	put(container_of(m, struct sample, msg)->gather);
}

/* On control. */
static void session_answered(struct iscsi_session_info *i)
{
	put(container_of(i, struct session_sample, info)->gather);
}

/* On control. */
static void vhost_answered(struct vhost_session_info *i)
{
	put(container_of(i, struct session_sample, vhost)->gather);
}

/* On the home. */
static void copy_view(struct sample *s, struct lu *lu)
{
	const struct itl *itl;

	s->view = lu->view;
	s->ident = *lu->view.ident;
	s->view.ident = NULL; /* may be replaced before control reads it */
	list_for_each(itl, &lu->itls, home.link)
		s->prevent |= itl->home.prevent;
}

/* On the sample's reactor. Without memory there are fewer rows. */
static void copy_rows(struct sample *s, const struct lu_part *part)
{
	const struct itl *itl;
	unsigned n = 0;

	list_for_each(itl, &part->itls, part_link)
		n++;
	if (!n)
		return;
	s->rows = calloc(n, sizeof(*s->rows));
	if (!s->rows)
		return;
	list_for_each(itl, &part->itls, part_link)
		s->rows[s->nrows++] = (struct sample_row){ itl->nexus->id, itl->stats };
}

/* On the sample's reactor. */
static void asked(struct msg *m)
{
	struct sample *s = container_of(m, struct sample, msg);
	struct lu *lu = s->unit->lu;

	if (s->home)
		copy_view(s, lu);
	if (s->gather->what & GATHER_STATS)
		copy_rows(s, &lu->part[reactor_id(s->reactor)]);
	reactor_post(s->gather->control->self, m, answered);
}

static void add_samples(struct gather *g, struct unit *u)
{
	struct control *c = g->control;

	for (unsigned r = 0; r < c->nreactors; r++) {
		bool home = c->reactors[r] == u->lu->home;

		if (!home && !(g->what & GATHER_STATS))
			continue;
		g->s[g->n++] = (struct sample){
			.gather = g,
			.unit = u,
			.reactor = c->reactors[r],
			.home = home,
		};
		unit_ref(u);
	}
}

static unsigned count_samples(struct control *c, uint32_t tid, int64_t lun, unsigned what)
{
	const struct unit *u;
	unsigned n = 0;

	if (!(what & GATHER_UNITS))
		return 0;
	list_for_each(u, &c->units, link)
		n += wanted(u, tid, lun) ? (what & GATHER_STATS ? c->nreactors : 1) : 0;
	return n;
}

/* What its transport knows of it. */
static void ask_session(struct gather *g, struct session_sample *s, struct it_nexus *n)
{
	if (n->tops == &iscsi_transport_ops) {
		s->info.nexus_id = n->id;
		s->info.done = session_answered;
		g->left++;
		iscsi_session_info(g->control->iscsi, n, &s->info);
	} else if (n->tops == &vhost_transport_ops) {
		s->vhost.nexus_id = n->id;
		s->vhost.done = vhost_answered;
		g->left++;
		vhost_session_info(g->control->vhost, n, &s->vhost);
	}
}

static void take_session(struct gather *g, struct it_nexus *n)
{
	struct session_sample *s = &g->sessions[g->nsessions++];

	s->gather = g;
	s->sid = n->id;
	s->tid = n->tid;
	s->reactor = reactor_id(n->reactor);
	memcpy(s->initiator, n->initiator, sizeof(s->initiator));
	memcpy(s->alias, n->initiator_alias, sizeof(s->alias));
	memcpy(s->peer, n->peer, sizeof(s->peer));
	s->tops = n->tops;
	ask_session(g, s, n);
}

/* -ENOMEM: nothing was asked. */
static int ask_sessions(struct gather *g, uint32_t tid)
{
	struct targets *ts = &g->control->ts;
	const struct target *t;
	struct it_nexus *n;
	size_t count = 0;

	list_for_each(t, &ts->all, link)
		list_for_each(n, &t->nexuses, target_link)
			count++;
	g->sessions = calloc(count + 1, sizeof(*g->sessions));
	if (!g->sessions)
		return -ENOMEM;
	list_for_each(t, &ts->all, link) {
		if (tid && t->tid != tid)
			continue;
		list_for_each(n, &t->nexuses, target_link) {
			if (!n->gone)
				take_session(g, n);
		}
	}
	return 0;
}

static void ask_units(struct gather *g, uint32_t tid, int64_t lun)
{
	struct unit *u;

	list_for_each(u, &g->control->units, link) {
		if (wanted(u, tid, lun))
			add_samples(g, u);
	}
	g->left += g->n;
	for (unsigned i = 0; i < g->n; i++)
		reactor_post(g->s[i].reactor, &g->s[i].msg, asked);
}

int gather_run(struct control *c, uint32_t tid, int64_t lun, unsigned what,
	       void (*done)(struct gather *g), void *arg)
{
	unsigned n = count_samples(c, tid, lun, what);
	struct gather *g = calloc(1, sizeof(*g) + n * sizeof(g->s[0]));

	if (!g)
		return -ENOMEM;
	g->control = c;
	g->done = done;
	g->arg = arg;
	g->what = what;
	g->left = 1; /* this function */
	if (what & GATHER_SESSIONS && ask_sessions(g, tid)) {
		free(g);
		return -ENOMEM;
	}
	if (what & GATHER_UNITS)
		ask_units(g, tid, lun);
	put(g);
	return 0;
}
