/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A transport within the process, for tests and tools: commands are submitted
 * with data in plain memory. Calls come from any reactor's thread (or from one
 * thread that steps them all); callbacks come on the session's reactor.
 */
#ifndef STGT_TRANSPORT_LOOP_LOOP_H
#define STGT_TRANSPORT_LOOP_LOOP_H

#include "sam/scsi_cmd.h"
#include "sam/target.h"
#include "sam/tmf.h"

#define LOOP_SEGMENTS 64

/* An initiator port that is or was logged in. The owner's until ended is called. */
struct loop_session {
	/* in */
	const char *initiator, *target;
	uint8_t isid[6];
	void (*started)(struct loop_session *s); /* the claim is answered; may be NULL */
	void (*ended)(struct loop_session *s); /* the nexus is gone: last use; may be NULL */
	/* out */
	enum login_answer answer;
	struct it_nexus *nexus; /* its reactor's; NULL before the login and after the end */
	struct reactor *reactor; /* constant from started() on */
	/* private */
	struct claim claim;
	struct msg msg, drop_msg;
};

/* Claim the nexus; started() follows, with answer set. On a reactor's thread. */
void loop_login(struct targets *ts, struct loop_session *s);
/* Drop the nexus: its commands end, then ended() is called. */
void loop_logout(struct loop_session *s);

struct loop_cmd {
	struct scsi_cmd scsi; /* the outcome is in it */
	/* in; what is not set is zero */
	struct loop_session *session;
	uint64_t lun; /* number; used if lun_bytes is all zero */
	uint8_t lun_bytes[8];
	uint64_t tag;
	uint8_t attr; /* enum task_attr */
	uint8_t cdb[CDB_MAX];
	unsigned cdb_len;
	bool read, write;
	uint32_t expected; /* bytes at @in (if read) or @out (if write) */
	uint8_t *in;
	const uint8_t *out;
	uint32_t segment; /* most bytes per segment of data-out; 0: one segment */
	bool late; /* data-out comes in a later turn */
	bool withhold; /* data-out never comes until loop_send() */
	bool in_place; /* data-in go to @in without a buffer on the way, where they can */
	void (*done)(struct loop_cmd *c);
	/* out */
	uint8_t sense[SENSE_MAX];
	unsigned sense_len;
	uint32_t in_len; /* bytes written at @in */
	bool gap; /* data-in came with a gap or beyond @expected */
	bool asked; /* data-out has been asked for */
	/* private */
	struct iovec iov[LOOP_SEGMENTS];
	uint32_t off, len; /* the part of data-out asked for */
	bool coming, finished;
	struct msg msg, data_msg;
};

/* Run @c; done follows once. @c stays valid until then. */
void loop_submit(struct loop_cmd *c);
/* Deliver what @c withholds, if it was asked for. On the session's reactor. */
void loop_send(struct loop_cmd *c);

struct loop_tmf {
	struct tmf tmf; /* function, ref_tag in; response out */
	struct loop_session *session;
	uint64_t lun;
	void (*done)(struct loop_tmf *t);
	struct msg msg;
};
void loop_manage(struct loop_tmf *t);

#endif
