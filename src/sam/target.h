/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets: names, LUN maps, access rules, accounts, and who is logged in. All
 * of it belongs to the control reactor, the targets' home; transports ask it by message
 * (struct login_query, struct claim), so a reactor never reads it.
 */
#ifndef STGT_SAM_TARGET_H
#define STGT_SAM_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "reactor/reactor.h"
#include "sam/it_nexus.h"

#define TARGET_PARAMS 32 /* transport-defined settings of a target, by index */
#define LUN_MAX 16383 /* flat space addressing, SAM-6 4.7.7 */
#define CHAP_NAME_MAX 255
#define CHAP_SECRET_MAX 255

struct account {
	struct list link;
	char user[CHAP_NAME_MAX + 1], secret[CHAP_SECRET_MAX + 1];
};

/* An account bound to a target or to discovery. */
struct account_ref {
	struct list link;
	struct account *account;
};

/* An access rule: an address (CIDR or ALL) or an initiator name. */
struct acl {
	struct list link;
	bool by_name;
	char text[INITIATOR_NAME_MAX + 1];
};

struct lun_entry {
	struct list link; /* by ascending LUN */
	uint64_t lun;
	struct lu *lu;
	const char *reserved; /* for this transport's sessions alone (transport_ops.name); NULL: for all */
	bool removing;
};

enum target_state { TARGET_READY, TARGET_OFFLINE };

struct target {
	struct list link; /* in targets, by ascending tid */
	uint32_t tid; /* 1..65535; also the relative target port identifier */
	char name[INITIATOR_NAME_MAX + 1];
	enum target_state state;
	struct list luns; /* lun_entry */
	struct list acls; /* acl: addresses first */
	struct list incoming; /* account_ref */
	struct account *outgoing;
	struct list nexuses; /* it_nexus.target_link */
	int32_t param[TARGET_PARAMS]; /* -1: the transport's default */
};

/* Everything that control keeps; one per daemon, or per test. */
struct targets {
	struct list all; /* target.link */
	struct list accounts; /* account, newest first */
	struct list discovery_incoming; /* account_ref */
	struct account *discovery_outgoing;
	struct reactor *control;
	struct reactor *const *reactors; /* data reactors */
	unsigned nreactors;
	unsigned sessions[REACTORS_MAX]; /* by reactor: for the least loaded */
	uint64_t next_nexus_id;
	bool offline; /* no login is accepted */
	struct lu *absent, *wlun; /* behind every nexus */
	/* A nexus of @t is gone, and its LUs know it. Control's; may be NULL. */
	void (*nexus_left)(struct targets *ts, struct target *t);
	struct list known; /* initiator ports seen before, bounded: they get UA_NEXUS_LOSS */
	unsigned nknown;
};

/*
 * @absent answers for LUNs that are not there, @wlun is the REPORT LUNS well known
 * LU. -ENOMEM.
 */
int targets_init(struct targets *ts, struct reactor *control, struct reactor *const *reactors,
		 unsigned nreactors, const struct device_server *absent,
		 const struct device_server *wlun);
/* No target is left. Frees accounts. */
void targets_fini(struct targets *ts);

/* NULL and @e: exists already (-EEXIST), bad name (-EINVAL), tid 0 or above 65535. */
struct target *target_create(struct targets *ts, uint32_t tid, const char *name, struct err *e);
/* -EBUSY while a nexus or LUN is left. */
int target_destroy(struct targets *ts, struct target *t, struct err *e);
struct target *target_find(struct targets *ts, uint32_t tid);
struct target *target_find_name(struct targets *ts, const char *name);

/* Access rules: -EEXIST, -ENOENT, -EINVAL (neither address, CIDR nor ALL). */
int target_acl_add(struct target *t, bool by_name, const char *text, struct err *e);
int target_acl_remove(struct target *t, bool by_name, const char *text, struct err *e);
/* tgt's rule: a name or an address that matches admits. No rule at all admits nobody. */
bool target_admits(const struct target *t, const char *initiator, const char *peer);

int account_add(struct targets *ts, const char *user, const char *secret, struct err *e);
int account_remove(struct targets *ts, const char *user, struct err *e); /* and every binding */
struct account *account_find(struct targets *ts, const char *user);
/* @t NULL: discovery. */
int account_bind(struct targets *ts, struct target *t, const char *user, bool outgoing,
		 struct err *e);
int account_unbind(struct targets *ts, struct target *t, const char *user, bool outgoing,
		   struct err *e);

struct lun_entry *target_lun(struct target *t, uint64_t lun);

/*
 * Map @lu at @lun and attach every nexus of the target; @done(@arg) when all
 * have it. -EEXIST if the LUN is taken, -EINVAL if it is too large: then done is not called.
 */
int target_map(struct targets *ts, struct target *t, uint64_t lun, struct lu *lu,
	       void (*done)(void *arg), void *arg, struct err *e);
/*
 * Unmap @lun: every nexus loses it (commands under way are aborted and
 * drained), then @done(@arg): then the LU may be destroyed. -ENOENT.
 */
int target_unmap(struct targets *ts, struct target *t, uint64_t lun, void (*done)(void *arg),
		 void *arg, struct err *e);

/*
 * From now on only sessions of the transport called @name (which stays valid) have @lun. -ENOENT; -EBUSY and
 * @e while a session of another has it, or it is reserved for another.
 */
int target_reserve_lun(struct target *t, uint64_t lun, const char *name, struct err *e);
/* Everybody may have it again, and who is logged in gets it. */
void target_release_lun(struct target *t, uint64_t lun);

struct it_nexus *target_nexus(struct target *t, uint64_t id);
/* End a session from the admin side. */
void target_close_nexus(struct it_nexus *n);
/* End every other session of @n's target (TARGET COLD RESET). On control. */
void target_close_others(struct it_nexus *n);

/* ---- what transports ask ------------------------------------------------- */

enum login_answer {
	LOGIN_OK,
	LOGIN_NOT_FOUND, /* no such target, RFC 7143 status 0203h */
	LOGIN_FORBIDDEN, /* 0202h */
	LOGIN_OFFLINE, /* 0301h */
	LOGIN_BUSY, /* 0302h: the old session did not end in time, or no memory */
};

/* What control knows of a target before a login; and accounts. */
struct login_query {
	/* in */
	char initiator[INITIATOR_NAME_MAX + 1];
	char target[INITIATOR_NAME_MAX + 1]; /* "": discovery */
	char peer[64];
	uint8_t isid[6];
	uint16_t tpgt;
	char user[CHAP_NAME_MAX + 1]; /* "": no secret is asked for */
	void (*done)(struct login_query *q); /* on the asking reactor */
	void *owner; /* the asker's */
	/* out */
	enum login_answer answer;
	uint32_t tid;
	uint64_t session; /* id of the nexus that this initiator port has with the target, 0: none */
	int32_t param[TARGET_PARAMS];
	bool auth_required; /* there are incoming accounts */
	bool user_known;
	char secret[CHAP_SECRET_MAX + 1]; /* of user */
	bool outgoing; /* mutual CHAP is possible */
	char out_user[CHAP_NAME_MAX + 1], out_secret[CHAP_SECRET_MAX + 1];
	/* private */
	struct targets *ts;
	struct reactor *from;
	struct msg msg;
};
void login_query_run(struct targets *ts, struct login_query *q);

/* SendTargets: the names of the targets that @initiator at @peer may see, each ended by a zero byte. */
struct name_query {
	char initiator[INITIATOR_NAME_MAX + 1], peer[64];
	char only[INITIATOR_NAME_MAX + 1]; /* "": all */
	void (*done)(struct name_query *q);
	char *names; /* malloc()ed, the asker's; NULL if none */
	size_t len;
	struct targets *ts;
	struct reactor *from;
	struct msg msg;
};
void name_query_run(struct targets *ts, struct name_query *q);

/*
 * Claim the session (initiator port, target port): one claim at a time per
 * nexus; an older session of the same port is closed first (reinstatement,
 * RFC 7143 6.3.5), and its end waited for, at most CLAIM_TIMEOUT_NS.
 */
#define CLAIM_TIMEOUT_NS (15 * NSEC_PER_SEC)
struct claim {
	/* in */
	char initiator[INITIATOR_NAME_MAX + 1], alias[INITIATOR_NAME_MAX + 1];
	char target[INITIATOR_NAME_MAX + 1];
	char peer[64];
	uint8_t isid[6];
	uint16_t tpgt;
	uint8_t transport_id[TRANSPORT_ID_MAX];
	uint16_t transport_id_len;
	/*
	 * Who asks was admitted before it came here, by the mode of a socket or by being the kernel: no access
	 * rule of the target is asked, and no older session is in its way: LOGIN_BUSY if there is one. One that is
	 * leaving is waited for.
	 */
	bool local;
	bool one_lun; /* the nexus has @lun alone, whatever else the target has or gets */
	uint64_t lun;
	const struct transport_ops *tops;
	void (*done)(struct claim *c); /* on the asking reactor */
	void *owner; /* the asker's */
	/* out */
	enum login_answer answer;
	struct it_nexus *nexus; /* in state NEXUS_STARTING, every LU attached; nexus->reactor owns it */
	/* private */
	struct targets *ts;
	struct reactor *from;
	struct msg msg;
	struct list wait_link;
	struct timer timer;
};
void claim_run(struct targets *ts, struct claim *c);

/* The claimed session begins: on nexus->reactor, before its first command. */
void nexus_start(struct it_nexus *n, void *session);
/* On control: @n has left its reactor. Detaches it from its LUs and frees it. */
void nexus_gone(struct it_nexus *n);

/* The claim succeeded but the connection is gone before nexus_start(). On nexus->reactor. */
void nexus_abandon(struct it_nexus *n);

#endif
