/* SPDX-License-Identifier: BSD-2-Clause */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmdset/passthrough.h"
#include "store/store.h"

#define TARGET "iqn.2026-11.test:disk"
#define TID 3

struct rig rig = { .disk = { .block_size = 512, .wce = true, .size = MIB(64), .store = "mem" } };

static struct list memory = LIST_INIT(memory);
struct owned {
	struct list link;
	uint64_t pad;
	uint8_t mem[];
};

/* ---- arguments ------------------------------------------------------------------ */

static bool flag(const char *arg, const char *name, bool *b)
{
	if (!strcmp(arg, name))
		*b = true;
	return !strcmp(arg, name);
}

void rig_args(int argc, char **argv)
{
	struct rig_disk *d = &rig.disk;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];

		if (!strncmp(a, "block=", 6))
			d->block_size = (uint32_t)strtoul(a + 6, NULL, 0);
		else if (!strncmp(a, "wce=", 4))
			d->wce = a[4] == '1';
		else if (!flag(a, "thin", &d->thin) && !flag(a, "readonly", &d->readonly) &&
			 !flag(a, "removable", &d->removable) &&
			 !flag(a, "in-place", &d->in_place)) {
			fprintf(stderr, "%s: unknown argument %s\n", argv[0], a);
			exit(2);
		}
	}
}

/* ---- up and down ------------------------------------------------------------------ */

static struct reactor *make_reactor(const char *name, unsigned id)
{
	struct reactor_opts o = {
		.name = name, .id = id, .engine = &engine_epoll, .buf_cap = MIB(8)
	};
	struct err e = { 0 };
	struct reactor *r = reactor_create(&o, &e);

	if (!r)
		fail_msg("%s", e.text);
	return r;
}

void rig_step(void)
{
	for (unsigned i = 0; i < 3; i++)
		reactor_turn(rig.all[i], 0);
	if (rig.tick)
		rig.tick();
}

struct opening {
	struct store_open o;
	bool done;
};

static void opened(struct store_open *o)
{
	container_of(o, struct opening, o)->done = true;
}

static struct store *open_store(void)
{
	char opts[64];
	struct opening w = { .o = { .spec = { .type = rig.disk.store,
					      .opts = opts,
					      .block_size = rig.disk.block_size },
				    .reactors = rig.reactor,
				    .nreactors = 2,
				    .home = rig.reactor[0],
				    .ops = rig.disk.ops,
				    .done = opened } };

	snprintf(opts, sizeof(opts), "size=%llu", (unsigned long long)rig.disk.size);
	store_open(rig.control, &w.o);
	rig_until(w.done);
	if (!w.o.store)
		fail_msg("%s", w.o.err.text);
	return w.o.store;
}

static struct lu_ident *make_ident(unsigned lun)
{
	struct lu_ident *id = calloc(1, sizeof(*id));

	assert_non_null(id);
	snprintf(id->vendor, sizeof(id->vendor), "IET");
	snprintf(id->product, sizeof(id->product), lun ? "VIRTUAL-DISK" : "Controller");
	snprintf(id->revision, sizeof(id->revision), "0001");
	snprintf(id->scsi_id, sizeof(id->scsi_id), "IET     %04x%04x", TID, lun);
	snprintf(id->serial, sizeof(id->serial), "beaf%d%d", TID, lun);
	id->naa[0] = 0x60;
	be_store(id->naa + 8, 8, 0x0e00000000000000ull | TID << 16 | lun);
	id->removable = lun && rig.disk.removable;
	id->thin = lun && rig.disk.thin;
	id->lbppbe = 3;
	id->rotation_rate = 1;
	return id;
}

static void make_lus(void)
{
	struct lu_config c = { .name = "disk",
			       .ident = make_ident(DISK_LUN),
			       .store = rig.store,
			       .block_size = rig.disk.block_size,
			       .readonly = rig.disk.readonly,
			       .mode = { .wce = rig.disk.wce },
			       .reactors = rig.reactor,
			       .nreactors = 2,
			       .home = rig.reactor[0] };
	struct err e = { 0 };

	rig.lu = rig.disk.inquiry ? passthrough_create(&c, rig.disk.inquiry, &e)
				  : disk_create(&c, &e);
	if (!rig.lu)
		fail_msg("%s", e.text);
	c.name = "controller";
	c.ident = make_ident(0);
	rig.controller = controller_create(&c, &e);
	assert_non_null(rig.controller);
}

int rig_begin(void **state)
{
	struct err e = { 0 };

	assert_int_equal(cmdset_init(), 0);
	rig.nsessions = 0;
	rig.all[0] = rig.control = make_reactor("control", REACTORS_MAX);
	rig.all[1] = rig.reactor[0] = make_reactor("r0", 0);
	rig.all[2] = rig.reactor[1] = make_reactor("r1", 1);
	reactor_turn(rig.control, 0);
	rig.store = open_store();
	reactor_turn(rig.control, 0);
	make_lus();
	assert_int_equal(targets_init(&rig.ts, rig.control, rig.reactor, 2, &absent_server,
				      &wlun_server),
			 0);
	rig.target = target_create(&rig.ts, TID, TARGET, &e);
	assert_non_null(rig.target);
	assert_int_equal(target_acl_add(rig.target, false, "ALL", &e), 0);
	assert_int_equal(target_map(&rig.ts, rig.target, 0, rig.controller, NULL, NULL, &e), 0);
	assert_int_equal(target_map(&rig.ts, rig.target, DISK_LUN, rig.lu, NULL, NULL, &e), 0);
	rig_step();
	rig_login("iqn.2026-11.test:one", false);
	return 0;
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

int rig_end(void **state)
{
	bool done = false;
	struct list *l;
	struct err e;

	for (unsigned i = 0; i < rig.nsessions; i++)
		if (rig.session[i].nexus)
			rig_logout(&rig.session[i]);
	rig_until(list_empty(&rig.target->nexuses));
	reactor_turn(rig.control, 0);
	assert_int_equal(target_unmap(&rig.ts, rig.target, DISK_LUN, NULL, NULL, &e), 0);
	assert_int_equal(target_unmap(&rig.ts, rig.target, 0, NULL, NULL, &e), 0);
	lu_destroy(rig.lu);
	lu_destroy(rig.controller);
	assert_int_equal(store_inflight(rig.store), 0);
	store_close(rig.control, rig.store, closed, &done);
	rig_until(done);
	assert_int_equal(target_destroy(&rig.ts, rig.target, &e), 0);
	targets_fini(&rig.ts);
	for (unsigned i = 0; i < 3; i++)
		reactor_destroy(rig.all[i]);
	while ((l = list_pop(&memory)))
		free(list_entry(l, struct owned, link));
	assert_int_equal(cmd_live_count(), 0);
	return 0;
}

/* ---- sessions -------------------------------------------------------------------------- */

struct loop_session *rig_login(const char *initiator, bool raw)
{
	struct loop_session *s = &rig.session[rig.nsessions];
	uint8_t buf[8];

	assert_true(rig.nsessions < SESSIONS_MAX);
	*s = (struct loop_session){ .initiator = initiator,
				    .target = TARGET,
				    .isid = { 0x80, 0, 0, 0, 0, (uint8_t)rig.nsessions } };
	rig.nsessions++;
	reactor_turn(rig.reactor[0], 0);
	loop_login(&rig.ts, s);
	rig_until(s->nexus && s->nexus->state == NEXUS_LIVE);
	for (int i = 0; !raw && i < 2; i++)
		in_lun(s, i, buf, sizeof(buf), CDB(0x03, 0, 0, 0, sizeof(buf), 0));
	return s;
}

void rig_logout(struct loop_session *s)
{
	loop_logout(s);
	rig_until(!s->nexus);
}

uint64_t rig_blocks(void)
{
	return rig.disk.size / rig.disk.block_size;
}

uint32_t rig_bs(void)
{
	return rig.disk.block_size;
}

uint8_t *rig_data(uint64_t n, uint8_t seed)
{
	size_t len = n * rig.disk.block_size;
	struct owned *o = malloc(sizeof(*o) + len + 1);

	assert_non_null(o);
	list_add(&memory, &o->link);
	for (size_t i = 0; i < len; i++)
		o->mem[i] = (uint8_t)(seed + i + i / 251 * 7);
	return o->mem;
}

/* ---- commands ----------------------------------------------------------------------------- */

static void noted(struct loop_cmd *c)
{
}

void rig_start(struct loop_cmd *c)
{
	static uint64_t tag;

	c->tag = ++tag;
	c->done = noted;
	reactor_turn(c->session->reactor, 0); /* its thread */
	loop_submit(c);
}

void rig_cmd(struct loop_cmd *c, struct loop_session *s, struct cdb cdb, void *data_in,
	     const void *data_out, uint32_t len)
{
	memset(c, 0, sizeof(*c));
	memset(c->cdb, 0xa5, sizeof(c->cdb)); /* what is beyond the CDB means nothing */
	memcpy(c->cdb, cdb.b, cdb.len);
	c->session = s;
	c->lun = DISK_LUN;
	/* as over iSCSI: sixteen bytes at least */
	c->cdb_len = max(cdb.len, 16u);
	c->read = data_in != NULL;
	c->write = data_out != NULL;
	c->in = data_in;
	c->out = data_out;
	c->in_place = rig.disk.in_place;
	c->expected = len;
}

static void decode_key_specific(struct res *r, const uint8_t *p)
{
	if (!(p[0] & 0x80) || r->key != SK_ILLEGAL_REQUEST)
		return;
	r->field_valid = true;
	r->in_cdb = p[0] & 0x40;
	r->bit_valid = p[0] & 0x08;
	r->bit = p[0] & 7;
	r->byte = (uint16_t)be_load(p + 1, 2);
}

static void decode_descriptors(struct res *r, const uint8_t *p, unsigned n)
{
	assert_int_equal(p[7], n - 8);
	for (unsigned i = 8; i < n; i += p[i + 1] + 2u) {
		assert_true(i + 2 + p[i + 1] <= n);
		if (p[i] == 0x00) {
			assert_int_equal(p[i + 1], 10);
			r->info_valid = p[i + 2] & 0x80;
			r->info = be_load(p + i + 4, 8);
		} else {
			assert_int_equal(p[i], 0x02);
			assert_int_equal(p[i + 1], 6);
			decode_key_specific(r, p + i + 4);
		}
	}
}

static void decode_sense(struct res *r, const uint8_t *p, unsigned n)
{
	r->sense_len = n;
	if (!n)
		return;
	r->descriptor = p[0] == 0x72;
	if (r->descriptor) {
		r->key = p[1] & 0x0f;
		r->asc = p[2];
		r->ascq = p[3];
		decode_descriptors(r, p, n);
		return;
	}
	assert_int_equal(p[0] & 0x7f, 0x70);
	assert_int_equal(n, 18);
	assert_int_equal(p[7], 10);
	r->key = p[2] & 0x0f;
	r->asc = p[12];
	r->ascq = p[13];
	r->info_valid = p[0] & 0x80;
	r->info = be_load(p + 3, 4);
	decode_key_specific(r, p + 15);
}

struct res rig_result(const struct loop_cmd *c)
{
	struct res r = { .verdict = c->scsi.verdict,
			 .status = verdict_status(c->scsi.verdict),
			 .len = c->in_len,
			 .residual = c->scsi.residual,
			 .residual_count = c->scsi.residual_count };

	assert_true(c->finished);
	assert_false(c->gap);
	decode_sense(&r, c->sense, c->sense_len);
	return r;
}

static struct res run(struct loop_session *s, uint64_t lun, struct cdb cdb, void *data_in,
		      const void *data_out, uint32_t len)
{
	struct loop_cmd *c = malloc(sizeof(*c));
	struct res r;

	assert_non_null(c);
	rig_cmd(c, s, cdb, data_in, data_out, len);
	c->lun = lun;
	rig_start(c);
	rig_until(c->finished);
	r = rig_result(c);
	free(c);
	return r;
}

struct res none(struct loop_session *s, struct cdb cdb)
{
	return run(s, DISK_LUN, cdb, NULL, NULL, 0);
}

struct res in(struct loop_session *s, void *data, uint32_t len, struct cdb cdb)
{
	return run(s, DISK_LUN, cdb, data, NULL, len);
}

struct res out(struct loop_session *s, const void *data, uint32_t len, struct cdb cdb)
{
	return run(s, DISK_LUN, cdb, NULL, data, len);
}

struct res in_lun(struct loop_session *s, uint64_t lun, void *data, uint32_t len, struct cdb cdb)
{
	return run(s, lun, cdb, data, NULL, len);
}

struct res none_lun(struct loop_session *s, uint64_t lun, struct cdb cdb)
{
	return run(s, lun, cdb, NULL, NULL, 0);
}

struct res read10(struct loop_session *s, uint64_t lba, uint32_t n, void *data)
{
	return in(s, data, n * rig_bs(), CDB(0x28, 0, B4(lba), 0, B2(n), 0));
}

struct res write10(struct loop_session *s, uint64_t lba, uint32_t n, const void *data)
{
	return out(s, data, n * rig_bs(), CDB(0x2a, 0, B4(lba), 0, B2(n), 0));
}

struct res tur(struct loop_session *s)
{
	return none(s, CDB(0, 0, 0, 0, 0, 0));
}

struct managing {
	struct loop_tmf t;
	bool done;
};

static void managed(struct loop_tmf *t)
{
	container_of(t, struct managing, t)->done = true;
}

enum tmf_response rig_manage(struct loop_session *s, enum tmf_function fn, uint64_t lun,
			     uint64_t tag)
{
	struct managing m = { .t = { .session = s, .lun = lun, .done = managed } };

	m.t.tmf.function = fn;
	m.t.tmf.ref_tag = tag;
	loop_manage(&m.t);
	rig_until(m.done);
	return m.t.tmf.response;
}

/* ---- what is expected ------------------------------------------------------------------------ */

void expect_at(struct res r, enum verdict v, const char *file, int line)
{
	const struct verdict_row *row = &verdict_rows[v];

	if (r.verdict != v) {
		print_error("%s:%d: %s, but %s was expected\n", file, line,
			    verdict_rows[r.verdict].name, row->name);
		_fail(file, line);
	}
	if (row->status != ST_CHECK_CONDITION)
		return;
	/* what the initiator reads must say the same */
	if (r.key != row->key || r.asc != row->asc || r.ascq != row->ascq) {
		print_error("%s:%d: sense %x/%02x/%02x is not %s\n", file, line, r.key, r.asc,
			    r.ascq, row->name);
		_fail(file, line);
	}
}

void expect_field_at(struct res r, enum verdict v, unsigned byte, int bit, const char *file,
		     int line)
{
	bool in_cdb = v == V_INVALID_FIELD_IN_CDB;

	expect_at(r, v, file, line);
	if (!r.field_valid || r.in_cdb != in_cdb || r.byte != byte || r.bit_valid != (bit >= 0) ||
	    (bit >= 0 && r.bit != bit)) {
		print_error("%s:%d: field pointer %d: byte %u bit %d, but byte %u bit %d was "
			    "expected\n",
			    file, line, r.field_valid, r.byte, r.bit_valid ? r.bit : -1, byte, bit);
		_fail(file, line);
	}
}
