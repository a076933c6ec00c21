/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mode parameters (SPC-5, SBC-4): the caching page (disks) and
 * the control page. There is one set per LU, shared by all nexuses (MLUS); MODE
 * SELECT changes it in a transaction. Nothing is saved.
 */
#include <errno.h>

#include "cmdset/cmdset.h"
#include "cmdset/internal.h"

enum { PAGE_CACHING = 0x08, PAGE_CONTROL = 0x0a, PAGE_ALL = 0x3f };
enum { SUBPAGE_NONE = 0x00, SUBPAGE_ALL = 0xff };
enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

#define PAGE_HEADER 2 /* page code, page length */
#define PAGE_MAX 20
#define MODE_ROOM 256

#define CACHE_WCE 0x04 /* byte 2 */
#define CONTROL_D_SENSE 0x04 /* byte 2 */
#define CONTROL_SWP 0x08 /* byte 4 */

/* ---- the pages ------------------------------------------------------------------------- */

static void caching_build(uint8_t *p, const struct lu_mode *m)
{
	/* the values of tgt's disks: DISC, FSW, prefetch without limit */
	static const uint8_t fixed[20] = { PAGE_CACHING, 0x12, 0x10, 0,	   0xff, 0xff, 0, 0,
					   0xff,	 0xff, 0xff, 0xff, 0x80, 0x14 };

	memcpy(p, fixed, sizeof(fixed));
	p[2] |= m->wce ? CACHE_WCE : 0;
}

static void caching_parse(struct lu_mode *m, const uint8_t *p)
{
	m->wce = p[2] & CACHE_WCE;
}

static void control_build(uint8_t *p, const struct lu_mode *m)
{
	memset(p, 0, 12);
	p[0] = PAGE_CONTROL;
	p[1] = 10;
	p[2] = 0x22; /* TST = 001b: a task set per I_T nexus; GLTSD */
	p[2] |= m->d_sense ? CONTROL_D_SENSE : 0;
	p[3] = 0x10; /* QUEUE ALGORITHM MODIFIER = 1; QERR = 0 */
	p[4] = m->swp ? CONTROL_SWP : 0;
	p[5] = 0x40; /* TAS */
	be_store(p + 8, 2, 0xffff); /* BUSY TIMEOUT PERIOD: unlimited */
}

static void control_parse(struct lu_mode *m, const uint8_t *p)
{
	m->d_sense = p[2] & CONTROL_D_SENSE;
	m->swp = p[4] & CONTROL_SWP;
}

struct mode_page {
	uint8_t code, len; /* len: with the header */
	bool disk; /* of disks only */
	void (*build)(uint8_t *p, const struct lu_mode *m);
	void (*parse)(struct lu_mode *m, const uint8_t *p);
	uint8_t changeable[PAGE_MAX];
};

/* clang-format off */
static const struct mode_page mode_pages[] = {
	{ PAGE_CACHING, 20, true, caching_build, caching_parse, { [2] = CACHE_WCE } },
	{ PAGE_CONTROL, 12, false, control_build, control_parse,
	  { [2] = CONTROL_D_SENSE, [4] = CONTROL_SWP } },
};
/* clang-format on */

static const struct mode_page *find_page(const struct lu *lu, unsigned code)
{
	for (unsigned i = 0; i < array_size(mode_pages); i++)
		if (mode_pages[i].code == code && (is_disk(lu) || !mode_pages[i].disk))
			return &mode_pages[i];
	return NULL;
}

/* ---- MODE SENSE -------------------------------------------------------------------------- */

static uint8_t *put_page(struct scsi_cmd *cmd, uint8_t *p, const struct mode_page *page)
{
	const struct lu_view *view = view_of(cmd);

	if (cmd->args.pc == PC_CHANGEABLE) {
		memcpy(p, page->changeable, page->len);
		p[0] = page->code;
		p[1] = page->len - PAGE_HEADER;
	} else {
		page->build(p, cmd->args.pc == PC_DEFAULT ? &view->default_mode : &view->mode);
	}
	return p + page->len;
}

static uint8_t *put_pages(struct scsi_cmd *cmd, uint8_t *p)
{
	if (cmd->args.page != PAGE_ALL)
		return put_page(cmd, p, find_page(cmd->lu, cmd->args.page));
	for (unsigned i = 0; i < array_size(mode_pages); i++)
		if (find_page(cmd->lu, mode_pages[i].code))
			p = put_page(cmd, p, &mode_pages[i]);
	return p;
}

/* Block descriptor, short LBA or long LBA (SBC-4); returns its length. */
static unsigned put_block_descriptor(const struct scsi_cmd *cmd, uint8_t *p)
{
	uint64_t blocks = view_of(cmd)->blocks;

	if (cmd->args.dbd || !is_disk(cmd->lu))
		return 0;
	if (cmd->args.llbaa) {
		be_store(p, 8, blocks);
		be_store(p + 12, 4, cmd->lu->block_size);
		return 16;
	}
	be_store(p, 4, min(blocks, (uint64_t)UINT32_MAX));
	be_store(p + 5, 3, cmd->lu->block_size);
	return 8;
}

static uint8_t device_specific(const struct scsi_cmd *cmd)
{
	const struct lu_view *view = view_of(cmd);

	if (!is_disk(cmd->lu))
		return 0;
	return (view->readonly || view->mode.swp ? 0x80 : 0) | 0x10; /* WP, DPOFUA */
}

static uint32_t fill_mode(struct scsi_cmd *cmd, uint8_t *p)
{
	bool six = cmd->op->cdb_len == 6;
	unsigned header = six ? 4 : 8;
	unsigned bd = put_block_descriptor(cmd, p + header);
	uint32_t len = (uint32_t)(put_pages(cmd, p + header + bd) - p);

	if (six) {
		p[0] = (uint8_t)(len - 1);
		p[2] = device_specific(cmd);
		p[3] = (uint8_t)bd;
	} else {
		be_store(p, 2, len - 2);
		p[3] = device_specific(cmd);
		p[4] = bd == 16; /* LONGLBA */
		be_store(p + 6, 2, bd);
	}
	return len;
}

enum verdict spc_mode_sense(struct scsi_cmd *cmd)
{
	const struct cdb_args *a = &cmd->args;

	if (a->pc == PC_SAVED)
		return V_SAVING_NOT_SUPPORTED;
	if (a->page != PAGE_ALL && !find_page(cmd->lu, a->page))
		return bad_field(cmd, page);
	if (a->subpage != SUBPAGE_NONE && a->subpage != SUBPAGE_ALL)
		return bad_field(cmd, subpage);
	return cmd_answer(cmd, MODE_ROOM, fill_mode);
}

/* ---- MODE SELECT --------------------------------------------------------------------------- */

/* A parameter list as it is read; @at counts its bytes. */
struct mode_list {
	struct lu_tx *tx;
	const uint8_t *p;
	unsigned at, len;
};

static bool cut_off(struct mode_list *l)
{
	l->tx->verdict = V_PARAM_LIST_LENGTH;
	return false;
}

/* A block descriptor may say what is the case, or nothing. */
static bool check_block_descriptor(struct mode_list *l, bool longlba)
{
	const struct lu *lu = l->tx->lu;
	const uint8_t *p = l->p + l->at;
	uint64_t blocks = be_load(p, longlba ? 8 : 4);
	uint64_t size = longlba ? be_load(p + 12, 4) : be_load(p + 5, 3);
	bool all = blocks == (longlba ? UINT64_MAX : UINT32_MAX);

	if (blocks && !all && blocks != lu->view.blocks)
		return tx_invalid_param(l->tx, l->at, 7);
	if (size != lu->block_size)
		return tx_invalid_param(l->tx, l->at + (longlba ? 12 : 5), 7);
	return true;
}

/* Header and block descriptors (SPC-5). True: l->at is at the first page. */
static bool read_header(struct mode_list *l, bool six)
{
	unsigned header = six ? 4 : 8, bd;
	bool longlba = !six && l->len > 4 && l->p[4] & 1;

	if (l->len < header)
		return cut_off(l);
	bd = six ? l->p[3] : (unsigned)be_load(l->p + 6, 2);
	l->at = header;
	if (bd > l->len - header)
		return cut_off(l);
	if (bd && (!is_disk(l->tx->lu) || bd != (longlba ? 16 : 8)))
		return tx_invalid_param(l->tx, six ? 3 : 6, 7);
	if (bd && !check_block_descriptor(l, longlba))
		return false;
	l->at += bd;
	return true;
}

/* What is not changeable must be as it is (SPC-5). */
static bool check_fixed(struct mode_list *l, const struct mode_page *page, const uint8_t *now)
{
	const uint8_t *p = l->p + l->at;

	for (unsigned i = PAGE_HEADER; i < page->len; i++) {
		unsigned bad = (p[i] ^ now[i]) & ~page->changeable[i] & 0xff;

		if (bad)
			return tx_invalid_param(l->tx, l->at + i, 31 - __builtin_clz(bad));
	}
	return true;
}

static bool read_page(struct mode_list *l, struct lu_mode *m)
{
	const uint8_t *p = l->p + l->at;
	const struct mode_page *page;
	uint8_t now[PAGE_MAX];

	if (l->len - l->at < PAGE_HEADER)
		return cut_off(l);
	if (p[0] & 0x40) /* SPF: there are no subpages */
		return tx_invalid_param(l->tx, l->at, 6);
	page = find_page(l->tx->lu, p[0] & 0x3f);
	if (!page)
		return tx_invalid_param(l->tx, l->at, 5);
	if (p[1] != page->len - PAGE_HEADER)
		return tx_invalid_param(l->tx, l->at + 1, 7);
	if (l->len - l->at < page->len)
		return cut_off(l);
	page->build(now, m);
	if (!check_fixed(l, page, now))
		return false;
	page->parse(m, p);
	l->at += page->len;
	return true;
}

static bool mode_equal(const struct lu_mode *a, const struct lu_mode *b)
{
	return a->wce == b->wce && a->dra == b->dra && a->rcd == b->rcd &&
	       a->d_sense == b->d_sense && a->swp == b->swp;
}

static bool mode_select_decide(struct lu_tx *tx)
{
	struct scsi_cmd *cmd = tx_cmd(tx);
	struct mode_list l = { tx, cmd->buf->data, 0, cmd->args.plist };
	struct lu_mode m = tx->lu->view.mode;

	if (!read_header(&l, cmd->op->cdb_len == 6))
		return false;
	while (l.at < l.len)
		if (!read_page(&l, &m))
			return false;
	if (mode_equal(&m, &tx->lu->view.mode))
		return false;
	cmd->word[0] = tx->lu->view.mode.wce && !m.wce;
	tx->lu->view.mode = m;
	lu_tell_others(tx->lu, tx->itl, UA_MODE_CHANGED);
	return true;
}

static void flushed(struct scsi_cmd *cmd)
{
	cmd_complete(cmd, V_GOOD);
}

/* SBC-4: when WCE goes to zero, what is volatile is written before the status. */
static void mode_selected(struct scsi_cmd *cmd)
{
	if (cmd->word[0])
		cmd_flush(cmd, flushed);
	else
		cmd_complete(cmd, V_GOOD);
}

static enum verdict mode_select_have_list(struct scsi_cmd *cmd)
{
	cmd->word[0] = false;
	cmd->tx.decide = mode_select_decide;
	return cmd_run_tx_then(cmd, mode_selected);
}

enum verdict spc_mode_select(struct scsi_cmd *cmd)
{
	if (cmd->args.sp)
		return bad_field(cmd, sp);
	if (!cmd->args.plist)
		return V_GOOD;
	if (!cmd->args.pf)
		return bad_field(cmd, pf);
	return cmd_params(cmd, 1, mode_select_have_list);
}

/* ---- the administrator's side ------------------------------------------------------------------ */

int disk_mode_page(struct lu_mode *m, unsigned page, unsigned subpage, const uint8_t *bytes,
		   unsigned n, struct err *e)
{
	uint8_t p[PAGE_MAX] = { 0 };

	for (unsigned i = 0; i < array_size(mode_pages); i++) {
		const struct mode_page *known = &mode_pages[i];

		if (known->code != page || subpage)
			continue;
		if (n + PAGE_HEADER != known->len)
			return err_set(e, -EINVAL,
				       "mode page %u has %d bytes, not %u: give them all", page,
				       known->len - PAGE_HEADER, n);
		memcpy(p + PAGE_HEADER, bytes, n);
		known->parse(m, p);
		return 0;
	}
	return err_set(e, -EINVAL,
		       "there is no mode page %u subpage %u: 8 (caching) and 10 (control) "
		       "can be set",
		       page, subpage);
}

void disk_set_mode(struct lu *lu, const struct lu_mode *m)
{
	if (!mode_equal(m, &lu->view.mode))
		lu_tell_others(lu, NULL, UA_MODE_CHANGED);
	lu->view.mode = *m;
	lu->view.default_mode = *m;
}
