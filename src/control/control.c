/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/control.h"

#include <errno.h>

#include "cmdset/cmdset.h"
#include "control/removal.h"
#include "control/unit.h"
#include "transport/vhost/vhost.h"

#define TEXT_MAX 4095 /* bytes of a path or of options */
#define BSTYPE_MAX 256 /* bytes of a store type with layers */

/* clang-format off */
#define END { .type = P_END }
#define LU_PARAMS_HELP \
	"settings by tgt's names, as strings: scsi_id, scsi_sn, vendor_id, product_id, " \
	"product_rev, removable, readonly, online, mode_page, thin_provisioning, ..."
#define PARAMS_OF_STORE \
	{ "path", P_STRING, false, 1, TEXT_MAX, "file or block device" }, \
	{ "bstype", P_STRING, false, 1, BSTYPE_MAX, \
	  "store type (system.show lists them), layers before it: limit:iops=100+file; default rdwr" }, \
	{ "bsopts", P_STRING, false, 0, TEXT_MAX, "the store's options, key=value;key=value" }, \
	{ "bsoflags", P_STRING, false, 0, 64, "sync, direct, joined by ':'" }, \
	{ "block_size", P_SIZE, .help = "bytes of a logical block: 512 (default) to 4096" }, \
	{ "readonly", P_BOOL, .help = "refuse writes" }, \
	{ "thin", P_BOOL, .help = "report thin provisioning, take UNMAP" }, \
	{ "params", P_OBJECT, .help = LU_PARAMS_HELP }
#define PARAM_LUN(needed) \
	{ "lun", P_INT, needed, 0, LUN_MAX, "logical unit number" }
#define PARAM_FORCE(text) \
	{ "force", P_BOOL, .help = text }
/* clang-format on */

static const struct param target_create_params[] = {
	{ "name", P_STRING, true, 1, INITIATOR_NAME_MAX, "iSCSI name" },
	{ "tid", P_INT, false, 1, 65535, "number; default: the lowest free one" },
	END,
};
static const struct param target_delete_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_FORCE("close its sessions"),
	END,
};
static const struct param target_params[] = { PARAM_TARGET_OR_NAME, END };
static const struct param target_update_params[] = {
	PARAM_TARGET_OR_NAME,
	{ "name", P_STRING, true, 1, 64, "state, or a name that target.params lists" },
	{ "value", P_STRING, true, 0, 256, "its value" },
	END,
};
static const struct param lun_create_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(false),
	{ "type", P_STRING, false, 1, 32, "device type: disk, or pt: a SCSI device as it is" },
	PARAMS_OF_STORE,
	END,
};
static const struct param lun_delete_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	PARAM_FORCE("although requests are in flight"),
	END,
};
static const struct param lun_update_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	{ "params", P_OBJECT, .help = LU_PARAMS_HELP },
	{ "clear_error", P_BOOL, .help = "let writes through again after a failed flush" },
	END,
};
static const struct param lun_medium_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	END,
};
static const struct param lun_resize_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	{ "size", P_SIZE, .help = "make the store so large; default: what it has by now" },
	END,
};
static const struct param lun_swap_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	{ "path", P_STRING, false, 1, TEXT_MAX, "file or device with the same contents" },
	{ "bstype", P_STRING, false, 1, BSTYPE_MAX, "store type; default file" },
	{ "bsopts", P_STRING, false, 0, TEXT_MAX, "the store's options, key=value;key=value" },
	{ "bsoflags", P_STRING, false, 0, 64, "how to open it: sync, direct, dsync, joined by ':'" },
	{ "other_size", P_BOOL, .help = "it may have another size" },
	END,
};
static const struct param lun_stat_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(false),
	{ "sid", P_INT, false, 0, INT64_MAX, "one session only" },
	END,
};
static const struct param acl_params[] = {
	PARAM_TARGET_OR_NAME,
	{ "address", P_STRING, false, 1, 64, "address, network (address/bits) or ALL" },
	{ "initiator", P_STRING, false, 1, INITIATOR_NAME_MAX, "or an initiator's name" },
	END,
};
static const struct param account_create_params[] = {
	{ "user", P_STRING, true, 1, CHAP_NAME_MAX, "name for CHAP" },
	{ "password", P_STRING, true, 1, CHAP_SECRET_MAX, "secret; CHAP wants 12 bytes or more" },
	END,
};
static const struct param account_delete_params[] = {
	{ "user", P_STRING, true, 1, CHAP_NAME_MAX, "the account" },
	END,
};
static const struct param account_bind_params[] = {
	PARAM_TARGET_OR_NAME, /* none: discovery */
	{ "user", P_STRING, true, 1, CHAP_NAME_MAX, "the account" },
	{ "outgoing", P_BOOL, .help = "the target proves itself with it (mutual CHAP)" },
	END,
};
static const struct param session_close_params[] = {
	PARAM_TARGET_OR_NAME,
	{ "sid", P_INT, true, 0, INT64_MAX, "session number" },
	END,
};
static const struct param connection_close_params[] = {
	PARAM_TARGET_OR_NAME,
	{ "sid", P_INT, true, 0, INT64_MAX, "session number" },
	{ "cid", P_INT, true, 0, UINT32_MAX, "connection number" },
	END,
};
static const struct param portal_params[] = {
	{ "portal", P_STRING, true, 1, 128, "address:port, [IPv6 address]:port or :port" },
	END,
};
static const struct param vhost_add_params[] = {
	PARAM_TARGET_OR_NAME,
	{ "path", P_STRING, true, 1, 107, "of the socket" },
	{ "queues", P_INT, false, 1, VHOST_QUEUES_MAX,
	  "request queues that are offered; default 16" },
	{ "mode", P_STRING, false, 1, 8, "of the socket, octal: who may connect; default 0600" },
	{ "uid", P_INT, false, 0, UINT32_MAX - 1, "owner of the socket" },
	{ "gid", P_INT, false, 0, UINT32_MAX - 1, "group of the socket" },
	END,
};
static const struct param vhost_remove_params[] = {
	{ "path", P_STRING, true, 1, 107, "of the socket" },
	END,
};
static const struct param tcmu_attach_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	{ "fabric", P_STRING, false, 1, 16,
	  "loop (default): a disk of this host; vhost: the kernel's "
	  "vhost-scsi; none: the TCMU device alone" },
	{ "name", P_STRING, false, 1, 60, "of the TCMU device; default from target and LUN" },
	{ "shared", P_STRING, false, 1, 16,
	  "unsafe: other sessions may have it, too, although they do not see its reservations" },
	END,
};
static const struct param tcmu_detach_params[] = {
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(true),
	END,
};
static const struct param export_params[] = {
	PARAMS_OF_STORE,
	{ "name", P_STRING, false, 1, INITIATOR_NAME_MAX,
	  "target name; default from host and path" },
	{ "tid", P_INT, false, 1, 65535, "target number; default: the lowest free one" },
	PARAM_LUN(false),
	{ "size", P_SIZE, .help = "make a sparse image of this size if there is none" },
	{ "initiator_address", P_STRING, false, 1, 64, "who may log in; default ALL" },
	END,
};
static const struct param trace_start_params[] = {
	{ "size", P_INT, false, TRACE_RECORDS_MIN, TRACE_RECORDS_MAX,
	  "records of 64 bytes for each data reactor; default 16384" },
	PARAM_TARGET_OR_NAME,
	PARAM_LUN(false),
	{ "opcode", P_STRING, false, 1, 64,
	  "only this command: an opcode (40, 0x28) or a name (READ(10))" },
	END,
};
static const struct param trace_dump_params[] = {
	{ "count", P_INT, false, 1, TRACE_DUMP_MAX,
	  "the newest so many, over all reactors; default 1000" },
	{ "cursor", P_STRING, false, 1, 64, "the page after the one that said so" },
	END,
};
static const struct param system_update_params[] = {
	{ "name", P_STRING, true, 1, 64, "State (ready, offline), debug (on, off) or log_level" },
	{ "value", P_STRING, true, 0, 64, "its value" },
	END,
};
static const struct param system_shutdown_params[] = {
	PARAM_FORCE("although there are targets"),
	END,
};

const struct verb control_verbs[] = {
	{ "export", "make a target with one logical unit that everybody may use", export_params,
	  verb_export },
	{ "target.create", "make a target", target_create_params, verb_target_create },
	{ "target.delete", "delete a target and its logical units", target_delete_params,
	  verb_target_delete },
	{ "target.list", "targets with sessions, logical units, accounts and rules", target_params,
	  verb_target_list },
	{ "target.params", "iSCSI settings of a target", target_params, verb_target_params },
	{ "target.update", "change a setting of a target", target_update_params,
	  verb_target_update },
	{ "lun.create", "make a logical unit", lun_create_params, verb_lun_create },
	{ "lun.delete", "delete a logical unit", lun_delete_params, verb_lun_delete },
	{ "lun.update", "change settings of a logical unit", lun_update_params, verb_lun_update },
	{ "lun.resize", "make the store larger, or take over its new size", lun_resize_params,
	  verb_lun_resize },
	{ "lun.swap", "put another store with the same contents behind a logical unit",
	  lun_swap_params, verb_lun_swap },
	{ "lun.offline", "flush and close the store, keep the logical unit", lun_medium_params,
	  verb_lun_offline },
	{ "lun.online", "open the store again", lun_medium_params, verb_lun_online },
	{ "lun.reopen", "close the store and open it again", lun_medium_params, verb_lun_reopen },
	{ "lun.stat", "counters by logical unit and session", lun_stat_params, verb_lun_stat },
	{ "acl.add", "admit an initiator by address or name", acl_params, verb_acl_add },
	{ "acl.remove", "remove such a rule", acl_params, verb_acl_remove },
	{ "account.create", "make a CHAP account", account_create_params, verb_account_create },
	{ "account.delete", "delete an account and its bindings", account_delete_params,
	  verb_account_delete },
	{ "account.list", "accounts and what they are bound to", NULL, verb_account_list },
	{ "account.bind", "bind an account to a target, or to discovery", account_bind_params,
	  verb_account_bind },
	{ "account.unbind", "undo account.bind", account_bind_params, verb_account_unbind },
	{ "session.list", "sessions and their connections", target_params, verb_session_list },
	{ "session.close", "close a session", session_close_params, verb_session_close },
	{ "connection.close", "close a connection", connection_close_params, verb_connection_close },
	{ "portal.add", "listen at an address", portal_params, verb_portal_add },
	{ "portal.remove", "stop listening at an address", portal_params, verb_portal_remove },
	{ "portal.list", "portals, newest first", NULL, verb_portal_list },
	{ "vhost.add", "offer a target to hypervisors: a vhost-user-scsi socket", vhost_add_params,
	  verb_vhost_add },
	{ "vhost.remove", "remove such a socket and end its connection", vhost_remove_params,
	  verb_vhost_remove },
	{ "vhost.list", "vhost-user-scsi sockets", NULL, verb_vhost_list },
	{ "tcmu.attach", "give a logical unit to the kernel", tcmu_attach_params, verb_tcmu_attach },
	{ "tcmu.detach", "take it back", tcmu_detach_params, verb_tcmu_detach },
	{ "tcmu.list", "TCMU devices that are ours", NULL, verb_tcmu_list },
	{ "stat", "live objects, counters of logical units and reactors", NULL, verb_stat },
	{ "trace.start", "record what happens, in a ring of each data reactor", trace_start_params,
	  verb_trace_start },
	{ "trace.stop", "record no more; what is recorded is kept", NULL, verb_trace_stop },
	{ "trace.clear", "record no more, and forget what is recorded", NULL, verb_trace_clear },
	{ "trace.status", "whether it records, how much is held, which events there are", NULL,
	  verb_trace_status },
	{ "trace.dump", "what is recorded, oldest first, in pages: pass the cursor for the next",
	  trace_dump_params, verb_trace_dump },
	{ "system.show", "version, state, store types, portals", NULL, verb_system_show },
	{ "system.update", "change the daemon's state or log level", system_update_params,
	  verb_system_update },
	{ "system.shutdown", "end the daemon", system_shutdown_params, verb_system_shutdown },
	{ "help", "this list", NULL, verb_help },
	{ NULL },
};

int control_init(struct control *c, struct err *e)
{
	list_init(&c->units);
	list_init(&c->removals);
	c->started = reactor_now(c->self);
	if (cmdset_init())
		return err_set(e, -EINVAL,
			       "a command table fails its self-test: this build is "
			       "broken");
	if (targets_init(&c->ts, c->self, c->reactors, c->nreactors, &absent_server, &wlun_server))
		return err_set(e, -ENOMEM, "no memory for the targets");
	c->ts.nexus_left = removal_nexus_left;
	return 0;
}

void control_fini(struct control *c)
{
	trace_forget(c);
	targets_fini(&c->ts);
}
