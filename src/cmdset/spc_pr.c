/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PERSISTENT RESERVE OUT (SPC-5 5.14). Everything is decided on the LU's
 * home, one command at a time, against the master; the transaction then
 * brings what follows (conflicts, unit attentions, aborts) to every reactor.
 */
#include "cmdset/internal.h"

enum pr_out_sa {
	PR_REGISTER,
	PR_RESERVE,
	PR_RELEASE,
	PR_CLEAR,
	PR_PREEMPT,
	PR_PREEMPT_AND_ABORT,
	PR_REGISTER_AND_IGNORE,
	PR_REGISTER_AND_MOVE,
};

#define LIST_LEN 24 /* of every service action but REGISTER AND MOVE */
#define MOVE_ID_AT 24 /* where the TransportID begins */
#define TRANSPORT_ID_MIN 24
#define SPEC_I_PT 0x08
#define ALL_TG_PT 0x04
#define APTPL 0x01
#define MOVE_UNREG 0x02

/* What decide() works with. */
struct pr_out {
	struct lu_tx *tx;
	struct pr_state *pr;
	struct pr_registration *me; /* NULL: not registered */
	uint64_t key, sa_key;
	const uint8_t *list;
	uint32_t len;
	uint8_t scope, type;
	bool abort; /* PREEMPT AND ABORT */
};

static bool conflict(struct pr_out *o)
{
	o->tx->verdict = V_RESERVATION_CONFLICT;
	return false;
}

/* ---- telling others ----------------------------------------------------------------- */

/* The attached nexus of @reg, NULL if it is not logged in. */
static struct itl *itl_of(const struct lu *lu, const struct pr_registration *reg)
{
	struct itl *itl;

	list_for_each(itl, &lu->itls, home.link)
		if (pr_of(&lu->pr, itl) == reg)
			return itl;
	return NULL;
}

static void tell(struct pr_out *o, const struct pr_registration *reg, enum ua ua)
{
	struct itl *itl = itl_of(o->tx->lu, reg);

	if (itl && itl != o->tx->itl)
		lu_tell(itl, ua);
}

static void tell_registered(struct pr_out *o, enum ua ua)
{
	const struct pr_registration *reg;

	list_for_each(reg, &o->pr->registrations, link)
		tell(o, reg, ua);
}

/* Registrants-only and all-registrants reservations: the registered hear of the end. */
static bool concerns_registrants(uint8_t type)
{
	return pr_type_registrants_only(type) || pr_type_all_registrants(type);
}

static bool published(struct pr_out *o)
{
	lu_reservations_changed(o->tx->lu);
	return true;
}

/* ---- REGISTER, REGISTER AND IGNORE EXISTING KEY ------------------------------- */

static bool unregister_me(struct pr_out *o)
{
	uint8_t type = o->pr->type;

	/* the reservation of a holder that unregisters is released */
	if (pr_unregister(o->pr, o->me) && concerns_registrants(type))
		tell_registered(o, UA_RSV_RELEASED);
	return published(o);
}

static bool do_register(struct pr_out *o, bool ignore)
{
	const struct it_nexus *n = o->tx->itl->nexus;

	if (!ignore && o->key != (o->me ? o->me->key : 0))
		return conflict(o);
	if (!o->me && o->sa_key &&
	    !pr_register(o->pr, n->transport_id, n->transport_id_len, n->rtpi, o->sa_key)) {
		o->tx->verdict = V_INSUFFICIENT_REGISTRATION;
		return false;
	}
	o->pr->generation++;
	if (!o->me)
		return published(o);
	if (!o->sa_key)
		return unregister_me(o);
	o->me->key = o->sa_key;
	return published(o);
}

/* ---- RESERVE, RELEASE, CLEAR -------------------------------------------- */

static void hold(struct pr_out *o)
{
	o->pr->type = o->type;
	o->pr->holder = pr_type_all_registrants(o->type) ? NULL : o->me;
}

static void bad_cdb(struct pr_out *o, uint16_t byte, uint8_t bit)
{
	o->tx->verdict = V_INVALID_FIELD_IN_CDB;
	o->tx->sense = (struct sense_info){
		.flags = SENSE_FIELD | SENSE_FIELD_CDB | SENSE_FIELD_BIT,
		.byte = byte,
		.bit = bit,
	};
}

/* LU_SCOPE is the only one. SCOPE and TYPE are ignored where nothing is reserved. */
static bool bad_type(struct pr_out *o)
{
	if (!o->scope && pr_type_valid(o->type))
		return false;
	bad_cdb(o, 2, o->scope ? 7 : 3);
	return true;
}

static bool do_reserve(struct pr_out *o)
{
	if (bad_type(o))
		return false;
	if (o->pr->type)
		return pr_holds(o->pr, o->me) && o->pr->type == o->type ? false : conflict(o);
	hold(o);
	return published(o);
}

static bool do_release(struct pr_out *o)
{
	if (!pr_holds(o->pr, o->me))
		return false; /* nothing to release is not an error */
	if (o->scope || o->type != o->pr->type) {
		o->tx->verdict = V_INVALID_RELEASE;
		return false;
	}
	o->pr->type = 0;
	o->pr->holder = NULL;
	if (concerns_registrants(o->type))
		tell_registered(o, UA_RSV_RELEASED);
	return published(o);
}

static bool do_clear(struct pr_out *o)
{
	uint32_t generation = o->pr->generation;

	tell_registered(o, UA_RSV_PREEMPTED);
	pr_fini(o->pr);
	o->pr->generation = generation + 1;
	return published(o);
}

/* ---- PREEMPT, PREEMPT AND ABORT --------------------------------- */

/* Registrations with @key (all if @every) go; @keep stays. Returns how many went. */
static unsigned remove_matching(struct pr_out *o, uint64_t key, bool every,
				const struct pr_registration *keep)
{
	struct pr_registration *reg, *tmp;
	unsigned n = 0;

	list_for_each_safe(reg, tmp, &o->pr->registrations, link) {
		struct itl *itl;

		if (reg == keep || (!every && reg->key != key))
			continue;
		itl = itl_of(o->tx->lu, reg);
		if (itl && itl != o->tx->itl)
			lu_tell(itl, UA_REG_PREEMPTED);
		if (itl && itl != o->tx->itl && o->abort) {
			lu_abort(itl);
			itl->home.prevent = false; /* SPC-5: as if it had allowed removal */
		}
		pr_unregister(o->pr, reg);
		n++;
	}
	return n;
}

/* The reservation changes hands: to the preempting nexus, with the new type. */
static bool take_over(struct pr_out *o, bool every)
{
	uint8_t old = o->pr->type;

	if (bad_type(o))
		return false;
	remove_matching(o, o->sa_key, every, o->me);
	hold(o);
	if (old != o->type)
		tell_registered(o, UA_RSV_RELEASED);
	o->pr->generation++;
	return published(o);
}

static bool do_preempt(struct pr_out *o)
{
	bool ar = pr_type_all_registrants(o->pr->type);

	if (ar && !o->sa_key)
		return take_over(o, true);
	if (!o->sa_key)
		return tx_invalid_param(o->tx, 8, 7);
	if (o->pr->type && !ar && o->pr->holder->key == o->sa_key)
		return take_over(o, false);
	if (!remove_matching(o, o->sa_key, false, NULL))
		return conflict(o);
	o->pr->generation++;
	return published(o);
}

/* ---- REGISTER AND MOVE ----------------------------------------------------- */

/* True if some target port of this LU has the identifier: the asking nexus's own or another's. */
static bool port_exists(const struct pr_out *o, uint16_t rtpi)
{
	const struct itl *itl;

	list_for_each(itl, &o->tx->lu->itls, home.link)
		if (itl->nexus->rtpi == rtpi)
			return true;
	return false;
}

/* iSCSI TransportID (SPC-5) with name and ISID: it must name an initiator port. */
static bool id_valid(const uint8_t *id, uint32_t len)
{
	return id[0] == 0x45 && be_load(id + 2, 2) + 4 == len && len % 4 == 0 && !id[len - 1] &&
	       memmem(id + 4, len - 4, ",i,0x", 5);
}

static bool check_move(struct pr_out *o, uint32_t id_len, uint16_t rtpi)
{
	const struct it_nexus *n = o->tx->itl->nexus;
	const uint8_t *id = o->list + MOVE_ID_AT;

	if (!o->sa_key)
		return tx_invalid_param(o->tx, 8, 7);
	if (o->list[17] & APTPL)
		return tx_invalid_param(o->tx, 17, 0);
	if (!port_exists(o, rtpi))
		return tx_invalid_param(o->tx, 18, 7);
	if (!id_valid(id, id_len))
		return tx_invalid_param(o->tx, MOVE_ID_AT, -1);
	if (rtpi == n->rtpi && id_len == n->transport_id_len && !memcmp(id, n->transport_id, id_len))
		return tx_invalid_param(o->tx, MOVE_ID_AT, -1); /* to itself */
	return true;
}

static bool do_move(struct pr_out *o)
{
	uint32_t id_len = (uint32_t)be_load(o->list + 20, 4);
	uint16_t rtpi = (uint16_t)be_load(o->list + 18, 2);
	const uint8_t *id = o->list + MOVE_ID_AT;
	struct pr_registration *to;

	if (!o->pr->type) { /* SPC-5: without a reservation the service action is the error */
		bad_cdb(o, 1, 4);
		return false;
	}
	/* an all registrants reservation has no holder that could move it */
	if (pr_type_all_registrants(o->pr->type) || o->pr->holder != o->me)
		return conflict(o);
	if (!check_move(o, id_len, rtpi))
		return false;
	to = pr_find(o->pr, id, (uint16_t)id_len, rtpi);
	if (!to)
		to = pr_register(o->pr, id, (uint16_t)id_len, rtpi, o->sa_key);
	if (!to) {
		o->tx->verdict = V_INSUFFICIENT_REGISTRATION;
		return false;
	}
	to->key = o->sa_key;
	o->pr->holder = to;
	if (o->list[17] & MOVE_UNREG)
		pr_unregister(o->pr, o->me);
	o->pr->generation++;
	return published(o);
}

/* ---- the command ------------------------------------------------------------------------------- */

static bool pr_out_run(struct pr_out *o, int sa)
{
	switch (sa) {
	case PR_REGISTER:
		return do_register(o, false);
	case PR_REGISTER_AND_IGNORE:
		return do_register(o, true);
	default:
		break;
	}
	/* all others are for the registered, by their key */
	if (!o->me || o->me->key != o->key)
		return conflict(o);
	switch (sa) {
	case PR_RESERVE:
		return do_reserve(o);
	case PR_RELEASE:
		return do_release(o);
	case PR_CLEAR:
		return do_clear(o);
	case PR_REGISTER_AND_MOVE:
		return do_move(o);
	default:
		return do_preempt(o);
	}
}

static bool pr_out_decide(struct lu_tx *tx)
{
	const struct scsi_cmd *cmd = tx_cmd(tx);
	const uint8_t *list = cmd->buf->data;
	struct pr_out o = {
		.tx = tx,
		.pr = &tx->lu->pr,
		.me = pr_of(&tx->lu->pr, tx->itl),
		.key = be_load(list, 8),
		.sa_key = be_load(list + 8, 8),
		.list = list,
		.len = cmd->args.plist,
		.scope = cmd->args.scope,
		.type = cmd->args.type,
		.abort = cmd->op->sa == PR_PREEMPT_AND_ABORT,
	};

	return pr_out_run(&o, cmd->op->sa);
}

/* What the lists cannot say because REPORT CAPABILITIES says so. */
static enum verdict check_list(struct scsi_cmd *cmd)
{
	const uint8_t *list = cmd->buf->data;

	if (cmd->op->sa == PR_REGISTER_AND_MOVE) {
		uint64_t id_len = be_load(list + 20, 4);

		if (id_len < TRANSPORT_ID_MIN || id_len > TRANSPORT_ID_MAX || id_len % 4)
			return cmd_invalid_param(cmd, 20, 7);
		return id_len != cmd->args.plist - MOVE_ID_AT ? V_PARAM_LIST_LENGTH : V_GOOD;
	}
	if (cmd->op->sa != PR_REGISTER && cmd->op->sa != PR_REGISTER_AND_IGNORE)
		return V_GOOD; /* the bits are for registering; else ignored */
	if (list[20] & SPEC_I_PT)
		return cmd_invalid_param(cmd, 20, 3);
	if (list[20] & ALL_TG_PT)
		return cmd_invalid_param(cmd, 20, 2);
	return list[20] & APTPL ? cmd_invalid_param(cmd, 20, 0) : V_GOOD;
}

static enum verdict pr_out_have_list(struct scsi_cmd *cmd)
{
	enum verdict v = check_list(cmd);

	if (v != V_GOOD)
		return v;
	cmd->tx.decide = pr_out_decide;
	return cmd_run_tx(cmd);
}

enum verdict spc_pr_out(struct scsi_cmd *cmd)
{
	bool move = cmd->op->sa == PR_REGISTER_AND_MOVE;

	if (cmd->args.plist < LIST_LEN)
		return V_PARAM_LIST_LENGTH;
	if (cmd->args.plist > (move ? MOVE_ID_AT + TRANSPORT_ID_MAX : LIST_LEN))
		return V_PARAM_LIST_LENGTH;
	return cmd_params(cmd, 1, pr_out_have_list);
}
