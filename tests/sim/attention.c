/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit attentions that must come: whoever was logged in when something changed
 * is told by the first command that it sends after the change was answered
 * (SAM-6 5.14), save by those commands that never tell.
 */
#include "actor.h"

#define STATUS_GOOD 0x00
#define STATUS_CHECK 0x02
#define STATUS_CONFLICT 0x18

void attention_one(struct actor *a, struct disk *d, uint64_t began, const char *why)
{
	struct attention *at = &a->attention[d->index];

	if (!a->in || a->in_since >= began)
		return;
	*at = (struct attention){ .began = began, .due = sim_moment(), .seen = at->seen, .why = why };
}

void attention_all(struct disk *d, const struct actor *but, uint64_t began, const char *why)
{
	for (unsigned i = 0; i < nactors; i++)
		if (&actors[i] != but)
			attention_one(&actors[i], d, began, why);
}

/*
 * True if the answer may be on a write of the same nexus: it is withheld until the data on
 * their way have come (RFC 7143 11.4.2).
 */
static bool may_hold(const struct deed *deed)
{
	const struct deed *at;

	list_for_each(at, &deed->actor->deeds, link)
		if (at->disk == deed->disk && at->cmd.out_len)
			return true;
	return false;
}

/* @deed was answered and its command tells of unit attentions. */
void attention_judge(struct deed *deed)
{
	struct attention *at = &deed->actor->attention[deed->disk->index];
	const struct client_cmd *c = &deed->cmd;

	if (c->status == STATUS_CHECK && c->key == 6) {
		at->seen = c->answered;
		return;
	}
	if (deed->doomed || may_hold(deed) || !at->due || at->seen > at->began ||
	    c->sent < at->due || deed->session != deed->actor->session)
		return;
	if (c->status == STATUS_GOOD || c->status == STATUS_CONFLICT ||
	    (c->status == STATUS_CHECK && (c->key == 0xe || c->key == 3)))
		sim_violation("%s, LUN %llu: opcode %02xh, sent at %llu, ended with status %02xh, "
			      "but nobody told of: %s (%llu to %llu)",
			      deed->actor->name, (unsigned long long)deed->disk->lun, c->cdb[0],
			      (unsigned long long)c->sent, c->status, at->why,
			      (unsigned long long)at->began, (unsigned long long)at->due);
}
