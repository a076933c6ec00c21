/* SPDX-License-Identifier: BSD-2-Clause */
/* Many threads of a program use one target at once. Under the thread sanitizer this is the proof of the contracts. */
#include "rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS 6
#define ROUNDS 150
#define DEPTH 8

struct worker {
	pthread_t thread;
	unsigned number;
	struct stgt *s;
	struct stgt_session *session; /* NULL: one of its own */
	unsigned wrong, good, late;
};

static void run_all(struct worker *w, unsigned n, void *(*fn)(void *arg))
{
	for (unsigned i = 0; i < n; i++) {
		w[i].number = i;
		assert_int_equal(pthread_create(&w[i].thread, NULL, fn, &w[i]), 0);
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
}

/* ---- data of many ------------------------------------------------------------------------------- */

/* No assertion: cmocka's are for the main thread. */
static bool move(struct worker *w, struct stgt_session *session, struct stgt_command *c, bool out,
		 uint32_t lba, uint8_t *data)
{
	struct iovec v = { data, 2 * BLOCK };
	struct cdb cdb = out ? WRITE10(lba, 2) : READ10(lba, 2);

	memcpy(c->cdb, cdb.b, cdb.len);
	c->cdb_len = cdb.len;
	c->in = c->out = &v;
	c->in_cnt = !out;
	c->out_cnt = out;
	return !stgt_execute(session, c) && !c->result && c->status == STGT_GOOD &&
	       c->moved == 2 * BLOCK;
}

static void attention(struct stgt_session *session, struct stgt_command *c)
{
	memset(c->cdb, 0, 6);
	c->cdb_len = 6;
	c->in_cnt = c->out_cnt = 0;
	stgt_execute(session, c);
}

static void *write_and_read(void *arg)
{
	struct worker *w = arg;
	struct stgt_session *session = w->session;
	struct stgt_command *c = stgt_command_new(1);
	uint8_t sent[2 * BLOCK], got[2 * BLOCK];
	char name[64];

	c->lun = DISK;
	snprintf(name, sizeof(name), INITIATOR "%u", w->number);
	if (!session && stgt_login(w->s, TARGET, name, &session, NULL))
		w->wrong++;
	attention(session, c);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t lba = w->number * 1000 + i % 50 * 2;

		memset(sent, (int)(w->number * 31 + i), sizeof(sent));
		w->wrong += !move(w, session, c, true, lba, sent);
		w->wrong += !move(w, session, c, false, lba, got);
		w->wrong += memcmp(sent, got, sizeof(got)) != 0;
	}
	stgt_command_free(c);
	if (!w->session)
		w->wrong += stgt_session_free(session) != 0;
	return NULL;
}

static void threads_with_sessions_of_their_own_do_not_meet(void **state)
{
	struct stgt *s = rig_up();
	struct worker w[THREADS] = { 0 };

	for (unsigned i = 0; i < THREADS; i++)
		w[i].s = s;
	run_all(w, THREADS, write_and_read);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(w[i].wrong, 0);
	rig_down(s);
}

static void threads_share_a_session(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);
	struct worker w[THREADS] = { 0 };

	for (unsigned i = 0; i < THREADS; i++)
		w[i].session = session;
	run_all(w, THREADS, write_and_read);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(w[i].wrong, 0);
	rig_down(s);
}

/* ---- many at a time --------------------------------------------------------------------------------- */

struct batch {
	pthread_mutex_t lock;
	pthread_cond_t empty;
	unsigned left, bad, canceled, refused;
};

static void batch_done(struct stgt_command *c)
{
	struct batch *b = c->arg;

	pthread_mutex_lock(&b->lock);
	b->bad += !c->result && c->status != STGT_GOOD;
	b->canceled += c->result == -ECANCELED || c->result == -ENOTCONN;
	if (!--b->left)
		pthread_cond_signal(&b->empty);
	pthread_mutex_unlock(&b->lock);
}

static void batch_submit(struct batch *b, struct stgt_session *session, struct stgt_command *c)
{
	c->done = batch_done;
	c->arg = b;
	pthread_mutex_lock(&b->lock);
	b->left++;
	pthread_mutex_unlock(&b->lock);
	if (!stgt_submit(session, c))
		return;
	pthread_mutex_lock(&b->lock);
	b->left--;
	b->refused++;
	pthread_mutex_unlock(&b->lock);
}

static void batch_wait(struct batch *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->left)
		pthread_cond_wait(&b->empty, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

static void *submit_batches(void *arg)
{
	struct worker *w = arg;
	struct batch b = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0 };
	static const uint8_t read10[10] = { 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0 };
	struct stgt_command *c[DEPTH];
	uint8_t data[DEPTH][BLOCK];
	struct iovec v[DEPTH];

	for (unsigned i = 0; i < DEPTH; i++) {
		c[i] = stgt_command_new(1);
		c[i]->lun = DISK;
		c[i]->cdb_len = 10;
		memcpy(c[i]->cdb, read10, 10);
		v[i] = (struct iovec){ data[i], BLOCK };
		c[i]->in = &v[i];
		c[i]->in_cnt = 1;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			batch_submit(&b, w->session, c[i]);
		batch_wait(&b);
	}
	w->wrong = b.bad;
	w->late = b.canceled + b.refused;
	w->good = ROUNDS * DEPTH - w->late - w->wrong;
	for (unsigned i = 0; i < DEPTH; i++)
		stgt_command_free(c[i]);
	return NULL;
}

static void many_threads_submit_to_one_session_at_once(void **state)
{
	struct stgt *s = rig_up();
	struct stgt_session *session = rig_login(s, INITIATOR);
	struct worker w[THREADS] = { 0 };

	for (unsigned i = 0; i < THREADS; i++)
		w[i].session = session;
	run_all(w, THREADS, submit_batches);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(w[i].good, ROUNDS * DEPTH);
	stgt_session_free(session);
	rig_down(s);
}

static void *log_out(void *arg)
{
	struct worker *w = arg;
	struct timespec t = { 0, 2000000 };

	nanosleep(&t, NULL); /* somewhere in the middle: every moment must do */
	w->wrong = stgt_logout(w->session) != 0;
	return NULL;
}

static void *one_of_both(void *arg)
{
	struct worker *w = arg;

	return w->number < 2 ? log_out(arg) : submit_batches(arg);
}

static void a_session_ends_while_threads_submit(void **state)
{
	struct stgt *s = rig_up();

	for (unsigned round = 0; round < 10; round++) {
		struct stgt_session *session = rig_login(s, INITIATOR);
		struct worker w[4] = { 0 };

		for (unsigned i = 0; i < 4; i++)
			w[i].session = session;
		run_all(w, 4, one_of_both);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(w[i].wrong, 0);
		assert_int_equal(stgt_session_free(session), 0);
	}
	rig_down(s);
}

/* ---- verbs of many ------------------------------------------------------------------------------------ */

static void *call(void *arg)
{
	struct worker *w = arg;
	char create[128], remove[64];

	snprintf(create, sizeof(create), "{\"tid\":%u,\"name\":\"iqn.2026-11.test:n%u\"}",
		 100 + w->number, w->number);
	snprintf(remove, sizeof(remove), "{\"tid\":%u,\"force\":true}", 100 + w->number);
	for (unsigned i = 0; i < 20; i++) {
		char *text = NULL;

		w->wrong += stgt_call(w->s, "target.create", create, NULL, NULL) != 0;
		w->wrong += stgt_call(w->s, "target.list", NULL, &text, NULL) != 0;
		w->wrong += !text || !strstr(text, TARGET);
		stgt_free(text);
		w->wrong += stgt_call(w->s, "target.delete", remove, NULL, NULL) != 0;
	}
	return NULL;
}

static void verbs_are_called_by_many_threads(void **state)
{
	struct stgt *s = rig_up();
	struct worker w[THREADS] = { 0 };

	for (unsigned i = 0; i < THREADS; i++)
		w[i].s = s;
	run_all(w, THREADS, call);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(w[i].wrong, 0);
	rig_down(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_with_sessions_of_their_own_do_not_meet),
		cmocka_unit_test(threads_share_a_session),
		cmocka_unit_test(many_threads_submit_to_one_session_at_once),
		cmocka_unit_test(a_session_ends_while_threads_submit),
		cmocka_unit_test(verbs_are_called_by_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
