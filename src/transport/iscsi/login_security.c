/* SPDX-License-Identifier: BSD-2-Clause */
/* The security stage of a login (RFC 7143 12): AuthMethod None and CHAP. */
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bits.h"
#include "transport/iscsi/login_state.h"

#define BIT(key) (1u << ((key)-KEY_AUTH_METHOD))

static enum login_action refuse(struct login *l, const char *why)
{
	return login_fail(l, STATUS_AUTH_FAILURE, why);
}

/* The response's text has no room: no initiator that means well gets here. */
static enum login_action no_room(struct login *l)
{
	return login_fail(l, STATUS_RESOURCES, "no room for the answer");
}

static enum login_action choose_method(struct login *l)
{
	const char *list = keys_string(&l->keys, KEY_AUTH_METHOD);
	const char *ours = l->query.auth_required ? "CHAP" : "None";
	char item[TEXT_KEY_MAX + 1];
	size_t pos = 0;

	while (text_list_next(list, &pos, item, sizeof(item))) {
		if (strcmp(item, ours) != 0)
			continue;
		l->auth = l->query.auth_required ? AUTH_ALGORITHM : AUTH_DONE;
		if (text_add(&l->out, "AuthMethod", ours))
			return no_room(l);
		return login_respond(l);
	}
	return refuse(l, l->query.auth_required ? "CHAP is required and not offered"
						: "AuthMethod does not offer None");
}

static enum login_action challenge(struct login *l)
{
	char text[CHAP_TEXT_MAX];
	const char *why;

	if (chap_begin(&l->chap, keys_string(&l->keys, KEY_CHAP_A), &why))
		return refuse(l, why);
	chap_challenge_text(&l->chap, text);
	if (text_add_num(&l->out, "CHAP_A", (uint32_t)l->chap.algorithm) ||
	    text_add_num(&l->out, "CHAP_I", l->chap.id) || text_add(&l->out, "CHAP_C", text))
		return no_room(l);
	l->auth = AUTH_RESPONSE;
	return login_respond(l);
}

static enum login_action take_response(struct login *l)
{
	const char *user = keys_string(&l->keys, KEY_CHAP_N);
	const char *response = keys_string(&l->keys, KEY_CHAP_R), *why;

	if (!user || !response)
		return refuse(l, "CHAP_N and CHAP_R must come together");
	if (!*user || strlen(user) > CHAP_NAME_MAX)
		return refuse(l, "CHAP_N is empty or too long");
	if (chap_take(&l->chap, response, keys_string(&l->keys, KEY_CHAP_I),
		      keys_string(&l->keys, KEY_CHAP_C), &why))
		return refuse(l, why);
	snprintf(l->query.user, sizeof(l->query.user), "%s", user);
	l->query.user_known = l->query.outgoing = false;
	l->wait = WAIT_SECRET;
	return LOGIN_ASK;
}

static enum login_action nothing_more(struct login *l)
{
	return login_respond(l);
}

/* What a request may bring in each state, and who takes it. */
static const struct {
	uint32_t may;
	enum login_action (*take)(struct login *l);
} auth_rows[] = {
	[AUTH_START] = { BIT(KEY_AUTH_METHOD), choose_method },
	[AUTH_ALGORITHM] = { BIT(KEY_CHAP_A), challenge },
	[AUTH_RESPONSE] = { BIT(KEY_CHAP_N) | BIT(KEY_CHAP_R) | BIT(KEY_CHAP_I) | BIT(KEY_CHAP_C),
			    take_response },
	[AUTH_DONE] = { 0, nothing_more },
};

/* No security key: AuthMethod is None unless it comes before the stage ends. */
static enum login_action no_method(struct login *l)
{
	if (l->auth == AUTH_START && l->req.bytes[1] & LOGIN_TRANSIT) {
		if (l->query.auth_required)
			return refuse(l, "CHAP is required and not offered");
		l->auth = AUTH_DONE;
	}
	return login_respond(l);
}

enum login_action login_security(struct login *l)
{
	uint32_t here = 0;

	for (enum iscsi_key k = KEY_AUTH_METHOD; k <= KEY_CHAP_R; k++)
		if (keys_string(&l->keys, k))
			here |= BIT(k);
	if (here & ~auth_rows[l->auth].may)
		return refuse(l, "security key out of order");
	if (!here)
		return no_method(l);
	return auth_rows[l->auth].take(l);
}

static enum login_action authenticate(struct login *l)
{
	const struct login_query *q = &l->query;
	char text[CHAP_TEXT_MAX];
	const char *why;

	if (!chap_verify(&l->chap, q->user_known, q->secret))
		return refuse(l, "wrong CHAP name or secret");
	l->auth = AUTH_DONE;
	if (!l->chap.mutual)
		return login_respond(l);
	if (!q->outgoing)
		return refuse(l, "mutual CHAP is asked for, and there is no outgoing account");
	if (chap_respond(&l->chap, q->secret, q->out_secret, text, &why))
		return refuse(l, why);
	if (text_add(&l->out, "CHAP_N", q->out_user) || text_add(&l->out, "CHAP_R", text))
		return no_room(l);
	return login_respond(l);
}

enum login_action login_secret(struct login *l)
{
	enum login_action action = authenticate(l);

	OPENSSL_cleanse(l->query.secret, sizeof(l->query.secret));
	OPENSSL_cleanse(l->query.out_secret, sizeof(l->query.out_secret));
	chap_wipe(&l->chap);
	return action;
}
