/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/layer/trigger.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"

static void look(struct trigger *t)
{
	atomic_store_explicit(&t->on, !access(t->path, F_OK), memory_order_relaxed);
}

int trigger_open(struct trigger *t, struct store *s, struct err *e)
{
	const char *path = store_option(s, "trigger");

	atomic_store(&t->on, true);
	if (!path)
		return 0;
	if (*path != '/')
		return store_err(e, -EINVAL,
				 "trigger=%.200s of store %s is no absolute path: begin it with /",
				 path, store_type(s));
	t->path = strdup(path);
	if (!t->path)
		return store_err(e, -ENOMEM, "no memory for the path of a trigger");
	look(t);
	return 0;
}

void trigger_close(struct trigger *t)
{
	free(t->path);
	t->path = NULL;
}

static void watch_run(struct store_job *j)
{
	look(container_of(j, struct trigger_watch, job)->t);
}

static void watch_done(struct store_job *j)
{
	struct trigger_watch *w = container_of(j, struct trigger_watch, job);

	w->busy = false;
	store_channel_put(w->ch);
}

void trigger_watch_init(struct trigger_watch *w, struct trigger *t, struct store_channel *ch)
{
	w->t = t;
	w->ch = ch;
	w->job.run = watch_run;
	w->job.done = watch_done;
}

bool trigger_on(struct trigger_watch *w)
{
	struct trigger *t = w->t;
	uint64_t now, next;

	if (!t->path)
		return true;
	now = store_now(w->ch);
	next = atomic_load_explicit(&t->next, memory_order_relaxed);
	if (now >= next && !w->busy &&
	    atomic_compare_exchange_strong_explicit(&t->next, &next, now + TRIGGER_NS,
						    memory_order_relaxed, memory_order_relaxed)) {
		w->busy = true;
		store_channel_get(w->ch); /* closing waits for the look */
		store_job_run(w->ch, &w->job);
	}
	return atomic_load_explicit(&t->on, memory_order_relaxed);
}
