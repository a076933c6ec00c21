/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/tcmu/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "transport/tcmu/uapi.h"

/* Of the user's flags; the kernel looks at bits 0 to 2, and at an entry's only when cmd_tail has passed it. */
#define MARK_TAKEN 0x20
#define MARK_DONE 0x40 /* its answer is there: cmd_tail is about to pass it */
#define MARK_ONCE 0x80

#define PADS_MAX 16 /* a look passes over */

#define ENTRY_MIN ((uint32_t)sizeof(struct tcmu_cmd_entry_hdr))
#define COMMAND_MIN ((uint32_t)sizeof(struct tcmu_cmd_entry)) /* an answer has room */
#define TMR_MIN ((uint32_t)sizeof(struct tcmu_tmr_entry))
#define IOV_AT ((uint32_t)offsetof(struct tcmu_cmd_entry, req.iov))

/* The layout is the kernel's: req is not packed although the entry around it is. */
static_assert(sizeof(struct tcmu_cmd_entry_hdr) == 8, "");
static_assert(offsetof(struct tcmu_cmd_entry, req.cdb_off) == 24, "");
static_assert(offsetof(struct tcmu_cmd_entry, req.iov) == 48, "");
static_assert(offsetof(struct tcmu_cmd_entry, rsp.sense_buffer) == 16, "");
static_assert(sizeof(struct tcmu_cmd_entry) == 112, "");
static_assert(offsetof(struct tcmu_tmr_entry, cmd_ids) == 32, "");
static_assert(offsetof(struct tcmu_mailbox, cmd_tail) == 64, "");
static_assert(sizeof(struct iovec) == 16,
	      "offsets and lengths in the ring are of the kernel's word size");

/* ---- words that both sides see ------------------------------------------------------- */

static uint32_t *mailbox_word(const struct ring *r, size_t off)
{
	return (uint32_t *)(void *)(r->map + off);
}

/* id, kflags and uflags of an entry are one aligned word, which is written in one piece. */
static uint32_t *entry_word(const struct ring *r, uint32_t at)
{
	return (uint32_t *)(void *)(r->map + r->cmdr_off + at +
				    offsetof(struct tcmu_cmd_entry_hdr, cmd_id));
}

static void write_word(const struct ring *r, uint32_t at, uint16_t id, uint8_t uflags)
{
	struct tcmu_cmd_entry_hdr h = { .cmd_id = id, .uflags = uflags };
	uint32_t word;

	memcpy(&word, &h.cmd_id, sizeof(word));
	__atomic_store_n(entry_word(r, at), word, __ATOMIC_RELEASE);
}

static void read_header(const struct ring *r, uint32_t at, struct tcmu_cmd_entry_hdr *h)
{
	uint32_t len_op =
		__atomic_load_n((uint32_t *)(void *)(r->map + r->cmdr_off + at), __ATOMIC_RELAXED);
	uint32_t word = __atomic_load_n(entry_word(r, at), __ATOMIC_RELAXED);

	h->len_op = len_op;
	memcpy(&h->cmd_id, &word, sizeof(word));
}

static enum ring_kind broken(struct ring *r, const char *why)
{
	r->broken = why;
	return RING_EMPTY;
}

/* cmd_head, or where we are if it cannot be. */
static uint32_t read_head(const struct ring *r, bool *bad)
{
	uint32_t head = __atomic_load_n(mailbox_word(r, offsetof(struct tcmu_mailbox, cmd_head)),
					__ATOMIC_ACQUIRE);

	*bad = head >= r->cmdr_size || head % TCMU_OP_ALIGN_SIZE;
	return *bad ? r->next : head;
}

static void write_tail(struct ring *r, uint32_t tail)
{
	if (tail == r->tail)
		return;
	r->tail = tail;
	r->news = true;
	__atomic_store_n(mailbox_word(r, offsetof(struct tcmu_mailbox, cmd_tail)), tail,
			 __ATOMIC_RELEASE);
}

/* ---- opening ----------------------------------------------------------------------------- */

static const char *check_mailbox(const struct ring *r, const struct tcmu_mailbox *m)
{
	if (m->version != TCMU_MAILBOX_VERSION)
		return "its mailbox is of another version than 2";
	if (!(m->flags & TCMU_MAILBOX_FLAG_CAP_OOOC))
		return "the kernel takes no completions out of order";
	if (m->cmdr_off < sizeof(*m) || m->cmdr_off % TCMU_OP_ALIGN_SIZE ||
	    m->cmdr_size % TCMU_OP_ALIGN_SIZE || m->cmdr_size < 2 * COMMAND_MIN ||
	    !range_fits(m->cmdr_off, m->cmdr_size, r->size))
		return "its command ring does not lie in its memory";
	if (m->cmd_tail >= m->cmdr_size || m->cmd_tail % TCMU_OP_ALIGN_SIZE)
		return "cmd_tail is not in its command ring";
	return NULL;
}

int ring_open(struct ring *r, void *map, size_t size, const char **why)
{
	struct tcmu_mailbox m;

	*r = (struct ring){ .map = map, .size = size };
	list_init(&r->slots);
	if (size < sizeof(m)) {
		*why = "its memory is too small for a mailbox";
		return -EPROTO;
	}
	memcpy(&m, map, sizeof(m));
	*why = check_mailbox(r, &m);
	if (*why)
		return -EPROTO;
	r->flags = m.flags;
	r->cmdr_off = m.cmdr_off;
	r->cmdr_size = m.cmdr_size;
	r->next = r->tail = m.cmd_tail;
	return 0;
}

/* ---- looking ----------------------------------------------------------------------------- */

bool ring_has_more(const struct ring *r)
{
	bool bad;

	return !r->broken && (read_head(r, &bad) != r->next || bad);
}

/* Bytes of entries from @at to the head. */
static uint32_t entries_left(const struct ring *r, uint32_t at, uint32_t head)
{
	return head >= at ? head - at : r->cmdr_size - at + head;
}

static uint32_t after(const struct ring *r, uint32_t at, uint32_t len)
{
	return at + len == r->cmdr_size ? 0 : at + len;
}

/* The length of the entry at @at with header @h; 0: it cannot be. */
static uint32_t entry_len(const struct ring *r, const struct tcmu_cmd_entry_hdr *h, uint32_t at,
			  uint32_t left)
{
	uint32_t len = tcmu_hdr_get_len(h->len_op);

	return len >= ENTRY_MIN && len <= left && range_fits(at, len, r->cmdr_size) ? len : 0;
}

static void copy_in(const struct ring *r, uint64_t off, void *to, size_t len)
{
	memcpy(to, r->map + off, len);
}

/* The CDB is told by an offset alone: its length is in it. */
static bool copy_cdb(struct ring *r, struct ring_entry *e, uint64_t off)
{
	uint64_t end = r->cmdr_off + (uint64_t)r->cmdr_size, begin = r->cmdr_off + (uint64_t)e->at;
	unsigned len = 16;

	if (off < begin || off >= end)
		return false;
	/* the last CDB of a ring may be cut to its own length, rounded up to 8 */
	e->cdb_len = (unsigned)min((uint64_t)len, end - off);
	memset(e->cdb, 0, len);
	copy_in(r, off, e->cdb, e->cdb_len);
	if (e->cdb[0] != 0x7f) {
		e->cdb_len = len;
		return true;
	}
	len = 8u + e->cdb[7];
	if (len > RING_CDB_MAX || !range_fits(off, len, end))
		return false;
	if (len > 16)
		copy_in(r, off + 16, e->cdb + 16, len - 16);
	e->cdb_len = len;
	return true;
}

static enum ring_kind look_at_command(struct ring *r, struct ring_entry *e)
{
	struct tcmu_cmd_entry c;
	uint64_t segments;

	if (e->len < COMMAND_MIN)
		return broken(r, "a command's entry is too short");
	copy_in(r, r->cmdr_off + (uint64_t)e->at, &c, sizeof(c));
	segments = (uint64_t)c.req.iov_cnt + c.req.iov_bidi_cnt + c.req.iov_dif_cnt;
	if (IOV_AT + segments * sizeof(struct iovec) > e->len)
		return broken(r, "a command has more segments than its entry");
	if (!copy_cdb(r, e, c.req.cdb_off))
		return broken(r, "a CDB lies outside of its entry");
	e->iov_cnt = c.req.iov_cnt;
	return RING_COMMAND;
}

static enum ring_kind look_at_tmr(struct ring *r, struct ring_entry *e)
{
	struct tcmu_tmr_entry t;

	if (e->len < TMR_MIN)
		return broken(r, "a task management entry is too short");
	copy_in(r, r->cmdr_off + (uint64_t)e->at, &t, sizeof(t));
	if (t.cmd_cnt > (e->len - TMR_MIN) / sizeof(uint16_t))
		return broken(r, "a task management entry names more commands than it has");
	e->tmr = t.tmr_type;
	e->ids = t.cmd_cnt;
	return RING_TMR;
}

/* The entry that is passed over is the kernel's again when all before it are completed. */
static void pass(struct ring *r, uint32_t next)
{
	r->next = next;
	if (list_empty(&r->slots))
		write_tail(r, next);
}

static enum ring_kind look(struct ring *r, struct ring_entry *e, uint32_t head)
{
	struct tcmu_cmd_entry_hdr h;

	e->at = r->next;
	read_header(r, e->at, &h);
	e->len = entry_len(r, &h, e->at, entries_left(r, e->at, head));
	if (!e->len)
		return broken(r, "an entry's length cannot be");
	e->id = h.cmd_id;
	switch (tcmu_hdr_get_op(h.len_op)) {
	case TCMU_OP_CMD:
		return look_at_command(r, e);
	case TCMU_OP_TMR:
		return look_at_tmr(r, e);
	case TCMU_OP_PAD:
		pass(r, after(r, e->at, e->len));
		return RING_EMPTY;
	default:
		/* it may be too short to become the place of an older command's answer */
		return list_empty(&r->slots) ? RING_UNKNOWN : RING_WAIT;
	}
}

enum ring_kind ring_peek(struct ring *r, struct ring_entry *e)
{
	uint32_t head;
	bool bad;

	e->kind = RING_EMPTY;
	e->iov_cnt = 0;
	for (unsigned i = 0; e->kind == RING_EMPTY && !r->broken && i < PADS_MAX; i++) {
		head = read_head(r, &bad);
		if (bad)
			return broken(r, "cmd_head is not in its command ring");
		if (head == r->next)
			return RING_EMPTY;
		e->kind = look(r, e, head);
	}
	return e->kind;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Segments become addresses; *@n is how many, after those that touch are joined. */
static bool take_segments(struct ring *r, const struct ring_entry *e, struct iovec *v, unsigned *n,
			  uint32_t *total)
{
	uint64_t data = r->cmdr_off + (uint64_t)r->cmdr_size, sum = 0;

	*n = 0;
	for (uint32_t i = 0; i < e->iov_cnt; i++) {
		uint64_t seg[2]; /* offset from the mailbox, bytes */

		copy_in(r, r->cmdr_off + (uint64_t)e->at + IOV_AT + i * sizeof(seg), seg,
			sizeof(seg));
		if (seg[0] < data || !range_fits(seg[0], seg[1], r->size) ||
		    seg[1] > UINT32_MAX - sum)
			return false;
		sum += seg[1];
		if (!seg[1])
			continue;
		if (*n && (uint8_t *)v[*n - 1].iov_base + v[*n - 1].iov_len == r->map + seg[0])
			v[*n - 1].iov_len += seg[1];
		else
			v[(*n)++] = (struct iovec){ r->map + seg[0], seg[1] };
	}
	*total = (uint32_t)sum;
	return true;
}

bool ring_take(struct ring *r, struct ring_entry *e, struct ring_slot *s, bool once,
	       struct iovec *v, unsigned *n, uint32_t *total)
{
	*n = 0;
	*total = 0;
	if (!take_segments(r, e, v, n, total)) {
		broken(r, "a data segment lies outside of the data area");
		return false;
	}
	s->at = e->at;
	s->id = e->id;
	s->mark = MARK_TAKEN | (once ? MARK_ONCE : 0);
	write_word(r, s->at, s->id, s->mark);
	list_add(&r->slots, &s->link);
	r->next = after(r, e->at, e->len);
	return true;
}

uint16_t ring_tmr_id(const struct ring *r, const struct ring_entry *e, uint32_t i)
{
	uint16_t id;

	copy_in(r, r->cmdr_off + (uint64_t)e->at + TMR_MIN + i * sizeof(id), &id, sizeof(id));
	return id;
}

void ring_skip(struct ring *r, const struct ring_entry *e)
{
	pass(r, after(r, e->at, e->len));
}

/* ---- completing --------------------------------------------------------------------------------- */

static uint8_t *write_answer(struct ring *r, uint32_t at, const struct ring_answer *a)
{
	struct tcmu_cmd_entry *c = (struct tcmu_cmd_entry *)(void *)(r->map + r->cmdr_off + at);
	unsigned len = min(a->sense_len, (unsigned)RING_SENSE_MAX);

	c->rsp.scsi_status = a->status;
	c->rsp.read_len = a->has_read_len ? a->read_len : 0;
	if (len) {
		memcpy(c->rsp.sense_buffer, a->sense, len);
		memset(c->rsp.sense_buffer + len, 0, RING_SENSE_MAX - len);
	}
	return (uint8_t *)c;
}

static uint8_t answer_flags(const struct ring *r, const struct ring_answer *a)
{
	if (a->unknown)
		return MARK_DONE | TCMU_UFLAG_UNKNOWN_OP;
	if (a->has_read_len && r->flags & TCMU_MAILBOX_FLAG_CAP_READ_LEN)
		return MARK_DONE | TCMU_UFLAG_READ_LEN;
	return MARK_DONE;
}

/*
 * @s ends, the oldest entry is @first's: @first goes where @s was. In this order, so that whoever dies in between
 * leaves one id twice, which shows, and none of a command that the kernel knows no more; and whoever finds that
 * still sees that @s must not be done twice.
 */
static void change_places(struct ring *r, struct ring_slot *s, struct ring_slot *first)
{
	uint32_t at = first->at;

	if (s->mark & ~first->mark)
		write_word(r, at, first->id, first->mark | s->mark);
	write_word(r, s->at, first->id, first->mark);
	first->at = s->at;
	s->at = at;
	list_del(&first->link);
	list_insert(&first->link, &s->link, s->link.next);
}

void ring_complete(struct ring *r, struct ring_slot *s, const struct ring_answer *a)
{
	struct ring_slot *first = list_first(&r->slots, struct ring_slot, link);

	if (!r->broken && first && first != s)
		change_places(r, s, first);
	list_del(&s->link);
	if (r->broken)
		return;
	if (!a->unknown)
		write_answer(r, s->at, a);
	write_word(r, s->at, s->id, answer_flags(r, a));
	first = list_first(&r->slots, struct ring_slot, link);
	write_tail(r, first ? first->at : r->next);
}

bool ring_take_news(struct ring *r)
{
	bool news = r->news && !r->broken;

	r->news = false;
	return news;
}

/* ---- who was here before ---------------------------------------------------------------------- */

struct walk {
	uint8_t seen[65536 / 8];
	int taken;
	bool once, twice;
};

static void note(struct walk *w, const struct tcmu_cmd_entry_hdr *h)
{
	uint8_t bit = (uint8_t)(1u << h->cmd_id % 8), *byte = &w->seen[h->cmd_id / 8];

	w->twice |= (*byte & bit) != 0;
	*byte |= bit;
	w->taken += !(h->uflags & MARK_DONE);
	w->once |= (h->uflags & MARK_ONCE) != 0;
}

/*
 * From the tail on: entries that were taken come first. @each is called for each command among them with its
 * place. Returns where the walk ended, UINT32_MAX if the ring cannot be.
 */
static uint32_t walk(struct ring *r,
		     void (*each)(struct ring *r, uint32_t at, const struct tcmu_cmd_entry_hdr *h,
				  void *arg),
		     void *arg)
{
	uint32_t at = r->next, head;
	bool bad;

	head = read_head(r, &bad);
	while (at != head && !bad) {
		struct tcmu_cmd_entry_hdr h;
		unsigned op;
		uint32_t len;

		read_header(r, at, &h);
		op = tcmu_hdr_get_op(h.len_op);
		len = entry_len(r, &h, at, entries_left(r, at, head));
		if (!len || (op == TCMU_OP_CMD && len < COMMAND_MIN))
			return UINT32_MAX;
		if (op != TCMU_OP_PAD && op != TCMU_OP_TMR &&
		    (op != TCMU_OP_CMD || !(h.uflags & (MARK_TAKEN | MARK_DONE))))
			break;
		if (op == TCMU_OP_CMD)
			each(r, at, &h, arg);
		at = after(r, at, len);
	}
	return bad ? UINT32_MAX : at;
}

static void note_each(struct ring *r, uint32_t at, const struct tcmu_cmd_entry_hdr *h, void *arg)
{
	note(arg, h);
}

static void answer_each(struct ring *r, uint32_t at, const struct tcmu_cmd_entry_hdr *h, void *arg)
{
	void (**answer)(struct ring_answer *, bool) = arg;
	struct ring_answer a = { 0 };

	if (h->uflags & MARK_DONE) /* whoever answered it did not come to tell */
		return;
	(*answer)(&a, (h->uflags & MARK_ONCE) != 0);
	write_answer(r, at, &a);
	write_word(r, at, h->cmd_id, answer_flags(r, &a));
}

int ring_recover(struct ring *r, void (*answer)(struct ring_answer *a, bool once), bool *once)
{
	struct walk *w = calloc(1, sizeof(*w));
	uint32_t end;
	int taken;

	*once = true;
	if (!w)
		return -ENOMEM;
	end = walk(r, note_each, w);
	taken = end == UINT32_MAX || w->twice ? -EUCLEAN : w->taken;
	*once = w->once;
	free(w);
	if (taken < 0)
		return taken;
	walk(r, answer_each, &answer);
	pass(r, end);
	return taken;
}
