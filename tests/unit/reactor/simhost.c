/* SPDX-License-Identifier: BSD-2-Clause */
#include "simhost.h"

#include "base/bits.h"
#include "reactor/internal.h"

#define STEPS_MAX 1000000

struct reactor *r, *control;

static struct reactor *make(const char *name, unsigned id)
{
	struct reactor_opts o = { .name = name, .id = id, .engine = &engine_sim, .buf_cap = MIB(2) };
	struct err e = { 0 };
	struct reactor *made = reactor_create(&o, &e);

	if (!made)
		fail_msg("%s", e.text);
	return made;
}

void host_begin(uint64_t seed)
{
	sim_begin(seed);
	r = make("data", 0);
	control = make("control", REACTORS_MAX);
	sim_enter(r);
}

void host_end(void)
{
	reactor_destroy(r);
	reactor_destroy(control);
	sim_end();
}

void run(void)
{
	for (int i = 0; sim_step(); i++)
		if (i == STEPS_MAX)
			fail_msg("it does not come to rest");
}

void run_until(const int *n, int want)
{
	while (*n < want)
		if (!sim_step())
			fail_msg("nothing happens: %d of %d", *n, want);
}

bool in_turn_of(const struct reactor *which)
{
	return reactor_self() == which && which->in_turn;
}

static void check_turn(struct probe *p)
{
	if (!in_turn_of(p->op.reactor))
		fail_msg("done was called outside of its reactor's turn");
}

void begin(struct probe *p)
{
	if (!p->then)
		p->then = check_turn;
	sim_enter(r);
	probe_submit(r, p);
}

int finish(struct probe *p)
{
	p->calls = 0;
	begin(p);
	run_until(&p->calls, 1);
	return p->res;
}
