/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands: made by chance, judged when they end. */
#include <stdlib.h>
#include <string.h>

#include "actor.h"
#include "base/be.h"

enum {
	GOOD = 0x00,
	CHECK = 0x02,
	BUSY = 0x08,
	CONFLICT = 0x18,
	TASK_SET_FULL = 0x28,
	TASK_ABORTED = 0x40,
};

#define BIG 512 /* sectors */

struct disk_state_known known[WORLD_DISKS];
uint64_t deeds_sent, deeds_good;

struct deed_kind {
	const char *name;
	unsigned weight;
	void (*make)(struct deed *deed);
	void (*judge)(struct deed *deed); /* it was answered */
	bool moves; /* data: reservations matter */
	bool writes;
	bool silent; /* never tells of unit attentions */
	bool compares;
};

/* ---- where ------------------------------------------------------------------------------- */

static uint64_t blocks_of(const struct deed *deed)
{
	return deed->n / (deed->disk->block / SIM_SECTOR);
}

static uint64_t lba_of(const struct deed *deed)
{
	return deed->first / (deed->disk->block / SIM_SECTOR);
}

/* A range in whole blocks of at most @most sectors: mostly few, mostly at the same place. */
static void choose_range(struct deed *deed, uint64_t most)
{
	uint64_t per = deed->disk->block / SIM_SECTOR, all = WORLD_SECTORS / per;
	uint64_t n = 1 + sim_below(8), lba;

	if (!sim_below(12))
		n = 1 + sim_below(64);
	if (!sim_below(50))
		n = 1 + sim_below(BIG / per);
	n = min(n, most / per);
	lba = sim_below(3) ? sim_below(32) : sim_below(all);
	lba = min(lba, all - n);
	deed->first = lba * per;
	deed->n = n * per;
}

static bool in_capacity(const struct deed *deed)
{
	return deed->first + deed->n <= known[deed->disk->index].sectors;
}

/* ---- making -------------------------------------------------------------------------------- */

static void cdb_rw(struct deed *deed, uint8_t ten, uint8_t sixteen)
{
	uint8_t *cdb = deed->cmd.cdb;

	if (ten && sim_below(2)) {
		cdb[0] = ten;
		be_store(cdb + 2, 4, lba_of(deed));
		be_store(cdb + 7, 2, blocks_of(deed));
	} else {
		cdb[0] = sixteen;
		be_store(cdb + 2, 8, lba_of(deed));
		be_store(cdb + 10, 4, blocks_of(deed));
	}
}

static struct model *model_of(const struct deed *deed)
{
	return known[deed->disk->index].model;
}

/* Writes of the same nexus that the task set puts before @deed (SAM-6 8.4). */
static void order(struct deed *deed)
{
	bool ordered = deed->cmd.attr == 2;
	struct deed *at;

	list_for_each(at, &deed->actor->deeds, link)
		if (at != deed && at->write && at->disk == deed->disk &&
		    at->session == deed->actor->session && (ordered || at->cmd.attr == 2) &&
		    at->cmd.attr != 3 && deed->cmd.attr != 3)
			model_write_order(at->write, deed->write);
}

static void begin_write(struct deed *deed, uint8_t *data)
{
	deed->write = model_write_begin(model_of(deed), deed->first, deed->n, data);
	order(deed);
}

static void make_read(struct deed *deed)
{
	choose_range(deed, WORLD_SECTORS);
	deed->cmd.in_len = deed->n * SIM_SECTOR;
	deed->cmd.in = malloc(deed->cmd.in_len);
	cdb_rw(deed, 0x28, 0x88);
}

static void make_write(struct deed *deed)
{
	uint8_t *data;

	choose_range(deed, WORLD_SECTORS);
	data = malloc(deed->n * SIM_SECTOR);
	begin_write(deed, data);
	deed->cmd.out = data;
	deed->cmd.out_len = deed->n * SIM_SECTOR;
	cdb_rw(deed, 0x2a, 0x8a);
	deed->stable = !sim_below(8);
	if (deed->stable)
		deed->cmd.cdb[1] = 0x08; /* FUA */
}

static void make_flush(struct deed *deed)
{
	deed->cmd.cdb[0] = sim_below(2) ? 0x35 : 0x91;
}

/* SBC-4 5.37: one descriptor */
static void make_unmap(struct deed *deed)
{
	uint8_t *list = calloc(1, 24);

	choose_range(deed, WORLD_SECTORS);
	be_store(list, 2, 22);
	be_store(list + 2, 2, 16);
	be_store(list + 8, 8, lba_of(deed));
	be_store(list + 16, 4, blocks_of(deed));
	begin_write(deed, NULL);
	deed->cmd.cdb[0] = 0x42;
	be_store(deed->cmd.cdb + 7, 2, 24);
	deed->cmd.out = list;
	deed->cmd.out_len = 24;
}

static void make_zero(struct deed *deed)
{
	choose_range(deed, 256);
	begin_write(deed, NULL);
	cdb_rw(deed, 0x41, 0x93);
	deed->cmd.cdb[1] = sim_below(2) ? 0x08 : 0; /* UNMAP */
	deed->cmd.out_len = deed->disk->block;
	deed->cmd.out = calloc(1, deed->cmd.out_len);
}

/* Compares with what is there now, as far as somebody who looks past the daemon can say. */
static void make_compare(struct deed *deed)
{
	uint8_t *data;
	size_t len;

	choose_range(deed, 4096);
	deed->n = min(deed->n, (uint64_t)deed->disk->block / SIM_SECTOR * 4);
	len = deed->n * SIM_SECTOR;
	data = malloc(2 * len);
	sim_file_peek(deed->disk->file, data, len, deed->first * SIM_SECTOR);
	begin_write(deed, data + len);
	deed->cmd.out = data;
	deed->cmd.out_len = 2 * len;
	deed->cmd.cdb[0] = 0x89;
	be_store(deed->cmd.cdb + 2, 8, lba_of(deed));
	deed->cmd.cdb[13] = (uint8_t)blocks_of(deed);
	deed->stable = !sim_below(4);
	if (deed->stable)
		deed->cmd.cdb[1] = 0x08;
}

static void make_ready(struct deed *deed)
{
	deed->cmd.cdb[0] = 0x00;
}

static void room_for(struct deed *deed, size_t len)
{
	deed->cmd.in_len = len;
	deed->cmd.in = malloc(len);
}

static void make_inquiry(struct deed *deed)
{
	deed->cmd.cdb[0] = 0x12;
	be_store(deed->cmd.cdb + 3, 2, 96);
	room_for(deed, 96);
}

static void make_luns(struct deed *deed)
{
	deed->cmd.cdb[0] = 0xa0;
	be_store(deed->cmd.cdb + 6, 4, 256);
	room_for(deed, 256);
}

static void make_capacity(struct deed *deed)
{
	deed->cmd.cdb[0] = 0x9e;
	deed->cmd.cdb[1] = 0x10;
	be_store(deed->cmd.cdb + 10, 4, 32);
	room_for(deed, 32);
}

static void make_pr_status(struct deed *deed)
{
	deed->cmd.cdb[0] = 0x5e;
	deed->cmd.cdb[1] = 3;
	be_store(deed->cmd.cdb + 7, 2, 4096);
	room_for(deed, 4096);
}

/* MODE SELECT(10), caching page (SBC-4 6.4.5) */
static void make_cache(struct deed *deed)
{
	uint8_t *list = calloc(1, 28);

	deed->wce = sim_below(2);
	list[8] = 0x08;
	list[9] = 18;
	list[10] = deed->wce ? 0x04 : 0;
	deed->cmd.cdb[0] = 0x55;
	deed->cmd.cdb[1] = 0x10;
	be_store(deed->cmd.cdb + 7, 2, 28);
	deed->cmd.out = list;
	deed->cmd.out_len = 28;
	known[deed->disk->index].wce_change = (struct window){ .began = sim_moment() };
}

/* ---- judging ---------------------------------------------------------------------------------- */

static const char *who(const struct deed *deed)
{
	return deed->actor->name;
}

static void judge_read(struct deed *deed)
{
	if (deed->cmd.status)
		return;
	if (deed->cmd.got != deed->cmd.in_len)
		sim_violation("%s: a read of %zu bytes brought %zu", who(deed), deed->cmd.in_len,
			      deed->cmd.got);
	model_read(model_of(deed), deed->first, deed->n, deed->cmd.in, deed->cmd.sent);
}

static void judge_flush(struct deed *deed)
{
	if (!deed->cmd.status)
		model_flushed(model_of(deed), deed->cmd.sent);
}

static void judge_compare(struct deed *deed)
{
	const struct client_cmd *c = &deed->cmd;

	if (!c->status || (c->status == CHECK && c->key == 0xe))
		model_compared(model_of(deed), deed->first, deed->n, c->out, c->sent, !c->status);
	if (!c->status)
		model_replaced(deed->write, c->out);
}

static void judge_capacity(struct deed *deed)
{
	const struct disk_state_known *k = &known[deed->disk->index];

	if (!deed->cmd.status && !k->resized &&
	    be_load(deed->cmd.in, 8) != WORLD_SECTORS * SIM_SECTOR / deed->disk->block - 1)
		sim_violation("%s: READ CAPACITY tells of %llu blocks", who(deed),
			      (unsigned long long)be_load(deed->cmd.in, 8) + 1);
}

static void judge_cache(struct deed *deed)
{
	struct disk_state_known *k = &known[deed->disk->index];

	if (deed->cmd.status == GOOD) {
		if (!k->wce_known || k->wce != deed->wce)
			attention_all(deed->disk, deed->actor, deed->cmd.sent,
				      "the write cache was switched");
		k->wce = deed->wce;
		k->wce_known = !k->resetting;
	} else if (deed->cmd.status == TASK_ABORTED ||
		   (deed->cmd.status == CHECK && deed->cmd.key != 6 && deed->cmd.key != 5)) {
		k->wce_known = false;
	}
}

/* clang-format off */
static const struct deed_kind kinds[] = {
	{ "READ", 30, make_read, judge_read, .moves = true },
	{ "WRITE", 32, make_write, NULL, .moves = true, .writes = true },
	{ "SYNCHRONIZE CACHE", 6, make_flush, judge_flush },
	{ "UNMAP", 4, make_unmap, NULL, .moves = true, .writes = true },
	{ "WRITE SAME", 4, make_zero, NULL, .moves = true, .writes = true },
	{ "COMPARE AND WRITE", 6, make_compare, judge_compare, .moves = true, .writes = true, .compares = true },
	{ "TEST UNIT READY", 4, make_ready, NULL },
	{ "INQUIRY", 1, make_inquiry, NULL, .silent = true },
	{ "REPORT LUNS", 1, make_luns, NULL, .silent = true },
	{ "READ CAPACITY", 2, make_capacity, judge_capacity },
	{ "PERSISTENT RESERVE OUT", 4, pr_make, NULL },
	{ "READ FULL STATUS", 2, make_pr_status, NULL },
	{ "MODE SELECT", 1, make_cache, judge_cache },
};
/* clang-format on */

/* Nothing of the command was done. */
static bool refused(const struct client_cmd *c)
{
	switch (c->status) {
	case BUSY:
	case CONFLICT:
		return true;
	case CHECK:
		return c->key == 5 || c->key == 6 || c->key == 0xe || (c->key == 2 && c->asc == 4);
	default:
		return false;
	}
}

/* A status that needs a cause, without it. */
static void judge_cause(struct deed *deed)
{
	const struct disk_state_known *k = &known[deed->disk->index];
	const struct client_cmd *c = &deed->cmd;

	if (c->status == GOOD || c->status == BUSY || c->status == TASK_SET_FULL ||
	    c->status == TASK_ABORTED || c->status == CONFLICT || deed->doomed)
		return;
	if (c->status == CHECK) {
		if (c->key == 6 || (c->key == 2 && c->asc == 4) ||
		    (c->key == 0xe && deed->kind->compares))
			return;
		if (c->key == 5 && ((c->asc == 0x21 && (k->resized || !in_capacity(deed))) ||
				    (c->asc == 0x25 && k->removed) || c->asc == 0x26 ||
				    (c->asc == 0x24 && deed->kind->make == pr_make)))
			return;
		if (c->key == 5 && c->asc == 0x55 && client_may_be_rejected)
			return; /* no memory for a registration */
		if ((c->key == 3 || c->key == 4 || c->key == 7 || c->key == 0xb) && media_fail)
			return;
	}
	sim_violation(
		"%s, LUN %llu: %s ended with status %02xh, sense %x/%02x/%02x, without a cause",
		who(deed), (unsigned long long)deed->disk->lun, deed->kind->name, c->status, c->key,
		c->asc, c->ascq);
}

static void end_write(struct deed *deed)
{
	const struct disk_state_known *k = &known[deed->disk->index];
	const struct client_cmd *c = &deed->cmd;
	bool through = k->wce_known && !k->wce && window_clear(&k->wce_change, deed->began);
	enum model_end how = WRITE_FAILED;

	if (c->outcome == OUTCOME_ANSWERED && c->status == GOOD)
		how = deed->stable || through ? WRITE_STABLE : WRITE_DONE;
	else if (c->outcome == OUTCOME_ANSWERED && refused(c))
		how = WRITE_REFUSED;
	model_write_end(deed->write, how);
	deed->write = NULL;
}

static void judge(struct deed *deed)
{
	const struct client_cmd *c = &deed->cmd;

	judge_cause(deed);
	if (deed->kind->judge)
		deed->kind->judge(deed);
	if (!deed->kind->silent)
		attention_judge(deed);
	if (deed->doomed)
		return;
	if (deed->kind->moves)
		pr_judge_rw(deed, deed->kind->writes);
	deed->actor->refused_by_reservation = c->status == CONFLICT;
	deeds_good += c->status == GOOD;
}

/* It may still be executed after its session ended. */
static bool changes(const struct deed *deed)
{
	return deed->write || deed->kind->make == pr_make || deed->kind->make == make_cache;
}

/* Nothing of @deed goes on any more. */
static void settle(struct deed *deed)
{
	struct disk_state_known *k = &known[deed->disk->index];

	if (deed->kind->make == pr_make)
		pr_answered(deed);
	if (deed->kind->make == make_pr_status)
		pr_status_answered(deed);
	if (deed->kind->make == make_cache) {
		k->wce_change.ended = sim_moment();
		k->wce_known = k->wce_known && deed->cmd.outcome == OUTCOME_ANSWERED;
	}
	if (deed->write)
		end_write(deed);
	deed_free(deed);
}

static void done(struct client_cmd *cmd)
{
	struct deed *deed = cmd->arg;
	struct actor *a = deed->actor;

	sim_say("%s LUN %llu %s %llu+%llu: %s %02xh %x/%02x/%02x", a->name,
		(unsigned long long)deed->disk->lun, deed->kind->name,
		(unsigned long long)deed->first, (unsigned long long)deed->n,
		cmd->outcome == OUTCOME_ANSWERED  ? "answered"
		: cmd->outcome == OUTCOME_ABORTED ? "aborted"
						  : "lost",
		cmd->status, cmd->key, cmd->asc, cmd->ascq);
	a->busy--;
	list_del(&deed->link);
	if (cmd->outcome == OUTCOME_LOST && changes(deed)) {
		list_add(&a->lost, &deed->link);
		return;
	}
	if (cmd->outcome == OUTCOME_ANSWERED)
		judge(deed);
	else /* a unit attention may have been its answer */
		a->attention[deed->disk->index].seen = sim_moment();
	settle(deed);
}

/* ---- sending ------------------------------------------------------------------------------------ */

static const struct deed_kind *choose_kind(void)
{
	unsigned all = 0;
	uint64_t at;

	for (size_t i = 0; i < array_size(kinds); i++)
		all += kinds[i].weight;
	at = sim_below(all);
	for (size_t i = 0;; i++) {
		if (at < kinds[i].weight)
			return &kinds[i];
		at -= kinds[i].weight;
	}
}

static void submit(struct actor *a, struct disk *d, struct deed *deed)
{
	deed->actor = a;
	deed->disk = d;
	deed->session = a->session;
	deed->began = sim_moment();
	deed->cmd.lun = d->lun << 48; /* peripheral device addressing, SAM-6 4.7.7.2 */
	deed->cmd.done = done;
	deed->cmd.arg = deed;
	deed->cmd.attr = (uint8_t)(sim_below(8) ? 1 : sim_below(3) ? 2 : 3);
	deed->kind->make(deed);
	list_add(&a->deeds, &deed->link);
	a->busy++;
	deeds_sent++;
	sim_say("%s LUN %llu %s %llu+%llu%s", a->name, (unsigned long long)d->lun, deed->kind->name,
		(unsigned long long)deed->first, (unsigned long long)deed->n,
		deed->stable ? " FUA" : "");
	client_submit(a->client, &deed->cmd);
}

static bool possible(const struct deed_kind *k, const struct disk *d)
{
	const struct disk_state_known *s = &known[d->index];

	if (k->make == pr_make)
		return !s->pr.changing;
	if (k->make == make_cache)
		return !s->wce_change.began || s->wce_change.ended;
	return true;
}

void deed_send(struct actor *a, struct disk *d)
{
	const struct deed_kind *k = choose_kind();
	struct deed *deed;

	if (!possible(k, d))
		return;
	deed = calloc(1, sizeof(*deed));
	deed->kind = k;
	submit(a, d, deed);
}

void deed_free(struct deed *deed)
{
	free((void *)(uintptr_t)deed->cmd.out);
	free(deed->cmd.in);
	free(deed);
}

void deeds_bury(struct actor *a)
{
	struct list *n;

	while ((n = list_pop(&a->lost)))
		settle(list_entry(n, struct deed, link));
}

uint64_t deeds_oldest(void)
{
	uint64_t oldest = UINT64_MAX;
	struct deed *deed;

	for (unsigned i = 0; i < nactors; i++)
		list_for_each(deed, &actors[i].deeds, link)
			oldest = min(oldest, deed->began);
	return oldest;
}

/* ---- the end ----------------------------------------------------------------------------------------- */

static void make_whole_read(struct deed *deed)
{
	deed->first = 0;
	deed->n = WORLD_SECTORS;
	deed->cmd.in_len = WORLD_SECTORS * SIM_SECTOR;
	deed->cmd.in = malloc(deed->cmd.in_len);
	deed->cmd.cdb[0] = 0x88;
	be_store(deed->cmd.cdb + 10, 4, blocks_of(deed));
}

void deed_ready(struct actor *a, struct disk *d)
{
	static const struct deed_kind ready = { "TEST UNIT READY", 0, make_ready, NULL };
	struct deed *deed = calloc(1, sizeof(*deed));

	deed->kind = &ready;
	submit(a, d, deed);
}

void deed_read_all(struct actor *a, struct disk *d)
{
	static const struct deed_kind whole = { "READ all", 0, make_whole_read, judge_read,
						.moves = true };
	struct deed *deed = calloc(1, sizeof(*deed));

	deed->kind = &whole;
	submit(a, d, deed);
}
