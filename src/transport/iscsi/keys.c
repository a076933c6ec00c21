/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "transport/iscsi/keys.h"
#include "transport/iscsi/keytab.h"

/* Spellings that are no values of any key (6.2). */
static const char *const reserved_words[] = { "Reject", "Irrelevant", "NotUnderstood" };

static bool is_reserved(const char *value)
{
	for (unsigned i = 0; i < array_size(reserved_words); i++)
		if (!strcmp(value, reserved_words[i]))
			return true;
	return false;
}

void keys_init(struct negotiation *n)
{
	*n = (struct negotiation){
		.max_xmit = iscsi_key_param_value(ISCSI_PARAM_MAX_XMIT_DSL, -1),
	};
	for (int i = 0; i < ISCSI_KEYS; i++) {
		n->key[i].agreed = iscsi_keys[i].rfc_default;
		n->key[i].mine = min(iscsi_keys[i].wish, iscsi_keys[i].cap);
	}
}

void keys_wish(struct negotiation *n, const int32_t *param)
{
	for (int i = 0; i < ISCSI_KEYS; i++) {
		int index = iscsi_keys[i].param;

		if (index >= 0)
			n->key[i].mine =
				min(iscsi_key_param_value(index, param[index]), iscsi_keys[i].cap);
	}
	/* what the initiator takes is its declaration, bounded by our own limit */
	n->max_xmit =
		iscsi_key_param_value(ISCSI_PARAM_MAX_XMIT_DSL, param[ISCSI_PARAM_MAX_XMIT_DSL]);
	/* 13.14: FirstBurstLength must not exceed MaxBurstLength */
	n->key[KEY_FIRST_BURST].mine = min(n->key[KEY_FIRST_BURST].mine, n->key[KEY_MAX_BURST].mine);
	/* data out of order would need what ErrorRecoveryLevel 0 does not have */
	n->key[KEY_DATA_PDU_IN_ORDER].mine = 1;
	n->key[KEY_DATA_SEQUENCE_IN_ORDER].mine = 1;
}

static int fail(const char **why, const char *reason)
{
	*why = reason;
	return -EPROTO;
}

/* A key of the table in the request under way. */
static int take_known(struct negotiation *n, enum key_phase phase, enum iscsi_key k,
		      const char *value, struct text *out, const char **why)
{
	const struct key_row *row = &iscsi_keys[k];
	struct key_state *s = &n->key[k];
	size_t len = strlen(value);

	if (len > TEXT_VALUE_MAX && !(row->flags & KEYF_LONG))
		return fail(why, "value longer than 255 bytes");
	if (!(row->phases & phase)) {
		/* a misplaced security key is no offer that one could decline */
		if (row->phases == PHASE_SECURITY)
			return fail(why, "security key outside of the security stage");
		return text_add(out, row->name, "Reject");
	}
	if (s->used && !s->offered)
		return fail(why, "key negotiated twice");
	if (row->flags & KEYF_TARGET_SENDS)
		return is_reserved(value) ? 0 : fail(why, "key that only a target sends");
	s->used = s->here = true;
	s->theirs = value;
	return 0;
}

static int find_key(const char *name)
{
	for (int i = 0; i < ISCSI_KEYS; i++)
		if (!strcmp(iscsi_keys[i].name, name))
			return i;
	return -1;
}

/* True if @name is a key of the pairs before @end. */
static bool seen_before(const char *data, uint32_t end, const char *name)
{
	char key[TEXT_KEY_MAX + 1];
	const char *value;
	uint32_t pos = 0;

	while (pos < end && text_next(data, end, &pos, key, &value))
		if (!strcmp(key, name))
			return true;
	return false;
}

int keys_take(struct negotiation *n, enum key_phase phase, const char *data, uint32_t len,
	      struct text *out, const char **why)
{
	char key[TEXT_KEY_MAX + 1];
	const char *value;
	uint32_t pos = 0, start = 0;
	int err = 0;

	for (int i = 0; i < ISCSI_KEYS; i++)
		n->key[i].here = false;
	while (!err && text_next(data, len, &pos, key, &value)) {
		int k = find_key(key);

		*why = "answers too long";
		if (seen_before(data, start, key))
			return fail(why, "key twice in a request");
		if (k >= 0)
			err = take_known(n, phase, (enum iscsi_key)k, value, out, why);
		else if (strcmp(value, "NotUnderstood") != 0) /* else: an answer, to nothing */
			err = text_add(out, key, "NotUnderstood");
		start = pos;
	}
	return err;
}

const char *keys_string(const struct negotiation *n, enum iscsi_key key)
{
	return n->key[key].here ? n->key[key].theirs : NULL;
}

/* Rules of 13 "Irrelevant when". */
static bool irrelevant(const struct negotiation *n, enum iscsi_key k)
{
	const struct key_row *row = &iscsi_keys[k];

	if (n->discovery && (row->flags & KEYF_NOT_DISCOVERY))
		return true;
	if ((row->flags & KEYF_UNSOLICITED) && n->key[KEY_INITIAL_R2T].agreed &&
	    !n->key[KEY_IMMEDIATE_DATA].agreed)
		return true;
	return (row->flags & KEYF_RDMA) != 0; /* RDMAExtensions=No on this transport, RFC 7145 6 */
}

/* What we would have of @k, given what is agreed on others. */
static uint32_t wish_of(const struct negotiation *n, enum iscsi_key k)
{
	uint32_t mine = n->key[k].mine;

	return k == KEY_FIRST_BURST ? min(mine, n->key[KEY_MAX_BURST].agreed) : mine;
}

/* The result function of @row. For lists @theirs is the first of their list that is in @mine. */
static uint32_t result_of(const struct key_row *row, uint32_t mine, uint32_t theirs)
{
	switch (row->type) {
	case KEY_AND:
		return mine && theirs;
	case KEY_OR:
		return mine || theirs;
	case KEY_MIN:
		return min(mine, theirs);
	case KEY_MAX:
		return max(mine, theirs);
	default:
		return theirs;
	}
}

/* Read @value as @row wants it; -EINVAL if it is not admissible. */
static int value_of(const struct key_row *row, uint32_t mine, const char *value, uint32_t *v)
{
	char item[TEXT_VALUE_MAX + 1];
	size_t pos = 0;

	switch (row->type) {
	case KEY_AND:
	case KEY_OR:
		return keytab_bool(value, v);
	case KEY_LIST:
		while (text_list_next(value, &pos, item, sizeof(item))) {
			*v = keytab_item(row, item);
			if (*v & mine)
				return 0;
		}
		return -EINVAL;
	default:
		if (text_number(value, v) || *v < row->lo || *v > row->hi)
			return -EINVAL;
		return 0;
	}
}

static int add_value(struct text *out, const struct key_row *row, uint32_t v)
{
	char text[64];

	keytab_print(row, v, text, sizeof(text));
	return text_add(out, row->name, text);
}

/* The initiator's answer to our offer. */
static int settle_reply(struct negotiation *n, enum iscsi_key k, const char **why)
{
	const struct key_row *row = &iscsi_keys[k];
	struct key_state *s = &n->key[k];
	uint32_t mine = wish_of(n, k), v;

	s->offered = false;
	if (is_reserved(s->theirs)) {
		/* the default stays; where we cannot live with it, there is no session */
		if (k == KEY_FIRST_BURST)
			return 0;
		return fail(why, "the initiator declines what the target requires");
	}
	if (value_of(row, mine, s->theirs, &v) || result_of(row, mine, v) != v)
		return fail(why, "answer that the offer does not admit");
	s->agreed = v;
	return 0;
}

static int settle_offer(struct negotiation *n, enum iscsi_key k, struct text *out)
{
	const struct key_row *row = &iscsi_keys[k];
	struct key_state *s = &n->key[k];
	uint32_t v;

	if (row->type == KEY_REJECT)
		return text_add(out, row->name, "Reject");
	if (irrelevant(n, k))
		return text_add(out, row->name, "Irrelevant");
	if (value_of(row, s->mine, s->theirs, &v))
		return text_add(out, row->name, "Reject");
	s->agreed = result_of(row, wish_of(n, k), v);
	if (row->type == KEY_DECLARE)
		return 0;
	return add_value(out, row, s->agreed);
}

int keys_settle(struct negotiation *n, struct text *out, const char **why)
{
	for (int i = 0; i < ISCSI_KEYS; i++) {
		enum iscsi_key k = (enum iscsi_key)i;
		int err;

		if (!n->key[k].here || iscsi_keys[k].type == KEY_STRING)
			continue;
		*why = "answers too long";
		err = n->key[k].offered ? settle_reply(n, k, why) : settle_offer(n, k, out);
		if (err)
			return err;
	}
	if (n->key[KEY_FIRST_BURST].used &&
	    n->key[KEY_FIRST_BURST].agreed > n->key[KEY_MAX_BURST].agreed &&
	    !irrelevant(n, KEY_FIRST_BURST) && n->key[KEY_MAX_BURST].here)
		return fail(why, "MaxBurstLength below the FirstBurstLength agreed before");
	return 0;
}

int keys_offer(struct negotiation *n, struct text *out, const char **why)
{
	int pending = 0;

	for (int i = 0; i < ISCSI_KEYS; i++) {
		enum iscsi_key k = (enum iscsi_key)i;
		const struct key_row *row = &iscsi_keys[k];
		struct key_state *s = &n->key[k];
		uint32_t mine = wish_of(n, k);
		int err;

		if (s->offered)
			return fail(why, "an offer of the target was not answered");
		if (!(row->flags & KEYF_OFFER) || irrelevant(n, k))
			continue;
		if (row->type == KEY_LIST ? (s->agreed & mine) != 0
					  : result_of(row, mine, s->agreed) == s->agreed)
			continue;
		if (s->used) /* agreed: only a rejected list gets here */
			return fail(why, "no value in common that the target requires");
		s->offered = s->used = true;
		*why = "answers too long";
		err = add_value(out, row, mine);
		if (err)
			return err;
		pending++;
	}
	return pending;
}

int keys_declare(struct negotiation *n, struct text *out)
{
	if (n->declared)
		return 0;
	n->declared = true;
	return text_add_num(out, iscsi_keys[KEY_MAX_RECV_DSL].name, n->key[KEY_MAX_RECV_DSL].mine);
}

void keys_params(const struct negotiation *n, struct iscsi_params *p)
{
	const struct key_state *s = n->key;

	*p = (struct iscsi_params){
		.header_digest = s[KEY_HEADER_DIGEST].agreed == DIGEST_CRC32C,
		.data_digest = s[KEY_DATA_DIGEST].agreed == DIGEST_CRC32C,
		.initial_r2t = s[KEY_INITIAL_R2T].agreed,
		.immediate_data = s[KEY_IMMEDIATE_DATA].agreed,
		.data_pdu_in_order = s[KEY_DATA_PDU_IN_ORDER].agreed,
		.data_sequence_in_order = s[KEY_DATA_SEQUENCE_IN_ORDER].agreed,
		.max_connections = s[KEY_MAX_CONNECTIONS].agreed,
		.max_recv_dsl = s[KEY_MAX_RECV_DSL].mine,
		.max_xmit_dsl = min(s[KEY_MAX_RECV_DSL].agreed, n->max_xmit),
		.max_burst = s[KEY_MAX_BURST].agreed,
		.first_burst = min(s[KEY_FIRST_BURST].agreed, s[KEY_MAX_BURST].agreed),
		.max_outstanding_r2t = s[KEY_MAX_OUTSTANDING_R2T].agreed,
		.error_recovery_level = s[KEY_ERROR_RECOVERY_LEVEL].agreed,
		.time2wait = s[KEY_TIME2WAIT].agreed,
		.time2retain = s[KEY_TIME2RETAIN].agreed,
	};
}
