/* SPDX-License-Identifier: BSD-2-Clause */
#include "rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct stgt *rig_up(void)
{
	struct stgt_options o = STGT_OPTIONS_INIT;
	struct stgt_error e;
	struct stgt *s;

	o.threads = 2;
	o.memory = 32u << 20;
	s = stgt_create(&o, &e);
	if (!s)
		fail_msg("%s", e.text);
	stgt_free(rig_call(s, "target.create", "{\"tid\":1,\"name\":\"" TARGET "\"}"));
	stgt_free(rig_call(s, "lun.create",
			   "{\"tid\":1,\"lun\":1,\"bstype\":\"mem\",\"bsopts\":\"size=64M\"}"));
	stgt_free(rig_call(s, "lun.create",
			   "{\"tid\":1,\"lun\":2,\"bstype\":\"delay:read_us=300000+mem\","
			   "\"bsopts\":\"size=64M\"}"));
	rig_forget();
	return s;
}

void rig_down(struct stgt *s)
{
	assert_int_equal(stgt_destroy(s, -1, NULL), 0);
}

char *rig_call(struct stgt *s, const char *method, const char *params)
{
	struct stgt_error e = { 0 };
	char *result;

	if (stgt_call(s, method, params, &result, &e))
		fail_msg("%s: %s", method, e.text);
	assert_non_null(result);
	return result;
}

struct stgt_session *rig_login(struct stgt *s, const char *initiator)
{
	struct stgt_session *session;
	struct stgt_error e;
	uint8_t sense[18];

	if (stgt_login(s, TARGET, initiator, &session, &e))
		fail_msg("%s", e.text);
	for (uint64_t lun = DISK; lun <= SLOW; lun++)
		rig_good(rig_in(session, lun, CDB(0x03, 0, 0, 0, sizeof(sense), 0), sense,
				sizeof(sense)));
	return session;
}

struct stgt_command *rig_command(unsigned segments, uint64_t lun, struct cdb cdb)
{
	struct stgt_command *c = stgt_command_new(segments);

	assert_non_null(c);
	c->lun = lun;
	c->cdb_len = cdb.len;
	memcpy(c->cdb, cdb.b, cdb.len);
	return c;
}

static const struct stgt_command *run(struct stgt_session *s, struct stgt_command *c)
{
	static struct stgt_command outcome;

	assert_int_equal(stgt_execute(s, c), 0);
	outcome = *c;
	stgt_command_free(c);
	return &outcome;
}

const struct stgt_command *rig_in(struct stgt_session *s, uint64_t lun, struct cdb cdb, void *data,
				  size_t len)
{
	struct stgt_command *c = rig_command(1, lun, cdb);
	struct iovec v = { data, len };

	c->in = &v;
	c->in_cnt = data != NULL;
	return run(s, c);
}

const struct stgt_command *rig_out(struct stgt_session *s, uint64_t lun, struct cdb cdb,
				   const void *data, size_t len)
{
	struct stgt_command *c = rig_command(1, lun, cdb);
	struct iovec v = { (void *)data, len };

	c->out = &v;
	c->out_cnt = 1;
	return run(s, c);
}

void rig_good(const struct stgt_command *c)
{
	assert_int_equal(c->result, 0);
	if (c->status != STGT_GOOD)
		fail_msg("status %02x, sense %x/%02x/%02x", c->status, c->sense[2] & 0x0f,
			 c->sense[12], c->sense[13]);
	assert_int_equal(c->sense_len, 0);
}

void rig_sense(const struct stgt_command *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
	assert_int_equal(c->result, 0);
	assert_int_equal(c->status, STGT_CHECK_CONDITION);
	assert_int_equal(c->sense_len, 18);
	assert_int_equal(c->sense[2] & 0x0f, key);
	assert_int_equal(c->sense[12], asc);
	assert_int_equal(c->sense[13], ascq);
}

/* ---- without waiting --------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static unsigned ended;

void rig_done(struct stgt_command *c)
{
	pthread_mutex_lock(&lock);
	ended++;
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
}

void rig_submit(struct stgt_session *s, struct stgt_command *c)
{
	c->done = rig_done;
	assert_int_equal(stgt_submit(s, c), 0);
}

void rig_wait(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (ended < n)
		pthread_cond_wait(&more, &lock);
	pthread_mutex_unlock(&lock);
}

unsigned rig_ended(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = ended;
	pthread_mutex_unlock(&lock);
	return n;
}

void rig_forget(void)
{
	pthread_mutex_lock(&lock);
	ended = 0;
	pthread_mutex_unlock(&lock);
}
