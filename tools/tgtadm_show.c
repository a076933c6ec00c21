/* SPDX-License-Identifier: BSD-2-Clause */
/* Scripts of two decades parse these: the formats are tgt's, to the byte. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "tgtadm.h"

#define I1 "    "
#define I2 I1 I1
#define I3 I2 I1
#define I4 I2 I2

static const char *yes_no(const json_t *o, const char *key)
{
	return get_bool(o, key) ? "Yes" : "No";
}

static const char *or_none(const json_t *o, const char *key)
{
	const char *s = get_str(o, key);

	return *s ? s : "None";
}

/* ---- targets -------------------------------------------------------------------------- */

static void show_nexus(const json_t *n)
{
	const char *alias = get_str(n, "alias");
	const json_t *c;
	size_t i;

	printf(I2 "I_T nexus: %lld\n", get_int(n, "sid"));
	printf(I3 "Initiator: %s alias: %s\n", get_str(n, "initiator"), *alias ? alias : "none");
	json_array_foreach(get(n, "connections"), i, c) {
		printf(I3 "Connection: %lld\n", get_int(c, "cid"));
		printf(I4 "IP Address: %s\n", get_str(c, "address"));
	}
}

static void show_lun(const json_t *l)
{
	printf(I2 "LUN: %lld\n", get_int(l, "lun"));
	printf(I3 "Type: %s\n", get_str(l, "type"));
	printf(I3 "SCSI ID: %s\n", get_str(l, "scsi_id"));
	printf(I3 "SCSI SN: %s\n", get_str(l, "scsi_sn"));
	printf(I3 "Size: %lld MB, Block size: %lld\n", get_int(l, "size") / 1000000,
	       get_int(l, "block_size"));
	printf(I3 "Online: %s\n", yes_no(l, "online"));
	printf(I3 "Removable media: %s\n", yes_no(l, "removable"));
	printf(I3 "Prevent removal: %s\n", yes_no(l, "prevent_removal"));
	printf(I3 "Readonly: %s\n", yes_no(l, "readonly"));
	printf(I3 "SWP: %s\n", yes_no(l, "swp"));
	printf(I3 "Thin-provisioning: %s\n", yes_no(l, "thin"));
	printf(I3 "Backing store type: %s\n", get_str(l, "bstype"));
	printf(I3 "Backing store path: %s\n", or_none(l, "path"));
	printf(I3 "Backing store flags: %s\n", get_str(l, "bsoflags"));
}

static void show_strings(const char *indent, const json_t *list)
{
	const json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
		printf("%s%s\n", indent, json_string_value(s));
}

static void show_account_names(const char *indent, const json_t *accounts)
{
	const char *out = get_str(accounts, "outgoing");

	show_strings(indent, get(accounts, "incoming"));
	if (*out)
		printf("%s%s (outgoing)\n", indent, out);
}

static void show_target(const json_t *t)
{
	const json_t *o;
	size_t i;

	printf("Target %lld: %s\n", get_int(t, "tid"), get_str(t, "name"));
	printf(I1 "System information:\n");
	printf(I2 "Driver: %s\n", get_str(t, "driver"));
	printf(I2 "State: %s\n", get_str(t, "state"));
	if (get_int(t, "nop_interval")) {
		printf(I2 "Nop interval: %lld\n", get_int(t, "nop_interval"));
		printf(I2 "Nop count: %lld\n", get_int(t, "nop_count"));
	}
	printf(I1 "I_T nexus information:\n");
	json_array_foreach(get(t, "nexuses"), i, o)
		show_nexus(o);
	printf(I1 "LUN information:\n");
	json_array_foreach(get(t, "luns"), i, o)
		show_lun(o);
	printf(I1 "Account information:\n");
	show_account_names(I2, get(t, "accounts"));
	printf(I1 "ACL information:\n");
	show_strings(I2, get(get(t, "acls"), "addresses"));
	show_strings(I2, get(get(t, "acls"), "names"));
}

void show_targets(const json_t *targets)
{
	const json_t *t;
	size_t i;

	json_array_foreach(targets, i, t)
		show_target(t);
}

void show_target_params(const json_t *params)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)params, name, v)
		printf("%s=%s\n", name, json_string_value(v));
}

/* ---- the rest ----------------------------------------------------------------------------- */

/* tgt's word for a device server. */
static const char *device_word(const char *name)
{
	return strcmp(name, "cd") ? name : "cd/dvd";
}

void show_system(const json_t *s)
{
	const json_t *o, *accounts = get(s, "discovery_accounts");
	size_t i;

	printf("System:\n");
	printf(I1 "State: %s\n", get_str(s, "state"));
	printf(I1 "debug: %s\n", get_bool(s, "debug") ? "on" : "off");
	printf("LLDs:\n" I1 "iscsi: ready\n");
	printf("Backing stores:\n");
	json_array_foreach(get(s, "stores"), i, o)
		printf(I1 "%s%s\n", get_str(o, "name"),
		       get_bool(o, "needs_path") ? " (bsoflags sync:direct)" : "");
	printf("Device types:\n");
	json_array_foreach(get(s, "device_types"), i, o)
		printf(I1 "%s\n", device_word(json_string_value(o)));
	if (json_array_size(get(accounts, "incoming")) || *get_str(accounts, "outgoing")) {
		printf(I1 "Account information:\n\n"); /* tgt has this empty line */
		show_account_names(I1, accounts);
	}
	printf("iSNS:\n" I1 "iSNS=Off\n" I1 "iSNSServerIP=\n" I1 "iSNSServerPort=3205\n" I1
	       "iSNSAccessControl=Off\n");
}

void show_connections(const json_t *sessions)
{
	const json_t *s, *c;
	size_t i, j;

	json_array_foreach(sessions, i, s) {
		printf("Session: %lld\n", get_int(s, "sid"));
		json_array_foreach(get(s, "connections"), j, c) {
			printf(I1 "Connection: %lld\n", get_int(c, "cid"));
			printf(I2 "Initiator: %s\n", get_str(s, "initiator"));
			printf(I2 "IP Address: %s\n", get_str(c, "address"));
		}
	}
}

void show_accounts(const json_t *accounts)
{
	const json_t *a;
	size_t i;

	if (json_array_size(accounts))
		printf("Account list:\n");
	json_array_foreach(accounts, i, a)
		printf(I1 "%s\n", get_str(a, "user"));
}

void show_lld(const json_t *targets)
{
	const json_t *t;
	size_t i;

	printf("LLDs:\n" I1 "iscsi: ready\n");
	json_array_foreach(targets, i, t)
		printf(I2 "Target %lld: %s\n", get_int(t, "tid"), get_str(t, "name"));
}

void show_portals(const json_t *portals)
{
	const json_t *p;
	size_t i;

	json_array_foreach(portals, i, p)
		printf("Portal: %s\n", json_string_value(p));
}

/* ---- statistics ------------------------------------------------------------------------------ */

void show_lun_stats(const json_t *rows)
{
	const json_t *r;
	size_t i;

	printf("tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) "
	       "wr_done(bytes,cmds) errs\n");
	json_array_foreach(rows, i, r)
		printf("%3lld %3lld %3lld %12lld %6lld %12lld %6lld %12lld %6lld %12lld %6lld "
		       "%4lld\n",
		       get_int(r, "tid"), get_int(r, "lun"), get_int(r, "sid"),
		       get_int(r, "rd_subm_bytes"), get_int(r, "rd_subm_cmds"),
		       get_int(r, "rd_done_bytes"), get_int(r, "rd_done_cmds"),
		       get_int(r, "wr_subm_bytes"), get_int(r, "wr_subm_cmds"),
		       get_int(r, "wr_done_bytes"), get_int(r, "wr_done_cmds"), get_int(r, "errs"));
}

void show_connection_stats(const json_t *sessions, long long sid, long long cid)
{
	const json_t *s, *c;
	size_t i, j;

	printf("sid cid rxdata_octets txdata_octets dataout_pdus datain_pdus cmd_pdus rsp_pdus\n");
	json_array_foreach(sessions, i, s) {
		if (sid >= 0 && get_int(s, "sid") != sid)
			continue;
		json_array_foreach(get(s, "connections"), j, c) {
			if (cid >= 0 && get_int(c, "cid") != cid)
				continue;
			printf("%3lld %3lld %13lld %13lld %12lld %11lld %8lld %8lld\n",
			       get_int(s, "sid"), get_int(c, "cid"), get_int(c, "rx_bytes"),
			       get_int(c, "tx_bytes"), get_int(c, "dataout_pdus"),
			       get_int(c, "datain_pdus"), get_int(c, "cmd_pdus"),
			       get_int(c, "rsp_pdus"));
		}
	}
}
