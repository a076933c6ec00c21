/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libstgt: a SCSI target inside another program.
 *
 * An instance (stgt_create) is what the daemon tgtd is, without the daemon: targets, logical units and stores, made by
 * the same administrative verbs (stgt_call), but no socket of its own, no signal, no file, no output. A session
 * (stgt_login) is an I_T nexus; commands (stgt_submit) carry a CDB and the caller's memory, which stores read and
 * write in place, and bring back status and sense data. docs/embedding.md explains it, docs/examples/embed.c
 * is a whole program.
 *
 * Threads. An instance has threads of its own: one for administration, and data threads over which sessions are spread.
 *  - "Any thread": every thread of the program, callbacks of this library too.
 *  - "May wait": any thread but those of the library: called from a callback it returns -EDEADLK and does nothing.
 *  - Callbacks (a command's done, and that of stgt_manage_start) run on a data thread. They must not block: every
 *    other session of that thread waits. They may submit (the command that has just ended, too), free commands, and
 *    start task management.
 *  - An instance must outlive all calls that name it or its sessions, but for those that callbacks make.
 * One instance at a time: a process has one or none (stgt_create says -EBUSY), one after the other as often as it
 * likes. fork() without exec() does not take an instance along.
 *
 * Numbers that are returned are 0 or a negative errno unless another meaning is stated.
 *
 * The binary interface stays: structures that programs allocate begin with their size, or never change; commands are
 * allocated by the library, and what is added to them comes at their end.
 */
#ifndef STGT_STGT_H
#define STGT_STGT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counts up with what is added. stgt_api() is the library's, which may be newer than the header's. */
#define STGT_API 1

struct stgt; /* an instance */
struct stgt_session; /* an I_T nexus */

unsigned stgt_api(void); /* any thread */
const char *stgt_version(void); /* "0.1.0"; any thread */

/* What went wrong, for a program and for a person. Wherever one is asked for, NULL will do. */
struct stgt_error {
	int code; /* -errno; 0: nothing */
	char kind[28]; /* stgt_call: a word such as "no-target" (see tgtctl(8)), or "" */
	char text[480]; /* the thing, the reason and the remedy */
};

/* ---- life ------------------------------------------------------------------------------------ */

enum stgt_log_level { STGT_LOG_ERR = 1, STGT_LOG_WARN, STGT_LOG_INFO, STGT_LOG_DEBUG };

/* What is zero has its default. */
struct stgt_options {
	size_t size; /* sizeof(struct stgt_options) */
	/* Gets every line of log, from any thread of the library. Must not call the library. NULL: no log. */
	void (*log)(void *arg, enum stgt_log_level level, const char *text);
	void *log_arg;
	enum stgt_log_level log_level; /* the most talkative that is told; default STGT_LOG_INFO */
	const char *engine; /* "uring", "epoll", or "auto" (default): the best that runs here */
	unsigned threads; /* data threads, 8 at most; default: as many as CPUs suit */
	unsigned poll_us; /* a data thread spins this long before it sleeps; default: not at all */
	/* Most memory for data that is not the caller's, bytes: 2 MiB for each data thread or more; default 256 MiB. */
	uint64_t memory;
};

#define STGT_OPTIONS_INIT \
	{ \
		.size = sizeof(struct stgt_options) \
	}

/* Threads up. @o NULL: defaults. NULL and @e on error. May wait. */
struct stgt *stgt_create(const struct stgt_options *o, struct stgt_error *e);

/*
 * The end: sessions are closed (commands under way end with -ECANCELED or as they would have), stores are
 * flushed and closed, threads end; then the instance and its sessions are gone, commands that
 * stgt_command_new() made are still the caller's. Waits at most @timeout_ms (-1: as long as the stores take; what
 * they have acknowledged is only safe then). -ETIMEDOUT: something is still with a store; the instance goes on
 * ending and can only be destroyed, by another call. NULL is fine. May wait.
 */
int stgt_destroy(struct stgt *s, int timeout_ms, struct stgt_error *e);

/* ---- administration ---------------------------------------------------------------------------- */

/*
 * Run the verb @method ("target.create", "lun.create", "help", ...: as tgtctl(8) and the control socket have them) with
 * @params, the text of a JSON object or NULL. *@result, if @result is not NULL, becomes JSON text, to be given to
 * stgt_free(). Calls run side by side as clients of the daemon do. "portal.add" makes the instance listen for iSCSI,
 * "vhost.add" for hypervisors; "system.shutdown" and "tcmu.attach" are refused. May wait.
 */
int stgt_call(struct stgt *s, const char *method, const char *params, char **result,
	      struct stgt_error *e);
void stgt_free(char *result); /* any thread; NULL is fine */

/* ---- sessions ---------------------------------------------------------------------------------- */

/*
 * Log in to @target as @initiator, both by their iSCSI names: *@session. Access rules and accounts are for those who
 * come by a network, a program may use its own targets. @initiator is the initiator port's name: what reservations are
 * kept by. -ENOENT: no such target; -EBUSY: that initiator has a session with it already;
 * -ESHUTDOWN: target or instance are offline. May wait.
 */
int stgt_login(struct stgt *s, const char *target, const char *initiator,
	       struct stgt_session **session, struct stgt_error *e);

/*
 * End the nexus: its commands are aborted and have all ended (with -ECANCELED, or as they would have) when this
 * returns, so it takes as long as a store takes. Other threads may be submitting: what comes late ends with -ENOTCONN.
 * A session can also be ended by others (session.close, target.delete, a TARGET COLD RESET): see -ENOTCONN at
 * stgt_submit(). Once more is fine. May wait.
 */
int stgt_logout(struct stgt_session *session);

/* Log out, and free it: no other thread uses it now or later. NULL is fine. May wait. */
int stgt_session_free(struct stgt_session *session);

/* ---- commands ----------------------------------------------------------------------------------- */

#define STGT_CDB_MAX 260
#define STGT_SENSE_MAX 252
#define STGT_SEGMENTS_MAX 1024
#define STGT_LUN_MAX 16383

/* Task attributes (SAM-6 8.7). */
enum stgt_attr {
	STGT_SIMPLE = 0,
	STGT_ORDERED = 2,
	STGT_HEAD_OF_QUEUE = 3,
};

/* Status codes (SAM-6 5.3). */
enum stgt_status {
	STGT_GOOD = 0x00,
	STGT_CHECK_CONDITION = 0x02,
	STGT_CONDITION_MET = 0x04,
	STGT_BUSY = 0x08,
	STGT_RESERVATION_CONFLICT = 0x18,
	STGT_TASK_SET_FULL = 0x28,
	STGT_ACA_ACTIVE = 0x30,
	STGT_TASK_ABORTED = 0x40,
	STGT_NO_STATUS = 0xff, /* result says why */
};

enum stgt_residual { STGT_RESIDUAL_NONE, STGT_UNDERFLOW, STGT_OVERFLOW };

/*
 * A command: made once, filled, submitted, looked at, filled again. From stgt_submit() until done is called it belongs
 * to the library, and so does the memory that it names: not to be changed (out) or looked at (in).
 */
struct stgt_command {
	/* the request */
	uint64_t lun; /* number, 0 to STGT_LUN_MAX */
	uint8_t lun_bytes[8]; /* unless they are all zero the LUN as SAM-6 4.7 writes it, instead of the number */
	uint64_t tag; /* for task management; 0: the library chooses one of its own and writes it here */
	uint8_t attr; /* enum stgt_attr */
	uint8_t reserved[3];
	unsigned cdb_len; /* 6 to STGT_CDB_MAX */
	uint8_t cdb[STGT_CDB_MAX];
	/* Memory for data-in, or of data-out; never both. The lists themselves are copied. */
	unsigned in_cnt, out_cnt; /* at most what stgt_command_new() was told */
	const struct iovec *in, *out;
	void (*done)(struct stgt_command *c); /* on the session's data thread; once */
	void *arg; /* the caller's */

	/*
	 * The outcome. result: 0: the target has answered, see status; -ECANCELED: aborted by the nexus itself (its
	 * task management, its end); -ENOTCONN: the session had ended before.
	 */
	int result;
	uint8_t status; /* enum stgt_status */
	uint8_t residual; /* enum stgt_residual */
	uint8_t reserved2[2];
	uint32_t residual_count; /* bytes */
	uint32_t moved; /* bytes of the lists that were used */
	unsigned sense_len; /* 0: none */
	uint8_t sense[STGT_SENSE_MAX]; /* SPC-5 4.4 */
	/* later versions add here */
};

/*
 * A command that is all zero, with room for @segments segments of data (1 to STGT_SEGMENTS_MAX). NULL: no memory, or
 * @segments is wrong. It belongs to no session. Any thread.
 */
struct stgt_command *stgt_command_new(unsigned segments);
void stgt_command_free(struct stgt_command *c); /* not while it is under way; NULL is fine; any thread */

/*
 * Run @c; c->done is called once, never inside this call. Commands that one thread submits to a session arrive in this
 * order. Else done is not called: -EINVAL: no done, or a length, count, LUN or attribute is out of its range;
 * -E2BIG: more segments than it has room for, or 4 GiB of data; -EBUSY: it is under way; -ENOTCONN:
 * the session has ended. Any thread.
 */
int stgt_submit(struct stgt_session *session, struct stgt_command *c);

/*
 * The same, and wait for the end; c->done and c->arg are overwritten. 0: c->result and what follows it are
 * set; errors as above. May wait.
 */
int stgt_execute(struct stgt_session *session, struct stgt_command *c);

/* ---- task management ----------------------------------------------------------------------------- */

/* Functions and responses: the values are those of RFC 7143 11.5.1, 11.6.1 and RFC 7144. */
enum stgt_function {
	STGT_ABORT_TASK = 1,
	STGT_ABORT_TASK_SET = 2,
	STGT_CLEAR_TASK_SET = 4,
	STGT_LU_RESET = 5,
	STGT_TARGET_WARM_RESET = 6,
	STGT_TARGET_COLD_RESET = 7, /* ends every other session of the target, too */
	STGT_QUERY_TASK = 9,
	STGT_QUERY_TASK_SET = 10,
};

enum stgt_response {
	STGT_FUNCTION_COMPLETE = 0,
	STGT_NO_SUCH_TASK = 1,
	STGT_NO_SUCH_LUN = 2,
	STGT_NOT_SUPPORTED = 5,
	STGT_FUNCTION_SUCCEEDED = 7, /* queries: it is there */
	STGT_FUNCTION_REJECTED = 255,
};

/*
 * Run @function for @lun and, where it is about one task, @tag; then @done(@arg, response) is called once, on the
 * session's data thread: an enum stgt_response, or -ENOTCONN. It comes when what the function aborts has left the
 * stores. Commands that the same thread submitted before are there already. Else done is not called: -EINVAL: no
 * such function or LUN; -ENOTCONN; -ENOMEM. Any thread.
 */
int stgt_manage_start(struct stgt_session *session, enum stgt_function function, uint64_t lun,
		      uint64_t tag, void (*done)(void *arg, int response), void *arg);

/* The same, and wait: returns the response, or an error as above. May wait. */
int stgt_manage(struct stgt_session *session, enum stgt_function function, uint64_t lun,
		uint64_t tag);

#ifdef __cplusplus
}
#endif

#endif
