/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CDBs and data from the fuzzer to a thin removable disk, the controller, the well known LU and
 * a LUN that is not there, from two nexuses on two reactors. What is wrong shows as a
 * sanitizer's finding, a command that does not finish, data-in beyond what was
 * expected, or a sense length out of bounds.
 *
 * Input: commands, one after the other:
 *   how      bit 0: which nexus; 1: read; 2: write; 3: late data; 4-5: LUN; 6-7: attribute
 *   length   of the CDB (modulo 33)
 *   expected 2 bytes: data transfer length in units of 8 bytes
 *   CDB      length bytes
 *   data     up to 64 bytes, counted by one byte; repeated as often as needed
 */
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "cmdset/cmdset.h"
#include "store/store.h"
#include "transport/loop/loop.h"

#define COMMANDS_MAX 24
#define EXPECTED_MAX KIB(512)
#define DISK_SIZE MIB(8)

static struct {
	struct reactor *control, *reactor[2], *all[3];
	struct targets ts;
	struct target *target;
	struct store *store;
	struct lu *disk;
	struct loop_session session[2];
	uint8_t *in, *out;
	bool up;
} f;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding. */
static void check(bool ok)
{
	if (!ok)
		__builtin_trap();
}

static void step(void)
{
	for (unsigned i = 0; i < 3; i++)
		reactor_turn(f.all[i], 0);
}

#define until(cond) \
	do { \
		for (unsigned tries_ = 0;; tries_++) { \
			if (cond) \
				break; \
			check(tries_ < 1000000); \
			step(); \
		} \
	} while (0)

static struct reactor *make_reactor(const char *name, unsigned id)
{
	struct reactor_opts o = {
		.name = name, .id = id, .engine = &engine_epoll, .buf_cap = MIB(4)
	};
	struct err e;
	struct reactor *r = reactor_create(&o, &e);

	check(r != NULL);
	return r;
}

static bool opened;

static void store_opened(struct store_open *o)
{
	opened = true;
}

static void make_store(void)
{
	struct store_open o = { .spec = { .type = "mem", .opts = "size=8M", .block_size = 512 },
				.reactors = f.reactor,
				.nreactors = 2,
				.home = f.reactor[0],
				.done = store_opened };

	store_open(f.control, &o);
	until(opened);
	check(o.store != NULL);
	f.store = o.store;
}

static void make_lus(void)
{
	struct lu_config c = { .name = "disk",
			       .store = f.store,
			       .block_size = 512,
			       .mode = { .wce = true },
			       .reactors = f.reactor,
			       .nreactors = 2,
			       .home = f.reactor[0] };
	struct lu *controller;
	struct err e;

	c.ident = calloc(1, sizeof(*c.ident));
	c.ident->thin = c.ident->removable = true;
	f.disk = disk_create(&c, &e);
	c.name = "controller";
	c.ident = calloc(1, sizeof(*c.ident));
	controller = controller_create(&c, &e);
	check(f.disk && controller);
	check(!targets_init(&f.ts, f.control, f.reactor, 2, &absent_server, &wlun_server));
	f.target = target_create(&f.ts, 1, "iqn.2026-11.fuzz:t", &e);
	check(f.target && !target_acl_add(f.target, false, "ALL", &e));
	check(!target_map(&f.ts, f.target, 0, controller, NULL, NULL, &e));
	check(!target_map(&f.ts, f.target, 1, f.disk, NULL, NULL, &e));
}

static void log_in(unsigned i)
{
	struct loop_session *s = &f.session[i];

	s->initiator = i ? "iqn.2026-11.fuzz:b" : "iqn.2026-11.fuzz:a";
	s->target = "iqn.2026-11.fuzz:t";
	s->isid[0] = 0x80;
	reactor_turn(f.reactor[0], 0);
	loop_login(&f.ts, s);
	until(s->nexus && s->nexus->state == NEXUS_LIVE);
}

static void set_up(void)
{
	check(!cmdset_init());
	f.in = malloc(EXPECTED_MAX);
	f.out = malloc(EXPECTED_MAX);
	check(f.in && f.out);
	f.all[0] = f.control = make_reactor("control", REACTORS_MAX);
	f.all[1] = f.reactor[0] = make_reactor("r0", 0);
	f.all[2] = f.reactor[1] = make_reactor("r1", 1);
	reactor_turn(f.control, 0);
	make_store();
	reactor_turn(f.control, 0);
	make_lus();
	step();
	log_in(0);
	log_in(1);
	f.up = true;
}

/* ---- one input ---------------------------------------------------------------------- */

struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t take(struct input *in, unsigned n)
{
	uint64_t v;

	if (in->left < n)
		n = (unsigned)in->left;
	v = be_load(in->p, n);
	in->p += n;
	in->left -= n;
	return v;
}

static void noted(struct loop_cmd *c)
{
}

/* Fill @to with the data of the input, again and again. */
static void repeat(uint8_t *to, size_t len, struct input *in)
{
	size_t n = take(in, 1) % 65, have;

	n = min(n, in->left);
	have = min(n, len);
	memcpy(to, in->p, have);
	if (!have)
		memset(to, 0, len);
	for (size_t more; have && have < len; have += more) {
		more = min(have, len - have);
		memcpy(to + have, to, more);
	}
	in->p += n;
	in->left -= n;
}

static void set_lun(struct loop_cmd *c, unsigned which)
{
	c->lun = which < 2 ? 1 : 0;
	if (which == 2) {
		c->lun_bytes[0] = 0xc1;
		c->lun_bytes[1] = 0x01;
	} else if (which == 3) {
		c->lun = 77;
	}
}

static void build(struct loop_cmd *c, struct input *in)
{
	unsigned how = (unsigned)take(in, 1);
	unsigned len = (unsigned)take(in, 1) % 33;
	static uint64_t tag;

	memset(c, 0, sizeof(*c));
	c->expected = (uint32_t)min((size_t)take(in, 2) * 8, EXPECTED_MAX);
	c->cdb_len = len;
	for (unsigned i = 0; i < len; i++)
		c->cdb[i] = (uint8_t)take(in, 1);
	c->session = &f.session[how & 1];
	c->read = how & 2;
	c->write = how & 4;
	c->late = how & 8;
	c->segment = how & 8 ? 700 : 0;
	c->attr = (uint8_t)(how >> 6);
	set_lun(c, how >> 4 & 3);
	if (!c->read && !c->write)
		c->expected = 0;
	if (c->write)
		repeat(f.out, c->expected, in);
	c->in = f.in;
	c->out = f.out;
	c->tag = ++tag;
	c->done = noted;
}

static void judge(const struct loop_cmd *c)
{
	check(!c->gap);
	check(c->in_len <= c->expected);
	check(c->sense_len <= SENSE_MAX);
	check((verdict_status(c->scsi.verdict) == ST_CHECK_CONDITION) == (c->sense_len > 0));
	check(c->scsi.verdict != V_INTERNAL_TARGET_FAILURE);
	check(c->scsi.residual_count <= UINT32_MAX && c->scsi.verdict != V_PENDING);
}

/* Each input begins with the same state (but for what is on the disk), so that a finding comes again. */
static void tidy(void)
{
	struct pr_state *pr = &f.disk->pr;
	struct itl *itl;

	reactor_turn(f.disk->home, 0);
	pr_fini(pr);
	f.disk->view.state = LU_READY;
	f.disk->view.mode = f.disk->view.default_mode;
	list_for_each(itl, &f.disk->itls, home.link)
		itl->home.prevent = false;
}

static void managed(struct loop_tmf *t)
{
	t->session = NULL;
}

static void reset(void)
{
	struct loop_tmf t = { .session = &f.session[0], .lun = 1, .done = managed };

	tidy();
	t.tmf.function = TMF_LU_RESET;
	loop_manage(&t);
	until(!t.session);
	for (unsigned i = 0; i < 2; i++)
		for (unsigned lun = 0; lun < 2; lun++) {
			struct itl *itl = nexus_itl(f.session[i].nexus, lun);

			itl->ua = 0;
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loop_cmd c;
	struct input in = { data, size };

	if (!f.up)
		set_up();
	reset();
	for (unsigned i = 0; i < COMMANDS_MAX && in.left; i++) {
		build(&c, &in);
		reactor_turn(c.session->reactor, 0);
		loop_submit(&c);
		until(c.finished);
		judge(&c);
	}
	check(!cmd_live_count());
	return 0;
}
