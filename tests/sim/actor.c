/* SPDX-License-Identifier: BSD-2-Clause */
/* Initiators that come and go, send, manage and misbehave; and an administrator. */
#include "actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "play.h"
#include "reactor/bufpool.h"
#include "store/store.h"

#define QUIET_SECONDS 600 /* virtual: everything that was begun ends in this time */

struct actor actors[ACTORS];
unsigned nactors;
bool media_fail, client_may_be_rejected;

static struct play {
	unsigned left; /* actions that may still be begun */
	bool calm; /* no more actions */
	unsigned ticking; /* actors whose next action is due by itself */
} play;

static void act(void *arg);

static void later(struct actor *a)
{
	play.ticking++;
	sim_after(sim_below(4) ? sim_below(300 * NSEC_PER_USEC) : sim_below(20 * NSEC_PER_MSEC),
		  act, a);
}

/* ---- sessions -------------------------------------------------------------------------- */

static void left(struct client *c, void *arg)
{
	struct actor *a = arg;

	sim_say("%s: %s session has ended", a->name, c == a->older ? "the older" : "its");
	if (c == a->older) {
		a->older = NULL;
		client_free(c);
		if (a->in)
			deeds_bury(a);
	} else {
		a->in = false;
	}
}

static void entered(struct client *c, int status, void *arg)
{
	struct actor *a = arg;

	(void)c;
	sim_say("%s: login: %d", a->name, status);
	if (status > 0 && status != 0x0302 && status != 0x0301)
		sim_violation("%s: login refused with status %04xh", a->name, (unsigned)status);
	if (status && a->older && play.calm)
		client_drop(a->older, true);
	if (status)
		return;
	a->in = true;
	a->in_since = sim_moment();
	a->session++;
	memset(a->attention, 0, sizeof(a->attention));
	if (!a->older)
		deeds_bury(a); /* the target has ended the session before */
}

static struct client *new_client(struct actor *a)
{
	struct client_opts o = {
		.name = a->name,
		.target = WORLD_TARGET,
		.port = 1,
		.digests = sim_below(3) == 0,
		.chatty = sim_below(3) == 0,
	};
	struct client *c = client_new(&o);

	client_on_end(c, left, a);
	return c;
}

static void enter(struct actor *a)
{
	client_free(a->client);
	a->client = new_client(a);
	client_login(a->client, entered, a);
}

/* Log in anew while the session lives: the target ends the old one first (RFC 7143 6.3.5). */
static void reinstate(struct actor *a)
{
	if (a->older)
		return;
	sim_say("%s: reinstates its session", a->name);
	a->older = a->client;
	a->in = false;
	a->client = new_client(a);
	client_login(a->client, entered, a);
}

/* ---- task management ------------------------------------------------------------------- */

struct manage {
	struct client_tmf tmf;
	struct actor *actor;
	struct disk *disk;
	uint64_t began;
};

static void managed(struct client_tmf *t)
{
	struct manage *m = t->arg;
	bool reset = t->function == CLIENT_LU_RESET || t->function == CLIENT_TARGET_WARM_RESET;

	sim_say("%s: function %d: %s, response %u", m->actor->name, t->function,
		t->outcome == OUTCOME_ANSWERED ? "answered" : "lost", t->response);
	m->actor->managing = false;
	if (t->outcome == OUTCOME_ANSWERED && t->response == 0 && reset)
		for (unsigned i = 0; i < world.disks; i++)
			if (&world.disk[i] == m->disk || t->function == CLIENT_TARGET_WARM_RESET)
				attention_all(&world.disk[i], m->actor, t->sent, "a reset");
	for (unsigned i = 0; reset && i < world.disks; i++) {
		known[i].wce_known = false;
		known[i].resetting -= t->outcome == OUTCOME_ANSWERED; /* else it may go on */
	}
	free(m);
}

static struct deed *some_deed(struct actor *a)
{
	uint64_t n = sim_below(a->busy);
	struct deed *deed;

	list_for_each(deed, &a->deeds, link)
		if (deed->session == a->session && deed->cmd.on_wire && !n--)
			return deed;
	return NULL;
}

static void manage(struct actor *a, struct disk *d)
{
	static const uint8_t functions[] = { 1, 1, 1, 1, 1, 2, 2, 4, 5, 5, 6 };
	struct deed *deed = a->busy ? some_deed(a) : NULL;
	struct manage *m;

	if (a->managing)
		return;
	m = calloc(1, sizeof(*m));
	m->actor = a;
	m->disk = d;
	m->tmf.function = functions[sim_below(sizeof(functions))];
	if (m->tmf.function == CLIENT_ABORT_TASK && !deed)
		m->tmf.function = CLIENT_ABORT_TASK_SET;
	m->tmf.lun = d->lun << 48;
	if (m->tmf.function == CLIENT_ABORT_TASK) {
		m->tmf.task = &deed->cmd;
		m->tmf.lun = deed->cmd.lun;
		m->disk = deed->disk;
	}
	if (m->tmf.function >= CLIENT_LU_RESET)
		for (unsigned i = 0; i < world.disks; i++) {
			known[i].wce_known = false;
			known[i].resetting++;
		}
	m->tmf.done = managed;
	m->tmf.arg = m;
	a->managing = true;
	sim_say("%s: function %d on LUN %llu", a->name, m->tmf.function,
		(unsigned long long)m->disk->lun);
	client_manage(a->client, &m->tmf);
}

/* ---- the administrator -------------------------------------------------------------------- */

/* Commands that meet the change may end in any way. */
static void doom(struct disk *d)
{
	struct deed *deed;

	for (unsigned i = 0; i < nactors; i++)
		list_for_each(deed, &actors[i].deeds, link)
			if (deed->disk == d)
				deed->doomed = true;
}

static void is_out(struct disk *d)
{
	doom(d);
	pr_clear(d);
	known[d->index].wce_known = false;
	for (unsigned i = 0; i < nactors; i++)
		actors[i].attention[d->index] = (struct attention){ 0 };
	if (!play.calm)
		world_add(d, play_disk_in);
}

void play_disk_in(struct disk *d)
{
	struct disk_state_known *k = &known[d->index];

	doom(d);
	k->sectors = WORLD_SECTORS;
	k->wce = d->wce;
	k->wce_known = true;
	k->wce_change = (struct window){ .began = sim_moment(), .ended = sim_moment() };
	pr_clear(d);
}

static void resized(struct disk *d)
{
	struct disk_state_known *k = &known[d->index];

	sim_say("disk %u has %llu sectors", d->index, (unsigned long long)k->sectors);
	attention_all(d, NULL, k->resize.began, "the capacity changed");
}

static void administer(struct disk *d)
{
	struct disk_state_known *k = &known[d->index];
	uint64_t per = d->block / SIM_SECTOR;

	if (d->state != DISK_IN || d->changing)
		return;
	if (store_has_error(d->store)) {
		sim_say("disk %u: the administrator accepts that writes were lost", d->index);
		model_doubt(k->model);
		store_clear_error(d->store);
	} else if (!sim_below(4)) {
		sim_say("disk %u is taken away", d->index);
		k->removed = true;
		doom(d);
		world_remove(d, is_out);
	} else if (sim_below(2)) {
		sim_say("disk %u is to have another store", d->index);
		world_swap(d);
	} else if (sim_below(2)) {
		uint64_t sectors =
			sim_below(2) ? WORLD_SECTORS : (1 + sim_below(WORLD_SECTORS / per)) * per;

		if (sectors == k->sectors)
			return;
		k->resized = true;
		k->sectors = sectors;
		k->resize.began = sim_moment();
		world_resize(d, k->sectors * SIM_SECTOR, resized);
	}
}

/* ---- actions ---------------------------------------------------------------------------------- */

static struct disk *some_disk(void)
{
	return &world.disk[sim_below(world.disks)];
}

static void act_in(struct actor *a)
{
	uint64_t what = sim_below(1000);

	if (client_state(a->client) != CLIENT_IN)
		return;
	if (what < 40) {
		manage(a, some_disk());
	} else if (what < 48) {
		sim_say("%s: drops its connection", a->name);
		client_drop(a->client, sim_below(2));
	} else if (what < 56) {
		client_doom(a->client, sim_below(20000));
	} else if (what < 62) {
		sim_say("%s: logs out", a->name);
		client_logout(a->client);
	} else if (what < 68) {
		reinstate(a);
	} else if (what < 80) {
		administer(some_disk());
	} else {
		for (uint64_t n = sim_below(2) ? 1 : 1 + sim_below(8); n && a->busy < DEEDS_MAX; n--)
			deed_send(a, some_disk());
	}
}

static void act(void *arg)
{
	struct actor *a = arg;

	play.ticking--;
	if (play.calm)
		return;
	if (play.left) {
		play.left--;
		if (client_state(a->client) == CLIENT_OUT)
			enter(a);
		else
			act_in(a);
	}
	later(a);
}

/* ---- acts of the play --------------------------------------------------------------------------- */

/* What goes wrong in this run. */
static void choose_faults(void)
{
	struct sim_faults *f = sim_faults();
	uint64_t kind = sim_below(6);

	*f = (struct sim_faults){
		.short_io = 3000, .again = 20000, .late_cancel = 50000, .sleepy = 500
	};
	if (kind == 1 || kind == 5)
		f->short_io = 40000;
	if (kind == 2 || kind == 5)
		f->read_error = f->write_error = f->full = 300, f->sync_error = 2000;
	if (kind == 3 || kind == 5)
		f->stall = 300, f->sleepy = 3000;
	if (kind == 4)
		f->no_buffers = 50, f->no_memory = 3000, f->again = 70000;
	media_fail = f->read_error || f->no_buffers;
	client_may_be_rejected = f->no_memory;
}

void play_begin(void)
{
	play = (struct play){ 0 };
	deeds_sent = deeds_good = 0;
	memset(known, 0, sizeof(known));
	for (unsigned i = 0; i < world.disks; i++) {
		known[i].model = model_new(i, WORLD_SECTORS);
		play_disk_in(&world.disk[i]);
	}
	choose_faults();
	nactors = 1 + (unsigned)sim_below(ACTORS);
	for (unsigned i = 0; i < nactors; i++) {
		struct actor *a = &actors[i];

		*a = (struct actor){ .index = i };
		snprintf(a->name, sizeof(a->name), "iqn.2026-11.sim:actor%u", i);
		list_init(&a->deeds);
		list_init(&a->lost);
		a->client = new_client(a);
		later(a);
	}
}

void play_on(unsigned actions)
{
	unsigned steps = 0;

	play.left = actions;
	while (play.left) {
		if (!sim_step())
			sim_violation("nothing happens any more");
		world_check();
		if (++steps % 64 == 0) {
			uint64_t oldest = deeds_oldest();

			for (unsigned i = 0; i < world.disks; i++)
				model_forget(known[i].model, oldest);
		}
	}
}

static bool is_between(const struct client *c)
{
	return client_state(c) == CLIENT_LOGGING_IN || client_state(c) == CLIENT_LEAVING;
}

static bool is_calm(void)
{
	for (unsigned i = 0; i < world.disks; i++)
		if (world.disk[i].state == DISK_COMING || world.disk[i].state == DISK_GOING ||
		    world.disk[i].changing)
			return false;
	for (unsigned i = 0; i < nactors; i++)
		if (actors[i].busy || actors[i].managing || actors[i].older ||
		    client_busy(actors[i].client) || is_between(actors[i].client))
			return false;
	return !play.ticking;
}

/* Say what has not ended. */
static __attribute__((noreturn)) void not_calm(void)
{
	for (unsigned i = 0; i < world.disks; i++)
		if (world.disk[i].state == DISK_COMING || world.disk[i].state == DISK_GOING ||
		    world.disk[i].changing)
			sim_violation("disk %u does not come, go or change its size", i);
	for (unsigned i = 0; i < nactors; i++) {
		struct actor *a = &actors[i];

		if (!list_empty(&a->deeds)) {
			struct deed *deed = list_entry(a->deeds.next, struct deed, link);

			sim_violation("%s: opcode %02xh on LUN %llu (%s) of session %u is never "
				      "answered (it is in %u); window %u",
				      a->name, deed->cmd.cdb[0], (unsigned long long)deed->disk->lun,
				      deed->cmd.on_wire ? "sent" : "not sent", deed->session,
				      a->session, client_window(a->client));
		}
		if (a->managing || a->older || client_busy(a->client) || is_between(a->client))
			sim_violation("%s: %s never ends", a->name,
				      a->managing ? "a task management function"
				      : a->older  ? "the reinstated session"
						  : "a login or logout");
	}
	sim_violation("the actors do not stop");
}

void play_calm(void)
{
	uint64_t until;

	play.calm = true;
	*sim_faults() = (struct sim_faults){ 0 };
	for (unsigned i = 0; i < nactors; i++)
		if (actors[i].older && client_state(actors[i].client) == CLIENT_OUT)
			client_drop(actors[i].older, true);
	until = sim_now() + QUIET_SECONDS * NSEC_PER_SEC;
	while (!is_calm())
		if (!sim_step() || sim_now() > until)
			not_calm();
}

static void one_in(struct actor *a)
{
	for (int tries = 0; tries < 20 && !a->in; tries++) {
		if (client_state(a->client) == CLIENT_OUT)
			enter(a);
		world_until(a->in || client_state(a->client) == CLIENT_OUT, QUIET_SECONDS,
			    "a login ends");
	}
	if (!a->in)
		sim_violation("%s cannot log in although nothing disturbs", a->name);
}

/* The administrator undoes what keeps the disks from being read. */
static void repair(void)
{
	for (unsigned i = 0; i < world.disks; i++) {
		struct disk *d = &world.disk[i];

		if (d->state == DISK_OUT) {
			world_add(d, play_disk_in);
			world_until(d->state == DISK_IN, QUIET_SECONDS, "a disk is added");
		}
		if (store_has_error(d->store)) {
			model_doubt(known[i].model);
			store_clear_error(d->store);
		}
		if (known[i].sectors != WORLD_SECTORS) {
			known[i].sectors = WORLD_SECTORS;
			known[i].resized = true;
			known[i].resize.began = sim_moment();
			world_resize(d, (uint64_t)WORLD_SECTORS * SIM_SECTOR, resized);
			world_until(!d->changing, QUIET_SECONDS, "a disk has its size");
		}
	}
}

/* Unit attentions come first, BUSY and others' reservations may: until it is read, or cannot be. */
static void read_disk(struct actor *a, struct disk *d)
{
	uint64_t good = deeds_good;

	for (int tries = 0; tries < 30 && deeds_good == good; tries++) {
		one_in(a);
		deed_read_all(a, d);
		world_until(!a->busy, QUIET_SECONDS, "a read of a whole disk is answered");
		if (a->refused_by_reservation)
			return;
	}
	if (deeds_good == good)
		sim_violation("%s cannot read LUN %llu although nothing disturbs", a->name,
			      (unsigned long long)d->lun);
}

static void pass_time(unsigned seconds)
{
	uint64_t until = sim_now() + seconds * NSEC_PER_SEC;

	while (sim_now() < until && sim_step())
		;
}

/*
 * An idle session may send a few commands at least, once the others have given back what they
 * do not use. Data memory that is short may keep it at one.
 */
static void check_window(struct actor *a)
{
	uint32_t least = world.memory >= 4 * SLAB_SIZE ? 4 : 1;

	for (int tries = 0; tries < 20; tries++) {
		one_in(a);
		deed_ready(a, &world.disk[0]);
		world_until(!a->busy, QUIET_SECONDS, "TEST UNIT READY is answered");
		if (a->in && client_window(a->client) >= least)
			return;
		pass_time(2);
	}
	sim_violation("%s: an idle session stays with a window of %u commands", a->name,
		      client_window(a->client));
}

void play_verify(void)
{
	repair();
	for (unsigned i = 0; i < nactors; i++) {
		one_in(&actors[i]);
		for (unsigned d = 0; d < world.disks; d++)
			read_disk(&actors[i], &world.disk[d]);
		check_window(&actors[i]);
	}
}

void play_power_cut(void)
{
	play.calm = true;
	for (unsigned i = 0; i < nactors; i++) {
		if (actors[i].older)
			client_drop(actors[i].older, true);
		if (client_state(actors[i].client) != CLIENT_OUT)
			client_drop(actors[i].client, true);
	}
	world_until(!play.ticking, QUIET_SECONDS, "the actors stop");
	for (unsigned i = 0; i < nactors; i++) {
		world_until(!actors[i].busy && !actors[i].managing, 1, "the actors know");
		deeds_bury(&actors[i]);
	}
	for (unsigned i = 0; i < world.disks; i++)
		model_power_cut(known[i].model);
	world_power_cut();
	for (unsigned i = 0; i < world.disks; i++)
		play_disk_in(&world.disk[i]);
	play.calm = false;
	for (unsigned i = 0; i < nactors; i++)
		later(&actors[i]);
}

void play_end(void)
{
	play.calm = true;
	for (unsigned i = 0; i < nactors; i++)
		if (client_state(actors[i].client) != CLIENT_OUT)
			client_drop(actors[i].client, sim_below(2));
	world_until(is_calm(), QUIET_SECONDS, "everybody leaves");
	for (unsigned i = 0; i < nactors; i++) {
		deeds_bury(&actors[i]);
		client_free(actors[i].client);
	}
	for (unsigned i = 0; i < world.disks; i++)
		model_free(known[i].model);
}
