/* SPDX-License-Identifier: BSD-2-Clause */
/* The control queue: functions and asynchronous notifications (virtio 1.2: 5.6.6.2). */
#include "play.h"

#define SLOW 6

static struct front_request slow[SLOW];
static uint8_t data[SLOW][512], lun[8];

static void begin(struct play *p)
{
	play_open(p);
	play_disk(p, &(uint32_t){ 0 });
	lun_bytes(lun, 0, p->slow_lun);
	for (unsigned i = 0; i < SLOW; i++) {
		request_room(&p->f, &slow[i], 512);
		memcpy(slow[i].lun, lun, 8);
		slow[i].indirect = p->indirect;
	}
	cdb_none(&slow[0], 0x00);
	request_do_patiently(&slow[0]);
}

/* Requests that the slow disk has for a while, and that the server has seen. */
static void submit_slow(struct play *p, unsigned n)
{
	struct front_request seen;

	for (unsigned i = 0; i < n; i++) {
		cdb_rw(&slow[i], false, i, 1, data[i], 512);
		slow[i].tag = 0;
		request_submit(&slow[i], 0);
	}
	request_room(&p->f, &seen, 0);
	cdb_none(&seen, 0x00);
	request_do(&seen); /* to the fast one, after them in the ring */
}

static void came_back(struct play *p, unsigned i, uint8_t response)
{
	requests_reap(&p->f, 0);
	check(!slow[i].busy, "the function was answered before request %u", i);
	check(slow[i].response == response, "request %u: response %u, not %u", i, slow[i].response,
	      response);
}

static void a_task_is_aborted(struct play *p)
{
	begin(p);
	submit_slow(p, 3);
	check(function_do(&p->f, VS_ABORT_TASK, lun, slow[1].tag) == VS_OK, "ABORT TASK failed");
	came_back(p, 1, VS_ABORTED);
	request_finish(&slow[0]);
	request_finish(&slow[2]);
	request_good(&slow[0], "the task before");
	request_good(&slow[2], "the task after");
}

static void all_tasks_are_aborted(struct play *p)
{
	static const unsigned functions[] = { VS_ABORT_TASK_SET, VS_CLEAR_TASK_SET };

	begin(p);
	for (unsigned n = 0; n < 2; n++) {
		submit_slow(p, SLOW);
		check(function_do(&p->f, functions[n], lun, 0) == VS_OK, "function %u failed",
		      functions[n]);
		for (unsigned i = 0; i < SLOW; i++)
			came_back(p, i, VS_ABORTED);
	}
}

static void a_reset_ends_tasks_and_is_told(struct play *p)
{
	static const unsigned functions[] = { VS_LOGICAL_UNIT_RESET, VS_I_T_NEXUS_RESET };

	begin(p);
	for (unsigned n = 0; n < 2; n++) {
		submit_slow(p, SLOW);
		check(function_do(&p->f, functions[n], lun, 0) == VS_OK, "function %u failed",
		      functions[n]);
		for (unsigned i = 0; i < SLOW; i++)
			came_back(p, i, VS_RESET);
		cdb_none(&slow[0], 0x00);
		request_do(&slow[0]);
		check(slow[0].status == 2 && sense_key(&slow[0]) == 6 &&
			      sense_code(&slow[0]) >> 8 == 0x29,
		      "after function %u: status %02x, sense %x/%04x", functions[n], slow[0].status,
		      sense_key(&slow[0]), sense_code(&slow[0]));
		request_do_patiently(&slow[0]);
		request_good(&slow[0], "after a reset");
	}
}

static void a_task_is_asked_for(struct play *p)
{
	begin(p);
	check(function_do(&p->f, VS_QUERY_TASK_SET, lun, 0) == VS_OK, "tasks where there are none");
	submit_slow(p, 2);
	check(function_do(&p->f, VS_QUERY_TASK, lun, slow[1].tag) == VS_FUNCTION_SUCCEEDED,
	      "QUERY TASK does not know a task");
	check(function_do(&p->f, VS_QUERY_TASK_SET, lun, 0) == VS_FUNCTION_SUCCEEDED,
	      "QUERY TASK SET does not know tasks");
	check(function_do(&p->f, VS_QUERY_TASK, lun, 0x123456789abcull) == VS_OK,
	      "QUERY TASK knows a task that is none");
	for (unsigned i = 0; i < 2; i++)
		request_finish(&slow[i]);
}

static void aborting_what_is_not_there_is_no_error(struct play *p)
{
	begin(p);
	check(function_do(&p->f, VS_ABORT_TASK, lun, 0x123456789abcull) == VS_OK,
	      "ABORT TASK without a task");
	check(function_do(&p->f, VS_ABORT_TASK_SET, lun, 0) == VS_OK,
	      "ABORT TASK SET without a task");
}

static void what_cannot_be_done_is_said(struct play *p)
{
	uint8_t other[8], got;

	begin(p);
	lun_bytes(other, 0, 999);
	got = function_do(&p->f, VS_LOGICAL_UNIT_RESET, other, 0);
	check(got == VS_INCORRECT_LUN, "a reset of a LUN that is not there: %u", got);
	lun_bytes(other, 3, 1);
	got = function_do(&p->f, VS_LOGICAL_UNIT_RESET, other, 0);
	check(got == VS_BAD_TARGET || got == VS_INCORRECT_LUN, "a reset at another target: %u", got);
	got = function_do(&p->f, 4711, lun, 0);
	check(got == VS_FUNCTION_REJECTED, "an unknown function: %u", got);
	got = function_do(&p->f, VS_CLEAR_ACA, lun, 0);
	check(got == VS_FUNCTION_REJECTED || got == VS_OK || got == VS_FUNCTION_SUCCEEDED,
	      "CLEAR ACA: %u", got);
}

static void notifications_are_asked_for(struct play *p)
{
	uint8_t an[AN_SIZE] = { 0 }, answer[AN_RESP_SIZE];

	begin(p);
	for (uint32_t type = CTRL_AN_QUERY; type <= CTRL_AN_SUBSCRIBE; type++) {
		put_le32(an, type);
		lun_bytes(an + 4, 0, p->opts.lun);
		put_le32(an + 12, 0xffffffff);
		memset(answer, 0xff, sizeof(answer));
		check(control_raw(&p->f, an, sizeof(an), answer, sizeof(answer)) == sizeof(answer),
		      "a short answer");
		check(answer[4] == VS_OK, "request %u: response %u", type, answer[4]);
		check(!(le32_at(answer) & ~0x7eu), "events %#x", le32_at(answer));
	}
}

static void an_unknown_control_request_is_answered(struct play *p)
{
	uint8_t bytes[TMF_SIZE], answer[8] = { 0 };
	int got;

	begin(p);
	memset(bytes, 0x77, sizeof(bytes));
	got = control_raw(&p->f, bytes, sizeof(bytes), answer, sizeof(answer));
	check(got >= 0 && got <= (int)sizeof(answer), "%d bytes", got);
	check(function_do(&p->f, VS_QUERY_TASK_SET, lun, 0) == VS_OK, "no function after it");
}

/* Functions and requests at once: every request ends once, every function is answered. */
static void functions_race_with_requests(struct play *p)
{
	struct front_function t[4] = { 0 };

	begin(p);
	for (unsigned round = 0; round < (p->count ? p->count : 40); round++) {
		for (unsigned i = 0; i < SLOW; i++) {
			cdb_rw(&slow[i], false, i, 1, data[i], 512);
			lun_bytes(slow[i].lun, 0, i % 2 ? p->slow_lun : p->opts.lun);
			slow[i].tag = 0;
			request_submit(&slow[i], 0);
		}
		for (unsigned i = 0; i < 4; i++) {
			lun_bytes(lun, 0, i % 2 ? p->slow_lun : p->opts.lun);
			function_submit(&p->f, &t[i], (round + i) % 8, lun, slow[i].tag);
		}
		for (unsigned i = 0; i < 4; i++)
			function_wait(&p->f, &t[i]);
		for (unsigned i = 0; i < SLOW; i++)
			request_finish(&slow[i]);
	}
}

const struct scenario task_scenarios[] = {
	{ "a_task_is_aborted", a_task_is_aborted },
	{ "all_tasks_are_aborted", all_tasks_are_aborted },
	{ "a_reset_ends_tasks_and_is_told", a_reset_ends_tasks_and_is_told },
	{ "a_task_is_asked_for", a_task_is_asked_for },
	{ "aborting_what_is_not_there_is_no_error", aborting_what_is_not_there_is_no_error },
	{ "what_cannot_be_done_is_said", what_cannot_be_done_is_said },
	{ "notifications_are_asked_for", notifications_are_asked_for },
	{ "an_unknown_control_request_is_answered", an_unknown_control_request_is_answered },
	{ "functions_race_with_requests", functions_race_with_requests },
	{ NULL },
};
