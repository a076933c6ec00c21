/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Persistent reservations (SPC-5 5.14) as the initiators know them: one change
 * at a time per disk, so that what each command must get is known unless a change
 * was under way meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "actor.h"
#include "base/be.h"

enum { GOOD = 0x00, CHECK = 0x02, CONFLICT = 0x18 };
enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, REGISTER_IGNORE };
enum { WE = 1, EA = 3, WE_RO = 5, EA_RO = 6, WE_AR = 7, EA_AR = 8 };

static const uint8_t types[] = { WE, EA, WE_RO, EA_RO, WE_AR, EA_AR };

static uint64_t key_of(const struct actor *a)
{
	return 0x5100 + a->index;
}

static struct reservation *reservation_of(const struct deed *deed)
{
	return &known[deed->disk->index].pr;
}

static bool all_registrants(uint8_t type)
{
	return type == WE_AR || type == EA_AR;
}

static bool holds(const struct reservation *r, unsigned actor)
{
	if (r->holder < 0)
		return false;
	return all_registrants(r->type) ? r->key[actor] != 0 : r->holder == (int)actor;
}

/* ---- what must come of a change -------------------------------------------------------- */

/* Told apart from @but: those who are registered (as it was when asked). */
static void tell_registered(struct deed *deed, const char *why)
{
	struct reservation *r = reservation_of(deed);

	for (unsigned i = 0; i < nactors; i++)
		if (r->key[i] && &actors[i] != deed->actor)
			attention_one(&actors[i], deed->disk, deed->cmd.sent, why);
}

static bool somebody_registered(const struct reservation *r)
{
	for (unsigned i = 0; i < nactors; i++)
		if (r->key[i])
			return true;
	return false;
}

/* @actor's registration goes, and with it what it holds. */
static void unregister(struct reservation *r, unsigned actor)
{
	bool held = holds(r, actor);

	r->key[actor] = 0;
	if (held && (!all_registrants(r->type) || !somebody_registered(r)))
		r->holder = -1;
}

static uint8_t do_register(struct deed *deed, struct reservation *r)
{
	unsigned me = deed->actor->index;
	bool held, only;

	if (deed->action == REGISTER && deed->key != r->key[me])
		return CONFLICT;
	if (deed->service_key) {
		r->key[me] = deed->service_key;
		return GOOD;
	}
	held = holds(r, me);
	only = r->type == WE_RO || r->type == EA_RO;
	unregister(r, me);
	if (held && only && r->holder < 0)
		tell_registered(deed, "the reservation was released by unregistering");
	return GOOD;
}

static uint8_t do_reserve(struct deed *deed, struct reservation *r)
{
	unsigned me = deed->actor->index;

	if (!r->key[me] || r->key[me] != deed->key)
		return CONFLICT;
	if (r->holder < 0) {
		r->holder = (int)me;
		r->type = deed->type;
		return GOOD;
	}
	return holds(r, me) && r->type == deed->type ? GOOD : CONFLICT;
}

static uint8_t do_release(struct deed *deed, struct reservation *r)
{
	unsigned me = deed->actor->index;

	if (!r->key[me] || r->key[me] != deed->key)
		return CONFLICT;
	if (r->holder < 0 || !holds(r, me))
		return GOOD;
	if (r->type != deed->type)
		return CHECK;
	r->holder = -1;
	if (r->type != WE && r->type != EA)
		tell_registered(deed, "the reservation was released");
	return GOOD;
}

static uint8_t do_clear(struct deed *deed, struct reservation *r)
{
	if (!r->key[deed->actor->index] || r->key[deed->actor->index] != deed->key)
		return CONFLICT;
	tell_registered(deed, "reservations were cleared");
	memset(r->key, 0, sizeof(r->key));
	r->holder = -1;
	return GOOD;
}

/* SPC-5 5.14.11.4: all registrations with the service action key go; the holder's reservation changes hands. */
static uint8_t do_preempt(struct deed *deed, struct reservation *r)
{
	unsigned me = deed->actor->index, victim;
	bool held;

	if (!r->key[me] || r->key[me] != deed->key)
		return CONFLICT;
	for (victim = 0; victim < nactors; victim++)
		if (r->key[victim] == deed->service_key)
			break;
	if (victim == nactors)
		return CONFLICT;
	held = r->holder >= 0 && !all_registrants(r->type) && r->holder == (int)victim;
	if (victim != me)
		attention_one(&actors[victim], deed->disk, deed->cmd.sent,
			      "its registration was preempted");
	if (victim != me || !held)
		unregister(r, victim);
	if (held) {
		r->holder = (int)me;
		r->type = deed->type;
	}
	return GOOD;
}

static uint8_t apply(struct deed *deed, struct reservation *r)
{
	switch (deed->action) {
	case REGISTER:
	case REGISTER_IGNORE:
		return do_register(deed, r);
	case RESERVE:
		return do_reserve(deed, r);
	case RELEASE:
		return do_release(deed, r);
	case CLEAR:
		return do_clear(deed, r);
	default:
		return do_preempt(deed, r);
	}
}

/* ---- changing ------------------------------------------------------------------------------- */

void pr_make(struct deed *deed)
{
	static const uint8_t actions[] = { REGISTER, REGISTER, REGISTER_IGNORE,
					   RESERVE,  RESERVE,  RELEASE,
					   CLEAR,    PREEMPT,  PREEMPT_ABORT };
	struct reservation *r = reservation_of(deed);
	uint8_t *list = calloc(1, 24), *cdb = deed->cmd.cdb;
	unsigned other = (unsigned)sim_below(nactors);

	deed->action = actions[sim_below(sizeof(actions))];
	deed->type = types[sim_below(sizeof(types))];
	if (deed->action == RELEASE && r->holder >= 0 && sim_below(4))
		deed->type = r->type;
	deed->key = sim_below(10) ? r->key[deed->actor->index] : sim_random();
	if (deed->action == REGISTER || deed->action == REGISTER_IGNORE)
		deed->service_key = sim_below(4) ? key_of(deed->actor) : 0;
	else if (deed->action >= PREEMPT)
		deed->service_key = key_of(&actors[other]);
	cdb[0] = 0x5f;
	cdb[1] = deed->action;
	cdb[2] = deed->type;
	be_store(cdb + 5, 4, 24);
	be_store(list, 8, deed->key);
	be_store(list + 8, 8, deed->service_key);
	deed->cmd.out = list;
	deed->cmd.out_len = 24;
	r->changing = true;
	r->change = (struct window){ .began = sim_moment() };
	sim_say("%s: PR OUT action %u type %u key %llx service key %llx", deed->actor->name,
		deed->action, deed->type, (unsigned long long)deed->key,
		(unsigned long long)deed->service_key);
}

static bool was_executed(const struct client_cmd *c)
{
	return c->status == GOOD || c->status == CONFLICT ||
	       (c->status == CHECK && c->key == 5 && c->asc == 0x26);
}

void pr_answered(struct deed *deed)
{
	struct reservation *r = reservation_of(deed);
	const struct client_cmd *c = &deed->cmd;
	uint8_t want;

	r->changing = false;
	r->change.ended = sim_moment();
	if (deed->doomed || c->outcome != OUTCOME_ANSWERED || c->status == 0x40) {
		r->known = false;
		return;
	}
	if (!was_executed(c))
		return;
	if (!r->known)
		return;
	want = apply(deed, r);
	if (c->status != want)
		sim_violation("%s, LUN %llu: PERSISTENT RESERVE OUT action %u type %u ended with "
			      "status %02xh, not %02xh",
			      deed->actor->name, (unsigned long long)deed->disk->lun, deed->action,
			      deed->type, c->status, want);
}

void pr_clear(struct disk *d)
{
	struct reservation *r = &known[d->index].pr;

	*r = (struct reservation){
		.known = true, .holder = -1, .change = r->change, .changing = r->changing
	};
	r->change.ended = sim_moment();
	if (!r->change.began)
		r->change.began = r->change.ended;
}

/* ---- looking -------------------------------------------------------------------------------- */

static int actor_of(const uint8_t *transport_id, size_t len)
{
	size_t name;

	for (unsigned i = 0; i < nactors; i++) {
		name = strlen(actors[i].name);
		if (len > 4 + name && !memcmp(transport_id + 4, actors[i].name, name) &&
		    (transport_id[4 + name] == ',' || !transport_id[4 + name]))
			return (int)i;
	}
	return -1;
}

/* SPC-5 6.13.5, READ FULL STATUS */
static bool parse(const uint8_t *p, size_t len, struct reservation *r)
{
	size_t at = 8, next;

	if (len < 8 || be_load(p + 4, 4) + 8 > len)
		return false;
	len = be_load(p + 4, 4) + 8;
	for (; at + 24 <= len; at = next) {
		int who;

		next = at + 24 + be_load(p + at + 20, 4);
		if (next > len)
			return false;
		who = actor_of(p + at + 24, next - at - 24);
		if (who < 0)
			return false;
		r->key[who] = be_load(p + at, 8);
		if (p[at + 12] & 1) {
			r->holder = who;
			r->type = p[at + 13] & 0xf;
		}
	}
	return true;
}

static bool same(const struct reservation *a, const struct reservation *b)
{
	if (memcmp(a->key, b->key, sizeof(a->key)) || (a->holder < 0) != (b->holder < 0))
		return false;
	return a->holder < 0 ||
	       (a->type == b->type && (a->holder == b->holder || all_registrants(a->type)));
}

void pr_status_answered(struct deed *deed)
{
	struct reservation *r = reservation_of(deed),
			   now = { .known = true, .holder = -1, .change = r->change };

	if (deed->cmd.outcome != OUTCOME_ANSWERED || deed->cmd.status || deed->doomed ||
	    r->changing || !window_clear(&r->change, deed->cmd.sent))
		return;
	if (!parse(deed->cmd.in, deed->cmd.got, &now))
		sim_violation("%s: READ FULL STATUS makes no sense", deed->actor->name);
	if (r->known && !same(r, &now))
		sim_violation("%s, LUN %llu: READ FULL STATUS: holder %d type %u, should be holder "
			      "%d type %u",
			      deed->actor->name, (unsigned long long)deed->disk->lun, now.holder,
			      now.type, r->holder, r->type);
	*r = now;
}

/* ---- what a reservation does to the others ------------------------------------------------------ */

/* SPC-5 table 67 */
static bool conflicts(const struct reservation *r, const struct deed *deed, bool writes)
{
	unsigned me = deed->actor->index;

	if (r->holder < 0 || holds(r, me))
		return false;
	if (r->type != WE && r->type != EA && r->key[me])
		return false;
	return writes || r->type == EA || r->type == EA_RO || r->type == EA_AR;
}

void pr_judge_rw(struct deed *deed, bool writes)
{
	const struct reservation *r = reservation_of(deed);
	const struct client_cmd *c = &deed->cmd;
	bool must;

	if (!r->known || r->changing || !window_clear(&r->change, c->sent))
		return;
	must = conflicts(r, deed, writes);
	if (must ? c->status == GOOD || (c->status == CHECK && (c->key == 0xe || c->key == 3))
		 : c->status == CONFLICT)
		sim_violation("%s, LUN %llu: opcode %02xh ended with status %02xh; holder %d, type "
			      "%u, registered: %s",
			      deed->actor->name, (unsigned long long)deed->disk->lun, c->cdb[0],
			      c->status, r->holder, r->type,
			      r->key[deed->actor->index] ? "yes" : "no");
}
