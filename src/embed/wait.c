/* SPDX-License-Identifier: BSD-2-Clause */
/* Waiting for the library's threads, and errors. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "embed/embed.h"

void waiting_init(struct waiting *w)
{
	pthread_condattr_t mono;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->there, &mono);
	pthread_condattr_destroy(&mono);
	w->done = false;
}

void waiting_end(struct waiting *w)
{
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->there);
	pthread_mutex_unlock(&w->lock);
}

static struct timespec in_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000l;
	if (t.tv_nsec >= 1000000000l) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000l;
	}
	return t;
}

bool waiting_for(struct waiting *w, int timeout_ms)
{
	struct timespec end = in_ms(max(timeout_ms, 0));
	bool done;
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->done && rc != ETIMEDOUT) {
		if (timeout_ms < 0)
			pthread_cond_wait(&w->there, &w->lock);
		else
			rc = pthread_cond_timedwait(&w->there, &w->lock, &end);
	}
	done = w->done;
	pthread_mutex_unlock(&w->lock);
	return done;
}

void waiting_fini(struct waiting *w)
{
	pthread_cond_destroy(&w->there);
	pthread_mutex_destroy(&w->lock);
}

int say(struct stgt_error *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	e->kind[0] = 0;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

int say_err(struct stgt_error *e, const struct err *from)
{
	return say(e, from->code, "%s", from->text);
}

int may_wait(const char *what, struct stgt_error *e)
{
	if (!reactor_self())
		return 0;
	return say(e, -EDEADLK,
		   "%s waits for the library's threads, and this is one of them: call it from a "
		   "thread of the program",
		   what);
}

unsigned stgt_api(void)
{
	return STGT_API;
}

const char *stgt_version(void)
{
	return STGT_VERSION;
}

void stgt_free(char *result)
{
	free(result);
}
