/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a client: sessions begin and end, commands are given and handed back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "client_wire.h"

#define DYING_LOOKS 20u /* for the target to read what was sent */

/* Those that events may still be about: an event names its client by id, as it may be late. */
static struct list clients = LIST_INIT(clients);
static uint64_t next_id;

/* What a workload must not do; the target is not to blame. */
#define must(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

/* ---- events ---------------------------------------- */

static void look(void *arg);

static void poked(void *arg)
{
	uint64_t id = (uint64_t)(uintptr_t)arg;
	struct client *c;

	list_for_each(c, &clients, link) {
		if (c->id != id)
			continue;
		look(c);
		return;
	}
}

void client_poke(struct client *c, uint64_t ns)
{
	sim_after(ns, poked, (void *)(uintptr_t)c->id);
}

/* True: it is dead. */
static bool die(struct client *c)
{
	if (sim_peer_unread(c->peer) && c->dying_looks++ < DYING_LOOKS) {
		client_poke(c, 1 + sim_below(NSEC_PER_MSEC));
		return false;
	}
	sim_say("%s dies", c->name);
	client_cut(c, true);
	return true;
}

/* The only road to a logout: so no other function changes the state under its caller. */
static void pump_and_leave(struct client *c)
{
	c->may_leave = true;
	client_pump(c);
	c->may_leave = false;
}

/* Something happened at the connection, or some time has passed. */
static void look(void *arg)
{
	struct client *c = arg;

	if (c->state == CLIENT_OUT)
		return;
	if (c->peer && c->dying) {
		if (!die(c))
			return;
	} else if (c->peer) {
		client_receive(c);
		if (c->peer && sim_peer_ended(c->peer)) {
			sim_say("%s: the target has closed", c->name);
			client_cut(c, false);
		}
	}
	if (c->peer)
		pump_and_leave(c);
	else if (c->state != CLIENT_OUT)
		client_end(c);
}

/* ---- clients ---------------------------------------- */

struct client *client_new(const struct client_opts *o)
{
	struct client *c = calloc(1, sizeof(*c));

	must(c && strlen(o->name) <= NAME_MAX_LEN && strlen(o->target) <= NAME_MAX_LEN);
	c->id = ++next_id;
	c->o = *o;
	memcpy(c->name, o->name, strlen(o->name));
	memcpy(c->target, o->target, strlen(o->target));
	c->in_size = SEGMENT_MAX + KIB(16);
	c->in = malloc(c->in_size);
	c->out = malloc(SEGMENT_MAX + KIB(1));
	must(c->in && c->out);
	list_init(&c->waiting);
	list_init(&c->wire);
	list_init(&c->tmf_waiting);
	list_init(&c->tmf_wire);
	list_init(&c->bursts);
	list_add(&clients, &c->link);
	return c;
}

void client_free(struct client *c)
{
	must(c->state == CLIENT_OUT && !c->busy);
	list_del(&c->link);
	free(c->in);
	free(c->out);
	free(c);
}

enum client_state client_state(const struct client *c)
{
	return c->state;
}

unsigned client_busy(const struct client *c)
{
	return c->busy;
}

uint32_t client_window(const struct client *c)
{
	return c->max_cmd_sn - c->cmd_sn + 1;
}

uint32_t client_window_max(const struct client *c)
{
	return c->window_max;
}

uint32_t client_new_itt(struct client *c)
{
	c->next_itt += 1 + (uint32_t)sim_below(4);
	if (c->next_itt == TAG_RESERVED)
		c->next_itt = 5;
	return c->next_itt;
}

/* ---- a session begins ---------------------------------------- */

static void forget_session(struct client *c)
{
	c->stat_known = false;
	c->header_digest = c->data_digest = false;
	c->segment = c->target_segment = LOGIN_DATA_MAX;
	c->window_max = 0;
	c->npings = c->ncalls = 0;
	c->text_itt = TAG_RESERVED;
	c->text_goes_on = c->wants_logout = c->logged_out = false;
	c->logout_at = 0;
	c->doomed = c->dying = false;
	c->dying_looks = 0;
	c->mute_until = c->deaf_until = 0;
	c->out_len = c->out_at = c->in_len = 0;
}

void client_login(struct client *c, void (*done)(struct client *c, int status, void *arg), void *arg)
{
	int fd;

	must(c->state == CLIENT_OUT && !c->busy);
	forget_session(c);
	c->state = CLIENT_LOGGING_IN;
	c->next_itt = (uint32_t)sim_random();
	c->cmd_sn = (uint32_t)sim_random();
	c->exp_cmd_sn = c->cmd_sn;
	c->max_cmd_sn = c->cmd_sn - 1;
	c->cid = (uint16_t)sim_random();
	c->small_pieces = !sim_below(4);
	memset(&c->lg, 0, sizeof(c->lg));
	c->lg.done = done;
	c->lg.arg = arg;
	c->peer = sim_connect(&fd, look, c);
	sim_world_accept(fd);
	client_login_begin(c);
	client_pump(c);
}

/* ---- and ends ---------------------------------------- */

void client_on_end(struct client *c, void (*fn)(struct client *c, void *arg), void *arg)
{
	c->on_end = fn;
	c->on_end_arg = arg;
}

void client_logout(struct client *c)
{
	must(c->state != CLIENT_OUT);
	c->wants_logout = true;
	if (c->peer)
		pump_and_leave(c);
}

void client_cut(struct client *c, bool reset)
{
	if (!c->peer)
		return;
	if (reset)
		sim_peer_reset(c->peer);
	else
		sim_peer_close(c->peer);
	c->peer = NULL;
	if (c->state == CLIENT_IN)
		c->state = CLIENT_LEAVING;
}

void client_drop(struct client *c, bool reset)
{
	must(c->state != CLIENT_OUT);
	if (!c->peer)
		return;
	sim_say("%s %s", c->name, reset ? "resets" : "closes");
	client_cut(c, reset);
	client_poke(c, 1);
}

void client_doom(struct client *c, size_t bytes)
{
	must(c->state != CLIENT_OUT);
	if (c->doomed)
		return;
	c->doomed = true;
	c->doom_left = bytes;
	if (c->peer)
		client_pump(c);
}

static void lose_everything(struct client *c)
{
	struct list *n;

	list_splice(&c->wire, &c->waiting);
	list_splice(&c->tmf_wire, &c->tmf_waiting);
	while ((n = list_pop(&c->wire)))
		client_finish(c, list_entry(n, struct client_cmd, link), OUTCOME_LOST);
	while ((n = list_pop(&c->tmf_wire)))
		client_tmf_finish(c, list_entry(n, struct client_tmf, link), OUTCOME_LOST);
}

void client_end(struct client *c)
{
	bool was_in = c->state != CLIENT_LOGGING_IN;

	client_cut(c, false);
	if (was_in) {
		c->state = CLIENT_LEAVING;
		lose_everything(c);
	}
	c->state = CLIENT_OUT;
	if (!was_in)
		c->lg.done(c, c->lg.status, c->lg.arg);
	else if (c->on_end)
		c->on_end(c, c->on_end_arg);
}

/* ---- commands and functions ---------------------------------------- */

void client_submit(struct client *c, struct client_cmd *cmd)
{
	must(c->state == CLIENT_IN && !(cmd->in_len && cmd->out_len));
	cmd->client = c;
	cmd->outcome = OUTCOME_NONE;
	cmd->status = cmd->key = cmd->asc = cmd->ascq = 0;
	cmd->sense_len = 0;
	cmd->got = 0;
	cmd->sent = cmd->answered = 0;
	cmd->on_wire = false;
	cmd->nbursts = 0;
	cmd->ticket = c->tickets++;
	list_init(&cmd->burst_link);
	list_add(&c->waiting, &cmd->link);
	c->busy++;
	if (c->peer)
		client_pump(c);
}

void client_manage(struct client *c, struct client_tmf *t)
{
	must(c->state == CLIENT_IN);
	t->client = c;
	t->outcome = OUTCOME_NONE;
	t->response = 0;
	t->sent = t->answered = 0;
	t->on_wire = false;
	t->immediate = sim_below(2);
	t->ref_itt = TAG_RESERVED;
	t->ref_cmd_sn = 0;
	if (t->function == CLIENT_ABORT_TASK) {
		must(t->task && t->task->on_wire && t->task->outcome == OUTCOME_NONE);
		t->ref_itt = t->task->itt;
		t->ref_cmd_sn = t->task->cmd_sn;
	}
	t->ticket = c->tickets++;
	list_add(&c->tmf_waiting, &t->link);
	c->busy++;
	if (c->peer)
		client_pump(c);
}

void client_finish(struct client *c, struct client_cmd *cmd, enum outcome outcome)
{
	list_del(&cmd->link);
	list_del(&cmd->burst_link);
	c->busy--;
	cmd->outcome = outcome;
	cmd->answered = sim_moment();
	cmd->done(cmd);
}

void client_tmf_finish(struct client *c, struct client_tmf *t, enum outcome outcome)
{
	list_del(&t->link);
	c->busy--;
	t->outcome = outcome;
	t->answered = sim_moment();
	t->done(t);
}

void client_cmd_again(struct client *c, struct client_cmd *cmd)
{
	list_del(&cmd->link);
	list_del(&cmd->burst_link);
	cmd->nbursts = 0;
	cmd->on_wire = false;
	cmd->immediate = false;
	list_push(&c->waiting, &cmd->link);
}

void client_tmf_again(struct client *c, struct client_tmf *t)
{
	list_del(&t->link);
	t->on_wire = false;
	t->immediate = false;
	list_push(&c->tmf_waiting, &t->link);
}
