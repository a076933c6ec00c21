/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may log in: access rules and accounts. On control. */
#include "sam/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- access rules ----------------------------------------------------------- */

struct network {
	int family;
	uint8_t address[16];
	unsigned bits; /* of the prefix */
};

/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", also in brackets. 0 or -EINVAL. */
static int network_parse(const char *text, struct network *net)
{
	char copy[INET6_ADDRSTRLEN + 8], *at = copy, *slash, *end;
	unsigned long bits;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	slash = strchr(at, '/');
	if (slash)
		*slash++ = '\0';
	if (*at == '[' && at[strlen(at) - 1] == ']') {
		at[strlen(at) - 1] = '\0';
		at++;
	}
	net->family = strchr(at, ':') ? AF_INET6 : AF_INET;
	net->bits = net->family == AF_INET6 ? 128 : 32;
	if (inet_pton(net->family, at, net->address) != 1)
		return -EINVAL;
	if (slash) {
		bits = strtoul(slash, &end, 10);
		if (!*slash || *end || *slash == '-' || *slash == '+' || bits > net->bits)
			return -EINVAL;
		net->bits = (unsigned)bits;
	}
	return 0;
}

static bool network_contains(const struct network *net, const char *peer)
{
	struct network p;
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	/* an IPv4 peer on a dual stack socket */
	if (!strncasecmp(peer, "::ffff:", 7) && strchr(peer, '.'))
		peer += 7;
	if (network_parse(peer, &p) || p.family != net->family)
		return false;
	if (memcmp(p.address, net->address, whole))
		return false;
	return !rest || !((p.address[whole] ^ net->address[whole]) >> (8 - rest));
}

static struct acl *acl_find(struct target *t, bool by_name, const char *text)
{
	struct acl *a;

	list_for_each(a, &t->acls, link)
		if (a->by_name == by_name && !strcmp(a->text, text))
			return a;
	return NULL;
}

int target_acl_add(struct target *t, bool by_name, const char *text, struct err *e)
{
	struct network net;
	struct acl *a, *at;

	if (!*text || strlen(text) > INITIATOR_NAME_MAX)
		return err_set(e, -EINVAL, "an access rule has 1 to %d characters",
			       INITIATOR_NAME_MAX);
	if (!by_name && strcmp(text, "ALL") && network_parse(text, &net))
		return err_set(e, -EINVAL,
			       "'%s' is neither an address, a network (address/bits) nor ALL", text);
	if (acl_find(t, by_name, text))
		return err_set(e, -EEXIST, "target %s admits %s already", t->name, text);
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(e, -ENOMEM, "no memory for an access rule");
	a->by_name = by_name;
	snprintf(a->text, sizeof(a->text), "%s", text);
	/* addresses before names, as they are shown */
	list_for_each(at, &t->acls, link)
		if (!by_name && at->by_name)
			break;
	list_insert(&a->link, at->link.prev, &at->link);
	return 0;
}

int target_acl_remove(struct target *t, bool by_name, const char *text, struct err *e)
{
	struct acl *a = acl_find(t, by_name, text);

	if (!a)
		return err_set(e, -ENOENT, "target %s has no access rule %s", t->name, text);
	list_del(&a->link);
	free(a);
	return 0;
}

static bool acl_admits(const struct acl *a, const char *initiator, const char *peer)
{
	struct network net;

	if (a->by_name)
		return !strcmp(a->text, initiator);
	if (!strcmp(a->text, "ALL"))
		return true;
	return !network_parse(a->text, &net) && network_contains(&net, peer);
}

bool target_admits(const struct target *t, const char *initiator, const char *peer)
{
	const struct acl *a;

	list_for_each(a, &t->acls, link)
		if (acl_admits(a, initiator, peer))
			return true;
	return false;
}

/* ---- accounts ------------------------------------------------------------------ */

struct account *account_find(struct targets *ts, const char *user)
{
	struct account *a;

	list_for_each(a, &ts->accounts, link)
		if (!strcmp(a->user, user))
			return a;
	return NULL;
}

int account_add(struct targets *ts, const char *user, const char *secret, struct err *e)
{
	struct account *a;

	if (!*user || strlen(user) > CHAP_NAME_MAX)
		return err_set(e, -EINVAL, "a user name has 1 to %d characters", CHAP_NAME_MAX);
	if (!*secret || strlen(secret) > CHAP_SECRET_MAX)
		return err_set(e, -EINVAL, "a password has 1 to %d characters", CHAP_SECRET_MAX);
	if (account_find(ts, user))
		return err_set(e, -EEXIST, "account %s exists already", user);
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(e, -ENOMEM, "no memory for account %s", user);
	snprintf(a->user, sizeof(a->user), "%s", user);
	snprintf(a->secret, sizeof(a->secret), "%s", secret);
	list_push(&ts->accounts, &a->link);
	return 0;
}

static struct account_ref *ref_find(struct list *refs, const struct account *a)
{
	struct account_ref *r;

	list_for_each(r, refs, link)
		if (r->account == a)
			return r;
	return NULL;
}

static bool ref_remove(struct list *refs, const struct account *a)
{
	struct account_ref *r = ref_find(refs, a);

	if (!r)
		return false;
	list_del(&r->link);
	free(r);
	return true;
}

static void refs_free(struct list *refs)
{
	struct list *l;

	while ((l = list_pop(refs)))
		free(list_entry(l, struct account_ref, link));
}

static void account_free(struct account *a)
{
	explicit_bzero(a->secret, sizeof(a->secret));
	free(a);
}

int account_remove(struct targets *ts, const char *user, struct err *e)
{
	struct account *a = account_find(ts, user);
	struct target *t;

	if (!a)
		return err_set(e, -ENOENT, "there is no account %s", user);
	list_for_each(t, &ts->all, link) {
		ref_remove(&t->incoming, a);
		if (t->outgoing == a)
			t->outgoing = NULL;
	}
	ref_remove(&ts->discovery_incoming, a);
	if (ts->discovery_outgoing == a)
		ts->discovery_outgoing = NULL;
	list_del(&a->link);
	account_free(a);
	return 0;
}

static const char *owner_name(const struct target *t)
{
	return t ? t->name : "discovery";
}

int account_bind(struct targets *ts, struct target *t, const char *user, bool outgoing,
		 struct err *e)
{
	struct list *refs = t ? &t->incoming : &ts->discovery_incoming;
	struct account **out = t ? &t->outgoing : &ts->discovery_outgoing;
	struct account *a = account_find(ts, user);
	struct account_ref *r;

	if (!a)
		return err_set(e, -ENOENT, "there is no account %s", user);
	if (outgoing) {
		if (*out)
			return err_set(e, -EEXIST, "%s has the outgoing account %s already",
				       owner_name(t), (*out)->user);
		*out = a;
		return 0;
	}
	if (ref_find(refs, a))
		return err_set(e, -EEXIST, "account %s is bound to %s already", user, owner_name(t));
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, -ENOMEM, "no memory to bind account %s", user);
	r->account = a;
	list_add(refs, &r->link);
	return 0;
}

int account_unbind(struct targets *ts, struct target *t, const char *user, bool outgoing,
		   struct err *e)
{
	struct list *refs = t ? &t->incoming : &ts->discovery_incoming;
	struct account **out = t ? &t->outgoing : &ts->discovery_outgoing;
	struct account *a = account_find(ts, user);
	bool found;

	if (outgoing) {
		found = a && *out == a;
		if (found)
			*out = NULL;
	} else {
		found = a && ref_remove(refs, a);
	}
	if (!found)
		return err_set(e, -ENOENT, "account %s is not bound to %s", user, owner_name(t));
	return 0;
}

void accounts_free(struct targets *ts)
{
	struct list *l;

	refs_free(&ts->discovery_incoming);
	ts->discovery_outgoing = NULL;
	while ((l = list_pop(&ts->accounts)))
		account_free(list_entry(l, struct account, link));
}

void target_access_free(struct target *t)
{
	struct list *l;

	while ((l = list_pop(&t->acls)))
		free(list_entry(l, struct acl, link));
	refs_free(&t->incoming);
	t->outgoing = NULL;
}
