/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CDBs and data to the device servers of a whole daemon (a thin removable disk, a
 * slow one, one that is read-only, the controller, the well known LU, a LUN that is not there), from
 * two nexuses on two reactors. What is wrong shows as a sanitizer's finding, a
 * command that does not finish, data-in beyond what was expected, a sense length out of bounds, or
 * memory that is not given back.
 *
 * Input: chance (1 byte), then records, each with a kind:
 *   bits 0-1  0: a command, waited for; 1: a command; 2: a function; 3: something else
 *   bits 2-3  LUN: 0: as the command says; 1: the controller; 2: the slow disk; 3: the read-only one
 * A command:
 *   how       bit 0: which nexus; 1: read; 2: write; 3: late data; 4-5: LUN; 6-7: attribute
 *   length    of the CDB (modulo 33)
 *   expected  2 bytes: data transfer length in units of 8 bytes
 *   CDB       length bytes
 *   data      up to 64 bytes, counted by one byte; repeated as often as needed
 * A function: nexus and LUN as in how, the function, how many tags ago the task to abort was.
 * Else: the daemon runs, time passes, a nexus logs out.
 */
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "daemon.h"
#include "transport/loop/loop.h"

#define RECORDS_MAX 32
#define COMMANDS 8 /* at a time */
#define FUNCTIONS 2
#define EXPECTED_MAX KIB(512)
#define TARGET "iqn.2026-11.fuzz:t"

static struct {
	struct loop_session session[2];
	bool relogged; /* a session ended during this input */
	struct slot {
		struct loop_cmd cmd;
		uint8_t *in, *out;
		bool busy;
	} slot[COMMANDS];
	struct {
		struct loop_tmf tmf;
		bool busy;
	} function[FUNCTIONS];
	uint64_t tag;
} f;

/* ---- up ------------------------------------------------------------------------------- */

static void log_in(unsigned i)
{
	struct loop_session *s = &f.session[i];

	s->initiator = i ? "iqn.2026-11.fuzz:b" : "iqn.2026-11.fuzz:a";
	s->target = TARGET;
	s->isid[0] = 0x80;
	sim_enter(tgtd.data[0]);
	loop_login(&tgtd.c.ts, s);
	tgtd_until(s->nexus && s->nexus->state == NEXUS_LIVE);
}

static void log_out(unsigned i)
{
	if (f.session[i].nexus)
		loop_logout(&f.session[i]);
	tgtd_until(!f.session[i].nexus);
}

static void set_up(void)
{
	if (tgtd.control)
		return;
	for (unsigned i = 0; i < COMMANDS; i++) {
		f.slot[i].in = malloc(EXPECTED_MAX);
		f.slot[i].out = malloc(EXPECTED_MAX);
		tgtd_check(f.slot[i].in && f.slot[i].out);
	}
	tgtd_begin(control_verbs);
	tgtd_do("target.create", "'tid':1,'name':'" TARGET "'");
	tgtd_do("acl.add", "'tid':1,'address':'ALL'");
	tgtd_do("lun.create", "'tid':1,'lun':1,'bstype':'mem','bsopts':'size=8M','thin':true,"
			      "'params':{'removable':'1'}");
	tgtd_do("lun.create",
		"'tid':1,'lun':2,'bstype':'delay:delay_us=5000+mem','bsopts':'size=1M'");
	tgtd_do("lun.create", "'tid':1,'lun':3,'bstype':'null','bsopts':'size=64M',"
			      "'block_size':4096,'readonly':true");
	log_in(0);
	log_in(1);
	tgtd_check(f.session[0].reactor != f.session[1].reactor);
}

/* ---- commands --------------------------------------------------------------------------- */

static void judge(const struct loop_cmd *c)
{
	tgtd_check(!c->gap);
	tgtd_check(c->in_len <= c->expected);
	tgtd_check(c->sense_len <= SENSE_MAX);
	tgtd_check((verdict_status(c->scsi.verdict) == ST_CHECK_CONDITION) == (c->sense_len > 0));
	tgtd_check(c->scsi.verdict != V_INTERNAL_TARGET_FAILURE);
	tgtd_check(c->scsi.residual_count <= UINT32_MAX && c->scsi.verdict != V_PENDING);
}

static void commanded(struct loop_cmd *c)
{
	struct slot *s = container_of(c, struct slot, cmd);

	tgtd_check(s->busy);
	s->busy = false;
	judge(c);
}

/* Fill @to with the data of the input, again and again. */
static void repeat(uint8_t *to, size_t len, struct input *in)
{
	struct input piece = input_piece(in, input_byte(in) % 65);
	size_t have = min(piece.left, len);

	memcpy(to, piece.p, have);
	if (!have)
		memset(to, 0, len);
	for (size_t more; have && have < len; have += more) {
		more = min(have, len - have);
		memcpy(to + have, to, more);
	}
}

/* The eight bytes of a LUN that a kind of record and a how byte name. */
static void set_lun(uint8_t lun[8], unsigned kind, unsigned how)
{
	static const uint8_t luns[8][8] = {
		{ 0, 1 }, { 0x40, 1 }, { 0xc1, 1 }, { 0, 77 }, { 0 }, { 0, 0 }, { 0, 2 }, { 0, 3 },
	};
	unsigned extra = kind >> 2 & 3;

	memcpy(lun, luns[extra ? 4 + extra : how >> 4 & 3], 8);
}

static void build(struct slot *s, unsigned kind, struct input *in)
{
	struct loop_cmd *c = &s->cmd;
	unsigned how = input_byte(in);

	memset(c, 0, sizeof(*c));
	c->cdb_len = input_byte(in) % 33;
	c->expected = (uint32_t)min((size_t)input_number(in, 2) * 8, EXPECTED_MAX);
	input_bytes(in, c->cdb, c->cdb_len);
	c->session = &f.session[how & 1];
	c->read = how & 2;
	c->write = how & 4;
	c->late = how & 8;
	c->segment = how & 8 ? 700 : 0;
	c->attr = (uint8_t)(how >> 6);
	set_lun(c->lun_bytes, kind, how);
	if (!c->read && !c->write)
		c->expected = 0;
	if (c->write)
		repeat(s->out, c->expected, in);
	c->in = s->in;
	c->out = s->out;
	c->tag = ++f.tag;
	c->done = commanded;
}

static void command(unsigned kind, struct input *in, bool wait)
{
	struct slot *s = &f.slot[f.tag % COMMANDS];

	tgtd_until(!s->busy);
	build(s, kind, in);
	s->busy = true;
	sim_enter(s->cmd.session->reactor);
	loop_submit(&s->cmd);
	if (wait)
		tgtd_until(!s->busy);
}

/* ---- functions, and what else happens --------------------------------------------------- */

static void managed(struct loop_tmf *t)
{
	for (unsigned i = 0; i < FUNCTIONS; i++)
		if (t == &f.function[i].tmf)
			f.function[i].busy = false;
}

static void function(unsigned kind, struct input *in)
{
	unsigned i = f.function[0].busy, how = input_byte(in);
	struct loop_tmf *t = &f.function[i].tmf;
	uint8_t lun[8];

	tgtd_until(!f.function[i].busy);
	memset(t, 0, sizeof(*t));
	set_lun(lun, kind, how);
	t->session = &f.session[how & 1];
	t->lun = be_load(lun, 2) & 0x3fff;
	/* from without it ends the other nexus, which is not its own to log in again */
	t->tmf.function = (enum tmf_function)(input_byte(in) % 14);
	if (t->tmf.function == TMF_TARGET_COLD_RESET)
		t->tmf.function = TMF_TARGET_WARM_RESET;
	t->tmf.ref_tag = f.tag - input_byte(in) % 16;
	t->done = managed;
	f.function[i].busy = true;
	sim_enter(t->session->reactor);
	loop_manage(t);
}

static void do_else(struct input *in)
{
	unsigned what = input_byte(in), n = what >> 2;

	switch (what & 3) {
	case 0:
	case 1:
		tgtd_steps(n);
		break;
	case 2:
		tgtd_wait((uint64_t)n * n * NSEC_PER_MSEC);
		break;
	default:
		f.relogged = true;
		log_out(n & 1);
		log_in(n & 1);
		break;
	}
}

/* ---- an input ------------------------------------------------------------------------------ */

static bool all_done(void)
{
	for (unsigned i = 0; i < COMMANDS; i++)
		if (f.slot[i].busy)
			return false;
	return !f.function[0].busy && !f.function[1].busy;
}

/* Each input begins with the same state (but for what is on the disks), so that a finding comes again. */
static void tidy(void)
{
	struct itl *itl;

	if (f.relogged) { /* to the reactors where they were */
		log_out(0);
		log_out(1);
		log_in(0);
		log_in(1);
	}
	f.relogged = false;
	f.tag = 0;
	tgtd_tidy();
	for (unsigned i = 0; i < 2; i++)
		list_for_each(itl, &f.session[i].nexus->itls, nexus_link)
			itl->ua = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	set_up();
	tidy();
	tgtd_input(input_byte(&in));
	for (unsigned i = 0; i < RECORDS_MAX && in.left; i++) {
		unsigned kind = input_byte(&in);

		if ((kind & 3) < 2)
			command(kind, &in, !(kind & 3));
		else if ((kind & 3) == 2)
			function(kind, &in);
		else
			do_else(&in);
	}
	tgtd_until(all_done());
	tgtd_check(!cmd_live_count());
	tgtd_check_memory();
	return 0;
}
