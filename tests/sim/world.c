/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cmdset/cmdset.h"
#include "reactor/bufpool.h"
#include "sam/scsi_cmd.h"
#include "sam/transaction.h"
#include "store.h"
#include "store/store.h"
#include "transport/iscsi/part.h"

#define END_SECONDS 200 /* virtual: a stalled file operation may be waited for several times */

struct world world;
static uint64_t moment;

uint64_t sim_moment(void)
{
	return ++moment;
}

void sim_violation(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "seed %llu: ", (unsigned long long)world.seed);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nreplay: make sim SEED=%llu\n", (unsigned long long)world.seed);
	fflush(stderr);
	_Exit(1);
}

#define must(cond) \
	do { \
		if (!(cond)) \
			sim_violation("%s:%d: %s", __FILE__, __LINE__, #cond); \
	} while (0)

/* ---- connections --------------------------------------------------------------------- */

struct arrival {
	struct msg msg;
	struct iscsi_part *part;
	int fd;
};

static void arrived(struct msg *m)
{
	struct arrival *a = container_of(m, struct arrival, msg);

	conn_accepted(a->part, a->fd);
	free(a);
}

void sim_world_accept(int fd)
{
	struct arrival *a = malloc(sizeof(*a));

	*a = (struct arrival){ .part = &world.server->part[0], .fd = fd };
	reactor_post(world.data[0], &a->msg, arrived);
}

/* ---- disks --------------------------------------------------------------------------- */

struct change {
	struct store_open open;
	struct lu_tx tx;
	struct disk *disk;
	void (*done)(struct disk *d);
	uint64_t bytes;
	struct timer timer;
	struct sim_file *old_file;
};

static struct change *change_new(struct disk *d, void (*done)(struct disk *d))
{
	struct change *ch = calloc(1, sizeof(*ch));

	ch->disk = d;
	ch->done = done;
	return ch;
}

static void change_end(struct change *ch)
{
	struct disk *d = ch->disk;
	void (*done)(struct disk * d) = ch->done;

	free(ch);
	if (done)
		done(d);
}

static void mapped(void *arg)
{
	struct change *ch = arg;

	sim_say("disk %u is at LUN %llu", ch->disk->index, (unsigned long long)ch->disk->lun);
	ch->disk->state = DISK_IN;
	change_end(ch);
}

static void opened(struct store_open *o)
{
	struct change *ch = container_of(o, struct change, open);
	struct disk *d = ch->disk;
	struct lu_ident *ident = calloc(1, sizeof(*ident));
	struct lu_config c = {
		.name = "disk",
		.ident = ident,
		.store = o->store,
		.block_size = d->block,
		.mode = { .wce = d->wce },
		.reactors = world.data,
		.nreactors = world.n,
		.home = o->home,
	};
	struct err e = { 0 };

	must(o->store && ident);
	ident->thin = true;
	snprintf(ident->serial, sizeof(ident->serial), "sim%u", d->index);
	d->store = o->store;
	d->lu = disk_create(&c, &e);
	must(d->lu);
	must(!target_map(&world.ts, world.target, d->lun, d->lu, mapped, ch, &e));
}

struct sim_file *sim_store_file(const char *path)
{
	return world.disk[*path - '0'].file;
}

static void open_disk(struct change *ch, struct reactor *home, void (*done)(struct store_open *o))
{
	char path[] = { (char)('0' + ch->disk->index), 0 };

	ch->open = (struct store_open){
		.spec = { .type = "sim", .path = path, .block_size = ch->disk->block },
		.reactors = world.data,
		.nreactors = world.n,
		.home = home,
		.ops = &sim_store,
		.done = done,
	};
	sim_enter(world.control);
	store_open(world.control, &ch->open);
}

void world_add(struct disk *d, void (*done)(struct disk *d))
{
	d->state = DISK_COMING;
	open_disk(change_new(d, done), world.data[sim_below(world.n)], opened);
}

static void closed(void *arg)
{
	struct change *ch = arg;

	sim_say("disk %u is gone", ch->disk->index);
	ch->disk->state = DISK_OUT;
	change_end(ch);
}

static void unmapped(void *arg)
{
	struct change *ch = arg;
	struct disk *d = ch->disk;

	lu_destroy(d->lu);
	d->lu = NULL;
	store_close(world.control, d->store, closed, ch);
}

void world_remove(struct disk *d, void (*done)(struct disk *d))
{
	struct err e;

	d->state = DISK_GOING;
	sim_enter(world.control);
	must(!target_unmap(&world.ts, world.target, d->lun, unmapped, change_new(d, done), &e));
}

static bool resize_decide(struct lu_tx *tx)
{
	disk_set_size(tx->lu, container_of(tx, struct change, tx)->bytes);
	return true;
}

static void resized(struct lu_tx *tx)
{
	struct change *ch = container_of(tx, struct change, tx);

	ch->disk->changing = false;
	change_end(ch);
}

void world_resize(struct disk *d, uint64_t bytes, void (*done)(struct disk *d))
{
	struct change *ch = change_new(d, done);

	d->changing = true;
	ch->bytes = bytes;
	ch->tx = (struct lu_tx){ .decide = resize_decide, .done = resized };
	sim_enter(world.control);
	lu_tx_run(d->lu, &ch->tx);
}

/* As control/medium.c does it, but what the other store has is copied when the first is idle. */
#define LOOK_NS (2 * NSEC_PER_MSEC)

static void old_closed(void *arg)
{
	struct change *ch = arg;

	sim_say("disk %u has another store", ch->disk->index);
	sim_file_free(ch->old_file);
	ch->disk->changing = false;
	change_end(ch);
}

static void swapped(struct lu_tx *tx)
{
	struct change *ch = container_of(tx, struct change, tx);
	struct store *old = ch->disk->store;

	ch->disk->store = ch->open.store;
	store_close(world.control, old, old_closed, ch);
}

static bool swap_decide(struct lu_tx *tx)
{
	struct change *ch = container_of(tx, struct change, tx);
	uint64_t blocks = tx->lu->view.blocks;

	disk_set_store(tx->lu, ch->open.store, false);
	disk_set_size(tx->lu, blocks << tx->lu->block_shift); /* as resized before */
	return true;
}

static void other_opened(struct store_open *o)
{
	struct change *ch = container_of(o, struct change, open);

	must(o->store);
	if (store_has_error(ch->disk->store))
		store_inherit_error(o->store);
	ch->tx = (struct lu_tx){ .decide = swap_decide, .done = swapped };
	lu_tx_run(ch->disk->lu, &ch->tx);
}

static void look(struct timer *t)
{
	struct change *ch = container_of(t, struct change, timer);
	struct disk *d = ch->disk;

	if (store_inflight(d->store)) {
		timer_arm(world.control, t, LOOK_NS, look);
		return;
	}
	ch->old_file = d->file;
	d->file = sim_file_twin(d->file);
	open_disk(ch, d->lu->home, other_opened);
}

static void paused(struct lu_tx *tx)
{
	look(&container_of(tx, struct change, tx)->timer);
}

static bool pause_decide(struct lu_tx *tx)
{
	disk_pause(tx->lu);
	return true;
}

void world_swap(struct disk *d)
{
	struct change *ch = change_new(d, NULL);

	d->changing = true;
	ch->tx = (struct lu_tx){ .decide = pause_decide, .done = paused };
	sim_enter(world.control);
	lu_tx_run(d->lu, &ch->tx);
}

/* ---- up and down ------------------------------------------------------------------------ */

static struct reactor *make_reactor(const char *name, unsigned id, const struct engine *engine,
				    size_t cap)
{
	struct reactor_opts o = { .name = name, .id = id, .engine = engine, .buf_cap = cap };
	struct err e;
	struct reactor *r = reactor_create(&o, &e);

	must(r);
	return r;
}

static void make_reactors(void)
{
	size_t cap = (size_t)SLAB_SIZE << sim_below(4);
	char name[16];

	world.memory = cap;
	world.control = make_reactor("control", REACTORS_MAX, &engine_sim, SLAB_SIZE);
	world.n = 1 + (unsigned)sim_below(3);
	for (unsigned i = 0; i < world.n; i++) {
		snprintf(name, sizeof(name), "data-%u", i);
		world.data[i] = make_reactor(name, i, &engine_sim, cap);
	}
	sim_say("%u reactors, %zu MiB each", world.n, cap >> 20);
}

static unsigned disks_in(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < world.disks; i++)
		n += world.disk[i].state == DISK_IN;
	return n;
}

static void up(void)
{
	static const struct iscsi_opts opts = { .nop_interval = 20, .nop_count = 3 };
	struct err e;

	make_reactors();
	sim_enter(world.control);
	must(!targets_init(&world.ts, world.control, world.data, world.n, &absent_server,
			   &wlun_server));
	world.target = target_create(&world.ts, 1, WORLD_TARGET, &e);
	must(world.target);
	must(!target_acl_add(world.target, false, "ALL", &e));
	world.server = iscsi_server_create(&world.ts, &opts, &e);
	must(world.server);
	for (unsigned i = 0; i < world.disks; i++)
		world_add(&world.disk[i], NULL);
	world_until(disks_in() == world.disks, END_SECONDS, "the disks are mapped");
}

static void make_disks(void)
{
	world.disks = 1 + (unsigned)sim_below(WORLD_DISKS);
	for (unsigned i = 0; i < world.disks; i++) {
		world.disk[i] = (struct disk){
			.index = i,
			.lun = i + 1,
			.file = sim_file_create((uint64_t)WORLD_SECTORS * SIM_SECTOR),
			.block = sim_below(4) ? 512 : 4096,
			.wce = sim_below(4) != 0,
		};
		sim_say("disk %u: blocks of %u bytes, write cache %s", i, world.disk[i].block,
			world.disk[i].wce ? "on" : "off");
	}
}

static void daemon_says(enum log_level level, const char *text)
{
	(void)level;
	sim_say("  tgtd: %s", text);
}

void world_begin(uint64_t seed)
{
	static bool ready;

	memset(&world, 0, sizeof(world));
	world.seed = seed;
	moment = 0;
	if (!ready)
		must(!cmdset_init());
	ready = true;
	log_to(daemon_says);
	log_set_level(sim_tracing ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERR);
	sim_begin(seed);
	make_disks();
	up();
}

static void stopped(void *arg)
{
	*(bool *)arg = true;
}

static bool is_empty(void)
{
	struct iscsi_live l;

	iscsi_get_live(world.server, &l);
	return !l.connections && !l.sessions && !l.tasks && !l.logins && !cmd_live_count() &&
	       list_empty(&world.target->nexuses);
}

static void check_pools(void)
{
	struct bufpool_stats st;

	for (unsigned i = 0; i < world.n; i++) {
		bufpool_stats(reactor_bufpool(world.data[i]), &st);
		if (st.used || st.reserved)
			sim_violation("reactor %u ends with %zu bytes used, %zu reserved", i,
				      st.used, st.reserved);
	}
}

/* @gone: also the disks. */
static void down(void)
{
	bool stop = false;
	struct err e;

	*sim_faults() = (struct sim_faults){ 0 };
	sim_enter(world.control);
	iscsi_server_stop(world.server, 0, stopped, &stop);
	world_until(stop, END_SECONDS, "the server ends");
	world_until(is_empty(), END_SECONDS, "every session and command ends");
	for (unsigned i = 0; i < world.disks; i++) {
		struct disk *d = &world.disk[i];

		world_until(d->state == DISK_IN || d->state == DISK_OUT, END_SECONDS,
			    "disk %u comes or goes", i);
		world_until(!d->changing, END_SECONDS, "disk %u is changed", i);
		if (d->state == DISK_IN)
			world_remove(d, NULL);
		world_until(d->state == DISK_OUT, END_SECONDS, "disk %u goes", i);
	}
	check_pools();
	sim_enter(world.control);
	must(!target_destroy(&world.ts, world.target, &e));
	targets_fini(&world.ts);
	iscsi_server_destroy(world.server);
	for (unsigned i = 0; i < world.n; i++)
		reactor_destroy(world.data[i]);
	reactor_destroy(world.control);
}

void world_power_cut(void)
{
	struct sim_file *survivor[WORLD_DISKS];
	struct sim_faults faults = *sim_faults();

	sim_say("the power fails");
	for (unsigned i = 0; i < world.disks; i++)
		survivor[i] = sim_file_cut(world.disk[i].file);
	down(); /* what this daemon still does is lost */
	for (unsigned i = 0; i < world.disks; i++) {
		sim_file_free(world.disk[i].file);
		world.disk[i].file = survivor[i];
	}
	sim_say("the power is back");
	up();
	*sim_faults() = faults;
}

void world_end(void)
{
	down();
	for (unsigned i = 0; i < world.disks; i++)
		sim_file_free(world.disk[i].file);
	sim_end();
}

void world_check(void)
{
	struct bufpool_stats st;

	for (unsigned i = 0; i < world.n; i++) {
		bufpool_stats(reactor_bufpool(world.data[i]), &st);
		if (st.used + st.reserved > st.cap)
			sim_violation("reactor %u: %zu bytes used and %zu reserved of %zu", i,
				      st.used, st.reserved, st.cap);
	}
}
