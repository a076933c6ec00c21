/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Task management (SAM-6 7): fence, then drain, then the response, so that an
 * old write never lands on a newer one.
 */
#ifndef STGT_SAM_TMF_H
#define STGT_SAM_TMF_H

#include "base/list.h"
#include "reactor/reactor.h"
#include "sam/it_nexus.h"
#include "sam/transaction.h"

/* Values of RFC 7143 11.5.1. */
enum tmf_function {
	TMF_ABORT_TASK = 1,
	TMF_ABORT_TASK_SET = 2,
	TMF_CLEAR_ACA = 3,
	TMF_CLEAR_TASK_SET = 4,
	TMF_LU_RESET = 5,
	TMF_TARGET_WARM_RESET = 6,
	TMF_TARGET_COLD_RESET = 7,
	TMF_TASK_REASSIGN = 8,
	TMF_QUERY_TASK = 9, /* RFC 7144 */
	TMF_QUERY_TASK_SET = 10,
	TMF_I_T_NEXUS_RESET = 11,
	TMF_QUERY_ASYNC_EVENT = 12,
};

/* Values of RFC 7143 11.6.1 and RFC 7144. */
enum tmf_response {
	TMF_COMPLETE = 0,
	TMF_NO_TASK = 1,
	TMF_NO_LUN = 2,
	TMF_TASK_ALLEGIANT = 3,
	TMF_NO_REASSIGN = 4,
	TMF_NOT_SUPPORTED = 5,
	TMF_AUTH_FAILED = 6,
	TMF_SUCCEEDED = 7, /* QUERY TASK: it is there */
	TMF_REJECTED = 255,
};

struct tmf {
	/* by the transport */
	struct it_nexus *nexus;
	enum tmf_function function;
	uint8_t lun[8];
	uint64_t ref_tag;
	void (*done)(struct tmf *t); /* on the nexus's reactor; perhaps before tmf_submit() returns */
	/* the answer */
	enum tmf_response response;
	/* private */
	struct itl *itl; /* may go before the end of a function that is not about it */
	uint64_t lu; /* its LU's id, and its number, for traces */
	uint16_t number;
	struct drain drain;
	struct lu_tx tx;
	struct msg msg;
	unsigned left;
	void *resets;
};

/*
 * Run @t; it stays valid until t->done. Counts as a command of the nexus for nexus_drop().
 * False: it is refused, and no task is the worse for it.
 */
bool tmf_submit(struct tmf *t);

#endif
